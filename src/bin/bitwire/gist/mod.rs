//! The gist verbs.

mod budget;
mod mask;

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for one run
pub(crate) enum GistVerb {
    Mask(mask::MaskArgs),
    Budget(budget::BudgetArgs),
}

pub(crate) fn run(verb: GistVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        GistVerb::Mask(args) => mask::mask(&args, out),
        GistVerb::Budget(args) => budget::budget(&args, out),
    }
}

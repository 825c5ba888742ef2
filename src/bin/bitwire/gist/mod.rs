//! The gist verbs.

mod budget;
mod mask;
mod niah;
mod score;

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for one run
pub(crate) enum GistVerb {
    Mask(mask::MaskArgs),
    Budget(budget::BudgetArgs),
    Niah(Box<niah::Niah>),
    Score(Box<score::Score>),
}

pub(crate) fn run(verb: GistVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        GistVerb::Mask(args) => mask::mask(&args, out),
        GistVerb::Budget(args) => budget::budget(&args, out),
        GistVerb::Niah(args) => niah::niah(&args, out),
        GistVerb::Score(args) => score::score(&args, out),
    }
}

//! The gist verbs.

mod budget;
mod export;
mod import;
mod mask;
mod niah;
mod score;
mod show;
mod source;
mod text;

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for one run
pub(crate) enum GistVerb {
    Import(Box<import::Import>),
    Export(Box<export::Export>),
    Show(show::Show),
    Mask(mask::MaskArgs),
    Niah(Box<niah::Niah>),
    Score(Box<score::Score>),
    Budget(budget::BudgetArgs),
}

pub(crate) fn run(verb: GistVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        GistVerb::Mask(args) => mask::mask(&args, out),
        GistVerb::Budget(args) => budget::budget(&args, out),
        GistVerb::Niah(args) => niah::niah(&args, out),
        GistVerb::Score(args) => score::score(&args, out),
        GistVerb::Import(args) => import::import(&args, out),
        GistVerb::Export(args) => export::export(&args, out),
        GistVerb::Show(args) => show::show(&args, out),
    }
}

//! The gist verbs.

mod niah;
mod score;

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
pub(crate) enum GistVerb {
    Niah(Box<niah::Niah>),
    Score(Box<score::Score>),
}

pub(crate) fn run(verb: GistVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        GistVerb::Niah(args) => niah::niah(&args, out),
        GistVerb::Score(args) => score::score(&args, out),
    }
}

//! The gist verbs.

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
pub(crate) enum GistVerb {}

pub(crate) fn run(verb: GistVerb, _out: &mut Output) -> Result<Outcome, Problem> {
    match verb {}
}

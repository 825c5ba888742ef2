//! The gist verbs.

mod export;
mod import;
mod show;
mod source;

use clap::Subcommand;

use crate::exit::{Outcome, Output, Problem};

#[derive(Subcommand)]
pub(crate) enum GistVerb {
    Import(Box<import::Import>),
    Export(Box<export::Export>),
    Show(show::Show),
}

pub(crate) fn run(verb: GistVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        GistVerb::Import(args) => import::import(&args, out),
        GistVerb::Export(args) => export::export(&args, out),
        GistVerb::Show(args) => show::show(&args, out),
    }
}

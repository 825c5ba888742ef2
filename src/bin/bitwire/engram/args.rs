//! What the engram verbs take.

use clap::Subcommand;

pub(crate) use super::certificate::{Show, WriteArgs};

#[derive(Subcommand)]
pub(crate) enum EngramVerb {
    /// Read and write EIGENGRAM certificates (.eng)
    Eng {
        #[command(subcommand)]
        verb: EngVerb,
    },
}

#[derive(Subcommand)]
pub(crate) enum EngVerb {
    Show(Show),
    Write(Box<WriteArgs>),
}

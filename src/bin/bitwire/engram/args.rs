//! What the engram verbs take.

use clap::Subcommand;

pub(crate) use super::certificate::{Show, WriteArgs};
pub(crate) use super::fingerprint::FingerprintArgs;
pub(crate) use super::index::IndexVerb;
pub(crate) use super::proof::ProofArgs;
pub(crate) use super::state::{KeysArgs, StateArgs};
pub(crate) use super::whiten::WhitenVerb;

#[derive(Subcommand)]
pub(crate) enum EngramVerb {
    State(StateArgs),
    Keys(Box<KeysArgs>),
    Fingerprint(Box<FingerprintArgs>),
    /// Fit a whitening, and show it
    Whiten {
        #[command(subcommand)]
        verb: WhitenVerb,
    },
    /// Read and write EIGENGRAM certificates (.eng)
    Eng {
        #[command(subcommand)]
        verb: EngVerb,
    },
    /// Keep many fingerprints, and find the nearest
    Index {
        #[command(subcommand)]
        verb: IndexVerb,
    },
    Proof(Box<ProofArgs>),
}

#[derive(Subcommand)]
pub(crate) enum EngVerb {
    Show(Show),
    Write(Box<WriteArgs>),
}

//! The engram verbs.

pub(crate) mod args;
mod certificate;
mod entries;
mod fingerprint;
mod index;
mod proof;
pub(crate) mod source;
mod state;
mod vectors;
mod whiten;

use crate::exit::{Outcome, Output, Problem};
use args::{EngVerb, EngramVerb};

pub(crate) fn run(verb: EngramVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        EngramVerb::State(args) => state::show(&args, out),
        EngramVerb::Keys(args) => state::keys(&args, out),
        EngramVerb::Fingerprint(args) => fingerprint::fingerprint(&args, out),
        EngramVerb::Whiten { verb } => whiten::run(verb, out),
        EngramVerb::Eng { verb: EngVerb::Show(args) } => certificate::show(&args, out),
        EngramVerb::Eng { verb: EngVerb::Write(args) } => certificate::write(&args, out),
        EngramVerb::Proof(args) => proof::proof(&args, out),
        EngramVerb::Index { verb } => index::run(verb, out),
    }
}

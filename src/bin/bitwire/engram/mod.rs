//! The engram verbs.

pub(crate) mod args;
mod certificate;

use crate::exit::{Outcome, Output, Problem};
use args::{EngVerb, EngramVerb};

pub(crate) fn run(verb: EngramVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        EngramVerb::Eng { verb: EngVerb::Show(args) } => certificate::show(&args, out),
        EngramVerb::Eng { verb: EngVerb::Write(args) } => certificate::write(&args, out),
    }
}

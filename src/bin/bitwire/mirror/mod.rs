//! The mirror verbs.

pub(crate) mod args;
mod load;
mod read;
mod write;

use std::path::Path;

use bitwire::Error;
use bitwire::frame::{Frame, FrameBuilder, Key};
use bitwire::mirror::{MirrorView, Mode, Scalar, Shape};
use serde_json::Value;

use crate::exit::{Outcome, Output, Problem, hex};
use crate::{input, verify};
use args::MirrorVerb;

/// The payload of a blocks frame stands where it can be mapped and read in whole cache lines.
pub(crate) const ALIGNMENT: u16 = 64;

pub(crate) fn run(verb: MirrorVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        MirrorVerb::Diff(args) => write::diff(&args, out),
        MirrorVerb::Apply(args) => read::apply(&args, out),
        MirrorVerb::Stats(args) => read::stats(&args, out),
        MirrorVerb::Master(args) => write::master(&args, out),
        MirrorVerb::Rebase(args) => write::rebase(&args, out),
    }
}

/// Refuses what cannot end well before anything large is read.
pub(crate) fn check_paths(out: &Path, json: bool, inputs: &[&Path]) -> Result<(), Problem> {
    input::one_result(out, json)?;
    input::one_stream(inputs.iter().copied())?;
    input::not_over(out, inputs)?;
    input::check_output(out)
}

/// The mirror that fills `bytes`, verified if there is a key.
fn mirror<'a>(name: &str, bytes: &'a [u8], key: Option<&Key>) -> Result<MirrorView<'a>, Problem> {
    let frame = input::frame(name, bytes, key)?;
    MirrorView::from_frame(&frame).map_err(|error| Problem::frame(name, error))
}

/// What a mirror and a master were found to be to each other: neither is wrong by itself.
fn on_master(mirror: &str, master: &str, error: Error) -> Problem {
    Problem::frame(&format!("{mirror} on {master}"), error)
}

pub(crate) fn encode(builder: FrameBuilder<'_>, key: Option<&Key>) -> Result<Vec<u8>, Problem> {
    let builder = match key {
        Some(key) => builder.sign(key),
        None => builder,
    };
    builder.encode().map_err(usage)
}

pub(crate) fn usage(error: Error) -> Problem {
    Problem::Usage(error.to_string())
}

/// `4 of 128 differ, each of 32 elements`
fn blocks_text(view: &MirrorView<'_>) -> String {
    format!("{} of {} differ, each of {} elements", view.difference_blocks(), view.total_blocks(), view.dim())
}

fn mode_text(view: &MirrorView<'_>) -> String {
    let mode = match view.mode() {
        Mode::Replace => "replace".to_owned(),
        Mode::Add => "add".to_owned(),
        Mode::AddMu16(step) => format!("add in MU16, delta_q16 {}", step.get()),
    };
    format!("{mode}, threshold {}", view.threshold())
}

pub(crate) type Members = Vec<(&'static str, Value)>;

pub(crate) fn frame_json(name: &str, frame: &Frame<'_>, verified: bool) -> Members {
    vec![
        ("file", name.into()),
        ("bytes", frame.as_bytes().len().into()),
        ("ctx", frame.ctx().to_string().into()),
        ("context", verify::context_json(frame)),
        ("signed", frame.flags().authenticated().into()),
        ("authenticated", verified.into()),
    ]
}

fn shape_json(shape: &Shape) -> Members {
    vec![
        ("blocks", shape.rows().into()),
        ("dim", shape.dim().into()),
        ("element", shape.scalar().element().name().into()),
        ("delta_q16", step_json(shape.scalar())),
    ]
}

/// The step of MU16; floats have none.
fn step_json(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Mu16(step) => step.get().into(),
        Scalar::F32 | Scalar::F16 | Scalar::Bf16 => Value::Null,
    }
}

/// What a mirror holds of an agent whose elements are `scalar`.
fn mirror_json(name: &str, view: &MirrorView<'_>, scalar: Scalar, verified: bool) -> Members {
    let stored = view.mode().stored(scalar);
    let mode = if view.mode() == Mode::Replace { "replace" } else { "add" };
    let mut members = frame_json(name, view.frame(), verified);
    members.extend([
        ("blocks", view.total_blocks().into()),
        ("dim", view.dim().into()),
        ("element", scalar.element().name().into()),
        ("differing", view.difference_blocks().into()),
        ("mode", mode.into()),
        ("stored", stored.element().name().into()),
        ("delta_q16", step_json(stored)),
        ("threshold", view.threshold().into()),
        ("master_digest", hex(view.master_digest()).into()),
    ]);
    members
}

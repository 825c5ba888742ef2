//! `mirror diff`, `mirror rebase` and `mirror master`.

use std::path::Path;

use bitwire::beacon::StepChoice;
use bitwire::frame::{Frame, Key};
use bitwire::mirror::{Diff, DiffOptions, Master, MirrorView, Mode};
use bitwire::{Error, ErrorKind};
use serde_json::Value;

use super::args::{self, MasterArgs, ModeArg, Rebase};
use super::load::{BlockFile, FileBlocks, Origin, check_tensor, unstated};
use super::{
    ALIGNMENT, blocks_text, check_paths, encode, frame_json, mirror, mirror_json, mode_text, on_master,
    shape_json, usage,
};
use crate::args::ContextArgs;
use crate::exit::{Outcome, Output, Problem, hex, tell};
use crate::verify::print_frame;
use crate::{input, keys};

pub(super) fn diff(args: &args::Diff, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    check_paths(&args.out, args.common.json, &[&args.master, &args.agent])?;
    if args.delta_q16.is_some() && matches!(args.mode, ModeArg::Replace) {
        return Err(Problem::Usage("--delta-q16 is the step of differences: it needs --mode add".to_owned()));
    }
    let element = args.element.element;
    let master_file = BlockFile::read(&args.master, &args.tensor, element)?;
    if element.is_some() && master_file.is_frame() {
        let name = master_file.name();
        return Err(Problem::Usage(format!(
            "{name}: a frame says what its elements are: leave --element out"
        )));
    }
    let master = master_file.blocks(key.as_ref())?;
    check_not_empty(&master)?;
    let agent_file = BlockFile::read(&args.agent, &args.tensor, unstated(master.shape().scalar()))?;
    check_tensor(&args.tensor, &[&master_file, &agent_file])?;
    let agent = agent_file.blocks(key.as_ref())?;
    check_same_shape(&agent, &master)?;

    let given;
    let origin = match master.origin() {
        Some(own) => {
            check_given(&master, &args.context)?;
            own
        }
        None => {
            given = input::context(&args.context, master.shape().dim())?;
            Origin::Given(&given)
        }
    };
    agent.check_origin(&origin)?;
    let refused = |error| no_difference(agent.name, master.name, error);
    let master = origin.master(master.blocks)?;
    let options =
        DiffOptions { mode: mode(args, &master, &agent).map_err(refused)?, threshold: args.threshold };
    let mut payload = Vec::new();
    let diff = master.diff_to_vec(&agent.blocks, options, &mut payload).map_err(refused)?;
    let report = Report { verb: "mirror-diff", loss: "error", of: "", json: args.common.json };
    write_mirror(&diff, agent.name, key.as_ref(), &args.out, &report, out)
}

/// Refuses arguments that name another context than the master's own.
fn check_given(master: &FileBlocks<'_>, args: &ContextArgs) -> Result<(), Problem> {
    if !input::names_context(args) {
        return Ok(());
    }
    master.check_origin(&Origin::Given(&input::context(args, master.shape().dim())?))
}

fn mode(args: &args::Diff, master: &Master<'_>, agent: &FileBlocks<'_>) -> Result<Mode, Error> {
    Ok(match (args.mode, args.delta_q16) {
        (ModeArg::Replace, _) => Mode::Replace,
        (ModeArg::Add, None) => Mode::Add,
        (ModeArg::Add, Some(StepChoice::Fixed(step))) => Mode::AddMu16(step),
        (ModeArg::Add, Some(StepChoice::Auto)) => {
            Mode::AddMu16(master.step_for(&agent.blocks, args.threshold)?)
        }
    })
}

fn check_not_empty(blocks: &FileBlocks<'_>) -> Result<(), Problem> {
    match blocks.shape().is_empty() {
        true => Err(Problem::Usage(format!("{}: the array has no blocks", blocks.name))),
        false => Ok(()),
    }
}

fn check_same_shape(agent: &FileBlocks<'_>, master: &FileBlocks<'_>) -> Result<(), Problem> {
    let (ours, theirs) = (agent.shape(), master.shape());
    if ours == theirs {
        return Ok(());
    }
    let message = format!("{}: the blocks are {ours}, those of {} are {theirs}", agent.name, master.name);
    Err(Problem::Usage(message))
}

/// Why there is no difference of two arrays that have the same shape.
fn no_difference(agent: &str, master: &str, error: Error) -> Problem {
    Problem::Usage(match error.kind() {
        ErrorKind::NonFinite { row, column } => {
            format!("{agent}: the difference from {master} in block {row}, element {column} is not finite")
        }
        _ => format!("{agent}: {error}"),
    })
}

pub(super) fn rebase(args: &Rebase, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_stream([args.old_master.as_path(), &args.new_master, &args.mirror])?;
    // The mirror itself may be replaced: it says the same before and after.
    check_paths(&args.out, args.common.json, &[&args.old_master, &args.new_master])?;
    let name = input::name(&args.mirror);
    let bytes = input::read_frames(&args.mirror)?;
    let view = mirror(&name, &bytes, key.as_ref())?;
    let scalar = view.master_shape().map_err(|error| Problem::frame(&name, error))?.scalar();
    let old_file = BlockFile::read(&args.old_master, &args.tensor, unstated(scalar))?;
    let new_file = BlockFile::read(&args.new_master, &args.tensor, unstated(scalar))?;
    check_tensor(&args.tensor, &[&old_file, &new_file])?;
    let (old, new) = (old_file.blocks(key.as_ref())?, new_file.blocks(key.as_ref())?);

    let origin = Origin::Frame(&name, *view.frame());
    old.check_origin(&origin)?;
    new.check_origin(&origin)?;
    let old_master = origin.master(old.blocks)?;
    view.check_master(&old_master).map_err(|error| on_master(&name, old.name, error))?;
    check_same_shape(&new, &old)?;
    let new_master = origin.master(new.blocks)?;
    let mut payload = Vec::new();
    let diff = view.rebase(&old_master, &new_master, view.options(), &mut payload);
    let diff = diff.map_err(|error| no_difference(&name, new.name, error))?;
    let report =
        Report { verb: "mirror-rebase", loss: "moved", of: " of `mirror diff`", json: args.common.json };
    write_mirror(&diff, &name, key.as_ref(), &args.out, &report, out)
}

/// How a mirror that was written is told of.
struct Report {
    verb: &'static str,
    /// What its error is called.
    loss: &'static str,
    /// Whose options made it, if not this verb's.
    of: &'static str,
    json: bool,
}

/// Writes a mirror of `agent`, and says what it holds.
fn write_mirror(
    diff: &Diff<'_>,
    agent: &str,
    key: Option<&Key>,
    path: &Path,
    report: &Report,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    warn(diff, agent, report);
    let bytes = encode(diff.to_frame().map_err(usage)?, key)?;
    input::write(path, &bytes, out)?;
    if input::is_stream(path) {
        return Ok(Outcome::Good);
    }
    // What is reported is read back from what was written.
    let name = input::name(path);
    let found = |error| Problem::frame(&name, error);
    let view = MirrorView::parse_exact(&bytes).map_err(found)?;
    if report.json {
        let scalar = view.master_shape().map_err(found)?.scalar();
        let mut members = mirror_json(&name, &view, scalar, key.is_some());
        members.push(("saturated", diff.saturated().into()));
        // JSON has no number for what is not finite.
        let bound = Some(diff.error_bound()).filter(|bound| bound.is_finite());
        members.push(("error_bound", bound.map_or(Value::Null, Value::from)));
        out.json(report.verb, members);
    } else {
        print_frame(&name, view.frame(), key, out);
        out.labelled("blocks", blocks_text(&view));
        out.labelled("mode", mode_text(&view));
        out.labelled("master", format_args!("SHA-256 {}", hex(view.master_digest())));
        out.labelled(report.loss, loss_text(diff.error_bound(), view.options()));
    }
    Ok(Outcome::Good)
}

fn warn(diff: &Diff<'_>, agent: &str, report: &Report) {
    let of = report.of;
    if diff.saturated() > 0 {
        let hint = format!("a larger --delta-q16{of}, or auto, holds them");
        tell!("bitwire: warning: {agent}: {} differences saturate; {hint}", diff.saturated());
    }
    if !diff.error_bound().is_finite() {
        let hint = format!("--mode replace{of} holds them");
        tell!(
            "bitwire: warning: {agent}: elements or differences are not finite and do not come back; {hint}"
        );
    }
}

fn loss_text(bound: f64, options: DiffOptions) -> String {
    match bound {
        _ if options == DiffOptions::default() => "none, bit by bit".to_owned(),
        0.0 => "none, but that a zero may lose its sign".to_owned(),
        _ if bound.is_finite() => format!("at most {bound:?} in an element"),
        _ => "not bounded: elements or differences are not finite".to_owned(),
    }
}

pub(super) fn master(args: &MasterArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    check_paths(&args.out, args.common.json, &[&args.input])?;
    let file = BlockFile::read(&args.input, &args.tensor, args.element.element)?;
    check_tensor(&args.tensor, &[&file])?;
    if file.is_frame() {
        return Err(Problem::Usage(format!("{}: is a frame already", file.name())));
    }
    let blocks = file.blocks(None)?;
    check_not_empty(&blocks)?;
    let context = input::context(&args.context, blocks.shape().dim())?;
    let master = Origin::Given(&context).master(blocks.blocks)?;
    let frame = master.to_frame().map_err(usage)?.align_payload(ALIGNMENT);
    let bytes = encode(frame, key.as_ref())?;
    input::write(&args.out, &bytes, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    let frame = Frame::parse_exact(&bytes).map_err(|error| Problem::frame(&name, error))?;
    if args.common.json {
        let mut members = frame_json(&name, &frame, key.is_some());
        members.extend(shape_json(blocks.shape()));
        members.push(("digest", hex(master.digest()).into()));
        out.json("mirror-master", members);
    } else {
        print_frame(&name, &frame, key.as_ref(), out);
        out.labelled("blocks", blocks.shape());
        out.labelled("digest", format_args!("SHA-256 {}", hex(master.digest())));
    }
    Ok(Outcome::Good)
}

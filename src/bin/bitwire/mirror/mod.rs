//! The mirror verbs.

pub(crate) mod args;
mod load;

use std::path::{Path, PathBuf};

use bitwire::beacon::StepChoice;
use bitwire::frame::{ContextHash, Frame, FrameBuilder, Key};
use bitwire::io::npy::write_blocks;
use bitwire::io::output::write_whole;
use bitwire::mirror::{self as library, Blocks, DiffOptions, MasterMirror, MirrorView, Mode, Scalar, Shape};
use serde_json::{Value, json};

use crate::exit::{Outcome, Output, Problem};
use crate::verify::summary;
use crate::{input, keys};
use args::{Apply, Diff, MasterArgs, MirrorVerb, ModeArg, Rebase, Stats};
use load::{Loaded, mismatch};

/// The payload of a master stands where it can be mapped and read in whole cache lines.
const ALIGNMENT: u16 = 64;

pub(crate) fn run(verb: MirrorVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        MirrorVerb::Diff(args) => diff(&args, out),
        MirrorVerb::Apply(args) => apply(&args, out),
        MirrorVerb::Stats(args) => stats(&args, out),
        MirrorVerb::Master(args) => master(&args, out),
        MirrorVerb::Rebase(args) => rebase(&args, out),
    }
}

fn diff(args: &Diff, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    input::one_stream([args.master.as_path(), &args.agent])?;
    input::check_output(&args.out)?;
    if args.delta_q16.is_some() && matches!(args.mode, ModeArg::Replace) {
        return Err(Problem::Usage("--delta-q16 is the step of differences: it needs --mode add".to_owned()));
    }
    let master_file = Loaded::open(&args.master, &args.blocks, key.as_ref())?.not_empty()?;
    let agent_file = Loaded::open(&args.agent, &args.blocks, key.as_ref())?;
    let context = master_file.context(&args.context)?;
    let master = master_file.master(context.as_ref())?;
    let agent = agent_file.blocks()?;
    agent_file.check_context(&master_file, context.as_ref())?;
    let failed = |error| mismatch(&agent_file.name, &master_file.name, error);
    let mode = match (args.mode, args.delta_q16) {
        (ModeArg::Replace, _) => Mode::Replace,
        (ModeArg::Add, None) => Mode::Add,
        (ModeArg::Add, Some(StepChoice::Fixed(step))) => Mode::AddMu16(step),
        (ModeArg::Add, Some(StepChoice::Auto)) => {
            Mode::AddMu16(master.step_for(&agent, args.threshold).map_err(failed)?)
        }
    };
    let mut payload = Vec::new();
    let options = DiffOptions { mode, threshold: args.threshold };
    let diff = master.diff_to_vec(&agent, options, &mut payload).map_err(failed)?;
    write_mirror(&diff, &agent_file.name, key.as_ref(), &args.out, "mirror-diff", args.common.json, out)
}

/// Writes a mirror, and says what it holds.
fn write_mirror(
    diff: &library::Diff<'_>,
    agent: &str,
    key: Option<&Key>,
    path: &Path,
    verb: &str,
    json: bool,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    let usage = |error: bitwire::Error| Problem::Usage(error.to_string());
    if diff.saturated() > 0 {
        let hint = "a larger --delta-q16, or auto, holds them";
        eprintln!("bitwire: warning: {agent}: {} differences saturate; {hint}", diff.saturated());
    }
    let bytes = encode(diff.to_frame().map_err(usage)?, key)?;
    input::write(path, &bytes, out)?;
    if input::is_stream(path) {
        return Ok(Outcome::Good);
    }
    // What is reported is read back from what was written.
    let name = input::name(path);
    let view = MirrorView::parse_exact(&bytes).map_err(|error| Problem::frame(&name, error))?;
    if json {
        let mut members = describe(&name, &view, key.is_some());
        members.push(("saturated", diff.saturated().into()));
        members.push(("error_bound", number(diff.error_bound())));
        out.json(verb, members);
    } else {
        out.line(format_args!("{name}: {}", summary(view.frame(), key)));
        out.line(format_args!("{name}: {}", text(&view)));
        out.line(format_args!("{name}: {}", error_text(diff.error_bound())));
    }
    Ok(Outcome::Good)
}

fn encode(builder: FrameBuilder<'_>, key: Option<&Key>) -> Result<Vec<u8>, Problem> {
    let builder = match key {
        Some(key) => builder.sign(key),
        None => builder,
    };
    builder.encode().map_err(|error| Problem::Usage(error.to_string()))
}

fn error_text(bound: f64) -> String {
    match bound {
        0.0 => "every block comes back bit by bit".to_owned(),
        _ if bound.is_nan() => "an infinity or a NaN does not come back".to_owned(),
        _ => format!("no element comes back with an error over {bound:e}"),
    }
}

/// JSON has no number for what is not finite.
fn number(x: f64) -> Value {
    if x.is_finite() { x.into() } else { Value::Null }
}

/// `82 of 4096 blocks of 4096 f32 differ; replace, threshold 0`
fn text(view: &MirrorView<'_>) -> String {
    let scalar = view.master_shape().map_or("elements".to_owned(), |shape| shape.scalar().to_string());
    let (rows, total, dim) = (view.rows(), view.total_blocks(), view.dim());
    let mode = mode_text(view.mode());
    format!("{rows} of {total} blocks of {dim} {scalar} differ; {mode}, threshold {}", view.threshold())
}

fn mode_text(mode: Mode) -> String {
    match mode {
        Mode::Replace => "replace".to_owned(),
        Mode::Add => "add".to_owned(),
        Mode::AddMu16(step) => format!("add in MU16, delta_q16 {}", step.get()),
    }
}

fn describe(name: &str, view: &MirrorView<'_>, verified: bool) -> Vec<(&'static str, Value)> {
    let frame = view.frame();
    let scalar = view.master_shape().ok().map(|shape| shape.scalar().element().name());
    let (mode, step) = match view.mode() {
        Mode::Replace => ("replace", None),
        Mode::Add => ("add", None),
        Mode::AddMu16(step) => ("add", Some(step.get())),
    };
    vec![
        ("file", name.into()),
        ("bytes", frame.as_bytes().len().into()),
        ("ctx", frame.ctx().to_string().into()),
        ("blocks", view.total_blocks().into()),
        ("dim", view.dim().into()),
        ("element", scalar.into()),
        ("differing", view.rows().into()),
        ("mode", mode.into()),
        ("delta_q16", step.into()),
        ("threshold", view.threshold().into()),
        ("master_digest", hex(view.master_digest()).into()),
        ("signed", frame.flags().authenticated().into()),
        ("authenticated", verified.into()),
    ]
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn apply(args: &Apply, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    input::one_stream([args.master.as_path(), &args.mirror])?;
    input::check_output(&args.out)?;
    let name = input::name(&args.mirror);
    let bytes = input::read_frames(&args.mirror)?;
    let view = mirror(&name, &bytes, key.as_ref())?;
    let master_file = Loaded::open(&args.master, &args.blocks, key.as_ref())?;
    let master = master_file.master_of(&view)?;
    view.check_master(&master).map_err(|error| mismatch(&name, &master_file.name, error))?;
    let mut agent = vec![0; master.blocks().shape().len()];
    view.apply(&master, &mut agent).map_err(|error| mismatch(&name, &master_file.name, error))?;
    let blocks =
        Blocks::new(*master.blocks().shape(), &agent).map_err(|error| Problem::frame(&name, error))?;

    let is_frame = args.out.extension().is_some_and(|extension| extension == "bit");
    if is_frame {
        let frame = blocks_frame(&blocks, view.frame().ctx(), view.frame().context_json())?;
        input::write(&args.out, &encode(frame, key.as_ref())?, out)?;
    } else if input::is_stream(&args.out) {
        write_blocks(out.bytes(), &master_file.dims, &blocks).map_err(|cause| cause.at("standard output"))?;
        return Ok(Outcome::Good);
    } else {
        write_whole(&args.out, |file| write_blocks(file, &master_file.dims, &blocks))?;
    }
    let written = input::name(&args.out);
    let shape = blocks.shape();
    if !is_frame {
        match shape.scalar() {
            Scalar::Bf16 => {
                eprintln!("bitwire: {written}: bf16 has no NumPy type; written as V2, as ml_dtypes does")
            }
            Scalar::Mu16(step) => {
                eprintln!("bitwire: {written}: written as i2, in steps of {}", step.as_f64());
            }
            Scalar::F32 | Scalar::F16 => {}
        }
    }
    if args.common.json {
        let members = vec![
            ("file", json!(written)),
            ("blocks", shape.rows().into()),
            ("dim", shape.dim().into()),
            ("element", shape.scalar().element().name().into()),
            ("dims", if is_frame { json!([shape.rows(), shape.dim()]) } else { json!(master_file.dims) }),
            ("differing", view.rows().into()),
        ];
        out.json("mirror-apply", members);
    } else {
        let differ = view.rows();
        out.line(format_args!("{written}: {}, {differ} of them the agent's own", shape_text(shape)));
    }
    Ok(Outcome::Good)
}

/// The mirror that fills `bytes`, verified if there is a key.
fn mirror<'a>(name: &str, bytes: &'a [u8], key: Option<&Key>) -> Result<MirrorView<'a>, Problem> {
    let frame = input::frame(name, bytes, key)?;
    MirrorView::from_frame(&frame).map_err(|error| Problem::frame(name, error))
}

fn blocks_frame<'a>(
    blocks: &Blocks<'a>,
    ctx: ContextHash,
    context_json: Option<&'a [u8]>,
) -> Result<FrameBuilder<'a>, Problem> {
    let frame = blocks.to_frame(ctx).and_then(|frame| match context_json {
        Some(json) => frame.context_json(json),
        None => Ok(frame),
    });
    Ok(frame.map_err(|error| Problem::Usage(error.to_string()))?.align_payload(ALIGNMENT))
}

fn shape_text(shape: &Shape) -> String {
    format!("{} blocks of {} {}", shape.rows(), shape.dim(), shape.scalar())
}

fn master(args: &MasterArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    input::check_output(&args.out)?;
    let file = Loaded::open(&args.input, &args.blocks, key.as_ref())?.not_empty()?;
    if file.frame().is_some() {
        return Err(Problem::Usage(format!("{}: is a blocks frame already", file.name)));
    }
    let context = input::context(&args.context, file.shape().dim())?;
    let master = file.master(Some(&context))?;
    let frame = blocks_frame(master.blocks(), context.hash(), Some(context.as_str().as_bytes()))?;
    let bytes = encode(frame, key.as_ref())?;
    input::write(&args.out, &bytes, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    let frame = Frame::parse_exact(&bytes).map_err(|error| Problem::frame(&name, error))?;
    if args.common.json {
        let shape = file.shape();
        let members = vec![
            ("file", json!(name)),
            ("bytes", bytes.len().into()),
            ("ctx", frame.ctx().to_string().into()),
            ("blocks", shape.rows().into()),
            ("dim", shape.dim().into()),
            ("element", shape.scalar().element().name().into()),
            ("digest", hex(master.digest()).into()),
            ("signed", key.is_some().into()),
        ];
        out.json("mirror-master", members);
    } else {
        out.line(format_args!("{name}: {}", summary(&frame, key.as_ref())));
        out.line(format_args!("{name}: {}, SHA-256 {}", shape_text(file.shape()), hex(master.digest())));
    }
    Ok(Outcome::Good)
}

fn rebase(args: &Rebase, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_result(&args.out, args.common.json)?;
    input::one_stream([args.old_master.as_path(), &args.new_master, &args.mirror])?;
    input::check_output(&args.out)?;
    let name = input::name(&args.mirror);
    let bytes = input::read_frames(&args.mirror)?;
    let view = mirror(&name, &bytes, key.as_ref())?;
    let old_file = Loaded::open(&args.old_master, &args.blocks, key.as_ref())?;
    let new_file = Loaded::open(&args.new_master, &args.blocks, key.as_ref())?;
    let (old, new) = (old_file.master_of(&view)?, new_file.master_of(&view)?);
    view.check_master(&old).map_err(|error| mismatch(&name, &old_file.name, error))?;
    let mut payload = Vec::new();
    let diff = view.rebase(&old, &new, view.options(), &mut payload);
    let diff = diff.map_err(|error| mismatch(&name, &new_file.name, error))?;
    write_mirror(&diff, &name, key.as_ref(), &args.out, "mirror-rebase", args.common.json, out)
}

fn stats(args: &Stats, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let paths = || [&args.master].into_iter().chain(&args.mirrors).map(PathBuf::as_path);
    input::one_stream(paths())?;
    let master_file = Loaded::open(&args.master, &args.blocks, key.as_ref())?;
    let mut store: Option<MasterMirror> = None;
    let mut rows = Vec::new();
    for (number, path) in args.mirrors.iter().enumerate() {
        let name = input::name(path);
        let bytes = input::read_frames(path)?;
        let view = mirror(&name, &bytes, key.as_ref())?;
        let failed = |error| mismatch(&name, &master_file.name, error);
        let store = match &mut store {
            Some(store) => store,
            None => {
                // An array has no context of its own, and takes the first mirror's.
                let frame = master_file.frame().unwrap_or(*view.frame());
                let options = DiffOptions::default();
                let mut empty = match frame.context().map_err(failed)? {
                    Some(context) => MasterMirror::with_context(options, context),
                    None => MasterMirror::with_ctx(options, frame.ctx()),
                };
                empty.register_master("", &master_file.blocks()?).map_err(failed)?;
                store.insert(empty)
            }
        };
        // The same file twice counts twice.
        let agent = store.insert_mirror(&format!("{number}"), &view).map_err(failed)?;
        if !args.common.json {
            out.line(format_args!("{name}: {}, {} bytes", text(&view), bytes.len()));
        }
        let mut members: serde_json::Map<String, Value> = describe(&name, &view, key.is_some())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        members.insert("sparsity".to_owned(), agent.sparsity().into());
        rows.push(Value::Object(members));
    }
    let Some(store) = store else { return Ok(Outcome::Good) };
    let stats = store.stats();
    let shape = master_file.shape();
    if args.common.json {
        let digest = store.master().map(|master| hex(master.digest()));
        let members = vec![
            ("file", json!(master_file.name)),
            ("blocks", shape.rows().into()),
            ("dim", shape.dim().into()),
            ("element", shape.scalar().element().name().into()),
            ("digest", digest.into()),
            ("agents", (stats.mirrors + 1).into()),
            ("difference_blocks", stats.difference_blocks.into()),
            ("block_ratio", stats.compression_ratio.into()),
            ("byte_ratio", stats.byte_ratio.into()),
            ("frame_ratio", stats.frame_ratio.into()),
            ("mirrors", rows.into()),
        ];
        out.json("mirror-stats", members);
        return Ok(Outcome::Good);
    }
    out.line(format_args!("{}: {}, the master", master_file.name, shape_text(shape)));
    out.labelled("agents", stats.mirrors + 1);
    out.labelled("block ratio", format_args!("{:.3}", stats.compression_ratio));
    out.labelled("byte ratio", format_args!("{:.3}", stats.byte_ratio));
    if let Some(ratio) = stats.frame_ratio {
        out.labelled("frame ratio", format_args!("{ratio:.3}"));
    }
    Ok(Outcome::Good)
}

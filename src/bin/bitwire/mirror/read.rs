//! `mirror apply` and `mirror stats`.

use std::path::PathBuf;

use bitwire::frame::{Frame, Key};
use bitwire::io::npy::write_blocks;
use bitwire::io::output::write_whole;
use bitwire::mirror::{Blocks, DiffOptions, MasterMirror, MirrorView, Scalar, Stats};
use serde_json::{Map, Value, json};

use super::args::{self, Apply};
use super::load::{BlockFile, FileBlocks, Origin, check_tensor, unstated};
use super::{
    ALIGNMENT, Members, blocks_text, check_paths, encode, frame_json, mirror, mirror_json, mode_text,
    on_master, shape_json, usage,
};
use crate::exit::{Outcome, Output, Problem, hex, tell};
use crate::verify::print_frame;
use crate::{input, keys};

pub(super) fn apply(args: &Apply, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    check_paths(&args.out, args.common.json, &[&args.master, &args.mirror])?;
    let name = input::name(&args.mirror);
    let bytes = input::read_frames(&args.mirror)?;
    let view = mirror(&name, &bytes, key.as_ref())?;
    let scalar = view.master_shape().map_err(|error| Problem::frame(&name, error))?.scalar();
    let file = BlockFile::read(&args.master, &args.tensor, unstated(scalar))?;
    check_tensor(&args.tensor, &[&file])?;
    let source = file.blocks(key.as_ref())?;
    let origin = Origin::Frame(&name, *view.frame());
    source.check_origin(&origin)?;
    let mut agent = vec![0; source.shape().len()];
    let master = origin.master(source.blocks)?;
    view.apply(&master, &mut agent).map_err(|error| on_master(&name, source.name, error))?;
    let agent = Blocks::new(*source.shape(), &agent).map_err(usage)?;

    if args.out.extension().is_some_and(|extension| extension == "bit") {
        write_frame(args, &agent, &view, key.as_ref(), out)
    } else {
        write_array(args, &agent, &source.dims, &view, out)
    }
}

/// Writes the agent as a frame in the mirror's context.
fn write_frame(
    args: &Apply,
    agent: &Blocks<'_>,
    view: &MirrorView<'_>,
    key: Option<&Key>,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    let (ctx, json) = (view.frame().ctx(), view.frame().context_json());
    let frame = agent.to_frame(ctx).and_then(|frame| frame.known_context(json)).map_err(usage)?;
    let bytes = encode(frame.align_payload(ALIGNMENT), key)?;
    input::write(&args.out, &bytes, out)?;
    let name = input::name(&args.out);
    let frame = Frame::parse_exact(&bytes).map_err(|error| Problem::frame(&name, error))?;
    if args.common.json {
        let mut members = frame_json(&name, &frame, key.is_some());
        members.extend(agent_json(agent, view));
        out.json("mirror-apply", members);
    } else {
        print_frame(&name, &frame, key, out);
        print_agent(agent, view, out);
    }
    Ok(Outcome::Good)
}

/// Writes the agent as NumPy has it, and tells what NumPy cannot.
fn write_array(
    args: &Apply,
    agent: &Blocks<'_>,
    dims: &[u64],
    view: &MirrorView<'_>,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    if input::is_stream(&args.out) {
        write_blocks(out.bytes(), dims, agent).map_err(|cause| cause.at("standard output"))?;
    } else {
        write_whole(&args.out, |file| write_blocks(file, dims, agent))?;
    }
    match agent.shape().scalar() {
        Scalar::Bf16 => tell!("bitwire: NumPy has no bf16; written as V2, as ml_dtypes does"),
        Scalar::Mu16(step) => tell!("bitwire: written as i2, in steps of {}", step.as_f64()),
        Scalar::F32 | Scalar::F16 => {}
    }
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    if args.common.json {
        let mut members = vec![("file", name.into()), ("shape", json!(dims))];
        members.extend(agent_json(agent, view));
        out.json("mirror-apply", members);
    } else {
        out.labelled("file", name);
        out.labelled("shape", format_args!("{dims:?}"));
        print_agent(agent, view, out);
    }
    Ok(Outcome::Good)
}

fn agent_json(agent: &Blocks<'_>, view: &MirrorView<'_>) -> Members {
    let mut members = shape_json(agent.shape());
    members.push(("differing", view.difference_blocks().into()));
    members
}

fn print_agent(agent: &Blocks<'_>, view: &MirrorView<'_>, out: &mut Output) {
    let (shape, differ, all) = (agent.shape(), view.difference_blocks(), view.total_blocks());
    out.labelled("blocks", format_args!("{shape}; {differ} of {all} differ from the master's"));
}

pub(super) fn stats(args: &args::Stats, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_stream([&args.master].into_iter().chain(&args.mirrors).map(PathBuf::as_path))?;
    let read = |path: &PathBuf| Ok((input::name(path), input::read_frames(path)?));
    let files: Vec<(String, Vec<u8>)> = args.mirrors.iter().map(read).collect::<Result<_, Problem>>()?;
    let mut mirrors = Vec::new();
    for (name, bytes) in &files {
        mirrors.push((name.as_str(), mirror(name, bytes, key.as_ref())?));
    }

    let scalar = mirrors.first().and_then(|(_, view)| unstated(view.master_shape().ok()?.scalar()));
    let file = BlockFile::read(&args.master, &args.tensor, scalar)?;
    check_tensor(&args.tensor, &[&file])?;
    let master = file.blocks(key.as_ref())?;
    // An array has no context of its own, and takes the first mirror's.
    let origin = master.origin().or(mirrors.first().map(|(name, view)| Origin::Frame(name, *view.frame())));
    // The store would find this out by the contexts, and name no file.
    let other = mirrors.iter().find(|(_, view)| view.dim() != master.shape().dim());
    if let (Some((name, view)), Some(origin)) = (other, origin) {
        let found = view.check_master(&origin.master(master.blocks)?);
        found.map_err(|error| on_master(name, master.name, error))?;
    }
    let mut store = match origin {
        Some(Origin::Frame(name, frame)) => {
            match frame.context().map_err(|error| Problem::frame(name, error))? {
                Some(context) => MasterMirror::with_context(DiffOptions::default(), context),
                None => MasterMirror::with_ctx(DiffOptions::default(), frame.ctx()),
            }
        }
        _ => MasterMirror::new(DiffOptions::default()),
    };
    store.register_master("", &master.blocks).map_err(usage)?;
    for (number, (name, view)) in mirrors.iter().enumerate() {
        origin.map_or(Ok(()), |origin| origin.check(name, view.frame()))?;
        // The same file twice counts twice.
        let inserted = store.insert_mirror(&number.to_string(), view);
        inserted.map_err(|error| on_master(name, master.name, error))?;
    }
    if args.common.json {
        let scalar = master.shape().scalar();
        let rows = mirrors.iter().map(|(name, view)| {
            let members = mirror_json(name, view, scalar, key.is_some()).into_iter();
            members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
        });
        stats_json(&master, &store, rows.collect(), out);
    } else {
        let shape = master.shape();
        out.labelled("master", format_args!("{}: {shape}", master.name));
        for (name, view) in &mirrors {
            let (blocks, mode) = (blocks_text(view), mode_text(view));
            let len = view.frame().as_bytes().len();
            out.labelled("mirror", format_args!("{name}: {blocks}; {mode}; {len} bytes"));
        }
        print_stats(&store.stats(), out);
    }
    Ok(Outcome::Good)
}

fn stats_json(master: &FileBlocks<'_>, store: &MasterMirror, mirrors: Vec<Value>, out: &mut Output) {
    let stats = store.stats();
    let mut members = vec![("file", master.name.into())];
    members.extend(shape_json(master.shape()));
    members.extend([
        ("digest", store.master().map(|master| hex(master.digest())).into()),
        ("agents", (stats.mirrors + 1).into()),
        ("difference_blocks", stats.difference_blocks.into()),
        ("block_ratio", stats.compression_ratio.into()),
        ("byte_ratio", stats.byte_ratio.into()),
        ("frame_ratio", stats.frame_ratio.into()),
        ("mirrors", mirrors.into()),
    ]);
    out.json("mirror-stats", members);
}

fn print_stats(stats: &Stats<'_>, out: &mut Output) {
    out.labelled("agents", stats.mirrors + 1);
    out.labelled("block ratio", format_args!("{:.3}", stats.compression_ratio));
    out.labelled("byte ratio", format_args!("{:.3}", stats.byte_ratio));
    if let Some(ratio) = stats.frame_ratio {
        out.labelled("frame ratio", format_args!("{ratio:.3}"));
    }
}

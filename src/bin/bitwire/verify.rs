//! `verify` and `route`: files of frames.

use std::path::PathBuf;

use bitwire::Error;
use bitwire::frame::{Frame, Frames, Key};
use bitwire::io::Escaped;
use serde_json::{Value, json};

use crate::args::{Route, Verify};
use crate::exit::{Outcome, Output, Problem, error_json};
use crate::{input, keys};

pub(crate) fn verify(args: &Verify, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_stream(args.files.iter().map(PathBuf::as_path))?;
    let mut files = Vec::new();
    let mut all_valid = true;
    let mut unreadable = None;
    for path in &args.files {
        let name = input::name(path);
        let bytes = match input::read_frames(path) {
            Ok(bytes) => bytes,
            Err(problem) => {
                // The other files are still worth checking; the worst status wins.
                problem.report();
                files.push(
                    json!({ "file": name, "valid": null, "frames": [], "problem": problem.to_string() }),
                );
                unreadable = Some(problem);
                continue;
            }
        };
        let (frames, valid) =
            verify_bytes(&name, &bytes, key.as_ref(), (!args.common.json).then_some(&mut *out));
        all_valid &= valid;
        files.push(json!({ "file": name, "valid": valid, "frames": frames, "problem": null }));
    }
    if args.common.json {
        let valid = all_valid && unreadable.is_none();
        out.json("verify", vec![("valid", valid.into()), ("files", files.into())]);
    }
    match unreadable {
        Some(_) => Err(Problem::Reported),
        None => Ok(Outcome::valid(all_valid)),
    }
}

/// Checks every frame of a file up to the first that cannot be parsed.
fn verify_bytes(
    name: &str,
    bytes: &[u8],
    key: Option<&Key>,
    mut out: Option<&mut Output>,
) -> (Vec<Value>, bool) {
    let mut rows = Vec::new();
    let mut all_valid = true;
    let mut frames = Frames::new(bytes).peekable();
    if frames.peek().is_none() {
        // An empty file holds no frame: the same error as for a frame cut to nothing.
        let error = Frame::parse(bytes).err();
        all_valid = false;
        rows.push(row(0, None, key, error.as_ref()));
        if let (Some(out), Some(error)) = (&mut out, error) {
            out.line(format_args!("{name}: INVALID: {error}"));
        }
    }
    let mut offset = 0;
    for result in frames {
        let (frame, error) = match result {
            Ok((_, frame)) => {
                (Some(frame), input::check(&frame, key).err().map(|error| error.nested(offset)))
            }
            Err(error) => (None, Some(error)),
        };
        all_valid &= error.is_none();
        if let Some(out) = &mut out {
            let only = frame.is_none_or(|frame| frame.as_bytes().len() == bytes.len());
            let which =
                if rows.is_empty() && only { String::new() } else { format!("frame {}: ", rows.len()) };
            match (&error, &frame) {
                (None, Some(frame)) => {
                    out.line(format_args!("{name}: {which}valid: {}", summary(frame, key)))
                }
                (Some(error), _) => out.line(format_args!("{name}: {which}INVALID: {error}")),
                (None, None) => {}
            }
        }
        rows.push(row(offset, frame.as_ref(), key, error.as_ref()));
        offset += frame.map_or(0, |frame| frame.as_bytes().len() as u64);
    }
    (rows, all_valid)
}

/// What was checked of a valid frame, for a person.
pub(crate) fn summary(frame: &Frame<'_>, key: Option<&Key>) -> String {
    let digest = if frame.digest().is_some() { "digest ok" } else { "no digest" };
    format!(
        "{}, {} bytes, CRC ok, {digest}, {}",
        frame.kind(),
        frame.as_bytes().len(),
        hmac(frame, key.is_some())
    )
}

/// The lines with which every verb that shows one frame starts.
pub(crate) fn print_frame(name: &str, frame: &Frame<'_>, key: Option<&Key>, out: &mut Output) {
    out.labelled("file", name);
    out.labelled("checks", summary(frame, key));
    match frame.context_json() {
        Some(json) => out.labelled("context", format_args!("{} {}", frame.ctx(), Escaped::new(json))),
        None => out.labelled("context", format_args!("{} (not carried)", frame.ctx())),
    }
}

/// The whole context, or what the frame has of it.
pub(crate) fn context_text(frame: &Frame<'_>) -> String {
    frame.context_json().map_or(frame.ctx().to_string(), |json| Escaped::new(json).to_string())
}

/// The whole context, if the frame carries it.
pub(crate) fn context_json(frame: &Frame<'_>) -> Value {
    frame.context_json().and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

fn hmac(frame: &Frame<'_>, verified: bool) -> &'static str {
    match (frame.flags().authenticated(), verified) {
        (true, true) => "HMAC ok",
        (true, false) => "HMAC not checked (no key)",
        (false, _) => "no HMAC",
    }
}

fn row(offset: u64, frame: Option<&Frame<'_>>, key: Option<&Key>, error: Option<&Error>) -> Value {
    json!({
        "offset": offset,
        "len": frame.map(|frame| frame.as_bytes().len()),
        "kind": frame.map(|frame| frame.kind().name()),
        "ctx": frame.map(|frame| frame.ctx().to_string()),
        "digest": frame.map(|frame| frame.digest().is_some()),
        "hmac": frame.map(|frame| frame.flags().authenticated()),
        "authenticated": key.is_some() && error.is_none(),
        "valid": error.is_none(),
        "error": error.map(error_json),
    })
}

pub(crate) fn route(args: &Route, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let name = input::name(&args.file);
    let bytes = input::read_frames(&args.file)?;
    let found = |error: Error| Problem::frame(&name, error);
    if bytes.is_empty() {
        Frame::parse(&bytes).map_err(found)?;
    }
    let mut frames = Vec::new();
    for result in Frames::new(&bytes) {
        let (offset, frame) = result.map_err(found)?;
        input::check(&frame, key.as_ref()).map_err(|error| found(error.nested(offset)))?;
        let routing_key = frame.routing_key();
        let shard = args.shards.map(|shards| routing_key.shard(shards));
        if !args.common.json {
            match shard {
                Some(shard) => out.line(format_args!("{routing_key} {shard}")),
                None => out.line(routing_key),
            }
        }
        frames.push(json!({ "offset": offset, "routing_key": routing_key.to_string(), "shard": shard }));
    }
    if args.common.json {
        let shards = args.shards.map(u64::from);
        out.json("route", vec![("file", name.into()), ("shards", shards.into()), ("frames", frames.into())]);
    }
    Ok(Outcome::Good)
}

//! `engram state` and `engram keys`: what is in a state blob of llama.cpp.

use std::path::PathBuf;

use bitwire::engram::KeyShape;
use bitwire::engram::state::{Cache, Cell, Envelope, Extension, Layout, Memory, State, Stream, Tensor};
use bitwire::io::Escaped;
use bitwire::io::npy::write_array_f32;
use bitwire::io::output::write_whole;
use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::source::{BlobArgs, KeyFile, Part, SourceArgs, state};
use crate::exit::{Outcome, Output, Problem, hex, tell};
use crate::input;
use crate::mirror::check_paths;

/// Show what is in a state blob of llama.cpp
///
/// Reads what llama_state_get_data, llama_state_save_file, llama_state_seq_get_data and llama_state_seq_save_file write. The blob
/// does not describe itself: all layouts that llama.cpp is known to have written are tried, and the one that fits is shown.
#[derive(Args)]
#[command(
    after_help = "Example:\n  bitwire engram state chat.state --json | jq '.caches[0].streams[0].cell_count'"
)]
pub(crate) struct StateArgs {
    /// The blob; - for standard input
    pub(crate) blob: PathBuf,
    #[command(flatten)]
    pub(crate) known: BlobArgs,
    /// Components of a head, to say more surely whether quantised keys and values are rotated
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) head_dim: Option<u32>,
    /// With --json: the SHA-256 of each tensor's bytes
    #[arg(long, requires = "json")]
    pub(crate) sha256: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write the keys of a state blob as a NumPy array
///
/// The array is [layers, heads, tokens, head_dim] of f32, tokens in the order of the cells. Keys are written as they are stored,
/// after RoPE, unless an option says what to undo. An array of that shape is taken too, for its rotations.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram keys chat.state keys.npy --head-dim 128 --rope-base 500000 --rope-pairs interleaved")]
pub(crate) struct KeysArgs {
    /// The blob; - for standard input
    pub(crate) blob: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Write the values in place of the keys
    #[arg(long, conflicts_with = "rope_base")]
    pub(crate) values: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs of cells that a person is shown.
const LISTED: usize = 16;

pub(super) fn show(args: &StateArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let name = input::name(&args.blob);
    let bytes = input::map(&args.blob)?;
    let bytes = bytes.as_ref();
    let state = state(&args.blob, bytes, &args.known)?;
    // Without the head dim: whether there are tensors whose heads could have a multiple of 64 components.
    let wide = |tensor: Tensor<'_>| tensor.ggml_type().is_quantised() && tensor.width().is_multiple_of(64);
    let any = |stream: Stream<'_>| stream.keys().any(wide) || stream.values().any(wide);
    let may_be_rotated = match args.head_dim {
        Some(head_dim) => state.may_be_rotated(head_dim),
        None => state.may_be_rotated(64) && state.caches().any(|cache| cache.streams().any(any)),
    };
    if may_be_rotated {
        let sure = if args.head_dim.is_some() {
            "are likely to be"
        } else {
            "are likely to be, if heads have a multiple of 64 components (--head-dim D says so),"
        };
        tell!(
            "bitwire: warning: {name}: quantised keys and values {sure} stored under a Hadamard rotation, which the blob does \
             not tell; `engram keys --hadamard` undoes it"
        );
    }
    if args.json {
        let members = vec![
            ("file", name.into()),
            ("bytes", bytes.len().into()),
            ("envelope", envelope_json(state.envelope(), bytes)),
            ("layout_name", state.layout().to_string().into()),
            ("layout", layout_json(state.layout(), state.envelope())),
            ("output_section", outputs_json(&state)),
            ("caches", state.caches().map(|cache| cache_json(&cache, args.sha256)).collect()),
            ("may_be_rotated", may_be_rotated.into()),
        ];
        out.json("engram-state", members);
        return Ok(Outcome::Good);
    }
    out.labelled("file", format_args!("{name}: {} bytes", bytes.len()));
    out.labelled("envelope", envelope_text(state.envelope()));
    out.labelled("layout", state.layout());
    if let Some(outputs) = state.outputs() {
        let (count, logits) = (outputs.positions.len(), outputs.logits.len() / 4);
        let embeddings = outputs.embeddings.len() / 4;
        let what = format_args!("{count}: {logits} logits, {embeddings} components of embeddings");
        out.labelled("outputs", what);
    }
    for (number, cache) in state.caches().enumerate() {
        let of = class(&cache);
        let (at, len, streams) = (cache.offset(), cache.byte_len(), cache.stream_count());
        let s = if streams == 1 { "" } else { "s" };
        out.labelled("cache", format_args!("{number}: {of}, {len} bytes at {at}, {streams} stream{s}"));
        for (number, stream) in cache.streams().enumerate() {
            out.labelled("stream", format_args!("{number}: {}", cells_text(&stream)));
            let [keys, values] = if cache.is_recurrent() { ["R", "S"] } else { ["keys", "values"] };
            print_tensors(keys, stream.keys(), out);
            print_tensors(values, stream.values(), out);
        }
    }
    Ok(Outcome::Good)
}

fn class(cache: &Cache<'_>) -> &'static str {
    if cache.is_recurrent() { "recurrent" } else { "kv" }
}

fn envelope_json(envelope: &Envelope<'_>, bytes: &[u8]) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("kind", envelope.kind().into());
    let marked = !matches!(envelope, Envelope::State { .. } | Envelope::Sequence { seq_id: None });
    if let Some(magic) = bytes.first_chunk().filter(|_| marked) {
        put("magic", u32::from_le_bytes(*magic).into());
    }
    if let Envelope::Session { version, .. } | Envelope::SequenceFile { version, .. } = envelope {
        put("version", (*version).into());
    }
    if let Envelope::Sequence { seq_id: Some(seq_id) } = envelope {
        put("seq_id", (*seq_id).into());
    }
    if let Some(tokens) = envelope.tokens() {
        put("n_tokens", tokens.len().into());
        put("tokens", tokens.iter().collect());
    }
    if let Some(arch) = envelope.arch() {
        put("arch", arch.into());
    }
    members.into()
}

fn envelope_text(envelope: &Envelope<'_>) -> String {
    let arch = |arch: &str| format!("arch {}", Escaped::new(arch.as_bytes()));
    match envelope {
        Envelope::State { arch: name } => format!("state, {}", arch(name)),
        Envelope::Session { version, tokens, arch: name } => {
            format!("session file, version {version}, {} tokens, {}", tokens.len(), arch(name))
        }
        Envelope::Sequence { seq_id: Some(seq_id) } => format!("sequence {seq_id}"),
        Envelope::Sequence { seq_id: None } => "sequence, of a version that does not number it".to_owned(),
        Envelope::SequenceFile { version, tokens } => {
            format!("sequence file, version {version}, {} tokens", tokens.len())
        }
    }
}

fn layout_json(layout: Layout, envelope: &Envelope<'_>) -> Value {
    let memory = match layout.memory {
        Memory::None => json!([]),
        Memory::Kv => json!(["kv"]),
        Memory::Iswa => json!(["kv", "kv"]),
        Memory::Recurrent => json!(["recurrent"]),
    };
    let extension = match layout.extension {
        Extension::None => 0,
        Extension::Xy => 8,
        Extension::XyToken => 12,
    };
    json!({
        "kind": envelope.kind(),
        "mem": memory,
        "output_section": layout.outputs,
        "n_stream_field": layout.streams,
        "ext_size": extension,
        "has_v": layout.values,
        "no_data": !layout.data,
        // Of hybrid models, which are not read.
        "rec_present": null,
    })
}

fn outputs_json(state: &State<'_>) -> Value {
    let Some(outputs) = state.outputs() else { return Value::Null };
    let end = outputs.embeddings_offset + outputs.embeddings.len() as u64;
    json!({
        "offset": outputs.offset,
        "n_outputs": outputs.positions.len(),
        "output_pos": outputs.positions.iter().collect::<Vec<_>>(),
        "logits_floats": outputs.logits.len() / 4,
        "logits_offset": outputs.logits_offset,
        "embd_floats": outputs.embeddings.len() / 4,
        "embd_offset": outputs.embeddings_offset,
        "length": end - outputs.offset,
    })
}

fn cache_json(cache: &Cache<'_>, sha256: bool) -> Value {
    json!({
        "class": class(cache),
        "offset": cache.offset(),
        "length": cache.byte_len(),
        "n_stream": cache.stream_count(),
        "streams": cache.streams().map(|stream| stream_json(&stream, sha256)).collect::<Vec<_>>(),
    })
}

fn stream_json(stream: &Stream<'_>, sha256: bool) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("cell_count", stream.cell_count().into());
    put("cells_offset", stream.cells_offset().into());
    // A stream without cells has nothing more, as a rule.
    if stream.cell_count() > 0 || stream.layer_count() > 0 {
        put("cells", stream.cells().map(|cell| cell_json(&cell)).collect());
        put("v_trans", u32::from(stream.is_transposed()).into());
        put("n_layer", stream.layer_count().into());
        put("k", stream.keys().map(|tensor| tensor_json(&tensor, sha256)).collect());
        put("v", stream.values().map(|tensor| tensor_json(&tensor, sha256)).collect());
    }
    members.into()
}

fn cell_json(cell: &Cell<'_>) -> Value {
    let mut members = Map::new();
    members.insert("pos".to_owned(), cell.pos.into());
    members.insert("seq_ids".to_owned(), cell.seq_ids().collect());
    if cell.extension().len() > 0 {
        members.insert("ext".to_owned(), cell.extension().collect());
    }
    members.into()
}

fn tensor_json(tensor: &Tensor<'_>, sha256: bool) -> Value {
    let ty = tensor.ggml_type();
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
    put("cache_layer", tensor.layer().into());
    put("type", ty.name().into());
    put("type_id", ty.id().into());
    if tensor.is_transposed() {
        put("el_size", ty.block_bytes().into());
    } else {
        put("row_size", tensor.row_size().into());
    }
    put("n_embd", tensor.width().into());
    put("offset", tensor.offset().into());
    put("length", tensor.byte_len().into());
    if let Some(bytes) = tensor.as_bytes().filter(|_| sha256) {
        put("sha256", hex(&Sha256::digest(bytes)).into());
    }
    members.into()
}

/// `37 cells: positions 0-36 of sequence 0`
fn cells_text(stream: &Stream<'_>) -> String {
    let (mut runs, mut more) = (Vec::<(i32, i32, Vec<i32>)>::new(), 0u32);
    for cell in stream.cells() {
        let full = runs.len() >= LISTED;
        match runs.last_mut() {
            Some((_, last, ids))
                if last.checked_add(1) == Some(cell.pos) && cell.seq_ids().eq(ids.iter().copied()) =>
            {
                *last = cell.pos;
            }
            _ if !full => runs.push((cell.pos, cell.pos, cell.seq_ids().collect())),
            _ => more += 1,
        }
    }
    let texts = runs.iter().map(|(first, last, ids)| {
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
        match ids.as_slice() {
            [] => range,
            [id] => format!("{range} of sequence {id}"),
            _ => format!("{range} of sequences {}", ids.join(" ")),
        }
    });
    let texts: Vec<String> = texts.collect();
    let more = if more > 0 { format!(", and {more} more cells") } else { String::new() };
    match stream.cell_count() {
        0 => "no cells".to_owned(),
        1 => format!("1 cell: position {}", texts.join(", ")),
        count => format!("{count} cells: positions {}{more}", texts.join(", ")),
    }
}

/// One line for each run of layers that are alike.
fn print_tensors<'a>(label: &str, tensors: impl Iterator<Item = Tensor<'a>>, out: &mut Output) {
    let mut runs: Vec<(Tensor<'a>, u32, u64)> = Vec::new();
    for tensor in tensors {
        match runs.last_mut() {
            Some((first, last, bytes))
                if (first.ggml_type(), first.width()) == (tensor.ggml_type(), tensor.width()) =>
            {
                *last = tensor.layer();
                *bytes += tensor.byte_len();
            }
            _ => runs.push((tensor, tensor.layer(), tensor.byte_len())),
        }
    }
    for (first, last, bytes) in runs {
        let layers = match first.layer() {
            layer if layer == last => format!("layer {layer}"),
            layer => format!("layers {layer}-{last}"),
        };
        let (ty, width, row) = (first.ggml_type().name(), first.width(), first.row_size());
        let how = if first.is_transposed() { ", transposed" } else { "" };
        let there = if first.as_bytes().is_some() { "" } else { ", which the blob does not have" };
        let what =
            format_args!("{layers}: {ty}, {width} a cell in {row} bytes{how}; {bytes} bytes in all{there}");
        out.labelled(label, what);
    }
}

pub(super) fn keys(args: &KeysArgs, out: &mut Output) -> Result<Outcome, Problem> {
    check_paths(&args.out, args.json, &[&args.blob])?;
    let file = KeyFile::open(&args.blob)?;
    let part = if args.values { Part::Values } else { Part::Keys };
    let (shape, values) = file.with(&args.source, part, false, |sources| {
        let Some(keys) = sources.first() else { return Err(file.usage("there are no keys".to_owned())) };
        let shape = keys.shape();
        let KeyShape { layers, heads, tokens, head_dim } = shape;
        let rows = shape.rows().map_err(|error| file.unfit(error))?;
        let count = usize::try_from(rows).ok().and_then(|rows| rows.checked_mul(head_dim as usize));
        let mut values: Vec<f32> = Vec::new();
        if count.is_none_or(|count| values.try_reserve_exact(count).is_err()) {
            return Err(file.usage(format!("{shape}: there is no memory for them as f32")));
        }
        values.resize(count.unwrap_or(0), 0.0);
        let mut places = values.chunks_exact_mut((head_dim as usize).max(1));
        for layer in 0..layers {
            for head in 0..heads {
                for (token, place) in (0..tokens).zip(&mut places) {
                    keys.key_into(layer, head, token, place).map_err(|error| file.unfit(error))?;
                }
            }
        }
        Ok((shape, values))
    })?;
    let KeyShape { layers, heads, tokens, head_dim } = shape;
    let dims = [layers, heads, tokens, head_dim].map(u64::from);
    if input::is_stream(&args.out) {
        write_array_f32(out.bytes(), &dims, &values).map_err(|cause| cause.at("standard output"))?;
        return Ok(Outcome::Good);
    }
    write_whole(&args.out, |file| write_array_f32(file, &dims, &values))?;
    let name = input::name(&args.out);
    if args.json {
        let what = if args.values { "values" } else { "keys" };
        let members = vec![("file", name.into()), ("shape", json!(dims)), ("what", what.into())];
        out.json("engram-keys", members);
    } else {
        out.labelled("file", name);
        out.labelled("shape", shape);
    }
    Ok(Outcome::Good)
}

//! `gist import`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use bitwire::beacon::StepChoice;
use bitwire::engram::ggml::GgmlType;
use bitwire::engram::state::Stream;
use bitwire::engram::{KeyShape, KeySource};
use bitwire::gist::{GistIds, GistPayload, GistView, Part, Store, StoreLoss, TokensOf, cells_of};
use bitwire::io::gist::{KvLayers, Sidecar, sidecar_path};
use bitwire::io::safetensors::TensorFile;
use bitwire::mirror::Scalar;
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::show;
use super::source::{Input, LedgerIndex};
use super::text::TextArgs;
use crate::args::{Common, ContextArgs, step};
use crate::engram::source::{CacheArgs, KeyFile};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::floats::FloatArray;
use crate::input::Bytes;
use crate::mirror::{ALIGNMENT, check_paths, encode, usage};
use crate::{input, keys};

/// Carry a compressed context in a frame: from the files of a gist model, or out of a full KV
///
/// A .safetensors file has layer_0_key, layer_0_value, layer_1_key and so on, each [batch, heads, tokens, head_dim], and beside
/// it, under the same name with .json, what else is to be said of it. Without --positions or --gist-ids all its tokens are
/// gist tokens; with them it is a full KV, and so is a state blob of llama.cpp.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    bitwire gist import gist.safetensors gist.bit kv llama-8b-gist none --source chat.ledger\n  \
    bitwire gist import keys.npy gist.bit kv llama-8b-gist none --values values.npy --gist-ids 32000,32001 --tokens chat.u32\n  \
    bitwire gist import chat.state gist.bit kv llama-8b-gist none --positions 27..37 --head-dim 64\n\n\
    Arrays are [layers, heads, tokens, head_dim], or keys and values in one: [layers, 2, heads, tokens, head_dim].")]
pub(crate) struct Import {
    /// .safetensors, .npy of f32, f16 or bf16 (V2), or a state blob; - for standard input
    pub(crate) input: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// The sidecar [default: of .safetensors taken as it is, the file of the same name with .json, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) sidecar: Option<PathBuf>,
    /// Take no sidecar
    #[arg(long, conflicts_with_all = ["sidecar", "trust_sidecar"])]
    pub(crate) no_sidecar: bool,
    /// Take as many layers as the sidecar says, from the first on, and leave the others out
    #[arg(long)]
    pub(crate) trust_sidecar: bool,
    /// Which sequence of a batch to take, from 0
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) batch: Option<u32>,
    /// Positions of the gist tokens, the second not among them; of a blob they are those of its cells
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with_all = ["gist_ids", "tokens"])]
    pub(crate) positions: Option<Range<u32>>,
    #[command(flatten)]
    pub(super) text: TextArgs,
    /// Take the first of several runs of gist tokens
    #[arg(long, requires = "gist_ids")]
    pub(crate) first_run: bool,
    /// The values, where an array has the keys alone
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) values: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// What to store a component as [default: what it is; f32 if it is quantised]
    #[arg(long, value_enum)]
    pub(crate) store: Option<StoreArg>,
    /// With --store mu16: the step in units of 2^-16 [default: auto, the smallest at which nothing saturates]
    #[arg(long, value_name = "N|auto", value_parser = step, allow_negative_numbers = true)]
    pub(crate) delta_q16: Option<StepChoice>,
    /// How many tokens of context the gist stands for [default: those of --source; else not known]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) source_tokens: Option<u64>,
    /// The ledger that holds this context, or its index: the gist is bound to it (verified, if there is a key)
    #[arg(long, value_name = "LEDGER|LEDGER.idx")]
    pub(crate) source: Option<PathBuf>,
    /// Take values that are NaN or infinite, which spoil every answer
    #[arg(long)]
    pub(crate) allow_non_finite: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum StoreArg {
    /// 32-bit floats
    F32,
    /// 16-bit floats
    F16,
    /// the upper halves of 32-bit floats
    Bf16,
    /// 16-bit multiples of one step
    Mu16,
}

fn range(text: &str) -> Result<Range<u32>, String> {
    let (start, end) = text.split_once("..").unwrap_or((text, ""));
    match (start.parse(), end.parse()) {
        (Ok(start), Ok(end)) if start < end => Ok(start..end),
        _ => Err("has to be two positions such as 100..110, the first below the second".to_owned()),
    }
}

pub(super) fn import(args: &Import, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let given = [&args.sidecar, &args.text.tokens, &args.values, &args.source];
    let inputs: Vec<&Path> =
        [args.input.as_path()].into_iter().chain(given.into_iter().flatten().map(PathBuf::as_path)).collect();
    check_paths(&args.out, args.common.json, &inputs)?;
    if args.delta_q16.is_some() && !matches!(args.store, Some(StoreArg::Mu16)) {
        return Err(Problem::Usage("--delta-q16 is the step of --store mu16".to_owned()));
    }
    let positions = match &args.positions {
        Some(positions) => Some(positions.clone()),
        None => args.text.with(|path, tokens, ids| run_of(path, tokens, ids, args.first_run))?,
    };
    let file = Input::open(&args.input)?;
    check_fit(args, &file)?;
    let sidecar = sidecar(args, &file, positions.is_some())?;
    if let Some((path, _)) = &sidecar {
        input::not_over(&args.out, &[path])?;
    }
    let payload = payload(args, file, positions, sidecar.as_ref())?;
    if let Some((path, sidecar)) = &sidecar {
        sidecar.check(&payload.shape()).map_err(|error| disagrees(path, error))?;
    }

    let index = args.source.as_deref().map(LedgerIndex::open).transpose()?;
    if let Some(index) = &index {
        input::not_over(&args.out, &[index.path()])?;
    }
    let (tokens, root) = match &index {
        None => (args.source_tokens.unwrap_or(0), None),
        Some(file) => {
            let index = file.get(key.as_ref())?;
            let (asked, all) = (args.source_tokens, index.total_tokens());
            if let Some(asked) = asked.filter(|&asked| asked > all) {
                return Err(Problem::Usage(format!(
                    "--source-tokens {asked}: {} covers {all} tokens",
                    file.name()
                )));
            }
            (asked.unwrap_or(all), Some(*index.root()))
        }
    };
    let mut gist = payload.builder().map_err(usage)?.source(tokens, root.as_ref());
    if let Some((_, sidecar)) = &sidecar {
        gist = gist.metadata(sidecar.as_str());
    }
    let context = input::context(&args.context, payload.shape().head_dim)?;
    let frame =
        gist.to_frame(context.hash()).and_then(|frame| frame.context_json(context.as_str().as_bytes()));
    let bytes = encode(frame.map_err(usage)?.align_payload(ALIGNMENT), key.as_ref())?;
    let name = input::name(&args.out);
    let view = GistView::parse_exact(&bytes).map_err(|error| Problem::frame(&name, error))?;
    check_finite(args, &view, payload.loss())?;
    if payload.loss().saturated > 0 {
        let count = payload.loss().saturated;
        let name = input::name(&args.input);
        tell!("bitwire: warning: {name}: {count} values saturate; a larger --delta-q16, or auto, holds them");
    }
    input::write(&args.out, &bytes, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    if args.common.json {
        let mut members = show::members(&name, &view, key.is_some(), GgmlType::F16)?;
        members.push(("loss", loss_json(payload.loss())));
        out.json("gist-import", members);
    } else {
        show::print(&name, &view, key.as_ref(), GgmlType::F16, out)?;
        out.labelled("loss", loss_text(payload.loss()));
    }
    Ok(Outcome::Good)
}

/// Refuses what says nothing of this input, rather than doing nothing about it.
fn check_fit(args: &Import, file: &Input) -> Result<(), Problem> {
    let (tensors, array, blob) = match file {
        Input::Tensors(_) => (true, false, false),
        Input::Array(_) => (false, true, false),
        Input::Blob(_) => (false, false, true),
    };
    let given = [
        (args.batch.is_some() && !tensors, "--batch", ".safetensors files"),
        (args.trust_sidecar && !tensors, "--trust-sidecar", ".safetensors files"),
        (args.values.is_some() && !array, "--values", "arrays"),
        (args.cache.hadamard.is_some() && !blob, "--hadamard", "state blobs"),
    ];
    let given = given.into_iter().find(|(wrong, ..)| *wrong).map(|(_, name, what)| (name, what));
    let of_blob = args.cache.for_blobs().filter(|_| !blob).map(|name| (name, "state blobs"));
    match given.or(of_blob) {
        Some((name, what)) => {
            Err(problem(args, format_args!("{name} is for {what}; this is {}", file.kind())))
        }
        None => Ok(()),
    }
}

/// The positions of the gist tokens of a text.
fn run_of(path: &Path, tokens: &[u32], ids: GistIds<'_>, first_run: bool) -> Result<Range<u32>, Problem> {
    let name = input::name(path);
    let run = match ids.first_run(tokens).filter(|_| first_run) {
        Some(run) => run,
        None => ids.only_run(tokens).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::SplitGists { .. } => "; --first-run takes the first alone",
                _ => "",
            };
            Problem::Usage(format!("{name}: {error}{hint}"))
        })?,
    };
    let position = |at: usize| {
        u32::try_from(at).map_err(|_| Problem::Usage(format!("{name}: there are too many tokens")))
    };
    Ok(position(run.start)?..position(run.end)?)
}

fn problem(args: &Import, message: impl std::fmt::Display) -> Problem {
    Problem::Usage(format!("{}: {message}", input::name(&args.input)))
}

fn disagrees(path: &Path, error: Error) -> Problem {
    let hint = match error.kind() {
        ErrorKind::SidecarDiffers { field: "num_layers", sidecar, tensors }
            if sidecar > 0 && sidecar < tensors =>
        {
            "; --trust-sidecar takes these layers alone"
        }
        ErrorKind::SidecarDiffers { .. } => "; --no-sidecar leaves it out",
        _ => "",
    };
    Problem::Usage(format!("{}: {error}{hint}", input::name(path)))
}

/// The sidecar and where it is: the one that is named, or the one beside tensors that are taken as they are.
fn sidecar(args: &Import, file: &Input, full: bool) -> Result<Option<(PathBuf, Sidecar)>, Problem> {
    let found = match &args.sidecar {
        Some(path) => {
            let read = Sidecar::read(input::open(path)?);
            Some((path.clone(), read.map_err(|cause| cause.at(input::label(path)))?))
        }
        // What stands beside a full KV does not speak of the gist in it.
        None if args.no_sidecar || full || input::is_stream(&args.input) => None,
        None if matches!(file, Input::Tensors(_)) => {
            Sidecar::beside(&args.input)?.map(|sidecar| (sidecar_path(&args.input), sidecar))
        }
        None => None,
    };
    if args.trust_sidecar && found.is_none() {
        return Err(problem(args, "--trust-sidecar: there is no sidecar; --sidecar FILE names one"));
    }
    Ok(found)
}

fn payload(
    args: &Import,
    file: Input,
    positions: Option<Range<u32>>,
    sidecar: Option<&(PathBuf, Sidecar)>,
) -> Result<GistPayload, Problem> {
    match file {
        Input::Tensors(bytes) => {
            let unfit = |error| input::unfit(&args.input, error);
            let tensors = TensorFile::parse(bytes.as_ref()).map_err(unfit)?;
            let mut layers =
                KvLayers::from_tensors(&tensors, args.batch).map_err(|error| match error.kind() {
                    ErrorKind::BatchOpen { .. } => problem(args, format_args!("{error}; give --batch N")),
                    _ => unfit(error),
                })?;
            if let Some((path, sidecar)) = sidecar.filter(|_| args.trust_sidecar) {
                layers = layers.trusting(sidecar).map_err(|error| disagrees(path, error))?;
            }
            of_layers(args, &layers, positions)
        }
        Input::Array(array) => of_array(args, &array, positions),
        Input::Blob(bytes) => {
            let Some(positions) = positions else {
                let message = "a state blob is a full KV: say where its gist tokens are, by --positions A..B or --gist-ids";
                return Err(problem(args, message));
            };
            of_blob(args, bytes, positions)
        }
    }
}

fn of_array(
    args: &Import,
    array: &FloatArray,
    positions: Option<Range<u32>>,
) -> Result<GistPayload, Problem> {
    let unfit = |error| input::unfit(&args.input, error);
    let layers = match (array.parts(), &args.values) {
        (None, Some(path)) => {
            let values =
                FloatArray::new(input::map(path)?, true).map_err(|error| input::unfit(path, error))?;
            if values.text() != array.text() {
                let name = input::name(path);
                return Err(problem(
                    args,
                    format_args!("the keys are {}, the values in {name} {}", array.text(), values.text()),
                ));
            }
            let layers = KvLayers::from_halves(array.shape(), array.scalar(), array.bytes(), values.bytes());
            return of_layers(args, &layers.map_err(unfit)?, positions);
        }
        (None, None) => {
            return Err(problem(args, "the array has four dimensions, keys alone: give --values FILE.npy"));
        }
        (Some(_), Some(_)) => {
            let message = "the array has five dimensions, keys and values: leave --values out";
            return Err(problem(args, message));
        }
        (Some(2), None) => KvLayers::from_whole(array.shape(), array.scalar(), array.bytes()),
        (Some(_), None) => {
            let text = array.text();
            let message = format_args!(
                "the array is {text}; the second of five dimensions has to be 2, keys and values"
            );
            return Err(problem(args, message));
        }
    };
    of_layers(args, &layers.map_err(unfit)?, positions)
}

fn of_layers(
    args: &Import,
    layers: &KvLayers<'_>,
    positions: Option<Range<u32>>,
) -> Result<GistPayload, Problem> {
    let own = match layers.scalar() {
        Scalar::F16 => Store::F16,
        Scalar::Bf16 => Store::Bf16,
        Scalar::F32 | Scalar::Mu16(_) => Store::F32,
    };
    let shape = layers.shape();
    let positions = positions.unwrap_or(0..shape.tokens);
    let shape = KeyShape { tokens: positions.end - positions.start, ..shape };
    layers.payload(positions, store(args, own)).map_err(|error| refused(args, &shape, error))
}

fn of_blob(args: &Import, bytes: Bytes, positions: Range<u32>) -> Result<GistPayload, Problem> {
    let Some(head_dim) = args.cache.head_dim else {
        return Err(problem(
            args,
            "a state blob does not say how many components a head has: give --head-dim D",
        ));
    };
    KeyFile::blob(&args.input, bytes).with_both(&args.cache, |state, stream, keys, values| {
        if args.cache.hadamard.is_none() && state.may_be_rotated(head_dim) {
            tell!(
                "bitwire: warning: {}: quantised keys and values are likely to be stored under a Hadamard rotation, which the \
                 blob does not tell; --hadamard undoes it",
                input::name(&args.input)
            );
        }
        let unfit = |error| input::unfit(&args.input, error);
        let cells = cells_of(stream, positions).map_err(|error| problem(args, error))?;
        let keys = TokensOf::new(keys, &cells).map_err(unfit)?;
        let values = TokensOf::new(values, &cells).map_err(unfit)?;
        let shape = keys.shape();
        GistPayload::extract(&keys, &values, 0..shape.tokens, store(args, stored(stream)))
            .map_err(|error| refused(args, &shape, error))
    })
}

/// What holds a blob's components exactly.
fn stored(stream: &Stream<'_>) -> Store {
    let mut types = stream.keys().chain(stream.values()).map(|tensor| tensor.ggml_type());
    let first = types.next();
    match first.filter(|first| types.all(|other| other == *first)) {
        Some(GgmlType::F16) => Store::F16,
        Some(GgmlType::Bf16) => Store::Bf16,
        _ => Store::F32,
    }
}

fn store(args: &Import, own: Store) -> Store {
    match args.store {
        None => own,
        Some(StoreArg::F32) => Store::F32,
        Some(StoreArg::F16) => Store::F16,
        Some(StoreArg::Bf16) => Store::Bf16,
        Some(StoreArg::Mu16) => Store::Mu16(args.delta_q16.unwrap_or(StepChoice::Auto)),
    }
}

/// Why there is no gist of this shape in the input.
fn refused(args: &Import, shape: &KeyShape, error: Error) -> Problem {
    match error.kind() {
        ErrorKind::NonFinite { row, column } => {
            let place = place(shape, row, column);
            problem(args, format_args!("{place} is not finite, which MU16 cannot hold"))
        }
        ErrorKind::PastEnd { field: "the range of positions", end, .. } => {
            let range = match &args.positions {
                Some(Range { start, end }) => format!("--positions {start}..{end}"),
                None => "the gist tokens".to_owned(),
            };
            problem(args, format_args!("{range}: there are {end} tokens"))
        }
        _ => input::unfit(&args.input, error),
    }
}

/// `layer_1_value, head 0, token 2, component 3`, of a row of the payload.
fn place(shape: &KeyShape, row: u64, column: u64) -> String {
    let (tokens, heads) = (u64::from(shape.tokens).max(1), u64::from(shape.heads).max(1));
    let (half, head, token) = (row / tokens / heads, row / tokens % heads, row % tokens);
    let part = if half % 2 == 0 { "key" } else { "value" };
    format!("layer_{}_{part}, head {head}, gist token {token}, component {column}", half / 2)
}

/// Refuses what would spoil every answer, unless it is meant.
fn check_finite(args: &Import, gist: &GistView<'_>, loss: &StoreLoss) -> Result<(), Problem> {
    if args.allow_non_finite || gist.is_finite() {
        return Ok(());
    }
    let shape = gist.shape();
    let mut row = vec![0.0; shape.head_dim as usize];
    let mut number = 0;
    for layer in 0..shape.layers {
        for part in Part::BOTH {
            let rows = gist.rows(part);
            for head in 0..shape.heads {
                for token in 0..shape.tokens {
                    rows.key_into(layer, head, token, &mut row).map_err(usage)?;
                    if let Some(column) = row.iter().position(|x| !x.is_finite()) {
                        let place = place(&shape, number, column as u64);
                        return Err(problem(
                            args,
                            match loss.non_finite {
                                0 => format!(
                                    "{place} is too large for {}: choose another --store, or --allow-non-finite",
                                    gist.scalar().element().name()
                                ),
                                _ => format!(
                                    "{place} is not finite; --allow-non-finite imports it all the same"
                                ),
                            },
                        ));
                    }
                    number += 1;
                }
            }
        }
    }
    Ok(())
}

/// JSON has no number for what is not finite.
pub(super) fn loss_json(loss: &StoreLoss) -> Value {
    let number = |x: f64| Some(x).filter(|x| x.is_finite());
    json!({
        "max_error": number(loss.max_error),
        "rms_error": number(loss.rms_error),
        "rms_value": number(loss.rms_value),
        "saturated": loss.saturated,
        "non_finite": loss.non_finite,
    })
}

pub(super) fn loss_text(loss: &StoreLoss) -> String {
    if loss.max_error == 0.0 {
        return "none".to_owned();
    }
    if !loss.max_error.is_finite() {
        return "values too large for the type became infinite".to_owned();
    }
    let StoreLoss { max_error, rms_error, rms_value, .. } = loss;
    format!("at most {max_error:.3e} in a component, RMS {rms_error:.3e} (of the components {rms_value:.3e})")
}

//! `engram eng show` and `engram eng write`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bitwire::engram::certificate::{
    Certificate, CertificateBuilder, Excess, HalfVector, Layout, RawCertificate,
};
use bitwire::io::Escaped;
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::entries::time_text;
use super::vectors::Array;
use crate::exit::{Outcome, Output, Problem, error_json, hex};
use crate::input;

/// Show a certificate
///
/// Of one that is refused for its text or numbers everything is shown that is there, and the exit status is 1. With --layout that holds
/// for files that are cut or followed by something, too.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire engram eng show notes.eng --json | jq .vectors.vec_perdoc\n\n\
    ENGRAM's safetensors files are named .eng as well, and are no certificates.")]
pub(crate) struct Show {
    /// The certificate; - for standard input
    pub(crate) file: PathBuf,
    /// The header it is known to have, in bytes, in place of the one its length tells
    #[arg(long, value_enum, value_name = "99|107")]
    pub(crate) layout: Option<LayoutArg>,
    /// Print the result as one JSON object, with the vectors
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write a certificate, as ENGRAM's encoder does
///
/// Vectors are f32 or f16 in .npy files of one dimension, and are written as f16.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram eng write notes.eng --perdoc perdoc.npy --fcdb fcdb.npy --center center.npy \\\n      \
    --model Llama-3.1-8B --cache-id notes-17 --task 'Notes of the meeting' --layers 8..24")]
pub(crate) struct WriteArgs {
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    /// The fingerprint by the document's own keys (vec_perdoc)
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) perdoc: PathBuf,
    /// The fingerprint in the basis of the corpus (vec_fcdb), of the same length
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) fcdb: PathBuf,
    /// The centre of the corpus (joint_center): 128 components
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) center: PathBuf,
    /// The Fourier fingerprint (vec_fourier)
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) fourier: Option<PathBuf>,
    /// The second Fourier fingerprint (vec_fourier_v2)
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) fourier2: Option<PathBuf>,
    /// The hash of the basis: ASCII, at most 32 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) corpus_hash: String,
    /// The time of making, in UTC: YYYY-MM-DDTHH:MM:SS [default: now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) created_at: Option<String>,
    /// The model: ASCII, at most 16 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) model: String,
    /// What the context is about: at most 256 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) task: String,
    /// The id of the cache: at most 64 bytes
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) cache_id: String,
    /// The layers: the first, and the one after the last, from -128 to 127
    #[arg(long, value_name = "A..B", default_value = "0..0", value_parser = layers, allow_hyphen_values = true)]
    pub(crate) layers: (i8, i8),
    /// Documents that the basis was made from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) n_corpus: u16,
    /// Rows of keys that were read: layers * heads * cells
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) context_len: u32,
    /// Norm of the mean key
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) l2_norm: f32,
    /// Share of the mean's difference from the centre that the basis holds
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) scs: f32,
    /// Margin of the semantic proof
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) margin_proof: f32,
    /// How many others are near
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) local_density: u16,
    /// Stability of the fingerprint
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) eigenform_score: f32,
    /// The fingerprint is easily taken for another's
    #[arg(long)]
    pub(crate) confusion_flag: bool,
    /// What to do with text that is too long, and numbers beyond f16
    #[arg(long, value_enum, default_value = "refuse")]
    pub(crate) excess: ExcessArg,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LayoutArg {
    /// as published
    #[value(name = "99")]
    Header99,
    /// as ENGRAM's encoder writes it
    #[value(name = "107")]
    Header107,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ExcessArg {
    /// nothing is written
    Refuse,
    /// cut text after a whole character; refuse numbers
    Trim,
    /// as ENGRAM's encoder: cut text by bytes, let numbers become infinite
    Original,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|number: &f32| number.is_finite()).ok_or("has to be a finite number".to_owned())
}

fn layers(text: &str) -> Result<(i8, i8), String> {
    let (first, end) = text.split_once("..").unwrap_or_default();
    let pair = first.parse().ok().zip(end.parse().ok());
    pair.ok_or("has to be two numbers from -128 to 127, as 8..24".to_owned())
}

/// The form alone: no calendar.
fn time(text: &str) -> Result<String, String> {
    let digit = |(c, form): (u8, u8)| if form == b'0' { c.is_ascii_digit() } else { c == form };
    let form = b"0000-00-00T00:00:00";
    if text.len() == form.len() && text.bytes().zip(*form).all(digit) {
        return Ok(text.to_owned());
    }
    Err("has to be of the form 2026-11-21T10:09:13".to_owned())
}

/// The time in UTC, by the Gregorian calendar.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // A certificate's time has no zone: it is UTC.
    time_text(i64::try_from(seconds).unwrap_or(0)).trim_end_matches('Z').to_owned()
}

pub(super) fn show(args: &Show, out: &mut Output) -> Result<Outcome, Problem> {
    let name = input::name(&args.file);
    let bytes = input::read(&args.file)?;
    let located = match args.layout {
        None => RawCertificate::parse(&bytes),
        Some(LayoutArg::Header99) => RawCertificate::locate(&bytes, Layout::Header99),
        Some(LayoutArg::Header107) => RawCertificate::locate(&bytes, Layout::Header107),
    };
    let raw = located.map_err(|error| Problem::frame(&name, error))?;
    let error = Certificate::from_raw(&raw).err();
    if args.json {
        let mut members = certificate_json(&name, &raw);
        members.push(("valid", error.is_none().into()));
        members.push(("error", error.as_ref().map_or(Value::Null, error_json)));
        out.json("engram-eng-show", members);
    } else {
        print_certificate(&name, &raw, out);
    }
    // What is there goes before what is wrong with it.
    match error {
        Some(error) => Err(Problem::Invalid(format!("{name}: {error}"))),
        None => Ok(Outcome::Good),
    }
}

const VECTORS: [&str; 5] = ["vec_perdoc", "vec_fcdb", "joint_center", "vec_fourier", "vec_fourier_v2"];

fn vectors<'a>(raw: &RawCertificate<'a>) -> [(&'static str, HalfVector<'a>); 5] {
    let [a, b, c, d, e] = VECTORS;
    [
        (a, raw.vec_perdoc()),
        (b, raw.vec_fcdb()),
        (c, raw.joint_center()),
        (d, raw.vec_fourier()),
        (e, raw.vec_fourier_v2()),
    ]
}

/// Without the zero bytes that fill the field up; anything else as it is, but for what is not UTF-8.
fn unpadded(field: &[u8]) -> String {
    let end = field.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

fn certificate_json(name: &str, raw: &RawCertificate<'_>) -> Vec<(&'static str, Value)> {
    let (task, task_rest) = raw.task_description_prefix();
    let (cache, cache_rest) = raw.cache_id_prefix();
    let offsets: Map<String, Value> =
        raw.offsets().into_iter().map(|(name, offset)| (name.to_owned(), offset.into())).collect();
    // JSON has no infinities and no NaN: null.
    let values = vectors(raw).into_iter().filter(|(_, vector)| !vector.is_empty());
    let values: Map<String, Value> = values
        .map(|(name, vector)| (name.to_owned(), vector.iter().map(Value::from).collect::<Vec<_>>().into()))
        .collect();
    vec![
        ("file", name.into()),
        ("bytes", raw.as_bytes().len().into()),
        ("header_bytes", raw.layout().header_len().into()),
        ("version", 1.into()),
        ("corpus_hash", unpadded(raw.corpus_hash_bytes()).into()),
        ("created_at", unpadded(raw.created_at_bytes()).into()),
        ("model_id", unpadded(raw.model_id_bytes()).into()),
        ("basis_rank", raw.basis_rank().into()),
        ("n_corpus", raw.n_corpus().into()),
        ("layer_range", json!([raw.layer_range().0, raw.layer_range().1])),
        ("context_len", raw.context_len().into()),
        ("l2_norm", raw.l2_norm().into()),
        ("scs", raw.scs().into()),
        ("margin_proof", raw.margin_proof().into()),
        ("task_description", task.into()),
        ("task_description_rest_hex", hex(task_rest).into()),
        ("cache_id", cache.into()),
        ("cache_id_rest_hex", hex(cache_rest).into()),
        ("local_density", raw.local_density().into()),
        ("eigenform_score", raw.eigenform_score().into()),
        ("extension", raw.has_extension().into()),
        ("confusion_flag", (raw.confusion_flag_byte() != 0).into()),
        ("missing_bytes", raw.missing().into()),
        ("trailing_bytes", raw.rest().len().into()),
        ("offsets", offsets.into()),
        ("vectors", values.into()),
    ]
}

fn print_certificate(name: &str, raw: &RawCertificate<'_>, out: &mut Output) {
    let text = |bytes: &[u8]| Escaped::new(bytes).to_string();
    let header = raw.layout().header_len();
    out.labelled("file", format_args!("{name}: {} bytes, {header} of them header", raw.as_bytes().len()));
    out.labelled("cache id", text(raw.cache_id_bytes()));
    out.labelled("task", text(raw.task_description_bytes()));
    out.labelled("model", text(unpadded(raw.model_id_bytes()).as_bytes()));
    out.labelled("created at", text(unpadded(raw.created_at_bytes()).as_bytes()));
    let hash = unpadded(raw.corpus_hash_bytes());
    out.labelled("basis", format_args!("{}; {} documents", text(hash.as_bytes()), raw.n_corpus()));
    let (first, end) = raw.layer_range();
    out.labelled("layers", format_args!("{first}..{end}; {} rows of keys", raw.context_len()));
    out.labelled("l2 norm", raw.l2_norm());
    out.labelled("scs", raw.scs());
    out.labelled("margin", raw.margin_proof());
    out.labelled("density", raw.local_density());
    out.labelled("eigenform", raw.eigenform_score());
    out.labelled("confusion", if raw.confusion_flag_byte() == 0 { "no" } else { "yes" });
    for (name, vector) in vectors(raw).into_iter().filter(|(_, vector)| !vector.is_empty()) {
        let norm = vector.iter().map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        out.labelled("vector", format_args!("{name}: {} components, norm {norm:.4}", vector.len()));
    }
    if raw.missing() > 0 {
        out.labelled("missing", format_args!("{} bytes", raw.missing()));
    }
    if !raw.rest().is_empty() {
        out.labelled("trailing", format_args!("{} bytes", raw.rest().len()));
    }
}

pub(super) fn write(args: &WriteArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let inputs = [
        Some(&args.perdoc),
        Some(&args.fcdb),
        Some(&args.center),
        args.fourier.as_ref(),
        args.fourier2.as_ref(),
    ];
    let paths: Vec<&Path> = inputs.iter().flatten().map(|path| path.as_path()).collect();
    input::one_result(&args.out, args.json)?;
    input::one_stream(paths.iter().copied())?;
    input::not_over(&args.out, &paths)?;
    input::check_output(&args.out)?;
    let mut read = [const { Vec::new() }; 5];
    for (vector, path) in read.iter_mut().zip(inputs) {
        if let Some(path) = path {
            *vector = floats(path)?;
        }
    }
    let [vec_perdoc, vec_fcdb, joint_center, vec_fourier, vec_fourier_v2] = &read;
    let created_at = args.created_at.clone().unwrap_or_else(now);
    let builder = CertificateBuilder {
        corpus_hash: &args.corpus_hash,
        created_at: &created_at,
        model_id: &args.model,
        n_corpus: args.n_corpus,
        layer_range: args.layers,
        context_len: args.context_len,
        l2_norm: args.l2_norm,
        scs: args.scs,
        margin_proof: args.margin_proof,
        task_description: &args.task,
        cache_id: &args.cache_id,
        local_density: args.local_density,
        eigenform_score: args.eigenform_score,
        confusion_flag: args.confusion_flag,
        vec_perdoc,
        vec_fcdb,
        joint_center,
        vec_fourier,
        vec_fourier_v2,
        excess: match args.excess {
            ExcessArg::Refuse => Excess::Refuse,
            ExcessArg::Trim => Excess::Trim,
            ExcessArg::Original => Excess::Original,
        },
    };
    let bytes = builder.to_vec().map_err(|error| Problem::Usage(error.to_string()))?;
    input::write(&args.out, &bytes, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    if args.json {
        let raw = RawCertificate::parse(&bytes).map_err(|error| Problem::frame(&name, error))?;
        let mut members = certificate_json(&name, &raw);
        members.retain(|(name, _)| *name != "vectors");
        out.json("engram-eng-write", members);
    } else {
        out.labelled("file", format_args!("{name}: {} bytes", bytes.len()));
    }
    Ok(Outcome::Good)
}

/// The components of a .npy file of one dimension.
fn floats(path: &Path) -> Result<Vec<f32>, Problem> {
    let Array { dims, values } = Array::read(path)?;
    if dims.len() != 1 {
        let kind = ErrorKind::NpyDims { needed: "1", found: u32::try_from(dims.len()).unwrap_or(u32::MAX) };
        return Err(input::unfit(path, Error::caller(kind)));
    }
    Ok(values)
}

//! `gist show`, and what every gist verb says of a gist.

use std::path::PathBuf;

use bitwire::engram::ggml::GgmlType;
use bitwire::frame::Key;
use bitwire::gist::GistView;
use bitwire::io::Escaped;
use bitwire::io::gist::Sidecar;
use bitwire::mirror::Scalar;
use clap::Args;
use serde_json::{Map, Value};

use super::source::LedgerIndex;
use crate::args::Common;
use crate::exit::{Outcome, Output, Problem, hex};
use crate::mirror::{Members, frame_json};
use crate::verify::print_frame;
use crate::{input, keys};

/// Show a gist: its shape, what it stands for, what it saves
///
/// Ratios: tokens of the source for a gist token; bytes of the KV of the source, in a cache of --cache-type, for a byte of
/// the gist. The exit status is 1 if the gist is not of the ledger given.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire gist show gist.bit --source chat.ledger.idx --cache-type q8_0")]
pub(crate) struct Show {
    /// The gist; - for standard input
    pub(crate) file: PathBuf,
    /// The ledger that the gist should have been made from, or its index (verified, if there is a key)
    #[arg(long, value_name = "LEDGER|LEDGER.idx")]
    pub(crate) source: Option<PathBuf>,
    /// Type of the cache to compare bytes with: f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = cache_type)]
    pub(crate) cache_type: GgmlType,
    #[command(flatten)]
    pub(crate) common: Common,
}

fn cache_type(text: &str) -> Result<GgmlType, String> {
    GgmlType::from_name(text)
        .ok_or("has to be the name of a type of llama.cpp's caches, such as f16".to_owned())
}

pub(super) fn show(args: &Show, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_stream([Some(&args.file), args.source.as_ref()].into_iter().flatten().map(PathBuf::as_path))?;
    let name = input::name(&args.file);
    let bytes = input::read_frames(&args.file)?;
    let frame = input::frame(&name, &bytes, key.as_ref())?;
    let gist = GistView::from_frame(&frame).map_err(|error| Problem::frame(&name, error))?;
    let index = args.source.as_deref().map(LedgerIndex::open).transpose()?;
    if let Some(file) = &index {
        let index = file.get(key.as_ref())?;
        let between = format!("{name} and {}", file.name());
        gist.check_source(&index).map_err(|error| Problem::frame(&between, error))?;
    }
    if args.common.json {
        let mut members = members(&name, &gist, key.is_some(), args.cache_type)?;
        members.push(("source_checked", index.is_some().into()));
        out.json("gist-show", members);
    } else {
        print(&name, &gist, key.as_ref(), args.cache_type, out)?;
        if let Some(file) = &index {
            out.labelled("root of", file.name());
        }
    }
    Ok(Outcome::Good)
}

pub(super) fn scalar_text(scalar: Scalar) -> String {
    match scalar {
        Scalar::Mu16(step) => format!("MU16, delta_q16 {}", step.get()),
        _ => scalar.element().name().to_owned(),
    }
}

/// The lines of a gist.
pub(super) fn print(
    name: &str,
    gist: &GistView<'_>,
    key: Option<&Key>,
    cache: GgmlType,
    out: &mut Output,
) -> Result<(), Problem> {
    let bytes = byte_ratio(gist, cache)?;
    print_frame(name, gist.frame(), key, out);
    let (shape, scalar) = (gist.shape(), scalar_text(gist.scalar()));
    out.labelled("gist", format_args!("{shape}; {scalar}; {} bytes", gist.payload().len()));
    if !gist.is_finite() {
        out.labelled("values", "some are NaN or infinite");
    }
    match gist.source_tokens() {
        0 => out.labelled("stands for", "an unknown number of tokens"),
        tokens => out.labelled("stands for", format_args!("{tokens} tokens")),
    }
    if let Some(root) = gist.source_root() {
        out.labelled("source", format_args!("root {}", hex(root)));
    }
    if let (Some(ratio), Some(bytes)) = (gist.token_ratio(), bytes) {
        out.labelled(
            "ratio",
            format_args!("{ratio:.1} by tokens, {bytes:.1} by bytes of a cache of {}", cache.name()),
        );
    }
    match Sidecar::of(gist) {
        Ok(None) => {}
        Ok(Some(sidecar)) => {
            for (name, value) in sidecar.strings() {
                let (name, value) = (Escaped::new(name.as_bytes()), Escaped::new(value.as_bytes()));
                out.labelled("metadata", format_args!("{name}: {value}"));
            }
        }
        Err(error) => {
            let text = gist.metadata().unwrap_or_default();
            out.labelled("metadata", format_args!("{error}: {}", Escaped::new(text.as_bytes())));
        }
    }
    Ok(())
}

/// The same as members.
pub(super) fn members(
    name: &str,
    gist: &GistView<'_>,
    verified: bool,
    cache: GgmlType,
) -> Result<Members, Problem> {
    let shape = gist.shape();
    let mut members = frame_json(name, gist.frame(), verified);
    let step = match gist.scalar() {
        Scalar::Mu16(step) => step.get().into(),
        _ => Value::Null,
    };
    members.extend([
        ("layers", shape.layers.into()),
        ("kv_heads", shape.heads.into()),
        ("gist_tokens", shape.tokens.into()),
        ("head_dim", shape.head_dim.into()),
        ("element", gist.scalar().element().name().into()),
        ("delta_q16", step),
        ("payload_bytes", gist.payload().len().into()),
        ("finite", gist.is_finite().into()),
        ("source_tokens", Some(gist.source_tokens()).filter(|&tokens| tokens > 0).into()),
        ("source_root", gist.source_root().map(|root| hex(root)).into()),
        ("token_ratio", gist.token_ratio().into()),
        ("cache_type", cache.name().into()),
        ("byte_ratio", byte_ratio(gist, cache)?.into()),
        ("metadata", gist.metadata().map_or(Value::Null, metadata)),
    ]);
    Ok(members)
}

fn byte_ratio(gist: &GistView<'_>, cache: GgmlType) -> Result<Option<f64>, Problem> {
    let shape = gist.shape();
    let width = u64::from(shape.heads).saturating_mul(shape.head_dim.into());
    gist.byte_ratio(cache).map_err(|error| {
        Problem::Usage(format!("--cache-type {}: a row of {width} components: {error}", cache.name()))
    })
}

/// The object, or the text if it is none: also if a member comes twice, of which one would get lost.
fn metadata(text: &str) -> Value {
    let object =
        Sidecar::parse(text).ok().and_then(|_| serde_json::from_str::<Map<String, Value>>(text).ok());
    object.map_or_else(|| text.into(), Value::from)
}

//! `engram whiten`: what makes fingerprints tell texts apart, fitted once and kept.

use std::path::PathBuf;

use bitwire::Error;
use bitwire::engram::whitening::{DEFAULT_SHRINKAGE, Whitening, WhiteningFit};
use bitwire::frame::Frame;
use clap::{Args, Subcommand};

use super::fingerprint::{TokenRange, WhiteningFile, tokens};
use super::source::{KeyFile, Part, SourceArgs};
use crate::args::{Common, LeadingContextArgs};
use crate::exit::{Outcome, Output, Problem, hex};
use crate::mirror::{ALIGNMENT, Members, check_paths, encode, frame_json, usage};
use crate::verify::print_frame;
use crate::{input, keys};

#[derive(Subcommand)]
pub(crate) enum WhitenVerb {
    Fit(Box<Fit>),
    Show(ShowWhitening),
}

/// Fit a whitening to the keys of some documents
///
/// Ten documents of a hundred tokens are enough for keys of 384 components. Where a model puts special tokens at the ends of a
/// text, leave them out, here and of every text: --tokens 1..-1.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram whiten fit whitening.bit kv minilm-l6 layer5 calibration/*.npy --tokens 1..-1")]
pub(crate) struct Fit {
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: LeadingContextArgs,
    /// Keys of a document each: .npy [layers, heads, tokens, head_dim], or a state blob; - for standard input
    #[arg(required = true, value_name = "KEYS")]
    pub(crate) keys: Vec<PathBuf>,
    /// The layer, from 0 [default: the last]
    #[arg(long, value_name = "L")]
    pub(crate) layer: Option<u32>,
    /// The tokens of each document; 1..-1 leaves out the first and the last [default: all]
    #[arg(long, value_name = "A..B", value_parser = tokens, allow_hyphen_values = true)]
    pub(crate) tokens: Option<TokenRange>,
    /// Directions to keep: the most components that a fingerprint can have [default: as many as a key has]
    #[arg(long, value_name = "N")]
    pub(crate) components: Option<u32>,
    /// How far small eigenvalues are raised, as a share of their mean
    #[arg(long, value_name = "F", default_value_t = DEFAULT_SHRINKAGE, allow_negative_numbers = true)]
    pub(crate) shrink: f64,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Show a whitening
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire engram whiten show whitening.bit --json | jq .dim")]
pub(crate) struct ShowWhitening {
    /// The whitening; - for standard input
    pub(crate) whitening: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(super) fn run(verb: WhitenVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        WhitenVerb::Fit(args) => fit(&args, out),
        WhitenVerb::Show(args) => show(&args, out),
    }
}

fn fit(args: &Fit, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let inputs: Vec<_> = args.keys.iter().map(PathBuf::as_path).collect();
    check_paths(&args.out, args.common.json, &inputs)?;
    let mut fit: Option<(WhiteningFit, u32)> = None;
    for path in &args.keys {
        let file = KeyFile::open(path)?;
        let unfit = |error: Error| file.unfit(error);
        file.with(&args.source, Part::Keys, false, |sections| {
            let Some(&keys) = sections.first() else {
                return Err(file.usage("there are no keys".to_owned()));
            };
            let shape = keys.shape();
            let width = shape.width().map_err(unfit)?;
            let (fit, dim) = match &mut fit {
                Some(begun) => begun,
                None => fit.insert((WhiteningFit::new(width).map_err(unfit)?, width)),
            };
            if width != *dim {
                let message = format!("a token has keys of {width} components, in the files before of {dim}");
                return Err(file.usage(message));
            }
            let range = TokenRange::of(args.tokens, shape.tokens).map_err(unfit)?;
            fit.push(keys, args.layer.unwrap_or(shape.layers.saturating_sub(1)), range).map_err(unfit)
        })?;
    }
    let none = || Problem::Usage("there is no document".to_owned());
    let (mut fit, dim) = fit.ok_or_else(none)?;
    let context = input::leading_context(&args.context, dim)?;
    let fitted = fit.fit(args.components.unwrap_or(dim), args.shrink).map_err(usage)?;
    let frame = fitted.to_frame(context.hash()).map_err(usage)?;
    let frame = frame.known_context(Some(context.as_str().as_bytes())).map_err(usage)?;
    let bytes = encode(frame.align_payload(ALIGNMENT), key.as_ref())?;
    input::write(&args.out, &bytes, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    let found = |error| Problem::frame(&name, error);
    let frame = Frame::parse_exact(&bytes).map_err(found)?;
    let whitening = Whitening::from_frame(&frame).map_err(found)?;
    if args.common.json {
        let mut members = frame_json(&name, &frame, key.is_some());
        members.extend(whitening_json(&frame, &whitening));
        members.push(("keys", fit.count().into()));
        members.push(("shrink", args.shrink.into()));
        out.json("engram-whiten-fit", members);
    } else {
        print_frame(&name, &frame, key.as_ref(), out);
        print_whitening(&frame, &whitening, out);
        out.labelled("fitted on", format_args!("{} keys of {} documents", fit.count(), args.keys.len()));
    }
    Ok(Outcome::Good)
}

fn whitening_json(frame: &Frame<'_>, whitening: &Whitening<'_>) -> Members {
    vec![
        ("dim", whitening.dim().into()),
        ("outputs", whitening.outputs().into()),
        ("digest", frame.digest().map(|digest| hex(digest)).into()),
    ]
}

fn print_whitening(frame: &Frame<'_>, whitening: &Whitening<'_>, out: &mut Output) {
    let (dim, outputs) = (whitening.dim(), whitening.outputs());
    out.labelled("whitening", format_args!("keys of {dim} components become {outputs}"));
    if let Some(digest) = frame.digest() {
        out.labelled("digest", format_args!("SHA-256 {}", hex(digest)));
    }
}

fn show(args: &ShowWhitening, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let file = WhiteningFile::open(&args.whitening)?;
    let frame = file.frame(key.as_ref())?;
    let whitening = file.view(key.as_ref())?;
    if args.common.json {
        let mut members = frame_json(file.name(), &frame, key.is_some());
        members.extend(whitening_json(&frame, &whitening));
        out.json("engram-whiten-show", members);
    } else {
        print_frame(file.name(), &frame, key.as_ref(), out);
        print_whitening(&frame, &whitening, out);
    }
    Ok(Outcome::Good)
}

//! `engram proof`: does a query find the right one of two contexts, and how long does that take?

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use bitwire::engram::index::{IndexOptions, Metric, VectorType};
use bitwire::engram::proof::{QueryVectors, SemanticProof, Thresholds, semantic_proof};
use clap::Args;
use serde_json::json;

use super::fingerprint::{MethodArg, PrintArgs, WhiteningFile, check_head_dim};
use super::index::{MetricArg, metric_name};
use super::source::{KeyFile, Part, SourceArgs};
use super::vectors::{StoreArg, StoreArgs, type_name};
use crate::args::Common;
use crate::exit::{Outcome, Output, Problem};
use crate::mirror::{Members, check_paths};
use crate::{input, keys};

/// Run ENGRAM's experiment: store A and B, look for A with a query that belongs to it
///
/// It passes if A is found, its score is ahead of B's by more than the margin, and the overhead of retrieval (EGR: fingerprint
/// of the query, and search) takes less than asked for. One pair proves little: chance gives half of them.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram proof a.npy b.npy query.npy proof.json --whitening whitening.bit --tokens 1..-1\n\n\
    Exit status: 0 it passes; 1 it fails; 2 a file cannot be read.")]
pub(crate) struct ProofArgs {
    /// Keys of the context that the query belongs to: .npy [layers, heads, tokens, head_dim], or a state blob
    pub(crate) a: PathBuf,
    /// Keys of another
    pub(crate) b: PathBuf,
    /// Keys of the query
    pub(crate) query: PathBuf,
    /// File to write: one JSON object; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) print: PrintArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How vectors are compared [default: cosine; maxsim for centroids]
    #[arg(long, value_enum)]
    pub(crate) metric: Option<MetricArg>,
    /// How far A's score has to be ahead, exclusive
    #[arg(long, value_name = "F", default_value_t = 0.05, allow_negative_numbers = true)]
    pub(crate) margin: f32,
    /// Milliseconds that fingerprint of the query and search may take, exclusive
    #[arg(long, value_name = "MS", default_value_t = 200)]
    pub(crate) egr: u32,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

pub(super) fn proof(args: &ProofArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    args.print.check()?;
    let mut inputs = vec![args.a.as_path(), &args.b, &args.query];
    inputs.extend(args.print.whitening.as_deref());
    check_paths(&args.out, args.common.json, &inputs)?;
    let whitening = args.print.whitening.as_deref().map(WhiteningFile::open).transpose()?;
    let whitening = whitening.as_ref().map(|file| file.view(key.as_ref())).transpose()?;
    let whitening = whitening.as_ref();
    let open = |path| {
        let file = KeyFile::open(path)?;
        check_head_dim(&file, &args.print, &args.source)?;
        Ok::<_, Problem>(file)
    };
    let files: [KeyFile; 3] = [open(&args.a)?, open(&args.b)?, open(&args.query)?];
    let [a, b, query] = &files;
    let method = args.print.chosen();
    let centroids = method == MethodArg::Centroids;
    let metric = args.metric.map(MetricArg::metric);
    let metric = metric.unwrap_or(if centroids { Metric::MaxSim } else { Metric::Cosine });
    // Whose turn it is, for messages.
    let turn = Cell::new(a);
    let all = args.print.takes_all();
    let (options, proof) = a.with(&args.source, Part::Keys, all, |in_a| {
        b.with(&args.source, Part::Keys, all, |in_b| {
            query.with(&args.source, Part::Keys, all, |in_query| {
                let take = |file, sections| {
                    turn.set(file);
                    args.print.take(sections, whitening)
                };
                // Once outside of all times: it tells how long vectors are.
                let first = take(a, in_a).map_err(|error| a.unfit(error))?;
                let default = if centroids { StoreArg::Bits } else { StoreArg::F32 };
                let vector_type = args.store.vector_type(default, &first.vectors, first.dim);
                let options = IndexOptions {
                    vector_type: vector_type.map_err(|error| a.unfit(error))?,
                    dim: u32::try_from(first.dim).unwrap_or(u32::MAX),
                    vectors_per_entry: u16::try_from(first.vectors.len() / first.dim.max(1))
                        .unwrap_or(u16::MAX),
                    metric,
                    method: method.method(),
                    whitening_prefix: whitening.and_then(|whitening| whitening.prefix()),
                };
                let asked = || {
                    turn.set(query);
                    if !centroids {
                        let vectors = args.print.take(in_query, whitening)?.vectors;
                        return Ok(QueryVectors { vectors, weights: None });
                    }
                    let tokens = args.print.query_tokens(in_query, whitening)?;
                    let weights = Some(tokens.weights().to_vec());
                    Ok(QueryVectors { vectors: tokens.values().to_vec(), weights })
                };
                let vectors = |file, sections| take(file, sections).map(|print| print.vectors);
                let proof = semantic_proof(options, || vectors(a, in_a), || vectors(b, in_b), asked);
                Ok((options, proof.map_err(|error| turn.get().unfit(error))?))
            })
        })
    })?;
    let thresholds = Thresholds { margin: args.margin, egr: Duration::from_millis(args.egr.into()) };
    let passes = proof.passes(&thresholds);
    let mut text = Output::default();
    text.json("engram-proof", members(args, &options, &proof, &thresholds));
    input::write(&args.out, text.bytes(), out)?;
    if !input::is_stream(&args.out) {
        if args.common.json {
            out.bytes().append(text.bytes());
        } else {
            print_proof(args, &options, &proof, passes, out);
        }
    }
    Ok(Outcome::valid(passes))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn verdict(passes: bool) -> &'static str {
    if passes { "PASS" } else { "FAIL" }
}

fn members(
    args: &ProofArgs,
    options: &IndexOptions,
    proof: &SemanticProof,
    thresholds: &Thresholds,
) -> Members {
    let timings = json!({
        "extract_a": milliseconds(proof.extract_a),
        "extract_b": milliseconds(proof.extract_b),
        "store": milliseconds(proof.store),
        "extract_query": milliseconds(proof.extract_query),
        "search": milliseconds(proof.search),
    });
    vec![
        ("a", input::name(&args.a).into()),
        ("b", input::name(&args.b).into()),
        ("query", input::name(&args.query).into()),
        ("method", options.method.name().into()),
        ("metric", metric_name(options.metric).into()),
        ("store", type_name(options.vector_type).into()),
        ("dim", options.dim.into()),
        ("vectors_per_entry", options.vectors_per_entry.into()),
        ("score_a", proof.score_a.into()),
        ("score_b", proof.score_b.into()),
        ("margin", proof.margin().into()),
        ("correct", proof.is_correct().into()),
        ("egr_ms", milliseconds(proof.egr()).into()),
        ("timings_ms", timings),
        ("thresholds", json!({ "margin": thresholds.margin, "egr_ms": args.egr })),
        ("verdict", verdict(proof.passes(thresholds)).into()),
    ]
}

fn print_proof(
    args: &ProofArgs,
    options: &IndexOptions,
    proof: &SemanticProof,
    passes: bool,
    out: &mut Output,
) {
    let (method, metric) = (options.method.name(), metric_name(options.metric));
    let store = match options.vector_type {
        VectorType::Mu16(step) => format!("mu16, delta_q16 {}", step.get()),
        kind => type_name(kind).to_owned(),
    };
    let (count, dim) = (options.vectors_per_entry, options.dim);
    out.labelled("file", input::name(&args.out));
    out.labelled("method", format_args!("{method}, {count} x {dim} components as {store}, by {metric}"));
    out.labelled("score of A", proof.score_a);
    out.labelled("score of B", proof.score_b);
    out.labelled("margin", format_args!("{} (needed: over {})", proof.margin(), args.margin));
    out.labelled("EGR", format_args!("{:.3} ms (needed: under {} ms)", milliseconds(proof.egr()), args.egr));
    out.labelled("verdict", verdict(passes));
}

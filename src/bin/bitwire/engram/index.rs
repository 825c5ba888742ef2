//! `engram index`: built, added to, removed from, shown and searched.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use bitwire::engram::index::{
    Entry, Filter, Hit, Index, IndexOptions, Method, Metric, OwnedIndex, Query, VectorType,
};
use bitwire::engram::whitening::WhitenedTokens;
use bitwire::frame::{ContextHash, Frame, Key};
use bitwire::io::{Escaped, FileError};
use bitwire::{Error, ErrorKind};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::entries::{self, Items, VectorArg, shape_text, time_text};
use super::fingerprint::{MethodArg, TokenRange, WhiteningFile, tokens};
use super::source::{KeyFile, Part, SourceArgs};
use super::vectors::{Array, StoreArg, StoreArgs, type_name};
use crate::args::{Common, LeadingContextArgs};
use crate::exit::{Outcome, Output, Problem, hex, tell};
use crate::mirror::{ALIGNMENT, Members, check_paths, encode, frame_json, usage};
use crate::verify::print_frame;
use crate::{input, keys};

#[derive(Subcommand)]
pub(crate) enum IndexVerb {
    Build(Box<Build>),
    Add(Box<Add>),
    Remove(Remove),
    Show(ShowIndex),
    Search(Box<SearchArgs>),
}

/// What inputs hold, for the verbs that take some.
const INPUTS: &str = "Inputs:\n  \
    certificates (.eng), with all they say of themselves;\n  \
    a .npy array of f32 or f16, [entries, components] or [entries, vectors, components], with --entries: one JSON \
    object a line, of cache_id, and as known task_description, model_id, context_len, created_at, l2_norm;\n  \
    ENGRAM's own index NAME.faiss, with NAME.meta.json beside it; what was removed from it is left out.";

/// Write an index of fingerprints
#[derive(Args)]
#[command(after_help = format!("Example:\n  \
    bitwire engram index build index.bit kv llama-8b svd notes/*.eng --metric cosine --store mu16\n\n{INPUTS}"))]
pub(crate) struct Build {
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: LeadingContextArgs,
    /// What to put into it; - for standard input
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// How vectors are compared [default: ip; cosine for whitened, maxsim for centroids and where an entry has several]
    #[arg(long, value_enum)]
    pub(crate) metric: Option<MetricArg>,
    /// How the vectors were made [default: with --whitening whitened, or centroids where an entry has several; else as
    /// certificates say, or unknown]
    #[arg(long, value_enum)]
    pub(crate) method: Option<MethodArg>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The whitening that made the vectors; the index remembers its digest
    #[arg(long, value_name = "FILE.bit")]
    pub(crate) whitening: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Add entries to an index
///
/// The index is replaced whole. One that is signed needs its key, and is signed again.
#[derive(Args)]
#[command(after_help = format!("Example:\n  bitwire engram index add index.bit new.eng --replace\n\n{INPUTS}"))]
pub(crate) struct Add {
    /// The index
    pub(crate) index: PathBuf,
    /// What to put into it; - for standard input
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
    /// Replace entries of the same cache_id; they go to the end
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Remove entries from an index
///
/// The index is replaced whole. One that is signed needs its key, and is signed again.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire engram index remove index.bit notes-17 notes-18")]
pub(crate) struct Remove {
    /// The index
    pub(crate) index: PathBuf,
    /// The entries to remove
    #[arg(required = true, value_name = "CACHE_ID")]
    pub(crate) cache_ids: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Show an index and its entries
#[derive(Args)]
#[command(
    after_help = "Example:\n  bitwire engram index show index.bit --json | jq -c '.entries[]' > entries.jsonl"
)]
pub(crate) struct ShowIndex {
    /// The index; - for standard input
    pub(crate) index: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Find the entries nearest to a query
///
/// The search is exact; equal scores are in the order of adding. The results of --json have ENGRAM's members: cache_id,
/// task_description and similarity.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram index search index.bit query.npy --top-k 3 --model Llama-3.1-8B --json | jq .results\n\n\
    QUERY of one dimension is one query. Of two it is several, and results are an array for each; but with maxsim its rows are \
    the vectors of one query, and of three dimensions it is several. With centroids each of these weighs by its squared norm.")]
pub(crate) struct SearchArgs {
    /// The index; - for standard input
    pub(crate) index: PathBuf,
    /// Vectors to look for: .npy of f32 or f16; with --whitening keys, or a state blob; - for standard input
    pub(crate) query: PathBuf,
    /// Whiten the query, which is then a text's keys, as those of the index were: the whitening they were made with
    #[arg(long, value_name = "FILE.bit")]
    pub(crate) whitening: Option<PathBuf>,
    /// With --whitening: the layer, from 0 [default: the last]
    #[arg(long, value_name = "L", requires = "whitening")]
    pub(crate) layer: Option<u32>,
    /// With --whitening: the tokens; 1..-1 leaves out the first and the last [default: all]
    #[arg(long, value_name = "A..B", value_parser = tokens, allow_hyphen_values = true, requires = "whitening")]
    pub(crate) tokens: Option<TokenRange>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Entries to find
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) top_k: usize,
    /// Only entries of this model
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Only entries of at least so many tokens
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_context: u32,
    /// Only entries of at most so many tokens
    #[arg(long, value_name = "N")]
    pub(crate) max_context: Option<u32>,
    /// Only entries at least so near
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) min_similarity: Option<f32>,
    /// Threads to use [default: as many as the machine runs at once]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How inputs are read.
#[derive(Args)]
pub(crate) struct InputArgs {
    /// What the vectors of an array stand for: one JSON object a line; - for standard input
    #[arg(long, value_name = "ENTRIES.jsonl")]
    pub(crate) entries: Option<PathBuf>,
    /// Which vector of certificates to take
    #[arg(long, value_enum, default_value = "perdoc")]
    pub(crate) vector: VectorArg,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum MetricArg {
    /// inner product, as ENGRAM compares
    Ip,
    /// inner product over both norms
    Cosine,
    /// the best of an entry's vectors for each of the query's
    Maxsim,
}

impl MetricArg {
    pub(super) fn metric(self) -> Metric {
        match self {
            Self::Ip => Metric::InnerProduct,
            Self::Cosine => Metric::Cosine,
            Self::Maxsim => Metric::MaxSim,
        }
    }
}

pub(super) fn run(verb: IndexVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        IndexVerb::Build(args) => build(&args, out),
        IndexVerb::Add(args) => add(&args, out),
        IndexVerb::Remove(args) => remove(&args, out),
        IndexVerb::Show(args) => show(&args, out),
        IndexVerb::Search(args) => search(&args, out),
    }
}

/// The inputs and what belongs to them.
fn paths<'a>(inputs: &'a [PathBuf], args: &'a InputArgs) -> Vec<&'a Path> {
    inputs.iter().chain(&args.entries).map(PathBuf::as_path).collect()
}

fn build(args: &Build, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let mut inputs = paths(&args.inputs, &args.input);
    inputs.extend(args.whitening.as_deref());
    let beside: Vec<PathBuf> = args.inputs.iter().map(|input| entries::beside(input)).collect();
    inputs.extend(beside.iter().map(PathBuf::as_path));
    check_paths(&args.out, args.common.json, &inputs)?;
    let whitening_prefix = args.whitening.as_deref().map(|path| prefix(path, key.as_ref())).transpose()?;
    let Items { items, dim, per_entry, method } =
        entries::read(&args.inputs, args.input.entries.as_deref(), args.input.vector)?;
    let context = input::leading_context(&args.context, dim)?;
    let method = match args.method {
        Some(method) => method.method(),
        None if args.whitening.is_some() && per_entry > 1 => Method::WhitenedCentroids,
        None if args.whitening.is_some() => Method::WhitenedMean,
        None => method,
    };
    let metric = match (args.metric, method) {
        (Some(metric), _) => metric.metric(),
        (None, Method::WhitenedCentroids) => Metric::MaxSim,
        (None, _) if per_entry > 1 => Metric::MaxSim,
        (None, Method::WhitenedMean) => Metric::Cosine,
        (None, _) => Metric::InnerProduct,
    };
    // The step has to suit all vectors.
    let all: Vec<f32> = match args.store.store {
        Some(StoreArg::Mu16) => items.iter().flat_map(|item| item.vectors.iter().copied()).collect(),
        _ => Vec::new(),
    };
    let default = if method == Method::WhitenedCentroids { StoreArg::Bits } else { StoreArg::F32 };
    let vector_type = args.store.vector_type(default, &all, dim as usize).map_err(usage)?;
    let options =
        IndexOptions { vector_type, dim, vectors_per_entry: per_entry, metric, method, whitening_prefix };
    let mut index = OwnedIndex::new(options).map_err(usage)?;
    let saturated = add_all(&mut index, &items, per_entry, false)?;
    let json = context.as_str().as_bytes();
    let bytes = frame(&index, context.hash(), Some(json), key.as_ref())?;
    input::write(&args.out, &bytes, out)?;
    let more = vec![("added", items.len().into()), ("saturated", saturated.into())];
    report("engram-index-build", &args.out, &bytes, key.as_ref(), args.common.json, more, out)
}

/// What an index remembers of the whitening that made its vectors.
fn prefix(path: &Path, key: Option<&Key>) -> Result<[u8; 8], Problem> {
    let file = WhiteningFile::open(path)?;
    let prefix = file.view(key)?.prefix();
    prefix.ok_or_else(|| {
        Problem::Usage(format!("{}: has no digest, by which an index would know it", file.name()))
    })
}

/// Adds entries, and warns of components that saturate.
fn add_all(
    index: &mut OwnedIndex,
    items: &[entries::Item],
    per_entry: u16,
    replacing: bool,
) -> Result<u64, Problem> {
    let mut saturated = 0;
    let before = index.len();
    for item in items {
        if index.contains(item.cache_id()) {
            let hint = if replacing || before == 0 {
                "comes twice"
            } else {
                "is in the index already; `index add --replace` replaces it"
            };
            return Err(Problem::Usage(format!("{} {hint}", item.name())));
        }
        let added = index.add(&item.entry(per_entry), &item.vectors);
        saturated += added.map_err(|error| {
            let message = match error.kind() {
                ErrorKind::NonFinite { column, .. } => {
                    format!("component {column} of a vector is not finite")
                }
                _ => error.to_string(),
            };
            Problem::Usage(format!("{}: {message}", item.name()))
        })?;
    }
    if saturated > 0 {
        let hint = "a larger --delta-q16 of `index build`, or auto, holds them";
        tell!("bitwire: warning: {saturated} components saturate; {hint}");
    }
    Ok(saturated)
}

fn frame(
    index: &OwnedIndex,
    ctx: ContextHash,
    context_json: Option<&[u8]>,
    key: Option<&Key>,
) -> Result<Vec<u8>, Problem> {
    let encoded = index.encode_payload().map_err(usage)?;
    let frame = encoded.to_frame(ctx).and_then(|frame| frame.known_context(context_json)).map_err(usage)?;
    encode(frame.align_payload(ALIGNMENT), key)
}

/// The index that fills `bytes`, verified if there is a key.
fn parse<'a>(name: &str, bytes: &'a [u8], key: Option<&Key>) -> Result<Index<'a>, Problem> {
    let frame = input::frame(name, bytes, key)?;
    Index::from_frame(&frame).map_err(|error| Problem::frame(name, error))
}

/// An index to be changed, with the context that it keeps.
fn open<'a>(name: &str, bytes: &'a [u8], key: Option<&Key>) -> Result<(OwnedIndex, Frame<'a>), Problem> {
    let view = parse(name, bytes, key)?;
    if view.frame().flags().authenticated() && key.is_none() {
        let message = "is signed: give its key, with which the new one is signed";
        return Err(Problem::Usage(format!("{name}: {message}")));
    }
    let owned = OwnedIndex::from_index(&view).map_err(|error| Problem::frame(name, error))?;
    Ok((owned, *view.frame()))
}

/// An index that is going to be replaced, locked until this is dropped: else two that do so at once would each lose what the other
/// added. Only those that ask are kept out.
struct Replaced {
    bytes: Vec<u8>,
    _file: File,
}

impl Replaced {
    fn open(path: &Path) -> Result<Self, Problem> {
        let failed = |error| FileError::new(path, error);
        let name = input::name(path);
        let file = File::open(path).map_err(failed)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    return Err(Problem::Usage(format!("{name}: another writer has the index")));
                }
                // Some file systems know no locks.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(failed(error).into()),
            }
        }
        // Whoever had the lock before has put another file in the place of this one.
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let (own, named) = (file.metadata().map_err(failed)?, fs::metadata(path).map_err(failed)?);
            if (own.dev(), own.ino()) != (named.dev(), named.ino()) {
                let message = "was changed by another writer meanwhile: run it again";
                return Err(Problem::Usage(format!("{name}: {message}")));
            }
        }
        // Not mapped: what is checked is what the new index is made of.
        let bytes = input::frames_of(path, &file)?;
        Ok(Self { bytes, _file: file })
    }
}

fn no_stream(path: &Path) -> Result<(), Problem> {
    if input::is_stream(path) {
        return Err(Problem::Usage("an index to be replaced has to be a file".to_owned()));
    }
    Ok(())
}

fn add(args: &Add, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    no_stream(&args.index)?;
    check_paths(&args.index, args.common.json, &paths(&args.inputs, &args.input))?;
    let name = input::name(&args.index);
    let old = Replaced::open(&args.index)?;
    let (mut index, old_frame) = open(&name, &old.bytes, key.as_ref())?;
    let Items { items, dim, per_entry, .. } =
        entries::read(&args.inputs, args.input.entries.as_deref(), args.input.vector)?;
    let options = *index.options();
    if (dim, per_entry) != (options.dim, options.vectors_per_entry) {
        let source = items.first().map_or("the input", |item| item.source.as_str());
        let theirs = shape_text(dim, per_entry);
        let ours = shape_text(options.dim, options.vectors_per_entry);
        return Err(Problem::Usage(format!("{source}: an entry is {theirs}; in {name} it is {ours}")));
    }
    let replaced = if args.replace {
        let new: std::collections::BTreeSet<&str> = items.iter().map(entries::Item::cache_id).collect();
        index.retain(|entry| !new.contains(entry.cache_id))
    } else {
        0
    };
    let saturated = add_all(&mut index, &items, per_entry, args.replace)?;
    let bytes = frame(&index, old_frame.ctx(), old_frame.context_json(), key.as_ref())?;
    input::write(&args.index, &bytes, out)?;
    let more =
        vec![("added", items.len().into()), ("replaced", replaced.into()), ("saturated", saturated.into())];
    report("engram-index-add", &args.index, &bytes, key.as_ref(), args.common.json, more, out)
}

fn remove(args: &Remove, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    no_stream(&args.index)?;
    check_paths(&args.index, args.common.json, &[])?;
    let name = input::name(&args.index);
    let old = Replaced::open(&args.index)?;
    let (mut index, old_frame) = open(&name, &old.bytes, key.as_ref())?;
    if let Some(missing) = args.cache_ids.iter().find(|id| !index.contains(id)) {
        let missing = Escaped::new(missing.as_bytes());
        return Err(Problem::Usage(format!("{name}: there is no entry '{missing}'")));
    }
    let gone: std::collections::BTreeSet<&str> = args.cache_ids.iter().map(String::as_str).collect();
    let removed = index.retain(|entry| !gone.contains(entry.cache_id));
    let bytes = frame(&index, old_frame.ctx(), old_frame.context_json(), key.as_ref())?;
    input::write(&args.index, &bytes, out)?;
    let more = vec![("removed", removed.into())];
    report("engram-index-remove", &args.index, &bytes, key.as_ref(), args.common.json, more, out)
}

pub(super) fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::InnerProduct => "ip",
        Metric::Cosine => "cosine",
        Metric::MaxSim => "maxsim",
    }
}

fn index_json(index: &Index<'_>) -> Members {
    let vectors = index.search().vectors();
    let step = match vectors.kind() {
        VectorType::Mu16(step) => Some(step.get()),
        _ => None,
    };
    vec![
        ("count", index.len().into()),
        ("dim", vectors.dim().into()),
        ("vectors_per_entry", index.vectors_per_entry().into()),
        ("store", type_name(vectors.kind()).into()),
        ("delta_q16", step.into()),
        ("metric", metric_name(index.search().metric()).into()),
        ("method", index.method().name().into()),
        ("whitening", index.whitening_prefix().map(|prefix| hex(&prefix)).into()),
    ]
}

fn print_index(index: &Index<'_>, out: &mut Output) {
    let vectors = index.search().vectors();
    let each = shape_text(vectors.dim(), index.vectors_per_entry());
    let store = match vectors.kind() {
        VectorType::Mu16(step) => format!("mu16, delta_q16 {}", step.get()),
        kind => type_name(kind).to_owned(),
    };
    out.labelled("entries", format_args!("{}, each {each} as {store}", index.len()));
    out.labelled("metric", metric_name(index.search().metric()));
    out.labelled("method", index.method().name());
    if let Some(prefix) = index.whitening_prefix() {
        out.labelled("whitening", format_args!("SHA-256 {}...", hex(&prefix)));
    }
}

/// Tells of an index that was written, read back from its bytes.
fn report(
    verb: &str,
    path: &Path,
    bytes: &[u8],
    key: Option<&Key>,
    json: bool,
    more: Members,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    if input::is_stream(path) {
        return Ok(Outcome::Good);
    }
    let name = input::name(path);
    let index = Index::parse_exact(bytes).map_err(|error| Problem::frame(&name, error))?;
    if json {
        let mut members = frame_json(&name, index.frame(), key.is_some());
        members.extend(index_json(&index));
        members.extend(more);
        out.json(verb, members);
        return Ok(Outcome::Good);
    }
    print_frame(&name, index.frame(), key, out);
    print_index(&index, out);
    for (label, value) in more {
        if label != "saturated" {
            out.labelled(label, value);
        }
    }
    Ok(Outcome::Good)
}

fn show(args: &ShowIndex, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let name = input::name(&args.index);
    let bytes = input::map_unless(key.as_ref(), &args.index)?;
    let index = parse(&name, bytes.as_ref(), key.as_ref())?;
    if args.common.json {
        let mut members = frame_json(&name, index.frame(), key.is_some());
        members.extend(index_json(&index));
        members.push(("entries", index.entries().map(|entry| entry_json(&entry)).collect()));
        out.json("engram-index-show", members);
        return Ok(Outcome::Good);
    }
    print_frame(&name, index.frame(), key.as_ref(), out);
    print_index(&index, out);
    for entry in index.entries() {
        let text = |text: &str| Escaped::new(text.as_bytes()).to_string();
        let (id, task, model) = (text(entry.cache_id), text(entry.task_description), text(entry.model_id));
        let (tokens, at) = (entry.context_len, time_text(entry.created_at));
        out.labelled("entry", format_args!("{id}: {task}; {model}, {tokens} tokens, {at}"));
    }
    Ok(Outcome::Good)
}

/// The members that --entries takes.
fn entry_json(entry: &Entry<'_>) -> Value {
    json!({
        "cache_id": entry.cache_id,
        "task_description": entry.task_description,
        "model_id": entry.model_id,
        "context_len": entry.context_len,
        "created_at": entry.created_at,
        // JSON has no NaN: null.
        "l2_norm": entry.l2_norm,
    })
}

fn search(args: &SearchArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    let whitening = args.whitening.as_deref();
    input::one_stream([args.index.as_path(), &args.query].into_iter().chain(whitening))?;
    let name = input::name(&args.index);
    let bytes = input::map_unless(key.as_ref(), &args.index)?;
    let index = parse(&name, bytes.as_ref(), key.as_ref())?;
    let query = match whitening {
        Some(whitening) => whitened(args, &index, &WhiteningFile::open(whitening)?, key.as_ref())?,
        None => match args.source.given() {
            Some(option) => {
                let message =
                    format!("{option} is for keys: give --whitening FILE.bit, which makes a query of them");
                return Err(Problem::Usage(message));
            }
            None => Array::read(&args.query)?,
        },
    };
    let found = find(args, &index, &query)?;
    let mut results = found.iter().map(|hits| {
        let hits = hits.iter().filter_map(|hit| Some((hit, index.entry(hit.entry)?)));
        hits.map(|(hit, entry)| result_json(hit, &entry)).collect::<Value>()
    });
    let (several, single) = (is_several(&index, &query), found.len() == 1);
    if args.common.json {
        let results: Value =
            if several { results.collect() } else { results.next().unwrap_or_else(|| json!([])) };
        let members = vec![
            ("file", name.into()),
            ("metric", metric_name(index.search().metric()).into()),
            ("queries", found.len().into()),
            ("results", results),
        ];
        out.json("engram-index-search", members);
        return Ok(Outcome::Good);
    }
    for (number, hits) in found.iter().enumerate() {
        if several && !single {
            out.labelled("query", number);
        }
        if hits.is_empty() {
            out.line("nothing was found");
        }
        for hit in hits {
            let Some(entry) = index.entry(hit.entry) else { continue };
            let text = |text: &str| Escaped::new(text.as_bytes()).to_string();
            let (id, task) = (text(entry.cache_id), text(entry.task_description));
            out.labelled(&format!("{:.6}", hit.score), format_args!("{id}: {task}"));
        }
    }
    Ok(Outcome::Good)
}

/// The query of a text's keys, in the form that the index has.
fn whitened(
    args: &SearchArgs,
    index: &Index<'_>,
    whitening: &WhiteningFile,
    key: Option<&Key>,
) -> Result<Array, Problem> {
    let view = whitening.view(key)?;
    let own = index.whitening_prefix();
    if own.is_some() && own != view.prefix() {
        let message = "is not the whitening that made the vectors of the index";
        return Err(Problem::Usage(format!("{}: {message}", whitening.name())));
    }
    let file = KeyFile::open(&args.query)?;
    let dim = index.search().vectors().dim();
    file.with(&args.source, Part::Keys, false, |sections| {
        let Some(&keys) = sections.first() else { return Err(file.usage("there are no keys".to_owned())) };
        let shape = keys.shape();
        let layer = args.layer.unwrap_or(shape.layers.saturating_sub(1));
        let range = TokenRange::of(args.tokens, shape.tokens).map_err(|error| file.unfit(error))?;
        let tokens = WhitenedTokens::new(&view, keys, layer, range, dim as usize);
        let tokens = tokens.map_err(|error| file.unfit(error))?;
        match index.method() {
            Method::WhitenedCentroids => {
                Ok(Array { dims: vec![tokens.count() as u64, dim.into()], values: tokens.values().to_vec() })
            }
            Method::WhitenedMean => {
                let values = tokens.mean().map_err(|error| file.unfit(error))?;
                Ok(Array { dims: vec![dim.into()], values })
            }
            method => {
                let message = format!("--whitening is not for vectors of method {}", method.name());
                Err(Problem::Usage(message))
            }
        }
    })
}

/// Whether the array is an array of queries, not one.
fn is_several(index: &Index<'_>, query: &Array) -> bool {
    let one = if index.search().metric() == Metric::MaxSim { 2 } else { 1 };
    query.dims.len() > one
}

fn find(args: &SearchArgs, index: &Index<'_>, query: &Array) -> Result<Vec<Vec<Hit>>, Problem> {
    let search = index.search();
    let dim = search.vectors().dim() as usize;
    let refuse = |message: String| Problem::Usage(format!("{}: {message}", input::name(&args.query)));
    let most = if search.metric() == Metric::MaxSim { 3 } else { 2 };
    if query.dims.len() > most {
        return Err(refuse(format!("a query has at most {most} dimensions, this has {}", query.dims.len())));
    }
    if query.dims.last() != Some(&(dim as u64)) {
        let found = query.dims.last().copied().unwrap_or(0);
        return Err(refuse(format!("a vector has {found} components, in the index it has {dim}")));
    }
    if let Some(place) = query.values.iter().position(|x| !x.is_finite()) {
        let (vector, component) = (place / dim, place % dim);
        return Err(refuse(format!("vector {vector}: component {component} is not finite")));
    }
    let filter = Filter {
        model_id: args.model.as_deref(),
        min_context_len: args.min_context,
        max_context_len: args.max_context,
    };
    let admits = |number| index.entry(number).is_some_and(|entry| filter.admits(&entry));
    let threads = args.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let failed = |error: Error| refuse(error.to_string());
    let mut found = if search.metric() == Metric::MaxSim {
        let count = match *query.dims.as_slice() {
            [_, vectors, _] | [vectors, _] => usize::try_from(vectors).unwrap_or(usize::MAX),
            _ => 1,
        };
        let each = query.values.chunks(count.saturating_mul(dim).max(1));
        let weigh = index.method() == Method::WhitenedCentroids;
        each.map(|vectors| {
            let norm = |vector: &[f32]| vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() as f32;
            let weights: Vec<f32> = vectors.chunks(dim).map(norm).collect();
            let query = if weigh { Query::weighted(vectors, &weights) } else { Query::new(vectors) };
            search.top_k_parallel(query, args.top_k, admits, threads).map_err(failed)
        })
        .collect::<Result<Vec<_>, Problem>>()?
    } else if query.dims.len() == 1 {
        vec![search.top_k_parallel(Query::new(&query.values), args.top_k, admits, threads).map_err(failed)?]
    } else {
        search.batch_parallel(&query.values, args.top_k, admits, threads).map_err(failed)?
    };
    if let Some(least) = args.min_similarity {
        for hits in &mut found {
            hits.retain(|hit| hit.score >= least);
        }
    }
    Ok(found)
}

/// ENGRAM's result.
fn result_json(hit: &Hit, entry: &Entry<'_>) -> Value {
    let mut members = Map::new();
    members.insert("cache_id".to_owned(), entry.cache_id.into());
    members.insert("task_description".to_owned(), entry.task_description.into());
    members.insert("similarity".to_owned(), hit.score.into());
    members.into()
}

//! Keys from the files that the engram verbs take: arrays, and state blobs of llama.cpp.

use std::path::{Path, PathBuf};

use bitwire::engram::state::{Cache, Known, Layout, State, Stream, StreamKeys};
use bitwire::engram::{
    Angle, KeySource, Keys, Pairs, Rope, Unrotated, VALUE_HADAMARD_BLOCK, key_hadamard_block,
};
use bitwire::io::npy;
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};

use crate::exit::Problem;
use crate::floats::FloatArray;
use crate::input::{self, Bytes};

/// What a state blob does not say about itself.
#[derive(Args, Clone)]
pub(crate) struct BlobArgs {
    /// The model's architecture as llama.cpp names it, where a blob does not say it: llama, gemma3
    #[arg(long, value_name = "A")]
    pub(crate) arch: Option<String>,
    /// The layout of a blob, where several fit: none, kv, iswa or recurrent, then what is unusual: +outputs, -streams, +ext8,
    /// +ext12, -values, -data
    #[arg(long, value_name = "L", value_parser = layout)]
    pub(crate) layout: Option<Layout>,
}

fn layout(text: &str) -> Result<Layout, String> {
    text.parse().map_err(|error: Error| error.to_string())
}

/// Which cache of a state blob, and how it is stored.
#[derive(Args)]
pub(crate) struct CacheArgs {
    #[command(flatten)]
    pub(crate) blob: BlobArgs,
    /// Components of a head, which a blob does not say; without it engram verbs take all heads as one
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) head_dim: Option<u32>,
    /// Which cache of a blob, from 0: of gemma3, 0 has the layers of full attention, 1 those of the sliding window
    #[arg(long, value_name = "N")]
    pub(crate) section: Option<usize>,
    /// Which stream of a cache, from 0: one for each sequence, unless the cache is unified
    #[arg(long, value_name = "N")]
    pub(crate) stream: Option<usize>,
    /// Undo the Hadamard rotation under which llama.cpp stores quantised keys (and values), in blocks of BLOCK
    /// components [default: as llama.cpp chooses it by the head dim]
    #[arg(long, value_name = "BLOCK", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) hadamard: Option<u32>,
}

/// Which keys of a file, and what was done to them.
#[derive(Args)]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) rope: RopeArgs,
}

/// Which rotation of positions to undo.
#[derive(Args, Default)]
pub(crate) struct RopeArgs {
    /// Undo RoPE of this base (10000, 500000, ...) by the cells' positions; those of an array are 0, 1, 2, ...
    #[arg(long, value_name = "B", requires = "rope_pairs")]
    pub(crate) rope_base: Option<f64>,
    /// Which components RoPE turns together
    #[arg(long, value_enum, requires = "rope_base")]
    pub(crate) rope_pairs: Option<PairsArg>,
    /// Components that RoPE turns [default: all]
    #[arg(long, value_name = "N", requires = "rope_base")]
    pub(crate) rope_dims: Option<u32>,
}

impl CacheArgs {
    /// The first of these options that is given, for inputs that are no state blobs.
    pub(crate) fn for_blobs(&self) -> Option<&'static str> {
        let given = [
            (self.blob.arch.is_some(), "--arch"),
            (self.blob.layout.is_some(), "--layout"),
            (self.head_dim.is_some(), "--head-dim"),
            (self.section.is_some(), "--section"),
            (self.stream.is_some(), "--stream"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

impl SourceArgs {
    /// The first of these options that is given, for verbs that may have no keys to apply them to.
    pub(super) fn given(&self) -> Option<&'static str> {
        let hadamard = self.cache.hadamard.is_some().then_some("--hadamard");
        let rope = self.rope.rope_base.is_some().then_some("--rope-base");
        self.cache.for_blobs().or(hadamard).or(rope)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PairsArg {
    /// 2i and 2i + 1: GGUF files of llama and its kin
    Interleaved,
    /// i and i + half: GGUF files of qwen2, gemma3 and most others
    Halves,
}

/// Keys, or values, behind whatever they were read from.
pub(crate) type Source<'a> = &'a (dyn KeySource + Sync);

/// A file of keys.
pub(crate) struct KeyFile {
    path: PathBuf,
    held: Held,
}

enum Held {
    Array(Box<FloatArray>),
    Blob(Bytes),
}

/// Which part of a blob.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Keys,
    Values,
}

impl KeyFile {
    /// Opens an array [layers, heads, tokens, head_dim], or anything else as a state blob.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let bytes = input::map(path)?;
        let held = if bytes.as_ref().starts_with(&npy::MAGIC) {
            let array = FloatArray::new(bytes, false).map_err(|error| input::unfit(path, error))?;
            Held::Array(Box::new(array))
        } else {
            Held::Blob(bytes)
        };
        Ok(Self { path: path.to_owned(), held })
    }

    /// The state blob that `bytes` of the file at `path` should be.
    pub(crate) fn blob(path: &Path, bytes: Bytes) -> Self {
        Self { path: path.to_owned(), held: Held::Blob(bytes) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.held, Held::Array(_))
    }

    /// Hands the keys to `run`, rotations undone: one source, or with `all` one for each cache of a blob if the arguments
    /// name none.
    pub(super) fn with<R>(
        &self,
        args: &SourceArgs,
        part: Part,
        all: bool,
        run: impl FnOnce(&[Source<'_>]) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        match &self.held {
            Held::Array(array) => {
                self.check_array_args(args, part)?;
                let shape = array.shape();
                let keys = Keys::new(shape, array.scalar().element(), array.bytes());
                let keys = keys.map_err(|error| self.unfit(error))?;
                let last = i32::try_from(shape.tokens)
                    .map_err(|_| self.usage("there are too many tokens for positions".to_owned()))?;
                self.undone(&args.cache, &args.rope, part, vec![(keys, (0..last).collect())], run)
            }
            Held::Blob(bytes) => {
                let state = state(&self.path, bytes.as_ref(), &args.cache.blob)?;
                let caches: Vec<Cache<'_>> = state.caches().collect();
                let chosen = self.section(&caches, &args.cache, all)?;
                let sources = chosen.iter().map(|cache| self.stream(cache, &args.cache, part));
                self.undone(&args.cache, &args.rope, part, sources.collect::<Result<_, Problem>>()?, run)
            }
        }
    }

    /// Hands the keys and the values of one stream of a blob to `run`, the Hadamard rotation undone.
    pub(crate) fn with_both<R>(
        &self,
        args: &CacheArgs,
        run: impl FnOnce(&State<'_>, &Stream<'_>, Source<'_>, Source<'_>) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let Held::Blob(bytes) = &self.held else { return Err(self.usage("is no state blob".to_owned())) };
        let state = state(&self.path, bytes.as_ref(), &args.blob)?;
        let caches: Vec<Cache<'_>> = state.caches().collect();
        let [cache] = self.section(&caches, args, false)? else {
            return Err(self.usage("give --section N".to_owned()));
        };
        let stream = self.pick(cache, args)?;
        let keys = self.stream(cache, args, Part::Keys)?;
        let values = self.stream(cache, args, Part::Values)?;
        let rope = RopeArgs::default();
        self.undone(args, &rope, Part::Keys, vec![keys], |keys| {
            self.undone(args, &rope, Part::Values, vec![values], |values| match (keys, values) {
                (&[keys], &[values]) => run(&state, &stream, keys, values),
                _ => Err(self.usage("there are no keys and values".to_owned())),
            })
        })
    }

    /// The caches that the arguments name.
    fn section<'s, 'a>(
        &self,
        caches: &'s [Cache<'a>],
        args: &CacheArgs,
        all: bool,
    ) -> Result<&'s [Cache<'a>], Problem> {
        let chosen = match args.section {
            Some(section) => caches.get(section..).and_then(|rest| rest.get(..1)),
            None if all || caches.len() == 1 => Some(caches),
            None if caches.is_empty() => None,
            None => {
                let message = format!("has {} caches: give --section N", caches.len());
                return Err(self.usage(message));
            }
        };
        let none = || self.usage(format!("there is no such section: it has {} caches", caches.len()));
        chosen.filter(|chosen| !chosen.is_empty()).ok_or_else(none)
    }

    /// The stream of a cache that the arguments name.
    fn pick<'a>(&self, cache: &Cache<'a>, args: &CacheArgs) -> Result<Stream<'a>, Problem> {
        if cache.is_recurrent() {
            return Err(self.usage("holds a recurrent state, which has no keys".to_owned()));
        }
        let count = cache.stream_count();
        let stream: Option<Stream<'a>> = match args.stream {
            None if count > 1 => {
                let message = format!("the cache has {count} streams: give --stream N");
                return Err(self.usage(message));
            }
            chosen => cache.streams().nth(chosen.unwrap_or(0)),
        };
        stream.ok_or_else(|| self.usage(format!("the cache has {count} streams")))
    }

    fn stream<'a>(
        &self,
        cache: &Cache<'a>,
        args: &CacheArgs,
        part: Part,
    ) -> Result<(StreamKeys<'a>, Vec<i32>), Problem> {
        let stream = self.pick(cache, args)?;
        let mut tensors = if part == Part::Keys { stream.keys() } else { stream.values() };
        let Some(first) = tensors.next() else {
            let what = if part == Part::Keys { "keys" } else { "values" };
            return Err(self.usage(format!("there are no {what}")));
        };
        let head_dim = args.head_dim.unwrap_or(first.width());
        let keys = match part {
            Part::Keys => StreamKeys::new(&stream, head_dim),
            Part::Values => StreamKeys::values(&stream, head_dim),
        };
        let positions = stream.cells().map(|cell| cell.pos).collect();
        Ok((keys.map_err(|error| self.unfit(error))?, positions))
    }

    /// Undoes what the arguments say was done.
    fn undone<S: KeySource + Sync, R>(
        &self,
        args: &CacheArgs,
        rope: &RopeArgs,
        part: Part,
        sources: Vec<(S, Vec<i32>)>,
        run: impl FnOnce(&[Source<'_>]) -> Result<R, Problem>,
    ) -> Result<R, Problem> {
        let mut rooms = Vec::new();
        let mut bare = Vec::new();
        for (source, positions) in sources {
            let shape = source.shape();
            if shape.rows().map_err(|error| self.unfit(error))? == 0 || shape.head_dim == 0 {
                return Err(self.usage("there are no keys".to_owned()));
            }
            let rope = self.rope(args, rope, shape.head_dim)?;
            // Of more rotary dims than components, which is refused below, no table is made.
            let pairs = rope.filter(|rope| rope.dims() <= shape.head_dim).map_or(0, |rope| rope.pair_count());
            let table = vec![Angle::default(); positions.len().saturating_mul(pairs as usize)];
            rooms.push((rope, positions, table));
            bare.push(source);
        }
        let mut undone = Vec::new();
        for (source, (rope, positions, table)) in bare.into_iter().zip(&mut rooms) {
            let head_dim = source.shape().head_dim;
            let mut keys = Unrotated::new(source);
            if let Some(block) = args.hadamard {
                let block = self.block(block, part, head_dim)?;
                keys = keys.with_hadamard(block).map_err(|error| self.unfit(error))?;
            }
            if let Some(rope) = *rope {
                keys = keys.with_angles(rope, positions, table).map_err(|error| self.unfit(error))?;
            }
            undone.push(keys);
        }
        let sources: Vec<Source<'_>> = undone.iter().map(|keys| keys as Source<'_>).collect();
        run(&sources)
    }

    fn rope(
        &self,
        args: &CacheArgs,
        rope: &RopeArgs,
        head_dim: u32,
    ) -> Result<Option<Rope<'static>>, Problem> {
        let (Some(base), Some(pairs)) = (rope.rope_base, rope.rope_pairs) else { return Ok(None) };
        let pairs = match pairs {
            PairsArg::Interleaved => Pairs::Interleaved,
            PairsArg::Halves => Pairs::Halves,
        };
        if !self.is_array() && args.head_dim.is_none() {
            return Err(self.usage("RoPE turns each head by itself: give --head-dim D".to_owned()));
        }
        Rope::new(base, pairs, rope.rope_dims.unwrap_or(head_dim))
            .map(Some)
            .map_err(|error| self.unfit(error))
    }

    fn block(&self, asked: u32, part: Part, head_dim: u32) -> Result<u32, Problem> {
        let own = match part {
            Part::Keys => key_hadamard_block(head_dim),
            Part::Values => Some(VALUE_HADAMARD_BLOCK).filter(|block| head_dim.is_multiple_of(*block)),
        };
        let missing = || {
            let message = format!("llama.cpp does not rotate heads of {head_dim}: give --hadamard=BLOCK");
            self.usage(message)
        };
        if asked == 0 { own.ok_or_else(missing) } else { Ok(asked) }
    }

    /// Refuses what is for blobs only, rather than doing nothing about it.
    fn check_array_args(&self, args: &SourceArgs, part: Part) -> Result<(), Problem> {
        let values = (part == Part::Values).then_some("--values");
        match args.cache.for_blobs().or(values) {
            Some(name) => Err(self.usage(format!("{name} is for state blobs; this is an array"))),
            None => Ok(()),
        }
    }

    pub(super) fn unfit(&self, error: Error) -> Problem {
        input::unfit(&self.path, error)
    }

    pub(super) fn usage(&self, message: String) -> Problem {
        Problem::Usage(format!("{}: {message}", input::name(&self.path)))
    }
}

/// The state blob that fills `bytes`.
pub(super) fn state<'a>(path: &Path, bytes: &'a [u8], args: &BlobArgs) -> Result<State<'a>, Problem> {
    let known = Known { arch: args.arch.as_deref(), layout: args.layout };
    State::parse_as(bytes, &known).map_err(|error| match error.kind() {
        ErrorKind::Ambiguous { layouts } => Problem::Usage(format!(
            "{}: more than one layout fits: {layouts}; give --layout L with the right one, or --arch A",
            input::name(path)
        )),
        _ => input::unfit(path, error),
    })
}

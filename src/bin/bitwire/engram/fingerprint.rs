//! `engram fingerprint`: keys as one vector, or a few.

use std::path::{Path, PathBuf};

use bitwire::engram::fingerprint::{
    FourierOptions, FourierScale, LayerRange, Signs, SvdOptions, XkvOptions, fourier_sections, l2_norm,
    mean_pool, svd_project, xkv_project,
};
use bitwire::engram::index::{Method, VectorType};
use bitwire::engram::whitening::{DEFAULT_CENTROIDS, DEFAULT_COMPONENTS, WhitenedTokens, Whitening};
use bitwire::frame::{Frame, Key};
use bitwire::io::npy::write_array_bytes;
use bitwire::io::output::write_whole;
use bitwire::{Error, ErrorKind};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::source::{KeyFile, Part, Source, SourceArgs};
use super::vectors::{StoreArg, StoreArgs, store, type_name};
use crate::args::Common;
use crate::exit::{Outcome, Output, Problem, tell};
use crate::input;
use crate::keys;
use crate::mirror::{Members, check_paths, usage};

/// Take the fingerprint of a text's keys
///
/// With --whitening the default is 16 whitened centroids of 192 components as bits, which find most in 384 bytes; without,
/// it is the mean.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire engram fingerprint notes.npy notes.print.npy --whitening whitening.bit --tokens 1..-1\n\n\
    OUT has one dimension, or two (vectors, components) for centroids. Its type is f4, f2 for f16, i2 for mu16 (in steps that are \
    printed), i1 for i8 (times the scale that is printed for each vector), and u1 for bits (8 signs a byte, the first the lowest \
    bit, 1 for a component below 0).")]
pub(crate) struct FingerprintArgs {
    /// The keys: .npy [layers, heads, tokens, head_dim] of f16, f32 or bf16, or a state blob; - for standard input
    pub(crate) keys: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) print: PrintArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// How a fingerprint is made.
#[derive(Args)]
pub(crate) struct PrintArgs {
    /// How it is made [default: centroids with --whitening, else mean]
    #[arg(long, value_enum)]
    pub(crate) method: Option<MethodArg>,
    /// Layers: all, upper (all but the first quarter), or A..B without B [default: all for fourier and fourier2, else upper]
    #[arg(long, value_name = "A..B", value_parser = layers)]
    pub(crate) layers: Option<LayerRange>,
    /// svd and xkv: singular vectors to keep [default: 160]
    #[arg(long, value_name = "R")]
    pub(crate) rank: Option<u32>,
    /// svd: leading singular vectors to leave out [default: 0]
    #[arg(long, value_name = "G")]
    pub(crate) gate: Option<u32>,
    /// svd and xkv: keys to look at; of more, this many are drawn [default: 8192]
    #[arg(long, value_name = "N")]
    pub(crate) max_rows: Option<u32>,
    /// svd and xkv: seed of that draw [default: 42]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// svd and xkv: which direction of a singular vector is taken [default: mean]
    #[arg(long, value_enum)]
    pub(crate) signs: Option<SignsArg>,
    /// svd and xkv: turn the result back into the coordinates of keys, which depend on no sign and can be compared
    #[arg(long)]
    pub(crate) back_project: bool,
    /// fourier and fourier2: the frequencies [default: 0,1]
    #[arg(long, value_name = "F,...", value_delimiter = ',')]
    pub(crate) frequencies: Vec<u32>,
    /// fourier and fourier2: real and imaginary parts in place of amplitudes
    #[arg(long)]
    pub(crate) phase: bool,
    /// whitened and centroids: the whitening, of `engram whiten fit`
    #[arg(long, value_name = "FILE.bit")]
    pub(crate) whitening: Option<PathBuf>,
    /// whitened and centroids: the layer, from 0 [default: the last]
    #[arg(long, value_name = "L")]
    pub(crate) layer: Option<u32>,
    /// whitened and centroids: the tokens; 1..-1 leaves out the first and the last [default: all]
    #[arg(long, value_name = "A..B", value_parser = tokens, allow_hyphen_values = true)]
    pub(crate) tokens: Option<TokenRange>,
    /// whitened and centroids: leading components to keep [default: 192, or all if there are fewer]
    #[arg(long, value_name = "N")]
    pub(crate) components: Option<usize>,
    /// centroids: how many, 1 to 256 [default: 16]
    #[arg(long, value_name = "K")]
    pub(crate) centroids: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// the mean key
    Mean,
    /// the mean key in the singular vectors of the keys
    Svd,
    /// the same for every 4 layers
    Xkv,
    /// how the mean keys change from layer to layer: ENGRAM's v1
    Fourier,
    /// the same, each layer at length 1: ENGRAM's v2
    Fourier2,
    /// the weighted mean of whitened keys
    Whitened,
    /// a few directions that stand for the whitened keys
    Centroids,
}

impl MethodArg {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Mean => Method::MeanPool,
            Self::Svd => Method::Svd,
            Self::Xkv => Method::Xkv,
            Self::Fourier => Method::FourierV1,
            Self::Fourier2 => Method::FourierV2,
            Self::Whitened => Method::WhitenedMean,
            Self::Centroids => Method::WhitenedCentroids,
        }
    }

    fn is_whitened(self) -> bool {
        matches!(self, Self::Whitened | Self::Centroids)
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SignsArg {
    /// the one on which the mean key is not negative
    Mean,
    /// the one whose component of largest magnitude is positive
    Loading,
}

fn layers(text: &str) -> Result<LayerRange, String> {
    match text {
        "all" => return Ok(LayerRange::All),
        "upper" => return Ok(LayerRange::Upper),
        _ => {}
    }
    let (start, end) = text.split_once("..").unwrap_or_default();
    let pair = start.parse().ok().zip(end.parse().ok());
    let (start, end) = pair.ok_or("has to be all, upper, or two numbers as 8..24")?;
    Ok(LayerRange::Between { start, end })
}

/// Some tokens of a text; an end below 0 counts from the last.
#[derive(Clone, Copy)]
pub(crate) struct TokenRange {
    start: u32,
    end: Option<i64>,
}

pub(super) fn tokens(text: &str) -> Result<TokenRange, String> {
    let wrong = || "has to be two numbers, as 1..-1 or 0..256; the second can be left out".to_owned();
    let (start, end) = text.split_once("..").ok_or_else(wrong)?;
    let start = start.parse().map_err(|_| wrong())?;
    let end = if end.is_empty() { None } else { Some(end.parse().map_err(|_| wrong())?) };
    Ok(TokenRange { start, end })
}

impl TokenRange {
    /// The tokens of so many.
    pub(super) fn of(range: Option<Self>, count: u32) -> Result<std::ops::Range<u32>, Error> {
        let Self { start, end } = range.unwrap_or(Self { start: 0, end: None });
        let end = match end {
            None => count.into(),
            Some(end) if end < 0 => i64::from(count) + end,
            Some(end) => end,
        };
        let none = Error::caller(ErrorKind::Argument {
            expected: "--tokens takes in at least one token of the text",
        });
        let end = u32::try_from(end.min(count.into())).map_err(|_| none)?;
        if start < end { Ok(start..end) } else { Err(none) }
    }
}

/// A whitening in its file.
pub(super) struct WhiteningFile {
    name: String,
    /// Not mapped: what a key verified is then what is used.
    bytes: Vec<u8>,
}

impl WhiteningFile {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        Ok(Self { name: input::name(path), bytes: input::read_frames(path)? })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn frame(&self, key: Option<&Key>) -> Result<Frame<'_>, Problem> {
        input::frame(&self.name, &self.bytes, key)
    }

    pub(super) fn view(&self, key: Option<&Key>) -> Result<Whitening<'_>, Problem> {
        let frame = self.frame(key)?;
        Whitening::from_frame(&frame).map_err(|error| Problem::frame(&self.name, error))
    }
}

/// A fingerprint.
pub(super) struct Print {
    pub(super) vectors: Vec<f32>,
    /// Components of each.
    pub(super) dim: usize,
    /// What else is to be told of it.
    more: Members,
}

impl PrintArgs {
    pub(super) fn chosen(&self) -> MethodArg {
        let default = if self.whitening.is_some() { MethodArg::Centroids } else { MethodArg::Mean };
        self.method.unwrap_or(default)
    }

    /// Refuses options that the method would do nothing about.
    pub(super) fn check(&self) -> Result<(), Problem> {
        use MethodArg as M;
        let method = self.chosen();
        let [svd, xkv, whitened] =
            [method == M::Svd, matches!(method, M::Svd | M::Xkv), method.is_whitened()];
        let fourier = matches!(method, M::Fourier | M::Fourier2);
        let given = [
            (self.layers.is_some(), !whitened, "--layers"),
            (self.rank.is_some(), xkv, "--rank"),
            (self.gate.is_some(), svd, "--gate"),
            (self.max_rows.is_some(), xkv, "--max-rows"),
            (self.seed.is_some(), xkv, "--seed"),
            (self.signs.is_some(), xkv, "--signs"),
            (self.back_project, xkv, "--back-project"),
            (!self.frequencies.is_empty(), fourier, "--frequencies"),
            (self.phase, fourier, "--phase"),
            (self.whitening.is_some(), whitened, "--whitening"),
            (self.layer.is_some(), whitened, "--layer"),
            (self.tokens.is_some(), whitened, "--tokens"),
            (self.components.is_some(), whitened, "--components"),
            (self.centroids.is_some(), method == M::Centroids, "--centroids"),
        ];
        let name = method.method().name();
        if let Some((_, _, option)) = given.into_iter().find(|&(given, fits, _)| given && !fits) {
            return Err(Problem::Usage(format!("{option} is not for --method {name}")));
        }
        if whitened && self.whitening.is_none() {
            return Err(Problem::Usage(format!("--method {name} needs --whitening FILE.bit")));
        }
        Ok(())
    }

    /// Whether all caches of a blob together make one fingerprint.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self.chosen(), MethodArg::Fourier | MethodArg::Fourier2)
    }

    /// Whether it matters where a head ends.
    pub(super) fn needs_head_dim(&self) -> bool {
        matches!(self.chosen(), MethodArg::Mean | MethodArg::Svd | MethodArg::Xkv)
    }

    /// The fingerprint of these sections of keys.
    pub(super) fn take(
        &self,
        sections: &[Source<'_>],
        whitening: Option<&Whitening<'_>>,
    ) -> Result<Print, Error> {
        let nothing = Error::caller(ErrorKind::Argument { expected: "there are keys" });
        let keys = *sections.first().ok_or(nothing)?;
        // ENGRAM's choices.
        let default = if self.takes_all() { LayerRange::All } else { LayerRange::Upper };
        let layers = self.layers.unwrap_or(default);
        let signs = match self.signs {
            Some(SignsArg::Loading) => Signs::LargestLoading,
            Some(SignsArg::Mean) | None => Signs::Mean,
        };
        let (rank, max_rows) = (self.rank.unwrap_or(160), self.max_rows.unwrap_or(8192));
        let seed = self.seed.unwrap_or(42);
        let mut more = Vec::new();
        let vectors = match self.chosen() {
            MethodArg::Mean => mean_pool(keys, layers)?,
            MethodArg::Svd => {
                let gate = self.gate.unwrap_or(0);
                let found = svd_project(keys, &SvdOptions { layers, rank, gate, max_rows, seed, signs })?;
                more.push(("rows", found.rows.into()));
                more.push(("explained_variance_ratio", found.explained_variance_ratio.into()));
                if self.back_project { found.back_projection() } else { found.vector }
            }
            MethodArg::Xkv => {
                let found = xkv_project(keys, &XkvOptions { layers, rank, max_rows, seed, signs })?;
                more.push(("groups", found.groups.len().into()));
                if self.back_project { found.back_projection() } else { found.vector }
            }
            method @ (MethodArg::Fourier | MethodArg::Fourier2) => {
                let scale = match method {
                    MethodArg::Fourier => FourierScale::Frequencies,
                    _ => FourierScale::LayersAndFrequencies,
                };
                let frequencies: &[u32] =
                    if self.frequencies.is_empty() { &[0, 1] } else { &self.frequencies };
                fourier_sections(sections, layers, &FourierOptions { frequencies, scale, phase: self.phase })?
            }
            method @ (MethodArg::Whitened | MethodArg::Centroids) => {
                let tokens = self.whitened_tokens(keys, whitening)?;
                let dim = tokens.components();
                more.push(("tokens", tokens.count().into()));
                let vectors = match method {
                    MethodArg::Whitened => tokens.mean()?,
                    _ => tokens.centroids(self.centroids.map_or(DEFAULT_CENTROIDS, usize::from))?,
                };
                return Ok(Print { vectors, dim, more });
            }
        };
        Ok(Print { dim: vectors.len(), vectors, more })
    }

    /// What a query is where documents are centroids: all its tokens.
    pub(super) fn query_tokens(
        &self,
        sections: &[Source<'_>],
        whitening: Option<&Whitening<'_>>,
    ) -> Result<WhitenedTokens, Error> {
        let nothing = Error::caller(ErrorKind::Argument { expected: "there are keys" });
        self.whitened_tokens(*sections.first().ok_or(nothing)?, whitening)
    }

    fn whitened_tokens(
        &self,
        keys: Source<'_>,
        whitening: Option<&Whitening<'_>>,
    ) -> Result<WhitenedTokens, Error> {
        let needed = Error::caller(ErrorKind::Argument { expected: "there is a whitening" });
        let whitening = whitening.ok_or(needed)?;
        let shape = keys.shape();
        let layer = self.layer.unwrap_or(shape.layers.saturating_sub(1));
        let range = TokenRange::of(self.tokens, shape.tokens)?;
        let components = self.components.unwrap_or((whitening.outputs() as usize).min(DEFAULT_COMPONENTS));
        WhitenedTokens::new(whitening, keys, layer, range, components)
    }
}

/// Refuses a blob whose heads are not known where they matter.
pub(super) fn check_head_dim(file: &KeyFile, print: &PrintArgs, source: &SourceArgs) -> Result<(), Problem> {
    if print.needs_head_dim() && !file.is_array() && source.cache.head_dim.is_none() {
        let name = print.chosen().method().name();
        let message = format!(
            "--method {name} goes by heads, of which a blob does not say the size: give --head-dim D"
        );
        return Err(file.usage(message));
    }
    Ok(())
}

pub(super) fn fingerprint(args: &FingerprintArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    args.print.check()?;
    let mut inputs = vec![args.keys.as_path()];
    inputs.extend(args.print.whitening.as_deref());
    check_paths(&args.out, args.common.json, &inputs)?;
    let whitening = args.print.whitening.as_deref().map(WhiteningFile::open).transpose()?;
    let whitening = whitening.as_ref().map(|file| file.view(key.as_ref())).transpose()?;
    let file = KeyFile::open(&args.keys)?;
    check_head_dim(&file, &args.print, &args.source)?;
    let print = file.with(&args.source, Part::Keys, args.print.takes_all(), |sections| {
        args.print.take(sections, whitening.as_ref()).map_err(|error| file.unfit(error))
    })?;
    let method = args.print.chosen();
    let default = if method == MethodArg::Centroids { StoreArg::Bits } else { StoreArg::F32 };
    let kind = args.store.vector_type(default, &print.vectors, print.dim).map_err(usage)?;
    let stored = store(kind, print.dim, &print.vectors).map_err(|error| file.unfit(error))?;
    let count = (print.vectors.len() / print.dim.max(1)) as u64;
    let dims = match method {
        MethodArg::Centroids => vec![count, stored.columns],
        _ => vec![stored.columns],
    };
    if stored.saturated > 0 {
        let (name, saturated) = (input::name(file.path()), stored.saturated);
        tell!(
            "bitwire: warning: {name}: {saturated} components saturate; a larger --delta-q16, or auto, holds them"
        );
    }
    if input::is_stream(&args.out) {
        let written = write_array_bytes(out.bytes(), stored.dtype, &dims, &stored.bytes);
        written.map_err(|cause| cause.at("standard output"))?;
        return Ok(Outcome::Good);
    }
    write_whole(&args.out, |file| write_array_bytes(file, stored.dtype, &dims, &stored.bytes))?;
    let name = input::name(&args.out);
    let step = match kind {
        VectorType::Mu16(step) => Some(step),
        _ => None,
    };
    let norm = l2_norm(&print.vectors);
    if args.common.json {
        let mut members: Members = vec![
            ("file", name.into()),
            ("method", method.method().name().into()),
            ("shape", json!(dims)),
            ("vectors", count.into()),
            ("dim", print.dim.into()),
            ("store", type_name(kind).into()),
            ("delta_q16", step.map(|step| step.get()).into()),
            ("scales", if stored.scales.is_empty() { Value::Null } else { json!(stored.scales) }),
            ("saturated", stored.saturated.into()),
            ("bytes", (stored.bytes.len() + 4 * stored.scales.len()).into()),
            ("norm", norm.into()),
        ];
        members.extend(print.more);
        out.json("engram-fingerprint", members);
        return Ok(Outcome::Good);
    }
    let bytes = stored.bytes.len() + 4 * stored.scales.len();
    out.labelled("file", name);
    out.labelled("method", method.method().name());
    out.labelled(
        "vectors",
        format_args!("{count} of {} components, {bytes} bytes as {}", print.dim, type_name(kind)),
    );
    out.labelled("norm", norm);
    if let Some(step) = step {
        out.labelled("step", format_args!("{} (delta_q16 {})", step.as_f64(), step.get()));
    }
    for scale in &stored.scales {
        out.labelled("scale", scale);
    }
    for (label, value) in print.more {
        out.labelled(if label == "explained_variance_ratio" { "explained" } else { label }, value);
    }
    Ok(Outcome::Good)
}

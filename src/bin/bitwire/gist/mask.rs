//! `gist mask`: the attention mask of a text with gists.

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bitwire::gist::mask::{GistMask, PaddedRows, Padding};
use bitwire::io::Cause;
use bitwire::io::npy::{ArrayWriter, Dtype};
use bitwire::io::output::write_whole;
use bitwire::{Error, ErrorKind};
use clap::{ArgGroup, Args, ValueEnum};
use serde_json::Value;

use super::text::{TextArgs, numbers};
use crate::exit::{Outcome, Output, Problem};
use crate::input;

/// Make the attention mask of a text with gists, or draw it
///
/// A position sees itself and what is before it; what comes after the gists sees the gists and not what is
/// before them. Gists reach from the first gist token to the last, with whatever stands between them. Without
/// any the mask is causal. Positions of padding see nothing and are seen by none.
#[derive(Args)]
#[command(group(ArgGroup::new("text").required(true).args(["tokens", "context"])))]
#[command(after_help = "Examples:\n  \
    bitwire gist mask --tokens prompt.npy --gist-ids 32000,32001,32002 mask.npy\n  \
    bitwire gist mask --context 8 --gists 2 --rest 4 --pad-left 1\n\n\
    Mask files, for n positions: bits are u1 [n, n / 8 rounded up], the lowest bit first, \
    as numpy.packbits(bitorder=\"little\"); \
    bytes are u1 [n, n] of 1 and 0; additive is f4 [n, n], 0 where seen.\n\
    Padding is a file of numbers as --tokens is.")]
pub(crate) struct MaskArgs {
    /// File to write (.npy); - for standard output; without it, masks of up to 64 positions are drawn
    #[arg(value_name = "OUT")]
    out: Option<PathBuf>,
    #[command(flatten)]
    text: TextArgs,
    /// In place of a text: so many tokens of context
    #[arg(long, value_name = "N", requires_all = ["gists", "rest"])]
    #[arg(allow_negative_numbers = true)]
    context: Option<u32>,
    /// then so many gists
    #[arg(long, value_name = "N", requires = "context", allow_negative_numbers = true)]
    gists: Option<u32>,
    /// then so many tokens
    #[arg(long, value_name = "N", requires = "context", allow_negative_numbers = true)]
    rest: Option<u32>,
    /// Padding, an entry for each position: 1 is a token, 0 is padding
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pad_left", "pad_right"])]
    padding: Option<PathBuf>,
    /// The first N positions are padding
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pad_left: Option<u32>,
    /// The last N positions are padding
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pad_right: Option<u32>,
    /// Let positions of padding see what a token there would, as the code does that gists come from
    #[arg(long)]
    as_original: bool,
    /// What the file holds [default: bits]
    #[arg(long, value_enum, requires = "out")]
    format: Option<FormatArg>,
    /// What additive masks have where nothing is seen [default: min]
    #[arg(long, value_enum, requires = "out")]
    blocked: Option<BlockedArg>,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatArg {
    /// a bit for each pair of positions
    Bits,
    /// a byte, 1 or 0
    Bytes,
    /// an f32 to add to the scores of attention
    Additive,
}

#[derive(Clone, Copy, ValueEnum)]
enum BlockedArg {
    /// the smallest f32: softmax of a row that sees nothing is uniform
    Min,
    /// minus infinity: softmax of a row that sees nothing is NaN
    Inf,
}

/// Longest mask that is drawn, in positions.
const DRAWN: usize = 64;

/// Bytes written at a time, or one row if that is longer.
const STAGE: usize = 1 << 20;

pub(crate) fn mask(args: &MaskArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let inputs: Vec<&Path> = args.text.tokens.iter().chain(&args.padding).map(PathBuf::as_path).collect();
    input::one_stream(inputs.iter().copied())?;
    let format = args.format.unwrap_or(FormatArg::Bits);
    if args.blocked.is_some() && format != FormatArg::Additive {
        return Err(Problem::Usage("--blocked is for --format additive".to_owned()));
    }
    if let Some(path) = &args.out {
        input::one_result(path, args.json)?;
        input::not_over(path, &inputs)?;
        input::check_output(path)?;
    }

    let (mask, between) = without_padding(args)?;
    let padding = padding(args, mask.len())?;
    if args.as_original && padding.is_none() {
        return Err(Problem::Usage("--as-original is for masks with padding".to_owned()));
    }
    let mask = match &padding {
        Some((bits, _)) => {
            mask.with_padding(Padding::Bits(bits)).map_err(|error| Problem::Usage(error.to_string()))?
        }
        None => mask,
    };
    let rows = if args.as_original { PaddedRows::Attend } else { PaddedRows::Blank };
    let mask = mask.padded_rows(rows);
    let padded = padding.as_ref().map_or(0, |(_, padded)| *padded);

    let file = File { format, blocked: args.blocked.unwrap_or(BlockedArg::Min), mask };
    match &args.out {
        Some(path) if input::is_stream(path) => {
            let mut stdout = io::stdout().lock();
            return match file.write(&mut stdout).and_then(|()| Ok(stdout.flush()?)) {
                // A reader that has seen enough, such as head, is no failure.
                Err(Cause::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Good),
                Err(cause) => Err(Problem::Stdout(cause)),
                Ok(()) => Ok(Outcome::Good),
            };
        }
        Some(path) => write_whole(path, |writer| file.write(writer))?,
        None => {}
    }
    let shown = Shown { args, file: &file, padded, between };
    if args.json {
        out.json("gist-mask", shown.json());
    } else {
        shown.print(out);
    }
    Ok(Outcome::Good)
}

/// The mask before padding, and how many positions between its gists are none.
fn without_padding(args: &MaskArgs) -> Result<(GistMask<'static>, usize), Problem> {
    let of_text = args.text.with(|path, tokens, ids| {
        let mask = GistMask::from_tokens(tokens, ids).map_err(|error| input::unfit(path, error))?;
        let run = mask.gists().and_then(|gists| tokens.get(gists)).unwrap_or_default();
        Ok((mask, run.iter().filter(|&&token| !ids.contains(token)).count()))
    })?;
    if let Some(of_text) = of_text {
        return Ok(of_text);
    }
    let parts = [args.context, args.gists, args.rest].map(Option::unwrap_or_default);
    // A u32 that a usize cannot hold is refused as too long.
    let [context, gists, rest] = parts.map(|part| usize::try_from(part).unwrap_or(usize::MAX));
    let mask = GistMask::from_parts(context, gists, rest);
    Ok((mask.map_err(|error| Problem::Usage(error.to_string()))?, 0))
}

/// One bit for each of `len` positions, if any may be padding, and how many are.
fn padding(args: &MaskArgs, len: usize) -> Result<Option<(Vec<u8>, usize)>, Problem> {
    let memory = |error: Error| Problem::Usage(error.to_string());
    if let Some(path) = &args.padding {
        let name = input::name(path);
        let numbers = numbers(path)?;
        if numbers.len() != len {
            let found = numbers.len();
            return Err(Problem::Usage(format!(
                "{name}: has {found} entries, and there are {len} positions"
            )));
        }
        if let Some((at, number)) = numbers.iter().enumerate().find(|(_, number)| **number > 1) {
            return Err(Problem::Usage(format!(
                "{name}: the entry of position {at} is {number}: 1 is a token, 0 is padding"
            )));
        }
        let padded = numbers.iter().filter(|&&number| number == 0).count();
        return Ok(Some((bits(len, |at| numbers.get(at) == Some(&1)).map_err(memory)?, padded)));
    }
    if args.pad_left.is_none() && args.pad_right.is_none() {
        return Ok(None);
    }
    let [left, right] = [args.pad_left, args.pad_right].map(Option::unwrap_or_default);
    let padded = u64::from(left) + u64::from(right);
    if padded > len as u64 {
        return Err(Problem::Usage(format!("{padded} positions of padding, and there are {len} positions")));
    }
    let [left, right] = [left, right].map(|count| usize::try_from(count).unwrap_or(len));
    let tokens = left..len.saturating_sub(right);
    let padded = len.saturating_sub(tokens.len());
    Ok(Some((bits(len, |at| tokens.contains(&at)).map_err(memory)?, padded)))
}

/// A bit for each of `len` positions, 1 for a token, as [`Padding::Bits`] has them.
fn bits(len: usize, is_token: impl Fn(usize) -> bool) -> Result<Vec<u8>, Error> {
    let mut bits = zeros(len.div_ceil(8))?;
    for (byte, first) in bits.iter_mut().zip((0..len).step_by(8)) {
        let tokens = (0..8).filter(|&at| is_token(first.saturating_add(at).min(len)));
        *byte = tokens.fold(0u8, |byte, at| byte | 1 << at);
    }
    Ok(bits)
}

/// `len` zeros: a few options may ask for more than there is memory for.
fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>, Error> {
    let mut values = Vec::new();
    let needed = (len as u64).saturating_mul(size_of::<T>() as u64);
    values.try_reserve_exact(len).map_err(|_| Error::caller(ErrorKind::OutOfMemory { needed }))?;
    values.resize(len, T::default());
    Ok(values)
}

/// A mask as it is written.
struct File<'a> {
    mask: GistMask<'a>,
    format: FormatArg,
    blocked: BlockedArg,
}

impl File<'_> {
    fn dtype(&self) -> (Dtype, &'static str, usize) {
        match self.format {
            FormatArg::Bits | FormatArg::Bytes => (Dtype::U8, "u1", 1),
            FormatArg::Additive => (Dtype::F32, "f4", 4),
        }
    }

    /// Elements of a row.
    fn width(&self) -> usize {
        match self.format {
            FormatArg::Bits => self.mask.packed_row_len(),
            FormatArg::Bytes | FormatArg::Additive => self.mask.len(),
        }
    }

    fn shape(&self) -> [u64; 2] {
        [self.mask.len() as u64, self.width() as u64]
    }

    /// Writes it some rows at a time.
    fn write(&self, writer: &mut dyn Write) -> Result<(), Cause> {
        let (dtype, _, size) = self.dtype();
        let (len, width) = (self.mask.len(), self.width());
        let mut file = ArrayWriter::new(writer, dtype, &self.shape())?;
        let at_once = STAGE.checked_div(width.saturating_mul(size)).unwrap_or(0).clamp(1, len.max(1));
        let mut bytes: Vec<u8> = zeros(at_once.saturating_mul(width).saturating_mul(size))?;
        let additive = self.format == FormatArg::Additive;
        let mut floats: Vec<f32> = zeros(if additive { at_once.saturating_mul(width) } else { 0 })?;
        for first in (0..len).step_by(at_once) {
            let rows = first..first.saturating_add(at_once).min(len);
            let elements = rows.len().saturating_mul(width);
            let to = bytes.get_mut(..elements.saturating_mul(size)).unwrap_or_default();
            match self.format {
                FormatArg::Bits => self.mask.bits_into(rows, to)?,
                FormatArg::Bytes => self.mask.bytes_into(rows, to)?,
                FormatArg::Additive => {
                    let floats = floats.get_mut(..elements).unwrap_or_default();
                    self.mask.additive_into(rows, self.blocked(), floats)?;
                    for (to, x) in to.as_chunks_mut().0.iter_mut().zip(floats) {
                        *to = x.to_le_bytes();
                    }
                }
            }
            file.write(to)?;
        }
        file.finish()?;
        Ok(())
    }

    fn blocked(&self) -> f32 {
        match self.blocked {
            BlockedArg::Min => f32::MIN,
            BlockedArg::Inf => f32::NEG_INFINITY,
        }
    }

    fn format_name(&self) -> &'static str {
        match self.format {
            FormatArg::Bits => "bits",
            FormatArg::Bytes => "bytes",
            FormatArg::Additive => "additive",
        }
    }
}

/// What is told of a mask.
struct Shown<'a> {
    args: &'a MaskArgs,
    file: &'a File<'a>,
    padded: usize,
    between: usize,
}

impl Shown<'_> {
    fn print(&self, out: &mut Output) {
        let mask = &self.file.mask;
        let n = mask.len();
        match &self.args.out {
            Some(path) => {
                let (_, dtype, _) = self.file.dtype();
                let ([rows, width], format) = (self.file.shape(), self.file.format_name());
                let name = input::name(path);
                out.labelled("file", format_args!("{name}: {format}, {dtype} [{rows}, {width}]"));
            }
            None if n <= DRAWN => self.draw(out),
            None => {}
        }
        out.labelled("positions", n);
        match mask.gists() {
            Some(gists) => out.labelled("gists", self.gists_text(&gists)),
            None if self.args.text.tokens.is_some() => {
                out.labelled("gists", "none of the ids is in the text: the mask is causal");
            }
            None => out.labelled("gists", "none: the mask is causal"),
        }
        if self.padded > 0 {
            let rows = if self.args.as_original { "see what tokens would" } else { "see nothing" };
            let positions = if self.padded == 1 { "position" } else { "positions" };
            out.labelled("padding", format_args!("{} {positions}; padding rows {rows}", self.padded));
        }
        let (pairs, all) = (mask.visible_pairs(), (n as u64).saturating_mul(n as u64));
        let percent = if all == 0 { 0.0 } else { pairs as f64 / all as f64 * 100.0 };
        out.labelled("visible", format_args!("{pairs} of {all} pairs ({percent:.1} %)"));
        if self.args.out.is_none() && n > DRAWN {
            out.line(format_args!(
                "Masks of up to {DRAWN} positions are drawn; name a file for longer ones."
            ));
        }
    }

    fn gists_text(&self, gists: &Range<usize>) -> String {
        let last = gists.end.saturating_sub(1);
        let place = match gists.len() {
            1 => format!("position {}", gists.start),
            count => format!("positions {} to {last} ({count})", gists.start),
        };
        match self.between {
            0 => place,
            1 => format!("{place}; 1 of them is no gist token, and counts as one"),
            count => format!("{place}; {count} of them are no gist tokens, and count as some"),
        }
    }

    /// Rows from the top, columns from the left: # is seen.
    fn draw(&self, out: &mut Output) {
        let mask = &self.file.mask;
        for row in 0..mask.len() {
            let line: String =
                (0..mask.len()).map(|column| if mask.is_visible(row, column) { '#' } else { '.' }).collect();
            out.line(line);
        }
    }

    fn json(&self) -> Vec<(&'static str, Value)> {
        let mask = &self.file.mask;
        let gists = mask.gists();
        let mut members: Vec<(&'static str, Value)> = Vec::new();
        if let Some(path) = &self.args.out {
            members.extend([
                ("file", Value::from(input::name(path))),
                ("format", self.file.format_name().into()),
                ("dtype", self.file.dtype().1.into()),
                ("shape", self.file.shape().to_vec().into()),
            ]);
        }
        members.extend([
            ("positions", Value::from(mask.len())),
            ("gist_start", gists.as_ref().map(|gists| gists.start).into()),
            ("gist_end", gists.as_ref().map(|gists| gists.end).into()),
            ("between_gists", self.between.into()),
            ("padding", self.padded.into()),
            ("padded_rows", if self.args.as_original { "attend" } else { "blank" }.into()),
            ("visible_pairs", mask.visible_pairs().into()),
        ]);
        members
    }
}

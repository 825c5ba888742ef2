//! Attention masks of gists: who may look at what (spec/gist.md, "The mask").
//!
//! Row i of a mask is the query at position i, column j the key at position j. What a row sees is one run of
//! columns, out of which padding is taken: a row is a fill or a copy, never a loop over its bits, and a mask is a
//! few numbers until a row of it is asked for.
//!
//! The masks are those of gist tokens (arXiv:2304.08467, section 3.2).
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use zerocopy::IntoBytes;

use super::GistIds;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_len, size};

/// Which positions are tokens and which are padding, one entry a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding<'a> {
    /// 1 is a token, 0 is padding: what tokenizers call an attention mask.
    Bytes(&'a [u8]),
    /// `true` is a token.
    Bools(&'a [bool]),
    /// Packed as rows of the mask are, 1 is a token; see [`pack_padding_into`]. Best for bits that are asked for
    /// row by row.
    Bits(&'a [u8]),
}

/// What the rows of padding see. Columns of padding are hidden from all rows in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddedRows {
    /// Nothing.
    #[default]
    Blank,
    /// What a token at their position would: the mask of the original (DNSity), which blanks the columns
    /// twice in place of columns and rows.
    Attend,
}

/// The attention mask of a text with gists.
///
/// A position sees itself and those before it. Gists are one run of positions, from the first gist token to
/// the last, with whatever stands between them. Positions after the run see nothing of what is before it.
/// Without gists the mask is causal.
///
/// ```
/// use bitwire::gist::GistIds;
/// use bitwire::gist::mask::GistMask;
///
/// // Three of context, one gist, two that come after.
/// let mask = GistMask::from_tokens(&[1, 2, 3, 901, 4, 5], GistIds::new(&[900, 901, 902])?)?;
/// let mut row = [0; 6];
/// mask.row_bytes_into(3, &mut row)?; // the gist sees the context
/// assert_eq!(row, [1, 1, 1, 1, 0, 0]);
/// mask.row_bytes_into(5, &mut row)?; // what follows sees the gist alone, and itself
/// assert_eq!(row, [0, 0, 0, 1, 1, 1]);
/// # Ok::<(), bitwire::Error>(())
/// ```
///
/// Memory: the mask borrows the padding and holds nothing else. A row is asked for at a time, or any stretch
/// of rows; for a batch, one mask per text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GistMask<'a> {
    len: usize,
    /// Where gists start and end; both 0 without any.
    start: usize,
    end: usize,
    tokens: Tokens<'a>,
    padded_rows: PaddedRows,
}

/// Which positions are tokens; checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens<'a> {
    All,
    Bytes(&'a [u8]),
    Bits(&'a [u8]),
}

impl Tokens<'_> {
    fn contains(&self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::Bytes(bytes) => bytes.get(position).is_some_and(|&byte| byte != 0),
            Self::Bits(bits) => bit(bits, position),
        }
    }
}

/// The most positions a mask may have: so many that the pairs of them can be counted in 64 bits.
pub const MAX_LEN: u32 = u32::MAX;

impl<'a> GistMask<'a> {
    /// The causal mask of `len` positions: no gists.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] over [`MAX_LEN`].
    pub fn causal(len: usize) -> Result<Self> {
        if u32::try_from(len).is_err() {
            let (max, found) = (u64::from(MAX_LEN), len as u64);
            return Err(Error::caller(ErrorKind::TooLarge { field: "the mask's length", max, found }));
        }
        Ok(Self { len, start: 0, end: 0, tokens: Tokens::All, padded_rows: PaddedRows::Blank })
    }

    /// `len` positions of which `gists` are gists.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] over [`MAX_LEN`]; [`ErrorKind::Argument`] if `gists` is empty;
    /// [`ErrorKind::PastEnd`] if it reaches past `len`.
    pub fn with_gists(len: usize, gists: Range<usize>) -> Result<Self> {
        let causal = Self::causal(len)?;
        if gists.is_empty() {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "a mask with gists needs at least one",
            }));
        }
        check_end("the run of gists", gists.end, len)?;
        Ok(Self { start: gists.start, end: gists.end, ..causal })
    }

    /// `context` positions, then `gists`, then `rest`. With `gists` 0 the mask is causal.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] over [`MAX_LEN`] positions together; [`ErrorKind::Size`] if their number
    /// overflows.
    pub fn from_parts(context: usize, gists: usize, rest: usize) -> Result<Self> {
        let sum = context.checked_add(gists).and_then(|sum| sum.checked_add(rest));
        let len = sum.ok_or(Error::caller(ErrorKind::Size { field: "the mask's length" }))?;
        match gists {
            0 => Self::causal(len),
            _ => Self::with_gists(len, context..context.saturating_add(gists)),
        }
    }

    /// The mask of a text: its gists reach from the first token that is one to the last, with whatever stands
    /// between. Without any the mask is causal.
    ///
    /// Looks at the tokens before the first and after the last: time `n log k` for `k` ids.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] over [`MAX_LEN`] tokens.
    pub fn from_tokens(tokens: &[u32], ids: GistIds<'_>) -> Result<Self> {
        let is_gist = |&token: &u32| ids.contains(token);
        match tokens.iter().position(is_gist).zip(tokens.iter().rposition(is_gist)) {
            Some((first, last)) => Self::with_gists(tokens.len(), first..last.saturating_add(1)),
            None => Self::causal(tokens.len()),
        }
    }

    /// Hides the columns of padding from all rows and, unless [`padded_rows`](Self::padded_rows) says
    /// otherwise, all columns from the rows of padding. Padding may stand anywhere.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the padding has not one entry a position (bits: not the bytes of so many);
    /// [`ErrorKind::Bool`] at the first byte that is neither 0 nor 1; [`ErrorKind::SpareBits`] at the last
    /// byte of bits if those past the last position are not 0.
    pub fn with_padding(self, padding: Padding<'a>) -> Result<Self> {
        let needed = match padding {
            Padding::Bits(_) => self.packed_row_len(),
            _ => self.len,
        };
        let bytes = match padding {
            Padding::Bytes(bytes) | Padding::Bits(bytes) => bytes,
            Padding::Bools(bools) => bools.as_bytes(),
        };
        if bytes.len() != needed {
            let (needed, found) = (needed as u64, bytes.len() as u64);
            return Err(Error::caller(ErrorKind::Shape {
                field: "the length of the padding",
                needed,
                found,
            }));
        }
        let tokens = match padding {
            Padding::Bits(_) => {
                let spare = bytes.last().is_some_and(|&last| last & !last_byte(self.len) != 0);
                if spare {
                    let last = bytes.len().saturating_sub(1) as u64;
                    return Err(Error::new(ErrorKind::SpareBits, last));
                }
                Tokens::Bits(bytes)
            }
            _ => {
                check_bools(bytes)?;
                Tokens::Bytes(bytes)
            }
        };
        Ok(Self { tokens, ..self })
    }

    /// What the rows of padding see: nothing, unless this says otherwise.
    #[must_use]
    pub const fn padded_rows(self, padded_rows: PaddedRows) -> Self {
        Self { padded_rows, ..self }
    }

    /// Positions: rows, and columns of each.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no position.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of a row of bits: `len / 8`, rounded up.
    #[must_use]
    pub const fn packed_row_len(&self) -> usize {
        self.len.div_ceil(8)
    }

    /// Where the gists are, if there are any.
    #[must_use]
    pub fn gists(&self) -> Option<Range<usize>> {
        (self.end > 0).then_some(self.start..self.end)
    }

    /// The columns from the first to the last that `row` may see; those of padding in between are hidden all
    /// the same. Empty for a blank row, and past the last.
    ///
    /// For kernels that skip whole blocks of columns.
    #[must_use]
    pub fn columns(&self, row: usize) -> Range<usize> {
        let blank = self.padded_rows == PaddedRows::Blank && !self.tokens.contains(row);
        if blank || row >= self.len { 0..0 } else { self.first(row)..row.saturating_add(1) }
    }

    /// The first column that `row` may see. Does not decrease from row to row.
    fn first(&self, row: usize) -> usize {
        if row >= self.end { self.start } else { 0 }
    }

    /// Whether `row` sees `column`; `false` outside.
    #[must_use]
    pub fn is_visible(&self, row: usize, column: usize) -> bool {
        self.columns(row).contains(&column) && self.tokens.contains(column)
    }

    /// How many pairs of a row and a column it sees there are. Linear in the length if there is padding.
    #[must_use]
    pub fn visible_pairs(&self) -> u64 {
        // Sums stay below MAX_LEN^2: they saturate nowhere.
        if self.tokens == Tokens::All {
            let n = self.len as u64;
            let causal = n.saturating_mul(n.saturating_add(1)) / 2;
            let after = n.saturating_sub(self.end as u64);
            return causal.saturating_sub(after.saturating_mul(self.start as u64));
        }
        let (mut pairs, mut tokens, mut before_gists) = (0u64, 0u64, 0u64);
        for row in 0..self.len {
            if row == self.start {
                before_gists = tokens;
            }
            let token = self.tokens.contains(row);
            tokens = tokens.saturating_add(u64::from(token));
            if token || self.padded_rows == PaddedRows::Attend {
                let hidden = if row >= self.end { before_gists } else { 0 };
                pairs = pairs.saturating_add(tokens.saturating_sub(hidden));
            }
        }
        pairs
    }

    /// One row as bits into `out` of [`packed_row_len`](Self::packed_row_len) bytes: 1 if seen, else 0. Column j is bit
    /// `j % 8` of byte `j / 8`, the lowest bit first; spare bits are 0. In NumPy this is
    /// `packbits(row, bitorder="little")`.
    ///
    /// # Errors
    /// As [`bits_into`](Self::bits_into).
    pub fn row_bits_into(&self, row: usize, out: &mut [u8]) -> Result<()> {
        self.bits_into(row..row.saturating_add(1), out)
    }

    /// One row as bytes into `out` of `len` bytes: 1 if seen, else 0.
    ///
    /// # Errors
    /// As [`bits_into`](Self::bits_into).
    pub fn row_bytes_into(&self, row: usize, out: &mut [u8]) -> Result<()> {
        self.bytes_into(row..row.saturating_add(1), out)
    }

    /// One row as what is added to its scores, into `out` of `len` floats: 0 if seen, else `blocked`.
    ///
    /// # Errors
    /// As [`additive_into`](Self::additive_into).
    pub fn row_additive_into(&self, row: usize, blocked: f32, out: &mut [f32]) -> Result<()> {
        self.additive_into(row..row.saturating_add(1), blocked, out)
    }

    /// Rows as [bits](Self::row_bits_into), one after the other; `0..len` is the whole mask.
    ///
    /// Each row is a fill or a copy. Padding given as bytes is packed once for all `rows`: in the place of
    /// the last of them.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] for rows past the last; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`]
    /// if `out` has not the length of so many rows; [`ErrorKind::Size`] if that is over 64 bits.
    pub fn bits_into(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let width = self.packed_row_len();
        self.check("the bits", &rows, width, out.len())?;
        if rows.is_empty() {
            return Ok(());
        }
        match self.tokens {
            Tokens::All => self.bit_rows(rows, None, out),
            Tokens::Bits(bits) => self.bit_rows(rows, Some(bits), out),
            Tokens::Bytes(bytes) => {
                let (before, last) = out.split_at_mut(out.len().saturating_sub(width));
                // From the first column that any of the rows sees to the last.
                let first = self.first(rows.start) / 8;
                let seen = bytes.get(first.saturating_mul(8)..rows.end).unwrap_or_default();
                pack(seen, last.get_mut(first..).unwrap_or_default());
                let last_row = rows.end.saturating_sub(1);
                self.bit_rows(rows.start..last_row, Some(last), before);
                let columns = self.columns(last_row);
                let (middle, _) = clear_around(&columns, last);
                clip(middle, &columns);
            }
        }
        Ok(())
    }

    /// Rows of bits, those of `tokens` if not all positions are some.
    fn bit_rows(&self, rows: Range<usize>, tokens: Option<&[u8]>, out: &mut [u8]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.packed_row_len().max(1))) {
            let columns = self.columns(row);
            let (middle, first) = clear_around(&columns, out);
            match tokens {
                Some(bits) => copy(middle, bits.get(first..).unwrap_or_default()),
                None => middle.fill(0xFF),
            }
            clip(middle, &columns);
        }
    }

    /// Rows as [bytes](Self::row_bytes_into), one after the other; `0..len` is the whole mask.
    ///
    /// # Errors
    /// As [`bits_into`](Self::bits_into).
    pub fn bytes_into(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        self.check("the bytes", &rows, self.len, out.len())?;
        for (row, out) in rows.zip(out.chunks_exact_mut(self.len.max(1))) {
            let columns = self.columns(row);
            out.fill(0);
            let seen = out.get_mut(columns.clone()).unwrap_or_default();
            match self.tokens {
                Tokens::All => seen.fill(1),
                Tokens::Bytes(bytes) => copy(seen, bytes.get(columns).unwrap_or_default()),
                Tokens::Bits(bits) => unpack(bits, columns.start, seen),
            }
        }
        Ok(())
    }

    /// Rows as what is [added](Self::row_additive_into) to the scores of attention, before softmax; `0..len`
    /// is the whole mask.
    ///
    /// `blocked` is below 0: [`f32::MIN`] (torch's `finfo.min`) leaves softmax of a blank row uniform, where
    /// [`f32::NEG_INFINITY`] makes it NaN.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `blocked` is not below 0; else as [`bits_into`](Self::bits_into).
    pub fn additive_into(&self, rows: Range<usize>, blocked: f32, out: &mut [f32]) -> Result<()> {
        if blocked.is_nan() || blocked >= 0.0 {
            let expected = "what hides a column has to be below 0: f32::MIN or minus infinity, say";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        self.check("the floats", &rows, self.len, out.len())?;
        for (row, out) in rows.zip(out.chunks_exact_mut(self.len.max(1))) {
            let columns = self.columns(row);
            out.fill(blocked);
            let seen = out.get_mut(columns.clone()).unwrap_or_default();
            let value = |token: bool| if token { 0.0 } else { blocked };
            match self.tokens {
                Tokens::All => seen.fill(0.0),
                Tokens::Bytes(bytes) => {
                    let bytes = bytes.get(columns).unwrap_or_default();
                    seen.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = value(byte != 0));
                }
                Tokens::Bits(bits) => {
                    const STAGE: usize = 256;
                    let mut bytes = [0; STAGE];
                    for (seen, first) in seen.chunks_mut(STAGE).zip(columns.step_by(STAGE)) {
                        unpack(bits, first, bytes.get_mut(..seen.len()).unwrap_or_default());
                        seen.iter_mut().zip(bytes).for_each(|(to, byte)| *to = value(byte != 0));
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks that there are such rows, and that `found` places hold them.
    fn check(&self, field: &'static str, rows: &Range<usize>, width: usize, found: usize) -> Result<()> {
        check_end("the stretch of rows", rows.end, self.len)?;
        let needed = size("the mask", 0, &[rows.len() as u64, width as u64])
            .map_err(|error| Error::caller(error.kind()))?;
        check_len(field, needed, found as u64)
    }
}

/// Packs padding of one byte a position (1 a token, 0 padding) into `out` of `len / 8` bytes, rounded up, for
/// [`Padding::Bits`]: worth it where rows are asked for one by one.
///
/// # Errors
/// [`ErrorKind::Bool`] at the first byte that is neither 0 nor 1; [`ErrorKind::BufferTooSmall`] or
/// [`ErrorKind::Shape`] if `out` has another length.
pub fn pack_padding_into(padding: &[u8], out: &mut [u8]) -> Result<()> {
    check_bools(padding)?;
    check_len("the bits", padding.len().div_ceil(8) as u64, out.len() as u64)?;
    pack(padding, out);
    Ok(())
}

fn check_end(field: &'static str, found: usize, end: usize) -> Result<()> {
    if found > end {
        return Err(Error::caller(ErrorKind::PastEnd { field, end: end as u64, found: found as u64 }));
    }
    Ok(())
}

fn check_bools(bytes: &[u8]) -> Result<()> {
    // All at once first: that is a loop without a way out.
    if bytes.iter().fold(0, |all, byte| all | byte) > 1
        && let Some((at, &byte)) = bytes.iter().enumerate().find(|(_, byte)| **byte > 1)
    {
        return Err(Error::new(ErrorKind::Bool { field: "the padding", found: byte.into() }, at as u64));
    }
    Ok(())
}

fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// Packs bytes that are 0 or 1, eight at a time; spare bits of the last byte are 0.
fn pack(bytes: &[u8], out: &mut [u8]) {
    // Byte k is moved to bit 56 + k, that of the 64-bit product's highest byte; no two partial products meet.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let gather = |eight: [u8; 8]| {
        let [.., high] = u64::from_le_bytes(eight).wrapping_mul(GATHER).to_le_bytes();
        high
    };
    let (eights, rest) = bytes.as_chunks::<8>();
    for (to, &eight) in out.iter_mut().zip(eights) {
        *to = gather(eight);
    }
    if let Some(to) = out.get_mut(eights.len())
        && !rest.is_empty()
    {
        let mut eight = [0; 8];
        copy(&mut eight, rest);
        *to = gather(eight);
    }
}

/// The bits from `first` on as bytes of 1 and 0.
fn unpack(bits: &[u8], first: usize, out: &mut [u8]) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Bit k of byte k: what is left of a byte that stands in all eight.
    const DIAGONAL: u64 = 0x8040_2010_0804_0201;
    // A lane that is not 0 is at most 80, and gets its highest bit set without a carry.
    const CARRY: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let whole = first.div_ceil(8).saturating_mul(8);
    let (head, rest) = out.split_at_mut(whole.saturating_sub(first).min(out.len()));
    head.iter_mut().zip(first..).for_each(|(to, at)| *to = bit(bits, at).into());
    let (eights, tail) = rest.as_chunks_mut::<8>();
    let done = eights.len().saturating_mul(8);
    for (to, &byte) in eights.iter_mut().zip(bits.get(whole / 8..).unwrap_or_default()) {
        let lanes = u64::from(byte).wrapping_mul(ONES) & DIAGONAL;
        *to = ((lanes.wrapping_add(CARRY) >> 7) & ONES).to_le_bytes();
    }
    tail.iter_mut().zip(whole.saturating_add(done)..).for_each(|(to, at)| *to = bit(bits, at).into());
}

/// Of a row of bits: sets the bytes that have none of `columns` to 0; gives back the others, and which the
/// first of them is.
fn clear_around<'b>(columns: &Range<usize>, row: &'b mut [u8]) -> (&'b mut [u8], usize) {
    let (start, end) = if columns.is_empty() { (0, 0) } else { (columns.start / 8, columns.end.div_ceil(8)) };
    let (seen, after) = row.split_at_mut(end.min(row.len()));
    after.fill(0);
    let (before, middle) = seen.split_at_mut(start.min(seen.len()));
    before.fill(0);
    (middle, start)
}

/// Clears what is not of `columns` in the first and the last of the bytes that hold them.
fn clip(middle: &mut [u8], columns: &Range<usize>) {
    if let Some(first) = middle.first_mut() {
        *first &= 0xFF << (columns.start % 8);
    }
    if let Some(last) = middle.last_mut() {
        *last &= last_byte(columns.end);
    }
}

/// Those bits of the last byte of `len` bits that are no spare ones.
fn last_byte(len: usize) -> u8 {
    match len % 8 {
        0 => 0xFF,
        used => !(0xFF << used),
    }
}

/// As much of `from` as `to` has room for.
fn copy(to: &mut [u8], from: &[u8]) {
    let len = to.len().min(from.len());
    if let Some((to, from)) = to.get_mut(..len).zip(from.get(..len)) {
        to.copy_from_slice(from);
    }
}

//! Vectors as they are stored in an index: f32, f16, MU16, i8 with a scale for each, or signs (spec/engram.md, "Index").
//!
//! Rows of `dim` components follow each other without gaps, little-endian, at any alignment.
//!
//! | type | bytes of a row | component |
//! |---|---|---|
//! | [`F32`](VectorType::F32) | 4 dim | x |
//! | [`F16`](VectorType::F16) | 2 dim | x |
//! | [`Mu16`](VectorType::Mu16) | 2 dim | q * delta_q16 / 65536, q an i16 |
//! | [`I8`](VectorType::I8) | dim | q * scale, q from -127 to 127; one f32 scale for each row, apart |
//! | [`Bits`](VectorType::Bits) | ceil(dim / 8) | +1, or -1 where the bit is set; LSB first, spare bits 0 |
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::Float;
use crate::arch::half;
use crate::beacon::mu16::{self, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_index, check_len, size};

/// How the components of vectors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// 16-bit integers times one step for all rows.
    Mu16(Step),
    /// 8-bit integers times a scale for each row.
    I8,
    /// Signs: +1 or -1.
    Bits,
}

impl VectorType {
    /// Bytes of a row of `dim` components.
    #[must_use]
    pub const fn row_len(self, dim: u32) -> u64 {
        let dim = dim as u64;
        match self {
            Self::F32 => dim.saturating_mul(4),
            Self::F16 | Self::Mu16(_) => dim.saturating_mul(2),
            Self::I8 => dim,
            Self::Bits => dim.div_ceil(8),
        }
    }

    /// Bytes of the scale that each row has beside its components: 4 for i8, else 0.
    #[must_use]
    pub const fn scale_len(self) -> u64 {
        if matches!(self, Self::I8) { 4 } else { 0 }
    }
}

/// What [`encode_row`] has to say about a row beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EncodedRow {
    /// The row's scale: 1 unless the type is [`VectorType::I8`].
    pub scale: f32,
    /// Components beyond the range of [`VectorType::Mu16`], which became its end.
    pub saturated: u64,
}

/// Writes one row of `values` into `out`, which has exactly its [`row_len`](VectorType::row_len).
///
/// - f16: rounded once, half to even.
/// - MU16: [`mu16::quantise_into`]; what lies beyond the step's range becomes its end and is counted.
/// - i8: scale = max |x| / 127, rounded to f32; q = x / scale, in f64, rounded half to even, at most 127 either way. A row of
///   zeros has scale 0, and so has one whose scale rounds to 0.
/// - bits: set if and only if x < 0, so not for -0.
///
/// # Errors
/// [`ErrorKind::NonFinite`] (row 0, and the column) for NaN and infinity; [`ErrorKind::Number`] for a value that f16 has
/// none for (65,520 or more); [`ErrorKind::Argument`] for no values; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`]
/// if `out` has another length.
///
/// ```
/// use bitwire::engram::index::{VectorType, encode_row};
///
/// let mut row = [0; 3];
/// assert_eq!(encode_row(VectorType::I8, &[1.0, -2.0, 0.25], &mut row)?.scale, 2.0 / 127.0);
/// assert_eq!(row, [64, 0x81, 16]); // 63.5 to even, -127, 15.875
/// let mut row = [0; 1];
/// encode_row(VectorType::Bits, &[1.0, -2.0, -0.0], &mut row)?;
/// assert_eq!(row, [0b010]);
/// # Ok::<(), bitwire::Error>(())
/// ```
pub fn encode_row(kind: VectorType, values: &[f32], out: &mut [u8]) -> Result<EncodedRow> {
    let dim = u32::try_from(values.len()).unwrap_or(u32::MAX);
    if dim == 0 || dim as usize != values.len() {
        return Err(Error::caller(ErrorKind::Argument {
            expected: "a vector needs 1 to 2^32 - 1 components",
        }));
    }
    check_len("the row", kind.row_len(dim), out.len() as u64)?;
    if let Some(column) = values.iter().position(|x| !x.is_finite()) {
        return Err(Error::caller(ErrorKind::NonFinite { row: 0, column: column as u64 }));
    }
    let mut encoded = EncodedRow { scale: 1.0, saturated: 0 };
    match kind {
        VectorType::F32 => half::narrow(Float::F32, values, out),
        VectorType::F16 => {
            for (to, x) in out.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                let bits = half::to_f16(*x);
                if bits & 0x7FFF == 0x7C00 {
                    return Err(Error::caller(ErrorKind::Number { field: "a component of an f16 vector" }));
                }
                *to = bits.to_le_bytes();
            }
        }
        VectorType::Mu16(step) => encoded.saturated = mu16::quantise_into(values, values.len(), step, out)?,
        VectorType::I8 => {
            let largest = values.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            encoded.scale = largest / 127.0;
            for (to, x) in out.iter_mut().zip(values) {
                *to = to_i8(*x, encoded.scale).to_le_bytes()[0];
            }
        }
        VectorType::Bits => {
            for (to, values) in out.iter_mut().zip(values.chunks(8)) {
                let bits = values.iter().enumerate().map(|(i, x)| u8::from(*x < 0.0) << (i & 7));
                *to = bits.fold(0, |all, bit| all | bit);
            }
        }
    }
    Ok(encoded)
}

fn to_i8(x: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    libm::rint(f64::from(x) / f64::from(scale)).clamp(-127.0, 127.0) as i8
}

/// Rows of vectors over borrowed bytes.
#[derive(Clone, Copy)]
pub struct Vectors<'a> {
    kind: VectorType,
    rows: u32,
    dim: u32,
    row_len: usize,
    bytes: &'a [u8],
    scales: &'a [u8],
}

impl<'a> Vectors<'a> {
    /// `rows` vectors of `dim` components in `bytes`; `scales` has an f32 for each row of type i8, and is empty for others.
    ///
    /// Values are not looked at: any bytes of the right length are vectors.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` is 0; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `bytes` or
    /// `scales` have another length; [`ErrorKind::Size`] if that length is beyond 64 bits.
    pub fn new(kind: VectorType, rows: u32, dim: u32, bytes: &'a [u8], scales: &'a [u8]) -> Result<Self> {
        if dim == 0 {
            return Err(Error::caller(ErrorKind::Argument { expected: "dim has to be at least 1" }));
        }
        let caller = |error: Error| Error::caller(error.kind());
        let row_len = kind.row_len(dim);
        let needed = size("the vectors", 0, &[u64::from(rows), row_len]).map_err(caller)?;
        check_len("the vectors", needed, bytes.len() as u64)?;
        let needed = size("the scales", 0, &[u64::from(rows), kind.scale_len()]).map_err(caller)?;
        check_len("the scales", needed, scales.len() as u64)?;
        // Without rows, a row may be longer than memory; and then none is ever taken.
        let row_len = usize::try_from(row_len).unwrap_or(usize::MAX);
        Ok(Self { kind, rows, dim, row_len, bytes, scales })
    }

    /// How the components are stored.
    #[must_use]
    pub const fn kind(&self) -> VectorType {
        self.kind
    }

    /// Vectors.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Components of each.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Bytes of each.
    #[must_use]
    pub const fn row_len(&self) -> usize {
        self.row_len
    }

    /// All bytes of the components.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes of the scales: empty unless the type is i8.
    #[must_use]
    pub const fn scale_bytes(&self) -> &'a [u8] {
        self.scales
    }

    /// The bytes from row `i` on, to the end.
    pub(super) fn rows_from(&self, i: usize) -> &'a [u8] {
        self.bytes.get(i.saturating_mul(self.row_len)..).unwrap_or_default()
    }

    /// The bytes of row `i`.
    #[must_use]
    pub fn row(&self, i: u32) -> Option<&'a [u8]> {
        if i >= self.rows {
            return None;
        }
        self.rows_from(i as usize).get(..self.row_len)
    }

    /// What the integers or signs of row `i` are multiplied with: the step, the row's scale, else 1.
    ///
    /// A stored scale is given as it is, NaN, infinite or negative.
    #[must_use]
    pub fn factor(&self, i: u32) -> Option<f64> {
        if i >= self.rows {
            return None;
        }
        Some(match self.kind {
            VectorType::Mu16(step) => step.as_f64(),
            VectorType::I8 => {
                let scale = self.scales.as_chunks::<4>().0.get(i as usize)?;
                f64::from(f32::from_le_bytes(*scale))
            }
            VectorType::F32 | VectorType::F16 | VectorType::Bits => 1.0,
        })
    }

    /// Writes vector `i`: `dim` values, each rounded once to f32.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such row; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `out` has
    /// another length.
    pub fn row_into(&self, i: u32, out: &mut [f32]) -> Result<()> {
        check_index("the row", i, self.rows)?;
        let row = self.row(i).unwrap_or_default();
        check_len("the vector", u64::from(self.dim), out.len() as u64)?;
        let factor = self.factor(i).unwrap_or(1.0);
        for (column, to) in out.iter_mut().enumerate() {
            // With the factor 1 the product is exact.
            *to = (f64::from(component(self.kind, row, column)) * factor) as f32;
        }
        Ok(())
    }

    /// The first row of signs that has a spare bit set, which no writer may.
    #[must_use]
    pub fn first_with_spare_bits(&self) -> Option<u32> {
        let used = self.dim % 8;
        if self.kind != VectorType::Bits || used == 0 {
            return None;
        }
        let spare = u8::MAX << used;
        (0..self.rows).find(|i| self.row(*i).and_then(<[u8]>::last).is_some_and(|last| last & spare != 0))
    }
}

impl core::fmt::Debug for Vectors<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { kind, rows, dim, .. } = self;
        f.debug_struct("Vectors")
            .field("kind", kind)
            .field("rows", rows)
            .field("dim", dim)
            .finish_non_exhaustive()
    }
}

/// One component, without the factor; 0 past the end.
pub(super) fn component(kind: VectorType, row: &[u8], column: usize) -> f32 {
    match kind {
        VectorType::F32 => row.as_chunks::<4>().0.get(column).map_or(0.0, |x| f32::from_le_bytes(*x)),
        VectorType::F16 => {
            row.as_chunks::<2>().0.get(column).map_or(0.0, |x| half::from_f16(u16::from_le_bytes(*x)))
        }
        VectorType::Mu16(_) => {
            row.as_chunks::<2>().0.get(column).map_or(0.0, |x| f32::from(i16::from_le_bytes(*x)))
        }
        VectorType::I8 => row.get(column).map_or(0.0, |x| f32::from(i8::from_le_bytes([*x]))),
        VectorType::Bits => {
            let byte = row.get(column >> 3).copied().unwrap_or(0);
            if (byte >> (column & 7)) & 1 == 1 { -1.0 } else { 1.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn kind<T: core::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    fn encoded(kind: VectorType, values: &[f32]) -> Result<(std::vec::Vec<u8>, EncodedRow)> {
        let mut out = vec![0xAA; kind.row_len(values.len() as u32) as usize];
        encode_row(kind, values, &mut out).map(|encoded| (out, encoded))
    }

    #[test]
    fn rows_by_hand() {
        let one = EncodedRow { scale: 1.0, saturated: 0 };
        let step = Step::new(32768).unwrap();
        let x = [1.0, -0.25, -0.0];
        assert_eq!(encoded(VectorType::F16, &x), Ok((vec![0, 0x3C, 0, 0xB4, 0, 0x80], one)));
        assert_eq!(encoded(VectorType::F32, &x[..1]), Ok((vec![0, 0, 0x80, 0x3F], one)));
        // -0.25 / 0.5 is a tie, and 0 is even.
        assert_eq!(encoded(VectorType::Mu16(step), &x), Ok((vec![2, 0, 0, 0, 0, 0], one)));
        let over = EncodedRow { scale: 1.0, saturated: 1 };
        assert_eq!(encoded(VectorType::Mu16(step), &[20000.0]), Ok((vec![0xFF, 0x7F], over)));
        // 254 / 127 = 2: 5 / 2 and 7 / 2 are ties, to 2 and 4.
        let two = EncodedRow { scale: 2.0, saturated: 0 };
        assert_eq!(encoded(VectorType::I8, &[5.0, 7.0, -254.0, -3.0]), Ok((vec![2, 4, 0x81, 0xFE], two)));
        let zero = EncodedRow { scale: 0.0, saturated: 0 };
        assert_eq!(encoded(VectorType::I8, &[0.0, -0.0]), Ok((vec![0, 0], zero)));
        assert_eq!(encoded(VectorType::I8, &[1e-45, 0.0]), Ok((vec![0, 0], zero)));
        let x = [-1.0, 1.0, -0.0, 0.0, -1e-45, 2.0, 3.0, -4.0, -5.0];
        assert_eq!(encoded(BITS, &x), Ok((vec![0b1001_0001, 1], one)));
    }

    const BITS: VectorType = VectorType::Bits;

    #[test]
    fn refused() {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for kind_of in [VectorType::F32, VectorType::F16, VectorType::I8, BITS] {
                let not_finite = ErrorKind::NonFinite { row: 0, column: 1 };
                assert_eq!(kind(encoded(kind_of, &[1.0, x])), not_finite);
            }
        }
        assert!(encoded(VectorType::F16, &[65519.9]).is_ok());
        assert!(matches!(kind(encoded(VectorType::F16, &[65520.0])), ErrorKind::Number { .. }));
        assert!(matches!(kind(encoded(VectorType::F16, &[-1e9])), ErrorKind::Number { .. }));
        assert!(matches!(kind(encoded(BITS, &[])), ErrorKind::Argument { .. }));
        let short = ErrorKind::BufferTooSmall { needed: 2, available: 1 };
        assert_eq!(kind(encode_row(BITS, &[0.0; 9], &mut [0])), short);
        assert!(matches!(kind(encode_row(BITS, &[0.0; 8], &mut [0; 2])), ErrorKind::Shape { .. }));

        assert!(matches!(kind(Vectors::new(BITS, 1, 0, &[], &[])), ErrorKind::Argument { .. }));
        let short = ErrorKind::BufferTooSmall { needed: 4, available: 3 };
        assert_eq!(kind(Vectors::new(BITS, 2, 9, &[0; 3], &[])), short);
        assert!(matches!(kind(Vectors::new(BITS, 1, 8, &[0; 2], &[])), ErrorKind::Shape { .. }));
        assert!(matches!(kind(Vectors::new(BITS, 1, 8, &[0], &[0; 4])), ErrorKind::Shape { .. }));
        assert!(matches!(
            kind(Vectors::new(VectorType::I8, 1, 8, &[0; 8], &[])),
            ErrorKind::BufferTooSmall { .. }
        ));
        let size = Vectors::new(VectorType::F32, u32::MAX, u32::MAX, &[], &[]);
        assert_eq!(kind(size), ErrorKind::Size { field: "the vectors" });

        let rows = Vectors::new(BITS, 2, 3, &[0b101, 0b1010], &[]).unwrap();
        let mut out = [0.0; 3];
        rows.row_into(1, &mut out).unwrap();
        assert_eq!((out, rows.first_with_spare_bits()), ([1.0, -1.0, 1.0], Some(1)));
        let end = ErrorKind::PastEnd { field: "the row", end: 2, found: 3 };
        assert_eq!(kind(rows.row_into(2, &mut out)), end);
        assert!(matches!(kind(rows.row_into(0, &mut [0.0; 2])), ErrorKind::BufferTooSmall { .. }));
        assert_eq!((rows.row(1), rows.row(2), rows.factor(2)), (Some(&[0b1010][..]), None, None));
    }

    #[test]
    fn rows_come_back() {
        let scales: std::vec::Vec<u8> = [0.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let rows = Vectors::new(VectorType::I8, 2, 2, &[3, 0x81, 1, 0x80], &scales).unwrap();
        let mut out = [0.0; 2];
        rows.row_into(0, &mut out).unwrap();
        assert_eq!(out, [1.5, -63.5]);
        rows.row_into(1, &mut out).unwrap();
        assert_eq!(out, [-2.0, 256.0]);
        let step = Step::new(3 << 15).unwrap();
        let rows = Vectors::new(VectorType::Mu16(step), 1, 2, &[2, 0, 0xFF, 0xFF], &[]).unwrap();
        rows.row_into(0, &mut out).unwrap();
        assert_eq!(out, [3.0, -1.5]);
        let rows = Vectors::new(VectorType::F16, 1, 2, &[0, 0x3C, 0, 0xB4], &[]).unwrap();
        rows.row_into(0, &mut out).unwrap();
        assert_eq!(out, [1.0, -0.25]);
    }
}

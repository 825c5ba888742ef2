//! MU16: values as 16-bit integers times one step (spec/beacon.md, "MU16").
//!
//! ```text
//! q  = clamp(round_half_even(x * 65536 / delta_q16), -32768, 32767)      x' = q * delta_q16 / 65536
//! ```
//!
//! The division rounds once, in f64; the product is exact and rounds once, to the type it ends in. Without
//! saturation an error is at most half a step. Features and CPUs change the speed, never a bit.

use crate::arch::{blocks, mu16};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::check_len;
use core::num::NonZeroU32;

/// A quantisation step, in units of 2^-16 of the values: `delta_q16` of CONFIG_V1, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(NonZeroU32);

impl Step {
    /// The largest step, 2^32 - 1: about 65,536 of the values' units.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// The step `delta_q16`.
    ///
    /// # Errors
    /// [`ErrorKind::DeltaQ16`] for 0.
    pub const fn new(delta_q16: u32) -> Result<Self> {
        match NonZeroU32::new(delta_q16) {
            Some(delta) => Ok(Self(delta)),
            None => Err(Error::caller(ErrorKind::DeltaQ16 { element: 1, found: 0 })),
        }
    }

    /// The step in units of 2^-16.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The step in the values' units, exactly.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.get()) / 65536.0
    }

    /// The smallest step at which no value of a matrix with rows of `dim` saturates; 1 if all are 0 (or there are none).
    ///
    /// Cost: one pass at the speed of reading.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] names the first value that is NaN or infinite, [`ErrorKind::StepRange`] says that even
    /// [`Step::MAX`] saturates, [`ErrorKind::Argument`] that `dim` is 0.
    pub fn auto(values: &[f32], dim: usize) -> Result<Self> {
        check_dim(dim)?;
        match mu16::extremes(values) {
            Some((min, max)) => Self::for_range(min, max),
            None => {
                let index = values.iter().position(|x| !x.is_finite()).unwrap_or(0);
                Err(non_finite(index, dim))
            }
        }
    }

    /// The smallest step at which nothing from `min` to `max` saturates, for a caller that sees the values one by one.
    ///
    /// Only the two ends matter: a step that holds them holds what lies between (and 0, always).
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if one is NaN or infinite, [`ErrorKind::StepRange`] if even [`Step::MAX`] saturates.
    pub fn for_range(min: f32, max: f32) -> Result<Self> {
        if !min.is_finite() || !max.is_finite() {
            return Err(Error::caller(ErrorKind::Argument { expected: "min and max have to be finite" }));
        }
        let saturates = |step: Self| quantise(min, step).1 || quantise(max, step).1;
        if saturates(Self::MAX) {
            return Err(Error::caller(ErrorKind::StepRange));
        }
        // The ends fit at every step over X / 32767.5 and from X / 32768.5 on; f64 is at most 1 off in either.
        let least = f64::max(f64::from(max) / 32767.5, f64::from(min) / -32768.5) * 65536.0;
        let mut step = Self(NonZeroU32::new((least as u32).saturating_sub(1)).unwrap_or(NonZeroU32::MIN));
        while saturates(step) {
            step = Self(step.0.saturating_add(1));
        }
        Ok(step)
    }
}

/// One value: q, and whether it saturated, that is, whether the rounded quotient lay outside i16.
///
/// Infinity saturates; NaN gives 0 and counts as saturated. [`quantise_into`] refuses both.
#[must_use]
#[inline]
pub fn quantise(x: f32, step: Step) -> (i16, bool) {
    mu16::one(x, step.get())
}

/// The value of `q`, exactly. `as f32` rounds it once, to what [`dequantise_into`] gives.
#[must_use]
#[inline]
pub fn dequantise(q: i16, step: Step) -> f64 {
    // 16 + 32 bits fit f64, and the division only moves the exponent.
    f64::from(q) * f64::from(step.get()) / 65536.0
}

/// Quantises `values`, rows of `dim`, into little-endian i16, and returns how many saturated.
///
/// `out` has exactly 2 bytes for each value. After an error its contents mean nothing. Cost: with `simd` 1 to 2 copies of
/// as many bytes in cache, and one beyond it; a group of 256 values that has saturated ones takes about 2 ns for each of them.
///
/// # Errors
/// [`ErrorKind::NonFinite`] names row and column of the first value that is NaN or infinite;
/// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] (too large) if `out` has another length;
/// [`ErrorKind::Argument`] if `dim` is 0.
///
/// ```
/// use bitwire::beacon::mu16::{Step, quantise_into};
///
/// let step = Step::auto(&[0.5, -1.0, 0.25, 0.0], 2)?;
/// let mut payload = [0; 8];
/// assert_eq!(quantise_into(&[0.5, -1.0, 0.25, 0.0], 2, step, &mut payload)?, 0);
/// # Ok::<(), bitwire::Error>(())
/// ```
pub fn quantise_into(values: &[f32], dim: usize, step: Step, out: &mut [u8]) -> Result<u64> {
    check_dim(dim)?;
    check_len("payload", (values.len() as u64).saturating_mul(2), out.len() as u64)?;
    mu16::quantise(values, step.get(), out).map_err(|index| non_finite(index, dim))
}

/// Dequantises the little-endian i16 of `payload` into `out`, which has exactly one value for each.
///
/// Cost: with `simd` 1 to 1.5 copies of as many bytes.
///
/// # Errors
/// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] (too large, or an odd payload) if the lengths do not agree.
pub fn dequantise_into(payload: &[u8], step: Step, out: &mut [f32]) -> Result<()> {
    check_len("values", payload.len() as u64 / 2, out.len() as u64)?;
    if !payload.len().is_multiple_of(2) {
        let found = payload.len() as u64;
        return Err(Error::caller(ErrorKind::Shape { field: "payload", needed: found - 1, found }));
    }
    mu16::dequantise(payload, step.get(), out);
    Ok(())
}

/// The inner product of two payloads of little-endian i16, exactly.
///
/// In steps: times the two steps, divided by 2^32, it is the inner product of the values. Cost: one pass at the speed
/// of reading.
///
/// # Errors
/// [`ErrorKind::Shape`] if the lengths differ or are odd; [`ErrorKind::TooLarge`] for more than 2^32 values, whose
/// product might not fit.
///
/// ```
/// use bitwire::beacon::mu16::dot;
///
/// // 256 * 3 + -1 * 2
/// assert_eq!(dot(&[0x00, 0x01, 0xFF, 0xFF], &[0x03, 0x00, 0x02, 0x00])?, 766);
/// # Ok::<(), bitwire::Error>(())
/// ```
pub fn dot(a: &[u8], b: &[u8]) -> Result<i64> {
    const MOST: u64 = 1 << 32;
    let (len, found) = (a.len() as u64, b.len() as u64);
    if !len.is_multiple_of(2) {
        return Err(Error::caller(ErrorKind::Shape { field: "payload", needed: len - 1, found: len }));
    }
    if len != found {
        return Err(Error::caller(ErrorKind::Shape { field: "payload", needed: len, found }));
    }
    if len / 2 > MOST {
        return Err(Error::caller(ErrorKind::TooLarge { field: "values", max: MOST, found: len / 2 }));
    }
    Ok(blocks::dot_i16(a, b))
}

fn check_dim(dim: usize) -> Result<()> {
    if dim == 0 {
        return Err(Error::caller(ErrorKind::Argument { expected: "dim has to be at least 1" }));
    }
    Ok(())
}

fn non_finite(index: usize, dim: usize) -> Error {
    let place = (index.checked_div(dim), index.checked_rem(dim));
    let (row, column) = (place.0.unwrap_or(0) as u64, place.1.unwrap_or(0) as u64);
    Error::caller(ErrorKind::NonFinite { row, column })
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn kind<T: core::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn steps() {
        assert_eq!(kind(Step::new(0)), ErrorKind::DeltaQ16 { element: 1, found: 0 });
        let step = Step::new(98_304).unwrap();
        assert_eq!((step.get(), step.as_f64()), (98_304, 1.5));
        assert_eq!(dequantise(-3, step), -4.5);
        assert_eq!(quantise(-4.5, step), (-3, false));
        assert_eq!(quantise(f32::NAN, step), (0, true));
        assert_eq!(quantise(f32::NEG_INFINITY, step), (-32768, true));
    }

    /// By hand: a value v >= 0 fits at d if v * 65536 / d < 32767.5, a value -v if v * 65536 / d <= 32768.5.
    #[test]
    fn smallest_step() {
        let auto = |values: &[f32]| Step::auto(values, values.len().max(1)).map(Step::get);
        assert_eq!(auto(&[]), Ok(1));
        assert_eq!(auto(&[0.0, -0.0]), Ok(1));
        assert_eq!(auto(&[0.25]), Ok(1)); // 16384
        assert_eq!(auto(&[0.5]), Ok(2)); // 32768 at 1
        assert_eq!(auto(&[-0.5]), Ok(1)); // -32768 at 1
        assert_eq!(auto(&[32767.5 / 65536.0]), Ok(2)); // the tie goes to 32768
        assert_eq!(auto(&[-32768.5 / 65536.0]), Ok(1)); // the tie goes to -32768
        assert_eq!(auto(&[1.0, -1.0]), Ok(3)); // 65536 / 32767.5 = 2.00003
        assert_eq!(auto(&[-1.0]), Ok(2)); // 65536 / 32768.5 = 1.99997
        assert_eq!(auto(&[0.1, 32768.0]), Ok(65_538)); // 2^31 / 32767.5 = 65537.0
        assert_eq!(Step::for_range(-1.0, 1.0).map(Step::get), Ok(3));
        // 32767.5 * (2^32 - 1) / 65536 = 2147450879.5: f32 has 2147450880 (over) and 2147450752 (under) around it.
        assert_eq!(auto(&[2_147_450_752.0]), Ok(4_294_967_040)); // 2147450752 * 131072 / 65535 = 4294967039.0
        assert_eq!(kind(Step::auto(&[2_147_450_880.0], 1)), ErrorKind::StepRange);
        assert_eq!(kind(Step::auto(&[f32::MIN], 1)), ErrorKind::StepRange);
        assert_eq!(
            kind(Step::auto(&[1.0, 2.0, 3.0, f32::NAN], 2)),
            ErrorKind::NonFinite { row: 1, column: 1 }
        );
        assert!(matches!(kind(Step::auto(&[], 0)), ErrorKind::Argument { .. }));
        assert!(matches!(kind(Step::for_range(f32::NAN, 1.0)), ErrorKind::Argument { .. }));
    }

    #[test]
    fn lengths_and_places() {
        let step = Step::new(65536).unwrap();
        let values = [1.5, 2.5, -0.5, 40000.0, -32768.5, 32767.5];
        let mut out = [0; 12];
        assert_eq!(quantise_into(&values, 3, step, &mut out), Ok(2));
        let q = out.as_chunks::<2>().0.iter().map(|q| i16::from_le_bytes(*q));
        assert!(q.eq([2, 2, 0, 32767, -32768, 32767]));
        let mut back = [0.0; 6];
        assert_eq!(dequantise_into(&out, step, &mut back), Ok(()));
        assert_eq!(back, [2.0, 2.0, 0.0, 32767.0, -32768.0, 32767.0]);

        let short = ErrorKind::BufferTooSmall { needed: 12, available: 11 };
        assert_eq!(kind(quantise_into(&values, 3, step, &mut [0; 11])), short);
        let long = ErrorKind::Shape { field: "payload", needed: 12, found: 13 };
        assert_eq!(kind(quantise_into(&values, 3, step, &mut [0; 13])), long);
        assert!(matches!(kind(quantise_into(&values, 0, step, &mut out)), ErrorKind::Argument { .. }));
        let odd = ErrorKind::Shape { field: "payload", needed: 2, found: 3 };
        assert_eq!(kind(dequantise_into(&[0; 3], step, &mut [0.0])), odd);
        assert!(matches!(kind(dequantise_into(&[0; 4], step, &mut [0.0])), ErrorKind::BufferTooSmall { .. }));
        assert!(matches!(kind(dequantise_into(&[0; 4], step, &mut [0.0; 3])), ErrorKind::Shape { .. }));

        let bad = [0.0, 1.0, 2.0, 3.0, f32::INFINITY, f32::NAN];
        assert_eq!(kind(quantise_into(&bad, 3, step, &mut out)), ErrorKind::NonFinite { row: 1, column: 1 });
    }

    #[test]
    fn inner_product() {
        assert_eq!(dot(&[], &[]), Ok(0));
        // (-32768)^2 twice, and -32768 * 32767.
        let (low, high) = ([0x00, 0x80], [0xFF, 0x7F]);
        assert_eq!(
            dot(&[low, low, low].concat(), &[low, low, high].concat()),
            Ok((1 << 31) - (32_767 << 15))
        );
        assert_eq!(kind(dot(&[0; 3], &[0; 3])), ErrorKind::Shape { field: "payload", needed: 2, found: 3 });
        assert_eq!(kind(dot(&[0; 4], &[0; 2])), ErrorKind::Shape { field: "payload", needed: 4, found: 2 });
        assert_eq!(kind(dot(&[0; 4], &[0; 5])), ErrorKind::Shape { field: "payload", needed: 4, found: 5 });
    }

    proptest! {
        /// `auto` saturates nothing, and the next smaller step does.
        #[test]
        fn auto_is_the_smallest(values in proptest::collection::vec(-3000.0f32..3000.0, 1..50)) {
            let step = Step::auto(&values, 1)?;
            prop_assert!(values.iter().all(|&x| !quantise(x, step).1));
            if let Ok(smaller) = Step::new(step.get() - 1) {
                prop_assert!(values.iter().any(|&x| quantise(x, smaller).1));
            }
        }

        /// Without saturation the way there and back is off by half a step at most, and doing it again changes nothing.
        #[test]
        fn half_a_step(values in proptest::collection::vec(-1e4f32..1e4, 1..100)) {
            let step = Step::auto(&values, 1)?;
            let mut q = vec![0; 2 * values.len()];
            quantise_into(&values, 1, step, &mut q)?;
            let mut back = vec![0.0; values.len()];
            dequantise_into(&q, step, &mut back)?;
            for ((x, q), back) in values.iter().zip(q.as_chunks::<2>().0).zip(&back) {
                let value = dequantise(i16::from_le_bytes(*q), step);
                prop_assert!((f64::from(*x) - value).abs() <= step.as_f64() / 2.0);
                prop_assert_eq!(value as f32, *back);
            }
            let mut again = vec![0; q.len()];
            quantise_into(&back, 1, step, &mut again)?;
            prop_assert_eq!(again, q);
        }
    }
}

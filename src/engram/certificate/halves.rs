//! Vectors of f16 within a file.
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::half::{from_f16, to_f16};
use crate::error::Result;
use crate::wire::check_len;

/// A vector of little-endian f16 over borrowed bytes, at any address, read as f32.
///
/// Widening is exact: infinities, subnormals, the sign of 0 and the bits of a NaN stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfVector<'a> {
    halves: &'a [[u8; 2]],
}

impl<'a> HalfVector<'a> {
    /// The vector in `bytes`; an odd byte at the end belongs to no component.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { halves: bytes.as_chunks().0 }
    }

    /// Components.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.halves.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.halves.is_empty()
    }

    /// The bytes, two a component.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.halves.as_flattened()
    }

    /// Component `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<f32> {
        self.halves.get(index).map(|&half| widened(half))
    }

    /// All components in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> + Clone + use<'a> {
        self.halves.iter().map(|&half| widened(half))
    }

    /// Writes the components to `out`, which has to have their number.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`](crate::ErrorKind::BufferTooSmall) if `out` is shorter,
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) if it is longer.
    pub fn copy_into(&self, out: &mut [f32]) -> Result<()> {
        check_len("out", self.halves.len() as u64, out.len() as u64)?;
        for (to, &half) in out.iter_mut().zip(self.halves) {
            *to = widened(half);
        }
        Ok(())
    }
}

fn widened(half: [u8; 2]) -> f32 {
    from_f16(u16::from_le_bytes(half))
}

/// The f16 that the original's encoder (NumPy) makes of `x`: the nearest, half to even; a NaN keeps its sign and the upper
/// bits of its payload.
pub(super) fn narrowed(x: f32) -> u16 {
    if !x.is_nan() {
        return to_f16(x);
    }
    let bits = x.to_bits();
    let nan = 0x7C00 | (bits >> 13) as u16 & 0x03FF;
    // A payload that is all in the lower bits would leave an infinity.
    let nan = if nan == 0x7C00 { 0x7C01 } else { nan };
    (bits >> 16) as u16 & 0x8000 | nan
}

//! The whitening's frame (spec/engram.md, "Whitening (kind 7)").
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::{Float, all_finite};
use crate::arch::matvec;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Kind};
use crate::wire::{check_len, size};

/// A whitening of keys over borrowed bytes: a mean, and directions to project on.
///
/// A key `k` of `dim` components becomes `y` of up to `outputs` components: `y[i] = row_i . (k - mean)`.
#[derive(Clone, Copy)]
pub struct Whitening<'a> {
    dim: u32,
    outputs: u32,
    mean: &'a [[u8; 4]],
    /// `outputs` rows of `dim`.
    directions: &'a [[u8; 4]],
    digest: Option<&'a [u8; 32]>,
}

impl<'a> Whitening<'a> {
    /// The whitening that is `bytes`: little-endian f32, the mean and then `outputs` directions, each of `dim`
    /// components. Takes one pass over the bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` or `outputs` is 0; [`ErrorKind::Shape`] if there are more or fewer bytes;
    /// [`ErrorKind::NonFinite`] for a value that is NaN or infinite.
    pub fn new(dim: u32, outputs: u32, bytes: &'a [u8]) -> Result<Self> {
        if dim == 0 || outputs == 0 || outputs == u32::MAX {
            let expected = "a whitening has at least one component and at least one direction";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        let rows = u64::from(outputs).saturating_add(1);
        let needed =
            size("the whitening", 0, &[rows, u64::from(dim), 4]).map_err(|e| Error::caller(e.kind()))?;
        let found = bytes.len() as u64;
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "the number of bytes", needed, found }));
        }
        let whitening = Self::over(dim, outputs, bytes);
        match whitening.first_not_finite(bytes) {
            None => Ok(whitening),
            Some(at) => {
                let (row, column) = (at.checked_div(u64::from(dim)), at.checked_rem(u64::from(dim)));
                let (row, column) = (row.unwrap_or(0), column.unwrap_or(0));
                Err(Error::caller(ErrorKind::NonFinite { row, column }))
            }
        }
    }

    /// The typed view of a whitening's frame (kind 7). Takes one pass over the payload: a NaN in it would make every
    /// fingerprint one.
    ///
    /// # Errors
    /// The first breach in the order of spec/engram.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        frame.check_kind(Kind::WHITENING, &[])?;
        let (config, config_at) = (frame.config(), frame.config_place());
        let at = |field: u64, kind| Error::new(kind, config_at.saturating_add(field));
        if config.element != Element::F32 {
            return Err(at(1, ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() }));
        }
        if config.rows < 2 {
            let found = u64::from(config.rows);
            return Err(at(4, ErrorKind::Shape { field: "CONFIG_V1.rows", needed: 2, found }));
        }
        if config.dim == 0 {
            return Err(at(8, ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 }));
        }
        config.check_payload(4, config_at)?;
        let payload = frame.payload();
        let whitening = Self::over(config.dim, config.rows.saturating_sub(1), payload);
        if let Some(index) = whitening.first_not_finite(payload) {
            let before = frame.payload_offset().saturating_add(index.saturating_mul(4));
            return Err(Error::new(ErrorKind::Number { field: "a value of the whitening" }, before));
        }
        Ok(Self { digest: frame.digest(), ..whitening })
    }

    /// The lengths are right.
    fn over(dim: u32, outputs: u32, bytes: &'a [u8]) -> Self {
        let values = bytes.as_chunks::<4>().0;
        let (mean, directions) = values.split_at_checked(dim as usize).unwrap_or_default();
        Self { dim, outputs, mean, directions, digest: None }
    }

    /// The place of the first value that is NaN or infinite, from 0.
    fn first_not_finite(&self, bytes: &[u8]) -> Option<u64> {
        if all_finite(Float::F32, bytes) {
            return None;
        }
        let mut values = self.mean.iter().chain(self.directions);
        Some(values.position(|&x| !f32::from_le_bytes(x).is_finite())? as u64)
    }

    /// The frame of this whitening, to be given a context and padding. It always has a digest, by which indexes name
    /// the whitening that made their vectors. `bytes` are those of [`new`](Self::new).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn to_frame(dim: u32, outputs: u32, bytes: &'a [u8], ctx: ContextHash) -> Result<FrameBuilder<'a>> {
        let whitening = Self::new(dim, outputs, bytes)?;
        let config = Config {
            kind: Kind::WHITENING,
            element: Element::F32,
            rows: whitening.outputs.saturating_add(1),
            dim,
            delta_q16: 0,
            payload_len: 0,
        };
        Ok(FrameBuilder::new(ctx, config, bytes).digest())
    }

    /// Components of a key.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Directions: the most components that a whitened key can have.
    #[must_use]
    pub const fn outputs(&self) -> u32 {
        self.outputs
    }

    /// The mean of the keys it was fitted on.
    pub fn mean(&self) -> impl ExactSizeIterator<Item = f32> + Clone + use<'a> {
        self.mean.iter().map(|&x| f32::from_le_bytes(x))
    }

    /// Direction `i`, from 0: the one of the largest eigenvalue comes first.
    #[must_use]
    pub fn direction(&self, i: u32) -> Option<impl ExactSizeIterator<Item = f32> + Clone + use<'a>> {
        let row = self.directions.chunks_exact(self.dim.max(1) as usize).nth(i as usize)?;
        Some(row.iter().map(|&x| f32::from_le_bytes(x)))
    }

    /// The first 8 bytes of the frame's digest, as an index states them; `None` for a whitening that came from no
    /// frame, or from a small one without DIGEST_V1.
    #[must_use]
    pub fn prefix(&self) -> Option<[u8; 8]> {
        self.digest?.first_chunk().copied()
    }

    /// Whitens one key: `y` gets the first `y.len()` components. Takes `2 * dim * y.len()` operations, in a fixed
    /// order: the bits are the same on every machine.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `key` has not `dim` components; [`ErrorKind::TooLarge`] if
    /// `y` has more components than there are directions.
    pub fn apply_into(&self, key: &[f32], y: &mut [f32]) -> Result<()> {
        check_len("the key", u64::from(self.dim), key.len() as u64)?;
        self.check_components(y.len())?;
        matvec::products(self.directions, self.dim as usize, self.mean, key, y.len(), y);
        Ok(())
    }

    /// Whitens keys that stand one after the other: `ys` gets the first `components` components of each. The same bits
    /// as with one call for each key, and faster. `keys` is left with the keys less the mean.
    ///
    /// # Errors
    /// As [`apply_into`](Self::apply_into); [`ErrorKind::Argument`] if `components` is 0; [`ErrorKind::Shape`] if the last
    /// key is not whole.
    pub fn apply_rows_into(&self, keys: &mut [f32], components: usize, ys: &mut [f32]) -> Result<()> {
        self.check_components(components)?;
        let dim = (self.dim as usize).max(1);
        let (whole, found) = (keys.chunks_exact(dim).len() as u64, keys.len() as u64);
        let needed = whole.saturating_mul(u64::from(self.dim));
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape {
                field: "the number of key components",
                needed,
                found,
            }));
        }
        if components == 0 {
            return Err(Error::caller(ErrorKind::Argument { expected: "components: at least 1" }));
        }
        check_len("the output", whole.saturating_mul(components as u64), ys.len() as u64)?;
        for key in keys.chunks_exact_mut(dim) {
            for (x, mean) in key.iter_mut().zip(self.mean) {
                *x -= f32::from_le_bytes(*mean);
            }
        }
        matvec::products(self.directions, dim, &[], keys, components, ys);
        Ok(())
    }

    /// Checks that a whitened key can have so many components.
    fn check_components(&self, found: usize) -> Result<()> {
        let (max, found) = (u64::from(self.outputs), found as u64);
        if found > max {
            return Err(Error::caller(ErrorKind::TooLarge { field: "the number of components", max, found }));
        }
        Ok(())
    }
}

impl core::fmt::Debug for Whitening<'_> {
    /// The shape, not the values.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Whitening({} to {} components)", self.dim, self.outputs)
    }
}

//! Dense blocks, and where they come from (spec/mirror.md, "Blocks").
#![deny(clippy::arithmetic_side_effects)]

use super::shape::{Scalar, Shape};
use crate::arch::blocks as kernel;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ContextHash, Frame, FrameBuilder, Kind};

/// Dense blocks over borrowed bytes: little-endian elements, block after block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Blocks<'a> {
    shape: Shape,
    bytes: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// The blocks that are `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if there are more or fewer bytes than `shape` takes.
    pub fn new(shape: Shape, bytes: &'a [u8]) -> Result<Self> {
        let (needed, found) = (shape.len() as u64, bytes.len() as u64);
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "the number of bytes", needed, found }));
        }
        Ok(Self { shape, bytes })
    }

    /// As many blocks of `dim` elements as `bytes` holds.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the last block is not whole; [`ErrorKind::TooLarge`] for more than 2^32 - 1 blocks; as
    /// [`Shape::new`].
    pub fn from_bytes(scalar: Scalar, dim: u32, bytes: &'a [u8]) -> Result<Self> {
        let block_len = Shape::new(scalar, 1, dim)?.block_len() as u64;
        let found = (bytes.len() as u64).checked_div(block_len).unwrap_or(0);
        let too_many = ErrorKind::TooLarge { field: "the number of blocks", max: u64::from(u32::MAX), found };
        let rows = u32::try_from(found).map_err(|_| Error::caller(too_many))?;
        Self::new(Shape::new(scalar, rows, dim)?, bytes)
    }

    /// Blocks of `dim` f32. Only where memory is little-endian, since nothing is copied.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    #[cfg(target_endian = "little")]
    pub fn from_f32(values: &'a [f32], dim: u32) -> Result<Self> {
        Self::from_bytes(Scalar::F32, dim, zerocopy::IntoBytes::as_bytes(values))
    }

    /// The typed view of a blocks frame (kind 6).
    ///
    /// # Errors
    /// The first breach in the order of spec/mirror.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        frame.check_kind(Kind::BLOCKS, &[])?;
        let (config, config_at) = (frame.config(), frame.config_place());
        let at = |field: u64, kind| Error::new(kind, config_at.saturating_add(field));
        let unfit = ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() };
        let scalar = Scalar::of(config.element, config.delta_q16).ok_or(at(1, unfit))?;
        for (field, name, found) in [(4, "CONFIG_V1.rows", config.rows), (8, "CONFIG_V1.dim", config.dim)] {
            if found == 0 {
                return Err(at(field, ErrorKind::Shape { field: name, needed: 1, found: 0 }));
            }
        }
        config.check_payload(scalar.size() as u64, config_at)?;
        // The payload is in memory, so its size fits.
        Self::new(Shape::new(scalar, config.rows, config.dim)?, frame.payload())
    }

    /// The frame of these blocks, to be given a context, a key and its padding.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if there is no block.
    pub fn to_frame(&self, ctx: ContextHash) -> Result<FrameBuilder<'a>> {
        if self.shape.is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "a frame has at least one block" }));
        }
        Ok(FrameBuilder::new(ctx, self.shape.config(Kind::BLOCKS), self.bytes))
    }

    /// The shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All elements.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements of block `index`.
    #[must_use]
    pub fn block(&self, index: u32) -> Option<&'a [u8]> {
        self.bytes.get(self.shape.range(index)?)
    }

    /// Whether no element is NaN or infinite.
    pub(super) fn are_finite(&self) -> bool {
        self.shape.scalar().float().is_none_or(|float| kernel::all_finite(float, self.bytes))
    }

    /// The first `rows` blocks; `None` if there are not so many.
    #[must_use]
    pub fn prefix(&self, rows: u32) -> Option<Self> {
        if rows > self.shape.rows() {
            return None;
        }
        let shape = self.shape.with_rows(rows).ok()?;
        Some(Self { shape, bytes: self.bytes.get(..shape.len())? })
    }
}

impl core::fmt::Debug for Blocks<'_> {
    /// The shape, not the elements.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Blocks").field(&format_args!("{}", self.shape)).finish()
    }
}

/// Something that blocks can be taken from: bytes in memory, a .npy array, a tensor of a safetensors file, a part of a
/// state blob.
pub trait BlockSource {
    /// How many blocks, and of what.
    fn shape(&self) -> Shape;

    /// The blocks where they are, if they are little-endian and one after the other.
    fn borrowed(&self) -> Option<Blocks<'_>>;

    /// Copies the blocks into `out`, which has exactly the bytes of [`shape`](Self::shape).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] or [`ErrorKind::BufferTooSmall`] if it has not; the source's own.
    fn copy_into(&self, out: &mut [u8]) -> Result<()>;
}

impl BlockSource for Blocks<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn borrowed(&self) -> Option<Blocks<'_>> {
        Some(*self)
    }

    fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        self.shape.check_out(out)?;
        out.copy_from_slice(self.bytes);
        Ok(())
    }
}

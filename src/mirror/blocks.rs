//! Dense blocks, and where they come from (spec/mirror.md, "Blocks").
#![deny(clippy::arithmetic_side_effects)]

use super::shape::{Scalar, Shape};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ContextHash, Frame, FrameBuilder, Kind};

/// Dense blocks over borrowed bytes: little-endian elements, block after block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Blocks of `dim` f32. Only where memory is little-endian, since nothing is copied.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `dim` does not divide the number of values; as [`Shape::new`].
    #[cfg(target_endian = "little")]
    pub fn from_f32(values: &'a [f32], dim: u32) -> Result<Self> {
        use zerocopy::IntoBytes;
        let found = values.len() as u64;
        let rows = found.checked_div(u64::from(dim)).unwrap_or(0);
        let max = u64::from(u32::MAX);
        let too_many = ErrorKind::TooLarge { field: "the number of blocks", max, found: rows };
        let rows = u32::try_from(rows).map_err(|_| Error::caller(too_many))?;
        Self::new(Shape::new(Scalar::F32, rows, dim)?, values.as_bytes())
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

    /// The first `rows` blocks; `None` if there are not so many.
    #[must_use]
    pub fn prefix(&self, rows: u32) -> Option<Self> {
        if rows > self.shape.rows() {
            return None;
        }
        let shape = self.shape.with_rows(rows).ok()?;
        Some(Self { shape, bytes: self.bytes.get(..shape.len())? })
    }

    /// Checks that `other` has the same shape.
    pub(super) fn check_same_shape(&self, other: &Shape) -> Result<()> {
        check_shape(&self.shape, other, true)
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
        check_out(&self.shape, out)?;
        out.copy_from_slice(self.bytes);
        Ok(())
    }
}

/// Checks that blocks of shape `other` go with a master of shape `own`: are as many, if `rows` says so, and of the same.
pub(super) fn check_shape(own: &Shape, other: &Shape, rows: bool) -> Result<()> {
    check_parts(own, other.scalar(), other.dim(), rows.then_some(other.rows()))
}

/// The same with the parts of the other shape, which may be beyond what this machine addresses.
pub(super) fn check_parts(own: &Shape, scalar: Scalar, dim: u32, rows: Option<u32>) -> Result<()> {
    let differs = |field| Err(Error::caller(ErrorKind::MasterDiffers { field }));
    if own.scalar().element() != scalar.element() {
        differs("the element type")
    } else if own.dim() != dim {
        differs("the number of elements of a block")
    } else if rows.is_some_and(|rows| rows != own.rows()) {
        differs("the number of blocks")
    } else if own.scalar() != scalar {
        differs("the step (delta_q16)")
    } else {
        Ok(())
    }
}

/// Checks that `out` has exactly the bytes that `shape` takes.
pub(crate) fn check_out(shape: &Shape, out: &[u8]) -> Result<()> {
    crate::beacon::mu16::check_len("the output", shape.len() as u64, out.len() as u64)
}

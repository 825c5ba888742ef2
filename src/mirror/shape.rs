//! What blocks are made of, and how many bytes that takes.
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::Float;
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, Element, Kind};
use crate::wire::{check_len, size};

/// The type of a block's elements, always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of a binary32.
    Bf16,
    /// MU16: 16-bit multiples of a step.
    Mu16(Step),
}

impl Scalar {
    /// Bytes of an element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 | Self::Mu16(_) => 2,
        }
    }

    /// The element's code in CONFIG_V1.
    #[must_use]
    pub const fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::F16 => Element::F16,
            Self::Bf16 => Element::Bf16,
            Self::Mu16(_) => Element::I16,
        }
    }

    /// The step of MU16 in units of 2^-16; 0 for floats.
    #[must_use]
    pub const fn delta_q16(self) -> u32 {
        match self {
            Self::Mu16(step) => step.get(),
            _ => 0,
        }
    }

    /// The type that CONFIG_V1 states. It has a step if and only if its element is i16.
    pub(crate) fn of(element: Element, delta_q16: u32) -> Option<Self> {
        match element {
            Element::F32 => Some(Self::F32),
            Element::F16 => Some(Self::F16),
            Element::Bf16 => Some(Self::Bf16),
            Element::I16 => Step::new(delta_q16).ok().map(Self::Mu16),
            _ => None,
        }
    }

    pub(crate) const fn float(self) -> Option<Float> {
        match self {
            Self::F32 => Some(Float::F32),
            Self::F16 => Some(Float::F16),
            Self::Bf16 => Some(Float::Bf16),
            Self::Mu16(_) => None,
        }
    }
}

impl core::fmt::Display for Shape {
    /// `64 x 128 f32`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} x {} {}", self.rows, self.dim, self.scalar)
    }
}

impl core::fmt::Display for Scalar {
    /// `f32`, `f16`, `bf16`; `i16 at step 0.015625`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Mu16(step) => write!(f, "i16 at step {}", step.as_f64()),
            _ => f.write_str(self.element().name()),
        }
    }
}

/// How many blocks of how many elements of which type. What it takes fits this machine's memory addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    scalar: Scalar,
    rows: u32,
    dim: u32,
    block_len: usize,
    len: usize,
}

impl Shape {
    /// `rows` blocks (0 is allowed) of `dim` elements (at least 1).
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` is 0; [`ErrorKind::Size`] or [`ErrorKind::TooLarge`] if the bytes overflow 64 bits,
    /// or this machine's addresses.
    pub fn new(scalar: Scalar, rows: u32, dim: u32) -> Result<Self> {
        if dim == 0 {
            return Err(Error::caller(ErrorKind::Argument { expected: "a block has at least one element" }));
        }
        let block_len = bytes(&[u64::from(dim), scalar.size() as u64])?;
        let len = bytes(&[u64::from(rows), block_len as u64])?;
        Ok(Self { scalar, rows, dim, block_len, len })
    }

    /// The shape of an array: its first dimension counts the blocks, all others together are a block's elements.
    ///
    /// # Errors
    /// [`ErrorKind::BlockDims`] below two dimensions; [`ErrorKind::TooLarge`] for more than 2^32 - 1 blocks, or elements
    /// of a block; as [`new`](Self::new).
    pub fn from_dims(scalar: Scalar, dims: &[u64]) -> Result<Self> {
        let [rows, block @ ..] = dims else {
            return Err(Error::caller(ErrorKind::BlockDims { found: 0 }));
        };
        if block.is_empty() {
            return Err(Error::caller(ErrorKind::BlockDims { found: 1 }));
        }
        let dim = size("a block", 0, block).map_err(|error| Error::caller(error.kind()))?;
        let narrow = |field, found| {
            let max = u64::from(u32::MAX);
            u32::try_from(found).map_err(|_| Error::caller(ErrorKind::TooLarge { field, max, found }))
        };
        Self::new(scalar, narrow("the number of blocks", *rows)?, narrow("the elements of a block", dim)?)
    }

    /// The type of the elements.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// The number of blocks.
    #[must_use]
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Elements of a block.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_len(&self) -> usize {
        self.block_len
    }

    /// Bytes of all blocks.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no block.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The same with another number of blocks.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_rows(&self, rows: u32) -> Result<Self> {
        Self::new(self.scalar, rows, self.dim)
    }

    /// Checks that blocks of `other` could stand among a master's of this shape.
    #[cfg(feature = "alloc")]
    pub(super) fn check_same_blocks(&self, other: &Self) -> Result<()> {
        self.check_parts(other.scalar, other.dim, self.rows)
    }

    /// Checks that `other` is the shape of an agent of a master of this shape: the same.
    pub(super) fn check_same(&self, other: &Self) -> Result<()> {
        self.check_parts(other.scalar, other.dim, other.rows)
    }

    /// The same with the parts of the other shape, which may be beyond what this machine addresses.
    pub(super) fn check_parts(&self, scalar: Scalar, dim: u32, rows: u32) -> Result<()> {
        let differs = |field| Err(Error::caller(ErrorKind::MasterDiffers { field }));
        if self.scalar.element() != scalar.element() {
            differs("the element type")
        } else if self.dim != dim {
            differs("the number of elements of a block")
        } else if self.rows != rows {
            differs("the number of blocks")
        } else if self.scalar != scalar {
            differs("the step (delta_q16)")
        } else {
            Ok(())
        }
    }

    /// Checks that `out` has exactly the bytes of all blocks.
    pub(crate) fn check_out(&self, out: &[u8]) -> Result<()> {
        check_len("the output", self.len as u64, out.len() as u64)
    }

    pub(super) fn config(&self, kind: Kind) -> Config {
        Config::new(kind, self.scalar.element(), self.rows, self.dim, self.scalar.delta_q16())
    }

    /// The bytes of block `index`, from the start of the blocks.
    pub(super) fn range(&self, index: u32) -> Option<core::ops::Range<usize>> {
        if index >= self.rows {
            return None;
        }
        let start = (index as usize).checked_mul(self.block_len)?;
        Some(start..start.checked_add(self.block_len)?)
    }
}

/// The product, as a number of bytes that this machine can address.
pub(super) fn bytes(factors: &[u64]) -> Result<usize> {
    let found = size("the blocks", 0, factors).map_err(|error| Error::caller(error.kind()))?;
    let max = isize::MAX as u64;
    let too_large = ErrorKind::TooLarge { field: "the size of the blocks", max, found };
    usize::try_from(found).ok().filter(|_| found <= max).ok_or(Error::caller(too_large))
}

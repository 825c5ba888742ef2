//! The element types of ggml that a KV cache is stored in, and their values (spec/engram.md, "Element types and rotations").
//!
//! Rows are dequantised with the arithmetic of ggml's reference code: every value has the bits that llama.cpp's scalar
//! code gives (but for the payload of a NaN). Nothing here allocates, and every type can be read from any element on.
#![deny(clippy::arithmetic_side_effects)]

mod rows;
mod transposed;

pub use rows::{Elements, dequantise_into};
pub use transposed::{Column, Transposed};

use crate::arch::blocks::Float;
use crate::arch::ggml::Quant;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::size;

/// What the elements of a K or V tensor are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(i32)]
pub enum GgmlType {
    /// IEEE 754 binary32.
    F32 = 0,
    /// IEEE 754 binary16.
    F16 = 1,
    /// 32 elements of 4 bits, -8 to 7, times a scale.
    Q4_0 = 2,
    /// 32 elements of 4 bits, 0 to 15, times a scale, plus a minimum.
    Q4_1 = 3,
    /// 32 elements of 5 bits, -16 to 15, times a scale.
    Q5_0 = 6,
    /// 32 elements of 5 bits, 0 to 31, times a scale, plus a minimum.
    Q5_1 = 7,
    /// 32 elements of 8 bits, -128 to 127, times a scale.
    Q8_0 = 8,
    /// 32 elements of 4 bits that choose from 16 integers, times a scale.
    Iq4Nl = 20,
    /// bfloat16.
    Bf16 = 30,
}

/// How the elements of a type are laid out.
#[derive(Clone, Copy)]
enum Layout {
    Float(Float),
    Blocks(Quant),
}

impl GgmlType {
    /// Every type, by id.
    pub const ALL: [Self; 9] = [
        Self::F32,
        Self::F16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Iq4Nl,
        Self::Bf16,
    ];

    /// The type that ggml calls `id`; `None` for those that no KV cache is stored in, and unknown ones.
    #[must_use]
    pub const fn from_id(id: i32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            20 => Self::Iq4Nl,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// The type of that name, as llama.cpp writes it: `q8_0`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.name() == name)
    }

    /// ggml's number.
    #[must_use]
    pub const fn id(self) -> i32 {
        self as i32
    }

    /// ggml's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Iq4Nl => "iq4_nl",
            Self::Bf16 => "bf16",
        }
    }

    /// Elements of a block: 32, and 1 for floats.
    #[must_use]
    pub const fn block_elements(self) -> u32 {
        match self.layout() {
            Layout::Float(_) => 1,
            Layout::Blocks(_) => 32,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> u32 {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
        }
    }

    /// Whether elements come in blocks with a scale; llama.cpp may store such K and V rotated
    /// ([`hadamard`](crate::engram::hadamard)).
    #[must_use]
    pub const fn is_quantised(self) -> bool {
        matches!(self.layout(), Layout::Blocks(_))
    }

    /// Bytes of a row of `width` elements.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if they are no whole blocks; [`ErrorKind::Size`] beyond 64 bits.
    pub fn row_size(self, width: u64) -> Result<u64> {
        let elements = u64::from(self.block_elements());
        if !width.is_multiple_of(elements) {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "a quantised row is made of blocks of 32 elements",
            }));
        }
        // Not 0, and so no division by it.
        let blocks = width.checked_div(elements).unwrap_or(0);
        size("a row", 0, &[blocks, self.block_bytes().into()]).map_err(|error| Error::caller(error.kind()))
    }

    /// Elements of a row of `row_size` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if they are no whole blocks; [`ErrorKind::Size`] beyond 64 bits.
    pub fn row_elements(self, row_size: u64) -> Result<u64> {
        let bytes = u64::from(self.block_bytes());
        if !row_size.is_multiple_of(bytes) {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "a row is made of whole blocks of its type",
            }));
        }
        let blocks = row_size.checked_div(bytes).unwrap_or(0);
        size("a row", 0, &[blocks, self.block_elements().into()]).map_err(|error| Error::caller(error.kind()))
    }

    const fn layout(self) -> Layout {
        match self {
            Self::F32 => Layout::Float(Float::F32),
            Self::F16 => Layout::Float(Float::F16),
            Self::Bf16 => Layout::Float(Float::Bf16),
            Self::Q4_0 => Layout::Blocks(Quant::Q4_0),
            Self::Q4_1 => Layout::Blocks(Quant::Q4_1),
            Self::Q5_0 => Layout::Blocks(Quant::Q5_0),
            Self::Q5_1 => Layout::Blocks(Quant::Q5_1),
            Self::Q8_0 => Layout::Blocks(Quant::Q8_0),
            Self::Iq4Nl => Layout::Blocks(Quant::Iq4Nl),
        }
    }
}

impl core::fmt::Display for GgmlType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests;

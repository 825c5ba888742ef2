//! V as llama.cpp stores it without flash attention: `[width][cells]`, where the width is llama.cpp's `n_embd_v_gqa`.
#![deny(clippy::arithmetic_side_effects)]

use super::{GgmlType, Layout};
use crate::arch::blocks::Float;
use crate::arch::half;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_index, size};

/// A transposed tensor, read where it is: for each of `width` elements its values in all cells. Of f32, f16 or bf16.
#[derive(Clone, Copy)]
pub struct Transposed<'a> {
    ty: GgmlType,
    float: Float,
    width: u32,
    cells: u32,
    bytes: &'a [u8],
}

impl<'a> Transposed<'a> {
    /// `bytes` as `width` rows of `cells` values of type `ty`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a quantised type, which is never stored transposed; [`ErrorKind::Size`] if that is beyond 64
    /// bits; [`ErrorKind::Shape`] if `bytes` has another length.
    pub fn new(ty: GgmlType, width: u32, cells: u32, bytes: &'a [u8]) -> Result<Self> {
        let Layout::Float(float) = ty.layout() else {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "a transposed tensor is f32, f16 or bf16",
            }));
        };
        let factors = [u64::from(width), u64::from(cells), u64::from(ty.block_bytes())];
        let needed = size("the tensor", 0, &factors).map_err(|error| Error::caller(error.kind()))?;
        let found = bytes.len() as u64;
        if found != needed {
            return Err(Error::caller(ErrorKind::Shape { field: "bytes of the tensor", needed, found }));
        }
        Ok(Self { ty, float, width, cells, bytes })
    }

    /// What a value is stored as.
    #[must_use]
    pub const fn ggml_type(&self) -> GgmlType {
        self.ty
    }

    /// Elements of a cell.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Cells.
    #[must_use]
    pub const fn cell_count(&self) -> u32 {
        self.cells
    }

    /// One element's values in all cells, which are adjacent: a row for [`dequantise_into`](super::dequantise_into).
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such element.
    pub fn element_bytes(&self, element: u32) -> Result<&'a [u8]> {
        check_index("the element", element, self.width)?;
        let len = self.stride();
        // Within the bytes, and so within usize.
        let start = usize::try_from(element).unwrap_or(usize::MAX).saturating_mul(len);
        Ok(self.bytes.get(start..).and_then(|rest| rest.get(..len)).unwrap_or_default())
    }

    /// The values of one cell, one after the other.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such cell.
    pub fn cell(&self, cell: u32) -> Result<Column<'a>> {
        check_index("the cell", cell, self.cells)?;
        let start = usize::try_from(cell).unwrap_or(usize::MAX).saturating_mul(self.float.size());
        let rest = self.bytes.get(start..).unwrap_or_default();
        Ok(Column { float: self.float, stride: self.stride(), rest, left: self.width })
    }

    /// Writes the values of a cell's elements `first`, `first + 1`, ... to `out`: as many as it has room for.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such cell, or it has fewer elements.
    pub fn cell_into(&self, cell: u32, first: u32, out: &mut [f32]) -> Result<()> {
        let mut column = self.cell(cell)?;
        let found = u64::from(first).saturating_add(out.len() as u64);
        if found > u64::from(self.width) {
            let end = self.width.into();
            return Err(Error::caller(ErrorKind::PastEnd { field: "the elements", end, found }));
        }
        column.skip_elements(first);
        for (to, from) in out.iter_mut().zip(column) {
            *to = from;
        }
        Ok(())
    }

    /// Bytes from one element of a cell to the next.
    fn stride(&self) -> usize {
        // Beyond usize only if there are no elements.
        usize::try_from(self.cells).unwrap_or(usize::MAX).saturating_mul(self.float.size())
    }
}

impl core::fmt::Debug for Transposed<'_> {
    /// `Transposed(64 x 37 cells f16)`: without the values, which are many.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Transposed({} x {} cells {})", self.width, self.cells, self.ty)
    }
}

/// The values of one cell of a [`Transposed`] tensor.
#[derive(Clone)]
pub struct Column<'a> {
    float: Float,
    stride: usize,
    /// From the next value on.
    rest: &'a [u8],
    left: u32,
}

impl Column<'_> {
    fn skip_elements(&mut self, count: u32) {
        let count = count.min(self.left);
        let len = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(self.stride);
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.left = self.left.saturating_sub(count);
    }
}

impl Iterator for Column<'_> {
    type Item = f32;

    #[inline]
    fn next(&mut self) -> Option<f32> {
        self.left = self.left.checked_sub(1)?;
        let value = match self.float {
            Float::F32 => self.rest.first_chunk().map(|bytes| f32::from_le_bytes(*bytes)),
            Float::F16 => {
                self.rest.first_chunk().map(|bytes| half::from_f16_quiet(u16::from_le_bytes(*bytes)))
            }
            Float::Bf16 => self.rest.first_chunk().map(|bytes| half::from_bf16(u16::from_le_bytes(*bytes))),
        };
        self.rest = self.rest.get(self.stride..).unwrap_or_default();
        value
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left, Some(left))
    }

    fn nth(&mut self, n: usize) -> Option<f32> {
        self.skip_elements(u32::try_from(n).unwrap_or(u32::MAX));
        self.next()
    }
}

impl ExactSizeIterator for Column<'_> {}
impl core::iter::FusedIterator for Column<'_> {}

impl core::fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Column({} left)", self.left)
    }
}

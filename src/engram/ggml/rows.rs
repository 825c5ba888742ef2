//! Rows: values from any element on.
#![deny(clippy::arithmetic_side_effects)]

use super::{GgmlType, Layout};
use crate::arch::{ggml, half};
use crate::error::{Error, ErrorKind, Result};

/// Elements of a quantised block, and those that [`Elements`] has at hand.
const BLOCK: usize = ggml::BLOCK;

/// Writes the values of a row's elements `first`, `first + 1`, ... to `out`: as many as it has room for.
///
/// The row may be any whole number of blocks; `first` and the end may lie inside a block. Where it matters: a row is
/// `width` elements, head by head, so that head h of `head_dim` starts at `h * head_dim`.
///
/// # Errors
/// [`ErrorKind::Argument`] if `row` is no whole number of blocks; [`ErrorKind::PastEnd`] if it has fewer elements.
pub fn dequantise_into(ty: GgmlType, row: &[u8], first: u64, out: &mut [f32]) -> Result<()> {
    let elements = ty.row_elements(row.len() as u64)?;
    let end = first.saturating_add(out.len() as u64);
    if end > elements {
        return Err(Error::caller(ErrorKind::PastEnd { field: "the elements", end: elements, found: end }));
    }
    // At most the elements of a slice in memory: 2 to a byte.
    dequantise(ty, row, usize::try_from(first).unwrap_or(usize::MAX), out);
    Ok(())
}

/// As [`dequantise_into`], where it is known that the elements are there.
pub(super) fn dequantise(ty: GgmlType, row: &[u8], first: usize, out: &mut [f32]) {
    let quant = match ty.layout() {
        Layout::Float(float) => {
            let start = first.saturating_mul(float.size());
            return half::widen(float, row.get(start..).unwrap_or_default(), out);
        }
        Layout::Blocks(quant) => quant,
    };
    let (skipped, inside) = (first / BLOCK, first % BLOCK);
    let mut bytes = row.get(skipped.saturating_mul(quant.block_bytes())..).unwrap_or_default();
    let mut out = out;
    if inside > 0 {
        let mut block = [0.0; BLOCK];
        ggml::dequantise(quant, bytes, &mut block);
        let (head, rest) = out.split_at_mut(out.len().min(BLOCK.saturating_sub(inside)));
        copy(head, block.get(inside..).unwrap_or_default());
        bytes = bytes.get(quant.block_bytes()..).unwrap_or_default();
        out = rest;
    }
    let blocks = out.len() / BLOCK;
    let (whole, tail) = out.split_at_mut(blocks.saturating_mul(BLOCK));
    ggml::dequantise(quant, bytes, whole);
    if !tail.is_empty() {
        let mut block = [0.0; BLOCK];
        ggml::dequantise(
            quant,
            bytes.get(blocks.saturating_mul(quant.block_bytes())..).unwrap_or_default(),
            &mut block,
        );
        copy(tail, &block);
    }
}

fn copy(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// The values of a row, one after the other; 32 are dequantised at a time.
#[derive(Clone)]
pub struct Elements<'a> {
    ty: GgmlType,
    row: &'a [u8],
    next: usize,
    end: usize,
    /// Those of the block that `next` is in, unless `next` is the first of it.
    block: [f32; BLOCK],
}

impl<'a> Elements<'a> {
    /// All values of `row`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `row` is no whole number of blocks.
    pub fn new(ty: GgmlType, row: &'a [u8]) -> Result<Self> {
        let elements = ty.row_elements(row.len() as u64)?;
        let end = usize::try_from(elements).map_err(|_| {
            Error::caller(ErrorKind::TooLarge {
                field: "the elements",
                max: usize::MAX as u64,
                found: elements,
            })
        })?;
        Ok(Self { ty, row, next: 0, end, block: [0.0; BLOCK] })
    }

    /// Fills the block that `next` is in.
    fn fill(&mut self) {
        let first = self.next.saturating_sub(self.next % BLOCK);
        let count = self.end.saturating_sub(first).min(BLOCK);
        dequantise(self.ty, self.row, first, self.block.get_mut(..count).unwrap_or_default());
    }
}

impl Iterator for Elements<'_> {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        if self.next >= self.end {
            return None;
        }
        if self.next.is_multiple_of(BLOCK) {
            self.fill();
        }
        let value = self.block.get(self.next % BLOCK).copied();
        self.next = self.next.saturating_add(1);
        value
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.next);
        (left, Some(left))
    }

    /// Blocks that are skipped are not dequantised.
    fn nth(&mut self, n: usize) -> Option<f32> {
        let before = self.next;
        self.next = before.saturating_add(n).min(self.end);
        if self.next >= self.end {
            return None;
        }
        // A block begun is at hand, one that is entered in its middle is not.
        if self.next / BLOCK != before / BLOCK || before.is_multiple_of(BLOCK) {
            self.fill();
        }
        let value = self.block.get(self.next % BLOCK).copied();
        self.next = self.next.saturating_add(1);
        value
    }
}

impl ExactSizeIterator for Elements<'_> {}
impl core::iter::FusedIterator for Elements<'_> {}

impl core::fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Elements({} of {} {})", self.len(), self.end, self.ty)
    }
}

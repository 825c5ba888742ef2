//! The tensors of a cache, where they lie in the blob (spec/engram.md, "Tensors").
#![deny(clippy::arithmetic_side_effects)]

use super::envelope::word;
use crate::engram::ggml::{Column, Elements, GgmlType, Transposed, dequantise_into};
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::{BlockSource, Blocks, Scalar, Shape};
use crate::wire::{Reader, check_index, check_len, size};

/// One layer's keys or values, over the blob's bytes.
///
/// Keys and plain values are `[cells][width]`, transposed values `[width][cells]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tensor<'a> {
    layer: u32,
    ggml_type: GgmlType,
    row_size: u64,
    width: u32,
    cells: u32,
    transposed: bool,
    header_offset: u64,
    data: Option<&'a [u8]>,
}

impl<'a> Tensor<'a> {
    pub(super) fn read(
        reader: &mut Reader<'a>,
        layer: u32,
        cells: u32,
        has_data: bool,
        transposed: bool,
    ) -> Result<Self> {
        let header_offset = reader.offset();
        let id = word(reader, "the type of a tensor")?.cast_signed();
        let unfit = Error::new(ErrorKind::GgmlType { found: id, transposed }, header_offset);
        let ggml_type = GgmlType::from_id(id).ok_or(unfit)?;
        let at = reader.offset();
        let (block_len, block_size) =
            (u64::from(ggml_type.block_elements()), u64::from(ggml_type.block_bytes()));
        let (row_size, width, field) = if transposed {
            // A block holds neighbours of one cell, which are apart here.
            if block_len != 1 {
                return Err(unfit);
            }
            let found = u64::from(word(reader, "el_size")?);
            if found != block_size {
                return Err(Error::new(ErrorKind::Shape { field: "el_size", needed: block_size, found }, at));
            }
            let width = word(reader, "n_embd")?;
            (size("a row", at, &[width.into(), block_size])?, u64::from(width), "n_embd")
        } else {
            let row_size = u64::from_le_bytes(*reader.take_array("row_size")?);
            let blocks = row_size.checked_div(block_size).unwrap_or(0);
            if blocks.checked_mul(block_size) != Some(row_size) {
                return Err(Error::new(ErrorKind::RowSize { found: row_size, block_size }, at));
            }
            (row_size, blocks.saturating_mul(block_len), "row_size")
        };
        let at = if transposed { at.saturating_add(4) } else { at };
        let too_large = ErrorKind::TooLarge { field, max: u64::from(u32::MAX), found: width };
        let width = u32::try_from(width).map_err(|_| Error::new(too_large, at))?;
        if width == 0 {
            return Err(Error::new(ErrorKind::Shape { field, needed: 1, found: 0 }, at));
        }
        // The product of CVE-2026-43629.
        let len = size("a tensor", at, &[row_size, cells.into()])?;
        let data = if has_data { Some(reader.take("a tensor", len)?) } else { None };
        Ok(Self { layer, ggml_type, row_size, width, cells, transposed, header_offset, data })
    }

    /// Which layer of its cache, from 0. Not that of the model where it has two caches.
    #[must_use]
    pub const fn layer(&self) -> u32 {
        self.layer
    }

    /// The type of its elements.
    #[must_use]
    pub const fn ggml_type(&self) -> GgmlType {
        self.ggml_type
    }

    /// Bytes per cell.
    #[must_use]
    pub const fn row_size(&self) -> u64 {
        self.row_size
    }

    /// Elements per cell: KV heads times their components (`n_embd_k_gqa`, `n_embd_v_gqa`).
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Cells.
    #[must_use]
    pub const fn cell_count(&self) -> u32 {
        self.cells
    }

    /// Whether it is `[width][cells]`.
    #[must_use]
    pub const fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// Where its header starts in the blob.
    #[must_use]
    pub const fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Where its header states the size of a row: `row_size`, or `n_embd`, which comes after `el_size`.
    pub(super) const fn width_offset(&self) -> u64 {
        self.header_offset.saturating_add(if self.transposed { 8 } else { 4 })
    }

    /// Where its elements start in the blob, or would start.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        // Type, and a row size or two words: both forms are as long.
        self.header_offset.saturating_add(12)
    }

    /// Its bytes as they are stored; `None` in a blob of headers alone.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        self.data
    }

    /// Bytes that it has, or would have.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        // Computed without overflow before.
        self.row_size.saturating_mul(self.cells as u64)
    }

    fn data(&self) -> Result<&'a [u8]> {
        self.data.ok_or(Error::new(ErrorKind::NoTensorData, self.offset()))
    }

    /// The bytes of one cell, for a tensor that is not transposed.
    #[must_use]
    pub fn row(&self, cell: u32) -> Option<&'a [u8]> {
        let row_size =
            usize::try_from(self.row_size).ok().filter(|_| !self.transposed && cell < self.cells)?;
        let start = row_size.checked_mul(usize::try_from(cell).ok()?)?;
        self.data?.get(start..)?.get(..row_size)
    }

    /// Writes elements of one cell as f32, from `first` on, as many as `out` has.
    ///
    /// Cost: linear in `out`; up to a block more where `first` is inside one.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such cell or not so many elements; [`ErrorKind::NoTensorData`] in a blob of
    /// headers alone.
    pub fn cell_into(&self, cell: u32, first: u32, out: &mut [f32]) -> Result<()> {
        check_index("the cell", cell, self.cells)?;
        let (end, found) = (u64::from(self.width), u64::from(first).saturating_add(out.len() as u64));
        if found > end {
            return Err(Error::caller(ErrorKind::PastEnd { field: "the elements of a cell", end, found }));
        }
        let data = self.data()?;
        if self.transposed {
            Transposed::new(self.ggml_type, self.width, self.cells, data)?.cell_into(cell, first, out)
        } else {
            dequantise_into(self.ggml_type, self.row(cell).unwrap_or_default(), first.into(), out)
        }
    }

    /// The elements of one cell as f32, one by one.
    ///
    /// # Errors
    /// As [`cell_into`](Self::cell_into).
    pub fn cell(&self, cell: u32) -> Result<CellElements<'a>> {
        let data = self.data()?;
        if self.transposed {
            let column = Transposed::new(self.ggml_type, self.width, self.cells, data)?.cell(cell)?;
            return Ok(CellElements(Either::Column(column)));
        }
        check_index("the cell", cell, self.cells)?;
        let row = Elements::new(self.ggml_type, self.row(cell).unwrap_or_default())?;
        Ok(CellElements(Either::Row(row)))
    }

    /// The elements as blocks of a mirror: one block per cell, or per column if transposed. Only floats are.
    ///
    /// # Errors
    /// [`ErrorKind::GgmlType`] for quantised elements; [`ErrorKind::NoTensorData`]; as [`Shape::new`].
    pub fn blocks(&self) -> Result<Blocks<'a>> {
        let (rows, dim) = if self.transposed { (self.width, self.cells) } else { (self.cells, self.width) };
        Blocks::new(Shape::new(self.scalar()?, rows, dim)?, self.data()?)
    }

    fn scalar(&self) -> Result<Scalar> {
        match self.ggml_type {
            GgmlType::F32 => Ok(Scalar::F32),
            GgmlType::F16 => Ok(Scalar::F16),
            GgmlType::Bf16 => Ok(Scalar::Bf16),
            _ => {
                let kind = ErrorKind::GgmlType { found: self.ggml_type.id(), transposed: self.transposed };
                Err(Error::new(kind, self.header_offset))
            }
        }
    }
}

/// The elements of one cell, widened to f32 one after the other.
#[derive(Clone, Debug)]
pub struct CellElements<'a>(Either<'a>);

#[derive(Clone, Debug)]
enum Either<'a> {
    Row(Elements<'a>),
    Column(Column<'a>),
}

impl Iterator for CellElements<'_> {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        match &mut self.0 {
            Either::Row(row) => row.next(),
            Either::Column(column) => column.next(),
        }
    }
}

impl core::fmt::Debug for Tensor<'_> {
    /// What it is, not its bytes.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { layer, ggml_type, width, cells, transposed, .. } = self;
        write!(f, "Tensor(layer {layer}, {cells} cells x {width} {}", ggml_type.name())?;
        f.write_str(if *transposed { ", transposed)" } else { ")" })
    }
}

/// The tensors of a stream's keys, or values.
#[derive(Clone, Debug)]
pub struct Tensors<'a> {
    reader: Reader<'a>,
    layer: u32,
    layers: u32,
    cells: u32,
    has_data: bool,
    transposed: bool,
}

impl<'a> Tensors<'a> {
    pub(super) const fn new(
        reader: Reader<'a>,
        layers: u32,
        cells: u32,
        has_data: bool,
        transposed: bool,
    ) -> Self {
        Self { reader, layer: 0, layers, cells, has_data, transposed }
    }
}

impl<'a> Tensors<'a> {
    /// Tensor `layer`, if all are like the `first`.
    pub(super) fn like_first(&self, first: &Tensor<'a>, layer: u32) -> Option<Tensor<'a>> {
        if layer >= self.layers {
            return None;
        }
        let apart = first.byte_len().checked_add(12)?.checked_mul(layer.into())?;
        let skipped = self.reader.rest().get(usize::try_from(apart).ok()?..)?;
        let mut reader = Reader::new(skipped, self.reader.offset().checked_add(apart)?);
        Tensor::read(&mut reader, layer, self.cells, self.has_data, self.transposed).ok()
    }
}

impl<'a> Iterator for Tensors<'a> {
    type Item = Tensor<'a>;

    fn next(&mut self) -> Option<Tensor<'a>> {
        if self.layer >= self.layers {
            return None;
        }
        // Read once before, so that nothing fails.
        let tensor =
            Tensor::read(&mut self.reader, self.layer, self.cells, self.has_data, self.transposed).ok()?;
        self.layer = self.layer.saturating_add(1);
        Some(tensor)
    }
}

impl core::iter::FusedIterator for Tensors<'_> {}

/// Keys or values of some layers as the blocks of a mirror: layer by layer, one block per cell.
#[derive(Clone, Debug)]
pub struct TensorBlocks<'a> {
    tensors: Tensors<'a>,
    shape: Shape,
}

impl<'a> TensorBlocks<'a> {
    /// The blocks of all `tensors`.
    ///
    /// # Errors
    /// As [`Tensor::blocks`]; [`ErrorKind::Argument`] if there are none; [`ErrorKind::StreamsDiffer`] if they are not all
    /// alike; as [`Shape::new`].
    pub fn new(tensors: Tensors<'a>) -> Result<Self> {
        let none = Error::caller(ErrorKind::Argument {
            expected: "there is at least one layer to take blocks from",
        });
        let first = *tensors.clone().next().ok_or(none)?.blocks()?.shape();
        let mut rows = 0u64;
        for tensor in tensors.clone() {
            let shape = *tensor.blocks()?.shape();
            if (shape.scalar(), shape.dim()) != (first.scalar(), first.dim()) {
                let kind = ErrorKind::StreamsDiffer { field: "the type or the width of a tensor" };
                return Err(Error::new(kind, tensor.header_offset()));
            }
            rows = rows.saturating_add(shape.rows().into());
        }
        let too_many =
            ErrorKind::TooLarge { field: "the number of blocks", max: u32::MAX.into(), found: rows };
        let rows = u32::try_from(rows).map_err(|_| Error::caller(too_many))?;
        Ok(Self { tensors, shape: Shape::new(first.scalar(), rows, first.dim())? })
    }
}

impl BlockSource for TensorBlocks<'_> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn borrowed(&self) -> Option<Blocks<'_>> {
        // Headers lie between the layers.
        let mut tensors = self.tensors.clone();
        let only = tensors.next()?;
        if tensors.next().is_none() { only.blocks().ok() } else { None }
    }

    fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        check_len("the output", self.shape.len() as u64, out.len() as u64)?;
        let mut rest = out;
        for tensor in self.tensors.clone() {
            let bytes = tensor.data()?;
            let Some((head, tail)) = rest.split_at_mut_checked(bytes.len()) else { break };
            head.copy_from_slice(bytes);
            rest = tail;
        }
        Ok(())
    }
}

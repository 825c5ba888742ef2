//! Matrices of floats, row by row.
#![deny(clippy::arithmetic_side_effects)]

use super::{BLOCK, Data, Dtype, Element, Header, Order};
use crate::error::{Error, ErrorKind};
use crate::io::{Cause, FileError};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::vec::Vec;

/// A row of a matrix. Bits are those of the file, NaN and infinities included; f16 is widened, which is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row<'a> {
    /// Of a matrix of f16 or f32.
    F32(&'a [f32]),
    /// Of a matrix of f64.
    F64(&'a [f64]),
}

/// Elements in the type of the file: the rows at hand, and all of a matrix in Fortran order.
#[derive(Debug)]
struct Values<T> {
    block: Vec<T>,
    columns: Vec<T>,
}

impl<T: Element> Values<T> {
    const fn new() -> Self {
        Self { block: Vec::new(), columns: Vec::new() }
    }

    /// Makes `block` the `count` rows from `first` on.
    fn load<R: Read>(
        &mut self,
        data: &mut Data<R>,
        shape: &Shape,
        first: usize,
        count: usize,
    ) -> Result<(), Cause> {
        let len = shape.elements(count)?;
        if !shape.columns {
            return data.fill(&mut self.block, len, shape.order);
        }
        if self.columns.is_empty() {
            let all = usize::try_from(shape.rows).map_err(|_| Cause::out_of_memory())?;
            data.fill(&mut self.columns, shape.elements(all)?, shape.order)?;
        }
        if self.block.len() < len {
            self.block.try_reserve(len).map_err(|_| Cause::out_of_memory())?;
            self.block.resize(len, T::default());
        }
        let rows = usize::try_from(shape.rows).unwrap_or(usize::MAX);
        let block = self.block.get_mut(..len).unwrap_or_default();
        for (c, column) in self.columns.chunks_exact(rows).enumerate() {
            let from = column.get(first..).unwrap_or_default().iter().take(count);
            // One column of the block, written with stride `dim`.
            let to = block.get_mut(c..).unwrap_or_default().iter_mut().step_by(shape.dim);
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn row(&self, dim: usize, index: usize) -> &[T] {
        self.block.chunks_exact(dim).nth(index).unwrap_or_default()
    }
}

#[derive(Debug)]
enum Block {
    F16(Values<f16>, Vec<f32>),
    F32(Values<f32>),
    F64(Values<f64>),
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: u64,
    dim: usize,
    order: Order,
    /// Whether the data goes column by column, and this makes a difference.
    columns: bool,
}

impl Shape {
    /// `rows * dim`, known to be no more than the 64-bit size of the data.
    fn elements(&self, rows: usize) -> Result<usize, Cause> {
        rows.checked_mul(self.dim).ok_or_else(Cause::out_of_memory)
    }
}

/// A matrix (rows, dim) of f16, f32 or f64, either byte order, C or Fortran order, handed out row by row.
///
/// In C order memory is bounded by 256 KiB or two rows, whatever the number of rows. Fortran order needs the whole data
/// before the first row is complete. Either way memory grows only as bytes arrive.
///
/// ```
/// use bitwire::io::npy::{MatrixReader, Row, write_matrix_f32};
///
/// let mut file = Vec::new();
/// write_matrix_f32(&mut file, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let mut matrix = MatrixReader::new(&file[..])?;
/// assert_eq!((matrix.rows(), matrix.dim()), (2, 3));
/// assert_eq!(matrix.next_row()?, Some(Row::F32(&[1.0, 2.0, 3.0])));
/// assert_eq!(matrix.next_row()?, Some(Row::F32(&[4.0, 5.0, 6.0])));
/// assert_eq!(matrix.next_row()?, None);
/// # Ok::<(), bitwire::io::Cause>(())
/// ```
#[derive(Debug)]
pub struct MatrixReader<R> {
    data: Data<R>,
    header: Header,
    shape: Shape,
    block: Block,
    /// Rows not yet loaded.
    left: u64,
    /// Rows of the block, and the next of them to hand out.
    loaded: usize,
    next: usize,
    finished: bool,
}

impl MatrixReader<File> {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`MatrixReader::new`], or those of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let open = || Self::new(File::open(&path)?);
        open().map_err(|cause: Cause| cause.at(&path))
    }
}

impl<R: Read> MatrixReader<R> {
    /// Reads the header. No buffering of `reader` is needed.
    ///
    /// # Errors
    /// As [`Header::parse`]; [`ErrorKind::NpyType`] if the elements are not f16, f32 or f64, [`ErrorKind::NpyDims`] if
    /// the array has not two dimensions.
    pub fn new(mut reader: R) -> Result<Self, Cause> {
        let header = Header::read(&mut reader)?;
        let block = match header.dtype() {
            Dtype::F16 => Block::F16(Values::new(), Vec::new()),
            Dtype::F32 => Block::F32(Values::new()),
            Dtype::F64 => Block::F64(Values::new()),
            _ => return Err(header.unfit_type("f2, f4 or f8").into()),
        };
        let &[rows, columns] = header.shape() else {
            return Err(header.unfit_dims("a matrix (rows, dim)").into());
        };
        let too_wide = header.at_shape(Error::caller(ErrorKind::Size { field: "a row" }));
        let dim = usize::try_from(columns).map_err(|_| too_wide)?;
        let columns = header.fortran_order() && rows > 1 && dim > 1;
        let shape = Shape { rows, dim, order: header.order(), columns };
        let data = Data::new(reader, &header);
        // Without columns there is nothing to hand out, however many rows the header claims.
        let left = if dim == 0 { 0 } else { rows };
        Ok(Self { data, header, shape, block, left, loaded: 0, next: 0, finished: false })
    }

    /// The number of rows; may be 0.
    pub const fn rows(&self) -> u64 {
        self.shape.rows
    }

    /// The number of columns; may be 0, in which case no row is handed out.
    pub const fn dim(&self) -> usize {
        self.shape.dim
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next row, or `None` after the last once the file has been seen to end there.
    ///
    /// After an error there are no more rows.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the data is shorter than the shape says (at the data's start, in a step of up to
    /// 128 KiB before the place), [`ErrorKind::TrailingBytes`] if it is longer (counted up to 128 KiB), or the reader's.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Cause> {
        if !self.fetch()? {
            return Ok(None);
        }
        let (dim, index) = (self.shape.dim, self.next);
        self.next = self.next.saturating_add(1);
        Ok(Some(match &self.block {
            Block::F16(_, wide) => Row::F32(wide.chunks_exact(dim).nth(index).unwrap_or_default()),
            Block::F32(values) => Row::F32(values.row(dim, index)),
            Block::F64(values) => Row::F64(values.row(dim, index)),
        }))
    }

    /// Sees to it that the next row is at hand; `false` if there is none. After this a row of `dim` values has come, and
    /// is no longer a mere claim of the header.
    ///
    /// # Errors
    /// As [`next_row`](Self::next_row).
    pub(in crate::io) fn fetch(&mut self) -> Result<bool, Cause> {
        if self.next == self.loaded
            && !self.finished
            && let Err(cause) = self.load()
        {
            (self.finished, self.loaded, self.next) = (true, 0, 0);
            return Err(cause);
        }
        Ok(!self.finished)
    }

    /// The next block of rows, or the end.
    fn load(&mut self) -> Result<(), Cause> {
        if self.left == 0 {
            self.data.finish()?;
            self.finished = true;
            return Ok(());
        }
        let shape = &self.shape;
        let size = usize::try_from(self.header.dtype().size().unwrap_or(8)).unwrap_or(8);
        let row = shape.dim.saturating_mul(size).max(1);
        // A column-wise matrix is copied 16 rows at a time at least: a cache line of each column.
        let least = if shape.columns { 16 } else { 1 };
        let count = BLOCK.checked_div(row).unwrap_or(0).max(least);
        let count = usize::try_from(self.left).map_or(count, |left| left.min(count));
        let first = usize::try_from(shape.rows.saturating_sub(self.left)).unwrap_or(usize::MAX);
        let (data, loaded) = (&mut self.data, count);
        match &mut self.block {
            Block::F16(values, wide) => {
                values.load(data, shape, first, count)?;
                let len = shape.elements(count)?;
                if wide.len() < len {
                    wide.try_reserve(len).map_err(|_| Cause::out_of_memory())?;
                    wide.resize(len, 0.0);
                }
                let from = values.block.get(..len).unwrap_or_default();
                let to = wide.get_mut(..len).unwrap_or_default();
                from.convert_to_f32_slice(to);
            }
            Block::F32(values) => values.load(data, shape, first, count)?,
            Block::F64(values) => values.load(data, shape, first, count)?,
        }
        self.left = self.left.saturating_sub(count as u64);
        (self.loaded, self.next) = (loaded, 0);
        Ok(())
    }
}

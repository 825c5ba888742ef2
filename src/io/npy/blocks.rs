//! Arrays of two or more dimensions as blocks.
#![deny(clippy::arithmetic_side_effects)]

use super::{Data, Dtype, Header, MAX_DIMS, Order};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "mmap")]
use crate::io::Map;
use crate::io::{Cause, FileError};
use crate::mirror::{BlockSource, Blocks, Scalar, Shape};
use crate::wire;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::vec::Vec;

/// Elements of one side of the square that is transposed at once: 16 f32 are a cache line of each column.
const TILE: usize = 16;

/// An array (blocks, ...) of a .npy file as blocks: the first dimension counts them, the others together, in
/// C order, are the elements of one. `B` holds the bytes: `&[u8]`, `Vec<u8>`, a map of the file.
///
/// f32 and f16 say what they are. bfloat16 does not (ml_dtypes writes it as `V2`, two bytes of no meaning),
/// and integers have no step: the caller has to say that an array of `V2` is [`Scalar::Bf16`], or one of `i2`
/// [`Scalar::Mu16`]. Either byte order, C and Fortran order; blocks that are little-endian and in C order are
/// lent, not copied, however they are aligned.
///
/// ```
/// use bitwire::io::npy::{NpyBlocks, write_blocks};
/// use bitwire::mirror::{BlockSource, Blocks, Scalar, Shape};
///
/// let bytes = [0; 48];
/// let blocks = Blocks::new(Shape::new(Scalar::F16, 2, 12)?, &bytes)?;
/// let mut file = Vec::new();
/// write_blocks(&mut file, &[2, 3, 4], &blocks)?;
/// let array = NpyBlocks::parse(&file[..], None)?;
/// assert_eq!(array.dims(), [2, 3, 4]);
/// assert_eq!(array.borrowed(), Some(blocks));
/// # Ok::<(), bitwire::io::Cause>(())
/// ```
#[derive(Clone)]
pub struct NpyBlocks<B> {
    header: Header,
    shape: Shape,
    bytes: B,
    /// Where in `bytes` the data starts.
    start: usize,
}

impl<B> core::fmt::Debug for NpyBlocks<B> {
    /// The header, not the data.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NpyBlocks").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> NpyBlocks<B> {
    /// The array of a whole file in memory. `scalar` is the type it has to have; `None` stands for f32 or
    /// f16, as the file says.
    ///
    /// # Errors
    /// As [`Header::parse`]; [`ErrorKind::NpyType`] for another type; [`ErrorKind::BlockDims`] below two
    /// dimensions, and the other errors of [`Shape::from_dims`]; [`ErrorKind::Truncated`] (at the data's
    /// start) if the data is shorter than the shape says, [`ErrorKind::TrailingBytes`] if it is longer.
    pub fn parse(bytes: B, scalar: Option<Scalar>) -> Result<Self> {
        let file = bytes.as_ref();
        let header = Header::parse(file)?;
        let shape = judge(&header, scalar)?;
        let mut reader = wire::Reader::new(file, 0);
        reader.take("the .npy header", header.data_offset())?;
        reader.take("the array's data", header.data_len())?;
        match reader.rest().len() as u64 {
            0 => {}
            count => return Err(Error::new(ErrorKind::TrailingBytes { count }, reader.offset())),
        }
        // The header is in memory, so its length fits.
        let start = usize::try_from(header.data_offset()).unwrap_or(usize::MAX);
        Ok(Self { header, shape, bytes, start })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The dimensions as the file has them, for a writer that is to give the same back.
    #[must_use]
    pub fn dims(&self) -> &[u64] {
        self.header.shape()
    }

    /// The data as it stands in the file.
    fn data(&self) -> &[u8] {
        let rest = self.bytes.as_ref().get(self.start..);
        rest.and_then(|rest| rest.get(..self.shape.len())).unwrap_or_default()
    }

    /// Whether the elements stand in C order, as they do in Fortran order too where only one dimension
    /// counts.
    fn in_c_order(&self) -> bool {
        let long = self.dims().iter().filter(|&&dim| dim > 1).count();
        !self.header.fortran_order() || self.shape.is_empty() || long <= 1
    }
}

impl NpyBlocks<Vec<u8>> {
    /// Reads an array. The header is judged before the data is read, and memory grows as bytes arrive, at
    /// most to twice what is there: a header that lies costs 128 KiB.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), trailing bytes being counted up to 128 KiB; or the reader's own.
    pub fn read(mut reader: impl Read, scalar: Option<Scalar>) -> Result<Self, Cause> {
        let header = Header::read(&mut reader)?;
        let shape = judge(&header, scalar)?;
        let mut data = Data::new(reader, &header);
        let mut bytes = Vec::<u8>::new();
        data.fill(&mut bytes, shape.len(), Order::Little)?;
        data.finish()?;
        Ok(Self { header, shape, bytes, start: 0 })
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), or those of the operating system.
    pub fn open(path: impl AsRef<Path>, scalar: Option<Scalar>) -> Result<Self, FileError> {
        let open = || Self::read(File::open(&path)?, scalar);
        open().map_err(|cause: Cause| cause.at(&path))
    }
}

#[cfg(feature = "mmap")]
impl NpyBlocks<Map> {
    /// Maps the file at `path` into memory. What [`Map::new`] says of files that change meanwhile goes for
    /// it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or those of the operating system.
    pub fn map(path: impl AsRef<Path>, scalar: Option<Scalar>) -> Result<Self, FileError> {
        let map = || Ok(Self::parse(Map::new(&File::open(&path)?)?, scalar)?);
        map().map_err(|cause: Cause| cause.at(&path))
    }
}

/// What blocks an array holds, if it holds any.
fn judge(header: &Header, scalar: Option<Scalar>) -> Result<Shape> {
    let scalar = match (scalar, header.dtype()) {
        (None | Some(Scalar::F32), Dtype::F32) => Scalar::F32,
        (None | Some(Scalar::F16), Dtype::F16) => Scalar::F16,
        (Some(Scalar::Bf16), Dtype::V2) => Scalar::Bf16,
        (Some(Scalar::Mu16(step)), Dtype::I16) => Scalar::Mu16(step),
        (scalar, _) => {
            return Err(header.unfit_type(match scalar {
                None => "f4 or f2 (V2 if it is said to be bf16, i2 with a step)",
                Some(Scalar::F32) => "f4",
                Some(Scalar::F16) => "f2",
                Some(Scalar::Bf16) => "V2, as ml_dtypes writes bfloat16",
                Some(Scalar::Mu16(_)) => "i2",
            }));
        }
    };
    Shape::from_dims(scalar, header.shape()).map_err(|error| header.at_shape(error))
}

impl<B: AsRef<[u8]>> BlockSource for NpyBlocks<B> {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn borrowed(&self) -> Option<Blocks<'_>> {
        if self.header.order() == Order::Big || !self.in_c_order() {
            return None;
        }
        Blocks::new(self.shape, self.data()).ok()
    }

    /// Cost: a copy; in big-endian order a second pass over it, in Fortran order one by squares of 16 x 16
    /// elements.
    fn copy_into(&self, out: &mut [u8]) -> Result<()> {
        self.shape.check_out(out)?;
        // Holds unless the bytes have changed their length since they were parsed.
        let data = Blocks::new(self.shape, self.data())?.as_bytes();
        let (wide, swap) = (self.shape.scalar().size() == 4, self.header.order() == Order::Big);
        if self.in_c_order() {
            out.copy_from_slice(data);
        } else if wide {
            transpose::<4>(data, out, self.dims());
        } else {
            transpose::<2>(data, out, self.dims());
        }
        if swap && wide {
            out.as_chunks_mut::<4>().0.iter_mut().for_each(|element| element.reverse());
        } else if swap {
            out.as_chunks_mut::<2>().0.iter_mut().for_each(|element| element.reverse());
        }
        Ok(())
    }
}

/// From Fortran order to C order: reverses the order of all dimensions, none of which is 0.
///
/// With n blocks and last dimension m, the elements of one setting of the dimensions between are an m x n
/// matrix that becomes n x m; those settings are gone through as they lie in `from`, the first dimension
/// fastest.
fn transpose<const N: usize>(from: &[u8], to: &mut [u8], dims: &[u64]) {
    let (from, to) = (from.as_chunks::<N>().0, to.as_chunks_mut::<N>().0);
    // A dimension of 1 changes no order, and would make thin matrices; the product of all is in memory.
    let [rows, block @ ..] = dims else { return };
    let rows = usize::try_from(*rows).unwrap_or(usize::MAX);
    let mut long = [1; MAX_DIMS];
    let lengths = block.iter().filter(|&&dim| dim > 1).map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX));
    let count = long.iter_mut().zip(lengths).map(|(to, length)| *to = length).count();
    let Some((&mut last, middle)) = long.get_mut(..count).and_then(|long| long.split_last_mut()) else {
        // Blocks of one element: one dimension counts, and the caller has copied it.
        return;
    };
    let matrices = middle.iter().fold(1usize, |product, &dim| product.saturating_mul(dim));
    let dim = matrices.saturating_mul(last);
    let stride = matrices.saturating_mul(rows);
    // The index of each dimension between, its length, and its step in a block in C order.
    let mut places = [(0usize, 1usize, 0usize); MAX_DIMS];
    let mut step = last;
    for (place, &mut length) in places.iter_mut().zip(&mut *middle).rev() {
        *place = (0, length, step);
        step = step.saturating_mul(length);
    }
    let places = places.get_mut(..middle.len()).unwrap_or_default();
    let mut start = 0usize;
    for matrix in 0..matrices {
        let from = from.get(matrix.saturating_mul(rows)..).unwrap_or_default();
        let to = to.get_mut(start..).unwrap_or_default();
        for first_row in (0..rows).step_by(TILE) {
            for column in (0..last).step_by(TILE) {
                let columns = last.saturating_sub(column).min(TILE);
                for row in first_row..first_row.saturating_add(TILE).min(rows) {
                    let from = from.get(column.saturating_mul(stride).saturating_add(row)..);
                    let to = to.get_mut(row.saturating_mul(dim).saturating_add(column)..);
                    let (Some(from), Some(to)) = (from, to) else { return };
                    to.iter_mut()
                        .take(columns)
                        .zip(from.iter().step_by(stride))
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
        for (index, length, step) in places.iter_mut() {
            *index = index.saturating_add(1);
            start = start.saturating_add(*step);
            if *index < *length {
                break;
            }
            *index = 0;
            start = start.saturating_sub(step.saturating_mul(*length));
        }
    }
}

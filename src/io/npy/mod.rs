//! NumPy .npy files: the header of any array, matrices of floats row by row, blocks of two or more
//! dimensions, and writers.
//!
//! Source: the format's description in NumPy's `numpy.lib.format` (versions 1.0, 2.0 and 3.0). The header is
//! the text of a Python dictionary; it is parsed by hand and strictly, as NumPy writes it: no expression is
//! evaluated, and a type that could carry a pickle (`|O`) is no more than an unfit type.

mod blocks;
mod data;
mod header;
mod matrix;
mod write;

pub use blocks::NpyBlocks;
pub(super) use data::{Data, Element};
#[cfg(feature = "npz")]
pub(crate) use data::{read_floats, read_scalar};
pub use header::{Dtype, Header, MAGIC, MAX_DIMS, MAX_HEADER, Order};
pub use matrix::{MatrixReader, Row};
pub use write::{
    ArrayWriter, write_array_bytes, write_array_f32, write_array_f64, write_blocks, write_matrix_f32,
    write_matrix_f64,
};

/// Bytes handed out between two reads. Large enough that a system call costs little, small enough to stay in
/// the cache.
const BLOCK: usize = 128 << 10;

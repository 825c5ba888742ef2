//! Writers: byte for byte what `numpy.save` writes.
#![deny(clippy::arithmetic_side_effects)]

use super::header::DIMS_NEEDED;
use super::{Dtype, MAGIC, MAX_DIMS};
use crate::error::{Error, ErrorKind, Result};
use crate::io::Cause;
use crate::mirror::{Blocks, Scalar, Shape};
use crate::wire;
use byteorder::{ByteOrder, LittleEndian};
use std::io::Write;
use std::vec::Vec;
use zerocopy::IntoBytes;

/// The header NumPy itself would write for an array in C order: version 1.0, 21 places kept free for the
/// first dimension to grow into, and the data at a multiple of 64.
fn header_bytes(descr: &str, shape: &[u64]) -> Vec<u8> {
    use std::fmt::Write as _;
    use std::string::String;

    // Writing to a String cannot fail.
    let mut text = String::with_capacity(128);
    let _ = write!(text, "{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for (i, dim) in shape.iter().enumerate() {
        let _ = write!(text, "{}{dim}", if i == 0 { "" } else { ", " });
    }
    text.push_str(if shape.len() == 1 { ",), }" } else { "), }" });
    if let Some(first) = shape.first() {
        let digits = first.checked_ilog10().unwrap_or(0).saturating_add(1);
        text.extend(core::iter::repeat_n(' ', usize::try_from(21u32.saturating_sub(digits)).unwrap_or(0)));
    }
    // NumPy pads by 1 to 64, so that a text that fits exactly still gets 64 spaces.
    let before_padding = text.len().saturating_add(11);
    let padding = 64usize.saturating_sub(before_padding % 64);
    text.extend(core::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut bytes = Vec::with_capacity(text.len().saturating_add(10));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    // At most eight dimensions of 20 digits: far below 65,535.
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn check_dims(dims: &[u64]) -> Result<()> {
    if dims.len() > MAX_DIMS {
        let found = u32::try_from(dims.len()).unwrap_or(u32::MAX);
        return Err(Error::caller(ErrorKind::NpyDims { needed: DIMS_NEEDED, found }));
    }
    Ok(())
}

const WRONG_LENGTH: ErrorKind =
    ErrorKind::Argument { expected: "the number of values has to be the product of the array's dimensions" };

/// Checks that `shape` is the shape of `len` elements of `size` bytes.
fn check_shape(shape: &[u64], len: usize, size: usize) -> Result<()> {
    check_dims(shape)?;
    let elements = wire::size("the array", 0, shape)?;
    wire::size("the array", 0, &[elements, size as u64])?;
    if elements != len as u64 {
        return Err(Error::caller(WRONG_LENGTH));
    }
    Ok(())
}

macro_rules! writers {
    ($ty:ty, $descr:literal, $array:ident, $matrix:ident, $write_into:ident) => {
        /// Writes an array in C order, little-endian, byte for byte as `numpy.save` does.
        ///
        /// An empty `shape` is a single value. Unbuffered: the header and the data are one `write_all` each
        /// (on a big-endian machine one for every 16 KiB).
        ///
        /// # Errors
        /// [`ErrorKind::Argument`] if `values` has not as many values as `shape` says, [`ErrorKind::NpyDims`]
        /// over [`MAX_DIMS`] dimensions, or the writer's own.
        pub fn $array(mut writer: impl Write, shape: &[u64], values: &[$ty]) -> Result<(), Cause> {
            check_shape(shape, values.len(), size_of::<$ty>())?;
            writer.write_all(&header_bytes($descr, shape))?;
            if cfg!(target_endian = "little") {
                writer.write_all(values.as_bytes())?;
            } else {
                const STAGE: usize = 16 << 10;
                let mut bytes = [0; STAGE];
                for chunk in values.chunks(const { STAGE / size_of::<$ty>() }) {
                    let to = bytes.get_mut(..size_of_val(chunk)).unwrap_or_default();
                    LittleEndian::$write_into(chunk, to);
                    writer.write_all(to)?;
                }
            }
            Ok(())
        }

        /// Writes a matrix (rows, dim), row by row.
        ///
        /// # Errors
        /// As
        #[doc = concat!("[`", stringify!($array), "`].")]
        pub fn $matrix(writer: impl Write, rows: usize, dim: usize, values: &[$ty]) -> Result<(), Cause> {
            $array(writer, &[rows as u64, dim as u64], values)
        }
    };
}
writers!(f32, "<f4", write_array_f32, write_matrix_f32, write_f32_into);
writers!(f64, "<f8", write_array_f64, write_matrix_f64, write_f64_into);

/// Writes blocks as an array of dimensions `dims` in C order, little-endian, byte for byte as `numpy.save`
/// does.
///
/// The first of `dims` counts the blocks, the others multiply to a block's elements. f32 is `<f4`, f16 `<f2`,
/// i16 `<i2` (the step is not written), and bf16 `<V2`, as ml_dtypes writes it: `numpy.load` gives two bytes
/// of no meaning, to be seen as bfloat16 by `array.view(ml_dtypes.bfloat16)`. Unbuffered: the header and the
/// data are one `write_all` each.
///
/// # Errors
/// [`ErrorKind::Argument`] if `dims` is not a shape of these blocks, [`ErrorKind::NpyDims`] over [`MAX_DIMS`]
/// dimensions, as [`Shape::from_dims`], or the writer's own.
pub fn write_blocks(mut writer: impl Write, dims: &[u64], blocks: &Blocks<'_>) -> Result<(), Cause> {
    check_dims(dims)?;
    let scalar = blocks.shape().scalar();
    if Shape::from_dims(scalar, dims)? != *blocks.shape() {
        let expected = "the dimensions have to be the number of blocks and those of a block";
        return Err(Error::caller(ErrorKind::Argument { expected }).into());
    }
    let descr = match scalar {
        Scalar::F32 => "<f4",
        Scalar::F16 => "<f2",
        Scalar::Bf16 => "<V2",
        Scalar::Mu16(_) => "<i2",
    };
    writer.write_all(&header_bytes(descr, dims))?;
    writer.write_all(blocks.as_bytes())?;
    Ok(())
}

/// Writes an array in C order whose elements are bytes already, little-endian, byte for byte as `numpy.save` does.
///
/// # Errors
/// [`ErrorKind::Argument`] for [`Dtype::Other`], or if `bytes` has another length than `shape` says;
/// [`ErrorKind::NpyDims`] over [`MAX_DIMS`] dimensions; or the writer's own.
pub fn write_array_bytes(
    mut writer: impl Write,
    dtype: Dtype,
    shape: &[u64],
    bytes: &[u8],
) -> Result<(), Cause> {
    let (descr, size) = described(dtype)?;
    let whole = bytes.len().is_multiple_of(size);
    let len = bytes.len().checked_div(size).filter(|_| whole).unwrap_or(usize::MAX);
    check_shape(shape, len, size)?;
    writer.write_all(&header_bytes(descr, shape))?;
    writer.write_all(bytes)?;
    Ok(())
}

/// An array in C order that is written piece by piece, byte for byte as `numpy.save` writes it: for arrays
/// larger than memory.
///
/// ```
/// use bitwire::io::npy::{ArrayWriter, Dtype};
///
/// let mut file = ArrayWriter::new(Vec::new(), Dtype::U8, &[2, 3])?;
/// file.write(&[1, 2, 3])?;
/// file.write(&[4, 5, 6])?;
/// assert_eq!(file.finish()?.len(), 128 + 6);
/// # Ok::<(), bitwire::io::Cause>(())
/// ```
#[derive(Debug)]
pub struct ArrayWriter<W> {
    writer: W,
    left: u64,
}

impl<W: Write> ArrayWriter<W> {
    /// Writes the header. `writer` had better be buffered if pieces are small.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for [`Dtype::Other`]; [`ErrorKind::NpyDims`] over [`MAX_DIMS`] dimensions;
    /// [`ErrorKind::Size`] if the array is over 64 bits; or the writer's own.
    pub fn new(mut writer: W, dtype: Dtype, shape: &[u64]) -> Result<Self, Cause> {
        let (descr, size) = described(dtype)?;
        check_dims(shape)?;
        let elements = wire::size("the array", 0, shape)?;
        let left = wire::size("the array", 0, &[elements, size as u64])?;
        writer.write_all(&header_bytes(descr, shape))?;
        Ok(Self { writer, left })
    }

    /// The next bytes: elements, little-endian.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if they are more than are left, and none is written then; or the writer's own.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(Error::caller(WRONG_LENGTH))?;
        Ok(self.writer.write_all(bytes)?)
    }

    /// Checks that all was written, and gives back the writer, which is not flushed.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if bytes are missing.
    pub fn finish(self) -> Result<W, Cause> {
        if self.left > 0 {
            return Err(Error::caller(WRONG_LENGTH).into());
        }
        Ok(self.writer)
    }
}

/// NumPy's spelling of a type, and the size of an element.
fn described(dtype: Dtype) -> Result<(&'static str, usize)> {
    let unknown = Error::caller(ErrorKind::Argument { expected: "an element type of a known size" });
    Ok(match dtype {
        Dtype::I8 => ("|i1", 1),
        Dtype::U8 => ("|u1", 1),
        Dtype::F16 => ("<f2", 2),
        Dtype::I16 => ("<i2", 2),
        Dtype::U16 => ("<u2", 2),
        Dtype::V2 => ("<V2", 2),
        Dtype::F32 => ("<f4", 4),
        Dtype::I32 => ("<i4", 4),
        Dtype::U32 => ("<u4", 4),
        Dtype::F64 => ("<f8", 8),
        Dtype::I64 => ("<i8", 8),
        Dtype::U64 => ("<u8", 8),
        Dtype::Other => return Err(unknown),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn an_array_in_pieces_is_the_array_as_a_whole() {
        let bytes: Vec<u8> = (0..24).collect();
        for (dtype, shape) in
            [(Dtype::U8, &[2, 12][..]), (Dtype::F32, &[2, 3]), (Dtype::F64, &[3]), (Dtype::I16, &[12, 1])]
        {
            let mut whole = Vec::new();
            write_array_bytes(&mut whole, dtype, shape, &bytes).unwrap();
            for piece in [1, 7, 24] {
                let mut file = ArrayWriter::new(Vec::new(), dtype, shape).unwrap();
                bytes.chunks(piece).for_each(|piece| file.write(piece).unwrap());
                assert_eq!(file.finish().unwrap(), whole);
            }
        }
    }

    #[test]
    fn too_much_or_too_little_is_refused() {
        let new = |shape| ArrayWriter::new(Vec::new(), Dtype::F32, shape);
        let refused =
            |cause: Result<(), Cause>, expected: &str| assert_eq!(cause.unwrap_err().to_string(), expected);
        let expected = "the number of values has to be the product of the array's dimensions";
        refused(new(&[2]).unwrap().write(&[0; 9]), expected);
        let mut file = new(&[2]).unwrap();
        file.write(&[0; 7]).unwrap();
        refused(file.finish().map(drop), expected);
        assert_eq!(new(&[0, 5]).unwrap().finish().unwrap().len(), 128);
        assert!(new(&[1 << 62]).is_err() && new(&[1; 9]).is_err());
        let other = ArrayWriter::new(Vec::new(), Dtype::Other, &[1]).map(drop);
        refused(other, "an element type of a known size");
    }
}

//! .npy files.

use alloc::vec;
use alloc::vec::Vec;
use std::io::{self, Read};

use half::f16;

use super::mend::fit_data;
use super::{plausible, printable};
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind};
use crate::io::Cause;
use crate::io::npy::{
    Dtype, Header, MAX_DIMS, MatrixReader, NpyBlocks, Order, Row, write_blocks, write_matrix_f32,
    write_matrix_f64,
};
use crate::mirror::{BlockSource, Blocks, Scalar};

/// A matrix as read: rows, dim, and the bits of its values, rows of f32 or f64.
#[derive(Debug, PartialEq)]
struct Matrix {
    rows: u64,
    dim: usize,
    wide: bool,
    values: Vec<u64>,
}

fn read(reader: impl Read) -> Result<Matrix, Error> {
    let format = |cause| match cause {
        Cause::Format(error) => error,
        other => panic!("{other:?}"),
    };
    let mut matrix = MatrixReader::new(reader).map_err(format)?;
    let (rows, dim) = (matrix.rows(), matrix.dim());
    let (mut values, mut wide) = (Vec::new(), false);
    let mut count = 0;
    loop {
        match matrix.next_row() {
            Ok(Some(row)) => match row {
                Row::F32(row) => values.extend(row.iter().map(|x| u64::from(x.to_bits()))),
                Row::F64(row) => {
                    wide = true;
                    values.extend(row.iter().map(|x| x.to_bits()));
                }
            },
            Ok(None) => break,
            Err(cause) => {
                assert!(matches!(matrix.next_row(), Ok(None)), "a row after an error");
                return Err(format(cause));
            }
        }
        count += 1;
        assert_eq!(values.len(), count * dim);
    }
    assert!(matches!(matrix.next_row(), Ok(None)));
    assert!(count as u64 == rows || dim == 0);
    Ok(Matrix { rows, dim, wide, values })
}

/// Hands out so many bytes at a time, with an interruption before each.
struct Trickle<'a>(&'a [u8], usize, bool);

impl Read for Trickle<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.2 = !self.2;
        if self.2 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = to.len().min(self.1);
        self.0.read(&mut to[..len])
    }
}

/// [`Header`], [`MatrixReader`] and [`NpyBlocks`]: pieces give what the whole gives, the values are those of the bytes at the places the
/// header says, and written again they are the same.
pub fn npy(data: &[u8]) {
    let mut bytes = data.to_vec();
    for _ in 0..4 {
        let result = read(&bytes[..]);
        blocks(&bytes);
        let piece = bytes.iter().fold(0, |sum, byte| usize::from(*byte) + sum) % 300 + 1;
        for piece in [piece, 1] {
            assert_eq!(read(Trickle(&bytes, piece, false)), result);
        }
        match Header::parse(&bytes) {
            Ok(header) => {
                assert!(header.shape().len() <= MAX_DIMS && header.data_offset() <= bytes.len() as u64);
                printable(&header.descr());
                if let Ok(matrix) = &result {
                    values_are_the_bytes(&header, &bytes, matrix);
                    writes_again(matrix);
                    return;
                }
            }
            Err(error) => assert_eq!(result.as_ref().unwrap_err(), &error),
        }
        let error = result.unwrap_err();
        if let ErrorKind::TrailingBytes { count } = error.kind() {
            assert!(count > 0);
        }
        plausible(&error, bytes.len());
        if mend(&mut bytes, error).is_none() {
            return;
        }
    }
}

/// Blocks of any type: of memory as of a stream, each element the one at its place, and written again they are the same.
fn blocks(bytes: &[u8]) {
    let step = Step::new(1).unwrap();
    let mut accepted = 0;
    for scalar in [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::Mu16(step)] {
        let array = NpyBlocks::parse(bytes, Some(scalar));
        match (&array, NpyBlocks::read(bytes, Some(scalar))) {
            (Ok(array), Ok(read)) => assert_eq!(copied(array), copied(&read)),
            (Err(error), Err(Cause::Format(again))) => match error.kind() {
                // A stream is not read to its end, and its errors are found in steps.
                ErrorKind::TrailingBytes { .. } | ErrorKind::Truncated { .. } => {
                    assert_eq!(error.offset(), again.offset());
                }
                _ => assert_eq!(*error, again),
            },
            both => panic!("{both:?}"),
        }
        let unnamed = NpyBlocks::parse(bytes, None);
        let array = match array {
            Ok(array) => array,
            Err(error) => {
                plausible(&error, bytes.len());
                continue;
            }
        };
        accepted += 1;
        assert_eq!(unnamed.is_ok(), matches!(scalar, Scalar::F32 | Scalar::F16));
        let (header, shape, out) = (array.header(), array.shape(), copied(&array));
        let data = &bytes[usize::try_from(header.data_offset()).unwrap()..];
        assert_eq!(data.len(), out.len());
        if let Some(lent) = array.borrowed() {
            assert_eq!(lent.as_bytes(), data);
            assert_eq!(out, data);
        }
        let dims: Vec<usize> = array.dims().iter().map(|dim| usize::try_from(*dim).unwrap()).collect();
        for (place, element) in out.chunks(shape.scalar().size()).enumerate() {
            let mut at = place;
            if header.fortran_order() {
                let (mut rest, mut stride) = (place, out.len() / element.len());
                at = 0;
                for dim in dims.iter().rev() {
                    stride /= dim;
                    at += rest % dim * stride;
                    rest /= dim;
                }
            }
            let mut original = data[at * element.len()..][..element.len()].to_vec();
            if header.order() == Order::Big {
                original.reverse();
            }
            assert_eq!(element, original);
        }
        let mut file = Vec::new();
        write_blocks(&mut file, array.dims(), &Blocks::new(shape, &out).unwrap()).unwrap();
        let again = NpyBlocks::parse(&file[..], Some(scalar)).unwrap();
        assert_eq!((again.dims(), again.borrowed().unwrap().as_bytes()), (array.dims(), &out[..]));
    }
    assert!(accepted <= 1, "one array is blocks of two types");
}

fn copied(source: &impl BlockSource) -> Vec<u8> {
    let mut out = vec![0; source.shape().len()];
    source.copy_into(&mut out).unwrap();
    out
}

/// Gives the data the length that the error asks for, and the header's text what the file holds.
fn mend(bytes: &mut Vec<u8>, error: Error) -> Option<()> {
    match error.kind() {
        ErrorKind::Truncated { field: "the array's data", .. } | ErrorKind::TrailingBytes { .. } => {
            fit_data(bytes, &error)?;
        }
        ErrorKind::Truncated { field: "the .npy header's text", available, .. } => {
            let len = u16::try_from(available).ok()?;
            bytes.get_mut(8..10)?.copy_from_slice(&len.to_le_bytes());
            // 32 bits in later versions.
            if bytes[6] > 1 {
                bytes.get_mut(10..12)?.fill(0);
            }
        }
        _ => return None,
    }
    Some(())
}

fn values_are_the_bytes(header: &Header, bytes: &[u8], matrix: &Matrix) {
    let &[rows, dim] = header.shape() else { panic!("{header:?}") };
    assert_eq!((matrix.rows, matrix.dim as u64), (rows, dim));
    let data = &bytes[usize::try_from(header.data_offset()).unwrap()..];
    assert_eq!(data.len() as u64, header.data_len());
    assert_eq!(matrix.values.len() as u64, if dim == 0 { 0 } else { rows * dim });
    let size = usize::try_from(header.dtype().size().unwrap()).unwrap();
    let (rows, dim) = (usize::try_from(rows).unwrap_or(0), matrix.dim);
    for (i, value) in matrix.values.iter().enumerate() {
        let (row, column) = (i / dim, i % dim);
        let place = if header.fortran_order() { column * rows + row } else { i };
        let mut element = data[place * size..][..size].to_vec();
        if header.order() == Order::Big {
            element.reverse();
        }
        match header.dtype() {
            Dtype::F16 => {
                let half = f16::from_le_bytes(*element.first_chunk().unwrap());
                let single = f32::from_bits(u32::try_from(*value).unwrap());
                // Widening makes a signalling NaN quiet.
                assert!(half.to_f32() == single || half.is_nan() && single.is_nan());
                assert_eq!(half.is_sign_negative(), single.is_sign_negative());
            }
            _ => {
                element.resize(8, 0);
                assert_eq!(*value, u64::from_le_bytes(*element.first_chunk().unwrap()));
            }
        }
    }
}

fn writes_again(matrix: &Matrix) {
    let Ok(rows) = usize::try_from(matrix.rows) else { return };
    let mut file = Vec::new();
    if matrix.wide {
        let values: Vec<f64> = matrix.values.iter().map(|bits| f64::from_bits(*bits)).collect();
        write_matrix_f64(&mut file, rows, matrix.dim, &values).unwrap();
    } else {
        let values: Vec<f32> =
            matrix.values.iter().map(|bits| f32::from_bits(u32::try_from(*bits).unwrap())).collect();
        write_matrix_f32(&mut file, rows, matrix.dim, &values).unwrap();
    }
    assert_eq!(Header::parse(&file).unwrap().data_offset() % 64, 0);
    assert_eq!(&read(&file[..]).unwrap(), matrix);
}

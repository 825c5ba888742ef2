//! The data of an array as it comes out of a reader.
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "npz")]
use super::Dtype;
use super::{BLOCK, Header, Order};
use crate::error::{Error, ErrorKind};
use crate::io::Cause;
use byteorder::{BigEndian, ByteOrder, LittleEndian};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::io::{self, Read};
use std::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A type whose elements can be read straight into memory and put into this machine's order there.
pub(in crate::io) trait Element: Copy + Default + FromBytes + IntoBytes + Immutable {
    fn to_native(order: Order, values: &mut [Self]);
}

macro_rules! element {
    ($ty:ty, $from_slice:ident, $as_words:expr) => {
        impl Element for $ty {
            fn to_native(order: Order, values: &mut [Self]) {
                match order {
                    Order::Little => LittleEndian::$from_slice($as_words(values)),
                    Order::Big => BigEndian::$from_slice($as_words(values)),
                }
            }
        }
    };
}
element!(f16, from_slice_u16, HalfFloatSliceExt::reinterpret_cast_mut);
element!(f32, from_slice_f32, core::convert::identity::<&mut [f32]>);
element!(f64, from_slice_f64, core::convert::identity::<&mut [f64]>);
element!(u16, from_slice_u16, core::convert::identity::<&mut [u16]>);
element!(u32, from_slice_u32, core::convert::identity::<&mut [u32]>);
element!(u64, from_slice_u64, core::convert::identity::<&mut [u64]>);
element!(i16, from_slice_i16, core::convert::identity::<&mut [i16]>);
element!(i32, from_slice_i32, core::convert::identity::<&mut [i32]>);
element!(i64, from_slice_i64, core::convert::identity::<&mut [i64]>);

macro_rules! single_byte {
    ($ty:ty) => {
        impl Element for $ty {
            fn to_native(_: Order, _: &mut [Self]) {}
        }
    };
}
single_byte!(u8);
single_byte!(i8);

/// The data of one array as it comes out of a reader.
#[derive(Debug)]
pub(in crate::io) struct Data<R> {
    reader: R,
    offset: u64,
    len: u64,
    read: u64,
}

impl<R: Read> Data<R> {
    pub(in crate::io) fn new(reader: R, header: &Header) -> Self {
        Self { reader, offset: header.data_offset(), len: header.data_len(), read: 0 }
    }

    /// Makes the first `count` elements of `values` the next ones of the array.
    ///
    /// Memory grows as bytes arrive, at most to twice what is there: a header that lies costs one block.
    pub(in crate::io) fn fill<T: Element>(
        &mut self,
        values: &mut Vec<T>,
        count: usize,
        order: Order,
    ) -> Result<(), Cause> {
        let block = const { BLOCK / size_of::<T>() };
        let mut done = 0usize;
        while done < count {
            if values.len() == done {
                let step = count.saturating_sub(done).min(done.max(block));
                values.try_reserve(step).map_err(|_| Cause::out_of_memory())?;
                values.resize(done.saturating_add(step), T::default());
            }
            let len = values.len().min(count);
            let space = values.get_mut(done..len).unwrap_or_default();
            self.read_exact(space.as_mut_bytes())?;
            T::to_native(order, space);
            done = len;
        }
        Ok(())
    }

    fn read_exact(&mut self, mut bytes: &mut [u8]) -> Result<(), Cause> {
        while !bytes.is_empty() {
            match self.reader.read(bytes) {
                Ok(0) => {
                    let field = "the array's data";
                    let kind = ErrorKind::Truncated { field, needed: self.len, available: self.read };
                    return Err(Error::new(kind, self.offset).into());
                }
                Ok(n) => {
                    self.read = self.read.saturating_add(n as u64);
                    bytes = bytes.get_mut(n..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks for the end of the file, which has to be here.
    pub(in crate::io) fn finish(&mut self) -> Result<(), Cause> {
        // Counted to the end of one block only: what follows may be endless.
        let mut rest = Vec::new();
        self.reader.by_ref().take(BLOCK as u64).read_to_end(&mut rest)?;
        match rest.len() as u64 {
            0 => Ok(()),
            count => {
                let at = self.offset.saturating_add(self.len);
                Err(Error::new(ErrorKind::TrailingBytes { count }, at).into())
            }
        }
    }
}

/// All values of an array of floats as f64, once `judge` has approved of its header. Fortran order is left as it is.
#[cfg(feature = "npz")]
pub(crate) fn read_floats<R: Read>(
    mut reader: R,
    judge: impl FnOnce(&Header) -> crate::Result<()>,
) -> Result<(Header, Vec<f64>), Cause> {
    fn all<T: Element, R: Read>(data: &mut Data<R>, header: &Header) -> Result<Vec<T>, Cause> {
        let mut values = Vec::new();
        let count = usize::try_from(data.len.checked_div(size_of::<T>() as u64).unwrap_or(0));
        data.fill(&mut values, count.map_err(|_| Cause::out_of_memory())?, header.order())?;
        data.finish()?;
        Ok(values)
    }
    fn widen<T: Element + Into<f64>>(narrow: &[T]) -> Result<Vec<f64>, Cause> {
        let mut wide = Vec::new();
        wide.try_reserve_exact(narrow.len()).map_err(|_| Cause::out_of_memory())?;
        wide.extend(narrow.iter().map(|&value| value.into()));
        Ok(wide)
    }
    let header = Header::read(&mut reader)?;
    judge(&header)?;
    let mut data = Data::new(reader, &header);
    let values = match header.dtype() {
        Dtype::F16 => widen(&all::<f16, R>(&mut data, &header)?)?,
        Dtype::F32 => widen(&all::<f32, R>(&mut data, &header)?)?,
        Dtype::F64 => all::<f64, R>(&mut data, &header)?,
        _ => return Err(header.unfit_type("f2, f4 or f8").into()),
    };
    Ok((header, values))
}

/// The only value of an array of one float or integer, of any shape.
#[cfg(feature = "npz")]
pub(crate) fn read_scalar(reader: &mut dyn Read) -> Result<f64, Cause> {
    let mut reader = reader;
    let header = Header::read(&mut reader)?;
    let elements = header.shape().iter().try_fold(1u64, |n, &dim| n.checked_mul(dim)).unwrap_or(u64::MAX);
    if elements != 1 {
        return Err(header.unfit_shape("the number of values", 1, elements).into());
    }
    let size = match header.dtype() {
        Dtype::V2 => None,
        dtype => dtype.size(),
    };
    let Some(size) = size else {
        return Err(header.unfit_type("a float or an integer").into());
    };
    let mut data = Data::new(reader, &header);
    let mut bytes = [0; 8];
    let bytes = bytes.get_mut(..usize::try_from(size).unwrap_or(8)).unwrap_or_default();
    data.read_exact(bytes)?;
    data.finish()?;
    if header.order() == Order::Big {
        bytes.reverse();
    }
    let mut wide = [0; 8];
    wide.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
    let word = u64::from_le_bytes(wide);
    // The low bytes of the word are the element; the casts cut the rest off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss)]
    let integer = match header.dtype() {
        Dtype::F16 => return Ok(f16::from_bits(word as u16).into()),
        Dtype::F32 => return Ok(f32::from_bits(word as u32).into()),
        Dtype::F64 => return Ok(f64::from_bits(word)),
        Dtype::I8 => i128::from(word as i8),
        Dtype::I16 => i128::from(word as i16),
        Dtype::I32 => i128::from(word as i32),
        Dtype::I64 => i128::from(word as i64),
        _ => i128::from(word),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let value = integer as f64;
    #[allow(clippy::cast_possible_truncation)]
    if value as i128 == integer {
        Ok(value)
    } else {
        let reason = "the integer is too large for f64 to hold it exactly";
        Err(Error::new(ErrorKind::Npy { reason }, header.data_offset()).into())
    }
}

//! Memory that may not be to be had: an error, not the end of the process.

use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};

/// Makes room for `more` items behind those that are there, and for some to come.
#[inline]
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve(more).map_err(|_| out_of_memory::<T>(more))
}

/// Makes room for `more` items behind those that are there.
pub(crate) fn reserve_exact<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve_exact(more).map_err(|_| out_of_memory::<T>(more))
}

/// `len` zeros, or whatever the default is.
pub(crate) fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve_exact(&mut values, len)?;
    values.resize(len, T::default());
    Ok(values)
}

#[cold]
fn out_of_memory<T>(items: usize) -> Error {
    let needed = (items as u64).saturating_mul(size_of::<T>() as u64);
    Error::caller(ErrorKind::OutOfMemory { needed })
}

//! Memory that may not be to be had: an error, not the end of the process.

use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};

/// Makes room for `more` items behind those that are there, and for some to come.
#[inline]
pub(super) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve(more).map_err(|_| out_of_memory::<T>(more))
}

/// Makes room for `more` items behind those that are there.
pub(super) fn reserve_exact<T>(vec: &mut Vec<T>, more: usize) -> Result<()> {
    vec.try_reserve_exact(more).map_err(|_| out_of_memory::<T>(more))
}

/// `len` bytes of zeros.
pub(super) fn zeros(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reserve_exact(&mut bytes, len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

#[cold]
fn out_of_memory<T>(items: usize) -> Error {
    let needed = (items as u64).saturating_mul(size_of::<T>() as u64);
    Error::caller(ErrorKind::OutOfMemory { needed })
}

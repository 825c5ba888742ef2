//! What every parser here is made of: a bounds-checked reader, the one size function, and fixed layouts.
#![deny(clippy::arithmetic_side_effects)]

use crate::error::{Error, ErrorKind, Result};

/// The product of `factors`, in bytes.
///
/// The one place where counts are multiplied: 64-bit and checked on every target, so that no product of fields
/// can wrap (the class of CVE-2024-23605 and its three incomplete fixes).
///
/// # Errors
/// [`ErrorKind::Size`] at `offset` if it overflows 64 bits.
pub(crate) fn size(field: &'static str, offset: u64, factors: &[u64]) -> Result<u64> {
    factors
        .iter()
        .try_fold(1u64, |product, &factor| product.checked_mul(factor))
        .ok_or(Error::new(ErrorKind::Size { field }, offset))
}

/// Checks that a caller's buffer, which is `field`, has exactly the length it has to have.
///
/// # Errors
/// [`ErrorKind::BufferTooSmall`] if it is shorter, [`ErrorKind::Shape`] if it is longer.
pub(crate) fn check_len(field: &'static str, needed: u64, available: u64) -> Result<()> {
    match available.cmp(&needed) {
        core::cmp::Ordering::Less => Err(Error::caller(ErrorKind::BufferTooSmall { needed, available })),
        core::cmp::Ordering::Equal => Ok(()),
        core::cmp::Ordering::Greater => {
            Err(Error::caller(ErrorKind::Shape { field, needed, found: available }))
        }
    }
}

/// Checks that `field` number `index`, from 0, is one of `count`.
///
/// # Errors
/// [`ErrorKind::PastEnd`], which says how many would be needed.
pub(crate) fn check_index(field: &'static str, index: u32, count: u32) -> Result<()> {
    if index < count {
        return Ok(());
    }
    let (end, found) = (u64::from(count), u64::from(index).saturating_add(1));
    Err(Error::caller(ErrorKind::PastEnd { field, end, found }))
}

/// A cursor over borrowed bytes. Every read is checked; offsets count from the start of the input.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which start at `offset` of the caller's input.
    pub(crate) const fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { rest: bytes, offset }
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes; on failure nothing is consumed and the error stands where `field` starts, also where `len`
    /// is beyond the target's address space.
    pub(crate) fn take(&mut self, field: &'static str, len: u64) -> Result<&'a [u8]> {
        let split = usize::try_from(len).ok().and_then(|n| self.rest.split_at_checked(n));
        let (head, rest) = split.ok_or(self.truncated(field, len))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub(crate) fn take_array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(self.truncated(field, N as u64))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N as u64);
        Ok(head)
    }

    fn truncated(&self, field: &'static str, needed: u64) -> Error {
        let available = self.rest.len() as u64;
        Error::new(ErrorKind::Truncated { field, needed, available }, self.offset)
    }
}

/// A fixed layout: a `#[repr(C)]` struct over zerocopy's byte-order types, and its fields as a table, which a
/// test compares with the tables of spec/.
macro_rules! layout {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $( $field:ident: $ty:ty ),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout,
            zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(C)]
        $vis struct $name { $( pub(crate) $field: $ty ),+ }

        impl $name {
            /// Offset, size and name of each field.
            #[cfg(test)]
            pub(crate) const FIELDS: &'static [(usize, usize, &'static str)] = &[
                $( (core::mem::offset_of!($name, $field), core::mem::size_of::<$ty>(), stringify!($field)) ),+
            ];
        }
    };
}
pub(crate) use layout;

//! The caller's memory: what can be told of a pointer, and Rust values kept in C structs.

use core::mem::MaybeUninit;

use crate::error::Fault;

/// Checks that `len` values can stand at `ptr`: not NULL, aligned, within the address space and half of it at most.
fn check<T>(name: &'static str, ptr: *const T, len: usize) -> Result<(), Fault> {
    let size = len.checked_mul(size_of::<T>()).filter(|&size| isize::try_from(size).is_ok());
    let end = size.and_then(|size| ptr.addr().checked_add(size));
    if ptr.is_null() || !ptr.is_aligned() || end.is_none() {
        return Err(Fault::Pointer(name));
    }
    Ok(())
}

/// What the caller wants read.
///
/// # Safety
/// If `ptr` is not NULL, `len` values at `ptr` can be read and stay as they are for `'a`.
pub(crate) unsafe fn input<'a, T>(name: &'static str, ptr: *const T, len: usize) -> Result<&'a [T], Fault> {
    check(name, ptr, len)?;
    // SAFETY: not NULL, aligned and of a possible size, as checked; readable and unchanging, as the caller promises.
    Ok(unsafe { core::slice::from_raw_parts(ptr, len) })
}

/// Where the caller wants values written, all zeros: C memory may be memory that nobody wrote to. `T` is a number type.
///
/// # Safety
/// If `ptr` is not NULL, `len` values at `ptr` can be written, and nobody else uses them for `'a`.
pub(crate) unsafe fn zeroed<'a, T: Copy>(
    name: &'static str,
    ptr: *mut T,
    len: usize,
) -> Result<&'a mut [T], Fault> {
    check(name, ptr, len)?;
    // SAFETY: not NULL, aligned and of a possible size, as checked; writable, as the caller promises.
    unsafe { ptr.write_bytes(0, len) };
    // SAFETY: as above; written, and for numbers zeros are a value; ours alone, as the caller promises.
    Ok(unsafe { core::slice::from_raw_parts_mut(ptr, len) })
}

/// Writes `values` to where the caller wants them.
///
/// # Safety
/// If `ptr` is not NULL, as many values can be written there.
pub(crate) unsafe fn store<T: Copy>(name: &'static str, ptr: *mut T, values: &[T]) -> Result<(), Fault> {
    check(name, ptr, values.len())?;
    // SAFETY: not NULL, aligned and of a possible size, as checked; writable, as the caller promises. They may overlap.
    unsafe { ptr.copy_from(values.as_ptr(), values.len()) };
    Ok(())
}

/// A struct of the caller's that is to be filled: emptied at once, so that nobody who overlooks an error finds
/// in it what an earlier call left.
pub(crate) struct Slot<T>(*mut T);

impl<T: Copy> Slot<T> {
    /// # Safety
    /// If `ptr` is not NULL, a `T` at `ptr` can be written, and nobody else uses it while the slot lives.
    pub(crate) unsafe fn emptied(name: &'static str, ptr: *mut T, empty: T) -> Result<Self, Fault> {
        check(name, ptr, 1)?;
        let slot = Self(ptr);
        slot.fill(empty);
        Ok(slot)
    }

    pub(crate) fn fill(&self, value: T) {
        // SAFETY: checked by `emptied`, whose caller promised the rest.
        unsafe { self.0.write(value) }
    }
}

/// Checks that values can be written at `ptr`.
pub(crate) fn check_output<T>(name: &'static str, ptr: *mut T, len: usize) -> Result<(), Fault> {
    check(name, ptr, len)
}

/// Checks that a struct of the caller's can be read at `ptr`.
pub(crate) fn check_struct<T>(name: &'static str, ptr: *const T) -> Result<(), Fault> {
    check(name, ptr, 1)
}

/// `value` in the words that a C struct keeps for it. They are as many on every target, so that the header is one.
pub(crate) const fn pack<T: Copy, const N: usize>(value: T) -> MaybeUninit<[u64; N]> {
    const { assert!(size_of::<T>() <= size_of::<[u64; N]>() && align_of::<T>() <= align_of::<u64>()) };
    let mut words = MaybeUninit::<[u64; N]>::zeroed();
    // SAFETY: a `T` fits the words, by size and by alignment.
    unsafe { words.as_mut_ptr().cast::<T>().write(value) };
    words
}

/// The value in the words.
///
/// # Safety
/// [`pack`] made them, of a `T`.
pub(crate) unsafe fn unpack<T: Copy, const N: usize>(words: &MaybeUninit<[u64; N]>) -> T {
    // SAFETY: a `T` stands there, as the caller promises.
    unsafe { words.as_ptr().cast::<T>().read() }
}

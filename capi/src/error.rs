//! What went wrong, where, and in words.

use core::ffi::c_char;
use core::fmt::{self, Write};
use core::mem::MaybeUninit;

use bitwire::Error;

use crate::memory::{check_struct, pack, unpack, zeroed};
use crate::status::bitwire_status;

/// What went wrong, and where. Plain data: it may be copied, and borrows nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bitwire_error {
    /// The same number that the call returned.
    pub status: bitwire_status,
    /// Whether `offset` is a place in the bytes; mistakes in arguments have none.
    pub has_offset: bool,
    /// The first byte of the offending field, counted from the start of the bytes parsed; 0 without a place.
    pub offset: u64,
    /// Private.
    private_state: u32,
    /// Private.
    private_words: MaybeUninit<[u64; 12]>,
}

/// In `private_state`: the words hold a [`Fault`]. Any number that memory seldom holds.
const FILLED: u32 = 0xB17E_0001;

/// A reason to refuse a call.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    Library(Error),
    /// The argument that is NULL, misaligned or too long.
    Pointer(&'static str),
    /// The argument that no call has filled.
    NotFilled(&'static str),
    NotAuthenticated,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl Fault {
    const fn status(self) -> bitwire_status {
        match self {
            Self::Library(error) => bitwire_status::of(error.kind()),
            Self::Pointer(_) => bitwire_status::BITWIRE_ERR_POINTER,
            Self::NotFilled(_) => bitwire_status::BITWIRE_ERR_NOT_FILLED,
            Self::NotAuthenticated => bitwire_status::BITWIRE_ERR_NOT_AUTHENTICATED,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Pointer(name) => {
                f.write_str(name)?;
                f.write_str(" is NULL or misaligned, or its length reaches past the end of the address space")
            }
            Self::NotFilled(name) => {
                f.write_str(name)?;
                f.write_str(" was not filled by a call that succeeded")
            }
            Self::NotAuthenticated => f.write_str("the frame's MAC was not verified"),
        }
    }
}

/// Begins a call: nothing is done where what it comes to cannot be said. NULL is fine.
pub(crate) fn check_error(error: *const bitwire_error) -> Result<(), Fault> {
    if error.is_null() { Ok(()) } else { check_struct("error", error) }
}

/// Ends a call: says what it came to.
///
/// # Safety
/// `error` is NULL, or a `bitwire_error` can be written there.
pub(crate) unsafe fn finish(error: *mut bitwire_error, result: Result<(), Fault>) -> bitwire_status {
    let (status, fault) = match result {
        Ok(()) => (bitwire_status::BITWIRE_OK, None),
        Err(fault) => (fault.status(), Some(fault)),
    };
    if error.is_null() {
        return status;
    }
    if check_struct("error", error).is_err() {
        return bitwire_status::BITWIRE_ERR_POINTER;
    }
    let place = match fault {
        Some(Fault::Library(error)) => error.place(),
        _ => None,
    };
    let (private_state, private_words) = match fault {
        Some(fault) => (FILLED, pack(fault)),
        None => (0, MaybeUninit::zeroed()),
    };
    let value = bitwire_error {
        status,
        has_offset: place.is_some(),
        offset: place.unwrap_or(0),
        private_state,
        private_words,
    };
    // SAFETY: not NULL and aligned, as checked; writable, as the caller promises.
    unsafe { error.write(value) };
    status
}

/// Cuts what does not fit, and counts all of it.
struct Text<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.out.get_mut(self.len..).unwrap_or_default();
        room.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
        self.len = self.len.saturating_add(text.len());
        Ok(())
    }
}

/// Puts what went wrong into words, in English: "the CRC-16 does not match ... (at byte 1234)".
///
/// Writes at most `size` bytes to `text`, always ended by a NUL unless `size` is 0, and cut where they do not fit. Returns the
/// length of the whole message without the NUL, as snprintf does: it was cut if that is not below `size`. 160 bytes hold
/// most messages. After success, and for an `error` that no call has filled, the message is empty. `text` may be NULL if `size` is 0.
///
/// The words may change between versions; for a program to decide by are `status` and `bitwire_status_name`.
///
/// # Safety
/// `error` points to a `bitwire_error` or is NULL; `size` bytes at `text` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bitwire_error_message(
    error: *const bitwire_error,
    text: *mut c_char,
    size: usize,
) -> usize {
    // SAFETY: as the caller promises.
    let out = unsafe { zeroed::<u8>("text", text.cast(), size) }.unwrap_or_default();
    let (nul, out) = match out.split_last_mut() {
        Some((nul, out)) => (Some(nul), out),
        None => (None, Default::default()),
    };
    let mut text = Text { out, len: 0 };
    if check_struct("error", error).is_ok() {
        // SAFETY: not NULL and aligned, as checked; readable, as the caller promises. Only a number is read.
        let state = unsafe { (&raw const (*error).private_state).read() };
        if state == FILLED {
            // SAFETY: as above; words may hold anything.
            let words = unsafe { (&raw const (*error).private_words).read() };
            // SAFETY: `finish` wrote them with that state.
            let fault: Fault = unsafe { unpack(&words) };
            // Writing to a `Text` does not fail.
            let _ = write!(text, "{fault}");
        }
    }
    let len = text.len;
    match text.out.get_mut(len) {
        Some(end) => *end = 0,
        None => nul.into_iter().for_each(|end| *end = 0),
    }
    len
}

//! Tokens in as few bits as the largest one needs (spec/ledger.md, "Bit-packed tokens").
//!
//! ```text
//! token i = bits [i * bits, (i + 1) * bits) of the payload; bit k of the payload = bit k % 8 of byte k / 8
//! ```
//!
//! `bits` is 1 to 32. The payload is ceil(tokens * bits / 8) bytes, and its spare bits are 0. Every token is read in
//! constant time, wherever it stands. Features and CPUs change the speed, never a bit.
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::pack;
use crate::error::{Error, ErrorKind, Result};

/// The largest width, in bits.
pub const MAX_BITS: u8 = 32;

/// The width of the largest of `tokens` in bits, 1 at least: what they are packed in.
///
/// Cost: one pass at the speed of reading.
#[must_use]
pub fn bit_width(tokens: &[u32]) -> u8 {
    width(pack::max(tokens))
}

/// The bytes of `tokens` tokens of `bits` bits each.
///
/// # Errors
/// [`ErrorKind::Argument`] if `bits` is not 1 to 32; [`ErrorKind::Size`] if the bytes overflow 64 bits.
pub fn packed_len(tokens: u64, bits: u8) -> Result<u64> {
    check_bits(bits)?;
    // 69 bits at most, and in bytes 66.
    let len = u128::from(tokens).saturating_mul(u128::from(bits)).div_ceil(8);
    u64::try_from(len).map_err(|_| Error::caller(ErrorKind::Size { field: "packed tokens" }))
}

/// Packs `tokens` into the start of `out`, `bits` bits each, and returns the bytes written: their [`packed_len`].
///
/// After an error nothing has been written. Cost: one pass to check the tokens, one to pack them.
///
/// # Errors
/// [`ErrorKind::Argument`] if `bits` is not 1 to 32, [`ErrorKind::TokenWidth`] names the first token that needs more,
/// [`ErrorKind::BufferTooSmall`] says how many bytes `out` has to have.
///
/// ```
/// use bitwire::ledger::pack::{bit_width, pack_into, unpack_into};
///
/// let tokens = [1, 30_000, 2];
/// let mut packed = [0; 6];
/// assert_eq!(pack_into(&tokens, bit_width(&tokens), &mut packed)?, 6);  // 3 * 15 bits
///
/// let mut back = [0; 2];
/// unpack_into(&packed, 15, 1, &mut back)?;
/// assert_eq!(back, [30_000, 2]);
/// # Ok::<(), bitwire::Error>(())
/// ```
pub fn pack_into(tokens: &[u32], bits: u8, out: &mut [u8]) -> Result<usize> {
    let needed = packed_len(tokens.len() as u64, bits)?;
    let available = out.len() as u64;
    if available < needed {
        return Err(Error::caller(ErrorKind::BufferTooSmall { needed, available }));
    }
    if bit_width(tokens) > bits {
        let wide = tokens.iter().enumerate().find(|(_, token)| width(**token) > bits);
        let (index, token) = wide.map_or((0, 0), |(index, token)| (index as u64, *token));
        return Err(Error::caller(ErrorKind::TokenWidth { index, token, bits }));
    }
    Ok(pack::pack(tokens, bits, out))
}

/// Decodes as many tokens as `out` has room for, from token `first` on.
///
/// After an error `out` is as it was. Cost: with `simd` about that of a copy of `out`, without it half a nanosecond for
/// each token.
///
/// # Errors
/// [`ErrorKind::Argument`] if `bits` is not 1 to 32; [`ErrorKind::BufferTooSmall`] says how many bytes `packed` would
/// have to have for that many tokens; [`ErrorKind::Size`] if that overflows 64 bits.
pub fn unpack_into(packed: &[u8], bits: u8, first: u64, out: &mut [u32]) -> Result<()> {
    check_bits(bits)?;
    let size = Error::caller(ErrorKind::Size { field: "packed tokens" });
    let needed = packed_len(first.checked_add(out.len() as u64).ok_or(size)?, bits)?;
    let available = packed.len() as u64;
    let short = Error::caller(ErrorKind::BufferTooSmall { needed, available });
    if out.is_empty() {
        return if needed <= available { Ok(()) } else { Err(short) };
    }
    // A first token beyond the address space is beyond `packed`, but for 32-bit targets and widths below 8.
    let first = usize::try_from(first).map_err(|_| short)?;
    if needed > available || pack::unpack(packed, bits, first, out) != out.len() {
        return Err(short);
    }
    Ok(())
}

/// Token `i`; `None` if it does not end within `packed` or `bits` is not 1 to 32.
///
/// Spare bits at the end read as a token if they are enough for one: compare `i` with the number of tokens first.
/// Cost: constant, one load of 8 bytes.
#[must_use]
#[inline]
pub fn token_at(packed: &[u8], bits: u8, i: u64) -> Option<u32> {
    pack::get(packed, bits, usize::try_from(i).ok()?)
}

/// Whether everything in `packed` behind the last of `tokens` tokens is 0. False too if they do not fit in it, or if
/// `bits` is not 1 to 32.
///
/// Cost: constant for a payload of the right length.
#[must_use]
pub fn spare_bits_are_zero(packed: &[u8], tokens: u64, bits: u8) -> bool {
    let Ok(len) = packed_len(tokens, bits).map(usize::try_from) else { return false };
    let Some((used, rest)) = len.ok().and_then(|len| packed.split_at_checked(len)) else { return false };
    // Bits of the last byte that are in use; 0 stands for 8. Wrapping is right modulo 8.
    let last = tokens.wrapping_mul(u64::from(bits)) % 8;
    let spare = match used.last() {
        Some(byte) if last != 0 => byte >> last,
        _ => 0,
    };
    spare == 0 && rest.iter().all(|byte| *byte == 0)
}

fn width(token: u32) -> u8 {
    // 1 to 32.
    (32u32.saturating_sub(token.leading_zeros())).max(1) as u8
}

fn check_bits(bits: u8) -> Result<()> {
    if (1..=MAX_BITS).contains(&bits) {
        Ok(())
    } else {
        Err(Error::caller(ErrorKind::Argument { expected: "bits per token have to be 1 to 32" }))
    }
}

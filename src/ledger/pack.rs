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
    width(pack::union(tokens))
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
    check_width(tokens, bits)?;
    Ok(pack::pack(tokens, bits, out))
}

/// Checks that every token fits `bits` bits.
pub(super) fn check_width(tokens: &[u32], bits: u8) -> Result<()> {
    if bit_width(tokens) > bits {
        let wide = tokens.iter().enumerate().find(|(_, token)| width(**token) > bits);
        let (index, token) = wide.map_or((0, 0), |(index, token)| (index as u64, *token));
        return Err(Error::caller(ErrorKind::TokenWidth { index, token, bits }));
    }
    Ok(())
}

/// Decodes as many tokens as `out` has room for, from token `first` on.
///
/// After an error `out` is as it was. Cost: with `simd` 1 to 1.5 copies of `out` in cache (AVX-512, AVX2), without it
/// about 0.3 ns for each token.
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
    // A chunk has fewer than 2^32 tokens, so a first one beyond the address space is beyond `packed`.
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{string::ToString as _, vec, vec::Vec};
    use proptest::prelude::*;

    fn kind<T: core::fmt::Debug>(result: Result<T>) -> ErrorKind {
        let error = result.unwrap_err();
        assert_eq!(error.place(), None);
        error.kind()
    }

    #[test]
    fn lengths() {
        for (tokens, bits, len) in [
            (0, 1, 0),
            (1, 1, 1),
            (8, 1, 1),
            (9, 1, 2),
            (1, 15, 2),
            (8, 15, 15),
            (8192, 15, 15_360),
            (3, 32, 12),
            (u64::MAX, 8, u64::MAX),
            // 2^64 - 1 bits, and 32 * (2^59 - 1).
            (u64::MAX, 1, 1 << 61),
            (u64::MAX / 32, 32, (1 << 61) - 4),
        ] {
            assert_eq!(packed_len(tokens, bits), Ok(len), "{tokens} of {bits} bits");
        }
        assert_eq!(kind(packed_len(u64::MAX, 9)), ErrorKind::Size { field: "packed tokens" });
        assert_eq!(kind(packed_len(u64::MAX, 32)), ErrorKind::Size { field: "packed tokens" });
    }

    #[test]
    fn widths() {
        for (tokens, bits) in [
            (&[][..], 1),
            (&[0, 0], 1),
            (&[0, 1], 1),
            (&[2, 1], 2),
            (&[32_767], 15),
            (&[5, 32_768], 16),
            (&[65_535, 1], 16),
            (&[65_536], 17),
            (&[u32::MAX, 7], 32),
        ] {
            assert_eq!(bit_width(tokens), bits, "{tokens:?}");
        }
        for bits in [0, 33, 255] {
            let argument = ErrorKind::Argument { expected: "bits per token have to be 1 to 32" };
            assert_eq!(kind(packed_len(1, bits)), argument);
            assert_eq!(kind(pack_into(&[1], bits, &mut [0; 99])), argument);
            assert_eq!(kind(unpack_into(&[0; 99], bits, 0, &mut [0])), argument);
            assert_eq!(kind(unpack_into(&[0; 99], bits, 0, &mut [])), argument);
            assert_eq!(token_at(&[0; 99], bits, 0), None);
            assert!(!spare_bits_are_zero(&[0; 99], 0, bits));
        }
    }

    #[test]
    fn tokens_too_wide() {
        let mut out = [0xEE; 20];
        let error = pack_into(&[1, 2, 65_535, 70_000, 80_000], 16, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TokenWidth { index: 3, token: 70_000, bits: 16 });
        assert_eq!(error.to_string(), "token 70000 (number 3) does not fit 16 bits");
        assert_eq!(kind(pack_into(&[2], 1, &mut out)), ErrorKind::TokenWidth { index: 0, token: 2, bits: 1 });
        assert_eq!(out, [0xEE; 20]);
        assert_eq!(pack_into(&[u32::MAX], 32, &mut out), Ok(4));
        assert_eq!(pack_into(&[], 15, &mut out), Ok(0));
    }

    #[test]
    fn buffers() {
        let small = |needed, available| ErrorKind::BufferTooSmall { needed, available };
        assert_eq!(kind(pack_into(&[1, 2, 3], 15, &mut [0; 5])), small(6, 5));
        let mut out = [9; 3];
        assert_eq!(kind(unpack_into(&[0; 5], 15, 0, &mut out)), small(6, 5));
        assert_eq!(kind(unpack_into(&[0; 6], 15, 1, &mut out)), small(8, 6));
        assert_eq!(kind(unpack_into(&[0; 6], 8, 1 << 40, &mut out)), small((1 << 40) + 3, 6));
        assert_eq!(kind(unpack_into(&[0; 6], 8, 7, &mut [])), small(7, 6));
        assert_eq!(unpack_into(&[0; 6], 8, 6, &mut []), Ok(()));
        let size = ErrorKind::Size { field: "packed tokens" };
        assert_eq!(kind(unpack_into(&[0; 6], 8, u64::MAX, &mut out)), size);
        assert_eq!(kind(unpack_into(&[0; 6], 32, u64::MAX - 3, &mut out)), size);
        assert_eq!(out, [9; 3]);
        assert_eq!(token_at(&[0; 6], 15, 2), Some(0));
        for i in [3, 1 << 32, u64::MAX / 15, u64::MAX] {
            assert_eq!(token_at(&[0; 6], 15, i), None);
        }
    }

    #[test]
    fn spare_bits() {
        // 3 tokens of 15 bits leave bits 5 to 7 of byte 5.
        let mut packed = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F];
        assert!(spare_bits_are_zero(&packed, 3, 15));
        for bit in 5..8 {
            packed[5] = 0x1F | 1 << bit;
            assert!(!spare_bits_are_zero(&packed, 3, 15));
        }
        assert!(!spare_bits_are_zero(&packed[..5], 3, 15));
        // No spare bits.
        assert!(spare_bits_are_zero(&[0xFF; 15], 8, 15));
        assert!(spare_bits_are_zero(&[0xFF; 4], 1, 32));
        assert!(spare_bits_are_zero(&[], 0, 7));
        // Whole bytes to spare.
        assert!(spare_bits_are_zero(&[0xFF, 0, 0], 1, 8));
        assert!(!spare_bits_are_zero(&[0xFF, 0, 0x80], 1, 8));
        assert!(!spare_bits_are_zero(&[1], 0, 7));
        assert!(!spare_bits_are_zero(&[0; 9], u64::MAX, 7));
        assert!(!spare_bits_are_zero(&[0; 9], u64::MAX, 9));
    }

    proptest! {
        /// The payload as one number: the sum of token i times 2^(bits * i), in blocks of 8 tokens of up to 128 bits.
        #[test]
        fn there_and_back(
            tokens in proptest::collection::vec(any::<u32>(), 0..90),
            shift in 0u32..32,
            first in 0usize..90,
            count in 0usize..90,
        ) {
            let tokens: Vec<u32> = tokens.iter().map(|token| token >> shift).collect();
            let bits = bit_width(&tokens);
            let len = packed_len(tokens.len() as u64, bits).unwrap() as usize;
            let mut packed = vec![0xA5; len];
            prop_assert_eq!(pack_into(&tokens, bits, &mut packed), Ok(len));
            prop_assert!(spare_bits_are_zero(&packed, tokens.len() as u64, bits));

            if bits <= 16 {
                let number = |block: &[u32]| {
                    block.iter().enumerate().map(|(i, &t)| u128::from(t) << (i * usize::from(bits))).sum::<u128>()
                };
                for (block, bytes) in tokens.chunks(8).zip(packed.chunks(bits.into())) {
                    prop_assert_eq!(&number(block).to_le_bytes()[..bytes.len()], bytes);
                }
            }

            let first = first.min(tokens.len());
            let count = count.min(tokens.len() - first);
            let mut back = vec![0; count];
            unpack_into(&packed, bits, first as u64, &mut back).unwrap();
            prop_assert_eq!(&back, &tokens[first..][..count]);
            for (i, token) in tokens.iter().enumerate() {
                prop_assert_eq!(token_at(&packed, bits, i as u64), Some(*token));
            }
        }
    }
}

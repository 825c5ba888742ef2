//! CRC-16/IBM-3740: polynomial 1021, init FFFF, no reflection, no xorout.
//!
//! A state is the register after some bytes. Without xorout it is also their CRC, so `update` is everything.

/// The register before the first byte.
pub(crate) const INIT: u16 = 0xFFFF;

/// The register after `bytes`, starting from `state`, by the fastest tier there is.
#[inline]
pub(crate) fn update(state: u16, bytes: &[u8]) -> u16 {
    #[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
    if bytes.len() >= super::clmul::LEAST
        && let Some(state) = super::clmul::update(super::level(), state, bytes)
    {
        return state;
    }
    portable(state, bytes)
}

/// The register after `len` zero bytes, starting from `state`: `state` times x^(8 len). Cost: at most 128 products.
///
/// The register is linear in what it started from and in the bytes, so that the CRC of any stretch follows from
/// the registers at its two ends.
#[cfg(feature = "alloc")]
pub(crate) fn after_zeros(mut state: u16, mut len: u64) -> u16 {
    let mut power = 0x0100; // x^8
    while len != 0 {
        if len & 1 == 1 {
            state = product(state, power);
        }
        power = product(power, power);
        len >>= 1;
    }
    state
}

/// The product of two polynomials, modulo that of the CRC.
#[cfg(feature = "alloc")]
fn product(a: u16, b: u16) -> u16 {
    (0..16).rev().fold(0, |sum: u16, bit| {
        let sum = if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 };
        if b >> bit & 1 == 1 { sum ^ a } else { sum }
    })
}

/// Without carry-less multiply.
///
/// With `std` the 16-table form of `crc`: 8 KiB of tables, 6 GB/s. Without, the target may well be a
/// microcontroller, where those 8 KiB are a large part of the flash: there a byte step made of shifts, which is
/// 56 bytes of code on a Cortex-M0 and as fast as the one-table form (512 bytes) on a PC.
#[inline]
fn portable(state: u16, bytes: &[u8]) -> u16 {
    #[cfg(any(bitwire_crc = "table", all(feature = "std", not(bitwire_crc = "shift"))))]
    return table(state, bytes);
    #[cfg(not(any(bitwire_crc = "table", all(feature = "std", not(bitwire_crc = "shift")))))]
    return shift(state, bytes);
}

#[cfg(any(test, bitwire_crc = "table", all(feature = "std", not(bitwire_crc = "shift"))))]
fn table(state: u16, bytes: &[u8]) -> u16 {
    static CRC: crc::Crc<u16, crc::Table<16>> = crc::Crc::<u16, crc::Table<16>>::new(&crc::CRC_16_IBM_3740);
    let mut digest = CRC.digest_with_initial(state);
    digest.update(bytes);
    digest.finalize()
}

#[cfg(any(test, not(any(bitwire_crc = "table", all(feature = "std", not(bitwire_crc = "shift"))))))]
fn shift(state: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(state, |state, &byte| step(state, byte))
}

/// One byte, 8 polynomial steps in closed form: with t = the top byte of the register xor the byte, and
/// t ^= t >> 4, the register moves up 8 and takes t * (1 + x^5 + x^12).
#[inline]
#[cfg_attr(
    all(not(test), not(feature = "simd"), feature = "std"),
    allow(dead_code, reason = "the table tier needs no single steps")
)]
pub(super) fn step(state: u16, byte: u8) -> u16 {
    let mut t = (state >> 8) ^ u16::from(byte);
    t ^= t >> 4;
    (state << 8) ^ t ^ (t << 5) ^ (t << 12)
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{string::String, vec::Vec};
    use proptest::prelude::*;

    /// The definition, bit by bit.
    fn bitwise(state: u16, bytes: &[u8]) -> u16 {
        let mut crc = state;
        for &byte in bytes {
            crc ^= u16::from(byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            }
        }
        crc
    }

    type Tier = (String, alloc::boxed::Box<dyn Fn(u16, &[u8]) -> u16>);

    /// Every tier this machine can run.
    fn tiers() -> Vec<Tier> {
        #[cfg_attr(not(feature = "simd"), allow(unused_mut))]
        let mut tiers: Vec<Tier> = alloc::vec![
            ("update".into(), alloc::boxed::Box::new(update)),
            ("table".into(), alloc::boxed::Box::new(table)),
            ("shift".into(), alloc::boxed::Box::new(shift)),
        ];
        #[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
        for level in crate::arch::levels() {
            use crate::arch::clmul;
            tiers.push((
                alloc::format!("clmul at {level:?}"),
                alloc::boxed::Box::new(move |state, bytes| {
                    let long = (bytes.len() >= clmul::LEAST).then(|| clmul::update(level, state, bytes));
                    long.flatten().unwrap_or_else(|| portable(state, bytes))
                }),
            ));
        }
        tiers
    }

    fn noise(len: usize, mut seed: u64) -> Vec<u8> {
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    /// The catalogue's check value, and values computed with Python's binascii.crc_hqx(data, 0xFFFF).
    #[test]
    fn known_values() {
        let all: Vec<u8> = (0..=255).collect();
        for (name, crc) in tiers() {
            for (bytes, expected) in [
                (&b"123456789"[..], 0x29B1),
                (b"", 65535),
                (b"\0", 57840),
                (b"BIT\x01", 22098),
                (&all[..], 16317),
            ] {
                assert_eq!(crc(INIT, bytes), expected, "{name}, {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn every_tier_every_length() {
        // Longer than twice the 512-byte stride of the widest loop, so that each remainder meets each entry.
        let data = noise(1100, 7);
        for (name, crc) in tiers() {
            for len in 0..=data.len() {
                for state in [INIT, 0, 0x1234] {
                    // Skewed starts, so that loads are unaligned as well.
                    let bytes = &data[len % 3..len.max(len % 3)];
                    assert_eq!(crc(state, bytes), bitwise(state, bytes), "{name}, {} bytes", bytes.len());
                }
            }
        }
    }

    /// Every single bit at its place: a wrong fold constant cannot hide behind cancellation.
    #[test]
    fn every_bit() {
        for (name, crc) in tiers() {
            for len in [15, 16, 17, 63, 64, 65, 127, 128, 200, 256, 257, 511, 512, 600, 1024] {
                let mut bytes = alloc::vec![0; len];
                for bit in 0..8 * len {
                    bytes[bit / 8] = 0x80 >> (bit % 8);
                    assert_eq!(crc(0, &bytes), table(0, &bytes), "{name}, bit {bit} of {len} bytes");
                    bytes[bit / 8] = 0;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_is_the_whole(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in any::<proptest::sample::Index>(),
            state in any::<u16>(),
        ) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            let expected = table(state, &bytes);
            for (name, crc) in tiers() {
                prop_assert_eq!(crc(crc(state, a), b), expected, "{}", name);
                prop_assert_eq!(crc(state, &bytes), expected, "{}", name);
            }
        }

        /// What the frame relies on: with its own CRC appended, big-endian, a message's CRC is 0.
        #[test]
        fn residue_is_zero(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let crc = update(INIT, &bytes);
            bytes.extend(crc.to_be_bytes());
            prop_assert_eq!(update(INIT, &bytes), 0);
        }
    }
}

//! CRC-16/IBM-3740, the checksum that ends a frame (spec/frame.md).
//!
//! It finds accidents, not attackers: every error of 1 or 2 bits in up to 4,095 bytes, of an odd number of bits, and every
//! burst up to 16 bits, and all but 1 in 65,536 of the rest.

use crate::arch::crc16;

/// The CRC-16/IBM-3740 of `bytes`: polynomial 1021, init FFFF, no reflection, no xorout.
///
/// Cost: with `simd` on x86 9 ns for 200 bytes, up to 58 GB/s on a CPU with VPCLMULQDQ; without, 6 GB/s with
/// `std` and 0.5 GB/s without. The bits are the same.
///
/// ```
/// assert_eq!(bitwire::frame::crc16(b"123456789"), 0x29B1);
/// ```
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    crc16::update(crc16::INIT, bytes)
}

/// [`crc16()`] over bytes that arrive in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc16 {
    state: u16,
}

impl Crc16 {
    /// Of no bytes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: crc16::INIT }
    }

    /// Takes the next `bytes`. However they are cut, the result is that of the whole.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state = crc16::update(self.state, bytes);
    }

    /// The CRC of everything so far; more may follow.
    #[must_use]
    pub const fn finish(&self) -> u16 {
        self.state
    }
}

impl Default for Crc16 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_give_the_whole() {
        let mut crc = Crc16::new();
        assert_eq!(crc.finish(), 0xFFFF);
        for piece in [&b"1234"[..], b"", b"5", b"6789"] {
            crc.update(piece);
        }
        assert_eq!(crc.finish(), 0x29B1);
        assert_eq!(crc16(b"123456789"), 0x29B1);
    }
}

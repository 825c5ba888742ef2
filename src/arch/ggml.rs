//! Blocks of ggml: 32 elements of 4, 5 or 8 bits and their scale (spec/engram.md, "Element types and rotations").
//!
//! Each value is at most one product and one sum in f32. The products are exact: the integers have up to 8 bits, a scale
//! of binary16 has 11. So it makes no difference whether a compiler fuses the two, and all levels and all builds of ggml agree.
//!
//! The loops are plain, and compiled once for each level: they become its vectors without being told.

use super::half::from_f16;

/// Elements of a block.
pub(crate) const BLOCK: usize = 32;

/// The 16 values that a nibble of iq4_nl chooses from.
const IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Types whose elements come in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quant {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Iq4Nl,
}

impl Quant {
    /// Bytes of a block.
    pub(crate) const fn block_bytes(self) -> usize {
        match self {
            Self::Q4_0 | Self::Iq4Nl => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
        }
    }
}

/// The values of as many blocks as both have room for.
pub(crate) fn dequantise(quant: Quant, bytes: &[u8], out: &mut [f32]) {
    #[cfg(feature = "simd")]
    at_level(super::level(), quant, bytes, out);
    #[cfg(not(feature = "simd"))]
    all(quant, bytes, out);
}

#[cfg(feature = "simd")]
fn at_level(level: fearless_simd::Level, quant: Quant, bytes: &[u8], out: &mut [f32]) {
    fearless_simd::dispatch!(level, _simd => all(quant, bytes, out));
}

#[inline(always)]
fn all(quant: Quant, bytes: &[u8], out: &mut [f32]) {
    let out = out.as_chunks_mut().0.iter_mut();
    match quant {
        Quant::Q4_0 => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = q4_0(*block);
            }
        }
        Quant::Q4_1 => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = q4_1(*block);
            }
        }
        Quant::Q5_0 => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = q5_0(*block);
            }
        }
        Quant::Q5_1 => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = q5_1(*block);
            }
        }
        Quant::Q8_0 => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = q8_0(*block);
            }
        }
        Quant::Iq4Nl => {
            for (block, out) in bytes.as_chunks().0.iter().zip(out) {
                *out = iq4_nl(*block);
            }
        }
    }
}

// Patterns take a block apart: all lengths are known, so nothing is checked. Blocks come and go as values: behind a dispatch
// the compiler does not know that the output is not the input, and would read and write one element after the other.

#[inline(always)]
fn q8_0([d0, d1, codes @ ..]: [u8; 34]) -> [f32; BLOCK] {
    let scale = scale(d0, d1);
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(codes) {
        *out = f32::from(code.cast_signed()) * scale;
    }
    out
}

#[inline(always)]
fn q4_0([d0, d1, codes @ ..]: [u8; 18]) -> [f32; BLOCK] {
    let scale = scale(d0, d1);
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(&nibbles(codes)) {
        *out = f32::from(code.cast_signed() - 8) * scale;
    }
    out
}

#[inline(always)]
fn q4_1([d0, d1, m0, m1, codes @ ..]: [u8; 20]) -> [f32; BLOCK] {
    let (scale, least) = (scale(d0, d1), self::scale(m0, m1));
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(&nibbles(codes)) {
        *out = f32::from(*code) * scale + least;
    }
    out
}

#[inline(always)]
fn q5_0([d0, d1, h0, h1, h2, h3, codes @ ..]: [u8; 22]) -> [f32; BLOCK] {
    let scale = scale(d0, d1);
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(&five_bits([h0, h1, h2, h3], codes)) {
        *out = f32::from(code.cast_signed() - 16) * scale;
    }
    out
}

#[inline(always)]
fn q5_1([d0, d1, m0, m1, h0, h1, h2, h3, codes @ ..]: [u8; 24]) -> [f32; BLOCK] {
    let (scale, least) = (scale(d0, d1), self::scale(m0, m1));
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(&five_bits([h0, h1, h2, h3], codes)) {
        *out = f32::from(*code) * scale + least;
    }
    out
}

#[inline(always)]
fn iq4_nl([d0, d1, codes @ ..]: [u8; 18]) -> [f32; BLOCK] {
    let scale = scale(d0, d1);
    let mut out = [0.0; BLOCK];
    for (out, code) in out.iter_mut().zip(&nibbles(codes)) {
        let value = IQ4_NL.get(usize::from(*code)).copied().unwrap_or(0);
        *out = scale * f32::from(value);
    }
    out
}

#[inline(always)]
fn scale(low: u8, high: u8) -> f32 {
    from_f16(u16::from_le_bytes([low, high]))
}

/// The lower nibbles of all bytes, then the upper ones.
#[inline(always)]
fn nibbles(codes: [u8; 16]) -> [u8; BLOCK] {
    let mut all = [0; BLOCK];
    let (low, high) = all.split_at_mut(16);
    for (low, code) in low.iter_mut().zip(&codes) {
        *low = code & 0xF;
    }
    for (high, code) in high.iter_mut().zip(&codes) {
        *high = code >> 4;
    }
    all
}

/// The nibbles, and bit i of `high` as the fifth of element i.
#[inline(always)]
fn five_bits(high: [u8; 4], codes: [u8; 16]) -> [u8; BLOCK] {
    let mut all = nibbles(codes);
    let high = u32::from_le_bytes(high);
    for (i, code) in (0u32..).zip(&mut all) {
        *code |= ((high >> i & 1) << 4) as u8;
    }
    all
}

#[cfg(all(test, feature = "simd"))]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    /// Random codes under scales of every exponent: the bits of plain Rust at every level, but for NaN.
    #[test]
    fn every_level() {
        for quant in [Quant::Q4_0, Quant::Q4_1, Quant::Q5_0, Quant::Q5_1, Quant::Q8_0, Quant::Iq4Nl] {
            let mut state = 1u32;
            let mut bytes: Vec<u8> = Vec::new();
            for block in 0..2048u16 {
                let start = bytes.len();
                bytes.extend((0..quant.block_bytes()).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                }));
                bytes[start..start + 2].copy_from_slice(&(block << 5 | 1).to_le_bytes());
            }
            let mut expected = std::vec![0.0; 2048 * BLOCK];
            all(quant, &bytes, &mut expected);
            for level in crate::arch::levels() {
                let mut found = std::vec![0.0; 2048 * BLOCK];
                at_level(level, quant, &bytes, &mut found);
                for (i, (x, y)) in found.iter().zip(&expected).enumerate() {
                    let same = x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
                    assert!(same, "{level:?} {quant:?} {i}: {x:e}, not {y:e}");
                }
            }
        }
    }
}

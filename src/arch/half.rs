//! binary16 and bfloat16 from and to f32, in core alone and without branches, so that loops of them become vectors.
//!
//! Widening is exact. Narrowing rounds once, half to even; what rounds beyond the largest finite value is infinite. A NaN
//! keeps its sign and the upper bits of its payload and becomes quiet, both ways. No step takes or gives
//! a subnormal f32 where the narrow value is none, so flushing them would not show.

/// f32 of a binary16.
#[inline(always)]
pub(crate) fn from_f16(half: u16) -> f32 {
    let half = u32::from(half);
    let magnitude = (half & 0x7FFF) << 13;
    // The exponent moves from bias 15 to bias 127; that of infinity and NaN on to 255, and NaN becomes quiet.
    let normal = magnitude + (112 << 23);
    let special = (normal + (112 << 23)) | if half & 0x3FF == 0 { 0 } else { 0x40_0000 };
    // m * 2^-24 is (2^-14 + m * 2^-24) - 2^-14.
    let subnormal = (f32::from_bits(magnitude + (113 << 23)) - f32::from_bits(113 << 23)).to_bits();
    let bits = if magnitude < 1 << 23 {
        subnormal
    } else if magnitude < 31 << 23 {
        normal
    } else {
        special
    };
    f32::from_bits(bits | (half & 0x8000) << 16)
}

/// The nearest binary16.
#[inline(always)]
pub(crate) fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    // Half a unit less one, and one more if that makes it even; a carry goes to the exponent, or to infinity.
    let odd = (magnitude >> 13) & 1;
    let normal = (magnitude.wrapping_sub(112 << 23).wrapping_add(0xFFF + odd) >> 13).min(0x7C00);
    // The last bit of 0.5 is worth 2^-24: the sum rounds as it has to.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let nan = 0x7E00 | (magnitude >> 13) & 0x3FF;
    let half = if magnitude < 113 << 23 {
        subnormal
    } else if magnitude <= 255 << 23 {
        normal
    } else {
        nan
    };
    (half | (bits >> 16) & 0x8000) as u16
}

/// f32 of a bfloat16.
#[inline(always)]
pub(crate) fn from_bf16(half: u16) -> f32 {
    let bits = u32::from(half) << 16;
    let quiet = if bits & 0x7FFF_FFFF > 255 << 23 { 0x40_0000 } else { 0 };
    f32::from_bits(bits | quiet)
}

/// The nearest bfloat16.
#[inline(always)]
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    let nan = bits | 0x40_0000;
    let bits = if bits & 0x7FFF_FFFF <= 255 << 23 { rounded } else { nan };
    (bits >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        for (half, x) in [
            (0x0000u16, 0.0f32),
            (0x8000, -0.0),
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x7C00, f32::INFINITY),
            (0xFC00, f32::NEG_INFINITY),
            (0x0001, 1.0 / 16_777_216.0),
            (0x03FF, 1023.0 / 16_777_216.0),
            (0x0400, 1.0 / 16384.0),
        ] {
            assert_eq!(from_f16(half).to_bits(), x.to_bits(), "{half:04x}");
            assert_eq!(to_f16(x), half, "{x:e}");
        }
        assert_eq!(to_f16(65519.996), 0x7BFF);
        assert_eq!(to_f16(65520.0), 0x7C00);
        assert_eq!(to_bf16(1.0), 0x3F80);
        assert_eq!(to_bf16(f32::MAX), 0x7F80);
        assert_eq!(from_bf16(0x4049), 3.140625);
    }
}

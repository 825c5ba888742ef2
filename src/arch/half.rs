//! binary16 and bfloat16 from and to f32, in core alone and without branches, so that loops of them become vectors.
//!
//! Widening is exact; a NaN keeps its sign and its payload, as the upper bits of f32's, and may stay a signalling one or become
//! quiet (F16C makes it quiet): those who use it do arithmetic with it, or compare. Narrowing rounds once, half to even;
//! what rounds beyond the largest finite value is infinite, and every NaN becomes the positive quiet one without
//! payload, 7E00 or 7FC0, on every level.

use super::blocks::Float;

/// The one NaN that comes out of arithmetic.
pub(crate) const NAN: u32 = 0x7FC0_0000;

/// The bit that a quiet NaN has and a signalling one has not.
const QUIET: u32 = 0x40_0000;

/// All ones where `condition` holds: as arithmetic, since a choice may end up as a branch, which no vector has.
#[inline(always)]
fn mask(condition: bool) -> u32 {
    u32::from(condition).wrapping_neg()
}

/// f32 of a binary16.
#[inline(always)]
pub(crate) fn from_f16(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7FFF);
    let sign = u32::from(half & 0x8000) << 16;
    // The exponent moves from bias 15 to bias 127 by a product, which is exact, and that of infinity and NaN on to 255.
    let scaled = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(scaled.to_bits() | sign | mask(magnitude > 0x7BFF) & (255 << 23))
}

/// The nearest binary16.
#[inline(always)]
pub(crate) fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7FFF_FFFF;
    // What is over 2^16 becomes that, which becomes infinity.
    let finite = magnitude.min((127 + 16) << 23);
    // Half a unit less one, and one more if that makes it even; a carry goes to the exponent.
    let odd = (finite >> 13) & 1;
    let normal = finite.wrapping_sub((112 << 23) - 0xFFF).wrapping_add(odd) >> 13;
    // The last bit of 0.5 is worth 2^-24: the sum rounds as it has to.
    let subnormal = (f32::from_bits(finite) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let small = mask(magnitude < 113 << 23);
    let nan = mask(magnitude > 255 << 23);
    let half = (subnormal & small) | (normal & !small) | (bits >> 16) & 0x8000;
    ((half & !nan) | (0x7E00 & nan)) as u16
}

/// f32 of a bfloat16.
#[inline(always)]
pub(crate) fn from_bf16(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// The nearest bfloat16.
#[inline(always)]
pub(crate) fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1));
    let nan = mask(bits & 0x7FFF_FFFF > 255 << 23);
    ((NAN & nan | rounded & !nan) >> 16) as u16
}

/// f32 of a binary16; a NaN comes out quiet, with the sign and payload that it has.
#[inline(always)]
pub(crate) fn from_f16_quiet(half: u16) -> f32 {
    let nan = mask(half & 0x7FFF > 0x7C00);
    f32::from_bits(from_f16(half).to_bits() | nan & QUIET)
}

/// f32 of as many little-endian values as both have room for. The same bits at every level: a NaN of binary16 comes out
/// quiet, all else is kept.
pub(crate) fn widen(float: Float, bytes: &[u8], out: &mut [f32]) {
    match float {
        Float::F32 => {
            for (to, from) in out.iter_mut().zip(bytes.as_chunks().0) {
                *to = f32::from_le_bytes(*from);
            }
        }
        #[cfg(feature = "simd")]
        Float::F16 | Float::Bf16 => widen_at(super::level(), float == Float::F16, bytes, out),
        #[cfg(not(feature = "simd"))]
        Float::F16 | Float::Bf16 => widen_portable(float == Float::F16, bytes, out),
    }
}

/// Little-endian values of as many f32 as both have room for, rounded half to even; f32 are kept bit by bit.
pub(crate) fn narrow(float: Float, values: &[f32], out: &mut [u8]) {
    match float {
        Float::F32 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = from.to_le_bytes();
            }
        }
        Float::F16 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = to_f16(*from).to_le_bytes();
            }
        }
        Float::Bf16 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = to_bf16(*from).to_le_bytes();
            }
        }
    }
}

/// `f16` or bfloat16, in plain Rust.
#[cfg(any(test, not(feature = "simd")))]
fn widen_portable(f16: bool, bytes: &[u8], out: &mut [f32]) {
    let values = out.iter_mut().zip(bytes.as_chunks().0);
    if f16 {
        for (to, from) in values {
            *to = from_f16_quiet(u16::from_le_bytes(*from));
        }
    } else {
        for (to, from) in values {
            *to = from_bf16(u16::from_le_bytes(*from));
        }
    }
}

#[cfg(feature = "simd")]
fn widen_at(level: fearless_simd::Level, f16: bool, bytes: &[u8], out: &mut [f32]) {
    fearless_simd::dispatch!(level, token => if f16 {
        simd::widen::<_, true>(token, bytes, out);
    } else {
        simd::widen::<_, false>(token, bytes, out);
    });
}

/// 16 values at once.
#[cfg(feature = "simd")]
pub(crate) mod simd {
    use super::{NAN, QUIET};
    use fearless_simd::{prelude::*, *};

    /// `x`, or the one NaN.
    #[inline(always)]
    pub(crate) fn canonical<S: Simd>(x: f32x16<S>) -> f32x16<S> {
        let nan = f32x16::splat(x.token(), f32::from_bits(NAN));
        x.simd_eq(x).select(x, nan)
    }

    /// f32 of binary16.
    #[inline(always)]
    pub(crate) fn from_f16<S: Simd>(half: u16x16<S>) -> f32x16<S> {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(x) = super::x86::from_f16(half) {
            return x;
        }
        let simd = half.token();
        let (low, high) = half.widen();
        let half: i32x16<S> = low.combine(high).bitcast();
        let splat = |bits: i32| i32x16::splat(simd, bits);
        let magnitude = half & splat(0x7FFF);
        let sign = (half ^ magnitude) << 16;
        // The exponent moves from bias 15 to bias 127 by a product, which is exact.
        let scaled: f32x16<S> = (magnitude << 13).bitcast();
        let scaled: i32x16<S> = (scaled * f32::from_bits((127 + 112) << 23)).bitcast();
        let special = magnitude.simd_gt(splat(0x7BFF)).select(splat(255 << 23), splat(0));
        (scaled | sign | special).bitcast()
    }

    /// The nearest binary16.
    #[inline(always)]
    pub(crate) fn to_f16<S: Simd>(x: f32x16<S>) -> u16x16<S> {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if let Some(half) = super::x86::to_f16(canonical(x)) {
            return half;
        }
        let simd = x.token();
        let bits: i32x16<S> = x.bitcast();
        let splat = |bits: i32| i32x16::splat(simd, bits);
        // What is over 2^16 becomes that, which becomes infinity.
        let magnitude = (bits & splat(0x7FFF_FFFF)).min(splat((127 + 16) << 23));
        let odd = (magnitude >> 13) & 1;
        let normal = (magnitude - splat((112 << 23) - 0xFFF) + odd) >> 13;
        let small: f32x16<S> = magnitude.bitcast();
        let small: i32x16<S> = (small + 0.5).bitcast();
        let subnormal = small - splat(0.5f32.to_bits().cast_signed());
        let half = magnitude.simd_lt(splat(113 << 23)).select(subnormal, normal);
        let half = half | ((bits >> 16) & splat(0x8000));
        let half = x.simd_eq(x).select(half, splat(0x7E00));
        // Sign-extended, so that nothing saturates.
        upper(half << 16)
    }

    /// f32 of bfloat16.
    #[inline(always)]
    pub(crate) fn from_bf16<S: Simd>(half: u16x16<S>) -> f32x16<S> {
        let (low, high) = half.widen();
        (low.combine(high) << 16).bitcast()
    }

    /// f32 of little-endian binary16 or bfloat16.
    #[inline(always)]
    pub(super) fn widen<S: Simd, const F16: bool>(simd: S, bytes: &[u8], out: &mut [f32]) {
        let (groups, rest) = bytes.as_chunks::<2>().0.as_chunks::<16>();
        let (out_groups, out_rest) = out.as_chunks_mut::<16>();
        // The last group of the one that is longer is left over: what the other has of it is a rest.
        let rest = groups.get(out_groups.len()).map_or(rest, |group| group.as_slice());
        for (to, from) in out_groups.iter_mut().zip(groups) {
            *to = widen_group::<S, F16>(simd, from);
        }
        let out_rest = out_groups.get_mut(groups.len()).map_or(out_rest, |group| group.as_mut_slice());
        if !out_rest.is_empty() && !rest.is_empty() {
            let mut padded = [[0; 2]; 16];
            for (to, from) in padded.iter_mut().zip(rest) {
                *to = *from;
            }
            for (to, from) in out_rest.iter_mut().zip(widen_group::<S, F16>(simd, &padded)).take(rest.len()) {
                *to = from;
            }
        }
    }

    #[inline(always)]
    fn widen_group<S: Simd, const F16: bool>(simd: S, bytes: &[[u8; 2]; 16]) -> [f32; 16] {
        let mut half = [0; 16];
        for (half, bytes) in half.iter_mut().zip(bytes) {
            *half = u16::from_le_bytes(*bytes);
        }
        let half = u16x16::simd_from(simd, half);
        if !F16 {
            return from_bf16(half).into();
        }
        let x = from_f16(half);
        let bits: u32x16<S> = x.bitcast();
        let quiet: f32x16<S> = (bits | u32x16::splat(simd, QUIET)).bitcast();
        x.simd_eq(x).select(x, quiet).into()
    }

    /// The nearest bfloat16.
    #[inline(always)]
    pub(crate) fn to_bf16<S: Simd>(x: f32x16<S>) -> u16x16<S> {
        let simd = x.token();
        let bits: i32x16<S> = x.bitcast();
        let rounded = bits + ((bits >> 16) & 1) + i32x16::splat(simd, 0x7FFF);
        upper(x.simd_eq(x).select(rounded, i32x16::splat(simd, NAN.cast_signed())))
    }

    /// The upper halves.
    #[inline(always)]
    fn upper<S: Simd>(bits: i32x16<S>) -> u16x16<S> {
        let (low, high) = (bits >> 16).split();
        low.saturating_narrow(high).bitcast()
    }
}

/// F16C, one instruction: at AVX2 three times as fast as the vectors above, which are below the speed of memory there.
#[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
mod x86 {
    #[cfg(target_arch = "x86")]
    use core::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    use core::arch::x86_64::*;
    use fearless_simd::{kernel, prelude::*, *};

    kernel!(
        #[inline(always)]
        fn widen_avx512(token: Avx512, half: __m256i) -> f32x16<Avx512> {
            f32x16::simd_from(token, _mm512_cvtph_ps(half))
        }
    );

    kernel!(
        #[inline(always)]
        fn widen_avx2(token: Avx2, half: __m128i) -> f32x8<Avx2> {
            f32x8::simd_from(token, _mm256_cvtph_ps(half))
        }
    );

    kernel!(
        #[inline(always)]
        fn narrow_avx512(token: Avx512, x: __m512) -> u16x16<Avx512> {
            u16x16::simd_from(token, _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
        }
    );

    kernel!(
        #[inline(always)]
        fn narrow_avx2(token: Avx2, x: __m256) -> u16x8<Avx2> {
            u16x8::simd_from(token, _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
        }
    );

    // Arrays on the way between the token's vectors and those of `S`, which are the same: they cost nothing.

    /// f32 of binary16, if the level can.
    #[inline(always)]
    pub(super) fn from_f16<S: Simd>(half: u16x16<S>) -> Option<f32x16<S>> {
        let simd = half.token();
        let half: [u16; 16] = half.into();
        if let Some(token) = simd.level().as_avx512() {
            let x: [f32; 16] = widen_avx512(token, u16x16::simd_from(token, half).into()).into();
            return Some(f32x16::simd_from(simd, x));
        }
        let token = simd.level().as_avx2()?;
        let (low, high) = u16x16::simd_from(token, half).split();
        let x: [f32; 16] = widen_avx2(token, low.into()).combine(widen_avx2(token, high.into())).into();
        Some(f32x16::simd_from(simd, x))
    }

    /// The nearest binary16, if the level can; NaN keeps what fits of its payload.
    #[inline(always)]
    pub(super) fn to_f16<S: Simd>(x: f32x16<S>) -> Option<u16x16<S>> {
        let simd = x.token();
        let x: [f32; 16] = x.into();
        if let Some(token) = simd.level().as_avx512() {
            let half: [u16; 16] = narrow_avx512(token, f32x16::simd_from(token, x).into()).into();
            return Some(u16x16::simd_from(simd, half));
        }
        let token = simd.level().as_avx2()?;
        let (low, high) = f32x16::simd_from(token, x).split();
        let half: [u16; 16] = narrow_avx2(token, low.into()).combine(narrow_avx2(token, high.into())).into();
        Some(u16x16::simd_from(simd, half))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    #[cfg(any(feature = "std", feature = "simd"))]
    use std::vec::Vec;

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
        // Half a unit beyond the largest is infinite, less is not; half the least is even, hence 0.
        assert_eq!((to_f16(65520f32.next_down()), to_f16(65520.0)), (0x7BFF, 0x7C00));
        assert_eq!((to_f16(0.5f32.powi(25)), to_f16(0.5f32.powi(25).next_up())), (0, 1));
        assert_eq!((to_bf16(1.0), from_bf16(0x4049)), (0x3F80, 3.140625));
        assert_eq!((to_bf16(f32::MAX), to_bf16(-f32::MAX)), (0x7F80, 0xFF80));
        assert_eq!((to_f16(-f32::NAN), to_bf16(-f32::NAN)), (0x7E00, 0x7FC0));
    }

    /// Every sign and exponent, with mantissas at and around what either type rounds at, and others.
    #[cfg(any(feature = "std", feature = "simd"))]
    fn singles() -> Vec<f32> {
        let mut mantissas =
            std::vec![0, 1, 2, 0x3F_FFFF, 0x40_0000, 0x40_0001, 0x7F_FFFE, 0x7F_FFFF, 0x2A_AAAA];
        for bit in 0..23 {
            for odd in [0, 1 << bit, 0x7F_FFFF << bit & 0x7F_FFFF] {
                mantissas.extend([
                    odd ^ (1 << bit >> 1),
                    (odd ^ (1 << bit >> 1)) + 1,
                    odd | ((1 << bit >> 1).max(1) - 1),
                ]);
            }
        }
        let all = mantissas
            .iter()
            .flat_map(|m| (0..512).map(move |high| f32::from_bits(high << 23 | m & 0x7F_FFFF)));
        all.collect()
    }

    /// The `half` crate's portable functions, which are not ours.
    #[cfg(feature = "std")]
    #[test]
    fn as_half() {
        for bits in 0..=u16::MAX {
            let (x, y) =
                (::half::f16::from_bits(bits).to_f32_const(), ::half::bf16::from_bits(bits).to_f32_const());
            let quiet = |x: f32| if x.is_nan() { x.to_bits() | 0x40_0000 } else { x.to_bits() };
            assert_eq!(quiet(from_f16(bits)), x.to_bits(), "{bits:04x}");
            assert_eq!(quiet(from_bf16(bits)), y.to_bits(), "{bits:04x}");
        }
        for x in singles() {
            let (f16, bf16) =
                (::half::f16::from_f32_const(x).to_bits(), ::half::bf16::from_f32_const(x).to_bits());
            let (f16, bf16) = if x.is_nan() { (0x7E00, 0x7FC0) } else { (f16, bf16) };
            assert_eq!((to_f16(x), to_bf16(x)), (f16, bf16), "{:08x}", x.to_bits());
        }
    }

    #[cfg(feature = "simd")]
    #[test]
    fn every_level() {
        use fearless_simd::{dispatch, prelude::*, *};

        #[inline(always)]
        fn widened<S: Simd>(simd: S, half: [u16; 16]) -> [[f32; 16]; 2] {
            let half = u16x16::simd_from(simd, half);
            [super::simd::from_f16(half).into(), super::simd::from_bf16(half).into()]
        }

        #[inline(always)]
        fn narrowed<S: Simd>(simd: S, x: [f32; 16]) -> [[u16; 16]; 2] {
            let x = f32x16::simd_from(simd, x);
            [super::simd::to_f16(x).into(), super::simd::to_bf16(x).into()]
        }

        let halves: Vec<u16> = (0..=u16::MAX).collect();
        let singles = singles();
        let quiet = |x: f32| if x.is_nan() { x.to_bits() | 0x40_0000 } else { x.to_bits() };
        for level in crate::arch::levels() {
            for half in halves.as_chunks::<16>().0 {
                let [f16, bf16] = dispatch!(level, simd => widened(simd, *half));
                assert_eq!(f16.map(quiet), half.map(|h| quiet(from_f16(h))), "{level:?}");
                assert_eq!(bf16.map(quiet), half.map(|h| quiet(from_bf16(h))), "{level:?}");
            }
            for x in singles.as_chunks::<16>().0 {
                let [f16, bf16] = dispatch!(level, simd => narrowed(simd, *x));
                assert_eq!((f16, bf16), (x.map(to_f16), x.map(to_bf16)), "{level:?}: {x:?}");
            }
        }
    }

    /// By [`from_f16`] and [`from_bf16`] one at a time, which the tests above hold to `half`.
    #[test]
    fn widened_slices() {
        let bytes: std::vec::Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for (float, expected) in [
            (Float::F16, (|h| from_f16(h).to_bits()) as fn(u16) -> u32),
            (Float::Bf16, |h| u32::from(h) << 16),
        ] {
            let expected = |h: u16| {
                let bits = expected(h);
                if float == Float::F16 && f32::from_bits(bits).is_nan() { bits | 0x40_0000 } else { bits }
            };
            let check = |widen: &dyn Fn(&[u8], &mut [f32])| {
                let mut out = std::vec![0.0; 1 << 16];
                widen(&bytes, &mut out);
                for (h, x) in (0..=u16::MAX).zip(&out) {
                    assert_eq!(x.to_bits(), expected(h), "{float:?} {h:04x}");
                }
                // Every rest, of the output and of the bytes, off by any alignment.
                for (from, to) in (0..50).flat_map(|from| (0..50).map(move |to| (from, to))) {
                    let mut out = [1.5f32; 50];
                    widen(&bytes[0x7BD1..][..2 * from + from % 2], &mut out[..to]);
                    for (i, x) in out.iter().enumerate() {
                        let at = 0x7BD1 + 2 * i;
                        let half = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
                        let bits = if i < from.min(to) { expected(half) } else { 1.5f32.to_bits() };
                        assert_eq!(x.to_bits(), bits, "{float:?} {from} {to} {i}");
                    }
                }
            };
            check(&|bytes, out| widen(float, bytes, out));
            check(&|bytes, out| widen_portable(float == Float::F16, bytes, out));
            #[cfg(feature = "simd")]
            for level in crate::arch::levels() {
                check(&|bytes, out| widen_at(level, float == Float::F16, bytes, out));
            }
        }
        let mut out = [0.0; 2];
        widen(Float::F32, &[1, 0, 0xA0, 0x7F, 0, 0, 0x20, 0x41, 9], &mut out);
        assert_eq!(out.map(f32::to_bits), [0x7FA0_0001, 0x4120_0000]);
    }
}

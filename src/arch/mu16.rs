//! MU16: f32 to i16 by a step of delta / 65536, and back.
//!
//! The definition is [`exact`]: x * 65536 / delta in f64 with one rounding, half to even, clamped. That f64 rounding
//! never makes or breaks a tie for |q| < 2^16, so any method that rounds the exact quotient X / d (X = x * 65536,
//! d = delta) half to even gives the same q. Proof: X = m * 2^e with |m| < 2^24, so |X/d - (k + 1/2)| is 0 or at
//! least 2^e / d (e < 0: 2^-24 of the quotient, or more) or 1 / (2d) (e >= 0: more than 2^-33), both far above the
//! 2^-37 that f64 may err by; and k + 1/2 is a value of f64, which rounding cannot step over.
//!
//! Four kernels, all built on the same trick: adding a constant whose last bit is worth 1 rounds half to even, and
//! leaves q in the low bits of the sum. Only `Bracket` has a branch inside a group of values.
//! - `Pow2`: delta a power of two, so x * (65536 / d) is exact in f32. Any CPU.
//! - `Wide`: any delta, in f64. With R = 65536 / d rounded, x * R errs by less than 2^-37 (as product and sum, or
//!   fused). Added to 98304, whose last bit in f64 is worth 2^-36, an exact tie comes out as that tie again, and
//!   nothing else can come out as one, since the nearest other quotient is 2^-33 away. Any CPU.
//! - `Fused`: delta below 2^22, in f32 with fused multiply-add (AVX2, AVX-512, NEON), half as fast again; see there.
//! - `Bracket`: before either of those two, where there is fused multiply-add; they do what it leaves open.
//!
//! Each kernel checks a group as a whole: the sum's upper bits are constant unless a value is NaN, infinite or
//! outside i16. Such a group goes to [`exact`], which counts the saturated and finds the first that is not finite.

/// Values a kernel handles at once: two vectors of 16, one 64-byte store.
const PAIR: usize = 32;
/// Pairs to a group, which is checked once.
const GROUP: usize = 8;

/// f32 whose last bit is worth 1, with room for i16 on both sides: 1.5 * 2^23 + 2^15. The sum of it and q has the
/// upper half 4B40 and q + 2^15 as its lower half if, and only if, q is in range.
const MAGIC: f32 = 12_615_680.0;
const MAGIC_BITS: u32 = 0x4B40_8000;
/// The same in two stages in f64: [`SNAP`]'s last bit is worth 2^-36, and SNAP + [`MAGIC64`] has the last bit 1.
const SNAP: f64 = 98_304.0;
const MAGIC64: f64 = 6_755_399_441_055_744.0;
/// The bits of SNAP + MAGIC64 with the lower 16 cleared.
const MAGIC64_BITS: u64 = 0x4338_0000_0001_0000;

/// One value by the definition: q, and whether it was clamped. Not finite counts as clamped; NaN gives 0.
#[inline]
pub(crate) fn one(x: f32, delta: u32) -> (i16, bool) {
    let y = f64::from(x) * 65536.0 / f64::from(delta);
    // Everything from 65536 on is clamped anyway; below, adding 1.5 * 2^52 rounds half to even.
    let rounded = (y.clamp(-65536.0, 65536.0) + MAGIC64) - MAGIC64;
    let q = rounded.clamp(-32768.0, 32767.0);
    #[allow(clippy::float_cmp, reason = "both are integers, and NaN has to differ")]
    (q as i16, q != rounded)
}

/// What a group of values came to: the number of saturated ones, or the index of the first that is not finite.
type Outcome = Result<u64, usize>;

/// The definition, value by value.
#[cold]
#[inline(never)]
fn exact(values: &[f32], delta: u32, out: &mut [u8]) -> Outcome {
    let mut saturated = 0;
    for (i, (x, out)) in values.iter().zip(out.as_chunks_mut::<2>().0).enumerate() {
        if !x.is_finite() {
            return Err(i);
        }
        let (q, clamped) = one(*x, delta);
        saturated += u64::from(clamped);
        *out = q.to_le_bytes();
    }
    Ok(saturated)
}

/// A way to quantise pairs of vectors; false if some value is outside i16 or not finite (`out` is then anything).
trait Kernel {
    fn group<const N: usize>(&mut self, values: &[[f32; PAIR]; N], out: &mut [[u8; 2 * PAIR]; N]) -> bool;
}

/// Runs `kernel` over everything, a whole number of pairs at a time, and [`exact`] where it gives up.
#[inline(always)]
fn drive(mut kernel: impl Kernel, delta: u32, values: &[f32], out: &mut [u8]) -> Outcome {
    let (mut saturated, mut done) = (0, 0);
    let (groups, rest) = values.as_chunks::<{ GROUP * PAIR }>();
    let (out_groups, out_rest) = out.as_chunks_mut::<{ GROUP * PAIR * 2 }>();
    for (values, out) in groups.iter().zip(out_groups) {
        let (pairs, out_pairs) = (values.as_chunks::<PAIR>().0, out.as_chunks_mut::<{ 2 * PAIR }>().0);
        let fits = match (pairs.first_chunk::<GROUP>(), out_pairs.first_chunk_mut::<GROUP>()) {
            (Some(pairs), Some(out_pairs)) => kernel.group(pairs, out_pairs),
            _ => false,
        };
        if !fits {
            saturated += exact(values, delta, out).map_err(|i| done + i)?;
        }
        done += values.len();
    }
    // What is left goes pair by pair, the last one filled up with zeros, which quantise to zeros.
    for (values, out) in rest.chunks(PAIR).zip(out_rest.chunks_mut(2 * PAIR)) {
        let (mut pair, mut q) = ([[0.0; PAIR]], [[0; 2 * PAIR]]);
        pair.as_flattened_mut().iter_mut().zip(values).for_each(|(p, x)| *p = *x);
        if kernel.group(&pair, &mut q) {
            out.iter_mut().zip(q.as_flattened()).for_each(|(o, q)| *o = *q);
        } else {
            saturated += exact(values, delta, out).map_err(|i| done + i)?;
        }
        done += values.len();
    }
    Ok(saturated)
}

/// Quantises `values` into little-endian i16; `out` has 2 bytes for each.
///
/// The number of saturated values, or the index of the first that is not finite.
pub(crate) fn quantise(values: &[f32], delta: u32, out: &mut [u8]) -> Outcome {
    #[cfg(all(feature = "simd", target_endian = "little"))]
    return simd::quantise(super::level(), values, delta, out);
    #[cfg(not(all(feature = "simd", target_endian = "little")))]
    return portable::quantise(values, delta, out);
}

/// Dequantises little-endian i16 into `out`, which has one value for each 2 bytes.
pub(crate) fn dequantise(payload: &[u8], delta: u32, out: &mut [f32]) {
    #[cfg(feature = "simd")]
    return simd::dequantise(super::level(), payload, delta, out);
    #[cfg(not(feature = "simd"))]
    return dequantise_loop(payload, delta, out);
}

/// `delta` as f32 if it is one.
#[inline]
fn single(delta: u32) -> Option<f32> {
    let single = delta as f32;
    (f64::from(single) == f64::from(delta)).then_some(single)
}

/// A plain loop: the compiler's vectors are as fast as hand-written ones here, at every level.
#[inline(always)]
fn dequantise_loop(payload: &[u8], delta: u32, out: &mut [f32]) {
    let (pairs, _) = payload.as_chunks::<2>();
    if let Some(delta) = single(delta) {
        // Exact step, so the product is the one rounding.
        let step = delta / 65536.0;
        for (q, x) in pairs.iter().zip(out) {
            *x = f32::from(i16::from_le_bytes(*q)) * step;
        }
    } else {
        // 15 + 32 bits fit f64, so the narrowing is the one rounding.
        let step = f64::from(delta) / 65536.0;
        for (q, x) in pairs.iter().zip(out) {
            *x = (f64::from(i16::from_le_bytes(*q)) * step) as f32;
        }
    }
}

/// The largest value and the least, but at least and at most 0: all that the choice of a step asks for.
/// `None` if one is not finite.
pub(crate) fn extremes(values: &[f32]) -> Option<(f32, f32)> {
    #[cfg(feature = "simd")]
    return fearless_simd::dispatch!(super::level(), _simd => extremes_loop(values));
    #[cfg(not(feature = "simd"))]
    return extremes_loop(values);
}

/// Two integer maxima: as i32, positive floats are in order and above all negative ones; as u32, negative ones are in
/// order of magnitude and above all positive ones. NaN and infinity are beyond the finite ones of their sign.
#[inline(always)]
fn extremes_loop(values: &[f32]) -> Option<(f32, f32)> {
    let (mut positive, mut negative) = (0i32, 0u32);
    for x in values {
        positive = positive.max(x.to_bits().cast_signed());
        negative = negative.max(x.to_bits());
    }
    let max = f32::from_bits(positive.cast_unsigned());
    let min = if negative >> 31 == 1 { f32::from_bits(negative) } else { 0.0 };
    (max.is_finite() && min.is_finite()).then_some((min, max))
}

/// Without `simd`: loops the compiler vectorises on every baseline. Clamping before the narrowing, though it
/// changes nothing that is kept, makes it one instruction on SSE2.
#[cfg(any(test, not(all(feature = "simd", target_endian = "little"))))]
mod portable {
    use super::*;

    pub(super) fn quantise(values: &[f32], delta: u32, out: &mut [u8]) -> Outcome {
        if delta.is_power_of_two() {
            drive(Pow2 { scale: 65536.0 / delta as f32 }, delta, values, out)
        } else {
            drive(Wide { scale: 65536.0 / f64::from(delta) }, delta, values, out)
        }
    }

    struct Pow2 {
        scale: f32,
    }

    impl Kernel for Pow2 {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            let mut outside = 0;
            let out = out.as_flattened_mut().as_chunks_mut::<2>().0;
            for (x, q) in values.as_flattened().iter().zip(out) {
                let sum = (x * self.scale + MAGIC).to_bits();
                outside |= sum ^ MAGIC_BITS;
                *q = narrow(sum.wrapping_sub(MAGIC_BITS).cast_signed()).to_le_bytes();
            }
            outside <= 0xFFFF
        }
    }

    struct Wide {
        scale: f64,
    }

    impl Kernel for Wide {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            let mut outside = 0;
            for (values, out) in values.iter().zip(out) {
                // In two steps, so that f64 and i16 each fill whole vectors: a third faster.
                let mut sums = [0u32; PAIR];
                for (x, low) in values.iter().zip(&mut sums) {
                    let sum = (f64::from(*x) * self.scale + SNAP + MAGIC64).to_bits();
                    outside |= sum ^ MAGIC64_BITS;
                    *low = sum as u32;
                }
                for (low, q) in sums.iter().zip(out.as_chunks_mut::<2>().0) {
                    *q = narrow(low.wrapping_sub(0x1_8000).cast_signed()).to_le_bytes();
                }
            }
            outside <= 0xFFFF
        }
    }

    #[inline(always)]
    fn narrow(q: i32) -> i16 {
        q.clamp(-32768, 32767) as i16
    }
}

#[cfg(feature = "simd")]
#[cfg_attr(
    target_endian = "big",
    allow(dead_code, reason = "vectors are stored as they are, so little-endian only")
)]
mod simd {
    use super::*;
    use core::array;
    use fearless_simd::{Level, dispatch, prelude::*, *};

    pub(super) fn dequantise(level: Level, payload: &[u8], delta: u32, out: &mut [f32]) {
        dispatch!(level, _simd => dequantise_loop(payload, delta, out))
    }

    #[cfg(target_endian = "little")]
    pub(super) fn quantise(level: Level, values: &[f32], delta: u32, out: &mut [u8]) -> Outcome {
        // One dispatch for each kernel: without optimisation, all of them in one function need megabytes of stack.
        if delta.is_power_of_two() {
            dispatch!(level, simd => drive(Pow2::new(simd, delta), delta, values, out))
        } else if !dispatch!(level, simd => fused(simd)) {
            dispatch!(level, simd => drive(Wide::new(simd, delta), delta, values, out))
        } else if delta < FUSED_LIMIT {
            dispatch!(level, simd => drive(Bracket::new(simd, delta, Fused::new(simd, delta)), delta, values, out))
        } else {
            dispatch!(level, simd => drive(Bracket::new(simd, delta, Wide::new(simd, delta)), delta, values, out))
        }
    }

    /// Whether a * b + c is one instruction with one rounding; elsewhere it would be emulated. Known at compile time.
    #[inline(always)]
    fn fused<S: Simd>(simd: S) -> bool {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        return simd.level().as_avx2().is_some();
        #[cfg(target_arch = "aarch64")]
        return simd.level().as_neon().is_some();
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
        return {
            let _ = simd;
            false
        };
    }

    /// The two halves of a pair.
    #[inline(always)]
    fn load<S: Simd>(simd: S, values: &[f32; PAIR]) -> [f32x16<S>; 2] {
        let (halves, _) = values.as_chunks::<16>();
        match halves {
            [low, high] => [f32x16::load_array_ref(simd, low), f32x16::load_array_ref(simd, high)],
            _ => [f32x16::splat(simd, 0.0); 2],
        }
    }

    /// Whether every other u16 of two vectors is one instruction. Known at compile time.
    #[inline(always)]
    fn unzips<S: Simd>(simd: S) -> bool {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        return simd.level().as_avx512().is_some();
        #[cfg(target_arch = "aarch64")]
        return simd.level().as_neon().is_some();
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
        return {
            let _ = simd;
            false
        };
    }

    /// The sums' low bits less those of the constant, as i16. The lower half of every constant is 8000, so that less
    /// it is only another sign.
    #[inline(always)]
    fn store<S: Simd>(low: u32x16<S>, high: u32x16<S>, constant: u32x16<S>, out: &mut [u8; 2 * PAIR]) {
        let simd = constant.token();
        if unzips(simd) {
            let q = simd.unzip_low_u16x32(low.bitcast(), high.bitcast()) ^ u16x32::splat(simd, 0x8000);
            let q: u8x64<S> = q.bitcast();
            q.store_array(out);
            return;
        }
        let low: i32x16<S> = (low - constant).bitcast();
        let high: i32x16<S> = (high - constant).bitcast();
        let q: u8x64<S> = low.saturating_narrow(high).bitcast();
        q.store_array(out);
    }

    struct Pow2<S: Simd> {
        scale: f32x16<S>,
        magic: f32x16<S>,
        bits: u32x16<S>,
    }

    impl<S: Simd> Pow2<S> {
        #[inline(always)]
        fn new(simd: S, delta: u32) -> Self {
            Self {
                scale: f32x16::splat(simd, 65536.0 / delta as f32),
                magic: f32x16::splat(simd, MAGIC),
                bits: u32x16::splat(simd, MAGIC_BITS),
            }
        }
    }

    impl<S: Simd> Kernel for Pow2<S> {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            let simd = self.scale.token();
            let mut outside = u32x16::splat(simd, 0);
            for (values, out) in values.iter().zip(out) {
                let [low, high] = load(simd, values);
                let low: u32x16<S> = (low * self.scale + self.magic).bitcast();
                let high: u32x16<S> = (high * self.scale + self.magic).bitcast();
                outside = outside | (low ^ self.bits) | (high ^ self.bits);
                store(low, high, self.bits, out);
            }
            outside.simd_le(0xFFFF).all_true()
        }
    }

    struct Wide<S: Simd> {
        scale: f64x8<S>,
        snap: f64x8<S>,
        magic: f64x8<S>,
        bits: u64x8<S>,
        constant: u32x16<S>,
    }

    impl<S: Simd> Wide<S> {
        #[inline(always)]
        fn new(simd: S, delta: u32) -> Self {
            Self {
                scale: f64x8::splat(simd, 65536.0 / f64::from(delta)),
                snap: f64x8::splat(simd, SNAP),
                magic: f64x8::splat(simd, MAGIC64),
                bits: u64x8::splat(simd, MAGIC64_BITS),
                constant: u32x16::splat(simd, 0x1_8000),
            }
        }

        /// The low halves of the sums; what is wrong with the upper ones is added to `outside`.
        #[inline(always)]
        fn sums(&self, x: f32x16<S>, outside: &mut u64x8<S>) -> u32x16<S> {
            let simd = self.scale.token();
            let (low, high) = simd.widen_f32x16(x);
            // Fused or not: the same q either way.
            let low: u64x8<S> = (low.mul_add(self.scale, self.snap) + self.magic).bitcast();
            let high: u64x8<S> = (high.mul_add(self.scale, self.snap) + self.magic).bitcast();
            *outside = *outside | (low ^ self.bits) | (high ^ self.bits);
            let (low, high): (u32x16<S>, u32x16<S>) = (low.bitcast(), high.bitcast());
            simd.unzip_low_u32x16(low, high)
        }
    }

    impl<S: Simd> Kernel for Wide<S> {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            let simd = self.scale.token();
            let mut outside = u64x8::splat(simd, 0);
            for (values, out) in values.iter().zip(out) {
                let [low, high] = load(simd, values);
                let (low, high) = (self.sums(low, &mut outside), self.sums(high, &mut outside));
                store(low, high, self.constant, out);
            }
            outside.simd_le(0xFFFF).all_true()
        }
    }

    /// Groups that go to the second kernel alone after one that mostly had to.
    const PATIENCE: u32 = 16;
    /// Pairs to a unit, which `Bracket` decides on at once.
    const UNIT: usize = 2;

    /// The product with a factor below 65536 / d and with one above it, each rounded once, together with the addition.
    /// Rounding keeps the order, so where both come to the same integer, it is q. Where they differ (a tie always does,
    /// else at most 1 value in 256, and the fewer the smaller q) another kernel does the unit.
    ///
    /// Two multiplications to a value instead of `Fused`'s three and its detour over integers: a quarter faster. But data
    /// where most units have ties must not pay for both kernels, hence `skip`.
    struct Bracket<S: Simd, K> {
        below: f32x16<S>,
        above: f32x16<S>,
        magic: f32x16<S>,
        bits: u32x16<S>,
        second: K,
        /// Groups left to go to `second` at once.
        skip: u32,
    }

    /// Two neighbours in f32 (or, seldom, three) around 65536 / d, which is none itself as d is no power of two.
    pub(super) fn factors(delta: u32) -> (f32, f32) {
        let nearest = (65536.0 / f64::from(delta)) as f32;
        // Rounding may bring this to 65536, but not beyond: then both neighbours it is.
        let product = f64::from(nearest) * f64::from(delta);
        let below = if product < 65536.0 { nearest } else { nearest.next_down() };
        let above = if product > 65536.0 { nearest } else { nearest.next_up() };
        (below, above)
    }

    impl<S: Simd, K> Bracket<S, K> {
        #[inline(always)]
        fn new(simd: S, delta: u32, second: K) -> Self {
            let (below, above) = factors(delta);
            Self {
                below: f32x16::splat(simd, below),
                above: f32x16::splat(simd, above),
                magic: f32x16::splat(simd, MAGIC),
                bits: u32x16::splat(simd, MAGIC_BITS),
                second,
                skip: 0,
            }
        }

        /// The sums with the smaller factor, and the bits in which those with the other differ.
        #[inline(always)]
        fn sums(&self, x: f32x16<S>) -> (u32x16<S>, u32x16<S>) {
            let below: u32x16<S> = x.mul_add_precise(self.below, self.magic).bitcast();
            let above: u32x16<S> = x.mul_add_precise(self.above, self.magic).bitcast();
            (below, below ^ above)
        }
    }

    impl<S: Simd, K: Kernel> Kernel for Bracket<S, K> {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            if self.skip > 0 {
                self.skip -= 1;
                return self.second.group(values, out);
            }
            let simd = self.below.token();
            let mut outside = u32x16::splat(simd, 0);
            let (mut fits, mut again) = (true, 0);
            let (units, rest) = values.as_chunks::<UNIT>();
            let (out_units, out_rest) = out.as_chunks_mut::<UNIT>();
            for (values, out) in units.iter().zip(out_units) {
                let mut differ = u32x16::splat(simd, 0);
                for (values, out) in values.iter().zip(&mut *out) {
                    let [low, high] = load(simd, values);
                    let ((low, low_differ), (high, high_differ)) = (self.sums(low), self.sums(high));
                    differ = differ | low_differ | high_differ;
                    outside = outside | (low ^ self.bits) | (high ^ self.bits);
                    store(low, high, self.bits, out);
                }
                if !differ.simd_eq(0).all_true() {
                    fits &= self.second.group(values, out);
                    again += 1;
                }
            }
            for (values, out) in rest.iter().zip(out_rest) {
                fits &= self.second.group(array::from_ref(values), array::from_mut(out));
            }
            if again > N / UNIT / 2 {
                self.skip = PATIENCE;
            }
            fits && outside.simd_le(0xFFFF).all_true()
        }
    }

    /// Deltas from here on go to `Wide`.
    const FUSED_LIMIT: u32 = 1 << 22;

    /// Two steps, with D = d / 65536 (exact) and a and b the neighbours of 1 / D in f32, a < 1 / D < b:
    ///
    /// 1. q0 = round(x * c), and rest = x - q0 * D, exact in f32 because fused and below 0.51 D.
    /// 2. q = round(q0 + rest * s), with s = a if q0 is even and s = b if it is odd.
    ///
    /// The second rounding has to move q0 by one if |rest| > D / 2, not if |rest| < D / 2, and on a tie if q0 is
    /// odd. A tie makes rest * s a little less than 1/2 with a, a little more with b: as it should be. What is not a
    /// tie must not be carried over it. Write Q = |x / D| = k + 1/2 + t, t != 0, and u for the spacing of f32 near 1 / D,
    /// relative to it: u = 2^-24 M where D has mantissa M in (1, 2). Now |rest| / D = 1/2 + |t| or 1/2 - |t|, and that times
    /// a relative error of s, at most u, must not reach 1/2: |t| > u / 2 is enough. As d < 2^22, t is at least
    /// 1 / 2d > 2^-23 > u / 2 where X = 65536 x is an integer. Otherwise t is at least Q / m, m < 2^24 being the
    /// integer mantissa of x: for Q > 1 more than 2^-24 >= u / 2, well. That leaves k = 0, x just beside D / 2, where
    /// m = 2^23 M and so |t| >= 2^-24 / M: enough for the nearer of a and b, which is off by at most u / 2, but not for the
    /// other. So c leans to the side of the nearer one, by at least u off 1 / D. If a is the nearer, c is below it, and q0 is 0,
    /// hence s = a, unless t >= u / 2. If b is the nearer, c is above it, and q0 is 1, hence s = b, or
    /// it is 0 and then t < 0, where a cannot carry |rest| over D / 2.
    struct Fused<S: Simd> {
        /// c, the first factor.
        first: f32x16<S>,
        /// The bits of a; those of b are one more.
        second: u32x16<S>,
        /// -D.
        step: f32x16<S>,
        magic: f32x16<S>,
        bits: u32x16<S>,
        one: u32x16<S>,
    }

    impl<S: Simd> Fused<S> {
        #[inline(always)]
        fn new(simd: S, delta: u32) -> Self {
            let single = delta as f32;
            let nearest = 65536.0 / single;
            // 24 + 22 bits: exact. Equality would make delta a power of two.
            let (first, second) = if f64::from(nearest) * f64::from(single) < 65536.0 {
                (nearest.next_down(), nearest)
            } else {
                (nearest.next_up(), nearest.next_down())
            };
            Self {
                first: f32x16::splat(simd, first),
                second: u32x16::splat(simd, second.to_bits()),
                step: f32x16::splat(simd, -single / 65536.0),
                magic: f32x16::splat(simd, MAGIC),
                bits: u32x16::splat(simd, MAGIC_BITS),
                one: u32x16::splat(simd, 1),
            }
        }

        #[inline(always)]
        fn sums(&self, x: f32x16<S>) -> u32x16<S> {
            let sum = x.mul_add_precise(self.first, self.magic);
            let rest = (sum - self.magic).mul_add_precise(self.step, x);
            let bits: u32x16<S> = sum.bitcast();
            // The constant is even, so the sum's last bit is q0's.
            let second: f32x16<S> = (self.second + (bits & self.one)).bitcast();
            rest.mul_add_precise(second, sum).bitcast()
        }
    }

    impl<S: Simd> Kernel for Fused<S> {
        #[inline(always)]
        fn group<const N: usize>(
            &mut self,
            values: &[[f32; PAIR]; N],
            out: &mut [[u8; 2 * PAIR]; N],
        ) -> bool {
            let simd = self.first.token();
            let mut outside = u32x16::splat(simd, 0);
            for (values, out) in values.iter().zip(out) {
                let [low, high] = load(simd, values);
                let (low, high) = (self.sums(low), self.sums(high));
                outside = outside | (low ^ self.bits) | (high ^ self.bits);
                store(low, high, self.bits, out);
            }
            outside.simd_le(0xFFFF).all_true()
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{string::String, vec, vec::Vec};
    use proptest::prelude::*;

    /// The quotient by integers alone: x is m * 2^e, so x * 65536 / d is a fraction of integers, rounded half to even.
    fn rational(x: f32, delta: u32) -> (i16, bool) {
        let bits = x.to_bits();
        let (field, fraction) = ((bits >> 23) & 0xFF, bits & 0x7F_FFFF);
        let (m, e) = if field == 0 { (fraction, -149) } else { (fraction | 0x80_0000, field as i32 - 150) };
        let shift = e + 16;
        let (num, den) = if shift >= 0 {
            // Beyond 2^60 every non-zero numerator saturates at every delta.
            (i128::from(m) << shift.min(60), i128::from(delta))
        } else {
            // Beyond 2^80 every quotient is below 2^-56.
            (i128::from(m), i128::from(delta) << (-shift).min(80))
        };
        let (floor, rest) = (num / den, num % den);
        let up = 2 * rest > den || (2 * rest == den && floor % 2 == 1);
        let magnitude = floor + i128::from(up);
        let rounded = if bits >> 31 == 1 { -magnitude } else { magnitude };
        let q = rounded.clamp(-32768, 32767);
        (q as i16, q != rounded)
    }

    type Quantise = alloc::boxed::Box<dyn Fn(&[f32], u32, &mut [u8]) -> Outcome>;

    /// Every kernel this machine can run.
    fn quantisers() -> Vec<(String, Quantise)> {
        #[cfg_attr(not(feature = "simd"), allow(unused_mut))]
        let mut all: Vec<(String, Quantise)> =
            vec![("portable".into(), alloc::boxed::Box::new(portable::quantise) as Quantise)];
        #[cfg(all(feature = "simd", target_endian = "little"))]
        for level in crate::arch::levels() {
            all.push((
                alloc::format!("{level:?}"),
                alloc::boxed::Box::new(move |values, delta, out| simd::quantise(level, values, delta, out)),
            ));
        }
        all
    }

    fn check(values: &[f32], delta: u32) {
        let expected: Vec<(i16, bool)> = values.iter().map(|&x| rational(x, delta)).collect();
        let saturated = expected.iter().filter(|(_, s)| *s).count() as u64;
        for (&x, &pair) in values.iter().zip(&expected) {
            assert_eq!(one(x, delta), pair, "{x:e} ({:08x}) by {delta}", x.to_bits());
        }
        for (name, quantise) in quantisers() {
            let mut out = vec![0xAA; 2 * values.len()];
            assert_eq!(quantise(values, delta, &mut out), Ok(saturated), "{name}, by {delta}");
            for ((x, q), out) in values.iter().zip(&expected).zip(out.as_chunks::<2>().0) {
                let found = i16::from_le_bytes(*out);
                assert_eq!(found, q.0, "{name}: {x:e} ({:08x}) by {delta}", x.to_bits());
            }
        }
    }

    /// A multiplicative generator is noise enough here, and the same on every run.
    fn noise(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed ^ (*seed >> 29)
    }

    /// Steps of every kind: powers of two, neighbours of those, few and many significant bits, both ends.
    fn deltas() -> Vec<u32> {
        let mut all: Vec<u32> = (0..32).flat_map(|k| [(1u32 << k) - 1, 1 << k, (1 << k) + 1]).collect();
        all.extend([3, 10, 100, 255, 257, 1000, 1001, 65537, 100_000, 16_711_935, 0xFF_FFFF, 0xFF_FFFF << 8]);
        all.extend([0x0100_0001, 0x0100_0003, 123_456_789, 0xFFFF_FFFE, u32::MAX, 0x8000_0001]);
        let mut seed = 5;
        all.extend((0..60).map(|i| (noise(&mut seed) >> 32) as u32 >> (i % 32)));
        all.retain(|&d| d != 0);
        all
    }

    /// Ties, their neighbours in f32 and the ends of the range, for every kind of step.
    #[test]
    fn ties_and_ends() {
        let mut seed = 1;
        for delta in deltas() {
            let mut values = vec![0.0, -0.0, f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1e-45, -1e-45, 1e-40];
            let mut halves: Vec<i64> = (-9..=9).collect();
            halves.extend([65533, 65534, 65535, 65536, 65537, 65538, 65539]);
            halves.extend([-65533, -65534, -65535, -65536, -65537, -65538, -65539]);
            halves.extend((0..120).map(|i| ((noise(&mut seed) >> 40) as i64 % 65536) >> (i % 16)));
            halves.extend((0..120).map(|i| -(((noise(&mut seed) >> 40) as i64 % 65536) >> (i % 16))));
            for h in halves {
                // (h / 2) steps as near as f32 gets, which is exact where few bits suffice.
                let x = (h as f64 * f64::from(delta) / 131_072.0) as f32;
                values.extend([x, x.next_up(), x.next_down(), x.next_up().next_up()]);
            }
            // Saturated ones apart: they would send every group they are in to the definition.
            let (inside, outside): (Vec<f32>, Vec<f32>) =
                values.iter().partition(|&&x| !rational(x, delta).1);
            check(&inside, delta);
            check(&outside, delta);
            check(&values, delta);
        }
    }

    #[test]
    fn noise_of_every_magnitude() {
        let mut seed = 2;
        for delta in deltas() {
            // Within range, evenly spread over it.
            let range = f64::from(delta) / 2.0;
            let even: Vec<f32> = (0..4096)
                .map(|_| ((noise(&mut seed) >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * range)
                .map(|x| x as f32)
                .collect();
            check(&even, delta);
            // Any finite bits at all.
            let any: Vec<f32> = (0..1024)
                .map(|_| f32::from_bits((noise(&mut seed) >> 32) as u32))
                .filter(|x| x.is_finite())
                .collect();
            check(&any, delta);
        }
    }

    /// The f32 beside ties, above all beside D / 2, at many steps: where the argument of `Fused` is tightest.
    #[test]
    fn beside_ties() {
        const STRIDE: usize = 997;
        for delta in (3..(1 << 22) + 50_000).step_by(STRIDE) {
            let mut values = [0f32; 64];
            let halves = [1i32, 3, 5, 7, 65_533, 65_535, -65_535, -65_537].into_iter();
            for (values, h) in values.chunks_mut(8).zip(halves) {
                let mut x = (f64::from(h) * f64::from(delta) / 131_072.0) as f32;
                x = x.next_down().next_down().next_down();
                for value in values {
                    *value = if h.abs() > 65_534 && rational(x, delta).1 { 0.0 } else { x };
                    x = x.next_up();
                }
            }
            check(&values, delta);
        }
    }

    /// Integers and other short values, where every other quotient is a tie: all groups take the second look.
    #[test]
    fn nothing_but_ties() {
        for delta in [1000, 3 << 15, 65536, 0x0100_0002, 10] {
            let values: Vec<f32> =
                (-2000..2000).map(|h| (f64::from(2 * h + 1) * f64::from(delta) / 131_072.0) as f32).collect();
            check(&values, delta);
        }
    }

    /// Ties in some groups only: `Bracket` leaves all to the second kernel for a while, and comes back.
    #[test]
    fn ties_here_and_there() {
        let mut seed = 4;
        for delta in [1000, 77_777, (1 << 24) + 2, 3 << 30] {
            for period in [1usize, 3, 5, 40] {
                let step = f64::from(delta) / 65536.0;
                let values: Vec<f32> = (0..100 * GROUP * PAIR)
                    .map(|i| {
                        let q = (noise(&mut seed) >> 40) as f64 / 256.0 - 32768.0;
                        let tie = (i / (GROUP * PAIR)).is_multiple_of(period);
                        // Few bits, so that the ties are values of f32.
                        (if tie { (q / 64.0).floor() + 0.5 } else { q / 2.0 } * step) as f32
                    })
                    .collect();
                check(&values, delta);
            }
        }
    }

    /// 65536 / d lies between the factors, by integers: a factor is m * 2^-40 at least.
    #[cfg(feature = "simd")]
    #[test]
    fn factors_on_both_sides() {
        let mut seed = 6;
        let any = (0..200_000).map(|i| (noise(&mut seed) >> 32) as u32 >> (i % 30));
        for delta in deltas().into_iter().chain(1..100_000).chain(any) {
            if delta.is_power_of_two() || delta == 0 {
                continue;
            }
            let (below, above) = simd::factors(delta);
            let product = |factor: f32| (f64::from(factor) * 1_099_511_627_776.0) as i128 * i128::from(delta);
            assert!(product(below) < 1 << 56 && product(above) > 1 << 56, "{delta}");
            assert!(above.to_bits() - below.to_bits() <= 2, "{delta}");
        }
    }

    /// A whole stretch of neighbouring f32 across ties, at steps of each kernel.
    #[test]
    fn neighbours_in_a_row() {
        for delta in [1, 65536, 1000, 77_777, 0xFF_FFFF, 0x0123_4567, u32::MAX] {
            for h in [1i64, 3, 999, 65_533, 65_535] {
                let middle = ((h as f64) * f64::from(delta) / 131_072.0) as f32;
                let bits = middle.to_bits();
                let values: Vec<f32> = (bits - 1000..bits + 1000).map(f32::from_bits).collect();
                let inside: Vec<f32> = values.iter().copied().filter(|&x| !rational(x, delta).1).collect();
                check(&inside, delta);
                let negative: Vec<f32> = values.iter().map(|x| -x).collect();
                check(&negative, delta);
            }
        }
    }

    #[test]
    fn every_length_and_every_bad_place() {
        let mut seed = 3;
        let values: Vec<f32> = (0..3 * GROUP * PAIR).map(|_| (noise(&mut seed) >> 40) as f32 / 1e7).collect();
        for len in (0..2 * PAIR + 2).chain([255, 256, 257, 300, 511, 512, 513, 700]) {
            for delta in [4096, 5000, u32::MAX - 1] {
                check(&values[..len], delta);
            }
        }
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7F80_0001)] {
            for place in (0..700).step_by(13).chain([0, 31, 32, 255, 256, 511, 512, 698, 699]) {
                let mut values = values[..700].to_vec();
                values[place] = bad;
                values[699] = bad;
                for delta in [1, 4096, 5000, u32::MAX - 1] {
                    for (name, quantise) in quantisers() {
                        assert_eq!(quantise(&values, delta, &mut [0; 1400]), Err(place), "{name}, {bad}");
                    }
                }
                assert_eq!(extremes(&values), None);
            }
        }
    }

    /// q * delta by integers, rounded to 24 bits half to even by integers.
    fn product(q: i16, delta: u32) -> f32 {
        let product = i64::from(q) * i64::from(delta);
        let mut magnitude = product.unsigned_abs();
        let excess = (64 - magnitude.leading_zeros()).saturating_sub(24);
        let (unit, half) = (1u64 << excess, (1u64 << excess) / 2);
        let rest = magnitude % unit;
        magnitude -= rest;
        if rest > half || (rest == half && excess > 0 && (magnitude >> excess) % 2 == 1) {
            magnitude += unit;
        }
        // At most 24 bits now, so these conversions and divisions are exact.
        let x = magnitude as f32 / 65536.0;
        if product < 0 { -x } else { x }
    }

    #[test]
    fn every_q_back() {
        let payload: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
        for delta in deltas() {
            let expected: Vec<u32> = (i16::MIN..=i16::MAX).map(|q| product(q, delta).to_bits()).collect();
            let mut out = vec![0.0; 65536];
            dequantise_loop(&payload, delta, &mut out);
            assert!(out.iter().map(|x| x.to_bits()).eq(expected.iter().copied()), "by {delta}");
            #[cfg(feature = "simd")]
            for level in crate::arch::levels() {
                out.fill(0.0);
                simd::dequantise(level, &payload, delta, &mut out);
                assert!(
                    out.iter().map(|x| x.to_bits()).eq(expected.iter().copied()),
                    "{level:?}, by {delta}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_pair(bits in proptest::collection::vec(any::<u32>(), 1..80), delta in 1u32.., shift in 0u32..32) {
            let values: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).filter(|x| x.is_finite()).collect();
            check(&values, (delta >> shift).max(1));
        }

        /// Within the range, where the kernels do the work.
        #[test]
        fn any_pair_within(
            halves in proptest::collection::vec((-65536.0f64..65536.0, any::<bool>()), 1..80),
            delta in 1u32..,
            shift in 0u32..32,
        ) {
            let delta = (delta >> shift).max(1);
            let values: Vec<f32> = halves
                .iter()
                .map(|&(h, whole)| (if whole { f64::from(h as i32) } else { h } * f64::from(delta) / 131_072.0) as f32)
                .filter(|&x| !rational(x, delta).1)
                .collect();
            check(&values, delta);
        }

        #[test]
        fn extremes_are_min_and_max(values in proptest::collection::vec(-1e30f32..1e30, 0..300)) {
            let expected = values.iter().fold((0f32, 0f32), |(min, max), &x| (min.min(x), max.max(x)));
            prop_assert_eq!(extremes(&values), Some(expected));
        }
    }
}

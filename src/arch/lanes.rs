//! What kernels over rows of elements have in common: 16 lanes of f32, how elements are loaded into them, and the dispatch to
//! the CPU's level (in tests, to each of them).

use super::half;

/// Elements that a kernel handles at once.
pub(super) const LANES: usize = 16;

/// Operations on [`LANES`] elements, each lane rounded by itself.
pub(super) trait Lanes: Copy {
    /// f32.
    type Singles: Copy;
    fn singles(self, x: [f32; LANES]) -> Self::Singles;
    fn array(self, x: Self::Singles) -> [f32; LANES];
    fn widen_f16(self, half: [u16; LANES]) -> Self::Singles;
    fn widen_bf16(self, half: [u16; LANES]) -> Self::Singles;
    fn widen_i16(self, x: [i16; LANES]) -> Self::Singles;
    fn widen_i8(self, x: [i8; LANES]) -> Self::Singles;
    /// The bits that both have.
    fn and(self, a: Self::Singles, b: Self::Singles) -> Self::Singles;
    fn add(self, a: Self::Singles, b: Self::Singles) -> Self::Singles;
    fn mul(self, a: Self::Singles, b: Self::Singles) -> Self::Singles;
}

/// A type of little-endian elements of `N` bytes.
pub(super) trait Load<const N: usize> {
    fn load<L: Lanes>(isa: L, bytes: &[[u8; N]; LANES]) -> L::Singles;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct I16;
pub(super) struct I8;

impl Load<4> for F32 {
    #[inline(always)]
    fn load<L: Lanes>(isa: L, bytes: &[[u8; 4]; LANES]) -> L::Singles {
        let mut x = [0.0; LANES];
        for (x, bytes) in x.iter_mut().zip(bytes) {
            *x = f32::from_le_bytes(*bytes);
        }
        isa.singles(x)
    }
}

impl Load<2> for F16 {
    #[inline(always)]
    fn load<L: Lanes>(isa: L, bytes: &[[u8; 2]; LANES]) -> L::Singles {
        isa.widen_f16(from_le(bytes))
    }
}

impl Load<2> for Bf16 {
    #[inline(always)]
    fn load<L: Lanes>(isa: L, bytes: &[[u8; 2]; LANES]) -> L::Singles {
        isa.widen_bf16(from_le(bytes))
    }
}

impl Load<2> for I16 {
    #[inline(always)]
    fn load<L: Lanes>(isa: L, bytes: &[[u8; 2]; LANES]) -> L::Singles {
        let mut x = [0; LANES];
        for (x, bytes) in x.iter_mut().zip(bytes) {
            *x = i16::from_le_bytes(*bytes);
        }
        isa.widen_i16(x)
    }
}

impl Load<1> for I8 {
    #[inline(always)]
    fn load<L: Lanes>(isa: L, bytes: &[[u8; 1]; LANES]) -> L::Singles {
        let mut x = [0; LANES];
        for (x, bytes) in x.iter_mut().zip(bytes) {
            *x = i8::from_le_bytes(*bytes);
        }
        isa.widen_i8(x)
    }
}

#[inline(always)]
fn from_le(bytes: &[[u8; 2]; LANES]) -> [u16; LANES] {
    let mut half = [0; LANES];
    for (half, bytes) in half.iter_mut().zip(bytes) {
        *half = u16::from_le_bytes(*bytes);
    }
    half
}

/// Plain Rust: what the others are held to.
#[cfg(any(test, not(feature = "simd")))]
#[derive(Clone, Copy)]
pub(super) struct Portable;

#[cfg(any(test, not(feature = "simd")))]
impl Lanes for Portable {
    type Singles = [f32; LANES];

    #[inline(always)]
    fn singles(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn array(self, x: [f32; LANES]) -> [f32; LANES] {
        x
    }

    #[inline(always)]
    fn widen_f16(self, from: [u16; LANES]) -> [f32; LANES] {
        each(from, half::from_f16)
    }

    #[inline(always)]
    fn widen_bf16(self, from: [u16; LANES]) -> [f32; LANES] {
        each(from, half::from_bf16)
    }

    #[inline(always)]
    fn widen_i16(self, from: [i16; LANES]) -> [f32; LANES] {
        each(from, f32::from)
    }

    #[inline(always)]
    fn widen_i8(self, from: [i8; LANES]) -> [f32; LANES] {
        each(from, f32::from)
    }

    #[inline(always)]
    fn and(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = f32::from_bits(a.to_bits() & b.to_bits());
        }
        a
    }

    #[inline(always)]
    fn add(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a *= b;
        }
        a
    }
}

#[cfg(any(test, not(feature = "simd")))]
#[inline(always)]
fn each<T: Copy>(from: [T; LANES], one: impl Fn(T) -> f32) -> [f32; LANES] {
    let mut to = [0.0; LANES];
    for (to, from) in to.iter_mut().zip(from) {
        *to = one(from);
    }
    to
}

#[cfg(feature = "simd")]
pub(super) mod simd {
    use super::{LANES, Lanes, half};
    use fearless_simd::{prelude::*, *};

    /// The vectors of a level.
    #[derive(Clone, Copy)]
    pub(in crate::arch) struct Native<S>(pub(in crate::arch) S);

    impl<S: Simd> Lanes for Native<S> {
        type Singles = f32x16<S>;

        #[inline(always)]
        fn singles(self, x: [f32; LANES]) -> f32x16<S> {
            f32x16::simd_from(self.0, x)
        }

        #[inline(always)]
        fn array(self, x: f32x16<S>) -> [f32; LANES] {
            x.into()
        }

        #[inline(always)]
        fn widen_f16(self, half: [u16; LANES]) -> f32x16<S> {
            half::simd::from_f16(u16x16::simd_from(self.0, half))
        }

        #[inline(always)]
        fn widen_bf16(self, half: [u16; LANES]) -> f32x16<S> {
            half::simd::from_bf16(u16x16::simd_from(self.0, half))
        }

        #[inline(always)]
        fn widen_i16(self, x: [i16; LANES]) -> f32x16<S> {
            let (low, high) = i16x16::simd_from(self.0, x).widen();
            low.combine(high).to_float()
        }

        #[inline(always)]
        fn widen_i8(self, x: [i8; LANES]) -> f32x16<S> {
            let (low, high) = i8x16::simd_from(self.0, x).widen();
            let ((a, b), (c, d)) = (low.widen(), high.widen());
            a.combine(b).combine(c.combine(d)).to_float()
        }

        #[inline(always)]
        fn and(self, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
            let (a, b): (u32x16<S>, u32x16<S>) = (a.bitcast(), b.bitcast());
            (a & b).bitcast()
        }

        #[inline(always)]
        fn add(self, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
            a + b
        }

        #[inline(always)]
        fn mul(self, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
            a * b
        }
    }
}

/// The CPU's level; in tests the one asked for.
#[cfg(feature = "simd")]
pub(super) fn level() -> fearless_simd::Level {
    #[cfg(test)]
    if let tiers::Tier::Level(level) = tiers::TIER.get() {
        return level;
    }
    super::level()
}

/// The expression with the level's operations as `isa`, as what the function returns.
macro_rules! at_level {
    ($isa:ident => $body:expr) => {{
        #[cfg(all(test, feature = "simd"))]
        if matches!(crate::arch::lanes::tiers::TIER.get(), crate::arch::lanes::tiers::Tier::Portable) {
            let $isa = crate::arch::lanes::Portable;
            return $body;
        }
        #[cfg(feature = "simd")]
        {
            fearless_simd::dispatch!(
                crate::arch::lanes::level(),
                simd => { let $isa = crate::arch::lanes::simd::Native(simd); $body }
            )
        }
        #[cfg(not(feature = "simd"))]
        {
            let $isa = crate::arch::lanes::Portable;
            $body
        }
    }};
}
pub(super) use at_level;

/// For tests: the same on every level.
#[cfg(test)]
pub(crate) mod tiers {
    extern crate std;
    use core::cell::Cell;
    use std::vec;

    /// What a test's thread runs on.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Tier {
        /// What every user gets on this machine.
        Best,
        #[cfg(feature = "simd")]
        Portable,
        #[cfg(feature = "simd")]
        Level(fearless_simd::Level),
    }

    std::thread_local! {
        pub(in crate::arch) static TIER: Cell<Tier> = const { Cell::new(Tier::Best) };
    }

    /// Every tier of this machine by turns.
    pub(crate) fn on_every_tier(mut check: impl FnMut(Tier)) {
        #[cfg_attr(not(feature = "simd"), allow(unused_mut))]
        let mut tiers = vec![Tier::Best];
        #[cfg(feature = "simd")]
        {
            tiers.push(Tier::Portable);
            tiers.extend(crate::arch::levels().map(Tier::Level));
        }
        for tier in tiers {
            TIER.set(tier);
            check(tier);
        }
        TIER.set(Tier::Best);
    }
}

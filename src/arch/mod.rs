//! Kernels: portable code defines every answer, `simd` gives the same bits faster.
//!
//! Two cfgs choose a tier by hand, for tests, benches and CI (`RUSTFLAGS='--cfg bitwire_level="avx2"'`):
//! `bitwire_level` = `baseline` (what the target has at compile time) or `avx2` keeps [`level`] from going
//! higher; `bitwire_crc` = `shift` or `table` picks the portable CRC-16, else `std` decides.

pub(crate) mod blocks;
#[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
mod clmul;
pub(crate) mod crc16;
pub(crate) mod ggml;
pub(crate) mod half;
pub(crate) mod lanes;
pub(crate) mod matvec;
pub(crate) mod moments;
pub(crate) mod mu16;
pub(crate) mod pack;
pub(crate) mod rotation;
pub(crate) mod search;
#[cfg(any(test, feature = "std"))]
pub(crate) mod sha256;

/// The instruction set to dispatch on: detected at run time with `std`, the compile-time baseline without.
///
/// Cheap enough for a 200-byte frame: `Level::new` detects once and afterwards costs one atomic load.
#[cfg(feature = "simd")]
#[inline]
pub(crate) fn level() -> fearless_simd::Level {
    #[cfg(all(feature = "std", not(bitwire_level = "baseline")))]
    let level = fearless_simd::Level::new();
    #[cfg(any(not(feature = "std"), bitwire_level = "baseline"))]
    let level = fearless_simd::Level::baseline();

    #[cfg(all(bitwire_level = "avx2", any(target_arch = "x86", target_arch = "x86_64")))]
    if let Some(avx2) = level.as_avx2() {
        return fearless_simd::Simd::level(avx2);
    }
    level
}

/// Every level this machine has, the lowest first.
#[cfg(all(test, feature = "simd"))]
pub(crate) fn levels() -> impl Iterator<Item = fearless_simd::Level> {
    use fearless_simd::{Level, Simd as _};
    let best = level();
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    let between = [best.as_sse4_2().map(|t| t.level()), best.as_avx2().map(|t| t.level())];
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
    let between = [None; 0];
    [Level::baseline()].into_iter().chain(between.into_iter().flatten()).chain([best])
}

//! Kernels: portable code defines every answer, `simd` gives the same bits faster.
pub(crate) mod moments;

pub(crate) mod moments;

/// The instruction set to dispatch on: detected at run time with `std`, the compile-time baseline without.
#[cfg(feature = "simd")]
pub(crate) fn level() -> fearless_simd::Level {
    #[cfg(feature = "std")]
    return fearless_simd::Level::new();
    #[cfg(not(feature = "std"))]
    return fearless_simd::Level::baseline();
}

//! Whitening of keys, and the fingerprints that stand on it (spec/engram.md, "Whitening").
//!
//! A whitening is fitted once on the keys of a few documents (`WhiteningFit`, feature `linalg`) and kept as a frame
//! of its own ([`Whitening`]). With it a text's keys become [`WhitenedTokens`], and these a fingerprint: their
//! [`mean`](WhitenedTokens::mean) or a few [`centroids`](WhitenedTokens::centroids).

#[cfg(feature = "alloc")]
mod centroids;
#[cfg(feature = "linalg")]
mod fit;
#[cfg(test)]
mod tests;
#[cfg(feature = "alloc")]
mod tokens;
mod view;

#[cfg(feature = "linalg")]
pub use fit::{DEFAULT_SHRINKAGE, FittedWhitening, WhiteningFit};
#[cfg(feature = "alloc")]
pub use tokens::{DEFAULT_CENTROIDS, DEFAULT_COMPONENTS, WhitenedTokens};
pub use view::Whitening;

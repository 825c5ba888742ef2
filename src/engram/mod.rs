//! Engrams: KV states of language models, their fingerprints, and how they are found again (spec/engram.md).

pub mod certificate;
#[cfg(feature = "alloc")]
pub mod fingerprint;
pub mod ggml;
pub mod index;
mod keys;
#[cfg(feature = "std")]
pub mod proof;
mod rotation;
pub mod state;
pub mod whitening;

pub use keys::{KeyShape, KeySource, Keys};
pub use rotation::{Angle, Pairs, Rope, Unrotated, VALUE_HADAMARD_BLOCK, hadamard, key_hadamard_block};

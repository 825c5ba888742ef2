//! Fingerprints of keys, with the meanings of ENGRAM (spec/engram.md, "Fingerprints").
//!
//! | | what it is | length |
//! |---|---|---|
//! | [`mean_pool`] | the mean key | `head_dim` |
//! | [`LayerMeans::fourier`] | how the mean keys change from layer to layer | frequencies x `heads * head_dim` |
//! | [`fourier_sections`] | the same, one section of layers after the other | the sum |
#![cfg_attr(
    feature = "linalg",
    doc = "| [`svd_project`] | the mean key in the singular vectors of the keys | rank |"
)]
#![cfg_attr(feature = "linalg", doc = "| [`xkv_project`] | the same for every 4 layers | groups x rank |")]
#![cfg_attr(
    feature = "linalg",
    doc = "| [`fit_corpus_basis`], [`Basis::extract`] | the mean key in the singular vectors of many documents | rank |"
)]
//!
//! They are what ENGRAM stores and compares; on the keys of a real model they find little. Those of
//! [whitened keys](super::whitening) are the ones to use.
#![deny(clippy::arithmetic_side_effects)]

mod fourier;
mod layers;
mod mean;
#[cfg(any(test, feature = "linalg"))]
mod sample;
#[cfg(feature = "linalg")]
mod svd;
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests;

pub use fourier::{FourierOptions, FourierScale, LayerMeans, fourier_sections};
pub use layers::LayerRange;
pub use mean::{l2_norm, mean_pool};
#[cfg(feature = "linalg")]
pub use svd::{
    Basis, CorpusFingerprint, CorpusOptions, MAX_SVD_DIM, Signs, SvdFingerprint, SvdOptions, XkvFingerprint,
    XkvOptions, fit_corpus_basis, svd_project, xkv_project,
};

use super::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};

/// The most components of a token's keys in one layer: a source that claims more makes nobody allocate them. The largest
/// models have some thousands.
pub const MAX_WIDTH: u32 = 1 << 20;

/// The shape of keys that there can be a fingerprint of.
fn shape<S: KeySource + ?Sized>(keys: &S) -> Result<KeyShape> {
    let shape = keys.shape();
    let argument = |expected| Err(Error::caller(ErrorKind::Argument { expected }));
    if shape.layers == 0 || shape.heads == 0 || shape.head_dim == 0 {
        return argument("keys have at least one layer, one head and one component");
    }
    if shape.tokens == 0 {
        return argument("there are no tokens, so there are no keys to take a fingerprint of");
    }
    let width = shape.width()?;
    if width > MAX_WIDTH {
        let (max, found) = (u64::from(MAX_WIDTH), u64::from(width));
        return Err(Error::caller(ErrorKind::TooLarge { field: "heads * head_dim", max, found }));
    }
    Ok(shape)
}

/// The place of the first value of a token's keys that is not finite.
#[cold]
fn non_finite(keys: &[f32], head_dim: u32, layer: u32, first_head: u32, token: u32) -> Error {
    let place = keys.iter().position(|x| !x.is_finite()).unwrap_or(0);
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    let head = place.checked_div(head_dim).unwrap_or(0).saturating_add(first_head);
    let component = place.checked_rem(head_dim).unwrap_or(0);
    Error::caller(ErrorKind::NonFiniteKey { layer, head, token, component })
}

//! The mean key.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::{LayerRange, non_finite, shape};
use crate::arch::moments::add_row;
use crate::engram::KeySource;
use crate::engram::norm::norm;
use crate::error::Result;
use crate::memory::zeros;

/// The mean of all keys of the layers: `head_dim` values, over layers, heads and tokens.
///
/// Summed in f64 and rounded once. Reads every key of these layers; memory for one token's keys.
///
/// # Errors
/// [`ErrorKind::NoLayers`], [`ErrorKind::NonFiniteKey`]; [`ErrorKind::Argument`] if there are no keys;
/// [`ErrorKind::TooLarge`] for a token's keys of more than [`MAX_WIDTH`](super::MAX_WIDTH) components; what the source returns.
///
/// [`ErrorKind::NoLayers`]: crate::ErrorKind::NoLayers
/// [`ErrorKind::NonFiniteKey`]: crate::ErrorKind::NonFiniteKey
/// [`ErrorKind::Argument`]: crate::ErrorKind::Argument
/// [`ErrorKind::TooLarge`]: crate::ErrorKind::TooLarge
pub fn mean_pool<S: KeySource + ?Sized>(keys: &S, layers: LayerRange) -> Result<Vec<f32>> {
    let mean = mean_of(keys, layers)?;
    Ok(mean.iter().map(|x| *x as f32).collect())
}

/// The mean key before it is rounded.
pub(super) fn mean_of<S: KeySource + ?Sized>(keys: &S, layers: LayerRange) -> Result<Vec<f64>> {
    let shape = shape(keys)?;
    let layers = layers.of(shape.layers)?;
    let rows = layers.len() as f64 * f64::from(shape.heads) * f64::from(shape.tokens);
    let head_dim = shape.head_dim as usize;
    let mut mean = zeros(head_dim)?;
    let mut sums = zeros(shape.width()? as usize)?;
    for layer in layers {
        sum_of_layer(keys, layer, &mut sums)?;
        for head in sums.chunks(head_dim.max(1)) {
            mean.iter_mut().zip(head).for_each(|(mean, x)| *mean += x / rows);
        }
        sums.fill(0.0);
    }
    Ok(mean)
}

/// Adds the keys of a layer's tokens, heads side by side.
pub(super) fn sum_of_layer<S: KeySource + ?Sized>(keys: &S, layer: u32, sums: &mut [f64]) -> Result<()> {
    let shape = keys.shape();
    let mut row = zeros(sums.len())?;
    for token in 0..shape.tokens {
        keys.token_into(layer, token, &mut row)?;
        if !add_row(&row, sums) {
            return Err(non_finite(&row, shape.head_dim, layer, 0, token));
        }
    }
    Ok(())
}

/// The length of a vector, summed in f64.
#[must_use]
pub fn l2_norm(vector: &[f32]) -> f64 {
    norm(vector)
}

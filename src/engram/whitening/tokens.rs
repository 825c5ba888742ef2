//! A text's keys, whitened (spec/engram.md, "Whitened tokens", "Whitened mean").

use alloc::vec::Vec;
use core::ops::Range;

use super::centroids::Clusters;
use super::view::Whitening;
use crate::engram::KeySource;
use crate::engram::norm::squared_norm;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::zeros;

/// The components to keep where nothing is known of the keys: 192, or all there are if they are fewer.
pub const DEFAULT_COMPONENTS: usize = 192;

/// The [centroids](WhitenedTokens::centroids) to keep where nothing is known of the texts: 16. As signs of
/// [`DEFAULT_COMPONENTS`] they take 384 bytes.
pub const DEFAULT_CENTROIDS: usize = 16;

/// Keys that are fetched before they are whitened together.
const AT_ONCE: usize = 64;

/// The whitened keys of a text's tokens in one layer: what a document's fingerprint is made from, and what a query is.
///
/// A query is searched for with [`values`](Self::values) as its vectors and [`weights`](Self::weights) as theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct WhitenedTokens {
    components: usize,
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl WhitenedTokens {
    /// Whitens the keys of `tokens` in one layer, and keeps the first `components` of each. Where a text has special
    /// tokens at its ends, leave them out: they carry the offset of their position, not content.
    ///
    /// Takes `2 * dim * components` operations and `4 * components` bytes for a token.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for no tokens; [`ErrorKind::PastEnd`] if the source has fewer; [`ErrorKind::Shape`] if its
    /// `heads * head_dim` is not the whitening's `dim`; [`ErrorKind::NonFinite`] for a token whose key, or whose whitened
    /// key, has a value that is NaN or infinite, with the token's place in the source as the row;
    /// [`ErrorKind::Argument`] if `components` is 0, [`ErrorKind::TooLarge`] if it is more than the whitening has;
    /// [`ErrorKind::OutOfMemory`]; the source's own.
    pub fn new(
        whitening: &Whitening<'_>,
        keys: &(impl KeySource + ?Sized),
        layer: u32,
        tokens: Range<u32>,
        components: usize,
    ) -> Result<Self> {
        let (needed, found) = (u64::from(whitening.dim()), u64::from(keys.shape().width()?));
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "heads * head_dim", needed, found }));
        }
        let fetch = |token: u64, key: &mut [f32]| {
            keys.token_into(layer, u32::try_from(token).unwrap_or(u32::MAX), key)
        };
        Self::collect(whitening, u64::from(tokens.start)..u64::from(tokens.end), components, fetch)
    }

    /// The same for keys that stand one after the other, `dim` components each.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ErrorKind::Shape`] if the last key is not whole.
    pub fn from_rows(whitening: &Whitening<'_>, rows: &[f32], components: usize) -> Result<Self> {
        let dim = (whitening.dim() as usize).max(1);
        let keys = rows.chunks_exact(dim);
        let (count, partial) = (keys.len() as u64, keys.remainder().len() as u64);
        if partial != 0 {
            let (needed, found) = (dim as u64, partial);
            return Err(Error::caller(ErrorKind::Shape {
                field: "components of the last key",
                needed,
                found,
            }));
        }
        let fetch = |token: u64, to: &mut [f32]| {
            let key = usize::try_from(token).ok().and_then(|token| rows.chunks_exact(dim).nth(token));
            to.copy_from_slice(key.unwrap_or_default());
            Ok(())
        };
        Self::collect(whitening, 0..count, components, fetch)
    }

    fn collect(
        whitening: &Whitening<'_>,
        tokens: Range<u64>,
        components: usize,
        fetch: impl Fn(u64, &mut [f32]) -> Result<()>,
    ) -> Result<Self> {
        if tokens.is_empty() {
            return Err(Error::caller(ErrorKind::WindowRows { needed: 1, found: 0 }));
        }
        // Checks `components` before anything is allocated.
        whitening.apply_rows_into(&mut [], components, &mut [])?;
        let count = usize::try_from(tokens.end.saturating_sub(tokens.start)).unwrap_or(usize::MAX);
        let dim = (whitening.dim() as usize).max(1);
        let mut values = zeros(count.saturating_mul(components))?;
        let mut weights = zeros(count)?;
        let mut keys = zeros(count.min(AT_ONCE).saturating_mul(dim))?;
        let mut first = tokens.start;
        for (ys, weights) in values.chunks_mut(AT_ONCE * components).zip(weights.chunks_mut(AT_ONCE)) {
            let keys = keys.get_mut(..weights.len() * dim).unwrap_or_default();
            for (token, key) in (first..).zip(keys.chunks_exact_mut(dim)) {
                fetch(token, key)?;
                check_finite(token, key)?;
            }
            whitening.apply_rows_into(keys, components, ys)?;
            for ((token, y), weight) in (first..).zip(ys.chunks_exact(components)).zip(weights.iter_mut()) {
                check_finite(token, y)?;
                *weight = squared_norm(y) as f32;
                check_finite(token, &[*weight])?;
            }
            first = first.saturating_add(AT_ONCE as u64);
        }
        Ok(Self { components, values, weights })
    }

    /// Tokens; at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.weights.len()
    }

    /// Components of a whitened key.
    #[must_use]
    pub const fn components(&self) -> usize {
        self.components
    }

    /// The whitened keys, token by token.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The squared norm of each whitened key: how much it says, since under the whitening what is common is short.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The mean of the whitened keys `y`, weighted by their squared norms: `sum |y|^2 y / sum |y|^2`. In f64, rounded
    /// once.
    ///
    /// # Errors
    /// [`ErrorKind::Number`] if every key is the whitening's mean.
    pub fn mean(&self) -> Result<Vec<f32>> {
        let mut sums: Vec<f64> = zeros(self.components)?;
        let mut total = 0.0;
        for y in self.values.chunks_exact(self.components.max(1)) {
            let weight = squared_norm(y);
            total += weight;
            for (sum, &x) in sums.iter_mut().zip(y) {
                *sum += weight * f64::from(x);
            }
        }
        if total == 0.0 {
            return Err(Error::caller(ErrorKind::Number { field: "the sum of the tokens' weights" }));
        }
        let mut mean = zeros(self.components)?;
        for (mean, sum) in mean.iter_mut().zip(&sums) {
            *mean = (sum / total) as f32;
        }
        Ok(mean)
    }

    /// `count` unit vectors, one after the other, that stand for the whitened keys: like keys are joined until so many
    /// groups are left, and each gives its direction. Stored as signs they are the fingerprint that finds most in few
    /// bytes; the score that goes with them is MaxSim.
    ///
    /// Texts with fewer tokens than `count` repeat theirs. The same bits on every machine. Each token is compared with the
    /// groups so far, at most 256: up to `512 * components` operations for a token. Memory is at most 1 MB and 2 KB for
    /// each component.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] unless `count` is 1 to 256; [`ErrorKind::Number`] if every key is the whitening's mean;
    /// [`ErrorKind::OutOfMemory`].
    pub fn centroids(&self, count: usize) -> Result<Vec<f32>> {
        let mut clusters = Clusters::new(self.components, self.count())?;
        for y in self.values.chunks_exact(self.components.max(1)) {
            clusters.push(y);
        }
        clusters.into_directions(count)
    }
}

fn check_finite(token: u64, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(column) => Err(Error::caller(ErrorKind::NonFinite { row: token, column: column as u64 })),
    }
}

//! Fitting a whitening to documents (spec/engram.md, "Fit").

use alloc::vec::Vec;
use core::ops::Range;

use super::view::Whitening;
use crate::beacon::stats::{Moments, Sigma};
use crate::engram::KeySource;
use crate::engram::eigen::self_adjoint;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ContextHash, FrameBuilder};
use crate::memory::zeros;

/// The shrinkage to use where nothing is known of the keys: 0.3.
pub const DEFAULT_SHRINKAGE: f64 = 0.3;

/// The largest number of key components that a whitening is fitted to: the time goes with its cube.
const DIM_MAX: u32 = 8192;

/// Collects the keys of documents, to fit a whitening to them.
///
/// Ten documents of a hundred tokens are enough for keys of 384 components. Memory is `4 * dim * dim` bytes and 1 KiB
/// for each component, whatever the number of keys.
#[derive(Clone, Debug)]
pub struct WhiteningFit {
    moments: Moments<Vec<f64>>,
    dim: u32,
}

impl WhiteningFit {
    /// No keys yet; each has `dim` components.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` is 0; [`ErrorKind::TooLarge`] over 8192, or if the memory is not to be had.
    pub fn new(dim: u32) -> Result<Self> {
        if dim > DIM_MAX {
            let (max, found) = (u64::from(DIM_MAX), u64::from(dim));
            return Err(Error::caller(ErrorKind::TooLarge { field: "dim", max, found }));
        }
        Ok(Self { moments: Moments::new(dim as usize, Sigma::Full)?, dim })
    }

    /// Takes in the keys of `tokens` in one layer of a document. Leave special tokens out, as for
    /// [`WhitenedTokens::new`](super::WhitenedTokens::new).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the source's `heads * head_dim` is not `dim`; [`ErrorKind::NonFinite`], with the token's
    /// place in the source as the row, after which the tokens before it are taken in; the source's own.
    pub fn push(&mut self, keys: &(impl KeySource + ?Sized), layer: u32, tokens: Range<u32>) -> Result<()> {
        let (needed, found) = (u64::from(self.dim), u64::from(keys.shape().width()?));
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "heads * head_dim", needed, found }));
        }
        let mut key: Vec<f32> = zeros(self.dim as usize)?;
        for token in tokens {
            keys.token_into(layer, token, &mut key)?;
            self.moments.push_f32(&key).map_err(|error| match error.kind() {
                ErrorKind::NonFinite { column, .. } => {
                    Error::caller(ErrorKind::NonFinite { row: u64::from(token), column })
                }
                _ => error,
            })?;
        }
        Ok(())
    }

    /// Takes in keys that stand one after the other.
    ///
    /// # Errors
    /// [`ErrorKind::RowLength`] if the last key is not whole, and then none is taken in; [`ErrorKind::NonFinite`], with the
    /// place among all keys so far, after which the keys before it are taken in.
    pub fn push_rows(&mut self, rows: &[f32]) -> Result<()> {
        self.moments.push_rows_f32(rows)
    }

    /// Keys so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.moments.rows()
    }

    /// The whitening of the keys so far: their mean and, for the `outputs` largest eigenvalues of their covariance
    /// (divisor `count - 1`), the eigenvector over `sqrt(eigenvalue + shrinkage * mean eigenvalue)`. Each eigenvector's
    /// component of largest magnitude, of equal ones the first, is made positive.
    ///
    /// Computed in f64 and rounded once. The eigenvectors come from faer, which uses the instructions there are: on
    /// another machine a whitening is the same only to rounding, so fit once and keep the frame. Takes about
    /// `9 * dim^3` operations and `24 * dim^2` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for fewer than 2 keys; [`ErrorKind::Argument`] if `outputs` is 0 or more than `dim`, or
    /// `shrinkage` is below 0 or not finite; [`ErrorKind::Number`] if nothing can be divided by: all keys are the same,
    /// or an eigenvalue is 0 and the shrinkage too, or if a value is beyond f32.
    pub fn fit(&mut self, outputs: u32, shrinkage: f64) -> Result<FittedWhitening> {
        let refuse = |expected| Error::caller(ErrorKind::Argument { expected });
        if outputs == 0 || outputs > self.dim {
            return Err(refuse("outputs: at least 1, and at most the components of a key"));
        }
        if !(shrinkage >= 0.0 && shrinkage.is_finite()) {
            return Err(refuse("shrinkage: a finite number, 0 or more"));
        }
        let found = self.count();
        if found < 2 {
            return Err(Error::caller(ErrorKind::WindowRows { needed: 2, found }));
        }
        let dim = self.dim as usize;
        let number = |field| Error::caller(ErrorKind::Number { field });
        let summary = self.moments.summary()?;
        let mut covariance: Vec<f64> = zeros(dim.saturating_mul(dim))?;
        for (j, column) in covariance.chunks_exact_mut(dim).enumerate() {
            for (i, to) in column.iter_mut().enumerate().skip(j) {
                *to = summary.covariance(i, j).unwrap_or(0.0);
            }
        }
        let (values, vectors) = self_adjoint(covariance, dim, "the eigenvalues")?;
        // Increasing; rounding leaves some below 0.
        let mut eigenvalues: Vec<f64> = zeros(outputs as usize)?;
        for (to, value) in eigenvalues.iter_mut().zip(values.iter().rev()) {
            *to = value.max(0.0);
        }
        let ridge = shrinkage * (summary.trace() / f64::from(self.dim));

        let rows = (outputs as usize).saturating_add(1);
        let mut whitening: Vec<f32> = zeros(rows.saturating_mul(dim))?;
        let (mean, directions) = whitening.split_at_mut_checked(dim).unwrap_or_default();
        for (to, &x) in mean.iter_mut().zip(summary.mean()) {
            *to = x as f32;
        }
        let vectors = vectors.chunks_exact(dim).rev();
        for ((row, vector), value) in directions.chunks_exact_mut(dim).zip(vectors).zip(&eigenvalues) {
            let largest =
                vector.iter().fold(0.0f64, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
            let scale = libm::sqrt(value + ridge);
            let signed = if largest < 0.0 { -scale } else { scale };
            for (to, x) in row.iter_mut().zip(vector.iter()) {
                *to = (x / signed) as f32;
            }
        }
        if !whitening.iter().all(|x| x.is_finite()) {
            return Err(number("a value of the whitening"));
        }
        let bytes = whitening.iter().flat_map(|x| x.to_le_bytes()).collect();
        Ok(FittedWhitening { dim: self.dim, outputs, eigenvalues, bytes })
    }
}

/// A whitening in memory of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedWhitening {
    dim: u32,
    outputs: u32,
    eigenvalues: Vec<f64>,
    bytes: Vec<u8>,
}

impl FittedWhitening {
    /// The whitening.
    ///
    /// # Errors
    /// None that [`WhiteningFit::fit`] has not excluded.
    pub fn view(&self) -> Result<Whitening<'_>> {
        Whitening::new(self.dim, self.outputs, &self.bytes)
    }

    /// The eigenvalues of its directions, the largest first.
    #[must_use]
    pub fn eigenvalues(&self) -> &[f64] {
        &self.eigenvalues
    }

    /// Its frame, to be given a context and padding.
    ///
    /// # Errors
    /// As [`view`](Self::view).
    pub fn to_frame(&self, ctx: ContextHash) -> Result<FrameBuilder<'_>> {
        Whitening::to_frame(self.dim, self.outputs, &self.bytes, ctx)
    }
}

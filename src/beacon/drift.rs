//! Drift: how far a window's mean lies from a reference (spec/beacon.md, "RESULTS_V1").

use super::results::is_range;
use crate::error::{Error, ErrorKind, Result};

/// What a window's mean is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Reference {
    /// The window's second half with its first.
    WindowHalf,
    /// The window with an outside mean.
    Baseline,
}

impl Reference {
    /// The JSON value in RESULTS_V1.
    pub(super) const fn name(reference: Option<Self>) -> &'static str {
        match reference {
            Some(Self::WindowHalf) => "\"window-half\"",
            Some(Self::Baseline) => "\"baseline\"",
            None => "\"none\"",
        }
    }
}

/// The weights of the score: SDS = `mu` * norm_dmu + `tr_sigma` * tr_Sigma. Finite, not negative, by default 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Weights {
    /// Weight of the mean's displacement (w_mu).
    pub mu: f64,
    /// Weight of the covariance's trace (w_trS).
    pub tr_sigma: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { mu: 1.0, tr_sigma: 1.0 }
    }
}

impl Weights {
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |field| Err(Error::caller(ErrorKind::Number { field }));
        if !is_range(self.mu) {
            return refuse("weights.mu");
        }
        if is_range(self.tr_sigma) { Ok(()) } else { refuse("weights.trS") }
    }
}

/// How far a mean has moved.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Drift {
    /// Against what.
    pub reference: Reference,
    /// The score.
    pub sds: f64,
    /// Cosine of the angle between the two means; `None` if either is zero.
    pub cos_mu: Option<f64>,
    /// L2 norm of their difference.
    pub norm_dmu: f64,
}

impl Drift {
    /// The drift of `mu` from `reference_mu`, in f64, with the trace of the window's covariance.
    ///
    /// Norms are computed on values scaled by a power of two, so that no square overflows or vanishes.
    ///
    /// # Errors
    /// [`ErrorKind::RowLength`] if the means differ in length; [`ErrorKind::Number`] if the weights are not finite
    /// and >= 0 or a result is not finite.
    pub fn between(
        reference: Reference,
        mu: &[f64],
        reference_mu: &[f64],
        tr_sigma: f64,
        weights: Weights,
    ) -> Result<Self> {
        weights.check()?;
        Self::of(reference, Moved::between(mu, reference_mu)?, tr_sigma, weights)
    }

    /// The drift of a mean that has moved so far. The weights were checked.
    pub(super) fn of(reference: Reference, moved: Moved, tr_sigma: f64, weights: Weights) -> Result<Self> {
        let Moved { cos_mu, norm_dmu } = moved;
        let number = |field| Error::caller(ErrorKind::Number { field });
        let sds = weights.mu * norm_dmu + weights.tr_sigma * tr_sigma;
        if !norm_dmu.is_finite() {
            return Err(number("norm_dmu"));
        }
        if !sds.is_finite() {
            return Err(number("SDS"));
        }
        Ok(Self { reference, sds, cos_mu, norm_dmu })
    }
}

/// How far a mean has moved, before it is weighed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    cos_mu: Option<f64>,
    norm_dmu: f64,
}

impl Moved {
    pub(super) fn between(mu: &[f64], reference_mu: &[f64]) -> Result<Self> {
        if mu.len() != reference_mu.len() {
            let (needed, found) = (mu.len() as u64, reference_mu.len() as u64);
            return Err(Error::caller(ErrorKind::RowLength { row: 0, needed, found }));
        }
        let number = |field| Error::caller(ErrorKind::Number { field });
        let norm_dmu = norm(mu.iter().zip(reference_mu).map(|(a, b)| a - b));
        let (a, b) = (norm(mu.iter().copied()), norm(reference_mu.iter().copied()));
        let cos_mu = if a > 0.0 && b > 0.0 {
            let dot: f64 = mu.iter().zip(reference_mu).map(|(x, y)| (x / a) * (y / b)).sum();
            Some(dot.clamp(-1.0, 1.0)).filter(|cos| cos.is_finite()).ok_or(number("cos_mu")).map(Some)?
        } else {
            None
        };
        Ok(Self { cos_mu, norm_dmu })
    }
}

/// The L2 norm; NaN or infinite only if a value is, or the norm itself exceeds f64.
fn norm(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().map(f64::abs).fold(0.0, f64::max);
    let plain = |scale: f64| libm::sqrt(values.clone().map(|x| (x * scale) * (x * scale)).sum::<f64>());
    if max == 0.0 || (1e-140..=1e140).contains(&max) {
        plain(1.0)
    } else if max < 1e-140 {
        plain(f64::from_bits(1523 << 52)) * f64::from_bits(523 << 52)
    } else {
        plain(f64::from_bits(423 << 52)) * f64::from_bits(1623 << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(mu: &[f64], reference: &[f64]) -> Drift {
        Drift::between(Reference::Baseline, mu, reference, 2.0, Weights { mu: 3.0, tr_sigma: 0.5 }).unwrap()
    }

    #[test]
    fn by_hand() {
        let drift = between(&[3.0, 0.0], &[0.0, 4.0]);
        assert_eq!((drift.norm_dmu, drift.cos_mu, drift.sds), (5.0, Some(0.0), 16.0));
        let drift = between(&[1.0, 2.0, 2.0], &[1.0, 2.0, 2.0]);
        assert_eq!(drift.norm_dmu, 0.0);
        assert!((drift.cos_mu.unwrap() - 1.0).abs() < 1e-15);
        assert_eq!(between(&[0.0, 0.0], &[1.0, 0.0]).cos_mu, None);
        let drift = between(&[1.0], &[-1.0]);
        assert_eq!(drift.cos_mu, Some(-1.0));
    }

    #[test]
    fn extremes_neither_overflow_nor_vanish() {
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-14;
        for scale in [1e-300, 1e-160, 1e-140, 1.0, 1e140, 1e160, 1e300] {
            let drift = between(&[3.0 * scale, 0.0], &[0.0, 4.0 * scale]);
            assert!(close(drift.norm_dmu, 5.0 * scale), "{scale}: {}", drift.norm_dmu);
            let drift = between(&[scale, scale], &[scale, 0.0]);
            assert!(close(drift.cos_mu.unwrap(), core::f64::consts::FRAC_1_SQRT_2), "{scale}");
        }
        let error = Drift::between(Reference::Baseline, &[f64::MAX], &[-f64::MAX], 0.0, Weights::default());
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Number { field: "norm_dmu" });
    }
}

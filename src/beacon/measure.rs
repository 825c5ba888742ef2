//! What windows have in common, whatever memory they use: options, halves, baselines, results (spec/beacon.md).
#![deny(clippy::arithmetic_side_effects)]

use super::build::{BeaconBuilder, ContextOrHash, StepChoice};
use super::calibration::{CalibrationBuilder, Statistics};
use super::drift::{Drift, Moved, Reference, Weights};
use super::results::Results;
use super::stats::{Moments, Sigma, Summary};
use crate::error::{Error, ErrorKind, Result};

/// How a window is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct WindowOptions {
    /// How much of Sigma the beacon carries; `None` takes the most that fits beside the mean, and the window's memory.
    pub sigma: Option<Sigma>,
    /// The weights of SDS.
    pub weights: Weights,
    /// The SDS from which on ALERT is set.
    pub sds_threshold: Option<f64>,
    /// First time of the window, in seconds.
    pub t0: f64,
    /// Last time of the window, in seconds.
    pub t1: f64,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WindowOptions {
    pub(super) const DEFAULT: Self = Self {
        sigma: None,
        weights: Weights { mu: 1.0, tr_sigma: 1.0 },
        sds_threshold: None,
        t0: 0.0,
        t1: 0.0,
    };

    pub(super) fn check(&self) -> Result<()> {
        self.weights.check()?;
        check_threshold(self.sds_threshold)?;
        if self.t0.is_finite() && self.t1.is_finite() && self.t0 <= self.t1 {
            return Ok(());
        }
        Err(Error::caller(ErrorKind::Number { field: "t0 <= t1" }))
    }
}

fn check_threshold(sds_threshold: Option<f64>) -> Result<()> {
    if sds_threshold.is_some_and(|threshold| !threshold.is_finite()) {
        return Err(Error::caller(ErrorKind::Number { field: "the SDS threshold" }));
    }
    Ok(())
}

/// Halves need two rows or more.
pub(super) fn check_halves(rows: u64) -> Result<()> {
    if rows < 2 {
        return Err(Error::caller(ErrorKind::WindowRows { needed: 2, found: rows }));
    }
    Ok(())
}

/// A baseline has the window's dim.
pub(super) fn check_baseline(dim: u64, found: usize) -> Result<()> {
    let found = found as u64;
    if found != dim {
        return Err(Error::caller(ErrorKind::RowLength { row: 0, needed: dim, found }));
    }
    Ok(())
}

/// What the rows of a window are compared with, in the window's memory.
pub(super) enum Versus<'a, S> {
    /// The rows of the second half, with those of the first.
    Halves {
        /// Rows of both.
        stated: u64,
        second: &'a mut Moments<S>,
        /// How far the mean moved from half to half; then the first has the rows of both.
        moved: &'a mut Option<Result<Moved>>,
    },
    Baseline(&'a [f64]),
    Nothing,
}

/// Rows so far.
fn rows<S>(first: &Moments<S>, versus: &Versus<'_, S>) -> u64 {
    match versus {
        Versus::Halves { second, moved: None, .. } => first.rows().saturating_add(second.rows()),
        _ => first.rows(),
    }
}

/// Adds a row to the half it belongs to.
pub(super) fn push<S>(
    first: &mut Moments<S>,
    versus: Versus<'_, S>,
    push: impl FnOnce(&mut Moments<S>) -> Result<()>,
) -> Result<()> {
    let before = rows(first, &versus);
    let Versus::Halves { stated, second, .. } = versus else {
        return push(first);
    };
    if before >= stated {
        let found = before.saturating_add(1);
        return Err(Error::caller(ErrorKind::RowCount { stated, found }));
    }
    if before < stated / 2 {
        return push(first);
    }
    // Rows are named by their place in the window.
    let first_rows = first.rows();
    push(second).map_err(|error| match error.kind() {
        ErrorKind::NonFinite { row, column } => {
            Error::caller(ErrorKind::NonFinite { row: row.saturating_add(first_rows), column })
        }
        ErrorKind::RowLength { row, needed, found } => {
            Error::caller(ErrorKind::RowLength { row: row.saturating_add(first_rows), needed, found })
        }
        _ => error,
    })
}

/// The statistics and the drift. Halves are joined in the memory of the first.
pub(super) fn finish<'a, S: AsRef<[f64]> + AsMut<[f64]>>(
    first: &'a mut Moments<S>,
    versus: Versus<'_, S>,
    options: &WindowOptions,
) -> Result<MeasuredRef<'a>> {
    let found = rows(first, &versus);
    let needed = if matches!(versus, Versus::Baseline(_)) { 1 } else { 2 };
    if found < needed {
        return Err(Error::caller(ErrorKind::WindowRows { needed, found }));
    }
    let WindowOptions { weights, sds_threshold, t0, t1, .. } = *options;
    let measured = |summary| MeasuredRef { summary, results: None, t0, t1 };
    match versus {
        Versus::Halves { stated, second, moved } => {
            if found != stated {
                return Err(Error::caller(ErrorKind::RowCount { stated, found }));
            }
            let moved = match *moved {
                Some(moved) => moved,
                None => {
                    let reference = first.summary()?.mean();
                    let between = Moved::between(second.summary()?.mean(), reference);
                    first.merge(second)?;
                    *moved.insert(between)
                }
            };
            let measured = measured(first.summary()?);
            let tr_sigma = measured.summary.trace();
            let drift = Drift::of(Reference::WindowHalf, moved?, tr_sigma, weights)?;
            let results = Results { drift: Some(drift), sds_threshold, tr_sigma, weights };
            Ok(MeasuredRef { results: Some(results), ..measured })
        }
        Versus::Baseline(mean) => measured(first.summary()?).with_drift_from(mean, weights, sds_threshold),
        Versus::Nothing => Ok(measured(first.summary()?)),
    }
}

/// RESULTS_V1 of a mean compared with a baseline's.
pub(super) fn results_against(
    baseline_mean: &[f64],
    mu: &[f64],
    tr_sigma: f64,
    weights: Weights,
    sds_threshold: Option<f64>,
) -> Result<Results> {
    check_threshold(sds_threshold)?;
    let drift = Drift::between(Reference::Baseline, mu, baseline_mean, tr_sigma, weights)?;
    Ok(Results { drift: Some(drift), sds_threshold, tr_sigma, weights })
}

/// What was found in a window, where the window has it: everything a beacon carries but its context. No copies.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredRef<'a> {
    /// Mean and Sigma.
    pub summary: Summary<'a>,
    /// The drift.
    pub results: Option<Results>,
    /// First time, in seconds.
    pub t0: f64,
    /// Last time, in seconds.
    pub t1: f64,
}

impl<'a> MeasuredRef<'a> {
    /// What a beacon carries of statistics over whatever memory: [`Sigma::Full`] too, if that holds it. No RESULTS_V1 yet.
    /// `t0` and `t1` are the first and last time of the window, in seconds.
    ///
    /// ```
    /// use bitwire::beacon::stats::{Moments, Sigma};
    /// use bitwire::beacon::{MeasuredRef, StepChoice, Weights};
    /// use bitwire::frame::ContextHash;
    ///
    /// let mut moments = Moments::with_storage(2, Sigma::Full, [0.0; 40])?;
    /// moments.push_rows_f32(&[1.0, 2.0, 3.0, 2.0])?;
    /// let measured = MeasuredRef::from_summary(&moments.summary()?, 0.0, 60.0);
    /// let measured = measured.with_drift_from(&[2.0, 0.0], Weights::default(), Some(3.0))?;
    /// let beacon = measured.to_beacon(ContextHash([7; 8]), StepChoice::Auto)?;
    /// let mut frame = [0; 512];
    /// let len = beacon.encode_into(&mut frame)?;
    /// # assert_eq!(len, beacon.encoded_len()?);
    /// # Ok::<_, bitwire::Error>(())
    /// ```
    pub const fn from_summary(summary: &Summary<'a>, t0: f64, t1: f64) -> Self {
        Self { summary: *summary, results: None, t0, t1 }
    }

    /// The same with its drift from a baseline's mean of as many components, in place of any before; ALERT from
    /// `sds_threshold` on. spec/beacon.md, "RESULTS_V1".
    ///
    /// # Errors
    /// [`ErrorKind::RowLength`] if the baseline has another dim; [`ErrorKind::Number`] for weights that are not finite
    /// and >= 0, a threshold that is not finite, and a drift that is not.
    pub fn with_drift_from(
        self,
        baseline_mean: &[f64],
        weights: Weights,
        sds_threshold: Option<f64>,
    ) -> Result<Self> {
        let (mu, trace) = (self.summary.mean(), self.summary.trace());
        let results = results_against(baseline_mean, mu, trace, weights, sds_threshold)?;
        Ok(Self { results: Some(results), ..self })
    }

    /// The beacon to write, which borrows the statistics.
    ///
    /// # Errors
    /// As [`BeaconBuilder::new`] and [`BeaconBuilder::results`].
    pub fn to_beacon(
        &self,
        context: impl Into<ContextOrHash<'a>>,
        step: StepChoice,
    ) -> Result<BeaconBuilder<'a>> {
        let statistics = Statistics::of_summary(&self.summary, self.t0, self.t1);
        let builder = BeaconBuilder::of(context.into(), statistics, step)?;
        match self.results {
            Some(results) => builder.results(results),
            None => Ok(builder),
        }
    }
}

/// The most of Sigma, up to `most`, that fits beside the mean; or what was asked for, if it fits a beacon.
pub(super) fn choose_sigma(asked: Option<Sigma>, dim: u32, most: Sigma) -> Result<Sigma> {
    let auto = CalibrationBuilder::auto(dim);
    let sigma = asked.unwrap_or(if auto.code() > most.code() { most } else { auto });
    CalibrationBuilder::check_fits(sigma, dim)?;
    Ok(sigma)
}

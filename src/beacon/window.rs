//! From rows to a beacon: a window measured row by row, then encoded (spec/beacon.md).
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::calibration::CalibrationBuilder;
use super::drift::{Drift, Reference, Weights};
use super::mu16::{self, Step};
use super::results::Results;
use super::stats::{Moments, Sigma, Summary};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "hmac")]
use crate::frame::Key;
use crate::frame::{Config, Context, Element, FrameBuilder, Kind, TlvType};

/// What the window's mean is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Against {
    /// The window's second half with its first; for that the number of rows has to be known beforehand.
    Halves {
        /// The number of rows that will come.
        rows: u64,
    },
    /// The whole window with the mean of a baseline.
    Baseline {
        /// Its mean vector.
        mean: Vec<f64>,
    },
    /// Nothing: the beacon carries statistics and no RESULTS_V1.
    Nothing,
}

/// How a window is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WindowOptions {
    /// How much of Sigma the beacon carries; `None` takes the most that fits beside the mean.
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

/// A window of vectors, measured in one pass, row by row, in bounded memory: a few vectors of f64, and the
/// triangle of Sigma where it is asked for.
#[derive(Clone, Debug)]
pub struct Window {
    /// All rows; with halves, those of the first.
    first: Moments<Vec<f64>>,
    second: Option<Moments<Vec<f64>>>,
    against: Against,
    options: WindowOptions,
}

impl Window {
    /// An empty window of vectors of `dim` components.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if the share of Sigma asked for does not fit a beacon, naming the largest dim;
    /// [`ErrorKind::WindowRows`] for halves of fewer than 2 rows; [`ErrorKind::RowLength`] if the baseline has another
    /// dim; [`ErrorKind::Number`] for weights, threshold or times that are not finite or in order.
    pub fn new(dim: u32, against: Against, options: WindowOptions) -> Result<Self> {
        let number = |field| Err(Error::caller(ErrorKind::Number { field }));
        options.weights.check()?;
        if options.sds_threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return number("the SDS threshold");
        }
        if !(options.t0.is_finite() && options.t1.is_finite() && options.t0 <= options.t1) {
            return number("t0 <= t1");
        }
        match &against {
            Against::Halves { rows: found @ (0 | 1) } => {
                return Err(Error::caller(ErrorKind::WindowRows { needed: 2, found: *found }));
            }
            Against::Baseline { mean } if mean.len() as u64 != u64::from(dim) => {
                let (needed, found) = (u64::from(dim), mean.len() as u64);
                return Err(Error::caller(ErrorKind::RowLength { row: 0, needed, found }));
            }
            _ => {}
        }
        let sigma = options.sigma.unwrap_or(CalibrationBuilder::auto(dim));
        CalibrationBuilder::check_fits(sigma, dim)?;
        let moments = || Moments::new(dim as usize, sigma);
        let second = if matches!(against, Against::Halves { .. }) { Some(moments()?) } else { None };
        Ok(Self { first: moments()?, second, against, options })
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.first.rows().saturating_add(self.second.as_ref().map_or(0, Moments::rows))
    }

    /// Adds a row of f32.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] with row and column, [`ErrorKind::RowLength`], [`ErrorKind::RowCount`] past the number of
    /// rows stated; the window is then as it was before.
    pub fn push_f32(&mut self, row: &[f32]) -> Result<()> {
        self.push(|half| half.push_f32(row))
    }

    /// Adds a row of f64.
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32).
    pub fn push_f64(&mut self, row: &[f64]) -> Result<()> {
        self.push(|half| half.push_f64(row))
    }

    fn push(&mut self, push: impl FnOnce(&mut Moments<Vec<f64>>) -> Result<()>) -> Result<()> {
        let before = self.rows();
        let (Against::Halves { rows }, Some(second)) = (&self.against, &mut self.second) else {
            return push(&mut self.first);
        };
        if before >= *rows {
            let found = before.saturating_add(1);
            return Err(Error::caller(ErrorKind::RowCount { stated: *rows, found }));
        }
        if before < rows / 2 {
            return push(&mut self.first);
        }
        // Rows are named by their place in the window.
        let first_rows = self.first.rows();
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

    /// The window's statistics and drift.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for no row, and for one row without a baseline; [`ErrorKind::RowCount`] if fewer rows came
    /// than were stated; [`ErrorKind::Number`] if a statistic is not finite.
    pub fn finish(self) -> Result<Measured> {
        let found = self.rows();
        let needed = if matches!(self.against, Against::Baseline { .. }) { 1 } else { 2 };
        if found < needed {
            return Err(Error::caller(ErrorKind::WindowRows { needed, found }));
        }
        let Self { mut first, second, against, options } = self;
        let weights = options.weights;
        let (drift, summary) = match (against, second) {
            (Against::Halves { rows }, Some(mut second)) => {
                if found != rows {
                    return Err(Error::caller(ErrorKind::RowCount { stated: rows, found }));
                }
                let first_mean = first.summary()?.mean().to_vec();
                let second_mean = second.summary()?.mean().to_vec();
                first.merge(&second)?;
                let summary = first.summary()?;
                let reference = Reference::WindowHalf;
                let drift = Drift::between(reference, &second_mean, &first_mean, summary.trace(), weights)?;
                (Some(drift), summary)
            }
            (Against::Baseline { mean }, _) => {
                let summary = first.summary()?;
                let reference = Reference::Baseline;
                (Some(Drift::between(reference, summary.mean(), &mean, summary.trace(), weights)?), summary)
            }
            _ => (None, first.summary()?),
        };
        let results = drift.map(|drift| Results {
            drift: Some(drift),
            sds_threshold: options.sds_threshold,
            tr_sigma: summary.trace(),
            weights,
        });
        Ok(Measured {
            mu: summary.mean().to_vec(),
            sigma: summary.sigma(),
            spread: spread(&summary),
            w: found as f64,
            t0: options.t0,
            t1: options.t1,
            results,
        })
    }
}

/// The values of Sigma as CALIB_STATS_V1 stores them.
fn spread(summary: &Summary<'_>) -> Vec<f64> {
    match summary.sigma() {
        Sigma::None => Vec::new(),
        Sigma::Trace => alloc::vec![summary.trace()],
        Sigma::Diagonal => summary.diagonal().into_iter().flatten().collect(),
        Sigma::Full => summary.triangle().into_iter().flatten().collect(),
    }
}

/// What was found in a window: everything a beacon carries but its context.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The mean vector.
    pub mu: Vec<f64>,
    /// How much of Sigma `spread` holds.
    pub sigma: Sigma,
    /// Nothing, the trace, the variances, or the upper triangle row by row.
    pub spread: Vec<f64>,
    /// Number of vectors.
    pub w: f64,
    /// First time, in seconds.
    pub t0: f64,
    /// Last time, in seconds.
    pub t1: f64,
    /// The drift.
    pub results: Option<Results>,
}

/// How the step of a beacon's MU16 payload is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepChoice {
    /// The smallest step at which nothing saturates.
    Auto,
    /// This one; what lies beyond its range saturates, and is counted.
    Fixed(Step),
}

/// A beacon in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The frame.
    pub frame: Vec<u8>,
    /// The step of its payload.
    pub step: Step,
    /// Components of the mean that lie beyond the step's range.
    pub saturated: u64,
}

impl Measured {
    /// The beacon's frame.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if the context's dim is not the mean's; [`ErrorKind::TooLarge`], [`ErrorKind::Number`],
    /// [`ErrorKind::NonFinite`] and [`ErrorKind::StepRange`] for values that a beacon cannot carry.
    pub fn encode(&self, context: &Context, step: StepChoice) -> Result<Encoded> {
        self.encode_with(context, step, |builder| builder.encode())
    }

    /// The beacon's frame, signed with `key`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[cfg(feature = "hmac")]
    pub fn encode_signed(&self, context: &Context, step: StepChoice, key: &Key) -> Result<Encoded> {
        self.encode_with(context, step, |builder| builder.sign(key).encode())
    }

    fn encode_with(
        &self,
        context: &Context,
        step: StepChoice,
        encode: impl FnOnce(FrameBuilder<'_>) -> Result<Vec<u8>>,
    ) -> Result<Encoded> {
        let dim = context.dim();
        if u64::from(dim) != self.mu.len() as u64 {
            let reason = "dim is not the number of the mean's components";
            return Err(Error::caller(ErrorKind::Context { reason }));
        }
        // The payload is made of the f32 that CALIB_STATS_V1 carries, so that a reader can check one by the other.
        let mu: Vec<f32> = self.mu.iter().map(|&x| x as f32).collect();
        let step = match step {
            StepChoice::Auto => Step::auto(&mu, mu.len())?,
            StepChoice::Fixed(step) => step,
        };
        let mut payload = alloc::vec![0; mu.len().saturating_mul(2)];
        let saturated = mu16::quantise_into(&mu, mu.len(), step, &mut payload)?;

        let statistics = CalibrationBuilder {
            sigma: self.sigma,
            mu: &self.mu,
            spread: &self.spread,
            w: self.w,
            t0: self.t0,
            t1: self.t1,
        };
        let mut calibration = alloc::vec![0; statistics.encoded_len()?];
        statistics.encode_into(&mut calibration)?;
        let results = self.results.map(|results| results.to_text()).transpose()?;

        let config = Config::new(Kind::BEACON, Element::I16, 1, dim, step.get());
        let mut builder = FrameBuilder::new(context.hash(), config, &payload)
            .tlv(TlvType::CALIB_STATS, &calibration)?
            .context_json(context.as_str().as_bytes())?;
        if let (Some(results), Some(text)) = (&self.results, &results) {
            builder = builder
                .tlv(TlvType::RESULTS, text.as_bytes())?
                .drift_flags(results.alert(), results.against_baseline());
        }
        Ok(Encoded { frame: encode(builder)?, step, saturated })
    }
}

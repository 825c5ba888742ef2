//! From rows to a beacon: a window measured row by row, then encoded (spec/beacon.md).
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::build::{BeaconBuilder, ContextOrHash, StepChoice};
use super::calibration::CalibrationBuilder;
use super::drift::Weights;
use super::measure::{
    MeasuredRef, Versus, WindowOptions, check_baseline, check_halves, choose_sigma, finish, push,
    results_against,
};
use super::mu16::Step;
use super::results::Results;
use super::stats::{Moments, Sigma, Summary};
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;
use crate::frame::Context;
#[cfg(feature = "hmac")]
use crate::frame::Key;

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
        options.check()?;
        match &against {
            Against::Halves { rows } => check_halves(*rows)?,
            Against::Baseline { mean } => check_baseline(u64::from(dim), mean.len())?,
            Against::Nothing => {}
        }
        let sigma = choose_sigma(options.sigma, dim, Sigma::Full)?;
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

    fn push(&mut self, add: impl FnOnce(&mut Moments<Vec<f64>>) -> Result<()>) -> Result<()> {
        let versus = match (&self.against, &mut self.second) {
            (Against::Halves { rows }, Some(second)) => {
                Versus::Halves { stated: *rows, second, moved: &mut None }
            }
            _ => Versus::Nothing,
        };
        push(&mut self.first, versus, add)
    }

    /// The window's statistics and drift.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for no row, and for one row without a baseline; [`ErrorKind::RowCount`] if fewer rows came
    /// than were stated; [`ErrorKind::Number`] if a statistic is not finite.
    pub fn finish(self) -> Result<Measured> {
        let Self { mut first, mut second, against, options } = self;
        let versus = match (&against, &mut second) {
            (Against::Halves { rows }, Some(second)) => {
                Versus::Halves { stated: *rows, second, moved: &mut None }
            }
            (Against::Baseline { mean }, _) => Versus::Baseline(mean),
            _ => Versus::Nothing,
        };
        let MeasuredRef { summary, results, t0, t1 } = finish(&mut first, versus, &options)?;
        Ok(Measured { results, ..Measured::from_summary(&summary, t0, t1) })
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
    /// The trace of Sigma, whatever `spread` holds.
    pub tr_sigma: f64,
    /// Number of vectors.
    pub w: f64,
    /// First time, in seconds.
    pub t0: f64,
    /// Last time, in seconds.
    pub t1: f64,
    /// The drift.
    pub results: Option<Results>,
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
    /// What a beacon carries of statistics that were measured elsewhere, or in parts and merged; no RESULTS_V1 yet.
    /// `t0` and `t1` are the first and last time of the window, in seconds; [`encode`](Self::encode) checks them. Takes
    /// one copy of the statistics. spec/beacon.md, "CALIB_STATS_V1".
    ///
    /// ```
    /// use bitwire::beacon::stats::{Moments, Sigma};
    /// use bitwire::beacon::{Measured, StepChoice, Weights};
    /// use bitwire::frame::Context;
    ///
    /// let mut whole = Moments::new(2, Sigma::Full)?;
    /// whole.push_f32(&[1.0, 2.0])?;
    /// let mut other = Moments::new(2, Sigma::Full)?;
    /// other.push_f32(&[3.0, 2.0])?;
    /// whole.merge(&other)?;
    /// let measured = Measured::from_summary(&whole.summary()?, 0.0, 60.0);
    /// let measured = measured.with_drift_from(&[2.0, 0.0], Weights::default(), Some(3.0))?;
    /// // The mean (2, 2) lies 2 from the baseline, and the trace is 2.
    /// assert!(measured.results.unwrap().alert());
    /// let frame = measured.encode(&Context::new("docs", "minilm-l6", "en", 2)?, StepChoice::Auto)?.frame;
    /// # Ok::<_, bitwire::Error>(())
    /// ```
    pub fn from_summary(summary: &Summary<'_>, t0: f64, t1: f64) -> Self {
        let spread = match summary.sigma() {
            Sigma::None => Vec::new(),
            Sigma::Trace => alloc::vec![summary.trace()],
            Sigma::Diagonal => summary.diagonal().into_iter().flatten().collect(),
            Sigma::Full => summary.triangle().into_iter().flatten().collect(),
        };
        Self {
            mu: summary.mean().to_vec(),
            sigma: summary.sigma(),
            spread,
            tr_sigma: summary.trace(),
            w: summary.rows() as f64,
            t0,
            t1,
            results: None,
        }
    }

    /// The same with its drift from a baseline's mean of as many components, in place of any before; ALERT from
    /// `sds_threshold` on. Takes a few passes over the means. spec/beacon.md, "RESULTS_V1".
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
        let results = results_against(baseline_mean, &self.mu, self.tr_sigma, weights, sds_threshold)?;
        Ok(Self { results: Some(results), ..self })
    }

    /// The beacon's frame.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if the context's dim is not the mean's; [`ErrorKind::TooLarge`], [`ErrorKind::Number`],
    /// [`ErrorKind::NonFinite`] and [`ErrorKind::StepRange`] for values that a beacon cannot carry.
    pub fn encode(&self, context: &Context, step: StepChoice) -> Result<Encoded> {
        Encoded::of(&self.to_beacon(context, step)?)
    }

    /// The beacon's frame, signed with `key`.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[cfg(feature = "hmac")]
    pub fn encode_signed(&self, context: &Context, step: StepChoice, key: &Key) -> Result<Encoded> {
        Encoded::of(&self.to_beacon(context, step)?.sign(key))
    }

    /// The beacon to write, which borrows the statistics and the context.
    ///
    /// # Errors
    /// As [`BeaconBuilder::new`] and [`BeaconBuilder::results`].
    pub fn to_beacon<'a>(
        &'a self,
        context: impl Into<ContextOrHash<'a>>,
        step: StepChoice,
    ) -> Result<BeaconBuilder<'a>> {
        let Self { ref mu, sigma, ref spread, w, t0, t1, results, .. } = *self;
        let builder = BeaconBuilder::new(context, CalibrationBuilder { sigma, mu, spread, w, t0, t1 }, step)?;
        match results {
            Some(results) => builder.results(results),
            None => Ok(builder),
        }
    }
}

impl Encoded {
    fn of(beacon: &BeaconBuilder<'_>) -> Result<Self> {
        let frame = beacon.to_frame()?.encode()?;
        Ok(Self { frame, step: beacon.step(), saturated: beacon.saturated() })
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::super::{Beacon, Drift, Reference};
    use super::*;
    use crate::error::ErrorKind;
    use crate::frame::{Config, Element, Frame, FrameBuilder, Kind, TlvType};

    const KINDS: [Sigma; 4] = [Sigma::None, Sigma::Trace, Sigma::Diagonal, Sigma::Full];

    fn measure(dim: usize, sigma: Sigma, rows: &[f32]) -> Moments<Vec<f64>> {
        let mut moments = Moments::new(dim, sigma).unwrap();
        moments.push_rows_f32(rows).unwrap();
        moments
    }

    fn encode(measured: &Measured) -> Vec<u8> {
        let context = Context::new("space", "model", "pi", measured.mu.len() as u32).unwrap();
        measured.encode(&context, StepChoice::Auto).unwrap().frame
    }

    fn measured(moments: &mut Moments<Vec<f64>>) -> Measured {
        Measured::from_summary(&moments.summary().unwrap(), -1.0, 2.5)
    }

    /// Columns, whole rows, at least two, and a row within.
    fn cut_matrix() -> impl Strategy<Value = (usize, Vec<f32>, usize)> {
        (1usize..70, 2usize..40).prop_flat_map(|(dim, rows)| {
            (Just(dim), prop::collection::vec(-2.0f32..3.0, rows * dim..=rows * dim), 1..rows)
        })
    }

    /// The values are of order 1.
    fn close(a: f64, b: f64, relative: f64) -> bool {
        (a - b).abs() <= relative * b.abs().max(1.0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_merged_window_makes_the_beacon_of_the_whole(
            (dim, rows, cut) in cut_matrix(), sigma in prop::sample::select(&KINDS[..]),
            weights in (0.0f64..3.0, 0.0f64..3.0), threshold in prop::option::of(0.0f64..100.0),
        ) {
            // No difference of means near 0, whose digits would be few.
            let baseline: Vec<f64> = (0..dim).map(|j| 4.0 + j as f64 / 7.0).collect();
            let weights = Weights { mu: weights.0, tr_sigma: weights.1 };
            let options = WindowOptions { sigma: Some(sigma), weights, sds_threshold: threshold, t0: -1.0, t1: 2.5 };
            let mut window = Window::new(dim as u32, Against::Baseline { mean: baseline.clone() }, options).unwrap();
            for row in rows.chunks(dim) {
                window.push_f32(row).unwrap();
            }
            let whole = encode(&window.finish().unwrap());

            let (first, second) = rows.split_at(cut * dim);
            let mut merged = measure(dim, sigma, first);
            merged.merge(&measure(dim, sigma, second)).unwrap();
            let merged = measured(&mut merged).with_drift_from(&baseline, weights, threshold).unwrap();
            let merged = encode(&merged);

            let [whole, merged] = [&whole, &merged]
                .map(|bytes| Beacon::from_frame(&Frame::parse_exact(bytes).unwrap()).unwrap());
            prop_assert_eq!(merged.frame().flags(), whole.frame().flags());
            let (ours, theirs) = (merged.results().unwrap(), whole.results().unwrap());
            prop_assert_eq!((ours.sds_threshold, ours.weights), (theirs.sds_threshold, theirs.weights));
            let numbers = |results: &Results| {
                let Drift { reference, sds, cos_mu, norm_dmu } = results.drift.unwrap();
                assert_eq!(reference, Reference::Baseline);
                [sds, cos_mu.unwrap(), norm_dmu, results.tr_sigma]
            };
            for (ours, theirs) in numbers(ours).into_iter().zip(numbers(theirs)) {
                prop_assert!(close(ours, theirs, 1e-12), "{ours} {theirs}");
            }
            let (ours, theirs) = (merged.calibration().unwrap(), whole.calibration().unwrap());
            prop_assert_eq!((ours.w(), ours.times(), ours.sigma()), (theirs.w(), (-1.0, 2.5), sigma));
            // Two f64 that differ in the last digit can be rounded to two f32.
            for (ours, theirs) in ours.mu().unwrap().zip(theirs.mu().unwrap()) {
                prop_assert!(close(ours.into(), theirs.into(), 2e-7));
            }
            for (ours, theirs) in ours.sigma_values().zip(theirs.sigma_values()) {
                prop_assert!(close(ours, theirs, 2e-7));
            }
        }

        #[test]
        fn beacons_merge_as_their_windows_do(
            (dim, rows, cut) in cut_matrix(), sigma in prop::sample::select(&KINDS[..]),
        ) {
            let (first, second) = rows.split_at(cut * dim);
            let mut expected = measure(dim, sigma, first);
            expected.merge(&measure(dim, sigma, second)).unwrap();
            let [mut merged, other] = [first, second].map(|rows| {
                let measured = measured(&mut measure(dim, sigma, rows));
                let baseline = vec![0.0; dim];
                let frame = encode(&measured.with_drift_from(&baseline, Weights::default(), None).unwrap());
                Beacon::from_frame(&Frame::parse_exact(&frame).unwrap()).unwrap().moments().unwrap()
            });
            merged.merge(&other).unwrap();
            let (merged, expected) = (measured(&mut merged), measured(&mut expected));
            prop_assert_eq!((merged.w, merged.sigma), (expected.w, sigma));
            prop_assert!(close(merged.tr_sigma, expected.tr_sigma, 1e-6));
            let values = |measured: &Measured| [&measured.mu[..], &measured.spread].concat();
            for (ours, theirs) in values(&merged).into_iter().zip(values(&expected)) {
                prop_assert!(close(ours, theirs, 1e-6), "{ours} {theirs}");
            }
        }
    }

    #[test]
    fn beacons_without_statistics_to_merge() {
        let kind = |measured: &Measured| {
            let frame = encode(measured);
            let beacon = Beacon::from_frame(&Frame::parse_exact(&frame).unwrap()).unwrap();
            beacon.moments().unwrap_err().kind()
        };
        let good = measured(&mut measure(2, Sigma::Trace, &[1.0, 2.0, 3.0, 4.0]));
        for w in [0.5, 2.5, 1e300] {
            let number = ErrorKind::Number { field: "CALIB_STATS_V1.w" };
            assert_eq!(kind(&Measured { w, ..good.clone() }), number);
        }
        let rows = ErrorKind::WindowRows { needed: 1, found: 0 };
        assert_eq!(kind(&Measured { w: 0.0, ..good.clone() }), rows);
        // One row has no covariance.
        assert_eq!(kind(&Measured { w: 1.0, ..good }), ErrorKind::Number { field: "Sigma" });
        let no_trace = measured(&mut measure(2, Sigma::None, &[1.0, 2.0]));
        assert_eq!(kind(&no_trace), ErrorKind::TlvMissing { tlv: TlvType::RESULTS });

        let context = Context::new("space", "model", "pi", 1).unwrap();
        let (kind, element) = (Kind::BEACON, Element::I16);
        let config = Config { kind, element, rows: 1, dim: 1, delta_q16: 1, payload_len: 2 };
        let frame = FrameBuilder::new(context.hash(), config, &[0, 0]).encode().unwrap();
        let beacon = Beacon::from_frame(&Frame::parse_exact(&frame).unwrap()).unwrap();
        let missing = ErrorKind::TlvMissing { tlv: TlvType::CALIB_STATS };
        assert_eq!(beacon.moments().unwrap_err().kind(), missing);
    }

    #[test]
    fn drift_that_cannot_be_told() {
        let measured = measured(&mut measure(2, Sigma::Full, &[1.0, 2.0, 3.0, 2.0]));
        assert!(measured.results.is_none() && close(measured.tr_sigma, 2.0, 1e-14));
        let kind = |mean: &[f64], weight, threshold| {
            let weights = Weights { mu: weight, tr_sigma: 1.0 };
            measured.clone().with_drift_from(mean, weights, threshold).unwrap_err().kind()
        };
        let number = |field| ErrorKind::Number { field };
        assert_eq!(kind(&[1.0], 1.0, None), ErrorKind::RowLength { row: 0, needed: 2, found: 1 });
        assert_eq!(kind(&[1.0; 2], -1.0, None), number("weights.mu"));
        assert_eq!(kind(&[1.0; 2], 1.0, Some(f64::NAN)), number("the SDS threshold"));
        assert!(matches!(kind(&[1.0, f64::NAN], 1.0, None), ErrorKind::Number { .. }));
    }
}

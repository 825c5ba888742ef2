//! Writing beacons into the caller's memory (spec/beacon.md).
#![deny(clippy::arithmetic_side_effects)]

use super::calibration::{CalibrationBuilder, Statistics};
use super::mu16::{self, Step};
use super::results::Results;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "hmac")]
use crate::frame::Key;
use crate::frame::{Config, ContextHash, ContextRef, Element, FrameBuilder, Kind, Part, TlvType};

/// How the step of a beacon's MU16 payload is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StepChoice {
    /// The smallest step at which nothing saturates.
    Auto,
    /// This one; what lies beyond its range saturates, and is counted.
    Fixed(Step),
}

/// What a beacon says of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextOrHash<'a> {
    /// All of it: the beacon carries the text, and ctx is computed.
    Whole(ContextRef<'a>),
    /// ctx alone, computed elsewhere: shorter, and no code for BLAKE2b. Nobody can tell from the beacon what the context is.
    Hash(ContextHash),
}

impl<'a> From<ContextRef<'a>> for ContextOrHash<'a> {
    fn from(context: ContextRef<'a>) -> Self {
        Self::Whole(context)
    }
}

impl From<ContextHash> for ContextOrHash<'_> {
    fn from(ctx: ContextHash) -> Self {
        Self::Hash(ctx)
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a crate::frame::Context> for ContextOrHash<'a> {
    fn from(context: &'a crate::frame::Context) -> Self {
        Self::Whole(context.into())
    }
}

/// A beacon to write: needs no allocator, and of the values that it borrows it makes no copy but the one in the frame.
/// Statistics, drift and payload are converted where they stand in the caller's buffer.
///
/// It refuses what [`Beacon`](super::Beacon) would, and sets the flags that go with the drift.
///
/// ```
/// use bitwire::beacon::{BeaconBuilder, Beacon, CalibrationBuilder, StepChoice, stats::Sigma};
/// use bitwire::frame::{ContextRef, Frame};
///
/// let context = ContextRef::parse(br#"{"dim":2,"model_id":"","pi_id":"","space_id":"pump 7"}"#)?;
/// let (mu, variances) = ([0.5, -1.0], [0.25, 0.0]);
/// let statistics =
///     CalibrationBuilder { sigma: Sigma::Diagonal, mu: &mu, spread: &variances, w: 100.0, t0: 0.0, t1: 60.0 };
/// let mut buffer = [0; 256];
/// let len = BeaconBuilder::new(context, statistics, StepChoice::Auto)?.encode_into(&mut buffer)?;
///
/// let frame = Frame::parse_exact(&buffer[..len])?;
/// let beacon = Beacon::from_frame(&frame)?;
/// assert!(beacon.calibration().unwrap().sigma_values().eq(variances));
/// # Ok::<_, bitwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BeaconBuilder<'a> {
    ctx: ContextHash,
    context: Option<ContextRef<'a>>,
    dim: u32,
    calibration: Calibration<'a>,
    results: Option<Text>,
    payload: Mean<'a>,
    #[cfg(feature = "hmac")]
    key: Option<&'a Key>,
}

impl<'a> BeaconBuilder<'a> {
    /// A beacon of these statistics. Takes one pass over the mean.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if the context's dim is not the mean's; [`ErrorKind::NonFinite`] for a component of the mean
    /// that is not finite as f32, with its column; [`ErrorKind::StepRange`] if no step holds the mean; [`ErrorKind::Argument`]
    /// for a mean of no components; [`ErrorKind::TooLarge`] if the share of Sigma does not fit.
    pub fn new(
        context: impl Into<ContextOrHash<'a>>,
        statistics: CalibrationBuilder<'a>,
        step: StepChoice,
    ) -> Result<Self> {
        Self::of(context.into(), statistics.into(), step)
    }

    pub(super) fn of(
        context: ContextOrHash<'a>,
        statistics: Statistics<'a>,
        step: StepChoice,
    ) -> Result<Self> {
        let (mu, dim) = (statistics.mu(), statistics.dim()?);
        let (ctx, context) = match context {
            ContextOrHash::Hash(ctx) => (ctx, None),
            ContextOrHash::Whole(context) if context.dim() == dim => (context.hash(), Some(context)),
            ContextOrHash::Whole(_) => {
                let reason = "dim is not the number of the mean's components";
                return Err(Error::caller(ErrorKind::Context { reason }));
            }
        };
        if mu.is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "dim has to be at least 1" }));
        }
        let (mut min, mut max) = (0f32, 0f32);
        for (column, &x) in mu.iter().enumerate() {
            let x = x as f32;
            if !x.is_finite() {
                return Err(Error::caller(ErrorKind::NonFinite { row: 0, column: column as u64 }));
            }
            (min, max) = (min.min(x), max.max(x));
        }
        let step = match step {
            StepChoice::Auto => Step::for_range(min, max)?,
            StepChoice::Fixed(step) => step,
        };
        let calibration = Calibration { statistics, len: statistics.encoded_len()? };
        let payload = Mean { mu, step };
        Ok(Self {
            ctx,
            context,
            dim,
            calibration,
            results: None,
            payload,
            #[cfg(feature = "hmac")]
            key: None,
        })
    }

    /// The same with a drift.
    ///
    /// # Errors
    /// [`ErrorKind::Number`] if a number is not finite or out of its range.
    pub fn results(self, results: Results) -> Result<Self> {
        Ok(Self { results: Some(Text { results, len: results.text_len()? }), ..self })
    }

    /// The same, signed with `key`.
    #[cfg(feature = "hmac")]
    #[must_use]
    pub const fn sign(mut self, key: &'a Key) -> Self {
        self.key = Some(key);
        self
    }

    /// The step of the payload.
    pub const fn step(&self) -> Step {
        self.payload.step
    }

    /// Components of the mean that lie beyond the step's range: none with [`StepChoice::Auto`]. Takes one pass.
    pub fn saturated(&self) -> u64 {
        let Mean { mu, step } = self.payload;
        mu.iter().filter(|&&x| mu16::quantise(x as f32, step).1).count() as u64
    }

    /// The beacon's length in bytes.
    ///
    /// # Errors
    /// As [`FrameBuilder::encoded_len`].
    pub fn encoded_len(&self) -> Result<usize> {
        self.to_frame()?.encoded_len()
    }

    /// Writes the beacon to the start of `out` and returns its length. Takes one pass over the statistics, and those of the
    /// frame's hashes.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] with the length needed; [`ErrorKind::Number`] for a value that is not finite as f32, for w
    /// below 0 and for t1 before t0; [`ErrorKind::Shape`] if there are more or fewer values of Sigma than its share has.
    /// What `out` holds after an error means nothing.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize> {
        self.to_frame()?.encode_into(out)
    }

    /// The frame, to be given a digest or its padding.
    ///
    /// # Errors
    /// As [`FrameBuilder::tlv`].
    pub fn to_frame(&self) -> Result<FrameBuilder<'_>> {
        let config = Config::new(Kind::BEACON, Element::I16, 1, self.dim, self.payload.step.get());
        let mut builder = FrameBuilder::with_part(self.ctx, config, &self.payload)
            .part(TlvType::CALIB_STATS, &self.calibration)?;
        if let Some(context) = &self.context {
            builder = builder.hashed_context(context.as_bytes())?;
        }
        if let Some(text) = &self.results {
            let (alert, baseline) = (text.results.alert(), text.results.against_baseline());
            builder = builder.part(TlvType::RESULTS, text)?.drift_flags(alert, baseline);
        }
        #[cfg(feature = "hmac")]
        if let Some(key) = self.key {
            builder = builder.sign(key);
        }
        Ok(builder)
    }
}

/// CALIB_STATS_V1.
#[derive(Clone, Copy, Debug)]
struct Calibration<'a> {
    statistics: Statistics<'a>,
    len: usize,
}

impl Part for Calibration<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, out: &mut [u8]) -> Result<()> {
        self.statistics.write(out)
    }
}

/// RESULTS_V1.
#[derive(Clone, Copy, Debug)]
struct Text {
    results: Results,
    len: usize,
}

impl Part for Text {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, out: &mut [u8]) -> Result<()> {
        self.results.write_text(out)
    }
}

/// The payload: the f32 that CALIB_STATS_V1 carries, quantised, so that a reader can check one by the other.
#[derive(Clone, Copy, Debug)]
struct Mean<'a> {
    mu: &'a [f64],
    step: Step,
}

impl Part for Mean<'_> {
    fn len(&self) -> usize {
        // No slice has so many bytes that this would saturate.
        self.mu.len().saturating_mul(2)
    }

    fn write(&self, out: &mut [u8]) -> Result<()> {
        for (out, &x) in out.as_chunks_mut().0.iter_mut().zip(self.mu) {
            *out = mu16::quantise(x as f32, self.step).0.to_le_bytes();
        }
        Ok(())
    }
}

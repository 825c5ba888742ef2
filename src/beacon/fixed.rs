//! Windows in memory of a fixed size, without an allocator.
#![deny(clippy::arithmetic_side_effects)]

use super::drift::Moved;
use super::measure::{
    MeasuredRef, Versus, WindowOptions, check_baseline, check_halves, choose_sigma, finish, push,
};
use super::stats::{Moments, Sigma};
use super::view::Beacon;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::error::Result;

/// A window of vectors of `DIM` components, measured row by row in memory of a fixed size: the mean and the variances of
/// two halves, 32 bytes for each component, and less than 600 more. As `Window` (feature `alloc`) does, with the same bits, but
/// for the covariances of Sigma: those take a [`Moments`] of their own, and [`MeasuredRef::from_summary`].
///
/// It is made in a constant, so that it can lie in a `static` (where it takes as much flash) and never on the stack, and serves window after window: the
/// methods that start one forget the rows before. Before any of them it is as after [`start_alone`](Self::start_alone).
///
/// ```
/// use bitwire::beacon::{Beacon, FixedWindow, StepChoice, WindowOptions};
/// use bitwire::frame::{ContextRef, Frame};
///
/// let mut window = FixedWindow::<3>::new();
/// window.start_in_halves(4, WindowOptions { sds_threshold: Some(0.5), ..WindowOptions::default() })?;
/// for row in [[1.0, 0.0, 0.0], [1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 0.5]] {
///     window.push_f32(&row)?;
/// }
/// let context = ContextRef::parse(br#"{"dim":3,"model_id":"","pi_id":"","space_id":"pump 7"}"#)?;
/// let mut buffer = [0; 512];
/// let len = window.finish()?.to_beacon(context, StepChoice::Auto)?.encode_into(&mut buffer)?;
///
/// let beacon = Frame::parse_exact(&buffer[..len]).and_then(|frame| Beacon::from_frame(&frame))?;
/// // From (1, 0, 0.25) to (0, 1, 0.25).
/// assert_eq!(beacon.results().unwrap().drift.unwrap().norm_dmu, 2.0f64.sqrt());
/// assert!(beacon.alert());
/// # Ok::<_, bitwire::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedWindow<const DIM: usize> {
    /// All rows; with halves, those of the first until both are joined.
    first: Moments<Columns<DIM>>,
    /// The rows of the second half, or a baseline as its mean.
    second: Moments<Columns<DIM>>,
    reference: Reference,
    options: WindowOptions,
}

/// The mean, and the sums of squares.
#[derive(Clone, Debug)]
struct Columns<const DIM: usize>([[f64; DIM]; 2]);

impl<const DIM: usize> AsRef<[f64]> for Columns<DIM> {
    fn as_ref(&self) -> &[f64] {
        self.0.as_flattened()
    }
}

impl<const DIM: usize> AsMut<[f64]> for Columns<DIM> {
    fn as_mut(&mut self) -> &mut [f64] {
        self.0.as_flattened_mut()
    }
}

#[derive(Clone, Copy, Debug)]
enum Reference {
    Halves { stated: u64, moved: Option<Result<Moved>> },
    Baseline,
    Nothing,
}

impl<const DIM: usize> Default for FixedWindow<DIM> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const DIM: usize> FixedWindow<DIM> {
    /// An empty window, compared with nothing. `DIM` is at least 1 and fits 32 bits; else this does not compile.
    pub const fn new() -> Self {
        const { assert!(DIM > 0 && DIM as u64 <= u32::MAX as u64, "DIM: 1 to 2^32 - 1") }
        // The diagonal fits beside the mean up to 8187 components.
        let sigma = if DIM <= 8187 { Sigma::Diagonal } else { Sigma::Trace };
        Self {
            first: Moments::empty(DIM, sigma, Columns([[0.0; DIM]; 2])),
            second: Moments::empty(DIM, sigma, Columns([[0.0; DIM]; 2])),
            reference: Reference::Nothing,
            options: WindowOptions::DEFAULT,
        }
    }

    /// Starts a window of `rows` rows whose second half is compared with its first.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for fewer than 2 rows; [`ErrorKind::Number`] for weights, threshold or times that are not
    /// finite or in order; [`ErrorKind::TooLarge`] if the share of Sigma asked for does not fit a beacon, naming the largest
    /// dim; [`ErrorKind::BufferTooSmall`] for [`Sigma::Full`]. After an error the window is as it was before.
    pub fn start_in_halves(&mut self, rows: u64, options: WindowOptions) -> Result<()> {
        options.check()?;
        check_halves(rows)?;
        self.start(Reference::Halves { stated: rows, moved: None }, options)
    }

    /// Starts a window of any number of rows, compared with the mean of a baseline.
    ///
    /// # Errors
    /// As [`start_in_halves`](Self::start_in_halves), but for the rows.
    pub fn start_against(&mut self, baseline_mean: &[f64; DIM], options: WindowOptions) -> Result<()> {
        options.check()?;
        self.start(Reference::Baseline, options)?;
        self.second.mean_mut().copy_from_slice(baseline_mean);
        Ok(())
    }

    /// The same with the mean of an earlier beacon. Whether that comes from the same context is for the caller to check:
    /// [`Frame::check_same_context`](crate::frame::Frame::check_same_context).
    ///
    /// # Errors
    /// As [`start_against`](Self::start_against); [`ErrorKind::RowLength`] if the beacon has another dim.
    pub fn start_against_beacon(&mut self, baseline: &Beacon<'_>, options: WindowOptions) -> Result<()> {
        options.check()?;
        check_baseline(DIM as u64, baseline.dim() as usize)?;
        self.start(Reference::Baseline, options)?;
        baseline.mean_into(self.second.mean_mut())
    }

    /// Starts a window of any number of rows, compared with nothing: its beacon carries statistics and no RESULTS_V1.
    ///
    /// # Errors
    /// As [`start_against`](Self::start_against).
    pub fn start_alone(&mut self, options: WindowOptions) -> Result<()> {
        options.check()?;
        self.start(Reference::Nothing, options)
    }

    fn start(&mut self, reference: Reference, options: WindowOptions) -> Result<()> {
        let dim = u32::try_from(DIM).unwrap_or(u32::MAX);
        let sigma = choose_sigma(options.sigma, dim, Sigma::Diagonal)?;
        self.first.clear_for(sigma)?;
        self.second.clear_for(sigma)?;
        (self.reference, self.options) = (reference, options);
        Ok(())
    }

    /// Rows so far.
    pub const fn rows(&self) -> u64 {
        match self.reference {
            Reference::Halves { moved: None, .. } => self.first.rows().saturating_add(self.second.rows()),
            _ => self.first.rows(),
        }
    }

    /// Adds a row of f32.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] with row and column; [`ErrorKind::RowCount`] past the number of rows stated. The window is
    /// then as it was before.
    pub fn push_f32(&mut self, row: &[f32; DIM]) -> Result<()> {
        self.push(|half| half.push_f32(row))
    }

    /// Adds a row of f64.
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32).
    pub fn push_f64(&mut self, row: &[f64; DIM]) -> Result<()> {
        self.push(|half| half.push_f64(row))
    }

    /// Adds a row of integers, as they come from a converter or a quantised network: the same as those numbers in f32.
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32).
    pub fn push_i16(&mut self, row: &[i16; DIM]) -> Result<()> {
        self.push(|half| half.push_i16(row))
    }

    fn push(&mut self, add: impl FnOnce(&mut Moments<Columns<DIM>>) -> Result<()>) -> Result<()> {
        let (first, versus, _) = self.parts();
        push(first, versus, add)
    }

    /// The window's statistics and drift. More rows can follow, but for halves, which are joined by this.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] for no row, and for one row without a baseline; [`ErrorKind::RowCount`] if fewer rows came
    /// than were stated; [`ErrorKind::Number`] if a statistic is not finite.
    pub fn finish(&mut self) -> Result<MeasuredRef<'_>> {
        let (first, versus, options) = self.parts();
        finish(first, versus, options)
    }

    #[allow(clippy::type_complexity)] // three borrows of one struct
    fn parts(&mut self) -> (&mut Moments<Columns<DIM>>, Versus<'_, Columns<DIM>>, &WindowOptions) {
        let versus = match &mut self.reference {
            Reference::Halves { stated, moved } => {
                Versus::Halves { stated: *stated, second: &mut self.second, moved }
            }
            Reference::Baseline => Versus::Baseline(self.second.mean()),
            Reference::Nothing => Versus::Nothing,
        };
        (&mut self.first, versus, &self.options)
    }
}

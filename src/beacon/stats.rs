//! Mean and sample covariance of a window, in one pass, row by row (spec/beacon.md, "CALIB_STATS_V1").
//!
//! [`Moments`] takes rows of f32, f64 or i16, computes in f64, and can be asked for a [`Summary`] at any time. The memory
//! does not grow with the rows. How the rows are cut into calls does not change a bit of the results, nor do
//! features or the instruction set, nor how much of Sigma is kept: the mean and the trace are the same for every
//! [`Sigma`], the diagonal the same for [`Sigma::Diagonal`] and [`Sigma::Full`].
//!
//! The update is Welford's: `d = x - mean; mean += d / n; C[i][j] += d[i] * d[j] * (n - 1) / n` (B. P. Welford, 1962).
//! Where a column's mean is 10^k times its deviation, the covariance has about 16 - k good digits; a sum of squares
//! would have 16 - 2k. [`Moments::merge`] joins windows measured apart (T. F. Chan, G. H. Golub, R. J. LeVeque, 1983):
//!
#![cfg_attr(feature = "alloc", doc = "```")]
#![cfg_attr(not(feature = "alloc"), doc = "```ignore")]
//! use bitwire::beacon::stats::{Moments, Sigma};
//!
//! // Parts of fixed size, merged in order: the results do not depend on the number of threads.
//! let (dim, rows) = (3, vec![0.5f32; 3000]);
//! let part = |rows| -> bitwire::Result<_> {
//!     let mut part = Moments::new(dim, Sigma::Diagonal)?;
//!     part.push_rows_f32(rows)?;
//!     Ok(part)
//! };
//! let parts = std::thread::scope(|scope| {
//!     let threads: Vec<_> = rows.chunks(500 * dim).map(|rows| scope.spawn(move || part(rows))).collect();
//!     threads.into_iter().map(|thread| thread.join().unwrap()).collect::<bitwire::Result<Vec<_>>>()
//! })?;
//! let mut whole = Moments::new(dim, Sigma::Diagonal)?;
//! for part in &parts {
//!     whole.merge(part)?;
//! }
//! assert_eq!(whole.summary()?.mean(), [0.5; 3]);
//! # Ok::<_, bitwire::Error>(())
//! ```

use crate::arch::moments::{self, Block, Keep, LANES, Sample, State, panel_len, triangle_row};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::size;

/// How much of the covariance is kept. The trace is there in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Sigma {
    /// Nothing.
    None,
    /// The trace.
    Trace,
    /// The diagonal.
    Diagonal,
    /// The upper triangle.
    Full,
}

impl Sigma {
    /// The code in CALIB_STATS_V1: 0, 1, 2, 3.
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Trace => 1,
            Self::Diagonal => 2,
            Self::Full => 3,
        }
    }

    /// The share with that code; `None` above 3.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Trace),
            2 => Some(Self::Diagonal),
            3 => Some(Self::Full),
            _ => None,
        }
    }

    /// The number of values kept for `dim` columns: 0, 1, `dim` or `dim * (dim + 1) / 2`.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] if it overflows 64 bits.
    pub fn values(self, dim: u64) -> Result<u64> {
        match self {
            Self::None => Ok(0),
            Self::Trace => Ok(1),
            Self::Diagonal => Ok(dim),
            // The even one of the two factors is halved, so that nothing is lost.
            Self::Full if dim.is_multiple_of(2) => size("Sigma", 0, &[dim / 2, dim.saturating_add(1)]),
            Self::Full => size("Sigma", 0, &[dim, dim.div_ceil(2)]),
        }
    }
}

/// The largest `dim` for which `Moments::new` keeps a full covariance: 1 GiB. A matrix file of a few KB can claim
/// a `dim` that costs its square.
pub const FULL_DIM_MAX: usize = 16_384;

/// Rows of a block of [`Sigma::Full`]. Fewer, and each tile of the covariance is fetched and stored more often; more,
/// and a panel no longer stays in the first-level cache.
const BLOCK_ROWS: usize = 128;

/// Elements that align anything to 64 bytes.
const GAP_MAX: usize = 7;

/// More rows than this are not counted exactly by an f64.
const ROWS_MAX: u64 = 1 << 53;

/// The number of f64 that [`Moments::with_storage`] needs: `dim` for [`Sigma::None`] and [`Sigma::Trace`], `2 * dim`
/// for [`Sigma::Diagonal`], `dim + dim * (dim + 1) / 2` and `dim` rounded up to 32 for [`Sigma::Full`].
///
/// # Errors
/// [`ErrorKind::Argument`] if `dim` is 0, [`ErrorKind::Size`] if the number is beyond the target's address space.
pub fn storage_len(dim: usize, sigma: Sigma) -> Result<usize> {
    Ok(Layout::new(dim, sigma, 0, 1)?.len)
}

/// Where things lie in the storage: the mean, the sums, a gap that aligns the block, the block.
#[derive(Clone, Copy, Debug)]
struct Layout {
    sums: usize,
    gap: usize,
    block: usize,
    len: usize,
}

impl Layout {
    fn new(dim: usize, sigma: Sigma, gap: usize, block_rows: usize) -> Result<Self> {
        if dim == 0 {
            return Err(Error::caller(ErrorKind::Argument { expected: "dim: at least 1" }));
        }
        let overflow = Error::caller(ErrorKind::Size { field: "window statistics" });
        let sums = match sigma {
            Sigma::None | Sigma::Trace => 0,
            Sigma::Diagonal | Sigma::Full => {
                usize::try_from(sigma.values(dim as u64)?).map_err(|_| overflow)?
            }
        };
        let (gap, block) = match sigma {
            Sigma::Full => (gap, panel_len(dim).and_then(|row| row.checked_mul(block_rows)).ok_or(overflow)?),
            _ => (0, 0),
        };
        let parts = [dim, sums, gap, block];
        let len = parts.into_iter().try_fold(0usize, usize::checked_add).ok_or(overflow)?;
        // No slice is longer in bytes; with this, no product of indices below can overflow either.
        if size("window statistics", 0, &[len as u64, 8])? > isize::MAX as u64 {
            return Err(overflow);
        }
        Ok(Self { sums, gap, block, len })
    }
}

/// Mean and covariance of the rows so far, in storage of the caller's choice: `Vec<f64>` from `Moments::new`, or
/// any slice or array of f64 through [`Moments::with_storage`].
#[derive(Clone, Debug)]
pub struct Moments<S> {
    storage: S,
    dim: usize,
    sigma: Sigma,
    layout: Layout,
    /// Rows that the block holds at most, and now.
    capacity: usize,
    used: usize,
    rows: u64,
    /// The sum over columns of squared deviations, in parts.
    trace: [f64; LANES],
}

#[cfg(feature = "alloc")]
impl Moments<alloc::vec::Vec<f64>> {
    /// Statistics of no rows yet. Allocates `8 * storage_len(dim, sigma)` bytes, and for [`Sigma::Full`] 1 KiB more
    /// per column.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` is 0; [`ErrorKind::TooLarge`] if it is over [`FULL_DIM_MAX`] with
    /// [`Sigma::Full`], or if the memory is not to be had.
    pub fn new(dim: usize, sigma: Sigma) -> Result<Self> {
        let too_large =
            |max| Error::caller(ErrorKind::TooLarge { field: "dim", max: max as u64, found: dim as u64 });
        if sigma == Sigma::Full && dim > FULL_DIM_MAX {
            return Err(too_large(FULL_DIM_MAX));
        }
        let len = Layout::new(dim, sigma, GAP_MAX, BLOCK_ROWS)?.len;
        let mut storage = alloc::vec::Vec::new();
        storage.try_reserve_exact(len).map_err(|_| too_large(dim.saturating_sub(1)))?;
        storage.resize(len, 0.0);
        Self::with_storage(dim, sigma, storage)
    }

    /// The statistics of a window measured elsewhere, from what its [`Summary`] held: `rows`, the mean of each
    /// column, and in `spread` the trace ([`Sigma::None`], [`Sigma::Trace`]), the `dim` variances or the upper
    /// triangle row by row, with divisor `rows - 1`. Equal to the original to rounding. Takes one pass over `spread`
    /// and memory as [`new`](Self::new).
    ///
    /// ```
    /// use bitwire::beacon::stats::{Moments, Sigma};
    ///
    /// // Two devices send the mean and the variances of three rows each.
    /// let mut whole = Moments::from_parts(Sigma::Diagonal, 3, &[1.0, 0.5], &[4.0, 1.0])?;
    /// whole.merge(&Moments::from_parts(Sigma::Diagonal, 3, &[3.0, 0.5], &[4.0, 1.0])?)?;
    /// let summary = whole.summary()?;
    /// assert_eq!((summary.rows(), summary.mean()), (6, &[2.0, 0.5][..]));
    /// // (2 * 4 + 2 * 4 + 6 * 1 * 1) / 5 and (2 * 1 + 2 * 1) / 5
    /// assert!(summary.diagonal().unwrap().eq([4.4, 0.8]));
    /// # Ok::<_, bitwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `spread` has another length; [`ErrorKind::WindowRows`] for 0 rows and
    /// [`ErrorKind::TooLarge`] over 2^53; [`ErrorKind::Number`] for a value that is not finite, a variance or trace
    /// below 0, any but 0 of a single row, and sums beyond the range of f64; and as [`new`](Self::new).
    pub fn from_parts(sigma: Sigma, rows: u64, mean: &[f64], spread: &[f64]) -> Result<Self> {
        // A mean of a few KB may not claim the memory of a triangle that is not there.
        check_spread(sigma, mean.len(), spread.len())?;
        Self::new(mean.len(), sigma)?.restore(rows, mean, spread)
    }
}

/// [`Sigma::None`] comes with a trace here: [`Moments`] always know it.
fn check_spread(sigma: Sigma, dim: usize, found: usize) -> Result<()> {
    let needed = if sigma == Sigma::None { 1 } else { sigma.values(dim as u64)? };
    let found = found as u64;
    if needed != found {
        return Err(Error::caller(ErrorKind::Shape {
            field: "the number of values of Sigma",
            needed,
            found,
        }));
    }
    Ok(())
}

/// The storage, taken apart.
struct Parts<'a> {
    mean: &'a mut [f64],
    sums: &'a mut [f64],
    block: &'a mut [f64],
}

impl<S: AsRef<[f64]> + AsMut<[f64]>> Moments<S> {
    /// Statistics of no rows yet, kept in `storage`, whose contents do not matter. It has at least
    /// [`storage_len`] elements. More of them make [`Sigma::Full`] faster, up to 127 times `dim` (rounded up to 32)
    /// more and 7 to align them; they never change a bit of the results.
    ///
    /// # Errors
    /// As [`storage_len`]; [`ErrorKind::BufferTooSmall`], in elements.
    pub fn with_storage(dim: usize, sigma: Sigma, mut storage: S) -> Result<Self> {
        let Layout { sums, len: least, .. } = Layout::new(dim, sigma, 0, 1)?;
        let elements = storage.as_mut();
        let spare = elements.len().checked_sub(least).ok_or(Error::caller(ErrorKind::BufferTooSmall {
            needed: least as u64,
            available: elements.len() as u64,
        }))?;
        // A block whose vectors straddle no cache lines is worth a few elements, if there are any to spare.
        let gap = elements.get(dim.saturating_add(sums)..).map_or(0, |block| block.as_ptr().align_offset(64));
        let (gap, capacity) = match (sigma, panel_len(dim)) {
            (Sigma::Full, Some(row)) => {
                let gap = if gap <= GAP_MAX.min(spare) { gap } else { 0 };
                (gap, (1 + (spare - gap) / row).min(BLOCK_ROWS))
            }
            _ => (0, 1),
        };
        let layout = Layout::new(dim, sigma, gap, capacity)?;
        elements.iter_mut().take(layout.len).for_each(|element| *element = 0.0);
        Ok(Self { storage, dim, sigma, layout, capacity, used: 0, rows: 0, trace: [0.0; LANES] })
    }

    /// No rows again, in the same memory: the next window.
    pub fn clear(&mut self) {
        let elements = self.storage.as_mut();
        elements.iter_mut().take(self.layout.len).for_each(|element| *element = 0.0);
        (self.used, self.rows, self.trace) = (0, 0, [0.0; LANES]);
    }

    /// The same, keeping another share of Sigma.
    pub(super) fn clear_for(&mut self, sigma: Sigma) -> Result<()> {
        let layout = Layout::new(self.dim, sigma, 0, 1)?;
        let (needed, available) = (layout.len as u64, self.storage.as_ref().len() as u64);
        if needed > available {
            return Err(Error::caller(ErrorKind::BufferTooSmall { needed, available }));
        }
        (self.sigma, self.layout, self.capacity) = (sigma, layout, 1);
        self.clear();
        Ok(())
    }

    /// The memory of the mean.
    pub(super) fn mean_mut(&mut self) -> &mut [f64] {
        let dim = self.dim;
        self.storage.as_mut().get_mut(..dim).unwrap_or_default()
    }

    /// The statistics of a window measured elsewhere, kept in `storage`: as `Moments::from_parts` (feature `alloc`),
    /// which says what `spread` holds, without an allocator.
    ///
    /// # Errors
    /// Those of `Moments::from_parts` and of [`with_storage`](Self::with_storage).
    pub fn from_parts_with_storage(
        sigma: Sigma,
        rows: u64,
        mean: &[f64],
        spread: &[f64],
        storage: S,
    ) -> Result<Self> {
        check_spread(sigma, mean.len(), spread.len())?;
        Self::with_storage(mean.len(), sigma, storage)?.restore(rows, mean, spread)
    }

    /// Fills empty statistics with those of a window. The lengths are right.
    fn restore(mut self, rows: u64, mean: &[f64], spread: &[f64]) -> Result<Self> {
        let number = Error::caller(ErrorKind::Number { field: "Sigma" });
        self.rows = self.add_rows(rows)?;
        if rows == 1 && spread.iter().any(|&x| x != 0.0) {
            return Err(number);
        }
        let divisor = rows.saturating_sub(1) as f64;
        let (dim, sigma, mut trace) = (self.dim, self.sigma, self.trace);
        let (variances, place): (_, fn(usize, usize) -> usize) = match sigma {
            Sigma::None | Sigma::Trace => (1, |_, i| i),
            Sigma::Diagonal => (dim, |_, i| i),
            Sigma::Full => (dim, triangle_row),
        };
        for i in 0..variances {
            let variance = spread.get(place(dim, i)).copied().unwrap_or(0.0);
            if variance < 0.0 {
                return Err(number);
            }
            if let Some(lane) = trace.get_mut(i % LANES) {
                *lane += variance * divisor;
            }
        }
        let parts = self.parts()?;
        parts.mean.copy_from_slice(mean);
        for (sum, value) in parts.sums.iter_mut().zip(spread) {
            *sum = value * divisor;
        }
        self.trace = trace;
        // Refuses no rows, and what is not finite.
        self.summary()?;
        Ok(self)
    }

    /// Takes in one row.
    ///
    /// # Errors
    /// [`ErrorKind::RowLength`], or [`ErrorKind::NonFinite`] for a NaN or an infinity; the statistics stay as they
    /// were. [`ErrorKind::TooLarge`] after 2^53 rows.
    pub fn push_f32(&mut self, row: &[f32]) -> Result<()> {
        self.push(row)
    }

    /// Takes in one row.
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32).
    pub fn push_f64(&mut self, row: &[f64]) -> Result<()> {
        self.push(row)
    }

    /// Takes in one row of integers, as they come from a converter or a quantised network: the same bits as those of the
    /// same numbers in f32.
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32); integers are finite.
    pub fn push_i16(&mut self, row: &[i16]) -> Result<()> {
        self.push(row)
    }

    /// Takes in rows, row-major; the results have the same bits as with one call per row. Takes `dim` steps per row,
    /// about `dim * dim / 2` with [`Sigma::Full`].
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32). If the last row is not whole, nothing is taken in. A value that is not finite
    /// stops at its row: the rows before it are taken in, it and the rest are not.
    pub fn push_rows_f32(&mut self, rows: &[f32]) -> Result<()> {
        self.push_rows(rows)
    }

    /// Takes in rows, row-major, as [`push_rows_f32`](Self::push_rows_f32).
    ///
    /// # Errors
    /// As [`push_rows_f32`](Self::push_rows_f32).
    pub fn push_rows_f64(&mut self, rows: &[f64]) -> Result<()> {
        self.push_rows(rows)
    }

    fn push<T: Sample>(&mut self, row: &[T]) -> Result<()> {
        if row.len() != self.dim {
            return Err(self.row_length(self.rows, row.len()));
        }
        self.push_rows(row)
    }

    fn row_length(&self, row: u64, found: usize) -> Error {
        Error::caller(ErrorKind::RowLength { row, needed: self.dim as u64, found: found as u64 })
    }

    fn push_rows<T: Sample>(&mut self, mut rows: &[T]) -> Result<()> {
        // dim is at least 1.
        let (count, partial) = ((rows.len() / self.dim.max(1)) as u64, rows.len() % self.dim.max(1));
        if partial != 0 {
            return Err(self.row_length(self.rows.saturating_add(count), partial));
        }
        self.add_rows(count)?;
        while !rows.is_empty() {
            let room = match self.sigma {
                Sigma::Full => self.capacity.saturating_sub(self.used).saturating_mul(self.dim),
                _ => rows.len(),
            };
            let (now, later) = rows.split_at_checked(room).unwrap_or((rows, &[]));
            let (before, used, capacity, sigma) = (self.rows, self.used, self.capacity, self.sigma);
            let mut trace = self.trace;
            let parts = self.parts()?;
            let keep = match sigma {
                Sigma::None | Sigma::Trace => Keep::Trace,
                Sigma::Diagonal => Keep::Diagonal(parts.sums),
                Sigma::Full => Keep::Block { panels: parts.block, capacity, used },
            };
            let taken = moments::absorb(now, before, State { mean: parts.mean, trace: &mut trace, keep });
            self.trace = trace;
            self.rows = before.saturating_add(taken);
            if sigma == Sigma::Full {
                self.used = used.saturating_add(usize::try_from(taken).unwrap_or(capacity));
                if self.used >= capacity {
                    self.flush()?;
                }
            }
            let bad =
                usize::try_from(taken).ok().and_then(|taken| now.chunks_exact(self.dim.max(1)).nth(taken));
            if let Some(row) = bad {
                let column = row.iter().position(|x| !x.finite()).unwrap_or(0) as u64;
                return Err(Error::caller(ErrorKind::NonFinite { row: self.rows, column }));
            }
            rows = later;
        }
        Ok(())
    }

    /// The number of rows with `more`.
    fn add_rows(&self, more: u64) -> Result<u64> {
        let found = self.rows.saturating_add(more);
        if found > ROWS_MAX {
            return Err(Error::caller(ErrorKind::TooLarge { field: "rows", max: ROWS_MAX, found }));
        }
        Ok(found)
    }

    fn parts(&mut self) -> Result<Parts<'_>> {
        let Layout { sums, gap, block, len } = self.layout;
        let storage = self.storage.as_mut();
        // The length was right when it was checked; storage that shrinks since is refused, not indexed.
        let available = storage.len() as u64;
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed: len as u64, available });
        let (mean, rest) = storage.split_at_mut_checked(self.dim).ok_or(too_small)?;
        let (sums, rest) = rest.split_at_mut_checked(sums).ok_or(too_small)?;
        let (_, rest) = rest.split_at_mut_checked(gap).ok_or(too_small)?;
        let (block, _) = rest.split_at_mut_checked(block).ok_or(too_small)?;
        Ok(Parts { mean, sums, block })
    }

    /// Adds the rows of the block to the sums. When this happens makes no difference to any bit.
    fn flush(&mut self) -> Result<()> {
        let (dim, capacity, used) = (self.dim, self.capacity, core::mem::take(&mut self.used));
        if used > 0 {
            let parts = self.parts()?;
            moments::gram(Block { panels: parts.block, capacity, rows: used, dim }, parts.sums);
        }
        Ok(())
    }

    /// Takes in all rows of `other`, as if they followed: equal to rounding (a relative 1e-12 or so), not to the
    /// bit. Merging the same parts in the same order gives the same bits. An empty part, on either side, changes
    /// nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` or `sigma` differ; [`ErrorKind::TooLarge`] over 2^53 rows.
    pub fn merge<T: AsRef<[f64]>>(&mut self, other: &Moments<T>) -> Result<()> {
        if (self.dim, self.sigma) != (other.dim, other.sigma) {
            return Err(Error::caller(ErrorKind::Argument { expected: "other: the same dim and sigma" }));
        }
        let rows = self.add_rows(other.rows)?;
        if other.rows == 0 {
            return Ok(());
        }
        self.flush()?;
        let share = other.rows as f64 / rows as f64;
        let weight = self.rows as f64 * share;
        let (dim, sigma, mut trace) = (self.dim, self.sigma, self.trace);
        let Layout { sums, gap, block, len } = other.layout;
        let storage = other.storage.as_ref();
        let too_small = ErrorKind::BufferTooSmall { needed: len as u64, available: storage.len() as u64 };
        let (mean, rest) = storage.split_at_checked(dim).ok_or(Error::caller(too_small))?;
        let (sums, rest) = rest.split_at_checked(sums).ok_or(Error::caller(too_small))?;
        let (_, rest) = rest.split_at_checked(gap).ok_or(Error::caller(too_small))?;
        let (block, _) = rest.split_at_checked(block).ok_or(Error::caller(too_small))?;

        let own = self.parts()?;
        let deltas = || own.mean.iter().zip(mean).map(|(own, other)| other - own);
        for (own, other) in trace.iter_mut().zip(&other.trace) {
            *own += other;
        }
        for (i, delta) in deltas().enumerate() {
            if let Some(lane) = trace.get_mut(i % LANES) {
                *lane += delta * weight * delta;
            }
        }
        match sigma {
            Sigma::None | Sigma::Trace => {}
            Sigma::Diagonal => {
                for ((own, other), delta) in own.sums.iter_mut().zip(sums).zip(deltas()) {
                    *own += other + delta * weight * delta;
                }
            }
            Sigma::Full => {
                let waiting = Block { panels: block, capacity: other.capacity, rows: other.used, dim };
                moments::merge(own.sums, own.mean, (sums, mean, waiting), weight);
            }
        }
        for (own, other) in own.mean.iter_mut().zip(mean) {
            *own += (other - *own) * share;
        }
        (self.trace, self.rows) = (trace, rows);
        Ok(())
    }

    /// The results so far. More rows can follow, and a summary in between changes no bit of later ones.
    ///
    /// With one row the covariance is 0.
    ///
    /// # Errors
    /// [`ErrorKind::WindowRows`] without rows; [`ErrorKind::Number`] if a sum went beyond the range of f64, which
    /// takes values over 1e150.
    pub fn summary(&mut self) -> Result<Summary<'_>> {
        if self.rows == 0 {
            return Err(Error::caller(ErrorKind::WindowRows { needed: 1, found: 0 }));
        }
        self.flush()?;
        let (dim, sigma, rows, mut trace) = (self.dim, self.sigma, self.rows, self.trace);
        // Halves, and halves of halves: a fixed tree.
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            let (low, high) = trace.split_at_mut(width);
            for (low, high) in low.iter_mut().zip(high) {
                *low += *high;
            }
        }
        let divisor = rows.saturating_sub(1).max(1) as f64;
        let [trace, ..] = trace;
        let Parts { mean, sums, .. } = self.parts()?;
        let number = |field| Error::caller(ErrorKind::Number { field });
        if !mean.iter().all(|x| x.is_finite()) {
            return Err(number("mu"));
        }
        if !trace.is_finite() || !sums.iter().all(|x| x.is_finite()) {
            return Err(number("Sigma"));
        }
        Ok(Summary { mean, sums, trace: trace / divisor, divisor, rows, dim, sigma })
    }
}

impl<S: AsRef<[f64]>> Moments<S> {
    /// The mean so far; zeros, or what was put there, without rows.
    pub(super) fn mean(&self) -> &[f64] {
        self.storage.as_ref().get(..self.dim).unwrap_or_default()
    }
}

impl<S> Moments<S> {
    /// No rows of `dim` columns, in `storage`, which holds zeros, and `dim` of them for each: the mean, and for
    /// [`Sigma::Diagonal`] the sums.
    pub(super) const fn empty(dim: usize, sigma: Sigma, storage: S) -> Self {
        let sums = if matches!(sigma, Sigma::Diagonal) { dim } else { 0 };
        let layout = Layout { sums, gap: 0, block: 0, len: dim.saturating_add(sums) };
        Self { storage, dim, sigma, layout, capacity: 1, used: 0, rows: 0, trace: [0.0; LANES] }
    }

    /// The number of rows taken in.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of columns.
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// How much of the covariance is kept.
    pub const fn sigma(&self) -> Sigma {
        self.sigma
    }
}

/// What [`Moments`] measured: every number finite, the covariance with divisor `rows - 1`.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    mean: &'a [f64],
    /// The covariance before the division: nothing, the diagonal or the packed triangle.
    sums: &'a [f64],
    trace: f64,
    divisor: f64,
    rows: u64,
    dim: usize,
    sigma: Sigma,
}

impl<'a> Summary<'a> {
    /// The number of rows, at least 1.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of columns.
    pub const fn dim(&self) -> usize {
        self.dim
    }

    /// How much of the covariance is kept.
    pub const fn sigma(&self) -> Sigma {
        self.sigma
    }

    /// The mean of each column.
    pub const fn mean(&self) -> &'a [f64] {
        self.mean
    }

    /// The trace of the covariance, whatever of it is kept. The same bits for every [`Sigma`]; the sum of
    /// [`diagonal`](Self::diagonal) differs from it by rounding.
    pub const fn trace(&self) -> f64 {
        self.trace
    }

    /// The variances of the columns, with [`Sigma::Diagonal`] and [`Sigma::Full`].
    pub fn diagonal(&self) -> Option<impl ExactSizeIterator<Item = f64> + Clone + use<'a>> {
        let Self { sums, divisor, dim, sigma, .. } = *self;
        let place = match sigma {
            Sigma::None | Sigma::Trace => return None,
            Sigma::Diagonal => |_, i| i,
            Sigma::Full => triangle_row,
        };
        Some((0..dim).map(move |i| sums.get(place(dim, i)).map_or(0.0, |sum| sum / divisor)))
    }

    /// The upper triangle, row by row: (0,0), (0,1), ..., (1,1), ...; with [`Sigma::Full`].
    pub fn triangle(&self) -> Option<impl ExactSizeIterator<Item = f64> + Clone + use<'a>> {
        let Self { sums, divisor, .. } = *self;
        (self.sigma == Sigma::Full).then(|| sums.iter().map(move |sum| sum / divisor))
    }

    /// The covariance of columns `i` and `j`, if it is kept and there are such columns.
    pub fn covariance(&self, i: usize, j: usize) -> Option<f64> {
        let (row, column) = (i.min(j), i.max(j));
        let place = match self.sigma {
            Sigma::Full if column < self.dim => triangle_row(self.dim, row) + column - row,
            Sigma::Diagonal if row == column => row,
            _ => return None,
        };
        self.sums.get(place).map(|sum| sum / self.divisor)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const KINDS: [Sigma; 4] = [Sigma::None, Sigma::Trace, Sigma::Diagonal, Sigma::Full];

    fn in_vec(dim: usize, sigma: Sigma, len: usize) -> Moments<Vec<f64>> {
        Moments::with_storage(dim, sigma, vec![f64::NAN; len]).unwrap()
    }

    fn least(dim: usize, sigma: Sigma) -> Moments<Vec<f64>> {
        in_vec(dim, sigma, storage_len(dim, sigma).unwrap())
    }

    fn values<S: AsRef<[f64]> + AsMut<[f64]>>(moments: &mut Moments<S>) -> Vec<f64> {
        let summary = moments.summary().unwrap();
        let mut values = summary.mean().to_vec();
        values.push(summary.trace());
        values.extend(summary.diagonal().into_iter().flatten());
        values.extend(summary.triangle().into_iter().flatten());
        values
    }

    fn bits<S: AsRef<[f64]> + AsMut<[f64]>>(moments: &mut Moments<S>) -> Vec<u64> {
        values(moments).into_iter().map(f64::to_bits).collect()
    }

    /// What a device would send.
    fn parts(moments: &mut Moments<Vec<f64>>) -> (u64, Vec<f64>, Vec<f64>) {
        let summary = moments.summary().unwrap();
        let spread = match summary.sigma() {
            Sigma::None | Sigma::Trace => vec![summary.trace()],
            Sigma::Diagonal => summary.diagonal().unwrap().collect(),
            Sigma::Full => summary.triangle().unwrap().collect(),
        };
        (summary.rows(), summary.mean().to_vec(), spread)
    }

    /// Two passes, the textbook's formulas.
    fn textbook(rows: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
        let n = (rows.len() / dim) as f64;
        let mean: Vec<f64> = (0..dim).map(|j| rows.iter().skip(j).step_by(dim).sum::<f64>() / n).collect();
        let mut triangle = vec![];
        for i in 0..dim {
            for j in i..dim {
                let products = rows.chunks(dim).map(|row| (row[i] - mean[i]) * (row[j] - mean[j]));
                triangle.push(products.sum::<f64>() / (n - 1.0).max(1.0));
            }
        }
        (mean, triangle)
    }

    fn kind() -> impl Strategy<Value = Sigma> {
        prop::sample::select(&KINDS[..])
    }

    /// Columns and whole rows.
    fn matrix() -> impl Strategy<Value = (usize, Vec<f32>)> {
        (1usize..70, 1usize..40).prop_flat_map(|(dim, rows)| {
            (Just(dim), prop::collection::vec(-2.0f32..3.0, rows * dim..=rows * dim))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_two_passes((dim, rows) in matrix(), shift in prop::sample::select(&[0.0, 1e6, -1e9][..])) {
            let rows: Vec<f64> = rows.iter().map(|&x| f64::from(x) + shift).collect();
            let (mean, triangle) = textbook(&rows, dim);
            let mut moments = least(dim, Sigma::Full);
            moments.push_rows_f64(&rows).unwrap();
            let summary = moments.summary().unwrap();
            for (ours, theirs) in summary.mean().iter().zip(mean) {
                prop_assert!((ours - theirs).abs() <= 1e-12 * (1.0 + shift.abs()));
            }
            // The values are of order 1. At 1e9 they are known to 1e-7, but exactly what they are; a sum of
            // squares would have lost every digit.
            for (ours, theirs) in summary.triangle().unwrap().zip(triangle) {
                prop_assert!((ours - theirs).abs() <= 1e-12 + 1e-15 * shift.abs(), "{ours} {theirs}");
            }
        }

        #[test]
        fn calls_and_summaries_change_no_bit(
            (dim, rows) in matrix(), sigma in kind(), cuts in prop::collection::vec(0usize..40, 0..5),
            spare in 0usize..3000,
        ) {
            let mut whole = least(dim, sigma);
            whole.push_rows_f32(&rows).unwrap();
            let expected = bits(&mut whole);

            let mut by_row = in_vec(dim, sigma, storage_len(dim, sigma).unwrap() + spare);
            for row in rows.chunks(dim) {
                by_row.push_f32(row).unwrap();
            }
            prop_assert_eq!(&bits(&mut by_row), &expected);

            let mut storage = vec![f64::MAX; storage_len(dim, sigma).unwrap() + spare];
            let mut pieces = Moments::with_storage(dim, sigma, &mut storage[..]).unwrap();
            let mut rest = &rows[..];
            for cut in cuts {
                let (now, later) = rest.split_at((cut * dim).min(rest.len()));
                pieces.push_rows_f32(now).unwrap();
                let _ = pieces.summary();
                rest = later;
            }
            let wide: Vec<f64> = rest.iter().map(|&x| x.into()).collect();
            pieces.push_rows_f64(&wide).unwrap();
            prop_assert_eq!(&bits(&mut pieces), &expected);
            prop_assert_eq!(pieces.rows() as usize, rows.len() / dim);
        }

        #[test]
        fn parts_merge_to_the_whole((dim, rows) in matrix(), sigma in kind(), cut in 0usize..40, spare in 0usize..3000) {
            let mut whole = least(dim, sigma);
            whole.push_rows_f32(&rows).unwrap();
            let (first, second) = rows.split_at((cut * dim).min(rows.len()));
            // Whatever waits in a block at that moment, on either side.
            let len = storage_len(dim, sigma).unwrap();
            let merged = [(0, 0), (spare, 0), (0, spare)].map(|(left, right)| {
                let mut merged = in_vec(dim, sigma, len + left);
                merged.push_rows_f32(first).unwrap();
                let mut other = in_vec(dim, sigma, len + right);
                other.push_rows_f32(second).unwrap();
                merged.merge(&other).unwrap();
                merged
            });
            let [mut merged, others @ ..] = merged;
            for mut other in others {
                prop_assert_eq!(bits(&mut merged), bits(&mut other));
            }
            prop_assert_eq!(merged.rows(), whole.rows());
            for (merged, whole) in values(&mut merged).into_iter().zip(values(&mut whole)) {
                // The values are of order 1.
                prop_assert!((merged - whole).abs() <= 1e-12 * whole.abs().max(1.0));
            }
            if first.is_empty() || second.is_empty() {
                prop_assert_eq!(bits(&mut merged), bits(&mut whole));
            }
        }

        #[test]
        fn what_a_summary_holds_is_enough_to_merge(
            (dim, rows) in matrix(), sigma in kind(), cut in any::<prop::sample::Index>(), spare in 0usize..3000,
        ) {
            let count = rows.len() / dim;
            prop_assume!(count > 1);
            let (first, second) = rows.split_at((1 + cut.index(count - 1)) * dim);
            let measure = |rows: &[f32]| {
                let mut moments = least(dim, sigma);
                moments.push_rows_f32(rows).unwrap();
                moments
            };
            let (mut first, mut other) = (measure(first), measure(second));
            let mut expected = first.clone();
            expected.merge(&other).unwrap();

            let sent = [&mut first, &mut other].map(|moments| {
                let (rows, mean, spread) = parts(moments);
                let storage = vec![f64::NAN; storage_len(dim, sigma).unwrap() + spare];
                Moments::from_parts_with_storage(sigma, rows, &mean, &spread, storage).unwrap()
            });
            let [mut merged, mut restored] = sent;
            // The mean is the same to the bit; a product of a quotient is not.
            prop_assert_eq!(&bits(&mut restored)[..dim], &bits(&mut other)[..dim]);
            let mut continued = merged.clone();
            continued.push_rows_f32(second).unwrap();
            merged.merge(&restored).unwrap();
            for mut merged in [merged, continued] {
                prop_assert_eq!(merged.rows() as usize, count);
                for (merged, expected) in values(&mut merged).into_iter().zip(values(&mut expected)) {
                    // The values are of order 1.
                    prop_assert!((merged - expected).abs() <= 1e-12 * expected.abs().max(1.0));
                }
            }
        }

        #[test]
        fn sigma_changes_no_mean_and_no_trace((dim, rows) in matrix(), cut in 0usize..40) {
            let measured = KINDS.map(|sigma| {
                let (first, second) = rows.split_at((cut * dim).min(rows.len()));
                let (mut moments, mut other) = (least(dim, sigma), least(dim, sigma));
                moments.push_rows_f32(first).unwrap();
                other.push_rows_f32(second).unwrap();
                moments.merge(&other).unwrap();
                moments
            });
            let [mut none, mut trace, mut diagonal, mut full] = measured;
            let expected = bits(&mut none);
            prop_assert_eq!(&bits(&mut trace), &expected);
            let diagonal = bits(&mut diagonal);
            prop_assert_eq!(&diagonal[..dim + 1], &expected[..]);
            prop_assert_eq!(&bits(&mut full)[..2 * dim + 1], &diagonal[..]);
        }

        #[test]
        fn a_bad_row_changes_nothing((dim, rows) in matrix(), sigma in kind(), at in any::<prop::sample::Index>()) {
            let bad = at.index(rows.len());
            let (row, column) = (bad / dim, bad % dim);
            let mut spoilt = rows.clone();
            spoilt[bad] = if bad % 2 == 0 { f32::NAN } else { f32::INFINITY };

            let mut moments = in_vec(dim, sigma, storage_len(dim, sigma).unwrap() + 500);
            let error = moments.push_rows_f32(&spoilt).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::NonFinite { row: row as u64, column: column as u64 });
            prop_assert_eq!(moments.rows(), row as u64);
            // Nothing is lost: the row can be mended.
            moments.push_rows_f32(&rows[row * dim..]).unwrap();
            let mut clean = least(dim, sigma);
            clean.push_rows_f32(&rows).unwrap();
            prop_assert_eq!(bits(&mut moments), bits(&mut clean));
        }
    }

    #[test]
    fn drift_of_the_mean_costs_no_digits() {
        // The mean of the first half is far from that of the second, so any shift chosen early is a bad one.
        let rows: Vec<f64> =
            (0..20_000).map(|i| if i < 10_000 { 1e6 } else { -1e6 } + f64::from(i * 7919 % 101)).collect();
        let mut moments = least(1, Sigma::Full);
        moments.push_rows_f64(&rows).unwrap();
        let (mean, triangle) = textbook(&rows, 1);
        let summary = moments.summary().unwrap();
        assert!((summary.mean()[0] - mean[0]).abs() < 1e-14 * 1e6);
        assert!((summary.covariance(0, 0).unwrap() / triangle[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_row_and_equal_rows_have_no_covariance() {
        for sigma in KINDS {
            let mut moments = least(3, sigma);
            assert_eq!(moments.summary().unwrap_err().kind(), ErrorKind::WindowRows { needed: 1, found: 0 });
            for _ in 0..5 {
                moments.push_f32(&[0.1, -7.0, 1e30]).unwrap();
                let summary = moments.summary().unwrap();
                assert_eq!(summary.mean(), [f64::from(0.1f32), -7.0, f64::from(1e30f32)]);
                assert_eq!(summary.trace(), 0.0);
                assert!(summary.diagonal().into_iter().flatten().all(|x| x == 0.0));
                assert!(summary.triangle().into_iter().flatten().all(|x| x == 0.0));
            }
        }
    }

    #[test]
    fn small_integers_are_exact() {
        let mut moments = least(2, Sigma::Full);
        moments.push_rows_f32(&[1.0, 2.0, 3.0, -4.0]).unwrap();
        let summary = moments.summary().unwrap();
        assert_eq!(summary.mean(), [2.0, -1.0]);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-14;
        assert!(summary.triangle().unwrap().zip([2.0, -6.0, 18.0]).all(|(a, b)| close(a, b)));
        assert!(close(summary.trace(), 20.0));
        assert_eq!(summary.covariance(1, 0), summary.covariance(0, 1));
        assert_eq!(summary.covariance(0, 2), None);
        assert_eq!(summary.covariance(2, 2), None);
        assert_eq!((summary.rows(), summary.dim(), summary.sigma()), (2, 2, Sigma::Full));
    }

    #[test]
    fn sums_beyond_f64_are_an_error() {
        for sigma in KINDS {
            // A square overflows.
            let mut moments = least(2, sigma);
            moments.push_rows_f64(&[1e300, 0.0, 0.0, 0.0]).unwrap();
            assert_eq!(moments.summary().unwrap_err().kind(), ErrorKind::Number { field: "Sigma" });
            // So does a difference, and the mean with it.
            let mut moments = least(2, sigma);
            moments.push_rows_f64(&[f64::MAX, 0.0, f64::MIN, 0.0]).unwrap();
            assert_eq!(moments.summary().unwrap_err().kind(), ErrorKind::Number { field: "mu" });
            let mut other = least(2, sigma);
            other.push_f64(&[1.0, 1.0]).unwrap();
            other.merge(&moments).unwrap();
            other.push_f64(&[1.0, 1.0]).unwrap();
            assert!(matches!(other.summary().unwrap_err().kind(), ErrorKind::Number { .. }));
        }
        // Any f32 is fine.
        let mut moments = least(2, Sigma::Full);
        moments.push_rows_f32(&[f32::MAX, f32::MIN, f32::MIN, f32::MAX]).unwrap();
        assert!(moments.summary().is_ok());
    }

    #[test]
    fn rows_of_another_length() {
        let mut moments = least(3, Sigma::Trace);
        moments.push_f32(&[0.0; 3]).unwrap();
        let kind = |row, found| ErrorKind::RowLength { row, needed: 3, found };
        assert_eq!(moments.push_f32(&[0.0; 2]).unwrap_err().kind(), kind(1, 2));
        assert_eq!(moments.push_f64(&[0.0; 6]).unwrap_err().kind(), kind(1, 6));
        assert_eq!(moments.push_f64(&[]).unwrap_err().kind(), kind(1, 0));
        assert_eq!(moments.push_rows_f32(&[0.0; 8]).unwrap_err().kind(), kind(3, 2));
        assert_eq!(moments.rows(), 1);
        moments.push_rows_f32(&[]).unwrap();
    }

    #[test]
    fn storage() {
        assert_eq!(storage_len(128_256, Sigma::None), Ok(128_256));
        assert_eq!(storage_len(128_256, Sigma::Trace), Ok(128_256));
        assert_eq!(storage_len(128_256, Sigma::Diagonal), Ok(256_512));
        assert_eq!(storage_len(3, Sigma::Full), Ok(3 + 6 + 32));
        for sigma in KINDS {
            assert!(matches!(storage_len(0, sigma).unwrap_err().kind(), ErrorKind::Argument { .. }));
            assert!(matches!(storage_len(usize::MAX, sigma).unwrap_err().kind(), ErrorKind::Size { .. }));
            let needed = storage_len(9, sigma).unwrap();
            let short = Moments::with_storage(9, sigma, vec![0.0; needed - 1]).unwrap_err().kind();
            let (needed, available) = (needed as u64, needed as u64 - 1);
            assert_eq!(short, ErrorKind::BufferTooSmall { needed, available });
        }
        assert!(storage_len(1 << 33, Sigma::Full).is_err());
        // An array needs no allocator.
        let mut moments = Moments::with_storage(2, Sigma::Diagonal, [0.0; 4]).unwrap();
        moments.push_f32(&[1.0, 2.0]).unwrap();
        assert_eq!(moments.summary().unwrap().mean(), [1.0, 2.0]);
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn claims_that_no_memory_can_hold_are_errors() {
        let kind = |dim, sigma| Moments::new(dim, sigma).unwrap_err().kind();
        assert!(matches!(kind(FULL_DIM_MAX + 1, Sigma::Full), ErrorKind::TooLarge { field: "dim", .. }));
        assert!(matches!(kind(isize::MAX as usize / 16, Sigma::Diagonal), ErrorKind::TooLarge { .. }));
        assert!(matches!(kind(usize::MAX / 16, Sigma::Diagonal), ErrorKind::Size { .. }));
        assert!(matches!(kind(usize::MAX, Sigma::Full), ErrorKind::TooLarge { .. }));
        assert!(matches!(kind(0, Sigma::Full), ErrorKind::Argument { .. }));
        assert_eq!(Moments::new(3, Sigma::Full).unwrap().dim(), 3);
    }

    #[test]
    fn parts_that_do_not_fit_together() {
        let mut moments = least(2, Sigma::Trace);
        for other in [least(3, Sigma::Trace), least(2, Sigma::None)] {
            assert!(matches!(moments.merge(&other).unwrap_err().kind(), ErrorKind::Argument { .. }));
        }
        // 2^53 rows, the most that are counted.
        moments.push_f32(&[1.0, 2.0]).unwrap();
        for _ in 0..53 {
            let copy = moments.clone();
            moments.merge(&copy).unwrap();
        }
        let copy = moments.clone();
        let too_many = |found| ErrorKind::TooLarge { field: "rows", max: ROWS_MAX, found };
        assert_eq!(moments.merge(&copy).unwrap_err().kind(), too_many(2 * ROWS_MAX));
        assert_eq!(moments.push_f32(&[1.0, 2.0]).unwrap_err().kind(), too_many(ROWS_MAX + 1));
    }

    #[test]
    fn parts_that_no_window_has() {
        let restore = |sigma, rows, mean: &[f64], spread: &[f64]| {
            let storage = vec![f64::NAN; storage_len(mean.len().max(1), sigma).unwrap()];
            Moments::from_parts_with_storage(sigma, rows, mean, spread, storage)
        };
        let kind = |sigma, rows, mean: &[f64], spread: &[f64]| {
            restore(sigma, rows, mean, spread).unwrap_err().kind()
        };
        let number = |field| ErrorKind::Number { field };
        for (sigma, values) in KINDS.into_iter().zip([1usize, 1, 2, 3]) {
            let (zeros, mean) = (vec![0.0; values], [1.0, -2.0]);
            for found in [0, values - 1, values + 1] {
                let (needed, field) = (values as u64, "the number of values of Sigma");
                let shape = ErrorKind::Shape { field, needed, found: found as u64 };
                assert_eq!(kind(sigma, 9, &mean, &vec![0.0; found]), shape);
            }
            let of_none = if values == 1 { &zeros[..] } else { &[] };
            assert!(matches!(kind(sigma, 9, &[], of_none), ErrorKind::Argument { .. }));
            assert_eq!(kind(sigma, 0, &mean, &zeros), ErrorKind::WindowRows { needed: 1, found: 0 });
            let too_many = ErrorKind::TooLarge { field: "rows", max: ROWS_MAX, found: ROWS_MAX + 1 };
            assert_eq!(kind(sigma, ROWS_MAX + 1, &mean, &zeros), too_many);
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert_eq!(kind(sigma, 9, &[1.0, bad], &zeros), number("mu"));
            }
            // Each value in its turn: not finite, a sum over f64, of a single row, a square below 0.
            for i in 0..values {
                let with = |value| {
                    let mut spread = zeros.clone();
                    spread[i] = value;
                    spread
                };
                for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
                    assert_eq!(kind(sigma, 9, &mean, &with(bad)), number("Sigma"));
                }
                assert_eq!(kind(sigma, 1, &mean, &with(1e-300)), number("Sigma"));
                let covariance = sigma == Sigma::Full && i == 1;
                assert_eq!(restore(sigma, 9, &mean, &with(-1.0)).is_ok(), covariance);
            }
            for rows in [1, ROWS_MAX] {
                let mut restored = restore(sigma, rows, &mean, &zeros).unwrap();
                assert_eq!((restored.rows(), restored.sigma()), (rows, sigma));
                assert_eq!(restored.summary().unwrap().trace(), 0.0);
            }
            let short = vec![0.0; storage_len(2, sigma).unwrap() - 1];
            let short = Moments::from_parts_with_storage(sigma, 9, &mean, &zeros, short).unwrap_err();
            assert!(matches!(short.kind(), ErrorKind::BufferTooSmall { .. }));
        }
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn a_mean_cannot_claim_a_triangle() {
        let kind = Moments::from_parts(Sigma::Full, 9, &vec![0.0; FULL_DIM_MAX], &[]).unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::Shape { found: 0, .. }));
    }

    #[test]
    fn codes() {
        for (code, sigma) in (0..).zip(KINDS) {
            assert_eq!((sigma.code(), Sigma::from_code(code)), (code, Some(sigma)));
        }
        assert_eq!(Sigma::from_code(4), None);
        assert_eq!(KINDS.map(|sigma| sigma.values(179).unwrap()), [0, 1, 179, 16_110]);
        assert_eq!(Sigma::Full.values(180), Ok(16_290));
        assert!(Sigma::Full.values(u64::MAX).is_err());
        assert!(Sigma::Full.values(u64::MAX - 1).is_err());
    }
}

//! Mean and sample covariance of a window, in one pass, row by row (spec/beacon.md, "CALIB_STATS_V1").
//!
//! [`Moments`] takes rows of f32 or f64, computes in f64, and can be asked for a [`Summary`] at any time. The memory
//! does not grow with the rows. How the rows are cut into calls does not change a bit of the results, nor do
//! features or the instruction set, nor how much of Sigma is kept: the mean and the trace are the same for every
//! [`Sigma`], the diagonal the same for [`Sigma::Diagonal`] and [`Sigma::Full`].
//!
//! The update is Welford's, so a mean that is large against the spread costs no digits as a sum of squares would:
//! `d = x - mean; mean += d / n; C[i][j] += d[i] * d[j] * (n - 1) / n` (B. P. Welford, 1962). [`Moments::merge`] joins
//! windows measured apart (T. F. Chan, G. H. Golub, R. J. LeVeque, 1983):
//!
#![cfg_attr(feature = "alloc", doc = "```")]
#![cfg_attr(not(feature = "alloc"), doc = "```ignore")]
//! use bitwire::beacon::stats::{Moments, Sigma};
//!
//! // Parts of fixed size, merged in order: the results do not depend on the number of threads.
//! let (dim, rows) = (3, vec![0.5f32; 3000]);
//! let parts = std::thread::scope(|scope| {
//!     let part = |rows| {
//!         let mut part = Moments::new(dim, Sigma::Diagonal)?;
//!         part.push_rows_f32(rows)?;
//!         bitwire::Result::Ok(part)
//!     };
//!     let threads: Vec<_> = rows.chunks(500 * dim).map(|rows| scope.spawn(move || part(rows))).collect();
//!     threads.into_iter().map(|thread| thread.join().unwrap()).collect::<bitwire::Result<Vec<_>>>()
//! })?;
//! let mut whole = Moments::new(dim, Sigma::Diagonal)?;
//! for part in &parts {
//!     whole.merge(part)?;
//! }
//! assert_eq!(whole.summary()?.mean(), [0.5; 3]);
//! # bitwire::Result::Ok(())
//! ```

use crate::arch::moments::{self, Block, Keep, LANES, Sample, State, triangle_row};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::size;

/// How much of the covariance is kept. The trace is there in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// The kind with that code.
    ///
    /// # Errors
    /// [`ErrorKind::Code`] for another code than 0 to 3.
    pub const fn from_code(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Trace),
            2 => Ok(Self::Diagonal),
            3 => Ok(Self::Full),
            found => Err(Error::caller(ErrorKind::Code { field: "sigma kind", found })),
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
            Self::Full if dim % 2 == 0 => size("Sigma", 0, &[dim / 2, dim.saturating_add(1)]),
            Self::Full => size("Sigma", 0, &[dim, dim.div_ceil(2)]),
        }
    }
}

/// The largest `dim` for which [`Moments::new`] keeps a full covariance: 1 GiB. A matrix file of a few KB can claim
/// a `dim` that costs its square.
pub const FULL_DIM_MAX: usize = 16_384;

/// Rows of a block of [`Sigma::Full`]: two panels of it and a tile of the covariance stay in the first-level cache.
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
        let block = match sigma {
            Sigma::Full => block_row(dim).and_then(|row| row.checked_mul(block_rows)).ok_or(overflow)?,
            _ => 0,
        };
        let parts = [dim, sums, gap, block];
        let len = parts.into_iter().try_fold(0usize, usize::checked_add).ok_or(overflow)?;
        // No slice is longer in bytes; with this, no product of indices below can overflow either.
        size("window statistics", 0, &[len as u64, 8])
            .ok()
            .filter(|&bytes| bytes <= isize::MAX as u64)
            .ok_or(overflow)?;
        Ok(Self { sums, gap, block, len })
    }
}

/// `dim` rounded up to whole panels.
fn block_row(dim: usize) -> Option<usize> {
    moments::panel_len(dim)
}

/// Mean and covariance of the rows so far, in storage of the caller's choice: `Vec<f64>` from [`Moments::new`], or
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
    /// Statistics of no rows yet. Allocates `8 * storage_len(dim, sigma)` bytes, and for [`Sigma::Full`] about 500
    /// more per column.
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
}

/// The storage, taken apart.
struct Parts<'a> {
    mean: &'a mut [f64],
    sums: &'a mut [f64],
    block: &'a mut [f64],
}

impl<S: AsRef<[f64]> + AsMut<[f64]>> Moments<S> {
    /// Statistics of no rows yet, kept in `storage`, whose contents do not matter. It has at least
    /// [`storage_len`] elements. More of them make [`Sigma::Full`] faster, up to 63 times `dim` rounded up to 32; they
    /// never change a bit of the results.
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
        let (gap, capacity) = match (sigma, block_row(dim)) {
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

    /// Takes in rows, one after another; the results have the same bits as with one call per row. Without columns
    /// to spare: `dim` operations per row, `dim * dim` with [`Sigma::Full`].
    ///
    /// # Errors
    /// As [`push_f32`](Self::push_f32). If the last row is not whole, nothing is taken in. A value that is not finite
    /// stops at its row: the rows before it are taken in, it and the rest are not.
    pub fn push_rows_f32(&mut self, rows: &[f32]) -> Result<()> {
        self.push_rows(rows)
    }

    /// Takes in rows, one after another, as [`push_rows_f32`](Self::push_rows_f32).
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

impl<S> Moments<S> {
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

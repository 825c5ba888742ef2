//! SCL: the calibration statistics other tools exchange as a NumPy archive (mu, Sigma, W, t0, t1).

use super::calibration::CalibrationBuilder;
use super::drift::Weights;
use super::results::Results;
use super::stats::Sigma;
use super::view::Beacon;
use super::window::Measured;
use crate::error::{Error, ErrorKind, Result};
use crate::wire;
use alloc::vec::Vec;

/// The statistics of a window of vectors, as they stand in an SCL archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Scl {
    /// The mean vector; its length is `dim`.
    pub mu: Vec<f64>,
    /// The covariance matrix (dim, dim), row by row.
    pub sigma: Vec<f64>,
    /// The number of vectors in the window, or their weight.
    pub w: f64,
    /// When the window begins, in seconds.
    pub t0: f64,
    /// When it ends, in seconds.
    pub t1: f64,
}

impl Scl {
    /// The largest `dim`: Sigma then has 2 GiB, which a deflated archive of 6 MiB can ask for. The mean in a beacon's
    /// CALIB_STATS_V1 ends at 16,373 as well.
    pub const MAX_DIM: usize = 16_384;

    /// How far the two halves of Sigma may differ: `|a - b| <= 1e-6 * max(|a|, |b|, |S_ii|, |S_jj|)`.
    ///
    /// Covariances computed in f32 by a general matrix product differ by rounding of the size of the variances, however
    /// small the covariance itself; there is no absolute part, so the scale of the vectors does not matter. Readers that
    /// need one half take the upper.
    pub const SYMMETRY: f64 = 1e-6;

    /// The number of columns.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.mu.len()
    }

    /// Checks what every reader and writer of SCL relies on. Linear in the size of Sigma.
    ///
    /// # Errors
    /// The first of: [`ErrorKind::TooLarge`] over [`Scl::MAX_DIM`]; [`ErrorKind::Argument`] if mu is empty, Sigma is not
    /// (dim, dim), a value of mu, W, t0 or t1 is not finite, W < 0 or t0 > t1; [`ErrorKind::NonFinite`] for a value of
    /// Sigma; [`ErrorKind::Asymmetric`].
    pub fn check(&self) -> Result<()> {
        let dim = self.dim();
        Self::check_dim(dim as u64)?;
        let needed = wire::size("Sigma", 0, &[dim as u64, dim as u64])?;
        let found = self.sigma.len() as u64;
        if found != needed {
            return Err(argument("Sigma has to have dim * dim values"));
        }
        let rule = |good: bool, expected| if good { Ok(()) } else { Err(argument(expected)) };
        rule(self.mu.iter().all(|v| v.is_finite()), "every value of mu has to be finite")?;
        rule(self.w.is_finite() && self.w >= 0.0, "W has to be finite and not negative")?;
        rule(self.t0.is_finite(), "t0 has to be finite")?;
        rule(self.t1.is_finite() && self.t0 <= self.t1, "t1 has to be finite and not before t0")?;
        if let Some(at) = self.sigma.iter().position(|v| !v.is_finite()) {
            let (row, column) = ((at / dim) as u64, (at % dim) as u64);
            return Err(Error::caller(ErrorKind::NonFinite { row, column }));
        }
        self.check_symmetry()
    }

    /// The statistics of a beacon. A triangle gives the full matrix, a diagonal a diagonal matrix, and what has neither a
    /// zero Sigma. Without CALIB_STATS_V1 the mean is the payload's, and W, t0 and t1 are 0.
    ///
    /// Allocates dim * dim values.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] over [`Scl::MAX_DIM`], or where there is not that much memory.
    pub fn from_beacon(beacon: &Beacon<'_>) -> Result<Self> {
        Self::check_dim(u64::from(beacon.dim()))?;
        let dim = beacon.dim() as usize;
        let mut mu = alloc::vec![0.0; dim];
        beacon.mean_into(&mut mu)?;

        let no_memory = ErrorKind::TooLarge { field: "Sigma", max: 0, found: (dim * dim) as u64 };
        let mut sigma = Vec::new();
        sigma.try_reserve_exact(dim * dim).map_err(|_| Error::caller(no_memory))?;
        sigma.resize(dim * dim, 0.0);
        let (mut w, mut times) = (0.0, (0.0, 0.0));
        if let Some(calibration) = beacon.calibration() {
            (w, times) = (calibration.w(), calibration.times());
            let mut values = calibration.sigma_values();
            for i in 0..dim {
                let columns = match calibration.sigma() {
                    Sigma::None | Sigma::Trace => break,
                    Sigma::Diagonal => i..i + 1,
                    Sigma::Full => i..dim,
                };
                for (j, value) in columns.zip(&mut values) {
                    for at in [i * dim + j, j * dim + i] {
                        if let Some(cell) = sigma.get_mut(at) {
                            *cell = value;
                        }
                    }
                }
            }
        }
        Ok(Self { mu, sigma, w, t0: times.0, t1: times.1 })
    }

    /// What a beacon of these statistics carries: as much of Sigma as asked for (`None`: as much as fits), and RESULTS_V1
    /// without a reference.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`ErrorKind::TooLarge`] if the share of Sigma asked for does not fit;
    /// [`ErrorKind::Number`] if the trace overflows.
    pub fn to_measured(&self, sigma: Option<Sigma>) -> Result<Measured> {
        self.check()?;
        let dim = self.dim();
        let columns = u32::try_from(dim).unwrap_or(u32::MAX);
        let sigma = sigma.unwrap_or(CalibrationBuilder::auto(columns));
        CalibrationBuilder::check_fits(sigma, columns)?;
        let diagonal = || self.sigma.iter().step_by(dim + 1).copied();
        let trace: f64 = diagonal().sum();
        let spread = match sigma {
            Sigma::None => Vec::new(),
            Sigma::Trace => alloc::vec![trace],
            Sigma::Diagonal => diagonal().collect(),
            Sigma::Full => self
                .sigma
                .chunks_exact(dim)
                .enumerate()
                .flat_map(|(i, row)| row.iter().skip(i))
                .copied()
                .collect(),
        };
        let results =
            Results { drift: None, sds_threshold: None, tr_sigma: trace, weights: Weights::default() };
        results.to_text()?;
        let Self { ref mu, w, t0, t1, .. } = *self;
        Ok(Measured { mu: mu.clone(), sigma, spread, tr_sigma: trace, w, t0, t1, results: Some(results) })
    }

    /// Whether there can be a Sigma of (dim, dim).
    pub(crate) fn check_dim(dim: u64) -> Result<()> {
        match dim {
            0 => Err(argument("mu has to have at least one value")),
            1..=0x4000 => Ok(()),
            found => {
                let max = Self::MAX_DIM as u64;
                Err(Error::caller(ErrorKind::TooLarge { field: "the length of mu", max, found }))
            }
        }
    }

    /// In squares: row by row it would miss the cache at each step down a column.
    fn check_symmetry(&self) -> Result<()> {
        const SIDE: usize = 64;
        let dim = self.dim();
        let diagonal: Vec<f64> = self.sigma.iter().step_by(dim.saturating_add(1)).copied().collect();
        for top in (0..dim).step_by(SIDE) {
            let mut first = None;
            for left in (top..dim).step_by(SIDE) {
                let rows = self.sigma.chunks_exact(dim).zip(&diagonal).enumerate().skip(top).take(SIDE);
                for (i, (row, s_ii)) in rows {
                    // Right of the diagonal, and below it.
                    let start = left.max(i.saturating_add(1));
                    let right = row.iter().zip(&diagonal).enumerate().skip(start);
                    let below =
                        self.sigma.iter().skip(start.saturating_mul(dim).saturating_add(i)).step_by(dim);
                    let pairs = right.zip(below).take(left.saturating_add(SIDE).saturating_sub(start));
                    for ((j, (a, s_jj)), b) in pairs.filter(|((_, (a, _)), b)| a != b) {
                        let scale = a.abs().max(b.abs()).max(s_ii.abs()).max(s_jj.abs());
                        if (a - b).abs() > Self::SYMMETRY * scale && first.is_none_or(|first| (i, j) < first)
                        {
                            first = Some((i, j));
                        }
                    }
                }
            }
            if let Some((row, column)) = first {
                return Err(Error::caller(ErrorKind::Asymmetric { row: row as u64, column: column as u64 }));
            }
        }
        Ok(())
    }
}

const fn argument(expected: &'static str) -> Error {
    Error::caller(ErrorKind::Argument { expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn scl() -> Scl {
        Scl { mu: vec![1.0, -2.0], sigma: vec![4.0, 0.5, 0.5, 1.0], w: 10.0, t0: 0.0, t1: 0.0 }
    }

    fn refusal(change: impl FnOnce(&mut Scl)) -> ErrorKind {
        let mut scl = scl();
        change(&mut scl);
        scl.check().unwrap_err().kind()
    }

    fn expected(expected: &'static str) -> ErrorKind {
        ErrorKind::Argument { expected }
    }

    #[test]
    fn good_statistics_pass() {
        scl().check().unwrap();
        Scl { mu: vec![0.0], sigma: vec![0.0], w: 0.0, t0: -1.5, t1: 1e300 }.check().unwrap();
    }

    #[test]
    fn shapes_have_to_agree() {
        assert_eq!(refusal(|s| s.mu.clear()), expected("mu has to have at least one value"));
        assert_eq!(refusal(|s| s.sigma.truncate(3)), expected("Sigma has to have dim * dim values"));
        assert_eq!(refusal(|s| s.mu.push(0.0)), expected("Sigma has to have dim * dim values"));
        let kind = ErrorKind::TooLarge { field: "the length of mu", max: 16_384, found: 16_385 };
        assert_eq!(refusal(|s| s.mu = vec![0.0; 16_385]), kind);
    }

    #[test]
    fn numbers_have_to_be_finite_and_in_order() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(refusal(|s| s.mu[1] = bad), expected("every value of mu has to be finite"));
            assert_eq!(refusal(|s| s.w = bad), expected("W has to be finite and not negative"));
            assert_eq!(refusal(|s| s.t0 = bad), expected("t0 has to be finite"));
            assert_eq!(refusal(|s| s.t1 = bad), expected("t1 has to be finite and not before t0"));
            assert_eq!(refusal(|s| s.sigma[2] = bad), ErrorKind::NonFinite { row: 1, column: 0 });
        }
        assert_eq!(refusal(|s| s.w = -1.0), expected("W has to be finite and not negative"));
        assert_eq!(refusal(|s| s.t0 = 1.0), expected("t1 has to be finite and not before t0"));
    }

    #[test]
    fn symmetry_is_asked_for_up_to_rounding_at_any_scale() {
        for scale in [1e-30, 1.0, 1e30] {
            let change = |s: &mut Scl, by: f64| {
                s.sigma.iter_mut().for_each(|v| *v *= scale);
                s.sigma[2] += by * scale;
            };
            let mut near = scl();
            change(&mut near, 3.9e-6);
            near.check().unwrap();
            assert_eq!(refusal(|s| change(s, 4.1e-6)), ErrorKind::Asymmetric { row: 0, column: 1 });
        }
        // Every pair is looked at, and named as its upper value.
        for row in 0..5usize {
            for column in 0..5 {
                let mut scl = Scl { mu: vec![0.0; 5], sigma: vec![0.0; 25], w: 1.0, t0: 0.0, t1: 0.0 };
                scl.sigma[5 * row + column] = 1e-300;
                let upper = (row.min(column) as u64, row.max(column) as u64);
                match scl.check() {
                    Ok(()) => assert_eq!(row, column),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Asymmetric { row: upper.0, column: upper.1 });
                        assert!(error.to_string().starts_with("the covariance matrix is not symmetric"));
                    }
                }
            }
        }
        // Across the squares, and the first one of two: by row, then by column.
        let places = [0usize, 1, 62, 63, 64, 65, 127, 128, 129, 149];
        for dim in [63, 64, 65, 129, 150] {
            let scl = Scl { mu: vec![0.0; dim], sigma: vec![0.0; dim * dim], w: 1.0, t0: 0.0, t1: 0.0 };
            let pairs = places.into_iter().flat_map(|row| places.map(|column| (row, column)));
            let mut before = None;
            for (row, column) in pairs.filter(|(row, column)| row < column && *column < dim) {
                let mut scl = scl.clone();
                scl.sigma[dim * column + row] = 1.0;
                let named = |row, column| ErrorKind::Asymmetric { row: row as u64, column: column as u64 };
                assert_eq!(scl.check().unwrap_err().kind(), named(row, column));
                if let Some((first, second)) = before.replace((row, column)) {
                    scl.sigma[dim * first + second] = 1.0;
                    assert_eq!(scl.check().unwrap_err().kind(), named(first, second));
                }
            }
        }
        // A difference that overflows is a difference.
        assert!(matches!(
            refusal(|s| s.sigma = vec![0.0, f64::MAX, f64::MIN, 0.0]),
            ErrorKind::Asymmetric { .. }
        ));
    }
}

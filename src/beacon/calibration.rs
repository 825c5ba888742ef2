//! CALIB_STATS_V1: the statistics of a window (spec/beacon.md, "CALIB_STATS_V1").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::byteorder::big_endian::{F64, U16, U32};
use zerocopy::{FromBytes, IntoBytes};

use super::stats::{Sigma, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Tlv;
use crate::wire::{layout, size};

layout! {
    /// The 32 bytes before mu and Sigma.
    pub(crate) struct CalibRaw {
        sigma_kind: u8,
        has_mu: u8,
        reserved: U16,
        dim: U32,
        w: F64,
        t0: F64,
        t1: F64,
    }
}

const HEAD: u64 = 32;
/// The value is a TLV's.
const MAX: u64 = u16::MAX as u64;

/// A checked CALIB_STATS_V1; borrows the frame.
#[derive(Clone, Copy, Debug)]
pub struct Calibration<'a> {
    sigma: Sigma,
    w: f64,
    t0: f64,
    t1: f64,
    dim: u32,
    mu: Option<&'a [u8]>,
    spread: &'a [u8],
}

impl<'a> Calibration<'a> {
    /// Checks the TLV against the frame's `dim`, in the order of spec/beacon.md.
    pub(super) fn parse(tlv: Tlv<'a>, dim: u32) -> Result<Self> {
        let value = tlv.value_offset();
        let at = |field: u64, kind| Err(Error::new(kind, value.saturating_add(field)));
        let length = |needed: u64| {
            let (needed, found) = (u32::try_from(needed).unwrap_or(u32::MAX), tlv.value.len());
            let kind = ErrorKind::TlvLength {
                tlv: tlv.tlv_type,
                needed,
                found: u32::try_from(found).unwrap_or(u32::MAX),
            };
            Error::new(kind, tlv.offset.saturating_add(1))
        };
        let (raw, rest) = CalibRaw::ref_from_prefix(tlv.value).map_err(|_| length(HEAD))?;

        let Some(sigma) = Sigma::from_code(raw.sigma_kind) else {
            return at(0, ErrorKind::Code { field: "CALIB_STATS_V1.sigma_kind", found: raw.sigma_kind });
        };
        if raw.has_mu > 1 {
            return at(1, ErrorKind::Code { field: "CALIB_STATS_V1.has_mu", found: raw.has_mu });
        }
        if raw.reserved.get() != 0 {
            return at(2, ErrorKind::Reserved { field: "CALIB_STATS_V1.reserved" });
        }
        if raw.dim.get() != dim {
            let (needed, found) = (u64::from(dim), u64::from(raw.dim.get()));
            return at(4, ErrorKind::Shape { field: "CALIB_STATS_V1.dim", needed, found });
        }
        let (w, t0, t1) = (raw.w.get(), raw.t0.get(), raw.t1.get());
        if !(w.is_finite() && w >= 0.0) {
            return at(8, ErrorKind::Number { field: "CALIB_STATS_V1.w" });
        }
        if !t0.is_finite() {
            return at(16, ErrorKind::Number { field: "CALIB_STATS_V1.t0" });
        }
        if !(t1.is_finite() && t1 >= t0) {
            return at(24, ErrorKind::Number { field: "CALIB_STATS_V1.t1" });
        }

        let has_mu = raw.has_mu == 1;
        let needed = encoded_len(sigma, dim, has_mu).unwrap_or(u64::MAX);
        if needed != tlv.value.len() as u64 {
            return Err(length(needed));
        }
        let mu_len = if has_mu { rest.len().min((dim as usize).saturating_mul(4)) } else { 0 };
        let (mu, spread) = rest.split_at_checked(mu_len).unwrap_or_default();
        let this = Self { sigma, w, t0, t1, dim, mu: has_mu.then_some(mu), spread };
        if let Some(i) = f32s(mu).position(|x| !x.is_finite()) {
            return at(
                HEAD.saturating_add((i as u64).saturating_mul(4)),
                ErrorKind::Number { field: "CALIB_STATS_V1.mu" },
            );
        }
        let width = value_width(sigma);
        if let Some(i) = this.sigma_values().position(|x| !x.is_finite()) {
            let before = HEAD.saturating_add(mu_len as u64);
            return at(
                before.saturating_add((i as u64).saturating_mul(width)),
                ErrorKind::Number { field: "CALIB_STATS_V1.sigma" },
            );
        }
        Ok(this)
    }

    /// How much of Sigma there is.
    pub const fn sigma(&self) -> Sigma {
        self.sigma
    }

    /// Number of vectors in the window.
    pub const fn w(&self) -> f64 {
        self.w
    }

    /// First and last time of the window, in seconds.
    pub const fn times(&self) -> (f64, f64) {
        (self.t0, self.t1)
    }

    /// Components of a vector.
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// The window's mean, `dim` values, if it is here; otherwise the payload has it.
    pub fn mu(&self) -> Option<impl ExactSizeIterator<Item = f32> + Clone + use<'a>> {
        self.mu.map(f32s)
    }

    /// The values of Sigma as stored: nothing, the trace, `dim` variances, or the upper triangle row by row.
    pub fn sigma_values(&self) -> impl Iterator<Item = f64> + Clone + use<'a> {
        let trace = self.sigma == Sigma::Trace;
        let (doubles, singles) = if trace { (self.spread, &[][..]) } else { (&[][..], self.spread) };
        doubles
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f64::from_be_bytes(bytes))
            .chain(f32s(singles).map(f64::from))
    }

    /// The trace of Sigma as far as it is stored; `None` with [`Sigma::None`].
    pub fn trace(&self) -> Option<f64> {
        match self.sigma {
            Sigma::None => None,
            Sigma::Trace | Sigma::Diagonal => Some(self.sigma_values().sum()),
            Sigma::Full => {
                // Row i of the triangle has dim - i values and starts with the diagonal's.
                let mut next_diagonal = 0u64;
                let mut row_len = u64::from(self.dim);
                let mut trace = 0.0;
                for (i, value) in self.sigma_values().enumerate() {
                    if i as u64 == next_diagonal {
                        trace += value;
                        next_diagonal = next_diagonal.saturating_add(row_len);
                        row_len = row_len.saturating_sub(1);
                    }
                }
                Some(trace)
            }
        }
    }
}

fn f32s(bytes: &[u8]) -> impl ExactSizeIterator<Item = f32> + Clone + use<'_> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_be_bytes(bytes))
}

/// Bytes of a value of Sigma: the trace is f64, the others are f32.
const fn value_width(sigma: Sigma) -> u64 {
    if matches!(sigma, Sigma::Trace) { 8 } else { 4 }
}

/// Length of the value, in bytes.
fn encoded_len(sigma: Sigma, dim: u32, has_mu: bool) -> Result<u64> {
    let dim = u64::from(dim);
    let mu = if has_mu { size("mu", 0, &[dim, 4])? } else { 0 };
    let spread = size("sigma", 0, &[sigma.values(dim)?, value_width(sigma)])?;
    let sum = HEAD.checked_add(mu).and_then(|len| len.checked_add(spread));
    sum.ok_or(Error::caller(ErrorKind::Size { field: "CALIB_STATS_V1" }))
}

/// The statistics to write.
#[derive(Clone, Copy, Debug)]
pub struct CalibrationBuilder<'a> {
    /// How much of Sigma `spread` holds.
    pub sigma: Sigma,
    /// The window's mean.
    pub mu: &'a [f64],
    /// The values of Sigma, as many as `sigma` says.
    pub spread: &'a [f64],
    /// Number of vectors in the window.
    pub w: f64,
    /// First time of the window, in seconds.
    pub t0: f64,
    /// Last time of the window, in seconds.
    pub t1: f64,
}

impl CalibrationBuilder<'_> {
    /// The largest share of Sigma that fits a TLV together with the mean, for vectors of `dim` components: full up
    /// to 179, the diagonal up to 8,187, the trace above.
    pub const fn auto(dim: u32) -> Sigma {
        match dim {
            0..=179 => Sigma::Full,
            180..=8187 => Sigma::Diagonal,
            _ => Sigma::Trace,
        }
    }

    /// Checks that `sigma` fits a TLV for vectors of `dim` components.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] that names the largest dim.
    pub fn check_fits(sigma: Sigma, dim: u32) -> Result<()> {
        if encoded_len(sigma, dim, false)? <= MAX {
            return Ok(());
        }
        let (field, max) = match sigma {
            Sigma::Full => ("dim, with the full Sigma,", 180),
            _ => ("dim, with the diagonal of Sigma,", 16_375),
        };
        Err(Error::caller(ErrorKind::TooLarge { field, max, found: u64::from(dim) }))
    }

    /// Length of the value, in bytes. The mean is in it where it fits.
    ///
    /// # Errors
    /// As [`check_fits`](Self::check_fits).
    pub fn encoded_len(&self) -> Result<usize> {
        Statistics::from(*self).encoded_len()
    }

    /// Writes the value to the start of `out` and returns its length. Values are rounded to f32, the trace
    /// excepted.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`]; [`ErrorKind::Number`] for a value that is not finite as f32, for w below 0 and for
    /// t1 before t0; [`ErrorKind::Shape`] if `spread` has another length than `sigma` says; and as
    /// [`encoded_len`](Self::encoded_len).
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize> {
        let statistics = Statistics::from(*self);
        let len = statistics.encoded_len()?;
        let (needed, available) = (len as u64, out.len() as u64);
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available });
        statistics.write(out.get_mut(..len).ok_or(too_small)?)?;
        Ok(len)
    }
}

/// What CALIB_STATS_V1 says, its values in whatever memory they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistics<'a> {
    sigma: Sigma,
    mu: &'a [f64],
    spread: Spread<'a>,
    w: f64,
    t0: f64,
    t1: f64,
}

/// Where the values of Sigma are.
#[derive(Clone, Copy, Debug)]
enum Spread<'a> {
    /// As they are.
    Values(&'a [f64]),
    /// Yet to be divided.
    Summary(Summary<'a>),
}

impl<'a> From<CalibrationBuilder<'a>> for Statistics<'a> {
    fn from(builder: CalibrationBuilder<'a>) -> Self {
        let CalibrationBuilder { sigma, mu, spread, w, t0, t1 } = builder;
        Self { sigma, mu, spread: Spread::Values(spread), w, t0, t1 }
    }
}

impl<'a> Statistics<'a> {
    pub(super) fn of_summary(summary: &Summary<'a>, t0: f64, t1: f64) -> Self {
        let (sigma, mu, w) = (summary.sigma(), summary.mean(), summary.rows() as f64);
        Self { sigma, mu, spread: Spread::Summary(*summary), w, t0, t1 }
    }

    pub(super) const fn mu(&self) -> &'a [f64] {
        self.mu
    }

    pub(super) fn dim(&self) -> Result<u32> {
        let (max, found) = (u64::from(u32::MAX), self.mu.len() as u64);
        u32::try_from(self.mu.len())
            .map_err(|_| Error::caller(ErrorKind::TooLarge { field: "dim", max, found }))
    }

    pub(super) fn encoded_len(&self) -> Result<usize> {
        let dim = self.dim()?;
        CalibrationBuilder::check_fits(self.sigma, dim)?;
        let len = encoded_len(self.sigma, dim, self.has_mu(dim))?;
        usize::try_from(len).map_err(|_| Error::caller(ErrorKind::Size { field: "CALIB_STATS_V1" }))
    }

    /// Writes the value; `out` has its length.
    pub(super) fn write(&self, out: &mut [u8]) -> Result<()> {
        let number = |field| Error::caller(ErrorKind::Number { field });
        let dim = self.dim()?;
        let (needed, available) = (self.encoded_len()? as u64, out.len() as u64);
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available });
        let (head, rest) = out.split_first_chunk_mut::<{ HEAD as usize }>().ok_or(too_small)?;

        if !(self.w.is_finite() && self.w >= 0.0) {
            return Err(number("W"));
        }
        if !(self.t0.is_finite() && self.t1.is_finite() && self.t0 <= self.t1) {
            return Err(number("t0 or t1"));
        }
        let raw = CalibRaw {
            sigma_kind: self.sigma.code(),
            has_mu: u8::from(self.has_mu(dim)),
            reserved: U16::ZERO,
            dim: U32::new(dim),
            w: F64::new(self.w),
            t0: F64::new(self.t0),
            t1: F64::new(self.t1),
        };
        raw.write_to(head).map_err(|_| too_small)?;

        let mu: &[f64] = if self.has_mu(dim) { self.mu } else { &[] };
        let (mu_out, spread_out) = rest.split_at_mut_checked(mu.len().saturating_mul(4)).ok_or(too_small)?;
        if let Spread::Values(values) = self.spread {
            let (needed, found) = (self.sigma.values(u64::from(dim))?, values.len() as u64);
            if needed != found {
                let field = "the number of values of Sigma";
                return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
            }
        }
        put_f32s(mu.iter().copied(), mu_out).map_err(|()| number("mu"))?;
        let sigma = number("Sigma");
        match (self.sigma, self.spread) {
            (Sigma::Trace, spread) => {
                let trace = match spread {
                    Spread::Values(values) => values.first().copied(),
                    Spread::Summary(summary) => Some(summary.trace()),
                };
                let trace = trace.filter(|trace| trace.is_finite()).ok_or(number("the trace of Sigma"))?;
                trace.to_be_bytes().write_to(spread_out).map_err(|_| too_small)
            }
            (_, Spread::Values(values)) => put_f32s(values.iter().copied(), spread_out).map_err(|()| sigma),
            (Sigma::Full, Spread::Summary(summary)) => {
                put_f32s(summary.triangle().into_iter().flatten(), spread_out).map_err(|()| sigma)
            }
            (_, Spread::Summary(summary)) => {
                put_f32s(summary.diagonal().into_iter().flatten(), spread_out).map_err(|()| sigma)
            }
        }
    }

    fn has_mu(&self, dim: u32) -> bool {
        encoded_len(self.sigma, dim, true).is_ok_and(|len| len <= MAX)
    }
}

fn put_f32s(values: impl Iterator<Item = f64>, out: &mut [u8]) -> Result<(), ()> {
    for (bytes, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        let single = value as f32;
        if !single.is_finite() {
            return Err(());
        }
        *bytes = single.to_be_bytes();
    }
    Ok(())
}

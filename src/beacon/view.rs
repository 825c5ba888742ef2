//! The typed view of a beacon (spec/beacon.md, "Checks of the typed view").
#![deny(clippy::arithmetic_side_effects)]

use super::calibration::Calibration;
use super::mu16::{self, Step};
use super::results::Results;
#[cfg(feature = "alloc")]
use super::stats::{Moments, Sigma};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Element, Frame, Kind, TlvType};
use crate::wire::{check_len, size};

/// A checked beacon: one mean vector, or a quantised matrix, with statistics and drift. Borrows the frame's bytes;
/// reading it needs no allocator.
///
/// It remembers nothing of a MAC: who wrote it is proven by the [`AuthenticatedFrame`](crate::frame) it was made from, or not
/// at all.
#[derive(Clone, Copy, Debug)]
pub struct Beacon<'a> {
    frame: Frame<'a>,
    step: Step,
    calibration: Option<Calibration<'a>>,
    results: Option<Results>,
}

impl<'a> Beacon<'a> {
    /// The beacon that `frame` carries. An `AuthenticatedFrame` derefs to the frame it proved.
    ///
    /// # Errors
    /// The first breach in the order of spec/beacon.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        frame.check_kind(Kind::BEACON, &[TlvType::CALIB_STATS, TlvType::RESULTS])?;
        let config = frame.config();
        let config_at = frame.config_place();
        let at = |field: u64, kind| Err(Error::new(kind, config_at.saturating_add(field)));
        if config.element != Element::I16 {
            return at(1, ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() });
        }
        if config.rows == 0 {
            return at(4, ErrorKind::Shape { field: "CONFIG_V1.rows", needed: 1, found: 0 });
        }
        if config.dim == 0 {
            return at(8, ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 });
        }
        config.check_payload(2, config_at)?;
        let step = Step::new(config.delta_q16)?;

        let calibration = match frame.tlv(TlvType::CALIB_STATS) {
            Some(tlv) => Some(Calibration::parse(tlv, config.dim)?),
            None => None,
        };
        let results = match frame.tlv(TlvType::RESULTS) {
            Some(tlv) => Some(Results::parse(tlv.value).map_err(|error| error.nested(tlv.value_offset()))?),
            None => None,
        };
        let flags = frame.flags();
        let expected = [
            ("ALERT", flags.alert(), results.is_some_and(|results| results.alert())),
            ("BASELINE", flags.baseline(), results.is_some_and(|results| results.against_baseline())),
        ];
        if let Some((flag, ..)) = expected.into_iter().find(|(_, set, due)| set != due) {
            return Err(Error::new(ErrorKind::FlagsResults { flag }, frame.flags_place()));
        }
        Ok(Self { frame: *frame, step, calibration, results })
    }

    /// The frame.
    pub const fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    /// Rows of the payload: 1 for the beacon of a window.
    pub fn rows(&self) -> u32 {
        self.frame.config().rows
    }

    /// Components of a vector.
    pub fn dim(&self) -> u32 {
        self.frame.config().dim
    }

    /// The step of the payload's integers.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The window's statistics.
    pub const fn calibration(&self) -> Option<&Calibration<'a>> {
        self.calibration.as_ref()
    }

    /// The window's drift.
    pub const fn results(&self) -> Option<&Results> {
        self.results.as_ref()
    }

    /// SDS is at or over its threshold.
    pub fn alert(&self) -> bool {
        self.frame.flags().alert()
    }

    /// One row of the payload as stored: `dim` integers. `None` past the last row.
    pub fn row(&self, row: u32) -> Option<impl ExactSizeIterator<Item = i16> + Clone + use<'a>> {
        self.row_bytes(row).map(|bytes| bytes.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair)))
    }

    /// Dequantises one row of the payload into `out`, which has room for `dim` values.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] past the last row; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `out` has not
    /// `dim` values.
    pub fn dequantise_row_into(&self, row: u32, out: &mut [f32]) -> Result<()> {
        let beyond = Error::caller(ErrorKind::Argument { expected: "row has to be below the beacon's rows" });
        mu16::dequantise_into(self.row_bytes(row).ok_or(beyond)?, self.step, out)
    }

    /// The beacon's mean vector: that of CALIB_STATS_V1 where it has one, else the mean of the dequantised rows.
    /// `out` has `dim` values. Cost: one pass over the payload.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `out` has not `dim` values.
    pub fn mean_into(&self, out: &mut [f64]) -> Result<()> {
        check_len("out", u64::from(self.dim()), out.len() as u64)?;
        if let Some(mu) = self.calibration.and_then(|calibration| calibration.mu()) {
            out.iter_mut().zip(mu).for_each(|(out, mu)| *out = f64::from(mu));
            return Ok(());
        }
        // Sums of up to 2^32 products of 48 bits: the integers are summed first, exactly, then scaled once.
        out.fill(0.0);
        for row in 0..self.rows() {
            let Some(row) = self.row(row) else { break };
            out.iter_mut().zip(row).for_each(|(out, q)| *out += f64::from(q));
        }
        let rows = f64::from(self.rows());
        out.iter_mut().for_each(|out| *out = *out * self.step.as_f64() / rows);
        Ok(())
    }

    /// The window's statistics, to be merged with those of others: w rows, the mean of
    /// [`mean_into`](Self::mean_into), Sigma as CALIB_STATS_V1 has it (spec/beacon.md), in f32 for the most part. With
    /// [`Sigma::None`] the trace is that of RESULTS_V1. Allocates as [`Moments::new`], and a mean and a Sigma more.
    ///
    /// # Errors
    /// [`ErrorKind::TlvMissing`] without CALIB_STATS_V1, and without any trace; [`ErrorKind::Number`] if w is not an
    /// integer; and as [`Moments::from_parts`].
    #[cfg(feature = "alloc")]
    pub fn moments(&self) -> Result<Moments<alloc::vec::Vec<f64>>> {
        let missing = |tlv| Error::caller(ErrorKind::TlvMissing { tlv });
        let calibration = self.calibration.ok_or(missing(TlvType::CALIB_STATS))?;
        let (sigma, w) = (calibration.sigma(), calibration.w());
        let rows = w as u64;
        if rows as f64 != w {
            return Err(Error::caller(ErrorKind::Number { field: "CALIB_STATS_V1.w" }));
        }
        let mut spread: alloc::vec::Vec<f64> = calibration.sigma_values().collect();
        if sigma == Sigma::None {
            spread.push(self.results.ok_or(missing(TlvType::RESULTS))?.tr_sigma);
        }
        // The payload has as many values, so a small frame cannot ask for much.
        let mut mean = alloc::vec![0.0; self.dim() as usize];
        self.mean_into(&mut mean)?;
        Moments::from_parts(sigma, rows, &mean, &spread)
    }

    fn row_bytes(&self, row: u32) -> Option<&'a [u8]> {
        if row >= self.rows() {
            return None;
        }
        let start = size("row", 0, &[u64::from(row), u64::from(self.dim()), 2]).ok()?;
        let len = size("row", 0, &[u64::from(self.dim()), 2]).ok()?;
        let (start, len) = (usize::try_from(start).ok()?, usize::try_from(len).ok()?);
        self.frame.payload().get(start..start.checked_add(len)?)
    }
}

//! RESULTS_V1: the drift, as canonical JSON that needs no JSON parser (spec/beacon.md, "RESULTS_V1").
#![deny(clippy::arithmetic_side_effects)]

use core::fmt::{self, Write};

use super::drift::{Drift, Reference, Weights};
use crate::error::{Error, ErrorKind, Result};

/// How far a window has drifted.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Results {
    /// Against what, and how far; `None` without a reference (JSON: "none" and nulls).
    pub drift: Option<Drift>,
    /// The SDS at which ALERT is set.
    pub sds_threshold: Option<f64>,
    /// Trace of the window's sample covariance.
    pub tr_sigma: f64,
    /// What SDS weighs.
    pub weights: Weights,
}

/// Seven numbers of up to 25 characters, and the text between them.
const MAX_TEXT: usize = 384;

/// The text of a [`Results`], on the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultsText(heapless::String<MAX_TEXT>);

impl ResultsText {
    /// The canonical JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of RESULTS_V1.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for ResultsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Results {
    /// Whether ALERT is to be set: SDS is a number at or over its threshold.
    pub fn alert(&self) -> bool {
        matches!((self.drift, self.sds_threshold), (Some(drift), Some(threshold)) if drift.sds >= threshold)
    }

    /// Whether BASELINE is to be set.
    pub fn against_baseline(&self) -> bool {
        self.drift.is_some_and(|drift| drift.reference == Reference::Baseline)
    }

    /// The canonical JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Number`] if a number is not finite or out of its range.
    pub fn to_text(&self) -> Result<ResultsText> {
        self.check_numbers()?;
        let mut text = heapless::String::new();
        // The capacity holds the longest text there is.
        let too_long =
            Error::caller(ErrorKind::TooLarge { field: "RESULTS_V1", max: MAX_TEXT as u64, found: u64::MAX });
        self.write(&mut text).map_err(|_| too_long)?;
        Ok(ResultsText(text))
    }

    /// The length of the text.
    ///
    /// # Errors
    /// As [`to_text`](Self::to_text).
    pub(super) fn text_len(&self) -> Result<usize> {
        self.check_numbers()?;
        let mut count = Count(0);
        // Counting does not fail.
        let _ = self.write(&mut count);
        Ok(count.0)
    }

    /// Writes the text to `out`, which has its length. The numbers were checked.
    pub(super) fn write_text(&self, out: &mut [u8]) -> Result<()> {
        let (needed, available) = ((out.len() as u64).saturating_add(1), out.len() as u64);
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available });
        self.write(&mut Fill(out)).map_err(|_| too_small)
    }

    fn check_numbers(&self) -> Result<()> {
        let refuse = |field| Err(Error::caller(ErrorKind::Number { field }));
        if let Some(drift) = self.drift {
            if !drift.sds.is_finite() {
                return refuse("SDS");
            }
            if drift.cos_mu.is_some_and(|cos| !cos.is_finite()) {
                return refuse("cos_mu");
            }
            if !is_range(drift.norm_dmu) {
                return refuse("norm_dmu");
            }
        }
        if self.sds_threshold.is_some_and(|threshold| !threshold.is_finite()) {
            return refuse("thresholds.SDS");
        }
        if !self.tr_sigma.is_finite() {
            return refuse("tr_Sigma");
        }
        self.weights.check()
    }

    fn write(&self, out: &mut impl Write) -> fmt::Result {
        let number = |out: &mut dyn Write, value: Option<f64>| match value {
            Some(value) => out.write_str(ryu_js::Buffer::new().format_finite(value)),
            None => out.write_str("null"),
        };
        out.write_str(SDS)?;
        number(out, self.drift.map(|drift| drift.sds))?;
        out.write_str(COS_MU)?;
        number(out, self.drift.and_then(|drift| drift.cos_mu))?;
        out.write_str(NORM_DMU)?;
        number(out, self.drift.map(|drift| drift.norm_dmu))?;
        out.write_str(REFERENCE)?;
        out.write_str(Reference::name(self.drift.map(|drift| drift.reference)))?;
        if self.sds_threshold.is_some() {
            out.write_str(THRESHOLD)?;
            number(out, self.sds_threshold)?;
            out.write_str(TR_SIGMA)?;
        } else {
            out.write_str(NO_THRESHOLD)?;
        }
        number(out, Some(self.tr_sigma))?;
        out.write_str(WEIGHT_MU)?;
        number(out, Some(self.weights.mu))?;
        out.write_str(WEIGHT_TRS)?;
        number(out, Some(self.weights.tr_sigma))?;
        out.write_str(TAIL)
    }

    /// Reads the value of RESULTS_V1. Cost: linear; no allocation.
    ///
    /// # Errors
    /// [`ErrorKind::Results`] at the first token that cannot stand there.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut scan = Scan { rest: bytes, offset: 0 };
        scan.fixed(SDS)?;
        let sds = scan.number_or_null(f64::is_finite)?;
        scan.fixed(COS_MU)?;
        let cos_mu = scan.number_or_null(f64::is_finite)?;
        scan.fixed(NORM_DMU)?;
        let norm_dmu = scan.number_or_null(is_range)?;
        scan.fixed(REFERENCE)?;
        let place = scan.clone();
        let drift = match (scan.reference()?, sds, norm_dmu) {
            (Some(reference), Some(sds), Some(norm_dmu)) => Some(Drift { reference, sds, cos_mu, norm_dmu }),
            (None, None, None) if cos_mu.is_none() => None,
            _ => return Err(place.refuse("a reference that agrees with what is null")),
        };
        let sds_threshold = if scan.fixed(NO_THRESHOLD).is_ok() {
            None
        } else {
            scan.fixed(THRESHOLD)?;
            let threshold = scan.number(f64::is_finite)?;
            scan.fixed(TR_SIGMA)?;
            Some(threshold)
        };
        let tr_sigma = scan.number(f64::is_finite)?;
        scan.fixed(WEIGHT_MU)?;
        let mu = scan.number(is_range)?;
        scan.fixed(WEIGHT_TRS)?;
        let trs = scan.number(is_range)?;
        scan.fixed(TAIL)?;
        if !scan.rest.is_empty() {
            return Err(scan.refuse("the end"));
        }
        Ok(Self { drift, sds_threshold, tr_sigma, weights: Weights { mu, tr_sigma: trs } })
    }
}

/// Counts what is written.
struct Count(usize);

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

/// Writes to memory, from its start.
struct Fill<'a>(&'a mut [u8]);

impl Write for Fill<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (out, rest) = core::mem::take(&mut self.0).split_at_mut_checked(text.len()).ok_or(fmt::Error)?;
        out.copy_from_slice(text.as_bytes());
        self.0 = rest;
        Ok(())
    }
}

/// The fixed parts of the one text there is.
const SDS: &str = r#"{"SDS":"#;
const COS_MU: &str = r#","cos_mu":"#;
const NORM_DMU: &str = r#","norm_dmu":"#;
const REFERENCE: &str = r#","reference":"#;
const NO_THRESHOLD: &str = r#","thresholds":{},"tr_Sigma":"#;
const THRESHOLD: &str = r#","thresholds":{"SDS":"#;
const TR_SIGMA: &str = r#"},"tr_Sigma":"#;
const WEIGHT_MU: &str = r#","weights":{"mu":"#;
const WEIGHT_TRS: &str = r#","trS":"#;
const TAIL: &str = "}}";

/// Finite and not negative: a norm or a weight.
pub(super) fn is_range(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

#[derive(Clone)]
struct Scan<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl Scan<'_> {
    fn refuse(&self, expected: &'static str) -> Error {
        Error::new(ErrorKind::Results { expected }, self.offset)
    }

    fn advance(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.offset = self.offset.saturating_add(len as u64);
    }

    fn fixed(&mut self, text: &'static str) -> Result<()> {
        if !self.rest.starts_with(text.as_bytes()) {
            return Err(self.refuse(text));
        }
        self.advance(text.len());
        Ok(())
    }

    /// A number that ECMAScript would write in exactly these characters.
    fn number(&mut self, in_range: fn(f64) -> bool) -> Result<f64> {
        let refused = self.refuse("a finite number in canonical form and in range");
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let len = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        // The longest is 25: -1.2345678901234567e-300. More digits would be another form.
        let text = self.rest.get(..len).filter(|text| text.len() <= 25).ok_or(refused)?;
        let text = core::str::from_utf8(text).map_err(|_| refused)?;
        let value: f64 = text.parse().map_err(|_| refused)?;
        if !in_range(value) || ryu_js::Buffer::new().format(value) != text {
            return Err(refused);
        }
        self.advance(len);
        Ok(value)
    }

    fn number_or_null(&mut self, in_range: fn(f64) -> bool) -> Result<Option<f64>> {
        if self.rest.starts_with(b"null") {
            self.advance(4);
            return Ok(None);
        }
        self.number(in_range).map(Some)
    }

    fn reference(&mut self) -> Result<Option<Reference>> {
        for reference in [None, Some(Reference::Baseline), Some(Reference::WindowHalf)] {
            let name = Reference::name(reference);
            if self.rest.starts_with(name.as_bytes()) {
                self.advance(name.len());
                return Ok(reference);
            }
        }
        Err(self.refuse(r#""baseline", "none" or "window-half""#))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"{"SDS":1.5,"cos_mu":0.75,"norm_dmu":1,"reference":"baseline","thresholds":{"SDS":2},"tr_Sigma":0.5,"weights":{"mu":1,"trS":1}}"#;

    fn results() -> Results {
        Results {
            drift: Some(Drift {
                reference: Reference::Baseline,
                sds: 1.5,
                cos_mu: Some(0.75),
                norm_dmu: 1.0,
            }),
            sds_threshold: Some(2.0),
            tr_sigma: 0.5,
            weights: Weights::default(),
        }
    }

    #[test]
    fn text_of_the_spec() {
        assert!(include_str!("../../spec/beacon.md").contains(TEXT));
        assert_eq!(results().to_text().unwrap().as_str(), TEXT);
        assert_eq!(Results::parse(TEXT.as_bytes()).unwrap(), results());
    }

    #[test]
    fn longest_text_fits() {
        let longest = -1.234_567_890_123_456_7e-300;
        assert_eq!(ryu_js::Buffer::new().format(longest).len(), 24);
        let drift = Drift {
            reference: Reference::WindowHalf,
            sds: longest,
            cos_mu: Some(longest),
            norm_dmu: -longest,
        };
        let weights = Weights { mu: -longest, tr_sigma: -longest };
        let all = Results { drift: Some(drift), sds_threshold: Some(longest), tr_sigma: longest, weights };
        let text = all.to_text().unwrap();
        assert_eq!(Results::parse(text.as_bytes()).unwrap(), all);
    }

    #[test]
    fn every_truncation_and_every_other_byte_is_refused_or_another_number() {
        let text = TEXT.as_bytes();
        for len in 0..text.len() {
            assert!(Results::parse(&text[..len]).is_err(), "{len}");
        }
        for at in 0..text.len() {
            for byte in 0..=255 {
                let mut changed = text.to_vec();
                changed[at] = byte;
                if let Ok(read) = Results::parse(&changed) {
                    assert_eq!(read.to_text().unwrap().as_bytes(), changed, "accepted what is not canonical");
                }
            }
        }
    }

    #[test]
    fn alert_needs_a_number_at_or_over_the_threshold() {
        let at = |sds: Option<f64>, sds_threshold| {
            let drift = sds.map(|sds| Drift { sds, ..results().drift.unwrap() });
            Results { drift, sds_threshold, ..results() }.alert()
        };
        assert!(at(Some(2.0), Some(2.0)));
        assert!(at(Some(2.5), Some(2.0)));
        assert!(!at(Some(1.5), Some(2.0)));
        assert!(!at(Some(1.5), None));
        assert!(!at(None, Some(0.0)));
    }

    #[test]
    fn numbers_that_are_not_finite_are_not_written() {
        for tr_sigma in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = Results { tr_sigma, ..results() }.to_text().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Number { field: "tr_Sigma" });
        }
        let weights = Weights { mu: -1.0, tr_sigma: 1.0 };
        assert!(Results { weights, ..results() }.to_text().is_err());
    }

    proptest! {
        #[test]
        fn numbers_round_trip_as_ecmascript_writes_them(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let all = Results { tr_sigma: value, ..results() };
            let text = all.to_text().unwrap();
            let read = Results::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.tr_sigma, value);
            // The same digits as another writer of shortest decimals, up to the exponent's form.
            let plain: f64 = value.to_string().parse().unwrap();
            prop_assert_eq!(plain, read.tr_sigma);
        }
    }
}

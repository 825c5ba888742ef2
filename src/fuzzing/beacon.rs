//! Beacons and their results.

use alloc::vec::Vec;

use super::mend::mended;
use super::{Choices, plausible, second_reader};
use crate::beacon::mu16::dequantise;
use crate::beacon::stats::Sigma;
use crate::beacon::{
    Beacon, Calibration, CalibrationBuilder, Drift, Reference, Results, Scl, StepChoice, Weights,
};
use crate::error::ErrorKind;
use crate::frame::{Context, Frame, TlvType};

/// [`Beacon::from_frame`]: what it accepts is finite and written again to the byte, and its statistics survive the way
/// through SCL.
pub fn beacon(data: &[u8]) {
    let Some(bytes) = mended(data, |frame| Beacon::from_frame(frame).map(|_| ()), second_reader::beacon)
    else {
        return;
    };
    let frame = Frame::parse_exact(&bytes).unwrap();
    let beacon = Beacon::from_frame(&frame).unwrap();
    if let Some(results) = beacon.results() {
        assert_eq!(results.to_text().unwrap().as_bytes(), frame.tlv(TlvType::RESULTS).unwrap().value);
        assert_eq!(beacon.alert(), results.alert());
    }
    rows(&beacon);
    if let Some(calibration) = beacon.calibration() {
        rewritten(&beacon, calibration);
    }
    if beacon.dim() <= 64 {
        through_scl(&beacon);
    }
}

fn rows(beacon: &Beacon<'_>) {
    let (dim, rows, step) = (beacon.dim() as usize, beacon.rows(), beacon.step());
    assert!(dim >= 1 && rows >= 1);
    let mut sums = alloc::vec![0i64; dim];
    let mut out = alloc::vec![0.0; dim];
    for row in 0..rows {
        let q: Vec<i16> = beacon.row(row).unwrap().collect();
        assert_eq!(q.len(), dim);
        beacon.dequantise_row_into(row, &mut out).unwrap();
        for ((x, q), sum) in out.iter().zip(&q).zip(&mut sums) {
            assert_eq!(x.to_bits(), (dequantise(*q, step) as f32).to_bits());
            *sum += i64::from(*q);
        }
    }
    for beyond in [rows, u32::MAX] {
        assert!(beacon.row(beyond).is_none());
        let error = beacon.dequantise_row_into(beyond, &mut out).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { .. }));
    }
    let mut mean = alloc::vec![f64::NAN; dim];
    beacon.mean_into(&mut mean).unwrap();
    assert!(mean.iter().all(|x| x.is_finite()));
    if beacon.calibration().is_none_or(|calibration| calibration.mu().is_none()) {
        for (mean, sum) in mean.iter().zip(sums) {
            let expected = sum as f64 * step.as_f64() / f64::from(rows);
            assert!((mean - expected).abs() <= expected.abs() * 1e-15, "{mean} {expected}");
        }
    }
}

fn rewritten(beacon: &Beacon<'_>, calibration: &Calibration<'_>) {
    let dim = u64::from(beacon.dim());
    let spread: Vec<f64> = calibration.sigma_values().collect();
    assert_eq!(spread.len() as u64, calibration.sigma().values(dim).unwrap());
    assert!(spread.iter().all(|x| x.is_finite()));
    let (t0, t1) = calibration.times();
    assert!(t0 <= t1 && t0.is_finite() && t1.is_finite());
    assert!(calibration.w().is_finite() && calibration.w() >= 0.0);
    assert_eq!(calibration.trace().is_none(), calibration.sigma() == Sigma::None);
    if let Some(trace) = calibration.trace() {
        let diagonal: f64 = match calibration.sigma() {
            Sigma::Full => (0..dim)
                .map(|i| spread[usize::try_from(i * dim - i * i.saturating_sub(1) / 2).unwrap()])
                .sum(),
            _ => spread.iter().sum(),
        };
        assert_eq!(trace, diagonal);
    }

    let mut mu = alloc::vec![0.0; beacon.dim() as usize];
    beacon.mean_into(&mut mu).unwrap();
    let builder = CalibrationBuilder {
        sigma: calibration.sigma(),
        mu: &mu,
        spread: &spread,
        w: calibration.w(),
        t0,
        t1,
    };
    let mut value = alloc::vec![0xAA; builder.encoded_len().unwrap()];
    assert_eq!(builder.encode_into(&mut value).unwrap(), value.len());
    let written = beacon.frame().tlv(TlvType::CALIB_STATS).unwrap().value;
    if written[1] == value[1] {
        assert_eq!(written, value);
    } else {
        // The writer puts the mean in wherever it fits; the reader does not insist.
        assert_eq!((written[1], value[1]), (0, 1));
        assert!(value.ends_with(&written[32..]));
    }
}

/// A beacon made of a beacon's statistics carries them.
fn through_scl(beacon: &Beacon<'_>) {
    let sigma = beacon.calibration().map_or(Sigma::None, Calibration::sigma);
    let context = Context::new("s", "m", "p", beacon.dim()).unwrap();
    let step = StepChoice::Fixed(beacon.step());
    let encode = |scl: &Scl| scl.to_measured(Some(sigma)).unwrap().encode(&context, step).unwrap().frame;
    let decode = |bytes: &[u8]| {
        let frame = Frame::parse_exact(bytes).unwrap();
        let beacon = Beacon::from_frame(&frame).unwrap();
        frame.check_content().unwrap();
        Scl::from_beacon(&beacon).unwrap()
    };
    let scl = Scl::from_beacon(beacon).unwrap();
    scl.check().unwrap();
    let bytes = encode(&scl);
    let again = decode(&bytes);
    assert_eq!((scl.w, scl.t0, scl.t1), (again.w, again.t0, again.t1));
    assert!(scl.mu.iter().zip(&again.mu).all(|(a, b)| *a as f32 == *b as f32));
    assert_eq!(scl.sigma, again.sigma);
    // Rounded once, it stays.
    assert_eq!(encode(&again), bytes);
    match scl.to_measured(None).unwrap().encode(&context, StepChoice::Auto) {
        Ok(encoded) => {
            assert_eq!(encoded.saturated, 0);
            decode(&encoded.frame);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::StepRange),
    }
}

/// [`Results`]: what the reader accepts is the writer's text and JSON to others too; what the writer writes, the reader
/// reads.
pub fn results(data: &[u8]) {
    match Results::parse(data) {
        Ok(results) => {
            assert_eq!(results.to_text().unwrap().as_bytes(), data);
            agrees_with_serde(&results, data);
        }
        Err(error) => plausible(&error, data.len()),
    }

    let mut choices = Choices(data);
    let kind = choices.byte();
    let reference = if kind & 1 == 0 { Reference::Baseline } else { Reference::WindowHalf };
    let drift = Drift {
        reference,
        sds: choices.f64(),
        cos_mu: (kind & 2 == 0).then(|| choices.f64()),
        norm_dmu: choices.f64(),
    };
    let results = Results {
        drift: (kind & 4 == 0).then_some(drift),
        sds_threshold: (kind & 8 == 0).then(|| choices.f64()),
        tr_sigma: choices.f64(),
        weights: Weights { mu: choices.f64(), tr_sigma: choices.f64() },
    };
    match results.to_text() {
        Ok(text) => {
            assert_eq!(Results::parse(text.as_bytes()).unwrap(), results);
            agrees_with_serde(&results, text.as_bytes());
        }
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Number { .. })),
    }
}

fn agrees_with_serde(results: &Results, text: &[u8]) {
    let json: serde_json::Value = serde_json::from_slice(text).unwrap();
    let same = |value: &serde_json::Value, expected: Option<f64>| assert_eq!(value.as_f64(), expected);
    same(&json["SDS"], results.drift.map(|drift| drift.sds));
    same(&json["cos_mu"], results.drift.and_then(|drift| drift.cos_mu));
    same(&json["norm_dmu"], results.drift.map(|drift| drift.norm_dmu));
    same(&json["thresholds"]["SDS"], results.sds_threshold);
    same(&json["tr_Sigma"], Some(results.tr_sigma));
    same(&json["weights"]["mu"], Some(results.weights.mu));
    same(&json["weights"]["trS"], Some(results.weights.tr_sigma));
    assert_eq!(json["reference"] == "none", results.drift.is_none());
    // A norm and the weights are not negative.
    for number in [&json["norm_dmu"], &json["weights"]["mu"], &json["weights"]["trS"]] {
        assert!(number.as_f64().is_none_or(|number| number >= 0.0));
    }
    assert_eq!(json["weights"].as_object().map(|weights| weights.len()), Some(2));
    assert_eq!(json.as_object().map(|members| members.len()), Some(7));
}

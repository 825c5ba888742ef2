//! Windows and beacons without an allocator: beside those with one, NumPy's numbers, and Python's frames.
// A test says what it expects by panicking.

use bitwire::beacon::stats::{Moments, Sigma};
use bitwire::beacon::{
    Beacon, BeaconBuilder, CalibrationBuilder, Drift, FixedWindow, MeasuredRef, Reference, Results, Step,
    StepChoice, Weights, WindowOptions,
};
use bitwire::frame::{ContextHash, ContextRef, Frame, TlvType};
use bitwire::{ErrorKind, Result};
use proptest::prelude::*;
use serde_json::Value;

const CTX: ContextHash = ContextHash(*b"\x01\x23\x45\x67\x89\xAB\xCD\xEF");

fn json(path: &str) -> Value {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn frame(beacon: &BeaconBuilder<'_>) -> Result<Vec<u8>> {
    let mut out = vec![0; beacon.encoded_len()?];
    assert_eq!(beacon.encode_into(&mut out)?, out.len());
    Ok(out)
}

fn read(bytes: &[u8]) -> Beacon<'_> {
    Beacon::from_frame(&Frame::parse_exact(bytes).unwrap()).unwrap()
}

/// Beside `Window` and `Measured`, of the same rows.
#[cfg(feature = "alloc")]
mod beside_window {
    use bitwire::beacon::{Against, Window};
    use bitwire::frame::Context;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Compared {
        Halves,
        Baseline,
        Beacon,
        Nothing,
    }

    #[derive(Clone, Copy, Debug)]
    enum Rows {
        F32,
        F64,
        I16,
    }

    #[derive(Clone, Debug)]
    struct Case {
        dim: usize,
        rows: usize,
        values: Vec<f64>,
        baseline: Vec<f64>,
        compared: Compared,
        of: Rows,
        options: WindowOptions,
        step: StepChoice,
    }

    fn case() -> impl Strategy<Value = Case> {
        let sigma = prop::sample::select(&[Sigma::None, Sigma::Trace, Sigma::Diagonal][..]);
        let options = (sigma, 0.0f64..3.0, 0.0f64..3.0, prop::option::of(0.0f64..50.0), -5.0f64..5.0)
            .prop_map(|(sigma, mu, tr_sigma, sds_threshold, t0)| {
                let weights = Weights { mu, tr_sigma };
                WindowOptions { sigma: Some(sigma), weights, sds_threshold, t0, t1: t0 + 2.5 }
            });
        let compared = [Compared::Halves, Compared::Baseline, Compared::Beacon, Compared::Nothing];
        let step = prop_oneof![
            3 => Just(StepChoice::Auto),
            1 => (1u32..100_000).prop_map(|delta| StepChoice::Fixed(Step::new(delta).unwrap())),
        ];
        let kinds = (
            prop::sample::select(compared.to_vec()),
            prop::sample::select(&[Rows::F32, Rows::F64, Rows::I16][..]),
        );
        (prop::sample::select(&[1usize, 3, 16, 50][..]), 2usize..30).prop_flat_map(move |(dim, rows)| {
            let values = prop::collection::vec(-300.0f64..400.0, rows * dim);
            let baseline = prop::collection::vec(-300.0f64..400.0, dim);
            (Just((dim, rows)), values, baseline, kinds.clone(), options.clone(), step.clone()).prop_map(
                |((dim, rows), values, baseline, (compared, of), options, step)| Case {
                    dim,
                    rows,
                    values,
                    baseline,
                    compared,
                    of,
                    options,
                    step,
                },
            )
        })
    }

    fn row<T: Default + Copy, const DIM: usize>(values: &[f64], from: fn(f64) -> T) -> [T; DIM] {
        let mut row = [T::default(); DIM];
        row.iter_mut().zip(values).for_each(|(to, &x)| *to = from(x));
        row
    }

    fn feed<const DIM: usize>(window: &mut FixedWindow<DIM>, values: &[f64], of: Rows) -> Result<()> {
        values.chunks(DIM).try_for_each(|values| match of {
            Rows::F32 => window.push_f32(&row(values, |x| x as f32)),
            Rows::F64 => window.push_f64(&row(values, |x| x)),
            Rows::I16 => window.push_i16(&row(values, |x| x as i16)),
        })
    }

    /// A beacon whose mean is the baseline, as far as its f32 go.
    fn beacon_of(baseline: &[f64]) -> Vec<u8> {
        let statistics =
            CalibrationBuilder { sigma: Sigma::None, mu: baseline, spread: &[], w: 1.0, t0: 0.0, t1: 0.0 };
        frame(&BeaconBuilder::new(CTX, statistics, StepChoice::Auto).unwrap()).unwrap()
    }

    fn check<const DIM: usize>(case: &Case) -> Result<(), TestCaseError> {
        let Case { ref values, ref baseline, compared, of, options, step, rows, .. } = *case;
        let dim = DIM as u32;
        let context = Context::new("space", "model", "pi", dim).unwrap();

        let mut mean = baseline.clone();
        let against = match compared {
            Compared::Halves => Against::Halves { rows: rows as u64 },
            Compared::Nothing => Against::Nothing,
            Compared::Baseline => Against::Baseline { mean: mean.clone() },
            Compared::Beacon => {
                mean.iter_mut().for_each(|x| *x = f64::from(*x as f32));
                Against::Baseline { mean: mean.clone() }
            }
        };
        let mut window = Window::new(dim, against, options).unwrap();
        for values in values.chunks(DIM) {
            match of {
                Rows::F32 => window.push_f32(&row::<_, DIM>(values, |x| x as f32)).unwrap(),
                Rows::F64 => window.push_f64(values).unwrap(),
                Rows::I16 => window.push_f32(&row::<_, DIM>(values, |x| f32::from(x as i16))).unwrap(),
            }
        }
        let measured = window.finish().unwrap();
        let expected = measured.encode(&context, step).unwrap();

        let mut fixed = FixedWindow::<DIM>::new();
        // Whatever was in the memory before: another window, halves joined or not.
        let before = WindowOptions { sigma: Some(Sigma::Diagonal), ..WindowOptions::default() };
        fixed.start_in_halves(rows as u64, before).unwrap();
        feed(&mut fixed, values, Rows::F64).unwrap();
        let _ = fixed.finish();
        match compared {
            Compared::Halves => fixed.start_in_halves(rows as u64, options).unwrap(),
            Compared::Nothing => fixed.start_alone(options).unwrap(),
            Compared::Baseline => {
                fixed.start_against(baseline.first_chunk().unwrap(), options).unwrap();
            }
            Compared::Beacon => {
                fixed.start_against_beacon(&read(&beacon_of(baseline)), options).unwrap();
            }
        }
        feed(&mut fixed, values, of).unwrap();
        prop_assert_eq!(fixed.rows(), rows as u64);
        // A second time it is the same.
        for _ in 0..2 {
            let text = context.as_str().as_bytes();
            let context = ContextRef::parse(text).unwrap();
            let found = fixed.finish().unwrap();
            let builder = found.to_beacon(context, step).unwrap();
            prop_assert_eq!(&frame(&builder).unwrap(), &expected.frame);
            prop_assert_eq!((builder.step(), builder.saturated()), (expected.step, expected.saturated));
            prop_assert_eq!(fixed.rows(), rows as u64);
        }
        #[cfg(feature = "hmac")]
        {
            let key = bitwire::frame::Key::new(&[7; 16]).unwrap();
            let expected = measured.encode_signed(&context, step, &key).unwrap().frame;
            let builder = fixed.finish().unwrap().to_beacon(&context, step).unwrap().sign(&key);
            prop_assert_eq!(&frame(&builder).unwrap(), &expected);
            Frame::parse_exact(&expected).unwrap().verify(&key).unwrap();
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_same_rows_make_the_same_frame(case in case()) {
            match case.dim {
                1 => check::<1>(&case)?,
                3 => check::<3>(&case)?,
                16 => check::<16>(&case)?,
                _ => check::<50>(&case)?,
            }
        }
    }
}

/// NumPy's numbers of real embeddings (tests/data/embeddings/numpy_stats.py), after f32.
#[test]
fn as_numpy_says() {
    let expected = json("tests/data/embeddings/window.json");
    let numbers = |name: &str| -> Vec<f64> {
        expected[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let npy =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/embeddings/window.npy")).unwrap();
    let values: Vec<f32> = npy[128..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
    let rows = values.as_chunks::<384>().0;
    let mut window = Box::new(FixedWindow::<384>::new());
    window.start_in_halves(rows.len() as u64, WindowOptions::default()).unwrap();
    rows.iter().try_for_each(|row| window.push_f32(row)).unwrap();
    let bytes = frame(&window.finish().unwrap().to_beacon(CTX, StepChoice::Auto).unwrap()).unwrap();

    let beacon = read(&bytes);
    let calibration = beacon.calibration().unwrap();
    assert_eq!((calibration.sigma(), calibration.w()), (Sigma::Diagonal, rows.len() as f64));
    // f32 has 24 bits, and nothing below 1.4e-45: one variance is 4e-66.
    let close = |ours: f64, numpy: f64| {
        assert!((ours - numpy).abs() <= 1e-7 * numpy.abs() + 1e-45, "{ours} {numpy}");
    };
    let (mean, variances) = (numbers("mean"), numbers("variances"));
    assert_eq!((mean.len(), variances.len()), (384, 384));
    calibration.mu().unwrap().zip(&mean).for_each(|(ours, &numpy)| close(ours.into(), numpy));
    calibration.sigma_values().zip(&variances).for_each(|(ours, &numpy)| close(ours, numpy));
    close(beacon.results().unwrap().tr_sigma, expected["trace"].as_f64().unwrap());
    // Within half a step of the payload, and the step is the smallest.
    let step = beacon.step().as_f64();
    for (q, mean) in beacon.row(0).unwrap().zip(&mean) {
        assert!((f64::from(q) * step - mean).abs() <= 0.5 * step + 1e-7);
    }
    let largest = mean.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    assert!(largest / 32767.5 * 65536.0 <= f64::from(beacon.step().get()));
    assert!(largest / 32768.5 * 65536.0 > f64::from(beacon.step().get()) - 1.0);
    // The drift, from the halves' means by plain sums.
    let half = |rows: &[[f32; 384]]| -> Vec<f64> {
        (0..384).map(|j| rows.iter().map(|row| f64::from(row[j])).sum::<f64>() / rows.len() as f64).collect()
    };
    let (first, second) = rows.split_at(rows.len() / 2);
    let norm: f64 = half(first).iter().zip(half(second)).map(|(a, b)| (a - b) * (a - b)).sum();
    let drift = beacon.results().unwrap().drift.unwrap();
    assert!((drift.norm_dmu - norm.sqrt()).abs() <= 1e-12);
}

/// Beacons that Python wrote (spec/vectors/generate.py), from what is in them.
#[test]
fn as_python_writes() {
    let file = json("spec/vectors/beacon.json");
    let (mut whole, mut in_parts) = (0, 0);
    for case in file["cases"].as_array().unwrap() {
        let hex = case["hex"].as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
        let Ok(theirs) = Frame::parse_exact(&bytes).and_then(|frame| Beacon::from_frame(&frame)) else {
            continue;
        };
        let (Some(calibration), 1) = (theirs.calibration(), theirs.rows()) else { continue };
        let Some(mu) = calibration.mu() else { continue };
        let mu: Vec<f64> = mu.map(f64::from).collect();
        let spread: Vec<f64> = calibration.sigma_values().collect();
        let ((t0, t1), w) = (calibration.times(), calibration.w());
        let statistics =
            CalibrationBuilder { sigma: calibration.sigma(), mu: &mu, spread: &spread, w, t0, t1 };
        let step = StepChoice::Fixed(theirs.step());
        let context = theirs.frame().context_json().map(|text| ContextRef::parse(text).unwrap());
        let mut builder = match context {
            Some(context) => BeaconBuilder::new(context, statistics, step),
            None => BeaconBuilder::new(theirs.frame().ctx(), statistics, step),
        }
        .unwrap();
        if let Some(results) = theirs.results() {
            builder = builder.results(*results).unwrap();
        }
        let ours = frame(&builder).unwrap();
        let ours = read(&ours);
        for tlv in [TlvType::CALIB_STATS, TlvType::RESULTS, TlvType::CONTEXT] {
            let value = |beacon: &Beacon<'_>| beacon.frame().tlv(tlv).map(|tlv| tlv.value.to_vec());
            assert_eq!(value(&ours), value(&theirs), "{}", case["id"]);
        }
        assert_eq!(ours.frame().flags().alert(), theirs.frame().flags().alert());
        in_parts += 1;
        // Some have a payload or TLVs of their own.
        let own = |beacon: &Beacon<'_>| {
            let types: Vec<u8> = beacon.frame().tlvs().map(|tlv| tlv.tlv_type).collect();
            (beacon.frame().payload().to_vec(), types)
        };
        if own(&ours) == own(&theirs) && ours.frame().flags() == theirs.frame().flags() {
            assert_eq!(ours.frame().as_bytes(), bytes, "{}", case["id"]);
            whole += 1;
        }
    }
    assert!(whole >= 2 && in_parts >= 10, "{whole} {in_parts}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is asked for, what is written can be read, and says what was asked for.
    #[test]
    fn what_is_written_can_be_read(
        mu in prop::collection::vec(prop_oneof![8 => -1e3f64..1e3, 1 => any::<f64>()], 0..5),
        spread in prop::collection::vec(prop_oneof![8 => 0.0f64..1e3, 1 => any::<f64>()], 0..16),
        sigma in prop::sample::select(&[Sigma::None, Sigma::Trace, Sigma::Diagonal, Sigma::Full][..]),
        fits in any::<bool>(),
        times in (prop_oneof![Just(0.0), any::<f64>()], prop_oneof![Just(1.0), any::<f64>()]),
        w in prop_oneof![Just(3.0), any::<f64>()],
        numbers in prop::array::uniform6(prop_oneof![6 => 0.0f64..2.0, 1 => any::<f64>()]),
        (drift, cos, threshold, baseline) in any::<(bool, bool, bool, bool)>(),
    ) {
        let needed = sigma.values(mu.len() as u64).unwrap() as usize;
        let spread = if fits { &spread[..needed.min(spread.len())] } else { &spread[..] };
        let (t0, t1) = times;
        let statistics = CalibrationBuilder { sigma, mu: &mu, spread, w, t0, t1 };
        let [sds, cos_mu, norm_dmu, sds_threshold, tr_sigma, weight] = numbers;
        let reference = if baseline { Reference::Baseline } else { Reference::WindowHalf };
        let results = Results {
            drift: drift.then_some(Drift { reference, sds, cos_mu: cos.then_some(cos_mu), norm_dmu }),
            sds_threshold: threshold.then_some(sds_threshold),
            tr_sigma,
            weights: Weights { mu: weight, tr_sigma: 1.0 },
        };
        let written = BeaconBuilder::new(CTX, statistics, StepChoice::Auto)
            .and_then(|builder| builder.results(results))
            .and_then(|builder| frame(&builder));
        let Ok(bytes) = written else {
            return Ok(());
        };
        let beacon = Beacon::from_frame(&Frame::parse_exact(&bytes).unwrap());
        prop_assert!(beacon.is_ok(), "{:?}", beacon.unwrap_err());
        let beacon = beacon.unwrap();
        prop_assert_eq!(beacon.results(), Some(&results));
        let calibration = beacon.calibration().unwrap();
        prop_assert_eq!((calibration.w(), calibration.times()), (w, times));
        prop_assert!(calibration.mu().unwrap().eq(mu.iter().map(|&x| x as f32)));
        prop_assert_eq!(calibration.sigma_values().count(), needed);
    }
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let good = CalibrationBuilder {
        sigma: Sigma::Diagonal,
        mu: &[1.0, -2.0],
        spread: &[0.5, 0.25],
        w: 4.0,
        t0: 0.0,
        t1: 1.0,
    };
    let kind = |statistics: CalibrationBuilder<'_>, step| {
        let written = BeaconBuilder::new(CTX, statistics, step).and_then(|builder| frame(&builder));
        written.unwrap_err().kind()
    };
    let number = |field| ErrorKind::Number { field };
    let auto = StepChoice::Auto;
    frame(&BeaconBuilder::new(CTX, good, auto).unwrap()).unwrap();
    assert_eq!(kind(CalibrationBuilder { w: -1.0, ..good }, auto), number("W"));
    assert_eq!(kind(CalibrationBuilder { t0: 2.0, ..good }, auto), number("t0 or t1"));
    assert_eq!(kind(CalibrationBuilder { t1: f64::NAN, ..good }, auto), number("t0 or t1"));
    assert_eq!(kind(CalibrationBuilder { spread: &[1e39, 0.0], ..good }, auto), number("Sigma"));
    let trace = CalibrationBuilder { sigma: Sigma::Trace, spread: &[f64::INFINITY], ..good };
    assert_eq!(kind(trace, auto), number("the trace of Sigma"));
    let shape = ErrorKind::Shape { field: "the number of values of Sigma", needed: 2, found: 1 };
    assert_eq!(kind(CalibrationBuilder { spread: &[1.0], ..good }, auto), shape);
    // As f32, 1e39 is infinite.
    let fixed = StepChoice::Fixed(Step::new(1).unwrap());
    for step in [auto, fixed] {
        let mu = CalibrationBuilder { mu: &[0.0, 1e39], ..good };
        assert_eq!(kind(mu, step), ErrorKind::NonFinite { row: 0, column: 1 });
        let none = CalibrationBuilder { mu: &[], spread: &[], ..good };
        assert!(matches!(kind(none, step), ErrorKind::Argument { .. }));
    }
    assert_eq!(kind(CalibrationBuilder { mu: &[1e10, 0.0], ..good }, auto), ErrorKind::StepRange);
    let saturated = BeaconBuilder::new(CTX, good, fixed).unwrap();
    // Both lie beyond 0.5.
    assert_eq!(saturated.saturated(), 2);
    let (mu, spread) = (vec![0.0; 181], vec![0.0; 181 * 182 / 2]);
    let full = CalibrationBuilder { sigma: Sigma::Full, mu: &mu, spread: &spread, ..good };
    assert!(matches!(kind(full, auto), ErrorKind::TooLarge { max: 180, found: 181, .. }));

    let context = ContextRef::parse(br#"{"dim":3,"model_id":"","pi_id":"","space_id":""}"#).unwrap();
    let refused = BeaconBuilder::new(context, good, auto).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Context { .. }));
    let results =
        Results { drift: None, sds_threshold: None, tr_sigma: f64::NAN, weights: Weights::default() };
    let refused = BeaconBuilder::new(CTX, good, auto).unwrap().results(results).unwrap_err();
    assert_eq!(refused.kind(), number("tr_Sigma"));
}

#[test]
fn the_buffer_holds_the_beacon_and_no_more_is_touched() {
    let statistics = CalibrationBuilder {
        sigma: Sigma::Diagonal,
        mu: &[1.0, -2.0],
        spread: &[0.5, 0.25],
        w: 4.0,
        t0: 0.0,
        t1: 1.0,
    };
    let builder = BeaconBuilder::new(CTX, statistics, StepChoice::Auto).unwrap();
    let len = builder.encoded_len().unwrap();
    // 12 and CONFIG 27, FLAGS 7, CALIB 3 + 32 + 8 + 8, END 3, payload 4, CRC 2.
    assert_eq!(len, 12 + 27 + 7 + 51 + 3 + 4 + 2);
    let short = builder.encode_into(&mut vec![0; len - 1]).unwrap_err().kind();
    assert_eq!(short, ErrorKind::BufferTooSmall { needed: len as u64, available: len as u64 - 1 });
    let mut out = vec![0xEE; len + 5];
    assert_eq!(builder.encode_into(&mut out), Ok(len));
    assert_eq!(out[len..], [0xEE; 5]);
    read(&out[..len]);
    // Through the frame's builder: a digest, and a payload that starts at 64 bytes.
    let builder = builder.to_frame().unwrap().digest().align_payload(64);
    let mut out = vec![0xEE; builder.encoded_len().unwrap()];
    builder.encode_into(&mut out).unwrap();
    let beacon = read(&out);
    assert!(beacon.frame().digest().is_some() && beacon.frame().payload_offset() % 64 == 0);
}

#[test]
fn rows_that_are_too_few_too_many_or_none() {
    let mut window = FixedWindow::<2>::new();
    let kind = |result: Result<MeasuredRef<'_>>| result.unwrap_err().kind();
    assert_eq!(kind(window.finish()), ErrorKind::WindowRows { needed: 2, found: 0 });
    window.push_f32(&[1.0, 2.0]).unwrap();
    assert_eq!(kind(window.finish()), ErrorKind::WindowRows { needed: 2, found: 1 });
    window.push_f32(&[1.0, 2.0]).unwrap();
    assert!(window.finish().unwrap().results.is_none());

    let options = WindowOptions::default();
    let few = window.start_in_halves(1, options).unwrap_err().kind();
    assert_eq!(few, ErrorKind::WindowRows { needed: 2, found: 1 });
    // It is as it was.
    assert_eq!(window.rows(), 2);
    window.start_in_halves(3, options).unwrap();
    assert_eq!(window.rows(), 0);
    window.push_i16(&[1, 2]).unwrap();
    window.push_f64(&[1.0, 2.0]).unwrap();
    assert_eq!(kind(window.finish()), ErrorKind::RowCount { stated: 3, found: 2 });
    let bad = window.push_f32(&[0.0, f32::NAN]).unwrap_err().kind();
    assert_eq!(bad, ErrorKind::NonFinite { row: 2, column: 1 });
    window.push_f32(&[0.0, 0.0]).unwrap();
    for _ in 0..2 {
        let many = window.push_f32(&[0.0, 0.0]).unwrap_err().kind();
        assert_eq!(many, ErrorKind::RowCount { stated: 3, found: 4 });
        assert_eq!(window.finish().unwrap().summary.rows(), 3);
    }

    window.start_against(&[0.0, 0.0], options).unwrap();
    assert_eq!(kind(window.finish()), ErrorKind::WindowRows { needed: 1, found: 0 });
    window.push_f32(&[3.0, 4.0]).unwrap();
    let measured = window.finish().unwrap();
    assert_eq!(measured.results.unwrap().drift.unwrap().norm_dmu, 5.0);
    // More can follow.
    window.push_f32(&[-3.0, -4.0]).unwrap();
    assert_eq!(window.finish().unwrap().results.unwrap().drift.unwrap().norm_dmu, 0.0);

    for bad in [
        WindowOptions { sds_threshold: Some(f64::NAN), ..options },
        WindowOptions { t0: 1.0, ..options },
        WindowOptions { weights: Weights { mu: -1.0, tr_sigma: 1.0 }, ..options },
    ] {
        for refused in
            [window.start_alone(bad), window.start_in_halves(4, bad), window.start_against(&[0.0; 2], bad)]
        {
            assert!(matches!(refused.unwrap_err().kind(), ErrorKind::Number { .. }));
        }
    }
    let full = window.start_alone(WindowOptions { sigma: Some(Sigma::Full), ..options }).unwrap_err().kind();
    assert!(matches!(full, ErrorKind::BufferTooSmall { available: 4, .. }), "{full:?}");
    assert_eq!(window.rows(), 2);
}

/// The full Sigma, over memory that the caller has.
#[test]
fn covariances_without_an_allocator() {
    let mut moments = Moments::with_storage(2, Sigma::Full, [0.0; 40]).unwrap();
    moments.push_rows_f32(&[1.0, 2.0, 3.0, -4.0]).unwrap();
    let summary = moments.summary().unwrap();
    let measured = MeasuredRef::from_summary(&summary, 0.0, 1.0);
    let measured = measured.with_drift_from(&[2.0, 1.0], Weights::default(), Some(1.0)).unwrap();
    let bytes = frame(&measured.to_beacon(CTX, StepChoice::Auto).unwrap()).unwrap();
    let beacon = read(&bytes);
    // (1, 2) and (3, -4): deviations (-1, 3) and (1, -3).
    let values: Vec<f64> = beacon.calibration().unwrap().sigma_values().collect();
    let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
    assert!(values.iter().zip([2.0, -6.0, 18.0]).all(|(&a, b)| close(a, b)), "{values:?}");
    let drift = beacon.results().unwrap().drift.unwrap();
    assert!((drift.norm_dmu, beacon.alert()) == (2.0, true) && close(drift.sds, 22.0));
    // The same memory, the next window.
    moments.clear();
    assert_eq!(moments.rows(), 0);
    moments.push_rows_f32(&[1.0, 1.0, 1.0, 1.0]).unwrap();
    let summary = moments.summary().unwrap();
    assert!(summary.mean() == [1.0; 2] && summary.triangle().unwrap().all(|x| x == 0.0));
}

/// What the documentation says of memory.
#[test]
fn sizes() {
    static WINDOW: FixedWindow<384> = FixedWindow::new();
    assert_eq!(WINDOW.rows(), 0);
    let own = |size: usize, dim: usize| size - 32 * dim;
    assert!(own(size_of::<FixedWindow<1>>(), 1) < 600, "{}", size_of::<FixedWindow<1>>());
    assert!(own(size_of::<FixedWindow<384>>(), 384) < 600);
    assert!(size_of::<BeaconBuilder<'_>>() <= 400, "{}", size_of::<BeaconBuilder<'_>>());
    assert!(size_of::<MeasuredRef<'_>>() <= 200, "{}", size_of::<MeasuredRef<'_>>());
}

//! Window statistics and the beacons made of them.

use alloc::vec::Vec;

use super::{Choices, turn};
use crate::beacon::stats::{Moments, Sigma, storage_len};
use crate::beacon::{
    Against, Beacon, CalibrationBuilder, StepChoice, Weights, Window, WindowOptions, mu16::Step,
};
use crate::error::{ErrorKind, Result};
use crate::frame::{Context, Frame, Key};

type Bits = (Vec<u64>, u64, Vec<u64>);

/// The results as bits: mean, trace, and what is kept of Sigma.
fn bits<S: AsRef<[f64]> + AsMut<[f64]>>(moments: &mut Moments<S>) -> Result<Bits> {
    let summary = moments.summary()?;
    let spread: Vec<f64> = match summary.sigma() {
        Sigma::Full => summary.triangle().unwrap().collect(),
        _ => summary.diagonal().into_iter().flatten().collect(),
    };
    let bits = |values: &[f64]| {
        assert!(values.iter().all(|x| x.is_finite()));
        values.iter().map(|x| x.to_bits()).collect()
    };
    assert!(summary.trace().is_finite());
    Ok((bits(summary.mean()), summary.trace().to_bits(), bits(&spread)))
}

/// [`Moments`]: how rows are cut into calls, how much storage there is and how much of Sigma is kept change no bit; a
/// value that is not finite is named; merged halves come close to the whole, and both to the textbook.
pub fn moments(data: &[u8]) {
    let mut choices = Choices(data);
    let dim = choices.below(if turn(data, 8) { 70 } else { 18 }) + 1;
    let sigma = Sigma::from_code(choices.byte() % 4).unwrap();
    let (cut, spare, kind) = (choices.below(64), choices.below(4096), choices.byte());
    let rows = if kind % 3 == 0 { choices.f64s() } else { singles(&mut choices, kind) };
    // A triangle of 70 columns takes time; a few hundred rows pass every block.
    let rows = &rows[..rows.len().min(400 * dim) / dim * dim];
    let good = rows.iter().position(|x| !x.is_finite()).map_or(rows.len(), |bad| bad / dim * dim);

    let mut whole = Moments::new(dim, sigma).unwrap();
    match whole.push_rows_f64(rows) {
        Ok(()) => assert_eq!(good, rows.len()),
        Err(error) => {
            let column = rows[good..].iter().position(|x| !x.is_finite()).unwrap() as u64;
            assert_eq!(error.kind(), ErrorKind::NonFinite { row: (good / dim) as u64, column });
        }
    }
    let rows = &rows[..good];
    assert_eq!(whole.rows(), (good / dim) as u64);
    let result = bits(&mut whole);

    let mut one_by_one = Moments::new(dim, sigma).unwrap();
    let mut narrow = Moments::new(dim, sigma).unwrap();
    let is_f32 = rows.iter().all(|&x| f64::from(x as f32) == x);
    for (i, row) in rows.chunks_exact(dim).enumerate() {
        one_by_one.push_f64(row).unwrap();
        if i == cut {
            // A summary in between changes nothing, nor does a row that is refused.
            let _ = one_by_one.summary();
            let mut bad = row.to_vec();
            bad[cut % dim] = f64::NAN;
            assert!(one_by_one.push_f64(&bad).is_err());
            assert!(one_by_one.push_f64(&row[1..]).is_err());
            if dim > 1 {
                assert!(one_by_one.push_rows_f64(&[row, &row[1..]].concat()).is_err());
            }
        }
        if is_f32 {
            narrow.push_f32(&row.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap();
        }
    }
    assert_eq!(bits(&mut one_by_one), result);
    if is_f32 {
        assert_eq!(bits(&mut narrow), result);
    }
    let mut storage = alloc::vec![f64::NAN; storage_len(dim, sigma).unwrap() + spare];
    let mut lent = Moments::with_storage(dim, sigma, &mut storage[..]).unwrap();
    for piece in rows.chunks((cut + 1) * dim) {
        lent.push_rows_f64(piece).unwrap();
    }
    assert_eq!(bits(&mut lent), result);
    for other in [Sigma::None, Sigma::Diagonal, Sigma::Full] {
        let mut moments = Moments::new(dim, other).unwrap();
        moments.push_rows_f64(rows).unwrap();
        if let (Ok(result), Ok(other)) = (&result, bits(&mut moments)) {
            assert_eq!((&result.0, result.1), (&other.0, other.1));
        }
    }

    let (first, second) = rows.split_at((cut * dim).min(rows.len()));
    let part = |rows| {
        let mut part = Moments::new(dim, sigma).unwrap();
        part.push_rows_f64(rows).unwrap();
        part
    };
    let (mut merged, second) = (part(first), part(second));
    merged.merge(&second).unwrap();
    assert_eq!(merged.rows(), whole.rows());
    let merged = bits(&mut merged);
    let size = rows.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
    if rows.is_empty() || size > 1e140 || (size < 1e-140 && size > 0.0) {
        return;
    }
    let (result, merged) = (result.unwrap(), merged.unwrap());
    let textbook = textbook(rows, dim, sigma);
    for other in [&merged, &textbook] {
        let close = |a: u64, b: u64, size: f64| {
            let (a, b) = (f64::from_bits(a), f64::from_bits(b));
            assert!((a - b).abs() <= 1e-12 * size, "{a} {b} of values up to {size}");
        };
        result.0.iter().zip(&other.0).for_each(|(a, b)| close(*a, *b, size));
        close(result.1, other.1, size * size * dim as f64);
        result.2.iter().zip(&other.2).for_each(|(a, b)| close(*a, *b, size * size));
    }
}

/// Two passes, after the definition.
fn textbook(rows: &[f64], dim: usize, sigma: Sigma) -> Bits {
    let n = (rows.len() / dim) as f64;
    let rows = || rows.chunks_exact(dim);
    let mean: Vec<f64> = (0..dim).map(|i| rows().map(|row| row[i] / n).sum()).collect();
    let covariance = |i: usize, j: usize| {
        rows().map(|row| (row[i] - mean[i]) * (row[j] - mean[j])).sum::<f64>() / (n - 1.0).max(1.0)
    };
    let trace: f64 = (0..dim).map(|i| covariance(i, i)).sum();
    let spread: Vec<f64> = match sigma {
        Sigma::None | Sigma::Trace => Vec::new(),
        Sigma::Diagonal => (0..dim).map(|i| covariance(i, i)).collect(),
        Sigma::Full => {
            (0..dim).flat_map(|i| (i..dim).map(move |j| (i, j))).map(|(i, j)| covariance(i, j)).collect()
        }
    };
    let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect();
    (bits(&mean), trace.to_bits(), bits(&spread))
}

/// f32 of any bits, or tame ones: bytes around 0, so that long windows without a NaN are likely.
fn singles(choices: &mut Choices<'_>, kind: u8) -> Vec<f64> {
    if kind % 3 == 1 {
        choices.f32s().into_iter().map(f64::from).collect()
    } else {
        choices.0.iter().map(|&byte| f64::from(byte.cast_signed()) / 16.0 + f64::from(kind) * 100.0).collect()
    }
}

/// [`Window`]: whatever it measures and encodes, the reader takes, signature included.
pub fn window(data: &[u8]) {
    let mut choices = Choices(data);
    let dim = choices.below(9) + 1;
    let kind = choices.byte();
    let share = choices.byte() % 5;
    let step = u32::from_le_bytes(choices.array());
    let options = WindowOptions {
        sigma: Sigma::from_code(share),
        weights: if kind & 1 == 0 {
            Weights::default()
        } else {
            Weights { mu: choices.f64(), tr_sigma: choices.f64() }
        },
        sds_threshold: (kind & 2 != 0).then(|| choices.f64()),
        t0: if kind & 4 == 0 { 0.0 } else { choices.f64() },
        t1: if kind & 4 == 0 { 0.0 } else { choices.f64() },
    };
    let mean: Vec<f64> = (0..dim).map(|_| if kind & 8 == 0 { 0.5 } else { choices.f64() }).collect();
    let rows: Vec<f64> = match kind >> 4 & 3 {
        0 => choices.f64s(),
        kind => singles(&mut choices, kind),
    };
    let against = match kind >> 6 {
        0 => Against::Halves { rows: (rows.len() / dim) as u64 },
        1 => Against::Baseline { mean },
        _ => Against::Nothing,
    };
    let columns = u32::try_from(dim).unwrap();
    let Ok(mut window) = Window::new(columns, against, options) else { return };
    for row in rows.chunks_exact(dim) {
        let before = window.rows();
        match window.push_f64(row) {
            Ok(()) => assert_eq!(window.rows(), before + 1),
            Err(error) => {
                assert_eq!(window.rows(), before);
                let column = row.iter().position(|x| !x.is_finite()).unwrap() as u64;
                assert_eq!(error.kind(), ErrorKind::NonFinite { row: before, column });
            }
        }
    }
    let rows = window.rows();
    let Ok(measured) = window.finish() else { return };
    let context = Context::with_members("s", "m", "p", columns, "{\"x\":[1,null]}").unwrap();
    let step = Step::new(step).map_or(StepChoice::Auto, StepChoice::Fixed);
    let Ok(encoded) = measured.encode(&context, step) else { return };
    let frame = Frame::parse_exact(&encoded.frame).unwrap();
    frame.check_content().unwrap();
    assert_eq!(frame.context().unwrap(), Some(context.clone()));
    let beacon = Beacon::from_frame(&frame).unwrap();
    assert_eq!(beacon.step(), encoded.step);
    assert_eq!(beacon.results().copied(), measured.results);
    let calibration = beacon.calibration().unwrap();
    assert_eq!((calibration.w(), calibration.times()), (rows as f64, (options.t0, options.t1)));
    assert_eq!(calibration.sigma(), options.sigma.unwrap_or(CalibrationBuilder::auto(columns)));
    assert!(calibration.mu().unwrap().zip(&measured.mu).all(|(a, b)| a == *b as f32));
    if step == StepChoice::Auto {
        assert_eq!(encoded.saturated, 0);
    }

    let key = Key::new(&[7; 32]).unwrap();
    let signed = measured.encode_signed(&context, step, &key).unwrap();
    let signed = Frame::parse_exact(&signed.frame).unwrap().verify(&key).unwrap();
    assert_eq!(signed.payload(), frame.payload());
    Beacon::from_frame(&signed).unwrap();
}

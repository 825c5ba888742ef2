//! Kernels against their definitions.

use super::Choices;
use crate::beacon::mu16::{self, Step, dequantise_into, quantise, quantise_into};
use crate::error::ErrorKind;

/// [`crate::frame::crc16`]: whole, in two and in three pieces, and bit by bit.
pub fn crc16(data: &[u8]) {
    let mut choices = Choices(data);
    let (a, b) = (choices.below(4096), choices.below(4096));
    let bytes = choices.0;
    let defined = bytes.iter().fold(0xFFFFu16, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 }
        })
    });
    assert_eq!(crate::frame::crc16(bytes), defined);
    let (first, rest) = bytes.split_at(a.min(bytes.len()));
    let (second, third) = rest.split_at(b.min(rest.len()));
    let mut crc = crate::frame::Crc16::new();
    for piece in [first, second, third] {
        crc.update(piece);
    }
    assert_eq!(crc.finish(), defined);
    // The same bytes at another address.
    let mut moved = alloc::vec![0; a % 64];
    moved.extend_from_slice(bytes);
    assert_eq!(crate::frame::crc16(&moved[a % 64..]), defined);
}

/// MU16: the kernels give what the formula of spec/beacon.md gives, value by value, and the automatic step is the least.
pub fn mu16(data: &[u8]) {
    let mut choices = Choices(data);
    let step = Step::new(u32::from_le_bytes(choices.array()).max(1)).unwrap();
    let dim = choices.below(300) + 1;
    let shift = usize::from(choices.byte() % 32);
    let q = choices.0;
    let values = choices.f32s();

    let mut out = alloc::vec![0xAA; shift + 2 * values.len()];
    let out = &mut out[shift..];
    let quantised = quantise_into(&values, dim, step, out);
    let first_bad = values.iter().position(|x| !x.is_finite());
    if let Some(at) = first_bad {
        let place = ErrorKind::NonFinite { row: (at / dim) as u64, column: (at % dim) as u64 };
        assert_eq!(quantised.unwrap_err().kind(), place);
        assert_eq!(Step::auto(&values, dim).unwrap_err().kind(), place);
    } else {
        let mut saturated = 0;
        for (x, q) in values.iter().zip(out.as_chunks().0) {
            let rounded = (f64::from(*x) * 65536.0 / f64::from(step.get())).round_ties_even();
            let clamped = rounded.clamp(-32768.0, 32767.0);
            let expected = (clamped as i16, clamped != rounded);
            assert_eq!(quantise(*x, step), expected, "{x:e} at {step:?}");
            assert_eq!(i16::from_le_bytes(*q), expected.0, "{x:e} at {step:?}");
            saturated += u64::from(expected.1);
        }
        assert_eq!(quantised.unwrap(), saturated);
        let holds = |step| values.iter().all(|x| !quantise(*x, step).1);
        match Step::auto(&values, dim) {
            Ok(least) => {
                assert!(holds(least));
                assert!(least.get() == 1 || !holds(Step::new(least.get() - 1).unwrap()));
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StepRange);
                assert!(!holds(Step::MAX));
            }
        }
    }

    let q = &q[..q.len() / 2 * 2];
    let mut back = alloc::vec![f32::NAN; q.len() / 2];
    dequantise_into(q, step, &mut back).unwrap();
    for (x, q) in back.iter().zip(q.as_chunks().0) {
        let q = i16::from_le_bytes(*q);
        // 48 bits fit f64; one rounding, to f32.
        let exact = (i64::from(q) * i64::from(step.get())) as f64 / 65536.0;
        assert_eq!(mu16::dequantise(q, step), exact);
        assert_eq!(*x, exact as f32);
    }
}

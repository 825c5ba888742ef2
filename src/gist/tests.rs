//! Views, builders, injection and extraction, against expectations written by hand.
extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::engram::ggml::GgmlType;
use crate::engram::{KeyShape, KeySource};
use crate::error::ErrorKind;
use crate::frame::{ContextHash, Element, Frame};
use crate::mirror::Scalar;

const SHAPE: KeyShape = KeyShape { layers: 2, heads: 3, tokens: 2, head_dim: 5 };

/// The component at each place says the place.
fn value(part: Part, layer: u32, head: u32, token: u32, i: u32) -> f32 {
    let sign = if part == Part::Keys { 1.0 } else { -1.0 };
    sign * (((layer * 3 + head) * 2 + token) * 5 + i) as f32
}

fn each(mut take: impl FnMut(Part, u32, u32, u32, u32)) {
    for layer in 0..2 {
        for part in Part::BOTH {
            for head in 0..3 {
                for token in 0..2 {
                    for i in 0..5 {
                        take(part, layer, head, token, i);
                    }
                }
            }
        }
    }
}

fn payload() -> Vec<u8> {
    let mut bytes = Vec::new();
    each(|part, layer, head, token, i| bytes.extend(value(part, layer, head, token, i).to_le_bytes()));
    bytes
}

fn encode(builder: &GistBuilder<'_>, context: Option<&'static [u8]>) -> Vec<u8> {
    let ctx = context.map_or(ContextHash([7; 8]), ContextHash::of);
    let frame = builder.to_frame(ctx).unwrap().known_context(context).unwrap();
    let mut out = vec![0; frame.encoded_len().unwrap()];
    frame.encode_into(&mut out).unwrap();
    out
}

#[test]
fn every_row_is_where_the_layout_has_it() {
    let payload = payload();
    let root = [9; 32];
    let builder = GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap().source(1000, Some(&root));
    let bytes = encode(&builder.metadata("{\"a\": 1}"), None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    assert_eq!((gist.shape(), gist.scalar(), gist.payload()), (SHAPE, Scalar::F32, &payload[..]));
    assert_eq!((gist.source_tokens(), gist.source_root()), (1000, Some(&root)));
    assert_eq!(gist.metadata(), Some("{\"a\": 1}"));
    assert!(gist.is_finite());
    let mut row = [0.0; 5];
    each(|part, layer, head, token, i| {
        gist.rows(part).key_into(layer, head, token, &mut row).unwrap();
        let expected = value(part, layer, head, token, i);
        assert_eq!(row[i as usize], expected);
        let block = gist.head(part, layer, head).unwrap().block(token).unwrap();
        assert_eq!(block[4 * i as usize..][..4], expected.to_le_bytes());
        let in_layer = ((head * 2 + token) * 5 + i) as usize;
        assert_eq!(gist.layer(part, layer).unwrap()[4 * in_layer..][..4], expected.to_le_bytes());
    });
    assert!(gist.layer(Part::Keys, 2).is_none() && gist.head(Part::Keys, 2, 0).is_none());
    assert!(gist.head(Part::Values, 1, 3).is_none());
    let keys = gist.rows(Part::Keys);
    for (layer, head, token) in [(2, 0, 0), (0, 3, 0), (0, 0, 2)] {
        let refused = keys.key_into(layer, head, token, &mut row).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::PastEnd { .. }));
    }
    assert!(keys.key_into(0, 0, 0, &mut [0.0; 4]).is_err());
}

#[test]
fn ratios_by_tokens_and_by_bytes() {
    let payload = payload();
    let builder = GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap();
    let bytes = encode(&builder, None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    assert_eq!(
        (gist.source_root(), gist.token_ratio(), gist.byte_ratio(GgmlType::F16)),
        (None, None, Ok(None))
    );
    let bytes = encode(&builder.clone().source(800, None), None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    assert_eq!(gist.token_ratio(), Some(400.0));
    // 800 tokens * 2 layers * 2 * 15 components of 2 bytes = 96,000, against 120 f32 = 480.
    assert_eq!(gist.byte_ratio(GgmlType::F16), Ok(Some(200.0)));
    // The full cache is 2^64 - 1 times 120 bytes, which no 64 bits count: times 2^64 / 4.
    let bytes = encode(&builder.source(u64::MAX, None), None);
    let most = GistView::parse_exact(&bytes).unwrap();
    assert_eq!(most.byte_ratio(GgmlType::F16), Ok(Some(4_611_686_018_427_387_904.0)));
    // 15 components are no whole number of blocks of 32.
    assert!(matches!(gist.byte_ratio(GgmlType::Q8_0).unwrap_err().kind(), ErrorKind::Argument { .. }));
}

#[test]
fn builders_refuse_what_a_reader_would() {
    let kind = |shape, len: usize| GistBuilder::new(shape, Scalar::F16, &vec![0; len]).unwrap_err().kind();
    for zero in [
        KeyShape { layers: 0, ..SHAPE },
        KeyShape { heads: 0, ..SHAPE },
        KeyShape { tokens: 0, ..SHAPE },
        KeyShape { head_dim: 0, ..SHAPE },
    ] {
        assert!(matches!(kind(zero, 0), ErrorKind::Argument { .. }));
    }
    assert!(matches!(kind(SHAPE, 239), ErrorKind::Shape { needed: 240, found: 239, .. }));
    let many = KeyShape { layers: 1 << 16, heads: 1 << 15, tokens: 1, head_dim: 1 };
    assert!(matches!(kind(many, 0), ErrorKind::TooLarge { found: 0x1_0000_0000, .. }));
    let beyond = KeyShape { layers: u32::MAX, heads: u32::MAX, tokens: u32::MAX, head_dim: 1 };
    assert!(matches!(kind(beyond, 0), ErrorKind::Size { .. }));
    let long = "x".repeat(65_536);
    let payload = payload();
    let builder = GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap().metadata(&long);
    assert!(matches!(builder.to_frame(ContextHash([0; 8])).unwrap_err().kind(), ErrorKind::TooLarge { .. }));
}

const CONTEXT: &[u8] = br#"{"dim":5,"model_id":"m","pi_id":"p","space_id":"s"}"#;

#[test]
fn a_gist_goes_into_its_own_model_alone() {
    let payload = payload();
    let builder = GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap();
    let bytes = encode(&builder, Some(CONTEXT));
    let gist = GistView::parse_exact(&bytes).unwrap();
    gist.for_model(&br#"{"dim":4096,"model_id":"m","pi_id":"p","space_id":"s"}"#[..]).unwrap();
    let other = gist.for_model(&br#"{"dim":5,"model_id":"n","pi_id":"p","space_id":"s"}"#[..]);
    assert_eq!(other.unwrap_err().kind(), ErrorKind::ContextDiffers);
    let further = gist.for_model(&br#"{"dim":5,"model_id":"m","pi_id":"p","rope":1,"space_id":"s"}"#[..]);
    assert_eq!(further.unwrap_err().kind(), ErrorKind::ContextDiffers);
    assert!(matches!(gist.for_model(&b"{}"[..]).unwrap_err().kind(), ErrorKind::Context { .. }));
    let kind = gist.for_model(None).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NoContext { field: "the model" });
    let bytes = encode(&builder, None);
    let gist = GistView::parse_exact(&bytes).unwrap();
    for model in [Some(CONTEXT), None] {
        let kind = gist.for_model(model).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::NoContext { field: "the gist" });
    }
}

#[test]
fn a_cache_gets_the_rows_and_keeps_the_others() {
    let payload = payload();
    let bytes = encode(&GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap(), None);
    let injection = GistView::parse_exact(&bytes).unwrap().for_model_unchecked();
    let shape = KeyShape { tokens: 4, ..SHAPE };
    // As f16: 0x5A5A stands where nothing is to be written.
    let (mut keys, mut values) = (vec![0x5A; 240], vec![0x5A; 240]);
    let mut cache = CacheMut::new(shape, Element::F16, &mut keys, &mut values).unwrap();
    injection.write_into(&mut cache, 1).unwrap();
    for (part, half) in [(Part::Keys, &keys), (Part::Values, &values)] {
        let halves: Vec<u16> = half.chunks(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        for (at, &found) in halves.iter().enumerate() {
            let (i, token, head, layer) = (at % 5, at / 5 % 4, at / 20 % 3, at / 60);
            if token == 0 || token == 3 {
                assert_eq!(found, 0x5A5A);
                continue;
            }
            let expected = value(part, layer as u32, head as u32, token as u32 - 1, i as u32);
            assert_eq!(crate::arch::half::from_f16(found), expected);
        }
    }
    let mut cache = CacheMut::new(shape, Element::F16, &mut keys, &mut values).unwrap();
    let past = injection.write_into(&mut cache, 3).unwrap_err();
    assert!(matches!(past.kind(), ErrorKind::PastEnd { end: 4, found: 5, .. }));
    let past = injection.write_into(&mut cache, u32::MAX).unwrap_err();
    assert!(matches!(past.kind(), ErrorKind::PastEnd { end: 4, .. }));
    let wide = KeyShape { layers: 1, heads: 6, ..shape };
    let mut cache = CacheMut::new(wide, Element::F16, &mut keys, &mut values).unwrap();
    assert!(matches!(injection.write_into(&mut cache, 0).unwrap_err().kind(), ErrorKind::Shape { .. }));
    assert!(CacheMut::new(shape, Element::F32, &mut keys, &mut values).is_err());
    assert!(CacheMut::new(shape, Element::I16, &mut keys, &mut values).is_err());
}

#[test]
fn broken_gists_are_refused_where_they_break() {
    let payload = payload();
    let bytes = encode(&GistBuilder::new(SHAPE, Scalar::F32, &payload).unwrap(), None);
    // CONFIG_V1's value is at 15, FLAGS_V1 (7 bytes) at 39, GIST_V1's value at 49.
    let refusal = |at: usize, patch: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        let end = bytes.len() - 2;
        let crc = crate::frame::crc16(&bytes[4..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
        GistView::from_frame(&Frame::parse_exact(&bytes).unwrap()).map(|_| ()).unwrap_err()
    };
    for (at, patch, offset) in [
        (15, &[6][..], 15),
        (16, &[4], 16),
        (49, &[0; 4], 49),
        (53, &[0; 4], 53),
        (57, &[0; 4], 57),
        (61, &[0; 4], 61),
        (49, &[0, 0, 0, 3], 19),
        (49, &[0xFF; 12], 49),
        (61, &[0, 0, 0, 4], 23),
    ] {
        assert_eq!(refusal(at, patch).offset(), offset, "{at} {patch:?}");
    }
}

#[cfg(feature = "alloc")]
mod payloads {
    use super::*;
    use crate::beacon::StepChoice;
    use crate::beacon::mu16::Step;
    use crate::engram::Keys;

    /// One layer and head, four tokens of two components.
    const FULL: KeyShape = KeyShape { layers: 1, heads: 1, tokens: 4, head_dim: 2 };

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn extract(keys: [f32; 8], values: [f32; 8], store: Store) -> crate::Result<GistPayload> {
        let (keys, values) = (bytes(&keys), bytes(&values));
        let (keys, values) = (Keys::from_f32(FULL, &keys)?, Keys::from_f32(FULL, &values)?);
        GistPayload::extract(&keys, &values, 1..3, store)
    }

    const KEYS: [f32; 8] = [9.0, 9.0, 0.5, -1.0, 0.25, 2.0, 9.0, 9.0];
    const VALUES: [f32; 8] = [8.0, 8.0, 1.0, 0.0, -0.5, 0.1, 8.0, 8.0];

    #[test]
    fn the_rows_of_a_range() {
        let gist = extract(KEYS, VALUES, Store::F32).unwrap();
        assert_eq!(gist.as_bytes(), bytes(&[0.5, -1.0, 0.25, 2.0, 1.0, 0.0, -0.5, 0.1]));
        assert_eq!((gist.shape().tokens, gist.scalar()), (2, Scalar::F32));
        let loss = gist.loss();
        assert_eq!((loss.max_error, loss.rms_error, loss.saturated, loss.non_finite), (0.0, 0.0, 0, 0));
        // (0.25 + 1 + 0.0625 + 4 + 1 + 0 + 0.25 + 0.01) / 8, where 0.1 is the f32.
        assert!((loss.rms_value - (6.5725f64 / 8.0).sqrt()).abs() < 1e-8);
    }

    #[test]
    fn what_storing_costs_is_said() {
        // Step 2^-2: 0.5, -1, 0.25, 2, 1, 0, -0.5 are multiples of it, and 0.1 becomes 0.
        let step = Step::new(16_384).unwrap();
        let gist = extract(KEYS, VALUES, Store::Mu16(StepChoice::Fixed(step))).unwrap();
        let q: Vec<i16> = gist.as_bytes().chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(q, [2, -4, 1, 8, 4, 0, -2, 0]);
        let loss = gist.loss();
        assert_eq!(loss.max_error, f64::from(0.1_f32));
        assert!((loss.rms_error - f64::from(0.1_f32) / 8.0_f64.sqrt()).abs() < 1e-15);
        assert_eq!(loss.saturated, 0);
        // The largest is 2: a step of 2^-14 would put it at 32,768, so the smallest that holds it is 5 * 2^-16.
        let gist = extract(KEYS, VALUES, Store::Mu16(StepChoice::Auto)).unwrap();
        assert_eq!(gist.scalar().delta_q16(), 5);
        assert!(gist.loss().max_error <= 2.5 / 65_536.0 && gist.loss().max_error > 0.0);
        // Step 2^-16: all but 0.25, 0, 0.1 and the two 0.5 (32,768, but -32,768) are beyond +-0.5.
        let least = Step::new(1).unwrap();
        let gist = extract(KEYS, VALUES, Store::Mu16(StepChoice::Fixed(least))).unwrap();
        assert_eq!(gist.loss().saturated, 4);
        let f16 = extract(KEYS, VALUES, Store::F16).unwrap();
        let error = (f64::from(0.1_f32) - 0.099_975_585_937_5).abs();
        assert_eq!(f16.loss().max_error, error);
        let bf16 = extract(KEYS, VALUES, Store::Bf16).unwrap();
        let error = (f64::from(0.1_f32) - 0.100_097_656_25).abs();
        assert_eq!(bf16.loss().max_error, error);
    }

    #[test]
    fn values_that_are_no_numbers() {
        let mut values = VALUES;
        values[5] = f32::NAN; // The second component of the second gist: row 3 of the payload.
        for choice in [StepChoice::Auto, StepChoice::Fixed(Step::MAX)] {
            let refused = extract(KEYS, values, Store::Mu16(choice)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::NonFinite { row: 3, column: 1 });
        }
        let gist = extract(KEYS, values, Store::F16).unwrap();
        assert_eq!((gist.loss().non_finite, &gist.as_bytes()[14..]), (1, &[0x00, 0x7E][..]));
        values[5] = 1e30;
        let gist = extract(KEYS, values, Store::F16).unwrap();
        assert_eq!((gist.loss().max_error, gist.loss().non_finite), (f64::INFINITY, 0));
        let frame = gist.builder().unwrap();
        assert!(!GistView::parse_exact(&encode(&frame, None)).unwrap().is_finite());
        // Outside the range they do not matter.
        values[5] = 0.0;
        values[7] = f32::NAN;
        extract(KEYS, values, Store::Mu16(StepChoice::Auto)).unwrap();
    }

    #[test]
    fn a_conversion_keeps_the_bits_of_the_same_type() {
        let shape = KeyShape { layers: 1, heads: 1, tokens: 1, head_dim: 2 };
        // A signalling NaN of binary16, -0, the least subnormal and 1.
        let f16 = [0x01, 0x7C, 0x00, 0x80, 0x01, 0x00, 0x00, 0x3C];
        let same = GistPayload::convert(shape, Scalar::F16, &f16, Store::F16).unwrap();
        assert_eq!((same.as_bytes(), same.loss().non_finite), (&f16[..], 1));
        let wide = GistPayload::convert(shape, Scalar::F16, &f16[..], Store::F32).unwrap();
        assert_eq!(wide.as_bytes()[4..], bytes(&[-0.0, 5.960_464_5e-8, 1.0]));
        assert!(GistPayload::convert(shape, Scalar::F16, &f16[1..], Store::F16).is_err());
    }

    #[test]
    fn ranges_and_shapes_that_do_not_fit() {
        let all = bytes(&[0.0; 8]);
        let keys = Keys::from_f32(FULL, &all).unwrap();
        let kind = |range| GistPayload::extract(&keys, &keys, range, Store::F32).unwrap_err().kind();
        assert!(matches!(kind(2..5), ErrorKind::PastEnd { end: 4, found: 5, .. }));
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = kind(3..2);
        assert!(matches!(reversed, ErrorKind::Argument { .. }));
        assert!(matches!(kind(1..1), ErrorKind::Argument { .. }));
        let other = Keys::from_f32(KeyShape { tokens: 2, head_dim: 4, ..FULL }, &all).unwrap();
        let refused = GistPayload::extract(&keys, &other, 0..1, Store::F32).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Shape { needed: 4, found: 2, .. }));
    }
}

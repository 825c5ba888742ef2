extern crate std;
use std::vec;
use std::vec::Vec;

use super::Whitening;
use crate::error::{Error, ErrorKind};
use crate::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType};

fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Two components to three: mean (1, -2), directions (1, 0), (0.5, 0.5), (0, -4).
const VALUES: [f32; 8] = [1.0, -2.0, 1.0, 0.0, 0.5, 0.5, 0.0, -4.0];

fn frame_of(config: Config, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len() + 500];
    let len = FrameBuilder::new(ContextHash([7; 8]), config, payload).encode_into(&mut out).unwrap();
    out.truncate(len);
    out
}

const CONFIG: Config =
    Config { kind: Kind::WHITENING, element: Element::F32, rows: 4, dim: 2, delta_q16: 0, payload_len: 0 };

#[test]
fn by_hand() {
    let bytes = f32_bytes(&VALUES);
    let whitening = Whitening::new(2, 3, &bytes).unwrap();
    let mut y = [0.0; 3];
    // (3, 2) - (1, -2) = (2, 4)
    whitening.apply_into(&[3.0, 2.0], &mut y).unwrap();
    assert_eq!(y, [2.0, 3.0, -16.0]);
    let mut leading = [0.0; 2];
    whitening.apply_into(&[3.0, 2.0], &mut leading).unwrap();
    assert_eq!(leading, [2.0, 3.0]);
    let mut rows = [0.0; 4];
    whitening.apply_rows_into(&mut [3.0, 2.0, 1.0, -1.0], 2, &mut rows).unwrap();
    assert_eq!(rows, [2.0, 3.0, 0.0, 0.5]);
    assert!(whitening.mean().eq([1.0, -2.0]));
    assert!(whitening.direction(2).unwrap().eq([0.0, -4.0]));
    assert!(whitening.direction(3).is_none());
    assert_eq!(whitening.prefix(), None);

    let kind = |error: Error| (error.kind(), error.place());
    let refused = whitening.apply_into(&[3.0], &mut y).unwrap_err();
    assert_eq!(kind(refused), (ErrorKind::BufferTooSmall { needed: 2, available: 1 }, None));
    let refused = whitening.apply_into(&[3.0; 3], &mut y).unwrap_err();
    assert_eq!(kind(refused).0, ErrorKind::Shape { field: "the key", needed: 2, found: 3 });
    let refused = whitening.apply_into(&[3.0; 2], &mut [0.0; 4]).unwrap_err();
    let field = "the number of components";
    assert_eq!(kind(refused).0, ErrorKind::TooLarge { field, max: 3, found: 4 });
    assert!(whitening.apply_rows_into(&mut [3.0; 3], 2, &mut [0.0; 2]).is_err());
    assert!(whitening.apply_rows_into(&mut [3.0; 2], 0, &mut []).is_err());
    assert!(whitening.apply_rows_into(&mut [3.0; 4], 2, &mut [0.0; 3]).is_err());
}

#[test]
fn a_frame_and_back() {
    let bytes = f32_bytes(&VALUES);
    let mut out = [0; 300];
    let builder = Whitening::to_frame(2, 3, &bytes, ContextHash([7; 8])).unwrap();
    let len = builder.encode_into(&mut out).unwrap();
    let frame = Frame::parse_exact(&out[..len]).unwrap();
    let whitening = Whitening::from_frame(&frame).unwrap();
    assert_eq!((whitening.dim(), whitening.outputs()), (2, 3));
    assert!(whitening.mean().eq([1.0, -2.0]) && whitening.direction(1).unwrap().eq([0.5, 0.5]));
    assert_eq!(whitening.prefix().unwrap(), frame.digest().unwrap()[..8]);

    // A small frame of another writer may have no digest.
    let bare = frame_of(CONFIG, &bytes);
    assert_eq!(Whitening::from_frame(&Frame::parse_exact(&bare).unwrap()).unwrap().prefix(), None);
}

#[test]
fn frames_that_are_refused() {
    let bytes = f32_bytes(&VALUES);
    // CONFIG_V1's value starts after magic, ctx and 3 bytes of its header.
    let at = |field: u64| Some(4 + 8 + 3 + field);
    let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
    let cases = [
        (Config { kind: Kind::BLOCKS, ..CONFIG }, &bytes[..], ErrorKind::Kind { needed: 7, found: 6 }, at(0)),
        (
            Config { element: Element::F16, ..CONFIG },
            &bytes,
            ErrorKind::Code { field: "CONFIG_V1.element", found: 5 },
            at(1),
        ),
        (Config { rows: 1, ..CONFIG }, &bytes, shape("CONFIG_V1.rows", 2, 1), at(4)),
        (Config { rows: 0, dim: 0, ..CONFIG }, &[], shape("CONFIG_V1.rows", 2, 0), at(4)),
        (Config { dim: 0, ..CONFIG }, &[], shape("CONFIG_V1.dim", 1, 0), at(8)),
        (CONFIG, &bytes[..28], shape("CONFIG_V1.payload_len", 32, 28), at(16)),
        (Config { rows: 3, ..CONFIG }, &bytes, shape("CONFIG_V1.payload_len", 24, 32), at(16)),
    ];
    for (config, payload, kind, place) in cases {
        let frame = frame_of(config, payload);
        let error = Whitening::from_frame(&Frame::parse_exact(&frame).unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.place()), (kind, place), "{config:?}");
    }

    // Not finite: in the mean, and in the last direction.
    for (index, value) in [(1, f32::NAN), (7, f32::NEG_INFINITY)] {
        let mut values = VALUES;
        values[index] = value;
        let frame = frame_of(CONFIG, &f32_bytes(&values));
        let parsed = Frame::parse_exact(&frame).unwrap();
        let error = Whitening::from_frame(&parsed).unwrap_err();
        // The payload ends two bytes before the frame.
        let place = (frame.len() - 2 - 4 * (8 - index)) as u64;
        assert_eq!(error, Error::new(ErrorKind::Number { field: "a value of the whitening" }, place));
        let error = Whitening::new(2, 3, &f32_bytes(&values)).unwrap_err();
        let (row, column) = (index as u64 / 2, index as u64 % 2);
        assert_eq!(error, Error::caller(ErrorKind::NonFinite { row, column }));
    }
    assert!(Whitening::new(2, 3, &bytes[1..]).is_err());
    assert!(Whitening::new(0, 3, &[]).is_err() && Whitening::new(3, 0, &bytes[..12]).is_err());
}

#[test]
fn a_tlv_that_does_not_belong_is_refused() {
    let bytes = f32_bytes(&VALUES);
    let mut out = [0; 300];
    let builder = FrameBuilder::new(ContextHash([7; 8]), CONFIG, &bytes);
    let len = builder.tlv(TlvType::RESULTS, b"{}").unwrap().encode_into(&mut out).unwrap();
    let error = Whitening::from_frame(&Frame::parse_exact(&out[..len]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignTlv { tlv: 4, kind: 7 });
}

#[cfg(feature = "alloc")]
mod alloc {
    use super::*;
    use crate::engram::whitening::WhitenedTokens;
    use crate::engram::{KeyShape, KeySource};

    /// Real keys of one head of a trained encoder, and what NumPy makes of them in f64.
    pub(super) struct Vectors(serde_json::Value);

    impl Vectors {
        pub(super) fn read() -> Self {
            let text = include_str!("../../../tests/data/engram/whitening.json");
            Self(serde_json::from_str(text).unwrap())
        }

        #[cfg(feature = "linalg")]
        pub(super) fn number(&self, name: &str) -> f64 {
            self.0[name].as_f64().unwrap()
        }

        pub(super) fn list(&self, pointer: &str) -> Vec<f64> {
            let list = self.0.pointer(pointer).unwrap().as_array().unwrap();
            list.iter().map(|x| x.as_f64().unwrap()).collect()
        }

        /// The keys of some documents, one after the other.
        pub(super) fn keys(&self, documents: &[usize]) -> Vec<f32> {
            let tokens = documents.iter().flat_map(|&i| self.0["keys"][i].as_array().unwrap());
            let values = tokens.flat_map(|token| token.as_array().unwrap());
            values.map(|x| x.as_f64().unwrap() as f32 / 16.0).collect()
        }

        /// The whitening, in f32.
        fn bytes(&self) -> Vec<u8> {
            let mut values = self.list("/mean");
            for i in 0..20 {
                values.extend(self.list(&std::format!("/directions/{i}")));
            }
            values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect()
        }
    }

    pub(super) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - b).abs() <= tolerance, "component {i}: {a} is not {b}");
        }
    }

    #[test]
    fn the_weighted_mean_is_numpys() {
        let vectors = Vectors::read();
        let bytes = vectors.bytes();
        let whitening = Whitening::new(24, 20, &bytes).unwrap();
        for document in 0..3 {
            let tokens = WhitenedTokens::from_rows(&whitening, &vectors.keys(&[document]), 20).unwrap();
            let expected = vectors.list(&std::format!("/whitened_mean/{document}"));
            assert_close(&tokens.mean().unwrap(), &expected, 2e-6);
        }
    }

    #[test]
    fn the_centroids_are_numpys() {
        let vectors = Vectors::read();
        let bytes = vectors.bytes();
        let whitening = Whitening::new(24, 20, &bytes).unwrap();
        // The second are 411 tokens: more than are kept at a time.
        for (case, documents, count) in [(0, &[0][..], 5), (1, &[0, 1, 2], 12)] {
            let tokens = WhitenedTokens::from_rows(&whitening, &vectors.keys(documents), 16).unwrap();
            let found = tokens.centroids(count).unwrap();
            let expected = vectors.list(&std::format!("/centroids/{case}/vectors"));
            assert_close(&found, &expected, 2e-6);
        }
    }

    /// Directions 1, 2 of the identity: whitened keys are the keys.
    fn identity() -> Vec<u8> {
        f32_bytes(&[0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    }

    #[test]
    fn centroids_by_hand() {
        let bytes = identity();
        let whitening = Whitening::new(2, 2, &bytes).unwrap();
        let centroids =
            |rows: &[f32], count| WhitenedTokens::from_rows(&whitening, rows, 2).unwrap().centroids(count);
        // The two that point the same way lose nothing.
        assert_eq!(centroids(&[3.0, 0.0, 0.0, 2.0, 1.0, 0.0], 2).unwrap(), [1.0, 0.0, 0.0, 1.0]);
        // (4, 0) and (0, 1) have |y|^1.5 = 8 and 1.
        let one = centroids(&[4.0, 0.0, 0.0, 1.0], 1).unwrap();
        let length = 65.0f64.sqrt();
        assert_close(&one, &[8.0 / length, 1.0 / length], 1e-7);
        // Fewer than asked for are repeated; zeros say nothing.
        assert_eq!(centroids(&[0.0, 0.0, 0.0, -2.0], 3).unwrap(), [0.0, -1.0, 0.0, -1.0, 0.0, -1.0]);
        // Of equal losses the first pair.
        let right_angles = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0];
        let half = 0.5f64.sqrt();
        assert_close(&centroids(&right_angles, 3).unwrap(), &[half, half, -1.0, 0.0, 0.0, -1.0], 1e-7);

        let number = ErrorKind::Number { field: "the sum of the tokens' weights" };
        assert_eq!(centroids(&[0.0, 0.0], 1).unwrap_err().kind(), number);
        assert_eq!(
            WhitenedTokens::from_rows(&whitening, &[0.0, 0.0], 2).unwrap().mean().unwrap_err().kind(),
            number
        );
        for count in [0, 257] {
            assert!(matches!(centroids(&[1.0, 0.0], count).unwrap_err().kind(), ErrorKind::Argument { .. }));
        }
    }

    /// Two layers of two heads of one component; layer 1 is the one asked for.
    struct Source(Vec<[f32; 2]>);

    impl KeySource for Source {
        fn shape(&self) -> KeyShape {
            KeyShape { layers: 2, heads: 2, tokens: self.0.len() as u32, head_dim: 1 }
        }

        fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> crate::error::Result<()> {
            let past = ErrorKind::PastEnd { field: "token", end: self.0.len() as u64, found: token.into() };
            let key = self.0.get(token as usize).ok_or(Error::caller(past))?;
            out[0] = if layer == 1 { key[head as usize] } else { f32::NAN };
            Ok(())
        }
    }

    #[test]
    fn tokens_of_a_source() {
        let bytes = identity();
        let whitening = Whitening::new(2, 2, &bytes).unwrap();
        // 100 tokens: more than are fetched at once.
        let mut source = Source((0..100).map(|i| [i as f32, 1.0]).collect());
        let tokens = WhitenedTokens::new(&whitening, &source, 1, 1..99, 2).unwrap();
        assert_eq!((tokens.count(), tokens.components()), (98, 2));
        let expected: Vec<f32> = (1..99).flat_map(|i| [i as f32, 1.0]).collect();
        assert_eq!(tokens.values(), expected);
        let weights: Vec<f32> = (1..99).map(|i| (i * i + 1) as f32).collect();
        assert_eq!(tokens.weights(), weights);
        let leading = WhitenedTokens::new(&whitening, &source, 1, 98..99, 1).unwrap();
        assert_eq!((leading.values(), leading.weights()), (&[98.0][..], &[9604.0][..]));

        let refused = |source: &Source, tokens, components| {
            WhitenedTokens::new(&whitening, source, 1, tokens, components).unwrap_err().kind()
        };
        assert_eq!(refused(&source, 3..3, 2), ErrorKind::WindowRows { needed: 1, found: 0 });
        assert!(matches!(refused(&source, 99..101, 2), ErrorKind::PastEnd { .. }));
        assert!(matches!(refused(&source, 0..9, 3), ErrorKind::TooLarge { .. }));
        assert!(matches!(refused(&source, 0..9, 0), ErrorKind::Argument { .. }));
        source.0[70][1] = f32::INFINITY;
        assert_eq!(refused(&source, 5..90, 2), ErrorKind::NonFinite { row: 70, column: 1 });
        // The squared norm is beyond f32.
        source.0[70][1] = 3e38;
        assert!(matches!(refused(&source, 5..90, 2), ErrorKind::NonFinite { row: 70, .. }));
        assert!(WhitenedTokens::new(&whitening, &source, 1, 5..70, 2).is_ok());

        let wide = f32_bytes(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        let wide = Whitening::new(3, 1, &wide).unwrap();
        let field = "heads * head_dim";
        let error = WhitenedTokens::new(&wide, &source, 1, 0..9, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape { field, needed: 3, found: 2 });
        assert!(WhitenedTokens::from_rows(&whitening, &[1.0; 3], 2).is_err());
        assert!(WhitenedTokens::from_rows(&whitening, &[], 2).is_err());
    }

    /// Every pair looked at before each joining, nothing remembered.
    fn naive(rows: &[[f64; 2]], count: usize) -> Vec<[f64; 2]> {
        let mut places: Vec<Option<[f64; 2]>> = vec![];
        let norm = |s: [f64; 2]| (s[0] * s[0] + s[1] * s[1]).sqrt();
        let join = |places: &mut Vec<Option<[f64; 2]>>| {
            let mut best = (f64::INFINITY, 0, 0);
            for i in 0..places.len() {
                for j in i + 1..places.len() {
                    let (Some(a), Some(b)) = (places[i], places[j]) else { continue };
                    let loss = norm(a) + norm(b) - norm([a[0] + b[0], a[1] + b[1]]);
                    if loss < best.0 {
                        best = (loss, i, j);
                    }
                }
            }
            let (a, b) = (places[best.1].unwrap(), places[best.2].take().unwrap());
            places[best.1] = Some([a[0] + b[0], a[1] + b[1]]);
        };
        for row in rows {
            if places.iter().flatten().count() > 256 {
                join(&mut places);
            }
            let weight = norm(*row).sqrt();
            let sum = Some([row[0] * weight, row[1] * weight]);
            match places.iter().position(Option::is_none) {
                Some(free) => places[free] = sum,
                None => places.push(sum),
            }
        }
        while places.iter().flatten().count() > count {
            join(&mut places);
        }
        places.into_iter().flatten().map(|s| [s[0] / norm(s), s[1] / norm(s)]).collect()
    }

    #[test]
    fn joining_remembers_no_wrong_partner() {
        let bytes = identity();
        let whitening = Whitening::new(2, 2, &bytes).unwrap();
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        };
        for (tokens, count) in [(2, 1), (20, 3), (100, 7), (257, 200), (258, 30), (300, 9)] {
            let rows: Vec<[f32; 2]> = (0..tokens).map(|_| [next(), next()]).collect();
            let flat: Vec<f32> = rows.iter().flatten().copied().collect();
            let found = WhitenedTokens::from_rows(&whitening, &flat, 2).unwrap().centroids(count).unwrap();
            let wide: Vec<[f64; 2]> = rows.iter().map(|row| row.map(f64::from)).collect();
            let expected: Vec<f64> = naive(&wide, count).into_iter().flatten().collect();
            assert_close(&found, &expected, 1e-6);
        }
    }
}

#[cfg(feature = "linalg")]
mod fit {
    use super::alloc::{Vectors, assert_close};
    use super::*;
    use crate::engram::whitening::{DEFAULT_SHRINKAGE, WhiteningFit};

    #[test]
    fn the_fit_is_numpys() {
        let vectors = Vectors::read();
        assert_eq!(vectors.number("shrinkage"), DEFAULT_SHRINKAGE);
        let mut fit = WhiteningFit::new(24).unwrap();
        for document in 0..3 {
            fit.push_rows(&vectors.keys(&[document])).unwrap();
        }
        assert_eq!(fit.count(), 411);
        let fitted = fit.fit(20, DEFAULT_SHRINKAGE).unwrap();
        for (a, b) in fitted.eigenvalues().iter().zip(vectors.list("/eigenvalues")) {
            assert!((a / b - 1.0).abs() < 1e-8, "{a} is not {b}");
        }
        let whitening = fitted.view().unwrap();
        assert_close(&whitening.mean().collect::<Vec<_>>(), &vectors.list("/mean"), 1e-7);
        // The signs too: the rule is the same.
        for i in 0..20 {
            let direction: Vec<f32> = whitening.direction(i).unwrap().collect();
            assert_close(&direction, &vectors.list(&std::format!("/directions/{i}")), 1e-6);
        }
        // More directions change nothing of the first ones.
        let all = fit.fit(24, DEFAULT_SHRINKAGE).unwrap();
        let all = all.view().unwrap();
        assert!((0..20).all(|i| all.direction(i).unwrap().eq(whitening.direction(i).unwrap())));

        let mut out = vec![0; 4000];
        let len = fitted.to_frame(ContextHash([1; 8])).unwrap().encode_into(&mut out).unwrap();
        let read = Whitening::from_frame(&Frame::parse_exact(&out[..len]).unwrap()).unwrap();
        assert!(read.mean().eq(whitening.mean()) && read.prefix().is_some());
    }

    #[test]
    fn what_cannot_be_fitted() {
        let kind =
            |fit: &mut WhiteningFit, outputs, shrinkage| fit.fit(outputs, shrinkage).unwrap_err().kind();
        let mut fit = WhiteningFit::new(2).unwrap();
        assert_eq!(kind(&mut fit, 1, 0.3), ErrorKind::WindowRows { needed: 2, found: 0 });
        fit.push_rows(&[1.0, 2.0]).unwrap();
        assert_eq!(kind(&mut fit, 1, 0.3), ErrorKind::WindowRows { needed: 2, found: 1 });
        // All keys the same: nothing to divide by.
        fit.push_rows(&[1.0, 2.0]).unwrap();
        assert_eq!(kind(&mut fit, 1, 0.3), ErrorKind::Number { field: "a value of the whitening" });
        for (outputs, shrinkage) in [(0, 0.3), (3, 0.3), (1, -0.1), (1, f64::NAN), (1, f64::INFINITY)] {
            assert!(matches!(kind(&mut fit, outputs, shrinkage), ErrorKind::Argument { .. }));
        }
        assert_eq!(
            fit.push_rows(&[f32::NAN, 0.0]).unwrap_err().kind(),
            ErrorKind::NonFinite { row: 2, column: 0 }
        );
        assert_eq!(fit.count(), 2);
        assert!(WhiteningFit::new(0).is_err() && WhiteningFit::new(8193).is_err());
        // Along a line: with shrinkage the other direction is finite.
        fit.push_rows(&[3.0, 2.0]).unwrap();
        assert!(fit.fit(2, 0.3).is_ok());
        assert_eq!(kind(&mut fit, 2, 0.0), ErrorKind::Number { field: "a value of the whitening" });
    }
}

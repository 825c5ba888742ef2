//! Gists as frames, their rows stored anew and put into caches, what they are bound to, and where their tokens are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::mend::mended;
use super::second_gist::{self as second, As, Gist, Refused, Stored};
use super::second_mirror::{narrowed, widened};
use super::{Choices, plausible, turn};
use crate::beacon::StepChoice;
use crate::beacon::mu16::Step;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind};
use crate::frame::{Context, Element, Frame, TlvType};
use crate::gist::{CacheMut, GistBuilder, GistIds, GistPayload, GistView, Part, Store};
use crate::mirror::Scalar;

/// [`GistView::from_frame`]: what a gist holds is what a second reader finds, what a writer could have written is written again
/// to the byte, its rows stored anew, taken out and put into a cache are what loops over f32 make of them, and it goes into
/// another model's cache if a comparison of JSON says so. Then the run of gist tokens in a text that is made of the input.
pub fn gist(data: &[u8]) {
    run(&mut Choices(data));
    if turn(data, 8) {
        models(&mut Choices(data));
    }
    let view = |frame: &Frame<'_>| GistView::from_frame(frame).map(|_| ());
    let Some(bytes) = mended(data, view, second::gist) else { return };
    let view = GistView::parse_exact(&bytes).unwrap();
    let (naive, _) = second::gist_parts(&bytes).unwrap();
    read_alike(&view, &naive);
    rewritten(&view, &bytes);
    let values = naive.values();
    rows_alike(&view, &naive, &values);
    let mut choices = Choices(data.get(naive.payload.len().min(data.len() / 2)..).unwrap_or_default());
    stored_alike(&view, &naive, &values, &mut choices);
    extracted_alike(&view, &naive, &values, &mut choices);
    injected_alike(&view, &naive, &mut choices);
    if let Some(own) = view.frame().context_json() {
        for_model(&view, own, own);
        let mut other = own.to_vec();
        if !other.is_empty() {
            let at = choices.below(other.len());
            other[at] = choices.byte();
        }
        for_model(&view, own, &other);
        for_model(&view, own, choices.bytes(80));
    }
}

fn shape_of(naive: &Gist) -> KeyShape {
    let [layers, heads, tokens, head_dim] = naive.shape.map(|number| number as u32);
    KeyShape { layers, heads, tokens, head_dim }
}

fn scalar_of(element: u8, delta_q16: u32) -> Scalar {
    match element {
        1 => Scalar::Mu16(Step::new(delta_q16).unwrap()),
        5 => Scalar::F16,
        6 => Scalar::Bf16,
        _ => Scalar::F32,
    }
}

fn read_alike(view: &GistView<'_>, naive: &Gist) {
    assert_eq!(view.shape(), shape_of(naive));
    assert_eq!(view.scalar(), scalar_of(naive.element, naive.delta_q16));
    assert_eq!(view.payload(), naive.payload);
    assert_eq!(view.metadata(), naive.metadata.as_deref());
    assert_eq!(view.source_tokens(), naive.source_tokens);
    assert_eq!(view.source_root().copied().unwrap_or_default(), naive.source_root);
    assert!(view.source_root() != Some(&[0; 32]));
    let ratio = (naive.source_tokens > 0).then(|| naive.source_tokens as f64 / naive.shape[2] as f64);
    assert_eq!(view.token_ratio(), ratio);
}

/// What the accessors give makes the same frame, if it has nothing but what gists have.
fn rewritten(view: &GistView<'_>, bytes: &[u8]) {
    let frame = view.frame();
    let builder = GistBuilder::new(view.shape(), view.scalar(), view.payload()).unwrap();
    let builder = builder.source(view.source_tokens(), view.source_root());
    let builder = view.metadata().into_iter().fold(builder, GistBuilder::metadata);
    let mut written = builder.to_frame(frame.ctx()).unwrap();
    if frame.digest().is_some() {
        written = written.digest();
    }
    if let Some(json) = frame.context_json() {
        written = written.context_json(json).unwrap();
    }
    let written = written.encode().unwrap();
    let is_plain = frame.tlvs().all(|tlv| matches!(tlv.tlv_type, 1 | 2 | 0x13 | 0x80 | 0x82 | 0xF0))
        && frame.tlv(TlvType::FLAGS).is_some_and(|tlv| tlv.value == [0; 4]);
    if is_plain {
        assert_eq!(written, bytes);
    }
    let again = GistView::parse_exact(&written).unwrap();
    assert_eq!((again.shape(), again.scalar()), (view.shape(), view.scalar()));
    assert_eq!((again.metadata(), again.source_root()), (view.metadata(), view.source_root()));
    assert_eq!((again.payload(), again.source_tokens()), (view.payload(), view.source_tokens()));
}

/// The same number, whatever the bits of a NaN.
fn same(found: f32, expected: f32) -> bool {
    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan()
}

fn rows_alike(view: &GistView<'_>, naive: &Gist, values: &[f32]) {
    let ([layers, heads, tokens, head_dim], size) = (naive.shape, naive.size());
    let mut row = alloc::vec![0.0; head_dim];
    for (part, name) in Part::BOTH.into_iter().enumerate() {
        let rows = view.rows(name);
        assert_eq!(rows.shape(), view.shape());
        for layer in 0..layers {
            let start = naive.row_at(part, layer, 0, 0);
            let whole = &naive.payload[start..start + heads * tokens * head_dim * size];
            assert_eq!(view.layer(name, layer as u32), Some(whole));
            for head in 0..heads {
                let blocks = view.head(name, layer as u32, head as u32).unwrap();
                for token in 0..tokens {
                    let at = naive.row_at(part, layer, head, token);
                    assert_eq!(blocks.block(token as u32), Some(&naive.payload[at..at + head_dim * size]));
                    rows.key_into(layer as u32, head as u32, token as u32, &mut row).unwrap();
                    let expected = &values[at / size..][..head_dim];
                    assert!(row.iter().zip(expected).all(|(x, y)| same(*x, *y)), "{row:?} {expected:?}");
                }
                assert!(blocks.block(tokens as u32).is_none());
            }
            assert!(view.head(name, layer as u32, heads as u32).is_none());
        }
        for beyond in [layers as u32, u32::MAX] {
            assert!(view.layer(name, beyond).is_none() && view.head(name, beyond, 0).is_none());
        }
        for [layer, head, token] in [[layers, 0, 0], [0, heads, 0], [0, 0, tokens]] {
            let error = rows.key_into(layer as u32, head as u32, token as u32, &mut row).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
            plausible(&error, 0);
        }
        assert!(rows.key_into(0, 0, 0, &mut row[1..]).is_err());
    }
    assert_eq!(view.is_finite(), values.iter().all(|x| x.is_finite()));
}

const ALL: [As; 5] = [
    As { element: 7, delta_q16: None },
    As { element: 5, delta_q16: None },
    As { element: 6, delta_q16: None },
    As { element: 1, delta_q16: None },
    As { element: 1, delta_q16: Some(1) },
];

fn store_of(how: As) -> Store {
    match (how.element, how.delta_q16) {
        (7, _) => Store::F32,
        (5, _) => Store::F16,
        (6, _) => Store::Bf16,
        (_, None) => Store::Mu16(StepChoice::Auto),
        (_, Some(step)) => Store::Mu16(StepChoice::Fixed(Step::new(step).unwrap())),
    }
}

/// `exact`: the bits of every NaN are those of the naive one.
fn payload_alike(
    found: Result<GistPayload, Error>,
    naive: Result<Stored, Refused>,
    how: As,
    shape: KeyShape,
    exact: bool,
) {
    let (found, naive) = match (found, naive) {
        (Ok(found), Ok(naive)) => (found, naive),
        (Err(error), Err(refused)) => {
            let expected = match refused {
                Refused::NonFinite { row, column } => ErrorKind::NonFinite { row, column },
                Refused::StepRange => ErrorKind::StepRange,
            };
            assert_eq!(error, Error::caller(expected));
            return;
        }
        (found, naive) => panic!("{how:?}: {found:?}, {naive:?}"),
    };
    assert_eq!((found.shape(), found.scalar()), (shape, scalar_of(how.element, naive.delta_q16)));
    if how.element == 7 && !exact {
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        };
        let (one, other) = (floats(found.as_bytes()), floats(&naive.bytes));
        assert!(one.len() == other.len() && one.iter().zip(&other).all(|(x, y)| same(*x, *y)));
    } else {
        assert_eq!(found.as_bytes(), naive.bytes, "{how:?}");
    }
    let loss = found.loss();
    assert_eq!((loss.saturated, loss.non_finite), (naive.saturated, naive.non_finite));
    assert_eq!(loss.max_error, naive.max_error, "{how:?}");
    let off = (loss.rms_error - naive.rms_error).abs();
    assert!(loss.rms_error == naive.rms_error || off <= 1e-12 * naive.rms_error, "{loss:?} {naive:?}");
}

fn stored_alike(view: &GistView<'_>, naive: &Gist, values: &[f32], choices: &mut Choices<'_>) {
    let shape = view.shape();
    let step = (u32::from_le_bytes(choices.array()) >> (choices.byte() % 32)).max(1);
    // One of them for each gist.
    let chosen = naive.payload.iter().map(|byte| usize::from(*byte)).sum::<usize>() % ALL.len();
    let mut how = ALL[chosen];
    how.delta_q16 = how.delta_q16.map(|_| step);
    let found = GistPayload::convert(shape, view.scalar(), view.payload(), store_of(how));
    let mut expected = second::stored(values, naive.shape[3], how);
    // Where nothing changes, no NaN does either.
    let is_same = how.element == naive.element && how.element != 1;
    if let (true, Ok(stored)) = (is_same, &mut expected) {
        stored.bytes.clone_from(&naive.payload);
    }
    payload_alike(found, expected, how, shape, is_same);
    let short = &view.payload()[1..];
    let error = GistPayload::convert(shape, view.scalar(), short, Store::F32).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shape { .. }));
}

/// Some of the gist's tokens, as of a full KV.
fn extracted_alike(view: &GistView<'_>, naive: &Gist, values: &[f32], choices: &mut Choices<'_>) {
    let [layers, heads, tokens, head_dim] = naive.shape;
    let start = choices.below(tokens);
    let end = start + 1 + choices.below(tokens - start);
    let how = ALL[choices.below(4)];
    let mut some = Vec::new();
    for layer in 0..layers {
        for part in 0..2 {
            for head in 0..heads {
                for token in start..end {
                    let at = naive.row_at(part, layer, head, token) / naive.size();
                    some.extend(&values[at..at + head_dim]);
                }
            }
        }
    }
    let [keys, others] = Part::BOTH.map(|part| view.rows(part));
    let positions = start as u32..end as u32;
    let found = GistPayload::extract(&keys, &others, positions, store_of(how));
    let shape = KeyShape { tokens: (end - start) as u32, ..view.shape() };
    payload_alike(found, second::stored(&some, head_dim, how), how, shape, false);
    let past = view.shape().tokens + 1;
    let error = GistPayload::extract(&keys, &others, 0..past, store_of(how)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
    assert!(GistPayload::extract(&keys, &others, 0..0, store_of(how)).is_err());
}

fn injected_alike(view: &GistView<'_>, naive: &Gist, choices: &mut Choices<'_>) {
    let [layers, heads, tokens, head_dim] = naive.shape;
    let (before, behind) = (choices.below(4), choices.below(4));
    let [code, wrong] = choices.array::<2>();
    let (code, element) = [(7, Element::F32), (5, Element::F16), (6, Element::Bf16)][usize::from(code % 3)];
    let size = if code == 7 { 4 } else { 2 };
    let all = before + tokens + behind;
    let shape = KeyShape { tokens: all as u32, ..view.shape() };
    let len = layers * heads * all * head_dim * size;
    if len > 1 << 18 {
        return;
    }
    let blank: Vec<u8> = (0..len).map(|i| i as u8 ^ wrong).collect();
    let mut expected = [blank.clone(), blank.clone()];
    let values = naive.values();
    for (part, half) in expected.iter_mut().enumerate() {
        for layer in 0..layers {
            for head in 0..heads {
                for token in 0..tokens {
                    let from = naive.row_at(part, layer, head, token) / naive.size();
                    let to = ((layer * heads + head) * all + before + token) * head_dim;
                    for i in 0..head_dim {
                        let bytes = if code == naive.element {
                            naive.payload[(from + i) * size..][..size].to_vec()
                        } else {
                            narrowed(code, values[from + i])
                        };
                        half[(to + i) * size..][..size].copy_from_slice(&bytes);
                    }
                }
            }
        }
    }
    let (mut keys, mut others) = (blank.clone(), blank.clone());
    let injection = view.for_model_unchecked();
    assert_eq!(injection.gist().payload(), view.payload());
    let mut cache = CacheMut::new(shape, element, &mut keys, &mut others).unwrap();
    let error = injection.write_into(&mut cache, (before + behind + 1) as u32).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
    assert!(injection.write_into(&mut cache, u32::MAX).is_err());
    let mut cache = CacheMut::new(shape, element, &mut keys, &mut others).unwrap();
    injection.write_into(&mut cache, before as u32).unwrap();
    for (found, expected) in [keys, others].iter().zip(&expected) {
        let components = found.chunks(size).zip(expected.chunks(size));
        for (i, (x, y)) in components.enumerate() {
            // An f32 that was another type's NaN may be any NaN.
            let is_same = x == y || code == 7 && naive.element != 7 && same(widened(7, x), widened(7, y));
            assert!(is_same, "component {i}: {x:02x?}, not {y:02x?}");
        }
    }

    // Another shape: nothing is written.
    let wider = KeyShape { layers: shape.layers + 1, ..shape };
    let len = len / layers * (layers + 1);
    let (mut keys, mut others) = (alloc::vec![wrong; len], alloc::vec![wrong; len]);
    let mut cache = CacheMut::new(wider, element, &mut keys, &mut others).unwrap();
    let error = injection.write_into(&mut cache, 0).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Shape { .. }));
    assert!(keys.iter().chain(&others).all(|byte| *byte == wrong));
    assert!(CacheMut::new(wider, element, &mut keys[1..], &mut others).is_err());
}

/// The members of an object but `dim`, if `text` is one.
fn members(text: &[u8]) -> Option<serde_json::Map<String, Value>> {
    let Ok(Value::Object(mut members)) = serde_json::from_slice(text) else { return None };
    members.remove("dim");
    Some(members)
}

/// The verdict on a model whose context is `other`.
fn for_model(view: &GistView<'_>, own: &[u8], other: &[u8]) {
    let found = view.for_model(other).map(|_| ());
    let alike = members(own).zip(members(other)).map(|(own, other)| own == other);
    if let Err(error) = &found {
        assert!(matches!(error.kind(), ErrorKind::ContextDiffers | ErrorKind::Context { .. }), "{error}");
        plausible(error, 0);
    }
    match Context::parse(own).is_ok() && Context::parse(other).is_ok() {
        true if alike == Some(true) => found.unwrap(),
        true => assert_eq!(found.unwrap_err().kind(), ErrorKind::ContextDiffers),
        // Of text that is not canonical: whatever is taken for equal is.
        false => assert!(found.is_err() || alike != Some(false), "{own:02x?} {other:02x?}"),
    }
}

/// Two contexts out of a few, so that they are often alike.
fn models(choices: &mut Choices<'_>) {
    const IDS: [&str; 4] = ["", "m", "\"dim\":2,", "\\{é"];
    const MEMBERS: [&str; 6] = [
        "{}",
        r#"{"a":{"dim":1}}"#,
        r#"{"a":{"dim":2}}"#,
        r#"{"z":[1,"dim"]}"#,
        r#"{"dim2":7}"#,
        r#"{"":""}"#,
    ];
    let mut context = || {
        let [model, pi, space, more] = choices.array::<4>().map(usize::from);
        let dim = u32::from(choices.byte()) + 1;
        let [model, pi, space] = [model, pi, space].map(|i| IDS[i / 64]);
        Context::with_members(space, model, pi, dim, MEMBERS[more % MEMBERS.len()]).unwrap()
    };
    let (one, other) = (context(), context());
    let shape = KeyShape { layers: 1, heads: 1, tokens: 1, head_dim: 1 };
    let gist = GistBuilder::new(shape, Scalar::F16, &[0; 4]).unwrap();
    let frame = gist.to_frame(one.hash()).unwrap().context_json(one.as_str().as_bytes()).unwrap();
    let frame = frame.encode().unwrap();
    let view = GistView::parse_exact(&frame).unwrap();
    let own = one.as_str().as_bytes();
    for_model(&view, own, other.as_str().as_bytes());
    // The same but for dim.
    let dim = format!("\"dim\":{}", one.dim());
    let wide = one.as_str().rsplit_once(&dim).map(|(head, tail)| format!("{head}\"dim\":4096{tail}"));
    for_model(&view, own, wide.unwrap_or_default().as_bytes());
    let bare = gist.to_frame(one.hash()).unwrap().encode().unwrap();
    let error = GistView::parse_exact(&bare).unwrap().for_model(own).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoContext { .. }));
}

/// A text of eight tokens, some of them gist tokens.
fn run(choices: &mut Choices<'_>) {
    let mask = choices.byte();
    let ids: Vec<u32> = (0..8).filter(|id| mask >> id & 1 == 1).collect();
    let tokens: Vec<u32> = choices.bytes(40).iter().map(|byte| u32::from(byte % 8)).collect();
    let gists: Vec<bool> = tokens.iter().map(|token| mask >> token & 1 == 1).collect();
    let finder = GistIds::new(&ids).unwrap();
    assert!(
        (0..8).all(|id| finder.contains(id) == ids.contains(&id)) && !finder.contains(8 + u32::from(mask))
    );
    let (found, only) = (finder.first_run(&tokens), finder.only_run(&tokens));
    let Some(start) = gists.iter().position(|is_gist| *is_gist) else {
        assert!(found.is_none() && only.unwrap_err().kind() == ErrorKind::NoGists);
        return;
    };
    let end = (start..gists.len()).find(|i| !gists[*i]).unwrap_or(gists.len());
    assert_eq!(found, Some(start..end));
    match (end..gists.len()).find(|i| gists[*i]) {
        None => assert_eq!(only, Ok(start..end)),
        Some(next) => {
            let (end, next) = (end as u64, next as u64);
            assert_eq!(only.unwrap_err().kind(), ErrorKind::SplitGists { end, next });
        }
    }
}

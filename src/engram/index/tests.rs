//! The index's view against the tables of spec/engram.md, the owned index against a list, and both against what the original
//! found (tests/data/engram/index).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::type_complexity)]

use std::path::PathBuf;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, fs, vec};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::ErrorKind;
use crate::beacon::mu16::Step;
use crate::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType, crc16};

/// An index as its spec lays it out, written without the library's writer.
#[derive(Clone)]
struct Made {
    kind: u8,
    element: Element,
    rows: u32,
    dim: u32,
    metric: u8,
    method: u8,
    per_entry: u16,
    prefix: [u8; 8],
    reserved: [u8; 8],
    vectors: Vec<u8>,
    scales: Vec<f32>,
    /// l2_norm, context_len, created_at; offsets and lengths of the strings.
    entries: Vec<(f32, u32, i64, [(u32, u32); 3])>,
    strings: Vec<u8>,
    /// Said instead of the strings' length.
    strings_len: Option<u32>,
    has_tlv: bool,
    other: Option<u8>,
}

impl Made {
    fn payload(&self) -> Vec<u8> {
        let mut payload = self.vectors.clone();
        self.scales.iter().for_each(|scale| payload.extend(scale.to_le_bytes()));
        for (norm, tokens, created, spans) in &self.entries {
            payload.extend(norm.to_le_bytes());
            payload.extend(tokens.to_le_bytes());
            payload.extend(created.to_le_bytes());
            for (start, len) in spans {
                payload.extend(start.to_le_bytes());
                payload.extend(len.to_le_bytes());
            }
        }
        payload.extend(&self.strings);
        payload
    }

    fn bytes(&self) -> Vec<u8> {
        let payload = self.payload();
        let step = if self.element == Element::I16 { 32768 } else { 0 };
        let config = Config::new(Kind(self.kind), self.element, self.rows, self.dim, step);
        let mut value = vec![self.metric, self.method];
        value.extend(self.per_entry.to_be_bytes());
        value.extend(self.strings_len.unwrap_or(self.strings.len() as u32).to_be_bytes());
        value.extend(self.prefix);
        value.extend(self.reserved);
        let mut builder = FrameBuilder::new(ContextHash([7; 8]), config, &payload);
        if let Some(other) = self.other.filter(|other| *other < TlvType::ENGRAM_INDEX) {
            builder = builder.tlv(other, &[0; 48]).unwrap();
        }
        if self.has_tlv {
            builder = builder.tlv(TlvType::ENGRAM_INDEX, &value).unwrap();
        }
        builder.encode().unwrap()
    }

    fn error(&self) -> (&'static str, u64) {
        let error = Index::parse_exact(&self.bytes()).unwrap_err();
        (error.kind().name(), error.offset())
    }
}

// The places of a frame with FLAGS_V1: CONFIG_V1's value, ENGRAM_INDEX_V1's, and the payload.
const CONFIG: u64 = 15;
const VALUE: u64 = 49;
const PAYLOAD: u64 = VALUE + 24 + 3;

/// Three entries; each is about its own name, and all are of model "m".
fn made(element: Element) -> Made {
    let dim = 11;
    let row: Vec<u8> = match element {
        Element::F32 => {
            [0x3F80_0000u32, 0xC000_0000, 0].iter().cycle().take(11).flat_map(|x| x.to_le_bytes()).collect()
        }
        Element::F16 => [0x3C00u16, 0xC000].iter().cycle().take(11).flat_map(|x| x.to_le_bytes()).collect(),
        Element::I16 => (0..11i16).flat_map(|q| (q - 5).to_le_bytes()).collect(),
        Element::I8 => (0..11u8).map(|q| q.wrapping_sub(5)).collect(),
        _ => vec![0b1010_0110, 0b0000_0101],
    };
    let spans = |start| [(start, 2), (start, 2), (6, 1)];
    Made {
        kind: 4,
        element,
        rows: 3,
        dim,
        metric: 1,
        method: 6,
        per_entry: 1,
        prefix: *b"whitened",
        reserved: [0; 8],
        vectors: <[u8]>::repeat(&row, 3),
        scales: if element == Element::I8 { vec![0.5, -0.0, 2.0] } else { Vec::new() },
        entries: vec![
            (1.5, 100, -1, spans(0)),
            (f32::NAN, 0, i64::MAX, spans(2)),
            (0.0, u32::MAX, 1_767_225_600, spans(4)),
        ],
        strings: "aa\u{e9}ccm".as_bytes().to_vec(),
        strings_len: None,
        has_tlv: true,
        other: None,
    }
}

const ELEMENTS: [Element; 5] = [Element::F32, Element::F16, Element::I16, Element::I8, Element::Bits];

#[test]
fn reads_what_the_spec_lays_out() {
    for element in ELEMENTS {
        let made = made(element);
        let bytes = made.bytes();
        let index = Index::parse_exact(&bytes).unwrap();
        assert_eq!((index.len(), index.is_empty(), index.vectors_per_entry()), (3, false, 1));
        assert_eq!((index.method(), index.search().metric()), (Method::WhitenedMean, Metric::Cosine));
        assert_eq!(index.whitening_prefix(), Some(*b"whitened"));
        let entries: Vec<_> = index.entries().collect();
        let text = |i: usize| (entries[i].cache_id, entries[i].task_description, entries[i].model_id);
        assert_eq!([0, 1, 2].map(text), [("aa", "aa", "m"), ("\u{e9}", "\u{e9}", "m"), ("cc", "cc", "m")]);
        assert_eq!(entries.iter().map(|entry| entry.context_len).collect::<Vec<_>>(), [100, 0, u32::MAX]);
        assert_eq!(
            entries.iter().map(|entry| entry.created_at).collect::<Vec<_>>(),
            [-1, i64::MAX, 1_767_225_600]
        );
        assert_eq!((entries[0].l2_norm, entries[1].l2_norm.is_nan(), entries[2].l2_norm), (1.5, true, 0.0));
        assert!(index.entry(3).is_none() && index.entry(u32::MAX).is_none());
        let mut row = [0.0; 11];
        index.search().vectors().row_into(1, &mut row).unwrap();
        let expected: [f32; 3] = match element {
            Element::F32 => [1.0, -2.0, 0.0],
            Element::F16 => [1.0, -2.0, 1.0],
            Element::I16 => [-2.5, -2.0, -1.5],
            Element::I8 => [0.0; 3],
            _ => [1.0, -1.0, -1.0],
        };
        assert_eq!(row[..3], expected);
    }
    let mut none = made(Element::F32);
    none.prefix = [0; 8];
    assert_eq!(Index::parse_exact(&none.bytes()).unwrap().whitening_prefix(), None);
}

/// The table of spec/engram.md, "Checks of the index's view".
#[test]
fn refuses_with_the_place_of_each_step() {
    let with = |change: fn(&mut Made)| {
        let mut made = made(Element::F32);
        change(&mut made);
        made.error()
    };
    // 1 to 3.
    assert_eq!(with(|made| made.kind = 3), ("Kind", CONFIG));
    assert_eq!(with(|made| made.has_tlv = false), ("TlvMissing", VALUE - 3));
    assert_eq!(with(|made| made.other = Some(TlvType::MIRROR)), ("ForeignTlv", VALUE - 3));
    // 4, 5.
    for element in [Element::Structured, Element::U8, Element::U16, Element::U32, Element::Bf16] {
        assert_eq!(Made { element, ..made(Element::F32) }.error(), ("Code", CONFIG + 1));
    }
    assert_eq!(with(|made| made.dim = 0), ("Shape", CONFIG + 8));
    // 6 to 9.
    assert_eq!(with(|made| made.metric = 3), ("Code", VALUE));
    assert_eq!(with(|made| made.method = 8), ("Code", VALUE + 1));
    for (metric, per_entry) in [(0, 0), (1, 0), (2, 0), (0, 3), (1, 3), (2, 2), (2, 4), (2, u16::MAX)] {
        let made = Made { metric, per_entry, ..made(Element::F32) };
        assert_eq!(made.error(), ("Shape", VALUE + 2), "{metric} {per_entry}");
    }
    for i in 0..8 {
        let mut made = made(Element::F32);
        made.reserved[i] = 1;
        assert_eq!(made.error(), ("Reserved", VALUE + 16));
    }
    // 10.
    for change in [
        |made: &mut Made| made.rows = 4,
        |made: &mut Made| made.rows = 0,
        |made: &mut Made| made.dim = 12,
        |made: &mut Made| made.strings_len = Some(6),
        |made: &mut Made| made.strings_len = Some(u32::MAX),
        |made: &mut Made| made.strings_len = Some(8),
    ] {
        assert_eq!(with(change), ("Shape", CONFIG + 16));
    }
    assert_eq!(with(|made| (made.rows, made.dim) = (u32::MAX, u32::MAX)), ("Size", CONFIG + 16));
    // 2^32 - 1 rows of 2^32 bytes fit 64 bits, the entries beside them do not; of 2^31 bytes, both do.
    let mut large = made(Element::I16);
    (large.rows, large.dim) = (u32::MAX, 1 << 31);
    assert_eq!(large.error(), ("Size", CONFIG + 16));
    large.dim = 1 << 30;
    assert_eq!(large.error(), ("Shape", CONFIG + 16));
    // 11: eleven signs leave five bits.
    for (vector, bit) in [(0, 3), (1, 5), (2, 7)] {
        let mut made = made(Element::Bits);
        made.vectors[2 * vector + 1] |= 1 << bit;
        assert_eq!(made.error(), ("SpareBits", PAYLOAD + 2 * vector as u64 + 1));
    }
    // 12: after 33 bytes of vectors.
    for scale in [f32::NAN, f32::INFINITY, -f32::INFINITY, -1e-45] {
        let mut made = made(Element::I8);
        made.scales[2] = scale;
        assert_eq!(made.error(), ("Number", PAYLOAD + 33 + 8));
    }
    // 13 and 14: after three vectors of 44 bytes; the strings follow three entries.
    let (entries, strings) = (PAYLOAD + 132, PAYLOAD + 132 + 120);
    for (field, at) in [(0, 16), (1, 24), (2, 32)] {
        for (start, len) in [(7, 1), (0, 8), (u32::MAX, u32::MAX), (u32::MAX, 0), (8, 0), (0, u32::MAX)] {
            let mut made = made(Element::F32);
            made.entries[1].3[field] = (start, len);
            assert_eq!(made.error(), ("PastEnd", entries + 40 + at), "{start} {len}");
        }
        // A part of a character, or a place inside one.
        for (start, len, at) in [(2, 1, 2), (3, 1, 3), (3, 2, 3), (0, 3, 0), (3, 0, 3)] {
            let mut made = made(Element::F32);
            made.entries[2].3[field] = (start, len);
            assert_eq!(made.error(), ("Utf8", strings + at), "{start} {len}");
        }
        let mut made = made(Element::F32);
        // Empty, also at the end.
        made.entries[1].3[field] = (7, 0);
        assert!(Index::parse_exact(&made.bytes()).is_ok());
    }
    // The entry's order, and the fields' in it.
    let mut made = made(Element::F32);
    made.entries[1].3[0] = (9, 9);
    made.entries[0].3[2] = (8, 8);
    made.entries[0].3[1] = (3, 1);
    assert_eq!(made.error(), ("Utf8", strings + 3));
}

#[test]
fn the_first_breach_wins() {
    let steps: [(fn(&mut Made), (&str, u64)); 7] = [
        (|made| made.dim = 0, ("Shape", CONFIG + 8)),
        (|made| made.metric = 9, ("Code", VALUE)),
        (|made| made.method = 9, ("Code", VALUE + 1)),
        (|made| made.per_entry = 2, ("Shape", VALUE + 2)),
        (|made| made.reserved = [1; 8], ("Reserved", VALUE + 16)),
        (|made| made.strings_len = Some(6), ("Shape", CONFIG + 16)),
        (|made| made.entries[0].3[0] = (3, 1), ("Utf8", PAYLOAD + 252 + 3)),
    ];
    for (i, (_, expected)) in steps.iter().enumerate() {
        let mut made = made(Element::F32);
        steps[i..].iter().for_each(|(change, _)| change(&mut made));
        assert_eq!(made.error(), *expected);
    }
}

fn reseal(bytes: &mut [u8]) {
    let (body, crc) = bytes.split_last_chunk_mut::<2>().unwrap();
    *crc = crc16(&body[4..]).to_be_bytes();
}

/// Each truncation is refused; so is each flipped bit by the CRC, and with the CRC made good the index is refused or differs.
#[test]
fn every_truncation_and_every_bit() {
    for element in [Element::I8, Element::Bits] {
        let bytes = made(element).bytes();
        for len in 0..bytes.len() {
            assert!(Index::parse_exact(&bytes[..len]).is_err());
        }
        let seen = |bytes: &[u8]| -> Option<String> {
            let index = Index::parse_exact(bytes).ok()?;
            let vectors = index.search().vectors();
            let entries: Vec<_> = index.entries().map(|entry| (entry, entry.l2_norm.to_bits())).collect();
            assert_eq!(entries.len(), index.len() as usize);
            let all =
                (vectors, vectors.as_bytes(), vectors.scale_bytes(), index.search().metric(), index.method());
            let own = OwnedIndex::from_index(&index);
            Some(format!("{all:?} {:?} {entries:?} {:?}", index.whitening_prefix(), own.map(|own| own.len())))
        };
        let whole = seen(&bytes).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Index::parse_exact(&flipped).is_err(), "bit {bit}");
            if bit < 8 * (bytes.len() - 2) {
                reseal(&mut flipped);
                let in_envelope = (32..96).contains(&bit) || (39 * 8..46 * 8).contains(&bit);
                assert!(in_envelope || seen(&flipped).is_none_or(|other| other != whole), "bit {bit}");
            }
        }
    }
}

#[test]
fn reads_at_any_alignment() {
    for element in ELEMENTS {
        let bytes = made(element).bytes();
        let query: Vec<f32> = (0..11).map(|i| i as f32 - 3.0).collect();
        let found: Vec<_> = (0..8)
            .map(|shift| {
                let moved = [&vec![0xEE; shift], &bytes[..]].concat();
                let index = Index::parse_exact(&moved[shift..]).unwrap();
                let entries: Vec<String> = index.entries().map(|entry| format!("{entry:?}")).collect();
                (entries, index.search().top_k(Query::new(&query), 3, |_| true).unwrap())
            })
            .collect();
        assert!(found.iter().all(|one| *one == found[0]));
    }
}

#[test]
fn no_entries() {
    for element in ELEMENTS {
        let mut none = made(element);
        none.rows = 0;
        (none.vectors, none.scales, none.entries) = (Vec::new(), Vec::new(), Vec::new());
        let bytes = none.bytes();
        let index = Index::parse_exact(&bytes).unwrap();
        assert!(index.is_empty() && index.entries().next().is_none() && index.entry(0).is_none());
        assert_eq!(index.search().top_k(Query::new(&[1.0; 11]), 5, |_| true).unwrap(), []);
        assert_eq!(OwnedIndex::from_index(&index).unwrap().len(), 0);
    }
    // A vector may then be longer than memory.
    let mut long = made(Element::F32);
    (long.rows, long.dim) = (0, u32::MAX);
    (long.vectors, long.entries) = (Vec::new(), Vec::new());
    assert!(Index::parse_exact(&long.bytes()).unwrap().is_empty());
}

fn options(vector_type: VectorType, dim: u32) -> IndexOptions {
    IndexOptions {
        vector_type,
        dim,
        vectors_per_entry: 1,
        metric: Metric::InnerProduct,
        method: Method::MeanPool,
        whitening_prefix: None,
    }
}

fn entry<'a>(cache_id: &'a str, model_id: &'a str, context_len: u32) -> Entry<'a> {
    Entry { cache_id, task_description: "a task", model_id, context_len, created_at: 5, l2_norm: 1.0 }
}

fn encoded(index: &OwnedIndex) -> Vec<u8> {
    index.encode_payload().unwrap().to_frame(ContextHash([7; 8])).unwrap().encode().unwrap()
}

#[test]
fn refuses_options_and_vectors_that_do_not_fit() {
    let new = |options: IndexOptions| OwnedIndex::new(options).map(|index| index.len());
    let good = options(VectorType::F32, 2);
    assert!(matches!(new(IndexOptions { dim: 0, ..good }).unwrap_err().kind(), ErrorKind::Argument { .. }));
    for (vectors_per_entry, metric) in [(0, Metric::InnerProduct), (2, Metric::Cosine), (0, Metric::MaxSim)] {
        let error = new(IndexOptions { vectors_per_entry, metric, ..good }).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { .. }));
    }
    assert_eq!(new(IndexOptions { vectors_per_entry: 2, metric: Metric::MaxSim, ..good }), Ok(0));

    let mut index = OwnedIndex::new(good).unwrap();
    index.add(&entry("a", "m", 1), &[1.0, 2.0]).unwrap();
    let before = encoded(&index);
    for (id, vector, kind) in [
        ("a", &[3.0, 4.0][..], "Duplicate"),
        ("b", &[3.0][..], "Shape"),
        ("b", &[3.0, 4.0, 5.0][..], "Shape"),
        ("b", &[][..], "Shape"),
        ("b", &[3.0, f32::NAN][..], "NonFinite"),
    ] {
        assert_eq!(index.add(&entry(id, "m", 1), vector).unwrap_err().kind().name(), kind);
        // As it was, and the name is still free.
        assert_eq!(encoded(&index), before);
        assert!(!index.contains("b"));
    }
    index.add(&entry("b", "m", 1), &[3.0, 4.0]).unwrap();
    assert_eq!(index.len(), 2);

    // The second of two vectors is what cannot be: nothing of the first stays.
    let two =
        IndexOptions { vectors_per_entry: 2, metric: Metric::MaxSim, vector_type: VectorType::I8, ..good };
    let mut index = OwnedIndex::new(two).unwrap();
    index.add(&entry("a", "m", 1), &[1.0, 2.0, 3.0, 4.0]).unwrap();
    let before = encoded(&index);
    assert!(index.add(&entry("b", "m", 1), &[1.0, 2.0, 3.0, f32::INFINITY]).is_err());
    assert_eq!(encoded(&index), before);
}

#[test]
fn counts_what_saturates() {
    let mut index = OwnedIndex::new(options(VectorType::Mu16(Step::new(1).unwrap()), 3)).unwrap();
    // 32767 steps of 2^-16 are just below 0.5.
    assert_eq!(index.add(&entry("a", "m", 1), &[0.25, 0.5, -9.0]).unwrap(), 2);
    let bytes = encoded(&index);
    let mut row = [0.0; 3];
    Index::parse_exact(&bytes).unwrap().search().vectors().row_into(0, &mut row).unwrap();
    assert_eq!(row, [0.25, 32767.0 / 65536.0, -0.5]);
}

#[test]
fn writes_a_models_name_once() {
    let mut index = OwnedIndex::new(options(VectorType::Bits, 1)).unwrap();
    for (id, model) in [("1", "llama"), ("2", "llama"), ("3", "phi"), ("4", "phi"), ("5", "llama")] {
        index.add(&entry(id, model, 1), &[1.0]).unwrap();
    }
    let bytes = encoded(&index);
    let index = Index::parse_exact(&bytes).unwrap();
    let strings = 5 * ("1".len() + "a task".len()) + 2 * "llama".len() + "phi".len();
    assert_eq!(index.frame().payload().len(), 5 + 5 * 40 + strings);
    let models: Vec<_> = index.entries().map(|entry| entry.model_id.to_string()).collect();
    assert_eq!(models, ["llama", "llama", "phi", "phi", "llama"]);
}

#[test]
fn names_that_come_twice() {
    // A reader need not mind; what adds and removes does.
    let mut twice = made(Element::F32);
    twice.entries[2].3[0] = twice.entries[0].3[0];
    let bytes = twice.bytes();
    let index = Index::parse_exact(&bytes).unwrap();
    assert_eq!(
        OwnedIndex::from_index(&index).unwrap_err().kind(),
        ErrorKind::Duplicate { field: "cache_id" }
    );
}

#[test]
fn filters() {
    let a = entry("a", "llama", 100);
    let admits = |filter: Filter<'_>| filter.admits(&a);
    assert!(admits(Filter::default()));
    let model = |model_id| Filter { model_id: Some(model_id), ..Filter::default() };
    assert!(admits(model("llama")));
    assert!(!admits(model("llam")) && !admits(model("")) && !admits(model("Llama")));
    for (min, max, expected) in [
        (100, None, true),
        (101, None, false),
        (0, Some(100), true),
        (0, Some(99), false),
        (100, Some(100), true),
        (101, Some(100), false),
    ] {
        let filter = Filter { min_context_len: min, max_context_len: max, ..Filter::default() };
        assert_eq!(admits(filter), expected);
    }
}

/// What adding, removing and keeping do, on a list.
#[derive(Clone, Debug)]
enum Op {
    Add(u8, Vec<i8>),
    Remove(u8),
    Keep(u8),
    Rewrite,
}

fn steps() -> impl Strategy<Value = Vec<Op>> {
    let id = 0..12u8;
    let step = prop_oneof![
        5 => (id.clone(), proptest::collection::vec(any::<i8>(), 6)).prop_map(|(id, x)| Op::Add(id, x)),
        2 => id.prop_map(Op::Remove),
        1 => (1..5u8).prop_map(Op::Keep),
        1 => Just(Op::Rewrite),
    ];
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn is_a_list(steps in steps(), kind in 0..5usize, two in any::<bool>()) {
        let vector_type = [
            VectorType::F32,
            VectorType::F16,
            VectorType::Mu16(Step::new(65536).unwrap()),
            VectorType::I8,
            VectorType::Bits,
        ][kind];
        let (dim, vectors_per_entry) = if two { (3, 2) } else { (6, 1) };
        let metric = if two { Metric::MaxSim } else { Metric::Cosine };
        let mut index =
            OwnedIndex::new(IndexOptions { vectors_per_entry, metric, ..options(vector_type, dim) }).unwrap();
        let mut list: Vec<(String, Vec<f32>)> = Vec::new();
        for step in steps {
            match step {
                Op::Add(id, x) => {
                    let (id, x) = (format!("id{id}"), x.iter().map(|x| f32::from(*x)).collect::<Vec<_>>());
                    let is_new = list.iter().all(|(other, _)| *other != id);
                    prop_assert_eq!(index.add(&entry(&id, "m", x[0] as u32), &x).is_ok(), is_new);
                    if is_new {
                        list.push((id, x));
                    }
                }
                Op::Remove(id) => {
                    let id = format!("id{id}");
                    prop_assert_eq!(index.remove(&id), list.iter().any(|(other, _)| *other == id));
                    list.retain(|(other, _)| *other != id);
                }
                Op::Keep(every) => {
                    let before = list.len();
                    let (mut i, mut j) = (0, 0);
                    list.retain(|_| { i += 1; i % every != 0 });
                    let gone = index.retain(|_| { j += 1; j % every != 0 });
                    prop_assert_eq!(gone, before - list.len());
                }
                Op::Rewrite => {
                    let bytes = encoded(&index);
                    index = OwnedIndex::from_index(&Index::parse_exact(&bytes).unwrap()).unwrap();
                }
            }
            prop_assert_eq!(index.len(), list.len());
            prop_assert!(index.entries().map(|entry| entry.cache_id.to_string()).eq(list.iter().map(|(id, _)| id.clone())));
        }
        let bytes = encoded(&index);
        let view = Index::parse_exact(&bytes).unwrap();
        prop_assert_eq!(view.len() as usize, list.len());
        let vectors = *view.search().vectors();
        for (i, (id, x)) in list.iter().enumerate() {
            let entry = view.entry(i as u32).unwrap();
            prop_assert_eq!((entry.cache_id, entry.context_len), (&id[..], x[0] as u32));
            for (j, x) in x.chunks(dim as usize).enumerate() {
                let mut row = vec![0.0; dim as usize];
                vectors.row_into((i * usize::from(vectors_per_entry) + j) as u32, &mut row).unwrap();
                for (stored, x) in row.iter().zip(x) {
                    match vector_type {
                        // Integers up to 128 are exact.
                        VectorType::F32 | VectorType::F16 | VectorType::Mu16(_) => prop_assert_eq!(stored, x),
                        VectorType::I8 => prop_assert!((stored - x).abs() <= 128.0 / 127.0 / 2.0),
                        VectorType::Bits => prop_assert_eq!(*stored, if *x < 0.0 { -1.0 } else { 1.0 }),
                    }
                }
            }
        }
    }
}

fn data(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/engram/index");
    fs::read(folder.join(name)).unwrap()
}

/// The f32 of a .npy file.
fn npy(name: &str) -> Vec<f32> {
    let file = data(name);
    let header = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert!(file[..header].windows(5).any(|part| part == b"'<f4'"), "{name}");
    file[header..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

/// What the original (ENGRAM's index, on FAISS IndexFlatIP) found in the same 40 vectors.
#[test]
fn finds_what_the_original_finds() {
    let expected: Value = serde_json::from_slice(&data("expected.json")).unwrap();
    let (vectors, queries) = (npy("vectors.npy"), npy("queries.npy"));
    let mut index = OwnedIndex::new(options(VectorType::F32, 16)).unwrap();
    for (i, vector) in vectors.chunks(16).enumerate() {
        let model = if i % 3 == 0 { "phi" } else { "llama" };
        index.add(&entry(&format!("c{i}"), model, 256 + i as u32), vector).unwrap();
    }
    // By inner product to the last but a few bits of f32; sums are in another order.
    let alike = |found: &[(String, f32)], expected: &Value| {
        let expected = expected.as_array().unwrap();
        assert!(found.len() >= expected.len());
        for ((id, score), expected) in found.iter().zip(expected) {
            let similarity = expected["similarity"].as_f64().unwrap();
            assert_eq!(
                (id.as_str(), true),
                (expected["cache_id"].as_str().unwrap(), (f64::from(*score) - similarity).abs() < 1e-5)
            );
        }
    };
    let found = |index: &OwnedIndex, filter: Filter<'_>, k: usize| -> Vec<Vec<(String, f32)>> {
        let bytes = encoded(index);
        let index = Index::parse_exact(&bytes).unwrap();
        let admits = |i: u32| filter.admits(&index.entry(i).unwrap());
        let hits =
            queries.chunks(16).map(|query| index.search().top_k(Query::new(query), k, admits).unwrap());
        let named = |hit: &Hit| (index.entry(hit.entry).unwrap().cache_id.to_string(), hit.score);
        hits.map(|hits| hits.iter().map(named).collect()).collect()
    };
    let top = found(&index, Filter::default(), 5);
    for (found, expected) in top.iter().zip(expected["top5"].as_array().unwrap()) {
        assert_eq!(found.len(), 5);
        alike(found, expected);
    }
    assert!(found(&index, Filter::default(), 100).iter().all(|found| found.len() == 40));
    for (found, expected) in top.iter().zip(expected["top5_min_similarity_3"].as_array().unwrap()) {
        let over: Vec<_> = found.iter().filter(|(_, score)| *score >= 3.0).cloned().collect();
        assert_eq!(over.len(), expected.as_array().unwrap().len());
        alike(&over, expected);
    }
    // The original looks for a model among the first 15 only, and returned 2 for one query; here there are always 5.
    let phi = found(&index, Filter { model_id: Some("phi"), ..Filter::default() }, 5);
    let expected_phi = expected["top5_model_phi"].as_array().unwrap();
    assert_eq!(expected["top5_model_phi_counts"], serde_json::json!([5, 5, 5, 5, 2, 5]));
    for (found, expected) in phi.iter().zip(expected_phi) {
        assert_eq!(found.len(), 5);
        alike(found, expected);
    }
    // Removed, and one replaced by its triple, then rebuilt: the order of adding.
    assert!(index.remove("c3") && index.remove("c17") && !index.remove("no such") && index.remove("c5"));
    let triple: Vec<f32> = vectors[5 * 16..6 * 16].iter().map(|x| 3.0 * x).collect();
    index.add(&entry("c5", "llama", 261), &triple).unwrap();
    assert_eq!(expected["after_rebuild_n_entries"].as_u64().unwrap(), index.len() as u64);
    let order = expected["after_rebuild_order"].as_array().unwrap();
    assert!(index.entries().map(|entry| entry.cache_id).eq(order.iter().map(|id| id.as_str().unwrap())));
    let rebuilt = found(&index, Filter::default(), 5);
    for (found, expected) in rebuilt.iter().zip(expected["after_rebuild_top5"].as_array().unwrap()) {
        alike(found, expected);
    }
}

#[test]
fn a_frame_of_another_kind_says_so() {
    let bytes = made(Element::F32).bytes();
    let mut other = bytes;
    other[15] = 0;
    reseal(&mut other);
    let frame = Frame::parse_exact(&other).unwrap();
    assert_eq!(Index::from_frame(&frame).unwrap_err().kind().name(), "Kind");
}

//! `inspect` against the parsers, on valid, damaged and hostile bytes; and its text, to the letter.
#![cfg(feature = "alloc")]
// Tests state expectations by panicking, their helpers too.

use bitwire::beacon::mu16::Step;
use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, CalibrationBuilder, Drift, Reference, Results, Weights};
use bitwire::engram::KeyShape;
use bitwire::engram::index::{
    self as engram_index, Entry, IndexOptions, Method, Metric, OwnedIndex, VectorType,
};
use bitwire::engram::whitening::Whitening;
use bitwire::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType, crc16};
use bitwire::gist::{GistBuilder, GistView};
use bitwire::inspect::{Content, MAX_SPANS, Report, Verdict, inspect};
use bitwire::ledger::{
    Chunk, ChunkBuilder, Encoding, Index, IndexBuilder, Passkey, Span, encode_marks, encoded_marks_len,
};
use bitwire::mirror::{Blocks, DiffOptions, Master, MirrorView, Mode, Scalar, Shape};
use bitwire::{Error, ErrorKind};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The frame's parser, then its context's, then its kind's: what `Section::error` is held to.
fn parsers(bytes: &[u8]) -> (Vec<Error>, usize) {
    let frame = match Frame::parse(bytes) {
        Ok((frame, _)) => frame,
        Err(error) => return (vec![error], 0),
    };
    let mut errors: Vec<_> = frame.context().err().into_iter().collect();
    match frame.kind() {
        Kind::BEACON => errors.extend(Beacon::from_frame(&frame).err()),
        Kind::LEDGER_CHUNK => errors.extend(Chunk::from_frame(&frame).err()),
        Kind::LEDGER_INDEX => errors.extend(Index::from_frame(&frame).err()),
        Kind::MIRROR => errors.extend(MirrorView::from_frame(&frame).err()),
        Kind::GIST => errors.extend(GistView::from_frame(&frame).err()),
        Kind::BLOCKS => errors.extend(Blocks::from_frame(&frame).err()),
        Kind::ENGRAM_INDEX => errors.extend(engram_index::Index::from_frame(&frame).err()),
        Kind::WHITENING => errors.extend(Whitening::from_frame(&frame).err()),
        _ => {}
    }
    assert_eq!(errors.first().copied(), frame.check_content().err());
    (errors, frame.as_bytes().len())
}

/// The chunks before a place of the input, without a gap, and what they say of the next: the table of spec/ledger.md,
/// "The ledger file", in the order of its steps.
#[derive(Default)]
struct Before {
    next: Option<(u64, u64)>,
    /// ctx, CONTEXT_V1, whether HMAC_V1 is there.
    same: Option<([u8; 8], Option<Vec<u8>>, bool)>,
    passkeys: BTreeSet<u64>,
    names: BTreeSet<String>,
}

impl Before {
    /// The first breach of the chunk that starts here and is good by itself.
    fn check(&mut self, bytes: &[u8], is_good: bool) -> Option<Error> {
        let chunk = Frame::parse(bytes).and_then(|(frame, _)| Chunk::from_frame(&frame)).ok();
        let Some(chunk) = chunk.filter(|_| is_good) else {
            *self = Self::default();
            return None;
        };
        let frame = chunk.frame();
        let place = |tlv: u8| frame.tlvs().find(|other| other.tlv_type >= tlv).map(|tlv| tlv.offset);
        let value = frame.tlv(TlvType::LEDGER_CHUNK).unwrap().value_offset();
        let (id, start) = self.next.unwrap_or((chunk.id(), chunk.start()));
        let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
        let mut errors = Vec::new();
        if chunk.id() != id {
            errors.push(Error::new(shape("LEDGER_CHUNK_V1.chunk_id", id, chunk.id()), value));
        }
        if chunk.start() != start {
            errors.push(Error::new(shape("LEDGER_CHUNK_V1.start", start, chunk.start()), value + 8));
        }
        let context = frame.tlv(TlvType::CONTEXT).map(|tlv| tlv.value.to_vec());
        let same = (frame.ctx().0, context, frame.tlv(TlvType::HMAC).is_some());
        if let Some(before) = &self.same {
            if (before.0, &before.1) != (same.0, &same.1) {
                errors.push(Error::new(ErrorKind::ContextDiffers, 4));
            }
            if before.2 != same.2 {
                let at = place(TlvType::HMAC).unwrap_or(frame.payload_offset() - 3);
                errors.push(Error::new(ErrorKind::MixedHmac, at));
            }
        }
        let mut at = place(TlvType::LEDGER_MARKS).unwrap_or_default() + 7;
        for position in chunk.marks().passkeys() {
            if !self.passkeys.insert(position) {
                errors.push(Error::new(ErrorKind::Duplicate { field: "a passkey's position" }, at));
            }
            at += 8;
        }
        for span in chunk.marks().spans() {
            if !self.names.insert(span.name.into()) {
                errors.push(Error::new(ErrorKind::Duplicate { field: "a span's name" }, at));
            }
            at += 18 + span.name.len() as u64;
        }
        self.next = Some((chunk.id().wrapping_add(1), chunk.end()));
        self.same = Some(same);
        if !errors.is_empty() {
            *self = Self::default();
        }
        errors.first().copied()
    }
}

/// Everything a report promises.
fn check(bytes: &[u8]) -> Report<'_> {
    let report = inspect(bytes);
    let mut at = 0;
    let mut index = 0;
    let mut before = Before::default();
    for section in report.sections() {
        assert_eq!(section.offset, at, "sections have no gaps");
        for span in &section.spans {
            assert_eq!(span.offset, at, "spans have no gaps");
            assert!(span.len > 0 || matches!(span.verdict, Verdict::Bad(_)), "{span:?}");
            assert!(!span.value.contains(|char: char| char.is_control()), "{span:?}");
            at += span.len;
        }
        assert_eq!(section.offset + section.len, at);
        let expected_index = match section.content {
            Content::Frame { index: found, .. } => {
                assert_eq!(found, index);
                index += 1;
                Some(found)
            }
            Content::NotInspected => {
                assert!(section.error.is_none());
                continue;
            }
            _ => None,
        };
        assert!(section.spans.iter().all(|span| span.frame == expected_index));

        // Agreement with the parsers, for what starts here.
        let start = usize::try_from(section.offset).unwrap();
        let (mut errors, len) = parsers(&bytes[start..]);
        errors.extend(before.check(&bytes[start..], errors.is_empty()));
        let errors: Vec<_> = errors.into_iter().map(|error| error.nested(section.offset)).collect();
        assert_eq!(section.error, errors.first().copied());
        let bad: Vec<_> = section
            .spans
            .iter()
            .filter_map(|span| match span.verdict {
                Verdict::Bad(kind) => Some(Error::new(kind, span.offset)),
                _ => None,
            })
            .collect();
        assert_eq!(bad.is_empty(), errors.is_empty(), "{bad:?} {errors:?}");
        for error in &errors {
            assert!(bad.contains(error), "{error:?} is not among {bad:?}");
        }
        if errors.is_empty() {
            assert_eq!(section.len, len as u64);
        }
    }
    assert_eq!(at, bytes.len() as u64, "all bytes are covered");
    assert_eq!(report.frames(), index as usize);

    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let sections = json["frames"].as_array().unwrap();
    assert_eq!(sections.len(), report.sections().len());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&report.frames_json()).unwrap(), json["frames"]);
    for (json, section) in sections.iter().zip(report.sections()) {
        assert_eq!(json["spans"].as_array().unwrap().len(), section.spans.len());
        assert_eq!(json["error"].is_null(), section.error.is_none());
        for (json, span) in json["spans"].as_array().unwrap().iter().zip(&section.spans) {
            assert_eq!(json["value"], span.value);
            let shown = json["hex"].as_str().unwrap().len() as u64 / 2;
            assert_eq!(shown, span.len.min(64));
            assert_eq!(json["hex_cut"], span.len > 64);
        }
    }
    report
}

/// What a test frame is made of.
#[derive(Clone, Debug)]
struct Made {
    kind: u8,
    element: u8,
    rows: u32,
    dim: u32,
    delta_q16: u32,
    payload: Vec<u8>,
    calibration: Option<Sigma>,
    results: Option<(Option<Reference>, Option<f64>)>,
    others: Vec<(u8, Vec<u8>)>,
    context: Option<&'static str>,
    drift_flags: Option<(bool, bool)>,
    digest: bool,
    align: u16,
    #[cfg_attr(not(feature = "hmac"), allow(dead_code))]
    signed: bool,
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let config = Config {
            kind: Kind(self.kind),
            element: Element::from_code(self.element).unwrap(),
            rows: self.rows,
            dim: self.dim,
            delta_q16: self.delta_q16,
            payload_len: 0,
        };
        let context = match self.context {
            Some("") => Some(Context::new("s", "m\u{7}", "p", self.dim).unwrap().as_str().to_string()),
            other => other.map(ToString::to_string),
        };
        let ctx = context.as_ref().map_or(ContextHash([7; 8]), |text| ContextHash::of(text.as_bytes()));
        let mut calibration = vec![0; 65_535];
        #[cfg(feature = "hmac")]
        let key = bitwire::frame::Key::new(b"0123456789abcdef").unwrap();
        let results_text;
        let mut builder = FrameBuilder::new(ctx, config, &self.payload);
        if let Some(sigma) = self.calibration {
            let mu: Vec<_> = (0..self.dim).map(f64::from).collect();
            let spread = vec![0.5; usize::try_from(sigma.values(self.dim.into()).unwrap()).unwrap()];
            let made = CalibrationBuilder { sigma, mu: &mu, spread: &spread, w: 3.0, t0: 0.0, t1: 1.5 };
            let len = made.encode_into(&mut calibration).unwrap();
            builder = builder.tlv(TlvType::CALIB_STATS, &calibration[..len]).unwrap();
        }
        let mut drift_flags = (false, false);
        if let Some((reference, sds_threshold)) = self.results {
            let drift = reference.map(|reference| Drift { reference, sds: 1.5, cos_mu: None, norm_dmu: 1.0 });
            let results = Results { drift, sds_threshold, tr_sigma: 0.5, weights: Weights::default() };
            drift_flags = (results.alert(), results.against_baseline());
            results_text = results.to_text().unwrap();
            builder = builder.tlv(TlvType::RESULTS, results_text.as_bytes()).unwrap();
        }
        for (tlv_type, value) in &self.others {
            builder = match builder.clone().tlv(*tlv_type, value) {
                Ok(builder) => builder,
                Err(_) => builder,
            };
        }
        if let Some(context) = &context {
            builder = builder.context_json(context.as_bytes()).unwrap();
        }
        let (alert, baseline) = self.drift_flags.unwrap_or(drift_flags);
        builder = builder.drift_flags(alert, baseline).align_payload(self.align);
        if self.digest {
            builder = builder.digest();
        }
        #[cfg(feature = "hmac")]
        if self.signed {
            builder = builder.sign(&key);
        }
        builder.encode().unwrap()
    }
}

fn beacon() -> Made {
    Made {
        kind: 0,
        element: 1,
        rows: 1,
        dim: 2,
        delta_q16: 1024,
        payload: vec![32, 0, 0xC0, 0xFF],
        calibration: None,
        results: None,
        others: Vec::new(),
        context: Some(""),
        drift_flags: None,
        digest: false,
        align: 0,
        signed: false,
    }
}

const CONTEXTS: [&str; 6] = [
    r#"{"dim":1, "model_id":"","pi_id":"","space_id":""}"#,
    r#"{"dim":2}"#,
    "",
    "\u{1b}[2J",
    "{\"a\":1.5}",
    r#"{"dim":0,"model_id":"","pi_id":"","space_id":""}"#,
];

fn made() -> impl Strategy<Value = Made> {
    let sigma = prop_oneof![
        Just(None),
        Just(Some(Sigma::None)),
        Just(Some(Sigma::Trace)),
        Just(Some(Sigma::Diagonal)),
        Just(Some(Sigma::Full))
    ];
    let reference = prop_oneof![
        Just(None),
        Just(Some(None)),
        Just(Some(Some(Reference::Baseline))),
        Just(Some(Some(Reference::WindowHalf)))
    ];
    let results = (reference, proptest::option::of(0.0..3.0f64))
        .prop_map(|(reference, threshold)| reference.map(|reference| (reference, threshold)));
    let types =
        prop_oneof![Just(0x10u8), Just(0x11), Just(0x12), Just(0x13), Just(0x14), Just(0x81), 0x82..0xF0u8];
    let lengths = prop_oneof![Just(24usize), Just(88), Just(48), Just(56), 0..40usize];
    let value = lengths.prop_flat_map(|len| proptest::collection::vec(any::<u8>(), len));
    let others = proptest::collection::vec((types, value), 0..3);
    let context = prop_oneof![
        4 => Just(Some("")),
        2 => Just(None),
        1 => proptest::sample::select(&CONTEXTS[..]).prop_map(Some)
    ];
    let shape = (
        prop_oneof![3 => Just(0u8), 1 => 1..9u8],
        prop_oneof![3 => Just(1u8), 1 => 0..10u8],
        1..4u32,
        1..12u32,
        any::<bool>(),
    );
    let envelope = (
        prop_oneof![3 => Just(None), 1 => any::<(bool, bool)>().prop_map(Some)],
        any::<bool>(),
        prop_oneof![Just(0u16), Just(64), Just(16)],
        any::<bool>(),
    );
    (shape, sigma, results, others, context, envelope, any::<u64>()).prop_map(
        |((kind, element, rows, dim, odd), calibration, results, others, context, envelope, seed)| {
            let element = if kind == 0 && !odd { 1 } else { element };
            let others = if kind == 0 && !odd {
                others.into_iter().filter(|&(tlv, _)| tlv > 0x7F).collect()
            } else {
                others
            };
            let len = (rows * dim * 2 + u32::from(odd && seed % 3 == 0)) as usize;
            let payload = (0..len).map(|i| (seed.rotate_left(i as u32 % 64) >> (i % 7)) as u8).collect();
            let (drift_flags, digest, align, signed) = envelope;
            Made {
                kind,
                element,
                rows,
                dim,
                delta_q16: if element == 1 { 1 + (seed as u32 >> 8) } else { 0 },
                payload,
                calibration,
                results,
                others,
                context,
                drift_flags,
                digest,
                align,
                signed,
            }
        },
    )
}

/// A way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Set(usize, u8),
    /// Bytes that are NaN or infinite, or the largest counts.
    Write(usize, &'static [u8]),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

const EXTREMES: [&[u8]; 3] = [&[0x7F, 0xF8, 0, 0], &[0xFF, 0x80], &[0xFF; 8]];

fn damage() -> impl Strategy<Value = Damage> {
    // Mostly in the header, where the structure is.
    let at = prop_oneof![0..64usize, 0..400usize];
    let bytes = prop_oneof![
        Just(b"BIT\x01".to_vec()),
        Just(vec![0xFF, 0, 0]),
        Just(vec![0x90, 0, 1, 5]),
        proptest::collection::vec(any::<u8>(), 1..6)
    ];
    prop_oneof![
        3 => (at.clone(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (at.clone(), prop_oneof![any::<u8>(), Just(0), Just(0xFF), Just(1), Just(2)])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        1 => (at.clone(), proptest::sample::select(&EXTREMES[..]))
            .prop_map(|(at, bytes)| Damage::Write(at, bytes)),
        1 => at.clone().prop_map(Damage::Cut),
        1 => (at.clone(), 1..40usize).prop_map(|(at, len)| Damage::Remove(at, len)),
        1 => (at.clone(), bytes).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at, 1..40usize).prop_map(|(at, len)| Damage::Repeat(at, len)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let len = bytes.len();
    if len == 0 {
        return;
    }
    match damage {
        Damage::Flip(at, bit) => bytes[at % len] ^= 1 << bit,
        Damage::Set(at, byte) => bytes[at % len] = *byte,
        Damage::Write(at, more) => {
            bytes.iter_mut().skip(at % len).zip(*more).for_each(|(byte, more)| *byte = *more);
        }
        Damage::Cut(at) => bytes.truncate(at % len),
        Damage::Remove(at, count) => {
            let at = at % len;
            bytes.drain(at..(at + count).min(len));
        }
        Damage::Insert(at, more) => {
            let at = at % len;
            bytes.splice(at..at, more.iter().copied());
        }
        Damage::Repeat(at, count) => {
            let at = at % len;
            let more = bytes[at..(at + count).min(len)].to_vec();
            bytes.splice(at..at, more);
        }
    }
}

/// Makes payload_len and CRC-16 fit the bytes, so that the later checks are reached.
fn mend(bytes: &mut [u8], payload_len: bool) {
    if payload_len && let Some(at) = bytes.windows(3).position(|window| window == [0xFF, 0, 0]) {
        let len = (bytes.len().saturating_sub(at + 5)) as u64;
        if let Some(field) = bytes.get_mut(31..39) {
            field.copy_from_slice(&len.to_be_bytes());
        }
    }
    if bytes.len() >= 6 {
        let (body, crc) = bytes.split_at_mut(bytes.len() - 2);
        crc.copy_from_slice(&crc16(&body[4..]).to_be_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn agrees_on_frames(made in made()) {
        check(&made.bytes());
    }

    #[test]
    fn agrees_on_damaged_frames(made in made(), damages in proptest::collection::vec(damage(), 1..4)) {
        let mut bytes = made.bytes();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        check(&bytes);
    }

    #[test]
    fn agrees_on_tampered_frames(
        made in made(),
        damages in proptest::collection::vec(damage(), 1..3),
        payload_len in any::<bool>(),
    ) {
        let mut bytes = made.bytes();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        mend(&mut bytes, payload_len);
        check(&bytes);
    }

    #[test]
    fn agrees_on_files(
        frames in proptest::collection::vec(made(), 1..4),
        damages in proptest::collection::vec(((0..2000usize), damage()), 0..4),
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(Made::bytes).collect();
        for (at, damage) in &damages {
            let mut tail = bytes.split_off(at % (bytes.len() + 1));
            apply(&mut tail, damage);
            bytes.extend(tail);
        }
        check(&bytes);
    }

    #[test]
    fn agrees_on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic {
            bytes.splice(0..0, *b"BIT\x01");
        }
        check(&bytes);
    }
}

/// DIGEST_V1 and CRC-16 made good, where the lengths still lead there.
fn reseal(bytes: &mut [u8]) {
    let (mut at, mut digest, mut covered) = (12, None, bytes.get(4..12).unwrap_or_default().to_vec());
    while let Some(&[tlv, hi, lo]) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let end = at + 3 + usize::from(u16::from_be_bytes([hi, lo]));
        let Some(whole) = bytes.get(at..end) else { return };
        match tlv {
            0xF0 => digest = Some(at + 4),
            0xF1 | 0xFE => {}
            0xFF => {
                covered.extend_from_slice(&bytes[end.min(bytes.len() - 2)..bytes.len() - 2]);
                break;
            }
            _ => covered.extend_from_slice(whole),
        }
        at = end;
    }
    if let Some(to) = digest.and_then(|at| bytes.get_mut(at..at + 32)) {
        to.copy_from_slice(&Sha256::digest(&covered));
    }
    mend(bytes, false);
}

const CONTEXT: &str = CONTEXTS[5];

/// A ledger of chunks of each encoding, with marks, and its index.
fn ledger() -> Vec<Vec<u8>> {
    let ctx = ContextHash::of(CONTEXT.as_bytes());
    let tokens: Vec<u32> = (0..41).map(|i| i * i * 37 % 509).collect();
    let mut index = IndexBuilder::new(2).unwrap();
    let (mut frames, mut all, mut marked) = (Vec::new(), Vec::new(), Vec::<u64>::new());
    let span = |name, start, len| Span { name, start, len };
    for (id, (tokens, encoding, passkeys, spans)) in [
        (
            &tokens[..],
            Encoding::Packed { bits: 9 },
            &[3, 17, 19][..],
            &[span("a", 0, 2), span("c", 1, 1), span("\u{e9}", 40, 1)][..],
        ),
        (&[1, 65_535, 7], Encoding::RawU16, &[], &[]),
        (&[1, 70_000], Encoding::RawU32, &[42, 44], &[]),
        (&[0; 8], Encoding::Packed { bits: 1 }, &[], &[span("the \u{1b}[2Jend", 44, 10)]),
        (&[9], Encoding::Packed { bits: 32 }, &[0], &[span("b", 0, 55)]),
    ]
    .into_iter()
    .enumerate()
    {
        let start = index.total_tokens();
        let mut marks = vec![0; encoded_marks_len(passkeys, spans).unwrap()];
        encode_marks(passkeys, spans, start + tokens.len() as u64, &mut marks).unwrap();
        let mut builder = ChunkBuilder::new(ctx, id as u64, start, encoding).context_json(CONTEXT.as_bytes());
        if !(passkeys.is_empty() && spans.is_empty()) {
            builder = builder.marks(&marks);
        }
        frames.push(builder.encode(tokens).unwrap());
        let chunk = Chunk::parse_exact(frames.last().unwrap()).unwrap();
        index.push_chunk(&chunk, chunk.digest()).unwrap();
        all.extend(tokens.iter().map(|&token| (id as u64, start, token)));
        marked.extend(passkeys);
        spans.iter().for_each(|span| index.push_span(*span).unwrap());
    }
    for position in marked {
        let (chunk_id, start, token) = all[position as usize];
        index.push_passkey(Passkey { position, chunk_id, offset: (position - start) as u32, token }).unwrap();
    }
    frames.push(index.encode(ctx, Some(CONTEXT.as_bytes())).unwrap());
    frames
}

/// `rows` blocks of `dim` elements, by their numbers.
fn block_bytes(rows: u32, dim: u32, element: impl Fn(u32, u32) -> Vec<u8>) -> Vec<u8> {
    (0..rows).flat_map(|row| (0..dim).flat_map(|column| element(row, column)).collect::<Vec<_>>()).collect()
}

/// Blocks, and a mirror in which the blocks of `differ` differ. `element` says what stands in a block's column, of the master
/// or not of the master.
fn mirror(
    scalar: Scalar,
    (rows, dim): (u32, u32),
    differ: &[u32],
    options: DiffOptions,
    element: impl Fn(bool, u32, u32) -> Vec<u8>,
) -> [Vec<u8>; 2] {
    let context = Context::new("space", "model", "", dim).unwrap();
    let json = context.as_str().as_bytes();
    let shape = Shape::new(scalar, rows, dim).unwrap();
    let master = block_bytes(rows, dim, |row, column| element(true, row, column));
    let agent = block_bytes(rows, dim, |row, column| element(!differ.contains(&row), row, column));
    let master = Blocks::new(shape, &master).unwrap();
    let agent = Blocks::new(shape, &agent).unwrap();
    let blocks = master.to_frame(context.hash()).unwrap().context_json(json).unwrap();
    let master = Master::new(master, context.hash()).with_context_json(json).unwrap();
    let mut payload = Vec::new();
    let diff = master.diff_to_vec(&agent, options, &mut payload).unwrap();
    assert_eq!(diff.difference_blocks() as usize, differ.len());
    [blocks.encode().unwrap(), diff.to_frame().unwrap().encode().unwrap()]
}

/// Each mode and each element, small enough for every bit.
fn mirrors() -> Vec<[Vec<u8>; 2]> {
    let step = |delta_q16| Step::new(delta_q16).unwrap();
    let exact = DiffOptions::default();
    let add = |mode| DiffOptions { mode, threshold: 1e-4 };
    let f32 = |master, row: u32, column: u32| {
        let x = row as f32 + column as f32 / 4.0;
        if master { x } else { x * 1.5 + 0.125 }.to_le_bytes().to_vec()
    };
    // 1.0, or numbers from -2.0 on.
    let half = |one: u16, minus_two: u16| {
        move |master, row: u32, column: u32| {
            let x = if master { one } else { minus_two + (row + column) as u16 };
            x.to_le_bytes().to_vec()
        }
    };
    let int = |master, row: u32, column: u32| {
        let q = (row * 7) as i16 - if master { 0 } else { column as i16 + 64 };
        q.to_le_bytes().to_vec()
    };
    vec![
        mirror(Scalar::F32, (6, 9), &[0, 3, 4], exact, f32),
        mirror(Scalar::F16, (12, 2), &[0, 1, 2, 3, 5, 6, 7, 8, 9, 11], add(Mode::Add), half(0x3C00, 0xC000)),
        mirror(Scalar::Bf16, (3, 8), &[2], add(Mode::AddMu16(step(1024))), half(0x3F80, 0xC000)),
        mirror(Scalar::Mu16(step(32768)), (4, 3), &[1, 3], exact, int),
        mirror(Scalar::F32, (2, 1), &[], exact, f32),
    ]
}

/// An index of two or more entries, one of whose strings has a character of two bytes.
fn engram_index(vector_type: VectorType, vectors_per_entry: u16, dim: u32, entries: u32) -> Vec<u8> {
    let metric = if vectors_per_entry > 1 { Metric::MaxSim } else { Metric::Cosine };
    let (method, whitening_prefix) = match metric {
        Metric::MaxSim => (Method::WhitenedCentroids, Some(*b"whitened")),
        _ => (Method::MeanPool, None),
    };
    let options = IndexOptions { vector_type, dim, vectors_per_entry, metric, method, whitening_prefix };
    let mut index = OwnedIndex::new(options).unwrap();
    for i in 0..entries {
        let cache_id = format!("c\u{e9}{i}");
        let entry = Entry {
            cache_id: &cache_id,
            task_description: if i % 2 == 0 { "what \u{1b}[2J it is" } else { "" },
            model_id: "model",
            context_len: 256 + i,
            created_at: 1_767_225_600 - i64::from(i),
            l2_norm: if i == 1 { f32::NAN } else { 0.5 },
        };
        let count = dim * u32::from(vectors_per_entry);
        let vectors: Vec<f32> = (0..count).map(|j| ((i + j * 7) % 5) as f32 / 4.0 - 0.5).collect();
        index.add(&entry, &vectors).unwrap();
    }
    let context = Context::new("space", "model", "", dim).unwrap();
    let encoded = index.encode_payload().unwrap();
    let frame = encoded.to_frame(context.hash()).unwrap();
    frame.context_json(context.as_str().as_bytes()).unwrap().encode().unwrap()
}

fn whitening(dim: u32, outputs: u32) -> Vec<u8> {
    let values: Vec<u8> =
        (0..(outputs + 1) * dim).flat_map(|i| ((i * 7 % 11) as f32 / 4.0 - 1.0).to_le_bytes()).collect();
    let context = Context::new("space", "model", "", dim).unwrap();
    let frame = Whitening::to_frame(dim, outputs, &values, context.hash()).unwrap();
    frame.context_json(context.as_str().as_bytes()).unwrap().encode().unwrap()
}

/// Each type of vector, small enough for every bit.
fn engrams() -> Vec<Vec<u8>> {
    vec![
        engram_index(VectorType::F32, 1, 3, 2),
        engram_index(VectorType::F16, 2, 2, 2),
        engram_index(VectorType::Mu16(Step::new(1024).unwrap()), 1, 5, 2),
        engram_index(VectorType::I8, 3, 3, 2),
        engram_index(VectorType::Bits, 2, 11, 2),
        engram_index(VectorType::F32, 1, 4, 0),
        whitening(3, 2),
    ]
}

/// A gist of [layers, heads, tokens, head_dim] whose components are `bytes` repeated.
fn gist(shape: [u32; 4], scalar: Scalar, bytes: &[u8], metadata: Option<&str>, source: u64) -> Vec<u8> {
    let [layers, heads, tokens, head_dim] = shape;
    let shape = KeyShape { layers, heads, tokens, head_dim };
    let len = shape.layers * 2 * shape.heads * shape.tokens * shape.head_dim * scalar.size() as u32;
    let payload: Vec<u8> = bytes.iter().copied().cycle().take(len as usize).collect();
    let root = [0xA5; 32];
    let builder = GistBuilder::new(shape, scalar, &payload).unwrap();
    let mut builder = builder.source(source, (source > 1).then_some(&root));
    if let Some(text) = metadata {
        builder = builder.metadata(text);
    }
    let context = Context::new("space", "model", "", head_dim).unwrap();
    let frame = builder.to_frame(context.hash()).unwrap();
    frame.context_json(context.as_str().as_bytes()).unwrap().encode().unwrap()
}

/// Each type of component, small enough for every bit.
fn gists() -> Vec<Vec<u8>> {
    // 1.0, -2.0, 0.5 and others that differ by their number.
    let f32: Vec<u8> = (0..64).flat_map(|i| (i as f32 / 4.0 - 2.0).to_le_bytes()).collect();
    let f16: Vec<u8> = (0..64u16).flat_map(|i| (0x3C00 + i * 64).to_le_bytes()).collect();
    let bf16: Vec<u8> = (0..64u16).flat_map(|i| (0xBF80 + i * 8).to_le_bytes()).collect();
    let int: Vec<u8> = (0..64i16).flat_map(|i| (i * 100 - 3000).to_le_bytes()).collect();
    let text = "{\"m\u{e9}\": \"\u{1b}[2J\", \"num_gist_tokens\": 2}";
    vec![
        gist([1, 2, 2, 3], Scalar::F32, &f32, None, 1000),
        gist([2, 1, 1, 2], Scalar::F16, &f16, Some(text), 1),
        gist([1, 1, 1, 7], Scalar::Bf16, &bf16, Some(""), 0),
        gist([1, 1, 2, 2], Scalar::Mu16(Step::new(1024).unwrap()), &int, Some("no JSON"), u64::MAX),
    ]
}

/// A frame of a ledger and how a field or a byte of it is changed, then digest and CRC-16 made good.
fn tampered() -> impl Strategy<Value = Vec<u8>> {
    tampered_of(ledger())
}

fn tampered_of(frames: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edge = prop_oneof![
        Just(0u64),
        Just(1),
        Just(2),
        Just(u64::MAX),
        Just(1 << 32),
        Just(0xFFFF_FFFF),
        any::<u64>()
    ];
    let change = (any::<proptest::sample::Index>(), 1..9usize, edge, any::<bool>());
    let other = prop_oneof![3 => Just(None), 1 => damage().prop_map(Some)];
    (proptest::sample::select(frames), proptest::collection::vec(change, 1..4), other).prop_map(
        |(mut bytes, changes, other)| {
            for (at, width, value, little) in changes {
                // Not in the magic, ctx or the types and lengths of the first TLVs.
                let at = 15 + at.index(bytes.len() - 17);
                let mut value = value.to_be_bytes()[8 - width.min(8)..].to_vec();
                if little {
                    value.reverse();
                }
                bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = from);
            }
            other.iter().for_each(|damage| apply(&mut bytes, damage));
            reseal(&mut bytes);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2 * cases(), ..ProptestConfig::default() })]

    #[test]
    fn agrees_on_tampered_ledgers(bytes in tampered()) {
        check(&bytes);
    }

    #[test]
    fn agrees_on_tampered_mirrors(bytes in tampered_of(mirrors().concat())) {
        check(&bytes);
    }

    #[test]
    fn agrees_on_tampered_engrams(bytes in tampered_of(engrams())) {
        check(&bytes);
    }

    #[test]
    fn agrees_on_tampered_gists(bytes in tampered_of(gists())) {
        check(&bytes);
    }

    #[test]
    fn agrees_on_ledger_files(order in proptest::collection::vec(0..6usize, 0..4), bad in tampered(), at in 0..6usize) {
        let frames = ledger();
        let mut file: Vec<&[u8]> = order.iter().map(|i| &frames[*i][..]).collect();
        check(&file.concat());
        file.insert(at.min(file.len()), &bad);
        check(&file.concat());
    }
}

/// Every bit of a frame, made good but for that bit; every truncation.
fn agrees_on_every_bit(frame: &[u8]) {
    assert!(check(frame).is_valid());
    for bit in 32..frame.len() * 8 {
        let mut bytes = frame.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        reseal(&mut bytes);
        check(&bytes);
    }
    for len in 0..frame.len() {
        check(&frame[..len]);
    }
}

#[test]
fn agrees_on_every_bit_of_a_ledger() {
    let frames = ledger();
    assert!(check(&frames[..5].concat()).is_valid());
    for frame in [&frames[0], &frames[2], &frames[5]] {
        agrees_on_every_bit(frame);
    }
}

#[test]
fn agrees_on_every_bit_of_blocks_and_mirrors() {
    let frames = mirrors();
    for frame in [&frames[3][0], &frames[0][1], &frames[2][1], &frames[4][1]] {
        agrees_on_every_bit(frame);
    }
}

#[test]
fn agrees_on_every_bit_of_engrams() {
    let frames = engrams();
    for frame in [&frames[4], &frames[6]] {
        agrees_on_every_bit(frame);
    }
    frames.iter().for_each(|frame| assert!(check(frame).is_valid()));
}

#[test]
fn agrees_on_every_bit_of_gists() {
    let frames = gists();
    for frame in [&frames[1], &frames[3]] {
        agrees_on_every_bit(frame);
    }
    frames.iter().for_each(|frame| assert!(check(frame).is_valid()));
}

/// A place of a mirror's payload: the value of an index.
fn index_at(frame: &[u8], index: usize) -> usize {
    usize::try_from(Frame::parse(frame).unwrap().0.payload_offset()).unwrap() + 4 * index
}

/// The index that is out of place is the one that is bad, and those after it are not.
#[test]
fn names_the_index_that_is_out_of_place() {
    let [_, frame] = &mirrors()[1];
    let at = index_at(frame, 0);
    let bad = |changes: &[(usize, u32)]| {
        let mut bytes = frame.clone();
        for (index, new) in changes {
            bytes[at + 4 * index..][..4].copy_from_slice(&new.to_le_bytes());
        }
        reseal(&mut bytes);
        let report = check(&bytes);
        let bad = report.spans().filter_map(|span| match span.verdict {
            Verdict::Bad(kind) => Some(format!("{} {} {}", span.field, span.value, kind.name())),
            _ => None,
        });
        bad.collect::<Vec<_>>()
    };
    assert_eq!(bad(&[(3, 4)]), Vec::<String>::new());
    assert_eq!(bad(&[(3, 2)]), ["indices[3] block 2 Order"]);
    assert_eq!(bad(&[(3, 12)]), ["indices[3] block 12 PastEnd"]);
    assert_eq!(bad(&[(9, u32::MAX)]), ["indices[9] block 4294967295 PastEnd"]);
    assert_eq!(bad(&[(0, 1)]), ["indices[1] block 1 Order"]);
    assert_eq!(bad(&[(1, 77), (5, 5)]), ["indices[1] block 77 PastEnd", "indices[5] block 5 Order"]);
    // Sixteen are told.
    let [_, many] = mirror(
        Scalar::Bf16,
        (99, 1),
        &(0..99).collect::<Vec<_>>(),
        DiffOptions::default(),
        |master, _, _| vec![0, u8::from(master)],
    );
    let mut bytes = many.clone();
    bytes[index_at(&many, 0)..][..4 * 99].fill(0);
    reseal(&mut bytes);
    let report = check(&bytes);
    assert_eq!(report.spans().filter(|span| matches!(span.verdict, Verdict::Bad(_))).count(), 16);
}

/// What the ledger's rules refuse between chunks that are good by themselves.
#[test]
fn holds_chunks_to_those_before() {
    let frames = ledger();
    let first = |order: &[&[u8]]| {
        check(&order.concat()).first_error().map(|error| (error.kind().name(), error.offset()))
    };
    let all: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    assert_eq!(first(&all), None);
    // Any chunk may come first, and after what is no chunk.
    assert_eq!(first(&all[2..4]), None);
    assert_eq!(first(&[all[3], all[5], all[0]]), None);
    let at = |chunk: usize, field: u64| all[chunk].len() as u64 + field;
    // chunk_id stands at 12 + 27 + 7 + 3 of each.
    assert_eq!(first(&[all[0], all[0]]), Some(("Shape", at(0, 49))));
    assert_eq!(first(&[all[0], all[2]]), Some(("Shape", at(0, 49))));
    let other = ChunkBuilder::new(ContextHash([7; 8]), 1, 41, Encoding::RawU16).encode(&[1]).unwrap();
    assert_eq!(first(&[all[0], &other]), Some(("ContextDiffers", at(0, 4))));
    let mut marks = [0; 4 + 8 + 19];
    let span = [Span { name: "a", start: 0, len: 1 }];
    encode_marks(&[3], &span, 42, &mut marks).unwrap();
    let builder = ChunkBuilder::new(ContextHash::of(CONTEXT.as_bytes()), 1, 41, Encoding::RawU16);
    let again = builder.context_json(CONTEXT.as_bytes()).marks(&marks).encode(&[1]).unwrap();
    let both = [all[0], &again].concat();
    let report = check(&both);
    let bad = report.spans().filter(|span| matches!(span.verdict, Verdict::Bad(ErrorKind::Duplicate { .. })));
    let value = at(0, 49 + 24 + 3 + CONTEXT.len() as u64 + 3);
    assert_eq!(bad.map(|span| span.offset).collect::<Vec<_>>(), [value + 4, value + 12]);
}

/// 256 cases, or as many as PROPTEST_CASES says.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256)
}

/// Every bit of a frame with everything in it, with the CRC-16 as it was and mended; every truncation.
#[test]
fn agrees_on_every_bit_and_every_length() {
    let frame = rich().bytes();
    check(&frame);
    for len in 0..frame.len() {
        check(&frame[..len]);
    }
    for bit in 0..frame.len() * 8 {
        let mut bytes = frame.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!check(&bytes).is_valid(), "bit {bit}");
        mend(&mut bytes, false);
        check(&bytes);
    }
}

fn rich() -> Made {
    Made {
        calibration: Some(Sigma::Full),
        results: Some((Some(Reference::Baseline), Some(1.0))),
        others: vec![(0x90, b"later".to_vec())],
        digest: true,
        align: 64,
        signed: cfg!(feature = "hmac"),
        ..beacon()
    }
}

#[test]
fn goes_on_past_damage() {
    let frame = rich().bytes();
    let fields = |bytes: &[u8]| -> Vec<String> {
        inspect(bytes).spans().map(|span| format!("{} {}", span.field, span.value)).collect()
    };
    let whole = fields(&frame);

    // A damaged magic costs the magic.
    let mut bytes = frame.clone();
    bytes[..4].copy_from_slice(b"XXXX");
    assert_eq!(fields(&bytes)[1..], whole[1..]);

    // A damaged length of a TLV with a fixed one costs nothing but the line of the length.
    for at in [13, 14, 40, 41] {
        let mut bytes = frame.clone();
        bytes[at] ^= 0x10;
        let report = check(&bytes);
        assert_eq!(report.spans().last().unwrap().offset + 2, frame.len() as u64);
        assert!(fields(&bytes).iter().any(|field| field == "payload[0][1] -64 = -1.0"), "{report}");
    }

    // A damaged length of another: the payload is found from the end.
    let calibration = frame.windows(3).position(|window| window[0] == 3 && window[1] == 0).unwrap();
    let mut bytes = frame.clone();
    bytes[calibration + 1] = 0xF0;
    assert!(fields(&bytes).iter().any(|field| field == "payload[0][1] -64 = -1.0"), "{}", inspect(&bytes));

    // A damaged payload_len: the frame behind is found, and what the length was.
    let two = [&frame[..], &frame[..]].concat();
    for (at, byte) in [(31, 1), (37, 200), (38, 2), (38, 6)] {
        let mut bytes = two.clone();
        bytes[at] = byte;
        let report = check(&bytes);
        let note = report.spans().find(|span| span.field == "CONFIG_V1.payload_len").unwrap();
        assert!(note.value.contains("; if it were 4, CRC-16 would fit"), "{}", note.value);
    }
    let mut bytes = two.clone();
    bytes[31] = 1;
    let report = check(&bytes);
    assert_eq!(report.frames(), 2);
    assert_eq!(report.sections()[1].error, None);
}

/// A CRC-16 that does not match names the bit, if it is one. (That of a length is not found: it moves the CRC-16.)
#[test]
fn names_a_flipped_bit() {
    let frame = rich().bytes();
    for at in (4..12).chain(384..frame.len()) {
        for bit in 0..8 {
            let mut bytes = frame.clone();
            bytes[at] ^= 1 << bit;
            let report = check(&bytes);
            let crc = report.spans().last().unwrap();
            let expected = format!("one flipped bit would explain it: {:02x} at byte {at}", frame[at]);
            assert!(crc.value.ends_with(&expected), "{}", crc.value);
        }
    }
}

#[test]
fn finds_the_next_frame() {
    let frame = beacon().bytes();
    let bytes = [b"garbage", &frame[..], b"more", &frame, b"BI"].concat();
    let report = check(&bytes);
    let contents: Vec<_> = report.sections().iter().map(ToString::to_string).collect();
    let len = frame.len();
    assert_eq!(
        contents,
        [
            "no frame: 7 bytes skipped".to_string(),
            format!("frame 0: {len} bytes, beacon, valid"),
            "no frame: 4 bytes skipped".to_string(),
            format!("frame 1: {len} bytes, beacon, valid"),
            "no frame: 2 bytes skipped".to_string(),
        ]
    );
    assert_eq!(report.first_error(), Some(Error::new(ErrorKind::Magic { found: *b"garb" }, 0)));
    assert!(!report.is_valid());
    assert!(check(&[&frame[..], &frame].concat()).is_valid());
    assert!(!check(b"").is_valid());
}

/// What is no frame, but something else that this crate reads.
#[test]
fn knows_what_has_a_command_of_its_own() {
    let value = |bytes: &[u8]| check(bytes).spans().next().unwrap().value.clone();
    for state in
        [&b"nsgg\x0A\0\0\0"[..], b"qsgg\x03\0\0\0", b"\xD8\x3C\x14\xAF\0\0\0\0", b"\x05\0\0\0llama\x01\0\0\0"]
    {
        assert!(value(state).ends_with("; it starts like a state of llama.cpp: see bitwire engram state"));
    }
    assert!(value(b"EGR1\x01").ends_with("; it starts like a certificate: see bitwire engram eng show"));
    for other in [&b"EGR"[..], b"\x05\0\0\0Llama", b"\x05\0\0\0lla", b"\0\0\0\0", b"ggsn"] {
        assert_eq!(value(other), format!("no frame: {} bytes skipped", other.len()));
    }
}

#[test]
fn hostile_files_cost_what_they_weigh() {
    // A million TLVs of nothing, frames of nothing, magics, frames that claim the whole file.
    let mut tlvs = beacon().bytes();
    tlvs.truncate(39);
    tlvs.extend([0x90, 0, 0].repeat(1 << 20));
    let frame = Made { payload: Vec::new(), context: None, kind: 6, element: 7, delta_q16: 0, ..beacon() };
    let mut claims = frame.bytes();
    claims[31..39].copy_from_slice(&(1u64 << 20).to_be_bytes());
    let mut magics = b"BIT\x01".repeat(1 << 20);
    magics.push(0);
    let mut nameless = beacon().bytes();
    nameless[0] = b'X';
    nameless.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
    for bytes in [
        tlvs,
        nameless.repeat(1 << 16),
        frame.bytes().repeat(1 << 18),
        claims.repeat(1 << 16),
        magics,
        b"BIT\x02".repeat(1 << 20),
        vec![0; 1 << 24],
    ] {
        let report = inspect(&bytes);
        assert!(report.spans().count() <= MAX_SPANS + 1000, "{}", report.spans().count());
        let covered: u64 = report.spans().map(|span| span.len).sum();
        assert_eq!(covered, bytes.len() as u64);
    }
}

#[test]
fn long_values_are_cut() {
    let long = Made {
        dim: 5000,
        payload: [1, 0].repeat(5000),
        calibration: Some(Sigma::Diagonal),
        others: vec![(0x90, vec![0xAB; 5000])],
        ..beacon()
    };
    let mut bytes = long.bytes();
    let report = check(&bytes);
    assert!(report.is_valid(), "{report}");
    assert!(report.spans().count() < 60);
    assert!(report.to_string().len() < 10_000);
    assert!(report.spans().any(|span| span.value == "4994 more values"));

    // A bad value in the middle is shown all the same.
    let calibration = bytes.windows(3).position(|window| window == [3, 0x9C, 0x60]).unwrap();
    bytes[calibration + 3 + 32 + 4 * 777..][..4].copy_from_slice(&f32::NAN.to_be_bytes());
    mend(&mut bytes, false);
    let report = check(&bytes);
    let bad = report.spans().find(|span| matches!(span.verdict, Verdict::Bad(_))).unwrap();
    assert_eq!((&*bad.field, &*bad.value), ("CALIB_STATS_V1.mu[777]", "NaN"));
}

#[cfg(feature = "hmac")]
#[test]
fn verifies_with_a_key() {
    use bitwire::frame::Key;
    use bitwire::inspect::inspect_with_key;

    let key = Key::new(b"0123456789abcdef").unwrap();
    let other = Key::new(b"0123456789abcdeg").unwrap();
    for (made, key) in [(rich(), &key), (rich(), &other), (beacon(), &key)] {
        let bytes = made.bytes();
        let report = inspect_with_key(&bytes, key);
        let expected = Frame::parse(&bytes).unwrap().0.verify(key).err();
        assert_eq!(report.first_error(), expected, "{report}");
        let bad = report.spans().find(|span| matches!(span.verdict, Verdict::Bad(_)));
        assert_eq!(bad.map(|span| span.offset), expected.map(|error| error.offset()));
    }
}

/// Compares with tests/golden/, or writes there if UPDATE_GOLDEN is set:
/// `UPDATE_GOLDEN=1 cargo test --test inspect golden`, then read the diff.
#[cfg(feature = "hmac")]
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "UPDATE_GOLDEN=1 writes {name} anew");
}

#[cfg(feature = "hmac")]
#[test]
fn golden_valid() {
    let blocks = Made {
        kind: 6,
        element: 5,
        rows: 2,
        dim: 10,
        delta_q16: 0,
        payload: [0, 0x3C, 0, 0xBC].repeat(10),
        context: None,
        ..beacon()
    };
    let bytes = [rich(), blocks].iter().flat_map(Made::bytes).collect::<Vec<_>>();
    let report = check(&bytes);
    assert!(report.is_valid());
    golden("valid.txt", &report.to_string());
}

/// A ledger and its index; a chunk with many marks; both with breaches.
#[cfg(feature = "hmac")]
#[test]
fn golden_ledger() {
    let frames = ledger();
    let passkeys: Vec<u64> = (0..60).map(|i| i * 2).collect();
    let names: Vec<String> = (0..50).map(|i| format!("span {i:02}")).collect();
    let spans: Vec<_> = names.iter().map(|name| Span { name, start: 7, len: 100 }).collect();
    let mut marks = vec![0; encoded_marks_len(&passkeys, &spans).unwrap()];
    encode_marks(&passkeys, &spans, 200, &mut marks).unwrap();
    let many = ChunkBuilder::new(ContextHash([7; 8]), 12, 0, Encoding::Packed { bits: 11 }).marks(&marks);
    let many = many.encode(&(0..200).map(|i| i * 9).collect::<Vec<u32>>()).unwrap();
    let with = |frame: &[u8], changes: &[(usize, u8)]| {
        let mut bytes = frame.to_vec();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        reseal(&mut bytes);
        bytes
    };
    let payload = usize::try_from(Frame::parse_exact(&frames[5]).unwrap().payload_offset()).unwrap();
    let mut text = String::new();
    for (title, bytes) in [
        ("a chunk, and its ledger's index", [&frames[0][..], &frames[5]].concat()),
        ("many marks", many),
        // The element; reserved of LEDGER_CHUNK_V1; the second passkey; the first span's length.
        ("a chunk with breaches", with(&frames[0], &[(16, 4), (72, 1), (146, 41), (170, 0)])),
        ("spare bits", with(&frames[0], &[(frames[0].len() - 3, 0xF2)])),
        ("an index with breaches", with(&frames[5], &[(56, 40), (payload + 48, 0), (payload + 144, 0)])),
        ("a chunk twice", frames[1].repeat(2)),
    ] {
        text += &format!("== {title} ==\n\n{}\n", check(&bytes));
    }
    golden("ledger.txt", &text);
}

/// A mirror of each mode, and blocks; long ones; both with breaches.
#[cfg(feature = "hmac")]
#[test]
fn golden_mirror() {
    let frames = mirrors();
    let differ: Vec<u32> = (0..400).filter(|block| block % 16 < 7).collect();
    let long = mirror(Scalar::F32, (400, 300), &differ, DiffOptions::default(), |master, row, column| {
        let x = (row * 300 + column) as f32;
        if master { x } else { -x - 0.5 }.to_le_bytes().to_vec()
    });
    let with = |frame: &[u8], changes: &[(usize, u8)]| {
        let mut bytes = frame.to_vec();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        reseal(&mut bytes);
        bytes
    };
    let [blocks, replace] = &frames[0];
    let add = &frames[1][1];
    let at = index_at(add, 0);
    let mut text = String::new();
    for (title, bytes) in [
        ("blocks, and a mirror that replaces", frames[0].concat()),
        ("a mirror that adds", add.clone()),
        ("a mirror that adds in MU16", frames[2][1].clone()),
        ("MU16 blocks, and a mirror of them", frames[3].concat()),
        ("a mirror without a difference", frames[4][1].clone()),
        ("many blocks, and many that differ", long.concat()),
        // The element, rows, and dim.
        ("blocks with breaches", with(blocks, &[(16, 2), (22, 0), (26, 8)])),
        ("blocks with a row too many", with(blocks, &[(22, 7)])),
        // rows; mode, reserved, the sign of the threshold.
        ("a mirror with breaches", with(replace, &[(22, 7), (53, 2), (56, 1), (57, 0xBF)])),
        ("indices out of place", with(add, &[(at + 4, 0), (at + 16, 99), (at + 36, 9)])),
    ] {
        text += &format!("== {title} ==\n\n{}\n", check(&bytes));
    }
    golden("mirror.txt", &text);
}

/// An index of each type of vector, a whitening; long ones; both with breaches.
#[cfg(feature = "hmac")]
#[test]
fn golden_engram() {
    let frames = engrams();
    let with = |frame: &[u8], changes: &[(usize, u8)]| {
        let mut bytes = frame.to_vec();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        reseal(&mut bytes);
        bytes
    };
    let at = |frame: &[u8]| usize::try_from(Frame::parse(frame).unwrap().0.payload_offset()).unwrap();
    let (int8, bits, rows) = (&frames[3], &frames[4], &frames[6]);
    // Six vectors of three bytes, six scales, then two entries, then strings.
    let (scales, entries) = (at(int8) + 18, at(int8) + 18 + 24);
    let mut text = String::new();
    for (title, bytes) in [
        ("an index in f32", frames[0].clone()),
        ("centroids in f16", frames[1].clone()),
        ("an index in MU16", frames[2].clone()),
        ("centroids in i8", int8.clone()),
        ("centroids in signs", bits.clone()),
        ("an index without entries", frames[5].clone()),
        ("a whitening", rows.clone()),
        ("many entries", engram_index(VectorType::F32, 1, 30, 100)),
        ("a large whitening", whitening(30, 40)),
        // The element; metric, method, vectors_per_entry, reserved.
        ("an index with breaches", with(&frames[0], &[(16, 2), (49, 3), (50, 8), (52, 4), (65, 1)])),
        // A scale's sign; an offset and a length; the second byte of a character.
        (
            "an index with breaches in its payload",
            with(
                int8,
                &[
                    (scales + 7, 0xBF),
                    (entries + 16, 99),
                    (entries + 72 + 5, 1),
                    (entries + 80 + 5 + 2, b'x'),
                ],
            ),
        ),
        ("spare bits", with(bits, &[(at(bits) + 3, 0x80)])),
        ("an index of a row too many", with(&frames[0], &[(22, 3)])),
        // The element and rows; infinity.
        ("a whitening with breaches", with(rows, &[(16, 5), (22, 1)])),
        ("a whitening that is not finite", with(rows, &[(at(rows) + 14, 0x80), (at(rows) + 15, 0x7F)])),
    ] {
        text += &format!("== {title} ==\n\n{}\n", check(&bytes));
    }
    golden("engram.txt", &text);
}

/// A gist of each type of component; long ones; damaged ones.
#[cfg(feature = "hmac")]
#[test]
fn golden_gist() {
    let frames = gists();
    let with = |frame: &[u8], changes: &[(usize, u8)]| {
        let mut bytes = frame.to_vec();
        changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
        reseal(&mut bytes);
        bytes
    };
    let at = |frame: &[u8], tlv_type: u8| {
        usize::try_from(Frame::parse(frame).unwrap().0.tlv(tlv_type).unwrap().value_offset()).unwrap()
    };
    let (plain, half) = (&frames[0], &frames[1]);
    let (value, text) = (at(plain, TlvType::GIST), at(half, TlvType::GIST_METADATA));
    let end = plain.len();
    let without = {
        let mut bytes = plain.clone();
        bytes.drain(value - 3..value + 56);
        reseal(&mut bytes);
        bytes
    };
    let floats: Vec<u8> = (0..97).flat_map(|i| (i as f32 / 4.0).to_le_bytes()).collect();
    let mut all = String::new();
    for (title, bytes) in [
        ("a gist in f32", plain.clone()),
        ("a gist in f16 with metadata", half.clone()),
        ("a gist in bf16 of no known source", frames[2].clone()),
        ("a gist in MU16", frames[3].clone()),
        ("a large gist", gist([4, 2, 10, 64], Scalar::F32, &floats, Some(&"long ".repeat(500)), 4096)),
        (
            "components that are not finite",
            with(plain, &[(end - 3, 0x7F), (end - 4, 0xC0), (end - 7, 0xFF), (end - 8, 0x80)]),
        ),
        // The element; layers, tokens, dim.
        ("a gist with breaches", with(plain, &[(16, 2), (value + 3, 0), (value + 11, 0), (26, 4)])),
        ("a shape that does not fit", with(plain, &[(value + 11, 3), (value + 15, 4)])),
        ("a shape beyond 64 bits", with(plain, &[(value, 0xFF), (value + 4, 0xFF), (value + 8, 0xFF)])),
        ("metadata that is not UTF-8", with(half, &[(text + 3, b'x')])),
        ("GIST_V1 is missing", without),
        ("a bit of a row", {
            let mut bytes = plain.clone();
            bytes[end - 10] ^= 4;
            bytes
        }),
    ] {
        all += &format!("== {title} ==\n\n{}\n", check(&bytes));
    }
    golden("gist.txt", &all);
}

#[cfg(feature = "hmac")]
#[test]
fn golden_damaged() {
    let rich = rich().bytes();
    let with = |made: &[u8], at: usize, byte: u8, mended: bool| {
        let mut bytes = made.to_vec();
        bytes[at] = byte;
        if mended {
            mend(&mut bytes, false);
        }
        bytes
    };
    let small = Made { context: None, ..beacon() }.bytes();
    let unsafe_context = Made { context: Some(CONTEXTS[3]), ..beacon() }.bytes();
    let len = small.len();
    let mut text = String::new();
    for (title, bytes) in [
        ("a bit of the payload", with(&small, len - 3, 0xFE, false)),
        ("the magic", with(&small, 1, b'A', false)),
        ("an unknown critical TLV in the place of FLAGS_V1", with(&small, 39, 0x20, true)),
        ("the length of FLAGS_V1", with(&small, 41, 0x44, false)),
        ("payload_len too large, a frame behind", [with(&small, 36, 9, false), small.clone()].concat()),
        ("payload_len too small", with(&small, 38, 2, false)),
        ("cut in the header", small[..44].to_vec()),
        ("cut in the payload", small[..len - 4].to_vec()),
        ("the digest, the CRC-16 mended", with(&rich, rich.len() - 6, 31, true)),
        ("a context that is no JSON", unsafe_context),
        ("ALERT, mended", with(&small, 45, 2, true)),
        ("bytes before, between and after", [b"\x1b[31m", &small[..], b"BIT", &small, b"."].concat()),
    ] {
        text += &format!("== {title} ==\n\n{}\n", check(&bytes));
    }
    golden("damaged.txt", &text);
}

//! `inspect` against the parsers, on valid, damaged and hostile bytes; and its text, to the letter.
#![cfg(feature = "alloc")]
// Tests state expectations by panicking, their helpers too.

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, CalibrationBuilder, Drift, Reference, Results, Weights};
use bitwire::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType, crc16};
use bitwire::inspect::{Content, MAX_SPANS, Report, Verdict, inspect};
use bitwire::{Error, ErrorKind};
use proptest::prelude::*;

/// The frame's parser, then its context's, then its kind's: what `Section::error` is held to.
fn parsers(bytes: &[u8]) -> (Vec<Error>, usize) {
    let frame = match Frame::parse(bytes) {
        Ok((frame, _)) => frame,
        Err(error) => return (vec![error], 0),
    };
    let mut errors: Vec<_> = frame.context().err().into_iter().collect();
    if frame.kind() == Kind::BEACON {
        errors.extend(Beacon::from_frame(&frame).err());
    }
    (errors, frame.as_bytes().len())
}

/// Everything a report promises.
fn check(bytes: &[u8]) -> Report<'_> {
    let report = inspect(bytes);
    let mut at = 0;
    let mut index = 0;
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
        let (errors, len) = parsers(&bytes[start..]);
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
    let ledger = Made {
        kind: 1,
        element: 3,
        dim: 3,
        delta_q16: 0,
        payload: vec![1, 0, 2, 0, 0xFF, 0xFF],
        others: vec![
            (0x10, [&[0; 16][..], &[0, 0, 0, 3, 0, 0, 0, 0]].concat()),
            (0x81, vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
        ],
        context: Some(CONTEXTS[5]),
        ..beacon()
    };
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
    let bytes = [rich(), ledger, blocks].iter().flat_map(Made::bytes).collect::<Vec<_>>();
    let report = check(&bytes);
    assert!(report.is_valid());
    golden("valid.txt", &report.to_string());
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

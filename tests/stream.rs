//! Streams of frames, from outside: split in any way, damaged in any way, and made to do harm.
#![cfg(all(feature = "std", feature = "hmac"))]

mod common;
#[allow(unreachable_pub)]
#[path = "common/largest.rs"]
mod largest;
#[path = "common/noise.rs"]
mod noise;

use std::ops::Range;

use bitwire::ErrorKind;
use bitwire::frame::{
    AuthenticatedFrame, Config, ContextHash, Element, Frame, FrameBuilder, Key, Kind, crc16,
};
use bitwire::stream::{Event, FrameReader, Recover, Skipped};
use common::{KEY, config, fix_crc, full_frame, key};
use noise::{Damage, Figures, Framing, Random, Size};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// An event, without what it borrows.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    range: Range<u64>,
    is: Result<Vec<u8>, (ErrorKind, u64)>,
}

impl Seen {
    fn frame(range: Range<u64>, bytes: &[u8]) -> Self {
        Self { range, is: Ok(bytes.to_vec()) }
    }

    fn skipped(range: Range<usize>, kind: ErrorKind, offset: usize) -> Self {
        Self { range: range.start as u64..range.end as u64, is: Err((kind, offset as u64)) }
    }

    fn stretch(Skipped { range, reason }: Skipped) -> Self {
        Self { range, is: Err((reason.kind(), reason.offset())) }
    }
}

impl From<Event<Frame<'_>>> for Seen {
    fn from(event: Event<Frame<'_>>) -> Self {
        match event {
            Event::Frame { range, frame } => {
                // What the frame says has to survive being handed out later than it was parsed.
                let again = Frame::parse_exact(frame.as_bytes()).unwrap();
                assert_eq!(frame.payload(), again.payload());
                assert_eq!(frame.context_json(), again.context_json());
                assert_eq!(frame.routing_key(), again.routing_key());
                assert_eq!((frame.flags(), frame.digest()), (again.flags(), again.digest()));
                Self::frame(range, frame.as_bytes())
            }
            Event::Skipped(skipped) => Self::stretch(skipped),
        }
    }
}

impl From<Event<AuthenticatedFrame<'_>>> for Seen {
    fn from(event: Event<AuthenticatedFrame<'_>>) -> Self {
        match event {
            Event::Frame { range, frame } => Self::frame(range, frame.as_bytes()),
            Event::Skipped(skipped) => Self::stretch(skipped),
        }
    }
}

fn parse(window: &[u8], key: Option<&Key>) -> bitwire::Result<Vec<u8>> {
    let (frame, _) = Frame::parse(window)?;
    key.map_or(Ok(()), |key| frame.verify(key).map(drop))?;
    Ok(frame.as_bytes().to_vec())
}

/// The rules of spec/stream.md, "Raw streams", word for word: every place is judged by its whole window.
fn naive(stream: &[u8], max: u64, key: Option<&Key>) -> Vec<Seen> {
    let (mut at, mut seen) = (0, Vec::new());
    while at < stream.len() {
        let end = (at as u64).saturating_add(max).min(stream.len() as u64);
        let window = &stream[at..end as usize];
        let next = (at + 1..stream.len()).find(|&place| stream[place..].starts_with(b"BIT\x01"));
        let next = next.unwrap_or(stream.len());
        match parse(window, key) {
            Ok(frame) => {
                let end = at + frame.len();
                seen.push(Seen::frame(at as u64..end as u64, &frame));
                at = end;
                continue;
            }
            Err(error) => seen.push(match error.kind() {
                ErrorKind::Truncated { needed, .. } if error.offset().saturating_add(needed) > max => {
                    let kind = ErrorKind::FrameTooLong { needed: error.offset().saturating_add(needed), max };
                    Seen::skipped(at..next, kind, at)
                }
                kind => Seen::skipped(at..next, kind, at + error.offset() as usize),
            }),
        }
        at = next;
    }
    seen
}

/// Everything that a reader says of a stream that comes in `pieces`.
fn read<'p, const N: usize>(pieces: impl IntoIterator<Item = &'p [u8]>, key: Option<&Key>) -> Vec<Seen> {
    let (mut reader, mut seen) = (FrameReader::<N>::new(), Vec::new());
    for mut piece in pieces {
        match key {
            Some(key) => {
                seen.extend(std::iter::from_fn(|| reader.feed_verified(&mut piece, key).map(Seen::from)))
            }
            None => seen.extend(std::iter::from_fn(|| reader.feed(&mut piece).map(Seen::from))),
        }
        assert!(piece.is_empty(), "all is taken");
    }
    match key {
        Some(key) => seen.extend(std::iter::from_fn(|| reader.finish_verified(key).map(Seen::from))),
        None => seen.extend(std::iter::from_fn(|| reader.finish().map(Seen::from))),
    }
    seen
}

fn recover(stream: &[u8], max: Option<u64>, key: Option<&Key>) -> Vec<Seen> {
    let mut recover = Recover::new(stream);
    if let Some(max) = max {
        recover = recover.with_max_frame(max);
    }
    std::iter::from_fn(|| match key {
        Some(key) => recover.next_verified(key).map(Seen::from),
        None => recover.next().map(Seen::from),
    })
    .collect()
}

/// `bytes` cut into pieces of these lengths, over and over; 0 gives an empty piece.
fn cut<'b>(bytes: &'b [u8], lengths: &[usize]) -> Vec<&'b [u8]> {
    let (mut rest, mut pieces) = (bytes, Vec::new());
    let mut lengths = lengths.iter().chain([&1]).cycle();
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

#[track_caller]
fn tiles(seen: &[Seen], len: usize) {
    let mut at = 0;
    for event in seen {
        assert!(event.range.start == at && event.range.end > at, "{event:?} after {at}");
        at = event.range.end;
    }
    assert_eq!(at, len as u64);
}

/// Checks a raw stream in every way that it can be read in, and returns what is in it.
#[track_caller]
fn agree<const N: usize>(stream: &[u8], lengths: &[usize], key: Option<&Key>) -> Vec<Seen> {
    let expected = naive(stream, N as u64, key);
    tiles(&expected, stream.len());
    assert_eq!(read::<N>([stream], key), expected, "whole");
    assert_eq!(read::<N>(stream.chunks(1), key), expected, "byte by byte");
    assert_eq!(read::<N>(cut(stream, lengths), key), expected, "in pieces");
    assert_eq!(recover(stream, Some(N as u64), key), expected, "recovered");
    assert_eq!(recover(stream, None, key), naive(stream, u64::MAX, key), "without a bound");
    expected
}

fn frames(seen: &[Seen]) -> Vec<(u64, &[u8])> {
    seen.iter().filter_map(|event| Some((event.range.start, event.is.as_deref().ok()?))).collect()
}

/// A beacon of one row, as long as asked for, from 46 bytes on (even numbers).
fn beacon(len: usize, fill: u8) -> Vec<u8> {
    let payload = vec![fill; len - 51];
    let config = Config::new(Kind::GIST, Element::Structured, 0, 0, 0);
    let frame = FrameBuilder::new(ContextHash([fill; 8]), config, &payload).encode().unwrap();
    assert_eq!(frame.len(), len);
    frame
}

/// The smallest frame there is: magic, ctx, CONFIG_V1 (kind 6, structured), END, CRC. FLAGS_V1 may be left out.
fn smallest() -> Vec<u8> {
    let mut frame = b"BIT\x01\xAA\xAA\xAA\xAA\xAA\xAA\xAA\xAA\x01\x00\x18\x06\x00\x00\x00".to_vec();
    frame.extend([0; 4 + 4 + 4 + 8]);
    frame.extend(b"\xFF\0\0\0\0");
    fix_crc(&mut frame);
    assert_eq!(frame.len(), 44);
    frame
}

fn signed(fill: u8) -> Vec<u8> {
    FrameBuilder::new(ContextHash([fill; 8]), config(2), &[fill; 4]).sign(&key()).encode().unwrap()
}

/// A frame around `payload`, without a digest, signed with another key if asked for: whoever has no key can make it.
fn around(payload: &[u8], other_key: bool) -> Vec<u8> {
    let config = Config::new(Kind::GIST, Element::Structured, 0, 0, 0);
    let other = Key::new(b"another's key, of 16 bytes or more").unwrap();
    let frame = FrameBuilder::new(ContextHash([9; 8]), config, payload);
    if other_key { frame.sign(&other) } else { frame }.encode().unwrap()
}

// ---- any stream ----

#[derive(Clone, Debug)]
enum Part {
    Frame(usize),
    Garbage(Vec<u8>),
    MagicCut(usize),
    Cut(usize, Index),
    BitFlipped(usize, Index),
    Lost(usize, Index),
    Doubled(usize, Index),
    Burst(usize, Index, u16),
    PayloadLen(usize, u64),
    Around(Vec<usize>, bool),
    AroundDamaged(Vec<usize>, Index),
    Header(Vec<(u8, u16)>),
}

/// The frames that streams are made of.
fn stock(which: usize) -> Vec<u8> {
    match which {
        0 => smallest(),
        1 => signed(1),
        2 => signed(2),
        3 => full_frame(),
        4 => beacon(100, b'B'),
        5 => beacon(128, b'I'),
        _ => around(&signed(3), true),
    }
}

fn part() -> impl Strategy<Value = Part> {
    let which = || 0usize..7;
    let at = any::<Index>;
    prop_oneof![
        4 => which().prop_map(Part::Frame),
        2 => vec(prop_oneof![any::<u8>(), Just(b'B'), Just(b'I'), Just(b'T'), Just(1)], 0..60).prop_map(Part::Garbage),
        1 => (1usize..=4).prop_map(Part::MagicCut),
        1 => (which(), at()).prop_map(|(which, at)| Part::Cut(which, at)),
        1 => (which(), at()).prop_map(|(which, at)| Part::BitFlipped(which, at)),
        1 => (which(), at()).prop_map(|(which, at)| Part::Lost(which, at)),
        1 => (which(), at()).prop_map(|(which, at)| Part::Doubled(which, at)),
        1 => (which(), at(), any::<u16>()).prop_map(|(which, at, bits)| Part::Burst(which, at, bits)),
        1 => (which(), prop_oneof![0u64..400, any::<u64>()]).prop_map(|(which, len)| Part::PayloadLen(which, len)),
        1 => (vec(which(), 0..4), any::<bool>()).prop_map(|(which, other)| Part::Around(which, other)),
        1 => (vec(which(), 0..4), at()).prop_map(|(which, at)| Part::AroundDamaged(which, at)),
        1 => vec((any::<u8>(), prop_oneof![0u16..80, any::<u16>()]), 0..6).prop_map(Part::Header),
    ]
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        let several = |which: &[usize]| which.iter().flat_map(|&which| stock(which)).collect::<Vec<u8>>();
        match *self {
            Self::Frame(which) => stock(which),
            Self::Garbage(ref bytes) => bytes.clone(),
            Self::MagicCut(len) => b"BIT\x01"[..len].to_vec(),
            Self::Cut(which, at) => {
                let mut frame = stock(which);
                frame.truncate(at.index(frame.len()));
                frame
            }
            Self::BitFlipped(which, at) => {
                let mut frame = stock(which);
                let bit = at.index(8 * frame.len());
                frame[bit / 8] ^= 1 << (bit % 8);
                frame
            }
            Self::Lost(which, at) => {
                let mut frame = stock(which);
                frame.remove(at.index(frame.len()));
                frame
            }
            Self::Doubled(which, at) => {
                let mut frame = stock(which);
                let at = at.index(frame.len());
                frame.insert(at, frame[at]);
                frame
            }
            Self::Burst(which, at, bits) => {
                let mut frame = stock(which);
                burst(&mut frame, at.index(8 * stock(which).len() - 16), bits);
                frame
            }
            Self::PayloadLen(which, len) => {
                let mut frame = stock(which);
                frame[31..39].copy_from_slice(&len.to_be_bytes());
                frame
            }
            Self::Around(ref which, other_key) => around(&several(which), other_key),
            Self::AroundDamaged(ref which, at) => {
                let mut frame = around(&several(which), false);
                let bit = at.index(8 * frame.len());
                frame[bit / 8] ^= 1 << (bit % 8);
                frame
            }
            // TLVs that may be cut short, out of order or unknown.
            Self::Header(ref tlvs) => {
                let mut header = smallest()[..39].to_vec();
                for &(tlv_type, len) in tlvs {
                    header.push(tlv_type);
                    header.extend(len.to_be_bytes());
                    header.resize(header.len() + usize::from(len.min(100)), 0);
                }
                header
            }
        }
    }
}

/// Changes up to 16 bits from `bit` on.
fn burst(frame: &mut [u8], bit: usize, bits: u16) {
    for i in (0..16).filter(|i| bits >> i & 1 == 1) {
        frame[(bit + i) / 8] ^= 0x80 >> ((bit + i) % 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_raw_stream_is_read_alike_however_it_is_cut(
        parts in vec(part(), 0..12), lengths in vec(0usize..200, 0..20), with_key: bool,
    ) {
        let stream: Vec<u8> = parts.iter().flat_map(Part::bytes).collect();
        let key = key();
        let key = with_key.then_some(&key);
        agree::<44>(&stream, &lengths, key);
        agree::<107>(&stream, &lengths, key);
        agree::<256>(&stream, &lengths, key);
        agree::<1024>(&stream, &lengths, key);
    }

    #[test]
    fn a_whole_frame_is_found_whatever_is_around_it(
        before in vec(any::<u8>(), 0..300), after in vec(any::<u8>(), 0..300), which in 0usize..6, lengths in vec(0usize..200, 0..9),
    ) {
        let frame = stock(which);
        let stream = [&before[..], &frame, &after].concat();
        let seen = agree::<512>(&stream, &lengths, None);
        // 4 random bytes are a magic once in 2^32 times.
        prop_assert_eq!(frames(&seen), [(before.len() as u64, &frame[..])]);
    }

    #[test]
    fn finishing_in_the_middle_begins_anew_and_counts_on(
        first in vec(part(), 0..5), second in vec(part(), 0..5), lengths in vec(0usize..100, 0..9),
    ) {
        let [first, second] = [first, second].map(|parts| parts.iter().flat_map(Part::bytes).collect::<Vec<u8>>());
        let mut reader = FrameReader::<256>::new();
        let mut seen = Vec::new();
        let mut expected = naive(&first, 256, None);
        for mut event in naive(&second, 256, None) {
            let base = first.len() as u64;
            event.range = event.range.start + base..event.range.end + base;
            event.is = event.is.map_err(|(kind, offset)| (kind, offset + base));
            expected.push(event);
        }
        for stream in [&first, &second] {
            for mut piece in cut(stream, &lengths) {
                seen.extend(std::iter::from_fn(|| reader.feed(&mut piece).map(Seen::from)));
            }
            seen.extend(std::iter::from_fn(|| reader.finish().map(Seen::from)));
            prop_assert!(reader.finish().is_none(), "once is enough");
        }
        prop_assert_eq!(seen, expected);
    }
}

// ---- one case each ----

#[test]
fn frames_back_to_back_between_garbage() {
    let (a, b, c) = (signed(1), smallest(), full_frame());
    let stream = [b"noise before", &a[..], &b, &c, &a, b"and behind"].concat();
    let seen = agree::<1024>(&stream, &[7], None);
    let at = [12, 12 + a.len(), 12 + a.len() + 44, 12 + a.len() + 44 + c.len()].map(|at| at as u64);
    assert_eq!(frames(&seen), [(at[0], &a[..]), (at[1], &b), (at[2], &c), (at[3], &a)]);
    assert_eq!(seen.len(), 6);
    let behind = stream.len() - 10;
    let kind = |found| ErrorKind::Magic { found };
    assert_eq!(seen[0], Seen::skipped(0..12, kind(*b"nois"), 0));
    assert_eq!(seen[5], Seen::skipped(behind..stream.len(), kind(*b"and "), behind));
}

#[test]
fn a_magic_within_a_payload_starts_no_frame() {
    let outer = around(&[&signed(1)[..], b"BIT\x01", &signed(2)].concat(), false);
    assert_eq!(frames(&agree::<512>(&outer, &[3], None)), [(0, &outer[..])]);
    // Where the one around them is damaged, what is within is found.
    let mut damaged = outer.clone();
    damaged[5] ^= 0x10;
    let seen = agree::<512>(&damaged, &[3], None);
    assert_eq!(frames(&seen).iter().map(|found| found.1).collect::<Vec<_>>(), [signed(1), signed(2)]);
}

#[test]
fn a_corrupt_length_holds_up_no_more_than_the_buffer() {
    const N: usize = 256;
    for len in [0, 3, 5, 100, 155, 202, 203, 204, 205, 206, 1000, 1 << 32, u64::MAX - 2, u64::MAX] {
        let mut bad = smallest();
        bad[31..39].copy_from_slice(&u64::to_be_bytes(len));
        let (good, others) = (signed(1), beacon(120, 3).repeat(4));
        let stream = [&bad[..], &good, &others].concat();
        let mut reader = FrameReader::<N>::new();
        // One byte after the other: when does the frame right behind it come?
        let came = (1..).zip(stream.chunks(1)).find_map(|(came, mut byte)| {
            std::iter::from_fn(|| reader.feed(&mut byte).map(Seen::from))
                .any(|event| event.is.as_ref() == Ok(&good))
                .then_some(came)
        });
        assert!(came.is_some_and(|came| came <= bad.len().max(N)), "{len}: {came:?}");
        let seen = agree::<N>(&stream, &[11], None);
        let all: Vec<u8> = frames(&seen).into_iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        let expected =
            if len == 0 { [&bad[..], &good, &others].concat() } else { [&good[..], &others].concat() };
        assert_eq!(all, expected, "{len}");
    }
}

#[test]
fn every_lost_doubled_or_inserted_byte_and_every_burst_costs_the_frame_it_struck() {
    let (before, frame, after) = (signed(1), full_frame(), signed(2));
    let check = |damaged: &[u8]| {
        let stream = [&before[..], damaged, &after].concat();
        let seen = agree::<512>(&stream, &[13], None);
        let last = (before.len() + damaged.len()) as u64;
        let found = frames(&seen);
        let intact = damaged.windows(frame.len()).position(|part| part == frame);
        let mut expected = vec![(0, &before[..])];
        expected.extend(intact.map(|at| ((before.len() + at) as u64, &frame[..])));
        expected.push((last, &after));
        assert_eq!(found, expected);
    };
    for at in 0..frame.len() {
        for byte in [0, b'B', 0xFF] {
            check(&[&frame[..at], &[byte], &frame[at..]].concat());
        }
        check(&[&frame[..at], &frame[at..=at], &frame[at..]].concat());
        check(&[&frame[..at], &frame[at + 1..]].concat());
    }
    // Without digest and context, so that it is the CRC that finds the bursts.
    let frame = beacon(100, 0x5A);
    let mut random = Random(1);
    for bit in 0..8 * frame.len() - 16 {
        let mut damaged = frame.clone();
        burst(&mut damaged, bit, random.word() as u16 | 1);
        let seen = agree::<128>(&[&damaged[..], &after].concat(), &[9], None);
        assert_eq!(frames(&seen), [(100, &after[..])], "{bit}");
    }
}

#[test]
fn a_buffer_that_is_exactly_full_and_one_that_is_one_short() {
    let frame = beacon(128, 7);
    let stream = [&frame[..], &frame, &signed(1)].concat();
    for lengths in [[1], [127], [128], [129]] {
        let full = agree::<128>(&stream, &lengths, None);
        assert_eq!(frames(&full).len(), 3);
        let short = agree::<127>(&stream, &lengths, None);
        let kind = ErrorKind::FrameTooLong { needed: 128, max: 127 };
        assert_eq!(short[..2], [Seen::skipped(0..128, kind, 0), Seen::skipped(128..256, kind, 128)]);
        assert_eq!(frames(&short), [(256, &signed(1)[..])]);
    }
    assert_eq!(frames(&agree::<44>(&smallest(), &[5], None)), [(0, &smallest()[..])]);
    // Refused as soon as it is known: the header says so.
    let mut reader = FrameReader::<127>::new();
    let mut input = &frame[..49];
    assert!(reader.feed(&mut input).is_none(), "the stretch may go on");
    let mut input = &signed(1)[..4];
    let event = reader.feed(&mut input).map(Seen::from);
    assert_eq!(event, Some(Seen::skipped(0..49, ErrorKind::FrameTooLong { needed: 128, max: 127 }, 0)));
}

#[test]
fn garbage_takes_no_memory() {
    for fill in [0, 0xFF, b'B'] {
        let capture = [&signed(1)[..], &vec![fill; 1 << 20], &signed(2)].concat();
        let mut frames = 0;
        let most = largest::largest(|| {
            frames = Recover::new(&capture).filter(|e| matches!(e, Event::Frame { .. })).count()
        });
        assert_eq!((frames, most), (2, 0));
    }
    // Where long frames are damaged: 2 bytes for each KiB, in a table that grows by doubling.
    let capture = nested(1 << 20, 44, usize::MAX / 2, false);
    let most =
        largest::largest(|| assert!(Recover::new(&capture).all(|event| matches!(event, Event::Skipped(_)))));
    assert!((1024..=8192).contains(&most), "{most}");
}

#[test]
fn a_frame_is_handed_out_with_its_last_byte() {
    for frame in (0..7).map(stock) {
        let mut reader = FrameReader::<512>::new();
        let (mut start, mut last) = (&frame[..frame.len() - 1], &frame[frame.len() - 1..]);
        assert!(reader.feed(&mut start).is_none());
        assert_eq!(reader.feed(&mut last).map(Seen::from), Some(Seen::frame(0..frame.len() as u64, &frame)));
        assert!(reader.finish().is_none());
    }
}

#[test]
fn random_bytes_are_no_frames() {
    let mut bytes = vec![0; 1 << 20];
    Random(5).fill(&mut bytes);
    // A magic every 64 bytes, or nothing would ever be looked at.
    for at in (0..bytes.len()).step_by(64) {
        bytes[at..at + 4].copy_from_slice(b"BIT\x01");
    }
    for key in [None, Some(&key())] {
        let seen = read::<1024>(bytes.chunks(777), key);
        tiles(&seen, bytes.len());
        assert_eq!((seen.len(), frames(&seen)), ((1 << 20) / 64, vec![]));
        assert_eq!(recover(&bytes, Some(1024), key), seen);
    }
}

#[test]
fn forged_frames_between_good_ones_are_damage_to_whoever_has_the_key() {
    let (good, key) = (signed(1), key());
    let mut tampered = signed(2);
    let payload = tampered.len() - 4;
    tampered[payload] ^= 1;
    fix_crc(&mut tampered);
    for (forged, kind) in [
        (around(b"unsigned", false), ErrorKind::HmacMissing),
        (around(b"another's", true), ErrorKind::Hmac),
        (tampered, ErrorKind::Hmac),
    ] {
        let stream = [&good[..], &forged, &good, &forged, &forged].concat();
        assert_eq!(frames(&agree::<512>(&stream, &[17], None)).len(), 5, "they are frames to all others");
        let seen = agree::<512>(&stream, &[17], Some(&key));
        let second = (good.len() + forged.len()) as u64;
        assert_eq!(frames(&seen), [(0, &good[..]), (second, &good)]);
        let reasons: Vec<_> =
            seen.iter().filter_map(|event| event.is.as_ref().err()).map(|why| why.0).collect();
        assert_eq!(reasons, [kind; 3]);
    }
}

#[test]
fn a_forged_frame_hides_no_good_one_from_whoever_has_the_key() {
    let (good, key) = (signed(1), key());
    for depth in 1..4 {
        let mut stream = good.clone();
        for _ in 0..depth {
            stream = around(&[b"in front", &stream[..], b"behind"].concat(), true);
        }
        assert_eq!(frames(&agree::<1024>(&stream, &[19], None)), [(0, &stream[..])]);
        let seen = agree::<1024>(&stream, &[19], Some(&key));
        let at = stream.windows(good.len()).position(|part| part == good).unwrap();
        assert_eq!(frames(&seen), [(at as u64, &good[..])], "{depth}");
    }
    // Unless it is too long for the reader, which changes nothing about the one within.
    let stream = around(&[&good[..], &[0; 600]].concat(), false);
    let seen = agree::<256>(&stream, &[19], Some(&key));
    assert_eq!(frames(&seen).len(), 1);
}

#[test]
fn reading_with_and_without_a_key_in_turn() {
    let (good, key) = (signed(1), key());
    assert!(Key::new(KEY).is_ok());
    let unsigned = smallest();
    let mut reader = FrameReader::<256>::new();
    let mut input = &[&good[..], &unsigned, &unsigned, &good].concat()[..];
    assert_eq!(reader.feed_verified(&mut input, &key).unwrap().range(), &(0..91));
    assert_eq!(reader.feed(&mut input).unwrap().range(), &(91..135));
    assert!(matches!(reader.feed_verified(&mut input, &key), Some(Event::Skipped(_))));
    assert_eq!(reader.feed_verified(&mut input, &key).unwrap().range(), &(179..270));
}

// ---- hostile captures ----

#[test]
fn long_frames_are_recovered_as_short_ones_are() {
    let config = Config::new(Kind::GIST, Element::Structured, 0, 0, 0);
    let long = |payload: &[u8], sign: bool| {
        let key = key();
        let frame = FrameBuilder::new(ContextHash([payload.len() as u8; 8]), config, payload);
        if sign { frame.sign(&key) } else { frame }.encode().unwrap()
    };
    let mut random = Random(3);
    let mut payload = vec![0; 9000];
    random.fill(&mut payload);
    payload[5000..5091].copy_from_slice(&signed(1));
    for len in [4040, 4048, 4049, 4090, 5500, 9000] {
        for sign in [false, true] {
            let good = long(&payload[..len], sign);
            let outer = long(&[&good[..7], &good, &payload[..len]].concat(), sign);
            let mut streams = vec![[&b"in front"[..], &good, &outer, &signed(2)].concat(), good.repeat(3)];
            for at in [5, 30, 38, 60, 100, outer.len() / 2, outer.len() - 2, outer.len() - 1] {
                let mut damaged = outer.clone();
                damaged[at] ^= 0x20;
                streams.push([&damaged[..], &good].concat());
                // The CRC made good, so that it is for the digest to tell.
                fix_crc(&mut damaged);
                streams.push([&b"BIT"[..], &damaged, &good].concat());
                streams.push(damaged[..damaged.len() - 1].to_vec());
            }
            for stream in streams {
                agree::<16_384>(&stream, &[1000, 24, 1], None);
                agree::<4097>(&stream, &[1000, 24, 1], Some(&key()));
            }
        }
    }
}

/// Starts of frames, one every `apart` bytes, each with a payload and CRC that end `reach` bytes on, or where the capture ends.
fn nested(len: usize, apart: usize, reach: usize, digest: bool) -> Vec<u8> {
    let header_len = if digest { 78 } else { 42 };
    assert!(apart >= header_len);
    let mut bytes = vec![0; len];
    let starts: Vec<usize> = (0..len / apart).map(|i| i * apart).filter(|at| at + apart + 2 <= len).collect();
    for &at in &starts {
        let mut header = smallest()[..39].to_vec();
        if digest {
            // A digest that is wrong.
            header.extend(b"\xF0\x00\x21\x01");
            header.extend([0xDD; 32]);
            header.extend(b"\xFF\0\0");
        } else {
            header.extend(b"\xFF\0\0");
        }
        let end = at.saturating_add(reach).min(len);
        let payload = (end - 2).saturating_sub(at + header.len()) as u64;
        header[31..39].copy_from_slice(&payload.to_be_bytes());
        bytes[at..at + header.len()].copy_from_slice(&header);
    }
    bytes
}

/// The two bytes of ctx for which the CRC over `block`, from its ctx to the ctx of the next, leaves FFFF: a CRC begun there goes on
/// as one begun within. Then if the CRC of the innermost frame is right, so are all of those around it that end where it does.
fn tune(block: &mut [u8], inverse: &[u16]) {
    block[4..6].fill(0);
    let fix = inverse[usize::from(crc16(&block[4..]) ^ 0xFFFF)];
    block[4..6].copy_from_slice(&fix.to_be_bytes());
}

/// For each change of the CRC over `len` bytes, the first two of them that make it, from 0.
fn inverse(len: usize) -> Vec<u16> {
    let mut block = vec![0; len];
    let zero = crc16(&block);
    let mut inverse = vec![0; 1 << 16];
    for fix in 0..=u16::MAX {
        block[..2].copy_from_slice(&fix.to_be_bytes());
        inverse[usize::from(crc16(&block) ^ zero)] = fix;
    }
    inverse
}

/// Many frames within each other, all of which end where the capture does, and all with the right CRC.
fn nested_with_right_crcs(len: usize) -> Vec<u8> {
    const APART: usize = 80;
    let mut bytes = nested(len, APART, usize::MAX / 2, true);
    // From one ctx to the next: 76 bytes of this block and the next magic.
    let inverse = inverse(APART);
    let count = (bytes.len() - 2) / APART;
    for i in 0..count - 1 {
        tune(&mut bytes[i * APART..][..APART + 4], &inverse);
    }
    let last = (count - 1) * APART;
    fix_crc(&mut bytes[last..]);
    bytes
}

/// Reads hostile captures of `len` bytes. Nothing asserts a time: where the cost is not linear, this does not come back.
fn hostile(len: usize) {
    let (good, key) = (smallest(), key());
    let time = |name: &str, capture: &[u8], key: Option<&Key>| {
        let start = std::time::Instant::now();
        let seen = recover(capture, None, key);
        println!("{name}, {} bytes: {} events, {:?}", capture.len(), seen.len(), start.elapsed());
        tiles(&seen, capture.len());
        seen
    };
    // Lengths that reach to the end, and CRCs that are wrong.
    let mut capture = nested(len, 44, usize::MAX / 2, false);
    capture.extend(&good);
    let seen = time("wrong CRCs to the end", &capture, None);
    assert_eq!(frames(&seen), [(len as u64, &good[..])], "what is good is found");
    // As far as is cheap to read, and no further.
    for reach in [4096, 4097, 65_536] {
        let mut capture = nested(len, 44, reach, false);
        capture.extend(&good);
        let seen = time(&format!("wrong CRCs {reach} bytes on"), &capture, None);
        assert_eq!(frames(&seen), [(len as u64, &good[..])]);
    }
    // CRCs that are right, and digests that are wrong.
    let mut capture = nested_with_right_crcs(len);
    capture.extend(&good);
    for start in [0, 80, 80 * 77, 80 * 1234] {
        assert_eq!(Frame::parse(&capture[start..]).unwrap_err().kind(), ErrorKind::Digest, "{start}");
    }
    let seen = time("right CRCs to the end", &capture, None);
    assert_eq!(frames(&seen), [(len as u64, &good[..])], "what is behind it all is found");
    // The first of them were hashed, each from its start to the end, 16 MiB or 16 times the capture in all. Then no more: the rest
    // is one stretch.
    assert!(seen.len() < 80 && seen[seen.len() - 2].range.end == len as u64, "{}", seen.len());
    // With a key the good frame, which is not signed, is none.
    let seen = time("right CRCs to the end, with a key", &capture, Some(&key));
    assert_eq!(frames(&seen), []);
}

#[test]
fn hostile_captures_come_to_an_end() {
    hostile(1 << 20);
}

#[test]
#[ignore = "16 MiB: cargo test --release --test stream -- --ignored --nocapture"]
fn large_hostile_captures_come_to_an_end() {
    hostile(1 << 24);
}

// ---- noise ----

/// What spec/stream.md promises of each frame, at every rate of errors.
#[test]
fn a_noisy_line_costs_the_frames_it_struck() {
    let mut all = Vec::new();
    for &framing in Framing::ALL {
        for (size, count) in [(Size::Bare, 150), (Size::Small, 100), (Size::Real, 12)] {
            for bit_errors in [0.0, 1e-5, 1e-4, 1e-3, 1e-2] {
                for (lost, doubled) in [(0.0, 0.0), (1e-3, 0.0), (0.0, 1e-3)] {
                    let line = Damage { bit_errors, lost, doubled };
                    let (_, crc, mac) = noise::send(size, count, framing, line, 42);
                    let name = format!("{framing:?} {size:?} {line:?}");
                    assert_eq!(mac.false_accepts, 0, "{name}: a forged frame");
                    assert_eq!((crc.against_the_rule, mac.against_the_rule), (0, 0), "{name}");
                    // So with a key, which leaves no false frames, the frames that arrived whole are those handed out.
                    assert_eq!((mac.delivered, mac.lost_whole), (count - mac.damaged, 0), "{name}");
                    assert!(crc.delivered + crc.lost_whole == mac.delivered, "{name}");
                    let held_up = mac.held_up.last().copied().unwrap_or_default();
                    let limit = if framing == Framing::Raw { noise::MAX_FRAME as u64 } else { 1 };
                    assert!(held_up < limit, "{name}: held up for {held_up} bytes");
                    if bit_errors + lost + doubled == 0.0 {
                        assert_eq!((mac.delivered, crc.delivered), (count, count));
                        assert!(mac.resync.is_empty() && held_up == 0);
                    }
                    all.push(mac);
                }
            }
        }
    }
    // The noise did something, and not always the same.
    let sum = |count: fn(&Figures) -> usize| all.iter().map(count).sum::<usize>();
    assert!(sum(|f| f.damaged) > sum(|f| f.sent) / 10 && sum(|f| f.delivered) > sum(|f| f.sent) / 10);
    assert!(
        all.iter().any(|figures| figures.held_up.last() > Some(&1000)),
        "a damaged length held frames up"
    );
}

#[test]
fn a_seed_gives_the_same_line_again() {
    let line = Damage { bit_errors: 1e-3, lost: 1e-3, doubled: 1e-3 };
    let send = |seed| noise::send(Size::Small, 30, Framing::Raw, line, seed);
    assert_eq!(send(1).0.bytes, send(1).0.bytes);
    assert_ne!(send(1).0.bytes, send(2).0.bytes);
    assert_eq!(send(3).1, send(3).1);
    // SplitMix64 from 1234567, as its authors' code gives it.
    let mut random = Random(1_234_567);
    assert_eq!([random.word(), random.word()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
}

#[test]
fn a_crc_alone_finds_what_it_promises_to_find() {
    // Every error of up to 3 bits, and of an odd number of bits: x + 1 divides the polynomial.
    for bits in [1, 2, 3, 5, 7] {
        assert_eq!(noise::false_accepts(100, Some(bits), 20_000, 1).unwrap(), 0, "{bits} bits");
    }
    // p = 3 in 10: R's binom::binom.wilson(3, 10) gives 0.1077913 to 0.6032219.
    let (low, high) = noise::interval(3, 10);
    assert!((low - 0.107_791_3).abs() < 1e-6 && (high - 0.603_221_9).abs() < 1e-6, "{low} {high}");
}

// ---- COBS ----

#[cfg(feature = "cobs")]
mod cobs {
    use super::*;
    use bitwire::stream::{Cobs, RecoverCobs, cobs_encode_into, cobs_encoded_len};

    fn encoded(frame: &[u8]) -> Vec<u8> {
        let mut out = vec![0; cobs_encoded_len(frame.len())];
        let len = cobs_encode_into(frame, &mut out).unwrap();
        out.truncate(len);
        out
    }

    /// The rules of spec/stream.md, "Streams in COBS", word for word.
    fn naive(stream: &[u8], max: usize, key: Option<&Key>) -> Vec<Seen> {
        let (mut start, mut seen) = (0, Vec::new());
        for segment in stream.split_inclusive(|&byte| byte == 0) {
            let end = start + segment.len();
            let (runs, ended) = segment.strip_suffix(&[0]).map_or((segment, false), |runs| (runs, true));
            let (mut decoded, mut rest, mut cut_off) = (Vec::new(), runs, false);
            while let [n, behind @ ..] = rest {
                let len = usize::from(*n) - 1;
                cut_off = len > behind.len();
                let (run, next) = behind.split_at(len.min(behind.len()));
                decoded.extend(run);
                if *n < 255 && !next.is_empty() {
                    decoded.push(0);
                }
                rest = next;
            }
            let too_long = ErrorKind::FrameTooLong { needed: max as u64 + 1, max: max as u64 };
            let missing =
                ErrorKind::Truncated { field: "zero byte after a frame in COBS", needed: 1, available: 0 };
            if runs.is_empty() {
            } else if decoded.len() > max {
                seen.push(Seen::skipped(start..end, too_long, start));
            } else if !ended {
                seen.push(Seen::skipped(start..end, missing, end));
            } else if cut_off {
                seen.push(Seen::skipped(start..end, ErrorKind::Cobs, end - 1));
            } else {
                let frame = Frame::parse_exact(&decoded);
                let checked = frame.and_then(|frame| key.map_or(Ok(()), |key| frame.verify(key).map(drop)));
                seen.push(match checked {
                    Ok(()) => Seen::frame(start as u64..end as u64, &decoded),
                    Err(error) => Seen::skipped(start..end, error.kind(), error.offset() as usize),
                });
            }
            start = end;
        }
        seen
    }

    fn read<'p, const N: usize>(pieces: impl IntoIterator<Item = &'p [u8]>, key: Option<&Key>) -> Vec<Seen> {
        let (mut reader, mut seen) = (FrameReader::<N, Cobs>::cobs(), Vec::new());
        for mut piece in pieces {
            match key {
                Some(key) => {
                    seen.extend(std::iter::from_fn(|| reader.feed_verified(&mut piece, key).map(Seen::from)))
                }
                None => seen.extend(std::iter::from_fn(|| reader.feed(&mut piece).map(Seen::from))),
            }
        }
        match key {
            Some(key) => seen.extend(std::iter::from_fn(|| reader.finish_verified(key).map(Seen::from))),
            None => seen.extend(std::iter::from_fn(|| reader.finish().map(Seen::from))),
        }
        seen
    }

    fn recover(stream: &[u8], max: Option<u64>, key: Option<&Key>) -> Vec<Seen> {
        let mut recover = RecoverCobs::new(stream);
        if let Some(max) = max {
            recover = recover.with_max_frame(max);
        }
        std::iter::from_fn(|| match key {
            Some(key) => recover.next_verified(key).map(Seen::from),
            None => recover.next_event().map(Seen::from),
        })
        .collect()
    }

    #[track_caller]
    fn agree<const N: usize>(stream: &[u8], lengths: &[usize], key: Option<&Key>) -> Vec<Seen> {
        let expected = naive(stream, N, key);
        assert_eq!(read::<N>([stream], key), expected, "whole");
        assert_eq!(read::<N>(stream.chunks(1), key), expected, "byte by byte");
        assert_eq!(read::<N>(cut(stream, lengths), key), expected, "in pieces");
        assert_eq!(recover(stream, Some(N as u64), key), expected, "recovered");
        assert_eq!(recover(stream, None, key), naive(stream, stream.len(), key), "without a bound");
        // What lies between the events are zero bytes.
        let mut at = 0;
        for event in &expected {
            assert!(stream[at..event.range.start as usize].iter().all(|&byte| byte == 0));
            at = event.range.end as usize;
        }
        assert!(stream[at..].iter().all(|&byte| byte == 0));
        expected
    }

    /// What may stand in a stream in COBS.
    fn segments() -> impl Strategy<Value = Vec<u8>> {
        let raw = || part().prop_map(|part| part.bytes());
        prop_oneof![
            4 => raw().prop_map(|bytes| encoded(&bytes)),
            // Damaged after it was encoded.
            3 => (raw(), any::<Index>(), any::<u8>()).prop_map(|(bytes, at, byte)| {
                let mut bytes = encoded(&bytes);
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes
            }),
            1 => (raw(), any::<Index>()).prop_map(|(bytes, at)| {
                let mut bytes = encoded(&bytes);
                bytes.remove(at.index(bytes.len()));
                bytes
            }),
            1 => raw(),
            1 => vec(prop_oneof![Just(0), Just(1), Just(2), Just(255), any::<u8>()], 0..20),
            // Longer than it has to be: an empty run, in front or behind.
            1 => (0usize..7).prop_map(|which| [&[255][..], &[1; 254], &encoded(&stock(which))].concat()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_stream_in_cobs_is_read_alike_however_it_is_cut(
            parts in vec(segments(), 0..10), lengths in vec(0usize..200, 0..20), with_key: bool,
        ) {
            let stream = parts.concat();
            let key = key();
            let key = with_key.then_some(&key);
            agree::<44>(&stream, &lengths, key);
            agree::<107>(&stream, &lengths, key);
            agree::<1024>(&stream, &lengths, key);
        }

        #[test]
        fn what_was_encoded_is_decoded(bytes in vec(prop_oneof![any::<u8>(), Just(0)], 0..700)) {
            let stream = encoded(&bytes);
            prop_assert_eq!(stream.iter().filter(|&&byte| byte == 0).count(), 1);
            // Of a frame in a frame's payload, which is what is encoded, nothing is lost.
            let frame = around(&bytes, true);
            prop_assert_eq!(agree::<1024>(&encoded(&frame), &[3], None), [Seen::frame(0..encoded(&frame).len() as u64, &frame)]);
        }

        #[test]
        fn finishing_in_the_middle_begins_anew(
            first in vec(segments(), 0..4), second in vec(segments(), 0..4), lengths in vec(0usize..100, 0..9),
        ) {
            let [first, second] = [first.concat(), second.concat()];
            let (mut reader, mut seen) = (FrameReader::<256, Cobs>::cobs(), Vec::new());
            for stream in [&first, &second] {
                for mut piece in cut(stream, &lengths) {
                    seen.extend(std::iter::from_fn(|| reader.feed(&mut piece).map(Seen::from)));
                }
                seen.extend(std::iter::from_fn(|| reader.finish().map(Seen::from)));
            }
            let base = first.len() as u64;
            let mut expected = naive(&first, 256, None);
            for mut event in naive(&second, 256, None) {
                event.range = event.range.start + base..event.range.end + base;
                let in_stream = |kind| matches!(kind, ErrorKind::FrameTooLong { .. } | ErrorKind::Cobs)
                    || matches!(kind, ErrorKind::Truncated { field: "zero byte after a frame in COBS", .. });
                event.is = event.is.map_err(|(kind, offset)| (kind, if in_stream(kind) { offset + base } else { offset }));
                expected.push(event);
            }
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn encodings_as_published() {
        // From the paper and the examples that are handed round with it (zero byte included).
        let to_254: Vec<u8> = (1..=254).collect();
        for (bytes, expected) in [
            (&[][..], &[1, 0][..]),
            (&[0], &[1, 1, 0]),
            (&[0, 0], &[1, 1, 1, 0]),
            (&[0, 0x11, 0], &[1, 2, 0x11, 1, 0]),
            (&[0x11, 0x22, 0, 0x33], &[3, 0x11, 0x22, 2, 0x33, 0]),
            (&[0x11, 0x22, 0x33, 0x44], &[5, 0x11, 0x22, 0x33, 0x44, 0]),
            (&[0x11, 0, 0, 0], &[2, 0x11, 1, 1, 1, 0]),
            (&[&[0][..], &to_254].concat(), &[&[1, 0xFF][..], &to_254, &[0]].concat()),
            (&[&to_254[1..], &[255, 0]].concat(), &[&[0xFF][..], &to_254[1..], &[255, 1, 1, 0]].concat()),
            (&[&to_254[2..], &[255, 0, 1]].concat(), &[&[0xFE][..], &to_254[2..], &[255, 2, 1, 0]].concat()),
        ] {
            assert_eq!(encoded(bytes), expected, "{bytes:?}");
            assert!(cobs_encoded_len(bytes.len()) >= expected.len());
        }
        let mut short = [0; 5];
        let error = cobs_encode_into(&[1, 2, 3, 4], &mut short).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BufferTooSmall { needed: 6, available: 5 });
    }

    #[test]
    fn damage_ends_at_the_next_zero_byte() {
        let (a, b) = (encoded(&signed(1)), encoded(&full_frame()));
        for at in 0..b.len() {
            for byte in [b[at] ^ 1, b[at] ^ 0x80, 0] {
                let mut damaged = b.clone();
                damaged[at] = byte;
                let stream = [&[0][..], &a, &damaged, &a, &a].concat();
                let seen = agree::<512>(&stream, &[23], None);
                let starts: Vec<u64> = frames(&seen).iter().map(|found| found.0).collect();
                let mut expected =
                    vec![1, 1 + (a.len() + b.len()) as u64, 1 + (2 * a.len() + b.len()) as u64];
                // Its zero byte gone, it takes the next with it.
                if at == b.len() - 1 && byte != 0 {
                    expected.remove(1);
                } else if damaged == b {
                    expected.insert(1, 1 + a.len() as u64);
                }
                assert_eq!(starts, expected, "{at} {byte}");
            }
        }
    }

    #[test]
    fn a_buffer_that_is_exactly_full_and_one_that_is_one_short() {
        let frame = beacon(128, 7);
        let (long, short) = (encoded(&frame), encoded(&signed(1)));
        let stream = [&long[..], &short, &long].concat();
        assert_eq!(frames(&agree::<128>(&stream, &[1], None)).len(), 3);
        let seen = agree::<127>(&stream, &[1], None);
        let kind = ErrorKind::FrameTooLong { needed: 128, max: 127 };
        assert_eq!(seen[0], Seen::skipped(0..long.len(), kind, 0));
        assert_eq!(frames(&seen), [(long.len() as u64, &signed(1)[..])]);
    }

    #[test]
    fn garbage_takes_no_memory() {
        let good = encoded(&signed(1));
        for fill in [0xFF, 1, b'B'] {
            let capture = [&good[..], &vec![fill; 1 << 20], &[0], &good].concat();
            let mut recover = RecoverCobs::new(&capture);
            let mut frames = 0;
            let most = largest::largest(|| {
                while let Some(event) = recover.next_event() {
                    frames += u32::from(matches!(event, Event::Frame { .. }));
                }
            });
            assert_eq!(frames, 2);
            assert!(most <= 256, "{most} bytes for frames of 91");
            // It is counted all the same.
            agree::<1024>(&capture[..good.len() + 2000], &[100], None);
            agree::<1024>(&[&capture[..good.len() + 1000], &[0], &good].concat(), &[100], None);
        }
    }

    #[test]
    fn forged_frames_are_damage_to_whoever_has_the_key() {
        let (good, key) = (encoded(&signed(1)), key());
        let forged = encoded(&around(&signed(2), true));
        let stream = [&good[..], &forged, &good].concat();
        assert_eq!(frames(&agree::<512>(&stream, &[9], None)).len(), 3);
        let seen = agree::<512>(&stream, &[9], Some(&key));
        assert_eq!(frames(&seen), [(0, &signed(1)[..]), ((good.len() + forged.len()) as u64, &signed(1))]);
        assert!(matches!(seen[1].is, Err((ErrorKind::Hmac, _))));
    }
}

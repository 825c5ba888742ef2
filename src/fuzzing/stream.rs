//! Streams of frames, raw and in COBS: arbitrary bytes, and frames that were sent and damaged on the way.

use alloc::vec::Vec;
use core::ops::Range;

use super::second_stream::{self as second, Rules, Seen};
use super::{Choices, plausible, turn};
use crate::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Key, Kind};
use crate::stream::{Event, FrameReader, Recover, RecoverCobs, Skipped, cobs_encode_into, cobs_encoded_len};

/// That of spec/vectors.
const KEY: &[u8] = b"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1A\x1B\x1C\x1D\x1E\x1F !\"#$%&'()*+,-./";

/// [`FrameReader`], [`Recover`] and [`RecoverCobs`]: however a stream is cut, its events are those of a second reader, and so
/// are those of a capture. The first byte says whether the input is a stream as it is, or the choices of one that is made of frames and
/// damage; then every frame that the damage left alone comes out again.
pub fn stream(data: &[u8]) {
    let mut choices = Choices(data);
    let how = choices.byte();
    let cuts = choices.array();
    let (made, in_cobs) = (how & 1 == 1, how & 2 == 2);
    let rules = Rules { max: SIZES[usize::from(how >> 4) % SIZES.len()], key: (how & 4 == 4).then_some(KEY) };
    if made {
        let line = Line::of(&mut choices, in_cobs, rules);
        let bytes: Vec<u8> = line.bytes.iter().map(|(byte, _)| *byte).collect();
        line.holds(&bytes, &read_alike(&bytes, in_cobs, rules, cuts));
    } else {
        read_alike(choices.0, in_cobs, rules, cuts);
    }
}

/// Magic, ctx, CONFIG_V1, FLAGS_V1, END and CRC.
const LEAST: usize = 4 + 8 + 27 + 7 + 3 + 2;

/// Sizes of readers.
const SIZES: [usize; 5] = [1000, 200, 44, 61, 333];

fn seen<F>(event: Event<F>, len: usize, bytes: impl FnOnce(&F) -> Vec<u8>) -> Seen {
    match event {
        Event::Frame { range, frame } => Seen { range, what: Ok(bytes(&frame)) },
        Event::Skipped(skipped) => {
            plausible(&skipped.reason, len);
            super::printable(&skipped);
            let Skipped { range, reason } = skipped;
            Seen { range, what: Err((reason.kind().name(), reason.offset())) }
        }
    }
}

/// A frame's bytes; what it is made of makes the same frame again.
fn again(frame: &Frame<'_>) -> Vec<u8> {
    assert_eq!(frame.to_builder().encode().unwrap(), frame.as_bytes());
    frame.as_bytes().to_vec()
}

/// All events of one call after another, with a key or without.
macro_rules! all {
    ($seen:ident, $len:expr, $optional:expr, $plain:expr, |$key:ident| $verified:expr) => {
        if let Some($key) = $optional {
            while let Some(event) = $verified {
                $seen.push(seen(event, $len, |frame| again(frame)));
            }
        } else {
            while let Some(event) = $plain {
                $seen.push(seen(event, $len, |frame| again(frame)));
            }
        }
    };
}

/// What a reader says of pieces, at the end of some of which the stream ends and begins anew.
macro_rules! fed {
    ($reader:expr, $pieces:expr, $len:expr, $key:expr) => {{
        let (mut reader, mut found) = ($reader, Vec::new());
        for (mut piece, ends) in $pieces {
            all!(found, $len, $key, reader.feed(&mut piece), |key| reader.feed_verified(&mut piece, key));
            assert!(piece.is_empty());
            if ends {
                all!(found, $len, $key, reader.finish(), |key| reader.finish_verified(key));
            }
        }
        all!(found, $len, $key, reader.finish(), |key| reader.finish_verified(key));
        found
    }};
}

/// Pieces of a stream, and whether the stream ends with them.
type Pieces<'a> = Vec<(&'a [u8], bool)>;

fn fed<const N: usize>(in_cobs: bool, pieces: Pieces<'_>, len: usize, key: Option<&Key>) -> Vec<Seen> {
    if in_cobs {
        fed!(FrameReader::<N, _>::cobs(), pieces, len, key)
    } else {
        fed!(FrameReader::<N>::new(), pieces, len, key)
    }
}

fn recovered(stream: &[u8], in_cobs: bool, max: Option<usize>, key: Option<&Key>) -> Vec<Seen> {
    let (mut found, len) = (Vec::new(), stream.len());
    if in_cobs {
        let mut recover = RecoverCobs::new(stream);
        if let Some(max) = max {
            recover = recover.with_max_frame(max as u64);
        }
        all!(found, len, key, recover.next_event(), |key| recover.next_verified(key));
    } else {
        let mut recover = Recover::new(stream);
        if let Some(max) = max {
            recover = recover.with_max_frame(max as u64);
        }
        all!(found, len, key, recover.next(), |key| recover.next_verified(key));
    }
    found
}

/// The events of a stream, on which all readers agree.
fn read_alike(stream: &[u8], in_cobs: bool, rules: Rules<'_>, cuts: [u8; 6]) -> Vec<Seen> {
    let key = rules.key.map(|key| Key::new(key).unwrap());
    let (key, len) = (key.as_ref(), stream.len());
    let naive = if in_cobs { second::cobs } else { second::raw };
    let expected = naive(stream, 0, rules);
    tiled(stream, in_cobs, &expected);

    assert_eq!(recovered(stream, in_cobs, Some(rules.max), key), expected);
    if len <= 4096 && turn(stream, 4) {
        // Up to there no frame is skipped because it took too much to hash.
        assert_eq!(
            recovered(stream, in_cobs, None, key),
            naive(stream, 0, Rules { max: usize::MAX, ..rules })
        );
    }
    let fed = match rules.max {
        44 => fed::<44>,
        61 => fed::<61>,
        200 => fed::<200>,
        333 => fed::<333>,
        1000 => fed::<1000>,
        other => panic!("{other}"),
    };
    assert_eq!(fed(in_cobs, [(stream, false)].into(), len, key), expected, "whole");
    if turn(stream, 4) {
        let bytes = stream.chunks(1).map(|byte| (byte, false)).collect();
        assert_eq!(fed(in_cobs, bytes, len, key), expected, "byte by byte");
    }
    let (mut pieces, mut rest) = (Vec::new(), stream);
    for cut in cuts.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        // Short pieces, a few long ones, and empty ones; never only these.
        let cut = if cut >= 0xF0 { usize::from(cut & 15) << 6 } else { usize::from(cut & 0x3F) };
        let (piece, more) = rest.split_at(cut.max(usize::from(pieces.len() % 4 == 3)).min(rest.len()));
        pieces.push((piece, false));
        rest = more;
    }
    assert_eq!(fed(in_cobs, pieces, len, key), expected, "in pieces");
    if !turn(stream, 4) {
        return expected;
    }

    // Two streams, one after the other; their ranges go on.
    let (first, second) = stream.split_at(usize::from(u16::from_le_bytes([cuts[0], cuts[1]])) % (len + 1));
    let mut both = naive(first, 0, rules);
    both.extend(naive(second, first.len() as u64, rules));
    assert_eq!(fed(in_cobs, [(first, true), (second, false)].into(), len, key), both, "in two");
    expected
}

/// Ranges follow each other without a gap, or with zero bytes between them in COBS; a raw frame is the bytes of its range, and
/// one in COBS is encoded to those of its range, or is shorter than these.
fn tiled(stream: &[u8], in_cobs: bool, events: &[Seen]) {
    let bytes = |range: &Range<u64>| &stream[range.start as usize..range.end as usize];
    let mut at = 0;
    for Seen { range, what } in events {
        assert!(range.start >= at && range.start < range.end, "{range:?}");
        assert!(bytes(&(at..range.start)).iter().all(|byte| in_cobs && *byte == 0), "{range:?}");
        match what {
            Ok(frame) if in_cobs => {
                let mut encoded = alloc::vec![0; cobs_encoded_len(frame.len())];
                let len = cobs_encode_into(frame, &mut encoded).unwrap();
                encoded.truncate(len);
                assert_eq!(encoded, second::segment(frame));
                let found = bytes(range);
                // All that may differ: a run of 1 after a full one.
                assert!(found == encoded || found == [&encoded[..len - 1], &[1, 0]].concat());
            }
            Ok(frame) => assert_eq!(frame, bytes(range)),
            Err(_) => {}
        }
        at = range.end;
    }
    let rest = &stream[at as usize..];
    assert!(rest.iter().all(|byte| in_cobs && *byte == 0));
}

/// A frame that was sent.
struct Sent {
    frame: Vec<u8>,
    /// Where it was sent, with the zero byte that ends it in COBS.
    place: Range<usize>,
    /// Whether the reader would take it.
    good: bool,
}

/// A line on which frames were sent.
struct Line {
    sent: Vec<Sent>,
    /// What arrives, each byte with the place where it was sent if it was sent, and arrives as it was sent.
    bytes: Vec<(u8, Option<usize>)>,
    in_cobs: bool,
    damaged: bool,
}

impl Line {
    fn of(choices: &mut Choices<'_>, in_cobs: bool, rules: Rules<'_>) -> Self {
        let (count, damages) = (choices.below(7), choices.below(6));
        let (mut sent, mut stream): (Vec<Sent>, Vec<u8>) = Default::default();
        for _ in 0..count {
            let (frame, signed) = frame(choices, &sent, rules.max);
            let good = frame.len() <= rules.max && (signed || rules.key.is_none());
            let start = stream.len();
            stream.extend(if in_cobs { second::segment(&frame) } else { frame.clone() });
            sent.push(Sent { frame, place: start..stream.len(), good });
        }
        let bytes = stream.into_iter().enumerate().map(|(at, byte)| (byte, Some(at))).collect();
        let mut line = Self { sent, bytes, in_cobs, damaged: damages > 0 };
        for _ in 0..damages {
            line.damage(choices);
        }
        line
    }

    fn damage(&mut self, choices: &mut Choices<'_>) {
        let (how, len) = (choices.byte(), self.bytes.len());
        let at = choices.below(len + 1);
        let end = (at + 1 + usize::from(how >> 3)).min(len);
        match how & 7 {
            // A burst of up to 16 bits.
            0 | 1 => {
                let mask = choices.array::<2>();
                for (place, mask) in self.bytes[at..].iter_mut().zip(mask).filter(|(_, mask)| *mask != 0) {
                    *place = (place.0 ^ mask, None);
                }
            }
            2 => drop(self.bytes.drain(at..end)),
            3 => drop(self.bytes.drain(at..len.min(at + 1))),
            4 => {
                let doubled = self.bytes[at..end].to_vec();
                self.bytes.splice(at..at, doubled);
            }
            5 => {
                let garbage = choices.bytes(1 + usize::from(how >> 3));
                self.bytes.splice(at..at, garbage.iter().map(|byte| (*byte, None)));
            }
            // A frame's start, or all of it.
            6 => {
                let cut = choices.below(512);
                if let Some(Sent { frame, .. }) =
                    self.sent.get(usize::from(how >> 3) % self.sent.len().max(1))
                {
                    let piece = frame[..cut.min(frame.len())].iter().map(|byte| (*byte, None));
                    self.bytes.splice(at..at, piece.collect::<Vec<_>>());
                }
            }
            // The line begins later, or ends sooner.
            _ if how >> 3 & 1 == 1 => drop(self.bytes.drain(..at)),
            _ => self.bytes.truncate(at),
        }
    }

    /// What came out of the line.
    fn holds(&self, bytes: &[u8], events: &[Seen]) {
        if !self.damaged && self.sent.iter().all(|sent| sent.good) {
            let frames: Vec<_> = self.sent.iter().map(|sent| Ok(sent.frame.clone())).collect();
            assert!(events.iter().map(|event| &event.what).eq(&frames), "{events:?}");
        }
        for sent in self.sent.iter().filter(|sent| sent.good) {
            let first = Some(sent.place.start);
            for at in (0..self.bytes.len()).filter(|&at| self.bytes[at].1 == first) {
                let arrived = self.bytes[at..].iter().map(|(_, place)| *place);
                if !arrived.take(sent.place.len()).eq(sent.place.clone().map(Some)) {
                    continue;
                }
                let (start, end) = (at as u64, (at + sent.place.len()) as u64);
                let delivered = events
                    .iter()
                    .any(|event| event.range == (start..end) && event.what.as_ref() == Ok(&sent.frame));
                // All that can keep an intact frame from being found. In COBS: that the zero byte before it is gone. In a raw
                // stream: that another frame, which was not sent there, passes and holds the intact one's first byte and bytes before it; every
                // stretch that is skipped ends at the intact one's magic at the latest.
                let kept = if self.in_cobs {
                    at > 0 && bytes[at - 1] != 0
                } else {
                    events.iter().any(|event| {
                        event.what.is_ok() && event.range.start < start && event.range.end > start
                    })
                };
                assert_eq!(delivered, !kept, "the frame at {at}: {events:?}");
            }
        }
    }
}

/// A frame as the choices say, and whether it is signed.
fn frame(choices: &mut Choices<'_>, earlier: &[Sent], max: usize) -> (Vec<u8>, bool) {
    let how = choices.byte();
    let len = match how & 3 {
        0 => choices.below(5),
        1 => choices.below(64),
        // About as long as the reader takes, unless it is signed or the like.
        2 => (max + choices.below(4)).saturating_sub(2 + LEAST),
        // Runs of COBS end at 254 bytes.
        _ => 246 + choices.below(20),
    };
    let payload = match how >> 2 & 3 {
        0 => {
            let mut payload = choices.bytes(len).to_vec();
            payload.resize(len, 0);
            payload
        }
        1 => (0..len).map(|i| (i % 255 + 1) as u8).collect(),
        2 => b"BIT\x01".iter().copied().cycle().take(len).collect(),
        _ => {
            let inner = earlier.last().map_or(&[][..], |sent| &sent.frame);
            [choices.bytes(len % 7), inner, choices.bytes(len % 5)].concat()
        }
    };
    let config = Config::new(Kind(how >> 4 & 1), Element::Structured, 1, 1, 0);
    let key = Key::new(KEY).unwrap();
    let mut builder = FrameBuilder::new(ContextHash(choices.array()), config, &payload);
    let more = choices.byte();
    let signed = more & 1 == 1;
    if signed {
        builder = builder.sign(&key);
    }
    if more & 2 == 2 {
        builder = builder.digest();
    }
    if more & 4 == 4 {
        builder = builder.align_payload(16);
    }
    (builder.encode().unwrap(), signed)
}

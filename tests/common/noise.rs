//! A noisy line: signed beacons sent over it, damage done by a seeded generator, and what readers make of it. Shared by
//! tests/stream.rs, which asserts, and examples/serial_noise.rs, which prints.
#![allow(dead_code, unreachable_pub)] // each uses its share

use std::collections::HashMap;
use std::ops::Range;

#[cfg(feature = "cobs")]
use bitwire::stream::{cobs_encode_into, cobs_encoded_len};
use bitwire::{
    Result,
    frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Key, Kind},
    stream::{Event, FrameReader},
};

/// The longest frame that the readers here take.
pub const MAX_FRAME: usize = 4096;

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number under `end`, as evenly as 64 bits allow.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(end)) >> 64) as u64
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = (self.word() >> 56) as u8);
    }

    /// True once in `1 / rate` times; exact to 2^-53, and the same on every machine.
    fn happens(&mut self, rate: f64) -> bool {
        ((self.word() >> 11) as f64) < rate * (1u64 << 53) as f64
    }
}

pub fn key() -> Key {
    Key::new(b"the key of this line").unwrap()
}

/// What is sent: each a signed beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 2 components and no context: 91 bytes.
    Bare,
    /// 24 components and a context: 202 bytes.
    Small,
    /// tests/data/beacon.bit with another mean, signed: 2.7 KB.
    Real,
}

impl Size {
    /// A beacon like no other that `random` makes.
    pub fn beacon(self, random: &mut Random) -> Vec<u8> {
        let config = |dim| Config::new(Kind::BEACON, Element::I16, 1, dim, 1024);
        let real = Frame::parse_exact(include_bytes!("../data/beacon.bit")).unwrap();
        let key = key();
        match self {
            Self::Bare => {
                let mut payload = [0; 4];
                random.fill(&mut payload);
                FrameBuilder::new(ContextHash([7; 8]), config(2), &payload).sign(&key).encode()
            }
            Self::Small => {
                let mut payload = [0; 48];
                random.fill(&mut payload);
                let context = Context::new("docs", "minilm-l6", "en", 24).unwrap();
                let frame = FrameBuilder::new(context.hash(), config(24), &payload);
                frame.context_json(context.as_str().as_bytes()).unwrap().sign(&key).encode()
            }
            Self::Real => {
                let mut payload = real.payload().to_vec();
                random.fill(&mut payload);
                let mut frame = FrameBuilder::new(real.ctx(), *real.config(), &payload);
                if let Some(json) = real.context_json() {
                    frame = frame.context_json(json).unwrap();
                }
                for tlv in real.tlvs().filter(|tlv| matches!(tlv.tlv_type, 3 | 4)) {
                    frame = frame.tlv(tlv.tlv_type, tlv.value).unwrap();
                }
                frame.sign(&key).encode()
            }
        }
        .unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Raw,
    #[cfg(feature = "cobs")]
    Cobs,
}

impl Framing {
    pub const ALL: &[Self] = &[
        Self::Raw,
        #[cfg(feature = "cobs")]
        Self::Cobs,
    ];

    fn encoded(self, frame: &[u8]) -> Vec<u8> {
        match self {
            Self::Raw => frame.to_vec(),
            #[cfg(feature = "cobs")]
            Self::Cobs => {
                let mut encoded = vec![0; cobs_encoded_len(frame.len())];
                let len = cobs_encode_into(frame, &mut encoded).unwrap();
                encoded.truncate(len);
                encoded
            }
        }
    }
}

/// What the line does: each bit, and each byte, by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    /// How often a bit arrives flipped.
    pub bit_errors: f64,
    /// How often a byte does not arrive.
    pub lost: f64,
    /// How often a byte arrives twice.
    pub doubled: f64,
}

/// What came out of the line.
pub struct Received {
    framing: Framing,
    pub bytes: Vec<u8>,
    /// The frames, as they were sent.
    frames: Vec<Vec<u8>>,
    /// For each frame: where it is, if all of it is, and nothing within.
    whole: Vec<Option<Range<u64>>>,
    /// Where something is wrong, in order: at the byte that changed or came twice, or before which one is missing.
    damage: Vec<u64>,
}

impl Received {
    /// Sends `frames` one after the other.
    pub fn new(frames: Vec<Vec<u8>>, framing: Framing, line: Damage, random: &mut Random) -> Self {
        let (mut bytes, mut damage, mut places) = (Vec::new(), Vec::new(), Vec::new());
        // In COBS a sender starts with a zero byte.
        let start = if framing == Framing::Raw { &[][..] } else { &[0][..] };
        let encoded: Vec<Vec<u8>> = frames.iter().map(|frame| framing.encoded(frame)).collect();
        for part in std::iter::once(start).chain(encoded.iter().map(Vec::as_slice)) {
            places.push(bytes.len());
            for &byte in part {
                let at = bytes.len() as u64;
                let flips =
                    (0..8).fold(0, |flips, bit| flips | u8::from(random.happens(line.bit_errors)) << bit);
                let (lost, doubled) = (random.happens(line.lost), random.happens(line.doubled));
                if !lost {
                    bytes.push(byte ^ flips);
                }
                if doubled && !lost {
                    bytes.push(byte ^ flips);
                }
                if flips != 0 || lost || doubled {
                    damage.push(at);
                }
            }
        }
        // By the bytes, not by what was done to them: two bytes that are alike may have been lost and doubled. Where the
        // first is doubled, the frame starts at the second.
        let whole = encoded.iter().zip(&places[1..]).map(|(encoded, &place)| {
            let here = |&at: &usize| bytes.get(at..at + encoded.len()) == Some(encoded);
            let begins = |&at: &usize| framing == Framing::Raw || at == 0 || bytes[at - 1] == 0;
            let at = [place, place + 1].into_iter().filter(begins).find(here)?;
            Some(at as u64..(at + encoded.len()) as u64)
        });
        Self { framing, whole: whole.collect(), bytes, frames, damage }
    }

    /// What a reader says of it, fed a byte at a time.
    pub fn read(&self, key: Option<&Key>) -> Figures {
        let seen = match self.framing {
            Framing::Raw => {
                let mut reader = FrameReader::<MAX_FRAME>::new();
                self.events(|input| match (input, key) {
                    (Some(input), Some(key)) => reader.feed_verified(input, key).map(Seen::of),
                    (None, Some(key)) => reader.finish_verified(key).map(Seen::of),
                    (Some(input), None) => reader.feed(input).map(Seen::of),
                    (None, None) => reader.finish().map(Seen::of),
                })
            }
            #[cfg(feature = "cobs")]
            Framing::Cobs => {
                let mut reader = FrameReader::<MAX_FRAME, _>::cobs();
                self.events(|input| match (input, key) {
                    (Some(input), Some(key)) => reader.feed_verified(input, key).map(Seen::of),
                    (None, Some(key)) => reader.finish_verified(key).map(Seen::of),
                    (Some(input), None) => reader.feed(input).map(Seen::of),
                    (None, None) => reader.finish().map(Seen::of),
                })
            }
        };
        self.figures(&seen)
    }

    /// The frames that a reader hands out, each with how many bytes had come in by then.
    fn events(&self, mut next: impl FnMut(Option<&mut &[u8]>) -> Option<Seen>) -> Vec<(u64, Seen)> {
        let mut seen = Vec::new();
        for (came, byte) in (1..).zip(self.bytes.chunks(1)) {
            let mut byte = byte;
            while let Some(event) = next(Some(&mut byte)) {
                seen.push((came, event));
            }
        }
        while let Some(event) = next(None) {
            seen.push((self.bytes.len() as u64, event));
        }
        seen.retain(|(_, event)| event.frame.is_some());
        seen
    }

    fn figures(&self, seen: &[(u64, Seen)]) -> Figures {
        let sent: HashMap<&[u8], usize> = self.frames.iter().map(Vec::as_slice).zip(0..).collect();
        assert_eq!(sent.len(), self.frames.len(), "no two are alike");
        let mut figures = Figures {
            sent: self.frames.len(),
            damaged: self.whole.iter().filter(|whole| whole.is_none()).count(),
            ..Figures::default()
        };
        let mut delivered = vec![false; self.frames.len()];
        let (mut false_ranges, mut end_of_last) = (Vec::new(), 0);
        for (came, Seen { range, frame }) in seen {
            let index = sent.get(frame.as_deref().unwrap_or_default());
            match index.filter(|&&index| self.whole[index].as_ref() == Some(range)) {
                Some(&index) => {
                    assert!(!std::mem::replace(&mut delivered[index], true), "handed out twice");
                    figures.delivered += 1;
                    figures.held_up.push(came - range.end);
                    let first = self.damage.partition_point(|&at| at < end_of_last);
                    if let Some(&at) = self.damage.get(first).filter(|_| end_of_last < range.start)
                        && at <= range.start
                    {
                        figures.resync.push(range.start - at);
                    }
                }
                None => {
                    figures.false_accepts += 1;
                    false_ranges.push(range);
                }
            }
            end_of_last = range.end;
        }
        for (whole, delivered) in self.whole.iter().zip(delivered) {
            let Some(whole) = whole.as_ref().filter(|_| !delivered) else { continue };
            figures.lost_whole += 1;
            let covered = |range: &&&Range<u64>| range.start < whole.start && whole.start < range.end;
            // In COBS nothing that happens in one segment has a bearing on another.
            let excused = self.framing == Framing::Raw && false_ranges.iter().any(|range| covered(&range));
            figures.against_the_rule += usize::from(!excused);
        }
        figures.resync.sort_unstable();
        figures.held_up.sort_unstable();
        figures
    }
}

struct Seen {
    range: Range<u64>,
    frame: Option<Vec<u8>>,
}

impl Seen {
    fn of<'a, F: Into<Bytes<'a>>>(event: Event<F>) -> Self {
        match event {
            Event::Frame { range, frame } => Self { range, frame: Some(frame.into().0.to_vec()) },
            Event::Skipped(skipped) => Self { range: skipped.range, frame: None },
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> From<Frame<'a>> for Bytes<'a> {
    fn from(frame: Frame<'a>) -> Self {
        Self(frame.as_bytes())
    }
}

impl<'a> From<bitwire::frame::AuthenticatedFrame<'a>> for Bytes<'a> {
    fn from(frame: bitwire::frame::AuthenticatedFrame<'a>) -> Self {
        Self(frame.as_bytes())
    }
}

/// What became of the frames that were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent: usize,
    /// Frames of which a bit arrived wrong, not at all, or twice. In COBS with the zero byte before and after.
    pub damaged: usize,
    /// Handed out as they were sent.
    pub delivered: usize,
    /// Not handed out, though no bit of theirs was damaged.
    pub lost_whole: usize,
    /// Those of them that the rule does not explain: by spec/stream.md every whole frame is handed out, unless (raw streams) it
    /// starts within a frame that passed and was never sent.
    pub against_the_rule: usize,
    /// Handed out, and never sent.
    pub false_accepts: usize,
    /// For each gap between frames that were handed out: bytes from the first damage in it to the next such frame. In order.
    pub resync: Vec<u64>,
    /// For each frame that was handed out: bytes that had come in behind it by then. In order.
    pub held_up: Vec<u64>,
}

/// `count` beacons of one size, and what is left of them after the line, read without and with the key.
pub fn send(
    size: Size,
    count: usize,
    framing: Framing,
    line: Damage,
    seed: u64,
) -> (Received, Figures, Figures) {
    let mut random = Random(seed);
    let frames = (0..count).map(|_| size.beacon(&mut random)).collect();
    let received = Received::new(frames, framing, line, &mut random);
    let (crc, mac) = (received.read(None), received.read(Some(&key())));
    (received, crc, mac)
}

/// Frames whose payload alone is damaged, as which nothing but the CRC can tell: how many of `count` pass.
///
/// `flip` says how many bits to flip, each another one; without it the payload is replaced by random bytes.
pub fn false_accepts(frame_len: usize, flip: Option<usize>, count: u64, seed: u64) -> Result<u64> {
    let mut random = Random(seed);
    // 51 bytes of header and CRC; a gist of bytes is as good as any for this.
    let overhead = {
        let config = Config::new(Kind::GIST, Element::Structured, 0, 0, 0);
        FrameBuilder::new(ContextHash([7; 8]), config, &[]).encode()?.len()
    };
    let mut payload = vec![0; frame_len - overhead];
    random.fill(&mut payload);
    let config = Config::new(Kind::GIST, Element::Structured, 0, 0, 0);
    let good = FrameBuilder::new(ContextHash([7; 8]), config, &payload).encode()?;
    let payload = overhead - 2..frame_len - 2;
    let mut reader = FrameReader::<MAX_FRAME>::new();
    let mut passed = 0;
    let mut frame = good.clone();
    for _ in 0..count {
        frame.copy_from_slice(&good);
        match flip {
            Some(bits) => {
                let mut left = bits;
                while left > 0 {
                    let bit = random.below(8 * payload.len() as u64) as usize;
                    let (at, mask) = (payload.start + bit / 8, 1 << (bit % 8));
                    // One that was flipped already is left as it is.
                    if (frame[at] ^ good[at]) & mask == 0 {
                        frame[at] ^= mask;
                        left -= 1;
                    }
                }
            }
            None => random.fill(&mut frame[payload.clone()]),
        }
        let mut input = &frame[..];
        while let Some(event) = reader.feed(&mut input) {
            passed +=
                u64::from(matches!(event, Event::Frame { frame: found, .. } if found.as_bytes() != good));
        }
        while let Some(event) = reader.finish() {
            passed += u64::from(matches!(event, Event::Frame { .. }));
        }
    }
    Ok(passed)
}

/// The 95 % interval of a rate of which `found` in `count` was seen (E. B. Wilson, 1927).
pub fn interval(found: u64, count: u64) -> (f64, f64) {
    let (n, z) = (count as f64, 1.959_964);
    let p = found as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let below = 1.0 + z * z / n;
    (((middle - half) / below).max(0.0), (middle + half) / below)
}

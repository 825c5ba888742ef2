//! The rules of spec/stream.md as plainly as they can be put: a second reader of streams, which has all of a stream and
//! judges each place from its window's start. It shares no code with the first.

use alloc::vec::Vec;
use core::ops::Range;

use sha2::{Digest, Sha256};

use super::mend::Parts;
use super::second_reader::{self, Verdict, check, number};

/// An event. Of a frame its bytes, of a stretch that is skipped the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) range: Range<u64>,
    pub(super) what: Result<Vec<u8>, (&'static str, u64)>,
}

/// The reader: the longest frame it takes, and a key of up to 64 bytes, if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// `usize::MAX` for no bound.
    pub(super) max: usize,
    pub(super) key: Option<&'a [u8]>,
}

const MAGIC: [u8; 4] = [0x42, 0x49, 0x54, 0x01];

/// Steps 1 to 14 of spec/frame.md, 15 if asked for, and with a key 16 and 17.
fn passes(bytes: &[u8], exact: bool, key: Option<&[u8]>) -> Verdict {
    let len = second_reader::frame(bytes)?;
    check(!exact || len == bytes.len(), "TrailingBytes", len)?;
    let Some(key) = key else { return Ok(len) };
    let tlvs = second_reader::tlvs(bytes)?;
    let &(tlv, at, _) = tlvs.iter().find(|(tlv, ..)| *tlv >= 0xF1).unwrap();
    check(tlv == 0xF1, "HmacMissing", at)?;
    let covered = Parts::of(&bytes[..len]).unwrap().covered(bytes, |tlv| tlv != 0xF1 && tlv != 0xFF);
    // RFC 2104.
    let mut pads = [[0x36; 64], [0x5C; 64]];
    for pad in &mut pads {
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
    }
    let inner = Sha256::digest([&pads[0][..], &covered].concat());
    let mac = Sha256::digest([&pads[1][..], &inner].concat());
    check(mac[..] == bytes[at + 4..at + 36], "Hmac", at + 4)?;
    Ok(len)
}

/// Where the field ends that a frame is too short for.
fn needed(window: &[u8]) -> u128 {
    let mut at = if window.len() < 4 { 4 } else { 12 };
    while at <= window.len() && at >= 12 {
        let tlv = at;
        at += 3;
        if at <= window.len() {
            at += usize::try_from(number(window, tlv + 1, 2)).unwrap();
            if at <= window.len() && window[tlv] == 0xFF {
                return at as u128 + u128::from(number(window, 31, 8)) + 2;
            }
        }
    }
    at as u128
}

/// Events of a raw stream, of which so many bytes are gone already.
pub(super) fn raw(stream: &[u8], gone: u64, rules: Rules<'_>) -> Vec<Seen> {
    let (mut seen, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let window = &stream[at..stream.len().min(at.saturating_add(rules.max))];
        let from = gone + at as u64;
        let (end, what) = match passes(window, false, rules.key) {
            Ok(len) => (at + len, Ok(window[..len].to_vec())),
            Err((kind, place)) => {
                let next = (at + 1..stream.len()).find(|&next| stream[next..].starts_with(&MAGIC));
                let bound = if rules.max == usize::MAX { u128::MAX } else { rules.max as u128 };
                let too_long = kind == "Truncated" && needed(window) > bound;
                let reason = if too_long { ("FrameTooLong", from) } else { (kind, from + place) };
                (next.unwrap_or(stream.len()), Err(reason))
            }
        };
        seen.push(Seen { range: from..gone + end as u64, what });
        at = end;
    }
    seen
}

/// What comes out of runs, and whether the last of them is whole.
fn decoded(runs: &[u8]) -> (Vec<u8>, bool) {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < runs.len() {
        let run = usize::from(runs[at]);
        let end = at + run;
        out.extend_from_slice(&runs[at + 1..end.min(runs.len())]);
        if end < runs.len() && run < 255 {
            out.push(0);
        }
        at = end;
    }
    (out, at == runs.len())
}

/// Events of a stream in COBS, of which so many bytes are gone already.
pub(super) fn cobs(stream: &[u8], gone: u64, rules: Rules<'_>) -> Vec<Seen> {
    let (mut seen, mut from) = (Vec::new(), 0);
    for segment in stream.split_inclusive(|byte| *byte == 0) {
        let range = gone + from..gone + from + segment.len() as u64;
        from += segment.len() as u64;
        let ended = segment.last() == Some(&0);
        let runs = if ended { &segment[..segment.len() - 1] } else { segment };
        if runs.is_empty() {
            continue;
        }
        let (out, whole) = decoded(runs);
        let what = if out.len() > rules.max {
            Err(("FrameTooLong", range.start))
        } else if !ended {
            Err(("Truncated", range.end))
        } else if !whole {
            Err(("Cobs", range.end - 1))
        } else {
            passes(&out, true, rules.key).map(|_| out)
        };
        seen.push(Seen { range, what });
    }
    seen
}

/// A frame in COBS, as short as it can be, and its zero byte.
pub(super) fn segment(frame: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut run = Vec::new();
    for (i, &byte) in frame.iter().enumerate() {
        if byte != 0 {
            run.push(byte);
        }
        if byte == 0 || run.len() == 254 {
            out.push(u8::try_from(run.len() + 1).unwrap());
            out.append(&mut run);
            // Nothing has to say that nothing follows a full run.
            if byte != 0 && i + 1 == frame.len() {
                out.push(0);
                return out;
            }
        }
    }
    out.push(u8::try_from(run.len() + 1).unwrap());
    out.append(&mut run);
    out.push(0);
    out
}

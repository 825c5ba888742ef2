//! The tables of spec/ledger.md, "Checks of the chunk's view", "Checks of the index's view" and "Checks of a proof", as
//! plainly as they can be put: a second reader, which shares no code with the first.

use alloc::string::String;
use alloc::vec::Vec;

use super::second_reader::{self, Verdict, check, number};

/// A little-endian number of the `len` bytes at `at`.
pub(super) fn little(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn place(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

/// What a chunk says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chunk {
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) tokens: Vec<u32>,
    pub(super) passkeys: Vec<u64>,
    pub(super) spans: Vec<(String, u64, u64)>,
}

/// The one TLV of 03 to 7F that a kind has: where its value starts.
pub(super) fn only(bytes: &[u8], kind: u8, tlv: u8) -> Result<usize, (&'static str, u64)> {
    let tlvs = second_reader::tlvs(bytes)?;
    check(bytes[15] == kind, "Kind", 15)?;
    let after = tlvs.iter().find(|(other, ..)| *other >= tlv).unwrap();
    check(after.0 == tlv, "TlvMissing", after.1)?;
    for (_, at, _) in tlvs.iter().filter(|(other, ..)| matches!(other, 3..=0x7F) && *other != tlv) {
        check(false, "ForeignTlv", *at)?;
    }
    Ok(after.1 + 3)
}

/// Steps 1 to 14 of spec/frame.md, then those of the chunk's view.
pub(super) fn chunk(bytes: &[u8]) -> Verdict {
    chunk_parts(bytes).map(|(_, len)| len)
}

pub(super) fn chunk_parts(bytes: &[u8]) -> Result<(Chunk, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    let at = only(bytes, 1, 0x10)?;
    check(number(bytes, 19, 4) == 1, "Shape", 19)?;
    let (id, start, length) = (number(bytes, at, 8), number(bytes, at + 8, 8), number(bytes, at + 16, 4));
    let end = u128::from(start) + u128::from(length);
    check(end <= u128::from(u64::MAX), "Size", at + 8)?;
    check(length > 0, "Shape", at + 16)?;
    let (encoding, bits) = (bytes[at + 20], bytes[at + 21]);
    check(encoding < 2, "Code", at + 20)?;
    if encoding == 0 {
        check(bits == 0, "Shape", at + 21)?;
    } else {
        check(bits != 0 && bits <= 32, "Code", at + 21)?;
    }
    check(bytes[at + 22..at + 24] == [0, 0], "Reserved", at + 22)?;
    let element = bytes[16];
    check(if encoding == 0 { element == 3 || element == 4 } else { element == 2 }, "Code", 16)?;
    let width = match element {
        3 => 16,
        4 => 32,
        _ => u64::from(bits),
    };
    let payload_len = (length * width).div_ceil(8);
    let dim = if encoding == 0 { length } else { payload_len };
    check(number(bytes, 23, 4) == dim, "Shape", 23)?;
    check(number(bytes, 31, 8) == payload_len, "Shape", 31)?;

    let mut chunk = Chunk { id, start, ..Chunk::default() };
    let tlvs = second_reader::tlvs(bytes)?;
    if let Some(&(_, at, len)) = tlvs.iter().find(|(tlv, ..)| *tlv == 0x81) {
        marks(bytes, at + 3, at + 3 + len, end, &mut chunk)?;
    }
    let payload = &bytes[len - 2 - place(payload_len)..len - 2];
    let bit = |i: u64| payload[place(i / 8)] >> (i % 8) & 1;
    for spare in length * width..payload_len * 8 {
        check(bit(spare) == 0, "SpareBits", len - 3)?;
    }
    let token = |i: u64| (0..width).fold(0, |token, k| token | u32::from(bit(i * width + k)) << k);
    chunk.tokens = (0..length).map(token).collect();
    Ok((chunk, len))
}

fn marks(
    bytes: &[u8],
    mut at: usize,
    value_end: usize,
    end: u128,
    chunk: &mut Chunk,
) -> Result<(), (&'static str, u64)> {
    let counts = [number(bytes, at, 2), number(bytes, at + 2, 2)];
    at += 4;
    for _ in 0..counts[0] {
        check(at + 8 <= value_end, "Truncated", at)?;
        let position = number(bytes, at, 8);
        check(chunk.passkeys.last().is_none_or(|before| *before < position), "Order", at)?;
        check(u128::from(position) < end, "PastEnd", at)?;
        chunk.passkeys.push(position);
        at += 8;
    }
    for _ in 0..counts[1] {
        for (field, len) in [(0, 8), (8, 8), (16, 2)] {
            check(at + field + len <= value_end, "Truncated", at + field)?;
        }
        let (start, length) = (number(bytes, at, 8), number(bytes, at + 8, 8));
        let name_end = at + 18 + place(number(bytes, at + 16, 2));
        check(name_end <= value_end, "Truncated", at + 18)?;
        let span_end = u128::from(start) + u128::from(length);
        check(span_end <= u128::from(u64::MAX), "Size", at)?;
        check(length > 0, "Shape", at + 8)?;
        check(span_end <= end, "PastEnd", at)?;
        check(name_end > at + 18, "Shape", at + 16)?;
        let name = text(&bytes[at + 18..name_end], at + 18)?;
        check(
            chunk.spans.last().is_none_or(|(before, ..)| before.as_bytes() < name.as_bytes()),
            "Order",
            at + 18,
        )?;
        chunk.spans.push((name, start, length));
        at = name_end;
    }
    check(at == value_end, "TrailingBytes", at)
}

/// The bytes as text; the first that is not.
fn text(bytes: &[u8], at: usize) -> Result<String, (&'static str, u64)> {
    // Character by character.
    let mut rest = bytes;
    while !rest.is_empty() {
        let len = (1..=rest.len().min(4)).find(|len| core::str::from_utf8(&rest[..*len]).is_ok());
        let Some(len) = len else { return Err(("Utf8", (at + bytes.len() - rest.len()) as u64)) };
        rest = &rest[len..];
    }
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

/// What an index says: anchors as their five fields, passkeys as their four.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    pub(super) total: u64,
    pub(super) anchors: Vec<(u64, u64, u64, u64, u64)>,
    pub(super) passkeys: Vec<(u64, u64, u64, u64)>,
    pub(super) spans: Vec<(String, u64, u64)>,
}

/// Steps 1 to 14 of spec/frame.md, then those of the index's view.
pub(super) fn index(bytes: &[u8]) -> Verdict {
    index_parts(bytes).map(|(_, len)| len)
}

pub(super) fn index_parts(bytes: &[u8]) -> Result<(Index, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    let at = only(bytes, 2, 0x11)?;
    check(bytes[16] == 0, "Code", 16)?;
    check(number(bytes, 19, 4) == 0, "Shape", 19)?;
    check(number(bytes, 23, 4) == 0, "Shape", 23)?;
    let [total, chunks, ledger_len] = [0, 8, 16].map(|field| number(bytes, at + field, 8));
    let [longest, stride, anchors, passkeys, spans, names_len] =
        [24, 28, 32, 36, 40, 44].map(|field| number(bytes, at + field, 4));
    let none = chunks == 0;
    check(total >= chunks && (!none || total == 0), "Shape", at)?;
    let least = u128::from(chunks) * 108;
    check(least <= u128::from(u64::MAX), "Size", at + 16)?;
    check(u128::from(ledger_len) >= least && (!none || ledger_len == 0), "Shape", at + 16)?;
    // ceil(total / chunks) <= longest is total <= longest * chunks.
    let enough = u128::from(longest) * u128::from(chunks) >= u128::from(total);
    check(if none { longest == 0 } else { enough && longest <= total }, "Shape", at + 24)?;
    check(stride > 0, "Shape", at + 28)?;
    let needed = chunks / stride + u64::from(chunks % stride != 0);
    check(anchors == needed, "Shape", at + 32)?;
    check(bytes[at + 80..at + 88] == [0; 8], "Reserved", at + 80)?;
    let payload_len = anchors * 40 + (passkeys + spans) * 24 + names_len;
    check(number(bytes, 31, 8) == payload_len, "Shape", 31)?;

    let mut index = Index { total, ..Index::default() };
    let mut at_record = len - 2 - place(payload_len);
    for i in 0..anchors {
        let at = at_record;
        let [id, start, offset] = [0, 8, 16].map(|field| little(bytes, at + field, 8));
        let length = little(bytes, at + 24, 4);
        check(id == i * stride, "Shape", at)?;
        match index.anchors.last() {
            None => {
                check(start == 0, "Shape", at + 8)?;
                check(offset == 0, "Shape", at + 16)?;
            }
            Some(before) => {
                check(start > before.1, "Order", at + 8)?;
                check(offset > before.2, "Order", at + 16)?;
            }
        }
        check(offset < ledger_len, "PastEnd", at + 16)?;
        check(length >= 1 && length <= longest, "Shape", at + 24)?;
        check(u128::from(start) + u128::from(length) <= u128::from(total), "PastEnd", at + 8)?;
        check(little(bytes, at + 28, 4) == 0, "Reserved", at + 28)?;
        index.anchors.push((id, start, offset, length, number(bytes, at + 32, 8)));
        at_record += 40;
    }
    for _ in 0..passkeys {
        let at = at_record;
        let (position, id) = (little(bytes, at, 8), little(bytes, at + 8, 8));
        let (offset, token) = (little(bytes, at + 16, 4), little(bytes, at + 20, 4));
        check(index.passkeys.last().is_none_or(|before| before.0 < position), "Order", at)?;
        check(position < total, "PastEnd", at)?;
        check(id < chunks, "PastEnd", at + 8)?;
        check(offset < longest, "PastEnd", at + 16)?;
        index.passkeys.push((position, id, offset, token));
        at_record += 24;
    }
    let names_at = at_record + place(spans) * 24;
    let mut used = 0;
    for _ in 0..spans {
        let at = at_record;
        let (start, length) = (little(bytes, at, 8), little(bytes, at + 8, 8));
        let (off, name_len) = (little(bytes, at + 16, 4), little(bytes, at + 20, 4));
        let end = u128::from(start) + u128::from(length);
        check(end <= u128::from(u64::MAX), "Size", at)?;
        check(length > 0, "Shape", at + 8)?;
        check(end <= u128::from(total), "PastEnd", at)?;
        check(off == used, "Shape", at + 16)?;
        check(name_len > 0, "Shape", at + 20)?;
        let from = names_at + place(used);
        used += name_len;
        check(used <= names_len, "PastEnd", at + 20)?;
        let name = text(&bytes[from..from + place(name_len)], from)?;
        check(
            index.spans.last().is_none_or(|(before, ..)| before.as_bytes() < name.as_bytes()),
            "Order",
            from,
        )?;
        index.spans.push((name, start, length));
        at_record += 24;
    }
    check(used == names_len, "Shape", at + 44)?;
    Ok((index, len))
}

/// How many hashes PATH(m, D[n]) or PROOF(m, D[n]) has: the recursions of RFC 6962, sections 2.1.1 and 2.1.2.
fn hashes(inclusion: bool, m: u64, n: u64, whole: bool) -> u64 {
    if n == 1 && inclusion {
        return 0;
    }
    if !inclusion && m == n {
        return u64::from(!whole);
    }
    let mut k = 1u64;
    while k < n.div_ceil(2) {
        k *= 2;
    }
    let left = if inclusion { m < k } else { m <= k };
    1 + if left { hashes(inclusion, m, k, whole) } else { hashes(inclusion, m - k, n - k, false) }
}

/// The table "Checks of a proof", without the last step.
pub(super) fn proof(bytes: &[u8]) -> Verdict {
    check(bytes.len() >= 4, "Truncated", 0)?;
    check(bytes[..4] == [0x42, 0x49, 0x50, 1], "ProofMagic", 0)?;
    check(bytes.len() >= 24, "Truncated", 0)?;
    let (kind, count) = (bytes[4], u64::from(bytes[5]));
    check(kind < 2, "Code", 4)?;
    check(count <= 64, "TooLarge", 5)?;
    check(bytes[6..8] == [0, 0], "Reserved", 6)?;
    let (a, b) = (number(bytes, 8, 8), number(bytes, 16, 8));
    if kind == 0 {
        check(a < b, "ProofChunk", 16)?;
    } else {
        check(a > 0, "ProofSizes", 8)?;
        check(a <= b, "ProofSizes", 16)?;
    }
    check(count == hashes(kind == 0, a, b, true), "Shape", 5)?;
    let end = 24 + place(count) * 32;
    check(bytes.len() >= end, "Truncated", 24)?;
    check(bytes.len() == end, "TrailingBytes", end)?;
    Ok(end)
}

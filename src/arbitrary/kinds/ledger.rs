//! Chunks and indexes (spec/ledger.md).

use alloc::vec;
use alloc::vec::Vec;

use super::Body;
use crate::arbitrary::draft::{Part, Parts};
use crate::arbitrary::draw::Draw;
use crate::frame::{Kind, TlvType};

/// Names, increasing byte by byte.
const NAMES: [&str; 6] = ["a", "a b", "chapter 2", "z", "\u{e9}t\u{e9}", "\u{1F4D6}"];

/// Up to three of them, at least two if they are wanted.
fn names(parts: Parts, u: &mut Draw<'_, '_>) -> Vec<&'static str> {
    let least = if parts.has(Parts::SPANS) { 2 } else { 0 };
    let count = u.between(least, 3) as usize;
    let first = u.place(NAMES.len() - 2);
    NAMES.iter().copied().skip(first).step_by(if first < 2 { 2 } else { 1 }).take(count).collect()
}

/// Positions that increase, all below `end`; two at least if they are wanted and there is room.
fn positions(end: u64, parts: Parts, u: &mut Draw<'_, '_>) -> Vec<u64> {
    let least = if parts.has(Parts::PASSKEYS) { 2 } else { 0 };
    let count = u.between(least, 3).min(end);
    // In stretches of equal length, one in each.
    let stretch = end.checked_div(count).unwrap_or(0);
    (0..count).map(|i| i * stretch + u.below(stretch)).collect()
}

pub(super) fn chunk(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let packed = parts.has(Parts::PACKED) || parts.has(Parts::SPARE) || !parts.has(Parts::RAW) && u.flag();
    // An odd number of an odd number of bits is no whole number of bytes.
    let odd = if parts.has(Parts::SPARE) { 1 } else { 0 };
    let length = u.u32_between(1 + u32::from(parts.has(Parts::PASSKEYS)), 12) | odd;
    let (element, bits, width) = match packed {
        true => {
            let bits = if odd == 1 { u.u8_between(0, 15) * 2 + 1 } else { u.u8_between(1, 32) };
            (2, bits, bits)
        }
        false => u.pick((3, 0, 16), &[(4, 0, 32)]),
    };
    let stream = length as usize * usize::from(width);
    let mut payload = u.bytes(stream.div_ceil(8));
    if let (Some(last), spare @ 1..) = (payload.last_mut(), stream % 8) {
        *last &= 0xFF >> (8 - spare);
    }
    // Where spans are wanted, there is a position behind the chunk.
    let most = u64::MAX - u64::from(length) - u64::from(parts.has(Parts::SPANS));
    let start =
        u.pick(0, &[1, most, u64::from(u32::MAX)]).max(if u.flag() { u.u64() >> 1 } else { 0 }).min(most);
    let end = start + u64::from(length);

    let mut value = u.u64().to_be_bytes().to_vec();
    value.extend(start.to_be_bytes());
    value.extend(length.to_be_bytes());
    value.extend([u8::from(packed), bits, 0, 0]);
    let mut own = vec![Part { tlv: TlvType::LEDGER_CHUNK, value }];
    if parts.has(Parts::PASSKEYS) || parts.has(Parts::SPANS) || u.flag() {
        own.push(Part { tlv: TlvType::LEDGER_MARKS, value: marks(end, parts, u) });
    }
    let dim = if packed { payload.len() as u32 } else { length };
    Body { kind: Kind::LEDGER_CHUNK.0, element, rows: 1, dim, own, payload, ..Body::default() }
}

fn marks(end: u64, parts: Parts, u: &mut Draw<'_, '_>) -> Vec<u8> {
    let (passkeys, names) = (positions(end, parts, u), names(parts, u));
    let mut value = (passkeys.len() as u16).to_be_bytes().to_vec();
    value.extend((names.len() as u16).to_be_bytes());
    passkeys.iter().for_each(|position| value.extend(position.to_be_bytes()));
    for name in names {
        let start = u.below(end);
        value.extend(start.to_be_bytes());
        value.extend(u.between(1, end - start).to_be_bytes());
        value.extend((name.len() as u16).to_be_bytes());
        value.extend(name.as_bytes());
    }
    value
}

pub(super) fn index(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let anchors = parts.has(Parts::ANCHORS);
    let some = anchors || parts.has(Parts::PASSKEYS) || parts.has(Parts::SPANS);
    let stride = if u.one_in(8) && !anchors { u.u32_between(1, u32::MAX) } else { u.u32_between(1, 3) };
    let least = if anchors { stride.saturating_add(1) } else { u32::from(some) };
    let count = if parts.has(Parts::EMPTY) { 0 } else { u.u32_between(least, 8) };
    // start, offset and length of each chunk.
    let (mut chunks, mut start, mut offset) = (Vec::new(), 0_u64, 0_u64);
    for _ in 0..count {
        // Of two tokens at least, so that there is room for two passkeys.
        let length = if u.one_in(4) { u.u32_between(2, u32::MAX) } else { u.u32_between(2, 9000) };
        chunks.push((start, offset, length));
        start += u64::from(length);
        // No chunk is smaller than 108 bytes.
        offset += 108 + if u.one_in(8) { u.u64() >> 8 } else { u64::from(u.u16()) };
    }
    let (total, ledger_len) = (start, offset);
    let longest = chunks.iter().map(|(.., length)| *length).max().unwrap_or(0);

    let mut payload = Vec::new();
    let anchored = (0_u64..).zip(&chunks).step_by(stride as usize);
    for (id, (start, offset, length)) in anchored.clone() {
        [id, *start, *offset].iter().for_each(|field| payload.extend(field.to_le_bytes()));
        payload.extend(length.to_le_bytes());
        payload.extend([0; 4]);
        payload.extend(u.u64().to_le_bytes());
    }
    let anchor_count = anchored.count() as u32;
    let positions = positions(total, parts, u);
    for position in &positions {
        let holds = (0_u64..).zip(&chunks).take_while(|(_, (start, ..))| start <= position).last();
        let (id, (start, ..)) = holds.unwrap_or((0, &(0, 0, 0)));
        [*position, id].iter().for_each(|field| payload.extend(field.to_le_bytes()));
        payload.extend(((position - start) as u32).to_le_bytes());
        payload.extend(u.u32().to_le_bytes());
    }
    let names = if total == 0 { Vec::new() } else { names(parts, u) };
    let mut name_off = 0;
    for name in &names {
        let start = u.below(total);
        [start, u.between(1, total - start)].iter().for_each(|field| payload.extend(field.to_le_bytes()));
        [name_off, name.len() as u32].iter().for_each(|field| payload.extend(field.to_le_bytes()));
        name_off += name.len() as u32;
    }
    payload.extend(names.concat().as_bytes());

    let mut value = Vec::new();
    [total, u64::from(count), ledger_len].iter().for_each(|field| value.extend(field.to_be_bytes()));
    let counts = [longest, stride, anchor_count, positions.len() as u32, names.len() as u32, name_off];
    value.extend(counts.map(u32::to_be_bytes).as_flattened());
    value.extend(u.bytes(32));
    value.extend([0; 8]);
    let own = vec![Part { tlv: TlvType::LEDGER_INDEX, value }];
    Body { kind: Kind::LEDGER_INDEX.0, own, payload, ..Body::default() }
}

//! Indexes of engrams and whitenings (spec/engram.md).

use alloc::vec;
use alloc::vec::Vec;

use super::Body;
use crate::arbitrary::draft::{Part, Parts};
use crate::arbitrary::draw::Draw;
use crate::frame::{Kind, TlvType};

/// The strings of an index. Its two characters of more than one byte start at [`WIDE`].
const STRINGS: &str = "ctx-1 caf\u{e9} \u{1F600}!";

/// Where characters of two and four bytes start, and how many bytes they have.
pub(in crate::arbitrary) const WIDE: [(u32, u32); 2] = [(9, 2), (12, 4)];

pub(super) fn index(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let element = if parts.has(Parts::SPARE) {
        9
    } else if parts.has(Parts::I8) {
        8
    } else if parts.has(Parts::I16) {
        1
    } else if parts.has(Parts::NOT_I16) {
        u.pick(5, &[7, 8, 9])
    } else {
        u.pick(1, &[5, 7, 8, 9])
    };
    let bits = element == 9;
    let dim = if bits { u.u32_between(0, 2) * 8 + u.u32_between(1, 7) } else { u.u32_between(1, 6) };
    let least = parts.has(Parts::ENTRIES) || parts.has(Parts::SPARE) || parts.has(Parts::I8);
    let entries = u.u32_between(u32::from(least), 3);
    let metric = u.u8_between(0, 2);
    let per_entry = if metric == 2 { u.u32_between(1, 3) } else { 1 };
    let rows = entries * per_entry;

    let row = match element {
        7 => dim * 4,
        1 | 5 => dim * 2,
        8 => dim,
        _ => dim.div_ceil(8),
    };
    let mut payload = u.bytes(rows as usize * row as usize);
    if bits {
        let mask = 0xFF >> (8 - (dim - 1) % 8 - 1);
        let last = payload.iter_mut().skip(row as usize - 1).step_by(row as usize);
        last.for_each(|byte| *byte &= mask);
    }
    if element == 8 {
        (0..rows)
            .for_each(|_| payload.extend(if u.one_in(4) { -0.0_f32 } else { u.f32().abs() }.to_le_bytes()));
    }
    let with_strings = parts.has(Parts::ENTRIES) || u.flag();
    let strings = if with_strings { STRINGS } else { "" };
    let ends: Vec<u32> = (0_u32..)
        .zip(0..=strings.len())
        .filter(|(_, at)| strings.is_char_boundary(*at))
        .map(|(at, _)| at)
        .collect();
    for _ in 0..entries {
        payload.extend(u.u32().to_le_bytes());
        payload.extend(u.u32().to_le_bytes());
        payload.extend(u.u64().to_le_bytes());
        for _ in 0..3 {
            let [a, b] = [0, 0].map(|_: u8| ends.get(u.place(ends.len())).copied().unwrap_or(0));
            payload.extend(a.min(b).to_le_bytes());
            payload.extend(a.abs_diff(b).to_le_bytes());
        }
    }
    payload.extend(strings.as_bytes());

    let mut value = vec![metric, u.u8_between(0, 7)];
    value.extend((per_entry as u16).to_be_bytes());
    value.extend((strings.len() as u32).to_be_bytes());
    value.extend(if u.flag() { u.u64() } else { 0 }.to_be_bytes());
    value.extend([0; 8]);
    let own = vec![Part { tlv: TlvType::ENGRAM_INDEX, value }];
    Body { kind: Kind::ENGRAM_INDEX.0, element, rows, dim, own, payload, ..Body::default() }
}

pub(super) fn whitening(u: &mut Draw<'_, '_>) -> Body {
    let (rows, dim) = (u.u32_between(2, 4), u.u32_between(1, 6));
    let values = (0..rows * dim).flat_map(|_| u.f32().to_le_bytes());
    let payload = values.collect();
    Body { kind: Kind::WHITENING.0, element: 7, rows, dim, payload, ..Body::default() }
}

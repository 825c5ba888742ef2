//! spec/engram.md, "Checks of the whitening's view" and "Checks of the index's view".

use super::{Rule, foreign_tlv, no_tlv, other_kind, payload_len, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::{Draft, Parts as P};
use crate::arbitrary::draw::Draw;
use crate::arbitrary::kinds::WIDE;
use crate::frame::TlvType as T;

const W: View = View::Whitening;
const V: View = View::EngramIndex;

pub(super) const RULES: &[Rule] = &[
    rule("whitening-kind", W, "1", "Kind", P::NONE, other_kind),
    rule("whitening-foreign-tlv", W, "2", "ForeignTlv", P::NONE, foreign_tlv),
    rule("whitening-element", W, "3", "Code", P::NONE, |u, d| {
        d.set_element(u.pick(0, &[1, 2, 3, 4, 5, 6, 8, 9]));
        d.config(1)
    }),
    rule("whitening-rows", W, "4", "Shape", P::NONE, |u, d| {
        d.set_config(4, &u.u32_between(0, 1).to_be_bytes());
        d.config(4)
    }),
    rule("whitening-dim", W, "5", "Shape", P::NONE, |_, d| {
        d.set_config(8, &[0; 4]);
        d.config(8)
    }),
    rule("whitening-size", W, "6", "Size", P::NONE, |_, d| {
        // (2^32 - 1)^2 of four bytes.
        d.set_config(4, &[0xFF; 8]);
        d.config(16)
    }),
    rule("whitening-payload-len", W, "6", "Shape", P::NONE, payload_len),
    rule("whitening-value", W, "7", "Number", P::NONE, |u, d| {
        let at = 4 * u.below(d.payload.len() as u64 / 4);
        d.set_payload(at, &u.no_f32().to_le_bytes());
        Some(d.in_payload(at))
    }),
    rule("engram-kind", V, "1", "Kind", P::NONE, other_kind),
    rule("engram-tlv-missing", V, "2", "TlvMissing", P::NONE, |_, d| no_tlv(d, T::ENGRAM_INDEX)),
    rule("engram-foreign-tlv", V, "3", "ForeignTlv", P::NONE, foreign_tlv),
    rule("engram-element", V, "4", "Code", P::NONE, |u, d| {
        d.set_element(u.pick(0, &[2, 3, 4, 6]));
        d.config(1)
    }),
    rule("engram-dim", V, "5", "Shape", P::NONE, |_, d| {
        d.set_config(8, &[0; 4]);
        d.config(8)
    }),
    rule("engram-metric", V, "6", "Code", P::NONE, |u, d| {
        d.set(T::ENGRAM_INDEX, 0, &[u.u8_between(3, 255)]);
        Some(d.in_value(T::ENGRAM_INDEX, 0))
    }),
    rule("engram-method", V, "7", "Code", P::NONE, |u, d| {
        d.set(T::ENGRAM_INDEX, 1, &[u.u8_between(8, 255)]);
        Some(d.in_value(T::ENGRAM_INDEX, 1))
    }),
    rule("engram-no-vectors", V, "8", "Shape", P::NONE, |_, d| per_entry(d, 0)),
    rule("engram-vectors-metric", V, "8", "Shape", P::ENTRIES, |u, d| {
        // All vectors are of one entry: they are at least two.
        let rows = d.config_u32(4).max(2);
        d.set_config(4, &rows.to_be_bytes());
        d.set(T::ENGRAM_INDEX, 0, &[u.u8_between(0, 1)]);
        per_entry(d, rows as u16)
    }),
    rule("engram-vectors-rows", V, "8", "Shape", P::ENTRIES, |u, d| {
        d.set(T::ENGRAM_INDEX, 0, &[2]);
        let rows = d.config_u32(4);
        // More than there are never divides them.
        let most = u32::from(u16::MAX);
        let other = u.u32_between(2, most);
        per_entry(d, if rows % other == 0 { most } else { other } as u16)
    }),
    rule("engram-reserved", V, "9", "Reserved", P::NONE, |u, d| {
        d.set(T::ENGRAM_INDEX, 16, &u.not_zero(64).to_be_bytes());
        Some(d.in_value(T::ENGRAM_INDEX, 16))
    }),
    rule("engram-size", V, "10", "Size", P::NONE, |_, d| {
        // (2^32 - 1)^2 of four bytes.
        d.set_element(7);
        d.set_config(4, &[0xFF; 8]);
        d.set(T::ENGRAM_INDEX, 2, &1_u16.to_be_bytes());
        d.config(16)
    }),
    rule("engram-payload-len", V, "10", "Shape", P::NONE, payload_len),
    rule("engram-spare-bits", V, "11", "SpareBits", P::SPARE, |u, d| {
        let dim = d.config_u32(8);
        let row = u64::from(dim.div_ceil(8));
        let at = row * (1 + u.below(u64::from(d.config_u32(4)))) - 1;
        let bit = u.u32_between(dim % 8, 7);
        let old: [u8; 1] = crate::arbitrary::draft::array(&d.payload, at as usize);
        d.set_payload(at, &old.map(|byte| byte | 1 << bit));
        Some(d.in_payload(at))
    }),
    rule("engram-scale", V, "12", "Number", P::I8, |u, d| {
        let (rows, dim) = (u64::from(d.config_u32(4)), u64::from(d.config_u32(8)));
        let at = rows * dim + 4 * u.below(rows);
        let bad = u.no_f32();
        let scale = u.pick(-1.0, &[-f32::from_bits(1), f32::MIN, bad]);
        d.set_payload(at, &scale.to_le_bytes());
        Some(d.in_payload(at))
    }),
    rule("engram-strings", V, "13", "Utf8", P::ENTRIES, |u, d| {
        let at = strings_at(d) + u.below(u64::from(WIDE[0].0));
        d.set_payload(at, &[u.pick(0xFF, &[0x80, 0xC0, 0xF8])]);
        Some(d.in_payload(at))
    }),
    rule("engram-string-past-end", V, "14", "PastEnd", P::ENTRIES, |u, d| {
        let len = d.u32(T::ENGRAM_INDEX, 4);
        let start = u.u32_between(0, len + 1);
        let least = len.saturating_sub(start) + u32::from(start <= len);
        let span = if u.flag() { [start, u.u32_between(least, u32::MAX)] } else { [u32::MAX; 2] };
        let at = a_span(u, d);
        d.set_payload(at, span.map(u32::to_le_bytes).as_flattened());
        Some(d.in_payload(at))
    }),
    // A string that starts or ends within a character.
    rule("engram-string-utf8", V, "14", "Utf8", P::ENTRIES, |u, d| {
        let (wide, bytes) = u.pick(WIDE[0], &[WIDE[1]]);
        let within = wide + u.u32_between(1, bytes - 1);
        let len = d.u32(T::ENGRAM_INDEX, 4);
        let (start, end) = if u.flag() { (within, len) } else { (wide, within) };
        let at = a_span(u, d);
        d.set_payload(at, [start, end - start].map(u32::to_le_bytes).as_flattened());
        Some(d.in_payload(strings_at(d) + u64::from(start)))
    }),
];

fn per_entry(d: &mut Draft, count: u16) -> Option<u64> {
    d.set(T::ENGRAM_INDEX, 2, &count.to_be_bytes());
    Some(d.in_value(T::ENGRAM_INDEX, 2))
}

/// Where the strings start, in the payload, which they end.
fn strings_at(d: &Draft) -> u64 {
    d.payload.len() as u64 - u64::from(d.u32(T::ENGRAM_INDEX, 4))
}

/// Where one of the three spans of an entry stands, in the payload.
fn a_span(u: &mut Draw<'_, '_>, d: &Draft) -> u64 {
    let per_entry = u32::from(d.u16(T::ENGRAM_INDEX, 2)).max(1);
    let entries = u64::from(d.config_u32(4) / per_entry);
    strings_at(d) - 40 * (1 + u.below(entries)) + u.pick(16, &[24, 32])
}

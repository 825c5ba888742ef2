//! spec/ledger.md, "Checks of the chunk's view" and "Checks of the index's view".

use alloc::vec::Vec;

use super::{Rule, foreign_tlv, no_tlv, other_kind, payload_len, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::{Draft, Parts as P, array};
use crate::arbitrary::draw::Draw;
use crate::frame::TlvType as T;

const C: View = View::Chunk;
const V: View = View::Index;

pub(super) const RULES: &[Rule] = &[
    rule("chunk-kind", C, "1", "Kind", P::NONE, other_kind),
    rule("chunk-tlv-missing", C, "2", "TlvMissing", P::NONE, |_, d| no_tlv(d, T::LEDGER_CHUNK)),
    rule("chunk-foreign-tlv", C, "3", "ForeignTlv", P::NONE, foreign_tlv),
    rule("chunk-rows", C, "4", "Shape", P::NONE, |u, d| {
        d.set_config(4, &u.not_u32(1).to_be_bytes());
        d.config(4)
    }),
    rule("chunk-end", C, "5", "Size", P::NONE, |u, d| {
        let length = u64::from(d.u32(T::LEDGER_CHUNK, 16));
        d.set(T::LEDGER_CHUNK, 8, &(u64::MAX - u.below(length)).to_be_bytes());
        Some(d.in_value(T::LEDGER_CHUNK, 8))
    }),
    rule("chunk-length", C, "6", "Shape", P::NONE, |_, d| {
        d.set(T::LEDGER_CHUNK, 16, &[0; 4]);
        Some(d.in_value(T::LEDGER_CHUNK, 16))
    }),
    rule("chunk-encoding", C, "7", "Code", P::NONE, |u, d| {
        d.set(T::LEDGER_CHUNK, 20, &[u.u8_between(2, 255)]);
        Some(d.in_value(T::LEDGER_CHUNK, 20))
    }),
    rule("chunk-raw-bits", C, "8", "Shape", P::RAW, |u, d| {
        d.set(T::LEDGER_CHUNK, 21, &[u.not_u8(0)]);
        Some(d.in_value(T::LEDGER_CHUNK, 21))
    }),
    rule("chunk-packed-bits", C, "8", "Code", P::PACKED, |u, d| {
        let bits = u.u8_between(32, 255);
        d.set(T::LEDGER_CHUNK, 21, &[if bits == 32 { 0 } else { bits }]);
        Some(d.in_value(T::LEDGER_CHUNK, 21))
    }),
    rule("chunk-reserved", C, "9", "Reserved", P::NONE, |u, d| {
        d.set(T::LEDGER_CHUNK, 22, &(u.not_zero(16) as u16).to_be_bytes());
        Some(d.in_value(T::LEDGER_CHUNK, 22))
    }),
    rule("chunk-element", C, "10", "Code", P::NONE, |u, d| {
        let packed = d.u8(T::LEDGER_CHUNK, 20) == 1;
        d.set_element(match packed {
            true => u.pick(0, &[1, 3, 4, 5, 6, 7, 8, 9]),
            false => u.pick(0, &[1, 2, 5, 6, 7, 8, 9]),
        });
        d.config(1)
    }),
    rule("chunk-dim", C, "11", "Shape", P::NONE, |u, d| {
        let dim = d.config_u32(8);
        d.set_config(8, &u.not_u32(dim).to_be_bytes());
        d.config(8)
    }),
    rule("chunk-payload-len", C, "12", "Shape", P::NONE, payload_len),
    rule("marks-cut", C, "13.1", "Truncated", P::PASSKEYS.and(P::SPANS), |u, d| {
        let fields = mark_fields(d);
        let (at, len) = fields.get(u.place(fields.len())).copied()?;
        d.value_mut(T::LEDGER_MARKS)?.truncate(at + u.place(len));
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-passkey-order", C, "13.2", "Order", P::PASSKEYS, |u, d| {
        let at = 4 + 8 * (1 + u.place(usize::from(d.u16(T::LEDGER_MARKS, 0)) - 1));
        let before = d.u64(T::LEDGER_MARKS, at - 8);
        d.set(T::LEDGER_MARKS, at, &u.between(0, before).to_be_bytes());
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-passkey-past-end", C, "13.3", "PastEnd", P::PASSKEYS, |u, d| {
        let at = 4 + 8 * (usize::from(d.u16(T::LEDGER_MARKS, 0)) - 1);
        d.set(T::LEDGER_MARKS, at, &u.between(chunk_end(d), u64::MAX).to_be_bytes());
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-span-size", C, "13.4", "Size", P::SPANS, |u, d| {
        let at = a_span(u, d);
        let len = u.between(1, u64::MAX);
        let start = u.between(u64::MAX - len + 1, u64::MAX);
        d.set(T::LEDGER_MARKS, at, [start, len].map(u64::to_be_bytes).as_flattened());
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-span-length", C, "13.5", "Shape", P::SPANS, |u, d| {
        let at = a_span(u, d) + 8;
        d.set(T::LEDGER_MARKS, at, &[0; 8]);
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-span-past-end", C, "13.6", "PastEnd", P::SPANS, |u, d| {
        let at = a_span(u, d);
        let (start, end) = (d.u64(T::LEDGER_MARKS, at), chunk_end(d));
        d.set(T::LEDGER_MARKS, at + 8, &u.between(end - start + 1, u64::MAX - start).to_be_bytes());
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-span-name-len", C, "13.7", "Shape", P::SPANS, |u, d| {
        let at = a_span(u, d);
        let len = usize::from(d.u16(T::LEDGER_MARKS, at + 16));
        d.value_mut(T::LEDGER_MARKS)?.drain(at + 18..at + 18 + len);
        d.set(T::LEDGER_MARKS, at + 16, &[0; 2]);
        Some(d.in_value(T::LEDGER_MARKS, at as u64 + 16))
    }),
    rule("marks-span-name-utf8", C, "13.8", "Utf8", P::SPANS, |u, d| {
        // The first byte of a name: of those above 7F, no two of these are a character.
        let at = a_span(u, d) + 18;
        d.set(T::LEDGER_MARKS, at, &[u.pick(0xFF, &[0x80, 0xC0, 0xF8])]);
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("marks-span-name-order", C, "13.9", "Order", P::SPANS, |u, d| {
        let spans = spans(d);
        let index = 1 + u.place(spans.len() - 1);
        let (before, at) = (*spans.get(index - 1)?, *spans.get(index)?);
        // The name before once more, or what is less than any.
        let name = match u.flag() {
            true => d.value(T::LEDGER_MARKS).get(before + 18..at)?.to_vec(),
            false => Vec::from([0x01]),
        };
        let len = usize::from(d.u16(T::LEDGER_MARKS, at + 16));
        d.set(T::LEDGER_MARKS, at + 16, &(name.len() as u16).to_be_bytes());
        d.value_mut(T::LEDGER_MARKS)?.splice(at + 18..at + 18 + len, name);
        Some(d.in_value(T::LEDGER_MARKS, at as u64 + 18))
    }),
    rule("marks-trailing-bytes", C, "13.10", "TrailingBytes", P::SPANS, |u, d| {
        let len = u.pick(1, &[2, 8, 21]);
        let more = u.bytes(len);
        let value = d.value_mut(T::LEDGER_MARKS)?;
        let at = value.len();
        value.extend(more);
        Some(d.in_value(T::LEDGER_MARKS, at as u64))
    }),
    rule("chunk-spare-bits", C, "14", "SpareBits", P::SPARE, |u, d| {
        let bits = u64::from(d.u32(T::LEDGER_CHUNK, 16)) * u64::from(d.u8(T::LEDGER_CHUNK, 21));
        let last = d.payload.len() as u64 - 1;
        let bit = u.between(bits % 8, 7);
        let old: [u8; 1] = array(&d.payload, last as usize);
        d.set_payload(last, &old.map(|byte| byte | 1 << bit));
        Some(d.in_payload(last))
    }),
    rule("index-kind", V, "1", "Kind", P::NONE, other_kind),
    rule("index-tlv-missing", V, "2", "TlvMissing", P::NONE, |_, d| no_tlv(d, T::LEDGER_INDEX)),
    rule("index-foreign-tlv", V, "3", "ForeignTlv", P::NONE, foreign_tlv),
    rule("index-element", V, "4", "Code", P::NONE, |u, d| {
        d.set_element(u.u8_between(1, 9));
        d.config(1)
    }),
    rule("index-rows", V, "5", "Shape", P::NONE, |u, d| {
        d.set_config(4, &u.not_u32(0).to_be_bytes());
        d.config(4)
    }),
    rule("index-dim", V, "6", "Shape", P::NONE, |u, d| {
        d.set_config(8, &u.not_u32(0).to_be_bytes());
        d.config(8)
    }),
    rule("index-total-tokens", V, "7", "Shape", P::ANCHORS, |u, d| {
        let chunks = d.u64(T::LEDGER_INDEX, 8);
        value_u64(d, 0, u.below(chunks))
    }),
    rule("index-empty-total-tokens", V, "7", "Shape", P::EMPTY, |u, d| value_u64(d, 0, u.not_zero(64))),
    rule("index-ledger-len-size", V, "8", "Size", P::NONE, |u, d| {
        // As many tokens as chunks, of 108 bytes each at least.
        let chunks = u.between(u64::MAX / 108 + 1, u64::MAX);
        d.set(T::LEDGER_INDEX, 0, [chunks; 2].map(u64::to_be_bytes).as_flattened());
        Some(d.in_value(T::LEDGER_INDEX, 16))
    }),
    rule("index-ledger-len", V, "8", "Shape", P::ANCHORS, |u, d| {
        let chunks = d.u64(T::LEDGER_INDEX, 8);
        value_u64(d, 16, u.below(108 * chunks))
    }),
    rule("index-empty-ledger-len", V, "8", "Shape", P::EMPTY, |u, d| value_u64(d, 16, u.not_zero(64))),
    rule("index-chunk-tokens", V, "9", "Shape", P::ANCHORS, |u, d| {
        let (total, chunks) = (d.u64(T::LEDGER_INDEX, 0), d.u64(T::LEDGER_INDEX, 8));
        // Less than the mean; or more than all, where 32 bits have room for that.
        let tokens = if u.flag() && total < u64::from(u32::MAX) {
            u.between(total + 1, u64::from(u32::MAX))
        } else {
            u.below(total.div_ceil(chunks))
        };
        value_u32(d, 24, tokens as u32)
    }),
    rule("index-empty-chunk-tokens", V, "9", "Shape", P::EMPTY, |u, d| value_u32(d, 24, u.not_u32(0))),
    rule("index-anchor-stride", V, "10", "Shape", P::NONE, |_, d| value_u32(d, 28, 0)),
    rule("index-anchor-count", V, "11", "Shape", P::NONE, |u, d| {
        let count = d.u32(T::LEDGER_INDEX, 32);
        value_u32(d, 32, u.not_u32(count))
    }),
    rule("index-reserved", V, "12", "Reserved", P::NONE, |u, d| value_u64(d, 80, u.not_zero(64))),
    rule("index-payload-len", V, "13", "Shape", P::NONE, |u, d| {
        if u.flag() {
            return payload_len(u, d);
        }
        // A count of passkeys, of spans, or of bytes of names.
        let field = u.pick(36, &[40, 44]);
        let count = d.u32(T::LEDGER_INDEX, field);
        value_u32(d, field, u.not_u32(count));
        d.config(16)
    }),
    rule("index-anchor-chunk-id", V, "14.1", "Shape", P::ANCHORS, |u, d| {
        let at = 40 * u.below(u64::from(d.u32(T::LEDGER_INDEX, 32)));
        let id = payload_u64(d, at);
        put_u64(d, at, id ^ u.not_zero(64))
    }),
    rule("index-first-start", V, "14.2", "Shape", P::ANCHORS, |u, d| put_u64(d, 8, u.not_zero(64))),
    rule("index-anchor-start", V, "14.2", "Order", P::ANCHORS, |u, d| {
        let at = a_later_anchor(u, d) + 8;
        let before = payload_u64(d, at - 40);
        put_u64(d, at, u.between(0, before))
    }),
    rule("index-first-offset", V, "14.3", "Shape", P::ANCHORS, |u, d| put_u64(d, 16, u.not_zero(64))),
    rule("index-anchor-offset", V, "14.3", "Order", P::ANCHORS, |u, d| {
        let at = a_later_anchor(u, d) + 16;
        let before = payload_u64(d, at - 40);
        put_u64(d, at, u.between(0, before))
    }),
    rule("index-anchor-offset-past-end", V, "14.4", "PastEnd", P::ANCHORS, |u, d| {
        let (at, len) = (a_later_anchor(u, d) + 16, d.u64(T::LEDGER_INDEX, 16));
        put_u64(d, at, u.between(len, u64::MAX))
    }),
    rule("index-anchor-length", V, "14.5", "Shape", P::ANCHORS, |u, d| {
        let at = 24 + 40 * u.below(u64::from(d.u32(T::LEDGER_INDEX, 32)));
        let most = d.u32(T::LEDGER_INDEX, 24);
        let length = if u.flag() && most < u32::MAX { u.u32_between(most + 1, u32::MAX) } else { 0 };
        put_u32(d, at, length)
    }),
    rule("index-anchor-past-end", V, "14.6", "PastEnd", P::ANCHORS, |u, d| {
        let at = a_later_anchor(u, d) + 8;
        let total = d.u64(T::LEDGER_INDEX, 0);
        // Behind the anchor before, whose chunk ends at or before the last token; a sum over 64 bits is one of them.
        put_u64(d, at, u.between(total, u64::MAX))
    }),
    rule("index-anchor-reserved", V, "14.7", "Reserved", P::ANCHORS, |u, d| {
        let at = 28 + 40 * u.below(u64::from(d.u32(T::LEDGER_INDEX, 32)));
        put_u32(d, at, u.not_u32(0))
    }),
    rule("index-passkey-order", V, "15.1", "Order", P::PASSKEYS, |u, d| {
        let at = 24 * u.between(1, u64::from(d.u32(T::LEDGER_INDEX, 36)) - 1) + passkeys_at(d);
        let before = payload_u64(d, at - 24);
        put_u64(d, at, u.between(0, before))
    }),
    rule("index-passkey-past-end", V, "15.2", "PastEnd", P::PASSKEYS, |u, d| {
        let at = spans_at(d) - 24;
        let total = d.u64(T::LEDGER_INDEX, 0);
        put_u64(d, at, u.between(total, u64::MAX))
    }),
    rule("index-passkey-chunk-id", V, "15.3", "PastEnd", P::PASSKEYS, |u, d| {
        let at = a_passkey(u, d) + 8;
        let chunks = d.u64(T::LEDGER_INDEX, 8);
        put_u64(d, at, u.between(chunks, u64::MAX))
    }),
    rule("index-passkey-offset", V, "15.4", "PastEnd", P::PASSKEYS, |u, d| {
        let at = a_passkey(u, d) + 16;
        let most = d.u32(T::LEDGER_INDEX, 24);
        put_u32(d, at, u.u32_between(most, u32::MAX))
    }),
    rule("index-span-size", V, "16.1", "Size", P::SPANS, |u, d| {
        let at = an_index_span(u, d);
        let len = u.between(1, u64::MAX);
        put_u64(d, at + 8, len);
        put_u64(d, at, u.between(u64::MAX - len + 1, u64::MAX))
    }),
    rule("index-span-length", V, "16.2", "Shape", P::SPANS, |u, d| {
        let at = an_index_span(u, d) + 8;
        put_u64(d, at, 0)
    }),
    rule("index-span-past-end", V, "16.3", "PastEnd", P::SPANS, |u, d| {
        let at = an_index_span(u, d);
        let (start, total) = (payload_u64(d, at), d.u64(T::LEDGER_INDEX, 0));
        put_u64(d, at + 8, u.between(total - start + 1, u64::MAX - start));
        Some(d.in_payload(at))
    }),
    rule("index-span-name-off", V, "16.4", "Shape", P::SPANS, |u, d| {
        let at = an_index_span(u, d) + 16;
        let old = payload_u32(d, at);
        put_u32(d, at, u.not_u32(old))
    }),
    rule("index-span-name-len", V, "16.5", "Shape", P::SPANS, |u, d| {
        let at = an_index_span(u, d) + 20;
        put_u32(d, at, 0)
    }),
    rule("index-span-name-past-end", V, "16.6", "PastEnd", P::SPANS, |u, d| {
        let at = an_index_span(u, d) + 20;
        let left = d.u32(T::LEDGER_INDEX, 44) - payload_u32(d, at - 4);
        put_u32(d, at, u.u32_between(left + 1, u32::MAX))
    }),
    rule("index-span-name-utf8", V, "16.7", "Utf8", P::SPANS, |u, d| {
        let span = an_index_span(u, d);
        let at = names_at(d) + u64::from(payload_u32(d, span + 16));
        d.set_payload(at, &[u.pick(0xFF, &[0x80, 0xC0, 0xF8])]);
        Some(d.in_payload(at))
    }),
    rule("index-span-name-order", V, "16.8", "Order", P::SPANS, |u, d| {
        let span = spans_at(d) + 24 * u.between(1, u64::from(d.u32(T::LEDGER_INDEX, 40)) - 1);
        let at = names_at(d) + u64::from(payload_u32(d, span + 16));
        // Less than any, and of the same length.
        let len = payload_u32(d, span + 20) as usize;
        d.set_payload(at, &alloc::vec![u.u8_between(1, 9); len]);
        Some(d.in_payload(at))
    }),
    rule("index-names-len", V, "17", "Shape", P::SPANS, |u, d| {
        let names = d.u32(T::LEDGER_INDEX, 44);
        let more = u.u32_between(1, 20);
        d.resize_payload(d.payload.len() as u64 + u64::from(more));
        value_u32(d, 44, names + more)
    }),
];

/// The position after the chunk's last token.
fn chunk_end(d: &Draft) -> u64 {
    d.u64(T::LEDGER_CHUNK, 8) + u64::from(d.u32(T::LEDGER_CHUNK, 16))
}

/// Where the spans of LEDGER_MARKS_V1 start, in its value.
fn spans(d: &Draft) -> Vec<usize> {
    let mut at = 4 + 8 * usize::from(d.u16(T::LEDGER_MARKS, 0));
    let mut spans = Vec::new();
    for _ in 0..d.u16(T::LEDGER_MARKS, 2) {
        spans.push(at);
        at += 18 + usize::from(d.u16(T::LEDGER_MARKS, at + 16));
    }
    spans
}

fn a_span(u: &mut Draw<'_, '_>, d: &Draft) -> usize {
    let spans = spans(d);
    spans.get(u.place(spans.len())).copied().unwrap_or(4)
}

/// Where the fields of LEDGER_MARKS_V1 start in its value, and their lengths, but for the two counts.
fn mark_fields(d: &Draft) -> Vec<(usize, usize)> {
    let mut fields: Vec<_> = (0..usize::from(d.u16(T::LEDGER_MARKS, 0))).map(|i| (4 + 8 * i, 8)).collect();
    for at in spans(d) {
        let name = usize::from(d.u16(T::LEDGER_MARKS, at + 16));
        fields.extend([(at, 8), (at + 8, 8), (at + 16, 2), (at + 18, name)]);
    }
    fields
}

/// Sets a field of LEDGER_INDEX_V1, where the reader has to refuse it.
fn value_u64(d: &mut Draft, field: usize, value: u64) -> Option<u64> {
    d.set(T::LEDGER_INDEX, field, &value.to_be_bytes());
    Some(d.in_value(T::LEDGER_INDEX, field as u64))
}

fn value_u32(d: &mut Draft, field: usize, value: u32) -> Option<u64> {
    d.set(T::LEDGER_INDEX, field, &value.to_be_bytes());
    Some(d.in_value(T::LEDGER_INDEX, field as u64))
}

fn payload_u64(d: &Draft, at: u64) -> u64 {
    u64::from_le_bytes(array(&d.payload, at as usize))
}

fn payload_u32(d: &Draft, at: u64) -> u32 {
    u32::from_le_bytes(array(&d.payload, at as usize))
}

/// Sets a field of an entry, where the reader has to refuse it.
fn put_u64(d: &mut Draft, at: u64, value: u64) -> Option<u64> {
    d.set_payload(at, &value.to_le_bytes());
    Some(d.in_payload(at))
}

fn put_u32(d: &mut Draft, at: u64, value: u32) -> Option<u64> {
    d.set_payload(at, &value.to_le_bytes());
    Some(d.in_payload(at))
}

/// An anchor that is not the first.
fn a_later_anchor(u: &mut Draw<'_, '_>, d: &Draft) -> u64 {
    40 * u.between(1, u64::from(d.u32(T::LEDGER_INDEX, 32)) - 1)
}

fn passkeys_at(d: &Draft) -> u64 {
    40 * u64::from(d.u32(T::LEDGER_INDEX, 32))
}

fn a_passkey(u: &mut Draw<'_, '_>, d: &Draft) -> u64 {
    passkeys_at(d) + 24 * u.below(u64::from(d.u32(T::LEDGER_INDEX, 36)))
}

fn spans_at(d: &Draft) -> u64 {
    passkeys_at(d) + 24 * u64::from(d.u32(T::LEDGER_INDEX, 36))
}

fn an_index_span(u: &mut Draw<'_, '_>, d: &Draft) -> u64 {
    spans_at(d) + 24 * u.below(u64::from(d.u32(T::LEDGER_INDEX, 40)))
}

fn names_at(d: &Draft) -> u64 {
    spans_at(d) + 24 * u64::from(d.u32(T::LEDGER_INDEX, 40))
}

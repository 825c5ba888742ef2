//! spec/gist.md, "Checks of the gist's view".

use super::{Rule, foreign_tlv, no_tlv, other_kind, payload_len, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::{Draft, Parts as P};
use crate::frame::TlvType as T;

const V: View = View::Gist;

pub(super) const RULES: &[Rule] = &[
    rule("gist-kind", V, "1", "Kind", P::NONE, other_kind),
    rule("gist-tlv-missing", V, "2", "TlvMissing", P::NONE, |_, d| no_tlv(d, T::GIST)),
    rule("gist-foreign-tlv", V, "3", "ForeignTlv", P::NONE, foreign_tlv),
    rule("gist-element", V, "4", "Code", P::NONE, |u, d| {
        d.set_element(u.pick(0, &[2, 3, 4, 8, 9]));
        d.config(1)
    }),
    rule("gist-n-layers", V, "5", "Shape", P::NONE, |_, d| zero(d, 0)),
    rule("gist-n-kv-heads", V, "5", "Shape", P::NONE, |_, d| zero(d, 4)),
    rule("gist-n-gist", V, "5", "Shape", P::NONE, |_, d| zero(d, 8)),
    rule("gist-head-dim", V, "5", "Shape", P::NONE, |_, d| zero(d, 12)),
    rule("gist-rows-size", V, "6", "Size", P::NONE, |_, d| {
        // 2 * (2^32 - 1)^2 already.
        d.set(T::GIST, 0, &[0xFF; 8]);
        Some(d.in_value(T::GIST, 0))
    }),
    rule("gist-rows", V, "6", "Shape", P::NONE, |u, d| {
        let rows = d.config_u32(4);
        d.set_config(4, &u.not_u32(rows).to_be_bytes());
        d.config(4)
    }),
    rule("gist-dim", V, "7", "Shape", P::NONE, |u, d| {
        let dim = d.config_u32(8);
        d.set_config(8, &u.not_u32(dim).to_be_bytes());
        d.config(8)
    }),
    rule("gist-size", V, "8", "Size", P::NONE, |_, d| {
        // 2^32 - 2 rows of 2^32 - 1 components of two bytes at least.
        let (layers, dim) = ((1_u32 << 31) - 1, u32::MAX);
        d.set(T::GIST, 0, [layers, 1, 1, dim].map(u32::to_be_bytes).as_flattened());
        d.set_config(4, [2 * layers, dim].map(u32::to_be_bytes).as_flattened());
        d.config(16)
    }),
    rule("gist-payload-len", V, "8", "Shape", P::NONE, payload_len),
    rule("gist-metadata", V, "9", "Utf8", P::METADATA, |u, d| {
        let text = d.value_mut(T::GIST_METADATA)?;
        let at = text.len();
        // No byte that begins a character; or one that does, and the character does not end.
        text.push(u.pick(0xFF, &[0x80, 0xC0, 0xE2, 0xF0]));
        text.extend(u.pick("", &[" ", "\"}"]).bytes());
        Some(d.in_value(T::GIST_METADATA, at as u64))
    }),
];

/// A field of GIST_V1 that is 0.
fn zero(d: &mut Draft, field: usize) -> Option<u64> {
    d.set(T::GIST, field, &[0; 4]);
    Some(d.in_value(T::GIST, field as u64))
}

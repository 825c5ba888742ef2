//! spec/mirror.md, "Checks of the blocks' view" and "Checks of the mirror's view".

use super::{Rule, foreign_tlv, no_tlv, other_kind, payload_len, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::Parts as P;
use crate::frame::TlvType as T;

const B: View = View::Blocks;
const V: View = View::Mirror;

pub(super) const RULES: &[Rule] = &[
    rule("blocks-kind", B, "1", "Kind", P::NONE, other_kind),
    rule("blocks-foreign-tlv", B, "2", "ForeignTlv", P::NONE, foreign_tlv),
    rule("blocks-element", B, "3", "Code", P::NONE, |u, d| {
        d.set_element(u.pick(0, &[2, 3, 4, 8, 9]));
        d.config(1)
    }),
    rule("blocks-rows", B, "4", "Shape", P::NONE, |_, d| {
        d.set_config(4, &[0; 4]);
        d.config(4)
    }),
    rule("blocks-dim", B, "5", "Shape", P::NONE, |_, d| {
        d.set_config(8, &[0; 4]);
        d.config(8)
    }),
    rule("blocks-size", B, "6", "Size", P::NONE, |_, d| {
        // (2^32 - 1)^2 of two bytes at least.
        d.set_config(4, &[0xFF; 8]);
        d.config(16)
    }),
    rule("blocks-payload-len", B, "6", "Shape", P::NONE, payload_len),
    rule("mirror-kind", V, "1", "Kind", P::NONE, other_kind),
    rule("mirror-tlv-missing", V, "2", "TlvMissing", P::NONE, |_, d| no_tlv(d, T::MIRROR)),
    rule("mirror-foreign-tlv", V, "3", "ForeignTlv", P::NONE, foreign_tlv),
    rule("mirror-dim", V, "4", "Shape", P::NONE, |_, d| {
        d.set_config(8, &[0; 4]);
        d.config(8)
    }),
    rule("mirror-total-blocks", V, "5", "Shape", P::NONE, |_, d| {
        d.set(T::MIRROR, 0, &[0; 4]);
        Some(d.in_value(T::MIRROR, 0))
    }),
    rule("mirror-mode", V, "6", "Code", P::NONE, |u, d| {
        d.set(T::MIRROR, 4, &[u.u8_between(2, 255)]);
        Some(d.in_value(T::MIRROR, 4))
    }),
    rule("mirror-master-element", V, "7", "Code", P::NONE, |u, d| {
        d.set(T::MIRROR, 5, &[u.pick(0, &[2, 3, 4, 8, 9, 10, 255])]);
        Some(d.in_value(T::MIRROR, 5))
    }),
    rule("mirror-add-to-i16", V, "7", "Code", P::I16, |_, d| {
        d.set(T::MIRROR, 4, &[1, 1]);
        Some(d.in_value(T::MIRROR, 5))
    }),
    rule("mirror-reserved", V, "8", "Reserved", P::NONE, |u, d| {
        d.set(T::MIRROR, 6, &(u.not_zero(16) as u16).to_be_bytes());
        Some(d.in_value(T::MIRROR, 6))
    }),
    rule("mirror-threshold", V, "9", "Number", P::NONE, |u, d| {
        let bad = u.no_f64();
        let threshold = u.pick(-1.0, &[-f64::from_bits(1), f64::MIN, bad]);
        d.set(T::MIRROR, 8, &threshold.to_be_bytes());
        Some(d.in_value(T::MIRROR, 8))
    }),
    rule("mirror-element", V, "10", "Code", P::NONE, |u, d| {
        let (add, master) = (d.u8(T::MIRROR, 4) == 1, d.u8(T::MIRROR, 5));
        // replace: the master's; add: the master's, or i16.
        let good = |element: u8| element == master || add && element == 1;
        let drawn = u.u8_between(0, 9);
        let other = (drawn..=9).chain(0..drawn).find(|element| !good(*element));
        d.set_element(other?);
        d.config(1)
    }),
    rule("mirror-master-size", V, "11", "Size", P::NONE, |_, d| {
        // (2^32 - 1)^2 of two bytes at least.
        d.set_config(8, &[0xFF; 4]);
        d.set(T::MIRROR, 0, &[0xFF; 4]);
        Some(d.in_value(T::MIRROR, 0))
    }),
    rule("mirror-rows", V, "12", "PastEnd", P::ROWS, |u, d| {
        let rows = u64::from(d.config_u32(4));
        d.set(T::MIRROR, 0, &(u.between(1, rows - 1) as u32).to_be_bytes());
        d.config(4)
    }),
    rule("mirror-size", V, "13", "Size", P::I16, |_, d| {
        // The master has a little less than 2^64 bytes; the mirror has 4 for each of its indices besides.
        let (rows, dim) = (u32::MAX, (1_u32 << 31) - 1);
        d.set_config(4, &rows.to_be_bytes());
        d.set_config(8, &dim.to_be_bytes());
        d.set(T::MIRROR, 0, &rows.to_be_bytes());
        d.set(T::MIRROR, 4, &[0, 1]);
        d.config(16)
    }),
    rule("mirror-payload-len", V, "13", "Shape", P::NONE, payload_len),
    rule("mirror-index-order", V, "14", "Order", P::ROWS, |u, d| {
        let at = 4 * u.between(1, u64::from(d.config_u32(4)) - 1);
        // The one before, or less.
        let before = u32::from_le_bytes(crate::arbitrary::draft::array(&d.payload, at as usize - 4));
        d.set_payload(at, &u.u32_between(0, before).to_le_bytes());
        Some(d.in_payload(at))
    }),
    rule("mirror-index-past-end", V, "14", "PastEnd", P::ROWS, |u, d| {
        let at = 4 * (u64::from(d.config_u32(4)) - 1);
        let total = d.u32(T::MIRROR, 0);
        d.set_payload(at, &u.u32_between(total, u32::MAX).to_le_bytes());
        Some(d.in_payload(at))
    }),
];

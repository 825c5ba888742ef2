//! Blocks and mirrors (spec/mirror.md), and gists (spec/gist.md).

use alloc::vec;
use alloc::vec::Vec;

use super::{Body, float_or_i16, size_of_element};
use crate::arbitrary::draft::{Part, Parts};
use crate::arbitrary::draw::Draw;
use crate::frame::{Kind, TlvType};

pub(super) fn blocks(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let element = float_or_i16(parts, u);
    let (rows, dim) = (u.u32_between(1, 4), u.u32_between(1, 8));
    let payload = u.bytes(rows as usize * dim as usize * size_of_element(element));
    Body { kind: Kind::BLOCKS.0, element, rows, dim, payload, ..Body::default() }
}

pub(super) fn mirror(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let element = float_or_i16(parts, u);
    let add = u.flag();
    let master_element = match (add, element) {
        (true, 1) => u.pick(5, &[6, 7]),
        _ => element,
    };
    let (rows, dim) = (u.u32_between(if parts.has(Parts::ROWS) { 2 } else { 0 }, 4), u.u32_between(1, 6));
    let total = rows.max(1).saturating_add(if u.one_in(4) { u.u32() >> 1 } else { u.u32_between(0, 5) });
    let mut value = total.to_be_bytes().to_vec();
    value.extend([u8::from(add), master_element, 0, 0]);
    let threshold = u.pick(0.0, &[-0.0, 0.5, f64::MAX, f64::from_bits(1)]);
    value.extend(if u.flag() { u.f64().abs() } else { threshold }.to_be_bytes());
    value.extend(u.bytes(32));

    let mut payload = Vec::new();
    // In stretches of equal length, one in each.
    let stretch = total / rows.max(1);
    for i in 0..rows {
        payload.extend((i * stretch + u.below(u64::from(stretch)) as u32).to_le_bytes());
    }
    payload.extend(u.bytes(rows as usize * dim as usize * size_of_element(element)));
    let own = vec![Part { tlv: TlvType::MIRROR, value }];
    Body { kind: Kind::MIRROR.0, element, rows, dim, own, payload, ..Body::default() }
}

pub(super) fn gist(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let element = float_or_i16(parts, u);
    let shape = [2, 2, 3, 5].map(|most| u.u32_between(1, most));
    let [layers, heads, gists, dim] = shape;
    let rows = layers * 2 * heads * gists;
    let mut value = shape.map(u32::to_be_bytes).as_flattened().to_vec();
    value.extend(u.pick(0, &[1, 800, u64::MAX]).to_be_bytes());
    value.extend(if u.flag() { u.bytes(32) } else { vec![0; 32] });
    let mut own = vec![Part { tlv: TlvType::GIST, value }];
    if parts.or_chosen(Parts::METADATA, u) {
        let text = u.pick("{\"model\":\"caf\u{e9}\"}", &["{}", "", "not JSON, \u{1F600}"]);
        own.push(Part { tlv: TlvType::GIST_METADATA, value: text.as_bytes().to_vec() });
    }
    let payload = u.bytes(rows as usize * dim as usize * size_of_element(element));
    Body { kind: Kind::GIST.0, element, rows, dim, own, payload, ..Body::default() }
}

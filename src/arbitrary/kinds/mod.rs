//! Valid frames of every kind, as drafts. What a frame of a kind needs is stated in the documents of spec/; everything else is
//! chosen.

mod beacon;
mod engram;
mod ledger;
mod mirror;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

pub(super) use engram::WIDE;

use super::View;
use super::draft::{Draft, Part, Parts, context_dim, object};
use super::draw::Draw;
use crate::frame::{Kind, TlvType};

/// What a kind gives to its frame.
#[derive(Debug, Default)]
struct Body {
    kind: u8,
    element: u8,
    rows: u32,
    dim: u32,
    own: Vec<Part>,
    payload: Vec<u8>,
    alert: bool,
    baseline: bool,
    tokens: Vec<String>,
}

/// A valid frame of a kind that has `parts`.
pub(super) fn draft(view: View, parts: Parts, u: &mut Draw<'_, '_>) -> Draft {
    let view = match view {
        _ if parts.has(Parts::CHUNK) => Some(View::Chunk),
        View::Frame | View::Verify | View::Context => any_kind(parts, u),
        view => Some(view),
    };
    let body = match view {
        Some(View::Beacon) => beacon::body(parts, u),
        Some(View::Chunk) => ledger::chunk(parts, u),
        Some(View::Index) => ledger::index(parts, u),
        Some(View::Mirror) => mirror::mirror(parts, u),
        Some(View::EngramIndex) => engram::index(parts, u),
        Some(View::Gist) => mirror::gist(parts, u),
        Some(View::Blocks) => mirror::blocks(parts, u),
        Some(View::Whitening) => engram::whitening(u),
        _ => unknown(parts, u),
    };
    finish(body, parts, u)
}

/// The view of one of the kinds; seldom none, for a kind that is not known.
fn any_kind(parts: Parts, u: &mut Draw<'_, '_>) -> Option<View> {
    let fits = |view: &&View| match view {
        View::Beacon => !parts.has(Parts::NOT_I16),
        View::Chunk | View::Index | View::Whitening => !parts.has(Parts::I16),
        _ => true,
    };
    let views = View::OF_KINDS.iter().filter(fits);
    let place = u.place(views.clone().count().saturating_add(1));
    views.copied().nth(place)
}

/// A frame of a kind that nobody knows.
fn unknown(parts: Parts, u: &mut Draw<'_, '_>) -> Body {
    let element = if parts.has(Parts::I16) {
        1
    } else if parts.has(Parts::NOT_I16) {
        u.pick(0, &[2, 3, 4, 5, 6, 7, 8, 9])
    } else {
        u.u8_between(0, 9)
    };
    let payload = some_bytes(u, 40);
    Body { kind: u.u8_between(8, 255), element, rows: u.u32(), dim: u.u32(), payload, ..Body::default() }
}

fn some_bytes(u: &mut Draw<'_, '_>, most: usize) -> Vec<u8> {
    let len = u.place(most.saturating_add(1));
    u.bytes(len)
}

/// An element of blocks, mirrors and gists.
fn float_or_i16(parts: Parts, u: &mut Draw<'_, '_>) -> u8 {
    if parts.has(Parts::I16) {
        1
    } else if parts.has(Parts::NOT_I16) {
        u.pick(5, &[6, 7])
    } else {
        u.pick(1, &[5, 6, 7])
    }
}

/// Bytes of one of those.
fn size_of_element(element: u8) -> usize {
    if element == 7 { 4 } else { 2 }
}

fn finish(body: Body, parts: Parts, u: &mut Draw<'_, '_>) -> Draft {
    let Body { kind, element, rows, dim, mut own, payload, alert, baseline, tokens } = body;
    let mut draft = Draft { payload, tokens, ..Draft::default() };
    let delta_q16 = if element == 1 { u.not_zero(32) as u32 } else { 0 };
    let mut config = vec![kind, element, 0, 0];
    config.extend([rows, dim, delta_q16].map(u32::to_be_bytes).as_flattened());
    config.extend((draft.payload.len() as u64).to_be_bytes());
    own.push(Part { tlv: TlvType::CONFIG, value: config });

    let hmac = parts.or_chosen(Parts::HMAC, u);
    let flags = u32::from(hmac) | u32::from(alert) << 1 | u32::from(baseline) << 2;
    if flags != 0 || parts.has(Parts::FLAGS) || !u.one_in(8) {
        let ignored = if u.one_in(4) { u32::from(u.u16()) << 16 } else { 0 };
        own.push(Part { tlv: TlvType::FLAGS, value: (flags | ignored).to_be_bytes().to_vec() });
    }
    ignored(&mut own, kind, parts, u);
    if parts.has(Parts::LARGE) {
        // Beyond 4,093 bytes by itself, in a type that no draft has otherwise.
        let len = u.place(200).saturating_add(4091);
        own.push(Part { tlv: 0xEF, value: u.bytes(len) });
    }
    if parts.or_chosen(Parts::PAD, u) {
        let len = u.place(64).saturating_add(usize::from(parts.has(Parts::PAD)));
        own.push(Part { tlv: TlvType::PAD, value: vec![0; len] });
    }
    own.push(Part { tlv: TlvType::END, value: Vec::new() });
    if hmac {
        let len = u.place(49).saturating_add(16);
        draft.key = Some(u.bytes(len));
        own.push(hash(TlvType::HMAC));
    }
    let context = parts.or_chosen(Parts::CONTEXT, u);
    if context {
        own.push(Part { tlv: TlvType::CONTEXT, value: Vec::new() });
    }
    own.sort_by_key(|part| part.tlv);
    draft.tlvs = own;
    draft.members = members(context_dim(kind, dim), u);
    if context || u.flag() {
        let text = object(&draft.members);
        draft.set_context(text.as_bytes());
    } else {
        draft.ctx = u.u64().to_be_bytes();
    }
    // From ctx through the payload: all but magic and CRC.
    let large = draft.len() - 6 > 4093;
    if large || kind == Kind::LEDGER_CHUNK.0 || parts.or_chosen(Parts::DIGEST, u) {
        let Part { tlv, value } = hash(TlvType::DIGEST);
        draft.insert(tlv, value);
    }
    draft
}

/// DIGEST_V1 or HMAC_V1, whose hash is still to come.
fn hash(tlv: u8) -> Part {
    let mut value = vec![0; 33];
    value.iter_mut().take(1).for_each(|version| *version = 1);
    Part { tlv, value }
}

/// TLVs that a reader may skip, and known ones that no other kind but theirs looks at.
fn ignored(own: &mut Vec<Part>, kind: u8, parts: Parts, u: &mut Draw<'_, '_>) {
    if kind != Kind::LEDGER_CHUNK.0 && u.one_in(8) {
        let len = u.place(12).saturating_add(4);
        own.push(Part { tlv: TlvType::LEDGER_MARKS, value: u.bytes(len) });
    }
    if kind != Kind::GIST.0 && u.one_in(8) {
        own.push(Part { tlv: TlvType::GIST_METADATA, value: some_bytes(u, 12) });
    }
    let count = u.pick(0, &[0, 1, 2]).max(u64::from(parts.has(Parts::IGNORED)));
    let mut least = 0x83;
    for _ in 0..count {
        let tlv = u.u8_between(least, 0xEE);
        own.push(Part { tlv, value: some_bytes(u, 40) });
        least = tlv.saturating_add(1);
        if least > 0xEE {
            break;
        }
    }
}

/// The members of a canonical context, in the order of RFC 8785.
fn members(dim: u32, u: &mut Draw<'_, '_>) -> Vec<(&'static str, String)> {
    let text = |u: &mut Draw<'_, '_>| {
        let texts =
            ["mymodel", "a/b", "\\\"quoted\\\"", "\\n", "\\u001f", "\u{7f}", "caf\u{e9}", "\u{1F600}"];
        format!("\"{}\"", u.pick("", &texts))
    };
    let mut members = Vec::new();
    if u.one_in(4) {
        members
            .push(("a", u.pick("null", &["true", "[]", "[1,[2,{}]]", "{\"x\":0,\"y\":\"z\"}"]).to_string()));
    }
    members.push(("dim", dim.to_string()));
    members.push(("model_id", text(u)));
    members.push(("pi_id", text(u)));
    if u.one_in(4) {
        members.push((
            "rope",
            u.pick("10000", &["-1", "0", "9007199254740991", "-9007199254740991"]).to_string(),
        ));
    }
    members.push(("space_id", text(u)));
    if u.one_in(4) {
        members.push(("weights", text(u)));
    }
    members
}

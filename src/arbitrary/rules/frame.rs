//! The envelope: spec/frame.md, "Order of checks", steps 1 to 18.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::{Rule, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::{Draft, Part, Parts as P, object};
use crate::arbitrary::draw::Draw;
use crate::frame::TlvType as T;

const F: View = View::Frame;

pub(super) const FIRST: Rule = rule("magic-cut", F, "1", "Truncated", P::NONE, |u, d| {
    d.spoil.cut = Some(u.below(4));
    Some(0)
});

pub(super) const RULES: &[Rule] = &[
    FIRST,
    rule("magic", F, "2", "Magic", P::NONE, |u, d| {
        let at = u.place(4);
        let mut mask = vec![0; 4];
        mask.iter_mut().skip(at).take(1).for_each(|byte| *byte = u.not_u8(0));
        d.spoil.bytes = Some((0, mask));
        Some(0)
    }),
    rule("ctx-cut", F, "3", "Truncated", P::NONE, |u, d| {
        d.spoil.cut = Some(u.between(4, 11));
        Some(4)
    }),
    rule("tlv-header-cut", F, "4.1", "Truncated", P::NONE, |u, d| {
        let at = d.offset(u.place(d.tlvs.len()));
        d.spoil.cut = Some(at + u.below(3));
        Some(at)
    }),
    rule("tlv-value-cut", F, "4.2", "Truncated", P::NONE, |u, d| {
        let (index, len) = a_tlv(u, d, |part| !part.value.is_empty());
        let at = d.offset(index) + 3;
        d.spoil.cut = Some(at + u.below(len));
        Some(at)
    }),
    // A length with which the value would end behind the last byte.
    rule("tlv-value-past-end", F, "4.2", "Truncated", P::NONE, |u, d| {
        let (index, len) = a_tlv(u, d, |_| true);
        let at = d.offset(index) + 3;
        // No draft is as long as the longest value.
        let claimed = u.between(d.len() - at + 1, 65_535);
        d.spoil.bytes = Some((at - 2, ((claimed ^ len) as u16).to_be_bytes().to_vec()));
        Some(at)
    }),
    rule("tlv-order", F, "4.3", "TlvOrder", P::FLAGS.and(P::CONTEXT), |u, d| {
        // Neither CONFIG_V1 nor END, of which the one has to be the first, and the other ends the walk.
        let before = 1 + u.place(d.tlvs.len() - 3);
        let after = before + 1 + u.place(d.tlvs.len() - 2 - before);
        d.tlvs.swap(before, after);
        // What now follows the larger type is smaller.
        Some(d.offset(before + 1))
    }),
    rule("tlv-twice", F, "4.3", "TlvOrder", P::NONE, |u, d| {
        // END ends the walk.
        let index = u.place(d.tlvs.len() - 1);
        let again = d.tlvs.get(index).cloned()?;
        d.tlvs.insert(index, again);
        Some(d.offset(index + 1))
    }),
    rule("config-first", F, "4.4", "ConfigNotFirst", P::NONE, |u, d| {
        if u.flag() {
            d.remove(T::CONFIG);
        } else {
            d.tlvs.insert(0, Part { tlv: u.pick(0, &[2, 3, 0x80, 0xF0, 0xFE]), value: u.bytes(4) });
        }
        Some(12)
    }),
    rule("critical-tlv", F, "4.5", "CriticalTlv", P::NONE, |u, d| {
        let tlv = if u.flag() { u.u8_between(0x05, 0x0F) } else { u.u8_between(0x15, 0x7F) };
        insert(u, d, tlv)
    }),
    rule("reserved-tlv", F, "4.5", "ReservedTlv", P::NONE, |u, d| {
        let tlv = u.u8_between(0xF2, 0xFD);
        insert(u, d, tlv)
    }),
    rule("tlv-length", F, "4.6", "TlvLength", P::NONE, |u, d| {
        // CALIB_STATS_V1 and LEDGER_MARKS_V1 have a least length, the others one length only.
        let least = |tlv| match tlv {
            T::CALIB_STATS => Some(32),
            T::LEDGER_MARKS => Some(4),
            _ => None,
        };
        let (index, len) = a_tlv(u, d, |part| {
            let any = matches!(part.tlv, T::RESULTS | T::CONTEXT | T::GIST_METADATA | T::PAD);
            !any && !(0x83..=0xEF).contains(&part.tlv)
        });
        let part = d.tlvs.get_mut(index)?;
        let len = match least(part.tlv) {
            Some(least) => u.below(least),
            None if len == 0 || u.flag() => len + u.between(1, 9),
            None => u.below(len),
        };
        part.value.resize(len as usize, 0);
        Some(d.offset(index) + 1)
    }),
    rule("payload-cut", F, "5", "Truncated", P::NONE, |u, d| {
        let at = d.in_payload(0);
        d.spoil.cut = Some(u.between(at, d.len() - 1));
        Some(at)
    }),
    rule("payload-past-end", F, "5", "Truncated", P::NONE, |u, d| {
        let len = d.payload.len() as u64;
        let claimed = u.pick(len + 1, &[len + 2, len + 3, u64::MAX, u64::MAX - 1, 1 << 32, 1 << 63]);
        d.set_config(16, &claimed.to_be_bytes());
        Some(d.in_payload(0))
    }),
    rule("crc", F, "6", "Crc", P::NONE, |u, d| {
        let at = d.in_payload(d.payload.len() as u64);
        // The CRC, a bit of the payload, or of ctx: whatever length a frame has, a single bit is found.
        d.spoil.bytes = Some(match u.place(3) {
            1 if !d.payload.is_empty() => {
                (d.in_payload(u.below(d.payload.len() as u64)), vec![1 << u.below(8)])
            }
            2 => (4 + u.below(8), vec![1 << u.below(8)]),
            _ => (at, (u.not_zero(16) as u16).to_be_bytes().to_vec()),
        });
        Some(at)
    }),
    rule("element", F, "7", "Element", P::NONE, |u, d| {
        d.set_config(1, &[u.u8_between(10, 255)]);
        d.config(1)
    }),
    rule("config-reserved", F, "7", "Reserved", P::NONE, |u, d| {
        d.set_config(2, &(u.not_zero(16) as u16).to_be_bytes());
        d.config(2)
    }),
    rule("step-missing", F, "7", "DeltaQ16", P::I16, |_, d| {
        d.set_config(12, &[0; 4]);
        d.config(12)
    }),
    rule("step-without-i16", F, "7", "DeltaQ16", P::NOT_I16, |u, d| {
        d.set_config(12, &u.not_u32(0).to_be_bytes());
        d.config(12)
    }),
    rule("flag-bits", F, "8", "FlagBits", P::FLAGS, |u, d| {
        d.set_flags(0, (u.not_zero(13) as u32) << 3);
        Some(d.flags_at())
    }),
    rule("digest-version", F, "9", "ValueVersion", P::DIGEST, |u, d| {
        d.set(T::DIGEST, 0, &[u.not_u8(1)]);
        Some(d.in_value(T::DIGEST, 0))
    }),
    rule("hmac-version", F, "9", "ValueVersion", P::HMAC, |u, d| {
        d.set(T::HMAC, 0, &[u.not_u8(1)]);
        Some(d.in_value(T::HMAC, 0))
    }),
    rule("padding", F, "10", "Padding", P::PAD, |u, d| {
        let at = u.place(d.value(T::PAD).len());
        d.set(T::PAD, at, &[u.not_u8(0)]);
        Some(d.in_value(T::PAD, at as u64))
    }),
    rule("context-hash", F, "11", "ContextHash", P::CONTEXT, |u, d| {
        if u.flag() {
            let at = u.place(8);
            d.ctx.iter_mut().skip(at).take(1).for_each(|byte| *byte = u.not_u8(*byte));
        } else {
            // Another text of the same length.
            let at = u.place(d.value(T::CONTEXT).len());
            let old = d.u8(T::CONTEXT, at);
            d.set(T::CONTEXT, at, &[u.not_u8(old)]);
        }
        Some(d.in_value(T::CONTEXT, 0))
    }),
    rule("digest-missing", F, "12", "DigestMissing", P::LARGE, |_, d| {
        d.remove(T::DIGEST);
        Some(d.at(T::DIGEST))
    }),
    rule("digest-missing-chunk", F, "12", "DigestMissing", P::CHUNK, |_, d| {
        d.remove(T::DIGEST);
        Some(d.at(T::DIGEST))
    }),
    rule("digest", F, "13", "Digest", P::DIGEST, |u, d| {
        d.spoil.digest = u.not_u32(0).to_be_bytes();
        Some(d.in_value(T::DIGEST, 1))
    }),
    rule("flag-without-hmac", F, "14", "FlagsHmac", P::FLAGS, |_, d| {
        d.remove(T::HMAC);
        d.set_flags(0, 1);
        Some(d.flags_at())
    }),
    rule("hmac-without-flag", F, "14", "FlagsHmac", P::FLAGS.and(P::HMAC), |u, d| {
        if u.flag() {
            d.remove(T::FLAGS);
        }
        d.set_flags(1, 0);
        Some(d.flags_at())
    }),
    rule("trailing-bytes", F, "15", "TrailingBytes", P::NONE, |u, d| {
        let len = 1 + u.place(20);
        d.spoil.more = u.bytes(len);
        Some(d.len())
    }),
    rule("hmac-missing", View::Verify, "16", "HmacMissing", P::HMAC, |_, d| {
        d.remove(T::HMAC);
        d.set_flags(1, 0);
        Some(d.at(T::HMAC))
    }),
    rule("hmac", View::Verify, "17", "Hmac", P::HMAC, |u, d| {
        d.spoil.mac = u.not_u32(0).to_be_bytes();
        Some(d.in_value(T::HMAC, 1))
    }),
    rule("context-utf8", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let mut text = object(&d.members).into_bytes();
        // Between two characters, within the text of model_id, no byte of these begins one.
        let at = find(&text, "\"model_id\":\"") + 12;
        text.insert(at, u.pick(0xFF, &[0x80, 0xC0, 0xF8, 0xFE]));
        d.set_context(&text);
        Some(d.in_value(T::CONTEXT, at as u64))
    }),
    rule("context-form", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let canonical = object(&d.members);
        let text = match u.place(5) {
            1 => canonical.replacen(",\"model_id\":", ".0,\"model_id\":", 1),
            2 => canonical.replacen("\"pi_id\":\"", "\"pi_id\":\"\\u0041", 1),
            3 => format!("{canonical}{}", u.pick(" ", &["\n", "\t", "\r"])),
            4 => {
                let members: Vec<_> = d.members.iter().rev().cloned().collect();
                object(&members)
            }
            _ => canonical.replacen(":", u.pick(": ", &[" :", "\n:", ":\t"]), 1),
        };
        d.set_context(text.as_bytes());
        // The first byte that differs from the form of RFC 8785 of what the text says, or the first after it.
        let due = canonical.replacen(
            "\"pi_id\":\"",
            if text.contains("\\u0041") { "\"pi_id\":\"A" } else { "\"pi_id\":\"" },
            1,
        );
        let same = due.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        Some(d.in_value(T::CONTEXT, same as u64))
    }),
    rule("context-json", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let text = object(&d.members);
        let text = match u.place(3) {
            1 => format!("{text}}}"),
            2 => text.replacen("\"pi_id\":\"", "\"pi_id\":\"\\ud800", 1),
            _ => text.strip_suffix('}').unwrap_or_default().to_string(),
        };
        d.set_context(text.as_bytes());
        None
    }),
    rule("context-object", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let member = object(&d.members);
        let text = u.pick("null", &["[]", "0", "\"dim\"", "true"]);
        d.set_context(if u.flag() { format!("[{member}]") } else { text.to_string() }.as_bytes());
        None
    }),
    rule("context-member-twice", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        if u.flag() {
            let index = u.place(d.members.len());
            let again = d.members.get(index).cloned()?;
            d.members.insert(index, again);
        } else {
            d.members.push(("z", "{\"a\":1,\"a\":2}".to_string()));
        }
        context(d)
    }),
    rule("context-number", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let number = u.pick("0.5", &["9007199254740992", "-9007199254740992", "1e+30", "[-0.25]"]);
        d.members.push(("z", number.to_string()));
        context(d)
    }),
    rule("context-member-missing", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let name = u.pick("dim", &["model_id", "pi_id", "space_id"]);
        d.members.retain(|(other, _)| *other != name);
        context(d)
    }),
    rule("context-member-type", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        let name = u.pick("dim", &["model_id", "pi_id", "space_id"]);
        let value = u.pick("null", &["[]", "true", "{}"]);
        member(d, name, value.to_string());
        context(d)
    }),
    rule("context-dim", View::Context, "18", "Context", P::CONTEXT, |u, d| {
        // That of CONFIG_V1 is below 2^33.
        let dim = d.members.iter().find(|(name, _)| *name == "dim").and_then(|(_, dim)| dim.parse().ok());
        let dim: u64 = dim.unwrap_or(0);
        let other = u.pick(dim + 1, &[1 << 33, 9_007_199_254_740_991]).to_string();
        member(d, "dim", if u.one_in(4) { format!("-{}", dim + 1) } else { other });
        context(d)
    }),
];

/// A TLV for which something holds, of which there is one at least; its place and its length.
fn a_tlv(u: &mut Draw<'_, '_>, d: &Draft, holds: impl Fn(&Part) -> bool) -> (usize, u64) {
    let places: Vec<_> = (0..).zip(&d.tlvs).filter(|(_, part)| holds(part)).collect();
    let found = places.get(u.place(places.len()));
    found.map_or((0, 24), |(index, part)| (*index, part.value.len() as u64))
}

/// Puts in a TLV that no draft has.
fn insert(u: &mut Draw<'_, '_>, d: &mut Draft, tlv: u8) -> Option<u64> {
    let len = u.place(9);
    d.insert(tlv, u.bytes(len));
    Some(d.at(tlv))
}

fn find(text: &[u8], part: &str) -> usize {
    text.windows(part.len()).position(|window| window == part.as_bytes()).unwrap_or(0)
}

/// Another value of a member of the context.
fn member(d: &mut Draft, name: &str, value: String) {
    d.members.iter_mut().filter(|(other, _)| *other == name).for_each(|member| member.1.clone_from(&value));
}

/// The members are now those of CONTEXT_V1. At which byte the fault is, the documents leave open.
fn context(d: &mut Draft) -> Option<u64> {
    let text = object(&d.members);
    d.set_context(text.as_bytes());
    None
}

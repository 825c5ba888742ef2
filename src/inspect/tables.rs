//! The fields of the TLVs with a fixed layout, and how their values read.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;

use crate::arch::half::from_f16;
use crate::frame::{Element, Kind, TlvType};

/// How a field reads.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A big-endian unsigned integer.
    Int,
    /// A big-endian f64.
    F64,
    /// Bytes.
    Hex,
    /// A code with a name.
    Names(&'static [&'static str]),
    /// CONFIG_V1.kind.
    Kind,
    /// An element code.
    Element,
    /// A count of 2^-16.
    Step,
}

/// Name, size and form of each field, in order.
type Layout = &'static [(&'static str, usize, Form)];

use Form::{F64, Hex, Int, Names};

const CONFIG: Layout = &[
    ("kind", 1, Form::Kind),
    ("element", 1, Form::Element),
    ("reserved", 2, Int),
    ("rows", 4, Int),
    ("dim", 4, Int),
    ("delta_q16", 4, Form::Step),
    ("payload_len", 8, Int),
];
const CALIB_STATS: Layout = &[
    ("sigma_kind", 1, Names(&["none", "trace", "diagonal", "full"])),
    ("has_mu", 1, Names(&["no", "yes"])),
    ("reserved", 2, Int),
    ("dim", 4, Int),
    ("w", 8, F64),
    ("t0", 8, F64),
    ("t1", 8, F64),
];
const LEDGER_CHUNK: Layout = &[
    ("chunk_id", 8, Int),
    ("start", 8, Int),
    ("length", 4, Int),
    ("encoding", 1, Names(&["raw", "bit-packed"])),
    ("bits", 1, Int),
    ("reserved", 2, Int),
];
const LEDGER_INDEX: Layout = &[
    ("total_tokens", 8, Int),
    ("chunk_count", 8, Int),
    ("ledger_len", 8, Int),
    ("chunk_tokens", 4, Int),
    ("anchor_stride", 4, Int),
    ("anchor_count", 4, Int),
    ("passkey_count", 4, Int),
    ("span_count", 4, Int),
    ("names_len", 4, Int),
    ("root", 32, Hex),
    ("reserved", 8, Int),
];
const MIRROR: Layout = &[
    ("total_blocks", 4, Int),
    ("mode", 1, Names(&["replace", "add"])),
    ("master_element", 1, Form::Element),
    ("reserved", 2, Int),
    ("threshold", 8, F64),
    ("master_digest", 32, Hex),
];
const GIST: Layout = &[
    ("n_layers", 4, Int),
    ("n_kv_heads", 4, Int),
    ("n_gist", 4, Int),
    ("head_dim", 4, Int),
    ("source_tokens", 8, Int),
    ("source_root", 32, Hex),
];
const ENGRAM_INDEX: Layout = &[
    ("metric", 1, Names(&["inner product", "cosine", "MaxSim"])),
    (
        "method",
        1,
        Names(&[
            "unknown",
            "mean pool",
            "svd",
            "xkv",
            "fourier v1",
            "fourier v2",
            "whitened mean",
            "whitened centroids",
        ]),
    ),
    ("vectors_per_entry", 2, Int),
    ("strings_len", 4, Int),
    ("whitening_prefix", 8, Hex),
    ("reserved", 8, Int),
];
const LEDGER_MARKS: Layout = &[("passkey_count", 2, Int), ("span_count", 2, Int)];

/// The fixed part of a TLV's value; empty for values that have none.
pub(super) const fn layout(tlv_type: u8) -> Layout {
    match tlv_type {
        TlvType::CONFIG => CONFIG,
        TlvType::CALIB_STATS => CALIB_STATS,
        TlvType::LEDGER_CHUNK => LEDGER_CHUNK,
        TlvType::LEDGER_INDEX => LEDGER_INDEX,
        TlvType::MIRROR => MIRROR,
        TlvType::GIST => GIST,
        TlvType::ENGRAM_INDEX => ENGRAM_INDEX,
        TlvType::LEDGER_MARKS => LEDGER_MARKS,
        _ => &[],
    }
}

/// The kind that a TLV of 03 to 7F, LEDGER_MARKS_V1 or GIST_METADATA_V1 belongs to.
pub(super) const fn owner(tlv_type: u8) -> Option<Kind> {
    Some(match tlv_type {
        TlvType::CALIB_STATS | TlvType::RESULTS => Kind::BEACON,
        TlvType::LEDGER_CHUNK | TlvType::LEDGER_MARKS => Kind::LEDGER_CHUNK,
        TlvType::LEDGER_INDEX => Kind::LEDGER_INDEX,
        TlvType::MIRROR => Kind::MIRROR,
        TlvType::GIST | TlvType::GIST_METADATA => Kind::GIST,
        TlvType::ENGRAM_INDEX => Kind::ENGRAM_INDEX,
        _ => return None,
    })
}

pub(super) fn name(tlv_type: u8) -> String {
    TlvType::name(tlv_type).map_or_else(|| format!("TLV {tlv_type:02X}"), ToString::to_string)
}

pub(super) fn show(form: Form, bytes: &[u8]) -> String {
    let int = || bytes.iter().fold(0u64, |int, &byte| int << 8 | u64::from(byte));
    match form {
        Form::Int => int().to_string(),
        Form::F64 => f64::from_bits(int()).to_string(),
        Form::Hex => hex(bytes),
        Form::Names(names) => {
            let name = usize::try_from(int()).ok().and_then(|code| names.get(code));
            format!("{} = {}", int(), name.unwrap_or(&"unknown"))
        }
        Form::Kind => format!("{} = {}", int(), Kind(bytes.first().copied().unwrap_or_default()).name()),
        Form::Element => {
            let element = bytes.first().and_then(|&code| Element::from_code(code));
            format!("{} = {}", int(), element.map_or("unknown", Element::name))
        }
        Form::Step if int() == 0 => "0 = none".to_string(),
        Form::Step => format!("{} = a step of {}", int(), int() as f64 / 65536.0),
    }
}

/// Bytes a hex value has at most; the rest is counted.
const MAX_HEX: usize = 32;

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(MAX_HEX) {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > MAX_HEX {
        let _ = write!(text, ".. ({} bytes)", bytes.len());
    }
    text
}

/// Text as it is, but for what a terminal or a reader could take for something else: control and other invisible
/// characters, the backslash, bytes that are not UTF-8.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\'' => text.push(char),
                _ => text.extend(char.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Bytes of a little-endian payload element; for bits, of eight.
pub(super) const fn width(element: Element) -> usize {
    match element {
        Element::Structured => 16,
        Element::U8 | Element::I8 | Element::Bits => 1,
        Element::I16 | Element::U16 | Element::F16 | Element::Bf16 => 2,
        Element::U32 | Element::F32 => 4,
    }
}

/// One payload element of [`width`] bytes.
pub(super) fn show_element(element: Element, delta_q16: u32, bytes: &[u8]) -> String {
    let int = || bytes.iter().rev().fold(0u32, |int, &byte| int << 8 | u32::from(byte));
    // Two bytes, or they are shown as they are.
    let half = int() as u16;
    match element {
        _ if bytes.len() != width(element) => hex(bytes),
        Element::Structured => hex(bytes),
        Element::I16 => {
            let q = half.cast_signed();
            // At most 15 and 32 bits, so exact.
            format!("{q} = {:?}", f64::from(q) * f64::from(delta_q16) / 65536.0)
        }
        Element::U8 | Element::U16 | Element::U32 => int().to_string(),
        Element::I8 => (int() as u8).cast_signed().to_string(),
        Element::F16 => format!("{:?}", from_f16(half)),
        Element::Bf16 => format!("{:?}", f32::from_bits(int() << 16)),
        Element::F32 => format!("{:?}", f32::from_bits(int())),
        Element::Bits => {
            let signs = (0..8).map(|bit| if int() >> bit & 1 == 1 { '-' } else { '+' });
            signs.collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{LengthRule, length_rule};

    #[test]
    fn layouts_have_the_length_of_their_type() {
        for tlv_type in 0..=255 {
            let len: usize = layout(tlv_type).iter().map(|(_, size, _)| size).sum();
            match length_rule(tlv_type) {
                _ if len == 0 => {}
                Some(LengthRule::Exactly(ruled) | LengthRule::AtLeast(ruled)) => {
                    assert_eq!(len, usize::from(ruled), "{tlv_type:02X}");
                }
                None => panic!("{tlv_type:02X}"),
            }
        }
    }

    /// The tables of spec/: `| off | size | field |`.
    #[test]
    fn layouts_are_those_of_the_spec() {
        let spec = concat!(
            include_str!("../../spec/frame.md"),
            include_str!("../../spec/beacon.md"),
            include_str!("../../spec/ledger.md"),
            include_str!("../../spec/mirror.md"),
            include_str!("../../spec/engram.md"),
            include_str!("../../spec/gist.md")
        );
        for (tlv_type, heading) in [
            (TlvType::CONFIG, "\n## CONFIG_V1\n"),
            (TlvType::CALIB_STATS, "\n## CALIB_STATS_V1\n"),
            (TlvType::LEDGER_CHUNK, "\n### LEDGER_CHUNK_V1\n"),
            (TlvType::LEDGER_INDEX, "\n### LEDGER_INDEX_V1\n"),
            (TlvType::LEDGER_MARKS, "\n### LEDGER_MARKS_V1\n"),
            (TlvType::MIRROR, "\n### MIRROR_V1\n"),
            (TlvType::ENGRAM_INDEX, "\n### ENGRAM_INDEX_V1\n"),
            (TlvType::GIST, "\n## GIST_V1\n"),
        ] {
            let section = spec.split(heading).nth(1).unwrap();
            let rows = section.lines().skip_while(|line| *line != "| off | size | field |").skip(2);
            let mut at = 0;
            for (row, (name, size, _)) in rows.zip(layout(tlv_type)) {
                assert_eq!(row, format!("| {at} | {size} | {name} |"));
                at += size;
            }
        }
    }

    #[test]
    fn elements() {
        let show = |element, bytes: &[u8]| show_element(element, 1024, bytes);
        assert_eq!(show(Element::I16, &[0xC0, 0xFF]), "-64 = -1.0");
        assert_eq!(show(Element::U16, &[0x34, 0x12]), "4660");
        assert_eq!(show(Element::U32, &[0xFF; 4]), "4294967295");
        assert_eq!(show(Element::I8, &[0x80]), "-128");
        assert_eq!(show(Element::F16, &[0x00, 0x3C]), "1.0");
        assert_eq!(show(Element::Bf16, &[0x80, 0xBF]), "-1.0");
        assert_eq!(show(Element::F32, &[0, 0, 0x80, 0x7F]), "inf");
        assert_eq!(show(Element::Bits, &[0b1000_0001]), "-++++++-");
        assert_eq!(show(Element::F32, &[1, 2]), "0102");
    }

    #[test]
    fn nothing_invisible_gets_through() {
        assert_eq!(escape(b"a\"'\\ \x1b[2J\0\n\xFFz\xE2\x80\xAE"), r#"a"'\\ \u{1b}[2J\0\n\xffz\u{202e}"#);
    }
}

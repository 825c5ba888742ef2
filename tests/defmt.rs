//! What `defmt` makes of errors and headers: logged here, on the host, and put into words by the wire format that its book
//! states (https://defmt.ferrous-systems.com/encoding).
//!
//! A device's image has the words in a section `.defmt`, whose addresses are the numbers on the wire; its linker script sees to
//! that. Here is no such script: the words are symbols of this program, read from its own symbol table, and the numbers the low
//! 16 bits of their addresses.
#![cfg(all(feature = "defmt", target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
// A test says what it expects by panicking.
#![allow(unsafe_code)] // as defmt::Logger asks, and to export one symbol

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{
    Beacon, BeaconBuilder, CalibrationBuilder, Drift, Reference, Results, StepChoice, Weights,
};
use bitwire::frame::{ContextRef, Frame, FrameHeader, Kind};
use bitwire::stream::{Event, Skipped};
use bitwire::{Error, ErrorKind, Snippet};

thread_local! {
    /// What the thread has logged.
    static LOGGED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The execution context of `defmt::Logger` is the thread, so nothing is shared and nothing to be acquired.
#[defmt::global_logger]
struct Collect;

// SAFETY: each thread writes to memory of its own.
unsafe impl defmt::Logger for Collect {
    fn acquire() {}

    unsafe fn flush() {}

    unsafe fn release() {}

    unsafe fn write(bytes: &[u8]) {
        LOGGED.with_borrow_mut(|logged| logged.extend(bytes));
    }
}

// No time, so that nothing is written for it.
defmt::timestamp!("");

/// Whose address in the symbol table tells where the program was loaded.
#[used]
// SAFETY: no other symbol has the name.
#[unsafe(export_name = "bitwire_test_defmt_anchor")]
static ANCHOR: u64 = 1;

/// Format strings by their number on the wire.
fn words() -> BTreeMap<u16, String> {
    let elf = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let number = |at: usize, len: usize| -> usize {
        elf[at..at + len].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
    };
    assert_eq!(elf[..6], *b"\x7FELF\x02\x01", "64 bits, little-endian");
    // ELF-64: e_shoff, e_shentsize, e_shnum; of a section sh_type, sh_offset, sh_size, sh_link.
    let (sections, size, count) = (number(0x28, 8), number(0x3A, 2), number(0x3C, 2));
    let section = |i: usize| {
        let at = sections + i * size;
        (number(at + 4, 4), number(at + 0x18, 8), number(at + 0x20, 8), number(at + 0x28, 4))
    };
    let (_, symbols, len, strings) =
        (0..count).map(section).find(|section| section.0 == 2).expect("a .symtab");
    let (_, strings, strings_len, _) = section(strings);
    let strings = &elf[strings..strings + strings_len];
    let table: Vec<(&str, usize)> = (symbols..symbols + len)
        .step_by(24)
        .map(|at| {
            let name = strings[number(at, 4)..].split(|&byte| byte == 0).next().unwrap();
            (std::str::from_utf8(name).unwrap_or(""), number(at + 8, 8))
        })
        .collect();
    let (_, anchor) =
        table.iter().find(|(name, _)| *name == "bitwire_test_defmt_anchor").expect("the anchor");
    let slide = (&raw const ANCHOR).addr().wrapping_sub(*anchor);
    let mut words = BTreeMap::new();
    for (name, value) in table {
        let Ok(symbol) = serde_json::from_str::<serde_json::Value>(name) else { continue };
        if symbol["tag"].as_str().is_some_and(|tag| tag.starts_with("defmt_")) {
            let text = symbol["data"].as_str().unwrap().to_string();
            let before = words.insert(value.wrapping_add(slide) as u16, text);
            assert_eq!(before, None, "two words with one number");
        }
    }
    words
}

/// Bytes of a log, and the words for them.
struct Decoder<'a> {
    words: &'a BTreeMap<u16, String>,
    bytes: &'a [u8],
}

impl Decoder<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.bytes.split_first_chunk().expect("more bytes");
        self.bytes = rest;
        *head
    }

    fn len(&mut self) -> usize {
        u32::from_le_bytes(self.take()) as usize
    }

    fn string(&mut self, len: usize) -> Vec<u8> {
        let (head, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        head.to_vec()
    }

    fn tag(&mut self) -> Option<String> {
        match u16::from_le_bytes(self.take()) {
            0 => None,
            tag => Some(self.words.get(&tag).unwrap_or_else(|| panic!("no words for {tag}")).clone()),
        }
    }

    /// A value with a format string of its own; `hint` is handed down.
    fn value(&mut self, hint: &str, out: &mut String) {
        let format = self.tag().expect("a format");
        if format == "{=__internal_FormatSequence}" {
            while let Some(format) = self.tag() {
                self.format(&format, hint, out);
            }
        } else if format.contains('|') {
            // An enum: which variant, then its fields.
            let [variant] = self.take();
            let variant = format.split('|').nth(variant.into()).expect("a variant");
            self.format(variant, hint, out);
        } else {
            self.format(&format, hint, out);
        }
    }

    fn format(&mut self, format: &str, outer_hint: &str, out: &mut String) {
        let mut rest = format;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                out.push_str(&rest[..1]);
                rest = &rest[2..];
                continue;
            }
            let (parameter, after) = rest[1..].split_once('}').expect("an end");
            rest = after;
            let (ty, hint) = parameter.split_once(':').unwrap_or((parameter, outer_hint));
            self.parameter(ty.strip_prefix('=').unwrap_or(ty), hint, out);
        }
        out.push_str(rest);
    }

    fn parameter(&mut self, ty: &str, hint: &str, out: &mut String) {
        let number: u64 = match ty {
            "" | "?" => return self.value(hint, out),
            "bool" => return write!(out, "{}", self.take() != [0]).unwrap(),
            "f64" => return write!(out, "{}", f64::from_le_bytes(self.take())).unwrap(),
            "i32" => return write!(out, "{}", i32::from_le_bytes(self.take())).unwrap(),
            "str" => {
                let len = self.len();
                let text = String::from_utf8(self.string(len)).unwrap();
                return if hint == "?" { write!(out, "{text:?}") } else { write!(out, "{text}") }.unwrap();
            }
            "[u8]" => {
                assert_eq!(hint, "a");
                let len = self.len();
                return write!(out, "b\"{}\"", self.string(len).escape_ascii()).unwrap();
            }
            "[?;4]" => {
                assert_eq!(self.tag().as_deref(), Some("{=u8}"));
                return write!(out, "{:?}", self.take::<4>()).unwrap();
            }
            "u8" => u8::from_le_bytes(self.take()).into(),
            "u16" => u16::from_le_bytes(self.take()).into(),
            "u32" | "usize" => u32::from_le_bytes(self.take()).into(),
            "u64" => u64::from_le_bytes(self.take()),
            other => panic!("{other} is not known here"),
        };
        match hint {
            "" | "?" => write!(out, "{number}"),
            "02X" => write!(out, "{number:02X}"),
            "016x" => write!(out, "{number:016x}"),
            other => panic!("{other} is not known here"),
        }
        .unwrap();
    }
}

/// What a person reads of `value` in a log.
fn logged(value: impl defmt::Format) -> String {
    LOGGED.take();
    defmt::println!("{}", value);
    let (words, bytes) = (words(), LOGGED.take());
    let mut decoder = Decoder { words: &words, bytes: &bytes };
    let mut out = String::new();
    let format = decoder.tag().expect("a format");
    decoder.format(&format, "", &mut out);
    assert_eq!(decoder.bytes, [0; 0], "bytes are left");
    out
}

/// A beacon with everything in it.
fn beacon() -> Vec<u8> {
    let text = br#"{"dim":2,"model_id":"","pi_id":"","space_id":""}"#;
    let statistics =
        CalibrationBuilder { sigma: Sigma::None, mu: &[0.5, -1.0], spread: &[], w: 4.0, t0: 0.0, t1: 1.0 };
    let drift = Drift { reference: Reference::Baseline, sds: 1.5, cos_mu: None, norm_dmu: 1.0 };
    let results =
        Results { drift: Some(drift), sds_threshold: Some(1.25), tr_sigma: 0.5, weights: Weights::default() };
    let builder = BeaconBuilder::new(ContextRef::parse(text).unwrap(), statistics, StepChoice::Auto);
    let builder = builder.unwrap().results(results).unwrap();
    let mut out = vec![0; builder.encoded_len().unwrap()];
    builder.encode_into(&mut out).unwrap();
    out
}

#[test]
fn errors() {
    let crc = ErrorKind::Crc { stored: 4660, computed: 22136 };
    assert_eq!(logged(Error::new(crc, 42)), "Crc { stored: 4660, computed: 22136 } (at byte 42)");
    assert_eq!(logged(Error::caller(ErrorKind::StepRange)), "StepRange");
    let truncated = ErrorKind::Truncated { field: "TLV header", needed: 1 << 40, available: 2 };
    assert_eq!(
        logged(Error::new(truncated, u64::MAX)),
        "Truncated { field: \"TLV header\", needed: 1099511627776, available: 2 } (at byte 18446744073709551615)"
    );
    assert_eq!(logged(ErrorKind::Magic { found: *b"BIT\x02" }), "Magic { found: [66, 73, 84, 2] }");
    let arch = |text| ErrorKind::StateArch { found: Snippet::new(text) };
    assert_eq!(logged(arch(b"a\"\0")), "StateArch { found: b\"a\\\"\\x00\" }");
    assert_eq!(logged(arch(b"0123456789abcdef")), "StateArch { found: b\"0123456789abcd\"... }");
    let ggml = ErrorKind::GgmlType { found: -3, transposed: true };
    assert_eq!(logged(ggml), "GgmlType { found: -3, transposed: true }");
}

#[test]
fn headers() {
    let bytes = beacon();
    let frame = Frame::parse_exact(&bytes).unwrap();
    let payload_at = bytes.len() - 6;
    let expected =
        format!("beacon of context {}: 1 x 2 I16, header {payload_at} bytes, payload 4 bytes", frame.ctx());
    assert_eq!(logged(frame), expected);
    assert_eq!(logged(FrameHeader::parse(&bytes).unwrap()), expected);
    assert_eq!(
        logged(frame.config()),
        format!(
            "Config {{ kind: beacon, element: I16, rows: 1, dim: 2, delta_q16: {}, payload_len: 4 }}",
            frame.config().delta_q16
        )
    );
    assert_eq!(logged(frame.flags()), "Flags { authenticated: false, alert: true, baseline: true }");
    assert_eq!(logged(frame.ctx()), frame.ctx().to_string());
    assert_eq!(logged(frame.routing_key()), frame.routing_key().to_string());
    assert_eq!(logged(frame.tlvs().nth(1).unwrap()), "TLV 02 of 4 bytes (at byte 39)");
    assert_eq!((logged(Kind::GIST), logged(Kind(77))), ("gist".into(), "kind 77".into()));
}

#[test]
fn drift() {
    let bytes = beacon();
    let frame = Frame::parse_exact(&bytes).unwrap();
    let beacon = Beacon::from_frame(&frame).unwrap();
    assert_eq!(
        logged(*beacon.results().unwrap()),
        "Results { drift: Some(Drift { reference: Baseline, sds: 1.5, cos_mu: None, norm_dmu: 1 }), \
         sds_threshold: Some(1.25), tr_sigma: 0.5, weights: Weights { mu: 1, tr_sigma: 1 } }"
    );
    assert_eq!(logged(beacon.step()), format!("Step({})", beacon.step().get()));
    let text = logged(beacon);
    assert!(text.starts_with("beacon of 1 x 2, Step(") && text.ends_with("} }, ALERT"), "{text}");
}

#[test]
fn streams() {
    let bytes = beacon();
    let frame = Frame::parse_exact(&bytes).unwrap();
    let text = logged(Event::Frame { range: 3..9, frame });
    assert!(text.starts_with("Frame { range: 3..9, frame: beacon of context "), "{text}");
    let reason = Error::new(ErrorKind::Padding, 7);
    let skipped = Event::<Frame<'_>>::Skipped(Skipped { range: 0..3, reason });
    assert_eq!(logged(skipped), "Skipped(Skipped { range: 0..3, reason: Padding (at byte 7) })");
}

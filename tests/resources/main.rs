//! What inputs cost a reader: memory, counted by the allocator, and work that ends where the offset of a refusal says.
//!
//! Nothing here measures time; benches/worst.rs does, over the same readers and inputs.
// Tests state expectations by panicking.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod counting;
mod inputs;
mod readers;

use std::fs;
use std::path::Path;

use bitwire::ErrorKind;
use bitwire::frame::{Frame, FrameHeader, Frames};
use counting::counted;
use inputs::{INPUTS, Input};
use readers::{READERS, Reader};
use serde_json::Value;

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// The bytes of every vector, and of the ledgers with their indexes as the reader of both takes them.
fn vectors() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for case in text["cases"].as_array().unwrap() {
            let named = |what: &str| format!("{}, {} of {}", path.display(), what, case["id"]);
            for member in ["hex", "index_hex", "master_hex", "context_hex"] {
                all.extend(case[member].as_str().map(|text| (named(member), from_hex(text))));
            }
            if let (Some(ledger), Some(index)) = (case["hex"].as_str(), case["index_hex"].as_str()) {
                let (ledger, index) = (from_hex(ledger), from_hex(index));
                let both = [&(ledger.len() as u32).to_le_bytes()[..], &ledger, &index].concat();
                all.push((named("both"), both));
            }
        }
    }
    assert!(all.len() > 6000, "{}", all.len());
    all
}

/// Every file below a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
    let mut all: Vec<_> =
        files.into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    all.extend(folders.iter().flat_map(|folder| self::files(folder)));
    all
}

/// The lengths at which an input is made here. What unpacks to a thousand times its length takes long in a debug build.
fn lengths(input: &Input) -> &'static [usize] {
    if input.name.ends_with("deflated") { &[1 << 12] } else { &[1 << 12, 1 << 16] }
}

/// Vectors (one of 4), seeds, files of others, and what is made to cost much.
fn everything() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all: Vec<_> = vectors().into_iter().step_by(4).collect();
    all.extend(files(&root.join("tests/corpus")));
    all.extend(files(&root.join("tests/data")).into_iter().filter(|(_, bytes)| bytes.len() < 1 << 17));
    for input in INPUTS {
        all.extend(lengths(input).iter().map(|len| (format!("{} ({len})", input.name), (input.make)(*len))));
    }
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all.dedup_by(|a, b| a.1 == b.1);
    all
}

/// No reader has more in use than a stated multiple of its input and a stated number of bytes; those that need no
/// allocator never ask for any.
fn memory_is_bounded_by_the_input() {
    let all = everything();
    println!("{} inputs", all.len());
    let mut broken = Vec::new();
    for Reader { name, read, times, plus } in READERS {
        // What is set up once, such as tables and the features of the machine, is no cost of an input.
        readers::prepare(name, &[]);
        all.iter().step_by(97).for_each(|(_, bytes)| read(bytes));
        let (mut worst, mut least) = ((0.0, 0, 0, ""), 0);
        for (input, bytes) in &all {
            if *name == "tinymind" && !bytes.starts_with(b"{") && !bytes.starts_with(b"[") {
                continue;
            }
            readers::prepare(name, bytes);
            let (peak, calls) = counted(|| read(bytes));
            // What goes beyond the constant, in multiples of the input.
            let over = peak.saturating_sub(*plus) as f64 / (bytes.len().max(1)) as f64;
            if over > worst.0 || worst.3.is_empty() {
                worst = (over, peak, bytes.len(), input.as_str());
            }
            if bytes.len() < 64 {
                least = least.max(peak);
            }
            if peak > times * bytes.len() + plus || (*times == 0 && calls > 0) {
                broken.push(format!("{name}: {peak} bytes for {} of {input}", bytes.len()));
            }
        }
        let (over, peak, len, input) = worst;
        println!(
            "{name:18}{over:8.2} x + {plus:6} ({times}): {peak} for {len} of {input}; under 64 bytes: {least}"
        );
    }
    let _ = fs::remove_dir_all(readers::folder());
    assert!(
        broken.is_empty(),
        "{} break their bounds, such as\n{}",
        broken.len(),
        broken[..broken.len().min(60)].join("\n")
    );
}

/// A million tiny TLVs are refused at the second: types increase.
fn a_million_tiny_tlvs_end_at_the_second() {
    let bytes = inputs::tiny_tlvs(3_000_039);
    let error = Frame::parse(&bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TlvOrder { found: 0x90, after: 0x90 });
    assert_eq!(error.offset(), 39 + 3);
    assert_eq!(FrameHeader::parse(&bytes).unwrap_err(), error);
    let (peak, calls) = counted(|| assert_eq!(Frames::new(&bytes).count(), 1));
    assert_eq!((peak, calls), (0, 0));
    // As many as a header can have: every type once.
    let all = INPUTS.iter().find(|input| input.name == "a TLV of each type that may be skipped").unwrap();
    let bytes = (all.make)(1 << 16);
    // CONFIG_V1, 83 to EF, DIGEST_V1.
    assert_eq!(Frame::parse_exact(&bytes).map(|frame| frame.tlvs().count()), Ok(1 + (0xF0 - 0x83) + 1));
}

/// One test: while there are others, the harness tells of those that have ended, and what it allocates for that is counted.
#[test]
fn resources() {
    inputs_have_readers();
    a_million_tiny_tlvs_end_at_the_second();
    memory_is_bounded_by_the_input();
}

/// Each input is as long as it is asked to be, and there is a reader for it.
fn inputs_have_readers() {
    for input in INPUTS {
        let len = *lengths(input).last().unwrap();
        let bytes = (input.make)(len);
        assert!(READERS.iter().any(|reader| reader.name == input.of), "{}", input.of);
        assert!(bytes.len() < len + len / 4, "{}: {} bytes", input.name, bytes.len());
    }
}

//! Inputs made to cost a reader as much as they can, of about any length asked for. Shared with benches/worst.rs.
#![allow(dead_code, unreachable_pub)] // each uses its share

use std::io::Write as _;

use bitwire::beacon::CalibrationBuilder;
use bitwire::beacon::stats::Sigma;
use bitwire::frame::{Config, Context, ContextHash, Element, FrameBuilder, Kind, TlvType, crc16};
use bitwire::ledger::LedgerReader;
use bitwire::stream::{cobs_encode_into, cobs_encoded_len};
use sha2::Digest as _;

pub struct Input {
    pub name: &'static str,
    /// The reader that it is meant for; others read it too.
    pub of: &'static str,
    pub make: fn(usize) -> Vec<u8>,
}

const fn input(name: &'static str, of: &'static str, make: fn(usize) -> Vec<u8>) -> Input {
    Input { name, of, make }
}

pub const INPUTS: &[Input] = &[
    input("zeros", "state", |len| vec![0; len]),
    input("ones", "state", |len| vec![0xFF; len]),
    input("noise", "frame", noise),
    input("tiny TLVs of one type", "frame", tiny_tlvs),
    input("a TLV of each type that may be skipped", "frame", all_tlvs),
    input("the smallest frames", "frames", |len| repeated(&smallest(), len)),
    input("one frame with a digest", "frame", |len| {
        payload_frame(Kind(200), Element::Structured, 1, 1, len, &[])
    }),
    input("magics", "capture", |len| repeated(b"BIT\x01", len)),
    input("starts without a length", "capture", |len| repeated(&start(0), len)),
    input("starts that reach to the end, CRCs wrong", "capture", |len| nested(len, false, 200)),
    input("starts that reach to the end, CRCs right, digests wrong", "capture", |len| nested(len, true, 200)),
    input("the same as chunks", "ledger", |len| nested(len, true, 1)),
    input("the same behind a good chunk", "ledger", |len| [chunk(0, 0, &[]), nested(len, true, 1)].concat()),
    input("starts of 4 KiB", "stream", starts_of_4_kib),
    input("empty segments", "capture, COBS", |len| repeated(&[1, 0], len)),
    input("one segment", "capture, COBS", |len| vec![1; len]),
    input("the smallest frames in COBS", "capture, COBS", |len| repeated(&in_cobs(&smallest()), len)),
    input("the smallest frames, explained", "inspect", |len| repeated(&smallest(), len)),
    input("small chunks, explained", "inspect", small_chunks),
    input("the smallest frames in COBS, explained", "inspect", |len| repeated(&in_cobs(&smallest()), len)),
    input("small blocks, explained", "inspect", |len| {
        repeated(&payload_frame(Kind::BLOCKS, Element::F16, 2, 4, 16, &[]), len)
    }),
    input("a beacon with a full triangle", "beacon", triangle),
    input("a beacon of many rows", "beacon", |len| {
        payload_frame(Kind::BEACON, Element::I16, (len / 2) as u32, 1, len / 2 * 2, &[])
    }),
    input("a context of brackets", "context", |len| nesting(len, "[", "]")),
    input("a context of objects", "context", |len| nesting(len, "{\"a\":", "}")),
    input("a context of members", "context", |len| context_members(len, 8)),
    input("a context of long names alike", "context", |len| context_members(len, 500)),
    input("a context of escapes", "context", |len| {
        context_of(&format!("\"x\":\"{}\"", "\\u0001".repeat(len / 6)))
    }),
    input("a context of numbers", "context", |len| context_of(&format!("\"x\":[{}0]", "0,".repeat(len / 2)))),
    input("a context of pairs", "context", |len| {
        context_of(&format!("\"x\":\"{}\"", "\u{1F600}".repeat(len / 4)))
    }),
    input("a chunk of bits", "chunk", |len| packed_chunk(len, 1)),
    input("a chunk of 17 bits", "chunk", |len| packed_chunk(len, 17)),
    input("a chunk of passkeys", "chunk", |len| chunk(0, 0, &passkeys(len.min(65_000)))),
    input("a chunk of spans", "chunk", |len| chunk(0, 0, &spans(len.min(65_000)))),
    input("the smallest chunks", "ledger", small_chunks),
    input("chunks with a passkey each", "ledger", marked_chunks),
    input("the smallest chunks, the last cut short", "ledger", |len| {
        let mut ledger = small_chunks(len);
        ledger.truncate(ledger.len() - 1);
        ledger
    }),
    input("the smallest chunks, the first damaged", "ledger", |len| {
        let mut ledger = small_chunks(len);
        ledger[100] ^= 1;
        ledger
    }),
    input("the smallest chunks and their index", "ledger and index", |len| {
        with_index(small_chunks(len * 3 / 4))
    }),
    input("marked chunks and their index", "ledger and index", |len| with_index(marked_chunks(len * 3 / 4))),
    input("an index of anchors", "index", |len| index_alone(small_chunks(len * 3))),
    input("an index of passkeys", "index", |len| index_alone(chunk(0, 0, &passkeys((len / 3).min(65_000))))),
    input("an index of spans", "index", |len| index_alone(chunk(0, 0, &spans((len * 2 / 3).min(65_000))))),
    input("a proof of 64 hashes", "proof", |_| proof()),
    input("a mirror of blocks of one element", "mirror", mirror),
    input("a master of blocks of one element", "mirror store", |len| {
        payload_frame(Kind::BLOCKS, Element::F32, (len / 4) as u32, 1, len / 4 * 4, &[])
    }),
    input("a state of cells", "state", |len| state(len, 1)),
    input("a state of cells of three sequences", "state", |len| state(len, 3)),
    input("a state of one cell of many sequences", "state", |len| state(len, (len / 4) as u32)),
    input("a state of layers", "state", state_layers),
    input("a state of streams", "state", state_streams),
    input("a state of small numbers", "state", |len| {
        (0..len / 4).flat_map(|i| [(i % 3) as u8, 0, 0, 0]).collect()
    }),
    input("an engram index of bits", "engram search", |len| engrams(len, 1)),
    input("an engram index of 256 bits", "engram search", |len| engrams(len, 256)),
    input("a whitening", "whitening", |len| {
        let dim = (len as f64 / 4.0).sqrt() as usize;
        payload_frame(Kind::WHITENING, Element::F32, dim as u32 + 1, dim as u32, (dim + 1) * dim * 4, &[])
    }),
    input("a gist of heads", "gist", gist),
    input("an array of one column", "npy matrix", |len| {
        npy("<f4", false, &format!("({}, 1)", len / 4), len / 4 * 4)
    }),
    input("an array of one row", "npy window", |len| {
        npy("<f4", false, &format!("(1, {})", len / 4), len / 4 * 4)
    }),
    input("an array of two rows", "npy window", |len| {
        npy("<f4", false, &format!("(2, {})", len / 8), len / 8 * 8)
    }),
    input("an array of halves", "npy matrix", |len| {
        npy("<f2", false, &format!("({}, 1)", len / 2), len / 2 * 2)
    }),
    input("an array of two Fortran columns", "npy matrix", |len| {
        npy("<f2", true, &format!("({}, 2)", len / 4), len / 4 * 4)
    }),
    input("an array of two Fortran rows", "npy matrix", |len| {
        npy("<f2", true, &format!("(2, {})", len / 4), len / 4 * 4)
    }),
    input("an array of Fortran blocks", "npy blocks", |len| {
        npy("<f2", true, &format!("({}, 2, 2)", len / 8), len / 8 * 8)
    }),
    input("an array of rows without columns", "npy matrix", |_| npy("<f4", false, "(1099511627776, 0)", 0)),
    input("an array of blocks without elements", "npy blocks", |_| npy("<f4", false, "(4294967295, 0)", 0)),
    input("an array that lies", "npy matrix", |len| npy("<f4", false, "(4294967295, 4294967295)", len)),
    input("an array that lies, Fortran", "npy matrix", |len| npy("<f4", true, "(2, 1099511627776)", len)),
    input("an array of one token a byte", "tokens", |len| npy("|u1", false, &format!("({len},)"), len)),
    input("an array's header of spaces", "npy header", |len| npy_text(&" ".repeat(len.min(60_000)))),
    input("an array's header of dimensions", "npy header", |len| {
        npy_text(&format!("{{'shape': ({})}}", "1,".repeat(len.min(60_000) / 2)))
    }),
    input("an archive of zeros, deflated", "npz", npz_bomb),
    input("an archive of a Sigma of zeros, deflated", "npz", npz_sigma),
    input("an archive of members", "npz", npz_members),
    input("an archive's directory that lies", "npz", |len| {
        let mut bytes = vec![0; len.saturating_sub(22)];
        bytes.extend(b"PK\x05\x06\0\0\0\0\xFF\xFE\xFF\xFE\x10\0\0\0\0\0\0\0\0\0");
        bytes
    }),
    input("tensors without elements", "safetensors", |len| tensors(len, |i| format!("t{i:06}"))),
    input("layers of one element", "gist files", layers),
    input("tensors of long names alike", "safetensors", |len| {
        tensors(len, |i| format!("{}{i:06}", "n".repeat(400)))
    }),
    input("one tensor over and over", "safetensors", |len| tensors(len, |_| "t".to_owned())),
    input("tensors of escaped names", "safetensors", |len| tensors(len, |i| format!("\\u0074{i}"))),
    input("tensors of many dimensions", "safetensors", |len| {
        header_only(&format!(
            r#"{{"t":{{"dtype":"U8","shape":[{}0],"data_offsets":[0,0]}}}}"#,
            "1,".repeat(len / 2)
        ))
    }),
    input("free texts of a safetensors file", "safetensors", |len| {
        let texts: Vec<String> = (0..len / 12).map(|i| format!(r#""{i:05}":"""#)).collect();
        header_only(&format!(r#"{{"__metadata__":{{{}}}}}"#, texts.join(",")))
    }),
    input("a safetensors header of brackets", "safetensors", |len| header_only(&"[".repeat(len))),
    input("a safetensors header of spaces", "safetensors", |len| {
        header_only(&format!("{{{}}}", " ".repeat(len)))
    }),
    input("a sidecar of members", "sidecar", |len| json_members(len.min(65_000), "0")),
    input("a sidecar of lists", "sidecar", |len| {
        let len = len.min(65_000);
        format!("{{\"a\":[{}0]}}", format!("{}{},", "[".repeat(90), "]".repeat(90)).repeat(len / 181)).into()
    }),
    input("a sidecar of brackets", "sidecar", |len| nesting(len.min(65_000), "[", "]")),
    input("a sidecar of numbers", "sidecar", |len| {
        format!("{{\"a\":[{}1e-5]}}", "1e22,".repeat(len.min(65_000) / 5 - 4)).into()
    }),
    input("digits", "tokens", |len| vec![b'9'; len]),
    input("one digit a token", "tokens", |len| repeated(b"1 ", len)),
    input("lines", "samples", |len| vec![b'\n'; len]),
    input("empty objects a line", "samples", |len| repeated(b"{}\n", len)),
    input("a sample of members", "samples", |len| json_members(len, "0")),
    input("a sample of brackets", "samples", |len| nesting(len, "[", "]")),
    input("a sample whose needle nearly stands", "samples", |len| {
        sample(&"AAAAAA".repeat(len / 6), "AAAAAB")
    }),
    input("a sample of escapes", "samples", |len| sample(&"\\u0041".repeat(len / 6), "AAAAAB")),
    input("small samples", "answers", samples),
    input("a manifest of chunks", "tinymind", manifest_chunks),
    input("a manifest of passkeys", "tinymind", |len| {
        let entries: Vec<String> = (0..len / 8).map(|i| format!("\"{i}\":1")).collect();
        manifest(len as u64, &format!(",\"passkeys\":{{{}}}", entries.join(",")))
    }),
    input("a manifest of spans", "tinymind", |len| {
        let entries: Vec<String> = (0..len / 14).map(|i| format!("\"{i:05}\":[0,1]")).collect();
        manifest(len as u64, &format!(",\"semantic_spans\":{{{}}}", entries.join(",")))
    }),
    input("a manifest of brackets", "tinymind", |len| nesting(len, "[", "]")),
    input("a flat index", "faiss", faiss),
];

fn repeated(piece: &[u8], len: usize) -> Vec<u8> {
    piece.repeat(len / piece.len())
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}

fn config(kind: Kind, element: Element, rows: u32, dim: u32) -> Config {
    Config::new(kind, element, rows, dim, u32::from(element == Element::I16))
}

fn payload_frame(
    kind: Kind,
    element: Element,
    rows: u32,
    dim: u32,
    len: usize,
    tlvs: &[(u8, Vec<u8>)],
) -> Vec<u8> {
    frame(config(kind, element, rows, dim), &vec![0; len], tlvs)
}

fn frame(config: Config, payload: &[u8], tlvs: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut builder = FrameBuilder::new(ContextHash([7; 8]), config, payload);
    for (tlv, value) in tlvs {
        builder = builder.tlv(*tlv, value).unwrap();
    }
    builder.encode().unwrap()
}

fn smallest() -> Vec<u8> {
    let mut frame = start(0);
    frame.extend([0xFF, 0, 0]);
    let crc = crc16(&frame[4..]);
    frame.extend(crc.to_be_bytes());
    assert_eq!(frame.len(), 44);
    frame
}

/// Magic, ctx and CONFIG_V1 of a frame of an unknown kind.
fn start(payload_len: u64) -> Vec<u8> {
    let mut start = b"BIT\x01\0\0\0\0\0\0\0\0\x01\x00\x18\xC8\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0".to_vec();
    start.extend(payload_len.to_be_bytes());
    start
}

pub fn tiny_tlvs(len: usize) -> Vec<u8> {
    [start(0), repeated(&[0x90, 0, 0], len.saturating_sub(39))].concat()
}

fn all_tlvs(len: usize) -> Vec<u8> {
    // Those below have layouts of their own.
    let types = 0x83..=0xEF;
    let each = (len / types.clone().count()).saturating_sub(3).min(65_535);
    let mut frame = start(0);
    for tlv in types {
        frame.push(tlv);
        frame.extend((each as u16).to_be_bytes());
        frame.resize(frame.len() + each, 0);
    }
    let digest = sha2::Sha256::digest(&frame[4..]);
    frame.extend([0xF0, 0, 33, 1]);
    frame.extend(digest);
    frame.extend([0xFF, 0, 0]);
    let crc = crc16(&frame[4..]);
    frame.extend(crc.to_be_bytes());
    frame
}

/// For each change of the CRC over `len` bytes, the first two of them that make it, from 0.
fn inverse(len: usize) -> Vec<u16> {
    let mut block = vec![0; len];
    let zero = crc16(&block);
    let mut inverse = vec![0; 1 << 16];
    for fix in 0..=u16::MAX {
        block[..2].copy_from_slice(&fix.to_be_bytes());
        inverse[usize::from(crc16(&block) ^ zero)] = fix;
    }
    inverse
}

/// Frames of a kind, each in the payload of the one before, all of which end at the end; their CRCs right, by two bytes of each
/// ctx, or wrong. A digest is there, and wrong.
fn nested(len: usize, right: bool, kind: u8) -> Vec<u8> {
    const APART: usize = 80;
    let count = (len - 2) / APART;
    let len = count * APART + 2;
    let mut bytes = vec![0; len];
    for at in (0..count).map(|i| i * APART) {
        let mut header = start(0);
        header[15] = kind;
        header.extend(b"\xF0\x00\x21\x01");
        header.extend([0xDD; 32]);
        header.extend(b"\xFF\0\0");
        let payload = (len - 2 - at - header.len()) as u64;
        header[31..39].copy_from_slice(&payload.to_be_bytes());
        bytes[at..at + header.len()].copy_from_slice(&header);
    }
    if right {
        let inverse = inverse(APART);
        for at in (0..count - 1).map(|i| i * APART) {
            // From one ctx to the next the CRC comes to FFFF again, where the next begins.
            let fix = inverse[usize::from(crc16(&bytes[at + 4..at + APART + 4]) ^ 0xFFFF)];
            bytes[at + 4..at + 6].copy_from_slice(&fix.to_be_bytes());
        }
        let crc = crc16(&bytes[(count - 1) * APART + 4..len - 2]);
        bytes[len - 2..].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn starts_of_4_kib(len: usize) -> Vec<u8> {
    let mut start = start(4096 - 44);
    start.extend([0xFF, 0, 0]);
    repeated(&start, len)
}

fn in_cobs(frame: &[u8]) -> Vec<u8> {
    let mut encoded = vec![0; cobs_encoded_len(frame.len())];
    let len = cobs_encode_into(frame, &mut encoded).unwrap();
    encoded.truncate(len);
    encoded
}

fn triangle(_: usize) -> Vec<u8> {
    let dim = 179;
    let (mu, spread) = (vec![1.5; dim], vec![0.5; dim * (dim + 1) / 2]);
    let builder =
        CalibrationBuilder { sigma: Sigma::Full, mu: &mu, spread: &spread, w: 9.0, t0: 0.0, t1: 0.0 };
    let mut value = vec![0; builder.encoded_len().unwrap()];
    builder.encode_into(&mut value).unwrap();
    payload_frame(Kind::BEACON, Element::I16, 1, 179, 358, &[(TlvType::CALIB_STATS, value)])
}

fn nesting(len: usize, open: &str, close: &str) -> Vec<u8> {
    let deep = len / (open.len() + close.len());
    format!("{}0{}", open.repeat(deep), close.repeat(deep)).into()
}

/// `more` stands behind the other members, by its name.
fn context_of(more: &str) -> Vec<u8> {
    format!("{{\"dim\":2,\"model_id\":\"\",\"pi_id\":\"\",\"space_id\":\"\",{more}}}").into()
}

fn context_members(len: usize, name: usize) -> Vec<u8> {
    let members: Vec<String> =
        (0..len / (name + 6)).map(|i| format!("\"{}{i:06}\":0", "x".repeat(name - 6))).collect();
    let text = context_of(&members.join(","));
    assert!(Context::parse(&text).is_ok());
    text
}

fn json_members(len: usize, value: &str) -> Vec<u8> {
    let members: Vec<String> = (0..len / 12).map(|i| format!("\"{i:06}\":{value}")).collect();
    format!("{{{}}}", members.join(",")).into()
}

/// A chunk of one token, or of as many as its marks need.
fn chunk(id: u64, start: u64, marks: &[u8]) -> Vec<u8> {
    chunk_of(id, start, marks, if marks.is_empty() { 1 } else { 20_000 }, 1)
}

fn chunk_of(id: u64, start: u64, marks: &[u8], tokens: u32, bits: u8) -> Vec<u8> {
    let mut value = [id.to_be_bytes(), start.to_be_bytes()].concat();
    value.extend(tokens.to_be_bytes());
    value.extend([1, bits, 0, 0]);
    let payload = vec![0; (u64::from(tokens) * u64::from(bits)).div_ceil(8) as usize];
    let mut tlvs = vec![(TlvType::LEDGER_CHUNK, value)];
    if !marks.is_empty() {
        tlvs.push((TlvType::LEDGER_MARKS, marks.to_vec()));
    }
    frame(config(Kind::LEDGER_CHUNK, Element::U8, 1, payload.len() as u32), &payload, &tlvs)
}

fn packed_chunk(len: usize, bits: u8) -> Vec<u8> {
    chunk_of(0, 0, &[], (8 * len / usize::from(bits)) as u32, bits)
}

fn passkeys(len: usize) -> Vec<u8> {
    let positions: Vec<u64> = (0..len as u64 / 8 - 1).collect();
    let mut marks = (positions.len() as u16).to_be_bytes().to_vec();
    marks.extend([0, 0]);
    marks.extend(positions.iter().flat_map(|position| position.to_be_bytes()));
    marks
}

fn spans(len: usize) -> Vec<u8> {
    let mut marks = vec![0, 0];
    let count = len / 22 - 1;
    marks.extend((count as u16).to_be_bytes());
    for i in 0..count {
        marks.extend(0u64.to_be_bytes());
        marks.extend(1u64.to_be_bytes());
        marks.extend([0, 4]);
        marks.extend(format!("{i:04}").as_bytes());
    }
    marks
}

fn small_chunks(len: usize) -> Vec<u8> {
    let one = chunk(0, 0, &[]).len();
    (0..(len / one).max(1) as u64).flat_map(|id| chunk(id, id, &[])).collect()
}

fn marked_chunks(len: usize) -> Vec<u8> {
    let marked = |id: u64| {
        let mut marks = vec![0, 1, 0, 1];
        marks.extend(id.to_be_bytes());
        // Spans of tokens that came before.
        marks.extend(id.to_be_bytes());
        marks.extend(1u64.to_be_bytes());
        marks.extend([0, 6]);
        marks.extend(format!("{id:06}").as_bytes());
        chunk_of(id, id, &marks, 1, 1)
    };
    let one = marked(0).len();
    (0..(len / one).max(1) as u64).flat_map(marked).collect()
}

fn index_alone(ledger: Vec<u8>) -> Vec<u8> {
    LedgerReader::new(&ledger[..], None).unwrap().index(1).unwrap()
}

fn with_index(ledger: Vec<u8>) -> Vec<u8> {
    let index = index_alone(ledger.clone());
    [&(ledger.len() as u32).to_le_bytes()[..], &ledger, &index].concat()
}

fn proof() -> Vec<u8> {
    let mut proof = b"BIP\x01\x00\x40\x00\x00".to_vec();
    proof.extend(((1u64 << 63) + 1).to_be_bytes());
    proof.extend(u64::MAX.to_be_bytes());
    proof.extend([0x5A; 64 * 32]);
    proof
}

fn mirror(len: usize) -> Vec<u8> {
    let rows = len as u32 / 8;
    let mut value = rows.to_be_bytes().to_vec();
    value.extend([0, 7, 0, 0]);
    value.extend(0f64.to_be_bytes());
    value.extend([9; 32]);
    let mut payload: Vec<u8> = (0..rows).flat_map(u32::to_le_bytes).collect();
    payload.extend(vec![0; 4 * rows as usize]);
    frame(config(Kind::MIRROR, Element::F32, rows, 1), &payload, &[(TlvType::MIRROR, value)])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The state of a llama without layers; each cell with so many sequences.
fn state(len: usize, sequences: u32) -> Vec<u8> {
    let cells = (len / (8 + 4 * sequences as usize)).max(1) as u32;
    let mut blob = [&5u32.to_le_bytes()[..], b"llama"].concat();
    blob.extend(words(&[1, cells]));
    for cell in 0..cells {
        blob.extend(words(&[cell, sequences]));
        blob.extend((0..sequences).flat_map(u32::to_le_bytes));
    }
    blob.extend(words(&[0, 0]));
    blob
}

/// One cell, and layers of one f32 each for K and V.
fn state_layers(len: usize) -> Vec<u8> {
    let layers = (len / 32) as u32;
    let mut blob = [&5u32.to_le_bytes()[..], b"llama"].concat();
    blob.extend(words(&[1, 1, 0, 1, 0, 0, layers]));
    for _ in 0..2 * layers {
        blob.extend(words(&[0, 4, 0, 0]));
    }
    blob
}

fn state_streams(len: usize) -> Vec<u8> {
    let mut blob = [&5u32.to_le_bytes()[..], b"llama"].concat();
    blob.extend(words(&[(len / 4) as u32]));
    blob.extend(vec![0; len / 4 * 4]);
    blob
}

/// Entries without texts.
fn engrams(len: usize, dim: u32) -> Vec<u8> {
    let row = dim.div_ceil(8) as usize;
    let rows = len / (40 + row);
    let mut value = vec![1, 0, 0, 1];
    value.extend([0; 20]);
    let mut payload = vec![0x55; rows * row];
    if dim == 1 {
        payload.fill(1);
    }
    for _ in 0..rows {
        payload.extend(1f32.to_le_bytes());
        payload.extend([0; 36]);
    }
    frame(
        config(Kind::ENGRAM_INDEX, Element::Bits, rows as u32, dim),
        &payload,
        &[(TlvType::ENGRAM_INDEX, value)],
    )
}

fn gist(len: usize) -> Vec<u8> {
    let heads = (len / 8) as u32;
    let mut value: Vec<u8> = [1, heads, 1, 1].iter().flat_map(|number| number.to_be_bytes()).collect();
    value.extend(1u64.to_be_bytes());
    value.extend([0; 32]);
    payload_frame(Kind::GIST, Element::F32, 2 * heads, 1, 8 * heads as usize, &[(TlvType::GIST, value)])
}

fn npy_text(text: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn npy(descr: &str, fortran: bool, shape: &str, data: usize) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let mut bytes = npy_text(&text);
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// An archive with these members, deflated as far as it goes.
fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use zip::write::SimpleFileOptions;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, data) in members {
        writer.start_file(*name, options.compression_level(Some(9))).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn scl(dim: usize, sigma: Vec<u8>) -> Vec<u8> {
    let mu = npy("<f8", false, &format!("({dim},)"), 8 * dim);
    let one = npy("<f8", false, "()", 8);
    archive(&[
        ("mu.npy", mu),
        ("Sigma.npy", sigma),
        ("W.npy", one.clone()),
        ("t0.npy", one.clone()),
        ("t1.npy", one),
    ])
}

/// As many zeros as come out of `len` bytes; the reader takes up to 16,384 of them.
fn npz_bomb(len: usize) -> Vec<u8> {
    let zeros = len * 1000;
    let mut mu = npy("<f8", false, "(16384,)", 8 * 16_384);
    mu.resize(zeros, 0);
    archive(&[("mu.npy", mu)])
}

/// The largest Sigma that an archive of `len` bytes may have.
fn npz_sigma(len: usize) -> Vec<u8> {
    let most = ((1 << 20) + 48 * len).min(len * 1000 / 8);
    let dim = (most as f64).sqrt() as usize;
    let mut archive = scl(dim.min(16_384), npy("<f8", false, &format!("({dim}, {dim})"), 8 * dim * dim));
    // The archive's comment, 2 bytes for its length and then it, ends it.
    let comment = len.saturating_sub(archive.len()).min(0xFFFF);
    let end = archive.len() - 2;
    archive[end..].copy_from_slice(&(comment as u16).to_le_bytes());
    archive.resize(archive.len() + comment, b' ');
    archive
}

fn npz_members(len: usize) -> Vec<u8> {
    let names: Vec<String> = (0..len / 110).map(|i| format!("{i:05}")).collect();
    let members: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
    archive(&members)
}

fn header_only(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn tensors(len: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let entry = |i| format!(r#""{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#, name(i));
    let entries: Vec<String> = (0..len / entry(0).len()).map(entry).collect();
    header_only(&format!("{{{}}}", entries.join(",")))
}

fn layers(len: usize) -> Vec<u8> {
    let mut entries = Vec::new();
    for i in 0..len / 180 {
        for (part, at) in [("key", 8 * i), ("value", 8 * i + 4)] {
            entries.push(format!(
                r#""layer_{i}_{part}":{{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[{at},{}]}}"#,
                at + 4
            ));
        }
    }
    let mut file = header_only(&format!("{{{}}}", entries.join(",")));
    file.resize(file.len() + 4 * entries.len(), 0);
    file
}

fn sample(context: &str, needle: &str) -> Vec<u8> {
    format!(
        r#"{{"context": "{context}", "question": "?", "answer": "{needle}", "needle": "{needle}", "needle_position": 0.5, "id": "a"}}"#
    )
    .into()
}

fn samples(len: usize) -> Vec<u8> {
    let line = |i: usize| {
        format!(
            "{{\"context\":\"AAAAAA\",\"needle\":\"AAAAAA\",\"needle_position\":0,\"prediction\":\"\",\"id\":\"{i:06}\"}}\n"
        )
    };
    (0..len / line(0).len()).map(line).collect::<String>().into()
}

fn manifest(tokens: u64, more: &str) -> Vec<u8> {
    format!(
        r#"{{"total_tokens":{tokens},"chunk_tokens":{tokens},"chunk_count":1,"chunks":[{{"chunk_id":0,"start":0,"length":{tokens},"sha256":"{}"}}]{more}}}"#,
        "0".repeat(64)
    )
    .into()
}

fn manifest_chunks(len: usize) -> Vec<u8> {
    let chunks: Vec<String> = (0..len / 120)
        .map(|i| format!(r#"{{"chunk_id":{i},"start":{i},"length":1,"sha256":"{}"}}"#, "0".repeat(64)))
        .collect();
    let count = chunks.len();
    format!(
        r#"{{"total_tokens":{count},"chunk_tokens":1,"chunk_count":{count},"chunks":[{}]}}"#,
        chunks.join(",")
    )
    .into()
}

fn faiss(len: usize) -> Vec<u8> {
    let rows = (len / 4) as u64;
    let mut bytes = b"IxFI".to_vec();
    bytes.extend(1i32.to_le_bytes());
    bytes.extend(rows.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.push(1);
    bytes.extend(0i32.to_le_bytes());
    bytes.extend(rows.to_le_bytes());
    bytes.resize(bytes.len() + 4 * rows as usize, 0);
    bytes
}

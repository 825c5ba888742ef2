//! The bodies of the fuzz targets on mutated inputs: always the same ones, in a few seconds. fuzz/run.sh goes on from here.
// Tests state expectations by panicking.

#[allow(unreachable_pub)]
#[path = "common/largest.rs"]
mod largest;

use std::fs;
use std::path::{Path, PathBuf};

use bitwire::beacon::mu16::Step;
use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Against, StepChoice, Window, WindowOptions};
use bitwire::engram::KeyShape;
use bitwire::engram::index::{Entry, IndexOptions, Method, Metric, OwnedIndex, VectorType};
use bitwire::engram::whitening::Whitening;
use bitwire::frame::{Config, Context, ContextHash, Element, FrameBuilder, Key, Kind, TlvType};
use bitwire::fuzzing::TARGETS;
use bitwire::gist::GistBuilder;
use bitwire::io::safetensors::{NewTensor, write_tensors};
use bitwire::ledger::{
    Chunk, ChunkBuilder, Encoding, IndexBuilder, Passkey, Proof, Span, encode_marks, encoded_marks_len,
};
use bitwire::mirror::{Blocks, DiffOptions, Master, Mode, Scalar, Shape};

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Values at which sizes and signs turn over.
const EDGES: [u64; 16] = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 32,
    1 << 61,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.next() as u8,
            2 => bytes.insert(at, random.next() as u8),
            3 => {
                bytes.drain(at..end);
            }
            4 => bytes.truncate(at),
            5 => bytes.extend_from_within(at..end),
            6 => {
                let copied = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copied);
            }
            7 => {
                let edge = random.pick(&EDGES).to_be_bytes();
                let mut edge = edge[8 - (1 << random.below(4))..].to_vec();
                if random.below(2) == 0 {
                    edge.reverse();
                }
                let end = (at + edge.len()).min(bytes.len());
                bytes.splice(at..end, edge);
            }
            _ => {
                // The front of this input, the end of another.
                let other = random.pick(seeds);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
        }
    }
}

/// Takes a TLV of a frame, where there still is one, and repeats, drops, moves, renames or fills it.
fn mutate_tlvs(bytes: &mut Vec<u8>, random: &mut Random) {
    let (mut starts, mut at) = (Vec::new(), 12);
    while at + 3 <= bytes.len() {
        let end = at + 3 + usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        if end > bytes.len() || bytes[at] == 0xFF {
            break;
        }
        starts.push(at..end);
        at = end;
    }
    if starts.is_empty() {
        return;
    }
    let tlv = random.pick(&starts).clone();
    let whole = bytes[tlv.clone()].to_vec();
    match random.below(6) {
        0 => {
            bytes.splice(tlv.end..tlv.end, whole);
        }
        1 => {
            bytes.drain(tlv);
        }
        2 => {
            let to = random.pick(&starts).start;
            bytes.splice(to..to, whole);
        }
        3 => bytes[tlv.start] = random.next() as u8,
        4 => {
            let byte = *random.pick(&[0, 1, 0x7F, 0x80, 0xFF]);
            bytes[tlv.start + 3..tlv.end].fill(byte);
        }
        _ => {
            // 1 to 8 bytes of its value at the turn of a size or a sign: infinity and NaN among them.
            let width = 1 << random.below(4);
            let at = tlv.start + 3 + random.below(tlv.len() / width) * width;
            let edge =
                *random.pick(&[0, 1, 0x7F80_0000, 0x7FF0_0000_0000_0000, 0xFFC0_0000, u64::MAX, 1 << 63]);
            let edge = edge.to_be_bytes();
            for (to, from) in bytes.iter_mut().skip(at).zip(&edge[8 - width..]) {
                *to = *from;
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The files of a folder, the larger ones left out; none if there is no such folder.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(root().join(folder)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    // In an order that does not depend on the file system.
    paths.sort();
    let small = |path: &PathBuf| path.is_file() && fs::metadata(path).unwrap().len() <= 8192;
    paths.into_iter().filter(small).map(|path| fs::read(path).unwrap()).collect()
}

/// Inputs from spec/vectors, where it is at hand.
fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for file in names {
        let Ok(text) = fs::read_to_string(root().join("spec/vectors").join(file)) else { continue };
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in json["cases"].as_array().unwrap() {
            let (digits, _) = case["hex"].as_str().unwrap_or_default().as_bytes().as_chunks::<2>();
            let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            inputs.push(digits.iter().map(byte).collect());
        }
    }
    inputs.retain(|input: &Vec<u8>| input.len() <= 8192);
    inputs
}

fn frames() -> Vec<Vec<u8>> {
    let key = Key::new(&[9; 32]).unwrap();
    let mut frames = Vec::new();
    for (dim, sigma) in [(1, Sigma::None), (3, Sigma::Trace), (17, Sigma::Diagonal), (5, Sigma::Full)] {
        let options = WindowOptions { sigma: Some(sigma), sds_threshold: Some(0.25), ..Default::default() };
        for against in [
            Against::Halves { rows: 4 },
            Against::Baseline { mean: vec![0.5; dim as usize] },
            Against::Nothing,
        ] {
            let mut window = Window::new(dim, against, options).unwrap();
            for row in 0..4 {
                let row: Vec<f32> = (0..dim).map(|column| (row * column) as f32 - 1.5).collect();
                window.push_f32(&row).unwrap();
            }
            let measured = window.finish().unwrap();
            let context = Context::with_members("space", "model", "pi", dim, r#"{"more":[1,null]}"#).unwrap();
            frames.push(measured.encode(&context, StepChoice::Auto).unwrap().frame);
            frames.push(measured.encode_signed(&context, StepChoice::Auto, &key).unwrap().frame);
        }
    }
    // Every part a frame can have, and almost none.
    let config = |kind, element, payload: &[u8]| Config {
        kind,
        element,
        rows: 2,
        dim: 2,
        delta_q16: if element == Element::I16 { 77 } else { 0 },
        payload_len: payload.len() as u64,
    };
    let context = Context::new("", "", "", 2).unwrap();
    let matrix = [1, 0, 0xFF, 0xFF, 0, 0x80, 0xFF, 0x7F];
    for (kind, element, payload) in [
        (Kind::BEACON, Element::I16, &matrix[..]),
        (Kind::LEDGER_CHUNK, Element::U8, b"chunk"),
        (Kind(200), Element::Bits, b""),
    ] {
        let plain = FrameBuilder::new(context.hash(), config(kind, element, payload), payload);
        frames.push(plain.encode().unwrap());
        let full = plain.context_json(context.as_str().as_bytes()).unwrap();
        let full = full.tlv(0x90, b"a later version's value").unwrap().digest().align_payload(64).sign(&key);
        frames.push(full.encode().unwrap());
    }
    let marks = FrameBuilder::new(context.hash(), config(Kind::MIRROR, Element::F32, &[]), &[]);
    frames.push(marks.tlv(TlvType::MIRROR, &[0; 48]).unwrap().tlv(0xEF, &[]).unwrap().encode().unwrap());
    frames
}

/// Frames but for their CRC, which the body mends: each flag set, and payloads around the size from which on a digest is
/// mandatory (spec/frame.md has 4,048 bytes as the last without).
fn at_edges() -> Vec<Vec<u8>> {
    let config =
        Config { kind: Kind(9), element: Element::U8, rows: 1, dim: 1, delta_q16: 0, payload_len: 0 };
    let plain = |len: usize| FrameBuilder::new(ContextHash([0; 8]), config, &vec![1; len]).encode().unwrap();
    let mut frames = Vec::new();
    for bit in 0..32 {
        let mut frame = plain(3);
        frame[42 + bit / 8] ^= 0x80 >> (bit % 8);
        frames.push(frame);
    }
    for more in 0..3u16 {
        let mut frame = plain(4048);
        frame.extend(vec![1; more.into()]);
        frame[37..39].copy_from_slice(&(4048 + more).to_be_bytes());
        frames.push(frame);
    }
    frames
}

/// The chunks of a ledger in every encoding, with marks, then their index.
fn ledger_frames(key: Option<&Key>) -> Vec<Vec<u8>> {
    let context = Context::new("", "", "", 0).unwrap();
    let (ctx, json) = (context.hash(), context.as_str().as_bytes());
    let many: Vec<u32> = (0..41).map(|i| i * i * 37 % 509).collect();
    let span = |name, start, len| Span { name, start, len };
    let mut index = IndexBuilder::new(2).unwrap();
    let (mut frames, mut tokens, mut marked) = (Vec::new(), Vec::new(), Vec::new());
    for (id, (more, encoding, passkeys, spans)) in [
        (
            &many[..],
            Encoding::Packed { bits: 9 },
            &[3u64, 17, 19][..],
            &[span("a", 0, 2), span("c", 1, 1), span("\u{e9}", 40, 1)][..],
        ),
        (&[1, 65_535, 7], Encoding::RawU16, &[], &[]),
        (&[1, 70_000], Encoding::RawU32, &[42, 44], &[]),
        (&[0; 8], Encoding::Packed { bits: 1 }, &[], &[span("the end", 44, 10)]),
        (&[9], Encoding::Packed { bits: 32 }, &[0], &[span("b", 0, 55)]),
    ]
    .into_iter()
    .enumerate()
    {
        let (id, start) = (id as u64, index.total_tokens());
        let mut marks = vec![0; encoded_marks_len(passkeys, spans).unwrap()];
        encode_marks(passkeys, spans, start + more.len() as u64, &mut marks).unwrap();
        let mut builder = ChunkBuilder::new(ctx, id, start, encoding).context_json(json);
        if !(passkeys.is_empty() && spans.is_empty()) {
            builder = builder.marks(&marks);
        }
        if let Some(key) = key {
            builder = builder.sign(key);
        }
        let frame = builder.encode(more).unwrap();
        let chunk = Chunk::parse_exact(&frame).unwrap();
        index.push_chunk(&chunk, chunk.digest()).unwrap();
        tokens.extend(more.iter().map(|&token| (id, start, token)));
        marked.extend(passkeys);
        spans.iter().for_each(|span| index.push_span(*span).unwrap());
        frames.push(frame);
    }
    for position in marked {
        let (chunk_id, start, token) = tokens[position as usize];
        index.push_passkey(Passkey { position, chunk_id, offset: (position - start) as u32, token }).unwrap();
    }
    frames.push(match key {
        None => index.encode(ctx, Some(json)).unwrap(),
        Some(key) => index.encode_signed(ctx, Some(json), key).unwrap(),
    });
    frames
}

/// Inputs of the target that reads whole ledgers: a choice, the length of the index, ledger and index.
fn ledger_files() -> Vec<Vec<u8>> {
    let frames = ledger_frames(None);
    let (chunks, index) = (frames[..5].concat(), &frames[5]);
    let cut = frames[..3].concat().len() + 50;
    // What follows this one's end was never committed.
    let mut builder = IndexBuilder::new(1).unwrap();
    let chunk = Chunk::parse_exact(&frames[0]).unwrap();
    builder.push_chunk(&chunk, chunk.digest()).unwrap();
    for (position, token) in [(3, 333), (17, 4), (19, 123)] {
        builder.push_passkey(Passkey { position, chunk_id: 0, offset: position as u32, token }).unwrap();
    }
    chunk.marks().spans().for_each(|span| builder.push_span(span).unwrap());
    let context = Context::new("", "", "", 0).unwrap();
    let stale = builder.encode(context.hash(), Some(context.as_str().as_bytes())).unwrap();
    let damaged = [&chunks[..cut], &chunks[cut + 1..]].concat();
    // Marks a position, or a name, again.
    let twice = |passkeys: &[u64], spans: &[Span<'_>]| {
        let mut marks = vec![0; encoded_marks_len(passkeys, spans).unwrap()];
        encode_marks(passkeys, spans, 42, &mut marks).unwrap();
        let builder = ChunkBuilder::new(context.hash(), 1, 41, Encoding::RawU16);
        let json = context.as_str().as_bytes();
        [&frames[0][..], &builder.context_json(json).marks(&marks).encode(&[5]).unwrap()].concat()
    };
    let span = Span { name: "a", start: 1, len: 1 };
    let mut files = Vec::new();
    for ledger in [
        &chunks[..],
        &twice(&[17], &[]),
        &twice(&[], &[span]),
        &chunks[..cut],
        &damaged,
        &[&chunks[..], &[0xB1; 70]].concat(),
        &[],
        &chunks[frames[0].len()..],
    ] {
        for how in [0, 3] {
            files.push([&[0xFF, 0xFF, how], ledger].concat());
            for index in [index, &stale] {
                files.push([&(index.len() as u16).to_le_bytes()[..], &[how], ledger, index].concat());
            }
        }
    }
    files
}

/// Blocks, and their mirrors in each mode, of every element.
fn mirror_frames() -> Vec<Vec<u8>> {
    let step = |delta_q16| Step::new(delta_q16).unwrap();
    let context = Context::new("", "", "", 3).unwrap();
    let (ctx, json) = (context.hash(), context.as_str().as_bytes());
    let mut frames = Vec::new();
    for scalar in [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::Mu16(step(32768))] {
        let shape = Shape::new(scalar, 9, 3).unwrap();
        // As floats between 1 and 4.
        let top = if scalar == Scalar::F16 { 0x3C } else { 0x3F };
        let element = |i: usize, low: u8| {
            let mut element = vec![0; scalar.size()];
            element[scalar.size() - 2] = low.wrapping_mul(i as u8);
            element[scalar.size() - 1] = top + low % 2 * 2;
            element
        };
        let master: Vec<u8> = (0..27).flat_map(|i| element(i, 64)).collect();
        // Blocks 0, 1, 4 and 8 differ.
        let low = |i: usize| if matches!(i / 3, 0 | 1 | 4 | 8) { 65 } else { 64 };
        let agent: Vec<u8> = (0..27).flat_map(|i| element(i, low(i))).collect();
        let (master, agent) = (Blocks::new(shape, &master).unwrap(), Blocks::new(shape, &agent).unwrap());
        let blocks = master.to_frame(ctx).unwrap();
        frames.push(blocks.encode().unwrap());
        frames.push(blocks.align_payload(64).digest().context_json(json).unwrap().encode().unwrap());
        let master = Master::new(master, ctx).with_context_json(json).unwrap();
        for (mode, threshold) in [(Mode::Replace, 0.0), (Mode::Add, 0.5), (Mode::AddMu16(step(77)), 1e-4)] {
            let mut payload = Vec::new();
            let Ok(diff) = master.diff_to_vec(&agent, DiffOptions { mode, threshold }, &mut payload) else {
                assert!(matches!(scalar, Scalar::Mu16(_)));
                continue;
            };
            assert_eq!(diff.difference_blocks(), 4);
            let frame = diff.to_frame().unwrap();
            frames.push(frame.encode().unwrap());
            frames.push(frame.digest().align_payload(64).encode().unwrap());
        }
    }
    // All blocks differ: one block less, and there are too many.
    let shape = Shape::new(Scalar::Bf16, 3, 1).unwrap();
    let (master, agent) = (Blocks::new(shape, &[1; 6]).unwrap(), Blocks::new(shape, &[2; 6]).unwrap());
    let mut payload = Vec::new();
    let master = Master::new(master, ctx);
    let diff = master.diff_to_vec(&agent, DiffOptions::default(), &mut payload).unwrap();
    frames.push(diff.to_frame().unwrap().encode().unwrap());
    frames
}

/// Inputs of the target that makes differences: kind and how, then steps, dim, rows, threshold, seed, and bytes.
fn differences() -> Vec<Vec<u8>> {
    let mut random = Random(11);
    let mut inputs = Vec::new();
    let shapes = [(2u16, 149u16), (15, 63), (16, 64), (256, 3), (299, 4), (0, 6)];
    let all = (0..12).flat_map(|kind| [0, 64, 128 + 11, 192 + 16].map(|how| (kind, how)));
    // f32 of nearly one size, and a threshold that is a norm or the number before it: any other order of a sum shows.
    let sums = (0..24).map(|i| (0, 64 + 32 + i % 2 * 128));
    for (kind, how) in all.chain(sums) {
        let mut input = vec![kind | if how & 1 == 1 { 128 } else { 0 }, how];
        let is_mu16 = [kind % 4 == 3, kind / 4 == 2].map(usize::from);
        input.extend((0..4 * is_mu16.iter().sum::<usize>()).map(|_| random.next() as u8));
        let is_sum = how & 96 == 96;
        let (dim, rows) = if is_sum { (299, 12) } else { *random.pick(&shapes) };
        input.extend(dim.to_le_bytes());
        input.extend(rows.to_le_bytes());
        input.extend(1e-2f64.to_le_bytes());
        // The seed chooses the threshold.
        let seed = random.next() as u8;
        input.push(if is_sum { seed & !6 | if how >= 128 { 2 } else { 4 } } else { seed });
        input.extend((0..97).map(|_| random.next() as u8));
        inputs.push(input);
    }
    inputs
}

/// Inputs of the target that runs operations on a store: kind, how, dim; then operations, each with a name.
fn stores() -> Vec<Vec<u8>> {
    let mut random = Random(12);
    let mut inputs = Vec::new();
    for kind in (0..=255u8).step_by(9) {
        let dim = random.below(3) as u8;
        let mut input = vec![kind, random.next() as u8, dim, 0];
        if kind / 16 % 4 == 3 {
            input.extend(0.25f64.to_le_bytes());
        }
        // A master of four blocks that are the first shape's.
        input.extend([4 * 16, 0, 0]);
        input.extend((0..220).map(|_| random.next() as u8));
        inputs.push(input);
    }
    inputs
}

fn proofs() -> Vec<Vec<u8>> {
    let digests: Vec<_> = (0..23).map(|i| [i; 32]).collect();
    let mut path = [[0; 32]; Proof::MAX_PATH];
    let mut proofs = Vec::new();
    for (a, b) in [(0, 1), (1, 3), (6, 7), (8, 16), (22, 23)] {
        proofs.push(Proof::inclusion(&digests[..b], a, &mut path).unwrap().encode());
        proofs.push(Proof::consistency(&digests[..b], a + 1, &mut path).unwrap().encode());
    }
    proofs
}

fn json_ledgers() -> Vec<Vec<u8>> {
    let hash = "ab".repeat(32);
    let row = format!(
        r#"{{"chunk_id": 0, "length": 2, "sha256": "{hash}", "start": 0, "tokens": [7, 4294967295]}}"#
    );
    let passkeys = r#"{"0": {"chunk_id": 0, "chunk_path": "a/b", "expected": 7, "offset": 0, "token": 7}, "12": 9, "3": {"expected": -1.5}}"#;
    let spans = r#"{"a": {"length": 2, "start": 1}, "\u00e9": [18446744073709551615, 0], "c": {}}"#;
    let chunk = format!(
        r#"{{"chunk_id": 0, "length": 2, "path": "x/chunk_00000000.jsonl", "sha256": "{hash}", "start": 0}}"#
    );
    let manifest = format!(
        r#"{{"chunk_count": 1, "chunk_tokens": 2, "chunks": [{chunk}], "passkeys": {passkeys}, "rolling_sha256": "{hash}",
        "schema_version": "tinymind-evidence-ledger-v2", "semantic_spans": {spans}, "total_tokens": 2}}"#
    );
    [&row, passkeys, spans, &manifest].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Indexes of every type of vector, with and without strings in common.
fn engram_indexes() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let types = [
        VectorType::F32,
        VectorType::F16,
        VectorType::Mu16(Step::new(1024).unwrap()),
        VectorType::I8,
        VectorType::Bits,
    ];
    for (i, vector_type) in types.into_iter().enumerate() {
        for (metric, vectors_per_entry, dim, entries) in [
            (Metric::InnerProduct, 1, 5, 4),
            (Metric::Cosine, 1, 17, 2),
            (Metric::MaxSim, 3, 3, 3),
            (Metric::Cosine, 1, 1, 0),
        ] {
            let method = Method::from_code(((i + entries) % 8) as u8).unwrap();
            let whitening_prefix = Some([i as u8; 8]);
            let options =
                IndexOptions { vector_type, dim, vectors_per_entry, metric, method, whitening_prefix };
            let mut index = OwnedIndex::new(options).unwrap();
            for entry in 0..entries {
                let (cache_id, model_id) = (format!("c\u{e9}{entry}"), ["m", "n"][entry / 2 % 2]);
                let entry = Entry {
                    cache_id: &cache_id,
                    task_description: ["", "task"][entry % 2],
                    model_id,
                    context_len: 100 * entry as u32,
                    created_at: -(entry as i64),
                    l2_norm: 1.5,
                };
                let count = dim as usize * usize::from(vectors_per_entry);
                let vectors: Vec<f32> =
                    (0..count).map(|j| (j * 7 % 5) as f32 - 2.0 + entry.l2_norm).collect();
                index.add(&entry, &vectors).unwrap();
            }
            let context = Context::new("", "m", "", dim).unwrap();
            let encoded = index.encode_payload().unwrap();
            let frame = encoded.to_frame(context.hash()).unwrap();
            frames.push(frame.encode().unwrap());
            if i % 2 == 0 {
                let json = context.as_str().as_bytes();
                frames.push(frame.context_json(json).unwrap().digest().align_payload(64).encode().unwrap());
            }
        }
    }
    frames
}

/// Gists of every type of component; each plain, and with all that one can carry.
fn gists() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let scalars = [Scalar::F32, Scalar::F16, Scalar::Bf16, Scalar::Mu16(Step::new(1024).unwrap())];
    for (i, scalar) in scalars.into_iter().enumerate() {
        for (j, [layers, heads, tokens, head_dim]) in
            [[1, 1, 1, 1], [2, 1, 3, 2], [1, 3, 2, 5], [2, 2, 2, 70]].into_iter().enumerate()
        {
            let shape = KeyShape { layers, heads, tokens, head_dim };
            let count = layers * 2 * heads * tokens * head_dim;
            // As floats of a few sizes, and a NaN and an infinity among them.
            let component = |k: u32| match (scalar, k % 41) {
                (Scalar::F32, 7) => 0x7F80_0001u32.to_le_bytes().to_vec(),
                (Scalar::F32, _) => ((k * 37 % 101) as f32 / 8.0 - 5.0).to_le_bytes().to_vec(),
                (Scalar::F16, 9) => 0xFC00u16.to_le_bytes().to_vec(),
                (Scalar::F16, _) => (0x3000 + (k * 611 % 0x1800) as u16).to_le_bytes().to_vec(),
                (Scalar::Bf16, 3) => 0x7F81u16.to_le_bytes().to_vec(),
                (Scalar::Bf16, _) => (0xBE00 + (k * 97 % 0x300) as u16).to_le_bytes().to_vec(),
                (Scalar::Mu16(_), _) => ((k * 7919) as u16).to_le_bytes().to_vec(),
            };
            let payload: Vec<u8> = (0..count).flat_map(component).collect();
            let context =
                Context::with_members("s", "m", "", head_dim, r#"{"a":{"dim":3},"rope":"é"}"#).unwrap();
            let gist = GistBuilder::new(shape, scalar, &payload).unwrap();
            frames.push(gist.to_frame(context.hash()).unwrap().encode().unwrap());
            let root = [i as u8 + 1; 32];
            let gist =
                gist.source(1000 * j as u64, Some(&root)).metadata(["{\"é\": \"\u{1F600}\"}", ""][j % 2]);
            let frame =
                gist.to_frame(context.hash()).unwrap().context_json(context.as_str().as_bytes()).unwrap();
            frames.push(frame.encode().unwrap());
            if i == j {
                frames.push(
                    frame.digest().align_payload(64).sign(&Key::new(&[9; 32]).unwrap()).encode().unwrap(),
                );
            }
        }
    }
    frames
}

/// Inputs of the target that reads gists in files: the length of a sidecar, the sidecar and a file; sidecars alone; and choices
/// of which it lays out files.
fn gist_file_inputs() -> Vec<Vec<u8>> {
    let sidecars = [
        r#"{"num_layers": 2, "num_gist_tokens": 3, "model_name": "m", "none": null, "flag": true}"#,
        r#"{"num_layers": 1, "list": [1, "it's", {"a": -0.5e-7}, []], "big": 123456789012345678901234567890}"#,
        "{\n  \"\u{e9}\": \"\\u00e9\\ud83d\\ude00\\n\"\n}",
        r#"{"a": 1, "\u0061": 2}"#,
        r#"{"a": {"b": 1, "b": 2}, "c": "\ud83d"}"#,
        r#"{"num_gist_tokens": 3.0}"#,
        r#"{"a": 1e999, "b": NaN}"#,
        "{}",
        "[1]",
        "",
    ];
    let mut inputs: Vec<Vec<u8>> = sidecars.iter().map(|text| text.as_bytes().to_vec()).collect();
    inputs.push([&b"{\"a\":"[..], &[b'['; 100], &[b']'; 100], b"}"].concat());
    for (i, text) in sidecars.iter().enumerate() {
        let scalar = [Scalar::F32, Scalar::F16, Scalar::Bf16][i % 3];
        let dims = [1 + i as u64 / 4, 2, 3, 2];
        let len = dims.iter().product::<u64>() as usize * scalar.size();
        let data: Vec<u8> = (0..4 * len).map(|k| [k as u8, 0x3C][k % 2]).collect();
        let mut tensors: Vec<_> = (0..4)
            .map(|k| NewTensor {
                name: format!("layer_{}_{}", k / 2, ["key", "value"][k % 2]).into(),
                scalar,
                dims: (&dims[..]).into(),
                bytes: &data[k * len..][..len],
            })
            .collect();
        if i == 5 {
            tensors.remove(2);
        }
        let mut file = Vec::new();
        write_tensors(&mut file, &[("a", "b")][..i % 2], &tensors).unwrap();
        inputs.push([&(text.len() as u16).to_le_bytes(), text.as_bytes(), &file].concat());
    }
    let mut random = Random(17);
    for amiss in (0..32).map(|i| if i % 2 == 0 { i / 2 } else { 200 }) {
        let mut input: Vec<u8> = (0..80).map(|_| random.next() as u8).collect();
        input[1] = amiss;
        inputs.push(input);
    }
    inputs
}

/// Inputs of the target of samples and answers: lines of both, good and bad, and choices.
fn needles() -> Vec<Vec<u8>> {
    let sample = |id: &str, needle: &str, position: f64, more: &str| {
        let context = format!("\u{e9} The secret passkey is {needle}. ");
        let chars = context.chars().count();
        format!(
            r#"{{"context": "{context}", "question": "?", "answer": "{needle}", "needle": "{needle}", "needle_position": {position}, "context_length_chars": {chars}, "id": "{id}"{more}}}"#
        )
    };
    let good = [
        sample("a", "AB12CD", 0.25, r#", "prediction": "It is AB12CD.""#),
        sample("b", "ZZZZZZ", 1.0, r#", "prediction": "ZZZZZZZ""#),
        sample("c", "000000", 0.0, r#", "prediction": null, "x": {"y": [1, 2]}"#),
    ];
    let mut inputs = vec![good.join("\n").into_bytes(), format!("{}\n\n", good.join("\r\n \n")).into_bytes()];
    for (from, to) in [
        ("\"needle\": \"AB12CD\"", "\"needle\": \"AB12C\""),
        ("\"answer\": \"AB12CD\"", "\"answer\": \"AB12CE\""),
        ("is AB12CD. ", "is AB12CDE "),
        ("0.25", "1.25"),
        ("0.25", "-0.0"),
        ("0.25", "1e999"),
        ("_chars\": 35", "_chars\": 36"),
        ("\"x\": {", "\"id\": {"),
        ("\"x\": {", "\"id\": \"c\", \"x\": {"),
        ("\"b\", ", "\"b\" "),
        ("[1, 2]}}", "[1, 2]}"),
        ("ZZZZZZ", "ZZZ\u{3a9}"),
        ("\"prediction\": \"It", "\"prediction\": [\"It"),
    ] {
        let bad = good.join("\n").replacen(from, to, 1);
        inputs.extend([bad.clone().into_bytes(), (bad + "\n").into_bytes()]);
    }
    // Samples, and behind an empty line answers to them.
    let answers = r#"{"id": "b", "prediction": "ZZZZZZ"}"#;
    inputs.push([good.join("\n").as_bytes(), b"\n\n", answers.as_bytes()].concat());
    let mut random = Random(19);
    for i in 0..48u8 {
        let mut input: Vec<u8> = (0..40 + random.below(300)).map(|_| random.next() as u8).collect();
        input[0] = i;
        if i % 2 == 1 {
            input.extend_from_slice("A paragraph\n\n \u{b}\n\u{e9}nd more.\u{3000}\n".repeat(4).as_bytes());
        }
        inputs.push(input);
    }
    inputs
}

fn whitenings() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for (dim, outputs) in [(1, 1), (3, 2), (17, 5), (33, 33)] {
        let values: Vec<u8> = (0..(outputs + 1) * dim)
            .flat_map(|i| ((i * 37 % 101) as f32 / 8.0 - 5.0).to_le_bytes())
            .collect();
        let context = Context::new("", "m", "", dim).unwrap();
        let frame = Whitening::to_frame(dim, outputs, &values, context.hash()).unwrap();
        frames.push(frame.encode().unwrap());
        frames.push(
            frame.context_json(context.as_str().as_bytes()).unwrap().align_payload(64).encode().unwrap(),
        );
    }
    frames
}

/// Small blobs that llama.cpp wrote, and choices of which the target makes some of every layout.
fn states() -> Vec<Vec<u8>> {
    let mut random = Random(13);
    let blobs = files("tests/data/llama_state").into_iter();
    let blobs =
        blobs.filter(|file| file.len() < 3072 && !file.starts_with(b"{") && !file.starts_with(b"\x93NUMPY"));
    let choices = (0..32u8).map(|i| {
        let [how, what] = [i.wrapping_mul(83), i.wrapping_mul(29)];
        [&[how, what][..], &(0..60 + random.below(60)).map(|_| random.next() as u8).collect::<Vec<_>>()]
            .concat()
    });
    blobs.chain(choices).collect()
}

/// Inputs of the target of streams: those of spec/vectors as they are.
fn stream_vectors() -> Vec<Vec<u8>> {
    let streams = vectors(&["stream.json"]).into_iter().zip(0..);
    let inputs = streams.map(|(stream, i): (_, usize)| {
        // In COBS a run's first byte stands before the magic.
        let in_cobs = stream.windows(5).any(|five| five[0] > 4 && five[1..] == *b"BIT\x01");
        let how = (i % 5) << 4 | (i / 5 % 2) << 2 | usize::from(in_cobs) << 1;
        [&[how as u8, 3, 0, 40, 1, 0xF1, 7][..], &stream].concat()
    });
    inputs.collect()
}

/// The same, some of them, and choices of frames and damage.
fn streams() -> Vec<Vec<u8>> {
    let mut random = Random(23);
    let mut inputs: Vec<_> = stream_vectors().into_iter().step_by(40).collect();
    for i in 0..48u8 {
        let len = 60 + random.below(900);
        let mut input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        // Made of choices; a few frames without damage, most with some.
        input[0] = i << 1 | 1;
        if i % 3 == 0 {
            input[9..11].fill(0);
        }
        inputs.push(input);
    }
    inputs
}

/// Good inputs made by the library itself.
fn built(target: &str) -> Vec<Vec<u8>> {
    match target {
        "chunk" | "index" => {
            [ledger_frames(None), ledger_frames(Some(&Key::new(&[9; 32]).unwrap()))].concat()
        }
        "recovery" => ledger_files(),
        "engram_index" => engram_indexes(),
        "whitening" => whitenings(),
        "gist" => gists(),
        "gist_files" => gist_file_inputs(),
        "niah" => needles(),
        "state" => states(),
        "stream" => streams(),
        "mirror" => mirror_frames(),
        "diff" => differences(),
        "mirrors" => stores(),
        "proof" => proofs(),
        "tinymind" => json_ledgers(),
        "frame" | "beacon" | "inspect" => frames(),
        "context" => {
            let members = r#"{"x":{"b":[-1,true]}}"#;
            let context = Context::with_members("a", "é", "\u{1F600}", 9, members).unwrap();
            let members = r#"{ "\ufb33": 9007199254740991, "a\u0000": [[], {}] }"#;
            let sorted = r#"{"\ufb33":1,"\ud83d\ude00":{"b":-9007199254740991,"a":"\u001f\/"}}"#;
            let large = r#"{"a":9007199254740992}"#;
            let small = r#"{"a":-9007199254740992}"#;
            let unsorted = r#"{"dim":9,"pi_id":"","model_id":"","space_id":""}"#;
            let repeated = r#"{"a":{"b":1,"b":1}}"#;
            let texts = [context.as_str(), members, sorted, large, small, unsorted, repeated];
            texts.map(|text| text.into()).to_vec()
        }
        "results" => {
            let text = r#"{"SDS":1.5,"cos_mu":0.75,"norm_dmu":1,"reference":"baseline","thresholds":{"SDS":2e-7},"tr_Sigma":0.5,"weights":{"mu":1,"trS":1}}"#;
            let negative = [r#"norm_dmu":"#, r#""mu":"#, r#""trS":"#, r#""SDS":"#]
                .map(|name| text.replace(name, &format!("{name}-")).into_bytes());
            [vec![text.into()], negative.to_vec()].concat()
        }
        // Two and three rows and columns, in either order.
        "npy" => ["(2, 3)", "(3, 2)", "(1, 6)", "(6, 1)"]
            .into_iter()
            .flat_map(|shape| {
                [("<f4", 4, "True"), (">f8", 8, "False"), ("<f2", 2, "True")].map(|how| (shape, how))
            })
            .map(|(shape, (descr, size, fortran))| {
                let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}}}");
                let mut file = b"\x93NUMPY\x01\x00".to_vec();
                file.extend((text.len() as u16).to_le_bytes());
                file.extend(text.bytes());
                file.extend(0..6 * size as u8);
                file
            })
            .collect(),
        // Two of one name, empty ones at the edges, a hole, and a sum of sizes that overflows with the header's.
        "safetensors" => {
            let entry = |name, dtype, shape, start: u64, end: u64| {
                format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
            };
            let eight = (0..8).map(|i| (i, (1 << 61) - 1)).map(|(i, len)| {
                entry(
                    ["a", "b", "c", "d", "e", "f", "g", "h"][i as usize],
                    "U8",
                    "[2305843009213693951]",
                    i * len,
                    i * len + len,
                )
            });
            [
                vec![entry("w", "U8", "[4]", 0, 4), entry("w", "F32", "[1]", 0, 4)],
                vec![
                    entry("w", "F32", "[1,1]", 0, 4),
                    entry("v", "U8", "[0]", 0, 0),
                    entry("u", "U8", "[0]", 4, 4),
                ],
                vec![entry("w", "BF16", "[1,2]", 0, 4), entry("v", "I16", "[2,2]", 6, 14)],
                vec![r#""__metadata__":{"a":"b","c":"d"}"#.into(), entry("w", "I16", "[2,2]", 0, 8)],
                eight.collect(),
            ]
            .map(|entries| {
                let header = format!("{{{}}}", entries.join(","));
                [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[7; 8]].concat()
            })
            .to_vec()
        }
        _ => Vec::new(),
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = if matches!(target, "beacon" | "inspect") { "frame" } else { target };
    let mut seeds = files(&format!("tests/corpus/{corpus}"));
    seeds.extend(files(&format!("tests/data/{target}")));
    seeds.extend(built(target));
    if target == "certificate" {
        let engrams = files("tests/data/engram/eigengram");
        seeds.extend(engrams.into_iter().filter(|file| file.starts_with(b"EGR1")));
    }
    if target == "kit" {
        // Not of any form.
        let mut random = Random(1);
        seeds.extend((0..64).map(|len| (0..len * 16).map(|_| random.next() as u8).collect()));
    }
    if target == "stream" {
        seeds.extend(stream_vectors());
    }
    if matches!(target, "beacon" | "chunk" | "context" | "frame" | "index" | "inspect") {
        seeds.extend(vectors(&["frame.json", "beacon.json", "context.json", "ledger.json"]));
    }
    // Each bit matters; digest and CRC are mended.
    let ledger = ledger_frames(None);
    let flipped = match target {
        "chunk" => ledger.first(),
        "index" => ledger.last(),
        _ => None,
    };
    if target == "chunk" {
        // A byte too many after the marks; their length stands before them.
        let mut frame = ledger[0].clone();
        let at = frame.windows(2).position(|two| two == [0x81, 0]).unwrap();
        frame[at + 2] += 1;
        frame.insert(at + 3 + usize::from(frame[at + 2]) - 1, 0);
        seeds.push(frame);
    }
    if let Some(frame) = flipped {
        seeds.extend((0..frame.len() * 8).map(|bit| {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            frame
        }));
    }
    if target == "mirror" {
        let frames = mirror_frames();
        // rows and dim are 0.
        let mut nothing = frames[0].clone();
        nothing[19..27].fill(0);
        seeds.push(nothing);
        for frame in [&frames[2], &frames[6], &frames[24], frames.last().unwrap()] {
            seeds.extend((0..frame.len() * 8).map(|bit| {
                let mut frame = frame.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                frame
            }));
        }
    }
    if matches!(target, "engram_index" | "whitening" | "gist") {
        let small = built(target).into_iter().filter(|frame| frame.len() < 400);
        for frame in small.step_by(if target == "engram_index" { 11 } else { 3 }) {
            seeds.extend((0..frame.len() * 8).map(|bit| {
                let mut frame = frame.clone();
                frame[bit / 8] ^= 1 << (bit % 8);
                frame
            }));
        }
    }
    if target == "inspect" {
        seeds.extend([engram_indexes(), whitenings(), gists()].concat());
        let frames = built("chunk");
        seeds.extend([frames[..6].concat(), frames[3..8].concat()]);
        seeds.extend(frames);
        seeds.extend(mirror_frames());
    }
    if matches!(target, "frame" | "inspect") {
        seeds.extend(at_edges());
    }
    // Numbers for the bodies that read choices and values.
    let mut random = Random(5);
    for len in [0, 30, 200, 1500] {
        seeds.push((0..len).map(|_| random.next() as u8).collect());
        seeds.push((0..len).map(|i| [i as u8, 0, 0xC0, 0x3F][i % 4]).collect());
    }
    seeds
}

/// Writes the seeds made here to tests/corpus, where fuzz/run.sh finds them.
#[test]
#[ignore = "writes to tests/corpus"]
fn write_seeds() {
    for target in [
        "chunk",
        "context",
        "diff",
        "engram_index",
        "frame",
        "gist",
        "gist_files",
        "mirror",
        "mirrors",
        "niah",
        "proof",
        "recovery",
        "results",
        "state",
        "stream",
        "tinymind",
        "whitening",
    ] {
        let folder = root().join("tests/corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        for (i, seed) in built(target).into_iter().enumerate() {
            fs::write(folder.join(format!("seed{i:02}")), seed).unwrap();
        }
    }
}

fn run(name: &str, rounds: usize) {
    let (_, body) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let seeds = seeds(name);
    let run = |bytes: &[u8]| {
        let largest = largest::largest(|| {
            // The input is what has to be known of a failure; the message goes before it.
            if let Err(panic) = std::panic::catch_unwind(|| body(bytes)) {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                eprintln!("{name} fails on {} bytes: {hex}", bytes.len());
                std::panic::resume_unwind(panic);
            }
        });
        // A matrix in 128 KiB steps, a triangle of 70 columns with its block: no input of a few KB costs more.
        assert!(largest <= 1 << 20, "{name} asks for {largest} bytes at once");
    };
    seeds.iter().for_each(|seed| run(seed));
    let mut random = Random(name.bytes().map(u64::from).sum());
    for _ in 0..rounds {
        let mut bytes = random.pick(&seeds).clone();
        if matches!(
            name,
            "frame"
                | "beacon"
                | "chunk"
                | "index"
                | "inspect"
                | "mirror"
                | "engram_index"
                | "whitening"
                | "gist"
        ) && random.below(2) == 0
        {
            mutate_tlvs(&mut bytes, &mut random);
        }
        if random.below(4) != 0 {
            mutate(&mut bytes, &seeds, &mut random);
        }
        run(&bytes);
    }
}

macro_rules! bodies {
    ($($name:ident: $rounds:literal),+ $(,)?) => {
        $( #[test] fn $name() { run(stringify!($name), $rounds); } )+

        #[test]
        fn every_target_is_here() {
            let mut named = [$(stringify!($name)),+];
            named.sort_unstable();
            assert!(TARGETS.iter().map(|(name, _)| *name).eq(named));
        }
    };
}

bodies! {
    beacon: 3000,
    certificate: 3000,
    chunk: 2000,
    context: 4000,
    crc16: 1000,
    diff: 1000,
    engram_index: 2000,
    frame: 1000,
    gist: 2000,
    gist_files: 2000,
    gist_mask: 1000,
    index: 3000,
    inspect: 300,
    kit: 2000,
    ledger: 200,
    mirror: 3000,
    mirrors: 2000,
    moments: 100,
    mu16: 1000,
    niah: 400,
    npy: 2000,
    npz: 400,
    proof: 300,
    recovery: 6000,
    results: 4000,
    safetensors: 3000,
    state: 1500,
    stream: 3000,
    tinymind: 4000,
    whitening: 2000,
    window: 2000,
}

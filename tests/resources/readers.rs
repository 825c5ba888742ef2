//! Every reader of the library as a function of bytes, which reads all there is to read in them. Shared with benches/worst.rs.
#![allow(dead_code, unreachable_pub)] // each uses its share

use std::hint::black_box;
use std::io::Cursor;
use std::path::PathBuf;

use bitwire::beacon::{Beacon, WindowOptions};
use bitwire::engram::certificate::{Certificate, Layout, RawCertificate};
use bitwire::engram::index::{Index as EngramIndex, OwnedIndex, Query};
use bitwire::engram::state::State;
use bitwire::engram::whitening::Whitening;
use bitwire::frame::{Context, Frame, FrameHeader, Frames, IntactFrame, Key};
use bitwire::gist::niah::{Join, read_answers, read_joined};
use bitwire::gist::{GistView, Part};
use bitwire::io::faiss::FlatIndex;
use bitwire::io::gist::{KvLayers, Sidecar};
use bitwire::io::key::KeyBytes;
use bitwire::io::measure;
use bitwire::io::npy::{Header, MatrixReader, NpyBlocks};
use bitwire::io::npz::read_scl;
use bitwire::io::safetensors::TensorFile;
use bitwire::io::tokens::{TokenFormat, TokenReader};
use bitwire::ledger::tinymind::TinyMindLedger;
use bitwire::ledger::{Chunk, Index, LedgerReader, Proof};
use bitwire::mirror::{BlockSource, Blocks, DiffOptions, Master, MasterMirror, MirrorView};
use bitwire::stream::{FrameReader, Recover, RecoverCobs};

pub struct Reader {
    pub name: &'static str,
    pub read: fn(&[u8]),
    /// The most memory in use at once: so many times the input, and so many bytes on top. Nothing, for what needs no allocator.
    pub times: usize,
    pub plus: usize,
}

const fn reader(name: &'static str, read: fn(&[u8]), times: usize, plus: usize) -> Reader {
    Reader { name, read, times, plus }
}

const KIB: usize = 1 << 10;

/// The bounds are those that SECURITY.md states.
pub const READERS: &[Reader] = &[
    reader("frame", frame, 0, 0),
    reader("frames", frames, 0, 0),
    reader("beacon", beacon, 0, 0),
    reader("chunk", chunk, 0, 0),
    reader("index", index, 0, 0),
    reader("proof", proof, 0, 0),
    reader("blocks", blocks, 0, 0),
    reader("mirror", mirror, 0, 0),
    reader("state", state, 0, 0),
    reader("certificate", certificate, 0, 0),
    reader("engram index", engram_index, 0, 0),
    reader("whitening", whitening, 0, 0),
    reader("gist", gist, 0, 0),
    reader("stream", stream, 0, 0),
    reader("stream, COBS", stream_cobs, 0, 0),
    reader("stream, 64 KiB", stream_long, 0, 0),
    reader("faiss", faiss, 0, 0),
    reader("npy header", npy_header, 0, 0),
    reader("context", context, 72, 4 * KIB),
    reader("content", content, 72, 4 * KIB),
    reader("capture", capture, 1, KIB),
    reader("capture, 64 KiB", capture_short, 1, KIB),
    reader("capture, COBS", capture_cobs, 3, KIB),
    reader("inspect", inspect, 80, 8 * KIB),
    reader("engram search", engram_search, 8, 4 * KIB),
    reader("mirror store", mirror_store, 4, 4 * KIB),
    reader("ledger", ledger, 12, 4 * KIB),
    reader("ledger and index", ledger_and_index, 12, 4 * KIB),
    reader("npy matrix", npy_matrix, 4, 256 * KIB),
    reader("npy window", npy_window, 8, 256 * KIB),
    reader("npy blocks", npy_blocks, 4, 128 * KIB),
    reader("npz", npz, 2100, 256 * KIB),
    reader("safetensors", safetensors, 16, 128 * KIB),
    reader("gist files", gist_files, 16, 4 * KIB),
    reader("sidecar", sidecar, 20, 4 * KIB),
    reader("tokens", tokens, 4, 256 * KIB),
    reader("key file", key_file, 1, KIB),
    reader("samples", samples, 4, 4 * KIB),
    reader("answers", answers, 4, 4 * KIB),
    reader("tinymind", tinymind, 24, 8 * KIB),
];

fn frame(bytes: &[u8]) {
    let _ = black_box(FrameHeader::parse(bytes));
    if let Ok((intact, _)) = IntactFrame::parse(bytes) {
        black_box(intact.tlvs().count());
        let _ = black_box(intact.check());
    }
    if let Ok(frame) = Frame::parse_exact(bytes) {
        black_box((frame.routing_key(), frame.payload(), frame.digest(), frame.context_json()));
    }
}

fn frames(bytes: &[u8]) {
    black_box(Frames::new(bytes).count());
}

fn beacon(bytes: &[u8]) {
    let Ok(frame) = Frame::parse_exact(bytes) else { return };
    let Ok(beacon) = Beacon::from_frame(&frame) else { return };
    for row in 0..beacon.rows() {
        black_box(beacon.row(row).map(|row| row.map(i64::from).sum::<i64>()));
    }
    if let Some(calibration) = beacon.calibration() {
        black_box((calibration.sigma_values().sum::<f64>(), calibration.mu().map(|mu| mu.sum::<f32>())));
    }
    black_box(beacon.results());
}

fn chunk(bytes: &[u8]) {
    let Ok(chunk) = Chunk::parse_exact(bytes) else { return };
    black_box(chunk.tokens().map(u64::from).sum::<u64>());
    black_box(chunk.marks().passkeys().sum::<u64>());
    black_box(chunk.marks().spans().map(|span| span.name.len()).sum::<usize>());
}

fn index(bytes: &[u8]) {
    let Ok(index) = Index::parse_exact(bytes) else { return };
    black_box(index.anchors().map(|anchor| anchor.start).sum::<u64>());
    black_box(index.passkeys().map(|passkey| passkey.position).max());
    black_box(index.spans().map(|span| span.name.len()).sum::<usize>());
}

fn proof(bytes: &[u8]) {
    let Ok(proof) = Proof::parse(bytes) else { return };
    let _ = black_box(proof.verify_inclusion(&[1; 32], &[2; 32]));
    let _ = black_box(proof.verify_consistency(&[1; 32], &[2; 32]));
}

fn blocks(bytes: &[u8]) {
    let Ok(frame) = Frame::parse_exact(bytes) else { return };
    if let Ok(blocks) = Blocks::from_frame(&frame) {
        black_box((0..blocks.shape().rows()).filter_map(|row| blocks.block(row)).count());
    }
    if let Ok(master) = Master::from_frame(&frame) {
        black_box(master.digest());
    }
}

fn mirror(bytes: &[u8]) {
    if let Ok(view) = MirrorView::parse_exact(bytes) {
        black_box(view.values().map(|(index, values)| values.len() + index as usize).sum::<usize>());
    }
}

fn state(bytes: &[u8]) {
    let Ok(state) = State::parse(bytes) else { return };
    let mut sum = 0u64;
    for stream in state.caches().flat_map(|cache| cache.streams()) {
        for cell in stream.cells() {
            sum = sum.wrapping_add(cell.seq_ids().count() as u64 + cell.extension().len() as u64);
        }
        for tensor in stream.keys().chain(stream.values()) {
            sum = sum.wrapping_add(tensor.byte_len());
        }
    }
    black_box(sum);
}

fn certificate(bytes: &[u8]) {
    for layout in [Layout::Header99, Layout::Header107] {
        let _ = black_box(RawCertificate::locate(bytes, layout));
    }
    if let Ok(found) = Certificate::parse(bytes) {
        black_box(found.vec_fourier_v2().iter().sum::<f32>());
    }
}

fn engram_index(bytes: &[u8]) {
    let Ok(index) = EngramIndex::parse_exact(bytes) else { return };
    black_box(index.entries().map(|entry| entry.cache_id.len()).sum::<usize>());
}

fn whitening(bytes: &[u8]) {
    let Ok(frame) = Frame::parse_exact(bytes) else { return };
    let Ok(whitening) = Whitening::from_frame(&frame) else { return };
    black_box(whitening.mean().sum::<f32>());
    for i in 0..whitening.outputs() {
        black_box(whitening.direction(i).map(|direction| direction.sum::<f32>()));
    }
}

fn gist(bytes: &[u8]) {
    let Ok(gist) = GistView::parse_exact(bytes) else { return };
    for layer in 0..gist.shape().layers {
        for head in 0..gist.shape().heads {
            black_box(gist.head(Part::Keys, layer, head));
        }
    }
    black_box(gist.metadata());
}

fn stream(mut bytes: &[u8]) {
    let mut reader = FrameReader::<4096>::new();
    while let Some(event) = reader.feed(&mut bytes) {
        black_box(event);
    }
    while let Some(event) = reader.finish() {
        black_box(event);
    }
}

fn stream_cobs(mut bytes: &[u8]) {
    let mut reader = FrameReader::<4096, _>::cobs();
    while let Some(event) = reader.feed(&mut bytes) {
        black_box(event);
    }
    while let Some(event) = reader.finish() {
        black_box(event);
    }
}

fn stream_long(mut bytes: &[u8]) {
    let mut reader = FrameReader::<65_536>::new();
    while let Some(event) = reader.feed(&mut bytes) {
        black_box(event);
    }
    while let Some(event) = reader.finish() {
        black_box(event);
    }
}

fn faiss(bytes: &[u8]) {
    let _ = black_box(FlatIndex::parse(bytes));
}

fn npy_header(bytes: &[u8]) {
    let _ = black_box(Header::parse(bytes));
}

fn context(bytes: &[u8]) {
    let _ = black_box(Context::parse(bytes));
}

fn content(bytes: &[u8]) {
    if let Ok(frame) = Frame::parse_exact(bytes) {
        let _ = black_box(frame.check_content());
    }
}

fn capture(bytes: &[u8]) {
    black_box(Recover::new(bytes).count());
}

fn capture_short(bytes: &[u8]) {
    black_box(Recover::new(bytes).with_max_frame(65_536).count());
}

fn capture_cobs(bytes: &[u8]) {
    let mut recover = RecoverCobs::new(bytes);
    while let Some(event) = recover.next_event() {
        black_box(event);
    }
}

fn inspect(bytes: &[u8]) {
    black_box(bitwire::inspect::inspect(bytes).spans().count());
}

fn engram_search(bytes: &[u8]) {
    let Ok(index) = EngramIndex::parse_exact(bytes) else { return };
    // A query as wide as the vectors is the caller's; without vectors their width costs the file nothing.
    if index.search().vectors().rows() > 0 {
        let query = vec![0.5; index.search().vectors().dim() as usize];
        let _ = black_box(index.search().top_k(Query::new(&query), 10, |_| true));
    }
    let _ = black_box(OwnedIndex::from_index(&index));
}

fn mirror_store(bytes: &[u8]) {
    let Ok(frame) = Frame::parse_exact(bytes) else { return };
    let mut store = MasterMirror::with_ctx(DiffOptions::default(), frame.ctx());
    if let Ok(blocks) = Blocks::from_frame(&frame) {
        let _ = black_box(store.register_master("m", &blocks));
        let _ = black_box(store.register_mirror("a", &blocks));
        let _ = black_box(store.reconstruct("a"));
    }
}

fn walk(reader: &LedgerReader<&[u8]>) {
    let _ = black_box(reader.verify_on(1, |_| ()));
    let _ = black_box(reader.spans());
    let _ = black_box(reader.passkeys());
    let total = reader.total_tokens();
    let mut out = [0; 64];
    for start in (0..total).step_by(1 << 14).take(64) {
        let _ = black_box(reader.recall_into(start, &mut out[..64.min((total - start) as usize)]));
    }
    let _ = black_box(reader.prove(0));
}

fn ledger(bytes: &[u8]) {
    if let Ok(reader) = LedgerReader::new(bytes, None) {
        walk(&reader);
    }
}

/// A ledger and its index: the ledger's length in four bytes, little-endian, first.
fn ledger_and_index(bytes: &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk() else { return };
    let Some((ledger, index)) = rest.split_at_checked(u32::from_le_bytes(*len) as usize) else { return };
    if let Ok(reader) = LedgerReader::new(ledger, Some(index)) {
        walk(&reader);
    }
    let Ok(index) = Index::parse_exact(index) else { return };
    for passkey in index.passkeys().take(64) {
        let _ = black_box(index.find(ledger, passkey.position));
    }
}

fn npy_matrix(bytes: &[u8]) {
    let Ok(mut matrix) = MatrixReader::new(bytes) else { return };
    while let Ok(Some(row)) = matrix.next_row() {
        black_box(row);
    }
}

fn npy_window(bytes: &[u8]) {
    if let Ok(mut matrix) = MatrixReader::new(bytes) {
        let _ = black_box(measure::measure(&mut matrix, None, WindowOptions::default(), None, |_, _| ()));
    }
}

fn npy_blocks(bytes: &[u8]) {
    if let Ok(blocks) = NpyBlocks::read(bytes, None) {
        let mut copy = vec![0; blocks.shape().len()];
        let _ = black_box(blocks.copy_into(&mut copy));
    }
}

fn npz(bytes: &[u8]) {
    let _ = black_box(read_scl(Cursor::new(bytes)));
}

fn safetensors(bytes: &[u8]) {
    let Ok(file) = TensorFile::read(bytes) else { return };
    for name in file.names() {
        let tensor = file.tensor(name);
        let _ = black_box(tensor.and_then(|tensor| Ok(tensor.blocks(None)?.shape().rows())));
    }
}

fn gist_files(bytes: &[u8]) {
    if let Ok(file) = TensorFile::parse(bytes) {
        let _ = black_box(KvLayers::from_tensors(&file, None));
    }
}

fn sidecar(bytes: &[u8]) {
    if let Ok(sidecar) = Sidecar::read(bytes) {
        black_box(sidecar.strings().count());
    }
}

fn tokens(bytes: &[u8]) {
    for format in [TokenFormat::Npy, TokenFormat::Text, TokenFormat::U16] {
        let Ok(mut reader) = TokenReader::new(bytes, format) else { continue };
        while let Ok(Some(tokens)) = reader.next_block() {
            black_box(tokens.len());
        }
    }
}

fn key_file(bytes: &[u8]) {
    let _ = black_box(KeyBytes::read(bytes).ok().map(|key| Key::new(key.as_bytes())));
}

fn samples(bytes: &[u8]) {
    let _ = black_box(read_answers(bytes, "prediction", |sample, answer| {
        black_box((sample.context.len(), answer));
    }));
}

/// Samples and their answers, one file as both.
fn answers(bytes: &[u8]) {
    for join in [Join::Id, Join::Line] {
        let _ = black_box(read_joined(bytes, bytes, "prediction", join, |sample, answer| {
            black_box((sample.context.len(), answer));
        }));
    }
}

/// The folder that the manifests are written to, one at a time.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("bitwire-readers-{}", std::process::id()))
}

fn tinymind(bytes: &[u8]) {
    let _ = black_box(TinyMindLedger::open(folder()));
    black_box(bytes);
}

/// Puts the input where the reader of folders finds it.
pub fn prepare(name: &str, bytes: &[u8]) {
    if name == "tinymind" {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(folder().join("manifest.json"), bytes).unwrap();
    }
}

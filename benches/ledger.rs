//! A ledger of 2,000,000 tokens, written, verified and recalled, beside what it cannot do without: the hash of its bytes and
//! the syncs of the disk. `cargo bench --features simd,mmap,tinymind --bench ledger`; the JSON ledger it replaces is measured by
//! `python3 benches/tinymind_ledger.py --fsync`.
//!
//! BITWIRE_BENCH_TOKENS sets another number of tokens.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitwire::ledger::evidence::EvidenceStream;
use bitwire::ledger::{Chunk, Index, LedgerOptions, LedgerReader, LedgerWriter};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sha2::{Digest, Sha256};

fn files() -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    (folder.join("bench.ledger"), folder.join("bench.ledger.idx"))
}

/// Writes and commits the ledger; returns the time of the syncs.
fn ingest(stream: &EvidenceStream, path: &Path) -> Duration {
    let mut writer = LedgerWriter::create(path, LedgerOptions::new()).unwrap();
    for (position, token) in stream.passkeys() {
        writer.mark_passkey(position, token).unwrap();
    }
    for (name, start, len) in stream.spans() {
        writer.mark_span(name, start, len).unwrap();
    }
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    while at < stream.tokens() {
        let there = stream.fill(at, &mut buffer);
        writer.extend_from_slice(&buffer[..there]).unwrap();
        at += there as u64;
    }
    writer.commit().unwrap();
    writer.sync_time()
}

fn remove() {
    let (ledger, index) = files();
    let _ = std::fs::remove_file(ledger);
    let _ = std::fs::remove_file(index);
}

fn ledger(c: &mut Criterion) {
    let tokens = std::env::var("BITWIRE_BENCH_TOKENS").map_or(2_000_000, |text| text.parse().unwrap());
    let stream = EvidenceStream::new(tokens).unwrap();
    let (path, index_path) = files();

    let mut group = c.benchmark_group("ledger");
    group.sample_size(10).throughput(Throughput::Elements(tokens));
    group.bench_function("ingest and commit, without the syncs", |b| {
        b.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                remove();
                let started = Instant::now();
                let syncs = ingest(&stream, &path);
                time += started.elapsed() - syncs;
            }
            time
        });
    });
    group.bench_function("ingest, commit, open and verify, syncs included", |b| {
        b.iter_custom(|rounds| {
            let mut time = Duration::ZERO;
            for _ in 0..rounds {
                remove();
                let started = Instant::now();
                ingest(&stream, &path);
                LedgerReader::map(&path).unwrap().verify(|_| ()).unwrap();
                time += started.elapsed();
            }
            time
        });
    });

    let bytes = std::fs::read(&path).unwrap();
    let index_bytes = std::fs::read(&index_path).unwrap();
    println!("{} bytes, {} per token", bytes.len(), bytes.len() as f64 / tokens as f64);
    println!("index: {} bytes, {} per token", index_bytes.len(), index_bytes.len() as f64 / tokens as f64);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("SHA-256 of the same bytes, one stream", |b| {
        b.iter(|| Sha256::digest(black_box(&bytes)));
    });
    let reader = LedgerReader::map(&path).unwrap();
    for threads in [1, 2] {
        group.bench_function(format!("verify, threads: {threads}"), |b| {
            b.iter(|| reader.verify_on(threads, |_| ()).unwrap());
        });
    }
    group.bench_function("open a map with its index", |b| b.iter(|| LedgerReader::map(&path).unwrap()));

    group.throughput(Throughput::Elements(1));
    // Positions as they come, so that every one is another chunk.
    let mut position = 1u64;
    let mut next = || {
        position = position.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(position) * u128::from(tokens)) >> 64) as u64
    };
    group.bench_function("recall a random position, map, chunks checked", |b| {
        b.iter(|| reader.recall(black_box(next())).unwrap());
    });
    let file = LedgerReader::open(&path).unwrap();
    group.bench_function("recall a random position, file, chunk read and checked each time", |b| {
        b.iter(|| file.recall(black_box(next())).unwrap());
    });
    let index = Index::parse_exact(&index_bytes).unwrap();
    group.bench_function("find the chunk of a random position by the index alone, two chunks checked", |b| {
        b.iter(|| index.find(&bytes, black_box(next())).unwrap().0);
    });

    let (_, chunk): (u64, Chunk<'_>) = index.find(&bytes, tokens / 2).unwrap();
    let mut out = vec![0; chunk.len() as usize];
    group.throughput(Throughput::Elements(u64::from(chunk.len())));
    group.bench_function("decode a chunk", |b| b.iter(|| chunk.decode_into(0, black_box(&mut out)).unwrap()));
    group.finish();
    remove();
}

criterion_group!(benches, ledger);
criterion_main!(benches);

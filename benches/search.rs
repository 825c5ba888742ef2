//! Searches beside a plain read of the same bytes: `cargo bench --features simd --bench search`. Beside FAISS:
//! `python3 benches/search_faiss.py`.

#[path = "common/read.rs"]
mod read;

use std::hint::black_box;

use bitwire::beacon::mu16::Step;
use bitwire::engram::index::{Hit, Metric, Query, Search, TopK, VectorType, Vectors, encode_row};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use read::read_both;

const K: usize = 10;

fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// Bytes and scales of random vectors.
fn stored(kind: VectorType, rows: usize, dim: usize) -> (Vec<u8>, Vec<u8>) {
    let row_len = kind.row_len(dim as u32) as usize;
    let (mut bytes, mut scales, mut seed) = (vec![0; rows * row_len], Vec::new(), 1);
    let mut row = vec![0.0; dim];
    for to in bytes.chunks_mut(row_len) {
        row.fill_with(|| noise(&mut seed));
        let encoded = encode_row(kind, &row, to).unwrap();
        if kind == VectorType::I8 {
            scales.extend(encoded.scale.to_le_bytes());
        }
    }
    (bytes, scales)
}

/// 32 queries of one vector.
fn single(c: &mut Criterion) {
    const DIM: usize = 128;
    let mut seed = 2;
    let queries: Vec<f32> = (0..32 * DIM).map(|_| noise(&mut seed)).collect();
    let step = Step::for_range(-1.0, 1.0).unwrap();
    for rows in [10_000, 1_000_000] {
        for kind in
            [VectorType::F32, VectorType::F16, VectorType::Mu16(step), VectorType::I8, VectorType::Bits]
        {
            let (bytes, scales) = stored(kind, rows, DIM);
            let vectors = Vectors::new(kind, rows as u32, DIM as u32, &bytes, &scales).unwrap();
            let mut group = c.benchmark_group(format!("search {rows} x {DIM} {kind:?}"));
            group.sample_size(if rows > 100_000 { 10 } else { 100 });
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            let (low, high) = bytes.split_at(bytes.len() / 2);
            group.bench_function("read", |b| b.iter(|| read_both(black_box(low), black_box(high))));
            for metric in [Metric::InnerProduct, Metric::Cosine] {
                let search = Search::new(vectors, 1, metric).unwrap();
                let (mut memory, mut scratch) = ([Hit::default(); K], vec![0.0; search.scratch_len(1)]);
                group.bench_function(format!("{metric:?}"), |b| {
                    b.iter(|| {
                        let mut top = TopK::new(&mut memory);
                        let query = Query::new(black_box(&queries[..DIM]));
                        search.top_k_into(query, |_| true, &mut scratch, &mut top).unwrap();
                        top.into_sorted().len()
                    })
                });
            }
            let search = Search::new(vectors, 1, Metric::InnerProduct).unwrap();
            group.throughput(Throughput::Elements(32));
            group.bench_function("batch of 32", |b| {
                b.iter(|| search.batch(black_box(&queries), K, |_| true).unwrap())
            });
            group.finish();
        }
    }
}

/// 16 vectors of 192 components to an entry, and queries of 40.
fn max_sim(c: &mut Criterion) {
    const ENTRIES: usize = 1000;
    const VECTORS: usize = 16;
    const DIM: usize = 192;
    const ASKED: usize = 40;
    let mut seed = 3;
    let query: Vec<f32> = (0..ASKED * DIM).map(|_| noise(&mut seed)).collect();
    for kind in [VectorType::Bits, VectorType::I8, VectorType::F32] {
        let (bytes, scales) = stored(kind, ENTRIES * VECTORS, DIM);
        let rows = (ENTRIES * VECTORS) as u32;
        let vectors = Vectors::new(kind, rows, DIM as u32, &bytes, &scales).unwrap();
        let search = Search::new(vectors, VECTORS as u16, Metric::MaxSim).unwrap();
        let mut group =
            c.benchmark_group(format!("MaxSim, {ENTRIES} x {VECTORS} x {DIM} {kind:?}, {ASKED} vectors"));
        group.sample_size(20);
        group.throughput(Throughput::Elements(ENTRIES as u64));
        let (mut memory, mut scratch) = ([Hit::default(); K], vec![0.0; search.scratch_len(ASKED)]);
        group.bench_function("search", |b| {
            b.iter(|| {
                let mut top = TopK::new(&mut memory);
                search.top_k_into(Query::new(black_box(&query)), |_| true, &mut scratch, &mut top).unwrap();
                top.into_sorted().len()
            })
        });
        if kind == VectorType::Bits {
            group.bench_function("search without tables", |b| {
                b.iter(|| {
                    let mut top = TopK::new(&mut memory);
                    search.top_k_into(Query::new(black_box(&query)), |_| true, &mut [], &mut top).unwrap();
                    top.into_sorted().len()
                })
            });
        }
        group.finish();
    }
}

criterion_group!(benches, max_sim, single);
criterion_main!(benches);

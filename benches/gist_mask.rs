//! Masks of gists, 4,096 x 4,096, beside a fill of as many bytes: `cargo bench --bench gist_mask`. The same
//! in NumPy: `python3 benches/gist_mask.py`.
//!
//! 4,000 tokens of context, 10 gists, 86 that follow; padding is 96 positions at the left.

use std::hint::black_box;

use bitwire::gist::mask::{GistMask, Padding, pack_padding_into};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const N: usize = 4096;

fn masks(c: &mut Criterion) {
    let plain = GistMask::from_parts(4000, 10, N - 4010).unwrap();
    let padding: Vec<u8> = (0..N).map(|at| u8::from(at >= 96)).collect();
    let mut packed = vec![0; N / 8];
    pack_padding_into(&padding, &mut packed).unwrap();
    let bytes = plain.with_padding(Padding::Bytes(&padding)).unwrap();
    let bits = plain.with_padding(Padding::Bits(&packed)).unwrap();
    let causal = GistMask::causal(N).unwrap();
    let all = [
        ("no gists, no padding", causal),
        ("gists, no padding", plain),
        ("gists, padding in bytes", bytes),
        ("gists, padding in bits", bits),
    ];

    let mut out = vec![0u8; N * N / 8];
    let mut group = c.benchmark_group("bits");
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("fill", |b| b.iter(|| black_box(&mut out).fill(black_box(0xFF))));
    for (name, mask) in all {
        group.bench_function(BenchmarkId::new("whole", name), |b| {
            b.iter(|| black_box(&mask).bits_into(0..N, black_box(&mut out)).unwrap())
        });
        group.bench_function(BenchmarkId::new("row by row into one buffer", name), |b| {
            let mut row = [0; N / 8];
            b.iter(|| {
                for i in 0..N {
                    black_box(&mask).row_bits_into(i, black_box(&mut row)).unwrap();
                }
            })
        });
    }
    group.finish();

    let mut out = vec![0u8; N * N];
    let mut group = c.benchmark_group("bytes");
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("fill", |b| b.iter(|| black_box(&mut out).fill(black_box(1))));
    for (name, mask) in all {
        group.bench_function(BenchmarkId::new("whole", name), |b| {
            b.iter(|| black_box(&mask).bytes_into(0..N, black_box(&mut out)).unwrap())
        });
    }
    group.finish();

    let mut out = vec![0f32; N * N];
    let mut group = c.benchmark_group("additive");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(4 * out.len() as u64));
    group.bench_function("fill", |b| b.iter(|| black_box(&mut out).fill(black_box(1.0))));
    for (name, mask) in all {
        group.bench_function(BenchmarkId::new("whole", name), |b| {
            b.iter(|| black_box(&mask).additive_into(0..N, f32::MIN, black_box(&mut out)).unwrap())
        });
    }
    group.finish();
}

criterion_group!(benches, masks);
criterion_main!(benches);

//! MU16 beside a copy of as many bytes, in the same run. All throughputs count bytes read plus bytes written.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should say so")]

use bitwire::beacon::mu16::{Step, dequantise_into, quantise_into};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn mu16(c: &mut Criterion) {
    let mut group = c.benchmark_group("mu16");
    // 6 bytes a value: 24 KiB (L1), 384 KiB (L2), 6 MiB (L3), 192 MiB (memory).
    for (name, count) in [("L1", 4 << 10), ("L2", 64 << 10), ("L3", 1 << 20), ("memory", 32 << 20)] {
        let mut seed = 1u64;
        // Even over +-0.24, which fills the range of step 1/65536 up to a half.
        let values: Vec<f32> = (0..count)
            .map(|_| {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((seed >> 40) as f32 / 8388608.0 - 1.0) * 0.24
            })
            .collect();
        let mut payload = vec![0; 2 * count];
        let mut back = vec![0.0; count];
        let source = vec![1u8; 3 * count];
        let mut target = vec![0u8; 3 * count];
        group.throughput(Throughput::Bytes(6 * count as u64));
        if name == "memory" {
            group.sample_size(20);
        }
        group.bench_function(BenchmarkId::new("copy", name), |b| {
            b.iter(|| black_box(&mut target).copy_from_slice(black_box(&source)));
        });
        for (label, scale, delta) in
            [("step 1", 1.0, 1), ("step 1000", 1000.0, 1000), ("step 2^24+1", 1.6e7, (1 << 24) + 1)]
        {
            let values: Vec<f32> = values.iter().map(|x| x * scale).collect();
            let step = Step::new(delta).unwrap();
            group.bench_function(BenchmarkId::new(format!("quantise {label}"), name), |b| {
                b.iter(|| quantise_into(black_box(&values), 128, step, black_box(&mut payload)).unwrap());
            });
            group.bench_function(BenchmarkId::new(format!("dequantise {label}"), name), |b| {
                b.iter(|| dequantise_into(black_box(&payload), step, black_box(&mut back)).unwrap());
            });
        }
        // Reads only.
        group.throughput(Throughput::Bytes(4 * count as u64));
        group.bench_function(BenchmarkId::new("auto step", name), |b| {
            b.iter(|| Step::auto(black_box(&values), 128).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, mu16);
criterion_main!(benches);

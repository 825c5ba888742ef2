//! MU16 beside a copy of as many bytes, in the same run. All throughputs count bytes read plus bytes written.
//!
//! With `--table`, all operations by turns in one loop, a few dozen microseconds each, and medians of 400 rounds: what
//! else the machine does then meets all alike. A copy's speed depends on where the
//! allocator puts its buffers (`copy` and `copy 2` are two such pairs); ratios are to the faster.

use bitwire::beacon::mu16::{Step, dequantise_into, quantise_into};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::{hint::black_box, time::Instant};

/// Even over +-0.24, which fills the range of step 1/65536 up to a half.
fn noise(count: usize) -> Vec<f32> {
    let mut seed = 1u64;
    let next = |_| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((seed >> 40) as f32 / 8388608.0 - 1.0) * 0.24
    };
    (0..count).map(next).collect()
}

fn mu16(c: &mut Criterion) {
    let mut group = c.benchmark_group("mu16");
    // 6 bytes a value: 24 KiB (L1), 384 KiB (L2), 6 MiB (L3), 192 MiB (memory).
    for (name, count) in [("L1", 4 << 10), ("L2", 64 << 10), ("L3", 1 << 20), ("memory", 32 << 20)] {
        let values = noise(count);
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

fn table() {
    const ROUNDS: usize = 400;
    for kib in [24, 192, 384, 768, 6 << 10] {
        let count = kib * 1024 / 6;
        let bytes = 6.0 * count as f64;
        let mut operations: Vec<(String, Box<dyn FnMut()>)> = Vec::new();
        for label in ["copy", "copy 2"] {
            // 3,000 bytes further on: the other speed, mostly.
            let shift = if label == "copy" { 0 } else { 3000 };
            let (source, mut target) = (vec![1u8; 3 * count], vec![0u8; 3 * count + shift]);
            let copy = move || black_box(&mut target[shift..]).copy_from_slice(black_box(&source));
            operations.push((label.into(), Box::new(copy)));
        }
        let ties =
            |delta: u32| move |x: f32| ((f64::from(x) * 1e5).floor() + 0.5) as f32 * (delta as f32 / 65536.0);
        for (label, scale, delta) in [("1", 1.0, 1), ("1000", 1000.0, 1000), ("2^24+1", 1.6e7, (1 << 24) + 1)]
        {
            let step = Step::new(delta).unwrap();
            let values: Vec<f32> = noise(count).iter().map(|x| x * scale).collect();
            let mut all = vec![(format!("quantise {label}"), values)];
            if delta == 1000 {
                // Up to +-131, so that the ties are values of f32.
                all.push((
                    format!("quantise {label}, ties only"),
                    noise(count).into_iter().map(ties(delta)).collect(),
                ));
            }
            for (label, values) in all {
                let mut payload = vec![0; 2 * count];
                let run = move || {
                    quantise_into(black_box(&values), 128, step, black_box(&mut payload)).unwrap();
                };
                operations.push((label, Box::new(run)));
            }
            let (payload, mut back) = (vec![0x5A; 2 * count], vec![0.0; count]);
            let run = move || dequantise_into(black_box(&payload), step, black_box(&mut back)).unwrap();
            operations.push((format!("dequantise {label}"), Box::new(run)));
        }
        let repeats = (1 << 19) / count + 1;
        let mut times = vec![Vec::with_capacity(ROUNDS); operations.len()];
        for _ in 0..ROUNDS {
            for ((_, run), times) in operations.iter_mut().zip(&mut times) {
                run();
                let start = Instant::now();
                (0..repeats).for_each(|_| run());
                times.push(start.elapsed().as_secs_f64() / repeats as f64);
            }
        }
        let medians: Vec<f64> = times
            .iter_mut()
            .map(|times| {
                times.sort_by(f64::total_cmp);
                times[ROUNDS / 2]
            })
            .collect();
        let copy = medians[0].min(medians[1]);
        println!("{kib} KiB read and written");
        for ((label, _), median) in operations.iter().zip(&medians) {
            println!("  {label:24} {:7.1} GB/s  {:.2}", bytes / median / 1e9, copy / median);
        }
    }
}

criterion_group!(benches, mu16);

fn main() {
    if std::env::args().any(|argument| argument == "--table") {
        return table();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

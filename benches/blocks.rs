//! Kernels of blocks, beside a read of both inputs and a copy, in the same run.
//!
//! `cargo bench --features fuzzing,simd --bench blocks`. Throughputs count bytes read plus bytes written. Every tenth block
//! differs, by more than the limit. With `--table`, all by turns in one loop and medians: what else the machine does
//! then meets all alike.

use bitwire::beacon::mu16::dot;
use bitwire::fuzzing::blocks::{
    add, add_mu16, beyond, beyond_i16, max_distance, squared_norm, subtract, unequal,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use fearless_simd::{Level, dispatch, prelude::*, u8x64, u64x8};
use half::{bf16, f16};
use std::{hint::black_box, time::Instant};

/// Reads both, with the widest vectors there are.
#[inline(always)]
fn sum<S: Simd>(simd: S, a: &[u8], b: &[u8]) -> [u64; 8] {
    let mut sums = [u64x8::splat(simd, 0); 8];
    for (a, b) in a.as_chunks::<256>().0.iter().zip(b.as_chunks::<256>().0) {
        for (k, bytes) in a.as_chunks::<64>().0.iter().chain(b.as_chunks::<64>().0).enumerate() {
            let x: u64x8<S> = u8x64::load_array_ref(simd, bytes).bitcast();
            sums[k] += x;
        }
    }
    sums.into_iter().fold(u64x8::splat(simd, 0), |all, x| all + x).into()
}

/// All blocks, 64 at a time.
fn in_groups(master: &[u8], agent: &[u8], block_len: usize, kernel: impl Fn(&[u8], &[u8]) -> u64) -> u64 {
    let groups = master.chunks(64 * block_len).zip(agent.chunks(64 * block_len));
    groups.fold(0, |set, (m, a)| set ^ kernel(m, a))
}

/// What to time: a name, bytes read and written, and the operation.
type Operation = (String, usize, Box<dyn FnMut()>);

fn operations(rows: usize, dim: usize) -> Vec<Operation> {
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 40) as f32 / 8388608.0 - 1.0
    };
    let master: Vec<f32> = (0..rows * dim).map(|_| next()).collect();
    let changed = |i: usize| i / dim % 10 == 3;
    let agent: Vec<f32> =
        master.iter().enumerate().map(|(i, x)| if changed(i) { x + next() } else { *x }).collect();
    let mut all: Vec<Operation> = Vec::new();
    for element in ["f32", "f16", "bf16"] {
        let bytes = |x: &f32| match element {
            "f32" => x.to_le_bytes().to_vec(),
            "f16" => f16::from_f32(*x).to_le_bytes().to_vec(),
            _ => bf16::from_f32(*x).to_le_bytes().to_vec(),
        };
        // Leaked: the operations outlive this function, and the process does not live long.
        let m: &'static [u8] = master.iter().flat_map(bytes).collect::<Vec<u8>>().leak();
        let a: &'static [u8] = agent.iter().flat_map(bytes).collect::<Vec<u8>>().leak();
        let q = if element == "f32" { &a[..a.len() / 2] } else { a };
        let (len, block_len, level) = (m.len(), m.len() / rows, Level::new());
        let mut push = |name: &str, bytes: usize, run: Box<dyn FnMut()>| {
            all.push((format!("{name} {element}"), bytes, run));
        };
        let out = || vec![0u8; len];
        push(
            "read",
            2 * len,
            Box::new(move || {
                black_box(dispatch!(level, simd => sum(simd, black_box(m), black_box(a))));
            }),
        );
        let mut to = out();
        push("copy", 2 * len, Box::new(move || black_box(&mut to).copy_from_slice(black_box(m))));
        push(
            "unequal",
            2 * len,
            Box::new(move || {
                black_box(in_groups(m, a, block_len, |m, a| unequal(m, a, block_len)));
            }),
        );
        push(
            "beyond",
            2 * len,
            Box::new(move || {
                black_box(in_groups(m, a, block_len, |m, a| beyond(element, m, a, block_len, 0.1)));
            }),
        );
        push(
            "squared_norm",
            2 * len,
            Box::new(move || {
                let blocks = m.chunks(block_len).zip(a.chunks(block_len));
                black_box(blocks.map(|(m, a)| squared_norm(element, m, a)).fold(0.0, f64::max));
            }),
        );
        let mut to = out();
        push("subtract", 3 * len, Box::new(move || subtract(element, black_box(a), black_box(m), &mut to)));
        let mut to = out();
        push("add", 3 * len, Box::new(move || add(element, black_box(m), black_box(a), &mut to)));
        let mut to = out();
        push(
            "add_mu16",
            2 * len + q.len(),
            Box::new(move || {
                add_mu16(element, black_box(m), black_box(q), 1000, &mut to);
            }),
        );
        push(
            "max_distance",
            2 * len,
            Box::new(move || {
                black_box(max_distance(element, black_box(m), black_box(a)));
            }),
        );
        if element == "f16" {
            all.push((
                "beyond i16".into(),
                2 * len,
                Box::new(move || {
                    black_box(in_groups(m, a, block_len, |m, a| beyond_i16(m, a, block_len, 1000)));
                }),
            ));
            all.push((
                "dot i16".into(),
                2 * len,
                Box::new(move || {
                    black_box(dot(black_box(m), black_box(a)).unwrap());
                }),
            ));
        }
    }
    all
}

fn blocks(c: &mut Criterion) {
    for (name, rows, dim) in [("200 x 128", 200, 128), ("4096 x 4096", 4096, 4096), ("25,600 x 1", 25_600, 1)]
    {
        let mut group = c.benchmark_group(name);
        if rows * dim > 1 << 20 {
            group.sample_size(10);
        }
        for (label, bytes, mut run) in operations(rows, dim) {
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::from_parameter(label), |b| b.iter(&mut run));
        }
        group.finish();
    }
}

fn table() {
    for (rows, dim) in [(200, 128), (4096, 4096), (256, 100), (3200, 8), (25_600, 1)] {
        let mut operations = operations(rows, dim);
        let (rounds, repeats) = if rows * dim > 1 << 20 { (9, 1) } else { (200, 8) };
        let mut times = vec![Vec::with_capacity(rounds); operations.len()];
        for _ in 0..rounds {
            for ((_, _, run), times) in operations.iter_mut().zip(&mut times) {
                run();
                let start = Instant::now();
                (0..repeats).for_each(|_| run());
                times.push(start.elapsed().as_secs_f64() / repeats as f64);
            }
        }
        println!("{rows} x {dim}");
        for ((label, bytes, _), times) in operations.iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            println!("  {label:20} {:7.1} GB/s {:10.2} us", *bytes as f64 / median / 1e9, median * 1e6);
        }
    }
}

criterion_group!(benches, blocks);

fn main() {
    if std::env::args().any(|argument| argument == "--table") {
        return table();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

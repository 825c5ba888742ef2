//! A master and its mirrors, each beside what the memory allows: `cargo bench --features simd --bench mirror`. Beside NumPy:
//! `python3 benches/mirror_numpy.py`.

#[path = "common/read.rs"]
mod read;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bitwire::frame::ContextHash;
use bitwire::mirror::{Blocks, DiffOptions, Master, MasterMirror, Mode, Placement, Scalar, Shape};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use read::read_both;

fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

/// A master, and an agent in which every fiftieth block differs.
fn pair(rows: usize, dim: usize) -> (Vec<u8>, Vec<u8>) {
    let mut seed = 1;
    let master: Vec<f32> = (0..rows * dim).map(|_| noise(&mut seed)).collect();
    let mut agent = master.clone();
    for block in agent.chunks_mut(dim).skip(7).step_by(50) {
        block.iter_mut().for_each(|x| *x += noise(&mut seed));
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect();
    (bytes(&master), bytes(&agent))
}

fn arrays(c: &mut Criterion) {
    for (rows, dim) in [(200, 128), (4096, 4096)] {
        let (master, agent) = pair(rows, dim);
        let shape = Shape::new(Scalar::F32, rows as u32, dim as u32).unwrap();
        let [master, agent] = [&master, &agent].map(|bytes| Blocks::new(shape, bytes).unwrap());
        let mut group = c.benchmark_group(format!("mirror {rows} x {dim} f32"));
        group.sample_size(if rows > 1000 { 20 } else { 100 });
        group.throughput(Throughput::Bytes(2 * shape.len() as u64));
        group.bench_function("read both arrays", |b| {
            b.iter(|| read_both(black_box(master.as_bytes()), black_box(agent.as_bytes())))
        });
        let mut out = vec![0; shape.len()];
        for (name, mode, threshold) in [
            ("replace, threshold 1e-4", Mode::Replace, 1e-4),
            ("replace, threshold 0", Mode::Replace, 0.0),
            ("add, threshold 1e-4", Mode::Add, 1e-4),
        ] {
            let mut store = MasterMirror::new(DiffOptions { mode, threshold });
            store.register_master("master", &master).unwrap();
            group.bench_function(format!("register_mirror, {name}"), |b| {
                b.iter(|| store.register_mirror("agent", black_box(&agent)).unwrap())
            });
            if threshold == 0.0 {
                group.bench_function("copy", |b| {
                    b.iter(|| black_box(&mut out).copy_from_slice(black_box(master.as_bytes())))
                });
            }
            group.bench_function(format!("reconstruct_into, {name}"), |b| {
                b.iter(|| store.reconstruct_into("agent", black_box(&mut out)).unwrap())
            });
        }
        group.throughput(Throughput::Bytes(shape.len() as u64));
        group.bench_function("build a Master (its SHA-256)", |b| {
            b.iter(|| *Master::new(black_box(master), ContextHash([0; 8])).digest())
        });
        group.finish();
    }
}

/// Twelve agents adopt 16 blocks, whatever the master holds already.
fn steps(c: &mut Criterion) {
    const DIM: u32 = 128;
    let agents: Vec<String> = (0..12).map(|i| format!("agent {i}")).collect();
    let names: Vec<&str> = agents.iter().map(String::as_str).collect();
    let mut group = c.benchmark_group("collective step, 12 agents, 16 blocks of 128 f32");
    let (shared, _) = pair(16, DIM as usize);
    let shared = Blocks::new(Shape::new(Scalar::F32, 16, DIM).unwrap(), &shared).unwrap();
    for held in [200usize, 2_000, 20_000, 200_000] {
        let (master, agent) = pair(held, DIM as usize);
        let shape = Shape::new(Scalar::F32, held as u32, DIM).unwrap();
        let [master, agent] = [&master, &agent].map(|bytes| Blocks::new(shape, bytes).unwrap());
        let mut store = MasterMirror::new(DiffOptions::default());
        store.register_master("master", &master).unwrap();
        for name in &names {
            store.register_mirror(name, &agent).unwrap();
        }
        // The first step moves the master to where it can grow.
        store.collective_reuse_step(&shared, &names, Placement::AtEnd).unwrap();
        group.bench_function(format!("{held} blocks held"), |b| {
            b.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                let mut left = rounds;
                while left > 0 {
                    // Not so many that what is held grows by much.
                    let mut store = store.clone();
                    store.collective_reuse_step(&shared, &names, Placement::AtEnd).unwrap();
                    let steps = left.min(held as u64 / 64);
                    let started = Instant::now();
                    for _ in 0..steps {
                        store.collective_reuse_step(&shared, &names, Placement::AtEnd).unwrap();
                    }
                    time += started.elapsed();
                    left -= steps;
                }
                time
            })
        });
    }
    let hash = |b: &mut criterion::Bencher<'_>| {
        b.iter_batched(
            || shared,
            |shared| *Master::new(black_box(shared), ContextHash([0; 8])).digest(),
            BatchSize::SmallInput,
        )
    };
    group.bench_function("SHA-256 of the 16 blocks alone", hash);
    group.finish();
}

criterion_group!(benches, arrays, steps);
criterion_main!(benches);

//! Packing and unpacking of tokens beside a copy of as many u32, in the same run, and single tokens at random.
//!
//! With `--table`, all operations by turns in one loop, a few dozen microseconds each, and medians of 400 rounds: what
//! else the machine does then meets all alike.

use bitwire::ledger::pack::{bit_width, pack_into, packed_len, token_at, unpack_into};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use std::{hint::black_box, time::Instant};

/// One chunk: 32 KiB as u32.
const TOKENS: usize = 8192;

fn noise(count: usize, bits: u8) -> Vec<u32> {
    let mut seed = 1u64;
    let next = |_| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 32) as u32 >> (32 - bits)
    };
    (0..count).map(next).collect()
}

/// What is measured: a name, the tokens it handles, and how to.
type Operation = (String, usize, Box<dyn FnMut()>);

fn operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = Vec::new();
    let (source, mut target) = (noise(TOKENS, 32), vec![0; TOKENS]);
    let copy = move || black_box(&mut target).copy_from_slice(black_box(&source));
    all.push(("copy u32".into(), TOKENS, Box::new(copy)));

    for bits in [4, 8, 12, 15, 16, 17, 18, 20, 25, 27, 31, 32] {
        let tokens = noise(TOKENS, bits);
        let mut packed = vec![0; packed_len(TOKENS as u64, bits).unwrap() as usize];
        pack_into(&tokens, bits, &mut packed).unwrap();
        let (bytes, mut back) = (packed.clone(), vec![0; TOKENS]);
        let run = move || unpack_into(black_box(&bytes), bits, 0, black_box(&mut back)).unwrap();
        all.push((format!("unpack {bits}"), TOKENS, Box::new(run)));
        let run = move || {
            pack_into(black_box(&tokens), bits, black_box(&mut packed)).unwrap();
        };
        all.push((format!("pack {bits}"), TOKENS, Box::new(run)));
    }

    let tokens = noise(TOKENS, 15);
    let mut packed = vec![0; packed_len(TOKENS as u64, 15).unwrap() as usize];
    pack_into(&tokens, 15, &mut packed).unwrap();
    // What a reader asks for: a stretch from anywhere.
    let (bytes, mut back) = (packed.clone(), vec![0; 64]);
    let run = move || unpack_into(black_box(&bytes), 15, black_box(1003), black_box(&mut back)).unwrap();
    all.push(("unpack 15, 64 from 1003".into(), 64, Box::new(run)));

    let run = move || {
        black_box(bit_width(black_box(&tokens)));
    };
    all.push(("bit width".into(), TOKENS, Box::new(run)));

    // Each of them independent of the one before, and then each a place that the one before names.
    let places: Vec<u32> = noise(TOKENS, 13);
    let bytes = packed.clone();
    let run = move || {
        let bytes = black_box(bytes.as_slice());
        let sum =
            |sum: u32, &place: &u32| sum.wrapping_add(token_at(bytes, 15, place.into()).unwrap_or_default());
        black_box(places.iter().fold(0, sum));
    };
    all.push(("token_at 15".into(), TOKENS, Box::new(run)));
    let run = move || {
        let bytes = black_box(packed.as_slice());
        let next =
            |token: u32, i| token_at(bytes, 15, u64::from(token ^ i) % TOKENS as u64).unwrap_or_default();
        black_box((0..TOKENS as u32).fold(0, next));
    };
    all.push(("token_at 15, dependent".into(), TOKENS, Box::new(run)));
    all
}

fn pack(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger_pack");
    for (name, tokens, mut run) in operations() {
        group.throughput(Throughput::Elements(tokens as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| b.iter(&mut run));
    }
    group.finish();
}

fn table() {
    const ROUNDS: usize = 400;
    let mut operations = operations();
    let mut times = vec![Vec::with_capacity(ROUNDS); operations.len()];
    for _ in 0..ROUNDS {
        for ((_, tokens, run), times) in operations.iter_mut().zip(&mut times) {
            let repeats = (1 << 17) / *tokens;
            run();
            let start = Instant::now();
            (0..repeats).for_each(|_| run());
            times.push(start.elapsed().as_secs_f64() / (repeats * *tokens) as f64);
        }
    }
    println!("{:26} {:>9} {:>9}", "", "Gtokens/s", "ns each");
    for ((name, ..), mut times) in operations.into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        println!("{name:26} {:9.2} {:9.3}", 1e-9 / median, 1e9 * median);
    }
}

criterion_group!(benches, pack);

fn main() {
    if std::env::args().any(|argument| argument == "--table") {
        return table();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

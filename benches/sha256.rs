//! SHA-256 of a batch of messages, beside `sha2` one by one.
//!
//! `cargo bench --features fuzzing,simd --bench sha256`. Both by turns in one loop, and medians of 200 rounds: what else
//! the machine does then meets both alike. GB/s count message bytes; the last column is the ratio.

use bitwire::fuzzing::sha256_many;
use sha2::{Digest, Sha256};
use std::{hint::black_box, time::Instant};

const ROUNDS: usize = 200;

fn one_by_one(messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) {
    for (message, out) in messages.iter().zip(out) {
        let mut hash = Sha256::new();
        message.iter().for_each(|part| hash.update(part));
        *out = hash.finalize().into();
    }
}

/// Times both for messages of these lengths, each after 131 bytes of header.
fn compare(name: &str, lens: &[usize]) {
    let data: Vec<Vec<u8>> =
        lens.iter().map(|&len| (0..131 + len).map(|i| (i * 31 % 251) as u8).collect()).collect();
    let messages: Vec<[&[u8]; 2]> =
        data.iter().map(|bytes| <[&[u8]; 2]>::from(bytes.split_at(131))).collect();
    let bytes: usize = data.iter().map(Vec::len).sum();
    let (mut batch, mut single) = (vec![[0; 32]; lens.len()], vec![[1; 32]; lens.len()]);
    // Some 50 microseconds a turn.
    let repeats = 100_000 / bytes + 1;
    let mut times = [vec![], vec![]];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..repeats).for_each(|_| sha256_many(black_box(&messages), black_box(&mut batch)));
        let middle = Instant::now();
        (0..repeats).for_each(|_| one_by_one(black_box(&messages), black_box(&mut single)));
        times[0].push(middle.duration_since(start).as_secs_f64());
        times[1].push(middle.elapsed().as_secs_f64());
    }
    assert_eq!(batch, single);
    let [batch, single] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        (repeats * bytes) as f64 / times[ROUNDS / 2] / 1e9
    });
    println!("{name:32} {batch:6.2} GB/s  sha2 {single:6.2} GB/s  {:5.2}", batch / single);
}

fn main() {
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 20, 24, 32, 100, 1000] {
        compare(&format!("{count} of 15,360"), &vec![15_360; count]);
    }
    for len in [100, 1000, 4096, 65_536] {
        compare(&format!("16 of {len}"), &[len; 16]);
    }
    let mixed: Vec<usize> = (0..64).map(|i| 10_000 + i * 7919 % 10_000).collect();
    compare("64 of 10,000 to 20,000", &mixed);
    let long: Vec<usize> = (0..64).map(|i| if i == 40 { 200_000 } else { 15_360 }).collect();
    compare("63 of 15,360, one of 200,000", &long);
}

//! Approximate beside exact search, on clustered vectors of 128 components: time to build, time of a query, recall@10.
//!
//! `cargo bench --features ann,simd --bench approximate -- [ENTRIES] [THREADS]`, 100,000 and 2 if not said. Under `cargo test` it
//! does nothing.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use bitwire::engram::index::{Hit, Hnsw, HnswOptions, Metric, Query, Search, VectorType, Vectors};

const DIM: usize = 128;
const QUERIES: usize = 200;

/// splitmix64, and sums of four of its values: near enough to a normal distribution.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / 16_777_216.0 - 0.5).sum::<f32>() * 1.732
    }

    /// A vector around a centre, and from 0.6 to 1.7 times as long.
    fn vector(&mut self, centres: &[f32]) -> Vec<f32> {
        let centre = self.next() as usize % (centres.len() / DIM) * DIM;
        let length = (self.normal() * 0.25).clamp(-0.5, 0.5).exp();
        centres[centre..][..DIM].iter().map(|x| (x + 0.5 * self.normal()) * length).collect()
    }
}

/// Each one's median time in microseconds, and the answers.
fn timed(queries: &[f32], mut answer: impl FnMut(Query<'_>) -> Vec<Hit>) -> (f64, Vec<Vec<Hit>>) {
    let mut times = Vec::new();
    let mut answers = Vec::new();
    for query in queries.chunks(DIM) {
        let started = Instant::now();
        answers.push(black_box(answer(black_box(Query::new(query)))));
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], answers)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<usize>().ok());
    let entries = numbers.next().unwrap_or(100_000);
    let threads = numbers.next().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN.saturating_add(1));

    let mut random = Random(1);
    let centres: Vec<f32> = (0..(entries / 100).max(1) * DIM).map(|_| random.normal()).collect();
    let bytes: Vec<u8> =
        (0..entries).flat_map(|_| random.vector(&centres)).flat_map(f32::to_le_bytes).collect();
    let queries: Vec<f32> = (0..QUERIES).flat_map(|_| random.vector(&centres)).collect();
    let vectors = Vectors::new(VectorType::F32, entries as u32, DIM as u32, &bytes, &[]).expect("vectors");
    let search = Search::new(vectors, 1, Metric::InnerProduct).expect("a search");

    let started = Instant::now();
    let options = HnswOptions { threads, ..HnswOptions::default() };
    let graph = Hnsw::build(search, options).expect("a graph");
    println!("{entries} x {DIM}, built by {threads} threads in {:.1} s", started.elapsed().as_secs_f64());
    let (exact, truth) = timed(&queries, |query| search.top_k(query, 10, |_| true).expect("hits"));
    println!("exact: {exact:.0} us");
    for candidates in [64, 128, Hnsw::CANDIDATES, 512, 1024] {
        let (time, answers) =
            timed(&queries, |query| graph.top_k(query, 10, candidates, |_| true).expect("hits"));
        let found: usize = answers
            .iter()
            .zip(&truth)
            .map(|(hits, truth)| hits.iter().filter(|hit| truth.contains(hit)).count())
            .sum();
        let recall = found as f64 / (10 * QUERIES) as f64;
        println!("{candidates} candidates: {time:.0} us, recall@10 {recall:.4}");
    }
}

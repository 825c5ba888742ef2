//! Measures state blobs (32 layers, 8 heads x 128, f16) for benches/engram_python.py: `engram_once BLOB TIMES` prints one line of
//! JSON, medians in microseconds. Without a blob (as under `cargo test --benches`) it does nothing.

#[path = "common/median.rs"]
mod median;

use std::hint::black_box;

use bitwire::engram::KeySource;
use bitwire::engram::fingerprint::{LayerRange, SvdOptions, mean_pool, svd_project};
use bitwire::engram::index::{Metric, Query, Search, VectorType, Vectors};
use bitwire::engram::state::{State, StreamKeys};
use median::median;

const HEAD_DIM: u32 = 128;
/// Vectors of the index that is searched.
const VECTORS: u32 = 1000;

fn keys(blob: &[u8]) -> StreamKeys<'_> {
    let state = State::parse(black_box(blob)).expect("a state blob");
    let stream = state.caches().next().and_then(|cache| cache.streams().next()).expect("a stream");
    StreamKeys::new(&stream, HEAD_DIM).expect("keys")
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [blob, times] = arguments.as_slice() else { return };
    let times: usize = times.parse().expect("times");
    let blob = std::fs::read(blob).expect("a blob");

    let layers = LayerRange::Between { start: 8, end: 24 };
    let svd = SvdOptions { layers, rank: 160, ..SvdOptions::default() };
    let components: Vec<f32> = (0..VECTORS * HEAD_DIM).map(|i| (i as f32 * 0.618).sin()).collect();
    let bytes: Vec<u8> = components.iter().flat_map(|x| x.to_le_bytes()).collect();
    let vectors = Vectors::new(VectorType::F32, VECTORS, HEAD_DIM, &bytes, &[]).expect("vectors");
    let search = Search::new(vectors, 1, Metric::InnerProduct).expect("an index");
    let find = |query: &[f32]| search.top_k(Query::new(query), 5, |_| true).expect("hits");

    let state = find(&svd_project(&keys(&blob), &svd).expect("a fingerprint").vector);
    assert_eq!(state.len(), 5);
    let results = [
        ("parse", median(times.max(101), || drop(black_box(State::parse(black_box(&blob)))))),
        (
            "parse and walk all tensors",
            median(times.max(101), || {
                let state = State::parse(black_box(&blob)).expect("a blob");
                let bytes: u64 = state
                    .caches()
                    .flat_map(|cache| cache.streams())
                    .flat_map(|stream| stream.keys().chain(stream.values()))
                    .map(|tensor| tensor.as_bytes().map_or(0, <[u8]>::len) as u64)
                    .sum();
                assert!(bytes < blob.len() as u64);
            }),
        ),
        (
            "EGR, svd_project",
            median(times, || {
                drop(black_box(find(&svd_project(&keys(&blob), &svd).expect("a fingerprint").vector)))
            }),
        ),
        (
            "EGR, mean_pool",
            median(times, || drop(black_box(find(&mean_pool(&keys(&blob), layers).expect("a fingerprint"))))),
        ),
        ("search", median(times, || drop(black_box(find(&components[..128]))))),
    ];
    let members: Vec<_> = results.iter().map(|(name, us)| format!("\"{name}\": {us:.3}")).collect();
    println!("{{{}, \"tokens\": {}}}", members.join(", "), keys(&blob).shape().tokens);
}

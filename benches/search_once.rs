//! Measures searches for benches/search_faiss.py: `search_once VECTORS QUERIES K TIMES`, two .npy arrays (`<f4`, C order) of rows
//! of the same length. Prints one line of JSON: medians in microseconds for one query, and the entries found with f32. Without
//! files (as under `cargo test --benches`) it does nothing.

#[path = "common/median.rs"]
mod median;
#[path = "common/read.rs"]
mod read;

use std::hint::black_box;

use bitwire::beacon::mu16::Step;
use bitwire::engram::index::{Hit, Metric, Query, Search, TopK, VectorType, Vectors, encode_row};
use bitwire::io::npy::NpyBlocks;
use bitwire::mirror::BlockSource;
use median::median;
use read::read_both;

/// A .npy array as (values, rows).
fn array(path: &str) -> (Vec<f32>, usize) {
    let file = NpyBlocks::open(path, None).expect("a .npy array");
    let blocks = file.borrowed().expect("f32 in C order");
    let values = blocks.as_bytes().as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    (values, file.shape().rows() as usize)
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [vectors, queries, k, times] = arguments.as_slice() else { return };
    let (k, times): (usize, usize) = (k.parse().expect("k"), times.parse().expect("times"));
    let ((values, rows), (queries, count)) = (array(vectors), array(queries));
    let dim = values.len() / rows;
    let mut results: Vec<(String, f64)> = Vec::new();
    let mut found: Vec<Vec<Hit>> = Vec::new();
    let step = Step::auto(&values, dim).expect("a step");
    for kind in [VectorType::F32, VectorType::F16, VectorType::Mu16(step), VectorType::I8, VectorType::Bits] {
        let name = format!("{kind:?}");
        let name = name.split('(').next().unwrap_or_default();
        let row_len = kind.row_len(dim as u32) as usize;
        let (mut bytes, mut scales) = (vec![0; rows * row_len], Vec::new());
        for (row, to) in values.chunks(dim).zip(bytes.chunks_mut(row_len)) {
            let encoded = encode_row(kind, row, to).expect("a row");
            if kind == VectorType::I8 {
                scales.extend(encoded.scale.to_le_bytes());
            }
        }
        let vectors = Vectors::new(kind, rows as u32, dim as u32, &bytes, &scales).expect("vectors");
        let (low, high) = bytes.split_at(bytes.len() / 2);
        results.push((
            format!("{name} read"),
            median(times, || {
                black_box(read_both(black_box(low), black_box(high)));
            }),
        ));
        for (metric, label) in [(Metric::InnerProduct, ""), (Metric::Cosine, " cosine")] {
            let search = Search::new(vectors, 1, metric).expect("a search");
            let mut memory = vec![Hit::default(); k];
            let mut scratch = vec![0.0; search.scratch_len(1)];
            let mut next = 0;
            results.push((
                format!("{name}{label}"),
                median(times, || {
                    let query = Query::new(&queries[next * dim..][..dim]);
                    next = (next + 1) % count;
                    let mut top = TopK::new(&mut memory);
                    search.top_k_into(black_box(query), |_| true, &mut scratch, &mut top).expect("a query");
                    black_box(top.into_sorted());
                }),
            ));
        }
        let search = Search::new(vectors, 1, Metric::InnerProduct).expect("a search");
        let batched = median(times.div_ceil(8), || {
            black_box(search.batch(black_box(&queries), k, |_| true).expect("queries"));
        });
        results.push((format!("{name} batch of {count}, each"), batched / count as f64));
        if kind == VectorType::F32 {
            found = search.batch(&queries, k, |_| true).expect("queries");
            results.push((
                "F32, 2 threads".into(),
                median(times, || {
                    let query = Query::new(&queries[..dim]);
                    black_box(search.top_k_parallel(black_box(query), k, |_| true, 2).expect("a query"));
                }),
            ));
        }
    }
    let found: Vec<Vec<u32>> = found.iter().map(|hits| hits.iter().map(|hit| hit.entry).collect()).collect();
    let members: Vec<String> = results.iter().map(|(name, us)| format!("\"{name}\": {us}")).collect();
    println!("{{\"found\": {found:?}, {}}}", members.join(", "));
}

//! Searches on every level against scores in f64, one pair after the other.
#![allow(clippy::arithmetic_side_effects)]

use super::super::{VectorType, Vectors, encode_row};
use super::*;
use crate::arch::lanes::tiers::on_every_tier;
use crate::beacon::mu16::Step;
use std::{format, vec, vec::Vec};

const BITS: VectorType = VectorType::Bits;
const ALL: [Metric; 3] = [Metric::InnerProduct, Metric::Cosine, Metric::MaxSim];

fn kinds() -> [VectorType; 5] {
    [VectorType::F32, VectorType::F16, VectorType::Mu16(Step::new(9).unwrap()), VectorType::I8, BITS]
}

fn noise(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed ^ (*seed >> 29)
}

fn values(len: usize, seed: &mut u64) -> Vec<f32> {
    (0..len).map(|_| (noise(seed) >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// Rows in memory: bytes that begin at an odd address or not, and scales.
struct Stored {
    kind: VectorType,
    dim: usize,
    bytes: Vec<u8>,
    scales: Vec<u8>,
}

impl Stored {
    fn new(kind: VectorType, dim: usize, values: &[f32]) -> Self {
        let (mut bytes, mut scales) = (vec![0xFF], Vec::new());
        for row in values.chunks(dim) {
            let mut out = vec![0; kind.row_len(dim as u32) as usize];
            let encoded = encode_row(kind, row, &mut out).unwrap();
            bytes.extend(out);
            if kind == VectorType::I8 {
                scales.extend(encoded.scale.to_le_bytes());
            }
        }
        Self { kind, dim, bytes, scales }
    }

    fn view(&self) -> Vectors<'_> {
        let bytes = &self.bytes[1..];
        let rows = bytes.len() / self.kind.row_len(self.dim as u32) as usize;
        Vectors::new(self.kind, rows as u32, self.dim as u32, bytes, &self.scales).unwrap()
    }
}

/// The vector in f64, and by it the definition of a score.
fn wide(vectors: &Vectors<'_>, row: u32) -> Vec<f64> {
    let mut out = vec![0.0; vectors.dim() as usize];
    vectors.row_into(row, &mut out).unwrap();
    out.into_iter().map(f64::from).collect()
}

fn inner(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn cosine(x: &[f64], y: &[f64]) -> f64 {
    let norms = inner(x, x).sqrt() * inner(y, y).sqrt();
    if norms == 0.0 { 0.0 } else { inner(x, y) / norms }
}

/// The score, and how far an f32 one may be from it: with u = 2^-24, lanes of n / 16 products and a tree of 4 sums err by
/// (n / 16 + 5) u of the sum of all |x y|, which the norms bound; what is rounded after it (steps, scales, roots,
/// and a row made f32 here) by a few u more. Twice that.
fn naive(search: &Search<'_>, query: &[f32], weights: &[f32], entry: u32) -> (f64, f64) {
    let vectors = search.vectors();
    let dim = vectors.dim() as usize;
    let relative = 2.0 * (dim as f64 / 8.0 + 12.0) / f64::from(1u32 << 24);
    let wide_query: Vec<f64> = query.iter().copied().map(f64::from).collect();
    let norm = |x: &[f64]| inner(x, x).sqrt();
    let per_entry = vectors.rows() / search.entries();
    let rows: Vec<Vec<f64>> =
        (entry * per_entry..(entry + 1) * per_entry).map(|row| wide(vectors, row)).collect();
    match search.metric() {
        Metric::InnerProduct => (inner(&rows[0], &wide_query), relative * norm(&rows[0]) * norm(&wide_query)),
        Metric::Cosine => (cosine(&rows[0], &wide_query), relative),
        Metric::MaxSim => {
            let mut sum = 0.0;
            for (y, w) in wide_query.chunks(dim).zip(weights) {
                let each = rows.iter().map(|x| cosine(x, y));
                sum += f64::from(*w) * each.fold(f64::NEG_INFINITY, f64::max);
            }
            (sum / weights.iter().copied().map(f64::from).sum::<f64>(), relative)
        }
    }
}

/// The hits are as many as they have to be, in order, of the right scores, and nothing left out is better.
fn check(
    search: &Search<'_>,
    query: &[f32],
    weights: &[f32],
    k: usize,
    filter: impl Fn(u32) -> bool,
    hits: &[Hit],
    at: &str,
) {
    let scores: Vec<(f64, f64)> = (0..search.entries()).map(|e| naive(search, query, weights, e)).collect();
    let passing: Vec<u32> = (0..search.entries()).filter(|e| filter(*e)).collect();
    assert_eq!(hits.len(), k.min(passing.len()), "{at}");
    for pair in hits.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        assert!(a.score > b.score || a.score == b.score && a.entry < b.entry, "{at}: {pair:?}");
    }
    for hit in hits {
        let (score, most) = scores[hit.entry as usize];
        let off = (f64::from(hit.score) - score).abs();
        assert!(off <= most, "{at}: {hit:?}, {score}, off by {off:e}, at most {most:e}");
        assert!(filter(hit.entry), "{at}");
    }
    if let Some(last) = hits.last() {
        for entry in passing.iter().filter(|e| hits.iter().all(|hit| hit.entry != **e)) {
            let (score, most) = scores[*entry as usize];
            assert!(score <= f64::from(last.score) + most, "{at}: {entry} of {score}, left out by {last:?}");
        }
    }
}

fn same(a: &[Hit], b: &[Hit]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| a.entry == b.entry && a.score.to_bits() == b.score.to_bits())
}

fn query<'q>(metric: Metric, vectors: &'q [f32], weights: &'q [f32]) -> Query<'q> {
    if metric == Metric::MaxSim { Query::weighted(vectors, weights) } else { Query::new(vectors) }
}

/// Every type, metric and level: as f64 has it, and the same bits, alone, by threads and in company.
#[test]
fn as_in_f64() {
    let mut seed = 1;
    for dim in [1, 16, 37, 130] {
        for kind in kinds() {
            for metric in ALL {
                let per_entry = if metric == Metric::MaxSim { 1 + noise(&mut seed) as usize % 19 } else { 1 };
                let entries = 20 + noise(&mut seed) as usize % 100 / per_entry;
                let stored = Stored::new(kind, dim, &values(dim * per_entry * entries, &mut seed));
                let search = Search::new(stored.view(), per_entry as u16, metric).unwrap();
                let asked = if metric == Metric::MaxSim { 1 + noise(&mut seed) as usize % 20 } else { 1 };
                let vectors = values(asked * dim, &mut seed);
                let weights: Vec<f32> = values(asked, &mut seed).iter().map(|w| w + 1.0).collect();
                let single = query(metric, &vectors, &weights);
                for k in [7, 1000] {
                    let mut first: Option<Vec<Hit>> = None;
                    on_every_tier(|tier| {
                        let at = format!("{kind:?} {metric:?}, {dim}, {k} of {entries}, {tier:?}");
                        let hits = search.top_k(single, k, |_| true).unwrap();
                        if first.is_none() {
                            check(&search, &vectors, &weights, k, |_| true, &hits, &at);
                        }
                        let first = first.get_or_insert_with(|| hits.clone());
                        assert!(same(&hits, first), "{at}: {hits:?}, {first:?}");
                        // Without tables.
                        let mut memory = vec![Hit::default(); k];
                        let mut top = TopK::new(&mut memory);
                        search.top_k_into(single, |_| true, &mut [], &mut top).unwrap();
                        assert!(same(top.into_sorted(), first), "{at}");
                    });
                    let odd = |entry: u32| !entry.is_multiple_of(2);
                    let hits = search.top_k(single, k, odd).unwrap();
                    check(&search, &vectors, &weights, k, odd, &hits, "odd ones");
                    #[cfg(feature = "std")]
                    for threads in [0, 3] {
                        let found = search.top_k_parallel(single, k, odd, threads).unwrap();
                        assert!(same(&found, &hits), "{threads} threads");
                    }
                }
            }
        }
    }
}

#[test]
fn many_queries() {
    let mut seed = 2;
    for (dim, entries) in [(5, 300), (64, 140), (16, 3)] {
        for kind in kinds() {
            for metric in ALL {
                let stored = Stored::new(kind, dim, &values(dim * entries, &mut seed));
                let search = Search::new(stored.view(), 1, metric).unwrap();
                let most = if metric == Metric::InnerProduct && dim == 5 { 67 } else { 18 };
                for asked in [0, 1, 2, most] {
                    let mut queries = values(dim * asked, &mut seed);
                    if asked > 2 {
                        queries[dim + 1] = f32::NAN;
                    }
                    let filter = |entry: u32| entry % 3 != 1;
                    let alone: Vec<Vec<Hit>> = queries
                        .chunks(dim)
                        .map(|y| search.top_k(Query::new(y), 9, filter).unwrap())
                        .collect();
                    on_every_tier(|tier| {
                        let found = search.batch(&queries, 9, filter).unwrap();
                        assert_eq!(found.len(), asked);
                        for (hits, alone) in found.iter().zip(&alone) {
                            assert!(same(hits, alone), "{kind:?} {metric:?} {dim} {asked} {tier:?}");
                        }
                        if asked > 2 {
                            assert!(found[1].is_empty() && !found[0].is_empty());
                        }
                    });
                    #[cfg(feature = "std")]
                    {
                        let found = search.batch(&queries, 9, |_| true).unwrap();
                        let by_two = search.batch_parallel(&queries, 9, |_| true, 2).unwrap();
                        assert!(found.len() == by_two.len());
                        assert!(found.iter().zip(&by_two).all(|(a, b)| same(a, b)));
                    }
                }
            }
        }
    }
}

fn entries(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.entry).collect()
}

#[test]
fn ties_are_in_order_of_insertion() {
    // 600 entries of two vectors by turns, so that ties cross blocks, heaps and threads.
    let values: Vec<f32> = (0..600).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [3.0, 4.0] }).collect();
    for kind in kinds() {
        let stored = Stored::new(kind, 2, &values.iter().map(|x| x / 10.0).collect::<Vec<_>>());
        for metric in ALL {
            let search = Search::new(stored.view(), 1, metric).unwrap();
            let odd: Vec<u32> = (0..600).filter(|i| i % 2 == 1).collect();
            let query = Query::new(&[0.0, 1.0]);
            // As signs, all are the same.
            let expected = if kind == BITS { (0..20).collect() } else { odd[..20].to_vec() };
            assert_eq!(entries(&search.top_k(query, 20, |_| true).unwrap()), expected, "{kind:?} {metric:?}");
            #[cfg(feature = "std")]
            assert_eq!(entries(&search.top_k_parallel(query, 20, |_| true, 7).unwrap()), expected);
            // A second search into the same heap changes nothing about the order.
            let mut memory = [Hit::default(); 20];
            let mut top = TopK::new(&mut memory);
            search.top_k_into(query, |entry| entry > 100, &mut [], &mut top).unwrap();
            search.top_k_into(query, |entry| entry <= 100, &mut [], &mut top).unwrap();
            assert_eq!(entries(top.into_sorted()), expected, "{kind:?} {metric:?}");
        }
    }
}

#[test]
fn the_filter_is_asked_about_what_would_be_held() {
    let stored = Stored::new(VectorType::F32, 1, &[5.0, 4.0, 3.0, 6.0, 5.5, 1.0]);
    let search = Search::new(stored.view(), 1, Metric::InnerProduct).unwrap();
    let asked = core::cell::RefCell::new(Vec::new());
    let filter = |entry| {
        asked.borrow_mut().push(entry);
        entry != 3
    };
    assert_eq!(entries(&search.top_k(Query::new(&[1.0]), 2, filter).unwrap()), [4, 0]);
    assert_eq!(*asked.borrow(), [0, 1, 3, 4]);
    assert!(search.top_k(Query::new(&[1.0]), 3, |_| false).unwrap().is_empty());
}

#[test]
fn no_entries_no_hits_and_more_than_there_are() {
    for metric in ALL {
        let stored = Stored::new(VectorType::F32, 2, &[1.0, 0.0, 0.0, 1.0]);
        let search = Search::new(stored.view(), 1, metric).unwrap();
        let query = Query::new(&[0.5, 1.0]);
        assert!(search.top_k(query, 0, |_| true).unwrap().is_empty());
        assert_eq!(entries(&search.top_k(query, usize::MAX, |_| true).unwrap()), [1, 0]);
        let none = Vectors::new(VectorType::I8, 0, u32::MAX, &[], &[]).unwrap();
        let search = Search::new(none, 1, metric).unwrap();
        assert_eq!(search.entries(), 0);
        let stored = Stored::new(BITS, 2, &[]);
        let search = Search::new(stored.view(), 1, metric).unwrap();
        assert!(search.top_k(query, 5, |_| true).unwrap().is_empty());
        assert!(search.batch(&[0.5, 1.0, 2.0, 3.0], 5, |_| true).unwrap().iter().all(Vec::is_empty));
    }
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[test]
fn special_values() {
    const INF: f32 = f32::INFINITY;
    let bytes = f32s(&[f32::NAN, 1.0, INF, 0.0, 1.0, 1.0, -INF, 1.0, 0.0, 0.0, f32::MAX, f32::MAX]);
    let vectors = Vectors::new(VectorType::F32, 6, 2, &bytes, &[]).unwrap();
    on_every_tier(|_| {
        let ip = Search::new(vectors, 1, Metric::InnerProduct).unwrap();
        let hits = ip.top_k(Query::new(&[1.0, 1.0]), 9, |_| true).unwrap();
        assert_eq!(entries(&hits), [1, 5, 2, 4, 3]);
        assert_eq!(hits.iter().map(|h| h.score).collect::<Vec<_>>(), [INF, INF, 2.0, 0.0, -INF]);
        // infinity times 0, and NaN.
        assert_eq!(entries(&ip.top_k(Query::new(&[0.0, 1.0]), 9, |_| true).unwrap()), [5, 2, 4]);
        for metric in [Metric::Cosine, Metric::MaxSim] {
            let search = Search::new(vectors, 1, metric).unwrap();
            let hits = search.top_k(Query::new(&[1.0, 1.0]), 9, |_| true).unwrap();
            // The sums of the last one overflow f32.
            let mut found = entries(&hits);
            found[..2].sort();
            assert_eq!(found, [2, 5, 4], "{metric:?}");
            assert!((hits[0].score - 1.0).abs() < 1e-6 && (hits[1].score - 1.0).abs() < 1e-6);
            assert_eq!(hits[2].score, 0.0);
            // Tiny, huge and zero queries.
            for scale in [1e-38, 3e38] {
                let hits = search.top_k(Query::new(&[scale, 0.0]), 9, |_| true).unwrap();
                assert_eq!(entries(&hits), [2, 5, 4]);
                assert!((hits[0].score - 0.5f32.sqrt()).abs() < 1e-6, "{hits:?}");
            }
            assert!(search.top_k(Query::new(&[f32::NAN, 0.0]), 9, |_| true).unwrap().is_empty());
            assert_eq!(search.top_k(Query::new(&[INF, 0.0]), 9, |_| true).unwrap()[..], hits[2..]);
        }
        let cosine = Search::new(vectors, 1, Metric::Cosine).unwrap();
        let hits = cosine.top_k(Query::new(&[0.0, -0.0]), 9, |_| true).unwrap();
        assert_eq!(entries(&hits), [0, 1, 2, 3, 4, 5]);
        assert!(hits.iter().all(|hit| hit.score == 0.0));
    });
    // Scales as no writer makes them: NaN, infinite, negative, 0.
    let scales = f32s(&[f32::NAN, INF, -1.0, 0.0, 0.5]);
    let vectors = Vectors::new(VectorType::I8, 5, 1, &[1, 1, 1, 1, 1], &scales).unwrap();
    let found = |metric| {
        let hits = Search::new(vectors, 1, metric).unwrap().top_k(Query::new(&[2.0]), 9, |_| true).unwrap();
        hits.iter().map(|hit| (hit.entry, hit.score)).collect::<Vec<_>>()
    };
    assert_eq!(found(Metric::InnerProduct), [(1, INF), (4, 1.0), (3, 0.0), (2, -2.0)]);
    assert_eq!(found(Metric::Cosine), [(4, 1.0), (3, 0.0), (2, -1.0)]);
    assert_eq!(found(Metric::MaxSim), [(4, 1.0), (3, 0.0), (2, -1.0)]);
}

/// By hand: entries (1, 0), (0, 1) and (-1, 0), (0.6, 0.8); queries (2, 0) of weight 3 and (0, 5) of weight 1.
#[test]
fn max_sim_by_hand() {
    let stored = Stored::new(VectorType::F32, 2, &[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.6, 0.8]);
    let search = Search::new(stored.view(), 2, Metric::MaxSim).unwrap();
    let hits = search.top_k(Query::weighted(&[2.0, 0.0, 0.0, 5.0], &[3.0, 1.0]), 5, |_| true).unwrap();
    assert_eq!(entries(&hits), [0, 1]);
    // (3 * 1 + 1) / 4, and (3 * 0.6 + 0.8) / 4.
    assert!((hits[0].score - 1.0).abs() < 1e-6 && (hits[1].score - 0.65).abs() < 1e-6, "{hits:?}");
    assert!(search.top_k(Query::weighted(&[2.0, 0.0], &[0.0]), 5, |_| true).unwrap().is_empty());
    assert!(search.top_k(Query::new(&[]), 5, |_| true).unwrap().is_empty());
    let bits = Stored::new(BITS, 4, &[1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.0]);
    let search = Search::new(bits.view(), 2, Metric::MaxSim).unwrap();
    let hits = search.top_k(Query::new(&[1.0, 2.0, -3.0, 4.0]), 5, |_| true).unwrap();
    // 10 and 2, over sqrt(30) * 2.
    assert!((f64::from(hits[0].score) - 5.0 / 30f64.sqrt()).abs() < 1e-6, "{hits:?}");
}

#[test]
fn refused() {
    let argument =
        |result: Result<Search<'_>>| matches!(result.unwrap_err().kind(), ErrorKind::Argument { .. });
    let stored = Stored::new(VectorType::F32, 2, &[0.0; 6]);
    assert!(argument(Search::new(stored.view(), 2, Metric::MaxSim)));
    assert!(argument(Search::new(stored.view(), 0, Metric::MaxSim)));
    assert!(argument(Search::new(stored.view(), 3, Metric::Cosine)));
    let search = Search::new(stored.view(), 1, Metric::MaxSim).unwrap();
    fn kind(search: &Search<'_>, query: Query<'_>) -> ErrorKind {
        search.top_k(query, 1, |_| true).unwrap_err().kind()
    }
    let length = |needed, found| ErrorKind::Shape { field: "the query's length", needed, found };
    assert_eq!(kind(&search, Query::new(&[1.0])), length(2, 1));
    assert_eq!(kind(&search, Query::new(&[1.0; 5])), length(4, 5));
    let weights = ErrorKind::Shape { field: "the number of weights", needed: 1, found: 2 };
    assert_eq!(kind(&search, Query::weighted(&[1.0; 2], &[1.0; 2])), weights);
    for weight in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(kind(&search, Query::weighted(&[1.0; 2], &[weight])), ErrorKind::Argument { .. }));
    }
    let search = Search::new(stored.view(), 1, Metric::InnerProduct).unwrap();
    assert_eq!(kind(&search, Query::new(&[1.0; 4])), length(2, 4));
    assert!(matches!(kind(&search, Query::weighted(&[1.0; 2], &[1.0])), ErrorKind::Argument { .. }));
    assert_eq!(search.batch(&[1.0; 3], 1, |_| true).unwrap_err().kind(), length(2, 1));
    for metric in ALL {
        assert_eq!(Metric::from_code(metric.code()), Some(metric));
    }
    assert_eq!((Metric::from_code(2), Metric::from_code(3)), (Some(Metric::MaxSim), None));
}

/// Any hits in any order, against a sort.
#[test]
fn heap() {
    let mut seed = 3;
    for k in 0..20 {
        for count in 0..40u32 {
            let hits: Vec<Hit> = (0..count)
                .map(|i| Hit { entry: i.wrapping_mul(7) % 41, score: (noise(&mut seed) % 8) as f32 - 4.0 })
                .collect();
            let mut memory = vec![Hit::default(); k];
            let mut top = TopK::new(&mut memory);
            for hit in &hits {
                top.push(*hit);
                top.push(Hit { entry: 99, score: f32::NAN });
            }
            assert_eq!(top.len(), k.min(count as usize));
            let mut expected = hits;
            expected.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.entry.cmp(&b.entry)));
            expected.truncate(k);
            assert_eq!(top.into_sorted(), expected);
        }
    }
}

fn npy(bytes: &[u8]) -> Vec<u8> {
    // Version 1: ten bytes, then as many as the last two say.
    bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..].to_vec()
}

/// What FAISS found (IndexFlatIP; tests/data/engram/index). It has no ties in it, whose order would be another.
#[test]
fn as_faiss() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/engram/index");
    let read = |name: &str| std::fs::read(format!("{root}/{name}")).unwrap();
    let (bytes, queries) = (npy(&read("vectors.npy")), npy(&read("queries.npy")));
    let queries: Vec<f32> = queries.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    let expected: serde_json::Value = serde_json::from_slice(&read("expected.json")).unwrap();
    let search =
        Search::new(Vectors::new(VectorType::F32, 40, 16, &bytes, &[]).unwrap(), 1, Metric::InnerProduct)
            .unwrap();
    let compare = |found: &[Hit], expected: &serde_json::Value| {
        let expected = expected.as_array().unwrap();
        for (hit, expected) in found.iter().zip(expected) {
            assert_eq!(format!("c{}", hit.entry), expected["cache_id"].as_str().unwrap_or(""));
            assert!((f64::from(hit.score) - expected["similarity"].as_f64().unwrap()).abs() < 1e-5);
        }
        expected.len()
    };
    for (i, found) in search.batch(&queries, 5, |_| true).unwrap().iter().enumerate() {
        assert_eq!(compare(found, &expected["top5"][i]), 5);
    }
    // Filtered: FAISS is asked for more than 5 and may be left with fewer.
    for (i, found) in search.batch(&queries, 5, |entry| entry % 3 == 0).unwrap().iter().enumerate() {
        assert_eq!(found.len(), 5);
        assert!(compare(found, &expected["top5_model_phi"][i]) >= 2);
    }
    assert!(search.batch(&queries, 100, |_| true).unwrap().iter().all(|found| found.len() == 40));
}

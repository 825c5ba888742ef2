//! Approximate search (feature `ann`): a graph proposes entries, the exact search scores and orders them.
//!
//! The graph is a hierarchical navigable small world (HNSW; Malkov and Yashunin, arXiv 1603.09320) of the library hnsw_rs.
//! It lives in memory and is built anew each time; what is stored stays the exact index.
//!
//! A graph needs a metric, and neither score is one. So each entry becomes a point of length 1 with one more component,
//! and a query the point (q / |q|, 0); then the entry of the greatest score is the nearest point:
//!
//! - inner product: (x / R, sqrt(1 - |x|^2 / R^2)), R the greatest norm (Bachrach et al., RecSys 2014);
//! - cosine: (x / |x|, 0).
//!
//! A few vectors much longer than all others would press these together, so R is at most twice the norm that one vector
//! in 1,024 exceeds, and longer ones stay outside of the graph and are scored for every query. So are vectors of zeros, which
//! have no direction in which a graph could lead to them, and vectors with a component that is NaN or infinite.
#![deny(clippy::arithmetic_side_effects)]
// Why hnsw_rs: of the libraries that are kept up it alone needs neither a C++ compiler (usearch), nor a store of our own around
// it (diskann), nor LMDB (hannoy), and takes the number of candidates with each query (instant-distance does not).
// Its asserts are about distances, its exit about the number of neighbours: none is within reach of vectors or options.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::vec;
use std::vec::Vec;

use hnsw_rs::prelude::Distance;

use super::search::{Hit, Metric, Query, Search, TopK};
use super::vectors::Vectors;
use crate::engram::norm::norm;
use crate::error::{Error, ErrorKind, Result};

/// How the graph of an [`Hnsw`] is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HnswOptions {
    /// Neighbours that a point keeps, twice as many in the lowest layer: M of the paper, 2 to 128. By default 16.
    pub neighbours: u8,
    /// Points that are looked at to find them: efConstruction of the paper, at least 1. By default 128.
    pub construction: u32,
    /// Threads that build. By default 1: only then is the graph always the same for the same vectors.
    pub threads: NonZeroUsize,
}

impl Default for HnswOptions {
    fn default() -> Self {
        Self { neighbours: 16, construction: 128, threads: NonZeroUsize::MIN }
    }
}

/// Squared Euclidean distance, in lanes for the compiler to make vectors of. Of finite points at most 1 long it is never NaN,
/// infinite or negative, at which the library would panic.
#[derive(Clone, Copy)]
struct SquaredEuclidean;

impl Distance<f32> for SquaredEuclidean {
    fn eval(&self, a: &[f32], b: &[f32]) -> f32 {
        const LANES: usize = 16;
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut lanes = [0f32; LANES];
        for (a, b) in a.iter().zip(b) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += (a - b) * (a - b);
            }
        }
        let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b));
        lanes.into_iter().chain(rest).sum()
    }
}

/// A graph over the entries of a [`Search`], to find most of the best without looking at all.
///
/// Every score is that of the exact search, to the bit, and hits are ordered as there; but a better entry may be missing.
/// Where the graph cannot help, the exact search answers.
///
/// Memory: about 4 (dim + 1) + 150 M bytes for each entry, whatever the type of the stored vectors. A graph that more than one
/// thread built differs from run to run; the answers of one graph never do.
///
/// ```
/// use bitwire::engram::index::{Hnsw, HnswOptions, Metric, Query, Search, VectorType, Vectors};
///
/// let bytes: Vec<u8> = (0..1000).flat_map(|i| [(i as f32).cos(), (i as f32).sin()]).flat_map(f32::to_le_bytes).collect();
/// let vectors = Vectors::new(VectorType::F32, 1000, 2, &bytes, &[])?;
/// let search = Search::new(vectors, 1, Metric::Cosine)?;
/// let graph = Hnsw::build(search, HnswOptions::default())?;
/// let query = Query::new(&[-1.0, 0.0]);
/// let hits = graph.top_k(query, 3, Hnsw::CANDIDATES, |entry| entry % 2 == 1)?;
/// assert_eq!(hits, search.top_k(query, 3, |entry| entry % 2 == 1)?);
/// # Ok::<(), bitwire::Error>(())
/// ```
pub struct Hnsw<'a> {
    search: Search<'a>,
    graph: hnsw_rs::prelude::Hnsw<'static, f32, SquaredEuclidean>,
    /// Entries in the graph.
    points: usize,
    /// Entries that are scored for every query.
    apart: Vec<u32>,
    /// Entries that are the same as one in the graph.
    copies: HashMap<u32, Vec<u32>>,
}

impl<'a> Hnsw<'a> {
    /// Candidates to start with: efSearch of the paper. The more entries, and the more they stand in clusters apart from each
    /// other, the more it takes. For 100,000 entries in 1,000 such clusters (benches/approximate.rs) recall@10 is 0.42 with 64
    /// candidates, 0.75 with 128 and 0.94 with 256: measure on your own.
    pub const CANDIDATES: usize = 256;

    /// Builds the graph. Cost: several times `construction` * M distances for each entry.
    ///
    /// Of entries with the same bytes one gets into the graph and stands for all. Entries of zeros, with a component that is NaN or
    /// infinite, and the few that are much longer than all others stay outside and are scored for every query.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for [`Metric::MaxSim`], an option out of range, or 2^31 entries or more.
    pub fn build(search: Search<'a>, options: HnswOptions) -> Result<Self> {
        let argument = |expected| Err(Error::caller(ErrorKind::Argument { expected }));
        if search.metric() == Metric::MaxSim {
            return argument("a graph is for inner product or cosine, not MaxSim");
        }
        // At more than 256 the library ends the process.
        if !(2..=128).contains(&options.neighbours) {
            return argument("neighbours has to be 2 to 128");
        }
        if options.construction == 0 {
            return argument("construction has to be at least 1");
        }
        if i32::try_from(search.entries()).is_err() {
            return argument("a graph is for less than 2^31 entries");
        }
        let space = Space::new(&search);
        let (mut members, mut apart) = (Vec::new(), Vec::new());
        let (mut first, mut copies) = (HashMap::new(), HashMap::<u32, Vec<u32>>::new());
        for entry in 0..search.entries() {
            if !space.has(entry) {
                apart.push(entry);
                continue;
            }
            let stored = (search.vectors().row(entry), search.vectors().factor(entry).map(f64::to_bits));
            let same: u32 = *first.entry(stored).or_insert(entry);
            if same == entry {
                members.push(entry);
            } else {
                copies.entry(same).or_default().push(entry);
            }
        }
        drop(first);
        let construction = (options.construction as usize).min(members.len()).max(1);
        let graph = hnsw_rs::prelude::Hnsw::new(
            options.neighbours.into(),
            members.len(),
            LAYERS,
            construction,
            SquaredEuclidean,
        );
        // The first alone: points that come while there is none would get no neighbours.
        let (first, others) = members.split_at(members.len().min(1));
        let next = AtomicUsize::new(0);
        let insert = |entries: &[u32], next: &AtomicUsize| {
            let mut point = Vec::new();
            while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                space.point_into(*entry, &mut point);
                graph.insert_slice((&point, *entry as usize));
            }
        };
        insert(first, &AtomicUsize::new(0));
        let insert = || insert(others, &next);
        thread::scope(|scope| {
            for _ in 1..options.threads.get().min(others.len()) {
                // Without another thread, this one does the work.
                if thread::Builder::new().spawn_scoped(scope, insert).is_err() {
                    break;
                }
            }
            insert();
        });
        Ok(Self { search, graph, points: members.len(), apart, copies })
    }

    /// The exact search over the same entries.
    #[must_use]
    pub const fn search(&self) -> &Search<'a> {
        &self.search
    }

    /// The best `k` entries for `query` that pass `filter` among `candidates` of the graph's, the best first.
    ///
    /// `candidates` counts as at least `k`. More of them find more and take longer; [`CANDIDATES`](Self::CANDIDATES) is where to start.
    /// There are always as many hits as the exact search has: it answers, at its cost, if too few candidates pass the filter,
    /// if the graph has no more points than candidates, and for a query of zeros or with an infinite component.
    ///
    /// # Errors
    /// As [`Search::top_k_into`].
    pub fn top_k(
        &self,
        query: Query<'_>,
        k: usize,
        candidates: usize,
        filter: impl Fn(u32) -> bool,
    ) -> Result<Vec<Hit>> {
        let k = k.min(self.search.entries() as usize);
        let mut memory = vec![Hit::default(); k];
        let mut top = TopK::new(&mut memory);
        // Checks the query before anything is done with it.
        let apart = self.apart.iter().copied();
        self.search.rescore_into(query, apart, &filter, &mut top)?;
        if k == 0 {
            return Ok(Vec::new());
        }
        let candidates = candidates.max(k);
        let point = unit(query.vectors()).filter(|_| candidates < self.points);
        let Some(point) = point else { return self.search.top_k(query, k, filter) };
        let found = self.graph.search(&point, candidates, candidates);
        let found = found.iter().filter_map(|found| u32::try_from(found.d_id).ok()).flat_map(|entry| {
            let copies = self.copies.get(&entry).map_or(&[][..], Vec::as_slice);
            std::iter::once(entry).chain(copies.iter().copied())
        });
        self.search.rescore_into(query, found, &filter, &mut top)?;
        if top.len() < k { self.search.top_k(query, k, filter) } else { Ok(top.into_sorted().to_vec()) }
    }
}

impl core::fmt::Debug for Hnsw<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hnsw")
            .field("search", &self.search)
            .field("points", &self.points)
            .field("apart", &self.apart.len())
            .finish_non_exhaustive()
    }
}

/// Layers at most: as many as the library has.
const LAYERS: usize = 16;

/// (q / |q|, 0); `None` for zeros, infinity or NaN.
fn unit(query: &[f32]) -> Option<Vec<f32>> {
    let norm = norm(query);
    if !norm.is_finite() || norm == 0.0 {
        return None;
    }
    Some(query.iter().map(|y| (f64::from(*y) / norm) as f32).chain([0.0]).collect())
}

/// How entries become points.
struct Space<'a> {
    vectors: Vectors<'a>,
    metric: Metric,
    norms: Vec<f64>,
    /// The greatest norm of a point.
    radius: f64,
}

impl<'a> Space<'a> {
    fn new(search: &Search<'a>) -> Self {
        let vectors = *search.vectors();
        let mut row = Vec::new();
        let norms: Vec<f64> = (0..search.entries())
            .map(|entry| {
                read(&vectors, entry, &mut row);
                norm(&row)
            })
            .collect();
        let mut radius = f64::MAX;
        if search.metric() == Metric::InnerProduct {
            let mut sorted: Vec<f64> = norms.iter().copied().filter(|norm| norm.is_finite()).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let common = sorted.len().checked_sub(sorted.len().div_ceil(1024).saturating_add(1));
            let limit = common.and_then(|common| sorted.get(common)).map_or(f64::MAX, |common| common * 2.0);
            radius = sorted.into_iter().rev().find(|norm| *norm <= limit).unwrap_or(0.0);
        }
        Self { vectors, metric: search.metric(), norms, radius }
    }

    /// Whether the entry is to be a point of the graph.
    fn has(&self, entry: u32) -> bool {
        self.norms.get(entry as usize).is_some_and(|norm| *norm > 0.0 && *norm <= self.radius)
    }

    fn point_into(&self, entry: u32, point: &mut Vec<f32>) {
        read(&self.vectors, entry, point);
        let norm = self.norms.get(entry as usize).copied().unwrap_or(0.0);
        let (scale, last) = match self.metric {
            Metric::InnerProduct => {
                let part = norm / self.radius;
                (self.radius, libm::sqrt((1.0 - part * part).max(0.0)))
            }
            Metric::Cosine | Metric::MaxSim => (norm, 0.0),
        };
        point.iter_mut().for_each(|x| *x = (f64::from(*x) / scale) as f32);
        point.push(last as f32);
    }
}

/// The components of an entry.
fn read(vectors: &Vectors<'_>, entry: u32, out: &mut Vec<f32>) {
    out.clear();
    out.resize(vectors.dim() as usize, 0.0);
    // Of that length, and only for entries that are there.
    let _ = vectors.row_into(entry, out);
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::super::vectors::{VectorType, encode_row};
    use super::*;
    use crate::beacon::mu16::Step;

    const DIM: usize = 32;
    /// Without optimisation the library is slow.
    const MANY: usize = if cfg!(debug_assertions) { 2_000 } else { 10_000 };

    /// splitmix64, and sums of four of its values: near enough to a normal distribution.
    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f32 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = self.0;
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ (x >> 31)) >> 40) as f32 / 16_777_216.0 - 0.5
        }

        fn normal(&mut self) -> f32 {
            (0..4).map(|_| self.uniform()).sum::<f32>() * 1.732
        }

        /// Around one of 40 centres, of lengths that differ by a factor of 5.
        fn clustered(&mut self, rows: usize) -> Vec<f32> {
            let mut centres = Random(1);
            let centres: Vec<f32> = (0..40 * DIM).map(|_| centres.normal()).collect();
            let mut values = Vec::new();
            for _ in 0..rows {
                let centre = ((self.uniform() + 0.5) * 40.0) as usize;
                let length = (self.uniform() * 1.6).exp();
                values.extend(
                    centres[centre * DIM..][..DIM].iter().map(|x| (x + 0.5 * self.normal()) * length),
                );
            }
            values
        }
    }

    struct Stored(VectorType, Vec<u8>, Vec<u8>);

    impl Stored {
        fn new(kind: VectorType, values: &[f32]) -> Self {
            let row_len = kind.row_len(DIM as u32) as usize;
            let (mut bytes, mut scales) = (Vec::new(), Vec::new());
            for values in values.chunks(DIM) {
                let mut row = vec![0; row_len];
                let encoded = encode_row(kind, values, &mut row).unwrap();
                bytes.extend(row);
                if kind == VectorType::I8 {
                    scales.extend(encoded.scale.to_le_bytes());
                }
            }
            Self(kind, bytes, scales)
        }

        /// As they are, NaN and infinity too.
        fn raw(values: &[f32]) -> Self {
            Self(VectorType::F32, values.iter().flat_map(|x| x.to_le_bytes()).collect(), Vec::new())
        }

        fn search(&self, metric: Metric) -> Search<'_> {
            let rows = self.1.len() / self.0.row_len(DIM as u32) as usize;
            let vectors = Vectors::new(self.0, rows as u32, DIM as u32, &self.1, &self.2).unwrap();
            Search::new(vectors, 1, metric).unwrap()
        }
    }

    fn quick() -> HnswOptions {
        HnswOptions { neighbours: 8, construction: 40, ..HnswOptions::default() }
    }

    /// Hits with their scores' bits.
    fn bits(hits: &[Hit]) -> Vec<(u32, u32)> {
        hits.iter().map(|hit| (hit.entry, hit.score.to_bits())).collect()
    }

    /// Recall@10; and checks that there are 10 hits in order, each with the exact score of its entry.
    fn recall(graph: &Hnsw<'_>, queries: &[f32], candidates: usize) -> f64 {
        let (mut found, mut all) = (0, 0);
        for query in queries.chunks(DIM).map(Query::new) {
            let exact = graph.search().top_k(query, usize::MAX, |_| true).unwrap();
            let hits = graph.top_k(query, 10, candidates, |_| true).unwrap();
            assert_eq!(hits.len(), 10);
            let ranks: Vec<usize> = hits
                .iter()
                .map(|hit| exact.iter().position(|exact| bits(&[*exact]) == bits(&[*hit])).unwrap())
                .collect();
            assert!(ranks.is_sorted_by(|a, b| a < b));
            found += ranks.iter().filter(|rank| **rank < 10).count();
            all += 10;
        }
        f64::from(found as u32) / f64::from(all)
    }

    #[test]
    fn recall_at_the_defaults() {
        let stored = Stored::new(VectorType::F32, &Random(7).clustered(MANY));
        let queries = Random(8).clustered(40);
        for metric in [Metric::InnerProduct, Metric::Cosine] {
            let graph = Hnsw::build(stored.search(metric), HnswOptions::default()).unwrap();
            assert_eq!((graph.points, graph.apart.len()), (MANY, 0));
            let recall = recall(&graph, &queries, Hnsw::CANDIDATES);
            std::println!("{metric:?}: {recall}");
            assert!(recall >= 0.95, "{metric:?}: {recall}");
        }
    }

    #[test]
    fn every_type_of_vectors_keeps_its_exact_scores() {
        let values = Random(9).clustered(400);
        let step = Step::auto(&values, DIM).unwrap();
        for kind in [VectorType::F16, VectorType::Mu16(step), VectorType::I8, VectorType::Bits] {
            let stored = Stored::new(kind, &values);
            for metric in [Metric::InnerProduct, Metric::Cosine] {
                let graph = Hnsw::build(stored.search(metric), quick()).unwrap();
                let recall = recall(&graph, &values[..DIM * 10], 100);
                assert!(recall >= 0.8, "{kind:?} {metric:?}: {recall}");
            }
        }
    }

    #[test]
    fn one_thread_builds_one_graph_and_many_a_good_one() {
        let stored = Stored::new(VectorType::F32, &Random(10).clustered(600));
        let search = stored.search(Metric::InnerProduct);
        let queries = Random(11).clustered(20);
        let answers = || {
            let graph = Hnsw::build(search, quick()).unwrap();
            let answer = |query| bits(&graph.top_k(Query::new(query), 10, 10, |_| true).unwrap());
            queries.chunks(DIM).map(answer).collect::<Vec<_>>()
        };
        assert_eq!(answers(), answers());
        let options = HnswOptions { threads: NonZeroUsize::new(4).unwrap(), ..quick() };
        let graph = Hnsw::build(search, options).unwrap();
        assert!(recall(&graph, &queries, 100) >= 0.9);
        fn shared<T: Send + Sync>(_: &T) {}
        shared(&graph);
    }

    #[test]
    fn filters() {
        let values = Random(12).clustered(500);
        let stored = Stored::new(VectorType::F32, &values);
        let search = stored.search(Metric::InnerProduct);
        let graph = Hnsw::build(search, quick()).unwrap();
        for query in values.chunks(DIM).take(20).map(Query::new) {
            let hits = graph.top_k(query, 5, 100, |entry| entry % 2 == 0).unwrap();
            assert!(hits.len() == 5 && hits.iter().all(|hit| hit.entry % 2 == 0));
            // Less than 5 of 50 candidates can pass: the exact search answers.
            for filter in [|entry: u32| entry % 125 == 7, |entry| entry == 499, |_| false] {
                let exact = search.top_k(query, 5, filter).unwrap();
                assert_eq!(bits(&graph.top_k(query, 5, 50, filter).unwrap()), bits(&exact));
            }
        }
    }

    #[test]
    fn copies_are_all_found_in_order() {
        let mut values = Random(13).clustered(300);
        let one = values[..DIM].to_vec();
        for at in (3..300).step_by(3) {
            values[at * DIM..][..DIM].copy_from_slice(&one);
        }
        let stored = Stored::new(VectorType::F32, &values);
        for metric in [Metric::InnerProduct, Metric::Cosine] {
            let graph = Hnsw::build(stored.search(metric), quick()).unwrap();
            assert_eq!(graph.points, 201);
            let hits = graph.top_k(Query::new(&one), 50, 60, |entry| entry != 6).unwrap();
            let copies: Vec<u32> =
                hits.iter().filter(|hit| hit.entry % 3 == 0).map(|hit| hit.entry).collect();
            let expected = [0, 3].into_iter().chain((9..).step_by(3));
            assert_eq!(copies, expected.take(copies.len()).collect::<Vec<_>>());
            assert!(metric == Metric::InnerProduct || copies.len() == 50);
        }
    }

    #[test]
    fn a_few_long_vectors_do_not_hide_the_others() {
        let mut values = Random(14).clustered(1500);
        // Component 0 belongs to the long one; a query without it does not meet it.
        values.chunks_mut(DIM).for_each(|row| row[0] = 0.0);
        values[700 * DIM..][..DIM].fill(0.0);
        values[700 * DIM] = 1e30;
        let stored = Stored::new(VectorType::F32, &values);
        let graph = Hnsw::build(stored.search(Metric::InnerProduct), quick()).unwrap();
        assert_eq!(graph.apart, [700]);
        let mut queries = Random(15).clustered(20);
        queries.chunks_mut(DIM).for_each(|row| row[0] = 0.0);
        assert!(recall(&graph, &queries, 100) >= 0.9);
        queries[0] = 1.0;
        let hits = graph.top_k(Query::new(&queries[..DIM]), 1, 10, |_| true).unwrap();
        assert_eq!(hits, [Hit { entry: 700, score: 1e30 }]);
    }

    #[test]
    fn zeros() {
        // A score of 0 is the best for a query from which all others point away.
        let mut values: Vec<f32> = Random(16).clustered(300).iter().map(|x| x.abs() + 0.1).collect();
        values[150 * DIM..][..DIM].fill(0.0);
        values[200 * DIM..][..DIM].fill(0.0);
        let stored = Stored::new(VectorType::F32, &values);
        for metric in [Metric::InnerProduct, Metric::Cosine] {
            let graph = Hnsw::build(stored.search(metric), quick()).unwrap();
            let hits = graph.top_k(Query::new(&[-1.0; DIM]), 2, 20, |_| true).unwrap();
            assert_eq!(hits, [Hit { entry: 150, score: 0.0 }, Hit { entry: 200, score: 0.0 }], "{metric:?}");
            let hits = graph.top_k(Query::new(&[0.0; DIM]), 3, 20, |_| true).unwrap();
            assert_eq!(hits.iter().map(|hit| hit.entry).collect::<Vec<_>>(), [0, 1, 2]);
        }
        let stored = Stored::raw(&[0.0; 40 * DIM]);
        for metric in [Metric::InnerProduct, Metric::Cosine] {
            let graph = Hnsw::build(stored.search(metric), quick()).unwrap();
            let hits = graph.top_k(Query::new(&[1.0; DIM]), 2, 2, |_| true).unwrap();
            assert_eq!(hits, [Hit { entry: 0, score: 0.0 }, Hit { entry: 1, score: 0.0 }], "{metric:?}");
        }
    }

    #[test]
    fn what_is_not_finite_is_scored_exactly() {
        let mut values = Random(17).clustered(300);
        values[10 * DIM] = f32::NAN;
        values[20 * DIM] = f32::INFINITY;
        values[30 * DIM + 1] = f32::NEG_INFINITY;
        values[40 * DIM..][..DIM].fill(f32::MAX);
        let stored = Stored::raw(&values);
        for metric in [Metric::InnerProduct, Metric::Cosine] {
            let search = stored.search(metric);
            let graph = Hnsw::build(search, quick()).unwrap();
            for query in [
                [1.0; DIM],
                [1e30; DIM],
                [f32::MIN_POSITIVE / 8.0; DIM],
                [f32::INFINITY; DIM],
                [f32::NAN; DIM],
            ] {
                let exact = search.top_k(Query::new(&query), 2, |_| true).unwrap();
                let hits = graph.top_k(Query::new(&query), 2, 60, |_| true).unwrap();
                assert_eq!(hits.len(), exact.len());
                if metric == Metric::InnerProduct {
                    // The infinite score, and the next.
                    assert_eq!(bits(&hits), bits(&exact), "{query:?}");
                }
                assert!(hits.iter().all(|hit| hit.entry != 10));
            }
            assert!(graph.top_k(Query::new(&[f32::NAN; DIM]), 2, 60, |_| true).unwrap().is_empty());
        }
        let stored = Stored::raw(&[f32::NAN; 3 * DIM]);
        let graph = Hnsw::build(stored.search(Metric::InnerProduct), quick()).unwrap();
        assert!(graph.top_k(Query::new(&[1.0; DIM]), 2, 1, |_| true).unwrap().is_empty());
    }

    #[test]
    fn small_ones() {
        for rows in 0..4 {
            let values = Random(18).clustered(rows);
            let stored = Stored::new(VectorType::F32, &values);
            for metric in [Metric::InnerProduct, Metric::Cosine] {
                let search = stored.search(metric);
                let options = HnswOptions { threads: NonZeroUsize::new(3).unwrap(), ..quick() };
                let graph = Hnsw::build(search, options).unwrap();
                let query = Query::new(&[1.0; DIM]);
                for k in [0, 1, 2, usize::MAX] {
                    let exact = search.top_k(query, k, |_| true).unwrap();
                    assert_eq!(exact.len(), rows.min(k));
                    for candidates in [0, 1, usize::MAX] {
                        let hits = graph.top_k(query, k, candidates, |_| true).unwrap();
                        // With one candidate of more points, another may be the best.
                        assert_eq!(hits.len(), exact.len());
                        assert!(candidates < 2 || bits(&hits) == bits(&exact));
                    }
                }
            }
        }
    }

    #[test]
    fn refusals() {
        let stored = Stored::new(VectorType::F32, &Random(19).clustered(3));
        let kind = |result: Result<Hnsw<'_>>| result.unwrap_err().kind();
        assert!(matches!(
            kind(Hnsw::build(stored.search(Metric::MaxSim), quick())),
            ErrorKind::Argument { .. }
        ));
        let search = stored.search(Metric::Cosine);
        for neighbours in [0, 1, 129, 255] {
            let options = HnswOptions { neighbours, ..quick() };
            assert!(matches!(kind(Hnsw::build(search, options)), ErrorKind::Argument { .. }));
        }
        let options = HnswOptions { construction: 0, ..quick() };
        assert!(matches!(kind(Hnsw::build(search, options)), ErrorKind::Argument { .. }));
        let options = HnswOptions { neighbours: 128, construction: u32::MAX, ..quick() };
        let graph = Hnsw::build(search, options).unwrap();
        for k in [0, 1] {
            let short = graph.top_k(Query::new(&[1.0; 3]), k, 9, |_| true).unwrap_err().kind();
            assert!(matches!(short, ErrorKind::Shape { needed: 32, found: 3, .. }));
            let weighted = graph.top_k(Query::weighted(&[1.0; DIM], &[1.0]), k, 9, |_| true);
            assert!(matches!(weighted.unwrap_err().kind(), ErrorKind::Argument { .. }));
        }
        let mut memory = [Hit::default(); 2];
        let mut top = TopK::new(&mut memory);
        let past = search.rescore_into(Query::new(&[1.0; DIM]), [2, 3], |_| true, &mut top).unwrap_err();
        assert!(matches!(past.kind(), ErrorKind::PastEnd { end: 3, found: 4, .. }));
    }
}

//! Exact search: the best `k` of all entries, by inner product, cosine or MaxSim (spec/engram.md, "Index").
//!
//! Scores are f32. Sums have one order, whatever the CPU, the number of threads and the company of other queries, so a
//! score has the same bits always (arch/search.rs states it). Equal scores are ordered by entry, the earlier first.
//! A NaN score is never returned; infinite ones are.
#![deny(clippy::arithmetic_side_effects)]

use super::vectors::{VectorType, Vectors, component};
use crate::arch::search::{self as kernels, Coding, LANES, SIGN_TABLES};
use crate::engram::norm::squared_norm;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::check_index;
#[cfg(feature = "alloc")]
use alloc::{vec, vec::Vec};
use core::ops::Range;

/// What a score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Metric {
    /// The sum of the products, in f32.
    InnerProduct = 0,
    /// The inner product over both norms. With a vector of zeros on either side it is 0.
    Cosine = 1,
    /// Of a set of weighted query vectors: sum_q w_q * max_c cosine(q, c) / sum_q w_q over an entry's vectors c.
    MaxSim = 2,
}

impl Metric {
    /// The metric of a code in ENGRAM_INDEX_V1.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::InnerProduct),
            1 => Some(Self::Cosine),
            2 => Some(Self::MaxSim),
            _ => None,
        }
    }

    /// Its code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// An entry that was found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hit {
    /// Which entry, from 0 in order of insertion.
    pub entry: u32,
    /// Its score.
    pub score: f32,
}

impl Hit {
    /// Whether it stands before the other: by a higher score, or by an equal one and having been inserted earlier.
    fn before(&self, other: &Self) -> bool {
        self.score > other.score || self.score == other.score && self.entry < other.entry
    }
}

/// The best hits so far, in a caller's memory: a heap with the last of them on top.
///
/// What it holds in the end does not depend on the order in which hits come.
pub struct TopK<'a> {
    hits: &'a mut [Hit],
    len: usize,
}

impl<'a> TopK<'a> {
    /// For as many hits as `memory` has room for. What it holds does not matter.
    pub const fn new(memory: &'a mut [Hit]) -> Self {
        Self { hits: memory, len: 0 }
    }

    /// Hits held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hit that the next one has to stand before; `None` as long as there is room.
    #[must_use]
    pub fn last(&self) -> Option<Hit> {
        if self.len < self.hits.len() { None } else { self.hits.first().copied() }
    }

    /// Whether the hit would be held. Never, if its score is NaN.
    #[must_use]
    #[inline]
    pub fn admits(&self, hit: Hit) -> bool {
        if hit.score.is_nan() || self.hits.is_empty() {
            return false;
        }
        self.last().is_none_or(|last| hit.before(&last))
    }

    /// Adds the hit, if it [is admitted](Self::admits), in the place of the last one if there is no room. Cost: log2(k).
    pub fn push(&mut self, hit: Hit) {
        if !self.admits(hit) {
            return;
        }
        if self.len < self.hits.len() {
            let mut at = self.len;
            self.len = self.len.saturating_add(1);
            if let Some(place) = self.hits.get_mut(at) {
                *place = hit;
            }
            // Up, as long as it stands after the one above.
            while let Some(above) = at.checked_sub(1).map(|at| at / 2) {
                let (Some(a), Some(b)) = (self.hits.get(above), self.hits.get(at)) else { return };
                if !a.before(b) {
                    return;
                }
                self.hits.swap(above, at);
                at = above;
            }
        } else if let Some(top) = self.hits.first_mut() {
            *top = hit;
            sift_down(self.hits);
        }
    }

    /// The hits, the best first. Cost: k * log2(k).
    #[must_use]
    pub fn into_sorted(self) -> &'a [Hit] {
        let Self { hits, len } = self;
        let hits = hits.get_mut(..len).unwrap_or_default();
        let mut end = len;
        while let Some(last) = end.checked_sub(1) {
            hits.swap(0, last);
            sift_down(hits.get_mut(..last).unwrap_or_default());
            end = last;
        }
        hits
    }
}

impl core::fmt::Debug for TopK<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TopK").field("k", &self.hits.len()).field("len", &self.len).finish_non_exhaustive()
    }
}

/// Restores a heap whose top may be out of place.
fn sift_down(heap: &mut [Hit]) {
    let mut at = 0usize;
    loop {
        let left = at.saturating_mul(2).saturating_add(1);
        let Some(mut below) = heap.get(left) else { return };
        let mut place = left;
        if let Some(right) = heap.get(left.saturating_add(1))
            && below.before(right)
        {
            (below, place) = (right, left.saturating_add(1));
        }
        if heap.get(at).is_none_or(|top| !top.before(below)) {
            return;
        }
        heap.swap(at, place);
        at = place;
    }
}

/// What is searched for: one vector, or for MaxSim one or more, each with a weight.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    vectors: &'q [f32],
    weights: Option<&'q [f32]>,
}

impl<'q> Query<'q> {
    /// Vectors one after the other, each of weight 1.
    #[must_use]
    pub const fn new(vectors: &'q [f32]) -> Self {
        Self { vectors, weights: None }
    }

    /// Vectors one after the other, and a weight for each: finite, and 0 or more.
    #[must_use]
    pub const fn weighted(vectors: &'q [f32], weights: &'q [f32]) -> Self {
        Self { vectors, weights: Some(weights) }
    }

    /// The vectors, one after the other.
    #[must_use]
    pub const fn vectors(&self) -> &'q [f32] {
        self.vectors
    }
}

/// Rows whose scores are computed in one go.
const BLOCK: usize = 256;
/// Entries of a block in MaxSim.
const ENTRIES: usize = 64;
/// Squared norms within which the f32 sums of a cosine can neither overflow nor lose anything to underflow: by
/// Cauchy and Schwarz no partial sum is over the product of the norms, and n * 2^-150 is nothing beside it. Others are
/// computed once more, in f64.
const SAFE: Range<f64> = 1.0 / SAFE_END..SAFE_END;
const SAFE_END: f64 = (1u128 << 100) as f64;

/// Entries of one or more vectors each, and how they are scored.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    vectors: Vectors<'a>,
    per_entry: usize,
    metric: Metric,
    entries: u32,
}

impl<'a> Search<'a> {
    /// A search over `vectors`, of which every entry has `vectors_per_entry`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `vectors_per_entry` is 0, does not divide the rows, or is not 1 for a metric other than
    /// MaxSim.
    pub fn new(vectors: Vectors<'a>, vectors_per_entry: u16, metric: Metric) -> Result<Self> {
        let argument = |expected| Err(Error::caller(ErrorKind::Argument { expected }));
        if metric != Metric::MaxSim && vectors_per_entry != 1 {
            return argument("inner product and cosine need 1 vector per entry");
        }
        match vectors.rows().checked_rem(vectors_per_entry.into()) {
            Some(0) => {}
            _ => return argument("vectors_per_entry has to divide the number of vectors"),
        }
        let entries = vectors.rows().checked_div(vectors_per_entry.into()).unwrap_or(0);
        Ok(Self { vectors, per_entry: vectors_per_entry.into(), metric, entries })
    }

    /// The vectors.
    #[must_use]
    pub const fn vectors(&self) -> &Vectors<'a> {
        &self.vectors
    }

    /// What a score is.
    #[must_use]
    pub const fn metric(&self) -> Metric {
        self.metric
    }

    /// Entries.
    #[must_use]
    pub const fn entries(&self) -> u32 {
        self.entries
    }

    /// Floats of scratch memory with which a query of `count` vectors is as fast as it can be: tables for vectors of
    /// [`Bits`](VectorType::Bits), else 0.
    #[must_use]
    pub fn scratch_len(&self, count: usize) -> usize {
        match (self.vectors.kind(), self.metric) {
            (VectorType::Bits, Metric::MaxSim) => {
                count.div_ceil(LANES).saturating_mul(self.vectors.row_len()).saturating_mul(SIGN_TABLES)
            }
            (VectorType::Bits, _) => self.vectors.row_len().saturating_mul(256),
            _ => 0,
        }
    }

    /// Adds to `top` the best entries for `query` that pass `filter`, without allocating.
    ///
    /// `filter` gets an entry's number and is asked only about entries that would be held. `scratch` of less than
    /// [`scratch_len`](Self::scratch_len) changes nothing but the time. A query with a NaN finds nothing, and so does one whose
    /// weights are all 0. Cost: one pass over the vectors, at the speed of memory for f32 and f16.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the query has another number of components, or of weights; [`ErrorKind::Argument`] for
    /// weights with a metric other than MaxSim, or one that is negative, NaN or infinite.
    pub fn top_k_into(
        &self,
        query: Query<'_>,
        filter: impl Fn(u32) -> bool,
        scratch: &mut [f32],
        top: &mut TopK<'_>,
    ) -> Result<()> {
        let Some(query) = self.prepare(query)? else { return Ok(()) };
        let scratch = self.tables(&query, scratch);
        self.run(&query, scratch, 0..self.entries, &filter, top);
        Ok(())
    }

    /// The best `k` entries for `query` that pass `filter`, the best first; all of them, if there are fewer.
    ///
    /// # Errors
    /// As [`top_k_into`](Self::top_k_into).
    #[cfg(feature = "alloc")]
    pub fn top_k(&self, query: Query<'_>, k: usize, filter: impl Fn(u32) -> bool) -> Result<Vec<Hit>> {
        let Some(query) = self.prepare(query)? else { return Ok(Vec::new()) };
        let mut scratch = vec![0.0; self.scratch_len(query.count)];
        let scratch = self.tables(&query, &mut scratch);
        let mut memory = self.memory(k);
        let mut top = TopK::new(&mut memory);
        self.run(&query, scratch, 0..self.entries, &filter, &mut top);
        Ok(top.into_sorted().to_vec())
    }

    /// Adds to `top` the best of `entries` for `query` that pass `filter`, with the very scores of
    /// [`top_k_into`](Self::top_k_into), without allocating. An entry that is named twice may be held twice.
    ///
    /// # Errors
    /// As [`top_k_into`](Self::top_k_into), and [`ErrorKind::PastEnd`] for an entry that is not there.
    pub fn rescore_into(
        &self,
        query: Query<'_>,
        entries: impl IntoIterator<Item = u32>,
        filter: impl Fn(u32) -> bool,
        top: &mut TopK<'_>,
    ) -> Result<()> {
        let query = self.prepare(query)?;
        for entry in entries {
            check_index("the entry", entry, self.entries)?;
            if let Some(query) = &query {
                self.run(query, &[], entry..entry.saturating_add(1), &filter, top);
            }
        }
        Ok(())
    }

    /// As [`top_k`](Self::top_k), by up to `threads` threads that share the entries.
    ///
    /// # Errors
    /// As [`top_k_into`](Self::top_k_into).
    #[cfg(feature = "std")]
    pub fn top_k_parallel(
        &self,
        query: Query<'_>,
        k: usize,
        filter: impl Fn(u32) -> bool + Sync,
        threads: usize,
    ) -> Result<Vec<Hit>> {
        let Some(query) = self.prepare(query)? else { return Ok(Vec::new()) };
        let mut scratch = vec![0.0; self.scratch_len(query.count)];
        let scratch = self.tables(&query, &mut scratch);
        let each = |part: Range<u32>| {
            let mut memory = self.memory(k);
            let mut top = TopK::new(&mut memory);
            self.run(&query, scratch, part, &filter, &mut top);
            vec![top.into_sorted().to_vec()]
        };
        Ok(self.share(threads, k, 1, each).pop().unwrap_or_default())
    }

    /// The best `k` entries for each of many queries of one vector, that is for `queries` of `dim` components each; what
    /// [`top_k`](Self::top_k) finds for one after the other.
    ///
    /// Each row is read from memory once for all: five times the speed or more.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `queries` is not a whole number of vectors.
    #[cfg(feature = "alloc")]
    pub fn batch(&self, queries: &[f32], k: usize, filter: impl Fn(u32) -> bool) -> Result<Vec<Vec<Hit>>> {
        let queries = self.prepare_batch(queries)?;
        Ok(self.run_batch(&queries, k, 0..self.entries, &filter))
    }

    /// As [`batch`](Self::batch), by up to `threads` threads that share the entries.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    #[cfg(feature = "std")]
    pub fn batch_parallel(
        &self,
        queries: &[f32],
        k: usize,
        filter: impl Fn(u32) -> bool + Sync,
        threads: usize,
    ) -> Result<Vec<Vec<Hit>>> {
        let queries = self.prepare_batch(queries)?;
        Ok(self.share(threads, k, queries.len(), |part| self.run_batch(&queries, k, part, &filter)))
    }

    #[cfg(feature = "alloc")]
    fn memory(&self, k: usize) -> Vec<Hit> {
        vec![Hit::default(); k.min(self.entries as usize)]
    }

    /// Gives each thread a part of the entries, and puts together what they found for each of `count` queries.
    #[cfg(feature = "std")]
    fn share(
        &self,
        threads: usize,
        k: usize,
        count: usize,
        each: impl Fn(Range<u32>) -> Vec<Vec<Hit>> + Sync,
    ) -> Vec<Vec<Hit>> {
        let threads =
            u32::try_from(threads).unwrap_or(u32::MAX).clamp(1, self.entries.div_ceil(ENTRIES as u32).max(1));
        if threads == 1 {
            return each(0..self.entries);
        }
        let size = self.entries.div_ceil(threads);
        let parts: Vec<Range<u32>> = (0..threads)
            .map(|i| {
                let start = i.saturating_mul(size).min(self.entries);
                start..start.saturating_add(size).min(self.entries)
            })
            .collect();
        let found: Vec<Vec<Vec<Hit>>> = std::thread::scope(|scope| {
            let each = &each;
            let (first, others) = parts.split_first().map_or((0..0, &[][..]), |(a, b)| (a.clone(), b));
            let running: Vec<_> = others
                .iter()
                .map(|part| {
                    let part = part.clone();
                    // Without another thread, this one does the work.
                    let own = part.clone();
                    std::thread::Builder::new().spawn_scoped(scope, move || each(part)).map_err(|_| own)
                })
                .collect();
            let mut found = vec![each(first)];
            for handle in running {
                found.push(match handle {
                    Ok(handle) => match handle.join() {
                        Ok(found) => found,
                        // The filter's.
                        Err(panic) => std::panic::resume_unwind(panic),
                    },
                    Err(part) => each(part),
                });
            }
            found
        });
        (0..count)
            .map(|i| {
                let mut memory = self.memory(k);
                let mut top = TopK::new(&mut memory);
                for hit in found.iter().filter_map(|found| found.get(i)).flatten() {
                    top.push(*hit);
                }
                top.into_sorted().to_vec()
            })
            .collect()
    }

    fn dim(&self) -> usize {
        self.vectors.dim() as usize
    }

    /// The query, checked; `None` if it finds nothing.
    fn prepare<'q>(&self, query: Query<'q>) -> Result<Option<Prepared<'q>>> {
        let shape = |field, needed: usize, found: usize| {
            Err(Error::caller(ErrorKind::Shape { field, needed: needed as u64, found: found as u64 }))
        };
        let (vectors, dim) = (query.vectors, self.dim());
        let count = vectors.len().checked_div(dim).unwrap_or(0);
        let least = usize::from(self.metric != Metric::MaxSim || !vectors.is_empty());
        let needed = dim.saturating_mul(if self.metric == Metric::MaxSim { count.max(least) } else { 1 });
        if vectors.len() != needed {
            return shape("the query's length", needed, vectors.len());
        }
        if let Some(weights) = query.weights {
            if self.metric != Metric::MaxSim {
                let expected = "weights belong to MaxSim";
                return Err(Error::caller(ErrorKind::Argument { expected }));
            }
            if weights.len() != count {
                return shape("the number of weights", count, weights.len());
            }
            if !weights.iter().all(|w| w.is_finite() && *w >= 0.0) {
                let expected = "weights have to be finite, and 0 or more";
                return Err(Error::caller(ErrorKind::Argument { expected }));
            }
        }
        if vectors.iter().any(|y| y.is_nan()) {
            return Ok(None);
        }
        let mut total = 0.0;
        let mut safe = true;
        let mut square = 0.0;
        if self.metric != Metric::InnerProduct {
            for (q, y) in vectors.chunks_exact(dim.max(1)).enumerate() {
                square = squared_norm(y);
                safe &= square == 0.0 || SAFE.contains(&square);
                total += weight(query.weights, q);
            }
            if total == 0.0 {
                return Ok(None);
            }
        }
        Ok(Some(Prepared { vectors, weights: query.weights, count, total, square, safe }))
    }

    /// `scratch` as the tables of the query; empty if there is no use for them, or no room.
    fn tables<'t>(&self, query: &Prepared<'_>, scratch: &'t mut [f32]) -> &'t [f32] {
        let needed = self.scratch_len(query.count);
        let Some(tables) = scratch.get_mut(..needed).filter(|tables| !tables.is_empty()) else { return &[] };
        let dim = self.dim();
        if self.metric == Metric::MaxSim {
            let group = self.vectors.row_len().saturating_mul(SIGN_TABLES).max(1);
            let queries = query.vectors.chunks(dim.saturating_mul(LANES).max(1));
            for (queries, tables) in queries.zip(tables.chunks_exact_mut(group)) {
                kernels::sign_tables(queries, dim, tables);
            }
        } else {
            kernels::sign_table(query.vectors, tables);
        }
        tables
    }

    fn coding(&self) -> Option<Coding> {
        match self.vectors.kind() {
            VectorType::F32 => Some(Coding::F32),
            VectorType::F16 => Some(Coding::F16),
            VectorType::Mu16(_) => Some(Coding::I16),
            VectorType::I8 => Some(Coding::I8),
            VectorType::Bits => None,
        }
    }

    /// One query over a part of the entries.
    fn run(
        &self,
        query: &Prepared<'_>,
        tables: &[f32],
        part: Range<u32>,
        filter: &impl Fn(u32) -> bool,
        top: &mut TopK<'_>,
    ) {
        match self.metric {
            Metric::MaxSim => self.run_max_sim(query, tables, part, filter, top),
            Metric::InnerProduct | Metric::Cosine => self.run_single(query, tables, part, filter, top),
        }
    }

    fn run_single(
        &self,
        query: &Prepared<'_>,
        tables: &[f32],
        part: Range<u32>,
        filter: &impl Fn(u32) -> bool,
        top: &mut TopK<'_>,
    ) {
        let row_len = self.vectors.row_len();
        let (mut dots, mut squares) = ([0f32; BLOCK], [0f32; BLOCK]);
        let mut first = part.start;
        while first < part.end {
            let count = (part.end.saturating_sub(first) as usize).min(BLOCK);
            let rows = self.vectors.rows_from(first as usize);
            let dots = dots.get_mut(..count).unwrap_or_default();
            let squares = squares.get_mut(..count).unwrap_or_default();
            match self.coding() {
                Some(coding) if self.metric == Metric::Cosine => {
                    kernels::dots_and_squares(coding, rows, row_len, query.vectors, dots, squares);
                }
                Some(coding) => kernels::dots(coding, rows, row_len, query.vectors, dots),
                None if tables.is_empty() => {
                    for (dot, row) in dots.iter_mut().zip(rows.chunks_exact(row_len.max(1))) {
                        *dot = kernels::sign_dot(row, query.vectors);
                    }
                }
                None => kernels::sign_dots(rows, row_len, tables, dots),
            }
            if self.coding().is_none() {
                squares.fill(self.vectors.dim() as f32);
            }
            self.take(query, first, dots, squares, filter, top);
            first = first.saturating_add(count as u32);
        }
    }

    /// Scores a block's inner products with one query, and keeps the best.
    fn take(
        &self,
        query: &Prepared<'_>,
        first: u32,
        dots: &mut [f32],
        squares: &[f32],
        filter: &impl Fn(u32) -> bool,
        top: &mut TopK<'_>,
    ) {
        if self.metric == Metric::InnerProduct {
            self.scale(first, dots);
            for (first, scores) in (first..).step_by(LANES).zip(dots.chunks(LANES)) {
                // The least score that is held, if there is no room: what is below is not admitted.
                let least = top.last().map_or(f32::NEG_INFINITY, |last| last.score);
                if scores.iter().fold(false, |any, score| any | (*score >= least)) {
                    for (entry, score) in (first..).zip(scores) {
                        offer(Hit { entry, score: *score }, filter, top);
                    }
                }
            }
            return;
        }
        if self.vectors.kind() == VectorType::I8 {
            for (row, dot) in (first..).zip(dots.iter_mut()) {
                *dot *= self.sign(row) as f32;
            }
        }
        let norm = libm::sqrt(query.square);
        let blocks = (first..).step_by(LANES).zip(dots.chunks(LANES)).zip(squares.chunks(LANES));
        for ((first, dots), squares) in blocks {
            let (least, bound) = self.bound(query, top);
            let candidate = |dot: f32, square: f32| {
                !((square > SAFE.start as f32)
                    & (square < SAFE.end as f32)
                    & ((dot < least) | (dot * dot < bound * square)))
            };
            let pairs = dots.iter().zip(squares);
            if !pairs.clone().fold(false, |any, (dot, square)| any | candidate(*dot, *square)) {
                continue;
            }
            for (entry, (dot, square)) in (first..).zip(pairs) {
                if !candidate(*dot, *square) {
                    continue;
                }
                let score = if query.square == 0.0 {
                    0.0
                } else if query.safe && SAFE.contains(&f64::from(*square)) {
                    f64::from(*dot) / (norm * libm::sqrt(f64::from(*square)))
                } else {
                    self.cosine(query.vectors, query.square, entry)
                };
                offer(Hit { entry, score: score as f32 }, filter, top);
            }
        }
    }

    /// Makes inner products of integers those of the vectors: one rounding more.
    fn scale(&self, first: u32, dots: &mut [f32]) {
        match self.vectors.kind() {
            VectorType::Mu16(step) => {
                let step = step.as_f64();
                dots.iter_mut().for_each(|dot| *dot = (f64::from(*dot) * step) as f32);
            }
            VectorType::I8 => {
                let scales = self.vectors.scale_bytes().as_chunks::<4>().0;
                let scales = scales.get(first as usize..).unwrap_or_default();
                for (dot, scale) in dots.iter_mut().zip(scales) {
                    *dot = (f64::from(*dot) * f64::from(f32::from_le_bytes(*scale))) as f32;
                }
            }
            VectorType::F32 | VectorType::F16 | VectorType::Bits => {}
        }
    }

    /// What tells without a root that a cosine is below the least score that is held: d < the first, or d * d < the second * |c|^2.
    ///
    /// The second is floor^2 * |q|^2, less 2^-19 of it; rounding it and both products to f32 keeps their order. So d / (|q| |c|)
    /// is below floor * (1 - 2^-21), all errors in f64 are below 2^-50 of it, and rounded to f32 it is below the floor.
    fn bound(&self, query: &Prepared<'_>, top: &TopK<'_>) -> (f32, f32) {
        const NONE: (f32, f32) = (f32::NEG_INFINITY, 0.0);
        let Some(floor) = top.last().map(|last| last.score) else { return NONE };
        if !query.safe || query.square == 0.0 || floor < f32::MIN_POSITIVE {
            return NONE;
        }
        let floor = f64::from(floor);
        let bound = (floor * floor * query.square * (1.0 - 1.0 / 524_288.0)) as f32;
        if bound < f32::MIN_POSITIVE { NONE } else { (0.0, bound) }
    }

    /// 1, or what it takes the place of: the sign of an i8 row's scale, or 0 or NaN.
    fn sign(&self, row: u32) -> f64 {
        if self.vectors.kind() != VectorType::I8 {
            return 1.0;
        }
        match self.vectors.factor(row).unwrap_or(1.0) {
            scale if !scale.is_finite() => f64::NAN,
            0.0 => 0.0,
            scale => f64::copysign(1.0, scale),
        }
    }

    /// In f64, one component after the other.
    #[cold]
    fn cosine(&self, y: &[f32], square: f64, row: u32) -> f64 {
        let bytes = self.vectors.row(row).unwrap_or_default();
        let (mut dot, mut other) = (0f64, 0f64);
        for (column, y) in y.iter().enumerate() {
            let x = f64::from(component(self.vectors.kind(), bytes, column));
            dot += x * f64::from(*y);
            other += x * x;
        }
        if square == 0.0 || other == 0.0 {
            return 0.0;
        }
        self.sign(row) * dot / (libm::sqrt(square) * libm::sqrt(other))
    }

    fn run_max_sim(
        &self,
        query: &Prepared<'_>,
        tables: &[f32],
        part: Range<u32>,
        filter: &impl Fn(u32) -> bool,
        top: &mut TopK<'_>,
    ) {
        let mut first = part.start;
        let mut sums = [0f64; ENTRIES];
        while first < part.end {
            let count = (part.end.saturating_sub(first) as usize).min(ENTRIES);
            let sums = sums.get_mut(..count).unwrap_or_default();
            self.max_sim(query, tables, first, sums);
            for (entry, sum) in (first..).zip(sums) {
                offer(Hit { entry, score: (*sum / query.total) as f32 }, filter, top);
            }
            first = first.saturating_add(count as u32);
        }
    }

    /// sum_q w_q * max_c cosine(q, c) of up to [`ENTRIES`] entries from `first` on.
    fn max_sim(&self, query: &Prepared<'_>, tables: &[f32], first: u32, sums: &mut [f64]) {
        let (dim, row_len) = (self.dim(), self.vectors.row_len());
        sums.fill(0.0);
        if !query.safe {
            for (entry, sum) in (first..).zip(sums) {
                *sum = self.max_sim_f64(query, entry);
            }
            return;
        }
        let mut greatest = [[0f32; LANES]; ENTRIES];
        let greatest = greatest.get_mut(..sums.len()).unwrap_or_default();
        let mut unsafe_entries = 0u64;
        let rows_before = (first as usize).saturating_mul(self.per_entry);
        let mut group_tables = tables.chunks_exact(row_len.saturating_mul(SIGN_TABLES).max(1));
        for (group, vectors) in query.vectors.chunks(dim.saturating_mul(LANES).max(1)).enumerate() {
            match self.coding() {
                None => {
                    let rows = self.vectors.rows_from(rows_before);
                    match group_tables.next() {
                        Some(tables) => kernels::sign_max(rows, row_len, self.per_entry, tables, greatest),
                        None => sign_max_without(rows, row_len, self.per_entry, vectors, dim, greatest),
                    }
                    let inverse = (1.0 / libm::sqrt(f64::from(self.vectors.dim()))) as f32;
                    for greatest in greatest.iter_mut().flatten() {
                        *greatest *= inverse;
                    }
                }
                Some(coding) => {
                    for (i, greatest) in greatest.iter_mut().enumerate() {
                        let first = rows_before.saturating_add(i.saturating_mul(self.per_entry));
                        if !self.entry_max(coding, first, vectors, greatest) {
                            unsafe_entries |= 1u64.wrapping_shl(i as u32);
                        }
                    }
                }
            }
            let q = group.saturating_mul(LANES);
            for (i, y) in vectors.chunks_exact(dim.max(1)).enumerate() {
                let (norm, weight) =
                    (libm::sqrt(squared_norm(y)), weight(query.weights, q.saturating_add(i)));
                if norm == 0.0 || weight == 0.0 {
                    continue;
                }
                let weight = weight / norm;
                for (sum, greatest) in sums.iter_mut().zip(greatest.iter()) {
                    *sum += weight * f64::from(greatest.get(i).copied().unwrap_or(0.0));
                }
            }
        }
        for (i, (entry, sum)) in (first..).zip(sums).enumerate() {
            if (unsafe_entries.wrapping_shr(i as u32)) & 1 == 1 {
                *sum = self.max_sim_f64(query, entry);
            }
        }
    }

    /// max_c <q, c> / |c| for up to [`LANES`] queries and the entry whose rows start at `first`; `false` if f32 will not do.
    fn entry_max(&self, coding: Coding, first: usize, queries: &[f32], out: &mut [f32; LANES]) -> bool {
        let (dim, row_len) = (self.dim(), self.vectors.row_len());
        *out = [f32::NEG_INFINITY; LANES];
        let (mut squares, mut dots) = ([0f32; LANES], [0f32; LANES * LANES]);
        let mut done = 0usize;
        while done < self.per_entry {
            let count = self.per_entry.saturating_sub(done).min(LANES);
            let row = first.saturating_add(done);
            let rows = self.vectors.rows_from(row);
            let squares = squares.get_mut(..count).unwrap_or_default();
            kernels::squares(coding, rows, row_len, dim, squares);
            kernels::tile(coding, rows, row_len, queries, dim, count, &mut dots);
            for (row, square) in (row as u32..).zip(squares.iter_mut()) {
                let sign = self.sign(row);
                if !SAFE.contains(&f64::from(*square)) || sign.is_nan() {
                    return false;
                }
                *square = (sign / libm::sqrt(f64::from(*square))) as f32;
            }
            for (out, dots) in out.iter_mut().zip(dots.chunks_exact(count)) {
                for (dot, inverse) in dots.iter().zip(squares.iter()) {
                    let x = dot * inverse;
                    *out = if x > *out { x } else { *out };
                }
            }
            done = done.saturating_add(count);
        }
        true
    }

    /// The same in f64 alone.
    #[cold]
    fn max_sim_f64(&self, query: &Prepared<'_>, entry: u32) -> f64 {
        let first = entry.saturating_mul(self.per_entry as u32);
        let mut sum = 0.0;
        for (q, y) in query.vectors.chunks_exact(self.dim().max(1)).enumerate() {
            let (weight, square) = (weight(query.weights, q), squared_norm(y));
            if weight == 0.0 || square == 0.0 {
                continue;
            }
            let mut greatest = f64::NEG_INFINITY;
            for row in first..first.saturating_add(self.per_entry as u32) {
                let x = self.cosine(y, square, row);
                if x.is_nan() {
                    return f64::NAN;
                }
                greatest = if x > greatest { x } else { greatest };
            }
            sum += weight * greatest;
        }
        sum
    }

    #[cfg(feature = "alloc")]
    fn prepare_batch<'q>(&self, queries: &'q [f32]) -> Result<Vec<Option<Prepared<'q>>>> {
        let dim = self.dim().max(1);
        let each = queries.chunks(dim).map(|y| self.prepare(Query::new(y)));
        each.collect()
    }

    #[cfg(feature = "alloc")]
    fn run_batch(
        &self,
        queries: &[Option<Prepared<'_>>],
        k: usize,
        part: Range<u32>,
        filter: &impl Fn(u32) -> bool,
    ) -> Vec<Vec<Hit>> {
        let mut memory: Vec<Vec<Hit>> = queries.iter().map(|_| self.memory(k)).collect();
        let mut tops: Vec<TopK<'_>> = memory.iter_mut().map(|memory| TopK::new(memory)).collect();
        if self.metric == Metric::MaxSim || queries.len() < 2 {
            let mut scratch = vec![0.0; self.scratch_len(1)];
            for (query, top) in queries.iter().zip(&mut tops) {
                if let Some(query) = query {
                    let tables = self.tables(query, &mut scratch);
                    self.run(query, tables, part.clone(), filter, top);
                }
            }
        } else {
            self.run_tiles(queries, part, filter, &mut tops);
        }
        tops.into_iter().map(|top| top.into_sorted().to_vec()).collect()
    }

    /// Blocks of rows that stay in the cache, by groups of queries.
    #[cfg(feature = "alloc")]
    fn run_tiles(
        &self,
        queries: &[Option<Prepared<'_>>],
        part: Range<u32>,
        filter: &impl Fn(u32) -> bool,
        tops: &mut [TopK<'_>],
    ) {
        /// Queries of a group.
        const GROUP: usize = 64;
        /// Bytes of a block, roughly.
        const CACHED: usize = 32_768;
        let (dim, row_len) = (self.dim(), self.vectors.row_len());
        // One string of those that are to be searched for.
        let flat: Vec<f32> = queries.iter().flatten().flat_map(|query| query.vectors).copied().collect();
        let mut live: Vec<(&Prepared<'_>, &mut TopK<'_>)> =
            queries.iter().zip(tops).filter_map(|(query, top)| Some((query.as_ref()?, top))).collect();
        let group = if self.coding().is_some() { GROUP } else { LANES };
        let tables: Vec<Vec<f32>> = if self.coding().is_some() {
            Vec::new()
        } else {
            let len = row_len.saturating_mul(SIGN_TABLES);
            let groups = flat.chunks(dim.saturating_mul(LANES).max(1));
            let fill = |queries| {
                let mut tables = vec![0.0; len];
                kernels::sign_tables(queries, dim, &mut tables);
                tables
            };
            groups.map(fill).collect()
        };
        let block = CACHED.checked_div(row_len).unwrap_or(1).clamp(8, BLOCK);
        let mut dots = vec![0f32; block.saturating_mul(GROUP)];
        let mut sign_sums = vec![[0f32; LANES]; block];
        let mut squares = vec![self.vectors.dim() as f32; block];
        let mut first = part.start;
        while first < part.end {
            let count = (part.end.saturating_sub(first) as usize).min(block);
            let rows = self.vectors.rows_from(first as usize);
            let squares = squares.get_mut(..count).unwrap_or_default();
            if let (Some(coding), Metric::Cosine) = (self.coding(), self.metric) {
                kernels::squares(coding, rows, row_len, dim, squares);
            }
            let vectors = flat.chunks(dim.saturating_mul(group).max(1));
            for (g, (live, vectors)) in live.chunks_mut(group).zip(vectors).enumerate() {
                let dots = dots.get_mut(..count.saturating_mul(live.len())).unwrap_or_default();
                if let Some(coding) = self.coding() {
                    kernels::tile(coding, rows, row_len, vectors, dim, count, dots);
                } else {
                    let sums = sign_sums.get_mut(..count).unwrap_or_default();
                    kernels::sign_max(rows, row_len, 1, tables.get(g).map_or(&[], Vec::as_slice), sums);
                    for (i, dots) in dots.chunks_exact_mut(count).enumerate() {
                        for (dot, sums) in dots.iter_mut().zip(sums.iter()) {
                            *dot = sums.get(i).copied().unwrap_or(0.0);
                        }
                    }
                }
                for ((query, top), dots) in live.iter_mut().zip(dots.chunks_exact_mut(count)) {
                    self.take(query, first, dots, squares, filter, top);
                }
            }
            first = first.saturating_add(count as u32);
        }
    }
}

/// A query that was checked.
struct Prepared<'q> {
    vectors: &'q [f32],
    weights: Option<&'q [f32]>,
    count: usize,
    /// The sum of the weights.
    total: f64,
    /// The squared norm of the (last) vector, in f64.
    square: f64,
    /// Whether f32 will do for cosines.
    safe: bool,
}

fn weight(weights: Option<&[f32]>, q: usize) -> f64 {
    weights.map_or(1.0, |weights| weights.get(q).copied().unwrap_or(0.0).into())
}

#[inline]
fn offer(hit: Hit, filter: &impl Fn(u32) -> bool, top: &mut TopK<'_>) {
    if top.admits(hit) && filter(hit.entry) {
        top.push(hit);
    }
}

fn sign_max_without(
    rows: &[u8],
    row_len: usize,
    per_entry: usize,
    queries: &[f32],
    dim: usize,
    out: &mut [[f32; LANES]],
) {
    let entries = rows.chunks_exact(row_len.saturating_mul(per_entry).max(1));
    for (entry, out) in entries.zip(out) {
        for (y, out) in queries.chunks_exact(dim.max(1)).zip(out) {
            *out = entry.chunks_exact(row_len.max(1)).fold(f32::NEG_INFINITY, |greatest, row| {
                let dot = kernels::sign_dot(row, y);
                if dot > greatest { dot } else { greatest }
            });
        }
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests;

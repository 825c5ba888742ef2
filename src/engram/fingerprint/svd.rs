//! Fingerprints in the singular vectors of the keys.
//!
//! The right singular vectors of the rows A are the eigenvectors of AᵀA, and the singular values the roots of its eigenvalues.
//! AᵀA is summed in f64, where products of f32 are exact; what is lost are singular values below about 1e-7 of the largest,
//! as with a decomposition of A in f32 (spec/engram.md, "Fingerprints").
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::ops::Range;

use super::mean::mean_of;
use super::sample::Mt19937;
use super::{LayerRange, non_finite, shape};
use crate::arch::moments::{Block, gram_exact, panel_len, triangle_row, widen};
use crate::engram::eigen::self_adjoint;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::zeros;
use crate::wire::check_len;

/// The largest `head_dim` that is decomposed: some matrices of `head_dim` x `head_dim` f64 are needed, and time with the cube.
pub const MAX_SVD_DIM: u32 = 2048;

/// Rows that are gathered before they are multiplied.
const BLOCK_ROWS: usize = 64;

/// f64 of a cache line.
const LINE: usize = 8;

/// Products from which on a second thread pays.
const THREAD_WORK: usize = 1 << 22;

/// Which of the two directions of a singular vector is taken. Both rules give the same vectors on every machine but for
/// rounding, as long as what they look at is not 0 within rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Signs {
    /// The one on which the projection of the rows' mean is not negative. The steadier rule, and one that no rounding can
    /// shake: where the projection is nearly 0, so is the component, whatever its sign. All components are >= 0.
    #[default]
    Mean,
    /// The one in which the component of largest magnitude (the first of several) is positive. Known from other software;
    /// where two loadings are nearly equal and opposite, rounding decides.
    LargestLoading,
}

/// How [`svd_project`] works. The default is ENGRAM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SvdOptions {
    /// The layers. [`LayerRange::Upper`].
    pub layers: LayerRange,
    /// Singular vectors to keep; 160. At most `min(head_dim, rows) - gate` are.
    pub rank: u32,
    /// Leading singular vectors to leave out; 0.
    pub gate: u32,
    /// Rows (keys) to look at; of more, this many are drawn. 8192.
    pub max_rows: u32,
    /// The seed of the draw; 42.
    pub seed: u32,
    /// The directions of the singular vectors.
    pub signs: Signs,
}

impl Default for SvdOptions {
    fn default() -> Self {
        let (layers, signs) = (LayerRange::default(), Signs::default());
        Self { layers, rank: 160, gate: 0, max_rows: 8192, seed: 42, signs }
    }
}

/// How [`xkv_project`] works. The default is ENGRAM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XkvOptions {
    /// The layers. [`LayerRange::Upper`].
    pub layers: LayerRange,
    /// Components over all groups of 4 layers; 160. Layers that make no full group add to it.
    pub rank: u32,
    /// Rows to look at in each group; 8192.
    pub max_rows: u32,
    /// The seed of the first group's draw, one more for each group that follows; 42.
    pub seed: u32,
    /// The directions of the singular vectors.
    pub signs: Signs,
}

impl Default for XkvOptions {
    fn default() -> Self {
        let SvdOptions { layers, rank, max_rows, seed, signs, .. } = SvdOptions::default();
        Self { layers, rank, max_rows, seed, signs }
    }
}

/// How [`fit_corpus_basis`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorpusOptions {
    /// The layers of each document. [`LayerRange::Upper`].
    pub layers: LayerRange,
    /// Singular vectors to keep; 160.
    pub rank: u32,
    /// Leading singular vectors to leave out; 0.
    pub gate: u32,
    /// Rows over all documents; each gives at most its equal share, and at least one. 32768.
    pub max_rows: u32,
    /// The seed of the one generator that draws for all documents; 42.
    pub seed: u32,
    /// The directions of the singular vectors; the mean is that of all rows taken.
    pub signs: Signs,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        let SvdOptions { layers, rank, gate, seed, signs, .. } = SvdOptions::default();
        Self { layers, rank, gate, max_rows: 32768, seed, signs }
    }
}

/// What [`svd_project`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct SvdFingerprint {
    /// The mean of the rows in the basis: the fingerprint.
    pub vector: Vec<f32>,
    /// The singular vectors kept.
    pub basis: Basis,
    /// The singular values, falling: of the vectors left out by the gate, then of those kept. Those below 1e-7 of the first
    /// are rounding.
    pub singular_values: Vec<f32>,
    /// The share that `singular_values`, squared, have in the sum of all: the gated ones count. 0 if all are 0.
    pub explained_variance_ratio: f64,
    /// Rows looked at.
    pub rows: u32,
}

impl SvdFingerprint {
    /// The mean as far as the basis holds it, in the keys' own coordinates: `head_dim` values. It depends on no sign and no
    /// order of the vectors, and is the same kind of thing for every document: this is what to compare.
    #[must_use]
    pub fn back_projection(&self) -> Vec<f32> {
        self.basis.back(&self.vector)
    }
}

/// What [`xkv_project`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct XkvFingerprint {
    /// The fingerprints of the groups, one after the other: the fingerprint.
    pub vector: Vec<f32>,
    /// The groups.
    pub groups: Vec<SvdFingerprint>,
}

impl XkvFingerprint {
    /// The groups' [back-projections](SvdFingerprint::back_projection), one after the other: groups x `head_dim` values.
    #[must_use]
    pub fn back_projection(&self) -> Vec<f32> {
        self.groups.iter().flat_map(SvdFingerprint::back_projection).collect()
    }
}

/// Directions in the space of keys, as rows of `head_dim` values.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    head_dim: u32,
    vectors: Vec<f32>,
}

/// What [`Basis::extract`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusFingerprint {
    /// The mean key in the basis, divided by its length + 1e-8.
    pub vector: Vec<f32>,
    /// Its length before that.
    pub norm: f64,
}

impl Basis {
    /// A basis that is there already: `[rank][head_dim]`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if this is not one or more whole vectors; [`ErrorKind::NonFinite`].
    pub fn new(head_dim: u32, vectors: Vec<f32>) -> Result<Self> {
        let whole = (vectors.len() as u64).checked_rem(u64::from(head_dim)) == Some(0);
        if !whole || vectors.is_empty() {
            let expected = "a basis is one or more whole vectors of head_dim values";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        if let Some(place) = vectors.iter().position(|x| !x.is_finite()) {
            let (place, dim) = (place as u64, u64::from(head_dim));
            let (row, column) = (place.checked_div(dim), place.checked_rem(dim));
            let kind = ErrorKind::NonFinite { row: row.unwrap_or(0), column: column.unwrap_or(0) };
            return Err(Error::caller(kind));
        }
        Ok(Self { head_dim, vectors })
    }

    /// Components of a vector.
    #[must_use]
    pub fn head_dim(&self) -> u32 {
        self.head_dim
    }

    /// The vectors, one after the other: `[rank][head_dim]`, the transpose of ENGRAM's W.
    #[must_use]
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// How many.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rows().len()
    }

    /// The mean of all keys of the layers in this basis, at length 1 (but for 1e-8), and its length before. Reads every key.
    ///
    /// # Errors
    /// As [`mean_pool`](super::mean_pool); [`ErrorKind::Shape`] for keys of another length.
    pub fn extract<S: KeySource + ?Sized>(&self, keys: &S, layers: LayerRange) -> Result<CorpusFingerprint> {
        check_dim(self.head_dim, keys.shape().head_dim)?;
        let mean = mean_of(keys, layers)?;
        let vector: Vec<f64> = self.rows().map(|row| dot(row.iter().map(|x| f64::from(*x)), &mean)).collect();
        let norm = libm::sqrt(vector.iter().map(|x| x * x).sum());
        Ok(CorpusFingerprint { vector: vector.iter().map(|x| (x / (norm + 1e-8)) as f32).collect(), norm })
    }

    /// The components of a vector of `head_dim` values in this basis.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] for one of another length.
    pub fn project(&self, vector: &[f32]) -> Result<Vec<f32>> {
        check_len("the vector", u64::from(self.head_dim), vector.len() as u64)?;
        let wide: Vec<f64> = vector.iter().map(|x| f64::from(*x)).collect();
        Ok(self.rows().map(|row| dot(row.iter().map(|x| f64::from(*x)), &wide) as f32).collect())
    }

    /// The sum of the vectors, each times its component of `fingerprint`: `head_dim` values.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `fingerprint` has not one value for each vector.
    pub fn back_project(&self, fingerprint: &[f32]) -> Result<Vec<f32>> {
        check_len("the fingerprint", self.rank() as u64, fingerprint.len() as u64)?;
        Ok(self.back(fingerprint))
    }

    fn rows(&self) -> core::slice::ChunksExact<'_, f32> {
        self.vectors.chunks_exact((self.head_dim as usize).max(1))
    }

    fn back(&self, fingerprint: &[f32]) -> Vec<f32> {
        let mut sums = alloc::vec![0.0; self.head_dim as usize];
        for (row, by) in self.rows().zip(fingerprint) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*by));
        }
        sums.iter().map(|x| *x as f32).collect()
    }
}

/// The mean key in the leading singular vectors of the keys: ENGRAM's `svd_project`.
///
/// Rows are the keys of the layers, layer by layer, head by head, token by token. Of more than `max_rows`, those that
/// `torch.randperm(rows)[:max_rows]` names on a generator of the seed are looked at, the mean included. The vectors kept are
/// number `gate` to `gate + rank`, or to `min(head_dim, rows)`; so the fingerprint can be shorter than `rank`.
///
/// Takes `rows * head_dim²` products, on two threads where there are two and it pays, and an eigen-decomposition of
/// `head_dim` x `head_dim`. The answer does not depend on the number of threads. Only the rows looked at are read.
///
/// Each document has a basis of its own, so fingerprints of different documents are coordinates in different axes: their inner
/// products say little. Compare [`SvdFingerprint::back_projection`].
///
/// # Errors
/// As [`mean_pool`](super::mean_pool), non-finite keys only where they are looked at; [`ErrorKind::Argument`] for rank or
/// max_rows 0; [`ErrorKind::TooLarge`] for a gate that leaves nothing, for `head_dim` over [`MAX_SVD_DIM`], and for more than
/// 2^32 - 1 rows.
pub fn svd_project<S: KeySource + Sync + ?Sized>(keys: &S, options: &SvdOptions) -> Result<SvdFingerprint> {
    let shape = svd_shape(keys)?;
    let SvdOptions { layers, rank, gate, max_rows, seed, signs } = *options;
    check_rank(rank, max_rows)?;
    let rows = Rows::choose(shape, layers.of(shape.layers)?, max_rows, seed)?;
    Moments::new(shape.head_dim)?.with(keys, &rows)?.decompose(rank, gate, signs)
}

/// [`svd_project`] of every 4 layers, one after the other: ENGRAM's `xkv_project`.
///
/// With L layers there are `groups = max(1, L / 4)` groups, and the layers that are left, if any, are one more; each has
/// `min(head_dim, max(1, rank / groups))` components, and draws with a seed of its own.
///
/// # Errors
/// As [`svd_project`].
pub fn xkv_project<S: KeySource + Sync + ?Sized>(keys: &S, options: &XkvOptions) -> Result<XkvFingerprint> {
    const GROUP: u32 = 4;
    let shape = svd_shape(keys)?;
    let XkvOptions { layers, rank, max_rows, seed, signs } = *options;
    check_rank(rank, max_rows)?;
    let layers = layers.of(shape.layers)?;
    let groups = (layers.end.saturating_sub(layers.start) / GROUP).max(1);
    let rank = rank.checked_div(groups).unwrap_or(1).clamp(1, shape.head_dim);
    let mut found = XkvFingerprint { vector: Vec::new(), groups: Vec::new() };
    for (start, group) in layers.clone().step_by(GROUP as usize).zip(0u32..) {
        let layers = start..start.saturating_add(GROUP).min(layers.end);
        let rows = Rows::choose(shape, layers, max_rows, seed.wrapping_add(group))?;
        let group = Moments::new(shape.head_dim)?.with(keys, &rows)?.decompose(rank, 0, signs)?;
        found.vector.extend(&group.vector);
        found.groups.push(group);
    }
    Ok(found)
}

/// The leading singular vectors of the keys of many documents: ENGRAM's `compute_corpus_basis`. With them,
/// [`Basis::extract`] gives fingerprints in the same axes for every document.
///
/// Each document gives at most `max(1, max_rows / documents)` rows; of more, a permutation is drawn as for [`svd_project`], by
/// one generator for all documents in turn.
///
/// # Errors
/// As [`svd_project`]; [`ErrorKind::Argument`] without documents; [`ErrorKind::Shape`] if they differ in `head_dim`.
pub fn fit_corpus_basis<S: KeySource + Sync + ?Sized>(
    documents: &[&S],
    options: &CorpusOptions,
) -> Result<Basis> {
    let CorpusOptions { layers, rank, gate, max_rows, seed, signs } = *options;
    check_rank(rank, max_rows)?;
    let Some(first) = documents.first() else {
        return Err(Error::caller(ErrorKind::Argument { expected: "at least one document" }));
    };
    let count = u32::try_from(documents.len()).unwrap_or(u32::MAX).max(1);
    let share = max_rows.checked_div(count).unwrap_or(0).max(1);
    let head_dim = svd_shape(*first)?.head_dim;
    let mut moments = Moments::new(head_dim)?;
    let mut generator = Mt19937::new(seed);
    for keys in documents {
        let shape = svd_shape(*keys)?;
        check_dim(head_dim, shape.head_dim)?;
        let mut rows = Rows::all(shape, layers.of(shape.layers)?)?;
        if rows.count > share {
            rows.draw(generator.permutation(rows.count, share)?);
        }
        moments = moments.with(*keys, &rows)?;
    }
    Ok(moments.decompose(rank, gate, signs)?.basis)
}

fn svd_shape<S: KeySource + ?Sized>(keys: &S) -> Result<KeyShape> {
    let shape = shape(keys)?;
    if shape.head_dim > MAX_SVD_DIM {
        let (max, found) = (u64::from(MAX_SVD_DIM), u64::from(shape.head_dim));
        return Err(Error::caller(ErrorKind::TooLarge { field: "head_dim", max, found }));
    }
    Ok(shape)
}

fn check_rank(rank: u32, max_rows: u32) -> Result<()> {
    if rank == 0 || max_rows == 0 {
        let expected = if rank == 0 { "a rank of at least 1" } else { "a row cap of at least 1" };
        return Err(Error::caller(ErrorKind::Argument { expected }));
    }
    Ok(())
}

fn check_dim(needed: u32, found: u32) -> Result<()> {
    if needed != found {
        let (needed, found) = (u64::from(needed), u64::from(found));
        return Err(Error::caller(ErrorKind::Shape { field: "head_dim", needed, found }));
    }
    Ok(())
}

fn dot(a: impl Iterator<Item = f64>, b: &[f64]) -> f64 {
    a.zip(b).map(|(a, b)| a * b).sum()
}

/// Which keys are looked at.
struct Rows {
    shape: KeyShape,
    first_layer: u32,
    /// How many, or how many there are to draw from.
    count: u32,
    /// Those drawn; `None` for all.
    drawn: Option<Vec<u32>>,
}

impl Rows {
    fn all(shape: KeyShape, layers: Range<u32>) -> Result<Self> {
        let chosen = KeyShape { layers: layers.end.saturating_sub(layers.start), ..shape };
        let found = chosen.rows()?;
        let max = u64::from(u32::MAX);
        let too_large = ErrorKind::TooLarge { field: "layers * heads * tokens", max, found };
        let count = u32::try_from(found).map_err(|_| Error::caller(too_large))?;
        Ok(Self { shape, first_layer: layers.start, count, drawn: None })
    }

    fn choose(shape: KeyShape, layers: Range<u32>, max_rows: u32, seed: u32) -> Result<Self> {
        let mut rows = Self::all(shape, layers)?;
        if rows.count > max_rows {
            rows.draw(Mt19937::new(seed).first_places(rows.count, max_rows)?);
        }
        Ok(rows)
    }

    fn draw(&mut self, rows: Vec<u32>) {
        self.count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        self.drawn = Some(rows);
    }

    /// Layer, head and token of a row.
    fn place(&self, i: u32) -> (u32, u32, u32) {
        let row = self.drawn.as_ref().map_or(i, |rows| rows.get(i as usize).copied().unwrap_or(0));
        // Neither is 0: there are keys.
        let split = |x: u32, by: u32| (x.checked_div(by).unwrap_or(0), x.checked_rem(by).unwrap_or(0));
        let (rest, token) = split(row, self.shape.tokens);
        let (layer, head) = split(rest, self.shape.heads);
        (self.first_layer.saturating_add(layer), head, token)
    }
}

/// Sums of rows and of their products.
struct Moments {
    head_dim: u32,
    rows: u32,
    sums: Vec<f64>,
    /// The upper triangle of AᵀA, row by row.
    triangle: Vec<f64>,
}

impl Moments {
    fn new(head_dim: u32) -> Result<Self> {
        let dim = head_dim as usize;
        Ok(Self { head_dim, rows: 0, sums: zeros(dim)?, triangle: zeros(triangle_row(dim, dim))? })
    }

    /// Adds rows: the first half and the second half are summed by themselves, on two threads if that pays, and then added.
    fn with<S: KeySource + Sync + ?Sized>(mut self, keys: &S, rows: &Rows) -> Result<Self> {
        let half = rows.count.div_ceil(2);
        let dim = self.head_dim as usize;
        let work = dim.saturating_mul(dim).saturating_mul(rows.count as usize);
        let measure = |range| Self::of(keys, rows, range);
        let alone = || [measure(0..half), measure(half..rows.count)];
        let halves = if work < THREAD_WORK || threads() < 2 {
            alone()
        } else {
            std::thread::scope(|scope| {
                let second = std::thread::Builder::new().spawn_scoped(scope, || measure(half..rows.count));
                let Ok(second) = second else { return alone() };
                let first = measure(0..half);
                [first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
            })
        };
        for half in halves {
            let half = half?;
            self.rows = self.rows.saturating_add(half.rows);
            self.sums.iter_mut().zip(&half.sums).for_each(|(sum, x)| *sum += x);
            self.triangle.iter_mut().zip(&half.triangle).for_each(|(sum, x)| *sum += x);
        }
        Ok(self)
    }

    fn of<S: KeySource + ?Sized>(keys: &S, rows: &Rows, mut range: Range<u32>) -> Result<Self> {
        let mut moments = Self::new(rows.shape.head_dim)?;
        let dim = moments.sums.len();
        // At most MAX_SVD_DIM, rounded up.
        let panels_len = panel_len(dim).unwrap_or(0).saturating_mul(BLOCK_ROWS);
        let mut panels: Vec<f64> = zeros(panels_len.saturating_add(LINE))?;
        // At the start of a cache line, so that no vector lies across two.
        let start = panels.as_ptr().align_offset(LINE.saturating_mul(size_of::<f64>())).min(LINE);
        let panels = panels.get_mut(start..).unwrap_or_default();
        let mut gathered = zeros(dim.saturating_mul(BLOCK_ROWS))?;
        moments.rows = range.end.saturating_sub(range.start);
        while !range.is_empty() {
            let block = range.clone().take(BLOCK_ROWS);
            let mut taken = 0usize;
            for (i, out) in block.zip(gathered.chunks_exact_mut(dim.max(1))) {
                let (layer, head, token) = rows.place(i);
                keys.key_into(layer, head, token, out)?;
                taken = taken.saturating_add(1);
            }
            let block = gathered.get(..taken.saturating_mul(dim)).unwrap_or_default();
            let finite = widen(block, panels, BLOCK_ROWS, &mut moments.sums);
            if finite < taken {
                let (layer, head, token) = rows.place(range.start.saturating_add(finite as u32));
                let bad = block.get(finite.saturating_mul(dim)..).unwrap_or_default();
                return Err(non_finite(bad, rows.shape.head_dim, layer, head, token));
            }
            let block = Block { panels, capacity: BLOCK_ROWS, rows: taken, dim };
            gram_exact(block, &mut moments.triangle);
            range.start = range.start.saturating_add(taken as u32);
        }
        Ok(moments)
    }

    /// The singular vectors from `gate` on, and the mean in them.
    fn decompose(self, rank: u32, gate: u32, signs: Signs) -> Result<SvdFingerprint> {
        let most = self.head_dim.min(self.rows);
        if gate >= most {
            let max = u64::from(most.saturating_sub(1));
            let field = "the gate (it has to leave one of min(head_dim, rows) singular vectors)";
            return Err(Error::caller(ErrorKind::TooLarge { field, max, found: u64::from(gate) }));
        }
        let end = gate.saturating_add(rank).min(most) as usize;
        let gate = gate as usize;
        let dim = self.head_dim as usize;
        let rows = f64::from(self.rows);
        let mean: Vec<f64> = self.sums.iter().map(|x| x / rows).collect();
        let (values, vectors) = eigen(&self.triangle, dim)?;

        let falling = || values.iter().rev().map(|x| x.max(0.0));
        let total: f64 = falling().take(most as usize).sum();
        let kept: f64 = falling().take(end).sum();
        let mut basis = Vec::new();
        let mut fingerprint = Vec::new();
        for vector in vectors.chunks_exact(dim.max(1)).rev().take(end).skip(gate) {
            let projection = dot(vector.iter().copied(), &mean);
            let decides = match signs {
                Signs::Mean if projection != 0.0 => projection,
                Signs::Mean | Signs::LargestLoading => {
                    vector.iter().fold(0.0, |most: f64, x| if x.abs() > most.abs() { *x } else { most })
                }
            };
            let sign = if decides < 0.0 { -1.0 } else { 1.0 };
            basis.extend(vector.iter().map(|x| (x * sign) as f32));
            fingerprint.push((projection * sign) as f32);
        }
        Ok(SvdFingerprint {
            vector: fingerprint,
            basis: Basis { head_dim: self.head_dim, vectors: basis },
            singular_values: falling().take(end).map(|x| libm::sqrt(x) as f32).collect(),
            explained_variance_ratio: if total > 0.0 { (kept / total).min(1.0) } else { 0.0 },
            rows: self.rows,
        })
    }
}

/// Eigenvalues, rising, and eigenvectors, one after the other, of the symmetric matrix with this upper triangle.
fn eigen(triangle: &[f64], dim: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut matrix = zeros(dim.saturating_mul(dim))?;
    let mut rest = triangle;
    for (i, column) in matrix.chunks_exact_mut(dim.max(1)).enumerate() {
        // Row i of the upper triangle is column i of the lower one, which is what is read.
        let column = column.get_mut(i..).unwrap_or_default();
        let Some((row, more)) = rest.split_at_checked(column.len()) else { break };
        column.copy_from_slice(row);
        rest = more;
    }
    self_adjoint(matrix, dim, "an eigenvalue of the keys' products")
}

/// How many threads the machine runs at once; asked once, since the answer is a file.
fn threads() -> usize {
    static THREADS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *THREADS.get_or_init(|| std::thread::available_parallelism().map_or(1, core::num::NonZero::get))
}

//! Mean and second moments of rows, updated row by row.
//!
//! With `n` the number of rows after a row `x`, and `m` the mean before it (Welford 1962, written with squares so
//! that no sum can fall below zero):
//!
//! ```text
//! d = x - m;  m += d * (1 / n);  u = d * sqrt((n - 1) / n);  C[i][j] += u[i] * u[j]
//! ```
//!
//! Every element of `m` and `C` is one chain of operations in row order, each rounded by itself (no fused
//! multiply-add, nothing regrouped). So neither the vector width nor the number of rows that [`gram`] takes at once
//! can change a bit. The trace is the one sum over columns: it has [`LANES`] partial sums on every target.
#![allow(clippy::indexing_slicing)] // Tiles: every index below is bounded by the panel and triangle layout, as noted.

/// Partial sums of the trace; column `j` goes to number `j % LANES`.
pub(crate) const LANES: usize = 16;
/// Columns of a block stored side by side; see [`panel_len`].
pub(crate) const PANEL: usize = 32;
/// Rows of the covariance held in registers at once.
const TILE: usize = 4;

/// An element type of rows: exact in f64.
pub(crate) trait Sample: Copy + Into<f64> {
    /// Whether the value is neither NaN nor infinite.
    fn finite(self) -> bool;
    /// The next two vectors.
    fn load<I: Isa>(isa: I, from: &[Self]) -> (I::V, I::V);
}

impl Sample for f32 {
    #[inline(always)]
    fn finite(self) -> bool {
        self.to_bits() & 0x7F80_0000 != 0x7F80_0000
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> (I::V, I::V) {
        isa.widen(&from[..2 * I::LEN])
    }
}

impl Sample for f64 {
    #[inline(always)]
    fn finite(self) -> bool {
        self.to_bits() & 0x7FF0_0000_0000_0000 != 0x7FF0_0000_0000_0000
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> (I::V, I::V) {
        (isa.load(&from[..I::LEN]), isa.load(&from[I::LEN..2 * I::LEN]))
    }
}

impl Sample for i16 {
    #[inline(always)]
    fn finite(self) -> bool {
        true
    }

    #[inline(always)]
    fn load<I: Isa>(isa: I, from: &[Self]) -> (I::V, I::V) {
        // Exact in f32. No vector has more lanes.
        let mut wide = [0.0; LANES];
        wide.iter_mut().zip(from).for_each(|(wide, &x)| *wide = f32::from(x));
        isa.widen(&wide[..2 * I::LEN])
    }
}

/// The few vector operations that the kernels are made of, each with one rounding per lane.
pub(crate) trait Isa: Copy {
    /// A vector of `LEN` lanes, a divisor of 8.
    type V: Copy;
    const LEN: usize;
    /// The width of a tile, in vectors: as many sums as the registers hold. `TILE_VECTORS * LEN` divides [`PANEL`].
    const TILE_VECTORS: usize;
    fn splat(self, x: f64) -> Self::V;
    /// From exactly `LEN` elements.
    fn load(self, from: &[f64]) -> Self::V;
    /// From exactly `2 * LEN` elements.
    fn widen(self, from: &[f32]) -> (Self::V, Self::V);
    fn store(self, v: Self::V, to: &mut [f64]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c` where the products are exact: then it makes no difference whether they are rounded.
    fn add_exact(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `new` in the lanes from `first` on, `old` before.
    fn blend(self, first: usize, new: Self::V, old: Self::V) -> Self::V;
}

/// Two lanes of plain Rust: what defines the answer, and what every target has.
#[cfg(any(test, not(feature = "simd")))]
#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[cfg(any(test, not(feature = "simd")))]
impl Isa for Portable {
    type V = [f64; 2];
    const LEN: usize = 2;
    const TILE_VECTORS: usize = 2;

    #[inline(always)]
    fn splat(self, x: f64) -> [f64; 2] {
        [x; 2]
    }

    #[inline(always)]
    fn load(self, from: &[f64]) -> [f64; 2] {
        [from[0], from[1]]
    }

    #[inline(always)]
    fn widen(self, from: &[f32]) -> ([f64; 2], [f64; 2]) {
        ([from[0].into(), from[1].into()], [from[2].into(), from[3].into()])
    }

    #[inline(always)]
    fn store(self, v: [f64; 2], to: &mut [f64]) {
        to.copy_from_slice(&v);
    }

    #[inline(always)]
    fn add(self, a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
        [a[0] + b[0], a[1] + b[1]]
    }

    #[inline(always)]
    fn sub(self, a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
        [a[0] - b[0], a[1] - b[1]]
    }

    #[inline(always)]
    fn mul(self, a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
        [a[0] * b[0], a[1] * b[1]]
    }

    #[inline(always)]
    fn add_exact(self, a: [f64; 2], b: [f64; 2], c: [f64; 2]) -> [f64; 2] {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn blend(self, first: usize, new: [f64; 2], old: [f64; 2]) -> [f64; 2] {
        [if first == 0 { new[0] } else { old[0] }, if first <= 1 { new[1] } else { old[1] }]
    }
}

/// What becomes of the scaled deviations `u` of a row.
pub(crate) enum Keep<'a> {
    /// Only the trace is kept.
    Trace,
    /// `C[i][i]`, one per column.
    Diagonal(&'a mut [f64]),
    /// The rows of `u` as they are, for [`gram`] later.
    Block {
        /// Panels of `capacity` rows of [`PANEL`] columns each; the last one is padded.
        panels: &'a mut [f64],
        /// Rows the block can hold.
        capacity: usize,
        /// Rows it holds already.
        used: usize,
    },
}

/// The running state, borrowed.
pub(crate) struct State<'a> {
    /// One per column; its length is the length of a row.
    pub(crate) mean: &'a mut [f64],
    /// The trace, in parts.
    pub(crate) trace: &'a mut [f64; LANES],
    /// The rest.
    pub(crate) keep: Keep<'a>,
}

/// Elements of a block row in storage: `dim` rounded up to whole panels; `None` on overflow.
pub(crate) fn panel_len(dim: usize) -> Option<usize> {
    dim.checked_next_multiple_of(PANEL)
}

/// Where row `i` of the packed upper triangle of a `dim` x `dim` matrix starts, at column `i`. `i <= dim`, and
/// `dim * dim` fits (the triangle is in memory).
pub(crate) fn triangle_row(dim: usize, i: usize) -> usize {
    i * dim - (i * i - i) / 2
}

/// Takes in rows (row-major, whole) after `before` others; stops at a row with a value that is not finite and
/// leaves the state as it was before that row. Returns the number of rows taken in.
pub(crate) fn absorb<T: Sample>(rows: &[T], before: u64, state: State<'_>) -> u64 {
    #[cfg(feature = "simd")]
    return absorb_at(crate::arch::level(), rows, before, state);
    #[cfg(not(feature = "simd"))]
    absorb_rows(Portable, rows, before, state)
}

#[cfg(feature = "simd")]
fn absorb_at<T: Sample>(level: fearless_simd::Level, rows: &[T], before: u64, state: State<'_>) -> u64 {
    fearless_simd::dispatch!(level, simd => absorb_rows(Native(simd), rows, before, state))
}

#[inline(always)]
fn absorb_rows<I: Isa, T: Sample>(isa: I, rows: &[T], before: u64, state: State<'_>) -> u64 {
    let State { mean, trace, mut keep } = state;
    let mut count = before;
    for row in rows.chunks_exact(mean.len().max(1)) {
        if !all_finite(row) {
            break;
        }
        count += 1;
        let n = count as f64;
        let mut update = Update::new(isa, 1.0 / n, libm::sqrt((n - 1.0) / n), trace);
        match &mut keep {
            Keep::Trace => update.row::<T, TRACE>(row, mean, &mut []),
            Keep::Diagonal(sums) => update.row::<T, SQUARES>(row, mean, sums),
            Keep::Block { panels, capacity, used } => {
                let columns = row.chunks(PANEL).zip(mean.chunks_mut(PANEL));
                for ((x, mean), panel) in columns.zip(panels.chunks_exact_mut(*capacity * PANEL)) {
                    // The caller hands in no more rows than the block has room for.
                    update.row::<T, DEVIATIONS>(x, mean, &mut panel[*used * PANEL..][..x.len()]);
                }
                *used += 1;
            }
        }
        update.finish(trace);
    }
    count - before
}

#[inline(always)]
fn all_finite<T: Sample>(row: &[T]) -> bool {
    // Without an early exit this is a vector loop.
    row.iter().fold(true, |all, x| all & x.finite())
}

/// One row's update of the mean and the trace.
struct Update<I: Isa> {
    isa: I,
    share: f64,
    scale: f64,
    /// The partial sums of the trace: `LANES / LEN` vectors, the rest unused.
    lanes: [I::V; LANES],
    /// What the columns past the last multiple of [`LANES`] add.
    tail: [f64; LANES],
}

/// What becomes of the scaled deviations of some columns: nothing, their squares added, or themselves stored.
const TRACE: u8 = 0;
const SQUARES: u8 = 1;
const DEVIATIONS: u8 = 2;

impl<I: Isa> Update<I> {
    #[inline(always)]
    fn new(isa: I, share: f64, scale: f64, trace: &[f64; LANES]) -> Self {
        let mut lanes = [isa.splat(0.0); LANES];
        for k in 0..LANES / I::LEN {
            lanes[k] = isa.load(&trace[k * I::LEN..][..I::LEN]);
        }
        Self { isa, share, scale, lanes, tail: [0.0; LANES] }
    }

    /// Some columns, the first of them a multiple of [`LANES`]. `x`, `mean` and (but for `TRACE`) `out` have the
    /// same length.
    #[inline(always)]
    fn row<T: Sample, const KEEP: u8>(&mut self, x: &[T], mean: &mut [f64], out: &mut [f64]) {
        let (x, x_tail) = x.as_chunks::<LANES>();
        let (mean, mean_tail) = mean.as_chunks_mut::<LANES>();
        if KEEP == TRACE {
            for (x, mean) in x.iter().zip(mean) {
                self.group::<T, KEEP>(x, mean, &mut [0.0; LANES]);
            }
            for ((x, mean), tail) in x_tail.iter().zip(mean_tail).zip(&mut self.tail) {
                let d = (*x).into() - *mean;
                *mean += d * self.share;
                let u = d * self.scale;
                *tail += u * u;
            }
            return;
        }
        let (out, out_tail) = out.as_chunks_mut::<LANES>();
        for ((x, mean), out) in x.iter().zip(mean).zip(out) {
            self.group::<T, KEEP>(x, mean, out);
        }
        for (((x, mean), out), tail) in x_tail.iter().zip(mean_tail).zip(out_tail).zip(&mut self.tail) {
            let d = (*x).into() - *mean;
            *mean += d * self.share;
            let u = d * self.scale;
            *tail += u * u;
            if KEEP == SQUARES {
                *out += u * u;
            } else {
                *out = u;
            }
        }
    }

    #[inline(always)]
    fn group<T: Sample, const KEEP: u8>(
        &mut self,
        x: &[T; LANES],
        mean: &mut [f64; LANES],
        out: &mut [f64; LANES],
    ) {
        let isa = self.isa;
        let (share, scale) = (isa.splat(self.share), isa.splat(self.scale));
        for k in (0..LANES / I::LEN).step_by(2) {
            let (low, high) = T::load(isa, &x[k * I::LEN..]);
            for (k, x) in [(k, low), (k + 1, high)] {
                let at = k * I::LEN..(k + 1) * I::LEN;
                let m = isa.load(&mean[at.clone()]);
                let d = isa.sub(x, m);
                isa.store(isa.add(m, isa.mul(d, share)), &mut mean[at.clone()]);
                let u = isa.mul(d, scale);
                let square = isa.mul(u, u);
                self.lanes[k] = isa.add(self.lanes[k], square);
                if KEEP == SQUARES {
                    isa.store(isa.add(isa.load(&out[at.clone()]), square), &mut out[at]);
                } else if KEEP == DEVIATIONS {
                    isa.store(u, &mut out[at]);
                }
            }
        }
    }

    #[inline(always)]
    fn finish(self, trace: &mut [f64; LANES]) {
        for k in 0..LANES / I::LEN {
            let tail = self.isa.load(&self.tail[k * I::LEN..][..I::LEN]);
            self.isa.store(self.isa.add(self.lanes[k], tail), &mut trace[k * I::LEN..][..I::LEN]);
        }
    }
}

/// Adds the products of the block's rows to the packed upper triangle: `C[i][j] += u[i] * u[j]`, row
/// after row. `dim * dim * rows` operations; the triangle passes through the cache once.
pub(crate) fn gram(block: Block<'_>, triangle: &mut [f64]) {
    #[cfg(feature = "simd")]
    gram_at::<false>(crate::arch::level(), block, triangle);
    #[cfg(not(feature = "simd"))]
    sweep::<_, false>(Portable, block, triangle);
}

/// The same where every element of the block was an f32: products of two are exact in f64, so a fused multiply-add
/// gives the same bits, at twice the speed where there is one.
#[cfg(any(test, feature = "linalg"))]
pub(crate) fn gram_exact(block: Block<'_>, triangle: &mut [f64]) {
    #[cfg(feature = "simd")]
    gram_at::<true>(crate::arch::level(), block, triangle);
    #[cfg(not(feature = "simd"))]
    sweep::<_, true>(Portable, block, triangle);
}

/// Widens rows of f32 (row-major, whole) into an empty block, and adds them to `sums` column by column, row after row.
/// Returns how many of them came before the first with a value that is not finite.
#[cfg(any(test, feature = "linalg"))]
pub(crate) fn widen(rows: &[f32], panels: &mut [f64], capacity: usize, sums: &mut [f64]) -> usize {
    #[cfg(feature = "simd")]
    return widen_at(crate::arch::level(), rows, panels, capacity, sums);
    #[cfg(not(feature = "simd"))]
    widen_rows(rows, panels, capacity, sums)
}

#[cfg(all(feature = "simd", any(test, feature = "linalg")))]
fn widen_at(
    level: fearless_simd::Level,
    rows: &[f32],
    panels: &mut [f64],
    capacity: usize,
    sums: &mut [f64],
) -> usize {
    fearless_simd::dispatch!(level, _simd => widen_rows(rows, panels, capacity, sums))
}

#[cfg(any(test, feature = "linalg"))]
#[inline(always)]
fn widen_rows(rows: &[f32], panels: &mut [f64], capacity: usize, sums: &mut [f64]) -> usize {
    let dim = sums.len().max(1);
    let taken = rows.chunks_exact(dim).position(|row| !all_finite(row)).unwrap_or(rows.len() / dim);
    // Panel by panel, so that the sums of its columns stay in registers; the rows come from the cache.
    for ((p, sums), panel) in
        sums.chunks_mut(PANEL).enumerate().zip(panels.chunks_exact_mut(capacity * PANEL))
    {
        let panel = &mut panel.as_chunks_mut::<PANEL>().0[..taken];
        let columns = rows.chunks_exact(dim).map(|row| &row[p * PANEL..]);
        if let Some(whole) = sums.first_chunk_mut::<PANEL>() {
            let mut local = *whole;
            for (row, out) in columns.zip(panel) {
                let Some(row) = row.first_chunk::<PANEL>() else { continue };
                for ((x, sum), out) in row.iter().zip(&mut local).zip(out) {
                    *out = f64::from(*x);
                    *sum += *out;
                }
            }
            *whole = local;
        } else {
            for (row, out) in columns.zip(panel) {
                for ((x, sum), out) in row.iter().zip(sums.iter_mut()).zip(out) {
                    *out = f64::from(*x);
                    *sum += *out;
                }
            }
        }
    }
    taken
}

/// Adds a row of f32 to `sums`, column by column; returns whether all were finite, and adds nothing if not. `row` and
/// `sums` have the same length.
#[cfg(any(test, feature = "alloc"))]
pub(crate) fn add_row(row: &[f32], sums: &mut [f64]) -> bool {
    #[cfg(feature = "simd")]
    return add_row_at(crate::arch::level(), row, sums);
    #[cfg(not(feature = "simd"))]
    add(row, sums)
}

#[cfg(all(feature = "simd", any(test, feature = "alloc")))]
fn add_row_at(level: fearless_simd::Level, row: &[f32], sums: &mut [f64]) -> bool {
    fearless_simd::dispatch!(level, _simd => add(row, sums))
}

#[cfg(any(test, feature = "alloc"))]
#[inline(always)]
fn add(row: &[f32], sums: &mut [f64]) -> bool {
    let finite = all_finite(row);
    if finite {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    finite
}

/// Rows of scaled deviations that wait to be multiplied, in panels.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) panels: &'a [f64],
    /// Rows the block can hold, and rows it holds.
    pub(crate) capacity: usize,
    pub(crate) rows: usize,
    pub(crate) dim: usize,
}

impl<'a> Block<'a> {
    /// The rows of panel `p`.
    #[inline(always)]
    fn panel(&self, p: usize) -> &'a [[f64; PANEL]] {
        self.panels[p * self.capacity * PANEL..][..self.rows * PANEL].as_chunks::<PANEL>().0
    }
}

/// Adds another triangle, of which some rows still wait, and `weight * delta[i] * delta[j]`, where delta is the
/// difference of the means. The waiting rows are added to the other's sums first, as [`gram`] would.
pub(crate) fn merge(
    triangle: &mut [f64],
    mean: &[f64],
    (other, other_mean, waiting): (&[f64], &[f64], Block<'_>),
    weight: f64,
) {
    let dim = waiting.dim;
    for i in 0..dim {
        let scaled = (other_mean[i] - mean[i]) * weight;
        let a = waiting.panel(i / PANEL);
        for j_panel in (i / PANEL * PANEL..dim).step_by(PANEL) {
            let columns = j_panel.max(i)..(j_panel + PANEL).min(dim);
            let place = triangle_row(dim, i) + columns.start - i;
            let mut sums = [0.0; PANEL];
            let sums = &mut sums[columns.start - j_panel..columns.end - j_panel];
            sums.copy_from_slice(&other[place..][..columns.len()]);
            for (a, b) in a.iter().zip(waiting.panel(j_panel / PANEL)) {
                for (sum, b) in sums.iter_mut().zip(&b[columns.start - j_panel..]) {
                    *sum += a[i % PANEL] * *b;
                }
            }
            let deltas = other_mean[columns.clone()].iter().zip(&mean[columns]);
            for ((own, sum), (there, here)) in triangle[place..].iter_mut().zip(sums).zip(deltas) {
                *own += *sum + scaled * (there - here);
            }
        }
    }
}

#[cfg(feature = "simd")]
fn gram_at<const EXACT: bool>(level: fearless_simd::Level, block: Block<'_>, triangle: &mut [f64]) {
    fearless_simd::dispatch!(level, simd => sweep::<_, EXACT>(Native(simd), block, triangle));
}

/// Tile by tile of [`TILE`] rows, panel by panel of columns: at the diagonal and to the right of it.
#[inline(always)]
fn sweep<I: Isa, const EXACT: bool>(isa: I, block: Block<'_>, triangle: &mut [f64]) {
    let (dim, width) = (block.dim, I::TILE_VECTORS * I::LEN);
    for j_panel in (0..dim).step_by(PANEL) {
        let b = block.panel(j_panel / PANEL);
        let end = j_panel + PANEL;
        if end <= dim {
            for i in (0..end).step_by(TILE) {
                let a = (block.panel(i / PANEL), i % PANEL);
                // Tiles that are all below the diagonal are left out.
                for j in (j_panel.max(i / width * width)..end).step_by(width) {
                    whole::<I, EXACT>(isa, a, (b, j % PANEL), (i, j), dim, triangle);
                }
            }
        } else {
            for i in (0..dim).step_by(TILE) {
                let a = (block.panel(i / PANEL), i % PANEL);
                for j in (j_panel.max(i / width * width)..dim).step_by(width) {
                    ragged::<I, EXACT>(isa, a, (b, j % PANEL), (i, j), dim, triangle);
                }
            }
        }
    }
}

/// A tile at row `i` and column `j` that does not go past the last column.
#[inline(always)]
fn whole<I: Isa, const EXACT: bool>(
    isa: I,
    a: Columns<'_>,
    b: Columns<'_>,
    (i, j): (usize, usize),
    dim: usize,
    triangle: &mut [f64],
) {
    let (mut place, mut first) = ([0; TILE], [0; TILE]);
    for r in 0..TILE {
        // Left of the diagonal this lies in the rows before, which are at least i + r elements.
        place[r] = triangle_row(dim, i + r) + j - (i + r);
        first[r] = (i + r).saturating_sub(j);
    }
    if first[TILE - 1] == 0 {
        tile::<I, false, EXACT>(isa, a, b, &place, &first, triangle);
    } else {
        tile::<I, true, EXACT>(isa, a, b, &place, &first, triangle);
    }
}

/// A panel, and a column in it.
type Columns<'a> = (&'a [[f64; PANEL]], usize);

/// `c[place[r] + k] += a[row][r] * b[row][k]` for each row, in order. With `CUT`, only where `k >= first[r]`; the
/// rest of `c` stays as it is, and rows of the tile may overlap there. `EXACT` says that every product is exact.
#[inline(always)]
fn tile<I: Isa, const CUT: bool, const EXACT: bool>(
    isa: I,
    (a, at): Columns<'_>,
    (b, bt): Columns<'_>,
    place: &[usize; TILE],
    first: &[usize; TILE],
    c: &mut [f64],
) {
    // The most vectors a tile is wide, of which TILE_VECTORS are used.
    let mut sums = [[isa.splat(0.0); 4]; TILE];
    for r in 0..TILE {
        for v in 0..I::TILE_VECTORS {
            sums[r][v] = isa.load(&c[place[r] + v * I::LEN..][..I::LEN]);
        }
    }
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (&a[at..][..TILE], &b[bt..][..I::TILE_VECTORS * I::LEN]);
        for r in 0..TILE {
            let a = isa.splat(a[r]);
            for v in 0..I::TILE_VECTORS {
                let b = isa.load(&b[v * I::LEN..][..I::LEN]);
                sums[r][v] =
                    if EXACT { isa.add_exact(a, b, sums[r][v]) } else { isa.add(sums[r][v], isa.mul(a, b)) };
            }
        }
    }
    for r in 0..TILE {
        for v in 0..I::TILE_VECTORS {
            let c = &mut c[place[r] + v * I::LEN..][..I::LEN];
            if CUT {
                // Read again: the row before has been written.
                sums[r][v] = isa.blend(first[r].saturating_sub(v * I::LEN), sums[r][v], isa.load(c));
            }
            isa.store(sums[r][v], c);
        }
    }
}

/// A tile that goes past the last column or row: the same sums, in a copy that has room for the rest.
#[inline(always)]
fn ragged<I: Isa, const EXACT: bool>(
    isa: I,
    a: Columns<'_>,
    b: Columns<'_>,
    (i, j): (usize, usize),
    dim: usize,
    triangle: &mut [f64],
) {
    let width = I::TILE_VECTORS * I::LEN;
    let mut copy = [0.0; TILE * PANEL];
    let mut place = [0; TILE];
    for r in 0..TILE {
        place[r] = r * width;
        for k in (i + r).max(j)..(j + width).min(dim) {
            copy[place[r] + k - j] = triangle[triangle_row(dim, i + r) + k - (i + r)];
        }
    }
    tile::<I, false, EXACT>(isa, a, b, &place, &[0; TILE], &mut copy);
    for r in 0..TILE {
        for k in (i + r).max(j)..(j + width).min(dim) {
            triangle[triangle_row(dim, i + r) + k - (i + r)] = copy[place[r] + k - j];
        }
    }
}

#[cfg(feature = "simd")]
mod vector {
    use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdWiden};

    use super::Isa;

    /// Native vectors.
    #[derive(Clone, Copy)]
    pub(super) struct Native<S>(pub(super) S);

    const INDEX: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];

    impl<S: Simd> Isa for Native<S> {
        type V = S::f64s;
        const LEN: usize = S::f64s::LEN;
        // 16 sums of 32 registers, 8 of 16.
        const TILE_VECTORS: usize = if S::f64s::LEN == 8 { 4 } else { 2 };

        #[inline(always)]
        fn splat(self, x: f64) -> S::f64s {
            S::f64s::splat(self.0, x)
        }

        #[inline(always)]
        fn load(self, from: &[f64]) -> S::f64s {
            S::f64s::from_slice(self.0, from)
        }

        #[inline(always)]
        fn widen(self, from: &[f32]) -> (S::f64s, S::f64s) {
            S::f32s::from_slice(self.0, from).widen()
        }

        #[inline(always)]
        fn store(self, v: S::f64s, to: &mut [f64]) {
            v.store_slice(to);
        }

        #[inline(always)]
        fn add(self, a: S::f64s, b: S::f64s) -> S::f64s {
            a + b
        }

        #[inline(always)]
        fn sub(self, a: S::f64s, b: S::f64s) -> S::f64s {
            a - b
        }

        #[inline(always)]
        fn mul(self, a: S::f64s, b: S::f64s) -> S::f64s {
            a * b
        }

        #[inline(always)]
        fn add_exact(self, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
            a.mul_add(b, c)
        }

        #[inline(always)]
        fn blend(self, first: usize, new: S::f64s, old: S::f64s) -> S::f64s {
            let index = self.load(&INDEX[..S::f64s::LEN]);
            index.simd_ge(self.splat(first as f64)).select(new, old)
        }
    }
}
#[cfg(feature = "simd")]
use vector::Native;

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Numbers of several magnitudes, so that every regrouping of a sum shows.
    fn noise(len: usize) -> Vec<f32> {
        let mut x = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        (0..len).map(|_| (next() as i32 as f32) * [1e-9, 1e-7, 3e-11][(next() % 3) as usize] + 0.25).collect()
    }

    /// The definition: one element at a time.
    fn defined(rows: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>, [f64; LANES]) {
        let (mut mean, mut triangle) = (vec![0.0; dim], vec![0.0; dim * (dim + 1) / 2]);
        let mut trace = [0.0; LANES];
        for (count, row) in rows.chunks(dim).enumerate() {
            let n = (count + 1) as f64;
            let u: Vec<f64> = row.iter().zip(&mean).map(|(x, m)| (x - m) * ((n - 1.0) / n).sqrt()).collect();
            for (m, x) in mean.iter_mut().zip(row) {
                *m += (x - *m) * (1.0 / n);
            }
            let mut place = triangle.iter_mut();
            for i in 0..dim {
                for j in i..dim {
                    *place.next().unwrap() += u[i] * u[j];
                }
                trace[i % LANES] += u[i] * u[i];
            }
        }
        (mean, triangle, trace)
    }

    type Results = (Vec<f64>, Vec<f64>, [f64; LANES]);

    fn bits(results: &Results) -> Vec<u64> {
        let (mean, triangle, trace) = results;
        mean.iter().chain(triangle).chain(trace).map(|x| x.to_bits()).collect()
    }

    fn full<T: Sample>(
        rows: &[T],
        dim: usize,
        capacity: usize,
        absorb: impl Fn(&[T], u64, State<'_>) -> u64,
        gram: impl Fn(Block<'_>, &mut [f64]),
    ) -> Results {
        let (mut mean, mut triangle) = (vec![0.0; dim], vec![0.0; dim * (dim + 1) / 2]);
        let mut trace = [0.0; LANES];
        let mut panels = vec![f64::NAN; capacity * panel_len(dim).unwrap()];
        let mut before = 0;
        for rows in rows.chunks(capacity * dim) {
            let keep = Keep::Block { panels: &mut panels, capacity, used: 0 };
            let taken = absorb(rows, before, State { mean: &mut mean, trace: &mut trace, keep });
            assert_eq!(taken as usize, rows.len() / dim);
            gram(Block { panels: &panels, capacity, rows: taken as usize, dim }, &mut triangle);
            before += taken;
        }
        (mean, triangle, trace)
    }

    fn diagonal<T: Sample>(rows: &[T], dim: usize, absorb: impl Fn(&[T], u64, State<'_>) -> u64) -> Results {
        let (mut mean, mut sums, mut trace) = (vec![0.0; dim], vec![0.0; dim], [0.0; LANES]);
        absorb(rows, 0, State { mean: &mut mean, trace: &mut trace, keep: Keep::Diagonal(&mut sums) });
        (mean, sums, trace)
    }

    fn trace<T: Sample>(rows: &[T], dim: usize, absorb: impl Fn(&[T], u64, State<'_>) -> u64) -> Results {
        let (mut mean, mut trace) = (vec![0.0; dim], [0.0; LANES]);
        absorb(rows, 0, State { mean: &mut mean, trace: &mut trace, keep: Keep::Trace });
        (mean, vec![], trace)
    }

    /// Every level of this machine, with the portable kernels first.
    fn on_every_level<T: Sample>(
        mut check: impl FnMut(&str, &dyn Fn(&[T], u64, State<'_>) -> u64, &dyn Fn(Block<'_>, &mut [f64])),
    ) {
        check("portable", &|r, b, s| absorb_rows(Portable, r, b, s), &|b, t| {
            sweep::<_, false>(Portable, b, t)
        });
        check("chosen", &absorb::<T>, &gram);
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        {
            use fearless_simd::Level;
            let best = crate::arch::level();
            let levels = [
                best.as_sse2().map(Level::Sse2),
                best.as_sse4_2().map(Level::Sse4_2),
                best.as_avx2().map(Level::Avx2),
                best.as_avx512().map(Level::Avx512),
            ];
            for level in levels.into_iter().flatten() {
                let (absorb, gram) = (
                    |r: &[T], b, s: State<'_>| absorb_at(level, r, b, s),
                    |b: Block<'_>, t: &mut [f64]| gram_at::<false>(level, b, t),
                );
                check(&std::format!("{level:?}"), &absorb, &gram);
            }
        }
    }

    fn same_bits<T: Sample>(values: &[T]) {
        for (dim, rows) in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 63, 64, 65, 95, 96, 100, 130]
            .into_iter()
            .flat_map(|dim| [(dim, 1), (dim, 2), (dim, 13)])
        {
            let values = &values[..rows * dim];
            let wide: Vec<f64> = values.iter().map(|&x| x.into()).collect();
            let expected = defined(&wide, dim);
            let squares: Vec<f64> = (0..dim).map(|i| expected.1[triangle_row(dim, i)]).collect();
            on_every_level::<T>(|level, absorb, gram| {
                for capacity in [1, 5, 16] {
                    let found = full(values, dim, capacity, absorb, gram);
                    assert!(bits(&found) == bits(&expected), "{level}: {rows} x {dim}, blocks of {capacity}");
                }
                let (mean, sums, trace_parts) = diagonal(values, dim, absorb);
                let found = bits(&(mean, sums, trace_parts));
                assert_eq!(found, bits(&(expected.0.clone(), squares.clone(), expected.2)), "{level}: {dim}");
                let found = bits(&trace(values, dim, absorb));
                assert_eq!(found, bits(&(expected.0.clone(), vec![], expected.2)), "{level}: {dim}");
            });
        }
    }

    #[test]
    fn every_level_gives_the_bits_of_the_definition() {
        let values = noise(13 * 130);
        same_bits(&values);
        same_bits(&values.iter().map(|&x| f64::from(x) * 1.000_000_1).collect::<Vec<_>>());
    }

    type Widen<'a> = &'a dyn Fn(&[f32], &mut [f64], usize, &mut [f64]) -> usize;

    /// As [`on_every_level`], for the kernels of f32 that take no mean away.
    fn exact_on_every_level(mut check: impl FnMut(&str, Widen<'_>, &dyn Fn(Block<'_>, &mut [f64]))) {
        check("portable", &widen_rows, &|b, t| sweep::<_, true>(Portable, b, t));
        check("chosen", &widen, &gram_exact);
        #[cfg(feature = "simd")]
        for level in crate::arch::levels() {
            let widen = |r: &[f32], p: &mut [f64], c, s: &mut [f64]| widen_at(level, r, p, c, s);
            check(&std::format!("{level:?}"), &widen, &|b, t| gram_at::<true>(level, b, t));
        }
    }

    #[test]
    fn sums_and_products_of_f32_are_the_same_bits_at_every_level() {
        // All magnitudes that f32 has: subnormals, and the largest.
        let mut values = noise(13 * 130);
        for (value, by) in values.iter_mut().zip([1e-38, 1.0, 1e30, 1e-30, 1e35].into_iter().cycle()) {
            *value *= by;
        }
        for (dim, rows) in
            [1, 3, 4, 31, 32, 33, 64, 100, 128, 130].into_iter().flat_map(|d| [(d, 1), (d, 13)])
        {
            let values = &values[..rows * dim];
            let (mut sums, mut triangle) = (vec![0.0; dim], vec![0.0; dim * (dim + 1) / 2]);
            for row in values.chunks(dim) {
                let mut place = triangle.iter_mut();
                for (i, sum) in sums.iter_mut().enumerate() {
                    *sum += f64::from(row[i]);
                    for x in &row[i..] {
                        *place.next().unwrap() += f64::from(row[i]) * f64::from(*x);
                    }
                }
            }
            exact_on_every_level(|level, widen, gram| {
                for capacity in [1, 5, 16] {
                    let mut panels = vec![f64::NAN; capacity * panel_len(dim).unwrap()];
                    let (mut found_sums, mut found) = (vec![0.0; dim], vec![0.0; triangle.len()]);
                    for rows in values.chunks(capacity * dim) {
                        let taken = widen(rows, &mut panels, capacity, &mut found_sums);
                        assert_eq!(taken, rows.len() / dim);
                        gram(Block { panels: &panels, capacity, rows: taken, dim }, &mut found);
                    }
                    assert!(found == triangle && found_sums == sums, "{level}: {rows} x {dim}, {capacity}");
                }
            });
        }
        let mut bad = [1.0; 12];
        bad[7] = f32::NAN;
        exact_on_every_level(|level, widen, _| {
            let mut sums = [0.0; 3];
            assert_eq!(widen(&bad, &mut [0.0; 4 * PANEL], 4, &mut sums), 2, "{level}");
            assert_eq!(sums, [2.0; 3], "{level}");
        });
    }

    #[test]
    fn rows_are_added_at_every_level() {
        let values = noise(2 * 67);
        let expected: Vec<f64> = (0..67).map(|i| f64::from(values[i]) + f64::from(values[67 + i])).collect();
        let check = |level: &str, add: &dyn Fn(&[f32], &mut [f64]) -> bool| {
            let mut sums = [0.0; 67];
            assert!(values.chunks(67).all(|row| add(row, &mut sums)), "{level}");
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, 40, 66] {
                    let mut row = [1.0; 67];
                    row[place] = bad;
                    assert!(!add(&row, &mut sums), "{level}: {bad} at {place}");
                }
            }
            assert!(sums == *expected, "{level}");
        };
        check("portable", &add);
        check("chosen", &add_row);
        #[cfg(feature = "simd")]
        for level in crate::arch::levels() {
            check(&std::format!("{level:?}"), &|row, sums| add_row_at(level, row, sums));
        }
    }

    #[test]
    fn a_value_that_is_not_finite_stops_before_its_row() {
        for dim in [1, 15, 16, 17, 40] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for column in 0..dim {
                    let mut values = noise(4 * dim);
                    let expected = bits(&diagonal(&values[..2 * dim], dim, absorb::<f32>));
                    values[2 * dim + column] = bad;
                    on_every_level::<f32>(|level, absorb, _| {
                        assert_eq!(bits(&diagonal(&values, dim, absorb)), expected, "{level}");
                    });
                }
            }
        }
    }
}

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
}

impl Sample for f32 {
    #[inline(always)]
    fn finite(self) -> bool {
        self.to_bits() & 0x7F80_0000 != 0x7F80_0000
    }
}

impl Sample for f64 {
    #[inline(always)]
    fn finite(self) -> bool {
        self.to_bits() & 0x7FF0_0000_0000_0000 != 0x7FF0_0000_0000_0000
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
    absorb_rows(rows, before, state)
}

#[cfg(feature = "simd")]
fn absorb_at<T: Sample>(level: fearless_simd::Level, rows: &[T], before: u64, state: State<'_>) -> u64 {
    fearless_simd::dispatch!(level, _simd => absorb_rows(rows, before, state))
}

#[inline(always)]
fn absorb_rows<T: Sample>(rows: &[T], before: u64, state: State<'_>) -> u64 {
    let State { mean, trace, mut keep } = state;
    let mut count = before;
    for row in rows.chunks_exact(mean.len().max(1)) {
        if !all_finite(row) {
            break;
        }
        count += 1;
        let n = count as f64;
        let (share, scale) = (1.0 / n, libm::sqrt((n - 1.0) / n));
        let mut lanes = *trace;
        match &mut keep {
            Keep::Trace => {
                let (x, x_tail) = row.as_chunks::<LANES>();
                let (m, m_tail) = mean.as_chunks_mut::<LANES>();
                for (x, m) in x.iter().zip(m) {
                    squares(&step(x, m, share, scale), &mut lanes);
                }
                for ((x, m), lane) in x_tail.iter().zip(m_tail).zip(&mut lanes) {
                    let u = step_one(*x, m, share, scale);
                    *lane += u * u;
                }
            }
            Keep::Diagonal(sums) => {
                let (x, x_tail) = row.as_chunks::<LANES>();
                let (m, m_tail) = mean.as_chunks_mut::<LANES>();
                let (s, s_tail) = sums.as_chunks_mut::<LANES>();
                for ((x, m), s) in x.iter().zip(m).zip(s) {
                    let u = step(x, m, share, scale);
                    squares(&u, s);
                    squares(&u, &mut lanes);
                }
                for (((x, m), s), lane) in x_tail.iter().zip(m_tail).zip(s_tail).zip(&mut lanes) {
                    let u = step_one(*x, m, share, scale);
                    *s += u * u;
                    *lane += u * u;
                }
            }
            Keep::Block { panels, capacity, used } => {
                let columns = row.chunks(PANEL).zip(mean.chunks_mut(PANEL));
                for ((x, m), panel) in columns.zip(panels.chunks_exact_mut(*capacity * PANEL)) {
                    // The caller asks for no more rows than the block has room for.
                    let out = &mut panel[*used * PANEL..][..PANEL];
                    let (x, x_tail) = x.as_chunks::<LANES>();
                    let (m, m_tail) = m.as_chunks_mut::<LANES>();
                    let (out, out_tail) = out[..x.len() * LANES + x_tail.len()].as_chunks_mut::<LANES>();
                    for ((x, m), out) in x.iter().zip(m).zip(out) {
                        *out = step(x, m, share, scale);
                        squares(out, &mut lanes);
                    }
                    for (((x, m), out), lane) in x_tail.iter().zip(m_tail).zip(out_tail).zip(&mut lanes) {
                        *out = step_one(*x, m, share, scale);
                        *lane += *out * *out;
                    }
                }
                *used += 1;
            }
        }
        *trace = lanes;
    }
    count - before
}

#[inline(always)]
fn all_finite<T: Sample>(row: &[T]) -> bool {
    // Without an early exit this is a vector loop.
    row.iter().fold(true, |all, x| all & x.finite())
}

#[inline(always)]
fn step_one<T: Sample>(x: T, mean: &mut f64, share: f64, scale: f64) -> f64 {
    let d = x.into() - *mean;
    *mean += d * share;
    d * scale
}

#[inline(always)]
fn step<T: Sample>(x: &[T; LANES], mean: &mut [f64; LANES], share: f64, scale: f64) -> [f64; LANES] {
    let mut u = [0.0; LANES];
    for ((u, x), m) in u.iter_mut().zip(x).zip(mean) {
        *u = step_one(*x, m, share, scale);
    }
    u
}

#[inline(always)]
fn squares(u: &[f64; LANES], sums: &mut [f64; LANES]) {
    for (sum, u) in sums.iter_mut().zip(u) {
        *sum += *u * *u;
    }
}

/// Adds the products of the block's rows to the packed upper triangle: `C[i][j] += u[i] * u[j]`, row
/// after row. `dim * dim * rows` operations; the triangle passes through the cache once.
pub(crate) fn gram(block: Block<'_>, triangle: &mut [f64]) {
    #[cfg(feature = "simd")]
    gram_at(crate::arch::level(), block, triangle);
    #[cfg(not(feature = "simd"))]
    sweep(&Portable, block, triangle);
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

/// A tile of the covariance: `TILE` rows by `WIDTH` columns, `WIDTH` a divisor of [`PANEL`].
trait Kernel {
    const WIDTH: usize;
    /// `c[starts[r] + k] += a[row][at + r] * b[row][bt + k]` for each row, in order.
    fn run(
        &self,
        a: &[[f64; PANEL]],
        at: usize,
        b: &[[f64; PANEL]],
        bt: usize,
        c: &mut [f64],
        starts: [usize; TILE],
    );
}

#[inline(always)]
fn sweep<K: Kernel>(kernel: &K, block: Block<'_>, triangle: &mut [f64]) {
    let dim = block.dim;
    for j_panel in (0..dim).step_by(PANEL) {
        let b = block.panel(j_panel / PANEL);
        for i in (0..(j_panel + PANEL).min(dim)).step_by(TILE) {
            let a = block.panel(i / PANEL);
            for j in (j_panel..(j_panel + PANEL).min(dim)).step_by(K::WIDTH) {
                if j + K::WIDTH <= i {
                    continue; // below the diagonal
                }
                let (at, bt) = (i % PANEL, j % PANEL);
                if j + 1 >= i + TILE && j + K::WIDTH <= dim && i + TILE <= dim {
                    let starts = core::array::from_fn(|r| triangle_row(dim, i + r) + j - (i + r));
                    kernel.run(a, at, b, bt, triangle, starts);
                } else {
                    edge(kernel, (a, i), (b, j), dim, triangle);
                }
            }
        }
    }
}

/// A tile that the diagonal or the last column cuts: the same sums, in a copy that has room for the rest.
#[inline(always)]
fn edge<K: Kernel>(
    kernel: &K,
    (a, i): (&[[f64; PANEL]], usize),
    (b, j): (&[[f64; PANEL]], usize),
    dim: usize,
    triangle: &mut [f64],
) {
    let mut copy = [0.0; TILE * PANEL];
    // Row r of the tile: where its columns start, in the triangle and in the copy, and how many there are.
    let part = |r: usize| {
        let (row, first) = (i + r, j.max(i + r));
        let len = if row < dim { (j + K::WIDTH).min(dim).saturating_sub(first) } else { 0 };
        (len > 0).then(|| (triangle_row(dim, row) + first - row, r * K::WIDTH + first - j, len))
    };
    for (from, to, len) in (0..TILE).filter_map(part) {
        copy[to..][..len].copy_from_slice(&triangle[from..][..len]);
    }
    kernel.run(a, i % PANEL, b, j % PANEL, &mut copy, core::array::from_fn(|r| r * K::WIDTH));
    for (to, from, len) in (0..TILE).filter_map(part) {
        triangle[to..][..len].copy_from_slice(&copy[from..][..len]);
    }
}

/// Four by four: what 16 two-lane registers hold.
#[cfg(any(test, not(feature = "simd")))]
struct Portable;

#[cfg(any(test, not(feature = "simd")))]
impl Kernel for Portable {
    const WIDTH: usize = 4;

    #[inline(always)]
    fn run(
        &self,
        a: &[[f64; PANEL]],
        at: usize,
        b: &[[f64; PANEL]],
        bt: usize,
        c: &mut [f64],
        starts: [usize; TILE],
    ) {
        let mut sums: [[f64; 4]; TILE] = starts.map(|start| core::array::from_fn(|k| c[start..][..4][k]));
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (&a[at..][..TILE], &b[bt..][..4]);
            for (sums, a) in sums.iter_mut().zip(a) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += *a * *b;
                }
            }
        }
        for (start, sums) in starts.into_iter().zip(&sums) {
            c[start..][..4].copy_from_slice(sums);
        }
    }
}

#[cfg(feature = "simd")]
mod vector {
    use fearless_simd::{Level, Simd, SimdBase, dispatch};

    use super::{Block, Kernel, PANEL, TILE, sweep};

    /// `TILE` rows by `V` native vectors.
    struct Vectors<S, const V: usize>(S);

    impl<S: Simd, const V: usize> Kernel for Vectors<S, V> {
        const WIDTH: usize = V * S::f64s::LEN;

        #[inline(always)]
        fn run(
            &self,
            a: &[[f64; PANEL]],
            at: usize,
            b: &[[f64; PANEL]],
            bt: usize,
            c: &mut [f64],
            starts: [usize; TILE],
        ) {
            let simd = self.0;
            let mut sums: [[S::f64s; V]; TILE] = starts.map(|start| load(simd, &c[start..][..Self::WIDTH]));
            for (a, b) in a.iter().zip(b) {
                let a = &a[at..][..TILE];
                let b: [S::f64s; V] = load(simd, &b[bt..][..Self::WIDTH]);
                for r in 0..TILE {
                    let a = S::f64s::splat(simd, a[r]);
                    for v in 0..V {
                        sums[r][v] = sums[r][v] + a * b[v];
                    }
                }
            }
            for r in 0..TILE {
                let c = &mut c[starts[r]..][..Self::WIDTH];
                for v in 0..V {
                    sums[r][v].store_slice(&mut c[v * S::f64s::LEN..][..S::f64s::LEN]);
                }
            }
        }
    }

    #[inline(always)]
    fn load<S: Simd, const V: usize>(simd: S, from: &[f64]) -> [S::f64s; V] {
        core::array::from_fn(
            #[inline(always)]
            |v| S::f64s::from_slice(simd, &from[v * S::f64s::LEN..][..S::f64s::LEN]),
        )
    }

    #[inline(always)]
    fn gram_simd<S: Simd>(simd: S, block: Block<'_>, triangle: &mut [f64]) {
        // As many sums as the registers hold: 32 of eight lanes, 16 of four or two.
        if S::f64s::LEN == 8 {
            sweep(&Vectors::<S, 4>(simd), block, triangle);
        } else {
            sweep(&Vectors::<S, 2>(simd), block, triangle);
        }
    }

    pub(super) fn gram_at(level: Level, block: Block<'_>, triangle: &mut [f64]) {
        dispatch!(level, simd => gram_simd(simd, block, triangle));
    }
}
#[cfg(feature = "simd")]
use vector::gram_at;

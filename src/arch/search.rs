//! Kernels of search: inner products of rows of little-endian bytes of any alignment with f32 queries.
//!
//! A sum has one order, hence the same bits on every level. Rows of f32, f16, i16 and i8: elements are widened to f32, which
//! is exact; lane j of 16 starts at 0 and adds the products of i = j mod 16 in order, each product and sum rounded by itself (no
//! fused multiply-add); then the lanes are added as a tree, j and j + 8, then + 4, + 2, + 1. Rows of signs: with
//! s[i] = y[i] or, where bit i is set, -y[i], and 0 past the end, each byte has ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)), and
//! these are added in order to 0. So a byte is one look into a table of 256, or two into tables of 16.
//!
//! Rows are read in the order of their addresses: side by side they take 40 % longer from memory.

#[cfg(any(test, not(feature = "simd")))]
use super::lanes::Portable;
use super::lanes::{F16, F32, I8, I16, Lanes, Load, at_level};

/// How a row's elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    F32,
    F16,
    I16,
    I8,
}

/// Partial sums, and elements that a kernel handles at once.
pub(crate) const LANES: usize = super::lanes::LANES;
/// Rows, and queries, of a tile.
const TILE: usize = 4;
/// Floats of the tables of one byte of signs for [`LANES`] queries: for each of its halves 16 sums for each query.
pub(crate) const SIGN_TABLES: usize = 2 * 16 * LANES;

/// What the kernels are made of besides.
trait Isa: Lanes {
    /// The greater of each two, none of them NaN.
    fn max(self, a: Self::Singles, b: Self::Singles) -> Self::Singles;
    /// The sum of the lanes: j and j + 8, then + 4, + 2, + 1.
    fn tree(self, lanes: Self::Singles) -> f32;
    /// The same of four at once.
    fn trees(self, lanes: [Self::Singles; 4]) -> [f32; 4];
}

/// The expression once for each coding, as `E`.
macro_rules! by_coding {
    ($coding:expr, $E:ident => $body:expr) => {
        match $coding {
            Coding::F32 => {
                type $E = F32;
                $body
            }
            Coding::F16 => {
                type $E = F16;
                $body
            }
            Coding::I16 => {
                type $E = I16;
                $body
            }
            Coding::I8 => {
                type $E = I8;
                $body
            }
        }
    };
}

/// The inner product of `query` with each of `out.len()` rows of `row_len` bytes.
pub(crate) fn dots(coding: Coding, rows: &[u8], row_len: usize, query: &[f32], out: &mut [f32]) {
    by_coding!(coding, E => at_level!(isa => scan::<_, E, _>(isa, rows, row_len, query, out)));
}

/// The sum of the squares of each of `out.len()` rows of `dim` elements.
pub(crate) fn squares(coding: Coding, rows: &[u8], row_len: usize, dim: usize, out: &mut [f32]) {
    by_coding!(coding, E => at_level!(isa => scan_squares::<_, E, _>(isa, rows, row_len, dim, out)));
}

/// Both at once: each row is read once.
pub(crate) fn dots_and_squares(
    coding: Coding,
    rows: &[u8],
    row_len: usize,
    query: &[f32],
    dots: &mut [f32],
    squares: &mut [f32],
) {
    by_coding!(coding, E => at_level!(isa => scan_both::<_, E, _>(isa, rows, row_len, query, dots, squares)));
}

/// The inner products of `count` rows with each of the `queries` of `dim`: row r and query q at `out[q * count + r]`.
pub(crate) fn tile(
    coding: Coding,
    rows: &[u8],
    row_len: usize,
    queries: &[f32],
    dim: usize,
    count: usize,
    out: &mut [f32],
) {
    by_coding!(coding, E => at_level!(isa => tiles::<_, E, _>(isa, rows, row_len, queries, dim, count, out)));
}

/// Fills the tables of up to [`LANES`] queries of `dim`: [`SIGN_TABLES`] floats for each byte of a row.
pub(crate) fn sign_tables(queries: &[f32], dim: usize, tables: &mut [f32]) {
    for (byte, table) in tables.as_chunks_mut::<SIGN_TABLES>().0.iter_mut().enumerate() {
        for (half, table) in table.as_chunks_mut::<{ 16 * LANES }>().0.iter_mut().enumerate() {
            let first = byte * 8 + half * 4;
            for (lane, query) in (0..LANES).zip(queries.chunks(dim.max(1)).chain(core::iter::repeat(&[][..])))
            {
                let y: [f32; 4] = core::array::from_fn(|i| query.get(first + i).copied().unwrap_or(0.0));
                for (bits, sums) in table.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                    if let Some(sum) = sums.get_mut(lane) {
                        *sum = signed4(y, bits);
                    }
                }
            }
        }
    }
}

/// For each of `out.len()` entries of `per_entry` rows and each query of the tables: the greatest inner product.
pub(crate) fn sign_max(
    rows: &[u8],
    row_len: usize,
    per_entry: usize,
    tables: &[f32],
    out: &mut [[f32; LANES]],
) {
    at_level!(isa => sign_maxima(isa, rows, row_len, per_entry, tables, out));
}

/// Fills the tables of one query: 256 floats for each byte of a row.
pub(crate) fn sign_table(query: &[f32], tables: &mut [f32]) {
    for (y, table) in query.chunks(8).zip(tables.as_chunks_mut::<256>().0) {
        let y: [f32; 8] = core::array::from_fn(|i| y.get(i).copied().unwrap_or(0.0));
        let [a, b, c, d, e, f, g, h] = y;
        let low: [f32; 16] = core::array::from_fn(|bits| signed4([a, b, c, d], bits));
        let high: [f32; 16] = core::array::from_fn(|bits| signed4([e, f, g, h], bits));
        for (table, high) in table.as_chunks_mut::<16>().0.iter_mut().zip(high) {
            for (sum, low) in table.iter_mut().zip(low) {
                *sum = low + high;
            }
        }
    }
}

/// The inner product of each row of signs with the query of the tables.
pub(crate) fn sign_dots(rows: &[u8], row_len: usize, tables: &[f32], out: &mut [f32]) {
    let tables = tables.as_chunks::<256>().0;
    for (row, out) in rows.chunks_exact(row_len.max(1)).zip(out) {
        let mut sum = 0.0;
        for (byte, table) in row.iter().zip(tables) {
            // A table has an entry for every byte: no check is left.
            sum += table.get(usize::from(*byte)).copied().unwrap_or(0.0);
        }
        *out = sum;
    }
}

/// The inner product of a row of signs with a query, without tables.
pub(crate) fn sign_dot(row: &[u8], query: &[f32]) -> f32 {
    let mut sum = 0.0;
    for (y, byte) in query.chunks(8).zip(row) {
        let [a, b, c, d, e, f, g, h]: [f32; 8] = core::array::from_fn(|i| y.get(i).copied().unwrap_or(0.0));
        let byte = usize::from(*byte);
        sum += signed4([a, b, c, d], byte) + signed4([e, f, g, h], byte >> 4);
    }
    sum
}

/// (s0 + s1) + (s2 + s3).
#[inline(always)]
fn signed4(y: [f32; 4], bits: usize) -> f32 {
    let [a, b, c, d]: [f32; 4] = core::array::from_fn(|i| {
        let [y, negated] = y.get(i).map_or([0.0; 2], |y| [*y, -*y]);
        if (bits >> i) & 1 == 1 { negated } else { y }
    });
    (a + b) + (c + d)
}

/// A query as groups of [`LANES`], the last one filled up with zeros, and ones in the bits of the lanes it has.
struct Query<'a, I: Isa> {
    groups: &'a [[f32; LANES]],
    last: Option<(I::Singles, I::Singles)>,
}

impl<'a, I: Isa> Query<'a, I> {
    #[inline(always)]
    fn new(isa: I, query: &'a [f32]) -> Self {
        let (groups, rest) = query.as_chunks::<LANES>();
        let (mut last, mut mask) = ([0.0; LANES], [0.0; LANES]);
        for ((last, mask), rest) in last.iter_mut().zip(&mut mask).zip(rest) {
            (*last, *mask) = (*rest, f32::from_bits(u32::MAX));
        }
        let last = if rest.is_empty() { None } else { Some((isa.singles(last), isa.singles(mask))) };
        Self { groups, last }
    }
}

/// The whole groups of a row at the start of `bytes`.
#[inline(always)]
fn groups<const N: usize>(bytes: &[u8], whole: usize) -> &[[[u8; N]; LANES]] {
    bytes.as_chunks::<N>().0.as_chunks::<LANES>().0.get(..whole).unwrap_or_default()
}

/// The elements after the whole groups, and zeros. What follows the row is read with them where possible, and masked.
#[inline(always)]
fn rest<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    bytes: &[u8],
    whole: usize,
    mask: I::Singles,
) -> I::Singles {
    let elements = bytes.as_chunks::<N>().0.get(whole * LANES..).unwrap_or_default();
    let x = match elements.first_chunk::<LANES>() {
        Some(group) => E::load(isa, group),
        None => {
            let mut all = [[0; N]; LANES];
            for (to, from) in all.iter_mut().zip(elements) {
                *to = *from;
            }
            E::load(isa, &all)
        }
    };
    isa.and(x, mask)
}

/// The bytes from each of the next four rows on.
#[inline(always)]
fn four_rows<'a>(rows: &mut &'a [u8], row_len: usize) -> [&'a [u8]; 4] {
    let after = |rows: &'a [u8]| rows.get(row_len..).unwrap_or_default();
    let a = *rows;
    let b = after(a);
    let c = after(b);
    let d = after(c);
    *rows = after(d);
    [a, b, c, d]
}

/// The lanes of one row's sum.
#[inline(always)]
fn row_lanes<const N: usize, E: Load<N>, I: Isa>(isa: I, bytes: &[u8], query: &Query<'_, I>) -> I::Singles {
    let whole = query.groups.len();
    let mut sum = isa.singles([0.0; LANES]);
    for (x, y) in groups::<N>(bytes, whole).iter().zip(query.groups) {
        sum = isa.add(sum, isa.mul(E::load(isa, x), isa.singles(*y)));
    }
    if let Some((last, mask)) = query.last {
        sum = isa.add(sum, isa.mul(rest::<N, E, I>(isa, bytes, whole, mask), last));
    }
    sum
}

#[inline(always)]
fn scan<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    rows: &[u8],
    row_len: usize,
    query: &[f32],
    out: &mut [f32],
) {
    let query = Query::new(isa, query);
    let mut rows = rows;
    // Row after row: several at once are several streams to the memory, which is slower.
    for out in out {
        *out = isa.tree(row_lanes::<N, E, I>(isa, rows, &query));
        rows = rows.get(row_len..).unwrap_or_default();
    }
}

#[inline(always)]
fn scan_squares<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    rows: &[u8],
    row_len: usize,
    dim: usize,
    out: &mut [f32],
) {
    let mut mask = [0.0; LANES];
    for mask in mask.iter_mut().take(dim % LANES) {
        *mask = f32::from_bits(u32::MAX);
    }
    let (whole, mask) = (dim / LANES, isa.singles(mask));
    let masked = !dim.is_multiple_of(LANES);
    let mut rows = rows;
    let (fours, left) = out.as_chunks_mut::<4>();
    for out in fours {
        let [x0, x1, x2, x3] = four_rows(&mut rows, row_len);
        let a = row_squares::<N, E, I>(isa, x0, whole, masked, mask);
        let b = row_squares::<N, E, I>(isa, x1, whole, masked, mask);
        let c = row_squares::<N, E, I>(isa, x2, whole, masked, mask);
        let d = row_squares::<N, E, I>(isa, x3, whole, masked, mask);
        *out = isa.trees([a, b, c, d]);
    }
    for out in left {
        *out = isa.tree(row_squares::<N, E, I>(isa, rows, whole, masked, mask));
        rows = rows.get(row_len..).unwrap_or_default();
    }
}

#[inline(always)]
fn row_squares<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    bytes: &[u8],
    whole: usize,
    masked: bool,
    mask: I::Singles,
) -> I::Singles {
    let mut sum = isa.singles([0.0; LANES]);
    for x in groups::<N>(bytes, whole) {
        let x = E::load(isa, x);
        sum = isa.add(sum, isa.mul(x, x));
    }
    if masked {
        let x = rest::<N, E, I>(isa, bytes, whole, mask);
        sum = isa.add(sum, isa.mul(x, x));
    }
    sum
}

#[inline(always)]
fn scan_both<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    rows: &[u8],
    row_len: usize,
    query: &[f32],
    dots: &mut [f32],
    squares: &mut [f32],
) {
    let query = Query::new(isa, query);
    let mut rows = rows;
    let (dots, dots_left) = dots.as_chunks_mut::<2>();
    let (squares, squares_left) = squares.as_chunks_mut::<2>();
    for (dots, squares) in dots.iter_mut().zip(squares) {
        let [a, b] = row_both::<N, E, I>(isa, rows, &query);
        rows = rows.get(row_len..).unwrap_or_default();
        let [c, d] = row_both::<N, E, I>(isa, rows, &query);
        rows = rows.get(row_len..).unwrap_or_default();
        let [a, b, c, d] = isa.trees([a, b, c, d]);
        (*dots, *squares) = ([a, c], [b, d]);
    }
    for (dot, square) in dots_left.iter_mut().zip(squares_left) {
        let [a, b] = row_both::<N, E, I>(isa, rows, &query);
        (*dot, *square) = (isa.tree(a), isa.tree(b));
    }
}

#[inline(always)]
fn row_both<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    bytes: &[u8],
    query: &Query<'_, I>,
) -> [I::Singles; 2] {
    let whole = query.groups.len();
    let mut sums = [isa.singles([0.0; LANES]); 2];
    for (x, y) in groups::<N>(bytes, whole).iter().zip(query.groups) {
        let x = E::load(isa, x);
        let [xy, xx] = sums;
        sums = [isa.add(xy, isa.mul(x, isa.singles(*y))), isa.add(xx, isa.mul(x, x))];
    }
    if let Some((last, mask)) = query.last {
        let x = rest::<N, E, I>(isa, bytes, whole, mask);
        let [xy, xx] = sums;
        sums = [isa.add(xy, isa.mul(x, last)), isa.add(xx, isa.mul(x, x))];
    }
    sums
}

/// [`TILE`] rows by as many queries at a time. Where fewer are left, the last one stands in for those that are missing.
#[inline(always)]
fn tiles<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    rows: &[u8],
    row_len: usize,
    queries: &[f32],
    dim: usize,
    count: usize,
    out: &mut [f32],
) {
    let mut rows = rows;
    let mut at = 0;
    while at < count {
        let mut four = [rows; TILE];
        for (i, row) in four.iter_mut().enumerate() {
            *row = rows;
            if at + i + 1 < count {
                rows = rows.get(row_len..).unwrap_or_default();
            }
        }
        let mut out = out.chunks_exact_mut(count);
        for queries in queries.chunks(TILE * dim.max(1)) {
            let mut each = queries.chunks_exact(dim.max(1));
            let mut last = each.next().unwrap_or_default();
            let four_queries = [
                last,
                following(&mut each, &mut last),
                following(&mut each, &mut last),
                following(&mut each, &mut last),
            ];
            let sums = one_tile::<N, E, I>(isa, four, four_queries);
            for (sums, out) in sums.iter().zip(out.by_ref().take(queries.len() / dim.max(1))) {
                match out.get_mut(at..).and_then(|out| out.first_chunk_mut::<TILE>()) {
                    Some(out) => *out = *sums,
                    None => out.iter_mut().skip(at).zip(sums).for_each(|(out, sum)| *out = *sum),
                }
            }
        }
        at += TILE;
    }
}

#[inline(always)]
fn following<'a>(each: &mut core::slice::ChunksExact<'a, f32>, last: &mut &'a [f32]) -> &'a [f32] {
    if let Some(next) = each.next() {
        *last = next;
    }
    last
}

#[inline(always)]
fn one_tile<const N: usize, E: Load<N>, I: Isa>(
    isa: I,
    rows: [&[u8]; TILE],
    queries: [&[f32]; TILE],
) -> [[f32; TILE]; TILE] {
    let [y0, y1, y2, y3] = queries;
    let (z0, z1, z2, z3) =
        (Query::new(isa, y0), Query::new(isa, y1), Query::new(isa, y2), Query::new(isa, y3));
    let whole = z0.groups.len();
    let [x0, x1, x2, x3] = rows;
    let x = groups::<N>(x0, whole).iter().zip(groups::<N>(x1, whole));
    let x = x.zip(groups::<N>(x2, whole).iter().zip(groups::<N>(x3, whole)));
    let y = z0.groups.iter().zip(z1.groups).zip(z2.groups.iter().zip(z3.groups));
    let mut sums = [[isa.singles([0.0; LANES]); TILE]; TILE];
    for (((x0, x1), (x2, x3)), ((y0, y1), (y2, y3))) in x.zip(y) {
        let x = [E::load(isa, x0), E::load(isa, x1), E::load(isa, x2), E::load(isa, x3)];
        let y = [isa.singles(*y0), isa.singles(*y1), isa.singles(*y2), isa.singles(*y3)];
        add_products(isa, &mut sums, x, y);
    }
    if let (Some((y0, mask)), Some((y1, _)), Some((y2, _)), Some((y3, _))) =
        (z0.last, z1.last, z2.last, z3.last)
    {
        let x = [
            rest::<N, E, I>(isa, x0, whole, mask),
            rest::<N, E, I>(isa, x1, whole, mask),
            rest::<N, E, I>(isa, x2, whole, mask),
            rest::<N, E, I>(isa, x3, whole, mask),
        ];
        add_products(isa, &mut sums, x, [y0, y1, y2, y3]);
    }
    let [a, b, c, d] = sums;
    [isa.trees(a), isa.trees(b), isa.trees(c), isa.trees(d)]
}

#[inline(always)]
fn add_products<I: Isa>(
    isa: I,
    sums: &mut [[I::Singles; TILE]; TILE],
    x: [I::Singles; TILE],
    y: [I::Singles; TILE],
) {
    for (sums, y) in sums.iter_mut().zip(y) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum = isa.add(*sum, isa.mul(x, y));
        }
    }
}

#[inline(always)]
fn sign_maxima<I: Isa>(
    isa: I,
    rows: &[u8],
    row_len: usize,
    per_entry: usize,
    tables: &[f32],
    out: &mut [[f32; LANES]],
) {
    let tables = tables.as_chunks::<SIGN_TABLES>().0;
    let mut rows = rows;
    for out in out {
        let mut greatest = isa.singles([f32::NEG_INFINITY; LANES]);
        let mut left = per_entry;
        while left > 0 {
            // Four at a time; where fewer are left, some of the entry's are seen again.
            let count = left.min(TILE);
            let x: [&[u8]; TILE] = core::array::from_fn(|i| {
                rows.get(i.min(count - 1) * row_len..).and_then(|row| row.get(..row_len)).unwrap_or_default()
            });
            let [x0, x1, x2, x3] = x;
            let mut sums = [isa.singles([0.0; LANES]); TILE];
            let x = x0.iter().zip(x1).zip(x2.iter().zip(x3));
            for (((x0, x1), (x2, x3)), table) in x.zip(tables) {
                let table = table.as_chunks::<LANES>().0;
                for (sum, byte) in sums.iter_mut().zip([x0, x1, x2, x3]) {
                    let (low, high) = (usize::from(byte & 15), usize::from(16 + (byte >> 4)));
                    if let (Some(low), Some(high)) = (table.get(low), table.get(high)) {
                        *sum = isa.add(*sum, isa.add(isa.singles(*low), isa.singles(*high)));
                    }
                }
            }
            for sum in sums {
                greatest = isa.max(greatest, sum);
            }
            rows = rows.get(count * row_len..).unwrap_or_default();
            left -= count;
        }
        *out = isa.array(greatest);
    }
}

#[cfg(any(test, not(feature = "simd")))]
impl Isa for Portable {
    #[inline(always)]
    fn max(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a = if b > *a { b } else { *a };
        }
        a
    }

    #[inline(always)]
    fn tree(self, mut lanes: [f32; LANES]) -> f32 {
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = lanes.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
            half /= 2;
        }
        lanes[0]
    }

    #[inline(always)]
    fn trees(self, lanes: [[f32; LANES]; 4]) -> [f32; 4] {
        lanes.map(|lanes| self.tree(lanes))
    }
}

#[cfg(feature = "simd")]
mod simd {
    use super::{Isa, LANES};
    use crate::arch::lanes::simd::Native;
    use fearless_simd::{prelude::*, *};

    impl<S: Simd> Isa for Native<S> {
        #[inline(always)]
        fn max(self, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
            b.simd_gt(a).select(b, a)
        }

        #[inline(always)]
        fn tree(self, lanes: f32x16<S>) -> f32 {
            let (low, high) = lanes.split();
            let (low, high) = (low + high).split();
            let [a, b, c, d]: [f32; 4] = (low + high).into();
            (a + c) + (b + d)
        }

        #[inline(always)]
        fn trees(self, [a, b, c, d]: [f32x16<S>; 4]) -> [f32; 4] {
            // One vector for each step, which takes a third of the instructions of four by themselves.
            let ((a0, a1), (b0, b1)) = (a.split(), b.split());
            let ((c0, c1), (d0, d1)) = (c.split(), d.split());
            let (ab, cd) = (a0.combine(b0) + a1.combine(b1), c0.combine(d0) + c1.combine(d1));
            let ((a, b), (c, d)) = (ab.split(), cd.split());
            let ((a0, a1), (b0, b1)) = (a.split(), b.split());
            let ((c0, c1), (d0, d1)) = (c.split(), d.split());
            let low = a0.combine(b0).combine(c0.combine(d0));
            let high = a1.combine(b1).combine(c1.combine(d1));
            let four = low + high;
            let two = four + four.slide_within_blocks::<2>(four);
            let one = two + two.slide_within_blocks::<1>(two);
            let [a, _, _, _, b, _, _, _, c, _, _, _, d, _, _, _]: [f32; LANES] = one.into();
            [a, b, c, d]
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Products of a matrix of f32 with vectors: `out[i] = sum over j of row_i[j] * (x[j] - centre[j])`.
//!
//! The matrix is little-endian bytes of any alignment. Everything is f32, and each difference, product and sum is rounded
//! by itself: lane l of 16 adds the products of j = l mod 16 in order, and then the lanes are added as a tree, l and
//! l + 8, then + 4, + 2, + 1. So a product has the same bits at every level, and however many vectors are taken at once.
#![allow(clippy::indexing_slicing)] // Lanes: every index below is below the length of the array it is in.

/// Partial sums of a product.
const LANES: usize = 16;
/// Vectors that share the fetch of a row.
const VECTORS: usize = 4;

/// `out[v][i]`, for every whole vector of `dim` in `xs`, and the first `outputs` rows. `centre` has `dim` values, or none
/// for 0.
pub(crate) fn products(
    matrix: &[[u8; 4]],
    dim: usize,
    centre: &[[u8; 4]],
    xs: &[f32],
    outputs: usize,
    out: &mut [f32],
) {
    #[cfg(feature = "simd")]
    products_at(super::level(), matrix, dim, centre, xs, outputs, out);
    #[cfg(not(feature = "simd"))]
    all(matrix, dim, centre, xs, outputs, out);
}

#[cfg(feature = "simd")]
fn products_at(
    level: fearless_simd::Level,
    matrix: &[[u8; 4]],
    dim: usize,
    centre: &[[u8; 4]],
    xs: &[f32],
    outputs: usize,
    out: &mut [f32],
) {
    // The lanes below are arrays, which the compiler makes vectors of.
    fearless_simd::dispatch!(level, _simd => all(matrix, dim, centre, xs, outputs, out));
}

#[inline(always)]
fn all(matrix: &[[u8; 4]], dim: usize, centre: &[[u8; 4]], xs: &[f32], outputs: usize, out: &mut [f32]) {
    if dim == 0 || outputs == 0 {
        return;
    }
    let (mut xs, mut out) = (xs, out);
    while xs.len() >= VECTORS * dim && out.len() >= VECTORS * outputs {
        let (now, later) = xs.split_at(VECTORS * dim);
        let (to, rest) = out.split_at_mut(VECTORS * outputs);
        some::<VECTORS>(matrix, dim, centre, now, outputs, to);
        (xs, out) = (later, rest);
    }
    for (x, to) in xs.chunks_exact(dim).zip(out.chunks_exact_mut(outputs)) {
        some::<1>(matrix, dim, centre, x, outputs, to);
    }
}

/// `N` vectors.
#[inline(always)]
fn some<const N: usize>(
    matrix: &[[u8; 4]],
    dim: usize,
    centre: &[[u8; 4]],
    xs: &[f32],
    outputs: usize,
    out: &mut [f32],
) {
    let mut x: [&[f32]; N] = [&[]; N];
    for (x, vector) in x.iter_mut().zip(xs.chunks_exact(dim)) {
        *x = vector;
    }
    for (i, row) in matrix.chunks_exact(dim).take(outputs).enumerate() {
        let sums = if centre.is_empty() {
            row_of::<N, false>(row, row, x)
        } else {
            row_of::<N, true>(row, centre, x)
        };
        for (to, sum) in out.chunks_exact_mut(outputs).zip(sums) {
            to[i] = sum;
        }
    }
}

#[inline(always)]
fn row_of<const N: usize, const CENTRE: bool>(
    row: &[[u8; 4]],
    centre: &[[u8; 4]],
    x: [&[f32]; N],
) -> [f32; N] {
    let mut sums = [[0.0; LANES]; N];
    let (rows, row_rest) = row.as_chunks::<LANES>();
    let (centres, centre_rest) = centre.as_chunks::<LANES>();
    let x = x.map(|x| x.as_chunks::<LANES>());
    for (g, (row, centre)) in rows.iter().zip(centres).enumerate() {
        for (sums, (x, _)) in sums.iter_mut().zip(&x) {
            if let Some(x) = x.get(g) {
                group::<CENTRE>(sums, row, centre, x);
            }
        }
    }
    for (sums, (_, x)) in sums.iter_mut().zip(&x) {
        for (((sum, row), centre), x) in sums.iter_mut().zip(row_rest).zip(centre_rest).zip(*x) {
            *sum += f32::from_le_bytes(*row) * centred::<CENTRE>(*x, centre);
        }
    }
    sums.map(tree)
}

#[inline(always)]
fn group<const CENTRE: bool>(
    sums: &mut [f32; LANES],
    row: &[[u8; 4]; LANES],
    centre: &[[u8; 4]; LANES],
    x: &[f32; LANES],
) {
    for l in 0..LANES {
        sums[l] += f32::from_le_bytes(row[l]) * centred::<CENTRE>(x[l], &centre[l]);
    }
}

#[inline(always)]
fn centred<const CENTRE: bool>(x: f32, centre: &[u8; 4]) -> f32 {
    if CENTRE { x - f32::from_le_bytes(*centre) } else { x }
}

#[inline(always)]
fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// Values of several magnitudes, so that another order of summation shows.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(0x3F80_0000 | state >> 9) - 1.5;
            x * [1.0, 1e-3, 1e3, 7.0][(state & 3) as usize]
        };
        (0..count).map(next).collect()
    }

    fn bytes(values: &[f32]) -> Vec<[u8; 4]> {
        values.iter().map(|x| x.to_le_bytes()).collect()
    }

    /// The definition, word for word.
    fn naive(row: &[f32], centre: &[f32], x: &[f32]) -> f32 {
        let mut lanes = [0.0f32; 16];
        for j in 0..row.len() {
            let d = if centre.is_empty() { x[j] } else { x[j] - centre[j] };
            let product = row[j] * d;
            lanes[j % 16] += product;
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    #[test]
    fn every_level_gives_the_bits_of_the_definition() {
        for (dim, outputs, vectors) in
            [(1, 1, 1), (15, 3, 2), (16, 2, 4), (33, 5, 9), (384, 7, 6), (47, 1, 5)]
        {
            let (matrix, x) = (values(dim * outputs, 1), values(dim * vectors, 2));
            for centre in [values(dim, 3), vec![]] {
                let expected: Vec<u32> = (0..vectors * outputs)
                    .map(|at| {
                        let (v, i) = (at / outputs, at % outputs);
                        naive(&matrix[i * dim..][..dim], &centre, &x[v * dim..][..dim]).to_bits()
                    })
                    .collect();
                let run = |f: &dyn Fn(&mut [f32])| {
                    let mut out = vec![f32::NAN; vectors * outputs];
                    f(&mut out);
                    out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                let (matrix, centre) = (bytes(&matrix), bytes(&centre));
                assert_eq!(run(&|out| all(&matrix, dim, &centre, &x, outputs, out)), expected);
                #[cfg(feature = "simd")]
                for level in crate::arch::levels() {
                    let found = run(&|out| products_at(level, &matrix, dim, &centre, &x, outputs, out));
                    assert_eq!(found, expected, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn fewer_outputs_are_the_first_ones() {
        let (matrix, x) = (bytes(&values(5 * 20, 1)), values(3 * 20, 2));
        let (mut all, mut two) = ([0.0; 15], [0.0; 6]);
        products(&matrix, 20, &[], &x, 5, &mut all);
        products(&matrix, 20, &[], &x, 2, &mut two);
        assert_eq!(two, [all[0], all[1], all[5], all[6], all[10], all[11]]);
    }
}

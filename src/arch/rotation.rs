//! Rotations of keys: pairs by angles, blocks by the Hadamard matrix (spec/engram.md, "Element types and rotations").
//!
//! Each operation is rounded by itself and none is regrouped, so that all levels have the same bits. The loops are plain,
//! and compiled once for each level.

/// Values that loops handle at once, as arrays: behind a dispatch the compiler does not know that one slice is not another,
/// and would read and write one value after the other.
const LANES: usize = 16;

/// The cosine and the sine of an angle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Angle {
    /// Its cosine.
    pub cos: f32,
    /// Its sine.
    pub sin: f32,
}

/// A pair turned by an angle and made `length` times as long.
#[inline(always)]
pub(crate) fn turned(a: f32, b: f32, Angle { cos, sin }: Angle, length: f32) -> (f32, f32) {
    (length * (a * cos - b * sin), length * (a * sin + b * cos))
}

/// Turns the pairs (2i, 2i + 1) of each key by the angles; `sign` is that of the sines.
pub(crate) fn turn_adjacent(keys: &mut [f32], head_dim: usize, angles: &[Angle], sign: f32, length: f32) {
    #[cfg(feature = "simd")]
    fearless_simd::dispatch!(super::level(), _simd => adjacent(keys, head_dim, angles, sign, length));
    #[cfg(not(feature = "simd"))]
    adjacent(keys, head_dim, angles, sign, length);
}

/// Turns the pairs (i, i + n) of each key, n being the number of angles.
pub(crate) fn turn_halves(keys: &mut [f32], head_dim: usize, angles: &[Angle], sign: f32, length: f32) {
    #[cfg(feature = "simd")]
    fearless_simd::dispatch!(super::level(), _simd => halves(keys, head_dim, angles, sign, length));
    #[cfg(not(feature = "simd"))]
    halves(keys, head_dim, angles, sign, length);
}

/// Multiplies each block by Sylvester's matrix and by `factor`. `block_len` is a power of two.
pub(crate) fn hadamard(values: &mut [f32], block_len: usize, factor: f32) {
    #[cfg(feature = "simd")]
    fearless_simd::dispatch!(super::level(), _simd => blocks(values, block_len, factor));
    #[cfg(not(feature = "simd"))]
    blocks(values, block_len, factor);
}

#[inline(always)]
fn adjacent(keys: &mut [f32], head_dim: usize, angles: &[Angle], sign: f32, length: f32) {
    for key in keys.chunks_exact_mut(head_dim.max(1)) {
        for ([a, b], angle) in key.as_chunks_mut().0.iter_mut().zip(angles) {
            (*a, *b) = turned(*a, *b, Angle { cos: angle.cos, sin: sign * angle.sin }, length);
        }
    }
}

#[inline(always)]
fn halves(keys: &mut [f32], head_dim: usize, angles: &[Angle], sign: f32, length: f32) {
    let (angles, angles_rest) = angles.as_chunks::<LANES>();
    let first_len = LANES * angles.len() + angles_rest.len();
    for key in keys.chunks_exact_mut(head_dim.max(1)) {
        let (first, second) = key.split_at_mut(first_len.min(key.len()));
        let (first, first_rest) = first.as_chunks_mut::<LANES>();
        let (second, _) = second.split_at_mut(first_len.min(second.len()));
        let (second, second_rest) = second.as_chunks_mut::<LANES>();
        for ((first, second), angles) in first.iter_mut().zip(second).zip(angles) {
            let (mut a, mut b) = (*first, *second);
            for ((a, b), angle) in a.iter_mut().zip(&mut b).zip(angles) {
                (*a, *b) = turned(*a, *b, Angle { cos: angle.cos, sin: sign * angle.sin }, length);
            }
            (*first, *second) = (a, b);
        }
        for ((a, b), angle) in first_rest.iter_mut().zip(second_rest).zip(angles_rest) {
            (*a, *b) = turned(*a, *b, Angle { cos: angle.cos, sin: sign * angle.sin }, length);
        }
    }
}

#[inline(always)]
fn blocks(values: &mut [f32], block_len: usize, factor: f32) {
    // Blocks of the common sizes stay in registers.
    match block_len {
        64 => {
            for block in values.as_chunks_mut::<64>().0 {
                of_64(block, factor);
            }
        }
        128.. => {
            for block in values.chunks_exact_mut(block_len) {
                for part in block.as_chunks_mut::<64>().0 {
                    of_64(part, 1.0);
                }
                steps(block, 64, factor);
            }
        }
        _ => {
            for block in values.chunks_exact_mut(block_len.max(1)) {
                steps(block, 1, factor);
            }
        }
    }
}

/// Steps from `step` on, and the factor.
#[inline(always)]
fn steps(block: &mut [f32], mut step: usize, factor: f32) {
    while step < block.len() {
        for pair in block.chunks_exact_mut(2 * step) {
            let (low, high) = pair.split_at_mut(step);
            // All of it, or nothing where steps are shorter.
            let ((low, low_rest), (high, high_rest)) =
                (low.as_chunks_mut::<LANES>(), high.as_chunks_mut::<LANES>());
            for (low, high) in low.iter_mut().zip(high) {
                let (a, b) = (*low, *high);
                let (mut sums, mut differences) = (a, a);
                for ((sum, difference), b) in sums.iter_mut().zip(&mut differences).zip(b) {
                    *sum += b;
                    *difference -= b;
                }
                (*low, *high) = (sums, differences);
            }
            for (a, b) in low_rest.iter_mut().zip(high_rest) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        step *= 2;
    }
    for value in block {
        *value *= factor;
    }
}

/// All steps of 64 values as an 8 by 8 square: those of 1, 2 and 4 run across the columns of its transpose, those of 8, 16
/// and 32 across its own, eight lanes at once either way.
#[inline(always)]
fn of_64(block: &mut [f32; 64], factor: f32) {
    let mut square = transposed(block);
    columns(&mut square);
    let mut square = transposed(&square);
    columns(&mut square);
    for (to, from) in block.iter_mut().zip(square) {
        *to = from * factor;
    }
}

#[inline(always)]
fn transposed(from: &[f32; 64]) -> [f32; 64] {
    let mut to = [0.0; 64];
    for (r, row) in to.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        for (to, from) in row.iter_mut().zip(from.as_chunks::<8>().0) {
            *to = from.get(r).copied().unwrap_or(0.0);
        }
    }
    to
}

/// Steps of one, two and four rows.
#[inline(always)]
fn columns(square: &mut [f32; 64]) {
    butterflies::<8>(square);
    butterflies::<16>(square);
    butterflies::<32>(square);
}

#[inline(always)]
fn butterflies<const STEP: usize>(square: &mut [f32; 64]) {
    let (parts, _) = square.as_chunks_mut::<STEP>();
    for [low, high] in parts.as_chunks_mut::<2>().0 {
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

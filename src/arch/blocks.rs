//! Kernels of blocks: which blocks of two equally long byte strings differ, by how much, and what their difference is.
//!
//! All values are little-endian bytes of any alignment. A norm is the sum of the squares of d[i] = f64(a[i]) - f64(m[i]),
//! which is exact for f32: lane j of 16 adds the squares of i = j mod 16 in order, each product and each sum rounded by itself, and
//! the lanes are added as a tree, j and j + 8, then + 4, + 2, + 1. So it has the same bits everywhere.
//!
//! Arithmetic on elements is in f32, rounded once more to narrower types. A NaN that comes out of it is the
//! positive quiet one without payload (7FC00000, 7E00, 7FC0), whatever went in: the payload that CPUs give differs.
#![allow(dead_code, reason = "until mirror/ calls it")]

use super::half;

/// Element types of blocks that are floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    F32,
    F16,
    Bf16,
}

/// Partial sums of a norm.
const LANES: usize = 16;
/// Blocks to a call: one bit each.
const BLOCKS: usize = 64;

/// A type of elements as `N` little-endian bytes.
trait Element<const N: usize> {
    fn get(bytes: [u8; N]) -> f32;
    /// Rounded half to even.
    fn put(x: f32) -> [u8; N];
}

struct F32;
struct F16;
struct Bf16;

impl Element<4> for F32 {
    #[inline(always)]
    fn get(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }

    #[inline(always)]
    fn put(x: f32) -> [u8; 4] {
        x.to_le_bytes()
    }
}

impl Element<2> for F16 {
    #[inline(always)]
    fn get(bytes: [u8; 2]) -> f32 {
        half::from_f16(u16::from_le_bytes(bytes))
    }

    #[inline(always)]
    fn put(x: f32) -> [u8; 2] {
        half::to_f16(x).to_le_bytes()
    }
}

impl Element<2> for Bf16 {
    #[inline(always)]
    fn get(bytes: [u8; 2]) -> f32 {
        half::from_bf16(u16::from_le_bytes(bytes))
    }

    #[inline(always)]
    fn put(x: f32) -> [u8; 2] {
        half::to_bf16(x).to_le_bytes()
    }
}

/// The expression once for each type of floats, as `E`.
macro_rules! by_float {
    ($float:expr, $E:ident => $body:expr) => {
        match $float {
            Float::F32 => {
                type $E = F32;
                $body
            }
            Float::F16 => {
                type $E = F16;
                $body
            }
            Float::Bf16 => {
                type $E = Bf16;
                $body
            }
        }
    };
}

/// Which of the up to 64 blocks of `block_len` bytes differ in their bits; bit i for block i.
pub(crate) fn unequal(master: &[u8], agent: &[u8], block_len: usize) -> u64 {
    select(master, agent, block_len, |m, a| m != a)
}

/// Which of the up to 64 blocks differ by a squared norm that is not <= `limit`: over it, or NaN.
pub(crate) fn beyond(float: Float, master: &[u8], agent: &[u8], block_len: usize, limit: f64) -> u64 {
    // Not `>`: NaN is beyond.
    by_float!(float, E => select(master, agent, block_len, |m, a| !matches!(norm_loop::<_, E>(m, a), s if s <= limit)))
}

/// The squared norm of one block's difference.
pub(crate) fn squared_norm(float: Float, master: &[u8], agent: &[u8]) -> f64 {
    by_float!(float, E => norm_loop::<_, E>(master, agent))
}

/// Which of the up to 64 blocks of i16 differ by a squared norm, in steps, over `limit`.
pub(crate) fn beyond_i16(master: &[u8], agent: &[u8], block_len: usize, limit: u64) -> u64 {
    select(master, agent, block_len, |m, a| norm_loop_i16(m, a) > limit)
}

/// The squared norm of the difference of one block of i16, in steps. Exact for up to 2^32 - 1 elements.
pub(crate) fn squared_norm_i16(master: &[u8], agent: &[u8]) -> u64 {
    norm_loop_i16(master, agent)
}

/// `out` = agent - master.
pub(crate) fn subtract(float: Float, agent: &[u8], master: &[u8], out: &mut [u8]) {
    by_float!(float, E => combine::<_, E>(agent, master, out, |a, m| a - m));
}

/// `out` = master + difference.
pub(crate) fn add(float: Float, master: &[u8], difference: &[u8], out: &mut [u8]) {
    by_float!(float, E => combine::<_, E>(master, difference, out, |m, d| m + d));
}

/// `out` = agent - master, not narrowed.
pub(crate) fn subtract_f32(float: Float, agent: &[u8], master: &[u8], out: &mut [f32]) {
    by_float!(float, E => subtract_loop::<_, E>(agent, master, out));
}

/// `out` = master + f32(q * delta / 65536); `q` is little-endian i16.
pub(crate) fn add_mu16(float: Float, master: &[u8], q: &[u8], delta_q16: u32, out: &mut [u8]) {
    by_float!(float, E => add_mu16_loop::<_, E>(master, q, delta_q16, out));
}

/// The largest |a[i] - b[i]|; NaN if one is NaN. Elements of equal bits differ by 0, even NaN and infinity.
pub(crate) fn max_distance(float: Float, a: &[u8], b: &[u8]) -> f64 {
    by_float!(float, E => distance_loop::<_, E>(a, b))
}

/// The inner product of two strings of little-endian i16. Exact for up to 2^32 elements.
pub(crate) fn dot_i16(a: &[u8], b: &[u8]) -> i64 {
    dot_loop(a, b)
}

#[inline(always)]
fn select(master: &[u8], agent: &[u8], block_len: usize, differ: impl Fn(&[u8], &[u8]) -> bool) -> u64 {
    let blocks = master.chunks_exact(block_len.max(1)).zip(agent.chunks_exact(block_len.max(1)));
    blocks.take(BLOCKS).enumerate().fold(0, |set, (i, (m, a))| set | u64::from(differ(m, a)) << i)
}

#[inline(always)]
fn norm_loop<const N: usize, E: Element<N>>(master: &[u8], agent: &[u8]) -> f64 {
    let mut lanes = [0.0; LANES];
    let square = |m: &[u8; N], a: &[u8; N]| {
        let d = f64::from(E::get(*a)) - f64::from(E::get(*m));
        d * d
    };
    let (master, agent) = (master.as_chunks::<N>().0, agent.as_chunks::<N>().0);
    for (m, a) in master.chunks(LANES).zip(agent.chunks(LANES)) {
        for ((lane, m), a) in lanes.iter_mut().zip(m).zip(a) {
            *lane += square(m, a);
        }
    }
    tree(lanes)
}

/// The sum of the lanes: j and j + 8, then + 4, + 2, + 1.
#[inline(always)]
fn tree(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn norm_loop_i16(master: &[u8], agent: &[u8]) -> u64 {
    let pairs = master.as_chunks::<2>().0.iter().zip(agent.as_chunks::<2>().0);
    pairs.fold(0, |sum: u64, (m, a)| {
        let d = u32::from(i16::from_le_bytes(*a).abs_diff(i16::from_le_bytes(*m)));
        sum.wrapping_add(u64::from(d.wrapping_mul(d)))
    })
}

#[inline(always)]
fn dot_loop(a: &[u8], b: &[u8]) -> i64 {
    let pairs = a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0);
    pairs.fold(0, |sum: i64, (a, b)| {
        let product = i32::from(i16::from_le_bytes(*a)).wrapping_mul(i32::from(i16::from_le_bytes(*b)));
        sum.wrapping_add(i64::from(product))
    })
}

/// `x`, or the one NaN.
#[inline(always)]
fn canonical(x: f32) -> f32 {
    if x.is_nan() { f32::from_bits(0x7FC0_0000) } else { x }
}

#[inline(always)]
fn combine<const N: usize, E: Element<N>>(a: &[u8], b: &[u8], out: &mut [u8], f: impl Fn(f32, f32) -> f32) {
    let pairs = a.as_chunks::<N>().0.iter().zip(b.as_chunks::<N>().0);
    for ((a, b), out) in pairs.zip(out.as_chunks_mut::<N>().0) {
        *out = E::put(canonical(f(E::get(*a), E::get(*b))));
    }
}

#[inline(always)]
fn subtract_loop<const N: usize, E: Element<N>>(agent: &[u8], master: &[u8], out: &mut [f32]) {
    let pairs = agent.as_chunks::<N>().0.iter().zip(master.as_chunks::<N>().0);
    for ((a, m), out) in pairs.zip(out) {
        *out = canonical(E::get(*a) - E::get(*m));
    }
}

#[inline(always)]
fn add_mu16_loop<const N: usize, E: Element<N>>(master: &[u8], q: &[u8], delta_q16: u32, out: &mut [u8]) {
    let step = f64::from(delta_q16) / 65536.0;
    let pairs = master.as_chunks::<N>().0.iter().zip(q.as_chunks::<2>().0);
    for ((m, q), out) in pairs.zip(out.as_chunks_mut::<N>().0) {
        // 15 + 32 bits fit f64, so the narrowing is the one rounding.
        let d = (f64::from(i16::from_le_bytes(*q)) * step) as f32;
        *out = E::put(canonical(E::get(*m) + d));
    }
}

#[inline(always)]
fn distance_loop<const N: usize, E: Element<N>>(a: &[u8], b: &[u8]) -> f64 {
    let pairs = a.as_chunks::<N>().0.iter().zip(b.as_chunks::<N>().0);
    // As integers, non-negative floats are in order, and NaN is beyond infinity.
    let largest = pairs.fold(0u64, |largest, (a, b)| {
        let d = (f64::from(E::get(*a)) - f64::from(E::get(*b))).abs().to_bits();
        largest.max(if a == b { 0 } else { d })
    });
    let largest = f64::from_bits(largest);
    if largest.is_nan() { f64::NAN } else { largest }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn by_hand() {
        let m = bytes(&[1.0, 2.0, f32::NAN, 4.0]);
        let a = bytes(&[1.0, 5.0, f32::NAN, 4.5]);
        assert_eq!(unequal(&m, &a, 4), 0b1010);
        assert_eq!(unequal(&m, &a, 8), 0b11);
        assert_eq!(beyond(Float::F32, &m, &a, 4, 9.0), 0b0100);
        assert_eq!(beyond(Float::F32, &m, &a, 4, 9f64.next_down()), 0b0110);
        assert_eq!(squared_norm(Float::F32, &m[..8], &a[..8]), 9.0);
        assert_eq!(max_distance(Float::F32, &m, &a), 3.0);
        let mut out = [0; 16];
        subtract(Float::F32, &a, &m, &mut out);
        assert_eq!(out[..], bytes(&[0.0, 3.0, f32::from_bits(0x7FC0_0000), 0.5]));
        assert_eq!(dot_i16(&[1, 0, 0xFF, 0xFF], &[3, 0, 0, 0x80]), 3 + 32768);
        assert_eq!(squared_norm_i16(&[0, 0x80, 0, 0], &[0xFF, 0x7F, 2, 0]), 65535 * 65535 + 4);
        assert_eq!(beyond_i16(&[0, 0x80, 0, 0], &[0xFF, 0x7F, 2, 0], 2, 4), 1);
        add_mu16(Float::F32, &m, &[1, 0, 2, 0, 0, 0, 0xFF, 0xFF], 65536, &mut out);
        assert_eq!(out[..], bytes(&[2.0, 4.0, f32::from_bits(0x7FC0_0000), 3.0]));
    }
}

//! The kernels on every level, against plain loops.

extern crate std;
use super::*;
use crate::arch::lanes::tiers::on_every_tier;
use std::{vec, vec::Vec};

const FLOATS: [Float; 3] = [Float::F32, Float::F16, Float::Bf16];
const NAN: f32 = f32::from_bits(0x7FC0_0000);

// The definitions, one element at a time. half.rs holds its conversions to those of another crate.

fn get(float: Float, bytes: &[u8], i: usize) -> f32 {
    let size = float.size();
    let bytes = &bytes[i * size..][..size];
    match float {
        Float::F32 => f32::from_le_bytes(bytes.try_into().unwrap()),
        Float::F16 => half::from_f16(u16::from_le_bytes(bytes.try_into().unwrap())),
        Float::Bf16 => half::from_bf16(u16::from_le_bytes(bytes.try_into().unwrap())),
    }
}

fn put(float: Float, x: f32) -> Vec<u8> {
    let x = if x.is_nan() { NAN } else { x };
    match float {
        Float::F32 => x.to_le_bytes().to_vec(),
        Float::F16 => half::to_f16(x).to_le_bytes().to_vec(),
        Float::Bf16 => half::to_bf16(x).to_le_bytes().to_vec(),
    }
}

fn bytes(float: Float, values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| put(float, *x)).collect()
}

fn count(float: Float, bytes: &[u8]) -> usize {
    bytes.len() / float.size()
}

fn naive_norm(float: Float, m: &[u8], a: &[u8]) -> f64 {
    let mut s = [0.0f64; 16];
    for i in 0..count(float, m) {
        let d = f64::from(get(float, a, i)) - f64::from(get(float, m, i));
        s[i % 16] += d * d;
    }
    for width in [8, 4, 2, 1] {
        for j in 0..width {
            s[j] += s[j + width];
        }
    }
    s[0]
}

fn naive_beyond(float: Float, m: &[u8], a: &[u8], block_len: usize, limit: f64) -> u64 {
    let blocks = m.chunks_exact(block_len).zip(a.chunks_exact(block_len)).take(64).enumerate();
    let over = |s: f64| s.is_nan() || limit.is_nan() || s > limit;
    blocks.fold(0, |set, (i, (m, a))| set | u64::from(over(naive_norm(float, m, a))) << i)
}

fn naive(float: Float, a: &[u8], b: &[u8], f: impl Fn(f32, f32) -> f32) -> Vec<u8> {
    (0..count(float, a)).flat_map(|i| put(float, f(get(float, a, i), get(float, b, i)))).collect()
}

fn naive_distance(float: Float, a: &[u8], b: &[u8]) -> f64 {
    let size = float.size();
    let mut largest = 0.0;
    for i in (0..count(float, a)).filter(|i| a[i * size..][..size] != b[i * size..][..size]) {
        let d = (f64::from(get(float, a, i)) - f64::from(get(float, b, i))).abs();
        if d.is_nan() {
            return d;
        }
        largest = f64::max(largest, d);
    }
    largest
}

fn i16s(bytes: &[u8]) -> Vec<i128> {
    bytes.as_chunks::<2>().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect()
}

fn naive_i16(m: &[u8], a: &[u8]) -> i128 {
    i16s(m).iter().zip(i16s(a)).map(|(m, a)| (a - m) * (a - m)).sum()
}

/// Equal bits, where all NaN are equal.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn noise(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed ^ (*seed >> 29)
}

/// Around 1, of several magnitudes, so that every regrouping of a sum shows.
fn values(len: usize, seed: &mut u64) -> Vec<f32> {
    let one = |_| (noise(seed) as i32 as f32) * [4e-10, 1e-9, 3e-11][(noise(seed) >> 40) as usize % 3];
    (0..len).map(one).collect()
}

/// Everything about a pair: the norm, decisions at it and one step off, sums and differences.
fn check(float: Float, m: &[u8], a: &[u8], label: &dyn core::fmt::Debug) {
    let norm = naive_norm(float, m, a);
    let at = std::format!("{float:?}, {label:?}");
    assert!(same(squared_norm(float, m, a), norm), "norm, {at}");
    if !m.is_empty() {
        for limit in [norm, norm.next_up(), norm.next_down()] {
            let set = u64::from(norm.is_nan() || norm > limit);
            assert_eq!(beyond(float, m, a, m.len(), limit), set, "{norm:e} beyond {limit:e}, {at}");
        }
    }
    let mut out = vec![0xAA; m.len()];
    subtract(float, a, m, &mut out);
    assert!(out == naive(float, a, m, |a, m| a - m), "subtract, {at}");
    add(float, m, a, &mut out);
    assert!(out == naive(float, m, a, |m, a| m + a), "add, {at}");
    let mut wide = vec![0.5; count(float, m)];
    subtract_f32(float, a, m, &mut wide);
    let expected = (0..wide.len()).map(|i| get(float, a, i) - get(float, m, i));
    let expected = expected.map(|x| if x.is_nan() { NAN.to_bits() } else { x.to_bits() });
    assert!(wide.iter().map(|x| x.to_bits()).eq(expected), "subtract_f32, {at}");
    assert!(same(max_distance(float, m, a), naive_distance(float, m, a)), "max_distance, {at}");
}

fn check_i16(m: &[u8], a: &[u8], label: usize) {
    let norm = naive_i16(m, a);
    assert_eq!(i128::from(squared_norm_i16(m, a)), norm, "{label}");
    assert_eq!(beyond_i16(m, a, m.len(), norm as u64), 0, "{label}");
    assert_eq!(beyond_i16(m, a, m.len(), (norm as u64).wrapping_sub(1)), u64::from(norm > 0), "{label}");
    assert_eq!(i128::from(dot_i16(m, a)), i16s(m).iter().zip(i16s(a)).map(|(m, a)| m * a).sum(), "{label}");
}

#[test]
fn by_hand() {
    let m = bytes(Float::F32, &[1.0, 2.0, f32::NAN, 4.0]);
    let a = bytes(Float::F32, &[1.0, 5.0, f32::NAN, 4.5]);
    on_every_tier(|_| {
        assert_eq!(unequal(&m, &a, 4), 0b1010);
        assert_eq!(unequal(&m, &a, 8), 0b11);
        assert_eq!(beyond(Float::F32, &m, &a, 4, 9.0), 0b0100);
        assert_eq!(beyond(Float::F32, &m, &a, 4, 9f64.next_down()), 0b0110);
        assert_eq!(squared_norm(Float::F32, &m[..8], &a[..8]), 9.0);
        assert_eq!(max_distance(Float::F32, &m, &a), 3.0);
        let mut out = [0; 16];
        subtract(Float::F32, &a, &m, &mut out);
        assert_eq!(out[..], bytes(Float::F32, &[0.0, 3.0, NAN, 0.5]));
        assert_eq!(dot_i16(&[1, 0, 0xFF, 0xFF], &[3, 0, 0, 0x80]), 3 + 32768);
        assert_eq!(squared_norm_i16(&[0, 0x80, 0, 0], &[0xFF, 0x7F, 2, 0]), 65535 * 65535 + 4);
        assert_eq!(beyond_i16(&[0, 0x80, 0, 0], &[0xFF, 0x7F, 2, 0], 2, 4), 1);
        add_mu16(Float::F32, &m, &[1, 0, 2, 0, 0, 0, 0xFF, 0xFF], 65536, &mut out);
        assert_eq!(out[..], bytes(Float::F32, &[2.0, 4.0, NAN, 3.0]));
        // In f32, 1 + 2^-11 is exact; in binary16 it is a tie, and 1 is even.
        add_mu16(Float::F16, &[0x00, 0x3C], &[32, 0], 1, &mut out[..2]);
        assert_eq!(out[..2], [0x00, 0x3C]);
        add_mu16(Float::F16, &[0x00, 0x3C], &[33, 0], 1, &mut out[..2]);
        assert_eq!(out[..2], [0x01, 0x3C]);
    });
}

#[test]
fn every_count() {
    let mut seed = 1;
    on_every_tier(|tier| {
        for count in (0..=100).chain([1000, 4097]) {
            for float in FLOATS {
                let m = bytes(float, &values(count, &mut seed));
                let a = bytes(float, &values(count, &mut seed));
                check(float, &m, &a, &(tier, count));
            }
            let random: Vec<u8> = (0..4 * count).map(|_| noise(&mut seed) as u8).collect();
            check_i16(&random[..2 * count], &random[2 * count..], count);
        }
    });
}

#[test]
fn every_alignment() {
    let mut seed = 2;
    for float in FLOATS {
        let size = float.size();
        let m = bytes(float, &values(69, &mut seed));
        let a = bytes(float, &values(69, &mut seed));
        let limit = naive_norm(float, &m[..3 * size], &a[..3 * size]);
        let (norm, set) = (naive_norm(float, &m, &a), naive_beyond(float, &m, &a, 3 * size, limit));
        assert!(set != 0, "some over the first one's norm");
        let sum = naive(float, &m, &a, |m, a| m + a);
        on_every_tier(|tier| {
            for (start, other) in (0..64).flat_map(|s| [(s, 0), (0, s), (s, (s * 7 + 3) % 64)]) {
                let (mut mm, mut aa, mut out) = (vec![0xAA; start], vec![0x55; other], vec![0; 1000]);
                mm.extend(&m);
                aa.extend(&a);
                let (mm, aa, out) = (&mm[start..], &aa[other..], &mut out[other..][..m.len()]);
                assert_eq!(squared_norm(float, mm, aa), norm, "{tier:?}");
                assert_eq!(beyond(float, mm, aa, 3 * size, limit), set, "{tier:?}");
                add(float, mm, aa, out);
                assert!(out == sum, "{tier:?}");
                assert_eq!(unequal(mm, aa, 3 * size), (1 << 23) - 1);
            }
        });
    }
}

/// Blocks of every length in a row, where what follows a block must not count.
#[test]
fn blocks_in_a_row() {
    let mut seed = 3;
    for float in FLOATS {
        let size = float.size();
        for dim in [1, 2, 3, 5, 8, 13, 15, 16, 17, 31, 33, 47, 48, 49, 64, 79] {
            let (m, mut a) = (values(66 * dim, &mut seed), values(66 * dim, &mut seed));
            for (i, (m, a)) in m.chunks(dim).zip(a.chunks_mut(dim)).enumerate() {
                match i % 4 {
                    0 => a.copy_from_slice(m),
                    1 => a[dim - 1] = f32::NAN,
                    2 => a[dim / 2] = m[dim / 2] + 1e-3,
                    _ => {}
                }
            }
            let (m, a) = (bytes(float, &m), bytes(float, &a));
            let limit =
                naive_norm(float, &m[3 * dim * size..][..dim * size], &a[3 * dim * size..][..dim * size]);
            let sets: Vec<u64> = [limit, 0.0, limit * 0.5]
                .iter()
                .map(|limit| naive_beyond(float, &m, &a, dim * size, *limit))
                .collect();
            let bits = m.chunks(dim * size).zip(a.chunks(dim * size)).take(64).enumerate();
            let bits = bits.fold(0, |set, (i, (m, a))| set | u64::from(m != a) << i);
            on_every_tier(|tier| {
                for (limit, set) in [limit, 0.0, limit * 0.5].iter().zip(&sets) {
                    assert_eq!(beyond(float, &m, &a, dim * size, *limit), *set, "{tier:?}, {float:?}, {dim}");
                }
                // A part of the last block is none, and one of 70 is not asked for.
                let cut = 5 * dim * size - 1;
                let set = sets[1] & 0xF;
                assert_eq!(beyond(float, &m[..cut], &a, dim * size, 0.0), set, "{tier:?}, {float:?}, {dim}");
                assert_eq!(unequal(&m, &a, dim * size), bits, "{float:?}, {dim}");
                assert_eq!(unequal(&m, &a[..cut], dim * size), bits & 0xF, "{float:?}, {dim}");
            });
        }
    }
}

#[test]
fn i16_blocks_in_a_row() {
    let mut seed = 4;
    let random: Vec<u8> = (0..2 * 66 * 2 * 40).map(|_| noise(&mut seed) as u8).collect();
    let (m, a) = random.split_at(66 * 2 * 40);
    on_every_tier(|_| {
        for dim in [1, 2, 7, 8, 15, 16, 17, 33, 40] {
            let norms: Vec<i128> =
                m.chunks(2 * dim).zip(a.chunks(2 * dim)).take(64).map(|(m, a)| naive_i16(m, a)).collect();
            let limit = norms[5];
            let set = norms.iter().enumerate().fold(0, |set, (i, n)| set | u64::from(*n > limit) << i);
            assert_eq!(beyond_i16(m, a, 2 * dim, limit as u64), set, "{dim}");
        }
    });
}

/// Both extremes, for longer than 32 bits hold.
#[test]
fn i16_extremes() {
    let (low, high) = ([0x00, 0x80].repeat(5000), [0xFF, 0x7F].repeat(5000));
    on_every_tier(|_| {
        assert_eq!(squared_norm_i16(&low, &high), 5000 * 65535 * 65535);
        assert_eq!(squared_norm_i16(&high, &low), 5000 * 65535 * 65535);
        assert_eq!(dot_i16(&low, &low), 5000 << 30);
        assert_eq!(dot_i16(&low, &high), -5000 * 32768 * 32767);
    });
}

/// Everything special with everything special, at the start, the end and in what is left of a block.
#[test]
fn special_values() {
    let singles = [
        0u32,
        1 << 31,
        1,
        0x8000_0001,
        0x007F_FFFF,
        0x0080_0000,
        0x3F80_0000,
        0xBF80_0001,
        0x7F7F_FFFF,
        0xFF7F_FFFF,
        0x7F80_0000,
        0xFF80_0000,
        0x7F80_0001,
        0xFFBF_FFFF,
        0x7FC0_0000,
        0xFFC1_2345,
        0x5F00_0000,
        0x2000_0000,
    ];
    let halves = [
        0u16, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC01, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7C01,
        0xFDFF, 0x7E00, 0xFE01, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7F81, 0xFFBF, 0x7FC0, 0x0080, 0x007F,
    ];
    let mut seed = 5;
    for float in FLOATS {
        let size = float.size();
        let all: Vec<Vec<u8>> = match float {
            Float::F32 => singles.iter().map(|x| x.to_le_bytes().to_vec()).collect(),
            _ => halves.iter().map(|x| x.to_le_bytes().to_vec()).collect(),
        };
        let (m, a): (Vec<u8>, Vec<u8>) = all.iter().flat_map(|m| all.iter().map(move |a| (m, a))).fold(
            Default::default(),
            |(mut ms, mut aa), (m, a)| {
                ms.extend(m);
                aa.extend(a);
                (ms, aa)
            },
        );
        let limits =
            [0.0, 1e-90, 1e-45, 1.0, 1e38, 1e77, f64::MAX, f64::INFINITY, f64::NAN, -0.0, -1.0, -1e-60];
        let (base_m, base_a) = (values(67, &mut seed), values(67, &mut seed));
        on_every_tier(|tier| {
            check(float, &m, &a, &tier);
            for (m, a) in m.chunks(64 * size).zip(a.chunks(64 * size)) {
                for limit in limits {
                    let set = naive_beyond(float, m, a, size, limit);
                    assert_eq!(beyond(float, m, a, size, limit), set, "{tier:?}, {float:?}, {limit:e}");
                }
            }
            for (i, (m, a)) in m.chunks(size).zip(a.chunks(size)).enumerate().step_by(7) {
                let (mut mm, mut aa) = (bytes(float, &base_m), bytes(float, &base_m));
                let place = [0, 15, 31, 32, 48, 63, 64, 66][i % 8];
                if i % 16 < 8 {
                    aa = bytes(float, &base_a);
                }
                mm[place * size..][..size].copy_from_slice(m);
                aa[place * size..][..size].copy_from_slice(a);
                let norm = naive_norm(float, &mm, &aa);
                assert!(same(squared_norm(float, &mm, &aa), norm), "{tier:?}, {float:?}, {m:x?}, {a:x?}");
                for limit in limits.into_iter().chain([norm, norm.next_up(), norm.next_down()]) {
                    let set = naive_beyond(float, &mm, &aa, mm.len(), limit);
                    assert_eq!(
                        beyond(float, &mm, &aa, mm.len(), limit),
                        set,
                        "{tier:?}, {float:?}, {limit:e}"
                    );
                }
            }
        });
    }
}

/// Limits ever closer to the norm, from both sides, where the estimate in f32 cannot tell; and differences whose
/// squares underflow or overflow f32.
#[test]
fn close_decisions() {
    let mut seed = 6;
    for (count, scale) in
        [48, 129].into_iter().flat_map(|c| [1.0, 3e-20, 1e-22, 2e-36, 1e18, 1e20, 1e35].map(|s| (c, s)))
    {
        let m = bytes(Float::F32, &values(count, &mut seed).iter().map(|x| x * scale).collect::<Vec<_>>());
        let a = bytes(Float::F32, &values(count, &mut seed).iter().map(|x| x * scale).collect::<Vec<_>>());
        let norm = naive_norm(Float::F32, &m, &a);
        on_every_tier(|tier| {
            for bits in (0..54).step_by(3) {
                let off = 0.5f64.powi(bits);
                for limit in [norm * (1.0 + off), norm * (1.0 - off)] {
                    let set = u64::from(norm > limit);
                    assert_eq!(
                        beyond(Float::F32, &m, &a, m.len(), limit),
                        set,
                        "{tier:?}, {count}, {scale:e}, {bits}"
                    );
                }
            }
        });
    }
}

/// The bounds of the estimate are not just wide enough by luck: every rounding in one direction.
#[test]
fn estimates_that_lean() {
    // 1 + 2^-12 squared is 1 + 2^-11 + 2^-24: the last is lost. And so is most of a small term beside a large one.
    for (first, others) in
        [(1.000_244_1f32, 1.000_244_1f32), (4096.0, 0.999_9), (4096.0, 1.000_1), (1.0, 1e-4)]
    {
        for count in [64, 1500] {
            let mut a = vec![others; count];
            a[..32].fill(first);
            let (m, a) = (vec![0; 4 * count], bytes(Float::F32, &a));
            let norm = naive_norm(Float::F32, &m, &a);
            on_every_tier(|tier| {
                for off in [0.0, 1e-7, 1e-6, 1e-5, 1e-4] {
                    for limit in [norm * (1.0 + off), norm * (1.0 - off)] {
                        let set = u64::from(norm > limit);
                        assert_eq!(
                            beyond(Float::F32, &m, &a, m.len(), limit),
                            set,
                            "{tier:?}, {count}, {off:e}"
                        );
                    }
                }
            });
        }
    }
}

/// Multiples of 2^-10 below 2^10, whose sums are exact in f64, against integers; and noise against a compensated sum.
#[test]
fn accuracy() {
    let mut seed = 7;
    let mut integers = || (0..3000).map(|_| (noise(&mut seed) >> 44) as i128 - (1 << 19)).collect::<Vec<_>>();
    let (m, a) = (integers(), integers());
    let exact: i128 = m.iter().zip(&a).map(|(m, a)| (a - m) * (a - m)).sum();
    let single = |x: &[i128]| bytes(Float::F32, &x.iter().map(|x| *x as f32 / 1024.0).collect::<Vec<_>>());
    assert_eq!(squared_norm(Float::F32, &single(&m), &single(&a)), exact as f64 / 1_048_576.0);

    let (m, a) = (values(5000, &mut seed), values(5000, &mut seed));
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for (m, a) in m.iter().zip(&a) {
        let d = f64::from(*a) - f64::from(*m);
        let next = sum + d * d;
        lost += if sum > d * d { (sum - next) + d * d } else { (d * d - next) + sum };
        sum = next;
    }
    let found = squared_norm(Float::F32, &bytes(Float::F32, &m), &bytes(Float::F32, &a));
    assert!((found - (sum + lost)).abs() <= sum * 330.0 * f64::EPSILON, "{found:e} {sum:e}");
}

#[test]
fn steps() {
    let mut seed = 8;
    let mut q: Vec<u8> =
        [0i16, 1, -1, i16::MIN, i16::MAX, 255, -257].iter().flat_map(|q| q.to_le_bytes()).collect();
    q.extend((0..2 * 200).map(|_| noise(&mut seed) as u8));
    let count = q.len() / 2;
    for float in FLOATS {
        let m = bytes(float, &values(count, &mut seed));
        for delta in [1, 2, 3, 1000, 65536, 65537, 0xFF_FFFF, 0x0100_0000, 0x0100_0001, 0x8000_0001, u32::MAX]
        {
            // The value by its definition (spec/beacon.md): exact, and rounded once.
            let value = |i: usize| (i16s(&q)[i] as f64 * f64::from(delta) / 65536.0) as f32;
            let values: Vec<f32> = (0..count).map(value).collect();
            let expected: Vec<u8> =
                values.iter().enumerate().flat_map(|(i, x)| put(float, get(float, &m, i) + x)).collect();
            on_every_tier(|tier| {
                for len in [0, 1, 7, 16, 17, 64, count] {
                    let size = float.size();
                    let mut out = vec![0; len * size];
                    add_mu16(float, &m[..len * size], &q[..2 * len], delta, &mut out);
                    assert!(out == expected[..len * size], "{tier:?}, {float:?}, {delta}, {len}");
                }
            });
        }
    }
}

/// What the callers rule out is no reason to panic: the common part is done, and nothing else.
#[test]
fn lengths_that_disagree() {
    for float in FLOATS {
        let size = float.size();
        let long = bytes(float, &values(100, &mut 9));
        let twice = naive(float, &long, &long, |a, b| a + b);
        on_every_tier(|_| {
            for len in 0..110 {
                for (a, b) in [(&long[..len], &long[..]), (&long[..], &long[..len])] {
                    assert_eq!(squared_norm(float, a, b), 0.0);
                    assert_eq!(max_distance(float, a, b), 0.0);
                    assert_eq!(beyond(float, a, b, 24, 0.0), 0);
                    assert_eq!(unequal(a, b, 24), 0);
                    assert_eq!(squared_norm_i16(a, b), 0);
                    let (mut out, mut wide) = (vec![7; 90], vec![7.0; 30]);
                    let whole = len / size;
                    add(float, a, b, &mut out);
                    let done = (whole * size).min(90 / size * size);
                    assert!(out[..done] == twice[..done] && out[done..].iter().all(|x| *x == 7), "{len}");
                    subtract_f32(float, a, b, &mut wide);
                    let zeros = |(i, x): (usize, &f32)| *x == if i < whole { 0.0 } else { 7.0 };
                    assert!(wide.iter().enumerate().all(zeros), "{len}");
                    add_mu16(float, a, b, 1, &mut out);
                }
                assert_eq!(unequal(&long, &long[1..], len) & 1, u64::from(len > 0));
                beyond(float, &long, &long[1..], len, 1.0);
                beyond_i16(&long, &long[1..], len, 1);
            }
        });
    }
}

/// At every place of a string, and at its ends; all the rest being as large as a finite value can be.
#[test]
fn one_value_that_is_not_finite_is_found() {
    on_every_tier(|tier| {
        for float in FLOATS {
            let (largest, special): (&[u8], [&[u8]; 4]) = match float {
                Float::F32 => (
                    &[0xFF, 0xFF, 0x7F, 0xFF],
                    [&[0, 0, 0x80, 0x7F], &[0, 0, 0x80, 0xFF], &[1, 0, 0x80, 0x7F], &[0, 0, 0xC0, 0xFF]],
                ),
                Float::F16 => (&[0xFF, 0xFB], [&[0, 0x7C], &[0, 0xFC], &[1, 0x7C], &[0, 0xFE]]),
                Float::Bf16 => (&[0x7F, 0xFF], [&[0x80, 0x7F], &[0x80, 0xFF], &[0x81, 0x7F], &[0xC0, 0xFF]]),
            };
            for count in [0, 1, 15, 16, 17, 100] {
                let values = largest.repeat(count);
                assert!(all_finite(float, &values), "{tier:?}, {float:?}, {count}");
                for (at, special) in (0..count).flat_map(|at| special.map(|special| (at, special))) {
                    let mut values = values.clone();
                    values[at * special.len()..][..special.len()].copy_from_slice(special);
                    assert!(
                        !all_finite(float, &values),
                        "{tier:?}, {float:?}, {special:x?} at {at} of {count}"
                    );
                }
            }
        }
    });
}

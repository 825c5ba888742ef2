//! The kernels on every level, against plain loops over the definition.
#![allow(clippy::needless_range_loop)] // The definitions have indices.

extern crate std;
use super::*;
use crate::arch::half;
use crate::arch::lanes::tiers::on_every_tier;
use std::{vec, vec::Vec};

const CODINGS: [Coding; 4] = [Coding::F32, Coding::F16, Coding::I16, Coding::I8];

fn size_of_element(coding: Coding) -> usize {
    match coding {
        Coding::F32 => 4,
        Coding::F16 | Coding::I16 => 2,
        Coding::I8 => 1,
    }
}

// The definitions. half.rs holds its conversions to those of another crate.

fn elements(coding: Coding, row: &[u8]) -> Vec<f32> {
    let each = row.chunks_exact(size_of_element(coding));
    each.map(|x| match coding {
        Coding::F32 => f32::from_le_bytes(x.try_into().unwrap()),
        Coding::F16 => half::from_f16(u16::from_le_bytes(x.try_into().unwrap())),
        Coding::I16 => i16::from_le_bytes(x.try_into().unwrap()).into(),
        Coding::I8 => (x[0] as i8).into(),
    })
    .collect()
}

fn naive(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for i in 0..x.len() {
        let product = x[i] * y[i];
        lanes[i % 16] += product;
    }
    for width in [8, 4, 2, 1] {
        for j in 0..width {
            lanes[j] += lanes[j + width];
        }
    }
    lanes[0]
}

fn naive_signs(row: &[u8], y: &[f32]) -> f32 {
    let mut sum = 0f32;
    for byte in 0..y.len().div_ceil(8) {
        let s = |i: usize| match y.get(8 * byte + i) {
            Some(y) if (row[byte] >> i) & 1 == 1 => -y,
            Some(y) => *y,
            None => 0.0,
        };
        sum += ((s(0) + s(1)) + (s(2) + s(3))) + ((s(4) + s(5)) + (s(6) + s(7)));
    }
    sum
}

/// Equal bits, where all NaN are equal.
fn same(a: f32, b: f32) -> bool {
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

fn rows(coding: Coding, count: usize, seed: &mut u64) -> Vec<u8> {
    let values = values(count, seed);
    values
        .iter()
        .flat_map(|x| match coding {
            Coding::F32 => x.to_le_bytes().to_vec(),
            Coding::F16 => half::to_f16(*x).to_le_bytes().to_vec(),
            Coding::I16 => ((x * 15000.0) as i16).to_le_bytes().to_vec(),
            Coding::I8 => vec![(x * 60.0) as i8 as u8],
        })
        .collect()
}

/// Everything about `count` rows and `queries`.
fn check(coding: Coding, bytes: &[u8], dim: usize, count: usize, queries: &[f32], at: &dyn core::fmt::Debug) {
    let row_len = dim * size_of_element(coding);
    let row = |r: usize| elements(coding, &bytes[r * row_len..][..row_len]);
    let asked = queries.len() / dim.max(1);
    let mut tiled = vec![7.0; count * asked];
    tile(coding, bytes, row_len, queries, dim, count, &mut tiled);
    let (mut sums, mut own) = (vec![7.0; count], vec![7.0; count]);
    squares(coding, bytes, row_len, dim, &mut own);
    for r in 0..count {
        assert!(same(own[r], naive(&row(r), &row(r))), "squares, {coding:?}, {at:?}");
    }
    for q in 0..asked {
        let y = &queries[q * dim..][..dim];
        let expected: Vec<f32> = (0..count).map(|r| naive(&row(r), y)).collect();
        dots(coding, bytes, row_len, y, &mut sums);
        let (mut both, mut both_own) = (vec![7.0; count], vec![7.0; count]);
        dots_and_squares(coding, bytes, row_len, y, &mut both, &mut both_own);
        for r in 0..count {
            let label = (coding, q, r, at);
            assert!(same(sums[r], expected[r]), "dots: {} {}, {label:?}", sums[r], expected[r]);
            assert!(same(both[r], expected[r]) && same(both_own[r], own[r]), "both, {label:?}");
            assert!(same(tiled[q * count + r], expected[r]), "tile, {label:?}");
        }
    }
}

#[test]
fn by_hand() {
    on_every_tier(|tier| {
        let row: Vec<u8> = [1.5f32, -2.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut out = [0.0];
        dots(Coding::F32, &row, 12, &[2.0, 0.5, 0.25], &mut out);
        assert_eq!(out, [3.0], "{tier:?}");
        squares(Coding::I16, &[0, 0x80, 0xFF, 0xFF], 4, 2, &mut out);
        assert_eq!(out, [1_073_741_825.0f64 as f32], "{tier:?}");
        dots(Coding::I8, &[0x81, 127, 0x80], 3, &[1.0, 2.0, 0.5], &mut out);
        assert_eq!(out, [-127.0 + 254.0 - 64.0], "{tier:?}");
        // 2^24 and 1 in one lane are 2^24; in two they are 2^24 as well, but 1 and 1 come to 2 before.
        let mut x = [0f32; 33];
        (x[0], x[16], x[32]) = (16_777_216.0, 1.0, 1.0);
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        dots(Coding::F32, &bytes, 132, &[1.0; 33], &mut out);
        assert_eq!(out, [16_777_216.0], "{tier:?}");
        (x[1], x[32], x[17]) = (1.0, 0.0, 1.0);
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
        dots(Coding::F32, &bytes, 132, &[1.0; 33], &mut out);
        assert_eq!(out, [16_777_218.0], "{tier:?}");
    });
    assert_eq!(sign_dot(&[0b101], &[1.0, 2.0, 4.0]), -3.0);
}

#[test]
fn every_dim() {
    let mut seed = 1;
    on_every_tier(|tier| {
        for dim in (1..=100).chain([128, 1000]) {
            for coding in CODINGS {
                let (count, asked) = (1 + noise(&mut seed) as usize % 6, noise(&mut seed) as usize % 6);
                let queries = values(asked * dim, &mut seed);
                let shift = noise(&mut seed) as usize % 5;
                let mut bytes = vec![0xAB; shift];
                bytes.extend(rows(coding, dim * count, &mut seed));
                // Rows end where the bytes end, and where others follow: NaN, as floats.
                check(coding, &bytes[shift..], dim, count, &queries, &(tier, dim, count, shift));
                bytes.extend([0xFF; 40]);
                check(coding, &bytes[shift..], dim, count, &queries, &(tier, dim, count, "more"));
            }
        }
    });
}

#[test]
fn every_count() {
    let mut seed = 2;
    on_every_tier(|tier| {
        for count in 0..=20 {
            for asked in [1, 2, 3, 4, 5, 8, 9] {
                let (bytes, queries) =
                    (rows(Coding::F16, 19 * count, &mut seed), values(19 * asked, &mut seed));
                check(Coding::F16, &bytes, 19, count, &queries, &(tier, count, asked));
            }
        }
    });
}

#[test]
fn every_element() {
    let queries = values(32, &mut 3);
    // Every binary16, and every fourth i16 first.
    let halves: Vec<u8> =
        (0..=u16::MAX).map(|x| x.wrapping_mul(4).wrapping_add(x >> 14)).flat_map(u16::to_le_bytes).collect();
    let bytes: Vec<u8> = (0..=255).collect();
    let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-45, f32::MAX, 1.0, 0.0];
    on_every_tier(|tier| {
        check(Coding::F16, &halves, 32, 2048, &queries, &tier);
        check(Coding::I16, &halves[..512 * 64], 32, 512, &queries, &tier);
        check(Coding::I8, &bytes, 32, 8, &queries, &tier);
        for (i, a) in special.iter().enumerate() {
            for b in special {
                let mut x = [1f32; 24];
                (x[i], x[23]) = (*a, b);
                let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
                check(Coding::F32, &bytes, 24, 1, &queries[..24], &(tier, a, b));
                check(Coding::F32, &bytes, 12, 2, &x[..12], &(tier, a, b));
            }
        }
    });
}

#[test]
fn signs() {
    let mut seed = 4;
    on_every_tier(|tier| {
        for dim in (1usize..=70).chain([192]) {
            let row_len = dim.div_ceil(8);
            for (per_entry, entries, asked) in [(1, 5, 1), (3, 2, 16), (4, 1, 17), (7, 2, 5)] {
                let bytes: Vec<u8> =
                    (0..row_len * per_entry * entries).map(|_| noise(&mut seed) as u8).collect();
                let queries = values(dim * asked, &mut seed);
                let row = |r: usize| &bytes[r * row_len..][..row_len];
                for (group, queries) in queries.chunks(dim * LANES).enumerate() {
                    let mut tables = vec![f32::NAN; row_len * SIGN_TABLES];
                    sign_tables(queries, dim, &mut tables);
                    let mut out = vec![[7.0; LANES]; entries];
                    sign_max(&bytes, row_len, per_entry, &tables, &mut out);
                    for (q, y) in queries.chunks(dim).enumerate() {
                        let mut table = vec![f32::NAN; row_len * 256];
                        sign_table(y, &mut table);
                        let mut single = vec![7.0; per_entry * entries];
                        sign_dots(&bytes, row_len, &table, &mut single);
                        for (r, single) in single.iter().enumerate() {
                            let expected = naive_signs(row(r), y);
                            let at = (tier, dim, group, q, r);
                            assert!(same(*single, expected), "{single} {expected}, {at:?}");
                            assert!(same(sign_dot(row(r), y), expected), "{at:?}");
                        }
                        for (entry, out) in out.iter().enumerate() {
                            let own = &single[entry * per_entry..][..per_entry];
                            let expected = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                            assert_eq!(out[q], expected, "{:?}", (tier, dim, entry, q));
                        }
                    }
                }
            }
        }
    });
}

//! The tables of spec/engram.md, "Index" and "Whitening", as plainly as they can be put: second readers, slow, that share no
//! code with the first.

use alloc::string::String;
use alloc::vec::Vec;

use half::f16;

use super::second_ledger::{little, only};
use super::second_reader::{self, Verdict, check, number};

/// Rows of numbers.
pub(super) type Rows = Vec<Vec<f32>>;

/// An entry: the strings cache_id, task_description and model_id; context_len, created_at, the bits of l2_norm.
pub(super) type Entry = ([String; 3], u32, i64, u32);

/// What an index says.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dim: usize,
    pub(super) metric: u8,
    pub(super) method: u8,
    pub(super) per_entry: usize,
    pub(super) prefix: [u8; 8],
    /// The stored components, in f64.
    pub(super) vectors: Vec<Vec<f64>>,
    pub(super) entries: Vec<Entry>,
}

/// Steps 1 to 14 of spec/frame.md, then those of the index's view.
pub(super) fn index(bytes: &[u8]) -> Verdict {
    index_parts(bytes).map(|(_, len)| len)
}

pub(super) fn index_parts(bytes: &[u8]) -> Result<(Index, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    let at = only(bytes, 4, 0x14)?;
    let (element, rows, dim) = (bytes[16], number(bytes, 19, 4), number(bytes, 23, 4));
    check([1, 5, 7, 8, 9].contains(&element), "Code", 16)?;
    check(dim >= 1, "Shape", 23)?;
    let (metric, method, per_entry) = (bytes[at], bytes[at + 1], number(bytes, at + 2, 2));
    check(metric <= 2, "Code", at)?;
    check(method <= 7, "Code", at + 1)?;
    check(per_entry >= 1 && (per_entry == 1 || metric == 2) && rows % per_entry == 0, "Shape", at + 2)?;
    check(bytes[at + 16..at + 24] == [0; 8], "Reserved", at + 16)?;
    let row = match element {
        7 => dim * 4,
        1 | 5 => dim * 2,
        8 => dim,
        _ => dim.div_ceil(8),
    };
    let scale = if element == 8 { 4 } else { 0 };
    let strings_len = number(bytes, at + 4, 4);
    let parts = [
        u128::from(rows) * u128::from(row),
        u128::from(rows) * scale,
        u128::from(rows / per_entry) * 40,
        u128::from(strings_len),
    ];
    let needed: u128 = parts.iter().sum();
    check(needed <= u128::from(u64::MAX), "Size", 31)?;
    check(needed == u128::from(number(bytes, 31, 8)), "Shape", 31)?;

    // No more than is there.
    let [vectors_len, scales_len, entries_len, strings_len] = parts.map(|len| usize::try_from(len).unwrap());
    let vectors_at = len - 2 - usize::try_from(needed).unwrap();
    let scales_at = vectors_at + vectors_len;
    let entries_at = scales_at + scales_len;
    let strings_at = entries_at + entries_len;
    let (rows, row, dim) = (rows as usize, row as usize, dim as usize);
    let bit = |i: usize, column: usize| bytes[vectors_at + i * row + column / 8] >> (column % 8) & 1;
    if element == 9 {
        for i in 0..rows {
            check(
                (dim..row * 8).all(|column| bit(i, column) == 0),
                "SpareBits",
                vectors_at + (i + 1) * row - 1,
            )?;
        }
    }
    let float = |at: usize| f32::from_bits(little(bytes, at, 4) as u32);
    for at in (scales_at..entries_at).step_by(4) {
        check(float(at).is_finite() && float(at) >= 0.0, "Number", at)?;
    }
    let step = number(bytes, 27, 4) as f64 / 65536.0;
    let component = |i: usize, column: usize| {
        let at = |size: usize| vectors_at + i * row + column * size;
        match element {
            7 => f64::from(float(at(4))),
            5 => f16::from_bits(little(bytes, at(2), 2) as u16).to_f64(),
            1 => f64::from(little(bytes, at(2), 2) as u16 as i16) * step,
            8 => f64::from(bytes[at(1)] as i8) * f64::from(float(scales_at + 4 * i)),
            _ => 1.0 - 2.0 * f64::from(bit(i, column)),
        }
    };
    let vectors = (0..rows).map(|i| (0..dim).map(|column| component(i, column)).collect()).collect();

    let table = &bytes[strings_at..strings_at + strings_len];
    let bad = table.utf8_chunks().next().filter(|chunk| !chunk.invalid().is_empty());
    check(bad.is_none(), "Utf8", strings_at + bad.map_or(0, |chunk| chunk.valid().len()))?;
    let mut entries = Vec::new();
    for at in (entries_at..strings_at).step_by(40) {
        let mut strings = [const { String::new() }; 3];
        for (i, to) in strings.iter_mut().enumerate() {
            let place = at + 16 + 8 * i;
            let (start, len) = (little(bytes, place, 4), little(bytes, place + 4, 4));
            check(start + len <= strings_len as u64, "PastEnd", place)?;
            let start = strings_at + start as usize;
            let end = start + len as usize;
            let inside = |at: usize| at < strings_at + table.len() && bytes[at] & 0xC0 == 0x80;
            check(!inside(start) && !inside(end), "Utf8", start)?;
            *to = String::from_utf8(bytes[start..end].to_vec()).unwrap();
        }
        let norm = little(bytes, at, 4) as u32;
        entries.push((strings, little(bytes, at + 4, 4) as u32, little(bytes, at + 8, 8) as i64, norm));
    }
    let prefix = bytes[at + 8..at + 16].try_into().unwrap();
    let per_entry = per_entry as usize;
    Ok((Index { dim, metric, method, per_entry, prefix, vectors, entries }, len))
}

/// Steps 1 to 14 of spec/frame.md, then those of the whitening's view.
pub(super) fn whitening(bytes: &[u8]) -> Verdict {
    whitening_parts(bytes).map(|(_, len)| len)
}

/// The rows: the mean first.
pub(super) fn whitening_parts(bytes: &[u8]) -> Result<(Rows, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    check(bytes[15] == 7, "Kind", 15)?;
    for (tlv, at, _) in second_reader::tlvs(bytes)? {
        check(!matches!(tlv, 3..=0x7F), "ForeignTlv", at)?;
    }
    check(bytes[16] == 7, "Code", 16)?;
    let (rows, dim) = (number(bytes, 19, 4), number(bytes, 23, 4));
    check(rows >= 2, "Shape", 19)?;
    check(dim >= 1, "Shape", 23)?;
    let product = u128::from(rows) * u128::from(dim) * 4;
    check(product <= u128::from(u64::MAX), "Size", 31)?;
    check(product == u128::from(number(bytes, 31, 8)), "Shape", 31)?;
    let start = len - 2 - usize::try_from(product).unwrap();
    let values: Vec<f32> =
        (start..len - 2).step_by(4).map(|at| f32::from_bits(little(bytes, at, 4) as u32)).collect();
    for (i, value) in values.iter().enumerate() {
        check(value.is_finite(), "Number", start + 4 * i)?;
    }
    Ok((values.chunks(dim as usize).map(<[f32]>::to_vec).collect(), len))
}

/// "Application": y, to the bit.
pub(super) fn whitened(rows: &[Vec<f32>], key: &[f32]) -> Vec<f32> {
    let (mean, directions) = rows.split_first().unwrap();
    let product = |row: &Vec<f32>| {
        let mut sums = [0f32; 16];
        for (j, ((x, mean), w)) in key.iter().zip(mean).zip(row).enumerate() {
            let difference = x - mean;
            let product = w * difference;
            sums[j % 16] += product;
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                sums[l] += sums[l + half];
            }
        }
        sums[0]
    };
    directions.iter().map(product).collect()
}

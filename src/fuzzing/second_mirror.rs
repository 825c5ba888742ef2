//! The tables and formulas of spec/mirror.md as plainly as they can be put: a second reader and a second writer, slow, that
//! share no code with the first.

use alloc::vec::Vec;

use half::{bf16, f16};

use super::second_ledger::{little, only};
use super::second_reader::{self, Verdict, check, number};

/// Bytes of an element.
fn size(element: u8) -> Option<usize> {
    match element {
        1 | 5 | 6 => Some(2),
        7 => Some(4),
        _ => None,
    }
}

/// Steps 1 to 14 of spec/frame.md, then those of the blocks' view.
pub(super) fn blocks(bytes: &[u8]) -> Verdict {
    let len = second_reader::frame(bytes)?;
    check(bytes[15] == 6, "Kind", 15)?;
    for (tlv, at, _) in second_reader::tlvs(bytes)? {
        check(!matches!(tlv, 3..=0x7F), "ForeignTlv", at)?;
    }
    let size = size(bytes[16]);
    check(size.is_some(), "Code", 16)?;
    let (rows, dim) = (number(bytes, 19, 4), number(bytes, 23, 4));
    check(rows >= 1, "Shape", 19)?;
    check(dim >= 1, "Shape", 23)?;
    let product = u128::from(rows) * u128::from(dim) * size.unwrap() as u128;
    check(product <= u128::from(u64::MAX), "Size", 31)?;
    check(product == u128::from(number(bytes, 31, 8)), "Shape", 31)?;
    Ok(len)
}

/// What a mirror says.
#[derive(Debug, PartialEq)]
pub(super) struct Mirror {
    pub(super) total_blocks: u32,
    pub(super) dim: u32,
    pub(super) mode: u8,
    pub(super) master_element: u8,
    pub(super) element: u8,
    pub(super) delta_q16: u32,
    pub(super) threshold: f64,
    pub(super) master_digest: [u8; 32],
    pub(super) values: Vec<(u32, Vec<u8>)>,
}

/// Steps 1 to 14 of spec/frame.md, then those of the mirror's view.
pub(super) fn mirror(bytes: &[u8]) -> Verdict {
    mirror_parts(bytes).map(|(_, len)| len)
}

pub(super) fn mirror_parts(bytes: &[u8]) -> Result<(Mirror, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    let at = only(bytes, 3, 0x12)?;
    let (element, rows, dim) = (bytes[16], number(bytes, 19, 4), number(bytes, 23, 4));
    check(dim >= 1, "Shape", 23)?;
    let (total, mode, master_element) = (number(bytes, at, 4), bytes[at + 4], bytes[at + 5]);
    check(total >= 1, "Shape", at)?;
    check(mode <= 1, "Code", at + 4)?;
    let floats = [5, 6, 7];
    check(floats.contains(&master_element) || (master_element == 1 && mode == 0), "Code", at + 5)?;
    check(bytes[at + 6..at + 8] == [0, 0], "Reserved", at + 6)?;
    let threshold = f64::from_bits(number(bytes, at + 8, 8));
    check(threshold.is_finite() && threshold >= 0.0, "Number", at + 8)?;
    check(element == master_element || (mode == 1 && element == 1), "Code", 16)?;
    let max = u128::from(u64::MAX);
    let blocks = u128::from(total) * u128::from(dim) * size(master_element).unwrap() as u128;
    check(blocks <= max, "Size", at)?;
    check(rows <= total, "PastEnd", 19)?;
    let value = u128::from(dim) * size(element).unwrap() as u128;
    let needed = u128::from(rows) * (4 + value);
    check(needed <= max, "Size", 31)?;
    check(needed == u128::from(number(bytes, 31, 8)), "Shape", 31)?;

    let payload = len - 2 - usize::try_from(needed).unwrap();
    let rows = usize::try_from(rows).unwrap();
    let mut values: Vec<(u32, Vec<u8>)> = Vec::new();
    for row in 0..rows {
        let place = payload + 4 * row;
        let index = little(bytes, place, 4);
        check(values.last().is_none_or(|(before, _)| u64::from(*before) < index), "Order", place)?;
        check(index < total, "PastEnd", place)?;
        let value_len = usize::try_from(value).unwrap();
        let start = payload + 4 * rows + row * value_len;
        values.push((u32::try_from(index).unwrap(), bytes[start..start + value_len].to_vec()));
    }
    let narrow = |number: u64| u32::try_from(number).unwrap();
    let mirror = Mirror {
        total_blocks: narrow(total),
        dim: narrow(dim),
        mode,
        master_element,
        element,
        delta_q16: narrow(number(bytes, 27, 4)),
        threshold,
        master_digest: bytes[at + 16..at + 48].try_into().unwrap(),
        values,
    };
    Ok((mirror, len))
}

/// An element as f32.
pub(super) fn widened(element: u8, bytes: &[u8]) -> f32 {
    match element {
        5 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        6 => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f32(),
        _ => f32::from_le_bytes(bytes.try_into().unwrap()),
    }
}

/// An f32 as an element, rounded once; a NaN is the one NaN.
pub(super) fn narrowed(element: u8, x: f32) -> Vec<u8> {
    match element {
        5 if x.is_nan() => 0x7E00u16.to_le_bytes().to_vec(),
        6 if x.is_nan() => 0x7FC0u16.to_le_bytes().to_vec(),
        _ if x.is_nan() => 0x7FC0_0000u32.to_le_bytes().to_vec(),
        5 => f16::from_f32(x).to_le_bytes().to_vec(),
        6 => bf16::from_f32(x).to_le_bytes().to_vec(),
        _ => x.to_le_bytes().to_vec(),
    }
}

fn int(bytes: &[u8]) -> i16 {
    i16::from_le_bytes(bytes.try_into().unwrap())
}

/// The L2 norm of the difference of two blocks.
pub(super) fn norm(element: u8, delta_q16: u32, master: &[u8], agent: &[u8]) -> f64 {
    let size = size(element).unwrap();
    let pairs: Vec<_> = agent.chunks(size).zip(master.chunks(size)).collect();
    if element == 1 {
        let sum: u64 =
            pairs.iter().map(|(a, m)| i64::from(int(a)) - i64::from(int(m))).map(|d| (d * d) as u64).sum();
        return (sum as f64).sqrt() * (f64::from(delta_q16) / 65536.0);
    }
    let mut s = [0.0; 16];
    for (j, s) in s.iter_mut().enumerate() {
        for (a, m) in pairs.iter().skip(j).step_by(16) {
            let d = f64::from(widened(element, a)) - f64::from(widened(element, m));
            *s += d * d;
        }
    }
    for half in [8, 4, 2] {
        for j in 0..half {
            s[j] += s[j + half];
        }
    }
    (s[0] + s[1]).sqrt()
}

/// A block's value, and how many of its elements are beyond the step's range; or the first element whose difference MU16
/// cannot have.
pub(super) fn value(mirror: &Mirror, master: &[u8], agent: &[u8]) -> Result<(Vec<u8>, u64), u64> {
    if mirror.mode == 0 {
        return Ok((agent.to_vec(), 0));
    }
    let of = mirror.master_element;
    let size = size(of).unwrap();
    let (mut value, mut saturated) = (Vec::new(), 0);
    for (i, (a, m)) in agent.chunks(size).zip(master.chunks(size)).enumerate() {
        let d = widened(of, a) - widened(of, m);
        if mirror.element != 1 {
            value.extend(narrowed(of, d));
            continue;
        }
        if !d.is_finite() {
            return Err(i as u64);
        }
        let q = (f64::from(d) * 65536.0 / f64::from(mirror.delta_q16)).round_ties_even();
        saturated += u64::from(!(-32768.0..=32767.0).contains(&q));
        value.extend((q.clamp(-32768.0, 32767.0) as i16).to_le_bytes());
    }
    Ok((value, saturated))
}

/// The agent's block made again.
pub(super) fn made(mirror: &Mirror, master: &[u8], value: &[u8]) -> Vec<u8> {
    if mirror.mode == 0 {
        return value.to_vec();
    }
    let (of, element) = (mirror.master_element, mirror.element);
    let values = value.chunks(size(element).unwrap());
    master
        .chunks(size(of).unwrap())
        .zip(values)
        .flat_map(|(m, v)| {
            let v = if element == 1 {
                (f64::from(int(v)) * f64::from(mirror.delta_q16) / 65536.0) as f32
            } else {
                widened(of, v)
            };
            narrowed(of, widened(of, m) + v)
        })
        .collect()
}

/// The agent that a mirror stands for.
pub(super) fn applied(mirror: &Mirror, master: &[u8]) -> Vec<u8> {
    let mut agent = master.to_vec();
    let len = mirror.dim as usize * size(mirror.master_element).unwrap();
    for (index, value) in &mirror.values {
        let at = *index as usize * len;
        let block = made(mirror, &master[at..at + len], value);
        agent[at..at + len].copy_from_slice(&block);
    }
    agent
}

/// |a - b| of the largest; 0 where the bits are the same, NaN if one of the rest is.
pub(super) fn largest_error(element: u8, delta_q16: u32, a: &[u8], b: &[u8]) -> f64 {
    let size = size(element).unwrap();
    let number = |bytes: &[u8]| match element {
        1 => f64::from(int(bytes)) * f64::from(delta_q16) / 65536.0,
        _ => f64::from(widened(element, bytes)),
    };
    let differ = a.chunks(size).zip(b.chunks(size)).filter(|(a, b)| a != b);
    let errors: Vec<f64> = differ.map(|(a, b)| (number(a) - number(b)).abs()).collect();
    if errors.iter().any(|error| error.is_nan()) { f64::NAN } else { errors.into_iter().fold(0.0, f64::max) }
}

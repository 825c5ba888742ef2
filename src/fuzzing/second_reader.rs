//! The tables of spec/frame.md, "Order of checks", and of spec/beacon.md, "Checks of the typed view", as plainly as they can
//! be put: a second reader, slow, that shares no code with the first and gives the same verdicts.

use alloc::vec::Vec;

use blake2::{Blake2b, Digest, digest::consts::U8};
use sha2::Sha256;

use crate::beacon::Results;

/// The frame's length, or an error's name and offset.
pub(super) type Verdict = Result<usize, (&'static str, u64)>;

pub(super) fn check(good: bool, name: &'static str, offset: usize) -> Result<(), (&'static str, u64)> {
    if good { Ok(()) } else { Err((name, offset as u64)) }
}

/// A big-endian number of the `len` bytes at `at`.
pub(super) fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn float(bytes: &[u8], at: usize, len: usize) -> f64 {
    let bits = number(bytes, at, len);
    if len == 4 { f64::from(f32::from_bits(u32::try_from(bits).unwrap())) } else { f64::from_bits(bits) }
}

/// A TLV: type, start, and the length of its value.
pub(super) type Tlv = (u8, usize, usize);

pub(super) fn tlvs(bytes: &[u8]) -> Result<Vec<Tlv>, (&'static str, u64)> {
    let mut tlvs: Vec<Tlv> = Vec::new();
    let mut at = 12;
    loop {
        check(bytes.len() >= at + 3, "Truncated", at)?;
        let (tlv, len) = (bytes[at], usize::try_from(number(bytes, at + 1, 2)).unwrap());
        check(bytes.len() >= at + 3 + len, "Truncated", at + 3)?;
        if let Some(&(before, ..)) = tlvs.last() {
            check(tlv > before, "TlvOrder", at)?;
        } else {
            check(tlv == 1, "ConfigNotFirst", at)?;
        }
        let good = match tlv {
            0x01 | 0x10 | 0x14 => len == 24,
            0x02 => len == 4,
            0x03 => len >= 32,
            0x11 => len == 88,
            0x12 => len == 48,
            0x13 => len == 56,
            0x81 => len >= 4,
            0xF0 | 0xF1 => len == 33,
            0xFF => len == 0,
            0x04 | 0x80 | 0x82..=0xEF | 0xFE => true,
            0x00..0x80 => return Err(("CriticalTlv", at as u64)),
            0xF2..0xFE => return Err(("ReservedTlv", at as u64)),
        };
        check(good, "TlvLength", at + 1)?;
        tlvs.push((tlv, at, len));
        at += 3 + len;
        if tlv == 0xFF {
            return Ok(tlvs);
        }
    }
}

/// What the polynomial makes of a byte.
const CRC: [u16; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

pub(super) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| crc << 8 ^ CRC[usize::from((crc >> 8) as u8 ^ byte)])
}

/// Steps 1 to 14.
pub(super) fn frame(bytes: &[u8]) -> Verdict {
    check(bytes.len() >= 4, "Truncated", 0)?;
    check(bytes[..4] == [0x42, 0x49, 0x54, 0x01], "Magic", 0)?;
    check(bytes.len() >= 12, "Truncated", 4)?;
    let tlvs = tlvs(bytes)?;
    let end = tlvs[tlvs.len() - 1].1 + 3;
    let left = (bytes.len() - end).saturating_sub(2) as u64;
    let payload_len = number(bytes, 31, 8);
    check(payload_len <= left && bytes.len() >= end + 2, "Truncated", end)?;
    let crc_at = end + usize::try_from(payload_len).unwrap();
    check(u64::from(crc(&bytes[4..crc_at])) == number(bytes, crc_at, 2), "Crc", crc_at)?;

    let (kind, element) = (bytes[15], bytes[16]);
    check(element <= 9, "Element", 16)?;
    check(number(bytes, 17, 2) == 0, "Reserved", 17)?;
    check((number(bytes, 27, 4) != 0) == (element == 1), "DeltaQ16", 27)?;
    let find = |tlv| tlvs.iter().find(|(other, ..)| *other == tlv).map(|&(_, at, len)| (at + 3, len));
    let flags = find(0x02).map_or(0, |(at, _)| number(bytes, at, 4));
    let flags_at = find(0x02).map_or(39, |(at, _)| at);
    check(flags & 0xFFF8 == 0, "FlagBits", flags_at)?;
    for (at, _) in [find(0xF0), find(0xF1)].into_iter().flatten() {
        check(bytes[at] == 1, "ValueVersion", at)?;
    }
    if let Some((at, len)) = find(0xFE) {
        let zeros = bytes[at..at + len].iter().take_while(|byte| **byte == 0).count();
        check(zeros == len, "Padding", at + zeros)?;
    }
    if let Some((at, len)) = find(0x80) {
        check(Blake2b::<U8>::digest(&bytes[at..at + len])[..] == bytes[4..12], "ContextHash", at)?;
    }
    // From ctx through the payload, DIGEST_V1 and its header excluded.
    let size = crc_at - 4 - find(0xF0).map_or(0, |_| 36);
    let place = tlvs.iter().find(|(tlv, ..)| *tlv >= 0xF0).unwrap().1;
    check(find(0xF0).is_some() || (size <= 4093 && kind != 1), "DigestMissing", place)?;
    if let Some((at, _)) = find(0xF0) {
        let mut sha = Sha256::new();
        sha.update(&bytes[4..12]);
        for (_, at, len) in tlvs.iter().filter(|(tlv, ..)| !matches!(tlv, 0xF0 | 0xF1 | 0xFE | 0xFF)) {
            sha.update(&bytes[*at..at + 3 + len]);
        }
        sha.update(&bytes[end..crc_at]);
        check(sha.finalize()[..] == bytes[at + 1..at + 33], "Digest", at + 1)?;
    }
    check((flags & 1 == 1) == find(0xF1).is_some(), "FlagsHmac", flags_at)?;
    Ok(crc_at + 2)
}

/// The same, then the 18 steps of the beacon's view.
pub(super) fn beacon(bytes: &[u8]) -> Verdict {
    let len = frame(bytes)?;
    let tlvs = tlvs(bytes)?;
    check(bytes[15] == 0, "Kind", 15)?;
    for (_, at, _) in tlvs.iter().filter(|(tlv, ..)| matches!(tlv, 0x05..=0x7F)) {
        check(false, "ForeignTlv", *at)?;
    }
    check(bytes[16] == 1, "Code", 16)?;
    let (rows, dim, payload_len) = (number(bytes, 19, 4), number(bytes, 23, 4), number(bytes, 31, 8));
    check(rows >= 1, "Shape", 19)?;
    check(dim >= 1, "Shape", 23)?;
    let product = u128::from(rows) * u128::from(dim) * 2;
    check(product <= u128::from(u64::MAX), "Size", 31)?;
    check(product == u128::from(payload_len), "Shape", 31)?;
    if let Some(&(_, at, len)) = tlvs.iter().find(|(tlv, ..)| *tlv == 3) {
        calibration(bytes, at, len, dim)?;
    }
    let mut due = (false, false);
    if let Some(&(_, at, len)) = tlvs.iter().find(|(tlv, ..)| *tlv == 4) {
        // The text has a target of its own, and serde_json to compare with.
        let text = &bytes[at + 3..at + 3 + len];
        Results::parse(text).map_err(|error| (error.kind().name(), error.offset() + at as u64 + 3))?;
        let json: serde_json::Value = serde_json::from_slice(text).unwrap();
        let alert = json["SDS"].as_f64().zip(json["thresholds"]["SDS"].as_f64());
        due = (alert.is_some_and(|(sds, threshold)| sds >= threshold), json["reference"] == "baseline");
    }
    let has_flags = tlvs.iter().any(|(tlv, ..)| *tlv == 2);
    let (flags, flags_at) = if has_flags { (number(bytes, 42, 4), 42) } else { (0, 39) };
    check((flags & 2 != 0, flags & 4 != 0) == due, "FlagsResults", flags_at)?;
    Ok(len)
}

fn calibration(bytes: &[u8], tlv: usize, len: usize, dim: u64) -> Result<(), (&'static str, u64)> {
    let at = tlv + 3;
    let (sigma, has_mu) = (bytes[at], bytes[at + 1]);
    check(sigma <= 3, "Code", at)?;
    check(has_mu <= 1, "Code", at + 1)?;
    check(number(bytes, at + 2, 2) == 0, "Reserved", at + 2)?;
    check(number(bytes, at + 4, 4) == dim, "Shape", at + 4)?;
    let [w, t0, t1] = [8, 16, 24].map(|field| float(bytes, at + field, 8));
    check(w.is_finite() && w >= 0.0, "Number", at + 8)?;
    check(t0.is_finite(), "Number", at + 16)?;
    check(t1.is_finite() && t1 >= t0, "Number", at + 24)?;
    let dim = u128::from(dim);
    let mu = u128::from(has_mu) * dim * 4;
    let spread = [0, 8, dim * 4, dim * (dim + 1) / 2 * 4][usize::from(sigma)];
    check(32 + mu + spread == len as u128, "TlvLength", tlv + 1)?;
    let mu_end = at + 32 + usize::try_from(mu).unwrap();
    let width = if sigma == 1 { 8 } else { 4 };
    let places = (at + 32..mu_end).step_by(4).map(|at| (at, 4));
    for (at, width) in places.chain((mu_end..at + len).step_by(width).map(|at| (at, width))) {
        check(float(bytes, at, width).is_finite(), "Number", at)?;
    }
    Ok(())
}

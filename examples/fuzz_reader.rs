//! How to fuzz a reader of one's own with the kit: here one that follows spec/frame.md up to the CRC, written for this example.
//!
//! ```console
//! $ cargo run --example fuzz_reader --features arbitrary
//! ```
//!
//! With cargo-fuzz the same is a target, for which the fuzzer finds the numbers:
//!
//! ```text
//! fuzz_target!(|mutant: bitwire::arbitrary::Mutant| check(&mutant));
//! ```

use std::collections::BTreeMap;

use bitwire::arbitrary::{Mutant, ValidFrame};

/// The reader to be tested. It knows the steps 1 to 6 of "Order of checks", and one of them badly.
fn read(bytes: &[u8]) -> Result<(), (&'static str, u64)> {
    let (magic, rest) = bytes.split_at_checked(4).ok_or(("Truncated", 0))?;
    if magic != b"BIT\x01" {
        return Err(("Magic", 0));
    }
    let (_ctx, mut rest) = rest.split_at_checked(8).ok_or(("Truncated", 4))?;
    let (mut at, mut before, mut payload_len) = (12, None, 0);
    loop {
        let (&[tlv, hi, lo], after) = rest.split_first_chunk().ok_or(("Truncated", at))?;
        let len = u16::from_be_bytes([hi, lo]);
        let (value, after) = after.split_at_checked(len.into()).ok_or(("Truncated", at + 3))?;
        // Wrong: a type that is there twice is as bad as one that is too small.
        if before.is_some_and(|before| tlv < before) {
            return Err(("TlvOrder", at));
        }
        match (before, tlv) {
            (None, 0x01) => {}
            (None, _) => return Err(("ConfigNotFirst", at)),
            (_, 0x05..=0x0F | 0x15..=0x7F) => return Err(("CriticalTlv", at)),
            (_, 0xF2..=0xFD) => return Err(("ReservedTlv", at)),
            _ => {}
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
            _ => true,
        };
        if !good {
            return Err(("TlvLength", at + 1));
        }
        if let (0x01, Some(last)) = (tlv, value.last_chunk()) {
            payload_len = u64::from_be_bytes(*last);
        }
        (before, rest, at) = (Some(tlv), after, at + 3 + u64::from(len));
        if tlv == 0xFF {
            break;
        }
    }
    if rest.len() < 2 || payload_len > rest.len() as u64 - 2 {
        return Err(("Truncated", at));
    }
    let end = at + payload_len;
    let covered = &bytes[4..end as usize];
    let crc = covered.iter().fold(0xFFFF_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    });
    if crc.to_be_bytes() == bytes[end as usize..][..2] { Ok(()) } else { Err(("Crc", end)) }
}

/// Steps that the reader does not claim to know.
fn is_beyond(mutant: &Mutant) -> bool {
    let rule = mutant.rule();
    let step: f64 = rule.step().parse().unwrap_or(0.0);
    rule.document() != "frame.md" || step > 6.0
}

/// What a fuzz target does with its input: nothing, or say what is wrong.
fn check(mutant: &Mutant) -> Result<(), String> {
    let rule = mutant.rule();
    read(mutant.original()).map_err(|error| format!("refuses a valid frame: {error:?}"))?;
    if is_beyond(mutant) {
        // It has to come to an end all the same.
        let _ = read(mutant.bytes());
        return Ok(());
    }
    let due = (rule.error(), mutant.offset().unwrap_or(0));
    match read(mutant.bytes()) {
        Err(found) if found == due => Ok(()),
        found => Err(format!("{}, step {}: {found:?}, not {due:?}", rule.document(), rule.step())),
    }
}

fn main() {
    let (mut checked, mut faults) = (0, BTreeMap::new());
    for seed in 0..20_000 {
        let valid = ValidFrame::from_seed(seed);
        assert_eq!(read(valid.bytes()), Ok(()), "seed {seed}");
        let mutant = Mutant::from_seed(seed);
        checked += u32::from(!is_beyond(&mutant));
        if let Err(fault) = check(&mutant) {
            faults.entry(mutant.rule().name()).or_insert((fault, seed));
        }
    }
    println!("20000 valid frames are accepted; {checked} mutants of the steps that the reader knows:");
    for (rule, (fault, seed)) in &faults {
        println!("  {rule} (Mutant::from_seed({seed})): {fault}");
    }
    // The mistake that was made on purpose is found, and no other.
    assert!(faults.keys().eq(["tlv-twice"].iter()), "{faults:#?}");
}

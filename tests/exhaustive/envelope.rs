//! The envelope, read once more: steps 1 to 6 of spec/frame.md, "Order of checks", from that table alone.

use bitwire::{Error, ErrorKind};

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) offset: u64,
    /// What a truncated field needs, and what there is of it.
    pub(crate) lens: Option<(u64, u64)>,
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        let lens = match error.kind() {
            ErrorKind::Truncated { needed, available, .. } => Some((needed, available)),
            _ => None,
        };
        Self { kind: error.kind().name(), offset: error.offset(), lens }
    }

    fn at(kind: &'static str, offset: usize) -> Self {
        Self { kind, offset: offset as u64, lens: None }
    }
}

/// The polynomial 1021 divided into the highest byte.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// One step of the CRC register.
pub(crate) fn crc_step(crc: u16, byte: u8) -> u16 {
    crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)]
}

/// The `crc` crate's, which the library does not use where it has `simd`; tests/exhaustive/crc.rs has the definition.
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    const IBM_3740: crc::Crc<u16, crc::Table<16>> =
        crc::Crc::<u16, crc::Table<16>>::new(&crc::CRC_16_IBM_3740);
    IBM_3740.checksum(bytes)
}

fn room(bytes: &[u8], at: usize, needed: usize) -> Result<(), Fault> {
    let available = bytes.len() - at;
    if available < needed {
        let lens = Some((needed as u64, available as u64));
        return Err(Fault { kind: "Truncated", offset: at as u64, lens });
    }
    Ok(())
}

fn length_rule(tlv: u8) -> Option<(usize, bool)> {
    Some(match tlv {
        0x01 | 0x10 | 0x14 => (24, true),
        0x02 => (4, true),
        0x03 => (32, false),
        0x04 | 0x80 | 0x82 | 0xFE => (0, false),
        0x11 => (88, true),
        0x12 => (48, true),
        0x13 => (56, true),
        0x81 => (4, false),
        0xF0 | 0xF1 => (33, true),
        0xFF => (0, true),
        _ => return None,
    })
}

/// Where the frame at the start of `bytes` ends, if steps 1 to 6 find nothing.
pub(crate) fn end(bytes: &[u8]) -> Result<usize, Fault> {
    room(bytes, 0, 4)?;
    if bytes[..4] != *b"BIT\x01" {
        return Err(Fault::at("Magic", 0));
    }
    room(bytes, 4, 8)?;
    let (mut at, mut last, mut payload_len) = (12, None, 0);
    loop {
        room(bytes, at, 3)?;
        let (tlv, len) = (bytes[at], usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]])));
        room(bytes, at + 3, len)?;
        if last.is_some_and(|last| tlv <= last) {
            return Err(Fault::at("TlvOrder", at));
        }
        if last.is_none() && tlv != 1 {
            return Err(Fault::at("ConfigNotFirst", at));
        }
        match length_rule(tlv) {
            None if tlv < 0x80 => return Err(Fault::at("CriticalTlv", at)),
            None if tlv >= 0xF0 => return Err(Fault::at("ReservedTlv", at)),
            None => {}
            Some((needed, exact)) if len < needed || exact && len > needed => {
                return Err(Fault::at("TlvLength", at + 1));
            }
            Some(_) => {}
        }
        if last.is_none() {
            payload_len = u64::from_be_bytes(bytes[at + 3 + 16..at + 3 + 24].try_into().unwrap());
        }
        last = Some(tlv);
        at += 3 + len;
        if tlv == 0xFF {
            break;
        }
    }
    let left = (bytes.len() - at) as u64;
    if payload_len.checked_add(2).is_none_or(|needed| needed > left) {
        let lens = Some((payload_len.saturating_add(2), left));
        return Err(Fault { kind: "Truncated", offset: at as u64, lens });
    }
    let crc_at = at + payload_len as usize;
    if crc(&bytes[4..crc_at + 2]) != 0 {
        return Err(Fault::at("Crc", crc_at));
    }
    Ok(crc_at + 2)
}

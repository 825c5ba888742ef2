//! Repairs a frame from the reader's own errors.

use alloc::vec::Vec;
use core::ops::Range;

use blake2::{Blake2b, Digest, digest::consts::U8};
use sha2::Sha256;

use super::plausible;
use super::second_reader::Verdict;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, MAGIC, TlvType};

/// The parts of a frame, found without the library: ranges of the TLVs, END included, and of the payload.
pub(super) struct Parts {
    pub(super) tlvs: Vec<(u8, Range<usize>)>,
    pub(super) payload: Range<usize>,
}

impl Parts {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (mut tlvs, mut at) = (Vec::new(), 12);
        loop {
            let &[tlv, hi, lo] = bytes.get(at..)?.first_chunk()?;
            let end = at + 3 + usize::from(u16::from_be_bytes([hi, lo]));
            tlvs.push((tlv, at..end));
            at = end;
            if tlv == TlvType::END {
                let len = u64::from_be_bytes(*bytes.get(31..)?.first_chunk()?);
                let end = at.checked_add(usize::try_from(len).ok()?)?;
                return bytes.get(at..end).map(|_| Self { tlvs, payload: at..end });
            }
        }
    }

    /// ctx, the TLVs that `covered` says, and the payload: what a hash covers.
    pub(super) fn covered(&self, bytes: &[u8], covered: impl Fn(u8) -> bool) -> Vec<u8> {
        let mut all = bytes[4..12].to_vec();
        for (tlv, range) in &self.tlvs {
            if covered(*tlv) {
                all.extend_from_slice(&bytes[range.clone()]);
            }
        }
        all.extend_from_slice(&bytes[self.payload.clone()]);
        all
    }
}

/// Magic, ctx, and CONFIG_V1 with its header.
const CONFIG_END: usize = 4 + 8 + 3 + 24;

/// A frame made of `data` that `view` accepts: `data` as it is, or with what errors ask for, one by one. Each verdict on
/// the way is that of `spec`, and no repair is asked for twice: what an error says is wrong is right once it is done.
pub(super) fn mended(
    data: &[u8],
    view: impl Fn(&Frame<'_>) -> Result<()>,
    spec: impl Fn(&[u8]) -> Verdict,
) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let (mut before, mut crc_before) = (None, false);
    for _ in 0..64 {
        let parsed = Frame::parse(&bytes).and_then(|(frame, _)| view(&frame).map(|()| frame));
        let verdict = parsed.map(|frame| frame.as_bytes().len());
        assert_eq!(verdict.map_err(|error| (error.kind().name(), error.offset())), spec(&bytes));
        let error = match parsed {
            Ok(frame) => return Some(frame.as_bytes().to_vec()),
            Err(error) => error,
        };
        plausible(&error, bytes.len());
        let crc = matches!(error.kind(), ErrorKind::Crc { .. });
        if crc {
            assert!(!crc_before, "the CRC that {error} asks for is refused");
        } else {
            assert_ne!(before, Some(error), "what the error asks for is refused");
            before = Some(error);
        }
        crc_before = crc;
        mend(&mut bytes, error)?;
    }
    None
}

/// Does what `error` asks for; `None` where it says no more than that the bytes are no frame.
fn mend(bytes: &mut Vec<u8>, error: Error) -> Option<()> {
    let at = usize::try_from(error.offset()).ok()?;
    let mut put = |at: usize, new: &[u8]| {
        bytes.get_mut(at..at.checked_add(new.len())?)?.copy_from_slice(new);
        Some(())
    };
    match error.kind() {
        ErrorKind::Magic { .. } => put(at, &MAGIC),
        ErrorKind::Crc { computed, .. } => put(at, &computed.to_be_bytes()),
        ErrorKind::Reserved { .. } => put(at, &[0, 0]),
        ErrorKind::Element { found } => put(at, &[found % 10]),
        ErrorKind::DeltaQ16 { element, .. } => put(at, &u32::from(element == 1).to_be_bytes()),
        ErrorKind::ValueVersion { .. } => put(at, &[1]),
        ErrorKind::Padding => put(at, &[0]),
        ErrorKind::Truncated { field: "payload and CRC-16", available, .. } => {
            // CONFIG_V1 ends with the length of the payload.
            put(CONFIG_END - 8, &available.checked_sub(2)?.to_be_bytes())
        }
        ErrorKind::TlvLength { needed, .. } => {
            let needed = u16::try_from(needed).ok()?;
            let found = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
            let mut value = bytes.get(at + 2..)?.get(..usize::from(found))?.to_vec();
            value.resize(usize::from(needed), 0);
            bytes.splice(at + 2..at + 2 + usize::from(found), value);
            bytes[at..at + 2].copy_from_slice(&needed.to_be_bytes());
            Some(())
        }
        ErrorKind::ContextHash => {
            let len = u16::from_be_bytes(*bytes.get(at.checked_sub(2)?..)?.first_chunk()?);
            let ctx = Blake2b::<U8>::digest(&bytes[at..at + usize::from(len)]);
            bytes[4..12].copy_from_slice(&ctx);
            Some(())
        }
        ErrorKind::Digest => {
            let digest = Sha256::digest(Parts::of(bytes)?.covered(bytes, |tlv| tlv < TlvType::DIGEST));
            bytes[at..at + 32].copy_from_slice(&digest);
            Some(())
        }
        ErrorKind::FlagBits { found } => put(at, &(found & !0xFFF8).to_be_bytes()),
        ErrorKind::FlagsHmac { .. } => toggle(bytes, at, 1),
        ErrorKind::FlagsResults { flag } => toggle(bytes, at, if flag == "ALERT" { 2 } else { 4 }),
        ErrorKind::Kind { needed, .. } => put(at, &[needed]),
        ErrorKind::Code { field: "CONFIG_V1.element", .. } => put(at, &[1]),
        ErrorKind::Code { field: "CALIB_STATS_V1.sigma_kind", found } => put(at, &[found % 4]),
        ErrorKind::Code { field: "CALIB_STATS_V1.has_mu", found } => put(at, &[found % 2]),
        ErrorKind::Shape { field: "CONFIG_V1.payload_len", found, .. } if found % 2 == 0 && found > 0 => {
            // The payload stays; rows and dim stand 12 and 8 bytes before its length.
            let dim = u32::try_from(found / 2).ok()?;
            put(at.checked_sub(12)?, &[1u32.to_be_bytes(), dim.to_be_bytes()].concat())
        }
        ErrorKind::Shape { field: "CONFIG_V1.payload_len", .. } => None,
        ErrorKind::Shape { needed, .. } => put(at, &u32::try_from(needed).ok()?.to_be_bytes()),
        ErrorKind::Number { field: "CALIB_STATS_V1.t1" } => {
            let t0: [u8; 8] = *bytes.get(at.checked_sub(8)?..)?.first_chunk()?;
            bytes[at..at + 8].copy_from_slice(&t0);
            Some(())
        }
        ErrorKind::Number { field: "CALIB_STATS_V1.mu" | "CALIB_STATS_V1.sigma" } => put(at, &[0; 4]),
        ErrorKind::Number { .. } => put(at, &[0; 8]),
        _ => None,
    }
}

/// Toggles a flag, if FLAGS_V1 is there: the error's place is its value, or else the end of CONFIG_V1.
fn toggle(bytes: &mut [u8], at: usize, flag: u8) -> Option<()> {
    if at == CONFIG_END {
        return None;
    }
    assert_eq!((at, &bytes[CONFIG_END..at]), (CONFIG_END + 3, &[TlvType::FLAGS, 0, 4][..]));
    bytes[at + 3] ^= flag;
    Some(())
}

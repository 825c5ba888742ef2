//! A frame in its parts, which can be changed one by one and put together again. It is put together here, and not by
//! [`FrameBuilder`](crate::frame::FrameBuilder), which refuses what a mutant needs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use blake2::Blake2b;
use blake2::digest::consts::U8;
use crc::{CRC_16_IBM_3740, Crc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::draw::Draw;
use crate::frame::{Kind, MAGIC, TlvType};

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);

/// What a frame has to have for a rule to be broken in it: a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts(u32);

impl Parts {
    pub(super) const NONE: Self = Self(0);
    // Of every kind.
    pub(super) const FLAGS: Self = Self(1);
    pub(super) const CONTEXT: Self = Self(1 << 1);
    /// A TLV that a reader may skip.
    pub(super) const IGNORED: Self = Self(1 << 2);
    pub(super) const DIGEST: Self = Self(1 << 3);
    pub(super) const HMAC: Self = Self(1 << 4);
    /// Of at least one byte.
    pub(super) const PAD: Self = Self(1 << 5);
    /// So large that DIGEST_V1 has to be there.
    pub(super) const LARGE: Self = Self(1 << 6);
    /// Element i16.
    pub(super) const I16: Self = Self(1 << 7);
    /// Another element.
    pub(super) const NOT_I16: Self = Self(1 << 8);
    /// Kind 1.
    pub(super) const CHUNK: Self = Self(1 << 23);
    // Of the beacon.
    pub(super) const CALIB: Self = Self(1 << 9);
    pub(super) const MU: Self = Self(1 << 10);
    pub(super) const SIGMA: Self = Self(1 << 11);
    pub(super) const RESULTS: Self = Self(1 << 12);
    // Of chunk and index.
    /// At least two.
    pub(super) const PASSKEYS: Self = Self(1 << 13);
    /// At least two.
    pub(super) const SPANS: Self = Self(1 << 14);
    pub(super) const PACKED: Self = Self(1 << 15);
    pub(super) const RAW: Self = Self(1 << 16);
    /// Bits after the last token, or the last sign.
    pub(super) const SPARE: Self = Self(1 << 17);
    /// At least two.
    pub(super) const ANCHORS: Self = Self(1 << 18);
    /// No chunk, and so nothing else.
    pub(super) const EMPTY: Self = Self(1 << 24);
    // Of the mirror.
    /// At least two blocks that differ.
    pub(super) const ROWS: Self = Self(1 << 19);
    // Of the engram index.
    pub(super) const ENTRIES: Self = Self(1 << 20);
    pub(super) const I8: Self = Self(1 << 21);
    // Of the gist.
    pub(super) const METADATA: Self = Self(1 << 22);

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Asked for, or chosen.
    pub(super) fn or_chosen(self, part: Self, u: &mut Draw<'_, '_>) -> bool {
        self.has(part) || u.flag()
    }
}

/// What is done to the bytes of a frame once its checksums are right.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoil {
    /// XORed to the first bytes of DIGEST_V1's hash, before what covers it is computed.
    pub(super) digest: [u8; 4],
    /// XORed to the first bytes of HMAC_V1's hash, before the CRC is computed.
    pub(super) mac: [u8; 4],
    /// XORed to the bytes at an offset, after all checksums.
    pub(super) bytes: Option<(u64, Vec<u8>)>,
    /// Where the frame is cut off.
    pub(super) cut: Option<u64>,
    /// What follows the frame.
    pub(super) more: Vec<u8>,
}

/// A TLV.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) tlv: u8,
    pub(super) value: Vec<u8>,
}

/// A frame in its parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) ctx: [u8; 8],
    /// As they stand in the frame: CONFIG_V1 first, END last.
    pub(super) tlvs: Vec<Part>,
    pub(super) payload: Vec<u8>,
    /// The key of whoever reads it; HMAC_V1 is made with it.
    pub(super) key: Option<Vec<u8>>,
    /// The members of CONTEXT_V1, in the order of RFC 8785, the values as they are written.
    pub(super) members: Vec<(&'static str, String)>,
    /// The tokens of RESULTS_V1.
    pub(super) tokens: Vec<String>,
    pub(super) spoil: Spoil,
}

impl Draft {
    /// The place of a TLV among all, or where it would stand.
    pub(super) fn index(&self, tlv: u8) -> usize {
        self.tlvs.iter().take_while(|part| part.tlv < tlv).count()
    }

    /// Where the TLV in this place starts.
    pub(super) fn offset(&self, index: usize) -> u64 {
        self.tlvs.iter().take(index).fold(12, |at, part| at + 3 + part.value.len() as u64)
    }

    /// Where a TLV starts, or would.
    pub(super) fn at(&self, tlv: u8) -> u64 {
        self.offset(self.index(tlv))
    }

    /// Byte `field` of the value of a TLV.
    pub(super) fn in_value(&self, tlv: u8, field: u64) -> u64 {
        self.at(tlv) + 3 + field
    }

    /// Byte `field` of CONFIG_V1's value, which is always in the same place.
    pub(super) fn config(&self, field: u64) -> Option<u64> {
        Some(self.in_value(TlvType::CONFIG, field))
    }

    /// Byte `field` of FLAGS_V1's value, or where FLAGS_V1 would stand.
    pub(super) fn flags_at(&self) -> u64 {
        self.at(TlvType::FLAGS) + if self.has(TlvType::FLAGS) { 3 } else { 0 }
    }

    pub(super) fn in_payload(&self, at: u64) -> u64 {
        self.offset(self.tlvs.len()) + at
    }

    pub(super) fn len(&self) -> u64 {
        self.in_payload(self.payload.len() as u64) + 2
    }

    pub(super) fn has(&self, tlv: u8) -> bool {
        self.tlvs.iter().any(|part| part.tlv == tlv)
    }

    /// The value of a TLV; empty if it is not there.
    pub(super) fn value(&self, tlv: u8) -> &[u8] {
        self.tlvs.iter().find(|part| part.tlv == tlv).map_or(&[], |part| &part.value)
    }

    pub(super) fn value_mut(&mut self, tlv: u8) -> Option<&mut Vec<u8>> {
        self.tlvs.iter_mut().find(|part| part.tlv == tlv).map(|part| &mut part.value)
    }

    /// Puts a TLV in its place, in which there is none yet.
    pub(super) fn insert(&mut self, tlv: u8, value: Vec<u8>) {
        self.tlvs.insert(self.index(tlv), Part { tlv, value });
    }

    pub(super) fn remove(&mut self, tlv: u8) {
        self.tlvs.retain(|part| part.tlv != tlv);
    }

    /// Overwrites bytes of a value.
    pub(super) fn set(&mut self, tlv: u8, field: usize, bytes: &[u8]) {
        if let Some(value) = self.value_mut(tlv) {
            overwrite(value, field, bytes);
        }
    }

    /// Overwrites bytes of CONFIG_V1. The context goes on saying what kind and dim ask for: it is read before they are.
    pub(super) fn set_config(&mut self, field: usize, bytes: &[u8]) {
        self.set(TlvType::CONFIG, field, bytes);
        let dim = context_dim(self.u8(TlvType::CONFIG, 0), self.config_u32(8)).to_string();
        let members = self.members.iter_mut().filter(|(name, _)| *name == "dim");
        let mut changed = false;
        for (_, old) in members {
            changed |= *old != dim;
            old.clone_from(&dim);
        }
        if changed && self.has(TlvType::CONTEXT) {
            let text = object(&self.members);
            self.set_context(text.as_bytes());
        }
    }

    /// Another element, and a step that goes with it.
    pub(super) fn set_element(&mut self, code: u8) {
        self.set_config(1, &[code]);
        self.set_config(12, &u32::from(code == 1).to_be_bytes());
    }

    /// Overwrites bytes of the payload.
    pub(super) fn set_payload(&mut self, at: u64, bytes: &[u8]) {
        if let Ok(at) = usize::try_from(at) {
            overwrite(&mut self.payload, at, bytes);
        }
    }

    /// The payload is now longer or shorter, and CONFIG_V1 says so.
    pub(super) fn resize_payload(&mut self, len: u64) {
        self.payload.resize(usize::try_from(len).unwrap_or(0), 0);
        self.set_config(16, &len.to_be_bytes());
    }

    pub(super) fn u8(&self, tlv: u8, field: usize) -> u8 {
        self.value(tlv).get(field).copied().unwrap_or(0)
    }

    pub(super) fn u16(&self, tlv: u8, field: usize) -> u16 {
        u16::from_be_bytes(array(self.value(tlv), field))
    }

    pub(super) fn u32(&self, tlv: u8, field: usize) -> u32 {
        u32::from_be_bytes(array(self.value(tlv), field))
    }

    pub(super) fn u64(&self, tlv: u8, field: usize) -> u64 {
        u64::from_be_bytes(array(self.value(tlv), field))
    }

    /// A field of CONFIG_V1.
    pub(super) fn config_u32(&self, field: usize) -> u32 {
        self.u32(TlvType::CONFIG, field)
    }

    pub(super) fn kind(&self) -> u8 {
        self.u8(TlvType::CONFIG, 0)
    }

    /// Sets or clears bits of FLAGS_V1, which is there.
    pub(super) fn set_flags(&mut self, clear: u32, set: u32) {
        let flags = self.u32(TlvType::FLAGS, 0) & !clear | set;
        self.set(TlvType::FLAGS, 0, &flags.to_be_bytes());
    }

    /// A new CONTEXT_V1 with its ctx.
    pub(super) fn set_context(&mut self, text: &[u8]) {
        self.ctx = Blake2b::<U8>::digest(text).into();
        if let Some(value) = self.value_mut(TlvType::CONTEXT) {
            *value = text.to_vec();
        }
    }

    /// The frame's bytes: every checksum that has a place is right, before [`Spoil`] is done.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut tlvs = self.tlvs.clone();
        let except = |tlvs: &[Part], except: &[u8]| -> Vec<u8> {
            let mut covered = self.ctx.to_vec();
            let parts = tlvs.iter().filter(|part| !except.contains(&part.tlv));
            parts.for_each(|part| part.write(&mut covered));
            covered.extend_from_slice(&self.payload);
            covered
        };
        let put = |tlvs: &mut [Part], tlv: u8, hash: [u8; 32], spoil: [u8; 4]| {
            // All of them, should there be two.
            for part in tlvs.iter_mut().filter(|part| part.tlv == tlv && part.value.len() == 33) {
                if let Some((_, value)) = part.value.split_first_mut() {
                    value.copy_from_slice(&hash);
                    value.iter_mut().zip(spoil).for_each(|(byte, spoil)| *byte ^= spoil);
                }
            }
        };
        use TlvType as T;
        let digest = Sha256::digest(except(&tlvs, &[T::DIGEST, T::HMAC, T::PAD, T::END])).into();
        put(&mut tlvs, T::DIGEST, digest, self.spoil.digest);
        // Keys of any length are taken.
        if let Some(Ok(mut mac)) = self.key.as_deref().map(Hmac::<Sha256>::new_from_slice) {
            mac.update(&except(&tlvs, &[T::HMAC, T::END]));
            put(&mut tlvs, T::HMAC, mac.finalize().into_bytes().into(), self.spoil.mac);
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&except(&tlvs, &[]));
        let crc = CRC.checksum(bytes.get(MAGIC.len()..).unwrap_or_default());
        bytes.extend_from_slice(&crc.to_be_bytes());

        if let Some((at, mask)) = &self.spoil.bytes {
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            bytes.iter_mut().skip(at).zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
        if let Some(len) = self.spoil.cut {
            bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        }
        bytes.extend_from_slice(&self.spoil.more);
        bytes
    }
}

impl Part {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.tlv);
        // Values of drafts are far shorter than what 16 bits count.
        out.extend_from_slice(&(self.value.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.value);
    }
}

/// The dim of the context of a frame (spec/frame.md, "Context").
pub(super) fn context_dim(kind: u8, dim: u32) -> u32 {
    if matches!(Kind(kind), Kind::LEDGER_CHUNK | Kind::LEDGER_INDEX) { 0 } else { dim }
}

/// The object of these members, as RFC 8785 writes it.
pub(super) fn object(members: &[(&'static str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Overwrites bytes, as far as they are there.
pub(super) fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes.iter_mut().skip(at).zip(new).for_each(|(byte, new)| *byte = *new);
}

/// The bytes at a place; zeros if they are not there.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

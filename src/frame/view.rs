//! The checked view of a frame (spec/frame.md, "Order of checks").
#![deny(clippy::arithmetic_side_effects)]

use core::iter::FusedIterator;

use zerocopy::FromBytes;

use super::MAGIC;
use super::config::{Config, ConfigRaw, Flags, FlagsRaw, Kind};
use super::context::ContextHash;
use super::crc::crc16;
use super::digest::{HashRaw, sha256};
use super::header::FrameHeader;
use super::route::RoutingKey;
use super::tlv::{Tlv, TlvType, Tlvs, length_rule};
#[cfg(any(test, feature = "std"))]
use crate::arch::sha256::{BATCH, sha256_many};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::Reader;

/// Up to this many bytes from ctx through the payload (DIGEST_V1 left out) DIGEST_V1 is optional: with the two
/// of the CRC that makes 4,095, the length up to which CRC-16/CCITT detects every 2-bit error.
pub(crate) const DIGEST_FREE_SIZE: u64 = 4093;

/// A frame that passed every check that needs no key: structure, CRC-16, value rules, ctx, SHA-256 digest.
///
/// Borrows the caller's bytes and copies none. What the frame says about its author is unproven until
/// `verify` (feature `hmac`) yields an `AuthenticatedFrame`; what kind of artefact it carries is for that
/// kind's typed view, such as [`Beacon`](crate::beacon::Beacon).
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// From magic through CRC.
    bytes: &'a [u8],
    context: Option<&'a [u8]>,
    config: Config,
    flags: Option<Flags>,
    places: Places,
}

/// A checked frame that does not hold on to its bytes, so that their owner may hand it out later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detached {
    len: usize,
    context: Option<(u32, u32)>,
    config: Config,
    flags: Option<Flags>,
    places: Places,
}

impl Detached {
    /// The frame's length in bytes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

/// Where the TLVs start.
pub(super) const TLVS_AT: u32 = 12;

/// Where the parts of the header start. 32 bits hold every place in a header: types strictly increase, so it has at
/// most 255 TLVs of 65,538 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    /// FLAGS_V1's value, or where FLAGS_V1 would stand.
    flags: u32,
    /// Where DIGEST_V1 stands or would stand: the first TLV of F0 and above.
    envelope: u32,
    /// The values of DIGEST_V1, HMAC_V1 and PAD_V1; 0 where there is none.
    pub(super) digest: u32,
    pub(super) hmac: u32,
    pad: u32,
    pub(super) payload: u32,
}

impl<'a> Frame<'a> {
    /// Parses and checks the frame at the start of `bytes`; returns it and what follows it.
    ///
    /// Linear in the frame's size; allocates nothing.
    ///
    /// # Errors
    /// The first breach in the order of spec/frame.md, with the offset of the offending field.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let (frame, rest) = Self::parse_through_context(bytes)?;
        frame.check_digest_there()?;
        frame.check_digest()?;
        frame.check_flags()?;
        Ok((frame, rest))
    }

    /// As [`parse`](Self::parse), with the same errors, but DIGEST_V1's hash is not compared: [`check_digests`] does that
    /// for many frames together, and until then nobody else may have the frame.
    #[cfg(any(test, feature = "std"))]
    pub(crate) fn parse_without_digest(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let (frame, rest) = Self::parse_through_context(bytes)?;
        frame.check_digest_there()?;
        if let Err(error) = frame.check_flags() {
            // A wrong hash would have been found before.
            frame.check_digest()?;
            return Err(error);
        }
        Ok((frame, rest))
    }

    /// The checks up to that of ctx: steps 1 to 11.
    fn parse_through_context(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut reader = Reader::new(bytes, 0);
        let fields = Fields::read_from(&mut reader)?;

        // Compared in u64 before any conversion, so that 32-bit targets see the same error.
        let (payload_len, left) = (fields.config.payload_len.get(), reader.rest().len());
        if payload_len > left.saturating_sub(2) as u64 {
            return Err(Error::new(payload_truncated(payload_len, left), reader.offset()));
        }
        reader.take(PAYLOAD_AND_CRC, payload_len)?;
        let crc_at = reader.offset();
        let stored = u16::from_be_bytes(*reader.take_array("CRC-16")?);
        let rest = reader.rest();
        let bytes = bytes.get(..bytes.len().saturating_sub(rest.len())).unwrap_or_default();
        let computed = crc16(bytes.get(4..bytes.len().saturating_sub(2)).unwrap_or_default());
        if stored != computed {
            return Err(Error::new(ErrorKind::Crc { stored, computed }, crc_at));
        }

        let config = Config::from_raw(fields.config, CONFIG_VALUE_AT)?;
        let flags = match fields.flags {
            Some(raw) => Some(Flags::from_raw(raw, u64::from(fields.places.flags))?),
            None => None,
        };
        let frame = Self { bytes, context: fields.context, config, flags, places: fields.places };
        frame.check_envelope_values()?;
        frame.check_context_hash()?;
        Ok((frame, rest))
    }

    /// Parses a frame that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`ErrorKind::TrailingBytes`] at the frame's end if anything follows.
    pub fn parse_exact(bytes: &'a [u8]) -> Result<Self> {
        let (frame, rest) = Self::parse(bytes)?;
        if rest.is_empty() {
            Ok(frame)
        } else {
            Err(Error::new(ErrorKind::TrailingBytes { count: rest.len() as u64 }, frame.bytes.len() as u64))
        }
    }

    /// The whole frame, from magic through CRC.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The frame's 64-bit context hash: a hint for grouping, not an identity.
    pub fn ctx(&self) -> ContextHash {
        ContextHash(self.bytes.get(4..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default())
    }

    /// The header on its own, magic through END.
    pub fn header(&self) -> FrameHeader<'a> {
        let header = self.range(0, self.places.payload as usize);
        FrameHeader::of_frame(header, self.context, self.config, self.places)
    }

    /// CONFIG_V1.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The frame without its bytes, for [`attach`](Self::attach).
    pub(crate) fn detach(&self) -> Detached {
        let context = self.context.map(|json| {
            let start = self.tlv(TlvType::CONTEXT).map_or(0, |tlv| place_of(tlv.value_offset()));
            (start, start.saturating_add(json.len() as u32))
        });
        Detached {
            len: self.bytes.len(),
            context,
            config: self.config,
            flags: self.flags,
            places: self.places,
        }
    }

    /// The frame that was detached; `bytes` begin with its bytes.
    pub(crate) fn attach(detached: Detached, bytes: &'a [u8]) -> Self {
        let Detached { len, context, config, flags, places } = detached;
        let bytes = bytes.get(..len).unwrap_or_default();
        let context = context.and_then(|(start, end)| bytes.get(start as usize..end as usize));
        Self { bytes, context, config, flags, places }
    }

    /// What the frame carries.
    pub const fn kind(&self) -> Kind {
        self.config.kind
    }

    /// FLAGS_V1; no flags where the frame has none.
    pub fn flags(&self) -> Flags {
        self.flags.unwrap_or_default()
    }

    /// The payload's bytes, of which CONFIG_V1 tells the meaning.
    pub fn payload(&self) -> &'a [u8] {
        self.range(self.places.payload as usize, self.bytes.len().saturating_sub(2))
    }

    /// Where the payload starts, in bytes from the frame's start.
    pub const fn payload_offset(&self) -> u64 {
        self.places.payload as u64
    }

    /// The TLVs in order, END left out. Unknown types that may be skipped are among them.
    pub fn tlvs(&self) -> Tlvs<'a> {
        Tlvs::new(self.range(TLVS_AT as usize, self.places.payload as usize), u64::from(TLVS_AT))
    }

    /// The TLV of one type; see [`TlvType`].
    pub fn tlv(&self, tlv_type: u8) -> Option<Tlv<'a>> {
        self.tlvs().find(|tlv| tlv.tlv_type == tlv_type)
    }

    /// CONTEXT_V1: the canonical context JSON, which hashes to [`ctx`](Self::ctx). Whether it is canonical is
    /// checked by `Frame::context` (feature `alloc`).
    pub const fn context_json(&self) -> Option<&'a [u8]> {
        self.context
    }

    /// DIGEST_V1: SHA-256 over the frame without its digest, MAC and padding. Checked.
    pub fn digest(&self) -> Option<&'a [u8; 32]> {
        self.hash_at(self.places.digest).map(|raw| &raw.hash)
    }

    pub(crate) const fn own_flags(&self) -> Option<Flags> {
        self.flags
    }

    pub(crate) fn mac_bytes(&self) -> Option<&'a [u8; 32]> {
        self.hash_at(self.places.hmac).map(|raw| &raw.hash)
    }

    /// Bytes of padding in PAD_V1, if there is one.
    pub fn padding(&self) -> Option<usize> {
        (self.places.pad != 0).then(|| self.pad().len())
    }

    /// The routing key: BLAKE2b-256 over everything but the CRC.
    pub fn routing_key(&self) -> RoutingKey {
        let covered = self.bytes.len().saturating_sub(2);
        RoutingKey::of(self.bytes.get(..covered).unwrap_or_default())
    }

    /// Checks that both frames come from the same context: the whole contexts are equal where both carry CONTEXT_V1, and
    /// the 64-bit hashes where one does not.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`].
    pub fn check_same_context(&self, other: &Self) -> Result<()> {
        self.compare_context(other.ctx(), other.context)
    }

    pub(crate) fn compare_context(&self, ctx: ContextHash, json: Option<&[u8]>) -> Result<()> {
        let same = match (self.context, json) {
            (Some(own), Some(other)) => own == other,
            _ => self.ctx() == ctx,
        };
        if same { Ok(()) } else { Err(Error::caller(ErrorKind::ContextDiffers)) }
    }

    /// Checks that the frame is of `kind` and that its TLVs of 03 to 7F are among `allowed`.
    pub(crate) fn check_kind(&self, kind: Kind, allowed: &[u8]) -> Result<()> {
        let header = self.header();
        header.check_kind(kind)?;
        header.check_tlvs(allowed)
    }

    /// Where CONFIG_V1's value starts: it is the first TLV.
    pub(crate) const fn config_place(&self) -> u64 {
        CONFIG_VALUE_AT
    }

    /// Where FLAGS_V1's value starts, or where FLAGS_V1 would stand.
    pub(crate) const fn flags_place(&self) -> u64 {
        self.places.flags as u64
    }

    /// HMAC_V1's hash and where it starts.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac(&self) -> Option<(&'a [u8; 32], u64)> {
        self.mac_bytes().map(|hash| (hash, u64::from(self.places.hmac).saturating_add(1)))
    }

    /// Where HMAC_V1 stands or would stand.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac_place(&self) -> u64 {
        self.header().hmac_place()
    }

    /// What HMAC_V1 covers: ctx, every TLV but HMAC_V1 and END, the payload.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac_input(&self) -> [&'a [u8]; 3] {
        // HMAC_V1 is there, between DIGEST_V1 and PAD_V1.
        let start = (self.places.hmac as usize).saturating_sub(3);
        let end = start.saturating_add(36);
        let before_end = (self.places.payload as usize).saturating_sub(3);
        [self.range(4, start), self.range(end, before_end), self.payload()]
    }

    /// What DIGEST_V1 covers.
    fn digest_input(&self) -> [&'a [u8]; 2] {
        [self.range(4, self.places.envelope as usize), self.payload()]
    }

    /// PAD_V1's value.
    fn pad(&self) -> &'a [u8] {
        // END follows.
        self.range(self.places.pad as usize, (self.places.payload as usize).saturating_sub(3))
    }

    fn range(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    fn hash_at(&self, at: u32) -> Option<&'a HashRaw> {
        hash_at(self.bytes, at)
    }

    /// Versions 01 and zero padding.
    fn check_envelope_values(&self) -> Result<()> {
        for (tlv, at) in [(TlvType::DIGEST, self.places.digest), (TlvType::HMAC, self.places.hmac)] {
            if let Some(raw) = self.hash_at(at)
                && raw.version != HashRaw::VERSION
            {
                let kind = ErrorKind::ValueVersion { tlv, found: raw.version };
                return Err(Error::new(kind, u64::from(at)));
            }
        }
        if self.places.pad == 0 {
            return Ok(());
        }
        match self.pad().iter().position(|&byte| byte != 0) {
            Some(at) => {
                Err(Error::new(ErrorKind::Padding, u64::from(self.places.pad).saturating_add(at as u64)))
            }
            None => Ok(()),
        }
    }

    fn check_context_hash(&self) -> Result<()> {
        match self.context {
            Some(json) if ContextHash::of(json) != self.ctx() => {
                let place = self.tlv(TlvType::CONTEXT).map_or(0, |tlv| tlv.value_offset());
                Err(Error::new(ErrorKind::ContextHash, place))
            }
            _ => Ok(()),
        }
    }

    /// A digest is there, or needs not be.
    fn check_digest_there(&self) -> Result<()> {
        // magic and CRC are the 6 bytes that do not count.
        let size = (self.bytes.len() as u64).saturating_sub(6);
        let needed = size > DIGEST_FREE_SIZE || self.kind() == Kind::LEDGER_CHUNK;
        if needed && self.digest().is_none() {
            return Err(Error::new(ErrorKind::DigestMissing, u64::from(self.places.envelope)));
        }
        Ok(())
    }

    fn check_digest(&self) -> Result<()> {
        if self.digest().is_some() { self.compare_digest(&sha256(&self.digest_input())) } else { Ok(()) }
    }

    /// Compares the digest, if there is one, with what it has to be.
    fn compare_digest(&self, computed: &[u8; 32]) -> Result<()> {
        match self.digest() {
            Some(digest) if digest != computed => {
                Err(Error::new(ErrorKind::Digest, u64::from(self.places.digest).saturating_add(1)))
            }
            _ => Ok(()),
        }
    }

    fn check_flags(&self) -> Result<()> {
        let hmac = self.places.hmac != 0;
        if self.flags().authenticated() == hmac {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::FlagsHmac { hmac }, self.flags_place()))
        }
    }
}

/// The hash whose value starts at `at`; 0 is nowhere.
pub(super) fn hash_at(bytes: &[u8], at: u32) -> Option<&HashRaw> {
    if at == 0 { None } else { HashRaw::ref_from_prefix(bytes.get(at as usize..)?).ok().map(|(raw, _)| raw) }
}

/// Compares the hash of each DIGEST_V1 with what it covers, many frames together; frames without one pass.
///
/// # Errors
/// The index of the first frame with a wrong hash, and the error that [`Frame::parse`] gives for it.
#[cfg(any(test, feature = "std"))]
pub(crate) fn check_digests(frames: &[Frame<'_>]) -> core::result::Result<(), (usize, Error)> {
    let mut first = 0usize;
    for frames in frames.chunks(BATCH) {
        let (mut messages, mut hashes) = ([[&[][..]; 2]; BATCH], [[0; 32]; BATCH]);
        for (message, frame) in messages.iter_mut().zip(frames).filter(|(_, frame)| frame.digest().is_some())
        {
            *message = frame.digest_input();
        }
        sha256_many(messages.get(..frames.len()).unwrap_or_default(), &mut hashes);
        for (i, (frame, hash)) in frames.iter().zip(&hashes).enumerate() {
            frame.compare_digest(hash).map_err(|error| (first.saturating_add(i), error))?;
        }
        first = first.saturating_add(frames.len());
    }
    Ok(())
}

/// Reads one TLV and checks what does not depend on its value.
fn next_tlv<'a>(reader: &mut Reader<'a>, after: Option<u8>) -> Result<Tlv<'a>> {
    let offset = reader.offset();
    let &[tlv_type, hi, lo] = reader.take_array("TLV header")?;
    let len = u16::from_be_bytes([hi, lo]);
    let value = reader.take("TLV value", u64::from(len))?;

    let refuse = |kind| Err(Error::new(kind, offset));
    match after {
        Some(after) if tlv_type <= after => return refuse(ErrorKind::TlvOrder { found: tlv_type, after }),
        None if tlv_type != TlvType::CONFIG => return refuse(ErrorKind::ConfigNotFirst { found: tlv_type }),
        _ => {}
    }
    match length_rule(tlv_type) {
        Some(rule) if !rule.allows(len) => Err(length_error(tlv_type, rule.bytes(), len, offset)),
        None if tlv_type < 0x80 => refuse(ErrorKind::CriticalTlv { found: tlv_type }),
        None if tlv_type > 0xEF => refuse(ErrorKind::ReservedTlv { found: tlv_type }),
        _ => Ok(Tlv { tlv_type, value, offset }),
    }
}

fn length_error(tlv: u8, needed: u16, found: u16, offset: u64) -> Error {
    let kind = ErrorKind::TlvLength { tlv, needed: u32::from(needed), found: u32::from(found) };
    Error::new(kind, offset.saturating_add(1))
}

const PAYLOAD_AND_CRC: &str = "payload with CRC-16";

/// A payload of `payload_len` bytes does not fit the `left` bytes with its CRC.
pub(crate) fn payload_truncated(payload_len: u64, left: usize) -> ErrorKind {
    let needed = payload_len.saturating_add(2);
    ErrorKind::Truncated { field: PAYLOAD_AND_CRC, needed, available: left as u64 }
}

/// Where CONFIG_V1's value starts.
pub(super) const CONFIG_VALUE_AT: u64 = TLVS_AT as u64 + 3;

/// What every frame begins with: steps 1 to 3.
pub(super) fn read_magic_and_ctx(reader: &mut Reader<'_>) -> Result<()> {
    let found = *reader.take_array("magic")?;
    if found != MAGIC {
        return Err(Error::new(ErrorKind::Magic { found }, 0));
    }
    reader.take_array::<8>("ctx").map(|_| ())
}

/// The envelope's TLVs, as the walk finds them.
pub(super) struct Fields<'a> {
    pub(super) config: &'a ConfigRaw,
    flags: Option<&'a FlagsRaw>,
    pub(super) context: Option<&'a [u8]>,
    pub(super) places: Places,
}

impl<'a> Fields<'a> {
    /// Reads a whole header: steps 1 to 4.
    pub(super) fn read_from(reader: &mut Reader<'a>) -> Result<Self> {
        read_magic_and_ctx(reader)?;
        Self::read(reader)
    }

    /// Walks the TLVs through END.
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let first = next_tlv(reader, None)?;
        // The length was checked with the type.
        let config = ConfigRaw::ref_from_bytes(first.value)
            .map_err(|_| length_error(first.tlv_type, 24, 0, first.offset))?;
        let mut places = Places { flags: place(reader), ..Places::default() };
        let (mut flags, mut context) = (None, None);
        let mut after = first.tlv_type;
        while after != TlvType::END {
            let tlv = next_tlv(reader, Some(after))?;
            after = tlv.tlv_type;
            let value_at = place_of(tlv.value_offset());
            match tlv.tlv_type {
                TlvType::FLAGS => {
                    (flags, places.flags) = (FlagsRaw::ref_from_bytes(tlv.value).ok(), value_at)
                }
                TlvType::CONTEXT => context = Some(tlv.value),
                TlvType::DIGEST => places.digest = value_at,
                TlvType::HMAC => places.hmac = value_at,
                TlvType::PAD => places.pad = value_at,
                _ => {}
            }
            if places.envelope == 0 && tlv.tlv_type >= TlvType::DIGEST {
                places.envelope = place_of(tlv.offset);
            }
        }
        places.payload = place(reader);
        Ok(Self { config, flags, context, places })
    }
}

fn place(reader: &Reader<'_>) -> u32 {
    place_of(reader.offset())
}

/// A place in the header: see [`Places`].
fn place_of(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// The frames of a buffer that holds nothing but frames, one after the other.
///
/// Yields each with its offset from the start of the buffer, and ends after the first error, whose offset counts
/// from there too.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Frames<'a> {
    /// Walks `bytes`; an empty buffer holds no frames.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(u64, Frame<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        match Frame::parse(self.rest) {
            Ok((frame, rest)) => {
                self.offset = offset.saturating_add(frame.bytes.len() as u64);
                self.rest = rest;
                Some(Ok((offset, frame)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.nested(offset)))
            }
        }
    }
}

impl FusedIterator for Frames<'_> {}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use super::*;
    use crate::frame::{Element, FrameBuilder, crc16};
    use alloc::{vec, vec::Vec};

    /// What [`Frame::parse`] says, by way of a batch.
    fn by_batch(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
        let (frame, rest) = Frame::parse_without_digest(bytes)?;
        check_digests(&[frame]).map_err(|(index, error)| {
            assert_eq!(index, 0);
            error
        })?;
        Ok((frame.as_bytes().to_vec(), rest.len()))
    }

    fn at_once(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
        Frame::parse(bytes).map(|(frame, rest)| (frame.as_bytes().to_vec(), rest.len()))
    }

    fn fix_crc(bytes: &mut [u8]) {
        let at = bytes.len() - 2;
        let crc = crc16(&bytes[4..at]);
        bytes[at..].copy_from_slice(&crc.to_be_bytes());
    }

    fn frame(payload: &[u8], baseline: bool) -> Vec<u8> {
        let config = Config::new(Kind::LEDGER_CHUNK, Element::U8, 1, 1, 0);
        let builder = FrameBuilder::new(ContextHash([7; 8]), config, payload);
        let builder = builder.drift_flags(false, baseline).tlv(0x90, b"header").unwrap().align_payload(32);
        let mut bytes = vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_batch_says_of_the_vectors_what_parse_says() {
        let text = include_str!("../../spec/vectors/frame.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut digests, mut flags) = (0, 0);
        for case in vectors["cases"].as_array().unwrap() {
            let hex = case["hex"].as_str().unwrap();
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            let expected = at_once(&bytes);
            assert_eq!(by_batch(&bytes), expected, "{}", case["id"]);
            let kind = expected.map_err(|error| error.kind());
            digests += usize::from(kind == Err(ErrorKind::Digest));
            flags += usize::from(matches!(kind, Err(ErrorKind::FlagsHmac { .. })));
        }
        assert!(digests > 0 && flags > 0, "{digests}, {flags}");
    }

    #[test]
    fn a_batch_says_of_every_bit_what_parse_says() {
        let good = frame(b"payload", true);
        assert_eq!(by_batch(&good), Ok((good.clone(), 0)));
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(by_batch(&bytes), at_once(&bytes), "bit {bit}");
            fix_crc(&mut bytes);
            assert_eq!(by_batch(&bytes), at_once(&bytes), "bit {bit}, CRC mended");
        }
    }

    /// The hash comes before the flags (steps 13 and 14), and is wrong if they are.
    #[test]
    fn wrong_flags_and_a_wrong_hash_are_a_wrong_hash() {
        let mut bytes = frame(b"payload", true);
        let (parsed, _) = Frame::parse(&bytes).unwrap();
        let (flags, digest) = (parsed.places.flags as usize, parsed.places.digest as usize + 1);
        // AUTHENTICATED, though there is no HMAC_V1.
        bytes[flags + 3] ^= 1;
        fix_crc(&mut bytes);
        assert_eq!(by_batch(&bytes), Err(Error::new(ErrorKind::Digest, digest as u64)));
        // The same with the hash mended.
        let payload = bytes.len() - 2 - b"payload".len()..bytes.len() - 2;
        let hash = sha256(&[&bytes[4..digest - 4], &bytes[payload]]);
        bytes[digest..digest + 32].copy_from_slice(&hash);
        fix_crc(&mut bytes);
        let expected = Error::new(ErrorKind::FlagsHmac { hmac: false }, flags as u64);
        assert_eq!(by_batch(&bytes), Err(expected));
        assert_eq!(at_once(&bytes), Err(expected));
    }

    #[test]
    fn the_first_wrong_hash_of_many_frames() {
        let mut frames: Vec<Vec<u8>> =
            (0..150usize).map(|i| frame(&vec![i as u8; i * i * 37 % 3000], i % 2 == 0)).collect();
        // One that needs no digest and has none.
        let config = Config::new(Kind::BEACON, Element::U8, 1, 1, 0);
        let builder = FrameBuilder::new(ContextHash([7; 8]), config, b"short");
        frames[70] = vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut frames[70]).unwrap();
        let check = |frames: &[Vec<u8>]| {
            let parsed: Vec<Frame<'_>> =
                frames.iter().map(|bytes| Frame::parse_without_digest(bytes).unwrap().0).collect();
            check_digests(&parsed)
        };
        assert_eq!(check(&frames), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        // From the last to the first, so that there are more and more.
        for wrong in [149, 128, 127, 100, 64, 63, 16, 15, 1, 0] {
            let at = frames[wrong].len() - 3;
            // The payload's last byte; the first frame has none, so its own TLV.
            let at = if wrong == 0 { at.min(50) } else { at };
            frames[wrong][at] ^= 0x40;
            fix_crc(&mut frames[wrong]);
            let error = Frame::parse(&frames[wrong]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Digest);
            assert_eq!(check(&frames), Err((wrong, error)));
        }
    }
}

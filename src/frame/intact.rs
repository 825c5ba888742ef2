//! A frame as far as it can be checked without a hash (spec/frame.md, "Order of checks", steps 1 to 10).
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;

use super::MAGIC;
use super::config::{Config, ConfigRaw, Flags, FlagsRaw, Kind};
use super::context::ContextHash;
use super::crc::crc16;
use super::digest::{HashRaw, sha256};
use super::header::FrameHeader;
use super::route::RoutingKey;
use super::tlv::{Tlv, TlvType, Tlvs, length_rule};
use super::view::Frame;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::Reader;

/// Up to this many bytes from ctx through the payload (DIGEST_V1 left out) DIGEST_V1 is optional: with the two
/// of the CRC that makes 4,095, the length up to which CRC-16/CCITT detects every 2-bit error.
pub(crate) const DIGEST_FREE_SIZE: u64 = 4093;

/// A frame that came through undamaged, as far as a CRC-16 can tell: structure, CRC-16 and value rules are checked.
///
/// **The two hashes are not**: neither does CONTEXT_V1 have to hash to [`ctx`](Self::ctx), nor DIGEST_V1 to be that of the
/// frame. Another reader may refuse what is intact, so this is no place to stop for whoever can go on:
/// [`check`](Self::check) does the rest and yields a [`Frame`]. It is for devices whose flash or stack has no room for
/// SHA-256 and BLAKE2b, and for those that have a key: `check_mac` (feature `hmac`) needs SHA-256 alone, and covers all that
/// the hashes cover.
///
/// Borrows the caller's bytes and copies none.
#[derive(Clone, Copy, Debug)]
pub struct IntactFrame<'a> {
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

impl<'a> IntactFrame<'a> {
    /// Parses the frame at the start of `bytes`, without its hashes; returns it and what follows it.
    ///
    /// Linear in the frame's size; allocates nothing.
    ///
    /// # Errors
    /// The first breach of steps 1 to 10 of spec/frame.md, "Order of checks", with the offset of the offending field.
    // Into `Frame::parse`, which a copy of the frame would slow; but on a device what it needs of the stack is free again
    // when hashes are next.
    #[cfg_attr(target_os = "none", inline(never))]
    #[cfg_attr(not(target_os = "none"), inline(always))]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut reader = Reader::new(bytes, 0);
        let fields = Fields::read_from(&mut reader)?;

        // Compared in u64 before any conversion, so that 32-bit targets see the same error.
        let (payload_len, left) = (fields.config.payload_len.get(), reader.rest().len());
        if payload_len > left.saturating_sub(2) as u64 {
            return Err(Error::new(payload_truncated(payload_len, left), reader.offset()));
        }
        reader.take(PAYLOAD_AND_CRC, payload_len)?;
        let crc_at = reader.offset();
        let stored = u16::from_be_bytes(*reader.take_array(CRC)?);
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
        Ok((frame, rest))
    }

    /// Checks the hashes, and what comes after them: [`parse`](Self::parse) and this are [`Frame::parse`].
    ///
    /// Linear in the frame's size where there is a DIGEST_V1, else in the size of CONTEXT_V1.
    ///
    /// # Errors
    /// The first breach of steps 11 to 14.
    pub fn check(self) -> Result<Frame<'a>> {
        self.check_hashes()?;
        Ok(Frame(self))
    }

    /// Steps 11 to 14.
    pub(super) fn check_hashes(&self) -> Result<()> {
        self.check_context_hash()?;
        self.check_digest_there()?;
        self.check_digest()?;
        self.check_flags()
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

    /// See [`Frame::detach`].
    pub(super) fn detach(&self) -> Detached {
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

    /// See [`Frame::attach`].
    pub(super) fn attach(detached: Detached, bytes: &'a [u8]) -> Self {
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

    /// CONTEXT_V1: the canonical context JSON. That of a [`Frame`] hashes to [`ctx`](Self::ctx). Whether it is canonical
    /// is checked by `Frame::context` (feature `alloc`).
    pub const fn context_json(&self) -> Option<&'a [u8]> {
        self.context
    }

    /// The digest that DIGEST_V1 claims; see [`Frame::digest`].
    pub fn claimed_digest(&self) -> Option<&'a [u8; 32]> {
        self.hash_at(self.places.digest).map(HashRaw::hash)
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

    /// What DIGEST_V1 covers.
    pub(super) fn digest_input(&self) -> [&'a [u8]; 2] {
        [self.range(4, self.places.envelope as usize), self.payload()]
    }

    pub(super) fn check_context_hash(&self) -> Result<()> {
        match self.context {
            Some(json) if ContextHash::of(json) != self.ctx() => {
                let place = self.tlv(TlvType::CONTEXT).map_or(0, |tlv| tlv.value_offset());
                Err(Error::new(ErrorKind::ContextHash, place))
            }
            _ => Ok(()),
        }
    }

    /// A digest is there, or needs not be.
    pub(super) fn check_digest_there(&self) -> Result<()> {
        // magic and CRC are the 6 bytes that do not count.
        let size = (self.bytes.len() as u64).saturating_sub(6);
        let needed = size > DIGEST_FREE_SIZE || self.kind() == Kind::LEDGER_CHUNK;
        if needed && self.claimed_digest().is_none() {
            return Err(Error::new(ErrorKind::DigestMissing, u64::from(self.places.envelope)));
        }
        Ok(())
    }

    pub(super) fn check_digest(&self) -> Result<()> {
        if self.claimed_digest().is_some() {
            self.compare_digest(&sha256(&self.digest_input()))
        } else {
            Ok(())
        }
    }

    /// Compares the digest, if there is one, with what it has to be.
    pub(super) fn compare_digest(&self, computed: &[u8; 32]) -> Result<()> {
        match self.claimed_digest() {
            Some(digest) if digest != computed => {
                Err(Error::new(ErrorKind::Digest, u64::from(self.places.digest).saturating_add(1)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_flags(&self) -> Result<()> {
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

/// Reads one TLV and checks what does not depend on its value.
#[inline]
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
const CRC: &str = "CRC-16";

/// A payload of `payload_len` bytes does not fit the `left` bytes with its CRC.
pub(crate) fn payload_truncated(payload_len: u64, left: usize) -> ErrorKind {
    let needed = payload_len.saturating_add(2);
    let field = if payload_len == 0 { CRC } else { PAYLOAD_AND_CRC };
    ErrorKind::Truncated { field, needed, available: left as u64 }
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
    #[inline]
    pub(super) fn read_from(reader: &mut Reader<'a>) -> Result<Self> {
        read_magic_and_ctx(reader)?;
        Self::read(reader)
    }

    /// Walks the TLVs through END.
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let mut places = Places::default();
        let (mut config, mut flags, mut context) = (None, None, None);
        let mut after = None;
        while after != Some(TlvType::END) {
            let tlv = next_tlv(reader, after)?;
            after = Some(tlv.tlv_type);
            let value_at = place_of(tlv.value_offset());
            match tlv.tlv_type {
                TlvType::CONFIG => {
                    (config, places.flags) = (ConfigRaw::ref_from_bytes(tlv.value).ok(), place(reader))
                }
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
        // That it is there and has this length was checked with its type.
        let config = config.ok_or(length_error(TlvType::CONFIG, 24, 0, u64::from(TLVS_AT)))?;
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{string::String, vec::Vec};

    fn hex(text: &serde_json::Value) -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// By the vectors: what is refused in steps 1 to 10 is not intact, and all else is; then `check` says the rest, with
    /// the errors of steps 11 to 14.
    #[test]
    fn the_vectors_in_two_steps() {
        let text = include_str!("../../spec/vectors/frame.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut intact, mut checked, mut whole) = (0, 0, 0);
        for case in vectors["cases"].as_array().unwrap() {
            let bytes = hex(&case["hex"]);
            let expected = case["error"]["kind"]
                .as_str()
                .map(|kind| (String::from(kind), case["error"]["offset"].as_u64().unwrap()));
            let said = |error: Error| Some((String::from(error.kind().name()), error.offset()));
            let step = expected.as_ref().map_or("", |(kind, _)| kind);
            match IntactFrame::parse(&bytes) {
                Err(error) => {
                    assert_eq!(said(error), expected, "{}", case["id"]);
                    intact += 1;
                }
                Ok((frame, rest)) => match frame.check() {
                    Err(error) => {
                        assert!(
                            ["ContextHash", "DigestMissing", "Digest", "FlagsHmac"].contains(&step),
                            "{}: {error}",
                            case["id"]
                        );
                        assert_eq!(said(error), expected, "{}", case["id"]);
                        checked += 1;
                    }
                    Ok(frame) => {
                        // What is left to be refused needs a key, exactness or an allocator.
                        assert!(
                            ["", "HmacMissing", "Hmac", "TrailingBytes", "Context", "KeyLength"]
                                .contains(&step),
                            "{}: {step}",
                            case["id"]
                        );
                        assert_eq!(frame.as_bytes().len() + rest.len(), bytes.len());
                        whole += 1;
                    }
                },
            }
        }
        assert!(intact > 100 && checked > 10 && whole > 50, "{intact} {checked} {whole}");
    }

    /// A MAC is compared without hashing the context or the frame; what those checks cost nothing is held to.
    #[cfg(feature = "hmac")]
    #[test]
    fn verifies_what_the_vectors_verify() {
        let text = include_str!("../../spec/vectors/frame.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut right, mut wrong) = (0, 0);
        for case in vectors["cases"].as_array().unwrap().iter().filter(|case| case["key"].is_string()) {
            let (bytes, key) = (hex(&case["hex"]), hex(&case["key"]));
            let (Ok(key), Ok((frame, _))) = (crate::frame::Key::new(&key), IntactFrame::parse(&bytes)) else {
                continue;
            };
            let kind = case["error"]["kind"].as_str().unwrap_or_default();
            match frame.check_mac(&key) {
                Ok(()) => {
                    assert!(["", "ContextHash", "Digest", "TrailingBytes"].contains(&kind), "{}", case["id"]);
                    right += 1;
                }
                // What is not checked here, in a frame that is not its author's either.
                Err(error) if ["ContextHash", "Digest", "TrailingBytes"].contains(&kind) => {
                    assert_eq!(error.kind(), ErrorKind::Hmac, "{}", case["id"]);
                }
                Err(error) => {
                    assert_eq!(error.kind().name(), kind, "{}", case["id"]);
                    assert_eq!(Some(error.offset()), case["error"]["offset"].as_u64(), "{}", case["id"]);
                    wrong += 1;
                }
            }
        }
        assert!(right >= 15 && wrong > 5, "{right} {wrong}");
    }
}

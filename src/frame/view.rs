//! The checked view of a frame (spec/frame.md, "Order of checks").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;

use super::MAGIC;
use super::config::{Config, ConfigRaw, Flags, FlagsRaw, Kind};
use super::context::ContextHash;
use super::crc::crc16;
use super::digest::{HASH_VERSION, HashRaw, sha256};
use super::route::RoutingKey;
use super::tlv::{Tlv, TlvType, Tlvs, length_rule};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Reader, fits};

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
    /// ctx and the TLVs below DIGEST_V1: what DIGEST_V1 covers of the header, and where it stands.
    body: &'a [u8],
    /// All TLVs, END included.
    tlvs: &'a [u8],
    payload: &'a [u8],
    config: Config,
    flags: Option<Flags>,
    context: Option<&'a [u8]>,
    /// The whole TLVs.
    digest_tlv: Option<Tlv<'a>>,
    hmac_tlv: Option<Tlv<'a>>,
    pad_tlv: Option<Tlv<'a>>,
}

/// Where the TLVs start.
const TLVS_AT: u64 = 12;

impl<'a> Frame<'a> {
    /// Parses and checks the frame at the start of `bytes`; returns it and what follows it.
    ///
    /// Linear in the frame's size; allocates nothing.
    ///
    /// # Errors
    /// The first breach in the order of spec/frame.md, with the offset of the offending field.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut reader = Reader::new(bytes, 0);
        if *reader.take_array("magic")? != MAGIC {
            return Err(Error::new(ErrorKind::Magic, 0));
        }
        reader.take_array::<8>("ctx")?;

        let mut fields = Fields::default();
        let mut after = None;
        loop {
            let tlv = next_tlv(&mut reader, after)?;
            fields.note(tlv);
            if tlv.tlv_type == TlvType::END {
                break;
            }
            after = Some(tlv.tlv_type);
        }
        let (config_raw, config_at) = fields.config()?;

        // Compared in u64 before any conversion, so that 32-bit targets see the same error.
        let payload_at = reader.offset();
        let payload_len = config_raw.payload_len.get();
        let room = reader.rest().len().saturating_sub(2);
        let n = fits("payload", payload_at, payload_len, room)?;
        let payload = reader.take("payload", n as u64)?;
        let crc_at = reader.offset();
        let stored = u16::from_be_bytes(*reader.take_array("CRC-16")?);
        let rest = reader.rest();
        let frame_len = bytes.len().saturating_sub(rest.len());
        let slice = |from: u64, to: u64| {
            let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
            range.and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default()
        };
        let computed = crc16(slice(4, crc_at));
        if stored != computed {
            return Err(Error::new(ErrorKind::Crc { stored, computed }, crc_at));
        }

        let frame = Self {
            bytes: bytes.get(..frame_len).unwrap_or_default(),
            body: slice(4, fields.envelope_at),
            tlvs: slice(TLVS_AT, payload_at),
            payload,
            config: Config::from_raw(config_raw, config_at)?,
            flags: fields.flags()?,
            context: fields.context.map(|tlv| tlv.value),
            digest_tlv: fields.digest,
            hmac_tlv: fields.hmac,
            pad_tlv: fields.pad,
        };
        fields.check_envelope_values()?;
        frame.check_context_hash(fields.context)?;
        frame.check_digest(fields.envelope_at)?;
        frame.check_flags(fields.flags_place)?;
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
        ContextHash(self.body.first_chunk().copied().unwrap_or_default())
    }

    /// CONFIG_V1.
    pub const fn config(&self) -> &Config {
        &self.config
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
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Where the payload starts, in bytes from the frame's start.
    pub const fn payload_offset(&self) -> u64 {
        TLVS_AT.saturating_add(self.tlvs.len() as u64)
    }

    /// The TLVs in order, END left out. Unknown types that may be skipped are among them.
    pub const fn tlvs(&self) -> Tlvs<'a> {
        Tlvs::new(self.tlvs, TLVS_AT)
    }

    /// The TLV of one type; see [`TlvType`].
    pub fn tlv(&self, tlv_type: u8) -> Option<Tlv<'a>> {
        self.tlvs().find(|tlv| tlv.tlv_type == tlv_type)
    }

    /// CONTEXT_V1: the canonical context JSON, which hashes to [`ctx`](Self::ctx). Whether it is canonical is
    /// checked by [`context`](Self::context) (feature `alloc`).
    pub const fn context_json(&self) -> Option<&'a [u8]> {
        self.context
    }

    /// DIGEST_V1: SHA-256 over the frame without its digest, MAC and padding. Checked.
    pub fn digest(&self) -> Option<&'a [u8; 32]> {
        self.digest_tlv.and_then(hash_of).map(|raw| &raw.hash)
    }

    pub(crate) const fn own_flags(&self) -> Option<Flags> {
        self.flags
    }

    pub(crate) fn mac_bytes(&self) -> Option<&'a [u8; 32]> {
        self.hmac_tlv.and_then(hash_of).map(|raw| &raw.hash)
    }

    /// Bytes of padding in PAD_V1, if there is one.
    pub fn padding(&self) -> Option<usize> {
        self.pad_tlv.map(|tlv| tlv.value.len())
    }

    /// The routing key: BLAKE2b-256 over everything but the CRC.
    pub fn routing_key(&self) -> RoutingKey {
        let covered = self.bytes.len().saturating_sub(2);
        RoutingKey::of(self.bytes.get(..covered).unwrap_or_default())
    }

    /// Whether both frames come from the same context: the whole contexts are equal where both carry
    /// CONTEXT_V1, and the 64-bit hashes where one does not.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`].
    pub fn same_context(&self, other: &Self) -> Result<()> {
        self.check_context(other.ctx(), other.context)
    }

    /// The same with a context that no frame carries: its hash, and its canonical JSON if it is at hand.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`].
    pub fn check_context(&self, ctx: ContextHash, canonical_json: Option<&[u8]>) -> Result<()> {
        let same = match (self.context, canonical_json) {
            (Some(own), Some(other)) => own == other,
            _ => self.ctx() == ctx,
        };
        if same { Ok(()) } else { Err(Error::caller(ErrorKind::ContextDiffers)) }
    }

    /// Checks that the frame is of `kind` and that its TLVs of 03 to 7F are among `allowed`.
    pub(crate) fn check_kind(&self, kind: Kind, allowed: &[u8]) -> Result<()> {
        if self.kind() != kind {
            let kind = ErrorKind::Kind { needed: kind.0, found: self.kind().0 };
            return Err(Error::new(kind, self.config_place()));
        }
        for tlv in self.tlvs() {
            if (0x03..=0x7F).contains(&tlv.tlv_type) && !allowed.contains(&tlv.tlv_type) {
                let kind = ErrorKind::ForeignTlv { tlv: tlv.tlv_type, kind: kind.0 };
                return Err(Error::new(kind, tlv.offset));
            }
        }
        Ok(())
    }

    /// Where CONFIG_V1's value starts: it is the first TLV.
    pub(crate) const fn config_place(&self) -> u64 {
        TLVS_AT.saturating_add(3)
    }

    /// Where FLAGS_V1's value starts, or where FLAGS_V1 would stand.
    pub(crate) const fn flags_place(&self) -> u64 {
        let after_config = TLVS_AT.saturating_add(27);
        if self.flags.is_some() { after_config.saturating_add(3) } else { after_config }
    }

    /// HMAC_V1's hash and where it starts.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac(&self) -> Option<(&'a [u8; 32], u64)> {
        let tlv = self.hmac_tlv?;
        Some((&hash_of(tlv)?.hash, tlv.value_offset().saturating_add(1)))
    }

    /// Where HMAC_V1 stands or would stand.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac_place(&self) -> u64 {
        self.tlvs().find(|tlv| tlv.tlv_type >= TlvType::HMAC).map_or(self.end_place(), |tlv| tlv.offset)
    }

    #[cfg(feature = "hmac")]
    const fn end_place(&self) -> u64 {
        self.payload_offset().saturating_sub(3)
    }

    /// What HMAC_V1 covers: ctx, every TLV but HMAC_V1 and END, the payload.
    #[cfg(feature = "hmac")]
    pub(crate) fn hmac_input(&self) -> [&'a [u8]; 4] {
        let whole = |tlv: Option<Tlv<'a>>| {
            let bytes = tlv.and_then(|tlv| {
                let start = usize::try_from(tlv.offset).ok()?;
                self.bytes.get(start..start.checked_add(tlv.value.len().checked_add(3)?)?)
            });
            bytes.unwrap_or_default()
        };
        [self.body, whole(self.digest_tlv), whole(self.pad_tlv), self.payload]
    }

    fn check_context_hash(&self, context: Option<Tlv<'a>>) -> Result<()> {
        match context {
            Some(tlv) if ContextHash::of(tlv.value) != self.ctx() => {
                Err(Error::new(ErrorKind::ContextHash, tlv.value_offset()))
            }
            _ => Ok(()),
        }
    }

    fn check_digest(&self, place: u64) -> Result<()> {
        let Some(tlv) = self.digest_tlv else {
            // magic and CRC are the 6 bytes that do not count.
            let size = (self.bytes.len() as u64).saturating_sub(6);
            return if size > DIGEST_FREE_SIZE || self.kind() == Kind::LEDGER_CHUNK {
                Err(Error::new(ErrorKind::DigestMissing, place))
            } else {
                Ok(())
            };
        };
        let matches = hash_of(tlv).is_some_and(|raw| raw.hash == sha256(&[self.body, self.payload]));
        if matches {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Digest, tlv.value_offset().saturating_add(1)))
        }
    }

    fn check_flags(&self, place: u64) -> Result<()> {
        let hmac = self.hmac_tlv.is_some();
        if self.flags().authenticated() == hmac {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::FlagsHmac { hmac }, place))
        }
    }
}

fn hash_of(tlv: Tlv<'_>) -> Option<&HashRaw> {
    HashRaw::ref_from_bytes(tlv.value).ok()
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
        Some(rule) if !rule.allows(len) => {
            let kind = ErrorKind::TlvLength {
                tlv: tlv_type,
                needed: u32::from(rule.bytes()),
                found: u32::from(len),
            };
            Err(Error::new(kind, offset.saturating_add(1)))
        }
        None if tlv_type < 0x80 => refuse(ErrorKind::CriticalTlv { found: tlv_type }),
        None if tlv_type > 0xEF => refuse(ErrorKind::ReservedTlv { found: tlv_type }),
        _ => Ok(Tlv { tlv_type, value, offset }),
    }
}

/// The envelope's TLVs, as the walk finds them.
#[derive(Default)]
struct Fields<'a> {
    config: Option<Tlv<'a>>,
    flags: Option<Tlv<'a>>,
    context: Option<Tlv<'a>>,
    digest: Option<Tlv<'a>>,
    hmac: Option<Tlv<'a>>,
    pad: Option<Tlv<'a>>,
    /// FLAGS_V1's value, or where FLAGS_V1 would stand.
    flags_place: u64,
    /// Where DIGEST_V1 stands or would stand: the first TLV of F0 and above.
    envelope_at: u64,
}

impl<'a> Fields<'a> {
    fn note(&mut self, tlv: Tlv<'a>) {
        match tlv.tlv_type {
            TlvType::CONFIG => {
                self.config = Some(tlv);
                self.flags_place = tlv.value_offset().saturating_add(tlv.value.len() as u64);
            }
            TlvType::FLAGS => {
                self.flags = Some(tlv);
                self.flags_place = tlv.value_offset();
            }
            TlvType::CONTEXT => self.context = Some(tlv),
            TlvType::DIGEST => self.digest = Some(tlv),
            TlvType::HMAC => self.hmac = Some(tlv),
            TlvType::PAD => self.pad = Some(tlv),
            _ => {}
        }
        if tlv.tlv_type >= TlvType::DIGEST && self.envelope_at == 0 {
            self.envelope_at = tlv.offset;
        }
    }

    /// The walk has seen to it that CONFIG_V1 is there, with its length.
    fn config(&self) -> Result<(&'a ConfigRaw, u64)> {
        let tlv =
            self.config.ok_or(Error::new(ErrorKind::ConfigNotFirst { found: TlvType::END }, TLVS_AT))?;
        let raw = ConfigRaw::ref_from_bytes(tlv.value);
        Ok((
            raw.map_err(|_| Error::new(ErrorKind::TlvMissing { tlv: tlv.tlv_type }, tlv.offset))?,
            tlv.value_offset(),
        ))
    }

    fn flags(&self) -> Result<Option<Flags>> {
        let Some((tlv, raw)) =
            self.flags.and_then(|tlv| Some((tlv, FlagsRaw::ref_from_bytes(tlv.value).ok()?)))
        else {
            return Ok(None);
        };
        Flags::from_raw(raw, tlv.value_offset()).map(Some)
    }

    /// Versions 01 and zero padding.
    fn check_envelope_values(&self) -> Result<()> {
        for tlv in [self.digest, self.hmac].into_iter().flatten() {
            if let Some(raw) = hash_of(tlv)
                && raw.version != HASH_VERSION
            {
                let kind = ErrorKind::ValueVersion { tlv: tlv.tlv_type, found: raw.version };
                return Err(Error::new(kind, tlv.value_offset()));
            }
        }
        match self.pad.and_then(|tlv| Some((tlv, tlv.value.iter().position(|&byte| byte != 0)?))) {
            Some((tlv, at)) => {
                Err(Error::new(ErrorKind::Padding, tlv.value_offset().saturating_add(at as u64)))
            }
            None => Ok(()),
        }
    }
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

//! Writing frames (spec/frame.md). The writer refuses what the reader would reject.
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::IntoBytes;

use super::MAGIC;
use super::config::{Config, Flags, Kind};
use super::context::ContextHash;
use super::crc::crc16;
use super::digest::{HashRaw, sha256};
use super::intact::DIGEST_FREE_SIZE;
#[cfg(feature = "hmac")]
use super::mac::Key;
use super::tlv::{TlvType, length_rule};
use super::view::Frame;
use crate::error::{Error, ErrorKind, Result};

/// As many TLVs as a frame can hold besides those the builder writes itself; see [`Frame::to_builder`].
pub const ALL_TLVS: usize = 128;

/// Bytes of a DIGEST_V1 or HMAC_V1 TLV.
const HASH_TLV: u64 = 36;

/// A value that is not in memory: [`FrameBuilder`] has it written where it stands in the frame, so that nobody holds it
/// twice. `Sync`, so that a builder is what its values are.
pub(crate) trait Part: Sync {
    /// Its length in bytes.
    fn len(&self) -> usize;
    /// Writes it to `out`, which has that length.
    ///
    /// # Errors
    /// Whatever the value cannot say; what `out` holds then means nothing.
    fn write(&self, out: &mut [u8]) -> Result<()>;
}

/// A TLV's value, or the payload.
#[derive(Clone, Copy)]
enum Source<'a> {
    Bytes(&'a [u8]),
    Part(&'a dyn Part),
}

impl Source<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Part(part) => part.len(),
        }
    }

    /// `out` has this length.
    fn write(&self, out: &mut [u8]) -> Result<()> {
        match self {
            Self::Bytes(bytes) => {
                if let Some(out) = out.get_mut(..bytes.len()) {
                    out.copy_from_slice(bytes);
                }
                Ok(())
            }
            Self::Part(part) => part.write(out),
        }
    }
}

impl core::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Part(part) => write!(f, "({} bytes to come)", part.len()),
        }
    }
}

/// A frame to write: needs no allocator; the TLVs and the payload stay where they are until
/// [`encode_into`](Self::encode_into) copies them.
///
/// `N` is how many TLVs can be added, besides CONFIG, FLAGS, DIGEST, HMAC, PAD and END, which the builder
/// writes itself.
#[derive(Clone, Debug)]
pub struct FrameBuilder<'a, const N: usize = 8> {
    ctx: ContextHash,
    config: Config,
    flags: Option<Flags>,
    tlvs: heapless::Vec<(u8, Source<'a>), N>,
    payload: Source<'a>,
    digest: DigestRule,
    pad: PadRule,
    seal: Seal<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DigestRule {
    WhereMandatory,
    Always,
}

#[derive(Clone, Copy, Debug)]
enum PadRule {
    None,
    Bytes(u16),
    /// Align the payload to this many bytes from the frame's start.
    Align(u16),
}

#[derive(Clone, Copy, Debug)]
enum Seal<'a> {
    None,
    /// The MAC of the frame that the builder was made from.
    Kept(&'a [u8; 32]),
    #[cfg(feature = "hmac")]
    Sign(&'a Key),
}

/// Which optional parts a frame gets, and its length.
#[derive(Clone, Copy, Debug)]
struct Plan {
    digest: bool,
    pad: Option<u16>,
    len: u64,
}

impl<'a> FrameBuilder<'a> {
    /// A frame with `config` and `payload`; `config.payload_len` is taken from the payload. Up to 8 TLVs can be added.
    pub fn new(ctx: ContextHash, config: Config, payload: &'a [u8]) -> Self {
        Self::with_capacity(ctx, config, payload)
    }
}

impl<'a, const N: usize> FrameBuilder<'a, N> {
    /// The same with room for `N` TLVs.
    pub fn with_capacity(ctx: ContextHash, config: Config, payload: &'a [u8]) -> Self {
        Self::with_payload(ctx, config, Source::Bytes(payload))
    }

    /// The same with a payload that is written where it stands.
    pub(crate) fn with_part(ctx: ContextHash, config: Config, payload: &'a dyn Part) -> Self {
        Self::with_payload(ctx, config, Source::Part(payload))
    }

    fn with_payload(ctx: ContextHash, config: Config, payload: Source<'a>) -> Self {
        Self {
            ctx,
            config: Config { payload_len: payload.len() as u64, ..config },
            flags: Some(Flags::default()),
            tlvs: heapless::Vec::new(),
            payload,
            digest: DigestRule::WhereMandatory,
            pad: PadRule::None,
            seal: Seal::None,
        }
    }
}

impl<'a> Frame<'a> {
    /// A builder that writes this very frame again, byte for byte, its MAC included; after any change the MAC is
    /// dropped.
    pub fn to_builder(&self) -> FrameBuilder<'a, ALL_TLVS> {
        let mut tlvs = heapless::Vec::new();
        for tlv in self.tlvs() {
            if !is_builders_own(tlv.tlv_type) {
                // Types strictly increase, so there are fewer than ALL_TLVS of them.
                let _ = tlvs.push((tlv.tlv_type, Source::Bytes(tlv.value)));
            }
        }
        FrameBuilder {
            ctx: self.ctx(),
            config: *self.config(),
            flags: self.own_flags(),
            tlvs,
            payload: Source::Bytes(self.payload()),
            digest: if self.digest().is_some() { DigestRule::Always } else { DigestRule::WhereMandatory },
            pad: match self.padding().map(u16::try_from) {
                Some(Ok(len)) => PadRule::Bytes(len),
                _ => PadRule::None,
            },
            seal: self.mac_bytes().map_or(Seal::None, Seal::Kept),
        }
    }
}

const fn is_builders_own(tlv_type: u8) -> bool {
    use TlvType as T;
    matches!(tlv_type, T::CONFIG | T::FLAGS | T::DIGEST | T::HMAC | T::PAD | T::END)
}

impl<'a, const N: usize> FrameBuilder<'a, N> {
    /// Adds a TLV. Types may come in any order; the frame has them in increasing order.
    ///
    /// # Errors
    /// [`ErrorKind::TlvOrder`] for a type added before or written by the builder itself; [`ErrorKind::CriticalTlv`]
    /// and [`ErrorKind::ReservedTlv`] for types no reader accepts; [`ErrorKind::TlvLength`] for a length its type
    /// does not have; [`ErrorKind::TooLarge`] over 65,535 bytes or `N` TLVs; [`ErrorKind::ContextHash`] for a context that
    /// does not hash to the frame's ctx.
    pub fn tlv(self, tlv_type: u8, value: &'a [u8]) -> Result<Self> {
        self.check_new(tlv_type, value.len())?;
        if tlv_type == TlvType::CONTEXT && ContextHash::of(value) != self.ctx {
            return Err(Error::caller(ErrorKind::ContextHash));
        }
        self.insert(tlv_type, Source::Bytes(value))
    }

    /// The same with a value that is written where it stands.
    pub(crate) fn part(self, tlv_type: u8, value: &'a dyn Part) -> Result<Self> {
        self.check_new(tlv_type, value.len())?;
        self.insert(tlv_type, Source::Part(value))
    }

    /// Adds CONTEXT_V1, whose hash is the one that the builder was made with.
    pub(crate) fn hashed_context(self, canonical_json: &'a [u8]) -> Result<Self> {
        self.check_new(TlvType::CONTEXT, canonical_json.len())?;
        self.insert(TlvType::CONTEXT, Source::Bytes(canonical_json))
    }

    /// Whether a TLV of that type and length can be added.
    fn check_new(&self, tlv_type: u8, len: usize) -> Result<()> {
        let refuse = |kind| Err(Error::caller(kind));
        if is_builders_own(tlv_type) || self.tlvs.iter().any(|&(other, _)| other == tlv_type) {
            return refuse(ErrorKind::TlvOrder { found: tlv_type, after: tlv_type });
        }
        let found = len as u64;
        let Ok(len) = u16::try_from(len) else {
            return refuse(ErrorKind::TooLarge { field: "a TLV value", max: 65_535, found });
        };
        match length_rule(tlv_type) {
            Some(rule) if !rule.allows(len) => {
                let needed = u32::from(rule.bytes());
                refuse(ErrorKind::TlvLength { tlv: tlv_type, needed, found: u32::from(len) })
            }
            None if tlv_type < 0x80 => refuse(ErrorKind::CriticalTlv { found: tlv_type }),
            None if tlv_type > 0xEF => refuse(ErrorKind::ReservedTlv { found: tlv_type }),
            _ => Ok(()),
        }
    }

    fn insert(mut self, tlv_type: u8, value: Source<'a>) -> Result<Self> {
        let at = self.tlvs.iter().take_while(|&&(other, _)| other < tlv_type).count();
        if self.tlvs.insert(at, (tlv_type, value)).is_err() {
            let (field, max) = ("the number of TLVs", N as u64);
            let found = max.saturating_add(1);
            return Err(Error::caller(ErrorKind::TooLarge { field, max, found }));
        }
        Ok(self.changed())
    }

    /// Adds CONTEXT_V1: the canonical JSON that hashes to the frame's ctx.
    ///
    /// # Errors
    /// As [`tlv`](Self::tlv).
    pub fn context_json(self, canonical_json: &'a [u8]) -> Result<Self> {
        self.tlv(TlvType::CONTEXT, canonical_json)
    }

    /// The same if the whole context is known; nothing if all there is of it is the frame's ctx.
    ///
    /// # Errors
    /// As [`tlv`](Self::tlv).
    pub fn known_context(self, canonical_json: Option<&'a [u8]>) -> Result<Self> {
        match canonical_json {
            Some(json) => self.context_json(json),
            None => Ok(self),
        }
    }

    /// Sets ALERT and BASELINE.
    #[must_use]
    pub fn drift_flags(mut self, alert: bool, baseline: bool) -> Self {
        self.flags = Some(self.flags.unwrap_or_default().with_drift(alert, baseline));
        self.changed()
    }

    /// Writes DIGEST_V1 also where it is not mandatory.
    #[must_use]
    pub fn digest(mut self) -> Self {
        self.digest = DigestRule::Always;
        self.changed()
    }

    /// Pads the header so that the payload starts at a multiple of `alignment` bytes from the frame's start;
    /// 64 serves files that are mapped into memory. 0 and 1 mean no padding.
    #[must_use]
    pub fn align_payload(mut self, alignment: u16) -> Self {
        self.pad = PadRule::Align(alignment);
        self.changed()
    }

    /// Signs the frame with `key` when it is encoded.
    #[cfg(feature = "hmac")]
    #[must_use]
    pub fn sign(mut self, key: &'a Key) -> Self {
        self.seal = Seal::Sign(key);
        self.flags = Some(self.flags.unwrap_or_default().with_authenticated(true));
        self
    }

    /// The frame's length in bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] if it overflows 64 bits, [`ErrorKind::TooLarge`] if it overflows `usize`.
    pub fn encoded_len(&self) -> Result<usize> {
        let len = self.plan()?.len;
        let too_large =
            ErrorKind::TooLarge { field: "the frame's length", max: usize::MAX as u64, found: len };
        usize::try_from(len).map_err(|_| Error::caller(too_large))
    }

    /// Writes the frame to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] with the length needed; the kinds of [`encoded_len`](Self::encoded_len);
    /// [`ErrorKind::DeltaQ16`] for a step that does not go with the element. What `out` holds after an error means nothing.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize> {
        let plan = self.plan()?;
        let config = self.config.to_raw()?;
        let needed = plan.len;
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available: out.len() as u64 });
        let len = usize::try_from(needed).map_err(|_| too_small)?;
        let out = out.get_mut(..len).ok_or(too_small)?;

        // The payload comes first: digest and MAC are of the bytes that stand in the frame.
        let payload_end = len.saturating_sub(2);
        let payload_at = payload_end.saturating_sub(self.payload.len());
        self.payload.write(out.get_mut(payload_at..payload_end).ok_or(too_small)?)?;

        let mut cursor = Cursor { out, at: 0 };
        cursor.put(&MAGIC)?;
        cursor.put(&self.ctx.0)?;
        cursor.put_tlv(TlvType::CONFIG, config.as_bytes())?;
        if let Some(flags) = self.flags {
            cursor.put_tlv(TlvType::FLAGS, flags.to_raw().as_bytes())?;
        }
        for &(tlv_type, value) in &self.tlvs {
            cursor.put_head(tlv_type, value.len())?;
            value.write(cursor.skip(value.len())?)?;
        }
        if plan.digest {
            let hash = sha256(&[cursor.written(4), cursor.range(payload_at, payload_end)]);
            cursor.put_tlv(TlvType::DIGEST, HashRaw::new(hash).as_bytes())?;
        }
        match self.seal {
            Seal::None => {}
            Seal::Kept(mac) => cursor.put_tlv(TlvType::HMAC, HashRaw::new(*mac).as_bytes())?,
            #[cfg(feature = "hmac")]
            Seal::Sign(key) => {
                // PAD_V1 follows HMAC_V1 and is covered by it, so it is written first, where it will stand.
                let covered_end = cursor.at;
                cursor.at = covered_end.saturating_add(HASH_TLV as usize);
                let pad_at = cursor.at;
                cursor.put_pad(plan.pad)?;
                let (body, pad) = (cursor.range(4, covered_end), cursor.range(pad_at, cursor.at));
                let mac = key.sign(&[body, pad, cursor.range(payload_at, payload_end)]);
                cursor.at = covered_end;
                cursor.put_tlv(TlvType::HMAC, HashRaw::new(mac).as_bytes())?;
            }
        }
        cursor.put_pad(plan.pad)?;
        cursor.put_tlv(TlvType::END, &[])?;
        cursor.skip(self.payload.len())?;
        let crc = crc16(cursor.written(4));
        cursor.put(&crc.to_be_bytes())?;
        Ok(cursor.at)
    }

    /// The frame, in a vector of its own.
    ///
    /// # Errors
    /// As [`encode_into`](Self::encode_into), but for the buffer.
    #[cfg(feature = "alloc")]
    pub fn encode(&self) -> Result<alloc::vec::Vec<u8>> {
        let mut out = alloc::vec![0; self.encoded_len()?];
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// What was signed is no longer what is there.
    fn changed(mut self) -> Self {
        if let Seal::Kept(_) = self.seal {
            self.seal = Seal::None;
            self.flags = self.flags.map(|flags| flags.with_authenticated(false));
        }
        self
    }

    fn plan(&self) -> Result<Plan> {
        let hmac = !matches!(self.seal, Seal::None);
        let optional = |there: bool, len: u64| if there { len } else { 0 };
        let mut header: u64 = 12;
        let flags = optional(self.flags.is_some(), 7);
        let lens = self.tlvs.iter().map(|&(_, value)| (value.len() as u64).saturating_add(3));
        for len in lens.chain([27, flags, optional(hmac, HASH_TLV), 3]) {
            header = header.checked_add(len).ok_or(size_error())?;
        }

        let without = self.lay_out(header, false)?;
        let mandatory =
            self.config.kind == Kind::LEDGER_CHUNK || without.len.saturating_sub(6) > DIGEST_FREE_SIZE;
        if mandatory || self.digest == DigestRule::Always {
            let header = header.checked_add(HASH_TLV).ok_or(size_error())?;
            self.lay_out(header, true)
        } else {
            Ok(without)
        }
    }

    /// Adds padding, payload and CRC to a header of `header` bytes.
    fn lay_out(&self, header: u64, digest: bool) -> Result<Plan> {
        let pad = match self.pad {
            PadRule::None => None,
            PadRule::Bytes(len) => Some(len),
            PadRule::Align(alignment) => padding_for(header, alignment),
        };
        let len = [pad.map_or(0, |pad| u64::from(pad).saturating_add(3)), self.payload.len() as u64, 2]
            .into_iter()
            .try_fold(header, u64::checked_add)
            .ok_or(size_error())?;
        Ok(Plan { digest, pad, len })
    }
}

/// The value length of the PAD_V1 that brings a header of `header` bytes to a multiple of `alignment`.
fn padding_for(header: u64, alignment: u16) -> Option<u16> {
    let alignment = u64::from(alignment);
    if header.checked_rem(alignment)? == 0 {
        return None;
    }
    let over = header.saturating_add(3).checked_rem(alignment)?;
    let pad = if over == 0 { 0 } else { alignment.saturating_sub(over) };
    u16::try_from(pad).ok()
}

fn size_error() -> Error {
    Error::caller(ErrorKind::Size { field: "the frame" })
}

/// Writes into a buffer that was measured beforehand; running over would be a bug of `plan`, and is an error.
struct Cursor<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.skip(bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn put_tlv(&mut self, tlv_type: u8, value: &[u8]) -> Result<()> {
        self.put_head(tlv_type, value.len())?;
        self.put(value)
    }

    fn put_head(&mut self, tlv_type: u8, len: usize) -> Result<()> {
        let max = u64::from(u16::MAX);
        let too_large = ErrorKind::TooLarge { field: "a TLV value", max, found: len as u64 };
        let [hi, lo] = u16::try_from(len).map_err(|_| Error::caller(too_large))?.to_be_bytes();
        self.put(&[tlv_type, hi, lo])
    }

    fn put_pad(&mut self, pad: Option<u16>) -> Result<()> {
        if let Some(len) = pad {
            let [hi, lo] = len.to_be_bytes();
            self.put(&[TlvType::PAD, hi, lo])?;
            self.skip(usize::from(len))?.fill(0);
        }
        Ok(())
    }

    fn skip(&mut self, len: usize) -> Result<&mut [u8]> {
        let end = self.at.saturating_add(len);
        let available = self.out.len() as u64;
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed: end as u64, available });
        let range = self.out.get_mut(self.at..end).ok_or(too_small)?;
        self.at = end;
        Ok(range)
    }

    fn written(&self, from: usize) -> &[u8] {
        self.range(from, self.at)
    }

    fn range(&self, from: usize, to: usize) -> &[u8] {
        self.out.get(from..to).unwrap_or_default()
    }
}

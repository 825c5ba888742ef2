//! A frame's header on its own: what it claims, and where the next frame starts.
#![deny(clippy::arithmetic_side_effects)]

use super::MAGIC;
#[cfg(feature = "std")]
use super::config::ConfigRaw;
use super::config::{Config, Kind};
use super::context::ContextHash;
use super::digest::HashRaw;
#[cfg(feature = "std")]
use super::intact::read_magic_and_ctx;
use super::intact::{CONFIG_VALUE_AT, Fields, Places, TLVS_AT, hash_at};
#[cfg(any(feature = "std", feature = "hmac"))]
use super::tlv::TlvType;
use super::tlv::{Tlv, Tlvs};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::Reader;

/// The bytes from magic through END. Structure and CONFIG_V1 are checked, nothing else is: neither CRC nor digest,
/// which cover the payload. A walk over many frames reads headers and skips payloads; what a header
/// says is a claim until its whole frame was parsed.
#[derive(Clone, Copy, Debug)]
pub struct FrameHeader<'a> {
    /// From magic through END.
    bytes: &'a [u8],
    context: Option<&'a [u8]>,
    config: Config,
    places: Places,
}

impl<'a> FrameHeader<'a> {
    /// Reads the header at the start of `bytes`, which may end anywhere after it.
    ///
    /// # Errors
    /// Those of steps 1 to 4 and 7 of spec/frame.md, "Order of checks"; [`ErrorKind::Truncated`] where `bytes` ends
    /// within the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let fields = Fields::read_from(&mut Reader::new(bytes, 0))?;
        let config = Config::from_raw(fields.config, CONFIG_VALUE_AT)?;
        let bytes = bytes.get(..fields.places.payload as usize).unwrap_or_default();
        Ok(Self { bytes, context: fields.context, config, places: fields.places })
    }

    /// The lengths of the header at the start of `bytes` and of the payload it announces. Steps 1 to 4 are
    /// checked, and so is nothing of CONFIG_V1.
    #[cfg(feature = "alloc")]
    pub(crate) fn measure(bytes: &'a [u8]) -> Result<(u64, u64)> {
        let fields = Fields::read_from(&mut Reader::new(bytes, 0))?;
        Ok((u64::from(fields.places.payload), fields.config.payload_len.get()))
    }

    /// The length of the frame at the start of `bytes`, of whatever TLVs it consists: those of a later version too.
    /// Only what is needed to find its end is checked.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] within the header; any other kind if this is no frame.
    #[cfg(feature = "std")]
    pub(crate) fn measure_unknown(bytes: &[u8]) -> Result<u64> {
        let mut reader = Reader::new(bytes, 0);
        read_magic_and_ctx(&mut reader)?;
        let mut payload_len = None;
        // Types increase, so there are no more than this.
        for _ in 0..=u8::MAX {
            let at = reader.offset();
            let &[tlv_type, hi, lo] = reader.take_array("TLV header")?;
            let value = reader.take("TLV value", u64::from(u16::from_be_bytes([hi, lo])))?;
            match (tlv_type, payload_len) {
                (TlvType::CONFIG, None) if value.len() == size_of::<ConfigRaw>() => {
                    payload_len = value.last_chunk().map(|&len| u64::from_be_bytes(len));
                }
                (TlvType::END, Some(payload)) if value.is_empty() => {
                    let len = reader.offset().checked_add(payload).and_then(|len| len.checked_add(2));
                    return len.ok_or(Error::new(ErrorKind::Size { field: "the frame" }, at));
                }
                (found, None) => return Err(Error::new(ErrorKind::ConfigNotFirst { found }, at)),
                _ => {}
            }
        }
        Err(Error::new(ErrorKind::TlvMissing { tlv: TlvType::END }, reader.offset()))
    }

    /// The header of a checked frame.
    pub(super) const fn of_frame(
        bytes: &'a [u8],
        context: Option<&'a [u8]>,
        config: Config,
        places: Places,
    ) -> Self {
        Self { bytes, context, config, places }
    }

    /// The header's length in bytes: where the payload starts.
    pub const fn len(&self) -> u64 {
        self.places.payload as u64
    }

    /// Never: a header has a magic.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The length of the whole frame, through its CRC.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] at the payload's start if it overflows 64 bits.
    pub fn frame_len(&self) -> Result<u64> {
        let len = self.len().checked_add(self.config.payload_len).and_then(|len| len.checked_add(2));
        len.ok_or(Error::new(ErrorKind::Size { field: "the frame" }, self.len()))
    }

    /// The context hash it claims.
    pub fn ctx(&self) -> ContextHash {
        ContextHash(self.bytes.get(4..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default())
    }

    /// CONFIG_V1.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// CONTEXT_V1, whose hash was not compared.
    pub const fn context_json(&self) -> Option<&'a [u8]> {
        self.context
    }

    /// The digest that DIGEST_V1 claims.
    pub fn claimed_digest(&self) -> Option<&'a [u8; 32]> {
        hash_at(self.bytes, self.places.digest).map(HashRaw::hash)
    }

    /// Whether HMAC_V1 is there, under whatever key.
    pub const fn has_hmac(&self) -> bool {
        self.places.hmac != 0
    }

    /// The TLVs in order, END left out.
    pub fn tlvs(&self) -> Tlvs<'a> {
        Tlvs::new(self.bytes.get(TLVS_AT as usize..).unwrap_or_default(), u64::from(TLVS_AT))
    }

    /// The TLV of one type.
    pub fn tlv(&self, tlv_type: u8) -> Option<Tlv<'a>> {
        self.tlvs().find(|tlv| tlv.tlv_type == tlv_type)
    }

    /// Where the TLV of one type stands or would stand.
    pub(crate) fn place_of(&self, tlv_type: u8) -> u64 {
        let end = self.len().saturating_sub(3);
        self.tlvs().find(|tlv| tlv.tlv_type >= tlv_type).map_or(end, |tlv| tlv.offset)
    }

    /// Where CONFIG_V1's value starts: it is the first TLV.
    pub(crate) const fn config_place(&self) -> u64 {
        CONFIG_VALUE_AT
    }

    /// Checks that the frame is of `kind`.
    pub(super) fn check_kind(&self, kind: Kind) -> Result<()> {
        let found = self.config.kind;
        if found == kind {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Kind { needed: kind.0, found: found.0 }, self.config_place()))
    }

    /// Checks that the TLVs of 03 to 7F are among `allowed`.
    pub(super) fn check_tlvs(&self, allowed: &[u8]) -> Result<()> {
        for tlv in self.tlvs() {
            if (0x03..=0x7F).contains(&tlv.tlv_type) && !allowed.contains(&tlv.tlv_type) {
                let kind = ErrorKind::ForeignTlv { tlv: tlv.tlv_type, kind: self.config.kind.0 };
                return Err(Error::new(kind, tlv.offset));
            }
        }
        Ok(())
    }

    /// The one TLV of 03 to 7F that a frame of `kind` has to have.
    pub(crate) fn only_tlv(&self, kind: Kind, tlv_type: u8) -> Result<Tlv<'a>> {
        self.check_kind(kind)?;
        let missing = Error::new(ErrorKind::TlvMissing { tlv: tlv_type }, self.place_of(tlv_type));
        let tlv = self.tlv(tlv_type).ok_or(missing)?;
        self.check_tlvs(&[tlv_type])?;
        Ok(tlv)
    }

    /// Checks that both headers come from one context, byte by byte: the same CONTEXT_V1, or none in both, and the same
    /// ctx.
    pub(crate) fn check_identical_context(&self, ctx: ContextHash, json: Option<&[u8]>) -> Result<()> {
        if self.context == json && self.ctx() == ctx {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::ContextDiffers, MAGIC.len() as u64))
        }
    }

    /// Where HMAC_V1 stands or would stand.
    #[cfg(any(feature = "std", feature = "hmac"))]
    pub(crate) fn hmac_place(&self) -> u64 {
        self.place_of(TlvType::HMAC)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use crate::frame::{Element, Frame, FrameBuilder, TlvType};
    use alloc::vec::Vec;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let json = br#"{"dim":0,"model_id":"","pi_id":"","space_id":""}"#;
        let config = Config::new(Kind::LEDGER_CHUNK, Element::U8, 1, 3, 0);
        let builder = FrameBuilder::new(ContextHash::of(json), config, payload)
            .context_json(json)
            .and_then(|builder| builder.tlv(TlvType::LEDGER_CHUNK, &[0; 24]));
        let builder = builder.unwrap();
        let mut out = alloc::vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut out).unwrap();
        out
    }

    #[test]
    fn says_what_the_whole_frame_says() {
        let bytes = frame(&[1, 2, 3]);
        let frame = Frame::parse_exact(&bytes).unwrap();
        let header = FrameHeader::parse(&bytes).unwrap();
        assert_eq!(header.len(), frame.payload_offset());
        assert_eq!(header.frame_len().unwrap(), bytes.len() as u64);
        assert_eq!((header.ctx(), header.config()), (frame.ctx(), frame.config()));
        assert_eq!((header.claimed_digest(), header.context_json()), (frame.digest(), frame.context_json()));
        assert!(header.tlvs().eq(frame.tlvs()));
        assert!(!header.has_hmac());
        // CONFIG 27, FLAGS 7, LEDGER_CHUNK 27, CONTEXT 51, DIGEST 36, from byte 12.
        assert_eq!(header.place_of(TlvType::HMAC), 12 + 27 + 7 + 27 + 51 + 36);
        assert_eq!(header.place_of(TlvType::MIRROR), 12 + 27 + 7 + 27);
    }

    #[test]
    fn needs_the_header_and_no_more() {
        let bytes = frame(&[1, 2, 3]);
        let len = FrameHeader::parse(&bytes).unwrap().len() as usize;
        FrameHeader::parse(&bytes[..len]).unwrap();
        for cut in 0..len {
            let error = FrameHeader::parse(&bytes[..cut]).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{cut}: {error}");
        }
    }

    #[test]
    fn a_length_beyond_64_bits_is_an_error() {
        let mut bytes = frame(&[]);
        bytes[15 + 16..15 + 24].fill(0xFF);
        let header = FrameHeader::parse(&bytes).unwrap();
        assert!(matches!(header.frame_len().unwrap_err().kind(), ErrorKind::Size { .. }));
    }
}

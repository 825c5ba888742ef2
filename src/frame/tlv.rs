//! TLVs: a one-byte type, a two-byte big-endian length, a value (spec/frame.md, "TLVs").
#![deny(clippy::arithmetic_side_effects)]

use crate::wire::Reader;

/// TLV types. The numbers are the table of spec/frame.md.
#[derive(Clone, Copy, Debug)]
pub struct TlvType;

#[allow(missing_docs)] // the names are the table of spec/frame.md
impl TlvType {
    pub const CONFIG: u8 = 0x01;
    pub const FLAGS: u8 = 0x02;
    pub const CALIB_STATS: u8 = 0x03;
    pub const RESULTS: u8 = 0x04;
    pub const LEDGER_CHUNK: u8 = 0x10;
    pub const LEDGER_INDEX: u8 = 0x11;
    pub const MIRROR: u8 = 0x12;
    pub const GIST: u8 = 0x13;
    pub const ENGRAM_INDEX: u8 = 0x14;
    pub const CONTEXT: u8 = 0x80;
    pub const LEDGER_MARKS: u8 = 0x81;
    pub const GIST_METADATA: u8 = 0x82;
    pub const DIGEST: u8 = 0xF0;
    pub const HMAC: u8 = 0xF1;
    pub const PAD: u8 = 0xFE;
    pub const END: u8 = 0xFF;

    /// The name of `tlv` in spec/frame.md, if this version knows it.
    pub const fn name(tlv: u8) -> Option<&'static str> {
        Some(match tlv {
            Self::CONFIG => "CONFIG_V1",
            Self::FLAGS => "FLAGS_V1",
            Self::CALIB_STATS => "CALIB_STATS_V1",
            Self::RESULTS => "RESULTS_V1",
            Self::LEDGER_CHUNK => "LEDGER_CHUNK_V1",
            Self::LEDGER_INDEX => "LEDGER_INDEX_V1",
            Self::MIRROR => "MIRROR_V1",
            Self::GIST => "GIST_V1",
            Self::ENGRAM_INDEX => "ENGRAM_INDEX_V1",
            Self::CONTEXT => "CONTEXT_V1",
            Self::LEDGER_MARKS => "LEDGER_MARKS_V1",
            Self::GIST_METADATA => "GIST_METADATA_V1",
            Self::DIGEST => "DIGEST_V1",
            Self::HMAC => "HMAC_V1",
            Self::PAD => "PAD_V1",
            Self::END => "END",
            _ => return None,
        })
    }
}

/// What a type's length has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LengthRule {
    Exactly(u16),
    AtLeast(u16),
}

impl LengthRule {
    pub(crate) const fn allows(self, len: u16) -> bool {
        match self {
            Self::Exactly(n) => len == n,
            Self::AtLeast(n) => len >= n,
        }
    }

    pub(crate) const fn bytes(self) -> u16 {
        match self {
            Self::Exactly(n) | Self::AtLeast(n) => n,
        }
    }
}

/// The length rule of a type this version knows.
pub(crate) const fn length_rule(tlv: u8) -> Option<LengthRule> {
    use LengthRule::{AtLeast, Exactly};
    Some(match tlv {
        TlvType::CONFIG => Exactly(24),
        TlvType::FLAGS => Exactly(4),
        TlvType::CALIB_STATS => AtLeast(32),
        TlvType::RESULTS | TlvType::CONTEXT | TlvType::GIST_METADATA | TlvType::PAD => AtLeast(0),
        TlvType::LEDGER_CHUNK => Exactly(24),
        TlvType::LEDGER_INDEX => Exactly(88),
        TlvType::MIRROR => Exactly(48),
        TlvType::GIST => Exactly(56),
        TlvType::ENGRAM_INDEX => Exactly(24),
        TlvType::LEDGER_MARKS => AtLeast(4),
        TlvType::DIGEST | TlvType::HMAC => Exactly(33),
        TlvType::END => Exactly(0),
        _ => return None,
    })
}

/// One TLV of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type; see [`TlvType`].
    pub tlv_type: u8,
    /// The value's bytes.
    pub value: &'a [u8],
    /// Where the TLV starts, in bytes from the frame's start. Its value starts 3 bytes later.
    pub offset: u64,
}

impl Tlv<'_> {
    /// Where the value starts, in bytes from the frame's start.
    pub const fn value_offset(&self) -> u64 {
        self.offset.saturating_add(3)
    }
}

/// The TLVs of a checked frame, in order, END left out.
#[derive(Clone, Debug)]
pub struct Tlvs<'a> {
    reader: Reader<'a>,
}

impl<'a> Tlvs<'a> {
    /// Walks `bytes`, which start at `offset` and were checked before.
    pub(crate) const fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { reader: Reader::new(bytes, offset) }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    fn next(&mut self) -> Option<Tlv<'a>> {
        let offset = self.reader.offset();
        let &[tlv_type, hi, lo] = self.reader.take_array::<3>("TLV header").ok()?;
        if tlv_type == TlvType::END {
            self.reader = Reader::new(&[], offset);
            return None;
        }
        let value = self.reader.take("TLV value", u64::from(u16::from_be_bytes([hi, lo]))).ok()?;
        Some(Tlv { tlv_type, value, offset })
    }
}

impl core::iter::FusedIterator for Tlvs<'_> {}

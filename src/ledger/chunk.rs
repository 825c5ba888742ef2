//! The view of a chunk (spec/ledger.md, "Checks of the chunk's view").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::marks::Marks;
use super::merkle::Digest;
use super::pack;
use crate::arch::pack as kernel;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Element, Frame, FrameHeader, Kind, TlvType};
use crate::wire::layout;

layout! {
    pub(crate) struct ChunkRaw {
        chunk_id: U64,
        start: U64,
        length: U32,
        encoding: u8,
        bits: u8,
        reserved: U16,
    }
}

/// How a chunk stores its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// 2 bytes each, little-endian.
    RawU16,
    /// 4 bytes each, little-endian.
    RawU32,
    /// `bits` bits each, least significant first, without gaps.
    Packed {
        /// 1 to 32.
        bits: u8,
    },
}

impl core::fmt::Display for Encoding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::RawU16 => f.write_str("raw u16"),
            Self::RawU32 => f.write_str("raw u32"),
            Self::Packed { bits } => write!(f, "packed, {bits} bits"),
        }
    }
}

impl Encoding {
    /// The encoding with the smallest payload for these tokens: on a tie raw u16, then raw u32, then packed.
    #[must_use]
    pub fn smallest(tokens: &[u32]) -> Self {
        let len = |encoding: Self| encoding.payload_len(tokens.len() as u64).unwrap_or(u64::MAX);
        let (raw, packed) = (Self::raw(tokens), Self::packed(tokens));
        if len(raw) <= len(packed) { raw } else { packed }
    }

    /// u16 where all tokens fit, else u32.
    #[must_use]
    pub fn raw(tokens: &[u32]) -> Self {
        if pack::bit_width(tokens) <= 16 { Self::RawU16 } else { Self::RawU32 }
    }

    /// Bit-packed at the width of the largest token.
    #[must_use]
    pub fn packed(tokens: &[u32]) -> Self {
        Self::Packed { bits: pack::bit_width(tokens) }
    }

    /// Bytes that `tokens` tokens take.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond the format's 2^32 - 1 bytes of packed payload, or 2^32 - 1 tokens;
    /// [`ErrorKind::Argument`] for a width that is not 1 to 32.
    pub fn payload_len(self, tokens: u64) -> Result<u64> {
        let max = u64::from(u32::MAX);
        let refuse = |field, found| Err(Error::caller(ErrorKind::TooLarge { field, max, found }));
        if tokens > max {
            return refuse("the number of tokens of a chunk", tokens);
        }
        match self {
            Self::RawU16 => Ok(tokens.saturating_mul(2)),
            Self::RawU32 => Ok(tokens.saturating_mul(4)),
            Self::Packed { bits } => match pack::packed_len(tokens, bits)? {
                len if len > max => refuse("the bytes of a bit-packed chunk", len),
                len => Ok(len),
            },
        }
    }

    /// Writes the payload of `tokens` to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`ErrorKind::TokenWidth`] for a token that does not fit; [`ErrorKind::BufferTooSmall`]; as
    /// [`payload_len`](Self::payload_len).
    pub fn encode_into(self, tokens: &[u32], out: &mut [u8]) -> Result<usize> {
        let needed = self.payload_len(tokens.len() as u64)?;
        if let Self::Packed { bits } = self {
            return pack::pack_into(tokens, bits, out);
        }
        pack::check_width(tokens, self.bits())?;
        let too_small = ErrorKind::BufferTooSmall { needed, available: out.len() as u64 };
        let written = usize::try_from(needed).ok().and_then(|needed| out.get_mut(..needed));
        let written = written.ok_or(Error::caller(too_small))?;
        if self == Self::RawU16 {
            kernel::narrow_u16(tokens, written);
        } else {
            kernel::copy_to_u32(tokens, written);
        }
        Ok(written.len())
    }

    /// Bits that a token has.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::RawU16 => 16,
            Self::RawU32 => 32,
            Self::Packed { bits } => bits,
        }
    }

    pub(super) const fn element(self) -> Element {
        match self {
            Self::RawU16 => Element::U16,
            Self::RawU32 => Element::U32,
            Self::Packed { .. } => Element::U8,
        }
    }

    /// The fields `encoding` and `bits` of LEDGER_CHUNK_V1.
    pub(super) const fn codes(self) -> (u8, u8) {
        match self {
            Self::RawU16 | Self::RawU32 => (RAW, 0),
            Self::Packed { bits } => (PACKED, bits),
        }
    }
}

const RAW: u8 = 0;
const PACKED: u8 = 1;

/// What a chunk's header says: everything but the tokens, checked in itself. Until the whole chunk was parsed it is a
/// claim.
#[derive(Clone, Copy, Debug)]
pub struct ChunkHeader<'a> {
    header: FrameHeader<'a>,
    id: u64,
    start: u64,
    len: u32,
    encoding: Encoding,
    marks: Marks<'a>,
    /// Where LEDGER_CHUNK_V1's value starts.
    place: u64,
}

impl<'a> ChunkHeader<'a> {
    /// The chunk that a frame's header tells of.
    ///
    /// # Errors
    /// The first breach of steps 1 to 13 of spec/ledger.md, with its offset from the frame's start.
    pub fn from_header(header: &FrameHeader<'a>) -> Result<Self> {
        let tlv = header.only_tlv(Kind::LEDGER_CHUNK, TlvType::LEDGER_CHUNK)?;
        let (config, config_at, value_at) = (header.config(), header.config_place(), tlv.value_offset());
        let refuse = |offset: u64, kind| Err(Error::new(kind, offset));
        let in_config = |field: u64| config_at.saturating_add(field);
        let in_value = |field: u64| value_at.saturating_add(field);
        if config.rows != 1 {
            let found = u64::from(config.rows);
            return refuse(in_config(4), ErrorKind::Shape { field: "CONFIG_V1.rows", needed: 1, found });
        }

        let Ok(raw) = ChunkRaw::read_from_bytes(tlv.value) else {
            // The frame's reader held the type to its length.
            return refuse(value_at, ErrorKind::Size { field: "LEDGER_CHUNK_V1" });
        };
        let (start, len) = (raw.start.get(), raw.length.get());
        if start.checked_add(u64::from(len)).is_none() {
            return refuse(in_value(8), ErrorKind::Size { field: "LEDGER_CHUNK_V1.start + length" });
        }
        if len == 0 {
            let kind = ErrorKind::Shape { field: "LEDGER_CHUNK_V1.length", needed: 1, found: 0 };
            return refuse(in_value(16), kind);
        }
        let encoding = match (raw.encoding, raw.bits) {
            (RAW, 0) if config.element == Element::U32 => Encoding::RawU32,
            (RAW, 0) => Encoding::RawU16,
            (RAW, bits) => {
                let found = u64::from(bits);
                let kind = ErrorKind::Shape { field: "LEDGER_CHUNK_V1.bits", needed: 0, found };
                return refuse(in_value(21), kind);
            }
            (PACKED, bits @ 1..=32) => Encoding::Packed { bits },
            (PACKED, found) => {
                return refuse(in_value(21), ErrorKind::Code { field: "LEDGER_CHUNK_V1.bits", found });
            }
            (found, _) => {
                return refuse(in_value(20), ErrorKind::Code { field: "LEDGER_CHUNK_V1.encoding", found });
            }
        };
        if raw.reserved.get() != 0 {
            return refuse(in_value(22), ErrorKind::Reserved { field: "LEDGER_CHUNK_V1.reserved" });
        }

        if config.element != encoding.element() {
            let found = config.element.code();
            return refuse(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
        }
        // At most 2^37 bits: cannot fail, and as a length that no u32 holds it is one that dim does not have.
        let payload_len = match encoding {
            Encoding::Packed { bits } => pack::packed_len(u64::from(len), bits)?,
            raw => raw.payload_len(u64::from(len))?,
        };
        let dim = if let Encoding::Packed { .. } = encoding { payload_len } else { u64::from(len) };
        for (field, at, needed, found) in [
            ("CONFIG_V1.dim", 8, dim, u64::from(config.dim)),
            ("CONFIG_V1.payload_len", 16, payload_len, config.payload_len),
        ] {
            if found != needed {
                return refuse(in_config(at), ErrorKind::Shape { field, needed, found });
            }
        }

        let end = start.saturating_add(u64::from(len));
        let marks = match header.tlv(TlvType::LEDGER_MARKS) {
            Some(tlv) => Marks::parse(tlv.value, tlv.value_offset(), end)?,
            None => Marks::default(),
        };
        Ok(Self { header: *header, id: raw.chunk_id.get(), start, len, encoding, marks, place: value_at })
    }

    /// The frame's header.
    pub const fn header(&self) -> &FrameHeader<'a> {
        &self.header
    }

    /// Which chunk of the ledger it is, from 0.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The position of its first token.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Tokens, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a chunk has at least one token")]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// The position after its last token.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len as u64)
    }

    /// How it stores them.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Its passkeys and spans.
    pub const fn marks(&self) -> Marks<'a> {
        self.marks
    }

    /// Checks that this is the chunk to come: number `id`, from position `start`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] at the field that disagrees.
    pub fn check_follows(&self, id: u64, start: u64) -> Result<()> {
        for (field, at, needed, found) in
            [("LEDGER_CHUNK_V1.chunk_id", 0, id, self.id), ("LEDGER_CHUNK_V1.start", 8, start, self.start)]
        {
            if needed != found {
                return Err(Error::new(
                    ErrorKind::Shape { field, needed, found },
                    self.place.saturating_add(at),
                ));
            }
        }
        Ok(())
    }
}

/// A checked chunk: tokens by place in O(1), without an allocator. Derefs to its [`ChunkHeader`].
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    header: ChunkHeader<'a>,
    frame: Frame<'a>,
    digest: &'a Digest,
}

impl<'a> core::ops::Deref for Chunk<'a> {
    type Target = ChunkHeader<'a>;

    fn deref(&self) -> &ChunkHeader<'a> {
        &self.header
    }
}

impl<'a> Chunk<'a> {
    /// The chunk that `frame` carries, whose digest was compared when the frame was parsed.
    ///
    /// # Errors
    /// The first breach in the order of spec/ledger.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let header = ChunkHeader::from_header(&frame.header())?;
        // Frames of this kind do not parse without it.
        let missing = || Error::new(ErrorKind::DigestMissing, frame.header().place_of(TlvType::DIGEST));
        let digest = frame.digest().ok_or_else(missing)?;
        if let Encoding::Packed { bits } = header.encoding
            && !pack::spare_bits_are_zero(frame.payload(), u64::from(header.len), bits)
        {
            let last = frame.payload_offset().saturating_add(frame.payload().len() as u64).saturating_sub(1);
            return Err(Error::new(ErrorKind::SpareBits, last));
        }
        Ok(Self { header, frame: *frame, digest })
    }

    /// Parses the chunk that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`Frame::parse_exact`] and [`from_frame`](Self::from_frame).
    pub fn parse_exact(bytes: &'a [u8]) -> Result<Self> {
        Self::from_frame(&Frame::parse_exact(bytes)?)
    }

    /// The frame.
    pub const fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    /// The chunk's digest, compared: its leaf in the ledger's Merkle tree.
    pub const fn digest(&self) -> &'a Digest {
        self.digest
    }

    /// The token at place `i` of the chunk, from 0. O(1); `None` past the last.
    #[inline]
    pub fn token(&self, i: u32) -> Option<u32> {
        token_at(self.frame.payload(), self.header.encoding, self.header.len, i)
    }

    /// The tokens in order.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator + Clone + use<'a> {
        let (payload, encoding, len) = (self.frame.payload(), self.header.encoding, self.header.len);
        // usize: an exact size is one. On targets where that is less than 32 bits no such payload fits the memory.
        (0..len as usize).map(move |i| token_at(payload, encoding, len, i as u32).unwrap_or_default())
    }

    /// Decodes `out.len()` tokens from place `first` of the chunk on.
    ///
    /// Cost: at the speed of a copy with `simd`; see the README.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if the chunk ends before; then nothing is decoded.
    pub fn decode_into(&self, first: u32, out: &mut [u32]) -> Result<()> {
        decode_into(self.frame.payload(), self.header.encoding, self.header.len, first, out)
    }
}

/// The token at place `i` of `len`.
#[inline]
pub(super) fn token_at(payload: &[u8], encoding: Encoding, len: u32, i: u32) -> Option<u32> {
    if i >= len {
        return None;
    }
    match encoding {
        Encoding::RawU16 => {
            payload.as_chunks().0.get(i as usize).map(|&bytes| u32::from(u16::from_le_bytes(bytes)))
        }
        Encoding::RawU32 => payload.as_chunks().0.get(i as usize).map(|&bytes| u32::from_le_bytes(bytes)),
        Encoding::Packed { bits } => pack::token_at(payload, bits, u64::from(i)),
    }
}

pub(super) fn decode_into(
    payload: &[u8],
    encoding: Encoding,
    len: u32,
    first: u32,
    out: &mut [u32],
) -> Result<()> {
    let (end, found) = (u64::from(len), u64::from(first).saturating_add(out.len() as u64));
    let past_end = Error::caller(ErrorKind::PastEnd { field: "the range of tokens", end, found });
    if found > end {
        return Err(past_end);
    }
    let from = |width: u32| {
        let at = usize::try_from(first).ok().and_then(|first| first.checked_mul(width as usize));
        at.and_then(|at| payload.get(at..)).ok_or(past_end)
    };
    match encoding {
        Encoding::RawU16 => kernel::widen_u16(from(2)?, out),
        Encoding::RawU32 => kernel::copy_from_u32(from(4)?, out),
        Encoding::Packed { bits } => pack::unpack_into(payload, bits, u64::from(first), out)?,
    }
    Ok(())
}

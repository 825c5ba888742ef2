//! The view of an index (spec/ledger.md, "Checks of the index's view").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::byteorder::little_endian;

use super::chunk::{Chunk, ChunkHeader};
use super::marks::{Span, utf8};
use super::merkle::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Element, Frame, FrameHeader, Kind, TlvType};
use crate::wire::{layout, size};

layout! {
    pub(crate) struct IndexRaw {
        total_tokens: U64,
        chunk_count: U64,
        ledger_len: U64,
        chunk_tokens: U32,
        anchor_stride: U32,
        anchor_count: U32,
        passkey_count: U32,
        span_count: U32,
        names_len: U32,
        root: [u8; 32],
        reserved: U64,
    }
}

layout! {
    pub(crate) struct AnchorRaw {
        chunk_id: little_endian::U64,
        start: little_endian::U64,
        offset: little_endian::U64,
        length: little_endian::U32,
        reserved: little_endian::U32,
        sha256_prefix: [u8; 8],
    }
}

layout! {
    pub(crate) struct PasskeyRaw {
        position: little_endian::U64,
        chunk_id: little_endian::U64,
        offset: little_endian::U32,
        token: little_endian::U32,
    }
}

layout! {
    pub(crate) struct SpanRaw {
        start: little_endian::U64,
        length: little_endian::U64,
        name_off: little_endian::U32,
        name_len: little_endian::U32,
    }
}

/// No chunk frame is smaller: magic 4, ctx 8, CONFIG_V1 27, LEDGER_CHUNK_V1 27, DIGEST_V1 36, END 3, payload 1, CRC 2.
pub(super) const LEAST_CHUNK: u64 = 108;

/// The place of one chunk, known to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Which chunk.
    pub chunk_id: u64,
    /// The position of its first token.
    pub start: u64,
    /// The byte of the ledger at which its frame starts.
    pub offset: u64,
    /// Its tokens.
    pub len: u32,
    /// The first 8 bytes of its digest.
    pub digest_prefix: [u8; 8],
}

/// A marked position, with the token that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The position in the ledger.
    pub position: u64,
    /// The chunk that holds it.
    pub chunk_id: u64,
    /// Its place in that chunk, in tokens.
    pub offset: u32,
    /// The token.
    pub token: u32,
}

/// A checked index over borrowed bytes; needs no allocator.
///
/// It is consistent in itself, which proves nothing about a ledger: what it says is used to look, and believed when the
/// chunk it points at agrees. [`find`](Self::find) does so.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    frame: Frame<'a>,
    raw: &'a IndexRaw,
    anchors: &'a [AnchorRaw],
    passkeys: &'a [PasskeyRaw],
    spans: &'a [SpanRaw],
    names: &'a [u8],
}

impl<'a> Index<'a> {
    /// The index that `frame` carries.
    ///
    /// # Errors
    /// The first breach in the order of spec/ledger.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let header = frame.header();
        let tlv = header.only_tlv(Kind::LEDGER_INDEX, TlvType::LEDGER_INDEX)?;
        let config_at = header.config_place();
        let config = frame.config();
        if config.element != Element::Structured {
            let kind = ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() };
            return Err(Error::new(kind, config_at.saturating_add(1)));
        }
        equal("CONFIG_V1.rows", config_at.saturating_add(4), 0, u64::from(config.rows))?;
        equal("CONFIG_V1.dim", config_at.saturating_add(8), 0, u64::from(config.dim))?;

        let value_at = tlv.value_offset();
        // The frame's reader held the type to its length.
        let size_error = |at| Error::new(ErrorKind::Size { field: "LEDGER_INDEX_V1" }, at);
        let raw = IndexRaw::ref_from_bytes(tlv.value).map_err(|_| size_error(value_at))?;
        let payload_len = raw.check(value_at)?;
        equal("CONFIG_V1.payload_len", config_at.saturating_add(16), payload_len, config.payload_len)?;

        let count = |n: U32| usize::try_from(n.get()).map_err(|_| size_error(value_at));
        let split = |_| size_error(frame.payload_offset());
        let (anchors, rest) =
            <[AnchorRaw]>::ref_from_prefix_with_elems(frame.payload(), count(raw.anchor_count)?)
                .map_err(|_| split(()))?;
        let (passkeys, rest) = <[PasskeyRaw]>::ref_from_prefix_with_elems(rest, count(raw.passkey_count)?)
            .map_err(|_| split(()))?;
        let (spans, names) =
            <[SpanRaw]>::ref_from_prefix_with_elems(rest, count(raw.span_count)?).map_err(|_| split(()))?;
        let index = Self { frame: *frame, raw, anchors, passkeys, spans, names };
        let at = index.check_anchors(frame.payload_offset())?;
        let at = index.check_passkeys(at)?;
        index.check_spans(at, value_at)?;
        Ok(index)
    }

    /// Parses the index that fills `bytes` exactly.
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

    /// Tokens of the ledger.
    pub const fn total_tokens(&self) -> u64 {
        self.raw.total_tokens.get()
    }

    /// Chunks of the ledger.
    pub const fn chunk_count(&self) -> u64 {
        self.raw.chunk_count.get()
    }

    /// Bytes of the ledger that it covers.
    pub const fn ledger_len(&self) -> u64 {
        self.raw.ledger_len.get()
    }

    /// Tokens of the longest chunk.
    pub const fn chunk_tokens(&self) -> u32 {
        self.raw.chunk_tokens.get()
    }

    /// Every how many chunks there is an anchor.
    pub const fn anchor_stride(&self) -> u32 {
        self.raw.anchor_stride.get()
    }

    /// The root of the Merkle tree over the chunks' digests.
    pub const fn root(&self) -> &'a Digest {
        &self.raw.root
    }

    /// The anchors, in order.
    pub fn anchors(&self) -> impl ExactSizeIterator<Item = Anchor> + Clone + use<'a> {
        self.anchors.iter().map(AnchorRaw::get)
    }

    /// The anchor of a position: the last one that starts at or before it. O(log n); `None` past the last token.
    pub fn anchor_of(&self, position: u64) -> Option<Anchor> {
        if position >= self.total_tokens() {
            return None;
        }
        let after = self.anchors.partition_point(|anchor| anchor.start.get() <= position);
        self.anchors.get(after.checked_sub(1)?).map(AnchorRaw::get)
    }

    /// The passkeys, by position.
    pub fn passkeys(&self) -> impl ExactSizeIterator<Item = Passkey> + Clone + use<'a> {
        self.passkeys.iter().map(PasskeyRaw::get)
    }

    /// The passkey at a position. O(log n).
    pub fn passkey(&self, position: u64) -> Option<Passkey> {
        let found = self.passkeys.binary_search_by_key(&position, |passkey| passkey.position.get());
        self.passkeys.get(found.ok()?).map(PasskeyRaw::get)
    }

    /// The spans, by name.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Span<'a>> + Clone + use<'a> {
        let names = self.names;
        self.spans.iter().map(move |span| span.get(names))
    }

    /// The span of a name. O(log n).
    pub fn span(&self, name: &str) -> Option<Span<'a>> {
        let name = name.as_bytes();
        let found = self.spans.binary_search_by(|span| span.get(self.names).name.as_bytes().cmp(name));
        self.spans.get(found.ok()?).map(|span| span.get(self.names))
    }

    /// The chunk that holds a position, checked, and the byte of the ledger at which it starts. `ledger` is the ledger
    /// file or a map of it.
    ///
    /// Looks at the anchor's chunk, then at the headers of the chunks between (fewer than
    /// [`anchor_stride`](Self::anchor_stride), and none beyond the next anchor), then at the chunk itself: two digests,
    /// whatever the ledger's size. That the index is the ledger's as a whole (root, marks) is not checked; a chunk says
    /// itself which positions it has.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`] past the last token; [`ErrorKind::ForeignIndex`] where the anchor's chunk is another one
    /// than the index says, or the ledger is shorter; the errors of the chunks, with offsets from the ledger's start.
    pub fn find(&self, ledger: &'a [u8], position: u64) -> Result<(u64, Chunk<'a>)> {
        let foreign = |field, offset| Error::new(ErrorKind::ForeignIndex { field }, offset);
        let anchor =
            self.anchor_of(position).ok_or(Error::caller(ErrorKind::Unknown { field: "position" }))?;
        let len = usize::try_from(self.ledger_len()).ok();
        let ledger =
            len.and_then(|len| ledger.get(..len)).ok_or(foreign("ledger_len", ledger.len() as u64))?;

        let at = |offset: u64| {
            let rest = usize::try_from(offset).ok().and_then(|offset| ledger.get(offset..));
            rest.ok_or(foreign("an anchor's offset", offset))
        };
        let mut offset = anchor.offset;
        let (frame, _) = Frame::parse(at(offset)?).map_err(|error| error.nested(offset))?;
        let mut chunk = Chunk::from_frame(&frame).map_err(|error| error.nested(offset))?;
        self.check_context_of(&chunk).map_err(|error| error.nested(offset))?;
        if (chunk.id(), chunk.start(), chunk.len()) != (anchor.chunk_id, anchor.start, anchor.len)
            || chunk.digest().first_chunk() != Some(&anchor.digest_prefix)
        {
            return Err(foreign("an anchor", offset));
        }
        let next_id = anchor.chunk_id.saturating_add(u64::from(self.anchor_stride()));
        let mut header = *chunk;
        while position >= header.end() {
            let (id, end) = (header.id().saturating_add(1), header.end());
            offset = offset.saturating_add(header.header().frame_len()?);
            // The next anchor is beyond the position.
            if id >= next_id {
                return Err(foreign("an anchor", offset));
            }
            header = FrameHeader::parse(at(offset)?)
                .and_then(|header| ChunkHeader::from_header(&header))
                .and_then(|header| header.check_follows(id, end).map(|()| header))
                .map_err(|error| error.nested(offset))?;
        }
        if header.id() != chunk.id() {
            let (frame, _) = Frame::parse(at(offset)?).map_err(|error| error.nested(offset))?;
            chunk = Chunk::from_frame(&frame).map_err(|error| error.nested(offset))?;
            self.check_context_of(&chunk).map_err(|error| error.nested(offset))?;
        }
        Ok((offset, chunk))
    }

    fn check_context_of(&self, chunk: &Chunk<'_>) -> Result<()> {
        chunk.header().check_identical_context(self.frame.ctx(), self.frame.context_json())
    }

    /// Step 14; returns where the anchors end.
    fn check_anchors(&self, at: u64) -> Result<u64> {
        let stride = u64::from(self.anchor_stride());
        let mut before: Option<Anchor> = None;
        let mut at = at;
        for (raw, i) in self.anchors.iter().zip(0u64..) {
            let anchor = raw.get();
            let place = |field: u64| at.saturating_add(field);
            let id = size("anchor.chunk_id", at, &[i, stride])?;
            equal("anchor.chunk_id", at, id, anchor.chunk_id)?;
            for (field, off, before, value) in [
                ("anchor.start", 8, before.map(|anchor| anchor.start), anchor.start),
                ("anchor.offset", 16, before.map(|anchor| anchor.offset), anchor.offset),
            ] {
                match before {
                    None => equal(field, place(off), 0, value)?,
                    Some(before) if value <= before => {
                        return Err(Error::new(ErrorKind::Order { field }, place(off)));
                    }
                    Some(_) => {}
                }
            }
            below("anchor.offset", place(16), self.ledger_len(), anchor.offset)?;
            let (len, most) = (u64::from(anchor.len), u64::from(self.chunk_tokens()));
            within("anchor.length", place(24), 1, most, len)?;
            // A sum beyond 64 bits is past every end, also of a ledger of 2^64 - 1 tokens.
            let (end, total) = (anchor.start.checked_add(len), self.total_tokens());
            if end.is_none_or(|end| end > total) {
                let found = end.unwrap_or(u64::MAX);
                return Err(Error::new(ErrorKind::PastEnd { field: "anchor", end: total, found }, place(8)));
            }
            if raw.reserved.get() != 0 {
                return Err(Error::new(ErrorKind::Reserved { field: "anchor.reserved" }, place(28)));
            }
            before = Some(anchor);
            at = place(size_of::<AnchorRaw>() as u64);
        }
        Ok(at)
    }

    /// Step 15; returns where the passkeys end.
    fn check_passkeys(&self, mut at: u64) -> Result<u64> {
        let mut before = None;
        for passkey in self.passkeys() {
            if before.is_some_and(|before| passkey.position <= before) {
                return Err(Error::new(ErrorKind::Order { field: "passkey.position" }, at));
            }
            below("passkey.position", at, self.total_tokens(), passkey.position)?;
            below("passkey.chunk_id", at.saturating_add(8), self.chunk_count(), passkey.chunk_id)?;
            let most = u64::from(self.chunk_tokens());
            below("passkey.offset", at.saturating_add(16), most, u64::from(passkey.offset))?;
            before = Some(passkey.position);
            at = at.saturating_add(size_of::<PasskeyRaw>() as u64);
        }
        Ok(at)
    }

    /// Steps 16 and 17.
    fn check_spans(&self, mut at: u64, value_at: u64) -> Result<()> {
        let names_at = at.saturating_add(size_of_val(self.spans) as u64);
        let names_len = self.names.len() as u64;
        let (mut name_off, mut before) = (0u64, None);
        for raw in self.spans {
            let place = |field: u64| at.saturating_add(field);
            let (start, len) = (raw.start.get(), raw.length.get());
            let overflow = Error::new(ErrorKind::Size { field: "span" }, at);
            let end = start.checked_add(len).ok_or(overflow)?;
            if len == 0 {
                let kind = ErrorKind::Shape { field: "span.length", needed: 1, found: 0 };
                return Err(Error::new(kind, place(8)));
            }
            up_to("span", at, self.total_tokens(), end)?;
            equal("span.name_off", place(16), name_off, u64::from(raw.name_off.get()))?;
            let name_len = u64::from(raw.name_len.get());
            if name_len == 0 {
                let kind = ErrorKind::Shape { field: "span.name_len", needed: 1, found: 0 };
                return Err(Error::new(kind, place(20)));
            }
            let name_at = names_at.saturating_add(name_off);
            name_off = name_off.saturating_add(name_len);
            up_to("span.name", place(20), names_len, name_off)?;
            let name = utf8(raw.name_bytes(self.names), "span.name", name_at)?;
            if before.is_some_and(|before: &str| name.as_bytes() <= before.as_bytes()) {
                return Err(Error::new(ErrorKind::Order { field: "span.name" }, name_at));
            }
            before = Some(name);
            at = place(size_of::<SpanRaw>() as u64);
        }
        equal("LEDGER_INDEX_V1.names_len", value_at.saturating_add(44), name_off, names_len)
    }
}

impl IndexRaw {
    /// Steps 7 to 12; returns the payload's length. The value starts at `at`.
    fn check(&self, at: u64) -> Result<u64> {
        let place = |field: u64| at.saturating_add(field);
        let (total, chunks) = (self.total_tokens.get(), self.chunk_count.get());
        let none = chunks == 0;
        // 0 chunks: everything is 0.
        let least_or_none = |field, at, least, found| match none {
            true => equal(field, at, 0, found),
            false => within(field, at, least, u64::MAX, found),
        };
        least_or_none("LEDGER_INDEX_V1.total_tokens", place(0), chunks, total)?;
        let least = size("LEDGER_INDEX_V1.ledger_len", place(16), &[chunks, LEAST_CHUNK])?;
        least_or_none("LEDGER_INDEX_V1.ledger_len", place(16), least, self.ledger_len.get())?;
        let found = u64::from(self.chunk_tokens.get());
        match none {
            true => equal("LEDGER_INDEX_V1.chunk_tokens", place(24), 0, found)?,
            false => {
                let least = total.div_ceil(chunks);
                within("LEDGER_INDEX_V1.chunk_tokens", place(24), least, total, found)?;
            }
        }
        let stride = u64::from(self.anchor_stride.get());
        within("LEDGER_INDEX_V1.anchor_stride", place(28), 1, u64::MAX, stride)?;
        let (needed, found) = (chunks.div_ceil(stride), u64::from(self.anchor_count.get()));
        equal("LEDGER_INDEX_V1.anchor_count", place(32), needed, found)?;
        if self.reserved.get() != 0 {
            return Err(Error::new(ErrorKind::Reserved { field: "LEDGER_INDEX_V1.reserved" }, place(80)));
        }
        let lens = [
            size("anchors", place(32), &[found, size_of::<AnchorRaw>() as u64])?,
            size(
                "passkeys",
                place(36),
                &[u64::from(self.passkey_count.get()), size_of::<PasskeyRaw>() as u64],
            )?,
            size("spans", place(40), &[u64::from(self.span_count.get()), size_of::<SpanRaw>() as u64])?,
            u64::from(self.names_len.get()),
        ];
        // Sums of products of 32-bit counts: far below 64 bits.
        Ok(lens.into_iter().fold(0, u64::saturating_add))
    }
}

impl AnchorRaw {
    #[cfg(feature = "alloc")]
    pub(super) const fn new(anchor: &Anchor) -> Self {
        Self {
            chunk_id: little_endian::U64::new(anchor.chunk_id),
            start: little_endian::U64::new(anchor.start),
            offset: little_endian::U64::new(anchor.offset),
            length: little_endian::U32::new(anchor.len),
            reserved: little_endian::U32::ZERO,
            sha256_prefix: anchor.digest_prefix,
        }
    }

    pub(super) fn get(&self) -> Anchor {
        Anchor {
            chunk_id: self.chunk_id.get(),
            start: self.start.get(),
            offset: self.offset.get(),
            len: self.length.get(),
            digest_prefix: self.sha256_prefix,
        }
    }
}

impl PasskeyRaw {
    fn get(&self) -> Passkey {
        Passkey {
            position: self.position.get(),
            chunk_id: self.chunk_id.get(),
            offset: self.offset.get(),
            token: self.token.get(),
        }
    }
}

impl SpanRaw {
    fn name_bytes<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        let rest = names.get(self.name_off.get() as usize..).unwrap_or_default();
        rest.get(..self.name_len.get() as usize).unwrap_or_default()
    }

    /// The span, whose name was checked before.
    fn get<'a>(&self, names: &'a [u8]) -> Span<'a> {
        let name = core::str::from_utf8(self.name_bytes(names)).unwrap_or_default();
        Span { name, start: self.start.get(), len: self.length.get() }
    }
}

fn equal(field: &'static str, at: u64, needed: u64, found: u64) -> Result<()> {
    within(field, at, needed, needed, found)
}

/// Reports the bound that `found` breaks.
fn within(field: &'static str, at: u64, least: u64, most: u64, found: u64) -> Result<()> {
    let needed = if found < least { least } else { most };
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Shape { field, needed, found }, at))
    }
}

fn below(field: &'static str, at: u64, end: u64, found: u64) -> Result<()> {
    // Not by found + 1, which may be one too many for 64 bits.
    if found < end {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PastEnd { field, end, found: found.saturating_add(1) }, at))
}

fn up_to(field: &'static str, at: u64, end: u64, found: u64) -> Result<()> {
    if found <= end { Ok(()) } else { Err(Error::new(ErrorKind::PastEnd { field, end, found }, at)) }
}

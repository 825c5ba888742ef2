//! Making an index from a ledger's chunks.
#![deny(clippy::arithmetic_side_effects)]

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::byteorder::little_endian;

use super::chunk::ChunkHeader;
use super::index::{Anchor, AnchorRaw, Index, IndexRaw, Passkey, PasskeyRaw, SpanRaw};
use super::marks::Span;
use super::merkle::{Digest, Tree};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "hmac")]
use crate::frame::Key;
use crate::frame::{Config, ContextHash, Element, FrameBuilder, Kind, TlvType};

/// What is known of a ledger after some of its chunks: all that its index says.
///
/// Memory: 40 bytes for every [`anchor_stride`](Index::anchor_stride) chunks, the marks, and 2 KiB.
#[derive(Clone, Debug)]
pub struct IndexBuilder {
    anchor_stride: u32,
    tree: Tree,
    total_tokens: u64,
    ledger_len: u64,
    chunk_tokens: u32,
    anchors: Vec<AnchorRaw>,
    passkeys: BTreeMap<u64, Passkey>,
    spans: BTreeMap<Box<str>, (u64, u64)>,
}

impl IndexBuilder {
    /// The index of the empty ledger, with an anchor at every `anchor_stride`th chunk.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a stride of 0.
    pub const fn new(anchor_stride: u32) -> Result<Self> {
        if anchor_stride == 0 {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "the anchor stride has to be at least 1",
            }));
        }
        Ok(Self {
            anchor_stride,
            tree: Tree::new(),
            total_tokens: 0,
            ledger_len: 0,
            chunk_tokens: 0,
            anchors: Vec::new(),
            passkeys: BTreeMap::new(),
            spans: BTreeMap::new(),
        })
    }

    /// Takes the ledger's next chunk, without its marks.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a chunk that is not the next, with its place in the chunk's frame; [`ErrorKind::Size`]
    /// for a ledger beyond 64 bits.
    pub fn push_chunk(&mut self, chunk: &ChunkHeader<'_>, digest: &Digest) -> Result<()> {
        let id = self.tree.len();
        chunk.check_follows(id, self.total_tokens)?;
        let frame_len = chunk.header().frame_len()?;
        let overflow = Error::caller(ErrorKind::Size { field: "the ledger" });
        let ledger_len = self.ledger_len.checked_add(frame_len).ok_or(overflow)?;
        if id.checked_rem(u64::from(self.anchor_stride)) == Some(0) {
            self.anchors.push(AnchorRaw::new(&Anchor {
                chunk_id: id,
                start: chunk.start(),
                offset: self.ledger_len,
                len: chunk.len(),
                digest_prefix: digest.first_chunk().copied().unwrap_or_default(),
            }));
        }
        self.tree.push(digest);
        self.ledger_len = ledger_len;
        self.total_tokens = chunk.end();
        self.chunk_tokens = self.chunk_tokens.max(chunk.len());
        Ok(())
    }

    /// The same chunks with other anchors, and without marks.
    #[cfg(feature = "std")]
    pub(super) fn with_anchors(
        &self,
        anchor_stride: u32,
        anchors: impl Iterator<Item = Anchor>,
    ) -> Result<Self> {
        let anchors = anchors.map(|anchor| AnchorRaw::new(&anchor)).collect();
        let (tree, new) = (self.tree.clone(), Self::new(anchor_stride)?);
        let Self { total_tokens, ledger_len, chunk_tokens, .. } = *self;
        Ok(Self { tree, total_tokens, ledger_len, chunk_tokens, anchors, ..new })
    }

    /// Takes a marked position.
    ///
    /// # Errors
    /// [`ErrorKind::Duplicate`] for one marked before; [`ErrorKind::PastEnd`] for one that is not in the chunks so far.
    pub fn push_passkey(&mut self, passkey: Passkey) -> Result<()> {
        for (field, end, found) in [
            ("the passkey's position", self.total_tokens, passkey.position),
            ("the passkey's chunk", self.chunk_count(), passkey.chunk_id),
            ("the passkey's place", u64::from(self.chunk_tokens), u64::from(passkey.offset)),
        ] {
            if found >= end {
                let found = found.saturating_add(1);
                return Err(Error::caller(ErrorKind::PastEnd { field, end, found }));
            }
        }
        match self.passkeys.entry(passkey.position) {
            Entry::Vacant(entry) => {
                entry.insert(passkey);
                Ok(())
            }
            Entry::Occupied(_) => {
                Err(Error::caller(ErrorKind::Duplicate { field: "the passkey's position" }))
            }
        }
    }

    /// Takes a marked span.
    ///
    /// # Errors
    /// [`ErrorKind::Duplicate`] for a name marked before; [`ErrorKind::PastEnd`] for one that is not in the chunks so
    /// far; [`ErrorKind::Argument`] for an empty one, or no name.
    pub fn push_span(&mut self, span: Span<'_>) -> Result<()> {
        let end = self.total_tokens;
        match span.start.checked_add(span.len) {
            Some(found) if found <= end => {}
            found => {
                let found = found.unwrap_or(u64::MAX);
                return Err(Error::caller(ErrorKind::PastEnd { field: "the span", end, found }));
            }
        }
        if span.name.is_empty() || span.len == 0 {
            let expected = "a span has to have a name and at least 1 token";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        if self.spans.contains_key(span.name) {
            return Err(Error::caller(ErrorKind::Duplicate { field: "the span's name" }));
        }
        self.spans.insert(span.name.into(), (span.start, span.len));
        Ok(())
    }

    /// Every how many chunks there is an anchor.
    #[must_use]
    pub const fn anchor_stride(&self) -> u32 {
        self.anchor_stride
    }

    /// Tokens so far.
    #[must_use]
    pub const fn total_tokens(&self) -> u64 {
        self.total_tokens
    }

    /// Chunks so far.
    #[must_use]
    pub const fn chunk_count(&self) -> u64 {
        self.tree.len()
    }

    /// Bytes of the chunks so far.
    #[must_use]
    pub const fn ledger_len(&self) -> u64 {
        self.ledger_len
    }

    /// Tokens of the longest chunk so far.
    #[must_use]
    pub const fn chunk_tokens(&self) -> u32 {
        self.chunk_tokens
    }

    /// The root of the Merkle tree over the digests so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.tree.root()
    }

    /// The passkeys, by position.
    pub fn passkeys(&self) -> impl ExactSizeIterator<Item = Passkey> + Clone + '_ {
        self.passkeys.values().copied()
    }

    /// The spans, by name.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Span<'_>> + Clone {
        self.spans.iter().map(|(name, &(start, len))| Span { name, start, len })
    }

    /// Holds an index to what the chunks say.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignIndex`] for the first thing that differs.
    pub fn check(&self, index: &Index<'_>) -> Result<()> {
        self.check_chunks(index)?;
        for (field, agrees) in
            [("a passkey", index.passkeys().eq(self.passkeys())), ("a span", index.spans().eq(self.spans()))]
        {
            if !agrees {
                return Err(Error::caller(ErrorKind::ForeignIndex { field }));
            }
        }
        Ok(())
    }

    /// The same without the marks.
    pub(super) fn check_chunks(&self, index: &Index<'_>) -> Result<()> {
        let totals = [
            ("ledger_len", index.ledger_len() == self.ledger_len),
            ("chunk_count", index.chunk_count() == self.chunk_count()),
            ("total_tokens", index.total_tokens() == self.total_tokens),
            ("chunk_tokens", index.chunk_tokens() == self.chunk_tokens),
            ("anchor_stride", index.anchor_stride() == self.anchor_stride),
            ("an anchor", index.anchors().eq(self.anchors.iter().map(AnchorRaw::get))),
            ("the root", *index.root() == self.root()),
        ];
        match totals.iter().find(|(_, agrees)| !agrees) {
            Some(&(field, _)) => Err(Error::caller(ErrorKind::ForeignIndex { field })),
            None => Ok(()),
        }
    }

    /// The index as a frame. `context_json` is the CONTEXT_V1 of the chunks.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond 2^32 - 1 anchors, marks or bytes of names; those of
    /// [`FrameBuilder::encode`].
    pub fn encode(&self, ctx: ContextHash, context_json: Option<&[u8]>) -> Result<Vec<u8>> {
        self.with_frame(ctx, context_json, |frame| frame.encode())
    }

    /// The same, signed: for ledgers whose chunks are.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    #[cfg(feature = "hmac")]
    pub fn encode_signed(&self, ctx: ContextHash, context_json: Option<&[u8]>, key: &Key) -> Result<Vec<u8>> {
        self.with_frame(ctx, context_json, |frame| frame.sign(key).encode())
    }

    fn with_frame(
        &self,
        ctx: ContextHash,
        context_json: Option<&[u8]>,
        write: impl FnOnce(FrameBuilder<'_>) -> Result<Vec<u8>>,
    ) -> Result<Vec<u8>> {
        let names_len = self.spans.keys().map(|name| name.len() as u64).fold(0, u64::saturating_add);
        let raw = IndexRaw {
            total_tokens: U64::new(self.total_tokens),
            chunk_count: U64::new(self.chunk_count()),
            ledger_len: U64::new(self.ledger_len),
            chunk_tokens: U32::new(self.chunk_tokens),
            anchor_stride: U32::new(self.anchor_stride),
            anchor_count: count("the number of anchors", self.anchors.len() as u64)?,
            passkey_count: count("the number of passkeys", self.passkeys.len() as u64)?,
            span_count: count("the number of spans", self.spans.len() as u64)?,
            names_len: count("the bytes of all names", names_len)?,
            root: self.root(),
            reserved: U64::ZERO,
        };
        let mut payload = Vec::from(self.anchors.as_bytes());
        for passkey in self.passkeys() {
            let raw = PasskeyRaw {
                position: little_endian::U64::new(passkey.position),
                chunk_id: little_endian::U64::new(passkey.chunk_id),
                offset: little_endian::U32::new(passkey.offset),
                token: little_endian::U32::new(passkey.token),
            };
            payload.extend_from_slice(raw.as_bytes());
        }
        let mut name_off = 0u32;
        for span in self.spans() {
            let name_len = u32::try_from(span.name.len()).unwrap_or(u32::MAX);
            let raw = SpanRaw {
                start: little_endian::U64::new(span.start),
                length: little_endian::U64::new(span.len),
                name_off: little_endian::U32::new(name_off),
                name_len: little_endian::U32::new(name_len),
            };
            payload.extend_from_slice(raw.as_bytes());
            // names_len holds the sum to 32 bits.
            name_off = name_off.saturating_add(name_len);
        }
        for name in self.spans.keys() {
            payload.extend_from_slice(name.as_bytes());
        }

        let config = Config::new(Kind::LEDGER_INDEX, Element::Structured, 0, 0, 0);
        let frame = FrameBuilder::new(ctx, config, &payload)
            .tlv(TlvType::LEDGER_INDEX, raw.as_bytes())?
            .known_context(context_json)?;
        write(frame)
    }
}

fn count(field: &'static str, found: u64) -> Result<U32> {
    let max = u64::from(u32::MAX);
    let too_large = Error::caller(ErrorKind::TooLarge { field, max, found });
    u32::try_from(found).map(U32::new).map_err(|_| too_large)
}

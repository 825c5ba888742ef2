//! Reading a ledger from its start: what is there, what is torn, what is damaged (spec/ledger.md, "The ledger file").
#![deny(clippy::arithmetic_side_effects)]

use std::boxed::Box;
use std::collections::BTreeMap;
use std::io;
use std::vec::Vec;

use super::Key;
use super::chunk::{Chunk, ChunkHeader, Encoding};
use super::error::{LedgerError, Result};
use super::index::{Anchor, Index};
use super::index_build::IndexBuilder;
use super::merkle::Digest;
use super::source::{Source, fetch};
use super::storage::Part;
use crate::error::{Error, ErrorKind};
use crate::frame::{ContextHash, Frame, FrameHeader, Kind, MAGIC, TlvType, crc16, payload_truncated};

/// Bytes at the end of a ledger that belong to no whole chunk: what a crash left of tokens that were never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it starts, the end of the last whole chunk.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// What is wrong with the first chunk in it, with the offset from the ledger's start.
    pub error: Error,
}

/// How a ledger's index was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// It covers every whole chunk.
    Current,
    /// It is right as far as it goes.
    Stale {
        /// Chunks that it does not cover.
        chunks: u64,
    },
    /// There is none.
    Missing,
}

/// What all frames of a ledger have in common.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) ctx: ContextHash,
    pub(super) context_json: Option<Box<[u8]>>,
    pub(super) signed: bool,
}

impl Identity {
    /// That of a frame.
    fn of(header: &FrameHeader<'_>) -> Self {
        Self {
            ctx: header.ctx(),
            context_json: header.context_json().map(Box::from),
            signed: header.has_hmac(),
        }
    }

    /// Holds an index to it.
    fn check_index(&self, index: &Index<'_>) -> Result<(), Error> {
        let foreign = |field| Error::caller(ErrorKind::ForeignIndex { field });
        let header = index.frame().header();
        header
            .check_identical_context(self.ctx, self.context_json.as_deref())
            .map_err(|_| foreign("the context"))?;
        if header.has_hmac() == self.signed { Ok(()) } else { Err(foreign("the presence of HMAC_V1")) }
    }

    /// An index as a frame of this ledger.
    pub(super) fn encode_index(&self, index: &IndexBuilder, key: Option<&Key>) -> Result<Vec<u8>, Error> {
        let json = self.context_json.as_deref();
        #[cfg(feature = "hmac")]
        if let (true, Some(key)) = (self.signed, key) {
            return index.encode_signed(self.ctx, json, key);
        }
        let _ = key;
        if self.signed { Err(Error::caller(ErrorKind::HmacMissing)) } else { index.encode(self.ctx, json) }
    }
}

/// One chunk of a ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// The position of its first token.
    pub(super) start: u64,
    /// Where its frame starts.
    pub(super) offset: u64,
    /// Where its payload starts, from there.
    pub(super) header_len: u32,
    pub(super) len: u32,
    pub(super) encoding: Encoding,
}

impl Entry {
    pub(super) const fn end(&self) -> u64 {
        self.start.saturating_add(self.len as u64)
    }

    /// The place in the chunk of a position that it holds.
    pub(super) fn place_of(&self, position: u64) -> u32 {
        u32::try_from(position.saturating_sub(self.start)).unwrap_or(u32::MAX)
    }
}

/// A span and the chunk whose marks it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spanned {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) carrier: u64,
}

/// What the chunks so far say. Of those whose header alone was read it is a claim.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Everything but the marks.
    pub(super) index: IndexBuilder,
    pub(super) entries: Vec<Entry>,
    pub(super) digests: Vec<Digest>,
    /// Position to the chunk whose marks it is in.
    pub(super) passkeys: BTreeMap<u64, u64>,
    pub(super) spans: BTreeMap<Box<str>, Spanned>,
    pub(super) identity: Option<Identity>,
}

impl State {
    pub(super) fn new(index: IndexBuilder, identity: Option<Identity>) -> Self {
        Self {
            index,
            entries: Vec::new(),
            digests: Vec::new(),
            passkeys: BTreeMap::new(),
            spans: BTreeMap::new(),
            identity,
        }
    }

    /// Steps 1 to 5: the chunk is the next of this ledger. Errors have their offset from the frame's start.
    pub(super) fn check_follows(&self, chunk: &ChunkHeader<'_>) -> Result<(), Error> {
        chunk.check_follows(self.index.chunk_count(), self.index.total_tokens())?;
        let Some(identity) = &self.identity else { return Ok(()) };
        let header = chunk.header();
        header.check_identical_context(identity.ctx, identity.context_json.as_deref())?;
        if header.has_hmac() != identity.signed {
            return Err(Error::new(ErrorKind::MixedHmac, header.hmac_place()));
        }
        Ok(())
    }

    /// Step 7: its marks are new.
    pub(super) fn check_marks(&self, chunk: &ChunkHeader<'_>) -> Result<(), Error> {
        for (position, place) in chunk.marks().passkeys_placed() {
            if self.passkeys.contains_key(&position) {
                return Err(Error::new(ErrorKind::Duplicate { field: "a passkey's position" }, place));
            }
        }
        let mut spans = chunk.marks().spans();
        while let Some((span, place)) = spans.next_placed() {
            if self.spans.contains_key(span.name) {
                return Err(Error::new(ErrorKind::Duplicate { field: "a span's name" }, place));
            }
        }
        Ok(())
    }

    /// Takes a chunk that passed both.
    pub(super) fn push(&mut self, chunk: &ChunkHeader<'_>, digest: &Digest) -> Result<(), Error> {
        let header = chunk.header();
        let entry = Entry {
            start: chunk.start(),
            offset: self.index.ledger_len(),
            // A header is at most 255 TLVs of 65,538 bytes.
            header_len: u32::try_from(header.len()).unwrap_or(u32::MAX),
            len: chunk.len(),
            encoding: chunk.encoding(),
        };
        self.index.push_chunk(chunk, digest)?;
        if self.identity.is_none() {
            self.identity = Some(Identity::of(header));
        }
        self.entries.push(entry);
        self.digests.push(*digest);
        self.passkeys.extend(chunk.marks().passkeys().map(|position| (position, chunk.id())));
        for span in chunk.marks().spans() {
            let spanned = Spanned { start: span.start, len: span.len, carrier: chunk.id() };
            self.spans.insert(span.name.into(), spanned);
        }
        Ok(())
    }

    /// The chunk that holds a position, if any does.
    #[inline]
    pub(super) fn entry_of(&self, position: u64) -> Option<(usize, &Entry)> {
        let holds = |entry: &&Entry| entry.start <= position && position < entry.end();
        // In most ledgers all chunks but the last are equally long. A search in a large one costs a cache miss a step.
        let chunk_tokens = u64::from(self.index.chunk_tokens());
        let guess = usize::try_from(position.checked_div(chunk_tokens)?).ok()?;
        if let Some(entry) = self.entries.get(guess).filter(holds) {
            return Some((guess, entry));
        }
        let i = self.entries.partition_point(|entry| entry.start <= position).checked_sub(1)?;
        self.entries.get(i).filter(holds).map(|entry| (i, entry))
    }

    /// The index so far with its anchors at another distance, and without marks.
    pub(super) fn index_with_stride(&self, anchor_stride: u32) -> Result<IndexBuilder, Error> {
        let every = usize::try_from(anchor_stride).unwrap_or(usize::MAX).max(1);
        let anchors = (0..self.entries.len()).step_by(every).filter_map(|i| self.anchor(i));
        self.index.with_anchors(anchor_stride, anchors)
    }

    /// The anchor of chunk `i`.
    fn anchor(&self, i: usize) -> Option<Anchor> {
        let (entry, digest) = self.entries.get(i).zip(self.digests.get(i))?;
        Some(Anchor {
            chunk_id: i as u64,
            start: entry.start,
            offset: entry.offset,
            len: entry.len,
            digest_prefix: digest.first_chunk().copied().unwrap_or_default(),
        })
    }

    /// Chunks by how they store their tokens.
    pub(super) fn encodings(&self) -> BTreeMap<Encoding, u64> {
        let mut encodings = BTreeMap::new();
        for entry in &self.entries {
            let count: &mut u64 = encodings.entry(entry.encoding).or_default();
            *count = count.saturating_add(1);
        }
        encodings
    }

    /// Where chunk `i`'s frame is: offset and length.
    pub(super) fn frame_of(&self, i: usize) -> Option<(u64, u64)> {
        let offset = self.entries.get(i)?.offset;
        let next = self.entries.get(i.checked_add(1)?);
        let end = next.map_or(self.index.ledger_len(), |next| next.offset);
        Some((offset, end.checked_sub(offset)?))
    }

    /// Whether the anchors of an index that lie in these chunks are these chunks'.
    pub(super) fn has_anchors_of(&self, index: &Index<'_>) -> bool {
        let mut inside = index.anchors().take_while(|anchor| anchor.offset < self.index.ledger_len());
        inside
            .all(|anchor| usize::try_from(anchor.chunk_id).ok().and_then(|i| self.anchor(i)) == Some(anchor))
    }

    /// Holds an index of as many bytes to this state; of the passkeys' tokens nothing is known yet.
    fn check_index(&self, index: &Index<'_>) -> Result<(), Error> {
        let foreign = |field| Error::caller(ErrorKind::ForeignIndex { field });
        self.index.check_chunks(index)?;
        let places = self.passkeys.keys().map(|&position| {
            let found = self.entry_of(position);
            (position, found.map(|(i, entry)| (i as u64, entry.place_of(position))))
        });
        let claimed =
            index.passkeys().map(|passkey| (passkey.position, Some((passkey.chunk_id, passkey.offset))));
        if !places.eq(claimed) {
            return Err(foreign("a passkey"));
        }
        let spans = self.spans.iter().map(|(name, span)| (&**name, span.start, span.len));
        if !spans.eq(index.spans().map(|span| (span.name, span.start, span.len))) {
            return Err(foreign("a span"));
        }
        Ok(())
    }
}

/// A ledger as it was found.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) state: State,
    pub(super) tail: Option<TornTail>,
    pub(super) index: IndexState,
}

/// The stride of the anchors where nothing else is asked for.
pub const DEFAULT_ANCHOR_STRIDE: u32 = 8;

/// Reads a ledger: the headers of what its index covers, which has to agree, and everything beyond.
///
/// Memory: 64 bytes for each chunk, the marks, and one chunk at a time.
pub(super) fn open<S: Source + ?Sized>(
    source: &S,
    index: Option<&Index<'_>>,
    key: Option<&Key>,
) -> Result<Opened> {
    let io = LedgerError::io(Part::Ledger);
    let len = source.len().map_err(io)?;
    let stride = index.map_or(DEFAULT_ANCHOR_STRIDE, Index::anchor_stride);
    let builder = IndexBuilder::new(stride).map_err(LedgerError::Index)?;
    let mut state = State::new(builder, None);
    let mut buffer = Vec::new();
    let committed = index.map_or(0, Index::ledger_len);
    if let Some(index) = index {
        if let Some(key) = key {
            verify_frame(index.frame(), Some(key)).map_err(LedgerError::Index)?;
        }
        if committed > len {
            let cut = ErrorKind::LedgerCut { covered: committed, found: len };
            return Err(LedgerError::Index(Error::caller(cut)));
        }
        while state.index.ledger_len() < committed {
            let offset = state.index.ledger_len();
            let chunk = state.index.chunk_count();
            let header = header_at(source, &mut buffer, offset, len).map_err(io)?;
            let pushed = header.and_then(|header| {
                let chunk = ChunkHeader::from_header(&header)?;
                state.check_follows(&chunk)?;
                state.check_marks(&chunk)?;
                let missing = || Error::new(ErrorKind::DigestMissing, header.place_of(TlvType::DIGEST));
                let digest = *header.claimed_digest().ok_or_else(missing)?;
                state.push(&chunk, &digest)
            });
            if let Err(error) = pushed {
                // A header that lies about its length is seen by the next one.
                if let Some(before) = state.entries.last()
                    && let Err(error) = chunk_at(source, &mut buffer, before.offset, len).map_err(io)?
                {
                    let error = error.nested(before.offset);
                    return Err(LedgerError::Damaged { chunk: chunk.saturating_sub(1), error });
                }
                // What is wrong with the whole chunk comes before what is wrong with its header.
                let whole = chunk_at(source, &mut buffer, offset, len).map_err(io)?;
                let error = whole.err().unwrap_or(error).nested(offset);
                return Err(LedgerError::Damaged { chunk, error });
            }
            if chunk == 0 {
                let identity = state.identity.as_ref();
                identity.map_or(Ok(()), |own| own.check_index(index)).map_err(LedgerError::Index)?;
            }
        }
        // One that ends in the middle of a chunk is not this ledger's either.
        if let Err(foreign) = state.check_index(index) {
            // What is wrong with a chunk comes first: its header alone did not show it.
            for (entry, chunk) in state.entries.iter().zip(0u64..) {
                let whole = chunk_at(source, &mut buffer, entry.offset, len).map_err(io)?;
                if let Err(error) = whole.and_then(|whole| verify_frame(whole.frame(), key)) {
                    let error = error.nested(entry.offset);
                    return Err(LedgerError::Damaged { chunk, error });
                }
            }
            return Err(LedgerError::Index(foreign));
        }
    }

    let covered = state.index.chunk_count();
    let mut tail = None;
    while state.index.ledger_len() < len {
        let offset = state.index.ledger_len();
        let frame = frame_at(source, &mut buffer, offset, len).map_err(io)?;
        let (torn, error) = match frame {
            Ok(frame) => {
                let chunk = Chunk::from_frame(&frame);
                // An index of no chunks is held to the first one, before that is to the key.
                if let (Some(index), None, Ok(first)) = (index, &state.identity, &chunk)
                    && state.check_follows(first).is_ok()
                {
                    Identity::of(first.header()).check_index(index).map_err(LedgerError::Index)?;
                }
                match chunk.and_then(|chunk| admit(&mut state, &chunk, key)) {
                    Ok(()) => continue,
                    Err(error) => (index.is_some() && is_old_content(&state, &frame), error),
                }
            }
            Err(error) => {
                let start = state.index.chunk_count() == 0;
                let torn = match error.kind() {
                    // A magic that is not there can be torn, but then it is the beginning of a ledger that is.
                    _ if index.is_none() && start && !begins_with_magic(source, len).map_err(io)? => false,
                    // With an index it was never committed, and a version byte can be torn too.
                    ErrorKind::Magic { found: [b'B', b'I', b'T', version] } => index.is_some() || version < 2,
                    ErrorKind::CriticalTlv { .. } | ErrorKind::ReservedTlv { .. } => {
                        !is_of_later_version(source, &mut buffer, offset, len).map_err(io)?
                    }
                    kind => is_structure(kind),
                };
                let torn = torn
                    && (index.is_some() || !whole_chunk_follows(source, &state, offset, len).map_err(io)?);
                (torn, error)
            }
        };
        let error = error.nested(offset);
        if !torn {
            return Err(LedgerError::Damaged { chunk: state.index.chunk_count(), error });
        }
        tail = Some(TornTail { offset, len: len.saturating_sub(offset), error });
        break;
    }
    if let (Some(index), None) = (index, &state.identity) {
        state.identity = Some(Identity::of(&index.frame().header()));
    }
    let index = match index {
        None => IndexState::Missing,
        Some(_) => {
            let chunks = state.index.chunk_count().saturating_sub(covered);
            if chunks == 0 { IndexState::Current } else { IndexState::Stale { chunks } }
        }
    };
    Ok(Opened { state, tail, index })
}

/// Takes a whole chunk by the rules of the ledger. The error's offset counts from the frame's start.
fn admit(state: &mut State, chunk: &Chunk<'_>, key: Option<&Key>) -> Result<(), Error> {
    state.check_follows(chunk)?;
    verify_frame(chunk.frame(), key)?;
    state.check_marks(chunk)?;
    state.push(chunk, chunk.digest())
}

/// Verifies HMAC_V1 if there is a key.
pub(super) fn verify_frame(frame: &Frame<'_>, key: Option<&Key>) -> Result<(), Error> {
    #[cfg(feature = "hmac")]
    if let Some(key) = key {
        frame.verify(key)?;
    }
    #[cfg(not(feature = "hmac"))]
    let _ = (frame, key);
    Ok(())
}

/// Enough for the header of a chunk with few marks and a short context.
const HEADER_GUESS: u64 = 512;

/// What `read` makes of the header at `offset`; more bytes are fetched as long as it finds the header cut short, up to
/// `end`.
fn with_header<'a, S: Source + ?Sized, T>(
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    end: u64,
    read: fn(&'a [u8]) -> Result<T, Error>,
) -> io::Result<Result<T, Error>> {
    let available = end.saturating_sub(offset);
    if let Some(bytes) = source.bytes() {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let to = usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
        return Ok(read(bytes.get(from..to).unwrap_or_default()));
    }
    let mut guess = HEADER_GUESS;
    // Looked at with a first reader that lends nothing, so that the buffer can grow between.
    loop {
        let len = guess.min(available);
        let bytes = fetch(source, buffer, offset, len)?;
        match FrameHeader::measure_unknown(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::Truncated { .. }) && len < available => {
                guess = guess.saturating_mul(4);
            }
            _ => break,
        }
    }
    let len = usize::try_from(guess.min(available)).unwrap_or(usize::MAX);
    Ok(read(buffer.get(..len).unwrap_or_default()))
}

/// The header at `offset` of a frame that ends at or before `end`.
fn header_at<'a, S: Source + ?Sized>(
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    end: u64,
) -> io::Result<Result<FrameHeader<'a>, Error>> {
    with_header(source, buffer, offset, end, FrameHeader::parse)
}

/// The frame that starts at `offset`, checked. The error's offset counts from there.
fn frame_at<'a, S: Source + ?Sized>(
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    end: u64,
) -> io::Result<Result<Frame<'a>, Error>> {
    let available = end.saturating_sub(offset);
    let len = match with_header(source, buffer, offset, end, FrameHeader::measure)? {
        Ok((header, payload)) => {
            let left = available.saturating_sub(header);
            if payload > left.saturating_sub(2) || left < 2 {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                return Ok(Err(Error::new(payload_truncated(payload, left), header)));
            }
            // Both fit what is there.
            header.saturating_add(payload).saturating_add(2)
        }
        Err(error) => return Ok(Err(error)),
    };
    let bytes = fetch(source, buffer, offset, len)?;
    Ok(Frame::parse_exact(bytes))
}

/// The chunk whose frame starts at `offset`, checked whole. The error's offset counts from there.
pub(super) fn chunk_at<'a, S: Source + ?Sized>(
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    end: u64,
) -> io::Result<Result<Chunk<'a>, Error>> {
    Ok(frame_at(source, buffer, offset, end)?.and_then(|frame| Chunk::from_frame(&frame)))
}

/// The length that the frame at the start of a source of `end` bytes announces; if it is no frame, enough to see that.
pub(super) fn announced_len<S: Source + ?Sized>(
    source: &S,
    buffer: &mut Vec<u8>,
    end: u64,
) -> io::Result<u64> {
    Ok(match with_header(source, buffer, 0, end, FrameHeader::measure)? {
        Ok((header, payload)) => header.saturating_add(payload).saturating_add(2),
        Err(error) => error.offset().saturating_add(HEADER_GUESS),
    })
}

/// Whether a frame that fails so may be one that was not written to its end: steps 1 to 6 of spec/frame.md, and 13.
const fn is_structure(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    matches!(
        kind,
        K::Truncated { .. }
            | K::Size { .. }
            | K::Magic { .. }
            | K::TlvOrder { .. }
            | K::ConfigNotFirst { .. }
            | K::TlvLength { .. }
            | K::Crc { .. }
            | K::Digest
    )
}

/// Whether a whole frame that may not stand there can be old content of the disk: of the index, or of the ledger
/// elsewhere.
fn is_old_content(state: &State, frame: &Frame<'_>) -> bool {
    let next = (state.index.chunk_count(), state.index.total_tokens());
    frame.kind() != Kind::LEDGER_CHUNK
        || Chunk::from_frame(frame).is_ok_and(|chunk| (chunk.id(), chunk.start()) != next)
}

/// Whether a source begins with the magic, or is the beginning of it.
fn begins_with_magic<S: Source + ?Sized>(source: &S, len: u64) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    let there = usize::try_from(len).unwrap_or(usize::MAX).min(MAGIC.len());
    let start = start.get_mut(..there).unwrap_or_default();
    source.read_exact_at(start, 0)?;
    Ok(MAGIC.starts_with(start))
}

/// Whether a frame that is refused for its TLV types has a good CRC all the same: then nothing tore it.
fn is_of_later_version<S: Source + ?Sized>(
    source: &S,
    buffer: &mut Vec<u8>,
    offset: u64,
    end: u64,
) -> io::Result<bool> {
    let len = match with_header(source, buffer, offset, end, FrameHeader::measure_unknown)? {
        Ok(len) if len <= end.saturating_sub(offset) => len,
        _ => return Ok(false),
    };
    let covered = fetch(source, buffer, offset, len)?.get(MAGIC.len()..).unwrap_or_default();
    // A CRC over what it covers and itself is 0.
    Ok(crc16(covered) == 0)
}

/// Whether a whole chunk of this ledger that is not among those of `state` follows anywhere after `offset`.
///
/// Linear: what starts with the magic and claims to be such a chunk is checked, but for no more bytes altogether than
/// four times the rest of the ledger. A rest that costs more was made to, and counts as damage.
fn whole_chunk_follows<S: Source + ?Sized>(
    source: &S,
    state: &State,
    offset: u64,
    end: u64,
) -> io::Result<bool> {
    const WINDOW: u64 = 1 << 20;
    let mut budget = end.saturating_sub(offset).saturating_mul(4).saturating_add(WINDOW);
    let (mut window, mut buffer) = (Vec::new(), Vec::new());
    let next = state.index.chunk_count();
    let mut at = offset.saturating_add(1);
    while at < end {
        let len = WINDOW.min(end.saturating_sub(at));
        let bytes = fetch(source, &mut window, at, len)?;
        for (candidate, _) in (at..).zip(bytes.windows(MAGIC.len())).filter(|(_, four)| **four == MAGIC) {
            buffer.clear();
            let header = header_at(source, &mut buffer, candidate, end)?;
            // How far it was looked at to find out; and fetched, which can be further.
            let read = header.as_ref().map_or_else(Error::offset, FrameHeader::len);
            let claimed = header.ok().filter(|claimed| {
                let same = state.identity.as_ref().is_none_or(|identity| claimed.ctx() == identity.ctx);
                let fits = claimed.frame_len().is_ok_and(|len| len <= end.saturating_sub(candidate));
                same && fits && ChunkHeader::from_header(claimed).is_ok_and(|chunk| chunk.id() >= next)
            });
            let frame_len = claimed.map_or(0, |claimed| claimed.frame_len().unwrap_or(u64::MAX));
            let fetched = (buffer.len() as u64).saturating_mul(2);
            let cost = read.saturating_mul(4).max(fetched).max(HEADER_GUESS);
            let Some(left) = budget.checked_sub(cost) else {
                return Ok(true);
            };
            let Some(left) = left.checked_sub(frame_len) else { return Ok(true) };
            budget = left;
            if frame_len != 0 && chunk_at(source, &mut buffer, candidate, end)?.is_ok() {
                return Ok(true);
            }
        }
        // Windows overlap by what a magic may straddle.
        let step = if len < WINDOW { len } else { len.saturating_sub(const { MAGIC.len() as u64 - 1 }) };
        at = at.saturating_add(step);
    }
    Ok(false)
}

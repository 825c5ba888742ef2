//! Reading a ledger's files.
#![deny(clippy::arithmetic_side_effects)]

use std::boxed::Box;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::Vec;

use super::Key;
use super::chunk::{self, Chunk, Encoding};
use super::error::{LedgerError, Result};
use super::index::{Index, Passkey};
use super::marks::Span;
use super::merkle::{Digest, Proof};
use super::scan::{self, IndexState, Opened, State, TornTail};
use super::source::{Source, fetch};
use super::storage::{Access, LedgerPath, Part, Storage};
use crate::error::{Error, ErrorKind};
#[cfg(feature = "mmap")]
use crate::io::Map;

/// A ledger, read: tokens by position, spans, passkeys, proofs.
///
/// Opening reads the headers of all chunks that the index covers, holds the index to them, and checks whole what is
/// beyond, or all without an index. A chunk is checked whole (CRC-16, digest, HMAC if there is a key) before
/// anything of it is given out; where the bytes are in memory that is done once for each chunk and then remembered.
/// What is damaged gives an error; what is torn at the end is not read, and [`tail`](Self::tail) says so.
///
/// Memory: 64 bytes for each chunk (8 MiB for 10^9 tokens in chunks of 8,192), and the marks. For single tokens of a
/// ledger so large that reading its headers takes too long, see [`Index::find`].
#[derive(Debug)]
pub struct LedgerReader<S> {
    source: S,
    state: State,
    tail: Option<TornTail>,
    index_state: IndexState,
    /// The tokens of the passkeys that the index has: claims.
    claimed: Vec<Passkey>,
    key: Option<Key>,
    /// A bit for each chunk that was checked. Not every 32-bit machine has atomics of 64.
    checked: Box<[AtomicU32]>,
    /// The last chunk that was read, where they are not.
    last: Mutex<Option<(usize, Arc<[u8]>)>>,
}

/// How much of a ledger was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of chunks checked.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// A ledger that was verified whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its chunks.
    pub chunks: u64,
    /// Its tokens.
    pub tokens: u64,
    /// The bytes of its chunks.
    pub bytes: u64,
    /// The root of the Merkle tree over their digests. With the number of chunks it stands for every token.
    pub root: Digest,
}

impl LedgerReader<File> {
    /// Opens the ledger at `path`, and its index beside it if there is one.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`LedgerError::Io`] if there is no ledger or it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (file, index) = files(path.as_ref())?;
        Self::new(file, index.as_deref())
    }

    /// The same with a key: every frame has to verify.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg(feature = "hmac")]
    pub fn open_signed(path: impl AsRef<Path>, key: Key) -> Result<Self> {
        let (file, index) = files(path.as_ref())?;
        Self::new_signed(file, index.as_deref(), key)
    }
}

#[cfg(feature = "mmap")]
impl LedgerReader<Map> {
    /// Opens the ledger at `path` as a map into memory: the fastest way to recall.
    ///
    /// Nobody may cut the file short meanwhile: reading a part of a map that is no longer there ends the process
    /// (SIGBUS), and bytes that are changed under a map change what was checked. A ledger is only ever appended to, and
    /// a writer that cuts a torn tail cuts what no reader reads; but
    /// [`LedgerWriter::abandon`](super::LedgerWriter::abandon) cuts whole chunks that a reader may have found beyond
    /// the index.
    ///
    /// # Errors
    /// As [`LedgerReader::open`].
    pub fn map(path: impl AsRef<Path>) -> Result<Self> {
        let (file, index) = files(path.as_ref())?;
        Self::new(map(&file)?, index.as_deref())
    }

    /// The same with a key: every frame has to verify.
    ///
    /// # Errors
    /// As [`LedgerReader::open`].
    #[cfg(feature = "hmac")]
    pub fn map_signed(path: impl AsRef<Path>, key: Key) -> Result<Self> {
        let (file, index) = files(path.as_ref())?;
        Self::new_signed(map(&file)?, index.as_deref(), key)
    }
}

#[cfg(feature = "mmap")]
pub(super) fn map(file: &File) -> Result<Map> {
    Map::new(file).map_err(LedgerError::io(Part::Ledger))
}

/// The storage at a path.
pub(super) fn at(path: &Path) -> Result<LedgerPath> {
    let io = LedgerError::io(Part::Ledger);
    LedgerPath::new(path).map_err(|error| io(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

/// The ledger and the bytes of its index. The index is read first: a ledger only grows, so it covers that index.
pub(super) fn files(path: &Path) -> Result<(File, Option<Vec<u8>>)> {
    let storage = at(path)?;
    let index = read_index(&storage)?;
    let file = storage.open(Part::Ledger, Access::Read).map_err(LedgerError::io(Part::Ledger))?;
    let missing = || LedgerError::io(Part::Ledger)(io::ErrorKind::NotFound.into());
    Ok((file.ok_or_else(missing)?, index))
}

/// The bytes of a ledger's index, if there is one.
pub(super) fn read_index<S: Storage>(storage: &S) -> Result<Option<Vec<u8>>> {
    let io = LedgerError::io(Part::Index);
    let Some(file) = storage.open(Part::Index, Access::Read).map_err(io)? else { return Ok(None) };
    let mut bytes = Vec::new();
    // As much as the frame says, and a byte more that shows if something follows: a file may be long and hollow.
    let len = file.len().map_err(io)?;
    let len = scan::announced_len(&file, &mut bytes, len).map_err(io)?.saturating_add(1).min(len);
    fetch(&file, &mut bytes, 0, len).map_err(io)?;
    bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    Ok(Some(bytes))
}

impl<S: Source> LedgerReader<S> {
    /// Reads a ledger from `source`, with the bytes of its index if there is one.
    ///
    /// Cost: with an index one header for each chunk; without, one pass over everything.
    ///
    /// # Errors
    /// [`LedgerError::Index`] for an index that is damaged or not this ledger's; [`LedgerError::Damaged`] where a chunk
    /// before the torn tail is not as it has to be; [`LedgerError::Io`].
    pub fn new(source: S, index: Option<&[u8]>) -> Result<Self> {
        Self::with(source, index, None)
    }

    /// The same with a key: every frame has to verify.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "hmac")]
    pub fn new_signed(source: S, index: Option<&[u8]>, key: Key) -> Result<Self> {
        Self::with(source, index, Some(key))
    }

    fn with(source: S, index: Option<&[u8]>, key: Option<Key>) -> Result<Self> {
        let index = index.map(Index::parse_exact).transpose().map_err(LedgerError::Index)?;
        let Opened { state, tail, index: index_state } = scan::open(&source, index.as_ref(), key.as_ref())?;
        let words = state.entries.len().div_ceil(32);
        Ok(Self {
            source,
            tail,
            index_state,
            claimed: index.map(|index| index.passkeys().collect()).unwrap_or_default(),
            key,
            checked: (0..words).map(|_| AtomicU32::new(0)).collect(),
            last: Mutex::new(None),
            state,
        })
    }

    /// What is torn at the end, if anything is: bytes that were never committed.
    pub const fn tail(&self) -> Option<&TornTail> {
        self.tail.as_ref()
    }

    /// How the index was found.
    pub const fn index_state(&self) -> IndexState {
        self.index_state
    }

    /// Tokens of all whole chunks.
    pub const fn total_tokens(&self) -> u64 {
        self.state.index.total_tokens()
    }

    /// Whole chunks.
    pub const fn chunk_count(&self) -> u64 {
        self.state.index.chunk_count()
    }

    /// Tokens of the longest whole chunk, 0 if there is none.
    pub const fn longest_chunk(&self) -> u32 {
        self.state.index.chunk_tokens()
    }

    /// Whole chunks by how they store their tokens.
    pub fn encodings(&self) -> BTreeMap<Encoding, u64> {
        self.state.encodings()
    }

    /// Bytes of the whole chunks.
    pub const fn ledger_len(&self) -> u64 {
        self.state.index.ledger_len()
    }

    /// Whether its frames carry HMAC_V1; `None` for a ledger that has none yet.
    pub fn is_signed(&self) -> Option<bool> {
        self.state.identity.as_ref().map(|identity| identity.signed)
    }

    /// CONTEXT_V1 of its frames.
    pub fn context_json(&self) -> Option<&[u8]> {
        self.state.identity.as_ref()?.context_json.as_deref()
    }

    /// The root of the Merkle tree over the digests that the chunks claim. [`verify`](Self::verify) gives the one
    /// over those they have.
    pub fn claimed_root(&self) -> Digest {
        self.state.index.root()
    }

    /// The token at a position.
    ///
    /// Cost: O(log chunks), and the check of its chunk at the first use; in memory a few ns after that.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] past the last token; [`LedgerError::Damaged`]; [`LedgerError::Io`].
    pub fn recall(&self, position: u64) -> Result<u32> {
        let (i, entry) = self.state.entry_of(position).ok_or_else(|| self.beyond(position))?;
        let place = entry.place_of(position);
        self.with_payload(i, |payload| chunk::token_at(payload, entry.encoding, entry.len, place))?
            .ok_or_else(|| self.beyond(position))
    }

    /// The tokens from a position on, as many as `out` has room for.
    ///
    /// # Errors
    /// As [`recall`](Self::recall), also if the range goes past the last token; `out` may then be changed in part.
    pub fn recall_into(&self, position: u64, mut out: &mut [u32]) -> Result<()> {
        let end = position.saturating_add(out.len() as u64);
        if end > self.total_tokens() {
            return Err(self.beyond(end.saturating_sub(1)));
        }
        let mut at = position;
        while !out.is_empty() {
            let (i, entry) = self.state.entry_of(at).ok_or_else(|| self.beyond(at))?;
            let there = usize::try_from(entry.end().saturating_sub(at)).unwrap_or(usize::MAX);
            let len = there.min(out.len());
            let Some((head, rest)) = out.split_at_mut_checked(len) else { break };
            let place = entry.place_of(at);
            self.with_payload(i, |payload| {
                chunk::decode_into(payload, entry.encoding, entry.len, place, head)
            })?
            .map_err(LedgerError::Refused)?;
            out = rest;
            at = at.saturating_add(len as u64);
        }
        Ok(())
    }

    /// The tokens of a range of positions.
    ///
    /// # Errors
    /// As [`recall_into`](Self::recall_into).
    pub fn recall_range(&self, positions: Range<u64>) -> Result<Vec<u32>> {
        let len = positions.end.saturating_sub(positions.start);
        if positions.end > self.total_tokens() {
            return Err(self.beyond(positions.end.saturating_sub(1)));
        }
        let memory = || LedgerError::io(Part::Ledger)(io::ErrorKind::OutOfMemory.into());
        let len = usize::try_from(len).map_err(|_| memory())?;
        let mut tokens = Vec::new();
        tokens.try_reserve_exact(len).map_err(|_| memory())?;
        tokens.resize(len, 0);
        self.recall_into(positions.start, &mut tokens)?;
        Ok(tokens)
    }

    /// The span of a name; the chunk that carries the mark is checked.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with [`ErrorKind::Unknown`] if there is none; [`LedgerError::Damaged`];
    /// [`LedgerError::Io`].
    pub fn span(&self, name: &str) -> Result<Span<'_>> {
        let unknown = || LedgerError::Refused(Error::caller(ErrorKind::Unknown { field: "span" }));
        let (name, span) = self.state.spans.get_key_value(name).ok_or_else(unknown)?;
        self.check_chunk(span.carrier)?;
        Ok(Span { name, start: span.start, len: span.len })
    }

    /// All spans, by name.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`]; [`LedgerError::Io`].
    pub fn spans(&self) -> Result<Vec<Span<'_>>> {
        self.state.spans.keys().map(|name| self.span(name)).collect()
    }

    /// The passkey at a position, with its token; the chunk that carries the mark and the one that holds the token are
    /// checked, and the index if it names another token.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with [`ErrorKind::Unknown`] if the position is not marked; [`LedgerError::Index`];
    /// [`LedgerError::Damaged`]; [`LedgerError::Io`].
    pub fn passkey(&self, position: u64) -> Result<Passkey> {
        let unknown = || LedgerError::Refused(Error::caller(ErrorKind::Unknown { field: "passkey" }));
        let carrier = *self.state.passkeys.get(&position).ok_or_else(unknown)?;
        self.check_chunk(carrier)?;
        let (i, entry) = self.state.entry_of(position).ok_or_else(unknown)?;
        let token = self.recall(position)?;
        let claimed = self.claimed.binary_search_by_key(&position, |passkey| passkey.position);
        let claimed = claimed.ok().and_then(|i| self.claimed.get(i));
        if claimed.is_some_and(|claimed| claimed.token != token) {
            return Err(LedgerError::Index(Error::caller(ErrorKind::ForeignIndex { field: "a passkey" })));
        }
        Ok(Passkey { position, chunk_id: i as u64, offset: entry.place_of(position), token })
    }

    /// All passkeys, by position.
    ///
    /// # Errors
    /// As [`passkey`](Self::passkey).
    pub fn passkeys(&self) -> Result<Vec<Passkey>> {
        self.state.passkeys.keys().map(|&position| self.passkey(position)).collect()
    }

    /// The frame of a chunk, checked.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] past the last chunk; [`LedgerError::Damaged`]; [`LedgerError::Io`].
    pub fn chunk(&self, chunk_id: u64) -> Result<Vec<u8>> {
        let (offset, len) = usize::try_from(chunk_id)
            .ok()
            .and_then(|i| self.state.frame_of(i))
            .ok_or_else(|| self.no_chunk(chunk_id))?;
        let mut buffer = Vec::new();
        // A copy is checked, and not what may change under a map meanwhile.
        let bytes = fetch(&self.source, &mut buffer, offset, len).map(Vec::from);
        let bytes = bytes.map_err(LedgerError::io(Part::Ledger))?;
        self.check(chunk_id as usize, &bytes)?;
        Ok(bytes)
    }

    /// The proof file that chunk `chunk_id` is one of [`chunk_count`](Self::chunk_count) under the root. The chunk is
    /// checked; the others are taken at their word, so that a proof for a damaged ledger does not lead to the true
    /// root.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] past the last chunk; [`LedgerError::Damaged`]; [`LedgerError::Io`].
    pub fn prove(&self, chunk_id: u64) -> Result<Vec<u8>> {
        self.check_chunk(chunk_id)?;
        let mut path = [[0; 32]; Proof::MAX_PATH];
        let proof = Proof::inclusion(&self.state.digests, chunk_id, &mut path);
        proof.map(|proof| proof.encode()).map_err(LedgerError::Refused)
    }

    /// The proof file that the ledger of the first `old_count` chunks is the beginning of this one.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for 0 and for more chunks than there are.
    pub fn prove_consistency(&self, old_count: u64) -> Result<Vec<u8>> {
        let mut path = [[0; 32]; Proof::MAX_PATH];
        let proof = Proof::consistency(&self.state.digests, old_count, &mut path);
        proof.map(|proof| proof.encode()).map_err(LedgerError::Refused)
    }

    /// Checks everything: every chunk whole, on as many threads as the machine has, then the marks and what the index
    /// says of them. `progress` is called after every few hundred kilobytes, from any of the threads.
    ///
    /// Cost: one SHA-256 over the ledger, divided by the threads; with `simd` several chunks are hashed together in
    /// each.
    ///
    /// # Errors
    /// [`LedgerError::Damaged`] for the first damaged chunk; [`LedgerError::Index`]; [`LedgerError::Io`]. A torn tail
    /// is no error.
    pub fn verify(&self, progress: impl Fn(Progress) + Sync) -> Result<Verified>
    where
        S: Sync,
    {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.verify_on(threads, progress)
    }

    /// The same on at most `threads` threads.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_on(&self, threads: usize, progress: impl Fn(Progress) + Sync) -> Result<Verified>
    where
        S: Sync,
    {
        super::verify::chunks(self, threads, &progress)?;
        self.passkeys()?;
        Ok(Verified {
            chunks: self.chunk_count(),
            tokens: self.total_tokens(),
            bytes: self.ledger_len(),
            root: self.claimed_root(),
        })
    }

    /// The index of this ledger as a frame, with an anchor at every `anchor_stride`th chunk.
    ///
    /// # Errors
    /// As [`passkeys`](Self::passkeys); [`LedgerError::Refused`] for a stride of 0, where nothing tells the context
    /// yet, and with [`ErrorKind::HmacMissing`] for a signed ledger that was opened without its key.
    pub fn index(&self, anchor_stride: u32) -> Result<Vec<u8>> {
        let unknown = || LedgerError::Refused(Error::caller(ErrorKind::Unknown { field: "context" }));
        let identity = self.state.identity.as_ref().ok_or_else(unknown)?;
        let mut index = self.state.index_with_stride(anchor_stride).map_err(LedgerError::Refused)?;
        for passkey in self.passkeys()? {
            index.push_passkey(passkey).map_err(LedgerError::Refused)?;
        }
        for span in self.spans()? {
            index.push_span(span).map_err(LedgerError::Refused)?;
        }
        identity.encode_index(&index, self.key.as_ref()).map_err(LedgerError::Refused)
    }

    pub(super) const fn state(&self) -> &State {
        &self.state
    }

    pub(super) const fn source(&self) -> &S {
        &self.source
    }

    /// Checks chunk `chunk_id` whole, if that was not done before.
    fn check_chunk(&self, chunk_id: u64) -> Result<()> {
        let i = usize::try_from(chunk_id).map_err(|_| self.no_chunk(chunk_id))?;
        // Remembered where nothing of the chunk is read again: else many marks of one large chunk would cost many
        // checks of it.
        if !self.is_checked(i) {
            self.with_payload(i, |_| ())?;
        }
        Ok(())
    }

    /// What `read` makes of chunk `i`'s payload, which is checked first.
    #[inline]
    fn with_payload<T>(&self, i: usize, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let (offset, len) = self.state.frame_of(i).ok_or_else(|| self.no_chunk(i as u64))?;
        let Some(bytes) = self.source.bytes() else {
            return self.frame(i, offset, len).map(|frame| read(self.payload_of(i, &frame)));
        };
        let frame = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get(offset..))
            .and_then(|rest| rest.get(..usize::try_from(len).ok()?));
        let cut = || LedgerError::Io { part: Part::Ledger, error: io::ErrorKind::UnexpectedEof.into() };
        let frame = frame.ok_or_else(cut)?;
        if !self.is_checked(i) {
            self.check(i, frame)?;
            self.set_checked(i);
        }
        Ok(read(self.payload_of(i, frame)))
    }

    /// Chunk `i`'s frame, checked, from a source that is not in memory. The last one is kept.
    fn frame(&self, i: usize, offset: u64, len: u64) -> Result<Arc<[u8]>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((place, frame)) = &*last
            && *place == i
        {
            return Ok(Arc::clone(frame));
        }
        let mut buffer = Vec::new();
        let bytes = fetch(&self.source, &mut buffer, offset, len).map_err(LedgerError::io(Part::Ledger))?;
        self.check(i, bytes)?;
        self.set_checked(i);
        let frame: Arc<[u8]> = Arc::from(bytes);
        *last = Some((i, Arc::clone(&frame)));
        Ok(frame)
    }

    /// Checks the bytes of chunk `i`'s frame whole, and that they are what the ledger had when it was opened.
    pub(super) fn check(&self, i: usize, frame: &[u8]) -> Result<()> {
        let chunk = Chunk::parse_exact(frame).map_err(|error| self.damaged(i, error))?;
        self.check_parsed(i, &chunk)
    }

    /// The part of [`check`](Self::check) that goes beyond the frame.
    pub(super) fn check_parsed(&self, i: usize, chunk: &Chunk<'_>) -> Result<()> {
        scan::verify_frame(chunk.frame(), self.key.as_ref()).map_err(|error| self.damaged(i, error))?;
        let same_digest = self.state.digests.get(i) == Some(chunk.digest());
        // Padding is not in the digest.
        let same_place = self.state.entries.get(i).is_some_and(|entry| {
            u64::from(entry.header_len) == chunk.frame().payload_offset()
                && entry.encoding == chunk.encoding()
        });
        if same_digest && same_place {
            Ok(())
        } else {
            Err(self.damaged(i, Error::new(ErrorKind::Digest, 0)))
        }
    }

    /// An error of chunk `i` with its offset from the chunk's frame.
    pub(super) fn damaged(&self, i: usize, error: Error) -> LedgerError {
        let offset = self.state.entries.get(i).map_or(0, |entry| entry.offset);
        LedgerError::Damaged { chunk: i as u64, error: error.nested(offset) }
    }

    fn payload_of<'f>(&self, i: usize, frame: &'f [u8]) -> &'f [u8] {
        let from = self.state.entries.get(i).map_or(0, |entry| entry.header_len as usize);
        frame.get(from..frame.len().saturating_sub(2)).unwrap_or_default()
    }

    #[inline]
    fn is_checked(&self, i: usize) -> bool {
        let word = self.checked.get(i / 32).map_or(0, |word| word.load(Ordering::Relaxed));
        word >> (i % 32) & 1 == 1
    }

    pub(super) fn set_checked(&self, i: usize) {
        if let Some(word) = self.checked.get(i / 32) {
            word.fetch_or(1 << (i % 32), Ordering::Relaxed);
        }
    }

    fn beyond(&self, position: u64) -> LedgerError {
        let (end, found) = (self.total_tokens(), position.saturating_add(1));
        LedgerError::Refused(Error::caller(ErrorKind::PastEnd { field: "the position", end, found }))
    }

    fn no_chunk(&self, chunk_id: u64) -> LedgerError {
        let (end, found) = (self.chunk_count(), chunk_id.saturating_add(1));
        LedgerError::Refused(Error::caller(ErrorKind::PastEnd { field: "the chunk", end, found }))
    }
}

//! Writing a ledger's files.
#![deny(clippy::arithmetic_side_effects)]

use std::borrow::ToOwned;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::Key;
use super::chunk::{Chunk, ChunkHeader, Encoding};
use super::encode::ChunkBuilder;
use super::error::{LedgerError, Result};
use super::index::{Index, Passkey};
use super::index_build::IndexBuilder;
use super::marks::{MarksRaw, PASSKEY_LEN, Span, encode_marks, encoded_marks_len, span_len};
use super::merkle::Digest;
use super::reader::{at, read_index};
use super::scan::{self, DEFAULT_ANCHOR_STRIDE, Identity, IndexState, Opened, State, TornTail};
use super::storage::{Access, LedgerPath, Part, Storage, StorageFile};
use crate::error::{Error, ErrorKind};
use crate::frame::{Context, FrameHeader};

/// Tokens in a chunk where nothing else is asked for.
pub const DEFAULT_CHUNK_TOKENS: u32 = 8192;

/// Bytes of marks that a chunk can carry: a TLV's, less the two counts.
const MARKS_ROOM: usize = u16::MAX as usize - size_of::<MarksRaw>();

/// Chunks are handed to the system in pieces of about this size.
const WRITE_SIZE: usize = 1 << 20;

/// How a writer stores the tokens of each chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodingRule {
    /// With the smallest payload.
    #[default]
    Auto,
    /// As u16 where all tokens fit, else as u32.
    Raw,
    /// Bit-packed at the width of the largest token.
    Packed,
    /// As said; a token that does not fit is an error.
    Exactly(Encoding),
}

impl EncodingRule {
    fn choose(self, tokens: &[u32]) -> Encoding {
        match self {
            Self::Auto => Encoding::smallest(tokens),
            Self::Raw => Encoding::raw(tokens),
            Self::Packed => Encoding::packed(tokens),
            Self::Exactly(encoding) => encoding,
        }
    }
}

/// What a ledger is written with. The defaults: 8,192 tokens in a chunk, an anchor at every 8th, the smallest encoding,
/// the context of the ledger that is there or else one of empty ids, no key.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    chunk_tokens: u32,
    anchor_stride: Option<u32>,
    encoding: EncodingRule,
    context: Option<Context>,
    pub(super) key: Option<Key>,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        Self {
            chunk_tokens: DEFAULT_CHUNK_TOKENS,
            anchor_stride: None,
            encoding: EncodingRule::Auto,
            context: None,
            key: None,
        }
    }
}

impl LedgerOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tokens in a chunk, at least 1. A writer holds that many in memory, 4 bytes each.
    #[must_use]
    pub fn chunk_tokens(mut self, chunk_tokens: u32) -> Self {
        self.chunk_tokens = chunk_tokens;
        self
    }

    /// Every how many chunks the index has an anchor, at least 1.
    #[must_use]
    pub fn anchor_stride(mut self, anchor_stride: u32) -> Self {
        self.anchor_stride = Some(anchor_stride);
        self
    }

    /// How the tokens are stored.
    #[must_use]
    pub fn encoding(mut self, encoding: EncodingRule) -> Self {
        self.encoding = encoding;
        self
    }

    /// The context, whose `dim` has to be 0.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = Some(context);
        self
    }

    /// Signs every frame. A ledger is signed from its first chunk on or not at all.
    #[cfg(feature = "hmac")]
    #[must_use]
    pub fn sign(mut self, key: crate::frame::Key) -> Self {
        self.key = Some(key);
        self
    }

    /// What the frames of a new ledger have in common.
    fn identity(&self) -> Result<Identity, Error> {
        let context = match &self.context {
            Some(context) => context.to_owned(),
            None => Context::new("", "", "", 0)?,
        };
        let context_json = Some(context.as_str().as_bytes().into());
        Ok(Identity { ctx: context.hash(), context_json, signed: self.key.is_some() })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let refuse = |expected| Err(Error::caller(ErrorKind::Argument { expected }));
        if self.chunk_tokens == 0 {
            return refuse("a chunk has to have at least 1 token");
        }
        if self.context.as_ref().is_some_and(|context| context.dim() != 0) {
            return refuse("the dim of a ledger's context has to be 0");
        }
        if let EncodingRule::Exactly(encoding) = self.encoding {
            encoding.payload_len(u64::from(self.chunk_tokens))?;
        }
        IndexBuilder::new(self.anchor_stride.unwrap_or(DEFAULT_ANCHOR_STRIDE)).map(|_| ())
    }
}

/// What a commit made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Tokens of the ledger.
    pub tokens: u64,
    /// Its chunks.
    pub chunks: u64,
    /// Its bytes.
    pub ledger_len: u64,
    /// The bytes of its index.
    pub index_len: u64,
    /// The root of the Merkle tree over its chunks. Kept elsewhere together with `chunks`, it excludes a rollback.
    pub root: Digest,
}

/// A ledger, written: tokens in, chunks out.
///
/// # Durability
///
/// **A [`commit`](Self::commit) that returned survives a crash at any later instant**: of the process, of the system,
/// of the power. Tokens that were not committed may be there after a crash or not, from the first of them up to some
/// chunk's end; what is there is what was written. The order of a commit:
///
/// 1. chunks are appended to the ledger, and nothing that is there is touched;
/// 2. the ledger is synced;
/// 3. the new index is written to a file of its own and synced; its `ledger_len` says how far the ledger is committed;
/// 4. it takes the old index's name in one step, and the folder is synced.
///
/// After the first error of a write or sync nobody knows what is on the disk (an `fsync` that failed once may succeed
/// the next time without having written anything): the writer is *poisoned* and refuses everything. What was committed
/// before is still there. [`storage`](super::storage) says what is assumed of the disk.
///
/// A new ledger gets its index, of no chunks, before its first chunk, so that whatever a crash leaves of the first
/// commit is known to be uncommitted. One writer at a time: the second gets [`LedgerError::Locked`]. Readers need no
/// lock.
#[derive(Debug)]
pub struct LedgerWriter<S: Storage = LedgerPath> {
    storage: S,
    file: S::File,
    options: LedgerOptions,
    identity: Identity,
    state: State,
    /// Tokens that are in no chunk yet.
    tokens: Vec<u32>,
    /// Marks that are in no chunk yet.
    due_passkeys: BTreeMap<u64, u32>,
    due_spans: BTreeMap<Box<str>, (u64, u64)>,
    /// The same spans by their end: a chunk looks only at those it can carry.
    due_ends: BTreeSet<(u64, Box<str>)>,
    /// Chunks that were not handed to the system yet, and where they belong.
    out: Vec<u8>,
    out_at: u64,
    scratch: Vec<u8>,
    recovered: Option<TornTail>,
    committed: Option<Commit>,
    /// Bytes of the ledger that were there before anything was appended that no index may cover.
    kept_len: u64,
    is_new: bool,
    poisoned: bool,
    sync_time: Duration,
}

impl LedgerWriter {
    /// Makes a new ledger at `path`, with its index beside it as `PATH.idx`.
    ///
    /// # Errors
    /// As [`create_in`](Self::create_in).
    pub fn create(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Self> {
        Self::create_in(at(path.as_ref())?, options)
    }

    /// Opens the ledger at `path` to append to it.
    ///
    /// # Errors
    /// As [`open_in`](Self::open_in).
    pub fn open(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Self> {
        Self::open_in(at(path.as_ref())?, options)
    }
}

impl<S: Storage> LedgerWriter<S> {
    /// Makes a new ledger. Its index, of no chunks, is durable when this returns.
    ///
    /// # Errors
    /// [`LedgerError::Io`] with [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is one, and if the system
    /// refuses anything else; [`LedgerError::Index`] with [`ErrorKind::LedgerCut`] if the index of a ledger that is
    /// gone is there; [`LedgerError::Refused`] for options that make no sense.
    pub fn create_in(storage: S, options: LedgerOptions) -> Result<Self> {
        options.check().map_err(LedgerError::Refused)?;
        let identity = options.identity().map_err(LedgerError::Refused)?;
        let stride = options.anchor_stride.unwrap_or(DEFAULT_ANCHOR_STRIDE);
        let index = IndexBuilder::new(stride).map_err(LedgerError::Refused)?;
        // The index of a ledger that is gone is the last that is known of it.
        let is_gone =
            storage.open(Part::Ledger, Access::Read).map_err(LedgerError::io(Part::Ledger))?.is_none();
        if is_gone
            && let Some(Ok(lost)) = read_index(&storage)?.as_deref().map(Index::parse_exact)
            && lost.chunk_count() > 0
        {
            let cut = ErrorKind::LedgerCut { covered: lost.ledger_len(), found: 0 };
            return Err(LedgerError::Index(Error::caller(cut)));
        }
        let file = storage.create(Part::Ledger).map_err(LedgerError::io(Part::Ledger))?;
        match file.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(LedgerError::Locked),
            Err(error) => {
                // Where the file system knows no locks, no other writer has it either: nothing half made stays.
                let _ = storage.remove(Part::Ledger);
                return Err(LedgerError::io(Part::Ledger)(error));
            }
        }
        let state = State::new(index, Some(identity.clone()));
        let mut writer = Self::with(storage, file, options, identity, state);
        writer.is_new = true;
        match writer.publish() {
            Ok(_) => Ok(writer),
            Err(error) => {
                // Nothing half made stays, if the system lets it go; the first error is the one that tells.
                let _ = writer.abandon();
                Err(error)
            }
        }
    }

    /// Opens a ledger to append to it. A torn tail is cut off, which [`recovered`](Self::recovered) tells; whole
    /// chunks that were never committed stay, and belong to the next commit. A file without an index that does not
    /// start with a whole chunk is left alone: it need not be a ledger.
    ///
    /// Cost: as for [`LedgerReader::new`](super::LedgerReader::new), one sync, and what is beyond the index (without
    /// one, everything) is written again.
    ///
    /// # Errors
    /// [`LedgerError::Io`] if there is none, and if the system refuses anything; [`LedgerError::Locked`] if another
    /// writer has it; [`LedgerError::Damaged`] and [`LedgerError::Index`] as for
    /// [`LedgerReader::new`](super::LedgerReader::new); [`LedgerError::Refused`] for options that make no sense,
    /// another context ([`ErrorKind::ContextDiffers`]) or a key where the ledger is not signed, or none where it is
    /// ([`ErrorKind::MixedHmac`]).
    pub fn open_in(storage: S, options: LedgerOptions) -> Result<Self> {
        options.check().map_err(LedgerError::Refused)?;
        let io = LedgerError::io(Part::Ledger);
        let file = open_locked(&storage)?;
        // Whoever made it may have been stopped before its name was durable.
        storage.sync_folder().map_err(io)?;
        let index = read_index(&storage)?;
        let index = index.as_deref().map(Index::parse_exact).transpose().map_err(LedgerError::Index)?;
        let Opened { state, tail, index: found } = scan::open(&file, index.as_ref(), options.key.as_ref())?;
        if let (Some(tail), IndexState::Missing, 0) = (&tail, found, state.index.chunk_count()) {
            // No crash leaves that, as a ledger has its index before its first chunk: it may be another file.
            return Err(LedgerError::Damaged { chunk: 0, error: tail.error });
        }
        let covered = index.as_ref().map(Index::ledger_len);
        let mut writer = Self::from_state(storage, file, options, state, covered)?;
        // Also where nothing is torn: a cut whose sync failed is seen, and what it cut may still be on the disk, to
        // come back behind new chunks of the same size.
        writer.file.set_len(writer.out_at).map_err(io)?;
        writer.sync()?;
        writer.recovered = tail;
        if found == IndexState::Missing {
            // From now on something says what was committed.
            writer.publish_all()?;
        }
        Ok(writer)
    }

    /// A writer for a ledger as it was found; an index covers its first `covered` bytes.
    pub(super) fn from_state(
        storage: S,
        mut file: S::File,
        options: LedgerOptions,
        mut state: State,
        covered: Option<u64>,
    ) -> Result<Self> {
        let identity = match (&state.identity, &options.context) {
            (Some(identity), None) => identity.clone(),
            (Some(identity), Some(context)) => {
                let json = context.as_str().as_bytes();
                let same = match &identity.context_json {
                    Some(own) => **own == *json,
                    None => identity.ctx == context.hash(),
                };
                if !same {
                    return Err(LedgerError::Refused(Error::caller(ErrorKind::ContextDiffers)));
                }
                identity.clone()
            }
            // Neither a chunk nor an index.
            (None, _) => options.identity().map_err(LedgerError::Refused)?,
        };
        if identity.signed != options.key.is_some() {
            return Err(LedgerError::Refused(Error::caller(ErrorKind::MixedHmac)));
        }
        state.identity = Some(identity.clone());
        if let Some(stride) = options.anchor_stride
            && stride != state.index.anchor_stride()
        {
            state.index = state.index_with_stride(stride).map_err(LedgerError::Refused)?;
        }
        let io = LedgerError::io(Part::Ledger);
        // Without an index nothing says what was ever synced.
        rewrite(&mut file, covered.unwrap_or(0), state.index.ledger_len()).map_err(io)?;
        let mut writer = Self::with(storage, file, options, identity, state);
        writer.index_marks()?;
        Ok(writer)
    }

    /// Makes durable what was handed to the system, and publishes its index.
    pub(super) fn publish_all(&mut self) -> Result<Commit> {
        self.sync()?;
        self.publish()
    }

    fn with(storage: S, file: S::File, options: LedgerOptions, identity: Identity, state: State) -> Self {
        Self {
            storage,
            file,
            options,
            identity,
            tokens: Vec::new(),
            due_passkeys: BTreeMap::new(),
            due_spans: BTreeMap::new(),
            due_ends: BTreeSet::new(),
            out: Vec::new(),
            out_at: state.index.ledger_len(),
            kept_len: state.index.ledger_len(),
            scratch: Vec::new(),
            recovered: None,
            committed: None,
            is_new: false,
            poisoned: false,
            sync_time: Duration::ZERO,
            state,
        }
    }

    /// The torn tail that was cut off when the ledger was opened, if there was one.
    pub const fn recovered(&self) -> Option<&TornTail> {
        self.recovered.as_ref()
    }

    /// Tokens of the ledger, those included that were not committed yet.
    pub const fn total_tokens(&self) -> u64 {
        self.state.index.total_tokens().saturating_add(self.tokens.len() as u64)
    }

    /// Chunks by how they store their tokens.
    pub fn encodings(&self) -> BTreeMap<Encoding, u64> {
        self.state.encodings()
    }

    /// Time spent in waiting for the disk: syncs of the ledger, the index and the folder.
    pub const fn sync_time(&self) -> Duration {
        self.sync_time
    }

    /// Appends tokens.
    ///
    /// # Errors
    /// [`LedgerError::Io`] and [`LedgerError::Poisoned`]; [`LedgerError::Refused`] for a passkey marked beforehand
    /// whose token turns out to be another (the mark is dropped), a token that the encoding asked for cannot hold, or
    /// more than 2^64 - 1 positions. After any error the tokens handed in by this call are in the ledger in part.
    pub fn extend_from_slice(&mut self, mut tokens: &[u32]) -> Result<()> {
        self.check_not_poisoned()?;
        let chunk = usize::try_from(self.options.chunk_tokens).unwrap_or(usize::MAX);
        while !tokens.is_empty() {
            if self.tokens.len() >= chunk {
                self.flush_tokens()?;
            }
            // Whole chunks are taken from where they are, but for the last one: marks that are made later need a chunk.
            if self.tokens.is_empty()
                && let Some((head, rest)) = tokens.split_at_checked(chunk)
                && !rest.is_empty()
            {
                self.write_chunk(head)?;
                tokens = rest;
                continue;
            }
            let room = chunk.saturating_sub(self.tokens.len());
            let (head, rest) = tokens.split_at_checked(room).unwrap_or((tokens, &[]));
            self.tokens.extend_from_slice(head);
            tokens = rest;
        }
        Ok(())
    }

    /// Appends the tokens of an iterator.
    ///
    /// # Errors
    /// As [`extend_from_slice`](Self::extend_from_slice).
    pub fn extend(&mut self, tokens: impl IntoIterator<Item = u32>) -> Result<()> {
        self.check_not_poisoned()?;
        let chunk = usize::try_from(self.options.chunk_tokens).unwrap_or(usize::MAX);
        for token in tokens {
            if self.tokens.len() >= chunk {
                self.flush_tokens()?;
            }
            self.tokens.push(token);
        }
        Ok(())
    }

    /// Marks a position as a passkey, whose token has to be `token`. The position may be one that is still to come; for
    /// one that is in the ledger already its chunk is read and checked, each time.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with [`ErrorKind::Duplicate`] for a position marked before, and
    /// [`ErrorKind::PasskeyToken`] if another token is there; [`LedgerError::Damaged`], [`LedgerError::Io`] and
    /// [`LedgerError::Poisoned`].
    pub fn mark_passkey(&mut self, position: u64, token: u32) -> Result<()> {
        self.check_not_poisoned()?;
        let refuse = |kind| Err(LedgerError::Refused(Error::caller(kind)));
        if self.state.passkeys.contains_key(&position) || self.due_passkeys.contains_key(&position) {
            return refuse(ErrorKind::Duplicate { field: "a passkey's position" });
        }
        if let Some(found) = self.token(position)?
            && found != token
        {
            return refuse(ErrorKind::PasskeyToken { position, expected: token, found });
        }
        self.due_passkeys.insert(position, token);
        Ok(())
    }

    /// Gives `len` tokens from position `start` on a name. They may be still to come.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] with [`ErrorKind::Duplicate`] for a name given before, [`ErrorKind::Argument`] for an
    /// empty name or no tokens, [`ErrorKind::TooLarge`] for a name that no chunk can carry, [`ErrorKind::Size`] beyond
    /// 64 bits; [`LedgerError::Poisoned`].
    pub fn mark_span(&mut self, name: &str, start: u64, len: u64) -> Result<()> {
        self.check_not_poisoned()?;
        let refuse = |kind| Err(LedgerError::Refused(Error::caller(kind)));
        if name.is_empty() || len == 0 {
            return refuse(ErrorKind::Argument {
                expected: "a span has to have a name and at least 1 token",
            });
        }
        let Some(end) = start.checked_add(len) else {
            return refuse(ErrorKind::Size { field: "the span's end" });
        };
        encoded_marks_len(&[], &[Span { name, start, len }]).map_err(LedgerError::Refused)?;
        if self.state.spans.contains_key(name) || self.due_spans.contains_key(name) {
            return refuse(ErrorKind::Duplicate { field: "a span's name" });
        }
        self.due_spans.insert(name.into(), (start, len));
        self.due_ends.insert((end, name.into()));
        Ok(())
    }

    /// Makes all tokens and marks so far durable: see [durability](Self#durability). Tokens that fill no whole chunk
    /// make a shorter one, or several if it cannot carry all marks that are due.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] if a mark is past the last token, or if marks were made and no token came that could
    /// carry them: the ledger is then as it was; with [`ErrorKind::TooLarge`] if there were too few tokens for chunks
    /// that carry all marks (append tokens and commit again), or if no index has room for the ledger's.
    /// [`LedgerError::Io`] and [`LedgerError::Poisoned`]: then nobody knows, and what was committed before is still
    /// there.
    pub fn commit(&mut self) -> Result<Commit> {
        self.check_not_poisoned()?;
        self.check_due()?;
        self.flush_with_marks()?;
        if !self.due_passkeys.is_empty() || !self.due_spans.is_empty() {
            let found = self.due_passkeys.len().saturating_add(self.due_spans.len()) as u64;
            let field = "the marks left over, since the chunks had no room for them,";
            return Err(LedgerError::Refused(Error::caller(ErrorKind::TooLarge { field, max: 0, found })));
        }
        let commit = match self.committed {
            Some(commit) if commit.chunks == self.state.index.chunk_count() => commit,
            _ => {
                self.write_out()?;
                self.publish_all()?
            }
        };
        self.is_new = false;
        Ok(commit)
    }

    /// Undoes a ledger that was [made](Self::create_in) by this writer and never committed: its files are removed. Of
    /// any other what was appended since it was opened or last committed is cut off again; but not after a commit that
    /// failed only when its index took the old one's name, since that index may be there.
    ///
    /// Whoever has the ledger as a map must not read what is cut off: see [`LedgerReader::map`](super::LedgerReader).
    ///
    /// # Errors
    /// [`LedgerError::Io`].
    pub fn abandon(mut self) -> Result<()> {
        if self.is_new {
            for part in [Part::NewIndex, Part::Index, Part::Ledger] {
                self.storage.remove(part).map_err(LedgerError::io(part))?;
            }
            self.storage.sync_folder().map_err(LedgerError::io(Part::Ledger))?;
        } else if self.out_at > self.kept_len || self.poisoned {
            self.file.set_len(self.kept_len).map_err(LedgerError::io(Part::Ledger))?;
            self.file.sync().map_err(LedgerError::io(Part::Ledger))?;
        }
        Ok(())
    }

    const fn check_not_poisoned(&self) -> Result<()> {
        if self.poisoned { Err(LedgerError::Poisoned) } else { Ok(()) }
    }

    /// Every mark that is due has to have its tokens and a chunk to come that carries it.
    fn check_due(&self) -> Result<()> {
        let end = self.total_tokens();
        let past =
            |field, found| LedgerError::Refused(Error::caller(ErrorKind::PastEnd { field, end, found }));
        if let Some((&position, _)) = self.due_passkeys.last_key_value()
            && position >= end
        {
            return Err(past("a passkey", position.saturating_add(1)));
        }
        if let Some(&(last, _)) = self.due_ends.last()
            && last > end
        {
            return Err(past("a span", last));
        }
        if self.tokens.is_empty() && !(self.due_passkeys.is_empty() && self.due_spans.is_empty()) {
            let expected = "marks are carried by a chunk that follows them: append tokens before the commit";
            return Err(LedgerError::Refused(Error::caller(ErrorKind::Argument { expected })));
        }
        Ok(())
    }

    /// The token at a position, if it has come.
    fn token(&mut self, position: u64) -> Result<Option<u32>> {
        let flushed = self.state.index.total_tokens();
        if let Some(i) = position.checked_sub(flushed) {
            return Ok(usize::try_from(i).ok().and_then(|i| self.tokens.get(i)).copied());
        }
        self.write_out()?;
        self.written_token(position)
    }

    /// The token at a position that has been handed to the system; its chunk is checked.
    fn written_token(&self, position: u64) -> Result<Option<u32>> {
        let Some((i, entry)) = self.state.entry_of(position) else { return Ok(None) };
        let mut buffer = Vec::new();
        let chunk = written_chunk(&self.file, &self.state, i, &mut buffer)?;
        Ok(chunk.token(entry.place_of(position)))
    }

    /// Enters the marks of the chunks that were there in the index to be written.
    fn index_marks(&mut self) -> Result<()> {
        let mut positions = self.state.passkeys.keys().copied().collect::<Vec<u64>>().into_iter().peekable();
        while let Some(&position) = positions.peek() {
            let Some((i, &entry)) = self.state.entry_of(position) else { break };
            // Each chunk is read once, however many of its tokens are marked.
            let mut buffer = Vec::new();
            let chunk = written_chunk(&self.file, &self.state, i, &mut buffer)?;
            while let Some(position) = positions.next_if(|position| *position < entry.end()) {
                let offset = entry.place_of(position);
                let token = chunk.token(offset).unwrap_or_default();
                let passkey = Passkey { position, chunk_id: i as u64, offset, token };
                self.state.index.push_passkey(passkey).map_err(LedgerError::Refused)?;
            }
        }
        for (name, span) in &self.state.spans {
            let span = Span { name, start: span.start, len: span.len };
            self.state.index.push_span(span).map_err(LedgerError::Refused)?;
        }
        Ok(())
    }

    fn index_passkey(&mut self, position: u64, token: u32) -> Result<()> {
        let Some((i, entry)) = self.state.entry_of(position) else { return Ok(()) };
        let passkey = Passkey { position, chunk_id: i as u64, offset: entry.place_of(position), token };
        self.state.index.push_passkey(passkey).map_err(LedgerError::Refused)
    }

    fn flush_tokens(&mut self) -> Result<()> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let tokens = core::mem::take(&mut self.tokens);
        let written = self.write_chunk(&tokens);
        self.tokens = tokens;
        // Kept after an error: they are not in the ledger.
        if written.is_ok() {
            self.tokens.clear();
        }
        written
    }

    /// Makes chunks of the tokens that are left: one, unless there are more marks than it can carry; then its last
    /// tokens get chunks of their own.
    fn flush_with_marks(&mut self) -> Result<()> {
        let spans = self.due_ends.iter().map(|(_, name)| span_len(name));
        let marks = spans.fold(self.due_passkeys.len().saturating_mul(PASSKEY_LEN), usize::saturating_add);
        // Two chunks in a row carry at least as much as one has room for: what did not fit the first is in the second.
        let more = match marks.saturating_sub(MARKS_ROOM) {
            0 => 0,
            over => over.div_ceil(MARKS_ROOM / 2).saturating_add(1),
        };
        let mut tokens = core::mem::take(&mut self.tokens);
        let first = tokens.len().saturating_sub(more).max(1);
        let (mut done, mut written) = (0, Ok(()));
        while let (true, Ok(())) = (done < tokens.len(), &written) {
            let end = done.saturating_add(1).max(first);
            written = self.write_chunk(tokens.get(done..end).unwrap_or_default());
            if written.is_ok() {
                done = end;
            }
        }
        // Kept after an error: they are not in the ledger.
        tokens.drain(..done.min(tokens.len()));
        self.tokens = tokens;
        written
    }

    /// Makes a chunk of `tokens`, with the marks that are due and fit.
    fn write_chunk(&mut self, tokens: &[u32]) -> Result<()> {
        let refused = LedgerError::Refused;
        let start = self.state.index.total_tokens();
        let overflow = refused(Error::caller(ErrorKind::Size { field: "the positions of the ledger" }));
        let end = start.checked_add(tokens.len() as u64).ok_or(overflow)?;
        let wrong = self.due_passkeys.range(start..end).find_map(|(&position, &expected)| {
            let i = usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
            let found = tokens.get(i).copied().unwrap_or_default();
            (found != expected).then_some((position, expected, found))
        });
        if let Some((position, expected, found)) = wrong {
            // Dropped, so that the writer can go on.
            self.due_passkeys.remove(&position);
            return Err(refused(Error::caller(ErrorKind::PasskeyToken { position, expected, found })));
        }

        let mut room = MARKS_ROOM;
        let mut fits = |len: usize| {
            let left = room.checked_sub(len);
            room = left.unwrap_or(room);
            left.is_some()
        };
        let passkeys: Vec<u64> = self
            .due_passkeys
            .range(..end)
            .map(|(&position, _)| position)
            .take_while(|_| fits(PASSKEY_LEN))
            .collect();
        let spans = self.due_ends.iter().take_while(|(last, _)| *last <= end);
        let mut spans: Vec<(Box<str>, u64, u64)> = spans
            .take_while(|(_, name)| fits(span_len(name)))
            .filter_map(|(_, name)| self.due_spans.get(name).map(|&(start, len)| (name.clone(), start, len)))
            .collect();
        spans.sort_unstable();
        let mut marks = Vec::new();
        if !passkeys.is_empty() || !spans.is_empty() {
            let spans: Vec<Span<'_>> =
                spans.iter().map(|(name, start, len)| Span { name, start: *start, len: *len }).collect();
            marks.resize(encoded_marks_len(&passkeys, &spans).map_err(refused)?, 0);
            encode_marks(&passkeys, &spans, end, &mut marks).map_err(refused)?;
        }

        let encoding = self.options.encoding.choose(tokens);
        let payload_len = encoding.payload_len(tokens.len() as u64).map_err(refused)?;
        let memory = || LedgerError::io(Part::Ledger)(io::ErrorKind::OutOfMemory.into());
        let payload_len = usize::try_from(payload_len).map_err(|_| memory())?;
        if self.scratch.len() < payload_len {
            self.scratch.resize(payload_len, 0);
        }
        let identity = &self.identity;
        let json = identity.context_json.as_deref();
        let mut builder =
            ChunkBuilder::new(identity.ctx, self.state.index.chunk_count(), start, encoding).marks(&marks);
        if let Some(json) = json {
            builder = builder.context_json(json);
        }
        #[cfg(feature = "hmac")]
        if let Some(key) = &self.options.key {
            builder = builder.sign(key);
        }
        let at = self.out.len();
        // Magic, ctx, CONFIG, FLAGS, LEDGER_CHUNK, CONTEXT, MARKS, DIGEST, HMAC, END, payload, CRC.
        let rest = [12, 27, 7, 27, 3, 3, marks.len(), 36, 36, 3, payload_len, 2];
        let most = rest.into_iter().fold(json.map_or(0, <[u8]>::len), usize::saturating_add);
        self.out.resize(at.saturating_add(most), 0);
        let out = self.out.get_mut(at..).unwrap_or_default();
        let encoded = builder.encode_into(tokens, &mut self.scratch, out);
        self.out.truncate(at.saturating_add(*encoded.as_ref().unwrap_or(&0)));
        encoded.map_err(refused)?;

        // Entered as it reads, so that what the index says is what the chunk says.
        let bytes = self.out.get(at..).unwrap_or_default();
        let entered = FrameHeader::parse(bytes).and_then(|header| {
            let digest = header.claimed_digest().copied().unwrap_or_default();
            ChunkHeader::from_header(&header).and_then(|chunk| self.state.push(&chunk, &digest))
        });
        if let Err(error) = entered {
            self.out.truncate(at);
            return Err(refused(error));
        }
        for position in passkeys {
            if let Some(token) = self.due_passkeys.remove(&position) {
                self.index_passkey(position, token)?;
            }
        }
        for (name, start, len) in spans {
            self.due_spans.remove(&name);
            self.due_ends.remove(&(start.saturating_add(len), name.clone()));
            self.state.index.push_span(Span { name: &name, start, len }).map_err(refused)?;
        }
        if self.out.len() >= WRITE_SIZE { self.write_out() } else { Ok(()) }
    }

    /// Hands the chunks made so far to the system.
    fn write_out(&mut self) -> Result<()> {
        self.check_not_poisoned()?;
        if let Err(error) = self.file.write_all_at(&self.out, self.out_at) {
            self.poisoned = true;
            return Err(LedgerError::Io { part: Part::Ledger, error });
        }
        self.out.clear();
        self.out_at = self.state.index.ledger_len();
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let started = Instant::now();
        let synced = self.file.sync();
        self.sync_time = self.sync_time.saturating_add(started.elapsed());
        synced.map_err(|error| {
            self.poisoned = true;
            LedgerError::Io { part: Part::Ledger, error }
        })
    }

    /// Writes the index of what was synced.
    fn publish(&mut self) -> Result<Commit> {
        let encoded = self.identity.encode_index(&self.state.index, self.options.key.as_ref());
        let bytes = encoded.map_err(LedgerError::Refused)?;
        let published = self.publish_index(&bytes);
        published.inspect_err(|_| self.poisoned = true)?;
        let index = &self.state.index;
        let commit = Commit {
            tokens: index.total_tokens(),
            chunks: index.chunk_count(),
            ledger_len: index.ledger_len(),
            index_len: bytes.len() as u64,
            root: index.root(),
        };
        self.committed = Some(commit);
        Ok(commit)
    }

    /// Puts a new index in the place of the old one: whole, durable, in one step.
    fn publish_index(&mut self, bytes: &[u8]) -> Result<()> {
        let io = LedgerError::io(Part::Index);
        self.storage.remove(Part::NewIndex).map_err(io)?;
        let file = self.storage.create(Part::NewIndex).map_err(io)?;
        // If the system lets it go; the next writer removes it otherwise.
        self.put_index(file, bytes).inspect_err(|_| drop(self.storage.remove(Part::NewIndex))).map_err(io)
    }

    fn put_index(&mut self, mut file: S::File, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, 0)?;
        let started = Instant::now();
        file.sync()?;
        drop(file);
        // From here on an index may be there that covers all chunks, also after an error: they must not be cut off.
        self.kept_len = self.state.index.ledger_len();
        self.storage.publish_index()?;
        self.storage.sync_folder()?;
        self.sync_time = self.sync_time.saturating_add(started.elapsed());
        Ok(())
    }
}

/// Chunk `i`, which has been handed to the system, checked.
fn written_chunk<'a, F: StorageFile>(
    file: &'a F,
    state: &State,
    i: usize,
    buffer: &'a mut Vec<u8>,
) -> Result<Chunk<'a>> {
    let (offset, len) = state.frame_of(i).unwrap_or_default();
    scan::chunk_at(file, buffer, offset, offset.saturating_add(len))
        .map_err(LedgerError::io(Part::Ledger))?
        .and_then(|chunk| match state.digests.get(i) == Some(chunk.digest()) {
            true => Ok(chunk),
            false => Err(Error::new(ErrorKind::Digest, 0)),
        })
        .map_err(|error| LedgerError::Damaged { chunk: i as u64, error: error.nested(offset) })
}

/// The ledger's file, to be written, under its lock.
pub(super) fn open_locked<S: Storage>(storage: &S) -> Result<S::File> {
    let io = LedgerError::io(Part::Ledger);
    let gone = || io(io::ErrorKind::NotFound.into());
    let file = storage.open(Part::Ledger, Access::ReadWrite).map_err(io)?.ok_or_else(gone)?;
    if !file.try_lock().map_err(io)? {
        return Err(LedgerError::Locked);
    }
    if storage.is_ledger(&file).map_err(io)? { Ok(file) } else { Err(gone()) }
}

/// Writes what is between two places of a file again.
///
/// After a sync that failed, the system may show bytes that it will never write: they are not on the disk, and their
/// pages count as clean. Chunks beyond the committed length may be such, and would be missing under a later commit that
/// covers them.
fn rewrite<F: StorageFile>(file: &mut F, mut from: u64, to: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    while from < to {
        let len = to.saturating_sub(from).min(WRITE_SIZE as u64);
        buffer.resize(usize::try_from(len).unwrap_or(WRITE_SIZE), 0);
        file.read_exact_at(&mut buffer, from)?;
        file.write_all_at(&buffer, from)?;
        from = from.saturating_add(len);
    }
    Ok(())
}

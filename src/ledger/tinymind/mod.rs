//! TinyMind's JSON ledgers: one line of JSON per chunk, indices beside them.
//!
//! ```text
//! DIR/chunks/chunk_00000000.jsonl   {"chunk_id": 0, "length": 2, "sha256": "...", "start": 0, "tokens": [7, 9]}
//! DIR/passkey_index.json            by position: {"chunk_id", "chunk_path", "expected", "offset", "token"}
//! DIR/semantic_index.json           by name: {"length", "start"}
//! DIR/manifest.json                 the chunks without their tokens, counts, both indices, rolling_sha256
//! ```
//!
//! `sha256` is that of the tokens as JSON without spaces, `[7,9]`; `rolling_sha256` that of all chunks'
//! hexadecimal digits, one after the other. [`TinyMindLedger`] reads such a folder and checks all of it,
//! [`TinyMindWriter`] writes one, byte for byte as TinyMind does. [`import`] and [`export`] convert whole ledgers.
#![deny(clippy::arithmetic_side_effects)]

mod convert;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzed;
mod json;
mod write;

pub use convert::{ConvertError, Exported, Imported, export, import};
pub use write::{TinyMindPasskey, TinyMindWriter, compact_json_sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::io::{Cause, Escaped, FileError};
use json::{Chunk, Manifest, Passkeys, Spans, chunk_name};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

/// The longest chunk file read, in bytes. A chunk is read whole; this is over 100 million tokens.
pub const MAX_CHUNK_FILE: u64 = 1 << 30;

/// The longest manifest or index read, in bytes: over 250,000 chunks. Small entries take up to 25 times their
/// text in memory, which is what this bounds.
pub const MAX_INDEX_FILE: u64 = 64 << 20;

/// The longest name of a span, in bytes, that a ledger here can hold.
const MAX_NAME: u64 = u16::MAX as u64;

/// A TinyMind ledger, its manifest read and found consistent.
///
/// ```no_run
/// use bitwire::ledger::tinymind::TinyMindLedger;
///
/// let ledger = TinyMindLedger::open("evidence/ledger")?;
/// for note in ledger.notes() {
///     eprintln!("{note}");
/// }
/// for tokens in ledger.chunks() {
///     println!("{} tokens, as the manifest says", tokens?.len());
/// }
/// # Ok::<(), bitwire::io::FileError>(())
/// ```
#[derive(Debug)]
pub struct TinyMindLedger {
    folder: PathBuf,
    total_tokens: u64,
    chunk_tokens: u32,
    chunks: Vec<Chunk>,
    passkeys: Vec<u64>,
    /// What the index says of each of `passkeys`.
    tokens: Vec<Option<u32>>,
    /// The file `passkeys` are from.
    passkeys_from: &'static str,
    spans: Vec<(String, u64, u64)>,
    notes: Vec<ImportNote>,
}

/// Something in a TinyMind ledger that a ledger here does not carry as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportNote {
    /// A passkey's token is not the one expected. Its position is carried, as for any other.
    PasskeyDiffers {
        /// Where.
        position: u64,
        /// The token expected.
        expected: i128,
        /// The token there.
        token: u32,
    },
    /// A span of no tokens is left out.
    SpanEmpty {
        /// Its name.
        name: String,
        /// Where it would be.
        start: u64,
    },
    /// A span past the end of the ledger is left out.
    SpanOutside {
        /// Its name.
        name: String,
        /// Where it would start.
        start: u64,
        /// Its length.
        length: u64,
    },
    /// A span is carried as far as the ledger's end, as TinyMind recalls it.
    SpanClipped {
        /// Its name.
        name: String,
        /// Where it starts.
        start: u64,
        /// The length it had.
        length: u64,
        /// The length carried.
        carried: u64,
    },
    /// A span with an empty name is left out.
    SpanUnnamed {
        /// Where it starts.
        start: u64,
        /// Its length.
        length: u64,
    },
}

impl fmt::Display for ImportNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PasskeyDiffers { position, expected, token } => {
                write!(f, "the passkey at position {position} is {token}, where {expected} was expected")
            }
            Self::SpanEmpty { name, start } => {
                write!(f, "span '{}' at {start} has no tokens: left out", Escaped::new(name.as_bytes()))
            }
            Self::SpanOutside { name, start, length } => write!(
                f,
                "span '{}' of {length} tokens at {start} is past the end: left out",
                Escaped::new(name.as_bytes())
            ),
            Self::SpanClipped { name, start, length, carried } => write!(
                f,
                "span '{}' of {length} tokens at {start} reaches past the end: {carried} tokens are carried",
                Escaped::new(name.as_bytes())
            ),
            Self::SpanUnnamed { start, length } => {
                write!(f, "the span of {length} tokens at {start} has an empty name: left out")
            }
        }
    }
}

impl TinyMindLedger {
    /// Opens the ledger in the folder `dir`: reads its manifest, and the two indices if the manifest has none
    /// inside.
    ///
    /// Paths in these files are never followed: a chunk's file is found by its chunk_id, under `dir`.
    /// (A symbolic link under that name is.)
    ///
    /// # Errors
    /// If a file cannot be read, is longer than [`MAX_INDEX_FILE`], is no JSON of the form above, or contradicts
    /// itself: chunk_ids with gaps, starts that do not follow, counts or a rolling_sha256 that do not match, a
    /// passkey past the end or in another chunk than it says, anything twice, a span's name over 65,535 bytes.
    /// The index files may be missing.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, FileError> {
        let folder = dir.as_ref();
        let path = folder.join("manifest.json");
        let text = read_file(&path, MAX_INDEX_FILE).map_err(|cause| cause.at(&path))?;
        let manifest = json::manifest(&text).map_err(|error| FileError::new(&path, error))?;
        drop(text);
        let (mut ledger, passkeys, spans) =
            Self::from_manifest(folder, manifest).map_err(|error| FileError::new(&path, error))?;
        let mut from = "manifest.json";
        let passkeys = match passkeys {
            Some(passkeys) => passkeys,
            None => {
                from = "passkey_index.json";
                index(folder, from, json::passkeys)?
            }
        };
        ledger.take_passkeys(&passkeys, from).map_err(|error| FileError::new(folder.join(from), error))?;
        let mut from = "manifest.json";
        let spans = match spans {
            Some(spans) => spans,
            None => {
                from = "semantic_index.json";
                index(folder, from, json::spans)?
            }
        };
        ledger.take_spans(spans).map_err(|error| FileError::new(folder.join(from), error))?;
        Ok(ledger)
    }

    fn from_manifest(folder: &Path, manifest: Manifest) -> Result<(Self, Option<Passkeys>, Option<Spans>)> {
        let Manifest {
            total_tokens: Some(total_tokens),
            chunk_tokens: Some(chunk_tokens),
            chunk_count: Some(chunk_count),
            chunks: Some(chunks),
            rolling_sha256,
            passkeys,
            semantic_spans,
        } = manifest
        else {
            let reason = "total_tokens, chunk_tokens, chunk_count or chunks is missing";
            return Err(Error::caller(ErrorKind::TinyMindJson { reason }));
        };
        same("chunk_count", count(chunks.len()), chunk_count)?;
        same("total_tokens", chunks.last().and_then(Chunk::end).unwrap_or(0), total_tokens)?;
        let chunk_tokens = match u32::try_from(chunk_tokens) {
            Ok(0) => {
                return Err(Error::caller(ErrorKind::Shape { field: "chunk_tokens", needed: 1, found: 0 }));
            }
            Ok(chunk_tokens) => chunk_tokens,
            Err(_) => {
                let max = u32::MAX.into();
                let kind = ErrorKind::TooLarge { field: "chunk_tokens", max, found: chunk_tokens };
                return Err(Error::caller(kind));
            }
        };
        if let Some(chunk) = chunks.iter().find(|chunk| chunk.length > chunk_tokens) {
            return Err(Error::caller(ErrorKind::TooLarge {
                field: "the length of a chunk",
                max: chunk_tokens.into(),
                found: chunk.length.into(),
            }));
        }
        if let Some(stored) = rolling_sha256 {
            let mut rolling = Sha256::new();
            for chunk in &chunks {
                rolling.update(write::hex(&chunk.sha256));
            }
            if rolling.finalize().as_slice() != stored {
                return Err(Error::caller(ErrorKind::TinyMindHash { place: "rolling_sha256" }));
            }
        }
        let ledger = Self {
            folder: folder.into(),
            total_tokens,
            chunk_tokens,
            chunks,
            passkeys: Vec::new(),
            tokens: Vec::new(),
            passkeys_from: "",
            spans: Vec::new(),
            notes: Vec::new(),
        };
        Ok((ledger, passkeys, semantic_spans))
    }

    fn take_passkeys(&mut self, passkeys: &Passkeys, from: &'static str) -> Result<()> {
        self.passkeys_from = from;
        for (&position, entry) in passkeys {
            // The chunk that holds the position: the last that starts at or before it.
            let id = self.chunks.partition_point(|chunk| chunk.start <= position).checked_sub(1);
            let chunk = id.and_then(|id| self.chunks.get(id)).filter(|_| position < self.total_tokens);
            let (Some(id), Some(chunk)) = (id, chunk) else {
                return Err(Error::caller(ErrorKind::TooLarge {
                    field: "the position of a passkey",
                    max: self.total_tokens.saturating_sub(1),
                    found: position,
                }));
            };
            let id = count(id);
            let offset = position.saturating_sub(chunk.start);
            for (field, needed, found) in
                [("a passkey's chunk_id", id, entry.chunk_id), ("a passkey's offset", offset, entry.offset)]
            {
                if let Some(found) = found.filter(|&found| found != needed) {
                    return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
                }
            }
            self.passkeys.push(position);
            self.tokens.push(entry.token);
            if let (Some(expected), Some(token)) = (entry.expected, entry.token)
                && expected != i128::from(token)
            {
                self.notes.push(ImportNote::PasskeyDiffers { position, expected, token });
            }
        }
        Ok(())
    }

    fn take_spans(&mut self, spans: Spans) -> Result<()> {
        for (name, entry) in spans {
            let (Some(start), Some(length)) = (entry.start, entry.length) else {
                let reason = "a span lacks start or length";
                return Err(Error::caller(ErrorKind::TinyMindJson { reason }));
            };
            let found = count(name.len());
            if found > MAX_NAME {
                let field = "the length of a span's name";
                return Err(Error::caller(ErrorKind::TooLarge { field, max: MAX_NAME, found }));
            }
            let carried = length.min(self.total_tokens.saturating_sub(start));
            if name.is_empty() {
                self.notes.push(ImportNote::SpanUnnamed { start, length });
            } else if length == 0 {
                self.notes.push(ImportNote::SpanEmpty { name, start });
            } else if carried == 0 {
                self.notes.push(ImportNote::SpanOutside { name, start, length });
            } else {
                if carried < length {
                    let name = name.clone();
                    self.notes.push(ImportNote::SpanClipped { name, start, length, carried });
                }
                self.spans.push((name, start, carried));
            }
        }
        Ok(())
    }

    /// Tokens of the whole ledger.
    #[must_use]
    pub const fn total_tokens(&self) -> u64 {
        self.total_tokens
    }

    /// Tokens a chunk has at most; all but the last usually have as many.
    #[must_use]
    pub const fn chunk_tokens(&self) -> u32 {
        self.chunk_tokens
    }

    /// How many chunks there are.
    #[must_use]
    pub const fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Positions of the passkeys, increasing.
    #[must_use]
    pub fn passkeys(&self) -> &[u64] {
        &self.passkeys
    }

    /// Spans as (name, start, length), in the order of the names' bytes: each named, of one token or more,
    /// and within the ledger.
    #[must_use]
    pub fn spans(&self) -> &[(String, u64, u64)] {
        &self.spans
    }

    /// What is not carried as it stands in the ledger.
    #[must_use]
    pub fn notes(&self) -> &[ImportNote] {
        &self.notes
    }

    /// The tokens, chunk by chunk: each item reads one file whole and checks it. Ends after the first error.
    ///
    /// The row's chunk_id, start, length and sha256 have to be the manifest's, and both the sha256 of its
    /// tokens; where a passkey of the chunk has a token, it has to be the one there.
    pub const fn chunks(&self) -> Chunks<'_> {
        Chunks { ledger: self, next: 0, passkeys: 0 }
    }

    fn read_chunk(&self, path: &Path, id: u64, chunk: &Chunk) -> Result<Vec<u32>, Cause> {
        let row = json::row(&read_file(path, MAX_CHUNK_FILE)?, chunk.length)?;
        let json::Row {
            chunk_id: Some(chunk_id),
            start: Some(start),
            length: Some(length),
            sha256: Some(sha256),
            tokens: Some(tokens),
            ..
        } = row
        else {
            let reason = "chunk_id, length, sha256, start or tokens is missing";
            return Err(Error::caller(ErrorKind::TinyMindJson { reason }).into());
        };
        same("chunk_id", id, chunk_id)?;
        same("start", chunk.start, start)?;
        same("length", chunk.length.into(), length.into())?;
        same("the number of tokens", length.into(), count(tokens.len()))?;
        let computed = compact_json_sha256(&tokens);
        for (place, stored) in [("its row", sha256), ("the manifest", chunk.sha256)] {
            if stored != computed {
                return Err(Error::caller(ErrorKind::TinyMindHash { place }).into());
            }
        }
        Ok(tokens)
    }
}

/// The chunks of a [`TinyMindLedger`], each as its tokens.
#[derive(Debug)]
pub struct Chunks<'a> {
    ledger: &'a TinyMindLedger,
    /// The next chunk.
    next: usize,
    /// The first passkey in it or after it.
    passkeys: usize,
}

impl Chunks<'_> {
    fn chunk(&mut self, chunk: &Chunk) -> Result<Vec<u32>, FileError> {
        let ledger = self.ledger;
        let id = count(self.next);
        let path = ledger.folder.join("chunks").join(chunk_name(id));
        let tokens = ledger.read_chunk(&path, id, chunk).map_err(|cause| cause.at(&path))?;
        let claims = ledger.passkeys.iter().zip(&ledger.tokens).skip(self.passkeys);
        for (position, claim) in claims {
            let offset = position.saturating_sub(chunk.start);
            let Some(&token) = usize::try_from(offset).ok().and_then(|offset| tokens.get(offset)) else {
                break;
            };
            if let Some(claim) = claim {
                same("a passkey's token", token.into(), (*claim).into())
                    .map_err(|error| FileError::new(ledger.folder.join(ledger.passkeys_from), error))?;
            }
            self.passkeys = self.passkeys.saturating_add(1);
        }
        Ok(tokens)
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<Vec<u32>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.ledger.chunks.get(self.next)?;
        let result = self.chunk(chunk);
        self.next = if result.is_ok() { self.next.saturating_add(1) } else { usize::MAX };
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.ledger.chunks.len().saturating_sub(self.next)))
    }
}

impl std::iter::FusedIterator for Chunks<'_> {}

fn count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn same(field: &'static str, needed: u64, found: u64) -> Result<()> {
    if needed == found { Ok(()) } else { Err(Error::caller(ErrorKind::Shape { field, needed, found })) }
}

/// An index file beside the manifest; nothing if there is none.
fn index<T: Default>(folder: &Path, name: &str, parse: fn(&[u8]) -> Result<T>) -> Result<T, FileError> {
    let path = folder.join(name);
    match read_file(&path, MAX_INDEX_FILE) {
        Err(Cause::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(cause) => Err(cause.at(&path)),
        Ok(text) => parse(&text).map_err(|error| FileError::new(&path, error)),
    }
}

/// A file of at most `max` bytes, whole. Asked first whether it is one: a pipe would wait, a device never
/// end.
fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, Cause> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file").into());
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let too_large =
        |found| Cause::from(Error::caller(ErrorKind::TooLarge { field: "the file's length", max, found }));
    if len > max {
        return Err(too_large(len));
    }
    let mut text = Vec::new();
    text.try_reserve_exact(usize::try_from(len).map_err(|_| Cause::out_of_memory())?)
        .map_err(|_| Cause::out_of_memory())?;
    file.take(max.saturating_add(1)).read_to_end(&mut text)?;
    // It may have grown meanwhile.
    if count(text.len()) > max { Err(too_large(count(text.len()))) } else { Ok(text) }
}

#[cfg(test)]
mod tests;

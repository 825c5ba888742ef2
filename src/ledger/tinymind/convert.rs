//! Between TinyMind's ledgers and ours.
#![deny(clippy::arithmetic_side_effects)]

use super::{ImportNote, TinyMindLedger, TinyMindPasskey, TinyMindWriter, count};
use crate::error::{Error, ErrorKind};
use crate::io::FileError;
use crate::ledger::{
    Commit, DEFAULT_CHUNK_TOKENS, LedgerError, LedgerOptions, LedgerReader, LedgerWriter, Source,
};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::vec::Vec;

/// Why one ledger could not be made from the other.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConvertError {
    /// A file of the TinyMind ledger.
    TinyMind(FileError),
    /// The ledger.
    Ledger(LedgerError),
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TinyMind(error) => error.fmt(f),
            Self::Ledger(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConvertError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TinyMind(error) => Some(error),
            Self::Ledger(error) => Some(error),
        }
    }
}

impl From<FileError> for ConvertError {
    fn from(error: FileError) -> Self {
        Self::TinyMind(error)
    }
}

impl From<LedgerError> for ConvertError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// A ledger made from a TinyMind ledger.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The ledger.
    pub commit: Commit,
    /// Its passkeys.
    pub passkeys: u64,
    /// Its spans.
    pub spans: u64,
    /// What it does not carry as it was.
    pub notes: Vec<ImportNote>,
    /// Time spent in waiting for the disk.
    pub sync_time: Duration,
}

/// Makes a new ledger at `path` from the TinyMind ledger in the folder `dir`: its tokens, passkeys with the tokens that
/// are there, and spans, in one commit. Every digest there is checked on the way. Chunks get as many tokens as they
/// have there, whatever the options say.
///
/// # Errors
/// As [`TinyMindLedger::open`], [`chunks`](TinyMindLedger::chunks) and [`LedgerWriter`]; nothing is then left at
/// `path`.
pub fn import(
    dir: impl AsRef<Path>,
    path: impl AsRef<Path>,
    options: LedgerOptions,
) -> Result<Imported, ConvertError> {
    let from = TinyMindLedger::open(dir)?;
    let mut to = LedgerWriter::create(path, options.chunk_tokens(from.chunk_tokens()))?;
    match copy(&from, &mut to) {
        Ok(commit) => Ok(Imported {
            commit,
            passkeys: count(from.passkeys().len()),
            spans: count(from.spans().len()),
            notes: from.notes().to_vec(),
            sync_time: to.sync_time(),
        }),
        Err(error) => {
            // The first error is the one to tell.
            let _ = to.abandon();
            Err(error)
        }
    }
}

fn copy(from: &TinyMindLedger, to: &mut LedgerWriter) -> Result<Commit, ConvertError> {
    for (name, start, length) in from.spans() {
        to.mark_span(name, *start, *length)?;
    }
    let mut passkeys = from.passkeys();
    for tokens in from.chunks() {
        let tokens = tokens?;
        let start = to.total_tokens();
        while let Some((&position, rest)) = passkeys.split_first() {
            let place = usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
            let Some(&token) = tokens.get(place) else { break };
            to.mark_passkey(position, token)?;
            passkeys = rest;
        }
        to.extend_from_slice(&tokens)?;
    }
    Ok(to.commit()?)
}

/// What an export wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Tokens.
    pub tokens: u64,
    /// Chunk files.
    pub chunks: u64,
    /// Tokens of a chunk, but the last may have fewer.
    pub chunk_tokens: u32,
    /// Passkeys.
    pub passkeys: u64,
    /// Spans.
    pub spans: u64,
}

/// A folder that is removed with all that is in it.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes a ledger as a TinyMind ledger into the folder `dir`, which must not be there or be empty. Every chunk is
/// checked. A file gets as many tokens as the ledger's longest chunk.
///
/// The files are written into a folder beside it, which takes the name when all are on the disk.
///
/// # Errors
/// As [`TinyMindWriter`] and [`LedgerReader`]; `dir` is then as it was.
pub fn export<S: Source>(reader: &LedgerReader<S>, dir: impl AsRef<Path>) -> Result<Exported, ConvertError> {
    let dir = dir.as_ref();
    let refuse = |expected| FileError::new(dir, Error::caller(ErrorKind::Argument { expected }));
    let name = dir.to_str().ok_or_else(|| refuse("a name in UTF-8 is needed: JSON can hold no other"))?;
    let at = |error: io::Error| FileError::new(dir, error);
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(refuse("the folder is not empty").into());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(error).into()),
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    // Made here, since errors of `tempfile` name the temporary folder and lose what the system said.
    let made = builder.prefix(".bitwire-").suffix(".tmp").make_in(parent, |path| fs::create_dir(path));
    let made = made.map_err(|error| FileError::new(parent, error))?.into_temp_path().keep();
    let mut temporary = Temporary(made.map_err(|error| FileError::new(parent, error.error))?);
    // Nobody asked for the temporary folder, by whatever name.
    let from = temporary.0.clone();
    let moved = |error: FileError| error.moved(&from, dir);

    let chunk_tokens = match reader.longest_chunk() {
        0 => DEFAULT_CHUNK_TOKENS,
        longest => longest,
    };
    let mut to = TinyMindWriter::create_with_prefix(&from, name, chunk_tokens).map_err(moved)?;
    let (mut position, total) = (0u64, reader.total_tokens());
    let mut tokens = Vec::new();
    while position < total {
        let len = u64::from(chunk_tokens).min(total.saturating_sub(position));
        // No more than the longest chunk has, which is there.
        tokens.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        reader.recall_into(position, &mut tokens)?;
        to.push(&tokens).map_err(moved)?;
        position = position.saturating_add(len);
    }
    let passkeys: Vec<TinyMindPasskey> = reader
        .passkeys()?
        .iter()
        .map(|passkey| TinyMindPasskey::new(passkey.position, passkey.token))
        .collect();
    let spans = reader.spans()?;
    let named: Vec<(&str, u64, u64)> = spans.iter().map(|span| (span.name, span.start, span.len)).collect();
    to.finish(&passkeys, &named).map_err(moved)?;
    fs::rename(&from, dir).map_err(at)?;
    // Nothing is under the temporary name any more.
    core::mem::take(&mut temporary.0);
    super::write::sync_folder(parent)?;
    Ok(Exported {
        tokens: total,
        chunks: total.div_ceil(chunk_tokens.into()),
        chunk_tokens,
        passkeys: count(passkeys.len()),
        spans: count(named.len()),
    })
}

//! Writing a TinyMind ledger.
#![deny(clippy::arithmetic_side_effects)]

use super::json::{Chunk, chunk_name};
use super::{MAX_NAME, count};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{FileError, output};
use sha2::{Digest, Sha256};
use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, write};

/// SHA-256 of the tokens as TinyMind hashes them: JSON without spaces, `[7,9]`. Takes no memory but the
/// stack.
#[must_use]
pub fn compact_json_sha256(tokens: &[u32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    list(tokens, b",", |part| {
        hash.update(part);
        Ok(())
    })
    // The closure does not fail.
    .unwrap_or_default();
    hash.finalize().into()
}

/// Text handed on at a time.
const PART: usize = 4096;

/// The tokens as a JSON list, in parts of at most [`PART`] bytes. The separator has at most 2 bytes.
fn list(tokens: &[u32], separator: &[u8], mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut part = [0; PART];
    let mut used = 0;
    // Always 16 bytes, the last of them spare: a copy of constant length is one instruction. The most there
    // is to write is a separator and 10 digits.
    let push = |part: &mut [u8; PART], used: &mut usize, (bytes, len): (u128, usize)| {
        if let Some(to) = part.get_mut(*used..).and_then(<[u8]>::first_chunk_mut) {
            *to = bytes.to_le_bytes();
        }
        *used = used.saturating_add(len);
    };
    let separator = text(separator);
    let mut before = text(b"[");
    for &token in tokens {
        if used > PART - 32 {
            take(part.get(..used).unwrap_or_default())?;
            used = 0;
        }
        let (digits, len) = decimal(token);
        let (lead, lead_len) = before;
        let shift = if lead_len == 1 { 8 } else { 16 };
        push(&mut part, &mut used, (digits << shift | lead, len.saturating_add(lead_len)));
        before = separator;
    }
    push(&mut part, &mut used, text(if tokens.is_empty() { b"[]" } else { b"]" }));
    take(part.get(..used).unwrap_or_default())
}

/// A text of 1 or 2 bytes as [`decimal`] gives a number.
fn text(bytes: &[u8]) -> (u128, usize) {
    (bytes.iter().rev().fold(0, |word, &byte| word << 8 | u128::from(byte)), bytes.len())
}

/// The number's decimal digits, the first in the lowest byte, and how many there are.
fn decimal(mut number: u32) -> (u128, usize) {
    /// "00" to "99", the first digit in the lower byte.
    const PAIRS: [u16; 100] = {
        let mut pairs = [0; 100];
        let mut n: u8 = 0;
        while n < 100 {
            #[allow(
                clippy::indexing_slicing,
                clippy::arithmetic_side_effects,
                reason = "n < 100, at compile time"
            )]
            {
                pairs[n as usize] = u16::from_le_bytes([b'0' + n / 10, b'0' + n % 10]);
                n += 1;
            }
        }
        pairs
    };
    let (mut digits, mut len) = (0, 0_usize);
    loop {
        let pair = PAIRS.get((number % 100) as usize).copied().unwrap_or_default();
        digits = digits << 16 | u128::from(pair);
        len = len.saturating_add(2);
        if number < 100 {
            // Below 10 the pair starts with a 0 that is not written.
            return if number < 10 { (digits >> 8, len.saturating_sub(1)) } else { (digits, len) };
        }
        number /= 100;
    }
}

pub(super) fn hex(digest: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let mut text = [0; 64];
    for (pair, &byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    text
}

fn hex_string(digest: &[u8; 32]) -> String {
    hex(digest).iter().copied().map(char::from).collect()
}

/// A passkey for TinyMind's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TinyMindPasskey {
    /// Its position.
    pub position: u64,
    /// The token there.
    pub token: u32,
    /// The token that a test of recall expects there.
    pub expected: u32,
}

impl TinyMindPasskey {
    /// A passkey that is as expected.
    #[must_use]
    pub const fn new(position: u64, token: u32) -> Self {
        Self { position, token, expected: token }
    }
}

/// A TinyMind ledger being written: [`create`](Self::create), [`push`](Self::push) all tokens,
/// [`finish`](Self::finish).
///
/// The manifest is written last and whole. Without it the folder is no ledger, as happens if the writer is
/// dropped early; the chunk files written until then stay.
#[derive(Debug)]
pub struct TinyMindWriter {
    folder: PathBuf,
    /// The folder's name in the paths of manifest and passkey index.
    prefix: String,
    chunk_tokens: u32,
    /// Tokens of the chunk begun; fewer than `chunk_tokens`.
    pending: Vec<u32>,
    chunks: Vec<Chunk>,
    total_tokens: u64,
    text: Vec<u8>,
    /// A chunk could not be written: its tokens are gone.
    broken: bool,
}

impl TinyMindWriter {
    /// Starts a ledger in the folder `dir`, which is made, or is empty.
    ///
    /// Paths in the files start with `dir` as it is given here, as TinyMind's do.
    ///
    /// # Errors
    /// If `chunk_tokens` is 0, if there is anything in the folder, if its name is no UTF-8, or the operating
    /// system's.
    pub fn create(dir: impl AsRef<Path>, chunk_tokens: u32) -> Result<Self, FileError> {
        let dir = dir.as_ref();
        let Some(prefix) = dir.to_str() else {
            let expected = "a name in UTF-8 is needed: JSON can hold no other";
            return Err(FileError::new(dir, Error::caller(ErrorKind::Argument { expected })));
        };
        Self::create_with_prefix(dir, prefix, chunk_tokens)
    }

    /// The same for a ledger that will be read under another path: `prefix` takes the place of `dir` in the
    /// files.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_with_prefix(
        dir: impl AsRef<Path>,
        prefix: &str,
        chunk_tokens: u32,
    ) -> Result<Self, FileError> {
        let folder = dir.as_ref();
        let refuse = |expected| Err(FileError::new(folder, Error::caller(ErrorKind::Argument { expected })));
        if chunk_tokens == 0 {
            return refuse("chunk_tokens has to be at least 1");
        }
        let at_folder = |error: io::Error| FileError::new(folder, error);
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(folder).map_err(at_folder)?.next().is_some() {
                    return refuse("the folder is not empty");
                }
            }
            other => other.map_err(at_folder)?,
        }
        let chunks = folder.join("chunks");
        fs::create_dir(&chunks).map_err(|error| FileError::new(&chunks, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            chunk_tokens,
            pending: Vec::new(),
            chunks: Vec::new(),
            total_tokens: 0,
            text: Vec::new(),
            broken: false,
        })
    }

    /// Appends tokens, in pieces of any size: every chunk but the last gets `chunk_tokens` of them.
    ///
    /// # Errors
    /// Those of the operating system. The ledger can then not be finished.
    pub fn push(&mut self, mut tokens: &[u32]) -> Result<(), FileError> {
        let full = usize::try_from(self.chunk_tokens).unwrap_or(usize::MAX);
        while !tokens.is_empty() {
            let missing = full.saturating_sub(self.pending.len());
            let (now, later) = tokens.split_at_checked(missing).unwrap_or((tokens, &[]));
            tokens = later;
            if self.pending.is_empty() && now.len() == full {
                self.write_chunk(now)?;
                continue;
            }
            self.pending.extend_from_slice(now);
            if self.pending.len() == full {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), FileError> {
        let mut tokens = core::mem::take(&mut self.pending);
        let result = self.write_chunk(&tokens);
        tokens.clear();
        self.pending = tokens;
        result
    }

    fn write_chunk(&mut self, tokens: &[u32]) -> Result<(), FileError> {
        self.whole()?;
        self.broken = true;
        let id = count(self.chunks.len());
        let path = self.folder.join("chunks").join(chunk_name(id));
        let length = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        let chunk = Chunk { start: self.total_tokens, length, sha256: compact_json_sha256(tokens) };
        let text = &mut self.text;
        text.clear();
        let sha256 = hex_string(&chunk.sha256);
        let start = chunk.start;
        let mut write = || -> io::Result<()> {
            write!(
                text,
                r#"{{"chunk_id": {id}, "length": {length}, "sha256": "{sha256}", "start": {start}, "tokens": "#
            )?;
            list(tokens, b", ", |part| text.write_all(part))?;
            text.extend_from_slice(b"}\n");
            OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(text)
        };
        write().map_err(|error| FileError::new(&path, error))?;
        self.total_tokens = match chunk.end() {
            Some(end) => end,
            None => {
                let kind = ErrorKind::Size { field: "the ledger's tokens" };
                return Err(FileError::new(&self.folder, Error::caller(kind)));
            }
        };
        self.chunks.push(chunk);
        self.broken = false;
        Ok(())
    }

    fn whole(&self) -> Result<(), FileError> {
        if self.broken {
            let expected = "a chunk could not be written: nothing can be written after it";
            return Err(FileError::new(&self.folder, Error::caller(ErrorKind::Argument { expected })));
        }
        Ok(())
    }

    /// Writes the last chunk, the indices and the manifest. When it returns, all of them are on the disk.
    ///
    /// `passkeys` have to increase in position; the token of each is not looked up. `spans` are (name, start,
    /// length) and may, in TinyMind, be empty or reach past the end.
    ///
    /// # Errors
    /// If passkeys do not increase or lie past the end, if a name comes twice, or the operating system's.
    pub fn finish(
        mut self,
        passkeys: &[TinyMindPasskey],
        spans: &[(&str, u64, u64)],
    ) -> Result<(), FileError> {
        self.whole()?;
        if !self.pending.is_empty() {
            self.write_pending()?;
        }
        let passkeys = self.passkeys(passkeys).map_err(|error| FileError::new(&self.folder, error))?;
        let spans = Self::spans(spans).map_err(|error| FileError::new(&self.folder, error))?;
        let mut rolling = Sha256::new();
        for chunk in &self.chunks {
            rolling.update(hex(&chunk.sha256));
        }
        let rolling = hex_string(&rolling.finalize().into());

        // Only now, all at once: a sync after each file would make the file system wait for the disk every
        // time.
        for id in 0..count(self.chunks.len()) {
            let path = self.folder.join("chunks").join(chunk_name(id));
            let sync = || OpenOptions::new().write(true).open(&path)?.sync_all();
            sync().map_err(|error| FileError::new(&path, error))?;
        }
        sync_folder(&self.folder.join("chunks"))?;
        output::write_whole(self.folder.join("passkey_index.json"), |out| {
            Ok(object(out, 0, &passkeys, |out, entry| self.passkey(out, 2, entry))?)
        })?;
        output::write_whole(self.folder.join("semantic_index.json"), |out| {
            Ok(object(out, 0, &spans, |out, &span| self::span(out, 2, span))?)
        })?;
        let (chunk_count, chunk_tokens) = (self.chunks.len(), self.chunk_tokens);
        output::write_whole(self.folder.join("manifest.json"), |out| {
            write!(
                out,
                "{{\n  \"chunk_count\": {chunk_count},\n  \"chunk_tokens\": {chunk_tokens},\n  \"chunks\": "
            )?;
            let mut before = "[";
            for (id, chunk) in (0..).zip(&self.chunks) {
                let (length, start, path) = (chunk.length, chunk.start, self.chunk_path(id));
                let sha256 = hex_string(&chunk.sha256);
                write!(
                    out,
                    "{before}\n    {{\n      \"chunk_id\": {id},\n      \"length\": {length},\n      \"path\": {path},\n      \
                     \"sha256\": \"{sha256}\",\n      \"start\": {start}\n    }}"
                )?;
                before = ",";
            }
            out.write_all(if self.chunks.is_empty() { b"[]" } else { b"\n  ]" })?;
            out.write_all(b",\n  \"passkeys\": ")?;
            object(out, 2, &passkeys, |out, entry| self.passkey(out, 4, entry))?;
            write!(
                out,
                ",\n  \"rolling_sha256\": \"{rolling}\",\n  \"schema_version\": \"tinymind-evidence-ledger-v2\",\n  \
                 \"semantic_spans\": "
            )?;
            object(out, 2, &spans, |out, &span| self::span(out, 4, span))?;
            write!(out, ",\n  \"total_tokens\": {}\n}}", self.total_tokens)?;
            Ok(())
        })
    }

    /// By key, which sorts as text: 10 before 9.
    fn passkeys(&self, passkeys: &[TinyMindPasskey]) -> Result<BTreeMap<String, TinyMindPasskey>> {
        let mut sorted = BTreeMap::new();
        let mut least = 0;
        for &passkey in passkeys {
            let TinyMindPasskey { position, .. } = passkey;
            if position >= self.total_tokens {
                let field = "the position of a passkey";
                let max = self.total_tokens.saturating_sub(1);
                return Err(Error::caller(ErrorKind::TooLarge { field, max, found: position }));
            }
            if position < least {
                let expected = "passkeys have to increase in position";
                return Err(Error::caller(ErrorKind::Argument { expected }));
            }
            // Below total_tokens, so there is a next.
            least = position.saturating_add(1);
            sorted.insert(position.to_string(), passkey);
        }
        Ok(sorted)
    }

    fn spans(spans: &[(&str, u64, u64)]) -> Result<BTreeMap<String, (u64, u64)>> {
        let mut sorted = BTreeMap::new();
        for &(name, start, length) in spans {
            let found = count(name.len());
            if found > MAX_NAME {
                let field = "the length of a span's name";
                return Err(Error::caller(ErrorKind::TooLarge { field, max: MAX_NAME, found }));
            }
            if sorted.insert(name.to_owned(), (start, length)).is_some() {
                let expected = "no two spans may have one name";
                return Err(Error::caller(ErrorKind::Argument { expected }));
            }
        }
        Ok(sorted)
    }

    /// The path of a chunk's file as a JSON string.
    fn chunk_path(&self, id: u64) -> String {
        let name = chunk_name(id);
        string(&if self.prefix.is_empty() {
            format!("chunks/{name}")
        } else {
            format!("{}/chunks/{name}", self.prefix)
        })
    }

    /// The members of a passkey's entry.
    fn passkey(&self, out: &mut dyn Write, indent: usize, passkey: &TinyMindPasskey) -> io::Result<()> {
        let &TinyMindPasskey { position, token, expected } = passkey;
        let chunk_tokens = u64::from(self.chunk_tokens);
        // chunk_tokens is not 0.
        let id = position.checked_div(chunk_tokens).unwrap_or(0);
        let offset = position.checked_rem(chunk_tokens).unwrap_or(0);
        let path = self.chunk_path(id);
        let pad = indent.saturating_add(2);
        write!(
            out,
            "{{\n{0:pad$}\"chunk_id\": {id},\n{0:pad$}\"chunk_path\": {path},\n{0:pad$}\"expected\": {expected},\n\
             {0:pad$}\"offset\": {offset},\n{0:pad$}\"token\": {token}\n{0:indent$}}}",
            ""
        )
    }
}

/// A span's entry.
fn span(out: &mut dyn Write, indent: usize, (start, length): (u64, u64)) -> io::Result<()> {
    let pad = indent.saturating_add(2);
    write!(out, "{{\n{0:pad$}\"length\": {length},\n{0:pad$}\"start\": {start}\n{0:indent$}}}", "")
}

/// An object of entries, indented as Python's json does with indent=2.
fn object<T>(
    out: &mut dyn Write,
    indent: usize,
    entries: &BTreeMap<String, T>,
    mut entry: impl FnMut(&mut dyn Write, &T) -> io::Result<()>,
) -> io::Result<()> {
    let pad = indent.saturating_add(2);
    let mut before = "{";
    for (key, value) in entries {
        write!(out, "{before}\n{:pad$}{}: ", "", string(key))?;
        entry(out, value)?;
        before = ",";
    }
    if entries.is_empty() { out.write_all(b"{}") } else { write!(out, "\n{:indent$}}}", "") }
}

/// A JSON string, anything but ASCII as it is (Python's `ensure_ascii=False`).
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Puts the names in a folder on the disk, where the operating system has a call for that.
pub(super) fn sync_folder(path: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
        other => other.map_err(|error| FileError::new(path, error))?,
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

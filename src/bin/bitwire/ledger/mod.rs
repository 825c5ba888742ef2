//! The ledger verbs.

pub(crate) mod args;
mod convert;
mod proof;
mod read;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bitwire::io::{Escaped, FileError};
use bitwire::ledger::storage::{LedgerPath, Part, Storage};
use bitwire::ledger::{Encoding, LedgerError, LedgerReader, TornTail};
use bitwire::{ErrorKind, frame::Key};
use serde_json::{Value, json};

use crate::exit::{Outcome, Output, Problem, error_json, hex, tell};
use crate::input;
use args::LedgerVerb;

pub(crate) fn run(verb: LedgerVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        LedgerVerb::Ingest(args) => write::ingest(&args, out),
        LedgerVerb::Index(args) => write::index(&args, out),
        LedgerVerb::Recover(args) => write::recover(&args, out),
        LedgerVerb::Recall(args) => read::recall(&args, out),
        LedgerVerb::Span(args) => read::span(&args, out),
        LedgerVerb::Passkeys(args) => read::passkeys(&args, out),
        LedgerVerb::Verify(args) => read::verify(&args, out),
        LedgerVerb::Extract(args) => proof::extract(&args, out),
        LedgerVerb::Prove(args) => proof::prove(&args, out),
        LedgerVerb::CheckProof(args) => proof::check_proof(&args, out),
        LedgerVerb::ProveConsistency(args) => proof::prove_consistency(&args, out),
        LedgerVerb::CheckConsistency(args) => proof::check_consistency(&args, out),
        LedgerVerb::ImportTinyMind(args) => convert::import(&args, out),
        LedgerVerb::ExportTinyMind(args) => convert::export(&args, out),
        LedgerVerb::Evidence(args) => convert::evidence(&args, out),
    }
}

/// A ledger that is read, and the key for it.
pub(crate) struct Ledger<'a> {
    path: &'a Path,
    pub(crate) key: Option<Key>,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(path: &'a Path, key: Option<Key>) -> Result<Self, Problem> {
        if input::is_stream(path) {
            return Err(Problem::Usage("a ledger is a file, not a stream (-)".to_owned()));
        }
        // Refuses the names of folders and of indexes.
        LedgerPath::new(path)?;
        Ok(Self { path, key })
    }

    pub(crate) fn name(&self) -> String {
        Escaped::path(self.path).to_string()
    }

    /// It is read and not mapped: what is checked is then what is used, whatever becomes of the file meanwhile, and one that is
    /// cut short is an error and not the end of the process.
    fn read(&self) -> Result<LedgerReader<File>, LedgerError> {
        match &self.key {
            Some(key) => LedgerReader::open_signed(self.path, key.clone()),
            None => LedgerReader::open(self.path),
        }
    }

    /// Opens it, and tells of a torn tail.
    pub(crate) fn open(&self) -> Result<LedgerReader<File>, Problem> {
        let reader = self.read().map_err(|error| self.problem(error))?;
        self.tell_tail(reader.tail());
        Ok(reader)
    }

    fn tell_tail(&self, tail: Option<&TornTail>) {
        if let Some(TornTail { offset, len, error }) = tail {
            let name = self.name();
            tell!(
                "bitwire: warning: {name}: torn at byte {offset}: {len} bytes belong to no whole chunk and are not read \
                 ({error}); `bitwire ledger recover` cuts them off"
            );
        }
    }

    pub(crate) fn problem(&self, error: LedgerError) -> Problem {
        problem(self.path, self.key.is_some(), error)
    }

    /// The file that an error is about, and what it says.
    pub(crate) fn message(&self, error: &LedgerError) -> (String, String) {
        message(self.path, error)
    }
}

/// The path of a part of the ledger at `path`.
fn part_path(path: &Path, part: Part) -> PathBuf {
    LedgerPath::new(path).map_or(path.to_owned(), |paths| paths.path(part).to_owned())
}

fn message(path: &Path, error: &LedgerError) -> (String, String) {
    let file = Escaped::path(&part_path(path, error.part())).to_string();
    let hint = match error {
        LedgerError::Index(error) if matches!(error.kind(), ErrorKind::LedgerCut { .. }) => {
            "; remove the index only if nothing is missed"
        }
        // Another key would not be mended by another index.
        LedgerError::Index(error) if !matches!(error.kind(), ErrorKind::Hmac | ErrorKind::HmacMissing) => {
            "; `bitwire ledger index` makes it again"
        }
        _ => "",
    };
    (file, format!("{error}{hint}"))
}

/// What a ledger's error is to the command line.
fn problem(path: &Path, key: bool, error: LedgerError) -> Problem {
    let (file, message) = message(path, &error);
    let message = format!("{file}: {message}");
    match error {
        LedgerError::Io { part, error } => {
            let part = part_path(path, part);
            // The library's own, which has no words of the operating system.
            if error.kind() == io::ErrorKind::NotFound && error.raw_os_error().is_none() {
                return Problem::Usage(format!("{}: No such file or directory", Escaped::path(&part)));
            }
            Problem::File(FileError::new(part, error))
        }
        LedgerError::Damaged { .. } | LedgerError::Index(_) => Problem::Invalid(message),
        LedgerError::Refused(error) if error.kind() == ErrorKind::MixedHmac => {
            let name = Escaped::path(path);
            Problem::Usage(match key {
                true => format!("{name}: the ledger is not signed, and a key was given"),
                false => format!("{name}: the ledger is signed: its key is needed (--hmac-key-file)"),
            })
        }
        _ => Problem::Usage(message),
    }
}

fn tail_json(tail: Option<&TornTail>) -> Value {
    tail.map_or(
        Value::Null,
        |tail| json!({ "offset": tail.offset, "len": tail.len, "error": error_json(&tail.error) }),
    )
}

fn encodings_json(encodings: &BTreeMap<Encoding, u64>) -> Value {
    encodings.iter().map(|(encoding, &chunks)| (encoding.to_string(), Value::from(chunks))).collect()
}

/// `245 x packed, 15 bits; 1 x raw u16`
fn encodings_text(encodings: &BTreeMap<Encoding, u64>) -> String {
    let texts: Vec<String> =
        encodings.iter().map(|(encoding, chunks)| format!("{chunks} x {encoding}")).collect();
    if texts.is_empty() { "none".to_owned() } else { texts.join("; ") }
}

fn per_token(bytes: u64, tokens: u64) -> Option<f64> {
    (tokens > 0).then(|| bytes as f64 / tokens as f64)
}

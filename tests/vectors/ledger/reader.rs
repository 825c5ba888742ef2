//! Whole ledgers, with and without an index: the part that needs `std`.

use bitwire::frame::Key;
use bitwire::ledger::{IndexState, LedgerError, LedgerReader};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::super::{also, from_hex, hex, hold};
use super::input;

type Reader<'a> = LedgerReader<&'a [u8]>;

fn open<'a>(ledger: &'a [u8], index: Option<&[u8]>, key: Option<&Key>) -> Result<Reader<'a>, LedgerError> {
    match key {
        Some(key) => LedgerReader::new_signed(ledger, index, key.clone()),
        None => LedgerReader::new(ledger, index),
    }
}

/// The whole ledger, in which nothing may be torn.
fn whole(ledger: &[u8], key: Option<&Key>) -> Result<Value, Error> {
    let reader = open(ledger, None, key).map_err(|error| *error.format().unwrap())?;
    if let Some(tail) = reader.tail() {
        return Err(tail.error);
    }
    let verified = reader.verify(|_| ()).unwrap();
    let tokens = reader.recall_range(0..reader.total_tokens()).unwrap();
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    Ok(json!({
        "chunk_count": verified.chunks,
        "total_tokens": verified.tokens,
        "root": hex(&verified.root),
        "tokens_sha256": hex(&sha2::Sha256::digest(&bytes)),
        "passkeys": reader.passkeys().unwrap().iter().map(|passkey| passkey.position).collect::<Vec<_>>(),
        "spans": reader.spans().unwrap().iter().map(|s| json!([s.name, s.start, s.len])).collect::<Vec<_>>(),
    }))
}

/// What a reader finds that checks everything it can.
fn opened(ledger: &[u8], index: Option<&[u8]>, key: Option<&Key>) -> Result<Value, LedgerError> {
    let found = |reader: &Reader<'_>, index: Option<&str>, error: Option<Error>| {
        let mut found = json!({
            "index": index,
            "whole_len": reader.ledger_len(),
            "torn": reader.tail().map_or(0, |tail| tail.len),
        });
        if let Some(error) = error {
            found["index_error"] = json!({ "kind": error.kind().name(), "offset": error.offset() });
        }
        found
    };
    let refused = |error: Error| -> Result<Value, LedgerError> {
        let reader = open(ledger, None, key)?;
        Ok(match error.kind() {
            ErrorKind::ForeignIndex { .. } => found(&reader, Some("foreign"), None),
            ErrorKind::LedgerCut { .. } => found(&reader, Some("short"), None),
            _ => found(&reader, Some("rejected"), Some(error)),
        })
    };
    let reader = match open(ledger, index, key) {
        Err(LedgerError::Index(error)) => return refused(error),
        other => other?,
    };
    match reader.verify(|_| ()) {
        Err(LedgerError::Index(error)) => return refused(error),
        other => drop(other?),
    }
    let state = match reader.index_state() {
        IndexState::Missing => None,
        IndexState::Current => Some("current"),
        IndexState::Stale { .. } => Some("stale"),
    };
    Ok(found(&reader, state, None))
}

pub(crate) fn hold_ledger(case: &Value) {
    let ledger = input(case);
    let key = case["key"].as_str().map(|key| Key::new(&from_hex(key)));
    let key = match key.transpose() {
        Ok(key) => key,
        Err(error) => {
            hold(case, Err(error));
            return;
        }
    };
    if case["view"] == "ledger" {
        hold(case, whole(&ledger, key.as_ref()));
        return;
    }
    let index = case["index_hex"].as_str().map(from_hex);
    match opened(&ledger, index.as_deref(), key.as_ref()) {
        Ok(found) => hold(case, Ok(found)),
        Err(LedgerError::Damaged { chunk, error }) => {
            hold(case, Err(error));
            let damaged = json!({ "chunk": chunk, "offset": error.offset() });
            also(case, "damaged", &damaged);
            assert_eq!(damaged, case["damaged"], "{}", case["id"]);
        }
        Err(other) => panic!("{}: {other}", case["id"]),
    }
}

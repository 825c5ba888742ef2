//! Chunks, indexes, whole ledgers with and without an index, proofs, packing.

use bitwire::frame::Key;
use bitwire::ledger::{
    Chunk, Claim, Digest, Encoding, EncodingRule, Index, IndexState, LedgerError, LedgerReader, Proof, pack,
};
use bitwire::{Error, ErrorKind};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{cases, from_hex, hex, hold};

fn input(case: &Value) -> Vec<u8> {
    from_hex(case["hex"].as_str().unwrap())
}

fn chunk_view(chunk: &Chunk<'_>) -> Value {
    let (encoding, element, bits) = match chunk.encoding() {
        Encoding::RawU16 => ("raw", 3, 0),
        Encoding::RawU32 => ("raw", 4, 0),
        Encoding::Packed { bits } => ("packed", 2, bits),
    };
    let mut tokens = vec![0; chunk.len() as usize];
    chunk.decode_into(0, &mut tokens).unwrap();
    assert!(chunk.tokens().eq(tokens.iter().copied()));
    json!({
        "chunk_id": chunk.id(),
        "start": chunk.start(),
        "length": chunk.len(),
        "encoding": encoding,
        "bits": bits,
        "element": element,
        "tokens": tokens,
        "digest": hex(chunk.digest()),
        "passkeys": chunk.marks().passkeys().collect::<Vec<_>>(),
        "spans": chunk.marks().spans().map(|span| json!([span.name, span.start, span.len])).collect::<Vec<_>>(),
    })
}

#[test]
fn chunks() {
    let cases = cases("chunk.json");
    assert!(cases.len() > 500, "{}", cases.len());
    for case in &cases {
        hold(case, Chunk::parse_exact(&input(case)).map(|chunk| chunk_view(&chunk)));
    }
}

#[test]
fn indexes() {
    let cases = cases("index.json");
    assert!(cases.len() > 500, "{}", cases.len());
    for case in &cases {
        let view = |index: Index<'_>| {
            let names: u64 = index.spans().map(|span| span.name.len() as u64).sum();
            json!({
                "total_tokens": index.total_tokens(),
                "chunk_count": index.chunk_count(),
                "ledger_len": index.ledger_len(),
                "chunk_tokens": index.chunk_tokens(),
                "anchor_stride": index.anchor_stride(),
                "names_len": names,
                "root": hex(index.root()),
                "anchors": index
                    .anchors()
                    .map(|a| json!([a.chunk_id, a.start, a.offset, a.len, hex(&a.digest_prefix)]))
                    .collect::<Vec<_>>(),
                "passkeys": index
                    .passkeys()
                    .map(|p| json!([p.position, p.chunk_id, p.offset, p.token]))
                    .collect::<Vec<_>>(),
                "spans": index.spans().map(|s| json!([s.name, s.start, s.len])).collect::<Vec<_>>(),
            })
        };
        hold(case, Index::parse_exact(&input(case)).map(view));
    }
}

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

#[test]
fn ledgers() {
    let cases = cases("ledger.json");
    assert!(cases.len() > 300, "{}", cases.len());
    for case in &cases {
        let ledger = input(case);
        let key = case["key"].as_str().map(|key| Key::new(&from_hex(key)));
        let key = match key.transpose() {
            Ok(key) => key,
            Err(error) => {
                hold(case, Err(error));
                continue;
            }
        };
        if case["view"] == "ledger" {
            hold(case, whole(&ledger, key.as_ref()));
            continue;
        }
        let index = case["index_hex"].as_str().map(from_hex);
        match opened(&ledger, index.as_deref(), key.as_ref()) {
            Ok(found) => hold(case, Ok(found)),
            Err(LedgerError::Damaged { chunk, error }) => {
                hold(case, Err(error));
                assert_eq!(
                    json!({ "chunk": chunk, "offset": error.offset() }),
                    case["damaged"],
                    "{}",
                    case["id"]
                );
            }
            Err(other) => panic!("{}: {other}", case["id"]),
        }
    }
}

#[test]
fn proofs() {
    let cases = cases("proof.json");
    assert!(cases.len() > 300, "{}", cases.len());
    let digest =
        |case: &Value, name: &str| -> Digest { from_hex(case[name].as_str().unwrap()).try_into().unwrap() };
    for case in &cases {
        let bytes = input(case);
        let checked = Proof::parse(&bytes).and_then(|proof| {
            let root = digest(case, "root");
            let (name, a, b) = match proof.claim() {
                Claim::Inclusion { chunk_id, tree_size } => {
                    proof.verify_inclusion(&digest(case, "digest"), &root)?;
                    ("inclusion", chunk_id, tree_size)
                }
                Claim::Consistency { old_size, new_size } => {
                    proof.verify_consistency(&digest(case, "old_root"), &root)?;
                    ("consistency", old_size, new_size)
                }
            };
            Ok(json!({ "type": name, "a": a, "b": b, "count": proof.path().len() }))
        });
        hold(case, checked);
    }
}

#[test]
fn packing() {
    let cases = cases("pack.json");
    assert!(cases.len() > 200, "{}", cases.len());
    for case in &cases {
        let id = &case["id"];
        let tokens: Vec<u32> =
            case["tokens"].as_array().unwrap().iter().map(|token| token.as_u64().unwrap() as u32).collect();
        let bytes = input(case);
        let mut packed = vec![0; bytes.len()];
        if case["view"] == "choose" {
            let encoding = Encoding::smallest(&tokens);
            let found = match encoding {
                Encoding::RawU16 => ("raw", 3, 0),
                Encoding::RawU32 => ("raw", 4, 0),
                Encoding::Packed { bits } => ("packed", 2, bits),
            };
            assert_eq!(json!(found), json!([case["encoding"], case["element"], case["bits"]]), "{id}");
            assert_eq!(encoding.encode_into(&tokens, &mut packed).unwrap(), bytes.len(), "{id}");
            assert_eq!(packed, bytes, "{id}");
            assert_eq!(EncodingRule::default(), EncodingRule::Auto);
            continue;
        }
        let bits = case["bits"].as_u64().unwrap() as u8;
        assert_eq!(pack::pack_into(&tokens, bits, &mut packed).unwrap(), bytes.len(), "{id}");
        assert_eq!(packed, bytes, "{id}");
        let mut back = vec![0; tokens.len()];
        pack::unpack_into(&bytes, bits, 0, &mut back).unwrap();
        assert_eq!(back, tokens, "{id}");
    }
}

//! Chunks, indexes, whole ledgers with and without an index, proofs, packing.

#[cfg(feature = "std")]
mod reader;

use bitwire::ledger::{Chunk, Claim, Digest, Encoding, Index, Proof, pack};
use serde_json::{Value, json};

use super::{Held, each, from_hex, hex, hold, note};

fn input(case: &Value) -> Vec<u8> {
    from_hex(case["hex"].as_str().unwrap())
}

pub(super) fn chunk_view(chunk: &Chunk<'_>) -> Value {
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

#[cfg_attr(test, test)]
pub(crate) fn chunks() -> Held {
    each("chunk.json", 500, |case| {
        hold(case, Chunk::parse_exact(&input(case)).map(|chunk| chunk_view(&chunk)));
    })
}

pub(super) fn index_view(index: &Index<'_>) -> Value {
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
}

#[cfg_attr(test, test)]
pub(crate) fn indexes() -> Held {
    each("index.json", 500, |case| {
        hold(case, Index::parse_exact(&input(case)).map(|index| index_view(&index)));
    })
}

#[cfg(feature = "std")]
#[cfg_attr(test, test)]
pub(crate) fn ledgers() -> Held {
    each("ledger.json", 300, reader::hold_ledger)
}

#[cfg_attr(test, test)]
pub(crate) fn proofs() -> Held {
    let digest =
        |case: &Value, name: &str| -> Digest { from_hex(case[name].as_str().unwrap()).try_into().unwrap() };
    each("proof.json", 300, |case| {
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
    })
}

#[cfg_attr(test, test)]
pub(crate) fn packing() -> Held {
    // What "choose" is about is what a writer does unless told otherwise.
    #[cfg(feature = "std")]
    assert_eq!(bitwire::ledger::EncodingRule::default(), bitwire::ledger::EncodingRule::Auto);
    each("pack.json", 200, |case| {
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
            let (encoding, element, bits) = found;
            let found =
                json!({ "encoding": encoding, "element": element, "bits": bits, "hex": hex(&packed) });
            note(case, &Ok(found));
            return;
        }
        let bits = case["bits"].as_u64().unwrap() as u8;
        assert_eq!(pack::pack_into(&tokens, bits, &mut packed).unwrap(), bytes.len(), "{id}");
        assert_eq!(packed, bytes, "{id}");
        let mut back = vec![0; tokens.len()];
        pack::unpack_into(&bytes, bits, 0, &mut back).unwrap();
        assert_eq!(back, tokens, "{id}");
        note(case, &Ok(json!({ "hex": hex(&packed), "tokens": back })));
    })
}

//! The readers of the JSON files, for the fuzz targets.

use super::json;
use crate::error::Result;
use std::string::String;
use std::vec::Vec;

/// The row of a chunk.
pub(crate) struct Row {
    pub(crate) chunk_id: Option<u64>,
    pub(crate) start: Option<u64>,
    pub(crate) length: Option<u32>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) tokens: Option<Vec<u32>>,
}

/// chunk_id, offset, token, expected.
pub(crate) type Passkey = (Option<u64>, Option<u64>, Option<u32>, Option<i128>);
/// start, length.
pub(crate) type Span = (Option<u64>, Option<u64>);

/// The manifest; chunks as start, length and SHA-256.
pub(crate) struct Manifest {
    pub(crate) total_tokens: Option<u64>,
    pub(crate) chunks: Option<Vec<(u64, u32, [u8; 32])>>,
    pub(crate) passkeys: Option<Vec<(u64, Passkey)>>,
    pub(crate) spans: Option<Vec<(String, Span)>>,
}

pub(crate) fn row(text: &[u8], limit: u32) -> Result<Row> {
    json::row(text, limit).map(|row| {
        let json::Row { chunk_id, start, length, sha256, tokens, .. } = row;
        Row { chunk_id, start, length, sha256, tokens }
    })
}

pub(crate) fn manifest(text: &[u8]) -> Result<Manifest> {
    json::manifest(text).map(|manifest| Manifest {
        total_tokens: manifest.total_tokens,
        chunks: manifest
            .chunks
            .map(|chunks| chunks.iter().map(|chunk| (chunk.start, chunk.length, chunk.sha256)).collect()),
        passkeys: manifest.passkeys.map(listed),
        spans: manifest.semantic_spans.map(named),
    })
}

pub(crate) fn passkeys(text: &[u8]) -> Result<Vec<(u64, Passkey)>> {
    json::passkeys(text).map(listed)
}

pub(crate) fn spans(text: &[u8]) -> Result<Vec<(String, Span)>> {
    json::spans(text).map(named)
}

fn listed(passkeys: json::Passkeys) -> Vec<(u64, Passkey)> {
    let fields = |entry: json::PasskeyEntry| (entry.chunk_id, entry.offset, entry.token, entry.expected);
    passkeys.into_iter().map(|(position, entry)| (position, fields(entry))).collect()
}

fn named(spans: json::Spans) -> Vec<(String, Span)> {
    spans.into_iter().map(|(name, entry)| (name, (entry.start, entry.length))).collect()
}

//! The evidence run: a stream of tokens that anyone can compute again, and the report on a ledger that holds
//! it.
//!
//! The stream and the report's members are those of TinyMind's benchmark of 2 million tokens, so that the two
//! can be put side by side. [`EvidenceStream`] makes the tokens, the passkeys and the spans;
//! [`EvidenceReport`] takes what was measured, compares what was recalled with the stream, and says which
//! claims that allows. [`run`] does all of it.
#![deny(clippy::arithmetic_side_effects)]

mod run;

pub use run::{EvidenceError, run};

use crate::error::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

/// Tokens of each span.
pub const SPAN_TOKENS: u64 = 16;

/// The measured tokens from which on 2 million tokens may be claimed.
pub const CLAIM_TOKENS: u64 = 2_000_000;

const FACTOR: u64 = 1_103_515_245;
const INCREMENT: u64 = 12_345;
const VOCABULARY: u64 = 32_000;
const FIRST_PASSKEY: u32 = 120_000_000;

/// Up to here p * FACTOR + INCREMENT is below 2^64, as FACTOR is below 2^31.
const SMALL: u64 = 1 << 33;

/// The tokens t(p) = ((p * 1103515245 + 12345) XOR floor(p / 128)) mod 32000 for p from 0 to n - 1, computed
/// without overflow, but for four passkeys: token 120000000 + i at positions 0, n/3, 2n/3 and n - 1 (rounded
/// down).
///
/// Three spans of 16 tokens are to be recalled: `first` at 0, `middle` at n/2 (below 32 tokens it ends with
/// the stream, and is shorter), `last_window` at n - 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceStream {
    tokens: u64,
}

impl EvidenceStream {
    /// The stream of `tokens` tokens.
    ///
    /// # Errors
    /// If they are fewer than 16, one span. (From 4 on, no two passkeys share a position.)
    pub const fn new(tokens: u64) -> Result<Self> {
        if tokens < SPAN_TOKENS {
            let expected = "an evidence run has at least 16 tokens";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        Ok(Self { tokens })
    }

    /// How many tokens there are.
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The token at `position`, if that is in the stream.
    #[must_use]
    pub fn token(&self, position: u64) -> Option<u32> {
        let mut token = [0];
        (self.fill(position, &mut token) == 1).then_some(token[0])
    }

    /// Writes the tokens from `start` on into `out` and returns how many there were: fewer than `out` holds
    /// only at the end of the stream. Takes a few cycles per token.
    pub fn fill(&self, start: u64, out: &mut [u32]) -> usize {
        let left = usize::try_from(self.tokens.saturating_sub(start)).unwrap_or(usize::MAX);
        let count = left.min(out.len());
        let out = out.get_mut(..count).unwrap_or_default();
        let end = start.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if end <= SMALL {
            for (position, to) in (start..end).zip(out.iter_mut()) {
                *to = small(position);
            }
        } else {
            for (position, to) in (start..end).zip(out.iter_mut()) {
                *to = large(position);
            }
        }
        for (position, token) in self.passkeys() {
            let place = position.checked_sub(start).and_then(|offset| usize::try_from(offset).ok());
            if let Some(to) = place.and_then(|place| out.get_mut(place)) {
                *to = token;
            }
        }
        count
    }

    /// Position and token of the passkeys, increasing.
    #[must_use]
    pub const fn passkeys(&self) -> [(u64, u32); 4] {
        let n = self.tokens;
        // floor(2n/3) without 2n: n = 3q + r gives 2q + floor(2r/3), where the last is 1 for r = 2 and else
        // 0.
        let third = n / 3;
        let two_thirds = third.wrapping_add(third).wrapping_add(n % 3 / 2);
        [
            (0, FIRST_PASSKEY),
            (third, FIRST_PASSKEY.wrapping_add(1)),
            (two_thirds, FIRST_PASSKEY.wrapping_add(2)),
            (n.wrapping_sub(1), FIRST_PASSKEY.wrapping_add(3)),
        ]
    }

    /// Name, start and length of the spans.
    #[must_use]
    pub const fn spans(&self) -> [(&'static str, u64, u64); 3] {
        let n = self.tokens;
        let half = n.wrapping_sub(n / 2);
        [
            ("first", 0, SPAN_TOKENS),
            ("middle", n / 2, if half < SPAN_TOKENS { half } else { SPAN_TOKENS }),
            ("last_window", n.wrapping_sub(SPAN_TOKENS), SPAN_TOKENS),
        ]
    }
}

/// t(position) below [`SMALL`].
#[allow(clippy::cast_possible_truncation, reason = "the rest is below 32000")]
const fn small(position: u64) -> u32 {
    let x = position.wrapping_mul(FACTOR).wrapping_add(INCREMENT) ^ (position >> 7);
    (x % VOCABULARY) as u32
}

/// t(position) anywhere: the product has up to 95 bits.
#[allow(clippy::cast_possible_truncation, reason = "the halves of a u128, and a rest below 32000")]
const fn large(position: u64) -> u32 {
    const CARRY: u64 = (u64::MAX % VOCABULARY).wrapping_add(1);
    let x = (position as u128).wrapping_mul(FACTOR as u128).wrapping_add(INCREMENT as u128);
    let (high, low) = ((x >> 64) as u64, x as u64 ^ (position >> 7));
    // high is below 2^31 and CARRY at most 32000: no overflow, and no slow division of 128 bits.
    (high.wrapping_mul(CARRY).wrapping_add(low % VOCABULARY) % VOCABULARY) as u32
}

/// What was measured of a ledger, and what may be claimed of it.
///
/// [`new`](Self::new) with the stream, then what the writer and the reader found: the public fields, and the
/// recalled tokens through [`passkey`](Self::passkey) and [`span`](Self::span), which compare them with the
/// stream. Then [`to_json`](Self::to_json) and [`to_markdown`](Self::to_markdown).
#[derive(Clone, Debug)]
pub struct EvidenceReport {
    stream: EvidenceStream,
    passkeys: Vec<PasskeyHit>,
    spans: Vec<SpanHit>,
    /// Tokens the reader finds in the ledger.
    pub measured_tokens: u64,
    /// Tokens per chunk that were asked for.
    pub chunk_tokens: u32,
    /// Chunks the ledger has.
    pub chunk_count: u64,
    /// The encoding that was asked for, `auto` for one.
    pub encoding: String,
    /// How many chunks have which encoding: `packed, 15 bits`.
    pub chunk_encodings: BTreeMap<String, u64>,
    /// Root of the Merkle tree over the chunks' digests.
    pub root: [u8; 32],
    /// Bytes of the ledger file.
    pub archive_bytes: u64,
    /// Bytes of the index file, all of it.
    pub index_bytes: u64,
    /// Every how many chunks there is an anchor.
    pub anchor_stride: u32,
    /// The index's anchors.
    pub anchors: Vec<EvidenceAnchor>,
    /// Chunks whose digest, and whose tokens, were checked.
    pub checked_chunks: u64,
    /// What the check found.
    pub integrity_errors: Vec<IntegrityError>,
    /// How long it took.
    pub timings: EvidenceTimings,
    /// Type of the file system that the ledger is on, if known.
    pub file_system: Option<String>,
    /// When, in seconds since 1970-01-01 00:00 UTC.
    pub created_at: Option<u64>,
    /// The ledger file.
    pub ledger_path: Option<String>,
    /// The index file.
    pub index_path: Option<String>,
}

/// An anchor of the index, as the report lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceAnchor {
    /// The chunk.
    pub chunk_id: u64,
    /// Position of its first token.
    pub start: u64,
    /// Its tokens.
    pub length: u32,
    /// Where its frame starts in the ledger file, in bytes.
    pub offset: u64,
    /// The first bytes of its digest.
    pub sha256_prefix: [u8; 8],
}

/// What a check of the ledger found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegrityError {
    /// In which chunk, if in one.
    pub chunk_id: Option<u64>,
    /// What is wrong.
    pub error: String,
}

/// Seconds of wall time. 0 for what was not done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EvidenceTimings {
    /// Writing the ledger and its index, neither making the tokens nor the time for [`fsync`](Self::fsync)
    /// included.
    pub ingest: f64,
    /// Waiting for the disk at the end of it.
    pub fsync: f64,
    /// Checking the whole ledger.
    pub verify: f64,
    /// Recalling passkeys and spans.
    pub recall: f64,
    /// Recalling one token at a position picked at random, from a chunk that was checked before: the median.
    pub position: f64,
}

#[derive(Clone, Debug)]
struct PasskeyHit {
    position: u64,
    expected: u32,
    chunk_id: u64,
    offset: u64,
    token: u32,
    hash_verified: bool,
}

impl PasskeyHit {
    const fn matched(&self) -> bool {
        self.token == self.expected
    }
}

#[derive(Clone, Debug)]
struct SpanHit {
    name: &'static str,
    start: u64,
    length: u64,
    first_token: Option<u32>,
    token_count: usize,
    matched: bool,
    hash_verified: bool,
}

impl EvidenceReport {
    /// A report on a ledger that should hold `stream`, with nothing measured yet.
    #[must_use]
    pub const fn new(stream: EvidenceStream, chunk_tokens: u32, anchor_stride: u32) -> Self {
        Self {
            stream,
            passkeys: Vec::new(),
            spans: Vec::new(),
            measured_tokens: 0,
            chunk_tokens,
            chunk_count: 0,
            encoding: String::new(),
            chunk_encodings: BTreeMap::new(),
            root: [0; 32],
            archive_bytes: 0,
            index_bytes: 0,
            anchor_stride,
            anchors: Vec::new(),
            checked_chunks: 0,
            integrity_errors: Vec::new(),
            timings: EvidenceTimings { ingest: 0.0, fsync: 0.0, verify: 0.0, recall: 0.0, position: 0.0 },
            file_system: None,
            created_at: None,
            ledger_path: None,
            index_path: None,
        }
    }

    /// The stream the ledger should hold.
    #[must_use]
    pub const fn stream(&self) -> &EvidenceStream {
        &self.stream
    }

    /// Takes the token recalled at `position`, from `offset` in the chunk `chunk_id`; `hash_verified` says
    /// whether that chunk's digest was checked on the way.
    ///
    /// # Errors
    /// If the stream has no passkey at `position`.
    pub fn passkey(
        &mut self,
        position: u64,
        chunk_id: u64,
        offset: u64,
        token: u32,
        hash_verified: bool,
    ) -> Result<()> {
        let passkeys = self.stream.passkeys();
        let Some(&(_, expected)) = passkeys.iter().find(|passkey| passkey.0 == position) else {
            let expected = "the stream has no passkey at this position";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        };
        self.passkeys.retain(|hit| hit.position != position);
        self.passkeys.push(PasskeyHit { position, expected, chunk_id, offset, token, hash_verified });
        self.passkeys.sort_by_key(|hit| hit.position);
        Ok(())
    }

    /// Takes the tokens recalled for the span `name`; `hash_verified` says whether the digests of its chunks
    /// were checked.
    ///
    /// # Errors
    /// If the stream has no such span.
    pub fn span(&mut self, name: &str, tokens: &[u32], hash_verified: bool) -> Result<()> {
        let Some((name, start, length)) = self.stream.spans().into_iter().find(|span| span.0 == name) else {
            return Err(Error::caller(ErrorKind::Argument { expected: "the stream has no such span" }));
        };
        let mut expected = vec![0; usize::try_from(length).unwrap_or(0)];
        self.stream.fill(start, &mut expected);
        self.spans.retain(|hit| hit.name != name);
        self.spans.push(SpanHit {
            name,
            start,
            length,
            first_token: tokens.first().copied(),
            token_count: tokens.len(),
            matched: tokens == expected,
            hash_verified,
        });
        self.spans.sort_by_key(|hit| hit.name);
        Ok(())
    }

    /// Whether every passkey was recalled, is the stream's, and comes from a chunk whose digest was checked.
    #[must_use]
    pub fn passkey_recall_passed(&self) -> bool {
        self.passkeys.len() == self.stream.passkeys().len()
            && self.passkeys.iter().all(|hit| hit.matched() && hit.hash_verified)
    }

    /// The same of every span.
    #[must_use]
    pub fn semantic_recall_passed(&self) -> bool {
        self.spans.len() == self.stream.spans().len()
            && self.spans.iter().all(|hit| hit.matched && hit.hash_verified)
    }

    /// Whether all chunks were checked, and nothing found wrong.
    #[must_use]
    pub fn integrity_passed(&self) -> bool {
        self.integrity_errors.is_empty() && self.checked_chunks == self.chunk_count && self.chunk_count > 0
    }

    /// Whether recall can be called exact: passkeys, spans and integrity all passed.
    #[must_use]
    pub fn exact_recall_claim_allowed(&self) -> bool {
        self.passkey_recall_passed() && self.semantic_recall_passed() && self.integrity_passed()
    }

    /// The same, on 2 million tokens or more.
    #[must_use]
    pub fn compressed_2m_context_ready(&self) -> bool {
        self.measured_tokens >= CLAIM_TOKENS && self.exact_recall_claim_allowed()
    }

    /// Why the claims are allowed, or are not.
    #[must_use]
    pub fn reason(&self) -> String {
        let rest = "full transformer KV and external rank claims are not asserted.";
        if self.compressed_2m_context_ready() {
            return format!("2M exact recall is backed by ledger/index evidence; {rest}");
        }
        let mut missing = Vec::new();
        if self.measured_tokens < CLAIM_TOKENS {
            missing.push(format!("{} of {CLAIM_TOKENS} tokens were measured", self.measured_tokens));
        }
        for (passed, what) in [
            (self.passkey_recall_passed(), "passkey recall did not pass"),
            (self.semantic_recall_passed(), "span recall did not pass"),
            (self.integrity_passed(), "integrity did not pass"),
        ] {
            if !passed {
                missing.push(what.into());
            }
        }
        format!("2M exact recall is not asserted: {}; {rest}", missing.join(", "))
    }

    #[allow(clippy::cast_precision_loss, reason = "a figure to read: 53 bits are plenty")]
    fn per_token(&self, bytes: u64) -> f64 {
        if self.measured_tokens == 0 { 0.0 } else { bytes as f64 / self.measured_tokens as f64 }
    }

    /// The report as JSON, schema `bitwire-evidence/1`: members sorted, indented by 2, no line break at the
    /// end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Members in order here too: a build in which serde_json keeps the order given writes the same.
        let anchors: Vec<Value> = self
            .anchors
            .iter()
            .map(|anchor| {
                json!({
                    "chunk_id": anchor.chunk_id,
                    "length": anchor.length,
                    "offset": anchor.offset,
                    "sha256_prefix": hex(&anchor.sha256_prefix),
                    "start": anchor.start,
                })
            })
            .collect();
        let errors: Vec<Value> = self
            .integrity_errors
            .iter()
            .map(|error| json!({ "chunk_id": error.chunk_id, "error": error.error }))
            .collect();
        let passkeys: Vec<Value> = self
            .passkeys
            .iter()
            .map(|hit| {
                json!({
                    "chunk_id": hit.chunk_id,
                    "expected": hit.expected,
                    "hash_verified": hit.hash_verified,
                    "matched": hit.matched(),
                    "offset": hit.offset,
                    "position": hit.position,
                    "token": hit.token,
                })
            })
            .collect();
        let spans: serde_json::Map<String, Value> = self
            .spans
            .iter()
            .map(|hit| {
                let members = json!({
                    "first_token": hit.first_token,
                    "hash_verified": hit.hash_verified,
                    "length": hit.length,
                    "matched": hit.matched,
                    "start": hit.start,
                    "token_count": hit.token_count,
                });
                (hit.name.to_string(), members)
            })
            .collect();
        let report = json!({
            "claim_gate": {
                "compressed_2m_context_ready": self.compressed_2m_context_ready(),
                "exact_recall_claim_allowed": self.exact_recall_claim_allowed(),
                "full_kv_2m_claim_allowed": false,
                "reason": self.reason(),
                "world_longest_context_claim_allowed": false,
            },
            "compression_index": {
                "anchor_count": self.anchors.len(),
                "anchor_stride_chunks": self.anchor_stride,
                "anchors": anchors,
                "chunk_count": self.chunk_count,
                "chunk_encodings": self.chunk_encodings,
                "chunk_tokens": self.chunk_tokens,
                "description": "Exact tokens are in the ledger. The index is derived from it and can be rebuilt: sparse \
                                anchors, passkeys, spans, and the Merkle root over the chunks' digests.",
                "index_bytes": self.index_bytes,
                "index_bytes_per_token": self.per_token(self.index_bytes),
                "kv_tokens_stored": 0,
                "method": "bitwire ledger index (BIT frame, kind 2)",
                "passkey_positions": self.stream.passkeys().map(|(position, _)| position),
                "root": hex(&self.root),
                "target_tokens": self.stream.tokens(),
            },
            "config": {
                "anchor_stride_chunks": self.anchor_stride,
                "chunk_tokens": self.chunk_tokens,
                "encoding": self.encoding,
                "semantic_span_length": SPAN_TOKENS,
                "target_tokens": self.stream.tokens(),
            },
            "created_at": self.created_at.map(timestamp),
            "file_system": self.file_system,
            "index_path": self.index_path,
            "integrity": {
                "checked_chunks": self.checked_chunks,
                "errors": errors,
                "passed": self.integrity_passed(),
            },
            "ledger_path": self.ledger_path,
            "measurements": {
                "archive_bytes": self.archive_bytes,
                "archive_bytes_per_token": self.per_token(self.archive_bytes),
                "index_bytes": self.index_bytes,
                "index_bytes_per_token": self.per_token(self.index_bytes),
                "kv_tokens_stored": 0,
                "measured_tokens": self.measured_tokens,
                "passkey_recall_passed": self.passkey_recall_passed(),
                "semantic_recall_passed": self.semantic_recall_passed(),
            },
            "passkey_hits": passkeys,
            "schema_version": "bitwire-evidence/1",
            "semantic_hits": spans,
            "timings": {
                "fsync_seconds": self.timings.fsync,
                "ingest_seconds": self.timings.ingest,
                "recall_one_position_seconds": self.timings.position,
                "recall_seconds": self.timings.recall,
                "verify_seconds": self.timings.verify,
            },
        });
        format!("{report:#}")
    }

    /// The report for people, in Markdown.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let EvidenceTimings { ingest, fsync, verify, recall, position } = self.timings;
        let nanoseconds = position * 1e9;
        let yes = |passed| if passed { "yes" } else { "no" };
        let mut lines = vec![
            "# Evidence of exact recall".into(),
            String::new(),
            format!("- Measured tokens: {}", self.measured_tokens),
            format!(
                "- Ledger: {} bytes, {:.4} bytes/token",
                self.archive_bytes,
                self.per_token(self.archive_bytes)
            ),
            format!(
                "- Index: {} bytes, {:.8} bytes/token",
                self.index_bytes,
                self.per_token(self.index_bytes)
            ),
            format!("- Chunks: {}, of {} tokens", self.chunk_count, self.chunk_tokens),
        ];
        for (encoding, chunks) in &self.chunk_encodings {
            lines.push(format!("- Encoding: {encoding} ({chunks} chunks)"));
        }
        lines.extend([
            format!("- Root: {}", hex(&self.root)),
            "- KV tokens stored: 0".into(),
            format!("- Passkey recall passed: {}", yes(self.passkey_recall_passed())),
            format!("- Span recall passed: {}", yes(self.semantic_recall_passed())),
            format!(
                "- Integrity passed: {} ({} chunks checked)",
                yes(self.integrity_passed()),
                self.checked_chunks
            ),
            format!(
                "- Seconds: ingest {ingest:.3}, fsync {fsync:.3}, verify {verify:.3}, recall {recall:.6}"
            ),
            format!("- Recall of one position, checked before: {nanoseconds:.1} ns (median)"),
        ]);
        if let Some(file_system) = &self.file_system {
            lines.push(format!("- File system: {file_system}"));
        }
        lines.extend([
            format!("- 2M compressed context ready: {}", yes(self.compressed_2m_context_ready())),
            format!("- Exact recall claim allowed: {}", yes(self.exact_recall_claim_allowed())),
            "- Full KV 2M claim allowed: no".into(),
            "- World-longest context claim allowed: no".into(),
            String::new(),
            self.reason(),
            String::new(),
        ]);
        lines.join("\n")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970 as RFC 3339 writes them: `2026-05-01T12:00:00Z`.
fn timestamp(seconds: u64) -> String {
    let (minutes, second) = (seconds / 60, seconds % 60);
    let (hours, minute) = (minutes / 60, minutes % 60);
    let (days, hour) = (hours / 24, hours % 24);
    // Days since 0000-03-01, so that a leap day ends its year; a calendar repeats every 400 years, which are
    // 146,097 days. A u64 of seconds is below 2^48 days: nothing below comes near overflow.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = day
        .saturating_sub(day / 1_460)
        .saturating_add(day / 36_524)
        .saturating_sub(day / 146_096)
        .checked_div(365)
        .unwrap_or(0);
    let year_starts = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let day = day.saturating_sub(year_starts);
    // Months from March have 31, 30, 31, 30, 31 days, again and again: 153 in five.
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let month_starts = month.saturating_mul(153).saturating_add(2) / 5;
    let day = day.saturating_sub(month_starts).saturating_add(1);
    let (month, next) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(next);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// What TinyMind's rules give for 100,000 tokens, from Python.
    fn expected() -> Value {
        serde_json::from_str(include_str!("../../tests/data/tinymind/expected.json")).unwrap()
    }

    fn all(stream: &EvidenceStream) -> Vec<u32> {
        let mut tokens = vec![0; usize::try_from(stream.tokens()).unwrap()];
        assert_eq!(stream.fill(0, &mut tokens), tokens.len());
        tokens
    }

    fn sha256_le(tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn the_stream_is_the_one_of_the_fixture() {
        let expected = expected();
        let stream = EvidenceStream::new(100_000).unwrap();
        let tokens = all(&stream);
        assert_eq!(sha256_le(&tokens), expected["token_sha256_u32le"]);
        assert_eq!(tokens.iter().map(|&t| u64::from(t)).sum::<u64>(), expected["sum_of_tokens"]);
        assert_eq!(*tokens.iter().max().unwrap(), expected["max_token"]);
        for recall in expected["recall_position"].as_array().unwrap() {
            let position = recall["position"].as_u64().unwrap();
            assert_eq!(stream.token(position).unwrap(), recall["token"]);
        }
        for (name, start, length) in stream.spans() {
            let recall = &expected["recall_semantic"][name];
            assert_eq!(
                (start, length),
                (recall["start"].as_u64().unwrap(), recall["length"].as_u64().unwrap())
            );
            let start = usize::try_from(start).unwrap();
            assert_eq!(Value::from(&tokens[start..start + 16]), recall["tokens"], "{name}");
        }
        assert_eq!(stream.token(100_000), None);
        // hashlib over the 2 million.
        assert_eq!(
            sha256_le(&all(&EvidenceStream::new(2_000_000).unwrap())),
            "baab4bcd7eabf5f1da0b74b8bfdde493f36ac903d68e08ac43a531ef9ea37967"
        );
    }

    #[test]
    fn no_product_overflows() {
        // Python's integers, which have no end.
        let stream = EvidenceStream::new(u64::MAX).unwrap();
        for (position, token) in [
            (8_589_934_590, 5024),
            (8_589_934_591, 5427),
            (8_589_934_592, 8249),
            (8_589_934_593, 3494),
            (1_099_511_627_779, 17792),
            (1_000_000_000_000_007, 30772),
            (9_223_372_036_854_788_153, 16670),
            (u64::MAX - 2, {
                let x = (u128::from(u64::MAX - 2) * 1_103_515_245 + 12_345) ^ u128::from((u64::MAX - 2) >> 7);
                u32::try_from(x % 32_000).unwrap()
            }),
        ] {
            assert_eq!(stream.token(position), Some(token), "{position}");
        }
        assert_eq!(large(18_446_744_073_709_551_614), 12192);
        assert_eq!(
            stream.passkeys(),
            [
                (0, 120_000_000),
                (6_148_914_691_236_517_205, 120_000_001),
                (12_297_829_382_473_034_410, 120_000_002),
                (18_446_744_073_709_551_614, 120_000_003),
            ]
        );
        assert_eq!(stream.token(u64::MAX), None);

        let mut tokens = [0; 1000];
        assert_eq!(stream.fill(SMALL - 500, &mut tokens), 1000);
        assert_eq!(sha256_le(&tokens), "287bc6c98aa2f59599395fbe969f6901b0fbb71f77214ecec71dc5408aae1f0d");
        assert_eq!(stream.fill(u64::MAX - 1000, &mut tokens), 1000);
        assert_eq!(tokens[999], 120_000_003);
        tokens[999] = 12192;
        assert_eq!(sha256_le(&tokens), "129d6d7163a3d4fc9b03c02b81c72d056240ca74aba14231dde0bb6ce543ade0");
        assert_eq!(stream.fill(u64::MAX - 10, &mut tokens), 10);
        assert_eq!(stream.fill(u64::MAX, &mut tokens), 0);
    }

    #[test]
    fn both_ways_agree_where_both_hold() {
        for position in (0..1 << 33).step_by(982_451_653 / 7) {
            assert_eq!(small(position), large(position));
        }
        assert_eq!(small(SMALL - 1), large(SMALL - 1));
    }

    #[test]
    fn pieces_are_the_whole() {
        let stream = EvidenceStream::new(1_000).unwrap();
        let whole = all(&stream);
        for step in [1, 7, 16, 333, 999] {
            let mut pieces = Vec::new();
            while pieces.len() < whole.len() {
                let mut piece = vec![0; step];
                let count = stream.fill(u64::try_from(pieces.len()).unwrap(), &mut piece);
                pieces.extend_from_slice(&piece[..count]);
            }
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn short_streams() {
        for tokens in 0..16 {
            assert!(EvidenceStream::new(tokens).is_err());
        }
        for tokens in 16..600_u64 {
            let stream = EvidenceStream::new(tokens).unwrap();
            let positions = stream.passkeys().map(|(position, _)| position);
            let exact = [0, tokens / 3, 2 * tokens / 3, tokens - 1];
            assert_eq!(positions, exact);
            assert!(positions.is_sorted_by(|a, b| a < b));
            for (_, start, length) in stream.spans() {
                assert!(start + length <= tokens && (8..=16).contains(&length));
                assert!(length == 16 || tokens < 32);
            }
        }
    }

    /// A ledger of `tokens` in which all went well.
    fn report(tokens: u64) -> EvidenceReport {
        let stream = EvidenceStream::new(tokens).unwrap();
        let mut report = EvidenceReport::new(stream, 8192, 8);
        report.measured_tokens = tokens;
        report.chunk_count = tokens.div_ceil(8192);
        report.checked_chunks = report.chunk_count;
        report.archive_bytes = 667_081;
        report.index_bytes = 264;
        for (position, token) in stream.passkeys() {
            report.passkey(position, position / 8192, position % 8192, token, true).unwrap();
        }
        for (name, start, length) in stream.spans() {
            let tokens: Vec<u32> = (start..).take(16).map_while(|p| stream.token(p)).collect();
            assert_eq!(u64::try_from(tokens.len()), Ok(length));
            report.span(name, &tokens, true).unwrap();
        }
        report
    }

    fn json(report: &EvidenceReport) -> Value {
        serde_json::from_str(&report.to_json()).unwrap()
    }

    #[test]
    fn the_report_says_what_tinyminds_does() {
        let (expected, ours) = (expected(), json(&report(100_000)));
        assert_eq!(ours["measurements"], expected["measurements"]);
        for member in [
            "compressed_2m_context_ready",
            "exact_recall_claim_allowed",
            "full_kv_2m_claim_allowed",
            "world_longest_context_claim_allowed",
        ] {
            assert_eq!(ours["claim_gate"][member], expected["claim_gate"][member]);
        }
        for member in
            ["chunk_tokens", "chunk_count", "anchor_stride_chunks", "passkey_positions", "target_tokens"]
        {
            assert_eq!(ours["compression_index"][member], expected["compression_index"][member]);
        }
        for (hit, position) in
            ours["passkey_hits"].as_array().unwrap().iter().zip([0, 33_333, 66_666, 99_999])
        {
            let recalls = expected["recall_position"].as_array().unwrap();
            let recall = recalls.iter().find(|recall| recall["position"] == position).unwrap();
            for member in ["position", "chunk_id", "offset", "token", "hash_verified"] {
                assert_eq!(hit[member], recall[member]);
            }
            assert_eq!((&hit["expected"], &hit["matched"]), (&recall["token"], &Value::Bool(true)));
        }
        assert_eq!(ours["semantic_hits"]["last_window"]["first_token"], 11_652);
        assert_eq!(ours["semantic_hits"]["middle"]["start"], 50_000);
        assert_eq!(
            ours["claim_gate"]["reason"],
            "2M exact recall is not asserted: 100000 of 2000000 tokens were measured; full transformer KV and external \
             rank claims are not asserted."
        );
        assert_eq!(json(&report(2_000_000))["claim_gate"]["reason"], expected["claim_gate"]["reason"]);
    }

    #[test]
    fn the_gate_opens_only_if_everything_passed() {
        let gate = |report: &EvidenceReport| {
            (report.compressed_2m_context_ready(), report.exact_recall_claim_allowed())
        };
        assert_eq!(gate(&report(1_999_999)), (false, true));
        let good = report(2_000_000);
        assert_eq!(gate(&good), (true, true));
        assert_eq!(json(&good)["claim_gate"]["full_kv_2m_claim_allowed"], false);
        assert_eq!(json(&good)["claim_gate"]["world_longest_context_claim_allowed"], false);

        let spoil: [fn(&mut EvidenceReport); 9] = [
            |report| report.passkey(666_666, 81, 3114, 7, true).unwrap(),
            |report| report.passkey(1_999_999, 244, 1151, 120_000_003, false).unwrap(),
            |report| report.passkeys.truncate(3),
            |report| report.span("first", &[120_000_000], true).unwrap(),
            |report| report.span("first", &[], true).unwrap(),
            |report| report.spans.iter_mut().for_each(|hit| hit.hash_verified = false),
            |report| report.spans.truncate(2),
            |report| report.checked_chunks -= 1,
            |report| {
                report.integrity_errors.push(IntegrityError { chunk_id: Some(2), error: "sha256".into() })
            },
        ];
        for (number, spoil) in spoil.iter().enumerate() {
            let mut report = good.clone();
            spoil(&mut report);
            assert_eq!(gate(&report), (false, false), "{number}");
            let reason = report.reason();
            assert!(reason.contains("did not pass") && !reason.contains("is backed"), "{reason}");
            assert!(report.to_markdown().contains("- 2M compressed context ready: no\n"));
        }
        let empty = EvidenceReport::new(*good.stream(), 8192, 8);
        assert_eq!(gate(&empty), (false, false));
        assert_eq!(json(&empty)["measurements"]["archive_bytes_per_token"], 0.0);

        let mut report = good;
        assert!(report.passkey(1, 0, 1, 7590, true).is_err(), "no passkey there");
        assert!(report.span("second", &[], true).is_err());
        assert_eq!(gate(&report), (true, true));
    }

    #[test]
    fn the_texts_to_the_letter() {
        let mut report = report(32);
        report.encoding = "auto".into();
        report.chunk_encodings.insert("packed, 27 bits".into(), 1);
        report.root = [0xAB; 32];
        report.archive_bytes = 400;
        report.index_bytes = 320;
        report.anchors.push(EvidenceAnchor {
            chunk_id: 0,
            start: 0,
            length: 32,
            offset: 0,
            sha256_prefix: [1, 2, 3, 4, 5, 6, 7, 0xF8],
        });
        report.timings =
            EvidenceTimings { ingest: 0.25, fsync: 0.125, verify: 0.5, recall: 0.001, position: 4e-9 };
        report.file_system = Some("ext4".into());
        report.created_at = Some(1_777_636_800);
        report.integrity_errors.push(IntegrityError { chunk_id: None, error: "root \"x\"".into() });
        assert_eq!(
            report.to_markdown(),
            "# Evidence of exact recall\n\n- Measured tokens: 32\n- Ledger: 400 bytes, 12.5000 bytes/token\n- Index: 320 \
             bytes, 10.00000000 bytes/token\n- Chunks: 1, of 8192 tokens\n- Encoding: packed, 27 bits (1 chunks)\n\
             - Root: abababababababababababababababababababababababababababababababab\n- KV tokens stored: 0\n- Passkey \
             recall passed: yes\n- Span recall passed: yes\n- Integrity passed: no (1 chunks checked)\n- Seconds: ingest \
             0.250, fsync 0.125, verify 0.500, recall 0.001000\n- Recall of one position, checked before: 4.0 ns \
             (median)\n- File system: ext4\n- 2M compressed context ready: no\n- \
             Exact recall claim allowed: no\n- Full KV 2M claim allowed: no\n- World-longest context claim allowed: no\n\n2M \
             exact recall is not asserted: 32 of 2000000 tokens were measured, integrity did not pass; full transformer \
             KV and external rank claims are not asserted.\n"
        );
        let text = report.to_json();
        for part in [
            "\"anchors\": [\n      {\n        \"chunk_id\": 0,\n        \"length\": 32,\n        \"offset\": 0,\n        \
             \"sha256_prefix\": \"01020304050607f8\",\n        \"start\": 0\n      }\n    ],",
            "\n  \"created_at\": \"2026-05-01T12:00:00Z\",\n  \"file_system\": \"ext4\",\n  \"index_path\": null,\n",
            "\"errors\": [\n      {\n        \"chunk_id\": null,\n        \"error\": \"root \\\"x\\\"\"\n      }\n    ],\n    \
             \"passed\": false\n  },",
            "\n  \"schema_version\": \"bitwire-evidence/1\",\n",
            "\n  \"timings\": {\n    \"fsync_seconds\": 0.125,\n    \"ingest_seconds\": 0.25,\n    \
             \"recall_one_position_seconds\": 4e-9,\n    \"recall_seconds\": 0.001,\n    \"verify_seconds\": 0.5\n  }\n}",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
        // Sorted at every depth: what serde_json makes of a map that sorts.
        let mut keys: Vec<Vec<&str>> = vec![vec![]];
        for line in text.lines() {
            let line = line.trim_start();
            if let Some((key, _)) = line.strip_prefix('"').and_then(|line| line.split_once("\": ")) {
                keys.last_mut().unwrap().push(key);
            }
            if line.ends_with(['{', '[']) {
                keys.push(vec![]);
            } else if line.starts_with(['}', ']']) {
                assert!(keys.pop().unwrap().is_sorted_by(|a, b| a < b));
            }
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // Python's datetime.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (978_307_199, "2000-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
        assert!(timestamp(u64::MAX).ends_with(":00:15Z"), "18446744073709551615 mod 3600 is 15");
    }
}

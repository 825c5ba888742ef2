//! The token ledger: tokens kept exactly, appended to, found again by position, and proved (spec/ledger.md).
//!
//! A ledger is a file of chunk frames; its index, a frame in a file of its own, can always be made again. Reading,
//! writing and proving single chunks needs no allocator:
//!
//! - [`Chunk`] reads tokens by their place, [`ChunkBuilder`] writes a chunk, [`pack`] has the packing of bits.
//! - [`Index`] finds the chunk of a position, passkeys and spans.
//! - [`Tree`] and [`Proof`]: whoever holds the 32 bytes of a root can check a chunk that someone hands over.
#![cfg_attr(
    feature = "std",
    doc = "
With `std`, whole ledgers:

- [`LedgerWriter`] ingests, marks and commits; what was committed survives a crash at any later instant.
- [`LedgerReader`] recalls, verifies and proves, over a file, a map of it or any [`Source`]; a torn end is told from damage.
- [`storage`] is all they need of a file system.
- `tinymind` and `evidence` (feature `tinymind`): the JSON ledgers that this replaces, and a report beside theirs."
)]

mod chunk;
mod encode;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "tinymind")]
pub mod evidence;
mod index;
#[cfg(feature = "alloc")]
mod index_build;
mod marks;
mod merkle;
pub mod pack;
#[cfg(feature = "std")]
mod reader;
#[cfg(feature = "std")]
mod rebuild;
#[cfg(feature = "mmap")]
mod recall;
#[cfg(feature = "std")]
mod scan;
#[cfg(feature = "std")]
mod source;
#[cfg(feature = "std")]
pub mod storage;
#[cfg(all(test, feature = "alloc"))]
mod tests;
#[cfg(feature = "tinymind")]
pub mod tinymind;
#[cfg(feature = "std")]
mod verify;
#[cfg(feature = "std")]
mod writer;

pub use chunk::{Chunk, ChunkHeader, Encoding};
pub use encode::ChunkBuilder;
#[cfg(feature = "std")]
pub use error::LedgerError;
pub use index::{Anchor, Index, Passkey};
#[cfg(feature = "alloc")]
pub use index_build::IndexBuilder;
pub use marks::{Marks, Span, Spans, encode_marks, encoded_marks_len};
pub use merkle::{Claim, Digest, Proof, Tree, root};
#[cfg(test)]
pub(crate) use {
    chunk::ChunkRaw, index::AnchorRaw, index::IndexRaw, index::PasskeyRaw, index::SpanRaw, marks::MarksRaw,
    merkle::ProofRaw,
};
#[cfg(feature = "std")]
pub use {
    reader::{LedgerReader, Progress, Verified},
    rebuild::{Rebuilt, rebuild_index, rebuild_index_in},
    scan::{DEFAULT_ANCHOR_STRIDE, IndexState, TornTail},
    source::Source,
    writer::{Commit, DEFAULT_CHUNK_TOKENS, EncodingRule, LedgerOptions, LedgerWriter},
};

#[cfg(feature = "mmap")]
pub use recall::{Recalled, recall};

#[cfg(all(feature = "std", feature = "hmac"))]
use crate::frame::Key;
/// The key that nobody can have without `hmac`.
#[cfg(all(feature = "std", not(feature = "hmac")))]
#[derive(Clone, Debug)]
enum Key {}

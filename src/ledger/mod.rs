//! The token ledger: tokens kept exactly, appended to, found again by position, and proved (spec/ledger.md).
//!
//! A ledger is a file of chunk frames; its index, a frame in a file of its own, can always be made again. Reading, writing
//! and proving single chunks needs no allocator:
//!
//! - [`Chunk`] reads tokens by their place, [`ChunkBuilder`] writes a chunk, [`pack`] has the packing of bits.
//! - [`Index`] finds the chunk of a position, passkeys and spans.
//! - [`Tree`] and [`Proof`]: whoever holds the 32 bytes of a root can check a chunk that someone hands over.

mod chunk;
mod encode;
mod index;
#[cfg(feature = "alloc")]
mod index_build;
mod marks;
mod merkle;
pub mod pack;
#[cfg(all(test, feature = "alloc"))]
mod tests;

pub use chunk::{Chunk, ChunkHeader, Encoding};
pub use encode::ChunkBuilder;
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

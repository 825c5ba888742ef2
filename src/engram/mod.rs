//! Engrams: KV states of language models, fingerprints of their keys, and how a context is found again by them
//! (spec/engram.md).
//!
//! - [`state`]: what llama.cpp wrote, read where it is; [`ggml`] has its element types. [`Keys`] are dense arrays, and
//!   [`KeySource`] is whatever gives keys; [`Unrotated`] undoes RoPE and the Hadamard rotation.
//! - [`whitening`]: fitted once on the keys of a few documents, it makes the fingerprints that find most.
#![cfg_attr(feature = "alloc", doc = "- [`fingerprint`]: those of ENGRAM (Python), with its meanings.")]
//! - [`certificate`]: ENGRAM's .eng files, read and written as it does.
//! - [`index`]: many fingerprints in one frame, and the exact search among them.
#![cfg_attr(
    feature = "std",
    doc = "- [`proof`]: ENGRAM's experiment: does a query find the right one of two?"
)]
//!
//! Reading states, certificates, whitenings and indexes, applying a whitening and searching need no allocator. From a state
//! to an index, and back from a query to the context that is nearest:
//!
//! ```
//! # #[cfg(feature = "alloc")]
//! # fn main() -> bitwire::Result<()> {
//! use bitwire::engram::fingerprint::{LayerRange, l2_norm, mean_pool};
//! use bitwire::engram::index::{Entry, Index, IndexOptions, Method, Metric, OwnedIndex, Query, VectorType};
//! use bitwire::engram::state::{State, StreamKeys};
//! use bitwire::frame::ContextHash;
//!
//! # let mut blob = Vec::new();
//! # blob.extend_from_slice(b"\x05\0\0\0llama\x01\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
//! # for _ in 0..2 { blob.extend_from_slice(b"\x01\0\0\0\x04\0\0\0\0\0\0\0\0\x3C\0\xC0"); }
//! let state = State::parse(&blob)?; // one cell of one layer, in f16
//! let stream = state.caches().next().and_then(|cache| cache.streams().next()).unwrap();
//! let keys = StreamKeys::new(&stream, 2)?; // heads of 2 components: the blob does not say it
//! let fingerprint = mean_pool(&keys, LayerRange::All)?;
//! assert_eq!(fingerprint, [1.0, -2.0]);
//!
//! let mut index = OwnedIndex::new(IndexOptions {
//!     vector_type: VectorType::F16,
//!     dim: 2,
//!     vectors_per_entry: 1,
//!     metric: Metric::InnerProduct,
//!     method: Method::MeanPool,
//!     whitening_prefix: None,
//! })?;
//! let entry = Entry {
//!     cache_id: "notes-17",
//!     task_description: "Notes of the meeting",
//!     model_id: "llama-3.1-8b",
//!     context_len: stream.cell_count(),
//!     created_at: 1_795_255_753,
//!     l2_norm: l2_norm(&fingerprint) as f32,
//! };
//! index.add(&entry, &fingerprint)?;
//! let bytes = index.encode_payload()?.to_frame(ContextHash([7; 8]))?.encode()?;
//!
//! let index = Index::parse_exact(&bytes)?; // or a mapped file: it is searched where it is
//! let hits = index.search().top_k(Query::new(&[3.0, 1.0]), 5, |_| true)?;
//! assert_eq!(hits[0].score, 1.0);
//! assert_eq!(index.entry(hits[0].entry).unwrap().cache_id, "notes-17");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "alloc"))]
//! # fn main() {}
//! ```
//!
//! Sources: llama.cpp's `llama-kv-cache.cpp` and `llama-context.cpp` for states, ENGRAM for its fingerprints and certificates.

pub mod certificate;
#[cfg(feature = "linalg")]
mod eigen;
#[cfg(feature = "alloc")]
pub mod fingerprint;
pub mod ggml;
pub mod index;
mod keys;
mod norm;
#[cfg(feature = "std")]
pub mod proof;
mod rotation;
pub mod state;
pub mod whitening;

pub use keys::{KeyShape, KeySource, Keys};
pub use rotation::{Angle, Pairs, Rope, Unrotated, VALUE_HADAMARD_BLOCK, hadamard, key_hadamard_block};

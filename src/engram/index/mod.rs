//! Indexes of fingerprints (spec/engram.md, "Index").
//!
//! - [`Index`]: the view of an index in memory or in a mapped file, searched where it is, without an allocator.
#![cfg_attr(feature = "alloc", doc = "- [`OwnedIndex`]: one to be added to and removed from.")]
//! - [`Search`]: the exact search that both stand on; [`Vectors`] and [`encode_row`]: how vectors are stored.
#![cfg_attr(
    feature = "ann",
    doc = "- [`Hnsw`]: a graph over a search, for approximate answers with exact scores."
)]

#[cfg(feature = "ann")]
mod approximate;
#[cfg(feature = "alloc")]
mod owned;
mod search;
#[cfg(all(test, feature = "alloc"))]
mod tests;
mod vectors;
mod view;

#[cfg(feature = "ann")]
pub use approximate::{Hnsw, HnswOptions};
#[cfg(feature = "alloc")]
pub use owned::{EncodedIndex, IndexOptions, OwnedIndex};
pub use search::{Hit, Metric, Query, Search, TopK};
pub use vectors::{EncodedRow, VectorType, Vectors, encode_row};
#[cfg(test)]
pub(crate) use view::{EngramIndexRaw, EntryRaw};
pub use view::{Entry, Filter, Index, Method};

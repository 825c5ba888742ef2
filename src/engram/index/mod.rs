//! Indexes of fingerprints (spec/engram.md, "Index").

mod search;
mod vectors;

pub use search::{Hit, Metric, Query, Search, TopK};
pub use vectors::{EncodedRow, VectorType, Vectors, encode_row};

//! The token ledger: chunks of tokens, appended, and what proves that they are all there and in order.

mod merkle;

pub use merkle::{Claim, Digest, Proof, Tree, root};

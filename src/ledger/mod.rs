//! The token ledger: token ids in checked chunks, appended to one file.

#[cfg(feature = "std")]
pub mod storage;

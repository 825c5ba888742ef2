//! The token ledger.

pub mod pack;

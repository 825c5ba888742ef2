//! Gists: contexts compressed into the KV of a few virtual tokens, carried, checked and measured (spec/gist.md).

pub mod budget;
pub mod mask;
#[cfg(feature = "niah")]
pub mod niah;

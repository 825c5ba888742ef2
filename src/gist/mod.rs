//! Gists: contexts compressed into the KV of a few virtual tokens, carried, checked and measured (spec/gist.md).
//!
//! - [`GistView`] reads one where it is, [`GistBuilder`] writes one, [`GistView::for_model`] puts one into a model's cache
//!   after checking that it is that model's. None of them needs an allocator.
#![cfg_attr(feature = "alloc", doc = "- [`GistPayload`]: taken out of a full KV, with what storing it cost.")]
//! - [`mask`]: what the tokens around a gist may look at. [`budget`]: what a gist saves.
#![cfg_attr(feature = "niah", doc = "- [`niah`]: needle in a haystack, which measures what a gist keeps.")]
#![cfg_attr(feature = "safetensors", doc = "- [`io::gist`](crate::io::gist): the files of the original.")]
//!
//! Sources: "Learning to Compress Prompts with Gist Tokens" (arXiv:2304.08467), and DNSity, a proof of concept in Python, "the
//! original" in what follows, whose files are read and written.

pub mod budget;
mod build;
#[cfg(feature = "alloc")]
mod cells;
mod components;
#[cfg(feature = "alloc")]
mod extract;
mod inject;
pub mod mask;
#[cfg(feature = "niah")]
pub mod niah;
mod run;
#[cfg(test)]
mod tests;
mod view;

pub use build::GistBuilder;
#[cfg(feature = "alloc")]
pub use cells::{TokensOf, cells_of};
#[cfg(feature = "alloc")]
pub use extract::{GistPayload, Store, StoreLoss};
pub use inject::{CacheMut, Injection};
pub use run::GistIds;
#[cfg(test)]
pub(crate) use view::GistRaw;
pub use view::{GistRows, GistView, Part};

//! Master and mirrors: one master of KV blocks kept in full, and each agent as the blocks in which it differs
//! (spec/mirror.md).
//!
//! - [`Blocks`]: a dense array of blocks over borrowed bytes; [`BlockSource`] is whatever gives some.
//! - [`Master`]: blocks with their SHA-256 and their context, so that nothing is rebuilt on another master.
//! - [`Master::diff_into`] writes an agent's differences, [`MirrorView`] reads them and makes the agent again. Neither needs
//!   an allocator.
#![cfg_attr(
    feature = "alloc",
    doc = "- [`MasterMirror`]: a store of one master and many agents that take steps together."
)]
//!
//! Source: TokenDance's diff-aware storage (arXiv:2604.03143), with exact reconstruction added.

mod blocks;
mod diff;
mod master;
mod shape;
#[cfg(feature = "alloc")]
mod store;
#[cfg(test)]
mod tests;
mod view;

pub use blocks::{BlockSource, Blocks};
pub use diff::{Diff, DiffOptions, Mode};
pub use master::Master;
pub use shape::{Scalar, Shape};
#[cfg(feature = "alloc")]
pub use store::{AgentStats, MasterMirror, Placement, Segment, Stats};
#[cfg(test)]
pub(crate) use view::MirrorRaw;
pub use view::MirrorView;

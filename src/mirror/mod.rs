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
//! An agent goes from one machine to another that has the master, all of it in memory of the caller's:
//!
//! ```
//! use bitwire::frame::ContextHash;
//! use bitwire::mirror::{Blocks, DiffOptions, Master, MirrorView, Scalar, Shape};
//!
//! let shape = Shape::new(Scalar::Bf16, 3, 2)?; // 3 blocks of 2 elements of 2 bytes
//! let agent = Blocks::new(shape, &[1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12])?;
//! let master = Blocks::new(shape, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])?;
//! let master = Master::new(master, ContextHash([7; 8]));
//!
//! let (mut payload, mut bytes) = ([0; 24], [0; 256]);
//! let diff = master.diff_into(&agent, DiffOptions::default(), &mut payload)?;
//! assert_eq!(diff.payload(), [1, 0, 0, 0, 5, 6, 7, 0]); // of block 1
//! let len = diff.to_frame()?.encode_into(&mut bytes)?;
//!
//! let mut out = [0; 12];
//! MirrorView::parse_exact(&bytes[..len])?.apply(&master, &mut out)?;
//! assert_eq!(out, agent.as_bytes());
//! # Ok::<(), bitwire::Error>(())
//! ```
//!
//! Source: TokenDance's diff-aware storage (arXiv:2604.03143), with exact reconstruction added.

mod blocks;
mod diff;
mod master;
#[cfg(feature = "alloc")]
mod rebase;
mod shape;
mod step;
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

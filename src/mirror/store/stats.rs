//! What a store saves (spec/mirror.md, "Ratios").
#![deny(clippy::arithmetic_side_effects)]

use super::MasterMirror;
use crate::error::Result;
use crate::mirror::diff::{Diff, DiffOptions};

/// What a store holds, and what it saves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats<'a> {
    /// The master's name; empty if there is none.
    pub master_id: &'a str,
    /// Blocks of the master.
    pub master_blocks: u32,
    /// Agents beside the master.
    pub mirrors: usize,
    /// Blocks in which agents differ from the master, all together.
    pub difference_blocks: u64,
    /// Blocks that agents have alone, all together.
    pub own_blocks: u64,
    /// [`MasterMirror::compression_ratio`].
    pub compression_ratio: f64,
    /// [`MasterMirror::byte_ratio`].
    pub byte_ratio: f64,
    /// [`MasterMirror::frame_ratio`].
    pub frame_ratio: Option<f64>,
    /// The store's threshold: the L2 norm up to which a block's difference is left out.
    pub threshold: f64,
}

/// What a store holds of one agent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AgentStats {
    /// All of its blocks.
    pub blocks: u32,
    /// Those that are the master's but for a difference.
    pub difference_blocks: u32,
    /// Those that it has alone.
    pub own_blocks: u32,
    /// How its differences were taken: the store's options, or what the mirror's frame said.
    pub options: DiffOptions,
    /// Elements whose difference was beyond the step's range: what comes back for them is off by more than half a step.
    pub saturated: u64,
    /// As [`Diff::error_bound`], and a re-basing's error is added to what was there before; NaN if it is not known, for a
    /// mirror of differences that came as a frame.
    pub error_bound: f64,
}

impl AgentStats {
    /// The share of blocks without a difference; 1 for an agent without blocks.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        if self.blocks == 0 { 1.0 } else { 1.0 - f64::from(self.difference_blocks) / f64::from(self.blocks) }
    }
}

impl MasterMirror {
    /// (mirrors + 1) * master blocks / (master blocks + difference blocks + own blocks), as TokenDance counts; 1 where that
    /// is 0 / 0. It counts a difference for a block, and every agent for as many blocks as the master has.
    ///
    /// Cost: linear in the number of agents, as of all ratios.
    #[must_use]
    pub fn compression_ratio(&self) -> f64 {
        let Some(held) = &self.held else { return 1.0 };
        let blocks = u64::from(held.shape().rows());
        let (differences, own) = self.counts();
        let all = (self.agents.len() as f64 + 1.0) * blocks as f64;
        ratio(all, blocks.saturating_add(differences).saturating_add(own) as f64)
    }

    /// The bytes of all agents' elements, the master's too, by the bytes held: the master's elements, of each mirror indices
    /// and values, and own blocks. 1 for an empty store.
    #[must_use]
    pub fn byte_ratio(&self) -> f64 {
        let Some(held) = &self.held else { return 1.0 };
        let (master, block_len) = (held.shape().len() as f64, held.shape().block_len() as f64);
        let blocks: u64 =
            self.agents.values().map(|agent| u64::from(agent.rows())).fold(0, u64::saturating_add);
        let held: u64 = self.agents.values().map(|agent| agent.held_len()).fold(0, u64::saturating_add);
        ratio(master + blocks as f64 * block_len, master + held as f64)
    }

    /// The lengths of the blocks frames that all agents would take, by those of the master's blocks frame and the mirrors'
    /// frames; unsigned and without padding. `None` if there is no master with a block, or an agent that has no frame
    /// ([`mirror`](Self::mirror)).
    ///
    /// Cost: hashes the context twice for each agent, but with [`with_ctx`](Self::with_ctx); no block is read.
    #[must_use]
    pub fn frame_ratio(&self) -> Option<f64> {
        let master = self.master()?.to_frame().ok()?.encoded_len().ok()? as f64;
        let (mut whole, mut held) = (master, master);
        for agent in self.agents.values() {
            let mirror: Result<Diff<'_>> = self.frame_of(agent);
            held += mirror.ok()?.to_frame().ok()?.encoded_len().ok()? as f64;
            // As long as the frame of the agent's own blocks: the length depends on the shape alone.
            whole += self.held.as_ref()?.at(agent.rows())?.to_frame().ok()?.encoded_len().ok()? as f64;
        }
        Some(whole / held)
    }

    /// All numbers at once. Cost: that of [`frame_ratio`](Self::frame_ratio).
    #[must_use]
    pub fn stats(&self) -> Stats<'_> {
        let (difference_blocks, own_blocks) = self.counts();
        Stats {
            master_id: self.held.as_ref().map_or("", |held| &held.id),
            master_blocks: self.held.as_ref().map_or(0, |held| held.shape().rows()),
            mirrors: self.agents.len(),
            difference_blocks,
            own_blocks,
            compression_ratio: self.compression_ratio(),
            byte_ratio: self.byte_ratio(),
            frame_ratio: self.frame_ratio(),
            threshold: self.options.threshold,
        }
    }

    /// Differences and own blocks, all together.
    fn counts(&self) -> (u64, u64) {
        self.agents.values().fold((0u64, 0u64), |(differences, own), agent| {
            let (d, o) = (u64::from(agent.differences()), u64::from(agent.own_rows()));
            (differences.saturating_add(d), own.saturating_add(o))
        })
    }
}

/// `all / held`; 1 where nothing is held.
fn ratio(all: f64, held: f64) -> f64 {
    if held == 0.0 { 1.0 } else { all / held }
}

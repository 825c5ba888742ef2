//! A store of one master in full and many agents as differences from it.
#![deny(clippy::arithmetic_side_effects)]

mod agent;
mod held;
mod stats;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub use agent::Segment;
use agent::{Agent, grown, loss_of_read};
use held::{Held, read};
pub use stats::{AgentStats, Stats};

use super::blocks::{BlockSource, Blocks};
#[cfg(doc)]
use super::diff::Mode;
use super::diff::{Diff, DiffOptions};
use super::master::Master;
use super::shape::Shape;
use super::view::MirrorView;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Context, ContextHash};
use crate::memory::{reserve, reserve_exact};

/// One master of KV blocks held in full, and many agents, each as what it does not share with it.
///
/// An agent is a sequence of [`Segment`]s: runs of the master's blocks, with the blocks in which it differs beside them, and
/// runs of blocks of its own. In a collective step the master gets new blocks once, and agents take them by getting a
/// longer segment; how many blocks they hold, or differ in, does not matter. What each operation leaves of an agent's
/// sequence:
///
/// | before | operation | after |
/// |---|---|---|
/// | any | [`register_mirror`](Self::register_mirror), [`insert_mirror`](Self::insert_mirror) | shared |
/// | shared | step | shared (longer) |
/// | shared | [`append_own`](Self::append_own) | shared, own |
/// | shared, own | step, [`Placement::AtEnd`] | shared, own, new |
/// | shared, own | step, [`Placement::BeforeOwn`] | shared, new, own: the own blocks move back |
/// | shared | step without it, then a step with it | shared, new: the blocks between are the master's alone |
///
/// The agents' names are the caller's; the iteration is by name. After an error nothing has changed, whatever the call.
///
/// ```
/// use bitwire::mirror::{Blocks, DiffOptions, MasterMirror, Placement, Scalar, Shape};
///
/// let shape = Shape::new(Scalar::Bf16, 2, 2)?;
/// let mut store = MasterMirror::new(DiffOptions::default());
/// store.register_master("retriever", &Blocks::new(shape, &[1, 2, 3, 4, 5, 6, 7, 8])?)?;
/// store.register_mirror("critic", &Blocks::new(shape, &[1, 2, 3, 4, 5, 6, 7, 0])?)?;
/// let step = shape.with_rows(1)?;
/// store.collective_reuse_step(&Blocks::new(step, &[9, 9, 9, 9])?, &["critic", "writer"], Placement::AtEnd)?;
/// assert_eq!(store.reconstruct("critic")?, [1, 2, 3, 4, 5, 6, 7, 0, 9, 9, 9, 9]);
/// assert_eq!(store.reconstruct("writer")?, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]);
/// // Three agents of three blocks, in four blocks.
/// assert_eq!(store.compression_ratio(), 9.0 / 4.0);
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone)]
pub struct MasterMirror {
    options: DiffOptions,
    origin: Origin,
    held: Option<Held>,
    agents: BTreeMap<String, Agent>,
}

/// Where an agent that has blocks of its own at its end takes new shared blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// Behind them: every block keeps its position.
    #[default]
    AtEnd,
    /// Before them: shared blocks stay together, and the own blocks' positions grow by the number of new blocks.
    BeforeOwn,
}

/// The context of the master and its mirrors.
#[derive(Clone)]
enum Origin {
    /// That of three empty ids and the master's dim.
    Unnamed,
    Hash(ContextHash),
    Whole(Context),
}

impl Origin {
    /// The context of blocks of `dim` elements: its hash, and all of it if it is known.
    fn of(&self, dim: u32) -> Result<(ContextHash, Option<Context>)> {
        let context = match self {
            Self::Unnamed => Context::new("", "", "", dim)?,
            Self::Hash(hash) => return Ok((*hash, None)),
            Self::Whole(context) => context.clone(),
        };
        if context.dim() != dim {
            let (needed, found) = (u64::from(dim), u64::from(context.dim()));
            return Err(Error::caller(ErrorKind::Shape { field: "the context's dim", needed, found }));
        }
        Ok((context.hash(), Some(context)))
    }
}

fn argument<T>(expected: &'static str) -> Result<T> {
    Err(Error::caller(ErrorKind::Argument { expected }))
}

impl MasterMirror {
    /// An empty store. Its frames carry the context of three empty ids and the master's dim.
    #[must_use]
    pub const fn new(options: DiffOptions) -> Self {
        Self { options, origin: Origin::Unnamed, held: None, agents: BTreeMap::new() }
    }

    /// An empty store whose frames carry `context`. Its dim is that of the blocks.
    #[must_use]
    pub const fn with_context(options: DiffOptions, context: Context) -> Self {
        Self { options, origin: Origin::Whole(context), held: None, agents: BTreeMap::new() }
    }

    /// An empty store whose frames have `ctx`, where no more is known of the context.
    #[must_use]
    pub const fn with_ctx(options: DiffOptions, ctx: ContextHash) -> Self {
        Self { options, origin: Origin::Hash(ctx), held: None, agents: BTreeMap::new() }
    }

    /// How the differences of agents that are registered are taken.
    #[must_use]
    pub const fn options(&self) -> DiffOptions {
        self.options
    }

    /// Takes a copy of `blocks` as the master under the name `id`. There may be no block yet.
    ///
    /// If the master had another name, all agents are removed. If it had this one, they stay what they are, as
    /// [`rebase`](Self::rebase) does it. (TokenDance left their differences as they were, and so changed the agents.)
    ///
    /// Cost: one copy and one SHA-256 of the blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a threshold that is NaN, infinite or negative, or a mode that does not go with the
    /// elements; [`ErrorKind::Shape`] if the context's dim is not that of the blocks; [`ErrorKind::OutOfMemory`]; the
    /// source's; as [`rebase`](Self::rebase) if there are agents that stay.
    pub fn register_master(&mut self, id: &str, blocks: &(impl BlockSource + ?Sized)) -> Result<()> {
        if !self.agents.is_empty() && self.held.as_ref().is_some_and(|held| held.id == id) {
            return self.rebase(id, blocks);
        }
        let source = (blocks.shape(), blocks);
        self.held = Some(Held::new(id, source, self.options, &self.origin, &[])?);
        self.agents.clear();
        Ok(())
    }

    /// Takes an agent that has as many blocks as the master: of `blocks` only what differs is kept. An agent of this name
    /// is replaced.
    ///
    /// Cost: master and agent are read once, and the blocks that differ once more; a source that does not lend its blocks is
    /// copied first, for the time of the call.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::MasterDiffers`] for another shape than the master's; [`ErrorKind::Argument`]
    /// if `id` is the master's name (TokenDance took such a mirror and returned the master for it);
    /// [`ErrorKind::NonFinite`] (row = block, column = element) with [`Mode::AddMu16`] for a difference that is NaN or
    /// infinite; [`ErrorKind::OutOfMemory`]; the source's.
    pub fn register_mirror(&mut self, id: &str, blocks: &(impl BlockSource + ?Sized)) -> Result<AgentStats> {
        let held = self.held_beside(id)?;
        let shape = blocks.shape();
        held.shape().check_same(&shape)?;
        let mut copy = Vec::new();
        let blocks = match blocks.borrowed() {
            Some(borrowed) if *borrowed.shape() == shape => borrowed,
            _ => {
                read(shape, blocks, &mut copy)?;
                Blocks::new(shape, &copy)?
            }
        };
        let agent = Agent::of(&held.blocks()?, &blocks, held.finite, self.options, &held.rule)?;
        Ok(self.put(id, agent))
    }

    /// Takes an agent from its mirror, which was made from this master or from what it was after an earlier step. It keeps
    /// the mode and the threshold of the mirror, whatever the store's options, and its values as they are: so
    /// [`mirror`](Self::mirror) gives the same payload again. An agent of this name is replaced.
    ///
    /// Cost: a copy of the mirror's payload.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::ContextDiffers`] and [`ErrorKind::MasterDiffers`] as
    /// [`MirrorView::check_master`]; [`ErrorKind::Argument`] if `id` is the master's name; [`ErrorKind::OutOfMemory`].
    pub fn insert_mirror(&mut self, id: &str, view: &MirrorView<'_>) -> Result<AgentStats> {
        let held = self.held_beside(id)?;
        let master = held.at(view.total_blocks()).or(self.master());
        view.check_master(&master.ok_or(Error::caller(ErrorKind::NoMaster))?)?;
        let options = view.options();
        let (payload, loss) = (view.frame().payload(), loss_of_read(options));
        let agent =
            Agent::with_payload(options, view.total_blocks(), view.difference_blocks(), payload, loss)?;
        Ok(self.put(id, agent))
    }

    /// Adds blocks that `id` has alone, behind what it has.
    ///
    /// Cost: a copy of the blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::UnknownAgent`]; [`ErrorKind::Argument`] if `id` is the master's name;
    /// [`ErrorKind::MasterDiffers`] for blocks of another element or dim; [`ErrorKind::TooLarge`] for more than 2^32 - 1
    /// blocks, or more bytes than this machine can address; [`ErrorKind::OutOfMemory`]; the source's.
    pub fn append_own(&mut self, id: &str, blocks: &(impl BlockSource + ?Sized)) -> Result<()> {
        let shape = *self.held_beside(id)?.shape();
        let agent = self.agents.get_mut(id).ok_or(Error::caller(ErrorKind::UnknownAgent))?;
        let more = blocks.shape();
        shape.check_same_blocks(&more)?;
        grown(&shape, agent.rows(), more.rows())?;
        agent.append_own(more.rows(), |own| read(more, blocks, own))
    }

    /// Appends `shared` to the master once; all of `agents` have it from then on, and those not named stay what they
    /// are. A name that is not known becomes an agent that has all of the new master. Returns in how many blocks each of
    /// `agents` differs from the master, which may be named too: 0.
    ///
    /// (In TokenDance agents that were not named grew too, when they were made again. A name given twice takes the blocks
    /// once, as there.)
    ///
    /// Cost: one copy and one SHA-256 of `shared`, and a little for each of `agents`; now and then the master is moved, to
    /// where it has twice the room.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::MasterDiffers`] for blocks of another element or dim;
    /// [`ErrorKind::TooLarge`] for more than 2^32 - 1 blocks, or more bytes than this machine can address;
    /// [`ErrorKind::OutOfMemory`]; the source's.
    pub fn collective_reuse_step(
        &mut self,
        shared: &(impl BlockSource + ?Sized),
        agents: &[&str],
        placement: Placement,
    ) -> Result<Vec<u32>> {
        let held = self.held.as_mut().ok_or(Error::caller(ErrorKind::NoMaster))?;
        let (before, more) = (*held.shape(), shared.shape());
        let rows = more.rows();
        before.check_same_blocks(&more)?;
        let after = grown(&before, before.rows(), rows)?;
        let (mut counts, mut newcomers) = (Vec::new(), Vec::new());
        reserve_exact(&mut counts, agents.len())?;
        for &id in agents {
            let count = if id == held.id {
                0
            } else if let Some(agent) = self.agents.get_mut(id) {
                grown(&before, agent.rows(), rows)?;
                agent.reserve_segment()?;
                agent.differences()
            } else {
                newcomers.push((String::from(id), Agent::same(self.options, after.rows())?));
                0
            };
            counts.push(count);
        }
        held.append(more, shared)?;
        // Nothing fails from here on. A newcomer has the new blocks already.
        self.agents.extend(newcomers);
        for &id in agents {
            if let Some(agent) = self.agents.get_mut(id) {
                agent.adopt(before.rows(), rows, placement);
            }
        }
        Ok(counts)
    }

    /// Gives the store a new master, `blocks` under the name `id`, and keeps what the agents are: their differences are
    /// taken again, where old and new master differ.
    ///
    /// With threshold 0 and [`Mode::Replace`] every agent is bit by bit what it was. Otherwise a block where the
    /// masters differ moves by at most the agent's threshold, or by what its mode loses (to rounding; to saturation, if
    /// the step is too small for the new difference); this adds up over re-basings, and
    /// [`error_bound`](AgentStats::error_bound) with it.
    ///
    /// Cost: one copy and one SHA-256 of the blocks, one comparison of the masters, and for each agent the blocks in which
    /// the masters differ and a copy of its differences. While it runs both masters, and old and new differences, are in
    /// memory.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::Argument`] if `id` is an agent's name; [`ErrorKind::MasterDiffers`] for
    /// another element or dim; [`ErrorKind::Shape`] for fewer blocks than the agents have of the master;
    /// [`ErrorKind::NonFinite`] with [`Mode::AddMu16`]; [`ErrorKind::OutOfMemory`]; the source's.
    pub fn rebase(&mut self, id: &str, blocks: &(impl BlockSource + ?Sized)) -> Result<()> {
        let held = self.held.as_ref().ok_or(Error::caller(ErrorKind::NoMaster))?;
        if self.agents.contains_key(id) {
            return argument("the new master's name is not that of an agent");
        }
        let shape = blocks.shape();
        held.shape().check_same_blocks(&shape)?;
        let used = self.agents.values().map(Agent::shared_end).max().unwrap_or(0);
        let (needed, found) = (u64::from(used), u64::from(shape.rows()));
        if found < needed {
            let field = "the number of blocks of the new master";
            return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
        }
        // Agents that have frames against a shorter master keep them.
        let aligned = self.agents.values().filter(|agent| agent.is_aligned()).map(Agent::rows);
        let mut lengths: Vec<u32> = aligned.collect();
        lengths.sort_unstable();
        lengths.dedup();

        let new = Held::new(id, (shape, blocks), self.options, &self.origin, &lengths)?;
        let ends = (held.blocks()?.prefix(used), new.blocks()?.prefix(used));
        let mut rebased = Vec::new();
        if let (Some(from), Some(to)) = ends {
            let mut changed = Vec::new();
            for index in DiffOptions::default().rule(from.shape().scalar())?.kept(&from, &to, false) {
                reserve(&mut changed, 1)?;
                changed.push(index);
            }
            reserve_exact(&mut rebased, self.agents.len())?;
            for agent in self.agents.values() {
                rebased.push(agent.rebased(&from, &to, &changed)?);
            }
        }
        for (agent, rebased) in self.agents.values_mut().zip(rebased) {
            if let Some(rebased) = rebased {
                agent.set(rebased);
            }
        }
        self.held = Some(new);
        Ok(())
    }

    /// Removes an agent; whether there was one of this name. The master stays.
    pub fn remove(&mut self, id: &str) -> bool {
        self.agents.remove(id).is_some()
    }

    /// The master, if there is one. Hashes nothing.
    #[must_use]
    pub fn master(&self) -> Option<Master<'_>> {
        let held = self.held.as_ref()?;
        held.at(held.shape().rows())
    }

    /// The master's name, if there is one.
    #[must_use]
    pub fn master_id(&self) -> Option<&str> {
        self.held.as_ref().map(|held| held.id.as_str())
    }

    /// The agents beside the master, by name.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = (&str, AgentStats)> {
        self.agents.iter().map(|(id, agent)| (id.as_str(), agent.stats()))
    }

    /// What is held of an agent beside the master.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownAgent`].
    pub fn agent(&self, id: &str) -> Result<AgentStats> {
        Ok(self.find(id)?.stats())
    }

    /// Which blocks an agent beside the master has, in its order. No segment is empty.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownAgent`].
    pub fn segments(&self, id: &str) -> Result<&[Segment]> {
        Ok(self.find(id)?.segments())
    }

    /// The shape of an agent's blocks, or of the master's.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`], [`ErrorKind::UnknownAgent`].
    pub fn shape_of(&self, id: &str) -> Result<Shape> {
        let held = self.held()?;
        if held.id == id { Ok(*held.shape()) } else { held.shape().with_rows(self.find(id)?.rows()) }
    }

    /// The blocks of an agent, or the master's under its name.
    ///
    /// Cost: one copy of them.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`], [`ErrorKind::UnknownAgent`], [`ErrorKind::OutOfMemory`].
    pub fn reconstruct(&self, id: &str) -> Result<Vec<u8>> {
        let (shape, master) = (self.shape_of(id)?, self.held()?.blocks()?);
        let mut out = Vec::new();
        reserve_exact(&mut out, shape.len())?;
        match self.agents.get(id) {
            Some(agent) => {
                agent.pieces(&master).for_each(|piece| out.extend_from_slice(piece));
                agent.patch(&master, &mut out);
            }
            None => out.extend_from_slice(master.as_bytes()),
        }
        Ok(out)
    }

    /// The same into `out`, which has exactly the bytes of [`shape_of`](Self::shape_of). After an error nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`], [`ErrorKind::UnknownAgent`]; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if
    /// `out` has another length.
    pub fn reconstruct_into(&self, id: &str, out: &mut [u8]) -> Result<()> {
        let (shape, master) = (self.shape_of(id)?, self.held()?.blocks()?);
        shape.check_out(out)?;
        let Some(agent) = self.agents.get(id) else {
            return master.copy_into(out);
        };
        let mut rest = &mut *out;
        for piece in agent.pieces(&master) {
            rest.split_off_mut(..piece.len()).unwrap_or_default().copy_from_slice(piece);
        }
        agent.patch(&master, out);
        Ok(())
    }

    /// The mirror of an agent, to be made a frame: against the master if the agent has all of its blocks, else against the
    /// master as it was when it had as many. For the master's own frame see [`Master::to_frame`].
    ///
    /// Cost: a look at the agent's segments; hashes nothing, copies nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NoMaster`]; [`ErrorKind::UnknownAgent`]; [`ErrorKind::NotAligned`] for an agent that has blocks of its
    /// own, or has missed a step; [`ErrorKind::Argument`] for one that has no block, and for the master's name.
    pub fn mirror(&self, id: &str) -> Result<Diff<'_>> {
        self.held_beside(id)?;
        self.frame_of(self.find(id)?)
    }

    fn frame_of<'a>(&'a self, agent: &'a Agent) -> Result<Diff<'a>> {
        if agent.rows() == 0 {
            return argument("a mirror has at least one block");
        }
        let master = self.held()?.at(agent.rows()).filter(|_| agent.is_aligned());
        let master = master.ok_or(Error::caller(ErrorKind::NotAligned))?;
        let values = agent.shape_of_values(master.blocks().shape())?;
        Ok(Diff::new(&master, agent.options, &values, agent.payload(), agent.loss()))
    }

    fn held(&self) -> Result<&Held> {
        self.held.as_ref().ok_or(Error::caller(ErrorKind::NoMaster))
    }

    /// The master, which has another name than `id`.
    fn held_beside(&self, id: &str) -> Result<&Held> {
        let held = self.held()?;
        if held.id == id {
            return argument("the agent has another name than the master");
        }
        Ok(held)
    }

    fn find(&self, id: &str) -> Result<&Agent> {
        self.agents.get(id).ok_or(Error::caller(ErrorKind::UnknownAgent))
    }

    fn put(&mut self, id: &str, agent: Agent) -> AgentStats {
        let stats = agent.stats();
        match self.agents.get_mut(id) {
            Some(old) => *old = agent,
            None => {
                self.agents.insert(String::from(id), agent);
            }
        }
        stats
    }
}

impl fmt::Debug for MasterMirror {
    /// The numbers, not the blocks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterMirror").field("options", &self.options).field("stats", &self.stats()).finish()
    }
}

//! Random operations, on the store and on one that keeps every agent in full.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A block of an agent, in full.
#[derive(Clone, Debug, PartialEq)]
enum Block {
    Shared(usize, Vec<u8>),
    Own(Vec<u8>),
}

impl Block {
    fn bytes(&self) -> &[u8] {
        let (Self::Shared(_, bytes) | Self::Own(bytes)) = self;
        bytes
    }
}

type Agents = BTreeMap<&'static str, Vec<Block>>;

/// The naive store: every agent in full.
#[derive(Clone, Debug)]
struct Naive {
    id: Option<&'static str>,
    kind: (Scalar, u32),
    master: Vec<Vec<u8>>,
    agents: Agents,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Borrowed,
    Copied,
    Failing,
}

/// Blocks of few different contents; dim 2 or 3, f32 or bf16.
#[derive(Clone, Debug)]
struct Source {
    how: How,
    kind: (Scalar, u32),
    blocks: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

const FAILED: ErrorKind = ErrorKind::Utf8 { field: "the test's source" };

impl Source {
    fn new(how: How, kind: (Scalar, u32), blocks: Vec<Vec<u8>>) -> Self {
        Self { how, kind, bytes: blocks.concat(), blocks }
    }

    fn fails(&self) -> bool {
        matches!(self.how, How::Failing) && !self.bytes.is_empty()
    }
}

impl BlockSource for Source {
    fn shape(&self) -> Shape {
        Shape::new(self.kind.0, self.blocks.len() as u32, self.kind.1).unwrap()
    }

    fn borrowed(&self) -> Option<Blocks<'_>> {
        matches!(self.how, How::Borrowed).then(|| Blocks::new(self.shape(), &self.bytes).unwrap())
    }

    fn copy_into(&self, out: &mut [u8]) -> bitwire::Result<()> {
        if self.fails() {
            out.fill(0xEE);
            return Err(Error::caller(FAILED));
        }
        out.copy_from_slice(&self.bytes);
        Ok(())
    }
}

/// Block contents: zeros of both signs, a NaN and numbers.
fn content((scalar, dim): (Scalar, u32), variant: u8) -> Vec<u8> {
    let bits = [0u32, 0x8000_0000, 0x7FC0_0001, 0x3F80_0000, 0x4000_0000][usize::from(variant % 5)];
    let wide = bits.to_le_bytes();
    let element = &wide[4 - scalar.size()..];
    let mut block = vec![0; element.len() * (dim as usize - 1)];
    block.extend_from_slice(element);
    block
}

#[derive(Clone, Debug)]
enum Op {
    RegisterMaster(&'static str, Source),
    Rebase(&'static str, Source),
    /// The present master with some blocks replaced, if `true`; else blocks of their own.
    Register(&'static str, Vec<(u8, u8)>, Option<Source>, How),
    Own(&'static str, Source),
    Step(Source, Vec<&'static str>, Placement),
    Remove(&'static str),
    /// The first one's frame becomes the second one.
    Pass(&'static str, &'static str),
}

fn ids() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("a"), 3 => Just("b"), 3 => Just("c"), 2 => Just("m"), 1 => Just("n")]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![6 => Just(How::Borrowed), 2 => Just(How::Copied), 1 => Just(How::Failing)]
}

fn kind() -> impl Strategy<Value = (Scalar, u32)> {
    prop_oneof![12 => Just((Scalar::F32, 2)), 1 => Just((Scalar::F32, 3)), 1 => Just((Scalar::Bf16, 2))]
}

fn source(rows: std::ops::Range<usize>) -> impl Strategy<Value = Source> {
    (how(), kind(), proptest::collection::vec(any::<u8>(), rows)).prop_map(|(how, kind, variants)| {
        Source::new(how, kind, variants.into_iter().map(|variant| content(kind, variant)).collect())
    })
}

fn op() -> impl Strategy<Value = Op> {
    let edits = proptest::collection::vec(any::<(u8, u8)>(), 0..4);
    let placement = prop_oneof![Just(Placement::AtEnd), Just(Placement::BeforeOwn)];
    prop_oneof![
        1 => (prop_oneof![8 => Just("m"), 1 => ids()], source(0..90)).prop_map(|(id, s)| Op::RegisterMaster(id, s)),
        2 => (prop_oneof![3 => Just("n"), 3 => Just("m"), 1 => ids()], source(60..90)).prop_map(|(id, s)| Op::Rebase(id, s)),
        8 => (ids(), edits, proptest::option::weighted(0.1, source(0..90)), how())
            .prop_map(|(id, edits, s, how)| Op::Register(id, edits, s, how)),
        4 => (ids(), source(0..4)).prop_map(|(id, s)| Op::Own(id, s)),
        8 => (source(0..5), proptest::collection::vec(ids(), 0..5), placement)
            .prop_map(|(s, agents, placement)| Op::Step(s, agents, placement)),
        1 => ids().prop_map(Op::Remove),
        3 => (ids(), ids()).prop_map(|(from, to)| Op::Pass(from, to)),
    ]
}

impl Naive {
    fn aligned(blocks: &[Block]) -> bool {
        blocks.iter().enumerate().all(|(at, block)| matches!(block, Block::Shared(index, _) if *index == at))
    }

    fn differences(&self, blocks: &[Block]) -> u32 {
        let differs =
            |block: &&Block| matches!(block, Block::Shared(at, bytes) if *bytes != self.master[*at]);
        blocks.iter().filter(differs).count() as u32
    }

    /// Does `op`, if nothing speaks against it; else the names of all errors that do.
    fn run(&mut self, op: &Op) -> Vec<&'static str> {
        let mut wrong = Vec::new();
        let mut check = |bad: bool, name| {
            if bad {
                wrong.push(name);
            }
        };
        let unnamed = self.id.is_none();
        match op {
            Op::RegisterMaster(id, source) if self.id != Some(*id) || self.agents.is_empty() => {
                check(source.fails(), "Utf8");
                if wrong.is_empty() {
                    (self.id, self.kind, self.master) = (Some(*id), source.kind, source.blocks.clone());
                    self.agents.clear();
                }
            }
            Op::RegisterMaster(id, source) | Op::Rebase(id, source) => {
                check(source.fails(), "Utf8");
                check(unnamed, "NoMaster");
                check(self.agents.contains_key(id), "Argument");
                check(source.kind != self.kind, "MasterDiffers");
                let ends = self.agents.values().flatten().filter_map(|block| match block {
                    Block::Shared(at, _) => Some(at + 1),
                    Block::Own(_) => None,
                });
                check(source.blocks.len() < ends.max().unwrap_or(0), "Shape");
                if wrong.is_empty() {
                    (self.id, self.master) = (Some(*id), source.blocks.clone());
                }
            }
            Op::Register(id, ..) => {
                let source = self.mirror_source(op);
                check(source.fails(), "Utf8");
                check(unnamed, "NoMaster");
                check(self.id == Some(id), "Argument");
                check(source.kind != self.kind || source.blocks.len() != self.master.len(), "MasterDiffers");
                if wrong.is_empty() {
                    let blocks = source.blocks.into_iter().enumerate();
                    self.agents.insert(id, blocks.map(|(at, bytes)| Block::Shared(at, bytes)).collect());
                }
            }
            Op::Own(id, source) => {
                check(source.fails(), "Utf8");
                check(unnamed, "NoMaster");
                check(self.id == Some(id), "Argument");
                check(!self.agents.contains_key(id), "UnknownAgent");
                check(source.kind != self.kind, "MasterDiffers");
                if wrong.is_empty() {
                    self.agents.get_mut(id).unwrap().extend(source.blocks.iter().cloned().map(Block::Own));
                }
            }
            Op::Step(source, ids, placement) => {
                check(source.fails(), "Utf8");
                check(unnamed, "NoMaster");
                check(source.kind != self.kind, "MasterDiffers");
                if wrong.is_empty() {
                    self.step(&source.blocks, ids, *placement);
                }
            }
            Op::Remove(id) => {
                self.agents.remove(id);
            }
            Op::Pass(from, to) => {
                check(unnamed, "NoMaster");
                check(self.id == Some(*from) || self.id == Some(*to), "Argument");
                match self.agents.get(from) {
                    None => check(true, "UnknownAgent"),
                    Some(blocks) => {
                        check(!Self::aligned(blocks), "NotAligned");
                        check(blocks.is_empty(), "Argument");
                        if wrong.is_empty() {
                            let blocks = blocks.clone();
                            self.agents.insert(to, blocks);
                        }
                    }
                }
            }
        }
        wrong
    }

    fn mirror_source(&self, op: &Op) -> Source {
        let Op::Register(_, edits, other, how) = op else { unreachable!() };
        if let Some(other) = other {
            return other.clone();
        }
        let mut blocks = self.master.clone();
        for (at, variant) in edits {
            if let Some(block) = usize::from(*at).checked_rem(self.master.len()).map(|at| &mut blocks[at]) {
                *block = content(self.kind, *variant);
            }
        }
        Source::new(*how, self.kind, blocks)
    }

    fn step(&mut self, new: &[Vec<u8>], ids: &[&'static str], placement: Placement) {
        let start = self.master.len();
        self.master.extend_from_slice(new);
        let mut ids: Vec<_> = ids.iter().filter(|id| self.id != Some(**id)).collect();
        ids.sort();
        ids.dedup();
        let shared = |blocks: &[Vec<u8>], start: usize| -> Vec<Block> {
            blocks.iter().enumerate().map(|(i, bytes)| Block::Shared(start + i, bytes.clone())).collect()
        };
        for id in ids {
            let Some(agent) = self.agents.get_mut(id) else {
                self.agents.insert(id, shared(&self.master, 0));
                continue;
            };
            let own = agent.iter().rev().take_while(|block| matches!(block, Block::Own(_))).count();
            let at = if placement == Placement::AtEnd { agent.len() } else { agent.len() - own };
            agent.splice(at..at, shared(new, start));
        }
    }

    fn assert_same(&self, store: &MasterMirror) {
        assert_eq!(store.master_id(), self.id);
        let Some(id) = self.id else { return };
        let bytes = self.master.concat();
        let master = store.master().unwrap();
        assert_eq!(*master.digest(), <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(master.blocks().as_bytes(), bytes);
        assert_eq!(store.reconstruct(id).unwrap(), bytes);
        assert!(store.agents().map(|(id, _)| id).eq(self.agents.keys().copied()));
        let (mut differences, mut own, mut blocks) = (0, 0, 0);
        let mut frames = (!self.master.is_empty())
            .then(|| master.to_frame().unwrap().encode().unwrap().len() as f64)
            .map(|len| (len, len));
        for (id, agent) in &self.agents {
            let full: Vec<u8> = agent.iter().flat_map(|block| block.bytes()).copied().collect();
            assert_eq!(store.reconstruct(id).unwrap(), full);
            let mut out = vec![0xAA; full.len()];
            store.reconstruct_into(id, &mut out).unwrap();
            assert_eq!(out, full);
            let stats = store.agent(id).unwrap();
            let of_own = agent.iter().filter(|block| matches!(block, Block::Own(_))).count() as u32;
            let expected = (agent.len() as u32, self.differences(agent), of_own, 0.0);
            assert_eq!(
                (stats.blocks, stats.difference_blocks, stats.own_blocks, stats.error_bound),
                expected
            );
            differences += u64::from(expected.1);
            own += u64::from(of_own);
            blocks += agent.len() as u64;
            self.assert_segments(store.segments(id).unwrap(), agent);

            // The frame, on a master made afresh of the blocks that the agent's stand on.
            let shape = Shape::new(self.kind.0, agent.len() as u32, self.kind.1).unwrap();
            if agent.is_empty() || !Self::aligned(agent) {
                let expected = if agent.is_empty() { "Argument" } else { "NotAligned" };
                assert_eq!(name(store.mirror(id).unwrap_err()), expected);
                frames = None;
                continue;
            }
            let under = self.master[..agent.len()].concat();
            let under = Master::new(Blocks::new(shape, &under).unwrap(), master.ctx());
            assert_eq!(through_frame(store, id, &under).unwrap(), full);
            if let Some((whole, held)) = &mut frames {
                let agent = Master::new(Blocks::new(shape, &full).unwrap(), master.ctx());
                let agent = agent.with_context_json(master.context_json().unwrap()).unwrap();
                *whole += agent.to_frame().unwrap().encode().unwrap().len() as f64;
                *held += store.mirror(id).unwrap().to_frame().unwrap().encode().unwrap().len() as f64;
            }
        }
        let stats = store.stats();
        assert_eq!((stats.difference_blocks, stats.own_blocks), (differences, own));
        let (count, agents) = (self.master.len() as u64, self.agents.len() as u64);
        let ratio = |all: u64, held: u64| if held == 0 { 1.0 } else { all as f64 / held as f64 };
        assert_eq!(stats.compression_ratio, ratio((agents + 1) * count, count + differences + own));
        let len = (self.kind.0.size() as u64) * u64::from(self.kind.1);
        assert_eq!(
            stats.byte_ratio,
            ratio((count + blocks) * len, (count + own + differences) * len + differences * 4)
        );
        assert_eq!(stats.frame_ratio, frames.map(|(whole, held)| whole / held));
    }

    /// The segments are the agent's blocks, none of them empty and no two in a row that could be one.
    fn assert_segments(&self, segments: &[Segment], agent: &[Block]) {
        let mut agent = agent.iter();
        let mut end = None;
        for segment in segments {
            match *segment {
                Segment::Shared { start, rows } => {
                    assert!(rows > 0 && end != Some(start));
                    for at in start..start + rows {
                        assert!(
                            matches!(agent.next(), Some(Block::Shared(index, _)) if *index == at as usize)
                        );
                    }
                    end = Some(start + rows);
                }
                Segment::Own { rows } => {
                    assert!(rows > 0 && end != Some(u32::MAX));
                    (0..rows).for_each(|_| assert!(matches!(agent.next(), Some(Block::Own(_)))));
                    end = Some(u32::MAX);
                }
            }
        }
        assert_eq!(agent.next(), None);
    }
}

/// Does `op` on the store.
fn run(store: &mut MasterMirror, naive: &Naive, op: &Op) -> Result<(), Error> {
    match op {
        Op::RegisterMaster(id, source) => store.register_master(id, source),
        Op::Rebase(id, source) => store.rebase(id, source),
        Op::Register(id, ..) => store.register_mirror(id, &naive.mirror_source(op)).map(drop),
        Op::Own(id, source) => store.append_own(id, source),
        Op::Step(source, ids, placement) => {
            let counts = store.collective_reuse_step(source, ids, *placement)?;
            let expected = ids.iter().map(|id| store.agent(id).map_or(0, |agent| agent.difference_blocks));
            assert!(expected.eq(counts));
            Ok(())
        }
        Op::Remove(id) => {
            assert_eq!(store.remove(id), naive.agents.contains_key(id));
            Ok(())
        }
        Op::Pass(from, to) => {
            let frame = store.mirror(from)?.to_frame()?.encode()?;
            store.insert_mirror(to, &MirrorView::parse_exact(&frame).unwrap()).map(drop)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn as_a_store_that_keeps_all_in_full(first in source(0..90), ops in proptest::collection::vec(op(), 1..24)) {
        let mut naive =
            Naive { id: None, kind: (Scalar::F32, 2), master: Vec::new(), agents: Agents::new() };
        let mut store = MasterMirror::new(EXACT);
        for op in [Op::RegisterMaster("m", first)].iter().chain(&ops) {
            let done = run(&mut store, &naive, op);
            let wrong = naive.run(op);
            match done {
                Ok(()) => prop_assert!(wrong.is_empty(), "{op:?}: {wrong:?}"),
                Err(error) => prop_assert!(wrong.contains(&name(error)), "{op:?}: {error}, {wrong:?}"),
            }
            naive.assert_same(&store);
        }
    }

    /// What is not exact stays within the error that is told, over re-basings too.
    #[test]
    fn errors_stay_within_their_bound(
        mode in prop_oneof![Just(Mode::Replace), Just(Mode::Add), Just(Mode::AddMu16(Step::new(700).unwrap()))],
        threshold in prop_oneof![Just(0.0), Just(0.25), Just(2.0)],
        masters in proptest::collection::vec(proptest::collection::vec(-3.0f32..3.0, 40), 1..5),
        agent in proptest::collection::vec(-3.0f32..3.0, 40),
        equal in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut store = MasterMirror::new(DiffOptions { mode, threshold });
        let mut agent = agent;
        for (i, _) in equal.iter().enumerate().filter(|(_, equal)| **equal) {
            agent[2 * i..][..2].copy_from_slice(&masters[0][2 * i..][..2]);
        }
        for (round, master) in masters.iter().enumerate() {
            store.register_master("m", &f32_blocks(&ones(master), 2)).unwrap();
            if round == 0 {
                store.register_mirror("a", &f32_blocks(&ones(&agent), 2)).unwrap();
            }
            let stats = store.agent("a").unwrap();
            let again = f32_values(&store.reconstruct("a").unwrap());
            let error = again.iter().zip(&agent).map(|(x, y)| (f64::from(*x) - f64::from(*y)).abs());
            let error = error.fold(0.0, f64::max);
            prop_assert!(error <= stats.error_bound, "round {round}: {error} {}", stats.error_bound);
            // It tells no more than thresholds and roundings add up to: half a step is 700 / 65536 / 2.
            let most = (round + 1) as f64 * f64::max(threshold, 0.0054);
            prop_assert!(stats.error_bound <= most, "round {round}: {} {most}", stats.error_bound);
            if (mode, threshold) == (Mode::Replace, 0.0) {
                prop_assert_eq!(again, &agent[..]);
            }
        }
    }
}

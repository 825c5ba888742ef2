//! A store of a master and agents against a model that keeps every block of each agent by itself.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::second_mirror::{self, Mirror};
use super::{Choices, plausible, turn};
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind};
use crate::frame::{Context, ContextHash, TlvType};
use crate::mirror::{
    Blocks, DiffOptions, Master, MasterMirror, MirrorView, Mode, Placement, Scalar, Segment, Shape,
};

type Block = Vec<u8>;

/// A block of an agent in the model.
#[derive(Clone)]
enum Place {
    /// The master's at this index, or what the agent has for it.
    Shared(u32),
    Own(Block),
}

#[derive(Clone)]
struct Agent {
    options: DiffOptions,
    places: Vec<Place>,
    /// Values by the master's index.
    values: BTreeMap<u32, Block>,
    /// What the caller gave, block by block.
    truth: Vec<Block>,
}

#[derive(Clone)]
struct Model {
    options: DiffOptions,
    origin: Origin,
    shape: Option<Shape>,
    id: String,
    master: Vec<Block>,
    /// Lengths whose digests are known.
    lengths: BTreeSet<u32>,
    agents: BTreeMap<String, Agent>,
}

#[derive(Clone)]
enum Origin {
    Unnamed,
    Hash,
    Whole(Context),
}

const CTX: ContextHash = ContextHash([0x5A; 8]);
const NAMES: [&str; 5] = ["a", "b", "c", "m", "n"];

/// What a mirror of these options says besides its values.
fn rule(shape: &Shape, options: DiffOptions) -> Mirror {
    let scalar = shape.scalar();
    let values = match options.mode {
        Mode::AddMu16(step) => Scalar::Mu16(step),
        _ => scalar,
    };
    Mirror {
        total_blocks: 0,
        dim: shape.dim(),
        mode: u8::from(options.mode != Mode::Replace),
        master_element: scalar.element().code(),
        element: values.element().code(),
        delta_q16: values.delta_q16(),
        threshold: options.threshold,
        master_digest: [0; 32],
        values: Vec::new(),
    }
}

/// The value of a block that is kept; `None` of one that is left out.
fn kept(
    shape: &Shape,
    options: DiffOptions,
    index: u32,
    master: &[u8],
    agent: &[u8],
) -> Result<Option<Block>, ErrorKind> {
    let scalar = shape.scalar();
    let left_out = if options.threshold == 0.0 {
        master == agent
    } else {
        second_mirror::norm(scalar.element().code(), scalar.delta_q16(), master, agent) <= options.threshold
    };
    if left_out {
        return Ok(None);
    }
    let value = second_mirror::value(&rule(shape, options), master, agent);
    let (value, _) = value.map_err(|column| ErrorKind::NonFinite { row: index.into(), column })?;
    Ok(Some(value))
}

impl Agent {
    fn same(options: DiffOptions, master: &[Block]) -> Self {
        let places = (0..master.len() as u32).map(Place::Shared).collect();
        Self { options, places, values: BTreeMap::new(), truth: master.to_vec() }
    }

    fn content(&self, shape: &Shape, master: &[Block], index: u32) -> Block {
        let block = &master[index as usize];
        match self.values.get(&index) {
            Some(value) => second_mirror::made(&rule(shape, self.options), block, value),
            None => block.clone(),
        }
    }

    fn blocks(&self, shape: &Shape, master: &[Block]) -> Vec<Block> {
        let block = |place: &Place| match place {
            Place::Shared(index) => self.content(shape, master, *index),
            Place::Own(block) => block.clone(),
        };
        self.places.iter().map(block).collect()
    }

    fn own(&self) -> usize {
        self.places.iter().filter(|place| matches!(place, Place::Own(_))).count()
    }

    fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        for place in &self.places {
            match (segments.last_mut(), place) {
                (Some(Segment::Own { rows }), Place::Own(_)) => *rows += 1,
                (Some(Segment::Shared { start, rows }), Place::Shared(index)) if *start + *rows == *index => {
                    *rows += 1;
                }
                (_, Place::Own(_)) => segments.push(Segment::Own { rows: 1 }),
                (_, Place::Shared(start)) => segments.push(Segment::Shared { start: *start, rows: 1 }),
            }
        }
        segments
    }

    fn is_aligned(&self) -> bool {
        (0..).zip(&self.places).all(|(i, place)| matches!(place, Place::Shared(index) if *index == i))
    }

    fn payload_len(&self) -> usize {
        self.values.values().map(|value| 4 + value.len()).sum()
    }

    /// With differences from the master `new`.
    fn rebased(&self, shape: &Shape, old: &[Block], new: &[Block]) -> Result<Self, ErrorKind> {
        let mut agent = self.clone();
        let mut shared: Vec<u32> = self
            .places
            .iter()
            .filter_map(|place| match place {
                Place::Shared(index) => Some(*index),
                Place::Own(_) => None,
            })
            .collect();
        shared.sort_unstable();
        for index in shared {
            let after = &new[index as usize];
            if old[index as usize] == *after {
                continue;
            }
            let content = self.content(shape, old, index);
            match kept(shape, self.options, index, after, &content)? {
                Some(value) => agent.values.insert(index, value),
                None => agent.values.remove(&index),
            };
        }
        Ok(agent)
    }
}

impl Model {
    /// The whole context of frames, if it is known.
    fn context(&self, dim: u32) -> Option<Context> {
        match &self.origin {
            Origin::Unnamed => Some(Context::new("", "", "", dim).unwrap()),
            Origin::Hash => None,
            Origin::Whole(context) => Some(context.clone()),
        }
    }

    fn ctx(&self, dim: u32) -> ContextHash {
        self.context(dim).map_or(CTX, |context| context.hash())
    }

    fn check_options(&self, shape: &Shape) -> Result<(), ErrorKind> {
        let DiffOptions { mode, threshold } = self.options;
        let fits = mode == Mode::Replace || !matches!(shape.scalar(), Scalar::Mu16(_));
        if !(threshold.is_finite() && threshold >= 0.0 && fits) {
            return Err(ErrorKind::Argument { expected: "" });
        }
        match &self.origin {
            Origin::Whole(context) if context.dim() != shape.dim() => {
                Err(ErrorKind::Shape { field: "", needed: 0, found: 0 })
            }
            _ => Ok(()),
        }
    }

    fn shape(&self) -> Result<Shape, ErrorKind> {
        self.shape.ok_or(ErrorKind::NoMaster)
    }

    /// The shape, if `id` is not the master's name.
    fn beside(&self, id: &str) -> Result<Shape, ErrorKind> {
        let shape = self.shape()?;
        if self.id == id { Err(ErrorKind::Argument { expected: "" }) } else { Ok(shape) }
    }

    fn register_master(&mut self, id: &str, shape: Shape, blocks: &[Block]) -> Result<(), ErrorKind> {
        if self.shape.is_some() && self.id == id && !self.agents.is_empty() {
            return self.rebase(id, shape, blocks);
        }
        self.check_options(&shape)?;
        (self.shape, self.id, self.master) = (Some(shape), id.to_string(), blocks.to_vec());
        self.lengths = BTreeSet::from([shape.rows()]);
        self.agents.clear();
        Ok(())
    }

    fn register_mirror(&mut self, id: &str, shape: Shape, blocks: &[Block]) -> Result<(), ErrorKind> {
        let own = self.beside(id)?;
        if !same_blocks(&own, &shape) || shape.rows() as usize != self.master.len() {
            return Err(ErrorKind::MasterDiffers { field: "" });
        }
        let mut agent = Agent::same(self.options, &self.master);
        for (index, (m, a)) in (0..).zip(self.master.iter().zip(blocks)) {
            if let Some(value) = kept(&shape, self.options, index, m, a)? {
                agent.values.insert(index, value);
            }
        }
        agent.truth = blocks.to_vec();
        self.agents.insert(id.to_string(), agent);
        Ok(())
    }

    fn insert_mirror(&mut self, id: &str, frame: &[u8]) -> Result<(), ErrorKind> {
        let shape = self.beside(id)?;
        let view = MirrorView::parse_exact(frame).unwrap();
        let (naive, _) = second_mirror::mirror_parts(frame).unwrap();
        if view.frame().ctx() != self.ctx(shape.dim()) {
            return Err(ErrorKind::ContextDiffers);
        }
        let total = naive.total_blocks as usize;
        let is_known = self.lengths.contains(&naive.total_blocks);
        let fits = is_known
            && same_blocks(&view.master_shape().unwrap(), &shape)
            && Sha256::digest(self.master[..total].concat())[..] == naive.master_digest;
        if !fits {
            return Err(ErrorKind::MasterDiffers { field: "" });
        }
        let options = view.options();
        let mut agent = Agent::same(options, &self.master[..total]);
        agent.values = naive.values.into_iter().collect();
        agent.truth = agent.blocks(&shape, &self.master);
        self.agents.insert(id.to_string(), agent);
        Ok(())
    }

    fn append_own(&mut self, id: &str, shape: Shape, blocks: &[Block]) -> Result<(), ErrorKind> {
        let own = self.beside(id)?;
        let agent = self.agents.get_mut(id).ok_or(ErrorKind::UnknownAgent)?;
        if !same_blocks(&own, &shape) {
            return Err(ErrorKind::MasterDiffers { field: "" });
        }
        agent.places.extend(blocks.iter().cloned().map(Place::Own));
        agent.truth.extend_from_slice(blocks);
        Ok(())
    }

    fn step(
        &mut self,
        shape: Shape,
        blocks: &[Block],
        names: &[&str],
        placement: Placement,
    ) -> Result<Vec<u32>, ErrorKind> {
        let own = self.shape()?;
        if !same_blocks(&own, &shape) {
            return Err(ErrorKind::MasterDiffers { field: "" });
        }
        let start = self.master.len() as u32;
        self.master.extend_from_slice(blocks);
        self.lengths.insert(self.master.len() as u32);
        let mut counts = Vec::new();
        for (i, name) in names.iter().enumerate() {
            if *name == self.id {
                counts.push(0);
                continue;
            }
            let master = &self.master;
            let agent = match self.agents.get_mut(*name) {
                Some(agent) => agent,
                None => {
                    self.agents.insert((*name).to_string(), Agent::same(self.options, master));
                    counts.push(0);
                    continue;
                }
            };
            counts.push(agent.values.len() as u32);
            if names[..i].contains(name) {
                continue;
            }
            let own_tail =
                agent.places.iter().rev().take_while(|place| matches!(place, Place::Own(_))).count();
            let at = match placement {
                Placement::AtEnd => agent.places.len(),
                Placement::BeforeOwn => agent.places.len() - own_tail,
            };
            let new = (start..).take(blocks.len()).map(Place::Shared);
            agent.places.splice(at..at, new);
            agent.truth.splice(at..at, blocks.iter().cloned());
        }
        Ok(counts)
    }

    fn rebase(&mut self, id: &str, shape: Shape, blocks: &[Block]) -> Result<(), ErrorKind> {
        let own = self.shape()?;
        if self.agents.contains_key(id) {
            return Err(ErrorKind::Argument { expected: "" });
        }
        if !same_blocks(&own, &shape) {
            return Err(ErrorKind::MasterDiffers { field: "" });
        }
        let indices = self.agents.values().flat_map(|agent| &agent.places);
        let used = indices.filter_map(|place| match place {
            Place::Shared(index) => Some(*index as usize + 1),
            Place::Own(_) => None,
        });
        if used.max().unwrap_or(0) > blocks.len() {
            return Err(ErrorKind::Shape { field: "", needed: 0, found: 0 });
        }
        let mut agents = BTreeMap::new();
        for (name, agent) in &self.agents {
            agents.insert(name.clone(), agent.rebased(&own, &self.master, blocks)?);
        }
        let aligned = agents.values().filter(|agent| agent.is_aligned());
        self.lengths = aligned.map(|agent| agent.places.len() as u32).collect();
        self.lengths.retain(|rows| *rows < shape.rows());
        self.lengths.insert(shape.rows());
        (self.id, self.master, self.agents) = (id.to_string(), blocks.to_vec(), agents);
        self.shape = Some(shape);
        Ok(())
    }

    /// Everything that `store` says.
    fn agrees(&self, store: &MasterMirror) {
        assert_eq!(store.master_id(), self.shape.map(|_| &self.id[..]));
        assert!(store.agents().map(|(id, _)| id).eq(self.agents.keys().map(|id| &id[..])));
        let Some(shape) = self.shape else {
            assert!(store.master().is_none() && self.agents.is_empty());
            assert_eq!(
                (store.compression_ratio(), store.byte_ratio(), store.frame_ratio()),
                (1.0, 1.0, None)
            );
            return;
        };
        let bytes = self.master.concat();
        let shape = shape.with_rows(self.master.len() as u32).unwrap();
        let master = store.master().unwrap();
        assert_eq!((master.blocks().as_bytes(), master.blocks().shape()), (&bytes[..], &shape));
        assert_eq!(master.digest()[..], Sha256::digest(&bytes)[..]);
        assert_eq!(master.ctx(), self.ctx(shape.dim()));
        assert_eq!(store.reconstruct(&self.id).unwrap(), bytes);

        let (mut differences, mut own, mut held, mut all) = (0, 0, bytes.len(), bytes.len());
        let mut frames = Some((0, 0));
        if shape.is_empty() {
            frames = None;
        } else {
            let len = master.to_frame().unwrap().encode().unwrap().len();
            frames = frames.map(|_| (len, len));
        }
        for (id, agent) in &self.agents {
            let blocks = agent.blocks(&shape, &self.master);
            let content = blocks.concat();
            assert_eq!(store.reconstruct(id).unwrap(), content, "{id}");
            let mut out = alloc::vec![0xA5; content.len() + 1];
            let error = store.reconstruct_into(id, &mut out).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Shape { .. }));
            assert!(out.iter().all(|byte| *byte == 0xA5));
            store.reconstruct_into(id, &mut out[..content.len()]).unwrap();
            assert_eq!(out[..content.len()], content);
            assert_eq!(store.segments(id).unwrap(), agent.segments());
            assert_eq!(store.shape_of(id).unwrap(), shape.with_rows(blocks.len() as u32).unwrap());

            let stats = store.agent(id).unwrap();
            assert_eq!(stats.blocks as usize, blocks.len());
            assert_eq!(stats.difference_blocks as usize, agent.values.len());
            assert_eq!(stats.own_blocks as usize, agent.own());
            assert_eq!(stats.options, agent.options);
            let scalar = shape.scalar();
            let truth = agent.truth.concat();
            let loss =
                second_mirror::largest_error(scalar.element().code(), scalar.delta_q16(), &content, &truth);
            let bound = stats.error_bound;
            // Each of the errors that were added up was rounded.
            let holds = bound.is_nan() || loss <= bound * (1.0 + 1e-12);
            assert!(holds, "{id}: {loss} is over the bound {bound}");
            if agent.options == DiffOptions::default() {
                assert_eq!((content == truth, bound, stats.saturated), (true, 0.0, 0));
            }
            differences += agent.values.len();
            own += agent.own();
            held += agent.payload_len() + agent.own() * shape.block_len();
            all += content.len();
            let frame = self.frame(store, id, agent, &content);
            frames = frames.zip(frame).map(|((all, held), (whole, mirror))| (all + whole, held + mirror));
        }
        let n = (self.agents.len() + 1) as f64;
        let blocks = self.master.len();
        let ratio = |all: f64, held: usize| if held == 0 { 1.0 } else { all / held as f64 };
        let expected = ratio(n * blocks as f64, blocks + differences + own);
        assert_eq!(store.compression_ratio(), expected);
        assert_eq!(store.byte_ratio(), ratio(all as f64, held));
        assert_eq!(store.frame_ratio(), frames.map(|(all, held)| all as f64 / held as f64));
        let stats = store.stats();
        let counts = (stats.difference_blocks, stats.own_blocks);
        assert_eq!(counts, (differences as u64, own as u64));
        assert_eq!((stats.mirrors, stats.master_blocks as usize), (self.agents.len(), blocks));
    }

    /// The lengths of the agent's blocks as a frame, and of its mirror, which makes it again; `None` if it has none.
    fn frame(&self, store: &MasterMirror, id: &str, agent: &Agent, content: &[u8]) -> Option<(usize, usize)> {
        let diff = match store.mirror(id) {
            Ok(diff) => diff,
            Err(error) => {
                match error.kind() {
                    ErrorKind::NotAligned => assert!(!agent.is_aligned()),
                    kind => assert!(matches!(kind, ErrorKind::Argument { .. }) && agent.places.is_empty()),
                }
                return None;
            }
        };
        assert!(agent.is_aligned());
        let bytes = diff.to_frame().unwrap().encode().unwrap();
        let (naive, len) = second_mirror::mirror_parts(&bytes).unwrap();
        assert_eq!(len, bytes.len());
        let values: Vec<_> = agent.values.clone().into_iter().collect();
        assert_eq!(naive.values, values);
        let shape = store.shape_of(id).unwrap();
        let prefix = self.master[..shape.rows() as usize].concat();
        assert_eq!(Sha256::digest(&prefix)[..], naive.master_digest);
        let view = MirrorView::parse_exact(&bytes).unwrap();
        let context = self.context(shape.dim());
        let json = context.as_ref().map(|context| context.as_str().as_bytes());
        assert_eq!(view.frame().tlv(TlvType::CONTEXT).map(|tlv| tlv.value), json);
        let mut master = Master::new(Blocks::new(shape, &prefix).unwrap(), self.ctx(shape.dim()));
        if let Some(json) = json {
            master = master.with_context_json(json).unwrap();
        }
        let mut out = alloc::vec![0; content.len()];
        view.apply(&master, &mut out).unwrap();
        assert_eq!(out, content);
        let whole = master.to_frame().unwrap().encode().unwrap().len();
        Some((whole, bytes.len()))
    }
}

/// The same kind of error, or none.
fn alike<T, U>(expected: Result<T, ErrorKind>, found: Result<U, Error>) -> Option<(T, U)> {
    match (expected, found) {
        (Ok(expected), Ok(found)) => Some((expected, found)),
        (Err(expected), Err(found)) => {
            plausible(&found, 0);
            match expected {
                ErrorKind::NonFinite { .. } => assert_eq!(found.kind(), expected),
                _ => assert_eq!(found.kind().name(), expected.name(), "{found}"),
            }
            None
        }
        (Err(expected), Ok(_)) => panic!("{expected} is not refused"),
        (Ok(_), Err(found)) => panic!("refused: {found}"),
    }
}

/// Makes blocks of the input.
struct Maker<'a> {
    choices: Choices<'a>,
    shapes: [Shape; 2],
}

impl Maker<'_> {
    /// Mostly the first, whose blocks are the master's.
    fn shape(&mut self, rows: usize) -> Shape {
        let shape = self.shapes[usize::from(self.choices.byte() % 16 == 1)];
        shape.with_rows(rows as u32).unwrap()
    }

    /// Blocks that are those of `like`, or nearly.
    fn blocks(&mut self, shape: &Shape, like: &[Block]) -> Vec<Block> {
        let len = shape.block_len();
        (0..shape.rows() as usize)
            .map(|row| {
                let how = self.choices.byte();
                let mut block = like.get(row).cloned().unwrap_or_else(|| alloc::vec![how; len]);
                block.resize(len, 0);
                let at = usize::from(how) / 8 % len;
                match how % 8 {
                    0..=3 => {}
                    4 => block[at] ^= 1,
                    5 => block[len - 1] ^= 0x80,
                    6 => block[at] = self.choices.byte(),
                    _ => block = (0..len).map(|_| self.choices.byte()).collect(),
                }
                block
            })
            .collect()
    }
}

/// [`MasterMirror`]: after every operation it says what a model says that keeps all agents apart, and after an error
/// what it said before.
pub fn mirrors(data: &[u8]) {
    let mut choices = Choices(data);
    let (kind, how, dim) = (choices.byte(), choices.byte(), choices.below(4) + 1);
    let step = |bits: u8| Step::new(1 << (bits % 32)).unwrap();
    let scalar = match kind % 4 {
        0 => Scalar::F32,
        1 => Scalar::F16,
        2 => Scalar::Bf16,
        _ => Scalar::Mu16(step(how)),
    };
    let mode = match kind / 4 % 4 {
        0 | 1 => Mode::Replace,
        2 => Mode::Add,
        _ => Mode::AddMu16(step(how)),
    };
    let threshold = match kind / 16 % 4 {
        0 | 1 => 0.0,
        2 => f64::from(how) / 64.0,
        _ => choices.f64(),
    };
    let options = DiffOptions { mode, threshold };
    let whole = Context::new("s", "m", "p", dim as u32).unwrap();
    let (mut store, origin) = match kind / 64 {
        0 | 1 => (MasterMirror::new(options), Origin::Unnamed),
        2 => (MasterMirror::with_ctx(options, CTX), Origin::Hash),
        _ => (MasterMirror::with_context(options, whole.clone()), Origin::Whole(whole)),
    };
    let shape = |dim: usize| Shape::new(scalar, 0, dim as u32).unwrap();
    let mut maker = Maker { choices, shapes: [shape(dim), shape(dim + 1)] };
    let mut model = Model {
        options,
        origin,
        shape: None,
        id: String::new(),
        master: Vec::new(),
        lengths: BTreeSet::new(),
        agents: BTreeMap::new(),
    };
    let mut frames: Vec<Vec<u8>> = Vec::new();
    // After each operation all is compared that there is: sometimes a long history, mostly a short one.
    let (operations, most) = if turn(data, 64) { (24, 40) } else { (8, 12) };
    for _ in 0..operations {
        if maker.choices.0.is_empty() || model.master.len() > most {
            break;
        }
        let (operation, name) = (maker.choices.byte(), maker.choices.byte());
        let id = NAMES[usize::from(name) % NAMES.len()];
        let few = usize::from(operation / 16 % 8);
        match operation % 16 {
            0 | 1 => {
                // Under the master's name it is a re-basing.
                let id = if operation % 16 == 0 { "m" } else { id };
                let shape = maker.shape(few);
                let blocks = maker.blocks(&shape, &model.master);
                let expected = model.clone().register_master(id, shape, &blocks);
                let bytes = blocks.concat();
                let found = store.register_master(id, &Blocks::new(shape, &bytes).unwrap());
                if alike(expected, found).is_some() {
                    model.register_master(id, shape, &blocks).unwrap();
                }
            }
            2..=4 => {
                let rows = if few == 7 { 1 } else { model.master.len() };
                let shape = maker.shape(rows);
                let blocks = maker.blocks(&shape, &model.master);
                let mut changed = model.clone();
                let expected = changed.register_mirror(id, shape, &blocks);
                let bytes = blocks.concat();
                let found = store.register_mirror(id, &Blocks::new(shape, &bytes).unwrap());
                if let Some((_, stats)) = alike(expected, found) {
                    model = changed;
                    // As text, for the bound can be NaN.
                    assert_eq!(alloc::format!("{stats:?}"), alloc::format!("{:?}", store.agent(id).unwrap()));
                }
            }
            5 | 6 => {
                // A mirror that was taken before, maybe of another master.
                let Some(frame) = frames.get(few % frames.len().max(1)) else { continue };
                let mut changed = model.clone();
                let expected = changed.insert_mirror(id, frame);
                let found = store.insert_mirror(id, &MirrorView::parse_exact(frame).unwrap());
                if alike(expected, found).is_some() {
                    model = changed;
                }
            }
            7 | 8 => {
                let shape = maker.shape(few % 4);
                let blocks = maker.blocks(&shape, &[]);
                let mut changed = model.clone();
                let expected = changed.append_own(id, shape, &blocks);
                let bytes = blocks.concat();
                let found = store.append_own(id, &Blocks::new(shape, &bytes).unwrap());
                if alike(expected, found).is_some() {
                    model = changed;
                }
            }
            9..=11 => {
                let shape = maker.shape(few % 4);
                let blocks = maker.blocks(&shape, &[]);
                // Each of the names, one of them maybe twice.
                let mut names: Vec<&str> = NAMES
                    .into_iter()
                    .enumerate()
                    .filter(|(i, _)| name >> i & 1 == 1)
                    .map(|(_, id)| id)
                    .collect();
                if name >= 128 {
                    names.push(id);
                }
                let placement = if name & 64 == 0 { Placement::AtEnd } else { Placement::BeforeOwn };
                let mut changed = model.clone();
                let expected = changed.step(shape, &blocks, &names, placement);
                let bytes = blocks.concat();
                let step = Blocks::new(shape, &bytes).unwrap();
                let found = store.collective_reuse_step(&step, &names, placement);
                if let Some((expected, found)) = alike(expected, found) {
                    assert_eq!(found, expected);
                    model = changed;
                }
            }
            12 | 13 => {
                let rows = (model.master.len() + few % 4).saturating_sub(usize::from(few == 7));
                let shape = maker.shape(rows);
                let blocks = maker.blocks(&shape, &model.master);
                let mut changed = model.clone();
                let expected = changed.rebase(id, shape, &blocks);
                let bytes = blocks.concat();
                let found = store.rebase(id, &Blocks::new(shape, &bytes).unwrap());
                if alike(expected, found).is_some() {
                    model = changed;
                }
            }
            14 => assert_eq!(store.remove(id), model.agents.remove(id).is_some()),
            _ => {
                let frame = store.mirror(id).and_then(|diff| diff.to_frame()?.encode());
                frames.extend(frame.ok());
            }
        }
        model.agrees(&store);
    }
    assert_eq!(store.options().mode, model.options.mode);
}

/// Whether blocks of both could stand in one master.
fn same_blocks(a: &Shape, b: &Shape) -> bool {
    (a.scalar(), a.dim()) == (b.scalar(), b.dim())
}

//! Writing mirrors: which blocks of an agent differ, and by what (spec/mirror.md).
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{F64, U16, U32};

use super::blocks::Blocks;
use super::master::Master;
use super::shape::{Scalar, Shape, bytes};
use super::view::MirrorRaw;
use crate::arch::blocks::{self as kernel, Float};
use crate::arch::mu16;
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, ContextHash, FrameBuilder, Kind, TlvType};
#[cfg(feature = "alloc")]
use crate::memory::{reserve, reserve_exact};

/// What a mirror stores of a block that differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The agent's own block: it comes back bit by bit.
    #[default]
    Replace,
    /// agent - master, in the master's element type; it comes back with a rounding. Not for MU16 masters.
    Add,
    /// agent - master in MU16 at this step: half the bytes of f32. Not for MU16 masters.
    AddMu16(Step),
}

impl Mode {
    /// The type of the values stored, for blocks of `scalar`.
    #[must_use]
    pub const fn stored(self, scalar: Scalar) -> Scalar {
        match self {
            Self::Replace | Self::Add => scalar,
            Self::AddMu16(step) => Scalar::Mu16(step),
        }
    }
}

/// What to leave out, and how to store the rest. The default is exact: threshold 0, [`Mode::Replace`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DiffOptions {
    /// What is stored of a block that differs.
    pub mode: Mode,
    /// The L2 norm, in the elements' units, up to which a block's difference is left out; 0 leaves out only blocks whose bits
    /// are the master's. Finite, not negative. (TokenDance takes 1e-4.)
    pub threshold: f64,
}

impl DiffOptions {
    /// Checks the threshold, and that the mode goes with the master's elements.
    pub(super) fn rule(&self, scalar: Scalar) -> Result<Rule> {
        let argument = |expected| Err(Error::caller(ErrorKind::Argument { expected }));
        if !self.threshold.is_finite() || self.threshold < 0.0 {
            return argument("the threshold is finite, and not negative");
        }
        if self.mode != Mode::Replace && scalar.float().is_none() {
            return argument("differences of MU16 blocks are stored by replacing, not by adding");
        }
        Ok(Rule { keep: Keep::new(self.threshold, scalar), mode: self.mode, scalar })
    }
}

/// [`DiffOptions`] checked against the type of the elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    keep: Keep,
    mode: Mode,
    scalar: Scalar,
}

/// Which blocks are kept.
#[derive(Clone, Copy, Debug)]
enum Keep {
    /// Those whose bits differ.
    Unequal,
    /// Those whose squared norm is not <= the limit.
    Beyond(Float, f64),
    BeyondI16(u64),
}

impl Keep {
    fn new(threshold: f64, scalar: Scalar) -> Self {
        match (scalar, scalar.float()) {
            _ if threshold == 0.0 => Self::Unequal,
            (_, Some(float)) => Self::Beyond(float, largest_square(threshold)),
            (scalar, None) => Self::BeyondI16(largest_sum(threshold, scalar)),
        }
    }

    /// As [`mask`](Self::mask) where no element of the master is NaN or infinite: then the norm of an equal block is 0, and
    /// to compare is quicker.
    #[inline]
    fn mask_of_finite(self, master: &[u8], agent: &[u8], block_len: usize) -> u64 {
        let unequal = kernel::unequal(master, agent, block_len);
        match self {
            Self::Unequal => unequal,
            _ if unequal.count_ones() > FEW => self.mask(master, agent, block_len),
            _ => {
                let blocks = master.chunks(block_len).zip(agent.chunks(block_len)).enumerate();
                let unequal = blocks.filter(|(i, _)| unequal >> i & 1 == 1);
                unequal.fold(0, |mask, (i, (master, agent))| mask | self.mask(master, agent, block_len) << i)
            }
        }
    }

    /// Which of the up to 64 blocks are kept; bit i for block i.
    #[inline]
    fn mask(self, master: &[u8], agent: &[u8], block_len: usize) -> u64 {
        match self {
            Self::Unequal => kernel::unequal(master, agent, block_len),
            Self::Beyond(float, limit) => kernel::beyond(float, master, agent, block_len, limit),
            Self::BeyondI16(limit) => kernel::beyond_i16(master, agent, block_len, limit),
        }
    }
}

/// The largest S whose square root, rounded, is <= `threshold` (finite, over 0): saves a root for every block.
fn largest_square(threshold: f64) -> f64 {
    let fits = |square: f64| libm::sqrt(square) <= threshold;
    // At most a few steps off: the product is rounded once, and so is the root.
    let mut square = (threshold * threshold).min(f64::MAX);
    while !fits(square) {
        square = square.next_down();
    }
    while square < f64::MAX && fits(square.next_up()) {
        square = square.next_up();
    }
    square
}

/// The largest sum of squared integers whose norm is <= `threshold`.
fn largest_sum(threshold: f64, scalar: Scalar) -> u64 {
    let step = f64::from(scalar.delta_q16()) / 65536.0;
    let (mut fits, mut over) = (0u64, u64::MAX);
    while over.abs_diff(fits) > 1 {
        let middle = fits.midpoint(over);
        if libm::sqrt(middle as f64) * step <= threshold {
            fits = middle;
        } else {
            over = middle;
        }
    }
    fits
}

impl Rule {
    /// Whether blocks are kept by their norm, and not by their bits.
    #[cfg(feature = "alloc")]
    pub(super) const fn needs_norm(&self) -> bool {
        !matches!(self.keep, Keep::Unequal)
    }

    /// The type of the values stored.
    fn stored(&self) -> Scalar {
        self.mode.stored(self.scalar)
    }

    /// `rows` values for blocks of `shape`.
    fn shape_of_values(&self, shape: &Shape, rows: u32) -> Result<Shape> {
        Shape::new(self.stored(), rows, shape.dim())
    }

    /// The blocks of `agent` that are kept, in order. Both have the same shape. `finite`: no element of the master is NaN
    /// or infinite, so that equal blocks need no norm.
    pub(super) fn kept<'a>(&self, master: &Blocks<'a>, agent: &Blocks<'a>, finite: bool) -> Kept<'a> {
        let block_len = master.shape().block_len();
        let group = block_len.saturating_mul(GROUP as usize);
        Kept {
            keep: self.keep,
            finite,
            block_len,
            groups: master.as_bytes().chunks(group).zip(agent.as_bytes().chunks(group)),
            mask: 0,
            base: 0,
            next_base: 0,
        }
    }

    /// Writes the value of one block.
    pub(super) fn put(&self, index: u32, master: &[u8], agent: &[u8], out: &mut [u8]) -> Result<Loss> {
        let (Some(float), false) = (self.scalar.float(), self.mode == Mode::Replace) else {
            out.copy_from_slice(agent);
            return Ok(Loss::default());
        };
        let mut loss = Loss::default();
        let (size, value_size) = (self.scalar.size(), self.stored().size());
        let (mut wide, mut again) = ([0.0; CHUNK], [0; CHUNK * 4]);
        let chunks = chunks(size, master, agent);
        for ((first, master, agent), out) in chunks.zip(out.chunks_mut(CHUNK.saturating_mul(value_size))) {
            let again = again.get_mut(..master.len()).unwrap_or_default();
            if let Mode::AddMu16(step) = self.mode {
                let wide = differences(float, size, master, agent, &mut wide);
                let saturated =
                    mu16::quantise(wide, step.get(), out).map_err(|place| non_finite(index, first, place))?;
                loss.saturated = loss.saturated.saturating_add(saturated);
                kernel::add_mu16(float, master, out, step.get(), again);
            } else {
                kernel::subtract(float, agent, master, out);
                kernel::add(float, master, out, again);
            }
            loss.add_error(kernel::max_distance(float, agent, again));
        }
        Ok(loss)
    }
}

#[cfg(feature = "alloc")]
impl Rule {
    /// Whether a block is kept.
    pub(super) fn keeps(&self, master: &[u8], agent: &[u8]) -> bool {
        self.keep.mask(master, agent, master.len()) != 0
    }

    /// Writes indices and values of the blocks of `agent` that are kept to `payload`, which is empty; how many they are.
    pub(super) fn collect(
        &self,
        master: &Blocks<'_>,
        agent: &Blocks<'_>,
        finite: bool,
        payload: &mut Vec<u8>,
    ) -> Result<(u32, Loss)> {
        let mut rows = 0u32;
        for index in self.kept(master, agent, finite) {
            // Often enough a few blocks are all.
            if payload.spare_capacity_mut().len() < 4 {
                reserve(payload, 256)?;
            }
            rows = rows.saturating_add(1);
            payload.extend_from_slice(&index.to_le_bytes());
        }
        let (values, indices_len) = (self.shape_of_values(master.shape(), rows)?, payload.len());
        reserve_exact(payload, values.len())?;
        let mut loss = Loss::default();
        for at in (0..indices_len).step_by(4) {
            let index = payload
                .get(at..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |index| u32::from_le_bytes(*index));
            if let (Some(master), Some(agent)) = (master.block(index), agent.block(index)) {
                loss.add(self.push(index, master, agent, payload)?);
            }
        }
        Ok((rows, loss))
    }

    /// Writes the value of one block behind `out`.
    pub(super) fn push(&self, index: u32, master: &[u8], agent: &[u8], out: &mut Vec<u8>) -> Result<Loss> {
        if self.mode == Mode::Replace {
            reserve(out, agent.len())?;
            out.extend_from_slice(agent);
            return Ok(Loss::default());
        }
        let (at, len) = (out.len(), self.value_len(master.len()));
        reserve(out, len)?;
        out.resize(at.saturating_add(len), 0);
        self.put(index, master, agent, out.get_mut(at..).unwrap_or_default())
    }

    /// Bytes of the value of a block of `block_len` bytes.
    fn value_len(&self, block_len: usize) -> usize {
        // A value is as large as its block, or smaller.
        block_len.checked_div(self.scalar.size()).unwrap_or(0).saturating_mul(self.stored().size())
    }
}

/// Blocks that a kernel decides on at once.
const GROUP: u32 = 64;
/// As many of them are looked at one by one.
const FEW: u32 = 8;
/// Elements that are subtracted and added again at once.
pub(super) const CHUNK: usize = 256;

/// A block of master and agent, [`CHUNK`] elements at a time; which element of the block is their first, and they.
pub(super) fn chunks<'a>(
    size: usize,
    master: &'a [u8],
    agent: &'a [u8],
) -> impl Iterator<Item = (usize, &'a [u8], &'a [u8])> {
    let len = CHUNK.saturating_mul(size);
    let firsts = (0usize..).step_by(CHUNK);
    firsts
        .zip(master.chunks(len).zip(agent.chunks(len)))
        .map(|(first, (master, agent))| (first, master, agent))
}

/// agent - master in f32, of a chunk.
pub(super) fn differences<'w>(
    float: Float,
    size: usize,
    master: &[u8],
    agent: &[u8],
    wide: &'w mut [f32; CHUNK],
) -> &'w [f32] {
    let wide = wide.get_mut(..master.len().checked_div(size).unwrap_or(0)).unwrap_or_default();
    kernel::subtract_f32(float, agent, master, wide);
    wide
}

/// The difference at `place` in the chunk of block `index` whose first element is `first`.
pub(super) fn non_finite(index: u32, first: usize, place: usize) -> Error {
    let column = first.saturating_add(place) as u64;
    Error::caller(ErrorKind::NonFinite { row: u64::from(index), column })
}

/// The indices of the blocks that are kept, ascending.
pub(super) struct Kept<'a> {
    keep: Keep,
    finite: bool,
    block_len: usize,
    groups: core::iter::Zip<core::slice::Chunks<'a, u8>, core::slice::Chunks<'a, u8>>,
    mask: u64,
    base: u32,
    next_base: u32,
}

impl Iterator for Kept<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        while self.mask == 0 {
            let (master, agent) = self.groups.next()?;
            self.mask = match self.finite {
                true => self.keep.mask_of_finite(master, agent, self.block_len),
                false => self.keep.mask(master, agent, self.block_len),
            };
            self.base = self.next_base;
            self.next_base = self.next_base.saturating_add(GROUP);
        }
        let bit = self.mask.trailing_zeros();
        self.mask &= self.mask.wrapping_sub(1);
        Some(self.base.saturating_add(bit))
    }
}

/// What storing blocks cost in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Loss {
    pub(super) saturated: u64,
    pub(super) max_error: f64,
}

impl Loss {
    /// NaN is the worst there is: nothing is larger.
    pub(super) fn add_error(&mut self, error: f64) {
        if error.is_nan() || error > self.max_error {
            self.max_error = error;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.saturated = self.saturated.saturating_add(other.saturated);
        self.add_error(other.max_error);
    }
}

/// The difference of an agent from a master: a mirror before it is a frame.
///
/// It holds what the frame says of the master, so it has to outlive the builder that [`to_frame`](Self::to_frame) gives.
#[derive(Clone, Copy)]
pub struct Diff<'a> {
    raw: MirrorRaw,
    config: Config,
    ctx: ContextHash,
    context_json: Option<&'a [u8]>,
    payload: &'a [u8],
    loss: Loss,
}

impl core::fmt::Debug for Diff<'_> {
    /// The numbers, not the values.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = f.debug_struct("Diff");
        text.field("config", &self.config)
            .field("ctx", &self.ctx)
            .field("loss", &self.loss)
            .finish_non_exhaustive()
    }
}

impl<'a> Diff<'a> {
    /// The mirror of `master` whose payload holds `values`.
    pub(super) fn new(
        master: &Master<'a>,
        options: DiffOptions,
        values: &Shape,
        payload: &'a [u8],
        loss: Loss,
    ) -> Self {
        Self {
            raw: MirrorRaw::new(master.blocks().shape(), options, *master.digest()),
            config: values.config(Kind::MIRROR),
            ctx: master.ctx(),
            context_json: master.context_json(),
            payload,
            loss,
        }
    }

    /// How many blocks differ.
    #[must_use]
    pub const fn difference_blocks(&self) -> u32 {
        self.config.rows
    }

    /// The mirror's payload: indices, then values.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Elements whose difference was beyond the step's range: what comes back for them is off by more than half a step.
    #[must_use]
    pub const fn saturated(&self) -> u64 {
        self.loss.saturated
    }

    /// The largest absolute error of an element of the agent made again, in the elements' units: what was measured of the
    /// blocks that differ, and at least the threshold. 0 with threshold 0 and [`Mode::Replace`]; NaN where an infinity or a
    /// NaN does not come back.
    #[must_use]
    pub fn error_bound(&self) -> f64 {
        let mut loss = self.loss;
        loss.add_error(self.raw.threshold.get());
        loss.max_error
    }

    /// The mirror's frame, with the master's context, to be given a key and its padding.
    ///
    /// # Errors
    /// As [`FrameBuilder::tlv`].
    pub fn to_frame(&self) -> Result<FrameBuilder<'_>> {
        FrameBuilder::new(self.ctx, self.config, self.payload)
            .tlv(TlvType::MIRROR, self.raw.as_bytes())?
            .known_context(self.context_json)
    }
}

impl<'a> Master<'a> {
    /// Writes the differences of `agent` to the start of `payload`: 4 bytes and a value for each block that differs.
    ///
    /// After an error `payload` may hold a part of them.
    ///
    /// Cost: master and agent are read once, and the blocks that differ once more. Hashes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::MasterDiffers`] if the agent has another shape; [`ErrorKind::Argument`] for a threshold that is NaN,
    /// infinite or negative, for a mode that does not go with the elements, or if there is no block;
    /// [`ErrorKind::BufferTooSmall`] with the bytes needed; [`ErrorKind::NonFinite`] (row = block, column = element) with
    /// [`Mode::AddMu16`] for a difference that is NaN or infinite.
    pub fn diff_into<'p>(
        &self,
        agent: &Blocks<'_>,
        options: DiffOptions,
        payload: &'p mut [u8],
    ) -> Result<Diff<'p>>
    where
        'a: 'p,
    {
        let rule = self.check_diff(agent, options)?;
        let mut rows = 0u32;
        let available = payload.len() as u64;
        let mut slots = payload.as_chunks_mut::<4>().0.iter_mut();
        for index in rule.kept(self.blocks(), agent, self.is_finite()) {
            rows = rows.saturating_add(1);
            if let Some(slot) = slots.next() {
                *slot = index.to_le_bytes();
            }
        }
        let values = rule.shape_of_values(self.blocks().shape(), rows)?;
        let needed = payload_len(&values)?;
        let too_small = ErrorKind::BufferTooSmall { needed: needed as u64, available };
        let payload = payload.get_mut(..needed).ok_or(Error::caller(too_small))?;
        let (indices, out) = payload.split_at_mut(needed.saturating_sub(values.len()));
        let mut loss = Loss::default();
        for (index, out) in indices.as_chunks::<4>().0.iter().zip(out.chunks_mut(values.block_len())) {
            let index = u32::from_le_bytes(*index);
            if let (Some(master), Some(agent)) = (self.blocks().block(index), agent.block(index)) {
                loss.add(rule.put(index, master, agent, out)?);
            }
        }
        Ok(Diff::new(self, options, &values, payload, loss))
    }

    /// The same in a vector, which is emptied first.
    ///
    /// # Errors
    /// As [`diff_into`](Self::diff_into), but for the buffer; [`ErrorKind::OutOfMemory`].
    #[cfg(feature = "alloc")]
    pub fn diff_to_vec<'p>(
        &self,
        agent: &Blocks<'_>,
        options: DiffOptions,
        payload: &'p mut Vec<u8>,
    ) -> Result<Diff<'p>>
    where
        'a: 'p,
    {
        let rule = self.check_diff(agent, options)?;
        payload.clear();
        let (rows, loss) = rule.collect(self.blocks(), agent, self.is_finite(), payload)?;
        let values = rule.shape_of_values(self.blocks().shape(), rows)?;
        Ok(Diff::new(self, options, &values, payload, loss))
    }

    pub(super) fn check_diff(&self, agent: &Blocks<'_>, options: DiffOptions) -> Result<Rule> {
        self.blocks().shape().check_same(agent.shape())?;
        if agent.shape().is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "a mirror has at least one block" }));
        }
        options.rule(agent.shape().scalar())
    }
}

/// Bytes of the payload with these values.
fn payload_len(values: &Shape) -> Result<usize> {
    bytes(&[u64::from(values.rows()), (values.block_len() as u64).saturating_add(4)])
}

impl MirrorRaw {
    fn new(shape: &Shape, options: DiffOptions, master_digest: [u8; 32]) -> Self {
        Self {
            total_blocks: U32::new(shape.rows()),
            mode: u8::from(options.mode != Mode::Replace),
            master_element: shape.scalar().element().code(),
            reserved: U16::ZERO,
            // -0 becomes 0.
            threshold: F64::new(options.threshold + 0.0),
            master_digest,
        }
    }
}

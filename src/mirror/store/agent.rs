//! One agent: which blocks of the master it has, in which it differs, and what it has by itself.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::{AgentStats, Placement};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{reserve, reserve_exact, zeros};
use crate::mirror::blocks::Blocks;
use crate::mirror::diff::{DiffOptions, Loss, Rule};
use crate::mirror::shape::Shape;
use crate::mirror::view::make;

/// A run of an agent's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Blocks `start..start + rows` of the master, but for those in which the agent differs.
    Shared {
        /// The first, in the master.
        start: u32,
        /// How many.
        rows: u32,
    },
    /// Blocks of the agent alone.
    Own {
        /// How many.
        rows: u32,
    },
}

impl Segment {
    pub(super) const fn rows(self) -> u32 {
        match self {
            Self::Shared { rows, .. } | Self::Own { rows } => rows,
        }
    }
}

/// What is held of an agent.
///
/// No block of the master stands in it twice, and those that do are in the master's order. So one list of differences, by
/// the master's index, serves all segments, and stays as it is when blocks are added.
#[derive(Clone)]
pub(super) struct Agent {
    pub(super) options: DiffOptions,
    /// Not empty ones; two neighbours are never of the kind that could be one.
    segments: Vec<Segment>,
    rows: u32,
    /// A mirror's payload: indices, ascending, then values.
    payload: Vec<u8>,
    differences: u32,
    loss: Loss,
    /// Blocks of all segments [`Segment::Own`], in order.
    own: Vec<u8>,
    own_rows: u32,
}

/// New differences of an agent from a new master.
pub(super) struct Rebased {
    payload: Vec<u8>,
    differences: u32,
    loss: Loss,
}

impl Agent {
    /// The agent that has `rows` blocks, all of them the master's.
    pub(super) fn same(options: DiffOptions, rows: u32) -> Result<Self> {
        let mut segments = Vec::new();
        if rows > 0 {
            reserve_exact(&mut segments, 1)?;
            segments.push(Segment::Shared { start: 0, rows });
        }
        let (loss, payload, own) = (Loss::default(), Vec::new(), Vec::new());
        Ok(Self { options, segments, rows, payload, differences: 0, loss, own, own_rows: 0 })
    }

    /// The agent `blocks`, which has the master's shape. `finite` is said of the master; the rule is that of `options`.
    pub(super) fn of(
        master: &Blocks<'_>,
        blocks: &Blocks<'_>,
        finite: bool,
        options: DiffOptions,
        rule: &Rule,
    ) -> Result<Self> {
        let mut agent = Self::same(options, master.shape().rows())?;
        let mut loss = Loss { saturated: 0, max_error: options.threshold };
        let (differences, of_values) = rule.collect(master, blocks, finite, &mut agent.payload)?;
        loss.add(of_values);
        Ok(Self { differences, loss, ..agent })
    }

    /// The agent of `rows` blocks that a mirror with this payload stands for.
    pub(super) fn with_payload(
        options: DiffOptions,
        rows: u32,
        differences: u32,
        payload: &[u8],
        loss: Loss,
    ) -> Result<Self> {
        let mut agent = Self::same(options, rows)?;
        reserve_exact(&mut agent.payload, payload.len())?;
        agent.payload.extend_from_slice(payload);
        Ok(Self { differences, loss, ..agent })
    }

    pub(super) const fn rows(&self) -> u32 {
        self.rows
    }

    pub(super) const fn differences(&self) -> u32 {
        self.differences
    }

    pub(super) const fn own_rows(&self) -> u32 {
        self.own_rows
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) const fn loss(&self) -> Loss {
        self.loss
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Bytes of what is held: differences as in a mirror's payload, and own blocks.
    pub(super) const fn held_len(&self) -> u64 {
        (self.payload.len() as u64).saturating_add(self.own.len() as u64)
    }

    pub(super) const fn stats(&self) -> AgentStats {
        AgentStats {
            blocks: self.rows,
            difference_blocks: self.differences,
            own_blocks: self.own_rows,
            options: self.options,
            saturated: self.loss.saturated,
            error_bound: self.loss.max_error,
        }
    }

    /// Whether its blocks stand where the master's do.
    pub(super) fn is_aligned(&self) -> bool {
        matches!(self.segments(), [] | [Segment::Shared { start: 0, .. }])
    }

    /// The end of the last of the master's blocks that it has.
    pub(super) fn shared_end(&self) -> u32 {
        // Two own segments never follow each other, so this looks at two segments at most.
        let end = self.segments.iter().rev().find_map(|segment| match *segment {
            Segment::Shared { start, rows } => Some(start.saturating_add(rows)),
            Segment::Own { .. } => None,
        });
        end.unwrap_or(0)
    }

    /// Makes room for one more segment.
    pub(super) fn reserve_segment(&mut self) -> Result<()> {
        reserve(&mut self.segments, 1)
    }

    /// Takes the blocks `start..start + rows` of the master, unless it has them. Allocates nothing after
    /// [`reserve_segment`](Self::reserve_segment).
    pub(super) fn adopt(&mut self, start: u32, rows: u32, placement: Placement) {
        if rows == 0 || self.shared_end() >= start.saturating_add(rows) {
            return;
        }
        let end = self.segments.len();
        let at = match (placement, self.segments.last()) {
            (Placement::BeforeOwn, Some(Segment::Own { .. })) => end.saturating_sub(1),
            _ => end,
        };
        match at.checked_sub(1).and_then(|before| self.segments.get_mut(before)) {
            Some(Segment::Shared { start: first, rows: count }) if first.saturating_add(*count) == start => {
                *count = count.saturating_add(rows);
            }
            _ => self.segments.insert(at, Segment::Shared { start, rows }),
        }
        self.rows = self.rows.saturating_add(rows);
    }

    /// Adds blocks of its own behind what it has; `read` appends them to what it is given, or fails and appends nothing.
    pub(super) fn append_own(
        &mut self,
        rows: u32,
        read: impl FnOnce(&mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        self.reserve_segment()?;
        read(&mut self.own)?;
        if let Some(Segment::Own { rows: count }) = self.segments.last_mut() {
            *count = count.saturating_add(rows);
        } else {
            self.segments.push(Segment::Own { rows });
        }
        self.rows = self.rows.saturating_add(rows);
        self.own_rows = self.own_rows.saturating_add(rows);
        Ok(())
    }

    /// The values' shape, for a master of `scalar` and `dim`.
    pub(super) fn shape_of_values(&self, master: &Shape) -> Result<Shape> {
        Shape::new(self.options.mode.stored(master.scalar()), self.differences, master.dim())
    }

    /// Index and value of the blocks that differ.
    fn values(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let indices_len = (self.differences as usize).saturating_mul(4);
        let (indices, values) = self.payload.split_at_checked(indices_len).unwrap_or_default();
        let value_len = values.len().checked_div(self.differences as usize).unwrap_or(0).max(1);
        let indices = indices.as_chunks::<4>().0.iter().map(|index| u32::from_le_bytes(*index));
        indices.zip(values.chunks_exact(value_len))
    }

    /// Its segments as they are without the differences.
    pub(super) fn pieces<'s>(&'s self, master: &Blocks<'s>) -> impl Iterator<Item = &'s [u8]> {
        let (block_len, bytes, mut own) =
            (master.shape().block_len(), master.as_bytes(), self.own.as_slice());
        self.segments.iter().map(move |segment| {
            let len = (segment.rows() as usize).saturating_mul(block_len);
            let piece = match *segment {
                Segment::Shared { start, .. } => {
                    bytes.get((start as usize).saturating_mul(block_len)..).and_then(|from| from.get(..len))
                }
                Segment::Own { .. } => own.split_off(..len),
            };
            piece.unwrap_or_default()
        })
    }

    /// Puts the differences into `out`, which holds the [`pieces`](Self::pieces).
    pub(super) fn patch(&self, master: &Blocks<'_>, mut out: &mut [u8]) {
        let (scalar, block_len) = (master.shape().scalar(), master.shape().block_len());
        let mut values = self.values().peekable();
        for segment in &self.segments {
            let len = (segment.rows() as usize).saturating_mul(block_len);
            let piece = out.split_off_mut(..len).unwrap_or_default();
            let Segment::Shared { start, rows } = *segment else { continue };
            let end = start.saturating_add(rows);
            while let Some((index, value)) = values.next_if(|&(index, _)| index < end) {
                let at = (index.saturating_sub(start) as usize).saturating_mul(block_len);
                let new = piece.get_mut(at..).and_then(|from| from.get_mut(..block_len));
                if let (Some(old), Some(new)) = (master.block(index), new) {
                    make(self.options.mode, scalar, old, value, new);
                }
            }
        }
    }

    /// Its differences from the master `new` instead of `old`, which differ in the bits of the blocks `changed`; `None` if
    /// it needs no others.
    pub(super) fn rebased(
        &self,
        old: &Blocks<'_>,
        new: &Blocks<'_>,
        changed: &[u32],
    ) -> Result<Option<Rebased>> {
        let mut changed = Covered { indices: changed, segments: &self.segments }.peekable();
        if changed.peek().is_none() {
            return Ok(None);
        }
        let scalar = old.shape().scalar();
        let rule = self.options.rule(scalar)?;
        let mut scratch = zeros(old.shape().block_len())?;
        let (mut payload, mut values) = (Vec::new(), Vec::new());
        let mut differences = 0u32;
        // What this re-basing adds to the error.
        let mut loss = Loss::default();
        let mut add = |index: u32| -> Result<()> {
            differences = differences.saturating_add(1);
            reserve(&mut payload, 4)?;
            payload.extend_from_slice(&index.to_le_bytes());
            Ok(())
        };
        let mut held = self.values().peekable();
        loop {
            let next = held.peek().map(|&(index, _)| index).into_iter().chain(changed.peek().copied()).min();
            let Some(index) = next else { break };
            let value = held.next_if(|&(at, _)| at == index).map(|(_, value)| value);
            if changed.next_if_eq(&index).is_none() {
                let value = value.unwrap_or_default();
                reserve(&mut values, value.len())?;
                values.extend_from_slice(value);
                add(index)?;
                continue;
            }
            let (Some(before), Some(after)) = (old.block(index), new.block(index)) else { continue };
            let content = match value {
                Some(value) => {
                    make(self.options.mode, scalar, before, value, &mut scratch);
                    &scratch
                }
                None => before,
            };
            if rule.keeps(after, content) {
                loss.add(rule.push(index, after, content, &mut values)?);
                add(index)?;
            } else {
                loss.add_error(self.options.threshold);
            }
        }
        reserve_exact(&mut payload, values.len())?;
        payload.extend_from_slice(&values);
        let loss = Loss {
            saturated: self.loss.saturated.saturating_add(loss.saturated),
            max_error: sum_up(self.loss.max_error, loss.max_error),
        };
        Ok(Some(Rebased { payload, differences, loss }))
    }

    /// Takes its new differences.
    pub(super) fn set(&mut self, rebased: Rebased) {
        let Rebased { payload, differences, loss } = rebased;
        (self.payload, self.differences, self.loss) = (payload, differences, loss);
    }
}

/// Those of the ascending indices that are in shared segments.
struct Covered<'s> {
    indices: &'s [u32],
    segments: &'s [Segment],
}

impl Iterator for Covered<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while let ([index, indices @ ..], [segment, segments @ ..]) = (self.indices, self.segments) {
            match *segment {
                Segment::Shared { start, rows } if *index < start.saturating_add(rows) => {
                    self.indices = indices;
                    if *index >= start {
                        return Some(*index);
                    }
                }
                _ => self.segments = segments,
            }
        }
        None
    }
}

/// The loss of a mirror that was read: only [`Mode::Replace`](crate::mirror::Mode::Replace) is known to be exact.
pub(super) const fn loss_of_read(options: DiffOptions) -> Loss {
    let exact = matches!(options.mode, crate::mirror::Mode::Replace);
    Loss { saturated: 0, max_error: if exact { options.threshold } else { f64::NAN } }
}

/// a + b, rounded up: what an error is bounded by must not be a rounding too low.
fn sum_up(a: f64, b: f64) -> f64 {
    let sum = a + b;
    // What the sum lost, exactly (Knuth's TwoSum).
    let of_b = sum - a;
    let lost = (a - (sum - of_b)) + (b - of_b);
    if lost > 0.0 { sum.next_up() } else { sum }
}

/// The shape with `more` blocks more.
pub(super) fn grown(shape: &Shape, rows: u32, more: u32) -> Result<Shape> {
    let (max, found) = (u64::from(u32::MAX), u64::from(rows).saturating_add(u64::from(more)));
    let too_many = ErrorKind::TooLarge { field: "the number of blocks", max, found };
    shape.with_rows(rows.checked_add(more).ok_or(Error::caller(too_many))?)
}

//! The master that a store holds.
#![deny(clippy::arithmetic_side_effects)]

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::Origin;
use super::agent::grown;
use crate::error::Result;
use crate::frame::{Context, ContextHash};
use crate::memory::{reserve, reserve_exact};
use crate::mirror::blocks::{BlockSource, Blocks};
use crate::mirror::diff::{DiffOptions, Rule};
use crate::mirror::master::Master;
use crate::mirror::shape::Shape;

/// A master with the state of its hash, so that blocks behind it are all there is to hash when it grows.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) id: String,
    bytes: Vec<u8>,
    shape: Shape,
    hash: Sha256,
    /// Lengths that the master has had, ascending, with its digest then; the last is the present one.
    checkpoints: Vec<(u32, [u8; 32])>,
    /// No element is NaN or infinite, as far as anybody asks: with a rule by bits nobody does, and it is not looked at.
    pub(super) finite: bool,
    ctx: ContextHash,
    /// The whole context, if it is known.
    context: Option<Context>,
    /// For agents that are registered: the store's options.
    pub(super) rule: Rule,
}

impl Held {
    /// Copies and hashes `source`, which has this shape. Of its first so many blocks, for each of the ascending
    /// `lengths`, it keeps the digest.
    pub(super) fn new(
        id: &str,
        (shape, source): (Shape, &(impl BlockSource + ?Sized)),
        options: DiffOptions,
        origin: &Origin,
        lengths: &[u32],
    ) -> Result<Self> {
        let rule = options.rule(shape.scalar())?;
        let (ctx, context) = origin.of(shape.dim())?;
        let (mut bytes, mut checkpoints) = (Vec::new(), Vec::new());
        reserve_exact(&mut bytes, shape.len())?;
        reserve_exact(&mut checkpoints, lengths.len().saturating_add(1))?;
        read(shape, source, &mut bytes)?;
        let finite = rule.needs_norm() && Blocks::new(shape, &bytes)?.are_finite();
        let mut hash = Sha256::new();
        let mut hashed = 0;
        for &rows in lengths.iter().filter(|&&rows| rows < shape.rows()).chain([&shape.rows()]) {
            let end = shape.with_rows(rows)?.len();
            hash.update(bytes.get(hashed..end).unwrap_or_default());
            hashed = end;
            checkpoints.push((rows, hash.clone().finalize().into()));
        }
        Ok(Self { id: String::from(id), bytes, shape, hash, checkpoints, finite, ctx, context, rule })
    }

    pub(super) const fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(super) fn blocks(&self) -> Result<Blocks<'_>> {
        Blocks::new(self.shape, &self.bytes)
    }

    /// Appends the blocks of `source`, which has the shape `more` and goes with those here; after an error nothing has
    /// changed.
    pub(super) fn append(&mut self, more: Shape, source: &(impl BlockSource + ?Sized)) -> Result<()> {
        if more.is_empty() {
            return Ok(());
        }
        let shape = grown(&self.shape, self.shape.rows(), more.rows())?;
        reserve(&mut self.checkpoints, 1)?;
        let from = self.bytes.len();
        read(more, source, &mut self.bytes)?;
        let added = self.bytes.get(from..).unwrap_or_default();
        self.hash.update(added);
        self.finite = self.finite && Blocks::new(more, added).is_ok_and(|added| added.are_finite());
        self.checkpoints.push((shape.rows(), self.hash.clone().finalize().into()));
        self.shape = shape;
        Ok(())
    }

    /// The master as it was when it had `rows` blocks, if it ever had so many.
    pub(super) fn at(&self, rows: u32) -> Option<Master<'_>> {
        let at = self.checkpoints.binary_search_by_key(&rows, |&(rows, _)| rows).ok()?;
        let &(_, digest) = self.checkpoints.get(at)?;
        let blocks = self.blocks().ok()?.prefix(rows)?;
        let json = self.context.as_ref().map(|context| context.as_str().as_bytes());
        Some(Master::known(blocks, digest, self.ctx, json, self.finite))
    }
}

/// Appends the blocks of `source` to `bytes`, which grow by doubling; after an error, or a panic of the source, nothing has
/// been appended.
///
/// `shape` is what the source said when it was asked, which every operation does once: a second answer could be another.
pub(super) fn read(shape: Shape, source: &(impl BlockSource + ?Sized), bytes: &mut Vec<u8>) -> Result<()> {
    let from = bytes.len();
    reserve(bytes, shape.len())?;
    if let Some(blocks) = source.borrowed().filter(|blocks| *blocks.shape() == shape) {
        bytes.extend_from_slice(blocks.as_bytes());
        return Ok(());
    }
    let end = from.saturating_add(shape.len());
    let mut cut = Cut(bytes, from);
    cut.0.resize(end, 0);
    source.copy_into(cut.0.get_mut(from..).unwrap_or_default())?;
    cut.1 = end;
    Ok(())
}

/// Bytes that are cut to this length in the end, however it comes.
struct Cut<'b>(&'b mut Vec<u8>, usize);

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        self.0.truncate(self.1);
    }
}

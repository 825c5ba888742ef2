//! Recalling a few tokens without reading all headers.
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;
use std::path::Path;
use std::vec::Vec;

use super::chunk::Chunk;
use super::error::Result;
use super::index::Index;
use super::reader::{LedgerReader, files, map};
use super::scan::TornTail;
use crate::frame::Frame;

/// Tokens recalled from a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// What is torn at the ledger's end, if anything is.
    pub tail: Option<TornTail>,
}

/// The tokens of a range of positions of the ledger at `path`.
///
/// Where an index covers the whole file, it is used to look ([`Index::find`]). Then the index is read and checked,
/// which is the only cost that grows with the ledger; the chunks that hold the tokens, and the anchor's before the
/// first, are checked whole. That the index as a whole is the ledger's is not. Wherever anything does not agree, a
/// [`LedgerReader`] settles it, which reads every chunk's header.
///
/// # Errors
/// As [`LedgerReader::map`] and [`LedgerReader::recall_range`].
pub fn recall(path: impl AsRef<Path>, positions: Range<u64>) -> Result<Recalled> {
    let (file, index) = files(path.as_ref())?;
    let ledger = map(&file)?;
    let index = index.as_deref();
    if let Some(tokens) = index.and_then(|index| by_index(&ledger, index, positions.clone())) {
        return Ok(Recalled { tokens, tail: None });
    }
    let reader = LedgerReader::new(ledger, index)?;
    Ok(Recalled { tokens: reader.recall_range(positions)?, tail: reader.tail().copied() })
}

/// `None` where the index does not settle it.
fn by_index(ledger: &[u8], index: &[u8], positions: Range<u64>) -> Option<Vec<u32>> {
    let index = Index::parse_exact(index).ok()?;
    let empty = positions.end <= positions.start;
    if index.ledger_len() != ledger.len() as u64 || positions.end > index.total_tokens() || empty {
        return None;
    }
    let (mut offset, mut chunk) = index.find(ledger, positions.start).ok()?;
    let (mut tokens, mut at) = (Vec::new(), positions.start);
    loop {
        let first = u32::try_from(at.checked_sub(chunk.start())?).ok()?;
        let count = positions.end.min(chunk.end()).checked_sub(at)?;
        let before = tokens.len();
        // Justified by the chunk's payload, which is there.
        let count = usize::try_from(count).ok()?;
        tokens.try_reserve(count).ok()?;
        tokens.resize(before.saturating_add(count), 0);
        chunk.decode_into(first, tokens.get_mut(before..)?).ok()?;
        at = chunk.end();
        if at >= positions.end {
            return Some(tokens);
        }
        offset = offset.checked_add(chunk.frame().as_bytes().len() as u64)?;
        let (frame, _) = Frame::parse(ledger.get(usize::try_from(offset).ok()?..)?).ok()?;
        let next = Chunk::from_frame(&frame).ok()?;
        next.check_follows(chunk.id().checked_add(1)?, at).ok()?;
        let header = index.frame().header();
        next.header().check_identical_context(header.ctx(), header.context_json()).ok()?;
        chunk = next;
    }
}

//! Which cells of a state blob hold the positions of a gist.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::ops::Range;

use crate::engram::state::Stream;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::reserve_exact;

/// The cells of `stream` that hold `positions`, in the order of the positions: a blob has its cells in whatever order and with
/// whatever gaps the cache had them. For [`TokensOf`].
///
/// A cell that several sequences share counts once. Cost: one pass over the cells, and a sort of those within the range;
/// memory in proportion to the cells, not to the range.
///
/// # Errors
/// [`ErrorKind::CellsOfPosition`] for the first position that no cell holds, or more than one: of different sequences, or of
/// an image, all of whose parts have one position; [`ErrorKind::OutOfMemory`].
pub fn cells_of(stream: &Stream<'_>, positions: Range<u32>) -> Result<Vec<u32>> {
    let cells = || {
        let numbered = stream.cells().zip(0u32..);
        // A blob has no positions below 0.
        numbered.map(|(cell, number)| (cell.pos.unsigned_abs(), number))
    };
    let mut found = Vec::new();
    reserve_exact(&mut found, cells().filter(|(position, _)| positions.contains(position)).count())?;
    found.extend(cells().filter(|(position, _)| positions.contains(position)));
    found.sort_unstable();
    let mut expected = positions.start;
    for group in found.chunk_by(|(a, _), (b, _)| a == b) {
        let Some(&(position, _)) = group.first() else { continue };
        if position != expected {
            break;
        }
        if group.len() > 1 {
            let cells = group.len() as u64;
            return Err(Error::caller(ErrorKind::CellsOfPosition { position, cells }));
        }
        expected = expected.saturating_add(1);
    }
    if expected < positions.end {
        return Err(Error::caller(ErrorKind::CellsOfPosition { position: expected, cells: 0 }));
    }
    Ok(found.into_iter().map(|(_, number)| number).collect())
}

/// Some tokens of a source, in an order of their own: token `i` is token `tokens[i]` of the source.
#[derive(Clone, Copy, Debug)]
pub struct TokensOf<'t, S> {
    source: S,
    tokens: &'t [u32],
}

impl<'t, S: KeySource> TokensOf<'t, S> {
    /// These tokens of `source`.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if the source has no such token; [`ErrorKind::TooLarge`] beyond 2^32 - 1 tokens.
    pub fn new(source: S, tokens: &'t [u32]) -> Result<Self> {
        let end = source.shape().tokens;
        if let Some(&token) = tokens.iter().find(|&&token| token >= end) {
            let (end, found) = (u64::from(end), u64::from(token).saturating_add(1));
            return Err(Error::caller(ErrorKind::PastEnd { field: "the token", end, found }));
        }
        if u32::try_from(tokens.len()).is_err() {
            let (max, found) = (u64::from(u32::MAX), tokens.len() as u64);
            return Err(Error::caller(ErrorKind::TooLarge { field: "the tokens", max, found }));
        }
        Ok(Self { source, tokens })
    }
}

impl<S: KeySource> KeySource for TokensOf<'_, S> {
    fn shape(&self) -> KeyShape {
        // Fits, as was checked.
        let tokens = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
        KeyShape { tokens, ..self.source.shape() }
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let place = usize::try_from(token).ok().and_then(|token| self.tokens.get(token));
        let (end, found) = (self.tokens.len() as u64, u64::from(token).saturating_add(1));
        let past = Error::caller(ErrorKind::PastEnd { field: "the token", end, found });
        self.source.key_into(layer, head, *place.ok_or(past)?, out)
    }
}

//! Which layers a fingerprint is taken of.
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use crate::error::{Error, ErrorKind, Result};

/// Which layers a fingerprint is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LayerRange {
    /// All but the first quarter: from `max(1, layers / 4)`; of one layer, that one. ENGRAM's choice for a model of which it
    /// knows nothing but the metadata.
    #[default]
    Upper,
    /// All.
    All,
    /// Those from `start` to `end` (exclusive) that are there.
    Between {
        /// The first, from 0.
        start: u32,
        /// The one after the last.
        end: u32,
    },
}

impl LayerRange {
    /// The layers chosen of those there are. A range beyond the last layer is cut to those that are there.
    ///
    /// # Errors
    /// [`ErrorKind::NoLayers`] if none is left. (ENGRAM takes all layers then, without a word.)
    pub fn of(self, layers: u32) -> Result<Range<u32>> {
        let (start, end) = match self {
            Self::All => (0, layers),
            Self::Upper if layers == 1 => (0, 1),
            Self::Upper => ((layers / 4).max(1), layers),
            Self::Between { start, end } => (start, end),
        };
        let range = start..end.min(layers);
        if range.is_empty() {
            return Err(Error::caller(ErrorKind::NoLayers { start, end, layers }));
        }
        Ok(range)
    }
}

impl From<Range<u32>> for LayerRange {
    fn from(range: Range<u32>) -> Self {
        Self::Between { start: range.start, end: range.end }
    }
}

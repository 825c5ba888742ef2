//! What a stream turns out to hold.

use core::fmt;
use core::ops::Range;

use crate::error::Error;

/// What a stream holds next. Ranges count bytes from its start; each begins where the one before it ended, but for the zero
/// bytes between frames in COBS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Event<F> {
    /// A frame that passed every check: a [`Frame`](crate::frame::Frame), or an `AuthenticatedFrame` where a key was given.
    Frame {
        /// Where in the stream it was.
        range: Range<u64>,
        /// The frame.
        frame: F,
    },
    /// Bytes that are no frame.
    Skipped(Skipped),
}

impl<F> Event<F> {
    /// Where in the stream it was.
    pub const fn range(&self) -> &Range<u64> {
        match self {
            Self::Frame { range, .. } | Self::Skipped(Skipped { range, .. }) => range,
        }
    }
}

/// A stretch of a stream that is no frame: up to the next magic, the next zero byte in COBS, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Skipped {
    /// Where in the stream.
    pub range: Range<u64>,
    /// Why no frame starts where the stretch starts. The place counts from the start of the stream; in COBS, for what is wrong
    /// with the frame itself, from the start of the decoded frame.
    pub reason: Error,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {} to {} skipped: {}", self.range.start, self.range.end, self.reason)
    }
}

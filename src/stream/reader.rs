//! The reader that both framings have in common.

use core::fmt;
use core::ops::Range;

use heapless::{Vec, VecView};

#[cfg(feature = "cobs")]
use super::cobs::Cobs;
use super::event::{Event, Skipped};
use super::raw::Raw;
use crate::error::Result;
#[cfg(feature = "hmac")]
use crate::frame::{AuthenticatedFrame, Key};
use crate::frame::{Detached, Frame};

/// The bytes of the smallest frame: magic, ctx, CONFIG_V1, END and CRC.
const LEAST: usize = 4 + 8 + 27 + 3 + 2;

/// Reads frames of up to `N` bytes from a stream that comes in pieces, and goes on after damage.
///
/// `F` is how the stream is framed: [`Raw`], or `Cobs` (feature `cobs`). Takes `N` bytes and some 100 more, allocates nothing, and
/// copies each byte once, or again where what is kept has to be moved to the buffer's start. What hostile bytes cost grows with `N`: for captures
/// there is `Recover` (feature `alloc`). `N` below 44, the smallest frame, does
/// not compile.
///
/// Bytes of a frame are handed out only when the whole frame has passed. On a line that has fallen silent, [`finish`](Self::finish)
/// makes the reader say what it has.
pub struct FrameReader<const N: usize, F = Raw> {
    bytes: Vec<u8, N>,
    framing: F,
}

/// What of a frame that passed is to be handed out: asked before bytes are given up.
pub(super) type Accept<'f> = &'f dyn Fn(Frame<'_>) -> Result<()>;

/// A framing's next find.
pub(super) enum Found {
    /// A frame that starts at `start` of the buffer.
    Frame {
        range: Range<u64>,
        start: usize,
        frame: Detached,
    },
    Skipped(Skipped),
}

impl Found {
    /// What was found, with the bytes that it borrows.
    pub(super) fn event(self, bytes: &[u8]) -> Event<Frame<'_>> {
        match self {
            Self::Frame { range, start, frame } => {
                let bytes = bytes.get(start..).unwrap_or_default();
                Event::Frame { range, frame: Frame::attach(frame, bytes) }
            }
            Self::Skipped(skipped) => Event::Skipped(skipped),
        }
    }
}

#[cfg(feature = "hmac")]
impl<'a> Event<Frame<'a>> {
    /// The same, of a frame that was accepted because its MAC is right.
    pub(super) fn verified(self) -> Event<AuthenticatedFrame<'a>> {
        match self {
            Self::Frame { range, frame } => {
                Event::Frame { range, frame: AuthenticatedFrame::attached(frame) }
            }
            Self::Skipped(skipped) => Event::Skipped(skipped),
        }
    }
}

/// How frames are told apart in a stream. Sealed: [`Raw`] and `Cobs`.
pub(super) trait Framing {
    /// Takes bytes from `input` until something is found; `ended` if nothing follows.
    fn advance(
        &mut self,
        bytes: &mut VecView<u8>,
        input: &mut &[u8],
        ended: bool,
        accept: Accept<'_>,
    ) -> Option<Found>;
}

impl<const N: usize> FrameReader<N> {
    /// A reader of a raw stream.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Raw::new())
    }
}

#[cfg(feature = "cobs")]
impl<const N: usize> FrameReader<N, Cobs> {
    /// A reader of a stream in COBS. `N` counts the bytes of a frame before it was encoded.
    #[must_use]
    pub const fn cobs() -> Self {
        Self::of(Cobs::new())
    }
}

impl<const N: usize, F> FrameReader<N, F> {
    /// What was found, with the bytes that it borrows.
    pub(super) fn event(&self, found: Found) -> Event<Frame<'_>> {
        found.event(&self.bytes)
    }

    const fn of(framing: F) -> Self {
        const { assert!(N >= LEAST, "no frame fits into the reader's buffer") };
        Self { bytes: Vec::new(), framing }
    }
}

#[expect(private_bounds, reason = "which framings there are is for the spec to say")]
impl<const N: usize, F: Framing> FrameReader<N, F> {
    /// The next find, not yet attached to its bytes.
    pub(super) fn advance(&mut self, input: &mut &[u8], ended: bool, accept: Accept<'_>) -> Option<Found> {
        self.framing.advance(self.bytes.as_mut_view(), input, ended, accept)
    }

    /// Takes bytes from the front of `input`, up to the next frame or the end of a stretch that is none; `None` when all are taken.
    ///
    /// Call it until it returns `None`, then with the next piece of the stream. However the stream is cut, the
    /// events are the same.
    pub fn feed(&mut self, input: &mut &[u8]) -> Option<Event<Frame<'_>>> {
        let found = self.advance(input, false, &|_| Ok(()))?;
        Some(self.event(found))
    }

    /// What is left when nothing follows: call it until it returns `None`. What comes afterwards begins anew, and
    /// its ranges go on counting.
    pub fn finish(&mut self) -> Option<Event<Frame<'_>>> {
        let found = self.advance(&mut &[][..], true, &|_| Ok(()))?;
        Some(self.event(found))
    }

    /// As [`feed`](Self::feed), and a frame that is not signed with `key` is damage like any other: in a raw stream the next one is
    /// searched for within it. A CRC lets a damaged frame pass now and then (spec/stream.md), and a MAC none.
    #[cfg(feature = "hmac")]
    pub fn feed_verified(&mut self, input: &mut &[u8], key: &Key) -> Option<Event<AuthenticatedFrame<'_>>> {
        let found = self.advance(input, false, &|frame| frame.verify(key).map(drop))?;
        Some(self.event(found).verified())
    }

    /// As [`finish`](Self::finish), with the rule of [`feed_verified`](Self::feed_verified).
    #[cfg(feature = "hmac")]
    pub fn finish_verified(&mut self, key: &Key) -> Option<Event<AuthenticatedFrame<'_>>> {
        let found = self.advance(&mut &[][..], true, &|frame| frame.verify(key).map(drop))?;
        Some(self.event(found).verified())
    }
}

impl<const N: usize> Default for FrameReader<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize, F: fmt::Debug> fmt::Debug for FrameReader<N, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("framing", &self.framing).finish_non_exhaustive()
    }
}

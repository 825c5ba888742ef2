//! Frames in COBS, each ended by a zero byte (spec/stream.md, "Streams in COBS").
//!
//! Consistent overhead byte stuffing: S. Cheshire and M. Baker, IEEE/ACM Transactions on Networking 7(2), 1999.
#![deny(clippy::arithmetic_side_effects)]

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use cobs::{DecodeResult, DecoderState};
use heapless::VecView;

#[cfg(feature = "alloc")]
use super::event::Event;
use super::event::Skipped;
use super::reader::{Accept, Found, Framing};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;
#[cfg(feature = "alloc")]
use crate::frame::MAGIC;
#[cfg(all(feature = "alloc", feature = "hmac"))]
use crate::frame::{AuthenticatedFrame, Key};

/// Frames in COBS, which makes a frame at most 1 byte in 254 longer, and each ended by a zero byte.
///
/// Damage costs the frame it struck, and where it struck a zero byte, the frame after it; the next one starts after the next zero.
/// Nothing is ever searched for within a frame, so that bytes cost the same whatever they are.
#[derive(Default)]
pub struct Cobs {
    decoder: DecoderState,
    /// Where in the stream the frame began that is coming in.
    from: u64,
    /// Where in the stream the next byte is.
    offset: u64,
    /// Why it is no frame, if that is known before its end.
    refused: Option<Error>,
    /// Whether the decoded bytes are those of a frame that is over.
    over: bool,
}

impl fmt::Debug for Cobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cobs").field("from", &self.from).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Cobs {
    pub(super) const fn new() -> Self {
        Self { decoder: DecoderState::Idle, from: 0, offset: 0, refused: None, over: false }
    }

    /// Takes a byte; what it stands for goes to `push`, which says why not if there is no room. At the end of a frame: where it
    /// was, and whether it could be decoded.
    pub(super) fn take(
        &mut self,
        byte: u8,
        push: impl FnOnce(u8) -> Result<(), ErrorKind>,
    ) -> Option<(Range<u64>, Result<()>)> {
        let at = self.offset;
        self.offset = at.saturating_add(1);
        if byte != 0 {
            if self.refused.is_none()
                && let Ok(DecodeResult::DataContinue(byte)) = self.decoder.feed(byte)
                && let Err(kind) = push(byte)
            {
                self.refused = Some(Error::new(kind, self.from));
            }
            return None;
        }
        let range = self.restart();
        let last = core::mem::take(&mut self.decoder).feed(0);
        let whole = match (self.refused.take(), last) {
            (Some(error), _) => Err(error),
            (None, Ok(_)) => Ok(()),
            (None, Err(_)) => Err(Error::new(ErrorKind::Cobs, at)),
        };
        // A zero byte right after another ends nothing.
        (range.start < at).then_some((range, whole))
    }

    /// The end of the stream, if it is in the middle of a frame: where that was, and what was wrong with it.
    pub(super) fn end(&mut self) -> Option<Skipped> {
        let missing =
            ErrorKind::Truncated { field: "zero byte after a frame in COBS", needed: 1, available: 0 };
        let reason = self.refused.take().unwrap_or(Error::new(missing, self.offset));
        self.decoder = DecoderState::Idle;
        let range = self.restart();
        (!range.is_empty()).then_some(Skipped { range, reason })
    }

    fn restart(&mut self) -> Range<u64> {
        core::mem::replace(&mut self.from, self.offset)..self.offset
    }
}

/// More than `max` bytes come out.
fn too_long(max: u64) -> ErrorKind {
    ErrorKind::FrameTooLong { needed: max.saturating_add(1), max }
}

/// What was at `range`, where `bytes` came out.
fn judge(bytes: &[u8], range: Range<u64>, whole: Result<()>, accept: Accept<'_>) -> Found {
    let frame = whole.and_then(|()| {
        let frame = Frame::parse_exact(bytes)?;
        accept(frame)?;
        Ok(frame.detach())
    });
    match frame {
        Ok(frame) => Found::Frame { range, start: 0, frame },
        Err(reason) => Found::Skipped(Skipped { range, reason }),
    }
}

impl Framing for Cobs {
    fn advance(
        &mut self,
        bytes: &mut VecView<u8>,
        input: &mut &[u8],
        ended: bool,
        accept: Accept<'_>,
    ) -> Option<Found> {
        if core::mem::take(&mut self.over) {
            bytes.clear();
        }
        let no_room = too_long(bytes.capacity() as u64);
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if let Some((range, whole)) = self.take(byte, |byte| bytes.push(byte).map_err(|_| no_room)) {
                self.over = true;
                return Some(judge(bytes, range, whole, accept));
            }
        }
        if !ended {
            return None;
        }
        bytes.clear();
        self.end().map(Found::Skipped)
    }
}

/// Frames out of a damaged capture in COBS that is in memory whole: what [`FrameReader`](super::FrameReader) says of it, and frames of any length.
#[cfg(feature = "alloc")]
pub struct RecoverCobs<'a> {
    capture: &'a [u8],
    framing: Cobs,
    decoded: Vec<u8>,
    max_frame: u64,
}

#[cfg(feature = "alloc")]
impl<'a> RecoverCobs<'a> {
    /// Looks for frames of any length in `capture`.
    #[must_use]
    pub const fn new(capture: &'a [u8]) -> Self {
        Self { capture, framing: Cobs::new(), decoded: Vec::new(), max_frame: u64::MAX }
    }

    /// Refuses frames longer than `max_frame` bytes, decoded, as a reader with such a buffer does.
    /// Below 44, the smallest frame, nothing passes.
    #[must_use]
    pub const fn with_max_frame(mut self, max_frame: u64) -> Self {
        self.max_frame = max_frame;
        self
    }

    fn advance(&mut self, accept: Accept<'_>) -> Option<Found> {
        self.decoded.clear();
        let (decoded, max) = (&mut self.decoded, self.max_frame);
        let mut len = 0_u64;
        while let Some((&byte, rest)) = self.capture.split_first() {
            self.capture = rest;
            let push = |byte| {
                if len >= max {
                    return Err(too_long(max));
                }
                len = len.saturating_add(1);
                // What is no frame by its first bytes is not kept: erased flash is a segment of any length.
                if decoded.len() != MAGIC.len() || *decoded == MAGIC {
                    crate::memory::reserve(decoded, 1).map_err(|error| error.kind())?;
                    decoded.push(byte);
                }
                Ok(())
            };
            if let Some((range, whole)) = self.framing.take(byte, push) {
                return Some(judge(decoded, range, whole, accept));
            }
        }
        self.framing.end().map(Found::Skipped)
    }

    /// The next frame, or the next stretch that is none; `None` at the capture's end.
    pub fn next_event(&mut self) -> Option<Event<Frame<'_>>> {
        let found = self.advance(&|_| Ok(()))?;
        Some(found.event(&self.decoded))
    }

    /// The same, and a frame that is not signed with `key` is damage like any other.
    #[cfg(feature = "hmac")]
    pub fn next_verified(&mut self, key: &Key) -> Option<Event<AuthenticatedFrame<'_>>> {
        let found = self.advance(&|frame| frame.verify(key).map(drop))?;
        Some(found.event(&self.decoded).verified())
    }
}

#[cfg(feature = "alloc")]
impl fmt::Debug for RecoverCobs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverCobs").field("framing", &self.framing).finish_non_exhaustive()
    }
}

/// Bytes of a frame of `len` bytes in COBS, its zero byte included: at most.
#[must_use]
pub const fn cobs_encoded_len(len: usize) -> usize {
    len.saturating_add(cobs::max_encoding_overhead(len)).saturating_add(1)
}

/// Writes `frame` in COBS and the zero byte that ends it to the start of `out`; returns how many bytes those are.
///
/// A sender that starts, or starts again, sends one zero byte first, so that what was on the line before does not become part
/// of its first frame.
///
/// # Errors
/// [`ErrorKind::BufferTooSmall`] if `out` is shorter than [`cobs_encoded_len`], whatever the frame would take.
pub fn cobs_encode_into(frame: &[u8], out: &mut [u8]) -> Result<usize> {
    let (needed, available) = (cobs_encoded_len(frame.len()) as u64, out.len() as u64);
    let too_small = Error::caller(ErrorKind::BufferTooSmall { needed, available });
    if available < needed {
        return Err(too_small);
    }
    let len = cobs::try_encode(frame, out).map_err(|_| too_small)?;
    *out.get_mut(len).ok_or(too_small)? = 0;
    Ok(len.saturating_add(1))
}

//! Frames one after the other, and how to find the next one after damage (spec/stream.md, "Raw streams").
#![deny(clippy::arithmetic_side_effects)]

use heapless::VecView;

use super::event::Skipped;
use super::reader::{Accept, Found, Framing};
use crate::error::{Error, ErrorKind};
use crate::frame::{Detached, Frame, MAGIC};

/// Frames one after the other, with nothing between them.
///
/// Where no frame passes, the next magic is searched for from one byte later, so that damage costs no frames but those it
/// struck. A damaged length holds the others up until it turns out wrong: for as many bytes as the reader takes, and no more.
///
/// Cost: linear where frames are whole. Bytes made to look like the starts of frames cost a CRC of up to the reader's size for each
/// start, of which two fit 57 bytes; and where those are right, the hashes too.
#[derive(Debug)]
pub struct Raw {
    /// Where in the buffer the bytes start that are still to be judged.
    start: usize,
    /// Where these are in the stream.
    offset: u64,
    /// How many of them are needed before more can be said: at most what the buffer holds.
    wanted: usize,
    /// Where the stretch began that is being skipped, and why.
    skipping: Option<(u64, Error)>,
}

impl Raw {
    pub(super) const fn new() -> Self {
        Self { start: 0, offset: 0, wanted: MAGIC.len(), skipping: None }
    }

    /// Goes on by `len` of the bytes that are there.
    fn pass(&mut self, len: usize) {
        self.start = self.start.saturating_add(len);
        self.offset = self.offset.saturating_add(len as u64);
        self.wanted = MAGIC.len();
    }

    /// Takes as many bytes from `input` as there is room for. Says whether there were any.
    fn fill(&mut self, bytes: &mut VecView<u8>, input: &mut &[u8]) -> bool {
        if input.is_empty() {
            return false;
        }
        let start = self.start.min(bytes.len());
        let kept = bytes.len().saturating_sub(start);
        // Moving costs; it is put off until there is no other way to what is wanted.
        if bytes.capacity().saturating_sub(start) < self.wanted.max(kept.saturating_add(1)) || kept == 0 {
            bytes.copy_within(start.., 0);
            bytes.truncate(kept);
            self.start = 0;
        }
        let room = bytes.capacity().saturating_sub(bytes.len());
        let (taken, rest) = input.split_at_checked(room).unwrap_or((input, &[]));
        *input = rest;
        bytes.extend_from_slice(taken).is_ok()
    }
}

impl Framing for Raw {
    fn advance(
        &mut self,
        bytes: &mut VecView<u8>,
        input: &mut &[u8],
        ended: bool,
        accept: Accept<'_>,
    ) -> Option<Found> {
        loop {
            let window = bytes.get(self.start..).unwrap_or_default();
            if let Some((from, reason)) = self.skipping {
                let (len, found) = match find_magic(window) {
                    Ok(at) => (at, true),
                    Err(at) => (if ended { window.len() } else { at }, false),
                };
                self.pass(len);
                if found || ended {
                    self.skipping = None;
                    return Some(Found::Skipped(Skipped { range: from..self.offset, reason }));
                }
            } else if window.len() >= self.wanted || (ended && !window.is_empty()) {
                match judge(window, bytes.capacity() as u64, ended, accept) {
                    Verdict::Frame(frame) => {
                        let (start, from) = (self.start, self.offset);
                        self.pass(frame.len());
                        return Some(Found::Frame { range: from..self.offset, start, frame });
                    }
                    Verdict::Wait(wanted) => self.wanted = wanted,
                    Verdict::Refuse(reason) => {
                        self.skipping = Some((self.offset, reason.nested(self.offset)));
                        self.pass(1);
                        continue;
                    }
                }
            }
            if !self.fill(bytes, input) {
                return None;
            }
        }
    }
}

/// What the bytes say at a place where a frame may start.
pub(super) enum Verdict {
    Frame(Detached),
    /// Nothing, before there are as many.
    Wait(usize),
    /// No frame starts here.
    Refuse(Error),
}

/// Judges `window`, which ends where the stream does so far, or `max` bytes on. More bytes never change a verdict: a
/// frame is read from left to right, and what was refused in few bytes is refused in many.
pub(super) fn judge(window: &[u8], max: u64, ended: bool, accept: Accept<'_>) -> Verdict {
    let error = match Frame::parse(window) {
        Ok((frame, _)) => match accept(frame) {
            Ok(()) => return Verdict::Frame(frame.detach()),
            Err(error) => return Verdict::Refuse(error),
        },
        Err(error) => error,
    };
    let ErrorKind::Truncated { needed, .. } = error.kind() else { return Verdict::Refuse(error) };
    let needed = error.offset().saturating_add(needed);
    match usize::try_from(needed) {
        _ if needed > max => Verdict::Refuse(Error::new(ErrorKind::FrameTooLong { needed, max }, 0)),
        Ok(wanted) if !ended => Verdict::Wait(wanted),
        _ => Verdict::Refuse(error),
    }
}

/// Where the first magic starts, or if there is none, where one may start that is not there whole.
pub(super) fn find_magic(bytes: &[u8]) -> Result<usize, usize> {
    if let Some(at) = bytes.windows(MAGIC.len()).position(|four| four == MAGIC) {
        return Ok(at);
    }
    let begun =
        (1..MAGIC.len()).rev().find(|&len| MAGIC.get(..len).is_some_and(|part| bytes.ends_with(part)));
    Err(bytes.len().saturating_sub(begun.unwrap_or(0)))
}

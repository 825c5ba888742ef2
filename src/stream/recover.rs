//! Frames out of a damaged capture that is in memory whole (spec/stream.md, "Raw streams").
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::Range;

use super::event::{Event, Skipped};
use super::raw::{Verdict, find_magic, judge};
use super::reader::{Accept, Found};
use crate::arch::crc16;
use crate::error::{Error, ErrorKind};
#[cfg(feature = "hmac")]
use crate::frame::{AuthenticatedFrame, Key};
use crate::frame::{Frame, FrameHeader};
use crate::memory;

/// Frames out of a damaged capture that is in memory whole: what [`FrameReader`](super::FrameReader) says of it, without copying, and
/// frames of any length.
///
/// Cost: linear, whatever the bytes are. CRCs of long stretches follow from a table (2 bytes for every KiB of the capture, once a long
/// frame is met). Where more than 16 times the capture, and more than 16 MiB, was hashed for frames whose CRC is right and that fail
/// all the same, which no accident brings about, such a frame is skipped whole, with whatever may be in it: not where the length
/// of frames is bounded by 65,536 or less, which bounds the cost as well.
#[derive(Clone)]
pub struct Recover<'a> {
    capture: &'a [u8],
    at: usize,
    max_frame: u64,
    /// Where the stretch began that is being skipped, and why.
    skipping: Option<(u64, Error)>,
    registers: Registers,
    /// How much may still be hashed in vain.
    credit: u64,
}

/// Frames up to this length are read without further ado.
const SHORT: u64 = 4096;
/// With a bound on frames up to this, events are those of a reader with such a buffer whatever the bytes are.
const BOUNDED: u64 = 65_536;
/// How much may always be hashed in vain: 25 ms at 0.7 GB/s.
const LEAST_CREDIT: u64 = 16 << 20;

impl<'a> Recover<'a> {
    /// Looks for frames of any length in `capture`.
    #[must_use]
    pub const fn new(capture: &'a [u8]) -> Self {
        let many = (capture.len() as u64).saturating_mul(16);
        Self {
            capture,
            at: 0,
            max_frame: u64::MAX,
            skipping: None,
            registers: Registers(Vec::new()),
            credit: if many > LEAST_CREDIT { many } else { LEAST_CREDIT },
        }
    }

    /// Refuses frames longer than `max_frame` bytes, as a reader with such a buffer does.
    /// Below 44, the smallest frame, nothing passes.
    #[must_use]
    pub const fn with_max_frame(mut self, max_frame: u64) -> Self {
        self.max_frame = max_frame;
        self
    }

    fn advance(&mut self, accept: Accept<'_>) -> Option<Found> {
        loop {
            let offset = self.at as u64;
            let rest = self.capture.get(self.at..).unwrap_or_default();
            if let Some((from, reason)) = self.skipping.take() {
                let len = find_magic(rest).unwrap_or(rest.len());
                self.at = self.at.saturating_add(len);
                return Some(Found::Skipped(Skipped { range: from..self.at as u64, reason }));
            }
            if rest.is_empty() {
                return None;
            }
            let window = rest.get(..usize::try_from(self.max_frame).unwrap_or(usize::MAX)).unwrap_or(rest);
            match self.judge(window, accept) {
                Ok(Verdict::Frame(frame)) => {
                    let start = self.at;
                    self.at = start.saturating_add(frame.len());
                    return Some(Found::Frame { range: offset..self.at as u64, start, frame });
                }
                // Never: nothing follows, so that there is nothing to wait for.
                Ok(Verdict::Wait(_)) => return None,
                Ok(Verdict::Refuse(reason)) => {
                    self.skipping = Some((offset, reason.nested(offset)));
                    self.at = self.at.saturating_add(1);
                }
                Err((reason, len)) => {
                    self.skipping = Some((offset, reason.nested(offset)));
                    self.at = self.at.saturating_add(len);
                }
            }
        }
    }

    /// Judges what starts at `window`; an error says how much is not to be looked at again.
    fn judge(&mut self, window: &[u8], accept: Accept<'_>) -> Result<Verdict, (Error, usize)> {
        let len = FrameHeader::measure(window)
            .ok()
            .and_then(|(header, payload)| header.checked_add(payload)?.checked_add(2))
            .filter(|&len| len > SHORT)
            .and_then(|len| usize::try_from(len).ok())
            .filter(|&len| len <= window.len());
        if let Some(error) = len.and_then(|len| self.crc_error(window, len)) {
            return Ok(Verdict::Refuse(error));
        }
        let verdict = judge(window, self.max_frame, true, accept);
        if self.max_frame > BOUNDED
            && let (Verdict::Refuse(error), Some(len)) = (&verdict, len)
        {
            match self.credit.checked_sub(len as u64) {
                Some(credit) => self.credit = credit,
                None => return Err((*error, len)),
            }
        }
        Ok(verdict)
    }

    /// What is wrong with the CRC of a frame of `len` bytes at the start of `window`; nothing if there is no memory to tell.
    fn crc_error(&mut self, window: &[u8], len: usize) -> Option<Error> {
        let crc_at = len.saturating_sub(2);
        let covered = self.at.saturating_add(4)..self.at.saturating_add(crc_at);
        let stored = u16::from_be_bytes(*window.get(crc_at..)?.first_chunk()?);
        let computed = self.registers.crc(self.capture, covered)?;
        (stored != computed).then(|| Error::new(ErrorKind::Crc { stored, computed }, crc_at as u64))
    }

    /// As [`next`](Self::next), and a frame that is not signed with `key` is damage like any other: the next one is searched for
    /// within it.
    #[cfg(feature = "hmac")]
    pub fn next_verified(&mut self, key: &Key) -> Option<Event<AuthenticatedFrame<'a>>> {
        let found = self.advance(&|frame| frame.verify(key).map(drop))?;
        Some(found.event(self.capture).verified())
    }
}

impl<'a> Iterator for Recover<'a> {
    type Item = Event<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.advance(&|_| Ok(()))?;
        Some(found.event(self.capture))
    }
}

impl FusedIterator for Recover<'_> {}

impl fmt::Debug for Recover<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recover")
            .field("at", &self.at)
            .field("of", &self.capture.len())
            .finish_non_exhaustive()
    }
}

/// CRC registers over the capture's first 0, 1024, 2048, ... bytes, started from 0; as many as were asked for so far.
#[derive(Clone, Debug)]
struct Registers(Vec<u16>);

impl Registers {
    const APART: usize = 1024;

    /// The CRC of `range`; `None` without memory.
    fn crc(&mut self, capture: &[u8], range: Range<usize>) -> Option<u16> {
        let start = crc16::INIT ^ self.at(capture, range.start)?;
        Some(self.at(capture, range.end)? ^ crc16::after_zeros(start, range.len() as u64))
    }

    /// The register after `capture[..place]`.
    fn at(&mut self, capture: &[u8], place: usize) -> Option<u16> {
        let index = place / Self::APART;
        if self.0.is_empty() {
            memory::reserve(&mut self.0, 1).ok()?;
            self.0.push(0);
        }
        while self.0.len() <= index {
            let known = self.0.len().saturating_sub(1).saturating_mul(Self::APART);
            let piece = capture.get(known..known.saturating_add(Self::APART))?;
            let next = crc16::update(*self.0.last()?, piece);
            memory::reserve(&mut self.0, 1).ok()?;
            self.0.push(next);
        }
        let piece = capture.get(index.saturating_mul(Self::APART)..place)?;
        Some(crc16::update(*self.0.get(index)?, piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::crc16;

    #[test]
    fn a_crc_from_registers_is_the_crc_of_the_bytes() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut registers = Registers(Vec::new());
        for (start, end) in
            [(4000, 4999), (0, 0), (0, 1), (1, 1025), (1023, 1024), (1024, 4096), (4999, 5000), (0, 5000)]
        {
            assert_eq!(registers.crc(&bytes, start..end), Some(crc16(&bytes[start..end])), "{start}..{end}");
        }
        assert_eq!(registers.crc(&bytes, 0..5001), None);
    }
}

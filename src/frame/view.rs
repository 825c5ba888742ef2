//! The checked view of a frame (spec/frame.md, "Order of checks").
#![deny(clippy::arithmetic_side_effects)]

use core::iter::FusedIterator;
use core::ops::Deref;

use super::context::ContextHash;
use super::intact::{Detached, IntactFrame};
#[cfg(any(test, feature = "std"))]
use crate::arch::sha256::{BATCH, sha256_many};
use crate::error::{Error, ErrorKind, Result};

/// A frame that passed every check that needs no key: structure, CRC-16, value rules, ctx, SHA-256 digest.
///
/// Borrows the caller's bytes and copies none. What the frame says about its author is unproven until
/// `verify` (feature `hmac`) yields an `AuthenticatedFrame`; what kind of artefact it carries is for that
/// kind's typed view, such as [`Beacon`](crate::beacon::Beacon). Whatever an [`IntactFrame`] tells, a frame tells too.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a>(pub(super) IntactFrame<'a>);

impl<'a> Deref for Frame<'a> {
    type Target = IntactFrame<'a>;

    fn deref(&self) -> &IntactFrame<'a> {
        &self.0
    }
}

impl<'a> Frame<'a> {
    /// Parses and checks the frame at the start of `bytes`; returns it and what follows it.
    ///
    /// Linear in the frame's size; allocates nothing.
    ///
    /// # Errors
    /// The first breach in the order of spec/frame.md, with the offset of the offending field.
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let (frame, rest) = IntactFrame::parse(bytes)?;
        frame.check_hashes()?;
        Ok((Self(frame), rest))
    }

    /// As [`parse`](Self::parse), with the same errors, but DIGEST_V1's hash is not compared: [`check_digests`] does that
    /// for many frames together, and until then nobody else may have the frame.
    #[cfg(any(test, feature = "std"))]
    pub(crate) fn parse_without_digest(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let (frame, rest) = IntactFrame::parse(bytes)?;
        frame.check_context_hash()?;
        frame.check_digest_there()?;
        if let Err(error) = frame.check_flags() {
            // A wrong hash would have been found before.
            frame.check_digest()?;
            return Err(error);
        }
        Ok((Self(frame), rest))
    }

    /// Parses a frame that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`ErrorKind::TrailingBytes`] at the frame's end if anything follows.
    pub fn parse_exact(bytes: &'a [u8]) -> Result<Self> {
        let (frame, rest) = Self::parse(bytes)?;
        if rest.is_empty() {
            Ok(frame)
        } else {
            let end = frame.as_bytes().len() as u64;
            Err(Error::new(ErrorKind::TrailingBytes { count: rest.len() as u64 }, end))
        }
    }

    /// The frame without its bytes, for [`attach`](Self::attach).
    pub(crate) fn detach(&self) -> Detached {
        self.0.detach()
    }

    /// The frame that was detached; `bytes` begin with its bytes.
    pub(crate) fn attach(detached: Detached, bytes: &'a [u8]) -> Self {
        Self(IntactFrame::attach(detached, bytes))
    }

    /// DIGEST_V1: SHA-256 over the frame without its digest, MAC and padding. Checked.
    pub fn digest(&self) -> Option<&'a [u8; 32]> {
        self.claimed_digest()
    }

    /// Checks that both frames come from the same context: the whole contexts are equal where both carry CONTEXT_V1, and
    /// the 64-bit hashes where one does not.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`].
    pub fn check_same_context(&self, other: &Self) -> Result<()> {
        self.compare_context(other.ctx(), other.context_json())
    }

    pub(crate) fn compare_context(&self, ctx: ContextHash, json: Option<&[u8]>) -> Result<()> {
        let same = match (self.context_json(), json) {
            (Some(own), Some(other)) => own == other,
            _ => self.ctx() == ctx,
        };
        if same { Ok(()) } else { Err(Error::caller(ErrorKind::ContextDiffers)) }
    }
}

/// Compares the hash of each DIGEST_V1 with what it covers, many frames together; frames without one pass.
///
/// # Errors
/// The index of the first frame with a wrong hash, and the error that [`Frame::parse`] gives for it.
#[cfg(any(test, feature = "std"))]
pub(crate) fn check_digests(frames: &[Frame<'_>]) -> core::result::Result<(), (usize, Error)> {
    let mut first = 0usize;
    for frames in frames.chunks(BATCH) {
        let (mut messages, mut hashes) = ([[&[][..]; 2]; BATCH], [[0; 32]; BATCH]);
        for (message, frame) in messages.iter_mut().zip(frames).filter(|(_, frame)| frame.digest().is_some())
        {
            *message = frame.digest_input();
        }
        sha256_many(messages.get(..frames.len()).unwrap_or_default(), &mut hashes);
        for (i, (frame, hash)) in frames.iter().zip(&hashes).enumerate() {
            frame.compare_digest(hash).map_err(|error| (first.saturating_add(i), error))?;
        }
        first = first.saturating_add(frames.len());
    }
    Ok(())
}

/// The frames of a buffer that holds nothing but frames, one after the other.
///
/// Yields each with its offset from the start of the buffer, and ends after the first error, whose offset counts
/// from there too.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl<'a> Frames<'a> {
    /// Walks `bytes`; an empty buffer holds no frames.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(u64, Frame<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        match Frame::parse(self.rest) {
            Ok((frame, rest)) => {
                self.offset = offset.saturating_add(frame.as_bytes().len() as u64);
                self.rest = rest;
                Some(Ok((offset, frame)))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error.nested(offset)))
            }
        }
    }
}

impl FusedIterator for Frames<'_> {}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    extern crate alloc;
    use super::*;
    use crate::frame::{Config, Element, FrameBuilder, Kind, TlvType, crc16, sha256};
    use alloc::{vec, vec::Vec};

    /// What [`Frame::parse`] says, by way of a batch.
    fn by_batch(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
        let (frame, rest) = Frame::parse_without_digest(bytes)?;
        check_digests(&[frame]).map_err(|(index, error)| {
            assert_eq!(index, 0);
            error
        })?;
        Ok((frame.as_bytes().to_vec(), rest.len()))
    }

    fn at_once(bytes: &[u8]) -> Result<(Vec<u8>, usize)> {
        Frame::parse(bytes).map(|(frame, rest)| (frame.as_bytes().to_vec(), rest.len()))
    }

    fn fix_crc(bytes: &mut [u8]) {
        let at = bytes.len() - 2;
        let crc = crc16(&bytes[4..at]);
        bytes[at..].copy_from_slice(&crc.to_be_bytes());
    }

    fn frame(payload: &[u8], baseline: bool) -> Vec<u8> {
        let config = Config::new(Kind::LEDGER_CHUNK, Element::U8, 1, 1, 0);
        let builder = FrameBuilder::new(ContextHash([7; 8]), config, payload);
        let builder = builder.drift_flags(false, baseline).tlv(0x90, b"header").unwrap().align_payload(32);
        let mut bytes = vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_batch_says_of_the_vectors_what_parse_says() {
        let text = include_str!("../../spec/vectors/frame.json");
        let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut digests, mut flags) = (0, 0);
        for case in vectors["cases"].as_array().unwrap() {
            let hex = case["hex"].as_str().unwrap();
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
            let expected = at_once(&bytes);
            assert_eq!(by_batch(&bytes), expected, "{}", case["id"]);
            let kind = expected.map_err(|error| error.kind());
            digests += usize::from(kind == Err(ErrorKind::Digest));
            flags += usize::from(matches!(kind, Err(ErrorKind::FlagsHmac { .. })));
        }
        assert!(digests > 0 && flags > 0, "{digests}, {flags}");
    }

    #[test]
    fn a_batch_says_of_every_bit_what_parse_says() {
        let good = frame(b"payload", true);
        assert_eq!(by_batch(&good), Ok((good.clone(), 0)));
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(by_batch(&bytes), at_once(&bytes), "bit {bit}");
            fix_crc(&mut bytes);
            assert_eq!(by_batch(&bytes), at_once(&bytes), "bit {bit}, CRC mended");
        }
    }

    /// The hash comes before the flags (steps 13 and 14), and is wrong if they are.
    #[test]
    fn wrong_flags_and_a_wrong_hash_are_a_wrong_hash() {
        let mut bytes = frame(b"payload", true);
        let (parsed, _) = Frame::parse(&bytes).unwrap();
        let digest = parsed.tlv(TlvType::DIGEST).unwrap().value_offset() as usize + 1;
        let flags = parsed.flags_place() as usize;
        // AUTHENTICATED, though there is no HMAC_V1.
        bytes[flags + 3] ^= 1;
        fix_crc(&mut bytes);
        assert_eq!(by_batch(&bytes), Err(Error::new(ErrorKind::Digest, digest as u64)));
        // The same with the hash mended.
        let payload = bytes.len() - 2 - b"payload".len()..bytes.len() - 2;
        let hash = sha256(&[&bytes[4..digest - 4], &bytes[payload]]);
        bytes[digest..digest + 32].copy_from_slice(&hash);
        fix_crc(&mut bytes);
        let expected = Error::new(ErrorKind::FlagsHmac { hmac: false }, flags as u64);
        assert_eq!(by_batch(&bytes), Err(expected));
        assert_eq!(at_once(&bytes), Err(expected));
    }

    #[test]
    fn the_first_wrong_hash_of_many_frames() {
        let mut frames: Vec<Vec<u8>> =
            (0..150usize).map(|i| frame(&vec![i as u8; i * i * 37 % 3000], i % 2 == 0)).collect();
        // One that needs no digest and has none.
        let config = Config::new(Kind::BEACON, Element::U8, 1, 1, 0);
        let builder = FrameBuilder::new(ContextHash([7; 8]), config, b"short");
        frames[70] = vec![0; builder.encoded_len().unwrap()];
        builder.encode_into(&mut frames[70]).unwrap();
        let check = |frames: &[Vec<u8>]| {
            let parsed: Vec<Frame<'_>> =
                frames.iter().map(|bytes| Frame::parse_without_digest(bytes).unwrap().0).collect();
            check_digests(&parsed)
        };
        assert_eq!(check(&frames), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        // From the last to the first, so that there are more and more.
        for wrong in [149, 128, 127, 100, 64, 63, 16, 15, 1, 0] {
            let at = frames[wrong].len() - 3;
            // The payload's last byte; the first frame has none, so its own TLV.
            let at = if wrong == 0 { at.min(50) } else { at };
            frames[wrong][at] ^= 0x40;
            fix_crc(&mut frames[wrong]);
            let error = Frame::parse(&frames[wrong]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Digest);
            assert_eq!(check(&frames), Err((wrong, error)));
        }
    }
}

//! Any bytes as a ledger's files, against a walk by the spec over frames and chunks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use std::io;

use super::{Choices, plausible};
use crate::error::{Error, ErrorKind};
use crate::frame::{Frame, TlvType, crc16, sha256};
use crate::ledger::{Chunk, Index, IndexState, LedgerError, LedgerReader, Source, root};

/// Bytes that are not in memory, as far as a reader knows; counts what is read, in pieces of odd sizes.
struct Elsewhere<'a> {
    bytes: &'a [u8],
    read: Cell<u64>,
}

impl Source for Elsewhere<'_> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest =
            usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buf.len()).min(1000);
        buf[..len].copy_from_slice(&rest[..len]);
        self.read.set(self.read.get() + len as u64);
        Ok(len)
    }
}

/// The bytes of each chunk that a walk by lengths finds, with digest and CRC-16 made good.
fn resealed(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(parts) = super::mend::Parts::of(&bytes[at..]) {
        let end = at + parts.payload.end + 2;
        if end > bytes.len() {
            return;
        }
        let frame = &mut bytes[at..end];
        let covered = parts.covered(frame, |tlv| tlv < TlvType::DIGEST);
        if let Some((_, tlv)) =
            parts.tlvs.iter().find(|(tlv, range)| *tlv == TlvType::DIGEST && range.len() == 36)
        {
            frame[tlv.start + 4..tlv.end].copy_from_slice(&sha256(&[&covered]));
        }
        let crc = crc16(&frame[4..parts.payload.end]);
        frame[parts.payload.end..].copy_from_slice(&crc.to_be_bytes());
        at = end;
    }
}

/// A ledger by the spec.
#[derive(Default)]
struct Naive {
    /// Where each chunk starts and ends, its first position, and its digest.
    chunks: Vec<(u64, u64, u64, [u8; 32])>,
    tokens: Vec<u32>,
    passkeys: BTreeSet<u64>,
    spans: BTreeMap<String, (u64, u64)>,
    same: Option<([u8; 8], Option<Vec<u8>>, bool)>,
    /// What is wrong with the first chunk that does not pass.
    error: Option<(u64, Error)>,
    /// How far that chunk came.
    stage: Stage,
}

/// What the first chunk that does not pass fails as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Frame,
    Chunk,
    /// Its id or start.
    Place,
    Ledger,
}

impl Naive {
    fn end(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.1)
    }

    /// As far as chunks pass.
    fn read(bytes: &[u8]) -> Self {
        let mut ledger = Self::default();
        while ledger.end() < bytes.len() as u64 {
            let at = ledger.end();
            if let Err(error) = ledger.push(&bytes[usize::try_from(at).unwrap()..]) {
                ledger.error = Some((at, error.nested(at)));
                break;
            }
        }
        ledger
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stage = Stage::Frame;
        let (frame, _) = Frame::parse(bytes)?;
        self.stage = Stage::Chunk;
        let chunk = Chunk::from_frame(&frame)?;
        self.stage = Stage::Place;
        let value = frame.tlv(TlvType::LEDGER_CHUNK).unwrap().value_offset();
        let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
        let (id, start) = (self.chunks.len() as u64, self.tokens.len() as u64);
        if chunk.id() != id {
            return Err(Error::new(shape("LEDGER_CHUNK_V1.chunk_id", id, chunk.id()), value));
        }
        if chunk.start() != start {
            return Err(Error::new(shape("LEDGER_CHUNK_V1.start", start, chunk.start()), value + 8));
        }
        self.stage = Stage::Ledger;
        let context = frame.tlv(TlvType::CONTEXT).map(|tlv| tlv.value.to_vec());
        let same = (frame.ctx().0, context, frame.tlv(TlvType::HMAC).is_some());
        let first = self.same.get_or_insert_with(|| same.clone());
        if (first.0, &first.1) != (same.0, &same.1) {
            return Err(Error::new(ErrorKind::ContextDiffers, 4));
        }
        if first.2 != same.2 {
            let after = frame.tlvs().find(|tlv| tlv.tlv_type >= TlvType::HMAC);
            let at = after.map_or(frame.payload_offset() - 3, |tlv| tlv.offset);
            return Err(Error::new(ErrorKind::MixedHmac, at));
        }
        let mut at = frame.tlv(TlvType::LEDGER_MARKS).map_or(0, |tlv| tlv.value_offset() + 4);
        for position in chunk.marks().passkeys() {
            if self.passkeys.contains(&position) {
                return Err(Error::new(ErrorKind::Duplicate { field: "a passkey's position" }, at));
            }
            at += 8;
        }
        for span in chunk.marks().spans() {
            if self.spans.contains_key(span.name) {
                return Err(Error::new(ErrorKind::Duplicate { field: "a span's name" }, at));
            }
            at += 18 + span.name.len() as u64;
        }
        self.passkeys.extend(chunk.marks().passkeys());
        self.spans.extend(chunk.marks().spans().map(|span| (span.name.into(), (span.start, span.len))));
        let end = self.end() + frame.as_bytes().len() as u64;
        self.chunks.push((self.end(), end, start, *chunk.digest()));
        self.tokens.extend(chunk.tokens());
        Ok(())
    }

    /// Whether what does not pass, beyond what was committed, is what a crash can leave: the table of spec/ledger.md.
    fn torn(&self, ledger: &[u8], indexed: bool) -> bool {
        let Some((at, error)) = self.error else { return true };
        let rest = &ledger[usize::try_from(at).unwrap()..];
        match self.stage {
            Stage::Frame => {
                if !indexed
                    && self.chunks.is_empty()
                    && !rest.starts_with(&crate::frame::MAGIC[..rest.len().min(4)])
                {
                    return false;
                }
                let torn = match error.kind() {
                    ErrorKind::Magic { .. } => indexed || !(rest.starts_with(b"BIT") && rest[3] > 1),
                    ErrorKind::CriticalTlv { .. } | ErrorKind::ReservedTlv { .. } => !good_crc(rest),
                    kind => matches!(
                        kind.name(),
                        "Truncated" | "TlvOrder" | "ConfigNotFirst" | "TlvLength" | "Crc" | "Digest"
                    ),
                };
                torn && (indexed || !self.goes_on(ledger, at))
            }
            Stage::Place => indexed,
            Stage::Chunk => indexed && matches!(error.kind(), ErrorKind::Kind { .. }),
            Stage::Ledger => false,
        }
    }

    /// Whether a whole chunk of this ledger follows the first byte of the one that does not pass.
    fn goes_on(&self, bytes: &[u8], at: u64) -> bool {
        let from = usize::try_from(at).unwrap() + 1;
        (from..bytes.len()).any(|at| {
            Frame::parse(&bytes[at..]).is_ok_and(|(frame, _)| {
                let same = self.same.as_ref().is_none_or(|same| same.0 == frame.ctx().0);
                same && Chunk::from_frame(&frame).is_ok_and(|chunk| chunk.id() >= self.chunks.len() as u64)
            })
        })
    }

    /// Whether the index is the one of these chunks.
    fn agrees(&self, index: &Index<'_>, header: bool) -> bool {
        let count = self.chunks.len() as u64;
        let digests: Vec<_> = self.chunks.iter().map(|chunk| chunk.3).collect();
        let ends = self.chunks.iter().skip(1).map(|chunk| chunk.2).chain([self.tokens.len() as u64]);
        let lens: Vec<u64> = self.chunks.iter().zip(ends).map(|(chunk, end)| end - chunk.2).collect();
        let anchors = (0..count).step_by(index.anchor_stride() as usize).map(|id| {
            let (offset, _, start, digest) = self.chunks[id as usize];
            (id, start, offset, lens[id as usize], digest[..8].to_vec())
        });
        let theirs = index
            .anchors()
            .map(|a| (a.chunk_id, a.start, a.offset, u64::from(a.len), a.digest_prefix.to_vec()));
        let passkeys = self.passkeys.iter().map(|&position| {
            let id = self.chunks.iter().rposition(|chunk| chunk.2 <= position).unwrap();
            let offset = position - self.chunks[id].2;
            (position, id as u64, offset, self.tokens[position as usize])
        });
        let marked = index.passkeys().map(|p| (p.position, p.chunk_id, u64::from(p.offset), p.token));
        let spans = self.spans.iter().map(|(name, &(start, len))| (&**name, start, len));
        let frame = index.frame();
        let same =
            (frame.ctx().0, frame.context_json().map(<[u8]>::to_vec), frame.tlv(TlvType::HMAC).is_some());
        index.chunk_count() == count
            && index.total_tokens() == self.tokens.len() as u64
            && index.ledger_len() == self.end()
            && u64::from(index.chunk_tokens()) == lens.iter().copied().max().unwrap_or(0)
            && *index.root() == root(&digests)
            && anchors.eq(theirs)
            && passkeys.eq(marked)
            && spans.eq(index.spans().map(|span| (span.name, span.start, span.len)))
            && (!header || self.same.as_ref().is_none_or(|own| *own == same))
    }
}

/// Whether a frame of whatever TLVs has a good CRC.
fn good_crc(bytes: &[u8]) -> bool {
    let (mut at, mut payload) = (12, None);
    for _ in 0..256 {
        let Some(&[tlv_type, hi, lo]) = bytes.get(at..at + 3) else { return false };
        let len = usize::from(u16::from_be_bytes([hi, lo]));
        let Some(value) = bytes.get(at + 3..at + 3 + len) else { return false };
        at += 3 + len;
        if payload.is_none() {
            if tlv_type != TlvType::CONFIG || len != 24 {
                return false;
            }
            payload = value.last_chunk().map(|&len| u64::from_be_bytes(len));
        } else if tlv_type == TlvType::END && len == 0 {
            let end = payload.and_then(|len| usize::try_from(len).ok()?.checked_add(at + 2));
            return end.and_then(|end| bytes.get(4..end)).is_some_and(|covered| crc16(covered) == 0);
        }
    }
    false
}

/// Which error, of which chunk, what and where; the text of the system's errors is of no interest.
fn verdict<T>(result: Result<T, LedgerError>) -> Result<T, (Option<u64>, Error)> {
    result.map_err(|error| match error {
        LedgerError::Damaged { chunk, error } => (Some(chunk), error),
        LedgerError::Index(error) => (None, error),
        other => panic!("{other:?}"),
    })
}

/// [`LedgerReader::new`] on a ledger and an index of any bytes: tokens, torn tail and damage are those of a walk by the
/// spec, from memory and from elsewhere, and no more is read than the bytes there are, a few times.
pub fn recovery(data: &[u8]) {
    let mut choices = Choices(data);
    let (index_len, how) = (u16::from_le_bytes(choices.array()), choices.byte());
    let mut ledger = choices.0.to_vec();
    let mut index = (index_len != 0xFFFF)
        .then(|| ledger.split_off(ledger.len() - usize::from(index_len).min(ledger.len())));
    if how & 1 != 0 {
        resealed(&mut ledger);
    }
    if how & 2 != 0
        && let Some(index) = &mut index
    {
        resealed(index);
    }
    both(&ledger, index.as_deref());
}

fn both(ledger: &[u8], index: Option<&[u8]>) {
    let elsewhere = Elsewhere { bytes: ledger, read: Cell::new(0) };
    let here = verdict(LedgerReader::new(ledger, index));
    let there = verdict(LedgerReader::new(&elsewhere, index));
    let read = elsewhere.read.get();
    let most = 20 * ledger.len() as u64 + (4 << 20);
    assert!(read <= most, "{read} bytes read of {}", ledger.len());

    let naive = Naive::read(ledger);
    let (here, there) = match (here, there) {
        (Ok(here), Ok(there)) => (here, there),
        (Err((chunk, error)), Err(there)) => {
            assert_eq!((chunk, error), there);
            plausible(&error, ledger.len().max(index.map_or(0, <[u8]>::len)));
            return refused(ledger, index, &naive, chunk, error);
        }
        (here, there) => panic!("{:?} {:?}", here.err(), there.err()),
    };
    assert_eq!((here.tail(), here.index_state()), (there.tail(), there.index_state()));
    assert_eq!((here.chunk_count(), here.total_tokens()), (there.chunk_count(), there.total_tokens()));
    assert_eq!((here.ledger_len(), here.is_signed()), (there.ledger_len(), there.is_signed()));

    let committed = index.map_or(0, |index| Index::parse_exact(index).unwrap().ledger_len());
    let mut damaged = false;
    for id in 0..here.chunk_count() {
        let (own, other) = (verdict(here.chunk(id)), verdict(there.chunk(id)));
        assert_eq!(own, other);
        match own {
            Ok(frame) => {
                let chunk = Chunk::parse_exact(&frame).unwrap();
                assert_eq!(chunk.id(), id);
                for (position, token) in (chunk.start()..).zip(chunk.tokens()) {
                    assert_eq!(verdict(here.recall(position)), Ok(token));
                    if position % 5 == 0 {
                        assert_eq!(verdict(there.recall(position)), Ok(token));
                    }
                }
            }
            Err((chunk, _)) => {
                assert_eq!(chunk, Some(id));
                damaged = true;
            }
        }
    }
    let verified = verdict(here.verify_on(1, |_| ()));
    let tokens = verdict(here.recall_range(0..here.total_tokens()));
    if naive.end() >= committed {
        // All that was committed passes, so that all that passes is there.
        let state = match index {
            None => IndexState::Missing,
            Some(index) => match naive.chunks.len() as u64 - Index::parse_exact(index).unwrap().chunk_count()
            {
                0 => IndexState::Current,
                chunks => IndexState::Stale { chunks },
            },
        };
        assert_eq!(here.index_state(), state);
        assert_eq!(here.ledger_len(), naive.end());
        assert_eq!(tokens.as_ref(), Ok(&naive.tokens));
        let tail = here.tail().map(|tail| (tail.offset, tail.error));
        assert_eq!(tail, naive.error);
        assert_eq!(here.tail().map_or(0, |tail| tail.len), ledger.len() as u64 - naive.end());
        assert!(!damaged);
        assert!(naive.torn(ledger, index.is_some()), "damage is taken for a torn tail");
        match verified {
            Ok(verified) => {
                let digests: Vec<_> = naive.chunks.iter().map(|chunk| chunk.3).collect();
                assert_eq!((verified.root, verified.tokens), (root(&digests), naive.tokens.len() as u64));
                for (name, &(start, len)) in &naive.spans {
                    let span = here.span(name).unwrap();
                    assert_eq!((span.start, span.len), (start, len));
                }
                let passkeys = here.passkeys().unwrap();
                assert!(passkeys.iter().map(|p| p.position).eq(naive.passkeys.iter().copied()));
                assert!(passkeys.iter().all(|p| naive.tokens[p.position as usize] == p.token));
                written(&here, &naive);
            }
            // The token of a passkey in the index is only looked at when the passkey is.
            Err((chunk, error)) => {
                assert_eq!((chunk, error.kind()), (None, ErrorKind::ForeignIndex { field: "a passkey" }));
                let index = Index::parse_exact(index.unwrap()).unwrap();
                assert!(index.passkeys().any(|p| naive.tokens[p.position as usize] != p.token));
            }
        }
    } else {
        // Only headers were read; the damage is found by whoever looks.
        assert!(damaged && verified.is_err() && tokens.is_err());
    }
}

/// The index that a reader makes is the ledger's.
fn written(reader: &LedgerReader<&[u8]>, naive: &Naive) {
    let Ok(bytes) = reader.index(3) else { return };
    let index = Index::parse_exact(&bytes).unwrap();
    assert!(naive.agrees(&index, true));
}

/// A ledger that was refused had to be.
fn refused(ledger: &[u8], index: Option<&[u8]>, naive: &Naive, chunk: Option<u64>, error: Error) {
    match (index, chunk) {
        (None, chunk) => {
            assert_eq!(
                (chunk, Some(error)),
                (Some(naive.chunks.len() as u64), naive.error.map(|(_, error)| error))
            );
            let at = naive.end();
            let rest = ledger.len() as u64 - at;
            let magics = ledger[usize::try_from(at).unwrap()..]
                .windows(4)
                .filter(|four| **four == crate::frame::MAGIC);
            // A rest that was made to cost much counts as damage.
            let cheap = magics.count() as u64 * rest * 5 <= 1 << 20;
            assert!(!cheap || !naive.torn(ledger, false), "a torn tail is taken for damage");
        }
        (Some(bytes), None) => match Index::parse_exact(bytes) {
            Err(own) => assert_eq!(own, error),
            Ok(index) => {
                let len = index.ledger_len();
                let cut = matches!(error.kind(), ErrorKind::LedgerCut { .. });
                assert!(cut || matches!(error.kind(), ErrorKind::ForeignIndex { .. }), "{error}");
                assert_eq!(cut, len > ledger.len() as u64);
                if len == 0 {
                    // Of no chunks: held to what the first one has.
                    let frame = index.frame();
                    let context = frame.context_json().map(<[u8]>::to_vec);
                    let same = (frame.ctx().0, context, frame.tlv(TlvType::HMAC).is_some());
                    assert!(naive.same.as_ref().is_some_and(|own| *own != same), "{error}");
                } else if naive.end() >= len && naive.chunks.iter().any(|chunk| chunk.1 == len) {
                    let covered = Naive::read(&ledger[..usize::try_from(len).unwrap()]);
                    assert!(!covered.agrees(&index, true), "{error}");
                }
            }
        },
        (Some(bytes), Some(chunk)) => {
            // Damage is what does not pass before the committed length, and what no crash leaves.
            let len = Index::parse_exact(bytes).unwrap().ledger_len();
            let first = (naive.chunks.len() as u64, naive.end());
            assert!(first.1 < len || !naive.torn(ledger, true), "{error}");
            assert!(chunk >= first.0 && error.offset() >= first.1);
        }
    }
}

//! Chunks and indexes as frames.

use alloc::vec::Vec;

use super::mend::mended;
use super::{Choices, plausible, second_ledger, turn};
use crate::error::ErrorKind;
use crate::frame::{ContextHash, Frame, FrameHeader, TlvType};
use crate::ledger::{
    Chunk, ChunkBuilder, ChunkHeader, Encoding, Index, Span, encode_marks, encoded_marks_len,
};

/// [`Chunk::from_frame`]: tokens and marks are those of a second reader that goes bit by bit, and what a writer could have
/// written is written again to the byte. Then chunks made of the input as numbers.
pub fn chunk(data: &[u8]) {
    made(data);
    let view = |frame: &Frame<'_>| Chunk::from_frame(frame).map(|_| ());
    let Some(bytes) = mended(data, view, second_ledger::chunk) else { return };
    let chunk = Chunk::parse_exact(&bytes).unwrap();
    let (naive, _) = second_ledger::chunk_parts(&bytes).unwrap();
    read_alike(&chunk, &naive);
    rewritten(&chunk, &naive, &bytes);

    let header = FrameHeader::parse(&bytes).unwrap();
    let header = ChunkHeader::from_header(&header).unwrap();
    assert_eq!((header.id(), header.start(), header.len()), (chunk.id(), chunk.start(), chunk.len()));
    assert_eq!(header.header().frame_len().unwrap(), bytes.len() as u64);
    assert_eq!(header.header().claimed_digest(), Some(chunk.digest()));
    header.check_follows(naive.id, naive.start).unwrap();
    for (id, start, at) in [(naive.id ^ 1, naive.start, 0), (naive.id, naive.start ^ 1, 8)] {
        let error = header.check_follows(id, start).unwrap_err();
        let value = chunk.frame().tlv(TlvType::LEDGER_CHUNK).unwrap().value_offset();
        assert_eq!((error.kind().name(), error.offset()), ("Shape", value + at));
    }
}

fn read_alike(chunk: &Chunk<'_>, naive: &second_ledger::Chunk) {
    let tokens = &naive.tokens;
    assert_eq!((chunk.id(), chunk.start(), chunk.len() as usize), (naive.id, naive.start, tokens.len()));
    assert_eq!(chunk.end(), naive.start + tokens.len() as u64);
    assert!(chunk.tokens().eq(tokens.iter().copied()));
    assert!(chunk.tokens().rev().eq(tokens.iter().rev().copied()));
    for (i, token) in tokens.iter().enumerate() {
        assert_eq!(chunk.token(i as u32), Some(*token));
    }
    for beyond in [chunk.len(), u32::MAX] {
        assert!(chunk.token(beyond).is_none() || beyond < chunk.len());
    }
    let len = tokens.len();
    for (from, to) in [(0, len), (len / 3, len), (1, len / 2), (len - 1, len), (len, len), (7, 8), (3, 20)] {
        if from <= to && to <= len {
            let mut out = alloc::vec![0xA5A5_A5A5; to - from];
            chunk.decode_into(from as u32, &mut out).unwrap();
            assert_eq!(out, tokens[from..to]);
        }
    }
    let mut out = [0xA5A5_A5A5; 2];
    for first in [chunk.len() - 1, chunk.len(), u32::MAX] {
        let error = chunk.decode_into(first, &mut out).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
    }
    assert_eq!(out, [0xA5A5_A5A5; 2]);
    assert!(chunk.marks().passkeys().eq(naive.passkeys.iter().copied()));
    let spans = naive.spans.iter().map(|(name, start, len)| Span { name, start: *start, len: *len });
    assert!(chunk.marks().spans().eq(spans));
    assert_eq!(chunk.marks().is_empty(), naive.passkeys.is_empty() && naive.spans.is_empty());
}

fn rewritten(chunk: &Chunk<'_>, naive: &second_ledger::Chunk, bytes: &[u8]) {
    let spans: Vec<_> =
        naive.spans.iter().map(|(name, start, len)| Span { name, start: *start, len: *len }).collect();
    let mut marks = alloc::vec![0; encoded_marks_len(&naive.passkeys, &spans).unwrap()];
    let len = encode_marks(&naive.passkeys, &spans, chunk.end(), &mut marks).unwrap();
    assert_eq!(len, marks.len());
    let frame = chunk.frame();
    let written = frame.tlv(TlvType::LEDGER_MARKS);
    match written {
        Some(tlv) => assert_eq!(tlv.value, marks),
        None => assert!(chunk.marks().is_empty()),
    }
    // What the builder of chunks has no say in.
    let plain = frame.tlvs().all(|tlv| matches!(tlv.tlv_type, 1 | 2 | 0x10 | 0x80 | 0x81 | 0xF0))
        && frame.tlv(TlvType::FLAGS).is_some_and(|tlv| tlv.value == [0; 4]);
    if !plain {
        return;
    }
    let mut builder = ChunkBuilder::new(frame.ctx(), naive.id, naive.start, chunk.encoding());
    if let Some(json) = frame.context_json() {
        builder = builder.context_json(json);
    }
    if written.is_some() {
        builder = builder.marks(&marks);
    }
    assert_eq!(builder.encode(&naive.tokens).unwrap(), bytes);
}

/// Tokens of a width, in every encoding that holds them.
fn made(data: &[u8]) {
    let mut choices = Choices(data);
    let (shift, start) = (u32::from(choices.byte() % 33), u64::from_le_bytes(choices.array()));
    let tokens: Vec<u32> = choices
        .0
        .as_chunks()
        .0
        .iter()
        .take(if turn(data, 64) { 300 } else { 30 })
        .map(|&bytes| u32::from_le_bytes(bytes).checked_shr(shift).unwrap_or(0))
        .collect();
    let widest = tokens.iter().map(|token| 32 - token.leading_zeros()).max().unwrap_or(0).max(1);
    let len = tokens.len() as u64;
    let packed = |bits: u32| (len * u64::from(bits)).div_ceil(8);
    let raw = if widest <= 16 { (Encoding::RawU16, 2 * len) } else { (Encoding::RawU32, 4 * len) };
    let least = Encoding::Packed { bits: widest as u8 };
    let smallest = if raw.1 <= packed(widest) { raw.0 } else { least };
    assert_eq!(Encoding::smallest(&tokens), smallest);
    let all = (0..=33).map(|bits| Encoding::Packed { bits }).chain([Encoding::RawU16, Encoding::RawU32]);
    let likely = |encoding: &Encoding| match encoding {
        Encoding::Packed { bits } => u32::from(*bits).abs_diff(widest) < 2,
        _ => true,
    };
    for encoding in all.filter(|encoding| turn(data, 16) || likely(encoding)) {
        let fits = match encoding {
            Encoding::Packed { bits } => u32::from(bits) >= widest && bits <= 32,
            Encoding::RawU16 => widest <= 16,
            Encoding::RawU32 => true,
        };
        let builder = ChunkBuilder::new(ContextHash([7; 8]), 3, start, encoding);
        match builder.encode(&tokens) {
            Ok(bytes) => {
                assert!(fits && len > 0 && start.checked_add(len).is_some());
                let (naive, read) = second_ledger::chunk_parts(&bytes).unwrap();
                assert_eq!(read, bytes.len());
                assert_eq!((naive.id, naive.start, &naive.tokens), (3, start, &tokens));
                read_alike(&Chunk::parse_exact(&bytes).unwrap(), &naive);
            }
            Err(error) => {
                assert!(!fits || len == 0 || start.checked_add(len).is_none(), "{error}");
                plausible(&error, 0);
            }
        }
    }
}

/// [`Index::from_frame`]: what it lists is what a second reader finds, and what it looks up is found by going through the
/// list.
pub fn index(data: &[u8]) {
    let view = |frame: &Frame<'_>| Index::from_frame(frame).map(|_| ());
    let Some(bytes) = mended(data, view, second_ledger::index) else { return };
    let index = Index::parse_exact(&bytes).unwrap();
    let (naive, _) = second_ledger::index_parts(&bytes).unwrap();
    let anchors: Vec<_> = index
        .anchors()
        .map(|a| (a.chunk_id, a.start, a.offset, u64::from(a.len), u64::from_be_bytes(a.digest_prefix)))
        .collect();
    assert_eq!(anchors, naive.anchors);
    let fields =
        |p: crate::ledger::Passkey| (p.position, p.chunk_id, u64::from(p.offset), u64::from(p.token));
    assert_eq!(index.passkeys().map(fields).collect::<Vec<_>>(), naive.passkeys);
    let spans: Vec<_> = index.spans().map(|span| (span.name.into(), span.start, span.len)).collect();
    assert_eq!(spans, naive.spans);

    let near = |x: u64| [x.wrapping_sub(1), x, x.wrapping_add(1)];
    let mut positions: Vec<u64> = [0, naive.total].into_iter().flat_map(near).collect();
    let some = if turn(data, 8) { 99 } else { 4 };
    positions.extend(naive.anchors.iter().take(some).flat_map(|anchor| near(anchor.1)));
    positions.extend(naive.passkeys.iter().take(some).flat_map(|passkey| near(passkey.0)));
    for position in positions {
        let anchor = naive.anchors.iter().rev().find(|anchor| anchor.1 <= position && position < naive.total);
        assert_eq!(index.anchor_of(position).map(|anchor| anchor.chunk_id), anchor.map(|anchor| anchor.0));
        let passkey = naive.passkeys.iter().find(|passkey| passkey.0 == position);
        assert_eq!(index.passkey(position).map(fields).as_ref(), passkey);
        // An index is no ledger.
        if let Err(error) = index.find(&bytes, position) {
            plausible(&error, bytes.len());
        }
    }
    for (name, start, len) in naive.spans.iter().take(some) {
        assert_eq!(index.span(name), Some(Span { name, start: *start, len: *len }));
        for other in [alloc::format!("{name}\0"), name.chars().skip(1).collect()] {
            let there = naive.spans.iter().any(|(name, ..)| *name == other);
            assert_eq!(index.span(&other).is_some(), there);
        }
    }
}

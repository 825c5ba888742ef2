//! The views and the writers against one small ledger.
extern crate alloc;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::frame::{ContextHash, Frame};

// Two chunks and their index, written by a few lines of Python from the tables of spec/ledger.md with struct, hashlib
// and binascii.crc_hqx: tokens 5, 6, 7, 300 in 9 bits; then 1, 65535 raw, with the passkey 3 and the span "ab" = 0 + 4;
// an anchor for every chunk.
const CHUNK_0: &str = "\
    4249540155f685fba6d1833e0100180102000000000001000000050000000000000000000000050200040000000010001800\
    00000000000000000000000000000000000004010900008000307b2264696d223a302c226d6f64656c5f6964223a22222c22\
    70695f6964223a22222c2273706163655f6964223a22227df000210182e20f5a7bfeabd0f5675674888d8ee930e7e84dd387\
    0181d30fe976d2d2bb9aff0000050c1c6009b50e";
const CHUNK_1: &str = "\
    4249540155f685fba6d1833e0100180103000000000001000000020000000000000000000000040200040000000010001800\
    00000000000001000000000000000400000002000000008000307b2264696d223a302c226d6f64656c5f6964223a22222c22\
    70695f6964223a22222c2273706163655f6964223a22227d8100200001000100000000000000030000000000000000000000\
    000000000400026162f000210172d6ca9d9cad4194151eb97a960fe07de719a1dfd4e6620b5768e12ad2591b61ff00000100\
    ffff757d";
const INDEX: &str = "\
    4249540155f685fba6d1833e0100180200000000000000000000000000000000000000000000820200040000000011005800\
    00000000000006000000000000000200000000000001760000000400000001000000020000000100000001000000028d4290\
    5d68c0ca657432336f11e63abb2dd4c75ba042b6f1cd7058b6b1446ea300000000000000008000307b2264696d223a302c22\
    6d6f64656c5f6964223a22222c2270695f6964223a22222c2273706163655f6964223a22227dff0000000000000000000000\
    000000000000000000000000000000040000000000000082e20f5a7bfeabd001000000000000000400000000000000aa0000\
    0000000000020000000000000072d6ca9d9cad419403000000000000000000000000000000030000002c0100000000000000\
    0000000400000000000000000000000200000061620233";
const CONTEXT: &[u8] = br#"{"dim":0,"model_id":"","pi_id":"","space_id":""}"#;

#[allow(clippy::unwrap_used)]
fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn ledger() -> Vec<u8> {
    [bytes(CHUNK_0), bytes(CHUNK_1)].concat()
}

#[test]
fn chunks_read() {
    let (first, second) = (bytes(CHUNK_0), bytes(CHUNK_1));
    let chunk = Chunk::parse_exact(&first).unwrap();
    assert_eq!((chunk.id(), chunk.start(), chunk.len(), chunk.end()), (0, 0, 4, 4));
    assert_eq!(chunk.encoding(), Encoding::Packed { bits: 9 });
    assert!(chunk.tokens().eq([5, 6, 7, 300]) && chunk.tokens().rev().eq([300, 7, 6, 5]));
    assert_eq!([0, 3, 4, u32::MAX].map(|i| chunk.token(i)), [Some(5), Some(300), None, None]);
    assert!(chunk.marks().is_empty());

    let chunk = Chunk::parse_exact(&second).unwrap();
    assert_eq!((chunk.id(), chunk.start(), chunk.end(), chunk.encoding()), (1, 4, 6, Encoding::RawU16));
    assert!(chunk.tokens().eq([1, 65535]));
    assert!(chunk.marks().passkeys().eq([3]));
    assert!(chunk.marks().spans().eq([Span { name: "ab", start: 0, len: 4 }]));
    assert!(chunk.marks().spans().map(|span| span.end()).eq([4]));
    assert_eq!(Span { name: "ab", start: u64::MAX - 1, len: 4 }.end(), u64::MAX);
    let mut out = [7; 2];
    chunk.decode_into(0, &mut out).unwrap();
    assert_eq!(out, [1, 65535]);
    chunk.decode_into(1, &mut out[..1]).unwrap();
    assert_eq!(out, [65535, 65535]);
    chunk.decode_into(2, &mut []).unwrap();
    for first in [1, 2, u32::MAX] {
        let error = chunk.decode_into(first, &mut out).unwrap_err();
        assert!(matches!(error.kind(), crate::ErrorKind::PastEnd { end: 2, .. }), "{error}");
    }
}

#[test]
fn chunks_write() {
    let ctx = ContextHash::of(CONTEXT);
    let builder = ChunkBuilder::new(ctx, 0, 0, Encoding::smallest(&[5, 6, 7, 300])).context_json(CONTEXT);
    let (mut scratch, mut out) = ([0; 5], [0; 170]);
    assert_eq!(builder.encode_into(&[5, 6, 7, 300], &mut scratch, &mut out).unwrap(), 170);
    assert_eq!(&out[..], bytes(CHUNK_0));
    assert!(builder.encode_into(&[5, 6, 7, 300], &mut scratch[..4], &mut out).is_err());
    assert!(builder.encode_into(&[5, 6, 7, 300], &mut scratch, &mut out[..169]).is_err());
    assert!(builder.encode_into(&[], &mut scratch, &mut out).is_err());
    let error = builder.encode_into(&[5, 512], &mut scratch, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "token 512 (number 1) does not fit 9 bits");

    let mut marks = [0; 32];
    let len = encode_marks(&[3], &[Span { name: "ab", start: 0, len: 4 }], 6, &mut marks).unwrap();
    let builder = ChunkBuilder::new(ctx, 1, 4, Encoding::smallest(&[1, 65535])).context_json(CONTEXT);
    let mut out = [0; 204];
    let len = builder.marks(&marks[..len]).encode_into(&[1, 65535], &mut [0; 4], &mut out).unwrap();
    assert_eq!(&out[..len], bytes(CHUNK_1));
    let at_the_end = ChunkBuilder::new(ctx, 1, u64::MAX, Encoding::RawU16);
    assert!(at_the_end.encode_into(&[1], &mut [0; 4], &mut [0; 204]).is_err());
}

#[test]
fn encodings_are_chosen_by_bytes() {
    use Encoding::{Packed, RawU16, RawU32};
    for (tokens, expected) in [
        (&[0, 0, 0][..], Packed { bits: 1 }),
        (&[1, 2, 3], Packed { bits: 2 }),
        (&[256], RawU16),                  // 9 bits are 2 bytes too
        (&[256, 256], Packed { bits: 9 }), // 3 bytes against 4
        (&[65535, 1], RawU16),
        (&[1 << 23], Packed { bits: 24 }),
        (&[1 << 24], RawU32), // 25 bits are 4 bytes too
        (&[u32::MAX, 0], RawU32),
        (&[65536; 8], Packed { bits: 17 }),
    ] {
        assert_eq!(Encoding::smallest(tokens), expected, "{tokens:?}");
    }
}

#[test]
fn a_chunk_has_up_to_2_to_the_32_less_1_tokens_and_packed_bytes() {
    let most = u64::from(u32::MAX);
    let too_large = |field, found| Err(Error::caller(ErrorKind::TooLarge { field, max: most, found }));
    assert_eq!(Encoding::RawU16.payload_len(most), Ok(2 * most));
    assert_eq!(Encoding::RawU32.payload_len(most), Ok(4 * most));
    let packed = |bits| Encoding::Packed { bits };
    assert_eq!(packed(8).payload_len(most), Ok(most));
    for encoding in [Encoding::RawU16, Encoding::RawU32, packed(1)] {
        let refused = too_large("the number of tokens of a chunk", most + 1);
        assert_eq!(encoding.payload_len(most + 1), refused);
    }
    // 9 bits: the last number of tokens whose bytes have room, and the next one.
    let last = most * 8 / 9;
    assert_eq!(packed(9).payload_len(last), Ok((last * 9).div_ceil(8)));
    assert_eq!(
        packed(9).payload_len(last + 1),
        too_large("the bytes of a bit-packed chunk", ((last + 1) * 9).div_ceil(8))
    );
    for bits in [0, 33] {
        assert!(packed(bits).payload_len(1).is_err());
    }
}

#[test]
fn index_reads() {
    let (index, ledger) = (bytes(INDEX), ledger());
    let index = Index::parse_exact(&index).unwrap();
    assert_eq!((index.total_tokens(), index.chunk_count(), index.ledger_len()), (6, 2, 374));
    assert_eq!((index.chunk_tokens(), index.anchor_stride()), (4, 1));
    let anchors: Vec<_> = index.anchors().map(|a| (a.chunk_id, a.start, a.offset, a.len)).collect();
    assert_eq!(anchors, [(0, 0, 0, 4), (1, 4, 170, 2)]);
    assert_eq!([0, 3, 4, 5].map(|p| index.anchor_of(p).unwrap().chunk_id), [0, 0, 1, 1]);
    assert_eq!(index.anchor_of(6), None);
    let passkey = Passkey { position: 3, chunk_id: 0, offset: 3, token: 300 };
    assert!(index.passkeys().eq([passkey]));
    assert_eq!((index.passkey(3), index.passkey(2)), (Some(passkey), None));
    let span = Span { name: "ab", start: 0, len: 4 };
    assert_eq!((index.span("ab"), index.span("a"), index.span("ac")), (Some(span), None, None));

    for (position, token) in [5, 6, 7, 300, 1, 65535].into_iter().enumerate() {
        let (_, chunk) = index.find(&ledger, position as u64).unwrap();
        assert_eq!(chunk.token((position as u64 - chunk.start()) as u32), Some(token));
    }
    assert_eq!(index.find(&ledger, 6).unwrap_err().kind().name(), "Unknown");
    assert_eq!(index.find(&ledger[..373], 0).unwrap_err().kind().name(), "ForeignIndex");
    let mut swapped = [bytes(CHUNK_1), bytes(CHUNK_0)].concat();
    assert!(index.find(&swapped, 5).is_err());
    swapped.clone_from(&ledger);
    swapped[160] ^= 1;
    assert!(index.find(&swapped, 0).is_err());
    index.find(&swapped, 5).unwrap();
}

#[test]
fn an_anchor_every_second_chunk_serves_both() {
    let ledger = ledger();
    let mut builder = IndexBuilder::new(2).unwrap();
    for (frame, at) in [(&ledger[..170], 0), (&ledger[170..], 170)] {
        let chunk = Chunk::parse_exact(frame).unwrap();
        assert_eq!(builder.ledger_len(), at);
        builder.push_chunk(&chunk, chunk.digest()).unwrap();
    }
    let index = builder.encode(ContextHash::of(CONTEXT), Some(CONTEXT)).unwrap();
    let index = Index::parse_exact(&index).unwrap();
    assert_eq!((builder.anchor_stride(), index.anchor_stride()), (2, 2));
    assert_eq!(index.anchors().len(), 1);
    for (position, at) in [(0, 0), (3, 0), (4, 170), (5, 170)] {
        assert_eq!(index.find(&ledger, position).unwrap().0, at);
    }
}

#[test]
fn index_writes() {
    let ledger = ledger();
    let mut builder = IndexBuilder::new(1).unwrap();
    let first = Chunk::parse_exact(&ledger[..170]).unwrap();
    let second = Chunk::parse_exact(&ledger[170..]).unwrap();
    assert!(builder.push_chunk(&second, second.digest()).is_err());
    builder.push_chunk(&first, first.digest()).unwrap();
    assert!(builder.push_chunk(&first, first.digest()).is_err());
    builder.push_chunk(&second, second.digest()).unwrap();
    let passkey = Passkey { position: 3, chunk_id: 0, offset: 3, token: 300 };
    builder.push_passkey(passkey).unwrap();
    assert!(builder.push_passkey(passkey).is_err());
    builder.push_span(Span { name: "ab", start: 0, len: 4 }).unwrap();
    assert!(builder.push_span(Span { name: "ab", start: 1, len: 1 }).is_err());
    let index = builder.encode(ContextHash::of(CONTEXT), Some(CONTEXT)).unwrap();
    assert_eq!(index, bytes(INDEX));
    let index = Index::parse_exact(&index).unwrap();
    assert_eq!((builder.anchor_stride(), builder.chunk_tokens()), (1, 4));
    assert_eq!((builder.chunk_count(), builder.total_tokens(), builder.ledger_len()), (2, 6, 374));
    assert_eq!(builder.root(), *index.root());
    assert!(builder.passkeys().eq([passkey]));
    assert!(builder.spans().eq([Span { name: "ab", start: 0, len: 4 }]));
    builder.check(&index).unwrap();
    builder.push_span(Span { name: "b", start: 0, len: 1 }).unwrap();
    assert_eq!(builder.check(&index).unwrap_err().kind(), crate::ErrorKind::ForeignIndex { field: "a span" });
    assert!(IndexBuilder::new(0).is_err());
}

#[test]
fn the_empty_ledger_has_an_index() {
    let index = IndexBuilder::new(8).unwrap().encode(ContextHash::of(CONTEXT), Some(CONTEXT)).unwrap();
    let index = Index::parse_exact(&index).unwrap();
    assert_eq!((index.total_tokens(), index.anchors().len()), (0, 0));
    // SHA-256 of nothing.
    assert_eq!(index.root()[..4], [0xE3, 0xB0, 0xC4, 0x42]);
    assert_eq!(index.find(&[], 0).unwrap_err().kind().name(), "Unknown");
}

#[test]
fn views_refuse_other_kinds() {
    let (chunk, index) = (bytes(CHUNK_0), bytes(INDEX));
    let (chunk, index) = (Frame::parse_exact(&chunk).unwrap(), Frame::parse_exact(&index).unwrap());
    assert_eq!(Chunk::from_frame(&index).unwrap_err().kind().name(), "Kind");
    assert_eq!(Index::from_frame(&chunk).unwrap_err().kind().name(), "Kind");
}

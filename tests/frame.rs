//! The frame's promises, from outside: round trips, tampering, lying lengths.
#![cfg(all(feature = "alloc", feature = "hmac"))]

mod common;

use bitwire::frame::{ContextHash, Element, Frame, FrameBuilder, Frames, Key, Kind, TlvType};
use bitwire::{Error, ErrorKind};
use common::{config, fix_crc, full_frame, key, set_flags, whole_tlv};
use proptest::prelude::*;

fn parse_error(bytes: &[u8]) -> Error {
    Frame::parse_exact(bytes).expect_err("accepted")
}

#[test]
fn every_part_reads_back() {
    let bytes = full_frame();
    let (frame, rest) = Frame::parse(&bytes).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frame.as_bytes(), bytes);
    assert_eq!(frame.kind(), Kind::BEACON);
    assert_eq!(frame.payload(), [32, 0, 0xC0, 0xFF]);
    assert_eq!(frame.payload_offset() % 64, 0);
    assert!(frame.flags().authenticated());
    assert!(frame.digest().is_some());
    assert_eq!(frame.tlv(0x90).unwrap().value, b"a later version's");
    let types: Vec<u8> = frame.tlvs().map(|tlv| tlv.tlv_type).collect();
    assert_eq!(types, [0x01, 0x02, 0x80, 0x90, 0xF0, 0xF1, 0xFE]);
    let authentic = frame.verify(&key()).unwrap();
    assert_eq!(authentic.payload(), frame.payload());
}

#[test]
fn every_truncation_is_an_error_within_the_bytes_there() {
    let bytes = full_frame();
    for len in 0..bytes.len() {
        let error = parse_error(&bytes[..len]);
        let ErrorKind::Truncated { needed, available, .. } = error.kind() else { panic!("{len}: {error}") };
        assert!(needed > available && error.offset() <= len as u64, "{len}: {error}");
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let mut bytes = full_frame();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::parse_exact(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Frame::parse_exact(&bytes).unwrap();
}

#[test]
fn no_flipped_bit_survives_a_fixed_crc_and_a_key() {
    let good = full_frame();
    let key = key();
    let mut reached_the_mac = 0;
    // The magic is not under the MAC, and is checked as such; the CRC is fixed each time.
    for bit in 4 * 8..(good.len() - 2) * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fix_crc(&mut bytes);
        let result = Frame::parse(&bytes).and_then(|(frame, _)| frame.verify(&key).map(|_| ()));
        reached_the_mac += usize::from(result.unwrap_err().kind() == ErrorKind::Hmac);
    }
    // Its own 256 bits; and three flips of DIGEST_V1's type make it a TLV that may be skipped (E0, D0, B0), which
    // leaves a small frame without the digest it need not have. The digest stops all others.
    assert_eq!(reached_the_mac, 256 + 3);
}

#[test]
fn without_a_digest_the_mac_covers_every_bit() {
    let key = key();
    let good = FrameBuilder::new(ContextHash([7; 8]), config(2), &[1, 2, 3, 4])
        .align_payload(64)
        .sign(&key)
        .encode()
        .unwrap();
    for bit in 4 * 8..(good.len() - 2) * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fix_crc(&mut bytes);
        assert!(Frame::parse(&bytes).and_then(|(frame, _)| frame.verify(&key)).is_err(), "bit {bit}");
    }
}

#[test]
fn wrong_keys_and_equivalent_keys() {
    let bytes = full_frame();
    let frame = Frame::parse_exact(&bytes).unwrap();
    let (hmac_at, _) = whole_tlv(&bytes, TlvType::HMAC);
    for bit in 0..128 {
        let mut other = *b"0123456789abcdef";
        other[bit / 8] ^= 1 << (bit % 8);
        let error = frame.verify(&Key::new(&other).unwrap()).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Hmac, hmac_at as u64 + 4));
    }
    // RFC 2104: a key and the same key with zero bytes behind it are one key.
    frame.verify(&Key::new(b"0123456789abcdef\0\0").unwrap()).unwrap();
    for len in [0, 15, 65, 1000] {
        let error = Key::new(&vec![1; len]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyLength { found: len as u64 });
    }
    assert_eq!(format!("{:?}", key()), "Key(..)");
}

#[test]
fn a_stripped_mac_is_no_way_past_a_key() {
    let mut bytes = full_frame();
    let (at, tlv) = whole_tlv(&bytes, TlvType::HMAC);
    bytes.drain(at..at + tlv.len());
    fix_crc(&mut bytes);
    let (flags_at, _) = whole_tlv(&full_frame(), TlvType::FLAGS);
    assert_eq!(parse_error(&bytes), Error::new(ErrorKind::FlagsHmac { hmac: false }, flags_at as u64 + 3));

    // Whoever strips it properly fixes flags and digest too.
    let frame = full_frame();
    let frame = Frame::parse_exact(&frame).unwrap();
    let twin = FrameBuilder::new(frame.ctx(), *frame.config(), frame.payload()).encode().unwrap();
    let error = Frame::parse_exact(&twin).unwrap().verify(&key()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HmacMissing);
    assert_eq!(error.offset(), twin.len() as u64 - 4 - 2 - 3);
}

#[test]
fn moved_and_duplicated_tlvs_are_refused() {
    let good = full_frame();
    let (hmac_at, hmac) = whole_tlv(&good, TlvType::HMAC);
    let insert = |at: usize, tlv: &[u8]| {
        let mut bytes = good.clone();
        bytes.splice(at..at, tlv.iter().copied());
        fix_crc(&mut bytes);
        parse_error(&bytes)
    };
    let twice = insert(hmac_at + hmac.len(), &hmac);
    assert_eq!(twice.kind(), ErrorKind::TlvOrder { found: 0xF1, after: 0xF1 });
    assert_eq!(twice.offset(), (hmac_at + hmac.len()) as u64);
    for tlv_type in [TlvType::CONFIG, TlvType::FLAGS, TlvType::CONTEXT, TlvType::DIGEST] {
        let (at, tlv) = whole_tlv(&good, tlv_type);
        let error = insert(at + tlv.len(), &tlv);
        assert_eq!(error.kind(), ErrorKind::TlvOrder { found: tlv_type, after: tlv_type });
    }
    let moved = insert(12, &hmac);
    assert_eq!(moved, Error::new(ErrorKind::ConfigNotFirst { found: 0xF1 }, 12));
    let (flags_at, _) = whole_tlv(&good, TlvType::FLAGS);
    let early = insert(flags_at, &hmac);
    assert_eq!(early.kind(), ErrorKind::TlvOrder { found: TlvType::FLAGS, after: 0xF1 });
}

#[test]
fn a_mac_of_another_frame_or_purpose_fails() {
    let key = key();
    let sign = |payload: &[u8]| {
        FrameBuilder::new(ContextHash([1; 8]), config(1), payload).sign(&key).encode().unwrap()
    };
    let (mut a, b) = (sign(&[1, 2]), sign(&[1, 3]));
    let (at, tlv) = whole_tlv(&b, TlvType::HMAC);
    a[at..at + tlv.len()].copy_from_slice(&tlv);
    fix_crc(&mut a);
    assert_eq!(Frame::parse_exact(&a).unwrap().verify(&key).unwrap_err().kind(), ErrorKind::Hmac);
}

#[test]
fn flags_lie() {
    for (flags, expected) in [
        (0, ErrorKind::FlagsHmac { hmac: true }),
        (1 << 3, ErrorKind::FlagBits { found: 1 << 3 }),
        (1 << 15 | 1, ErrorKind::FlagBits { found: 1 << 15 | 1 }),
    ] {
        // Without a digest, which would notice first.
        let key = key();
        let mut bytes =
            FrameBuilder::new(ContextHash([1; 8]), config(1), &[1, 2]).sign(&key).encode().unwrap();
        set_flags(&mut bytes, flags);
        fix_crc(&mut bytes);
        assert_eq!(parse_error(&bytes), Error::new(expected, 42));
    }
}

#[test]
fn lying_payload_lengths() {
    let good = FrameBuilder::new(ContextHash([1; 8]), config(1), &[1, 2]).encode().unwrap();
    let payload_at = good.len() as u64 - 4;
    for lie in [
        3,
        4,
        5,
        0x7FFF_FFFF,
        0x8000_0000,
        u64::from(u32::MAX),
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ] {
        let mut bytes = good.clone();
        bytes[31..39].copy_from_slice(&lie.to_be_bytes());
        let error = parse_error(&bytes);
        let expected = ErrorKind::Truncated {
            field: "payload with CRC-16",
            needed: lie.saturating_add(2),
            available: 4,
        };
        assert_eq!(error, Error::new(expected, payload_at), "{lie}");
    }
    for lie in [0u64, 1] {
        let mut bytes = good.clone();
        bytes[31..39].copy_from_slice(&lie.to_be_bytes());
        assert!(matches!(parse_error(&bytes).kind(), ErrorKind::Crc { .. }));
    }
}

#[test]
fn many_tiny_tlvs_cost_linear_time_and_no_memory() {
    // The most TLVs there can be: types strictly increase, so a walk ends after 256 whatever follows.
    let mut bytes = b"BIT\x01\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([1, 0, 24]);
    bytes.extend([0; 24]);
    for tlv_type in (0x80..=0xEF).filter(|tlv_type| *tlv_type != 0x81) {
        bytes.extend([tlv_type, 0, 0]);
    }
    bytes.extend([0xFF, 0, 0, 0, 0]);
    fix_crc(&mut bytes);
    let error = parse_error(&bytes);
    assert_eq!(error.kind(), ErrorKind::ContextHash);
    let mut endless = bytes[..39].to_vec();
    endless.extend([0x90, 0, 0].repeat(1_000_000));
    assert_eq!(parse_error(&endless), Error::new(ErrorKind::TlvOrder { found: 0x90, after: 0x90 }, 42));
}

#[test]
fn digest_is_mandatory_above_4093_bytes_and_for_ledger_chunks() {
    // 8 ctx + 27 CONFIG + 7 FLAGS + 3 END + payload, from ctx on.
    let frame = |kind, len: usize| {
        let config = bitwire::frame::Config { kind, element: Element::U8, delta_q16: 0, ..config(1) };
        FrameBuilder::new(ContextHash([0; 8]), config, &vec![0; len]).encode().unwrap()
    };
    assert!(Frame::parse_exact(&frame(Kind::BEACON, 4048)).unwrap().digest().is_none());
    assert!(Frame::parse_exact(&frame(Kind::BEACON, 4049)).unwrap().digest().is_some());
    assert!(Frame::parse_exact(&frame(Kind::LEDGER_CHUNK, 0)).unwrap().digest().is_some());
    for bytes in [frame(Kind::BEACON, 4049), frame(Kind::LEDGER_CHUNK, 0)] {
        let (at, tlv) = whole_tlv(&bytes, TlvType::DIGEST);
        let mut stripped = bytes.clone();
        stripped.drain(at..at + tlv.len());
        fix_crc(&mut stripped);
        assert_eq!(parse_error(&stripped), Error::new(ErrorKind::DigestMissing, at as u64));
    }
}

#[test]
fn frames_in_a_row_and_what_follows() {
    let one = full_frame();
    let three = one.repeat(3);
    let offsets: Vec<u64> = Frames::new(&three).map(|frame| frame.unwrap().0).collect();
    assert_eq!(offsets, [0, one.len() as u64, 2 * one.len() as u64]);

    let mut damaged = three.clone();
    damaged[one.len() + 50] ^= 1;
    let mut frames = Frames::new(&damaged);
    assert!(frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert!(error.offset() > one.len() as u64, "counts from the start of the buffer");
    assert!(frames.next().is_none(), "nothing after the first error");

    let mut trailing = one.clone();
    trailing.extend([0, 0, 0]);
    assert_eq!(parse_error(&trailing), Error::new(ErrorKind::TrailingBytes { count: 3 }, one.len() as u64));
    let (_, rest) = Frame::parse(&trailing).unwrap();
    assert_eq!(rest, [0, 0, 0]);
    assert!(Frames::new(&[]).next().is_none());
}

#[test]
fn a_buffer_at_any_address_gives_the_same() {
    let bytes = full_frame();
    let mut padded = vec![0; bytes.len() + 8];
    for shift in 0..8 {
        padded[shift..shift + bytes.len()].copy_from_slice(&bytes);
        let (frame, _) = Frame::parse(&padded[shift..shift + bytes.len()]).unwrap();
        frame.verify(&key()).unwrap();
    }
}

#[test]
fn the_builder_refuses_what_a_reader_would() {
    let builder = || FrameBuilder::new(ContextHash([0; 8]), config(1), &[0, 0]);
    let kind = |result: bitwire::Result<FrameBuilder<'_>>| result.unwrap_err().kind();
    assert_eq!(kind(builder().tlv(0x05, &[])), ErrorKind::CriticalTlv { found: 5 });
    assert_eq!(kind(builder().tlv(0xF5, &[])), ErrorKind::ReservedTlv { found: 0xF5 });
    for own in [0x01, 0x02, 0xF0, 0xF1, 0xFE, 0xFF] {
        assert_eq!(kind(builder().tlv(own, &[])), ErrorKind::TlvOrder { found: own, after: own });
    }
    let twice = builder().tlv(0x90, &[]).unwrap().tlv(0x90, &[]);
    assert_eq!(kind(twice), ErrorKind::TlvOrder { found: 0x90, after: 0x90 });
    assert_eq!(kind(builder().tlv(0x03, &[0; 31])), ErrorKind::TlvLength { tlv: 3, needed: 32, found: 31 });
    let long = vec![0; 65_536];
    assert!(matches!(kind(builder().tlv(0x90, &long)), ErrorKind::TooLarge { max: 65_535, .. }));
    let mut crowded = builder();
    for tlv_type in 0x90..0x98 {
        crowded = crowded.tlv(tlv_type, &[]).unwrap();
    }
    assert!(matches!(kind(crowded.tlv(0x98, &[])), ErrorKind::TooLarge { max: 8, .. }));
    assert_eq!(kind(builder().context_json(b"{}")), ErrorKind::ContextHash);
    assert_eq!(kind(builder().tlv(TlvType::CONTEXT, b"{}")), ErrorKind::ContextHash);

    let stepless = bitwire::frame::Config { delta_q16: 0, ..config(1) };
    let error = FrameBuilder::new(ContextHash([0; 8]), stepless, &[0, 0]).encode().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeltaQ16 { element: 1, found: 0 });
    let len = builder().encoded_len().unwrap();
    let error = builder().encode_into(&mut vec![0; len - 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BufferTooSmall { needed: len as u64, available: len as u64 - 1 });
    assert_eq!(builder().encode_into(&mut vec![0; len + 9]).unwrap(), len);
}

#[test]
fn contexts_compare_whole_where_both_carry_them() {
    let frame = |json: Option<&[u8]>, ctx| {
        let builder = FrameBuilder::new(ctx, config(1), &[0, 0]);
        match json {
            Some(json) => builder.context_json(json).unwrap().encode().unwrap(),
            None => builder.encode().unwrap(),
        }
    };
    let (a, b) = (&b"{\"dim\":1}"[..], &b"{\"dim\":2}"[..]);
    let (ctx_a, ctx_b) = (ContextHash::of(a), ContextHash::of(b));
    let same = |x: &[u8], y: &[u8]| {
        Frame::parse_exact(x).unwrap().check_same_context(&Frame::parse_exact(y).unwrap()).is_ok()
    };
    let (carried, bare, other) = (frame(Some(a), ctx_a), frame(None, ctx_a), frame(Some(b), ctx_b));
    assert!(same(&carried, &carried) && same(&carried, &bare) && same(&bare, &bare));
    assert!(!same(&carried, &other) && !same(&bare, &other) && !same(&bare, &frame(None, ctx_b)));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let tlvs =
        proptest::collection::btree_map(0x82u8..=0xEF, proptest::collection::vec(any::<u8>(), 0..40), 0..6);
    let payload = proptest::collection::vec(any::<u8>(), 0..200);
    let pad = prop_oneof![Just(0u16), Just(8), Just(64), Just(4096)];
    (any::<u8>(), any::<[u32; 2]>(), any::<[u8; 8]>(), tlvs, payload, pad, any::<[bool; 4]>()).prop_map(
        |(kind, [rows, dim], ctx, tlvs, payload, pad, [digest, sign, alert, baseline])| {
            let element = Element::from_code(kind % 10).unwrap();
            let delta_q16 = if element == Element::I16 { dim.max(1) } else { 0 };
            let config = bitwire::frame::Config::new(Kind(kind), element, rows, dim, delta_q16);
            let key = key();
            let mut builder = FrameBuilder::new(ContextHash(ctx), config, &payload)
                .drift_flags(alert, baseline)
                .align_payload(pad);
            for (tlv_type, value) in &tlvs {
                builder = builder.tlv(*tlv_type, value).unwrap();
            }
            if digest {
                builder = builder.digest();
            }
            if sign {
                builder = builder.sign(&key);
            }
            let bytes = builder.encode().unwrap();
            assert_eq!(bytes.len(), builder.encoded_len().unwrap());
            let frame = Frame::parse_exact(&bytes).unwrap();
            assert_eq!(frame.payload(), payload);
            assert_eq!(frame.config().rows, rows);
            assert!(pad == 0 || frame.payload_offset().is_multiple_of(u64::from(pad)));
            for (tlv_type, value) in &tlvs {
                assert_eq!(frame.tlv(*tlv_type).unwrap().value, value);
            }
            assert_eq!(frame.verify(&key).is_ok(), sign);
            bytes
        },
    )
}

proptest! {
    #[test]
    fn encode_of_parse_is_the_same_bytes(bytes in any_frame()) {
        let frame = Frame::parse_exact(&bytes).unwrap();
        prop_assert_eq!(frame.to_builder().encode().unwrap(), bytes);
    }

    #[test]
    fn changed_bytes_parse_to_themselves_or_to_an_error_inside(
        bytes in any_frame(), at in any::<prop::sample::Index>(), byte in any::<u8>(), fix in any::<bool>(),
    ) {
        let mut bytes = bytes;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if fix {
            fix_crc(&mut bytes);
        }
        match Frame::parse(&bytes) {
            Ok((frame, rest)) => {
                let again = frame.to_builder().encode().unwrap();
                prop_assert_eq!(&again[..], frame.as_bytes());
                prop_assert_eq!(again.len() + rest.len(), bytes.len());
            }
            Err(error) => prop_assert!(error.offset() <= bytes.len() as u64),
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = b"BIT\x01".to_vec();
        framed.extend(&bytes);
        for input in [&bytes, &framed] {
            if let Err(error) = Frame::parse(input) {
                prop_assert!(error.offset() <= input.len() as u64);
            }
        }
    }
}

//! The envelope: what a reader accepts, a writer writes, and nothing else passes for it.

use alloc::vec::Vec;

use blake2::{Blake2b, Digest, digest::consts::U32};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::mend::{Parts, mended};
use super::{plausible, second_reader, turn};
use crate::error::{Error, ErrorKind};
use crate::frame::{Frame, Frames, Key, Kind, TlvType, crc16};

const KEY: &[u8] = b"0123456789abcdef";

/// [`Frame::parse`]: an accepted frame is written again to the byte, each of its prefixes is truncated, each of its
/// bits matters, it is found twice in a row, and it can be signed.
pub fn frame(data: &[u8]) {
    let first = Frame::parse_exact(data);
    if let Err(error) = &first {
        plausible(error, data.len());
    }
    let Some(bytes) = mended(data, |_| Ok(()), second_reader::frame) else {
        assert!(first.is_err());
        return;
    };
    if first.is_ok() {
        assert_eq!(bytes, data, "a good frame was mended");
    }
    let (frame, rest) = Frame::parse(&bytes).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frame.as_bytes(), bytes);
    assert_eq!(frame.to_builder().encode().unwrap(), bytes);

    parts(&frame);
    walks(&bytes);
    prefixes(&bytes, data);
    flips(&bytes, data);
    signing(&frame);
    // Any answer will do, but it has to come, and its place has to lie in the frame.
    if let Err(error) = frame.check_content() {
        plausible(&error, bytes.len());
    }
}

/// The view's parts are those of an independent walk.
fn parts(frame: &Frame<'_>) {
    let bytes = frame.as_bytes();
    let parts = Parts::of(bytes).unwrap();
    assert_eq!(frame.payload(), &bytes[parts.payload.clone()]);
    assert_eq!(frame.payload_offset(), parts.payload.start as u64);
    assert_eq!(parts.payload.end + 2, bytes.len());
    assert!(parts.tlvs.is_sorted_by(|(a, _), (b, _)| a < b));
    let own: Vec<_> = parts.tlvs.iter().map(|(tlv, range)| (*tlv, range.start as u64, range.len())).collect();
    let mut seen: Vec<_> = frame.tlvs().map(|tlv| (tlv.tlv_type, tlv.offset, tlv.value.len() + 3)).collect();
    seen.push((TlvType::END, parts.payload.start as u64 - 3, 3));
    assert_eq!(own, seen);
    for tlv in frame.tlvs() {
        let at = usize::try_from(tlv.value_offset()).unwrap();
        assert_eq!(tlv.value, &bytes[at..at + tlv.value.len()]);
        assert_eq!(frame.tlv(tlv.tlv_type), Some(tlv));
    }
    assert_eq!(crc16(&bytes[4..]), 0);
    let routing: [u8; 32] = Blake2b::<U32>::digest(&bytes[..bytes.len() - 2]).into();
    assert_eq!(frame.routing_key().as_bytes(), &routing);

    // From ctx through the payload, without DIGEST_V1.
    let size = bytes.len() - 6 - frame.digest().map_or(0, |_| 36);
    assert!(frame.digest().is_some() || (size <= 4093 && frame.kind() != Kind::LEDGER_CHUNK));
    if let Some(digest) = frame.digest() {
        assert_eq!(digest[..], Sha256::digest(parts.covered(bytes, |tlv| tlv < TlvType::DIGEST))[..]);
    }
}

fn walks(bytes: &[u8]) {
    let len = bytes.len() as u64;
    let twice = bytes.repeat(2);
    let found: Vec<_> = Frames::new(&twice).map(|frame| frame.map(|(at, f)| (at, f.as_bytes()))).collect();
    assert_eq!(found, [Ok((0, bytes)), Ok((len, bytes))]);

    let mut more = bytes.to_vec();
    more.push(0xB1);
    let error = Frame::parse_exact(&more).unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::TrailingBytes { count: 1 }, len));
    let mut frames = Frames::new(&more);
    assert!(frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Truncated { .. }) && error.offset() == len);
    assert!(frames.next().is_none());
}

fn prefixes(bytes: &[u8], data: &[u8]) {
    // Sometimes all of a short frame, and of a long one every so many bytes; tests/exhaustive has all of them.
    let step = if turn(data, 16) { bytes.len() / 4096 + 1 } else { bytes.len() / 8 };
    for len in (data.len() % step..bytes.len()).step_by(step) {
        let error = Frame::parse(&bytes[..len]).unwrap_err();
        let ErrorKind::Truncated { needed, available, .. } = error.kind() else {
            panic!("{len} of {}: {error}", bytes.len())
        };
        assert!(error.offset() <= len as u64 && needed > available, "{error}");
        assert_eq!(available, len as u64 - error.offset());
    }
}

/// One or two flipped bits, or a burst of up to 16, in a frame short enough for CRC-16 to promise that it finds them.
fn flips(bytes: &[u8], data: &[u8]) {
    if bytes.len() > 4 + 4095 {
        return;
    }
    let seed = crate::frame::RoutingKey::of(data);
    let (words, _) = seed.as_bytes().as_chunks::<4>();
    let bit = |word: [u8; 4]| u32::from_le_bytes(word) as usize % (bytes.len() * 8);
    let check = |bits: &[usize]| {
        let mut bytes = bytes.to_vec();
        bits.iter().for_each(|bit| bytes[bit / 8] ^= 0x80 >> (bit % 8));
        assert!(Frame::parse_exact(&bytes).is_err(), "flipped bits {bits:?} pass");
    };
    for pair in words.chunks(2).take(if turn(data, 8) { 4 } else { 1 }) {
        let (one, two) = (bit(pair[0]), bit(pair[1]));
        check(&[one]);
        if one != two {
            check(&[one, two]);
        }
        let burst: Vec<_> = (0..16)
            .filter(|i| *i == 0 || pair[1][i / 8] >> (i % 8) & 1 == 1)
            .map(|i| one + i)
            .filter(|bit| *bit < bytes.len() * 8)
            .collect();
        check(&burst);
    }
}

/// A signature verifies under its key alone, and is the HMAC of what spec/frame.md says.
fn signing(frame: &Frame<'_>) {
    let (key, other) = (Key::new(KEY).unwrap(), Key::new(b"another key, 16+").unwrap());
    let bytes = frame.as_bytes();
    let signed = frame.to_builder().sign(&key).encode().unwrap();
    let again = Frame::parse_exact(&signed).unwrap();
    let parts = Parts::of(&signed).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(&parts.covered(&signed, |tlv| !matches!(tlv, TlvType::HMAC | TlvType::END)));
    let tlv = again.tlv(TlvType::HMAC).unwrap();
    assert_eq!(tlv.value[1..], mac.finalize().into_bytes()[..]);
    assert!(again.verify(&key).is_ok());
    let place = tlv.value_offset() + 1;
    assert_eq!(again.verify(&other).unwrap_err(), Error::new(ErrorKind::Hmac, place));
    assert_eq!(
        (again.payload(), again.ctx(), again.config()),
        (frame.payload(), frame.ctx(), frame.config())
    );

    match frame.verify(&key) {
        Ok(_) => assert_eq!(signed, bytes),
        Err(error) if error.kind() == ErrorKind::Hmac => {
            // Only the tag differs, and it stands where the error says.
            assert_eq!(error.offset(), place);
            let at = usize::try_from(place).unwrap();
            let mut fixed = bytes.to_vec();
            fixed[at..at + 32].copy_from_slice(&tlv.value[1..]);
            let end = fixed.len() - 2;
            let crc = crc16(&fixed[4..end]);
            fixed[end..].copy_from_slice(&crc.to_be_bytes());
            assert_eq!(fixed, signed);
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::HmacMissing);
            plausible(&error, bytes.len());
            let stripped = again.to_builder().drift_flags(again.flags().alert(), again.flags().baseline());
            assert!(Frame::parse_exact(&stripped.encode().unwrap()).unwrap().verify(&key).is_err());
        }
    }
}

//! Frames to test with.
#![allow(dead_code)] // each test binary uses its share

use bitwire::frame::{Config, Context, Element, Frame, FrameBuilder, Key, Kind, TlvType, crc16};

pub(crate) const KEY: &[u8] = b"0123456789abcdef";

pub(crate) fn key() -> Key {
    Key::new(KEY).unwrap()
}

pub(crate) fn config(dim: u32) -> Config {
    Config::new(Kind::BEACON, Element::I16, 1, dim, 1024)
}

/// A beacon of two components with context, flags, an unknown TLV, digest, HMAC and padding: every part a frame can have.
pub(crate) fn full_frame() -> Vec<u8> {
    let context = Context::new("space", "model", "pi", 2).unwrap();
    FrameBuilder::new(context.hash(), config(2), &[32, 0, 0xC0, 0xFF])
        .context_json(context.as_str().as_bytes())
        .unwrap()
        .tlv(0x90, b"a later version's")
        .unwrap()
        .digest()
        .align_payload(64)
        .sign(&key())
        .encode()
        .unwrap()
}

/// Makes the CRC good again, as anyone can who tampers with a frame.
pub(crate) fn fix_crc(frame: &mut [u8]) {
    let at = frame.len() - 2;
    let crc = crc16(&frame[4..at]);
    frame[at..].copy_from_slice(&crc.to_be_bytes());
}

/// The bytes of one TLV, type and length included, and where they start.
pub(crate) fn whole_tlv(frame: &[u8], tlv_type: u8) -> (usize, Vec<u8>) {
    let parsed = Frame::parse(frame).unwrap().0;
    let tlv = parsed.tlvs().find(|tlv| tlv.tlv_type == tlv_type).unwrap();
    let start = tlv.offset as usize;
    (start, frame[start..start + 3 + tlv.value.len()].to_vec())
}

/// FLAGS_V1 rewritten.
pub(crate) fn set_flags(frame: &mut [u8], flags: u32) {
    let (at, _) = whole_tlv(frame, TlvType::FLAGS);
    frame[at + 3..at + 7].copy_from_slice(&flags.to_be_bytes());
}

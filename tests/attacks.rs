//! Inputs made to break readers, one idea each. Most ideas come from published advisories on readers of this kind.
#![cfg(all(feature = "std", feature = "hmac"))]
// Tests state expectations by panicking.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unreachable_pub)]
mod common;
#[allow(unreachable_pub)]
#[path = "common/largest.rs"]
mod largest;

use bitwire::beacon::stats::Sigma;
use bitwire::beacon::{Beacon, CalibrationBuilder, WindowOptions};
use bitwire::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Frames, Kind, TlvType};
use bitwire::io::Cause;
use bitwire::io::measure;
use bitwire::io::npy::MatrixReader;
use bitwire::{Error, ErrorKind};
use common::{config, fix_crc, full_frame};
use largest::largest;

fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.extend(data);
    bytes
}

fn format_error<T: std::fmt::Debug>(result: Result<T, Cause>) -> Error {
    match result {
        Err(Cause::Format(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A beacon of `dim` components with the statistics in `calibration`.
fn beacon(config: Config, payload: &[u8], calibration: &[u8]) -> Vec<u8> {
    let builder = FrameBuilder::new(ContextHash([0; 8]), config, payload);
    builder.tlv(TlvType::CALIB_STATS, calibration).unwrap().encode().unwrap()
}

fn refusal(frame: &[u8]) -> Error {
    Beacon::from_frame(&Frame::parse_exact(frame).unwrap()).map(|_| ()).unwrap_err()
}

/// A header of 100 bytes that claims a row of gigabytes must not have memory set aside for the row's statistics.
#[test]
fn a_wide_matrix_costs_no_more_than_what_there_is_of_it() {
    for shape in ["(4, 50000000)", "(2, 4294967295)", "(1, 50000000)"] {
        for fortran in ["False", "True"] {
            let file = npy("<f4", fortran, shape, &[0; 64]);
            let most = largest(|| {
                let mut matrix = MatrixReader::new(&file[..]).unwrap();
                let error = format_error(measure::measure(
                    &mut matrix,
                    None,
                    WindowOptions::default(),
                    None,
                    |_, _| (),
                ));
                assert!(
                    matches!(error.kind(), ErrorKind::Truncated { available: 64, .. }),
                    "{shape}: {error}"
                );
                let mut matrix = MatrixReader::new(&file[..]).unwrap();
                let error = format_error(measure::mean(&mut matrix));
                assert!(
                    matches!(error.kind(), ErrorKind::Truncated { available: 64, .. }),
                    "{shape}: {error}"
                );
            });
            assert!(most < 1 << 20, "{shape}: {most} bytes");
        }
    }
}

/// rows * dim * 2 wraps 32 bits to 0, and 64 bits to something small: the first is compared in 64 bits, the second refused.
#[test]
fn products_that_wrap() {
    let frame = |rows, dim| {
        let config = Config { rows, dim, ..config(dim) };
        FrameBuilder::new(ContextHash([0; 8]), config, &[]).encode().unwrap()
    };
    for (rows, dim) in [(1 << 16, 1 << 15), (1 << 16, 1 << 16), (1 << 31, 1), (1 << 31, 1 << 31)] {
        let needed = u64::from(rows) * u64::from(dim) * 2;
        let kind = ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found: 0 };
        assert_eq!(refusal(&frame(rows, dim)), Error::new(kind, 15 + 16));
    }
    for (rows, dim) in [(u32::MAX, u32::MAX), (1 << 31, u32::MAX - 1)] {
        let error = refusal(&frame(rows, dim));
        let size = ErrorKind::Size { field: "payload" };
        let needed = u128::from(rows) * u128::from(dim) * 2;
        assert_eq!(error.kind() == size, needed > u128::from(u64::MAX), "{error}");
        assert_eq!(error.offset(), 15 + 16);
    }
}

/// Statistics whose own dim, kind or flags claim more, or less, than the TLV holds.
#[test]
fn statistics_that_lie_about_their_size() {
    let (mu, spread) = ([0.25, -0.25], [1.0, 0.5, 2.0]);
    let builder =
        CalibrationBuilder { sigma: Sigma::Full, mu: &mu, spread: &spread, w: 3.0, t0: 0.0, t1: 1.0 };
    let mut value = [0; 128];
    let len = builder.encode_into(&mut value).unwrap();
    assert_eq!(len, 32 + 8 + 12);
    let payload = [0; 4];
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut value = value[..len].to_vec();
        change(&mut value);
        refusal(&beacon(config(2), &payload, &value))
    };
    // CONFIG_V1 and FLAGS_V1 stand before it.
    let at = 12 + 27 + 7;
    let needs = |needed, found| Error::new(ErrorKind::TlvLength { tlv: 3, needed, found }, at + 1);
    assert_eq!(refused(&|value| value[0] = 0), needs(40, 52));
    assert_eq!(refused(&|value| value[0] = 1), needs(48, 52));
    assert_eq!(refused(&|value| value[0] = 2), needs(48, 52));
    assert_eq!(refused(&|value| value[1] = 0), needs(44, 52));
    assert_eq!(refused(&|value| value.truncate(51)), needs(52, 51));
    assert_eq!(refused(&|value| value.push(0)), needs(52, 53));
    let code = |field, found| ErrorKind::Code { field, found };
    assert_eq!(refused(&|value| value[0] = 4), Error::new(code("CALIB_STATS_V1.sigma_kind", 4), at + 3));
    assert_eq!(refused(&|value| value[1] = 2), Error::new(code("CALIB_STATS_V1.has_mu", 2), at + 4));
    for dim in [0u32, 1, 3, 0x7FFF_FFFF, 0x8000_0000, u32::MAX] {
        let kind = ErrorKind::Shape { field: "CALIB_STATS_V1.dim", needed: 2, found: dim.into() };
        assert_eq!(
            refused(&|value| value[4..8].copy_from_slice(&dim.to_be_bytes())),
            Error::new(kind, at + 7)
        );
    }
    // Not a number, infinite, negative or backwards, each named where it stands.
    for (place, bytes, field) in [
        (8, f64::NAN.to_be_bytes(), "w"),
        (8, f64::INFINITY.to_be_bytes(), "w"),
        (8, (-f64::MIN_POSITIVE).to_be_bytes(), "w"),
        (16, f64::NEG_INFINITY.to_be_bytes(), "t0"),
        (24, f64::NAN.to_be_bytes(), "t1"),
        (24, (-1e-300f64).to_be_bytes(), "t1"),
        (32, [0x7F, 0x80, 0, 1, 0, 0, 0, 0], "mu"),
        (36, [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0], "mu"),
        (44, [0x7F, 0x80, 0, 0, 0, 0, 0, 0], "sigma"),
    ] {
        let error = refused(&|value| {
            let width = 8.min(len - place);
            value[place..place + width].copy_from_slice(&bytes[..width]);
        });
        let ErrorKind::Number { field: found } = error.kind() else { panic!("{error}") };
        assert_eq!(
            (found, error.offset()),
            (format!("CALIB_STATS_V1.{field}").as_str(), at + 3 + place as u64)
        );
    }
    // Huge denormal and negative-zero values are values.
    let mut odd = value[..len].to_vec();
    odd[32..36].copy_from_slice(&1u32.to_be_bytes());
    odd[36..40].copy_from_slice(&0x8000_0000u32.to_be_bytes());
    let frame = beacon(config(2), &payload, &odd);
    let frame = Frame::parse_exact(&frame).unwrap();
    let mu: Vec<u32> =
        Beacon::from_frame(&frame).unwrap().calibration().unwrap().mu().unwrap().map(f32::to_bits).collect();
    assert_eq!(mu, [1, 0x8000_0000]);
}

/// Whatever the kind byte says, the envelope is checked and no typed view but its own takes it.
#[test]
fn every_kind_has_its_frame_and_only_one_view() {
    for kind in 0..=u8::MAX {
        let config = Config { kind: Kind(kind), element: Element::F32, delta_q16: 0, ..config(1) };
        let bytes = FrameBuilder::new(ContextHash([0; 8]), config, &[0; 4]).encode().unwrap();
        let frame = Frame::parse_exact(&bytes).unwrap();
        assert_eq!(frame.kind(), Kind(kind));
        let error = Beacon::from_frame(&frame).map(|_| ()).unwrap_err();
        if kind == 0 {
            assert_eq!(error, Error::new(ErrorKind::Code { field: "CONFIG_V1.element", found: 7 }, 16));
        } else {
            assert_eq!(error, Error::new(ErrorKind::Kind { needed: 0, found: kind }, 15));
        }
    }
    for tlv in [(TlvType::MIRROR, 48), (TlvType::GIST, 56), (TlvType::LEDGER_CHUNK, 24)] {
        let builder = FrameBuilder::new(ContextHash([0; 8]), config(1), &[0; 2]);
        let value = vec![0; tlv.1];
        let bytes = builder.tlv(tlv.0, &value).unwrap().encode().unwrap();
        assert_eq!(refusal(&bytes), Error::new(ErrorKind::ForeignTlv { tlv: tlv.0, kind: 0 }, 46));
    }
}

/// The whole first byte of each TLV header, and both length bytes, of a frame with every part: nothing but the original is
/// accepted, whatever CRC an attacker puts under it, unless the digest's TLV is renamed to one that may be skipped.
#[test]
fn every_byte_of_every_tlv_header() {
    let good = full_frame();
    let starts: Vec<usize> =
        Frame::parse_exact(&good).unwrap().tlvs().map(|tlv| usize::try_from(tlv.offset).unwrap()).collect();
    for start in starts {
        for at in start..start + 3 {
            for byte in 0..=u8::MAX {
                let mut bytes = good.clone();
                bytes[at] = byte;
                fix_crc(&mut bytes);
                match Frame::parse_exact(&bytes) {
                    Ok(frame) => assert!(bytes == good || frame.digest().is_none(), "byte {at} = {byte:02X}"),
                    Err(error) => assert!(error.offset() <= good.len() as u64),
                }
            }
        }
    }
}

/// Other magics, among them those of a later version and of the other byte order.
#[test]
fn every_other_magic_is_named() {
    let good = full_frame();
    for at in 0..4 {
        for byte in 0..=u8::MAX {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let found = [bytes[0], bytes[1], bytes[2], bytes[3]];
            assert!(
                bytes == good
                    || Frame::parse(&bytes).unwrap_err() == Error::new(ErrorKind::Magic { found }, 0)
            );
        }
    }
    let mut swapped = good;
    swapped[..4].reverse();
    let found = *b"\x01TIB";
    assert_eq!(Frame::parse(&swapped).unwrap_err(), Error::new(ErrorKind::Magic { found }, 0));
    let later = Frame::parse(b"BIT\x02").unwrap_err().to_string();
    assert_eq!(later, "a BIT frame of version 2; known is version 1 (at byte 0)");
}

/// Frames inside a frame's payload are payload, and a run of frames is walked once however many there are.
#[test]
fn frames_within_and_after_frames() {
    let inner = full_frame().repeat(20);
    let config = Config { kind: Kind(99), element: Element::U8, delta_q16: 0, ..config(1) };
    let outer = FrameBuilder::new(ContextHash([0; 8]), config, &inner).encode().unwrap();
    let twice = outer.repeat(2);
    let payloads: Vec<_> = Frames::new(&twice).map(|frame| frame.unwrap().1.payload()).collect();
    assert_eq!(payloads, [&inner[..], &inner[..]]);
    let least = FrameBuilder::new(ContextHash([0; 8]), config, &[]).encode().unwrap();
    let many = least.repeat(100_000);
    let mut count = 0;
    assert_eq!(largest(|| count = Frames::new(&many).filter(Result::is_ok).count()), 0);
    assert_eq!(count, 100_000);
}

fn context_error(text: &[u8]) -> Error {
    let error = Context::parse(text).unwrap_err();
    assert!(error.offset() <= text.len() as u64);
    error
}

/// A context fills its TLV with one thing: brackets, digits, members, escapes, bytes that are no UTF-8.
#[test]
fn contexts_of_64_kib() {
    let most = largest(|| {
        let n = 65_000;
        context_error("[".repeat(n).as_bytes());
        context_error("{\"a\":".repeat(n / 5).as_bytes());
        context_error(format!("{}{}", "[".repeat(n / 2), "]".repeat(n / 2)).as_bytes());
        context_error("9".repeat(n).as_bytes());
        context_error(format!("{{\"dim\":1{}}}", "0".repeat(n)).as_bytes());
        context_error(format!("{{\"dim\":1e{}}}", "9".repeat(n)).as_bytes());
        context_error(format!("{{\"dim\":0.{}1}}", "0".repeat(n)).as_bytes());
        context_error(format!("\"{}\"", "\\ud800".repeat(n / 6)).as_bytes());
        context_error("\n".repeat(n).as_bytes());
        context_error(&[0xFF; 65_000]);
        let members: Vec<String> = (0..n / 10).map(|i| format!("\"{i:05}\":1")).collect();
        context_error(format!("{{{}}}", members.join(",")).as_bytes());
        let members = "\"a\":1,".repeat(n / 6);
        let repeated = context_error(format!("{{{members}\"a\":1}}").as_bytes());
        assert_eq!(repeated.kind(), ErrorKind::Context { reason: "an object repeats a member" });
    });
    // Members are kept as strings and values: some tens of bytes for each of 10.
    assert!(most < 4 << 20, "{most}");
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
    let context = Context::with_members("", "", "", 1, &deep).unwrap();
    assert_eq!(Context::parse(context.as_str().as_bytes()).unwrap(), context);
    let deeper = format!("{{\"x\":{}{}}}", "[".repeat(101), "]".repeat(101));
    assert!(Context::with_members("", "", "", 1, &deeper).is_err());
}

/// The raw bytes of a context that is no text stay at hand, and its error names their place in the frame.
#[test]
fn a_context_that_is_no_text() {
    let json = b"{\"dim\":2,\"x\":\"\xF0\x9F\x98\"}";
    let ctx = ContextHash::of(json);
    let bytes = FrameBuilder::new(ctx, config(2), &[0; 4]).context_json(json).unwrap().encode().unwrap();
    let frame = Frame::parse_exact(&bytes).unwrap();
    assert_eq!(frame.context_json(), Some(&json[..]));
    let error = frame.context().unwrap_err();
    assert_eq!(error, Error::new(ErrorKind::Context { reason: "not UTF-8" }, 46 + 3 + 14));
    assert_eq!(frame.check_content(), Err(error));
}

/// The largest full triangle there is, and a step beyond.
#[test]
fn the_largest_statistics_are_read_in_bounded_memory() {
    let dim = 179usize;
    let (mu, spread) = (vec![1.5; dim], vec![0.5; dim * (dim + 1) / 2]);
    let builder =
        CalibrationBuilder { sigma: Sigma::Full, mu: &mu, spread: &spread, w: 9.0, t0: 0.0, t1: 0.0 };
    let mut value = vec![0; 1 << 16];
    let len = builder.encode_into(&mut value).unwrap();
    assert_eq!(len, 32 + 4 * dim + 2 * dim * (dim + 1));
    let bytes = beacon(config(179), &vec![0; 2 * dim], &value[..len]);
    let most = largest(|| {
        let frame = Frame::parse_exact(&bytes).unwrap();
        let beacon = Beacon::from_frame(&frame).unwrap();
        assert_eq!(beacon.calibration().unwrap().trace(), Some(0.5 * dim as f64));
    });
    assert_eq!(most, 0);
    let mu = vec![0.0; 181];
    let spread = vec![0.0; 181 * 182 / 2];
    let builder = CalibrationBuilder { mu: &mu, spread: &spread, ..builder };
    assert!(matches!(builder.encoded_len().unwrap_err().kind(), ErrorKind::TooLarge { max: 180, .. }));
}

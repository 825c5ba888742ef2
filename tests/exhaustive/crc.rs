//! What CRC-16/CCITT finds and what it does not, through the parser.
//!
//! The CRC is linear: an error passes if and only if the syndromes of its bits, which depend on their places alone, have the
//! exclusive or 0. So what holds of syndromes holds of every frame; that the parser's CRC has them is tested too.

use bitwire::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Kind, crc16};
use bitwire::{Error, ErrorKind};

use crate::envelope::{self, crc_step};
use crate::{Attack, Random, attacks, bytes, cases};

/// Bits of 4,095 bytes: DIGEST_V1 is mandatory where there are more from ctx to the end of the CRC.
const BITS: usize = 8 * 4095;

/// x^i modulo the polynomial, for every i up to `len`: the syndrome of the bit with i bits behind it, in a whole that ends
/// with its CRC.
fn syndromes(len: usize) -> Vec<u16> {
    // By the definition: a 1 with zeros behind it, divided bit by bit.
    core::iter::successors(Some(1u16), |rest| {
        Some(if rest & 0x8000 == 0 { rest << 1 } else { rest << 1 ^ 0x1021 })
    })
    .take(len)
    .collect()
}

#[test]
fn the_parsers_crc_has_these_syndromes() {
    let syndromes = syndromes(BITS);
    // The last two bytes are the CRC itself.
    let mut whole = vec![0; 4093];
    let of_nothing = crc16(&whole);
    for (i, syndrome) in syndromes.iter().enumerate().skip(16) {
        let bit = i - 16;
        let at = whole.len() - 1 - bit / 8;
        whole[at] ^= 1 << (bit % 8);
        assert_eq!(crc16(&whole) ^ of_nothing, *syndrome, "bit {i}");
        whole[at] ^= 1 << (bit % 8);
    }
    assert!(syndromes[..16].iter().enumerate().all(|(i, syndrome)| *syndrome == 1 << i));
}

/// The oracle's CRC is that of the definition, and the parser's.
#[test]
fn the_crcs_are_the_same() {
    let mut random = Random(1);
    for len in (0..300).chain([4093, 4095, 65_654]) {
        let bytes: Vec<u8> = (0..len).map(|_| random.word() as u8).collect();
        let defined = bytes.iter().fold(0xFFFF, |crc, byte| crc_step(crc, *byte));
        assert_eq!((envelope::crc(&bytes), crc16(&bytes)), (defined, defined), "{len}");
    }
}

/// Every error of two bits in up to 4,095 bytes is found: no two syndromes are the same. One of two bits with 32,767 bits from
/// one to the other is the first that is not.
#[test]
fn two_bits_up_to_4095_bytes() {
    let syndromes = syndromes(BITS + 9);
    let mut seen = vec![false; 1 << 16];
    for syndrome in &syndromes[..BITS] {
        assert!(!std::mem::replace(&mut seen[usize::from(*syndrome)], true));
    }
    assert!(!seen[0]);
    let again = syndromes.iter().skip(1).position(|syndrome| *syndrome == syndromes[0]);
    assert_eq!(again.map(|at| at + 1), Some(32_767));
    // 4,096 bytes have two such bits.
    const { assert!(BITS <= 32_767 && BITS + 8 > 32_767) };
}

/// Every error of an odd number of bits is found, at any length: x + 1 divides the polynomial, so each syndrome has an odd
/// number of bits (those of all lengths are the 32,767 of one period), and an odd number of them cannot cancel out.
#[test]
fn odd_numbers_of_bits_at_any_length() {
    // 1021 and x^16: an even number of terms, so that the polynomial is 0 at x = 1.
    assert_eq!(0x11021u32.count_ones() % 2, 0);
    let period = syndromes(32_768);
    assert_eq!(period[32_767], period[0]);
    assert!(period.iter().all(|syndrome| syndrome.count_ones() % 2 == 1));
}

/// Every burst of up to 16 bits is found, wherever it is: its syndrome is that of a number under 2^16 moved up.
#[test]
fn bursts_of_16_bits() {
    for burst in 1..=u16::MAX {
        // The register runs on without input: a 0 comes of nothing but 0, so one turn of 8 bits stands for all.
        assert_ne!(crc_step(burst, 0), 0, "{burst:04x}");
    }
}

/// CONFIG_V1 and END: 44 bytes, the shortest frame there is.
fn shortest() -> Vec<u8> {
    let minimal = cases("frame.json").into_iter().find(|case| case["id"] == "minimal").unwrap();
    let frame = bytes(&minimal, "hex").unwrap();
    assert_eq!(frame.len(), 44);
    frame
}

fn flip(frame: &mut [u8], bit: usize) {
    frame[bit / 8] ^= 0x80 >> (bit % 8);
}

/// Every error of one, two and three bits in the shortest frame, its magic included, by the parser.
fn small_errors(attack: &mut Attack) {
    let mut frame = shortest();
    let good = frame.clone();
    let bits = 8 * frame.len();
    assert!(Frame::parse_exact(&frame).is_ok());
    let mut refused = |frame: &[u8], bits: &[usize]| {
        assert!(Frame::parse_exact(frame).is_err(), "bits {bits:?} pass");
        attack.inputs += 1;
    };
    // A third bit is one of `rate`; all pairs are tested.
    let (rate, mut random) = (attack.rate, Random(3));
    for a in 0..bits {
        flip(&mut frame, a);
        refused(&frame, &[a]);
        for b in a + 1..bits {
            flip(&mut frame, b);
            refused(&frame, &[a, b]);
            let mut c = b + 1 + random.below(rate) as usize;
            while c < bits {
                flip(&mut frame, c);
                refused(&frame, &[a, b, c]);
                flip(&mut frame, c);
                c += 1 + random.below(2 * rate - 1) as usize;
            }
            flip(&mut frame, b);
        }
        flip(&mut frame, a);
    }
    assert_eq!(frame, good);
    if rate == 1 {
        // 352, 352 over 2 and 352 over 3.
        assert_eq!(attack.inputs, 352 + 61_776 + 7_207_200);
    }
}

/// A frame without a digest: `payload` bytes of payload.
fn frame_of(payload: usize, random: &mut Random) -> Vec<u8> {
    let payload: Vec<u8> = (0..payload).map(|_| random.word() as u8).collect();
    let config = Config::new(Kind(200), Element::Structured, 1, 1, 0);
    let ctx = ContextHash(random.word().to_be_bytes());
    FrameBuilder::new(ctx, config, &payload).encode().unwrap()
}

/// Errors of one to three bits and bursts of up to 16, behind the magic of frames of all lengths up to 4,093 bytes that the
/// CRC alone covers.
fn sampled_errors(attack: &mut Attack) {
    let mut random = Random(4);
    // 45 bytes of header are covered: ctx, CONFIG_V1, FLAGS_V1 and END.
    for payload in (0..=4048).rev().step_by(if attack.rate == 1 { 8 } else { 253 }) {
        let mut frame = frame_of(payload, &mut random);
        assert_eq!(frame.len(), 4 + 45 + payload + 2);
        assert!(Frame::parse_exact(&frame).unwrap().digest().is_none());
        let covered = 8 * (frame.len() - 4) as u64;
        let mut refused = |bits: &[usize]| {
            bits.iter().for_each(|bit| flip(&mut frame, *bit));
            assert!(Frame::parse_exact(&frame).is_err(), "bits {bits:?} of {payload} bytes pass");
            bits.iter().for_each(|bit| flip(&mut frame, *bit));
            attack.inputs += 1;
        };
        for _ in 0..2000 / attack.rate {
            let mut bits = [0; 3].map(|_| 32 + random.below(covered) as usize);
            refused(&bits[..1]);
            bits.sort_unstable();
            if bits[0] != bits[1] {
                refused(&bits[..2]);
            }
            if bits[0] != bits[1] && bits[1] != bits[2] {
                refused(&bits);
            }
            // The first bit of the burst is flipped, the others as they come.
            let (pattern, first) = (random.word() | 1 << 15, 32 + random.below(covered - 15) as usize);
            let burst: Vec<usize> =
                (0..16).filter(|i| pattern >> (15 - i) & 1 == 1).map(|i| first + i).collect();
            refused(&burst);
        }
    }
}

/// Two bits that are 32,767 apart: the CRC of a frame of more than 4,095 bytes is as good as before. That is why such a frame
/// has to have a digest, which finds them.
#[test]
fn two_bits_above_4095_bytes_are_for_the_digest() {
    let mut frame = frame_of(5000, &mut Random(5));
    let good = Frame::parse_exact(&frame).unwrap();
    let digest = good.tlvs().find(|tlv| tlv.tlv_type == 0xF0).unwrap().value_offset() + 1;
    let first = 8 * good.payload_offset() as usize + 100;
    let before = crc16(&frame[4..]);
    flip(&mut frame, first);
    flip(&mut frame, first + 32_767);
    assert_eq!(crc16(&frame[4..]), before, "the CRC is good");
    assert_eq!(Frame::parse_exact(&frame).unwrap_err(), Error::new(ErrorKind::Digest, digest));
}

/// Four bits, in the pattern of the polynomial itself: the CRC lets them pass at any length. Only a digest or a MAC finds them.
#[test]
fn four_bits_can_pass() {
    let good = shortest();
    let mut frame = good.clone();
    // x^16 + x^12 + x^5 + 1, within ctx.
    for bit in [16, 12, 5, 0] {
        flip(&mut frame, 8 * 8 + 31 - bit);
    }
    assert_ne!(frame, good);
    let (found, before) = (Frame::parse_exact(&frame).unwrap(), Frame::parse_exact(&good).unwrap());
    assert_ne!(found.ctx(), before.ctx());
    assert_eq!(found.config(), before.config());
}

attacks! {
    errors_of_three_bits / every_error_of_three_bits, 1 of 40, small_errors;
    errors_in_frames_of_all_lengths / more_errors_in_frames_of_all_lengths, 1 of 8, sampled_errors;
}

//! Diff and apply together, against expectations written by hand.
extern crate std;

use std::vec;
use std::vec::Vec;

use super::*;
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind};
use crate::frame::{Config, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType};

const CTX: ContextHash = ContextHash([7; 8]);

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn f32_blocks(bytes: &[u8], dim: u32) -> Blocks<'_> {
    Blocks::new(Shape::new(Scalar::F32, bytes.len() as u32 / 4 / dim, dim).unwrap(), bytes).unwrap()
}

/// The frame of the difference, and the agent made from it again.
fn round_trip(master: &Master<'_>, agent: &Blocks<'_>, options: DiffOptions) -> (Vec<u8>, Vec<u8>) {
    let mut payload = vec![0; 2 * agent.as_bytes().len() + 4 * agent.shape().rows() as usize];
    let diff = master.diff_into(agent, options, &mut payload).unwrap();
    let frame = diff.to_frame().unwrap();
    let mut out = vec![0; frame.encoded_len().unwrap()];
    frame.encode_into(&mut out).unwrap();
    let mut again = vec![0xAA; agent.as_bytes().len()];
    MirrorView::parse_exact(&out).unwrap().apply(master, &mut again).unwrap();
    (out, again)
}

#[test]
fn replaces_bit_by_bit() {
    let nan = f32::from_bits(0xFFA0_0001);
    let a = bytes(&[0.0, 1.0, nan, 3.0, f32::INFINITY, 5.0, 1e8, 7.0]);
    let b = bytes(&[-0.0, 1.0, nan, 3.0, f32::NEG_INFINITY, nan, 1.0, 7.0]);
    let (a, b) = (f32_blocks(&a, 2), f32_blocks(&b, 2));
    let master = Master::new(a, CTX);
    let (frame, again) = round_trip(&master, &b, DiffOptions::default());
    assert_eq!(again, b.as_bytes());
    let view = MirrorView::parse_exact(&frame).unwrap();
    // Block 1 holds a NaN in both, with the same bits.
    assert!(view.values().map(|(index, _)| index).eq([0, 2, 3]));
    assert_eq!((view.total_blocks(), view.difference_blocks(), view.dim(), view.threshold()), (4, 3, 2, 0.0));
    let mut block = [0; 8];
    for (index, expected) in b.as_bytes().chunks(8).enumerate() {
        view.block_into(&master, index as u32, &mut block).unwrap();
        assert_eq!(block, expected);
    }
    assert!(matches!(
        view.block_into(&master, 4, &mut block).unwrap_err().kind(),
        ErrorKind::PastEnd { end: 4, found: 5, .. }
    ));
}

/// A norm of exactly the threshold is left out, the next larger one is kept.
#[test]
fn threshold_is_inclusive() {
    let a = bytes(&[0.0; 6]);
    let b = bytes(&[0.5, 0.0, 0.5f32.next_up(), 0.0, f32::NAN, 0.0]);
    let (a, b) = (f32_blocks(&a, 2), f32_blocks(&b, 2));
    let options = DiffOptions { threshold: 0.5, ..DiffOptions::default() };
    let (frame, again) = round_trip(&Master::new(a, CTX), &b, options);
    assert!(MirrorView::parse_exact(&frame).unwrap().values().map(|(i, _)| i).eq([1, 2]));
    assert_eq!(again[..8], [0; 8]);
    assert_eq!(again[8..], b.as_bytes()[8..]);
}

#[test]
fn adds_in_f32_and_in_mu16() {
    let (m, g) = (bytes(&[1.0, 2.0, 3.0, 4.0]), bytes(&[1.0, 2.0, 3.25, 3.5]));
    let (m, g) = (f32_blocks(&m, 2), f32_blocks(&g, 2));
    let master = Master::new(m, CTX);
    let (frame, again) = round_trip(&master, &g, DiffOptions { mode: Mode::Add, threshold: 1e-4 });
    assert_eq!(again, g.as_bytes());
    let view = MirrorView::parse_exact(&frame).unwrap();
    assert!(view.values().eq([(1, &bytes(&[0.25, -0.5])[..])]));

    // A step of 1/64: 0.25 is 16 of them, -0.5 is -32.
    let mode = Mode::AddMu16(Step::new(1024).unwrap());
    let (frame, again) = round_trip(&master, &g, DiffOptions { mode, threshold: 0.0 });
    assert_eq!(again, g.as_bytes());
    let view = MirrorView::parse_exact(&frame).unwrap();
    assert!(view.values().eq([(1, &[16, 0, 0xE0, 0xFF][..])]));

    // A step of 1: halves go to even, and the error is measured.
    let mode = Mode::AddMu16(Step::new(65536).unwrap());
    let mut payload = [0; 64];
    let diff = master.diff_into(&g, DiffOptions { mode, threshold: 0.0 }, &mut payload).unwrap();
    assert_eq!((diff.error_bound(), diff.saturated()), (0.5, 0));
    let far = bytes(&[1.0, 2.0, 3.0, 1e6]);
    let diff = master.diff_into(&f32_blocks(&far, 2), DiffOptions { mode, threshold: 0.0 }, &mut payload);
    let diff = diff.unwrap();
    assert_eq!((diff.error_bound(), diff.saturated()), (1e6 - 4.0 - 32767.0, 1));
    let infinite = bytes(&[1.0, 2.0, 3.0, f32::INFINITY]);
    let error =
        master.diff_into(&f32_blocks(&infinite, 2), DiffOptions { mode, threshold: 0.0 }, &mut payload);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NonFinite { row: 1, column: 1 });
}

#[test]
fn mu16_masters_are_compared_in_integers() {
    let shape = Shape::new(Scalar::Mu16(Step::new(32768).unwrap()), 3, 2).unwrap();
    let q = |values: [i16; 6]| values.iter().flat_map(|q| q.to_le_bytes()).collect::<Vec<u8>>();
    // Differences of (3, 4), of (-32768 - 32767, 0) and none; at half a unit a step the first norm is 2.5.
    let (m, g) = (q([0, 0, 32767, 5, 1, 1]), q([3, 4, -32768, 5, 1, 1]));
    let (m, g) = (Blocks::new(shape, &m).unwrap(), Blocks::new(shape, &g).unwrap());
    let master = Master::new(m, CTX);
    for (threshold, expected) in [(0.0, vec![0, 1]), (2.4999, vec![0, 1]), (2.5, vec![1]), (32767.5, vec![])]
    {
        let (frame, _) = round_trip(&master, &g, DiffOptions { threshold, ..DiffOptions::default() });
        let view = MirrorView::parse_exact(&frame).unwrap();
        assert_eq!(view.values().map(|(i, _)| i).collect::<Vec<_>>(), expected, "{threshold}");
    }
    let add = master.diff_into(&g, DiffOptions { mode: Mode::Add, threshold: 0.0 }, &mut []);
    assert!(matches!(add.unwrap_err().kind(), ErrorKind::Argument { .. }));
}

#[test]
fn refuses_thresholds_shapes_and_small_buffers() {
    let (m, g) = (bytes(&[0.0; 8]), bytes(&[1.0; 8]));
    let master = Master::new(f32_blocks(&m, 2), CTX);
    let agent = f32_blocks(&g, 2);
    for threshold in [f64::NAN, -1.0, -f64::MIN_POSITIVE, f64::INFINITY] {
        let refused = master.diff_into(&agent, DiffOptions { threshold, ..DiffOptions::default() }, &mut []);
        assert!(matches!(refused.unwrap_err().kind(), ErrorKind::Argument { .. }), "{threshold}");
    }
    for len in 0..48 {
        let refused = master.diff_into(&agent, DiffOptions::default(), &mut vec![0; len]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BufferTooSmall { needed: 48, available: len as u64 });
    }
    let mut payload = [0; 64];
    let other = master.diff_into(&f32_blocks(&g, 4), DiffOptions::default(), &mut payload);
    assert!(matches!(other.unwrap_err().kind(), ErrorKind::MasterDiffers { .. }));
}

#[test]
fn refuses_another_master_and_writes_nothing() {
    let (m, g) = (bytes(&[0.0, 1.0]), bytes(&[0.0, 2.0]));
    let master = Master::new(f32_blocks(&m, 1), CTX);
    let (frame, _) = round_trip(&master, &f32_blocks(&g, 1), DiffOptions::default());
    let view = MirrorView::parse_exact(&frame).unwrap();
    let differs = |field| ErrorKind::MasterDiffers { field };
    let mut out = [0xAA; 8];
    let one = |shape: Shape| Master::new(Blocks::new(shape, &m).unwrap(), CTX);
    for (other, expected) in [
        (Master::new(f32_blocks(&g, 1), CTX), differs("the digest (SHA-256)")),
        (Master::new(f32_blocks(&m, 1), ContextHash([8; 8])), ErrorKind::ContextDiffers),
        (one(Shape::new(Scalar::F32, 1, 2).unwrap()), differs("the number of elements of a block")),
        (one(Shape::new(Scalar::F16, 4, 1).unwrap()), differs("the element type")),
        (Master::new(f32_blocks(&m[..4], 1), CTX), differs("the number of blocks")),
    ] {
        assert_eq!(view.apply(&other, &mut out).unwrap_err().kind(), expected);
    }
    assert!(matches!(
        view.apply(&master, &mut out[..7]).unwrap_err().kind(),
        ErrorKind::BufferTooSmall { .. }
    ));
    assert!(matches!(view.apply(&master, &mut [0; 9]).unwrap_err().kind(), ErrorKind::Shape { .. }));
    assert_eq!(out, [0xAA; 8]);
}

#[test]
fn blocks_are_frames() {
    let m = bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let blocks = f32_blocks(&m, 3);
    let frame = blocks.to_frame(CTX).unwrap().align_payload(64);
    let mut out = vec![0; frame.encoded_len().unwrap()];
    frame.encode_into(&mut out).unwrap();
    let frame = Frame::parse_exact(&out).unwrap();
    assert_eq!(frame.payload_offset() % 64, 0);
    assert_eq!(Blocks::from_frame(&frame).unwrap(), blocks);
    assert_eq!(Master::from_frame(&frame).unwrap().digest(), Master::new(blocks, CTX).digest());
    let empty = Blocks::new(Shape::new(Scalar::F32, 0, 3).unwrap(), &[]).unwrap();
    assert!(matches!(empty.to_frame(CTX).unwrap_err().kind(), ErrorKind::Argument { .. }));
}

#[test]
fn the_step_is_the_smallest_that_holds_what_is_kept() {
    // Differences: 0.25, -1000 (left out by a threshold of 2000), 0.
    let (m, g) = (bytes(&[1.0, 2000.0, 3.0]), bytes(&[1.25, 1000.0, 3.0]));
    let master = Master::new(f32_blocks(&m, 1), CTX);
    let agent = f32_blocks(&g, 1);
    // 0.25 * 65536 = 16384 <= 32767; 1000 * 65536 / 32768.5 = 1999.97
    assert_eq!(master.step_for(&agent, 0.0).unwrap().get(), 2000);
    assert_eq!(master.step_for(&agent, 2000.0).unwrap().get(), 1);
    let infinite = bytes(&[1.0, 2000.0, f32::NEG_INFINITY]);
    let error = master.step_for(&f32_blocks(&infinite, 1), 0.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite { row: 2, column: 0 });
}

/// Blocks are taken in pieces, and places count from the block's start all the same.
#[test]
fn a_difference_that_is_not_finite_has_its_place() {
    let m = bytes(&[0.0; 1200]);
    let mut g = [1.0; 1200];
    g[600 + 555] = f32::NAN;
    let g = bytes(&g);
    let (master, agent) = (Master::new(f32_blocks(&m, 600), CTX), f32_blocks(&g, 600));
    let expected = ErrorKind::NonFinite { row: 1, column: 555 };
    assert_eq!(master.step_for(&agent, 0.0).unwrap_err().kind(), expected);
    let options = DiffOptions { mode: Mode::AddMu16(Step::new(3).unwrap()), threshold: 0.0 };
    let error = master.diff_into(&agent, options, &mut vec![0; 2 * 1204]).unwrap_err();
    assert_eq!(error.kind(), expected);
}

#[test]
#[cfg(target_endian = "little")]
fn floats_are_blocks() {
    let values = [1.0, -0.0, f32::NAN, 4.0, 5.0, 6.0];
    let blocks = Blocks::from_f32(&values, 3).unwrap();
    assert_eq!(blocks, f32_blocks(&bytes(&values), 3));
    assert!(Blocks::from_f32(&[], 3).unwrap().shape().is_empty());
    let kind = |dim| Blocks::from_f32(&values, dim).unwrap_err().kind();
    assert!(matches!(kind(4), ErrorKind::Shape { needed: 16, found: 24, .. }));
    assert!(matches!(kind(0), ErrorKind::Argument { .. }));
}

#[cfg(feature = "alloc")]
#[test]
fn sources_may_be_trait_objects() {
    let blocks = bytes(&[1.0, 2.0]);
    let blocks = f32_blocks(&blocks, 1);
    let source: &dyn BlockSource = &blocks;
    let mut store = MasterMirror::new(DiffOptions::default());
    store.register_master("m", source).unwrap();
    store.register_mirror("a", source).unwrap();
    store.collective_reuse_step(source, &["a"], Placement::AtEnd).unwrap();
    store.append_own("a", source).unwrap();
    assert_eq!(store.reconstruct("a").unwrap(), blocks.as_bytes().repeat(3));
}

#[cfg(feature = "alloc")]
#[test]
fn a_rebased_mirror_gives_the_same_agent() {
    let (old, new) = (bytes(&[0.0, 1.0, 2.0, 3.0]), bytes(&[-0.0, 1.0, f32::NAN, 4.0]));
    let agent = bytes(&[0.0, 9.0, 2.0, 4.0]);
    let (old, new) = (Master::new(f32_blocks(&old, 1), CTX), Master::new(f32_blocks(&new, 1), CTX));
    let (frame, _) = round_trip(&old, &f32_blocks(&agent, 1), DiffOptions::default());
    let view = MirrorView::parse_exact(&frame).unwrap();
    let mut payload = vec![1; 3];
    let diff = view.rebase(&old, &new, view.options(), &mut payload).unwrap();
    assert_eq!(diff.difference_blocks(), 3);
    let frame = diff.to_frame().unwrap().encode().unwrap();
    let view = MirrorView::parse_exact(&frame).unwrap();
    let mut again = vec![0; agent.len()];
    view.apply(&new, &mut again).unwrap();
    assert_eq!(again, agent);
    let wrong = view.rebase(&old, &new, view.options(), &mut payload).unwrap_err();
    assert!(matches!(wrong.kind(), ErrorKind::MasterDiffers { .. }));
    let elsewhere = Master::new(*old.blocks(), ContextHash([8; 8]));
    let wrong = view.rebase(&new, &elsewhere, view.options(), &mut payload).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::ContextDiffers);
}

/// A step of no blocks gives an agent that missed a step no segment.
#[test]
#[cfg(feature = "alloc")]
fn an_empty_step_changes_nothing() {
    let (two, none) = (bytes(&[1.0, 2.0]), f32_blocks(&[], 1));
    let mut store = MasterMirror::new(DiffOptions::default());
    store.register_master("m", &f32_blocks(&two, 1)).unwrap();
    store.register_mirror("a", &f32_blocks(&two, 1)).unwrap();
    store.collective_reuse_step(&f32_blocks(&two, 1), &[], Placement::AtEnd).unwrap();
    assert_eq!(store.collective_reuse_step(&none, &["a"], Placement::AtEnd).unwrap(), [0]);
    assert_eq!(store.segments("a").unwrap(), [Segment::Shared { start: 0, rows: 2 }]);
    // So a master of two blocks is enough for it.
    store.rebase("m", &f32_blocks(&two, 1)).unwrap();
}

/// A mirror of a master that no machine of 64 bits could hold is that of another master, and nothing else.
#[test]
fn a_master_beyond_memory_differs() {
    let zeros = [0; 8];
    let master = Master::new(f32_blocks(&zeros, 2), CTX);
    let mut raw = [0; 48];
    raw[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    for (element, dim, field) in [
        (Element::F32, 1 << 30, "the number of elements of a block"),
        (Element::F16, 1 << 31, "the element type"),
    ] {
        raw[5] = element.code();
        let frame = FrameBuilder::new(CTX, Config::new(Kind::MIRROR, element, 0, dim, 0), &[]);
        let mut out = [0; 256];
        let len = frame.tlv(TlvType::MIRROR, &raw).unwrap().encode_into(&mut out).unwrap();
        let view = MirrorView::parse_exact(&out[..len]).unwrap();
        assert!(matches!(view.master_shape().unwrap_err().kind(), ErrorKind::TooLarge { .. }));
        let differs = Error::caller(ErrorKind::MasterDiffers { field });
        let mut agent = [7; 8];
        assert_eq!(view.check_master(&master), Err(differs));
        assert_eq!(view.apply(&master, &mut agent), Err(differs));
        assert_eq!(view.block_into(&master, 0, &mut agent), Err(differs));
        assert_eq!(agent, [7; 8]);
    }
}

/// A master without infinities and NaNs is compared first: with few and with many blocks that differ, and with such an
/// agent, the same blocks are kept as by the norm of each.
#[test]
fn a_finite_master_keeps_the_same_blocks() {
    let master: Vec<u8> = bytes(&(0..150 * 50).map(|i| i as f32 / 8.0).collect::<Vec<_>>());
    for step in [1, 3, 7, 13, 60, 149] {
        let mut agent = master.clone();
        for block in (0..150).step_by(step) {
            // By turns under the threshold, at it, over it, NaN and infinite.
            let x = [0.25, 0.5, 0.75, f32::NAN, f32::NEG_INFINITY][block / step % 5];
            let at = block * 200 + block % 50 * 4;
            let old = f32::from_le_bytes(agent[at..at + 4].try_into().unwrap());
            agent[at..at + 4].copy_from_slice(&(old + x).to_le_bytes());
        }
        let expected = (0..150).step_by(step).filter(|block| block / step % 5 > 1).map(|block| block as u32);
        for finite in [true, false] {
            let (mut master, mut agent) = (master.clone(), agent.clone());
            if !finite {
                // In both, in a block that is the last to be kept for it.
                master[149 * 200..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
                agent[149 * 200..].copy_from_slice(&master[149 * 200..]);
            }
            let master = Master::new(f32_blocks(&master, 50), CTX);
            let options = DiffOptions { threshold: 0.5, ..DiffOptions::default() };
            let (frame, _) = round_trip(&master, &f32_blocks(&agent, 50), options);
            let expected: Vec<u32> = match finite {
                true => expected.clone().collect(),
                false => expected.clone().filter(|&block| block != 149).chain([149]).collect(),
            };
            let view = MirrorView::parse_exact(&frame).unwrap();
            assert_eq!(
                view.values().map(|(index, _)| index).collect::<Vec<_>>(),
                expected,
                "{step}, {finite}"
            );
        }
    }
}

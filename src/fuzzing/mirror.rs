//! Blocks and mirrors as frames, and differences there and back.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::mend::mended;
use super::second_mirror::{self, Mirror};
use super::{Choices, plausible, turn};
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Kind, TlvType};
use crate::mirror::{Blocks, DiffOptions, Master, MirrorView, Mode, Scalar, Shape};

/// [`Blocks::from_frame`] and [`MirrorView::from_frame`]: what they hold is what a second reader finds, what a writer could
/// have written is written again to the byte, and a mirror makes of a master what a second writer makes of it.
pub fn mirror(data: &[u8]) {
    let is_blocks = |bytes: &[u8]| bytes.get(15) == Some(&6);
    let view = |frame: &Frame<'_>| match frame.kind() {
        Kind::BLOCKS => Blocks::from_frame(frame).map(|_| ()),
        _ => MirrorView::from_frame(frame).map(|_| ()),
    };
    let spec = |bytes: &[u8]| match is_blocks(bytes) {
        true => second_mirror::blocks(bytes),
        false => second_mirror::mirror(bytes),
    };
    let Some(bytes) = mended(data, view, spec) else { return };
    if is_blocks(&bytes) {
        read_blocks(&bytes);
        return;
    }
    let view = MirrorView::parse_exact(&bytes).unwrap();
    let (naive, _) = second_mirror::mirror_parts(&bytes).unwrap();
    read_alike(&view, &naive);
    let written = rewritten(&view, &naive, None).unwrap();
    if is_plain(view.frame()) {
        assert_eq!(written, bytes);
    }
    on_a_master(&view, &naive, data);
}

/// Whether there is nothing but what blocks and mirrors have.
fn is_plain(frame: &Frame<'_>) -> bool {
    frame.tlvs().all(|tlv| matches!(tlv.tlv_type, 1 | 2 | 0x12 | 0x80 | 0xF0))
        && frame.tlv(TlvType::FLAGS).is_some_and(|tlv| tlv.value == [0; 4])
}

/// With the digest and the context of `frame`.
fn like<'a>(builder: FrameBuilder<'a>, frame: &Frame<'a>) -> Result<FrameBuilder<'a>> {
    let builder = if frame.digest().is_some() { builder.digest() } else { builder };
    match frame.context_json() {
        Some(json) => builder.context_json(json),
        None => Ok(builder),
    }
}

fn read_blocks(bytes: &[u8]) {
    let frame = Frame::parse_exact(bytes).unwrap();
    let blocks = Blocks::from_frame(&frame).unwrap();
    let (shape, payload) = (*blocks.shape(), frame.payload());
    let config = frame.config();
    assert_eq!((shape.rows(), shape.dim()), (config.rows, config.dim));
    assert_eq!((shape.scalar().element(), shape.scalar().delta_q16()), (config.element, config.delta_q16));
    assert_eq!((shape.len(), blocks.as_bytes()), (payload.len(), payload));
    assert_eq!(payload.len(), shape.rows() as usize * shape.block_len());
    for (i, block) in payload.chunks(shape.block_len()).enumerate() {
        assert_eq!(blocks.block(i as u32), Some(block));
    }
    for beyond in [shape.rows(), u32::MAX] {
        assert!(blocks.block(beyond).is_none());
    }
    let half = shape.rows() / 2;
    assert_eq!(blocks.prefix(half).unwrap().as_bytes(), &payload[..half as usize * shape.block_len()]);
    assert_eq!(blocks.prefix(shape.rows()), Some(blocks));
    assert!(shape.rows().checked_add(1).is_none_or(|more| blocks.prefix(more).is_none()));

    let written = like(blocks.to_frame(frame.ctx()).unwrap(), &frame).unwrap().encode().unwrap();
    if is_plain(&frame) {
        assert_eq!(written, bytes);
    }
    let master = Master::from_frame(&frame).unwrap();
    assert_eq!(master.digest()[..], Sha256::digest(payload)[..]);
    assert_eq!((master.ctx(), master.context_json()), (frame.ctx(), frame.context_json()));
    // A master differs from itself in nothing.
    let mut none = [];
    let diff = master.diff_into(&blocks, DiffOptions::default(), &mut none).unwrap();
    assert_eq!((diff.difference_blocks(), diff.error_bound()), (0, 0.0));
}

fn mode_code(mode: Mode) -> u8 {
    u8::from(mode != Mode::Replace)
}

fn read_alike(view: &MirrorView<'_>, naive: &Mirror) {
    assert_eq!((view.total_blocks(), view.dim()), (naive.total_blocks, naive.dim));
    assert_eq!(view.difference_blocks() as usize, naive.values.len());
    assert_eq!(view.threshold().to_bits(), naive.threshold.to_bits());
    assert_eq!(*view.master_digest(), naive.master_digest);
    let expected = match (naive.mode, naive.element) {
        (0, _) => Mode::Replace,
        (_, 1) => Mode::AddMu16(Step::new(naive.delta_q16).unwrap()),
        _ => Mode::Add,
    };
    assert_eq!(view.mode(), expected);
    assert_eq!(view.values().len(), naive.values.len());
    assert!(view.values().eq(naive.values.iter().map(|(index, value)| (*index, &value[..]))));
    match view.master_shape() {
        Ok(shape) => {
            assert_eq!((shape.rows(), shape.dim()), (naive.total_blocks, naive.dim));
            assert_eq!(shape.scalar().element().code(), naive.master_element);
            let delta_q16 = if naive.master_element == 1 { naive.delta_q16 } else { 0 };
            assert_eq!(shape.scalar().delta_q16(), delta_q16);
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }));
            let least = u128::from(naive.total_blocks) * u128::from(naive.dim) * 2;
            assert!(2 * least > isize::MAX as u128);
        }
    }
}

/// The frame of what the view's accessors give; of another master if `digest` says so.
fn rewritten(view: &MirrorView<'_>, naive: &Mirror, digest: Option<[u8; 32]>) -> Result<Vec<u8>> {
    let mut value = view.total_blocks().to_be_bytes().to_vec();
    value.extend([mode_code(view.mode()), naive.master_element, 0, 0]);
    value.extend(view.threshold().to_be_bytes());
    value.extend(digest.as_ref().unwrap_or(view.master_digest()));
    let mut payload: Vec<u8> = view.values().flat_map(|(index, _)| index.to_le_bytes()).collect();
    view.values().for_each(|(_, value)| payload.extend(value));
    let element = Element::from_code(naive.element).unwrap();
    let config = Config::new(Kind::MIRROR, element, view.difference_blocks(), view.dim(), naive.delta_q16);
    let frame = view.frame();
    like(FrameBuilder::new(frame.ctx(), config, &payload).tlv(TlvType::MIRROR, &value)?, frame)?.encode()
}

/// The mirror on a master of its shape, made of the input.
fn on_a_master(view: &MirrorView<'_>, naive: &Mirror, data: &[u8]) {
    let Some(shape) = view.master_shape().ok().filter(|shape| shape.len() <= 1 << 14) else { return };
    let bytes: Vec<u8> = data.iter().copied().chain([0]).cycle().take(shape.len()).collect();
    let blocks = Blocks::new(shape, &bytes).unwrap();
    let mut master = Master::new(blocks, view.frame().ctx());
    if let Some(json) = view.frame().context_json() {
        master = master.with_context_json(json).unwrap();
    }
    let mut out = alloc::vec![0xA5; shape.len()];
    let digest: [u8; 32] = Sha256::digest(&bytes).into();
    if naive.master_digest != digest {
        let error = view.apply(&master, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MasterDiffers { field: "the digest (SHA-256)" });
        assert!(out.iter().all(|byte| *byte == 0xA5));
    }

    let mine = rewritten(view, naive, Some(digest)).unwrap();
    let view = MirrorView::parse_exact(&mine).unwrap();
    let expected = second_mirror::applied(naive, &bytes);
    view.apply(&master, &mut out).unwrap();
    assert_eq!(out, expected);
    by_block(&view, &master, &expected);

    // The context decides, and the output's length.
    let other = Master::new(blocks, ContextHash([view.frame().ctx().0[0] ^ 1; 8]));
    if view.frame().ctx() != other.ctx() {
        assert_eq!(view.apply(&other, &mut out).unwrap_err().kind(), ErrorKind::ContextDiffers);
    }
    let short = out.len() - 1;
    let error = view.apply(&master, &mut out[..short]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BufferTooSmall { .. }));
    assert_eq!(out, expected);

    // What was made differs from the master in blocks of the mirror only, and comes back.
    let agent = Blocks::new(shape, &expected).unwrap();
    let mut payload = Vec::new();
    let diff = master.diff_to_vec(&agent, DiffOptions::default(), &mut payload).unwrap();
    let again = diff.to_frame().unwrap().encode().unwrap();
    let again = MirrorView::parse_exact(&again).unwrap();
    assert!(again.values().all(|(index, _)| naive.values.iter().any(|(other, _)| *other == index)));
    again.apply(&master, &mut out).unwrap();
    assert_eq!(out, expected);
}

fn by_block(view: &MirrorView<'_>, master: &Master<'_>, agent: &[u8]) {
    let shape = view.master_shape().unwrap();
    let mut block = alloc::vec![0xA5; shape.block_len()];
    for (index, expected) in agent.chunks(shape.block_len()).enumerate().take(300) {
        view.block_into(master, index as u32, &mut block).unwrap();
        assert_eq!(block, expected, "block {index}");
    }
    for beyond in [shape.rows(), u32::MAX] {
        let error = view.block_into(master, beyond, &mut block).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::PastEnd { .. }));
        plausible(&error, 0);
    }
}

/// What [`diff`] takes from its input.
struct Case {
    shape: Shape,
    options: DiffOptions,
    master: Vec<u8>,
    agent: Vec<u8>,
    context: Option<Context>,
}

impl Case {
    fn of(data: &[u8]) -> Self {
        let mut choices = Choices(data);
        let (kind, how) = (choices.byte(), choices.byte());
        let step = |choices: &mut Choices<'_>| {
            let wide = u32::from_le_bytes(choices.array());
            Step::new((wide >> (how % 32)).max(1)).unwrap()
        };
        let scalar = match kind % 4 {
            0 => Scalar::F32,
            1 => Scalar::F16,
            2 => Scalar::Bf16,
            _ => Scalar::Mu16(step(&mut choices)),
        };
        let mode = match kind / 4 % 3 {
            0 => Mode::Replace,
            1 => Mode::Add,
            _ => Mode::AddMu16(step(&mut choices)),
        };
        // As wide as any vector is, or small.
        let (widest, all) = if turn(data, 64) { (600, 4096) } else { (40, 160) };
        let dim = choices.below(widest) + 1;
        let rows = (choices.below(200) + 1).min(usize::div_ceil(all, dim));
        let shape = Shape::new(scalar, rows as u32, dim as u32).unwrap();
        let threshold = choices.f64();
        let seed = usize::from(choices.byte());
        let context = (kind >= 128).then(|| Context::new("s", "m", "p", shape.dim()).unwrap());

        let size = scalar.size();
        let pool: Vec<u8> = choices.0.iter().copied().chain([seed as u8]).collect();
        let byte = |at: usize| pool[at % pool.len()];
        // Any bits; tame ones; of nearly one size, so that the order of a sum shows.
        let element = |at: usize| -> Vec<u8> {
            if how & 64 == 0 {
                return (0..size).map(|i| byte(at * size + i)).collect();
            }
            let tame = match byte(at).cast_signed() {
                _ if how & 32 != 0 => {
                    f32::from_le_bytes([byte(at), byte(at + 1), byte(at * 3), 0x3C + byte(at + 2) % 6])
                }
                byte => f32::from(byte) / 16.0,
            };
            match scalar {
                Scalar::Mu16(_) => i16::from(byte(at)).to_le_bytes().to_vec(),
                _ => second_mirror::narrowed(scalar.element().code(), tame),
            }
        };
        let master: Vec<u8> = (0..rows * dim).flat_map(|i| element(i + i / 251)).collect();
        let mut agent = master.clone();
        for (row, block) in agent.chunks_mut(shape.block_len()).enumerate() {
            let choice = usize::from(byte(row * 3 + seed));
            let column = choice / 6 % dim * size;
            match choice % 6 {
                0 => {}
                // A bit, among them a sign.
                1 => block[column + size - 1] ^= 0x80,
                2 => block[column] ^= 1,
                3 => block[column..column + size].copy_from_slice(&element(row + choice)),
                4 if !matches!(scalar, Scalar::Mu16(_)) => {
                    let infinite = second_mirror::narrowed(scalar.element().code(), f32::INFINITY);
                    block[column..column + size].copy_from_slice(&infinite);
                }
                _ => {
                    for (i, to) in block.chunks_mut(size).enumerate() {
                        to.copy_from_slice(&element(row * 31 + i + choice));
                    }
                }
            }
        }
        let mut case = Self { shape, options: DiffOptions { mode, threshold }, master, agent, context };
        // A threshold that decides: the norm of a block, or a neighbour of it.
        let norm = case.norms()[seed % rows];
        case.options.threshold = match how >> 7 | seed as u8 & 6 {
            0 | 2 => 0.0,
            1 => -0.0,
            3 => norm,
            4 => norm.next_down(),
            5 => norm.next_up(),
            6 => norm * 1.5,
            _ => threshold,
        };
        case
    }

    fn norms(&self) -> Vec<f64> {
        let (scalar, len) = (self.shape.scalar(), self.shape.block_len());
        let pairs = self.master.chunks(len).zip(self.agent.chunks(len));
        pairs.map(|(m, a)| second_mirror::norm(scalar.element().code(), scalar.delta_q16(), m, a)).collect()
    }

    /// The mirror as spec/mirror.md has it, the elements beyond the step's range, and the largest error of a block that is
    /// kept.
    fn expected(&self) -> core::result::Result<(Mirror, u64, f64), ErrorKind> {
        let DiffOptions { mode, threshold } = self.options;
        let scalar = self.shape.scalar();
        let argument = Err(ErrorKind::Argument { expected: "" });
        if !(threshold.is_finite() && threshold >= 0.0) {
            return argument;
        }
        if mode != Mode::Replace && matches!(scalar, Scalar::Mu16(_)) {
            return argument;
        }
        let values = match mode {
            Mode::AddMu16(step) => Scalar::Mu16(step),
            _ => scalar,
        };
        let mut mirror = Mirror {
            total_blocks: self.shape.rows(),
            dim: self.shape.dim(),
            mode: mode_code(mode),
            master_element: scalar.element().code(),
            element: values.element().code(),
            delta_q16: values.delta_q16(),
            threshold: threshold.abs(),
            master_digest: Sha256::digest(&self.master).into(),
            values: Vec::new(),
        };
        let (mut beyond, mut error) = (0, 0.0f64);
        let len = self.shape.block_len();
        let pairs = self.master.chunks(len).zip(self.agent.chunks(len));
        for (index, ((m, a), norm)) in (0u32..).zip(pairs.zip(self.norms())) {
            let left_out = if threshold == 0.0 { m == a } else { norm <= threshold };
            if left_out {
                continue;
            }
            let (value, more) = second_mirror::value(&mirror, m, a)
                .map_err(|column| ErrorKind::NonFinite { row: index.into(), column })?;
            beyond += more;
            let made = second_mirror::made(&mirror, m, &value);
            let here = second_mirror::largest_error(mirror.master_element, scalar.delta_q16(), a, &made);
            error = if error.is_nan() || here.is_nan() { f64::NAN } else { error.max(here) };
            mirror.values.push((index, value));
        }
        Ok((mirror, beyond, error))
    }
}

/// [`Master::diff_into`] and [`MirrorView::apply`] on elements of all types: the difference is the one a second writer
/// makes by the formulas of spec/mirror.md, block by block, and so is the agent made of it again.
pub fn diff(data: &[u8]) {
    let case = Case::of(data);
    let (master, agent) =
        (Blocks::new(case.shape, &case.master).unwrap(), Blocks::new(case.shape, &case.agent).unwrap());
    let json = case.context.as_ref().map(|context| context.as_str().as_bytes());
    let ctx = case.context.as_ref().map_or(ContextHash([3; 8]), Context::hash);
    let mut master = Master::new(master, ctx);
    if let Some(json) = json {
        master = master.with_context_json(json).unwrap();
    }
    let expected = case.expected();
    let mut payload = alloc::vec![0xA5; 3];
    let (naive, beyond, error) = match (expected, master.diff_to_vec(&agent, case.options, &mut payload)) {
        (Ok(expected), Ok(_)) => expected,
        (Err(expected), Err(error)) => {
            refused(expected, error);
            let mut room = alloc::vec![0; 2 * case.shape.len() + 4 * case.shape.rows() as usize];
            refused(expected, master.diff_into(&agent, case.options, &mut room).unwrap_err());
            return;
        }
        (expected, found) => panic!("{expected:?}, but {found:?}"),
    };
    let diff = master.diff_to_vec(&agent, case.options, &mut payload).unwrap();
    let bytes = diff.to_frame().unwrap().encode().unwrap();
    let (read, len) = second_mirror::mirror_parts(&bytes).unwrap();
    assert_eq!((&read, len), (&naive, bytes.len()));
    assert_eq!(read.threshold.to_bits(), naive.threshold.to_bits());
    assert_eq!((diff.difference_blocks() as usize, diff.saturated()), (naive.values.len(), beyond));
    let bound = diff.error_bound();
    let due = if error.is_nan() { error } else { error.max(naive.threshold) };
    assert_eq!(bound.is_nan(), due.is_nan());
    assert!(bound.is_nan() || bound == due, "{bound} for {due}");

    // The same into a buffer: no more than it needs, and no less.
    let needed = diff.payload().len();
    let mut room = alloc::vec![0; needed + 1];
    for more in [needed, needed + 1] {
        let other = master.diff_into(&agent, case.options, &mut room[..more]).unwrap();
        assert_eq!(other.payload(), diff.payload());
        assert_eq!(
            (other.difference_blocks(), other.saturated()),
            (diff.difference_blocks(), diff.saturated())
        );
        assert_eq!(other.error_bound().to_bits(), bound.to_bits());
    }
    if let Some(less) = needed.checked_sub(1) {
        let error = master.diff_into(&agent, case.options, &mut room[..less]).unwrap_err();
        let (needed, available) = (needed as u64, less as u64);
        assert_eq!(error.kind(), ErrorKind::BufferTooSmall { needed, available });
    }

    let frame = Frame::parse_exact(&bytes).unwrap();
    frame.check_content().unwrap();
    assert_eq!(frame.context_json(), json);
    let view = MirrorView::from_frame(&frame).unwrap();
    read_alike(&view, &naive);
    assert_eq!(view.mode(), case.options.mode);
    assert_eq!(rewritten(&view, &naive, None).unwrap(), bytes);
    let expected = second_mirror::applied(&naive, &case.master);
    let mut out = alloc::vec![0xA5; case.shape.len()];
    view.apply(&master, &mut out).unwrap();
    assert_eq!(out, expected);
    by_block(&view, &master, &expected);

    // The bound holds for every element, of blocks that were left out too.
    let scalar = case.shape.scalar();
    let (element, delta_q16) = (scalar.element().code(), scalar.delta_q16());
    let loss = second_mirror::largest_error(element, delta_q16, &case.agent, &out);
    assert!(if loss.is_nan() { bound.is_nan() } else { bound.is_nan() || loss <= bound }, "{loss} {bound}");
    if case.options.mode == Mode::Replace && case.options.threshold == 0.0 {
        assert_eq!(out, case.agent);
        assert_eq!(bound, 0.0);
    }
}

fn refused(expected: ErrorKind, error: Error) {
    plausible(&error, 0);
    match (expected, error.kind()) {
        (ErrorKind::Argument { .. }, ErrorKind::Argument { .. }) => {}
        (expected, found) => assert_eq!(found, expected),
    }
}

//! State blobs, held to a second reader.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::second_state::{self as second, Layout as Parts, Verdict};
use super::{Choices, plausible, turn};
use crate::engram::KeySource;
use crate::engram::state::{Known, Layout, State, StreamKeys, Tensor, TensorBlocks};
use crate::error::ErrorKind;
use crate::mirror::BlockSource;

/// [`State::parse`] and [`State::parse_as`]: whether a blob is read, in which layout, or why not, is what a second reader
/// says, and so is everything the views give. Then the same for a blob that is made of the input and damaged by it.
pub fn state(data: &[u8]) {
    let chosen = chosen(data);
    hold(data, chosen);
    let mut choices = Choices(data);
    let (mut blob, layout, is_sound) = built(&mut choices);
    if is_sound {
        let known = Known { arch: None, layout: Some(layout.name().parse().unwrap()) };
        // With the name of its memory left open, a blob without cells may be several things.
        if let Err(error) = State::parse_as(&blob, &known) {
            assert!(matches!(error.kind(), ErrorKind::Ambiguous { .. }), "{layout:?}: {error}");
        }
    }
    agree(&blob, None, Some(layout));
    damage(&mut blob, &mut choices);
    agree(&blob, None, Some(layout));
    if turn(&blob, 4) {
        hold(&blob, chosen);
    }
}

/// Some layouts, the same ones for the same input.
fn chosen(data: &[u8]) -> [Parts; 4] {
    let seed = data.iter().fold(0xCBF2_9CE4_8422_2325u64, |seed, byte| {
        (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let all = Parts::all();
    [0, 16, 32, 48].map(|shift| all[(seed >> shift) as usize % all.len()])
}

fn hold(blob: &[u8], chosen: [Parts; 4]) {
    agree(blob, None, None);
    for (i, arch) in ["llama", "mamba", "jamba", "of-no-class"].into_iter().enumerate() {
        if (blob.len() + i).is_multiple_of(4) {
            agree(blob, Some(arch), None);
        }
    }
    for layout in &chosen[..if turn(blob, 8) { 4 } else { 1 }] {
        agree(blob, None, Some(*layout));
    }
}

fn agree(blob: &[u8], arch: Option<&str>, layout: Option<Parts>) {
    let known = Known { arch, layout: layout.map(|layout| layout.name().parse().unwrap()) };
    let read = State::parse_as(blob, &known);
    match (read, second::read(blob, arch, layout)) {
        (Ok(state), Verdict::State(expected)) => same(&state, &expected, blob),
        (Err(error), expected) => {
            plausible(&error, blob.len());
            match (error.kind(), expected) {
                (ErrorKind::Ambiguous { layouts }, Verdict::Ambiguous(names)) => {
                    // One that is stated has no number.
                    let mut listed: Vec<String> = layouts.iter().map(|layout| layout.to_string()).collect();
                    listed.sort();
                    assert!(layout.is_some() || listed == names, "{listed:?}, expected {names:?}");
                }
                (kind, Verdict::Refused(fault)) => assert_eq!((kind.name(), error.offset()), fault),
                (_, expected) => panic!("{error} instead of {expected:?}"),
            }
        }
        (Ok(state), expected) => panic!("{} instead of {expected:?}", state.layout()),
    }
}

fn same(state: &State<'_>, expected: &second::State, blob: &[u8]) {
    let place = |bytes: &[u8]| bytes.as_ptr() as usize - blob.as_ptr() as usize;
    assert_eq!(state.layout().to_string(), expected.layout.name());
    assert_eq!(state.layout().to_string().parse::<Layout>(), Ok(state.layout()));
    let envelope = state.envelope();
    assert_eq!(
        (envelope.kind(), envelope.arch()),
        (expected.envelope.kind, expected.envelope.arch.as_deref())
    );
    let tokens: Option<Vec<i32>> = envelope.tokens().map(|tokens| tokens.iter().collect());
    assert_eq!(tokens, expected.envelope.tokens);
    assert_eq!(state.outputs().is_some(), expected.outputs.is_some());
    if let Some((outputs, expected)) = state.outputs().zip(expected.outputs.as_ref()) {
        assert!(outputs.positions.iter().eq(expected.positions.iter().copied()));
        for (bytes, offset, (start, end)) in [
            (outputs.logits, outputs.logits_offset, expected.logits),
            (outputs.embeddings, outputs.embeddings_offset, expected.embeddings),
        ] {
            assert_eq!((bytes, offset), (&blob[start..end], start as u64));
        }
    }
    // Twice: views do not wear out.
    for _ in 0..2 {
        assert_eq!(state.caches().count(), expected.caches.len());
    }
    for (cache, expected) in state.caches().zip(&expected.caches) {
        assert_eq!(
            (cache.offset(), cache.byte_len()),
            (expected.at as u64, (expected.end - expected.at) as u64)
        );
        assert_eq!(cache.stream_count() as usize, expected.streams.len());
        assert_eq!(cache.streams().count(), expected.streams.len());
        for (stream, expected) in cache.streams().zip(&expected.streams) {
            assert_eq!(stream.cell_count() as usize, expected.cells.len());
            assert_eq!(stream.cells_offset(), expected.cells_at as u64);
            let cells: Vec<_> = stream
                .cells()
                .map(|cell| second::Cell {
                    pos: cell.pos,
                    extension: cell.extension().collect(),
                    ids: cell.seq_ids().collect(),
                })
                .collect();
            assert_eq!(cells, expected.cells);
            assert_eq!(
                (stream.is_transposed(), stream.layer_count()),
                (expected.transposed, expected.layers)
            );
            for (tensors, expected) in [(stream.keys(), &expected.keys), (stream.values(), &expected.values)]
            {
                assert_eq!(tensors.clone().count(), expected.len());
                for (i, (tensor, expected)) in tensors.clone().zip(expected).enumerate() {
                    assert_eq!(tensor.layer() as usize, i);
                    same_tensor(&tensor, expected, place);
                }
                if let Ok(blocks) = TensorBlocks::new(tensors) {
                    let all: Vec<u8> =
                        expected.iter().flat_map(|tensor| tensor.data.clone().unwrap()).collect();
                    let mut copied = alloc::vec![0; blocks.shape().len()];
                    blocks.copy_into(&mut copied).unwrap();
                    assert_eq!(copied, all);
                }
            }
            if let (Ok(keys), [.., last]) = (StreamKeys::new(&stream, 1), &expected.keys[..])
                && last.cells > 0
            {
                let shape = keys.shape();
                assert_eq!(u64::from(shape.heads) * u64::from(shape.head_dim), last.width);
                let mut token = alloc::vec![0.0; last.width as usize];
                keys.token_into(shape.layers - 1, shape.tokens - 1, &mut token).unwrap();
                alike(&token, &second::elements(last, last.cells - 1));
                let mut one = [0.0];
                keys.key_into(shape.layers - 1, shape.heads - 1, shape.tokens - 1, &mut one).unwrap();
                alike(&one, &token[token.len() - 1..]);
                assert!(keys.token_into(shape.layers, 0, &mut token).is_err());
                assert!(keys.token_into(0, shape.tokens, &mut token).is_err());
            }
            let _ = stream.keys().next().map(|tensor| alloc::format!("{tensor:?}"));
        }
    }
    for head_dim in [0, 1, 64, 96, 128] {
        let quantised = expected
            .caches
            .iter()
            .flat_map(|cache| &cache.streams)
            .flat_map(|stream| stream.keys.iter().chain(&stream.values))
            .any(|tensor| !matches!(tensor.kind, 0 | 1 | 30));
        let likely = quantised && head_dim % 64 == 0 && !expected.layout.outputs;
        assert_eq!(state.may_be_rotated(head_dim), likely);
    }
}

fn alike(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
            "{found} {expected}"
        );
    }
}

fn same_tensor(tensor: &Tensor<'_>, expected: &second::Tensor, place: impl Fn(&[u8]) -> usize) {
    assert_eq!(tensor.ggml_type().id(), expected.kind as i32);
    assert_eq!(
        (tensor.header_offset(), tensor.offset()),
        (expected.header as u64, expected.header as u64 + 12)
    );
    assert_eq!((tensor.row_size(), u64::from(tensor.width())), (expected.row_size, expected.width));
    assert_eq!(
        (u64::from(tensor.cell_count()), tensor.is_transposed()),
        (expected.cells, expected.transposed)
    );
    assert_eq!(u128::from(tensor.byte_len()), u128::from(expected.row_size) * u128::from(expected.cells));
    assert_eq!(tensor.as_bytes(), expected.data.as_deref());
    let Some(bytes) = tensor.as_bytes() else {
        assert!(tensor.cell(0).is_err() && tensor.blocks().is_err() && tensor.row(0).is_none());
        return;
    };
    if !bytes.is_empty() {
        assert_eq!(place(bytes), expected.header + 12);
    }
    assert_eq!(bytes.len() as u64, tensor.byte_len());
    let beyond = tensor.cell_count();
    assert!(tensor.cell(beyond).is_err() && tensor.cell_into(beyond, 0, &mut []).is_err());
    let Some(last) = beyond.checked_sub(1) else { return };
    for cell in [0, last] {
        let elements = second::elements(expected, cell.into());
        let one_by_one: Vec<f32> = tensor.cell(cell).unwrap().collect();
        alike(&one_by_one, &elements);
        let mut all = alloc::vec![0.0; elements.len()];
        tensor.cell_into(cell, 0, &mut all).unwrap();
        alike(&all, &elements);
        // A part of it, from inside a block on.
        let from = elements.len() / 3;
        let part = &mut all[..elements.len() - from];
        tensor.cell_into(cell, from as u32, part).unwrap();
        alike(part, &elements[from..]);
        assert!(tensor.cell_into(cell, from as u32 + 1, part).is_err());
    }
}

/// A blob of the layout that the input chooses, and whether it is as it has to be.
fn built(choices: &mut Choices<'_>) -> (Vec<u8>, Parts, bool) {
    let (how, what) = (choices.byte(), choices.byte());
    let whole = how & 1 == 0;
    let mut layout = Parts {
        memory: ["kv", "kv", "iswa", "recurrent", "kv", "iswa", "none", "kv"][usize::from(how >> 1 & 7)],
        // No sequence has outputs.
        outputs: whole && what & 1 == 1,
        streams: what & 2 == 0,
        extension: [0, 8, 12, 0][usize::from(what >> 2 & 3)],
        values: what & 16 == 0,
        data: what & 32 == 0,
    };
    if layout.memory == "recurrent" {
        layout.streams = true;
    }
    let mut blob = Vec::new();
    let word = |blob: &mut Vec<u8>, word: u32| blob.extend(word.to_le_bytes());
    let name = ["llama", "mamba", "jamba", "qwen2vl", "gemma3", "of-no-class", "deepseek2", "a"];
    let name = name[usize::from(how >> 4 & 7)];
    let in_file = how & 128 != 0;
    if in_file {
        word(&mut blob, if whole { 0x6767_736E } else { 0x6767_7371 });
        word(&mut blob, if whole { 9 } else { 2 } + u32::from(what >> 6 & 1));
        let tokens = u32::from(choices.byte() % 4);
        word(&mut blob, tokens);
        (0..tokens).for_each(|token| word(&mut blob, token));
    } else if !whole && what & 64 != 0 {
        word(&mut blob, 0xAF14_3CD8);
        word(&mut blob, 0);
    }
    if whole {
        word(&mut blob, name.len() as u32);
        blob.extend(name.bytes());
    }
    if layout.outputs {
        let outputs = u32::from(choices.byte() % 3);
        word(&mut blob, outputs);
        (0..outputs).for_each(|output| word(&mut blob, output));
        for _ in 0..2 {
            blob.extend(u64::from(outputs).to_le_bytes());
            (0..outputs).for_each(|float| word(&mut blob, float));
        }
    }
    let count = match layout.memory {
        "none" => 0,
        "iswa" => 2,
        _ => 1,
    };
    for _ in 0..count {
        build_cache(choices, &mut blob, &layout, whole);
    }
    // The memory of a sequence at once may look like a name.
    let is_sound = whole || in_file || what & 64 != 0;
    (blob, layout, is_sound)
}

fn build_cache(choices: &mut Choices<'_>, blob: &mut Vec<u8>, layout: &Parts, whole: bool) {
    let recurrent = layout.memory == "recurrent";
    let counted = layout.streams && !recurrent;
    let shape = choices.byte();
    let streams = if counted { 1 + u32::from(shape & 3) } else { 1 };
    let layers = u32::from(shape >> 2 & 3) + u32::from(layout.memory != "iswa");
    let transposed = u32::from(shape & 16 != 0 && !recurrent);
    let kinds = choices.array::<2>();
    let kind = |choice: u8, floats: bool| {
        let kinds: &[u32] = if floats { &[0, 1, 30] } else { &[0, 1, 30, 2, 3, 6, 7, 8, 20] };
        kinds[usize::from(choice) % kinds.len()]
    };
    let word = |blob: &mut Vec<u8>, word: u32| blob.extend(word.to_le_bytes());
    if counted {
        word(blob, streams);
    }
    for _ in 0..streams {
        let cells = u32::from(choices.byte() % 6);
        word(blob, cells);
        for cell in 0..cells {
            word(blob, cell * 3);
            let ids = match (whole, recurrent) {
                (true, false) => 1 + u32::from(choices.byte() % 3),
                (true, true) => u32::from(choices.byte() % 3),
                (false, true) => u32::from(choices.byte() % 2),
                (false, false) => 1,
            };
            word(blob, ids);
            blob.extend(&alloc::vec![7; layout.extension]);
            (0..ids).for_each(|id| word(blob, id * 85 + u32::from(shape >> 5)));
        }
        if cells == 0 && counted {
            continue;
        }
        word(blob, transposed);
        word(blob, layers);
        for (values, choice) in [(false, kinds[0]), (true, kinds[1])] {
            if values && !layout.values {
                continue;
            }
            for _ in 0..layers {
                let is_transposed = values && transposed == 1;
                let kind = kind(choice, is_transposed);
                let (elements, size) = second::block(kind).unwrap();
                let blocks = if elements == 1 { 3 } else { 2 };
                word(blob, kind);
                if is_transposed {
                    word(blob, size as u32);
                    word(blob, blocks as u32);
                } else {
                    blob.extend((blocks * size).to_le_bytes());
                }
                if layout.data {
                    let len = (blocks * size) as usize * cells as usize;
                    let source = choices.0.get(..1024).unwrap_or(choices.0);
                    blob.extend(source.iter().copied().chain([0x3C]).cycle().take(len));
                }
            }
        }
    }
}

/// Up to four changes at places that the input chooses.
fn damage(blob: &mut Vec<u8>, choices: &mut Choices<'_>) {
    const EDGES: [u64; 12] =
        [0, 1, 2, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 256, 257, 513, 1 << 63, u64::MAX, u64::MAX / 34];
    for _ in 0..choices.byte() % 5 {
        if blob.is_empty() {
            return;
        }
        let (what, at) = (choices.byte(), choices.below(blob.len()));
        let edge = EDGES[usize::from(choices.byte()) % EDGES.len()].to_le_bytes();
        match what % 6 {
            0 => blob[at] = choices.byte(),
            1 => blob.truncate(at),
            2 => blob.insert(at, choices.byte()),
            3 => {
                blob.remove(at);
            }
            4 => blob.iter_mut().skip(at).zip(&edge[..4]).for_each(|(to, from)| *to = *from),
            _ => blob.iter_mut().skip(at).zip(&edge).for_each(|(to, from)| *to = *from),
        }
    }
}

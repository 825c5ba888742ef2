//! Blobs written by llama.cpp, held to what was known of them when they were written (tests/data/llama_state).

use std::fs;
use std::path::Path;

use bitwire::ErrorKind;
use bitwire::engram::state::{Envelope, Extension, Known, Layout, Memory, State, Tensor, TensorBlocks};
use bitwire::mirror::BlockSource;
use serde_json::Value;
use sha2::{Digest, Sha256};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llama_state");

fn blobs() -> Vec<(String, Vec<u8>, Value)> {
    let mut blobs = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let truth: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let name = truth["blob"].as_str().unwrap().to_owned();
            let bytes = fs::read(Path::new(FOLDER).join(&name)).unwrap();
            blobs.push((name, bytes, truth));
        }
    }
    assert_eq!(blobs.len(), 19);
    blobs
}

fn blob(name: &str) -> Vec<u8> {
    fs::read(Path::new(FOLDER).join(name)).unwrap()
}

fn layout_of(truth: &Value) -> Layout {
    let of = &truth["layout"];
    let memory: Vec<_> = of["mem"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    Layout {
        memory: match memory[..] {
            ["kv"] => Memory::Kv,
            ["kv", "kv"] => Memory::Iswa,
            _ => panic!("{memory:?}"),
        },
        outputs: of["output_section"].as_bool().unwrap(),
        streams: of["n_stream_field"].as_bool().unwrap(),
        extension: match of["ext_size"].as_u64().unwrap() {
            0 => Extension::None,
            8 => Extension::Xy,
            12 => Extension::XyToken,
            other => panic!("{other}"),
        },
        values: of["has_v"].as_bool().unwrap(),
        data: !of["no_data"].as_bool().unwrap(),
    }
}

fn same_tensors<'a>(tensors: impl Iterator<Item = Tensor<'a>>, truth: &Value) {
    let truth = truth.as_array().map_or(&[][..], Vec::as_slice);
    let tensors: Vec<_> = tensors.collect();
    assert_eq!(tensors.len(), truth.len());
    for (tensor, truth) in tensors.iter().zip(truth) {
        assert_eq!(u64::from(tensor.layer()), truth["cache_layer"]);
        assert_eq!(tensor.ggml_type().name(), truth["type"]);
        assert_eq!(i64::from(tensor.ggml_type().id()), truth["type_id"]);
        assert_eq!(u64::from(tensor.width()), truth["n_embd"]);
        assert_eq!(tensor.offset(), truth["offset"]);
        assert_eq!(tensor.byte_len(), truth["length"]);
        match truth.get("row_size") {
            Some(row_size) => assert_eq!(tensor.row_size(), *row_size),
            None => assert_eq!(u64::from(tensor.ggml_type().block_bytes()), truth["el_size"]),
        }
        let hash: String =
            Sha256::digest(tensor.as_bytes().unwrap()).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, truth["sha256"]);
    }
}

#[test]
fn every_real_blob_is_read_as_it_was_written() {
    for (name, bytes, truth) in blobs() {
        let state = State::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(state.layout(), layout_of(&truth), "{name}");
        assert_eq!(state.envelope().kind(), truth["envelope"]["kind"], "{name}");
        match state.envelope().arch() {
            Some(arch) => assert_eq!(arch, truth["arch"], "{name}"),
            None => assert!(truth["envelope"].get("arch").is_none(), "{name}"),
        }
        if let Some(tokens) = state.envelope().tokens() {
            let known: Vec<i64> = serde_json::from_value(truth["sequences"]["0"]["tokens"].clone()).unwrap();
            assert_eq!(tokens.iter().map(i64::from).collect::<Vec<_>>(), known, "{name}");
        }
        if let Some(outputs) = state.outputs() {
            let known = &truth["output_section"];
            assert_eq!(outputs.offset, known["offset"]);
            assert_eq!(outputs.logits_offset, known["logits_offset"]);
            assert_eq!(outputs.embeddings_offset, known["embd_offset"]);
            assert_eq!(outputs.positions.iter().collect::<Vec<_>>(), [4]);
            assert_eq!(outputs.logits.len(), 4 * 320);
            assert!(outputs.embeddings.is_empty());
        } else {
            assert!(truth["output_section"].is_null(), "{name}");
        }
        let caches: Vec<_> = state.caches().collect();
        let known = truth["caches"].as_array().unwrap();
        assert_eq!(caches.len(), known.len(), "{name}");
        for (cache, known) in caches.iter().zip(known) {
            assert_eq!(cache.offset(), known["offset"], "{name}");
            assert_eq!(cache.byte_len(), known["length"], "{name}");
            assert_eq!(u64::from(cache.stream_count()), known["n_stream"], "{name}");
            let known = known["streams"].as_array().unwrap();
            let streams: Vec<_> = cache.streams().collect();
            assert_eq!(streams.len(), known.len(), "{name}");
            for (stream, known) in streams.iter().zip(known) {
                assert_eq!(u64::from(stream.cell_count()), known["cell_count"], "{name}");
                assert_eq!(stream.cells_offset(), known["cells_offset"], "{name}");
                let cells: Vec<_> = stream.cells().collect();
                assert_eq!(cells.len(), known["cells"].as_array().map_or(0, Vec::len), "{name}");
                for (i, cell) in cells.iter().enumerate() {
                    let known = &known["cells"][i];
                    assert_eq!(i64::from(cell.pos), known["pos"], "{name}");
                    let ids: Vec<i32> = serde_json::from_value(known["seq_ids"].clone()).unwrap();
                    assert_eq!(cell.seq_ids().collect::<Vec<_>>(), ids, "{name}");
                    let extension = known.get("ext").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
                    let extension: Vec<i32> = serde_json::from_value(extension).unwrap();
                    assert_eq!(cell.extension().collect::<Vec<_>>(), extension, "{name}");
                }
                if stream.cell_count() > 0 {
                    assert_eq!(u64::from(stream.is_transposed()), known["v_trans"], "{name}");
                    assert_eq!(u64::from(stream.layer_count()), known["n_layer"], "{name}");
                }
                same_tensors(stream.keys(), &known["k"]);
                same_tensors(stream.values(), &known["v"]);
            }
        }
    }
}

#[test]
fn stated_layouts_and_names_are_held_to() {
    let bytes = blob("v0336_qwen2vl_f16_fa_n5_ext12.bin");
    let layout: Layout = "kv+ext12".parse().unwrap();
    let known = Known { arch: Some("qwen2vl"), layout: Some(layout) };
    assert_eq!(State::parse_as(&bytes, &known).unwrap().layout(), layout);

    let other = Known { arch: Some("llama"), layout: None };
    let error = State::parse_as(&bytes, &other).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StateArch { .. }));
    assert_eq!(error.offset(), 4);

    let other = Known { arch: None, layout: Some("kv".parse().unwrap()) };
    let error = State::parse_as(&bytes, &other).unwrap_err();
    // It takes x = 0 for the first cell's sequence, y = 0 for the second's position, token 153 for its number of sequences:
    // 0, then 1 (the next cell's position), then 1 again (its n_seq_id), which does not ascend.
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Order { field: "seq_id" }, 19 + 7 * 4));
    for text in ["", "kv+ext9", "kv-", "+outputs", "kv streams", "KV"] {
        assert!(text.parse::<Layout>().is_err(), "{text}");
    }
}

#[test]
fn every_cut_and_every_further_byte_is_an_error() {
    for (name, bytes, _) in blobs() {
        let step = bytes.len() / 500 + 1;
        for len in (0..bytes.len().min(400)).chain((400..bytes.len()).step_by(step)) {
            // Not every one: the first of two caches, or keys without values, may end here.
            if let Ok(state) = State::parse(&bytes[..len]) {
                assert_ne!(
                    state.layout().to_string(),
                    layout_of(&blobs_truth(&name)).to_string(),
                    "{name} cut to {len}"
                );
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        let error = State::parse(&longer).unwrap_err();
        // The blob of keys alone may be one whose values are cut off.
        let keys_alone = layout_of(&blobs_truth(&name)).to_string() == "kv-values";
        assert_eq!(error.kind().name(), if keys_alone { "Truncated" } else { "TrailingBytes" }, "{name}");
        assert_eq!(error.offset(), bytes.len() as u64, "{name}");
    }
}

fn blobs_truth(name: &str) -> Value {
    let json = Path::new(FOLDER).join(name).with_extension("json");
    serde_json::from_slice(&fs::read(json).unwrap()).unwrap()
}

#[test]
fn elements_are_those_that_numpy_has() {
    for (name, bytes, truth) in blobs() {
        let Some(npy) = truth.get("npy") else { continue };
        let state = State::parse(&bytes).unwrap();
        let stream = state.caches().next().unwrap().streams().next().unwrap();
        for (tensors, file) in [(stream.keys(), &npy["k"]), (stream.values(), &npy["v"])] {
            // [layers][cells][n_embd] f32, after a header of 128 bytes.
            let known = blob(file.as_str().unwrap());
            let mut known = known[128..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x));
            for tensor in tensors {
                let mut row = vec![0.0; tensor.width() as usize];
                for cell in 0..tensor.cell_count() {
                    tensor.cell_into(cell, 0, &mut row).unwrap();
                    for (i, &x) in row.iter().enumerate() {
                        assert_eq!(
                            x.to_bits(),
                            known.next().unwrap().to_bits(),
                            "{name} {tensor:?} {cell} {i}"
                        );
                    }
                    // From the middle of a block, to the middle of one.
                    let mut part = [0.0; 9];
                    tensor.cell_into(cell, 27, &mut part).unwrap();
                    assert_eq!(part, row[27..36]);
                    assert!(tensor.cell(cell).unwrap().eq(row.iter().copied()));
                }
            }
            assert!(known.next().is_none(), "{name}");
        }
    }
}

#[test]
fn blocks_of_a_blob_go_to_mirrors() {
    let bytes = blob("v0336_llama_f16_fa_n37_savestate.bin");
    let state = State::parse(&bytes).unwrap();
    let stream = state.caches().next().unwrap().streams().next().unwrap();
    let all = TensorBlocks::new(stream.keys()).unwrap();
    assert_eq!(all.shape().to_string(), "148 x 64 f16");
    assert!(all.borrowed().is_none());
    let mut out = vec![0; all.shape().len()];
    all.copy_into(&mut out).unwrap();
    let mut apart = stream.keys().flat_map(|tensor| tensor.blocks().unwrap().as_bytes().to_vec());
    assert!(out.iter().all(|&b| apart.next() == Some(b)) && apart.next().is_none());

    // Transposed values are blocks of a column each.
    let bytes = blob("v0336_llama_f16_vtrans_n37_savestate.bin");
    let state = State::parse(&bytes).unwrap();
    let stream = state.caches().next().unwrap().streams().next().unwrap();
    assert_eq!(stream.values().next().unwrap().blocks().unwrap().shape().to_string(), "64 x 37 f16");

    let bytes = blob("v0336_llama_hd64_q4_0_fa_n37_rot.bin");
    let state = State::parse(&bytes).unwrap();
    let stream = state.caches().next().unwrap().streams().next().unwrap();
    let error = TensorBlocks::new(stream.keys()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::GgmlType { found: 2, transposed: false });
    assert!(state.may_be_rotated(64) && !state.may_be_rotated(32));
}

#[test]
fn models_that_cannot_be_walked_are_refused_by_name() {
    let bytes = [&5u32.to_le_bytes()[..], b"jamba", &1u32.to_le_bytes(), &0u32.to_le_bytes()].concat();
    let error = State::parse(&bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::StateMemory { .. }), "{error}");
    assert!(error.to_string().contains("jamba"));
    // The name can come from outside.
    let sequence = [&0xAF14_3CD8u32.to_le_bytes()[..], &[0; 4], &1u32.to_le_bytes(), &[0; 4]].concat();
    assert!(matches!(State::parse(&sequence).unwrap().envelope(), Envelope::Sequence { seq_id: Some(0) }));
    let known = Known { arch: Some("lfm2"), layout: None };
    assert!(matches!(State::parse_as(&sequence, &known).unwrap_err().kind(), ErrorKind::StateMemory { .. }));
}

//! State blobs of llama.cpp: shown, and their keys as arrays.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/llama_state", name].iter().collect()
}

fn with(name: &str) -> Folder {
    let folder = Folder::new();
    fs::copy(fixture(name), folder.path("blob")).unwrap();
    folder
}

/// The dimensions and the values of a .npy file of f32.
fn floats(file: &[u8]) -> (Vec<usize>, Vec<f32>) {
    let end = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..end]).unwrap();
    assert!(header.contains("'descr': '<f4', 'fortran_order': False"), "{header}");
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let dims = shape.split(',').map(str::trim).filter(|dim| !dim.is_empty()).map(|dim| dim.parse().unwrap());
    let values = file[end..].as_chunks().0.iter().map(|&x| f32::from_le_bytes(x)).collect();
    (dims.collect(), values)
}

fn written(folder: &Folder, name: &str) -> (Vec<usize>, Vec<f32>) {
    floats(&folder.read(name))
}

#[test]
fn every_blob_is_shown_as_it_was_written() {
    let mut count = 0;
    for entry in fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let truth: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let folder = with(truth["blob"].as_str().unwrap());
        let run = folder.bitwire("engram state blob --json --sha256");
        assert_eq!(run.status, Some(0), "{run:?}");
        let shown = run.json("engram-state");
        for name in ["bytes", "envelope", "layout", "output_section", "caches"] {
            assert_eq!(shown[name], truth[name], "{}: {name}", truth["blob"]);
        }
        // Where the head dim is known it is said right whether the blob may be rotated.
        count += 1;
        let Some(head_dim) = truth["model_info"]["head_dim"].as_u64() else { continue };
        let run = folder.bitwire(&format!("engram state blob --head-dim {head_dim} --json"));
        let rotated = truth["k_rotated_hadamard"] != 0 || truth["v_rotated_hadamard"] != 0;
        assert_eq!(run.json("engram-state")["may_be_rotated"], rotated, "{}", truth["blob"]);
        assert_eq!(run.err.contains("Hadamard rotation"), rotated, "{run:?}");
    }
    assert_eq!(count, 19);
}

#[test]
fn a_person_is_told_the_same() {
    let folder = with("v0336_llama_f16_fa_streams3.bin");
    let text = folder.bitwire("engram state blob").good();
    let expected = "file        blob: 19917 bytes\n\
        envelope    state, arch llama\n\
        layout      kv\n\
        cache       0: kv, 19908 bytes at 9, 3 streams\n\
        stream      0: 12 cells: positions 0-11 of sequence 0\n\
        keys        layers 0-3: f16, 64 a cell in 128 bytes; 6144 bytes in all\n\
        values      layers 0-3: f16, 64 a cell in 128 bytes; 6144 bytes in all\n\
        stream      1: no cells\n\
        stream      2: 7 cells: positions 0-6 of sequence 2\n\
        keys        layers 0-3: f16, 64 a cell in 128 bytes; 3584 bytes in all\n\
        values      layers 0-3: f16, 64 a cell in 128 bytes; 3584 bytes in all\n";
    assert_eq!(text.text(), expected);

    let folder = with("v0336_llama_f16_fa_n37.session.bin");
    let text = folder.bitwire("engram state blob --arch llama --layout kv").good();
    assert!(
        text.text().contains("envelope    session file, version 10, 37 tokens, arch llama\n"),
        "{text:?}"
    );
    // Of 64 components in two heads nobody knows without the head dim.
    let folder = with("v0336_llama_hd32_q8_0_fa_n37_norot.bin");
    let run = folder.bitwire("engram state blob");
    assert!(run.err.contains("if heads have a multiple of 64 components (--head-dim D says so)"), "{run:?}");
    folder.bitwire("engram state blob --head-dim 32").good();
    let stream = folder.with_stdin(&folder.read("blob"), "engram state - --head-dim 32").good();
    assert!(stream.text().starts_with("file        standard input: 20693 bytes\n"), "{stream:?}");
}

#[test]
fn blobs_that_are_none() {
    let folder = with("v0336_llama_f16_fa_n37_savestate.bin");
    folder.bitwire("engram state none").refused("none: No such file or directory");
    folder.put("cut", &folder.read("blob")[..20_000]);
    let run = folder.bitwire("engram state cut").usage("cut: ");
    assert!(run.err.contains("(at byte "), "{run:?}");
    folder.bitwire("engram state blob --arch gemma3").usage("blob: ");
    folder.bitwire("engram state blob --layout kv+wings").usage("--layout");
    let run = folder.bitwire("engram state blob --layout iswa").usage("blob: ");
    assert!(run.err.contains("(at byte "), "{run:?}");
    folder.bitwire("engram state blob --sha256").usage("required arguments");
    folder.put("empty", b"");
    folder
        .bitwire("engram state empty")
        .refused("empty: truncated: n_stream needs 4 bytes, 0 are there (at byte 0)");
    // One cell of a sequence of 0.3.16 without v_trans, and the recurrent state of a cell, look the same: seq_id, one cell,
    // 0, one layer, R or K of one f32, S or V of one f32.
    let words = [1u32, 0, 0, 0, 1, 0, 4, 0, 0, 0, 4, 0, 0];
    let blob: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    folder.put("either", &blob);
    let run = folder.bitwire("engram state either").usage("either: more than one layout fits: ");
    assert!(run.err.ends_with("; give --layout L with the right one, or --arch A\n"), "{run:?}");
    assert!(run.err.contains("kv-streams") && run.err.contains("recurrent"), "{run:?}");
    let shown = folder.bitwire("engram state either --layout kv-streams --json").good().json("engram-state");
    assert_eq!(shown["layout_name"], "kv-streams");
    let shown = folder.bitwire("engram state either --arch mamba --json").good().json("engram-state");
    assert_eq!(shown["caches"][0]["class"], "recurrent");
}

#[test]
fn keys_and_values_are_those_of_the_reference() {
    for name in ["v0336_llama_f16_vtrans_n37_savestate", "v0336_llama_hd64_bf16_fa_n5"] {
        let folder = with(&format!("{name}.bin"));
        let head_dim = if name.contains("hd64") { 64 } else { 32 };
        for (part, option) in [("k", ""), ("v", " --values")] {
            let (dims, known) = floats(&fs::read(fixture(&format!("{name}.{part}.npy"))).unwrap());
            let &[layers, cells, width] = dims.as_slice() else { panic!("{dims:?}") };
            let run = folder.bitwire(&format!("engram keys blob out.npy --json{option}")).good();
            assert_eq!(run.json("engram-keys")["shape"], json!([layers, 1, cells, width]));
            let (dims, flat) = written(&folder, "out.npy");
            assert_eq!(dims, [layers, 1, cells, width]);
            assert!(flat == known, "{name} {part}");

            folder.bitwire(&format!("engram keys blob out.npy --head-dim {head_dim}{option}")).good();
            let (dims, heads) = written(&folder, "out.npy");
            assert_eq!(dims, [layers, width / head_dim, cells, head_dim]);
            for (place, &x) in heads.iter().enumerate() {
                let (rest, d) = (place / head_dim, place % head_dim);
                let (rest, cell) = (rest / cells, rest % cells);
                let (layer, head) = (rest / (width / head_dim), rest % (width / head_dim));
                assert_eq!(x, flat[(layer * cells + cell) * width + head * head_dim + d]);
            }
        }
    }
}

#[test]
fn rotations_are_undone() {
    let folder = with("v0336_llama_hd64_q4_0_fa_n37_rot.bin");
    folder.bitwire("engram keys blob stored.npy --head-dim 64").good();
    folder.bitwire("engram keys blob keys.npy --head-dim 64 --hadamard").good();
    let ((dims, stored), (_, keys)) = (written(&folder, "stored.npy"), written(&folder, "keys.npy"));
    assert_eq!(dims, [8, 2, 37, 64]);
    // Sylvester's matrix: row i, column j have the sign of the number of bits that i and j share.
    for (row, found) in stored.chunks(64).zip(keys.chunks(64)) {
        for (i, &found) in found.iter().enumerate() {
            let sign = |j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
            let sum: f64 = row.iter().enumerate().map(|(j, &x)| sign(j) * f64::from(x)).sum();
            assert!((sum / 8.0 - f64::from(found)).abs() < 1e-5);
        }
    }
    // An array of keys is taken like a blob.
    folder.bitwire("engram keys stored.npy again.npy --hadamard=64").good();
    assert_eq!(folder.read("again.npy"), folder.read("keys.npy"));

    folder
        .bitwire("engram keys keys.npy bare.npy --rope-base 10000 --rope-pairs interleaved --rope-dims 4")
        .good();
    let (_, bare) = written(&folder, "bare.npy");
    for (number, (turned, found)) in keys.chunks(64).zip(bare.chunks(64)).enumerate() {
        let position = (number % 37) as f64;
        let mut expected: Vec<f64> = turned.iter().map(|&x| x.into()).collect();
        for (pair, frequency) in [(0, 1.0), (1, 0.01)] {
            let (a, b) = (expected[2 * pair], expected[2 * pair + 1]);
            let (sin, cos) = (position * frequency).sin_cos();
            (expected[2 * pair], expected[2 * pair + 1]) = (a * cos + b * sin, b * cos - a * sin);
        }
        assert!(found.iter().zip(&expected).all(|(&a, b)| (f64::from(a) - b).abs() < 1e-5));
    }
}

#[test]
fn which_keys() {
    let folder = with("v0336_gemma3_f16_fa_n60.seq.bin");
    folder.bitwire("engram keys blob out.npy").refused("blob: has 2 caches: give --section N");
    folder
        .bitwire("engram keys blob out.npy --section 2")
        .refused("blob: there is no such section: it has 2 caches");
    folder.bitwire("engram keys blob out.npy --section 1").good();
    assert_eq!(written(&folder, "out.npy").0, [5, 1, 16, 32]);
    folder.bitwire("engram keys blob out.npy --section 0").good();
    assert_eq!(written(&folder, "out.npy").0, [1, 1, 60, 32]);

    let folder = with("v0336_llama_f16_fa_streams3.bin");
    folder.bitwire("engram keys blob out.npy").refused("blob: the cache has 3 streams: give --stream N");
    folder.bitwire("engram keys blob out.npy --stream 3").refused("blob: the cache has 3 streams");
    folder.bitwire("engram keys blob out.npy --stream 1").refused("blob: there are no keys");
    folder.bitwire("engram keys blob out.npy --stream 2 --head-dim 32").good();
    assert_eq!(written(&folder, "out.npy").0, [4, 2, 7, 32]);
    let before = folder.read("out.npy");

    let message = "blob: keys of 64 components are not made of heads of 48";
    folder.bitwire("engram keys blob out.npy --stream 2 --head-dim 48").refused(message);
    let message = "blob: llama.cpp does not rotate heads of 32: give --hadamard=BLOCK";
    folder.bitwire("engram keys blob out.npy --stream 2 --head-dim 32 --hadamard").refused(message);
    let line = "engram keys blob out.npy --stream 2 --rope-base 10000 --rope-pairs halves";
    folder.bitwire(line).refused("blob: RoPE turns each head by itself: give --head-dim D");
    folder.bitwire("engram keys blob out.npy --rope-base 10000").usage("required arguments");
    folder.bitwire("engram keys blob out.npy --values --rope-base 1 --rope-pairs halves").usage("--values");
    folder.bitwire("engram keys blob blob --stream 0").refused("blob: is an input, and would be overwritten");
    folder.bitwire("engram keys none out.npy").refused("none: No such file or directory");
    // Whatever is refused leaves what was there.
    assert_eq!(folder.read("out.npy"), before);
    assert_eq!(folder.names(), ["blob", "out.npy"]);

    folder
        .bitwire("engram keys out.npy x.npy --stream 0")
        .refused("out.npy: --stream is for state blobs; this is an array");
    folder.put("flat.npy", npy("<f4", false, &[2, 3], &[0; 24]));
    folder.bitwire("engram keys flat.npy x.npy").usage("flat.npy: ");
    // Room for two thousand million positions is not asked for.
    for (shape, field) in [
        ([0, 1, 2_147_483_647, 1], "layers"),
        ([4_294_967_295, 0, 2_147_483_647, 1], "heads"),
        ([2, 3, 0, 4], "tokens"),
        ([2, 3, 2_147_483_647, 0], "head_dim"),
    ] {
        folder.put("none.npy", npy("<f4", false, &shape, &[]));
        folder.bitwire("engram keys none.npy x.npy").refused(&format!("none.npy: {field} is 0, needed is 1"));
    }
    let folder = with("v0336_deepseek2_mla_f16_fa_n5_konly.bin");
    folder.bitwire("engram keys blob out.npy --values").refused("blob: there are no values");
    assert!(!Path::new(&folder.path("out.npy")).exists());
}

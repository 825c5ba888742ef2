//! Fingerprints, whitenings and the semantic proof.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/engram/state", name].iter().collect()
}

fn with(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        fs::copy(fixture(name), folder.path(name)).unwrap();
    }
    folder
}

/// What a .npy file says of itself, and its data.
fn array(file: &[u8]) -> (String, Vec<u8>) {
    let end = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
    let header = std::str::from_utf8(&file[10..end]).unwrap().trim_end();
    (header.trim_end_matches([' ', '}']).to_owned(), file[end..].to_vec())
}

fn floats(file: &[u8]) -> Vec<f64> {
    let (header, data) = array(file);
    assert!(header.contains("'<f4'"), "{header}");
    data.as_chunks().0.iter().map(|&x| f32::from_le_bytes(x).into()).collect()
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

#[track_caller]
fn near(found: &[f64], stated: &[f64], tolerance: f64) {
    assert_eq!(found.len(), stated.len());
    for (found, stated) in found.iter().zip(stated) {
        assert!((found - stated).abs() <= tolerance, "{found}, expected {stated}");
    }
}

#[test]
fn engrams_methods_give_its_results() {
    let folder = with(&["keys_small.npy"]);
    let print = |options: &str| {
        let run =
            folder.bitwire(&format!("engram fingerprint keys_small.npy out.npy --json{options}")).good();
        (run.json("engram-fingerprint"), floats(&folder.read("out.npy")))
    };
    let stated = |name: &str| floats(&fs::read(fixture(name)).unwrap());
    let (told, found) = print("");
    near(&found, &stated("mean_spec.state_vec.npy"), 1e-6);
    assert_eq!(
        (&told["method"], &told["shape"], &told["store"]),
        (&json!("mean"), &json!([32]), &json!("f32"))
    );
    assert_eq!(
        (&told["bytes"], &told["scales"], &told["delta_q16"]),
        (&json!(128), &Value::Null, &Value::Null)
    );
    close(told["norm"].clone(), 3.535_727_262_496_948_2, 1e-6);
    near(&print(" --layers 2..9").1, &stated("mean_2_9.state_vec.npy"), 1e-6);
    near(&print(" --layers 8..24").1, &stated("mean_8_24_clamped_to_12.state_vec.npy"), 1e-6);
    near(&print(" --method fourier").1, &stated("fp_small.v1.npy"), 1e-6);
    near(&print(" --method fourier2").1, &stated("fp_small.v2.npy"), 1e-6);
    near(&print(" --method fourier --frequencies 2,1,0").1, &stated("fp_small.v1f210.npy"), 1e-6);
    let (told, found) = print(" --method svd --back-project");
    near(&found, &stated("svd_r160_clamped.backproj.npy"), 1e-5);
    assert_eq!(told["rows"], 9 * 2 * 24);
    // Signs are another's choice there.
    let (_, found) = print(" --method svd --gate 6");
    let absolute = |values: Vec<f64>| values.into_iter().map(f64::abs).collect::<Vec<_>>();
    near(&absolute(found), &absolute(stated("svd_r160_gate6.state_vec.npy")), 1e-5);
    let (told, found) = print(" --method xkv --rank 12");
    near(&absolute(found), &absolute(stated("xkv_spec.state_vec.npy")), 1e-5);
    assert_eq!(told["groups"], 3);
}

/// One key of three components.
fn tiny() -> Folder {
    let folder = Folder::new();
    folder.put("k.npy", npy("<f4", false, &[1, 1, 1, 3], &f32s(&[1.0, -2.0, 0.25])));
    folder
}

#[test]
fn fingerprints_are_stored_as_asked() {
    let folder = tiny();
    let store = |store: &str| {
        let line = format!("engram fingerprint k.npy out.npy --layers all --store {store} --json");
        let told = folder.bitwire(&line).good().json("engram-fingerprint");
        let (header, data) = array(&folder.read("out.npy"));
        let shape =
            told["shape"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
        assert!(header.contains(&format!("'shape': ({shape},)")), "{header}");
        (told, header.split('\'').nth(3).unwrap().to_owned(), data)
    };
    assert_eq!(store("f32").2, f32s(&[1.0, -2.0, 0.25]));
    let (_, descr, data) = store("f16");
    assert_eq!((descr.as_str(), data), ("<f2", vec![0x00, 0x3C, 0x00, 0xC0, 0x00, 0x34]));
    // The smallest step at which -2 fits: 2 * 65536 / 32768 = 4 of 2^-16.
    let (told, descr, data) = store("mu16");
    assert_eq!((descr.as_str(), &told["delta_q16"], &told["saturated"]), ("<i2", &json!(4), &json!(0)));
    assert_eq!(data, [16384i16, -32768, 4096].map(i16::to_le_bytes).concat());
    let (told, descr, data) = store("i8");
    assert_eq!((descr.as_str(), data), ("|i1", vec![64, 0x81, 16]));
    close(told["scales"][0].clone(), 2.0 / 127.0, 1e-7);
    assert_eq!(told["bytes"], 7);
    let (told, descr, data) = store("bits");
    assert_eq!((descr.as_str(), data, &told["bytes"]), ("|u1", vec![0b010], &json!(1)));

    let text = folder.bitwire("engram fingerprint k.npy out.npy --layers all --store i8").good();
    assert!(text.text().contains("vectors     1 of 3 components, 7 bytes as i8\n"), "{text:?}");
    let line = "engram fingerprint k.npy out.npy --layers all --store mu16 --delta-q16 1";
    let run = folder.bitwire(line);
    let warning =
        "bitwire: warning: k.npy: 2 components saturate; a larger --delta-q16, or auto, holds them\n";
    assert_eq!((run.status, run.err.as_str()), (Some(0), warning));
    let stream = folder.with_stdin(&folder.read("k.npy"), "engram fingerprint - - --layers all").good();
    assert_eq!(floats(&stream.out), [1.0, -2.0, 0.25]);
    folder
        .bitwire("engram fingerprint k.npy - --json")
        .refused("--json needs a file to write to: standard output (-) carries the file");
}

#[test]
fn what_gives_no_fingerprint() {
    let folder = tiny();
    let print = |options: &str| folder.bitwire(&format!("engram fingerprint {options}"));
    print("none out.npy").refused("none: No such file or directory");
    print("k.npy out.npy --rank 3").refused("--rank is not for --method mean");
    print("k.npy out.npy --method whitened").refused("--method whitened needs --whitening FILE.bit");
    print("k.npy out.npy --whitening k.npy").usage("k.npy: ");
    print("k.npy out.npy --layers 3").usage("--layers");
    print("k.npy out.npy --layers 1..2").usage("k.npy: ");
    print("k.npy out.npy --method fourier --frequencies 1").usage("k.npy: ");
    folder.put("nan.npy", npy("<f4", false, &[1, 1, 1, 2], &f32s(&[0.0, f32::NAN])));
    let message = "nan.npy: layer 0, head 0, token 0: component 1 of the key is not finite";
    print("nan.npy out.npy").refused(message);
    folder.put("wide.npy", npy("<f4", false, &[1, 1, 1, 2], &f32s(&[1e6, 0.0])));
    print("wide.npy out.npy --store f16").usage("wide.npy: ");
    folder.put("none.npy", npy("<f4", false, &[0, 4_000_000_000, 4_000_000_000, 4_000_000_000], &[]));
    let run = print("none.npy out.npy");
    assert!(run.status == Some(2) && run.err.starts_with("bitwire: none.npy: "), "{run:?}");
    let blob: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/data/llama_state/v0336_gemma3_f16_fa_n60.seq.bin"]
            .iter()
            .collect();
    fs::copy(blob, folder.path("blob")).unwrap();
    let message =
        "blob: --method mean goes by heads, of which a blob does not say the size: give --head-dim D";
    print("blob out.npy").refused(message);
    assert!(!folder.path("out.npy").exists());
    // Both caches of a model with sliding windows: one frequency of 1 x 32 and 1 x 32 components.
    print("blob out.npy --method fourier2 --frequencies 0").good();
    assert_eq!(floats(&folder.read("out.npy")).len(), 64);
}

/// Numbers in -1 to 1 without a pattern, always the same.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Texts of 20 tokens: what all have in common is large, what each has of its own is small. [2, 2, 20, 4]
fn texts(folder: &Folder, count: u64) {
    for text in 0..count {
        let mut own = noise(text + 1);
        let topic: Vec<f32> = (0..8).map(|_| own()).collect();
        let mut keys = vec![0.0; 2 * 2 * 20 * 4];
        for (place, key) in keys.iter_mut().enumerate() {
            let (head, component) = (place / 80 % 2, place % 4);
            *key = 50.0 * (component as f32 - 1.0) + topic[head * 4 + component] + 0.2 * own();
        }
        folder.put(format!("t{text}.npy"), npy("<f4", false, &[2, 2, 20, 4], &f32s(&keys)));
        // Other tokens of the same topic.
        for (place, key) in keys.iter_mut().enumerate() {
            let (head, component) = (place / 80 % 2, place % 4);
            *key = 50.0 * (component as f32 - 1.0) + topic[head * 4 + component] + 0.2 * own();
        }
        folder.put(format!("q{text}.npy"), npy("<f4", false, &[2, 2, 20, 4], &f32s(&keys)));
    }
}

const FIT: &str = "engram whiten fit w.bit kv tiny layer1 t0.npy t1.npy t2.npy t3.npy t4.npy t5.npy";

#[test]
fn whitened_texts_are_found_again() {
    let folder = Folder::new();
    texts(&folder, 6);
    let fitted = folder.bitwire(&format!("{FIT} --tokens 1..-1 --json")).good().json("engram-whiten-fit");
    assert_eq!((&fitted["dim"], &fitted["outputs"], &fitted["keys"]), (&json!(8), &json!(8), &json!(6 * 18)));
    assert_eq!(
        fitted["context"],
        json!({ "space_id": "kv", "model_id": "tiny", "pi_id": "layer1", "dim": 8 })
    );
    let shown = folder.bitwire("engram whiten show w.bit --json").good().json("engram-whiten-show");
    assert_eq!((&shown["dim"], &shown["digest"]), (&json!(8), &fitted["digest"]));
    let text = folder.bitwire("engram whiten show w.bit").good();
    assert!(text.text().contains("whitening   keys of 8 components become 8\n"), "{text:?}");
    folder.bitwire("verify w.bit").good();

    for (method, options) in [("whitened", " --method whitened"), ("centroids", " --centroids 3")] {
        let mut all = Vec::new();
        let mut lines = String::new();
        for text in 0..6 {
            let line =
                format!("engram fingerprint t{text}.npy f.npy --whitening w.bit --store f32{options} --json");
            let told = folder.bitwire(&line).good().json("engram-fingerprint");
            assert_eq!((&told["method"], &told["tokens"]), (&json!(method), &json!(20)));
            all.extend(array(&folder.read("f.npy")).1);
            lines += &format!("{{\"cache_id\":\"t{text}\"}}\n");
        }
        let shape: &[usize] = if method == "whitened" { &[6, 8] } else { &[6, 3, 8] };
        folder.put("all.npy", npy("<f4", false, shape, &all));
        folder.put("e.jsonl", lines);
        let line =
            "engram index build x.bit kv tiny layer1 all.npy --entries e.jsonl --whitening w.bit --json";
        let built = folder.bitwire(line).good().json("engram-index-build");
        assert_eq!(built["whitening"].as_str(), fitted["digest"].as_str().map(|digest| &digest[..16]));
        let metric = if method == "whitened" { "cosine" } else { "maxsim" };
        assert_eq!((&built["method"], &built["metric"]), (&json!(method), &json!(metric)));
        assert_eq!(built["store"], if method == "whitened" { "f32" } else { "bits" });
        for text in 0..6 {
            let line = format!("engram index search x.bit q{text}.npy --whitening w.bit --top-k 1 --json");
            let found = folder.bitwire(&line).good().json("engram-index-search");
            assert_eq!(found["results"][0]["cache_id"], format!("t{text}"), "{method}");
        }
    }
    // The default: 16 centroids as bits, of as many components as there are.
    folder.bitwire("engram fingerprint t0.npy f.npy --whitening w.bit").good();
    let (header, data) = array(&folder.read("f.npy"));
    assert!(header.contains("'|u1'") && header.contains("(16, 1)"), "{header}");
    assert_eq!(data.len(), 16);

    let other = FIT.replace("w.bit", "other.bit");
    folder.bitwire(&format!("{other} --components 3")).good();
    let message = "other.bit: is not the whitening that made the vectors of the index";
    folder.bitwire("engram index search x.bit q0.npy --whitening other.bit").refused(message);
}

#[test]
fn what_no_whitening_is_fitted_to() {
    let folder = Folder::new();
    texts(&folder, 6);
    folder.put("narrow.npy", npy("<f4", false, &[1, 1, 2, 3], &f32s(&[0.0; 6])));
    let fit = |inputs: &str| folder.bitwire(&format!("engram whiten fit w.bit a b c {inputs}"));
    fit("t0.npy none.npy").refused("none.npy: No such file or directory");
    let message = "narrow.npy: a token has keys of 3 components, in the files before of 8";
    fit("t0.npy narrow.npy").refused(message);
    fit("t0.npy --layer 2").usage("t0.npy: ");
    fit("t0.npy --tokens 20..").usage("t0.npy: ");
    fit("t0.npy --components 9").usage("");
    fit("narrow.npy").usage("");
    assert!(!folder.path("w.bit").exists());
    folder.bitwire("engram whiten show t0.npy").usage("t0.npy: ");
    folder.put("index.bit", b"BIT\x01");
    folder.bitwire("engram whiten show index.bit").usage("index.bit: ");
}

#[test]
fn the_proof_says_who_was_found() {
    let folder = Folder::new();
    texts(&folder, 6);
    folder.bitwire(FIT).good();
    for (options, method, metric, store) in
        [("", "centroids", "maxsim", "bits"), (" --method whitened", "whitened", "cosine", "f32")]
    {
        let line = format!(
            "engram proof t1.npy t2.npy q1.npy p.json --whitening w.bit --egr 600000 --json{options}"
        );
        let told = folder.bitwire(&line).good().json("engram-proof");
        let written: Value = serde_json::from_slice(&folder.read("p.json")).unwrap();
        assert_eq!(told, written);
        assert_eq!((&told["verdict"], &told["correct"]), (&json!("PASS"), &json!(true)));
        assert_eq!(
            (&told["method"], &told["metric"], &told["store"]),
            (&json!(method), &json!(metric), &json!(store))
        );
        let score = |name: &str| told[name].as_f64().unwrap();
        close(told["margin"].clone(), score("score_a") - score("score_b"), 1e-5);
        assert!(score("margin") > 0.05);
        let part = |name: &str| told["timings_ms"][name].as_f64().unwrap();
        close(told["egr_ms"].clone(), part("extract_query") + part("search"), 1e-9);
        assert_eq!(told["thresholds"], json!({ "margin": 0.05f32, "egr_ms": 600_000 }));
    }
    // The query belongs to the other one, or the margin is asked too much.
    let run = folder.bitwire("engram proof t2.npy t1.npy q1.npy p.json --whitening w.bit --egr 600000");
    assert!(run.status == Some(1) && run.text().ends_with("verdict     FAIL\n"), "{run:?}");
    let run =
        folder.bitwire("engram proof t1.npy t2.npy q1.npy p.json --whitening w.bit --egr 600000 --margin 2");
    assert_eq!((run.status, run.err.as_str()), (Some(1), ""));
    let run = folder.bitwire("engram proof t1.npy t2.npy q1.npy - --egr 600000 --method mean");
    assert_eq!(run.json("engram-proof")["method"], "mean");

    let before = folder.read("p.json");
    folder.put("nan.npy", npy("<f4", false, &[1, 1, 1, 2], &f32s(&[0.0, f32::NAN])));
    let message = "nan.npy: layer 0, head 0, token 0: component 1 of the key is not finite";
    folder.bitwire("engram proof t0.npy t1.npy nan.npy p.json").refused(message);
    folder.bitwire("engram proof t0.npy none t1.npy p.json").refused("none: No such file or directory");
    assert_eq!(folder.read("p.json"), before);
}

//! Certificates: ENGRAM's own files shown, and written again.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/engram/eigengram", name].iter().collect()
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn with(name: &str) -> Folder {
    let folder = Folder::new();
    fs::copy(fixture(name), folder.path("in.eng")).unwrap();
    folder
}

#[test]
fn a_certificate_is_shown_as_the_original_reads_it() {
    for id in ["r16_plain", "r16_flag_only", "r116_fourier2048_v2_2048", "spec_v10_r116", "r0_empty"] {
        let folder = with(&format!("{id}.eng"));
        let shown = folder.bitwire("engram eng show in.eng --json").good().json("engram-eng-show");
        let case = &expected()["cases"][id];
        let same = |name: &str, found: &Value| {
            let stated = &case["decoded"][name];
            match (found.as_f64(), stated.as_f64()) {
                (Some(found), Some(stated)) => assert_eq!(found, stated, "{id} {name}"),
                _ => assert_eq!(found, stated, "{id} {name}"),
            }
        };
        for name in case["decoded"].as_object().unwrap().keys() {
            same(name, &shown[name]);
        }
        assert_eq!(shown["header_bytes"], case["header_bytes"]);
        assert_eq!(shown["bytes"], case["bytes"]);
        assert_eq!((&shown["valid"], &shown["error"]), (&json!(true), &Value::Null));
        let text = folder.bitwire("engram eng show in.eng").good();
        let model = case["decoded"]["model_id"].as_str().unwrap();
        assert!(text.text().contains(&format!("model       {model}\n")), "{}", text.text());
    }
}

#[test]
fn what_is_there_of_a_damaged_certificate_is_shown() {
    let folder = with("r16_text_cut_mid_utf8.eng");
    let message = "bitwire: in.eng: task_description is not UTF-8 (at byte 682)\n";
    let run = folder.bitwire("engram eng show in.eng --json").invalid(message);
    let shown = run.json("engram-eng-show");
    assert_eq!(shown["error"]["kind"], "Utf8");
    assert_eq!(shown["task_description_rest_hex"], "e6");
    assert_eq!(shown["cache_id"], "ключ-".repeat(7));
    assert_eq!(shown["vectors"]["vec_perdoc"].as_array().unwrap().len(), 16);
    let text = folder.bitwire("engram eng show in.eng").invalid(message);
    assert!(text.text().contains("\\xe6\n"), "{}", text.text());

    let folder = with("spec_v10_r16_plus2.eng");
    let message = "in.eng: the certificate has 440 bytes; its fields give ";
    let run = folder.bitwire("engram eng show in.eng");
    assert!(run.status == Some(2) && run.err.contains(message), "{run:?}");
    let message = "bitwire: in.eng: 2 bytes follow where the input should end (at byte 438)\n";
    let run = folder.bitwire("engram eng show in.eng --layout 99 --json").invalid(message);
    let shown = run.json("engram-eng-show");
    assert_eq!((&shown["cache_id"], &shown["trailing_bytes"]), (&json!("legacy-1"), &json!(2)));

    let folder = with("r16_plain.eng");
    folder.put("cut.eng", &folder.read("in.eng")[..300]);
    let run = folder.bitwire("engram eng show cut.eng --layout 107 --json");
    assert_eq!((run.status, &run.json("engram-eng-show")["missing_bytes"]), (Some(1), &json!(179)));
    folder.put("in.bit", b"BIT\x01");
    let message = "in.bit: not an EIGENGRAM certificate: the magic is not 45 47 52 31 (at byte 0)";
    folder.bitwire("engram eng show in.bit").refused(message);
    folder.put("tensors.eng", b"\x02\0\0\0\0\0\0\0{}");
    let message = "a safetensors file, not a certificate: engrams of both kinds are named .eng (at byte 0)";
    folder.bitwire("engram eng show tensors.eng").refused(&format!("tensors.eng: {message}"));
}

#[test]
fn a_certificate_is_written_as_the_original_writes_it() {
    let folder = Folder::new();
    for part in ["vec_perdoc", "vec_fcdb", "joint_center", "vec_fourier", "vec_fourier_v2"] {
        let name = format!("r116_fourier2048_v2_2048.in.{part}.npy");
        fs::copy(fixture(&name), folder.path(format!("{part}.npy"))).unwrap();
    }
    let args = |more: &[&str]| {
        let line = "engram eng write out.eng --perdoc vec_perdoc.npy --fcdb vec_fcdb.npy --center joint_center.npy \
                    --fourier vec_fourier.npy --fourier2 vec_fourier_v2.npy --created-at 2026-11-21T10:09:13 \
                    --corpus-hash 0123456789abcdef0123456789abcdef --layers 8..24 --n-corpus 200 --context-len 512 \
                    --l2-norm 1.234 --scs 0.42 --margin-proof 0.013 --cache-id test-doc-001 --local-density 65535 \
                    --eigenform-score 0.5 --confusion-flag";
        let line = line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned);
        let task = ["--task", "Test document for transformer attention."].map(str::to_owned);
        line.chain(task).chain(more.iter().map(|&more| more.to_owned())).collect::<Vec<_>>()
    };
    folder.run(args(&["--model", "Llama-3.1-8B"])).good();
    assert_eq!(folder.read("out.eng"), fs::read(fixture("r116_fourier2048_v2_2048.eng")).unwrap());
    let json = folder.run(args(&["--model", "Llama-3.1-8B", "--json"])).good().json("engram-eng-write");
    assert_eq!(json["bytes"], 9074);

    fs::remove_file(folder.path("out.eng")).unwrap();
    let too_long = "Llama-3.1-8B-Instruct";
    folder.run(args(&["--model", too_long])).refused("model_id is 21, the largest possible is 16");
    folder.run(args(&["--model", "é"])).refused("model_id has to be ASCII without NUL");
    assert!(!folder.path("out.eng").exists());
    folder.run(args(&["--model", too_long, "--excess", "trim"])).good();
    let shown = folder.bitwire("engram eng show out.eng --json").good().json("engram-eng-show");
    assert_eq!(shown["model_id"], "Llama-3.1-8B-Ins");

    let line =
        "engram eng write x.eng --perdoc vec_perdoc.npy --fcdb vec_perdoc.npy --center joint_center.npy";
    folder.bitwire(&format!("{line} --layers 8..200")).usage("--layers");
    folder.bitwire(&format!("{line} --created-at yesterday")).usage("--created-at");
    let swapped =
        "engram eng write x.eng --perdoc vec_perdoc.npy --fcdb joint_center.npy --center vec_fcdb.npy";
    folder.bitwire(swapped).refused("vec_fcdb is 128, needed is 116");
    folder.put("matrix.npy", npy("<f4", false, &[1, 128], &[0; 512]));
    let matrix = line.replace("joint_center", "matrix");
    folder.bitwire(&matrix).refused("matrix.npy: the array has 2 dimensions, needed is 1");
    folder.put("f8.npy", npy("<f8", false, &[128], &[0; 1024]));
    folder
        .bitwire(&line.replace("joint_center", "f8"))
        .usage("f8.npy: the array's type is '<f8', needed is f4 or f2");
    folder.put("short.npy", npy("<f4", false, &[128], &[0; 508]));
    let short = folder.bitwire(&line.replace("joint_center", "short"));
    assert!(short.status == Some(2) && short.err.contains("short.npy: truncated"), "{short:?}");
    // Without a time it is now.
    folder.bitwire(line).good();
    let shown = folder.bitwire("engram eng show x.eng --json").good().json("engram-eng-show");
    let year = Run::of(folder.command("date").args(["-u", "+%Y-%m-%dT%H"]).output().unwrap());
    let stated = shown["created_at"].as_str().unwrap();
    assert!(stated.len() == 19 && stated[..7] == year.text()[..7], "{stated}");
}

//! Gists in and out, and what is said of them.

use std::fs;
use std::path::PathBuf;

use bitwire::engram::KeyShape;
use bitwire::frame::ContextHash;
use bitwire::gist::GistBuilder;
use bitwire::mirror::Scalar;
use serde_json::{Value, json};

use crate::mirror::{data, f32s};
use crate::support::*;

fn original(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/gist", name].iter().collect()
}

/// A folder with these files of the original's, or of the Python library's.
fn with(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        let file_name = PathBuf::from(name);
        fs::copy(original(name), folder.path(file_name.file_name().unwrap())).unwrap();
    }
    folder
}

/// A folder with f32.safetensors, its sidecar, and the gist of it.
fn with_gist() -> Folder {
    let folder = with(&["f32.safetensors", "f32.json"]);
    folder.bitwire("gist import f32.safetensors gist.bit kv m none").good();
    folder
}

/// 6 tokens, of which 900, 901 and then 902 are gist tokens.
const TOKENS: &str = "1 2 900 901 3 902\n";

#[test]
fn a_gist_comes_back_as_the_original_wrote_it() {
    for name in ["bf16", "no_metadata"] {
        let tensors = format!("{name}.safetensors");
        let folder = with(&[&tensors]);
        let sidecar = original(&format!("{name}.json"));
        if sidecar.exists() {
            fs::copy(&sidecar, folder.path(format!("{name}.json"))).unwrap();
        }
        folder.bitwire(&format!("gist import {tensors} gist.bit kv m none")).good();
        let run = folder.bitwire("gist export gist.bit again.safetensors kv m none --json").good();
        let json = run.json("gist-export");
        assert_eq!(json["model_checked"], true);
        assert_eq!(json["loss"], Value::Null);
        assert!(folder.read("again.safetensors") == fs::read(original(&tensors)).unwrap());
        assert_eq!(folder.path("again.json").exists(), sidecar.exists());
        if sidecar.exists() {
            assert_eq!(json["sidecar"], "again.json");
            assert_eq!(folder.read("again.json"), fs::read(sidecar).unwrap());
        }
        // The payload stands where it can be mapped.
        let payload =
            folder.bitwire("gist show gist.bit --json").good().json("gist-show")["payload_bytes"].as_u64();
        assert_eq!((folder.read("gist.bit").len() - 2 - payload.unwrap() as usize) % 64, 0);
    }
}

#[test]
fn what_is_said_of_a_gist() {
    let folder = with_gist();
    let text = folder.bitwire("gist show gist.bit").good();
    assert_eq!(
        text.text(),
        "file        gist.bit\n\
         checks      gist, 1858 bytes, CRC ok, no digest, no HMAC\n\
         context     7864a453479705bc {\"dim\":8,\"model_id\":\"m\",\"pi_id\":\"none\",\"space_id\":\"kv\"}\n\
         gist        2 layers x 3 heads x 4 tokens x 8; f32; 1536 bytes\n\
         stands for  an unknown number of tokens\n\
         metadata    num_gist_tokens: 4\n\
         metadata    model_name: meta-llama/Meta-Llama-3-8B-Instruct\n\
         metadata    num_layers: 2\n"
    );
    let line = "gist import f32.safetensors gist.bit kv m none --source-tokens 800 --store f16 --json";
    let json = folder.bitwire(line).good().json("gist-import");
    assert_eq!(json["token_ratio"], 200.0);
    // 800 tokens of 2 layers, keys and values, 3 heads of 8 f16, against 4 tokens of the same.
    assert_eq!((&json["byte_ratio"], &json["payload_bytes"]), (&json!(200.0), &json!(768)));
    assert_eq!(
        (&json["layers"], &json["kv_heads"], &json["gist_tokens"], &json["head_dim"]),
        (&json!(2), &json!(3), &json!(4), &json!(8))
    );
    assert_eq!(json["metadata"]["model_name"], "meta-llama/Meta-Llama-3-8B-Instruct");
    assert!(json["loss"]["max_error"].as_f64().unwrap() > 0.0 && json["loss"]["non_finite"] == 0);
    let json = folder.bitwire("gist show gist.bit --json --cache-type f32").good().json("gist-show");
    assert_eq!((&json["byte_ratio"], &json["cache_type"]), (&json!(400.0), &json!("f32")));
    let most = "gist import f32.safetensors most.bit kv m none --source-tokens 18446744073709551615 --json";
    let json = folder.bitwire(most).good().json("gist-import");
    assert_eq!(json["source_tokens"], u64::MAX);
    // 2^64 tokens for 4, in half as many bytes each.
    assert_eq!(json["byte_ratio"], 2f64.powi(61));
    folder.bitwire("gist show gist.bit --cache-type q8_0").refused(
        "--cache-type q8_0: a row of 24 components: a quantised row is made of blocks of 32 elements",
    );
    folder
        .bitwire("gist show gist.bit --cache-type x")
        .usage("has to be the name of a type of llama.cpp's caches");
}

#[test]
fn full_kvs_of_every_kind() {
    let folder = with(&[
        "f32.full_k0.npy",
        "f32.full_v0.npy",
        "f32.k0.npy",
        "f32.v0.npy",
        "python/full_bf16.safetensors",
    ]);
    let rows = [data(&folder.read("f32.k0.npy")), data(&folder.read("f32.v0.npy"))].concat();
    let payload = |name: &str| {
        let frame = folder.read(name);
        frame[frame.len() - 2 - rows.len()..frame.len() - 2].to_vec()
    };
    folder
        .bitwire("gist import f32.full_k0.npy pair.bit kv m none --values f32.full_v0.npy --positions 5..9")
        .good();
    assert!(payload("pair.bit") == rows);
    let (keys, values) = (folder.read("f32.full_k0.npy"), folder.read("f32.full_v0.npy"));
    folder.put("whole.npy", npy("<f4", false, &[1, 2, 3, 12, 8], &[data(&keys), data(&values)].concat()));
    // Positions 5 to 8 by the tokens there, whatever order the ids are given in.
    folder.put("tokens.txt", "1 1 1 1 1 900 902 901 900 7 7 7\n");
    folder
        .bitwire("gist import whole.npy whole.bit kv m none --gist-ids 902,901,900,900 --tokens tokens.txt")
        .good();
    assert!(folder.read("whole.bit") == folder.read("pair.bit"));
    folder.put("tokens.txt", TOKENS);
    let ids =
        "gist import full_bf16.safetensors ids.bit kv m none --gist-ids 900,901,902 --tokens tokens.txt";
    folder.bitwire(ids).refused(
        "tokens.txt: the gist tokens do not stand together: the first run ends at position 4, and at 5 is another; \
         --first-run takes the first alone",
    );
    folder.bitwire(&format!("{ids} --first-run")).good();
    folder.bitwire("gist import full_bf16.safetensors range.bit kv m none --positions 2..4").good();
    assert!(folder.read("ids.bit") == folder.read("range.bit"));
    folder.put("batch.npy", npy("<i4", false, &[2, 3], &[0; 24]));
    folder
        .bitwire(&ids.replace("tokens.txt", "batch.npy"))
        .refused("batch.npy: has 2 rows, those of a batch: give one of them");
    let with_stdin = ids.replace("tokens.txt", "-");
    folder.with_stdin(b"1 2 900 901 3 4", &with_stdin).good();
    assert!(folder.read("ids.bit") == folder.read("range.bit"));
    let none = "gist import full_bf16.safetensors x.bit kv m none --gist-ids 5 --tokens tokens.txt";
    folder.bitwire(none).refused("tokens.txt: there is no gist token in the text");

    let state = [env!("CARGO_MANIFEST_DIR"), "tests/data/llama_state/v0336_llama_f16_fa_n37_savestate.bin"];
    fs::copy(state.iter().collect::<PathBuf>(), folder.path("chat.state")).unwrap();
    let blob = "gist import chat.state x.bit kv m none --positions 3..9";
    folder
        .bitwire(blob)
        .refused("chat.state: a state blob does not say how many components a head has: give --head-dim D");
    let json = folder.bitwire(&format!("{blob} --head-dim 32 --json")).good().json("gist-import");
    assert_eq!((&json["layers"], &json["kv_heads"], &json["gist_tokens"]), (&json!(4), &json!(2), &json!(6)));
    assert_eq!((&json["element"], &json["loss"]["max_error"]), (&json!("f16"), &json!(0.0)));
    folder
        .bitwire("gist import chat.state x.bit --positions 30..38 --head-dim 32")
        .refused("chat.state: no cell holds position 37");
    folder.bitwire("gist import chat.state x.bit --head-dim 32").refused(
        "chat.state: a state blob is a full KV: say where its gist tokens are, by --positions A..B or --gist-ids",
    );
}

/// The files that the examples of the help speak of.
fn with_examples() -> Folder {
    let folder = with(&["f32.safetensors", "f32.full_k0.npy", "f32.full_v0.npy"]);
    for (from, to) in
        [("f32.safetensors", "gist"), ("f32.full_k0.npy", "keys"), ("f32.full_v0.npy", "values")]
    {
        let to = format!("{to}.{}", from.rsplit_once('.').unwrap().1);
        fs::rename(folder.path(from), folder.path(to)).unwrap();
    }
    let tokens: Vec<u8> = [1, 1, 32000, 32001, 1, 1, 1, 1, 1, 1, 1, 1].map(u32::to_le_bytes).concat();
    folder.put("chat.u32", &tokens);
    folder.put("prompt.npy", npy("<u4", false, &[12], &tokens));
    folder.bitwire("ledger ingest chat.u32 chat.ledger").good();
    let state = [env!("CARGO_MANIFEST_DIR"), "tests/data/llama_state/v0336_llama_f16_fa_n37_savestate.bin"];
    fs::copy(state.iter().collect::<PathBuf>(), folder.path("chat.state")).unwrap();
    let gist = "gist import chat.state gist.bit kv llama-8b-gist none --positions 27..37 --head-dim 64";
    folder.bitwire(&format!("{gist} --source chat.ledger")).good();
    folder
}

#[test]
fn the_examples_of_the_help_run() {
    let mut ran = 0;
    for verb in ["import", "export", "show", "mask", "niah", "score", "budget"] {
        let folder = with_examples();
        if verb == "score" {
            folder.bitwire("gist niah samples.jsonl --lengths 99 --ledger samples.ledger").good();
            let lines = String::from_utf8(folder.read("samples.jsonl")).unwrap();
            folder.put("answers.jsonl", lines.replace("\"answer\"", "\"prediction\""));
        }
        let help = folder.bitwire(&format!("gist {verb} --help")).good();
        let (_, examples) = help.text().split_once("\n\nExample").unwrap();
        let examples = examples.split_once("\n\n").map_or(examples, |(examples, _)| examples);
        // A line too long for the terminal goes on in the next.
        for example in examples.split("\n  bitwire ").skip(1) {
            folder.bitwire(&example.split_whitespace().collect::<Vec<_>>().join(" ")).good();
            ran += 1;
        }
    }
    assert_eq!(ran, 10);
}

#[test]
fn a_gist_is_bound_to_its_ledger() {
    let folder = with(&["f32.safetensors", "f32.json"]);
    folder.put("tokens.txt", TOKENS);
    folder.bitwire("ledger ingest tokens.txt chat.ledger").good();
    let json =
        folder.bitwire("gist import f32.safetensors gist.bit kv m none --source chat.ledger --json").good();
    let json = json.json("gist-import");
    assert_eq!(json["source_tokens"], 6);
    let root =
        folder.bitwire("ledger verify chat.ledger --json").good().json("ledger-verify")["root"].clone();
    assert_eq!(json["source_root"], root);
    folder.bitwire("gist import f32.safetensors same.bit kv m none --source chat.ledger.idx").good();
    assert!(folder.read("same.bit") == folder.read("gist.bit"));
    for source in ["chat.ledger", "chat.ledger.idx"] {
        let run = folder.bitwire(&format!("gist show gist.bit --source {source}")).good();
        assert!(run.text().ends_with("root of     chat.ledger.idx\n"), "{}", run.text());
    }
    folder
        .bitwire("gist import f32.safetensors x.bit --source chat.ledger --source-tokens 7")
        .refused("--source-tokens 7: chat.ledger.idx covers 6 tokens");
    folder
        .bitwire("gist import f32.safetensors chat.ledger.idx --source chat.ledger")
        .refused("chat.ledger.idx: is an input, and would be overwritten");
    folder.bitwire("gist import f32.safetensors less.bit --source chat.ledger --source-tokens 5").good();
    folder.bitwire("gist show less.bit --source chat.ledger").good();

    folder.bitwire("ledger ingest tokens.txt chat.ledger --append").good();
    folder.bitwire("gist show gist.bit --source chat.ledger").invalid(
        "bitwire: gist.bit and chat.ledger.idx: the gist was not made from this ledger: the root does not agree\n",
    );
    let whole = folder.read("chat.ledger");
    folder.put("chat.ledger", [whole.as_slice(), &whole].concat());
    folder.bitwire("gist show gist.bit --source chat.ledger").usage("`bitwire ledger index` makes it again");
    fs::remove_file(folder.path("chat.ledger.idx")).unwrap();
    folder
        .bitwire("gist show gist.bit --source chat.ledger")
        .refused("chat.ledger: has no index (chat.ledger.idx); `bitwire ledger index` makes it");
    folder
        .bitwire("gist show gist.bit --source none.ledger")
        .refused("none.ledger: No such file or directory");
}

#[test]
fn keys_and_models() {
    let folder = with(&["f32.safetensors", "f32.json"]);
    folder.put("team.key", KEY_HEX);
    folder.put("other.key", OTHER_KEY_HEX);
    let key = "--hmac-key-file team.key";
    folder.bitwire(&format!("gist import f32.safetensors gist.bit kv m none {key}")).good();
    let json = folder.bitwire(&format!("gist show gist.bit --json {key}")).good().json("gist-show");
    assert_eq!(json["authenticated"], true);
    let other = "gist export gist.bit out.safetensors --hmac-key-file other.key";
    assert_eq!(folder.bitwire(other).status, Some(1));
    folder.bitwire("gist export gist.bit out.safetensors kv other none").refused(
        "gist.bit: the gist was made by another model: its context is \
         {\"dim\":8,\"model_id\":\"m\",\"pi_id\":\"none\",\"space_id\":\"kv\"}",
    );
    assert!(!folder.names().iter().any(|name| name.starts_with("out")));
    // Another length of row is no other model.
    folder.run(["gist", "export", "gist.bit", "out.safetensors", "kv", "m", "none"]).good();
    let members =
        ["gist", "export", "gist.bit", "more.safetensors", "kv", "m", "none", "--context", "{\"rope\":1}"];
    folder.run(members).usage("made by another model");
}

#[test]
fn sidecars() {
    let folder = with(&[
        "num_layers_smaller_than_file.safetensors",
        "num_layers_smaller_than_file.json",
        "f32.safetensors",
    ]);
    let line = "gist import num_layers_smaller_than_file.safetensors x.bit";
    folder.bitwire(line).refused(
        "num_layers_smaller_than_file.json: the sidecar says num_layers 2, and the tensors have 3; --trust-sidecar takes these \
         layers alone",
    );
    assert_eq!(
        folder.bitwire(&format!("{line} --trust-sidecar --json")).good().json("gist-import")["layers"],
        2
    );
    let json = folder.bitwire(&format!("{line} --no-sidecar --json")).good().json("gist-import");
    assert_eq!((&json["layers"], &json["metadata"]), (&json!(3), &Value::Null));
    // The sidecar that is read without being named is an input too.
    let beside = "gist import num_layers_smaller_than_file.safetensors num_layers_smaller_than_file.json";
    folder
        .bitwire(&format!("{beside} --trust-sidecar"))
        .refused("num_layers_smaller_than_file.json: is an input, and would be overwritten");
    // Of a member that comes twice neither is shown alone.
    for (text, expected) in
        [(r#"{"a":1,"a":2}"#, json!(r#"{"a":1,"a":2}"#)), (r#"{"a":1,"b":2}"#, json!({ "a": 1, "b": 2 }))]
    {
        let shape = KeyShape { layers: 1, heads: 1, tokens: 1, head_dim: 1 };
        let gist = GistBuilder::new(shape, Scalar::F32, &[0; 8]).unwrap().metadata(text);
        folder.put("foreign.bit", gist.to_frame(ContextHash([0; 8])).unwrap().encode().unwrap());
        let json = folder.bitwire("gist show foreign.bit --json").good().json("gist-show");
        assert_eq!(json["metadata"], expected);
    }
    folder.put("nine.json", "{\"num_layers\": 9}");
    for trust in ["", " --trust-sidecar"] {
        folder.bitwire(&format!("gist import f32.safetensors x.bit --sidecar nine.json{trust}")).refused(
            "nine.json: the sidecar says num_layers 9, and the tensors have 2; --no-sidecar leaves it out",
        );
    }
    folder
        .bitwire("gist import f32.safetensors x.bit --trust-sidecar")
        .refused("f32.safetensors: --trust-sidecar: there is no sidecar; --sidecar FILE names one");
    folder.put("bad.json", "{\"a\": NaN}");
    folder.bitwire("gist import f32.safetensors x.bit --sidecar bad.json").refused(
        "bad.json: sidecar: the text is no valid JSON (NaN and Infinity are none either) (at byte 6)",
    );
    folder
        .bitwire("gist import f32.safetensors x.bit --sidecar none.json")
        .refused("none.json: No such file or directory");
    // What steers a terminal does not get there.
    folder.put("f32.json", "{\"\\u001b[2J\": \"\\u202e\\nb\"}");
    folder.bitwire("gist import f32.safetensors gist.bit").good();
    let shown = folder.bitwire("gist show gist.bit").good();
    assert!(shown.text().ends_with("metadata    \\u{1b}[2J: \\u{202e}\\u{a}b\n"), "{}", shown.text());

    // Out under another name, with another sidecar, with none.
    folder.bitwire("gist export gist.bit out.safetensors --sidecar nine.json").refused(
        "nine.json: the sidecar says num_layers 9, and the tensors have 2; --no-sidecar writes none",
    );
    folder.put("two.json", "{\"num_layers\":2}");
    folder.bitwire("gist export gist.bit two.safetensors --sidecar two.json").good();
    assert_eq!(folder.read("two.json"), b"{\"num_layers\":2}");
    folder
        .bitwire("gist export gist.bit two.safetensors --no-sidecar")
        .refused("two.json: is there, and would be taken for the sidecar of these tensors, which have none");
    folder.bitwire("gist export gist.bit bare.safetensors --no-sidecar").good();
    assert!(!folder.path("bare.json").exists());
    folder.bitwire("gist export gist.bit out.json").usage("another extension than .json");
    fs::copy(folder.path("gist.bit"), folder.path("gist.json")).unwrap();
    folder
        .bitwire("gist export gist.json gist.safetensors")
        .refused("gist.json: is an input, and would be overwritten");
    let run = folder.bitwire("gist export gist.bit -");
    assert_eq!(
        run.err,
        "bitwire: warning: standard output has no place for a sidecar, which is not written\n"
    );
    folder.bitwire("gist export gist.bit again.safetensors").good();
    assert!(run.out == folder.read("again.safetensors"));
}

#[test]
fn values_that_are_not_finite() {
    let folder = Folder::new();
    let mut rows = [0.25_f32; 24];
    rows[17] = f32::NAN;
    // [2 layers][2][2 heads][3 tokens][1]: the values of layer 0 start at 6, those of layer 1 at 18, its keys at 12.
    folder.put("kv.npy", npy("<f4", false, &[2, 2, 2, 3, 1], &f32s(rows)));
    let found = "kv.npy: layer_1_key, head 1, gist token 2, component 0 is not finite";
    folder
        .bitwire("gist import kv.npy x.bit")
        .refused(&format!("{found}; --allow-non-finite imports it all the same"));
    folder
        .bitwire("gist import kv.npy x.bit --store mu16")
        .refused(&format!("{found}, which MU16 cannot hold"));
    assert_eq!(folder.names(), ["kv.npy"]);
    let json =
        folder.bitwire("gist import kv.npy x.bit --allow-non-finite --json").good().json("gist-import");
    assert_eq!((&json["finite"], &json["loss"]["non_finite"]), (&json!(false), &json!(1)));
    assert!(
        folder.bitwire("gist show x.bit").good().text().contains("values      some are NaN or infinite\n")
    );
    rows[17] = -70_000.0;
    folder.put("kv.npy", npy("<f4", false, &[2, 2, 2, 3, 1], &f32s(rows)));
    folder.bitwire("gist import kv.npy x.bit --store f16").refused(
        "kv.npy: layer_1_key, head 1, gist token 2, component 0 is too large for f16: choose another --store, or \
         --allow-non-finite",
    );
    let run = folder.bitwire("gist import kv.npy x.bit --store mu16 --delta-q16 1");
    assert_eq!(
        run.err,
        "bitwire: warning: kv.npy: 1 values saturate; a larger --delta-q16, or auto, holds them\n"
    );
    folder.bitwire("gist import kv.npy x.bit --store mu16").good();
    folder.bitwire("gist import kv.npy x.bit --store bf16").good();
    let run = folder.bitwire("gist export x.bit x.safetensors --store f16");
    assert_eq!(run.err, "bitwire: warning: x.bit: values too large for f16 are written as infinite\n");
}

#[test]
fn inputs_that_make_no_gist() {
    let folder = with(&[
        "f32.full_k0.npy",
        "f32.full_v0.npy",
        "f16.full_v0.npy",
        "python/batch_of_three.safetensors",
        "bf16.full_k0.npy",
    ]);
    folder.put("five.npy", npy("<f4", false, &[1, 3, 1, 1, 1], &f32s([0.0; 3])));
    folder.put("zero.npy", npy("<f4", false, &[1, 2, 1, 0, 1], &[]));
    folder.put("three.npy", npy("<f4", false, &[1, 1, 1], &f32s([0.0])));
    folder.put("empty", b"");
    folder.put(
        "x.safetensors",
        [&56u64.to_le_bytes()[..], br#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  "#, &[0; 4]]
            .concat(),
    );
    folder.bitwire("gist import batch_of_three.safetensors gist.bit --batch 1").good();
    for (line, message) in [
        (
            "x.safetensors",
            "x.safetensors: the tensor 'x' is none of a KV's, which are layer_0_key, layer_0_value, layer_1_key and so on",
        ),
        (
            "batch_of_three.safetensors",
            "batch_of_three.safetensors: the tensors hold a batch of 3 sequences, and it is not said which to take; give --batch N",
        ),
        (
            "batch_of_three.safetensors --batch 3",
            "batch_of_three.safetensors: the sequence of the batch reaches to 4, past the end at 3",
        ),
        (
            "batch_of_three.safetensors --batch 0 --positions 1..3",
            "batch_of_three.safetensors: --positions 1..3: there are 2 tokens",
        ),
        (
            "f32.full_k0.npy",
            "f32.full_k0.npy: the array has four dimensions, keys alone: give --values FILE.npy",
        ),
        (
            "f32.full_k0.npy --values f16.full_v0.npy",
            "f32.full_k0.npy: the keys are [1, 3, 12, 8] of f32, the values in f16.full_v0.npy [1, 2, 10, 4] of f16",
        ),
        (
            "bf16.full_k0.npy",
            "bf16.full_k0.npy: the array's type is '<u2', needed is f4 or f2 (V2 is taken for bf16) (at byte 20)",
        ),
        (
            "five.npy",
            "five.npy: the array is [1, 3, 1, 1, 1] of f32; the second of five dimensions has to be 2, keys and values",
        ),
        (
            "five.npy --values five.npy",
            "five.npy: the array has five dimensions, keys and values: leave --values out",
        ),
        ("empty", "empty: is empty; needed is .safetensors, .npy or a state blob"),
        ("gist.bit", "gist.bit: is a frame already; needed is .safetensors, .npy or a state blob"),
        ("five.npy --batch 0", "five.npy: --batch is for .safetensors files; this is an array"),
        ("five.npy --head-dim 3", "five.npy: --head-dim is for state blobs; this is an array"),
        (
            "batch_of_three.safetensors --values five.npy",
            "batch_of_three.safetensors: --values is for arrays; this is a .safetensors file",
        ),
        ("five.npy --delta-q16 4", "--delta-q16 is the step of --store mu16"),
    ] {
        let (input, rest) = line.split_once(' ').map_or((line, ""), |(input, rest)| (input, rest));
        let run =
            folder.run(["gist", "import", input, "x.bit"].into_iter().chain(rest.split_terminator(' ')));
        run.refused(message);
    }
    folder.bitwire("gist import zero.npy x.bit").usage("zero.npy: tokens is 0, needed is 1");
    folder
        .bitwire("gist import three.npy x.bit")
        .usage("needed is 4 (layers, heads, tokens, head_dim), or 5");
    folder.bitwire("gist import five.npy x.bit --positions 4..4").usage("the first below the second");
    folder.bitwire("gist import five.npy x.bit --gist-ids 5").usage("the following required arguments");
    folder
        .bitwire("gist import five.npy five.npy")
        .refused("five.npy: is an input, and would be overwritten");
    folder.bitwire("gist import - - --json").usage("--json needs a file");
    folder.bitwire("gist show five.npy").usage("five.npy: ");
    assert!(!folder.path("x.bit").exists());
}

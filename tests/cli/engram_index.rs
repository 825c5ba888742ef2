//! Indexes: of ENGRAM's own, of certificates and of arrays, searched as FAISS searches them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::*;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/engram", name].iter().collect()
}

fn with(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        let to = name.rsplit_once('/').map_or(*name, |(_, file)| file);
        fs::copy(fixture(name), folder.path(to)).unwrap();
    }
    folder
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(fixture("index/expected.json")).unwrap()).unwrap()
}

const ENGRAM: [&str; 3] = ["index/saved.faiss", "index/saved.meta.json", "index/queries.npy"];

/// The same ids in the same order, and the same scores but for the rounding of another order of summing.
#[track_caller]
fn same_results(found: &Value, stated: &Value) {
    let (found, stated) = (found.as_array().unwrap(), stated.as_array().unwrap());
    assert_eq!(found.len(), stated.len());
    for (found, stated) in found.iter().zip(stated) {
        let (found, stated) = (found.as_array().unwrap(), stated.as_array().unwrap());
        let ids = |hits: &[Value]| hits.iter().map(|hit| hit["cache_id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(found), ids(stated));
        for (found, stated) in found.iter().zip(stated) {
            close(found["similarity"].clone(), stated["similarity"].as_f64().unwrap(), 1e-6);
        }
    }
}

#[test]
fn engrams_own_index_finds_the_same() {
    let folder = with(&ENGRAM);
    let built = folder.bitwire("engram index build x.bit kv llama svd saved.faiss --json").good();
    let built = built.json("engram-index-build");
    assert_eq!((&built["count"], &built["dim"], &built["added"]), (&json!(38), &json!(16), &json!(38)));
    assert_eq!(
        (&built["metric"], &built["store"], &built["method"]),
        (&json!("ip"), &json!("f32"), &json!("unknown"))
    );
    assert_eq!(built["context"], json!({ "space_id": "kv", "model_id": "llama", "pi_id": "svd", "dim": 16 }));
    let truth = expected();
    let shown = folder.bitwire("engram index show x.bit --json").good().json("engram-index-show");
    let ids: Vec<&Value> =
        shown["entries"].as_array().unwrap().iter().map(|entry| &entry["cache_id"]).collect();
    assert_eq!(json!(ids), truth["after_rebuild_order"]);
    let first = json!({
        "cache_id": "c0", "task_description": "task 0", "model_id": "phi", "context_len": 256,
        "created_at": 1_767_225_600, "l2_norm": 0.5,
    });
    assert_eq!(shown["entries"][0], first);
    let text = folder.bitwire("engram index show x.bit").good();
    let line = "entry       c0: task 0; phi, 256 tokens, 2026-01-01T00:00:00Z\n";
    assert!(text.text().contains(line), "{text:?}");

    for threads in [1, 3] {
        let line = format!("engram index search x.bit queries.npy --json --threads {threads}");
        let found = folder.bitwire(&line).good().json("engram-index-search");
        same_results(&found["results"], &truth["after_rebuild_top5"]);
        let hit = found["results"][0][0].as_object().unwrap();
        let names: Vec<&str> = hit.keys().map(String::as_str).collect();
        assert_eq!(names, ["cache_id", "similarity", "task_description"]);
    }
}

/// The forty vectors that ENGRAM was given, with what they stand for.
fn forty() -> Folder {
    let folder = with(&["index/vectors.npy", "index/queries.npy"]);
    let lines: Vec<String> = (0..40)
        .map(|i| {
            let model = if i % 3 == 0 { "phi" } else { "llama" };
            json!({ "cache_id": format!("c{i}"), "model_id": model, "context_len": 256 + i, "task_description": format!("task {i}") })
                .to_string()
        })
        .collect();
    folder.put("entries.jsonl", lines.join("\n"));
    let line = "engram index build x.bit kv llama svd vectors.npy --entries entries.jsonl";
    folder.bitwire(line).good();
    folder
}

fn results(folder: &Folder, options: &str) -> Value {
    let line = format!("engram index search x.bit queries.npy --json{options}");
    folder.bitwire(&line).good().json("engram-index-search")["results"].clone()
}

#[test]
fn searches_are_filtered_as_asked() {
    let folder = forty();
    let truth = expected();
    same_results(&results(&folder, ""), &truth["top5"]);
    same_results(&results(&folder, " --min-similarity 3"), &truth["top5_min_similarity_3"]);
    let all = results(&folder, " --top-k 100");
    let counts: Vec<usize> =
        all.as_array().unwrap().iter().map(|hits| hits.as_array().unwrap().len()).collect();
    assert_eq!(json!(counts), truth["top100_returns_all"]);
    // ENGRAM looks at 15 candidates only, and found 2 of 14 for query 4: the others are the same.
    let phi = results(&folder, " --model phi");
    let (phi, known) = (phi.as_array().unwrap(), truth["top5_model_phi"].as_array().unwrap());
    for query in [0, 1, 2, 3, 5] {
        same_results(&json!([phi[query]]), &json!([known[query]]));
    }
    assert_eq!(phi[4].as_array().unwrap().len(), 5);
    same_results(&json!([phi[4].as_array().unwrap()[..2]]), &json!([known[4]]));
    let some = results(&folder, " --top-k 100 --min-context 260 --max-context 262");
    let mut ids: Vec<&str> =
        some[0].as_array().unwrap().iter().map(|hit| hit["cache_id"].as_str().unwrap()).collect();
    ids.sort();
    assert_eq!(ids, ["c4", "c5", "c6"]);
    let text = folder.bitwire("engram index search x.bit queries.npy --top-k 1 --model none").good();
    assert!(text.text().starts_with("query       0\nnothing was found\n"), "{text:?}");
}

#[test]
fn entries_come_and_go() {
    let folder = forty();
    let removed =
        folder.bitwire("engram index remove x.bit c3 c17 --json").good().json("engram-index-remove");
    assert_eq!((&removed["removed"], &removed["count"]), (&json!(2), &json!(38)));
    // Three times c5, as ENGRAM's test did.
    let file = folder.read("vectors.npy");
    let row: Vec<u8> = file[128 + 5 * 64..128 + 6 * 64]
        .as_chunks()
        .0
        .iter()
        .flat_map(|&x| (3.0 * f32::from_le_bytes(x)).to_le_bytes())
        .collect();
    folder.put("c5.npy", npy("<f4", false, &[1, 16], &row));
    folder.put(
        "c5.jsonl",
        "\n{\"cache_id\": \"c5\", \"created_at\": \"2026-11-21T10:09:13+00:00\", \"l2_norm\": null}\n",
    );
    let line = "engram index add x.bit c5.npy --entries c5.jsonl";
    let before = folder.read("x.bit");
    let message = "c5.jsonl: entry 'c5' is in the index already; `index add --replace` replaces it";
    folder.bitwire(line).refused(message);
    assert_eq!(folder.read("x.bit"), before);
    let added = folder.bitwire(&format!("{line} --replace --json")).good().json("engram-index-add");
    assert_eq!((&added["added"], &added["replaced"], &added["count"]), (&json!(1), &json!(1), &json!(38)));
    same_results(&results(&folder, ""), &expected()["after_rebuild_top5"]);
    let shown = folder.bitwire("engram index show x.bit --json").good().json("engram-index-show");
    let last = &shown["entries"][37];
    assert_eq!(
        (&last["cache_id"], &last["created_at"], &last["l2_norm"]),
        (&json!("c5"), &json!(1_795_255_753), &Value::Null)
    );

    let before = folder.read("x.bit");
    folder.bitwire("engram index remove x.bit c5 c3").refused("x.bit: there is no entry 'c3'");
    assert_eq!(folder.read("x.bit"), before);
    folder.bitwire("engram index remove - c5").refused("an index to be replaced has to be a file");
    assert_eq!(
        folder.names(),
        ["c5.jsonl", "c5.npy", "entries.jsonl", "queries.npy", "vectors.npy", "x.bit"]
    );
    // What is mapped later stands where it can be read in whole cache lines.
    let shown = folder.bitwire("inspect x.bit --json").good();
    assert!(shown.text().contains("PAD"), "{shown:?}");
}

#[test]
fn certificates_bring_all_they_say() {
    let folder =
        with(&["eigengram/r16_plain.eng", "eigengram/r16_flag_only.eng", "eigengram/r116_plain.eng"]);
    let built = folder
        .bitwire("engram index build x.bit kv llama svd r16_plain.eng --metric cosine --store f16 --json");
    let built = built.good().json("engram-index-build");
    assert_eq!(
        (&built["method"], &built["metric"], &built["store"]),
        (&json!("svd"), &json!("cosine"), &json!("f16"))
    );
    let certificate = folder.bitwire("engram eng show r16_plain.eng --json").good().json("engram-eng-show");
    let shown = folder.bitwire("engram index show x.bit --json").good().json("engram-index-show");
    for name in ["cache_id", "task_description", "model_id", "context_len", "l2_norm"] {
        assert_eq!(shown["entries"][0][name], certificate[name], "{name}");
    }
    let vector = numbers(&certificate["vectors"]["vec_perdoc"]);
    let bytes: Vec<u8> = vector.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
    folder.put("query.npy", npy("<f4", false, &[16], &bytes));
    let found =
        folder.bitwire("engram index search x.bit query.npy --json").good().json("engram-index-search");
    assert_eq!(found["results"][0]["cache_id"], certificate["cache_id"]);
    close(found["results"][0]["similarity"].clone(), 1.0, 1e-6);

    let message = "r16_plain.eng: the certificate has no vec_fourier: choose another with --vector";
    folder.bitwire("engram index build y.bit a b c r16_plain.eng --vector fourier").refused(message);
    let message =
        "r116_plain.eng: an entry is a vector of 116 components; before it was a vector of 16 components";
    folder.bitwire("engram index build y.bit a b c r16_plain.eng r116_plain.eng").refused(message);
    let message =
        "r116_plain.eng: an entry is a vector of 116 components; in x.bit it is a vector of 16 components";
    folder.bitwire("engram index add x.bit r116_plain.eng").refused(message);
    assert!(!folder.path("y.bit").exists());
}

#[test]
fn signed_indexes_stay_signed() {
    let folder = with(&["eigengram/r16_plain.eng", "eigengram/r16_flag_only.eng"]);
    let key = format!("--hmac-key-file {}", "key");
    folder.put("key", "00112233445566778899aabbccddeeff");
    folder.put("other", "ffffffffffffffffffffffffffffffff");
    folder.bitwire(&format!("engram index build x.bit kv llama svd r16_plain.eng {key}")).good();
    let id = folder.bitwire("engram index show x.bit --json").good().json("engram-index-show")["entries"][0]
        ["cache_id"]
        .clone();
    let line = format!("engram index remove x.bit {}", id.as_str().unwrap());
    folder.bitwire(&line).refused("x.bit: is signed: give its key, with which the new one is signed");
    let run = folder.bitwire(&format!("{line} --hmac-key-file other"));
    assert_eq!(run.status, Some(1), "{run:?}");
    let removed = folder.bitwire(&format!("{line} {key} --json")).good().json("engram-index-remove");
    assert_eq!(
        (&removed["signed"], &removed["authenticated"], &removed["count"]),
        (&json!(true), &json!(true), &json!(0))
    );
    folder.bitwire(&format!("verify x.bit {key}")).good();
    // An empty index finds nothing.
    folder.put("query.npy", npy("<f4", false, &[16], &[0; 64]));
    let found =
        folder.bitwire("engram index search x.bit query.npy --json").good().json("engram-index-search");
    assert_eq!(found["results"], json!([]));
}

#[test]
fn vectors_are_stored_as_asked() {
    let folder = Folder::new();
    let values = [1.0f32, -2.0, 0.25, 0.5, 0.5, -0.5];
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    folder.put("v.npy", npy("<f4", false, &[2, 3], &bytes));
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}\n{\"cache_id\":\"b\"}\n");
    folder.put("q.npy", npy("<f4", false, &[3], &[1.0f32, 0.0, 0.0].map(f32::to_le_bytes).concat()));
    // Component 0 of a and b: as it is, as 64 * 2/127 and 127 * 0.5/127, as signs.
    for (store, a, b) in [
        ("f32", 1.0, 0.5),
        ("f16", 1.0, 0.5),
        ("mu16", 1.0, 0.5),
        ("i8", 64.0 * 2.0 / 127.0, 0.5),
        ("bits", 1.0, 1.0),
    ] {
        let line = format!("engram index build x.bit s m p v.npy --entries e.jsonl --store {store} --json");
        let built = folder.bitwire(&line).good().json("engram-index-build");
        assert_eq!((&built["store"], &built["saturated"]), (&json!(store), &json!(0)));
        let found =
            folder.bitwire("engram index search x.bit q.npy --json").good().json("engram-index-search");
        assert_eq!(found["results"][0]["cache_id"], "a");
        // A step of 2^-16 * 5 is the largest that is needed for 2.
        close(found["results"][0]["similarity"].clone(), a, 1e-4);
        close(found["results"][1]["similarity"].clone(), b, 1e-4);
    }
    let line = "engram index build x.bit s m p v.npy --entries e.jsonl --store mu16 --delta-q16 1";
    let run = folder.bitwire(line);
    let warning = "bitwire: warning: 4 components saturate; a larger --delta-q16 of `index build`, or auto, holds them\n";
    assert_eq!((run.status, run.err.as_str()), (Some(0), warning), "{run:?}");

    // Two vectors an entry, of which the better counts.
    folder.put("two.npy", npy("<f4", false, &[1, 2, 3], &bytes));
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}");
    let built = folder.bitwire("engram index build x.bit s m p two.npy --entries e.jsonl --json").good();
    let built = built.json("engram-index-build");
    assert_eq!((&built["metric"], &built["vectors_per_entry"]), (&json!("maxsim"), &json!(2)));
    let found = folder.bitwire("engram index search x.bit q.npy --json").good().json("engram-index-search");
    // 1 / sqrt(1 + 4 + 1/16) and 0.5 / sqrt(0.75).
    close(found["results"][0]["similarity"].clone(), 0.5 / 0.75f64.sqrt(), 1e-6);
}

#[test]
fn what_an_index_is_not_made_of() {
    let folder = with(&ENGRAM);
    let build = |inputs: &str| folder.bitwire(&format!("engram index build x.bit s m p {inputs}"));
    build("none").refused("none: No such file or directory");
    build("queries.npy").refused(
        "queries.npy: an array does not say what its vectors stand for: give --entries ENTRIES.jsonl",
    );
    build("saved.faiss --entries none")
        .refused("none: no input is an array for which --entries would say what its vectors stand for");
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}\n");
    build("queries.npy --entries e.jsonl").refused("e.jsonl: has 1 entries, queries.npy has 6");
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}\n".repeat(7));
    build("queries.npy --entries e.jsonl")
        .refused("e.jsonl: line 7: there are more entries than the 6 vectors of queries.npy");
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}\n".repeat(6));
    build("queries.npy --entries e.jsonl").refused("e.jsonl: entry 'a' comes twice");
    for (line, message) in [
        ("{}", "cache_id is missing"),
        ("{\"cache_id\": 3}", "cache_id has to be text"),
        (
            "{\"cache_id\": \"a\", \"context_len\": -1}",
            "context_len has to be a whole number from 0 to 4294967295",
        ),
        (
            "{\"cache_id\": \"a\", \"created_at\": \"\\u001bnow\"}",
            "created_at is '\\u{1b}now', which is no time like 2026-11-21T10:09:13Z",
        ),
        ("{\"cache_id\": \"a\", \"l2_norm\": \"x\"}", "l2_norm has to be a number"),
    ] {
        folder.put("e.jsonl", line);
        build("queries.npy --entries e.jsonl").refused(&format!("e.jsonl: line 1: {message}"));
    }
    folder.put("e.jsonl", "[]");
    build("queries.npy --entries e.jsonl").usage("e.jsonl: line 1: no JSON object: ");
    // One line number, that of the file.
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}\n{\"cache_id\" 3}\n");
    build("queries.npy --entries e.jsonl")
        .refused("e.jsonl: line 2: no JSON object: expected `:` at column 13");
    folder.put("nan.npy", npy("<f4", false, &[1, 2], &[1.0, f32::NAN].map(f32::to_le_bytes).concat()));
    folder.put("e.jsonl", "{\"cache_id\":\"a\"}");
    build("nan.npy --entries e.jsonl").refused("e.jsonl: entry 'a': component 1 of a vector is not finite");

    let saved = folder.read("saved.faiss");
    folder.put("cut.faiss", &saved[..2668]);
    build("cut.faiss")
        .refused("cut.faiss: truncated: the vectors needs 2624 bytes, 2623 are there (at byte 45)");
    folder.put("alone.faiss", &saved);
    build("alone.faiss").refused("alone.meta.json: No such file or directory");
    folder.put("alone.meta.json", "{\"entries\": [], \"id_to_position\": {}}");
    build("alone.faiss").refused("alone.meta.json: has 0 entries; alone.faiss has 41 vectors");
    folder.put("alone.meta.json", "{\"dim\": 8, \"entries\": [], \"id_to_position\": {}}");
    build("alone.faiss").refused("alone.meta.json: dim is 8; alone.faiss has 16");
    assert!(!folder.path("x.bit").exists());

    build("saved.faiss").good();
    let before = folder.read("x.bit");
    build("saved.faiss saved.faiss").refused("saved.meta.json: entry 'c0' comes twice");
    folder
        .bitwire("engram index build saved.faiss s m p saved.faiss")
        .refused("saved.faiss: is an input, and would be overwritten");
    assert_eq!((folder.read("x.bit"), folder.read("saved.faiss")), (before.clone(), saved));
    folder.bitwire("engram index search - -").refused("standard input (-) can be given only once");
    folder.put("q.npy", npy("<f4", false, &[3], &[0; 12]));
    folder
        .bitwire("engram index search x.bit q.npy")
        .refused("q.npy: a vector has 3 components, in the index it has 16");
    let mut bent = before;
    let last = bent.len() - 3;
    bent[last] ^= 1;
    folder.put("bent.bit", &bent);
    let run = folder.bitwire("engram index search bent.bit queries.npy");
    assert!(run.status == Some(1) && run.err.starts_with("bitwire: bent.bit: "), "{run:?}");
    let run = folder.bitwire("engram index search queries.npy queries.npy");
    assert!(run.status == Some(2) && run.err.contains("queries.npy: "), "{run:?}");
}

/// An entry of which the positions and the entries say different things is not left out in silence.
#[test]
fn ids_that_are_not_where_the_index_says() {
    let folder = with(&ENGRAM);
    let mut meta: Value = serde_json::from_slice(&folder.read("saved.meta.json")).unwrap();
    let build = || folder.bitwire("engram index build x.bit s m p saved.faiss");
    meta["id_to_position"]["ghost"] = json!(1);
    folder.put("saved.meta.json", meta.to_string());
    build().refused("saved.meta.json: id_to_position: 'ghost' is at 1, which is another entry");
    meta["id_to_position"].as_object_mut().unwrap().remove("ghost");
    folder.put("saved.meta.json", meta.to_string());
    // Nor is what stands beside an input overwritten.
    let before = folder.read("saved.meta.json");
    folder
        .bitwire("engram index build saved.meta.json s m p saved.faiss")
        .refused("saved.meta.json: is an input, and would be overwritten");
    assert_eq!(folder.read("saved.meta.json"), before);
    build().good();
}

#[test]
fn queries_that_are_none() {
    let folder = forty();
    let mut values = [1.0f32; 32];
    for bad in [f32::NAN, f32::INFINITY] {
        values[19] = bad;
        folder.put("bad.npy", npy("<f4", false, &[2, 16], &values.map(f32::to_le_bytes).concat()));
        folder
            .bitwire("engram index search x.bit bad.npy")
            .refused("bad.npy: vector 1: component 3 is not finite");
    }
    for option in ["--head-dim 4", "--hadamard", "--rope-base 10000 --rope-pairs halves", "--arch llama"] {
        let name = option.split(' ').next().unwrap();
        folder
            .bitwire(&format!("engram index search x.bit queries.npy {option}"))
            .refused(&format!("{name} is for keys: give --whitening FILE.bit, which makes a query of them"));
    }
    folder.put("bits.npy", npy("|u1", false, &[1, 2], &[0; 2]));
    folder.bitwire("engram index add x.bit bits.npy --entries entries.jsonl").refused(
        "bits.npy: the array's type is '|u1', needed is f4 or f2 (at byte 20); fingerprints for an index are \
         written with --store f32: it stores them as its own --store says",
    );
}

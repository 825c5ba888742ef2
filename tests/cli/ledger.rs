//! The ledger verbs, each doing its job.

use std::fs;
use std::path::PathBuf;

use bitwire::ledger::Chunk;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

/// Twenty tokens, in chunks of 8: 3 chunks.
const TOKENS: [u32; 20] = [7, 0, 300, 5, 1, 2, 3, 4, 65_535, 9, 8, 7, 6, 5, 4, 3, 4_294_967_295, 1, 0, 2];

fn text(tokens: &[u32]) -> String {
    tokens.iter().map(|token| format!("{token}\n")).collect()
}

/// A folder with t.txt and a.ledger made of it.
pub(crate) fn with_ledger() -> Folder {
    let folder = Folder::new();
    folder.put("t.txt", text(&TOKENS));
    folder
        .bitwire("ledger ingest t.txt a.ledger --chunk-tokens 8 --anchor-stride 2 --passkey 2=300 --span tail=15+5")
        .good();
    folder
}

/// What `recall` prints of a ledger of as many tokens.
#[track_caller]
fn recalled(folder: &Folder, ledger: &str, count: usize) -> Vec<u32> {
    let run = folder.bitwire(&format!("ledger recall {ledger} 0 --length {count}")).good();
    run.text().lines().map(|line| line.parse().unwrap()).collect()
}

pub(crate) fn root_of(folder: &Folder, ledger: &str) -> String {
    let verified = folder.bitwire(&format!("ledger verify {ledger} --json")).good().json("ledger-verify");
    verified["root"].as_str().unwrap().to_owned()
}

/// RFC 6962 section 2.1, word for word.
fn merkle(digests: &[Vec<u8>]) -> Vec<u8> {
    match digests {
        [] => Sha256::digest(b"").to_vec(),
        [one] => Sha256::digest([&[0][..], one].concat()).to_vec(),
        _ => {
            let k = digests.len().next_power_of_two() / 2;
            let (left, right) = (merkle(&digests[..k]), merkle(&digests[k..]));
            Sha256::digest([&[1][..], &left, &right].concat()).to_vec()
        }
    }
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn ingest_recall_verify() {
    let folder = with_ledger();
    assert_eq!(folder.names(), ["a.ledger", "a.ledger.idx", "t.txt"]);
    assert_eq!(recalled(&folder, "a.ledger", 20), TOKENS);
    for (position, token) in TOKENS.iter().enumerate() {
        let run = folder.bitwire(&format!("ledger recall a.ledger {position}")).good();
        assert_eq!(run.text(), format!("{token}\n"));
    }
    let json = folder.bitwire("ledger recall a.ledger 16 --length 3 --json").good().json("ledger-recall");
    let expected = json!({
        "schema": "bitwire/ledger-recall/1", "file": "a.ledger", "position": 16, "tokens": [4_294_967_295u32, 1, 0],
    });
    assert_eq!(json, expected);

    let span = folder.bitwire("ledger span a.ledger tail").good();
    assert_eq!(
        span.text(),
        "span        tail\nstart       15\nlength      5\ntokens      3 4294967295 1 0 2\n"
    );
    let json = folder.bitwire("ledger span a.ledger tail --json").good().json("ledger-span");
    assert_eq!((&json["start"], &json["length"]), (&json!(15), &json!(5)));
    assert_eq!(json["tokens"], json!([3, 4_294_967_295u32, 1, 0, 2]));
    let passkeys = folder.bitwire("ledger passkeys a.ledger").good();
    let words: Vec<&str> = passkeys.text().split_whitespace().collect();
    assert_eq!(words, ["position", "token", "chunk", "offset", "2", "300", "0", "2"]);
    let json = folder.bitwire("ledger passkeys a.ledger --json").good().json("ledger-passkeys");
    assert_eq!(json["passkeys"], json!([{ "position": 2, "token": 300, "chunk_id": 0, "offset": 2 }]));

    let json = folder.bitwire("ledger verify a.ledger --json").good().json("ledger-verify");
    let digests: Vec<Vec<u8>> = (0..3)
        .map(|chunk| {
            let line = format!("ledger extract a.ledger {chunk} c{chunk}.bit --json");
            unhex(&folder.bitwire(&line).good().json("ledger-extract")["digest"])
        })
        .collect();
    assert_eq!(unhex(&json["root"]), merkle(&digests));
    for (member, value) in [
        ("file", json!("a.ledger")),
        ("valid", json!(true)),
        ("tokens", json!(20)),
        ("chunks", json!(3)),
        ("bytes", json!(folder.read("a.ledger").len())),
        ("index", json!("current")),
        ("chunks_not_in_index", json!(0)),
        ("signed", json!(false)),
        ("authenticated", json!(false)),
        ("whole_by", Value::Null),
        ("torn", Value::Null),
        ("error", Value::Null),
    ] {
        assert_eq!(json[member], value, "{member}");
    }
    let root = root_of(&folder, "a.ledger");
    let shown = folder.bitwire(&format!("ledger verify a.ledger --root {root} --chunks 3")).good();
    assert!(shown.text().starts_with("a.ledger: valid\ntokens      20\nchunks      3\n"), "{}", shown.text());
    assert!(shown.text().contains("whole       yes: by the root and number of chunks given\n"));
    let upper = root.to_uppercase();
    let line = format!("ledger verify a.ledger --root {upper} --chunks 3 --json");
    assert_eq!(folder.bitwire(&line).good().json("ledger-verify")["whole_by"], "root");
    for (root, chunks) in [(&root, 2), (&root.replace(['0', '1'], "e"), 3)] {
        let run =
            folder.bitwire(&format!("ledger verify a.ledger --root {root} --chunks {chunks}")).invalid("");
        assert!(run.text().starts_with("a.ledger: INVALID: the root of its 3 chunks is "), "{}", run.text());
        let run = folder.bitwire(&format!("ledger verify a.ledger --root {root} --chunks {chunks} --json"));
        let json = run.invalid("").json("ledger-verify");
        assert_eq!((&json["valid"], &json["whole_by"]), (&json!(false), &Value::Null));
    }
    folder
        .bitwire(&format!("ledger verify a.ledger --root {root}"))
        .usage("required arguments were not provided");
    // A ledger is a file of frames.
    let frames = folder.bitwire("verify a.ledger a.ledger.idx c1.bit").good();
    assert_eq!(frames.text().lines().count(), 5);
    // The frame that was extracted is the ledger's own.
    let all = [folder.read("c0.bit"), folder.read("c1.bit"), folder.read("c2.bit")].concat();
    assert_eq!(all, folder.read("a.ledger"));
}

#[test]
fn what_an_ingest_prints() {
    let folder = Folder::new();
    folder.put("t.txt", text(&TOKENS));
    let run = folder.bitwire("ledger ingest t.txt a.ledger --chunk-tokens 8 --anchor-stride 2").good();
    let (ledger, index) = (folder.read("a.ledger").len(), folder.read("a.ledger.idx").len());
    let each = ledger as f64 / 20.0;
    let text = run.text();
    // 300 takes 9 bits, 65535 takes 16, which is a tie with raw u16; 2^32 - 1 takes 32, and raw u32 as much.
    let expected = format!(
        "ledger      a.ledger\ntokens      20\nchunks      3\nencodings   1 x raw u16; 1 x raw u32; 1 x packed, 9 bits\n\
         bytes       {ledger} ({each:.4} per token), index {index}\nroot        "
    );
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" ms in syncs"), "{text}");
    for (rule, encodings) in [
        ("raw", json!({ "raw u16": 2, "raw u32": 1 })),
        ("packed", json!({ "packed, 9 bits": 1, "packed, 16 bits": 1, "packed, 32 bits": 1 })),
        ("auto", json!({ "packed, 9 bits": 1, "raw u16": 1, "raw u32": 1 })),
    ] {
        let line = format!("ledger ingest t.txt {rule}.ledger --encoding {rule} --chunk-tokens 8 --json");
        let json = folder.bitwire(&line).good().json("ledger-ingest");
        assert_eq!(json["encodings"], encodings);
        assert_eq!(
            (&json["tokens"], &json["new_tokens"], &json["chunks"]),
            (&json!(20), &json!(20), &json!(3))
        );
        let bytes = folder.read(format!("{rule}.ledger")).len();
        assert_eq!((&json["bytes"], &json["bytes_per_token"]), (&json!(bytes), &json!(bytes as f64 / 20.0)));
        assert_eq!(json["index_bytes"], folder.read(format!("{rule}.ledger.idx")).len());
        assert!(json["sync_seconds"].as_f64().unwrap() > 0.0);
        assert_eq!(recalled(&folder, &format!("{rule}.ledger"), 20), TOKENS);
    }
    // By default chunks have 8,192 tokens.
    let many: Vec<u32> = (0..20_000).collect();
    folder.put("many", many.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    let json = folder.bitwire("ledger ingest many many.ledger --json").good().json("ledger-ingest");
    assert_eq!(json["chunks"], 3);
    let json = folder.bitwire("ledger extract many.ledger 1 c.bit --json").good().json("ledger-extract");
    assert_eq!((&json["start"], &json["length"]), (&json!(8192), &json!(8192)));
    let frame = folder.read("c.bit");
    let chunk = Chunk::parse_exact(&frame).unwrap();
    assert!((8192..16_384).eq(chunk.tokens()));
}

#[test]
fn tokens_come_from_arrays_bare_numbers_text_and_standard_input() {
    let folder = Folder::new();
    let bytes = |size: usize, big: bool| -> Vec<u8> {
        let token = |token: u32| {
            let mut bytes = u64::from(token).to_le_bytes()[..size].to_vec();
            if big {
                bytes.reverse();
            }
            bytes
        };
        TOKENS.into_iter().flat_map(token).collect()
    };
    // What fits the type comes back; 2-D in C order is one row after the other.
    for (name, descr, size, big, shape) in [
        ("u4.npy", "<u4", 4, false, &[20][..]),
        ("be.npy", ">u4", 4, true, &[20]),
        ("u8.npy", "<u8", 8, false, &[4, 5]),
        ("i8.npy", ">i8", 8, true, &[20, 1]),
    ] {
        folder.put(name, npy(descr, false, shape, &bytes(size, big)));
        folder.bitwire(&format!("ledger ingest {name} {name}.ledger")).good();
        assert_eq!(recalled(&folder, &format!("{name}.ledger"), 20), TOKENS, "{name}");
        let run = folder.with_stdin(&folder.read(name), &format!("ledger ingest - {name}.2 --json")).good();
        assert_eq!(run.json("ledger-ingest")["tokens"], 20);
        assert_eq!(folder.read(format!("{name}.2")), folder.read("u4.npy.ledger"), "{name}");
    }
    for (descr, values) in
        [("|u1", &[0u8, 255][..]), ("|i1", &[0, 127]), ("<u2", &[1, 2]), ("<i2", &[255, 127])]
    {
        folder.put(
            "small.npy",
            npy(descr, false, &[values.len() / if descr.ends_with('1') { 1 } else { 2 }], values),
        );
        let ledger = format!("{}.ledger", &descr[1..]);
        folder.bitwire(&format!("ledger ingest small.npy {ledger}")).good();
        let expected: Vec<u32> = match descr.ends_with('1') {
            true => values.iter().map(|&value| value.into()).collect(),
            false => vec![u32::from(values[0]) + 256 * u32::from(values[1])],
        };
        assert_eq!(recalled(&folder, &ledger, expected.len()), expected);
    }
    folder.put("t.u32", bytes(4, false));
    folder.put("t.u16", bytes(2, false));
    folder.put("t.tokens", text(&TOKENS).replace('\n', " \t\r\n"));
    for (name, modulus) in [("t.u32", 1u64 << 32), ("t.u16", 1 << 16), ("t.tokens", 1 << 32)] {
        folder.bitwire(&format!("ledger ingest {name} {name}.ledger")).good();
        let expected: Vec<u32> = TOKENS.iter().map(|&token| (u64::from(token) % modulus) as u32).collect();
        assert_eq!(recalled(&folder, &format!("{name}.ledger"), 20), expected, "{name}");
    }
    folder.with_stdin(text(&TOKENS).as_bytes(), "ledger ingest - stdin.ledger").good();
    assert_eq!(folder.read("stdin.ledger"), folder.read("u4.npy.ledger"));
    // No tokens are a ledger too.
    let run = folder.with_stdin(b" \n", "ledger ingest - none.ledger --json").good();
    let json = run.json("ledger-ingest");
    assert_eq!((&json["tokens"], &json["bytes_per_token"]), (&json!(0), &Value::Null));
    assert_eq!(folder.read("none.ledger"), b"");
    folder.bitwire("ledger verify none.ledger").good();
    assert_eq!(folder.bitwire("ledger passkeys none.ledger").good().text(), "no passkeys\n");
}

#[test]
fn appending() {
    let folder = with_ledger();
    folder.put("more.txt", "11 12 13");
    let before = folder.read("a.ledger");
    let root = root_of(&folder, "a.ledger");
    let line =
        "ledger ingest more.txt a.ledger --append --passkey 21=12 --passkey 0=7 --span all=0+23 --json";
    let json = folder.bitwire(line).good().json("ledger-ingest");
    assert_eq!(
        (&json["tokens"], &json["new_tokens"], &json["cut_off"]),
        (&json!(23), &json!(3), &Value::Null)
    );
    assert!(folder.read("a.ledger").starts_with(&before));
    assert_eq!(recalled(&folder, "a.ledger", 23), [&TOKENS[..], &[11, 12, 13]].concat());
    let json = folder.bitwire("ledger passkeys a.ledger --json").good().json("ledger-passkeys");
    let positions: Vec<u64> =
        json["passkeys"].as_array().unwrap().iter().map(|p| p["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [0, 2, 21]);
    let shown = folder.bitwire("ledger ingest more.txt a.ledger --append").good();
    assert!(shown.text().contains("\ntokens      26 (3 new)\n"), "{}", shown.text());

    // From the old root to the new one.
    let new = root_of(&folder, "a.ledger");
    let made = folder.bitwire("ledger prove-consistency a.ledger 3 grown --json").good();
    let json = made.json("ledger-prove-consistency");
    assert_eq!((&json["old_chunks"], &json["chunks"], &json["root"]), (&json!(3), &json!(5), &json!(new)));
    let check = |old: &str, new: &str, rest: &str| {
        folder.bitwire(&format!("ledger check-consistency grown --old-root {old} --root {new}{rest}"))
    };
    let valid = check(&root, &new, "").good();
    assert_eq!(
        valid.text(),
        "grown: valid: the ledger with this root begins with the one with the old root\n\
         A root proves no size: 3 and 5 chunks are the proof's word; compare them with what was kept with the root.\n"
    );
    assert_eq!(check(&root, &new, " --old-chunks 3 --chunks 5").good().text().lines().count(), 1);
    let json =
        check(&root, &new, " --old-chunks 3 --chunks 5 --json").good().json("ledger-check-consistency");
    assert_eq!((&json["valid"], &json["sizes_compared"]), (&json!(true), &json!(true)));
    let wrong = check(&root, &new, " --old-chunks 3 --chunks 6").invalid("");
    assert_eq!(wrong.text(), "grown: INVALID: the proof is from 3 chunks to 5, not from 3 to 6\n");
    let json =
        check(&root, &new, " --old-chunks 3 --chunks 6 --json").invalid("").json("ledger-check-consistency");
    assert_eq!(json["valid"], false);
    let place = ": another tree, another chunk, or altered bytes\n";
    let wrong = check(&new, &new, "").invalid("");
    assert_eq!(wrong.text(), format!("grown: INVALID: the proof does not lead to the old root{place}"));
    assert_eq!(
        check(&root, &root, "").invalid("").text(),
        format!("grown: INVALID: the proof does not lead to the root{place}")
    );
    check(&root, &new, " --chunks 5").usage("required arguments were not provided");
    folder
        .bitwire("ledger prove-consistency a.ledger 6 x")
        .refused("a.ledger: the proof is from 6 chunks to 5: a ledger does not shrink");
    folder
        .bitwire("ledger prove-consistency a.ledger 0 x")
        .refused("a.ledger: the proof is from a ledger without chunks, which every ledger begins with");
    assert!(!folder.path("x").exists());
}

#[test]
fn a_ledger_has_one_context() {
    let folder = with_ledger();
    folder.bitwire("ledger ingest t.txt b.ledger docs minilm en").good();
    folder.bitwire("ledger ingest t.txt c.ledger --space docs --model minilm --pi en").good();
    assert_eq!(folder.read("b.ledger"), folder.read("c.ledger"));
    assert_ne!(root_of(&folder, "a.ledger"), root_of(&folder, "b.ledger"));
    // Adopted, or said again.
    folder.bitwire("ledger ingest t.txt b.ledger --append").good();
    folder.bitwire("ledger ingest t.txt b.ledger docs minilm en --append").good();
    let before = folder.read("b.ledger");
    for other in ["--space docs", "other minilm en", "--context {\"x\":1} docs minilm en"] {
        folder
            .bitwire(&format!("ledger ingest t.txt b.ledger --append {other}"))
            .refused("b.ledger: the ledger has another context than the one given");
    }
    assert_eq!(folder.read("b.ledger"), before);
    folder.bitwire("ledger ingest t.txt d.ledger --context {").usage("context: ");
    assert!(!folder.path("d.ledger").exists());
}

#[test]
fn a_proof_and_its_chunk() {
    let folder = with_ledger();
    let root = root_of(&folder, "a.ledger");
    let made = folder.bitwire("ledger prove a.ledger 1 p").good();
    let claim = "(as the chunks claim: `bitwire ledger verify` checks them)";
    assert_eq!(
        made.text(),
        format!("proof       p, 88 bytes\nchunk       1\nchunks      3\nroot        {root} {claim}\n")
    );
    let json = folder.bitwire("ledger prove a.ledger 1 p --json").good().json("ledger-prove");
    assert_eq!((&json["chunk_id"], &json["chunks"], &json["bytes"]), (&json!(1), &json!(3), &json!(88)));
    let streamed = folder.bitwire("ledger prove a.ledger 1 -").good();
    assert_eq!(streamed.out, folder.read("p"));
    let shown = folder.bitwire("ledger extract a.ledger 1 c").good();
    assert!(
        shown.text().starts_with(
            "file        c\nchunk       1\ntokens      8 from position 8\nencoding    raw u16\n"
        )
    );
    assert_eq!(folder.bitwire("ledger extract a.ledger 1 -").good().out, folder.read("c"));
    folder.bitwire("ledger extract a.ledger 1 - --json").usage("--json needs a file to write to");

    let check = |rest: &str| folder.bitwire(&format!("ledger check-proof p c --root {root}{rest}"));
    assert_eq!(
        check("").good().text(),
        "p: valid: c is chunk 1 of the ledger with this root: tokens 8 to 15\n\
         A root proves no size: 3 chunks are the proof's word; compare them with what was kept with the root.\n"
    );
    assert_eq!(
        check(" --chunks 3").good().text(),
        "p: valid: c is chunk 1 of the ledger with this root: tokens 8 to 15\n"
    );
    let json = check(" --chunks 3 --json").good().json("ledger-check-proof");
    let expected = json!({
        "schema": "bitwire/ledger-check-proof/1", "file": "p", "valid": true, "chunk_file": "c", "chunk_id": 1,
        "chunks": 3, "start": 8, "length": 8, "sizes_compared": true, "error": null,
    });
    assert_eq!(json, expected);
    assert_eq!(check(" --json").good().json("ledger-check-proof")["sizes_compared"], false);
    assert_eq!(check(" --chunks 4").invalid("").text(), "p: INVALID: the proof is for 3 chunks, not 4\n");
    let piped = folder.with_stdin(&folder.read("p"), &format!("ledger check-proof - c --root {root}"));
    assert!(piped.good().text().starts_with("standard input: valid"));
    folder.bitwire(&format!("ledger check-proof - - --root {root}")).usage("can be given only once");

    // Another chunk, another root, another kind of proof, no proof, no chunk.
    folder.bitwire("ledger extract a.ledger 2 c2").good();
    assert_eq!(
        folder.bitwire(&format!("ledger check-proof p c2 --root {root}")).invalid("").text(),
        "p: INVALID: the proof's chunk_id is 1, needed is 2\n"
    );
    let other = root.replace(['0', '1', '2'], "f");
    let wrong = folder.bitwire(&format!("ledger check-proof p c --root {other} --json")).invalid("");
    let wrong = wrong.json("ledger-check-proof");
    assert_eq!((&wrong["valid"], &wrong["error"]["kind"]), (&json!(false), &json!("ProofRoot")));
    folder.bitwire("ledger prove-consistency a.ledger 1 g").good();
    folder
        .bitwire(&format!("ledger check-proof g c --root {root}"))
        .refused("g: a proof of inclusion is needed, this one is of consistency");
    folder
        .bitwire(&format!("ledger check-consistency p --old-root {root} --root {root}"))
        .refused("p: a proof of consistency is needed, this one is of inclusion");
    folder
        .bitwire(&format!("ledger check-proof c c --root {root}"))
        .refused("c: not a proof file: the magic is not 42 49 50 01 (at byte 0)");
    folder
        .bitwire(&format!("ledger check-proof p p --root {root}"))
        .refused("p: not a BIT frame: the magic is not 42 49 54 01 (at byte 0)");
    folder.bitwire("ledger check-proof p c --root 12").usage("has to be 64 hexadecimal digits");
    folder.bitwire(&format!("ledger check-proof p c --root {}g", &root[1..])).usage("64 hexadecimal digits");

    // No changed bit of either passes.
    for name in ["p", "c"] {
        let good = folder.read(name);
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1 << (i % 8);
            folder.put(name, &bad);
            let run = check(" --chunks 3");
            assert!(matches!(run.status, Some(1 | 2)), "byte {i} of {name}: {run:?}");
            assert!(!run.text().contains(": valid"));
        }
        folder.put(name, [&good[..], b"x"].concat());
        assert_ne!(check("").status, Some(0));
        folder.put(name, &good);
    }
    check("").good();
}

fn tinymind(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tinymind", name].iter().collect()
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(tinymind("expected.json")).unwrap()).unwrap()
}

#[test]
fn tinymind_in_and_out() {
    let folder = Folder::new();
    let from = tinymind("small/ledger").to_str().unwrap().to_owned();
    let run = folder.run(["ledger", "import-tinymind", &from, "a.ledger", "--json"]);
    let notes = [
        "the passkey at position 69 is 553, where 999 was expected",
        "span 'empty' at 5 has no tokens: left out",
        "span 'tail_short' of 50 tokens at 60 reaches past the end: 10 tokens are carried",
    ];
    let told: String = notes.iter().map(|note| format!("bitwire: note: {from}: {note}\n")).collect();
    assert_eq!((run.status, &run.err), (Some(0), &told));
    let json = run.json("ledger-import-tinymind");
    assert_eq!(json["notes"], json!(notes));
    assert_eq!((&json["tokens"], &json["chunks"], &json["passkeys"]), (&json!(70), &json!(5), &json!(3)));
    let tokens: Vec<u32> = serde_json::from_value(expected()["small"]["tokens"].clone()).unwrap();
    assert_eq!(recalled(&folder, "a.ledger", 70), tokens);
    folder.bitwire("ledger verify a.ledger").good();
    folder
        .run(["ledger", "import-tinymind", &from, "a.ledger"])
        .refused("a.ledger: already there, and a ledger is never overwritten");

    let run = folder.bitwire("ledger export-tinymind a.ledger out").good();
    assert_eq!(
        run.text(),
        "folder      out\ntokens      70\nchunks      5 of 16 tokens\nmarks       3 passkeys, 2 spans\n"
    );
    for i in 0..5 {
        let name = format!("chunks/chunk_{i:08}.jsonl");
        let theirs = fs::read(tinymind("small/ledger").join(&name)).unwrap();
        assert_eq!(folder.read(format!("out/{name}")), theirs);
    }
    assert_eq!(folder.names(), ["a.ledger", "a.ledger.idx", "out"]);
    folder.bitwire("ledger export-tinymind a.ledger out").refused("out: the folder is not empty");
    let run = folder.bitwire("ledger import-tinymind out b.ledger").good();
    assert!(
        run.text().starts_with("ledger      b.ledger\ntokens      70\nmarks       3 passkeys, 2 spans\n")
    );
    assert_eq!(folder.read("b.ledger"), folder.read("a.ledger"));

    // One digit of one token.
    let name = "out/chunks/chunk_00000002.jsonl";
    let text = String::from_utf8(folder.read(name)).unwrap();
    folder.put(name, text.replacen("\"tokens\": [", "\"tokens\": [9", 1));
    let before = folder.names();
    folder
        .bitwire("ledger import-tinymind out c.ledger")
        .invalid(&format!("bitwire: {name}: the SHA-256 in its row does not match\n"));
    fs::remove_file(folder.path(name)).unwrap();
    folder
        .bitwire("ledger import-tinymind out c.ledger")
        .refused(&format!("{name}: No such file or directory"));
    folder.put("out/manifest.json", "{}");
    folder
        .bitwire("ledger import-tinymind out c.ledger")
        .usage("out/manifest.json: not as TinyMind writes it");
    folder
        .bitwire("ledger import-tinymind none c.ledger")
        .refused("none/manifest.json: No such file or directory");
    assert_eq!(folder.names(), before);
}

#[test]
fn evidence() {
    let folder = Folder::new();
    let run = folder.bitwire("ledger evidence out --tokens 100000 --json").good();
    let json = run.json("ledger-evidence");
    let (report, expected) = (&json["report"], expected());
    assert_eq!(json["passed"], true);
    assert_eq!(report["claim_gate"]["exact_recall_claim_allowed"], true);
    assert_eq!(report["claim_gate"]["compressed_2m_context_ready"], false, "too few tokens for that");
    assert_eq!(report["integrity"]["checked_chunks"], expected["verify_integrity"]["checked_chunks"]);
    let positions: Vec<Value> =
        report["passkey_hits"].as_array().unwrap().iter().map(|hit| hit["position"].clone()).collect();
    assert_eq!(json!(positions), expected["compression_index"]["passkey_positions"]);
    let file: Value = serde_json::from_slice(&folder.read("out/compressed_context_report.json")).unwrap();
    assert_eq!(&file, report);
    let tokens = recalled(&folder, "out/ledger.bit", 100_000);
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    assert_eq!(Sha256::digest(&bytes).to_vec(), unhex(&expected["token_sha256_u32le"]));
    let span = folder.bitwire("ledger span out/ledger.bit middle --json").good().json("ledger-span");
    assert_eq!(span["tokens"], expected["recall_semantic"]["middle"]["tokens"]);
    folder.bitwire("ledger evidence out").refused("out: the folder is not empty");
    let shown = folder.bitwire("ledger evidence small --tokens 16 --chunk-tokens 3 --anchor-stride 1").good();
    assert!(shown.text().starts_with("folder      small\ntokens      16\n"), "{}", shown.text());
    assert!(shown.text().contains("2M exact recall is not asserted: 16 of 2000000 tokens were measured"));
    folder.bitwire("ledger evidence no --tokens 15").refused("an evidence run has at least 16 tokens");
    assert_eq!(folder.names(), ["out", "small"]);
}

#[test]
fn the_examples_of_the_help_work() {
    let folder = Folder::new();
    folder.put("tokens.npy", npy("<u2", false, &[40_000], &[[0xD2, 4]; 40_000].concat()));
    folder.put("team.key", KEY_HEX);
    let from = tinymind("small/ledger");
    let run = |verb: &str, env: &str| {
        let help = folder.bitwire(&format!("ledger {verb} --help")).good().text().to_owned();
        let example = help.split_once("\nExample:\n").unwrap().1.split("\n\n").next().unwrap().to_owned();
        let example = example.replace("bitwire ", "\"$0\" ").replace(" | jq '.passkeys[].token'", "");
        let example =
            example.replace("evidence/ledger chat.ledger", &format!("'{}' tm.ledger", from.display()));
        folder.sh(&format!("{env}{example}"))
    };
    run("ingest", "").good();
    for verb in ["recall", "span", "passkeys", "index", "recover", "prove", "extract"] {
        run(verb, "").good();
    }
    assert_eq!(folder.read("chunk3.proof").len(), 24 + 3 * 32, "5 chunks");
    assert_eq!(run("verify", "").status, Some(1), "it is not signed");
    assert_eq!(run("import-tinymind", "").status, Some(0));
    folder.sh("mkdir evidence").good();
    run("export-tinymind", "").good();
    // These have roots of other ledgers.
    assert_eq!(run("check-proof", "").status, Some(1));
    assert_eq!(run("check-consistency", "").status, Some(2), "no such file");
}

#[test]
fn every_verb_shows_an_example() {
    let folder = Folder::new();
    let help = folder.bitwire("ledger --help").good();
    let verbs: Vec<&str> = help
        .text()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()))
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(verbs.len(), 15, "{verbs:?}");
    for verb in verbs {
        let help = folder.bitwire(&format!("ledger {verb} --help")).good();
        assert!(help.text().contains(&format!("\nExample:\n  bitwire ledger {verb} ")), "{verb}");
        assert!(help.text().contains("--json"));
    }
}

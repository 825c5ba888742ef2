//! `gist niah` and `gist score`.

use std::fs;

use bitwire::gist::niah::{Generator, Haystack, Language, Plan};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

fn lines(folder: &Folder, name: &str) -> Vec<Value> {
    let text = String::from_utf8(folder.read(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Answers each sample of a file as a model might, in a member of its own.
fn answer(folder: &Folder, from: &str, to: &str, reply: impl Fn(&Value) -> Value) {
    let text: String = lines(folder, from)
        .into_iter()
        .map(|mut sample| {
            sample["prediction"] = reply(&sample);
            format!("{sample}\n")
        })
        .collect();
    folder.put(to, text);
}

fn right(sample: &Value) -> Value {
    format!("The passkey is {}.", sample["needle"].as_str().unwrap()).into()
}

#[test]
fn samples_are_what_python_makes() {
    let peer: Value = serde_json::from_str(include_str!("../data/gist/niah/peer.json")).unwrap();
    let hash = |name: &str| {
        let case = peer["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        case["sha256"].as_str().unwrap().to_owned()
    };
    let sha256 =
        |bytes: &[u8]| -> String { Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect() };
    let folder = Folder::new();
    let grid = "--lengths 1000,2000,4001 --samples 3 --seed 7";
    let run = folder.bitwire(&format!("gist niah a.jsonl --depths 0,25,50,75,100 {grid}")).good();
    assert_eq!(run.text(), "file        a.jsonl\nsamples     45 (105015 characters)\n");
    assert_eq!(sha256(&folder.read("a.jsonl")), hash("grid, English"));
    let streamed = folder.bitwire(&format!("gist niah - --depth-count 5 {grid}")).good();
    assert_eq!(streamed.out, folder.read("a.jsonl"));
    let korean = "gist niah - --language ko --depths 0,29,33.3,100 --lengths 64,500,3000 --samples 2 --seed 1099511627779";
    assert_eq!(sha256(&folder.bitwire(korean).good().out), hash("grid, Korean"));
    let random = "gist niah - --random 50 --between 200-831 --seed 1234";
    assert_eq!(sha256(&folder.bitwire(random).good().out), hash("random, English"));
    let ko = include_bytes!("../../src/gist/niah/text_ko.txt");
    folder.put("ko.txt", ko);
    let random = "--language ko --random 40 --between 32-5000";
    assert_eq!(
        sha256(&folder.bitwire(&format!("gist niah - {random} --text ko.txt")).good().out),
        hash("random, Korean")
    );
    assert_eq!(
        sha256(&folder.with_stdin(ko, &format!("gist niah - {random} --text -")).good().out),
        hash("random, Korean")
    );

    // The same text out of a ledger of its bytes, and of its code points.
    let text = str::from_utf8(ko).unwrap();
    let numbers = |numbers: Vec<u32>| numbers.iter().map(|n| format!("{n}\n")).collect::<String>();
    folder.put("bytes.txt", numbers(text.bytes().map(u32::from).collect()));
    folder.put("points.txt", numbers(text.chars().map(u32::from).collect()));
    folder.bitwire("ledger ingest bytes.txt bytes.ledger").good();
    folder.bitwire("ledger ingest points.txt points.ledger").good();
    for from in ["bytes.ledger", "points.ledger --text-tokens code-points"] {
        let run = folder.bitwire(&format!("gist niah - {random} --from-ledger {from}")).good();
        assert_eq!(sha256(&run.out), hash("random, Korean"), "{from}");
    }
    let first = u32::from(text.chars().next().unwrap());
    folder.bitwire("gist niah x.jsonl --from-ledger points.ledger").refused(&format!(
        "points.ledger: the token at position 0 is {first}, which is no byte of UTF-8: the tokens are no such text"
    ));
    assert!(!folder.path("x.jsonl").exists());
}

#[test]
fn training_samples() {
    let folder = Folder::new();
    folder.bitwire("gist niah a.jsonl --depths 50 --lengths 64 --samples 1 --training-gists 2").good();
    let sample = &lines(&folder, "a.jsonl")[0];
    assert_eq!(sample["gist_tokens"], "<GIST_0><GIST_1>");
    assert!(sample["instruction"].as_str().unwrap().starts_with("Read the following text carefully"));
    answer(&folder, "a.jsonl", "b.jsonl", right);
    let found = folder.bitwire("gist score b.jsonl --json").good().json("gist-score");
    assert_eq!(found["total"]["correct"], 1);
}

#[test]
fn scores_are_those_that_the_answers_were_made_with() {
    let folder = Folder::new();
    folder.bitwire("gist niah s.jsonl --depths 0,50,100 --lengths 100,200 --samples 2 --seed 5").good();
    let score = |file: &str, more: &str| {
        folder.bitwire(&format!("gist score {file} --json{more}")).good().json("gist-score")
    };

    answer(&folder, "s.jsonl", "perfect.jsonl", right);
    let perfect = score("perfect.jsonl", "");
    assert_eq!(perfect["total"]["correct"], 12);
    assert_eq!((&perfect["total"]["rate"], &perfect["total"]["high"]), (&json!(1.0), &json!(1.0)));
    assert_eq!(score("perfect.jsonl", " --exact")["total"]["correct"], 0);

    answer(&folder, "s.jsonl", "wrong.jsonl", |_| "The passkey is 12345.".into());
    let wrong = score("wrong.jsonl", "")["total"].clone();
    assert_eq!((&wrong["correct"], &wrong["missing"]), (&json!(0), &json!(0)));

    // Never from the middle; in small letters from the end.
    answer(&folder, "s.jsonl", "depth.jsonl", |sample| match sample["needle_position"].as_f64().unwrap() {
        0.0 => right(sample),
        1.0 => right(sample).as_str().unwrap().to_lowercase().into(),
        _ => Value::Null,
    });
    let depth = score("depth.jsonl", "");
    let rates = |found: &Value, of: &str| -> Vec<Value> {
        found[of].as_array().unwrap().iter().map(|row| row["correct"].clone()).collect()
    };
    assert_eq!(rates(&depth, "depths"), [4, 0, 0]);
    assert_eq!(depth["depths"][1]["missing"], 4);
    assert_eq!(rates(&depth, "lengths"), [2, 2]);
    assert_eq!(rates(&depth, "cells"), [2, 2, 0, 0, 0, 0]);
    assert_eq!(depth["cells"][3]["depth"], 0.5);
    assert_eq!(depth["cells"][3]["length"], 200);
    assert_eq!(rates(&score("depth.jsonl", " --ignore-case"), "depths"), [4, 0, 4]);

    // 60 depths and 60 lengths, a sample each: bins, of which the ends of lengths are whole numbers from 0 on.
    let binned = |i: usize| {
        let context = format!("{} ABC123", "x".repeat(i));
        let position = i as f64 / 64.0;
        let sample = json!({
            "context": context, "needle": "ABC123", "needle_position": position, "prediction": "no",
        });
        sample.to_string() + "\n"
    };
    folder.put("binned.jsonl", (0..60).map(binned).collect::<String>());
    let json = score("binned.jsonl", "");
    let ends = |of: &str, at: usize| json[format!("{of}s")][at][of].to_string();
    assert_eq!((ends("length", 0), ends("length", 1)), ("[0,9]".to_owned(), "[10,19]".to_owned()));
    assert_eq!((ends("depth", 0), ends("depth", 9)), ("[0.0,0.1]".to_owned(), "[0.9,1.0]".to_owned()));

    let run = folder.bitwire("gist score depth.jsonl --svg map.svg").good();
    // 4 of 12 by Wilson: 13.8 to 60.9 %.
    assert_eq!(
        run.text(),
        "depth \\ length       100       200       all\n\
         \x20           0%  100% (2)  100% (2)  100% (4)\n\
         \x20                 34-100    34-100    51-100\n\
         \x20          50%    0% (2)    0% (2)    0% (4)\n\
         \x20                   0-66      0-66      0-49\n\
         \x20         100%    0% (2)    0% (2)    0% (4)\n\
         \x20                   0-66      0-66      0-49\n\
         \x20          all   33% (6)   33% (6)  33% (12)\n\
         \x20                  10-70     10-70     14-61\n\
         \n\
         found       4 of 12, 33.3 % (95 % interval 13.8 to 60.9 %), 4 without an answer\n"
    );
    let svg = String::from_utf8(folder.read("map.svg")).unwrap();
    assert!(
        svg.contains("<title>depth 0%, length 100: 2 of 2, 100.0 % (95 % interval 34.2 to 100.0 %)</title>")
    );
    let streamed = folder.bitwire("gist score depth.jsonl --svg -").good();
    assert_eq!(streamed.text(), svg);

    // The same in two files, and from standard input.
    let short: String = lines(&folder, "depth.jsonl")
        .iter()
        .rev()
        .map(|sample| json!({ "id": sample["id"], "reply": sample["prediction"] }).to_string() + "\n")
        .collect();
    folder.put("short.jsonl", &short);
    let joined = folder.bitwire("gist score short.jsonl --samples s.jsonl --member reply").good();
    assert_eq!(joined.out, run.out);
    let joined = folder.with_stdin(short.as_bytes(), "gist score - --samples s.jsonl --member reply").good();
    assert_eq!(joined.out, run.out);
    let joined = folder.bitwire("gist score depth.jsonl --samples s.jsonl --join line").good();
    assert_eq!(joined.out, run.out);
    let streamed = folder.with_stdin(&folder.read("depth.jsonl"), "gist score -").good();
    assert_eq!(streamed.out, run.out);
}

#[test]
fn the_ledger_is_measured() {
    let folder = Folder::new();
    let made = folder
        .bitwire("gist niah s.jsonl --language ko --depths 0,100 --lengths 400 --samples 10 --ledger s.ledger --json")
        .good()
        .json("gist-niah");
    let bytes: usize =
        lines(&folder, "s.jsonl").iter().map(|sample| sample["context"].as_str().unwrap().len()).sum();
    assert_eq!((&made["samples"], &made["ledger"]["tokens"]), (&json!(20), &json!(bytes)));
    assert_eq!(made["characters"], 8000);
    folder.bitwire("ledger verify s.ledger").good();
    answer(&folder, "s.jsonl", "a.jsonl", |_| "모릅니다.".into());
    let run = folder.bitwire("gist score a.jsonl --ledger s.ledger --svg a.svg").good();
    assert!(run.text().ends_with(
        "found       0 of 20, 0.0 % (95 % interval 0.0 to 16.1 %)\n\
         ledger      20 of 20, 100.0 % (95 % interval 83.9 to 100.0 %)\n"
    ));
    let svg = String::from_utf8(folder.read("a.svg")).unwrap();
    assert!(svg.contains("Exact recall of the ledger: 20 of 20, 100%"));

    for over in ["s.ledger", "s.ledger.idx"] {
        folder
            .bitwire(&format!("gist score a.jsonl --ledger s.ledger --svg {over}"))
            .refused(&format!("{over}: is an input, and would be overwritten"));
    }

    // One bit of one passkey, in the ledger's second chunk.
    let mut ledger = folder.read("s.ledger");
    let samples = lines(&folder, "s.jsonl");
    let needle = samples[15]["needle"].as_str().unwrap().as_bytes();
    let at = ledger.windows(6).position(|window| window == needle).unwrap();
    ledger[at] ^= 4;
    folder.put("s.ledger", &ledger);
    let run = folder.bitwire("gist score a.jsonl --ledger s.ledger --json");
    assert_eq!(run.status, Some(1));
    let found: Value = serde_json::from_slice(&run.out).unwrap();
    let correct = found["ledger"]["correct"].as_u64().unwrap();
    assert!((1..20).contains(&correct), "{correct}");
    assert_eq!(found["ledger"]["samples"], 20);
    let id = found["ledger"]["first_fault"]["id"].as_str().unwrap();
    assert!(
        run.err.starts_with(&format!("bitwire: s.ledger: sample '{id}': chunk 1 is damaged: ")),
        "{}",
        run.err
    );
    assert_eq!(found["total"]["correct"], 0);

    // Another seed's ledger has other samples under other names.
    folder.bitwire("gist niah t.jsonl --seed 1 --depths 0 --lengths 64 --ledger t.ledger").good();
    let run = folder.bitwire("gist score a.jsonl --ledger t.ledger");
    assert_eq!(run.status, Some(1));
    assert_eq!(run.err, "bitwire: t.ledger: sample 'ko-0-0': the ledger has no spans of that name\n");
    // A name that is all there is on a line: 64 characters of it are shown.
    let named = |id: &str| json!({ "id": id, "context": "ABC123", "needle": "ABC123", "needle_position": 0, "prediction": "no" });
    folder.put("long.jsonl", named(&"가".repeat(70_000)).to_string());
    let run = folder.bitwire("gist score long.jsonl --ledger t.ledger");
    let shown = "가".repeat(64);
    let expected = format!("bitwire: t.ledger: sample '{shown}...': the ledger has no spans of that name\n");
    assert_eq!((run.status, run.err), (Some(1), expected));
    // The same names, other contexts.
    folder
        .bitwire("gist niah u.jsonl --language ko --depths 50 --lengths 400 --samples 20 --ledger u.ledger")
        .good();
    let run = folder.bitwire("gist score a.jsonl --ledger u.ledger");
    assert_eq!(
        run.err,
        "bitwire: u.ledger: sample 'ko-0-0': the ledger's context is not that of the sample\n"
    );
}

#[test]
fn signed_ledgers() {
    let folder = Folder::new();
    folder.put("k", [7; 32]);
    folder.bitwire("gist niah s.jsonl --depths 50 --lengths 64 --ledger s.ledger --hmac-key-file k").good();
    let run = folder.bitwire("gist score s.jsonl --member answer --ledger s.ledger --hmac-key-file k").good();
    assert!(run.text().contains("ledger      5 of 5"));
    let message = "chunk 0 is damaged: HMAC_V1 does not match: another key, or an altered frame";
    folder.put("other", [8; 32]);
    let run = folder.bitwire("gist score s.jsonl --member answer --ledger s.ledger --hmac-key-file other");
    assert_eq!(run.status, Some(1));
    assert!(run.err.contains("HMAC_V1 does not match") || run.err.contains(message), "{}", run.err);
}

#[test]
fn what_is_refused() {
    let folder = Folder::new();
    folder.bitwire("gist niah s.jsonl --depths 50 --lengths 64 --samples 1").good();
    let good = String::from_utf8(folder.read("s.jsonl")).unwrap();
    folder.put("empty.jsonl", format!("{good}{{}}\n"));
    folder
        .bitwire("gist score empty.jsonl")
        .refused(&format!("empty.jsonl: line 2: no needle: the line is no sample (at byte {})", good.len()));
    folder.put("none.jsonl", " \n");
    folder.bitwire("gist score none.jsonl").refused("none.jsonl: there are no samples");
    folder.bitwire("gist score no.jsonl").refused("no.jsonl: No such file or directory");
    folder.bitwire("gist score - --samples -").refused("standard input (-) can be given only once");
    folder
        .bitwire("gist score s.jsonl --svg s.jsonl")
        .refused("s.jsonl: is an input, and would be overwritten");
    folder
        .bitwire("gist score s.jsonl --svg - --json")
        .refused("--json needs a file to write to: standard output (-) carries the file");
    folder.put("a.jsonl", "{\"id\":\"en-1-0\",\"prediction\":\"\"}\n");
    folder
        .bitwire("gist score a.jsonl --samples s.jsonl")
        .refused("a.jsonl: line 1: there is no sample that it answers (at byte 0)");
    let run = folder.bitwire("gist score s.jsonl");
    assert_eq!(run.status, Some(0));
    assert_eq!(
        run.err,
        "bitwire: warning: there is not one answer; they are looked for in the member 'prediction' (--member)\n"
    );

    folder
        .bitwire("gist niah x.jsonl --lengths 31")
        .refused("the length of a context is from 32 to 16777216 characters");
    folder.put("blank.txt", "\n \n");
    folder
        .bitwire("gist niah x.jsonl --text blank.txt")
        .refused("the text is empty: there is nothing to plant a passkey in");
    folder.put("latin.txt", b"caf\xe9");
    folder
        .bitwire("gist niah x.jsonl --text latin.txt")
        .refused("latin.txt: the text is not UTF-8 (at byte 3)");
    folder
        .bitwire("gist niah latin.txt --text latin.txt")
        .refused("latin.txt: is an input, and would be overwritten");
    folder
        .bitwire("gist niah - --json")
        .refused("--json needs a file to write to: standard output (-) carries the file");
    for usage in [
        "--depths 101",
        "--depths -1",
        "--depths nan",
        "--lengths x",
        "--random 5 --lengths 100",
        "--between 1000-2000",
        "--random 3 --between 5",
        "--training-gists 0",
        "--text-tokens utf8",
        "--depth-count 1",
        "--seed -1",
    ] {
        let run = folder.bitwire(&format!("gist niah x.jsonl {usage}"));
        assert_eq!((run.status, run.out.len()), (Some(2), 0), "{usage}: {}", run.err);
    }
    // A ledger that is there stays, and so does nothing of one that came to nothing.
    folder.bitwire("gist niah t.jsonl --depths 50 --lengths 64 --ledger t.ledger").good();
    folder.bitwire("gist niah x.jsonl --ledger t.ledger").refused("t.ledger: already there");
    let names = folder.names();
    folder
        .bitwire("gist niah new.ledger --ledger new.ledger")
        .refused("new.ledger: is an input, and would be overwritten");
    let run = folder.bitwire("gist niah none/x.jsonl --ledger new.ledger");
    assert_eq!(run.status, Some(2));
    assert_eq!(folder.names(), names);
    folder.bitwire("gist niah x.jsonl --ledger -").refused("a ledger is a file, not a stream (-)");
    let needle = folder.bitwire("gist score answers.jsonl --member needle");
    assert_eq!(needle.status, Some(2));
    assert!(needle.err.contains("is a member of the sample itself"), "{}", needle.err);
}

#[test]
#[cfg(target_os = "linux")]
fn long_samples_and_early_readers() {
    let folder = Folder::new();
    let run = folder.sh("$0 gist niah - --lengths 100000 --samples 1000000 | head -c 10");
    assert_eq!((run.status, run.err.as_str(), run.text()), (Some(0), "", "{\"context\""));
    folder.bitwire("gist niah long.jsonl --language ko --depths 100 --lengths 1000000 --samples 1").good();
    let text = Haystack::built_in(Language::Korean);
    let plan = Plan::grid(vec![1.0], vec![1_000_000], 1).unwrap();
    let sample = Generator::new(&text, plan, Language::Korean, 0).next().unwrap().unwrap();
    assert!(sample.context.ends_with(&Language::Korean.sentence(&sample.needle)));
    assert!(fs::metadata(folder.path("long.jsonl")).unwrap().len() > 2_000_000);
    let run = folder.bitwire("gist score long.jsonl --member answer").good();
    assert!(run.text().contains("found       1 of 1, 100.0 %"));
}

//! `fuzz-corpus`: what it writes, and that the other verbs, and readers in Python, say of it what its manifest does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn manifest(folder: &Folder, corpus: &str) -> Value {
    let bytes = folder.read(format!("{corpus}/manifest.json"));
    assert!(bytes.starts_with(b"{\"schema\":\"bitwire/fuzz-corpus-manifest/1\",") && bytes.ends_with(b"}\n"));
    serde_json::from_slice(&bytes).unwrap()
}

/// Every file of a folder, from the folder.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in ["", "valid", "mutant"] {
        for entry in fs::read_dir(root.join(part)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                let path = Path::new(part).join(entry.file_name());
                found.insert(path.to_str().unwrap().to_owned(), fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_manifest_is_what_was_written_and_what_the_other_verbs_say() {
    let folder = Folder::new();
    let run = folder.bitwire("fuzz-corpus corpus --count 1 --json").good();
    let (json, manifest) = (run.json("fuzz-corpus"), manifest(&folder, "corpus"));
    let mut there = files(&folder.path("corpus"));
    let own = there.remove("manifest.json").unwrap();
    assert_eq!(json["manifest_sha256"], hex(&Sha256::digest(&own)));
    assert_eq!((&json["seed"], &json["count"]), (&1.into(), &1.into()));
    assert_eq!(json["bytes"], there.values().map(Vec::len).sum::<usize>());
    assert_eq!((&manifest["seed"], &manifest["bitwire"]), (&1.into(), &env!("CARGO_PKG_VERSION").into()));

    let rules: BTreeMap<&str, &Value> = manifest["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["rule"].as_str().unwrap(), rule))
        .collect();
    assert_eq!((&json["rules"], &json["mutants"]), (&rules.len().into(), &rules.len().into()));
    assert_eq!(json["valid"], 9);
    let cases = manifest["files"].as_array().unwrap();
    assert_eq!(cases.len(), 9 + rules.len());
    let broken: BTreeSet<&str> = cases.iter().filter_map(|case| case["rule"].as_str()).collect();
    assert!(broken.iter().eq(rules.keys()));
    for case in cases {
        let bytes = there.remove(case["file"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&case["len"], &case["sha256"]),
            (&bytes.len().into(), &hex(&Sha256::digest(&bytes)).into())
        );
        if let Some(rule) = case["rule"].as_str() {
            assert_eq!(
                (&case["verdict"], &case["file"]),
                (&"reject".into(), &format!("mutant/{rule}-0001.bit").into())
            );
            assert_eq!(
                (&case["view"], &case["error"]["kind"]),
                (&rules[rule]["view"], &rules[rule]["error"])
            );
        } else {
            assert_eq!((&case["verdict"], &case["error"]), (&"accept".into(), &Value::Null));
        }
    }
    assert_eq!(there, BTreeMap::new());
    agree(&folder, cases);
}

/// `verify` takes any number of frames of any kind in one file: bytes after a frame are the next, and a frame that says it is of
/// another kind is one of that kind.
fn is_one_frame(case: &&Value) -> bool {
    let rule = case["rule"].as_str().unwrap_or_default();
    rule != "trailing-bytes" && !rule.ends_with("-kind")
}

fn agree(folder: &Folder, cases: &[Value]) {
    let path = |case: &Value| format!("corpus/{}", case["file"].as_str().unwrap());
    let due = |case: &Value, found: &Value| {
        assert_eq!(found["kind"], case["error"]["kind"], "{case}");
        if !case["error"]["offset"].is_null() {
            assert_eq!(found["offset"], case["error"]["offset"], "{case}");
        }
    };
    // Where the rule is about the key, the key is needed; all others at once without.
    let (keyed, others): (Vec<_>, Vec<_>) =
        cases.iter().filter(is_one_frame).partition(|case| case["view"] == "verify");
    assert!(keyed.len() >= 2 && others.len() > 150);
    let args = ["verify", "--json"].map(String::from).into_iter().chain(others.iter().map(|case| path(case)));
    let run = folder.run(args);
    assert_eq!((run.status, run.err.as_str()), (Some(1), ""));
    let json = run.json("verify");
    for (case, found) in others.iter().zip(json["files"].as_array().unwrap()) {
        let frames = found["frames"].as_array().unwrap();
        assert_eq!((&found["file"], frames.len()), (&path(case).into(), 1));
        assert_eq!(found["valid"], case["verdict"] == "accept", "{case}");
        due(case, &frames[0]["error"]);
    }
    // And some with the key that the manifest gives.
    let signed = others.iter().filter(|case| case["key"].is_string()).step_by(16);
    for case in keyed.iter().chain(signed) {
        let key = case["key"].as_str().unwrap();
        let run = folder.with_key_variable(key, &format!("verify --json {}", path(case)));
        assert_eq!(run.status, Some(i32::from(case["verdict"] == "reject")), "{case}");
        due(case, &run.json("verify")["files"][0]["frames"][0]["error"]);
    }
    for case in others.iter().step_by(12) {
        let run = folder.bitwire(&format!("inspect --json {}", path(case)));
        assert_eq!(run.status, Some(i32::from(case["verdict"] == "reject")), "{case}");
        due(case, &run.json("inspect")["frames"][0]["error"]);
    }
}

#[test]
fn the_seed_alone_decides() {
    let folder = Folder::new();
    let run = folder.bitwire("fuzz-corpus one --seed 7 --count 1").good();
    assert!(run.text().starts_with("one: 9 valid frames, "), "{}", run.text());
    assert!(run.text().ends_with("; what to expect: one/manifest.json\n"), "{}", run.text());
    fs::create_dir(folder.path("again")).unwrap();
    folder.bitwire("fuzz-corpus again --seed 7 --count 1").good();
    assert!(files(&folder.path("one")) == files(&folder.path("again")), "the same seed gives other files");
    folder.bitwire("fuzz-corpus other --seed 8 --count 1").good();
    let (one, other) = (files(&folder.path("one")), files(&folder.path("other")));
    assert!(one.keys().eq(other.keys()));
    let same = one.iter().filter(|(name, bytes)| other[*name] == **bytes).count();
    // A frame of which nothing or a byte is left is the same one now and then.
    assert!(same <= 3, "{same}");
    assert_eq!(folder.names(), ["again", "one", "other"]);
}

#[test]
fn what_is_there_is_left_alone() {
    let folder = Folder::new();
    fs::create_dir(folder.path("mine")).unwrap();
    folder.put("mine/.hidden", "mine");
    let taken = "is not empty, and a corpus overwrites nothing; name another folder";
    folder.bitwire("fuzz-corpus mine").refused(&format!("mine: {taken}"));
    assert_eq!(fs::read_dir(folder.path("mine")).unwrap().count(), 1);
    folder.put("file", "mine");
    folder.bitwire("fuzz-corpus file").refused("file: Not a directory");
    folder.bitwire("fuzz-corpus no/such/folder").refused("no/such/folder: No such file or directory");
    folder.bitwire("fuzz-corpus -").usage("to a folder, not to standard output");
    for (option, part) in [
        ("--count 0", "from 1 to 9999"),
        ("--count 10000", "from 1 to 9999"),
        ("--count -1", "from 1 to 9999"),
        ("--seed -1", "invalid value '-1'"),
        ("--seed 18446744073709551616", "invalid value"),
    ] {
        folder.bitwire(&format!("fuzz-corpus new {option}")).usage(part);
    }
    assert_eq!(folder.names(), ["file", "mine"]);
    assert_eq!(folder.read("file"), b"mine");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    fs::create_dir(folder.path("shut")).unwrap();
    fs::set_permissions(folder.path("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path("shut/probe"), "").is_ok() {
        // Whoever may write everywhere is asked for a place where nobody can.
        folder.bitwire("fuzz-corpus /proc/bitwire").usage("bitwire: /proc/bitwire: ");
        return println!("skipped in part: permissions do not hold for this user");
    }
    folder.bitwire("fuzz-corpus shut").refused("shut/valid: Permission denied");
    folder.bitwire("fuzz-corpus shut/new").refused("shut/new: Permission denied");
    assert_eq!(fs::read_dir(folder.path("shut")).unwrap().count(), 0);
}

/// The readers of spec/vectors were made from the documents alone.
#[test]
fn readers_in_python_agree() {
    let judge = concat!(env!("CARGO_MANIFEST_DIR"), "/spec/vectors/corpus.py");
    let folder = Folder::new();
    let python = |args: &[&str]| match folder.command("python3").arg("-B").args(args).output() {
        Ok(output) => Some(Run::of(output)),
        Err(error) => {
            eprintln!("SKIPPED: readers_in_python_agree: no python3: {error}");
            None
        }
    };
    folder.bitwire("fuzz-corpus corpus --seed 3 --count 2").good();
    let Some(run) = python(&[judge, "corpus"]) else { return };
    let run = run.good();
    assert!(run.text().ends_with(" rules): 0 disagree\n"), "{}", run.text());

    // It finds a wrong verdict, a wrong offset, a wrong file and a missing one.
    let mut manifest = manifest(&folder, "corpus");
    let cases = manifest["files"].as_array_mut().unwrap();
    let place = |cases: &[Value], rule: &str| cases.iter().position(|case| case["rule"] == rule).unwrap();
    let [padding, digest, flags] = ["padding", "digest", "flag-bits"].map(|rule| place(cases, rule));
    cases[padding]["error"]["offset"] = 1.into();
    cases[digest]["verdict"] = "accept".into();
    let name = cases[flags]["file"].as_str().unwrap().to_owned();
    fs::remove_file(folder.path("corpus/valid/beacon-0002.bit")).unwrap();
    cases.retain(|case| case["file"] != "valid/beacon-0002.bit" && case["file"] != "valid/chunk-0001.bit");
    fs::write(folder.path("corpus").join(&name), b"BIT").unwrap();
    fs::write(folder.path("corpus/manifest.json"), manifest.to_string()).unwrap();
    let run = python(&[judge, "corpus"]).unwrap();
    let mut lines: Vec<&str> = run.text().lines().collect();
    assert_eq!(run.status, Some(1));
    assert!(lines.pop().unwrap().ends_with(": 4 disagree"), "{}", run.text());
    for (file, fault) in [
        ("mutant/padding-0001.bit", "is refused: Padding at "),
        ("mutant/digest-0001.bit", "is refused: Digest at "),
        (name.as_str(), "is not the file of the manifest"),
        ("valid/chunk-0001.bit", "is not both on the disk and in the manifest"),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(file) && line.contains(fault)), "{file}: {lines:?}");
    }
    assert_eq!(python(&[judge, "nowhere"]).unwrap().status, Some(2));
}

//! Two writers at once: one of them is refused, or the last one wins, and no file is a mixture.

use std::fs;
use std::process::{Child, Stdio};

use super::verbs::{CASES, Case, Kind, is_temporary, snapshot};
use crate::support::*;

fn start(folder: &Folder, line: &str) -> Child {
    let mut command = folder.command(BITWIRE);
    command.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Starts all lines at once; what each came to.
fn race(folder: &Folder, lines: &[&str]) -> Vec<Run> {
    let children: Vec<Child> = lines.iter().map(|line| start(folder, line)).collect();
    children.into_iter().map(|child| Run::of(child.wait_with_output().unwrap())).collect()
}

fn case(start: &str) -> &'static Case {
    CASES.iter().find(|case| case.line.starts_with(start)).unwrap()
}

#[test]
fn every_verb_twice_at_once() {
    for case in CASES.iter().filter(|case| case.kind != Kind::Reads) {
        let folder = case.folder();
        case.run(&folder).status.unwrap();
        let once = snapshot(&folder.path(""));
        let folder = case.folder();
        let line = case.words().join(" ");
        let runs = race(&folder, &[&line, &line, &line]);
        let now = snapshot(&folder.path(""));
        assert!(!now.keys().any(|name| is_temporary(name)), "{}: {:?}", case.line, now.keys());
        assert!(runs.iter().any(|run| run.status == Some(0)), "{}: {runs:?}", case.line);
        for run in runs.iter().filter(|run| run.status != Some(0)) {
            // Refused for the other's lock or file, in words.
            assert_eq!(run.status, Some(2), "{}: {run:?}", case.line);
            let said = [
                "another writer",
                "already there",
                "there already",
                "not empty",
                "File exists",
                "no entry",
                "already;",
                "changed",
            ];
            assert!(said.iter().any(|said| run.err.contains(said)), "{}: {run:?}", case.line);
        }
        let done = runs.iter().filter(|run| run.status == Some(0)).count();
        let varies = |name: &str| case.varies(name) || case.kind == Kind::Ledger && done > 1;
        for (name, bytes) in &once {
            assert!(varies(name) || now.get(name) == Some(bytes), "{}: {name}, {done} done", case.line);
        }
        for name in now.keys().filter(|name| name.ends_with(".ledger")) {
            folder.run(["ledger", "verify", name]).good();
        }
    }
}

#[test]
fn different_results_under_one_name_do_not_mix() {
    let folder = Folder::new();
    // Of different lengths, so that a mixture would show.
    folder.put("small.npy", npy("<f4", false, &[2, 8], &[1; 64]));
    folder.put("large.npy", npy("<f4", false, &[64, 4096], &[2; 1 << 20]));
    for name in ["small", "large"] {
        folder.bitwire(&format!("mirror master {name}.npy {name}.bit")).good();
    }
    let (small, large) = (folder.read("small.bit"), folder.read("large.bit"));
    for _ in 0..10 {
        let runs = race(
            &folder,
            &[
                "mirror master small.npy out.bit",
                "mirror master large.npy out.bit",
                "mirror master small.npy out.bit",
            ],
        );
        assert!(runs.iter().all(|run| run.status == Some(0)), "{runs:?}");
        let out = folder.read("out.bit");
        assert!(out == small || out == large);
        assert_eq!(folder.names(), ["large.bit", "large.npy", "out.bit", "small.bit", "small.npy"]);
    }
}

/// A gist's tensors and its sidecar are two files: whichever writer comes last, readers find the two that were written, whole, and
/// that import as a gist.
#[test]
fn two_gists_under_one_name() {
    let folder = case("gist export").folder();
    for _ in 0..5 {
        let export = "gist export gist.bit out.safetensors";
        let runs = race(&folder, &[export, &format!("{export} --store f16"), export]);
        assert!(runs.iter().all(|run| run.status == Some(0)), "{runs:?}");
        folder.bitwire("gist import out.safetensors back.bit kv m none").good();
        assert_eq!(folder.names(), ["back.bit", "gist.bit", "out.json", "out.safetensors"]);
    }
}

/// No entry is lost: who finds the index in use, or another in its place, is told.
#[test]
fn an_index_that_two_add_to_loses_nothing() {
    let folder = case("engram index add").folder();
    let entry = |name: &str, id: &str| folder.put(name, format!("{{\"cache_id\":\"{id}\"}}\n"));
    let values: Vec<u8> = (0..16).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let dim =
        folder.bitwire("engram index show few.bit --json").good().json("engram-index-show")["dim"].clone();
    assert_eq!(dim, 16);
    folder.put("one.npy", npy("<f4", false, &[1, 16], &values));
    let ids: Vec<String> = (0..4).map(|i| format!("new{i}")).collect();
    for id in &ids {
        entry(&format!("{id}.jsonl"), id);
    }
    for round in 0..5 {
        let lines: Vec<String> =
            ids.iter().map(|id| format!("engram index add few.bit one.npy --entries {id}.jsonl")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let runs = race(&folder, &lines);
        let shown = folder.bitwire("engram index show few.bit --json").good().json("engram-index-show");
        let there: Vec<&str> = shown["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["cache_id"].as_str().unwrap())
            .collect();
        for (id, run) in ids.iter().zip(&runs) {
            assert_eq!(there.contains(&id.as_str()), run.status == Some(0), "round {round}: {id}: {run:?}");
            if run.status != Some(0) {
                let said =
                    ["few.bit: another writer has the index", "few.bit: was changed by another writer"];
                assert!(run.status == Some(2) && said.iter().any(|said| run.err.contains(said)), "{run:?}");
            }
        }
        let done: Vec<&str> = ids
            .iter()
            .zip(&runs)
            .filter(|(_, run)| run.status == Some(0))
            .map(|(id, _)| id.as_str())
            .collect();
        assert!(!done.is_empty());
        folder.bitwire(&format!("engram index remove few.bit {}", done.join(" "))).good();
    }
}

/// Two captures into one folder: the one that has the first file has them all, the other is refused.
#[test]
fn two_recoveries_into_one_folder() {
    let folder = case("recover").folder();
    let capture = folder.read("capture");
    folder.put("other", [b"x", &capture[..]].concat());
    for i in 0..10 {
        let lines = [
            format!("recover capture out{i}"),
            format!("recover other out{i}"),
            format!("recover capture out{i}"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let runs = race(&folder, &lines);
        let names: Vec<String> = fs::read_dir(folder.path(format!("out{i}")))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(!names.iter().any(|name| is_temporary(name)), "{names:?}");
        for run in runs.iter().filter(|run| run.status != Some(0)) {
            assert!(run.status == Some(2) && run.err.contains("is there already"), "{run:?}");
        }
        // Frames that lie elsewhere have other names, so that both may be done; of the same, one is.
        assert!(runs[0].status != Some(0) || runs[2].status != Some(0), "{runs:?}");
        for name in &names {
            folder.bitwire(&format!("verify out{i}/{name} --hmac-key-file key")).err.clear();
        }
    }
}

//! Names that mean harm: of files on the command line, and within files. They can neither steer a terminal, nor end a line, nor
//! break JSON, nor lead out of a folder.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::verbs::{CASES, Kind, snapshot};
use crate::support::*;

/// Whatever may neither reach a terminal nor a line of its own.
fn is_stray(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[track_caller]
fn harmless(run: &Run) {
    for text in [run.text(), &run.err] {
        assert!(!text.contains(is_stray), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text:?}");
    }
}

/// Ends a line, clears the screen, turns text around, ends a JSON string, starts an element.
const HARM: &str = "a\nforged\r\u{1b}[2J\u{9b}31m\u{202e}\u{2028}\u{7f}\"}]<script>\\u0041\u{0}";
/// The same where no NUL can be.
fn harm() -> String {
    HARM.replace('\0', "")
}

const NAMES: [&[u8]; 5] = [
    b"not\xff\xfeutf8",
    b"-rf",
    b"new\nline\x1b[2J",
    b"\xed\xa0\x80surrogate",
    "\u{2028}\u{202e}turned".as_bytes(),
];

/// Every verb with every input, and its output, under a name that is hard to bear: same status, harmless messages, valid JSON.
#[test]
fn names_of_files_for_every_verb() {
    assert!(names_of_files(1) > 60);
}

#[test]
#[ignore = "the same under each of the names: cargo test --all-features --test cli every_name -- --ignored"]
fn every_name_of_files_for_every_verb() {
    assert!(names_of_files(NAMES.len()) > 300);
}

/// With `each` of the names, beginning with another one each time; how many runs there were.
fn names_of_files(each: usize) -> usize {
    let (mut ran, mut names) = (0, NAMES.iter().copied().cycle());
    for case in CASES {
        let words = case.words();
        let first = case.folder();
        let before = snapshot(&first.path(""));
        for i in 2..words.len() {
            let word = &words[i];
            let is_input = before.contains_key(word) || before.contains_key(&format!("{word}/"));
            let is_output = word.starts_with("out") && case.kind != Kind::Reads;
            if !is_input && !is_output {
                continue;
            }
            for name in names.by_ref().take(each) {
                let folder = case.folder();
                // What kind of file it is, some verbs ask the extension; a name that starts with a hyphen is given as a path.
                let extension = word.find('.').map_or("", |at| &word[at..]);
                let mut hard = if name == b"-rf" { b"./".to_vec() } else { Vec::new() };
                hard.extend_from_slice(name);
                hard.extend_from_slice(extension.as_bytes());
                let hard = OsString::from_vec(hard);
                if is_input {
                    fs::rename(folder.path(word), folder.path(&hard)).unwrap();
                    for beside in [".idx", ".json"] {
                        let from = folder.path(format!("{word}{beside}"));
                        if from.exists() {
                            let mut to = hard.clone();
                            to.push(beside);
                            fs::rename(from, folder.path(to)).unwrap();
                        }
                    }
                }
                let mut hard_words: Vec<OsString> = words.iter().map(OsString::from).collect();
                // It may be asked for twice.
                for hard_word in hard_words.iter_mut().filter(|other| **other == **word) {
                    *hard_word = hard.clone();
                }
                if !matches!(words[0].as_str(), "man" | "completions")
                    && !hard_words.contains(&"--svg".into())
                {
                    hard_words.push("--json".into());
                }
                let run = folder.run(&hard_words);
                harmless(&run);
                // Other programs write such names in UTF-8, and JSON has no other.
                let refused = run.status == Some(2) && run.err.contains("UTF-8");
                assert!(run.status == Some(0) || refused, "{hard_words:?}: {run:?}");
                if hard_words.last().unwrap() == "--json" && !refused {
                    let value: Value = serde_json::from_str(run.text()).expect("one JSON object");
                    assert!(value["schema"].as_str().unwrap().starts_with("bitwire/"));
                }
                ran += 1;
            }
        }
    }
    ran
}

#[test]
fn names_that_start_with_a_hyphen_and_long_ones() {
    let folder = with_small();
    fs::copy(folder.path("small.npy"), folder.path("-x.npy")).unwrap();
    // After -- it is a name.
    folder.bitwire("beacon emit -- -x.npy -y.bit").good();
    folder.bitwire("verify -- -y.bit").good();
    let long = "n".repeat(256);
    for line in [format!("verify {long}"), format!("beacon emit small.npy {long}"), format!("inspect {long}")]
    {
        folder.bitwire(&line).refused(&format!("{long}: File name too long"));
    }
    let longest = "n".repeat(255);
    folder.bitwire(&format!("beacon emit small.npy {longest}")).good();
    // A ledger's index has a longer name than the ledger: nothing may be left of one that cannot have it.
    let before = folder.names();
    folder.put("t.txt", "1 2 3");
    for len in [248, 252, 255] {
        let name = "l".repeat(len);
        let run = folder.bitwire(&format!("ledger ingest t.txt {name}"));
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.err.contains("File name too long"), "{run:?}");
        assert_eq!(folder.names().len(), before.len() + 1, "{:?}", folder.names());
    }
    folder.bitwire(&format!("ledger ingest t.txt {}", "l".repeat(247))).good();
    let deep = "d/".repeat(2100);
    let run = folder.bitwire(&format!("verify {deep}x"));
    assert!(run.status == Some(2) && run.err.ends_with(": File name too long\n"), "{run:?}");
}

/// Everything that a verb shows of what a file says.
fn shown(folder: &Folder, line: &[&str]) {
    for json in [false, true] {
        let mut words = line.to_vec();
        if json {
            words.push("--json");
        }
        let run = folder.run(&words);
        harmless(&run);
        assert!(matches!(run.status, Some(0 | 1)), "{words:?}: {run:?}");
        if json {
            let value: Value = serde_json::from_str(run.text()).expect("one JSON object");
            assert!(value.is_object());
        }
    }
}

#[test]
fn names_within_ledgers() {
    let folder = Folder::new();
    folder.put("t.txt", "1 2 3 4");
    let harm = harm();
    folder
        .run(["ledger", "ingest", "t.txt", "a.ledger", "--span", &format!("{harm}=0+2"), "--space", &harm])
        .good();
    for line in [
        &["ledger", "verify", "a.ledger"][..],
        &["ledger", "span", "a.ledger", &harm],
        &["inspect", "a.ledger"],
        &["inspect", "a.ledger.idx"],
        &["verify", "a.ledger", "a.ledger.idx"],
        &["route", "a.ledger"],
    ] {
        shown(&folder, line);
    }
    // And to TinyMind's JSON and back: the name is kept, as a name.
    folder.bitwire("ledger export-tinymind a.ledger tiny").good();
    let index: Value = serde_json::from_slice(&folder.read("tiny/semantic_index.json")).unwrap();
    assert_eq!(index.as_object().unwrap().keys().collect::<Vec<_>>(), [&harm]);
    folder.bitwire("ledger import-tinymind tiny b.ledger").good();
    shown(&folder, &["ledger", "span", "b.ledger", &harm]);
}

#[test]
fn names_within_indexes_of_engrams() {
    let folder = Folder::new();
    let mut entries = String::new();
    for id in [HARM.to_owned(), "../../../etc/passwd".to_owned(), harm()] {
        let entry = json!({ "cache_id": id, "task_description": HARM, "model_id": harm() });
        entries += &format!("{entry}\n");
    }
    folder.put("e.jsonl", &entries);
    folder.put("v.npy", npy("<f4", false, &[3, 4], &[1; 48]));
    let harm = harm();
    let built = folder.run([
        "engram",
        "index",
        "build",
        "x.bit",
        &harm,
        &harm,
        &harm,
        "v.npy",
        "--entries",
        "e.jsonl",
    ]);
    if built.status == Some(2) {
        // No NUL, if any is refused.
        harmless(&built);
        folder.put("e.jsonl", entries.replace("\\u0000", ""));
        folder.put("v.npy", npy("<f4", false, &[3, 4], &[1; 48]));
    }
    folder.put("q.npy", npy("<f4", false, &[4], &[1; 16]));
    if built.status == Some(0) {
        for line in [
            &["engram", "index", "show", "x.bit"][..],
            &["engram", "index", "search", "x.bit", "q.npy"],
            &["inspect", "x.bit"],
            &["verify", "x.bit"],
        ] {
            shown(&folder, line);
        }
        // ENGRAM's own certificates hold ASCII only; a message quotes what was given.
        let run = folder.run(["engram", "index", "remove", "x.bit", &format!("{harm}none")]);
        harmless(&run);
        assert_eq!(run.status, Some(2));
    }
    assert_eq!(built.status, Some(0), "{built:?}");
}

/// A .safetensors file, by the format's description.
fn safetensors(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn names_within_tensor_files_and_sidecars() {
    let folder = Folder::new();
    let header = json!({
        "__metadata__": { HARM: HARM },
        HARM: { "dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16] },
        "../../escape": { "dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32] },
    });
    folder.put("x.safetensors", safetensors(&header, &[0; 32]));
    for line in [
        "mirror master x.safetensors out.bit",
        "mirror master x.safetensors out.bit --tensor none",
        "gist import x.safetensors out.bit kv m none",
    ] {
        let run = folder.bitwire(line);
        assert_eq!(run.status, Some(2), "{run:?}");
        harmless(&run);
    }
    // No argument can have a NUL.
    let named = json!({ harm(): { "dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16] } });
    folder.put("y.safetensors", safetensors(&named, &[0; 16]));
    let run =
        folder.run(["mirror", "master", "y.safetensors", "out.bit", "--tensor", &harm(), "--json"]).good();
    harmless(&run);
    // A sidecar's members come back as they were, and nobody is harmed by what is shown of them.
    let gist = json!({
        "gist_k_layer_0": { "dtype": "F32", "shape": [1, 1, 2, 2], "data_offsets": [0, 16] },
    });
    folder.put("z.safetensors", safetensors(&gist, &[0; 16]));
    harmless(&folder.bitwire("gist import z.safetensors out.bit kv m none"));
    let data = [env!("CARGO_MANIFEST_DIR"), "tests/data/gist"].iter().collect::<std::path::PathBuf>();
    fs::copy(data.join("f32.safetensors"), folder.path("g.safetensors")).unwrap();
    let mut sidecar: Value = serde_json::from_slice(&fs::read(data.join("f32.json")).unwrap()).unwrap();
    sidecar[HARM] = HARM.into();
    folder.put("g.json", sidecar.to_string());
    let imported = folder.bitwire("gist import g.safetensors g.bit kv m none");
    harmless(&imported);
    assert_eq!(imported.status, Some(0), "{imported:?}");
    for line in [&["gist", "show", "g.bit"][..], &["inspect", "g.bit"], &["verify", "g.bit"]] {
        shown(&folder, line);
    }
}

#[test]
fn names_within_samples_and_scores() {
    let folder = Folder::new();
    folder.bitwire("gist niah s.jsonl --lengths 99 --samples 1").good();
    let samples = String::from_utf8(folder.read("s.jsonl")).unwrap();
    let lines: String = samples
        .lines()
        .map(|line| {
            let mut sample: Value = serde_json::from_str(line).unwrap();
            let id = format!("{HARM}{}", sample["id"]);
            sample["id"] = id.into();
            sample["prediction"] = HARM.into();
            format!("{sample}\n")
        })
        .collect();
    folder.put("a.jsonl", &lines);
    for line in [&["gist", "score", "a.jsonl"][..], &["gist", "score", "a.jsonl", "--svg", "a.svg"]] {
        shown(&folder, line);
    }
    let svg = String::from_utf8(folder.read("a.svg")).unwrap();
    assert!(!svg.contains("<script") && !svg.contains(|c: char| c.is_control() && c != '\n'), "{svg}");
}

/// What a TinyMind manifest says of paths leads nowhere: chunks are found by their number, in the folder.
#[test]
fn paths_in_tinyminds_manifest_lead_nowhere() {
    let folder = Folder::new();
    folder.put("t.txt", "1 2 3 4");
    folder.bitwire("ledger ingest t.txt a.ledger --chunk-tokens 2").good();
    folder.bitwire("ledger export-tinymind a.ledger tiny").good();
    let manifest = String::from_utf8(folder.read("tiny/manifest.json")).unwrap();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    for to in ["../elsewhere/chunk_00000000.jsonl", "/etc/passwd", "tiny/../../x", "\\u001b[2J"] {
        folder.put("tiny/manifest.json", manifest.replace("tiny/chunks/chunk_00000000.jsonl", to));
        let run = folder.run(["ledger", "import-tinymind", "tiny", "b.ledger"]);
        harmless(&run);
        // Refused, or read from where it always is.
        if run.status == Some(0) {
            assert_eq!(folder.bitwire("ledger recall b.ledger 0 --length 4").good().text(), "1\n2\n3\n4\n");
            fs::remove_file(folder.path("b.ledger")).unwrap();
            fs::remove_file(folder.path("b.ledger.idx")).unwrap();
        } else {
            assert!(matches!(run.status, Some(1 | 2)), "{run:?}");
        }
        assert_eq!(folder.names(), ["a.ledger", "a.ledger.idx", "elsewhere", "t.txt", "tiny"]);
    }
    assert_eq!(fs::read_dir(folder.path("elsewhere")).unwrap().count(), 0);
}

/// Links that somebody put into a folder to be written to are not followed.
#[test]
fn links_in_the_way_of_exports() {
    let folder = with_small();
    folder.put("precious", "precious");
    folder.bitwire("beacon emit small.npy a.bit").good();
    // A link with the name of the first frame, to a file and to nothing.
    for target in ["../precious", "../none"] {
        let _ = fs::remove_dir_all(folder.path("out"));
        fs::create_dir(folder.path("out")).unwrap();
        symlink(target, folder.path("out/000001-at-0.bit")).unwrap();
        let run = folder.bitwire("recover a.bit out");
        assert!(run.status == Some(2) && run.err.contains("is there already"), "{run:?}");
    }
    // A folder by a link is the folder; a folder that is not empty is refused.
    fs::create_dir(folder.path("real")).unwrap();
    symlink("real", folder.path("link")).unwrap();
    folder.bitwire("recover a.bit link").good();
    assert_eq!(fs::read_dir(folder.path("real")).unwrap().count(), 1);
    folder.put("t.txt", "1 2 3");
    folder.bitwire("ledger ingest t.txt a.ledger").good();
    fs::create_dir(folder.path("full")).unwrap();
    symlink("../precious", folder.path("full/manifest.json")).unwrap();
    folder.bitwire("ledger export-tinymind a.ledger full").refused("full: the folder is not empty");
    folder.bitwire("ledger evidence full").refused("full: the folder is not empty");
    // Neither a ledger nor its index is made through a link.
    symlink("none", folder.path("b.ledger")).unwrap();
    symlink("precious", folder.path("c.ledger.idx")).unwrap();
    let run = folder.bitwire("ledger ingest t.txt b.ledger");
    assert!(run.status == Some(2) && run.err.contains("already there"), "{run:?}");
    let _ = folder.bitwire("ledger ingest t.txt c.ledger");
    // Nor samples, scores, gists.
    symlink("precious", folder.path("s.jsonl")).unwrap();
    folder.bitwire("gist niah s.jsonl --lengths 99").good();
    assert!(folder.path("s.jsonl").symlink_metadata().unwrap().is_file());
    assert_eq!(folder.read("precious"), b"precious");
    assert!(!folder.path("none").exists());
}

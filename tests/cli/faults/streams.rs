//! Readers that went away, streams that are closed or full, for every verb.

use std::process::Stdio;

use super::verbs::{CASES, Case, Kind, Snapshot, is_temporary, snapshot};
use crate::support::*;

/// The case through a shell, with what `redirect` does to its streams.
fn sh(case: &Case, folder: &Folder, redirect: &str) -> Run {
    let script = format!("\"$0\" \"$@\" {redirect}");
    Run::of(folder.command("sh").args(["-c", &script, BITWIRE]).args(case.words()).output().unwrap())
}

/// That all files are there as after a run whose output was read.
#[track_caller]
fn same_files(case: &Case, folder: &Folder, after: &Snapshot) {
    let now = snapshot(&folder.path(""));
    assert!(now.keys().eq(after.keys()), "{}: {:?}", case.line, now.keys());
    for (name, bytes) in &now {
        assert!(case.varies(name) || after[name] == *bytes, "{}: {name}", case.line);
    }
}

#[test]
fn every_verb_bears_streams_that_are_closed_or_full() {
    for case in CASES {
        let folder = case.folder();
        let clean = case.run(&folder);
        assert_eq!(clean.status, Some(0), "{}: {clean:?}", case.line);
        let after = snapshot(&folder.path(""));

        // A reader that has seen enough is no failure, and nobody is told.
        let folder = case.folder();
        let mut command = folder.command(BITWIRE);
        let mut child =
            command.args(case.words()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!((run.status, &run.err), (Some(0), &clean.err), "{}", case.line);
        same_files(case, &folder, &after);

        // Without standard output, error and input there is nobody to tell.
        let folder = case.folder();
        let run = sh(case, &folder, ">&- 2>&- <&-");
        assert_eq!(run.status, Some(0), "{}", case.line);
        same_files(case, &folder, &after);

        // What is full is told, and files are whole; a message that finds no room is lost, and the rest is as ever.
        let folder = case.folder();
        let run = sh(case, &folder, ">/dev/full 2>/dev/full");
        assert_eq!(run.status, Some(2), "{}", case.line);
        same_files(case, &folder, &after);
        let folder = case.folder();
        let run = sh(case, &folder, "2>/dev/full");
        assert_eq!((run.status, run.out.is_empty()), (Some(0), false), "{}", case.line);
        same_files(case, &folder, &after);
    }
}

#[test]
fn a_file_on_standard_output_that_is_full_or_closed() {
    let mut ran = 0;
    for case in CASES.iter().filter(|case| case.kind == Kind::Whole) {
        let mut words = case.words();
        let Some(out) = words.iter_mut().find(|word| word.starts_with("out.")) else { continue };
        // A diagram of scores has no other place than a file.
        if case.line.contains("--svg") {
            continue;
        }
        *out = "-".to_owned();
        let folder = case.folder();
        let before = snapshot(&folder.path(""));
        let run = |redirect: &str| {
            let script = format!("\"$0\" \"$@\" {redirect}");
            Run::of(folder.command("sh").args(["-c", &script, BITWIRE]).args(&words).output().unwrap())
        };
        let full = run("> /dev/full");
        let message = "bitwire: standard output: No space left on device\n";
        assert!(full.status == Some(2) && full.err.ends_with(message), "{}: {full:?}", case.line);
        // A tenth of it at most, and the reader is gone.
        let early = run("| head -c 10");
        assert_eq!((early.status, early.out.len()), (Some(0), 10), "{}: {early:?}", case.line);
        assert_eq!(run(">&-").status, Some(0));
        assert_eq!(snapshot(&folder.path("")), before, "{}", case.line);
        ran += 1;
    }
    assert!(ran > 15, "{ran}");
}

#[test]
fn warnings_that_find_no_room_change_nothing() {
    let folder = with_small();
    // Saturation is warned of, and drift over a threshold is told.
    let line = "beacon emit small.npy out.bit --delta-q16 1";
    let warned = folder.bitwire(line);
    assert!(warned.err.starts_with("bitwire: warning: "), "{}", warned.err);
    let whole = folder.read("out.bit");
    std::fs::remove_file(folder.path("out.bit")).unwrap();
    let run = folder.sh(&format!("exec \"$0\" {line} 2> /dev/full"));
    assert_eq!((run.status, &run.out), (warned.status, &warned.out));
    assert_eq!(folder.read("out.bit"), whole);
    // Nor does a pipe that nobody reads.
    let mut child = folder
        .command(BITWIRE)
        .args(line.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!((run.status, &run.out), (warned.status, &warned.out));
    assert!(!folder.names().iter().any(|name| is_temporary(name)));
}

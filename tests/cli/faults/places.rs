//! Folders, pipes, devices and loops in the place of files; folders that take nothing; inputs that nobody may read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::verbs::{CASES, Case, Kind, Snapshot, snapshot};
use crate::support::*;

/// Runs for as long as a file takes, and no longer: what waits for ever is status 124.
fn run(folder: &Folder, words: &[String]) -> Run {
    Run::of(folder.command("timeout").arg("20").arg(BITWIRE).args(words).output().unwrap())
}

/// The places of words that are inputs.
fn inputs(case: &Case, before: &Snapshot) -> Vec<usize> {
    let words = case.words();
    let is_input = |word: &String| before.contains_key(word) || before.contains_key(&format!("{word}/"));
    (0..words.len()).filter(|&i| is_input(&words[i])).collect()
}

#[test]
fn what_is_no_file_is_refused_as_input_and_named() {
    let (mut ran, mut empty) = (0, 0);
    for case in CASES {
        let folder = case.folder();
        let before = snapshot(&folder.path(""));
        fs::create_dir(folder.path("no-file")).unwrap();
        symlink("loop", folder.path("loop")).unwrap();
        folder.put("file", "");
        for i in inputs(case, &before) {
            for name in ["missing", "no-file", "loop", "no-file/missing", "file/missing", "/dev/null"] {
                let mut words = case.words();
                words[i] = name.to_owned();
                let run = run(&folder, &words);
                let what = format!("{words:?}: {run:?}");
                // An empty file is a list of no tokens, in which no mark can be, and a file of no frames.
                if name == "/dev/null" && (matches!(run.status, Some(0 | 1)) || what.contains("passkey")) {
                    empty += 1;
                    continue;
                }
                assert_eq!(run.status, Some(2), "{what}");
                let message = run.err.strip_prefix("bitwire: ").expect(&what);
                let parent = name.rsplit_once('/').map_or(name, |(parent, _)| parent);
                assert!(message.starts_with(name) || message.starts_with(&format!("{parent}: ")), "{what}");
                let said: &[&str] = match name {
                    "missing" | "no-file/missing" => &["No such file or directory"],
                    "file/missing" => &["Not a directory", "No such file or directory"],
                    "loop" => &["Too many levels of symbolic links"],
                    "no-file" => &["s a directory", "No such file or directory"],
                    _ => &[""],
                };
                assert!(said.iter().any(|said| run.err.contains(said)), "{what}");
                ran += 1;
            }
        }
        fs::remove_dir(folder.path("no-file")).unwrap();
        fs::remove_file(folder.path("loop")).unwrap();
        fs::remove_file(folder.path("file")).unwrap();
        if case.kind != Kind::Ledger {
            assert!(
                snapshot(&folder.path("")).iter().filter(|(name, _)| !name.starts_with("out")).eq(&before),
                "{}",
                case.line
            );
        }
    }
    assert!(ran > 250 && empty < 10, "{ran}, {empty}");
}

#[test]
fn what_is_no_file_is_refused_as_output_and_stays() {
    let mut ran = 0;
    for case in CASES {
        let words = case.words();
        let Some(i) = words.iter().position(|word| word.starts_with("out")) else { continue };
        let folder = case.folder();
        fs::create_dir(folder.path("no-file")).unwrap();
        symlink("loop", folder.path("loop")).unwrap();
        assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
        let before = folder.names();
        for name in
            ["no-file", "no-file/", "pipe", "/dev/null", "loop", "missing/out", "pipe/out", "loop/out", "."]
        {
            // A folder is what these want, and an empty one will do.
            if case.kind == Kind::Folder && (name.starts_with("no-file") || name == ".") {
                continue;
            }
            let mut words = words.clone();
            words[i] = name.to_owned();
            let run = run(&folder, &words);
            let what = format!("{words:?}: {run:?}");
            assert_eq!(run.status, Some(2), "{what}");
            let message = run.err.strip_prefix("bitwire: ").expect(&what);
            let parent = name.split('/').next().unwrap_or_default();
            assert!(message.starts_with(name) || !parent.is_empty() && message.starts_with(parent), "{what}");
            assert_eq!(folder.names(), before, "{what}");
            ran += 1;
        }
    }
    assert!(ran > 200, "{ran}");
}

/// Runs `script` with the binary as `$0` and the case's words as its user, in a folder where root may do no more than others; `None`
/// if that cannot be had here.
fn as_nobody(case: &Case, folder: &Folder, words: &[String]) -> Option<Run> {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = if is_root {
        let mut command = folder.command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", BITWIRE]);
        command
    } else {
        folder.command(BITWIRE)
    };
    let output = command.args(words).output().ok()?;
    if matches!(output.status.code(), Some(126 | 127)) {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("SKIPPED: another user cannot be had here, or not run the program: {}: {why}", case.line);
        return None;
    }
    Some(Run::of(output))
}

fn may(folder: &Folder, name: &str, mode: u32) {
    fs::set_permissions(folder.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn inputs_that_may_not_be_read_and_folders_that_may_not_be_written() {
    let mut ran = 0;
    for case in CASES {
        let folder = case.folder();
        let before = snapshot(&folder.path(""));
        may(&folder, "", 0o755);
        let words = case.words();
        // The folder may be read, and nothing put there.
        let run = match as_nobody(case, &folder, &words) {
            Some(run) => run,
            None => return,
        };
        match case.kind {
            Kind::Reads => assert_eq!(run.status, Some(0), "{}: {run:?}", case.line),
            _ => {
                assert_eq!(run.status, Some(2), "{}: {run:?}", case.line);
                let said = run.err.to_lowercase();
                assert!(said.ends_with(": permission denied\n"), "{}: {run:?}", case.line);
                assert_eq!(snapshot(&folder.path("")), before, "{}", case.line);
            }
        }
        may(&folder, "", 0o777);
        for i in inputs(case, &before) {
            may(&folder, &words[i], 0o000);
            let run = as_nobody(case, &folder, &words).unwrap();
            let what = format!("{words:?}: {run:?}");
            assert_eq!(run.status, Some(2), "{what}");
            assert!(run.err.starts_with(&format!("bitwire: {}", words[i])), "{what}");
            assert!(run.err.ends_with(": Permission denied\n"), "{what}");
            may(&folder, &words[i], if before.contains_key(&words[i]) { 0o644 } else { 0o755 });
            ran += 1;
        }
        assert_eq!(snapshot(&folder.path("")), before, "{}", case.line);
    }
    assert!(ran > 50, "{ran}");
}

/// Also for the one whom permissions do not stop.
#[test]
fn a_folder_that_nobody_can_change() {
    let folder = Folder::new();
    let set = |flag: &str| Command::new("chattr").args([flag]).arg(folder.path("")).status();
    if !set("+i").is_ok_and(|status| status.success()) {
        return println!("SKIPPED: no folder can be made unchangeable here (chattr +i)");
    }
    let run = |line: &str| Run::of(folder.command(BITWIRE).args(line.split(' ')).output().unwrap());
    let small = with_small();
    let input = small.path("small.npy");
    let input = input.to_str().unwrap();
    let runs = [
        run(&format!("beacon emit {input} out.bit")),
        run(&format!("mirror master {input} out.bit")),
        run("gist niah out.jsonl --lengths 99"),
        run("ledger evidence out"),
        run("ledger ingest /dev/null out.ledger"),
    ];
    let names = folder.names();
    set("-i").unwrap();
    for (run, name) in runs.iter().zip([".", ".", ".", "out", "out.ledger"]) {
        assert_eq!((run.status, &run.err), (Some(2), &format!("bitwire: {name}: Operation not permitted\n")));
    }
    assert!(names.is_empty());
}

#[test]
fn no_more_files_than_the_system_opens() {
    let folder = with_small();
    let run = folder.sh("ulimit -n 4; exec \"$0\" beacon emit small.npy out.bit");
    // In words, and about the folder, in which the file could not be made.
    run.refused(".: Too many open files");
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
}

//! Full disks, readers that go away, kills, and inputs larger than memory.

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread;

use crate::support::*;

/// A folder with wide.npy, whose beacon has 256 KiB.
fn with_wide() -> Folder {
    let folder = with_small();
    folder.put("wide.npy", npy("<f2", false, &[2, 128_256], &[0x3C; 2 * 2 * 128_256]));
    folder
}

#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let folder = with_wide();
    folder.bitwire("beacon emit small.npy in.bit").good();
    folder.bitwire("beacon emit wide.npy wide.bit").good();
    fs::copy(embeddings("window.npy"), folder.path("window.npy")).unwrap();
    folder.bitwire("beacon emit window.npy window.bit").good();
    fs::create_dir(folder.path("disk")).unwrap();
    for (verb, name) in [
        ("beacon emit wide.npy disk/out", "disk/out"),
        // An archive of a Sigma of 1.2 MB, in many writes.
        ("scl export window.bit disk/out", "disk/out"),
    ] {
        for old in ["", "echo old > disk/out &&"] {
            let script = format!(
                "mount -t tmpfs -o size=128k none disk && echo mounted && {old} {{ \"$0\" {verb}; echo $?; ls -A disk; \
                 cat disk/*; }}"
            );
            let output = folder.command("unshare").args(["-rm", "sh", "-c", &script, BITWIRE]).output();
            let run = match output {
                Ok(output) => Run::of(output),
                Err(error) => return println!("skipped: no unshare here: {error}"),
            };
            let Some(text) = run.text().strip_prefix("mounted\n") else {
                return println!("skipped: no small file system can be mounted here: {}", run.err);
            };
            let message = format!("bitwire: {name}: No space left on device\n");
            assert!(run.err.starts_with(&message), "{}", run.err);
            assert_eq!(text, if old.is_empty() { "2\n" } else { "2\nout\nold\n" }, "{verb}");
        }
    }
}

#[test]
fn a_file_size_limit_leaves_the_old_file_and_nothing_else() {
    let folder = with_wide();
    folder.put("old.bit", "old");
    let before = folder.names();
    for out in ["new.bit", "old.bit"] {
        folder
            .sh(&format!("trap '' XFSZ; ulimit -f 1; exec \"$0\" beacon emit wide.npy {out}"))
            .refused(&format!("{out}: File too large"));
        assert_eq!(folder.names(), before);
        assert_eq!(folder.read("old.bit"), b"old");
    }
}

#[test]
fn standard_output_on_a_full_disk_is_status_2() {
    let folder = with_small();
    folder.bitwire("beacon emit small.npy in.bit").good();
    folder.bitwire("scl export in.bit in.npz").good();
    let before = folder.names();
    for line in [
        "beacon emit small.npy -",
        "beacon show in.bit",
        "beacon show in.bit --json",
        "verify in.bit",
        "route in.bit",
        "inspect in.bit",
        "scl export in.bit -",
        "scl import in.npz - --delta-q16 auto",
        "man",
        "completions bash",
        "--help",
        "--version",
        "beacon emit --help",
    ] {
        folder
            .sh(&format!("exec \"$0\" {line} > /dev/full"))
            .refused("standard output: No space left on device");
    }
    assert_eq!(folder.names(), before);
    // What was written to a file beside it is whole.
    folder
        .sh("exec \"$0\" beacon emit small.npy out.bit > /dev/full")
        .refused("standard output: No space left on device");
    assert_eq!(folder.read("out.bit"), folder.read("in.bit"));
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let folder = with_wide();
    folder.bitwire("beacon emit wide.npy in.bit").good();
    for line in ["beacon show in.bit --json", "beacon emit wide.npy -", "verify in.bit", "man", "--help"] {
        let mut command = folder.command(BITWIRE);
        command.args(line.split(' ')).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{line}");
        // Without any standard output, error or input there is nobody to tell, and still no panic.
        let status = folder.sh(&format!("\"$0\" {line} >&- 2>&- <&-; echo $?")).good();
        assert_eq!(status.text(), "0\n");
    }
    let status = folder.sh("\"$0\" verify none >&- 2>&-; echo $?").good();
    assert_eq!(status.text(), "2\n");
    let status = folder.sh("\"$0\" nonsense 2>/dev/full; echo $?").good();
    assert_eq!(status.text(), "2\n");
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_under_the_asked_name() {
    let folder = with_small();
    folder.put("old.bit", "old");
    let before = folder.names();
    // A million rows are promised; as many as the pipe holds and the process has read are sent.
    let head = npy("<f4", false, &[1 << 20, 1024], &[0; 1 << 20]);
    for out in ["new.bit", "old.bit"] {
        let mut child = folder
            .command(BITWIRE)
            .args(["beacon", "emit", "-", out])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Returns when all but the last 64 KiB have been read.
        stdin.write_all(&head).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it waits for more");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
        assert_eq!(folder.names(), before);
        assert_eq!(folder.read("old.bit"), b"old");
    }
}

#[test]
fn a_stream_that_ends_too_early_leaves_nothing() {
    let folder = with_small();
    let head = npy("<f4", false, &[1 << 20, 1024], &[0; 1 << 20]);
    folder.with_stdin(&head, "beacon emit - out.bit").refused(
        "standard input: truncated: the array's data needs 4294967296 bytes, 1048576 are there (at byte 128)",
    );
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
}

/// The most memory that a window of 128,256 columns may take, whatever its number of rows: a vocabulary's width in a few
/// vectors of f64 of 1 MB each, besides the program itself.
const ALLOWED: u64 = 24 << 20;

#[test]
fn a_large_window_streams_in_bounded_memory() {
    const DIM: usize = 128_256;
    const ROWS: usize = 64;
    let folder = Folder::new();
    let mut child = folder
        .command(BITWIRE)
        .args(["beacon", "emit", "-", "out.bit", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let report = thread::spawn(move || {
        let mut report = Vec::new();
        stdout.read_to_end(&mut report).map(|_| report)
    });
    stdin.write_all(&npy("<f8", false, &[ROWS, DIM], b"")).unwrap();
    // Row r is r, r + 1, r, r + 1, ...
    let row = |r: usize| f64s((0..DIM).map(|column| (r + column % 2) as f64));
    for r in 0..ROWS - 1 {
        stdin.write_all(&row(r)).unwrap();
    }
    let last = row(ROWS - 1);
    let (most, end) = last.split_at(last.len() - 8);
    stdin.write_all(most).unwrap();
    // All rows but the end of the last have been read, or are in the pipe.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    println!("{peak} bytes");
    assert!(peak <= ALLOWED, "{peak} bytes for a window of {} bytes", ROWS * DIM * 8);
    const { assert!(ALLOWED < (ROWS * DIM * 8) as u64 / 2, "else the test would show nothing") };
    stdin.write_all(end).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
    report.join().unwrap().unwrap();

    // And the numbers are right.
    let (rows, half) = (ROWS as f64, 128_256.0 / 2.0);
    let shown = folder.bitwire("beacon show out.bit --json").good().json("beacon-show");
    assert_eq!(shown["calibration"]["sigma"], "trace");
    close(shown["mean"][0].clone(), (rows - 1.0) / 2.0, 1e-4);
    // The variance of 0, 1, ..., n - 1 with divisor n - 1 is n (n + 1) / 12, in each of the columns.
    close(shown["results"]["tr_Sigma"].clone(), 2.0 * half * rows * (rows + 1.0) / 12.0, 1e-9);
}

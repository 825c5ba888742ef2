//! Files that change while a verb has them open, as inputs.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::*;

/// An index, signed, whose search waits for its query on standard input; it has read, or mapped, the index by then.
fn searching(folder: &Folder, key: &str) -> Child {
    let data = [env!("CARGO_MANIFEST_DIR"), "tests/data/engram/index/vectors.npy"]
        .iter()
        .collect::<std::path::PathBuf>();
    fs::copy(data, folder.path("vectors.npy")).unwrap();
    let entries: String = (0..40).map(|i| format!("{{\"cache_id\":\"c{i}\"}}\n")).collect();
    folder.put("entries.jsonl", entries);
    folder.put("key", KEY_HEX);
    folder
        .bitwire(
            "engram index build x.bit kv llama svd vectors.npy --entries entries.jsonl --hmac-key-file key",
        )
        .good();
    let line = format!("engram index search x.bit - --json{key}");
    let mut command = folder.command(BITWIRE);
    command.args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It waits in a read of the pipe, which the system tells.
    let waits = format!("/proc/{}/syscall", child.id());
    for _ in 0..1000 {
        if fs::read_to_string(&waits).is_ok_and(|call| call.starts_with("0 0x0 ")) {
            return child;
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it does not come to read its query: {:?}", child.wait_with_output());
}

fn answer(mut child: Child, query: &[u8]) -> std::process::Output {
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(query);
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// With a key, what was verified is what is used: the file is read, and neither forged nor cut meanwhile.
#[cfg(target_arch = "x86_64")]
#[test]
fn what_a_key_verified_is_used_whatever_becomes_of_the_file() {
    let folder = Folder::new();
    let key = " --hmac-key-file key";
    let child = searching(&folder, key);
    let vectors = folder.read("vectors.npy");
    let query = npy("<f4", false, &[16], &vectors[128..128 + 64]);
    let expected = Run::of(answer(child, &query)).good();
    assert!(expected.text().contains("\"c0\""), "{}", expected.text());

    let child = searching(&folder, key);
    let whole = folder.read("x.bit");
    let file = OpenOptions::new().write(true).open(folder.path("x.bit")).unwrap();
    file.write_all_at(&vec![0x41; whole.len() - 100], 100).unwrap();
    let run = Run::of(answer(child, &query)).good();
    assert_eq!(run.out, expected.out);

    let child = searching(&folder, key);
    OpenOptions::new().write(true).open(folder.path("x.bit")).unwrap().set_len(10).unwrap();
    let run = Run::of(answer(child, &query)).good();
    assert_eq!(run.out, expected.out);
}

/// Without a key it is a map, and what is documented of one holds: a file cut short ends the process, and nothing is said that is
/// not so.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_map_of_a_file_that_is_cut_short_ends_the_process() {
    let folder = Folder::new();
    let child = searching(&folder, "");
    let query = npy("<f4", false, &[16], &[0; 64]);
    OpenOptions::new().write(true).open(folder.path("x.bit")).unwrap().set_len(0).unwrap();
    let output = answer(child, &query);
    // SIGBUS, and no word on standard output.
    assert_eq!((output.status.signal(), output.stdout.len()), (Some(7), 0));
}

/// Ledgers are read: what is cut off or changed meanwhile is an error like any other.
#[cfg(feature = "mmap")]
#[test]
fn a_mapped_ledger_can_be_checked_again() {
    use bitwire::ledger::{LedgerError, LedgerReader};
    let folder = Folder::new();
    folder.put("t.txt", (0..100).map(|i| format!("{i} ")).collect::<String>());
    folder.bitwire("ledger ingest t.txt a.ledger --chunk-tokens 10").good();
    let path = folder.path("a.ledger");
    let (mapped, opened) = (LedgerReader::map(&path).unwrap(), LedgerReader::open(&path).unwrap());
    assert_eq!((mapped.recall(55).unwrap(), opened.recall(55).unwrap()), (55, 55));
    // A token of chunk 5, whose 10 tokens end two bytes before the sixth chunk.
    let whole = folder.read("a.ledger");
    let chunk = mapped.chunk(5).unwrap();
    let at = whole.windows(chunk.len()).position(|window| window == chunk).unwrap() + chunk.len() - 3;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[whole[at] ^ 0x10], at as u64).unwrap();
    // A map shows what is there now, also of what was checked before; a file's chunk is kept as it was checked.
    assert_eq!(opened.recall(55).unwrap(), 55);
    // Whoever asks again is told, by either.
    for result in [mapped.verify(|_| ()).map(drop), mapped.chunk(5).map(drop), opened.chunk(5).map(drop)] {
        assert!(matches!(result, Err(LedgerError::Damaged { chunk: 5, .. })), "{result:?}");
    }
    // Cut short: an error where it is read.
    file.set_len(100).unwrap();
    let error = opened.recall(15).unwrap_err();
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
}

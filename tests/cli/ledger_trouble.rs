//! Ledgers that are damaged, torn, locked, or under another key; tokens that are none; disks that are full.

use std::fs;

use bitwire::ledger::{LedgerOptions, LedgerWriter};
use serde_json::json;

use crate::ledger::{root_of, with_ledger};
use crate::support::*;

#[test]
fn a_ledger_is_never_overwritten() {
    let folder = with_ledger();
    let before = (folder.read("a.ledger"), folder.read("a.ledger.idx"));
    folder.bitwire("ledger ingest t.txt a.ledger").refused("a.ledger: already there; --append adds to it");
    folder.bitwire("ledger ingest t.txt b.ledger --append").refused("b.ledger: No such file or directory");
    // What is no ledger is not overwritten either.
    folder.bitwire("ledger ingest t.txt t.txt").refused("t.txt: already there; --append adds to it");
    assert_eq!((folder.read("a.ledger"), folder.read("a.ledger.idx")), before);
    assert_eq!(folder.names(), ["a.ledger", "a.ledger.idx", "t.txt"]);
}

#[test]
fn tokens_that_are_none() {
    let folder = Folder::new();
    let word = "a whole number from 0 to 4294967295 is needed";
    folder.put("word.txt", "1 2\n3 four\n");
    folder.put("late.txt", format!("{}x", "1\n".repeat(100_000)));
    folder.put("odd.u16", [1, 2, 3]);
    folder.put("odd.u32", [1, 2, 3]);
    folder.put("minus.npy", npy("<i2", false, &[2], &[0, 0, 0xFF, 0xFF]));
    folder.put("large.npy", npy("<u8", false, &[1], &[0, 0, 0, 0, 1, 0, 0, 0]));
    folder.put("float.npy", npy("<f4", false, &[1], &[0; 4]));
    folder.put("deep.npy", npy("<u4", false, &[1, 1, 1], &[0; 4]));
    folder.put("columns.npy", npy("<u4", true, &[2, 2], &[0; 16]));
    folder.put("short.npy", npy("<u4", false, &[3], &[0; 8]));
    folder.put("long.npy", npy("<u4", false, &[1], &[0; 8]));
    folder.put("text.npy", "1 2 3");
    let before = folder.names();
    for (name, message) in [
        ("word.txt", &*format!("line 2: token 3 is 'four'; {word} (at byte 6)")),
        ("late.txt", &format!("line 100001: token 100000 is 'x'; {word} (at byte 200000)")),
        ("odd.u16", "truncated: the last token needs 2 bytes, 1 are there (at byte 2)"),
        ("odd.u32", "truncated: the last token needs 4 bytes, 3 are there (at byte 0)"),
        ("minus.npy", "the value at position 1 is -1; a token is from 0 to 4294967295"),
        ("large.npy", "the value at position 0 is 4294967296; a token is from 0 to 4294967295"),
        ("float.npy", "the array's type is '<f4', needed is an integer, u1 to u8 or i1 to i8 (at byte 20)"),
        (
            "deep.npy",
            "the array has 3 dimensions, needed is 1, or 2 (rows of tokens, one after the other) (at byte 60)",
        ),
        (
            "columns.npy",
            ".npy: tokens are taken row by row, and this array is stored column by column; save it with \
             numpy.ascontiguousarray",
        ),
        ("short.npy", "truncated: the array's data needs 12 bytes, 8 are there (at byte 128)"),
        ("long.npy", "4 bytes follow where the input should end (at byte 132)"),
        ("text.npy", ".npy: not a NumPy file: the first six bytes are not 93 4E 55 4D 50 59 (at byte 0)"),
        ("none.txt", "No such file or directory"),
        (".", "Is a directory"),
    ] {
        folder.bitwire(&format!("ledger ingest {name} a.ledger")).refused(&format!("{name}: {message}"));
        assert_eq!(folder.names(), before, "{name}");
    }
    let piped = folder.with_stdin(b"1 -1", "ledger ingest - a.ledger");
    piped.refused(&format!("standard input: line 1: token 1 is '-1'; {word} (at byte 2)"));
    assert_eq!(folder.names(), before);

    // The same after much was written to a ledger that is there.
    folder.put("good.txt", "1 2 3");
    folder.bitwire("ledger ingest good.txt a.ledger").good();
    let ledger = (folder.read("a.ledger"), folder.read("a.ledger.idx"));
    folder.put("late.txt", format!("{}x", "4000000000\n".repeat(1_000_000)));
    folder
        .bitwire("ledger ingest late.txt a.ledger --append")
        .usage("late.txt: line 1000001: token 1000000 is 'x'");
    assert_eq!((folder.read("a.ledger"), folder.read("a.ledger.idx")), ledger);
}

#[test]
fn marks_that_cannot_be() {
    let folder = Folder::new();
    folder.put("t.txt", "5 6 7");
    let ingest = |rest: &str| folder.bitwire(&format!("ledger ingest t.txt a.ledger {rest}"));
    ingest("--passkey 1=7").refused("a.ledger: the token at position 1 is 6, not 7");
    ingest("--passkey 3=7").refused("a.ledger: a passkey reaches to 4, past the end at 3");
    ingest("--passkey 1=6 --passkey 1=6").refused("a.ledger: a passkey's position is marked twice");
    ingest("--span a=2+2").refused("a.ledger: a span reaches to 4, past the end at 3");
    ingest("--span a=0+1 --span a=1+1").refused("a.ledger: a span's name is marked twice");
    ingest("--span a=18446744073709551615+1")
        .refused("a.ledger: the size of the span's end overflows 64 bits");
    for bad in ["1", "1=", "=1", "x=1", "1=-1", "1=4294967296", "1=2=3"] {
        ingest(&format!("--passkey={bad}")).usage("has to be a position, = and a token from 0 to 4294967295");
    }
    for bad in ["a", "=0+1", "a=0", "a=0+0", "a=x+1", "a=0+x", "a=-1+1"] {
        ingest(&format!("--span={bad}")).usage("has to be a name, =, the first position, + and the number");
    }
    for bad in ["0", "-1", "4294967296", "x"] {
        ingest(&format!("--chunk-tokens {bad}")).usage("has to be a whole number from 1 to 4294967295");
        ingest(&format!("--anchor-stride {bad}")).usage("has to be a whole number from 1 to 4294967295");
    }
    assert_eq!(folder.names(), ["t.txt"]);
    ingest("--span a=b=c+d=0+3").good();
    let json = folder.bitwire("ledger span a.ledger a=b=c+d --json").good().json("ledger-span");
    assert_eq!(json["tokens"], json!([5, 6, 7]));
}

#[test]
fn what_is_not_there() {
    let folder = with_ledger();
    let before = folder.names();
    let has = "the ledger has 20 tokens, at 0 to 19";
    folder.bitwire("ledger recall a.ledger 20").refused(&format!("a.ledger: position 20: {has}"));
    folder
        .bitwire("ledger recall a.ledger 19 --length 2")
        .refused(&format!("a.ledger: 2 tokens from position 19: {has}"));
    folder
        .bitwire("ledger recall a.ledger 0 --length 18446744073709551615")
        .refused(&format!("a.ledger: 18446744073709551615 tokens from position 0: {has}"));
    folder
        .bitwire("ledger recall a.ledger 18446744073709551615 --length 1")
        .refused("a.ledger: no ledger has positions past 18446744073709551615");
    for bad in ["-1", "x", "18446744073709551616"] {
        folder.bitwire(&format!("ledger recall a.ledger {bad}")).usage("has to be a whole number from 0 to");
    }
    folder.bitwire("ledger recall a.ledger 0 --length 0").usage("has to be a whole number from 1 to");
    folder.bitwire("ledger span a.ledger head").refused("a.ledger: no span is named 'head'");
    for verb in ["prove", "extract"] {
        folder
            .bitwire(&format!("ledger {verb} a.ledger 3 x"))
            .refused("a.ledger: chunk 3: the ledger has chunks 0 to 2");
    }
    for line in [
        "recall none 0",
        "span none x",
        "passkeys none",
        "verify none",
        "index none",
        "recover none",
        "prove none 0 x",
        "extract none 0 x",
        "prove-consistency none 1 x",
        "export-tinymind none x",
    ] {
        folder.bitwire(&format!("ledger {line}")).refused("none: No such file or directory");
        let index = line.replace("none", "a.ledger.idx");
        folder
            .bitwire(&format!("ledger {index}"))
            .refused("a.ledger.idx: the name of an index, not of a ledger");
        let stream = line.replace("none", "-");
        folder.bitwire(&format!("ledger {stream}")).refused("a ledger is a file, not a stream (-)");
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn a_damaged_chunk_is_found() {
    let folder = with_ledger();
    let good = folder.read("a.ledger");
    let second = 4 + good[4..].windows(4).position(|four| four == b"BIT\x01").unwrap();
    let mut bad = good.clone();
    bad[second - 3] ^= 1;
    folder.put("a.ledger", &bad);
    let crc = "CRC-16 mismatch: the frame says ";
    let run = folder.bitwire("ledger verify a.ledger").invalid("");
    assert!(
        run.text().starts_with(&format!("a.ledger: INVALID: chunk 0 is damaged: {crc}")),
        "{}",
        run.text()
    );
    assert!(run.text().ends_with(&format!("(at byte {})\n", second - 2)), "{}", run.text());
    let json = folder.bitwire("ledger verify a.ledger --json").invalid("").json("ledger-verify");
    assert_eq!((&json["valid"], &json["error"]["chunk"]), (&json!(false), &json!(0)));
    assert_eq!((&json["error"]["kind"], &json["error"]["offset"]), (&json!("Crc"), &json!(second - 2)));
    for line in ["recall a.ledger 7", "passkeys a.ledger", "extract a.ledger 0 x", "prove a.ledger 0 x"] {
        let run = folder.bitwire(&format!("ledger {line}"));
        assert!(run.err.starts_with(&format!("bitwire: a.ledger: chunk 0 is damaged: {crc}")), "{}", run.err);
        assert_eq!((run.status, run.text()), (Some(1), ""));
    }
    // The others are still there.
    assert_eq!(folder.bitwire("ledger recall a.ledger 8").good().text(), "65535\n");
    assert!(!folder.path("x").exists());

    // The last chunk cut off under its index: nothing gives it out or mends it unasked.
    folder.put("a.ledger", &good[..good.len() - 1]);
    let before = folder.read("a.ledger.idx");
    let cut = format!(
        "the index covers {} bytes, the ledger has {}: committed chunks are gone, or it is another ledger's index; \
         remove the index only if nothing is missed",
        good.len(),
        good.len() - 1
    );
    for line in [
        "recall a.ledger 0",
        "passkeys a.ledger",
        "recover a.ledger",
        "ingest t.txt a.ledger --append",
        "index a.ledger",
    ] {
        folder.bitwire(&format!("ledger {line}")).invalid(&format!("bitwire: a.ledger.idx: {cut}\n"));
    }
    let run = folder.bitwire("ledger verify a.ledger").invalid("");
    assert_eq!(run.text(), format!("a.ledger.idx: INVALID: {cut}\n"));
    assert_eq!((folder.read("a.ledger").len(), folder.read("a.ledger.idx")), (good.len() - 1, before));
}

#[test]
fn an_index_is_made_again() {
    let folder = with_ledger();
    let good = folder.read("a.ledger.idx");
    fs::remove_file(folder.path("a.ledger.idx")).unwrap();
    let verified = folder.bitwire("ledger verify a.ledger --json").good().json("ledger-verify");
    assert_eq!((&verified["index"], &verified["chunks_not_in_index"]), (&json!("missing"), &json!(null)));
    assert!(folder.bitwire("ledger verify a.ledger").good().text().contains("\nindex       missing\n"));
    let run = folder.bitwire("ledger index a.ledger --anchor-stride 2").good();
    assert!(
        run.text().starts_with("index       a.ledger.idx\ntokens      20\nchunks      3\n"),
        "{}",
        run.text()
    );
    assert_eq!(folder.read("a.ledger.idx"), good);

    folder.put("a.ledger.idx", &good[..50]);
    let run = folder.bitwire("ledger recall a.ledger 0");
    assert_eq!(run.status, Some(1));
    assert!(run.err.starts_with("bitwire: a.ledger.idx: the index is of no use: truncated: "), "{}", run.err);
    assert!(run.err.ends_with("; `bitwire ledger index` makes it again\n"), "{}", run.err);
    let run = folder.bitwire("ledger index a.ledger --anchor-stride 2 --json");
    assert!(
        run.err.starts_with(
            "bitwire: warning: a.ledger.idx: the index that was there is of no use: truncated: "
        )
    );
    assert_eq!(run.status, Some(0));
    let json = run.json("ledger-index");
    assert_eq!((&json["index"], &json["ignored"]["kind"]), (&json!("a.ledger.idx"), &json!("Truncated")));
    assert_eq!((&json["torn"], folder.read("a.ledger.idx")), (&json!(null), good.clone()));

    // Stale, with what it lacks.
    folder.bitwire("ledger ingest t.txt a.ledger --append --chunk-tokens 8").good();
    folder.put("a.ledger.idx", &good);
    let verified = folder.bitwire("ledger verify a.ledger --json").good().json("ledger-verify");
    assert_eq!((&verified["index"], &verified["chunks_not_in_index"]), (&json!("stale"), &json!(3)));
    let shown = folder.bitwire("ledger verify a.ledger").good();
    assert!(
        shown.text().contains("\nindex       stale: the last 3 chunks are not in it\n"),
        "{}",
        shown.text()
    );
    assert_eq!(folder.bitwire("ledger recall a.ledger 39").good().text(), "2\n");
    folder.bitwire("ledger index a.ledger").good();
    let verified = folder.bitwire("ledger verify a.ledger --json").good().json("ledger-verify");
    assert_eq!(verified["index"], "current");
}

#[test]
fn a_torn_tail_is_told_and_cut_off_when_asked() {
    let folder = with_ledger();
    let good = folder.read("a.ledger");
    let torn = [&good[..], &good[..50]].concat();
    folder.put("a.ledger", &torn);
    let at = good.len();
    // In a map the rest is all there is of that header.
    let start = format!(
        "bitwire: warning: a.ledger: torn at byte {at}: 50 bytes belong to no whole chunk and are not read (truncated: "
    );
    for line in
        ["recall a.ledger 2", "span a.ledger tail", "passkeys a.ledger", "verify a.ledger", "index a.ledger"]
    {
        let run = folder.bitwire(&format!("ledger {line}"));
        assert_eq!(run.status, Some(0), "{run:?}");
        assert!(run.err.starts_with(&start), "{}", run.err);
        assert!(run.err.ends_with("); `bitwire ledger recover` cuts them off\n"), "{}", run.err);
        assert!(!run.text().is_empty());
    }
    let run = folder.bitwire("ledger verify a.ledger");
    assert!(run.text().ends_with(&format!("\ntorn        50 bytes from byte {at}\n")), "{}", run.text());
    let json = folder.bitwire("ledger verify a.ledger --json").json("ledger-verify");
    assert_eq!(
        (&json["valid"], &json["torn"]["offset"], &json["torn"]["len"]),
        (&json!(true), &json!(at), &json!(50))
    );
    assert_eq!(folder.read("a.ledger"), torn, "nobody cut it yet");

    let json = folder.bitwire("ledger recover a.ledger --json").good().json("ledger-recover");
    assert_eq!((&json["cut_off"]["offset"], &json["cut_off"]["len"]), (&json!(at), &json!(50)));
    assert_eq!(folder.read("a.ledger"), good);
    let run = folder.bitwire("ledger recover a.ledger").good();
    assert!(
        run.text().starts_with("ledger      a.ledger\ncut off     nothing\ntokens      20\n"),
        "{}",
        run.text()
    );
    folder.put("a.ledger", &torn);
    let run = folder.bitwire("ledger recover a.ledger").good();
    assert!(
        run.text().contains(&format!("\ncut off     50 bytes from byte {at} (truncated: ")),
        "{}",
        run.text()
    );
    // Appending cuts it too, and says so.
    folder.put("a.ledger", &torn);
    let run = folder.bitwire("ledger ingest t.txt a.ledger --append --json");
    let cut =
        format!("bitwire: warning: a.ledger: a torn tail was cut off: 50 bytes from byte {at} (truncated: ");
    assert!(run.err.starts_with(&cut), "{}", run.err);
    assert_eq!((&run.json("ledger-ingest")["cut_off"]["len"], run.status), (&json!(50), Some(0)));
    assert_eq!(folder.bitwire("ledger recall a.ledger 39").good().text(), "2\n");
}

#[test]
fn keys() {
    let folder = Folder::new();
    folder.put("t.txt", "1 2 3 4 5");
    folder.put("key", KEY_HEX);
    folder.put("other.key", OTHER_KEY_HEX);
    folder.bitwire("ledger ingest t.txt a.ledger --chunk-tokens 2 --hmac-key-file key").good();
    folder.bitwire("ledger ingest t.txt plain.ledger").good();
    let verify = |rest: &str| folder.bitwire(&format!("ledger verify a.ledger {rest}"));
    let run = verify("--hmac-key-file key").good();
    let whole = "by its signed index; only a root kept elsewhere excludes that both were rolled back";
    assert!(run.text().contains(&format!("\nHMAC        ok\nwhole       {whole}\n")), "{}", run.text());
    let json = verify("--hmac-key-file key --json").good().json("ledger-verify");
    assert_eq!((&json["authenticated"], &json["whole_by"]), (&json!(true), &json!("signed-index")));
    assert!(
        folder
            .bitwire("ledger verify a.ledger")
            .good()
            .text()
            .contains("\nHMAC        not checked (no key)\n")
    );
    assert_eq!(folder.bitwire("ledger recall a.ledger 4 --hmac-key-file key").good().text(), "5\n");
    assert_eq!(folder.bitwire("ledger recall a.ledger 4").good().text(), "5\n");

    // Another key, and none in the frames. Another index would not help, so none is proposed.
    let hmac = "HMAC_V1 does not match: another key, or an altered frame (at byte ";
    let run = verify("--hmac-key-file other.key").invalid("");
    assert!(
        run.text().starts_with(&format!("a.ledger.idx: INVALID: the index is of no use: {hmac}")),
        "{}",
        run.text()
    );
    assert!(run.text().ends_with(")\n"));
    let none = "a key was given, but the frame carries no HMAC_V1";
    let run = folder.bitwire("ledger verify plain.ledger --hmac-key-file key").invalid("");
    assert!(run.text().starts_with(&format!("plain.ledger.idx: INVALID: the index is of no use: {none}")));
    for line in ["recall a.ledger 0", "passkeys a.ledger", "recover a.ledger", "extract a.ledger 0 x"] {
        let run = folder.bitwire(&format!("ledger {line} --hmac-key-file other.key"));
        assert!(run.err.contains(hmac), "{}", run.err);
        assert_eq!((run.status, run.text()), (Some(1), ""));
    }
    let needed = "a.ledger: the ledger is signed: its key is needed (--hmac-key-file)";
    for line in ["ingest t.txt a.ledger --append", "recover a.ledger", "index a.ledger"] {
        folder.bitwire(&format!("ledger {line}")).refused(needed);
    }
    // One author's chunks, without what says how many there were.
    fs::remove_file(folder.path("a.ledger.idx")).unwrap();
    let run = verify("--hmac-key-file key");
    assert_eq!(
        run.err,
        "bitwire: warning: a chunk's HMAC proves its author, not that the ledger is whole or the newest: give --root and \
         --chunks, kept elsewhere\n"
    );
    assert_eq!(run.status, Some(0));
    assert!(run.text().contains("\nwhole       not known: no root was given to compare\n"), "{}", run.text());
    let root = root_of(&folder, "a.ledger");
    verify(&format!("--hmac-key-file key --root {root} --chunks 3")).good();
    let bytes = folder.read("a.ledger");
    let run = verify("--hmac-key-file other.key").invalid("");
    assert!(
        run.text().starts_with(&format!("a.ledger: INVALID: chunk 0 is damaged: {hmac}")),
        "{}",
        run.text()
    );
    for line in ["ingest t.txt a.ledger --append", "recover a.ledger", "index a.ledger"] {
        let run = folder.bitwire(&format!("ledger {line} --hmac-key-file other.key"));
        assert!(
            run.err.starts_with(&format!("bitwire: a.ledger: chunk 0 is damaged: {hmac}")),
            "{}",
            run.err
        );
        assert_eq!((run.status, folder.read("a.ledger")), (Some(1), bytes.clone()));
    }
    // Of a single chunk, which no whole chunk follows, the same: it is no torn tail.
    fs::remove_file(folder.path("plain.ledger.idx")).unwrap();
    let bytes = folder.read("plain.ledger");
    for line in ["ingest t.txt plain.ledger --append", "recover plain.ledger", "index plain.ledger"] {
        let run = folder.bitwire(&format!("ledger {line} --hmac-key-file key"));
        assert!(
            run.err.starts_with(&format!("bitwire: plain.ledger: chunk 0 is damaged: {none}")),
            "{}",
            run.err
        );
        assert_eq!((run.status, folder.read("plain.ledger")), (Some(1), bytes.clone()));
    }
    let run = folder.bitwire("ledger verify plain.ledger --hmac-key-file key").invalid("");
    assert!(
        run.text().starts_with(&format!("plain.ledger: INVALID: chunk 0 is damaged: {none}")),
        "{}",
        run.text()
    );

    folder.bitwire("ledger index a.ledger --hmac-key-file key").good();
    folder.bitwire("ledger ingest t.txt a.ledger --append --hmac-key-file key").good();
    verify("--hmac-key-file key").good();
    // A chunk and its proof, with the key.
    folder.bitwire("ledger extract a.ledger 1 c --hmac-key-file key").good();
    folder.bitwire("ledger prove a.ledger 1 p --hmac-key-file key").good();
    let root = root_of(&folder, "a.ledger");
    folder.bitwire(&format!("ledger check-proof p c --root {root} --hmac-key-file key")).good();
    let run = folder
        .bitwire(&format!("ledger check-proof p c --root {root} --hmac-key-file other.key"))
        .invalid("");
    assert!(run.text().starts_with(&format!("c: INVALID: {hmac}")), "{}", run.text());
}

#[test]
fn one_writer_at_a_time() {
    let folder = with_ledger();
    let writer = LedgerWriter::open(folder.path("a.ledger"), LedgerOptions::new()).unwrap();
    for line in ["ingest t.txt a.ledger --append", "recover a.ledger", "index a.ledger"] {
        folder.bitwire(&format!("ledger {line}")).refused("a.ledger: another writer has the ledger");
    }
    // Readers need no lock.
    folder.bitwire("ledger verify a.ledger").good();
    drop(writer);
    folder.bitwire("ledger recover a.ledger").good();
}

#[cfg(unix)]
#[test]
fn names_are_escaped() {
    let folder = Folder::new();
    folder.put("t.txt", "1 2 3");
    let (ledger, shown) = ("\u{1b}[2Ja\n", r"\u{1b}[2Ja\u{a}");
    let span = "\u{9b}\u{202e}x";
    let mark = format!("{span}=0+2");
    let run = folder.run(["ledger", "ingest", "t.txt", ledger, "--span", &mark]).good();
    assert!(run.text().starts_with(&format!("ledger      {shown}\n")));
    let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for verb in
        [&["span", ledger, span][..], &["verify", ledger], &["passkeys", ledger], &["recover", ledger]]
    {
        for json in [&[][..], &["--json"]] {
            let run = folder.run([&["ledger"], verb, json].concat()).good();
            assert!(!run.text().contains(stray), "{:?}", run.text());
        }
    }
    let json = folder.run(["ledger", "span", ledger, span, "--json"]).good().json("ledger-span");
    assert_eq!(json["name"], span);
    folder
        .run(["ledger", "recall", ledger, "3"])
        .refused(&format!("{shown}: position 3: the ledger has 3 tokens, at 0 to 2"));
    let missing = folder.run(["ledger", "span", ledger, "\u{1b}"]);
    missing.refused(&format!(r"{shown}: no span is named '\u{{1b}}'"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_no_new_ledger_and_an_old_one_as_it_was() {
    let folder = Folder::new();
    folder.put("t.txt", "1 2 3");
    folder.put("many.u32", [0xF7; 40_000]);
    let ingest = |rest: &str| {
        folder.sh(&format!("trap '' XFSZ; ulimit -f 8; exec \"$0\" ledger ingest many.u32 {rest}"))
    };
    let before = folder.names();
    ingest("a.ledger").refused("a.ledger: File too large");
    assert_eq!(folder.names(), before);
    folder.bitwire("ledger ingest t.txt a.ledger").good();
    let (names, ledger, index) = (folder.names(), folder.read("a.ledger"), folder.read("a.ledger.idx"));
    ingest("a.ledger --append").refused("a.ledger: File too large");
    assert_eq!(
        (folder.names(), folder.read("a.ledger"), folder.read("a.ledger.idx")),
        (names, ledger, index)
    );
    folder.bitwire("ledger ingest many.u32 a.ledger --append").good();
    folder.bitwire("ledger verify a.ledger").good();
}

/// The most memory that an ingest may take, whatever the number of tokens.
#[cfg(target_os = "linux")]
const ALLOWED: u64 = 24 << 20;

#[cfg(target_os = "linux")]
#[test]
fn many_tokens_stream_in_bounded_memory() {
    use std::io::Write;
    use std::process::Stdio;
    const COUNT: usize = 16 << 20;
    const { assert!(ALLOWED < COUNT as u64 * 4 / 2, "else the test would show nothing") };
    let folder = Folder::new();
    let mut child = folder
        .command(BITWIRE)
        .args(["ledger", "ingest", "-", "a.ledger", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&npy("<u4", false, &[COUNT], b"")).unwrap();
    let block: Vec<u8> = (0..1u32 << 16).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for _ in 0..COUNT / (1 << 16) - 1 {
        stdin.write_all(&block).unwrap();
    }
    let (most, end) = block.split_at(block.len() - 4);
    stdin.write_all(most).unwrap();
    // All tokens but the last have been read, or are in the pipe.
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
    println!("{peak} bytes");
    assert!(peak <= ALLOWED, "{peak} bytes for {COUNT} tokens");
    stdin.write_all(end).unwrap();
    drop(stdin);
    let run = Run::of(child.wait_with_output().unwrap());
    assert_eq!(run.json("ledger-ingest")["tokens"], COUNT);
    let at = COUNT - 1;
    let last = (0xFFFFu32).wrapping_mul(2_654_435_761);
    assert_eq!(folder.bitwire(&format!("ledger recall a.ledger {at}")).good().text(), format!("{last}\n"));
}

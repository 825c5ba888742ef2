//! Names and strings from outside can neither steer a terminal nor end a line, in text or in JSON.
#![cfg(unix)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::*;

/// A name, and how messages show it.
const NAMES: [(&[u8], &str); 6] = [
    (b"two\nlines.bit", r"two\u{a}lines.bit"),
    (b"\x1b[2Jclear.bit", r"\u{1b}[2Jclear.bit"),
    (b"not\xff\xfeutf8.bit", r"not\xff\xfeutf8.bit"),
    (b"back\\slash.bit", r"back\\slash.bit"),
    ("a\u{202e}tib.exe".as_bytes(), r"a\u{202e}tib.exe"),
    ("f\u{fc}r \u{1f600}.bit".as_bytes(), "f\u{fc}r \u{1f600}.bit"),
];

fn args<'a>(line: &'a str, name: &'a [u8]) -> impl Iterator<Item = &'a OsStr> {
    line.split(' ').map(move |word| if word == "IN" { OsStr::from_bytes(name) } else { OsStr::new(word) })
}

#[test]
fn names_of_files_are_escaped_in_text_and_json() {
    for (name, shown) in NAMES {
        let folder = with_small();
        let run = |line| folder.run(args(line, name));
        let escapes = |run: &Run| {
            let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!run.text().contains(stray) && !run.err.contains(stray), "{run:?}");
        };
        // Missing, as each kind of argument.
        let missing = format!("{shown}: No such file or directory");
        for line in [
            "beacon emit IN out.bit",
            "beacon emit small.npy out.bit --baseline IN",
            "beacon emit small.npy out.bit --hmac-key-file IN",
            "beacon show IN",
            "verify IN",
            "route IN",
            "inspect IN",
            "scl export IN out.npz",
            "scl import IN out.bit --delta-q16 auto",
        ] {
            run(line).refused(&missing);
        }
        // There, and written.
        let file = OsStr::from_bytes(name);
        let emitted = run("beacon emit small.npy IN").good();
        assert!(emitted.text().starts_with(&format!("file        {shown}\n")));
        let beacon = folder.read(file);
        let json = run("beacon emit small.npy IN --json").good();
        assert_eq!(json.json("beacon-emit")["file"], shown);
        escapes(&json);
        assert!(run("verify IN").good().text().starts_with(&format!("{shown}: valid: ")));
        assert_eq!(run("verify IN --json").good().json("verify")["files"][0]["file"], shown);
        assert_eq!(run("inspect IN --json").good().json("inspect")["file"], shown);
        escapes(&run("inspect IN").good());
        assert_eq!(run("route IN --json").good().json("route")["file"], shown);
        assert_eq!(run("beacon show IN --json").good().json("beacon-show")["file"], shown);
        assert_eq!(run("scl export small.bit IN --json").usage("small.bit: No such file").text(), "");
        // Damaged.
        folder.put(file, &beacon[..40]);
        run("route IN").usage(&format!("bitwire: {shown}: truncated: "));
        run("beacon emit IN out.bit").usage(&format!("bitwire: {shown}: .npy: not a NumPy file"));
        escapes(&run("verify IN"));
        // An output in a folder of that name that is not there, and one that is.
        let inside = [name, b"/out.bit"].concat();
        folder
            .run(args("beacon emit small.npy IN", &inside))
            .refused(&format!("{shown}/out.bit: Not a directory"));
        std::fs::remove_file(folder.path(file)).unwrap();
        folder.run(args("beacon emit small.npy IN", &inside)).refused(&missing);
        assert_eq!(folder.names(), ["other.npy", "small.npy"]);
    }
}

#[test]
fn a_message_about_arguments_is_escaped_too() {
    let folder = with_small();
    let bad = b"--\x1b[31mred\nbitwire: all is well";
    let run = folder.run(args("verify IN", bad));
    let shown = r"error: unexpected argument '--\u{1b}[31mred\u{a}bitwire: all is well' found";
    assert!(run.usage(shown).err.lines().all(|line| !line.starts_with("bitwire")));
    folder.run(args("IN", b"\x1b[2J")).usage(r"error: unrecognized subcommand '\u{1b}[2J'");
    folder.run(args("route x --shards IN", b"\x9b\n")).usage(r"invalid value '\x9b\u{a}' for '--shards <N>'");
    // An id is text.
    folder.run(args("beacon emit small.npy out.bit IN m p", b"\xff")).usage("invalid UTF-8");
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
}

#[test]
fn ids_of_a_context_are_escaped_in_text_and_json() {
    let folder = with_small();
    let id = "\u{1b}[31m\n\u{9b}\u{202e}\"";
    folder.run(["beacon", "emit", "small.npy", "out.bit", id, "m", "p"]).good();
    // JSON itself escapes what is below space; the rest of what steers terminals is above.
    let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for line in ["beacon show out.bit", "inspect out.bit", "verify out.bit"] {
        let shown = folder.bitwire(line).good();
        assert!(!shown.text().contains(stray), "{:?}", shown.text());
        let json = folder.bitwire(&format!("{line} --json")).good();
        assert!(!json.text().contains(stray) && json.text().lines().count() == 1, "{:?}", json.text());
    }
    let context = folder.bitwire("beacon show out.bit").good();
    let context = context.text().lines().find(|line| line.starts_with("context")).unwrap().to_owned();
    assert!(context.contains(r"\u{9b}\u{202e}"), "{context}");
    let json = folder.bitwire("beacon show out.bit --json").good();
    assert_eq!(json.json("beacon-show")["context"]["space_id"], id);
}

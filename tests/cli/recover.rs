//! `recover`: frames out of captures that are damaged in every way, and folders that cannot take them.

use std::fs;
use std::process::Stdio;

use crate::support::*;

/// A folder with a.bit, b.bit (signed with the key of key.hex) and forged.bit (signed with another one).
fn with_frames() -> Folder {
    let folder = with_small();
    folder.put("key.hex", KEY_HEX);
    folder.put("other.hex", OTHER_KEY_HEX);
    folder.bitwire("beacon emit small.npy a.bit --hmac-key-file key.hex").good();
    folder.bitwire("beacon emit small.npy b.bit docs minilm-l6 en --hmac-key-file key.hex").good();
    folder.bitwire("beacon emit small.npy forged.bit --hmac-key-file other.hex").good();
    folder
}

/// a.bit, noise, b.bit without its last 7 bytes, b.bit, forged.bit, a.bit with a wrong bit in the payload, a.bit, and noise.
fn with_capture() -> (Folder, Places) {
    let folder = with_frames();
    let [a, b, forged] = ["a.bit", "b.bit", "forged.bit"].map(|name| folder.read(name));
    let mut damaged = a.clone();
    damaged[a.len() - 4] ^= 4;
    let parts = [&a, &b"\x1b[2J\0noise"[..], &b[..b.len() - 7], &b, &forged, &damaged, &a, b"BIT"];
    let mut starts = vec![0];
    for part in parts {
        starts.push(starts[starts.len() - 1] + part.len());
    }
    folder.put("capture", parts.concat());
    (folder, Places(starts))
}

/// Where the parts of the capture start, and where the last one ends.
struct Places(Vec<usize>);

impl Places {
    fn name(&self, number: usize, part: usize) -> String {
        format!("{number:06}-at-{}.bit", self.0[part])
    }

    fn len(&self, parts: &[usize]) -> usize {
        parts.iter().map(|&part| self.0[part + 1] - self.0[part]).sum()
    }
}

/// The names in a folder within the folder, in order.
fn names(folder: &Folder, name: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.path(name))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn frames_of_a_damaged_capture_become_files() {
    let (folder, places) = with_capture();
    let run = folder.bitwire("recover capture out").good();
    let found = [(0, "a.bit"), (3, "b.bit"), (4, "forged.bit"), (6, "a.bit")];
    let expected: Vec<String> =
        (1..).zip(found).map(|(number, (part, _))| places.name(number, part)).collect();
    assert_eq!(names(&folder, "out"), expected);
    for (name, (_, original)) in expected.iter().zip(found) {
        assert_eq!(folder.read(format!("out/{name}")), folder.read(original));
        folder.bitwire(&format!("verify out/{name}")).good();
    }
    let lines: Vec<&str> = run.text().lines().collect();
    assert_eq!(lines.len(), 9, "{}", run.text());
    let at = &places.0;
    let len = at[1];
    let about = format!("beacon, {len} bytes, CRC ok, no digest, HMAC not checked (no key), ctx ");
    assert!(lines[0].starts_with(&format!("0-{len} frame 000001-at-0.bit: {about}")), "{}", lines[0]);
    assert_eq!(
        lines[1],
        format!(
            "{}-{} skipped, 10 bytes: not a BIT frame: the magic is not 42 49 54 01 (at byte {0})",
            at[1], at[2]
        )
    );
    // The next frame lies where the last 7 bytes are missing, so that it is the CRC, in its magic, that is wrong.
    assert!(lines[2].starts_with(&format!("{}-{} skipped, ", at[2], at[3])), "{}", lines[2]);
    assert!(lines[5].starts_with(&format!("{}-{} skipped, ", at[5], at[6])), "{}", lines[5]);
    assert!(
        lines[7].starts_with(&format!("{}-{} skipped, 3 bytes: truncated: ", at[7], at[8])),
        "{}",
        lines[7]
    );
    let (kept, lost) = (places.len(&[0, 3, 4, 6]), places.len(&[1, 2, 5, 7]));
    assert_eq!(
        lines[8],
        format!("capture: 4 frames recovered, {kept} bytes; 4 stretches skipped, {lost} bytes")
    );
}

#[test]
fn with_a_key_the_frames_signed_with_it() {
    let (folder, places) = with_capture();
    let expected = [places.name(1, 0), places.name(2, 3), places.name(3, 6)];
    let run = folder.bitwire("recover capture out --hmac-key-file key.hex").good();
    assert_eq!(names(&folder, "out"), expected);
    assert_eq!(run.text().matches(", HMAC ok, ctx ").count(), 3);
    let forged = format!("{}-{} skipped, ", places.0[4], places.0[5]);
    let line = run.text().lines().find(|line| line.starts_with(&forged)).unwrap();
    assert!(line.contains("HMAC"), "{line}");
    folder.with_key_variable(OTHER_KEY_HEX, "recover capture others").good();
    assert_eq!(names(&folder, "others"), [places.name(1, 4)]);
    assert_eq!(folder.read(format!("others/{}", places.name(1, 4))), folder.read("forged.bit"));
    folder
        .with_key_variable(KEY_HEX, "recover capture none --hmac-key-file key.hex")
        .usage("bitwire: the HMAC key has two sources");
    assert!(!folder.path("none").exists());
    folder.bitwire("recover capture none --hmac-key-file missing").usage("bitwire: missing: No such file");
}

#[test]
fn json_says_the_same() {
    let (folder, places) = with_capture();
    let run = folder.bitwire("recover capture out --json --hmac-key-file key.hex").good();
    let json = run.json("recover");
    let at = &places.0;
    assert_eq!((&json["file"], &json["folder"]), (&"capture".into(), &"out".into()));
    assert_eq!((json["frames"].as_u64(), json["stretches"].as_u64()), (Some(3), Some(5)));
    assert_eq!(json["frame_bytes"], places.len(&[0, 3, 6]));
    assert_eq!(json["skipped_bytes"], places.len(&[1, 2, 4, 5, 7]));
    assert!(json["problem"].is_null());
    let events = json["events"].as_array().unwrap();
    let what: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let (f, s) = ("frame", "skipped");
    assert_eq!(what, [f, s, s, f, s, s, f, s]);
    for (event, place) in events.iter().zip(at.windows(2)) {
        assert_eq!((&event["offset"], &event["len"]), (&place[0].into(), &(place[1] - place[0]).into()));
    }
    let a = folder.read("a.bit");
    let ctx: String = a[4..12].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        events[0],
        serde_json::json!({
            "event": "frame", "offset": 0, "len": a.len(), "file": "000001-at-0.bit", "frame_len": a.len(),
            "kind": "beacon", "ctx": ctx, "digest": false, "hmac": true, "authenticated": true,
        })
    );
    assert_eq!(events[4]["error"]["kind"], "Hmac");
    assert_eq!(
        (&events[5]["error"]["kind"], &events[5]["error_offset_in"]),
        (&"Crc".into(), &"capture".into())
    );
    assert_eq!(events[5]["error"]["offset"], at[6] - 2);
    // From standard input the same, but for the name.
    let capture = folder.read("capture");
    let streamed = folder.with_stdin(&capture, "recover - streamed --json --hmac-key-file key.hex").good();
    let streamed = streamed.json("recover");
    assert_eq!(streamed["file"], "standard input");
    assert_eq!(streamed["events"], json["events"]);
    assert_eq!(names(&folder, "streamed"), names(&folder, "out"));
}

/// COBS by its paper, as plain as can be, and the zero byte behind it.
fn cobs(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in bytes.split(|&byte| byte == 0) {
        let mut rest = part;
        while rest.len() >= 254 {
            out.push(255);
            out.extend(&rest[..254]);
            rest = &rest[254..];
        }
        out.push(rest.len() as u8 + 1);
        out.extend(rest);
    }
    out.push(0);
    out
}

#[test]
fn captures_in_cobs() {
    let folder = with_frames();
    let [a, b, forged] = ["a.bit", "b.bit", "forged.bit"].map(|name| folder.read(name));
    let mut flipped = cobs(&a);
    let at = flipped.len() - 6;
    flipped[at] ^= 0x40;
    let parts = [
        b"\0".to_vec(),
        cobs(&a),
        flipped,
        b"\0\0".to_vec(),
        cobs(&b),
        cobs(&forged),
        cobs(&b)[..50].to_vec(),
    ];
    let starts: Vec<usize> = (0..parts.len()).map(|i| parts[..i].concat().len()).collect();
    folder.put("capture", parts.concat());
    let run = folder.bitwire("recover capture out --cobs --json").good();
    let expected = [(1, 1, &a), (2, 4, &b), (3, 5, &forged)];
    for (number, part, frame) in expected {
        assert_eq!(folder.read(format!("out/{number:06}-at-{}.bit", starts[part])), *frame);
    }
    assert_eq!(names(&folder, "out").len(), 3);
    let json = run.json("recover");
    let events = json["events"].as_array().unwrap();
    assert_eq!(events.len(), 5);
    assert_eq!((&events[0]["len"], &events[0]["frame_len"]), (&parts[1].len().into(), &a.len().into()));
    // What is wrong with the frame is told in bytes of the frame; that the capture ends, in bytes of the capture.
    assert_eq!(events[1]["error_offset_in"], "frame");
    assert!(events[1]["error"]["offset"].as_u64().unwrap() < a.len() as u64);
    assert_eq!(events[4]["error_offset_in"], "capture");
    assert_eq!(events[4]["error"]["offset"], parts.concat().len());
    let run = folder.bitwire("recover capture signed --cobs --hmac-key-file key.hex").good();
    assert_eq!(names(&folder, "signed").len(), 2);
    assert!(run.text().contains(" of the decoded frame\n"));
    // Raw, nothing of it is a frame, or no more than what happens to stand in it unchanged.
    let run = folder.bitwire("recover capture raw");
    assert_eq!((run.status, names(&folder, "raw").len()), (Some(1), 0));
}

#[test]
fn a_capture_without_frames_is_status_1() {
    let folder = with_small();
    folder.put("noise", b"no frame in here, but BIT\x01 twice, BIT\x01");
    folder.put("empty", b"");
    for (line, summary) in [
        ("recover noise o1", "noise: 0 frames recovered, 0 bytes; 3 stretches skipped, 38 bytes\n"),
        ("recover noise o2 --cobs", "noise: 0 frames recovered, 0 bytes; 1 stretch skipped, 38 bytes\n"),
        ("recover empty o3", "empty: 0 frames recovered, 0 bytes; 0 stretches skipped, 0 bytes\n"),
        ("recover - o4", "standard input: 0 frames recovered, 0 bytes; 0 stretches skipped, 0 bytes\n"),
    ] {
        let run = folder.bitwire(line).invalid("");
        assert!(run.text().ends_with(summary), "{line}: {}", run.text());
    }
    assert_eq!(names(&folder, "o1"), [] as [String; 0]);
    let json = folder.bitwire("recover empty o5 --json").invalid("");
    assert_eq!(json.json("recover")["events"], serde_json::json!([]));
}

#[test]
fn a_longest_frame() {
    let folder = with_frames();
    let (a, b) = (folder.read("a.bit"), folder.read("b.bit"));
    assert!(a.len() < b.len());
    // Its payload_len says 16 MiB; behind it the capture goes on.
    let mut long = a.clone();
    long[36] = 1;
    folder.put("capture", [&long[..], &a, &b, &a].concat());
    let run = folder.bitwire(&format!("recover capture out --max-frame {} --json", a.len())).good();
    let json = run.json("recover");
    let kinds: Vec<_> =
        json["events"].as_array().unwrap().iter().map(|event| event["error"]["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("FrameTooLong"), None, Some("FrameTooLong"), None]);
    assert_eq!(names(&folder, "out").len(), 2);
    folder.put("cobs", [cobs(&a), cobs(&b), cobs(&a)].concat());
    let run = folder.bitwire(&format!("recover cobs out2 --cobs --max-frame {} --json", a.len())).good();
    let event = &run.json("recover")["events"][1];
    assert_eq!(
        (&event["error"]["kind"], &event["error_offset_in"]),
        (&"FrameTooLong".into(), &"capture".into())
    );
    assert_eq!(folder.bitwire("recover capture out3").good().text().lines().count(), 5);
    for bad in ["43", "0", "-1", "x", "1.5", "18446744073709551616", ""] {
        folder.run(["recover", "capture", "bad", "--max-frame", bad]).usage(&format!(
            "error: invalid value '{bad}' for '--max-frame <BYTES>': has to be a whole number from 44 to 18446744073709551615"
        ));
    }
    assert!(!folder.path("bad").exists());
}

#[test]
fn nothing_is_overwritten() {
    let (folder, places) = with_capture();
    folder.bitwire("recover capture out").good();
    let before = names(&folder, "out");
    folder.put("out/000001-at-0.bit", "mine");
    let refusal = |name: &str| {
        format!("{name}: is there already, and recovered frames overwrite nothing; name another folder")
    };
    folder.bitwire("recover capture out").refused(&refusal("out/000001-at-0.bit"));
    folder.bitwire("recover capture out --json").refused(&refusal("out/000001-at-0.bit"));
    assert_eq!(names(&folder, "out"), before);
    assert_eq!(folder.read("out/000001-at-0.bit"), b"mine");
    // Also where the names would not have met, of whatever kind the entry is; and the capture is whatever it is.
    fs::create_dir_all(folder.path("two/000009-at-77.bit")).unwrap();
    folder.bitwire("recover capture two").refused(&refusal("two/000009-at-77.bit"));
    // Other files do not matter, the capture itself included.
    fs::create_dir(folder.path("three")).unwrap();
    for name in [
        "three/notes.txt",
        "three/1-at-0.bit",
        "three/000001-at-.bit",
        "three/x00001-at-0.bit",
        "three/000001-at-0.bit.old",
    ] {
        folder.put(name, "notes");
    }
    fs::copy(folder.path("capture"), folder.path("three/capture")).unwrap();
    folder.bitwire("recover three/capture three").good();
    assert_eq!(names(&folder, "three").len(), 6 + 4);
    assert_eq!(folder.read("three/notes.txt"), b"notes");
    assert!(names(&folder, "three").contains(&places.name(2, 3)));
}

#[test]
fn captures_and_folders_that_cannot_be_used() {
    let (folder, _) = with_capture();
    fs::create_dir(folder.path("folder")).unwrap();
    let before = folder.names();
    for (line, message) in [
        ("recover missing out", "missing: No such file or directory"),
        ("recover folder out", "folder: Is a directory"),
        ("recover capture a.bit", "a.bit: Not a directory"),
        ("recover capture none/out", "none/out: No such file or directory"),
        ("recover capture a.bit/out", "a.bit/out: Not a directory"),
        ("recover capture -", "frames are written to a folder, not to standard output (-)"),
    ] {
        folder.bitwire(line).refused(message);
        folder.bitwire(&format!("{line} --json")).refused(message);
    }
    assert_eq!(folder.names(), before);
    folder.bitwire("recover capture").usage("required arguments were not provided");
    let help = folder.bitwire("recover --help").good();
    assert!(help.text().contains("Example:\n  bitwire recover ") && help.text().contains("Exit status: 0"));
    assert!(folder.bitwire("man").good().text().contains(".SH BITWIRE RECOVER"));
    assert!(folder.bitwire("completions bash").good().text().contains("max-frame"));
}

#[cfg(unix)]
#[test]
fn names_are_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    for (name, shown) in [
        (&b"two\nlines"[..], r"two\u{a}lines"),
        (b"not\xff\xfeutf8", r"not\xff\xfeutf8"),
        ("a\u{202e}tib".as_bytes(), r"a\u{202e}tib"),
    ] {
        let (folder, _) = with_capture();
        let name = OsStr::from_bytes(name);
        let run = |args: [&OsStr; 4]| folder.run(args);
        fs::rename(folder.path("capture"), folder.path(name)).unwrap();
        let out = OsStr::from_bytes(&[name.as_bytes(), b".d"].concat()).to_owned();
        let done = run(["recover".as_ref(), name, &out, "--json".as_ref()]).good();
        assert!(!done.text().trim_end().contains(|c: char| c.is_control() || c == '\u{202e}'));
        let json = done.json("recover");
        assert_eq!((&json["file"], &json["folder"]), (&shown.into(), &format!("{shown}.d").into()));
        assert_eq!(fs::read_dir(folder.path(&out)).unwrap().count(), 4);
        let text = folder.run(["recover".as_ref(), name, "other".as_ref()]).good();
        assert!(text.text().lines().last().unwrap().starts_with(&format!("{shown}: 4 frames recovered")));
        let message = format!("{shown}.d/000001-at-0.bit: is there already");
        run(["recover".as_ref(), name, &out, "--json".as_ref()]).usage(&message);
        // A name in the folder that is no text is none of ours.
        fs::create_dir(folder.path("third")).unwrap();
        folder.put(OsStr::from_bytes(b"third/000001-at-0\xff.bit"), "");
        folder.run(["recover".as_ref(), name, "third".as_ref()]).good();
    }
}

#[test]
fn a_reader_that_went_away_stops_no_recovery() {
    let folder = with_frames();
    let a = folder.read("a.bit");
    // 4,000 stretches: more than a pipe holds.
    folder.put("capture", [b"BIT\x01".repeat(4000), a.clone()].concat());
    for json in [&[][..], &["--json"]] {
        let out = format!("out{}", json.len());
        let mut command = folder.command(BITWIRE);
        command.args(["recover", "capture", &out]).args(json).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::of(child.wait_with_output().unwrap());
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""));
        assert_eq!(folder.read(format!("{out}/000001-at-16000.bit")), a);
        // And somebody who reads all of it gets all of it.
        let whole = folder.run(["recover", "capture", &format!("{out}-whole")].iter().chain(json)).good();
        match json {
            [] => assert_eq!(whole.text().lines().count(), 4002),
            _ => assert_eq!(whole.json("recover")["events"].as_array().unwrap().len(), 4001),
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_on_a_full_disk_is_status_2() {
    let (folder, _) = with_capture();
    for json in ["", " --json"] {
        folder
            .sh(&format!("exec \"$0\" recover capture out{} > /dev/full", json.len()))
            .refused("standard output: No space left on device");
        // What was recovered before is whole.
        assert_eq!(names(&folder, &format!("out{}", json.len())).len(), 4);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_size_limit_leaves_whole_files_alone() {
    let folder = with_frames();
    let a = folder.read("a.bit");
    folder.bitwire("gist import none out.bit").usage("none: No such file");
    folder.put("wide.npy", npy("<f2", false, &[2, 8192], &[0x3C; 2 * 2 * 8192]));
    folder.bitwire("beacon emit wide.npy wide.bit").good();
    let wide = folder.read("wide.bit");
    assert!(a.len() < 1024 && wide.len() > 4096);
    folder.put("capture", [&a[..], &wide, &a].concat());
    for json in [false, true] {
        let out = if json { "o2" } else { "o1" };
        let option = if json { " --json" } else { "" };
        let run = folder.sh(&format!("trap '' XFSZ; ulimit -f 4; exec \"$0\" recover capture {out}{option}"));
        let problem = format!("{out}/000002-at-{}.bit: File too large", a.len());
        assert_eq!((run.status, run.err.as_str()), (Some(2), format!("bitwire: {problem}\n").as_str()));
        assert_eq!(names(&folder, out), ["000001-at-0.bit"]);
        // What was found so far is told.
        if json {
            let json = run.json("recover");
            assert_eq!((&json["frames"], &json["problem"]), (&1.into(), &problem.into()));
        } else {
            assert!(
                run.text().ends_with(
                    "1 frame recovered, {} bytes; 0 stretches skipped, 0 bytes\n"
                        .replace("{}", &a.len().to_string())
                        .as_str()
                ),
                "{}",
                run.text()
            );
        }
    }
}

/// A folder on a file system that cannot be written, and on one that has room for a single file.
#[cfg(target_os = "linux")]
#[test]
fn folders_that_cannot_be_written() {
    let (folder, _) = with_capture();
    fs::create_dir(folder.path("disk")).unwrap();
    for (options, problem, there) in [
        ("ro", "disk: Read-only file system", ""),
        ("nr_inodes=2", "disk: No space left on device", "000001-at-0.bit\n"),
    ] {
        let script = format!(
            "mount -t tmpfs -o {options} none disk && echo mounted && {{ \"$0\" recover capture disk > told; echo $?; ls -A disk; }}"
        );
        let output = folder.command("unshare").args(["-rm", "sh", "-c", &script, BITWIRE]).output();
        let run = match output {
            Ok(output) => Run::of(output),
            Err(error) => return println!("skipped: no unshare here: {error}"),
        };
        let Some(text) = run.text().strip_prefix("mounted\n") else {
            return println!("skipped: no file system can be mounted here: {}", run.err);
        };
        assert_eq!(run.err, format!("bitwire: {problem}\n"));
        assert_eq!(text, format!("2\n{there}"));
    }
    let told = String::from_utf8(folder.read("told")).unwrap();
    assert!(
        told.contains(" frame 000001-at-0.bit: ") && told.contains("capture: 1 frame recovered, "),
        "{told}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_capture_larger_than_memory_is_mapped() {
    let folder = with_frames();
    let a = folder.read("a.bit");
    // 128 MiB of zeros that are on no disk, behind a frame, and a process that may have 64 MiB of its own: maps of files do not count.
    folder.put("capture", &a);
    let file = fs::OpenOptions::new().write(true).open(folder.path("capture")).unwrap();
    file.set_len(128 << 20).unwrap();
    drop(file);
    let run = folder.sh("ulimit -d 65536; exec \"$0\" recover capture out").good();
    assert_eq!(run.text().lines().count(), 3);
    assert_eq!(folder.read("out/000001-at-0.bit"), a);
    // The limit is one: what comes in a stream has to be kept.
    let run = folder.sh("ulimit -d 65536; exec \"$0\" recover - out2 < capture");
    assert_eq!((run.status, run.err.as_str()), (Some(2), "bitwire: standard input: out of memory\n"));
}

//! Damaged, foreign and forged frames, keys, and files of many frames.

use bitwire::frame::{Frame, Frames, TlvType};

use crate::common::{fix_crc, set_flags, whole_tlv};
use crate::support::*;

/// A folder with big.bit (a digest, since it is large) and small.bit (none), both unsigned, and the key in files.
fn with_beacons() -> Folder {
    let folder = with_small();
    std::fs::copy(embeddings("window.npy"), folder.path("window.npy")).unwrap();
    folder.bitwire("beacon emit window.npy big.bit a b c").good();
    folder.bitwire("beacon emit small.npy small.bit a b c").good();
    folder.put("key", format!("{KEY_HEX}\n"));
    folder.put("other.key", OTHER_KEY_HEX);
    folder
}

/// The verbs that read one beacon, and write out.npz, out.bit or nothing.
const READERS: [&str; 4] = [
    "beacon show IN",
    "route IN",
    "scl export IN out.npz",
    "beacon emit small.npy out.bit a b c --baseline IN",
];

#[track_caller]
fn readers_refuse(folder: &Folder, file: &str, key: &str, status: i32, message: &str) {
    let before = folder.names();
    for reader in READERS {
        let run = folder.bitwire(&format!("{}{key}", reader.replace("IN", file)));
        assert_eq!(run.err, format!("bitwire: {file}: {message}\n"), "{reader}");
        assert_eq!((run.status, run.text()), (Some(status), ""), "{reader}");
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn no_part_of_a_beacon_is_a_beacon() {
    let folder = with_beacons();
    let frame = folder.read("small.bit");
    for len in 0..frame.len() {
        let cut = &frame[..len];
        assert!(Frame::parse_exact(cut).is_err(), "{len}");
        // As a file of frames, none but the empty one passes for a file without frames.
        let results: Vec<_> = Frames::new(cut).collect();
        assert_eq!(results.len(), usize::from(len > 0));
        assert!(results.iter().all(Result::is_err), "{len}");
    }
    for (len, message) in [
        (0, "truncated: magic needs 4 bytes, 0 are there (at byte 0)"),
        (1, "truncated: magic needs 4 bytes, 1 are there (at byte 0)"),
        (4, "truncated: ctx needs 8 bytes, 0 are there (at byte 4)"),
        (11, "truncated: ctx needs 8 bytes, 7 are there (at byte 4)"),
        (frame.len() - 1, "truncated: payload with CRC-16 needs 8 bytes, 7 are there (at byte"),
    ] {
        folder.put("cut.bit", &frame[..len]);
        let verified = folder.bitwire("verify cut.bit").invalid("");
        assert!(verified.text().starts_with(&format!("cut.bit: INVALID: {message}")), "{}", verified.text());
        for reader in &READERS[..3] {
            folder.bitwire(&reader.replace("IN", "cut.bit")).usage(&format!("bitwire: cut.bit: {message}"));
        }
    }
    assert!(!folder.path("out.npz").exists());
}

#[test]
fn a_changed_byte_is_found() {
    let folder = with_beacons();
    let frame = folder.read("small.bit");
    for at in 0..frame.len() {
        for bit in 0..8 {
            let mut bad = frame.clone();
            bad[at] ^= 1 << bit;
            assert!(
                Frame::parse_exact(&bad).and_then(|frame| frame.check_content()).is_err(),
                "bit {bit} of {at}"
            );
        }
    }
    let mut bad = frame.clone();
    let last = frame.len() - 3;
    bad[last] ^= 1;
    folder.put("bad.bit", &bad);
    let crc = Frame::parse_exact(&bad).unwrap_err().to_string();
    assert!(crc.starts_with("CRC-16 mismatch: the frame says "), "{crc}");
    let verified = folder.bitwire("verify bad.bit").invalid("");
    assert_eq!(verified.text(), format!("bad.bit: INVALID: {crc}\n"));
    readers_refuse(&folder, "bad.bit", "", 1, &crc);

    // A large frame has a digest, which the CRC's author did not fix.
    let mut bad = folder.read("big.bit");
    let last = bad.len() - 3;
    bad[last] ^= 1;
    fix_crc(&mut bad);
    folder.put("bad.bit", &bad);
    // After type, length and version.
    let at = whole_tlv(&folder.read("big.bit"), 0xF0).0;
    folder
        .bitwire("route bad.bit")
        .invalid(&format!("bitwire: bad.bit: DIGEST_V1 does not match the frame (at byte {})\n", at + 4));
}

#[test]
fn a_key_comes_from_a_file_the_environment_or_an_argument() {
    let folder = with_beacons();
    let warning =
        "bitwire: warning: --hmac-key-hex shows the key to others on this machine; use --hmac-key-file\n";
    let emit = "beacon emit small.npy";
    let by_file = folder.bitwire(&format!("{emit} a.bit --hmac-key-file key")).good();
    assert!(by_file.text().contains("HMAC ok"));
    folder.with_key_variable(KEY_HEX, &format!("{emit} b.bit")).good();
    let by_argument = folder.bitwire(&format!("{emit} c.bit --hmac-key-hex {KEY_HEX}"));
    assert_eq!((by_argument.status, by_argument.err.as_str()), (Some(0), warning));
    let raw: Vec<u8> = (0..32).collect();
    folder.put("raw.key", &raw);
    folder.bitwire(&format!("{emit} d.bit --hmac-key-file raw.key")).good();
    folder.put("raw.key", [&raw[..], b"\n"].concat());
    for file in ["b.bit", "c.bit", "d.bit"] {
        assert_eq!(folder.read(file), folder.read("a.bit"));
        let verified = folder.bitwire(&format!("verify {file} --hmac-key-file raw.key")).good();
        assert!(verified.text().ends_with(", HMAC ok\n"));
    }
    assert!(folder.bitwire("verify a.bit").good().text().ends_with("HMAC not checked (no key)\n"));
    let shown = |line| folder.bitwire(line).good().json("beacon-show");
    let signed = shown("beacon show a.bit --json");
    assert_eq!((&signed["signed"], &signed["authenticated"]), (&true.into(), &false.into()));
    let checked = shown("beacon show a.bit --json --hmac-key-file key");
    assert_eq!((&checked["signed"], &checked["authenticated"]), (&true.into(), &true.into()));
    for reader in READERS {
        folder
            .bitwire(&format!("{} --hmac-key-file key", reader.replace("IN", "a.bit").replace("a b c ", "")))
            .good();
    }
    folder.bitwire("scl import out.npz e.bit --delta-q16 auto --hmac-key-file key").good();
    folder.bitwire("verify e.bit out.bit --hmac-key-file key").good();
}

#[test]
fn two_sources_of_a_key_are_a_mistake() {
    let folder = with_beacons();
    let message =
        "the HMAC key has two sources; give one of --hmac-key-file, --hmac-key-hex and BITWIRE_HMAC_KEY_HEX";
    let both = format!("--hmac-key-file key --hmac-key-hex {KEY_HEX}");
    for verb in ["beacon emit small.npy out.bit", "verify big.bit", "route big.bit", "beacon show big.bit"] {
        folder.bitwire(&format!("{verb} {both}")).refused(message);
        folder.with_key_variable(KEY_HEX, &format!("{verb} --hmac-key-file key")).refused(message);
        folder.with_key_variable("", &format!("{verb} --hmac-key-hex {KEY_HEX}")).refused(message);
    }
    folder
        .bitwire(&format!("verify big.bit --hmac-key-hex {KEY_HEX} --hmac-key-hex {KEY_HEX}"))
        .usage("multiple times");
    assert!(!folder.path("out.bit").exists());
}

#[test]
fn what_is_no_key_is_refused_and_never_shown() {
    let folder = with_beacons();
    let digits = "the digits 0-9, a-f, A-F only";
    for (hex, message) in [
        ("", "the HMAC key has 0 bytes; 16 to 64 are needed"),
        ("5e", "the HMAC key has 1 bytes; 16 to 64 are needed"),
        (&"5e".repeat(15), "the HMAC key has 15 bytes; 16 to 64 are needed"),
        (&"5e".repeat(65), "the HMAC key has 65 bytes; 16 to 64 are needed"),
        (&"5e".repeat(16)[1..], "an even number of digits: one is missing or too many"),
        ("secretsecretsecretsecretsecretsec", digits),
    ] {
        let by_argument = folder.run(["verify", "big.bit", &format!("--hmac-key-hex={hex}")]);
        assert!(by_argument.err.ends_with(&format!("{message}\n")), "{}", by_argument.err);
        assert!(by_argument.err.contains("\nbitwire: --hmac-key-hex: "));
        let by_variable = folder.with_key_variable(hex, "verify big.bit").usage(message);
        assert!(by_variable.err.starts_with("bitwire: BITWIRE_HMAC_KEY_HEX: "));
        for run in [by_argument, by_variable] {
            assert_eq!((run.status, run.text()), (Some(2), ""));
            assert!(hex.len() < 3 || !run.err.contains(hex), "{}", run.err);
        }
    }
    folder.put("short.key", "fifteen bytes!!\n");
    folder
        .bitwire("verify big.bit --hmac-key-file short.key")
        .refused("short.key: the HMAC key has 15 bytes; 16 to 64 are needed");
    folder.put("odd.key", &KEY_HEX[1..]);
    folder
        .bitwire("verify big.bit --hmac-key-file odd.key")
        .usage("odd.key: a key in hexadecimal has an even number");
    folder.put("long.key", [7; 5000]);
    folder
        .bitwire("verify big.bit --hmac-key-file long.key")
        .usage("long.key: a key file holds 16 to 64 raw bytes");
    folder.bitwire("verify big.bit --hmac-key-file none").refused("none: No such file or directory");
    folder.bitwire("verify big.bit --hmac-key-file .").refused(".: Is a directory");
    // A verb without keys does not repeat what it does not know.
    let run = folder
        .bitwire(&format!("man --hmac-key-hex={KEY_HEX}"))
        .usage("unexpected argument '--hmac-key-hex' found");
    assert!(!run.err.contains(KEY_HEX));
}

#[test]
fn another_key_and_no_signature_are_invalid() {
    let folder = with_beacons();
    folder.bitwire("beacon emit small.npy signed.bit a b c --hmac-key-file key").good();
    // After type, length and version.
    let at = whole_tlv(&folder.read("signed.bit"), TlvType::HMAC).0;
    let other = format!("HMAC_V1 does not match: another key, or an altered frame (at byte {})", at + 4);
    let verified = folder.bitwire("verify signed.bit --hmac-key-file other.key").invalid("");
    assert_eq!(verified.text(), format!("signed.bit: INVALID: {other}\n"));
    readers_refuse(&folder, "signed.bit", " --hmac-key-file other.key", 1, &other);

    let verified = folder.bitwire("verify small.bit --hmac-key-file key").invalid("");
    assert!(verified.text().contains("INVALID: a key was given, but the frame carries no HMAC_V1"));
    for reader in READERS {
        let run = folder.bitwire(&format!("{} --hmac-key-file key", reader.replace("IN", "small.bit")));
        assert_eq!(run.status, Some(1), "{reader}");
        assert!(run.err.contains("a key was given, but the frame carries no HMAC_V1"));
    }
    assert!(!folder.path("out.bit").exists() && !folder.path("out.npz").exists());
}

#[test]
fn a_forger_who_fixes_the_crc_is_found_with_the_key() {
    let folder = with_beacons();
    folder.bitwire("beacon emit small.npy signed.bit a b c --hmac-key-file key").good();
    let signed = folder.read("signed.bit");
    let (at, hmac) = whole_tlv(&signed, TlvType::HMAC);

    // Another mean: 3 components of 2 bytes before the CRC.
    let mut forged = signed.clone();
    let last = forged.len() - 4;
    forged[last] ^= 0x10;
    fix_crc(&mut forged);
    folder.put("forged.bit", &forged);
    folder.bitwire("verify forged.bit").good();
    let verified = folder.bitwire("verify forged.bit --hmac-key-file key").invalid("");
    assert!(verified.text().contains("HMAC_V1 does not match"), "{verified:?}");

    // The signature taken off, and the flag with it: an honest unsigned frame, but not for whoever has the key.
    let mut stripped = signed.clone();
    stripped.drain(at..at + hmac.len());
    fix_crc(&mut stripped);
    folder.put("stripped.bit", &stripped);
    let verified = folder.bitwire("verify stripped.bit").invalid("");
    assert!(verified.text().contains("flag AUTHENTICATED is set but HMAC_V1 is missing"), "{verified:?}");
    let mut stripped = signed;
    set_flags(&mut stripped, 0);
    stripped.drain(at..at + hmac.len());
    fix_crc(&mut stripped);
    folder.put("stripped.bit", &stripped);
    folder.bitwire("verify stripped.bit").good();
    assert_eq!(stripped, folder.read("small.bit"));
    let verified = folder.bitwire("verify stripped.bit --hmac-key-file key").invalid("");
    assert!(verified.text().contains("the frame carries no HMAC_V1"), "{verified:?}");
}

#[test]
fn files_of_many_frames_are_checked_frame_by_frame() {
    let folder = with_beacons();
    folder.bitwire("beacon emit small.npy signed.bit --hmac-key-file key").good();
    let [big, small, signed] = ["big.bit", "small.bit", "signed.bit"].map(|name| folder.read(name));
    folder.put("all.bit", [&big[..], &small, &signed].concat());
    let text = folder.bitwire("verify all.bit").good().text().to_owned();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    for (i, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("all.bit: frame {i}: valid: beacon, ")), "{line}");
    }
    let verified = folder.bitwire("verify all.bit --json").good().json("verify");
    let frames = verified["files"][0]["frames"].as_array().unwrap();
    let offsets: Vec<_> = frames.iter().map(|frame| frame["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [0, big.len() as u64, (big.len() + small.len()) as u64]);
    let each = ["big.bit", "small.bit", "signed.bit"]
        .map(|file| folder.bitwire(&format!("route {file}")).good().out);
    assert_eq!(folder.bitwire("route all.bit").good().out, each.concat());
    // One frame is what beacon show is for.
    let more = small.len() + signed.len();
    folder
        .bitwire("beacon show all.bit")
        .refused(&format!("all.bit: {more} bytes follow where the input should end (at byte {})", big.len()));

    // With a key every frame has to be signed, and the rest is still reported.
    let verified = folder.bitwire("verify all.bit --hmac-key-file key").invalid("");
    assert_eq!(verified.text().matches("INVALID: a key was given").count(), 2);
    assert!(verified.text().contains("frame 2: valid: "));

    // A frame that is damaged inside does not hide those after it.
    let mut damaged = [&big[..], &small, &signed].concat();
    damaged[big.len() + small.len() - 3] ^= 1;
    folder.put("damaged.bit", &damaged);
    let verified = folder.bitwire("verify damaged.bit").invalid("");
    assert!(
        verified.text().contains("damaged.bit: frame 1: INVALID: CRC-16 mismatch"),
        "{}",
        verified.text()
    );
    let at = format!("(at byte {})\n", big.len() + small.len() - 2);
    assert!(verified.text().contains(&at), "{} lacks {at}", verified.text());
}

#[test]
fn garbage_after_frames_is_invalid_and_placed() {
    let folder = with_beacons();
    let small = folder.read("small.bit");
    let at = 2 * small.len();
    for garbage in [&b"\n"[..], b"garbage after the frames", &small[..small.len() - 1]] {
        folder.put("more.bit", [&small, &small, garbage].concat());
        let verified = folder.bitwire("verify more.bit").invalid("");
        let lines: Vec<_> = verified.text().lines().collect();
        assert!(lines[1].starts_with("more.bit: frame 1: valid: ") && lines.len() == 3);
        assert!(lines[2].starts_with("more.bit: frame 2: INVALID: "), "{}", lines[2]);
        let place: usize =
            lines[2].rsplit_once("(at byte ").unwrap().1.trim_end_matches(')').parse().unwrap();
        assert!(place >= at && place < at + garbage.len() + 1, "{}", lines[2]);
        let json = folder.bitwire("verify more.bit --json").invalid("").json("verify");
        assert_eq!(json["files"][0]["frames"][2]["offset"], at);
        // What was routed before stands.
        let routed = folder.bitwire("route more.bit");
        assert_eq!((routed.status, routed.text().lines().count()), (Some(2), 2));
        assert!(
            routed.err.starts_with("bitwire: more.bit: ") && routed.err.contains("(at byte "),
            "{}",
            routed.err
        );
        let routed = folder.bitwire("route more.bit --json");
        assert_eq!(
            (routed.status, routed.text()),
            (Some(2), ""),
            "an object that holds half of it would mislead"
        );
    }
}

#[test]
fn what_is_no_frame_at_all_is_invalid() {
    let folder = with_beacons();
    folder.put("empty", "");
    let empty = "truncated: magic needs 4 bytes, 0 are there (at byte 0)";
    let run = folder.bitwire("verify empty").invalid("");
    assert_eq!(run.text(), format!("empty: INVALID: {empty}\n"));
    let magic = "not a BIT frame: the magic is not 42 49 54 01 (at byte 0)";
    let run = folder.bitwire("verify window.npy key").invalid("");
    assert_eq!(run.text(), format!("window.npy: INVALID: {magic}\nkey: INVALID: {magic}\n"));
    for reader in &READERS[..3] {
        folder.bitwire(&reader.replace("IN", "empty")).refused(&format!("empty: {empty}"));
        folder.bitwire(&reader.replace("IN", "window.npy")).refused(&format!("window.npy: {magic}"));
    }
    // What could be a beacon or a matrix, and is neither.
    folder.bitwire(&READERS[3].replace("IN", "key")).usage("key: .npy: not a NumPy file");
    folder
        .bitwire(&READERS[3].replace("IN", "empty"))
        .usage("empty: truncated: the .npy magic needs 6 bytes");
    assert!(!folder.path("out.npz").exists() && !folder.path("out.bit").exists());
    folder.bitwire("verify none").refused("none: No such file or directory");
    folder.bitwire("verify .").refused(".: Is a directory");
    // The files that can be read are still checked.
    let run = folder.bitwire("verify none small.bit");
    assert_eq!((run.status, run.err.as_str()), (Some(2), "bitwire: none: No such file or directory\n"));
    assert!(run.text().starts_with("small.bit: valid: "));
}

#[test]
fn a_frame_of_another_kind_is_no_beacon() {
    let folder = with_small();
    // A kind of a later version in a good frame: the envelope is checked, the beacon is not there.
    let mut config = crate::common::config(3);
    config.kind = bitwire::frame::Kind(200);
    let context = bitwire::frame::Context::new("", "", "", 3).unwrap();
    let frame = bitwire::frame::FrameBuilder::new(context.hash(), config, &[0; 6]).encode().unwrap();
    folder.put("later.bit", &frame);
    assert!(folder.bitwire("verify later.bit").good().text().starts_with("later.bit: valid: "));
    folder.bitwire("route later.bit").good();
    folder
        .bitwire("beacon show later.bit")
        .refused("later.bit: the frame is of kind 200, needed is kind 0 (at byte 15)");
}

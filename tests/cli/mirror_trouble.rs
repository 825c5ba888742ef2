//! Masters and mirrors that do not go together, files that are none of them, and outputs that cannot be written.

use std::fs;
use std::path::PathBuf;

use crate::mirror::{data, f32s, quarters, with_mirror};
use crate::support::*;

/// Every verb, with IN where it reads blocks.
const READS_BLOCKS: [&str; 8] = [
    "mirror diff IN agent.npy out.x",
    "mirror diff master.npy IN out.x",
    "mirror apply IN agent.bit out.x",
    "mirror stats IN agent.bit",
    "mirror master IN out.x",
    "mirror rebase IN master.npy agent.bit out.x",
    "mirror rebase master.npy IN agent.bit out.x",
    "mirror diff IN IN out.x",
];

const READS_MIRRORS: [&str; 3] = [
    "mirror apply master.npy IN out.x",
    "mirror stats master.npy IN",
    "mirror rebase master.npy master.npy IN out.x",
];

#[test]
fn a_file_that_is_none_is_named() {
    let folder = with_mirror();
    folder.put("empty", "");
    folder.put("text", "hello, world\n");
    folder.put("short", "\x1b[2J");
    fs::create_dir(folder.path("sub")).unwrap();
    let before = folder.names();
    let needed = "needed is a .npy or .safetensors file, or a blocks frame (at byte 0)";
    for line in READS_BLOCKS {
        for (file, message) in [
            ("none", "No such file or directory".to_owned()),
            ("sub", "Is a directory".to_owned()),
            ("empty", format!("is empty; {needed}")),
            ("text", format!("starts with 'hello, wo'; {needed}")),
            ("short", format!(r"starts with '\u{{1b}}[2J'; {needed}")),
            ("agent.bit/x", "Not a directory".to_owned()),
        ] {
            folder.bitwire(&line.replace("IN", file)).refused(&format!("{file}: {message}"));
        }
    }
    for line in READS_MIRRORS {
        for (file, message) in [
            ("none", "No such file or directory"),
            ("sub", "Is a directory"),
            ("empty", "truncated: magic needs 4 bytes, 0 are there (at byte 0)"),
            ("text", "not a BIT frame: the magic is not 42 49 54 01 (at byte 0)"),
            ("master.npy", "not a BIT frame: the magic is not 42 49 54 01 (at byte 0)"),
        ] {
            folder.bitwire(&line.replace("IN", file)).usage(&format!("bitwire: {file}: {message}"));
        }
    }
    assert_eq!(folder.names(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn what_has_no_end_is_not_read() {
    let folder = with_mirror();
    for line in READS_BLOCKS.into_iter().chain(READS_MIRRORS) {
        // An endless file would fill these 128 MiB, and say so.
        let line = line.replace("IN", "/dev/zero");
        folder.sh(&format!("ulimit -v 131072 && exec \"$0\" {line}")).usage("bitwire: /dev/zero: ");
        folder
            .sh(&format!("ulimit -v 131072 && exec \"$0\" {line} --tensor x"))
            .usage("bitwire: /dev/zero: ");
    }
    // Headers that promise more than there is, and more than any machine has.
    for shape in [[1 << 20, 1 << 20], [(1 << 32) - 1, (1 << 31) - 1]] {
        folder.put("lies.npy", npy("<f4", false, &shape, &[0; 100]));
        for line in READS_BLOCKS {
            let line = line.replace("IN", "lies.npy");
            let run =
                folder.sh(&format!("ulimit -v 131072 && exec \"$0\" {line}")).usage("bitwire: lies.npy: ");
            assert!(run.err.contains("truncated") || run.err.contains("size"), "{}", run.err);
        }
    }
    assert!(!folder.path("out.x").exists());
}

#[test]
fn arrays_that_are_no_blocks() {
    let folder = with_mirror();
    let copy = |from: &str, to: &str| fs::copy(numpy_file(from), folder.path(to)).unwrap();
    copy("blocks_none.npy", "none.npy");
    copy("blocks_empty.npy", "empty.npy");
    copy("vector_f4.npy", "vector.npy");
    copy("scalar_f8.npy", "scalar.npy");
    copy("f8_le_c.npy", "f8.npy");
    copy("blocks_i2_le_c.npy", "i2.npy");
    copy("blocks_bf16_le_c.npy", "bf16.npy");
    folder.put("cut.npy", &folder.read("master.npy")[..150]);
    folder.put("long.npy", [&folder.read("master.npy")[..], b"!!"].concat());
    let before = folder.names();
    let unfit = |found: &str| {
        format!(
            "the array's type is '{found}', needed is f4 or f2 (V2 if it is said to be bf16, i2 with a step) (at byte 20)"
        )
    };
    for (file, message) in [
        ("none.npy", "the array has no blocks".to_owned()),
        ("empty.npy", "a block has at least one element (at byte 60)".to_owned()),
        ("f8.npy", unfit("<f8")),
        ("i2.npy", unfit("<i2")),
        ("bf16.npy", unfit("<V2")),
        ("cut.npy", "truncated: the array's data needs 48 bytes, 22 are there (at byte 128)".to_owned()),
        ("long.npy", "2 bytes follow where the input should end (at byte 176)".to_owned()),
        ("agent.bit", "the frame is of kind 3, needed is kind 6 (at byte 15)".to_owned()),
    ] {
        folder
            .bitwire(&format!("mirror diff {file} agent.npy out.bit"))
            .refused(&format!("{file}: {message}"));
        if file != "agent.bit" {
            folder.bitwire(&format!("mirror master {file} out.bit")).refused(&format!("{file}: {message}"));
        }
    }
    let dims = "blocks need two or more, the first counting them (at byte 60)";
    folder
        .bitwire("mirror master vector.npy out.bit")
        .refused(&format!("vector.npy: the array has 1 dimension; {dims}"));
    folder
        .bitwire("mirror master scalar.npy out.bit")
        .usage("bitwire: scalar.npy: the array's type is '<f8'");
    folder
        .bitwire("mirror diff master.npy none.npy out.bit")
        .refused("none.npy: the blocks are 0 x 24 f32, those of master.npy are 4 x 3 f32");
    // What --element says has to fit.
    for (element, needed) in [("bf16", "V2, as ml_dtypes writes bfloat16"), ("i16:1", "i2")] {
        folder
            .bitwire(&format!("mirror master master.npy out.bit --element {element}"))
            .refused(&format!("master.npy: the array's type is '<f4', needed is {needed} (at byte 20)"));
    }
    for bad in ["f32", "i16", "i16:", "i16:0", "i16:-1", "i16:4294967296", "BF16", ""] {
        folder.run(["mirror", "master", "i2.npy", "out.bit", "--element", bad]).usage(&format!(
            "invalid value '{bad}' for '--element <bf16|i16:N>': has to be bf16, or i16: and a step from 1 to 4294967295"
        ));
    }
    assert_eq!(folder.names(), before);
    folder.bitwire("mirror master master.npy master.bit").good();
    folder
        .bitwire("mirror diff master.bit agent.npy out.bit --element bf16")
        .refused("master.bit: a frame says what its elements are: leave --element out");
    folder.bitwire("mirror master master.bit out.bit").refused("master.bit: is a frame already");
    folder.bitwire("mirror master agent.bit out.bit").refused("agent.bit: is a frame already");
}

#[test]
fn an_agent_has_the_type_and_shape_of_its_master() {
    let folder = with_mirror();
    let zeros = |name: &str, descr: &str, shape: &[usize]| {
        let size: usize = descr[2..].parse().unwrap();
        folder.put(name, npy(descr, false, shape, &vec![0; size * shape.iter().product::<usize>()]));
    };
    zeros("few.npy", "<f4", &[3, 3]);
    zeros("narrow.npy", "<f4", &[4, 2]);
    zeros("half.npy", "<f2", &[4, 3]);
    zeros("deep.npy", "<f4", &[4, 1, 3]);
    for (file, shape) in [("few", "3 x 3 f32"), ("narrow", "4 x 2 f32"), ("half", "4 x 3 f16")] {
        let message = format!("{file}.npy: the blocks are {shape}, those of master.npy are 4 x 3 f32");
        folder.bitwire(&format!("mirror diff master.npy {file}.npy out.bit")).refused(&message);
        folder.bitwire(&format!("mirror rebase master.npy {file}.npy agent.bit out.bit")).refused(&message);
    }
    // How the elements of a block are ordered makes no difference.
    folder.bitwire("mirror diff master.npy deep.npy deep.bit").good();
    // The step of MU16 is a part of the type.
    zeros("i2.npy", "<i2", &[4, 3]);
    folder.bitwire("mirror master i2.npy two.bit --element i16:131072").good();
    folder
        .bitwire("mirror diff i2.npy two.bit out.bit --element i16:65536")
        .refused("two.bit: the blocks are 4 x 3 i16 at step 2, those of i2.npy are 4 x 3 i16 at step 1");
    for rest in ["", " --delta-q16 3", " --delta-q16 auto"] {
        folder
            .bitwire(&format!("mirror diff two.bit i2.npy out.bit --mode add{rest}"))
            .refused("i2.npy: differences of MU16 blocks are stored by replacing, not by adding");
    }
    folder
        .bitwire("mirror diff master.npy agent.npy out.bit --delta-q16 3")
        .refused("--delta-q16 is the step of differences: it needs --mode add");
    folder
        .bitwire("mirror diff master.npy agent.npy out.bit --mode add --delta-q16 0")
        .usage("has to be auto or");
    folder.put("far.npy", npy("<f4", false, &[4, 3], &f32s([3e38; 12])));
    folder
        .bitwire("mirror diff master.npy far.npy out.bit --mode add --delta-q16 auto")
        .refused("far.npy: values too large: even delta_q16 = 4294967295 saturates");
    assert!(!folder.path("out.bit").exists());
}

#[test]
fn another_master_is_found_out() {
    let folder = with_mirror();
    let mut values = quarters();
    values[0] = f32::from_bits(1);
    folder.put("other.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    folder.put("few.npy", npy("<f4", false, &[3, 3], &f32s([0.0; 9])));
    folder.put("narrow.npy", npy("<f4", false, &[4, 2], &f32s([0.0; 8])));
    folder.put("half.npy", npy("<f2", false, &[4, 3], &[0; 24]));
    folder.put("none.npy", npy("<f4", false, &[0, 3], &[]));
    let before = folder.names();
    for (file, field) in [
        ("other", "the digest (SHA-256)"),
        ("few", "the number of blocks"),
        ("none", "the number of blocks"),
        ("narrow", "the number of elements of a block"),
        ("half", "the element type"),
    ] {
        let message =
            format!("bitwire: agent.bit on {file}.npy: not for the master at hand: {field} differs\n");
        for line in [
            format!("apply {file}.npy agent.bit out.npy"),
            format!("stats {file}.npy agent.bit"),
            format!("stats {file}.npy agent.bit --json"),
            format!("rebase {file}.npy master.npy agent.bit out.bit"),
        ] {
            let run = folder.bitwire(&format!("mirror {line}")).invalid(&message);
            assert_eq!(run.text(), "", "{line}");
        }
    }
    assert_eq!(folder.names(), before);
}

#[test]
fn contexts_have_to_be_the_same() {
    let folder = with_mirror();
    folder.bitwire("mirror master master.npy master.bit kv m values").good();
    folder.bitwire("mirror diff master.bit agent.npy values.bit").good();
    let text = |pi: &str| format!(r#"{{"dim":3,"model_id":"m","pi_id":"{pi}","space_id":"kv"}}"#);
    let (keys, values) = (text("keys"), text("values"));
    let unnamed = r#"{"dim":3,"model_id":"","pi_id":"","space_id":""}"#;
    let differ = |file: &str, theirs: &str, whose: &str, ours: &str| {
        format!("{file}: the context is {theirs}, that of {whose} is {ours}")
    };
    let before = folder.names();
    for (line, message) in [
        ("apply master.bit agent.bit x", differ("master.bit", &values, "agent.bit", &keys)),
        ("rebase master.bit master.npy agent.bit x", differ("master.bit", &values, "agent.bit", &keys)),
        // Else the agent would find itself in another context.
        ("rebase master.npy master.bit agent.bit x", differ("master.bit", &values, "agent.bit", &keys)),
        ("stats master.bit values.bit agent.bit", differ("agent.bit", &keys, "master.bit", &values)),
        ("stats master.npy values.bit agent.bit", differ("agent.bit", &keys, "values.bit", &values)),
        ("diff master.bit agent.npy x kv m keys", differ("master.bit", &values, "the arguments", &keys)),
        ("diff master.npy master.bit x", differ("master.bit", &values, "the arguments", unnamed)),
    ] {
        folder.bitwire(&format!("mirror {line}")).refused(&message);
    }
    folder.bitwire("mirror diff master.bit agent.npy x --model m").usage(r#""pi_id":"","space_id":""}"#);
    folder.bitwire("mirror diff master.npy agent.npy x --context [1]").usage("bitwire: context: ");
    folder.bitwire("mirror diff master.npy agent.npy x kv m").usage("required arguments were not provided");
    assert_eq!(folder.names(), before);
    // The same said twice is no contradiction.
    folder.bitwire("mirror diff master.bit master.bit same.bit --space kv --model m --pi values").good();
    folder.bitwire("mirror diff master.npy master.bit same.bit kv m values").good();
    // Members of its own.
    let json =
        folder.run(["mirror", "master", "master.npy", "own.bit", "--context", r#"{"layer":7}"#, "--json"]);
    assert_eq!(json.good().json("mirror-master")["context"]["layer"], 7);
    folder.bitwire("mirror diff own.bit agent.npy own-agent.bit").good();
    let json = folder.bitwire("mirror apply own.bit own-agent.bit own-whole.bit --json").good();
    assert_eq!(json.json("mirror-apply")["context"]["layer"], 7);
}

#[test]
fn damage_is_found() {
    let folder = with_mirror();
    folder.bitwire("mirror master master.npy master.bit kv m keys").good();
    for file in ["agent.bit", "master.bit"] {
        let good = folder.read(file);
        let mut bad = good.clone();
        let last = bad.len() - 5;
        bad[last] ^= 1;
        for line in [
            "apply master.bit agent.bit x",
            "stats master.bit agent.bit",
            "rebase master.bit master.npy agent.bit x",
        ] {
            folder.put(file, &bad);
            let run = folder.bitwire(&format!("mirror {line}"));
            assert!(run.err.starts_with(&format!("bitwire: {file}: CRC-16 mismatch: ")), "{}", run.err);
            assert_eq!((run.status, run.text()), (Some(1), ""));
            folder.put(file, &good[..good.len() - 1]);
            folder.bitwire(&format!("mirror {line}")).usage(&format!("bitwire: {file}: truncated: "));
            folder.put(file, good.repeat(2));
            folder.bitwire(&format!("mirror {line}")).usage("bytes follow where the input should end");
        }
        folder.put(file, &good);
    }
    folder
        .bitwire("mirror apply master.npy master.bit x")
        .refused("master.bit: the frame is of kind 6, needed is kind 3 (at byte 15)");
    assert!(!folder.path("x").exists());
}

#[test]
fn keys() {
    let folder = with_mirror();
    folder.put("key", KEY_HEX);
    folder.put("other.key", OTHER_KEY_HEX);
    folder.bitwire("mirror master master.npy plain.bit kv m keys").good();
    let key = "--hmac-key-file key";
    let run = folder.bitwire(&format!("mirror master master.npy master.bit kv m keys {key}")).good();
    assert!(run.text().contains(", HMAC ok\n"), "{}", run.text());
    let json = folder.bitwire(&format!("mirror diff master.bit agent.npy signed.bit {key} --json")).good();
    let json = json.json("mirror-diff");
    assert_eq!((&json["signed"], &json["authenticated"]), (&true.into(), &true.into()));
    for line in [
        "apply master.bit signed.bit whole.bit",
        "apply master.npy signed.bit whole.npy",
        "stats master.bit signed.bit",
        "rebase master.bit master.npy signed.bit again.bit",
    ] {
        folder.bitwire(&format!("mirror {line} {key}")).good();
        folder.with_key_variable(KEY_HEX, &format!("mirror {line}")).good();
        folder.bitwire(&format!("mirror {line}")).good();
        let run = folder.bitwire(&format!("mirror {line} --hmac-key-file other.key"));
        assert!(
            run.err.contains(": HMAC_V1 does not match: another key, or an altered frame (at byte "),
            "{}",
            run.err
        );
        assert_eq!((run.status, run.text()), (Some(1), ""));
        let run = folder.with_key_variable(KEY_HEX, &format!("mirror {line} {key}"));
        run.usage("the HMAC key has two sources");
    }
    folder.bitwire(&format!("mirror apply master.bit signed.bit whole.bit {key}")).good();
    folder.bitwire(&format!("mirror rebase master.bit master.npy signed.bit again.bit {key}")).good();
    folder.bitwire(&format!("verify master.bit signed.bit whole.bit again.bit {key}")).good();
    let none = "a key was given, but the frame carries no HMAC_V1";
    for (line, unsigned) in [
        ("diff plain.bit agent.npy out.bit", "plain.bit"),
        ("diff master.bit plain.bit out.bit", "plain.bit"),
        ("apply plain.bit signed.bit out.npy", "plain.bit"),
        ("apply master.bit agent.bit out.npy", "agent.bit"),
        ("stats master.bit signed.bit agent.bit", "agent.bit"),
        ("stats plain.bit signed.bit", "plain.bit"),
        ("rebase master.bit plain.bit signed.bit out.bit", "plain.bit"),
        ("rebase plain.bit master.bit signed.bit out.bit", "plain.bit"),
        ("rebase master.bit master.bit agent.bit out.bit", "agent.bit"),
    ] {
        let run = folder.bitwire(&format!("mirror {line} {key}"));
        assert!(run.err.starts_with(&format!("bitwire: {unsigned}: {none} (at byte ")), "{}", run.err);
        assert_eq!((run.status, run.text()), (Some(1), ""), "{line}");
    }
    assert!(!folder.path("out.bit").exists() && !folder.path("out.npy").exists());
    // An array has no key; the digest in the signed mirror proves it.
    assert_eq!(data(&folder.read("whole.npy")), data(&folder.read("agent.npy")));
}

#[test]
fn tensors_are_asked_for_by_name() {
    let folder = with_mirror();
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/safetensors"].iter().collect();
    for name in ["types", "none"] {
        let name = format!("{name}.safetensors");
        fs::copy(path.join(&name), folder.path(&name)).unwrap();
    }
    let before = folder.names();
    let master = |options: &[&str]| {
        folder.run([&["mirror", "master", "types.safetensors", "out.bit"], options].concat())
    };
    let file = "types.safetensors";
    let run = master(&[]).usage(&format!("bitwire: {file}: which tensor? Give --tensor NAME; it has '"));
    // A name with a NUL, a quotation mark and a backslash.
    assert!(run.err.contains("'\u{43a}\u{43b}\u{44e}\u{447}/\\u{0}\"\\\\'"), "{}", run.err);
    for name in ["f32", "no blocks"] {
        assert!(run.err.contains(&format!("'{name}'")), "{}", run.err);
    }
    let run = master(&["--tensor", "\u{1b}[2J"]);
    run.usage(&format!("bitwire: {file}: no tensor is named '\\u{{1b}}[2J'; it has '"));
    master(&["--tensor", ""]).usage("no tensor is named ''");
    for (tensor, message) in [
        ("f64", "the tensor's type is F64, needed is F32, F16 or BF16 (I16 with a step)"),
        ("i16", "the tensor's type is I16, needed is F32, F16 or BF16 (I16 with a step)"),
        ("vector", "the array has 1 dimension; blocks need two or more, the first counting them"),
        ("scalar", "the array has 0 dimensions; blocks need two or more, the first counting them"),
        ("empty blocks", "a block has at least one element"),
    ] {
        master(&["--tensor", tensor]).refused(&format!("{file}, tensor '{tensor}': {message}"));
    }
    master(&["--tensor", "no blocks"]).refused(&format!("{file}: the array has no blocks"));
    master(&["--tensor", "f32", "--element", "bf16"])
        .refused(&format!("{file}, tensor 'f32': the tensor's type is F32, needed is BF16"));
    folder
        .bitwire("mirror master none.safetensors out.bit")
        .refused("none.safetensors: the file has no tensors");
    folder
        .bitwire("mirror master none.safetensors out.bit --tensor x")
        .refused("none.safetensors: the file has no tensors");
    for (line, names) in [
        ("master master.npy out.bit", "master.npy"),
        ("diff master.npy agent.npy out.bit", "master.npy, agent.npy"),
        ("apply master.npy agent.bit out.npy", "master.npy"),
        ("stats master.npy agent.bit", "master.npy"),
        ("rebase master.npy agent.npy agent.bit out.bit", "master.npy, agent.npy"),
    ] {
        folder
            .bitwire(&format!("mirror {line} --tensor x"))
            .refused(&format!("{names}: --tensor is for .safetensors files"));
    }
    let whole = folder.read(file);
    for cut in [20, whole.len() - 1] {
        folder.put("cut.safetensors", &whole[..cut]);
        folder
            .bitwire("mirror master cut.safetensors out.bit --tensor f32")
            .usage("bitwire: cut.safetensors: truncated: ");
    }
    fs::remove_file(folder.path("cut.safetensors")).unwrap();
    assert_eq!(folder.names(), before);
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = with_mirror();
    fs::create_dir(folder.path("sub")).unwrap();
    let before = folder.names();
    let array = folder.read("master.npy");
    for verb in [
        "diff master.npy agent.npy OUT",
        "apply master.npy agent.bit OUT",
        "master master.npy OUT",
        "rebase master.npy agent.npy agent.bit OUT",
    ] {
        for (out, message) in [
            ("sub", "sub: is a directory"),
            ("none/out.bit", "none: No such file or directory"),
            ("master.npy/out.bit", "master.npy/out.bit: Not a directory"),
            ("/dev/full", "/dev/full: not a file: a whole file cannot be put in its place"),
            // Without its master no mirror is of use.
            ("master.npy", "master.npy: is an input, and would be overwritten"),
            ("sub/../master.npy", "master.npy: is an input, and would be overwritten"),
        ] {
            folder.bitwire(&format!("mirror {}", verb.replace("OUT", out))).refused(message);
        }
    }
    for (line, input) in [
        ("diff master.npy agent.npy agent.npy", "agent.npy"),
        ("apply master.npy agent.bit agent.bit", "agent.bit"),
        ("rebase master.npy agent.npy agent.bit agent.npy", "agent.npy"),
    ] {
        folder
            .bitwire(&format!("mirror {line}"))
            .refused(&format!("{input}: is an input, and would be overwritten"));
    }
    assert_eq!((folder.names(), folder.read("master.npy")), (before, array));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new();
    folder.put("master.npy", npy("<f4", false, &[64, 64], &[0; 1 << 14]));
    folder.put("agent.npy", npy("<f4", false, &[64, 64], &[1; 1 << 14]));
    folder.bitwire("mirror diff master.npy agent.npy agent.bit").good();
    folder.put("old.bit", "old");
    folder.put("old.npy", "old");
    let before = folder.names();
    for line in [
        "diff master.npy agent.npy old.bit",
        "apply master.npy agent.bit old.bit",
        "apply master.npy agent.bit old.npy",
        "master master.npy old.bit",
        "rebase master.npy master.npy agent.bit old.bit",
    ] {
        for line in [line.to_owned(), line.replace("old", "new")] {
            let out = line.rsplit(' ').next().unwrap();
            folder
                .sh(&format!("trap '' XFSZ; ulimit -f 1; exec \"$0\" mirror {line}"))
                .refused(&format!("{out}: File too large"));
            assert_eq!(folder.names(), before);
            assert_eq!(folder.read("old.bit"), b"old");
            assert_eq!(folder.read("old.npy"), b"old");
        }
    }
    for line in ["diff master.npy agent.npy -", "apply master.npy agent.bit -", "stats master.npy agent.bit"]
    {
        folder
            .sh(&format!("exec \"$0\" mirror {line} > /dev/full"))
            .refused("standard output: No space left on device");
    }
}

#[cfg(unix)]
#[test]
fn names_of_files_are_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for (name, shown) in [
        (&b"two\nlines.bit"[..], r"two\u{a}lines.bit"),
        (b"\x1b[2J.bit", r"\u{1b}[2J.bit"),
        (b"not\xff.bit", r"not\xff.bit"),
        ("a\u{202e}b.bit".as_bytes(), r"a\u{202e}b.bit"),
    ] {
        let folder = with_mirror();
        let run = |line: &str| {
            let word = |word| if word == "IN" { OsStr::from_bytes(name) } else { OsStr::new(word) };
            folder.run([OsStr::new("mirror")].into_iter().chain(line.split(' ').map(word)))
        };
        for line in [
            "diff IN agent.npy x",
            "diff master.npy IN x",
            "apply master.npy IN x",
            "stats IN agent.bit",
            "master IN x",
        ] {
            run(line).refused(&format!("{shown}: No such file or directory"));
        }
        for json in ["", " --json"] {
            for line in [
                "master master.npy IN kv m keys",
                "stats IN agent.bit",
                "apply IN agent.bit x.bit",
                "diff IN agent.npy x.bit",
            ] {
                let run = run(&format!("{line}{json}")).good();
                assert!(!run.text().contains(stray), "{:?}", run.text());
            }
            let run = run(&format!("rebase master.npy agent.npy agent.bit IN{json}")).good();
            assert!(!run.text().contains(stray), "{:?}", run.text());
        }
        run("apply agent.npy IN x.npy").good();
        if name.contains(&0xFF) {
            run("stats agent.npy IN --tensor IN").usage("invalid UTF-8");
        }
        run("apply master.npy IN x.npy").invalid(&format!(
            "bitwire: {shown} on master.npy: not for the master at hand: the digest (SHA-256) differs\n"
        ));
        assert_eq!(run("stats agent.npy IN --json").good().json("mirror-stats")["mirrors"][0]["file"], shown);
    }
}

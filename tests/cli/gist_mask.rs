//! Masks of gists and what gists save.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::mirror::data;
use crate::support::*;

fn original(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/data/gist/masks", name].iter().collect();
    fs::read(path).unwrap()
}

fn u32s(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn words(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// The header of a file written here, as text.
fn header(file: &[u8]) -> &str {
    std::str::from_utf8(&file[10..file.len() - data(file).len()]).unwrap()
}

/// A folder with text.txt: a gist, a word and a gist at 3 to 5, two tokens after them.
fn with_text() -> Folder {
    let folder = Folder::new();
    folder.put("text.txt", "1 2 3 900 7 902 4 5\n");
    folder
}

#[test]
fn files_hold_the_masks_of_the_original_code() {
    let expected: Value = serde_json::from_slice(&original("expected.json")).unwrap();
    let mut compared = 0;
    for (name, case) in expected.as_object().unwrap() {
        let whole = original(&format!("mask_{name}.npy"));
        let n = case["shape"][3].as_u64().unwrap() as usize;
        for (at, mask) in data(&whole).chunks(n * n).enumerate() {
            let folder = Folder::new();
            folder.put("text", words(&u32s(&case["input_ids"][at])));
            // Doubled, and in no order.
            let mut line = "gist mask --tokens text --gist-ids 902,900,901,900".to_owned();
            if !case["padding_mask"].is_null() {
                folder.put("padding", words(&u32s(&case["padding_mask"][at])));
                line += " --padding padding --as-original";
            }
            folder.bitwire(&format!("{line} --format bytes bytes.npy")).good();
            let bytes = folder.read("bytes.npy");
            assert_eq!(data(&bytes), mask, "{name}");
            let start = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, {n}), }}");
            assert!(header(&bytes).starts_with(&start), "{}", header(&bytes));

            folder.bitwire(&format!("{line} bits.npy")).good();
            let bits = folder.read("bits.npy");
            let width = n.div_ceil(8);
            assert!(
                header(&bits).contains(&format!("'|u1', 'fortran_order': False, 'shape': ({n}, {width})"))
            );
            for (row, packed) in mask.chunks(n).zip(data(&bits).chunks(width)) {
                let unpacked: Vec<u8> = (0..8 * width).map(|at| packed[at / 8] >> (at % 8) & 1).collect();
                assert_eq!((&unpacked[..n], unpacked[n..].contains(&1)), (row, false), "{name}");
            }

            for (option, blocked) in [("", f32::MIN), (" --blocked inf", f32::NEG_INFINITY)] {
                folder.bitwire(&format!("{line} --format additive{option} floats.npy")).good();
                let floats = folder.read("floats.npy");
                assert!(
                    header(&floats).contains(&format!("'<f4', 'fortran_order': False, 'shape': ({n}, {n})"))
                );
                let value = |&byte: &u8| [blocked, 0.0][usize::from(byte)].to_le_bytes();
                assert_eq!(data(&floats), mask.iter().flat_map(value).collect::<Vec<u8>>(), "{name}");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 17);
}

#[test]
fn without_a_file_the_mask_is_drawn() {
    let folder = with_text();
    let run = folder.bitwire("gist mask --tokens text.txt --gist-ids 900,901,902 --pad-right 1").good();
    let expected = "\
        #.......\n##......\n###.....\n####....\n#####...\n######..\n...####.\n........\n\
        positions   8\n\
        gists       positions 3 to 5 (3); 1 of them is no gist token, and counts as one\n\
        padding     1 position; padding rows see nothing\n\
        visible     25 of 64 pairs (39.1 %)\n";
    assert_eq!(run.text(), expected);
    let line = "gist mask --context 1 --gists 1 --rest 2 --pad-left 1 --pad-right 1";
    let run = folder.bitwire(line).good();
    assert!(run.text().starts_with("....\n.#..\n.##.\n....\npositions   4\n"), "{run:?}");
    let run = folder.bitwire(&format!("{line} --as-original")).good();
    assert!(run.text().starts_with("....\n.#..\n.##.\n.##.\npositions   4\n"), "{run:?}");
    assert!(run.text().contains("padding     2 positions; padding rows see what tokens would\n"));

    // 64 are drawn, 65 are not.
    let long = |rest| folder.bitwire(&format!("gist mask --context 50 --gists 4 --rest {rest}")).good();
    assert_eq!(long(10).text().lines().count(), 64 + 3);
    let run = long(11);
    assert!(run.text().starts_with("positions   65\ngists       positions 50 to 53 (4)\n"), "{run:?}");
    assert!(run.text().ends_with("Masks of up to 64 positions are drawn; name a file for longer ones.\n"));

    let run = folder.bitwire("gist mask --context 0 --gists 0 --rest 0").good();
    assert!(run.text().starts_with("positions   0\ngists       none: the mask is causal\n"));
    let run = folder.bitwire("gist mask --tokens text.txt --gist-ids 77").good();
    assert!(run.text().contains("\ngists       none of the ids is in the text: the mask is causal\n"));
    assert!(run.text().ends_with("visible     36 of 64 pairs (56.2 %)\n"));
    assert_eq!(folder.names(), ["text.txt"]);
}

#[test]
fn json_says_what_the_file_holds() {
    let folder = with_text();
    let run =
        folder.bitwire("gist mask --tokens text.txt --gist-ids 902,900 mask.npy --pad-left 2 --json").good();
    let mut object = run.json("gist-mask");
    object.as_object_mut().unwrap().remove("schema");
    // Rows 2 to 5 see 1 to 4 tokens; rows 6 and 7 the gists and what follows: 4 and 5.
    let expected = json!({
        "file": "mask.npy", "format": "bits", "dtype": "u1", "shape": [8, 1], "positions": 8, "gist_start": 3, "gist_end": 6,
        "between_gists": 1, "padding": 2, "padded_rows": "blank", "visible_pairs": 19,
    });
    assert_eq!(object, expected);
    assert_eq!(data(&folder.read("mask.npy")), [0, 0, 0x04, 0x0C, 0x1C, 0x3C, 0x78, 0xF8]);
    let none = folder.bitwire("gist mask --context 9 --gists 0 --rest 0 --json").good().json("gist-mask");
    assert_eq!((&none["gist_start"], &none["gist_end"]), (&Value::Null, &Value::Null));
    assert!(none.get("file").is_none());
}

#[test]
fn texts_come_from_files_of_any_kind_and_from_streams() {
    let folder = with_text();
    let tokens = [1, 2, 3, 900, 7, 902, 4, 5u16];
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    folder.put("text.u16", &bytes);
    folder.put("text.npy", npy("<u2", false, &[8], &bytes));
    folder.put("row.npy", npy("<u2", false, &[1, 8], &bytes));
    folder.bitwire("gist mask --tokens text.txt --gist-ids 900,902 mask.npy").good();
    let expected = folder.read("mask.npy");
    for name in ["text.u16", "text.npy", "row.npy"] {
        folder.bitwire(&format!("gist mask --tokens {name} --gist-ids 900,902 again.npy")).good();
        assert_eq!(folder.read("again.npy"), expected, "{name}");
    }
    let line = "gist mask --tokens - --gist-ids 900,902 -";
    assert_eq!(folder.with_stdin(&folder.read("text.npy"), line).good().out, expected);
    assert_eq!(folder.with_stdin(b"1 2 3 900 7 902 4 5", line).good().out, expected);

    folder.put("batch.npy", npy("<u2", false, &[2, 4], &bytes));
    folder
        .bitwire("gist mask --tokens batch.npy --gist-ids 900 mask.npy")
        .refused("batch.npy: has 2 rows, those of a batch: give one of them");
    folder
        .bitwire("gist mask --tokens text.txt --gist-ids 900 --padding batch.npy mask.npy")
        .refused("batch.npy: has 2 rows, those of a batch: give one of them");
}

/// More rows than are written at a time.
#[test]
fn long_masks_are_written_piece_by_piece() {
    let folder = Folder::new();
    folder
        .bitwire("gist mask --context 1200 --gists 10 --rest 90 --pad-left 5 --format bytes mask.npy")
        .good();
    let file = folder.read("mask.npy");
    let bytes = data(&file);
    assert_eq!(bytes.len(), 1300 * 1300);
    for (i, row) in bytes.chunks(1300).enumerate() {
        let first = if i < 1210 { 5 } else { 1200 };
        let end = if i < 5 { first } else { i + 1 };
        let seen = |j: usize| j >= first && j < end;
        assert!(row.iter().enumerate().all(|(j, &byte)| byte == u8::from(seen(j))), "row {i}");
    }
}

#[test]
fn what_makes_no_mask_is_refused() {
    let folder = with_text();
    folder.put("short.txt", "1 1 0");
    folder.put("bad.txt", "1 1 1 1 1 2 0 1");
    folder.put("words.txt", "1 two");
    let text = "gist mask --tokens text.txt --gist-ids 900";
    for (line, message) in [
        (format!("{text} --padding short.txt"), "short.txt: has 3 entries, and there are 8 positions"),
        (
            format!("{text} --padding bad.txt"),
            "bad.txt: the entry of position 5 is 2: 1 is a token, 0 is padding",
        ),
        (format!("{text} --pad-left 5 --pad-right 4"), "9 positions of padding, and there are 8 positions"),
        (format!("{text} --as-original"), "--as-original is for masks with padding"),
        (format!("{text} --blocked inf out.npy"), "--blocked is for --format additive"),
        (format!("{text} text.txt"), "text.txt: is an input, and would be overwritten"),
        (format!("{text} - --json"), "--json needs a file to write to: standard output (-) carries the file"),
        (
            "gist mask --tokens - --gist-ids 1 --padding -".to_owned(),
            "standard input (-) can be given only once",
        ),
        (
            "gist mask --context 4294967295 --gists 1 --rest 0".to_owned(),
            "the mask's length is 4294967296, the largest possible is 4294967295",
        ),
    ] {
        folder.bitwire(&line).refused(message);
    }
    let run = folder.bitwire("gist mask --tokens words.txt --gist-ids 900");
    assert!(run.err.starts_with("bitwire: words.txt: ") && run.err.contains("two"), "{run:?}");
    // 4 GiB or more, of a few words: too much is an error, and nothing else.
    #[cfg(target_os = "linux")]
    for line in ["--pad-left 1", "--format bits out.npy"] {
        let line = format!("gist mask --context 4294967290 --gists 1 --rest 1 {line}");
        folder
            .sh(&format!("ulimit -v 131072 && exec \"$0\" {line}"))
            .usage(" bytes of memory are not to be had");
    }
    // An endless file is found wanting at its start.
    #[cfg(target_os = "linux")]
    folder
        .sh("ulimit -v 131072 && exec \"$0\" gist mask --tokens /dev/zero --gist-ids 1")
        .usage("bitwire: /dev/zero: line 1: token 0 is '\\x00");
    for (line, part) in [
        ("gist mask", "the following required arguments were not provided"),
        ("gist mask --tokens text.txt", "the following required arguments were not provided"),
        ("gist mask --context 3 --gists 1", "the following required arguments were not provided"),
        ("gist mask --tokens text.txt --gist-ids 1 --context 3 --gists 1 --rest 1", "cannot be used with"),
        ("gist mask --tokens text.txt --gist-ids 1,x", "invalid value 'x' for '--gist-ids <ID,...>'"),
        ("gist mask --tokens text.txt --gist-ids -1", "invalid value '-1' for '--gist-ids <ID,...>'"),
        ("gist mask --context -3 --gists 1 --rest 1", "invalid value '-3' for '--context <N>'"),
        (
            "gist mask --context 3 --gists 1 --rest 1 --format bits",
            "the following required arguments were not",
        ),
        ("gist mask --context 3 --gists 1 --rest 1 --format floats out.npy", "invalid value 'floats'"),
        ("gist mask --context 3 --gists 1 --rest 1 --padding bad.txt --pad-left 1", "cannot be used with"),
    ] {
        folder.bitwire(line).usage(part);
    }
    assert_eq!(folder.names(), ["bad.txt", "short.txt", "text.txt", "words.txt"]);
}

const LLAMA: &str = "gist budget --layers 32 --kv-heads 8 --head-dim 128";

#[test]
fn a_budget_is_that_worked_by_hand() {
    let folder = Folder::new();
    // 2 * 32 * 8 * 128 * 2 bytes are 128 KiB a token.
    let run = folder.bitwire(&format!("{LLAMA} --context 4000 --gists 10")).good();
    let expected = "                  tokens  type                  each    together\n\
                    context             4000  f16              128.0 KiB   500.0 MiB\n\
                    gists                 10  f16              128.0 KiB     1.2 MiB\n\
                    saved       498.8 MiB\n\
                    ratio       400.00 by tokens, 400.00 by bytes\n";
    assert_eq!(run.text(), expected);

    let line =
        format!("{LLAMA} --context 4000 --gists 10 --dtype q8_0 --v-dtype q4_0 --gist-dtype mu16 --json");
    let mut object = folder.bitwire(&line).good().json("gist-budget");
    object.as_object_mut().unwrap().remove("schema");
    // A layer has 32 blocks of 34 bytes and 32 of 18.
    let expected = json!({
        "layers": 32, "kv_heads": 8, "head_dim": 128,
        "context": {"tokens": 4000, "keys": "q8_0", "values": "q4_0", "token_bytes": 53248, "bytes": 212992000},
        "gists": {"tokens": 10, "keys": "mu16", "values": "mu16", "token_bytes": 131072, "bytes": 1310720},
        "saved_bytes": 211681280, "token_ratio": 400.0, "byte_ratio": 162.5,
    });
    assert_eq!(object, expected);

    let less = format!("{LLAMA} --context 4 --gists 10 --dtype q8_0 --v-dtype q4_0");
    let run = folder.bitwire(&less).good();
    // 6 tokens of 52 KiB.
    assert!(run.text().contains("saved       nothing: the gists take 312.0 KiB more\n"), "{run:?}");
    assert!(
        run.text().contains("context                4  q8_0, q4_0        52.0 KiB   208.0 KiB\n"),
        "{run:?}"
    );
    assert_eq!(folder.bitwire(&format!("{less} --json")).good().json("gist-budget")["saved_bytes"], -319488);
    let far =
        "gist budget --layers 1 --kv-heads 1 --head-dim 1 --context 1 --gists 4611686018427387903 --json";
    // 4 bytes less 2^64 - 4 bytes, which no 64 bits hold: the nearest float.
    assert_eq!(folder.bitwire(far).good().json("gist-budget")["saved_bytes"], -(2f64.powi(64)));
    let small =
        folder.bitwire("gist budget --layers 1 --kv-heads 1 --head-dim 1 --context 1048575 --gists 1").good();
    // 4 bytes a token: one token less than 4 MiB.
    assert!(small.text().contains("        4 B     4.0 MiB\n"), "{small:?}");
}

#[test]
fn what_makes_no_budget_is_refused() {
    let folder = Folder::new();
    folder
        .bitwire("gist budget --layers 2 --kv-heads 1 --head-dim 80 --context 9 --gists 1 --gist-dtype q8_0")
        .refused("q8_0 is made of blocks of 32 elements: kv-heads * head-dim is 80, no whole number of them");
    folder
        .bitwire(&format!("{LLAMA} --context 18446744073709551615 --gists 1"))
        .refused("the size of the bytes of the context overflows 64 bits: no memory has so many bytes");
    for (line, part) in [
        (format!("{LLAMA} --context 9"), "the following required arguments were not provided"),
        (format!("{LLAMA} --context 9 --gists 0"), "invalid value '0' for '--gists <N>'"),
        (format!("{LLAMA} --context -9 --gists 1"), "invalid value '-9' for '--context <N>'"),
        (
            format!("{LLAMA} --context 9 --gists 1 --dtype f8"),
            "invalid value 'f8' for '--dtype <TYPE>': has to be one of f32, f16, q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl, bf16, mu16",
        ),
    ] {
        folder.bitwire(&line).usage(part);
    }
}

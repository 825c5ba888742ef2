//! Agents as mirrors of a master, and what comes back.

use std::fs;
use std::path::PathBuf;

use bitwire::frame::{ContextHash, Frame};
use bitwire::mirror::{Blocks, Scalar, Shape};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

/// The folder of one store that TokenDance made.
fn tokendance(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tokendance", name].iter().collect()
}

pub(crate) fn f32s(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// Of the master 0, 0.25, 0.5, ...: 4 blocks of 3.
pub(crate) fn quarters() -> [f32; 12] {
    std::array::from_fn(|i| i as f32 / 4.0)
}

/// A folder with master.npy (4 blocks of 3 f32), agent.npy (block 2 differs) and their mirror agent.bit.
pub(crate) fn with_mirror() -> Folder {
    let folder = Folder::new();
    let mut values = quarters();
    folder.put("master.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    values[7] = -8.0;
    folder.put("agent.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    folder.bitwire("mirror diff master.npy agent.npy agent.bit kv m keys").good();
    folder
}

/// What NumPy has behind the header of a file that was written here or by it.
pub(crate) fn data(file: &[u8]) -> &[u8] {
    &file[10 + usize::from(u16::from_le_bytes([file[8], file[9]]))..]
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn agents_come_back_as_numpy_wrote_them() {
    // f32, f16, and 4 dimensions; one differs in the last bit of every element, one in nothing.
    for (store, agents) in [
        ("seed001_reconstruct_8", &["critic"][..]),
        ("f16", &["h", "far"]),
        ("blocks_4d", &["x", "same"]),
        ("threshold0", &["same", "one_ulp"]),
        ("cancellation", &["w"]),
    ] {
        let folder = Folder::new();
        fs::copy(tokendance(store).join("master.npy"), folder.path("master.npy")).unwrap();
        folder.bitwire("mirror master master.npy master.bit").good();
        for agent in agents {
            fs::copy(tokendance(store).join(agent).with_extension("npy"), folder.path("agent.npy")).unwrap();
            let whole = folder.read("agent.npy");
            folder.bitwire("mirror diff master.npy agent.npy agent.bit").good();
            folder.bitwire("mirror apply master.npy agent.bit again.npy").good();
            assert_eq!(folder.read("again.npy"), whole, "{store}/{agent}");
            // By way of frames the elements are the same; only an array has more than two dimensions.
            folder.bitwire("mirror apply master.bit agent.bit whole.bit").good();
            folder.bitwire("mirror diff whole.bit agent.npy none.bit").good();
            let json = folder.bitwire("mirror apply whole.bit none.bit flat.npy --json").good();
            assert_eq!(json.json("mirror-apply")["shape"].as_array().unwrap().len(), 2);
            assert_eq!(data(&folder.read("flat.npy")), data(&whole), "{store}/{agent}");
        }
    }
}

#[test]
fn what_differs_is_what_tokendance_finds() {
    let expected = fs::read(tokendance("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let mut compared = 0;
    for (name, store) in expected["stores"].as_object().unwrap() {
        if !tokendance(name).exists() {
            continue;
        }
        let folder = Folder::new();
        fs::copy(tokendance(name).join("master.npy"), folder.path("master.npy")).unwrap();
        let mut mirrors = Vec::new();
        for (agent, mirror) in store["mirrors"].as_object().unwrap() {
            if mirror["input"].is_null() {
                continue;
            }
            fs::copy(tokendance(name).join(agent).with_extension("npy"), folder.path("agent.npy")).unwrap();
            let threshold = &store["threshold"];
            let line = format!("mirror diff master.npy agent.npy {agent}.bit --threshold {threshold} --json");
            let json = folder.bitwire(&line).good().json("mirror-diff");
            assert_eq!(json["differing"], mirror["n_diff_blocks"], "{name}/{agent}");
            assert_eq!(json["blocks"], mirror["total_blocks"], "{name}/{agent}");
            assert_eq!(json["threshold"].as_f64(), threshold.as_f64());
            mirrors.push(format!("{agent}.bit"));
            compared += 1;
        }
        let line = format!("mirror stats master.npy {} --json", mirrors.join(" "));
        let json = folder.bitwire(&line).good().json("mirror-stats");
        let theirs = &store["stats_before"];
        assert_eq!(json["block_ratio"], theirs["compression_ratio"], "{name}");
        assert_eq!(json["difference_blocks"], theirs["diff_blocks_total"], "{name}");
        assert_eq!(json["blocks"], theirs["master_blocks"], "{name}");
    }
    assert_eq!(compared, 14);
}

#[test]
fn every_type_byte_order_and_memory_order_makes_the_same_master() {
    let folder = Folder::new();
    for (kind, element) in
        [("f4", ""), ("f2", ""), ("bf16", " --element bf16"), ("i2", " --element i16:16384")]
    {
        let plain = fs::read(numpy_file(&format!("blocks_{kind}_le_c.npy"))).unwrap();
        folder.put("plain.npy", &plain);
        let line = format!("mirror master plain.npy master.bit kv m keys{element} --json");
        let json = folder.bitwire(&line).good().json("mirror-master");
        assert_eq!((&json["blocks"], &json["dim"]), (&json!(3), &json!(40)));
        assert_eq!(json["digest"], sha256(data(&plain)), "{kind}");
        for order in ["le_fortran", "be_c", "be_fortran"] {
            fs::copy(numpy_file(&format!("blocks_{kind}_{order}.npy")), folder.path("in.npy")).unwrap();
            folder.bitwire(&format!("mirror master in.npy in.bit kv m keys{element}")).good();
            assert_eq!(folder.read("in.bit"), folder.read("master.bit"), "{kind} {order}");
            // The agent is of the master's type, which is said once or, by a frame, not at all.
            let json = folder.bitwire("mirror diff master.bit in.npy in.mirror --json").good();
            assert_eq!(json.json("mirror-diff")["differing"], 0);
            folder.bitwire(&format!("mirror diff plain.npy in.npy in.mirror{element}")).good();
            // So does a mirror say what its master is. It gives back little-endian C order.
            let run = folder.bitwire("mirror apply in.npy in.mirror again.npy");
            let note = match kind {
                "bf16" => "bitwire: NumPy has no bf16; written as V2, as ml_dtypes does\n",
                "i2" => "bitwire: written as i2, in steps of 0.25\n",
                _ => "",
            };
            assert_eq!((run.status, run.err.as_str()), (Some(0), note));
            assert_eq!(folder.read("again.npy"), plain, "{kind} {order}");
            folder.bitwire("mirror stats in.npy in.mirror").good();
            folder.bitwire("mirror rebase in.npy plain.npy in.mirror out.bit").good();
        }
    }
    let json = folder.bitwire("mirror stats master.bit in.mirror --json").usage("the context is");
    assert_eq!(json.text(), "");
    folder.bitwire("mirror diff master.bit plain.npy in.mirror").good();
    let json = folder.bitwire("mirror stats master.bit in.mirror --json").good().json("mirror-stats");
    assert_eq!((&json["element"], &json["delta_q16"]), (&json!("i16"), &json!(16384)));
    assert_eq!(json["mirrors"][0]["delta_q16"], 16384);
}

#[test]
fn a_mirror_is_told_of() {
    let folder = with_mirror();
    let digest = sha256(&f32s(quarters()));
    let context = r#"{"dim":3,"model_id":"m","pi_id":"keys","space_id":"kv"}"#;
    let ctx = ContextHash::of(context.as_bytes()).to_string();
    let run = folder.bitwire("mirror diff master.npy agent.npy agent.bit kv m keys").good();
    let len = folder.read("agent.bit").len();
    assert_eq!(
        run.text(),
        format!(
            "file        agent.bit\n\
             checks      mirror, {len} bytes, CRC ok, no digest, no HMAC\n\
             context     {ctx} {context}\n\
             blocks      1 of 4 differ, each of 3 elements\n\
             mode        replace, threshold 0\n\
             master      SHA-256 {digest}\n\
             error       none, bit by bit\n"
        )
    );
    let json = folder.bitwire("mirror diff master.npy agent.npy agent.bit kv m keys --json").good();
    assert_eq!(
        json.json("mirror-diff"),
        json!({
            "schema": "bitwire/mirror-diff/1",
            "file": "agent.bit", "bytes": len, "ctx": ctx,
            "context": { "dim": 3, "model_id": "m", "pi_id": "keys", "space_id": "kv" },
            "signed": false, "authenticated": false,
            "blocks": 4, "dim": 3, "element": "f32", "differing": 1,
            "mode": "replace", "stored": "f32", "delta_q16": null, "threshold": 0.0,
            "master_digest": digest, "saturated": 0, "error_bound": 0.0,
        })
    );
    let run = folder.bitwire("mirror master master.npy master.bit kv m keys").good();
    let len = folder.read("master.bit").len();
    assert_eq!(
        run.text(),
        format!(
            "file        master.bit\n\
             checks      blocks, {len} bytes, CRC ok, no digest, no HMAC\n\
             context     {ctx} {context}\n\
             blocks      4 x 3 f32\n\
             digest      SHA-256 {digest}\n"
        )
    );
    let frame = folder.read("master.bit");
    assert_eq!(Frame::parse_exact(&frame).unwrap().payload_offset() % 64, 0, "it can be mapped");
    let run = folder.bitwire("mirror apply master.npy agent.bit again.npy").good();
    assert_eq!(
        run.text(),
        "file        again.npy\nshape       [4, 3]\nblocks      4 x 3 f32; 1 of 4 differ from the master's\n"
    );
    let json = folder.bitwire("mirror apply master.npy agent.bit again.npy --json").good();
    assert_eq!(
        json.json("mirror-apply"),
        json!({
            "schema": "bitwire/mirror-apply/1", "file": "again.npy", "shape": [4, 3],
            "blocks": 4, "dim": 3, "element": "f32", "delta_q16": null, "differing": 1,
        })
    );
    let run = folder.bitwire("mirror apply master.npy agent.bit again.bit").good();
    assert!(run.text().starts_with("file        again.bit\nchecks      blocks, "), "{}", run.text());
    let json = folder.bitwire("mirror apply master.npy agent.bit again.bit --json").good();
    assert_eq!(json.json("mirror-apply")["ctx"], ctx);
    // What one verb wrote the others read.
    for file in ["agent.bit", "master.bit", "again.bit"] {
        folder.bitwire(&format!("verify {file}")).good();
        folder.bitwire(&format!("route {file} --shards 4")).good();
        folder.bitwire(&format!("inspect {file}")).good();
    }
    folder.bitwire("mirror diff again.bit agent.npy none.bit").good();
    let json = folder.bitwire("mirror stats again.bit none.bit --json").good();
    assert_eq!(json.json("mirror-stats")["difference_blocks"], 0);
}

#[test]
fn ratios_are_those_of_the_spec() {
    let folder = with_mirror();
    // A master of 48 bytes; each mirror has one block: an index of 4 bytes, and 12 bytes.
    let run = folder.bitwire("mirror stats master.npy agent.bit agent.bit").good();
    let line = format!(
        "agent.bit: 1 of 4 differ, each of 3 elements; replace, threshold 0; {} bytes",
        folder.read("agent.bit").len()
    );
    let start = format!("master      master.npy: 4 x 3 f32\nmirror      {line}\nmirror      {line}\n");
    let ratios = "agents      3\nblock ratio 2.000\nbyte ratio  1.800\nframe ratio ";
    assert!(run.text().starts_with(&format!("{start}{ratios}")), "{}", run.text());
    let json = folder.bitwire("mirror stats master.npy agent.bit agent.bit --json").good();
    let json = json.json("mirror-stats");
    assert_eq!(json["block_ratio"], 3.0 * 4.0 / (4.0 + 2.0));
    assert_eq!(json["byte_ratio"], 3.0 * 48.0 / (48.0 + 2.0 * 16.0));
    // The frame of the master with the same context, without padding.
    let elements = f32s(quarters());
    let blocks = Blocks::new(Shape::new(Scalar::F32, 4, 3).unwrap(), &elements).unwrap();
    let context = br#"{"dim":3,"model_id":"m","pi_id":"keys","space_id":"kv"}"#;
    let frame = blocks.to_frame(ContextHash::of(context)).unwrap().context_json(context).unwrap();
    let (master, mirror) = (frame.encode().unwrap().len() as f64, folder.read("agent.bit").len() as f64);
    assert_eq!(json["frame_ratio"], 3.0 * master / (master + 2.0 * mirror));
    assert_eq!((&json["agents"], &json["difference_blocks"]), (&json!(3), &json!(2)));
    assert_eq!(json["digest"], sha256(&elements));
    assert_eq!(json["mirrors"].as_array().unwrap().len(), 2);
    // A frame with padding, and signed, has the same ratio.
    folder.bitwire("mirror master master.npy master.bit kv m keys").good();
    let again = folder.bitwire("mirror stats master.bit agent.bit agent.bit --json").good();
    assert_eq!(again.json("mirror-stats")["frame_ratio"], json["frame_ratio"]);
}

#[test]
fn differences_are_rounded_and_the_error_is_told() {
    let folder = Folder::new();
    let zeros = [0.0; 4];
    folder.put("master.npy", npy("<f4", false, &[2, 2], &f32s(zeros)));
    folder.put("agent.npy", npy("<f4", false, &[2, 2], &f32s([0.0, 0.0, 100.0, -7.0])));
    let diff = |options: &str| {
        let line = format!("mirror diff master.npy agent.npy agent.bit --mode add{options} --json");
        let run = folder.bitwire(&line);
        assert_eq!(run.status, Some(0), "{run:?}");
        (run.json("mirror-diff"), run.err)
    };
    let again = || {
        folder.bitwire("mirror apply master.npy agent.bit again.npy").good();
        let file = folder.read("again.npy");
        data(&file).as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect::<Vec<_>>()
    };
    let (json, _) = diff("");
    assert_eq!((&json["mode"], &json["stored"]), (&json!("add"), &json!("f32")));
    assert_eq!((&json["error_bound"], again()), (&json!(0.0), vec![0.0, 0.0, 100.0, -7.0]));
    let run = folder.bitwire("mirror diff master.npy agent.npy agent.bit --mode add").good();
    assert!(
        run.text().ends_with("\nerror       none, but that a zero may lose its sign\n"),
        "{}",
        run.text()
    );
    // The smallest step that holds 100: 100 * 65536 / 32767.5 = 200.003.
    let (json, err) = diff(" --delta-q16 auto");
    assert_eq!((&json["delta_q16"], &json["stored"], err.as_str()), (&json!(201), &json!("i16"), ""));
    let step = 201.0 / 65536.0;
    let near = |x: f64| ((x / step).round_ties_even() * step) as f32;
    assert_eq!(again(), [0.0, 0.0, near(100.0), near(-7.0)]);
    let error = (f64::from(near(100.0)) - 100.0).abs().max((f64::from(near(-7.0)) + 7.0).abs());
    assert_eq!(json["error_bound"], error);
    let run = folder.bitwire("mirror diff master.npy agent.npy agent.bit --mode add --delta-q16 201").good();
    assert!(run.text().contains("\nmode        add in MU16, delta_q16 201, threshold 0\n"), "{}", run.text());
    assert!(run.text().ends_with(&format!("\nerror       at most {error:?} in an element\n")));
    // One step of 2^-16 reaches 32767/65536 and -1/2.
    let (json, err) = diff(" --delta-q16 1");
    assert_eq!(
        err,
        "bitwire: warning: agent.npy: 2 differences saturate; a larger --delta-q16, or auto, holds them\n"
    );
    assert_eq!((&json["saturated"], &json["error_bound"]), (&json!(2), &json!(100.0 - 32767.0 / 65536.0)));
    assert_eq!(again(), [0.0, 0.0, 32767.0 / 65536.0, -0.5]);

    // What is not finite: this NaN is not the one that arithmetic makes.
    folder.put("agent.npy", npy("<f4", false, &[2, 2], &f32s([0.0, 0.0, 1.0, f32::from_bits(0x7FC0_0001)])));
    let not = "agent.npy: the difference from master.npy in block 1, element 1 is not finite";
    for step in ["auto", "7"] {
        let line = format!("mirror diff master.npy agent.npy none.bit --mode add --delta-q16 {step}");
        folder.bitwire(&line).refused(not);
    }
    let (json, err) = diff("");
    let warning = "bitwire: warning: agent.npy: elements or differences are not finite and do not come back; \
                   --mode replace holds them\n";
    assert_eq!((&json["error_bound"], err.as_str()), (&Value::Null, warning));
    folder.bitwire("mirror diff master.npy agent.npy agent.bit").good();
    folder.bitwire("mirror apply master.npy agent.bit again.npy").good();
    assert_eq!(data(&folder.read("again.npy")), data(&folder.read("agent.npy")));
}

#[test]
fn a_threshold_leaves_out_what_is_near() {
    let folder = with_mirror();
    // Block 2 differs by 9.75, in one element.
    for (threshold, differing) in [("0", 1), ("-0", 1), ("9.7", 1), ("9.75", 0), ("1e300", 0)] {
        let line = format!("mirror diff master.npy agent.npy out.bit --threshold {threshold} --json");
        let json = folder.bitwire(&line).good().json("mirror-diff");
        assert_eq!(json["differing"], differing, "{threshold}");
        assert_eq!(
            json["threshold"].as_f64().unwrap().to_bits(),
            threshold.trim_matches('-').parse::<f64>().unwrap().to_bits()
        );
        assert_eq!(json["error_bound"].as_f64(), json["threshold"].as_f64());
    }
    let run = folder.bitwire("mirror diff master.npy agent.npy out.bit --threshold 9.75").good();
    assert!(
        run.text().contains(
            "\nblocks      0 of 4 differ, each of 3 elements\nmode        replace, threshold 9.75\n"
        )
    );
    assert!(run.text().ends_with("\nerror       at most 9.75 in an element\n"), "{}", run.text());
    folder.bitwire("mirror apply master.npy out.bit again.npy").good();
    assert_eq!(data(&folder.read("again.npy")), data(&folder.read("master.npy")));
    for bad in ["nan", "inf", "-inf", "-1", "1e999", "x", ""] {
        folder.bitwire(&format!("mirror diff master.npy agent.npy none.bit --threshold={bad}")).usage(
            &format!("invalid value '{bad}' for '--threshold <T>': has to be a finite number of at least 0"),
        );
    }
    assert!(!folder.path("none.bit").exists());
}

#[test]
fn a_mirror_moves_to_another_master() {
    let folder = with_mirror();
    let mut values = quarters();
    values[0] = 99.0;
    folder.put("new.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    let run = folder.bitwire("mirror rebase master.npy new.npy agent.bit new.bit").good();
    assert!(run.text().contains("\nblocks      2 of 4 differ, each of 3 elements\n"), "{}", run.text());
    assert!(run.text().ends_with("\nmoved       none, bit by bit\n"), "{}", run.text());
    folder.bitwire("mirror apply new.npy new.bit again.npy").good();
    assert_eq!(data(&folder.read("again.npy")), data(&folder.read("agent.npy")));
    // In place, and back by way of frames: what it was at first.
    let old = folder.read("agent.bit");
    folder.bitwire("mirror rebase master.npy new.npy agent.bit agent.bit").good();
    assert_eq!(folder.read("agent.bit"), folder.read("new.bit"));
    folder.bitwire("mirror master master.npy master.bit kv m keys").good();
    folder.bitwire("mirror master new.npy new-master.bit kv m keys").good();
    folder.bitwire("mirror rebase new-master.bit master.bit agent.bit agent.bit").good();
    assert_eq!(folder.read("agent.bit"), old);

    // The mode, its step and the threshold stay. What is left out anew is told.
    folder
        .bitwire("mirror diff master.npy agent.npy add.bit --mode add --delta-q16 32768 --threshold 1")
        .good();
    values[0] = 0.5;
    folder.put("near.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    let json = folder.bitwire("mirror rebase master.npy near.npy add.bit near.bit --json").good();
    let json = json.json("mirror-rebase");
    assert_eq!((&json["mode"], &json["delta_q16"]), (&json!("add"), &json!(32768)));
    assert_eq!(
        (&json["threshold"], &json["error_bound"], &json["differing"]),
        (&json!(1.0), &json!(1.0), &json!(1))
    );
    let run = folder.bitwire("mirror rebase master.npy near.npy add.bit near.bit").good();
    assert!(run.text().ends_with("\nmoved       at most 1.0 in an element\n"), "{}", run.text());
    // A step of 2^-1 reaches 16383.5.
    values[0] = 20000.0;
    folder.put("far.npy", npy("<f4", false, &[4, 3], &f32s(values)));
    let run = folder.bitwire("mirror rebase master.npy far.npy add.bit far.bit --json");
    let hint = "a larger --delta-q16 of `mirror diff`, or auto, holds them";
    assert_eq!(run.err, format!("bitwire: warning: add.bit: 1 differences saturate; {hint}\n"));
    assert_eq!(run.json("mirror-rebase")["error_bound"], 20000.0 - 16384.0);
}

#[test]
fn tensors_are_blocks_too() {
    let folder = Folder::new();
    let types = [env!("CARGO_MANIFEST_DIR"), "tests/data/safetensors/types.safetensors"];
    fs::copy(types.iter().collect::<PathBuf>(), folder.path("types.safetensors")).unwrap();
    // The arrays of tests/data/npy and these are the same: see make.py there.
    for (tensor, kind, element) in [
        ("f32", "f4", ""),
        ("f16", "f2", ""),
        ("bf16", "bf16", " --element bf16"),
        ("i16", "i2", " --element i16:4"),
    ] {
        fs::copy(numpy_file(&format!("blocks_{kind}_le_c.npy")), folder.path("in.npy")).unwrap();
        folder.bitwire(&format!("mirror master in.npy npy.bit{element}")).good();
        let element = if kind == "i2" { element } else { "" };
        folder.bitwire(&format!("mirror master types.safetensors out.bit --tensor {tensor}{element}")).good();
        assert_eq!(folder.read("out.bit"), folder.read("npy.bit"), "{tensor}");
        // Beside a file of another kind, as master and as agent.
        let tensor = format!("--tensor {tensor}");
        for line in [
            format!("diff types.safetensors in.npy a.bit {tensor}{element}"),
            format!("diff npy.bit types.safetensors a.bit {tensor}"),
            format!("rebase types.safetensors in.npy a.bit b.bit {tensor}"),
            format!("stats types.safetensors a.bit {tensor}"),
        ] {
            folder.bitwire(&format!("mirror {line}")).good();
        }
        let run = folder.bitwire(&format!("mirror apply types.safetensors a.bit again.npy {tensor}"));
        assert_eq!(run.status, Some(0), "{run:?}");
        assert_eq!(folder.read("again.npy"), folder.read("in.npy"));
    }
    // The only tensor needs no name.
    let header = br#"{"k":{"dtype":"BF16","shape":[2,1,3],"data_offsets":[0,12]}}    "#;
    folder.put("one.safetensors", [&(header.len() as u64).to_le_bytes()[..], header, &[7; 12]].concat());
    let json = folder.bitwire("mirror master one.safetensors one.bit --json").good().json("mirror-master");
    assert_eq!((&json["blocks"], &json["dim"], &json["element"]), (&json!(2), &json!(3), &json!("bf16")));
    folder.bitwire("mirror diff one.safetensors one.bit a.bit").good();
    assert_eq!(json["digest"], sha256(&[7; 12]));
}

#[test]
fn streams_are_files() {
    let folder = with_mirror();
    let mirror = folder.read("agent.bit");
    folder.bitwire("mirror master master.npy master.bit kv m keys").good();
    let (array, frame) = (folder.read("master.npy"), folder.read("master.bit"));
    let out = |stdin: &[u8], line: &str| {
        let run = folder.with_stdin(stdin, line);
        assert_eq!((run.status, run.err.as_str()), (Some(0), ""), "{line}");
        run.out
    };
    assert_eq!(out(&array, "mirror diff - agent.npy - kv m keys"), mirror);
    assert_eq!(out(&frame, "mirror diff - agent.npy -"), mirror);
    assert_eq!(out(&folder.read("agent.npy"), "mirror diff master.bit - -"), mirror);
    assert_eq!(out(&array, "mirror master - - kv m keys"), frame);
    assert_eq!(data(&out(&mirror, "mirror apply master.npy - -")), data(&folder.read("agent.npy")));
    assert_eq!(data(&out(&frame, "mirror apply - agent.bit -")), data(&folder.read("agent.npy")));
    assert_eq!(out(&mirror, "mirror rebase master.npy master.bit - -"), mirror);
    assert_eq!(out(&frame, "mirror rebase master.npy - agent.bit -"), mirror);
    let stats = out(&mirror, "mirror stats master.npy -");
    assert!(String::from_utf8(stats).unwrap().contains("\nmirror      standard input: 1 of 4 differ"));
    for line in [
        "diff - - x",
        "apply - - x",
        "rebase - - agent.bit x",
        "rebase - master.npy - x",
        "stats master.npy - -",
        "stats - -",
    ] {
        folder
            .with_stdin(&frame, &format!("mirror {line}"))
            .refused("standard input (-) can be given only once");
    }
    for line in [
        "diff master.npy agent.npy -",
        "apply master.npy agent.bit -",
        "rebase master.npy master.npy agent.bit -",
        "master master.npy -",
    ] {
        folder
            .bitwire(&format!("mirror {line} --json"))
            .refused("--json needs a file to write to: standard output (-) carries the file");
    }
    assert!(!folder.path("-").exists() && !folder.path("x").exists());
}

const VERBS: [&str; 5] = ["diff", "apply", "stats", "master", "rebase"];

#[test]
fn the_examples_of_the_help_work() {
    let folder = with_mirror();
    folder.put("new-master.npy", folder.read("agent.npy"));
    fs::create_dir(folder.path("agents")).unwrap();
    folder.put("agents/a.bit", folder.read("agent.bit"));
    folder.put("agents/b.bit", folder.read("agent.bit"));
    for verb in VERBS {
        let help = folder.bitwire(&format!("mirror {verb} --help")).good().text().to_owned();
        let example = help.split_once("\nExample:\n").unwrap().1.split("\n\n").next().unwrap();
        assert!(example.starts_with(&format!("  bitwire mirror {verb} ")), "{example}");
        folder.sh(&example.replace("  bitwire ", "\"$0\" ")).good();
    }
    let help = folder.bitwire("mirror --help").good();
    let listed = help.text().lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let listed: Vec<&str> =
        listed.filter(|verb| !verb.is_empty() && !["help", "-h,"].contains(verb)).collect();
    assert_eq!(listed, VERBS);
}

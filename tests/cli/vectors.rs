//! `vectors`: results that hold, each way in which they do not, and results that mean harm.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

const NAMES: [&str; 17] = [
    "accumulated.json",
    "beacon.json",
    "certificate.json",
    "chunk.json",
    "context.json",
    "engram_index.json",
    "frame.json",
    "gist.json",
    "index.json",
    "ledger.json",
    "mirror.json",
    "mu16.json",
    "pack.json",
    "proof.json",
    "state.json",
    "stream.json",
    "whitening.json",
];

fn vectors(name: &str) -> Vec<u8> {
    fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/spec/vectors/").to_owned() + name).unwrap()
}

/// The cases of a file, which are results that hold.
fn cases(name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_slice(&vectors(name)).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case<'a>(cases: &'a mut [Value], id: &str) -> &'a mut Value {
    cases.iter_mut().find(|case| case["id"] == id).unwrap()
}

fn lines(results: &[Value]) -> String {
    results.iter().map(|result| format!("{result}\n")).collect()
}

/// Results of one file, partial.
fn judged(name: &str, results: &[Value]) -> Run {
    let folder = Folder::new();
    folder.put(name, lines(results));
    folder.bitwire("vectors check . --partial")
}

/// The lines that tell of a file: its sums, and what did not hold.
fn told<'a>(run: &'a Run, name: &str) -> Vec<&'a str> {
    let own = |line: &&str| line.starts_with(&format!("{name}: "));
    let lines = run.text().lines().skip_while(|line| !own(line));
    lines
        .enumerate()
        .take_while(|(i, line)| *i == 0 || line.starts_with("  "))
        .map(|(_, line)| line)
        .collect()
}

#[test]
fn what_is_written_holds_and_nothing_is_overwritten() {
    let folder = Folder::new();
    let wrote = folder.bitwire("vectors write vectors").good();
    assert!(wrote.text().starts_with("vectors: 17 files of vectors, "), "{}", wrote.text());
    for name in NAMES {
        assert!(folder.read(format!("vectors/{name}")) == vectors(name), "{name}");
    }
    // The vectors state what is right in the form of results.
    let checked = folder.bitwire("vectors check vectors").good();
    let lines: Vec<&str> = checked.text().lines().collect();
    assert_eq!(lines.len(), 18);
    for (line, name) in lines.iter().zip(NAMES) {
        let n = cases(name).len();
        assert_eq!(*line, format!("{name}: {n} of {n} cases held"));
    }
    let all: usize = NAMES.iter().map(|name| cases(name).len()).sum();
    assert_eq!(lines[17], format!("vectors: {all} of {all} cases held"));
    let said = folder.bitwire("vectors check vectors --json").good().json("vectors-check");
    assert_eq!(
        (&said["valid"], &said["held"], &said["folder"]),
        (&true.into(), &all.into(), &"vectors".into())
    );
    folder.bitwire("vectors write vectors").refused(
        "vectors/accumulated.json: is there already, and vectors overwrite nothing; name another folder",
    );
    let said = folder.bitwire("vectors write again --json").good().json("vectors-write");
    assert_eq!((&said["folder"], &said["files"]), (&"again".into(), &json!(NAMES)));
    folder.bitwire("vectors write no/such").refused("no/such: No such file or directory");
}

#[test]
fn what_does_not_hold_is_told() {
    let mut results = cases("frame.json");
    case(&mut results, "minimal")["verdict"] = "reject".into();
    case(&mut results, "crc-zero")["verdict"] = Value::Null;
    case(&mut results, "cut-0")["error"]["kind"] = "Magic".into();
    case(&mut results, "cut-5")["error"]["offset"] = 5.into();
    case(&mut results, "cut-6").as_object_mut().unwrap().remove("error");
    case(&mut results, "minimal-flags")["expect"]["rows"] = 77.into();
    case(&mut results, "example")["expect"]["tlvs"][2][1] = "46".into();
    case(&mut results, "context")["expect"]["tlvs"].as_array_mut().unwrap().pop();
    case(&mut results, "context-empty")["expect"].as_object_mut().unwrap().remove("crc");
    let twice = case(&mut results, "cut-7").clone();
    results.push(twice);
    results.push(json!({ "id": "no such case", "verdict": "accept" }));
    results.retain(|case| case["id"] != "cut-8");
    let all = cases("frame.json").len();
    let sums = |held: usize| format!("frame.json: {held} of {all} cases held");
    let folder = Folder::new();
    folder.put("frame.json", lines(&results));

    let run = folder.bitwire("vectors check .").invalid("");
    let wrong = [
        "  minimal: verdict is \"reject\", and has to be accept".to_owned(),
        "  minimal-flags: expect.rows is 77, and has to be 0".to_owned(),
        "  example: expect.tlvs[2][1] is \"46\", and has to be 46".to_owned(),
        "  context: expect.tlvs is a list of 3, and has to be a list of 4".to_owned(),
        "  context-empty: expect.crc is not said, and has to be 55401".to_owned(),
        "  cut-0: error.kind is \"Magic\", and has to be \"Truncated\"".to_owned(),
        "  cut-5: error.offset is 5, and has to be 4".to_owned(),
        "  cut-6: error is not said, and has to be {\"kind\":\"Truncated\",\"offset\":4}".to_owned(),
        "  cut-7: is there twice".to_owned(),
        "  cut-8: is missing".to_owned(),
        "  crc-zero: verdict is null, and has to be reject ({\"kind\":\"Crc\",\"offset\":53})".to_owned(),
        "  no such case: there is no such case".to_owned(),
    ];
    let mut expected = vec![
        sums(all - 11) + "; wrong verdict 2, wrong error 3, wrong value 4, missing 1, twice 1, unknown id 1",
    ];
    expected.extend(wrong.clone());
    assert_eq!(told(&run, "frame.json"), expected);
    // Of files that are not there.
    let n = cases("mirror.json").len();
    let missing = format!("mirror.json: 0 of {n} cases held; missing {n}");
    assert_eq!(told(&run, "mirror.json"), [&missing, "  mirror.json: is missing"]);
    let total: usize = NAMES.iter().map(|name| cases(name).len()).sum();
    assert_eq!(run.text().lines().last(), Some(&*format!(".: {} of {total} cases held", all - 11)));

    // What is not said is not judged: the error of cut-6, the crc of context-empty, cut-8, and all other files.
    let run = folder.bitwire("vectors check . --partial").invalid("");
    let of_partial = |line: &&String| {
        !["cut-6", "cut-8", "context-empty"].iter().any(|id| line.starts_with(&format!("  {id}:")))
    };
    let mut expected = vec![
        sums(all - 9) + "; wrong verdict 2, wrong error 2, wrong value 3, missing 1, twice 1, unknown id 1",
    ];
    expected.extend(wrong.iter().filter(of_partial).cloned());
    assert_eq!(told(&run, "frame.json"), expected);
    assert_eq!(told(&run, "mirror.json"), [&missing]);

    // The same as JSON.
    let run = folder.bitwire("vectors check . --json").invalid("");
    let json = run.json("vectors-check");
    assert_eq!((&json["valid"], json["held"].as_u64()), (&false.into(), Some(all as u64 - 11)));
    let file = &json["files"][6];
    for (name, count) in [
        ("wrong_verdict", 2),
        ("wrong_error", 3),
        ("wrong_value", 4),
        ("missing", 1),
        ("twice", 1),
        ("unknown", 1),
    ] {
        assert_eq!(file[name], count, "{name}");
    }
    assert_eq!((&file["file"], &file["problem"]), (&"frame.json".into(), &Value::Null));
    assert_eq!(
        file["failures"][1],
        json!({ "id": "minimal-flags", "what": "wrong-value", "member": "expect.rows", "said": "77", "stated": "0" })
    );
    assert_eq!(file["failures"][11], json!({ "id": "no such case", "what": "unknown" }));

    // More than a screen of them only if asked for.
    results.iter_mut().for_each(|case| case["verdict"] = "maybe".into());
    folder.put("frame.json", lines(&results));
    let run = folder.bitwire("vectors check .").invalid("");
    let told_of = told(&run, "frame.json");
    assert_eq!(
        (told_of.len(), told_of[21]),
        (22, &*format!("  and {} others; --all tells more", all + 1 - 20))
    );
    let run = folder.bitwire("vectors check . --all").invalid("");
    assert_eq!(told(&run, "frame.json").len(), all + 2);
    let json = folder.bitwire("vectors check . --json").invalid("").json("vectors-check");
    assert_eq!(json["files"][6]["failures_left_out"], all + 1 - 20);
}

/// Every member that says what was found is compared, in every view.
#[test]
fn every_answer_is_judged() {
    let mut views = std::collections::BTreeSet::new();
    // Of each view a result that accepts and one that rejects, with the answers alone.
    let mut results = Vec::new();
    for name in NAMES {
        for case in cases(name) {
            let (view, verdict) = (case["view"].as_str().unwrap(), case["verdict"].as_str().unwrap());
            if !views.insert((view.to_owned(), verdict.to_owned())) {
                continue;
            }
            let answers: &[&str] = match (view, verdict) {
                ("ledger+index", "reject") => &["error", "damaged"],
                (_, "reject") => &["error"],
                ("quantise", _) => &["q", "saturated", "dequantised_hex"],
                ("auto", _) => &["delta_q16"],
                ("pack", _) => &["hex", "tokens"],
                ("choose", _) => &["encoding", "element", "bits", "hex"],
                _ => &["expect"],
            };
            let mut result = json!({ "id": case["id"], "verdict": verdict });
            for answer in answers {
                assert!(!case[*answer].is_null(), "{name}: {case}");
                result[*answer] = case[*answer].clone();
            }
            results.push((name, answers, result));
        }
    }
    assert!(views.len() > 50, "{views:?}");
    let folder = Folder::new();
    let put = |results: &[(&str, &[&str], Value)]| {
        for name in NAMES {
            let own = results.iter().filter(|(of, ..)| *of == name);
            folder.put(name, lines(&own.map(|(.., result)| result.clone()).collect::<Vec<_>>()));
        }
    };
    put(&results);
    let run = folder.bitwire("vectors check . --partial").good();
    let held = format!(".: {} of ", results.len());
    assert!(run.text().lines().last().unwrap().starts_with(&held), "{}", run.text());
    // Each answer of all views wrong at once, the others right.
    for i in 0..4 {
        let mut wrong = results.clone();
        let mut expected = Vec::new();
        for (name, answers, result) in &mut wrong {
            if let Some(answer) = answers.get(i) {
                result[*answer] = json!("wrong");
                let id = result["id"].as_str().unwrap();
                expected.push((*name, format!("  {id}: {answer} is \"wrong\", and has to be ")));
            }
        }
        put(&wrong);
        let run = folder.bitwire("vectors check . --partial").invalid("");
        for (name, line) in &expected {
            assert!(told(&run, name).iter().any(|told| told.starts_with(line)), "{name} {line} {run:?}");
        }
        let held = format!(".: {} of ", results.len() - expected.len());
        assert!(run.text().lines().last().unwrap().starts_with(&held), "{}", run.text());
    }
}

#[test]
fn what_the_documents_leave_open_is_left_open() {
    // No offset is stated of text that is no context, nor is there one of values.
    let mut results = cases("context.json");
    let open =
        results.iter_mut().filter(|case| case["error"].is_object() && case["error"]["offset"].is_null());
    open.for_each(|case| case["error"]["offset"] = 3.into());
    let run = judged("context.json", &results);
    assert_eq!(run.status, Some(0), "{run:?}");
    // The order of sums of errors is not stated, so that the last digits differ.
    for (times, status) in [(1.0 + 1e-13, 0), (1.0 + 1e-11, 1)] {
        let mut results = cases("gist.json");
        for case in results.iter_mut().filter(|case| case["view"] == "store" && case["verdict"] == "accept") {
            let bits = u64::from_str_radix(case["expect"]["rms_error"].as_str().unwrap(), 16).unwrap();
            let off = (f64::from_bits(bits) * times).to_bits();
            case["expect"]["rms_error"] = format!("{off:016x}").into();
        }
        assert_eq!(judged("gist.json", &results).status, Some(status), "{times}");
    }
    // What the vectors do not have is not looked at.
    let mut results = cases("pack.json");
    results.iter_mut().for_each(|case| case["seconds"] = 0.5.into());
    assert_eq!(judged("pack.json", &results).status, Some(0));
}

#[test]
fn lines_lists_and_white_space_are_the_same() {
    let results = cases("pack.json");
    let folder = Folder::new();
    let halves = results.split_at(100);
    for text in [
        serde_json::to_string_pretty(&json!({ "format": "mine", "cases": results })).unwrap(),
        format!("{}\r\n\r\n{}", json!({ "cases": halves.0 }), lines(halves.1)),
        results.iter().map(Value::to_string).collect::<String>(),
    ] {
        folder.put("pack.json", text);
        let run = folder.bitwire("vectors check . --partial").good();
        assert_eq!(told(&run, "pack.json"), [format!("pack.json: {0} of {0} cases held", results.len())]);
    }
}

/// What JSON says of a frame.json that cannot be read.
fn problem(folder: &Folder) -> String {
    let json = folder.bitwire("vectors check . --json").json("vectors-check");
    assert_eq!(json["valid"], false);
    json["files"][6]["problem"].as_str().unwrap().to_owned()
}

#[test]
fn results_that_cannot_be_read() {
    let folder = Folder::new();
    folder.bitwire("vectors check missing").refused("missing: No such file or directory");
    folder.bitwire("vectors check -").refused("a folder is needed, not a stream (-)");
    folder.bitwire("vectors write -").refused("a folder is needed, not a stream (-)");
    let none = "has no results: a file of the name of one of the vectors is needed, such as frame.json";
    for line in ["vectors check .", "vectors check . --partial"] {
        folder.bitwire(line).refused(&format!(".: {none}"));
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!(
        "{}1{}",
        r#"{"id":"cut-0","expect":"#.to_owned() + &r#"{"a":"#.repeat(100_000),
        "}".repeat(100_001)
    );
    for (text, message) in [
        (&b"nonsense"[..], "not JSON: expected ident at line 1 column "),
        (b"{\"id\":\"cut-0\"", "not JSON: EOF while parsing an object at line 1 column "),
        (b"{\"id\":\"cut\xff\"}", "not JSON: invalid unicode code point at line 1 column "),
        (b"\xef\xbb\xbf{}", "not JSON: expected value at line 1 column "),
        (b"{}", "a result is an object with an id, not {}"),
        (b"17", "a result is an object with an id, not 17"),
        (b"{\"id\":7}", "a result is an object with an id, not {\"id\":7}"),
        (b"{\"cases\":[[]]}", "a result is an object with an id, not []"),
        (b"\"\\u001b[2J\\u202e\"", r#"a result is an object with an id, not "\\u001b[2J\u{202e}""#),
        (deep.as_bytes(), "not JSON: recursion limit exceeded at line 1 column "),
        (deep_object.as_bytes(), "not JSON: recursion limit exceeded at line 1 column "),
    ] {
        folder.put("frame.json", text);
        // What can be read is judged all the same.
        folder.put("pack.json", vectors("pack.json"));
        let run = folder.bitwire("vectors check .");
        assert_eq!((run.status, run.err.lines().count()), (Some(2), 1));
        assert!(run.err.starts_with(&format!("bitwire: ./frame.json: {message}")), "{run:?}");
        let n = cases("pack.json").len();
        assert_eq!(told(&run, "pack.json"), [format!("pack.json: {n} of {n} cases held")]);
        assert!(told(&run, "frame.json").is_empty());
        assert_eq!(run.err, format!("bitwire: {}\n", problem(&folder)));
    }
    // So many unknown ids that telling all of them would take memory.
    folder.put("frame.json", r#"{"id":""}"#.repeat(3000));
    let run = folder.bitwire("vectors check . --partial --all").invalid("");
    let lines = told(&run, "frame.json");
    assert!(lines[0].ends_with(", unknown id 3000") && lines.len() == 1002, "{}", lines[0]);
    assert_eq!((lines[1000], lines[1001]), ("  : there is no such case", "  and 2000 others"));
    // As long as is allowed, and a byte longer.
    for (len, message) in [
        (
            8 << 20,
            "a result is an object with an id, not [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0...",
        ),
        ((8 << 20) + 1, "is longer than 8388608 bytes, the most of a file of results"),
    ] {
        let mut text = b"[0".to_vec();
        text.extend(b",0".repeat(4 << 20));
        text.truncate(len - 2);
        text.extend(vec![b' '; len - 1 - text.len()]);
        text.push(b']');
        if text[text.len() - 3] == b',' {
            let at = text.len() - 3;
            text[at] = b' ';
        }
        folder.put("frame.json", text);
        let run = folder.bitwire("vectors check .");
        assert_eq!((run.status, run.err), (Some(2), format!("bitwire: ./frame.json: {message}\n")));
    }
    fs::remove_file(folder.path("frame.json")).unwrap();
    fs::create_dir(folder.path("frame.json")).unwrap();
    let run = folder.bitwire("vectors check .");
    assert_eq!((run.status, run.err.as_str()), (Some(2), "bitwire: ./frame.json: is no file\n"));
}

#[cfg(unix)]
#[test]
fn what_stands_for_a_file_of_results() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    folder.put("pack.json", vectors("pack.json"));
    symlink("nowhere", folder.path("frame.json")).unwrap();
    let run = folder.bitwire("vectors check . --partial");
    assert_eq!(
        (run.status, run.err.as_str()),
        (Some(2), "bitwire: ./frame.json: No such file or directory\n")
    );
    fs::remove_file(folder.path("frame.json")).unwrap();
    // Whoever opens a pipe waits for a writer; whoever reads a terminal or /dev/zero waits for ever.
    for special in ["mkfifo frame.json", "ln -s /dev/zero frame.json"] {
        assert_eq!(folder.sh(special).status, Some(0));
        let run = folder.bitwire("vectors check . --partial");
        assert_eq!((run.status, run.err.as_str()), (Some(2), "bitwire: ./frame.json: is no file\n"));
        fs::remove_file(folder.path("frame.json")).unwrap();
    }
    symlink("pack.json", folder.path("frame.json")).unwrap();
    let n = cases("pack.json").len();
    let run = folder.bitwire("vectors check . --partial").invalid("");
    assert!(
        told(&run, "frame.json")[0]
            .ends_with(&format!("; missing {}, unknown id {n}", cases("frame.json").len()))
    );
    // To write onto a link would write somewhere else.
    fs::create_dir(folder.path("out")).unwrap();
    symlink("../elsewhere", folder.path("out/mu16.json")).unwrap();
    folder
        .bitwire("vectors write out")
        .refused("out/mu16.json: is there already, and vectors overwrite nothing; name another folder");
    assert!(!folder.path("elsewhere").exists() && !folder.path("out/beacon.json").exists());
}

#[test]
fn strangers_are_named_and_left_alone() {
    let folder = Folder::new();
    folder.put("pack.json", vectors("pack.json"));
    folder.put("frames.json", "nonsense");
    folder.put("readme.txt", "nonsense");
    let run = folder.bitwire("vectors check . --partial");
    assert_eq!(
        (run.status, run.err.as_str()),
        (Some(0), "bitwire: ./frames.json: there are no vectors of this name\n")
    );
    for i in 0..9 {
        folder.put(format!("more-{i}.json"), "");
    }
    let run = folder.bitwire("vectors check . --partial");
    assert_eq!((run.err.lines().count(), run.err.lines().last()), (6, Some("bitwire: 5 more such files")));
}

#[cfg(unix)]
#[test]
fn names_and_ids_cannot_steer_a_terminal() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let name = OsStr::from_bytes(b"\x1b[2J\xff");
    fs::create_dir(folder.path(name)).unwrap();
    let stranger = std::path::Path::new(name).join(OsStr::from_bytes(b"\x1b]0;x\x07\xfe.json"));
    folder.put(&stranger, "");
    let mut results = cases("frame.json");
    case(&mut results, "minimal")["verdict"] = "\u{1b}[31m\u{202e}\n".into();
    case(&mut results, "minimal-flags")["expect"]["ctx"] = "\u{9b}2J\u{7f}".into();
    results.push(json!({ "id": "\u{1b}[2J\n\u{202e}x\\" }));
    results.push(json!({ "id": "x".repeat(1_000_000) }));
    folder.put(std::path::Path::new(name).join("frame.json"), lines(&results));
    let run = |more: &[&str]| {
        folder.run(
            [OsStr::new("vectors"), OsStr::new("check"), name].into_iter().chain(more.iter().map(OsStr::new)),
        )
    };
    let text = run(&["--partial"]);
    let shown = r"\u{1b}[2J\xff";
    assert_eq!(
        text.err,
        format!("bitwire: {shown}/\\u{{1b}}]0;x\\u{{7}}\\xfe.json: there are no vectors of this name\n")
    );
    assert_eq!(
        &told(&text, "frame.json")[1..],
        [
            r#"  minimal: verdict is "\\u001b[31m\u{202e}\\n", and has to be accept"#.to_owned(),
            r#"  minimal-flags: expect.ctx is "\u{9b}2J\u{7f}", and has to be "a0a1a2a3a4a5a6a7""#.to_owned(),
            r"  \u{1b}[2J\u{a}\u{202e}x\\: there is no such case".to_owned(),
            format!("  {}...: there is no such case", "x".repeat(72)),
        ]
    );
    assert!(text.text().lines().last().unwrap().starts_with(&format!("{shown}: ")));
    let json = run(&["--json"]);
    let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for said in [&text, &json] {
        assert_eq!(said.status, Some(1));
        assert!(!said.text().contains(stray) && !said.err.contains(stray), "{said:?}");
    }
    let json = json.json("vectors-check");
    assert_eq!((&json["folder"], &json["files"][6]["unknown"]), (&shown.into(), &2.into()));
}

//! Arguments that make no sense, and names that cannot be written.

use crate::support::*;

#[track_caller]
fn emit(folder: &Folder, options: &[&str]) -> Run {
    folder.run(["beacon", "emit", "small.npy", "out.bit"].iter().chain(options))
}

#[test]
fn a_step_is_auto_or_a_whole_number() {
    let folder = with_small();
    for bad in ["0", "-1", "4294967296", "abc", "", "1.5", "0x10", "AUTO", "99999999999999999999"] {
        let message = format!(
            "error: invalid value '{bad}' for '--delta-q16 <N|auto>': \
                               has to be auto or a number from 1 to 4294967295"
        );
        emit(&folder, &["--delta-q16", bad]).usage(&message);
        emit(&folder, &[&format!("--delta-q16={bad}")]).usage(&message);
    }
    folder.bitwire("scl import x.npz out.bit").usage("required arguments were not provided");
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
    for good in ["1", "4294967295", "auto"] {
        emit(&folder, &["--delta-q16", good]);
        assert!(folder.path("out.bit").exists());
    }
}

#[test]
fn a_step_too_small_saturates_and_says_so() {
    let folder = with_small();
    folder.put("large.npy", npy("<f8", false, &[2, 3], &f64s([1.0, 100.0, -7.0, 1.0, 100.0, -7.0])));
    // One step of 2^-16 reaches 0.5.
    let run = folder.bitwire("beacon emit large.npy out.bit --delta-q16 1");
    let hint = "a larger --delta-q16, or auto, holds them";
    let warning = format!("bitwire: warning: 3 components of the mean saturate; {hint}\n");
    assert_eq!((run.status, run.err), (Some(0), warning));
    let run = folder.bitwire("beacon emit large.npy out.bit --delta-q16 1 --json");
    assert_eq!(run.json("beacon-emit")["saturated"], 3);
    let shown = folder.bitwire("beacon show out.bit --json").good().json("beacon-show");
    assert_eq!(numbers(&shown["payload_row_0"]), [32767.0, 32767.0, -32768.0].map(|x| x / 65536.0));
    let shown = folder.bitwire("beacon emit large.npy out.bit --json").good().json("beacon-emit");
    assert_eq!(shown["saturated"], 0);
    // The smallest step at which 100 is at most 32767.5 steps, rounded to even: 100 * 65536 / 201 = 32604.9.
    assert_eq!(shown["delta_q16"], 201);
}

#[test]
fn more_of_sigma_than_fits_is_an_error_that_names_the_largest_dim() {
    let folder = with_embeddings();
    folder
        .bitwire("beacon emit window.npy out.bit --sigma full")
        .refused("window.npy: dim, with the full Sigma, is 384, the largest possible is 180");
    folder
        .bitwire("beacon emit window.npy out.bit --sigma half")
        .usage("invalid value 'half' for '--sigma <SIGMA>'");
    assert_eq!(folder.names(), ["baseline.npy", "window.npy"]);
}

#[test]
fn numbers_are_finite_and_in_order() {
    let folder = with_small();
    for bad in ["NaN", "inf", "1e999", "one", ""] {
        for option in ["--sds-threshold", "--t0", "--t1"] {
            emit(&folder, &[option, bad]).usage(&format!(
                "error: invalid value '{bad}' for '{option} <F>': \
                                                          has to be a finite number"
            ));
        }
    }
    for bad in ["NaN", "inf", "-1", "-0.5", "x"] {
        for option in ["--sds-w-mu", "--sds-w-trs"] {
            emit(&folder, &[option, bad]).usage(&format!(
                "error: invalid value '{bad}' for '{option} <F>': \
                                                          has to be a finite number of at least 0"
            ));
        }
    }
    emit(&folder, &["--t0", "2", "--t1", "1"]).refused("--t1 1 is before --t0 2");
    emit(&folder, &["--t1", "-1"]).refused("--t1 -1 is before --t0 0");
    for bad in ["-1", "x", "1.5", "18446744073709551616"] {
        emit(&folder, &["--max-rows", bad])
            .usage(&format!("error: invalid value '{bad}' for '--max-rows <N>'"));
    }
    for bad in ["0", "-1", "x", "18446744073709551616"] {
        let whole = "has to be a whole number from 1 to 18446744073709551615";
        let message = format!("error: invalid value '{bad}' for '--shards <N>': {whole}");
        folder.run(["route", "small.npy", "--shards", bad]).usage(&message);
    }
    // Finite weights whose sum is not.
    emit(&folder, &["--sds-w-trs", "1.7e308", "--sds-w-mu", "1.7e308"])
        .usage("bitwire: small.npy: SDS is not finite");
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
    let shown = emit(&folder, &["--t0", "-3", "--json"]).good().json("beacon-emit");
    assert_eq!((&shown["calibration"]["t0"], &shown["calibration"]["t1"]), (&(-3.0).into(), &(-3.0).into()));
}

#[test]
fn a_context_is_three_ids_and_an_object() {
    let folder = with_small();
    for (json, message) in [
        (r#"{"a":1,"a":2}"#, "context: an object repeats a member (at byte 12)"),
        (r#"{"a":{"b":1,"b":1}}"#, "context: an object repeats a member"),
        ("[1]", "context: the further members have to be a JSON object (at byte 0)"),
        ("7", "context: the further members have to be a JSON object (at byte 0)"),
        (r#"{"dim":3}"#, "context: dim and the three ids are given apart from the further members"),
        (r#"{"model_id":"m"}"#, "context: dim and the three ids are given apart from the further members"),
        (r#"{"a":1.5}"#, "context: numbers have to be integers of magnitude up to 2^53 - 1"),
        (r#"{"a":9007199254740992}"#, "context: numbers have to be integers of magnitude up to 2^53 - 1"),
        ("{", "context: not JSON"),
        (r#"{"a":1} {}"#, "context: not JSON"),
        ("", "context: not JSON"),
    ] {
        emit(&folder, &["--context", json]).usage(&format!("bitwire: {message}"));
    }
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    emit(&folder, &["--context", &deep]).usage("bitwire: context: ");
    let long = "x".repeat(70_000);
    emit(&folder, &[&long, "m", "p"]).usage("bitwire: ");
    for (options, message) in [
        (&["docs"][..], "required arguments were not provided"),
        (&["docs", "m"], "required arguments were not provided"),
        (&["docs", "m", "pi", "more"], "unexpected argument 'more'"),
        (&["docs", "m", "pi", "--space", "x"], "'[SPACE]' cannot be used with '--space <SPACE>'"),
        (&["docs", "m", "pi", "--model", "x"], "'[SPACE]' cannot be used with '--model <MODEL>'"),
        (&["docs", "m", "pi", "--pi", "x"], "'[SPACE]' cannot be used with '--pi <PI>'"),
        (&["--space", "x", "--space", "y"], "cannot be used multiple times"),
    ] {
        emit(&folder, options).usage(message);
    }
    assert_eq!(folder.names(), ["other.npy", "small.npy"]);
    // One id by name leaves the others empty.
    let shown = emit(&folder, &["--model", "m", "--json"]).good().json("beacon-emit");
    assert_eq!(
        shown["context"],
        serde_json::json!({ "dim": 3, "model_id": "m", "pi_id": "", "space_id": "" })
    );
}

#[test]
fn a_verb_is_needed_and_known() {
    let folder = Folder::new();
    folder.bitwire("nonsense").usage("unrecognized subcommand 'nonsense'");
    folder.bitwire("beacon nonsense").usage("unrecognized subcommand 'nonsense'");
    folder.bitwire("beacon").usage("Make and read drift beacons");
    folder.run::<&str>([]).usage("Compact, verifiable formats");
    folder.bitwire("verify --nonsense").usage("unexpected argument '--nonsense'");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let folder = with_small();
    folder.bitwire("beacon emit small.npy in.bit").good();
    folder.bitwire("scl export in.bit in.npz").good();
    std::fs::create_dir(folder.path("sub")).unwrap();
    let before = folder.names();
    for verb in
        ["beacon emit small.npy OUT", "scl export in.bit OUT", "scl import in.npz OUT --delta-q16 auto"]
    {
        for (out, message) in [
            ("sub", "sub: is a directory"),
            (".", ".: is a directory"),
            ("sub/", "sub/: is a directory"),
            ("none/out.bit", "none: No such file or directory"),
            ("in.bit/out.bit", "in.bit/out.bit: Not a directory"),
            ("/dev/full", "/dev/full: not a file: a whole file cannot be put in its place"),
        ] {
            folder.bitwire(&verb.replace("OUT", out)).refused(message);
        }
        for json in ["", " --json"] {
            folder.bitwire(&format!("{}{json}", verb.replace("OUT", "sub"))).refused("sub: is a directory");
        }
    }
    assert_eq!(folder.names(), before);
    assert_eq!(std::fs::read_dir(folder.path("sub")).unwrap().count(), 0);
}

#[test]
fn an_input_that_cannot_be_opened_is_named() {
    let folder = with_small();
    folder.bitwire("beacon emit small.npy in.bit").good();
    for verb in ["beacon emit IN out.bit", "beacon show IN", "route IN", "verify IN", "scl export IN out.npz"]
    {
        folder.bitwire(&verb.replace("IN", "none")).refused("none: No such file or directory");
        folder.bitwire(&verb.replace("IN", ".")).refused(".: Is a directory");
        folder.bitwire(&verb.replace("IN", "in.bit/x")).refused("in.bit/x: Not a directory");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        folder.put("closed", "");
        std::fs::set_permissions(folder.path("closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
        // To root no file is closed.
        if std::fs::read(folder.path("closed")).is_err() {
            for verb in ["beacon emit IN out.bit", "beacon show IN", "route IN", "verify IN"] {
                folder.bitwire(&verb.replace("IN", "closed")).refused("closed: Permission denied");
            }
        }
    }
    assert!(!folder.path("out.bit").exists() && !folder.path("out.npz").exists());
}

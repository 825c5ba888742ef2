//! From a window of vectors to a beacon and back, and that every number on the way is right.

use std::io::{Cursor, Read};

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use serde_json::{Value, json};

use crate::support::*;

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut sum = vec![0.0; rows[0].len()];
    for row in rows {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sum.iter().map(|sum| sum / rows.len() as f64).collect()
}

/// The sum of the columns' sample variances, in two passes.
fn trace(rows: &[Vec<f64>]) -> f64 {
    let mean = mean(rows);
    let squares = rows.iter().flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| (x - mean) * (x - mean)));
    squares.sum::<f64>() / (rows.len() - 1) as f64
}

fn norm(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// RESULTS_V1 as spec/beacon.md defines it, from the rows.
#[track_caller]
fn check_results(results: &Value, mu: &[f64], reference: &[f64], tr_sigma: f64, weights: [f64; 2]) {
    let norm_dmu = norm(mu.iter().zip(reference).map(|(a, b)| a - b));
    let dot: f64 = mu.iter().zip(reference).map(|(a, b)| a * b).sum();
    let cos_mu = dot / (norm(mu.iter().copied()) * norm(reference.iter().copied()));
    close(results["norm_dmu"].clone(), norm_dmu, 1e-9);
    close(results["cos_mu"].clone(), cos_mu, 1e-9);
    close(results["tr_Sigma"].clone(), tr_sigma, 1e-9);
    close(results["SDS"].clone(), weights[0] * norm_dmu + weights[1] * tr_sigma, 1e-9);
    assert_eq!(results["weights"], json!({ "mu": weights[0], "trS": weights[1] }));
}

#[test]
fn a_window_goes_to_a_beacon_to_numpy_and_back() {
    let folder = with_embeddings();
    let emitted = folder
        .bitwire("beacon emit window.npy out.bit docs minilm en --t0 1 --t1 2.5")
        .good()
        .text()
        .to_owned();
    let line = "out.bit: valid: beacon, ";
    let verified = folder.bitwire("verify out.bit").good();
    assert!(verified.text().starts_with(line), "{verified:?}");
    assert!(verified.text().ends_with("CRC ok, digest ok, no HMAC\n"));
    // What was said of it when it was written is what is said of it when it is read.
    assert_eq!(folder.bitwire("beacon show out.bit").good().text(), emitted);
    for part in [
        "file        out.bit\n",
        r#"{"dim":384,"model_id":"minilm","pi_id":"en","space_id":"docs"}"#,
        "window      W 100, t0 1, t1 2.5\n",
        "reference   window-half\n",
        "(no threshold)\n",
    ] {
        assert!(emitted.contains(part), "{emitted}");
    }

    let routed = folder.bitwire("route out.bit").good().text().to_owned();
    let frame = folder.read("out.bit");
    // Header and payload are all but the CRC.
    let key: [u8; 32] = Blake2b::<U32>::digest(&frame[..frame.len() - 2]).into();
    assert_eq!(routed, key.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    let shard = u64::from_be_bytes(key[..8].try_into().unwrap()) % 16;
    assert_eq!(
        folder.bitwire("route out.bit --shards 16").good().text(),
        format!("{} {shard}\n", routed.trim_end())
    );

    let exported = folder.bitwire("scl export out.bit out.npz").good();
    assert_eq!(exported.text(), "out.npz: mu (384,), Sigma (384, 384) diagonal, W 100, t0 1, t1 2.5\n");
    let numpy = numpy_says("window.json");
    let member = |name: &str| {
        let mut archive = zip::ZipArchive::new(Cursor::new(folder.read("out.npz"))).unwrap();
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        let data = &bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..];
        data.as_chunks::<8>().0.iter().map(|&x| f64::from_le_bytes(x)).collect::<Vec<_>>()
    };
    // A beacon carries f32.
    for (ours, theirs) in member("mu.npy").into_iter().zip(numbers(&numpy["mean"])) {
        close(ours, theirs, 6e-8);
    }
    let sigma = member("Sigma.npy");
    for (i, theirs) in numbers(&numpy["variances"]).into_iter().enumerate() {
        // One of the columns is constant but for a variance of 4e-66, which is 0 in f32.
        assert!((sigma[i * 385] - theirs).abs() <= 6e-8 * theirs + 1e-45, "{i}: {} {theirs}", sigma[i * 385]);
    }
    assert!(sigma.iter().enumerate().all(|(at, &x)| at % 385 == 0 || x == 0.0), "no covariances");
    assert_eq!([member("W.npy"), member("t0.npy"), member("t1.npy")].concat(), [100.0, 1.0, 2.5]);

    let imported = folder.bitwire("scl import out.npz back.bit docs minilm en --delta-q16 auto").good();
    assert!(imported.text().contains("reference   none\n"));
    folder.bitwire("verify out.bit back.bit").good();
    let before = folder.bitwire("beacon show out.bit --json").good().json("beacon-show");
    let after = folder.bitwire("beacon show back.bit --json").good().json("beacon-show");
    for same in ["dim", "delta_q16", "ctx", "context", "calibration", "mean", "payload_row_0"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert_eq!(after["results"]["SDS"], Value::Null);
    assert_eq!(folder.names(), ["back.bit", "baseline.npy", "out.bit", "out.npz", "window.npy"]);
}

#[test]
fn the_mean_and_its_mu16_are_those_of_numpy() {
    let folder = with_embeddings();
    let shown =
        folder.bitwire("beacon emit window.npy out.bit --delta-q16 3 --json").good().json("beacon-emit");
    let numpy = numpy_says("window.json");
    close(shown["calibration"]["trace"].clone(), numpy["trace"].as_f64().unwrap(), 1e-7);
    close(shown["results"]["tr_Sigma"].clone(), numpy["trace"].as_f64().unwrap(), 1e-9);
    assert_eq!((&shown["rows"], &shown["dim"], &shown["delta_q16"]), (&json!(1), &json!(384), &json!(3)));
    let payload = folder.bitwire("beacon show out.bit --json").good().json("beacon-show");
    let (mean, payload) = (numbers(&shown["mean"]), numbers(&payload["payload_row_0"]));
    for ((theirs, mean), payload) in numbers(&numpy["mean"]).into_iter().zip(mean).zip(payload) {
        assert!((mean - theirs).abs() <= 6e-8 * theirs.abs());
        // Half a step, and the rounding of the mean to f32.
        assert!((payload - theirs).abs() <= 1.5 / 65536.0 + 1e-8);
        assert_eq!((payload * 65536.0) % 3.0, 0.0, "a whole number of steps");
    }
}

#[test]
fn drift_is_that_of_the_window_halves() {
    let folder = with_embeddings();
    let rows = rows("window.npy");
    for max in [2, 3, 99, 100, 1000] {
        let run = folder.bitwire(&format!(
            "beacon emit window.npy out.bit --max-rows {max} --sds-w-mu 0.25 --sds-w-trs 3 --json"
        ));
        let shown = run.good().json("beacon-emit");
        let rows = &rows[..rows.len().min(max)];
        let (first, second) = rows.split_at(rows.len() / 2);
        check_results(&shown["results"], &mean(second), &mean(first), trace(rows), [0.25, 3.0]);
        assert_eq!(shown["results"]["reference"], "window-half");
        assert_eq!(shown["calibration"]["W"], rows.len() as f64);
        assert_eq!(shown["baseline"], false);
    }
}

#[test]
fn drift_is_that_from_a_baseline() {
    let folder = with_embeddings();
    let (window, baseline) = (rows("window.npy"), mean(&rows("baseline.npy")));
    let (mu, tr_sigma) = (mean(&window), trace(&window));

    let shown = folder.bitwire("beacon emit window.npy out.bit --baseline baseline.npy --json").good();
    let shown = shown.json("beacon-emit");
    check_results(&shown["results"], &mu, &baseline, tr_sigma, [1.0, 1.0]);
    assert_eq!((&shown["results"]["reference"], &shown["baseline"]), (&json!("baseline"), &json!(true)));

    // A beacon of the baseline keeps its mean as f32, or in MU16 alone if it is imported so.
    folder.bitwire("beacon emit baseline.npy baseline.bit").good();
    let shown = folder.bitwire("beacon emit window.npy out.bit --baseline baseline.bit --json").good();
    let single: Vec<f64> = baseline.iter().map(|&x| f64::from(x as f32)).collect();
    check_results(&shown.json("beacon-emit")["results"], &mu, &single, tr_sigma, [1.0, 1.0]);

    // The window against itself has not moved.
    let shown =
        folder.bitwire("beacon emit window.npy out.bit --baseline window.npy --sds-w-trs 0 --json").good();
    let results = &shown.json("beacon-emit")["results"];
    assert_eq!(results["SDS"], 0.0);
    close(results["cos_mu"].clone(), 1.0, 1e-12);
}

#[test]
fn one_row_is_a_window_only_beside_a_baseline() {
    let folder = with_small();
    let shown = folder.bitwire("beacon emit other.npy out.bit --baseline small.npy --json").good();
    let shown = shown.json("beacon-emit");
    assert_eq!(shown["results"]["tr_Sigma"], 0.0);
    assert_eq!(shown["mean"], json!([0.5, -1.0, 0.25]));
    assert_eq!(numbers(&shown["calibration"]["Sigma"]), [0.0; 6]);
    folder
        .bitwire("beacon emit other.npy none.bit")
        .refused("other.npy: a window of 1 rows; at least 2 are needed, or 1 with --baseline");
    assert_eq!(folder.names(), ["other.npy", "out.bit", "small.npy"]);
}

#[test]
fn the_share_of_sigma_is_the_one_asked_for() {
    let folder = with_embeddings();
    for (sigma, name, count) in [("none", "none", 0), ("trace", "trace", 1), ("diag", "diagonal", 384)] {
        let run = folder.bitwire(&format!("beacon emit window.npy out.bit --sigma {sigma} --json")).good();
        let calibration = &run.json("beacon-emit")["calibration"];
        assert_eq!(calibration["sigma"], name);
        assert_eq!(calibration["Sigma"].as_array().unwrap().len(), count);
        let exported = folder.bitwire("scl export out.bit out.npz");
        assert_eq!(exported.status, Some(0));
        let zeros = "bitwire: out.bit carries no covariances; Sigma is written as zeros\n";
        assert_eq!(exported.err, if count > 1 { "" } else { zeros });
    }
    let folder = with_small();
    let run = folder.bitwire("beacon emit small.npy out.bit --sigma full --json").good();
    assert_eq!(run.json("beacon-emit")["calibration"]["Sigma"].as_array().unwrap().len(), 6);
}

#[test]
fn an_alert_is_status_1_and_the_beacon_is_written() {
    let folder = with_embeddings();
    let alert = "bitwire: ALERT: the drift is at or over the threshold\n";
    let plain = folder.bitwire("beacon emit window.npy out.bit").good().text().to_owned();
    let sds = plain.lines().find_map(|line| line.strip_prefix("SDS ")).unwrap();
    let sds: f64 = sds.trim().split(' ').next().unwrap().parse().unwrap();
    for (threshold, over) in
        [(sds, true), (sds.next_up(), false), (sds / 2.0, true), (-1.0, true), (1e6, false)]
    {
        let _ = std::fs::remove_file(folder.path("out.bit"));
        let line = format!("beacon emit window.npy out.bit --sds-threshold {threshold}");
        let run = folder.bitwire(&line);
        let run = if over { run.invalid(alert) } else { run.good() };
        assert!(run.text().contains(if over { ": ALERT\n" } else { ": no alert\n" }), "{run:?}");
        // The flag can be read without a key and without the matrix; a beacon with an alert is a valid one.
        folder.bitwire("verify out.bit").good();
        let shown = folder.bitwire("beacon show out.bit --json").good().json("beacon-show");
        assert_eq!(shown["alert"], over);
        assert_eq!(shown["results"]["thresholds"], json!({ "SDS": threshold }));
        assert_eq!(folder.names(), ["baseline.npy", "out.bit", "window.npy"]);
    }
}

#[test]
fn json_of_every_verb_is_one_object_that_names_its_schema() {
    let folder = with_embeddings();
    let json = |verb: &str, line: &str| folder.bitwire(line).good().json(verb);
    json("beacon-emit", "beacon emit window.npy out.bit a b c --json");
    let shown = json("beacon-show", "beacon show out.bit --json");
    assert_eq!(shown["file"], "out.bit");
    assert_eq!(shown["bytes"], folder.read("out.bit").len());
    assert_eq!(shown["context"], json!({ "dim": 384, "space_id": "a", "model_id": "b", "pi_id": "c" }));
    let verified = json("verify", "verify out.bit out.bit --json");
    assert_eq!(verified["valid"], true);
    assert_eq!(verified["files"].as_array().unwrap().len(), 2);
    assert_eq!(verified["files"][1]["frames"][0]["kind"], "beacon");
    let routed = json("route", "route out.bit --shards 7 --json");
    assert!(routed["frames"][0]["shard"].as_u64().unwrap() < 7);
    json("inspect", "inspect out.bit --json");
    json("scl-export", "scl export out.bit out.npz --json");
    json("scl-import", "scl import out.npz back.bit a b c --delta-q16 auto --json");

    // Also where something is wrong: what was found is the result, and the status says so.
    folder.put("bad.bit", "no frame");
    let run = folder.bitwire("verify out.bit bad.bit none.bit --json");
    assert_eq!((run.status, run.err.as_str()), (Some(2), "bitwire: none.bit: No such file or directory\n"));
    let verified = run.json("verify");
    assert_eq!(verified["valid"], false);
    let valid: Vec<_> = verified["files"].as_array().unwrap().iter().map(|file| &file["valid"]).collect();
    assert_eq!(valid, [&json!(true), &json!(false), &Value::Null]);
    assert_eq!(verified["files"][1]["frames"][0]["error"]["kind"], "Magic");
    assert_eq!(verified["files"][2]["problem"], "none.bit: No such file or directory");
    let alert = folder.bitwire("beacon emit window.npy out.bit --sds-threshold 0 --json");
    assert_eq!(alert.status, Some(1));
    assert_eq!(alert.json("beacon-emit")["alert"], true);
}

#[test]
fn a_hyphen_is_standard_input_or_output() {
    let folder = with_embeddings();
    let window = folder.read("window.npy");
    folder.bitwire("beacon emit window.npy out.bit a b c").good();
    folder.bitwire("scl export out.bit out.npz").good();
    folder.bitwire("scl import out.npz back.bit a b c --delta-q16 5").good();
    let (beacon, archive, back) = (folder.read("out.bit"), folder.read("out.npz"), folder.read("back.bit"));

    assert_eq!(folder.with_stdin(&window, "beacon emit - - a b c").good().out, beacon);
    assert_eq!(folder.bitwire("beacon emit window.npy - a b c").good().out, beacon);
    assert_eq!(folder.with_stdin(&beacon, "scl export - -").good().out, archive);
    assert_eq!(folder.with_stdin(&archive, "scl import - - a b c --delta-q16 5").good().out, back);
    let verified = folder.with_stdin(&beacon, "verify -").good();
    assert!(verified.text().starts_with("standard input: valid: beacon, "));
    assert_eq!(folder.with_stdin(&beacon, "route -").good().out, folder.bitwire("route out.bit").out);
    let shown = folder.with_stdin(&beacon, "beacon show -").good();
    assert!(shown.text().starts_with("file        standard input\n"));
    let baseline = folder.with_stdin(&beacon, "beacon emit window.npy - a b c --baseline -").good();
    folder.bitwire("beacon emit window.npy based.bit a b c --baseline out.bit").good();
    assert_eq!(baseline.out, folder.read("based.bit"));
    // An alert does not spoil the stream.
    let run = folder.bitwire("beacon emit window.npy - a b c --sds-threshold 0");
    let run = run.invalid("bitwire: ALERT: the drift is at or over the threshold\n");
    folder.with_stdin(&run.out, "verify -").good();

    folder.with_stdin(&beacon[1..], "verify -").invalid("");
    folder
        .with_stdin(&window[..1000], "beacon emit - none.bit")
        .usage("standard input: truncated: the array's data needs 153600 bytes, 872 are there (at byte 128)");
    folder.bitwire("verify").usage("required arguments were not provided");
    let twice = "standard input (-) can be given only once";
    folder.with_stdin(&beacon, "verify - -").refused(twice);
    folder.with_stdin(&window, "beacon emit - none.bit --baseline -").refused(twice);
    let nowhere = "--json needs a file to write to: standard output (-) carries the file";
    folder.bitwire("beacon emit window.npy - --json").refused(nowhere);
    folder.bitwire("scl export out.bit - --json").refused(nowhere);
    folder.bitwire("scl import out.npz - --delta-q16 auto --json").refused(nowhere);
    let names = ["back.bit", "based.bit", "baseline.npy", "out.bit", "out.npz", "window.npy"];
    assert_eq!(folder.names(), names);
}

#[test]
fn equal_windows_make_equal_bytes() {
    let folder = with_embeddings();
    folder.bitwire("beacon emit window.npy a.bit x y z").good();
    folder.bitwire("beacon emit window.npy b.bit --pi z --model y --space x").good();
    assert_eq!(folder.read("a.bit"), folder.read("b.bit"));
    folder.run([
        "beacon",
        "emit",
        "window.npy",
        "b.bit",
        "x",
        "y",
        "z",
        "--context",
        r#"{"b":[2, 1],"a":"\u0065"}"#,
    ]);
    let shown = folder.bitwire("beacon show b.bit --json").good();
    assert!(shown.text().contains(r#""context":{"a":"e","b":[2,1],"dim":384,"#), "{}", shown.text());
    // An old file is replaced.
    folder.bitwire("beacon emit window.npy b.bit x y z").good();
    assert_eq!(folder.read("a.bit"), folder.read("b.bit"));
}

const VERBS: [&str; 27] = [
    "beacon emit",
    "beacon show",
    "verify",
    "route",
    "inspect",
    "scl export",
    "scl import",
    "ledger ingest",
    "ledger recall",
    "ledger span",
    "ledger passkeys",
    "ledger verify",
    "ledger index",
    "ledger recover",
    "ledger prove",
    "ledger check-proof",
    "ledger prove-consistency",
    "ledger check-consistency",
    "ledger extract",
    "ledger import-tinymind",
    "ledger export-tinymind",
    "ledger evidence",
    "mirror diff",
    "mirror apply",
    "mirror stats",
    "mirror master",
    "mirror rebase",
];

#[test]
fn help_of_every_verb_shows_an_example_that_parses() {
    let folder = Folder::new();
    for verb in VERBS.into_iter().chain(["completions", "man"]) {
        for flag in ["--help", "-h"] {
            let help = folder.bitwire(&format!("{verb} {flag}")).good().text().to_owned();
            let example = help.split_once("\nExample:\n").expect(verb).1;
            assert!(example.starts_with(&format!("  bitwire {verb}")), "{verb}: {example}");
        }
    }
    let help = folder.bitwire("--help").good().text().to_owned();
    for word in ["beacon", "verify", "route", "inspect", "scl", "completions", "man", "Exit status: 0 done"] {
        assert!(help.contains(word), "{help}");
    }
    let version = folder.bitwire("--version").good();
    assert_eq!(version.text(), format!("bitwire {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_examples_of_the_help_work() {
    let folder = with_embeddings();
    folder.put("team.key", KEY_HEX);
    let example = |verb: &str| {
        let help = folder.bitwire(&format!("{verb} --help")).good().text().to_owned();
        let example = help.split_once("\nExample:\n").unwrap().1;
        let example = example.split("\n\n").next().unwrap().replace("  bitwire ", "\"$0\" ");
        example
            .replace(" | jq .results.SDS", "")
            .lines()
            .filter(|line| !line.contains("python3"))
            .fold(String::new(), |text, line| text + line + "\n")
    };
    let run = folder.sh(&example("beacon emit"));
    assert_eq!(run.status, Some(1), "it drifts: {run:?}");
    std::fs::create_dir(folder.path("beacons")).unwrap();
    folder.with_key_variable(KEY_HEX, "beacon emit window.npy beacons/a.bit");
    for verb in ["beacon show", "verify", "route", "scl export"] {
        assert_eq!(folder.sh(&example(verb)).good().status, Some(0), "{verb}");
    }
    std::fs::rename(folder.path("out.npz"), folder.path("stats.npz")).unwrap();
    folder.sh(&example("scl import")).good();
}

#[test]
fn completions_and_the_manual_are_printed() {
    let folder = Folder::new();
    for (shell, part) in [
        ("bash", "complete -F _bitwire"),
        ("zsh", "#compdef bitwire"),
        ("fish", "complete -c bitwire"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = folder.bitwire(&format!("completions {shell}")).good().text().to_owned();
        assert!(script.contains(part) && script.contains("hmac-key-file"), "{shell}");
    }
    folder.bitwire("completions tcsh").usage("invalid value 'tcsh'");
    let manual = folder.bitwire("man").good().text().to_owned();
    assert!(manual.contains(".TH bitwire 1") && !manual.lines().any(|line| line.ends_with(" EXTRA")));
    for verb in VERBS {
        assert!(manual.contains(&format!(".SH BITWIRE {}\n", verb.to_uppercase())), "{verb}");
        // In the manual's own language a hyphen is escaped.
        let example = format!("bitwire {} ", verb.replace('-', "\\-"));
        assert!(manual.contains(&example), "the example of {verb}");
    }
    assert!(folder.names().is_empty());
}

//! The firmware of examples/edge, run in QEMU: what it says of a damaged line is what this library says on the host, and what
//! the line's maker (examples/edge/make.py) did to it; and what its parts may take of a device.
//!
//! ```console
//! $ cargo test --test edge -- --ignored
//! ```
#![cfg(all(feature = "std", feature = "hmac"))]

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

use bitwire::beacon::Beacon;
use bitwire::frame::{Frame, Key};
use bitwire::ledger::{Chunk, Index, Proof};
use bitwire::stream::{Event, Recover};
use serde_json::Value;

const KEY: &[u8] = b"the key of the firmware example";
/// As in the firmware.
const LONGEST: u64 = 4096;
const THRESHOLD: f64 = 1.0;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn target_dir() -> PathBuf {
    env::var_os("EDGE_TARGET_DIR").map_or(path("target/device"), PathBuf::from)
}

fn run(arguments: &[&str], sent: &str) -> Output {
    let script = Command::new(path("examples/edge/run.sh"))
        .args(arguments)
        .env("EDGE_UART_OUT", sent)
        .env("EDGE_TARGET_DIR", target_dir())
        // Those of the toolchain that runs this test; the script brings its own.
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(script.status.success(), "{script:?}");
    script
}

/// What the firmware has to say of the line, by frames at the places where the manifest says they are.
fn said_of_the_line() -> Vec<String> {
    let line = read("tests/data/stream/line.bin");
    let manifest: Vec<Value> = serde_json::from_slice(&read("tests/data/stream/line.json")).unwrap();
    let recovered: Vec<Event<Frame<'_>>> = Recover::new(&line).with_max_frame(LONGEST).collect();
    assert_eq!(recovered.len(), manifest.len());
    let key = Key::new(KEY).unwrap();
    let (mut said, mut frames) = (Vec::new(), 0);
    for (entry, event) in manifest.iter().zip(&recovered) {
        let [start, end] = ["start", "end"].map(|name| entry[name].as_u64().unwrap());
        assert_eq!(*event.range(), start..end);
        if let Some(reason) = entry["skipped"].as_str() {
            let Event::Skipped(skipped) = event else { panic!("{event:?}") };
            assert_eq!(skipped.reason.kind().name(), reason);
            said.push(format!("{start}..{end}: skipped: {}", skipped.reason));
            continue;
        }
        frames += 1;
        let frame = Frame::parse_exact(&line[start as usize..end as usize]).unwrap();
        if entry["frame"] == "forged" {
            let error = frame.verify(&key).unwrap_err();
            said.push(format!("{start}..{end}: frame, MAC refused: {error}"));
            continue;
        }
        frame.verify(&key).unwrap();
        let sds = entry["sds"].as_f64().unwrap();
        let over = if sds >= THRESHOLD { "over" } else { "below" };
        let alert = if entry["alert"].as_bool().unwrap() { "ALERT" } else { "quiet" };
        assert_eq!(Beacon::from_frame(&frame).unwrap().results().unwrap().drift.unwrap().sds, sds);
        said.push(format!("{start}..{end}: frame, MAC ok, SDS {sds} is {over} {THRESHOLD}, {alert}"));
        let (routing_key, shard) = (entry["routing_key"].as_str().unwrap(), entry["shard"].as_u64().unwrap());
        assert_eq!(frame.routing_key().to_string(), routing_key);
        assert_eq!(frame.routing_key().shard(NonZeroU64::new(1000).unwrap()), shard);
        said.push(format!("  key {routing_key}, shard {shard}"));
    }
    said.push(format!("line: {frames} frames, {} stretches skipped", manifest.len() - frames));
    said
}

/// And of the ledger, whose tokens are 7 times their position, modulo 1000.
fn said_of_the_ledger() -> Vec<String> {
    let [index, ledger] = ["index", "ledger"].map(|name| read(&format!("examples/edge/data/{name}.bit")));
    let index = Index::parse_exact(&index).unwrap();
    let sum: u64 = (100..200).map(|position| position * 7 % 1000).sum();
    let mut said = vec![format!("position 237: token {} in chunk 2 at byte {}", 237 * 7 % 1000, 2 * 290)];
    said.push(format!("position 300: refused: {}", index.find(&ledger, 300).unwrap_err()));
    said.push(format!("a ledger cut short: refused: {}", index.find(&ledger[..600], 237).unwrap_err()));
    said.push(format!("chunk 1 is the ledger's; its tokens' sum: {sum}"));
    let [chunk, proof] =
        ["chunk1.bit", "chunk1.proof"].map(|name| read(&format!("tests/data/ledger/{name}")));
    let mut altered = chunk.clone();
    altered[chunk.len() - 5] ^= 1;
    said.push(format!("altered chunk: refused: {}", Chunk::parse_exact(&altered).unwrap_err()));
    let root: [u8; 32] = read("tests/data/ledger/root.bin").try_into().unwrap();
    let forged = read("examples/edge/data/forged.bit");
    let forged = Chunk::parse_exact(&forged).unwrap();
    let refused = Proof::parse(&proof).unwrap().verify_chunk(&forged, &root).unwrap_err();
    for what in ["forged chunk", "altered proof", "another root"] {
        said.push(format!("{what}: refused: {refused}"));
    }
    said
}

/// What the device sent, compared with a plain calculation from the rows that it measured.
fn check_what_was_sent(sent: &[u8]) {
    let frame = Frame::parse_exact(sent).unwrap().verify(&Key::new(KEY).unwrap()).unwrap();
    let beacon = Beacon::from_frame(&frame).unwrap();
    assert_eq!(
        frame.context_json().unwrap(),
        br#"{"dim":4,"model_id":"lis3dh","pi_id":"raw","space_id":"pump 7"}"#
    );
    let rows: Vec<[f64; 4]> =
        (0..64).map(|i| [40 * (i % 3), -30 * (i % 5), 1024 + 9 * i, 215 + i].map(f64::from)).collect();
    let mean = |rows: &[[f64; 4]], k: usize| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64;
    let (mut trace, mut moved) = (0.0, 0.0);
    let mut sent_mean = [0.0; 4];
    beacon.dequantise_row_into(0, &mut sent_mean).unwrap();
    for (k, sent) in sent_mean.iter().enumerate() {
        let all = mean(&rows, k);
        trace += rows.iter().map(|row| (row[k] - all).powi(2)).sum::<f64>() / 63.0;
        moved += (mean(&rows[32..], k) - mean(&rows[..32], k)).powi(2);
        // 1307 / 32767 is the smallest step in which the largest mean fits.
        assert!((f64::from(*sent) - all).abs() < 0.03, "{sent} {all}");
    }
    let drift = beacon.results().unwrap().drift.unwrap();
    assert!((drift.sds - (moved.sqrt() + trace)).abs() < 1e-9 * drift.sds, "{drift:?}");
    assert!(beacon.alert());
}

#[test]
#[ignore = "needs qemu-system-arm and Debian's rustc-web (examples/edge/run.sh missing)"]
fn the_firmware_says_what_the_host_says() {
    for settings in [&[][..], &["size"]] {
        let file = env::temp_dir().join(format!("bitwire-edge-{}", std::process::id()));
        let output = run(settings, file.to_str().unwrap());
        let sent = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        check_what_was_sent(&sent);
        let mut expected = said_of_the_line();
        expected.extend(said_of_the_ledger());
        expected.push(format!("sent: {} bytes", sent.len()));
        expected.push("all as expected".to_string());
        let said = String::from_utf8(output.stdout).unwrap();
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("stack in bytes: ")).collect();
        assert_eq!(said, expected);
    }
}

/// run.sh fails where a budget is broken; that no job of the parser has code for panics is looked for once more, by the
/// mangled names in the images.
#[test]
#[ignore = "needs qemu-system-arm and Debian's rustc-web (examples/edge/run.sh missing)"]
fn budgets_hold_and_the_parser_has_no_code_for_panics() {
    let table = String::from_utf8(run(&["budgets"], "/dev/null").stdout).unwrap();
    print!("{table}");
    let panics = |job: &str| {
        let image = fs::read(target_dir().join(format!("thumbv6m-none-eabi/release/budget-{job}"))).unwrap();
        image.windows(10).filter(|name| name == b"9panicking").count()
    };
    assert_eq!((panics("parse"), panics("hmac")), (0, 0));
    // That such names would be there to be found: the beacon's view reads decimal numbers with core's f64::from_str.
    assert!(panics("beacon") > 0);
    let row = |job: &str| -> Vec<u64> {
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.into_iter().find(|row| row[1] == "small" && row[2] == job);
        row.unwrap()[4..].iter().map(|number| number.parse().unwrap()).collect()
    };
    let (parse, hmac) = (row("parse"), row("hmac"));
    assert!(parse[0] < 4096 && parse[3] < 1024, "{parse:?}");
    assert!(hmac[0] < 16384 && hmac[3] < 1024, "{hmac:?}");
}

//! What the library says of the vectors, judged by `bitwire vectors check` as that of anybody else.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{
    FILES, FOUND, Held, accumulated, beacons, certificate, contexts, engram, frames, gist, ledger, mirror,
    mu16_values, stream, whitening,
};

const CHECKS: &[fn() -> Held] = &[
    accumulated::accumulated,
    beacons,
    certificate::certificates,
    ledger::chunks,
    contexts,
    engram::indexes,
    frames,
    gist::gists,
    ledger::indexes,
    ledger::ledgers,
    mirror::mirrors,
    mu16_values,
    ledger::packing,
    ledger::proofs,
    engram::states,
    stream::streams,
    whitening::whitenings,
];

#[test]
fn the_library_is_judged_as_anybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases = 0;
    for (check, (name, _)) in CHECKS.iter().zip(FILES) {
        let held = check();
        assert_eq!(held.file, *name);
        let mut lines = String::new();
        for found in FOUND.take() {
            writeln!(lines, "{found}").unwrap();
        }
        fs::write(folder.path().join(name), lines).unwrap();
        cases += held.cases;
    }
    assert_eq!(CHECKS.len(), FILES.len());
    let run = Command::new(env!("CARGO_BIN_EXE_bitwire"))
        .args(["vectors", "check", "--json"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((run.status.code(), &run.stderr[..]), (Some(0), &b""[..]), "{said:#}");
    assert_eq!((&said["valid"], &said["held"], &said["cases"]), (&true.into(), &cases.into(), &cases.into()));
}

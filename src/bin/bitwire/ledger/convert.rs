//! TinyMind's ledgers, and the evidence run.

use std::io;

use bitwire::ErrorKind;
use bitwire::io::Escaped;
use bitwire::ledger::evidence::{self, EvidenceError, EvidenceTimings};
use bitwire::ledger::tinymind::{self, ConvertError};
use bitwire::ledger::{LedgerError, LedgerOptions};
use serde_json::Value;

use super::args::{Evidence, ExportTinyMind, ImportTinyMind};
use super::write::{commit_json, print_commit};
use super::{Ledger, hex, problem};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::{input, keys};

fn failed(ledger: &Ledger<'_>, error: ConvertError) -> Problem {
    match error {
        ConvertError::TinyMind(error) => match error.cause().format().map(|error| error.kind()) {
            // What a check found: a hash, or numbers that contradict each other.
            Some(ErrorKind::TinyMindHash { .. } | ErrorKind::Shape { .. }) => {
                Problem::Invalid(error.to_string())
            }
            _ => Problem::File(error),
        },
        ConvertError::Ledger(LedgerError::Io { error, .. })
            if error.kind() == io::ErrorKind::AlreadyExists =>
        {
            Problem::Usage(format!("{}: already there, and a ledger is never overwritten", ledger.name()))
        }
        ConvertError::Ledger(error) => ledger.problem(error),
        error => Problem::Usage(error.to_string()),
    }
}

pub(crate) fn import(args: &ImportTinyMind, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let mut options = LedgerOptions::new().context(input::context(&args.context, 0)?);
    if let Some(key) = &ledger.key {
        options = options.sign(key.clone());
    }
    let imported =
        tinymind::import(&args.dir, &args.ledger, options).map_err(|error| failed(&ledger, error))?;
    // A note escapes what names it has.
    let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
    let dir = Escaped::path(&args.dir);
    for note in &notes {
        tell!("bitwire: note: {dir}: {note}");
    }
    let name = ledger.name();
    if args.common.json {
        let mut members = commit_json(&name, &imported.commit);
        members.extend([
            ("passkeys", imported.passkeys.into()),
            ("spans", imported.spans.into()),
            ("sync_seconds", imported.sync_time.as_secs_f64().into()),
            ("notes", notes.into()),
        ]);
        out.json("ledger-import-tinymind", members);
    } else {
        out.labelled("ledger", name);
        out.labelled("tokens", imported.commit.tokens);
        out.labelled("marks", format_args!("{} passkeys, {} spans", imported.passkeys, imported.spans));
        print_commit(&imported.commit, None, out);
    }
    Ok(Outcome::Good)
}

pub(crate) fn export(args: &ExportTinyMind, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let reader = ledger.open()?;
    let exported = tinymind::export(&reader, &args.dir).map_err(|error| failed(&ledger, error))?;
    let dir = Escaped::path(&args.dir).to_string();
    if args.common.json {
        let members = vec![
            ("folder", dir.into()),
            ("tokens", exported.tokens.into()),
            ("chunks", exported.chunks.into()),
            ("chunk_tokens", exported.chunk_tokens.into()),
            ("passkeys", exported.passkeys.into()),
            ("spans", exported.spans.into()),
        ];
        out.json("ledger-export-tinymind", members);
    } else {
        out.labelled("folder", dir);
        out.labelled("tokens", exported.tokens);
        out.labelled("chunks", format_args!("{} of {} tokens", exported.chunks, exported.chunk_tokens));
        out.labelled("marks", format_args!("{} passkeys, {} spans", exported.passkeys, exported.spans));
    }
    Ok(Outcome::Good)
}

pub(crate) fn evidence(args: &Evidence, out: &mut Output) -> Result<Outcome, Problem> {
    let run = evidence::run(&args.out_dir, args.tokens, args.chunk_tokens, args.anchor_stride);
    let report = run.map_err(|error| match error {
        EvidenceError::File(error) => Problem::File(error),
        EvidenceError::Ledger(path, error) => problem(&path, false, error),
        error => Problem::Usage(error.to_string()),
    })?;
    let folder = Escaped::path(&args.out_dir).to_string();
    let passed = report.exact_recall_claim_allowed();
    if args.json {
        // The library wrote it.
        let report: Value = serde_json::from_str(&report.to_json()).unwrap_or_default();
        let members = vec![("folder", folder.into()), ("passed", passed.into()), ("report", report)];
        out.json("ledger-evidence", members);
    } else {
        let yes = |passed| if passed { "passed" } else { "NOT PASSED" };
        let EvidenceTimings { ingest, fsync, verify, recall, position } = report.timings;
        let per_token = |bytes: u64| bytes as f64 / report.measured_tokens.max(1) as f64;
        out.labelled("folder", folder);
        out.labelled("tokens", report.measured_tokens);
        let (bytes, index) = (report.archive_bytes, report.index_bytes);
        out.labelled("ledger", format_args!("{bytes} bytes ({:.4} per token)", per_token(bytes)));
        out.labelled("index", format_args!("{index} bytes ({:.6} per token)", per_token(index)));
        out.labelled("root", format_args!("{} of {} chunks", hex(&report.root), report.chunk_count));
        out.labelled("passkeys", yes(report.passkey_recall_passed()));
        out.labelled("spans", yes(report.semantic_recall_passed()));
        out.labelled("integrity", yes(report.integrity_passed()));
        let file_system = report.file_system.as_deref().unwrap_or("unknown");
        let file_system = Escaped::new(file_system.as_bytes());
        out.labelled("ingest", format_args!("{:.1} ms", ingest * 1e3));
        out.labelled("fsync", format_args!("{:.1} ms, on {file_system}", fsync * 1e3));
        out.labelled("verify", format_args!("{:.1} ms", verify * 1e3));
        let nanoseconds = position * 1e9;
        out.labelled(
            "recall",
            format_args!(
                "{:.1} us for the marks; {nanoseconds:.1} ns for one position, checked before",
                recall * 1e6
            ),
        );
        out.labelled("verdict", report.reason());
    }
    Ok(Outcome::valid(passed))
}

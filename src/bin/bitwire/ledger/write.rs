//! `ledger ingest`, `ledger index` and `ledger recover`.

use std::io::{self, Read};

use bitwire::io::Escaped;
use bitwire::io::tokens::TokenReader;
use bitwire::ledger::{Commit, LedgerError, LedgerOptions, LedgerWriter, Rebuilt, rebuild_index};
use serde_json::Value;

use super::args::{Index, Ingest, Recover};
use super::{Ledger, encodings_json, encodings_text, hex, per_token, tail_json};
use crate::exit::{Outcome, Output, Problem, error_json, tell};
use crate::progress::Progress;
use crate::{input, keys};

pub(crate) fn ingest(args: &Ingest, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let mut options = LedgerOptions::new().chunk_tokens(args.chunk_tokens).encoding(args.encoding.rule());
    if let Some(stride) = args.anchor_stride {
        options = options.anchor_stride(stride);
    }
    if !args.append || input::names_context(&args.context) {
        options = options.context(input::context(&args.context, 0)?);
    }
    if let Some(key) = &ledger.key {
        options = options.sign(key.clone());
    }
    // Before a ledger is made: there may be no tokens.
    if input::is_stream(&args.tokens) {
        let at = |cause: bitwire::io::Cause| cause.at(input::label(&args.tokens));
        feed(TokenReader::detect(io::stdin().lock()).map_err(at)?, args, &ledger, options, out)
    } else {
        feed(TokenReader::open(&args.tokens)?, args, &ledger, options, out)
    }
}

fn feed<R: Read>(
    mut tokens: TokenReader<R>,
    args: &Ingest,
    ledger: &Ledger<'_>,
    options: LedgerOptions,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    let name = ledger.name();
    let failed = |error| match error {
        LedgerError::Io { error, .. } if !args.append && error.kind() == io::ErrorKind::AlreadyExists => {
            Problem::Usage(format!("{name}: already there; --append adds to it"))
        }
        LedgerError::Refused(error) if error.kind() == bitwire::ErrorKind::ContextDiffers => {
            Problem::Usage(format!("{name}: the ledger has another context than the one given"))
        }
        error => ledger.problem(error),
    };
    let mut writer = match args.append {
        true => LedgerWriter::open(&args.ledger, options),
        false => LedgerWriter::create(&args.ledger, options),
    }
    .map_err(failed)?;
    let recovered = writer.recovered().copied();
    if let Some(tail) = &recovered {
        tell!(
            "bitwire: warning: {name}: a torn tail was cut off: {} bytes from byte {} ({})",
            tail.len,
            tail.offset,
            tail.error
        );
    }
    let before = writer.total_tokens();
    let mut write = || {
        for &(position, token) in &args.passkeys {
            writer.mark_passkey(position, token).map_err(failed)?;
        }
        for (span, start, len) in &args.spans {
            writer.mark_span(span, *start, *len).map_err(failed)?;
        }
        let mut progress = Progress::new("tokens");
        let total = tokens.total();
        loop {
            let block = tokens.next_block().map_err(|cause| cause.at(input::label(&args.tokens)))?;
            let Some(block) = block else { break };
            writer.extend_from_slice(block).map_err(failed)?;
            progress.show(writer.total_tokens() - before, total);
        }
        drop(progress);
        writer.commit().map_err(failed)
    };
    let commit = match write() {
        Ok(commit) => commit,
        Err(problem) => {
            if let Err(error) = writer.abandon() {
                let (file, error) = ledger.message(&error);
                tell!("bitwire: warning: {file}: what was written could not be taken back: {error}");
            }
            return Err(problem);
        }
    };
    let encodings = writer.encodings();
    let (new, synced) = (commit.tokens - before, writer.sync_time());
    if args.common.json {
        let mut members = commit_json(&name, &commit);
        members.extend([
            ("new_tokens", new.into()),
            ("encodings", encodings_json(&encodings)),
            ("sync_seconds", synced.as_secs_f64().into()),
            ("cut_off", tail_json(recovered.as_ref())),
        ]);
        out.json("ledger-ingest", members);
    } else {
        out.labelled("ledger", &name);
        let of = if args.append { format!(" ({new} new)") } else { String::new() };
        out.labelled("tokens", format_args!("{}{of}", commit.tokens));
        print_commit(&commit, Some(encodings_text(&encodings)), out);
        out.labelled("commit", format_args!("{:.1} ms in syncs", synced.as_secs_f64() * 1e3));
    }
    Ok(Outcome::Good)
}

pub(super) fn commit_json(name: &str, commit: &Commit) -> Vec<(&'static str, Value)> {
    vec![
        ("file", name.into()),
        ("tokens", commit.tokens.into()),
        ("chunks", commit.chunks.into()),
        ("bytes", commit.ledger_len.into()),
        ("bytes_per_token", per_token(commit.ledger_len, commit.tokens).into()),
        ("index_bytes", commit.index_len.into()),
        ("root", hex(&commit.root).into()),
    ]
}

pub(super) fn print_commit(commit: &Commit, encodings: Option<String>, out: &mut Output) {
    out.labelled("chunks", commit.chunks);
    if let Some(encodings) = encodings {
        out.labelled("encodings", encodings);
    }
    let each = per_token(commit.ledger_len, commit.tokens);
    let each = each.map_or(String::new(), |each| format!(" ({each:.4} per token)"));
    out.labelled("bytes", format_args!("{}{each}, index {}", commit.ledger_len, commit.index_len));
    out.labelled("root", hex(&commit.root));
}

pub(crate) fn index(args: &Index, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let mut options = LedgerOptions::new();
    if let Some(stride) = args.anchor_stride {
        options = options.anchor_stride(stride);
    }
    if let Some(key) = &ledger.key {
        options = options.sign(key.clone());
    }
    let rebuilt = rebuild_index(&args.ledger, options).map_err(|error| ledger.problem(error))?;
    let Rebuilt { commit, ignored, tail } = rebuilt;
    let name = ledger.name();
    let file = format!("{name}.idx");
    if let Some(error) = &ignored {
        tell!("bitwire: warning: {file}: the index that was there is of no use: {error}");
    }
    ledger.tell_tail(tail.as_ref());
    if args.common.json {
        let mut members = commit_json(&name, &commit);
        members.extend([
            ("index", file.into()),
            ("ignored", ignored.as_ref().map_or(Value::Null, error_json)),
            ("torn", tail_json(tail.as_ref())),
        ]);
        out.json("ledger-index", members);
    } else {
        out.labelled("index", file);
        out.labelled("tokens", commit.tokens);
        print_commit(&commit, None, out);
    }
    Ok(Outcome::Good)
}

pub(crate) fn recover(args: &Recover, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let failed = |error| ledger.problem(error);
    let mut options = LedgerOptions::new();
    if let Some(key) = &ledger.key {
        options = options.sign(key.clone());
    }
    let mut writer = LedgerWriter::open(&args.ledger, options).map_err(failed)?;
    let cut = writer.recovered().copied();
    let commit = writer.commit().map_err(failed)?;
    let name = ledger.name();
    if args.common.json {
        let mut members = commit_json(&name, &commit);
        members.push(("cut_off", tail_json(cut.as_ref())));
        out.json("ledger-recover", members);
    } else {
        out.labelled("ledger", Escaped::path(&args.ledger));
        match &cut {
            Some(tail) => out.labelled(
                "cut off",
                format_args!("{} bytes from byte {} ({})", tail.len, tail.offset, tail.error),
            ),
            None => out.labelled("cut off", "nothing"),
        }
        out.labelled("tokens", commit.tokens);
        print_commit(&commit, None, out);
    }
    Ok(Outcome::Good)
}

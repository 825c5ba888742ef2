//! `ledger recall`, `ledger span`, `ledger passkeys` and `ledger verify`.

use std::sync::{Mutex, PoisonError};

use bitwire::ErrorKind;
use bitwire::io::Escaped;
use bitwire::ledger::{self as library, IndexState, LedgerError, LedgerReader, Source, Verified};
use serde_json::{Value, json};

use super::args::{Passkeys, Recall, SpanArgs, Verify};
use super::{Ledger, hex, tail_json};
use crate::exit::{Outcome, Output, Problem, tell};
use crate::keys;
use crate::progress::Progress;

pub(crate) fn recall(args: &Recall, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let name = ledger.name();
    let (first, length) = (args.position, args.length);
    let end = first
        .checked_add(length)
        .ok_or_else(|| Problem::Usage(format!("{name}: no ledger has positions past {}", u64::MAX)))?;
    let failed = |error: LedgerError| match error.format().map(|error| error.kind()) {
        Some(ErrorKind::PastEnd { end: tokens, .. }) if matches!(error, LedgerError::Refused(_)) => {
            past_end(&name, first, length, tokens)
        }
        _ => ledger.problem(error),
    };
    let tokens = if ledger.key.is_some() {
        ledger.open()?.recall_range(first..end).map_err(failed)?
    } else {
        let recalled = library::recall(&args.ledger, first..end).map_err(failed)?;
        ledger.tell_tail(recalled.tail.as_ref());
        recalled.tokens
    };
    if args.common.json {
        out.json(
            "ledger-recall",
            vec![("file", name.into()), ("position", first.into()), ("tokens", tokens.into())],
        );
    } else {
        for token in tokens {
            out.line(token);
        }
    }
    Ok(Outcome::Good)
}

fn past_end(name: &str, first: u64, length: u64, tokens: u64) -> Problem {
    let asked = match length {
        1 => format!("position {first}"),
        _ => format!("{length} tokens from position {first}"),
    };
    Problem::Usage(match tokens {
        0 => format!("{name}: {asked}: the ledger has no tokens"),
        _ => format!("{name}: {asked}: the ledger has {tokens} tokens, at 0 to {}", tokens - 1),
    })
}

pub(crate) fn span(args: &SpanArgs, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let name = ledger.name();
    let reader = ledger.open()?;
    let shown = Escaped::new(args.name.as_bytes());
    let failed = |error| match error {
        LedgerError::Refused(error) if matches!(error.kind(), ErrorKind::Unknown { .. }) => {
            Problem::Usage(format!("{name}: no span is named '{shown}'"))
        }
        error => ledger.problem(error),
    };
    let span = reader.span(&args.name).map_err(failed)?;
    let tokens = reader.recall_range(span.start..span.start.saturating_add(span.len)).map_err(failed)?;
    if args.common.json {
        let members = vec![
            ("file", name.into()),
            ("name", span.name.into()),
            ("start", span.start.into()),
            ("length", span.len.into()),
            ("tokens", tokens.into()),
        ];
        out.json("ledger-span", members);
    } else {
        out.labelled("span", shown);
        out.labelled("start", span.start);
        out.labelled("length", span.len);
        let tokens: Vec<String> = tokens.iter().map(u32::to_string).collect();
        out.labelled("tokens", tokens.join(" "));
    }
    Ok(Outcome::Good)
}

pub(crate) fn passkeys(args: &Passkeys, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let passkeys = ledger.open()?.passkeys().map_err(|error| ledger.problem(error))?;
    if args.common.json {
        let rows: Vec<Value> = passkeys
            .iter()
            .map(|passkey| {
                json!({
                    "position": passkey.position,
                    "token": passkey.token,
                    "chunk_id": passkey.chunk_id,
                    "offset": passkey.offset,
                })
            })
            .collect();
        out.json("ledger-passkeys", vec![("file", ledger.name().into()), ("passkeys", rows.into())]);
    } else if passkeys.is_empty() {
        out.line("no passkeys");
    } else {
        out.line(format_args!("{:>20} {:>10} {:>12} {:>10}", "position", "token", "chunk", "offset"));
        for passkey in passkeys {
            let (position, token) = (passkey.position, passkey.token);
            out.line(format_args!(
                "{position:>20} {token:>10} {:>12} {:>10}",
                passkey.chunk_id, passkey.offset
            ));
        }
    }
    Ok(Outcome::Good)
}

/// How it is known that a ledger is whole and the newest, as far as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Root,
    SignedIndex,
}

pub(crate) fn verify(args: &Verify, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    let reader = match ledger.read() {
        Ok(reader) => reader,
        Err(error) => return invalid(&ledger, error, args.common.json, out),
    };
    ledger.tell_tail(reader.tail());
    let progress = Mutex::new(Progress::new("bytes"));
    let verified = reader.verify(|step| {
        progress.lock().unwrap_or_else(PoisonError::into_inner).show(step.done, Some(step.total));
    });
    drop(progress);
    let verified = match verified {
        Ok(verified) => verified,
        Err(error) => return invalid(&ledger, error, args.common.json, out),
    };

    let kept = args.root.zip(args.chunks);
    let differs = kept.is_some_and(|kept| kept != (verified.root, verified.chunks));
    let current = reader.index_state() == IndexState::Current;
    let whole = match (kept, &ledger.key) {
        (Some(_), _) => (!differs).then_some(Whole::Root),
        // With the key, the index verified and agrees in everything.
        (None, Some(_)) if current => Some(Whole::SignedIndex),
        (None, _) => None,
    };
    if ledger.key.is_some() && kept.is_none() && whole.is_none() {
        tell!(
            "bitwire: warning: a chunk's HMAC proves its author, not that the ledger is whole or the newest: give --root \
             and --chunks, kept elsewhere"
        );
    }
    let error = kept.filter(|_| differs).map(|(root, chunks)| {
        format!(
            "the root of its {} chunks is {}, not {} of {chunks} chunks",
            verified.chunks,
            hex(&verified.root),
            hex(&root)
        )
    });
    let found = Found { reader: &reader, verified, whole, error };
    if args.common.json {
        found.json(&ledger, out)
    } else {
        found.print(&ledger, out)
    }
    Ok(Outcome::valid(!differs))
}

/// A ledger whose chunks are all whole.
struct Found<'a, S> {
    reader: &'a LedgerReader<S>,
    verified: Verified,
    whole: Option<Whole>,
    error: Option<String>,
}

impl<S: Source> Found<'_, S> {
    fn print(&self, ledger: &Ledger<'_>, out: &mut Output) {
        let Verified { chunks, tokens, bytes, root } = self.verified;
        let name = ledger.name();
        match &self.error {
            Some(error) => out.line(format_args!("{name}: INVALID: {error}")),
            None => out.line(format_args!("{name}: valid")),
        }
        out.labelled("tokens", tokens);
        out.labelled("chunks", chunks);
        out.labelled("bytes", bytes);
        out.labelled("root", hex(&root));
        match self.reader.index_state() {
            IndexState::Current => out.labelled("index", "covers all"),
            IndexState::Stale { chunks } => {
                out.labelled("index", format_args!("stale: the last {chunks} chunks are not in it"));
            }
            IndexState::Missing => out.labelled("index", "missing"),
        }
        let hmac = match (self.reader.is_signed(), &ledger.key) {
            (Some(true), Some(_)) => "ok",
            (Some(true), None) => "not checked (no key)",
            _ => "none",
        };
        out.labelled("HMAC", hmac);
        match self.whole {
            Some(Whole::Root) => out.labelled("whole", "yes: by the root and number of chunks given"),
            Some(Whole::SignedIndex) => out.labelled(
                "whole",
                "by its signed index; only a root kept elsewhere excludes that both were rolled back",
            ),
            None => out.labelled("whole", "not known: no root was given to compare"),
        }
        if let Some(tail) = self.reader.tail() {
            out.labelled("torn", format_args!("{} bytes from byte {}", tail.len, tail.offset));
        }
    }

    fn json(&self, ledger: &Ledger<'_>, out: &mut Output) {
        let Verified { chunks, tokens, bytes, root } = self.verified;
        let (index, uncovered) = match self.reader.index_state() {
            IndexState::Current => ("current", Some(0)),
            IndexState::Stale { chunks } => ("stale", Some(chunks)),
            IndexState::Missing => ("missing", None),
        };
        let whole = self.whole.map(|whole| match whole {
            Whole::Root => "root",
            Whole::SignedIndex => "signed-index",
        });
        let signed = self.reader.is_signed();
        let file = ledger.name();
        let error = self.error.as_ref().map(|message| {
            json!({ "kind": "Root", "offset": null, "message": message, "file": file, "chunk": null })
        });
        let members = vec![
            ("file", ledger.name().into()),
            ("valid", self.error.is_none().into()),
            ("tokens", tokens.into()),
            ("chunks", chunks.into()),
            ("bytes", bytes.into()),
            ("root", hex(&root).into()),
            ("index", index.into()),
            ("chunks_not_in_index", uncovered.into()),
            ("signed", signed.into()),
            ("authenticated", (signed == Some(true) && ledger.key.is_some()).into()),
            ("whole_by", whole.into()),
            ("torn", tail_json(self.reader.tail())),
            ("error", error.into()),
        ];
        out.json("ledger-verify", members);
    }
}

/// The verdict on a ledger that is not whole, or cannot be read.
fn invalid(
    ledger: &Ledger<'_>,
    error: LedgerError,
    json: bool,
    out: &mut Output,
) -> Result<Outcome, Problem> {
    let (chunk, found) = match &error {
        LedgerError::Damaged { chunk, error } => (Some(*chunk), error),
        LedgerError::Index(error) => (None, error),
        _ => return Err(ledger.problem(error)),
    };
    let (file, message) = ledger.message(&error);
    if json {
        let what = json!({
            "kind": found.kind().name(),
            "offset": found.offset(),
            "message": message,
            "file": file,
            "chunk": chunk,
        });
        let members = vec![("file", ledger.name().into()), ("valid", false.into()), ("error", what)];
        out.json("ledger-verify", members);
    } else {
        out.line(format_args!("{file}: INVALID: {message}"));
    }
    Ok(Outcome::Invalid)
}

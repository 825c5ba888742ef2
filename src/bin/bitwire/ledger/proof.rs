//! Proofs, and the chunks they are of.

use std::io::Read;
use std::path::Path;

use bitwire::Error;
use bitwire::frame::Frame;
use bitwire::io::FileError;
use bitwire::ledger::{Chunk, Claim, Proof};
use serde_json::Value;

use super::args::{CheckConsistency, CheckProof, Extract, Prove, ProveConsistency};
use super::{Ledger, hex};
use crate::exit::{Outcome, Output, Problem, error_json, is_verdict};
use crate::{input, keys};

/// Over the longest proof file, 2,072 bytes: what follows need not be read to be refused.
const MOST: u64 = 64 << 10;

pub(crate) fn extract(args: &Extract, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    input::one_result(&args.out, args.common.json)?;
    let reader = ledger.open()?;
    one_of(&ledger, args.chunk_id, reader.chunk_count())?;
    let frame = reader.chunk(args.chunk_id).map_err(|error| ledger.problem(error))?;
    input::write(&args.out, &frame, out)?;
    if input::is_stream(&args.out) {
        return Ok(Outcome::Good);
    }
    let name = input::name(&args.out);
    let chunk = Chunk::parse_exact(&frame).map_err(|error| Problem::frame(&name, error))?;
    if args.common.json {
        let members = vec![
            ("file", name.into()),
            ("chunk_id", chunk.id().into()),
            ("start", chunk.start().into()),
            ("length", chunk.len().into()),
            ("encoding", chunk.encoding().to_string().into()),
            ("bytes", frame.len().into()),
            ("digest", hex(chunk.digest()).into()),
        ];
        out.json("ledger-extract", members);
    } else {
        out.labelled("file", name);
        out.labelled("chunk", chunk.id());
        out.labelled("tokens", format_args!("{} from position {}", chunk.len(), chunk.start()));
        out.labelled("encoding", chunk.encoding());
        out.labelled("bytes", frame.len());
        out.labelled("digest", hex(chunk.digest()));
    }
    Ok(Outcome::Good)
}

fn one_of(ledger: &Ledger<'_>, chunk_id: u64, chunks: u64) -> Result<(), Problem> {
    let name = ledger.name();
    match chunks.checked_sub(1) {
        None => Err(Problem::Usage(format!("{name}: chunk {chunk_id}: the ledger has no chunks"))),
        Some(last) if chunk_id > last => {
            Err(Problem::Usage(format!("{name}: chunk {chunk_id}: the ledger has chunks 0 to {last}")))
        }
        Some(_) => Ok(()),
    }
}

pub(crate) fn prove(args: &Prove, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    input::one_result(&args.out, args.common.json)?;
    let reader = ledger.open()?;
    one_of(&ledger, args.chunk_id, reader.chunk_count())?;
    let proof = reader.prove(args.chunk_id).map_err(|error| ledger.problem(error))?;
    input::write(&args.out, &proof, out)?;
    let (chunks, root) = (reader.chunk_count(), hex(&reader.claimed_root()));
    let what = ("chunk", "chunk_id", args.chunk_id);
    written(&args.out, &proof, what, chunks, root, "ledger-prove", args.common.json, out);
    Ok(Outcome::Good)
}

pub(crate) fn prove_consistency(args: &ProveConsistency, out: &mut Output) -> Result<Outcome, Problem> {
    let ledger = Ledger::new(&args.ledger, keys::key(&args.common.key)?)?;
    input::one_result(&args.out, args.common.json)?;
    let reader = ledger.open()?;
    let proof = reader.prove_consistency(args.old_count).map_err(|error| ledger.problem(error))?;
    input::write(&args.out, &proof, out)?;
    let (chunks, root) = (reader.chunk_count(), hex(&reader.claimed_root()));
    let what = ("old chunks", "old_chunks", args.old_count);
    written(&args.out, &proof, what, chunks, root, "ledger-prove-consistency", args.common.json, out);
    Ok(Outcome::Good)
}

/// Reports a proof that was written.
#[allow(clippy::too_many_arguments)] // both kinds end alike
fn written(
    path: &Path,
    proof: &[u8],
    (label, member, of): (&str, &'static str, u64),
    chunks: u64,
    root: String,
    verb: &str,
    json: bool,
    out: &mut Output,
) {
    if input::is_stream(path) {
        return;
    }
    let name = input::name(path);
    if json {
        let members = vec![
            ("file", name.into()),
            ("bytes", proof.len().into()),
            (member, of.into()),
            ("chunks", chunks.into()),
            ("root", root.into()),
        ];
        out.json(verb, members);
    } else {
        out.labelled("proof", format_args!("{name}, {} bytes", proof.len()));
        out.labelled(label, of);
        out.labelled("chunks", chunks);
        out.labelled(
            "root",
            format_args!("{root} (as the chunks claim: `bitwire ledger verify` checks them)"),
        );
    }
}

pub(crate) fn check_proof(args: &CheckProof, out: &mut Output) -> Result<Outcome, Problem> {
    let key = keys::key(&args.common.key)?;
    input::one_stream([args.proof.as_path(), args.chunk.as_path()])?;
    let (name, chunk_name) = (input::name(&args.proof), input::name(&args.chunk));
    let proof = read(&args.proof)?;
    let frame = input::read_frames(&args.chunk)?;
    let mut verdict =
        Verdict { verb: "ledger-check-proof", name: &name, json: args.common.json, members: vec![] };
    verdict.members.push(("chunk_file", chunk_name.as_str().into()));
    let proof = match Proof::parse(&proof) {
        Ok(proof) => proof,
        Err(error) => return verdict.invalid(&name, error, out),
    };
    if let Claim::Inclusion { chunk_id, tree_size } = proof.claim() {
        verdict.members.extend([("chunk_id", chunk_id.into()), ("chunks", tree_size.into())]);
    }
    let chunk = Frame::parse_exact(&frame)
        .and_then(|frame| input::check(&frame, key.as_ref()).and_then(|()| Chunk::from_frame(&frame)));
    let chunk = match chunk {
        Ok(chunk) => chunk,
        Err(error) => return verdict.invalid(&chunk_name, error, out),
    };
    let place = [("start", Value::from(chunk.start())), ("length", chunk.len().into())];
    verdict.members.extend(place);
    if let Err(error) = proof.verify_chunk(&chunk, &args.root) {
        return verdict.invalid(&name, error, out);
    }
    let Claim::Inclusion { chunk_id, tree_size } = proof.claim() else { return Ok(Outcome::Invalid) };
    if args.chunks.is_some_and(|chunks| chunks != tree_size) {
        return verdict
            .sizes(format!("the proof is for {tree_size} chunks, not {}", args.chunks.unwrap_or(0)), out);
    }
    let (first, last) = (chunk.start(), chunk.end() - 1);
    let text =
        format!("{chunk_name} is chunk {chunk_id} of the ledger with this root: tokens {first} to {last}");
    let hint = format!("{tree_size} chunks are the proof's word");
    verdict.valid(text, args.chunks.is_some(), &hint, out);
    Ok(Outcome::Good)
}

pub(crate) fn check_consistency(args: &CheckConsistency, out: &mut Output) -> Result<Outcome, Problem> {
    let name = input::name(&args.proof);
    let proof = read(&args.proof)?;
    let mut verdict =
        Verdict { verb: "ledger-check-consistency", name: &name, json: args.json, members: vec![] };
    let proof = match Proof::parse(&proof) {
        Ok(proof) => proof,
        Err(error) => return verdict.invalid(&name, error, out),
    };
    if let Claim::Consistency { old_size, new_size } = proof.claim() {
        verdict.members.extend([("old_chunks", old_size.into()), ("chunks", new_size.into())]);
    }
    if let Err(error) = proof.verify_consistency(&args.old_root, &args.root) {
        return verdict.invalid(&name, error, out);
    }
    let Claim::Consistency { old_size, new_size } = proof.claim() else { return Ok(Outcome::Invalid) };
    let kept = args.old_chunks.zip(args.chunks);
    if let Some((old, new)) = kept.filter(|&kept| kept != (old_size, new_size)) {
        let text = format!("the proof is from {old_size} chunks to {new_size}, not from {old} to {new}");
        return verdict.sizes(text, out);
    }
    let text = "the ledger with this root begins with the one with the old root".to_owned();
    let hint = format!("{old_size} and {new_size} chunks are the proof's word");
    verdict.valid(text, kept.is_some(), &hint, out);
    Ok(Outcome::Good)
}

/// A proof file, or as much of what is none as shows that.
fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let read = input::open(path)?.take(MOST).read_to_end(&mut bytes);
    read.map_err(|error| FileError::new(input::label(path), error))?;
    Ok(bytes)
}

/// What comes out of a check.
struct Verdict<'a> {
    verb: &'static str,
    name: &'a str,
    json: bool,
    members: Vec<(&'static str, Value)>,
}

impl Verdict<'_> {
    fn json(self, valid: bool, sizes: Value, error: Value, out: &mut Output) {
        let mut members = vec![("file", self.name.into()), ("valid", valid.into())];
        members.extend(self.members);
        members.extend([("sizes_compared", sizes), ("error", error)]);
        out.json(self.verb, members);
    }

    fn valid(self, text: String, sizes: bool, hint: &str, out: &mut Output) {
        if self.json {
            self.json(true, sizes.into(), Value::Null, out);
            return;
        }
        out.line(format_args!("{}: valid: {text}", self.name));
        if !sizes {
            out.line(format_args!(
                "A root proves no size: {hint}; compare them with what was kept with the root."
            ));
        }
    }

    /// What a check found in `file`; an error where there was nothing to check.
    fn invalid(self, file: &str, error: Error, out: &mut Output) -> Result<Outcome, Problem> {
        if !is_verdict(error.kind()) || matches!(error.kind(), bitwire::ErrorKind::Argument { .. }) {
            return Err(Problem::Usage(format!("{file}: {error}")));
        }
        if self.json {
            self.json(false, Value::Null, error_json(&error), out);
        } else {
            out.line(format_args!("{file}: INVALID: {error}"));
        }
        Ok(Outcome::Invalid)
    }

    fn sizes(self, text: String, out: &mut Output) -> Result<Outcome, Problem> {
        if self.json {
            self.json(false, true.into(), serde_json::json!({ "kind": "Size", "message": text }), out);
        } else {
            out.line(format_args!("{}: INVALID: {text}", self.name));
        }
        Ok(Outcome::Invalid)
    }
}

//! `fuzz-corpus`: frames to test a reader with, and what it has to say of each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bitwire::arbitrary::{Mutant, Rule, Sample, corpus};
use bitwire::io::output::write_whole;
use bitwire::io::{Escaped, FileError};
use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::exit::{Outcome, Output, Problem, hex};
use crate::input;
use crate::progress::Progress;

/// Write frames to test a reader with, and what it has to say of each
///
/// Valid frames of every kind, and frames in which one rule of the documents in spec/ is broken. manifest.json tells of each file
/// the verdict, how far to read it, the rule, the error's kind and offset, and the key if it is signed. The same seed gives the same
/// files. The manifest comes last: a folder without it is not all of a corpus.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire fuzz-corpus corpus --count 20 && python3 spec/vectors/corpus.py corpus\n\n\
    Exit status: 0 written; 2 the folder is not empty, or a file cannot be written.")]
pub(crate) struct FuzzCorpus {
    /// Folder to write to; made if it is not there, and empty if it is
    out_dir: PathBuf,
    /// Which of the corpora: another number gives other frames
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Frames for each kind, and for each rule
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count, allow_negative_numbers = true)]
    count: u32,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Their numbers have four digits.
fn count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (1..=9999).contains(count));
    count.ok_or("has to be a whole number from 1 to 9999".to_owned())
}

const MANIFEST: &str = "manifest.json";

pub(crate) fn fuzz_corpus(args: &FuzzCorpus, out: &mut Output) -> Result<Outcome, Problem> {
    let folder = &args.out_dir;
    prepare(folder)?;
    let rules = Rule::all().count() as u64;
    let kinds = corpus(0, 1).filter(|(_, sample)| matches!(sample, Sample::Valid(_))).count() as u64;
    let total = (kinds + rules).saturating_mul(u64::from(args.count));
    let mut progress = Progress::new("files");
    let (mut files, mut valid, mut bytes) = (Vec::new(), 0_u64, 0_u64);
    for (path, sample) in corpus(args.seed, args.count) {
        write(&folder.join(&path), sample.bytes())?;
        valid = valid.saturating_add(matches!(sample, Sample::Valid(_)).into());
        bytes = bytes.saturating_add(sample.bytes().len() as u64);
        files.push(file(&path, &sample));
        progress.show(files.len() as u64, Some(total));
    }
    let mutants = (files.len() as u64).saturating_sub(valid);

    let mut manifest = Output::default();
    let members: Vec<(&'static str, Value)> = vec![
        ("bitwire", env!("CARGO_PKG_VERSION").into()),
        ("seed", args.seed.into()),
        ("count", args.count.into()),
        ("rules", Rule::all().map(about).collect()),
        ("files", files.into()),
    ];
    manifest.json("fuzz-corpus-manifest", members);
    let path = folder.join(MANIFEST);
    write(&path, manifest.bytes())?;

    if args.json {
        let digest: [u8; 32] = Sha256::digest(manifest.bytes()).into();
        let members: Vec<(&'static str, Value)> = vec![
            ("folder", input::name(folder).into()),
            ("seed", args.seed.into()),
            ("count", args.count.into()),
            ("rules", rules.into()),
            ("valid", valid.into()),
            ("mutants", mutants.into()),
            ("bytes", bytes.into()),
            ("manifest", MANIFEST.into()),
            ("manifest_sha256", hex(&digest).into()),
        ];
        out.json("fuzz-corpus", members);
    } else {
        out.line(format_args!(
            "{}: {valid} valid frames, {mutants} mutants of {rules} rules, {bytes} bytes; what to expect: {}",
            input::name(folder),
            Escaped::path(&path),
        ));
    }
    Ok(Outcome::Good)
}

/// Makes the folder, if need be, and those in it. One that has something in it is refused.
fn prepare(folder: &Path) -> Result<(), Problem> {
    if input::is_stream(folder) {
        return Err(Problem::Usage("a corpus is written to a folder, not to standard output (-)".to_owned()));
    }
    let failed = |path: &Path, error| Problem::from(FileError::new(path, error));
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(folder, error)),
        _ => {}
    }
    let first = fs::read_dir(folder).map_err(|error| failed(folder, error))?.next();
    if first.transpose().map_err(|error| failed(folder, error))?.is_some() {
        return Err(Problem::Usage(format!(
            "{}: is not empty, and a corpus overwrites nothing; name another folder",
            Escaped::path(folder)
        )));
    }
    for name in ["valid", "mutant"] {
        let path = folder.join(name);
        fs::create_dir(&path).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    write_whole(path, |file| Ok(file.write_all(bytes)?))?;
    Ok(())
}

/// What the manifest says of a rule.
fn about(rule: &Rule) -> Value {
    json!({
        "rule": rule.name(),
        "view": rule.view().name(),
        "document": rule.document(),
        "section": rule.section(),
        "step": rule.step(),
        "error": rule.error(),
    })
}

/// What the manifest says of a file, in the words of the vectors in spec/.
fn file(path: &str, sample: &Sample) -> Value {
    let bytes = sample.bytes();
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut about = Map::new();
    let mut put = |name: &str, value: Value| about.insert(name.to_owned(), value);
    put("file", path.into());
    put("view", sample.view().name().into());
    match sample {
        Sample::Valid(_) => {
            put("verdict", "accept".into());
        }
        Sample::Mutant(mutant) => {
            put("verdict", "reject".into());
            put("rule", mutant.rule().name().into());
            put("error", error(mutant));
        }
    }
    if let Some(key) = sample.key() {
        put("key", hex(key).into());
    }
    put("len", bytes.len().into());
    put("sha256", hex(&digest).into());
    about.into()
}

/// As in the vectors, the offset is left out where the documents state none.
fn error(mutant: &Mutant) -> Value {
    match mutant.offset() {
        Some(offset) => json!({ "kind": mutant.rule().error(), "offset": offset }),
        None => json!({ "kind": mutant.rule().error() }),
    }
}

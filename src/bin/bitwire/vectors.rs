//! `vectors`: the conformance vectors of spec/vectors, and what another implementation says of them.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bitwire::io::output::write_whole;
use bitwire::io::{Escaped, FileError};
use clap::{Args, Subcommand};
use serde_json::{Deserializer, Value, json};

use crate::exit::{Outcome, Output, Problem};
use crate::input;

/// The vectors are part of the program, so that who has it needs nothing else.
macro_rules! files {
    ($($name:literal)*) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../spec/vectors/", $name)))),*];
    };
}

files! {
    "accumulated.json" "beacon.json" "certificate.json" "chunk.json" "context.json" "engram_index.json" "frame.json"
    "gist.json" "index.json" "ledger.json" "mirror.json" "mu16.json" "pack.json" "proof.json" "state.json" "stream.json"
    "whitening.json"
}

/// Bytes of a file of results. As values in memory they may take thirty times as much; the largest file of vectors has less
/// than one of these MiB.
const MAX_RESULTS: u64 = 8 << 20;
/// Failures told of each file, unless all are asked for.
const SHOWN: usize = 20;
/// Unknown ids kept of each file, even if all are asked for: a file has room for a million.
const UNKNOWN_KEPT: usize = 1000;
/// Characters told of a value or an id from outside.
const SHOWN_CHARS: usize = 72;

#[derive(Subcommand)]
pub(crate) enum VectorsVerb {
    Check(Check),
    Write(Write),
}

/// Judge an implementation by what it says of the conformance vectors
///
/// DIR has a file for each file of the vectors, under the same name, in which each case has a JSON object, one after the other: its
/// id, the verdict, with "reject" the error (kind and offset), and otherwise the members that the case of the vectors has, most
/// often expect. See spec/README.md, "Judging an implementation".
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire vectors write vectors && ./my-reader vectors results && bitwire vectors check results\n\n  \
    A line of results/frame.json:\n  \
    {\"id\": \"cut-0\", \"verdict\": \"reject\", \"error\": {\"kind\": \"Truncated\", \"offset\": 0}}\n\n\
    Exit status: 0 everything held; 1 something did not, or is missing; 2 a file cannot be read.")]
pub(crate) struct Check {
    /// Folder with the results
    dir: PathBuf,
    /// Judge only what is said: files, cases and members may be missing
    #[arg(long)]
    partial: bool,
    /// Tell of every case that did not hold, not only of the first 20 of each file
    #[arg(long)]
    all: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// Write the conformance vectors to a folder
///
/// No file is overwritten.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire vectors write vectors && jq .notes vectors/frame.json")]
pub(crate) struct Write {
    /// Folder to write to; made if it is not there
    dir: PathBuf,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(verb: VectorsVerb, out: &mut Output) -> Result<Outcome, Problem> {
    match verb {
        VectorsVerb::Check(args) => check(&args, out),
        VectorsVerb::Write(args) => write(&args, out),
    }
}

fn no_stream(dir: &Path) -> Result<(), Problem> {
    if input::is_stream(dir) {
        return Err(Problem::Usage("a folder is needed, not a stream (-)".to_owned()));
    }
    Ok(())
}

fn write(args: &Write, out: &mut Output) -> Result<Outcome, Problem> {
    no_stream(&args.dir)?;
    match fs::create_dir(&args.dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(FileError::new(&args.dir, error).into());
        }
        _ => {}
    }
    let paths: Vec<PathBuf> = FILES.iter().map(|(name, _)| args.dir.join(name)).collect();
    if let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Problem::Usage(format!(
            "{}: is there already, and vectors overwrite nothing; name another folder",
            Escaped::path(path)
        )));
    }
    for (path, (_, text)) in paths.iter().zip(FILES) {
        write_whole(path, |file| Ok(file.write_all(text.as_bytes())?))?;
    }
    let bytes: usize = FILES.iter().map(|(_, text)| text.len()).sum();
    let dir = input::name(&args.dir);
    if args.json {
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        out.json(
            "vectors-write",
            vec![("folder", dir.into()), ("files", names.into()), ("bytes", bytes.into())],
        );
    } else {
        out.line(format_args!("{dir}: {} files of vectors, {bytes} bytes", FILES.len()));
    }
    Ok(Outcome::Good)
}

fn check(args: &Check, out: &mut Output) -> Result<Outcome, Problem> {
    no_stream(&args.dir)?;
    tell_of_strangers(&args.dir)?;
    if FILES.iter().all(|(name, _)| args.dir.join(name).symlink_metadata().is_err()) {
        return Err(Problem::Usage(format!(
            "{}: has no results: a file of the name of one of the vectors is needed, such as frame.json",
            input::name(&args.dir)
        )));
    }
    let (mut files, mut held, mut cases) = (Vec::new(), 0, 0);
    let (mut all_held, mut unreadable) = (true, false);
    for (name, text) in FILES {
        let vectors = vectors(text);
        let mut judged = Judged::new(name, &vectors);
        let path = args.dir.join(name);
        let results = read(&path).and_then(|bytes| {
            let judged = bytes.map_or(Ok(()), |bytes| judged.read(&bytes, args.partial));
            judged.map_err(|error| Problem::Usage(format!("{}: {error}", Escaped::path(&path))))
        });
        cases += vectors.len();
        if let Err(problem) = results {
            // The other files are still worth judging.
            problem.report();
            files.push(json!({ "file": name, "cases": vectors.len(), "problem": problem.to_string() }));
            unreadable = true;
            continue;
        }
        let sums = judged.sums();
        held += sums.held;
        all_held &= sums.all_held(args.partial);
        let failures = judged.failures(args.partial);
        let limit = if args.all { failures.len() } else { SHOWN };
        let told = failures.get(..limit).unwrap_or(&failures);
        let left_out = failures.len() - told.len() + judged.unknown_count - judged.unknown.len();
        if args.json {
            files.push(sums.json(name, vectors.len(), told, left_out));
        } else {
            sums.print(name, vectors.len(), out);
            for failure in told {
                out.line(format_args!("  {failure}"));
            }
            if left_out > 0 {
                let more = if args.all { "" } else { "; --all tells more" };
                out.line(format_args!("  and {left_out} others{more}"));
            }
        }
    }
    if args.json {
        let members = vec![
            ("folder", Value::from(input::name(&args.dir))),
            ("valid", (all_held && !unreadable).into()),
            ("cases", cases.into()),
            ("held", held.into()),
            ("files", files.into()),
        ];
        out.json("vectors-check", members);
    } else {
        out.line(format_args!("{}: {held} of {cases} cases held", input::name(&args.dir)));
    }
    if unreadable { Err(Problem::Reported) } else { Ok(Outcome::valid(all_held)) }
}

/// A misspelt name would otherwise be no more than a file that is missing.
fn tell_of_strangers(dir: &Path) -> Result<(), Problem> {
    let failed = |error| FileError::new(dir, error);
    let mut strangers = 0_u64;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let json = Path::new(&name).extension().is_some_and(|extension| extension == "json");
        if json && !FILES.iter().any(|(known, _)| name == *known) {
            strangers = strangers.saturating_add(1);
            if strangers <= 5 {
                complain(format_args!(
                    "{}: there are no vectors of this name",
                    Escaped::path(&dir.join(&name))
                ));
            }
        }
    }
    if strangers > 5 {
        complain(format_args!("{} more such files", strangers - 5));
    }
    Ok(())
}

/// To standard error, which may be closed.
fn complain(line: impl Display) {
    let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("bitwire: {line}\n"));
}

/// The cases of a file of vectors.
fn vectors(text: &str) -> Vec<Value> {
    let file: Option<Value> = serde_json::from_str(text).ok();
    match file.as_ref().and_then(|file| file.get("cases")) {
        Some(Value::Array(cases)) => cases.clone(),
        _ => Vec::new(),
    }
}

/// A file of results, if there is one.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Problem> {
    let failed = |error| FileError::new(path, error);
    // A pipe by this name would keep whoever opens it waiting.
    match fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(Problem::Usage(format!("{}: is no file", Escaped::path(path)))),
        // A link to nothing is a mistake, not a file that was left out.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error).into()),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_RESULTS + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_RESULTS {
        let path = Escaped::path(path);
        return Err(Problem::Usage(format!(
            "{path}: is longer than {MAX_RESULTS} bytes, the most of a file of results"
        )));
    }
    Ok(Some(bytes))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Verdict,
    Error,
    Value,
    Missing,
    Twice,
    Unknown,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::Verdict => "wrong-verdict",
            Self::Error => "wrong-error",
            Self::Value => "wrong-value",
            Self::Missing => "missing",
            Self::Twice => "twice",
            Self::Unknown => "unknown",
        }
    }
}

/// Where what is said is not what the vectors state.
#[derive(Clone)]
struct Difference {
    member: String,
    /// Cut short; `None` where nothing is said.
    said: Option<String>,
    stated: String,
}

#[derive(Clone)]
struct Failure {
    id: String,
    what: What,
    difference: Option<Difference>,
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", Escaped::new(self.id.as_bytes()))?;
        match (&self.difference, self.what) {
            (Some(Difference { member, said: Some(said), stated }), _) => {
                write!(f, "{member} is {}, and has to be {stated}", Escaped::new(said.as_bytes()))
            }
            (Some(Difference { member, said: None, stated }), _) => {
                write!(f, "{member} is not said, and has to be {stated}")
            }
            (None, What::Twice) => f.write_str("is there twice"),
            (None, What::Unknown) => f.write_str("there is no such case"),
            (None, _) => f.write_str("is missing"),
        }
    }
}

/// What became of the cases of a file.
struct Judged<'a> {
    cases: &'a [Value],
    /// Of each id the place of its case.
    places: HashMap<&'a str, usize>,
    /// Of each case nothing yet, that it held, or what is wrong.
    found: Vec<Option<Result<(), Failure>>>,
    /// The first of the ids that no case has, and how many there are in all.
    unknown: Vec<Failure>,
    unknown_count: usize,
    file: &'static str,
}

impl<'a> Judged<'a> {
    fn new(file: &'static str, cases: &'a [Value]) -> Self {
        let places = cases.iter().enumerate().map(|(place, case)| (text(case, "id"), place)).collect();
        Self { cases, places, found: vec![None; cases.len()], unknown: Vec::new(), unknown_count: 0, file }
    }

    /// Results one after the other, or lists of them as the vectors have them.
    fn read(&mut self, bytes: &[u8], partial: bool) -> Result<(), String> {
        for value in Deserializer::from_slice(bytes).into_iter::<Value>() {
            let value = value.map_err(|error| format!("not JSON: {error}"))?;
            match value.get("cases") {
                Some(Value::Array(results)) => {
                    results.iter().try_for_each(|result| self.judge(result, partial))?;
                }
                _ => self.judge(&value, partial)?,
            }
        }
        Ok(())
    }

    fn judge(&mut self, result: &Value, partial: bool) -> Result<(), String> {
        let Some(id) = result.get("id").and_then(Value::as_str) else {
            let result = short(result);
            return Err(format!("a result is an object with an id, not {}", Escaped::new(result.as_bytes())));
        };
        let Some((place, case)) =
            self.places.get(id).and_then(|&place| Some((place, self.cases.get(place)?)))
        else {
            self.unknown_count += 1;
            if self.unknown.len() < UNKNOWN_KEPT {
                self.unknown.push(Failure { id: cut(id), what: What::Unknown, difference: None });
            }
            return Ok(());
        };
        let found = differs(case, result, partial).map(|(what, difference)| Failure {
            id: id.to_owned(),
            what,
            difference: Some(difference),
        });
        if let Some(slot) = self.found.get_mut(place) {
            *slot = Some(match slot {
                Some(_) => Err(Failure { id: id.to_owned(), what: What::Twice, difference: None }),
                None => found.map_or(Ok(()), Err),
            });
        }
        Ok(())
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums { unknown: self.unknown_count, ..Sums::default() };
        for found in &self.found {
            let sum = match found {
                None => &mut sums.missing,
                Some(Ok(())) => &mut sums.held,
                Some(Err(failure)) => match failure.what {
                    What::Verdict => &mut sums.wrong_verdict,
                    What::Error => &mut sums.wrong_error,
                    What::Value => &mut sums.wrong_value,
                    What::Missing => &mut sums.missing,
                    What::Twice => &mut sums.twice,
                    What::Unknown => &mut sums.unknown,
                },
            };
            *sum += 1;
        }
        sums
    }

    /// Those of the cases in their order, then what belongs to none.
    fn failures(&self, partial: bool) -> Vec<Failure> {
        let mut failures = Vec::new();
        // Of a file that is not there one line is enough.
        let whole = self.found.iter().all(Option::is_none) && self.unknown.is_empty();
        if whole && !partial {
            failures.push(Failure { id: self.file.to_owned(), what: What::Missing, difference: None });
            return failures;
        }
        for (case, found) in self.cases.iter().zip(&self.found) {
            match found {
                Some(Err(failure)) => failures.push(failure.clone()),
                None if !partial => {
                    let id = text(case, "id").to_owned();
                    failures.push(Failure { id, what: What::Missing, difference: None });
                }
                _ => {}
            }
        }
        failures.extend(self.unknown.iter().cloned());
        failures
    }
}

#[derive(Default)]
struct Sums {
    held: usize,
    wrong_verdict: usize,
    wrong_error: usize,
    wrong_value: usize,
    missing: usize,
    twice: usize,
    unknown: usize,
}

impl Sums {
    /// Each with its name as JSON has it, and as text does.
    fn wrong(&self) -> [(&'static str, &'static str, usize); 6] {
        [
            ("wrong_verdict", "wrong verdict", self.wrong_verdict),
            ("wrong_error", "wrong error", self.wrong_error),
            ("wrong_value", "wrong value", self.wrong_value),
            ("missing", "missing", self.missing),
            ("twice", "twice", self.twice),
            ("unknown", "unknown id", self.unknown),
        ]
    }

    fn all_held(&self, partial: bool) -> bool {
        self.wrong().iter().all(|(name, _, count)| *count == 0 || partial && *name == "missing")
    }

    fn print(&self, name: &str, cases: usize, out: &mut Output) {
        let mut line = format!("{name}: {} of {cases} cases held", self.held);
        let wrong = self.wrong();
        let wrong = wrong.iter().filter(|(_, _, count)| *count > 0);
        for (i, (_, name, count)) in wrong.enumerate() {
            line.push_str(if i == 0 { "; " } else { ", " });
            line.push_str(&format!("{name} {count}"));
        }
        out.line(line);
    }

    fn json(&self, name: &str, cases: usize, told: &[Failure], left_out: usize) -> Value {
        let told = told.iter().map(|failure| {
            let mut told = json!({ "id": failure.id, "what": failure.what.name() });
            if let (Some(difference), Some(told)) = (&failure.difference, told.as_object_mut()) {
                told.insert("member".to_owned(), difference.member.clone().into());
                told.insert("said".to_owned(), difference.said.clone().into());
                told.insert("stated".to_owned(), difference.stated.clone().into());
            }
            told
        });
        let mut file = json!({
            "file": name, "cases": cases, "held": self.held, "failures": told.collect::<Vec<_>>(),
            "failures_left_out": left_out, "problem": null,
        });
        if let Some(file) = file.as_object_mut() {
            file.extend(self.wrong().map(|(name, _, count)| (name.to_owned(), count.into())));
        }
        file
    }
}

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The members of a case that say what a reader or writer found (spec/README.md). All others are what it is given.
fn answers(case: &Value) -> &'static [&'static str] {
    match (text(case, "view"), text(case, "verdict")) {
        (_, "reject") => &["error", "damaged"],
        ("quantise", _) => &["q", "saturated", "dequantised_hex"],
        ("auto", _) => &["delta_q16"],
        ("pack", _) => &["hex", "tokens"],
        ("choose", _) => &["encoding", "element", "bits", "hex"],
        _ => &["expect"],
    }
}

/// The first thing that is said otherwise than the case states it.
fn differs(case: &Value, result: &Value, partial: bool) -> Option<(What, Difference)> {
    let differs = |member: &'static str| {
        let mut path = member.to_owned();
        case.get(member).and_then(|stated| difference(&mut path, result.get(member), stated, case, partial))
    };
    if result.get("verdict") != case.get("verdict") {
        let said = result.get("verdict").map(short);
        let mut stated = text(case, "verdict").to_owned();
        if let Some(error) = case.get("error") {
            stated.push_str(&format!(" ({})", short(error)));
        }
        return Some((What::Verdict, Difference { member: "verdict".to_owned(), said, stated }));
    }
    let what = if text(case, "verdict") == "reject" { What::Error } else { What::Value };
    answers(case).iter().find_map(|member| differs(member)).map(|difference| (what, difference))
}

/// As deep as the vectors are: what is said may be nested deeper, but is looked at no further.
fn difference(
    path: &mut String,
    said: Option<&Value>,
    stated: &Value,
    case: &Value,
    partial: bool,
) -> Option<Difference> {
    let wrong = |path: &str, said: Option<String>, stated: String| {
        Some(Difference { member: path.to_owned(), said, stated })
    };
    let len = path.len();
    match (said, stated) {
        (None, _) if partial => None,
        (None, _) => wrong(path, None, short(stated)),
        (Some(Value::Object(said)), Value::Object(stated)) => stated.iter().find_map(|(name, stated)| {
            path.push('.');
            path.push_str(name);
            let found = difference(path, said.get(name), stated, case, partial);
            path.truncate(len);
            found
        }),
        (Some(Value::Array(said)), Value::Array(stated)) => {
            if said.len() != stated.len() {
                let many = |list: &[Value]| format!("a list of {}", list.len());
                return wrong(path, Some(many(said)), many(stated));
            }
            said.iter().zip(stated).enumerate().find_map(|(i, (said, stated))| {
                path.push_str(&format!("[{i}]"));
                let found = difference(path, Some(said), stated, case, partial);
                path.truncate(len);
                found
            })
        }
        (Some(said), stated) if said == stated || near(path, said, stated, case) => None,
        (Some(said), stated) => wrong(path, Some(short(said)), short(stated)),
    }
}

/// The order of the sums of errors is not stated, so that they may be off in the last digits.
fn near(path: &str, said: &Value, stated: &Value, case: &Value) -> bool {
    let number = |value: &Value| {
        let text = value.as_str().filter(|text| text.len() == 16)?;
        u64::from_str_radix(text, 16).ok().map(f64::from_bits)
    };
    text(case, "view") == "store"
        && matches!(path, "expect.max_error" | "expect.rms_error")
        && number(said)
            .zip(number(stated))
            .is_some_and(|(said, stated)| (said - stated).abs() <= 1e-12 * stated)
}

fn short(value: &Value) -> String {
    cut(&serde_json::to_string(value).unwrap_or_default())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

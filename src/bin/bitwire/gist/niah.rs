//! `gist niah`.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bitwire::gist::niah::{
    Generator, Haystack, Language, MAX_GISTS, MAX_TEXT, Plan, TextTokens, write_spans,
};
use bitwire::io::output::OutputFile;
use bitwire::io::{Escaped, FileError};
use bitwire::ledger::storage::{LedgerPath, Part, Storage};
use bitwire::ledger::{LedgerError, LedgerOptions, LedgerWriter};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::args::Common;
use crate::exit::{Outcome, Output, Problem, hex, tell};
use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::{input, keys};

/// Make samples with a passkey hidden in a text, and the question for it
///
/// A grid of depths and lengths, or samples at random. The same options give the same bytes, and Python's random gives the same
/// needles.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire gist niah samples.jsonl --depths 0,50,100 --lengths 2000,8000 --samples 10 --ledger samples.ledger\n\n\
    Each line is a JSON object with context, question, answer, needle, needle_position (0 to 1), context_length_chars, id and \
    language. Let a model answer, add the answer to each line as the member prediction, and call `bitwire gist score`.")]
pub(crate) struct Niah {
    /// File to write, a sample on each line; - for standard output
    pub(crate) out: PathBuf,
    /// Language of the passkey's sentence and of the question, and of the text that comes with this program
    #[arg(long, value_enum, default_value = "en")]
    pub(crate) language: LanguageArg,
    /// Where in the text the passkey stands, in percent
    #[arg(
        long, value_name = "PERCENT,...", value_delimiter = ',', default_value = "0,25,50,75,100",
        value_parser = percent, allow_negative_numbers = true
    )]
    pub(crate) depths: Vec<f64>,
    /// As many depths, evenly from 0 to 100 %, in place of --depths
    #[arg(long, value_name = "N", conflicts_with = "depths", value_parser = depth_count, allow_negative_numbers = true)]
    pub(crate) depth_count: Option<u32>,
    /// Lengths of the contexts, in characters (Unicode code points)
    #[arg(
        long,
        value_name = "CHARS,...",
        value_delimiter = ',',
        default_value = "1000,2000,4000,8000",
        allow_negative_numbers = true
    )]
    pub(crate) lengths: Vec<u64>,
    /// Samples for each depth and length
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true)]
    pub(crate) samples: u64,
    /// In place of a grid: as many samples, at positions from 20 to 80 %, both these and the lengths drawn
    #[arg(
        long, value_name = "N", conflicts_with_all = ["depths", "depth_count", "lengths", "samples"],
        allow_negative_numbers = true
    )]
    pub(crate) random: Option<u64>,
    /// With --random: the shortest and the longest context, in characters
    #[arg(long, value_name = "MIN-MAX", default_value = "1000-8000", requires = "random", value_parser = between)]
    pub(crate) between: (u64, u64),
    /// Where the random numbers start, from 0 to 18446744073709551615
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Text to hide passkeys in (UTF-8), in place of the one that comes with this program; again for more; - for standard input
    #[arg(long = "text", value_name = "FILE", conflicts_with = "from_ledger")]
    pub(crate) texts: Vec<PathBuf>,
    /// Ledger with the text to hide passkeys in
    #[arg(long, value_name = "LEDGER")]
    pub(crate) from_ledger: Option<PathBuf>,
    /// What the tokens of that ledger are, as a text
    #[arg(long, value_enum, default_value = "utf8", requires = "from_ledger")]
    pub(crate) text_tokens: TextTokensArg,
    /// Write a new ledger of all contexts too, for `gist score --ledger`
    #[arg(long, value_name = "LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
    /// Make training samples, with an instruction and N gist tokens
    #[arg(long, value_name = "N", value_parser = gists, allow_negative_numbers = true)]
    pub(crate) training_gists: Option<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LanguageArg {
    /// English
    En,
    /// Korean
    Ko,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum TextTokensArg {
    /// bytes of UTF-8
    Utf8,
    /// Unicode code points
    CodePoints,
}

/// The part that so many percent are: 33.3 is the number nearest to 0.333, which 33.3 / 100 is not.
fn percent(text: &str) -> Result<f64, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let part = if digits { format!("{text}e-2").parse().ok() } else { None };
    part.filter(|part: &f64| (0.0..=1.0).contains(part)).ok_or("has to be a number from 0 to 100".to_owned())
}

fn depth_count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| (2..=10_001).contains(count));
    count.ok_or("has to be a whole number from 2 to 10001".to_owned())
}

fn between(text: &str) -> Result<(u64, u64), String> {
    let both = text.split_once('-').and_then(|(min, max)| Some((min.parse().ok()?, max.parse().ok()?)));
    both.ok_or("has to be two whole numbers, such as 1000-8000".to_owned())
}

fn gists(text: &str) -> Result<u32, String> {
    let gists = text.parse().ok().filter(|gists| (1..=MAX_GISTS).contains(gists));
    gists.ok_or(format!("has to be a whole number from 1 to {MAX_GISTS}"))
}

pub(crate) fn niah(args: &Niah, out: &mut Output) -> Result<Outcome, Problem> {
    input::one_result(&args.out, args.common.json)?;
    input::one_stream(args.texts.iter().map(PathBuf::as_path))?;
    let key = keys::key(&args.common.key)?;
    let usage = |error: bitwire::Error| Problem::Usage(error.to_string());
    let plan = match (args.random, args.depth_count) {
        (Some(count), _) => Plan::random(count, args.between.0, args.between.1),
        (None, Some(count)) => {
            let last = f64::from(count.saturating_sub(1));
            let depths = (0..count).map(|i| f64::from(i) / last).collect();
            Plan::grid(depths, args.lengths.clone(), args.samples)
        }
        (None, None) => Plan::grid(args.depths.clone(), args.lengths.clone(), args.samples),
    }
    .map_err(usage)?;
    let language = match args.language {
        LanguageArg::En => Language::English,
        LanguageArg::Ko => Language::Korean,
    };

    let mut inputs: Vec<PathBuf> = args.texts.clone();
    if let Some(path) = &args.from_ledger {
        inputs.extend(files_of(path)?);
    }
    not_over(&args.out, &inputs)?;
    let text = if let Some(path) = &args.from_ledger {
        let ledger = Ledger::new(path, key.clone())?;
        let tokens = match args.text_tokens {
            TextTokensArg::Utf8 => TextTokens::Utf8,
            TextTokensArg::CodePoints => TextTokens::CodePoints,
        };
        Haystack::from_ledger(&ledger.open()?, tokens).map_err(|error| ledger.problem(error))?
    } else if args.texts.is_empty() {
        Haystack::built_in(language)
    } else {
        let texts = args.texts.iter().map(|path| read_text(path)).collect::<Result<Vec<_>, _>>()?;
        Haystack::new(texts).map_err(usage)?
    };

    let count = plan.count();
    let samples = Generator::new(&text, plan, language, args.seed);
    let mut ledger = None;
    if let Some(path) = &args.ledger {
        let files = Ledger::new(path, key)?;
        let mut options = LedgerOptions::new().context(context().map_err(usage)?);
        if let Some(key) = &files.key {
            options = options.sign(key.clone());
        }
        let writer = LedgerWriter::create(path, options).map_err(|error| match error {
            LedgerError::Io { error, .. } if error.kind() == io::ErrorKind::AlreadyExists => {
                Problem::Usage(format!("{}: already there", files.name()))
            }
            error => files.problem(error),
        })?;
        ledger = Some((files, writer));
    }
    let made = || {
        if let Some(path) = &args.ledger {
            not_over(&args.out, &files_of(path)?)?;
        }
        let mut to = To::new(&args.out)?;
        let mut progress = Progress::new("samples");
        let mut chars = 0;
        for (sample, done) in samples.zip(1..) {
            let sample = sample.map_err(usage)?;
            chars += sample.context_length_chars;
            to.write(|to| match args.training_gists {
                Some(gists) => sample.write_training(gists, to),
                None => sample.write(to),
            })?;
            if let Some((files, writer)) = &mut ledger {
                write_spans(&sample, writer).map_err(|error| files.problem(error))?;
            }
            progress.show(done, Some(count));
            if ledger.is_none() && matches!(to, To::Closed) {
                break;
            }
        }
        drop(progress);
        // On the disk before the ledger is committed, which nothing takes back.
        to.sync()?;
        let commit = match &mut ledger {
            Some((files, writer)) => Some(writer.commit().map_err(|error| files.problem(error))?),
            None => None,
        };
        to.finish()?;
        Ok::<_, Problem>((chars, commit))
    };
    let (chars, commit) = match made() {
        Ok(made) => made,
        Err(problem) => {
            if let Some((files, writer)) = ledger
                && let Err(error) = writer.abandon()
            {
                let (file, error) = files.message(&error);
                tell!("bitwire: warning: {file}: what was written could not be taken back: {error}");
            }
            return Err(problem);
        }
    };

    let name = input::name(&args.out);
    if args.common.json {
        let ledger = commit.zip(args.ledger.as_ref()).map(|(commit, path)| {
            json!({
                "file": Escaped::path(path).to_string(),
                "tokens": commit.tokens,
                "chunks": commit.chunks,
                "root": hex(&commit.root),
            })
        });
        let members = vec![
            ("file", name.into()),
            ("samples", count.into()),
            ("characters", chars.into()),
            ("language", language.code().into()),
            ("seed", args.seed.into()),
            ("ledger", ledger.map_or(Value::Null, Value::from)),
        ];
        out.json("gist-niah", members);
    } else if !input::is_stream(&args.out) {
        out.labelled("file", name);
        out.labelled("samples", format_args!("{count} ({chars} characters)"));
        if let Some((commit, path)) = commit.zip(args.ledger.as_ref()) {
            out.labelled("ledger", Escaped::path(path));
            out.labelled("tokens", commit.tokens);
            out.labelled("root", hex(&commit.root));
        }
    }
    Ok(Outcome::Good)
}

/// The context of a ledger of texts.
fn context() -> Result<bitwire::frame::Context, bitwire::Error> {
    bitwire::frame::Context::with_members("", "", "", 0, r#"{"tokens":"utf-8"}"#)
}

/// A ledger and its index.
pub(super) fn files_of(ledger: &Path) -> Result<[PathBuf; 2], Problem> {
    let paths = LedgerPath::new(ledger)?;
    Ok([Part::Ledger, Part::Index].map(|part| paths.path(part).to_owned()))
}

pub(super) fn not_over(out: &Path, inputs: &[PathBuf]) -> Result<(), Problem> {
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    input::not_over(out, &inputs)
}

fn read_text(path: &Path) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let max = MAX_TEXT as u64;
    let read = input::open(path)?.take(max.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| FileError::new(input::label(path), error))?;
    if bytes.len() > MAX_TEXT {
        return Err(Problem::Usage(format!("{}: the text has more than {max} bytes", input::name(path))));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() as u64;
        input::unfit(path, bitwire::Error::new(bitwire::ErrorKind::Utf8 { field: "the text" }, at))
    })
}

/// Where lines go: a file that is whole or not there, or standard output as they come.
enum To<'a> {
    File {
        path: &'a Path,
        file: OutputFile,
    },
    Stdout(BufWriter<io::StdoutLock<'static>>),
    /// Standard output that nobody reads any more.
    Closed,
}

impl<'a> To<'a> {
    fn new(path: &'a Path) -> Result<Self, Problem> {
        Ok(match input::is_stream(path) {
            true => Self::Stdout(BufWriter::new(io::stdout().lock())),
            false => Self::File { path, file: OutputFile::create(path)? },
        })
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Problem> {
        match self {
            Self::File { path, file } => write(file).map_err(|error| FileError::new(*path, error).into()),
            Self::Stdout(stdout) => match write(stdout) {
                // A reader that has seen enough, such as head, is no failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    *self = Self::Closed;
                    Ok(())
                }
                written => Ok(written?),
            },
            Self::Closed => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), Problem> {
        match self {
            Self::File { file, .. } => Ok(file.sync()?),
            _ => self.write(|to| to.flush()),
        }
    }

    fn finish(self) -> Result<(), Problem> {
        match self {
            Self::File { file, .. } => Ok(file.commit()?),
            _ => Ok(()),
        }
    }
}

//! `gist score`.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bitwire::gist::niah::{
    Band, Join, JoinError, LedgerFault, LedgerRecall, Planted, Rule, Scorer, Scores, Tally, Unit,
    read_answers, read_joined,
};
use bitwire::io::Escaped;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::niah;
use crate::args::Common;
use crate::exit::{Outcome, Output, Problem, tell};
use crate::ledger::Ledger;
use crate::{input, keys};

/// Score answers to passkey samples, by depth and length
///
/// An answer is right if the passkey that was planted stands in it as a whole word: not within a longer run of letters and
/// digits of ASCII. A sample without an answer counts as wrong. Rates come with their 95 % interval (Wilson).
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire gist score answers.jsonl --svg heatmap.svg --ledger samples.ledger\n\n\
    Exit status: 0 scored, whatever the score; 1 the ledger does not recall all; 2 a line cannot be scored.")]
pub(crate) struct Score {
    /// Answers, a JSON object on each line: the sample's members and the answer, or with --samples an id and the answer; - for
    /// standard input
    pub(crate) answers: PathBuf,
    /// The samples, if the answers do not carry them; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) samples: Option<PathBuf>,
    /// With --samples: how an answer names its sample
    #[arg(long, value_enum, default_value = "id", requires = "samples")]
    pub(crate) join: JoinArg,
    /// The member with the answer
    #[arg(long, value_name = "NAME", default_value = "prediction", value_parser = member)]
    pub(crate) member: String,
    /// An answer must be nothing but the passkey; white space and punctuation around it are left out
    #[arg(long)]
    pub(crate) exact: bool,
    /// Take capital and small letters as the same
    #[arg(long)]
    pub(crate) ignore_case: bool,
    /// Ledger of the samples' contexts (`gist niah --ledger`): recall every passkey from it too
    #[arg(long, value_name = "LEDGER")]
    pub(crate) ledger: Option<PathBuf>,
    /// Draw the rates by depth and length; - for standard output, in place of the table
    #[arg(long, value_name = "OUT.svg")]
    pub(crate) svg: Option<PathBuf>,
    /// Title of the picture
    #[arg(long, value_name = "TEXT", default_value = "Passkeys found by depth and length", requires = "svg")]
    pub(crate) title: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum JoinArg {
    /// by the member id of both
    Id,
    /// line by line
    Line,
}

/// Characters of an id that are shown.
const SHOWN: usize = 64;

/// What the ledger came to.
struct Recalled {
    tally: Tally,
    /// The first sample that it has no answer to, and why.
    fault: Option<(String, LedgerFault)>,
}

/// A member that can hold an answer: none that says what the sample is.
fn member(name: &str) -> Result<String, String> {
    match name {
        "context" | "needle" | "needle_position" | "context_length_chars" | "id" => {
            Err("is a member of the sample itself".to_owned())
        }
        _ => Ok(name.to_owned()),
    }
}

pub(crate) fn score(args: &Score, out: &mut Output) -> Result<Outcome, Problem> {
    let inputs = || [Some(&args.answers), args.samples.as_ref()].into_iter().flatten().map(PathBuf::as_path);
    input::one_stream(inputs())?;
    if let Some(svg) = &args.svg {
        input::one_result(svg, args.common.json)?;
        let mut inputs: Vec<PathBuf> = inputs().map(Path::to_owned).collect();
        if let Some(ledger) = &args.ledger {
            inputs.extend(niah::files_of(ledger)?);
        }
        niah::not_over(svg, &inputs)?;
        input::check_output(svg)?;
    }
    let key = keys::key(&args.common.key)?;
    let rule = Rule::default().exact(args.exact).ignore_case(args.ignore_case);
    let mut scorer = Scorer::new(rule);
    let mut recalled = None;
    if let Some(path) = &args.ledger {
        let ledger = Ledger::new(path, key)?;
        let reader = ledger.open()?;
        let recall = LedgerRecall::new(&reader);
        let mut by_ledger = Scorer::new(rule);
        let mut fault = None;
        read(args, |planted, answer| {
            scorer.add(planted, answer);
            let found = recall.answer(planted).map_err(|error| {
                fault.get_or_insert_with(|| (planted.id.clone().unwrap_or_default(), error));
            });
            by_ledger.add(planted, found.ok().as_deref());
        })?;
        let tally = by_ledger.finish().total();
        if let Some((id, fault)) = &fault {
            let name = ledger.name();
            let (file, text) = match fault {
                LedgerFault::Ledger(error) => ledger.message(error),
                fault => (name, fault.to_string()),
            };
            // A line may be all id.
            let start: String = id.chars().take(SHOWN).collect();
            let more = if start.len() < id.len() { "..." } else { "" };
            tell!("bitwire: {file}: sample '{}{more}': {text}", Escaped::new(start.as_bytes()));
        }
        recalled = Some(Recalled { tally, fault });
    } else {
        read(args, |planted, answer| {
            scorer.add(planted, answer);
        })?;
    }
    let scores = scorer.finish();
    let total = scores.total();
    if total.samples == 0 {
        let file = input::name(args.samples.as_ref().unwrap_or(&args.answers));
        return Err(Problem::Usage(format!("{file}: there are no samples")));
    }
    if total.missing == total.samples {
        let member = Escaped::new(args.member.as_bytes());
        tell!(
            "bitwire: warning: there is not one answer; they are looked for in the member '{member}' (--member)"
        );
    }

    let ledger = recalled.as_ref().map(|recalled| recalled.tally);
    if let Some(svg) = &args.svg {
        input::write(svg, scores.to_svg(&args.title, ledger.as_ref()).as_bytes(), out)?;
    }
    if args.common.json {
        out.json("gist-score", members(args, &scores, recalled.as_ref()));
    } else if !args.svg.as_deref().is_some_and(input::is_stream) {
        for line in scores.to_string().lines() {
            out.line(line);
        }
        out.line("");
        out.labelled("found", total);
        if let Some(ledger) = ledger {
            out.labelled("ledger", ledger);
        }
    }
    Ok(Outcome::valid(ledger.is_none_or(|ledger| ledger.correct == ledger.samples)))
}

fn read(args: &Score, each: impl FnMut(&Planted, Option<&str>)) -> Result<(), Problem> {
    let open = |path| Ok::<_, Problem>(BufReader::with_capacity(64 << 10, input::open(path)?));
    let answers: BufReader<Box<dyn Read>> = open(&args.answers)?;
    let Some(path) = &args.samples else {
        return read_answers(answers, &args.member, each)
            .map_err(|cause| cause.at(input::label(&args.answers)).into());
    };
    let join = match args.join {
        JoinArg::Id => Join::Id,
        JoinArg::Line => Join::Line,
    };
    read_joined(open(path)?, answers, &args.member, join, each).map_err(|error| match error {
        JoinError::Samples(cause) => cause.at(input::label(path)).into(),
        JoinError::Answers(cause) => cause.at(input::label(&args.answers)).into(),
        // A file that is neither has no name.
        error => Problem::Usage(error.to_string()),
    })
}

fn members(args: &Score, scores: &Scores, recalled: Option<&Recalled>) -> Vec<(&'static str, Value)> {
    let depths: Vec<(Band, Tally)> = scores.depths().collect();
    let lengths: Vec<(Band, Tally)> = scores.lengths().collect();
    let mut cells = Vec::new();
    for (row, &(depth, _)) in depths.iter().enumerate() {
        for (column, &(length, _)) in lengths.iter().enumerate() {
            let tally = scores.cell(row, column).unwrap_or_default();
            let mut cell = json!({ "depth": band(depth), "length": band(length) });
            extend(&mut cell, tally);
            cells.push(cell);
        }
    }
    let margin = |name: &str, bands: &[(Band, Tally)]| -> Value {
        let rows = bands.iter().map(|&(of, tally)| {
            let mut row = json!({ name: band(of) });
            extend(&mut row, tally);
            row
        });
        rows.collect()
    };
    let mut total = json!({});
    extend(&mut total, scores.total());
    let ledger = recalled.map(|Recalled { tally, fault }| {
        let mut of = json!({
            "first_fault": fault.as_ref().map(|(id, fault)| json!({ "id": id, "message": fault.to_string() })),
        });
        extend(&mut of, *tally);
        of
    });
    vec![
        ("file", input::name(&args.answers).into()),
        ("exact", args.exact.into()),
        ("ignore_case", args.ignore_case.into()),
        ("total", total),
        ("depths", margin("depth", &depths)),
        ("lengths", margin("length", &lengths)),
        ("cells", cells.into()),
        ("ledger", ledger.unwrap_or(Value::Null)),
    ]
}

/// A number, or a bin as an array of its ends.
fn band(band: Band) -> Value {
    let number = |end: f64| match band.unit {
        Unit::Length => json!(end as u64),
        _ => json!(end),
    };
    if band.low == band.high { number(band.low) } else { json!([number(band.low), number(band.high)]) }
}

fn extend(row: &mut Value, tally: Tally) {
    let (low, high) = tally.interval().unzip();
    if let Value::Object(row) = row {
        row.extend([
            ("samples".to_owned(), tally.samples.into()),
            ("correct".to_owned(), tally.correct.into()),
            ("missing".to_owned(), tally.missing.into()),
            ("rate".to_owned(), tally.rate().into()),
            ("low".to_owned(), low.into()),
            ("high".to_owned(), high.into()),
        ]);
    }
}

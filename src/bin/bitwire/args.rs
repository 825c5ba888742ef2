//! What the command line takes.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;

use bitwire::beacon::StepChoice;
use bitwire::beacon::mu16::Step;
use bitwire::beacon::stats::Sigma;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::engram::args::EngramVerb;
use crate::fuzz_corpus::FuzzCorpus;
use crate::gist::GistVerb;
use crate::ledger::args::LedgerVerb;
use crate::mirror::args::MirrorVerb;
use crate::recover::Recover;
use crate::vectors::VectorsVerb;

/// Compact, verifiable formats for the context of language models.
///
/// Exit status: 0 done, or valid; 1 checked and found invalid, or drifted past the threshold asked for; 2 bad usage
/// or input that cannot be read.
#[derive(Parser)]
#[command(name = "bitwire", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make and read drift beacons
    Beacon {
        #[command(subcommand)]
        verb: BeaconVerb,
    },
    Verify(Verify),
    Route(Route),
    Inspect(Inspect),
    /// Exchange statistics with NumPy (.npz with mu, Sigma, W, t0, t1)
    Scl {
        #[command(subcommand)]
        verb: SclVerb,
    },
    /// Keep tokens exactly: ingest, recall, verify and prove them
    Ledger {
        #[command(subcommand)]
        verb: LedgerVerb,
    },
    /// Keep agents as differences from one master: diff, apply, stats
    Mirror {
        #[command(subcommand)]
        verb: MirrorVerb,
    },
    /// Fingerprint contexts by their keys, and find them again
    Engram {
        #[command(subcommand)]
        verb: EngramVerb,
    },
    /// Carry compressed contexts, and measure what they keep
    Gist {
        #[command(subcommand)]
        verb: GistVerb,
    },
    Recover(Recover),
    FuzzCorpus(FuzzCorpus),
    /// Judge another implementation by the conformance vectors
    Vectors {
        #[command(subcommand)]
        verb: VectorsVerb,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  bitwire completions bash > /etc/bash_completion.d/bitwire")]
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  bitwire man > bitwire.1 && man ./bitwire.1")]
    Man,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for one run
pub(crate) enum BeaconVerb {
    Emit(Box<Emit>),
    Show(Show),
}

#[derive(Subcommand)]
pub(crate) enum SclVerb {
    Export(Export),
    Import(Import),
}

/// Measure a window of vectors and write its beacon
///
/// The beacon carries the mean in MU16 (16-bit steps), the window's statistics, and its drift: from a baseline, or of the
/// window's second half from its first. The score is SDS = w_mu * distance of the means + w_trS * trace of the covariance.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire beacon emit window.npy out.bit docs minilm-l6 en \\\n      \
    --baseline baseline.npy --sds-threshold 0.9")]
pub(crate) struct Emit {
    /// Matrix of f16, f32 or f64, one vector a row (.npy, either order); - for standard input
    pub(crate) window: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// MU16 step in units of 2^-16; auto is the smallest at which nothing saturates
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = step, allow_negative_numbers = true)]
    pub(crate) delta_q16: StepChoice,
    /// How much of the covariance to carry; auto takes the most that fits
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) sigma: SigmaArg,
    /// What to measure the drift from: a beacon of the same context (verified, if there is a key), or a matrix
    #[arg(long, value_name = "FILE.bit|FILE.npy")]
    pub(crate) baseline: Option<PathBuf>,
    /// Weight w_mu of the distance of the means in SDS
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = weight, allow_negative_numbers = true)]
    pub(crate) sds_w_mu: f64,
    /// Weight w_trS of the covariance's trace in SDS
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = weight, allow_negative_numbers = true)]
    pub(crate) sds_w_trs: f64,
    /// SDS from which on the beacon is flagged ALERT; it is written all the same, and the exit status is 1
    #[arg(long, value_name = "F", value_parser = finite, allow_negative_numbers = true)]
    pub(crate) sds_threshold: Option<f64>,
    /// Time at which the window starts, in seconds
    #[arg(long, value_name = "F", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    pub(crate) t0: f64,
    /// Time at which the window ends, in seconds [default: t0]
    #[arg(long, value_name = "F", value_parser = finite, allow_negative_numbers = true)]
    pub(crate) t1: Option<f64>,
    /// Use the first N rows only
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_rows: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Show a beacon: its mean, statistics and drift
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire beacon show out.bit --json | jq .results.SDS")]
pub(crate) struct Show {
    /// The beacon; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Check files of one or more frames: structure, CRC, context, digest, and with a key their HMAC
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire verify beacons/*.bit --hmac-key-file team.key\n\n\
    Exit status: 0 every frame is valid; 1 one is not; 2 a file cannot be read.")]
pub(crate) struct Verify {
    /// Files to check; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Print each frame's routing key (BLAKE2b-256), and with --shards the shard it belongs to
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire route out.bit --shards 16")]
pub(crate) struct Route {
    /// File of one or more frames; - for standard input
    pub(crate) file: PathBuf,
    /// Number of shards; a second column then says which, from 0 to N - 1
    #[arg(long, value_name = "N", value_parser = shards, allow_negative_numbers = true)]
    pub(crate) shards: Option<NonZeroU64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Explain a file byte by byte: offset, hex, field, value, verdict
///
/// Goes on past damage as far as it can. The exit status is 1 if anything is wrong.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire inspect damaged.bit | less")]
pub(crate) struct Inspect {
    /// The file; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write a beacon's statistics as a NumPy archive
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire scl export out.bit out.npz\n  \
    python3 -c 'import numpy; print(numpy.load(\"out.npz\")[\"mu\"])'")]
pub(crate) struct Export {
    /// The beacon; - for standard input
    pub(crate) beacon: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write a beacon from a NumPy archive of statistics
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire scl import stats.npz out.bit docs minilm-l6 en --delta-q16 auto")]
pub(crate) struct Import {
    /// Archive with mu (dim,), Sigma (dim, dim), W, t0, t1; - for standard input
    pub(crate) archive: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// MU16 step in units of 2^-16; auto is the smallest at which nothing saturates
    #[arg(long, value_name = "N|auto", value_parser = step, allow_negative_numbers = true)]
    pub(crate) delta_q16: StepChoice,
    /// How much of the covariance to carry; auto takes the most that fits
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) sigma: SigmaArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The context: three ids, by place or by name, and further members.
#[derive(Args)]
pub(crate) struct ContextArgs {
    /// Id of the vector space; give all three ids or none [default: ""]
    #[arg(value_name = "SPACE", requires_all = ["model_id", "pi_id"])]
    pub(crate) space_id: Option<String>,
    /// Id of the model [default: ""]
    #[arg(value_name = "MODEL")]
    pub(crate) model_id: Option<String>,
    /// Id of the projection that made the vectors [default: ""]
    #[arg(value_name = "PI")]
    pub(crate) pi_id: Option<String>,
    /// Id of the vector space, by name in place of the three ids above
    #[arg(long, value_name = "SPACE", conflicts_with = "space_id")]
    pub(crate) space: Option<String>,
    /// Id of the model, by name
    #[arg(long, value_name = "MODEL", conflicts_with = "space_id")]
    pub(crate) model: Option<String>,
    /// Id of the projection, by name
    #[arg(long, value_name = "PI", conflicts_with = "space_id")]
    pub(crate) pi: Option<String>,
    /// Further members of the context, as a JSON object: '{"tokenizer":"bpe-50k"}'
    #[arg(long = "context", value_name = "JSON")]
    pub(crate) members: Option<String>,
}

/// The context of verbs that take a list after it: three ids by place, and further members.
#[derive(Args)]
pub(crate) struct LeadingContextArgs {
    /// Id of the vector space
    #[arg(value_name = "SPACE")]
    pub(crate) space_id: String,
    /// Id of the model
    #[arg(value_name = "MODEL")]
    pub(crate) model_id: String,
    /// Id of the projection that made the vectors
    #[arg(value_name = "PI")]
    pub(crate) pi_id: String,
    /// Further members of the context, as a JSON object: '{"layer":5}'
    #[arg(long = "context", value_name = "JSON")]
    pub(crate) members: Option<String>,
}

/// What every verb that makes or reads frames takes.
#[derive(Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The HMAC key; its environment variable is read in keys.rs.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// File with the HMAC key: 32 to 128 hex digits, or 16 to 64 raw bytes [env: BITWIRE_HMAC_KEY_HEX, in hex]
    #[arg(long, value_name = "PATH")]
    pub(crate) hmac_key_file: Option<PathBuf>,
    /// The HMAC key in hex; others on this machine can see it
    #[arg(long, value_name = "HEX")]
    pub(crate) hmac_key_hex: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SigmaArg {
    /// full to dim 179, diag to 8187, trace above
    Auto,
    /// nothing
    None,
    /// its trace
    Trace,
    /// its diagonal: the variances
    Diag,
    /// its upper triangle
    Full,
}

impl SigmaArg {
    pub(crate) fn chosen(self) -> Option<Sigma> {
        match self {
            Self::Auto => None,
            Self::None => Some(Sigma::None),
            Self::Trace => Some(Sigma::Trace),
            Self::Diag => Some(Sigma::Diagonal),
            Self::Full => Some(Sigma::Full),
        }
    }
}

pub(crate) fn step(text: &str) -> Result<StepChoice, String> {
    if text == "auto" {
        return Ok(StepChoice::Auto);
    }
    let step = text.parse().ok().and_then(|delta_q16: u32| Step::new(delta_q16).ok());
    step.map(StepChoice::Fixed).ok_or("has to be auto or a number from 1 to 4294967295".to_owned())
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or("has to be a finite number".to_owned())
}

pub(crate) fn weight(text: &str) -> Result<f64, String> {
    finite(text)
        .ok()
        .filter(|&weight| weight >= 0.0)
        .ok_or("has to be a finite number of at least 0".to_owned())
}

fn shards(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "has to be a whole number from 1 to 18446744073709551615".to_owned())
}

/// One manual page for all verbs.
pub(crate) fn man(out: &mut Vec<u8>) -> io::Result<()> {
    let mut cli = Cli::command();
    cli.build();
    // Without the list of subcommands, which names pages of their own for them.
    let man = clap_mangen::Man::new(cli.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    each_verb(&cli, out)
}

fn each_verb(command: &clap::Command, out: &mut Vec<u8>) -> io::Result<()> {
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        if verb.has_subcommands() {
            each_verb(verb, out)?;
            continue;
        }
        writeln!(out, ".SH {}", verb.get_bin_name().unwrap_or(verb.get_name()).to_uppercase())?;
        let man = clap_mangen::Man::new(verb.clone());
        let mut sections = Vec::new();
        man.render_synopsis_section(&mut sections)?;
        man.render_description_section(&mut sections)?;
        man.render_options_section(&mut sections)?;
        man.render_extra_section(&mut sections)?;
        // Each is a part of the verb's own section, and what follows the options is its example.
        let sections =
            String::from_utf8_lossy(&sections).replace(".SH EXTRA", ".SS EXAMPLE").replace(".SH ", ".SS ");
        out.write_all(sections.as_bytes())?;
    }
    Ok(())
}

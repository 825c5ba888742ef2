//! What the ledger verbs take.

use std::path::PathBuf;

use bitwire::ledger::{Digest, EncodingRule};
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{Common, ContextArgs};

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)] // there is one, for one run
pub(crate) enum LedgerVerb {
    Ingest(Box<Ingest>),
    Recall(Recall),
    Span(SpanArgs),
    Passkeys(Passkeys),
    Verify(Verify),
    Index(Index),
    Recover(Recover),
    Prove(Prove),
    CheckProof(CheckProof),
    ProveConsistency(ProveConsistency),
    CheckConsistency(CheckConsistency),
    Extract(Extract),
    #[command(name = "import-tinymind")]
    ImportTinyMind(ImportTinyMind),
    #[command(name = "export-tinymind")]
    ExportTinyMind(ExportTinyMind),
    Evidence(Evidence),
}

/// Write tokens into a new ledger, or append them to one
///
/// All is committed at once at the end, and then survives a crash; on any error a new ledger is removed again, and one
/// appended to is as it was. Its index is LEDGER.idx beside it.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire ledger ingest tokens.npy chat.ledger --passkey 5000=1234 --span question=120+40\n\n\
    TOKENS is a .npy array of integers (one dimension, or two in C order: rows one after the other), \
    a .u16 or .u32 file (little-endian), or else text: decimal numbers apart by white space.")]
pub(crate) struct Ingest {
    /// The tokens, each from 0 to 4294967295; - for text or .npy on standard input
    pub(crate) tokens: PathBuf,
    /// The ledger
    pub(crate) ledger: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Tokens in a chunk
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = at_least_1, allow_negative_numbers = true)]
    pub(crate) chunk_tokens: u32,
    /// An anchor in the index for every Nth chunk [default: 8, or what the index has]
    #[arg(long, value_name = "N", value_parser = at_least_1, allow_negative_numbers = true)]
    pub(crate) anchor_stride: Option<u32>,
    /// How chunks store their tokens
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) encoding: EncodingArg,
    /// Mark a position, where TOKEN has to be; again for more
    #[arg(long = "passkey", value_name = "POS=TOKEN", value_parser = passkey)]
    pub(crate) passkeys: Vec<(u64, u32)>,
    /// Give LEN tokens from position START on a name; again for more
    #[arg(long = "span", value_name = "NAME=START+LEN", value_parser = span)]
    pub(crate) spans: Vec<(String, u64, u64)>,
    /// Append to a ledger that is there, under its own context; positions count from its first token
    #[arg(long)]
    pub(crate) append: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Print the tokens at a position, one on a line
///
/// Without a key and with an index that covers the whole ledger this takes as long for any ledger.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger recall chat.ledger 5000 --length 16")]
pub(crate) struct Recall {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// The first position, from 0
    #[arg(value_name = "POS", value_parser = number, allow_negative_numbers = true)]
    pub(crate) position: u64,
    /// How many tokens
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number_from_1, allow_negative_numbers = true)]
    pub(crate) length: u64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Print the tokens that a name stands for
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger span chat.ledger question")]
pub(crate) struct SpanArgs {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// The span's name
    #[arg(allow_hyphen_values = true)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// List the passkeys: marked positions with their tokens
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger passkeys chat.ledger --json | jq '.passkeys[].token'")]
pub(crate) struct Passkeys {
    /// The ledger
    pub(crate) ledger: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Check a whole ledger: every chunk, the marks, and the index beside it
///
/// A torn tail, bytes after the last whole chunk that a crash left and that were never committed, is reported and does not
/// make the ledger invalid.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger verify chat.ledger --hmac-key-file team.key\n\n\
    A chunk's HMAC proves who wrote it, not that the ledger is whole or the newest: give the root and the number of \
    chunks that you kept elsewhere.\n\n\
    Exit status: 0 valid; 1 damaged, of another key, or not the root given; 2 the ledger cannot be read.")]
pub(crate) struct Verify {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// The root it has to have
    #[arg(long, value_name = "HEX", value_parser = digest, requires = "chunks")]
    pub(crate) root: Option<Digest>,
    /// The number of chunks it has to have
    #[arg(long, value_name = "N", value_parser = number, requires = "root", allow_negative_numbers = true)]
    pub(crate) chunks: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Make the index again: one that is missing, stale, damaged, or another ledger's
///
/// Damage before the end that a good index says the ledger had is refused, and a torn tail left alone.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger index chat.ledger --anchor-stride 16")]
pub(crate) struct Index {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// An anchor for every Nth chunk [default: what the index has, or 8]
    #[arg(long, value_name = "N", value_parser = at_least_1, allow_negative_numbers = true)]
    pub(crate) anchor_stride: Option<u32>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Cut off a torn tail, and commit what is whole
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger recover chat.ledger")]
pub(crate) struct Recover {
    /// The ledger
    pub(crate) ledger: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write the proof that a chunk is in the ledger
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger prove chat.ledger 3 chunk3.proof\n  \
    bitwire ledger extract chat.ledger 3 chunk3.bit")]
pub(crate) struct Prove {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// The chunk, from 0
    #[arg(value_parser = number, allow_negative_numbers = true)]
    pub(crate) chunk_id: u64,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Check that a chunk is in the ledger with a root
///
/// The root, and the number of chunks, have to come from a source of your own, not from where the proof came from.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire ledger check-proof chunk3.proof chunk3.bit --chunks 245 \\\n      \
    --root 9bee4401962e94b921336a7910a5a9718836ffcbc545dde0a3f34d858beb5752")]
pub(crate) struct CheckProof {
    /// The proof; - for standard input
    pub(crate) proof: PathBuf,
    /// The chunk's frame; - for standard input
    #[arg(value_name = "CHUNK_FRAME")]
    pub(crate) chunk: PathBuf,
    /// The ledger's root
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub(crate) root: Digest,
    /// The number of its chunks; a root proves no size
    #[arg(long, value_name = "N", value_parser = number, allow_negative_numbers = true)]
    pub(crate) chunks: Option<u64>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write the proof that the ledger began with its first chunks as they are
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger prove-consistency chat.ledger 200 grown.proof")]
pub(crate) struct ProveConsistency {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// How many chunks it had
    #[arg(value_parser = number, allow_negative_numbers = true)]
    pub(crate) old_count: u64,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Check that a ledger has only grown from one root to another
///
/// Both roots, and the numbers of chunks, have to come from a source of your own, not from where the proof came from.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    bitwire ledger check-consistency grown.proof --old-chunks 2 --chunks 3 \\\n      \
    --old-root cc15b132263fd4fd2748c0e7cb9e1c4ad0afe70fcf9382ee644c4da8af0286a5 \\\n      \
    --root 9bee4401962e94b921336a7910a5a9718836ffcbc545dde0a3f34d858beb5752")]
pub(crate) struct CheckConsistency {
    /// The proof; - for standard input
    pub(crate) proof: PathBuf,
    /// The root it had
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub(crate) old_root: Digest,
    /// The root it has
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub(crate) root: Digest,
    /// The number of chunks it had
    #[arg(long, value_name = "N", value_parser = number, requires = "chunks", allow_negative_numbers = true)]
    pub(crate) old_chunks: Option<u64>,
    /// The number of chunks it has
    #[arg(long, value_name = "N", value_parser = number, requires = "old_chunks", allow_negative_numbers = true)]
    pub(crate) chunks: Option<u64>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Write a chunk's frame, checked, to a file of its own
#[derive(Args)]
#[command(
    after_help = "Example:\n  bitwire ledger extract chat.ledger 3 chunk3.bit && bitwire verify chunk3.bit"
)]
pub(crate) struct Extract {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// The chunk, from 0
    #[arg(value_parser = number, allow_negative_numbers = true)]
    pub(crate) chunk_id: u64,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Make a ledger from a TinyMind ledger, whose digests are checked
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger import-tinymind evidence/ledger chat.ledger")]
pub(crate) struct ImportTinyMind {
    /// Folder with manifest.json and chunks/
    pub(crate) dir: PathBuf,
    /// The ledger, which must not be there
    pub(crate) ledger: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write a ledger as a TinyMind ledger
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire ledger export-tinymind chat.ledger evidence/ledger")]
pub(crate) struct ExportTinyMind {
    /// The ledger
    pub(crate) ledger: PathBuf,
    /// Folder to write, which must not be there or be empty
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Ingest a stream that anyone can compute, recall it, and write a report on what was measured
///
/// The exit status is 1 if recall was not exact. Claims about 2 million tokens need a run of as many.
#[derive(Args)]
#[command(
    after_help = "Example:\n  bitwire ledger evidence evidence-2m && cat evidence-2m/compressed_context_report.md"
)]
pub(crate) struct Evidence {
    /// Folder to write, which must not be there or be empty
    pub(crate) out_dir: PathBuf,
    /// Tokens of the stream, at least 16
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = number, allow_negative_numbers = true)]
    pub(crate) tokens: u64,
    /// Tokens in a chunk
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = at_least_1, allow_negative_numbers = true)]
    pub(crate) chunk_tokens: u32,
    /// An anchor in the index for every Nth chunk
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_1, allow_negative_numbers = true)]
    pub(crate) anchor_stride: u32,
    /// Print the result as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum EncodingArg {
    /// the smallest, chunk by chunk
    Auto,
    /// u16 where all tokens fit, else u32
    Raw,
    /// bit-packed at the width of the largest token
    Packed,
}

impl EncodingArg {
    pub(crate) fn rule(self) -> EncodingRule {
        match self {
            Self::Auto => EncodingRule::Auto,
            Self::Raw => EncodingRule::Raw,
            Self::Packed => EncodingRule::Packed,
        }
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "has to be a whole number from 0 to 18446744073709551615".to_owned())
}

fn number_from_1(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or("has to be a whole number from 1 to 18446744073709551615".to_owned())
}

fn at_least_1(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or("has to be a whole number from 1 to 4294967295".to_owned())
}

fn digest(text: &str) -> Result<Digest, String> {
    let mut digest = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut good = pairs.len() == digest.len() && rest.is_empty();
    for (to, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        good &= high.is_some() && low.is_some();
        *to = (high.unwrap_or(0) << 4 | low.unwrap_or(0)) as u8;
    }
    if good { Ok(digest) } else { Err("has to be 64 hexadecimal digits".to_owned()) }
}

fn passkey(text: &str) -> Result<(u64, u32), String> {
    let both = text
        .split_once('=')
        .and_then(|(position, token)| Some((position.parse().ok()?, token.parse().ok()?)));
    both.ok_or("has to be a position, = and a token from 0 to 4294967295, such as 5000=1234".to_owned())
}

fn span(text: &str) -> Result<(String, u64, u64), String> {
    let parse = || {
        // A name may have any of these signs in it.
        let (name, place) = text.rsplit_once('=')?;
        let (start, len) = place.split_once('+')?;
        let (start, len) = (start.parse().ok()?, len.parse().ok()?);
        (!name.is_empty() && len > 0).then(|| (name.to_owned(), start, len))
    };
    parse().ok_or(
        "has to be a name, =, the first position, + and the number of tokens, such as question=120+40"
            .to_owned(),
    )
}

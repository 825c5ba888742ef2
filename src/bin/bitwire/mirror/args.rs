//! What the mirror verbs take.

use std::path::PathBuf;

use bitwire::beacon::StepChoice;
use bitwire::beacon::mu16::Step;
use bitwire::mirror::Scalar;
use clap::{Args, Subcommand, ValueEnum};

use crate::args::{Common, ContextArgs, step, weight};

#[derive(Subcommand)]
pub(crate) enum MirrorVerb {
    Diff(Box<Diff>),
    Apply(Apply),
    Stats(Stats),
    Master(MasterArgs),
    Rebase(Rebase),
}

/// Write the blocks in which an agent differs from a master
///
/// By default exactly: a block is left out only if all its bits are the master's, and comes back bit by bit.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire mirror diff master.npy agent.npy agent.bit kv llama-8b keys\n\n\
    Blocks are what the first dimension of an array counts: the other dimensions together are one block.")]
pub(crate) struct Diff {
    /// The master: .npy of f32 or f16, .safetensors, or a blocks frame; - for standard input
    pub(crate) master: PathBuf,
    /// The agent, of the master's type and shape; - for standard input
    pub(crate) agent: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    /// Leave out blocks whose difference has an L2 norm of at most T; 0 leaves out only what is equal bit by bit
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = weight, allow_negative_numbers = true)]
    pub(crate) threshold: f64,
    /// What is stored of a block that differs
    #[arg(long, value_enum, default_value = "replace")]
    pub(crate) mode: ModeArg,
    /// With --mode add: differences in MU16 with this step, in units of 2^-16; auto is the smallest at which none saturates
    #[arg(long, value_name = "N|auto", value_parser = step, allow_negative_numbers = true)]
    pub(crate) delta_q16: Option<StepChoice>,
    #[command(flatten)]
    pub(crate) tensor: TensorArg,
    #[command(flatten)]
    pub(crate) element: ElementArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Make an agent's blocks again from the master and its mirror
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire mirror apply master.npy agent.bit again.npy")]
pub(crate) struct Apply {
    /// The master the mirror was made from: .npy, .safetensors, or a blocks frame; - for standard input
    pub(crate) master: PathBuf,
    /// The mirror; - for standard input
    pub(crate) mirror: PathBuf,
    /// File to write: a blocks frame if its name ends in .bit, else .npy with the master's dimensions; - for .npy on
    /// standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) tensor: TensorArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Show what mirrors hold, and how much they save
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire mirror stats master.npy agents/*.bit\n\n\
    block ratio: blocks of all agents / (blocks of the master + blocks that differ)\n\
    byte ratio:  bytes of all agents / (bytes of the master + payloads of the mirrors)\n\
    frame ratio: the same by the lengths of whole frames, unsigned and without padding\n\n\
    The master counts as an agent.")]
pub(crate) struct Stats {
    /// The master: .npy, .safetensors, or a blocks frame; - for standard input
    pub(crate) master: PathBuf,
    /// The mirrors, all of one context; - for standard input
    #[arg(required = true, value_name = "MIRROR")]
    pub(crate) mirrors: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) tensor: TensorArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write an array as a blocks frame: a master with its context
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire mirror master master.npy master.bit kv llama-8b keys")]
pub(crate) struct MasterArgs {
    /// .npy of f32 or f16, or .safetensors; - for standard input
    pub(crate) input: PathBuf,
    /// File to write; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) tensor: TensorArg,
    #[command(flatten)]
    pub(crate) element: ElementArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Write a mirror anew, against another master
///
/// Mode and threshold stay. With replace and threshold 0 the agent stays too, bit by bit; else each rebase may move it by as
/// much as the report says.
#[derive(Args)]
#[command(after_help = "Example:\n  bitwire mirror rebase master.npy new-master.npy agent.bit agent.bit")]
pub(crate) struct Rebase {
    /// The master the mirror was made from: .npy, .safetensors, or a blocks frame; - for standard input
    pub(crate) old_master: PathBuf,
    /// The master to make it from now, of the same type and shape; - for standard input
    pub(crate) new_master: PathBuf,
    /// The mirror; - for standard input
    pub(crate) mirror: PathBuf,
    /// File to write, which may be the mirror itself; - for standard output
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) tensor: TensorArg,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Which blocks of a file of many.
#[derive(Args)]
pub(crate) struct TensorArg {
    /// The tensor to take from .safetensors files; not needed where there is only one
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Option<String>,
}

/// The type that a .npy file does not state; mirrors and blocks frames do.
#[derive(Args)]
pub(crate) struct ElementArg {
    /// Take 2-byte elements for bf16 (.npy of V2), or integers for MU16 with step N (.npy or tensor of i16)
    #[arg(long, value_name = "bf16|i16:N", value_parser = element)]
    pub(crate) element: Option<Scalar>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// the agent's own block: exact
    Replace,
    /// agent - master: comes back rounded
    Add,
}

fn element(text: &str) -> Result<Scalar, String> {
    let mu16 = |text: &str| text.strip_prefix("i16:")?.parse().ok().and_then(|n: u32| Step::new(n).ok());
    match text {
        "bf16" => Ok(Scalar::Bf16),
        _ => mu16(text)
            .map(Scalar::Mu16)
            .ok_or("has to be bf16, or i16: and a step from 1 to 4294967295".to_owned()),
    }
}

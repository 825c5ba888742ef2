//! Blocks from the files that the mirror verbs take: .npy, .safetensors, blocks frames.

use std::io::Read;
use std::path::Path;

use bitwire::frame::{Context, Frame, Key, MAGIC};
use bitwire::io::npy::{self, NpyBlocks};
use bitwire::io::safetensors::{Tensor, TensorFile};
use bitwire::io::{Cause, Escaped};
use bitwire::mirror::{BlockSource, Blocks, Master, Scalar, Shape};

use super::args::TensorArg;
use crate::exit::Problem;
use crate::{input, verify};

/// What shows which kind of file it is: a .safetensors file has a length first, then `{`.
const START: u64 = 9;

/// Names of tensors that a message lists.
const LISTED: usize = 20;

/// A file that has blocks, in memory.
pub(super) struct BlockFile<'a> {
    name: String,
    tensor: Option<&'a str>,
    scalar: Option<Scalar>,
    held: Held,
}

enum Held {
    Array {
        array: NpyBlocks<Vec<u8>>,
        /// The blocks, where the file has its elements in another order.
        turned: Vec<u8>,
    },
    Tensors(TensorFile<Vec<u8>>),
    Frame(Vec<u8>),
}

impl<'a> BlockFile<'a> {
    /// Reads a file. `scalar` is what its elements are, if the file does not say so itself.
    pub(super) fn read(path: &Path, tensor: &'a TensorArg, scalar: Option<Scalar>) -> Result<Self, Problem> {
        let name = input::name(path);
        let at = |cause: Cause| Problem::File(cause.at(input::label(path)));
        let mut file = input::open(path)?;
        // Of anything else no more is read than shows that it is none, however much there is.
        let mut start = Vec::new();
        file.by_ref().take(START).read_to_end(&mut start).map_err(|error| at(error.into()))?;
        let held = if start.starts_with(&MAGIC) {
            file.read_to_end(&mut start).map_err(|error| at(error.into()))?;
            Held::Frame(start)
        } else if start.starts_with(&npy::MAGIC) {
            let array = NpyBlocks::read(start.chain(file), scalar).map_err(at)?;
            let mut turned = Vec::new();
            if array.borrowed().is_none() {
                turned.resize(array.shape().len(), 0);
                array.copy_into(&mut turned).map_err(|error| at(error.into()))?;
            }
            Held::Array { array, turned }
        } else if start.get(8) == Some(&b'{') {
            Held::Tensors(TensorFile::read(start.chain(file)).map_err(at)?)
        } else {
            let found = match start.is_empty() {
                true => "is empty".to_owned(),
                false => format!("starts with '{}'", Escaped::new(&start)),
            };
            return Err(Problem::Usage(format!(
                "{name}: {found}; needed is a .npy or .safetensors file, or a blocks frame (at byte 0)"
            )));
        };
        Ok(Self { name, tensor: tensor.tensor.as_deref(), scalar, held })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_frame(&self) -> bool {
        matches!(self.held, Held::Frame(_))
    }

    /// The blocks; a frame is verified if there is a key.
    pub(super) fn blocks(&self, key: Option<&Key>) -> Result<FileBlocks<'_>, Problem> {
        let unfit = |error| Problem::frame(&self.name, error);
        let (dims, blocks, frame) = match &self.held {
            Held::Array { array, turned } => {
                let blocks = array.borrowed().map_or_else(|| Blocks::new(array.shape(), turned), Ok);
                (array.dims().to_vec(), blocks.map_err(unfit)?, None)
            }
            Held::Tensors(tensors) => {
                let tensor = pick(&self.name, tensors, self.tensor)?;
                let blocks = tensor.blocks(self.scalar).map_err(|error| {
                    let tensor = Escaped::new(tensor.name().as_bytes());
                    Problem::Usage(format!("{}, tensor '{tensor}': {error}", self.name))
                })?;
                (tensor.dims().to_vec(), blocks, None)
            }
            Held::Frame(bytes) => {
                let frame = input::frame(&self.name, bytes, key)?;
                let blocks = Blocks::from_frame(&frame).map_err(unfit)?;
                let shape = blocks.shape();
                (vec![shape.rows().into(), shape.dim().into()], blocks, Some(frame))
            }
        };
        Ok(FileBlocks { name: &self.name, dims, blocks, frame })
    }
}

/// Refuses a name of a tensor where no file has any.
pub(super) fn check_tensor(tensor: &TensorArg, files: &[&BlockFile<'_>]) -> Result<(), Problem> {
    if tensor.tensor.is_some() && !files.iter().any(|file| matches!(file.held, Held::Tensors(_))) {
        let names: Vec<&str> = files.iter().map(|file| file.name()).collect();
        return Err(Problem::Usage(format!("{}: --tensor is for .safetensors files", names.join(", "))));
    }
    Ok(())
}

/// The tensor asked for, or the only one.
fn pick<'a>(
    file: &str,
    tensors: &'a TensorFile<Vec<u8>>,
    asked: Option<&str>,
) -> Result<Tensor<'a>, Problem> {
    let usage = |message: String| Problem::Usage(format!("{file}: {message}"));
    let listed = || {
        let names = tensors.names().take(LISTED);
        let names: Vec<String> = names.map(|name| format!("'{}'", Escaped::new(name.as_bytes()))).collect();
        let more = tensors.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("it has {}{more}", names.join(", "))
    };
    let mut all = tensors.tensors();
    match (asked, all.next(), all.next()) {
        (_, None, _) => Err(usage("the file has no tensors".to_owned())),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(usage(format!("which tensor? Give --tensor NAME; {}", listed()))),
        (Some(asked), ..) => tensors.tensor(asked).map_err(|_| {
            usage(format!("no tensor is named '{}'; {}", Escaped::new(asked.as_bytes()), listed()))
        }),
    }
}

/// What elements like these are, if a file may not say it: NumPy has no bfloat16, and integers have no step.
pub(super) fn unstated(scalar: Scalar) -> Option<Scalar> {
    matches!(scalar, Scalar::Bf16 | Scalar::Mu16(_)).then_some(scalar)
}

/// The blocks of a file, and what came with them.
pub(super) struct FileBlocks<'a> {
    pub(super) name: &'a str,
    /// The dimensions of the array; of a frame, blocks and elements.
    pub(super) dims: Vec<u64>,
    pub(super) blocks: Blocks<'a>,
    frame: Option<Frame<'a>>,
}

impl<'a> FileBlocks<'a> {
    pub(super) fn shape(&self) -> &Shape {
        self.blocks.shape()
    }

    /// The context that they have if they came as a frame: an array has none.
    pub(super) fn origin(&self) -> Option<Origin<'a>> {
        self.frame.map(|frame| Origin::Frame(self.name, frame))
    }

    /// Refuses a frame of another context.
    pub(super) fn check_origin(&self, origin: &Origin<'_>) -> Result<(), Problem> {
        self.frame.map_or(Ok(()), |frame| origin.check(self.name, &frame))
    }
}

/// A context, and what has it.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    Frame(&'a str, Frame<'a>),
    Given(&'a Context),
}

impl<'a> Origin<'a> {
    /// Refuses `frame` of the file `name` if it has another context.
    pub(super) fn check(&self, name: &str, frame: &Frame<'_>) -> Result<(), Problem> {
        let (same, whose, ours) = match self {
            Self::Frame(whose, own) => (frame.check_same_context(own), *whose, verify::context_text(own)),
            Self::Given(context) => {
                let ours = Escaped::new(context.as_str().as_bytes()).to_string();
                (frame.check_context(*context), "the arguments", ours)
            }
        };
        same.map_err(|_| {
            let theirs = verify::context_text(frame);
            Problem::Usage(format!("{name}: the context is {theirs}, that of {whose} is {ours}"))
        })
    }

    /// The master that these blocks are in this context.
    pub(super) fn master(&self, blocks: Blocks<'a>) -> Result<Master<'a>, Problem> {
        let (ctx, json) = match self {
            Self::Frame(_, frame) => (frame.ctx(), frame.context_json()),
            Self::Given(context) => (context.hash(), Some(context.as_str().as_bytes())),
        };
        let master = Master::new(blocks, ctx);
        json.map_or(Ok(master), |json| master.with_context_json(json))
            .map_err(|error| Problem::Usage(error.to_string()))
    }
}

//! Blocks from the files that the mirror verbs take: .npy, .safetensors, blocks frames.

use std::io::Read;
use std::path::Path;

use bitwire::frame::{Context, Frame, Key, MAGIC};
use bitwire::io::npy::{self, NpyBlocks};
use bitwire::io::safetensors::{Tensor, TensorFile};
use bitwire::io::{Cause, Escaped, FileError};
use bitwire::mirror::{BlockSource, Blocks, Master, MirrorView, Shape};
use bitwire::{Error, ErrorKind};

use super::args::BlocksArgs;
use crate::args::ContextArgs;
use crate::exit::Problem;
use crate::input;

/// Blocks of a file, held in memory.
pub(super) struct Loaded {
    pub(super) name: String,
    /// The dimensions of the array; of a frame, blocks and elements.
    pub(super) dims: Vec<u64>,
    shape: Shape,
    held: Held,
}

enum Held {
    /// The blocks, or what has them at its end.
    Bytes(Vec<u8>),
    Array(NpyBlocks<Vec<u8>>),
    Frame(Vec<u8>),
}

impl Loaded {
    /// Reads the blocks of a file; a frame is verified if there is a key.
    pub(super) fn open(path: &Path, args: &BlocksArgs, key: Option<&Key>) -> Result<Self, Problem> {
        let name = input::name(path);
        let at = |cause: Cause| Problem::File(cause.at(input::label(path)));
        let io = |error| Problem::File(FileError::new(input::label(path), error));
        let mut file = input::open(path)?;
        // Of anything else no more is read than shows that it is none.
        let mut start = Vec::new();
        file.by_ref().take(9).read_to_end(&mut start).map_err(io)?;
        let is_tensors = !start.starts_with(&npy::MAGIC)
            && !start.starts_with(&MAGIC)
            && (start.get(8) == Some(&b'{') || args.tensor.is_some());
        if args.tensor.is_some() && !is_tensors {
            return Err(Problem::Usage(format!("{name}: --tensor is for .safetensors files")));
        }
        if start.starts_with(&MAGIC) {
            if args.element.is_some() {
                return Err(Problem::Usage(format!(
                    "{name}: a frame says what its elements are; leave --element out"
                )));
            }
            file.read_to_end(&mut start).map_err(io)?;
            let frame = input::frame(&name, &start, key)?;
            let shape = *Blocks::from_frame(&frame).map_err(|error| Problem::frame(&name, error))?.shape();
            let dims = vec![u64::from(shape.rows()), u64::from(shape.dim())];
            return Ok(Self { name, dims, shape, held: Held::Frame(start) });
        }
        let all = start.as_slice().chain(file);
        if is_tensors {
            let tensors = TensorFile::read(all).map_err(at)?;
            let tensor = pick(&name, &tensors, args.tensor.as_deref())?;
            let blocks = tensor.blocks(args.element).map_err(|error| at(error.into()))?;
            let (shape, dims) = (*blocks.shape(), tensor.dims().to_vec());
            return Ok(Self { name, dims, shape, held: Held::Bytes(blocks.as_bytes().to_vec()) });
        }
        let array = NpyBlocks::read(all, args.element).map_err(at)?;
        let (shape, dims) = (array.shape(), array.dims().to_vec());
        if array.borrowed().is_some() {
            return Ok(Self { name, dims, shape, held: Held::Array(array) });
        }
        let mut bytes = vec![0; shape.len()];
        array.copy_into(&mut bytes).map_err(|error| at(error.into()))?;
        Ok(Self { name, dims, shape, held: Held::Bytes(bytes) })
    }

    /// Refuses what is known of arrays to be of no use: a mirror, or its master, has at least one block.
    pub(super) fn not_empty(self) -> Result<Self, Problem> {
        match self.shape.is_empty() {
            true => Err(Problem::Usage(format!("{}: the array has no blocks", self.name))),
            false => Ok(self),
        }
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The frame, if it came as one; checked when it was read.
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        match &self.held {
            Held::Frame(bytes) => Frame::parse_exact(bytes).ok(),
            _ => None,
        }
    }

    pub(super) fn blocks(&self) -> Result<Blocks<'_>, Problem> {
        let blocks = match &self.held {
            Held::Bytes(bytes) => Blocks::new(self.shape, bytes),
            Held::Array(array) => return array.borrowed().ok_or(Problem::Reported),
            Held::Frame(bytes) => Frame::parse_exact(bytes).and_then(|frame| Blocks::from_frame(&frame)),
        };
        blocks.map_err(|error| Problem::frame(&self.name, error))
    }

    /// The context of the master of new frames: a frame has its own, which the arguments may only repeat.
    pub(super) fn context(&self, args: &ContextArgs) -> Result<Option<Context>, Problem> {
        let context = || input::context(args, self.shape.dim());
        match self.frame() {
            None => context().map(Some),
            Some(frame) if input::names_context(args) => {
                let same = frame.check_context(&context()?);
                same.map_err(|error| Problem::frame(&self.name, error)).map(|()| None)
            }
            Some(_) => Ok(None),
        }
    }

    /// Checks that an agent that came as a frame has the master's context.
    pub(super) fn check_context(&self, master: &Self, context: Option<&Context>) -> Result<(), Problem> {
        let same = match (self.frame(), master.frame(), context) {
            (Some(own), Some(master), _) => own.check_same_context(&master),
            (Some(own), None, Some(context)) => own.check_context(context),
            _ => Ok(()),
        };
        same.map_err(|error| Problem::frame(&self.name, error))
    }

    /// The master under this context, or its own.
    pub(super) fn master<'a>(&'a self, context: Option<&'a Context>) -> Result<Master<'a>, Problem> {
        let found = |error| Problem::frame(&self.name, error);
        match (self.frame(), context) {
            (Some(frame), _) => Master::from_frame(&frame).map_err(found),
            (None, Some(context)) => Master::new(self.blocks()?, context.hash())
                .context_json(context.as_str().as_bytes())
                .map_err(found),
            (None, None) => Err(Problem::Reported),
        }
    }

    /// The master that `mirror` is to have been made from: an array has no context of its own, and takes the mirror's.
    pub(super) fn master_of<'a>(&'a self, mirror: &MirrorView<'a>) -> Result<Master<'a>, Problem> {
        let found = |error| Problem::frame(&self.name, error);
        if let Some(frame) = self.frame() {
            return Master::from_frame(&frame).map_err(found);
        }
        let master = Master::new(self.blocks()?, mirror.frame().ctx());
        match mirror.frame().context_json() {
            Some(json) => master.context_json(json).map_err(found),
            None => Ok(master),
        }
    }
}

/// The tensor asked for, or the only one.
fn pick<'a>(
    name: &str,
    tensors: &'a TensorFile<Vec<u8>>,
    asked: Option<&str>,
) -> Result<Tensor<'a>, Problem> {
    let listed = || {
        let names: Vec<_> =
            tensors.names().take(20).map(|name| Escaped::new(name.as_bytes()).to_string()).collect();
        let more = tensors.len().saturating_sub(names.len());
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("it has {}{more}", names.join(", "))
    };
    match asked {
        Some(asked) => tensors.tensor(asked).map_err(|_| {
            let asked = Escaped::new(asked.as_bytes());
            Problem::Usage(format!("{name}: no tensor is named '{asked}'; {}", listed()))
        }),
        None => match (tensors.tensors().next(), tensors.len()) {
            (Some(only), 1) => Ok(only),
            (None, _) => Err(Problem::Usage(format!("{name}: the file has no tensors"))),
            _ => Err(Problem::Usage(format!("{name}: which tensor? Give --tensor NAME; {}", listed()))),
        },
    }
}

/// What a verb found out about a mirror and a master together: under the mirror's name, since that is what does not fit.
pub(super) fn mismatch(mirror: &str, master: &str, error: Error) -> Problem {
    match error.kind() {
        ErrorKind::MasterDiffers { .. } | ErrorKind::ContextDiffers => {
            Problem::frame(&format!("{mirror} on {master}"), error)
        }
        _ => Problem::frame(mirror, error),
    }
}

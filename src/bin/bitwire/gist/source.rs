//! Where gists come from: the files of `gist import`, and the ledger of the source.

use std::fs;
use std::path::{Path, PathBuf};

use bitwire::frame::{Key, MAGIC};
use bitwire::io::{Escaped, npy};
use bitwire::ledger::Index;
use bitwire::ledger::storage::{LedgerPath, Part, Storage};

use crate::exit::Problem;
use crate::floats::FloatArray;
use crate::input::{self, Bytes};

/// What kind of file an input is.
pub(super) enum Input {
    Tensors(Bytes),
    Array(Box<FloatArray>),
    Blob(Bytes),
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let bytes = input::map(path)?;
        let start = bytes.as_ref();
        if start.is_empty() || start.starts_with(&MAGIC) {
            let what = if start.is_empty() { "is empty" } else { "is a frame already" };
            let needed = "needed is .safetensors, .npy or a state blob";
            return Err(Problem::Usage(format!("{}: {what}; {needed}", input::name(path))));
        }
        Ok(if start.starts_with(&npy::MAGIC) {
            let array = FloatArray::new(bytes, true).map_err(|error| input::unfit(path, error))?;
            Self::Array(Box::new(array))
        } else if start.get(8) == Some(&b'{') {
            Self::Tensors(bytes)
        } else {
            Self::Blob(bytes)
        })
    }

    /// As messages call it.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Tensors(_) => "a .safetensors file",
            Self::Array(_) => "an array",
            Self::Blob(_) => "a state blob",
        }
    }
}

/// The index of a ledger.
pub(super) struct LedgerIndex {
    path: PathBuf,
    /// Not mapped: what a key verified is then what is used.
    bytes: Vec<u8>,
}

impl LedgerIndex {
    /// Opens the index at `path`, or that of the ledger at `path`, of which no more than a chunk is read.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let bytes = input::map(path)?;
        // By what is in it: the first frame of a ledger is a chunk.
        let is_index = Index::parse_exact(bytes.as_ref()).is_ok();
        if is_index || input::is_stream(path) || path.extension() == Some("idx".as_ref()) {
            return Ok(Self { path: path.to_owned(), bytes: bytes.as_ref().to_vec() });
        }
        let index = LedgerPath::new(path)?.path(Part::Index).to_owned();
        if matches!(fs::exists(&index), Ok(false)) {
            let (name, index) = (input::name(path), Escaped::path(&index));
            return Err(Problem::Usage(format!(
                "{name}: has no index ({index}); `bitwire ledger index` makes it"
            )));
        }
        let opened = Self { bytes: input::read_frames(&index)?, path: index };
        // Whose it is, and whether it is sound, is asked later; here only whether it is up to date.
        match Index::parse_exact(&opened.bytes) {
            Ok(index) if index.ledger_len() != bytes.as_ref().len() as u64 => Err(Problem::Usage(format!(
                "{}: the index covers {} of the {} bytes of {}; `bitwire ledger index` makes it again",
                opened.name(),
                index.ledger_len(),
                bytes.as_ref().len(),
                input::name(path)
            ))),
            _ => Ok(opened),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> String {
        input::name(&self.path)
    }

    /// The index, verified if there is a key.
    pub(super) fn get(&self, key: Option<&Key>) -> Result<Index<'_>, Problem> {
        let name = self.name();
        let frame = input::frame(&name, &self.bytes, key)?;
        Index::from_frame(&frame).map_err(|error| Problem::frame(&name, error))
    }
}

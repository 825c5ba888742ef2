//! Where gists come from: the files of `gist import`, and the ledger of the source.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bitwire::engram::KeyShape;
use bitwire::frame::{Key, MAGIC};
use bitwire::gist::GistIds;
use bitwire::io::npy::{self, Dtype, Header, NpyBlocks};
use bitwire::io::tokens::TokenReader;
use bitwire::io::{Cause, Escaped};
use bitwire::ledger::Index;
use bitwire::ledger::storage::{LedgerPath, Part, Storage};
use bitwire::mirror::{BlockSource, Scalar};
use bitwire::{Error, ErrorKind};

use crate::exit::Problem;
use crate::input::{self, Bytes};

/// What kind of file an input is.
pub(super) enum Input {
    Tensors(Bytes),
    Array(FloatArray),
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
            Self::Array(FloatArray::new(path, bytes)?)
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

/// A .npy file of floats, in C order.
pub(super) struct FloatArray {
    array: NpyBlocks<Bytes>,
    /// The elements, where the file has them in another order.
    turned: Vec<u8>,
}

impl FloatArray {
    fn new(path: &Path, bytes: Bytes) -> Result<Self, Problem> {
        let open = || -> Result<Self, Error> {
            let header = Header::parse(bytes.as_ref())?;
            let scalar = match header.dtype() {
                Dtype::F16 | Dtype::F32 => None,
                // Two bytes of no meaning, of which a KV can only be bf16.
                Dtype::V2 => Some(Scalar::Bf16),
                _ => return Err(header.unfit_type("f4 or f2 (V2 is taken for bf16)")),
            };
            if !matches!(header.shape().len(), 4 | 5) {
                return Err(header.unfit_dims(
                    "4 (layers, heads, tokens, head_dim), or 5 with keys and values in one array \
                     (layers, 2, heads, tokens, head_dim)",
                ));
            }
            if header.shape().contains(&0) {
                let field = "a dimension of the array";
                return Err(Error::caller(ErrorKind::Shape { field, needed: 1, found: 0 }));
            }
            let array = NpyBlocks::parse(bytes, scalar)?;
            let mut turned = Vec::new();
            if array.borrowed().is_none() {
                turned.resize(array.shape().len(), 0);
                array.copy_into(&mut turned)?;
            }
            Ok(Self { array, turned })
        };
        open().map_err(|error| input::unfit(path, error))
    }

    /// The array at `path`, which has to be one.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        Self::new(path, input::map(path)?)
    }

    pub(super) fn scalar(&self) -> Scalar {
        self.array.shape().scalar()
    }

    pub(super) fn dims(&self) -> &[u64] {
        self.array.dims()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.array.borrowed().map_or(self.turned.as_slice(), |blocks| blocks.as_bytes())
    }

    /// The shape that layers, heads, tokens and head_dim are.
    pub(super) fn shape(&self, path: &Path, dims: [u64; 4]) -> Result<KeyShape, Problem> {
        let count = |found: u64| {
            let field = "a dimension of the array";
            let too_large = ErrorKind::TooLarge { field, max: u32::MAX.into(), found };
            u32::try_from(found).map_err(|_| input::unfit(path, Error::caller(too_large)))
        };
        let [layers, heads, tokens, head_dim] = dims;
        Ok(KeyShape {
            layers: count(layers)?,
            heads: count(heads)?,
            tokens: count(tokens)?,
            head_dim: count(head_dim)?,
        })
    }
}

/// The positions of the gist tokens in a file of tokens.
pub(super) fn run_of(ids: &[u32], path: &Path, first_run: bool) -> Result<Range<u32>, Problem> {
    let name = input::name(path);
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    let ids = GistIds::new(&ids).map_err(|error| Problem::Usage(error.to_string()))?;
    let at = |cause: Cause| Problem::File(cause.at(input::label(path)));
    let tokens = if input::is_stream(path) {
        all(TokenReader::detect(input::open(path)?).map_err(at)?).map_err(at)?
    } else {
        all(TokenReader::open(path)?).map_err(at)?
    };
    let run = match ids.first_run(&tokens).filter(|_| first_run) {
        Some(run) => run,
        None => ids.only_run(&tokens).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::SplitGists { .. } => "; --first-run takes the first alone",
                _ => "",
            };
            Problem::Usage(format!("{name}: {error}{hint}"))
        })?,
    };
    let position = |at: usize| {
        u32::try_from(at).map_err(|_| Problem::Usage(format!("{name}: there are too many tokens")))
    };
    Ok(position(run.start)?..position(run.end)?)
}

fn all<R: std::io::Read>(mut reader: TokenReader<R>) -> Result<Vec<u32>, Cause> {
    let mut tokens = Vec::new();
    while let Some(block) = reader.next_block()? {
        tokens.extend_from_slice(block);
    }
    Ok(tokens)
}

/// The index of a ledger.
pub(super) struct LedgerIndex {
    path: PathBuf,
    bytes: Bytes,
}

impl LedgerIndex {
    /// Opens the index at `path`, or that of the ledger at `path`, of which no more than a chunk is read.
    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let bytes = input::map(path)?;
        // By what is in it: the first frame of a ledger is a chunk.
        let is_index = Index::parse_exact(bytes.as_ref()).is_ok();
        if is_index || input::is_stream(path) || path.extension() == Some("idx".as_ref()) {
            return Ok(Self { path: path.to_owned(), bytes });
        }
        let index = LedgerPath::new(path)?.path(Part::Index).to_owned();
        if matches!(fs::exists(&index), Ok(false)) {
            let (name, index) = (input::name(path), Escaped::path(&index));
            return Err(Problem::Usage(format!(
                "{name}: has no index ({index}); `bitwire ledger index` makes it"
            )));
        }
        let opened = Self { bytes: input::map(&index)?, path: index };
        // Whose it is, and whether it is sound, is asked later; here only whether it is up to date.
        match Index::parse_exact(opened.bytes.as_ref()) {
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
        let frame = input::frame(&name, self.bytes.as_ref(), key)?;
        Index::from_frame(&frame).map_err(|error| Problem::frame(&name, error))
    }
}

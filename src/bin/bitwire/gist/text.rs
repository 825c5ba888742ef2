//! Texts as token ids, and which of the ids are gists.

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use bitwire::gist::GistIds;
use bitwire::io::Cause;
use bitwire::io::npy::{self, Header};
use bitwire::io::tokens::{TokenFormat, TokenReader};
use clap::Args;

use crate::exit::Problem;
use crate::input;

/// A text in which gist tokens are found by their ids.
#[derive(Args)]
pub(super) struct TextArgs {
    /// The tokens of the text, from position 0 on: .npy of integers, .u16, .u32, or decimal numbers apart by white space; -
    /// for .npy or numbers on standard input
    #[arg(long, value_name = "FILE", requires = "gist_ids")]
    pub(super) tokens: Option<PathBuf>,
    /// Ids of the gist tokens in --tokens, in any order
    #[arg(
        long,
        value_name = "ID,...",
        value_delimiter = ',',
        requires = "tokens",
        allow_negative_numbers = true
    )]
    pub(super) gist_ids: Vec<u32>,
}

impl TextArgs {
    /// Hands the file with the text, the tokens and the ids to `run`, if there is a text.
    pub(super) fn with<R>(
        &self,
        run: impl FnOnce(&Path, &[u32], GistIds<'_>) -> Result<R, Problem>,
    ) -> Result<Option<R>, Problem> {
        let Some(path) = &self.tokens else { return Ok(None) };
        let mut ids = self.gist_ids.clone();
        ids.sort_unstable();
        ids.dedup();
        let ids = GistIds::new(&ids).map_err(|error| Problem::Usage(error.to_string()))?;
        run(path, &numbers(path)?, ids).map(Some)
    }
}

/// All numbers of a file, which are those of one text, not of a batch.
pub(super) fn numbers(path: &Path) -> Result<Vec<u32>, Problem> {
    let failed = |cause: Cause| Problem::File(cause.at(input::label(path)));
    let mut file = input::open(path)?;
    let mut start = Vec::new();
    file.by_ref()
        .take(npy::MAGIC.len() as u64)
        .read_to_end(&mut start)
        .map_err(|error| failed(error.into()))?;
    let named = if input::is_stream(path) { None } else { TokenFormat::from_name(path) };
    let found = if start == npy::MAGIC { TokenFormat::Npy } else { TokenFormat::Text };
    let format = named.unwrap_or(found);
    if format == TokenFormat::Npy {
        // The header has to be seen twice, but what is none is not read to its end.
        let rest = if start == npy::MAGIC { u64::MAX } else { 0 };
        file.by_ref().take(rest).read_to_end(&mut start).map_err(|error| failed(error.into()))?;
        if let [rows, _] = Header::parse(&start).map_err(|error| failed(error.into()))?.shape()
            && *rows != 1
        {
            let name = input::name(path);
            let message = format!("{name}: has {rows} rows, those of a batch: give one of them");
            return Err(Problem::Usage(message));
        }
    }
    let mut reader = TokenReader::new(Cursor::new(start).chain(file), format).map_err(failed)?;
    let mut numbers = Vec::new();
    while let Some(block) = reader.next_block().map_err(failed)? {
        numbers.extend_from_slice(block);
    }
    Ok(numbers)
}

//! Making a ledger's index again.
#![deny(clippy::arithmetic_side_effects)]

use std::path::Path;

use super::error::{LedgerError, Result};
use super::index::Index;
use super::reader::{at, read_index};
use super::scan::{self, TornTail};
use super::storage::{Part, Storage};
use super::writer::{Commit, LedgerOptions, LedgerWriter, open_locked};
use crate::error::{Error, ErrorKind};

/// An index that was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What the ledger and its new index are.
    pub commit: Commit,
    /// Why the index that was there could not be used, if there was one and it could not. What is committed is then
    /// what the ledger itself shows.
    pub ignored: Option<Error>,
    /// What is torn at the ledger's end, if anything is. It was left alone.
    pub tail: Option<TornTail>,
}

/// Makes the index of the ledger at `path` again, from the ledger alone where the index there is missing or of no use.
///
/// Of the options count the anchor stride, the key, and the context where no chunk has one. No byte of the ledger is
/// changed, but what an index that is right does not cover is written again as it is, and synced: what the new index
/// covers is committed by it.
///
/// Cost: with an index that is right as far as it goes, the headers of the chunks it covers and all beyond; else one
/// pass over everything.
///
/// # Errors
/// [`LedgerError::Damaged`] for damage before the end that an index of this ledger says it had, or before whole chunks;
/// [`LedgerError::Index`] with [`ErrorKind::LedgerCut`] for a ledger that is shorter than it was when this index was
/// its own (who knows better removes the index); [`LedgerError::Locked`] while a writer has the ledger;
/// [`LedgerError::Refused`] as for [`LedgerWriter::open`], with [`ErrorKind::MixedHmac`] for a signed ledger without
/// its key; [`LedgerError::Io`].
pub fn rebuild_index(path: impl AsRef<Path>, options: LedgerOptions) -> Result<Rebuilt> {
    rebuild_index_in(at(path.as_ref())?, options)
}

/// The same in any storage.
///
/// # Errors
/// As [`rebuild_index`].
pub fn rebuild_index_in<S: Storage>(storage: S, options: LedgerOptions) -> Result<Rebuilt> {
    options.check().map_err(LedgerError::Refused)?;
    let file = open_locked(&storage)?;
    storage.sync_folder().map_err(LedgerError::io(Part::Ledger))?;
    let bytes = read_index(&storage)?;
    let mut ignored = None;
    let index = match bytes.as_deref().map(Index::parse_exact).transpose() {
        Ok(index) => index,
        Err(error) => {
            ignored = Some(error);
            None
        }
    };
    let key = options.key.as_ref();
    let opened = match scan::open(&file, index.as_ref(), key) {
        Err(LedgerError::Index(error)) => {
            ignored = Some(error);
            let opened = scan::open(&file, None, key)?;
            // Committed chunks are gone if the index knows those that are left: a new one would hush that up.
            if let Some(index) = index.as_ref().filter(|index| opened.state.has_anchors_of(index)) {
                if let ErrorKind::LedgerCut { .. } = error.kind() {
                    return Err(LedgerError::Index(error));
                }
                if let Some(tail) = opened.tail.filter(|tail| tail.offset < index.ledger_len()) {
                    let chunk = opened.state.index.chunk_count();
                    return Err(LedgerError::Damaged { chunk, error: tail.error });
                }
            }
            opened
        }
        // An index of another ledger may end in the middle of one of this ledger's headers. Where every byte belongs
        // to a whole chunk, it is not the ledger that is damaged.
        Err(damaged @ LedgerError::Damaged { .. }) if index.is_some() => match scan::open(&file, None, key) {
            Ok(opened) if opened.tail.is_none() => {
                ignored = Some(Error::caller(ErrorKind::ForeignIndex { field: "ledger_len" }));
                opened
            }
            _ => return Err(damaged),
        },
        opened => opened?,
    };
    let tail = opened.tail;
    let covered = if ignored.is_some() { None } else { index.as_ref().map(Index::ledger_len) };
    let mut writer = LedgerWriter::from_state(storage, file, options, opened.state, covered)?;
    let commit = writer.publish_all()?;
    Ok(Rebuilt { commit, ignored, tail })
}

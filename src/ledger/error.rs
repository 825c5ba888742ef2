//! What can go wrong with a ledger's files.

use std::fmt;
use std::io;

use super::storage::Part;
use crate::error::{Error, ErrorKind};
use crate::io::Cause;

/// The result of what reads or writes a ledger's files.
pub(super) type Result<T, E = LedgerError> = core::result::Result<T, E>;

/// Why a ledger could not be read or written.
#[derive(Debug)]
#[non_exhaustive]
pub enum LedgerError {
    /// The operating system refused.
    Io {
        /// The file it was about.
        part: Part,
        /// What it said.
        error: io::Error,
    },
    /// A chunk is damaged, or none of the ledger, where the ledger has to be whole. Nothing was skipped.
    Damaged {
        /// The chunk, from 0.
        chunk: u64,
        /// What is wrong, with its offset from the ledger's start.
        error: Error,
    },
    /// The index is damaged, or not this ledger's, and can be made again; or, with [`ErrorKind::LedgerCut`], the ledger
    /// is shorter than it was.
    Index(Error),
    /// Another writer has the ledger.
    Locked,
    /// A write or sync failed before, so that nobody knows what is on the disk: this writer takes no more. Opening the
    /// ledger again finds out.
    Poisoned,
    /// What was asked for is not there or cannot be done. The ledger is as it was.
    Refused(Error),
}

impl LedgerError {
    pub(super) fn io(part: Part) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::Io { part, error }
    }

    /// The file that it is about.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Self::Io { part, .. } => *part,
            Self::Index(_) => Part::Index,
            _ => Part::Ledger,
        }
    }

    /// What is wrong with the content, if that is the reason.
    #[must_use]
    pub const fn format(&self) -> Option<&Error> {
        match self {
            Self::Damaged { error, .. } | Self::Index(error) | Self::Refused(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The words of the operating system as everywhere in the crate.
            Self::Io { error, .. } => match error.raw_os_error() {
                Some(code) => Cause::Io(io::Error::from_raw_os_error(code)).fmt(f),
                None => write!(f, "{error}"),
            },
            Self::Damaged { chunk, error } => write!(f, "chunk {chunk} is damaged: {error}"),
            // That is no fault of the index.
            Self::Index(error) if matches!(error.kind(), ErrorKind::LedgerCut { .. }) => error.fmt(f),
            Self::Index(error) => write!(f, "the index is of no use: {error}"),
            Self::Locked => write!(f, "another writer has the ledger"),
            Self::Poisoned => {
                write!(f, "a write failed before; open the ledger again to see what is on the disk")
            }
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LedgerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Damaged { error, .. } | Self::Index(error) | Self::Refused(error) => Some(error),
            Self::Locked | Self::Poisoned => None,
        }
    }
}

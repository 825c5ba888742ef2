//! What a ledger answers: the passkeys themselves, recalled exactly.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::generate::{NEEDLE_LEN, Sample};
use super::lines::Planted;
use crate::error::{Error, ErrorKind};
use crate::ledger::storage::Storage;
use crate::ledger::{LedgerError, LedgerReader, LedgerWriter, Source};

/// Tokens of a ledger read at a time.
const BLOCK: usize = 16 << 10;

fn context_name(id: &str) -> String {
    format!("{id}/context")
}

fn needle_name(id: &str) -> String {
    format!("{id}/needle")
}

/// Appends the UTF-8 bytes of a sample's context to a ledger, a token each, and marks two spans: `ID/context`, and `ID/needle`
/// in it.
///
/// # Errors
/// As [`LedgerWriter::extend`] and [`LedgerWriter::mark_span`].
pub fn write_spans<S: Storage>(sample: &Sample, ledger: &mut LedgerWriter<S>) -> Result<(), LedgerError> {
    let start = ledger.total_tokens();
    let needle = start.saturating_add(sample.needle_at as u64);
    ledger.mark_span(&context_name(&sample.id), start, sample.context.len() as u64)?;
    ledger.mark_span(&needle_name(&sample.id), needle, NEEDLE_LEN as u64)?;
    ledger.extend(sample.context.bytes().map(u32::from))
}

/// Answers samples from a ledger that [`write_spans`] wrote.
#[derive(Debug)]
pub struct LedgerRecall<'a, S> {
    reader: &'a LedgerReader<S>,
}

/// Why a ledger has no answer to a sample.
#[derive(Debug)]
#[non_exhaustive]
pub enum LedgerFault {
    /// The sample has no id to find its spans by.
    NoId,
    /// The ledger has no spans of the sample's id.
    NoSpan,
    /// The ledger is damaged or cannot be read.
    Ledger(LedgerError),
    /// The ledger has another context under the sample's id.
    ContextDiffers,
    /// The span of the needle is not within the one of the context.
    NeedleOutside,
}

impl<'a, S: Source> LedgerRecall<'a, S> {
    /// Answers from `reader`.
    pub const fn new(reader: &'a LedgerReader<S>) -> Self {
        Self { reader }
    }

    /// What the ledger has for the needle's span, after the context's span was found to be the sample's context. Every chunk
    /// that is read is checked by its digest.
    ///
    /// # Errors
    /// Any [`LedgerFault`].
    pub fn answer(&self, planted: &Planted) -> Result<String, LedgerFault> {
        let id = planted.id.as_deref().ok_or(LedgerFault::NoId)?;
        let failed = |error| match error {
            LedgerError::Refused(error) if matches!(error.kind(), ErrorKind::Unknown { .. }) => {
                LedgerFault::NoSpan
            }
            error => LedgerFault::Ledger(error),
        };
        let context = self.reader.span(&context_name(id)).map_err(failed)?;
        let needle = self.reader.span(&needle_name(id)).map_err(failed)?;
        if needle.start < context.start || needle.end() > context.end() {
            return Err(LedgerFault::NeedleOutside);
        }
        if context.len != planted.context.len() as u64 {
            return Err(LedgerFault::ContextDiffers);
        }
        let mut block = std::vec![0; BLOCK.min(planted.context.len())];
        let mut at = context.start;
        for expected in planted.context.as_bytes().chunks(BLOCK) {
            let block = block.get_mut(..expected.len()).unwrap_or_default();
            self.reader.recall_into(at, block).map_err(LedgerFault::Ledger)?;
            if !block.iter().zip(expected).all(|(&token, &byte)| token == u32::from(byte)) {
                return Err(LedgerFault::ContextDiffers);
            }
            at = at.saturating_add(expected.len() as u64);
        }
        let tokens = self.reader.recall_range(needle.start..needle.end()).map_err(LedgerFault::Ledger)?;
        let bytes: Option<Vec<u8>> = tokens.into_iter().map(|token| u8::try_from(token).ok()).collect();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or(LedgerFault::Ledger(LedgerError::Refused(Error::caller(ErrorKind::Utf8 {
            field: "the span of the needle",
        }))))
    }
}

impl fmt::Display for LedgerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoId => f.write_str("the sample has no id to find its spans by"),
            Self::NoSpan => f.write_str("the ledger has no spans of that name"),
            Self::Ledger(error) => error.fmt(f),
            Self::ContextDiffers => f.write_str("the ledger's context is not that of the sample"),
            Self::NeedleOutside => f.write_str("the needle's span is not within that of its context"),
        }
    }
}

impl std::error::Error for LedgerFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Ledger(error) => Some(error),
            _ => None,
        }
    }
}

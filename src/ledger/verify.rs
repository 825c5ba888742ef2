//! Checking many chunks whole, on several threads.
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::vec::Vec;

use super::chunk::Chunk;
use super::error::{LedgerError, Result};
use super::reader::{LedgerReader, Progress};
use super::source::{Source, fetch};
use super::storage::Part;
use crate::frame::{Frame, check_digests};

/// Chunks that are read and hashed together: several for each lane that hashes, since they may differ in length.
const BATCH: usize = 64;
/// But no more than a second-level cache holds.
const BATCH_BYTES: u64 = 512 << 10;

/// Checks all chunks whole. The error is that of the first damaged one, whichever thread meets it.
pub(super) fn chunks<S: Source + Sync>(
    reader: &LedgerReader<S>,
    threads: usize,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<()> {
    let batches = batches(reader);
    let total = reader.ledger_len();
    // Not every 32-bit machine has atomics of 64 bits.
    let (next, done) = (AtomicUsize::new(0), Mutex::new(0u64));
    let failed: Mutex<Option<(usize, LedgerError)>> = Mutex::new(None);
    let work = || {
        let mut buffer = Vec::new();
        loop {
            let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            // Batches are handed out in order, so what comes after a failure is of no interest; what comes before it
            // is, and may be at this point.
            let first =
                failed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(first, _)| *first);
            if first.is_some_and(|first| first < batch.start) {
                return;
            }
            match check(reader, batch.clone(), &mut buffer) {
                Ok(bytes) => {
                    let done = {
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        *done = done.saturating_add(bytes);
                        *done
                    };
                    progress(Progress { done, total });
                }
                Err((i, error)) => {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(first, _)| i < *first) {
                        *failed = Some((i, error));
                    }
                    return;
                }
            }
        }
    };
    let threads = threads.min(batches.len());
    if threads < 2 {
        work();
    } else {
        std::thread::scope(|scope| {
            // Where there are no threads, or no more of them, those that there are do it all.
            let start = || std::thread::Builder::new().spawn_scoped(scope, work);
            let _started = (1..threads).map_while(|_| start().ok()).count();
            work();
        });
    }
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// The chunks in groups that follow one another in the file.
fn batches<S: Source>(reader: &LedgerReader<S>) -> Vec<Range<usize>> {
    let state = reader.state();
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0u64;
    for i in 0..state.entries.len() {
        let len = state.frame_of(i).map_or(0, |(_, len)| len);
        bytes = bytes.saturating_add(len);
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes <= BATCH_BYTES => batch.end = i.saturating_add(1),
            _ => {
                batches.push(i..i.saturating_add(1));
                bytes = len;
            }
        }
    }
    batches
}

/// Checks a group of chunks and returns their bytes, or the first that fails.
fn check<S: Source>(
    reader: &LedgerReader<S>,
    batch: Range<usize>,
    buffer: &mut Vec<u8>,
) -> Result<u64, (usize, LedgerError)> {
    let places: Vec<(u64, u64)> = batch.clone().filter_map(|i| reader.state().frame_of(i)).collect();
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Ok(0) };
    let start = first.0;
    let len = last.0.saturating_add(last.1).saturating_sub(start);
    let io = |error| (batch.start, LedgerError::Io { part: Part::Ledger, error });
    let bytes = fetch(reader.source(), buffer, start, len).map_err(io)?;
    let mut rest = bytes;
    let mut chunks = Vec::with_capacity(places.len());
    let mut failed = None;
    for (i, &(_, len)) in batch.clone().zip(&places) {
        let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
        let Some((frame, after)) = split else { break };
        rest = after;
        match Frame::parse_without_digest(frame) {
            Ok((frame, [])) => chunks.push(frame),
            // What fails otherwise is parsed again for its error.
            _ => {
                failed = Some((i, frame));
                break;
            }
        }
    }
    // Those before it come first, and of them those before the first whose digest differs.
    let differs = check_digests(&chunks).err();
    let before = differs.map_or(chunks.len(), |(at, _)| at);
    for (i, frame) in batch.clone().zip(&chunks).take(before) {
        let chunk = Chunk::from_frame(frame).map_err(|error| (i, reader.damaged(i, error)))?;
        reader.check_parsed(i, &chunk).map_err(|error| (i, error))?;
        reader.set_checked(i);
    }
    if let Some((at, error)) = differs {
        let i = batch.start.saturating_add(at);
        return Err((i, reader.damaged(i, error)));
    }
    if let Some((i, frame)) = failed {
        reader.check(i, frame).map_err(|error| (i, error))?;
    }
    Ok(len)
}

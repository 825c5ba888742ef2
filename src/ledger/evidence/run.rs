//! The run itself: ingest, verify, recall, report.
#![deny(clippy::arithmetic_side_effects)]

use super::{EvidenceAnchor, EvidenceReport, EvidenceStream, IntegrityError};
use crate::error::{Error, ErrorKind};
use crate::io::{FileError, output};
use crate::ledger::storage::{LedgerPath, Part, Storage};
use crate::ledger::{EncodingRule, Index, LedgerError, LedgerOptions, LedgerReader, LedgerWriter, Source};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::vec::Vec;
use std::{format, vec};

/// Tokens made and compared at a time.
const BLOCK: usize = 1 << 16;

/// Recalls timed together, since a clock takes longer than one of them, and how often.
const GROUP: u64 = 64;
const GROUPS: u64 = 1001;

/// Why an evidence run did not come to its report.
#[derive(Debug)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The folder, or a report.
    File(FileError),
    /// The ledger, whose path comes first.
    Ledger(PathBuf, LedgerError),
    /// An argument.
    Argument(Error),
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Ledger(path, error) => {
                write!(f, "{}: {error}", crate::io::Escaped::path(path))
            }
            Self::Argument(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EvidenceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Ledger(_, error) => Some(error),
            Self::Argument(error) => Some(error),
        }
    }
}

impl From<FileError> for EvidenceError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<Error> for EvidenceError {
    fn from(error: Error) -> Self {
        Self::Argument(error)
    }
}

/// Makes the evidence in the folder `out_dir`, which must not be there or be empty:
///
/// - `ledger.bit` and `ledger.bit.idx`, the stream of `tokens` tokens with its passkeys and spans marked: empty context
///   ids, no HMAC, the smallest encoding, one commit;
/// - `compressed_context_report.json` and `.md`, what was found.
///
/// After the commit a new reader (a map, with `mmap`) verifies the whole ledger, compares every token with the stream,
/// and recalls passkeys and spans. What is found wrong by that is in the report, and no error; whether all is well,
/// [`exact_recall_claim_allowed`](EvidenceReport::exact_recall_claim_allowed) tells.
///
/// Ingest, the syncs of the commit and recall are timed apart, and making the tokens is not timed at all. Of single
/// positions 1,001 groups of 64 are timed, picked at random; the median group counts.
///
/// # Errors
/// If the folder has something in it, an argument makes no sense, or the ledger or a report cannot be written. What was
/// written until then stays.
pub fn run(
    out_dir: impl AsRef<Path>,
    tokens: u64,
    chunk_tokens: u32,
    anchor_stride: u32,
) -> Result<EvidenceReport, EvidenceError> {
    let folder = out_dir.as_ref();
    let stream = EvidenceStream::new(tokens)?;
    let options = LedgerOptions::new()
        .chunk_tokens(chunk_tokens)
        .anchor_stride(anchor_stride)
        .encoding(EncodingRule::Auto);
    options.check()?;
    empty_folder(folder)?;
    let path = folder.join("ledger.bit");
    let failed = |error| EvidenceError::Ledger(path.clone(), error);
    let mut report = EvidenceReport::new(stream, chunk_tokens, anchor_stride);
    report.encoding = "auto".into();
    report.created_at = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    report.file_system = Some(file_system(folder).unwrap_or_else(|| "unknown".into()));
    report.ledger_path = Some(path.display().to_string());
    report.index_path = Some(format!("{}.idx", path.display()));

    let started = Instant::now();
    let (making, syncing) = ingest(&path, options, &stream).map_err(failed)?;
    let ingest = started.elapsed().saturating_sub(making).saturating_sub(syncing);
    (report.timings.ingest, report.timings.fsync) = (ingest.as_secs_f64(), syncing.as_secs_f64());

    #[cfg(feature = "mmap")]
    let reader = LedgerReader::map(&path);
    #[cfg(not(feature = "mmap"))]
    let reader = LedgerReader::open(&path);
    match reader {
        Ok(reader) => check(&reader, &mut report).map_err(failed)?,
        Err(error @ LedgerError::Io { .. }) => return Err(failed(error)),
        Err(error) => report.integrity_errors.push(found(&error)),
    }
    let index = LedgerPath::new(&path)?.path(Part::Index).to_path_buf();
    let bytes = fs::read(&index).map_err(|error| FileError::new(&index, error))?;
    report.index_bytes = bytes.len() as u64;
    if let Ok(index) = Index::parse_exact(&bytes) {
        report.anchors = index
            .anchors()
            .map(|anchor| EvidenceAnchor {
                chunk_id: anchor.chunk_id,
                start: anchor.start,
                length: anchor.len,
                offset: anchor.offset,
                sha256_prefix: anchor.digest_prefix,
            })
            .collect();
    }

    for (name, text) in [
        ("compressed_context_report.json", format!("{}\n", report.to_json())),
        ("compressed_context_report.md", report.to_markdown()),
    ] {
        output::write_whole(folder.join(name), |out| Ok(out.write_all(text.as_bytes())?))?;
    }
    Ok(report)
}

/// Sees to an empty folder.
fn empty_folder(folder: &Path) -> Result<(), FileError> {
    let at = |error: io::Error| FileError::new(folder, error);
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_dir(folder).map_err(at)?.next().is_some() {
                let expected = "the folder is not empty";
                return Err(FileError::new(folder, Error::caller(ErrorKind::Argument { expected })));
            }
            Ok(())
        }
        other => other.map_err(at),
    }
}

/// Writes the ledger; the time for making tokens, and for syncs.
fn ingest(
    path: &Path,
    options: LedgerOptions,
    stream: &EvidenceStream,
) -> Result<(Duration, Duration), LedgerError> {
    let mut writer = LedgerWriter::create(path, options)?;
    for (position, token) in stream.passkeys() {
        writer.mark_passkey(position, token)?;
    }
    for (name, start, len) in stream.spans() {
        writer.mark_span(name, start, len)?;
    }
    let (mut tokens, mut making) = (vec![0; BLOCK], Duration::ZERO);
    let mut position = 0u64;
    loop {
        let started = Instant::now();
        let count = stream.fill(position, &mut tokens);
        making = making.saturating_add(started.elapsed());
        if count == 0 {
            break;
        }
        writer.extend_from_slice(tokens.get(..count).unwrap_or_default())?;
        position = position.saturating_add(count as u64);
    }
    writer.commit()?;
    Ok((making, writer.sync_time()))
}

fn found(error: &LedgerError) -> IntegrityError {
    let chunk_id = if let LedgerError::Damaged { chunk, .. } = error { Some(*chunk) } else { None };
    IntegrityError { chunk_id, error: error.to_string() }
}

/// Verifies, compares and recalls. Only what the operating system refuses is an error; all else goes into the report.
fn check<S: Source + Sync>(reader: &LedgerReader<S>, report: &mut EvidenceReport) -> Result<(), LedgerError> {
    let stream = *report.stream();
    report.measured_tokens = reader.total_tokens();
    report.chunk_count = reader.chunk_count();
    report.archive_bytes = reader.ledger_len();
    report.root = reader.claimed_root();
    report.chunk_encodings =
        reader.encodings().iter().map(|(encoding, &chunks)| (encoding.to_string(), chunks)).collect();
    if let Some(tail) = reader.tail() {
        report.integrity_errors.push(IntegrityError { chunk_id: None, error: tail.error.to_string() });
    }

    let started = Instant::now();
    let verified = reader.verify(|_| ());
    report.timings.verify = started.elapsed().as_secs_f64();
    match verified {
        Ok(verified) => report.root = verified.root,
        Err(error @ LedgerError::Io { .. }) => return Err(error),
        Err(error) => {
            report.integrity_errors.push(found(&error));
            return Ok(());
        }
    }
    report.checked_chunks = compare(reader, &stream, &mut report.integrity_errors)?;

    let started = Instant::now();
    for (position, _) in stream.passkeys() {
        match reader.passkey(position) {
            Ok(hit) => {
                // A reader gives out nothing of a chunk whose digest it did not check.
                let taken = report.passkey(position, hit.chunk_id, u64::from(hit.offset), hit.token, true);
                taken.map_err(LedgerError::Refused)?;
            }
            Err(error) => report.integrity_errors.push(found(&error)),
        }
    }
    for (name, _, _) in stream.spans() {
        let tokens = reader
            .span(name)
            .and_then(|span| reader.recall_range(span.start..span.start.saturating_add(span.len)));
        match tokens {
            Ok(tokens) => report.span(name, &tokens, true).map_err(LedgerError::Refused)?,
            Err(error) => report.integrity_errors.push(found(&error)),
        }
    }
    report.timings.recall = started.elapsed().as_secs_f64();
    report.timings.position = median_recall(reader)?.as_secs_f64();
    Ok(())
}

/// Compares every token with the stream, and returns how many chunks there are if they are the same.
fn compare<S: Source>(
    reader: &LedgerReader<S>,
    stream: &EvidenceStream,
    errors: &mut Vec<IntegrityError>,
) -> Result<u64, LedgerError> {
    if reader.total_tokens() != stream.tokens() {
        let error = format!("{} tokens instead of {}", reader.total_tokens(), stream.tokens());
        errors.push(IntegrityError { chunk_id: None, error });
        return Ok(0);
    }
    let (mut expected, mut there) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut position = 0u64;
    loop {
        let count = stream.fill(position, &mut expected);
        if count == 0 {
            return Ok(reader.chunk_count());
        }
        let there = there.get_mut(..count).unwrap_or_default();
        reader.recall_into(position, there)?;
        if let Some(i) = there.iter().zip(&expected).position(|(there, expected)| there != expected) {
            let at = position.saturating_add(i as u64);
            let error = format!("the token at position {at} is not the stream's");
            errors.push(IntegrityError { chunk_id: None, error });
            return Ok(0);
        }
        position = position.saturating_add(count as u64);
    }
}

/// The time that the recall of one position takes in the median group.
fn median_recall<S: Source>(reader: &LedgerReader<S>) -> Result<Duration, LedgerError> {
    let mut times = Vec::new();
    // SplitMix64: any spread of positions will do.
    let mut state = 0u64;
    for _ in 0..GROUPS {
        let mut positions = [0; GROUP as usize];
        for position in &mut positions {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *position = (z ^ (z >> 31)).checked_rem(reader.total_tokens()).unwrap_or(0);
        }
        let (started, mut sum) = (Instant::now(), 0u32);
        for &position in &positions {
            sum = sum.wrapping_add(reader.recall(position)?);
        }
        let time = started.elapsed();
        core::hint::black_box(sum);
        times.push(time);
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(Duration::from_secs_f64(median.as_secs_f64() / GROUP as f64))
}

/// The type of the file system that a folder is on: that of the longest mount point above it, and the last mounted
/// there.
fn file_system(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(_), Some(place), Some(kind)) = (words.next(), words.next(), words.next()) else { continue };
        // Space, tab, line feed and backslash are written in octal.
        let place =
            place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
        if folder.starts_with(&place) && best.is_none_or(|(len, _)| place.len() >= len) {
            best = Some((place.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(path: &Path, stream: &EvidenceStream) {
        ingest(path, LedgerOptions::new().chunk_tokens(100), stream).unwrap();
    }

    #[test]
    fn what_is_wrong_closes_the_gate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.bit");
        let stream = EvidenceStream::new(1000).unwrap();
        ledger(&path, &stream);
        let checked = |stream: EvidenceStream| {
            let mut report = EvidenceReport::new(stream, 100, 8);
            check(&LedgerReader::open(&path).unwrap(), &mut report).unwrap();
            report
        };
        let report = checked(stream);
        assert!(report.exact_recall_claim_allowed());
        assert!(report.timings.verify > 0.0 && report.timings.recall > 0.0 && report.timings.position > 0.0);
        assert_eq!((report.measured_tokens, report.chunk_count, report.checked_chunks), (1000, 10, 10));

        let report = checked(EvidenceStream::new(1001).unwrap());
        assert!(!report.exact_recall_claim_allowed() && !report.integrity_passed());
        assert_eq!(report.integrity_errors[0].error, "1000 tokens instead of 1001");
        assert!(!report.passkey_recall_passed(), "they are elsewhere");

        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let report = checked(stream);
        assert!(!report.exact_recall_claim_allowed());
        assert_eq!(report.integrity_errors[0].chunk_id, Some(9));
        assert!(report.integrity_errors[0].error.starts_with("chunk 9 is damaged: CRC-16 mismatch"));
        assert_eq!(report.checked_chunks, 0);

        // The same tokens but one.
        fs::remove_file(&path).unwrap();
        fs::remove_file(folder.path().join("ledger.bit.idx")).unwrap();
        let mut writer = LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
        for (name, start, len) in stream.spans() {
            writer.mark_span(name, start, len).unwrap();
        }
        for (position, token) in stream.passkeys() {
            writer.mark_passkey(position, token).unwrap();
        }
        let mut tokens = vec![0; 1000];
        stream.fill(0, &mut tokens);
        tokens[700] ^= 1;
        writer.extend_from_slice(&tokens).unwrap();
        writer.commit().unwrap();
        drop(writer);
        let report = checked(stream);
        assert!(report.passkey_recall_passed() && report.semantic_recall_passed());
        assert!(!report.exact_recall_claim_allowed());
        assert_eq!(report.integrity_errors[0].error, "the token at position 700 is not the stream's");
    }
}

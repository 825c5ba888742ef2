//! Ledgers on real files, in trouble: processes killed, two writers, indexes of all the wrong kinds, flipped bits, files
//! with holes of gigabytes.
#![cfg(feature = "std")]

use bitwire::frame::{Config, ContextHash, Element, Frame, FrameBuilder, FrameHeader, Kind};
use bitwire::ledger::storage::Part;
use bitwire::ledger::{
    Chunk, EncodingRule, Index, IndexState, LedgerError, LedgerOptions, LedgerReader, LedgerWriter, Source,
    Span, rebuild_index,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tokens of all ledgers here: every position has its own.
fn token(position: u64) -> u32 {
    (position.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 44) as u32
}

fn tokens(from: u64, count: u64) -> Vec<u32> {
    (from..from + count).map(token).collect()
}

#[cfg(unix)]
mod processes {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    const LEDGER: &str = "BITWIRE_TEST_LEDGER";
    const FOR_EVER: &str = "BITWIRE_TEST_FOR_EVER";

    fn options() -> LedgerOptions {
        LedgerOptions::new().chunk_tokens(512)
    }

    /// What the child processes do; without the variables, nothing.
    #[test]
    fn child() {
        let Some(path) = std::env::var_os(LEDGER) else { return };
        let say = |what: &str, count: u64| {
            let mut out = io::stdout().lock();
            writeln!(out, "\n{what} {count}").and_then(|()| out.flush()).unwrap();
        };
        let mut writer = match fs::exists(&path).unwrap() {
            true => LedgerWriter::open(&path, options()),
            false => LedgerWriter::create(&path, options()),
        }
        .unwrap();
        say("open", writer.total_tokens());
        for round in 1u64.. {
            let from = writer.total_tokens();
            // Small ones, and some beyond the megabyte that is handed over before a commit.
            let count = if round % 16 == 0 { 600_000 } else { 1 + (round * 7919) % 3000 };
            writer.mark_passkey(from, token(from)).unwrap();
            writer.extend_from_slice(&tokens(from, count)).unwrap();
            say("committed", writer.commit().unwrap().tokens);
            while std::env::var_os(FOR_EVER).is_none() {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
    }

    fn spawn(path: &Path, for_ever: bool) -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "processes::child", "--nocapture", "--test-threads=1"]);
        command.env(LEDGER, path).stdout(Stdio::piped()).stderr(Stdio::null());
        if for_ever {
            command.env(FOR_EVER, "1");
        }
        command.spawn().unwrap()
    }

    fn committed(line: &str) -> Option<u64> {
        line.strip_prefix("committed ")?.parse().ok()
    }

    #[test]
    fn killed_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let started = Instant::now();
        let (mut last, mut kills, mut torn, mut uncommitted, mut amid) = (0, 0, 0, 0, 0);
        let mut checked = 0;
        while kills < 30 && (started.elapsed() < Duration::from_secs(20) || kills < 5) {
            let mut child = spawn(&path, true);
            // Moments that nothing ties to what the child does.
            let nanos =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
            std::thread::sleep(Duration::from_micros(u64::from(nanos) / 7 % 250_000));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let mut said = String::new();
            child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            let of_this = said.lines().filter_map(committed).next_back();
            amid += u64::from(of_this.is_some());
            last = of_this.unwrap_or(last);
            if !path.exists() {
                assert_eq!(last, 0);
                continue;
            }

            let reader = LedgerReader::open(&path).unwrap();
            let total = reader.total_tokens();
            assert!(total >= last, "{total} of {last}");
            // What was checked before is checked again at the end.
            assert!(reader.recall_range(checked..total).unwrap() == tokens(checked, total - checked));
            torn += u64::from(reader.tail().is_some());
            uncommitted += u64::from(matches!(reader.index_state(), IndexState::Stale { .. }));
            let tail = reader.tail().copied();
            let writer = LedgerWriter::open(&path, options()).unwrap();
            assert_eq!((writer.total_tokens(), writer.recovered()), (total, tail.as_ref()));
            drop(writer);
            checked = last;
        }
        println!(
            "{kills} kills, {amid} after a commit: {torn} torn ends, {uncommitted} uncommitted chunks, {last} tokens"
        );
        let reader = LedgerReader::open(&path).unwrap();
        let total = reader.total_tokens();
        assert!(last > 0 && total >= last);
        assert!(reader.recall_range(0..total).unwrap() == tokens(0, total));
        for passkey in reader.passkeys().unwrap() {
            assert_eq!(passkey.token, token(passkey.position));
        }
        reader.verify(|_| ()).unwrap();
    }

    #[test]
    fn the_second_writer_waits_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let mut child = spawn(&path, false);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let first = loop {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some(tokens) = committed(line.trim_end()) {
                break tokens;
            }
        };
        let before = (fs::read(&path).unwrap(), fs::read(index_of(&path)).unwrap());
        for _ in 0..3 {
            assert!(matches!(LedgerWriter::open(&path, options()), Err(LedgerError::Locked)));
            assert!(matches!(LedgerWriter::create(&path, options()), Err(LedgerError::Io { .. })));
        }
        assert_eq!((fs::read(&path).unwrap(), fs::read(index_of(&path)).unwrap()), before);
        // Readers need no lock.
        assert_eq!(LedgerReader::open(&path).unwrap().total_tokens(), first);
        child.kill().unwrap();
        child.wait().unwrap();
        let mut writer = LedgerWriter::open(&path, options()).unwrap();
        assert_eq!(writer.total_tokens(), first);
        writer.extend(tokens(first, 10)).unwrap();
        assert_eq!(writer.commit().unwrap().tokens, first + 10);
    }
}

fn index_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".idx");
    name.into()
}

/// 6 chunks of up to 4 tokens, 2 passkeys, 2 spans: the ledger, its index, and an older one.
struct Small {
    _folder: tempfile::TempDir,
    path: PathBuf,
    ledger: Vec<u8>,
    index: Vec<u8>,
    older: Vec<u8>,
}

const TOTAL: u64 = 22;
const PASSKEYS: [u64; 2] = [2, 17];
const SPANS: [(&str, u64, u64); 2] = [("one", 1, 3), ("two", 4, 16)];

fn small_options() -> LedgerOptions {
    LedgerOptions::new().chunk_tokens(4).anchor_stride(2)
}

impl Small {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ledger");
        let mut writer = LedgerWriter::create(&path, small_options()).unwrap();
        writer.extend(tokens(0, 8)).unwrap();
        writer.mark_passkey(PASSKEYS[0], token(PASSKEYS[0])).unwrap();
        writer.mark_span(SPANS[0].0, SPANS[0].1, SPANS[0].2).unwrap();
        writer.commit().unwrap();
        let older = fs::read(index_of(&path)).unwrap();
        writer.extend(tokens(8, 14)).unwrap();
        writer.mark_passkey(PASSKEYS[1], token(PASSKEYS[1])).unwrap();
        writer.mark_span(SPANS[1].0, SPANS[1].1, SPANS[1].2).unwrap();
        writer.commit().unwrap();
        drop(writer);
        let (ledger, index) = (fs::read(&path).unwrap(), fs::read(index_of(&path)).unwrap());
        Self { _folder: folder, path, ledger, index, older }
    }

    fn write(&self, ledger: &[u8], index: Option<&[u8]>) {
        fs::write(&self.path, ledger).unwrap();
        match index {
            Some(index) => fs::write(index_of(&self.path), index).unwrap(),
            None => drop(fs::remove_file(index_of(&self.path))),
        }
    }
}

/// Reads everything: what comes back is right, or an error. Returns how many tokens came back.
fn nothing_wrong<S: Source + Sync>(reader: Result<LedgerReader<S>, LedgerError>) -> usize {
    let content = |error: LedgerError| assert!(!matches!(error, LedgerError::Io { .. }), "{error}");
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => {
            content(error);
            return 0;
        }
    };
    assert!(reader.total_tokens() <= TOTAL);
    let mut right = 0;
    for position in 0..reader.total_tokens() {
        match reader.recall(position) {
            Ok(found) => {
                assert_eq!(found, token(position), "position {position}");
                right += 1;
            }
            Err(error) => content(error),
        }
    }
    match reader.recall_range(0..reader.total_tokens()) {
        Ok(found) => assert_eq!(found, tokens(0, reader.total_tokens())),
        Err(error) => content(error),
    }
    for position in 0..TOTAL {
        match reader.passkey(position) {
            Ok(passkey) => {
                assert!(PASSKEYS.contains(&position));
                assert_eq!(passkey.token, token(position));
                assert_eq!((passkey.chunk_id, passkey.offset), (position / 4, (position % 4) as u32));
            }
            Err(error) => content(error),
        }
    }
    match reader.spans() {
        Ok(spans) => {
            for Span { name, start, len } in spans {
                assert!(SPANS.contains(&(name, start, len)), "{name}");
            }
        }
        Err(error) => content(error),
    }
    if let Err(error) = reader.verify_on(1, |_| ()) {
        content(error);
    }
    right
}

fn find_is_right(index: &[u8], ledger: &[u8]) -> usize {
    let Ok(index) = Index::parse_exact(index) else { return 0 };
    let mut right = 0;
    for position in (0..TOTAL).chain([TOTAL, u64::MAX - 1, u64::MAX]) {
        if let Ok((_, chunk)) = index.find(ledger, position) {
            let place = u32::try_from(position - chunk.start()).unwrap();
            assert_eq!(chunk.token(place), Some(token(position)), "position {position}");
            right += 1;
        }
    }
    right
}

/// The naive CRC-16/IBM-3740 over everything after the magic, put at the end.
fn mend(frame: &mut [u8]) {
    let end = frame.len() - 2;
    let crc = frame[4..end].iter().fold(0xFFFFu16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| crc << 1 ^ if crc >> 15 == 1 { 0x1021 } else { 0 })
    });
    frame[end..].copy_from_slice(&crc.to_be_bytes());
}

/// Files, maps and the writer over a ledger with this index.
fn on_files(small: &Small, ledger: &[u8], index: Option<&[u8]>) -> usize {
    small.write(ledger, index);
    let right = nothing_wrong(LedgerReader::open(&small.path));
    #[cfg(feature = "mmap")]
    assert_eq!(nothing_wrong(LedgerReader::map(&small.path)), right);
    right
}

#[test]
fn indexes_that_are_another() {
    let small = Small::new();
    let all = TOTAL as usize;
    assert_eq!(on_files(&small, &small.ledger, Some(&small.index)), all);
    assert_eq!(find_is_right(&small.index, &small.ledger), all);

    // None, and an older one: everything is found, and the next commit mends it.
    for (index, state) in
        [(None, IndexState::Missing), (Some(&small.older[..]), IndexState::Stale { chunks: 4 })]
    {
        assert_eq!(on_files(&small, &small.ledger, index), all);
        assert_eq!(LedgerReader::open(&small.path).unwrap().index_state(), state);
        LedgerWriter::open(&small.path, small_options()).unwrap().commit().unwrap();
        assert_eq!(fs::read(index_of(&small.path)).unwrap(), small.index);
        assert_eq!(fs::read(&small.path).unwrap(), small.ledger);
    }
    assert_eq!(find_is_right(&small.older, &small.ledger), 8);

    // Of another ledger: of other tokens, of one token more, of none, of another context, of a longer one.
    let folder = tempfile::tempdir().unwrap();
    let context = bitwire::frame::Context::new("elsewhere", "", "", 0).unwrap();
    let others = [
        (small_options(), tokens(1, 22)),
        (small_options(), tokens(0, 23)),
        (small_options(), tokens(0, 200)),
        (small_options().chunk_tokens(5), tokens(0, 22)),
        (small_options().context(context.clone()), tokens(0, 22)),
        (small_options().context(context), vec![]),
    ];
    for (number, (options, tokens)) in others.into_iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let mut writer = LedgerWriter::create(&path, options).unwrap();
        writer.extend(tokens).unwrap();
        writer.commit().unwrap();
        let other = fs::read(index_of(&path)).unwrap();
        assert_eq!(on_files(&small, &small.ledger, Some(&other)), 0, "{number}");
        find_is_right(&other, &small.ledger);
        let refused = LedgerWriter::open(&small.path, small_options());
        assert!(refused.is_err(), "{number}");
        assert_eq!(fs::read(&small.path).unwrap(), small.ledger);
        assert_eq!(fs::read(index_of(&small.path)).unwrap(), other);
    }

    // Cut short.
    for len in 0..small.index.len() {
        assert!(matches!(
            LedgerReader::new(&small.ledger[..], Some(&small.index[..len])),
            Err(LedgerError::Index(_))
        ));
    }
    small.write(&small.ledger, Some(b""));
    let error = LedgerReader::open(&small.path).unwrap_err();
    assert!(matches!(error, LedgerError::Index(_)) && error.part() == Part::Index, "{error}");
    assert!(matches!(LedgerWriter::open(&small.path, small_options()), Err(LedgerError::Index(_))));
    // It is put right by taking it away.
    small.write(&small.ledger, None);
    assert_eq!(LedgerWriter::open(&small.path, small_options()).unwrap().total_tokens(), TOTAL);
    assert_eq!(fs::read(index_of(&small.path)).unwrap().len(), small.index.len());
}

#[test]
fn no_bit_of_an_index_is_believed() {
    let small = Small::new();
    let (mut refused, mut told) = (0, 0);
    for bit in 0..small.index.len() * 8 {
        let mut index = small.index.clone();
        index[bit / 8] ^= 1 << (bit % 8);
        assert!(Index::parse_exact(&index).is_err(), "the CRC");
        assert!(LedgerReader::new(&small.ledger[..], Some(&index)).is_err());
        // With its CRC mended: every root, prefix, token, span, length.
        mend(&mut index);
        find_is_right(&index, &small.ledger);
        match LedgerReader::new(&small.ledger[..], Some(&index)) {
            Err(_) => refused += 1,
            Ok(reader) => {
                // A passkey's token, which is not read to open.
                told += usize::from(reader.verify_on(1, |_| ()).is_err());
            }
        }
        nothing_wrong(LedgerReader::new(&small.ledger[..], Some(&index)));
        if bit % 8 == bit / 8 % 8 {
            on_files(&small, &small.ledger, Some(&index));
            if let Ok(mut writer) = LedgerWriter::open(&small.path, small_options()) {
                assert_eq!(writer.total_tokens(), TOTAL);
                writer.commit().unwrap();
                assert_eq!(on_files(&small, &small.ledger, None), TOTAL as usize);
            }
            assert_eq!(fs::read(&small.path).unwrap(), small.ledger);
        }
    }
    println!("{refused} refused, {told} told");
    // The CRC's own 16 bits, and 18 of FLAGS_V1 that may be set, change nothing; two tokens of 32 bits open.
    assert_eq!((refused + told, told), (small.index.len() * 8 - 16 - 18, 64));
}

/// An index that is right but for one field.
#[test]
fn lengths_beyond_all_files() {
    let small = Small::new();
    // LEDGER_INDEX_V1 is 88 bytes, of type 11.
    let at = small.index.windows(4).position(|four| four == [0x11, 0x00, 0x58, 0x00]).unwrap() + 3;
    let field = |index: &mut [u8], off: usize, value: u64| {
        index[at + off..at + off + 8].copy_from_slice(&value.to_be_bytes());
    };
    assert_eq!(small.index[at..at + 8], TOTAL.to_be_bytes());
    for len in [small.ledger.len() as u64 + 1, 5 << 30, 1 << 62, 1 << 63, u64::MAX] {
        for total in [TOTAL, len] {
            let mut index = small.index.clone();
            field(&mut index, 0, total);
            field(&mut index, 16, len);
            mend(&mut index);
            assert_eq!(on_files(&small, &small.ledger, Some(&index)), 0);
            assert_eq!(find_is_right(&index, &small.ledger), 0);
            assert!(LedgerWriter::open(&small.path, small_options()).is_err());
            assert_eq!(fs::read(&small.path).unwrap(), small.ledger);
            // Also where the file is as long.
            let huge = Holes::new(&small.ledger, len);
            assert!(LedgerReader::new(&huge, Some(&index)).is_err());
            huge.assert_little_read();
        }
    }
    // Chunks by the billion, in an index that has them (0 anchors would be a lie).
    let mut index = small.index.clone();
    field(&mut index, 8, 1 << 40);
    mend(&mut index);
    assert_eq!(on_files(&small, &small.ledger, Some(&index)), 0);
}

#[test]
fn no_bit_of_a_ledger_is_believed() {
    let small = Small::new();
    let all = TOTAL as usize;
    let chunk = small.ledger.len() / 6;
    for byte in 0..small.ledger.len() {
        // The first chunk and the last bit by bit, of the others one bit each.
        let each = byte < chunk || byte > 5 * chunk;
        for bit in (0..8).filter(|bit| each || *bit == byte % 8) {
            let mut ledger = small.ledger.clone();
            ledger[byte] ^= 1 << bit;
            let mut right = usize::MAX;
            for index in [Some(&small.index[..]), Some(&small.older[..]), None] {
                right = right.min(nothing_wrong(LedgerReader::new(&ledger[..], index)));
                assert!(
                    LedgerReader::new(&ledger[..], index)
                        .and_then(|reader| reader.verify_on(1, |_| ()))
                        .map_or(true, |verified| verified.tokens < TOTAL)
                );
            }
            assert!(right < all);
            find_is_right(&small.index, &ledger);
        }
        if byte % 5 == 0 {
            let mut ledger = small.ledger.clone();
            ledger[byte] ^= 0x10;
            assert!(on_files(&small, &ledger, Some(&small.index)) < all);
            // What was committed is never cut off.
            if let Ok(mut writer) = LedgerWriter::open(&small.path, small_options()) {
                assert!(writer.recovered().is_none());
                let _ = writer.commit();
            }
            assert_eq!(fs::read(&small.path).unwrap(), ledger);
        }
    }
}

/// Where a frame ends too early is said in one way, whoever reads it; also if it has no payload.
#[test]
fn a_torn_tail_says_what_the_frame_says() {
    let (config, mut cuts) = (Config::new(Kind::LEDGER_CHUNK, Element::U32, 1, 0, 0), 0);
    for payload in [&b""[..], b"abcd"] {
        let frame = FrameBuilder::new(ContextHash([7; 8]), config, payload).encode().unwrap();
        for cut in 1..frame.len() {
            let Ok(reader) = LedgerReader::new(&frame[..cut], None) else { continue };
            assert_eq!(reader.tail().unwrap().error, Frame::parse(&frame[..cut]).unwrap_err());
            cuts += 1;
        }
    }
    assert!(cuts > 100, "{cuts}");
}

/// A ledger that becomes another while it is open.
struct Changing(Mutex<Vec<u8>>);

impl Source for Changing {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Source::read_at(&*self.0.lock().unwrap(), buf, offset)
    }
}

#[test]
fn a_good_chunk_of_another_ledger_is_not_taken_for_the_one_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let [before, after] = [("a.ledger", 70_000), ("b.ledger", 80_000)].map(|(name, from)| {
        let path = folder.path().join(name);
        let options = small_options().encoding(EncodingRule::Raw);
        let mut writer = LedgerWriter::create(&path, options).unwrap();
        writer.extend((0..TOTAL).map(|position| from + position as u32)).unwrap();
        writer.commit().unwrap();
        fs::read(&path).unwrap()
    });
    assert_eq!(before.len(), after.len());

    let source = Changing(Mutex::new(before));
    let reader = LedgerReader::new(&source, None).unwrap();
    assert_eq!(reader.recall(0).unwrap(), 70_000);
    *source.0.lock().unwrap() = after;
    // Chunk 0 is kept. All others are as long as they were, at their places, and whole.
    for position in 4..TOTAL {
        let error = reader.recall(position).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }), "{position}: {error}");
    }
    assert!(matches!(reader.recall_range(0..TOTAL), Err(LedgerError::Damaged { chunk: 1, .. })));
    assert!(matches!(reader.verify_on(1, |_| ()), Err(LedgerError::Damaged { chunk: 0, .. })));
}

/// A wrong index says where the ledger ended: what is torn from there on was never committed.
#[test]
fn a_tail_that_begins_where_a_wrong_index_ends_is_torn() {
    let small = Small::new();
    let mut index = small.index.clone();
    // A byte that opening looks at, other than where the ledger ends.
    let wrong = (0..index.len()).rev().find(|&at| {
        let mut other = small.index.clone();
        other[at] ^= 1;
        mend(&mut other);
        matches!(LedgerReader::new(&small.ledger[..], Some(&other)), Err(LedgerError::Index(_)))
            && Index::parse_exact(&other).is_ok_and(|index| index.ledger_len() == small.ledger.len() as u64)
    });
    index[wrong.unwrap()] ^= 1;
    mend(&mut index);
    let torn = [&small.ledger[..], &small.ledger[..20]].concat();
    small.write(&torn, Some(&index));
    let rebuilt = rebuild_index(&small.path, small_options()).unwrap();
    assert!(rebuilt.ignored.is_some());
    assert_eq!(rebuilt.tail.unwrap().offset, small.ledger.len() as u64);
    assert_eq!(nothing_wrong(LedgerReader::open(&small.path)), TOTAL as usize);
    // A ledger of which less is there than the index covers stays as it is.
    let cut = &small.ledger[..small.ledger.len() - 1];
    small.write(cut, Some(&index));
    assert!(rebuild_index(&small.path, small_options()).is_err());
    assert!(fs::read(&small.path).unwrap() == cut);
}

/// A ledger, and nothing but a hole behind it. Counts what is read.
struct Holes {
    head: Vec<u8>,
    len: u64,
    read: AtomicU64,
    largest: AtomicU64,
}

impl Holes {
    fn new(head: &[u8], len: u64) -> Self {
        Self { head: head.to_vec(), len, read: AtomicU64::new(0), largest: AtomicU64::new(0) }
    }

    fn assert_little_read(&self) {
        let (read, largest) = (self.read.load(Ordering::Relaxed), self.largest.load(Ordering::Relaxed));
        assert!(read < 20_000 && largest < 4_096, "{read} bytes, up to {largest} at once");
    }
}

impl Source for Holes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = buf.len().min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX));
        let head =
            usize::try_from(offset).ok().and_then(|offset| self.head.get(offset..)).unwrap_or_default();
        let from_head = head.len().min(count);
        buf[..from_head].copy_from_slice(&head[..from_head]);
        buf[from_head..count].fill(0);
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        self.largest.fetch_max(buf.len() as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[test]
fn holes_of_any_length_are_a_torn_tail_at_once() {
    let small = Small::new();
    let len = small.ledger.len() as u64;
    for total in [len + 1, len + 2, len + 15, 5 << 30, 1 << 62, i64::MAX as u64, (1 << 63) + 1, u64::MAX] {
        let holes = Holes::new(&small.ledger, total);
        let reader = LedgerReader::new(&holes, Some(&small.index)).unwrap();
        let tail = reader.tail().unwrap();
        assert_eq!((tail.offset, tail.len, reader.total_tokens()), (len, total - len, TOTAL));
        assert_eq!(reader.recall_range(0..TOTAL).unwrap(), tokens(0, TOTAL));
        holes.assert_little_read();
    }
    // Without an index a whole chunk may follow anywhere: once through, in windows.
    let total = 48 << 20;
    let holes = Holes::new(&small.ledger, total);
    let reader = LedgerReader::new(&holes, None).unwrap();
    assert_eq!(reader.tail().map(|tail| tail.offset), Some(len));
    let (read, largest) = (holes.read.load(Ordering::Relaxed), holes.largest.load(Ordering::Relaxed));
    assert!(read < total + (1 << 20) && largest <= 1 << 20, "{read} of {total}, up to {largest} at once");
}

/// Over 4 GiB on a real file, where the file system has holes.
#[cfg(unix)]
#[test]
fn a_sparse_file_of_5_gib() {
    use std::os::unix::fs::MetadataExt;
    let small = Small::new();
    let len = small.ledger.len() as u64;
    let file = fs::OpenOptions::new().write(true).open(&small.path).unwrap();
    if file.set_len(5 << 30).is_err() || file.metadata().unwrap().blocks() * 512 > 1 << 20 {
        println!("no holes here");
        return;
    }
    assert_eq!(nothing_wrong(LedgerReader::open(&small.path)), TOTAL as usize);
    #[cfg(all(feature = "mmap", target_pointer_width = "64"))]
    assert_eq!(nothing_wrong(LedgerReader::map(&small.path)), TOTAL as usize);
    let writer = LedgerWriter::open(&small.path, small_options()).unwrap();
    assert_eq!(writer.recovered().map(|tail| (tail.offset, tail.len)), Some((len, (5 << 30) - len)));
    drop(writer);
    // Not by reading it, should it still be that long.
    assert_eq!(fs::metadata(&small.path).unwrap().len(), len);
    assert!(fs::read(&small.path).unwrap() == small.ledger);
}

/// The header walk does not see it, and no whole chunk follows: only the index knows that this was committed.
#[test]
fn a_digest_damaged_in_the_last_committed_chunk_is_no_torn_tail() {
    let small = Small::new();
    let last = small.ledger.len() - Ledger(&small.ledger).last().len();
    let digest = *Chunk::parse_exact(&small.ledger[last..]).unwrap().digest();
    let at = small.ledger.windows(32).position(|window| window == digest).unwrap();
    let mut ledger = small.ledger.clone();
    ledger[at] ^= 1;
    small.write(&ledger, Some(&small.index));
    for result in [
        LedgerReader::open(&small.path).map(drop),
        LedgerWriter::open(&small.path, small_options()).map(drop),
        rebuild_index(&small.path, small_options()).map(drop),
    ] {
        match result.unwrap_err() {
            LedgerError::Damaged { chunk, .. } => assert_eq!(chunk, 5),
            other => panic!("{other}"),
        }
    }
    assert_eq!(fs::read(&small.path).unwrap(), ledger);
    assert_eq!(fs::read(index_of(&small.path)).unwrap(), small.index);

    // The only chunk, of another context: the contexts come before the chunks.
    fs::remove_file(&small.path).unwrap();
    fs::remove_file(index_of(&small.path)).unwrap();
    let mut writer = LedgerWriter::create(&small.path, small_options()).unwrap();
    writer.extend(tokens(0, 4)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (mut ledger, index) = (fs::read(&small.path).unwrap(), fs::read(index_of(&small.path)).unwrap());
    ledger[4] ^= 1;
    small.write(&ledger, Some(&index));
    assert!(matches!(LedgerReader::open(&small.path), Err(LedgerError::Index(_))));
    let error = rebuild_index(&small.path, small_options()).unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { chunk: 0, .. }), "{error}");
    assert_eq!(fs::read(&small.path).unwrap(), ledger);
    assert_eq!(fs::read(index_of(&small.path)).unwrap(), index);
}

/// The chunks of a ledger, for tests.
struct Ledger<'a>(&'a [u8]);

impl<'a> Ledger<'a> {
    fn chunks(&self) -> Vec<&'a [u8]> {
        let mut rest = self.0;
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            let chunk;
            (chunk, rest) = rest.split_at(FrameHeader::parse(rest).unwrap().frame_len().unwrap() as usize);
            chunks.push(chunk);
        }
        chunks
    }

    fn last(&self) -> &'a [u8] {
        self.chunks().pop().unwrap()
    }
}

/// Chunk 1 is replaced by a good one of other tokens, and the digest of chunk 2 is wrong: chunk 1 is the first that is damaged.
#[test]
fn verify_names_the_first_damaged_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, change: u32| {
        let path = folder.path().join(name);
        let mut writer = LedgerWriter::create(&path, small_options()).unwrap();
        writer.extend([9, 8, 7, 6, 5 + change, 4, 3, 2, 7, 7, 7, 7]).unwrap();
        writer.commit().unwrap();
        path
    };
    let (path, other) = (write("a", 0), fs::read(write("b", 1)).unwrap());
    let reader = LedgerReader::open(&path).unwrap();
    let mut last = Ledger(&other).last().to_vec();
    let payload = last.len() - 3;
    last[payload] ^= 1;
    mend(&mut last);
    let rest = other.len() - last.len();
    // In place: the reader has it open.
    fs::write(&path, [&other[..rest], &last].concat()).unwrap();
    for threads in [1, 4] {
        match reader.verify_on(threads, |_| ()).unwrap_err() {
            LedgerError::Damaged { chunk, .. } => assert_eq!(chunk, 1),
            other => panic!("{other}"),
        }
    }
}

/// Magics that look like chunks up to a TLV out of order, which is as long as can be.
#[test]
fn a_search_reads_no_more_of_a_header_than_it_takes_to_refuse_it() {
    let small = Small::new();
    let config = &small.ledger[..12 + 27];
    let mut head = small.ledger.clone();
    head.extend_from_slice(b"BIT\x01");
    for _ in 0..10_000 {
        head.extend_from_slice(config);
        head.extend_from_slice(&[0x01, 0xFF, 0xFF]);
    }
    let len = head.len() as u64;
    let holes = Holes::new(&head, len);
    let reader = LedgerReader::new(&holes, None);
    drop(reader);
    let read = holes.read.load(Ordering::Relaxed);
    assert!(read < 16 * len, "{read} of {len}");
}

/// As many spans as no chunk has room for, all over at the first token.
#[test]
fn marks_that_one_chunk_has_no_room_for_are_carried_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut writer = LedgerWriter::create(&path, small_options().chunk_tokens(1)).unwrap();
    let name = |i: u64| format!("span {:05}", i * 7919 % 10_007);
    for i in 0..10_007 {
        writer.mark_span(&name(i), 0, 1 + i % 3).unwrap();
    }
    writer.extend(tokens(0, 4)).unwrap();
    // 4 chunks carry 4 times 65,531 bytes, each span takes 28.
    let error = writer.commit().unwrap_err();
    assert!(matches!(error, LedgerError::Refused(_)), "{error}");
    writer.extend(tokens(4, 2)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let reader = LedgerReader::open(&path).unwrap();
    reader.verify_on(2, |_| ()).unwrap();
    let spans = reader.spans().unwrap();
    assert_eq!(spans.len(), 10_007);
    for i in 0..10_007 {
        let span = spans[spans.binary_search_by(|span| span.name.cmp(&name(i))).unwrap()];
        assert_eq!((span.start, span.len), (0, 1 + i % 3));
    }
    // And the index is made again from the chunks.
    let index = fs::read(index_of(&path)).unwrap();
    fs::remove_file(index_of(&path)).unwrap();
    rebuild_index(&path, small_options()).unwrap();
    assert_eq!(fs::read(index_of(&path)).unwrap(), index);
}

/// All tokens of one chunk are passkeys, and there are more spans than it has room for.
#[test]
fn a_commit_makes_as_many_chunks_as_its_marks_need() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
    for i in 0..8192 {
        writer.mark_passkey(i, token(i)).unwrap();
    }
    let long = "x".repeat(40_000);
    for i in 0..5u64 {
        writer.mark_span(&format!("{i}{long}"), i, 8192 - 2 * i).unwrap();
    }
    writer.extend(tokens(0, 8192)).unwrap();
    // 65,536 bytes of passkeys, of which 65,528 fit the first chunk; then a span a chunk.
    let commit = writer.commit().unwrap();
    assert_eq!(commit.tokens, 8192);
    assert!((6..=11).contains(&commit.chunks), "{}", commit.chunks);
    drop(writer);
    let reader = LedgerReader::open(&path).unwrap();
    reader.verify_on(2, |_| ()).unwrap();
    assert_eq!(reader.recall_range(0..8192).unwrap(), tokens(0, 8192));
    assert!(reader.passkeys().unwrap().iter().map(|passkey| passkey.position).eq(0..8192));
    let spans = reader.spans().unwrap();
    assert!(spans.iter().zip(0..).all(|(span, i)| (span.start, span.len) == (i, 8192 - 2 * i)));
    assert_eq!(spans.len(), 5);
}

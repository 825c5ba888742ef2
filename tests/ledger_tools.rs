//! Whole ledgers made, mended, looked into and converted by one call each.
#![cfg(all(feature = "std", feature = "hmac", feature = "mmap", feature = "tinymind"))]

use std::fs;
use std::path::{Path, PathBuf};

use bitwire::ErrorKind;
use bitwire::frame::{Context, Key};
use bitwire::ledger::{
    IndexState, LedgerError, LedgerOptions, LedgerReader, LedgerWriter, evidence, rebuild_index, recall,
    tinymind,
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn key(first: u8) -> Key {
    Key::new(&[first; 32]).unwrap()
}

fn small() -> LedgerOptions {
    LedgerOptions::new().chunk_tokens(10).anchor_stride(3)
}

/// 95 tokens in 10 chunks, two commits, marks in both.
fn ledger(path: &Path, options: LedgerOptions) -> Vec<u32> {
    let tokens: Vec<u32> = (0..95u32).map(|i| i * i % 1000).collect();
    let mut writer = LedgerWriter::create(path, options).unwrap();
    writer.mark_passkey(17, tokens[17]).unwrap();
    writer.extend_from_slice(&tokens[..60]).unwrap();
    writer.commit().unwrap();
    writer.mark_span("name", 5, 30).unwrap();
    writer.extend_from_slice(&tokens[60..]).unwrap();
    writer.commit().unwrap();
    tokens
}

#[test]
fn an_index_is_made_again_whatever_is_in_its_place() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    ledger(&path, small());
    let (good, bytes) = (fs::read(&idx).unwrap(), fs::read(&path).unwrap());
    let other = folder.path("other");
    ledger(&other, small().chunk_tokens(7));
    let foreign = fs::read(folder.path("other.idx")).unwrap();
    let context = Context::new("other", "", "", 0).unwrap();
    ledger(&folder.path("elsewhere"), small().context(context));
    let elsewhere = fs::read(folder.path("elsewhere.idx")).unwrap();
    let mut damaged = good.clone();
    damaged[100] ^= 1;
    for (what, place, ignored) in [
        ("good", Some(&good), false),
        ("missing", None, false),
        ("empty", Some(&vec![]), true),
        ("damaged", Some(&damaged), true),
        ("of other chunks", Some(&foreign), true),
        ("of another context", Some(&elsewhere), true),
        ("a chunk", Some(&bytes), true),
    ] {
        let _ = fs::remove_file(&idx);
        if let Some(place) = place {
            fs::write(&idx, place).unwrap();
        }
        let rebuilt = rebuild_index(&path, LedgerOptions::new().anchor_stride(3)).unwrap();
        assert_eq!(rebuilt.ignored.is_some(), ignored, "{what}: {rebuilt:?}");
        assert_eq!((rebuilt.commit.tokens, rebuilt.tail), (95, None), "{what}");
        assert_eq!(fs::read(&idx).unwrap(), good, "{what}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}");
    }
    // Another stride; without one asked for, that of the index which is there stays.
    let rebuilt = rebuild_index(&path, LedgerOptions::new().anchor_stride(1)).unwrap();
    assert_eq!(rebuilt.commit.index_len, (good.len() + 6 * 40) as u64);
    rebuild_index(&path, LedgerOptions::new()).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.index(1).unwrap(), fs::read(&idx).unwrap());
    assert!(matches!(rebuild_index(folder.path("none"), small()), Err(LedgerError::Io { .. })));
    assert!(matches!(
        rebuild_index(&path, LedgerOptions::new().anchor_stride(0)),
        Err(LedgerError::Refused(_))
    ));
    let _writer = LedgerWriter::open(&path, LedgerOptions::new()).unwrap();
    assert!(matches!(rebuild_index(&path, LedgerOptions::new()), Err(LedgerError::Locked)));
}

#[test]
fn a_rebuild_believes_a_good_index_about_damage_and_leaves_a_torn_tail() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    ledger(&path, small());
    let (bytes, good) = (fs::read(&path).unwrap(), fs::read(&idx).unwrap());
    // A stale index is extended.
    let mut writer = LedgerWriter::open(&path, small()).unwrap();
    writer.extend([1, 2, 3]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let longer = fs::read(&path).unwrap();
    fs::write(&idx, &good).unwrap();
    let rebuilt = rebuild_index(&path, LedgerOptions::new()).unwrap();
    assert_eq!((rebuilt.commit.tokens, rebuilt.ignored, rebuilt.tail), (98, None, None));
    assert_eq!(LedgerReader::open(&path).unwrap().index_state(), IndexState::Current);

    // Torn after what the index covers: left alone.
    fs::write(&path, &longer[..longer.len() - 1]).unwrap();
    fs::write(&idx, &good).unwrap();
    let rebuilt = rebuild_index(&path, LedgerOptions::new()).unwrap();
    let tail = rebuilt.tail.unwrap();
    assert_eq!((tail.offset, tail.len), (bytes.len() as u64, (longer.len() - 1 - bytes.len()) as u64));
    assert_eq!(fs::read(&path).unwrap(), longer[..longer.len() - 1]);
    assert_eq!(fs::read(&idx).unwrap(), good);

    // A header damaged under a good index: refused, and the index stays.
    let mut bad = bytes.clone();
    let at = bytes.len() / 2;
    let magic = at + bytes[at..].windows(4).position(|four| four == b"BIT\x01").unwrap();
    bad[magic] = b'X';
    fs::write(&path, &bad).unwrap();
    match rebuild_index(&path, LedgerOptions::new()).unwrap_err() {
        LedgerError::Damaged { error, .. } => assert_eq!(error.offset(), magic as u64),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(&idx).unwrap(), good);
    // The same without an index, since whole chunks follow.
    fs::remove_file(&idx).unwrap();
    assert!(matches!(rebuild_index(&path, LedgerOptions::new()), Err(LedgerError::Damaged { .. })));
    assert!(!idx.exists());

    // The ledger cut off under its own index: a new one would hush that up.
    let cut = 2 * at - magic;
    fs::write(&path, &bytes[..cut]).unwrap();
    fs::write(&idx, &good).unwrap();
    for result in [
        LedgerReader::open(&path).map(drop),
        LedgerWriter::open(&path, LedgerOptions::new()).map(drop),
        rebuild_index(&path, LedgerOptions::new()).map(drop),
    ] {
        match result.unwrap_err() {
            LedgerError::Index(error) => {
                assert!(matches!(error.kind(), ErrorKind::LedgerCut { .. }), "{error}")
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((fs::read(&idx).unwrap(), fs::read(&path).unwrap().len()), (good, cut));
    // Whoever knows better removes the index.
    fs::remove_file(&idx).unwrap();
    assert!(rebuild_index(&path, LedgerOptions::new()).unwrap().commit.tokens < 95);
    LedgerReader::open(&path).unwrap().verify(|_| ()).unwrap();
}

/// The index of a ledger that is gone is the last that is known of it.
#[test]
fn a_lost_ledger_is_not_replaced() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    ledger(&path, small());
    let index = fs::read(&idx).unwrap();
    fs::remove_file(&path).unwrap();
    match LedgerWriter::create(&path, small()).unwrap_err() {
        LedgerError::Index(error) => assert!(matches!(error.kind(), ErrorKind::LedgerCut { found: 0, .. })),
        other => panic!("{other}"),
    }
    assert!(!path.exists() && fs::read(&idx).unwrap() == index);
    fs::remove_file(&idx).unwrap();
    LedgerWriter::create(&path, small()).unwrap();
}

/// An index file that is long and hollow is not read to its end.
#[test]
fn a_hollow_index_is_refused_at_once() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    ledger(&path, small());
    let index = fs::OpenOptions::new().write(true).open(&idx).unwrap();
    index.set_len(1 << 40).unwrap();
    assert!(matches!(LedgerReader::open(&path), Err(LedgerError::Index(_))));
    fs::write(&idx, []).unwrap();
    fs::OpenOptions::new().write(true).open(&idx).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(LedgerReader::open(&path), Err(LedgerError::Index(_))));
}

/// A writer that waited for the lock of a ledger that was removed meanwhile does not write into the void.
#[cfg(unix)]
#[test]
fn a_removed_ledger_is_not_written() {
    use bitwire::ledger::storage::{LedgerPath, Storage};
    let folder = Folder::new();
    let path = folder.path("a");
    let storage = LedgerPath::new(&path).unwrap();
    let writer = LedgerWriter::create(&path, small()).unwrap();
    let file = fs::File::open(&path).unwrap();
    assert!(storage.is_ledger(&file).unwrap());
    writer.abandon().unwrap();
    assert!(!storage.is_ledger(&file).unwrap());
    let _other = LedgerWriter::create(&path, small()).unwrap();
    assert!(!storage.is_ledger(&file).unwrap());
}

#[test]
fn a_signed_ledger_needs_its_key_and_a_wrong_one_cuts_nothing() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    // One chunk: no whole chunk follows it.
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new().sign(key(1))).unwrap();
    writer.extend([1, 2, 3]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let (bytes, good) = (fs::read(&path).unwrap(), fs::read(&idx).unwrap());
    let options = |first: Option<u8>| match first {
        Some(first) => LedgerOptions::new().sign(key(first)),
        None => LedgerOptions::new(),
    };
    for index in [true, false] {
        for wrong in [Some(2), None] {
            let set = || match index {
                true => fs::write(&idx, &good).unwrap(),
                false => drop(fs::remove_file(&idx)),
            };
            set();
            let error = rebuild_index(&path, options(wrong)).unwrap_err();
            let kind = error.format().unwrap().kind();
            assert!(matches!(kind, ErrorKind::Hmac | ErrorKind::MixedHmac), "{index} {wrong:?} {error}");
            let error = LedgerWriter::open(&path, options(wrong)).unwrap_err();
            let kind = error.format().unwrap().kind();
            assert!(matches!(kind, ErrorKind::Hmac | ErrorKind::MixedHmac), "{index} {wrong:?} {error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
            assert_eq!(idx.exists(), index);
        }
    }
    rebuild_index(&path, options(Some(1))).unwrap();
    assert_eq!(fs::read(&idx).unwrap(), good);
    // A key for a ledger that is not signed.
    let path = folder.path("b");
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
    writer.extend([1]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    for index in [true, false] {
        if !index {
            fs::remove_file(folder.path("b.idx")).unwrap();
        }
        rebuild_index(&path, options(Some(1))).unwrap_err();
        LedgerWriter::open(&path, options(Some(1))).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn an_abandoned_writer_leaves_what_it_found() {
    let folder = Folder::new();
    let path = folder.path("a");
    let mut writer = LedgerWriter::create(&path, small()).unwrap();
    writer.extend(0..100_000).unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 1_000_000, "much was written");
    writer.abandon().unwrap();
    assert_eq!(folder.names(), [""; 0]);

    ledger(&path, small());
    let files = || (fs::read(&path).unwrap(), fs::read(folder.path("a.idx")).unwrap());
    let before = files();
    let mut writer = LedgerWriter::open(&path, small()).unwrap();
    writer.extend(0..100_000).unwrap();
    assert!(fs::metadata(&path).unwrap().len() > 1_000_000);
    writer.abandon().unwrap();
    assert_eq!(files(), before);
    // After a commit that is what stays.
    let mut writer = LedgerWriter::open(&path, small()).unwrap();
    writer.extend(0..100).unwrap();
    writer.commit().unwrap();
    let before = files();
    writer.extend(0..100_000).unwrap();
    writer.abandon().unwrap();
    assert_eq!(files(), before);
}

#[test]
fn a_recall_by_the_index_alone() {
    let folder = Folder::new();
    let (path, idx) = (folder.path("a"), folder.path("a.idx"));
    let tokens = ledger(&path, small());
    let (bytes, good) = (fs::read(&path).unwrap(), fs::read(&idx).unwrap());
    let all = |what: &str| {
        for start in (0..95).step_by(4) {
            for end in start..=95 {
                let recalled = recall(&path, start as u64..end as u64).unwrap();
                assert_eq!(
                    (recalled.tokens.as_slice(), recalled.tail),
                    (&tokens[start..end], None),
                    "{what}"
                );
            }
        }
    };
    all("with an index");
    // The header of chunk 1, between two anchors, is damaged: tokens of other anchors' chunks come without a look at it.
    let second = 4 + bytes[4..].windows(4).position(|four| four == b"BIT\x01").unwrap();
    let mut bad = bytes.clone();
    bad[second] = b'X';
    fs::write(&path, &bad).unwrap();
    assert_eq!(recall(&path, 30..95).unwrap().tokens, tokens[30..]);
    assert!(matches!(recall(&path, 10..11), Err(LedgerError::Damaged { chunk: 1, .. })));
    assert!(matches!(recall(&path, 5..11), Err(LedgerError::Damaged { chunk: 1, .. })));
    fs::write(&path, &bytes).unwrap();

    for (start, end) in [(95, 96), (94, 96), (u64::MAX - 1, u64::MAX), (0, u64::MAX)] {
        assert!(matches!(recall(&path, start..end), Err(LedgerError::Refused(_))), "{start}..{end}");
    }
    fs::remove_file(&idx).unwrap();
    all("without an index");
    let mut writer = LedgerWriter::open(&path, small()).unwrap();
    writer.extend([1000]).unwrap();
    writer.commit().unwrap();
    drop(writer);
    fs::write(&idx, &good).unwrap();
    all("with a stale index");
    assert_eq!(recall(&path, 95..96).unwrap().tokens, [1000]);
    let longer = fs::read(&path).unwrap();
    fs::write(&path, &longer[..longer.len() - 1]).unwrap();
    assert_eq!(recall(&path, 3..4).unwrap().tail.unwrap().offset, bytes.len() as u64);
    fs::write(&idx, &longer).unwrap();
    assert!(matches!(recall(&path, 3..4), Err(LedgerError::Index(_))));
}

fn tinymind_small() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/tinymind/small/ledger"].iter().collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn tinymind_to_a_ledger_and_back() {
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("data/tinymind/expected.json")).unwrap();
    let folder = Folder::new();
    let path = folder.path("a");
    let imported = tinymind::import(tinymind_small(), &path, small()).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    let tokens: Vec<u32> = serde_json::from_value(expected["small"]["tokens"].clone()).unwrap();
    assert_eq!(imported.commit.tokens, tokens.len() as u64);
    assert_eq!(reader.recall_range(0..tokens.len() as u64).unwrap(), tokens);
    reader.verify(|_| ()).unwrap();
    let passkeys = reader.passkeys().unwrap();
    assert_eq!(passkeys.len() as u64, imported.passkeys);
    assert!(passkeys.iter().all(|passkey| passkey.token == tokens[passkey.position as usize]));
    assert_eq!(reader.spans().unwrap().len() as u64, imported.spans);

    let out = folder.path("back");
    fs::create_dir(&out).unwrap();
    let exported = tinymind::export(&reader, &out).unwrap();
    assert_eq!(exported.tokens, tokens.len() as u64);
    for entry in fs::read_dir(tinymind_small().join("chunks")).unwrap() {
        let entry = entry.unwrap();
        let ours = fs::read(out.join("chunks").join(entry.file_name())).unwrap();
        assert_eq!(ours, fs::read(entry.path()).unwrap(), "{entry:?}");
    }
    assert_eq!(exported.chunks, fs::read_dir(out.join("chunks")).unwrap().count() as u64);
    // And once more.
    let again = tinymind::import(&out, folder.path("again"), LedgerOptions::new()).unwrap();
    assert_eq!((again.commit.root, again.notes.len()), (imported.commit.root, 0));
    // The folder is not empty now.
    let error = tinymind::export(&reader, &out).unwrap_err().to_string();
    assert!(error.ends_with("back: the folder is not empty"), "{error}");
    assert_eq!(folder.names(), ["a", "a.idx", "again", "again.idx", "back"]);
}

#[test]
fn a_damaged_conversion_leaves_nothing() {
    let folder = Folder::new();
    let from = folder.path("from");
    copy_folder(&tinymind_small(), &from);
    let last = from.join("chunks/chunk_00000004.jsonl");
    let text = fs::read_to_string(&last).unwrap();
    fs::write(&last, text.replacen("\"tokens\": [", "\"tokens\": [1", 1)).unwrap();
    let error = tinymind::import(&from, folder.path("a"), LedgerOptions::new()).unwrap_err().to_string();
    assert!(error.contains("chunk_00000004.jsonl: the SHA-256 in its row does not match"), "{error}");
    assert_eq!(folder.names(), ["from"]);

    let path = folder.path("a");
    ledger(&path, small());
    let mut bytes = fs::read(&path).unwrap();
    let near_end = bytes.len() - 3;
    bytes[near_end] ^= 1;
    fs::write(&path, bytes).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    let error = tinymind::export(&reader, folder.path("out")).unwrap_err().to_string();
    assert!(error.starts_with("chunk 9 is damaged"), "{error}");
    assert_eq!(folder.names(), ["a", "a.idx", "from"]);
}

#[test]
fn an_evidence_run_is_what_python_says() {
    let expected: serde_json::Value =
        serde_json::from_str(include_str!("data/tinymind/expected.json")).unwrap();
    let folder = Folder::new();
    let out = folder.path("out");
    let report = evidence::run(&out, 100_000, 8192, 8).unwrap();
    assert!(report.exact_recall_claim_allowed() && !report.compressed_2m_context_ready());
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let reports = ["compressed_context_report.json", "compressed_context_report.md"];
    assert_eq!(names, [reports[0], reports[1], "ledger.bit", "ledger.bit.idx"]);
    let json: serde_json::Value = serde_json::from_slice(&fs::read(out.join(reports[0])).unwrap()).unwrap();
    assert_eq!(json["integrity"]["checked_chunks"], expected["verify_integrity"]["checked_chunks"]);
    assert_eq!(json["measurements"]["archive_bytes"], fs::metadata(out.join("ledger.bit")).unwrap().len());
    assert_eq!(json["measurements"]["index_bytes"], fs::metadata(out.join("ledger.bit.idx")).unwrap().len());
    let reader = LedgerReader::open(out.join("ledger.bit")).unwrap();
    let positions = expected["recall_position"].as_array().unwrap();
    assert!(positions.len() > 10);
    for recalled in positions {
        assert_eq!(reader.recall(recalled["position"].as_u64().unwrap()).unwrap(), recalled["token"]);
    }
    let all = reader.recall_range(0..100_000).unwrap();
    assert_eq!(all.iter().map(|&token| u64::from(token)).sum::<u64>(), expected["sum_of_tokens"]);
    for hit in json["passkey_hits"].as_array().unwrap() {
        let of_python = positions.iter().find(|recalled| recalled["position"] == hit["position"]).unwrap();
        for member in ["token", "chunk_id", "offset"] {
            assert_eq!(hit[member], of_python[member]);
        }
    }
    for name in ["first", "middle", "last_window"] {
        let tokens: Vec<u32> =
            serde_json::from_value(expected["recall_semantic"][name]["tokens"].clone()).unwrap();
        let span = reader.span(name).unwrap();
        assert_eq!(reader.recall_range(span.start..span.start + span.len).unwrap(), tokens);
        assert_eq!(json["semantic_hits"][name]["matched"], true);
    }
    assert!(
        evidence::run(&out, 100_000, 8192, 8).unwrap_err().to_string().ends_with("the folder is not empty")
    );
    for (tokens, chunk, stride) in [(15, 8192, 8), (100, 0, 8), (100, 10, 0)] {
        assert!(evidence::run(folder.path("none"), tokens, chunk, stride).is_err());
        assert!(!folder.path("none").exists());
    }
    evidence::run(folder.path("tiny"), 16, 1, 1).unwrap();
}

//! Torn ends that hold whole chunks, which must never follow chunks they were not written after.

use super::disk::{Errno, Fault, Model, Rng, SimDisk};
#[cfg(feature = "hmac")]
use bitwire::ErrorKind;
use bitwire::ledger::storage::Part;
use bitwire::ledger::{
    Encoding, EncodingRule, IndexState, LedgerError, LedgerOptions, LedgerReader, LedgerWriter,
};

/// Chunks of 4 tokens, all of one size.
fn options() -> LedgerOptions {
    LedgerOptions::new().chunk_tokens(4).encoding(EncodingRule::Exactly(Encoding::RawU16))
}

/// A ledger of 3 chunks, and its indexes of 1 and 3.
fn three_chunks() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let disk = SimDisk::new();
    let mut writer = LedgerWriter::create_in(disk.clone(), options()).unwrap();
    writer.extend([1, 2, 3, 4]).unwrap();
    writer.commit().unwrap();
    let one = disk.content(Part::Index).unwrap();
    writer.extend([5, 6, 7, 8, 9, 10, 11, 12]).unwrap();
    writer.commit().unwrap();
    (disk.content(Part::Ledger).unwrap(), one, disk.content(Part::Index).unwrap())
}

fn tokens(disk: &SimDisk) -> Vec<u32> {
    let index = disk.content(Part::Index);
    let reader = LedgerReader::new(disk.content(Part::Ledger).unwrap(), index.as_deref()).unwrap();
    reader.recall_range(0..reader.total_tokens()).unwrap()
}

/// One chunk is committed, the second torn, the third whole: it is cut off, and other tokens take the second's place.
/// `fault` hits the `number`th sync of the ledger; then the ledger is opened again.
fn overwrite(fault: Option<usize>) {
    let (mut ledger, index, _) = three_chunks();
    let chunk = ledger.len() / 3;
    ledger[2 * chunk - 5] ^= 1;
    let disk = SimDisk::holding(&[(Part::Ledger, &ledger), (Part::Index, &index)]);
    disk.record();
    if let Some(number) = fault {
        disk.fail_at(number, Fault::Error(Errno::Eio));
        assert!(LedgerWriter::open_in(disk.clone(), options()).is_err());
        assert_eq!(disk.failed_operation(), Some("sync"));
    }
    let mut writer = LedgerWriter::open_in(disk.clone(), options()).unwrap();
    writer.extend([50, 60, 70, 80, 90]).unwrap();
    // Hands the first of the two over, uncommitted.
    writer.mark_passkey(4, 50).unwrap();
    writer.commit().unwrap();
    let all = [1, 2, 3, 4, 50, 60, 70, 80, 90];
    assert_eq!(tokens(&disk), all);
    let mut rng = Rng::new(5);
    for (operations, disk) in disk.moments() {
        for image in disk.crash_images(&mut rng, Model::Journalled, 300) {
            let found = tokens(&image);
            assert!(all.starts_with(&found) && found.len() >= 4, "{found:?} after {operations}");
        }
    }
    for image in disk.crash_images(&mut rng, Model::Journalled, 300) {
        assert_eq!(tokens(&image), all);
    }
}

#[test]
fn a_tail_is_gone_before_anything_takes_its_place() {
    overwrite(None);
}

/// The cut is seen, and may never come to the disk.
#[test]
fn a_cut_whose_sync_failed_is_made_again() {
    let (mut ledger, index, _) = three_chunks();
    let at = 2 * ledger.len() / 3 - 5;
    ledger[at] ^= 1;
    let disk = SimDisk::holding(&[(Part::Ledger, &ledger), (Part::Index, &index)]);
    LedgerWriter::open_in(disk.clone(), options()).unwrap();
    let sync = disk.operation_names().iter().position(|name| *name == "sync").unwrap();
    overwrite(Some(sync));
}

/// Without an index all of the ledger may be what a failed sync left behind.
#[test]
fn without_an_index_everything_is_written_again() {
    let (ledger, index, _) = three_chunks();
    let disk = SimDisk::holding(&[(Part::Ledger, &ledger[..ledger.len() / 3]), (Part::Index, &index)]);
    let mut writer = LedgerWriter::open_in(disk.clone(), options()).unwrap();
    writer.extend([5, 6, 7, 8, 9]).unwrap();
    writer.mark_passkey(5, 6).unwrap();
    let number = disk.operations();
    disk.fail_at(number + 1, Fault::Error(Errno::Eio));
    assert!(writer.commit().is_err());
    assert_eq!(disk.failed_operation(), Some("sync"));
    drop(writer);
    // Somebody finds the index to be in the way.
    bitwire::ledger::storage::Storage::remove(&disk, Part::Index).unwrap();
    let mut writer = LedgerWriter::open_in(disk.clone(), options()).unwrap();
    let commit = writer.commit().unwrap();
    for image in disk.crash_images(&mut Rng::new(6), Model::Journalled, 300) {
        assert_eq!(tokens(&image).len() as u64, commit.tokens);
    }
}

/// What is no ledger is not taken for one that is nothing but a torn tail, and cut to nothing.
#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let (ledger, ..) = three_chunks();
    let mut later = ledger[ledger.len() / 3..2 * ledger.len() / 3].to_vec();
    for content in [b"Dear diary".to_vec(), vec![0; 5000], later.clone(), ledger[..30].to_vec()] {
        let disk = SimDisk::holding(&[(Part::Ledger, &content)]);
        let error = LedgerWriter::open_in(disk.clone(), options()).map(drop).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { chunk: 0, .. }), "{error}");
        assert_eq!(disk.content(Part::Ledger).unwrap(), content);
        assert!(disk.content(Part::Index).is_none());
    }
    // With an index of no chunks it is a first commit that was torn.
    let disk = SimDisk::new();
    LedgerWriter::create_in(disk.clone(), options()).unwrap();
    let index = disk.content(Part::Index).unwrap();
    later.extend_from_slice(b"Dear diary");
    let disk = SimDisk::holding(&[(Part::Ledger, &later), (Part::Index, &index)]);
    let writer = LedgerWriter::open_in(disk.clone(), options()).unwrap();
    assert_eq!(writer.recovered().map(|tail| (tail.offset, tail.len)), Some((0, later.len() as u64)));
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"");
}

/// A wrong key makes no torn tail.
#[cfg(feature = "hmac")]
#[test]
fn a_wrong_key_cuts_nothing() {
    let key = |byte| bitwire::frame::Key::new(&[byte; 32]).unwrap();
    let disk = SimDisk::new();
    let mut writer = LedgerWriter::create_in(disk.clone(), options().sign(key(1))).unwrap();
    for chunks in 1..3 {
        writer.extend([1, 2, 3, 4]).unwrap();
        writer.commit().unwrap();
        let ledger = disk.content(Part::Ledger).unwrap();
        let index = disk.content(Part::Index).unwrap();
        for files in [&[(Part::Ledger, &*ledger)][..], &[(Part::Ledger, &*ledger), (Part::Index, &*index)]] {
            let image = SimDisk::holding(files);
            let error = LedgerWriter::open_in(image.clone(), options().sign(key(2))).map(drop).unwrap_err();
            assert_eq!(error.format().map(|error| error.kind()), Some(ErrorKind::Hmac), "{chunks}: {error}");
            assert!(LedgerWriter::open_in(image.clone(), options()).is_err());
            assert_eq!(image.content(Part::Ledger).unwrap(), ledger);
        }
    }
}

/// An index of no chunks says that nothing was committed; beside another ledger it says nothing.
#[test]
fn an_index_of_another_empty_ledger_cuts_nothing() {
    let (ledger, ..) = three_chunks();
    let context = bitwire::frame::Context::new("elsewhere", "", "", 0).unwrap();
    #[cfg_attr(not(feature = "hmac"), allow(unused_mut))]
    let mut others = vec![options().context(context)];
    #[cfg(feature = "hmac")]
    others.push(options().sign(bitwire::frame::Key::new(&[1; 32]).unwrap()));
    for other in others {
        let empty = SimDisk::new();
        LedgerWriter::create_in(empty.clone(), other.clone()).unwrap();
        let index = empty.content(Part::Index).unwrap();
        let disk = SimDisk::holding(&[(Part::Ledger, &ledger), (Part::Index, &index)]);
        for options in [options(), other] {
            let error = LedgerWriter::open_in(disk.clone(), options).map(drop).unwrap_err();
            assert!(matches!(error, LedgerError::Index(_)), "{error}");
            assert_eq!(disk.content(Part::Ledger).unwrap(), ledger);
        }
        assert!(matches!(LedgerReader::new(&ledger[..], Some(&index)), Err(LedgerError::Index(_))));
    }
}

/// What is torn is looked through in windows of 1 MiB: a chunk that begins at the end of one and goes on in the next is found.
#[test]
fn a_whole_chunk_behind_a_long_gap_is_no_torn_tail() {
    let (ledger, ..) = three_chunks();
    let [first, second] = [0, 1].map(|i| &ledger[i * ledger.len() / 3..][..ledger.len() / 3]);
    for gap in (1 << 20) - 6..(1 << 20) + 3 {
        let bytes = [first, &vec![0; gap], second].concat();
        let error = LedgerReader::new(bytes, None).map(drop).unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { chunk: 1, .. }), "{gap}: {error}");
    }
}

/// The middle chunk is damaged: where it was committed that is said, and nothing is cut.
#[test]
fn damage_is_no_torn_tail() {
    let (ledger, one, three) = three_chunks();
    let chunk = ledger.len() / 3;
    let mut damaged = ledger.clone();
    damaged[2 * chunk - 5] ^= 1;
    // Known by the index, or by the whole chunk behind it.
    for index in [Some(&three), None] {
        let mut files = vec![(Part::Ledger, &*damaged)];
        files.extend(index.map(|index| (Part::Index, &**index)));
        let disk = SimDisk::holding(&files);
        match LedgerReader::new(damaged.clone(), index.map(|index| &**index)) {
            Ok(reader) => {
                assert_eq!(reader.recall_range(0..4).unwrap(), [1, 2, 3, 4]);
                assert_eq!(reader.recall_range(8..12).unwrap(), [9, 10, 11, 12]);
                assert!(matches!(reader.recall(4), Err(LedgerError::Damaged { chunk: 1, .. })));
                assert!(matches!(reader.verify_on(1, |_| ()), Err(LedgerError::Damaged { chunk: 1, .. })));
            }
            Err(error) => assert!(index.is_none() && matches!(error, LedgerError::Damaged { chunk: 1, .. })),
        }
        // A writer that does not look at old tokens may go on, and cuts nothing.
        let _ = LedgerWriter::open_in(disk.clone(), options());
        assert!(disk.content(Part::Ledger).unwrap().starts_with(&damaged));
    }
    // Never committed: torn, and said so.
    let reader = LedgerReader::new(&damaged[..], Some(&one)).unwrap();
    assert_eq!(reader.index_state(), IndexState::Current);
    assert_eq!(reader.tail().map(|tail| (tail.offset, tail.len)), Some((chunk as u64, 2 * chunk as u64)));
}

/// An index that took its name covers what was appended, whatever failed after that: then nothing is cut off.
#[test]
fn an_abandoned_commit_leaves_a_ledger_that_its_index_fits() {
    let (ledger, _, index) = three_chunks();
    let mut failed = Vec::new();
    for number in 0.. {
        let disk = SimDisk::holding(&[(Part::Ledger, &ledger), (Part::Index, &index)]);
        disk.record();
        disk.fail_at(number, Fault::Error(Errno::Eio));
        let Ok(mut writer) = LedgerWriter::open_in(disk.clone(), options()) else { continue };
        writer.extend([13, 14, 15, 16]).unwrap();
        if writer.commit().is_ok() {
            break;
        }
        failed.extend(disk.failed_operation());
        writer.abandon().unwrap();
        let found = tokens(&disk);
        assert!(found.len() == 12 || found.len() == 16, "{failed:?}");
        LedgerWriter::open_in(disk, options()).unwrap();
    }
    assert_eq!(failed.last(), Some(&"sync folder"));
}

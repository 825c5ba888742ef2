//! The simulated disk itself: does it show what it claims to, and no more?

use super::disk::{Errno, Fault, Model, PARTS, Rng, SECTOR, SimDisk, is_stopped};
use bitwire::ledger::Source;
use bitwire::ledger::storage::{Access, Part, Storage, StorageFile};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;

const MODELS: [Model; 2] = [Model::Journalled, Model::Adversarial];

fn open(disk: &SimDisk, part: Part) -> <SimDisk as Storage>::File {
    disk.open(part, Access::ReadWrite).unwrap().unwrap()
}

fn ledgers(images: &[SimDisk]) -> BTreeSet<Option<Vec<u8>>> {
    images.iter().map(|image| image.content(Part::Ledger)).collect()
}

fn drawn(disk: &SimDisk, model: Model, count: usize) -> BTreeSet<Option<Vec<u8>>> {
    ledgers(&disk.crash_images(&mut Rng::new(7), model, count))
}

#[test]
fn synced_is_in_every_image_and_unsynced_in_some() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"base")]);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(b"-kept", 4).unwrap();
    file.sync().unwrap();
    for model in MODELS {
        assert_eq!(drawn(&disk, model, 100), [Some(b"base-kept".to_vec())].into());
    }
    file.write_all_at(b"+lost?", 9).unwrap();
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"base-kept+lost?", "programs see it at once");
    for model in MODELS {
        let images = drawn(&disk, model, 500);
        assert!(images.iter().flatten().all(|content| content.starts_with(b"base-kept")));
        assert!(images.contains(&Some(b"base-kept".to_vec())));
        assert!(images.contains(&Some(b"base-kept+lo".to_vec())), "a cut within a sector");
        assert!(images.contains(&Some(b"base-kept+lost?".to_vec())));
    }
    // The length came through, the bytes did not.
    assert!(drawn(&disk, Model::Journalled, 500).contains(&Some(b"base-kept\0\0\0\0\0\0".to_vec())));
    let through_the_hole = drawn(&disk, Model::Adversarial, 2000);
    assert!(through_the_hole.contains(&Some(b"base-keptbase-k".to_vec())), "old content of the file itself");
}

#[test]
fn all_images_of_small_histories_are_those_counted_by_hand() {
    // Two bytes appended to two: lengths 2, 3, 4; kept or a hole. "ab", "abc", "abcd", "ab\0\0"; not "ab\0", since the
    // exhaustive mode takes lengths the file had and those that cuts imply.
    let disk = SimDisk::holding(&[(Part::Ledger, b"ab")]);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(b"cd", 2).unwrap();
    let expected: BTreeSet<_> =
        ["ab", "abc", "abcd", "ab\0\0"].map(|s| Some(s.as_bytes().to_vec())).into_iter().collect();
    assert_eq!(ledgers(&disk.all_crash_images(100).unwrap()), expected);

    // Three sectors' worth from the middle of one: pieces of 256, 512, 512 and 256 bytes. Subsets: 16 of them, each
    // with its implied length and with 256 and 1792: the implied length of a subset is the end of its last piece, or
    // 256. So for each subset {its own, cut to 256, zeros to 1792}: cut to 256 is one content for all; zeros to 1792
    // are 16, one of them (all pieces) its own; implied: those that hold the last piece are 1792 long already (8),
    // the empty one is the content of 256 bytes, 7 are new.
    let disk = SimDisk::holding(&[(Part::Ledger, &[1; 256])]);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(&[2; 1536], 256).unwrap();
    let images = ledgers(&disk.all_crash_images(5000).unwrap());
    let whole_sectors = |content: &&Vec<u8>| {
        content[256..]
            .chunk_by(|a, b| a == b)
            .scan(256, |at, run| {
                *at += run.len();
                Some(*at)
            })
            .all(|end| end % SECTOR as usize == 0 || end == 1792)
    };
    assert_eq!(images.iter().flatten().filter(whole_sectors).count(), 1 + 16 + 7);
    // And a cut at every byte but those that end a piece: 1 536 - 4 more, all in order from the start.
    assert_eq!(images.len(), 24 + 1536 - 4);
    assert!(disk.all_crash_images(20).is_none());

    // A cut and a write over it: "abcdef" -> "ab" -> "abXY".
    let disk = SimDisk::holding(&[(Part::Ledger, b"abcdef")]);
    let mut file = open(&disk, Part::Ledger);
    file.set_len(2).unwrap();
    file.write_all_at(b"XY", 2).unwrap();
    let images = ledgers(&disk.all_crash_images(1000).unwrap());
    for possible in ["abcdef", "ab", "abXY", "abXYef", "abX", "abcd", "ab\0\0"] {
        assert!(images.contains(&Some(possible.into())), "{possible}");
    }
    assert!(!images.contains(&Some("abXdef".into())), "that needs the write cut and the file not");
    assert!(images.iter().flatten().all(|content| content.starts_with(b"ab") && content.len() <= 6));
}

#[test]
fn drawn_images_reach_all_of_the_exhaustive_ones_without_holes() {
    let disk = SimDisk::holding(&[(Part::Ledger, &[1; 500])]);
    let mut file = disk.create(Part::NewIndex).unwrap();
    file.write_all_at(b"index", 0).unwrap();
    file.sync().unwrap();
    disk.publish_index().unwrap();
    open(&disk, Part::Ledger).write_all_at(&[2; 24], 500).unwrap();
    let all: HashSet<u64> = disk.all_crash_images(10_000).unwrap().iter().map(SimDisk::fingerprint).collect();
    let drawn = disk.crash_images(&mut Rng::new(1), Model::Journalled, 20_000);
    let drawn: HashSet<u64> = drawn.iter().map(SimDisk::fingerprint).collect();
    assert!(all.is_subset(&drawn), "{} of {}", all.intersection(&drawn).count(), all.len());
    // Ledger: 12 + 12 bytes around the sector's end. In order, lengths 500..=524: 25. Zeros to the end: for the first,
    // the second or both pieces, 3. Names: nothing, the new index, the index: 3.
    assert_eq!(all.len(), (25 + 3) * 3);
}

#[test]
fn two_writes_may_come_in_either_order() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"...")]);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(b"11", 0).unwrap();
    file.write_all_at(b"22", 1).unwrap();
    let images = drawn(&disk, Model::Journalled, 1000);
    // None, one, the other, cut, both in order and both in the other.
    for possible in ["...", "11.", ".22", "1..", ".2.", "12.", "122", "112"] {
        assert!(images.contains(&Some(possible.into())), "{possible}");
    }
}

#[test]
fn names_last_when_the_folder_is_synced() {
    let disk = SimDisk::new();
    let mut file = disk.create(Part::Ledger).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    file.sync().unwrap();
    let expected: BTreeSet<_> = [None, Some(b"x".to_vec())].into();
    assert_eq!(
        ledgers(&disk.all_crash_images(100).unwrap()),
        expected,
        "a synced file may still have no name"
    );
    for model in MODELS {
        assert_eq!(drawn(&disk, model, 100), expected);
    }
    disk.sync_folder().unwrap();
    for model in MODELS {
        assert_eq!(drawn(&disk, model, 100), [Some(b"x".to_vec())].into());
    }
    disk.remove(Part::Ledger).unwrap();
    disk.remove(Part::Ledger).unwrap();
    assert_eq!(disk.content(Part::Ledger), None);
    assert_eq!(drawn(&disk, Model::Journalled, 100), expected);
    assert_eq!(file.len().unwrap(), 1, "whoever has it open keeps it");
    disk.sync_folder().unwrap();
    assert_eq!(drawn(&disk, Model::Journalled, 100), [None].into());
}

#[test]
fn a_rename_is_atomic_and_its_content_is_what_was_synced() {
    for synced in [false, true] {
        let disk = SimDisk::holding(&[(Part::Index, b"old index")]);
        let mut file = disk.create(Part::NewIndex).unwrap();
        file.write_all_at(b"new index", 0).unwrap();
        if synced {
            file.sync().unwrap();
        }
        disk.publish_index().unwrap();
        assert_eq!(disk.content(Part::Index).unwrap(), b"new index");
        assert_eq!(disk.content(Part::NewIndex), None);
        let count = |model| {
            let images = disk.crash_images(&mut Rng::new(3), model, 500);
            images.iter().map(|image| PARTS.map(|part| image.content(part))).collect::<HashSet<_>>()
        };
        let (old, new) = (Some(b"old index".to_vec()), Some(b"new index".to_vec()));
        if synced {
            let journalled: HashSet<_> =
                [[None, old.clone(), None], [None, old.clone(), new.clone()], [None, new.clone(), None]]
                    .into();
            assert_eq!(count(Model::Journalled), journalled);
            let mut adversarial = journalled;
            adversarial.insert([None, new.clone(), new]);
            assert_eq!(count(Model::Adversarial), adversarial, "or both names");
        } else {
            for model in MODELS {
                let images = count(model);
                assert!(
                    images.contains(&[None, Some(vec![]), None]),
                    "the name came through, the content did not"
                );
                assert!(images.contains(&[None, Some(b"new i".to_vec()), None]));
                assert!(images.contains(&[None, old.clone(), None]));
                let both = |[_, index, new]: &&[Option<Vec<u8>>; 3]| new.is_some() && *index != old;
                assert!(
                    images.iter().filter(both).all(|[_, index, new]| index == new),
                    "one file, two names"
                );
                assert_eq!(images.iter().any(|image| both(&image)), model == Model::Adversarial);
            }
        }
    }
}

#[test]
fn a_failed_sync_leaves_doubt_that_no_sync_removes() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"")]);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(b"aa", 0).unwrap();
    disk.fail_at(disk.operations(), Fault::Error(Errno::Eio));
    assert_eq!(file.sync().unwrap_err().to_string(), "simulated EIO");
    file.write_all_at(b"bb", 2).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"aabb", "reads show it");
    let images = drawn(&disk, Model::Journalled, 500);
    assert!(images.contains(&Some("aabb".into())) && images.contains(&Some("\0\0bb".into())));
    assert!(images.iter().flatten().all(|content| content.len() == 4 && content.ends_with(b"bb")));
    assert_eq!(images, ledgers(&disk.all_crash_images(100).unwrap()));
    // Cutting the doubtful bytes off and writing anew is what removes it.
    file.set_len(0).unwrap();
    file.write_all_at(b"cc", 0).unwrap();
    file.sync().unwrap();
    assert_eq!(drawn(&disk, Model::Journalled, 200), [Some("cc".into())].into());
    assert_eq!(drawn(&disk, Model::Adversarial, 200), [Some("cc".into())].into());
    // A folder's sync may be asked again.
    let disk = SimDisk::new();
    disk.create(Part::Ledger).unwrap();
    disk.fail_at(disk.operations(), Fault::Error(Errno::Eio));
    disk.sync_folder().unwrap_err();
    assert_eq!(drawn(&disk, Model::Journalled, 50).len(), 2);
    disk.sync_folder().unwrap();
    assert_eq!(drawn(&disk, Model::Journalled, 50).len(), 1);
}

#[test]
fn faults_come_at_the_operation_they_are_planned_for() {
    let disk = SimDisk::new();
    for (number, errno, kind) in [
        (0, Errno::Eio, ErrorKind::Other),
        (1, Errno::Enospc, ErrorKind::StorageFull),
        (2, Errno::Eintr, ErrorKind::Interrupted),
    ] {
        disk.fail_at(number, Fault::Error(errno));
        let error = disk.create(Part::Ledger).map(drop).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!is_stopped(&error));
        assert_eq!(disk.content(Part::Ledger), None);
    }
    let mut file = disk.create(Part::Ledger).unwrap();
    disk.fail_at(4, Fault::Short { bytes: 3, then: Errno::Enospc });
    assert_eq!(file.write_all_at(b"abcdef", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"abc");
    disk.fail_at(6, Fault::Short { bytes: 1, then: Errno::Eintr });
    file.write_all_at(b"ghij", 3).unwrap();
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"abcghij");
    disk.fail_at(9, Fault::Short { bytes: 2, then: Errno::Eintr });
    let mut buf = [0; 7];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"abcghij");
    assert_eq!(file.read_exact_at(&mut buf, 1).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap(), 0);
    let log = disk.log();
    let lines: Vec<_> = log.lines().map(str::trim_start).collect();
    assert_eq!(lines[0], "0 create Ledger: Error(Eio)");
    assert_eq!(lines[4], "4 write Ledger at 0, 6 bytes: Short { bytes: 3, then: Enospc }");
    assert_eq!(lines[5], "5 write Ledger at 3, 3 bytes: Error(Enospc)");
    assert_eq!(lines.len(), disk.operations());
    assert_eq!(disk.operation_names()[9..12], ["read", "read", "read"]);
}

#[test]
fn a_crash_stops_everything_and_may_have_done_its_operation() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"")]);
    let mut file = open(&disk, Part::Ledger);
    disk.fail_at(1, Fault::Crash);
    assert!(is_stopped(&file.write_all_at(b"x", 0).unwrap_err()));
    for error in [
        file.sync().unwrap_err(),
        file.len().unwrap_err(),
        file.read_at(&mut [0], 0).unwrap_err(),
        file.set_len(0).unwrap_err(),
        file.try_lock().unwrap_err(),
        disk.sync_folder().unwrap_err(),
        disk.publish_index().unwrap_err(),
        disk.remove(Part::Ledger).unwrap_err(),
        disk.open(Part::Ledger, Access::Read).map(drop).unwrap_err(),
        disk.create(Part::Index).map(drop).unwrap_err(),
    ] {
        assert!(is_stopped(&error), "{error}");
        assert_eq!(error.to_string(), "the power is gone");
    }
    assert_eq!(disk.operations(), 2, "what fails for want of power does not count");
    assert_eq!(drawn(&disk, Model::Journalled, 100), [b"".to_vec(), b"x".to_vec(), vec![0]].map(Some).into());

    // Crashing in each sort of operation leaves what crashing before or after it may.
    type Act = fn(&SimDisk, &mut <SimDisk as Storage>::File) -> std::io::Result<()>;
    let acts: [Act; 7] = [
        |_, file| file.write_all_at(b"yz", 1),
        |_, file| file.set_len(0),
        |_, file| file.sync(),
        |disk, _| disk.create(Part::Index).map(drop),
        |disk, _| disk.remove(Part::NewIndex),
        |disk, _| disk.publish_index(),
        |disk, _| disk.sync_folder(),
    ];
    for (number, act) in acts.iter().enumerate() {
        let all = |plan: Option<Fault>, done: bool| {
            let disk = SimDisk::holding(&[(Part::Ledger, b"w")]);
            let mut file = open(&disk, Part::Ledger);
            file.write_all_at(b"x", 1).unwrap();
            drop(disk.create(Part::NewIndex).unwrap());
            if let Some(fault) = plan {
                disk.fail_at(disk.operations(), fault);
            }
            if done {
                let result = act(&disk, &mut file);
                assert_eq!(result.is_err(), plan.is_some());
            }
            let images = disk.all_crash_images(1000).unwrap();
            images.iter().map(SimDisk::fingerprint).collect::<HashSet<_>>()
        };
        let (before, after) = (all(None, false), all(None, true));
        let during = all(Some(Fault::Crash), true);
        assert_eq!(during, before.union(&after).copied().collect(), "act {number}");
    }
}

#[test]
fn moments_are_the_states_between_operations() {
    let disk = SimDisk::new();
    disk.record();
    let mut file = disk.create(Part::Ledger).unwrap();
    disk.sync_folder().unwrap();
    file.write_all_at(b"ab", 0).unwrap();
    file.len().unwrap();
    file.sync().unwrap();
    let moments = disk.moments();
    let numbers: Vec<_> = moments.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 5], "all but len, which changes nothing");
    let undecided: Vec<_> = moments.iter().map(|(_, disk)| disk.undecided()).collect();
    assert_eq!(undecided, [0, 1, 0, 1, 0]);
    let images: Vec<_> =
        moments.iter().map(|(_, disk)| ledgers(&disk.all_crash_images(99).unwrap())).collect();
    let (none, empty, whole) = (None, Some(b"".to_vec()), Some(b"ab".to_vec()));
    assert_eq!(images[0], [none.clone()].into());
    assert_eq!(images[1], [none, empty.clone()].into());
    assert_eq!(images[2], [empty.clone()].into());
    assert_eq!(images[3], [empty, Some(b"a".to_vec()), Some(vec![0, 0]), whole.clone()].into());
    assert_eq!(images[4], [whole].into());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::holding(&[(Part::Index, &[0; 90])]);
    disk.set_capacity(100);
    let mut file = disk.create(Part::Ledger).unwrap();
    assert_eq!(file.write_at(&[1; 20], 0).unwrap(), 10);
    assert_eq!(file.write_at(&[1; 10], 10).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(&[2; 10], 0).unwrap(), 10, "over what is there");
    assert_eq!(file.write_all_at(&[3; 11], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.remove(Part::Index).unwrap();
    file.write_all_at(&[4; 100], 0).unwrap();
    assert_eq!(disk.content(Part::Ledger).unwrap(), [4; 100]);
    disk.set_capacity(u64::MAX);
    assert_eq!(file.write_all_at(b"x", 1 << 62).unwrap_err().kind(), ErrorKind::FileTooLarge);
    assert_eq!(file.set_len(1 << 62).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn one_lock_released_by_drop_kill_and_crash() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"x")]);
    let first = open(&disk, Part::Ledger);
    let second = open(&disk, Part::Ledger);
    assert!(first.try_lock().unwrap());
    assert!(first.try_lock().unwrap(), "who has it keeps it");
    assert!(!second.try_lock().unwrap());
    assert!(open(&disk.killed(), Part::Ledger).try_lock().unwrap());
    for image in disk.crash_images(&mut Rng::new(1), Model::Journalled, 5) {
        assert!(open(&image, Part::Ledger).try_lock().unwrap());
    }
    assert!(!second.try_lock().unwrap());
    drop(first);
    assert!(second.try_lock().unwrap());
    let reader = disk.open(Part::Ledger, Access::Read).unwrap().unwrap();
    assert_eq!(reader.try_lock().unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(reader.len().unwrap(), 1);
}

#[test]
fn no_power_no_operation() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"x")]);
    let file = open(&disk, Part::Ledger);
    disk.crash();
    assert!(is_stopped(&file.len().unwrap_err()));
    assert!(
        !is_stopped(&ErrorKind::Other.into()) && !is_stopped(&std::io::Error::other("the power is gone"))
    );
}

#[test]
fn a_killed_process_loses_nothing_but_a_later_power_cut_may() {
    let disk = SimDisk::holding(&[(Part::Ledger, b"a")]);
    disk.fail_at(2, Fault::Crash);
    let mut file = open(&disk, Part::Ledger);
    file.write_all_at(b"b", 1).unwrap();
    file.sync().unwrap_err();
    let killed = disk.killed();
    assert_eq!(killed.content(Part::Ledger).unwrap(), b"ab");
    assert!(drawn(&killed, Model::Journalled, 100).contains(&Some(b"a".to_vec())));
    open(&killed, Part::Ledger).sync().unwrap();
    assert_eq!(drawn(&killed, Model::Journalled, 100), [Some(b"ab".to_vec())].into());
}

#[test]
fn open_and_create_know_what_is_there() {
    let disk = SimDisk::new();
    assert!(disk.open(Part::Ledger, Access::Read).unwrap().is_none());
    assert_eq!(disk.publish_index().unwrap_err().kind(), ErrorKind::NotFound);
    drop(disk.create(Part::Ledger).unwrap());
    assert_eq!(disk.create(Part::Ledger).map(drop).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let mut reader = disk.open(Part::Ledger, Access::Read).unwrap().unwrap();
    for error in [
        reader.write_at(b"x", 0).map(drop).unwrap_err(),
        reader.set_len(3).unwrap_err(),
        reader.sync().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    assert_eq!(disk.content(Part::Ledger).unwrap(), b"");
}

/// Something to do to a file.
#[derive(Clone, Debug)]
enum Act {
    Write(usize, Vec<u8>),
    SetLen(usize),
    Sync(bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0usize..2000, proptest::collection::vec(any::<u8>(), 1..1500)).prop_map(|(at, b)| Act::Write(at, b)),
        1 => (0usize..3000).prop_map(Act::SetLen),
        2 => any::<bool>().prop_map(Act::Sync),
    ];
    proptest::collection::vec(act, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a naive model: what programs see is a plain Vec, and every byte of an image comes from somewhere.
    #[test]
    fn images_are_made_of_what_was_written(acts in acts(), seed: u64) {
        let disk = SimDisk::holding(&[(Part::Ledger, &[])]);
        let mut file = open(&disk, Part::Ledger);
        let mut live: Vec<u8> = Vec::new();
        // What each byte may be after a power cut; beyond the end, zero.
        let mut possible = vec![[false; 256]; 4000];
        possible.iter_mut().for_each(|bytes| bytes[0] = true);
        let mut lengths = BTreeSet::from([0]);
        let (mut doubt, mut dirty) = (false, false);
        for act in acts {
            let changes = !matches!(act, Act::Sync(_));
            match act {
                Act::Write(at, bytes) => {
                    file.write_all_at(&bytes, at as u64).unwrap();
                    live.resize(live.len().max(at + bytes.len()), 0);
                    live[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                Act::SetLen(len) => {
                    file.set_len(len as u64).unwrap();
                    live.resize(len, 0);
                }
                Act::Sync(true) => {
                    file.sync().unwrap();
                    if !doubt {
                        possible.fill([false; 256]);
                    }
                    // With nothing to write, a sync after a failed one settles nothing.
                    if dirty || !doubt {
                        lengths.clear();
                    }
                }
                Act::Sync(false) => {
                    disk.fail_at(disk.operations(), Fault::Error(Errno::Eio));
                    file.sync().unwrap_err();
                    doubt = true;
                }
            }
            dirty = changes;
            lengths.insert(live.len());
            for (at, bytes) in possible.iter_mut().enumerate() {
                bytes[usize::from(live.get(at).copied().unwrap_or(0))] = true;
            }
        }
        prop_assert_eq!(disk.content(Part::Ledger).unwrap(), live.as_slice());
        let mut rng = Rng::new(seed);
        for number in 0..60 {
            let model = if number < 50 { Model::Journalled } else { Model::Adversarial };
            let content = disk.crash_image(&mut rng, model).content(Part::Ledger).unwrap();
            prop_assert!((*lengths.first().unwrap()..=*lengths.last().unwrap()).contains(&content.len()));
            if model == Model::Adversarial {
                continue;
            }
            for (at, byte) in content.iter().enumerate() {
                prop_assert!(possible[at][usize::from(*byte)], "byte {at} is {byte}");
            }
        }
        let again = |seed| disk.crash_image(&mut Rng::new(seed), Model::Adversarial).fingerprint();
        prop_assert_eq!(again(seed), again(seed));
    }
}

#[test]
fn images_of_a_usual_history_are_many_and_distinct() {
    // Three chunks of a few hundred bytes, an index half written: 2 000 images at each of the moments.
    let disk = SimDisk::new();
    disk.record();
    let mut ledger = disk.create(Part::Ledger).unwrap();
    disk.sync_folder().unwrap();
    for chunk in 0..3u64 {
        ledger.write_all_at(&[chunk as u8 + 1; 700], chunk * 700).unwrap();
        if chunk != 1 {
            ledger.sync().unwrap();
        }
    }
    let mut index = disk.create(Part::NewIndex).unwrap();
    index.write_all_at(&[9; 600], 0).unwrap();
    index.sync().unwrap();
    disk.publish_index().unwrap();
    let mut rng = Rng::new(42);
    let mut distinct = HashSet::new();
    for (_, moment) in disk.moments() {
        for model in MODELS {
            for image in moment.crash_images(&mut rng, model, 1000) {
                distinct.insert(image.fingerprint());
            }
        }
    }
    assert!(distinct.len() > 2500, "{} distinct images", distinct.len());
}

//! Output files are whole or not there.
#![cfg(all(feature = "std", unix))]
// Tests state expectations by panicking.

use bitwire::ErrorKind;
use bitwire::io::output::{OutputFile, write_whole};
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), bitwire::io::FileError> {
    write_whole(path, |out| Ok(out.write_all(bytes)?))
}

#[test]
fn a_file_appears_whole_and_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bit");
    let long = vec![7; 1_000_000];
    write_whole(&path, |out| {
        out.write_all(&long)?;
        assert!(!path.exists());
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), long);
    let old = fs::File::open(&path).unwrap();

    let mut file = OutputFile::create(&path).unwrap();
    assert_eq!(file.path(), path);
    file.write_all(b"old").unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(b"new").unwrap();
    file.flush().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1_000_000, "until it is committed");
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(old.metadata().unwrap().len(), 1_000_000, "whoever reads the old file can finish");
    assert_eq!(names(folder.path()), ["out.bit"]);
}

#[test]
fn an_error_or_a_panic_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.bit");
    for there in [false, true] {
        if there {
            fs::write(&path, b"before").unwrap();
        }
        let check = || {
            assert_eq!(names(folder.path()), if there { vec!["out.bit"] } else { vec![] });
            if there {
                assert_eq!(fs::read(&path).unwrap(), b"before");
            }
        };
        let error = write_whole(&path, |out| {
            out.write_all(&[1; 100_000])?;
            Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
        })
        .unwrap_err();
        assert!(error.is_io());
        assert_eq!(error.path(), path);
        check();
        let kind = ErrorKind::NonFinite { row: 1, column: 2 };
        let error = write_whole(&path, |out| {
            out.write_all(b"x")?;
            Err(bitwire::Error::new(kind, 0).into())
        })
        .unwrap_err();
        assert_eq!(error.cause().format().unwrap().kind(), kind);
        check();
        let mut dropped = OutputFile::create(&path).unwrap();
        dropped.write_all(&[1; 100_000]).unwrap();
        drop(dropped);
        check();
        let panicked = std::panic::catch_unwind(|| write_whole(&path, |_| panic!("on purpose")));
        assert!(panicked.is_err());
        check();
    }
}

#[test]
fn permissions_are_those_of_a_new_file_or_of_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, plain) = (folder.path().join("out.bit"), folder.path().join("plain"));
    fs::write(&plain, b"").unwrap();
    put(&path, b"1").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&path), mode(&plain));
    for old in [0o600, 0o640, 0o444, 0o4755] {
        fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
        put(&path, b"2").unwrap();
        assert_eq!(mode(&path), old & 0o777);
    }
}

#[test]
fn links_are_replaced_and_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("link"), folder.path().join("target"));
    fs::write(&target, b"precious").unwrap();
    symlink(&target, &path).unwrap();
    put(&path, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());

    // Also a link to nothing.
    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("none"), &dangling).unwrap();
    put(&dangling, b"new").unwrap();
    assert_eq!(names(folder.path()), ["dangling", "link", "target"]);

    let hard = folder.path().join("hard");
    fs::hard_link(&target, &hard).unwrap();
    put(&hard, b"new").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sub = folder.path().join("sub");
    fs::create_dir(&sub).unwrap();
    symlink("/dev/null", folder.path().join("null")).unwrap();
    symlink(&sub, folder.path().join("to_sub")).unwrap();
    let message = |path: &Path| {
        let error = put(path, b"x").unwrap_err();
        assert!(error.is_io());
        error.to_string().replace(folder.path().to_str().unwrap(), "F")
    };
    assert_eq!(message(&sub), "F/sub: is a directory");
    assert_eq!(message(&folder.path().join("to_sub")), "F/to_sub: is a directory");
    assert_eq!(message(&folder.path().join("new/")), "F/new/: is a directory");
    assert_eq!(message(&folder.path().join("sub/..")), "F/sub/..: is a directory");
    assert_eq!(message(Path::new("")), ": is a directory");
    let place = "not a file: a whole file cannot be put in its place";
    assert_eq!(message(Path::new("/dev/null")), format!("/dev/null: {place}"));
    assert_eq!(message(&folder.path().join("null")), format!("F/null: {place}"));
    assert_eq!(message(&folder.path().join("none/out.bit")), "F/none: No such file or directory");
    fs::write(folder.path().join("file"), b"").unwrap();
    assert_eq!(message(&folder.path().join("file/out.bit")), "F/file/out.bit: Not a directory");
    let long = folder.path().join("n".repeat(300));
    assert!(message(&long).ends_with(": File name too long"));
    assert_eq!(names(folder.path()), ["file", "null", "sub", "to_sub"]);
    // A name as long as they come leaves room for the temporary one.
    put(&folder.path().join("n".repeat(255)), b"x").unwrap();
}

#[test]
fn a_folder_that_appears_in_the_meantime_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let file = OutputFile::create(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(file.commit().unwrap_err().to_string().ends_with("out: is a directory"));
    assert_eq!(names(folder.path()), ["out"]);
    assert!(names(&path).is_empty());
}

#[test]
fn a_new_file_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let created = || {
        let mut file = OutputFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file
    };
    let (first, second) = (created(), created());
    first.commit_new().unwrap();
    // Also what came after the second began.
    fs::write(&path, b"other").unwrap();
    let error = second.commit_new().unwrap_err();
    let kind = |error: &bitwire::io::FileError| match error.cause() {
        bitwire::io::Cause::Io(error) => error.kind(),
        _ => panic!("{error}"),
    };
    assert_eq!((kind(&error), error.path()), (io::ErrorKind::AlreadyExists, &*path));
    assert_eq!(fs::read(&path).unwrap(), b"other");
    assert_eq!(names(folder.path()), ["out"]);
    // A link to nothing is something.
    let third = created();
    fs::remove_file(&path).unwrap();
    symlink("none", &path).unwrap();
    assert_eq!(kind(&third.commit_new().unwrap_err()), io::ErrorKind::AlreadyExists);
    assert_eq!(names(folder.path()), ["out"]);
}

#[test]
fn a_relative_name_without_a_folder_works() {
    // Of the package's own folder, which is where tests run; the name is this process's own.
    let name = format!("target-output-test-{}.tmp", std::process::id());
    put(Path::new(&name), b"here").unwrap();
    let read = fs::read(&name);
    fs::remove_file(&name).unwrap();
    assert_eq!(read.unwrap(), b"here");
}

/// Runs one of the tests below again in a process of its own, with `prepare` done by a shell before.
fn again(test: &str, prepare: &str) -> Option<String> {
    let script = format!("{prepare} && exec \"$0\" --exact {test} --ignored --nocapture");
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .output()
        .ok()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let ran = text.contains("running 1 test");
    assert!(!ran || output.status.success(), "{text}");
    if ran { None } else { Some(text) }
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = format!(
        "mount -t tmpfs -o size=256k none '{0}' && export BITWIRE_FULL='{0}'",
        folder.path().to_str().unwrap()
    );
    if let Some(why) = again("on_a_full_disk", &prepare) {
        println!("skipped: no small file system can be mounted here: {why}");
    }
}

#[test]
#[ignore = "runs within a_full_disk_leaves_the_old_file"]
fn on_a_full_disk() {
    let Ok(folder) = std::env::var("BITWIRE_FULL") else { return };
    let folder = Path::new(&folder);
    let path = folder.join("out.bit");
    for there in [false, true] {
        if there {
            put(&path, b"before").unwrap();
        }
        // Over the disk's size in one write, in many, and only in the buffer's last part.
        for (len, step) in [(1 << 20, 1 << 20), (1 << 20, 1000), ((256 << 10) + 1, 60_000)] {
            let error =
                write_whole(&path, |out| Ok(vec![1; len].chunks(step).try_for_each(|c| out.write_all(c))?))
                    .unwrap_err();
            assert!(error.to_string().ends_with("out.bit: No space left on device"), "{error}");
            assert_eq!(names(folder).len(), usize::from(there));
            if there {
                assert_eq!(fs::read(&path).unwrap(), b"before");
            }
        }
    }
    // And there is room again for what fits.
    put(&path, &[3; 100_000]).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let prepare = format!(
        "mount -t tmpfs -o size=256k none '{0}' && echo old > '{0}/out.bit' && mount -o remount,ro '{0}' && export \
         BITWIRE_READ_ONLY='{0}'",
        folder.path().to_str().unwrap()
    );
    if let Some(why) = again("in_a_folder_that_cannot_be_written", &prepare) {
        println!("skipped: no small file system can be mounted here: {why}");
    }
}

#[test]
#[ignore = "runs within a_folder_that_cannot_be_written_is_named"]
fn in_a_folder_that_cannot_be_written() {
    let Ok(folder) = std::env::var("BITWIRE_READ_ONLY") else { return };
    let path = Path::new(&folder).join("out.bit");
    let error = put(&path, b"new").unwrap_err();
    assert_eq!(error.path(), Path::new(&folder));
    assert!(error.to_string().ends_with(": Read-only file system"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"old\n");
}

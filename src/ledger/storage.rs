//! What a ledger needs of a file system, and files in a folder as one.
//!
//! A ledger is two files: the ledger itself, only ever appended to (or cut back to its last good chunk), and its index,
//! which is written whole under a third name and then takes the index's name. [`Storage`] is exactly that much of a
//! file system, so that tests can put a simulated disk under the same writer that runs on real files ([`LedgerPath`]).
//!
//! # What is assumed of the disk
//!
//! - **A sync that returned is durable.** What [`StorageFile::sync`] covered survives a power cut: the bytes and the
//!   length. It says nothing of the file's name; names are durable after [`Storage::sync_folder`].
//! - **Unsynced is anything.** After a power cut, the sectors of unsynced writes may be there or not, in any
//!   combination and whatever the order of the calls; one may be cut at any byte. The file may have any length from the
//!   synced one to the longest it had since; what it was never given reads as zeros or as old garbage. Creations,
//!   removals and renames may be there or not.
//! - **A write harms no other byte.** Synced bytes next to those being written keep their value, also in the same
//!   sector.
//! - **A rename is atomic**: the index's name means the old file or the new one, whole. The new one's *content* is only
//!   what was synced, so it is synced before [`Storage::publish_index`].
//! - **A failed sync is final.** The system may have dropped the unsynced bytes and called their pages clean, so that a
//!   second sync succeeds without them (as Linux does) while reads still show them. Whoever gets an error from `sync`
//!   knows nothing of what it covered, cannot settle it by another `sync`, and appends no more. Whoever opens the file
//!   later and wants the doubtful bytes, still in the system's memory, has to write them again before it syncs; and has
//!   to make a cut again that it only sees.
//! - **A process that is killed** loses no write it made, only what it had not yet handed over; its lock is released.
//!
//! # Errors that are not final
//!
//! [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted) from [`read_at`](Source::read_at) and
//! [`write_at`](StorageFile::write_at) means: nothing was done, ask again. The helpers
//! [`read_exact_at`](Source::read_exact_at) and [`write_all_at`](StorageFile::write_all_at) do. From all other calls
//! it is an error like any other: implementations ask again themselves.

use super::source::Source;
use crate::io::FileError;
use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// One of the files of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The chunks: `LEDGER`.
    Ledger,
    /// The index: `LEDGER.idx`.
    Index,
    /// An index being written: `LEDGER.idx.new`. One that is there when a writer starts was left by a process that was
    /// killed; only whoever holds the ledger's lock may remove it.
    NewIndex,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// The files of one ledger.
///
/// See the [module](self) for what is assumed of an implementation. A writer goes about it in this order:
///
/// 1. open the ledger (or create it) and lock it; if the lock is taken, touch nothing;
/// 2. [`sync_folder`](Self::sync_folder), since whoever created the ledger may have been stopped before that;
/// 3. append, [`sync`](StorageFile::sync), and only then call the chunk written;
/// 4. for an index: remove [`Part::NewIndex`], create it, write, sync, drop it, [`publish_index`](Self::publish_index),
///    `sync_folder`.
pub trait Storage {
    /// An open file.
    type File: StorageFile;

    /// What messages call a part.
    fn path(&self, part: Part) -> &Path;

    /// Opens an existing part; `None` if it is not there. It is neither created nor changed by this.
    ///
    /// # Errors
    /// Those of the operating system, also if what has the name is no file.
    fn open(&self, part: Part, access: Access) -> io::Result<Option<Self::File>>;

    /// Whether the ledger's name still means `file`: between opening and locking it, another writer may have removed
    /// it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn is_ledger(&self, file: &Self::File) -> io::Result<bool> {
        let _ = file;
        Ok(true)
    }

    /// Creates a part, empty, for reading and writing. Its name is durable only after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if anything has the name, otherwise those of the operating
    /// system.
    fn create(&self, part: Part) -> io::Result<Self::File>;

    /// Takes a part's name away; whoever has it open keeps the file. Nothing happens if it is not there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, part: Part) -> io::Result<()>;

    /// Gives the file named [`Part::NewIndex`] the name of [`Part::Index`] in one step, in place of what had it.
    ///
    /// # Errors
    /// Those of the operating system. Both names are then as they were, or the step was made: look again.
    fn publish_index(&self) -> io::Result<()>;

    /// Makes all creations, removals and renames so far durable, whoever made them.
    ///
    /// # Errors
    /// Those of the operating system; the names are then in either state, as after a failed
    /// [`sync`](StorageFile::sync).
    fn sync_folder(&self) -> io::Result<()>;
}

/// An open file of a ledger. Dropping it closes it and releases its lock.
pub trait StorageFile: Source {
    /// Writes the first of `bytes` at `offset` and says how many: all, or fewer if the disk is full or the system
    /// pleases. A gap before `offset` reads as zeros.
    ///
    /// # Errors
    /// Those of the operating system; none of `bytes` counts as written then, but any may be there.
    /// [`Interrupted`](io::ErrorKind::Interrupted) means: ask again.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts the file, or extends it by zeros. Not durable until [`sync`](Self::sync).
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Makes the file's content and length durable, whoever wrote them.
    ///
    /// # Errors
    /// Those of the operating system. They are final: see the [module](self).
    fn sync(&mut self) -> io::Result<()>;

    /// Takes the exclusive lock of the file, opened for writing, without waiting. `false` if another open file has it,
    /// of this process or another. It is held until this file is dropped or its process ends, however it ends.
    ///
    /// # Errors
    /// Those of the operating system, as where the file system knows no locks.
    fn try_lock(&self) -> io::Result<bool>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at), and [`WriteZero`](io::ErrorKind::WriteZero) if it writes nothing. Any of the
    /// bytes may be there then.
    fn write_all_at(&mut self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).ok_or_else(too_many)?;
                    offset = advance(offset, written)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The offset `count` bytes on; past 64 bits there is no file.
fn advance(offset: u64, count: usize) -> io::Result<u64> {
    offset.checked_add(count as u64).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

fn too_many() -> io::Error {
    io::Error::other("more bytes came back than were asked for")
}

/// A ledger among the files of a folder: the path given, and its index beside it as `PATH.idx`.
///
/// - The ledger and its index have to be regular files; a folder, device, pipe or socket is refused.
/// - An existing ledger or index may be reached through a symbolic link. The index belongs to the name given, not to
///   the file the link points to, and a link under the index's own name is replaced, its target left alone. Nothing is
///   ever created through a link.
/// - A new index is readable by no more people than the ledger (its permissions, less the umask), as it names what is
///   in there. The ledger itself gets the permissions any new file gets.
/// - The lock is the system's own on the ledger file (`flock`, `LockFileEx`), so nothing is left behind by a process
///   that is killed. On Unix it keeps out other writers that ask for it, and no reader. On Windows nobody else can even
///   read the ledger as long as it is held.
/// - Where folders cannot be synced (Windows, some network file systems), names are as durable as the system makes
///   them.
///
/// Paths are looked up at each call: rename a ledger while it is written, and its index lands under the old name.
#[derive(Clone, Debug)]
pub struct LedgerPath {
    ledger: PathBuf,
    index: PathBuf,
    new_index: PathBuf,
}

impl LedgerPath {
    /// The ledger at `path`, which need not be there. Nothing is opened by this.
    ///
    /// # Errors
    /// If `path` can only name a folder, or ends in `.idx` or `.idx.new`: such a ledger could be taken for the index of
    /// another, and replaced.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let ledger = path.as_ref();
        let refuse = |kind, text| Err(FileError::new(ledger, io::Error::new(kind, text)));
        let name = match ledger.file_name() {
            // `file_name` does not see that "x/" and "x/." ask for a folder.
            Some(name) if ledger.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes()) => name,
            _ => return refuse(io::ErrorKind::IsADirectory, "the name of a folder, not of a ledger"),
        };
        let name = name.as_encoded_bytes().to_ascii_lowercase();
        if name.ends_with(b".idx") || name.ends_with(b".idx.new") {
            return refuse(io::ErrorKind::InvalidInput, "the name of an index, not of a ledger");
        }
        let with = |suffix| {
            let mut name = OsString::from(ledger);
            name.push(suffix);
            PathBuf::from(name)
        };
        Ok(Self { ledger: ledger.to_path_buf(), index: with(".idx"), new_index: with(".idx.new") })
    }
}

impl Storage for LedgerPath {
    type File = File;

    fn path(&self, part: Part) -> &Path {
        match part {
            Part::Ledger => &self.ledger,
            Part::Index => &self.index,
            Part::NewIndex => &self.new_index,
        }
    }

    fn open(&self, part: Part, access: Access) -> io::Result<Option<File>> {
        let path = self.path(part);
        // Before it is opened: a pipe would block, and opening a device can have effects.
        if !is_there(path)? {
            return Ok(None);
        }
        let file = match OpenOptions::new().read(true).write(access == Access::ReadWrite).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        // And after: it may have been replaced in between.
        only_a_file(&file.metadata()?)?;
        Ok(Some(file))
    }

    #[cfg(unix)]
    fn is_ledger(&self, file: &File) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let own = file.metadata()?;
        match fs::metadata(&self.ledger) {
            Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create(&self, part: Part) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        if part != Part::Ledger {
            use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
            match fs::metadata(&self.ledger) {
                Ok(metadata) => {
                    options.mode(metadata.permissions().mode() & 0o666);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        options.open(self.path(part))
    }

    fn remove(&self, part: Part) -> io::Result<()> {
        match fs::remove_file(self.path(part)) {
            // A name too long for the file system, as that of an index may be where its ledger's just fits, names nothing either.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    fn publish_index(&self) -> io::Result<()> {
        // A rename would put a file in the place of a device or a pipe.
        is_there(&self.index)?;
        fs::rename(&self.new_index, &self.index)
    }

    fn sync_folder(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            let folder = match self.ledger.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            match File::open(folder)?.sync_all() {
                // Some network file systems have no such call; there is nothing more to be done there.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
                other => other?,
            }
        }
        Ok(())
    }
}

/// Whether `path` leads to a file; an error if it leads to something else.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => only_a_file(&metadata).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn only_a_file(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if !metadata.is_file() {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    } else {
        Ok(())
    }
}

impl StorageFile for File {
    #[cfg(unix)]
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(self, bytes, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        io::Seek::seek(self, io::SeekFrom::Start(offset))?;
        io::Write::write(self, bytes)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn try_lock(&self) -> io::Result<bool> {
        loop {
            match File::try_lock(self) {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::format;
    use std::io::{BufRead, BufReader, ErrorKind, Write};
    use std::process::{Command, Stdio};
    use std::string::ToString;
    use std::vec;
    use std::vec::Vec;

    fn kind<T>(result: io::Result<T>) -> ErrorKind {
        result.map(drop).unwrap_err().kind()
    }

    fn ledger() -> (tempfile::TempDir, LedgerPath) {
        let folder = tempfile::tempdir().unwrap();
        let path = LedgerPath::new(folder.path().join("a.ledger")).unwrap();
        (folder, path)
    }

    #[test]
    fn parts_are_files_beside_each_other() {
        let (folder, storage) = ledger();
        assert!(storage.open(Part::Ledger, Access::ReadWrite).unwrap().is_none());
        storage.create(Part::Ledger).unwrap();
        assert_eq!(kind(storage.create(Part::Ledger)), ErrorKind::AlreadyExists);
        let mut file = storage.open(Part::Ledger, Access::ReadWrite).unwrap().unwrap();
        file.write_all_at(b"tokens", 0).unwrap();
        file.write_all_at(b"!", 8).unwrap();
        file.sync().unwrap();
        assert_eq!(Source::len(&file).unwrap(), 9);
        assert_eq!(fs::read(folder.path().join("a.ledger")).unwrap(), b"tokens\0\0!");
        StorageFile::set_len(&mut file, 3).unwrap();
        let reader = storage.open(Part::Ledger, Access::Read).unwrap().unwrap();
        let mut buf = [0; 2];
        reader.read_exact_at(&mut buf, 1).unwrap();
        assert_eq!(&buf, b"ok");
        assert_eq!(kind(reader.read_exact_at(&mut buf, 2)), ErrorKind::UnexpectedEof);
        assert_eq!(Source::read_at(&reader, &mut buf, 3).unwrap(), 0);

        storage.create(Part::NewIndex).unwrap().write_all_at(b"one", 0).unwrap();
        storage.publish_index().unwrap();
        let old = storage.open(Part::Index, Access::Read).unwrap().unwrap();
        storage.create(Part::NewIndex).unwrap().write_all_at(b"other", 0).unwrap();
        storage.publish_index().unwrap();
        storage.sync_folder().unwrap();
        assert_eq!(fs::read(folder.path().join("a.ledger.idx")).unwrap(), b"other");
        assert_eq!(Source::len(&old).unwrap(), 3, "whoever reads the old index can finish");
        assert_eq!(kind(storage.publish_index()), ErrorKind::NotFound);
        storage.create(Part::NewIndex).unwrap();
        assert!(folder.path().join("a.ledger.idx.new").exists());
        storage.remove(Part::NewIndex).unwrap();
        storage.remove(Part::NewIndex).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn names_that_no_ledger_can_have() {
        for folder in ["", "/", ".", "..", "x/", "x/.", "x/..", "x//"] {
            let error = LedgerPath::new(folder).unwrap_err();
            assert!(error.to_string().contains("folder"), "{folder}: {error}");
        }
        for index in ["x.idx", "a/x.IDX", "x.idx.new", ".idx"] {
            let error = LedgerPath::new(index).unwrap_err();
            assert_eq!(error.to_string(), format!("{index}: the name of an index, not of a ledger"));
        }
        for ledger in ["x", "./x", "a/../x", "x.", "idx", "x.idx.old", "/x"] {
            let path = LedgerPath::new(ledger).unwrap();
            assert_eq!(path.path(Part::Ledger), Path::new(ledger));
            assert_eq!(path.path(Part::NewIndex).to_str().unwrap(), format!("{ledger}.idx.new"));
        }
        // A folder that is missing is no ledger that is missing, once it is to be created.
        let storage = LedgerPath::new("no such folder/x").unwrap();
        assert!(storage.open(Part::Ledger, Access::Read).unwrap().is_none());
        assert_eq!(kind(storage.create(Part::Ledger)), ErrorKind::NotFound);
        assert_eq!(kind(storage.sync_folder()), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn an_index_beside_a_ledger_that_cannot_be_looked_at_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        // A link to itself.
        let path = folder.path().join("loop");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        let storage = LedgerPath::new(&path).unwrap();
        assert_ne!(kind(storage.create(Part::Index)), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_ledger_whose_index_would_have_too_long_a_name_is_not_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        // On every usual file system a name has up to 255 bytes; `.idx` fits, `.idx.new` does not.
        let path = folder.path().join("l".repeat(250));
        let options = crate::ledger::LedgerOptions::new();
        let error = crate::ledger::LedgerWriter::create(&path, options).unwrap_err();
        assert!(error.to_string().contains("File name too long"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        LedgerPath::new(&path).unwrap().remove(Part::NewIndex).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_and_stays() {
        use std::os::unix::fs::{FileTypeExt, symlink};
        let (folder, storage) = ledger();
        let is_pipe = |part| fs::metadata(storage.path(part)).unwrap().file_type().is_fifo();
        storage.create(Part::NewIndex).unwrap();
        for part in [Part::Ledger, Part::Index] {
            fs::create_dir(storage.path(part)).unwrap();
            assert_eq!(kind(storage.open(part, Access::Read)), ErrorKind::IsADirectory);
            storage.remove(part).unwrap_err();
            fs::remove_dir(storage.path(part)).unwrap();
            // A pipe would block whoever opens it; both by itself and behind a link.
            let pipe = folder.path().join("pipe");
            assert!(Command::new("mkfifo").arg(storage.path(part)).arg(&pipe).status().unwrap().success());
            assert_eq!(kind(storage.open(part, Access::Read)), ErrorKind::InvalidInput);
            assert_eq!(kind(storage.open(part, Access::ReadWrite)), ErrorKind::InvalidInput);
            assert_eq!(kind(storage.create(part)), ErrorKind::AlreadyExists);
            if part == Part::Index {
                assert_eq!(kind(storage.publish_index()), ErrorKind::InvalidInput);
            }
            assert!(is_pipe(part));
            fs::remove_file(storage.path(part)).unwrap();
            symlink(&pipe, storage.path(part)).unwrap();
            assert_eq!(kind(storage.open(part, Access::Read)), ErrorKind::InvalidInput);
            fs::remove_file(storage.path(part)).unwrap();
            fs::remove_file(&pipe).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_to_what_is_there_and_never_created_through() {
        use std::os::unix::fs::symlink;
        let (folder, storage) = ledger();
        let other = folder.path().join("other");
        symlink(&other, storage.path(Part::Ledger)).unwrap();
        symlink(&other, storage.path(Part::NewIndex)).unwrap();
        assert!(storage.open(Part::Ledger, Access::ReadWrite).unwrap().is_none());
        assert_eq!(kind(storage.create(Part::Ledger)), ErrorKind::AlreadyExists);
        assert_eq!(kind(storage.create(Part::NewIndex)), ErrorKind::AlreadyExists);
        assert!(!other.exists());
        fs::write(&other, b"ledger").unwrap();
        let file = storage.open(Part::Ledger, Access::ReadWrite).unwrap().unwrap();
        assert_eq!(Source::len(&file).unwrap(), 6);
        // The index's link is replaced, what it points to left alone.
        storage.remove(Part::NewIndex).unwrap();
        symlink(&other, storage.path(Part::Index)).unwrap();
        storage.create(Part::NewIndex).unwrap();
        storage.publish_index().unwrap();
        assert!(fs::symlink_metadata(storage.path(Part::Index)).unwrap().is_file());
        assert_eq!(fs::read(&other).unwrap(), b"ledger");
    }

    #[cfg(unix)]
    #[test]
    fn an_index_is_no_more_readable_than_its_ledger() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, storage) = ledger();
        storage.create(Part::Ledger).unwrap();
        let mode = |part| fs::metadata(storage.path(part)).unwrap().permissions().mode() & 0o7777;
        let umask = 0o666 & !mode(Part::Ledger);
        for ledger in [0o600, 0o640, 0o666, 0o444, 0o4755] {
            fs::set_permissions(storage.path(Part::Ledger), fs::Permissions::from_mode(ledger)).unwrap();
            storage.create(Part::NewIndex).unwrap().write_all_at(b"x", 0).unwrap();
            storage.publish_index().unwrap();
            assert_eq!(mode(Part::Index), ledger & 0o666 & !umask);
        }
    }

    #[test]
    fn one_lock() {
        let (_folder, storage) = ledger();
        let first = storage.create(Part::Ledger).unwrap();
        let second = storage.open(Part::Ledger, Access::ReadWrite).unwrap().unwrap();
        assert!(StorageFile::try_lock(&first).unwrap());
        assert!(!StorageFile::try_lock(&second).unwrap());
        drop(first);
        assert!(StorageFile::try_lock(&second).unwrap());
    }

    /// Run by the test below in a process of its own: takes the lock, says so, and waits to be killed.
    #[test]
    #[ignore = "part of a_killed_process_has_no_lock"]
    fn lock_and_wait() {
        let storage = LedgerPath::new(std::env::var_os("BITWIRE_TEST_LEDGER").unwrap()).unwrap();
        let file = storage.open(Part::Ledger, Access::ReadWrite).unwrap().unwrap();
        assert!(StorageFile::try_lock(&file).unwrap());
        let mut out = io::stdout();
        out.write_all(b"\nlocked\n").unwrap();
        out.flush().unwrap();
        let _ = io::stdin().read_line(&mut "".to_string());
    }

    #[test]
    fn a_killed_process_has_no_lock() {
        let (_folder, storage) = ledger();
        let file = storage.create(Part::Ledger).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::storage::tests::lock_and_wait", "--ignored", "--nocapture"])
            .env("BITWIRE_TEST_LEDGER", storage.path(Part::Ledger))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));
        assert!(!StorageFile::try_lock(&file).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(StorageFile::try_lock(&file).unwrap());
    }

    /// A file whose calls do a byte or two at a time, every other one interrupted.
    struct Slow {
        bytes: Vec<u8>,
        calls: Cell<u32>,
        at_most: usize,
    }

    impl Slow {
        fn step(&self, wanted: usize) -> io::Result<usize> {
            self.calls.set(self.calls.get() + 1);
            if self.calls.get() % 2 == 1 {
                return Err(ErrorKind::Interrupted.into());
            }
            Ok(wanted.min(self.at_most))
        }
    }

    impl Source for Slow {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.bytes.get(offset as usize..).unwrap_or(&[]);
            let count = self.step(buf.len().min(rest.len()))?;
            buf[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    impl StorageFile for Slow {
        fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            let (count, at) = (self.step(bytes.len())?, offset as usize);
            self.bytes.resize(self.bytes.len().max(at + count), 0);
            self.bytes[at..at + count].copy_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn set_len(&mut self, len: u64) -> io::Result<()> {
            self.bytes.resize(len as usize, 0);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn try_lock(&self) -> io::Result<bool> {
            Ok(true)
        }
    }

    #[test]
    fn helpers_go_on_after_short_and_interrupted_calls() {
        let mut file = Slow { bytes: vec![], calls: Cell::new(0), at_most: 2 };
        file.write_all_at(b"abcde", 1).unwrap();
        assert_eq!(file.bytes, b"\0abcde");
        assert_eq!(file.calls.get(), 6, "2 + 2 + 1 bytes, each after an interruption");
        let mut buf = [0; 5];
        file.read_exact_at(&mut buf, 1).unwrap();
        assert_eq!(&buf, b"abcde");
        assert_eq!(kind(file.read_exact_at(&mut buf, 2)), ErrorKind::UnexpectedEof);
        file.write_all_at(b"", u64::MAX).unwrap();
        file.read_exact_at(&mut [], u64::MAX).unwrap();
        file.at_most = 0;
        assert_eq!(kind(file.write_all_at(b"x", 0)), ErrorKind::WriteZero);
        assert_eq!(kind(advance(u64::MAX, 1).map(drop)), ErrorKind::FileTooLarge);
        assert_eq!(advance(u64::MAX - 1, 1).unwrap(), u64::MAX);
    }

    #[cfg(unix)]
    #[test]
    fn offsets_far_out_are_errors_or_sparse() {
        let (_folder, storage) = ledger();
        let mut file = storage.create(Part::Ledger).unwrap();
        file.write_all_at(b"far", (1 << 32) + 5).unwrap();
        let mut buf = [1; 4];
        file.read_exact_at(&mut buf, (1 << 32) + 4).unwrap();
        assert_eq!(&buf, b"\0far");
        for offset in [i64::MAX as u64, 1 << 63, u64::MAX] {
            assert!(file.write_all_at(b"xy", offset).is_err());
            assert!(file.read_exact_at(&mut buf, offset).is_err());
        }
    }
}

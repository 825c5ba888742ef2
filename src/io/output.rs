//! Output files that are whole or not there.
//!
//! The bytes go to a temporary file in the same folder; only when all are on the disk does it take the asked name, by a
//! rename. A reader of that name sees the old file or the new one, never a part, whatever fails; the temporary file is
//! removed on any error (a process that is killed leaves it behind, under a name `.bitwire-*.tmp`).
//!
//! - A new file gets the permissions any program's new file gets (0666 less the umask), a replaced one keeps those of the
//!   old file. The owner is whoever runs this; hard links to the old file keep the old content.
//! - A symbolic link under the asked name is itself replaced, and the file it points to left alone: following it would
//!   let whoever may write in the folder choose what is overwritten.
//! - A folder, device, pipe or socket is refused, also through a link: a rename would put a file in its place
//!   (`/dev/null` is what people lose that way).

use super::{Cause, FileError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// A file being written. Dropped without [`commit`](OutputFile::commit), it leaves no trace.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    /// The folder, open since before the first byte: if it cannot be synced, that shows early.
    #[cfg(unix)]
    folder: File,
    file: BufWriter<File>,
    temporary: TempPath,
    permissions: Option<fs::Permissions>,
}

impl OutputFile {
    /// Starts a file that is to appear at `path`.
    ///
    /// # Errors
    /// If the folder is missing or cannot be written or opened (the error then names the folder), or if `path` is
    /// something other than a file.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let permissions = existing(path).map_err(|error| FileError::new(path, error))?;
        let folder_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let at_folder = |error: io::Error| FileError::new(folder_path, error);
        #[cfg(unix)]
        let folder = File::open(folder_path).map_err(at_folder)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        // Opened here, since errors of `tempfile` name the temporary file, which nobody asked for, and lose what the system said.
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".bitwire-").suffix(".tmp").make_in(folder_path, |path| options.open(path));
        let file = file.map_err(at_folder)?;
        let (file, temporary) = file.into_parts();
        let file = BufWriter::with_capacity(64 << 10, file);
        Ok(Self {
            path: path.to_path_buf(),
            #[cfg(unix)]
            folder,
            file,
            temporary,
            permissions,
        })
    }

    /// The name the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts everything on the disk, still without its name: of [`commit`](Self::commit) not much is left then that could fail,
    /// which helps where two files belong together.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn sync(&mut self) -> Result<(), FileError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| FileError::new(&self.path, error))
    }

    /// Puts everything on the disk and gives the file its name.
    ///
    /// # Errors
    /// Those of the operating system. If it is the folder's sync that fails, the whole file already has its name, but a
    /// power cut may yet undo that; any other error leaves the name as it was.
    pub fn commit(self) -> Result<(), FileError> {
        self.place()?.sync()
    }

    /// The same for a name that nothing has: whatever has it stays as it is, whoever put it there and however late.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); [`AlreadyExists`](io::ErrorKind::AlreadyExists) if anything has the name.
    pub fn commit_new(self) -> Result<(), FileError> {
        self.place_by(|temporary, path| temporary.persist_noclobber(path))?.sync()
    }

    /// The first half of [`commit`](Self::commit): the file has its name, unless there is an error, but a power cut may undo
    /// that.
    pub(crate) fn place(self) -> Result<Placed, FileError> {
        self.place_by(|temporary, path| temporary.persist(path))
    }

    fn place_by(
        self,
        persist: impl FnOnce(TempPath, &Path) -> Result<(), tempfile::PathPersistError>,
    ) -> Result<Placed, FileError> {
        // On any error `temporary` is dropped, which removes the file.
        let Self { path, file, temporary, permissions, .. } = self;
        let at_path = |error: io::Error| FileError::new(&path, error);
        let file = file.into_inner().map_err(|error| at_path(error.into_error()))?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions).map_err(at_path)?;
        }
        file.sync_all().map_err(at_path)?;
        drop(file);
        // Asked again: much may have happened since `create`.
        existing(&path).map_err(at_path)?;
        persist(temporary, &path).map_err(|error| at_path(error.error))?;
        Ok(Placed {
            path,
            #[cfg(unix)]
            folder: self.folder,
        })
    }
}

/// A file that has its name.
#[must_use]
pub(crate) struct Placed {
    path: PathBuf,
    #[cfg(unix)]
    folder: File,
}

impl Placed {
    /// The second half of [`OutputFile::commit`]: after it the name outlives a power cut.
    pub(crate) fn sync(self) -> Result<(), FileError> {
        let Self { path, .. } = &self;
        #[cfg(unix)]
        match self.folder.sync_all() {
            // Some network file systems have no such call; there is nothing more to be done there.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {}
            other => other.map_err(|error| FileError::new(path, error))?,
        }
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for OutputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Writes a whole file at `path`: what `write` writes, if it succeeds, and nothing otherwise.
///
/// # Errors
/// As [`OutputFile::create`] and [`OutputFile::commit`], or the cause `write` gives, under the name of `path`.
pub fn write_whole(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Cause>,
) -> Result<(), FileError> {
    let mut file = OutputFile::create(&path)?;
    write(&mut file).map_err(|cause| cause.at(&path))?;
    file.commit()
}

/// The permissions of the file at `path`, if there is one; an error if there is something else.
fn existing(path: &Path) -> io::Result<Option<fs::Permissions>> {
    // "x/" and "x/.." name folders, and have no file name to rename to.
    let ends_in_separator =
        path.as_os_str().as_encoded_bytes().last().is_some_and(|&b| std::path::is_separator(b.into()));
    if path.file_name().is_none() || ends_in_separator {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a file: a whole file cannot be put in its place",
        )),
        Ok(metadata) => Ok(Some(ordinary(metadata.permissions()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Without set-user-id and its like, which belong to the old content.
fn ordinary(permissions: fs::Permissions) -> fs::Permissions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(permissions.mode() & 0o777)
    }
    #[cfg(not(unix))]
    permissions
}

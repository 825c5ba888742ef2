//! Files as maps into memory.

use std::fs::File;
use std::io;

/// A file as a map into memory.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps a file.
    ///
    /// Nobody may cut it short while the map is there: reading a part that is gone ends the process (SIGBUS). What is
    /// changed in the file changes in the map, also after it was checked: whoever shares a file with others whom they do
    /// not trust reads it, and checks what was read; or checks again what was used, as
    /// [`Frame::parse`](crate::frame::Frame::parse), `Frame::verify` and
    /// [`LedgerReader::verify`](crate::ledger::LedgerReader::verify) can be asked at any time. A file that is replaced by
    /// another under its name, as [`output`](super::output) does, stays as it was for those who have it as a map.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the map is only read, and as plain bytes, of which every value is valid. That another process changes
        // or cuts the file meanwhile cannot be excluded; the documentation says what comes of it.
        #[allow(unsafe_code)]
        unsafe { memmap2::Mmap::map(file) }.map(Self)
    }
}

impl std::ops::Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

//! Where a reader gets a ledger's bytes from.

#[cfg(feature = "mmap")]
use crate::io::Map;
use std::fs::File;
use std::io;
use std::vec::Vec;

/// Bytes that can be read at any place: a file, a map of one, bytes in memory.
///
/// Readers ask for each place anew and believe nothing they read before; still, a ledger must not be changed other than
/// by appending while it is read. In a map, a file that somebody cuts short can end the process (SIGBUS).
pub trait Source {
    /// How many bytes there are now. A ledger that is appended to grows.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    ///
    /// # Errors
    /// Those of the operating system.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Reads up to `buf.len()` bytes that start at `offset` and says how many; 0 only at or past the end (or for an
    /// empty `buf`).
    ///
    /// # Errors
    /// Those of the operating system; [`Interrupted`](io::ErrorKind::Interrupted) means: ask again.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// All the bytes, where they are in memory anyway.
    fn bytes(&self) -> Option<&[u8]> {
        None
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// As [`read_at`](Self::read_at); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the bytes end before.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    let many = || io::Error::other("more bytes came back than were asked for");
                    buf = buf.get_mut(read..).ok_or_else(many)?;
                    offset = offset.checked_add(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Source for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(self, buf, offset)
    }

    #[cfg(not(any(unix, windows)))]
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut file = self;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        io::Read::read(&mut file, buf)
    }
}

impl Source for [u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let read = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..read), rest.get(..read)) {
            to.copy_from_slice(from);
        }
        Ok(read)
    }

    fn bytes(&self) -> Option<&[u8]> {
        Some(self)
    }
}

macro_rules! by_deref {
    ($($header:tt)*) => {
        $($header)* {
            fn len(&self) -> io::Result<u64> {
                Source::len(&**self)
            }

            fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
                Source::read_at(&**self, buf, offset)
            }

            fn bytes(&self) -> Option<&[u8]> {
                Source::bytes(&**self)
            }
        }
    };
}

by_deref!(impl Source for Vec<u8>);
by_deref!(impl<S: Source + ?Sized> Source for &S);

#[cfg(feature = "mmap")]
by_deref!(impl Source for Map);

/// `len` bytes from `offset`: borrowed where they are in memory, otherwise read into `buffer`.
///
/// `len` has to be justified by the length of the source: it is what gets allocated.
pub(super) fn fetch<'a, S: Source + ?Sized>(
    source: &'a S,
    buffer: &'a mut Vec<u8>,
    offset: u64,
    len: u64,
) -> io::Result<&'a [u8]> {
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    if let Some(bytes) = source.bytes() {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
        return rest.and_then(|rest| rest.get(..len)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
    }
    if buffer.len() < len {
        buffer.try_reserve_exact(len - buffer.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        buffer.resize(len, 0);
    }
    let bytes = buffer.get_mut(..len).unwrap_or_default();
    source.read_exact_at(bytes, offset)?;
    Ok(bytes)
}

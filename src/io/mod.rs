//! Files: NumPy arrays, safetensors files, flat indexes of FAISS, tokens, key material, and output that is whole or not
//! there.
//!
//! Everything here reads from any [`Read`](std::io::Read), so that standard input is no special case; the functions that take
//! a path add its name to the error. None of them trusts a size before the bytes have arrived.

use crate::error::Error;
use std::borrow::ToOwned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::string::ToString;

pub mod faiss;
#[cfg(feature = "safetensors")]
pub mod gist;
#[cfg(feature = "hmac")]
pub mod key;
#[cfg(feature = "mmap")]
mod map;
pub mod measure;
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
pub mod output;
#[cfg(feature = "safetensors")]
pub mod safetensors;
pub mod tokens;

#[cfg(feature = "mmap")]
pub use map::Map;

/// What went wrong while a file was read or written, without the file's name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The operating system refused.
    Io(std::io::Error),
    /// The bytes are not what they have to be; the offset counts from the start of the file.
    Format(Error),
    /// The bytes of one member of an archive are not; the offset counts from the start of that member.
    Member {
        /// The member's name, as NumPy knows the array: `Sigma`.
        name: &'static str,
        /// What is wrong in it.
        error: Error,
    },
}

impl Cause {
    /// Whether the operating system refused, rather than the content being wrong.
    pub const fn is_io(&self) -> bool {
        matches!(self, Self::Io(_))
    }

    /// What is wrong with the content, if that is the cause.
    pub const fn format(&self) -> Option<&Error> {
        match self {
            Self::Io(_) => None,
            Self::Format(error) | Self::Member { error, .. } => Some(error),
        }
    }

    /// The same cause with the name of the file it happened to.
    #[must_use]
    pub fn at(self, path: impl AsRef<Path>) -> FileError {
        FileError::new(path, self)
    }

    /// Memory that the input asks for and the machine does not have.
    pub(crate) fn out_of_memory() -> Self {
        Self::Io(std::io::ErrorKind::OutOfMemory.into())
    }
}

impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Format(error)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => {
                let text = error.to_string();
                // "(os error 2)" says nothing to a person that the words before it do not.
                let plain = match error.raw_os_error() {
                    Some(_) => text.rsplit_once(" (os error ").map_or(text.as_str(), |(words, _)| words),
                    None => &text,
                };
                Escaped::new(plain.as_bytes()).fmt(f)
            }
            Self::Format(error) => error.fmt(f),
            Self::Member { name, error } => write!(f, "{name}: {error}"),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Format(error) | Self::Member { error, .. } => Some(error),
        }
    }
}

/// What went wrong, and with which file.
///
/// Prints as `window.npy: the value at row 3, column 17 is not finite`, the path through [`Escaped`].
#[derive(Debug)]
pub struct FileError {
    path: PathBuf,
    cause: Cause,
}

impl FileError {
    /// `cause` happened to the file at `path`.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, cause: impl Into<Cause>) -> Self {
        Self { path: path.as_ref().to_owned(), cause: cause.into() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happened to it.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Whether the operating system refused, rather than the content being wrong.
    pub const fn is_io(&self) -> bool {
        self.cause.is_io()
    }

    /// The same error of what lies in the folder `to` and not in `from`, a temporary one that nobody asked for.
    #[cfg(feature = "tinymind")]
    pub(crate) fn moved(self, from: &Path, to: &Path) -> Self {
        match self.path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => Self { path: to.to_owned(), cause: self.cause },
            Ok(rest) => Self { path: to.join(rest), cause: self.cause },
            Err(_) => self,
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Escaped::path(&self.path), self.cause)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// Prints a name or another text from outside so that it can neither steer a terminal nor end a line.
///
/// Control characters, line and paragraph separators and the marks that reverse the direction of text appear as `\u{1b}`,
/// bytes that are no UTF-8 as `\xff`, a backslash as `\\`; all else as it is.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a [u8]);

impl<'a> Escaped<'a> {
    /// Prints `text`, which should be UTF-8.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// Prints a path.
    #[must_use]
    pub fn path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_encoded_bytes())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
                        write!(f, "{}", c.escape_unicode())?;
                    }
                    '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => write!(f, "{}", c.escape_unicode())?,
                    c if c.is_control() => write!(f, "{}", c.escape_unicode())?,
                    c => f.write_char(c)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::error::Error as _;

    #[test]
    fn messages_name_the_file_and_what_happened() {
        let missing = std::fs::read("no such file").unwrap_err();
        let error = FileError::new("x.bit", missing);
        assert_eq!(error.to_string(), "x.bit: No such file or directory");
        assert!(error.is_io() && error.cause().format().is_none());

        let error = FileError::new("window.npy", Error::caller(ErrorKind::NonFinite { row: 3, column: 17 }));
        assert_eq!(error.to_string(), "window.npy: the value at row 3, column 17 is not finite");
        assert!(!error.is_io());
        assert_eq!(error.path(), Path::new("window.npy"));
        assert_eq!(error.source().unwrap().to_string(), "the value at row 3, column 17 is not finite");
        assert!(error.source().unwrap().source().unwrap().downcast_ref::<Error>().is_some());

        let member =
            Cause::Member { name: "Sigma", error: Error::new(ErrorKind::Size { field: "the array" }, 51) };
        assert_eq!(
            member.at("w.npz").to_string(),
            "w.npz: Sigma: the size of the array overflows 64 bits (at byte 51)"
        );
    }

    #[test]
    fn names_cannot_steer_a_terminal() {
        for (text, shown) in [
            (&b"plain name.npy"[..], "plain name.npy"),
            ("f\u{fc}r \u{1f600}".as_bytes(), "f\u{fc}r \u{1f600}"),
            (b"\x1b[2J", "\\u{1b}[2J"),
            (b"two\nlines\r", "two\\u{a}lines\\u{d}"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("a\u{202e}b\u{2028}".as_bytes(), "a\\u{202e}b\\u{2028}"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"a\\x1b", "a\\\\x1b"),
            (b"", ""),
        ] {
            assert_eq!(Escaped::new(text).to_string(), shown);
        }
    }
}

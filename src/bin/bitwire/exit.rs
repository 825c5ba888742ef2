//! How a run ends: what goes to standard output, and with which status.

use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

use bitwire::io::{Cause, Escaped, FileError};
use bitwire::{Error, ErrorKind};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Prints a line on standard error, whole. Where that is full or closed nobody can be told, which is no reason to panic, as
/// `eprintln!` does.
macro_rules! tell {
    ($($line:tt)*) => {
        $crate::exit::write_line(format_args!($($line)*))
    };
}
pub(crate) use tell;

pub(crate) fn write_line(line: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A verb that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, or valid: status 0.
    Good,
    /// Checked and found invalid: status 1.
    Invalid,
}

impl Outcome {
    pub(crate) fn valid(valid: bool) -> Self {
        if valid { Self::Good } else { Self::Invalid }
    }
}

/// A verb that could not run to its end.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A file that cannot be read, written or made sense of.
    File(FileError),
    /// A file that was read and found invalid.
    Found { file: String, error: Error },
    /// Something that was checked and found invalid.
    Invalid(String),
    /// A mistake of the caller.
    Usage(String),
    /// Standard output cannot be written.
    Stdout(Cause),
    /// Reported when it was met.
    Reported,
}

impl Problem {
    /// What was found in a frame: invalid where a check says so, unreadable otherwise.
    pub(crate) fn frame(file: &str, error: Error) -> Self {
        Self::Found { file: file.to_owned(), error }
    }

    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Found { error, .. } if is_verdict(error.kind()) => 1,
            Self::Invalid(_) => 1,
            _ => 2,
        }
    }

    pub(crate) fn report(&self) {
        if !matches!(self, Self::Reported) {
            tell!("bitwire: {self}");
        }
    }
}

/// Whether a frame was there to check: the kinds that say what broke its structure, or that it is of no use to the verb,
/// make a file that cannot be read; all others are what a check found.
pub(crate) fn is_verdict(kind: ErrorKind) -> bool {
    use ErrorKind as K;
    !matches!(
        kind,
        K::Truncated { .. }
            | K::Size { .. }
            | K::TrailingBytes { .. }
            | K::Magic { .. }
            | K::ProofMagic { .. }
            | K::TlvOrder { .. }
            | K::ConfigNotFirst { .. }
            | K::CriticalTlv { .. }
            | K::ReservedTlv { .. }
            | K::TlvLength { .. }
            | K::Kind { .. }
            | K::TooLarge { .. }
            | K::ContextDiffers
            | K::CertificateMagic { .. }
            | K::CertificateVersion { .. }
            | K::CertificateLength { .. }
            | K::FaissMagic { .. }
    )
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Found { file, error } => write!(f, "{file}: {error}"),
            Self::Usage(message) | Self::Invalid(message) => f.write_str(message),
            Self::Reported => Ok(()),
            Self::Stdout(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Stdout(error.into())
    }
}

/// What goes to standard output, written when the verb is done.
#[derive(Default)]
pub(crate) struct Output {
    pending: Vec<u8>,
}

impl Output {
    pub(crate) fn line(&mut self, line: impl Display) {
        let mut text = String::new();
        let _ = writeln!(text, "{line}");
        self.pending.extend_from_slice(text.as_bytes());
    }

    /// `label` in a column of its own, then the value.
    pub(crate) fn labelled(&mut self, label: &str, value: impl Display) {
        self.line(format_args!("{label:<11} {value}"));
    }

    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// The one JSON object of a verb; `verb` names its schema.
    pub(crate) fn json(&mut self, verb: &str, members: Vec<(&'static str, Value)>) {
        let object = Object { schema: format!("bitwire/{verb}/1"), members };
        self.json_part(&object);
        self.pending.push(b'\n');
    }

    /// A part of the one JSON object of a verb that has too much to say to keep all of it.
    pub(crate) fn json_part(&mut self, part: &impl Serialize) {
        // Serialising into memory fails only for maps with keys that are no strings.
        let text = serde_json::to_string(part).unwrap_or_default();
        // JSON escapes the control characters below space. What else steers a terminal stands within strings only, and
        // all of it has four hexadecimal digits.
        for c in text.chars() {
            if steers(c) {
                self.pending.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            } else {
                self.pending.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        let mut stdout = io::stdout().lock();
        let pending = std::mem::take(&mut self.pending);
        match stdout.write_all(&pending).and_then(|()| stdout.flush()) {
            // A reader that has seen enough, such as head, is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

/// Whether [`bitwire::io::Escaped`] would escape this character, but for the backslash.
fn steers(c: char) -> bool {
    let outside_ascii =
        |c: char| Escaped::new(c.encode_utf8(&mut [0; 4]).as_bytes()).to_string().starts_with('\\');
    c == '\x7f' || !c.is_ascii() && outside_ascii(c)
}

/// A JSON object that keeps the order of its members.
struct Object {
    schema: String,
    members: Vec<(&'static str, Value)>,
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len() + 1))?;
        map.serialize_entry("schema", &self.schema)?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A SHA-256, or a part of one, as every verb shows it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error as the JSON of every verb shows it.
pub(crate) fn error_json(error: &Error) -> Value {
    serde_json::json!({
        "kind": error.kind().name(),
        "offset": error.offset(),
        "message": error.to_string(),
    })
}

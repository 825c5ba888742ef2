//! The JSON beside a gist's tensors.
#![deny(clippy::arithmetic_side_effects)]

use std::borrow::ToOwned;
use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::python::{push_float, push_repr};
use crate::engram::KeyShape;
use crate::error::{Error, ErrorKind, Result};
use crate::gist::GistView;
use crate::io::FileError;

/// The longest text, in bytes: what a TLV holds.
const MAX_LEN: u64 = 0xFFFF;
/// The deepest nesting within the outermost brackets: the reader recurses.
const MAX_DEPTH: u32 = 100;

const NOT_JSON: &str = "the text is no valid JSON (NaN and Infinity are none either)";

/// The sidecar of a gist: a JSON object beside the tensors, kept byte by byte, and what is needed of it.
///
/// ```
/// use bitwire::io::gist::Sidecar;
///
/// let sidecar = Sidecar::parse(r#"{"num_layers": 2, "note": null, "list": [1, "a", 1e-5]}"#)?;
/// assert_eq!(sidecar.num_layers(), Some(2));
/// let strings: Vec<_> = sidecar.strings().collect();
/// assert_eq!(strings, [("num_layers", "2"), ("note", "None"), ("list", "[1, 'a', 1e-05]")]);
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    text: String,
    /// Python's `str()` of each value.
    members: Vec<(String, String)>,
    num_layers: Option<u64>,
    num_gist_tokens: Option<u64>,
}

/// Where the original keeps the sidecar of the tensors at `path`: the same name, but with `.json` in place of the extension.
#[must_use]
pub fn sidecar_path(path: impl AsRef<Path>) -> PathBuf {
    path.as_ref().with_extension("json")
}

impl Sidecar {
    /// Reads the text of a sidecar.
    ///
    /// # Errors
    /// [`ErrorKind::Sidecar`] if it is not a JSON object (RFC 8259), an object in it has a member twice, it is nested over 100
    /// deep, or `num_layers` or `num_gist_tokens` is no whole number; [`ErrorKind::TooLarge`] beyond 65,535 bytes.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let found = text.len() as u64;
        if found > MAX_LEN {
            return Err(too_large(found));
        }
        // That it is JSON is the library's to say; what is left then is to walk over it, with numbers as they are spelled.
        serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|error| {
            let before = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
            // A column is the number of bytes read, the wrong one among them.
            let at = before.sum::<usize>().saturating_add(error.column()).saturating_sub(1);
            refused(NOT_JSON, at.min(text.len()))
        })?;
        let mut walk = Walk { text: &text, at: 0 };
        walk.skip_space();
        if walk.peek() != Some(b'{') {
            return Err(refused("the text is no JSON object", walk.at));
        }
        let (mut members, mut num_layers, mut num_gist_tokens) = (Vec::new(), None, None);
        walk.object(|walk, name| {
            let at = walk.at;
            let mut string = String::new();
            walk.value(0, true, &mut string)?;
            let number = match name.as_str() {
                "num_layers" => Some((&mut num_layers, "num_layers is no whole number")),
                "num_gist_tokens" => Some((&mut num_gist_tokens, "num_gist_tokens is no whole number")),
                _ => None,
            };
            if let Some((to, reason)) = number {
                let spelled = text.get(at..walk.at).unwrap_or_default();
                *to = Some(spelled.parse().map_err(|_| refused(reason, at))?);
            }
            members.push((name, string));
            Ok(())
        })?;
        Ok(Self { text, members, num_layers, num_gist_tokens })
    }

    /// Reads the file at `path`; no more of it than a sidecar can have.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`ErrorKind::Utf8`]; or those of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let failed = |error| FileError::new(&path, error);
        Self::read(File::open(&path).map_err(failed)?).map_err(|cause| cause.at(&path))
    }

    /// Reads a stream.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(reader: impl Read) -> Result<Self, crate::io::Cause> {
        let mut bytes = Vec::new();
        reader.take(MAX_LEN.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_LEN {
            return Err(too_large(bytes.len() as u64).into());
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to() as u64;
            Error::new(ErrorKind::Utf8 { field: "the sidecar" }, at)
        })?;
        Ok(Self::parse(text)?)
    }

    /// The sidecar of the tensors at `path`, if there is one: the original leaves it out where there is nothing to say.
    ///
    /// # Errors
    /// As [`open`](Self::open), under the sidecar's name.
    pub fn beside(path: impl AsRef<Path>) -> Result<Option<Self>, FileError> {
        let path = sidecar_path(path);
        match Self::open(&path) {
            Err(error) if missing(&error) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// The sidecar that a gist carries as its metadata, if it carries any.
    ///
    /// # Errors
    /// As [`parse`](Self::parse): that a gist is valid does not mean that its metadata is JSON.
    pub fn of(gist: &GistView<'_>) -> Result<Option<Self>> {
        gist.metadata().map(|text| Self::parse(text.to_owned())).transpose()
    }

    /// The text, byte by byte.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the object has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in their order, each with what Python's `str()` makes of it: what the original puts into `__metadata__`.
    pub fn strings(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many layers it says there are, if it does.
    #[must_use]
    pub const fn num_layers(&self) -> Option<u64> {
        self.num_layers
    }

    /// How many gist tokens it says there are, if it does.
    #[must_use]
    pub const fn num_gist_tokens(&self) -> Option<u64> {
        self.num_gist_tokens
    }

    /// Checks that a gist of this shape is what it speaks of: `num_layers` and `num_gist_tokens`, where they are there.
    ///
    /// # Errors
    /// [`ErrorKind::SidecarDiffers`], with both numbers.
    pub fn check(&self, shape: &KeyShape) -> Result<()> {
        for (field, sidecar, tensors) in [
            ("num_layers", self.num_layers, shape.layers),
            ("num_gist_tokens", self.num_gist_tokens, shape.tokens),
        ] {
            let tensors = u64::from(tensors);
            if let Some(sidecar) = sidecar.filter(|&sidecar| sidecar != tensors) {
                return Err(Error::caller(ErrorKind::SidecarDiffers { field, sidecar, tensors }));
            }
        }
        Ok(())
    }
}

/// Whether a file is not there.
fn missing(error: &FileError) -> bool {
    matches!(error.cause(), crate::io::Cause::Io(error) if error.kind() == IoErrorKind::NotFound)
}

fn too_large(found: u64) -> Error {
    Error::caller(ErrorKind::TooLarge { field: "the sidecar", max: MAX_LEN, found })
}

fn refused(reason: &'static str, at: usize) -> Error {
    Error::new(ErrorKind::Sidecar { reason }, at as u64)
}

/// A walk over a text that is known to be JSON, but for the characters that escapes stand for.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.advance(1);
        }
    }

    /// Whether `byte` comes next, but for white space; it is then behind.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let there = self.peek() == Some(byte);
        if there {
            self.advance(1);
        }
        there
    }

    fn string(&mut self) -> Result<String> {
        let (start, mut escaped) = (self.at, false);
        let inner = self.rest().bytes().skip(1).take_while(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            !ends
        });
        let len = inner.count().saturating_add(2);
        self.advance(len);
        let text = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(text)
            .map_err(|_| refused("a string has half a surrogate pair, which is no character", start))
    }

    /// The object that starts here; `member` takes each value. Cost: a sort of the names.
    fn object(&mut self, mut member: impl FnMut(&mut Self, String) -> Result<()>) -> Result<()> {
        let mut names = Vec::new();
        self.take(b'{');
        while !self.take(b'}') {
            let name = self.string()?;
            names.push(name.clone());
            self.take(b':');
            self.skip_space();
            member(self, name)?;
            self.take(b',');
            self.skip_space();
        }
        names.sort_unstable();
        match names.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(refused("an object has a member twice", self.at.saturating_sub(1))),
            false => Ok(()),
        }
    }

    /// Appends what Python's `str()`, or within brackets `repr()`, makes of the value that starts here.
    fn value(&mut self, depth: u32, top: bool, out: &mut String) -> Result<()> {
        let inner = depth.saturating_add(1);
        match self.peek() {
            Some(b'[' | b'{') if inner > MAX_DEPTH => return Err(refused("nested over 100 deep", self.at)),
            Some(b'"') => {
                let string = self.string()?;
                if top { out.push_str(&string) } else { push_repr(&string, out) }
            }
            Some(b'[') => {
                self.advance(1);
                out.push('[');
                let mut first = true;
                while !self.take(b']') {
                    if !core::mem::take(&mut first) {
                        out.push_str(", ");
                    }
                    self.value(inner, false, out)?;
                    self.take(b',');
                    self.skip_space();
                }
                out.push(']');
            }
            Some(b'{') => {
                out.push('{');
                let mut first = true;
                self.object(|walk, name| {
                    if !core::mem::take(&mut first) {
                        out.push_str(", ");
                    }
                    push_repr(&name, out);
                    out.push_str(": ");
                    walk.value(inner, false, out)
                })?;
                out.push('}');
            }
            _ => {
                let len = self.rest().bytes().take_while(|byte| !b",]} \t\n\r".contains(byte)).count();
                let word = self.rest().get(..len).unwrap_or_default();
                self.advance(len);
                push_word(word, out);
            }
        }
        Ok(())
    }
}

fn push_word(word: &str, out: &mut String) {
    match word {
        "true" => out.push_str("True"),
        "false" => out.push_str("False"),
        "null" => out.push_str("None"),
        // Python's integers have no sign of zero.
        "-0" => out.push('0'),
        _ if word.contains(['.', 'e', 'E']) => push_float(word.parse().unwrap_or(f64::NAN), out),
        _ => out.push_str(word),
    }
}

//! Bytes that should be frames, explained field by field, also where they are damaged.
//!
//! [`inspect`] never fails. It holds the bytes to the rules of [`Frame::parse`](crate::frame::Frame::parse),
//! [`Frame::context`](crate::frame::Frame::context) and the typed view of the kind, but goes on after the first
//! breach: by the lengths as long as they fit, then from the next magic. What the parsers refuse first is each
//! section's [`error`](Section::error), and the damaged field's [`Span`] carries that very kind.
//!
//! ```
//! # use bitwire::frame::{Config, ContextHash, Element, FrameBuilder, Kind};
//! # let config = Config::new(Kind::BEACON, Element::I16, 1, 2, 1024);
//! let mut bytes = FrameBuilder::new(ContextHash([0; 8]), config, &[32, 0, 0xC0, 0xFF]).encode()?;
//! assert!(bitwire::inspect::inspect(&bytes).is_valid());
//! bytes[49] ^= 1;
//! let report = bitwire::inspect::inspect(&bytes);
//! assert_eq!(report.first_error(), bitwire::frame::Frame::parse(&bytes).err());
//! assert!(report.to_string().contains("-64 = -1.0"));
//! # Ok::<(), bitwire::Error>(())
//! ```
//!
//! Chunks of a ledger that follow one another are held to the ledger's rules as well: ids, positions, contexts, marks.
//!
//! What the bytes have to be is stated in spec/frame.md, spec/beacon.md, spec/ledger.md, spec/mirror.md,
//! spec/engram.md and spec/gist.md.

mod checks;
mod engram;
mod explain;
mod explain_engram;
mod explain_gist;
mod explain_ledger;
mod explain_mirror;
mod gist;
mod json;
mod ledger;
mod mirror;
mod tables;
mod text;
mod walk;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind};
#[cfg(feature = "hmac")]
use crate::frame::Key;
use crate::frame::Kind;

/// A report has at most about this many spans, so that a file of a million tiny frames costs bounded memory. The
/// bytes after them are one more span that says how many they are, and a frame cut short by it still has its error.
pub const MAX_SPANS: usize = 65_536;

/// What [`inspect`] found. Borrows the bytes, to show them.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
}

/// A frame, or bytes between frames.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Section {
    /// Where it starts, in bytes from the start of the input.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// What it is.
    pub content: Content,
    /// What the parsers refuse first: the frame's, then its context's, then its kind's; then, of a chunk right behind a
    /// good one, what the ledger's reader does. The offset counts from the start of the input.
    pub error: Option<Error>,
    /// Its bytes in order, each in exactly one span. Only a field that is missing has a span of length 0.
    pub spans: Vec<Span>,
}

/// What a [`Section`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// A frame, whole or damaged.
    Frame {
        /// Its place among the frames of the input, from 0.
        index: u64,
        /// Its kind, if that can be read.
        kind: Option<Kind>,
    },
    /// Bytes that are no frame, up to the next magic or the end.
    NoFrame,
    /// The bytes after the last span that fits the report. They were not looked at.
    NotInspected,
}

/// A field, or a part of one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Where it starts, in bytes from the start of the input.
    pub offset: u64,
    /// Its length in bytes; 0 for a field that is missing.
    pub len: u64,
    /// The frame's index among the frames of the input; `None` between frames.
    pub frame: Option<u64>,
    /// The field's name as in spec/, such as `CONFIG_V1.dim` or `payload[0][3]`.
    pub field: Cow<'static, str>,
    /// The value for people to read. Control characters, backslashes and bytes that are not UTF-8 are escaped.
    pub value: String,
    /// Whether it is as it has to be.
    pub verdict: Verdict,
}

/// Whether a [`Span`] is as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rules for this field hold; for the payload, the CRC-16 does.
    Ok,
    /// A rule is broken. [`Error::new`] of this kind at the span's offset is what a parser says.
    Bad(ErrorKind),
    /// Nothing was held against a rule: fields of kinds that have no typed view here, a MAC without its key, what
    /// the CRC-16 does not vouch for.
    Unchecked,
}

/// Explains `bytes`: any number of frames one after the other, and whatever else is there.
///
/// Cost: linear in the length. Memory: [`MAX_SPANS`] spans of bounded size, whatever the length: long payloads and
/// tables show their first and last values, and what is damaged. Of a ledger's marks the first 2^20 positions and names are
/// remembered, to find one that comes twice.
pub fn inspect(bytes: &[u8]) -> Report<'_> {
    walk::inspect(bytes, None)
}

/// The same, with HMAC_V1 verified under `key`. A frame without HMAC_V1, or with another, is invalid
/// ([`ErrorKind::HmacMissing`], [`ErrorKind::Hmac`]).
#[cfg(feature = "hmac")]
pub fn inspect_with_key<'a>(bytes: &'a [u8], key: &Key) -> Report<'a> {
    walk::inspect(bytes, Some(&|parts, tag| key.verify(parts, tag)))
}

impl<'a> Report<'a> {
    /// Frames and what lies between them, in order; together they cover the input.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// All spans of all sections, in order; together they cover the input.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.sections.iter().flat_map(|section| &section.spans)
    }

    /// The frames' number, damaged ones included.
    pub fn frames(&self) -> usize {
        self.sections.iter().filter(|section| matches!(section.content, Content::Frame { .. })).count()
    }

    /// The whole input is frames, all were looked at, and no parser refuses one. Empty input is not valid, as it
    /// is not for [`Frame::parse`](crate::frame::Frame::parse).
    pub fn is_valid(&self) -> bool {
        self.sections
            .iter()
            .all(|section| section.error.is_none() && section.content != Content::NotInspected)
    }

    /// The error of the first section that has one.
    pub fn first_error(&self) -> Option<Error> {
        self.sections.iter().find_map(|section| section.error)
    }

    /// The bytes of a span of this report.
    pub fn bytes_of(&self, span: &Span) -> &'a [u8] {
        let start = usize::try_from(span.offset).ok();
        let end = usize::try_from(span.offset.saturating_add(span.len)).ok();
        start.zip(end).and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default()
    }
}

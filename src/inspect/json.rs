//! A report for programs.

use alloc::string::String;
use core::fmt::{self, Display, Write};

use super::{Content, Report, Section, Span, Verdict};
use crate::error::Error;
use crate::frame::write_string;

/// Bytes of a span that are shown.
const BYTES: usize = 64;

impl Report<'_> {
    /// `{"frames":[...]}`; see [`frames_json`](Self::frames_json).
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"frames\":");
        self.write_frames(&mut out);
        out.push('}');
        out
    }

    /// A JSON array with an object for each section, to be a member of a larger object:
    ///
    /// ```json
    /// {"frame":0,"offset":0,"len":58,"kind":"beacon","verdict":"valid","error":null,"spans":[
    ///   {"offset":0,"len":4,"hex":"42495401","hex_cut":false,"field":"magic","value":"BIT 01","verdict":"ok","error":null}]}
    /// ```
    ///
    /// `frame` is null and `verdict` is `no frame` or `not inspected` for what is no frame; `kind` is null where
    /// it cannot be read. `verdict` of a frame is `valid` or `invalid`, of a span `ok`, `bad` or `unchecked`. An
    /// error is `{"kind":"Crc","offset":56,"message":"..."}`. `hex` shows up to 64 bytes.
    pub fn frames_json(&self) -> String {
        let mut out = String::new();
        self.write_frames(&mut out);
        out
    }

    fn write_frames(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = self.write_json(out);
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        out.push('[');
        for (i, section) in self.sections().iter().enumerate() {
            let (index, kind, verdict) = match section.content {
                Content::Frame { index, kind } => {
                    (Some(index), kind, if section.error.is_none() { "valid" } else { "invalid" })
                }
                Content::NoFrame => (None, None, "no frame"),
                Content::NotInspected => (None, None, "not inspected"),
            };
            let Section { offset, len, .. } = section;
            write!(
                out,
                "{}{{\"frame\":{},\"offset\":{offset},\"len\":{len},\"kind\":{},\"verdict\":\"{verdict}\",\"error\":{},\"spans\":[",
                if i == 0 { "" } else { "," },
                OrNull(index),
                OrNull(kind.map(|kind| quote(kind.name()))),
                OrNull(section.error.map(error)),
            )?;
            for (i, span) in section.spans.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                self.write_json_span(out, span)?;
            }
            out.push_str("]}");
        }
        out.push(']');
        Ok(())
    }

    fn write_json_span(&self, out: &mut String, span: &Span) -> fmt::Result {
        let bytes = self.bytes_of(span);
        write!(out, "{{\"offset\":{},\"len\":{},\"hex\":\"", span.offset, span.len)?;
        for byte in bytes.iter().take(BYTES) {
            write!(out, "{byte:02x}")?;
        }
        let (verdict, kind) = match span.verdict {
            Verdict::Ok => ("ok", None),
            Verdict::Bad(kind) => ("bad", Some(kind)),
            Verdict::Unchecked => ("unchecked", None),
        };
        write!(
            out,
            "\",\"hex_cut\":{},\"field\":{},\"value\":{},\"verdict\":\"{verdict}\",\"error\":{}}}",
            bytes.len() > BYTES,
            quote(&span.field),
            quote(&span.value),
            OrNull(kind.map(|kind| error(Error::new(kind, span.offset)))),
        )
    }
}

struct OrNull<T>(Option<T>);

impl<T: Display> Display for OrNull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

fn error(error: Error) -> String {
    let (kind, offset) = (error.kind(), error.offset());
    let message = quote(&alloc::format!("{kind}"));
    alloc::format!("{{\"kind\":\"{}\",\"offset\":{offset},\"message\":{message}}}", kind.name())
}

/// A JSON string.
fn quote(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out
}

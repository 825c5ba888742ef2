//! A report for people: offset, bytes, field, value, verdict.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display, Formatter, Write};

use super::{Content, Report, Section, Span, Verdict};

const BYTES: usize = 8;
const VALUE: usize = 46;
const BEFORE_VALUE: usize = 64;

impl Display for Report<'_> {
    /// Columns of text, 115 characters wide at most unless a name is long. A bad field is followed by a line that
    /// starts with `BAD:`; a frame ends with a line that says what it is and whether it is valid.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for section in self.sections() {
            if let Content::Frame { index, .. } = section.content {
                writeln!(f, "frame {index} at byte {}", section.offset)?;
            }
            for span in &section.spans {
                self.write_span(f, span)?;
            }
            writeln!(f, "{section}\n")?;
        }
        Ok(())
    }
}

impl Report<'_> {
    fn write_span(&self, f: &mut Formatter<'_>, span: &Span) -> fmt::Result {
        let bytes = self.bytes_of(span);
        let mut hex = String::new();
        for (i, byte) in bytes.iter().take(BYTES).enumerate() {
            write!(hex, "{}{byte:02x}", if i == 0 { "" } else { " " })?;
        }
        if bytes.len() > BYTES {
            hex.push_str("..");
        }
        // Fields of a TLV stand under it.
        let field = match span.field.split_once('.') {
            Some((tlv, field)) if !tlv.contains('[') => format!("  {field}"),
            _ => span.field.clone().into_owned(),
        };
        let verdict = match span.verdict {
            Verdict::Ok => "ok",
            Verdict::Bad(_) => "BAD",
            Verdict::Unchecked => "-",
        };
        let (first, mut rest) = cut(&span.value);
        writeln!(f, "{:>10}  {hex:<25}  {field:<24} {first:<VALUE$}  {verdict}", span.offset)?;
        while !rest.is_empty() {
            let (line, after) = cut(rest);
            writeln!(f, "{:BEFORE_VALUE$}{line}", "")?;
            rest = after;
        }
        if let Verdict::Bad(kind) = span.verdict {
            writeln!(f, "{:12}BAD: {kind}", "")?;
        }
        Ok(())
    }
}

/// The next line of a long value: up to a space, if there is one in the line's second half.
fn cut(text: &str) -> (&str, &str) {
    let Some((end, _)) = text.char_indices().nth(VALUE) else { return (text, "") };
    let (line, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    match line.rsplit_once(' ') {
        Some((before, _)) if before.len() > VALUE / 2 => {
            (before, text.get(before.len() + 1..).unwrap_or_default())
        }
        _ => (line, rest),
    }
}

impl Display for Section {
    /// The closing line: `frame 0: 4215 bytes, beacon, valid`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Frame { index, kind } => {
                write!(f, "frame {index}: {} bytes, ", self.len)?;
                match kind {
                    Some(kind) if kind.name() == "unknown" => write!(f, "unknown kind {}, ", kind.0)?,
                    Some(kind) => write!(f, "{kind}, ")?,
                    None => f.write_str("kind not readable, ")?,
                }
                match self.error {
                    Some(error) => write!(f, "invalid: {error}"),
                    None => f.write_str("valid"),
                }
            }
            Content::NoFrame => write!(f, "no frame: {} bytes skipped", self.len),
            Content::NotInspected => write!(f, "not inspected: {} bytes", self.len),
        }
    }
}

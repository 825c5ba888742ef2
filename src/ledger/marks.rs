//! LEDGER_MARKS_V1: passkeys and spans (spec/ledger.md).
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::byteorder::big_endian::{U16, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::error::{Error, ErrorKind, Result};
use crate::wire::{Reader, layout};

layout! {
    pub(crate) struct MarksRaw {
        passkey_count: U16,
        span_count: U16,
    }
}

/// A range of tokens with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<'a> {
    /// Its name, of 1 to 65,535 bytes.
    pub name: &'a str,
    /// The position of its first token.
    pub start: u64,
    /// Tokens, at least 1.
    pub len: u64,
}

impl Span<'_> {
    /// The position after its last token.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}

/// The marks that a chunk carries, checked. Empty where it carries none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks<'a> {
    /// The positions, 8 bytes each.
    passkeys: &'a [u8],
    /// The spans, one after the other.
    spans: &'a [u8],
    /// Where the passkeys start, from the frame's start.
    offset: u64,
}

/// start, length and name_len of a span.
const SPAN_HEAD: usize = 18;

/// Bytes that a passkey takes.
pub(super) const PASSKEY_LEN: usize = 8;

/// Bytes that the span of a name takes.
pub(super) const fn span_len(name: &str) -> usize {
    SPAN_HEAD.saturating_add(name.len())
}

impl<'a> Marks<'a> {
    /// Reads the value of LEDGER_MARKS_V1 of a chunk that ends before position `end`; the value starts at `offset`.
    pub(super) fn parse(value: &'a [u8], offset: u64, end: u64) -> Result<Self> {
        let mut reader = Reader::new(value, offset);
        let counts = MarksRaw::read_from_bytes(reader.take_array::<4>("LEDGER_MARKS_V1")?);
        let counts = counts.unwrap_or(MarksRaw { passkey_count: U16::ZERO, span_count: U16::ZERO });

        let passkeys_at = reader.offset();
        let passkeys = reader.rest();
        let mut before = None;
        for _ in 0..counts.passkey_count.get() {
            let at = reader.offset();
            let position = read_u64(&mut reader, "passkey.position")?;
            if before.is_some_and(|before| position <= before) {
                return Err(Error::new(ErrorKind::Order { field: "passkey.position" }, at));
            }
            if position >= end {
                let found = position.saturating_add(1);
                return Err(Error::new(ErrorKind::PastEnd { field: "passkey.position", end, found }, at));
            }
            before = Some(position);
        }
        let passkeys = taken(passkeys, reader.rest());

        let spans = reader.rest();
        let mut before: Option<&str> = None;
        for _ in 0..counts.span_count.get() {
            let (span, name_at) = read_span(&mut reader, end)?;
            if before.is_some_and(|before| span.name.as_bytes() <= before.as_bytes()) {
                return Err(Error::new(ErrorKind::Order { field: "span.name" }, name_at));
            }
            before = Some(span.name);
        }
        if !reader.rest().is_empty() {
            let count = reader.rest().len() as u64;
            return Err(Error::new(ErrorKind::TrailingBytes { count }, reader.offset()));
        }
        Ok(Self { passkeys, spans, offset: passkeys_at })
    }

    /// The positions marked as passkeys, increasing.
    pub fn passkeys(&self) -> impl ExactSizeIterator<Item = u64> + Clone + use<'a> {
        self.passkeys.as_chunks().0.iter().map(|&bytes| u64::from_be_bytes(bytes))
    }

    /// The spans, by name.
    pub fn spans(&self) -> Spans<'a> {
        let len = self.passkeys.len() as u64;
        Spans { reader: Reader::new(self.spans, self.offset.saturating_add(len)) }
    }

    /// Whether nothing is marked.
    pub const fn is_empty(&self) -> bool {
        self.passkeys.is_empty() && self.spans.is_empty()
    }

    /// The passkeys with the place of each in the frame.
    #[cfg(feature = "std")]
    pub(super) fn passkeys_placed(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let offset = self.offset;
        self.passkeys()
            .zip(0u64..)
            .map(move |(position, i)| (position, offset.saturating_add(i.saturating_mul(8))))
    }
}

/// The bytes of `before` that are no longer in `rest`, its end.
fn taken<'a>(before: &'a [u8], rest: &[u8]) -> &'a [u8] {
    before.get(..before.len().saturating_sub(rest.len())).unwrap_or_default()
}

fn read_u64(reader: &mut Reader<'_>, field: &'static str) -> Result<u64> {
    reader.take_array(field).map(|&bytes| u64::from_be_bytes(bytes))
}

/// A span that ends at or before `end`, and where its name starts.
fn read_span<'a>(reader: &mut Reader<'a>, end: u64) -> Result<(Span<'a>, u64)> {
    let at = reader.offset();
    let start = read_u64(reader, "span.start")?;
    let len = read_u64(reader, "span.length")?;
    let name_len = u16::from_be_bytes(*reader.take_array("span.name_len")?);
    let name_at = reader.offset();
    let name = reader.take("span.name", u64::from(name_len))?;

    let span_end = start.checked_add(len).ok_or(Error::new(ErrorKind::Size { field: "span" }, at))?;
    if len == 0 {
        let kind = ErrorKind::Shape { field: "span.length", needed: 1, found: 0 };
        return Err(Error::new(kind, at.saturating_add(8)));
    }
    if span_end > end {
        return Err(Error::new(ErrorKind::PastEnd { field: "span", end, found: span_end }, at));
    }
    if name.is_empty() {
        let kind = ErrorKind::Shape { field: "span.name_len", needed: 1, found: 0 };
        return Err(Error::new(kind, at.saturating_add(16)));
    }
    let name = utf8(name, "span.name", name_at)?;
    Ok((Span { name, start, len }, name_at))
}

/// `bytes`, which start at `offset`, as text.
pub(super) fn utf8<'a>(bytes: &'a [u8], field: &'static str, offset: u64) -> Result<&'a str> {
    core::str::from_utf8(bytes).map_err(|error| {
        Error::new(ErrorKind::Utf8 { field }, offset.saturating_add(error.valid_up_to() as u64))
    })
}

/// The spans of a chunk, by name.
#[derive(Clone, Debug)]
pub struct Spans<'a> {
    reader: Reader<'a>,
}

impl<'a> Spans<'a> {
    /// The next span and its place in the frame.
    pub(super) fn next_placed(&mut self) -> Option<(Span<'a>, u64)> {
        let at = self.reader.offset();
        // Checked before: only the end can come.
        read_span(&mut self.reader, u64::MAX).ok().map(|(span, _)| (span, at))
    }
}

impl<'a> Iterator for Spans<'a> {
    type Item = Span<'a>;

    fn next(&mut self) -> Option<Span<'a>> {
        self.next_placed().map(|(span, _)| span)
    }
}

impl core::iter::FusedIterator for Spans<'_> {}

/// Bytes of a LEDGER_MARKS_V1 with these marks.
///
/// # Errors
/// [`ErrorKind::TooLarge`] beyond the 65,535 bytes of a TLV, or 65,535 passkeys or spans.
pub fn encoded_marks_len(passkeys: &[u64], spans: &[Span<'_>]) -> Result<usize> {
    const MAX: u64 = 65_535;
    let bytes = spans.iter().map(|span| span_len(span.name) as u64);
    let spans_len = bytes.fold(0, u64::saturating_add);
    let passkeys_len = (passkeys.len() as u64).saturating_mul(PASSKEY_LEN as u64);
    let len = passkeys_len.saturating_add(spans_len).saturating_add(size_of::<MarksRaw>() as u64);
    let refuse = |field, found| Err(Error::caller(ErrorKind::TooLarge { field, max: MAX, found }));
    if spans.len() as u64 > MAX {
        return refuse("the number of spans of a chunk", spans.len() as u64);
    }
    match usize::try_from(len) {
        Ok(fits) if len <= MAX => Ok(fits),
        _ => refuse("the bytes of the marks of a chunk", len),
    }
}

/// Writes LEDGER_MARKS_V1 to the start of `out` and returns its length. `end` is the position after the last token of
/// the chunk that will carry it.
///
/// # Errors
/// As [`encoded_marks_len`]; [`ErrorKind::BufferTooSmall`]; and whatever a reader would refuse, with the place in
/// the value: marks out of order or past `end`, empty spans and names.
pub fn encode_marks(passkeys: &[u64], spans: &[Span<'_>], end: u64, out: &mut [u8]) -> Result<usize> {
    let needed = encoded_marks_len(passkeys, spans)?;
    let too_small = ErrorKind::BufferTooSmall { needed: needed as u64, available: out.len() as u64 };
    let out = out.get_mut(..needed).ok_or(Error::caller(too_small))?;
    let count = |len: usize| U16::new(u16::try_from(len).unwrap_or(u16::MAX));
    let counts = MarksRaw { passkey_count: count(passkeys.len()), span_count: count(spans.len()) };

    let mut rest = &mut *out;
    let mut put = |bytes: &[u8]| {
        // Measured above: it fits.
        if let Some((head, tail)) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
            head.copy_from_slice(bytes);
            rest = tail;
        }
    };
    put(counts.as_bytes());
    passkeys.iter().for_each(|position| put(U64::new(*position).as_bytes()));
    for span in spans {
        put(U64::new(span.start).as_bytes());
        put(U64::new(span.len).as_bytes());
        put(count(span.name.len()).as_bytes());
        put(span.name.as_bytes());
    }
    Marks::parse(out, 0, end)?;
    Ok(needed)
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::vec::Vec;

    fn span(name: &str, start: u64, len: u64) -> Span<'_> {
        Span { name, start, len }
    }

    fn encode(passkeys: &[u64], spans: &[Span<'_>], end: u64) -> Result<Vec<u8>> {
        let mut out = alloc::vec![0; encoded_marks_len(passkeys, spans)?];
        encode_marks(passkeys, spans, end, &mut out)?;
        Ok(out)
    }

    /// Worked by hand from the table of spec/ledger.md.
    #[test]
    fn bytes_of_the_table() {
        let bytes = encode(&[3, 258], &[span("a", 1, 2), span("é", 0, 300)], 300).unwrap();
        let expected = [
            &[0, 2, 0, 2][..],
            &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, b'a'],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 44, 0, 2, 0xC3, 0xA9],
        ];
        assert_eq!(bytes, expected.concat());
        let marks = Marks::parse(&bytes, 100, 300).unwrap();
        assert!(marks.passkeys().eq([3, 258]));
        assert!(marks.spans().eq([span("a", 1, 2), span("é", 0, 300)]));
        let mut spans = marks.spans();
        assert_eq!(spans.next_placed().unwrap().1, 120);
        assert_eq!(spans.next_placed().unwrap().1, 139);
        assert!(spans.next_placed().is_none());
    }

    #[test]
    fn a_reader_says_what_is_wrong_and_where() {
        let good = encode(&[3, 258], &[span("a", 1, 2), span("b", 0, 300)], 300).unwrap();
        let refused = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let error = Marks::parse(&bytes, 1000, 300).unwrap_err();
            (error.kind().name(), error.offset() - 1000)
        };
        assert_eq!(refused(1, 1), ("Shape", 28)); // the second passkey reads as a span without a name
        assert_eq!(refused(3, 1), ("TrailingBytes", 39));
        assert_eq!(refused(3, 3), ("Truncated", 58));
        assert_eq!(refused(18, 0), ("Order", 12)); // position 2
        assert_eq!(refused(19, 44), ("PastEnd", 12)); // position 300
        assert_eq!(refused(20, 0xFF), ("PastEnd", 20));
        assert_eq!(refused(35, 0), ("Shape", 28)); // length 0
        assert_eq!(refused(34, 2), ("PastEnd", 20)); // 1 + 514
        assert_eq!(refused(37, 0), ("Shape", 36)); // name_len 0
        assert_eq!(refused(38, 0xFF), ("Utf8", 38));
        assert_eq!(refused(57, b'a'), ("Order", 57));
        let mut long = good.clone();
        long[20..36].fill(0xFF);
        assert_eq!(Marks::parse(&long, 0, u64::MAX).unwrap_err().kind().name(), "Size");
        for cut in 0..good.len() {
            Marks::parse(&good[..cut], 0, 300).unwrap_err();
        }
    }

    #[test]
    fn a_writer_refuses_what_a_reader_would() {
        assert!(encode(&[1, 1], &[], 9).is_err());
        assert!(encode(&[9], &[], 9).is_err());
        assert!(encode(&[], &[span("", 0, 1)], 9).is_err());
        assert!(encode(&[], &[span("a", 0, 0)], 9).is_err());
        assert!(encode(&[], &[span("b", 0, 1), span("a", 0, 1)], 9).is_err());
        assert!(encode(&[], &[span("a", 9, 1)], 9).is_err());
        let many: Vec<u64> = (0..8192).collect();
        assert_eq!(encode(&many[..8191], &[], 8192).unwrap().len(), 65_532);
        assert_eq!(encode(&many, &[], 8192).unwrap_err().kind().name(), "TooLarge");
        let name = "x".repeat(65_536);
        assert_eq!(encode(&[], &[span(&name, 0, 1)], 1).unwrap_err().kind().name(), "TooLarge");
    }
}

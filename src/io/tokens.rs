//! Files of tokens: NumPy arrays of integers, bare little-endian u16 or u32, and text.
#![deny(clippy::arithmetic_side_effects)]

use super::npy::{self, Data, Dtype, Element, Header, Order};
use super::{Cause, FileError};
use crate::error::{Error, ErrorKind, Snippet};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::string::ToString;
use std::vec::Vec;

/// Bytes read at a time, and about four times as many are held.
const BLOCK: usize = 64 << 10;

/// How a file holds tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenFormat {
    /// A .npy array of integers (u1 to u8, i1 to i8, either byte order) of one dimension, or of two in C order, whose rows
    /// are taken one after the other.
    Npy,
    /// Bare little-endian 16-bit numbers.
    U16,
    /// Bare little-endian 32-bit numbers.
    U32,
    /// Decimal numbers apart by white space (that of ASCII).
    Text,
}

impl TokenFormat {
    /// What a file's name says of it: `.npy`, `.u16` and `.u32`, in small letters. [`TokenReader::detect`] looks into the
    /// others.
    #[must_use]
    pub fn from_name(path: impl AsRef<Path>) -> Option<Self> {
        match path.as_ref().extension()?.to_str()? {
            "npy" => Some(Self::Npy),
            "u16" => Some(Self::U16),
            "u32" => Some(Self::U32),
            _ => None,
        }
    }
}

/// Tokens out of a file or a stream, block by block, in bounded memory whatever their number.
///
/// ```
/// use bitwire::io::tokens::{TokenFormat, TokenReader};
///
/// let mut tokens = TokenReader::new(&b"7 9\n4294967295"[..], TokenFormat::Text)?;
/// assert_eq!(tokens.next_block()?, Some(&[7, 9, u32::MAX][..]));
/// assert_eq!(tokens.next_block()?, None);
/// # Ok::<(), bitwire::io::Cause>(())
/// ```
#[derive(Debug)]
pub struct TokenReader<R> {
    from: From<R>,
    tokens: Vec<u32>,
    /// Tokens of the blocks before.
    position: u64,
    total: Option<u64>,
    finished: bool,
}

#[derive(Debug)]
enum From<R> {
    Npy { data: Data<R>, order: Order, values: Integers, left: u64 },
    Bare { reader: R, size: usize, bytes: Vec<u8>, offset: u64 },
    Text { reader: R, bytes: Vec<u8>, word: Word, offset: u64, line: u64 },
}

/// Elements in the type of the file.
#[derive(Debug)]
enum Integers {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// A word of text, as far as it has come. Of a long one only its start is kept, for the message.
#[derive(Debug, Default)]
struct Word {
    len: u64,
    start: Vec<u8>,
    /// Its value while it is one.
    value: Option<u32>,
}

impl TokenReader<io::Chain<Cursor<Vec<u8>>, File>> {
    /// Opens the file at `path`, whose name says how it holds tokens, or else its first bytes: an array, or text.
    ///
    /// # Errors
    /// As [`new`](TokenReader::new); [`ErrorKind::Truncated`] already here for bare numbers of which the last is cut short.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let open = || {
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            let format = TokenFormat::from_name(&path);
            let Some(format) = format else { return Self::detect(file) };
            let mut tokens = Self::new(Cursor::new(Vec::new()).chain(file), format)?;
            if let From::Bare { size, .. } = &tokens.from
                && metadata.is_file()
            {
                let (len, size) = (metadata.len(), *size as u64);
                let rest = len.checked_rem(size).unwrap_or(0);
                if rest != 0 {
                    return Err(cut_short(size, rest, len.saturating_sub(rest)).into());
                }
                tokens.total = len.checked_div(size);
            }
            Ok(tokens)
        };
        open().map_err(|cause: Cause| cause.at(&path))
    }
}

impl<R: Read> TokenReader<io::Chain<Cursor<Vec<u8>>, R>> {
    /// Tokens of a stream without a name: an array where the first six bytes are those of one, else text.
    ///
    /// # Errors
    /// As [`new`](TokenReader::new).
    pub fn detect(mut reader: R) -> Result<Self, Cause> {
        let mut head = Vec::new();
        reader.by_ref().take(npy::MAGIC.len() as u64).read_to_end(&mut head)?;
        let format = if head == npy::MAGIC { TokenFormat::Npy } else { TokenFormat::Text };
        Self::new(Cursor::new(head).chain(reader), format)
    }
}

impl<R: Read> TokenReader<R> {
    /// Tokens of a stream; of an array the header is read here. No buffering of `reader` is needed.
    ///
    /// # Errors
    /// As [`Header::parse`]; [`ErrorKind::NpyType`] if the elements are no integers, [`ErrorKind::NpyDims`] if the
    /// array has not one or two dimensions, [`ErrorKind::Npy`] for two in Fortran order.
    pub fn new(mut reader: R, format: TokenFormat) -> Result<Self, Cause> {
        let bare = |reader, size| From::Bare { reader, size, bytes: Vec::new(), offset: 0 };
        let mut total = None;
        let from = match format {
            TokenFormat::U16 => bare(reader, 2),
            TokenFormat::U32 => bare(reader, 4),
            TokenFormat::Text => {
                From::Text { reader, bytes: Vec::new(), word: Word::default(), offset: 0, line: 1 }
            }
            TokenFormat::Npy => {
                let header = Header::read(&mut reader)?;
                let (values, left) = integers(&header)?;
                total = Some(left);
                From::Npy { order: header.order(), data: Data::new(reader, &header), values, left }
            }
        };
        Ok(Self { from, tokens: Vec::new(), position: 0, total, finished: false })
    }

    /// How many tokens there will be, if that is known beforehand. It may be a mere claim of the file.
    pub const fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next tokens, at least one, or `None` after the last once the file has been seen to end there.
    ///
    /// After an error there are no more.
    ///
    /// # Errors
    /// [`ErrorKind::TokenText`] and [`ErrorKind::TokenValue`] for what is no token; [`ErrorKind::Truncated`] for an array
    /// shorter than it says, or a number cut short; [`ErrorKind::TrailingBytes`] for an array that is longer; or the
    /// reader's.
    pub fn next_block(&mut self) -> Result<Option<&[u32]>, Cause> {
        self.position = self.position.saturating_add(self.tokens.len() as u64);
        self.tokens.clear();
        if !self.finished
            && let Err(cause) = self.load()
        {
            self.finished = true;
            return Err(cause);
        }
        Ok((!self.tokens.is_empty()).then_some(&self.tokens))
    }

    /// Fills `tokens`, or finds the end.
    fn load(&mut self) -> Result<(), Cause> {
        let (position, tokens) = (self.position, &mut self.tokens);
        match &mut self.from {
            From::Npy { data, order, values, left } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(BLOCK / 8);
                *left = left.saturating_sub(count as u64);
                if count == 0 {
                    self.finished = true;
                    return data.finish();
                }
                match values {
                    Integers::U8(values) => take(data, values, count, *order, position, tokens),
                    Integers::U16(values) => take(data, values, count, *order, position, tokens),
                    Integers::U32(values) => take(data, values, count, *order, position, tokens),
                    Integers::U64(values) => take(data, values, count, *order, position, tokens),
                    Integers::I8(values) => take(data, values, count, *order, position, tokens),
                    Integers::I16(values) => take(data, values, count, *order, position, tokens),
                    Integers::I32(values) => take(data, values, count, *order, position, tokens),
                    Integers::I64(values) => take(data, values, count, *order, position, tokens),
                }
            }
            From::Bare { reader, size, bytes, offset } => {
                read_block(reader, bytes)?;
                self.finished = bytes.len() < BLOCK;
                if *size == 2 {
                    tokens.extend(bytes.as_chunks().0.iter().map(|two| u32::from(u16::from_le_bytes(*two))));
                } else {
                    tokens.extend(bytes.as_chunks().0.iter().map(|four| u32::from_le_bytes(*four)));
                }
                let rest = bytes.len().checked_rem(*size).unwrap_or(0);
                let end = offset.saturating_add(bytes.len() as u64);
                if rest != 0 {
                    tokens.clear();
                    let (size, rest) = (*size as u64, rest as u64);
                    return Err(cut_short(size, rest, end.saturating_sub(rest)).into());
                }
                *offset = end;
                Ok(())
            }
            From::Text { reader, bytes, word, offset, line } => {
                // A block of nothing but white space, or the start of a word, is not the end.
                while tokens.is_empty() && !self.finished {
                    read_block(reader, bytes)?;
                    self.finished = bytes.len() < BLOCK;
                    for &byte in &*bytes {
                        if byte.is_ascii_whitespace() {
                            word.end(tokens, position, *line, *offset)?;
                            *line = line.saturating_add(u64::from(byte == b'\n'));
                        } else {
                            word.push(byte);
                        }
                        *offset = offset.saturating_add(1);
                    }
                    // What is no number is not followed to an end that it may not have.
                    if self.finished || word.is_hopeless() {
                        word.end(tokens, position, *line, *offset)?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// The elements of an array that can hold tokens, and how many there are.
fn integers(header: &Header) -> Result<(Integers, u64), Error> {
    let values = match header.dtype() {
        Dtype::U8 => Integers::U8(Vec::new()),
        Dtype::U16 => Integers::U16(Vec::new()),
        Dtype::U32 => Integers::U32(Vec::new()),
        Dtype::U64 => Integers::U64(Vec::new()),
        Dtype::I8 => Integers::I8(Vec::new()),
        Dtype::I16 => Integers::I16(Vec::new()),
        Dtype::I32 => Integers::I32(Vec::new()),
        Dtype::I64 => Integers::I64(Vec::new()),
        _ => return Err(header.unfit_type("an integer, u1 to u8 or i1 to i8")),
    };
    match *header.shape() {
        [_] => {}
        [rows, columns] => {
            if header.fortran_order() && rows > 1 && columns > 1 {
                let reason = "tokens are taken row by row, and this array is stored column by column; save it with \
                              numpy.ascontiguousarray";
                return Err(Error::caller(ErrorKind::Npy { reason }));
            }
        }
        _ => return Err(header.unfit_dims("1, or 2 (rows of tokens, one after the other)")),
    }
    let size = header.dtype().size().unwrap_or(1);
    Ok((values, header.data_len().checked_div(size).unwrap_or(0)))
}

/// Reads `count` elements and turns them into tokens.
fn take<R: Read, T: Element + TryInto<u32> + ToString>(
    data: &mut Data<R>,
    values: &mut Vec<T>,
    count: usize,
    order: Order,
    position: u64,
    tokens: &mut Vec<u32>,
) -> Result<(), Cause> {
    data.fill(values, count, order)?;
    for (&value, position) in values.iter().take(count).zip(position..) {
        let Ok(token) = value.try_into() else {
            tokens.clear();
            let found = Snippet::new(value.to_string().as_bytes());
            return Err(Error::caller(ErrorKind::TokenValue { position, found }).into());
        };
        tokens.push(token);
    }
    Ok(())
}

/// Fills `bytes` with a block; fewer only at the end.
fn read_block(reader: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    reader.by_ref().take(BLOCK as u64).read_to_end(bytes).map(drop)
}

const fn cut_short(needed: u64, available: u64, offset: u64) -> Error {
    Error::new(ErrorKind::Truncated { field: "the last token", needed, available }, offset)
}

impl Word {
    /// Whether it is no token whatever follows, and as much of it is there as a message quotes.
    fn is_hopeless(&self) -> bool {
        self.value.is_none() && self.start.len() >= 15
    }

    fn push(&mut self, byte: u8) {
        let digit = byte.is_ascii_digit().then_some(u32::from(byte & 0x0F));
        let before = if self.len == 0 { Some(0) } else { self.value };
        self.value = before.zip(digit).and_then(|(value, digit): (u32, u32)| {
            value.checked_mul(10).and_then(|value| value.checked_add(digit))
        });
        self.len = self.len.saturating_add(1);
        // One more than a message quotes, so that it shows that there was more.
        if self.start.len() < 15 {
            self.start.push(byte);
        }
    }

    /// The word ends before `offset`, if there is one.
    fn end(&mut self, tokens: &mut Vec<u32>, position: u64, line: u64, offset: u64) -> Result<(), Error> {
        if self.len == 0 {
            return Ok(());
        }
        let Some(value) = self.value else {
            let position = position.saturating_add(tokens.len() as u64);
            tokens.clear();
            let kind = ErrorKind::TokenText { line, position, found: Snippet::new(&self.start) };
            return Err(Error::new(kind, offset.saturating_sub(self.len)));
        };
        tokens.push(value);
        self.len = 0;
        self.start.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::{format, vec};

    /// One byte at a time, as from a slow pipe.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
            to[0] = first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn all<R: Read>(mut reader: TokenReader<R>) -> Result<Vec<u32>, Cause> {
        let mut tokens = vec![];
        while let Some(block) = reader.next_block()? {
            assert!(!block.is_empty());
            tokens.extend_from_slice(block);
        }
        assert!(reader.next_block()?.is_none());
        Ok(tokens)
    }

    fn read(bytes: &[u8], format: TokenFormat) -> Result<Vec<u32>, Cause> {
        let whole = TokenReader::new(bytes, format).and_then(all);
        let slow = TokenReader::new(Slow(bytes), format).and_then(all);
        match (whole, slow) {
            (Ok(a), Ok(b)) => {
                assert_eq!(a, b);
                Ok(a)
            }
            (Err(a), Err(b)) => {
                assert_eq!(a.to_string(), b.to_string());
                Err(a)
            }
            other => panic!("{other:?}"),
        }
    }

    fn text(text: &str) -> Result<Vec<u32>, String> {
        read(text.as_bytes(), TokenFormat::Text).map_err(|cause| cause.to_string())
    }

    #[test]
    fn words_of_text() {
        assert_eq!(text(""), Ok(vec![]));
        assert_eq!(text(" \n\t\r\n\x0c"), Ok(vec![]));
        assert_eq!(text("0"), Ok(vec![0]));
        assert_eq!(text("7 9\r\n 4294967295\n\n0012"), Ok(vec![7, 9, u32::MAX, 12]));
        let bad = |line, position, word, at| {
            Err(format!(
                "line {line}: token {position} is '{word}'; a whole number from 0 to 4294967295 is needed (at byte {at})"
            ))
        };
        assert_eq!(text("x"), bad(1, 0, "x", 0));
        assert_eq!(text("1 2\n3 -4\n"), bad(2, 3, "-4", 6));
        assert_eq!(text("1\n\n4294967296"), bad(3, 1, "4294967296", 3));
        assert_eq!(text("99999999999999999999 1"), bad(1, 0, "99999999999999...", 0));
        assert_eq!(text("12345678901234"), bad(1, 0, "12345678901234", 0));
        for word in ["+1", "1_000", "1,", "0x1", "1.0", "1e3"] {
            assert_eq!(text(&format!(" {word} ")), bad(1, 0, word, 1));
        }
        assert_eq!(text("\u{e4}"), bad(1, 0, "\\xc3\\xa4", 0));
    }

    #[test]
    fn text_over_many_blocks() {
        // Words straddle the ends of blocks, and one block is nothing but space.
        let tokens: Vec<u32> = (0..40_000u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
        let mut long = words.join("\n");
        long.push_str(&" ".repeat(3 * BLOCK));
        long.push('5');
        let mut expected = tokens;
        expected.push(5);
        assert_eq!(text(&long), Ok(expected));
        long.push('x');
        let at = long.len() - 2;
        let message = "line 40000: token 40000 is '5x'; a whole number from 0 to 4294967295 is needed";
        assert_eq!(text(&long), Err(format!("{message} (at byte {at})")));
    }

    /// Else this would read for ever.
    #[test]
    fn a_word_without_an_end() {
        let mut reader = TokenReader::new(io::repeat(b'9'), TokenFormat::Text).unwrap();
        let cause = reader.next_block().unwrap_err();
        let word = "99999999999999...";
        let needed = "a whole number from 0 to 4294967295 is needed";
        assert_eq!(cause.to_string(), format!("line 1: token 0 is '{word}'; {needed} (at byte 0)"));
        assert!(reader.next_block().unwrap().is_none());
    }

    #[test]
    fn bare_numbers() {
        let bytes: Vec<u8> = (0..=255u8).cycle().take(3 * BLOCK + 8).collect();
        let u16s: Vec<u32> = bytes.chunks(2).map(|b| u32::from(b[0]) + 256 * u32::from(b[1])).collect();
        assert_eq!(read(&bytes, TokenFormat::U16).unwrap(), u16s);
        let u32s: Vec<u32> = u16s.chunks(2).map(|h| h[0] + 65536 * h[1]).collect();
        assert_eq!(read(&bytes, TokenFormat::U32).unwrap(), u32s);
        for (len, format, message) in [
            (1, TokenFormat::U16, "the last token needs 2 bytes, 1 are there (at byte 0)"),
            (2 * BLOCK + 3, TokenFormat::U16, "the last token needs 2 bytes, 1 are there (at byte 131074)"),
            (7, TokenFormat::U32, "the last token needs 4 bytes, 3 are there (at byte 4)"),
        ] {
            let cause = read(&bytes[..len], format).unwrap_err();
            assert_eq!(cause.to_string(), format!("truncated: {message}"));
        }
        assert_eq!(read(b"", TokenFormat::U32).unwrap(), [0; 0]);
    }

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(u16::try_from(text.len()).unwrap().to_le_bytes());
        file.extend(text.as_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn arrays_of_every_integer_type() {
        for (descr, data) in [
            ("|u1", &[1u8, 127][..]),
            ("|i1", &[1, 127]),
            ("<u2", &[1, 0, 127, 0]),
            (">u2", &[0, 1, 0, 127]),
            ("<i2", &[1, 0, 127, 0]),
            (">i2", &[0, 1, 0, 127]),
            ("<u4", &[1, 0, 0, 0, 127, 0, 0, 0]),
            (">i4", &[0, 0, 0, 1, 0, 0, 0, 127]),
            ("<u8", &[1, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0]),
            (">i8", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 127]),
        ] {
            for (fortran, shape) in
                [("False", "(2,)"), ("True", "(2,)"), ("False", "(1, 2)"), ("True", "(2, 1)")]
            {
                let file = npy(descr, fortran, shape, data);
                assert_eq!(read(&file, TokenFormat::Npy).unwrap(), [1, 127], "{descr}");
                let detected = TokenReader::detect(&file[..]).unwrap();
                assert_eq!(detected.total(), Some(2));
                assert_eq!(all(detected).unwrap(), [1, 127]);
            }
        }
        assert_eq!(read(&npy("<u4", "False", "(0,)", &[]), TokenFormat::Npy).unwrap(), [0; 0]);
        let rows = npy("|u1", "False", "(2, 3)", &[1, 2, 3, 4, 5, 6]);
        assert_eq!(read(&rows, TokenFormat::Npy).unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn arrays_that_are_no_tokens() {
        let refused = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
            read(&npy(descr, fortran, shape, data), TokenFormat::Npy).unwrap_err().to_string()
        };
        let value = |position, found| {
            format!("the value at position {position} is {found}; a token is from 0 to 4294967295")
        };
        assert_eq!(refused("|i1", "False", "(2,)", &[0, 0xFF]), value(1, "-1"));
        assert_eq!(refused("<i8", "False", "(1,)", &[0xFF; 8]), value(0, "-1"));
        assert_eq!(refused("<i8", "False", "(1,)", &[0, 0, 0, 0, 1, 0, 0, 0]), value(0, "4294967296"));
        assert_eq!(refused("<u8", "False", "(1,)", &[0xFF; 8]), value(0, "18446744073709..."));
        let mut late = vec![0; 2 * BLOCK];
        late[2 * BLOCK - 1] = 0x80;
        assert_eq!(refused("<i2", "False", "(65536,)", &late), value(65_535, "-32768"));
        assert!(
            refused("<f4", "False", "(1,)", &[0; 4])
                .starts_with("the array's type is '<f4', needed is an integer")
        );
        assert!(refused("|b1", "False", "(1,)", &[0]).starts_with("the array's type is '|b1'"));
        assert!(
            refused("|u1", "False", "()", &[0]).starts_with("the array has 0 dimensions, needed is 1, or 2")
        );
        assert!(refused("|u1", "False", "(1, 1, 1)", &[0]).starts_with("the array has 3 dimensions"));
        assert!(refused("|u1", "True", "(2, 2)", &[0; 4]).contains("column by column"));
        assert!(
            refused("<u2", "False", "(2,)", &[0; 3])
                .starts_with("truncated: the array's data needs 4 bytes, 3")
        );
        assert!(
            refused("<u2", "False", "(2,)", &[0; 5]).starts_with("1 bytes follow where the input should end")
        );
    }

    #[test]
    fn names_and_first_bytes_say_what_a_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            TokenReader::open(&path)
        };
        for (name, bytes, total, expected) in [
            ("a.u16", &b"12"[..], Some(1), vec![0x3231]),
            ("a.u32", b"1234", Some(1), vec![0x3433_3231]),
            ("a.txt", b"12", None, vec![12]),
            ("a", b"1\n2", None, vec![1, 2]),
            ("a.tokens", &npy("|u1", "False", "(1,)", &[9])[..], Some(1), vec![9]),
            ("empty", b"", None, vec![]),
        ] {
            let tokens = put(name, bytes).unwrap();
            assert_eq!(tokens.total(), total, "{name}");
            assert_eq!(all(tokens).unwrap(), expected, "{name}");
        }
        let message = |result: Result<_, FileError>| result.map(drop).unwrap_err().to_string();
        assert!(message(put("b.u32", b"12345")).ends_with("needs 4 bytes, 1 are there (at byte 4)"));
        assert!(message(put("b.npy", b"1 2 3")).contains("not a NumPy file"));
        assert!(
            message(TokenReader::open(folder.path().join("none"))).ends_with("No such file or directory")
        );
    }
}

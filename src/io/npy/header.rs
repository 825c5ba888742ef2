//! What stands before the data of a .npy file.
#![deny(clippy::arithmetic_side_effects)]

use crate::error::{Error, ErrorKind, Result, Snippet};
use crate::io::Cause;
use crate::wire;
use std::io::Read;
use std::vec::Vec;

/// The first bytes of every .npy file.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// The longest header text read, in bytes: all that version 1.0 can say. Versions 2.0 and 3.0 have a 32-bit length, which
/// would otherwise have 4 GiB read into memory before anything is known; NumPy itself refuses headers over 10,000 bytes.
pub const MAX_HEADER: u32 = u16::MAX as u32;

/// The most dimensions a [`Header`] holds. NumPy allows 64; a cache of keys and values has four or five (layers, blocks,
/// heads, tokens, dim), and a few more are room to split one of them.
pub const MAX_DIMS: usize = 8;

/// What [`ErrorKind::NpyDims`] asks for over [`MAX_DIMS`].
pub(super) const DIMS_NEEDED: &str = "at most 8";

/// The element types that have a size here; anything else keeps its spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// `f2`
    F16,
    /// `f4`
    F32,
    /// `f8`
    F64,
    /// `i1`
    I8,
    /// `i2`
    I16,
    /// `i4`
    I32,
    /// `i8`
    I64,
    /// `u1`
    U8,
    /// `u2`
    U16,
    /// `u4`
    U32,
    /// `u8`
    U64,
    /// `V2`: two bytes of any meaning. The extension types of ml_dtypes are written like this, bfloat16 among them.
    V2,
    /// Any other: complex, object, text, dates, ...
    Other,
}

impl Dtype {
    /// Bytes per element, if known.
    pub const fn size(self) -> Option<u64> {
        match self {
            Self::I8 | Self::U8 => Some(1),
            Self::F16 | Self::I16 | Self::U16 | Self::V2 => Some(2),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::Other => None,
        }
    }

    fn parse(code: &[u8]) -> Self {
        match code {
            b"f2" => Self::F16,
            b"f4" => Self::F32,
            b"f8" => Self::F64,
            b"i1" => Self::I8,
            b"i2" => Self::I16,
            b"i4" => Self::I32,
            b"i8" => Self::I64,
            b"u1" => Self::U8,
            b"u2" => Self::U16,
            b"u4" => Self::U32,
            b"u8" => Self::U64,
            b"V2" => Self::V2,
            _ => Self::Other,
        }
    }
}

/// The order of the bytes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`, and `|` of single bytes and of `V2`.
    Little,
    /// `>`.
    Big,
}

impl Order {
    /// What `=` means, here as in NumPy: the order of the machine that reads. NumPy never writes it.
    const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };
}

/// What stands before the data of a .npy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    dtype: Dtype,
    order: Order,
    descr: Snippet,
    fortran_order: bool,
    shape: [u64; MAX_DIMS],
    dims: u8,
    data_offset: u64,
    data_len: u64,
    descr_at: u64,
    shape_at: u64,
}

impl Header {
    /// Parses the start of a .npy file; `bytes` may go on after the header.
    ///
    /// Allocates nothing; time linear in the header, which is at most [`MAX_HEADER`] bytes of text.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if `bytes` ends within the header, [`ErrorKind::Npy`] if it is none,
    /// [`ErrorKind::TooLarge`] if its text is over [`MAX_HEADER`], [`ErrorKind::NpyDims`] over [`MAX_DIMS`] dimensions,
    /// [`ErrorKind::NpyType`] for a structured type, [`ErrorKind::Size`] if the size of the data overflows 64 bits.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (start, len) = preamble(bytes)?;
        let end = start.saturating_add(u64::from(len));
        let mut reader = wire::Reader::new(bytes, 0);
        reader.take("the .npy header", start)?;
        let text = reader.take("the .npy header's text", u64::from(len))?;
        let (mut header, size) = Text { bytes: text, at: 0, start }.dictionary()?;
        header.data_offset = end;
        // An element of unknown size counts as one byte: nobody reads such data, the shape has to be sane anyway.
        let [a, b, c, d, e, f, g, h] = header.shape;
        header.data_len = wire::size("the array", header.shape_at, &[size, a, b, c, d, e, f, g, h])?;
        // The dimensions that are not there counted as 1.
        header.shape.iter_mut().skip(usize::from(header.dims)).for_each(|dim| *dim = 0);
        Ok(header)
    }

    /// Reads a header from the start of a stream, and not one byte more.
    ///
    /// # Errors
    /// As [`Header::parse`], or the reader's own.
    pub fn read(reader: &mut impl Read) -> Result<Self, Cause> {
        // 12 bytes are there in every header: that of version 1.0 has 10, and the shortest text has 2.
        let mut bytes = Vec::with_capacity(128);
        reader.by_ref().take(12).read_to_end(&mut bytes)?;
        let (start, len) = preamble(&bytes)?;
        let rest = start.saturating_add(u64::from(len)).saturating_sub(bytes.len() as u64);
        // Grows as bytes arrive, to MAX_HEADER at most.
        reader.by_ref().take(rest).read_to_end(&mut bytes)?;
        Ok(Self::parse(&bytes)?)
    }

    /// The type of the elements.
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The type as the file spells it: `<f4`.
    pub const fn descr(&self) -> Snippet {
        self.descr
    }

    /// The order of the bytes of an element.
    pub const fn order(&self) -> Order {
        self.order
    }

    /// Whether the first index varies fastest.
    pub const fn fortran_order(&self) -> bool {
        self.fortran_order
    }

    /// The dimensions; none for a single value.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        self.shape.get(..usize::from(self.dims)).unwrap_or_default()
    }

    /// Where the data starts, in bytes from the start of the file.
    pub const fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Bytes of data that have to follow (elements, where [`Dtype::Other`] has no size).
    pub const fn data_len(&self) -> u64 {
        self.data_len
    }

    /// The error for an array whose type does not serve; `needed` names those that would.
    #[must_use]
    pub const fn unfit_type(&self, needed: &'static str) -> Error {
        Error::new(ErrorKind::NpyType { needed, found: self.descr }, self.descr_at)
    }

    /// The error for an array whose number of dimensions does not serve.
    #[must_use]
    pub const fn unfit_dims(&self, needed: &'static str) -> Error {
        Error::new(ErrorKind::NpyDims { needed, found: self.dims as u32 }, self.shape_at)
    }

    /// The same mistake, standing where the shape does.
    pub(super) const fn at_shape(&self, error: Error) -> Error {
        Error::new(error.kind(), self.shape_at)
    }

    /// The error for an array with another length along one dimension.
    #[cfg(feature = "npz")]
    pub(crate) const fn unfit_shape(&self, field: &'static str, needed: u64, found: u64) -> Error {
        Error::new(ErrorKind::Shape { field, needed, found }, self.shape_at)
    }
}

/// Where the header's text starts, and its length.
fn preamble(bytes: &[u8]) -> Result<(u64, u32)> {
    let is_start = MAGIC.iter().zip(bytes).all(|(a, b)| a == b);
    if !is_start {
        let reason = match bytes {
            [b'P', b'K', 3 | 5, 4 | 6, ..] => {
                "this is a zip archive (.npz?), a single .npy array is needed; save it with numpy.save"
            }
            _ => "not a NumPy file: the first six bytes are not 93 4E 55 4D 50 59",
        };
        return Err(Error::new(ErrorKind::Npy { reason }, 0));
    }
    let mut reader = wire::Reader::new(bytes, 0);
    reader.take_array::<6>("the .npy magic")?;
    let at = reader.offset();
    let len = match reader.take_array::<2>("the .npy version")? {
        [1, 0] => u32::from(u16::from_le_bytes(*reader.take_array("the .npy header length")?)),
        [2 | 3, 0] => u32::from_le_bytes(*reader.take_array("the .npy header length")?),
        _ => return Err(Error::new(ErrorKind::Npy { reason: "the version is not 1.0, 2.0 or 3.0" }, at)),
    };
    if len > MAX_HEADER {
        let field = "the length of the .npy header";
        let kind = ErrorKind::TooLarge { field, max: u64::from(MAX_HEADER), found: u64::from(len) };
        return Err(Error::new(kind, at.saturating_add(2)));
    }
    Ok((reader.offset(), len))
}

/// A cursor over the header's text, which starts at byte `start` of the file.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
    start: u64,
}

impl<'a> Text<'a> {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` and white space, and the size of an element.
    fn dictionary(&mut self) -> Result<(Header, u64)> {
        let mut descr = None;
        let mut fortran_order = None;
        let mut shape = None;
        self.expect(b'{', "the header's text does not start with {")?;
        loop {
            if self.skip_if(b'}') {
                break;
            }
            let at = self.offset();
            let key = self.string()?;
            self.expect(b':', "a key of the header has no value")?;
            let value_at = self.offset();
            let twice = match key {
                b"descr" => descr.replace((self.descr()?, value_at)).is_some(),
                b"fortran_order" => fortran_order.replace(self.boolean()?).is_some(),
                b"shape" => shape.replace((self.shape()?, value_at)).is_some(),
                _ => return Err(self.error(at, "a key of the header is not descr, fortran_order or shape")),
            };
            if twice {
                return Err(self.error(at, "the header names a key twice"));
            }
            if !self.skip_if(b',') {
                self.expect(b'}', "an entry of the header is not followed by , or }")?;
                break;
            }
        }
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(self.error(self.offset(), "the header goes on after its dictionary"));
        }
        let missing = |reason| self.error(self.start, reason);
        let ((dtype, order, descr), descr_at) =
            descr.ok_or_else(|| missing("the header lacks the key descr"))?;
        let fortran_order = fortran_order.ok_or_else(|| missing("the header lacks the key fortran_order"))?;
        let ((shape, dims), shape_at) = shape.ok_or_else(|| missing("the header lacks the key shape"))?;
        let header = Header {
            dtype,
            order,
            descr,
            fortran_order,
            shape,
            dims,
            data_offset: 0,
            data_len: 0,
            descr_at,
            shape_at,
        };
        Ok((header, dtype.size().unwrap_or(1)))
    }

    fn descr(&mut self) -> Result<(Dtype, Order, Snippet)> {
        let at = self.offset();
        if matches!(self.peek(), Some(b'[' | b'(')) {
            let found = Snippet::new(b"structured");
            return Err(Error::new(ErrorKind::NpyType { needed: "one plain number type", found }, at));
        }
        let text = self.string()?;
        let (dtype, order) = match text.split_first() {
            Some((b'<', code)) => (Dtype::parse(code), Order::Little),
            Some((b'>', code)) => (Dtype::parse(code), Order::Big),
            Some((b'=', code)) => (Dtype::parse(code), Order::NATIVE),
            // "not applicable": of the types that have a size, only single bytes have no order, and bytes of no meaning.
            Some((b'|', code @ (b"i1" | b"u1" | b"V2"))) => (Dtype::parse(code), Order::Little),
            _ => (Dtype::Other, Order::Little),
        };
        Ok((dtype, order, Snippet::new(text)))
    }

    /// `()`, `(3,)`, `(3, 4)`; the dimensions that are missing come back as 1.
    fn shape(&mut self) -> Result<([u64; MAX_DIMS], u8)> {
        let at = self.offset();
        let mut shape = [1; MAX_DIMS];
        let mut dims = 0u32;
        self.expect(b'(', "the shape is not a tuple")?;
        let mut comma = true;
        while !self.skip_if(b')') {
            if !comma {
                return Err(self.error(self.offset(), "the dimensions of the shape are not separated by ,"));
            }
            let dim = self.integer()?;
            if let Some(slot) = usize::try_from(dims).ok().and_then(|i| shape.get_mut(i)) {
                *slot = dim;
            }
            dims = dims.saturating_add(1);
            comma = self.skip_if(b',');
        }
        match u8::try_from(dims) {
            // Python reads (3) as a number.
            Ok(1) if !comma => Err(self.error(at, "the shape is not a tuple: (3) instead of (3,)")),
            Ok(found) if usize::from(found) <= MAX_DIMS => Ok((shape, found)),
            _ => Err(Error::new(ErrorKind::NpyDims { needed: DIMS_NEEDED, found: dims }, at)),
        }
    }

    /// A whole number that is not negative, with the `L` of Python 2 if it is there.
    fn integer(&mut self) -> Result<u64> {
        self.skip_space();
        let at = self.offset();
        let mut value = None;
        while let Some(&digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = match value {
                None => Some(u64::from(digit & 0x0F)),
                Some(0) => return Err(self.error(at, "a dimension of the shape starts with 0")),
                Some(so_far) => {
                    let next = 10u64.checked_mul(so_far);
                    let next = next.and_then(|n| n.checked_add(u64::from(digit & 0x0F)));
                    let overflow = Error::new(ErrorKind::Size { field: "a dimension of the shape" }, at);
                    Some(next.ok_or(overflow)?)
                }
            };
            self.at = self.at.saturating_add(1);
        }
        let value =
            value.ok_or_else(|| self.error(at, "a dimension of the shape is not a number from 0 up"))?;
        if self.bytes.get(self.at) == Some(&b'L') {
            self.at = self.at.saturating_add(1);
        }
        Ok(value)
    }

    fn boolean(&mut self) -> Result<bool> {
        self.skip_space();
        let at = self.offset();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                self.at = self.at.saturating_add(word.len());
                return Ok(value);
            }
        }
        Err(self.error(at, "fortran_order is neither True nor False"))
    }

    /// A string in single or double quotes. Nothing that NumPy writes here needs an escape, so there are none.
    fn string(&mut self) -> Result<&'a [u8]> {
        const REASON: &str = "a string of the header is not in quotes on one line, without escapes";
        self.skip_space();
        let at = self.offset();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (quote, rest) = match rest.split_first() {
            Some((&quote @ (b'\'' | b'"'), rest)) => (quote, rest),
            _ => return Err(self.error(at, REASON)),
        };
        let len = rest.iter().position(|&b| b == quote || b == b'\\' || b == b'\n');
        match len.and_then(|len| rest.split_at_checked(len)) {
            Some((text, [end, ..])) if *end == quote => {
                self.at = self.at.saturating_add(text.len()).saturating_add(2);
                Ok(text)
            }
            _ => Err(self.error(at, REASON)),
        }
    }

    fn skip_space(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let space = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at = self.at.saturating_add(space);
    }

    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.bytes.get(self.at).copied()
    }

    fn skip_if(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.at = self.at.saturating_add(1);
        }
        there
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<()> {
        if self.skip_if(byte) { Ok(()) } else { Err(self.error(self.offset(), reason)) }
    }

    /// Where the next token starts, in bytes from the start of the file.
    fn offset(&self) -> u64 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let space = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.start.saturating_add(self.at as u64).saturating_add(space as u64)
    }

    fn error(&self, at: u64, reason: &'static str) -> Error {
        Error::new(ErrorKind::Npy { reason }, at)
    }
}

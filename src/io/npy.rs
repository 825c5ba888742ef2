//! NumPy .npy files: the header of any array, matrices of floats row by row, and writers.
//!
//! Source: the format's description in NumPy's `numpy.lib.format` (versions 1.0, 2.0 and 3.0). The header is the text of a
//! Python dictionary; it is parsed by hand and strictly, as NumPy writes it: no expression is evaluated, and a type that
//! could carry a pickle (`|O`) is no more than an unfit type.
#![deny(clippy::arithmetic_side_effects)]

use super::{Cause, FileError};
use crate::error::{Error, ErrorKind, Result, Snippet};
use crate::wire;
use byteorder::{BigEndian, ByteOrder, LittleEndian};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The first bytes of every .npy file.
pub const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// The longest header text read, in bytes: all that version 1.0 can say. Versions 2.0 and 3.0 have a 32-bit length, which
/// would otherwise have 4 GiB read into memory before anything is known; NumPy itself refuses headers over 10,000 bytes.
pub const MAX_HEADER: u32 = u16::MAX as u32;

/// The most dimensions a [`Header`] holds. NumPy allows 64, nothing here uses more than two.
pub const MAX_DIMS: usize = 4;

/// Bytes handed out between two reads. Large enough that a system call costs little, small enough to stay in the cache.
const BLOCK: usize = 128 << 10;

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
    /// Any other: complex, object, text, dates, ...
    Other,
}

impl Dtype {
    /// Bytes per element, if known.
    pub const fn size(self) -> Option<u64> {
        match self {
            Self::I8 | Self::U8 => Some(1),
            Self::F16 | Self::I16 | Self::U16 => Some(2),
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
            _ => Self::Other,
        }
    }
}

/// The order of the bytes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`, and `|` of single bytes.
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
        let [a, b, c, d] = header.shape;
        header.data_len = wire::size("the array", header.shape_at, &[size, a, b, c, d])?;
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
            // "not applicable": of the types that have a size, only single bytes have no order.
            Some((b'|', code @ (b"i1" | b"u1"))) => (Dtype::parse(code), Order::Little),
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
            _ => Err(Error::new(ErrorKind::NpyDims { needed: "at most 4", found: dims }, at)),
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

/// A type whose elements can be read straight into memory and put into this machine's order there.
pub(super) trait Element: Copy + Default + FromBytes + IntoBytes + Immutable {
    fn to_native(order: Order, values: &mut [Self]);
}

macro_rules! element {
    ($ty:ty, $from_slice:ident, $as_words:expr) => {
        impl Element for $ty {
            fn to_native(order: Order, values: &mut [Self]) {
                match order {
                    Order::Little => LittleEndian::$from_slice($as_words(values)),
                    Order::Big => BigEndian::$from_slice($as_words(values)),
                }
            }
        }
    };
}
element!(f16, from_slice_u16, HalfFloatSliceExt::reinterpret_cast_mut);
element!(f32, from_slice_f32, core::convert::identity::<&mut [f32]>);
element!(f64, from_slice_f64, core::convert::identity::<&mut [f64]>);
element!(u16, from_slice_u16, core::convert::identity::<&mut [u16]>);
element!(u32, from_slice_u32, core::convert::identity::<&mut [u32]>);
element!(u64, from_slice_u64, core::convert::identity::<&mut [u64]>);
element!(i16, from_slice_i16, core::convert::identity::<&mut [i16]>);
element!(i32, from_slice_i32, core::convert::identity::<&mut [i32]>);
element!(i64, from_slice_i64, core::convert::identity::<&mut [i64]>);

macro_rules! single_byte {
    ($ty:ty) => {
        impl Element for $ty {
            fn to_native(_: Order, _: &mut [Self]) {}
        }
    };
}
single_byte!(u8);
single_byte!(i8);

/// The data of one array as it comes out of a reader.
#[derive(Debug)]
pub(super) struct Data<R> {
    reader: R,
    offset: u64,
    len: u64,
    read: u64,
}

impl<R: Read> Data<R> {
    pub(super) fn new(reader: R, header: &Header) -> Self {
        Self { reader, offset: header.data_offset, len: header.data_len, read: 0 }
    }

    /// Makes the first `count` elements of `values` the next ones of the array.
    ///
    /// Memory grows as bytes arrive, at most to twice what is there: a header that lies costs one block.
    pub(super) fn fill<T: Element>(
        &mut self,
        values: &mut Vec<T>,
        count: usize,
        order: Order,
    ) -> Result<(), Cause> {
        let block = const { BLOCK / size_of::<T>() };
        let mut done = 0usize;
        while done < count {
            if values.len() == done {
                let step = count.saturating_sub(done).min(done.max(block));
                values.try_reserve(step).map_err(|_| Cause::out_of_memory())?;
                values.resize(done.saturating_add(step), T::default());
            }
            let len = values.len().min(count);
            let space = values.get_mut(done..len).unwrap_or_default();
            self.read_exact(space.as_mut_bytes())?;
            T::to_native(order, space);
            done = len;
        }
        Ok(())
    }

    fn read_exact(&mut self, mut bytes: &mut [u8]) -> Result<(), Cause> {
        while !bytes.is_empty() {
            match self.reader.read(bytes) {
                Ok(0) => {
                    let field = "the array's data";
                    let kind = ErrorKind::Truncated { field, needed: self.len, available: self.read };
                    return Err(Error::new(kind, self.offset).into());
                }
                Ok(n) => {
                    self.read = self.read.saturating_add(n as u64);
                    bytes = bytes.get_mut(n..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Asks for the end of the file, which has to be here.
    pub(super) fn finish(&mut self) -> Result<(), Cause> {
        // Counted to the end of one block only: what follows may be endless.
        let mut rest = Vec::new();
        self.reader.by_ref().take(BLOCK as u64).read_to_end(&mut rest)?;
        match rest.len() as u64 {
            0 => Ok(()),
            count => {
                let at = self.offset.saturating_add(self.len);
                Err(Error::new(ErrorKind::TrailingBytes { count }, at).into())
            }
        }
    }
}

/// A row of a matrix. Bits are those of the file, NaN and infinities included; f16 is widened, which is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Row<'a> {
    /// Of a matrix of f16 or f32.
    F32(&'a [f32]),
    /// Of a matrix of f64.
    F64(&'a [f64]),
}

/// Elements in the type of the file: the rows at hand, and all of a matrix in Fortran order.
#[derive(Debug)]
struct Values<T> {
    block: Vec<T>,
    columns: Vec<T>,
}

impl<T: Element> Values<T> {
    const fn new() -> Self {
        Self { block: Vec::new(), columns: Vec::new() }
    }

    /// Makes `block` the `count` rows from `first` on.
    fn load<R: Read>(
        &mut self,
        data: &mut Data<R>,
        shape: &Shape,
        first: usize,
        count: usize,
    ) -> Result<(), Cause> {
        let len = shape.elements(count)?;
        if !shape.columns {
            return data.fill(&mut self.block, len, shape.order);
        }
        if self.columns.is_empty() {
            let all = usize::try_from(shape.rows).map_err(|_| Cause::out_of_memory())?;
            data.fill(&mut self.columns, shape.elements(all)?, shape.order)?;
        }
        if self.block.len() < len {
            self.block.try_reserve(len).map_err(|_| Cause::out_of_memory())?;
            self.block.resize(len, T::default());
        }
        let rows = usize::try_from(shape.rows).unwrap_or(usize::MAX);
        let block = self.block.get_mut(..len).unwrap_or_default();
        for (c, column) in self.columns.chunks_exact(rows).enumerate() {
            let from = column.get(first..).unwrap_or_default().iter().take(count);
            // One column of the block, written with stride `dim`.
            let to = block.get_mut(c..).unwrap_or_default().iter_mut().step_by(shape.dim);
            to.zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn row(&self, dim: usize, index: usize) -> &[T] {
        self.block.chunks_exact(dim).nth(index).unwrap_or_default()
    }
}

#[derive(Debug)]
enum Block {
    F16(Values<f16>, Vec<f32>),
    F32(Values<f32>),
    F64(Values<f64>),
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: u64,
    dim: usize,
    order: Order,
    /// Whether the data goes column by column, and this makes a difference.
    columns: bool,
}

impl Shape {
    /// `rows * dim`, known to be no more than the 64-bit size of the data.
    fn elements(&self, rows: usize) -> Result<usize, Cause> {
        rows.checked_mul(self.dim).ok_or_else(Cause::out_of_memory)
    }
}

/// A matrix (rows, dim) of f16, f32 or f64, either byte order, C or Fortran order, handed out row by row.
///
/// In C order memory is bounded by 256 KiB or two rows, whatever the number of rows. Fortran order needs the whole data
/// before the first row is complete. Either way memory grows only as bytes arrive.
///
/// ```
/// use bitwire::io::npy::{MatrixReader, Row, write_matrix_f32};
///
/// let mut file = Vec::new();
/// write_matrix_f32(&mut file, 2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let mut matrix = MatrixReader::new(&file[..])?;
/// assert_eq!((matrix.rows(), matrix.dim()), (2, 3));
/// assert_eq!(matrix.next_row()?, Some(Row::F32(&[1.0, 2.0, 3.0])));
/// assert_eq!(matrix.next_row()?, Some(Row::F32(&[4.0, 5.0, 6.0])));
/// assert_eq!(matrix.next_row()?, None);
/// # Ok::<(), bitwire::io::Cause>(())
/// ```
#[derive(Debug)]
pub struct MatrixReader<R> {
    data: Data<R>,
    header: Header,
    shape: Shape,
    block: Block,
    /// Rows not yet loaded.
    left: u64,
    /// Rows of the block, and the next of them to hand out.
    loaded: usize,
    next: usize,
    finished: bool,
}

impl MatrixReader<File> {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`MatrixReader::new`], or those of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let open = || Self::new(File::open(&path)?);
        open().map_err(|cause: Cause| cause.at(&path))
    }
}

impl<R: Read> MatrixReader<R> {
    /// Reads the header. No buffering of `reader` is needed.
    ///
    /// # Errors
    /// As [`Header::parse`]; [`ErrorKind::NpyType`] if the elements are not f16, f32 or f64, [`ErrorKind::NpyDims`] if
    /// the array has not two dimensions.
    pub fn new(mut reader: R) -> Result<Self, Cause> {
        let header = Header::read(&mut reader)?;
        let block = match header.dtype {
            Dtype::F16 => Block::F16(Values::new(), Vec::new()),
            Dtype::F32 => Block::F32(Values::new()),
            Dtype::F64 => Block::F64(Values::new()),
            _ => return Err(header.unfit_type("f2, f4 or f8").into()),
        };
        let &[rows, columns] = header.shape() else {
            return Err(header.unfit_dims("a matrix (rows, dim)").into());
        };
        let too_wide = Error::new(ErrorKind::Size { field: "a row" }, header.shape_at);
        let dim = usize::try_from(columns).map_err(|_| too_wide)?;
        let columns = header.fortran_order && rows > 1 && dim > 1;
        let shape = Shape { rows, dim, order: header.order, columns };
        let data = Data::new(reader, &header);
        // Without columns there is nothing to hand out, however many rows the header claims.
        let left = if dim == 0 { 0 } else { rows };
        Ok(Self { data, header, shape, block, left, loaded: 0, next: 0, finished: false })
    }

    /// The number of rows; may be 0.
    pub const fn rows(&self) -> u64 {
        self.shape.rows
    }

    /// The number of columns; may be 0, in which case no row is handed out.
    pub const fn dim(&self) -> usize {
        self.shape.dim
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next row, or `None` after the last once the file has been seen to end there.
    ///
    /// After an error there are no more rows.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the data is shorter than the shape says (at the data's start, in a step of up to
    /// 128 KiB before the place), [`ErrorKind::TrailingBytes`] if it is longer (counted up to 128 KiB), or the reader's.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>, Cause> {
        if !self.fetch()? {
            return Ok(None);
        }
        let (dim, index) = (self.shape.dim, self.next);
        self.next = self.next.saturating_add(1);
        Ok(Some(match &self.block {
            Block::F16(_, wide) => Row::F32(wide.chunks_exact(dim).nth(index).unwrap_or_default()),
            Block::F32(values) => Row::F32(values.row(dim, index)),
            Block::F64(values) => Row::F64(values.row(dim, index)),
        }))
    }

    /// Sees to it that the next row is at hand; `false` if there is none. After this a row of `dim` values has come, and
    /// is no longer a mere claim of the header.
    ///
    /// # Errors
    /// As [`next_row`](Self::next_row).
    pub(super) fn fetch(&mut self) -> Result<bool, Cause> {
        if self.next == self.loaded
            && !self.finished
            && let Err(cause) = self.load()
        {
            (self.finished, self.loaded, self.next) = (true, 0, 0);
            return Err(cause);
        }
        Ok(!self.finished)
    }

    /// The next block of rows, or the end.
    fn load(&mut self) -> Result<(), Cause> {
        if self.left == 0 {
            self.data.finish()?;
            self.finished = true;
            return Ok(());
        }
        let shape = &self.shape;
        let size = usize::try_from(self.header.dtype.size().unwrap_or(8)).unwrap_or(8);
        let row = shape.dim.saturating_mul(size).max(1);
        // A column-wise matrix is copied 16 rows at a time at least: a cache line of each column.
        let least = if shape.columns { 16 } else { 1 };
        let count = BLOCK.checked_div(row).unwrap_or(0).max(least);
        let count = usize::try_from(self.left).map_or(count, |left| left.min(count));
        let first = usize::try_from(shape.rows.saturating_sub(self.left)).unwrap_or(usize::MAX);
        let (data, loaded) = (&mut self.data, count);
        match &mut self.block {
            Block::F16(values, wide) => {
                values.load(data, shape, first, count)?;
                let len = shape.elements(count)?;
                if wide.len() < len {
                    wide.try_reserve(len).map_err(|_| Cause::out_of_memory())?;
                    wide.resize(len, 0.0);
                }
                let from = values.block.get(..len).unwrap_or_default();
                let to = wide.get_mut(..len).unwrap_or_default();
                from.convert_to_f32_slice(to);
            }
            Block::F32(values) => values.load(data, shape, first, count)?,
            Block::F64(values) => values.load(data, shape, first, count)?,
        }
        self.left = self.left.saturating_sub(count as u64);
        (self.loaded, self.next) = (loaded, 0);
        Ok(())
    }
}

/// The header NumPy itself would write for an array in C order: version 1.0, 21 places kept free for the first
/// dimension to grow into, and the data at a multiple of 64.
fn header_bytes(descr: &str, shape: &[u64]) -> Vec<u8> {
    use std::fmt::Write as _;
    use std::string::String;

    // Writing to a String cannot fail.
    let mut text = String::with_capacity(128);
    let _ = write!(text, "{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for (i, dim) in shape.iter().enumerate() {
        let _ = write!(text, "{}{dim}", if i == 0 { "" } else { ", " });
    }
    text.push_str(if shape.len() == 1 { ",), }" } else { "), }" });
    if let Some(first) = shape.first() {
        let digits = first.checked_ilog10().unwrap_or(0).saturating_add(1);
        text.extend(core::iter::repeat_n(' ', usize::try_from(21u32.saturating_sub(digits)).unwrap_or(0)));
    }
    // NumPy pads by 1 to 64, so that a text that fits exactly still gets 64 spaces.
    let before_padding = text.len().saturating_add(11);
    let padding = 64usize.saturating_sub(before_padding % 64);
    text.extend(core::iter::repeat_n(' ', padding));
    text.push('\n');
    let mut bytes = Vec::with_capacity(text.len().saturating_add(10));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    // At most four dimensions of 20 digits: far below 65,535.
    bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Checks that `shape` is the shape of `len` elements of `size` bytes.
fn check_shape(shape: &[u64], len: usize, size: usize) -> Result<()> {
    if shape.len() > MAX_DIMS {
        let found = u32::try_from(shape.len()).unwrap_or(u32::MAX);
        return Err(Error::caller(ErrorKind::NpyDims { needed: "at most 4", found }));
    }
    let elements = wire::size("the array", 0, shape)?;
    wire::size("the array", 0, &[elements, size as u64])?;
    if elements != len as u64 {
        let expected = "the number of values has to be the product of the array's dimensions";
        return Err(Error::caller(ErrorKind::Argument { expected }));
    }
    Ok(())
}

macro_rules! writers {
    ($ty:ty, $descr:literal, $array:ident, $matrix:ident, $write_into:ident) => {
        /// Writes an array in C order, little-endian, byte for byte as `numpy.save` does.
        ///
        /// An empty `shape` is a single value. Unbuffered: the header and the data are one `write_all` each (on a
        /// big-endian machine one for every 16 KiB).
        ///
        /// # Errors
        /// [`ErrorKind::Argument`] if `values` has not as many values as `shape` says, [`ErrorKind::NpyDims`] over four
        /// dimensions, or the writer's own.
        pub fn $array(mut writer: impl Write, shape: &[u64], values: &[$ty]) -> Result<(), Cause> {
            check_shape(shape, values.len(), size_of::<$ty>())?;
            writer.write_all(&header_bytes($descr, shape))?;
            if cfg!(target_endian = "little") {
                writer.write_all(values.as_bytes())?;
            } else {
                const STAGE: usize = 16 << 10;
                let mut bytes = [0; STAGE];
                for chunk in values.chunks(const { STAGE / size_of::<$ty>() }) {
                    let to = bytes.get_mut(..size_of_val(chunk)).unwrap_or_default();
                    LittleEndian::$write_into(chunk, to);
                    writer.write_all(to)?;
                }
            }
            Ok(())
        }

        /// Writes a matrix (rows, dim), row by row.
        ///
        /// # Errors
        /// As
        #[doc = concat!("[`", stringify!($array), "`].")]
        pub fn $matrix(writer: impl Write, rows: usize, dim: usize, values: &[$ty]) -> Result<(), Cause> {
            $array(writer, &[rows as u64, dim as u64], values)
        }
    };
}
writers!(f32, "<f4", write_array_f32, write_matrix_f32, write_f32_into);
writers!(f64, "<f8", write_array_f64, write_matrix_f64, write_f64_into);

/// All values of an array of floats as f64, once `judge` has approved of its header. Fortran order is left as it is.
#[cfg(feature = "npz")]
pub(crate) fn read_floats<R: Read>(
    mut reader: R,
    judge: impl FnOnce(&Header) -> Result<()>,
) -> Result<(Header, Vec<f64>), Cause> {
    fn all<T: Element, R: Read>(data: &mut Data<R>, header: &Header) -> Result<Vec<T>, Cause> {
        let mut values = Vec::new();
        let count = usize::try_from(data.len.checked_div(size_of::<T>() as u64).unwrap_or(0));
        data.fill(&mut values, count.map_err(|_| Cause::out_of_memory())?, header.order)?;
        data.finish()?;
        Ok(values)
    }
    fn widen<T: Element + Into<f64>>(narrow: &[T]) -> Result<Vec<f64>, Cause> {
        let mut wide = Vec::new();
        wide.try_reserve_exact(narrow.len()).map_err(|_| Cause::out_of_memory())?;
        wide.extend(narrow.iter().map(|&value| value.into()));
        Ok(wide)
    }
    let header = Header::read(&mut reader)?;
    judge(&header)?;
    let mut data = Data::new(reader, &header);
    let values = match header.dtype {
        Dtype::F16 => widen(&all::<f16, R>(&mut data, &header)?)?,
        Dtype::F32 => widen(&all::<f32, R>(&mut data, &header)?)?,
        Dtype::F64 => all::<f64, R>(&mut data, &header)?,
        _ => return Err(header.unfit_type("f2, f4 or f8").into()),
    };
    Ok((header, values))
}

/// The only value of an array of one float or integer, of any shape.
#[cfg(feature = "npz")]
pub(crate) fn read_scalar(reader: &mut dyn Read) -> Result<f64, Cause> {
    let mut reader = reader;
    let header = Header::read(&mut reader)?;
    let elements = header.shape().iter().try_fold(1u64, |n, &dim| n.checked_mul(dim)).unwrap_or(u64::MAX);
    if elements != 1 {
        return Err(header.unfit_shape("the number of values", 1, elements).into());
    }
    let Some(size) = header.dtype.size() else {
        return Err(header.unfit_type("a float or an integer").into());
    };
    let mut data = Data::new(reader, &header);
    let mut bytes = [0; 8];
    let bytes = bytes.get_mut(..usize::try_from(size).unwrap_or(8)).unwrap_or_default();
    data.read_exact(bytes)?;
    data.finish()?;
    if header.order == Order::Big {
        bytes.reverse();
    }
    let mut wide = [0; 8];
    wide.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
    let word = u64::from_le_bytes(wide);
    // The low bytes of the word are the element; the casts cut the rest off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss)]
    let integer = match header.dtype {
        Dtype::F16 => return Ok(f16::from_bits(word as u16).into()),
        Dtype::F32 => return Ok(f32::from_bits(word as u32).into()),
        Dtype::F64 => return Ok(f64::from_bits(word)),
        Dtype::I8 => i128::from(word as i8),
        Dtype::I16 => i128::from(word as i16),
        Dtype::I32 => i128::from(word as i32),
        Dtype::I64 => i128::from(word as i64),
        _ => i128::from(word),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let value = integer as f64;
    #[allow(clippy::cast_possible_truncation)]
    if value as i128 == integer {
        Ok(value)
    } else {
        let reason = "the integer is too large for f64 to hold it exactly";
        Err(Error::new(ErrorKind::Npy { reason }, header.data_offset).into())
    }
}

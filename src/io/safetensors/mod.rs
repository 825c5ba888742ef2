//! safetensors files: their tensors as blocks, and a writer.
//!
//! Source: the format of Hugging Face's `safetensors`, whose crate checks shapes, types and offsets here: the
//! tensors lie one after the other, without holes or overlaps, and cover the data to its end. Checked
//! besides: that the header starts with `{`, that no name in it comes twice (the crate lets the last one win,
//! other readers the first), and the sum of all sizes against the file.
#![deny(clippy::arithmetic_side_effects)]

mod write;

use super::{Cause, FileError};
use crate::error::{Error, ErrorKind, Result, Snippet};
#[cfg(feature = "mmap")]
use crate::io::Map;
use crate::mirror::{Blocks, Scalar, Shape};
use crate::wire;
use safetensors::tensor::{Dtype, Metadata, SafeTensorError, TensorInfo};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

pub use write::{NewTensor, write_tensors};

/// The longest header read, in bytes: that of the `safetensors` crate. Lengths beyond it are not those of a
/// header.
pub const MAX_HEADER: u64 = 100_000_000;

/// Bytes of the header's length, which stands first.
const LENGTH: u64 = 8;

/// A safetensors file. `B` holds its bytes: `&[u8]`, `Vec<u8>`, a map of the file.
///
/// Nothing of the data is copied, or looked at: what is checked is the header. Memory for it is in proportion
/// to its length, some thirteen times as much at worst.
///
/// ```
/// use bitwire::io::safetensors::TensorFile;
///
/// let header = br#"{"k":{"dtype":"BF16","shape":[2,1,3],"data_offsets":[0,12]}}    "#;
/// let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
/// bytes.extend(header);
/// bytes.extend([0; 12]);
/// let file = TensorFile::parse(&bytes[..])?;
/// let tensor = file.tensor("k")?;
/// assert_eq!(tensor.dims(), [2, 1, 3]);
/// let blocks = tensor.blocks(None)?;
/// assert_eq!((blocks.shape().rows(), blocks.shape().dim()), (2, 3));
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone)]
pub struct TensorFile<B> {
    layout: Layout,
    bytes: B,
}

/// What a header says, found to be sound.
#[derive(Clone, Debug)]
struct Layout {
    /// In the order of their data.
    tensors: Vec<Info>,
    /// Places in `tensors`, in the order of the names.
    by_name: Vec<usize>,
    metadata: BTreeMap<String, String>,
    /// Where the data starts, from the start of the file.
    start: u64,
    /// Bytes of the data.
    len: u64,
}

#[derive(Clone, Debug)]
struct Info {
    name: String,
    dtype: Dtype,
    dims: Vec<u64>,
    /// The bytes within the data.
    range: core::ops::Range<usize>,
}

/// One tensor of a [`TensorFile`]: little-endian, in C order.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    info: &'a Info,
    bytes: &'a [u8],
}

impl<B> core::fmt::Debug for TensorFile<B> {
    /// The header, not the data.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TensorFile").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> TensorFile<B> {
    /// The tensors of a whole file in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Truncated`] if the header, or the data it describes, is not all there;
    /// [`ErrorKind::TrailingBytes`] if there is more; [`ErrorKind::TooLarge`] over [`MAX_HEADER`];
    /// [`ErrorKind::Safetensors`] with the place of what is wrong in the text of the header, or where that
    /// starts; [`ErrorKind::Size`] if the size of a tensor overflows.
    pub fn parse(bytes: B) -> Result<Self> {
        let file = bytes.as_ref();
        let mut reader = wire::Reader::new(file, 0);
        let len = header_len(&mut reader)?;
        let layout = Layout::parse(reader.take("the safetensors header", len)?)?;
        layout.check_data(reader.rest().len() as u64)?;
        Ok(Self { layout, bytes })
    }

    /// How many tensors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layout.tensors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layout.tensors.is_empty()
    }

    /// The tensors in the order of their data (empty ones at the same place by name).
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        let data = self.data();
        self.layout.tensors.iter().map(move |info| Tensor::new(info, data))
    }

    /// The names of the tensors, in the same order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.layout.tensors.iter().map(|info| info.name.as_str())
    }

    /// The tensor `name`. Cost: logarithmic in their number.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTensor`] if there is none.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        let tensors = &self.layout.tensors;
        let name_of = |place: usize| tensors.get(place).map(|info| info.name.as_str());
        let by_name = &self.layout.by_name;
        let found = by_name.binary_search_by(|&place| name_of(place).cmp(&Some(name))).ok();
        let info = found.and_then(|found| tensors.get(*by_name.get(found)?));
        let info = info.ok_or(Error::caller(ErrorKind::UnknownTensor))?;
        Ok(Tensor::new(info, self.data()))
    }

    /// The free texts of the header, `__metadata__`; none if it has none.
    #[must_use]
    pub const fn metadata(&self) -> &BTreeMap<String, String> {
        &self.layout.metadata
    }

    fn data(&self) -> &[u8] {
        let start = usize::try_from(self.layout.start).unwrap_or(usize::MAX);
        self.bytes.as_ref().get(start..).unwrap_or_default()
    }
}

impl TensorFile<Vec<u8>> {
    /// Reads a file. The header is judged before the data is read, and memory grows as bytes arrive.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), trailing bytes being counted up to 128 KiB; or the reader's own.
    pub fn read(mut reader: impl Read) -> Result<Self, Cause> {
        const BLOCK: u64 = 128 << 10;
        let mut bytes = Vec::new();
        reader.by_ref().take(LENGTH).read_to_end(&mut bytes)?;
        let len = header_len(&mut wire::Reader::new(&bytes, 0))?;
        reader.by_ref().take(len).read_to_end(&mut bytes)?;
        let mut header = wire::Reader::new(&bytes, 0);
        header.take("the safetensors header's length", LENGTH)?;
        let layout = Layout::parse(header.take("the safetensors header", len)?)?;
        let end = bytes.len() as u64;
        // The data, and a little of what must not follow it.
        reader.take(layout.len.saturating_add(BLOCK)).read_to_end(&mut bytes)?;
        layout.check_data((bytes.len() as u64).saturating_sub(end))?;
        Ok(Self { layout, bytes })
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`read`](Self::read), or those of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let open = || Self::read(File::open(&path)?);
        open().map_err(|cause: Cause| cause.at(&path))
    }
}

#[cfg(feature = "mmap")]
impl TensorFile<Map> {
    /// Maps the file at `path` into memory, so that only the tensors asked for are read. What [`Map::new`]
    /// says of files that change meanwhile goes for it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or those of the operating system.
    pub fn map(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let map = || Ok(Self::parse(Map::new(&File::open(&path)?)?)?);
        map().map_err(|cause: Cause| cause.at(&path))
    }
}

impl<'a> Tensor<'a> {
    fn new(info: &'a Info, data: &'a [u8]) -> Self {
        // There unless the bytes have changed their length since they were parsed.
        Self { info, bytes: data.get(info.range.clone()).unwrap_or_default() }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.info.name
    }

    /// The type of the elements as the file spells it: `BF16`.
    #[must_use]
    pub fn dtype(&self) -> Snippet {
        Snippet::new(self.info.dtype.to_string().as_bytes())
    }

    /// The type of the elements, if it is `F32`, `F16` or `BF16`.
    #[must_use]
    pub const fn scalar(&self) -> Option<Scalar> {
        match self.info.dtype {
            Dtype::F32 => Some(Scalar::F32),
            Dtype::F16 => Some(Scalar::F16),
            Dtype::BF16 => Some(Scalar::Bf16),
            _ => None,
        }
    }

    /// The dimensions; none for a single value.
    #[must_use]
    pub fn dims(&self) -> &'a [u64] {
        &self.info.dims
    }

    /// The elements, in C order and little-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The tensor as blocks, where it stands: the first dimension counts them, the others together are the
    /// elements of one. `scalar` is the type it has to have; `None` stands for `F32`, `F16` or `BF16`, as the
    /// file says. `I16` takes the step that only the caller knows, by [`Scalar::Mu16`].
    ///
    /// # Errors
    /// [`ErrorKind::TensorType`] for another type; [`ErrorKind::BlockDims`] below two dimensions, and the
    /// other errors of [`Shape::from_dims`].
    pub fn blocks(&self, scalar: Option<Scalar>) -> Result<Blocks<'a>> {
        let scalar = match (scalar, self.info.dtype) {
            (None | Some(Scalar::F32), Dtype::F32) => Scalar::F32,
            (None | Some(Scalar::F16), Dtype::F16) => Scalar::F16,
            (None | Some(Scalar::Bf16), Dtype::BF16) => Scalar::Bf16,
            (Some(Scalar::Mu16(step)), Dtype::I16) => Scalar::Mu16(step),
            (scalar, _) => {
                let needed = match scalar {
                    None => "F32, F16 or BF16 (I16 with a step)",
                    Some(Scalar::F32) => "F32",
                    Some(Scalar::F16) => "F16",
                    Some(Scalar::Bf16) => "BF16",
                    Some(Scalar::Mu16(_)) => "I16",
                };
                return Err(Error::caller(ErrorKind::TensorType { needed, found: self.dtype() }));
            }
        };
        Blocks::new(Shape::from_dims(scalar, self.dims())?, self.bytes)
    }
}

/// The length of the header's text.
fn header_len(reader: &mut wire::Reader<'_>) -> Result<u64> {
    let field = "the length of the safetensors header";
    let len = u64::from_le_bytes(*reader.take_array(field)?);
    if len > MAX_HEADER {
        return Err(Error::new(ErrorKind::TooLarge { field, max: MAX_HEADER, found: len }, 0));
    }
    Ok(len)
}

impl Layout {
    /// Parses the header's text, which stands after its length.
    fn parse(text: &[u8]) -> Result<Self> {
        let failed =
            |reason, at: u64| Error::new(ErrorKind::Safetensors { reason }, LENGTH.saturating_add(at));
        // What the format asks for; JSON itself would allow white space before it.
        if text.first() != Some(&b'{') {
            return Err(failed("the header does not start with {", 0));
        }
        let problem = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let header = HeaderSeed(Problem(&problem)).deserialize(&mut deserializer);
        let header = header.and_then(|header| deserializer.end().map(|()| header)).map_err(|error| {
            let reason = match error.classify() {
                Category::Eof => "the header's JSON ends too early",
                Category::Syntax | Category::Io => "the header is no valid JSON",
                Category::Data => problem.get().unwrap_or("the header is not an object of objects"),
            };
            failed(reason, place(text, error.line(), error.column()))
        })?;
        // Strings that are skipped have not been looked at.
        core::str::from_utf8(text)
            .map_err(|error| failed("the header is not UTF-8", error.valid_up_to() as u64))?;
        // An empty tensor lies where another starts or ends, so that the end has to count too.
        let mut tensors: Vec<_> = header.tensors.into_iter().collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let metadata = Metadata::new(None, tensors).map_err(|error| match error {
            SafeTensorError::ValidationOverflow => Error::new(ErrorKind::Size { field: "a tensor" }, LENGTH),
            SafeTensorError::InvalidOffset(_) => {
                failed("the data of a tensor does not start where that before ends: a hole, or an overlap", 0)
            }
            SafeTensorError::TensorInvalidInfo => {
                failed("a tensor has another number of bytes than its type and shape take", 0)
            }
            SafeTensorError::MisalignedSlice => failed("a tensor does not end with a whole byte", 0),
            _ => failed("the header contradicts itself", 0),
        })?;
        let info = |name: String| {
            let info = metadata.info(&name)?;
            let dims = info.shape.iter().map(|&dim| dim as u64).collect();
            let (start, end) = info.data_offsets;
            Some(Info { name, dtype: info.dtype, dims, range: start..end })
        };
        let tensors: Vec<_> = metadata.offset_keys().into_iter().filter_map(info).collect();
        let mut by_name: Vec<_> = (0..tensors.len()).collect();
        by_name.sort_by_key(|&place| tensors.get(place).map(|info| info.name.as_str()));
        Ok(Self {
            len: metadata.data_len() as u64,
            tensors,
            by_name,
            metadata: header.metadata,
            start: LENGTH.saturating_add(text.len() as u64),
        })
    }

    /// Checks that there is as much data as the tensors take.
    fn check_data(&self, available: u64) -> Result<()> {
        let (needed, field) = (self.len, "the tensors' data");
        match available.checked_sub(needed) {
            None => Err(Error::new(ErrorKind::Truncated { field, needed, available }, self.start)),
            Some(0) => Ok(()),
            Some(count) => {
                Err(Error::new(ErrorKind::TrailingBytes { count }, self.start.saturating_add(needed)))
            }
        }
    }
}

/// The offset of a line and a column, which both count from 1.
fn place(text: &[u8], line: usize, column: usize) -> u64 {
    let before = text.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len);
    let offset = before.sum::<usize>().saturating_add(column.saturating_sub(1));
    offset.min(text.len()) as u64
}

/// The header as it stands there.
#[derive(Default)]
struct Header {
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

/// What is wrong, kept beside serde's own error, which is but a text.
#[derive(Clone, Copy)]
struct Problem<'p>(&'p Cell<Option<&'static str>>);

impl Problem<'_> {
    /// An error of ours, for serde to pass up.
    fn fail<E: serde::de::Error>(self, reason: &'static str) -> E {
        self.0.set(Some(reason));
        E::custom(reason)
    }

    /// Says `reason` of an error that so far is only serde's.
    fn explain<E>(self, reason: &'static str) -> impl FnOnce(E) -> E {
        move |error| {
            self.0.set(Some(self.0.get().unwrap_or(reason)));
            error
        }
    }
}

/// Reads a [`Header`] in which no name comes twice.
struct HeaderSeed<'p>(Problem<'p>);

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        const TENSOR: &str = "a tensor is not an object of one known dtype, shape and data_offsets";
        let (mut header, mut metadata) = (Header::default(), None);
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                let texts = map.next_value_seed(TextsSeed(self.0));
                let texts = texts.map_err(self.0.explain("__metadata__ is not an object of strings"))?;
                if metadata.replace(texts).is_some() {
                    return Err(self.0.fail("__metadata__ comes twice"));
                }
                continue;
            }
            let Entry::Vacant(place) = header.tensors.entry(name) else {
                return Err(self.0.fail("two tensors have the same name"));
            };
            place.insert(map.next_value_seed(TensorSeed).map_err(self.0.explain(TENSOR))?);
        }
        header.metadata = metadata.unwrap_or_default();
        Ok(header)
    }
}

/// Reads a tensor from an object alone: what serde derives takes an array of its members too, which other readers refuse.
struct TensorSeed;

impl<'de> DeserializeSeed<'de> for TensorSeed {
    type Value = TensorInfo;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TensorInfo, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed {
    type Value = TensorInfo;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TensorInfo, A::Error> {
        TensorInfo::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads an object of strings, or null, which stands for none.
struct TextsSeed<'p>(Problem<'p>);

impl<'de> DeserializeSeed<'de> for TextsSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TextsSeed<'_> {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some((key, text)) = map.next_entry::<String, String>()? {
            if texts.insert(key, text).is_some() {
                return Err(self.0.fail("a key of __metadata__ comes twice"));
            }
        }
        Ok(texts)
    }
}

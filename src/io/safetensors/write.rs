//! Writing safetensors files: byte for byte what the Python library writes.
#![deny(clippy::arithmetic_side_effects)]

use safetensors::tensor::Dtype;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::string::String;
use std::vec::Vec;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::write_string as write_json_string;
use crate::io::Cause;
use crate::mirror::Scalar;
use crate::wire::size;

/// A tensor to be written by [`write_tensors`].
#[derive(Clone, Debug)]
pub struct NewTensor<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The type of its elements; of MU16 the integers are written, without their step.
    pub scalar: Scalar,
    /// Its dimensions.
    pub dims: Cow<'a, [u64]>,
    /// Its elements, in C order and little-endian.
    pub bytes: &'a [u8],
}

/// Writes a safetensors file: byte for byte what the Python library's `save_file` writes.
///
/// That is a header without spaces, `__metadata__` first if there is any, the tensors by type (f32, bf16, f16, i16) and then
/// by name (`layer_10_key` comes before `layer_1_key`), and spaces up to a multiple of 8. The Python library has the members of
/// `__metadata__` in no order, another one every time; here they stand as they are given. Unbuffered: the header and
/// each tensor are one `write_all`. Memory for the header alone.
///
/// # Errors
/// [`ErrorKind::Argument`] if two tensors or two members have the same name, or a tensor the name `__metadata__`;
/// [`ErrorKind::Shape`] if a tensor has more or fewer bytes than its dimensions; [`ErrorKind::Size`] beyond 64 bits;
/// [`ErrorKind::TooLarge`] for a header that no reader takes ([`MAX_HEADER`](super::MAX_HEADER)); or the writer's own.
pub fn write_tensors(
    mut writer: impl Write,
    metadata: &[(&str, &str)],
    tensors: &[NewTensor<'_>],
) -> Result<(), Cause> {
    let mut sorted: Vec<&NewTensor<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| dtype(b.scalar).cmp(&dtype(a.scalar)).then_with(|| a.name.cmp(&b.name)));
    writer.write_all(&header(metadata, &sorted)?)?;
    for tensor in sorted {
        writer.write_all(tensor.bytes)?;
    }
    Ok(())
}

/// The length of the header, and the header.
fn header(metadata: &[(&str, &str)], sorted: &[&NewTensor<'_>]) -> Result<Vec<u8>> {
    let twice = |names: &mut Vec<&str>, expected| {
        names.sort_unstable();
        match names.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(Error::caller(ErrorKind::Argument { expected })),
            false => Ok(()),
        }
    };
    let mut names: Vec<&str> = sorted.iter().map(|tensor| &*tensor.name).chain(["__metadata__"]).collect();
    twice(&mut names, "tensors of different names, none of them __metadata__")?;
    twice(&mut metadata.iter().map(|(name, _)| *name).collect(), "members of different names")?;
    let mut text = String::from("{");
    if !metadata.is_empty() {
        text.push_str("\"__metadata__\":{");
        for (name, value) in metadata {
            write_json_string(name, &mut text);
            text.push(':');
            write_json_string(value, &mut text);
            text.push(',');
        }
        text.pop();
        text.push_str("},");
    }
    let mut at = 0u64;
    for NewTensor { name, scalar, dims, bytes } in sorted.iter().copied() {
        let by_caller = |error: Error| Error::caller(error.kind());
        let elements = size("a tensor", 0, dims).map_err(by_caller)?;
        let needed = size("a tensor", 0, &[elements, scalar.size() as u64]).map_err(by_caller)?;
        let found = bytes.len() as u64;
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "bytes of the tensor", needed, found }));
        }
        // They are in memory, but may be the same bytes many times over.
        let end = at.checked_add(found).ok_or(Error::caller(ErrorKind::Size { field: "the tensors" }))?;
        write_json_string(name, &mut text);
        // Writing to a String cannot fail.
        let _ = write!(text, ":{{\"dtype\":\"{}\",\"shape\":[", dtype(*scalar));
        for (i, dim) in dims.iter().enumerate() {
            let _ = write!(text, "{}{dim}", if i == 0 { "" } else { "," });
        }
        let _ = write!(text, "],\"data_offsets\":[{at},{end}]}},");
        at = end;
    }
    if text.ends_with(',') {
        text.pop();
    }
    text.push('}');
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let len = text.len() as u64;
    if len > super::MAX_HEADER {
        let kind =
            ErrorKind::TooLarge { field: "the safetensors header", max: super::MAX_HEADER, found: len };
        return Err(Error::caller(kind));
    }
    let mut bytes = len.to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    Ok(bytes)
}

const fn dtype(scalar: Scalar) -> Dtype {
    match scalar {
        Scalar::F32 => Dtype::F32,
        Scalar::F16 => Dtype::F16,
        Scalar::Bf16 => Dtype::BF16,
        Scalar::Mu16(_) => Dtype::I16,
    }
}

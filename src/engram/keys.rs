//! Keys of a text, wherever they are (spec/engram.md, "Keys").
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::Float;
use crate::arch::half;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Element;
use crate::mirror::Scalar;
use crate::wire::{check_index, check_len, size};

/// How many layers, KV heads and tokens a text's keys have, and how long a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyShape {
    /// Layers.
    pub layers: u32,
    /// KV heads of each layer.
    pub heads: u32,
    /// Tokens (cells).
    pub tokens: u32,
    /// Components of a key.
    pub head_dim: u32,
}

impl KeyShape {
    /// Components of the keys of one token in one layer: `heads * head_dim`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] beyond 2^32 - 1.
    pub fn width(&self) -> Result<u32> {
        let found = u64::from(self.heads).saturating_mul(u64::from(self.head_dim));
        let too_large = ErrorKind::TooLarge { field: "heads * head_dim", max: u64::from(u32::MAX), found };
        u32::try_from(found).map_err(|_| Error::caller(too_large))
    }

    /// Keys in all: `layers * heads * tokens`.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] beyond 64 bits.
    pub fn rows(&self) -> Result<u64> {
        let factors = [u64::from(self.layers), u64::from(self.heads), u64::from(self.tokens)];
        size("the keys", 0, &factors).map_err(|error| Error::caller(error.kind()))
    }
}

impl core::fmt::Display for KeyShape {
    /// `6 layers x 12 heads x 256 tokens x 32`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { layers, heads, tokens, head_dim } = self;
        write!(f, "{layers} layers x {heads} heads x {tokens} tokens x {head_dim}")
    }
}

/// Something that keys can be read from: an array in memory or in a file, the K part of a state blob.
///
/// Keys come as f32 whatever they are stored as; NaN and infinities come as they are.
pub trait KeySource {
    /// How many.
    fn shape(&self) -> KeyShape;

    /// Writes the key of one token in one head of one layer: `head_dim` values.
    ///
    /// # Errors
    /// [`ErrorKind::PastEnd`] if there is no such key; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `out` has
    /// another length.
    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()>;

    /// Writes the keys of one token in one layer, head by head: `heads * head_dim` values.
    ///
    /// # Errors
    /// As [`key_into`](Self::key_into).
    fn token_into(&self, layer: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let shape = self.shape();
        check_len("the output", u64::from(shape.width()?), out.len() as u64)?;
        let head_dim = usize::try_from(shape.head_dim).unwrap_or(usize::MAX).max(1);
        for (head, key) in (0..shape.heads).zip(out.chunks_exact_mut(head_dim)) {
            self.key_into(layer, head, token, key)?;
        }
        Ok(())
    }
}

impl<S: KeySource + ?Sized> KeySource for &S {
    fn shape(&self) -> KeyShape {
        (**self).shape()
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        (**self).key_into(layer, head, token, out)
    }

    fn token_into(&self, layer: u32, token: u32, out: &mut [f32]) -> Result<()> {
        (**self).token_into(layer, token, out)
    }
}

/// Keys over borrowed bytes: `[layers][heads][tokens][head_dim]`, little-endian, of any alignment.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    shape: KeyShape,
    float: Float,
    bytes: &'a [u8],
}

impl<'a> Keys<'a> {
    /// Keys of type `element`: [`Element::F32`], [`Element::F16`] or [`Element::Bf16`].
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for another element; [`ErrorKind::Size`] if the shape takes more than 64 bits can say;
    /// [`ErrorKind::Shape`] if `bytes` has another length than the shape.
    pub fn new(shape: KeyShape, element: Element, bytes: &'a [u8]) -> Result<Self> {
        // Only MU16 has a step.
        let float = Scalar::of(element, 0).and_then(Scalar::float);
        let unfit = Error::caller(ErrorKind::Argument { expected: "keys are f32, f16 or bf16" });
        let float = float.ok_or(unfit)?;
        let factors = [shape.rows()?, u64::from(shape.head_dim), float.size() as u64];
        let needed = size("the keys", 0, &factors).map_err(|error| Error::caller(error.kind()))?;
        let found = bytes.len() as u64;
        if found != needed {
            return Err(Error::caller(ErrorKind::Shape { field: "bytes of the keys", needed, found }));
        }
        Ok(Self { shape, float, bytes })
    }

    /// Keys that are f32.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_f32(shape: KeyShape, bytes: &'a [u8]) -> Result<Self> {
        Self::new(shape, Element::F32, bytes)
    }

    /// Keys that are IEEE 754 binary16.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_f16(shape: KeyShape, bytes: &'a [u8]) -> Result<Self> {
        Self::new(shape, Element::F16, bytes)
    }

    /// Keys that are bfloat16.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_bf16(shape: KeyShape, bytes: &'a [u8]) -> Result<Self> {
        Self::new(shape, Element::Bf16, bytes)
    }

    /// What a component is stored as.
    #[must_use]
    pub const fn element(&self) -> Element {
        match self.float {
            Float::F32 => Element::F32,
            Float::F16 => Element::F16,
            Float::Bf16 => Element::Bf16,
        }
    }

    /// All bytes, as handed in.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes from a key on. No product overflows: the bytes of the whole shape are there.
    fn bytes_from(&self, layer: u32, head: u32, token: u32) -> Result<&'a [u8]> {
        let KeyShape { layers, heads, tokens, head_dim } = self.shape;
        check_index("the layer", layer, layers)?;
        check_index("the head", head, heads)?;
        check_index("the token", token, tokens)?;
        let [heads, tokens, head_dim] = [heads, tokens, head_dim].map(u64::from);
        let row = u64::from(layer).wrapping_mul(heads).wrapping_add(head.into());
        let row = row.wrapping_mul(tokens).wrapping_add(token.into());
        let start = row.wrapping_mul(head_dim).wrapping_mul(self.float.size() as u64);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(start..).unwrap_or_default())
    }
}

impl KeySource for Keys<'_> {
    fn shape(&self) -> KeyShape {
        self.shape
    }

    /// A NaN of binary16 comes out quiet; every other value is kept bit by bit.
    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let bytes = self.bytes_from(layer, head, token)?;
        check_len("the output", self.shape.head_dim.into(), out.len() as u64)?;
        half::widen(self.float, bytes, out);
        Ok(())
    }

    fn token_into(&self, layer: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_index("the layer", layer, self.shape.layers)?;
        check_index("the token", token, self.shape.tokens)?;
        check_len("the output", self.shape.width()?.into(), out.len() as u64)?;
        if out.is_empty() {
            return Ok(());
        }
        // Neither is 0, since neither heads nor head_dim nor tokens is.
        let head_dim = usize::try_from(self.shape.head_dim).unwrap_or(usize::MAX);
        let tokens = usize::try_from(self.shape.tokens).unwrap_or(usize::MAX);
        let head_len = tokens.saturating_mul(head_dim).saturating_mul(self.float.size());
        let mut bytes = self.bytes_from(layer, 0, token)?;
        for key in out.chunks_exact_mut(head_dim) {
            half::widen(self.float, bytes, key);
            bytes = bytes.get(head_len..).unwrap_or_default();
        }
        Ok(())
    }
}

impl core::fmt::Debug for Keys<'_> {
    /// `Keys(6 layers x 12 heads x 256 tokens x 32 f16)`: without the components, which are many.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Keys({} {})", self.shape, self.element().name())
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::vec::Vec;

    const SHAPE: KeyShape = KeyShape { layers: 2, heads: 3, tokens: 5, head_dim: 19 };

    /// The component at each place says the place: layer, head, token, component.
    fn value(layer: u32, head: u32, token: u32, i: u32) -> f32 {
        (((layer * 3 + head) * 5 + token) * 19 + i) as f32 - 250.0
    }

    /// The bytes in order, by loops rather than by offsets.
    fn bytes(encode: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
        let mut all = Vec::new();
        for layer in 0..2 {
            for head in 0..3 {
                for token in 0..5 {
                    for i in 0..19 {
                        all.extend(encode(value(layer, head, token, i)));
                    }
                }
            }
        }
        all
    }

    fn check(keys: &Keys<'_>, exact: impl Fn(f32) -> f32) {
        for layer in 0..2 {
            for token in 0..5 {
                let mut all = [0.0; 57];
                keys.token_into(layer, token, &mut all).unwrap();
                for head in 0..3 {
                    let mut key = [0.0; 19];
                    keys.key_into(layer, head, token, &mut key).unwrap();
                    let expected: Vec<f32> = (0..19).map(|i| exact(value(layer, head, token, i))).collect();
                    assert_eq!(key, *expected, "{layer} {head} {token}");
                    assert_eq!(all[head as usize * 19..][..19], *expected, "{layer} {head} {token}");
                }
            }
        }
    }

    #[test]
    fn every_key_from_every_type() {
        let f32s = bytes(|x| x.to_le_bytes().to_vec());
        check(&Keys::from_f32(SHAPE, &f32s).unwrap(), |x| x);
        // Integers to 320 are exact in binary16; bfloat16 is cut to the upper half, as by hand.
        let f16s = bytes(|x| half::to_f16(x).to_le_bytes().to_vec());
        check(&Keys::from_f16(SHAPE, &f16s).unwrap(), |x| x);
        let bf16s = bytes(|x| x.to_le_bytes()[2..].to_vec());
        let upper = |x: f32| f32::from_bits(x.to_bits() & 0xFFFF_0000);
        check(&Keys::from_bf16(SHAPE, &bf16s).unwrap(), upper);
        // Any alignment.
        let mut shifted = std::vec![0];
        shifted.extend(&f16s);
        check(&Keys::new(SHAPE, Element::F16, &shifted[1..]).unwrap(), |x| x);
    }

    #[test]
    fn what_is_refused() {
        let bytes = [0; 2 * 3 * 5 * 19 * 2];
        let keys = Keys::from_f16(SHAPE, &bytes).unwrap();
        let mut out = [0.0; 57];
        let kind = |result: Result<()>| result.unwrap_err().kind();
        let past = |field, end| ErrorKind::PastEnd { field, end, found: end + 1 };
        assert_eq!(kind(keys.key_into(2, 0, 0, &mut out[..19])), past("the layer", 2));
        assert_eq!(kind(keys.key_into(1, 3, 0, &mut out[..19])), past("the head", 3));
        assert_eq!(kind(keys.key_into(1, 2, 5, &mut out[..19])), past("the token", 5));
        assert_eq!(kind(keys.token_into(2, 0, &mut out)), past("the layer", 2));
        assert_eq!(kind(keys.token_into(0, 5, &mut out)), past("the token", 5));
        let small = ErrorKind::BufferTooSmall { needed: 19, available: 18 };
        assert_eq!(kind(keys.key_into(0, 0, 0, &mut out[..18])), small);
        let long = ErrorKind::Shape { field: "the output", needed: 19, found: 57 };
        assert_eq!(kind(keys.key_into(0, 0, 0, &mut out)), long);
        let small = ErrorKind::BufferTooSmall { needed: 57, available: 56 };
        assert_eq!(kind(keys.token_into(0, 0, &mut out[..56])), small);

        let kind = |result: Result<Keys<'_>>| result.unwrap_err().kind();
        let shape = |found| ErrorKind::Shape { field: "bytes of the keys", needed: 1140, found };
        assert_eq!(kind(Keys::from_bf16(SHAPE, &bytes[1..])), shape(1139));
        assert_eq!(kind(Keys::from_bf16(SHAPE, &[0; 1141])), shape(1141));
        assert!(matches!(kind(Keys::new(SHAPE, Element::I8, &bytes)), ErrorKind::Argument { .. }));
        let huge = KeyShape { layers: u32::MAX, heads: u32::MAX, tokens: 1, head_dim: 1 };
        assert_eq!(kind(Keys::from_f16(huge, &bytes)), ErrorKind::Size { field: "the keys" });
        let huge = KeyShape { tokens: 2, ..huge };
        assert_eq!(kind(Keys::from_f16(huge, &bytes)), ErrorKind::Size { field: "the keys" });
    }

    #[test]
    fn empty_shapes() {
        for shape in [
            KeyShape { head_dim: 0, ..SHAPE },
            KeyShape { heads: 0, ..SHAPE },
            KeyShape { layers: u32::MAX, heads: 0, tokens: u32::MAX, head_dim: u32::MAX },
        ] {
            let keys = Keys::from_f32(shape, &[]).unwrap();
            keys.token_into(1, 4, &mut []).unwrap();
        }
        let keys = Keys::from_f32(KeyShape { tokens: 0, ..SHAPE }, &[]).unwrap();
        assert!(keys.token_into(0, 0, &mut [0.0; 57]).is_err());
    }

    #[test]
    fn debug_has_no_components() {
        let keys = Keys::from_bf16(SHAPE, &[0; 1140]).unwrap();
        assert_eq!(format!("{keys:?}"), "Keys(2 layers x 3 heads x 5 tokens x 19 bf16)");
    }
}

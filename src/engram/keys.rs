//! Keys of a text, wherever they are (spec/engram.md, "Keys").
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::Float;
use crate::arch::half;
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_len, size};

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

/// Keys over borrowed bytes: `[layers][heads][tokens][head_dim]`, little-endian.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    shape: KeyShape,
    float: Float,
    bytes: &'a [u8],
}

#[allow(dead_code)]
fn _todo(keys: Keys<'_>) -> (KeyShape, Float, &[u8]) {
    let _ = half::from_f16;
    (keys.shape, keys.float, keys.bytes)
}

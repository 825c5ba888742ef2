//! The keys of a stream as a source of fingerprints.
#![deny(clippy::arithmetic_side_effects)]

use super::tensor::{Tensor, Tensors};
use super::walk::Stream;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_index, check_len};

/// The keys of a stream, widened to f32 as they are asked for.
///
/// As they are stored: after RoPE, and where a quantised cache rotated them, after that too; see
/// [`Unrotated`](crate::engram::Unrotated).
#[derive(Clone, Debug)]
pub struct StreamKeys<'a> {
    tensors: Tensors<'a>,
    shape: KeyShape,
    /// The first, and how far apart they are if all are alike.
    first: Tensor<'a>,
    alike: bool,
}

impl<'a> StreamKeys<'a> {
    /// The keys of `stream`, whose heads have `head_dim` components: the blob does not say how many.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if there is no layer; [`ErrorKind::StreamsDiffer`] if layers have keys of different lengths;
    /// [`ErrorKind::HeadDim`] if `head_dim` does not divide them; [`ErrorKind::NoTensorData`].
    pub fn new(stream: &Stream<'a>, head_dim: u32) -> Result<Self> {
        Self::of(stream, stream.keys(), head_dim)
    }

    /// The values of `stream` in place of its keys, transposed ones too: `head_dim` is then that of values, and RoPE has not
    /// turned them.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ErrorKind::Argument`] for a model that keeps no values (MLA), too.
    pub fn values(stream: &Stream<'a>, head_dim: u32) -> Result<Self> {
        Self::of(stream, stream.values(), head_dim)
    }

    fn of(stream: &Stream<'a>, tensors: Tensors<'a>, head_dim: u32) -> Result<Self> {
        let none =
            Error::caller(ErrorKind::Argument { expected: "the stream has at least one cell and one layer" });
        let first = tensors.clone().next().ok_or(none)?;
        let mut alike = true;
        for tensor in tensors.clone() {
            if tensor.as_bytes().is_none() {
                return Err(Error::new(ErrorKind::NoTensorData, tensor.offset()));
            }
            if tensor.width() != first.width() {
                let kind = ErrorKind::StreamsDiffer { field: "the size of a row" };
                return Err(Error::new(kind, tensor.width_offset()));
            }
            alike &= tensor.ggml_type() == first.ggml_type();
        }
        let heads = first
            .width()
            .checked_div(head_dim)
            .filter(|heads| heads.checked_mul(head_dim) == Some(first.width()));
        let uneven = ErrorKind::HeadDim { width: first.width(), head_dim };
        let heads = heads.filter(|&heads| heads > 0).ok_or(Error::caller(uneven))?;
        let shape = KeyShape { layers: stream.layer_count(), heads, tokens: stream.cell_count(), head_dim };
        Ok(Self { tensors, shape, first, alike })
    }

    fn tensor(&self, layer: u32) -> Option<Tensor<'a>> {
        if self.alike {
            self.tensors.like_first(&self.first, layer)
        } else {
            self.tensors.clone().nth(usize::try_from(layer).ok()?)
        }
    }

    fn elements_into(&self, layer: u32, token: u32, first: u64, out: &mut [f32]) -> Result<()> {
        check_index("the layer", layer, self.shape.layers)?;
        // Read once before, so that it is there.
        let none = Error::new(ErrorKind::NoTensorData, self.first.offset());
        self.tensor(layer).ok_or(none)?.cell_into(token, u32::try_from(first).unwrap_or(u32::MAX), out)
    }
}

impl KeySource for StreamKeys<'_> {
    fn shape(&self) -> KeyShape {
        self.shape
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_len("the output", self.shape.head_dim.into(), out.len() as u64)?;
        let first = u64::from(head).saturating_mul(self.shape.head_dim.into());
        self.elements_into(layer, token, first, out)
    }

    fn token_into(&self, layer: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_len("the output", self.first.width().into(), out.len() as u64)?;
        self.elements_into(layer, token, 0, out)
    }
}

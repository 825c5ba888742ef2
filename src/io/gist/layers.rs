//! The KV of a file, layer by layer.
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;
use std::collections::BTreeSet;
use std::format;
use std::vec::Vec;

use super::sidecar::Sidecar;
use crate::engram::{KeyShape, KeySource, Keys};
use crate::error::{Error, ErrorKind, Result, Snippet};
use crate::gist::{GistPayload, Part, Store};
use crate::io::safetensors::{Tensor, TensorFile};
use crate::memory::reserve_exact;
use crate::mirror::Scalar;
use crate::wire::{check_index, check_len, size};

/// The KV in a file, where it stands: for every layer keys and values, each `[heads][tokens][head_dim]` of f32, f16 or bf16,
/// little-endian. A gist's, whose tokens are the gist tokens, or a full one, which a gist is taken out of.
#[derive(Clone)]
pub struct KvLayers<'a> {
    shape: KeyShape,
    scalar: Scalar,
    /// Keys, values.
    layers: Vec<[&'a [u8]; 2]>,
}

impl core::fmt::Debug for KvLayers<'_> {
    /// The shape, not the rows.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KvLayers")
            .field("shape", &self.shape)
            .field("scalar", &self.scalar)
            .finish_non_exhaustive()
    }
}

impl<'a> KvLayers<'a> {
    /// The KV of a safetensors file as the original writes it: tensors `layer_0_key`, `layer_0_value`, `layer_1_key` and so on,
    /// each `[batch, heads, tokens, head_dim]`, all of one shape and type, and no others. `batch` says which sequence of the
    /// batch to take, from 0; `None` stands for the only one. What `__metadata__` says is not looked at: the original reads
    /// the sidecar alone.
    ///
    /// Cost: the header; no element is read or copied.
    ///
    /// # Errors
    /// [`ErrorKind::ForeignTensor`] for another name; [`ErrorKind::LayerTensor`] for a tensor that is missing, has another type,
    /// not four dimensions, or one of 0; [`ErrorKind::LayerShape`] if it differs from `layer_0_key`;
    /// [`ErrorKind::BatchOpen`] for several sequences and no `batch`, [`ErrorKind::PastEnd`] if there is no such one;
    /// [`ErrorKind::TooLarge`] for a dimension beyond 2^32 - 1.
    pub fn from_tensors<B: AsRef<[u8]>>(file: &'a TensorFile<B>, batch: Option<u32>) -> Result<Self> {
        // Names are unique, so that as many as there should be, from layer 0 on, are all there are.
        let mut places = BTreeSet::new();
        for name in file.names() {
            let foreign = ErrorKind::ForeignTensor { name: Snippet::new(name.as_bytes()) };
            places.insert(place(name).ok_or(Error::caller(foreign))?);
        }
        let missing = |(layer, part)| wrong(layer, part, "is missing");
        let mut next = (0u32, Part::Keys);
        for &found in &places {
            if found != next {
                return Err(missing(next));
            }
            next = match next {
                (layer, Part::Keys) => (layer, Part::Values),
                (layer, Part::Values) => (layer.saturating_add(1), Part::Keys),
            };
        }
        let (count, part) = next;
        if part == Part::Values || count == 0 {
            return Err(missing(next));
        }
        let first = Dims::of(&file.tensor(&name(0, Part::Keys))?, 0, Part::Keys)?;
        let batches = first.dims[0];
        let batch = match batch {
            None if batches > 1 => {
                return Err(Error::caller(ErrorKind::BatchOpen { count: batches.into() }));
            }
            None => 0,
            Some(batch) => batch,
        };
        check_index("the sequence of the batch", batch, batches)?;
        let mut layers = Vec::new();
        reserve_exact(&mut layers, count as usize)?;
        for layer in 0..count {
            let half = |part: Part| -> Result<&'a [u8]> {
                let tensor = file.tensor(&name(layer, part))?;
                Dims::of(&tensor, layer, part)?.check_like(&first, layer, part)?;
                let bytes = tensor.as_bytes();
                // The reader held the bytes to the shape, so they divide.
                let len = bytes.len().checked_div(batches as usize).unwrap_or(0);
                let start = len.saturating_mul(batch as usize);
                Ok(bytes.get(start..start.saturating_add(len)).unwrap_or_default())
            };
            layers.push([half(Part::Keys)?, half(Part::Values)?]);
        }
        let [_, heads, tokens, head_dim] = first.dims;
        Ok(Self { shape: KeyShape { layers: count, heads, tokens, head_dim }, scalar: first.scalar, layers })
    }

    /// The KV whose keys and values are an array each, `[layers][heads][tokens][head_dim]`.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for [`Scalar::Mu16`], or if a member of `shape` is 0; [`ErrorKind::Size`] beyond 64 bits;
    /// [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if an array has another length; [`ErrorKind::OutOfMemory`].
    pub fn from_halves(shape: KeyShape, scalar: Scalar, keys: &'a [u8], values: &'a [u8]) -> Result<Self> {
        let layer = layer_len(&shape, scalar)?;
        let half = size("the keys", 0, &[layer, shape.layers.into()]).map_err(by_caller)?;
        check_len("bytes of the keys", half, keys.len() as u64)?;
        check_len("bytes of the values", half, values.len() as u64)?;
        // The bytes are in memory, and so is a layer.
        let layer = usize::try_from(layer).unwrap_or(usize::MAX);
        Self::from_pairs(shape, scalar, keys.chunks_exact(layer).zip(values.chunks_exact(layer)))
    }

    /// The KV that is one array, `[layers][keys, then values][heads][tokens][head_dim]`.
    ///
    /// # Errors
    /// As [`from_halves`](Self::from_halves).
    pub fn from_whole(shape: KeyShape, scalar: Scalar, bytes: &'a [u8]) -> Result<Self> {
        let layer = layer_len(&shape, scalar)?;
        let whole = size("the keys and values", 0, &[layer, 2, shape.layers.into()]).map_err(by_caller)?;
        check_len("bytes of the keys and values", whole, bytes.len() as u64)?;
        let layer = usize::try_from(layer).unwrap_or(usize::MAX);
        let pairs =
            bytes.chunks_exact(layer.saturating_mul(2)).map(|pair| pair.split_at(layer.min(pair.len())));
        Self::from_pairs(shape, scalar, pairs)
    }

    fn from_pairs(
        shape: KeyShape,
        scalar: Scalar,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self> {
        let mut layers = Vec::new();
        reserve_exact(&mut layers, shape.layers as usize)?;
        layers.extend(pairs.map(|(keys, values)| [keys, values]));
        Ok(Self { shape, scalar, layers })
    }

    /// Layers, KV heads, tokens, components of a row.
    #[must_use]
    pub const fn shape(&self) -> KeyShape {
        self.shape
    }

    /// What a component is stored as.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// As many layers, from the first on, as the sidecar says, which is how the original reads a file; all if it does
    /// not say. [`Sidecar::check`] refuses a sidecar that says another number.
    ///
    /// # Errors
    /// [`ErrorKind::SidecarDiffers`] if it says more than there are, or 0.
    pub fn trusting(mut self, sidecar: &Sidecar) -> Result<Self> {
        let Some(sidecar) = sidecar.num_layers() else { return Ok(self) };
        match u32::try_from(sidecar).ok().filter(|&layers| layers > 0 && layers <= self.shape.layers) {
            None => {
                let (field, tensors) = ("num_layers", self.shape.layers.into());
                Err(Error::caller(ErrorKind::SidecarDiffers { field, sidecar, tensors }))
            }
            Some(layers) => {
                self.layers.truncate(layers as usize);
                self.shape.layers = layers;
                Ok(self)
            }
        }
    }

    /// The keys, or the values, row by row as f32.
    #[must_use]
    pub const fn rows(&self, part: Part) -> KvRows<'_> {
        KvRows { layers: self, part }
    }

    /// The rows of `positions` as a gist's. Where the type stays they are copied bit by bit, NaN too, unlike by
    /// [`GistPayload::extract`], which asks for f32.
    ///
    /// Memory for the gist, twice.
    ///
    /// # Errors
    /// As [`GistPayload::extract`].
    pub fn payload(&self, positions: Range<u32>, store: Store) -> Result<GistPayload> {
        let KeyShape { heads, tokens, head_dim, .. } = self.shape;
        let shape = GistPayload::shape_of(&positions, self.shape)?;
        // All of it is part of what is in memory.
        let row = (head_dim as usize).saturating_mul(self.scalar.size());
        let (start, len) =
            (row.saturating_mul(positions.start as usize), row.saturating_mul(shape.tokens as usize));
        let head_len = row.saturating_mul(tokens as usize).max(1);
        let whole =
            [shape.layers, 2, heads].iter().fold(len, |len, &count| len.saturating_mul(count as usize));
        let mut rows = Vec::new();
        reserve_exact(&mut rows, whole)?;
        for head in self.layers.iter().flatten().flat_map(|half| half.chunks_exact(head_len)) {
            rows.extend_from_slice(head.get(start..start.saturating_add(len)).unwrap_or_default());
        }
        GistPayload::convert(shape, self.scalar, &rows, store)
    }
}

/// The keys, or the values, of a [`KvLayers`], as f32.
#[derive(Clone, Copy, Debug)]
pub struct KvRows<'a> {
    layers: &'a KvLayers<'a>,
    part: Part,
}

impl KeySource for KvRows<'_> {
    fn shape(&self) -> KeyShape {
        self.layers.shape
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_index("the layer", layer, self.layers.shape.layers)?;
        let [keys, values] = self.layers.layers.get(layer as usize).copied().unwrap_or_default();
        let half = if self.part == Part::Keys { keys } else { values };
        let shape = KeyShape { layers: 1, ..self.layers.shape };
        Keys::new(shape, self.layers.scalar.element(), half)?.key_into(0, head, token, out)
    }
}

/// Type and dimensions of a tensor.
struct Dims {
    scalar: Scalar,
    /// Batch, heads, tokens, head_dim.
    dims: [u32; 4],
}

impl Dims {
    fn of(tensor: &Tensor<'_>, layer: u32, part: Part) -> Result<Self> {
        let scalar = tensor.scalar().ok_or(wrong(layer, part, "is not F32, F16 or BF16"))?;
        let &[batch, heads, tokens, head_dim] = tensor.dims() else {
            return Err(wrong(layer, part, "has not the four dimensions batch, heads, tokens, head_dim"));
        };
        let mut dims = [0; 4];
        for (to, found) in dims.iter_mut().zip([batch, heads, tokens, head_dim]) {
            if found == 0 {
                return Err(wrong(layer, part, "has a dimension of 0"));
            }
            let too_large =
                ErrorKind::TooLarge { field: "a dimension of the tensor", max: u32::MAX.into(), found };
            *to = u32::try_from(found).map_err(|_| Error::caller(too_large))?;
        }
        Ok(Self { scalar, dims })
    }

    fn check_like(&self, first: &Self, layer: u32, part: Part) -> Result<()> {
        if self.scalar != first.scalar {
            return Err(wrong(layer, part, "has another type than layer_0_key"));
        }
        let fields = ["batch", "heads", "tokens", "head_dim"];
        for ((field, needed), found) in fields.into_iter().zip(first.dims).zip(self.dims) {
            if needed != found {
                let (needed, found) = (u64::from(needed), u64::from(found));
                let part = word(part);
                return Err(Error::caller(ErrorKind::LayerShape { layer, part, field, needed, found }));
            }
        }
        Ok(())
    }
}

/// The layer that a tensor's name names, and which part of it; as Python writes numbers, and no other way.
fn place(name: &str) -> Option<(u32, Part)> {
    let (layer, part) = name.strip_prefix("layer_")?.split_once('_')?;
    let plain = layer.bytes().all(|byte| byte.is_ascii_digit()) && (layer == "0" || !layer.starts_with('0'));
    let layer = layer.parse().ok().filter(|_| plain)?;
    match part {
        "key" => Some((layer, Part::Keys)),
        "value" => Some((layer, Part::Values)),
        _ => None,
    }
}

pub(super) fn name(layer: u32, part: Part) -> std::string::String {
    format!("layer_{layer}_{}", word(part))
}

/// The original's word for it.
const fn word(part: Part) -> &'static str {
    match part {
        Part::Keys => "key",
        Part::Values => "value",
    }
}

const fn wrong(layer: u32, part: Part, reason: &'static str) -> Error {
    Error::caller(ErrorKind::LayerTensor { layer, part: word(part), reason })
}

fn by_caller(error: Error) -> Error {
    Error::caller(error.kind())
}

/// Bytes of the keys of one layer.
fn layer_len(shape: &KeyShape, scalar: Scalar) -> Result<u64> {
    let KeyShape { layers, heads, tokens, head_dim } = *shape;
    if scalar.float().is_none() || [layers, heads, tokens, head_dim].contains(&0) {
        let expected =
            "keys and values of f32, f16 or bf16, with at least one layer, head, token and component";
        return Err(Error::caller(ErrorKind::Argument { expected }));
    }
    let factors = [heads.into(), tokens.into(), head_dim.into(), scalar.size() as u64];
    size("the keys of a layer", 0, &factors).map_err(by_caller)
}

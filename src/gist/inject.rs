//! Putting a gist into a model's cache.
#![deny(clippy::arithmetic_side_effects)]

use super::components::convert;
use super::view::{GistView, Part};
use crate::arch::blocks::Float;
use crate::engram::KeyShape;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Element, check_same_but_dim};
use crate::mirror::Scalar;
use crate::wire::{check_len, size};

impl<'a> GistView<'a> {
    /// The gist for a model, after checking that it was made by that model: `model` is the canonical context of the model's
    /// cache, or of anything else that the model made, `None` if that carries none. Every member but `dim` has to agree.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`] for another model; [`ErrorKind::NoContext`] if the gist or the model has no context;
    /// [`ErrorKind::Context`] if either has no `dim` where a canonical context has it. Nothing else of them is checked: of texts
    /// that are not canonical none is taken for equal that differs in more than `dim`.
    pub fn for_model<'m>(&self, model: impl Into<Option<&'m [u8]>>) -> Result<Injection<'a>> {
        let context = |of: Option<_>, field| of.ok_or(Error::caller(ErrorKind::NoContext { field }));
        let own = context(self.frame().context_json(), "the gist")?;
        check_same_but_dim(own, context(model.into(), "the model")?)?;
        Ok(Injection { gist: *self })
    }

    /// The gist for a model that the caller knows to be the one that made it, where no context says so.
    #[must_use]
    pub const fn for_model_unchecked(&self) -> Injection<'a> {
        Injection { gist: *self }
    }
}

/// A gist that may be put into a model's cache.
#[derive(Clone, Copy, Debug)]
pub struct Injection<'a> {
    gist: GistView<'a>,
}

/// A cache in memory: keys and values, each `[layers][heads][tokens][head_dim]`, little-endian floats.
#[derive(Debug)]
pub struct CacheMut<'c> {
    shape: KeyShape,
    float: Float,
    keys: &'c mut [u8],
    values: &'c mut [u8],
}

impl<'c> CacheMut<'c> {
    /// A cache of type `element`: [`Element::F32`], [`Element::F16`] or [`Element::Bf16`].
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for another element; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if either half has
    /// another length than the shape; [`ErrorKind::Size`] beyond 64 bits.
    pub fn new(shape: KeyShape, element: Element, keys: &'c mut [u8], values: &'c mut [u8]) -> Result<Self> {
        // Only MU16 has a step.
        let float = Scalar::of(element, 0).and_then(Scalar::float);
        let unfit = Error::caller(ErrorKind::Argument { expected: "a cache is f32, f16 or bf16" });
        let float = float.ok_or(unfit)?;
        let KeyShape { layers, heads, tokens, head_dim } = shape;
        let factors = [layers.into(), heads.into(), tokens.into(), head_dim.into(), float.size() as u64];
        let needed = size("the cache", 0, &factors).map_err(|error| Error::caller(error.kind()))?;
        check_len("bytes of the keys", needed, keys.len() as u64)?;
        check_len("bytes of the values", needed, values.len() as u64)?;
        Ok(Self { shape, float, keys, values })
    }
}

impl<'a> Injection<'a> {
    /// The gist.
    #[must_use]
    pub const fn gist(&self) -> &GistView<'a> {
        &self.gist
    }

    /// Writes the gist's rows to the positions from `at` on; all others stay as they are.
    ///
    /// Where the types are the same the bytes are copied; otherwise a component is rounded half to even, and what is beyond the
    /// cache's type becomes infinite. Keys keep the rotation of the positions they had: a model goes on counting from
    /// there (spec/gist.md).
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if layers, heads or components of a row differ; [`ErrorKind::PastEnd`] if the cache ends before the
    /// gist. Nothing was written then.
    pub fn write_into(&self, cache: &mut CacheMut<'_>, at: u32) -> Result<()> {
        let (own, into) = (self.gist.shape(), cache.shape);
        for (field, needed, found) in [
            ("layers", into.layers, own.layers),
            ("KV heads", into.heads, own.heads),
            ("components of a row", into.head_dim, own.head_dim),
        ] {
            if needed != found {
                let (needed, found) = (u64::from(needed), u64::from(found));
                return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
            }
        }
        let end = u64::from(at).saturating_add(own.tokens.into());
        if end > u64::from(into.tokens) {
            let kind = ErrorKind::PastEnd { field: "the gist", end: into.tokens.into(), found: end };
            return Err(Error::caller(kind));
        }
        // In bytes; both are in memory.
        let row = (into.head_dim as usize).saturating_mul(cache.float.size());
        let (head_len, start) = (row.saturating_mul(into.tokens as usize), row.saturating_mul(at as usize));
        for (part, half) in [(Part::Keys, &mut *cache.keys), (Part::Values, &mut *cache.values)] {
            // A shape without components was refused above: a gist has some.
            let heads = (0..own.layers).flat_map(|layer| (0..own.heads).map(move |head| (layer, head)));
            for ((layer, head), to) in heads.zip(half.chunks_exact_mut(head_len.max(1))) {
                let from = self.gist.head(part, layer, head).map(|rows| rows.as_bytes()).unwrap_or_default();
                convert(self.gist.scalar(), from, cache.float, to.get_mut(start..).unwrap_or_default());
            }
        }
        Ok(())
    }
}

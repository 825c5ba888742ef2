//! The view of a gist (spec/gist.md, "Checks of the gist's view").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{U32, U64};

use super::budget::{Budget, Kept, KvType};
use super::components::widen;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, Kind, TlvType};
use crate::ledger::{Digest, Index};
use crate::mirror::{Blocks, Scalar, Shape};
use crate::wire::{check_index, check_len, layout, size};

layout! {
    pub(crate) struct GistRaw {
        n_layers: U32,
        n_kv_heads: U32,
        n_gist: U32,
        head_dim: U32,
        source_tokens: U64,
        source_root: [u8; 32],
    }
}

/// The two halves of a KV cache, in the order of a gist's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What queries are compared with.
    Keys,
    /// What is taken from where they agree.
    Values,
}

impl Part {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Keys, Self::Values];
}

/// A checked gist over borrowed bytes. Needs no allocator, and reads no row before it is asked for.
///
/// Shapes are those of [`KeyShape`], whose tokens are the gist tokens.
///
/// ```
/// use bitwire::engram::{KeyShape, KeySource};
/// use bitwire::frame::ContextHash;
/// use bitwire::gist::{GistBuilder, GistView, Part};
/// use bitwire::mirror::Scalar;
///
/// // One layer, one head, two gist tokens, rows of one f32: the keys 1 and 2, the values 3 and 4.
/// let shape = KeyShape { layers: 1, heads: 1, tokens: 2, head_dim: 1 };
/// let payload = [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes);
/// let gist = GistBuilder::new(shape, Scalar::F32, payload.as_flattened())?.source(800, None);
/// let mut buffer = [0; 256];
/// let len = gist.to_frame(ContextHash([0; 8]))?.encode_into(&mut buffer)?;
///
/// let gist = GistView::parse_exact(&buffer[..len])?;
/// assert_eq!(gist.shape(), shape);
/// assert_eq!(gist.token_ratio(), Some(400.0));
/// let mut row = [0.0];
/// gist.rows(Part::Values).key_into(0, 0, 1, &mut row)?;
/// assert_eq!(row, [4.0]);
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GistView<'a> {
    frame: Frame<'a>,
    raw: &'a GistRaw,
    scalar: Scalar,
    metadata: Option<&'a str>,
}

impl<'a> GistView<'a> {
    /// The gist that `frame` carries. Of the payload nothing is read.
    ///
    /// # Errors
    /// The first breach in the order of spec/gist.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let tlv = frame.header().only_tlv(Kind::GIST, TlvType::GIST)?;
        let (config, config_at, value_at) = (frame.config(), frame.config_place(), tlv.value_offset());
        let at_config = |field: u64, kind| Error::new(kind, config_at.saturating_add(field));
        let at_value = |field: u64, kind| Error::new(kind, value_at.saturating_add(field));
        let unfit = ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() };
        let scalar = Scalar::of(config.element, config.delta_q16).ok_or(at_config(1, unfit))?;
        // The frame's reader held the type to its length.
        let raw = GistRaw::ref_from_bytes(tlv.value)
            .map_err(|_| at_value(0, ErrorKind::Size { field: "GIST_V1" }))?;
        let shape = raw.shape();
        for (at, field, found) in [
            (0, "GIST_V1.n_layers", shape.layers),
            (4, "GIST_V1.n_kv_heads", shape.heads),
            (8, "GIST_V1.n_gist", shape.tokens),
            (12, "GIST_V1.head_dim", shape.head_dim),
        ] {
            if found == 0 {
                return Err(at_value(at, ErrorKind::Shape { field, needed: 1, found: 0 }));
            }
        }
        let needed = rows(&shape, value_at)?;
        if needed != u64::from(config.rows) {
            let found = u64::from(config.rows);
            return Err(at_config(4, ErrorKind::Shape { field: "CONFIG_V1.rows", needed, found }));
        }
        if shape.head_dim != config.dim {
            let (needed, found) = (u64::from(shape.head_dim), u64::from(config.dim));
            return Err(at_config(8, ErrorKind::Shape { field: "CONFIG_V1.dim", needed, found }));
        }
        config.check_payload(scalar.size() as u64, config_at)?;
        let metadata = frame.tlv(TlvType::GIST_METADATA).map(|tlv| {
            core::str::from_utf8(tlv.value).map_err(|error| {
                let at = tlv.value_offset().saturating_add(error.valid_up_to() as u64);
                Error::new(ErrorKind::Utf8 { field: "GIST_METADATA_V1" }, at)
            })
        });
        Ok(Self { frame: *frame, raw, scalar, metadata: metadata.transpose()? })
    }

    /// Parses the gist that fills `bytes` exactly.
    ///
    /// # Errors
    /// As [`Frame::parse_exact`] and [`from_frame`](Self::from_frame).
    pub fn parse_exact(bytes: &'a [u8]) -> Result<Self> {
        Self::from_frame(&Frame::parse_exact(bytes)?)
    }

    /// The frame.
    #[must_use]
    pub const fn frame(&self) -> &Frame<'a> {
        &self.frame
    }

    /// Layers, KV heads, gist tokens, components of a row.
    #[must_use]
    pub const fn shape(&self) -> KeyShape {
        self.raw.shape()
    }

    /// What a component is stored as.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// All rows: `[layers][keys, then values][heads][gist tokens][head_dim]`, little-endian.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.frame.payload()
    }

    /// The text of the JSON object that came with the gist where it was imported from. Nothing in it was checked but that it
    /// is UTF-8.
    #[must_use]
    pub const fn metadata(&self) -> Option<&'a str> {
        self.metadata
    }

    /// Tokens of the context that the gist stands for; 0 if that is not known.
    #[must_use]
    pub const fn source_tokens(&self) -> u64 {
        self.raw.source_tokens.get()
    }

    /// The root of the ledger index of the source, if the gist names one.
    #[must_use]
    pub fn source_root(&self) -> Option<&'a Digest> {
        Some(&self.raw.source_root).filter(|root| **root != [0; 32])
    }

    /// The keys or the values: rows as f32, one by one.
    #[must_use]
    pub const fn rows(&self, part: Part) -> GistRows<'a> {
        GistRows { gist: *self, part }
    }

    /// The rows of one head of one layer, as they are stored: a block for each gist token. `None` if there is no such head.
    #[must_use]
    pub fn head(&self, part: Part, layer: u32, head: u32) -> Option<Blocks<'a>> {
        let KeyShape { heads, tokens, head_dim, .. } = self.shape();
        let layer = self.layer(part, layer)?;
        // A layer is in memory, so it has as many bytes as its shape takes.
        let shape = Shape::new(self.scalar, tokens, head_dim).ok()?;
        let start = usize::try_from(head).ok().filter(|_| head < heads)?.checked_mul(shape.len())?;
        Blocks::new(shape, layer.get(start..start.checked_add(shape.len())?)?).ok()
    }

    /// The keys or values of one layer, as they are stored: `[heads][gist tokens][head_dim]`.
    #[must_use]
    pub fn layer(&self, part: Part, layer: u32) -> Option<&'a [u8]> {
        let layers = usize::try_from(self.shape().layers).ok()?;
        let layer = usize::try_from(layer).ok().filter(|&layer| layer < layers)?;
        let payload = self.payload();
        let len = payload.len().checked_div(layers.checked_mul(2)?)?;
        let place = layer.checked_mul(2)?.checked_add(usize::from(part == Part::Values))?;
        let start = place.checked_mul(len)?;
        payload.get(start..start.checked_add(len)?)
    }

    /// Whether no component is NaN or infinite. Cost: one pass; none for MU16, which has neither.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.scalar.float().is_none_or(|float| crate::arch::blocks::all_finite(float, self.payload()))
    }

    /// Tokens of the source for each gist token; `None` if their number is not known.
    #[must_use]
    pub fn token_ratio(&self) -> Option<f64> {
        let tokens = Some(self.source_tokens()).filter(|&tokens| tokens > 0)?;
        Some(tokens as f64 / f64::from(self.shape().tokens))
    }

    /// KV bytes that the source takes in a cache of `cache` elements, for each byte of the gist's rows; `None` if the number
    /// of its tokens is not known.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if a token's row is no whole number of the type's blocks; [`ErrorKind::Size`] if a token takes
    /// more bytes than 64 bits count.
    pub fn byte_ratio(&self, cache: impl Into<KvType>) -> Result<Option<f64>> {
        let Some(tokens) = self.token_ratio() else { return Ok(None) };
        // Of one token against one gist token: whatever number of them a gist states, nothing overflows.
        let one = Budget::new(&self.shape().into(), Kept::new(1, cache), Kept::new(1, self.scalar))?;
        Ok(Some(tokens * one.byte_ratio()))
    }

    /// Checks that the gist is of the source that `index` is the index of (spec/gist.md, "What a gist is bound to").
    ///
    /// # Errors
    /// [`ErrorKind::ForeignSource`].
    pub fn check_source(&self, index: &Index<'_>) -> Result<()> {
        let field = if self.source_root() != Some(index.root()) {
            "the root"
        } else if self.source_tokens() > index.total_tokens() {
            "the number of tokens"
        } else {
            return Ok(());
        };
        Err(Error::caller(ErrorKind::ForeignSource { field }))
    }
}

impl GistRaw {
    pub(super) fn new(shape: &KeyShape) -> Self {
        Self {
            n_layers: shape.layers.into(),
            n_kv_heads: shape.heads.into(),
            n_gist: shape.tokens.into(),
            head_dim: shape.head_dim.into(),
            source_tokens: U64::ZERO,
            source_root: [0; 32],
        }
    }

    pub(super) fn with_source(self, tokens: u64, root: Digest) -> Self {
        Self { source_tokens: tokens.into(), source_root: root, ..self }
    }

    const fn shape(&self) -> KeyShape {
        KeyShape {
            layers: self.n_layers.get(),
            heads: self.n_kv_heads.get(),
            tokens: self.n_gist.get(),
            head_dim: self.head_dim.get(),
        }
    }
}

/// Rows of a gist: keys and values of all layers.
pub(super) fn rows(shape: &KeyShape, offset: u64) -> Result<u64> {
    let KeyShape { layers, heads, tokens, .. } = *shape;
    size("the rows of a gist", offset, &[layers.into(), 2, heads.into(), tokens.into()])
}

/// The keys, or the values, of a gist, as f32.
#[derive(Clone, Copy, Debug)]
pub struct GistRows<'a> {
    gist: GistView<'a>,
    part: Part,
}

impl KeySource for GistRows<'_> {
    fn shape(&self) -> KeyShape {
        self.gist.shape()
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        let KeyShape { layers, heads, tokens, head_dim } = self.shape();
        check_index("the layer", layer, layers)?;
        check_index("the head", head, heads)?;
        check_index("the gist token", token, tokens)?;
        check_len("the output", head_dim.into(), out.len() as u64)?;
        let row = self.gist.head(self.part, layer, head).and_then(|rows| rows.block(token));
        widen(self.gist.scalar, row.unwrap_or_default(), out);
        Ok(())
    }
}

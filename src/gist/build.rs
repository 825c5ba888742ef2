//! Writing a gist's frame.
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::IntoBytes;

use super::view::{GistRaw, rows};
use crate::engram::KeyShape;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, ContextHash, FrameBuilder, Kind, TlvType};
use crate::ledger::Digest;
use crate::mirror::Scalar;
use crate::wire::size;

/// A gist over rows that are there, before it is a frame.
///
/// It holds what the frame says of the gist, so it has to outlive the builder that [`to_frame`](Self::to_frame) gives.
#[derive(Clone)]
pub struct GistBuilder<'a> {
    raw: GistRaw,
    config: Config,
    payload: &'a [u8],
    metadata: Option<&'a str>,
}

impl<'a> GistBuilder<'a> {
    /// The gist whose rows are `payload`: `[layers][keys, then values][heads][tokens][head_dim]` of `scalar`, little-endian.
    /// It stands for a source that is not known until [`source`](Self::source) says it.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if a member of `shape` is 0; [`ErrorKind::TooLarge`] beyond 2^32 - 1 rows;
    /// [`ErrorKind::Size`] beyond 64 bits; [`ErrorKind::Shape`] if there are more or fewer bytes.
    pub fn new(shape: KeyShape, scalar: Scalar, payload: &'a [u8]) -> Result<Self> {
        let (rows, len) = extent(&shape, scalar)?;
        let found = payload.len() as u64;
        if len != found {
            return Err(Error::caller(ErrorKind::Shape { field: "bytes of the gist", needed: len, found }));
        }
        let config = Config::new(Kind::GIST, scalar.element(), rows, shape.head_dim, scalar.delta_q16());
        Ok(Self { raw: GistRaw::new(&shape), config, payload, metadata: None })
    }

    /// Says how many tokens of context the gist stands for, and the root of the index of their ledger if there is one.
    #[must_use]
    pub fn source(mut self, tokens: u64, root: Option<&Digest>) -> Self {
        self.raw = self.raw.with_source(tokens, root.copied().unwrap_or_default());
        self
    }

    /// Carries the text of a JSON object along, as it is.
    #[must_use]
    pub const fn metadata(mut self, json: &'a str) -> Self {
        self.metadata = Some(json);
        self
    }

    /// The frame, to be given a context, a key and its padding.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if the metadata does not fit a TLV.
    pub fn to_frame(&'a self, ctx: ContextHash) -> Result<FrameBuilder<'a>> {
        let builder =
            FrameBuilder::new(ctx, self.config, self.payload).tlv(TlvType::GIST, self.raw.as_bytes())?;
        match self.metadata {
            Some(json) => builder.tlv(TlvType::GIST_METADATA, json.as_bytes()),
            None => Ok(builder),
        }
    }
}

impl core::fmt::Debug for GistBuilder<'_> {
    /// The shape, not the rows.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GistBuilder")
            .field("raw", &self.raw)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Rows of a gist, and the bytes they take.
pub(super) fn extent(shape: &KeyShape, scalar: Scalar) -> Result<(u32, u64)> {
    let KeyShape { layers, heads, tokens, head_dim } = *shape;
    if [layers, heads, tokens, head_dim].contains(&0) {
        let expected = "a gist has at least one layer, head, token and component";
        return Err(Error::caller(ErrorKind::Argument { expected }));
    }
    let by_caller = |error: Error| Error::caller(error.kind());
    let found = rows(shape, 0).map_err(by_caller)?;
    let too_large = ErrorKind::TooLarge { field: "the rows of a gist", max: u64::from(u32::MAX), found };
    let rows = u32::try_from(found).map_err(|_| Error::caller(too_large))?;
    let len = size("the gist", 0, &[found, head_dim.into(), scalar.size() as u64]).map_err(by_caller)?;
    Ok((rows, len))
}

//! A master: blocks whose digest is known (spec/mirror.md).
#![deny(clippy::arithmetic_side_effects)]

use super::blocks::Blocks;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{ContextHash, Frame, FrameBuilder, sha256};

/// Dense blocks with their SHA-256 and their context: what mirrors are made from and rebuilt on.
///
/// The digest is taken once, here; [`diff_into`](Self::diff_into) and [`MirrorView::apply`](super::MirrorView::apply) take
/// a master, never bare bytes, so neither hashes.
#[derive(Clone, Copy, Debug)]
pub struct Master<'a> {
    blocks: Blocks<'a>,
    digest: [u8; 32],
    ctx: ContextHash,
    context_json: Option<&'a [u8]>,
    /// No element is NaN or infinite. False may also be that nobody has looked.
    finite: bool,
}

impl<'a> Master<'a> {
    /// Hashes the blocks: SHA-256 over all of their bytes, about 0.5 ns a byte where the CPU has instructions for it; and
    /// reads them once more, since differences are found sooner where nothing is infinite or NaN.
    #[must_use]
    pub fn new(blocks: Blocks<'a>, ctx: ContextHash) -> Self {
        Self::known(blocks, sha256(&[blocks.as_bytes()]), ctx, None, blocks.are_finite())
    }

    /// Blocks of which all is known already; the context hashes to `ctx`.
    pub(super) const fn known(
        blocks: Blocks<'a>,
        digest: [u8; 32],
        ctx: ContextHash,
        context_json: Option<&'a [u8]>,
        finite: bool,
    ) -> Self {
        Self { blocks, digest, ctx, context_json, finite }
    }

    /// The master that a blocks frame carries, with the frame's context.
    ///
    /// # Errors
    /// As [`Blocks::from_frame`].
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let master = Self::new(Blocks::from_frame(frame)?, frame.ctx());
        Ok(Self { context_json: frame.context_json(), ..master })
    }

    /// With the whole context: the canonical JSON that hashes to ctx. Mirrors carry it too.
    ///
    /// What it says is not read here: its dim has to be that of the blocks, else readers of the context refuse the frames.
    ///
    /// # Errors
    /// [`ErrorKind::ContextHash`] if it does not hash to ctx.
    pub fn with_context_json(self, canonical_json: &'a [u8]) -> Result<Self> {
        if ContextHash::of(canonical_json) != self.ctx {
            return Err(Error::caller(ErrorKind::ContextHash));
        }
        Ok(Self { context_json: Some(canonical_json), ..self })
    }

    /// The frame of the blocks with the whole context, if it is known; to be given a key and its padding.
    ///
    /// # Errors
    /// As [`Blocks::to_frame`] and [`FrameBuilder::tlv`].
    pub fn to_frame(&self) -> Result<FrameBuilder<'a>> {
        self.blocks.to_frame(self.ctx)?.known_context(self.context_json)
    }

    /// The blocks.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks<'a> {
        &self.blocks
    }

    /// Whether all elements are known to be neither NaN nor infinite.
    pub(super) const fn is_finite(&self) -> bool {
        self.finite
    }

    /// SHA-256 of the blocks' bytes.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The context's hash.
    #[must_use]
    pub const fn ctx(&self) -> ContextHash {
        self.ctx
    }

    /// The whole context, if known.
    #[must_use]
    pub const fn context_json(&self) -> Option<&'a [u8]> {
        self.context_json
    }
}

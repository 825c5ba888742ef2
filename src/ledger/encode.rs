//! Writing chunks (spec/ledger.md). The writer refuses what the reader would reject.
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U32, U64};

use super::chunk::{ChunkRaw, Encoding};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "hmac")]
use crate::frame::Key;
use crate::frame::{Config, ContextHash, FrameBuilder, Kind, TlvType};

/// A chunk to write. Needs no allocator.
#[derive(Clone, Copy, Debug)]
pub struct ChunkBuilder<'a> {
    ctx: ContextHash,
    context_json: Option<&'a [u8]>,
    id: u64,
    start: u64,
    encoding: Encoding,
    marks: &'a [u8],
    #[cfg(feature = "hmac")]
    key: Option<&'a Key>,
}

impl<'a> ChunkBuilder<'a> {
    /// Chunk number `id` of a ledger, whose first token stands at position `start`.
    pub const fn new(ctx: ContextHash, id: u64, start: u64, encoding: Encoding) -> Self {
        Self {
            ctx,
            context_json: None,
            id,
            start,
            encoding,
            marks: &[],
            #[cfg(feature = "hmac")]
            key: None,
        }
    }

    /// Carries CONTEXT_V1: the canonical JSON that hashes to ctx. All chunks of a ledger carry the same.
    #[must_use]
    pub const fn context_json(mut self, canonical_json: &'a [u8]) -> Self {
        self.context_json = Some(canonical_json);
        self
    }

    /// Carries these marks: what [`encode_marks`](super::encode_marks) wrote for this chunk.
    #[must_use]
    pub const fn marks(mut self, marks: &'a [u8]) -> Self {
        self.marks = marks;
        self
    }

    /// Signs the chunk. All chunks of a ledger are signed or none.
    #[cfg(feature = "hmac")]
    #[must_use]
    pub const fn sign(mut self, key: &'a Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Writes the chunk of `tokens` to the start of `out` and returns its length. `scratch` holds the payload
    /// meanwhile: [`Encoding::payload_len`] bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for no tokens; [`ErrorKind::TokenWidth`] for a token that the encoding cannot hold;
    /// [`ErrorKind::Size`] if the positions overflow 64 bits; [`ErrorKind::BufferTooSmall`] for either buffer; those of
    /// [`Encoding::payload_len`] and [`FrameBuilder::tlv`].
    pub fn encode_into(&self, tokens: &[u32], scratch: &mut [u8], out: &mut [u8]) -> Result<usize> {
        self.with_frame(tokens, scratch, |frame| frame.encode_into(out))
    }

    /// The chunk of `tokens`, in a vector of its own.
    ///
    /// # Errors
    /// As [`encode_into`](Self::encode_into), but for the buffers.
    #[cfg(feature = "alloc")]
    pub fn encode(&self, tokens: &[u32]) -> Result<alloc::vec::Vec<u8>> {
        let len = self.encoding.payload_len(tokens.len() as u64)?;
        let too_large = ErrorKind::TooLarge { field: "the payload", max: usize::MAX as u64, found: len };
        let len = usize::try_from(len).map_err(|_| Error::caller(too_large))?;
        self.with_frame(tokens, &mut alloc::vec![0; len], |frame| frame.encode())
    }

    fn with_frame<T>(
        &self,
        tokens: &[u32],
        scratch: &mut [u8],
        write: impl FnOnce(FrameBuilder<'_>) -> Result<T>,
    ) -> Result<T> {
        if tokens.is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "a chunk has at least one token" }));
        }
        let written = self.encoding.encode_into(tokens, scratch)?;
        let payload = scratch.get(..written).unwrap_or_default();
        // payload_len holds the number of tokens to 32 bits, and the bytes of a packed payload too.
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let length = narrow(tokens.len());
        let overflow = Error::caller(ErrorKind::Size { field: "the positions of the ledger" });
        self.start.checked_add(u64::from(length)).ok_or(overflow)?;
        let (encoding, bits) = self.encoding.codes();
        let raw = ChunkRaw {
            chunk_id: U64::new(self.id),
            start: U64::new(self.start),
            length: U32::new(length),
            encoding,
            bits,
            reserved: U16::ZERO,
        };
        let dim = if let Encoding::Packed { .. } = self.encoding { narrow(payload.len()) } else { length };
        let config = Config::new(Kind::LEDGER_CHUNK, self.encoding.element(), 1, dim, 0);
        let mut frame = FrameBuilder::new(self.ctx, config, payload)
            .tlv(TlvType::LEDGER_CHUNK, raw.as_bytes())?
            .known_context(self.context_json)?;
        if !self.marks.is_empty() {
            frame = frame.tlv(TlvType::LEDGER_MARKS, self.marks)?;
        }
        #[cfg(feature = "hmac")]
        if let Some(key) = self.key {
            frame = frame.sign(key);
        }
        write(frame)
    }
}

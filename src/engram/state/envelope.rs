//! What comes before a blob's memory (spec/engram.md, "Envelopes").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::byteorder::little_endian::I32;

use super::arch::{MAX_NAME, is_name};
use super::layout::Layout;
use crate::error::{Error, ErrorKind, Result, Snippet};
use crate::wire::{Reader, size};

/// `ggsn`: `llama_state_save_file`.
pub(super) const SESSION_MAGIC: u32 = 0x6767_736E;
/// `ggsq`: `llama_state_seq_save_file`.
pub(super) const SEQUENCE_FILE_MAGIC: u32 = 0x6767_7371;
/// `llama_state_seq_get_data`, from 0.3.23 on.
pub(super) const SEQUENCE_MAGIC: u32 = 0xAF14_3CD8;

/// How a blob was saved, and what it says before its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// `llama_state_get_data`.
    State {
        /// The model's architecture.
        arch: &'a str,
    },
    /// `llama_state_save_file`: a file that starts with `ggsn`.
    Session {
        /// 9 or 10.
        version: u32,
        /// The tokens of the context.
        tokens: Words<'a>,
        /// The model's architecture.
        arch: &'a str,
    },
    /// `llama_state_seq_get_data`: one sequence, without the model's name.
    Sequence {
        /// Which; `None` up to 0.3.22, which wrote nothing before the memory.
        seq_id: Option<i32>,
    },
    /// `llama_state_seq_save_file`: a file that starts with `ggsq`.
    SequenceFile {
        /// 2 or 3.
        version: u32,
        /// The sequence's tokens. Where the first is -1, a server wrote something of its own.
        tokens: Words<'a>,
    },
}

impl<'a> Envelope<'a> {
    /// `state`, `session_file`, `seq`, `seq_file`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::State { .. } => "state",
            Self::Session { .. } => "session_file",
            Self::Sequence { .. } => "seq",
            Self::SequenceFile { .. } => "seq_file",
        }
    }

    /// The model's architecture, where the blob says it.
    #[must_use]
    pub const fn arch(&self) -> Option<&'a str> {
        match *self {
            Self::State { arch } | Self::Session { arch, .. } => Some(arch),
            _ => None,
        }
    }

    /// The tokens, where the blob has them.
    #[must_use]
    pub const fn tokens(&self) -> Option<Words<'a>> {
        match *self {
            Self::Session { tokens, .. } | Self::SequenceFile { tokens, .. } => Some(tokens),
            _ => None,
        }
    }

    /// Whether it holds a context with all its sequences.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self, Self::State { .. } | Self::Session { .. })
    }

    /// Reads the envelope that a first word announces; `None` if it announces none.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Option<Self>> {
        let mut ahead = reader.clone();
        let envelope = match word(&mut ahead, "the first word") {
            Ok(SESSION_MAGIC) => {
                let version = version(&mut ahead, [9, 10])?;
                let tokens = Words::read(&mut ahead, "tokens")?;
                Self::Session { version, tokens, arch: arch(&mut ahead)? }
            }
            Ok(SEQUENCE_FILE_MAGIC) => {
                let version = version(&mut ahead, [2, 3])?;
                Self::SequenceFile { version, tokens: Words::read(&mut ahead, "tokens")? }
            }
            Ok(SEQUENCE_MAGIC) => {
                let seq_id = i32::from_le_bytes(*ahead.take_array("seq_id")?);
                Self::Sequence { seq_id: Some(seq_id) }
            }
            _ => return Ok(None),
        };
        *reader = ahead;
        Ok(Some(envelope))
    }

    /// Reads the name of a model, which is all that a state has.
    pub(super) fn read_state(reader: &mut Reader<'a>) -> Result<Self> {
        Ok(Self::State { arch: arch(reader)? })
    }
}

/// The next little-endian u32.
pub(super) fn word(reader: &mut Reader<'_>, field: &'static str) -> Result<u32> {
    Ok(u32::from_le_bytes(*reader.take_array(field)?))
}

fn version(reader: &mut Reader<'_>, known: [u32; 2]) -> Result<u32> {
    let at = reader.offset();
    let found = word(reader, "the version")?;
    if !known.contains(&found) {
        return Err(Error::new(ErrorKind::StateVersion { found }, at));
    }
    Ok(found)
}

fn arch<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    let at = reader.offset();
    let len = word(reader, "the length of the architecture's name")?;
    let max = MAX_NAME as u64;
    if len == 0 || u64::from(len) > max {
        let kind =
            ErrorKind::TooLarge { field: "the length of the architecture's name", max, found: len.into() };
        return Err(Error::new(
            if len == 0 { ErrorKind::StateArch { found: Snippet::new(b"") } } else { kind },
            at,
        ));
    }
    let at = reader.offset();
    let name = reader.take("the architecture's name", len.into())?;
    let unknown = Error::new(ErrorKind::StateArch { found: Snippet::new(name) }, at);
    core::str::from_utf8(name).ok().filter(|_| is_name(name)).ok_or(unknown)
}

/// Signed 32-bit words over unaligned bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Words<'a>(&'a [I32]);

impl<'a> Words<'a> {
    fn read(reader: &mut Reader<'a>, field: &'static str) -> Result<Self> {
        let count = word(reader, "the number of words")?;
        Self::take(reader, field, count)
    }

    pub(super) fn take(reader: &mut Reader<'a>, field: &'static str, count: u32) -> Result<Self> {
        let len = size(field, reader.offset(), &[count.into(), 4])?;
        let bytes = reader.take(field, len)?;
        Ok(Self(zerocopy::FromBytes::ref_from_bytes(bytes).unwrap_or_default()))
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i32> + Clone + use<'a> {
        self.0.iter().map(|word| word.get())
    }
}

impl core::fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Ids, logits and embeddings of outputs, which versions up to 0.3.16 wrote before the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs<'a> {
    /// Where the section starts.
    pub offset: u64,
    /// For each output its place in the batch.
    pub positions: Words<'a>,
    /// Little-endian f32.
    pub logits: &'a [u8],
    /// Where the logits start.
    pub logits_offset: u64,
    /// Little-endian f32.
    pub embeddings: &'a [u8],
    /// Where the embeddings start.
    pub embeddings_offset: u64,
}

impl<'a> Outputs<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self> {
        let offset = reader.offset();
        let count = word(reader, "n_outputs")?;
        let positions = Words::take(reader, "output_pos", count)?;
        let (logits_offset, logits) = floats(reader, "logits")?;
        let (embeddings_offset, embeddings) = floats(reader, "embeddings")?;
        Ok(Self { offset, positions, logits, logits_offset, embeddings, embeddings_offset })
    }
}

fn floats<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<(u64, &'a [u8])> {
    let count_at = reader.offset();
    let count = u64::from_le_bytes(*reader.take_array("the number of floats")?);
    let len = size(field, count_at, &[count, 4])?;
    Ok((reader.offset(), reader.take(field, len)?))
}

/// What a caller knows of a blob that the blob does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'k> {
    /// The model's architecture as llama.cpp names it: `llama`, `gemma3`.
    pub arch: Option<&'k str>,
    /// The layout.
    pub layout: Option<Layout>,
}

//! The view of an index (spec/engram.md, "Index").
#![deny(clippy::arithmetic_side_effects)]

use zerocopy::FromBytes;
use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::byteorder::little_endian;

use super::search::{Metric, Search};
use super::vectors::{VectorType, Vectors};
use crate::beacon::mu16::Step;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, Element, Frame, Kind, TlvType};
use crate::wire::{Reader, layout, size};

layout! {
    pub(crate) struct EngramIndexRaw {
        metric: u8,
        method: u8,
        vectors_per_entry: U16,
        strings_len: U32,
        whitening_prefix: [u8; 8],
        reserved: [u8; 8],
    }
}

layout! {
    pub(crate) struct EntryRaw {
        l2_norm: little_endian::F32,
        context_len: little_endian::U32,
        created_at: little_endian::I64,
        cache_id: SpanRaw,
        task_description: SpanRaw,
        model_id: SpanRaw,
    }
}

/// Where a text stands in the strings.
#[derive(
    Clone,
    Copy,
    Debug,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
    zerocopy::Unaligned,
)]
#[repr(C)]
pub(crate) struct SpanRaw {
    start: little_endian::U32,
    len: little_endian::U32,
}

/// How the vectors of an index were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the table of spec/engram.md
pub enum Method {
    Unknown,
    MeanPool,
    Svd,
    Xkv,
    FourierV1,
    FourierV2,
    WhitenedMean,
    WhitenedCentroids,
}

impl Method {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::MeanPool,
        Self::Svd,
        Self::Xkv,
        Self::FourierV1,
        Self::FourierV2,
        Self::WhitenedMean,
        Self::WhitenedCentroids,
    ];

    /// The code in ENGRAM_INDEX_V1.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The method with a code.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Its name: `mean`, `svd`, `xkv`, `fourier`, `fourier2`, `whitened`, `centroids`; `unknown`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::MeanPool => "mean",
            Self::Svd => "svd",
            Self::Xkv => "xkv",
            Self::FourierV1 => "fourier",
            Self::FourierV2 => "fourier2",
            Self::WhitenedMean => "whitened",
            Self::WhitenedCentroids => "centroids",
        }
    }
}

/// What an index says of one entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The name under which the context is kept.
    pub cache_id: &'a str,
    /// What it is about.
    pub task_description: &'a str,
    /// The model that made it.
    pub model_id: &'a str,
    /// Its length in tokens.
    pub context_len: u32,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
    /// The L2 norm of its vector before it was stored; NaN if not known.
    pub l2_norm: f32,
}

/// A checked index over borrowed bytes, to be searched where it is. Needs no allocator.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    frame: Frame<'a>,
    raw: &'a EngramIndexRaw,
    method: Method,
    search: Search<'a>,
    entries: &'a [EntryRaw],
    strings: &'a str,
}

impl<'a> Index<'a> {
    /// The index that `frame` carries.
    ///
    /// Cost: linear in entries and strings; of the vectors nothing is read but the scales of i8, and the last byte of bits.
    ///
    /// # Errors
    /// The first breach in the order of spec/engram.md, with its offset from the frame's start.
    pub fn from_frame(frame: &Frame<'a>) -> Result<Self> {
        let tlv = frame.header().only_tlv(Kind::ENGRAM_INDEX, TlvType::ENGRAM_INDEX)?;
        let (config, config_at, value_at) = (frame.config(), frame.config_place(), tlv.value_offset());
        let at_config = |field: u64, kind| Error::new(kind, config_at.saturating_add(field));
        let at_value = |field: u64, kind| Error::new(kind, value_at.saturating_add(field));
        // The frame's reader held the type to its length.
        let raw = EngramIndexRaw::ref_from_bytes(tlv.value)
            .map_err(|_| at_value(0, ErrorKind::Size { field: "ENGRAM_INDEX_V1" }))?;
        let unfit = ErrorKind::Code { field: "CONFIG_V1.element", found: config.element.code() };
        let kind = vector_type(config).ok_or(at_config(1, unfit))?;
        if config.dim == 0 {
            return Err(at_config(8, ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 }));
        }
        let unknown = |field, found| ErrorKind::Code { field, found };
        let metric = Metric::from_code(raw.metric)
            .ok_or(at_value(0, unknown("ENGRAM_INDEX_V1.metric", raw.metric)))?;
        let method = Method::from_code(raw.method)
            .ok_or(at_value(1, unknown("ENGRAM_INDEX_V1.method", raw.method)))?;
        let per_entry = raw.vectors_per_entry.get();
        let entries = config.rows.checked_div(per_entry.into());
        let whole = entries.is_some_and(|entries| entries.checked_mul(per_entry.into()) == Some(config.rows));
        if !whole || per_entry > 1 && metric != Metric::MaxSim {
            let found = per_entry.into();
            return Err(at_value(
                2,
                ErrorKind::Shape { field: "ENGRAM_INDEX_V1.vectors_per_entry", needed: 1, found },
            ));
        }
        if raw.reserved != [0; 8] {
            return Err(at_value(16, ErrorKind::Reserved { field: "ENGRAM_INDEX_V1.reserved" }));
        }
        let parts = Parts::new(kind, config, entries.unwrap_or(0), raw.strings_len.get())
            .map_err(|error| at_config(16, error.kind()))?;
        if parts.len != config.payload_len {
            let (needed, found) = (parts.len, config.payload_len);
            return Err(at_config(16, ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found }));
        }
        let mut reader = Reader::new(frame.payload(), frame.payload_offset());
        let (vectors_at, vectors) = (reader.offset(), reader.take("vectors", parts.vectors)?);
        let (scales_at, scales) = (reader.offset(), reader.take("scales", parts.scales)?);
        let (entries_at, entries) = (reader.offset(), reader.take("entries", parts.entries)?);
        let (strings_at, strings) = (reader.offset(), reader.rest());
        let vectors = Vectors::new(kind, config.rows, config.dim, vectors, scales)?;
        if let Some(row) = vectors.first_with_spare_bits() {
            let last =
                kind.row_len(config.dim).saturating_mul(u64::from(row).saturating_add(1)).saturating_sub(1);
            return Err(Error::new(ErrorKind::SpareBits, vectors_at.saturating_add(last)));
        }
        check_scales(scales, scales_at)?;
        let search = Search::new(vectors, per_entry, metric)?;
        let entries = <[EntryRaw]>::ref_from_bytes(entries).unwrap_or_default();
        // As a whole, so that strings which lie over each other cost nothing.
        let strings = core::str::from_utf8(strings).map_err(|error| {
            let at = strings_at.saturating_add(error.valid_up_to() as u64);
            Error::new(ErrorKind::Utf8 { field: "the table of strings" }, at)
        })?;
        let index = Self { frame: *frame, raw, method, search, entries, strings };
        index.check_entries(entries_at, strings_at)?;
        Ok(index)
    }

    fn check_entries(&self, entries_at: u64, strings_at: u64) -> Result<()> {
        let mut at = entries_at;
        for entry in self.entries {
            let spans = [
                (16, "cache_id", entry.cache_id),
                (24, "task_description", entry.task_description),
                (32, "model_id", entry.model_id),
            ];
            for (field_at, field, span) in spans {
                let (end, found) = (self.strings.len() as u64, span.end());
                if found > end {
                    return Err(Error::new(
                        ErrorKind::PastEnd { field, end, found },
                        at.saturating_add(field_at),
                    ));
                }
                if span.of(self.strings).is_none() {
                    let at = strings_at.saturating_add(span.start.get().into());
                    return Err(Error::new(ErrorKind::Utf8 { field }, at));
                }
            }
            at = at.saturating_add(size_of::<EntryRaw>() as u64);
        }
        Ok(())
    }

    /// Parses the index that fills `bytes` exactly.
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

    /// Entries.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.search.entries()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How the vectors were made.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Vectors of an entry.
    #[must_use]
    pub const fn vectors_per_entry(&self) -> u16 {
        self.raw.vectors_per_entry.get()
    }

    /// The first bytes of the digest of the whitening that a query needs; `None` if none was used.
    #[must_use]
    pub fn whitening_prefix(&self) -> Option<[u8; 8]> {
        Some(self.raw.whitening_prefix).filter(|prefix| *prefix != [0; 8])
    }

    /// The vectors, their metric, and the search among them.
    #[must_use]
    pub const fn search(&self) -> &Search<'a> {
        &self.search
    }

    /// Entry `number`, in the order of adding.
    #[must_use]
    pub fn entry(&self, number: u32) -> Option<Entry<'a>> {
        let raw = self.entries.get(usize::try_from(number).ok()?)?;
        Some(Entry {
            cache_id: raw.cache_id.of(self.strings)?,
            task_description: raw.task_description.of(self.strings)?,
            model_id: raw.model_id.of(self.strings)?,
            context_len: raw.context_len.get(),
            created_at: raw.created_at.get(),
            l2_norm: raw.l2_norm.get(),
        })
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> {
        (0..self.len()).filter_map(|number| self.entry(number))
    }
}

impl SpanRaw {
    #[cfg(feature = "alloc")]
    pub(super) fn new(start: u32, len: u32) -> Self {
        Self { start: start.into(), len: len.into() }
    }

    fn end(self) -> u64 {
        u64::from(self.start.get()).saturating_add(self.len.get().into())
    }

    /// The text, if it is within the strings and no character is cut.
    fn of(self, strings: &str) -> Option<&str> {
        strings.get(usize::try_from(self.start.get()).ok()?..usize::try_from(self.end()).ok()?)
    }
}

/// What some entries have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'f> {
    /// Made by this model.
    pub model_id: Option<&'f str>,
    /// At least so many tokens long.
    pub min_context_len: u32,
    /// At most so many tokens long.
    pub max_context_len: Option<u32>,
}

impl Filter<'_> {
    /// Whether `entry` passes.
    #[must_use]
    pub fn admits(&self, entry: &Entry<'_>) -> bool {
        self.model_id.is_none_or(|model| model == entry.model_id)
            && entry.context_len >= self.min_context_len
            && self.max_context_len.is_none_or(|most| entry.context_len <= most)
    }
}

/// The type of the vectors that CONFIG_V1 states.
fn vector_type(config: &Config) -> Option<VectorType> {
    match config.element {
        Element::F32 => Some(VectorType::F32),
        Element::F16 => Some(VectorType::F16),
        Element::I16 => Step::new(config.delta_q16).ok().map(VectorType::Mu16),
        Element::I8 => Some(VectorType::I8),
        Element::Bits => Some(VectorType::Bits),
        _ => None,
    }
}

/// Bytes of the payload's parts.
pub(super) struct Parts {
    vectors: u64,
    scales: u64,
    entries: u64,
    len: u64,
}

impl Parts {
    #[cfg(feature = "alloc")]
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn new(kind: VectorType, config: &Config, entries: u32, strings_len: u32) -> Result<Self> {
        let rows = u64::from(config.rows);
        let vectors = size("payload", 0, &[rows, kind.row_len(config.dim)])?;
        let scales = size("payload", 0, &[rows, kind.scale_len()])?;
        let entries = size("payload", 0, &[entries.into(), size_of::<EntryRaw>() as u64])?;
        let len = [scales, entries, strings_len.into()]
            .iter()
            .try_fold(vectors, |sum, &part| sum.checked_add(part));
        let len = len.ok_or(Error::caller(ErrorKind::Size { field: "payload" }))?;
        Ok(Self { vectors, scales, entries, len })
    }
}

fn check_scales(scales: &[u8], scales_at: u64) -> Result<()> {
    let mut at = scales_at;
    for &scale in scales.as_chunks().0 {
        let scale = f32::from_le_bytes(scale);
        if !scale.is_finite() || scale < 0.0 {
            return Err(Error::new(ErrorKind::Number { field: "the scale of a vector" }, at));
        }
        at = at.saturating_add(4);
    }
    Ok(())
}

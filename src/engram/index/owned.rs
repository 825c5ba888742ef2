//! An index to be added to and removed from.
#![deny(clippy::arithmetic_side_effects)]

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use zerocopy::IntoBytes;

use super::search::{Metric, Search};
use super::vectors::{VectorType, Vectors, encode_row};
use super::view::{EngramIndexRaw, Entry, EntryRaw, Index, Method, Parts, SpanRaw};
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Config, ContextHash, Element, FrameBuilder, Kind, TlvType};

/// How the vectors of an index are made, stored and compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IndexOptions {
    /// How components are stored.
    pub vector_type: VectorType,
    /// Components of a vector, at least 1.
    pub dim: u32,
    /// Vectors of an entry, at least 1; more only with [`Metric::MaxSim`].
    pub vectors_per_entry: u16,
    /// How they are compared.
    pub metric: Metric,
    /// How they were made.
    pub method: Method,
    /// The first bytes of the digest of the whitening that made them.
    pub whitening_prefix: Option<[u8; 8]>,
}

/// Strings of a frame may lie over each other. Copies of them take at most so many times its bytes.
const MAX_COPIES: u64 = 16;

/// An index in memory.
#[derive(Clone, Debug)]
pub struct OwnedIndex {
    options: IndexOptions,
    vectors: Vec<u8>,
    scales: Vec<u8>,
    entries: Vec<OwnedEntry>,
    cache_ids: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct OwnedEntry {
    cache_id: String,
    task_description: String,
    model_id: String,
    context_len: u32,
    created_at: i64,
    l2_norm: f32,
}

impl OwnedEntry {
    fn new(entry: &Entry<'_>) -> Self {
        Self {
            cache_id: entry.cache_id.into(),
            task_description: entry.task_description.into(),
            model_id: entry.model_id.into(),
            context_len: entry.context_len,
            created_at: entry.created_at,
            l2_norm: entry.l2_norm,
        }
    }

    fn view(&self) -> Entry<'_> {
        Entry {
            cache_id: &self.cache_id,
            task_description: &self.task_description,
            model_id: &self.model_id,
            context_len: self.context_len,
            created_at: self.created_at,
            l2_norm: self.l2_norm,
        }
    }
}

impl OwnedIndex {
    /// An index without entries.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `dim` or `vectors_per_entry` is 0, or more than 1 with another metric than MaxSim.
    pub fn new(options: IndexOptions) -> Result<Self> {
        if options.dim == 0 {
            return Err(Error::caller(ErrorKind::Argument {
                expected: "a vector has at least one component",
            }));
        }
        let index = Self {
            options,
            vectors: Vec::new(),
            scales: Vec::new(),
            entries: Vec::new(),
            cache_ids: BTreeSet::new(),
        };
        index.search()?;
        Ok(index)
    }

    /// A copy of `index`, in which strings that entries share are there once for each.
    ///
    /// # Errors
    /// [`ErrorKind::Duplicate`] if two entries have the same cache_id; [`ErrorKind::TooLarge`] if the strings, each counted by
    /// itself, are over sixteen times the bytes of the frame, which no writer here makes.
    pub fn from_index(index: &Index<'_>) -> Result<Self> {
        let (search, vectors) = (index.search(), index.search().vectors());
        let mut own = Self::new(IndexOptions {
            vector_type: vectors.kind(),
            dim: vectors.dim(),
            vectors_per_entry: index.vectors_per_entry(),
            metric: search.metric(),
            method: index.method(),
            whitening_prefix: index.whitening_prefix(),
        })?;
        let (mut found, max) = (0u64, (index.frame().as_bytes().len() as u64).saturating_mul(MAX_COPIES));
        for entry in index.entries() {
            let texts = [entry.cache_id, entry.task_description, entry.model_id];
            found = texts.iter().fold(found, |sum, text| sum.saturating_add(text.len() as u64));
            if found > max {
                return Err(Error::caller(ErrorKind::TooLarge {
                    field: "the strings of all entries",
                    max,
                    found,
                }));
            }
            own.name(entry.cache_id)?;
            own.entries.push(OwnedEntry::new(&entry));
        }
        own.vectors = vectors.as_bytes().to_vec();
        own.scales = vectors.scale_bytes().to_vec();
        Ok(own)
    }

    /// How vectors are made, stored and compared.
    #[must_use]
    pub const fn options(&self) -> &IndexOptions {
        &self.options
    }

    /// Entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is an entry of that name.
    #[must_use]
    pub fn contains(&self, cache_id: &str) -> bool {
        self.cache_ids.contains(cache_id)
    }

    /// All entries, in the order of adding.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        self.entries.iter().map(OwnedEntry::view)
    }

    fn name(&mut self, cache_id: &str) -> Result<()> {
        if self.cache_ids.insert(cache_id.into()) {
            Ok(())
        } else {
            Err(Error::caller(ErrorKind::Duplicate { field: "cache_id" }))
        }
    }

    /// Adds an entry with its `vectors`: `vectors_per_entry * dim` components, vector by vector. Returns how many of them
    /// saturated, which only MU16 does.
    ///
    /// # Errors
    /// [`ErrorKind::Duplicate`] if the index has an entry of that name; [`ErrorKind::Shape`] for another number of components;
    /// as [`encode_row`]. The index is then what it was.
    pub fn add(&mut self, entry: &Entry<'_>, vectors: &[f32]) -> Result<u64> {
        let dim = usize::try_from(self.options.dim).unwrap_or(usize::MAX);
        let (needed, found) = (dim.checked_mul(self.options.vectors_per_entry.into()), vectors.len());
        if needed != Some(found) {
            let needed = u64::from(self.options.dim).saturating_mul(self.options.vectors_per_entry.into());
            let kind = ErrorKind::Shape { field: "the number of components", needed, found: found as u64 };
            return Err(Error::caller(kind));
        }
        self.name(entry.cache_id)?;
        let before = (self.vectors.len(), self.scales.len());
        match self.encode(vectors, dim) {
            Ok(saturated) => {
                self.entries.push(OwnedEntry::new(entry));
                Ok(saturated)
            }
            Err(error) => {
                self.vectors.truncate(before.0);
                self.scales.truncate(before.1);
                self.cache_ids.remove(entry.cache_id);
                Err(error)
            }
        }
    }

    fn encode(&mut self, vectors: &[f32], dim: usize) -> Result<u64> {
        let kind = self.options.vector_type;
        let row_len = usize::try_from(kind.row_len(self.options.dim)).unwrap_or(usize::MAX);
        let mut saturated = 0u64;
        for vector in vectors.chunks_exact(dim) {
            let start = self.vectors.len();
            self.vectors.resize(start.saturating_add(row_len), 0);
            let row = encode_row(kind, vector, self.vectors.get_mut(start..).unwrap_or_default())?;
            if kind == VectorType::I8 {
                self.scales.extend_from_slice(&row.scale.to_le_bytes());
            }
            saturated = saturated.saturating_add(row.saturated);
        }
        Ok(saturated)
    }

    /// Keeps the entries for which `keep` is true, in their order, and returns how many went. Cost: linear in the index.
    pub fn retain(&mut self, mut keep: impl FnMut(&Entry<'_>) -> bool) -> usize {
        let per_entry = usize::from(self.options.vectors_per_entry);
        let row_len =
            usize::try_from(self.options.vector_type.row_len(self.options.dim)).unwrap_or(usize::MAX);
        let scale_len = usize::try_from(self.options.vector_type.scale_len()).unwrap_or(0);
        let (entry_len, scales_len) =
            (row_len.saturating_mul(per_entry), scale_len.saturating_mul(per_entry));
        let (mut from, mut to) = (0usize, 0usize);
        let (vectors, scales, cache_ids) = (&mut self.vectors, &mut self.scales, &mut self.cache_ids);
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let keeps = keep(&entry.view());
            if keeps {
                move_down(vectors, from, to, entry_len);
                move_down(scales, from, to, scales_len);
                to = to.saturating_add(1);
            } else {
                cache_ids.remove(&entry.cache_id);
            }
            from = from.saturating_add(1);
            keeps
        });
        vectors.truncate(to.saturating_mul(entry_len));
        scales.truncate(to.saturating_mul(scales_len));
        before.saturating_sub(to)
    }

    /// Removes the entry of that name; false if there is none. Cost: as [`retain`](Self::retain), which removes many at once.
    pub fn remove(&mut self, cache_id: &str) -> bool {
        self.contains(cache_id) && self.retain(|entry| entry.cache_id != cache_id) > 0
    }

    /// The vectors, and the search among them.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] for more than 2^32 - 1 vectors; as [`Search::new`].
    pub fn search(&self) -> Result<Search<'_>> {
        let IndexOptions { vector_type, dim, vectors_per_entry, metric, .. } = self.options;
        let vectors = Vectors::new(vector_type, self.rows()?, dim, &self.vectors, &self.scales)?;
        Search::new(vectors, vectors_per_entry, metric)
    }

    fn rows(&self) -> Result<u32> {
        let found = (self.entries.len() as u64).saturating_mul(self.options.vectors_per_entry.into());
        let too_large = ErrorKind::TooLarge { field: "the number of vectors", max: u32::MAX.into(), found };
        u32::try_from(found).map_err(|_| Error::caller(too_large))
    }

    /// The payload of the index's frame, and what goes beside it.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] for more than 2^32 - 1 vectors or bytes of strings; [`ErrorKind::Size`].
    pub fn encode_payload(&self) -> Result<EncodedIndex> {
        let options = &self.options;
        let mut strings = Vec::new();
        let mut raws = Vec::with_capacity(self.entries.len());
        // Entries of one model, most often: its name is written once.
        let mut model: Option<(&str, SpanRaw)> = None;
        for entry in &self.entries {
            let model_id = match model {
                Some((name, span)) if name == entry.model_id => span,
                _ => append(&mut strings, &entry.model_id)?,
            };
            model = Some((&entry.model_id, model_id));
            raws.push(EntryRaw {
                l2_norm: entry.l2_norm.into(),
                context_len: entry.context_len.into(),
                created_at: entry.created_at.into(),
                cache_id: append(&mut strings, &entry.cache_id)?,
                task_description: append(&mut strings, &entry.task_description)?,
                model_id,
            });
        }
        let strings_len = u32::try_from(strings.len()).unwrap_or(u32::MAX);
        let element = match options.vector_type {
            VectorType::F32 => Element::F32,
            VectorType::F16 => Element::F16,
            VectorType::Mu16(_) => Element::I16,
            VectorType::I8 => Element::I8,
            VectorType::Bits => Element::Bits,
        };
        let step = if let VectorType::Mu16(step) = options.vector_type { step.get() } else { 0 };
        let mut config = Config::new(Kind::ENGRAM_INDEX, element, self.rows()?, options.dim, step);
        let entries = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        config.payload_len = Parts::new(options.vector_type, &config, entries, strings_len)?.len();
        let raw = EngramIndexRaw {
            metric: options.metric.code(),
            method: options.method.code(),
            vectors_per_entry: options.vectors_per_entry.into(),
            strings_len: strings_len.into(),
            whitening_prefix: options.whitening_prefix.unwrap_or_default(),
            reserved: [0; 8],
        };
        let payload = [&self.vectors, &self.scales, raws.as_bytes(), &strings].concat();
        Ok(EncodedIndex { config, raw, payload })
    }
}

/// An index as the parts of a frame.
#[derive(Clone, Debug)]
pub struct EncodedIndex {
    config: Config,
    raw: EngramIndexRaw,
    payload: Vec<u8>,
}

impl EncodedIndex {
    /// The frame, to be given a context, a key and its padding.
    ///
    /// # Errors
    /// As [`FrameBuilder::tlv`].
    pub fn to_frame(&self, ctx: ContextHash) -> Result<FrameBuilder<'_>> {
        FrameBuilder::new(ctx, self.config, &self.payload).tlv(TlvType::ENGRAM_INDEX, self.raw.as_bytes())
    }
}

/// Moves the part of number `from`, of `len` bytes, to number `to`, which is not after it.
fn move_down(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    let start = from.saturating_mul(len);
    if from != to && start.saturating_add(len) <= bytes.len() {
        bytes.copy_within(start..start.saturating_add(len), to.saturating_mul(len));
    }
}

fn append(strings: &mut Vec<u8>, text: &str) -> Result<SpanRaw> {
    let end = (strings.len() as u64).saturating_add(text.len() as u64);
    let too_large =
        ErrorKind::TooLarge { field: "the bytes of the strings", max: u32::MAX.into(), found: end };
    if end > u64::from(u32::MAX) {
        return Err(Error::caller(too_large));
    }
    let (start, len) = (u32::try_from(strings.len()), u32::try_from(text.len()));
    strings.extend_from_slice(text.as_bytes());
    Ok(SpanRaw::new(start.unwrap_or(u32::MAX), len.unwrap_or(u32::MAX)))
}

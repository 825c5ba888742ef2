//! The walk through a blob's memory (spec/engram.md, "Caches"). It checks everything but the tensors' bytes, which it skips;
//! the views repeat it piece by piece.
#![deny(clippy::arithmetic_side_effects)]

use super::envelope::word;
use super::layout::{Layout, Memory, Used};
use super::tensor::{Tensor, Tensors};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::Reader;

/// `LLAMA_MAX_SEQ`: streams, and sequences of a cell.
const MAX_SEQUENCES: u32 = 256;
/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u32 = 512;

/// How the bytes of a blob are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) layout: Layout,
    /// Whether the blob holds all sequences, each cell with its list.
    pub(super) whole: bool,
}

/// Walks to the end of the memory.
pub(super) fn memory(reader: &mut Reader<'_>, rules: Rules) -> Result<Used> {
    let mut used = Used::default();
    for _ in 0..caches(rules.layout.memory) {
        Cache::read(reader, rules, &mut used)?;
    }
    Ok(used)
}

pub(super) const fn caches(memory: Memory) -> u32 {
    match memory {
        Memory::None => 0,
        Memory::Kv | Memory::Recurrent => 1,
        Memory::Iswa => 2,
    }
}

/// One cache: some streams of cells.
#[derive(Clone, Debug)]
pub struct Cache<'a> {
    pub(super) rules: Rules,
    offset: u64,
    len: u64,
    stream_count: u32,
    streams: Reader<'a>,
}

impl<'a> Cache<'a> {
    pub(super) fn read(reader: &mut Reader<'a>, rules: Rules, used: &mut Used) -> Result<Self> {
        let offset = reader.offset();
        let counted = rules.layout.streams && rules.layout.memory != Memory::Recurrent;
        let stream_count = if counted { count(reader, "n_stream", 1, MAX_SEQUENCES)? } else { 1 };
        let streams = reader.clone();
        let mut first: Option<Stream<'a>> = None;
        for _ in 0..stream_count {
            let stream = Stream::read(reader, rules)?;
            used.cells |= stream.cell_count > 0;
            used.layers |= stream.layer_count > 0;
            used.tensors |= stream.cell_count > 0 && stream.layer_count > 0;
            // A stream without cells may have nothing else.
            if let Some(first) = &first
                && stream.is_present()
            {
                first.check_like(&stream)?;
            } else if stream.is_present() {
                first = Some(stream);
            }
        }
        let len = reader.offset().saturating_sub(offset);
        Ok(Self { rules, offset, len, stream_count, streams })
    }

    /// Where the cache starts in the blob.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        self.len
    }

    /// Whether it is a recurrent state: "keys" are then its R tensors, "values" its S tensors.
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        self.rules.layout.memory == Memory::Recurrent
    }

    /// How many streams it has: 1 if the cache is unified, otherwise one for each sequence.
    #[must_use]
    pub const fn stream_count(&self) -> u32 {
        self.stream_count
    }

    /// The streams.
    pub fn streams(&self) -> impl Iterator<Item = Stream<'a>> + use<'a> {
        let (mut reader, rules) = (self.streams.clone(), self.rules);
        // Read once before, so that nothing fails.
        (0..self.stream_count).map_while(move |_| Stream::read(&mut reader, rules).ok())
    }
}

/// Cells and their tensors.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    rules: Rules,
    cells_offset: u64,
    cell_count: u32,
    cells: &'a [u8],
    transposed: bool,
    layer_count: u32,
    keys: Reader<'a>,
    values: Reader<'a>,
}

impl<'a> Stream<'a> {
    fn read(reader: &mut Reader<'a>, rules: Rules) -> Result<Self> {
        let layout = rules.layout;
        // Bounded by the bytes left: a cell has eight or more.
        let cell_count = word(reader, "cell_count")?;
        let (cells_offset, start) = (reader.offset(), reader.rest());
        let mut left = cell_count.saturating_sub(Cell::skip_single(reader, rules, cell_count));
        while left > 0 {
            Cell::read(reader, rules)?;
            left = left.saturating_sub(1);
            left = left.saturating_sub(Cell::skip_single(reader, rules, left));
        }
        let cells_len = start.len().saturating_sub(reader.rest().len());
        let cells = start.get(..cells_len).unwrap_or_default();
        let (mut transposed, mut layer_count) = (false, 0);
        let recurrent = layout.memory == Memory::Recurrent;
        let absent =
            cell_count == 0 && (layout.streams && !recurrent || recurrent && reader.rest().is_empty());
        if !absent {
            let at = reader.offset();
            let field = if recurrent { "s_trans" } else { "v_trans" };
            transposed = match word(reader, field)? {
                0 => false,
                1 if !recurrent => true,
                found => return Err(Error::new(ErrorKind::Bool { field, found }, at)),
            };
            // A cache of one kind of attention has no layer where a model has none of that kind.
            let least = u32::from(layout.memory != Memory::Iswa);
            layer_count = count(reader, "n_layer", least, MAX_LAYERS)?;
        }
        let keys = reader.clone();
        for layer in 0..layer_count {
            Tensor::read(reader, layer, cell_count, layout.data, false)?;
        }
        let values = reader.clone();
        if layout.values {
            for layer in 0..layer_count {
                Tensor::read(reader, layer, cell_count, layout.data, transposed)?;
            }
        }
        Ok(Self { rules, cells_offset, cell_count, cells, transposed, layer_count, keys, values })
    }

    /// Whether anything follows the number of cells.
    fn is_present(&self) -> bool {
        self.cell_count > 0 || self.layer_count > 0
    }

    /// All streams of a cache have the same layers.
    fn check_like(&self, other: &Self) -> Result<()> {
        let differ = |field, at| Err(Error::new(ErrorKind::StreamsDiffer { field }, at));
        // v_trans and n_layer stand before the keys.
        let at = other.keys.offset();
        if self.transposed != other.transposed {
            return differ("v_trans", at.saturating_sub(8));
        }
        if self.layer_count != other.layer_count {
            return differ("n_layer", at.saturating_sub(4));
        }
        let pairs = self.keys().zip(other.keys()).chain(self.values().zip(other.values()));
        for (own, found) in pairs {
            if own.ggml_type() != found.ggml_type() {
                return differ("the type of a tensor", found.header_offset());
            }
            if own.width() != found.width() {
                return differ("the size of a row", found.width_offset());
            }
        }
        Ok(())
    }

    /// How many cells are in use.
    #[must_use]
    pub const fn cell_count(&self) -> u32 {
        self.cell_count
    }

    /// Where the cells start in the blob.
    #[must_use]
    pub const fn cells_offset(&self) -> u64 {
        self.cells_offset
    }

    /// The cells, in the order in which tensors have their rows.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let (mut reader, rules) = (Reader::new(self.cells, self.cells_offset), self.rules);
        (0..self.cell_count).map_while(move |_| Cell::read(&mut reader, rules).ok())
    }

    /// Whether values are stored `[width][cells]`, which is so where flash attention was off.
    #[must_use]
    pub const fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// How many layers this cache has; the model may have more.
    #[must_use]
    pub const fn layer_count(&self) -> u32 {
        self.layer_count
    }

    /// The keys, layer by layer.
    #[must_use]
    pub fn keys(&self) -> Tensors<'a> {
        Tensors::new(self.keys.clone(), self.layer_count, self.cell_count, self.rules.layout.data, false)
    }

    /// The values, layer by layer; none for models with latent attention (MLA).
    #[must_use]
    pub fn values(&self) -> Tensors<'a> {
        let layers = if self.rules.layout.values { self.layer_count } else { 0 };
        Tensors::new(self.values.clone(), layers, self.cell_count, self.rules.layout.data, self.transposed)
    }
}

/// One cell: a position of one or more sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The position, not below 0. M-RoPE gives all parts of an image the same one.
    pub pos: i32,
    extension: &'a [u8],
    seq_ids: &'a [u8],
}

impl<'a> Cell<'a> {
    /// Skips cells of one sequence, which most are, as long as nothing is wrong with them and `most` are not reached; how
    /// many. They are all of one size, so that little is left to be checked.
    fn skip_single(reader: &mut Reader<'a>, rules: Rules, most: u32) -> u32 {
        let extension = rules.layout.extension.size();
        let size = extension.saturating_add(12);
        let mut count = 0u32;
        for cell in reader.rest().chunks_exact(size).take(usize::try_from(most).unwrap_or(usize::MAX)) {
            let Some(([pos, single], rest)) = cell.as_chunks::<4>().0.split_first_chunk() else { break };
            let id = rest.last().map_or(u32::MAX, |&id| u32::from_le_bytes(id));
            if i32::from_le_bytes(*pos) < 0 || u32::from_le_bytes(*single) != 1 || id >= MAX_SEQUENCES {
                break;
            }
            count = count.saturating_add(1);
        }
        // Within the bytes left.
        let len = u64::from(count).saturating_mul(size as u64);
        let _ = reader.take("cells", len);
        count
    }

    fn read(reader: &mut Reader<'a>, rules: Rules) -> Result<Self> {
        let at = reader.offset();
        let pos = i32::from_le_bytes(*reader.take_array("pos")?);
        if pos < 0 {
            return Err(Error::new(ErrorKind::Number { field: "pos" }, at));
        }
        let recurrent = rules.layout.memory == Memory::Recurrent;
        // Up to 0.3.9 cells of a sequence do not name it.
        let least = u32::from(!recurrent && (rules.whole || rules.layout.streams));
        let n_seq_id = count(reader, "n_seq_id", least, if rules.whole { MAX_SEQUENCES } else { 1 })?;
        let extension = reader.take("x, y and token of a cell", rules.layout.extension.size() as u64)?;
        let at = reader.offset();
        let seq_ids = reader.take("seq_id", u64::from(n_seq_id).saturating_mul(4))?;
        let cell = Self { pos, extension, seq_ids };
        let (mut at, mut least) = (at, 0);
        for id in cell.seq_ids() {
            // The writer goes through a bit set.
            if !(least..MAX_SEQUENCES.cast_signed()).contains(&id) {
                let kind = if (0..least).contains(&id) {
                    ErrorKind::Order { field: "seq_id" }
                } else {
                    ErrorKind::Number { field: "seq_id" }
                };
                return Err(Error::new(kind, at));
            }
            least = id.saturating_add(1);
            at = at.saturating_add(4);
        }
        Ok(cell)
    }

    /// The sequences that the cell belongs to, ascending.
    pub fn seq_ids(&self) -> impl ExactSizeIterator<Item = i32> + Clone + use<'a> {
        words(self.seq_ids)
    }

    /// What M-RoPE adds: x, y, and from 0.3.36 on the token.
    pub fn extension(&self) -> impl ExactSizeIterator<Item = i32> + Clone + use<'a> {
        words(self.extension)
    }
}

fn words(bytes: &[u8]) -> impl ExactSizeIterator<Item = i32> + Clone {
    bytes.as_chunks().0.iter().map(|&word| i32::from_le_bytes(word))
}

/// The next count, which has to be in `least..=most`.
fn count(reader: &mut Reader<'_>, field: &'static str, least: u32, most: u32) -> Result<u32> {
    let at = reader.offset();
    let found = word(reader, field)?;
    if found > most {
        let kind = ErrorKind::TooLarge { field, max: most.into(), found: found.into() };
        return Err(Error::new(kind, at));
    }
    if found < least {
        return Err(Error::new(ErrorKind::Shape { field, needed: least.into(), found: found.into() }, at));
    }
    Ok(found)
}

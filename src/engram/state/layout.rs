//! What a state blob does not say about itself (spec/engram.md, "Layouts").

use core::fmt;
use core::str::FromStr;

use super::envelope::Envelope;
use crate::error::{Error, ErrorKind};

/// The parts that a blob's memory consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// Nothing: a model without a cache.
    None,
    /// One cache of keys and values.
    Kv,
    /// Two, one after the other: full attention and sliding window.
    Iswa,
    /// A recurrent state.
    Recurrent,
}

/// What stands in a cell between `n_seq_id` and the sequence ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// Nothing.
    None,
    /// M-RoPE: x and y, 8 bytes.
    Xy,
    /// x, y and the token's id, 12 bytes.
    XyToken,
}

impl Extension {
    /// Bytes per cell.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::None => 0,
            Self::Xy => 8,
            Self::XyToken => 12,
        }
    }
}

/// What a state blob does not say about itself, and its reader has to know or to find out.
///
/// As text: the memory (`none`, `kv`, `iswa`, `recurrent`), then what differs from the usual: `+outputs`, `-streams`,
/// `+ext8` or `+ext12`, `-values`, `-data`. `kv+ext12` is a model with M-RoPE, `kv-values` one with latent attention (MLA).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// The parts.
    pub memory: Memory,
    /// Whether ids, logits and embeddings of outputs come before the memory (llama-cpp-python up to 0.3.16).
    pub outputs: bool,
    /// Whether caches state their number of streams (from 0.3.15 on).
    pub streams: bool,
    /// What else a cell has.
    pub extension: Extension,
    /// Whether layers have values, not keys alone.
    pub values: bool,
    /// Whether tensors have their bytes; headers alone are what ON_DEVICE writes.
    pub data: bool,
}

const USUAL: Layout = Layout {
    memory: Memory::Kv,
    outputs: false,
    streams: true,
    extension: Extension::None,
    values: true,
    data: true,
};

/// All layouts that llama.cpp is known to have written, the likeliest first.
#[allow(clippy::indexing_slicing)] // Done by the compiler, which would say so.
const KNOWN: [Layout; 34] = {
    let mut known = [USUAL; 34];
    let mut n = 0;
    let mut data = 2;
    while data > 0 {
        data -= 1;
        let mut memory = 0;
        while memory < 2 {
            let mut shape = 0;
            while shape < 6 {
                known[n] = Layout {
                    memory: if memory == 0 { Memory::Kv } else { Memory::Iswa },
                    extension: match shape % 3 {
                        0 => Extension::None,
                        1 => Extension::Xy,
                        _ => Extension::XyToken,
                    },
                    values: shape < 3,
                    data: data == 1,
                    ..USUAL
                };
                (n, shape) = (n + 1, shape + 1);
            }
            memory += 1;
        }
    }
    let old = Layout { outputs: true, ..USUAL };
    known[n] = old;
    known[n + 1] = Layout { streams: false, ..old };
    known[n + 2] = Layout { memory: Memory::Iswa, ..old };
    known[n + 3] = Layout { memory: Memory::Iswa, streams: false, ..old };
    known[n + 4] = Layout { streams: false, ..USUAL };
    known[n + 5] = Layout { memory: Memory::Iswa, streams: false, ..USUAL };
    known[n + 6] = Layout { memory: Memory::Recurrent, ..USUAL };
    known[n + 7] = Layout { memory: Memory::None, ..USUAL };
    known[n + 8] = Layout { memory: Memory::Recurrent, ..old };
    known[n + 9] = Layout { memory: Memory::None, ..old };
    known
};

impl Layout {
    /// Layouts to be tried, the likeliest first.
    pub(super) fn known() -> impl Iterator<Item = (u32, Self)> {
        (0..).zip(KNOWN)
    }

    /// The number of this layout, if it is among the known ones.
    pub(super) fn number(self) -> Option<u32> {
        Self::known().find(|&(_, known)| known == self).map(|(number, _)| number)
    }

    /// Whether some version wrote this layout behind such an envelope.
    pub(super) fn may_follow(self, envelope: &Envelope<'_>) -> bool {
        let old = match *envelope {
            Envelope::State { .. } => true,
            Envelope::Session { version, .. } => version == 9,
            Envelope::Sequence { seq_id, .. } => seq_id.is_none(),
            Envelope::SequenceFile { version, .. } => version == 2,
        };
        let new = match *envelope {
            Envelope::State { .. } => true,
            Envelope::Session { version, .. } => version == 10,
            Envelope::Sequence { seq_id, .. } => seq_id.is_some(),
            Envelope::SequenceFile { version, .. } => version == 3,
        };
        let whole = envelope.is_whole();
        // Before there were streams there were outputs, where there are any.
        let streams = self.streams || self.memory == Memory::Recurrent || old && self.outputs == whole;
        let outputs = !self.outputs || whole && old;
        let extension = match self.extension {
            Extension::None => true,
            // 0.3.17 to 0.3.35: sequences have their magic from 0.3.23 on.
            Extension::Xy => old || matches!(envelope, Envelope::Sequence { .. }),
            Extension::XyToken => new,
        };
        let data = self.data || matches!(envelope, Envelope::Sequence { seq_id: Some(_), .. });
        let memory = self.memory != Memory::None || whole;
        streams && outputs && extension && data && memory
    }

    /// The same layout with what a blob without such parts does not tell set to the usual.
    pub(super) fn normal(self, used: Used) -> Self {
        Self {
            extension: if used.cells { self.extension } else { Extension::None },
            values: self.values || !used.layers,
            data: self.data || !used.tensors,
            ..self
        }
    }
}

/// Which parts a blob has, and so which of its layout's properties matter.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    pub(super) cells: bool,
    pub(super) layers: bool,
    pub(super) tensors: bool,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.memory {
            Memory::None => "none",
            Memory::Kv => "kv",
            Memory::Iswa => "iswa",
            Memory::Recurrent => "recurrent",
        })?;
        for (differs, name) in [
            (self.outputs, "+outputs"),
            (!self.streams, "-streams"),
            (self.extension == Extension::Xy, "+ext8"),
            (self.extension == Extension::XyToken, "+ext12"),
            (!self.values, "-values"),
            (!self.data, "-data"),
        ] {
            if differs {
                f.write_str(name)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Layout {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes; the parts after the first may come in any order.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for anything else.
    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = Error::caller(ErrorKind::Argument {
            expected: "a layout is none, kv, iswa or recurrent, then +outputs, -streams, +ext8 or +ext12, -values, -data",
        });
        let (memory, mut rest) = text.split_at(text.find(['+', '-']).unwrap_or(text.len()));
        let mut layout = Self {
            memory: match memory {
                "none" => Memory::None,
                "kv" => Memory::Kv,
                "iswa" => Memory::Iswa,
                "recurrent" => Memory::Recurrent,
                _ => return Err(unknown),
            },
            ..USUAL
        };
        while let Some(sign) = rest.chars().next() {
            let tail = rest.strip_prefix(sign).unwrap_or_default();
            let (part, after) = tail.split_at(tail.find(['+', '-']).unwrap_or(tail.len()));
            match (sign, part) {
                ('+', "outputs") => layout.outputs = true,
                ('-', "streams") => layout.streams = false,
                ('+', "ext8") => layout.extension = Extension::Xy,
                ('+', "ext12") => layout.extension = Extension::XyToken,
                ('-', "values") => layout.values = false,
                ('-', "data") => layout.data = false,
                _ => return Err(unknown),
            }
            rest = after;
        }
        Ok(layout)
    }
}

/// Some of the known layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutSet(u64);

impl LayoutSet {
    pub(super) const EMPTY: Self = Self(0);

    pub(super) fn insert(&mut self, layout: Layout) {
        self.0 |= layout.number().and_then(|number| 1u64.checked_shl(number)).unwrap_or(0);
    }

    /// The layouts.
    pub fn iter(self) -> impl Iterator<Item = Layout> {
        Layout::known()
            .filter(move |&(number, _)| self.0.checked_shr(number).unwrap_or(0) & 1 == 1)
            .map(|(_, layout)| layout)
    }
}

impl fmt::Display for LayoutSet {
    /// Their names, separated by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for layout in self.iter() {
            write!(f, "{between}{layout}")?;
            between = ", ";
        }
        Ok(())
    }
}

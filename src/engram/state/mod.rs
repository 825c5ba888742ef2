//! llama.cpp state blobs, read without copying (spec/engram.md, "State blobs").
//!
//! What `llama_state_get_data`, `llama_state_save_file` and their like for sequences write has no checksum, no total length
//! and no description of itself. [`State::parse`] tries the layouts that llama.cpp is known to have written and takes the
//! only one that consumes the blob exactly; [`State::parse_as`] is told. Either way the whole blob is walked, the bytes of
//! tensors excepted, before anything of it is handed out, and nothing is copied or allocated.
//!
//! ```
//! use bitwire::engram::state::State;
//!
//! # let mut blob = Vec::new();
//! # blob.extend_from_slice(b"\x05\0\0\0llama\x01\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
//! # for _ in 0..2 { blob.extend_from_slice(b"\x01\0\0\0\x04\0\0\0\0\0\0\0\0\x3C\0\xC0"); }
//! let state = State::parse(&blob)?;
//! assert_eq!(state.envelope().arch(), Some("llama"));
//! assert_eq!(state.layout().to_string(), "kv");
//! for cache in state.caches() {
//!     for stream in cache.streams() {
//!         let mut key = [0.0; 2];
//!         for tensor in stream.keys() {
//!             tensor.cell_into(0, 0, &mut key)?;
//!             assert_eq!(key, [1.0, -2.0]);
//!         }
//!     }
//! }
//! # Ok::<(), bitwire::Error>(())
//! ```
#![deny(clippy::arithmetic_side_effects)]

mod arch;
mod envelope;
mod keys;
mod layout;
mod tensor;
mod walk;

pub use envelope::{Envelope, Known, Outputs, Words};
pub use keys::StreamKeys;
pub use layout::{Extension, Layout, LayoutSet, Memory};
pub use tensor::{CellElements, Tensor, TensorBlocks, Tensors};
pub use walk::{Cache, Cell, Stream};

use crate::error::{Error, ErrorKind, Result, Snippet};
use crate::wire::Reader;
use arch::Class;
use layout::Used;
use walk::Rules;

/// A checked state blob over borrowed bytes.
#[derive(Clone, Debug)]
pub struct State<'a> {
    envelope: Envelope<'a>,
    rules: Rules,
    outputs: Option<Outputs<'a>>,
    memory: Reader<'a>,
}

impl<'a> State<'a> {
    /// Reads the blob that fills `bytes`, in whichever layout fits.
    ///
    /// Cost: linear in cells and layers, for each of some thirty layouts; most fail at their first field.
    ///
    /// # Errors
    /// [`ErrorKind::Ambiguous`] if more than one layout fits: [`parse_as`](Self::parse_as) then needs the model's name or the
    /// layout. [`ErrorKind::StateMemory`] for models whose memory cannot be walked. If none fits, the error of the layout
    /// that came furthest, with its offset.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        Self::parse_as(bytes, &Known::default())
    }

    /// Reads the blob that fills `bytes`, of which something is known.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); [`ErrorKind::StateArch`] if the blob names another model. With a layout given, the first
    /// breach of it.
    pub fn parse_as(bytes: &'a [u8], known: &Known<'_>) -> Result<Self> {
        let mut reader = Reader::new(bytes, 0);
        let mut search = Search::new(known);
        match Envelope::read(&mut reader)? {
            Some(envelope) => search.try_all(envelope, &reader)?,
            None => {
                // A model's name, or the memory of a sequence at once: a count of streams can look like a short name.
                let mut after = reader.clone();
                let state = Envelope::read_state(&mut after);
                if known.layout.is_some_and(|layout| layout.outputs) {
                    // No sequence has outputs.
                    search.try_all(state?, &after)?;
                    return search.finish();
                }
                if let Ok(envelope) = state {
                    search.try_all(envelope, &after)?;
                }
                let named = state.is_ok_and(|state| {
                    arch::class(state.arch().unwrap_or_default().as_bytes()) != Class::Unknown
                });
                if !named {
                    search.try_all(Envelope::Sequence { seq_id: None }, &reader)?;
                }
            }
        }
        search.finish()
    }

    /// How the blob was saved.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope<'a> {
        &self.envelope
    }

    /// The layout that was found to fit, or was given.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.rules.layout
    }

    /// The outputs, which old versions wrote before the memory.
    #[must_use]
    pub const fn outputs(&self) -> Option<&Outputs<'a>> {
        self.outputs.as_ref()
    }

    /// The caches: one, or that of full attention and that of the sliding window.
    pub fn caches(&self) -> impl Iterator<Item = Cache<'a>> + use<'a> {
        let (mut reader, rules) = (self.memory.clone(), self.rules);
        let count = walk::caches(rules.layout.memory);
        // Read once before, so that nothing fails.
        (0..count).map_while(move |_| Cache::read(&mut reader, rules, &mut Used::default()).ok())
    }

    /// Whether keys (values) look as if llama.cpp had rotated them by a Hadamard matrix, which the blob does not say:
    /// since 0.3.20 it does so to quantised ones whose heads have a multiple of 64 components.
    #[must_use]
    pub fn may_be_rotated(&self, head_dim: u32) -> bool {
        let quantised = |tensor: Tensor<'_>| tensor.ggml_type().is_quantised();
        let any = |stream: Stream<'_>| stream.keys().any(quantised) || stream.values().any(quantised);
        let streams = |cache: Cache<'_>| cache.streams().any(any);
        !self.rules.layout.outputs && head_dim.is_multiple_of(64) && self.caches().any(streams)
    }
}

/// The search for the layout that fits.
struct Search<'a, 'k> {
    known: &'k Known<'k>,
    found: Option<State<'a>>,
    fits: LayoutSet,
    several: bool,
    /// Of the layouts that do not fit, the error of the one that came furthest.
    failure: Option<Error>,
}

impl<'a, 'k> Search<'a, 'k> {
    const fn new(known: &'k Known<'k>) -> Self {
        Self { known, found: None, fits: LayoutSet::EMPTY, several: false, failure: None }
    }

    fn try_all(&mut self, envelope: Envelope<'a>, reader: &Reader<'a>) -> Result<()> {
        let name = match (envelope.arch(), self.known.arch) {
            (Some(own), Some(known)) if own != known => {
                let at = reader.offset().saturating_sub(own.len() as u64);
                return Err(Error::new(ErrorKind::StateArch { found: Snippet::new(own.as_bytes()) }, at));
            }
            (own, known) => own.or(known),
        };
        let class = name.map_or(Class::Unknown, |name| arch::class(name.as_bytes()));
        if let Some(layout) = self.known.layout {
            if envelope.is_whole() || !layout.outputs {
                self.consider(layout, envelope, reader);
            } else {
                let expected = "outputs are of states and sessions alone";
                self.fail(Error::caller(ErrorKind::Argument { expected }));
            }
            return Ok(());
        }
        if class == Class::Hybrid {
            let found = Snippet::new(name.unwrap_or_default().as_bytes());
            return Err(Error::new(ErrorKind::StateMemory { found }, reader.offset()));
        }
        for (_, layout) in Layout::known() {
            let fits = match class {
                Class::Attention | Class::Hybrid => layout.memory != Memory::Recurrent,
                Class::Recurrent => layout.memory == Memory::Recurrent,
                Class::Unknown => true,
            };
            if fits && layout.may_follow(&envelope) {
                self.consider(layout, envelope, reader);
            }
        }
        Ok(())
    }

    fn consider(&mut self, layout: Layout, envelope: Envelope<'a>, reader: &Reader<'a>) {
        match walk_all(layout, envelope, reader.clone()) {
            Ok(state) => {
                self.fits.insert(layout);
                match &self.found {
                    // Without cells, say, an extension of cells makes no difference.
                    Some(found) => {
                        self.several |= found.rules != state.rules || found.envelope != state.envelope
                    }
                    None => self.found = Some(state),
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) {
        if self.failure.is_none_or(|before| error.offset() > before.offset()) {
            self.failure = Some(error);
        }
    }

    fn finish(self) -> Result<State<'a>> {
        if self.several {
            return Err(Error::new(ErrorKind::Ambiguous { layouts: self.fits }, 0));
        }
        let nothing = ErrorKind::Truncated { field: "a state blob", needed: 4, available: 0 };
        self.found.ok_or(self.failure.unwrap_or(Error::new(nothing, 0)))
    }
}

/// Walks the blob in one layout, to its end.
fn walk_all<'a>(layout: Layout, envelope: Envelope<'a>, mut reader: Reader<'a>) -> Result<State<'a>> {
    let outputs = if layout.outputs { Some(Outputs::read(&mut reader)?) } else { None };
    let memory = reader.clone();
    let rules = Rules { layout, whole: envelope.is_whole() };
    let used = walk::memory(&mut reader, rules)?;
    let left = reader.rest().len() as u64;
    if left > 0 {
        return Err(Error::new(ErrorKind::TrailingBytes { count: left }, reader.offset()));
    }
    Ok(State { envelope, rules: Rules { layout: layout.normal(used), ..rules }, outputs, memory })
}

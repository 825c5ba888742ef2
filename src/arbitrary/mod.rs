//! A fuzz kit for readers of these formats, or of formats like them: valid frames of every kind, and frames in which one
//! rule is broken, each with the verdict that a reader has to come to.
//!
//! - [`ValidFrame`]: a frame that every reader has to accept. All kinds and elements, with and without what is optional: digest,
//!   MAC, padding, context, TLVs that a reader may skip.
//! - [`Mutant`]: such a frame after one change that breaks one [`Rule`], together with the frame before the change. What is
//!   checked later than the rule and depends on the bytes changed (digest, MAC, CRC) is made right again, so that a reader which
//!   skips the rule has nothing else to stumble over.
//!
//! Both implement [`Arbitrary`] of the crate `arbitrary` 1.x, and are so the input of a target for
//! cargo-fuzz (libFuzzer), afl.rs or honggfuzz; both are also made from a plain number, without a fuzzer. On disk the same
//! comes from `bitwire fuzz-corpus`, for readers in other languages.
//!
//! ```
//! use bitwire::arbitrary::{Mutant, ValidFrame, View};
//!
//! // The reader to be tested: bytes in; nothing, or the name of an error and its offset out.
//! fn reader(view: View, bytes: &[u8]) -> Result<(), (&'static str, u64)> {
//!     view.read(bytes, None).map_err(|error| (error.kind().name(), error.offset()))
//! }
//!
//! for seed in 0..100 {
//!     let valid = ValidFrame::from_seed(seed);
//!     assert_eq!(reader(valid.view(), valid.bytes()), Ok(()));
//!
//!     let mutant = Mutant::from_seed(seed);
//!     let rule = mutant.rule();
//!     if rule.view() == View::Verify {
//!         continue; // about keys, which this reader does not take
//!     }
//!     let (kind, offset) = reader(rule.view(), mutant.bytes()).unwrap_err();
//!     assert_eq!(kind, rule.error(), "{}", rule.name());
//!     // A few faults have no place of their own: spec/frame.md, "Context".
//!     assert!(mutant.offset().is_none_or(|due| due == offset), "{}", rule.name());
//! }
//! ```
//!
//! # Verdicts
//!
//! The kit takes a verdict from the rule: it knows what it changed, and where that stands. It asks no parser, of this crate or
//! of any other, so it can be held against all of them. Errors are named as in [`ErrorKind::name`](crate::ErrorKind::name) and in
//! the vectors of `spec/`, without the details that [`ErrorKind`](crate::ErrorKind) carries: another reader has the kinds of the documents,
//! and not the fields of this crate. [`Rule::all`] is the table of what can be broken; it has at least one rule for every
//! error of every step of the documents' tables of checks.
//!
//! A rule is broken alone where that can be. Some changes drag others along, such as a count so large that its product
//! overflows 64 bits: then what else is wrong is checked later, and the rule named is the first that a reader meets.
//!
//! # Cost
//!
//! Frames have some hundred bytes, some of them 4 KiB where a rule is about size, and none more than 6 KiB; making one takes a few
//! times that in memory. Any input will do, and so does none: where its bytes have run out, choices fall to the first there
//! is. Nothing here panics.
//!
//! The values that a name stands for and the frames that a seed gives may change with the version of this crate; names of
//! rules stay.
// This module makes bytes, and reads none but its own. Sums are of lengths and places in frames of a few KiB, or stand where their
// bounds were drawn.

mod corpus;
mod draft;
mod draw;
mod kinds;
mod rules;

use alloc::vec::Vec;

use ::arbitrary::{Arbitrary, Unstructured};

pub use corpus::{Sample, corpus};
pub use rules::Rule;

use draw::Draw;

use crate::beacon::Beacon;
use crate::engram::index::Index as EngramIndex;
use crate::engram::whitening::Whitening;
use crate::error::{Error, Result};
use crate::frame::{Frame, Key};
use crate::gist::GistView;
use crate::ledger::{Chunk, Index};
use crate::mirror::{Blocks, MirrorView};

/// How far a reader reads a frame. In all of them the frame has to fill the bytes (step 15 of spec/frame.md), and HMAC_V1
/// is verified if the reader has a key (steps 16 and 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum View {
    /// The frame, of whatever kind.
    Frame,
    /// The same by a reader that has a key.
    Verify,
    /// The frame, then CONTEXT_V1 as a value (step 18).
    Context,
    /// The frame, then the typed view of a beacon.
    Beacon,
    /// The frame, then the typed view of a ledger's chunk.
    Chunk,
    /// The frame, then the typed view of a ledger's index.
    Index,
    /// The frame, then the typed view of a mirror.
    Mirror,
    /// The frame, then the typed view of an index of engrams.
    EngramIndex,
    /// The frame, then the typed view of a gist.
    Gist,
    /// The frame, then the typed view of blocks.
    Blocks,
    /// The frame, then the typed view of a whitening.
    Whitening,
}

impl View {
    /// The views of the kinds 0 to 7, in this order.
    pub const OF_KINDS: [Self; 8] = [
        Self::Beacon,
        Self::Chunk,
        Self::Index,
        Self::Mirror,
        Self::EngramIndex,
        Self::Gist,
        Self::Blocks,
        Self::Whitening,
    ];

    /// Its name: as in the vectors of `spec/`, and `frame+context`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Verify => "verify",
            Self::Context => "frame+context",
            Self::Beacon => "beacon",
            Self::Chunk => "chunk",
            Self::Index => "index",
            Self::Mirror => "mirror",
            Self::EngramIndex => "engram-index",
            Self::Gist => "gist",
            Self::Blocks => "blocks",
            Self::Whitening => "whitening",
        }
    }

    /// The document in `spec/` and the heading in it under which the view's checks stand.
    const fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Frame | Self::Verify | Self::Context => ("frame.md", "Order of checks"),
            Self::Beacon => ("beacon.md", "Checks of the typed view"),
            Self::Chunk => ("ledger.md", "Checks of the chunk's view"),
            Self::Index => ("ledger.md", "Checks of the index's view"),
            Self::Mirror => ("mirror.md", "Checks of the mirror's view"),
            Self::EngramIndex => ("engram.md", "Checks of the index's view"),
            Self::Gist => ("gist.md", "Checks of the gist's view"),
            Self::Blocks => ("mirror.md", "Checks of the blocks' view"),
            Self::Whitening => ("engram.md", "Checks of the whitening's view"),
        }
    }

    /// What the readers of this crate say of `bytes`; for comparison. Without a key HMAC_V1 is not looked at.
    ///
    /// # Errors
    /// The first breach in the order of the documents, with its offset.
    pub fn read(self, bytes: &[u8], key: Option<&Key>) -> Result<()> {
        let frame = Frame::parse_exact(bytes)?;
        if let Some(key) = key {
            frame.verify(key)?;
        }
        match self {
            Self::Frame | Self::Verify => Ok(()),
            Self::Context => frame.context().map(|_| ()),
            Self::Beacon => Beacon::from_frame(&frame).map(|_| ()),
            Self::Chunk => Chunk::from_frame(&frame).map(|_| ()),
            Self::Index => Index::from_frame(&frame).map(|_| ()),
            Self::Mirror => MirrorView::from_frame(&frame).map(|_| ()),
            Self::EngramIndex => EngramIndex::from_frame(&frame).map(|_| ()),
            Self::Gist => GistView::from_frame(&frame).map(|_| ()),
            Self::Blocks => Blocks::from_frame(&frame).map(|_| ()),
            Self::Whitening => Whitening::from_frame(&frame).map(|_| ()),
        }
    }
}

/// A frame that every reader accepts: the frame, its context as a value, and the typed view of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidFrame {
    view: View,
    bytes: Vec<u8>,
    key: Option<Vec<u8>>,
}

impl ValidFrame {
    /// A frame for this view. With [`View::Frame`] and [`View::Context`] it is of any kind, now and then of one that no version
    /// knows; with [`View::Verify`] likewise, and signed.
    ///
    /// Cost: linear in the frame's size, of at most 6 KiB.
    #[must_use]
    pub fn of(view: View, u: &mut Unstructured<'_>) -> Self {
        let parts = if view == View::Verify { draft::Parts::HMAC } else { draft::Parts::NONE };
        let draft = kinds::draft(view, parts, &mut Draw::new(u));
        Self { view, bytes: draft.bytes(), key: draft.key }
    }

    /// The frame of a number: always the same one.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::any(&mut Unstructured::new(&random_bytes(seed)))
    }

    /// The frame of a view and a number: always the same one.
    #[must_use]
    pub fn of_seed(view: View, seed: u64) -> Self {
        Self::of(view, &mut Unstructured::new(&random_bytes(seed)))
    }

    fn any(u: &mut Unstructured<'_>) -> Self {
        let view = match u.int_in_range(0..=8).unwrap_or(0) {
            8_usize => View::Frame,
            place => View::OF_KINDS.get(place).copied().unwrap_or(View::Frame),
        };
        Self::of(view, u)
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The view that accepts it: that of its kind, where there is one.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// The key under which HMAC_V1 verifies, if the frame has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }
}

impl<'a> Arbitrary<'a> for ValidFrame {
    fn arbitrary(u: &mut Unstructured<'a>) -> ::arbitrary::Result<Self> {
        Ok(Self::any(u))
    }
}

/// A frame in which one rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    rule: &'static Rule,
    bytes: Vec<u8>,
    original: Vec<u8>,
    key: Option<Vec<u8>>,
    offset: Option<u64>,
}

impl Mutant {
    /// A frame in which this rule is broken.
    ///
    /// Cost: linear in the frame's size, of at most 6 KiB.
    #[must_use]
    pub fn of(rule: &'static Rule, u: &mut Unstructured<'_>) -> Self {
        let u = &mut Draw::new(u);
        let mut draft = kinds::draft(rule.view(), rule.parts(), u);
        let original = draft.bytes();
        let offset = rule.change(u, &mut draft);
        Self { rule, bytes: draft.bytes(), original, key: draft.key, offset }
    }

    /// The mutant of a number: always the same one.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::any(&mut Unstructured::new(&random_bytes(seed)))
    }

    /// The mutant of a rule and a number: always the same one.
    #[must_use]
    pub fn of_seed(rule: &'static Rule, seed: u64) -> Self {
        Self::of(rule, &mut Unstructured::new(&random_bytes(seed)))
    }

    fn any(u: &mut Unstructured<'_>) -> Self {
        let last = Rule::all().count().saturating_sub(1);
        let place = u.int_in_range(0..=last).unwrap_or(0);
        Self::of(Rule::all().nth(place).unwrap_or(Rule::FIRST), u)
    }

    /// The frame, which a reader has to refuse.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same frame before the rule was broken, which a reader has to accept.
    #[must_use]
    pub fn original(&self) -> &[u8] {
        &self.original
    }

    /// The rule that is broken; its [`view`](Rule::view) is the reader to be used.
    #[must_use]
    pub const fn rule(&self) -> &'static Rule {
        self.rule
    }

    /// Where a reader has to refuse it, in bytes from the frame's start. `None` where the documents state no place, which
    /// is so for some contexts that are not canonical (spec/frame.md, "Context").
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        self.offset
    }

    /// The reader's key, if it has one. [`View::Verify`] needs it; for the other views it makes no difference, but for the
    /// original, which is signed with it.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// Whether `error` is the one that a reader has to give.
    #[must_use]
    pub fn is(&self, error: &Error) -> bool {
        error.kind().name() == self.rule.error() && self.offset.is_none_or(|due| error.place() == Some(due))
    }
}

impl<'a> Arbitrary<'a> for Mutant {
    fn arbitrary(u: &mut Unstructured<'a>) -> ::arbitrary::Result<Self> {
        Ok(Self::any(u))
    }
}

/// Bytes of a number, as many as the choices of a frame take, by SplitMix64 (Steele, Lea, Flood, 2014).
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = (0..256).flat_map(|_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31).to_le_bytes()
    });
    words.collect()
}

#[cfg(test)]
mod tests;

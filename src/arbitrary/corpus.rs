//! A corpus for readers that are no Rust: frames by name.

use alloc::format;
use alloc::string::String;

use super::{Mutant, Rule, ValidFrame, View};
use crate::frame::ContextHash;

/// A frame of a corpus, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// To be accepted.
    Valid(ValidFrame),
    /// To be refused.
    Mutant(Mutant),
}

impl Sample {
    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Valid(valid) => valid.bytes(),
            Self::Mutant(mutant) => mutant.bytes(),
        }
    }

    /// The reader to be used.
    #[must_use]
    pub const fn view(&self) -> View {
        match self {
            Self::Valid(valid) => valid.view(),
            Self::Mutant(mutant) => mutant.rule().view(),
        }
    }

    /// The reader's key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Valid(valid) => valid.key(),
            Self::Mutant(mutant) => mutant.key(),
        }
    }
}

/// `count` valid frames for each view of a kind and for [`View::Frame`], then `count` mutants of each rule, one by one. With each
/// comes a path for it, such as `valid/beacon-0001.bit` or `mutant/crc-0001.bit`.
///
/// The same seed gives the same frames. Each depends on the seed and its own path alone, not on how many there are or
/// on which other rules a version knows.
pub fn corpus(seed: u64, count: u32) -> impl Iterator<Item = (String, Sample)> {
    let own_seed = move |path: &str| {
        let ContextHash(hash) = ContextHash::of(format!("{seed} {path}").as_bytes());
        u64::from_be_bytes(hash)
    };
    let valid = View::OF_KINDS.into_iter().chain([View::Frame]).flat_map(move |view| {
        (1..=count).map(move |number| {
            let path = format!("valid/{}-{number:04}.bit", view.name());
            let valid = ValidFrame::of_seed(view, own_seed(&path));
            (path, Sample::Valid(valid))
        })
    });
    let mutants = Rule::all().flat_map(move |rule| {
        (1..=count).map(move |number| {
            let path = format!("mutant/{}-{number:04}.bit", rule.name());
            let mutant = Mutant::of_seed(rule, own_seed(&path));
            (path, Sample::Mutant(mutant))
        })
    });
    valid.chain(mutants)
}

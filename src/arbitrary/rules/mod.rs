//! The rules that a mutant can break, document by document, in the order in which readers check them.

mod beacon;
mod engram;
mod frame;
mod gist;
mod ledger;
mod mirror;

use super::View;
use super::draft::{Draft, Parts};
use super::draw::Draw;
use crate::frame::TlvType;

/// Breaks a rule in a valid frame that has the parts for it, and says at which byte a reader has to refuse it, where the
/// documents say so.
type Change = fn(&mut Draw<'_, '_>, &mut Draft) -> Option<u64>;

/// A rule of the documents in `spec/`: one that a reader holds frames to, and that a [`Mutant`](super::Mutant) breaks.
///
/// These are all, in the order of [`Rule::all`]:
///
#[doc = include_str!("../rules.md")]
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    name: &'static str,
    view: View,
    step: &'static str,
    error: &'static str,
    parts: Parts,
    change: Change,
}

const fn rule(
    name: &'static str,
    view: View,
    step: &'static str,
    error: &'static str,
    parts: Parts,
    change: Change,
) -> Rule {
    Rule { name, view, step, error, parts, change }
}

const TABLES: [&[Rule]; 6] =
    [frame::RULES, beacon::RULES, ledger::RULES, mirror::RULES, engram::RULES, gist::RULES];

impl Rule {
    pub(super) const FIRST: &'static Self = &frame::FIRST;

    /// All rules.
    pub fn all() -> impl Iterator<Item = &'static Self> + Clone {
        TABLES.into_iter().flatten()
    }

    /// The rule of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|rule| rule.name == name)
    }

    /// Its name, which stays: lower-case letters, digits and hyphens.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The reader that checks it.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// The document that states it, in `spec/`.
    #[must_use]
    pub const fn document(&self) -> &'static str {
        self.view.table().0
    }

    /// The heading in the document under which its check stands in a table.
    #[must_use]
    pub const fn section(&self) -> &'static str {
        self.view.table().1
    }

    /// Its step in that table, such as `4.3`.
    #[must_use]
    pub const fn step(&self) -> &'static str {
        self.step
    }

    /// The name of the error's kind, as [`ErrorKind::name`](crate::ErrorKind::name) gives it.
    #[must_use]
    pub const fn error(&self) -> &'static str {
        self.error
    }

    pub(super) const fn parts(&self) -> Parts {
        self.parts
    }

    pub(super) fn change(&self, u: &mut Draw<'_, '_>, draft: &mut Draft) -> Option<u64> {
        (self.change)(u, draft)
    }
}

/// Names are unique.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Rule {}

/// The frame says that it is of another kind.
fn other_kind(u: &mut Draw<'_, '_>, d: &mut Draft) -> Option<u64> {
    let kind = d.kind();
    // A chunk would need DIGEST_V1, which comes first.
    let other = match u.u8_between(0, 9) {
        1 if !d.has(TlvType::DIGEST) => 200,
        other => other,
    };
    d.set_config(0, &[if other == kind { 8 } else { other }]);
    d.config(0)
}

/// The one TLV of the kind is not there.
fn no_tlv(d: &mut Draft, tlv: u8) -> Option<u64> {
    d.remove(tlv);
    Some(d.at(tlv))
}

/// One more TLV of 03 to 7F, of another kind.
fn foreign_tlv(u: &mut Draw<'_, '_>, d: &mut Draft) -> Option<u64> {
    use TlvType as T;
    let own = match d.kind() {
        0 => [T::CALIB_STATS, T::RESULTS],
        1 => [T::LEDGER_CHUNK; 2],
        2 => [T::LEDGER_INDEX; 2],
        3 => [T::MIRROR; 2],
        4 => [T::ENGRAM_INDEX; 2],
        5 => [T::GIST; 2],
        _ => [T::CONFIG; 2],
    };
    let all = [
        (T::CALIB_STATS, 32),
        (T::RESULTS, 0),
        (T::LEDGER_CHUNK, 24),
        (T::LEDGER_INDEX, 88),
        (T::MIRROR, 48),
        (T::GIST, 56),
        (T::ENGRAM_INDEX, 24),
    ];
    let foreign = || all.into_iter().filter(|(tlv, _)| !own.contains(tlv));
    let (tlv, len) = foreign().nth(u.place(foreign().count()))?;
    d.insert(tlv, u.bytes(len));
    Some(d.at(tlv))
}

/// The payload has another length than the shape gives, and CONFIG_V1 says so.
fn payload_len(u: &mut Draw<'_, '_>, d: &mut Draft) -> Option<u64> {
    let len = d.payload.len() as u64;
    let other = u.below(len * 2 + 4);
    d.resize_payload(if other == len { len + 1 } else { other });
    d.config(16)
}

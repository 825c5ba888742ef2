//! Which answers are right, and how many.
#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::io::BufRead;
use std::vec::Vec;

use super::axis::{self, Axis, Band};
use super::lines::{Join, JoinError, Planted, read_answers, read_joined};
use crate::io::Cause;

/// The 97.5 % quantile of the normal distribution, for intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// What counts as a right answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Nothing but the passkey may be there, apart from what is no letter or digit (of any script) before and after it.
    pub exact: bool,
    /// Capital and small letters of ASCII are the same.
    pub ignore_case: bool,
}

impl Rule {
    /// The same, with nothing but the passkey allowed.
    #[must_use]
    pub const fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// The same, whatever the case.
    #[must_use]
    pub const fn ignore_case(mut self, ignore_case: bool) -> Self {
        self.ignore_case = ignore_case;
        self
    }

    /// Whether an answer names the passkey: as a whole word, which is no part of a longer run of letters and digits of ASCII.
    /// What follows in another script ends it, as a Korean particle does.
    ///
    /// ```
    /// let rule = bitwire::gist::niah::Rule::default();
    /// assert!(rule.accepts("비밀 패스키는 YD1IB2입니다.", "YD1IB2"));
    /// assert!(!rule.accepts("XYD1IB2", "YD1IB2"));
    /// ```
    #[must_use]
    pub fn accepts(self, answer: &str, needle: &str) -> bool {
        if self.exact {
            let answer = answer.trim_matches(|c: char| !c.is_alphanumeric());
            return if self.ignore_case { answer.eq_ignore_ascii_case(needle) } else { answer == needle };
        }
        stands_in(answer, needle, self.ignore_case)
    }
}

/// Whether a needle stands in a text as a whole word. An empty one stands nowhere.
pub(super) fn stands_in(text: &str, needle: &str, ignore_case: bool) -> bool {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let joined = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    // The bytes of other scripts are no letters of ASCII.
    !needle.is_empty()
        && text.windows(needle.len()).zip(0_usize..).any(|(window, at)| {
            let same = if ignore_case { window.eq_ignore_ascii_case(needle) } else { window == needle };
            same && !joined(at.checked_sub(1)) && !joined(at.checked_add(needle.len()))
        })
}

/// How many answers there are, and how many are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Samples.
    pub samples: u64,
    /// Right answers.
    pub correct: u64,
    /// Samples without an answer: none, or nothing but white space. They count as wrong.
    pub missing: u64,
}

impl Tally {
    fn add(&mut self, correct: bool, missing: bool) {
        self.samples = self.samples.saturating_add(1);
        self.correct = self.correct.saturating_add(correct.into());
        self.missing = self.missing.saturating_add(missing.into());
    }

    /// The part that is right, 0 to 1; `None` of no samples.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.correct as f64 / self.samples as f64)
    }

    /// The interval of 95 % for the rate: the score interval of Wilson (1927), without a correction for continuity.
    /// `None` of no samples.
    ///
    /// With n samples of which p are right it is (p + z²/2n ± z √(p(1 - p)/n + z²/4n²)) / (1 + z²/n), z = 1.96.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        let p = self.rate()?;
        let n = self.samples as f64;
        let zz = Z * Z / n;
        let middle = (p + zz / 2.0) / (1.0 + zz);
        let half = Z / (1.0 + zz) * (p * (1.0 - p) / n + zz / (4.0 * n)).sqrt();
        // At the ends rounding would miss what is exact.
        let low = if self.correct == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.correct >= self.samples { 1.0 } else { (middle + half).min(1.0) };
        Some((low, high))
    }
}

/// Scores answers, one at a time. Memory: 24 bytes for each.
///
/// Depths and lengths are those of a grid if there are as many samples as cells, or not many fewer; else depths are put
/// into ten bins, and lengths into ten at most, each as wide as 1, 2 or 5 times a power of ten. An axis of a few values with many
/// samples each keeps them.
#[derive(Clone, Debug, Default)]
pub struct Scorer {
    rule: Rule,
    scored: Vec<Scored>,
}

#[derive(Clone, Copy, Debug)]
struct Scored {
    position: f64,
    length: u64,
    correct: bool,
    missing: bool,
}

impl Scorer {
    /// A score of no answers.
    #[must_use]
    pub const fn new(rule: Rule) -> Self {
        Self { rule, scored: Vec::new() }
    }

    /// Scores the answer to a sample, and returns whether it is right. `None` is no answer.
    pub fn add(&mut self, planted: &Planted, answer: Option<&str>) -> bool {
        let answer = answer.unwrap_or_default();
        let correct = self.rule.accepts(answer, &planted.needle);
        let missing = answer.trim().is_empty();
        let (position, length) = (planted.needle_position, planted.context_length_chars);
        self.scored.push(Scored { position, length, correct, missing });
        correct
    }

    /// Scores the answers of one stream: see [`read_answers`].
    ///
    /// # Errors
    /// As [`read_answers`]. The answers before the error are scored.
    pub fn answers(&mut self, answers: impl BufRead, member: &str) -> Result<(), Cause> {
        read_answers(answers, member, |planted, answer| {
            self.add(planted, answer);
        })
    }

    /// Scores answers to the samples of another stream: see [`read_joined`].
    ///
    /// # Errors
    /// As [`read_joined`]. The answers before the error are scored.
    pub fn joined(
        &mut self,
        samples: impl BufRead,
        answers: impl BufRead,
        member: &str,
        join: Join,
    ) -> Result<(), JoinError> {
        read_joined(samples, answers, member, join, |planted, answer| {
            self.add(planted, answer);
        })
    }

    /// The rates.
    #[must_use]
    pub fn finish(self) -> Scores {
        let samples = self.scored.len() as u64;
        // Bits of numbers that are not negative are in the order of the numbers.
        let positions: BTreeSet<u64> = self.scored.iter().map(|scored| scored.position.to_bits()).collect();
        let positions: Vec<f64> = positions.into_iter().map(f64::from_bits).collect();
        let lengths: BTreeSet<u64> = self.scored.iter().map(|scored| scored.length).collect();
        let lengths: Vec<u64> = lengths.into_iter().collect();
        let grid = axis::is_grid(positions.len(), lengths.len(), samples);
        let (depths, lengths) =
            (Axis::depths(positions, grid, samples), Axis::lengths(&lengths, grid, samples));
        let columns = lengths.bands.len();
        let mut scores = Scores {
            total: Tally::default(),
            by_depth: std::vec![Tally::default(); depths.bands.len()],
            by_length: std::vec![Tally::default(); columns],
            cells: std::vec![Tally::default(); columns.saturating_mul(depths.bands.len())],
            depths: depths.bands.clone(),
            lengths: lengths.bands.clone(),
        };
        for Scored { position, length, correct, missing } in self.scored {
            let (row, column) = (depths.place(position), lengths.place(length as f64));
            scores.total.add(correct, missing);
            let cell = row.saturating_mul(columns).saturating_add(column);
            let places =
                [scores.by_depth.get_mut(row), scores.by_length.get_mut(column), scores.cells.get_mut(cell)];
            for tally in places.into_iter().flatten() {
                tally.add(correct, missing);
            }
        }
        scores
    }
}

/// Rates by depth and length. Printed, it is a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    total: Tally,
    depths: Vec<Band>,
    lengths: Vec<Band>,
    by_depth: Vec<Tally>,
    by_length: Vec<Tally>,
    /// Depth by depth.
    cells: Vec<Tally>,
}

impl Scores {
    /// All samples.
    #[must_use]
    pub const fn total(&self) -> Tally {
        self.total
    }

    /// The depths, or bins of them, from the start of the text on, with all samples of each.
    pub fn depths(&self) -> impl ExactSizeIterator<Item = (Band, Tally)> + Clone + '_ {
        self.depths.iter().copied().zip(self.by_depth.iter().copied())
    }

    /// The lengths, or bins of them, from the shortest on, with all samples of each.
    pub fn lengths(&self) -> impl ExactSizeIterator<Item = (Band, Tally)> + Clone + '_ {
        self.lengths.iter().copied().zip(self.by_length.iter().copied())
    }

    /// The samples of one depth and length, by their places in [`depths`](Self::depths) and [`lengths`](Self::lengths).
    #[must_use]
    pub fn cell(&self, depth: usize, length: usize) -> Option<Tally> {
        if length >= self.lengths.len() {
            return None;
        }
        let place = depth.checked_mul(self.lengths.len())?.checked_add(length)?;
        self.cells.get(place).copied()
    }
}

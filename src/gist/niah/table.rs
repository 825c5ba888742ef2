//! Scores as text.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt::{self, Write};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::score::{Scores, Tally};

impl Tally {
    /// The rate in whole percent. What is not all is never 100, and what is not none never 0.
    pub(super) fn whole_percent(&self) -> Option<u8> {
        let rate = self.rate()?;
        let percent = (rate * 100.0).round() as u8;
        Some(match percent {
            0 if self.correct > 0 => 1,
            100 if self.correct < self.samples => 99,
            percent => percent,
        })
    }

    /// The rate and the number of samples, and below them the interval: `80% (5)` and `38-96`.
    fn lines(&self) -> [String; 2] {
        let Some((percent, (low, high))) = self.whole_percent().zip(self.interval()) else {
            return ["-".to_string(), String::new()];
        };
        let (low, high) = (low * 100.0, high * 100.0);
        [format!("{percent}% ({})", self.samples), format!("{low:.0}-{high:.0}")]
    }
}

/// `20 of 25, 80.0 % (95 % interval 60.9 to 91.1 %), 2 without an answer`
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { samples, correct, missing } = self;
        write!(f, "{correct} of {samples}")?;
        if let Some((rate, (low, high))) = self.rate().zip(self.interval()) {
            let (rate, low, high) = (rate * 100.0, low * 100.0, high * 100.0);
            write!(f, ", {rate:.1} % (95 % interval {low:.1} to {high:.1} %)")?;
        }
        if missing > 0 {
            write!(f, ", {missing} without an answer")?;
        }
        Ok(())
    }
}

/// The table: for each depth two lines, and a column for each length: the rate in percent with the number of samples in brackets,
/// and below it the interval of 95 %. Lines are as wide as they have to be.
impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut head = std::vec!["depth \\ length".to_string()];
        head.extend(self.lengths().map(|(band, _)| band.to_string()));
        head.push("all".to_string());
        rows.push(head);
        let mut push = |label: String, tallies: Vec<Tally>| {
            let (mut rates, mut intervals) = (std::vec![label], std::vec![String::new()]);
            for [rate, interval] in tallies.iter().map(Tally::lines) {
                rates.push(rate);
                intervals.push(interval);
            }
            rows.push(rates);
            // No line of nothing for a depth without samples.
            rows.extend(intervals.iter().any(|interval| !interval.is_empty()).then_some(intervals));
        };
        for (row, (band, of_depth)) in self.depths().enumerate() {
            let cells = (0..self.lengths().len()).map(|column| self.cell(row, column).unwrap_or_default());
            push(band.to_string(), cells.chain([of_depth]).collect());
        }
        push("all".to_string(), self.lengths().map(|(_, tally)| tally).chain([self.total()]).collect());

        let mut widths: Vec<usize> = Vec::new();
        for row in &rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        for row in &rows {
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if i > 0 {
                    f.write_str("  ")?;
                }
                write!(f, "{cell:>width$}")?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

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

    /// `80% 57-93 (5)`
    fn short(&self) -> String {
        let Some((percent, (low, high))) = self.whole_percent().zip(self.interval()) else {
            return "-".to_string();
        };
        format!("{percent}% {:.0}-{:.0} ({})", low * 100.0, high * 100.0, self.samples)
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

/// The table: a row for each depth, a column for each length, each with its rate in percent, the interval of 95 % and
/// the number of samples. Lines are as wide as they have to be.
impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut head = std::vec!["depth \\ length".to_string()];
        head.extend(self.lengths().map(|(band, _)| band.to_string()));
        head.push("all".to_string());
        rows.push(head);
        for (row, (band, of_depth)) in self.depths().enumerate() {
            let mut cells = std::vec![band.to_string()];
            let columns = self.lengths().len();
            cells.extend((0..columns).map(|column| self.cell(row, column).unwrap_or_default().short()));
            cells.push(of_depth.short());
            rows.push(cells);
        }
        let mut last = std::vec!["all".to_string()];
        last.extend(self.lengths().map(|(_, tally)| tally.short()));
        last.push(self.total().short());
        rows.push(last);

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

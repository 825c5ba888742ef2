//! Depths and lengths as the rows and columns of a table.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt;
use std::vec::Vec;

/// The most rows or columns that are no bins.
const MAX_VALUES: usize = 64;

/// The most values an axis keeps that is no part of a grid, and the fewest samples each has then.
const FEW_VALUES: usize = 20;
const SAMPLES_EACH: u64 = 3;

/// Bins of depths, and the most bins of lengths.
const BINS: u32 = 10;

/// What a [`Band`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Depths, 0 to 1; printed in percent.
    Depth,
    /// Lengths in characters.
    Length,
}

/// A depth or a length, or a bin of them.
///
/// A bin of depths has its low end in it and its high end not, but for 1; a bin of lengths has both.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Band {
    /// What it is of.
    pub unit: Unit,
    /// The low end.
    pub low: f64,
    /// The high end; the same for one value.
    pub high: f64,
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { unit, low, high } = self;
        let (sign, low, high) = match unit {
            Unit::Depth => ("%", percent(low), percent(high)),
            Unit::Length => ("", low, high),
        };
        // Two positions may be closer than their names here: the names are for people.
        if low == high { write!(f, "{low}{sign}") } else { write!(f, "{low}-{high}{sign}") }
    }
}

/// In percent, to two decimals.
fn percent(depth: f64) -> f64 {
    (depth * 10_000.0).round() / 100.0
}

/// Whether samples are those of a grid: some may have been lost.
pub(super) fn is_grid(depths: usize, lengths: usize, samples: u64) -> bool {
    let cells = (depths as u64).saturating_mul(lengths as u64);
    depths <= MAX_VALUES && lengths <= MAX_VALUES && cells <= samples.saturating_mul(2)
}

fn is_few(values: usize, samples: u64) -> bool {
    values <= FEW_VALUES && (values as u64).saturating_mul(SAMPLES_EACH) <= samples
}

/// The rows, or the columns.
pub(super) struct Axis {
    pub(super) bands: Vec<Band>,
}

impl Axis {
    /// `values` increase.
    pub(super) fn depths(values: Vec<f64>, grid: bool, samples: u64) -> Self {
        let band = |low, high| Band { unit: Unit::Depth, low, high };
        if grid || is_few(values.len(), samples) {
            return Self { bands: values.into_iter().map(|value| band(value, value)).collect() };
        }
        let end = |bin: u32| f64::from(bin) / f64::from(BINS);
        let bands = (0..BINS).map(|bin| band(end(bin), end(bin.saturating_add(1)))).collect();
        Self { bands }
    }

    /// `values` increase.
    pub(super) fn lengths(values: &[u64], grid: bool, samples: u64) -> Self {
        let band = |low: u64, high: u64| Band { unit: Unit::Length, low: low as f64, high: high as f64 };
        let (Some(&first), Some(&last)) = (values.first(), values.last()) else {
            return Self { bands: Vec::new() };
        };
        if grid || is_few(values.len(), samples) {
            return Self { bands: values.iter().map(|&value| band(value, value)).collect() };
        }
        let (width, first, last) = width(first, last);
        let bands = (first..=last)
            .map(|bin| {
                let low = bin.saturating_mul(width);
                band(low, low.saturating_add(width.saturating_sub(1)))
            })
            .collect();
        Self { bands }
    }

    /// The place of a value: the last band that starts at it or before. By comparing, not by arithmetic, whose rounding would put
    /// the last value before a bin into it.
    pub(super) fn place(&self, value: f64) -> usize {
        self.bands.partition_point(|band| band.low <= value).saturating_sub(1)
    }
}

/// The width of bins of lengths, and the first and last of them, counted from 0.
fn width(first: u64, last: u64) -> (u64, u64, u64) {
    let mut power = 1_u64;
    loop {
        for times in [1, 2, 5] {
            let width = power.saturating_mul(times);
            let (first, last) = (first.checked_div(width), last.checked_div(width));
            let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
            if last.saturating_sub(first) < BINS.into() {
                return (width, first, last);
            }
        }
        power = power.saturating_mul(10);
    }
}

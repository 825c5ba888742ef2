//! Needle in a haystack: samples with a planted passkey, and what of them was found again (spec/gist.md, "Needle in a
//! haystack").
//!
//! - [`Generator`] writes samples, from a [`Haystack`] by a [`Plan`]: the same bytes for the same seed, one sample at a
//!   time. All it draws can be drawn again with Python's `random` ([`PythonRandom`]).
//! - [`Scorer`] takes answers by the passkey that was planted, and [`Scores`] has the rates by depth and length, as a
//!   table and as a heat map in SVG.
//! - [`LedgerRecall`]: what the exact recall of a ledger answers to the same samples.
//!
//! ```
//! use bitwire::gist::niah::{Generator, Haystack, Language, Plan, Rule, Scorer};
//!
//! let text = Haystack::built_in(Language::English);
//! let plan = Plan::grid(vec![0.0, 0.5, 1.0], vec![500, 1000], 2)?;
//! let mut answers = Vec::new();
//! for sample in Generator::new(&text, plan, Language::English, 7) {
//!     let sample = sample?;
//!     let prediction = format!("I think that it is {}.", sample.needle); // ask a model here
//!     sample.write_answer(&prediction, &mut answers)?;
//! }
//! let mut scorer = Scorer::new(Rule::default());
//! scorer.answers(&answers[..], "prediction")?;
//! let scores = scorer.finish();
//! assert_eq!(scores.total().correct, 12);
//! print!("{scores}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(clippy::arithmetic_side_effects)]

mod axis;
mod generate;
mod haystack;
mod lines;
mod python;
mod recall;
mod score;
mod svg;
mod table;

pub use axis::{Band, Unit};
pub use generate::{Generator, MAX_GISTS, MAX_LENGTH, Plan, Sample};
pub use haystack::{Haystack, Language, MAX_TEXT, TextTokens};
pub use lines::{Join, JoinError, MAX_LINE, Planted, read_answers, read_joined};
pub use python::PythonRandom;
pub use recall::{LedgerFault, LedgerRecall, write_spans};
pub use score::{Rule, Scorer, Scores, Tally};

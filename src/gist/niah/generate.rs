//! Samples: what is drawn, and the lines they make.
#![deny(clippy::arithmetic_side_effects)]

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::format;
use std::io::{self, Write};
use std::string::String;
use std::vec::Vec;

use super::haystack::{Haystack, Language};
use super::python::PythonRandom;
use crate::error::{Error, ErrorKind};

/// What needles are made of.
pub(super) const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Characters of a needle.
pub(super) const NEEDLE_LEN: usize = 6;

/// The fewest characters of a context: the longest sentence, and one more.
const MIN_LENGTH: u64 = 32;

/// The most characters of a context: a sample is held in memory.
pub const MAX_LENGTH: u64 = 1 << 24;

/// The most gist tokens of a training sample.
pub const MAX_GISTS: u32 = 1 << 16;

/// Where needles are planted in the random mode, as in the original.
const RANDOM_POSITIONS: (f64, f64) = (0.2, 0.8);

/// Which samples are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    mode: Mode,
    count: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Grid { depths: Vec<f64>, lengths: Vec<u64>, each: u64 },
    Random { shortest: u64, longest: u64 },
}

impl Plan {
    /// `each` samples for every depth (0 to 1, the part of the text that comes before the sentence) at every length (whole
    /// characters of the context, sentence included): first all of the first length, depth by depth.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a depth that is not from 0 to 1, a length that is not from 32 to [`MAX_LENGTH`], if there
    /// is nothing to make, or more than 2^64 - 1 samples.
    pub fn grid(depths: Vec<f64>, lengths: Vec<u64>, each: u64) -> Result<Self, Error> {
        if !depths.iter().all(|depth| (0.0..=1.0).contains(depth)) {
            return Err(argument("a depth is a part of the text: from 0 to 1, which is 100 %"));
        }
        check_lengths(&lengths)?;
        let count = (depths.len() as u64).checked_mul(lengths.len() as u64);
        let count = count.and_then(|cells| cells.checked_mul(each)).filter(|&count| count > 0);
        let count = count.ok_or(argument("a grid has at least one depth, one length and one sample"))?;
        // -0 is 0, and is written so.
        let depths = depths.into_iter().map(|depth| depth + 0.0).collect();
        Ok(Self { mode: Mode::Grid { depths, lengths, each }, count })
    }

    /// `count` samples, each of a length from `shortest` to `longest` (whole characters of the context, sentence included)
    /// and at a position from 0.2 to 0.8, both drawn.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a length that is not from 32 to [`MAX_LENGTH`], or if there is nothing to make.
    pub fn random(count: u64, shortest: u64, longest: u64) -> Result<Self, Error> {
        check_lengths(&[shortest, longest])?;
        if count == 0 || shortest > longest {
            return Err(argument("at least one sample, and a shortest length that is not above the longest"));
        }
        Ok(Self { mode: Mode::Random { shortest, longest }, count })
    }

    /// How many samples there will be.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The length and position of sample `i`, drawn where they are drawn.
    fn sample(&self, i: u64, random: &mut PythonRandom) -> (u64, f64) {
        match &self.mode {
            Mode::Random { shortest, longest } => {
                let length = random.between(*shortest, *longest);
                (length, random.uniform(RANDOM_POSITIONS.0, RANDOM_POSITIONS.1))
            }
            Mode::Grid { depths, lengths, each } => {
                let cell = i.checked_div(*each).unwrap_or(0);
                let columns = depths.len() as u64;
                let depth = usize::try_from(cell.checked_rem(columns).unwrap_or(0)).unwrap_or(0);
                let length = usize::try_from(cell.checked_div(columns).unwrap_or(0)).unwrap_or(0);
                let length = lengths.get(length).copied().unwrap_or(MIN_LENGTH);
                (length, depths.get(depth).copied().unwrap_or(0.0))
            }
        }
    }
}

fn check_lengths(lengths: &[u64]) -> Result<(), Error> {
    if lengths.iter().all(|length| (MIN_LENGTH..=MAX_LENGTH).contains(length)) {
        return Ok(());
    }
    Err(argument("the length of a context is from 32 to 16777216 characters"))
}

const fn argument(expected: &'static str) -> Error {
    Error::caller(ErrorKind::Argument { expected })
}

/// Makes samples, one at a time. Memory: one sample.
///
/// What it draws from [`PythonRandom`], in this order for each sample: in the random mode `randint(shortest, longest)` and
/// `uniform(0.2, 0.8)`; then `int(random() * paragraphs)`, where the text starts; then `choices(A-Z and 0-9, k=6)`, the needle,
/// and again should it stand in that text by chance (in capital or small letters).
#[derive(Debug)]
pub struct Generator<'a> {
    text: &'a Haystack,
    plan: Plan,
    language: Language,
    seed: u64,
    random: PythonRandom,
    next: u64,
}

impl<'a> Generator<'a> {
    /// The samples of a plan, from a text.
    #[must_use]
    pub fn new(text: &'a Haystack, plan: Plan, language: Language, seed: u64) -> Self {
        Self { text, plan, language, seed, random: PythonRandom::new(seed), next: 0 }
    }

    fn make(&mut self) -> Result<Sample, Error> {
        let (length, position) = self.plan.sample(self.next, &mut self.random);
        let paragraph = self.random.place(self.text.paragraphs());
        let sentence_chars = self.language.sentence("").chars().count().saturating_add(NEEDLE_LEN) as u64;
        let chars = length.saturating_sub(sentence_chars);
        // As Python's int(chars * position).
        let at = (chars as f64 * position) as u64;
        let mut context = String::new();
        let at = self.text.cut(paragraph, chars, at, &mut context)?;
        let needle = loop {
            let drawn = (0..NEEDLE_LEN).map(|_| {
                char::from(ALPHABET.get(self.random.place(ALPHABET.len())).copied().unwrap_or(b'A'))
            });
            let needle: String = drawn.collect();
            // A context holds fewer than 2^24 of the 2 * 10^9 needles: once more is rare, and often never.
            if !holds(&context, &needle) {
                break needle;
            }
        };
        let sentence = self.language.sentence(&needle);
        let needle_at = at.saturating_add(sentence.find(&needle).unwrap_or(0));
        let memory = |_| Error::caller(ErrorKind::OutOfMemory { needed: sentence.len() as u64 });
        context.try_reserve(sentence.len()).map_err(memory)?;
        context.insert_str(at, &sentence);
        let id = format!("{}-{}-{}", self.language, self.seed, self.next);
        let (language, needle_position) = (self.language, position);
        Ok(Sample { id, language, context, needle, needle_position, context_length_chars: length, needle_at })
    }
}

impl Iterator for Generator<'_> {
    type Item = Result<Sample, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.plan.count {
            return None;
        }
        let sample = self.make();
        self.next = if sample.is_ok() { self.next.saturating_add(1) } else { self.plan.count };
        Some(sample)
    }
}

/// Whether a needle stands anywhere in a text, in capital or small letters.
fn holds(text: &str, needle: &str) -> bool {
    text.as_bytes().windows(NEEDLE_LEN).any(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

/// A context with a passkey planted in it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The language, the seed and its place, as in `en-1234-0`.
    pub id: String,
    /// The language of sentence and question.
    pub language: Language,
    /// The text with the sentence in it.
    pub context: String,
    /// The passkey.
    pub needle: String,
    /// The part of the text that stands before the sentence, 0 to 1, as asked for or drawn.
    pub needle_position: f64,
    /// Characters (Unicode code points) of the context, sentence included.
    pub context_length_chars: u64,
    /// Where in the bytes of the context the needle stands.
    pub(super) needle_at: usize,
}

impl Sample {
    /// Writes it as a line of JSON, with the members of the original in its order and then `id` and `language`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        self.line(None, None, out)
    }

    /// The same with the answer to it as a last member, `prediction`.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_answer(&self, prediction: &str, out: impl Write) -> io::Result<()> {
        self.line(None, Some(prediction), out)
    }

    /// Writes it as a training sample of the original, with the tokens `<GIST_0>` to `gists` less 1; then follow the
    /// members that a score needs.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_training(&self, gists: u32, out: impl Write) -> io::Result<()> {
        self.line(Some(gists), None, out)
    }

    fn line(&self, gists: Option<u32>, prediction: Option<&str>, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, &Line { sample: self, gists, prediction })?;
        out.write_all(b"\n")
    }
}

struct Line<'a> {
    sample: &'a Sample,
    gists: Option<u32>,
    prediction: Option<&'a str>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Sample { id, language, context, needle, needle_position, context_length_chars, .. } = self.sample;
        let mut map = serializer.serialize_map(None)?;
        if let Some(gists) = self.gists {
            map.serialize_entry("instruction", language.instruction())?;
            map.serialize_entry("context", context)?;
            let gists: String = (0..gists.min(MAX_GISTS)).map(|i| format!("<GIST_{i}>")).collect();
            map.serialize_entry("gist_tokens", &gists)?;
        } else {
            map.serialize_entry("context", context)?;
        }
        map.serialize_entry("question", language.question())?;
        map.serialize_entry("answer", needle)?;
        map.serialize_entry("needle", needle)?;
        map.serialize_entry("needle_position", needle_position)?;
        map.serialize_entry("context_length_chars", context_length_chars)?;
        map.serialize_entry("id", id)?;
        map.serialize_entry("language", language.code())?;
        if let Some(prediction) = self.prediction {
            map.serialize_entry("prediction", prediction)?;
        }
        map.end()
    }
}

//! Samples and answers as they are read: lines of JSON.
//!
//! Members that nobody asks for are skipped without being kept. A known one that comes twice is an error: which of the two
//! counts would be a guess.
#![deny(clippy::arithmetic_side_effects)]

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, Read};
use std::string::String;
use std::vec::Vec;

use super::generate::NEEDLE_LEN;
use super::score::stands_in;
use crate::error::{Error, ErrorKind};
use crate::io::Cause;

/// The most bytes of a line: a line is held in memory. Every sample that [`Generator`](super::Generator) makes is shorter, also
/// with all its characters escaped.
pub const MAX_LINE: u64 = 256 << 20;

/// Which answer belongs to which sample, if they are in two files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Join {
    /// By their member `id`. A sample without an answer counts as missing. The answers are held in memory, the samples are
    /// not.
    #[default]
    Id,
    /// Line by line, lines of white space aside. There have to be as many.
    Line,
}

/// A sample as it was read, with the needle found in its context.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Planted {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The context.
    pub context: String,
    /// The passkey: 6 letters and digits of ASCII.
    pub needle: String,
    /// Where the needle was planted: 0 to 1.
    pub needle_position: f64,
    /// Characters of the context.
    pub context_length_chars: u64,
}

/// What is read of a line.
#[derive(Default)]
struct Members {
    id: Option<String>,
    context: Option<String>,
    answer: Option<String>,
    needle: Option<String>,
    position: Option<f64>,
    chars: Option<u64>,
    prediction: Option<String>,
}

/// Lines of a stream, each read whole.
struct Lines<R> {
    reader: R,
    bytes: Vec<u8>,
    line: u64,
    /// Where the line starts, and where the next one does.
    offset: u64,
    next: u64,
}

impl<R: BufRead> Lines<R> {
    const fn new(reader: R) -> Self {
        Self { reader, bytes: Vec::new(), line: 0, offset: 0, next: 0 }
    }

    /// The members of the next line that has any; the answer is the one that `member` names.
    fn next(&mut self, member: Option<&str>) -> Result<Option<Members>, Cause> {
        loop {
            self.offset = self.next;
            self.line = self.line.saturating_add(1);
            self.bytes.clear();
            let read =
                self.reader.by_ref().take(MAX_LINE.saturating_add(1)).read_until(b'\n', &mut self.bytes)?;
            self.next = self.next.saturating_add(read as u64);
            if read as u64 > MAX_LINE {
                return Err(self.refuse("longer than 268435456 bytes").into());
            }
            if read == 0 {
                return Ok(None);
            }
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(Some(self.parse(member)?));
            }
        }
    }

    fn parse(&self, member: Option<&str>) -> Result<Members, Error> {
        if let Err(error) = str::from_utf8(&self.bytes) {
            return Err(self.refuse_at("not UTF-8", error.valid_up_to() as u64));
        }
        let fault = Cell::new("not a JSON object");
        // Without its end: an object that is not all there is an error in this line, not in the next.
        let mut json = serde_json::Deserializer::from_slice(self.bytes.trim_ascii_end());
        let parsed = Reading { member, fault: &fault }.deserialize(&mut json);
        parsed.and_then(|members| json.end().map(|()| members)).map_err(|error| match error.classify() {
            Category::Data => self.refuse(fault.get()),
            _ => self.refuse_at("not valid JSON", (error.column() as u64).saturating_sub(1)),
        })
    }

    fn refuse(&self, reason: &'static str) -> Error {
        self.refuse_at(reason, 0)
    }

    /// `at` bytes into the line.
    fn refuse_at(&self, reason: &'static str, at: u64) -> Error {
        Error::new(ErrorKind::SampleLine { line: self.line, reason }, self.offset.saturating_add(at))
    }

    /// The sample of a line, if it is a whole one, and the answer.
    fn planted(&self, members: Members, member: Option<&str>) -> Result<(Planted, Option<String>), Error> {
        let Members { id, context, answer, needle, position, chars, prediction } = members;
        let refuse = |reason| Err(self.refuse(reason));
        let Some(needle) = needle else { return refuse("no needle: the line is no sample") };
        if needle.len() != NEEDLE_LEN || !needle.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return refuse("the needle is not 6 letters and digits");
        }
        if member != Some("answer") && answer.is_some_and(|answer| answer != needle) {
            return refuse("the member 'answer' is not the needle");
        }
        let Some(needle_position) = position.filter(|position| (0.0..=1.0).contains(position)) else {
            return refuse("no needle_position from 0 to 1");
        };
        let Some(context) = context else {
            return refuse("no context, so that nothing shows that the needle was planted");
        };
        if !stands_in(&context, &needle, false) {
            return refuse("the needle does not stand in the context: it was not planted there");
        }
        let context_length_chars = context.chars().count() as u64;
        if chars.is_some_and(|chars| chars != context_length_chars) {
            return refuse("context_length_chars is not the number of characters of the context");
        }
        // -0 is 0.
        let needle_position = needle_position + 0.0;
        Ok((Planted { id, context, needle, needle_position, context_length_chars }, prediction))
    }
}

/// Reads answers that carry their samples: each line has the sample's members, and the answer in `member`, a string. One that is
/// missing or null is no answer.
///
/// Memory: a line. `each` is called with every sample and its answer.
///
/// # Errors
/// The reader's; [`ErrorKind::SampleLine`] for a line that is no JSON object, repeats a member or is longer than
/// [`MAX_LINE`]; without a needle of 6 letters and digits, without a context that holds it, or without a position; or
/// whose `answer` or `context_length_chars` does not agree.
pub fn read_answers(
    answers: impl BufRead,
    member: &str,
    mut each: impl FnMut(&Planted, Option<&str>),
) -> Result<(), Cause> {
    let mut lines = Lines::new(answers);
    while let Some(members) = lines.next(Some(member))? {
        let (planted, prediction) = lines.planted(members, Some(member))?;
        each(&planted, prediction.as_deref());
    }
    Ok(())
}

/// The file of two that an error is about.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// The samples.
    Samples(Cause),
    /// The answers.
    Answers(Cause),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(cause) => write!(f, "samples: {cause}"),
            Self::Answers(cause) => write!(f, "answers: {cause}"),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Samples(cause) | Self::Answers(cause) => Some(cause),
        }
    }
}

/// The same for samples and answers in two files.
///
/// Memory: a line of each, and for [`Join::Id`] all answers and ids.
///
/// # Errors
/// As [`read_answers`]; [`ErrorKind::SampleLine`] also for an answer without a sample, and for an id that is missing or comes
/// twice; or, by lines, where one file ends before the other.
pub fn read_joined(
    samples: impl BufRead,
    answers: impl BufRead,
    member: &str,
    join: Join,
    mut each: impl FnMut(&Planted, Option<&str>),
) -> Result<(), JoinError> {
    let (mut samples, mut answers) = (Lines::new(samples), Lines::new(answers));
    // Answers of each id, and their place until a sample has taken them.
    let mut by_id: HashMap<String, Kept> = HashMap::new();
    if join == Join::Id {
        let failed = |reason, lines: &Lines<_>| Err(JoinError::Answers(lines.refuse(reason).into()));
        while let Some(Members { id, prediction, .. }) =
            answers.next(Some(member)).map_err(JoinError::Answers)?
        {
            let Some(id) = id else { return failed("no id that says which sample it belongs to", &answers) };
            let kept = Kept { prediction, place: Some((answers.line, answers.offset)) };
            if by_id.insert(id, kept).is_some() {
                return failed("the id was on an earlier line", &answers);
            }
        }
    }
    while let Some(members) = samples.next(None).map_err(JoinError::Samples)? {
        let failed = |reason| Err(JoinError::Samples(samples.refuse(reason).into()));
        let (planted, _) =
            samples.planted(members, None).map_err(|error| JoinError::Samples(error.into()))?;
        let prediction = match join {
            Join::Line => match answers.next(Some(member)).map_err(JoinError::Answers)? {
                Some(answer) => answer.prediction,
                None => return failed("no answer is left for this sample and those after it"),
            },
            Join::Id => {
                let Some(id) = &planted.id else { return failed("no id to find the answer by") };
                match by_id.get_mut(id) {
                    Some(kept) => match kept.place.take() {
                        Some(_) => kept.prediction.take(),
                        None => return failed("the id was on an earlier line"),
                    },
                    None => {
                        by_id.insert(id.clone(), Kept { prediction: None, place: None });
                        None
                    }
                }
            }
        };
        each(&planted, prediction.as_deref());
    }
    let extra = match join {
        Join::Line => {
            let more = answers.next(Some(member)).map_err(JoinError::Answers)?;
            more.map(|_| (answers.line, answers.offset))
        }
        Join::Id => by_id.values().filter_map(|kept| kept.place).min(),
    };
    if let Some((line, offset)) = extra {
        let reason = "there is no sample that it answers";
        return Err(JoinError::Answers(Error::new(ErrorKind::SampleLine { line, reason }, offset).into()));
    }
    Ok(())
}

struct Kept {
    prediction: Option<String>,
    place: Option<(u64, u64)>,
}

/// Reads one object. What is amiss, if it is not the JSON, is in `fault`.
struct Reading<'a> {
    member: Option<&'a str>,
    fault: &'a Cell<&'static str>,
}

impl Reading<'_> {
    fn take<'de, A: MapAccess<'de>, T: serde::Deserialize<'de>>(
        &self,
        map: &mut A,
        to: &mut Option<T>,
        seen: &mut bool,
        wrong: &'static str,
    ) -> Result<(), A::Error> {
        if core::mem::replace(seen, true) {
            self.fault.set("a member comes twice");
            return Err(A::Error::custom(""));
        }
        self.fault.set(wrong);
        *to = map.next_value()?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Members;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut found = Members::default();
        let mut seen = [false; 7];
        let [prediction, id, context, answer, needle, position, chars] = &mut seen;
        loop {
            self.fault.set("not a JSON object");
            let Some(key) = map.next_key::<String>()? else { return Ok(found) };
            match key.as_str() {
                key if self.member == Some(key) => {
                    let wrong = "the answer is not a string or null";
                    self.take(&mut map, &mut found.prediction, prediction, wrong)?;
                }
                "id" => self.take(&mut map, &mut found.id, id, "id is not a string")?,
                "context" => self.take(&mut map, &mut found.context, context, "context is not a string")?,
                "answer" => {
                    let wrong = "the member 'answer' is not a string";
                    self.take(&mut map, &mut found.answer, answer, wrong)?;
                }
                "needle" => self.take(&mut map, &mut found.needle, needle, "needle is not a string")?,
                "needle_position" => {
                    let wrong = "needle_position is not a number";
                    self.take(&mut map, &mut found.position, position, wrong)?;
                }
                "context_length_chars" => {
                    let wrong = "context_length_chars is not a whole number";
                    self.take(&mut map, &mut found.chars, chars, wrong)?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
    }
}

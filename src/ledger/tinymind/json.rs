//! The four JSON files of a TinyMind ledger, read straight into what is needed of them.
//!
//! Members nobody asks for are skipped without being kept, so that a file takes no more memory than its known
//! members. A known member that comes twice is an error, and so is a key of a map: which of the two counts
//! would be a guess.
#![deny(clippy::arithmetic_side_effects)]

use crate::error::{Error, ErrorKind, Result};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Most tokens for which memory is taken before the first has been seen.
const RESERVE: u32 = 1 << 16;

/// manifest.json. A member that is null counts as missing.
#[derive(Default)]
pub(super) struct Manifest {
    pub(super) total_tokens: Option<u64>,
    pub(super) chunk_tokens: Option<u64>,
    pub(super) chunk_count: Option<u64>,
    pub(super) rolling_sha256: Option<[u8; 32]>,
    pub(super) chunks: Option<Vec<Chunk>>,
    pub(super) passkeys: Option<Passkeys>,
    pub(super) semantic_spans: Option<Spans>,
}

/// One element of the manifest's `chunks`, found to follow the one before.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) start: u64,
    /// At least 1.
    pub(super) length: u32,
    pub(super) sha256: [u8; 32],
}

impl Chunk {
    pub(super) fn end(&self) -> Option<u64> {
        self.start.checked_add(self.length.into())
    }
}

/// The same as it stands there.
#[derive(Default)]
struct ChunkEntry {
    chunk_id: Option<u64>,
    start: Option<u64>,
    length: Option<u32>,
    sha256: Option<[u8; 32]>,
    path: Option<String>,
}

impl ChunkEntry {
    /// The chunk, if it is the one with `id` and starts at `start`.
    fn check(&self, id: u64, start: u64) -> Result<Chunk, ErrorKind> {
        let &Self {
            chunk_id: Some(chunk_id),
            start: Some(found),
            length: Some(length),
            sha256: Some(sha256),
            ..
        } = self
        else {
            return Err(reason("a chunk lacks chunk_id, start, length or sha256"));
        };
        if chunk_id != id {
            return Err(ErrorKind::Shape { field: "chunk_id", needed: id, found: chunk_id });
        }
        if found != start {
            return Err(ErrorKind::Shape { field: "start", needed: start, found });
        }
        if length == 0 {
            return Err(ErrorKind::Shape { field: "length", needed: 1, found: 0 });
        }
        // The folders before the name are those of another machine, or a trap. They are never followed.
        let file_name = |path: &String| path.rsplit(['/', '\\']).next() == Some(&chunk_name(id));
        if self.path.as_ref().is_some_and(|path| !file_name(path)) {
            return Err(reason("a chunk's path does not end in its file name"));
        }
        Ok(Chunk { start, length, sha256 })
    }
}

/// The file of a chunk: `chunk_00000000.jsonl`.
pub(super) fn chunk_name(id: u64) -> String {
    format!("chunk_{id:08}.jsonl")
}

/// The line of a chunk file.
#[derive(Default)]
pub(super) struct Row {
    /// More tokens than this are refused.
    limit: u32,
    pub(super) chunk_id: Option<u64>,
    pub(super) start: Option<u64>,
    pub(super) length: Option<u32>,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) tokens: Option<Vec<u32>>,
}

/// `passkeys` of the manifest, or passkey_index.json: entries by position.
pub(super) type Passkeys = BTreeMap<u64, PasskeyEntry>;

/// `semantic_spans` of the manifest, or semantic_index.json: entries by name, in the order of its bytes.
pub(super) type Spans = BTreeMap<String, SpanEntry>;

/// What is known of a passkey: an object, or the bare number that was expected.
#[derive(Default)]
pub(super) struct PasskeyEntry {
    pub(super) chunk_id: Option<u64>,
    pub(super) offset: Option<u64>,
    pub(super) token: Option<u32>,
    /// `None` also for anything that is not a whole number.
    pub(super) expected: Option<i128>,
}

/// A span: an object, or the list `[start, length]`.
#[derive(Default)]
pub(super) struct SpanEntry {
    pub(super) start: Option<u64>,
    pub(super) length: Option<u64>,
}

/// Reads manifest.json.
pub(super) fn manifest(text: &[u8]) -> Result<Manifest> {
    parse(text, Manifest::default())
}

/// Reads the row of a chunk that has at most `limit` tokens.
pub(super) fn row(text: &[u8], limit: u32) -> Result<Row> {
    parse(text, Row { limit, ..Row::default() })
}

/// Reads passkey_index.json.
pub(super) fn passkeys(text: &[u8]) -> Result<Passkeys> {
    parse(text, Passkeys::default())
}

/// Reads semantic_index.json.
pub(super) fn spans(text: &[u8]) -> Result<Spans> {
    parse(text, Spans::default())
}

fn parse<T: Object>(text: &[u8], object: T) -> Result<T> {
    let problem = Problem(Cell::new(None));
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let result = ObjectSeed { object, problem: &problem }.deserialize(&mut deserializer);
    result.and_then(|object| deserializer.end().map(|()| object)).map_err(|error| {
        let kind = match error.classify() {
            Category::Eof => reason("the JSON ends too early"),
            Category::Syntax | Category::Io => reason("it is no valid JSON"),
            Category::Data => problem.0.get().unwrap_or(reason("an object is needed here")),
        };
        Error::new(kind, place(text, error.line(), error.column()))
    })
}

const fn reason(reason: &'static str) -> ErrorKind {
    ErrorKind::TinyMindJson { reason }
}

/// The offset of a line and a column, which both count from 1.
fn place(text: &[u8], line: usize, column: usize) -> u64 {
    let before: usize =
        text.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let offset = before.saturating_add(column.saturating_sub(1)).min(text.len());
    u64::try_from(offset).unwrap_or(u64::MAX)
}

/// What is wrong, kept beside serde's own error, which is but a text.
struct Problem(Cell<Option<ErrorKind>>);

impl Problem {
    /// An error of ours, for serde to pass up.
    fn fail<T, E: serde::de::Error>(&self, kind: ErrorKind) -> Result<T, E> {
        self.0.set(Some(kind));
        Err(E::custom(kind))
    }

    /// Says `kind` of an error that so far is only serde's.
    fn explain<E>(&self, kind: ErrorKind) -> impl FnOnce(E) -> E {
        move |error| {
            self.0.set(Some(self.0.get().unwrap_or(kind)));
            error
        }
    }
}

/// Something written as an object. The value is filled in member by member.
trait Object: Sized {
    /// Reads the value of one member, or skips it.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error>;

    /// A whole number in place of the object: whether that will do.
    fn number(&mut self, _: u64) -> bool {
        false
    }

    /// A list of two in its place: whether that will do.
    fn pair(&mut self, _: u64, _: u64) -> bool {
        false
    }
}

/// The value of a member, still to be read.
struct Member<'m, 'de, A> {
    map: &'m mut A,
    problem: &'m Problem,
    lifetime: std::marker::PhantomData<&'de ()>,
}

impl<'de, A: MapAccess<'de>> Member<'_, 'de, A> {
    fn skip(&mut self) -> Result<(), A::Error> {
        self.map.next_value::<IgnoredAny>().map(|_| ())
    }

    /// Reads the value into `to`, which has to be empty still; null leaves it so.
    fn seed<S: DeserializeSeed<'de>>(
        &mut self,
        to: &mut Option<S::Value>,
        what: &'static str,
        seed: S,
    ) -> Result<(), A::Error> {
        let value = self.map.next_value_seed(OptionSeed(seed)).map_err(self.problem.explain(reason(what)))?;
        match to {
            Some(_) => self.problem.fail(reason("a member comes twice")),
            None => {
                *to = value;
                Ok(())
            }
        }
    }

    fn value<T: serde::Deserialize<'de>>(
        &mut self,
        to: &mut Option<T>,
        what: &'static str,
    ) -> Result<(), A::Error> {
        self.seed(to, what, std::marker::PhantomData)
    }

    fn object<T: Object + Default>(
        &mut self,
        to: &mut Option<T>,
        what: &'static str,
    ) -> Result<(), A::Error> {
        self.seed(to, what, ObjectSeed { object: T::default(), problem: self.problem })
    }

    /// Reads an object into the map, under a key that has to be new.
    fn entry<K: Ord, T: Object + Default>(
        &mut self,
        to: &mut BTreeMap<K, T>,
        key: K,
        what: &'static str,
    ) -> Result<(), A::Error> {
        let seed = ObjectSeed { object: T::default(), problem: self.problem };
        let value = self.map.next_value_seed(seed).map_err(self.problem.explain(reason(what)))?;
        match to.entry(key) {
            Entry::Occupied(_) => self.problem.fail(reason("a key comes twice")),
            Entry::Vacant(place) => {
                place.insert(value);
                Ok(())
            }
        }
    }
}

impl Object for Manifest {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "total_tokens" => from.value(&mut self.total_tokens, "total_tokens has to be a whole number"),
            "chunk_tokens" => from.value(&mut self.chunk_tokens, "chunk_tokens has to be a whole number"),
            "chunk_count" => from.value(&mut self.chunk_count, "chunk_count has to be a whole number"),
            "rolling_sha256" => from.seed(&mut self.rolling_sha256, SHA256, HexSeed),
            "chunks" => {
                let seed = ListSeed(from.problem);
                from.seed(&mut self.chunks, "chunks has to be a list of objects", seed)
            }
            "passkeys" => from.object(&mut self.passkeys, "passkeys has to be an object"),
            "semantic_spans" => from.object(&mut self.semantic_spans, "semantic_spans has to be an object"),
            _ => from.skip(),
        }
    }
}

const SHA256: &str = "a SHA-256 has to be a string of 64 hexadecimal digits";
const CHUNK_ID: &str = "chunk_id has to be a whole number";
const START: &str = "start has to be a whole number";
const LENGTH: &str = "length has to be a whole number that a ledger can hold";

impl Object for ChunkEntry {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "chunk_id" => from.value(&mut self.chunk_id, CHUNK_ID),
            "start" => from.value(&mut self.start, START),
            "length" => from.value(&mut self.length, LENGTH),
            "sha256" => from.seed(&mut self.sha256, SHA256, HexSeed),
            "path" => from.value(&mut self.path, "path has to be a string"),
            _ => from.skip(),
        }
    }
}

impl Object for Row {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "chunk_id" => from.value(&mut self.chunk_id, CHUNK_ID),
            "start" => from.value(&mut self.start, START),
            "length" => from.value(&mut self.length, LENGTH),
            "sha256" => from.seed(&mut self.sha256, SHA256, HexSeed),
            "tokens" => {
                let seed = TokensSeed { limit: self.limit, problem: from.problem };
                from.seed(&mut self.tokens, "tokens has to be a list", seed)
            }
            _ => from.skip(),
        }
    }
}

impl Object for Passkeys {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        // As Python writes a number, so that "7" and "07" cannot be two keys for one position.
        let canonical = key == "0" || (key.bytes().all(|b| b.is_ascii_digit()) && !key.starts_with('0'));
        match key.parse() {
            Ok(position) if canonical => {
                from.entry(self, position, "a passkey has to be an object or a whole number")
            }
            _ => from.problem.fail(reason("a passkey's position has to be a whole number")),
        }
    }
}

impl Object for PasskeyEntry {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "chunk_id" => from.value(&mut self.chunk_id, CHUNK_ID),
            "offset" => from.value(&mut self.offset, "offset has to be a whole number"),
            "token" => from.value(&mut self.token, "token has to be a whole number from 0 to 4294967295"),
            "expected" => {
                let mut expected = None;
                from.seed(&mut expected, "expected has to be a value", NumberSeed)?;
                self.expected = expected.flatten();
                Ok(())
            }
            _ => from.skip(),
        }
    }

    fn number(&mut self, number: u64) -> bool {
        self.expected = Some(number.into());
        true
    }
}

impl Object for Spans {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        from.entry(self, key, "a span has to be an object or a list of two")
    }
}

impl Object for SpanEntry {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        key: String,
        from: &mut Member<'_, 'de, A>,
    ) -> Result<(), A::Error> {
        match key.as_str() {
            "start" => from.value(&mut self.start, START),
            "length" => from.value(&mut self.length, "length has to be a whole number"),
            _ => from.skip(),
        }
    }

    fn pair(&mut self, start: u64, length: u64) -> bool {
        *self = Self { start: Some(start), length: Some(length) };
        true
    }
}

struct ObjectSeed<'p, T> {
    object: T,
    problem: &'p Problem,
}

impl<'de, T: Object> DeserializeSeed<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Object> Visitor<'de> for ObjectSeed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<T, A::Error> {
        while let Some(key) = map.next_key()? {
            let mut from =
                Member { map: &mut map, problem: self.problem, lifetime: std::marker::PhantomData };
            self.object.member(key, &mut from)?;
        }
        Ok(self.object)
    }

    fn visit_u64<E: serde::de::Error>(mut self, number: u64) -> Result<T, E> {
        if self.object.number(number) { Ok(self.object) } else { Err(E::custom("a number")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<T, A::Error> {
        let pair = (seq.next_element()?, seq.next_element()?, seq.next_element::<IgnoredAny>()?);
        match pair {
            (Some(first), Some(second), None) if self.object.pair(first, second) => Ok(self.object),
            _ => Err(A::Error::custom("a list")),
        }
    }
}

/// null, or what the inner seed reads.
struct OptionSeed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OptionSeed<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// The manifest's chunks. Each is checked as it comes, so that none is kept that is not whole: memory stays
/// within the length of the text.
struct ListSeed<'p>(&'p Problem);

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = Vec<Chunk>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = Vec<Chunk>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self(problem) = self;
        let mut chunks = Vec::new();
        let mut start = 0;
        for id in 0_u64.. {
            let seed = ObjectSeed { object: ChunkEntry::default(), problem };
            let Some(entry) = seq.next_element_seed(seed)? else { break };
            let chunk = match entry.check(id, start) {
                Ok(chunk) => chunk,
                Err(kind) => return problem.fail(kind),
            };
            start = match chunk.end() {
                Some(end) => end,
                None => return problem.fail(ErrorKind::Size { field: "the chunks' lengths" }),
            };
            chunks.push(chunk);
        }
        Ok(chunks)
    }
}

/// The tokens of a row. Any number that is no u32 is refused under its place in the list.
struct TokensSeed<'p> {
    limit: u32,
    problem: &'p Problem,
}

impl<'de> DeserializeSeed<'de> for TokensSeed<'_> {
    type Value = Vec<u32>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TokensSeed<'_> {
    type Value = Vec<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut tokens = Vec::with_capacity(usize::try_from(self.limit.min(RESERVE)).unwrap_or(0));
        for index in 0_u64.. {
            let kind = ErrorKind::TinyMindToken { index };
            match seq.next_element::<u32>().map_err(self.problem.explain(kind))? {
                Some(_) if index >= u64::from(self.limit) => {
                    return self.problem.fail(reason("more tokens than the manifest gives the chunk"));
                }
                Some(token) => tokens.push(token),
                None => break,
            }
        }
        Ok(tokens)
    }
}

/// A SHA-256 as hexadecimal digits.
struct HexSeed;

impl<'de> DeserializeSeed<'de> for HexSeed {
    type Value = [u8; 32];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for HexSeed {
    type Value = [u8; 32];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHA256)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        parse_hex(text).ok_or_else(|| E::custom(SHA256))
    }
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut digest = [0; 32];
    if pairs.len() != digest.len() {
        return None;
    }
    for (to, &[high, low]) in digest.iter_mut().zip(pairs) {
        *to = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}

/// Any value; a whole number is kept.
struct NumberSeed;

impl<'de> DeserializeSeed<'de> for NumberSeed {
    type Value = Option<i128>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NumberSeed {
    type Value = Option<i128>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number.into()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

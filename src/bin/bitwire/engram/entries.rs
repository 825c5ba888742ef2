//! What an index is made of: certificates, arrays with their entries, and ENGRAM's own indexes.

use std::path::{Path, PathBuf};

use bitwire::engram::certificate::Certificate;
use bitwire::engram::fingerprint::l2_norm;
use bitwire::engram::index::{Entry, Method};
use bitwire::io::Escaped;
use bitwire::io::faiss::{self, FlatIndex};
use bitwire::io::npy::{self, Dtype, Header};
use clap::ValueEnum;
use serde_json::{Map, Value};

use super::vectors::Array;
use crate::exit::Problem;
use crate::input;

/// Which vector of a certificate.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum VectorArg {
    /// the fingerprint by the document's own keys
    Perdoc,
    /// the fingerprint in the basis of the corpus
    Fcdb,
    /// the Fourier fingerprint
    Fourier,
    /// the second Fourier fingerprint
    Fourier2,
}

impl VectorArg {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Perdoc | Self::Fcdb => Method::Svd,
            Self::Fourier => Method::FourierV1,
            Self::Fourier2 => Method::FourierV2,
        }
    }
}

/// An entry to be, and where it comes from.
pub(super) struct Item {
    pub(super) source: String,
    cache_id: String,
    task_description: String,
    model_id: String,
    context_len: u32,
    created_at: i64,
    /// `None`: that of the vectors, if there is one.
    l2_norm: Option<f32>,
    pub(super) vectors: Vec<f32>,
}

impl Item {
    pub(super) fn cache_id(&self) -> &str {
        &self.cache_id
    }

    pub(super) fn entry(&self, per_entry: u16) -> Entry<'_> {
        let own = || if per_entry == 1 { l2_norm(&self.vectors) as f32 } else { f32::NAN };
        Entry {
            cache_id: &self.cache_id,
            task_description: &self.task_description,
            model_id: &self.model_id,
            context_len: self.context_len,
            created_at: self.created_at,
            l2_norm: self.l2_norm.unwrap_or_else(own),
        }
    }

    /// Where it comes from and what it is called, for messages.
    pub(super) fn name(&self) -> String {
        format!("{}: entry '{}'", self.source, Escaped::new(self.cache_id.as_bytes()))
    }
}

/// All entries of some files.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    pub(super) dim: u32,
    pub(super) per_entry: u16,
    /// How the vectors were made, if all files say so and the same.
    pub(super) method: Method,
}

/// Reads every input. `entries` belongs to the arrays among them, of which there is then one.
pub(super) fn read(inputs: &[PathBuf], entries: Option<&Path>, vector: VectorArg) -> Result<Items, Problem> {
    let mut all: Option<Items> = None;
    let mut entries_used = false;
    for path in inputs {
        let bytes = input::map(path)?;
        let start = bytes.as_ref();
        let found = if start.starts_with(&npy::MAGIC) {
            let Some(entries) = entries.filter(|_| !entries_used) else {
                let message =
                    if entries_used { "is a second array: --entries is for one" } else { NEEDS_ENTRIES };
                return Err(Problem::Usage(format!("{}: {message}", input::name(path))));
            };
            entries_used = true;
            array(path, start, entries)?
        } else if start.starts_with(&faiss::MAGIC) {
            flat(path, start)?
        } else {
            certificate(path, start, vector)?
        };
        match &mut all {
            None => all = Some(found),
            Some(all) => {
                if (found.dim, found.per_entry) != (all.dim, all.per_entry) {
                    let theirs = shape_text(found.dim, found.per_entry);
                    let ours = shape_text(all.dim, all.per_entry);
                    let name = input::name(path);
                    return Err(Problem::Usage(format!(
                        "{name}: an entry is {theirs}; before it was {ours}"
                    )));
                }
                if found.method != all.method {
                    all.method = Method::Unknown;
                }
                all.items.extend(found.items);
            }
        }
    }
    if let Some(entries) = entries.filter(|_| !entries_used) {
        let message = "no input is an array for which --entries would say what its vectors stand for";
        return Err(Problem::Usage(format!("{}: {message}", input::name(entries))));
    }
    all.ok_or_else(|| Problem::Usage("there is no input".to_owned()))
}

const NEEDS_ENTRIES: &str = "an array does not say what its vectors stand for: give --entries ENTRIES.jsonl";

pub(super) fn shape_text(dim: u32, per_entry: u16) -> String {
    match per_entry {
        1 => format!("a vector of {dim} components"),
        _ => format!("{per_entry} vectors of {dim} components"),
    }
}

fn certificate(path: &Path, bytes: &[u8], vector: VectorArg) -> Result<Items, Problem> {
    let certificate = Certificate::parse(bytes).map_err(|error| input::unfit(path, error))?;
    let raw = certificate.raw();
    let (half, name) = match vector {
        VectorArg::Perdoc => (raw.vec_perdoc(), "vec_perdoc"),
        VectorArg::Fcdb => (raw.vec_fcdb(), "vec_fcdb"),
        VectorArg::Fourier => (raw.vec_fourier(), "vec_fourier"),
        VectorArg::Fourier2 => (raw.vec_fourier_v2(), "vec_fourier_v2"),
    };
    let refuse = |message: String| Problem::Usage(format!("{}: {message}", input::name(path)));
    if half.is_empty() {
        return Err(refuse(format!("the certificate has no {name}: choose another with --vector")));
    }
    let vectors: Vec<f32> = half.iter().collect();
    let created_at = match certificate.created_at() {
        "" => 0,
        text => seconds(text).ok_or_else(|| refuse(not_a_time(text)))?,
    };
    let item = Item {
        source: input::name(path),
        cache_id: certificate.cache_id().to_owned(),
        task_description: certificate.task_description().to_owned(),
        model_id: certificate.model_id().to_owned(),
        context_len: raw.context_len(),
        created_at,
        l2_norm: Some(raw.l2_norm()),
        vectors,
    };
    let dim = u32::try_from(half.len()).unwrap_or(u32::MAX);
    Ok(Items { items: vec![item], dim, per_entry: 1, method: vector.method() })
}

const STORED: &str =
    "fingerprints for an index are written with --store f32: it stores them as its own --store says";

/// Whether an array is of a type that fingerprints are stored in, but can only be read with what was said about it.
fn is_stored(bytes: &[u8]) -> bool {
    Header::parse(bytes).is_ok_and(|header| matches!(header.dtype(), Dtype::U8 | Dtype::I8 | Dtype::I16))
}

fn array(path: &Path, bytes: &[u8], entries: &Path) -> Result<Items, Problem> {
    let array = Array::read(path).map_err(|problem| match problem {
        Problem::File(error) if is_stored(bytes) => Problem::Usage(format!("{error}; {STORED}")),
        other => other,
    })?;
    let refuse = |message: String| Problem::Usage(format!("{}: {message}", input::name(path)));
    let (rows, per_entry, dim) = match *array.dims.as_slice() {
        [rows, dim] => (rows, 1, dim),
        [rows, per_entry, dim] => (rows, per_entry, dim),
        _ => {
            let found = array.dims.len();
            return Err(refuse(format!(
                "the array has {found} dimensions; needed are 2 (entries, components) or 3 (entries, vectors, components)"
            )));
        }
    };
    let shape = u32::try_from(dim).ok().filter(|&dim| dim > 0).zip(u16::try_from(per_entry).ok());
    let Some((dim, per_entry)) = shape.filter(|&(_, per_entry)| per_entry > 0) else {
        return Err(refuse(format!("{per_entry} vectors of {dim} components are no entry")));
    };
    let source = input::name(entries);
    let text = input::read(entries)?;
    let at_line = |line: usize, message: String| Problem::Usage(format!("{source}: line {line}: {message}"));
    let len = dim as usize * usize::from(per_entry);
    let mut vectors = array.values.chunks_exact(len);
    let mut items = Vec::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = number + 1;
        let object: Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| at_line(number, format!("no JSON object: {}", in_line(&error))))?;
        let Some(vector) = vectors.next() else {
            return Err(at_line(
                number,
                format!("there are more entries than the {rows} vectors of {}", input::name(path)),
            ));
        };
        let item = item(&source, &object, vector).map_err(|message| at_line(number, message))?;
        items.push(item);
    }
    if items.len() as u64 != rows {
        return Err(Problem::Usage(format!(
            "{source}: has {} entries, {} has {rows}",
            items.len(),
            input::name(path)
        )));
    }
    Ok(Items { items, dim, per_entry, method: Method::Unknown })
}

/// What is wrong with the JSON of one line, without the number of the line in it, which is 1.
fn in_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// An entry by its JSON: cache_id has to be there.
fn item(source: &str, object: &Map<String, Value>, vectors: &[f32]) -> Result<Item, String> {
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{name} has to be text")),
    };
    let context_len = match object.get("context_len") {
        None | Some(Value::Null) => 0,
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            number.ok_or("context_len has to be a whole number from 0 to 4294967295")?
        }
    };
    let created_at = match object.get("created_at") {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) if text.is_empty() => 0,
        Some(Value::String(text)) => seconds(text).ok_or_else(|| not_a_time(text))?,
        Some(value) => {
            let number = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
            number.ok_or("created_at has to be a time: 2026-11-21T10:09:13Z, or seconds since 1970")?
        }
    };
    let l2_norm = match object.get("l2_norm") {
        None => None,
        Some(Value::Null) => Some(f32::NAN),
        Some(value) => Some(value.as_f64().ok_or("l2_norm has to be a number")? as f32),
    };
    Ok(Item {
        source: source.to_owned(),
        cache_id: text("cache_id")?.ok_or("cache_id is missing")?,
        task_description: text("task_description")?.unwrap_or_default(),
        model_id: text("model_id")?.unwrap_or_default(),
        context_len,
        created_at,
        l2_norm,
        vectors: vectors.to_vec(),
    })
}

/// Where ENGRAM keeps what the vectors of an index of its own stand for.
pub(super) fn beside(path: &Path) -> PathBuf {
    path.with_extension("meta.json")
}

/// ENGRAM's index: the vectors, and beside them NAME.meta.json, which says what they stand for and which are still in use.
fn flat(path: &Path, bytes: &[u8]) -> Result<Items, Problem> {
    let index = FlatIndex::parse(bytes).map_err(|error| input::unfit(path, error))?;
    let vectors = index.vectors();
    if input::is_stream(path) {
        let message = "has its entries in a file beside it, NAME.meta.json, so give it by name";
        return Err(Problem::Usage(format!("{}: {message}", input::name(path))));
    }
    let beside = beside(path);
    let source = input::name(&beside);
    let refuse = |message: String| Problem::Usage(format!("{source}: {message}"));
    let text = input::read(&beside)?;
    let meta: Value = serde_json::from_slice(&text).map_err(|error| refuse(format!("no JSON: {error}")))?;
    let entries = meta.get("entries").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| refuse("entries is missing, or no array".to_owned()))?;
    let live = meta.get("id_to_position").and_then(Value::as_object);
    let live = live.ok_or_else(|| refuse("id_to_position is missing, or no object".to_owned()))?;
    let dim = vectors.dim();
    if let Some(stated) = meta.get("dim").filter(|stated| stated.as_u64() != Some(dim.into())) {
        return Err(refuse(format!("dim is {stated}; {} has {dim}", input::name(path))));
    }
    if entries.len() as u64 != u64::from(vectors.rows()) {
        let (entries, rows) = (entries.len(), vectors.rows());
        return Err(refuse(format!("has {entries} entries; {} has {rows} vectors", input::name(path))));
    }
    for (id, position) in live {
        if position.as_u64().is_none_or(|position| position >= entries.len() as u64) {
            let id = Escaped::new(id.as_bytes());
            return Err(refuse(format!(
                "id_to_position: '{id}' is at {position}, of {} entries",
                entries.len()
            )));
        }
        // Or it would be left out without a word.
        let entry = position.as_u64().and_then(|position| entries.get(usize::try_from(position).ok()?));
        let named = entry.and_then(|entry| entry.get("cache_id"));
        if named.is_some_and(|named| named.as_str() != Some(id)) {
            let id = Escaped::new(id.as_bytes());
            return Err(refuse(format!("id_to_position: '{id}' is at {position}, which is another entry")));
        }
    }
    let mut items = Vec::new();
    for (number, value) in (0u32..).zip(entries) {
        let at = |message: String| refuse(format!("entry {number}: {message}"));
        let object = value.as_object().ok_or_else(|| at("no object".to_owned()))?;
        // What was removed or superseded stays in the file.
        let cache_id = object.get("cache_id").and_then(Value::as_str);
        let position = cache_id.and_then(|id| live.get(id)).and_then(Value::as_u64);
        if cache_id.is_some() && position != Some(number.into()) {
            continue;
        }
        let mut vector = vec![0.0; dim as usize];
        vectors.row_into(number, &mut vector).map_err(|error| input::unfit(path, error))?;
        items.push(item(&source, object, &vector).map_err(at)?);
    }
    Ok(Items { items, dim, per_entry: 1, method: Method::Unknown })
}

fn not_a_time(text: &str) -> String {
    let text = Escaped::new(text.as_bytes());
    format!("created_at is '{text}', which is no time like 2026-11-21T10:09:13Z")
}

/// Seconds since 1970 of a time as ISO 8601 and Python write it; without a zone it is UTC, fractions are left out.
fn seconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let fits = |&(at, mark): &(usize, u8)| {
        text.as_bytes().get(at).is_some_and(|&byte| byte == mark || at == 10 && byte == b' ')
    };
    if !marks.iter().all(fits) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = text.get(19..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let zone = match rest.as_bytes() {
        [] | b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2]
            if [h1, h2, m1, m2].iter().all(|c| c.is_ascii_digit()) =>
        {
            let two = |a: &u8, b: &u8| i64::from(a - b'0') * 10 + i64::from(b - b'0');
            let offset = two(h1, h2) * 3600 + two(m1, m2) * 60;
            if *sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    // Days since 1 March of year 0, in which leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year.div_euclid(400) * 146_097
        + (year.rem_euclid(400) * 365 + year.rem_euclid(400) / 4 - year.rem_euclid(400) / 100)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - zone)
}

/// A time as `2026-11-21T10:09:13Z`.
pub(super) fn time_text(seconds: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, year) = (day - (153 * month + 2) / 5 + 1, era * 400 + year + i64::from(month >= 10));
    let month = if month < 10 { month + 3 } else { month - 9 };
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        // By GNU date: date -u -d TIME +%s.
        for (text, stated) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2026-11-21T10:09:13", 1_795_255_753),
            ("2024-02-29 23:59:59.999+00:00", 1_709_251_199),
            ("2024-03-01T01:00:00+02:00", 1_709_247_600),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-03-01T00:00:00-00:30", 951_870_600),
        ] {
            assert_eq!(seconds(text), Some(stated), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-01-01T00:00:00X",
            "2026-01-01",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(time_text(1_795_255_753), "2026-11-21T10:09:13Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59Z");
        assert_eq!(time_text(1_709_251_199), "2024-02-29T23:59:59Z");
    }
}

//! The checks of spec/engram.md, each of which goes on after a breach: the views of an index and of a whitening.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use super::checks::{MAX_BREACHES, foreign_tlvs, is_measured, required};
use super::tables::width;
use super::walk::{Anatomy, Config, le32};
use crate::error::ErrorKind;
use crate::frame::{Element, TlvType};

/// Bytes of an entry.
pub(super) const ENTRY: usize = 40;
/// The strings of an entry, and where their offsets stand in it.
pub(super) const STRINGS: [(&str, usize); 3] = [("cache_id", 16), ("task_description", 24), ("model_id", 32)];

/// ENGRAM_INDEX_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct IndexValue {
    at: usize,
    metric: u8,
    method: u8,
    pub(super) per_entry: u16,
    strings_len: u32,
    is_reserved_zero: bool,
}

impl IndexValue {
    pub(super) fn of(frame: &Anatomy<'_>) -> Option<Self> {
        let piece = frame.tlv(TlvType::ENGRAM_INDEX)?;
        let &[metric, method, v0, v1, a, b, c, d, _, _, _, _, _, _, _, _, ref reserved @ ..] =
            frame.value(piece).first_chunk::<24>()?;
        Some(Self {
            at: piece.value_at(),
            metric,
            method,
            per_entry: u16::from_be_bytes([v0, v1]),
            strings_len: u32::from_be_bytes([a, b, c, d]),
            is_reserved_zero: *reserved == [0; 8],
        })
    }

    /// How many entries there are, if the rows are those of whole entries.
    pub(super) fn entries(&self, config: &Config) -> Option<u32> {
        let entries = config.rows.checked_div(self.per_entry.into())?;
        (entries.checked_mul(self.per_entry.into()) == Some(config.rows)).then_some(entries)
    }

    /// Bytes of vectors, scales, entries and strings; `None` if one has more than 64 bits can say.
    pub(super) fn parts(&self, config: &Config, element: Element, entries: u32) -> Option<[u64; 4]> {
        let rows = u64::from(config.rows);
        let scales = if element == Element::I8 { rows.checked_mul(4)? } else { 0 };
        let vectors = rows.checked_mul(row_len(element, config.dim))?;
        Some([vectors, scales, u64::from(entries).checked_mul(ENTRY as u64)?, self.strings_len.into()])
    }
}

/// The element, if vectors can have it.
pub(super) fn vector_element(code: u8) -> Option<Element> {
    use Element as E;
    Element::from_code(code).filter(|e| matches!(e, E::I16 | E::F16 | E::F32 | E::I8 | E::Bits))
}

/// Bytes of a vector.
pub(super) fn row_len(element: Element, dim: u32) -> u64 {
    let units = if element == Element::Bits { dim.div_ceil(8) } else { dim };
    u64::from(units).saturating_mul(width(element) as u64)
}

/// `engram::index::Index::from_frame`.
pub(super) fn check_index(frame: &mut Anatomy<'_>, config: Config) {
    let index = required(frame, TlvType::ENGRAM_INDEX, IndexValue::of);
    foreign_tlvs(frame, config.kind, &[TlvType::ENGRAM_INDEX]);
    let in_config = |field: usize| config.at.saturating_add(field);
    let element = vector_element(config.element);
    if element.is_none() {
        frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found: config.element });
    }
    if config.dim == 0 {
        frame.find(in_config(8), ErrorKind::Shape { field: "CONFIG_V1.dim", needed: 1, found: 0 });
    }
    let Some(index) = index else { return };
    let entries = index.entries(&config);
    check_value(frame, &index, entries.is_some());
    // Without an element or a count of entries nothing is known of the length.
    let Some((element, entries)) = element.zip(entries) else { return };
    let parts = index.parts(&config, element, entries);
    let needed = parts.and_then(|parts| parts.into_iter().try_fold(0, u64::checked_add));
    let found = config.payload_len;
    match needed {
        Some(needed) if needed == found => {}
        Some(needed) => {
            let kind = ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found };
            frame.find(in_config(16), kind);
        }
        None => frame.find(in_config(16), ErrorKind::Size { field: "payload" }),
    }
    if needed == Some(found)
        && is_measured(frame)
        && let Some(parts) = parts
    {
        check_payload(frame, element, config.dim, parts);
    }
}

/// Steps 6 to 9: ENGRAM_INDEX_V1 by itself.
fn check_value(frame: &mut Anatomy<'_>, index: &IndexValue, is_whole: bool) {
    let at = |field: usize| index.at.saturating_add(field);
    for (place, field, found, most) in
        [(0, "ENGRAM_INDEX_V1.metric", index.metric, 2), (1, "ENGRAM_INDEX_V1.method", index.method, 7)]
    {
        if found > most {
            frame.find(at(place), ErrorKind::Code { field, found });
        }
    }
    if !is_whole || index.per_entry > 1 && index.metric != 2 {
        let (field, found) = ("ENGRAM_INDEX_V1.vectors_per_entry", index.per_entry.into());
        frame.find(at(2), ErrorKind::Shape { field, needed: 1, found });
    }
    if !index.is_reserved_zero {
        frame.find(at(16), ErrorKind::Reserved { field: "ENGRAM_INDEX_V1.reserved" });
    }
}

/// Steps 11 to 13.
fn check_payload(frame: &mut Anatomy<'_>, element: Element, dim: u32, parts: [u64; 4]) {
    let [vectors_len, scales_len, entries_len, _] =
        parts.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
    let vectors_at = frame.payload_at;
    let scales_at = vectors_at.saturating_add(vectors_len);
    let entries_at = scales_at.saturating_add(scales_len);
    let strings_at = entries_at.saturating_add(entries_len);
    let mut found = Vec::new();

    let row = usize::try_from(row_len(element, dim)).unwrap_or(usize::MAX);
    if element == Element::Bits && !dim.is_multiple_of(8) && row > 0 {
        let spare = u8::MAX << (dim % 8);
        let rows = frame.slice(vectors_at, scales_at).chunks_exact(row).enumerate();
        let bad = rows.filter(|(_, row)| row.last().is_some_and(|last| last & spare != 0));
        found.extend(bad.take(MAX_BREACHES).map(|(i, _)| {
            let end = i.saturating_add(1).saturating_mul(row);
            (vectors_at.saturating_add(end).saturating_sub(1), ErrorKind::SpareBits)
        }));
    }
    let scales =
        frame.slice(scales_at, entries_at).as_chunks().0.iter().map(|&scale| f32::from_le_bytes(scale));
    let bad = scales.enumerate().filter(|(_, scale)| !scale.is_finite() || *scale < 0.0);
    found.extend(bad.take(MAX_BREACHES).map(|(i, _)| {
        (scales_at.saturating_add(i.saturating_mul(4)), ErrorKind::Number { field: "the scale of a vector" })
    }));
    let entries = frame.slice(entries_at, strings_at);
    found.extend(check_entries(entries, entries_at, frame.slice(strings_at, frame.payload_end), strings_at));
    for (at, kind) in found {
        frame.find(at, kind);
    }
}

/// Bytes of a whitening's rows.
pub(super) fn whitening_len(config: &Config) -> Option<u64> {
    u64::from(config.rows).checked_mul(config.dim.into())?.checked_mul(4)
}

/// `Whitening::from_frame`.
pub(super) fn check_whitening(frame: &mut Anatomy<'_>, config: Config) {
    foreign_tlvs(frame, config.kind, &[]);
    let at = |field: usize| config.at.saturating_add(field);
    let is_f32 = config.element == Element::F32.code();
    if !is_f32 {
        frame.find(at(1), ErrorKind::Code { field: "CONFIG_V1.element", found: config.element });
    }
    for (place, field, found, needed) in
        [(4, "CONFIG_V1.rows", config.rows, 2u32), (8, "CONFIG_V1.dim", config.dim, 1)]
    {
        if found < needed {
            let (needed, found) = (needed.into(), found.into());
            frame.find(at(place), ErrorKind::Shape { field, needed, found });
        }
    }
    match whitening_len(&config) {
        Some(needed) if needed == config.payload_len => {
            if is_f32 && is_measured(frame) {
                check_values(frame);
            }
        }
        Some(needed) => {
            let found = config.payload_len;
            frame.find(at(16), ErrorKind::Shape { field: "CONFIG_V1.payload_len", needed, found });
        }
        None => frame.find(at(16), ErrorKind::Size { field: "payload" }),
    }
}

fn check_values(frame: &mut Anatomy<'_>) {
    let values = frame.slice(frame.payload_at, frame.payload_end).as_chunks().0.iter();
    let bad = values.enumerate().filter(|(_, value)| !f32::from_le_bytes(**value).is_finite());
    let places = bad.take(MAX_BREACHES).map(|(i, _)| frame.payload_at.saturating_add(i.saturating_mul(4)));
    for at in places.collect::<Vec<_>>() {
        frame.find(at, ErrorKind::Number { field: "a value of the whitening" });
    }
}

fn check_entries(
    entries: &[u8],
    entries_at: usize,
    strings: &[u8],
    strings_at: usize,
) -> Vec<(usize, ErrorKind)> {
    let mut found = Vec::new();
    let valid = strings
        .utf8_chunks()
        .next()
        .filter(|chunk| !chunk.invalid().is_empty())
        .map(|chunk| chunk.valid().len());
    if let Some(valid) = valid {
        found.push((strings_at.saturating_add(valid), ErrorKind::Utf8 { field: "the table of strings" }));
    }
    // Bytes that continue a character.
    let inside =
        |at: u64| usize::try_from(at).is_ok_and(|at| strings.get(at).is_some_and(|byte| byte & 0xC0 == 0x80));
    for (i, entry) in entries.chunks_exact(ENTRY).enumerate() {
        for (field, place) in STRINGS {
            let (start, len) = span(entry, place);
            let end = start.saturating_add(len);
            let breach = if end > strings.len() as u64 {
                let at = entries_at.saturating_add(i.saturating_mul(ENTRY)).saturating_add(place);
                Some((at, ErrorKind::PastEnd { field, end: strings.len() as u64, found: end }))
            } else if valid.is_none() && (inside(start) || inside(end)) {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                Some((strings_at.saturating_add(start), ErrorKind::Utf8 { field }))
            } else {
                None
            };
            // Many entries may share a string.
            found.extend(breach.filter(|breach| !found.contains(breach)));
            if found.len() >= MAX_BREACHES {
                return found;
            }
        }
    }
    found
}

/// Offset and length of a string of an entry.
pub(super) fn span(entry: &[u8], place: usize) -> (u64, u64) {
    (le32(entry, place).into(), le32(entry, place.saturating_add(4)).into())
}

//! The spans of what only an index of engrams has, vectors, scales, entries and strings, and of a whitening's rows.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;

use super::engram::{ENTRY, IndexValue, STRINGS, row_len, span, vector_element, whitening_len};
use super::explain::{Explainer, Table};
use super::explain_mirror::elements;
use super::tables::{escape, hex, width};
use super::walk::{Config, Piece, le, le32};
use crate::frame::{Element, Kind, TlvType};

/// Vectors shown at the start and at the end.
const VECTORS: (usize, usize) = (4, 2);
/// Entries shown at the start and at the end.
const ENTRIES: (usize, usize) = (30, 4);
/// Signs of a vector that are shown.
const SIGNS: usize = 40;
/// Bytes of a string that are shown with its entry.
const MAX_STRING: usize = 64;

impl Explainer<'_, '_> {
    /// What the line of ENGRAM_INDEX_V1 says besides its length.
    pub(super) fn engram_note(&self, piece: &Piece) -> String {
        let frame = self.frame;
        let is_first = frame.tlv(piece.tlv_type).is_some_and(|first| first.at == piece.at);
        let is_index = frame.config.filter(|config| config.kind == Kind::ENGRAM_INDEX);
        let (TlvType::ENGRAM_INDEX, true, Some(config), Some(index)) =
            (piece.tlv_type, is_first, is_index, IndexValue::of(frame))
        else {
            return String::new();
        };
        match (index.entries(&config), index.per_entry) {
            (Some(1), 1) => "; 1 entry".into(),
            (Some(entries), 1) => format!("; {entries} entries"),
            (Some(1), vectors) => format!("; 1 entry of {vectors} vectors"),
            (Some(entries), vectors) => format!("; {entries} entries of {vectors} vectors each"),
            (None, _) => String::new(),
        }
    }

    /// What a field of ENGRAM_INDEX_V1 says besides its value.
    pub(super) fn engram_field_note(field: &str, bytes: &[u8]) -> &'static str {
        match (field, bytes) {
            ("whitening_prefix", [0, 0, 0, 0, 0, 0, 0, 0]) => ": no whitening",
            ("whitening_prefix", _) => "..: the digest of the whitening, which is not here",
            _ => "",
        }
    }

    /// The payload of an index whose length is as it has to be; of all others nothing.
    pub(super) fn engram_payload(&mut self, len: usize) {
        let Some(config) = self.frame.config.filter(|config| config.kind == Kind::ENGRAM_INDEX) else {
            return;
        };
        let Some((index, element)) = IndexValue::of(self.frame).zip(vector_element(config.element)) else {
            return;
        };
        let Some(parts) = index.entries(&config).and_then(|entries| index.parts(&config, element, entries))
        else {
            return;
        };
        if config.dim == 0 || parts.into_iter().try_fold(0, u64::checked_add) != Some(len as u64) {
            return;
        }
        // No more than the payload, which is in memory.
        let [vectors, scales, entries, strings] = parts.map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        self.vectors(&config, element, index.per_entry, vectors);
        let table = Table { noun: "scales", ..Table::new(scales, 4, "scales", self.crc_good) };
        self.out.values(&table, |i| format!("scales[{i}]"), float);
        self.entries(entries);
        self.out.text(strings, "strings", self.crc_good);
    }

    /// The rows of a whitening whose length is as it has to be; of all others nothing.
    pub(super) fn whitening_payload(&mut self, len: usize) {
        let Some(config) = self.frame.config.filter(|config| config.kind == Kind::WHITENING) else { return };
        if whitening_len(&config) != Some(len as u64) || config.element != Element::F32.code() || len == 0 {
            return;
        }
        let row = usize::try_from(row_len(Element::F32, config.dim)).unwrap_or(usize::MAX);
        let table = Table { noun: "rows", shown: VECTORS, ..Table::new(len, row, "rows", self.crc_good) };
        self.out.values(
            &table,
            |i| match i.checked_sub(1) {
                None => "mean".into(),
                Some(i) => format!("directions[{i}]"),
            },
            |bytes| elements(Element::F32, 0, 4, bytes),
        );
    }

    fn vectors(&mut self, config: &Config, element: Element, per_entry: u16, len: usize) {
        // Without vectors, one may be longer than memory.
        let row = usize::try_from(row_len(element, config.dim)).unwrap_or(usize::MAX);
        let table =
            Table { noun: "vectors", shown: VECTORS, ..Table::new(len, row, "vectors", self.crc_good) };
        let field = |i: usize| match i.checked_div(per_entry.into()) {
            Some(entry) if per_entry > 1 => format!("vectors[{i}] of entry {entry}"),
            _ => format!("vectors[{i}]"),
        };
        let (dim, delta_q16) = (config.dim as usize, config.delta_q16);
        self.out.values(&table, field, |bytes| match element {
            Element::Bits if bytes.len() == row => signs(bytes, dim),
            Element::Bits => hex(bytes),
            _ => elements(element, delta_q16, width(element), bytes),
        });
    }

    fn entries(&mut self, len: usize) {
        let (frame, crc_good) = (self.frame, self.crc_good);
        let table = Table { noun: "entries", shown: ENTRIES, ..Table::new(len, ENTRY, "entries", crc_good) };
        let strings = frame.slice(self.out.pos().saturating_add(len), frame.payload_end);
        self.out.list(&table, |out, i| {
            let at = out.pos();
            let end = at.saturating_add(ENTRY);
            let entry = frame.slice(at, end);
            if out.next_finding() >= end {
                let text = described(entry, strings);
                out.emit(ENTRY, format!("entries[{i}]"), crc_good, |_| text.clone());
                return;
            }
            out.emit(4, format!("entries[{i}].l2_norm"), crc_good, float);
            out.emit(4, format!("entries[{i}].context_len"), crc_good, |bytes| format!("{}", le32(bytes, 0)));
            out.emit(8, format!("entries[{i}].created_at"), crc_good, |bytes| {
                format!("{}", le(bytes, 0).cast_signed())
            });
            for (field, place) in STRINGS {
                let (start, len) = span(entry, place);
                out.emit(8, format!("entries[{i}].{field}"), crc_good, |_| {
                    format!("{len} bytes from {start}")
                });
            }
        });
    }
}

fn float(bytes: &[u8]) -> String {
    bytes.first_chunk().map_or_else(|| hex(bytes), |&bytes| format!("{:?}", f32::from_le_bytes(bytes)))
}

/// The signs of a vector: all, or the first.
fn signs(bytes: &[u8], dim: usize) -> String {
    let bits = bytes.iter().flat_map(|&byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).take(dim);
    let mut text: String = bits.take(SIGNS).map(|bit| if bit { '-' } else { '+' }).collect();
    if let Some(more) = dim.checked_sub(SIGNS).filter(|more| *more > 0) {
        text.push_str(&format!(", {more} more"));
    }
    text
}

/// `"id" of model "name": 7 tokens, l2_norm 0.5, created_at 1767225600: "what it is about"`
fn described(entry: &[u8], strings: &[u8]) -> String {
    let [id, task, model] = STRINGS.map(|(_, place)| {
        let (start, len) = span(entry, place);
        let bytes = usize::try_from(start).ok().and_then(|start| strings.get(start..));
        let bytes = bytes.zip(usize::try_from(len).ok()).and_then(|(bytes, len)| bytes.get(..len));
        shown(bytes.unwrap_or_default())
    });
    let (norm, tokens) = (float(entry.get(..4).unwrap_or_default()), le32(entry, 4));
    let created = le(entry, 8).cast_signed();
    let noun = if tokens == 1 { "token" } else { "tokens" };
    format!("{id} of model {model}: {tokens} {noun}, l2_norm {norm}, created_at {created}: {task}")
}

/// A string in quotes, as far as it is short enough.
fn shown(text: &[u8]) -> String {
    // A character that is cut would look like a wrong one.
    let boundary = |&at: &usize| text.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
    let most = MAX_STRING.min(text.len());
    let end = (0..=most).rev().take(4).find(boundary).unwrap_or(most);
    let dots = if end < text.len() { ".." } else { "" };
    format!("\"{}{dots}\"", escape(text.get(..end).unwrap_or_default()))
}

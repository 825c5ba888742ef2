//! The spans of what only ledgers have: marks, tokens, and an index's tables.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::explain::{Emitter, Explainer, Table};
use super::ledger::{ChunkValue, IndexValue, MarkList, MarkedSpan, RECORDS, name_at};
use super::tables::{escape, hex};
use super::walk::{Piece, le, le32};
use crate::frame::{Kind, TlvType};

/// Marks shown at the start and at the end of a list.
const SHOWN: (usize, usize) = (30, 4);
/// Bytes of a name that are shown with its span.
const MAX_NAME: usize = 128;

/// Name and size of each field of the tables of an index.
type Fields = &'static [(&'static str, usize)];

const TABLES: [(&str, Fields); 3] = [
    (
        "anchors",
        &[("chunk_id", 8), ("start", 8), ("offset", 8), ("length", 4), ("reserved", 4), ("sha256_prefix", 8)],
    ),
    ("passkeys", &[("position", 8), ("chunk_id", 8), ("offset", 4), ("token", 4)]),
    ("spans", &[("start", 8), ("length", 8), ("name_off", 4), ("name_len", 4)]),
];

impl Explainer<'_, '_> {
    /// What the line of a ledger's TLV says besides its length.
    pub(super) fn ledger_note(&self, piece: &Piece) -> String {
        let frame = self.frame;
        // Only the first of its type is looked at.
        let is_first = frame.tlv(piece.tlv_type).is_some_and(|first| first.at == piece.at);
        match piece.tlv_type {
            TlvType::LEDGER_CHUNK if is_first => ChunkValue::of(frame).map(|chunk| {
                let ChunkValue { id, start, length, .. } = chunk;
                format!("; chunk {id}, {length} {} from position {start}", tokens(length.into()))
            }),
            TlvType::LEDGER_INDEX if is_first => IndexValue::of(frame).map(|index| {
                let IndexValue { chunk_count, total_tokens, ledger_len, .. } = index;
                let chunks = if chunk_count == 1 { "chunk" } else { "chunks" };
                let tokens = tokens(total_tokens);
                format!("; of {chunk_count} {chunks}, {total_tokens} {tokens}, {ledger_len} bytes")
            }),
            _ => None,
        }
        .unwrap_or_default()
    }

    /// The marks after their counts, as far as they are there.
    pub(super) fn marks(&mut self, piece: &Piece, label: &str, checked: bool) {
        let Some(marks) = MarkList::of(self.frame.value(piece)) else { return };
        let part = format!("{label}.passkeys");
        let table =
            Table { noun: "passkeys", shown: SHOWN, ..Table::new(marks.passkeys.len(), 8, &part, checked) };
        self.out.values(
            &table,
            |i| format!("{part}[{i}]"),
            |bytes| match bytes.first_chunk() {
                Some(&position) => format!("position {}", u64::from_be_bytes(position)),
                None => hex(bytes),
            },
        );

        // Spans have no one size.
        let part = format!("{label}.spans");
        let (count, (head, tail)) = (marks.spans.len(), SHOWN);
        let is_hidden = |i: usize| {
            let whole = head.saturating_add(tail).saturating_add(2);
            count > whole && i >= head && i < count.saturating_sub(tail)
        };
        let (mut hidden, mut hidden_len) = (0usize, 0usize);
        let pass_over = |out: &mut Emitter<'_>, hidden: &mut usize, len: &mut usize| {
            let (more, skipped) = (core::mem::take(hidden), core::mem::take(len));
            out.emit(skipped, part.clone(), checked, |_| format!("{more} more spans"));
        };
        for (i, span) in marks.spans.iter().enumerate() {
            let len = span.name.len().saturating_add(18);
            let at = piece.value_at().saturating_add(span.at);
            let is_bad = self.out.next_finding() < at.saturating_add(len);
            if is_hidden(i) && !is_bad {
                (hidden, hidden_len) = (hidden.saturating_add(1), hidden_len.saturating_add(len));
                continue;
            }
            pass_over(&mut self.out, &mut hidden, &mut hidden_len);
            self.marked_span(span, is_bad, &format!("{part}[{i}]"), checked);
        }
        pass_over(&mut self.out, &mut hidden, &mut hidden_len);
    }

    fn marked_span(&mut self, span: &MarkedSpan<'_>, is_bad: bool, label: &str, checked: bool) {
        let &MarkedSpan { start, length, name, .. } = span;
        if !is_bad {
            let len = name.len().saturating_add(18);
            self.out.emit(len, String::from(label), checked, |_| described(name, start, length));
            return;
        }
        for (field, len, value) in
            [("start", 8, start), ("length", 8, length), ("name_len", 2, name.len() as u64)]
        {
            self.out.emit(len, format!("{label}.{field}"), checked, |_| format!("{value}"));
        }
        self.out.text(name.len(), &format!("{label}.name"), checked);
    }

    /// The payload of a chunk or an index whose length is as it has to be; of all others nothing.
    pub(super) fn ledger_payload(&mut self, len: usize) {
        let frame = self.frame;
        match frame.config.map(|config| config.kind) {
            Some(Kind::LEDGER_CHUNK) => {
                if let Some(chunk) = ChunkValue::of(frame)
                    && chunk.payload_len(frame.config.map_or(0, |config| config.element)) == Some(len as u64)
                {
                    self.tokens(&chunk, len);
                }
            }
            Some(Kind::LEDGER_INDEX) => {
                if let Some(index) = IndexValue::of(frame)
                    && index.parts().into_iter().fold(0, u64::saturating_add) == len as u64
                {
                    self.index_tables(&index);
                }
            }
            _ => {}
        }
    }

    fn tokens(&mut self, chunk: &ChunkValue, len: usize) {
        let length = chunk.length as usize;
        let Some(bits) = chunk.packed_bits().map(usize::from) else {
            let width = len.checked_div(length).unwrap_or(1);
            let table = Table { noun: "tokens", ..Table::new(len, width, "tokens", self.crc_good) };
            let token = |bytes: &[u8]| match bytes.len() == width {
                true => format!("{}", bytes.iter().rev().fold(0u32, |int, &byte| int << 8 | u32::from(byte))),
                false => hex(bytes),
            };
            return self.out.values(&table, |i| format!("tokens[{i}]"), token);
        };
        // Eight tokens fill whole bytes.
        let groups = length.checked_div(8).unwrap_or(0);
        let whole = groups.saturating_mul(bits).min(len);
        let show = |count: usize, size: usize| {
            move |bytes: &[u8]| if bytes.len() == size { unpacked(bytes, bits, count) } else { hex(bytes) }
        };
        let table = Table { noun: "tokens", each: 8, ..Table::new(whole, bits, "tokens", self.crc_good) };
        let range = |from: usize, to: usize| match to.saturating_sub(from) {
            1 => format!("tokens[{from}]"),
            _ => format!("tokens[{from}..{to}]"),
        };
        let field = |i: usize| range(i.saturating_mul(8), i.saturating_add(1).saturating_mul(8));
        self.out.values(&table, field, show(8, bits));
        let (rest, rest_len) = (length % 8, len.saturating_sub(whole));
        let field = range(length.saturating_sub(rest), length);
        self.out.emit(rest_len, field, self.crc_good, show(rest, rest_len));
    }

    fn index_tables(&mut self, index: &IndexValue) {
        let frame = self.frame;
        let lens = index.parts().map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let [anchors, passkeys, spans, names_len] = lens;
        let spans_at = frame.payload_at.saturating_add(anchors).saturating_add(passkeys);
        let names = frame.slice(spans_at.saturating_add(spans), frame.payload_end);
        for (((label, fields), len), width) in TABLES.into_iter().zip(lens).zip(RECORDS) {
            let table = Table { noun: label, shown: SHOWN, ..Table::new(len, width, label, self.crc_good) };
            let (frame, crc_good) = (self.frame, self.crc_good);
            self.out.list(&table, |out, i| {
                let at = out.pos();
                let end = at.saturating_add(width);
                if out.next_finding() < end {
                    for &(field, size) in fields {
                        out.emit(size, format!("{label}[{i}].{field}"), crc_good, |bytes| {
                            number(field, bytes)
                        });
                    }
                } else {
                    let text = record(label, frame.slice(at, end), names);
                    out.emit(width, format!("{label}[{i}]"), crc_good, |_| text.clone());
                }
            });
        }
        self.out.text(names_len.min(names.len()), "names", self.crc_good);
    }
}

fn tokens(count: u64) -> &'static str {
    if count == 1 { "token" } else { "tokens" }
}

/// A little-endian field.
fn number(field: &str, bytes: &[u8]) -> String {
    if field == "sha256_prefix" || bytes.len() > 8 {
        return hex(bytes);
    }
    format!("{}", bytes.iter().rev().fold(0u64, |int, &byte| int << 8 | u64::from(byte)))
}

/// A record of an index in one line.
fn record(table: &str, bytes: &[u8], names: &[u8]) -> String {
    match table {
        "anchors" => {
            let (id, start, offset, length) = (le(bytes, 0), le(bytes, 8), le(bytes, 16), le32(bytes, 24));
            let tokens = tokens(length.into());
            let prefix = hex(bytes.get(32..).unwrap_or_default());
            format!("chunk {id} at byte {offset}: {length} {tokens} from position {start}, digest {prefix}..")
        }
        "passkeys" => {
            let (position, id, offset, token) =
                (le(bytes, 0), le(bytes, 8), le32(bytes, 16), le32(bytes, 20));
            format!("position {position}: token {token}, number {offset} of chunk {id}")
        }
        _ => {
            let name = name_at(names, le32(bytes, 16).into(), le32(bytes, 20).into());
            described(name.unwrap_or_default(), le(bytes, 0), le(bytes, 8))
        }
    }
}

/// `"name": 3 tokens from position 7`
fn described(name: &[u8], start: u64, length: u64) -> String {
    // A character that is cut would look like a wrong one.
    let boundary = |&at: &usize| name.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
    let most = MAX_NAME.min(name.len());
    let shown = (0..=most).rev().take(4).find(boundary).unwrap_or(most);
    let dots = if shown < name.len() { ".." } else { "" };
    let text = escape(name.get(..shown).unwrap_or_default());
    format!("\"{text}{dots}\": {length} {} from position {start}", tokens(length))
}

/// `count` tokens of `bits` bits.
fn unpacked(bytes: &[u8], bits: usize, count: usize) -> String {
    let mut text = String::new();
    let all: Vec<bool> = bytes.iter().flat_map(|&byte| (0..8).map(move |bit| byte >> bit & 1 == 1)).collect();
    for token in all.chunks(bits.max(1)).take(count) {
        let token = token.iter().rev().fold(0u64, |token, &bit| token << 1 | u64::from(bit));
        let _ = write!(text, "{}{token}", if text.is_empty() { "" } else { ", " });
    }
    text
}

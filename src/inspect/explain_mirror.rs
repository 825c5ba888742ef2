//! The spans of what blocks and mirrors have: which blocks, and their elements.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;

use super::explain::{Emitter, Explainer, Table};
use super::mirror::{MirrorValue, element_size, payload_len};
use super::tables::{hex, show_element};
use super::walk::{Piece, le32};
use crate::frame::{Element, Kind, TlvType};

/// Indices on a line.
const PER_LINE: usize = 8;
/// Blocks shown at the start and at the end.
const SHOWN: (usize, usize) = (4, 2);
/// Elements of a block shown at its start and at its end, so that they fit a line; one longer by up to two is shown whole.
const ELEMENTS: (usize, usize) = (3, 1);

impl Explainer<'_, '_> {
    /// What the line of MIRROR_V1 says besides its length.
    pub(super) fn mirror_note(&self, piece: &Piece) -> String {
        let frame = self.frame;
        let is_first = frame.tlv(piece.tlv_type).is_some_and(|first| first.at == piece.at);
        let is_mirror = frame.config.filter(|config| config.kind == Kind::MIRROR);
        match (piece.tlv_type, is_mirror, MirrorValue::of(frame)) {
            (TlvType::MIRROR, Some(config), Some(mirror)) if is_first => {
                format!("; {} of {} blocks differ", config.rows, mirror.total_blocks)
            }
            _ => String::new(),
        }
    }

    /// What a field of MIRROR_V1 says besides its value.
    pub(super) fn mirror_field_note(field: &str, bytes: &[u8]) -> &'static str {
        // -0 is 0.
        let is_zero = matches!(bytes, [0 | 0x80, rest @ ..] if rest.iter().all(|&byte| byte == 0));
        match (field, bytes) {
            ("mode", [0]) => ": the agent's own blocks",
            ("mode", [1]) => ": agent - master",
            ("threshold", _) if is_zero => ": only blocks that are bit by bit the master's are left out",
            ("threshold", _) => ": differences up to this L2 norm are left out",
            ("master_digest", _) => "; SHA-256 of the master, which is not here",
            _ => "",
        }
    }

    /// The payload of blocks or a mirror whose length is as it has to be; of all others nothing.
    pub(super) fn mirror_payload(&mut self, len: usize) {
        let Some(config) = self.frame.config else { return };
        let has_indices = match config.kind {
            Kind::MIRROR => true,
            Kind::BLOCKS => false,
            _ => return,
        };
        let Some((element, size)) = Element::from_code(config.element).zip(element_size(config.element))
        else {
            return;
        };
        if payload_len(&config, size, has_indices) != Some(len as u64) || config.dim == 0 {
            return;
        }
        // No more than the payload, which is in memory.
        let rows = if len == 0 { 0 } else { config.rows as usize };
        let indices = if has_indices { rows.saturating_mul(4) } else { 0 };
        if has_indices {
            self.indices(rows);
        }
        let (frame, crc_good, label) =
            (self.frame, self.crc_good, if has_indices { "values" } else { "blocks" });
        let values = len.saturating_sub(indices);
        let width = values.checked_div(rows).unwrap_or(0);
        let table = Table { noun: "blocks", shown: SHOWN, ..Table::new(values, width, label, crc_good) };
        let size = usize::try_from(size).unwrap_or(1);
        self.out.values(
            &table,
            |i| {
                if !has_indices {
                    return format!("blocks[{i}]");
                }
                let at = frame.payload_at.saturating_add(i.saturating_mul(4));
                format!("values[{i}] of block {}", le32(frame.slice(at, at.saturating_add(4)), 0))
            },
            |bytes| elements(element, config.delta_q16, size, bytes),
        );
    }

    /// Which blocks differ: some on a line, but for lines with one that is out of place.
    fn indices(&mut self, rows: usize) {
        let crc_good = self.crc_good;
        let line = |out: &mut Emitter<'_>, from: usize, count: usize| {
            let len = count.saturating_mul(4);
            if out.next_finding() < out.pos().saturating_add(len) {
                for i in (from..).take(count) {
                    out.emit(4, format!("indices[{i}]"), crc_good, blocks);
                }
                return;
            }
            let field = match count {
                1 => format!("indices[{from}]"),
                _ => format!("indices[{from}..{}]", from.saturating_add(count)),
            };
            out.emit(len, field, crc_good, blocks);
        };
        let lines = rows.checked_div(PER_LINE).unwrap_or(0);
        let width = PER_LINE.saturating_mul(4);
        let table = Table {
            noun: "indices",
            each: PER_LINE,
            ..Table::new(lines.saturating_mul(width), width, "indices", crc_good)
        };
        self.out.list(&table, |out, i| line(out, i.saturating_mul(PER_LINE), PER_LINE));
        let rest = rows % PER_LINE;
        if rest > 0 {
            line(&mut self.out, rows.saturating_sub(rest), rest);
        }
    }
}

/// `block 7`, or `blocks 0, 3, 7`.
fn blocks(indices: &[u8]) -> String {
    if indices.is_empty() || !indices.len().is_multiple_of(4) {
        return hex(indices);
    }
    let noun = if indices.len() == 4 { "block" } else { "blocks" };
    format!("{noun} {}", join(indices.chunks(4).map(|index| format!("{}", le32(index, 0)))))
}

/// The elements of a block: all, or the first and the last.
pub(super) fn elements(element: Element, delta_q16: u32, size: usize, block: &[u8]) -> String {
    let count = block.len().checked_div(size).unwrap_or(0);
    let show = |bytes: &[u8]| join(bytes.chunks(size).map(|bytes| show_element(element, delta_q16, bytes)));
    let (head, tail) = ELEMENTS;
    let hidden = count.saturating_sub(head).saturating_sub(tail);
    if hidden <= 2 {
        return show(block);
    }
    let split = block.split_at_checked(head.saturating_mul(size));
    let rest = split.and_then(|(head, rest)| Some((head, rest.get(hidden.saturating_mul(size)..)?)));
    match rest {
        Some((head, tail)) => format!("{}, {hidden} more, {}", show(head), show(tail)),
        None => hex(block),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&part);
    }
    text
}

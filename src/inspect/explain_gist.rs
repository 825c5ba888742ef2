//! The spans of what a gist has: what it stands for, and its rows of keys and values.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::explain::{Explainer, Table};
use super::explain_mirror::elements;
use super::gist::GistValue;
use super::mirror::{element_size, payload_len};
use super::tables::width;
use super::walk::Piece;
use crate::frame::{Element, Kind, TlvType};

/// Rows shown at the start and at the end.
const SHOWN: (usize, usize) = (4, 2);

impl Explainer<'_, '_> {
    /// What the line of GIST_V1 says besides its length.
    pub(super) fn gist_note(&self, piece: &Piece) -> String {
        let frame = self.frame;
        let is_first = frame.tlv(piece.tlv_type).is_some_and(|first| first.at == piece.at);
        let is_gist = frame.config.is_some_and(|config| config.kind == Kind::GIST);
        let (TlvType::GIST, true, true, Some(gist)) =
            (piece.tlv_type, is_first, is_gist, GistValue::of(frame))
        else {
            return String::new();
        };
        let GistValue { layers, heads, tokens, source_tokens, .. } = gist;
        let mut text = format!(
            "; {}, {}, {}",
            count(layers, "layer"),
            count(heads, "KV head"),
            count(tokens, "gist token")
        );
        if source_tokens > 0 && tokens > 0 {
            let ratio = source_tokens as f64 / f64::from(tokens);
            let _ = write!(text, "; {ratio:.1} tokens of the source for each");
        }
        match self.non_finite() {
            0 => {}
            some => {
                let _ = write!(text, "; NaN or infinite: {}", count(some, "component"));
            }
        }
        text
    }

    /// What a field of GIST_V1 says besides its value.
    pub(super) fn gist_field_note(field: &str, bytes: &[u8]) -> &'static str {
        let is_zero = bytes.iter().all(|&byte| byte == 0);
        match (field, is_zero) {
            ("source_tokens", true) => ": how many is not known",
            ("source_root", true) => ": no ledger is named",
            ("source_root", false) => "; the root of the source's ledger index, which is not here",
            _ => "",
        }
    }

    /// Components of the payload that are NaN or infinite; 0 where the payload is not known for certain.
    fn non_finite(&self) -> u64 {
        let frame = self.frame;
        let element = frame.config.and_then(|config| Element::from_code(config.element));
        let Some(element) = element.filter(|_| self.crc_good && frame.complete) else { return 0 };
        let payload = frame.slice(frame.payload_at, frame.payload_end);
        let halves = |exponent: u16| {
            let values = payload.as_chunks().0.iter().map(|&half| u16::from_le_bytes(half));
            values.filter(|half| half & exponent == exponent).count()
        };
        let found = match element {
            Element::F16 => halves(0x7C00),
            Element::Bf16 => halves(0x7F80),
            Element::F32 => {
                payload.as_chunks().0.iter().filter(|&&value| !f32::from_le_bytes(value).is_finite()).count()
            }
            _ => 0,
        };
        found as u64
    }

    /// The rows of a gist whose payload is as long as it has to be; of all others nothing.
    pub(super) fn gist_payload(&mut self, len: usize) {
        let Some(config) = self.frame.config.filter(|config| config.kind == Kind::GIST) else { return };
        let Some((gist, element)) = GistValue::of(self.frame).zip(Element::from_code(config.element)) else {
            return;
        };
        let needed = element_size(config.element).and_then(|size| payload_len(&config, size, false));
        let shaped = gist.rows() == Some(config.rows.into()) && gist.head_dim == config.dim;
        if !shaped || needed != Some(len as u64) || len == 0 {
            return;
        }
        // In memory, so it fits.
        let row = len.checked_div(config.rows as usize).unwrap_or(len);
        let (heads, tokens) = (gist.heads as usize, gist.tokens as usize);
        let field = |i: usize| {
            let (rest, token) = (i.checked_div(tokens), i.checked_rem(tokens));
            let (half, head) =
                (rest.and_then(|i| i.checked_div(heads)), rest.and_then(|i| i.checked_rem(heads)));
            let (half, head, token) =
                (half.unwrap_or_default(), head.unwrap_or_default(), token.unwrap_or_default());
            let part = if half.is_multiple_of(2) { "keys" } else { "values" };
            format!("{part}[{}][{head}][{token}]", half >> 1)
        };
        let table = Table { noun: "rows", shown: SHOWN, ..Table::new(len, row, "rows", self.crc_good) };
        self.out.values(&table, field, |bytes| elements(element, config.delta_q16, width(element), bytes));
    }
}

/// `1 layer`, or `2 layers`.
fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

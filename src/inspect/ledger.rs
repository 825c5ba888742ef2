//! The checks of spec/ledger.md, each of which goes on after a breach: the views of a chunk and of an index, and the
//! rules between chunks that follow one another.
#![deny(clippy::arithmetic_side_effects)]

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::checks::{MAX_BREACHES, foreign_tlvs, hash_at, is_measured, required};
use super::walk::{Anatomy, Config, le, le32};
use crate::error::ErrorKind;
use crate::frame::{Element, TlvType};

/// Marks that are remembered to find one that comes twice.
const MAX_MARKS: usize = 1 << 20;

/// Sizes of an anchor, a passkey and a span in an index.
pub(super) const RECORDS: [usize; 3] = [40, 24, 24];

/// LEDGER_CHUNK_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct ChunkValue {
    at: usize,
    pub(super) id: u64,
    pub(super) start: u64,
    pub(super) length: u32,
    encoding: u8,
    bits: u8,
    reserved: u16,
}

impl ChunkValue {
    pub(super) fn of(frame: &Anatomy<'_>) -> Option<Self> {
        let piece = frame.tlv(TlvType::LEDGER_CHUNK)?;
        let value: &[u8; 24] = frame.value(piece).first_chunk()?;
        Some(Self {
            at: piece.value_at(),
            id: be(value, 0, 8),
            start: be(value, 8, 8),
            length: be32(value, 16),
            encoding: value[20],
            bits: value[21],
            reserved: u16::from_be_bytes([value[22], value[23]]),
        })
    }

    /// The position after its last token, if it has 64 bits.
    pub(super) const fn end(&self) -> Option<u64> {
        self.start.checked_add(self.length as u64)
    }

    /// Bits of a token in a bit-packed payload.
    pub(super) fn packed_bits(&self) -> Option<u8> {
        (self.encoding == 1 && (1..=32).contains(&self.bits)).then_some(self.bits)
    }

    /// Bytes of the payload, if the element goes with the encoding.
    pub(super) fn payload_len(&self, element: u8) -> Option<u64> {
        let (needed, _, len) = self.shape(element)?;
        (needed.code() == element && len > 0).then_some(len)
    }

    /// The element, dim and payload_len that it asks for.
    fn shape(&self, element: u8) -> Option<(Element, u64, u64)> {
        let length = u64::from(self.length);
        let packed = |bits: u8| length.saturating_mul(u64::from(bits)).div_ceil(8);
        Some(match (self.encoding, self.packed_bits()) {
            (0, _) if element == Element::U32.code() => (Element::U32, length, length.saturating_mul(4)),
            (0, _) => (Element::U16, length, length.saturating_mul(2)),
            (_, Some(bits)) => (Element::U8, packed(bits), packed(bits)),
            (_, None) => return None,
        })
    }
}

/// LEDGER_INDEX_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct IndexValue {
    at: usize,
    pub(super) total_tokens: u64,
    pub(super) chunk_count: u64,
    pub(super) ledger_len: u64,
    chunk_tokens: u32,
    stride: u32,
    /// Of anchors, passkeys and spans.
    counts: [u32; 3],
    names_len: u32,
    reserved: u64,
}

impl IndexValue {
    pub(super) fn of(frame: &Anatomy<'_>) -> Option<Self> {
        let piece = frame.tlv(TlvType::LEDGER_INDEX)?;
        let value: &[u8; 88] = frame.value(piece).first_chunk()?;
        Some(Self {
            at: piece.value_at(),
            total_tokens: be(value, 0, 8),
            chunk_count: be(value, 8, 8),
            ledger_len: be(value, 16, 8),
            chunk_tokens: be32(value, 24),
            stride: be32(value, 28),
            counts: [32, 36, 40].map(|at| be32(value, at)),
            names_len: be32(value, 44),
            reserved: be(value, 80, 8),
        })
    }

    /// Bytes of the anchors, passkeys, spans and names.
    pub(super) fn parts(&self) -> [u64; 4] {
        let [anchors, passkeys, spans] = self.counts;
        let [a, p, s] = RECORDS.map(|size| size as u64);
        // 32-bit counts: nothing overflows.
        [
            u64::from(anchors).saturating_mul(a),
            u64::from(passkeys).saturating_mul(p),
            u64::from(spans).saturating_mul(s),
            self.names_len.into(),
        ]
    }
}

/// A span of LEDGER_MARKS_V1 and where it is in the value.
pub(super) struct MarkedSpan<'a> {
    pub(super) at: usize,
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) name: &'a [u8],
}

/// The marks of a value as far as they are there, and the breach that ends them: what is missing, or follows.
pub(super) struct MarkList<'a> {
    /// The positions, 8 bytes each, from the value's byte 4.
    pub(super) passkeys: &'a [u8],
    pub(super) spans: Vec<MarkedSpan<'a>>,
    last: Option<(usize, ErrorKind)>,
}

impl<'a> MarkList<'a> {
    pub(super) fn of(value: &'a [u8]) -> Option<Self> {
        let (counts, rest) = value.split_first_chunk::<4>()?;
        let passkey_count = usize::from(u16::from_be_bytes([counts[0], counts[1]]));
        let span_count = usize::from(u16::from_be_bytes([counts[2], counts[3]]));
        let there = rest.len().checked_div(8).unwrap_or(0).min(passkey_count);
        let (passkeys, mut rest) = rest.split_at_checked(there.saturating_mul(8))?;
        let mut list = Self { passkeys, spans: Vec::new(), last: None };
        let place = |rest: &[u8]| value.len().saturating_sub(rest.len());
        let cut = |rest: &[u8], field, needed| {
            Some((place(rest), ErrorKind::Truncated { field, needed, available: rest.len() as u64 }))
        };
        if there < passkey_count {
            list.last = cut(rest, "passkey.position", 8);
            return Some(list);
        }
        for _ in 0..span_count {
            let at = place(rest);
            let mut fields = [0u64; 3];
            for (to, (field, len)) in
                fields.iter_mut().zip([("span.start", 8), ("span.length", 8), ("span.name_len", 2)])
            {
                let Some((head, after)) = rest.split_at_checked(len) else {
                    list.last = cut(rest, field, len as u64);
                    return Some(list);
                };
                *to = be(head, 0, len);
                rest = after;
            }
            let [start, length, name_len] = fields;
            let Some((name, after)) = rest.split_at_checked(usize::try_from(name_len).unwrap_or(usize::MAX))
            else {
                list.last = cut(rest, "span.name", name_len);
                return Some(list);
            };
            rest = after;
            list.spans.push(MarkedSpan { at, start, length, name });
        }
        if !rest.is_empty() {
            list.last = Some((place(rest), ErrorKind::TrailingBytes { count: rest.len() as u64 }));
        }
        Some(list)
    }

    /// The positions.
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.passkeys.as_chunks().0.iter().map(|&bytes| u64::from_be_bytes(bytes))
    }
}

/// `Chunk::from_frame`.
pub(super) fn check_chunk(frame: &mut Anatomy<'_>, config: Config) {
    let chunk = required(frame, TlvType::LEDGER_CHUNK, ChunkValue::of);
    foreign_tlvs(frame, config.kind, &[TlvType::LEDGER_CHUNK]);
    let Some(chunk) = chunk else { return };
    let in_config = |field: usize| config.at.saturating_add(field);
    let in_value = |field: usize| chunk.at.saturating_add(field);
    if config.rows != 1 {
        let found = u64::from(config.rows);
        frame.find(in_config(4), ErrorKind::Shape { field: "CONFIG_V1.rows", needed: 1, found });
    }
    if chunk.end().is_none() {
        frame.find(in_value(8), ErrorKind::Size { field: "LEDGER_CHUNK_V1.start + length" });
    }
    if chunk.length == 0 {
        frame.find(in_value(16), ErrorKind::Shape { field: "LEDGER_CHUNK_V1.length", needed: 1, found: 0 });
    }
    match (chunk.encoding, chunk.bits) {
        (0, 0) | (1, 1..=32) => {}
        (0, found) => {
            let found = found.into();
            frame.find(in_value(21), ErrorKind::Shape { field: "LEDGER_CHUNK_V1.bits", needed: 0, found });
        }
        (1, found) => frame.find(in_value(21), ErrorKind::Code { field: "LEDGER_CHUNK_V1.bits", found }),
        (found, _) => {
            frame.find(in_value(20), ErrorKind::Code { field: "LEDGER_CHUNK_V1.encoding", found });
        }
    }
    if chunk.reserved != 0 {
        frame.find(in_value(22), ErrorKind::Reserved { field: "LEDGER_CHUNK_V1.reserved" });
    }
    // Without a length or an encoding nothing is known of the rest of CONFIG_V1.
    let shape = chunk.shape(config.element).filter(|_| chunk.length != 0);
    if let Some((element, dim, payload_len)) = shape {
        if config.element != element.code() {
            let found = config.element;
            frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
        }
        for (field, at, needed, found) in [
            ("CONFIG_V1.dim", 8, dim, u64::from(config.dim)),
            ("CONFIG_V1.payload_len", 16, payload_len, config.payload_len),
        ] {
            if found != needed {
                frame.find(in_config(at), ErrorKind::Shape { field, needed, found });
            }
        }
    } else if chunk.encoding == 1 && config.element != Element::U8.code() {
        let found = config.element;
        frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
    }
    check_marks(frame, chunk.end());

    if let (Some(bits), Some((_, _, payload_len))) = (chunk.packed_bits(), shape) {
        let payload = frame.slice(frame.payload_at, frame.payload_end);
        let used = u64::from(chunk.length).wrapping_mul(u64::from(bits)) % 8;
        if is_measured(frame)
            && payload.len() as u64 == payload_len
            && let Some(last) = payload.last()
            && used != 0
            && last >> used != 0
        {
            frame.find(frame.payload_end.saturating_sub(1), ErrorKind::SpareBits);
        }
    }
}

/// LEDGER_MARKS_V1 of a chunk that ends at `chunk_end`.
fn check_marks(frame: &mut Anatomy<'_>, chunk_end: Option<u64>) {
    let Some(piece) = frame.tlv(TlvType::LEDGER_MARKS) else { return };
    let (value_at, value_end, value) = (piece.value_at(), piece.end(), frame.value(piece));
    let Some(marks) = MarkList::of(value) else { return };
    let chunk_end = chunk_end.unwrap_or(u64::MAX);
    let mut found = Vec::new();
    let mut before = None;
    for (i, position) in marks.positions().enumerate() {
        let at = i.saturating_mul(8).saturating_add(4);
        if before.is_some_and(|before| position <= before) {
            found.push((at, ErrorKind::Order { field: "passkey.position" }));
        }
        if position >= chunk_end {
            let end = position.saturating_add(1);
            found.push((at, ErrorKind::PastEnd { field: "passkey.position", end: chunk_end, found: end }));
        }
        before = Some(position);
        if found.len() >= MAX_BREACHES {
            break;
        }
    }
    let enough = found.len().saturating_add(MAX_BREACHES);
    let mut before: Option<&[u8]> = None;
    for &MarkedSpan { at, start, length, name } in &marks.spans {
        let place = |field: usize| at.saturating_add(field);
        let end = start.checked_add(length);
        if end.is_none() {
            found.push((at, ErrorKind::Size { field: "span" }));
        }
        if length == 0 {
            found.push((place(8), ErrorKind::Shape { field: "span.length", needed: 1, found: 0 }));
        }
        if let Some(end) = end.filter(|end| *end > chunk_end) {
            found.push((at, ErrorKind::PastEnd { field: "span", end: chunk_end, found: end }));
        }
        if name.is_empty() {
            found.push((place(16), ErrorKind::Shape { field: "span.name_len", needed: 1, found: 0 }));
        }
        check_name(name, place(18), before, &mut found);
        before = Some(name);
        if found.len() >= enough {
            break;
        }
    }
    found.extend(marks.last);
    for (at, kind) in found {
        frame.find_before(value_end, value_at.saturating_add(at), kind);
    }
}

/// A name that stands at `at` is UTF-8 and over the one before.
fn check_name(name: &[u8], at: usize, before: Option<&[u8]>, found: &mut Vec<(usize, ErrorKind)>) {
    if let Err(error) = core::str::from_utf8(name) {
        found.push((at.saturating_add(error.valid_up_to()), ErrorKind::Utf8 { field: "span.name" }));
    }
    if !name.is_empty() && before.is_some_and(|before| name <= before) {
        found.push((at, ErrorKind::Order { field: "span.name" }));
    }
}

/// `Index::from_frame`.
pub(super) fn check_index(frame: &mut Anatomy<'_>, config: Config) {
    let index = required(frame, TlvType::LEDGER_INDEX, IndexValue::of);
    foreign_tlvs(frame, config.kind, &[TlvType::LEDGER_INDEX]);
    let Some(index) = index else { return };
    let in_config = |field: usize| config.at.saturating_add(field);
    if config.element != Element::Structured.code() {
        let found = config.element;
        frame.find(in_config(1), ErrorKind::Code { field: "CONFIG_V1.element", found });
    }
    let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
    for (field, at, found) in [("CONFIG_V1.rows", 4, config.rows), ("CONFIG_V1.dim", 8, config.dim)] {
        if found != 0 {
            frame.find(in_config(at), shape(field, 0, found.into()));
        }
    }
    for (at, kind) in totals(&index) {
        frame.find(index.at.saturating_add(at), kind);
    }
    let [anchors, passkeys, spans, names] = index.parts();
    let needed = [passkeys, spans, names].into_iter().fold(anchors, u64::saturating_add);
    if config.payload_len != needed {
        frame.find(in_config(16), shape("CONFIG_V1.payload_len", needed, config.payload_len));
        return;
    }
    let payload = frame.slice(frame.payload_at, frame.payload_end);
    if !is_measured(frame) || payload.len() as u64 != needed {
        return;
    }
    // All of them are within the payload.
    let split = |from: &'_ [u8], len: u64| usize::try_from(len).unwrap_or(from.len()).min(from.len());
    let (anchors, rest) = payload.split_at(split(payload, anchors));
    let (passkeys, rest) = rest.split_at(split(rest, passkeys));
    let (spans, names) = rest.split_at(split(rest, spans));
    let mut at = frame.payload_at;
    for (list, found) in [
        (anchors, check_anchors(&index, anchors)),
        (passkeys, check_passkeys(&index, passkeys)),
        (spans, check_spans(&index, spans, names)),
    ] {
        for (place, kind) in found {
            frame.find(at.saturating_add(place), kind);
        }
        at = at.saturating_add(list.len());
    }
    let named = spans.as_chunks::<24>().0.iter().map(|span| u64::from(le32(span, 20)));
    let (named, found) = (named.fold(0, u64::saturating_add), u64::from(index.names_len));
    if named != found {
        frame.find(index.at.saturating_add(44), shape("LEDGER_INDEX_V1.names_len", named, found));
    }
}

/// Steps 7 to 12.
fn totals(index: &IndexValue) -> Vec<(usize, ErrorKind)> {
    let &IndexValue { total_tokens: total, chunk_count: chunks, ledger_len, stride, counts, .. } = index;
    let mut found = Vec::new();
    let mut within = |field, at: usize, least: u64, most: u64, value: u64| {
        if !(least..=most).contains(&value) {
            let needed = if value < least { least } else { most };
            found.push((at, ErrorKind::Shape { field, needed, found: value }));
        }
    };
    let most = if chunks == 0 { 0 } else { u64::MAX };
    within("LEDGER_INDEX_V1.total_tokens", 0, chunks, most, total);
    // No chunk has fewer bytes.
    let least = chunks.checked_mul(108);
    if let Some(least) = least {
        within("LEDGER_INDEX_V1.ledger_len", 16, least, most, ledger_len);
    }
    let tokens = u64::from(index.chunk_tokens);
    match chunks {
        0 => within("LEDGER_INDEX_V1.chunk_tokens", 24, 0, 0, tokens),
        _ => within("LEDGER_INDEX_V1.chunk_tokens", 24, total.div_ceil(chunks), total, tokens),
    }
    within("LEDGER_INDEX_V1.anchor_stride", 28, 1, u64::MAX, stride.into());
    if stride != 0 {
        let needed = chunks.div_ceil(stride.into());
        within("LEDGER_INDEX_V1.anchor_count", 32, needed, needed, counts[0].into());
    }
    if least.is_none() {
        // Before all but total_tokens.
        let after = usize::from(found.first().is_some_and(|(at, _)| *at == 0));
        found.insert(after, (16, ErrorKind::Size { field: "LEDGER_INDEX_V1.ledger_len" }));
    }
    if index.reserved != 0 {
        found.push((80, ErrorKind::Reserved { field: "LEDGER_INDEX_V1.reserved" }));
    }
    found
}

/// Step 14.
fn check_anchors(index: &IndexValue, anchors: &[u8]) -> Vec<(usize, ErrorKind)> {
    let mut found = Vec::new();
    let mut before = None;
    for (i, anchor) in anchors.as_chunks::<40>().0.iter().enumerate() {
        let place = |field: usize| i.saturating_mul(40).saturating_add(field);
        let [id, start, offset] = [0, 8, 16].map(|at| le(anchor, at));
        let (length, tokens) = (u64::from(le32(anchor, 24)), u64::from(index.chunk_tokens));
        let shape = |field, needed, found| ErrorKind::Shape { field, needed, found };
        let needed = (i as u64).saturating_mul(index.stride.into());
        if id != needed {
            found.push((place(0), shape("anchor.chunk_id", needed, id)));
        }
        let before = before.replace((start, offset));
        for (field, at, before, value) in [
            ("anchor.start", 8, before.map(|(start, _)| start), start),
            ("anchor.offset", 16, before.map(|(_, offset)| offset), offset),
        ] {
            match before {
                None if value != 0 => found.push((place(at), shape(field, 0, value))),
                Some(before) if value <= before => {
                    found.push((place(at), ErrorKind::Order { field }));
                }
                _ => {}
            }
        }
        found.extend(past("anchor.offset", place(16), index.ledger_len, offset));
        if !(1..=tokens).contains(&length) {
            let needed = if length == 0 { 1 } else { tokens };
            found.push((place(24), shape("anchor.length", needed, length)));
        }
        let (end, total) = (start.saturating_add(length), index.total_tokens);
        if end > total {
            found.push((place(8), ErrorKind::PastEnd { field: "anchor", end: total, found: end }));
        }
        if le32(anchor, 28) != 0 {
            found.push((place(28), ErrorKind::Reserved { field: "anchor.reserved" }));
        }
        if found.len() >= MAX_BREACHES {
            break;
        }
    }
    found
}

/// Step 15.
fn check_passkeys(index: &IndexValue, passkeys: &[u8]) -> Vec<(usize, ErrorKind)> {
    let mut found = Vec::new();
    let mut before = None;
    for (i, passkey) in passkeys.as_chunks::<24>().0.iter().enumerate() {
        let place = |field: usize| i.saturating_mul(24).saturating_add(field);
        let position = le(passkey, 0);
        if before.replace(position).is_some_and(|before| position <= before) {
            found.push((place(0), ErrorKind::Order { field: "passkey.position" }));
        }
        found.extend(past("passkey.position", place(0), index.total_tokens, position));
        found.extend(past("passkey.chunk_id", place(8), index.chunk_count, le(passkey, 8)));
        let offset = u64::from(le32(passkey, 16));
        found.extend(past("passkey.offset", place(16), index.chunk_tokens.into(), offset));
        if found.len() >= MAX_BREACHES {
            break;
        }
    }
    found
}

/// Step 16. Places count from the spans' start, also those of the names behind them.
fn check_spans(index: &IndexValue, spans: &[u8], names: &[u8]) -> Vec<(usize, ErrorKind)> {
    let mut found = Vec::new();
    let (mut name_off, mut before) = (0u64, None);
    for (i, span) in spans.as_chunks::<24>().0.iter().enumerate() {
        let place = |field: usize| i.saturating_mul(24).saturating_add(field);
        let (length, end) = (le(span, 8), le(span, 0).checked_add(le(span, 8)));
        if end.is_none() {
            found.push((place(0), ErrorKind::Size { field: "span" }));
        }
        if length == 0 {
            found.push((place(8), ErrorKind::Shape { field: "span.length", needed: 1, found: 0 }));
        }
        let total = index.total_tokens;
        if let Some(end) = end.filter(|end| *end > total) {
            found.push((place(0), ErrorKind::PastEnd { field: "span", end: total, found: end }));
        }
        let (claimed, name_len) = (u64::from(le32(span, 16)), u64::from(le32(span, 20)));
        if claimed != name_off {
            let kind = ErrorKind::Shape { field: "span.name_off", needed: name_off, found: claimed };
            found.push((place(16), kind));
        }
        if name_len == 0 {
            found.push((place(20), ErrorKind::Shape { field: "span.name_len", needed: 1, found: 0 }));
        }
        let name = name_at(names, name_off, name_len);
        let name_place = usize::try_from(name_off).unwrap_or(usize::MAX).saturating_add(spans.len());
        name_off = name_off.saturating_add(name_len);
        match name {
            None => {
                let (end, at) = (names.len() as u64, place(20));
                found.push((at, ErrorKind::PastEnd { field: "span.name", end, found: name_off }));
            }
            Some(name) => {
                check_name(name, name_place, before, &mut found);
                before = Some(name);
            }
        }
        if found.len() >= MAX_BREACHES {
            break;
        }
    }
    found
}

/// The name of `len` bytes from `off`, if it is there.
pub(super) fn name_at(names: &[u8], off: u64, len: u64) -> Option<&[u8]> {
    let (off, len) = (usize::try_from(off).ok()?, usize::try_from(len).ok()?);
    names.get(off..off.checked_add(len)?)
}

/// What the chunks before a frame say of the one that has to follow.
#[derive(Default)]
pub(super) struct Follows<'a> {
    next: Option<Next<'a>>,
    passkeys: BTreeSet<u64>,
    names: BTreeSet<&'a [u8]>,
}

struct Next<'a> {
    id: u64,
    start: u64,
    ctx: &'a [u8],
    context: Option<&'a [u8]>,
    signed: bool,
}

impl<'a> Follows<'a> {
    /// Steps 1 to 5 and 7 of the ledger file, for a chunk right behind a good one; notes what it says for the next. A
    /// file may also hold any chunk alone, or after something else.
    pub(super) fn check(&mut self, frame: &mut Anatomy<'a>) {
        let is_chunk = frame.config.is_some_and(|config| config.kind == crate::frame::Kind::LEDGER_CHUNK);
        let good = frame.findings.is_empty() && is_chunk;
        let Some((chunk, end)) = ChunkValue::of(frame).filter(|_| good).and_then(|c| Some((c, c.end()?)))
        else {
            *self = Self::default();
            return;
        };
        let context = frame.tlv(TlvType::CONTEXT).map(|piece| frame.value(piece));
        let (ctx, signed) = (frame.slice(4, 12), hash_at(frame, TlvType::HMAC).is_some());
        let marks = frame.tlv(TlvType::LEDGER_MARKS);
        let marks = marks.and_then(|piece| Some((piece.value_at(), MarkList::of(frame.value(piece))?)));
        if let Some(next) = &self.next {
            for (field, at, needed, found) in [
                ("LEDGER_CHUNK_V1.chunk_id", 0, next.id, chunk.id),
                ("LEDGER_CHUNK_V1.start", 8, next.start, chunk.start),
            ] {
                if needed != found {
                    frame.find(chunk.at.saturating_add(at), ErrorKind::Shape { field, needed, found });
                }
            }
            if (next.ctx, next.context) != (ctx, context) {
                frame.find(4, ErrorKind::ContextDiffers);
            }
            if next.signed != signed {
                let at = frame.place_of(TlvType::HMAC);
                if signed {
                    frame.find(at, ErrorKind::MixedHmac);
                } else {
                    frame.find_missing(at, ErrorKind::MixedHmac);
                }
            }
        }
        if let Some((value_at, marks)) = &marks {
            let places = (0..).map(|i: usize| i.saturating_mul(8).saturating_add(4));
            for (position, at) in marks.positions().zip(places) {
                if self.passkeys.contains(&position) {
                    let kind = ErrorKind::Duplicate { field: "a passkey's position" };
                    frame.find(value_at.saturating_add(at), kind);
                } else if self.passkeys.len() < MAX_MARKS {
                    self.passkeys.insert(position);
                }
            }
            for span in &marks.spans {
                if self.names.contains(span.name) {
                    let kind = ErrorKind::Duplicate { field: "a span's name" };
                    frame.find(value_at.saturating_add(span.at), kind);
                } else if self.names.len() < MAX_MARKS {
                    self.names.insert(span.name);
                }
            }
        }
        if frame.findings.is_empty() {
            self.next = Some(Next { id: chunk.id.wrapping_add(1), start: end, ctx, context, signed });
        } else {
            *self = Self::default();
        }
    }
}

fn past(field: &'static str, at: usize, end: u64, value: u64) -> Option<(usize, ErrorKind)> {
    let found = value.saturating_add(1);
    (value >= end).then_some((at, ErrorKind::PastEnd { field, end, found }))
}

/// The big-endian number of `len` bytes at `at`; what is not there reads as nothing.
fn be(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes.iter().skip(at).take(len).fold(0, |int, &byte| int << 8 | u64::from(byte))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u32::from_be_bytes(bytes))
}

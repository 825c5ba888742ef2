//! The spans of a frame that was taken apart.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::{self, Vec};
use core::fmt::Write;

use super::checks::{self, hash_at};
use super::tables::{Form, escape, hex, layout, name, owner, show, show_element, width};
use super::walk::{Anatomy, Config, Finding, Piece};
use super::{Span, Verdict};
use crate::beacon::stats::Sigma;
use crate::beacon::{Reference, Results};
use crate::error::ErrorKind;
use crate::frame::{ContextHash, Element, Kind, TlvType};

/// A table of values.
#[derive(Clone, Copy)]
pub(super) struct Table<'l> {
    /// Of all of it, in bytes.
    pub(super) len: usize,
    /// Of one value.
    pub(super) width: usize,
    pub(super) label: &'l str,
    pub(super) checked: bool,
    /// What the values are, and how many are in one.
    pub(super) noun: &'static str,
    pub(super) each: usize,
    /// How many are shown at the start and at the end; a table longer by up to two is shown whole.
    pub(super) shown: (usize, usize),
}

impl<'l> Table<'l> {
    pub(super) const fn new(len: usize, width: usize, label: &'l str, checked: bool) -> Self {
        Self { len, width, label, checked, noun: "values", each: 1, shown: (4, 2) }
    }
}

/// Bytes of a text that are shown.
const MAX_TEXT: usize = 1024;

/// Makes spans, one after the other. Each breach starts a span of its own, whatever field it falls into.
pub(super) struct Emitter<'a> {
    bytes: &'a [u8],
    /// Where `bytes` start in the input.
    offset: u64,
    frame: Option<u64>,
    pos: usize,
    /// Those to come, in order of their places.
    findings: vec::IntoIter<Finding>,
    spans: Vec<Span>,
    room: usize,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        offset: u64,
        frame: Option<u64>,
        mut findings: Vec<Finding>,
        room: usize,
    ) -> Self {
        // Stable: of those with one place, the first found is the parser's.
        findings.sort_by_key(|finding| (finding.at, !finding.missing));
        Self { bytes, offset, frame, pos: 0, findings: findings.into_iter(), spans: Vec::new(), room }
    }

    /// The next `len` bytes. `value` makes the text of the part of them that it is given: the whole, unless a
    /// breach falls between.
    pub(super) fn emit(
        &mut self,
        len: usize,
        field: impl Into<Cow<'static, str>>,
        checked: bool,
        value: impl Fn(&[u8]) -> String,
    ) {
        let end = self.pos.saturating_add(len).min(self.bytes.len());
        let field = field.into();
        while self.pos < end {
            self.emit_missing();
            let here: Vec<_> = core::iter::from_fn(|| self.take_finding(false)).collect();
            let next = self.next_finding().min(end);
            let bytes = self.bytes.get(self.pos..next).unwrap_or_default();
            if self.spans.len() < self.room {
                let (verdict, mut text) = (judge(&here, checked), value(bytes));
                for also in here.iter().skip(1) {
                    let _ = write!(text, "; also: {}", also.kind);
                }
                self.push(bytes.len(), field.clone(), text, verdict);
            }
            self.pos = next;
        }
    }

    /// A table: all values, or the first and last and those that are bad. `item` emits the value of a place.
    pub(super) fn list(&mut self, table: &Table<'_>, mut item: impl FnMut(&mut Self, usize)) {
        let &Table { len, width, label, checked, noun, each, shown: (first, last) } = table;
        let count = len.checked_div(width).unwrap_or(0);
        let start = self.pos;
        let at = |i: usize| start.saturating_add(i.saturating_mul(width));
        let whole = first.saturating_add(last).saturating_add(2);
        let (head, tail) = if count <= whole { (count, count) } else { (first, count.saturating_sub(last)) };
        let mut i = 0;
        while i < count {
            let bad = self.next_finding();
            if i < head || i >= tail || bad < at(i.saturating_add(1)) {
                item(self, i);
                i = i.saturating_add(1);
                continue;
            }
            let to_bad = bad.saturating_sub(start).checked_div(width).unwrap_or(count);
            let to = to_bad.min(tail).max(i.saturating_add(1));
            let more = to.saturating_sub(i);
            self.emit(more.saturating_mul(width), label.to_string(), checked, |_| {
                format!("{} more {noun}", more.saturating_mul(each))
            });
            i = to;
        }
        let rest = start.saturating_add(len).saturating_sub(self.pos);
        self.emit(rest, label.to_string(), checked, hex);
    }

    /// A table of plain values.
    pub(super) fn values(
        &mut self,
        table: &Table<'_>,
        field: impl Fn(usize) -> String,
        value: impl Fn(&[u8]) -> String,
    ) {
        self.list(table, |out, i| out.emit(table.width, field(i), table.checked, &value));
    }

    /// Text, as far as it is short enough.
    pub(super) fn text(&mut self, len: usize, label: &str, checked: bool) {
        let end = self.pos.saturating_add(len);
        // Up to the first breach, and from there.
        while self.pos < end {
            let start = self.pos;
            let shown = end.min(start.saturating_add(MAX_TEXT));
            // A character that is cut would look like a wrong one.
            let boundary =
                |&at: &usize| at == end || self.bytes.get(at).is_none_or(|byte| byte & 0xC0 != 0x80);
            let shown = (start..=shown).rev().take(4).find(boundary).unwrap_or(shown);
            self.emit(shown.saturating_sub(start), label.to_string(), checked, escape);
            let next = self.next_finding().min(end);
            let skipped = next.saturating_sub(self.pos);
            self.emit(skipped, label.to_string(), checked, |bytes| format!("{} more bytes", bytes.len()));
        }
    }

    /// What no field covers.
    fn gap(&mut self, to: usize) {
        let len = to.saturating_sub(self.pos);
        self.emit(len, "TLVs", false, |bytes| {
            format!("{} bytes that no field explains: {}", bytes.len(), hex(bytes))
        });
    }

    pub(super) fn finish(mut self, end: usize) -> Vec<Span> {
        let shown = self.spans.last().map_or(self.offset, |span| span.offset.saturating_add(span.len));
        let hidden = self.offset.saturating_add(end as u64).saturating_sub(shown);
        if hidden > 0 {
            self.pos = usize::try_from(shown.saturating_sub(self.offset)).unwrap_or(end);
            let text = format!("{hidden} more bytes, not shown: the report is full");
            let len = end.saturating_sub(self.pos);
            self.push(len, "frame".into(), text, Verdict::Unchecked);
        }
        self.pos = end;
        self.emit_missing();
        self.spans
    }

    fn push(&mut self, len: usize, field: Cow<'static, str>, value: String, verdict: Verdict) {
        let (offset, len) = (self.offset.saturating_add(self.pos as u64), len as u64);
        self.spans.push(Span { offset, len, frame: self.frame, field, value, verdict });
    }

    fn emit_missing(&mut self) {
        while let Some(finding) = self.take_finding(true) {
            let (field, value) = match finding.kind {
                ErrorKind::Truncated { field, .. } => (field, "not there as stated"),
                ErrorKind::TlvMissing { tlv } => {
                    (TlvType::name(tlv).unwrap_or("TLV"), "missing, and the kind requires it")
                }
                ErrorKind::MixedHmac => ("HMAC_V1", "missing, and the chunk before has one"),
                ErrorKind::DigestMissing => ("DIGEST_V1", "missing, mandatory here"),
                ErrorKind::Results { .. } => ("RESULTS_V1.text", "the text ends here"),
                ErrorKind::Context { .. } | ErrorKind::ContextHash => {
                    ("CONTEXT_V1.text", "the text ends here")
                }
                ErrorKind::HmacMissing => ("HMAC_V1", "missing, and a key was given"),
                _ => ("FLAGS_V1", "missing, which reads as no flags"),
            };
            if self.spans.len() < self.room {
                self.push(0, field.into(), value.to_string(), Verdict::Bad(finding.kind));
            }
        }
    }

    /// The next breach at or before the current place.
    fn take_finding(&mut self, missing: bool) -> Option<Finding> {
        let next = self.findings.as_slice().first()?;
        if next.at <= self.pos && next.missing == missing { self.findings.next() } else { None }
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    pub(super) fn next_finding(&self) -> usize {
        self.findings.as_slice().first().map_or(usize::MAX, |finding| finding.at)
    }

    fn next_finding_in(&self, from: usize, to: usize) -> bool {
        let mut before = self.findings.as_slice().iter().take_while(|finding| finding.at < to);
        before.any(|finding| finding.at >= from)
    }
}

fn judge(findings: &[Finding], checked: bool) -> Verdict {
    match findings.first() {
        Some(finding) => Verdict::Bad(finding.kind),
        None if checked => Verdict::Ok,
        None => Verdict::Unchecked,
    }
}

/// The spans of a whole frame. `room` is how many there can be.
pub(super) fn explain(
    mut frame: Anatomy<'_>,
    offset: u64,
    index: u64,
    room: usize,
    has_key: bool,
) -> Vec<Span> {
    let findings = core::mem::take(&mut frame.findings);
    let has = |wanted: fn(&ErrorKind) -> bool| findings.iter().any(|finding| wanted(&finding.kind));
    let mac_bad = has(|kind| matches!(kind, ErrorKind::Hmac));
    let crc_good = frame.crc.is_some_and(|(at, computed)| frame.stored_crc(at) == computed)
        && !frame.fit.is_some_and(|fit| fit.corrected);
    let out = Emitter::new(frame.bytes, offset, Some(index), findings, room);
    let mut explainer = Explainer { frame: &frame, out, offset, has_key, mac_bad, crc_good };
    explainer.header();
    explainer.payload();
    explainer.out.finish(frame.end)
}

pub(super) struct Explainer<'f, 'a> {
    pub(super) frame: &'f Anatomy<'a>,
    pub(super) out: Emitter<'a>,
    offset: u64,
    has_key: bool,
    mac_bad: bool,
    pub(super) crc_good: bool,
}

/// Whether there is a typed view of the kind, whose rules were held to it.
const fn has_view(kind: Kind) -> bool {
    use Kind as K;
    matches!(
        kind,
        K::BEACON
            | K::LEDGER_CHUNK
            | K::LEDGER_INDEX
            | K::MIRROR
            | K::BLOCKS
            | K::ENGRAM_INDEX
            | K::GIST
            | K::WHITENING
    )
}

impl Explainer<'_, '_> {
    fn header(&mut self) {
        let frame = self.frame;
        self.out.emit(4, "magic", true, |bytes| match bytes {
            [b'B', b'I', b'T', 1] => "BIT 01".to_string(),
            [b'B', b'I', b'T', version] => format!("BIT {version:02X}: another version? Read as 01"),
            _ => format!("\"{}\"; what follows looks like a frame", escape(bytes)),
        });
        let computed = frame.tlv(TlvType::CONTEXT).map(|piece| ContextHash::of(frame.value(piece)));
        let agrees = computed.is_some_and(|computed| frame.slice(4, 12) == computed.0);
        self.out.emit(8.min(frame.end.saturating_sub(4)), "ctx", agrees, |bytes| match computed {
            Some(computed) if !agrees => format!("{}; CONTEXT_V1 hashes to {computed}", hex(bytes)),
            _ => hex(bytes),
        });
        for (i, piece) in frame.tlvs.iter().enumerate() {
            self.out.gap(piece.at);
            self.tlv(piece, i == 0);
        }
        self.out.gap(frame.payload_at);
    }

    fn tlv(&mut self, piece: &Piece, first: bool) {
        let label = name(piece.tlv_type);
        let kind = self.frame.config.map(|config| config.kind);
        let is_config = first && self.frame.config.is_some_and(|config| config.at == piece.value_at());
        let tlv_type = if is_config { TlvType::CONFIG } else { piece.tlv_type };
        let is_views = owner(tlv_type).is_some_and(|owner| kind == Some(owner) && has_view(owner));

        let mut text = match piece.tlv_type {
            TlvType::END if piece.stated == 0 => "the header's end".to_string(),
            TlvType::PAD => format!("TLV FE, {} bytes, align the payload", piece.stated),
            other => format!("TLV {other:02X}, {} bytes", piece.stated),
        };
        if is_config && piece.tlv_type != TlvType::CONFIG {
            text.push_str("; read as CONFIG_V1, which stands here");
        }
        if piece.len != usize::from(piece.stated) {
            let _ = write!(text, "; read as {} bytes", piece.len);
        }
        match owner(piece.tlv_type) {
            Some(owner) if kind.is_some_and(|kind| kind != owner) => {
                let _ = write!(text, "; belongs to kind {} ({owner})", owner.0);
            }
            None if piece.tlv_type >= 0x80 && TlvType::name(piece.tlv_type).is_none() => {
                text.push_str("; unknown, and may be skipped");
            }
            _ => {}
        }
        if piece.tlv_type == TlvType::RESULTS
            && let Ok(results) = Results::parse(self.frame.value(piece))
        {
            text.push_str(&drift(&results));
        }
        text.push_str(&self.ledger_note(piece));
        text.push_str(&self.mirror_note(piece));
        text.push_str(&self.engram_note(piece));
        text.push_str(&self.gist_note(piece));
        // The length has a line of its own if it is wrong.
        if self.out.next_finding_in(piece.at.saturating_add(1), piece.value_at()) {
            self.out.emit(1, label.clone(), true, |_| format!("TLV {:02X}", piece.tlv_type));
            self.out.emit(2, format!("{label}.length"), true, |_| text.clone());
        } else {
            self.out.emit(3, label.clone(), true, |_| text.clone());
        }

        let end = piece.end();
        self.fields(tlv_type, &label, end, is_views);
        let len = end.saturating_sub(self.out.pos);
        match tlv_type {
            TlvType::FLAGS => self.out.emit(len, format!("{label}.flags"), true, flags),
            TlvType::CALIB_STATS => self.spread(piece, &label, is_views),
            TlvType::RESULTS => self.out.text(len, &format!("{label}.text"), is_views),
            TlvType::CONTEXT => self.out.text(len, &format!("{label}.text"), true),
            TlvType::GIST_METADATA => self.out.text(len, &format!("{label}.text"), is_views),
            TlvType::LEDGER_MARKS => self.marks(piece, &label, is_views),
            TlvType::DIGEST | TlvType::HMAC => self.hash(piece, &label),
            TlvType::PAD => self.out.emit(len, format!("{label}.zeros"), true, |bytes| {
                match bytes.iter().filter(|&&byte| byte != 0).count() {
                    0 => format!("{} zero bytes", bytes.len()),
                    others => format!("{} bytes, {others} of them not zero: {}", bytes.len(), hex(bytes)),
                }
            }),
            _ => self.out.emit(len, format!("{label}.value"), false, hex),
        }
        // A value that is cut short, or not there.
        let rest = end.saturating_sub(self.out.pos);
        self.out.emit(rest, format!("{label}.value"), false, hex);
    }

    /// The fixed part of a value, as far as it is there.
    fn fields(&mut self, tlv_type: u8, label: &str, end: usize, is_views: bool) {
        let is_config = tlv_type == TlvType::CONFIG;
        let has_view = self.frame.config.is_some_and(|config| has_view(config.kind));
        for &(field, size, form) in layout(tlv_type) {
            if end.saturating_sub(self.out.pos) < size {
                break;
            }
            let note = match (is_config, field) {
                (true, "payload_len") => self.frame.payload_len_note(self.offset),
                _ => String::new(),
            };
            // What the frame's rules say nothing about is checked by the view's; of hashes of what is not here
            // they say nothing either.
            let is_frames = matches!(field, "element" | "reserved" | "delta_q16" | "payload_len");
            let checked = (is_views
                && !matches!(field, "root" | "master_digest" | "whitening_prefix" | "source_root"))
                || (is_config && (has_view || is_frames));
            let text = |bytes: &[u8]| {
                let also = match tlv_type {
                    TlvType::MIRROR => Self::mirror_field_note(field, bytes),
                    TlvType::ENGRAM_INDEX => Self::engram_field_note(field, bytes),
                    TlvType::GIST => Self::gist_field_note(field, bytes),
                    _ => "",
                };
                format!("{}{also}{note}", show(form, bytes))
            };
            self.out.emit(size, format!("{label}.{field}"), checked, text);
        }
    }

    /// mu and Sigma of CALIB_STATS_V1.
    fn spread(&mut self, piece: &Piece, label: &str, checked: bool) {
        let Some((spread, _)) = checks::spread(self.frame.value(piece)) else { return };
        let left = piece.end().saturating_sub(self.out.pos);
        let mu_label = format!("{label}.mu");
        let mu_len = spread.mu_len.min(left);
        let f32 = |bytes: &[u8]| {
            let single = bytes.first_chunk().map(|&bytes| f32::from_be_bytes(bytes));
            single.map_or_else(|| hex(bytes), |single| format!("{single:?}"))
        };
        let field = |part: &'static str| {
            let name = format!("{label}.{part}");
            move |i: usize| format!("{name}[{i}]")
        };
        let table = Table::new(mu_len, 4, &mu_label, checked);
        self.out.values(&table, field("mu"), f32);
        let left = left.saturating_sub(mu_len);
        let part = format!("{label}.sigma");
        match spread.sigma {
            Some(Sigma::Trace) if left == 8 => {
                self.out.emit(8, format!("{label}.trace"), checked, |bytes| show(Form::F64, bytes));
            }
            Some(Sigma::Diagonal | Sigma::Full) => {
                self.out.values(&Table::new(left, 4, &part, checked), field("sigma"), f32);
            }
            _ => self.out.emit(left, part, false, hex),
        }
    }

    /// DIGEST_V1 and HMAC_V1.
    fn hash(&mut self, piece: &Piece, label: &str) {
        let is_digest = piece.tlv_type == TlvType::DIGEST;
        // Only the first of its type is looked at.
        let is_first = hash_at(self.frame, piece.tlv_type).is_some_and(|(_, _, at)| at == piece.value_at());
        if piece.len != 33 || !is_first {
            return;
        }
        self.out.emit(1, format!("{label}.version"), true, |bytes| show(Form::Int, bytes));
        let measured = checks::is_measured(self.frame);
        let (checked, verdict) = if !measured {
            (false, "not checked: it is not known what it covers".to_string())
        } else if is_digest {
            let computed = self.frame.digest.unwrap_or_default();
            let matches = hash_at(self.frame, TlvType::DIGEST).is_some_and(|(_, hash, _)| *hash == computed);
            let wrong = || format!("does not match: the frame gives {}", hex(&computed));
            (true, if matches { "matches".to_string() } else { wrong() })
        } else if !self.has_key {
            (false, "not checked (no key)".to_string())
        } else {
            (true, if self.mac_bad { "does not match under the key" } else { "matches" }.to_string())
        };
        self.out.emit(32, format!("{label}.hash"), checked, |bytes| format!("{}; {verdict}", hex(bytes)));
    }

    fn payload(&mut self) {
        let frame = self.frame;
        if !frame.complete {
            return;
        }
        let len = frame.payload_end.saturating_sub(frame.payload_at);
        let config = frame.config;
        let element = config.and_then(|config| Element::from_code(config.element));
        let element = element.unwrap_or(Element::Structured);
        // What its kind does not explain stands there as its elements.
        self.ledger_payload(len);
        self.mirror_payload(len);
        self.engram_payload(len);
        self.gist_payload(len);
        self.whitening_payload(len);
        let len = frame.payload_end.saturating_sub(self.out.pos.max(frame.payload_at));
        for (part, element, len) in parts(config, element, len) {
            let (dim, delta_q16) = config.map_or((0, 0), |config| (config.dim as usize, config.delta_q16));
            let per_row = if element == Element::Bits { dim.div_ceil(8) } else { dim };
            let field = |i: usize| match (part, i.checked_div(per_row), i.checked_rem(per_row)) {
                ("payload", Some(row), Some(column)) if element != Element::Structured => {
                    format!("payload[{row}][{column}]")
                }
                _ => format!("{part}[{i}]"),
            };
            let value = |bytes: &[u8]| show_element(element, delta_q16, bytes);
            self.out.values(&Table::new(len, width(element), part, self.crc_good), field, value);
        }
        if let Some((at, computed)) = frame.crc {
            let stored = frame.stored_crc(at);
            let flip = frame.flip.map_or_else(String::new, |(at, bit)| {
                let there = frame.bytes.get(at).copied().unwrap_or_default();
                let at = self.offset.saturating_add(at as u64);
                format!("; one flipped bit would explain it: {:02x} at byte {at}", there ^ (1 << bit))
            });
            let corrected = frame.fit.is_some_and(|fit| fit.corrected && fit.crc_at == at);
            self.out.emit(2, "CRC-16", self.crc_good, |_| {
                if corrected {
                    format!("{stored:04X}, fits if payload_len is put right")
                } else if stored == computed {
                    format!("{stored:04X}, matches")
                } else {
                    format!("{stored:04X}, the bytes give {computed:04X}{flip}")
                }
            });
            if let Some(fit) = frame.fit.filter(|fit| fit.crc_at >= self.out.pos && fit.crc_at > at) {
                let more = fit.crc_at.saturating_sub(self.out.pos);
                self.out.emit(more, "payload", false, |bytes| {
                    format!("{} more bytes if payload_len is {}", bytes.len(), fit.payload_len)
                });
                self.out.emit(2, "CRC-16", false, |bytes| {
                    format!("{}, fits if payload_len is {}", hex(bytes), fit.payload_len)
                });
            }
        }
        let rest = frame.end.saturating_sub(self.out.pos);
        self.out.emit(rest, "CRC-16", false, hex);
    }
}

/// The parts of a payload: what each kind has before and after its elements.
fn parts(config: Option<Config>, element: Element, len: usize) -> [(&'static str, Element, usize); 2] {
    let rows = config.map_or(0, |config| config.rows as usize);
    let dim = config.map_or(0, |config| config.dim as usize);
    match config.map(|config| config.kind) {
        Some(Kind::MIRROR) => {
            let indices = rows.saturating_mul(4).min(len);
            [("indices", Element::U32, indices), ("payload", element, len.saturating_sub(indices))]
        }
        Some(Kind::ENGRAM_INDEX) => {
            let row = if element == Element::Bits { dim.div_ceil(8) } else { dim };
            let vectors = rows.saturating_mul(row).saturating_mul(width(element)).min(len);
            let rest = len.saturating_sub(vectors);
            [("payload", element, vectors), ("entries", Element::Structured, rest)]
        }
        _ => [("payload", element, len), ("payload", element, 0)],
    }
}

fn flags(bytes: &[u8]) -> String {
    let Some(&bits) = bytes.first_chunk() else { return hex(bytes) };
    let bits = u32::from_be_bytes(bits);
    let names = [(1, "AUTHENTICATED"), (2, "ALERT"), (4, "BASELINE")];
    let mut text = String::new();
    for (_, name) in names.into_iter().filter(|(bit, _)| bits & bit != 0) {
        let _ = write!(text, "{}{name}", if text.is_empty() { "" } else { ", " });
    }
    for (mask, what) in [(0xFFF8, "reserved bits"), (0xFFFF_0000, "ignored bits")] {
        if bits & mask != 0 {
            let _ = write!(text, "{}{what} {:08X}", if text.is_empty() { "" } else { ", " }, bits & mask);
        }
    }
    if text.is_empty() { "none".to_string() } else { text }
}

fn drift(results: &Results) -> String {
    let Some(drift) = results.drift else {
        return format!("; no reference, tr_Sigma {}", results.tr_sigma);
    };
    let reference = match drift.reference {
        Reference::Baseline => "the baseline",
        Reference::WindowHalf => "the window's first half",
    };
    let alert = match results.sds_threshold {
        Some(threshold) if results.alert() => format!("at or over the threshold {threshold}: ALERT"),
        Some(threshold) => format!("below the threshold {threshold}"),
        None => "no threshold".to_string(),
    };
    let cos = drift.cos_mu.map_or_else(|| "undefined".to_string(), |cos| cos.to_string());
    let (sds, norm, trace) = (drift.sds, drift.norm_dmu, results.tr_sigma);
    format!("; SDS {sds} against {reference}, {alert}; norm_dmu {norm}, cos_mu {cos}, tr_Sigma {trace}")
}

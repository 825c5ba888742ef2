//! Where a frame's parts are, damaged or not, and where the next frame is.
#![deny(clippy::arithmetic_side_effects)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::explain::{Emitter, explain};
use super::ledger::Follows;
use super::{Content, MAX_SPANS, Report, Section, checks};
use crate::error::{Error, ErrorKind};
use crate::frame::{Crc16, Kind, LengthRule, MAGIC, TlvType, crc16, length_rule, payload_truncated};

/// Verifies a MAC over parts.
pub(super) type Verify<'k> = &'k dyn Fn(&[&[u8]], &[u8; 32]) -> bool;

/// A TLV walk longer than any frame's (types increase, so a frame has at most 255) is given up here.
const MAX_TLVS: usize = 512;
/// How often in one frame a length that leads nowhere is replaced by the one its type has.
const MAX_GUESSES: u32 = 8;

/// A breach. Those of one frame are in the order of checks, so the first is the parser's.
pub(super) struct Finding {
    /// Bytes from the section's start.
    pub(super) at: usize,
    pub(super) kind: ErrorKind,
    /// What should stand here is not there: no byte of it.
    pub(super) missing: bool,
}

/// A TLV as far as it is there.
pub(super) struct Piece {
    /// Its type byte, from the section's start.
    pub(super) at: usize,
    pub(super) tlv_type: u8,
    /// The length it states.
    pub(super) stated: u16,
    /// The length of the value that is taken for it.
    pub(super) len: usize,
}

impl Piece {
    pub(super) const fn value_at(&self) -> usize {
        self.at.saturating_add(3)
    }

    pub(super) const fn end(&self) -> usize {
        self.value_at().saturating_add(self.len)
    }
}

/// CONFIG_V1 with no rule applied.
#[derive(Clone, Copy)]
pub(super) struct Config {
    /// Its value, from the section's start.
    pub(super) at: usize,
    pub(super) kind: Kind,
    pub(super) element: u8,
    pub(super) reserved: u16,
    pub(super) rows: u32,
    pub(super) dim: u32,
    pub(super) delta_q16: u32,
    pub(super) payload_len: u64,
}

/// The end of the frame that the CRC-16 is in favour of, where payload_len says another.
#[derive(Clone, Copy)]
pub(super) struct Fit {
    pub(super) crc_at: usize,
    pub(super) payload_len: u64,
    /// The CRC-16 holds if payload_len is put right, and not as the bytes are.
    pub(super) corrected: bool,
}

/// A frame taken apart. All places count from the section's start.
pub(super) struct Anatomy<'a> {
    /// To the end of the input.
    pub(super) bytes: &'a [u8],
    pub(super) tlvs: Vec<Piece>,
    pub(super) config: Option<Config>,
    /// The TLV walk came to END.
    pub(super) complete: bool,
    /// Where the TLVs end and the payload starts.
    pub(super) payload_at: usize,
    /// Where the payload ends.
    pub(super) payload_end: usize,
    /// The CRC-16, where there is one to compare, and the value its bytes give.
    pub(super) crc: Option<(usize, u16)>,
    pub(super) fit: Option<Fit>,
    /// The SHA-256 that DIGEST_V1 has to be, where there is one and it is known what it covers.
    pub(super) digest: Option<[u8; 32]>,
    /// The byte and the bit of it whose flip alone explains the CRC-16.
    pub(super) flip: Option<(usize, u8)>,
    /// The magic of another frame stands inside a payload that the CRC-16 does not vouch for.
    pub(super) magic_inside: Option<usize>,
    pub(super) end: usize,
    pub(super) findings: Vec<Finding>,
}

/// Finds magics. Remembers the last answer, so that asking again and again on the way to the next magic costs
/// nothing.
struct Magics<'a> {
    bytes: &'a [u8],
    /// There is no magic from the first up to the second.
    known: (usize, usize),
    /// Bytes that may still be looked at once more, for another end of a frame than it claims.
    spare: usize,
}

impl Magics<'_> {
    /// The next magic at or after `from`; the end of the input if there is none.
    fn next(&mut self, from: usize) -> usize {
        if !(self.known.0..=self.known.1).contains(&from) {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let at = rest.windows(4).position(|window| window == MAGIC).unwrap_or(rest.len());
            self.known = (from, from.saturating_add(at));
        }
        self.known.1
    }
}

pub(super) fn inspect<'a>(bytes: &'a [u8], key: Option<Verify<'_>>) -> Report<'a> {
    let mut magics = Magics { bytes, known: (1, 0), spare: bytes.len() };
    let mut sections = Vec::new();
    let (mut at, mut index, mut spans) = (0, 0u64, 0usize);
    let mut follows = Follows::default();
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let offset = at as u64;
        if spans >= MAX_SPANS {
            let mut emitter = Emitter::new(rest, offset, None, Vec::new(), MAX_SPANS);
            emitter.emit(rest.len(), "not inspected", false, |bytes| {
                format!("{} more bytes, not looked at: this report has {MAX_SPANS} spans", bytes.len())
            });
            let (len, content) = (rest.len() as u64, Content::NotInspected);
            sections.push(Section { offset, len, content, error: None, spans: emitter.finish(rest.len()) });
            break;
        }
        let room = MAX_SPANS.saturating_sub(spans);
        let (section, len) = if is_frame(rest) {
            let mut anatomy = dissect(rest, at, &mut magics);
            checks::check(&mut anatomy, key);
            follows.check(&mut anatomy);
            let error = first_error(&anatomy.findings, offset);
            let kind = anatomy.config.map(|config| config.kind);
            let (len, content) = (anatomy.end, Content::Frame { index, kind });
            let spans = explain(anatomy, offset, index, room, key.is_some());
            index = index.saturating_add(1);
            (Section { offset, len: len as u64, content, error, spans }, len)
        } else {
            follows = Follows::default();
            let len = magics.next(at.saturating_add(1)).saturating_sub(at).min(rest.len());
            let kind = match rest.first_chunk() {
                Some(found) => ErrorKind::Magic { found: *found },
                None => ErrorKind::Truncated { field: "magic", needed: 4, available: rest.len() as u64 },
            };
            let findings = alloc::vec![Finding { at: 0, kind, missing: rest.is_empty() }];
            let error = first_error(&findings, offset);
            let mut emitter = Emitter::new(rest, offset, None, findings, room);
            let other = if at == 0 { foreign(rest) } else { "" };
            emitter.emit(len, "no frame", false, |bytes| {
                format!("no frame: {} bytes skipped{other}", bytes.len())
            });
            let (content, spans) = (Content::NoFrame, emitter.finish(len));
            (Section { offset, len: len as u64, content, error, spans }, len)
        };
        spans = spans.saturating_add(section.spans.len());
        sections.push(section);
        at = at.saturating_add(len);
        if at >= bytes.len() || len == 0 {
            break;
        }
    }
    Report { bytes, sections }
}

fn first_error(findings: &[Finding], offset: u64) -> Option<Error> {
    findings.first().map(|finding| Error::new(finding.kind, finding.at as u64).nested(offset))
}

/// What else the bytes start like, of what this crate reads.
fn foreign(bytes: &[u8]) -> &'static str {
    // Little-endian: what follows is as long as it says, and is spelled as names of models are.
    let is_name = bytes.split_first_chunk::<4>().is_some_and(|(len, rest)| {
        let len = usize::try_from(u32::from_le_bytes(*len)).ok().filter(|len| (2..=64).contains(len));
        let name = len.and_then(|len| rest.get(..len));
        let spelled =
            |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
        name.is_some_and(|name| name.iter().all(spelled))
    });
    match bytes {
        [b'E', b'G', b'R', b'1', ..] => "; it starts like a certificate: see bitwire engram eng show",
        [b'n' | b'q', b's', b'g', b'g', ..] | [0xD8, 0x3C, 0x14, 0xAF, ..] => STATE,
        _ if is_name => STATE,
        _ => "",
    }
}

const STATE: &str = "; it starts like a state of llama.cpp: see bitwire engram state";

/// Whether the bytes are worth reading as a frame: they start with the magic, or CONFIG_V1 stands where a frame has
/// it, or both nearly.
fn is_frame(bytes: &[u8]) -> bool {
    let Some(magic) = bytes.first_chunk::<4>() else { return false };
    let config = bytes.get(12..15).unwrap_or_default();
    let alike = magic.iter().zip(&MAGIC).filter(|(a, b)| a == b).count();
    alike == 4
        || config == [TlvType::CONFIG, 0, 24]
        || (alike == 3 && matches!(config, [TlvType::CONFIG, ..] | [_, 0, 24]))
}

/// Steps 1 to 6 of spec/frame.md, and on.
fn dissect<'a>(bytes: &'a [u8], base: usize, magics: &mut Magics<'_>) -> Anatomy<'a> {
    let mut frame = Anatomy {
        bytes,
        tlvs: Vec::new(),
        config: None,
        complete: false,
        payload_at: bytes.len().min(12),
        payload_end: bytes.len().min(12),
        crc: None,
        fit: None,
        digest: None,
        flip: None,
        magic_inside: None,
        end: bytes.len(),
        findings: Vec::new(),
    };
    if let Some(found) = bytes.first_chunk().filter(|found| **found != MAGIC) {
        frame.find(0, ErrorKind::Magic { found: *found });
    }
    let available = bytes.len().saturating_sub(4);
    if available < 8 {
        frame.find_before(
            bytes.len(),
            4,
            ErrorKind::Truncated { field: "ctx", needed: 8, available: available as u64 },
        );
        return frame;
    }
    let (mut spare, mut next_frame) =
        (magics.spare, |from: usize| magics.next(base.saturating_add(from)).saturating_sub(base));
    frame.walk(&mut next_frame);
    frame.measure(&mut next_frame, &mut spare);
    magics.spare = spare;
    frame
}

impl<'a> Anatomy<'a> {
    pub(super) fn find(&mut self, at: usize, kind: ErrorKind) {
        self.findings.push(Finding { at, kind, missing: false });
    }

    /// A breach in what ends at `end`; it may come too early for the place to have a byte.
    pub(super) fn find_before(&mut self, end: usize, at: usize, kind: ErrorKind) {
        self.findings.push(Finding { at, kind, missing: at >= end });
    }

    pub(super) fn find_missing(&mut self, at: usize, kind: ErrorKind) {
        self.findings.push(Finding { at, kind, missing: true });
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.bytes.get(from..to.min(self.bytes.len())).unwrap_or_default()
    }

    pub(super) fn value(&self, piece: &Piece) -> &'a [u8] {
        self.slice(piece.value_at(), piece.end())
    }

    pub(super) fn tlv(&self, tlv_type: u8) -> Option<&Piece> {
        self.tlvs.iter().find(|piece| piece.tlv_type == tlv_type)
    }

    /// Where a missing TLV would stand, if the TLVs are in order.
    pub(super) fn place_of(&self, tlv_type: u8) -> usize {
        let next = self.tlvs.iter().find(|piece| piece.tlv_type >= tlv_type);
        next.map_or(self.payload_at, |piece| piece.at)
    }

    fn walk(&mut self, next_frame: &mut dyn FnMut(usize) -> usize) {
        let (mut pos, mut after, mut guesses) = (12usize, None, 0u32);
        loop {
            let rest = self.bytes.get(pos..).unwrap_or_default();
            let Some(&[tlv_type, hi, lo]) = rest.first_chunk() else {
                let kind =
                    ErrorKind::Truncated { field: "TLV header", needed: 3, available: rest.len() as u64 };
                self.find_before(self.bytes.len(), pos, kind);
                break;
            };
            let stated = u16::from_be_bytes([hi, lo]);
            let available = rest.len().saturating_sub(3);
            let mut piece = Piece { at: pos, tlv_type, stated, len: usize::from(stated) };
            let fits = piece.len <= available;
            if fits && let Some((at, kind)) = breach(&piece, after) {
                self.find(at, kind);
            }

            // A fixed length tells where to go on if the length is what is damaged.
            if let Some(LengthRule::Exactly(ruled)) = length_rule(tlv_type)
                && ruled != stated
                && guesses < MAX_GUESSES
            {
                guesses = guesses.saturating_add(1);
                let leads_on = |len: u16| {
                    tlv_type == TlvType::END
                        || self.leads_on(piece.value_at().saturating_add(usize::from(len)), tlv_type)
                };
                if leads_on(ruled) && (tlv_type == TlvType::END || !(fits && leads_on(stated))) {
                    piece.len = usize::from(ruled);
                }
            }
            let lost = piece.len > available;
            if lost {
                piece.len = self.lose(piece.value_at(), next_frame);
            }
            pos = piece.end();
            if !fits {
                let (needed, available) = (u64::from(stated), available as u64);
                let kind = ErrorKind::Truncated { field: "TLV value", needed, available };
                self.find_before(pos, piece.value_at(), kind);
            }
            after = Some(tlv_type);
            self.tlvs.push(piece);
            self.read_config();
            if lost {
                break;
            }
            if tlv_type == TlvType::END {
                self.complete = true;
                self.payload_at = pos;
                return;
            }
            if self.tlvs.len() >= MAX_TLVS {
                break;
            }
        }
        // No END by the lengths. If payload_len is sound, END stands where the payload starts, counted from the
        // frame's end.
        let limit = next_frame(pos);
        (self.payload_at, self.payload_end, self.end) = (limit, limit, limit);
        if let Some(end) = self.end_by_payload_len(pos, limit) {
            self.tlvs.push(Piece { at: end, tlv_type: TlvType::END, stated: 0, len: 0 });
            self.complete = true;
            self.payload_at = end.saturating_add(3);
        }
    }

    /// A value does not fit: how much is taken for it.
    fn lose(&self, value_at: usize, next_frame: &mut dyn FnMut(usize) -> usize) -> usize {
        let limit = next_frame(value_at);
        self.end_by_payload_len(value_at, limit).unwrap_or(limit).saturating_sub(value_at)
    }

    fn end_by_payload_len(&self, from: usize, limit: usize) -> Option<usize> {
        let payload_len = usize::try_from(self.config?.payload_len).ok()?;
        let end = limit.checked_sub(payload_len)?.checked_sub(5)?;
        (end >= from && self.slice(end, end.saturating_add(3)) == [TlvType::END, 0, 0]).then_some(end)
    }

    /// Whether the bytes from `pos` are TLVs in order, up to END.
    fn leads_on(&self, mut pos: usize, mut after: u8) -> bool {
        // Types increase, so this ends.
        while let Some(&[tlv_type, hi, lo]) = self.bytes.get(pos..).and_then(<[u8]>::first_chunk) {
            let stated = u16::from_be_bytes([hi, lo]);
            let piece = Piece { at: pos, tlv_type, stated, len: usize::from(stated) };
            if breach(&piece, Some(after)).is_some() {
                return false;
            }
            if tlv_type == TlvType::END {
                return true;
            }
            (pos, after) = (piece.end(), tlv_type);
        }
        false
    }

    /// CONFIG_V1 is the first TLV of its type, or the first of all if it has the length.
    fn read_config(&mut self) {
        let Some(piece) = self.tlvs.last() else { return };
        let is_config = piece.tlv_type == TlvType::CONFIG || (self.tlvs.len() == 1 && piece.stated == 24);
        if self.config.is_some() || !is_config {
            return;
        }
        if let Some(&[kind, element, r0, r1, a, b, c, d, e, f, g, h, i, j, k, l, ref len @ ..]) =
            self.value(piece).first_chunk::<24>()
        {
            self.config = Some(Config {
                at: piece.value_at(),
                kind: Kind(kind),
                element,
                reserved: u16::from_be_bytes([r0, r1]),
                rows: u32::from_be_bytes([a, b, c, d]),
                dim: u32::from_be_bytes([e, f, g, h]),
                delta_q16: u32::from_be_bytes([i, j, k, l]),
                payload_len: u64::from_be_bytes(*len),
            });
        }
    }

    /// Payload and CRC-16.
    fn measure(&mut self, next_frame: &mut dyn FnMut(usize) -> usize, spare: &mut usize) {
        if !self.complete {
            return;
        }
        let at = self.payload_at;
        let rest = self.bytes.len().saturating_sub(at);
        let room = rest.saturating_sub(2);
        let claimed = self.config.map(|config| config.payload_len);
        let fitting = claimed.and_then(|len| usize::try_from(len).ok()).filter(|&len| len <= room);
        match (fitting, claimed) {
            // Of a payload of no bytes.
            (Some(_), _) if rest < 2 => {
                self.find_before(self.bytes.len(), at, payload_truncated(0, rest));
                (self.payload_end, self.end) = (at, self.bytes.len());
            }
            (Some(len), _) => {
                let crc_at = at.saturating_add(len);
                let computed = crc16(self.slice(4, crc_at));
                (self.payload_end, self.crc) = (crc_at, Some((crc_at, computed)));
                self.end = crc_at.saturating_add(2);
                let stored = self.stored_crc(crc_at);
                if stored != computed {
                    self.find(crc_at, ErrorKind::Crc { stored, computed });
                    self.flip = one_flip(stored ^ computed, self.end);
                    let limit = next_frame(at);
                    // Frames without a magic would all try the same far end.
                    if limit != self.end
                        && let Some(left) = spare.checked_sub(limit)
                    {
                        *spare = left;
                        self.fit = self.fit_at(limit);
                    }
                    if limit < self.end {
                        self.magic_inside = Some(limit);
                    } else if self.fit.is_some() {
                        self.end = limit;
                    }
                }
            }
            (None, claimed) => {
                self.end = next_frame(at);
                self.fit = self.fit_at(self.end);
                self.payload_end = self.fit.map_or(self.end, |fit| fit.crc_at);
                if let Some(claimed) = claimed {
                    self.find_before(self.payload_end, at, payload_truncated(claimed, rest));
                }
                // A CRC-16 that fits: computed is what is stored.
                self.crc = self.fit.map(|fit| (fit.crc_at, self.stored_crc(fit.crc_at)));
            }
        }
    }

    /// Whether the CRC-16 speaks for a frame that ends at `end`.
    fn fit_at(&self, end: usize) -> Option<Fit> {
        let crc_at = end.checked_sub(2).filter(|&crc_at| crc_at >= self.payload_at)?;
        let stored = self.stored_crc(crc_at);
        let payload_len = crc_at.saturating_sub(self.payload_at) as u64;
        if crc16(self.slice(4, crc_at)) == stored {
            return Some(Fit { crc_at, payload_len, corrected: false });
        }
        let at = self.config?.at.saturating_add(16);
        let mut crc = Crc16::new();
        crc.update(self.slice(4, at));
        crc.update(&payload_len.to_be_bytes());
        crc.update(self.slice(at.saturating_add(8), crc_at));
        (crc.finish() == stored).then_some(Fit { crc_at, payload_len, corrected: true })
    }

    pub(super) fn stored_crc(&self, at: usize) -> u16 {
        let stored = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        u16::from_be_bytes(stored.copied().unwrap_or_default())
    }

    /// What there is to say about payload_len, from `offset` of the input.
    pub(super) fn payload_len_note(&self, offset: u64) -> String {
        let mut note = String::new();
        if let Some(fit) = self.fit {
            let len = fit.payload_len;
            note = if fit.corrected {
                format!("; if it were {len}, CRC-16 would fit")
            } else {
                format!("; CRC-16 fits a payload of {len} bytes")
            };
        }
        if self.complete && self.crc.is_none() {
            let left = self.end.saturating_sub(self.payload_at);
            note = format!("; {left} bytes are left for payload and CRC-16");
        }
        if let Some(at) = self.magic_inside {
            let at = offset.saturating_add(at as u64);
            note.push_str(&format!("; the magic of a frame stands inside, at byte {at}"));
        }
        note
    }
}

/// The byte and bit of a frame of `len` bytes that, flipped, turns the CRC-16 by `syndrome`. Up to 4,095 bytes there
/// is at most one: 2^15 - 1 bits is the order of the polynomial.
fn one_flip(syndrome: u16, len: usize) -> Option<(usize, u8)> {
    // The bit i places before the last changes the CRC-16 by x^i modulo the polynomial.
    let bits = len.checked_sub(4).filter(|&covered| covered <= 4095)?.saturating_mul(8);
    let shift = |power: &u16| Some(power << 1 ^ if power >> 15 == 1 { 0x1021 } else { 0 });
    let back = core::iter::successors(Some(1u16), shift).take(bits).position(|power| power == syndrome)?;
    Some((len.checked_sub(1)?.checked_sub(back / 8)?, u8::try_from(back % 8).ok()?))
}

/// Steps 4.3 to 4.6 of spec/frame.md for a TLV that is there: the first breach and its place.
fn breach(piece: &Piece, after: Option<u8>) -> Option<(usize, ErrorKind)> {
    let found = piece.tlv_type;
    let refuse = |kind| Some((piece.at, kind));
    match after {
        Some(after) if found <= after => return refuse(ErrorKind::TlvOrder { found, after }),
        None if found != TlvType::CONFIG => return refuse(ErrorKind::ConfigNotFirst { found }),
        _ => {}
    }
    match length_rule(found) {
        Some(rule) if !rule.allows(piece.stated) => {
            let (needed, stated) = (u32::from(rule.bytes()), u32::from(piece.stated));
            let kind = ErrorKind::TlvLength { tlv: found, needed, found: stated };
            Some((piece.at.saturating_add(1), kind))
        }
        None if found < 0x80 => refuse(ErrorKind::CriticalTlv { found }),
        None if found > 0xEF => refuse(ErrorKind::ReservedTlv { found }),
        _ => None,
    }
}

/// The little-endian u64 at `at`; one that is not all there reads as 0.
pub(super) fn le(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// Likewise a u32.
pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |&bytes| u32::from_le_bytes(bytes))
}

//! `inspect`, which never fails.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{has_control, turn};
use crate::beacon::Beacon;
use crate::engram::index::Index as EngramIndex;
use crate::engram::whitening::Whitening;
use crate::error::{Error, ErrorKind};
use crate::frame::{Frame, Key, Kind, TlvType};
use crate::gist::GistView;
use crate::inspect::{Content, MAX_SPANS, Report, Verdict, inspect_with_key};
use crate::ledger::{Chunk, Index};
use crate::mirror::{Blocks, MirrorView};

/// [`inspect`](crate::inspect::inspect): sections and spans cover the input without a gap, each section's error is what
/// the parsers say of the bytes that start there, and neither of its texts steers a terminal.
pub fn inspect(data: &[u8]) {
    let report = crate::inspect::inspect(data);
    let mut at = 0;
    let mut before = Before::default();
    for section in report.sections() {
        assert_eq!(section.offset, at, "a gap between sections");
        for span in &section.spans {
            assert_eq!(span.offset, at, "a gap between spans");
            assert!(span.len > 0 || matches!(span.verdict, Verdict::Bad(_)), "{span:?}");
            assert_eq!(report.bytes_of(span).len() as u64, span.len);
            at += span.len;
        }
        assert_eq!(section.offset + section.len, at);
        if section.content == Content::NotInspected {
            continue;
        }
        let start = usize::try_from(section.offset).unwrap();
        let mut errors = parsers(&data[start..], section.offset);
        let ledgers = before.check(&data[start..], errors.is_empty());
        errors.extend(ledgers.map(|error| error.nested(section.offset)));
        assert_eq!(section.error, errors.first().copied());
        let bad: Vec<_> = section
            .spans
            .iter()
            .filter_map(|span| match span.verdict {
                Verdict::Bad(kind) => Some(Error::new(kind, span.offset)),
                _ => None,
            })
            .collect();
        assert!(errors.iter().all(|error| bad.contains(error)), "{errors:?} not among {bad:?}");
        assert_eq!(bad.is_empty(), errors.is_empty(), "{bad:?}");
    }
    assert_eq!(at, data.len() as u64, "bytes that no span covers");
    assert!(report.spans().count() <= MAX_SPANS + 1000);
    texts(&report, data);

    if !data.len().is_multiple_of(4) {
        return;
    }
    let key = Key::new(b"0123456789abcdef").unwrap();
    let keyed = inspect_with_key(data, &key);
    // A key makes valid what is invalid never, and cuts nothing differently.
    assert!(report.is_valid() || !keyed.is_valid());
    let cuts = |report: &Report<'_>| report.sections().iter().map(|section| section.len).collect::<Vec<_>>();
    assert_eq!(cuts(&report), cuts(&keyed));
    if let Ok(frame) = Frame::parse_exact(data)
        && report.is_valid()
    {
        assert_eq!(keyed.first_error(), frame.verify(&key).err());
    }
}

/// What the parsers refuse of what starts here: the frame's, or else the context's and the view's.
fn parsers(bytes: &[u8], offset: u64) -> Vec<Error> {
    let errors = match Frame::parse(bytes) {
        Err(error) => alloc::vec![error],
        Ok((frame, _)) => {
            let mut errors: Vec<_> = frame.context().err().into_iter().collect();
            match frame.kind() {
                Kind::BEACON => errors.extend(Beacon::from_frame(&frame).err()),
                Kind::LEDGER_CHUNK => errors.extend(Chunk::from_frame(&frame).err()),
                Kind::LEDGER_INDEX => errors.extend(Index::from_frame(&frame).err()),
                Kind::MIRROR => errors.extend(MirrorView::from_frame(&frame).err()),
                Kind::GIST => errors.extend(GistView::from_frame(&frame).err()),
                Kind::BLOCKS => errors.extend(Blocks::from_frame(&frame).err()),
                Kind::ENGRAM_INDEX => errors.extend(EngramIndex::from_frame(&frame).err()),
                Kind::WHITENING => errors.extend(Whitening::from_frame(&frame).err()),
                _ => {}
            }
            assert_eq!(errors.first().copied(), frame.check_content().err());
            errors
        }
    };
    errors.into_iter().map(|error| error.nested(offset)).collect()
}

/// chunk_id and start; ctx, CONTEXT_V1, whether HMAC_V1 is there.
type Next = (u64, u64, [u8; 8], Option<Vec<u8>>, bool);

/// The chunks right before a place of the input, and what they say of the next one (spec/ledger.md, "The ledger file").
#[derive(Default)]
struct Before {
    next: Option<Next>,
    passkeys: BTreeSet<u64>,
    names: BTreeSet<String>,
}

impl Before {
    /// The first breach of a chunk that is good by itself.
    fn check(&mut self, bytes: &[u8], is_good: bool) -> Option<Error> {
        let chunk = Frame::parse(bytes).and_then(|(frame, _)| Chunk::from_frame(&frame)).ok();
        let Some(chunk) = chunk.filter(|_| is_good) else {
            *self = Self::default();
            return None;
        };
        let frame = chunk.frame();
        let value_at = |tlv: u8| frame.tlv(tlv).map(|tlv| tlv.value_offset());
        let json = frame.context_json().map(<[u8]>::to_vec);
        let signed = frame.tlv(TlvType::HMAC).is_some();
        let mut errors = Vec::new();
        if let Some((id, start, ctx, context, hmac)) = &self.next {
            errors.extend(chunk.check_follows(*id, *start).err());
            if (frame.ctx().0, &json) != (*ctx, context) {
                errors.push(Error::new(ErrorKind::ContextDiffers, 4));
            }
            if *hmac != signed {
                let after = frame.tlvs().find(|tlv| tlv.tlv_type >= TlvType::HMAC);
                let at = after.map_or(frame.payload_offset() - 3, |tlv| tlv.offset);
                errors.push(Error::new(ErrorKind::MixedHmac, at));
            }
        }
        let mut at = value_at(TlvType::LEDGER_MARKS).unwrap_or(0) + 4;
        for position in chunk.marks().passkeys() {
            if !self.passkeys.insert(position) {
                errors.push(Error::new(ErrorKind::Duplicate { field: "a passkey's position" }, at));
            }
            at += 8;
        }
        for span in chunk.marks().spans() {
            if !self.names.insert(span.name.into()) {
                errors.push(Error::new(ErrorKind::Duplicate { field: "a span's name" }, at));
            }
            at += 18 + span.name.len() as u64;
        }
        self.next = Some((chunk.id().wrapping_add(1), chunk.end(), frame.ctx().0, json, signed));
        if !errors.is_empty() {
            *self = Self::default();
        }
        errors.first().copied()
    }
}

fn texts(report: &Report<'_>, data: &[u8]) {
    if !turn(data, 4) {
        return;
    }
    let text = report.to_string();
    assert!(!text.lines().any(has_control), "{text:?}");
    let json = report.to_json();
    assert!(!json.lines().any(has_control), "{json:?}");
    if !turn(data, 16) {
        return;
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let sections = json["frames"].as_array().unwrap();
    assert_eq!(sections.len(), report.sections().len());
    for (json, section) in sections.iter().zip(report.sections()) {
        assert_eq!(json["error"].is_null(), section.error.is_none());
        assert_eq!(json["spans"].as_array().unwrap().len(), section.spans.len());
    }
}

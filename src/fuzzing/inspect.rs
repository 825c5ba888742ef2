//! `inspect`, which never fails.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::Error;
use crate::frame::{Frame, Key};
use crate::inspect::{Content, MAX_SPANS, Report, Verdict, inspect_with_key};

/// [`inspect`](crate::inspect::inspect): sections and spans cover the input without a gap, each section's error is what
/// the parsers say of the bytes that start there, and neither of its texts steers a terminal.
pub fn inspect(data: &[u8]) {
    let report = crate::inspect::inspect(data);
    let mut at = 0;
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
        let errors = parsers(&data[start..], section.offset);
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
    texts(&report);

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
            if frame.kind() == crate::frame::Kind::BEACON {
                errors.extend(crate::beacon::Beacon::from_frame(&frame).err());
            }
            errors
        }
    };
    errors.into_iter().map(|error| error.nested(offset)).collect()
}

fn texts(report: &Report<'_>) {
    let text = report.to_string();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    let json = report.to_json();
    assert!(!json.chars().any(|c| c.is_control() && c != '\n'), "{json:?}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let sections = json["frames"].as_array().unwrap();
    assert_eq!(sections.len(), report.sections().len());
    for (json, section) in sections.iter().zip(report.sections()) {
        assert_eq!(json["error"].is_null(), section.error.is_none());
        assert_eq!(json["spans"].as_array().unwrap().len(), section.spans.len());
    }
}

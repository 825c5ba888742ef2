//! Contexts, against a canonical form made of `serde_json::Value` by other rules of thumb.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::plausible;
use crate::error::ErrorKind;
use crate::frame::Context;

/// [`Context::parse`] accepts exactly the canonical objects with the four members; [`Context::with_members`] makes them.
pub fn context(data: &[u8]) {
    let value = serde_json::from_slice::<Value>(data).ok();
    // A repeated member is lost in `Value`, so that the canonical text differs then too.
    let canonical = value.as_ref().and_then(canonical);
    let expected = canonical.as_ref().is_some_and(|text| text.as_bytes() == data)
        && value.as_ref().is_some_and(|value| {
            value["dim"].as_u64().is_some_and(|dim| u32::try_from(dim).is_ok())
                && ["model_id", "pi_id", "space_id"].iter().all(|id| value[*id].is_string())
        });
    match Context::parse(data) {
        Ok(context) => {
            assert!(expected, "accepted");
            assert_eq!(context.as_str().as_bytes(), data);
            assert_eq!(value.unwrap()["dim"].as_u64(), Some(u64::from(context.dim())));
        }
        Err(error) => {
            assert!(!expected, "{error}");
            plausible(&error, data.len());
        }
    }
    if let Ok(text) = core::str::from_utf8(data) {
        with_members(text);
    }
}

fn with_members(text: &str) {
    let value = serde_json::from_str::<Value>(text).ok();
    // In JSON each colon outside strings is a member; `Value` keeps one of each name.
    let unique = value.as_ref().is_some_and(|value| members(value) == colons(text));
    let own = [
        ("dim", Value::from(7)),
        ("model_id", "m\"\n".into()),
        ("pi_id", "p\0".into()),
        ("space_id", "s\u{1F600}".into()),
    ];
    let whole = value.filter(|_| unique).and_then(|value| {
        let Value::Object(mut object) = value else { return None };
        own.into_iter().all(|(name, value)| object.insert(name.to_string(), value).is_none()).then_some(())?;
        canonical(&Value::Object(object))
    });
    match (Context::with_members("s\u{1F600}", "m\"\n", "p\0", 7, text), whole) {
        (Ok(context), whole) => {
            assert_eq!(Some(context.as_str()), whole.as_deref());
            assert_eq!(Context::parse(context.as_str().as_bytes()).as_ref(), Ok(&context));
            assert!(context.as_str().len() <= 65_535);
        }
        (Err(error), None) => plausible(&error, text.len()),
        (Err(error), Some(whole)) => {
            // `Value` holds fractions as f64, which rounds some to integers; the library does not.
            let rounded = text.contains(['.', 'e', 'E']) && matches!(error.kind(), ErrorKind::Context { .. });
            let too_large = whole.len() > 65_535 && matches!(error.kind(), ErrorKind::TooLarge { .. });
            assert!(rounded || too_large, "{error}");
        }
    }
}

pub(super) fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

pub(super) fn colons(text: &str) -> usize {
    let (mut count, mut string, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => string = !string,
            b':' if !string => count += 1,
            _ => {}
        }
    }
    count
}

/// RFC 8785 for integers of magnitude up to 2^53 - 1; `None` with other numbers.
fn canonical(value: &Value) -> Option<String> {
    (depth(value) <= 101).then(|| canonical_text(value)).flatten()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn canonical_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(number) => number
            .as_i64()
            // 1.0 and -0 are integers too.
            .or_else(|| number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e16).map(|x| x as i64))
            .filter(|n| (-9_007_199_254_740_991..=9_007_199_254_740_991).contains(n))?
            .to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(canonical_text).collect();
            alloc::format!("[{}]", items?.join(","))
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            let members: Option<Vec<_>> = members
                .into_iter()
                .map(|(name, value)| Some(alloc::format!("{}:{}", quoted(name), canonical_text(value)?)))
                .collect();
            alloc::format!("{{{}}}", members?.join(","))
        }
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => out.push_str(&alloc::format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

//! The JSON files of TinyMind, against `serde_json::Value`.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::Value;

use super::context::{colons, members};
use super::plausible;
use crate::ledger::tinymind::fuzzed;

/// The four readers of files: never more tokens than were asked for, errors within the text, and what they accept is what
/// `Value` has.
pub fn tinymind(data: &[u8]) {
    let value = serde_json::from_slice::<Value>(data).ok();
    // A name that comes twice is lost in `Value`.
    let unique = value
        .as_ref()
        .is_some_and(|value| core::str::from_utf8(data).is_ok_and(|text| members(value) == colons(text)));
    let limit = 4;
    match fuzzed::row(data, limit) {
        Ok(row) => {
            assert!(row.tokens.as_ref().is_none_or(|tokens| tokens.len() <= limit as usize));
            if let Some(value) = &value {
                assert!(value.is_object());
                // Of a name that comes twice, an unknown one, the last is in `Value`; known ones are refused.
                assert_eq!(row.chunk_id, value["chunk_id"].as_u64());
                assert_eq!(row.start, value["start"].as_u64());
                assert_eq!(row.length.map(u64::from), value["length"].as_u64());
                assert_eq!(row.sha256, hash(&value["sha256"]));
                let tokens = value["tokens"].as_array();
                let tokens = tokens.map(|tokens| tokens.iter().map(|token| token.as_u64().unwrap()));
                let tokens: Option<Vec<u64>> = tokens.map(Iterator::collect);
                let own: Option<Vec<u64>> = row.tokens.map(|own| own.into_iter().map(u64::from).collect());
                assert_eq!(own, tokens);
            }
        }
        Err(error) => {
            plausible(&error, data.len());
            if let Some(value) = value.as_ref().filter(|_| unique) {
                assert!(!is_row(value, limit), "{error}");
            }
        }
    }

    let accepted = fuzzed::manifest(data);
    match &accepted {
        Ok(manifest) => {
            if let Some(value) = &value {
                assert!(value.is_object());
                assert_eq!(manifest.total_tokens, value["total_tokens"].as_u64());
                let chunks = value["chunks"].as_array();
                assert_eq!(manifest.chunks.as_ref().map(Vec::len), chunks.map(Vec::len));
                let mut start = 0;
                for (i, (chunk, value)) in
                    manifest.chunks.iter().flatten().zip(chunks.into_iter().flatten()).enumerate()
                {
                    assert_eq!(value["chunk_id"].as_u64(), Some(i as u64));
                    assert_eq!((chunk.0, value["start"].as_u64()), (start, Some(start)));
                    assert_eq!(Some(u64::from(chunk.1)), value["length"].as_u64());
                    assert_eq!(Some(chunk.2), hash(&value["sha256"]));
                    assert!(chunk.1 > 0);
                    start += u64::from(chunk.1);
                }
                agree(manifest.passkeys.as_deref(), manifest.spans.as_deref(), value);
            }
        }
        Err(error) => plausible(error, data.len()),
    }
    match fuzzed::passkeys(data) {
        Ok(passkeys) => {
            if let Some(value) = &value {
                let wrapped = serde_json::json!({ "passkeys": value });
                agree(Some(&passkeys), None, &wrapped);
            }
        }
        Err(error) => plausible(&error, data.len()),
    }
    match fuzzed::spans(data) {
        Ok(spans) => {
            if let Some(value) = &value {
                let wrapped = serde_json::json!({ "semantic_spans": value });
                agree(None, Some(&spans), &wrapped);
            }
        }
        Err(error) => plausible(&error, data.len()),
    }
}

fn agree(
    passkeys: Option<&[(u64, fuzzed::Passkey)]>,
    spans: Option<&[(String, fuzzed::Span)]>,
    value: &Value,
) {
    if let Some(passkeys) = passkeys {
        let object = value["passkeys"].as_object().unwrap();
        assert_eq!(object.len(), passkeys.len());
        for (position, (chunk_id, offset, token, expected)) in passkeys {
            let entry = &object[&alloc::format!("{position}")];
            if entry.is_object() {
                assert_eq!(*chunk_id, entry["chunk_id"].as_u64());
                assert_eq!(*offset, entry["offset"].as_u64());
                assert_eq!(token.map(u64::from), entry["token"].as_u64());
                let number = &entry["expected"];
                let number = number.as_u64().map(i128::from).or(number.as_i64().map(i128::from));
                assert_eq!(*expected, number);
            } else {
                assert_eq!(*expected, entry.as_u64().map(i128::from));
            }
        }
    }
    if let Some(spans) = spans {
        let object = value["semantic_spans"].as_object().unwrap();
        assert_eq!(object.len(), spans.len());
        for (name, (start, length)) in spans {
            let entry = &object[name];
            let (from, len) =
                if entry.is_array() { (&entry[0], &entry[1]) } else { (&entry["start"], &entry["length"]) };
            assert_eq!((*start, *length), (from.as_u64(), len.as_u64()));
        }
    }
}

fn hash(value: &Value) -> Option<[u8; 32]> {
    let digits = value.as_str()?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect();
    bytes?.try_into().ok()
}

/// Whether it has all the types that a row asks for.
fn is_row(value: &Value, limit: u32) -> bool {
    let is = |name: &str, good: &dyn Fn(&Value) -> bool| {
        value.get(name).is_none_or(|value| value.is_null() || good(value))
    };
    let u32 = |value: &Value| value.as_u64().is_some_and(|number| u32::try_from(number).is_ok());
    value.is_object()
        && is("chunk_id", &Value::is_u64)
        && is("start", &Value::is_u64)
        && is("length", &u32)
        && is("sha256", &|value| hash(value).is_some())
        && is("tokens", &|value| {
            value.as_array().is_some_and(|tokens| tokens.len() <= limit as usize && tokens.iter().all(u32))
        })
}

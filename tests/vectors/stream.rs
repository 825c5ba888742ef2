//! Streams of frames, raw and in COBS, whole and in pieces.

use bitwire::frame::Key;
#[cfg(feature = "cobs")]
use bitwire::stream::RecoverCobs;
use bitwire::stream::{Event, FrameReader, Recover, Skipped};
use serde_json::{Value, json};

use super::{Held, each, from_hex, note};

/// An event as in the vectors. Each frame goes by with its bytes, to be compared with those of its range.
fn entry<F>(event: Event<F>, bytes: impl FnOnce(&F) -> Vec<u8>, frames: &mut Vec<Vec<u8>>) -> Value {
    match event {
        Event::Frame { range, frame } => {
            frames.push(bytes(&frame));
            json!(["frame", range.start, range.end])
        }
        Event::Skipped(Skipped { range, reason }) => {
            json!(["skipped", range.start, range.end, reason.kind().name(), reason.offset()])
        }
    }
}

/// Events of a stream, and the bytes of its frames.
type Found = (Vec<Value>, Vec<Vec<u8>>);

/// What one call after another yields, with a key or without.
macro_rules! take {
    ($into:expr, $optional:expr, $plain:expr, |$key:ident| $verified:expr $(,)?) => {{
        let (events, frames): &mut Found = $into;
        match $optional {
            None => {
                while let Some(event) = $plain {
                    events.push(entry(event, |frame| frame.as_bytes().to_vec(), frames));
                }
            }
            Some($key) => {
                while let Some(event) = $verified {
                    events.push(entry(event, |frame| frame.as_bytes().to_vec(), frames));
                }
            }
        }
    }};
}

macro_rules! fed {
    ($reader:expr, $stream:expr, $piece:expr, $key:expr) => {{
        let (mut reader, mut found) = ($reader, Found::default());
        for mut piece in $stream.chunks($piece.max(1)) {
            take!(&mut found, $key, reader.feed(&mut piece), |key| reader.feed_verified(&mut piece, key));
            assert!(piece.is_empty());
        }
        take!(&mut found, $key, reader.finish(), |key| reader.finish_verified(key));
        found
    }};
}

fn fed<const N: usize>(view: &str, stream: &[u8], piece: usize, key: Option<&Key>) -> Found {
    match view {
        "raw" => fed!(FrameReader::<N>::new(), stream, piece, key),
        #[cfg(feature = "cobs")]
        "cobs" => fed!(FrameReader::<N, _>::cobs(), stream, piece, key),
        _ => panic!("{view}"),
    }
}

fn recovered(view: &str, stream: &[u8], max_frame: u64, key: Option<&Key>) -> Found {
    let mut found = Found::default();
    match view {
        "raw" => {
            let mut recover = Recover::new(stream).with_max_frame(max_frame);
            take!(&mut found, key, recover.next(), |key| recover.next_verified(key));
        }
        #[cfg(feature = "cobs")]
        "cobs" => {
            let mut recover = RecoverCobs::new(stream).with_max_frame(max_frame);
            take!(&mut found, key, recover.next_event(), |key| recover.next_verified(key));
        }
        _ => panic!("{view}"),
    }
    found
}

#[cfg_attr(test, test)]
pub(crate) fn streams() -> Held {
    each("stream.json", 600, |case| {
        let view = case["view"].as_str().unwrap();
        if view == "cobs" && cfg!(not(feature = "cobs")) {
            return;
        }
        let id = &case["id"];
        let stream = from_hex(case["hex"].as_str().unwrap());
        let key = case["key"].as_str().map(|key| Key::new(&from_hex(key)).unwrap());
        let key = key.as_ref();
        assert_eq!(case["verdict"], "accept", "{id}");
        let expected = case["expect"]["events"].as_array().unwrap();
        let max_frame = case["max_frame"].as_u64().unwrap();
        let recovered = recovered(view, &stream, max_frame, key);
        note(case, &Ok(json!({ "expect": { "events": recovered.0 } })));
        assert_eq!(&recovered.0, expected, "{id}: recovered");
        for piece in [stream.len(), 1, 3] {
            let fed = match max_frame {
                44 => fed::<44>(view, &stream, piece, key),
                55 => fed::<55>(view, &stream, piece, key),
                64 => fed::<64>(view, &stream, piece, key),
                128 => fed::<128>(view, &stream, piece, key),
                256 => fed::<256>(view, &stream, piece, key),
                600 => fed::<600>(view, &stream, piece, key),
                16384 => fed::<16384>(view, &stream, piece, key),
                other => panic!("{id}: {other}"),
            };
            assert_eq!(&fed.0, expected, "{id}: in pieces of {piece}");
            assert_eq!(fed.1, recovered.1, "{id}: in pieces of {piece}");
        }
        if view == "raw" {
            let ranges = expected.iter().filter(|event| event[0] == "frame");
            let place = |event: &Value, i: usize| event[i].as_u64().unwrap() as usize;
            let frames: Vec<_> =
                ranges.map(|event| stream[place(event, 1)..place(event, 2)].to_vec()).collect();
            assert_eq!(recovered.1, frames, "{id}");
        }
    })
}

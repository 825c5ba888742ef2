//! Streams: what is harmed costs nothing else.

use bitwire::frame::Key;
use bitwire::fuzzing;
use bitwire::stream::{Event, Recover};
use serde_json::Value;

use crate::{Attack, Harm, attacks, bytes, cases};

/// The fuzz target's body holds all readers, in pieces and whole, to a second reader made from the document.
fn alike(attack: &mut Attack) {
    for (i, case) in cases("stream.json").iter().enumerate() {
        let in_cobs = case["view"] == "cobs";
        if in_cobs && cfg!(not(feature = "cobs")) {
            continue;
        }
        // One of five sizes of readers, with a key or without, and cuts.
        let how = (i % 5) << 4 | usize::from(case["key"].is_string()) << 2 | usize::from(in_cobs) << 1;
        let input = [&[how as u8, 3, 0, 40, 1, 0xF1, 7][..], &bytes(case, "hex").unwrap()].concat();
        let mut whole = input.clone();
        attack.on(&input[7..], |_, harmed| {
            whole.truncate(7);
            whole.extend_from_slice(harmed);
            fuzzing::stream(&whole);
        });
    }
}

type Frames = Vec<(u64, u64)>;

fn frames(stream: &[u8], case: &Value, key: Option<&Key>) -> Frames {
    let max = case["max_frame"].as_u64().unwrap();
    let mut found = Frames::new();
    let mut at = 0;
    let mut event = |range: core::ops::Range<u64>, is_frame| {
        if case["view"] == "raw" {
            assert_eq!(range.start, at, "a gap");
        } else {
            assert!(range.start >= at, "an overlap");
        }
        at = range.end;
        if is_frame {
            found.push((range.start, range.end));
        }
    };
    macro_rules! take {
        ($next:expr) => {
            while let Some(next) = $next {
                match next {
                    Event::Frame { range, .. } => event(range, true),
                    Event::Skipped(skipped) => event(skipped.range, false),
                }
            }
        };
    }
    match (case["view"] == "raw", key) {
        (true, None) => {
            let mut recover = Recover::new(stream).with_max_frame(max);
            take!(recover.next());
        }
        (true, Some(key)) => {
            let mut recover = Recover::new(stream).with_max_frame(max);
            take!(recover.next_verified(key));
        }
        #[cfg(feature = "cobs")]
        (false, key) => {
            let mut recover = bitwire::stream::RecoverCobs::new(stream).with_max_frame(max);
            match key {
                None => take!(recover.next_event()),
                Some(key) => take!(recover.next_verified(key)),
            }
        }
        #[cfg(not(feature = "cobs"))]
        (false, _) => {}
    }
    if case["view"] == "raw" {
        assert_eq!(at, stream.len() as u64, "the rest is of no event");
    }
    found
}

/// Every frame that no flip touches, and every one that a cut leaves whole, comes out as before; one that is touched does not.
fn others(attack: &mut Attack) {
    let (mut delivered, mut healed) = (0u64, 0);
    for case in cases("stream.json") {
        if case["view"] == "cobs" && cfg!(not(feature = "cobs")) {
            continue;
        }
        let stream = bytes(&case, "hex").unwrap();
        let key = bytes(&case, "key").map(|key| Key::new(&key).unwrap());
        let before = frames(&stream, &case, key.as_ref());
        attack.on(&stream, |harm, harmed| {
            let after = frames(harmed, &case, key.as_ref());
            for range in &before {
                let touched = match harm {
                    // In COBS the zero byte before a frame is what tells it from what was sent before.
                    Harm::Flip(bit) => {
                        let at = bit as u64 / 8;
                        let first = range.0.saturating_sub(u64::from(case["view"] == "cobs"));
                        if at == first && first < range.0 {
                            continue;
                        }
                        (first..range.1).contains(&at)
                    }
                    Harm::Cut(len) => (len as u64) < range.1,
                };
                // In COBS a frame is the same behind another zero byte, and with its last run written otherwise.
                if touched && case["view"] == "cobs" {
                    continue;
                }
                // The vectors have damaged frames too: if the flip heals one, the frames in its payload are payload again.
                if after.iter().any(|other| other.0 < range.0 && range.0 < other.1) {
                    assert!(!before.iter().any(|other| other.0 < range.0 && range.0 < other.1));
                    healed += 1;
                    continue;
                }
                assert_eq!(after.contains(range), !touched, "{}: {harm:?}, frame {range:?}", case["id"]);
                delivered += u64::from(!touched);
            }
        });
    }
    assert!(delivered > 1000 && healed < 100, "{delivered} {healed}");
    println!("{delivered} frames beside them are delivered");
}

attacks! {
    every_stream_harmed / every_stream_harmed_in_every_way, 1 of 300, alike;
    what_is_not_harmed_is_delivered / what_is_not_harmed_in_any_way_is_delivered, 1 of 20, others;
}

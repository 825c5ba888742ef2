//! The kit for others held to the readers it is for, and these to the kit.

use ::arbitrary::{Arbitrary, Unstructured};

use super::second_reader::Verdict;
use super::{second_engram, second_gist, second_ledger, second_mirror, second_reader};
use crate::arbitrary::{Mutant, ValidFrame, View};
use crate::frame::{Frame, Key};
use crate::inspect::{inspect, inspect_with_key};

/// Any input is a valid frame, which both readers accept and a builder writes again, and a mutant, which both refuse as the kit
/// says, and whose original both accept.
pub fn kit(data: &[u8]) {
    let mut u = Unstructured::new(data);
    if u.arbitrary().unwrap_or(false) {
        let valid = ValidFrame::arbitrary(&mut u).unwrap();
        accepted(valid.view(), valid.bytes(), valid.key());
    } else {
        let mutant = Mutant::arbitrary(&mut u).unwrap();
        accepted(mutant.rule().view(), mutant.original(), mutant.key());
        refused(&mutant);
    }
}

fn accepted(view: View, bytes: &[u8], key: Option<&[u8]>) {
    let key = key.map(|key| Key::new(key).unwrap());
    for view in [View::Context, view] {
        view.read(bytes, key.as_ref()).unwrap();
    }
    assert_eq!(second(view, bytes), Ok(bytes.len()));
    let (frame, rest) = Frame::parse(bytes).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frame.to_builder().encode().unwrap(), bytes);
    assert_eq!(frame.flags().authenticated(), key.is_some());
    frame.check_content().unwrap();
}

fn refused(mutant: &Mutant) {
    let (rule, bytes) = (mutant.rule(), mutant.bytes());
    let key = mutant.key().map(|key| Key::new(key).unwrap());
    let error = rule.view().read(bytes, key.as_ref()).expect_err(rule.name());
    assert!(mutant.is(&error), "{}: {error:?}, not {:?}", rule.name(), mutant.offset());
    super::plausible(&error, bytes.len());
    // What a reader of everything checks before the typed view is right.
    if View::OF_KINDS.contains(&rule.view()) {
        View::Context.read(bytes, key.as_ref()).unwrap();
    }
    // So does the report for people, but that it takes any number of frames, of any kind.
    if rule.name() != "trailing-bytes" && rule.error() != "Kind" {
        let report = match &key {
            Some(key) => inspect_with_key(bytes, key),
            None => inspect(bytes),
        };
        let first = report.first_error().unwrap_or_else(|| panic!("{}: not in the report", rule.name()));
        assert!(mutant.is(&first), "{}: {first:?}, not {:?}", rule.name(), mutant.offset());
    }
    // The second readers have no keys, and read no context.
    match rule.view() {
        View::Verify | View::Context => assert_eq!(second(View::Frame, bytes), Ok(bytes.len())),
        view => {
            let due = (rule.error(), mutant.offset().unwrap());
            assert_eq!(second(view, bytes), Err(due), "{}", rule.name());
        }
    }
}

/// What the second readers say, asked for exactness.
fn second(view: View, bytes: &[u8]) -> Verdict {
    let read = match view {
        View::Beacon => second_reader::beacon,
        View::Chunk => second_ledger::chunk,
        View::Index => second_ledger::index,
        View::Mirror => second_mirror::mirror,
        View::EngramIndex => second_engram::index,
        View::Gist => second_gist::gist,
        View::Blocks => second_mirror::blocks,
        View::Whitening => second_engram::whitening,
        View::Frame | View::Verify | View::Context => second_reader::frame,
    };
    let len = read(bytes)?;
    if len == bytes.len() { Ok(len) } else { Err(("TrailingBytes", len as u64)) }
}

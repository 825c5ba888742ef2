use std::collections::{BTreeMap, BTreeSet};
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::error::ErrorKind;

fn key(bytes: Option<&[u8]>) -> Option<Key> {
    bytes.map(|bytes| Key::new(bytes).unwrap())
}

/// That every reader accepts it: of the frame, of the context, of the kind.
#[track_caller]
fn accepted(bytes: &[u8], view: View, key: Option<&Key>) {
    for view in [View::Frame, View::Context, view] {
        view.read(bytes, key).unwrap();
    }
    let frame = Frame::parse_exact(bytes).unwrap();
    assert_eq!(frame.to_builder().encode().unwrap(), bytes);
    assert!(bytes.len() <= 6 << 10, "{}", bytes.len());
}

/// What of a mutant's verdict is not so.
fn fault(mutant: &Mutant) -> Option<String> {
    let (rule, key) = (mutant.rule(), key(mutant.key()));
    let original = mutant.original();
    for view in [View::Frame, View::Context, rule.view()] {
        if let Err(error) = view.read(original, key.as_ref()) {
            return Some(format!("the original: {error:?}"));
        }
    }
    let due = (rule.error(), mutant.offset());
    match rule.view().read(mutant.bytes(), key.as_ref()) {
        Ok(()) => return Some(format!("accepted, not {due:?}")),
        Err(error) if !mutant.is(&error) => return Some(format!("{error:?}, not {due:?}")),
        // Where the rule is not about a key, it is broken for a reader without one too.
        found if rule.view() != View::Verify && rule.view().read(mutant.bytes(), None) != found => {
            return Some("another verdict without the key".into());
        }
        Err(_) => {}
    }
    // The context comes before the typed view.
    let later = rule.document() != "frame.md" || rule.view() == View::Verify;
    if later && let Err(error) = View::Context.read(mutant.bytes(), None) {
        return Some(format!("the context: {error:?}"));
    }
    let placed = rule.error() != "Context" || matches!(rule.name(), "context-utf8" | "context-form");
    if mutant.offset().is_some() != placed {
        return Some(format!("no place: {due:?}"));
    }
    (mutant.bytes().len() > 6 << 10).then(|| format!("{} bytes", mutant.bytes().len()))
}

/// Collects what is wrong, so that a failure tells all of it.
#[derive(Default)]
struct Faults(BTreeMap<&'static str, (String, usize)>);

impl Faults {
    fn check(&mut self, mutant: &Mutant, from: impl core::fmt::Debug) {
        if let Some(fault) = fault(mutant) {
            let (_, count) =
                self.0.entry(mutant.rule().name()).or_insert_with(|| (format!("{from:?}: {fault}"), 0));
            *count += 1;
        }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{:#?}", self.0);
        }
    }
}

#[test]
fn valid_frames_are_accepted() {
    let (mut views, mut elements, mut tlvs) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for seed in 0..2000 {
        let valid = ValidFrame::from_seed(seed);
        let key = key(valid.key());
        accepted(valid.bytes(), valid.view(), key.as_ref());
        let frame = Frame::parse_exact(valid.bytes()).unwrap();
        assert_eq!(
            valid.view() == View::Frame,
            frame.kind().0 > 7 || View::OF_KINDS.get(usize::from(frame.kind().0)) != Some(&valid.view())
        );
        assert_eq!(frame.flags().authenticated(), key.is_some());
        views.insert(valid.view().name());
        elements.insert((frame.kind().0.min(8), frame.config().element.code()));
        tlvs.extend(frame.tlvs().map(|tlv| tlv.tlv_type));
    }
    assert_eq!(views.len(), 9);
    let kinds = [
        vec![1],
        vec![2, 3, 4],
        vec![0],
        vec![1, 5, 6, 7],
        vec![1, 5, 7, 8, 9],
        vec![1, 5, 6, 7],
        vec![1, 5, 6, 7],
        vec![7],
    ];
    let due: BTreeSet<(u8, u8)> = (0..)
        .zip(kinds)
        .flat_map(|(kind, elements)| elements.into_iter().map(move |element| (kind, element)))
        .collect();
    assert!(elements.is_superset(&due), "{:?}", due.difference(&elements));
    let known = [1, 2, 3, 4, 0x10, 0x11, 0x12, 0x13, 0x14, 0x80, 0x81, 0x82, 0xF0, 0xF1, 0xFE];
    assert!(known.iter().all(|tlv| tlvs.contains(tlv)), "{tlvs:?}");
    assert!((0x83..=0xEE).filter(|tlv| tlvs.contains(tlv)).count() > 50);
}

#[test]
fn mutants_of_every_rule_are_refused_as_stated() {
    let mut faults = Faults::default();
    for rule in Rule::all() {
        for seed in 0..30 {
            faults.check(&Mutant::of_seed(rule, seed), seed);
        }
    }
}

#[test]
fn mutants_of_any_seed_are_refused_as_stated() {
    let (mut faults, mut seen) = (Faults::default(), BTreeSet::new());
    for seed in 0..3000 {
        let mutant = Mutant::from_seed(seed);
        faults.check(&mutant, seed);
        assert_eq!(mutant, Mutant::from_seed(seed));
        seen.insert(mutant.rule().name());
    }
    assert_eq!(seen.len(), Rule::all().count());
}

/// The same for the inputs of a fuzzer, which end anywhere.
#[test]
fn any_input_will_do() {
    let (mut faults, random) = (Faults::default(), random_bytes(7));
    for len in (0..200).chain([1000]) {
        for fill in [None, Some(0), Some(0xFF), Some(1)] {
            let input = fill.map_or(random[..len].to_vec(), |byte| vec![byte; len]);
            let valid = ValidFrame::arbitrary(&mut Unstructured::new(&input)).unwrap();
            accepted(valid.bytes(), valid.view(), key(valid.key()).as_ref());
            let mutant = Mutant::arbitrary(&mut Unstructured::new(&input)).unwrap();
            faults.check(&mutant, (len, fill));
            if len.is_multiple_of(50) {
                for rule in Rule::all() {
                    faults.check(&Mutant::of(rule, &mut Unstructured::new(&input)), (len, fill));
                }
            }
        }
    }
}

#[test]
fn mutants_differ_from_their_originals_little() {
    for seed in 0..2000 {
        let mutant = Mutant::from_seed(seed);
        let (a, b) = (mutant.bytes(), mutant.original());
        assert_ne!(a, b, "{}", mutant.rule().name());
    }
}

#[test]
fn names_are_unique_and_plain() {
    let mut names: Vec<_> = Rule::all().map(Rule::name).collect();
    assert!(
        names.iter().all(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')))
    );
    names.sort_unstable();
    assert!(names.is_sorted_by(|a, b| a < b));
    for name in names {
        assert_eq!(Rule::named(name).map(Rule::name), Some(name));
    }
    assert_eq!(Rule::named("none"), None);
}

/// Every error of every step of the documents has a rule, and the other way round.
#[test]
fn rules_are_those_of_the_documents() {
    let documents = [
        ("frame.md", include_str!("../../spec/frame.md")),
        ("beacon.md", include_str!("../../spec/beacon.md")),
        ("ledger.md", include_str!("../../spec/ledger.md")),
        ("mirror.md", include_str!("../../spec/mirror.md")),
        ("engram.md", include_str!("../../spec/engram.md")),
        ("gist.md", include_str!("../../spec/gist.md")),
    ];
    let mut due = BTreeSet::new();
    let views = [View::Frame].into_iter().chain(View::OF_KINDS);
    for (document, section) in views.map(View::table) {
        let (_, text) = documents.iter().find(|(name, _)| *name == document).unwrap();
        let start = text.find(&format!("# {section}\n")).unwrap();
        let table = text[start..].split_once("| step | check | error | offset |").unwrap().1;
        let mut step = String::new();
        for row in table.lines().skip(2).take_while(|row| row.starts_with('|')) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            // A row without a number belongs to the step before.
            if !cells[1].is_empty() {
                step = cells[1].into();
            }
            // From here on it is the typed views that say what is wrong.
            if document == "frame.md" && step == "19" {
                break;
            }
            for error in cells[3].split('`').skip(1).step_by(2) {
                due.insert((document, section, step.clone(), error));
            }
        }
    }
    let stated: BTreeSet<_> =
        Rule::all().map(|rule| (rule.document(), rule.section(), rule.step().into(), rule.error())).collect();
    assert_eq!(
        due.difference(&stated).collect::<Vec<_>>(),
        Vec::<&(&str, &str, String, &str)>::new(),
        "without a rule"
    );
    assert_eq!(
        stated.difference(&due).collect::<Vec<_>>(),
        Vec::<&(&str, &str, String, &str)>::new(),
        "not in the documents"
    );
    assert!(due.len() > 100, "{}", due.len());
}

/// A reader that skips a rule has nothing else to stumble over: this one skips the checks of what DIGEST_V1 and the CRC cover.
#[test]
fn checksums_are_right_again() {
    let mut seen = BTreeMap::new();
    for seed in 0..2000 {
        let mutant = Mutant::from_seed(seed);
        // Bytes that are missing or too many, and the CRC itself.
        let rule = mutant.rule();
        let steps = ["1", "3", "4.1", "4.2", "5", "6", "15"];
        if rule.document() == "frame.md" && steps.contains(&rule.step()) {
            continue;
        }
        let bytes = mutant.bytes();
        // What spec/frame.md says of it: over everything after the magic it is 0.
        assert_eq!(crate::frame::crc16(&bytes[4..]), 0, "{}", rule.name());
        *seen.entry(rule.name()).or_insert(0) += 1;
    }
    assert!(seen.len() > 100);
}

#[test]
fn an_error_is_compared_by_kind_and_place() {
    let rule = Rule::named("element").unwrap();
    let mutant = Mutant::of_seed(rule, 1);
    assert_eq!((rule.error(), mutant.offset()), ("Element", Some(16)));
    assert!(mutant.is(&Error::new(ErrorKind::Element { found: 10 }, 16)));
    assert!(!mutant.is(&Error::new(ErrorKind::Element { found: 10 }, 15)));
    assert!(!mutant.is(&Error::caller(ErrorKind::Element { found: 10 })));
    assert!(!mutant.is(&Error::new(ErrorKind::Padding, 16)));
}

#[test]
fn a_corpus_depends_on_its_seed_alone() {
    let all: Vec<_> = corpus(7, 2).collect();
    assert_eq!(all.len(), 2 * (9 + Rule::all().count()));
    assert!(all.iter().map(|(path, _)| path).collect::<BTreeSet<_>>().len() == all.len());
    let fewer: Vec<_> = corpus(7, 1).collect();
    assert!(fewer.iter().all(|sample| all.contains(sample)));
    let other: Vec<_> = corpus(8, 2).collect();
    let same = all.iter().zip(&other).filter(|((_, a), (_, b))| a.bytes() == b.bytes()).count();
    // A frame cut to a byte or none is the same one now and then.
    assert!(same <= 4, "{same}");
    for (path, sample) in all {
        match &sample {
            Sample::Valid(valid) => assert!(path.starts_with(&format!("valid/{}-000", valid.view().name()))),
            Sample::Mutant(mutant) => {
                assert!(path.starts_with(&format!("mutant/{}-000", mutant.rule().name())));
                assert_eq!(fault(mutant), None, "{path}");
            }
        }
        let key = key(sample.key());
        assert_eq!(
            sample.view().read(sample.bytes(), key.as_ref()).is_ok(),
            matches!(sample, Sample::Valid(_))
        );
    }
}

/// The table of rules.md.
fn table() -> String {
    let rows = Rule::all().map(|rule| {
        let (document, section, step) = (rule.document(), rule.section(), rule.step());
        let view = rule.view().name();
        format!("| `{}` | `{view}` | {document}, \"{section}\", {step} | `{}` |\n", rule.name(), rule.error())
    });
    ["| rule | view | document, section, step | error |\n|---|---|---|---|\n".into()]
        .into_iter()
        .chain(rows)
        .collect()
}

#[test]
fn the_table_in_the_docs_is_current() {
    assert!(
        include_str!("rules.md") == table(),
        "cargo test --features arbitrary --lib write_table -- --ignored"
    );
}

#[test]
#[ignore = "writes src/arbitrary/rules.md"]
fn write_table() {
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/arbitrary/rules.md"), table()).unwrap();
}

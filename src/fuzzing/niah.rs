//! Needle in a haystack: samples, answers and scores.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::context::{colons, members};
use super::{Choices, has_control, plausible, turn};
use crate::error::{Error, ErrorKind};
use crate::gist::niah::{
    Band, Generator, Haystack, Join, JoinError, Language, Plan, Planted, Rule, Sample, Scorer, Scores, Tally,
    Unit, read_answers, read_joined,
};
use crate::io::Cause;

/// What reads samples and answers takes of each line what `Value` has, and names the line of what it refuses; an answer is
/// right if the passkey is one of its words; all tallies come of the same answers; and what is generated is read, and is right by
/// its own passkey only.
pub fn niah(data: &[u8]) {
    lines(data, if data.len() % 4 == 3 { "answer" } else { "prediction" });
    let mut choices = Choices(data);
    // Apart at the first line that is empty, or anywhere.
    let anywhere = choices.below(data.len() + 1);
    let at = data.windows(2).position(|two| two == b"\n\n").unwrap_or(anywhere);
    let (samples, answers) = data.split_at(at);
    if turn(data, 2) {
        joined(samples, answers);
    }
    words(&mut choices);
    if turn(data, 4) {
        tallies(&mut choices);
    }
    if turn(&data[..data.len() / 2], 8) {
        samples_alike(&mut Choices(data));
    }
}

const RULES: [Rule; 4] = [
    Rule { exact: false, ignore_case: false },
    Rule { exact: false, ignore_case: true },
    Rule { exact: true, ignore_case: false },
    Rule { exact: true, ignore_case: true },
];

/// The words of a text: what stands between characters that are no letters and digits of ASCII.
fn is_right(rule: Rule, answer: &str, needle: &str) -> bool {
    let same = |word: &str| match rule.ignore_case {
        true => word.eq_ignore_ascii_case(needle),
        false => word == needle,
    };
    if !rule.exact {
        return answer.split(|c: char| !c.is_ascii_alphanumeric()).any(same);
    }
    let mut chars: Vec<char> = answer.chars().collect();
    while chars.last().is_some_and(|c| !c.is_alphanumeric()) {
        chars.pop();
    }
    let first = chars.iter().position(|c| c.is_alphanumeric()).unwrap_or(0);
    same(&chars[first..].iter().collect::<String>())
}

/// An error in one of these lines: which one, from 1.
fn faulty_line(error: Error, bytes: &[u8]) -> u64 {
    plausible(&error, bytes.len());
    let ErrorKind::SampleLine { line, reason } = error.kind() else { panic!("{error:?}") };
    let (mut start, mut at) = (0, 0);
    for text in bytes.split(|&byte| byte == b'\n') {
        at += 1;
        if at == line {
            let place = error.offset() as usize;
            assert!((start..=start + text.len()).contains(&place), "{error:?} in line at {start}");
            // An object that is not all there ends too early at its end.
            let text = text.trim_ascii_end();
            let ends_early = serde_json::from_slice::<Value>(text).is_err_and(|error| error.is_eof());
            if ends_early && reason == "not valid JSON" {
                assert!(place + 1 >= start + text.len(), "{error:?} in line at {start}");
            }
            return line;
        }
        start += text.len() + 1;
    }
    panic!("{error:?} in {at} lines");
}

/// What a line has, if nothing in it is amiss; or the error is of `Value` alone.
fn line_of(line: &[u8], member: &str) -> Result<Option<(Planted, Option<String>)>, ()> {
    let Ok(text) = core::str::from_utf8(line) else { return Ok(None) };
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        // Numbers beyond f64, deep nesting and half surrogates, in members that are skipped.
        Err(_) => return Err(()),
    };
    if !value.is_object() {
        return Ok(None);
    }
    // A name that comes twice is lost in `Value`.
    if members(&value) != colons(text) {
        return Err(());
    }
    Ok(sample_of(&value, member))
}

fn sample_of(value: &Value, member: &str) -> Option<(Planted, Option<String>)> {
    let text = |name: &str| match &value[name] {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    };
    let [id, answer, prediction] = [text("id")?, text("answer")?, text(member)?];
    let (context, needle) = (text("context")??, text("needle")??);
    let position =
        value["needle_position"].as_f64().filter(|position| *position >= 0.0 && *position <= 1.0)?;
    let is_needle = needle.len() == 6 && needle.chars().all(|c| c.is_ascii_alphanumeric());
    if !is_needle || !is_right(RULES[0], &context, &needle) {
        return None;
    }
    if member != "answer" && answer.is_some_and(|answer| answer != needle) {
        return None;
    }
    let chars = context.chars().count() as u64;
    if !value["context_length_chars"].is_null() && value["context_length_chars"].as_u64() != Some(chars) {
        return None;
    }
    let planted =
        Planted { id, context, needle, needle_position: position.abs(), context_length_chars: chars };
    Some((planted, prediction))
}

/// Of a text, as Python's `bytes.isspace` has it: a vertical tab too.
fn is_blank_text(line: &str) -> bool {
    line.chars().all(|c| matches!(c, ' ' | '\t'..='\r'))
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Answers with their samples, out of any bytes.
fn lines(bytes: &[u8], member: &str) {
    let mut taken = Vec::new();
    let result = read_answers(bytes, member, |planted, answer| {
        taken.push((planted.clone(), answer.map(ToOwned::to_owned)));
    });
    let end = match &result {
        Ok(()) => None,
        Err(Cause::Format(error)) => Some(faulty_line(*error, bytes)),
        Err(other) => panic!("{other:?}"),
    };
    let mut found = taken.iter();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        if is_blank(line) {
            assert_ne!(Some(number), end);
            continue;
        }
        let expected = line_of(line, member);
        if end == Some(number) {
            assert!(!matches!(expected, Ok(Some(_))), "{result:?} {expected:?}");
            break;
        }
        let found = found.next().unwrap();
        if let Ok(expected) = expected {
            assert_eq!(Some(found), expected.as_ref());
        }
    }
    assert!(found.next().is_none());

    for (i, rule) in RULES.into_iter().enumerate() {
        if bytes.len() % RULES.len() != i {
            continue;
        }
        let mut scorer = Scorer::new(rule);
        assert_eq!(scorer.answers(bytes, member).is_ok(), result.is_ok());
        let scores = scorer.finish();
        consistent(&scores, &taken, rule);
        if turn(bytes, 32) {
            drawn(&scores, &String::from_utf8_lossy(bytes));
        }
    }
}

/// Samples and answers apart.
fn joined(samples: &[u8], answers: &[u8]) {
    for join in [Join::Id, Join::Line] {
        let mut taken = 0;
        let result = read_joined(samples, answers, "prediction", join, |planted, _| {
            assert!(is_right(RULES[0], &planted.context, &planted.needle));
            taken += 1;
        });
        let (error, bytes) = match result {
            Ok(()) => {
                let count =
                    |bytes: &[u8]| bytes.split(|&b| b == b'\n').filter(|line| !is_blank(line)).count();
                assert_eq!(taken, count(samples));
                assert!(match join {
                    Join::Id => count(answers) <= taken,
                    Join::Line => count(answers) == taken,
                });
                continue;
            }
            Err(JoinError::Samples(Cause::Format(error))) => (error, samples),
            Err(JoinError::Answers(Cause::Format(error))) => (error, answers),
            Err(other) => panic!("{other:?}"),
        };
        faulty_line(error, bytes);
    }
}

/// An answer out of pieces that make words, and break them.
fn words(choices: &mut Choices<'_>) {
    const PIECES: [&str; 16] = [
        "AB12CD",
        "ab12cd",
        "aB12cD",
        "AB12C",
        "D",
        "7",
        " ",
        ".",
        "_",
        "é",
        "입니다",
        "\u{130}",
        "\n",
        "AB12CD.",
        "\u{ff21}",
        "ZZZZZZ",
    ];
    let count = choices.below(6);
    let pieces = choices.bytes(count).iter().map(|byte| PIECES[usize::from(byte % 16)]);
    let answer: String = pieces.collect();
    for (rule, needle) in RULES.into_iter().flat_map(|rule| ["AB12CD", "ab12cd"].map(|n| (rule, n))) {
        let expected = is_right(rule, &answer, needle);
        assert_eq!(rule.accepts(&answer, needle), expected, "{rule:?} {answer:?} {needle:?}");
    }
}

const POSITIONS: [f64; 8] = [
    0.0,
    1.0,
    0.5,
    0.3,
    0.1,
    f64::MIN_POSITIVE,
    // The last before a turn from one tenth to the next.
    f64::from_bits(0x3FEC_CCCC_CCCC_CCCC),
    f64::from_bits(0x3FE9_9999_9999_9999),
];

/// Scores of samples with depths and lengths from few or many.
fn tallies(choices: &mut Choices<'_>) {
    let [how, count, title] = choices.array::<3>();
    let mut planted = Vec::new();
    for _ in 0..count % if title % 16 == 1 { 80 } else { 12 } {
        let position = match how % 3 {
            0 => POSITIONS[choices.below(8)],
            1 => f64::from(u16::from_le_bytes(choices.array())) / 65_535.0,
            _ => f64::from_bits(u64::from_le_bytes(choices.array()) % (1.0_f64.to_bits() + 1)),
        };
        let length = match how / 3 % 3 {
            0 => 100 * (1 + choices.below(4) as u64),
            1 => choices.below(60_000) as u64,
            _ => u64::from(u32::from_le_bytes(choices.array())) >> (choices.byte() % 32),
        };
        let needle = "AB12CD".to_owned();
        let answer = [None, Some(""), Some(" \n"), Some("AB12CD"), Some("It is AB12CD."), Some("CD12AB")];
        let answer = answer[choices.below(6)].map(ToOwned::to_owned);
        let context = String::new();
        let (needle_position, context_length_chars) = (position, length);
        planted.push((Planted { id: None, context, needle, needle_position, context_length_chars }, answer));
    }
    let rule = RULES[usize::from(how / 9 % 4)];
    let mut scorer = Scorer::new(rule);
    for (planted, answer) in &planted {
        assert_eq!(scorer.add(planted, answer.as_deref()), right(rule, planted, answer));
    }
    let scores = scorer.finish();
    consistent(&scores, &planted, rule);
    let is_drawn = title % 8 == 1;
    let title = String::from_utf8_lossy(choices.bytes(usize::from(title) % 40)).into_owned();
    if is_drawn {
        drawn(&scores, &title);
    }
    let samples = u64::from_le_bytes(choices.array()) >> (choices.byte() % 64);
    let correct = u64::from_le_bytes(choices.array()) % samples.saturating_add(1).max(1);
    interval(Tally { samples, correct, missing: 0 });
}

fn right(rule: Rule, planted: &Planted, answer: &Option<String>) -> bool {
    answer.as_ref().is_some_and(|answer| is_right(rule, answer, &planted.needle))
}

/// That scores are those of these answers, each counted where it belongs.
fn consistent(scores: &Scores, answers: &[(Planted, Option<String>)], rule: Rule) {
    let tally = |is_in: &dyn Fn(&Planted) -> bool| {
        let mut tally = Tally::default();
        for (planted, answer) in answers.iter().filter(|(planted, _)| is_in(planted)) {
            tally.samples += 1;
            tally.correct += u64::from(right(rule, planted, answer));
            tally.missing +=
                u64::from(answer.as_ref().is_none_or(|text| text.chars().all(char::is_whitespace)));
        }
        tally
    };
    let holds = |band: Band, value: f64| {
        let Band { unit, low, high, .. } = band;
        match unit {
            _ if low == high => value == low,
            Unit::Depth => low <= value && (value < high || high == 1.0),
            Unit::Length => low <= value && value <= high,
        }
    };
    let depth = |band: Band| move |planted: &Planted| holds(band, planted.needle_position);
    let length = |band: Band| move |planted: &Planted| holds(band, planted.context_length_chars as f64);
    assert_eq!(scores.total(), tally(&|_| true));
    interval(scores.total());
    for (row, (band, found)) in scores.depths().enumerate() {
        assert_eq!(found, tally(&depth(band)), "{band:?}");
        interval(found);
        for (column, (other, _)) in scores.lengths().enumerate() {
            let both = |planted: &Planted| depth(band)(planted) && length(other)(planted);
            assert_eq!(scores.cell(row, column), Some(tally(&both)));
        }
        assert_eq!(scores.cell(row, scores.lengths().len()), None);
    }
    assert_eq!(scores.cell(scores.depths().len(), 0), None);
    for (band, found) in scores.lengths() {
        assert_eq!(found, tally(&length(band)), "{band:?}");
    }
    let sum = |tallies: &mut dyn Iterator<Item = (Band, Tally)>| {
        tallies.fold([0; 3], |[samples, correct, missing], (_, tally)| {
            [samples + tally.samples, correct + tally.correct, missing + tally.missing]
        })
    };
    let Tally { samples, correct, missing } = scores.total();
    assert_eq!(sum(&mut scores.depths()), [samples, correct, missing]);
    assert_eq!(sum(&mut scores.lengths()), [samples, correct, missing]);
}

/// Wilson's interval: between its ends lie the rates x that (p - x)^2 <= z^2 x (1 - x) / n is true of.
fn interval(tally: Tally) {
    let (Some(rate), Some((low, high))) = (tally.rate(), tally.interval()) else {
        assert!(tally.samples == 0 && tally.rate().is_none() && tally.interval().is_none());
        return;
    };
    let near = 1e-12;
    assert!(0.0 <= low && low <= rate + near && rate <= high + near && high <= 1.0, "{tally:?} {low} {high}");
    for x in [low, high] {
        let allowed = 1.959_964_f64.powi(2) * x * (1.0 - x) / tally.samples as f64;
        assert!(((rate - x).powi(2) - allowed).abs() < 1e-6, "{tally:?} {x}");
    }
}

fn drawn(scores: &Scores, title: &str) {
    for ledger in [None, Some(scores.total())] {
        let svg = scores.to_svg(title, ledger.as_ref());
        well_formed(&svg);
        assert_eq!(svg.contains("Exact recall"), ledger.is_some());
    }
    let table = scores.to_string();
    assert!(!table.lines().any(has_control));
    assert_eq!(table.lines().map(str::len).collect::<BTreeSet<_>>().len(), 1, "{table}");
}

/// Tags that open and close, attributes in quotes, each once, and no characters but those of XML 1.0.
fn well_formed(svg: &str) {
    assert!(!svg.chars().any(|c| c.is_control() && c != '\n' || matches!(c, '\u{fffe}' | '\u{ffff}')));
    let entities = |text: &str| {
        let good = ["amp;", "lt;", "gt;", "quot;"];
        text.split('&').skip(1).all(|behind| good.iter().any(|entity| behind.starts_with(entity)))
    };
    let (mut open, mut rest, mut roots) = (Vec::new(), svg, 0);
    while let Some((text, behind)) = rest.split_once('<') {
        assert!(entities(text) && !text.contains('>'), "{text}");
        assert!(!open.is_empty() || text.trim().is_empty(), "{text}");
        let (tag, behind) = behind.split_once('>').unwrap();
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let is_empty = tag.ends_with('/');
        let tag = tag.trim_end_matches('/');
        let (name, attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        assert!(!name.is_empty() && name.chars().all(char::is_alphanumeric), "{tag}");
        // Names and values by turns.
        let mut parts = attributes.split('"');
        let mut names = BTreeSet::new();
        while let Some((name, value)) = parts.next().zip(parts.next()) {
            let name = name.trim().strip_suffix('=').unwrap();
            assert!(names.insert(name) && entities(value), "{tag}");
        }
        assert_eq!(attributes.split('"').count() % 2, 1, "{tag}");
        roots += usize::from(open.is_empty());
        if !is_empty {
            open.push(name);
        }
    }
    assert!(open.is_empty() && roots == 1 && rest.trim().is_empty());
}

/// What is generated of a text that is the input, or comes with the crate.
fn samples_alike(choices: &mut Choices<'_>) {
    let [how, seed, count] = choices.array::<3>();
    let language = [Language::English, Language::Korean][usize::from(how % 2)];
    let (first, more) = (32 + choices.below(300) as u64, choices.below(80) as u64);
    let position = choices.f64();
    let texts: Vec<_> = choices.0.chunks(200).take(3).map(String::from_utf8_lossy).collect();
    let text = match how / 2 % 4 {
        0 => Ok(Haystack::built_in(language)),
        _ => Haystack::new(&texts),
    };
    let whole = texts.iter().map(|text| text.trim_end_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']));
    let whole = whole.collect::<Vec<_>>().join("\n");
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::Argument { .. }) && whole.split('\n').all(is_blank_text)
            );
            return;
        }
    };
    assert!(how / 2 % 4 == 0 || text.text() == whole);
    let paragraphs: Vec<&str> = text.text().split('\n').collect();
    assert_eq!(text.paragraphs(), paragraphs.iter().filter(|line| !is_blank_text(line)).count());
    let plan = match how / 8 % 2 {
        0 => Plan::random(1 + u64::from(count % 3), first, first + more),
        _ => Plan::grid([position, 0.0, 1.0][usize::from(count % 2)..].to_vec(), [first].to_vec(), 1),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Argument { .. }));
            assert!(how / 8 % 2 == 1 && count % 2 == 0 && !(0.0..=1.0).contains(&position));
            return;
        }
    };
    let count = plan.count();
    let samples: Vec<Sample> =
        Generator::new(&text, plan.clone(), language, seed.into()).map(|sample| sample.unwrap()).collect();
    assert_eq!(samples.len() as u64, count);
    let again = Generator::new(&text, plan, language, seed.into());
    assert!(again.map(|sample| sample.unwrap()).eq(samples.iter().cloned()));
    let [mut file, mut own, mut other, mut training, mut wrong] = [const { Vec::new() }; 5];
    for (i, sample) in samples.iter().enumerate() {
        planted_alike(sample, &text, &paragraphs);
        assert_eq!(sample.id, format!("{}-{seed}-{i}", language.code()));
        let exchanged: String = sample.needle.chars().rev().collect();
        let exchanged = if exchanged == sample.needle { "000001".into() } else { exchanged };
        sample.write(&mut file).unwrap();
        sample.write_answer(&sample.needle, &mut own).unwrap();
        sample.write_answer(&exchanged, &mut other).unwrap();
        sample.write_training(u32::from(seed), &mut training).unwrap();
        // Answers by id, the last first, with what surrounds them.
        let line = serde_json::json!({ "id": sample.id, "prediction": language.sentence(&sample.needle) });
        wrong.splice(0..0, format!("{line}\n\n").bytes());
    }
    let lines: Vec<Value> = String::from_utf8(file.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), samples.len());
    for (line, sample) in lines.iter().zip(&samples) {
        let expected = serde_json::json!({
            "context": sample.context, "question": language.question(), "answer": sample.needle,
            "needle": sample.needle, "needle_position": sample.needle_position,
            "context_length_chars": sample.context_length_chars, "id": sample.id, "language": language.code(),
        });
        assert_eq!(line, &expected);
    }
    for (file, correct) in [(&own, count), (&other, 0)] {
        for rule in RULES {
            let mut scorer = Scorer::new(rule);
            scorer.answers(&file[..], "prediction").unwrap();
            assert_eq!(scorer.finish().total(), Tally { samples: count, correct, missing: 0 });
        }
    }
    // No answers at all, and the training samples.
    for file in [&file, &training] {
        let mut scorer = Scorer::new(RULES[0]);
        scorer.answers(&file[..], "prediction").unwrap();
        assert_eq!(scorer.finish().total(), Tally { samples: count, correct: 0, missing: count });
    }
    for (answers, join, correct) in
        [(&wrong, Join::Id, count), (&own, Join::Line, count), (&other, Join::Id, 0), (&other, Join::Line, 0)]
    {
        let mut scorer = Scorer::new(RULES[0]);
        scorer.joined(&file[..], &answers[..], "prediction", join).unwrap();
        assert_eq!(scorer.finish().total(), Tally { samples: count, correct, missing: 0 });
    }
}

/// The sentence in the text, where it belongs.
fn planted_alike(sample: &Sample, text: &Haystack, paragraphs: &[&str]) {
    let needle = sample.needle.as_str();
    assert!(needle.len() == 6 && needle.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()));
    assert_eq!(sample.context.to_ascii_uppercase().matches(needle).count(), 1);
    let chars: Vec<char> = sample.context.chars().collect();
    assert_eq!(chars.len() as u64, sample.context_length_chars);
    let sentence: Vec<char> = sample.language.sentence(needle).chars().collect();
    let left = chars.len() - sentence.len();
    let at = (left as f64 * sample.needle_position) as usize;
    assert_eq!(chars[at..at + sentence.len()], sentence);
    let rest = [&chars[..at], &chars[at + sentence.len()..]].concat();
    // From one of the paragraphs on, over and over.
    let starts = (0..paragraphs.len()).filter(|&i| !is_blank_text(paragraphs[i]));
    let from_one = starts.into_iter().any(|i| {
        let first = paragraphs[i..].join("\n");
        first
            .chars()
            .chain("\n".chars().chain(text.text().chars()).cycle())
            .take(left)
            .eq(rest.iter().copied())
    });
    assert!(from_one, "{:?}", sample.context);
}

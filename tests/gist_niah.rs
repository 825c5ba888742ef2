//! Needle in a haystack, against samples and numbers that Python made (tests/data/gist/niah/*.py), and against answers whose
//! score is known because of how they were made.
#![cfg(feature = "niah")]

use std::collections::BTreeSet;

use bitwire::ErrorKind;
use bitwire::gist::niah::{
    Generator, Haystack, Join, JoinError, Language, Plan, Planted, Rule, Sample, Scorer, Scores, Tally,
    TextTokens, Unit, read_answers, read_joined,
};
use bitwire::io::Cause;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const PUBLISHED: &str = include_str!("data/gist/niah_seed1234.jsonl");

fn peer() -> Value {
    serde_json::from_str(include_str!("data/gist/niah/peer.json")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn english(plan: Plan, seed: u64) -> Vec<Sample> {
    let text = Haystack::built_in(Language::English);
    Generator::new(&text, plan, Language::English, seed).map(Result::unwrap).collect()
}

/// Answers to samples, as a file of lines.
fn answered(samples: &[Sample], answer: impl Fn(usize, &Sample) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, sample) in samples.iter().enumerate() {
        sample.write_answer(&answer(i, sample), &mut out).unwrap();
    }
    out
}

fn scores(lines: &[u8], rule: Rule) -> Scores {
    let mut scorer = Scorer::new(rule);
    scorer.answers(lines, "prediction").unwrap();
    scorer.finish()
}

fn counts(tally: Tally) -> (u64, u64, u64) {
    (tally.correct, tally.samples, tally.missing)
}

#[test]
fn samples_are_those_that_python_makes() {
    let peer = peer();
    let cases = peer["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let language = Language::from_code(case["language"].as_str().unwrap()).unwrap();
        let text = match case["texts"].as_array() {
            None => Haystack::built_in(language),
            Some(texts) => Haystack::new(texts.iter().map(|text| text.as_str().unwrap())).unwrap(),
        };
        let number = |value: &Value| value.as_u64().unwrap();
        let plan = match (&case["grid"], &case["random"]) {
            (Value::Array(grid), _) => Plan::grid(
                grid[0].as_array().unwrap().iter().map(|depth| depth.as_f64().unwrap()).collect(),
                grid[1].as_array().unwrap().iter().map(number).collect(),
                number(&grid[2]),
            ),
            (_, Value::Array(random)) => {
                Plan::random(number(&random[0]), number(&random[1]), number(&random[2]))
            }
            _ => unreachable!(),
        }
        .unwrap();
        assert_eq!(plan.count(), number(&case["samples"]), "{name}");
        for _ in 0..2 {
            let mut lines = Vec::new();
            let mut first = None;
            for sample in Generator::new(&text, plan.clone(), language, number(&case["seed"])) {
                let sample = sample.unwrap();
                sample.write(&mut lines).unwrap();
                first = first.or(Some(json!([
                    sample.needle,
                    sample.needle_position,
                    sample.context_length_chars
                ])));
            }
            assert_eq!(first.as_ref(), Some(&case["first"]), "{name}");
            assert_eq!(lines.len() as u64, number(&case["bytes"]), "{name}");
            assert_eq!(hex(&Sha256::digest(&lines)), case["sha256"], "{name}");
        }
    }
}

#[test]
fn the_sentence_stands_where_the_poc_puts_it() {
    // insert_needle of the PoC: (context_chars, position, insert_index).
    for (chars, position, index) in [
        (10, 0.0, 0),
        (10, 0.2, 2),
        (10, 0.333, 3),
        (10, 0.5, 5),
        (10, 0.8, 8),
        (10, 1.0, 10),
        (1000, 0.0, 0),
        (1000, 0.2, 200),
        (1000, 0.333, 333),
        (1000, 0.5, 500),
        (1000, 0.8, 800),
        (1000, 1.0, 1000),
        (777, 0.0, 0),
        (777, 0.2, 155),
        (777, 0.333, 258),
        (777, 0.5, 388),
        (777, 0.8, 621),
        (777, 1.0, 777),
    ] {
        for (language, sentence) in [(Language::English, 31), (Language::Korean, 20)] {
            let (chars, text) = (chars + 21, Haystack::built_in(language));
            let plan = Plan::grid(vec![position], vec![chars + sentence], 1).unwrap();
            let sample = Generator::new(&text, plan, language, 3).next().unwrap().unwrap();
            assert_eq!(sample.context.chars().count() as u64, chars + sentence);
            let sentence = language.sentence(&sample.needle);
            let at = sample.context.find(&sentence).unwrap();
            assert_eq!(sample.context[..at].chars().count(), (chars as f64 * position) as usize);
        }
        // At the very size of the case, where the sentence leaves that much.
        let plan = Plan::grid(vec![position], vec![chars + 31], 1).unwrap();
        let sample = &english(plan, 1)[0];
        let at = sample.context.find(&Language::English.sentence(&sample.needle)).unwrap();
        assert_eq!(sample.context[..at].chars().count(), index);
    }
}

#[test]
fn members_are_those_of_the_poc_in_its_order() {
    let keys = |line: &str| -> Vec<String> {
        let line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        line.keys().cloned().collect()
    };
    // Maps of serde_json are sorted: the order is looked for in the text.
    let order = |line: &str, keys: &[&str]| {
        let places: Vec<_> = keys.iter().map(|key| line.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(places[0], 1);
    };
    let sample = &english(Plan::grid(vec![0.5], vec![100], 1).unwrap(), 5)[0];
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    let poc = ["context", "question", "answer", "needle", "needle_position", "context_length_chars"];
    let line = text(&|out| sample.write(out).unwrap());
    order(&line, &[&poc[..], &["id", "language"]].concat());
    assert_eq!(keys(&line).len(), 8);
    let published: Value = serde_json::from_str(PUBLISHED.lines().next().unwrap()).unwrap();
    assert!(poc.iter().all(|key| published.get(key).is_some()));
    assert_eq!(published.as_object().unwrap().len(), 6);

    let line = text(&|out| sample.write_training(3, out).unwrap());
    order(&line, &["instruction", "context", "gist_tokens", "question", "answer", "needle"]);
    let training: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(training["gist_tokens"], "<GIST_0><GIST_1><GIST_2>");
    assert_eq!(
        training["instruction"],
        "Read the following text carefully and compress its key information into the Gist tokens provided. Then answer \
         the question based solely on the information stored in the Gist tokens."
    );
    assert_eq!(training["question"], published["question"]);
    assert_eq!(training["answer"], sample.needle);
}

#[test]
fn a_thousand_needles_are_all_found() {
    // The PoC's pattern finds 3 of 1,000 of its own.
    let samples = english(Plan::random(1000, 32, 300).unwrap(), 1234);
    let needles: BTreeSet<&str> = samples.iter().map(|sample| sample.needle.as_str()).collect();
    assert_eq!(needles.len(), 1000);
    for sample in &samples {
        assert!(sample.needle.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
        assert_eq!((sample.needle.len(), sample.context.matches(&sample.needle).count()), (6, 1));
    }
    let lines = answered(&samples, |_, sample| sample.needle.clone());
    assert_eq!(counts(scores(&lines, Rule::default()).total()), (1000, 1000, 0));
    assert_eq!(counts(scores(&lines, Rule::default().exact(true)).total()), (1000, 1000, 0));
    // The context itself holds it, in its own words.
    let lines = answered(&samples, |_, sample| sample.context.clone());
    assert_eq!(counts(scores(&lines, Rule::default()).total()), (1000, 1000, 0));
    assert_eq!(counts(scores(&lines, Rule::default().exact(true)).total()), (0, 1000, 0));
    // The answer to another sample.
    let lines = answered(&samples, |i, _| samples[(i + 1) % 1000].needle.clone());
    assert_eq!(counts(scores(&lines, Rule::default()).total()), (0, 1000, 0));
    let lines = answered(&samples, |_, sample| sample.needle.to_lowercase());
    let digits = samples.iter().filter(|s| s.needle.bytes().all(|b| b.is_ascii_digit())).count() as u64;
    assert_eq!(counts(scores(&lines, Rule::default()).total()), (digits, 1000, 0));
    assert_eq!(counts(scores(&lines, Rule::default().ignore_case(true)).total()), (1000, 1000, 0));
}

#[test]
fn the_published_samples_score() {
    let lines = |answer: &dyn Fn(&Value) -> Value| -> Vec<u8> {
        let mut out = String::new();
        for line in PUBLISHED.lines() {
            let mut sample: Value = serde_json::from_str(line).unwrap();
            sample["prediction"] = answer(&sample);
            out.push_str(&sample.to_string());
            out.push('\n');
        }
        out.into_bytes()
    };
    let total = |lines: &[u8]| counts(scores(lines, Rule::default()).total());
    assert_eq!(total(&lines(&|sample| sample["needle"].clone())), (4, 4, 0));
    let sentence = |sample: &Value| format!("The secret passkey is {}.", sample["needle"].as_str().unwrap());
    assert_eq!(total(&lines(&|sample| sentence(sample).into())), (4, 4, 0));
    // What the PoC's pattern takes for a passkey.
    assert_eq!(total(&lines(&|_| "The passkey is 12345.".into())), (0, 4, 0));
    assert_eq!(total(&lines(&|_| Value::Null)), (0, 4, 4));
    assert_eq!(total(&lines(&|_| "".into())), (0, 4, 4));
    assert_eq!(total(&lines(&|_| " \n\u{3000}".into())), (0, 4, 4));
    assert_eq!(total(PUBLISHED.as_bytes()), (0, 4, 4));
    assert_eq!(total(&[]), (0, 0, 0));
}

#[test]
fn words_end_where_letters_and_digits_of_ascii_do() {
    let plain = Rule::default();
    for (answer, found, exact) in [
        ("YD1IB2", true, true),
        ("\"YD1IB2\".", true, true),
        ("  **YD1IB2**\n", true, true),
        ("「YD1IB2」", true, true),
        ("_YD1IB2_", true, true),
        ("The secret passkey is YD1IB2.", true, false),
        ("비밀 패스키는 YD1IB2입니다.", true, false),
        ("YD1IB2이", true, false),
        ("키YD1IB2를", true, false),
        ("éYD1IB2é", true, false),
        ("XYD1IB2", false, false),
        ("YD1IB22", false, false),
        ("YD1IB2YD1IB2", false, false),
        ("YD1IB2YD1IB2 YD1IB2", true, false),
        ("yd1ib2", false, false),
        ("YD1IB", false, false),
        ("Y D 1 I B 2", false, false),
        ("YD1-IB2", false, false),
        ("", false, false),
        ("\u{ff39}\u{ff24}1IB2", false, false),
    ] {
        assert_eq!(plain.accepts(answer, "YD1IB2"), found, "{answer:?}");
        assert_eq!(plain.exact(true).accepts(answer, "YD1IB2"), exact, "{answer:?}");
    }
    let any_case = plain.ignore_case(true);
    assert!(any_case.accepts("it is yd1Ib2!", "YD1IB2") && any_case.exact(true).accepts("yd1ib2", "YD1IB2"));
    assert!(!any_case.accepts("xyd1ib2", "YD1IB2"));
    assert!(!plain.accepts("anything", "") && !any_case.accepts("", ""));
}

#[test]
fn rates_by_depth_and_length_are_those_the_answers_were_made_with() {
    let depths = vec![0.0, 0.25, 0.5, 0.75, 1.0];
    let samples = english(Plan::grid(depths, vec![100, 200, 400], 4).unwrap(), 11);
    // Perfect at 0 and 100 %, never at 50 %, one of four at 25 %, and at 75 % by the length: all, half, none.
    let lines = answered(&samples, |i, sample| {
        let right = match sample.needle_position {
            0.0 | 1.0 => true,
            0.25 => i % 4 == 0,
            0.75 => {
                i % 4
                    < [4, 2, 0][usize::from(sample.context_length_chars > 100)
                        + usize::from(sample.context_length_chars > 200)]
            }
            _ => false,
        };
        if right { format!("It is {}.", sample.needle) } else { "I do not know.".to_owned() }
    });
    let scores = scores(&lines, Rule::default());
    let bands: Vec<_> =
        scores.depths().map(|(band, tally)| (band.to_string(), tally.correct, tally.samples)).collect();
    let band = |name: &str, correct, samples| (name.to_owned(), correct, samples);
    assert_eq!(
        bands,
        [
            band("0%", 12, 12),
            band("25%", 3, 12),
            band("50%", 0, 12),
            band("75%", 6, 12),
            band("100%", 12, 12)
        ]
    );
    let bands: Vec<_> =
        scores.lengths().map(|(band, tally)| (band.to_string(), tally.correct, tally.samples)).collect();
    assert_eq!(bands, [band("100", 13, 20), band("200", 11, 20), band("400", 9, 20)]);
    assert_eq!(counts(scores.total()), (33, 60, 0));
    let cells: Vec<Vec<u64>> = (0..5)
        .map(|depth| (0..3).map(|length| scores.cell(depth, length).unwrap().correct).collect())
        .collect();
    assert_eq!(cells, [[4, 4, 4], [1, 1, 1], [0, 0, 0], [4, 2, 0], [4, 4, 4]]);
    assert!(
        scores.cell(5, 0).is_none() && scores.cell(0, 3).is_none() && scores.cell(usize::MAX, 2).is_none()
    );

    let table = scores.to_string();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 13);
    assert_eq!(
        rows[0].split_whitespace().collect::<Vec<_>>(),
        ["depth", "\\", "length", "100", "200", "400", "all"]
    );
    // 1 of 4: Wilson 4.6 to 69.9 %. 3 of 12: 8.9 to 53.2 %.
    let words = |row: usize| rows[row].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(3), "25% 25% (4) 25% (4) 25% (4) 25% (12)");
    assert_eq!(words(4), "5-70 5-70 5-70 9-53");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));

    let svg = scores.to_svg("A & B <model>\u{1}", Some(&scores.total()));
    assert_eq!(svg, scores.to_svg("A & B <model>", Some(&scores.total())));
    assert!(svg.contains(">A &amp; B &lt;model&gt;</text>") && !svg.contains("<model>"));
    assert!(
        svg.contains("<title>depth 75%, length 200: 2 of 4, 50.0 % (95 % interval 15.0 to 85.0 %)</title>")
    );
    assert!(svg.contains("Exact recall of the ledger: 33 of 60, 55%"));
    assert_eq!(svg.matches("<g>").count(), 15);
    // Viridis at 0, 50 and 100 %.
    assert_eq!(svg.matches(r##"fill="#440154" stroke"##).count(), 4);
    assert_eq!(svg.matches(r##"fill="#21918c" stroke"##).count(), 1);
    assert_eq!(svg.matches(r##"fill="#fde725" stroke"##).count(), 7);
}

#[test]
fn what_is_not_all_is_not_a_hundred_percent() {
    let samples = english(Plan::grid(vec![0.5], vec![40], 1000).unwrap(), 2);
    for (wrong, rate, interval) in
        [(0, " 100% (1000)", " 100-100"), (1, " 99% (1000)", " 99-100"), (999, " 1% (1000)", " 0-1 ")]
    {
        let lines =
            answered(&samples, |i, sample| if i < wrong { "no".into() } else { sample.needle.clone() });
        let table = scores(&lines, Rule::default()).to_string();
        assert!(table.contains(rate) && table.contains(interval), "{table}");
    }
}

#[test]
fn intervals_are_those_of_wilson() {
    let samples = english(Plan::grid(vec![0.5], vec![32], 1000).unwrap(), 2);
    let interval = |correct: usize, n: usize| {
        let lines =
            answered(
                &samples[..n],
                |i, sample| {
                    if i < correct { sample.needle.clone() } else { "none".to_owned() }
                },
            );
        scores(&lines, Rule::default()).total().interval().unwrap()
    };
    // By the roots of the quadratic equation, in Python.
    let peer = peer();
    let mut count = 0;
    for row in peer["wilson"].as_array().unwrap() {
        let (correct, n) = (row[0].as_u64().unwrap() as usize, row[1].as_u64().unwrap() as usize);
        if n <= 1000 {
            let (low, high) = interval(correct, n);
            assert!((low - row[2].as_f64().unwrap()).abs() < 1e-12, "{row} {low}");
            assert!((high - row[3].as_f64().unwrap()).abs() < 1e-12, "{row} {high}");
            count += 1;
        }
    }
    assert_eq!(count, 9);
    // Newcombe 1998, table I, method 3, to 4 places.
    for (correct, n, low, high) in
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
    {
        let (l, h) = interval(correct, n);
        assert!((l - low).abs() < 5.1e-5 && (h - high).abs() < 5.1e-5, "{correct} of {n}: {l} {h}");
    }
    assert_eq!(interval(20, 20).1, 1.0);
    assert_eq!(interval(0, 20).0, 0.0);
    assert_eq!((Tally::default().rate(), Tally::default().interval()), (None, None));
}

#[test]
fn random_positions_and_lengths_are_put_into_bins() {
    let samples = english(Plan::random(300, 231, 831).unwrap(), 4);
    let lines =
        answered(
            &samples,
            |_, sample| {
                if sample.needle_position < 0.5 { sample.needle.clone() } else { String::new() }
            },
        );
    let binned = scores(&lines, Rule::default());
    let depths: Vec<_> = binned.depths().collect();
    assert_eq!(depths.len(), 10);
    for (i, (band, tally)) in depths.iter().enumerate() {
        assert_eq!(band.unit, Unit::Depth);
        assert_eq!(band.to_string(), format!("{}-{}%", 10 * i, 10 * i + 10));
        let (low, high) = (i as f64 / 10.0, (i + 1) as f64 / 10.0);
        let here: Vec<_> = samples.iter().filter(|s| (low..high).contains(&s.needle_position)).collect();
        let right = if i < 5 { here.len() } else { 0 };
        assert_eq!(counts(*tally), (right as u64, here.len() as u64, (here.len() - right) as u64));
    }
    let lengths: Vec<_> = binned.lengths().collect();
    let names: Vec<_> = lengths.iter().map(|(band, _)| band.to_string()).collect();
    // 600 apart: bins of 100 are the narrowest of which ten do.
    assert_eq!(names, ["200-299", "300-399", "400-499", "500-599", "600-699", "700-799", "800-899"]);
    for (band, tally) in lengths {
        let here =
            samples.iter().filter(|s| (band.low..=band.high).contains(&(s.context_length_chars as f64)));
        assert_eq!(tally.samples, here.count() as u64);
    }
    // A cell without samples.
    assert_eq!(binned.cell(0, 0), Some(Tally::default()));
    assert!(binned.to_string().contains(" - ") && binned.to_svg("", None).contains("fill=\"#e2e2e2\""));

    // Few lengths, many samples: each length stays, whatever the positions.
    let mut mixed = Vec::new();
    for (i, length) in [700, 300, 500].into_iter().enumerate() {
        mixed.extend(english(Plan::random(40, length, length).unwrap(), i as u64));
    }
    let mixed = scores(&answered(&mixed, |_, sample| sample.needle.clone()), Rule::default());
    let names: Vec<_> = mixed.lengths().map(|(band, tally)| (band.to_string(), tally.samples)).collect();
    assert_eq!(names, [("300".to_owned(), 40), ("500".to_owned(), 40), ("700".to_owned(), 40)]);
    assert_eq!(mixed.depths().len(), 10);
    let all_at_the_end = english(Plan::grid(vec![1.0], (100..200).collect(), 1).unwrap(), 1);
    let end = scores(&answered(&all_at_the_end, |_, sample| sample.needle.clone()), Rule::default());
    assert_eq!(end.depths().map(|(band, _)| band.to_string()).collect::<Vec<_>>(), ["100%"]);
    assert_eq!(end.lengths().len(), 10);
}

/// Three depths in every tenth: its start, its middle, and the last number before the next.
#[test]
fn the_last_depth_before_a_tenth_is_not_in_it() {
    let depths = (0..10).flat_map(|i| {
        let end = |i: i32| f64::from(i) / 10.0;
        [end(i), end(i) + 0.05, f64::from_bits(end(i + 1).to_bits() - 1)]
    });
    let mut samples = Vec::new();
    for (depth, length) in depths.zip(100..) {
        samples.extend(english(Plan::grid(vec![depth], vec![length], 1).unwrap(), length));
    }
    let binned = scores(&answered(&samples, |_, sample| sample.needle.clone()), Rule::default());
    assert_eq!(binned.depths().map(|(_, tally)| tally.samples).collect::<Vec<_>>(), [3; 10]);
}

#[test]
fn lines_that_cannot_be_scored() {
    let good = PUBLISHED.lines().next().unwrap();
    let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut sample: Value = serde_json::from_str(good).unwrap();
        change(sample.as_object_mut().unwrap());
        sample.to_string().into_bytes()
    };
    let set =
        |key: &'static str, value: Value| with(&|sample| drop(sample.insert(key.into(), value.clone())));
    let without = |key: &'static str| with(&|sample| drop(sample.remove(key)));
    let twice = |member: &str| format!("{},{member}}}", &good[..good.len() - 1]).into_bytes();
    let no_needle = "no needle: the line is no sample";
    let bad_needle = "the needle is not 6 letters and digits";
    let no_position = "no needle_position from 0 to 1";
    let not_planted = "the needle does not stand in the context: it was not planted there";
    for (line, reason, at) in [
        (b"{}".to_vec(), no_needle, 0),
        (without("needle"), no_needle, 0),
        (set("needle", Value::Null), no_needle, 0),
        (set("needle", "".into()), bad_needle, 0),
        (set("needle", "YD1IB".into()), bad_needle, 0),
        (set("needle", "YD1IB2 ".into()), bad_needle, 0),
        (set("needle", "패스".into()), bad_needle, 0),
        (set("answer", "YD1IB3".into()), "the member 'answer' is not the needle", 0),
        (without("needle_position"), no_position, 0),
        (set("needle_position", json!(1.0001)), no_position, 0),
        (set("needle_position", json!(-0.1)), no_position, 0),
        (without("context"), "no context, so that nothing shows that the needle was planted", 0),
        (set("context", "It is YD1IB3.".into()), not_planted, 0),
        (set("context", "It is XYD1IB2.".into()), not_planted, 0),
        (
            set("context_length_chars", json!(678)),
            "context_length_chars is not the number of characters of the context",
            0,
        ),
        (b"[]".to_vec(), "not a JSON object", 0),
        (b"\"YD1IB2\"".to_vec(), "not a JSON object", 0),
        (b"null".to_vec(), "not a JSON object", 0),
        (b"{".to_vec(), "not valid JSON", 0),
        (b"{\"needle\": }".to_vec(), "not valid JSON", 11),
        (b"{} {}".to_vec(), "not valid JSON", 3),
        // Not all there: at its end, not where the next line starts.
        (b"{\"a\":1".to_vec(), "not valid JSON", 5),
        (b"{\"a\":[1,2] \t\r".to_vec(), "not valid JSON", 9),
        (b"{\"a\":\"\xff\"}".to_vec(), "not UTF-8", 6),
        (twice("\"needle\":\"YD1IB2\""), "a member comes twice", 0),
        (b"{\"prediction\":\"a\",\"prediction\":\"a\"}".to_vec(), "a member comes twice", 0),
        (b"{\"id\":7}".to_vec(), "id is not a string", 0),
        (b"{\"prediction\":7}".to_vec(), "the answer is not a string or null", 0),
        (b"{\"needle_position\":\"7\"}".to_vec(), "needle_position is not a number", 0),
        (b"{\"context_length_chars\":-1}".to_vec(), "context_length_chars is not a whole number", 0),
    ] {
        // After a good line and one of white space.
        let file = [good.as_bytes(), b"\n \t\n", &line, b"\n{}"].concat();
        let mut seen = 0;
        let error = read_answers(&file[..], "prediction", |_, _| seen += 1).unwrap_err();
        let Cause::Format(error) = error else { panic!("{error}") };
        let text = String::from_utf8_lossy(&line);
        assert_eq!(error.kind(), ErrorKind::SampleLine { line: 3, reason }, "{text}");
        assert_eq!(seen, 1);
        assert_eq!(error.offset(), (good.len() + 4 + at) as u64, "{text}");
    }
    // Unknown members may come twice, and hold anything; the last line needs no line feed.
    let line = twice("\"x\":[{\"needle\":1}],\"x\":1e9");
    let mut scorer = Scorer::new(Rule::default());
    scorer.answers(&line[..], "prediction").unwrap();
    assert_eq!(counts(scorer.finish().total()), (0, 1, 1));
    // The answer may have a name of its own, also one of a sample's.
    let mut scorer = Scorer::new(Rule::default());
    scorer.answers(&set("output", "YD1IB2".into())[..], "output").unwrap();
    scorer.answers(&set("answer", "wrong".into())[..], "answer").unwrap();
    scorer.answers(good.as_bytes(), "answer").unwrap();
    assert_eq!(counts(scorer.finish().total()), (2, 3, 0));
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    let endless = std::io::BufReader::new(std::io::repeat(b' '));
    let error = read_answers(endless, "prediction", |_, _| ()).unwrap_err();
    assert_eq!(error.to_string(), "line 1: longer than 268435456 bytes (at byte 0)");
}

#[test]
fn samples_and_answers_in_two_files() {
    let samples = english(Plan::grid(vec![0.0, 1.0], vec![64, 128], 2).unwrap(), 9);
    let mut file = Vec::new();
    samples.iter().for_each(|sample| sample.write(&mut file).unwrap());
    let answer = |i: usize, text: &str| json!({ "id": samples[i].id, "prediction": text }).to_string();
    let lines = |lines: &[String]| lines.join("\n").into_bytes();
    let score = |answers: &[u8], join: Join| {
        let mut scorer = Scorer::new(Rule::default());
        scorer.joined(&file[..], answers, "prediction", join).map(|()| counts(scorer.finish().total()))
    };
    let right: Vec<String> = (0..8).map(|i| answer(i, &samples[i].needle)).collect();
    assert_eq!(score(&lines(&right), Join::Id).unwrap(), (8, 8, 0));
    assert_eq!(score(&lines(&right), Join::Line).unwrap(), (8, 8, 0));
    let backwards: Vec<String> = right.iter().rev().cloned().collect();
    assert_eq!(score(&lines(&backwards), Join::Id).unwrap(), (8, 8, 0));
    assert_eq!(score(&lines(&backwards), Join::Line).unwrap(), (0, 8, 0));
    // Answers that are missing, in one way or another.
    let some = [right[1].clone(), answer(0, ""), json!({ "id": samples[7].id }).to_string()];
    assert_eq!(score(&lines(&some), Join::Id).unwrap(), (1, 8, 7));

    let reason = |result: Result<(u64, u64, u64), JoinError>| result.unwrap_err().to_string();
    assert_eq!(
        reason(score(&lines(&right[..7]), Join::Line)),
        format!(
            "samples: line 8: no answer is left for this sample and those after it (at byte {})",
            file.len() - file.split_inclusive(|&b| b == b'\n').next_back().unwrap().len()
        )
    );
    let more = [&right[..], &right[..1]].concat();
    let at = lines(&right).len() + 1;
    assert_eq!(
        reason(score(&lines(&more), Join::Line)),
        format!("answers: line 9: there is no sample that it answers (at byte {at})")
    );
    assert_eq!(
        reason(score(&lines(&more), Join::Id)),
        format!("answers: line 9: the id was on an earlier line (at byte {at})")
    );
    let stranger = [&right[..], &[json!({"id": "en-9-8", "prediction": ""}).to_string()]].concat();
    assert_eq!(
        reason(score(&lines(&stranger), Join::Id)),
        format!("answers: line 9: there is no sample that it answers (at byte {at})")
    );
    assert!(reason(score(b"{\"prediction\":\"x\"}", Join::Id)).starts_with("answers: line 1: no id"));
    let mut scorer = Scorer::new(Rule::default());
    let found = scorer.joined(PUBLISHED.as_bytes(), &b""[..], "prediction", Join::Id).unwrap_err();
    assert!(found.to_string().starts_with("samples: line 1: no id to find the answer by"));
    let doubled = [&file[..], &file[..]].concat();
    let twice = |answers: &[u8]| read_joined(&doubled[..], answers, "prediction", Join::Id, |_, _| ());
    for answers in [&lines(&right)[..], b""] {
        let text = twice(answers).unwrap_err().to_string();
        assert!(text.starts_with("samples: line 9: the id was on an earlier line"), "{text}");
    }
}

#[test]
fn plans_and_texts_that_are_none() {
    let expected = |result: Result<Plan, bitwire::Error>| {
        matches!(result.unwrap_err().kind(), ErrorKind::Argument { .. })
    };
    for depth in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(expected(Plan::grid(vec![depth], vec![100], 1)));
    }
    for length in [0, 31, (1 << 24) + 1, u64::MAX] {
        assert!(expected(Plan::grid(vec![0.5], vec![length], 1)));
        assert!(expected(Plan::random(1, length, length)));
    }
    assert!(expected(Plan::grid(vec![], vec![100], 1)) && expected(Plan::grid(vec![0.5], vec![], 1)));
    assert!(expected(Plan::grid(vec![0.5; 3], vec![100; 2], u64::MAX / 5)));
    assert!(expected(Plan::grid(vec![0.5], vec![100], 0)) && expected(Plan::random(0, 50, 60)));
    assert!(expected(Plan::random(1, 60, 50)));
    let plan = Plan::grid(vec![-0.0], vec![32], 1).unwrap();
    assert!(english(plan, 0)[0].needle_position.is_sign_positive());
    for text in ["", " \n\t \r\n"] {
        assert!(matches!(Haystack::new([text]).unwrap_err().kind(), ErrorKind::Argument { .. }));
    }
    assert!(Haystack::new([""; 0]).is_err());
}

#[test]
fn a_text_full_of_passkeys_gets_another() {
    // The first needle of seed 7 is FXCTNC (Python): the text has it, in small letters.
    let text = Haystack::new(["over and over fxctnc and on and on and on"]).unwrap();
    let plan = Plan::grid(vec![0.5], vec![400], 1).unwrap();
    let sample = Generator::new(&text, plan.clone(), Language::English, 7).next().unwrap().unwrap();
    assert_ne!(sample.needle, "FXCTNC");
    let plain = Haystack::new(["over and over and on and on and on"]).unwrap();
    let sample = Generator::new(&plain, plan, Language::English, 7).next().unwrap().unwrap();
    assert_eq!(sample.needle, "FXCTNC");
}

#[test]
fn built_in_texts_hold_nothing_like_a_passkey() {
    for language in [Language::English, Language::Korean] {
        let text = Haystack::built_in(language);
        assert_eq!(text.paragraphs(), 5);
        let words = text.text().split(|c: char| !c.is_ascii_alphanumeric());
        for word in words.filter(|word| word.len() >= 6) {
            assert!(word.bytes().any(|byte| byte.is_ascii_lowercase()), "{word}");
        }
        assert!(!text.text().bytes().any(|byte| byte.is_ascii_digit()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A word search of another make: split at what is no letter or digit of ASCII.
    #[test]
    fn words_as_split_finds_them(answer in "[A-C0-1 .입éa-c]{0,24}", needle in "[A-C0-1]{6}", ignore in any::<bool>()) {
        let answer = format!("{answer}{needle}{}", &answer[..answer.chars().next().map_or(0, char::len_utf8)]);
        let fold = |text: &str| if ignore { text.to_ascii_uppercase() } else { text.to_owned() };
        let expected = fold(&answer).split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == fold(&needle));
        prop_assert_eq!(Rule::default().ignore_case(ignore).accepts(&answer, &needle), expected);
    }

    /// Samples of any text come back as they were written, and the needle as the answer is right.
    #[test]
    fn samples_come_back(
        text in "[a-z \n두\u{1f600}\\\\\"\u{1}]{0,40}x[a-z\n]{0,9}", seed in any::<u64>(), depth in 0.0..=1.0,
        length in 32_u64..300, korean in any::<bool>(),
    ) {
        let text = Haystack::new([text]).unwrap();
        let language = if korean { Language::Korean } else { Language::English };
        let plan = Plan::grid(vec![depth], vec![length], 2).unwrap();
        let samples: Vec<Sample> = Generator::new(&text, plan, language, seed).map(Result::unwrap).collect();
        let mut back: Vec<Planted> = vec![];
        let lines = answered(&samples, |_, sample| language.sentence(&sample.needle));
        let mut scorer = Scorer::new(Rule::default());
        read_answers(&lines[..], "prediction", |planted, answer| {
            assert!(scorer.add(planted, answer));
            back.push(planted.clone());
        })
        .unwrap();
        for (back, sample) in back.iter().zip(&samples) {
            prop_assert_eq!(back.id.as_deref(), Some(sample.id.as_str()));
            prop_assert_eq!(&back.context, &sample.context);
            prop_assert_eq!(&back.needle, &sample.needle);
            prop_assert_eq!(back.needle_position, sample.needle_position);
            prop_assert_eq!(back.context_length_chars, length);
        }
        prop_assert_eq!(back.len(), 2);
    }

    /// Whatever the bytes, reading ends in a score or an error.
    #[test]
    fn any_bytes(lines in prop::collection::vec(any::<u8>(), 0..200), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
        drop(read_answers(&lines[..], "prediction", |_, _| ()));
        let mut lines = PUBLISHED.as_bytes().to_vec();
        let at = cut.index(lines.len());
        lines[at] = byte;
        drop(read_answers(&lines[..], "prediction", |planted, _| assert_eq!(planted.needle.len(), 6)));
        drop(read_joined(&lines[..], &lines[..at], "needle", Join::Line, |_, _| ()));
    }
}

mod ledgers {
    use super::*;
    use bitwire::gist::niah::{LedgerFault, LedgerRecall, write_spans};
    use bitwire::ledger::{LedgerError, LedgerOptions, LedgerReader, LedgerWriter};
    use std::path::{Path, PathBuf};

    fn write(folder: &Path, samples: &[Sample]) -> PathBuf {
        let path = folder.join("a.ledger");
        let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(128)).unwrap();
        samples.iter().for_each(|sample| write_spans(sample, &mut writer).unwrap());
        writer.commit().unwrap();
        path
    }

    fn planted(samples: &[Sample]) -> Vec<Planted> {
        let (lines, mut out) = (answered(samples, |_, _| String::new()), vec![]);
        read_answers(&lines[..], "prediction", |planted, _| out.push(planted.clone())).unwrap();
        out
    }

    #[test]
    fn a_ledger_recalls_every_passkey_and_a_damaged_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let text = Haystack::built_in(Language::Korean);
        let plan = Plan::grid(vec![0.0, 0.5, 1.0], vec![50, 300], 3).unwrap();
        let samples: Vec<Sample> =
            Generator::new(&text, plan, Language::Korean, 8).map(Result::unwrap).collect();
        let path = write(folder.path(), &samples);
        let planted = planted(&samples);
        let reader = LedgerReader::open(&path).unwrap();
        let recall = LedgerRecall::new(&reader);
        for planted in &planted {
            assert_eq!(recall.answer(planted).unwrap(), planted.needle);
        }
        // Another context under the same id, and samples that it does not have.
        let mut other = planted[3].clone();
        other.context = other.context.replacen(' ', "_", 1);
        assert!(matches!(recall.answer(&other), Err(LedgerFault::ContextDiffers)));
        other.context.push('.');
        assert!(matches!(recall.answer(&other), Err(LedgerFault::ContextDiffers)));
        other.id = Some("ko-8-18".to_owned());
        assert!(matches!(recall.answer(&other), Err(LedgerFault::NoSpan)));
        other.id = None;
        assert!(matches!(recall.answer(&other), Err(LedgerFault::NoId)));

        // One bit of a passkey, which chunks hold as it is: every sample that has a part of itself in that chunk is lost, and no
        // other.
        let mut bytes = std::fs::read(&path).unwrap();
        let needle = samples[7].needle.as_bytes();
        let at = bytes.windows(6).position(|window| window == needle).unwrap();
        bytes[at] ^= 1;
        let damaged = folder.path().join("b.ledger");
        std::fs::write(&damaged, &bytes).unwrap();
        std::fs::copy(folder.path().join("a.ledger.idx"), folder.path().join("b.ledger.idx")).unwrap();
        let reader = LedgerReader::open(&damaged).unwrap();
        let recall = LedgerRecall::new(&reader);
        let lost: Vec<_> = planted.iter().filter(|planted| recall.answer(planted).is_err()).collect();
        assert!((1..9).contains(&lost.len()) && lost.contains(&&planted[7]), "{}", lost.len());
        for planted in lost {
            assert!(matches!(recall.answer(planted), Err(LedgerFault::Ledger(LedgerError::Damaged { .. }))));
        }
    }

    #[test]
    fn a_needle_elsewhere_in_the_ledger_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let samples = english(Plan::grid(vec![0.5], vec![60], 1).unwrap(), 8);
        let path = folder.path().join("a.ledger");
        let mut writer = LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
        writer.mark_span("en-8-0/context", 6, 60).unwrap();
        writer.mark_span("en-8-0/needle", 0, 6).unwrap();
        writer.extend(format!("{}{}", samples[0].needle, samples[0].context).bytes().map(u32::from)).unwrap();
        writer.commit().unwrap();
        let reader = LedgerReader::open(&path).unwrap();
        let found = LedgerRecall::new(&reader).answer(&planted(&samples)[0]);
        assert!(matches!(found, Err(LedgerFault::NeedleOutside)));
    }

    #[test]
    fn texts_out_of_ledgers() {
        let folder = tempfile::tempdir().unwrap();
        let text = "Ein Text, 한국어, \u{1f600}.\nZweite Zeile.\n";
        let made = |name: &str, tokens: &[u32]| {
            let path = folder.path().join(name);
            let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(7)).unwrap();
            writer.extend_from_slice(tokens).unwrap();
            writer.commit().unwrap();
            LedgerReader::open(&path).unwrap()
        };
        let bytes: Vec<u32> = text.bytes().map(u32::from).collect();
        let points: Vec<u32> = text.chars().map(u32::from).collect();
        let bytes = made("bytes", &bytes);
        let points = made("points", &points);
        let read = |reader: &LedgerReader<_>, tokens| Haystack::from_ledger(reader, tokens);
        assert_eq!(read(&bytes, TextTokens::Utf8).unwrap().text(), text.trim_end());
        assert_eq!(read(&points, TextTokens::CodePoints).unwrap().text(), text.trim_end());
        let message = |reader: &LedgerReader<_>, tokens| read(reader, tokens).unwrap_err().to_string();
        assert_eq!(
            message(&points, TextTokens::Utf8),
            "the token at position 10 is 54620, which is no byte of UTF-8: the tokens are no such text"
        );
        let surrogate = made("surrogate", &[65, 0xD800]);
        assert_eq!(
            message(&surrogate, TextTokens::CodePoints),
            "the token at position 1 is 55296, which is no Unicode code point: the tokens are no such text"
        );
        let latin = made("latin", &[65, 0xE4, 66]);
        assert_eq!(message(&latin, TextTokens::Utf8), "the ledger's text is not UTF-8 (at byte 1)");
        let many: Vec<u32> = (0..70_000).map(|i| if i == 69_999 { 300 } else { 97 }).collect();
        assert!(message(&made("many", &many), TextTokens::Utf8).contains("position 69999 is 300"));
        assert!(message(&made("none", &[]), TextTokens::Utf8).starts_with("the text is empty"));
    }
}

//! Holds the code to the tables of spec/, so that text and code move together.

use std::vec::Vec;

use crate::beacon::CalibRaw;
use crate::engram::index::{EngramIndexRaw, EntryRaw};
use crate::frame::{ConfigRaw, Element, FlagsRaw, HashRaw, Kind, LengthRule, TlvType, length_rule};
use crate::gist::GistRaw;
use crate::ledger::{AnchorRaw, ChunkRaw, IndexRaw, MarksRaw, PasskeyRaw, ProofRaw, SpanRaw};
use crate::mirror::MirrorRaw;

const FRAME: &str = include_str!("../spec/frame.md");
const BEACON: &str = include_str!("../spec/beacon.md");
const LEDGER: &str = include_str!("../spec/ledger.md");
const ENGRAM: &str = include_str!("../spec/engram.md");
const GIST: &str = include_str!("../spec/gist.md");
const MIRROR: &str = include_str!("../spec/mirror.md");

/// The rows, cell by cell, of the table whose header has these cells, in the section with this heading.
fn table<'a>(text: &'a str, heading: &str, header: &[&str]) -> Vec<Vec<&'a str>> {
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let title = |section: &'a str| section.lines().next().map(|line| line.trim_start_matches(['#', ' ']));
    let section = text.split("\n##").find(|section| title(section) == Some(heading));
    let mut lines = section.unwrap_or_else(|| panic!("no section {heading}")).lines();
    assert!(lines.any(|line| line.starts_with('|') && cells(line) == header), "no such table in {heading}");
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn layouts() {
    type Field = (usize, usize, &'static str);
    let layouts: [(&str, &str, &[Field]); 13] = [
        (FRAME, "CONFIG_V1", ConfigRaw::FIELDS),
        (FRAME, "FLAGS_V1", FlagsRaw::FIELDS),
        (FRAME, "DIGEST_V1", HashRaw::FIELDS),
        (FRAME, "HMAC_V1", HashRaw::FIELDS),
        (BEACON, "CALIB_STATS_V1", CalibRaw::FIELDS),
        (LEDGER, "LEDGER_CHUNK_V1", ChunkRaw::FIELDS),
        (LEDGER, "LEDGER_MARKS_V1", MarksRaw::FIELDS),
        (LEDGER, "LEDGER_INDEX_V1", IndexRaw::FIELDS),
        (LEDGER, "Proof file", ProofRaw::FIELDS),
        (MIRROR, "MIRROR_V1", MirrorRaw::FIELDS),
        (GIST, "GIST_V1", GistRaw::FIELDS),
        (ENGRAM, "ENGRAM_INDEX_V1", EngramIndexRaw::FIELDS),
        (ENGRAM, "An entry", EntryRaw::FIELDS),
    ];
    for (text, heading, fields) in layouts {
        let rows = table(text, heading, &["off", "size", "field"]);
        let rows: Vec<(usize, usize, &str)> =
            rows.iter().map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap(), row[2])).collect();
        assert_eq!(rows, fields, "{heading}");
    }
}

#[test]
fn index_entries() {
    let columns = ["anchor", "off", "size", "", "passkey", "off", "size", "", "span", "off", "size"];
    let rows = table(LEDGER, "LEDGER_INDEX_V1", &columns);
    for (entry, fields) in [(0, AnchorRaw::FIELDS), (4, PasskeyRaw::FIELDS), (8, SpanRaw::FIELDS)] {
        let rows = rows.iter().filter(|row| !row[entry].is_empty());
        let rows: Vec<(usize, usize, &str)> = rows
            .map(|row| (row[entry + 1].parse().unwrap(), row[entry + 2].parse().unwrap(), row[entry]))
            .collect();
        assert_eq!(rows, fields, "{}", columns[entry]);
    }
}

#[test]
fn tlv_types() {
    let rows = table(FRAME, "TLVs", &["type", "name", "length", "belongs to"]);
    let mut known = Vec::new();
    for row in rows {
        let tlv_type = u8::from_str_radix(row[0], 16).unwrap();
        assert_eq!(TlvType::name(tlv_type), Some(row[1]));
        let rule = match row[2].strip_prefix(">= ") {
            Some(least) => LengthRule::AtLeast(least.parse().unwrap()),
            None => LengthRule::Exactly(row[2].parse().unwrap()),
        };
        assert_eq!(length_rule(tlv_type), Some(rule), "{}", row[1]);
        known.push(tlv_type);
    }
    for tlv_type in 0..=255 {
        let is_known = known.contains(&tlv_type);
        assert_eq!(length_rule(tlv_type).is_some(), is_known, "{tlv_type:02X}");
        assert_eq!(TlvType::name(tlv_type).is_some(), is_known, "{tlv_type:02X}");
    }
}

#[test]
fn kinds_and_elements() {
    let section = FRAME.split("\n## CONFIG_V1").nth(1).unwrap();
    let list = |name: &str| {
        let item = section.split("\n- ").find_map(|item| item.strip_prefix(name)).unwrap();
        item.split('.').next().unwrap().replace('\n', " ")
    };
    let kinds = list("kind: ");
    for code in 0..=7 {
        assert!(kinds.contains(&std::format!("{code} {}", Kind(code).name())), "kind {code}");
    }
    assert_eq!(Kind(8).name(), "unknown");
    let elements = list("element: ");
    for code in 0..=9 {
        let element = Element::from_code(code).unwrap();
        assert_eq!(element.code(), code);
        assert!(elements.contains(&std::format!("{code} {}", element.name())), "element {code}");
    }
    assert_eq!(Element::from_code(10), None);
}

#[test]
fn largest_dims() {
    use crate::beacon::CalibrationBuilder;
    use crate::beacon::stats::Sigma;

    for (dim, sigma) in [
        (1, Sigma::Full),
        (179, Sigma::Full),
        (180, Sigma::Diagonal),
        (8187, Sigma::Diagonal),
        (8188, Sigma::Trace),
        (u32::MAX, Sigma::Trace),
    ] {
        assert_eq!(CalibrationBuilder::auto(dim), sigma, "{dim}");
    }
    let number = |cell: &str| cell.replace(',', "").parse::<u32>().ok();
    let rows = table(BEACON, "CALIB_STATS_V1", &["sigma", "largest dim with mu", "largest dim without"]);
    for (row, sigma) in rows.iter().zip([Sigma::None, Sigma::Trace, Sigma::Diagonal, Sigma::Full]) {
        // The mean is in the value if the value grows with it by more than Sigma does.
        let len = |dim: u32| {
            let mu = std::vec![0.0; dim as usize];
            CalibrationBuilder { sigma, mu: &mu, spread: &[], w: 1.0, t0: 0.0, t1: 0.0 }
                .encoded_len()
                .unwrap()
        };
        let sigma_len = |dim: usize| match sigma {
            Sigma::None => 0,
            Sigma::Trace => 8,
            Sigma::Diagonal => 4 * dim,
            Sigma::Full => 2 * dim * (dim + 1),
        };
        let has_mu = |dim: u32| len(dim) - 32 - sigma_len(dim as usize) == 4 * dim as usize;
        let with = number(row[1]).unwrap();
        assert!(has_mu(with) && !has_mu(with + 1), "{sigma:?}");
        match number(row[2]) {
            Some(without) => {
                CalibrationBuilder::check_fits(sigma, without).unwrap();
                let refused = CalibrationBuilder::check_fits(sigma, without + 1).unwrap_err();
                assert!(
                    matches!(refused.kind(), crate::ErrorKind::TooLarge { max, .. } if max == u64::from(without))
                );
            }
            None => CalibrationBuilder::check_fits(sigma, u32::MAX).unwrap(),
        }
    }
}

/// The worked example of spec/frame.md, read out of the document.
#[test]
fn worked_example() {
    use crate::beacon::Beacon;
    use crate::frame::Frame;

    let section = FRAME.split("\n## Worked example").nth(1).unwrap();
    let block = |n: usize| section.split("```").nth(2 * n + 1).unwrap().trim_start_matches("text").trim();
    let bytes: Vec<u8> =
        block(0).split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let frame = Frame::parse_exact(&bytes).unwrap();
    assert_eq!(std::format!("{}", frame.routing_key()), block(1));
    let mut mean = [0.0; 2];
    Beacon::from_frame(&frame).unwrap().dequantise_row_into(0, &mut mean).unwrap();
    assert_eq!(mean, [0.5, -1.0]);
}

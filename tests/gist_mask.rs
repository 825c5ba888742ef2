//! Masks of gists: against those that the original code made (tests/data/gist/masks), against every pair of
//! positions looked at by itself, and what is refused.
// Tests state expectations by panicking.

use std::ops::Range;
use std::path::Path;

use bitwire::ErrorKind;
use bitwire::gist::GistIds;
use bitwire::gist::mask::{GistMask, MAX_LEN, PaddedRows, Padding, pack_padding_into};
use proptest::prelude::*;
use serde_json::Value;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/gist/masks").join(name)).unwrap()
}

/// The data of a .npy file of bool.
fn bools(name: &str) -> Vec<u8> {
    let file = file(name);
    let header = usize::from(u16::from_le_bytes([file[8], file[9]]));
    assert!(file[10..10 + header].windows(14).any(|part| part == b"'descr': '|b1'"), "{name}");
    file[10 + header..].to_vec()
}

fn u32s(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

/// The whole mask as bytes, after bits and floats were found to say the same, by whole, by row and by
/// stretch.
fn bytes(mask: &GistMask<'_>) -> Vec<u8> {
    let (n, width) = (mask.len(), mask.packed_row_len());
    assert_eq!(width, n.div_ceil(8));
    // What was there before is of no effect.
    let (mut bytes, mut bits) = (vec![7; n * n], vec![0xA5; n * width]);
    mask.bytes_into(0..n, &mut bytes).unwrap();
    mask.bits_into(0..n, &mut bits).unwrap();
    for blocked in [f32::MIN, f32::NEG_INFINITY, -1.0] {
        let mut floats = vec![f32::NAN; n * n];
        mask.additive_into(0..n, blocked, &mut floats).unwrap();
        assert!(floats.iter().zip(&bytes).all(|(&x, &byte)| x == [blocked, 0.0][usize::from(byte)]));
        for row in 0..n {
            let mut one = vec![f32::NAN; n];
            mask.row_additive_into(row, blocked, &mut one).unwrap();
            assert_eq!(one, floats[row * n..][..n]);
        }
    }
    for row in 0..n {
        let mut one = vec![7; n];
        mask.row_bytes_into(row, &mut one).unwrap();
        assert_eq!(one, bytes[row * n..][..n]);
        let mut packed = vec![0xA5; width];
        mask.row_bits_into(row, &mut packed).unwrap();
        assert_eq!(packed, bits[row * width..][..width], "row {row}");
        let mut expected = vec![0; width];
        for (column, &byte) in one.iter().enumerate() {
            expected[column / 8] |= byte << (column % 8);
            assert_eq!(mask.is_visible(row, column), byte == 1);
        }
        assert_eq!(packed, expected, "row {row}");
        let columns = mask.columns(row);
        assert!(one[..columns.start].iter().chain(&one[columns.end..]).all(|&byte| byte == 0));
        // A stretch of rows, to the last.
        let mut stretch = vec![0xA5; (n - row) * width];
        mask.bits_into(row..n, &mut stretch).unwrap();
        assert_eq!(stretch, bits[row * width..], "from row {row}");
        assert!(!mask.is_visible(row, n) && !mask.is_visible(n, row));
    }
    assert_eq!(mask.visible_pairs(), bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>());
    bytes
}

#[test]
fn masks_are_those_of_the_original_code() {
    let expected: Value = serde_json::from_slice(&file("expected.json")).unwrap();
    let (mut masks, mut on, mut padded_rows) = (0, 0, 0);
    for (name, case) in expected.as_object().unwrap() {
        let whole = bools(&format!("mask_{name}.npy"));
        assert_eq!(whole.iter().map(|&x| u64::from(x)).sum::<u64>(), case["true_count"], "{name}");
        let ids = u32s(&case["gist_token_ids"]);
        let n = case["shape"][3].as_u64().unwrap() as usize;
        let texts = case["input_ids"].as_array().unwrap();
        assert_eq!(whole.len(), texts.len() * n * n);
        let mut rows_that_attend = 0;
        for (text, original) in texts.iter().zip(whole.chunks(n * n)) {
            let tokens = u32s(text);
            let row = padding_of_text(case, texts, text);
            let padding: Option<Vec<u8>> = row.map(|row| u32s(row).iter().map(|&x| x as u8).collect());
            let mut mask = GistMask::from_tokens(&tokens, GistIds::new(&ids).unwrap()).unwrap();
            if let Some(padding) = &padding {
                mask = mask.with_padding(Padding::Bytes(padding)).unwrap();
            }
            assert_eq!(bytes(&mask.padded_rows(PaddedRows::Attend)), original, "{name}");

            let mut blank = original.to_vec();
            for row in (0..n).filter(|&row| padding.as_ref().is_some_and(|padding| padding[row] == 0)) {
                rows_that_attend += u64::from(blank[row * n..][..n].contains(&1));
                blank[row * n..][..n].fill(0);
                padded_rows += 1;
            }
            assert_eq!(bytes(&mask), blank, "{name}");
            masks += 1;
        }
        assert_eq!(rows_that_attend, case["padded_rows_with_any_true"].as_u64().unwrap_or(0), "{name}");
        on += rows_that_attend;
    }
    // No case was passed over: 14 texts and a batch of 3. Of 14 rows of padding, the original leaves 9 on.
    assert_eq!((masks, padded_rows, on), (17, 14, 9));
}

/// The padding of one text of a case.
fn padding_of_text<'a>(case: &'a Value, texts: &[Value], text: &Value) -> Option<&'a Value> {
    let at = texts.iter().position(|other| std::ptr::eq(other, text)).unwrap();
    case["padding_mask"].as_array().map(|rows| &rows[at])
}

/// The mask by the sentences of spec/gist.md, pair by pair.
fn naive(n: usize, gists: Option<Range<usize>>, padding: Option<&[u8]>, rows: PaddedRows) -> Vec<u8> {
    let mut mask = Vec::new();
    for i in 0..n {
        for j in 0..n {
            let mut visible = j <= i;
            if let Some(gists) = &gists
                && i >= gists.end
                && j < gists.start
            {
                visible = false;
            }
            if let Some(padding) = padding {
                visible &= padding[j] == 1;
                visible &= padding[i] == 1 || rows == PaddedRows::Attend;
            }
            mask.push(u8::from(visible));
        }
    }
    mask
}

/// Which positions are gists, from the text as a person would: the first that is one, and the last.
fn naive_gists(tokens: &[u32], ids: &[u32]) -> Option<Range<usize>> {
    let all: Vec<usize> = (0..tokens.len()).filter(|&at| ids.iter().any(|id| *id == tokens[at])).collect();
    Some(*all.first()?..all.last()? + 1)
}

fn padding_of(n: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(0..=1u8, n),
        // Left, right and both.
        (0..=n, 0..=n).prop_map(move |(left, right)| {
            (0..n).map(|at| u8::from(at >= left && at < n - right.min(n))).collect()
        }),
    ]
}

/// A text of few kinds of tokens, so that gists come often, and its padding.
fn text() -> impl Strategy<Value = (Vec<u32>, Option<Vec<u8>>)> {
    (0..70usize).prop_flat_map(|n| {
        let tokens = prop_oneof![
            prop::collection::vec(0..6u32, n),
            // Gists far in, in a run or two.
            (0..=n, 0..8usize, 0..=n).prop_map(move |(start, len, again)| {
                let gist = |at: usize| (at >= start && at < start + len) || at == again;
                (0..n).map(|at| if gist(at) { 3 } else { 9 }).collect()
            }),
            Just(vec![9; n]),
        ];
        (tokens, prop::option::of(padding_of(n)))
    })
}

proptest! {
    #[test]
    fn masks_are_what_the_spec_says((tokens, padding) in text(), attend: bool) {
        let ids = [3, 4];
        let n = tokens.len();
        let rows = if attend { PaddedRows::Attend } else { PaddedRows::Blank };
        let gists = naive_gists(&tokens, &ids);
        let expected = naive(n, gists.clone(), padding.as_deref(), rows);

        let mask = GistMask::from_tokens(&tokens, GistIds::new(&ids).unwrap()).unwrap().padded_rows(rows);
        prop_assert_eq!(mask.gists(), gists.clone());
        let parts = match &gists {
            Some(gists) => GistMask::from_parts(gists.start, gists.len(), n - gists.end),
            None => GistMask::from_parts(n, 0, 0),
        };
        prop_assert_eq!(parts.unwrap().padded_rows(rows), mask);
        let whole = match &gists {
            Some(gists) => GistMask::with_gists(n, gists.clone()),
            None => GistMask::causal(n),
        };
        prop_assert_eq!(whole.unwrap().padded_rows(rows), mask);

        let Some(padding) = padding else {
            prop_assert_eq!(bytes(&mask), expected);
            return Ok(());
        };
        prop_assert_eq!(bytes(&mask.with_padding(Padding::Bytes(&padding)).unwrap()), &expected[..]);
        let flags: Vec<bool> = padding.iter().map(|&byte| byte == 1).collect();
        prop_assert_eq!(bytes(&mask.with_padding(Padding::Bools(&flags)).unwrap()), &expected[..]);
        let mut bits = vec![0xA5; n.div_ceil(8)];
        pack_padding_into(&padding, &mut bits).unwrap();
        prop_assert_eq!(bytes(&mask.with_padding(Padding::Bits(&bits)).unwrap()), &expected[..]);
    }
}

#[test]
fn long_masks_are_what_the_spec_says() {
    // Rows of many bytes, with a length that fills them, and one that does not.
    for n in [256, 321] {
        for (gists, left, right) in [(200..210, 3, 0), (8..16, 0, 9), (100..250, 1, 1)] {
            let padding: Vec<u8> = (0..n).map(|at| u8::from(at >= left && at < n - right)).collect();
            for rows in [PaddedRows::Blank, PaddedRows::Attend] {
                let mask = GistMask::with_gists(n, gists.clone()).unwrap().padded_rows(rows);
                assert_eq!(bytes(&mask), naive(n, Some(gists.clone()), None, rows));
                let mask = mask.with_padding(Padding::Bytes(&padding)).unwrap();
                assert_eq!(bytes(&mask), naive(n, Some(gists.clone()), Some(&padding), rows));
            }
        }
    }
}

/// The worked example of spec/gist.md, "The mask".
#[test]
fn the_worked_example() {
    let ids = GistIds::new(&[901]).unwrap();
    let mask = GistMask::from_tokens(&[1, 2, 3, 901, 4, 5, 0], ids).unwrap();
    let mask = mask.with_padding(Padding::Bytes(&[1, 1, 1, 1, 1, 1, 0])).unwrap();
    assert_eq!(mask.gists(), Some(3..4));
    let mut bits = [0; 7];
    mask.bits_into(0..7, &mut bits).unwrap();
    assert_eq!(bits, [0x01, 0x03, 0x07, 0x0F, 0x18, 0x38, 0x00]);
    mask.padded_rows(PaddedRows::Attend).bits_into(0..7, &mut bits).unwrap();
    assert_eq!(bits, [0x01, 0x03, 0x07, 0x0F, 0x18, 0x38, 0x38]);
}

#[test]
fn what_cannot_be_a_mask_is_refused() {
    let order = ErrorKind::Order { field: "a gist token's id" };
    for ids in [&[2, 1][..], &[5, 5], &[1, 2, 2, 3]] {
        assert_eq!(GistIds::new(ids).unwrap_err().kind(), order);
    }
    assert_eq!(GistIds::new(&[]).map(|ids| ids.contains(0)), Ok(false));
    assert_eq!(GistIds::new(&[0, u32::MAX]).map(|ids| ids.contains(u32::MAX)), Ok(true));

    let none = GistMask::with_gists(5, 3..3).unwrap_err();
    assert_eq!(none.to_string(), "a mask with gists needs at least one");
    let past = GistMask::with_gists(5, 3..6).unwrap_err();
    assert_eq!(past.to_string(), "the run of gists reaches to 6, past the end at 5");
    assert!(GistMask::with_gists(5, 3..5).is_ok());
    if let Ok(long) = usize::try_from(u64::from(MAX_LEN) + 1) {
        let kind = GistMask::causal(long).unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::TooLarge { max: 0xFFFF_FFFF, found: 0x1_0000_0000, .. }),
            "{kind:?}"
        );
        assert_eq!(GistMask::from_parts(long - 3, 2, 1).unwrap_err().kind(), kind);
    }
    let kind = GistMask::from_parts(usize::MAX, 1, 0).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Size { field: "the mask's length" });

    let mask = GistMask::from_parts(5, 2, 3).unwrap();
    let shape = |needed, found| ErrorKind::Shape { field: "the length of the padding", needed, found };
    let padding = |padding: Padding<'_>| mask.with_padding(padding).unwrap_err();
    assert_eq!(padding(Padding::Bytes(&[1; 9])).kind(), shape(10, 9));
    assert_eq!(padding(Padding::Bools(&[true; 11])).kind(), shape(10, 11));
    assert_eq!(padding(Padding::Bits(&[0xFF])).kind(), shape(2, 1));
    let error = padding(Padding::Bytes(&[1, 1, 0, 0, 1, 1, 2, 1, 255, 1]));
    assert_eq!(error.to_string(), "the padding is 2, needed is 0 or 1 (at byte 6)");
    let error = padding(Padding::Bits(&[0xFF, 0x07]));
    assert_eq!((error.kind(), error.place()), (ErrorKind::SpareBits, Some(1)));
    assert!(mask.with_padding(Padding::Bits(&[0xFF, 0x03])).is_ok());
    assert!(pack_padding_into(&[0, 3], &mut [0]).is_err());
    assert!(pack_padding_into(&[0; 9], &mut [0]).is_err());
}

#[test]
fn buffers_and_rows_have_to_fit() {
    let mask = GistMask::from_parts(5, 2, 3).unwrap();
    let kinds = |len: usize| {
        let mut out = vec![0; len];
        let mut floats = vec![0.0; len];
        [
            mask.row_bits_into(0, &mut out).map_err(|error| error.kind()),
            mask.row_bytes_into(0, &mut out).map_err(|error| error.kind()),
            mask.row_additive_into(0, -1.0, &mut floats).map_err(|error| error.kind()),
        ]
    };
    let small = |needed, available| Err(ErrorKind::BufferTooSmall { needed, available });
    let large = |field, needed, found| Err(ErrorKind::Shape { field, needed, found });
    assert_eq!(kinds(1), [small(2, 1), small(10, 1), small(10, 1)]);
    assert_eq!(kinds(2), [Ok(()), small(10, 2), small(10, 2)]);
    assert_eq!(kinds(10), [large("the bits", 2, 10), Ok(()), Ok(())]);
    assert_eq!(kinds(11)[1..], [large("the bytes", 10, 11), large("the floats", 10, 11)]);

    let past = ErrorKind::PastEnd { field: "the stretch of rows", end: 10, found: 11 };
    assert_eq!(mask.row_bits_into(10, &mut [0; 2]).unwrap_err().kind(), past);
    assert_eq!(mask.bytes_into(9..11, &mut [0; 20]).unwrap_err().kind(), past);
    assert!(mask.row_bytes_into(usize::MAX, &mut [0; 10]).is_err());
    // No rows need no room.
    assert_eq!(mask.bits_into(4..4, &mut []), Ok(()));
    let none = GistMask::from_tokens(&[], GistIds::new(&[1]).unwrap()).unwrap();
    assert!(none.is_empty() && none.visible_pairs() == 0);
    assert_eq!(none.bits_into(0..0, &mut []), Ok(()));
    assert_eq!(none.additive_into(0..0, -1.0, &mut []), Ok(()));

    for blocked in [0.0, -0.0, 1.0, f32::NAN] {
        let error = mask.row_additive_into(0, blocked, &mut [0.0; 10]).unwrap_err();
        assert!(error.to_string().starts_with("what hides a column has to be below 0"), "{blocked}");
    }
}

#[test]
fn many_pairs_are_counted_without_looking_at_them() {
    // By hand: n (n + 1) / 2 pairs, less the context for each of the rest.
    let (context, gists, rest) = (4_000_000_000u64, 10, 1_000);
    let n = context + gists + rest;
    let Ok(mask) = GistMask::from_parts(context as usize, gists as usize, rest as usize) else { return };
    assert_eq!(mask.visible_pairs(), n * (n + 1) / 2 - rest * context);
}

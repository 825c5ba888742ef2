//! Attention masks of gists.

use alloc::vec;
use alloc::vec::Vec;

use super::{Choices, turn};
use crate::error::ErrorKind;
use crate::gist::GistIds;
use crate::gist::mask::{GistMask, PaddedRows, Padding, pack_padding_into};

/// Rows of [`GistMask`] in every form, one by one and many at once, are what the rules of spec/gist.md ("The mask") say of each
/// pair of positions by itself.
pub fn gist_mask(data: &[u8]) {
    let mut choices = Choices(data);
    let (flags, first, count) = (choices.byte(), choices.below(24), choices.below(24));
    // One token a byte, of which those under 64 can be gists.
    let most = if turn(data, 64) { 140 } else { 36 };
    let tokens: Vec<u32> = choices.0.iter().take(most).map(|&byte| u32::from(byte >> 2)).collect();
    let n = tokens.len();
    let ids: Vec<u32> = (first as u32..).step_by(1 + usize::from(flags >> 6)).take(count).collect();
    let ids = GistIds::new(&ids).unwrap();
    let padding: Option<Vec<u8>> =
        (flags & 1 == 1).then(|| choices.0.iter().take(most).map(|&byte| u8::from(byte & 3 != 0)).collect());
    let rows = if flags & 2 == 2 { PaddedRows::Attend } else { PaddedRows::Blank };

    let gists: Vec<usize> = (0..n).filter(|&at| ids.contains(tokens[at])).collect();
    let run = gists.first().copied().zip(gists.last().map(|&last| last + 1));
    let is_token = |at: usize| padding.as_ref().is_none_or(|padding| padding[at] == 1);
    let sees = |i: usize, j: usize| {
        j <= i
            && run.is_none_or(|(start, end)| i < end || j >= start)
            && is_token(j)
            && (rows == PaddedRows::Attend || is_token(i))
    };

    let mut mask = GistMask::from_tokens(&tokens, ids).unwrap().padded_rows(rows);
    let width = mask.packed_row_len();
    let mut packed = vec![0xAA; width];
    if let Some(padding) = &padding {
        pack_padding_into(padding, &mut packed).unwrap();
        let form = if flags & 4 == 4 { Padding::Bits(&packed) } else { Padding::Bytes(padding) };
        mask = mask.with_padding(form).unwrap();
    }
    assert_eq!(mask.gists().map(|gists| (gists.start, gists.end)), run);
    let naive: Vec<u8> =
        (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).map(|(i, j)| sees(i, j).into()).collect();
    assert_eq!(mask.visible_pairs(), naive.iter().map(|&seen| u64::from(seen)).sum::<u64>());

    let (mut bits, mut bytes, mut floats) = (vec![0xAA; width * n], vec![0xAA; n * n], vec![f32::NAN; n * n]);
    mask.bits_into(0..n, &mut bits).unwrap();
    mask.bytes_into(0..n, &mut bytes).unwrap();
    mask.additive_into(0..n, f32::MIN, &mut floats).unwrap();
    assert_eq!(bytes, naive);
    assert!(floats.iter().zip(&naive).all(|(&x, &seen)| x == if seen == 1 { 0.0 } else { f32::MIN }));
    let (mut row_bits, mut row_bytes) = (vec![0x55; width], vec![0x55; n]);
    for i in 0..n {
        let row = &naive[i * n..][..n];
        let of_row = &bits[i * width..][..width];
        let bit = |j: usize| row.get(j).copied().unwrap_or(0);
        let expected = (0..width).map(|at| (0..8).fold(0, |byte, k| byte | bit(8 * at + k) << k));
        assert!(expected.eq(of_row.iter().copied()));
        mask.row_bits_into(i, &mut row_bits).unwrap();
        mask.row_bytes_into(i, &mut row_bytes).unwrap();
        assert_eq!((&row_bits[..], &row_bytes[..]), (of_row, row));
        for (j, &seen) in row.iter().enumerate() {
            assert_eq!(mask.is_visible(i, j), seen == 1);
            assert!(seen == 0 || mask.columns(i).contains(&j));
        }
    }
    // Any stretch of rows, and one that is not all there.
    let start = choices.below(n + 1);
    let end = start + choices.below(n + 2);
    let mut stretch = vec![0x55; width * (end - start)];
    match mask.bits_into(start..end, &mut stretch) {
        Ok(()) => assert_eq!(stretch, bits[start * width..end * width]),
        Err(error) => {
            assert!(end > n && matches!(error.kind(), ErrorKind::PastEnd { .. }), "{error:?}");
        }
    }
}

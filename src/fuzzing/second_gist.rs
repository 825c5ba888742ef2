//! The tables of spec/gist.md as plainly as they can be put: a second reader and a second writer of rows, slow, that share no
//! code with the first.

use alloc::string::String;
use alloc::vec::Vec;

use super::second_ledger::only;
use super::second_mirror::{narrowed, widened};
use super::second_reader::{self, Verdict, check, number};

/// What a gist says.
#[derive(Debug)]
pub(super) struct Gist {
    pub(super) element: u8,
    pub(super) delta_q16: u32,
    /// Layers, KV heads, gist tokens, components of a row.
    pub(super) shape: [usize; 4],
    pub(super) source_tokens: u64,
    pub(super) source_root: [u8; 32],
    pub(super) metadata: Option<String>,
    pub(super) payload: Vec<u8>,
}

/// Steps 1 to 14 of spec/frame.md, then those of the gist's view.
pub(super) fn gist(bytes: &[u8]) -> Verdict {
    gist_parts(bytes).map(|(_, len)| len)
}

pub(super) fn gist_parts(bytes: &[u8]) -> Result<(Gist, usize), (&'static str, u64)> {
    let len = second_reader::frame(bytes)?;
    let at = only(bytes, 5, 0x13)?;
    let (element, rows, dim) = (bytes[16], number(bytes, 19, 4), number(bytes, 23, 4));
    let size = match element {
        1 | 5 | 6 => 2u128,
        7 => 4,
        _ => return Err(("Code", 16)),
    };
    let [layers, heads, tokens, head_dim] = [0, 4, 8, 12].map(|field| number(bytes, at + field, 4));
    for (field, found) in [layers, heads, tokens, head_dim].into_iter().enumerate() {
        check(found >= 1, "Shape", at + 4 * field)?;
    }
    let max = u128::from(u64::MAX);
    // Three numbers of 32 bits and a 2.
    let needed = u128::from(layers) * 2 * u128::from(heads) * u128::from(tokens);
    check(needed <= max, "Size", at)?;
    check(needed == u128::from(rows), "Shape", 19)?;
    check(dim == head_dim, "Shape", 23)?;
    let needed = needed * u128::from(dim) * size;
    check(needed <= max, "Size", 31)?;
    check(needed == u128::from(number(bytes, 31, 8)), "Shape", 31)?;
    let tlvs = second_reader::tlvs(bytes)?;
    let text = tlvs.iter().find(|(tlv, ..)| *tlv == 0x82);
    let text = text.map(|&(_, tlv, len)| (tlv + 3, &bytes[tlv + 3..tlv + 3 + len]));
    let metadata = match text {
        None => None,
        Some((at, text)) => {
            let (chars, good) = characters(text);
            check(good == text.len(), "Utf8", at + good)?;
            Some(chars)
        }
    };
    let payload = len - 2 - usize::try_from(needed).unwrap();
    let gist = Gist {
        element,
        delta_q16: u32::try_from(number(bytes, 27, 4)).unwrap(),
        shape: [layers, heads, tokens, head_dim].map(|number| usize::try_from(number).unwrap()),
        source_tokens: number(bytes, at + 16, 8),
        source_root: bytes[at + 24..at + 56].try_into().unwrap(),
        metadata,
        payload: bytes[payload..len - 2].to_vec(),
    };
    Ok((gist, len))
}

/// The characters of UTF-8 (RFC 3629) as far as it is, and its length in bytes.
fn characters(text: &[u8]) -> (String, usize) {
    let (mut out, mut at) = (String::new(), 0);
    while at < text.len() {
        let (more, least) = match text[at] {
            0..=0x7F => (0, 0),
            0xC0..=0xDF => (1, 0x80),
            0xE0..=0xEF => (2, 0x800),
            0xF0..=0xF7 => (3, 0x1_0000),
            _ => break,
        };
        let first = u32::from(text[at]) & [0x7F, 0x1F, 0x0F, 0x07][more];
        let rest = text.iter().skip(at + 1).take(more).take_while(|byte| **byte & 0xC0 == 0x80);
        let rest: Vec<u32> = rest.map(|byte| u32::from(*byte) & 0x3F).collect();
        let code = rest.iter().fold(first, |code, six| code << 6 | six);
        // Neither half of a surrogate nor beyond the last is a character.
        match char::from_u32(code) {
            Some(char) if rest.len() == more && code >= least => out.push(char),
            _ => break,
        }
        at += 1 + more;
    }
    (out, at)
}

impl Gist {
    /// Bytes of a component.
    pub(super) fn size(&self) -> usize {
        if self.element == 7 { 4 } else { 2 }
    }

    /// Where a row is in the payload: keys are part 0, values part 1.
    pub(super) fn row_at(&self, part: usize, layer: usize, head: usize, token: usize) -> usize {
        let [_, heads, tokens, head_dim] = self.shape;
        let rows_before = (layer * 2 + part) * heads * tokens + head * tokens + token;
        rows_before * head_dim * self.size()
    }

    /// The rows as f32, in the payload's order.
    pub(super) fn values(&self) -> Vec<f32> {
        self.payload
            .chunks(self.size())
            .map(|bytes| match self.element {
                1 => {
                    let q = i16::from_le_bytes(bytes.try_into().unwrap());
                    (f64::from(q) * f64::from(self.delta_q16) / 65536.0) as f32
                }
                element => widened(element, bytes),
            })
            .collect()
    }
}

/// What is to be stored as an element: i16 with a step, or with the automatic one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct As {
    pub(super) element: u8,
    pub(super) delta_q16: Option<u32>,
}

/// Rows as they were stored, and what that cost.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) delta_q16: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) max_error: f64,
    pub(super) rms_error: f64,
    pub(super) saturated: u64,
    pub(super) non_finite: u64,
}

/// Why rows could not be stored.
#[derive(Debug, PartialEq)]
pub(super) enum Refused {
    NonFinite { row: u64, column: u64 },
    StepRange,
}

fn quotient(x: f32, delta_q16: u32) -> f64 {
    (f64::from(x) * 65536.0 / f64::from(delta_q16)).round_ties_even()
}

fn saturates(x: f32, delta_q16: u32) -> bool {
    !(-32768.0..=32767.0).contains(&quotient(x, delta_q16))
}

/// Stores rows of `dim` components.
pub(super) fn stored(values: &[f32], dim: usize, how: As) -> Result<Stored, Refused> {
    let mut delta_q16 = 0;
    if how.element == 1 {
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(Refused::NonFinite { row: (at / dim) as u64, column: (at % dim) as u64 });
        }
        delta_q16 = match how.delta_q16 {
            Some(step) => step,
            None => {
                let fits = |step: u32| !values.iter().any(|x| saturates(*x, step));
                if !fits(u32::MAX) {
                    return Err(Refused::StepRange);
                }
                let (mut low, mut high) = (1, u32::MAX);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if fits(middle) {
                        high = middle;
                    } else {
                        low = middle + 1;
                    }
                }
                low
            }
        };
    }
    let (mut bytes, mut kept) = (Vec::new(), Vec::new());
    for &x in values {
        if how.element == 1 {
            let q = quotient(x, delta_q16).clamp(-32768.0, 32767.0);
            bytes.extend((q as i16).to_le_bytes());
            kept.push((q * f64::from(delta_q16) / 65536.0) as f32);
        } else {
            let narrow = narrowed(how.element, x);
            kept.push(widened(how.element, &narrow));
            bytes.extend(narrow);
        }
    }
    let pairs = values.iter().zip(&kept).filter(|(x, _)| x.is_finite());
    let errors: Vec<f64> = pairs.map(|(x, y)| (f64::from(*x) - f64::from(*y)).abs()).collect();
    let sum: f64 = errors.iter().map(|error| error * error).sum();
    Ok(Stored {
        delta_q16,
        bytes,
        max_error: errors.iter().copied().fold(0.0, f64::max),
        rms_error: (sum / errors.len().max(1) as f64).sqrt(),
        saturated: if how.element == 1 {
            values.iter().filter(|x| saturates(**x, delta_q16)).count() as u64
        } else {
            0
        },
        non_finite: values.iter().filter(|x| !x.is_finite()).count() as u64,
    })
}

//! spec/beacon.md, "Checks of the typed view".

use alloc::string::{String, ToString};

use super::{Rule, foreign_tlv, other_kind, payload_len, rule};
use crate::arbitrary::View;
use crate::arbitrary::draft::{Draft, Parts as P};
use crate::arbitrary::draw::Draw;
use crate::frame::TlvType as T;

const V: View = View::Beacon;

pub(super) const RULES: &[Rule] = &[
    rule("beacon-kind", V, "1", "Kind", P::NONE, other_kind),
    rule("beacon-foreign-tlv", V, "2", "ForeignTlv", P::NONE, foreign_tlv),
    rule("beacon-element", V, "3", "Code", P::NONE, |u, d| {
        d.set_element(u.pick(0, &[2, 3, 4, 5, 6, 7, 8, 9]));
        d.config(1)
    }),
    rule("beacon-rows", V, "4", "Shape", P::NONE, |_, d| {
        d.set_config(4, &[0; 4]);
        d.config(4)
    }),
    rule("beacon-dim", V, "5", "Shape", P::NONE, |_, d| {
        d.set_config(8, &[0; 4]);
        d.config(8)
    }),
    rule("beacon-size", V, "6", "Size", P::NONE, |_, d| {
        // 2 * (2^32 - 1)^2.
        d.set_config(4, &[0xFF; 8]);
        d.config(16)
    }),
    rule("beacon-payload-len", V, "7", "Shape", P::NONE, payload_len),
    rule("calib-sigma-kind", V, "8", "Code", P::CALIB, |u, d| {
        d.set(T::CALIB_STATS, 0, &[u.u8_between(4, 255)]);
        Some(d.in_value(T::CALIB_STATS, 0))
    }),
    rule("calib-has-mu", V, "9", "Code", P::CALIB, |u, d| {
        d.set(T::CALIB_STATS, 1, &[u.u8_between(2, 255)]);
        Some(d.in_value(T::CALIB_STATS, 1))
    }),
    rule("calib-reserved", V, "10", "Reserved", P::CALIB, |u, d| {
        d.set(T::CALIB_STATS, 2, &(u.not_zero(16) as u16).to_be_bytes());
        Some(d.in_value(T::CALIB_STATS, 2))
    }),
    rule("calib-dim", V, "11", "Shape", P::CALIB, |u, d| {
        let dim = d.config_u32(8);
        d.set(T::CALIB_STATS, 4, &u.not_u32(dim).to_be_bytes());
        Some(d.in_value(T::CALIB_STATS, 4))
    }),
    rule("calib-w", V, "12", "Number", P::CALIB, |u, d| {
        let bad = u.no_f64();
        let w = u.pick(-1.0, &[-f64::MIN_POSITIVE, f64::MIN, bad]);
        d.set(T::CALIB_STATS, 8, &w.to_be_bytes());
        Some(d.in_value(T::CALIB_STATS, 8))
    }),
    rule("calib-t0", V, "13", "Number", P::CALIB, |u, d| {
        d.set(T::CALIB_STATS, 16, &u.no_f64().to_be_bytes());
        Some(d.in_value(T::CALIB_STATS, 16))
    }),
    rule("calib-t1", V, "14", "Number", P::CALIB, |u, d| {
        if u.flag() {
            d.set(T::CALIB_STATS, 24, &u.no_f64().to_be_bytes());
        } else {
            d.set(T::CALIB_STATS, 16, [1.0_f64, -1.0].map(f64::to_be_bytes).as_flattened());
        }
        Some(d.in_value(T::CALIB_STATS, 24))
    }),
    rule("calib-length", V, "15", "TlvLength", P::CALIB.and(P::MU), |u, d| {
        let value = d.value_mut(T::CALIB_STATS)?;
        let (len, most) = (value.len(), value.len() as u64 + 8);
        // Not below 32, which is for the frame to refuse.
        let other = u.between(32, most) as usize;
        value.resize(if other == len { len + 4 } else { other }, 0);
        Some(d.at(T::CALIB_STATS) + 1)
    }),
    rule("calib-mu", V, "16", "Number", P::CALIB.and(P::MU), |u, d| {
        let at = 32 + 4 * u.place(d.config_u32(8) as usize);
        d.set(T::CALIB_STATS, at, &u.no_f32().to_be_bytes());
        Some(d.in_value(T::CALIB_STATS, at as u64))
    }),
    rule("calib-sigma", V, "16", "Number", P::CALIB.and(P::SIGMA), |u, d| {
        let mu = usize::from(d.u8(T::CALIB_STATS, 1)) * 4 * d.config_u32(8) as usize;
        let (start, len) = (32 + mu, d.value(T::CALIB_STATS).len());
        let at = if d.u8(T::CALIB_STATS, 0) == 1 {
            d.set(T::CALIB_STATS, start, &u.no_f64().to_be_bytes());
            start
        } else {
            let at = start + 4 * u.place((len - start) / 4);
            d.set(T::CALIB_STATS, at, &u.no_f32().to_be_bytes());
            at
        };
        Some(d.in_value(T::CALIB_STATS, at as u64))
    }),
    // A byte that stands in no token, and in no number.
    rule("results-fixed", V, "17", "Results", P::RESULTS, |u, d| {
        let index = u.place(d.tokens.len() / 2 + 1) * 2;
        let token = d.tokens.get_mut(index)?;
        let at = u.place(token.len());
        token.replace_range(at..=at, u.pick("#", &["", "x", " "]));
        results(d, index)
    }),
    rule("results-cut", V, "17", "Results", P::RESULTS, |u, d| {
        let index = u.place(d.tokens.len() / 2 + 1) * 2;
        let token = d.tokens.get_mut(index)?;
        token.truncate(u.place(token.len()));
        d.tokens.truncate(index + 1);
        results(d, index)
    }),
    // Not in the form of RFC 8785, not finite, or none.
    rule("results-number", V, "17", "Results", P::RESULTS, |u, d| {
        let forms = ["01", "1.0", "+1", "-0", "1e5", ".5", "1e999", "", "1.", "1E30", "NaN", "--1", "true"];
        let (index, _) = a_number(u, d, |_| true);
        *d.tokens.get_mut(index)? = u.pick("1e30", &forms).to_string();
        results(d, index)
    }),
    rule("results-range", V, "17", "Results", P::RESULTS, |u, d| {
        let (index, _) = a_number(u, d, |before| {
            before.ends_with("\"mu\":") || before.contains("trS") || before.contains("norm")
        });
        *d.tokens.get_mut(index)? = u.pick("-1", &["-0.5", "-5e-324", "-1e+21"]).to_string();
        results(d, index)
    }),
    rule("results-reference", V, "17", "Results", P::RESULTS, |u, d| {
        let words = ["\"None\"", "none", "\"baselines\"", "\"\"", "null", "\"window\"", "\"none", "#"];
        *d.tokens.get_mut(7)? = u.pick("\"window-halves\"", &words).to_string();
        results(d, 7)
    }),
    // A drift without a reference, or a reference without a drift.
    rule("results-null", V, "17", "Results", P::RESULTS, |u, d| {
        let none = d.tokens.get(7).is_some_and(|reference| reference == "\"none\"");
        let index = if none { u.pick(1, &[3, 5]) } else { u.pick(1, &[5]) };
        *d.tokens.get_mut(index)? = if none { "0.5" } else { "null" }.to_string();
        results(d, 7)
    }),
    rule("results-end", V, "17", "Results", P::RESULTS, |u, d| {
        d.tokens.push(u.pick(" ", &["\n", "}", "#", "{}", "0"]).to_string());
        let last = d.tokens.len() - 1;
        results(d, last)
    }),
    rule("alert", V, "18", "FlagsResults", P::FLAGS, |_, d| turned(d, 2)),
    rule("baseline", V, "18", "FlagsResults", P::FLAGS, |_, d| turned(d, 4)),
];

/// A flag that is set where it should not be, or the other way round.
fn turned(d: &mut Draft, bit: u32) -> Option<u64> {
    let set = d.u32(T::FLAGS, 0) & bit;
    d.set_flags(bit, bit & !set);
    Some(d.flags_at())
}

/// RESULTS_V1 now has the draft's tokens, of which this one cannot stand there.
fn results(d: &mut Draft, index: usize) -> Option<u64> {
    let before: usize = d.tokens.iter().take(index).map(String::len).sum();
    let text = d.tokens.concat().into_bytes();
    *d.value_mut(T::RESULTS)? = text;
    Some(d.in_value(T::RESULTS, before as u64))
}

/// The place of a number's token, behind a fixed one for which something holds.
fn a_number(u: &mut Draw<'_, '_>, d: &Draft, holds: impl Fn(&str) -> bool) -> (usize, usize) {
    let fixed = |index: usize| d.tokens.get(index.wrapping_sub(1)).is_some_and(|token| holds(token));
    // Numbers and words have the odd places; 7 is the reference.
    let places = || (1..d.tokens.len()).step_by(2).filter(|index| *index != 7 && fixed(*index));
    let count = places().count();
    (places().nth(u.place(count)).unwrap_or(1), count)
}

//! What Python's `str()` gives for the values of a JSON text.
#![deny(clippy::arithmetic_side_effects)]

use std::fmt::Write;
use std::string::String;

/// `repr(x)` of a float: the fewest digits that say which it is, with an exponent below 1e-4 and from 1e16 on.
pub(super) fn push_float(x: f64, out: &mut String) {
    if !x.is_finite() {
        out.push_str(if x.is_nan() {
            "nan"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        });
        return;
    }
    if x.is_sign_negative() {
        out.push('-');
    }
    // Ryu's digits are Python's: of two that are as few and as near, the even one. Rust's own are not, there.
    let mut buffer = ryu_js::Buffer::new();
    let text = buffer.format_finite(x.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let zeros = all.len().saturating_sub(digits.len());
    // Where the point stands, counted from the first digit that is not 0.
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let places = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
    let point = exponent.saturating_add(places(whole.len())).saturating_sub(places(zeros));
    let digits = digits.trim_end_matches('0');
    let (first, rest) = digits.split_at_checked(1).unwrap_or(("0", ""));
    // Writing to a String cannot fail.
    let _ = match usize::try_from(point) {
        _ if digits.is_empty() => write!(out, "0.0"),
        Ok(point @ 1..=16) => match digits.split_at_checked(point) {
            None | Some((_, "")) => write!(out, "{digits:0<point$}.0"),
            Some((whole, fraction)) => write!(out, "{whole}.{fraction}"),
        },
        _ if (-3..=0).contains(&point) => {
            write!(
                out,
                "0.{:0>width$}",
                digits,
                width = digits.len().saturating_add(point.unsigned_abs() as usize)
            )
        }
        _ => {
            let exponent = point.saturating_sub(1);
            let sign = if exponent < 0 { '-' } else { '+' };
            let rest = if rest.is_empty() { String::new() } else { [".", rest].concat() };
            write!(out, "{first}{rest}e{sign}{:02}", exponent.unsigned_abs())
        }
    };
}

/// `repr(s)` of a string: in single quotes unless only they are in it, and with escapes for what is not printable.
pub(super) fn push_repr(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            c if c == quote => write!(out, "\\{c}"),
            c if is_printable(c) => write!(out, "{c}"),
            '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(c)),
            '\0'..='\u{ffff}' => write!(out, "\\u{:04x}", u32::from(c)),
            _ => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out.push(quote);
}

/// `c.isprintable()`: neither Other nor Separator, but for the space. Rust's standard library has the same table behind what
/// it escapes for debugging; its Unicode may be newer than that of a given Python, which then escapes characters
/// that were not assigned yet.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Alone, a character that extends the one before it would be escaped for that.
    let text = String::from_iter(['a', c]);
    !c.is_control() && !text.escape_debug().skip(1).collect::<String>().starts_with("\\u")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_at_the_edges_of_the_exponent() {
        for (x, text) in [
            (1e16, "1e+16"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-1.5e-7, "-1.5e-07"),
            (1.25e100, "1.25e+100"),
            (-0.0, "-0.0"),
            (f64::from(1u32 << 25) * f64::from(1u32 << 25) + 0.25, "1125899906842624.2"),
            (f64::from(1u32 << 25) * f64::from(1u32 << 25) + 0.75, "1125899906842624.8"),
            (1e21, "1e+21"),
            (1.5e22, "1.5e+22"),
            (1_200_000.0, "1200000.0"),
            (0.00012, "0.00012"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            let mut out = String::new();
            push_float(x, &mut out);
            assert_eq!(out, text);
        }
    }
}

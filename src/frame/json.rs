//! The JSON of contexts: read strictly, written in the form of RFC 8785 (spec/frame.md, "Context").
//!
//! Own code rather than a JSON library: duplicates, the magnitude of integers, the depth and the place of every error are
//! part of the format, and a library's reading of numbers can change with features that another crate turns on.
#![deny(clippy::arithmetic_side_effects)]

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::error::{Error, ErrorKind, Result};

/// JSON as contexts use it. Objects keep their members sorted as RFC 8785 asks.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Integer(i64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The deepest nesting within the outermost brackets: the parser recurses, and hostile text must not choose how far.
pub(super) const MAX_DEPTH: usize = 100;
/// The largest integer a double holds exactly together with its neighbours (RFC 7493, 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

pub(super) const NOT_JSON: &str = "not JSON";
pub(super) const REPEATED: &str = "an object repeats a member";
pub(super) const NUMBERS: &str = "numbers have to be integers of magnitude up to 2^53 - 1";
pub(super) const TOO_DEEP: &str = "nested over 100 deep";

pub(super) fn refused(reason: &'static str, offset: u64) -> Error {
    Error::new(ErrorKind::Context { reason }, offset)
}

impl Json {
    /// Reads a whole text (RFC 8259).
    ///
    /// # Errors
    /// [`ErrorKind::Context`] at the first byte that is wrong; for a repeated member, at the bracket that ends its object.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut parser = Parser { text, at: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.at == text.len() { Ok(value) } else { Err(parser.refuse(NOT_JSON)) }
    }

    /// An object of these members.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if a name is there twice.
    pub(super) fn object(mut members: Vec<(String, Self)>) -> Result<Self> {
        // By UTF-16 code units (RFC 8785, 3.2.3), which is not the order of code points beyond U+FFFF.
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        let mut pairs = members.iter().zip(members.iter().skip(1));
        if pairs.any(|((a, _), (b, _))| a == b) {
            Err(refused(REPEATED, 0))
        } else {
            Ok(Self::Object(members))
        }
    }

    /// Appends the form of RFC 8785.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => out.push_str(&value.to_string()),
            Self::String(value) => write_string(value, out),
            Self::Array(items) => write_list(out, ['[', ']'], items, |item, out| item.write(out)),
            Self::Object(members) => write_list(out, ['{', '}'], members, |(name, value), out| {
                write_string(name, out);
                out.push(':');
                value.write(out);
            }),
        }
    }
}

fn write_list<T>(out: &mut String, [open, close]: [char; 2], items: &[T], each: impl Fn(&T, &mut String)) {
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(close);
}

/// RFC 8785, 3.2.2.2: the short escapes where there is one, lower-case \u00xx for the other controls, nothing else.
pub(crate) fn write_string(value: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}' => {
                out.push_str("\\u00");
                let digit = |n: u32| char::from_digit(n & 0xF, 16).unwrap_or('0');
                out.extend([digit(u32::from(c) >> 4), digit(u32::from(c))]);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn refuse(&self, reason: &'static str) -> Error {
        refused(reason, self.at as u64)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.advance(token.len());
        }
        there
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.refuse(NOT_JSON)) }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.advance(1);
        }
    }

    /// A value with the white space before it, at `depth` brackets.
    fn value(&mut self, depth: usize) -> Result<Json> {
        self.skip_space();
        if depth > MAX_DEPTH && matches!(self.peek(), Some(b'[' | b'{')) {
            return Err(self.refuse(TOO_DEEP));
        }
        let inner = depth.saturating_add(1);
        match self.peek() {
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            Some(b'[') => {
                let mut items = Vec::new();
                self.list(']', |parser| {
                    items.push(parser.value(inner)?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some(b'{') => {
                let mut members = Vec::new();
                self.list('}', |parser| {
                    parser.skip_space();
                    let name = parser.string()?;
                    parser.skip_space();
                    parser.expect(":")?;
                    members.push((name, parser.value(inner)?));
                    Ok(())
                })?;
                Json::object(members).map_err(|error| error.nested((self.at as u64).saturating_sub(1)))
            }
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ => Err(self.refuse(NOT_JSON)),
        }
    }

    /// The opening bracket, items between commas, and `close`.
    fn list(&mut self, close: char, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let close: &str = if close == ']' { "]" } else { "}" };
        self.advance(1);
        self.skip_space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            self.skip_space();
            if self.take(close) {
                return Ok(());
            }
            self.expect(",")?;
        }
    }

    /// A number. 1.0, 1e2 and -0 are integers, in a form that is not canonical.
    fn integer(&mut self) -> Result<Json> {
        let start = self.at;
        self.take("-");
        if !self.take("0") {
            self.digits()?;
        }
        if self.take(".") {
            self.digits()?;
        }
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            self.digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        exact_integer(text).map(Json::Integer).ok_or(refused(NUMBERS, start as u64))
    }

    fn digits(&mut self) -> Result<()> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Err(self.refuse(NOT_JSON));
        }
        self.advance(count);
        Ok(())
    }

    fn string(&mut self) -> Result<String> {
        self.expect("\"")?;
        let mut out = String::new();
        loop {
            let plain = self.rest().bytes().take_while(|&b| b >= 0x20 && b != b'"' && b != b'\\').count();
            // The bytes that end a run are ASCII, so it ends between characters.
            out.push_str(self.rest().get(..plain).unwrap_or_default());
            self.advance(plain);
            if self.take("\"") {
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char> {
        let refused = self.refuse(NOT_JSON);
        self.expect("\\")?;
        let escaped = self.peek().ok_or(refused)?;
        self.advance(1);
        Ok(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4().ok_or(refused)?;
                let units = match first {
                    0xD800..=0xDBFF if self.take("\\u") => [first, self.hex4().ok_or(refused)?],
                    _ => [first, 0],
                };
                let pair = units.iter().take(if matches!(first, 0xD800..=0xDBFF) { 2 } else { 1 });
                // Half a surrogate pair is no character.
                char::decode_utf16(pair.copied()).next().and_then(Result::ok).ok_or(refused)?
            }
            _ => return Err(refused),
        })
    }

    fn hex4(&mut self) -> Option<u16> {
        let digits = self.rest().get(..4).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.advance(4);
        u16::from_str_radix(digits, 16).ok()
    }
}

/// The integer that a JSON number is, exactly: by way of f64, 9007199254740907.5 would be one.
fn exact_integer(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (negative, whole) = whole.strip_prefix('-').map_or((false, whole), |rest| (true, rest));
    let digits = || whole.bytes().chain(fraction.bytes());
    let Some(last) = digits().enumerate().filter(|(_, digit)| *digit != b'0').map(|(at, _)| at).last() else {
        return Some(0);
    };
    let zeros = digits().count().saturating_sub(last).saturating_sub(1);
    // Digits without the zeros at their end, times ten to the power of what is left of the exponent.
    let power = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = power.checked_add(i64::try_from(zeros).ok()?)?;
    let number = digits().take(last.saturating_add(1)).try_fold(0i64, |number, digit| {
        number
            .checked_mul(10)?
            .checked_add(i64::from(digit & 0xF))
            .filter(|n| n.unsigned_abs() <= MAX_INTEGER)
    })?;
    let number = number.checked_mul(10i64.checked_pow(u32::try_from(power).ok()?)?)?;
    let number = Some(number).filter(|n| n.unsigned_abs() <= MAX_INTEGER)?;
    Some(if negative { number.saturating_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use std::format;

    use proptest::prelude::*;

    use super::*;

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    /// The same value by another library's types.
    fn same(own: &Json, other: &serde_json::Value) -> bool {
        match (own, other) {
            (Json::Null, serde_json::Value::Null) => true,
            (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Json::Integer(a), serde_json::Value::Number(b)) => b.as_i64() == Some(*a),
            (Json::String(a), serde_json::Value::String(b)) => a == b,
            (Json::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn reads_and_writes_as_another_library_does(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let own = Json::parse(&text).unwrap();
                prop_assert!(same(&own, &value), "{text}");
                let mut canonical = String::new();
                own.write(&mut canonical);
                prop_assert!(same(&own, &serde_json::from_str(&canonical).unwrap()), "{canonical}");
                prop_assert_eq!(Json::parse(&canonical).unwrap(), own);
            }
        }

        #[test]
        fn accepts_no_text_that_another_library_refuses(text in "[\\[\\]{},:\"\\\\u0-9a-f.eE+ \n-]{0,12}") {
            if Json::parse(&text).is_ok() {
                let other: Result<serde_json::Value, _> = serde_json::from_str(&text);
                prop_assert!(other.is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn places() {
        for (text, reason, at) in [
            ("", NOT_JSON, 0),
            ("  ", NOT_JSON, 2),
            ("{}x", NOT_JSON, 2),
            ("[1,]", NOT_JSON, 3),
            ("[1 2]", NOT_JSON, 3),
            ("{\"a\" 1}", NOT_JSON, 5),
            ("{1:2}", NOT_JSON, 1),
            ("[01]", NOT_JSON, 2),
            ("[-]", NOT_JSON, 2),
            ("[1.]", NOT_JSON, 3),
            ("[1e]", NOT_JSON, 3),
            ("[+1]", NOT_JSON, 1),
            ("\"a\u{1}\"", NOT_JSON, 2),
            ("\"a", NOT_JSON, 2),
            ("\"\\x\"", NOT_JSON, 1),
            ("\"\\u12g4\"", NOT_JSON, 1),
            ("\"\\ud800\"", NOT_JSON, 1),
            ("\"\\udc00\"", NOT_JSON, 1),
            ("\"\\ud800\\u0041\"", NOT_JSON, 1),
            ("[true, nul]", NOT_JSON, 7),
            ("[1.5]", NUMBERS, 1),
            ("[1e400]", NUMBERS, 1),
            ("[9007199254740992]", NUMBERS, 1),
            ("[99999999999999999999]", NUMBERS, 1),
            ("[9007199254740907.504791]", NUMBERS, 1),
            ("[1e-1]", NUMBERS, 1),
            ("[9007199254740991e1]", NUMBERS, 1),
            ("[1e99999999999999999999]", NUMBERS, 1),
            ("{\"a\":1,\"\\u0061\":2}", REPEATED, 17),
        ] {
            assert_eq!(Json::parse(text).unwrap_err(), refused(reason, at), "{text}");
        }
        assert_eq!(
            Json::parse("[1.0,1e2,-0,-1E+0,0.00e-7]").unwrap(),
            Json::parse("[1,100,0,-1,0]").unwrap()
        );
        let scaled = "[900719925474099.1e1,1000e-3,-90071992547409910e-1]";
        assert_eq!(
            Json::parse(scaled).unwrap(),
            Json::parse("[9007199254740991,1,-9007199254740991]").unwrap()
        );
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        Json::parse(&nested(MAX_DEPTH + 1)).unwrap();
        assert_eq!(Json::parse(&nested(MAX_DEPTH + 2)).unwrap_err(), refused(TOO_DEEP, 101));
        assert_eq!(Json::parse(&"{\"a\":".repeat(1_000_000)).unwrap_err(), refused(TOO_DEEP, 505));
    }
}

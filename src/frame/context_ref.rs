//! Contexts without an allocator: canonical JSON that is checked where it lies (spec/frame.md, "Context").
#![deny(clippy::arithmetic_side_effects)]

use core::cmp::Ordering;

use super::context::ContextHash;
use super::view::Frame;
use crate::error::{Error, ErrorKind, Result};

/// A context whose canonical JSON lies in the caller's memory, in flash for example.
///
/// It was checked: it is in the one form of RFC 8785, has the four members, and its numbers are integers. So it is as good
/// as a `Context` (feature `alloc`), which also brings other texts into that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextRef<'a> {
    json: &'a [u8],
    dim: u32,
}

/// Brackets that can be open at once, the outermost included: as many as for a `Context`.
const OPEN: usize = 101;
/// The largest integer that a double holds exactly together with its neighbours (RFC 7493, 2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

const NOT_CANONICAL: &str = "not canonical JSON (RFC 8785)";

fn refused(reason: &'static str, offset: usize) -> Error {
    Error::new(ErrorKind::Context { reason }, offset as u64)
}

impl<'a> ContextRef<'a> {
    /// Checks the bytes of CONTEXT_V1. Linear in their number; takes about 300 bytes of stack, and no recursion.
    ///
    /// Refuses what `Context::parse` refuses. Of several faults it names the first, where that names a fault of JSON before one of
    /// its form.
    ///
    /// # Errors
    /// [`ErrorKind::Context`] if they are not canonical JSON with the four members; the offset counts from the start of the
    /// bytes. [`ErrorKind::TooLarge`] over 65,535 bytes.
    ///
    /// ```
    /// use bitwire::frame::ContextRef;
    ///
    /// let context = ContextRef::parse(br#"{"dim":4,"model_id":"accelerometer","pi_id":"","space_id":"pump 7"}"#)?;
    /// assert_eq!(context.dim(), 4);
    /// // A space too many would be another context, of another hash.
    /// let error = ContextRef::parse(br#"{"dim": 4,"model_id":"","pi_id":"","space_id":""}"#).unwrap_err();
    /// assert_eq!(error.offset(), 7);
    /// # Ok::<_, bitwire::Error>(())
    /// ```
    pub fn parse(canonical_json: &'a [u8]) -> Result<Self> {
        let (max, found) = (u64::from(u16::MAX), canonical_json.len() as u64);
        if found > max {
            return Err(Error::caller(ErrorKind::TooLarge { field: "the context", max, found }));
        }
        let text = core::str::from_utf8(canonical_json)
            .map_err(|error| refused("not UTF-8", error.valid_up_to()))?;
        let mut scan = Scan { text, at: 0, open: heapless::Vec::new(), ids: 0, dim: None };
        scan.run()?;
        if !text.starts_with('{') {
            return Err(refused("not a JSON object", 0));
        }
        if scan.ids != 3 {
            return Err(refused("model_id, pi_id and space_id have to be there, as strings", 0));
        }
        let dim = scan.dim.ok_or(refused("dim has to be there, an integer of 32 bits", 0))?;
        Ok(Self { json: canonical_json, dim })
    }

    /// The canonical JSON: the value of CONTEXT_V1.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.json
    }

    /// The member `dim`.
    pub const fn dim(&self) -> u32 {
        self.dim
    }

    /// ctx: the 64-bit hash. One pass over the text.
    pub fn hash(&self) -> ContextHash {
        ContextHash::of(self.json)
    }
}

impl Frame<'_> {
    /// Checks that the frame comes from `context`: by the whole of it where the frame carries CONTEXT_V1, by its
    /// 64-bit hash where not.
    ///
    /// # Errors
    /// [`ErrorKind::ContextDiffers`].
    pub fn check_context<'c>(&self, context: impl Into<ContextRef<'c>>) -> Result<()> {
        let context = context.into();
        let same = match self.context_json() {
            Some(own) => own == context.as_bytes(),
            None => self.ctx() == context.hash(),
        };
        if same { Ok(()) } else { Err(Error::caller(ErrorKind::ContextDiffers)) }
    }
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a super::Context> for ContextRef<'a> {
    fn from(context: &'a super::Context) -> Self {
        Self { json: context.as_str().as_bytes(), dim: context.dim() }
    }
}

/// What is open: an array, an object without members yet, or an object whose last member's name starts at that byte, which
/// is 2 or more. The text has fewer than 2^16 bytes.
type Level = u16;
const ARRAY: Level = 0;
const EMPTY_OBJECT: Level = 1;

struct Scan<'a> {
    text: &'a str,
    at: usize,
    open: heapless::Vec<Level, OPEN>,
    /// How many of the three ids are strings. No name is there twice.
    ids: u8,
    dim: Option<u32>,
}

impl<'a> Scan<'a> {
    fn refuse(&self) -> Error {
        refused(NOT_CANONICAL, self.at)
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
        if self.take(token) { Ok(()) } else { Err(self.refuse()) }
    }

    /// The whole text: one value.
    fn run(&mut self) -> Result<()> {
        loop {
            // A value is due.
            match self.peek() {
                Some(b'{') => {
                    self.enter(EMPTY_OBJECT)?;
                    if self.peek() != Some(b'}') {
                        self.name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.enter(ARRAY)?;
                    if self.peek() != Some(b']') {
                        continue;
                    }
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.integer()?,
                _ if self.take("null") || self.take("true") || self.take("false") => {}
                _ => return Err(self.refuse()),
            }
            // A value, or the last one of a list, is over.
            loop {
                let Some(&level) = self.open.last() else {
                    return if self.rest().is_empty() { Ok(()) } else { Err(self.refuse()) };
                };
                if self.take(",") {
                    if level != ARRAY {
                        self.name()?;
                    }
                    break;
                }
                self.expect(if level == ARRAY { "]" } else { "}" })?;
                self.open.pop();
            }
        }
    }

    fn enter(&mut self, level: Level) -> Result<()> {
        self.open.push(level).map_err(|_| refused("nested over 100 deep", self.at))?;
        self.advance(1);
        Ok(())
    }

    /// A name with its colon. Names increase.
    fn name(&mut self) -> Result<()> {
        let start = self.at.saturating_add(1);
        self.string()?;
        let end = self.at.saturating_sub(1);
        self.expect(":")?;
        let (outermost, place) = (self.open.len() == 1, Level::try_from(start).unwrap_or(ARRAY));
        if let Some(level) = self.open.last_mut() {
            let before = core::mem::replace(level, place);
            if before > EMPTY_OBJECT {
                let units = |from: usize| Units::of(self.text.get(from..).unwrap_or_default());
                match units(usize::from(before)).cmp(units(start)) {
                    Ordering::Less => {}
                    Ordering::Equal => return Err(refused("an object repeats a member", start)),
                    Ordering::Greater => return Err(refused(NOT_CANONICAL, start)),
                }
            }
        }
        if outermost {
            match self.text.get(start..end) {
                Some("model_id" | "pi_id" | "space_id") if self.peek() == Some(b'"') => {
                    self.ids = self.ids.saturating_add(1);
                }
                Some("dim") => {
                    let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
                    self.dim = self.rest().get(..digits).and_then(|digits| digits.parse().ok());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// No sign but that of a number below 0, no leading zeros, no fraction, no exponent.
    fn integer(&mut self) -> Result<()> {
        let refused = self.refuse();
        let negative = self.take("-");
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let text = self.rest().get(..digits).unwrap_or_default();
        let number = text.parse::<u64>().map_err(|_| refused)?;
        let canonical = match text.as_bytes() {
            [b'0', rest @ ..] => rest.is_empty() && !negative,
            _ => true,
        };
        if !canonical || number > MAX_INTEGER {
            return Err(refused);
        }
        self.advance(digits);
        Ok(())
    }

    /// RFC 8785, 3.2.2.2: what has to be escaped is, in the one way there is, and nothing else.
    fn string(&mut self) -> Result<()> {
        self.expect("\"")?;
        loop {
            let plain = self.rest().bytes().take_while(|&b| b >= 0x20 && b != b'"' && b != b'\\').count();
            self.advance(plain);
            if self.take("\"") {
                return Ok(());
            }
            let escape = match self.rest().as_bytes() {
                [b'\\', b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r', ..] => 2,
                [b'\\', b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..]
                | [b'\\', b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => 6,
                _ => return Err(self.refuse()),
            };
            self.advance(escape);
        }
    }
}

/// The UTF-16 code units of a string that was read before, from behind its first quote: the order of names
/// (RFC 8785, 3.2.3).
struct Units<'a> {
    chars: core::str::Chars<'a>,
    /// The second half of a pair.
    low: Option<u16>,
}

impl<'a> Units<'a> {
    fn of(text: &'a str) -> Self {
        Self { chars: text.chars(), low: None }
    }

    fn unescaped(&mut self) -> Option<char> {
        Some(match self.chars.next()? {
            'b' => '\u{8}',
            't' => '\t',
            'n' => '\n',
            'f' => '\u{c}',
            'r' => '\r',
            'u' => {
                let mut code = 0u32;
                for _ in 0..4 {
                    code = code.wrapping_mul(16).wrapping_add(self.chars.next()?.to_digit(16)?);
                }
                char::from_u32(code)?
            }
            other => other,
        })
    }
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(low) = self.low.take() {
            return Some(low);
        }
        let c = match self.chars.next()? {
            '"' => {
                self.chars = "".chars();
                return None;
            }
            '\\' => self.unescaped()?,
            c => c,
        };
        let mut pair = [0; 2];
        let len = c.encode_utf16(&mut pair).len();
        let [first, second] = pair;
        self.low = (len == 2).then_some(second);
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::vec::Vec;

    use super::*;

    /// What spec/vectors/generate.py says of contexts, with Python's json and hashlib.
    #[test]
    fn vectors() {
        let file = include_str!("../../spec/vectors/context.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert!(cases.len() > 200);
        let (mut accepted, mut refused) = (0, 0);
        for case in cases {
            let hex = case["hex"].as_str().unwrap().as_bytes();
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
            let bytes: Vec<u8> =
                hex.as_chunks::<2>().0.iter().map(|&[hi, lo]| digit(hi) << 4 | digit(lo)).collect();
            let context = ContextRef::parse(&bytes);
            match case["verdict"].as_str().unwrap() {
                "accept" => {
                    let context = context.unwrap_or_else(|error| panic!("{}: {error}", case["id"]));
                    let expect = &case["expect"];
                    assert_eq!(alloc::format!("{}", context.hash()), expect["ctx"].as_str().unwrap());
                    assert_eq!(u64::from(context.dim()), expect["dim"].as_u64().unwrap());
                    accepted += 1;
                }
                _ => {
                    assert!(context.is_err(), "{} is accepted", case["id"]);
                    refused += 1;
                }
            }
        }
        assert!(accepted > 10 && refused > 100, "{accepted} {refused}");
    }

    #[test]
    fn names_the_first_fault() {
        let at = |text: &str| {
            let error = ContextRef::parse(text.as_bytes()).unwrap_err();
            let ErrorKind::Context { reason } = error.kind() else { panic!("{error}") };
            (reason, error.offset())
        };
        assert_eq!(at(""), (NOT_CANONICAL, 0));
        assert_eq!(at("[]"), ("not a JSON object", 0));
        assert_eq!(at("{}x"), (NOT_CANONICAL, 2));
        assert_eq!(at(r#"{"dim":1}"#).0, "model_id, pi_id and space_id have to be there, as strings");
        assert_eq!(
            at(r#"{"model_id":"","pi_id":"","space_id":""}"#).0,
            "dim has to be there, an integer of 32 bits"
        );
        // Only the outermost members count.
        assert!(at(r#"{"a":{"dim":1},"model_id":"","pi_id":"","space_id":""}"#).0.starts_with("dim"));
        assert_eq!(at(r#"{"b":1,"a":1}"#), (NOT_CANONICAL, 8));
        assert_eq!(at(r#"{"a":{"\\":1,"\\":1}}"#), ("an object repeats a member", 14));
        for number in ["00", "01", "-0", "1.0", "1e1", "9007199254740992", "99999999999999999999", "-", "+1"]
        {
            assert_eq!(at(&alloc::format!("[{number}]")).0, NOT_CANONICAL, "{number}");
        }
        for string in
            [r#""\/""#, r#""\u0041""#, r#""\u001F""#, r#""\u0008""#, r#""\u000a""#, "\"\t\"", r#"""#, r#""\"#]
        {
            assert_eq!(at(&alloc::format!("[{string}]")).0, NOT_CANONICAL, "{string}");
        }
        // 101 brackets are fine, and closed or not makes no difference to the 102nd.
        assert_eq!(at(&alloc::format!("{}{}", "[".repeat(101), "]".repeat(101))), ("not a JSON object", 0));
        assert_eq!(at(&"[".repeat(102)), ("nested over 100 deep", 101));
        let long = ContextRef::parse(&[b' '; 65_536]).unwrap_err().kind();
        assert!(matches!(long, ErrorKind::TooLarge { max: 65_535, .. }));
    }

    #[cfg(feature = "alloc")]
    mod beside_the_owned {
        use proptest::prelude::*;

        use alloc::string::String;

        use super::*;
        use crate::frame::Context;

        fn same(bytes: &[u8]) -> Result<(), TestCaseError> {
            match (ContextRef::parse(bytes), Context::parse(bytes)) {
                (Ok(ours), Ok(theirs)) => {
                    prop_assert_eq!(ours, ContextRef::from(&theirs));
                    prop_assert_eq!(ours.hash(), theirs.hash());
                }
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{:?} {:?}", ours, theirs),
            }
            Ok(())
        }

        fn text() -> impl Strategy<Value = String> {
            let string = || {
                const PIECES: &[&str] = &[
                    "a", "dim", "b\\n", "\\u0001", "\\u001f", "\\u0041", "é", "\u{fb33}", "😀", "\\\\", "\\/",
                ];
                prop::collection::vec(prop::sample::select(PIECES), 0..3)
                    .prop_map(|pieces| alloc::format!("\"{}\"", pieces.concat()))
            };
            let leaf = prop_oneof![
                Just(String::from("null")),
                Just(String::from("true")),
                any::<i32>().prop_map(|n| alloc::format!("{n}")),
                string(),
            ];
            leaf.prop_recursive(3, 12, 4, move |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..4)
                        .prop_map(|items| alloc::format!("[{}]", items.join(","))),
                    prop::collection::vec((string(), inner), 0..4).prop_map(|members| {
                        let members: Vec<_> =
                            members.iter().map(|(n, v)| alloc::format!("{n}:{v}")).collect();
                        alloc::format!("{{{}}}", members.join(","))
                    }),
                ]
            })
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(2000))]

            /// Members that may stand in the wrong order, twice, or in another form; then a byte of it changed.
            #[test]
            fn the_same_texts_pass(members in text(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
                let context = alloc::format!(r#"{{"a":{members},"dim":7,"model_id":"m","pi_id":"","space_id":""}}"#);
                same(context.as_bytes())?;
                let mut bytes = context.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                same(&bytes)?;
                bytes.remove(at);
                same(&bytes)?;
                if let Ok(context) = Context::with_members("s", "m", "p", 3, &alloc::format!("{{\"x\":{members}}}")) {
                    same(context.as_str().as_bytes())?;
                    prop_assert!(ContextRef::parse(context.as_str().as_bytes()).is_ok());
                }
            }
        }
    }
}

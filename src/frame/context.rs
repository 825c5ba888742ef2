//! The context of an artefact: what has to agree before two of them can be compared (spec/frame.md, "Context").
#![deny(clippy::arithmetic_side_effects)]

use core::fmt;

use super::digest::blake2b_64;
use crate::error::{Error, ErrorKind, Result};

/// ctx: the 8-byte BLAKE2b digest of the canonical context JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContextHash(pub [u8; 8]);

impl ContextHash {
    /// The hash of a canonical context JSON.
    pub fn of(canonical_json: &[u8]) -> Self {
        Self(blake2b_64(canonical_json))
    }
}

impl fmt::Display for ContextHash {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Checks that two contexts agree in every member but `dim` (spec/frame.md, "Context"). No allocator: both are canonical, so
/// that equal members stand in the same order and are spelled the same. Cost: one pass over each.
///
/// # Errors
/// [`ErrorKind::ContextDiffers`]; [`ErrorKind::Context`] if either has no integer `dim` where a canonical text has it.
pub(crate) fn check_same_but_dim(a: &[u8], b: &[u8]) -> Result<()> {
    let none = Error::caller(ErrorKind::Context { reason: "dim has to be there, an integer of 32 bits" });
    if around_dim(a).ok_or(none)? == around_dim(b).ok_or(none)? {
        Ok(())
    } else {
        Err(Error::caller(ErrorKind::ContextDiffers))
    }
}

/// What stands before the member `dim` of the outermost object, and after it.
fn around_dim(json: &[u8]) -> Option<(&[u8], &[u8])> {
    const NAME: &[u8] = b"\"dim\":";
    let (mut depth, mut in_string, mut escaped, mut before) = (0u32, false, false, 0u8);
    for (at, &byte) in json.iter().enumerate() {
        let (head, rest) = json.split_at_checked(at)?;
        // A member starts behind a bracket or a comma; the name of another that ends so starts with its own quote.
        if let (1, false, b'{' | b',', Some(value)) = (depth, in_string, before, rest.strip_prefix(NAME)) {
            let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let tail = value.get(digits..)?;
            return (digits > 0 && matches!(tail.first(), Some(b',' | b'}'))).then_some((head, tail));
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth = depth.checked_add(1)?,
            b'}' | b']' if !in_string => depth = depth.checked_sub(1)?,
            _ => {}
        }
        before = byte;
    }
    None
}

#[cfg(feature = "alloc")]
pub use owned::Context;

#[cfg(feature = "alloc")]
mod owned {
    use alloc::string::{String, ToString};

    use super::ContextHash;
    use crate::error::{Error, ErrorKind, Result};
    use crate::frame::config::Kind;
    use crate::frame::json::{Json, refused};
    use crate::frame::tlv::TlvType;
    use crate::frame::view::Frame;

    /// A context: canonical JSON (RFC 8785) of an object with at least `dim`, `model_id`, `pi_id` and
    /// `space_id`. Numbers are integers of magnitude up to 2^53 - 1.
    ///
    /// Two artefacts are comparable if their whole contexts are equal. Equal contexts with empty ids prove
    /// nothing.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    pub struct Context {
        canonical: String,
        dim: u32,
    }

    /// CONTEXT_V1 is a TLV, so a context has at most this many bytes.
    const MAX_LEN: usize = u16::MAX as usize;

    impl Context {
        /// The context of three ids and a dimension.
        ///
        /// # Errors
        /// [`ErrorKind::TooLarge`] if the text does not fit a TLV.
        pub fn new(space_id: &str, model_id: &str, pi_id: &str, dim: u32) -> Result<Self> {
            Self::with_members(space_id, model_id, pi_id, dim, "{}")
        }

        /// The same with further members, given as the text of a JSON object (canonical or not): digests of
        /// the weights, tokenizer, rope, kv dtype; whatever makes two artefacts comparable.
        ///
        /// # Errors
        /// [`ErrorKind::Context`] if the text is not a JSON object, repeats a member, names one of the four, or
        /// holds a number that is not an integer of magnitude up to 2^53 - 1; the offset is its place in the
        /// text. [`ErrorKind::TooLarge`] if the result does not fit a TLV.
        pub fn with_members(space: &str, model: &str, pi: &str, dim: u32, members: &str) -> Result<Self> {
            let Json::Object(mut object) = Json::parse(members)? else {
                return Err(refused("the further members have to be a JSON object", 0));
            };
            let ids = [("dim", Json::Integer(i64::from(dim)))].into_iter().chain(
                [("model_id", model), ("pi_id", pi), ("space_id", space)]
                    .map(|(name, id)| (name, Json::String(id.to_string()))),
            );
            for (name, value) in ids {
                if object.iter().any(|(other, _)| other == name) {
                    return Err(refused("dim and the three ids are given apart from the further members", 0));
                }
                object.push((name.to_string(), value));
            }
            let mut canonical = String::new();
            Json::object(object)?.write(&mut canonical);
            if canonical.len() > MAX_LEN {
                let (max, found) = (MAX_LEN as u64, canonical.len() as u64);
                return Err(Error::caller(ErrorKind::TooLarge { field: "the context", max, found }));
            }
            Ok(Self { canonical, dim })
        }

        /// Reads the bytes of CONTEXT_V1.
        ///
        /// # Errors
        /// [`ErrorKind::Context`] if they are not JSON, repeat a member, are not canonical, or lack one of the
        /// four members; the offset counts from the start of the bytes.
        pub fn parse(bytes: &[u8]) -> Result<Self> {
            let text = core::str::from_utf8(bytes)
                .map_err(|error| refused("not UTF-8", error.valid_up_to() as u64))?;
            let json = Json::parse(text)?;
            let mut canonical = String::with_capacity(text.len());
            json.write(&mut canonical);
            if canonical != text {
                let same = canonical.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
                return Err(refused("not canonical (RFC 8785)", same as u64));
            }
            let Json::Object(object) = json else {
                return Err(refused("not a JSON object", 0));
            };
            let member = |name: &str| object.iter().find(|(other, _)| other == name).map(|(_, value)| value);
            if ["model_id", "pi_id", "space_id"]
                .iter()
                .any(|name| !matches!(member(name), Some(Json::String(_))))
            {
                return Err(refused("model_id, pi_id and space_id have to be there, as strings", 0));
            }
            let dim = match member("dim") {
                Some(Json::Integer(dim)) => u32::try_from(*dim).ok(),
                _ => None,
            };
            let dim = dim.ok_or(refused("dim has to be there, an integer of 32 bits", 0))?;
            Ok(Self { canonical, dim })
        }

        /// The canonical JSON: the value of CONTEXT_V1.
        pub fn as_str(&self) -> &str {
            &self.canonical
        }

        /// The member `dim`.
        pub fn dim(&self) -> u32 {
            self.dim
        }

        /// ctx: the 64-bit hash.
        pub fn hash(&self) -> ContextHash {
            ContextHash::of(self.canonical.as_bytes())
        }
    }

    impl Frame<'_> {
        /// CONTEXT_V1, held to RFC 8785 and to the frame: its `dim` is CONFIG_V1's, and 0 for ledger chunks
        /// and indexes. `None` where the frame carries no context.
        ///
        /// # Errors
        /// [`ErrorKind::Context`] with the place in the frame.
        pub fn context(&self) -> Result<Option<Context>> {
            let Some(tlv) = self.tlv(TlvType::CONTEXT) else {
                return Ok(None);
            };
            let context = Context::parse(tlv.value).map_err(|error| error.nested(tlv.value_offset()))?;
            let dim = match self.kind() {
                Kind::LEDGER_CHUNK | Kind::LEDGER_INDEX => 0,
                _ => self.config().dim,
            };
            if context.dim == dim {
                Ok(Some(context))
            } else {
                Err(refused("dim is not that of CONFIG_V1", tlv.value_offset()))
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::format;

        use super::*;
        use crate::frame::json::{NOT_JSON, NUMBERS, REPEATED, TOO_DEEP};

        fn reason(result: Result<Context>) -> (&'static str, u64) {
            let error = result.unwrap_err();
            match error.kind() {
                ErrorKind::Context { reason } => (reason, error.offset()),
                _ => panic!("{error:?}"),
            }
        }

        // Expectations from Python's hashlib.blake2b(digest_size=8).
        #[test]
        fn canonical_text_and_hash() {
            let context = Context::new("myspace", "mymodel", "mypi", 128).unwrap();
            assert_eq!(
                context.as_str(),
                r#"{"dim":128,"model_id":"mymodel","pi_id":"mypi","space_id":"myspace"}"#
            );
            assert_eq!(context.hash().to_string(), "45764426279b0716");
            let context = Context::new("прост", "mymodel", "mypi", 128).unwrap();
            assert_eq!(context.hash().to_string(), "a5bffa684ae8d5e2");
            assert_eq!(Context::parse(context.as_str().as_bytes()).unwrap(), context);
        }

        #[test]
        fn members_sort_by_utf16_and_escape_as_rfc_8785() {
            // RFC 8785, 3.2.3: U+1F600 is D83D DE00 in UTF-16 and sorts before U+FB33.
            let members = r#"{"\ufb33":1,"\ud83d\ude00":2,"\u0080":3,"\r":4,"1":[true,null,-7],"é":{"b":1,"a":"\u000f\u000a'\"\\\/"}}"#;
            let context = Context::with_members("", "", "", 1, members).unwrap();
            let expected = "{\"\\r\":4,\"1\":[true,null,-7],\"dim\":1,\"model_id\":\"\",\"pi_id\":\"\",\
                \"space_id\":\"\",\"\u{80}\":3,\"é\":{\"a\":\"\\u000f\\n'\\\"\\\\/\",\"b\":1},\"😀\":2,\"\u{fb33}\":1}";
            assert_eq!(context.as_str(), expected);
            assert_eq!(Context::parse(expected.as_bytes()).unwrap(), context);
        }

        #[test]
        fn refuses_what_is_not_canonical() {
            let good = r#"{"dim":1,"model_id":"","pi_id":"","space_id":""}"#;
            Context::parse(good.as_bytes()).unwrap();
            for (text, at) in [
                (r#"{ "dim":1,"model_id":"","pi_id":"","space_id":""}"#, 1),
                (r#"{"model_id":"","dim":1,"pi_id":"","space_id":""}"#, 2),
                (r#"{"dim":1,"model_id":"\u0061","pi_id":"","space_id":""}"#, 21),
                (r#"{"dim":1,"model_id":"","pi_id":"","space_id":"\/"}"#, 46),
                (r#"{"dim":1.0,"model_id":"","pi_id":"","space_id":""}"#, 8),
                (r#"{"dim":1,"model_id":"","pi_id":"","space_id":"","x":-0}"#, 52),
            ] {
                assert_eq!(
                    reason(Context::parse(text.as_bytes())),
                    ("not canonical (RFC 8785)", at),
                    "{text}"
                );
            }
        }

        #[test]
        fn refuses_repeats_fractions_and_missing_members() {
            let parse = |text: &str| reason(Context::parse(text.as_bytes())).0;
            assert_eq!(parse(r#"{"dim":1,"dim":1,"model_id":"","pi_id":"","space_id":""}"#), REPEATED);
            assert_eq!(parse(r#"{"a":{"x":1,"\u0078":2}}"#), REPEATED);
            for number in ["1.5", "1e-2", "9007199254740992", "-9007199254740992", "18446744073709551616"] {
                assert_eq!(parse(&format!("{{\"a\":{number}}}")), NUMBERS, "{number}");
            }
            assert_eq!(parse(r#"{"dim":1}"#), "model_id, pi_id and space_id have to be there, as strings");
            let dim = "dim has to be there, an integer of 32 bits";
            assert_eq!(parse(r#"{"dim":-1,"model_id":"","pi_id":"","space_id":""}"#), dim);
            assert_eq!(parse(r#"{"dim":4294967296,"model_id":"","pi_id":"","space_id":""}"#), dim);
            assert_eq!(parse("[]"), "not a JSON object");
            assert_eq!(parse("{\"a\":\"\\ud800\"}"), NOT_JSON);
            assert_eq!(parse(&"[".repeat(100_000)), TOO_DEEP);
            assert_eq!(reason(Context::parse(b"{\"\xFF\":1}")), ("not UTF-8", 2));
            assert_eq!(reason(Context::with_members("", "", "", 1, "{\n\"a\":x}")), (NOT_JSON, 6));
            assert_eq!(
                reason(Context::with_members("", "", "", 1, r#"{"dim":2}"#)).0,
                "dim and the three ids are given apart from the further members"
            );
        }

        #[test]
        fn too_long_for_a_tlv() {
            let id = "x".repeat(65_536);
            let error = Context::new(&id, "", "", 1).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::TooLarge { max: 65_535, .. }), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_agree_in_every_member_but_dim() {
        let a: &[u8] =
            br#"{"a":[{"dim":3}],"b":"\",\"dim\":1","dim":64,"model_id":"m","pi_id":"","space_id":"s"}"#;
        let other_dim =
            br#"{"a":[{"dim":3}],"b":"\",\"dim\":1","dim":8192,"model_id":"m","pi_id":"","space_id":"s"}"#;
        assert_eq!(check_same_but_dim(a, other_dim), Ok(()));
        for other in [
            &br#"{"a":[{"dim":4}],"b":"\",\"dim\":1","dim":64,"model_id":"m","pi_id":"","space_id":"s"}"#[..],
            br#"{"a":[{"dim":3}],"b":"\",\"dim\":2","dim":64,"model_id":"m","pi_id":"","space_id":"s"}"#,
            br#"{"a":[{"dim":3}],"b":"\",\"dim\":1","dim":64,"model_id":"M","pi_id":"","space_id":"s"}"#,
            br#"{"dim":64,"model_id":"m","pi_id":"","space_id":"s"}"#,
        ] {
            assert_eq!(check_same_but_dim(a, other).unwrap_err().kind(), ErrorKind::ContextDiffers);
            assert_eq!(check_same_but_dim(other, a).unwrap_err().kind(), ErrorKind::ContextDiffers);
        }
    }

    #[test]
    fn a_context_without_dim_is_comparable_with_nothing() {
        let good = br#"{"dim":1,"model_id":"","pi_id":"","space_id":""}"#;
        for bad in [
            &b""[..],
            b"{}",
            br#"{"x":{"dim":1}}"#,
            br#"{"dim":"1"}"#,
            br#"{"dim":-1}"#,
            br#"{"dim":1"#,
            br#"{"x":"\"dim\":1,"}"#,
            br#"["dim":1]"#,
        ] {
            let same = check_same_but_dim(bad, bad);
            assert!(matches!(same.unwrap_err().kind(), ErrorKind::Context { .. }), "{bad:?}");
            assert!(check_same_but_dim(good, bad).is_err());
        }
    }
}

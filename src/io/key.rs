//! HMAC keys from files, the environment and arguments.
//!
//! A key file holds the key as raw bytes or as hexadecimal digits. One newline at its end, `\n` or `\r\n`, is no part of
//! it. What is left is hexadecimal if it is 32 to 128 such digits, and otherwise raw, 16 to 64 bytes.
//!
//! Two corners follow, and hold for every reader of such files: a raw key whose last byte is 0A loses this byte, and a
//! passphrase that consists of 32 or more of the digits 0-9, a-f is read as digits. `openssl rand -hex 32` makes a file
//! that has neither.

use super::{Cause, FileError};
use crate::error::{Error, ErrorKind, Result};
use core::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// The fewest and the most bytes of a key (spec/frame.md, "HMAC_V1").
pub const LENGTHS: core::ops::RangeInclusive<usize> = 16..=64;

/// The longest key file: 128 digits and `\r\n`. Nothing beyond it is read, so `/dev/zero` is no trouble.
const MAX_FILE: usize = 130;

/// A key of 16 to 64 bytes. Held outside the heap, wiped when dropped, never printed.
#[derive(Clone)]
pub struct KeyBytes {
    bytes: Zeroizing<[u8; 64]>,
    len: usize,
}

impl KeyBytes {
    /// Reads the key file at `path`.
    ///
    /// # Errors
    /// As [`KeyBytes::parse`], or those of the operating system.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let open = || Self::read(File::open(&path)?);
        open().map_err(|cause: Cause| cause.at(&path))
    }

    /// Reads a key file to its end, in buffers that are wiped.
    ///
    /// # Errors
    /// As [`KeyBytes::parse`], or the reader's own.
    pub fn read(mut reader: impl Read) -> Result<Self, Cause> {
        let mut buffer = Zeroizing::new([0u8; MAX_FILE + 1]);
        let mut len = 0usize;
        while let Some(space @ [_, ..]) = buffer.get_mut(len..) {
            match reader.read(space) {
                Ok(0) => break,
                Ok(n) => len = len.saturating_add(n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self::parse(buffer.get(..len).unwrap_or_default())?)
    }

    /// The key in the content of a key file.
    ///
    /// # Errors
    /// [`ErrorKind::KeyLength`] if the key has not 16 to 64 bytes, [`ErrorKind::Argument`] for 33 to 127 digits of an odd
    /// number (the rule says these are digits, and half a byte is missing: taking them as raw bytes would make another
    /// key than the one that was meant) and for a file of more than 130 bytes.
    pub fn parse(content: &[u8]) -> Result<Self> {
        if content.len() > MAX_FILE {
            let expected = "a key file holds 16 to 64 raw bytes or 32 to 128 hexadecimal digits, and at most one newline \
                            after them; this one is longer";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        let content = match content {
            [key @ .., b'\r', b'\n'] | [key @ .., b'\n'] => key,
            key => key,
        };
        let is_hex = (32..=128).contains(&content.len()) && content.iter().all(u8::is_ascii_hexdigit);
        if is_hex { Self::from_digits(content) } else { Self::raw(content) }
    }

    /// The key in hexadecimal digits of either case, as the environment and arguments carry it.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `text` is anything but an even number of digits, [`ErrorKind::KeyLength`] if these are
    /// not 16 to 64 bytes.
    pub fn from_hex(text: &str) -> Result<Self> {
        Self::from_digits(text.as_bytes())
    }

    /// The key itself, 16 to 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn from_digits(digits: &[u8]) -> Result<Self> {
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            let expected = "a key in hexadecimal consists of the digits 0-9, a-f, A-F only";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            let expected = "a key in hexadecimal has an even number of digits: one is missing or too many";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        }
        let mut key = Self::zeros(pairs.len())?;
        for (to, [high, low]) in key.bytes.iter_mut().zip(pairs) {
            *to = nibble(*high) << 4 | nibble(*low);
        }
        Ok(key)
    }

    fn raw(bytes: &[u8]) -> Result<Self> {
        let mut key = Self::zeros(bytes.len())?;
        key.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(key)
    }

    fn zeros(len: usize) -> Result<Self> {
        if LENGTHS.contains(&len) {
            Ok(Self { bytes: Zeroizing::new([0; 64]), len })
        } else {
            Err(Error::caller(ErrorKind::KeyLength { found: len as u64 }))
        }
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}

/// The value of a hexadecimal digit, without a table or a branch on what the key holds.
fn nibble(digit: u8) -> u8 {
    // '0' is 30, 'A' 41, 'a' 61: letters have bit 6, and their low bits start at 1.
    (digit & 0x0f) + 9 * (digit >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    fn key(content: impl AsRef<[u8]>) -> Vec<u8> {
        KeyBytes::read(content.as_ref()).unwrap().as_bytes().to_vec()
    }

    fn refusal(content: impl AsRef<[u8]>) -> ErrorKind {
        match KeyBytes::read(content.as_ref()) {
            Err(Cause::Format(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn digits_are_digits_and_all_else_is_raw() {
        let bytes: Vec<u8> = (0..64).map(|i| (i * 37 + 11) as u8).collect();
        let hex: std::string::String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        for len in 16..=64 {
            let digits = &hex[..2 * len];
            for end in ["", "\n", "\r\n"] {
                assert_eq!(key(format!("{digits}{end}")), bytes[..len]);
                assert_eq!(key(format!("{}{end}", digits.to_uppercase())), bytes[..len]);
            }
            assert_eq!(KeyBytes::from_hex(digits).unwrap().as_bytes(), &bytes[..len]);
            // One character that is no digit makes the whole of it raw, if that is short enough.
            let text = format!("{}-", &digits[..len - 1]);
            assert_eq!(key(&text), text.as_bytes());
            assert_eq!(key(format!("{text}\n")), text.as_bytes());
        }
        // Fewer than 32 digits are raw, by the letter of the rule.
        assert_eq!(key("0123456789abcdef"), b"0123456789abcdef");
        assert_eq!(key("0123456789abcdef0123456789abcde"), b"0123456789abcdef0123456789abcde");
        for digit in "0123456789abcdefABCDEF".chars() {
            let value = digit.to_digit(16).unwrap() as u8;
            assert_eq!(key(digit.to_string().repeat(32)), [value << 4 | value; 16]);
        }
    }

    #[test]
    fn one_newline_goes_and_no_more() {
        let raw = b"sixteen bytes!!\r";
        assert_eq!(key([&raw[..], b"\n\n"].concat()), [&raw[..], b"\n"].concat());
        assert_eq!(key([b"a", &raw[..]].concat()), [b"a", &raw[..]].concat(), "a lone \\r stays");
        assert_eq!(refusal([&raw[..], b"\n"].concat()), ErrorKind::KeyLength { found: 15 });
        assert_eq!(key(b"0123456789abcdef0123456789abcde\n\n"), b"0123456789abcdef0123456789abcde\n");
        // White space elsewhere makes digits raw.
        assert_eq!(key(b" 0123456789abcdef0123456789abcdef"), b" 0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn lengths_outside_the_rule_are_refused() {
        for len in (0..16).chain(65..=130) {
            assert_eq!(refusal("x".repeat(len)), ErrorKind::KeyLength { found: len as u64 });
        }
        assert_eq!(refusal("\n"), ErrorKind::KeyLength { found: 0 });
        assert_eq!(refusal("a".repeat(129)), ErrorKind::KeyLength { found: 129 });
        assert_eq!(KeyBytes::from_hex("").unwrap_err().kind(), ErrorKind::KeyLength { found: 0 });
        assert_eq!(KeyBytes::from_hex("0a").unwrap_err().kind(), ErrorKind::KeyLength { found: 1 });
        assert_eq!(
            KeyBytes::from_hex(&"0a".repeat(65)).unwrap_err().kind(),
            ErrorKind::KeyLength { found: 65 }
        );
        for len in [131, 132, 5000] {
            assert!(matches!(refusal("x".repeat(len)), ErrorKind::Argument { .. }));
        }
        match KeyBytes::read(io::repeat(0)) {
            Err(Cause::Format(error)) => assert!(error.to_string().contains("this one is longer")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_odd_number_of_digits_is_a_mistake() {
        for len in (33..=127).step_by(2) {
            let digits = "a".repeat(len);
            for error in
                [KeyBytes::parse(digits.as_bytes()).unwrap_err(), KeyBytes::from_hex(&digits).unwrap_err()]
            {
                assert!(error.to_string().contains("even number of digits"), "{error}");
            }
        }
        let other = KeyBytes::from_hex("0x0123456789abcdef0123456789abcdef").unwrap_err();
        assert!(other.to_string().contains("0-9, a-f, A-F only"));
        assert!(KeyBytes::from_hex("0123456789abcdef0123456789abcdef\n").is_err());
    }

    #[test]
    fn files_are_read_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "00112233445566778899aabbccddeeff\n").unwrap();
        let bytes =
            [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(KeyBytes::open(&path).unwrap().as_bytes(), bytes);
        std::fs::write(&path, "short").unwrap();
        let error = KeyBytes::open(&path).unwrap_err();
        assert!(error.to_string().ends_with("key: the HMAC key has 5 bytes; 16 to 64 are needed"));
        assert!(!error.is_io());
        assert!(KeyBytes::open(folder.path().join("none")).unwrap_err().is_io());
        assert!(KeyBytes::open(folder.path()).unwrap_err().is_io(), "a folder");
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = KeyBytes::parse(b"secret secret secret").unwrap();
        assert_eq!(format!("{key:?}"), "KeyBytes(..)");
        assert_eq!(key.clone().as_bytes(), b"secret secret secret");
    }
}

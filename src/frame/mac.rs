//! HMAC_V1: who wrote a frame (spec/frame.md, "HMAC_V1").
#![deny(clippy::arithmetic_side_effects)]

use core::fmt;
use core::ops::Deref;

use hmac::KeyInit;
use hmac::block_api::HmacCore;
use hmac::digest::block_api::{Buffer, FixedOutputCore, UpdateCore};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::intact::IntactFrame;
use super::view::Frame;
use crate::error::{Error, ErrorKind, Result};

/// An HMAC-SHA-256 key (RFC 2104), 16 to 64 bytes.
///
/// Holds the keyed hash states rather than the key, so that each frame costs no key set-up; they are wiped on
/// drop and never printed. Keys that differ only in trailing zero bytes are the same key under HMAC.
#[derive(Clone)]
pub struct Key(HmacCore<Sha256>);

impl Key {
    /// # Errors
    /// [`ErrorKind::KeyLength`] outside 16 to 64 bytes: shorter keys can be guessed, and longer ones would be
    /// hashed first, so that a key and its hash were the same key.
    #[inline(never)] // its buffers would stay on its caller's stack
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let refused = Error::caller(ErrorKind::KeyLength { found: bytes.len() as u64 });
        if !(16..=64).contains(&bytes.len()) {
            return Err(refused);
        }
        HmacCore::new_from_slice(bytes).map(Self).map_err(|_| refused)
    }

    #[inline(never)] // as above
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        let mut buffer = Buffer::<HmacCore<Sha256>>::default();
        for part in parts {
            buffer.digest_blocks(part, |blocks| mac.update_blocks(blocks));
        }
        let mut out = Default::default();
        mac.finalize_fixed_core(&mut buffer, &mut out);
        out.into()
    }

    /// Constant-time comparison, by words: byte by byte it costs a sixth of the whole HMAC of a small frame.
    pub(crate) fn verify(&self, parts: &[&[u8]], tag: &[u8; 32]) -> bool {
        words(&self.sign(parts)).ct_eq(&words(tag)).into()
    }
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    words
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A frame whose HMAC_V1 was verified with a key: only [`Frame::verify`] makes one.
///
/// Functions that must not act on frames of unknown origin take this type. A MAC does not stop replay: an old
/// frame of the same author stays authentic.
#[derive(Clone, Copy, Debug)]
pub struct AuthenticatedFrame<'a>(Frame<'a>);

impl<'a> AuthenticatedFrame<'a> {
    /// A frame that was verified where it stands, and attached again.
    pub(crate) const fn attached(frame: Frame<'a>) -> Self {
        Self(frame)
    }

    /// The frame inside, as any checked frame.
    pub const fn into_frame(self) -> Frame<'a> {
        self.0
    }
}

impl<'a> Deref for AuthenticatedFrame<'a> {
    type Target = Frame<'a>;

    fn deref(&self) -> &Frame<'a> {
        &self.0
    }
}

impl<'a> Frame<'a> {
    /// Verifies HMAC_V1 under `key`, in constant time.
    ///
    /// # Errors
    /// [`ErrorKind::HmacMissing`] where the frame carries none, so that stripping the MAC is no way past a
    /// caller who has a key; [`ErrorKind::Hmac`] where it does not match. Both stand where HMAC_V1's hash
    /// stands, or where HMAC_V1 would.
    pub fn verify(self, key: &Key) -> Result<AuthenticatedFrame<'a>> {
        self.check_hmac(key)?;
        Ok(AuthenticatedFrame(self))
    }
}

impl IntactFrame<'_> {
    /// Verifies HMAC_V1 under `key`, in constant time. It covers everything from ctx to the payload, so whoever has the
    /// key wrote all of it; that its ctx and its DIGEST_V1 are the hashes they have to be is then that author's word. What
    /// was verified whole has a type of its own: [`Frame::verify`].
    ///
    /// # Errors
    /// Steps 12 and 14 of spec/frame.md, "Order of checks": [`ErrorKind::DigestMissing`], [`ErrorKind::FlagsHmac`]; then
    /// those of [`Frame::verify`].
    pub fn check_mac(&self, key: &Key) -> Result<()> {
        self.check_digest_there()?;
        self.check_flags()?;
        self.check_hmac(key)
    }

    fn check_hmac(&self, key: &Key) -> Result<()> {
        let Some((tag, offset)) = self.hmac() else {
            return Err(Error::new(ErrorKind::HmacMissing, self.hmac_place()));
        };
        if key.verify(&self.hmac_input(), tag) { Ok(()) } else { Err(Error::new(ErrorKind::Hmac, offset)) }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Messages that no frame has: cases of Project Wycheproof (tests/data/wycheproof).
    #[test]
    fn keys_sign_and_verify_what_wycheproof_says() {
        let hex = |text: &serde_json::Value| -> std::vec::Vec<u8> {
            let text = text.as_str().unwrap();
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let text = include_str!("../../tests/data/wycheproof/hmac_sha256.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut valid, mut invalid, mut refused) = (0, 0, 0);
        for case in file["tests"].as_array().unwrap() {
            let (key, msg, tag) = (hex(&case["key"]), hex(&case["msg"]), hex(&case["tag"]));
            let Ok(key) = Key::new(&key) else {
                assert!(key.len() > 64);
                refused += 1;
                continue;
            };
            // In one piece and in three.
            let (first, rest) = msg.split_at(msg.len() / 3);
            let parts = [first, &[], rest];
            assert_eq!(key.sign(&parts), key.sign(&[&msg]));
            let good = case["result"] == "valid";
            assert_eq!(key.sign(&parts)[..tag.len()] == tag, good, "{case}");
            if let Ok(tag) = tag[..].try_into() {
                assert_eq!(key.verify(&parts, tag), good, "{case}");
                *if good { &mut valid } else { &mut invalid } += 1;
            }
        }
        assert_eq!((valid, invalid, refused), (11, 19, 4));
    }

    /// `hmac` does not pass the marker on, but a key's states are two of SHA-256's, and those wipe themselves.
    #[test]
    fn key_states_are_wiped_on_drop() {
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<Sha256>();
        assert!(core::mem::needs_drop::<Key>());
    }
}

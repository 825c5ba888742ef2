//! The hashes of the frame: SHA-256 for DIGEST_V1, BLAKE2b for ctx and routing (spec/frame.md).

use blake2::Blake2b;
use blake2::digest::consts::{U8, U32};
use sha2::{Digest, Sha256};

use crate::wire::layout;

layout! {
    /// The 33 bytes of DIGEST_V1 and of HMAC_V1: version 01, then the hash.
    pub(crate) struct HashRaw {
        version: u8,
        hash: [u8; 32],
    }
}

impl HashRaw {
    /// The one version there is.
    pub(crate) const VERSION: u8 = 1;

    pub(crate) const fn new(hash: [u8; 32]) -> Self {
        Self { version: Self::VERSION, hash }
    }

    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// SHA-256 (FIPS 180-4) of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// BLAKE2b (RFC 7693) with an 8-byte digest; not the first 8 bytes of a longer one.
pub(crate) fn blake2b_64(bytes: &[u8]) -> [u8; 8] {
    Blake2b::<U8>::digest(bytes).into()
}

/// BLAKE2b (RFC 7693) with a 32-byte digest.
pub(crate) fn blake2b_256(bytes: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::digest(bytes).into()
}

//! The hashes of the frame: SHA-256 for DIGEST_V1, BLAKE2b for ctx and routing (spec/frame.md).

use blake2::Blake2b;
use blake2::digest::consts::{U8, U32};
use blake2::digest::{Digest, FixedOutputReset, Output};
use sha2::Sha256;

use crate::wire::layout;

// Functions that hash are never inlined: their buffers are on the stack while they run, not while their callers do.

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
#[inline(never)]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash::<Sha256>(parts).into()
}

/// BLAKE2b (RFC 7693) with an 8-byte digest; not the first 8 bytes of a longer one.
#[inline(never)]
pub(crate) fn blake2b_64(bytes: &[u8]) -> [u8; 8] {
    hash::<Blake2b<U8>>(&[bytes]).into()
}

/// BLAKE2b (RFC 7693) with a 32-byte digest.
#[inline(never)]
pub(crate) fn blake2b_256(bytes: &[u8]) -> [u8; 32] {
    hash::<Blake2b<U32>>(&[bytes]).into()
}

/// By reference to the end: methods that take the hasher have a copy of it on the stack.
fn hash<D: Digest + FixedOutputReset>(parts: &[&[u8]]) -> Output<D> {
    let mut hash = D::new();
    for part in parts {
        Digest::update(&mut hash, part);
    }
    hash.finalize_reset()
}

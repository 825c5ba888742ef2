//! The routing key: a content address that spreads frames over shards (spec/frame.md, "Routing key").

use core::fmt;
use core::num::NonZeroU64;

use super::digest::blake2b_256;

/// BLAKE2b-256 over a frame's header and payload: everything but the CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoutingKey([u8; 32]);

impl RoutingKey {
    pub(crate) fn of(header_and_payload: &[u8]) -> Self {
        Self(blake2b_256(header_and_payload))
    }

    /// A key that was computed elsewhere, or kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Which of `shards` the frame belongs to: the key's first 8 bytes, big-endian, modulo `shards`.
    pub const fn shard(&self, shards: NonZeroU64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % shards.get()
    }
}

impl fmt::Display for RoutingKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_is_the_big_endian_prefix_modulo_shards() {
        let mut key = [0xFF; 32];
        key[..8].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 5]);
        let key = RoutingKey(key);
        assert_eq!(key.shard(NonZeroU64::new(1000).unwrap()), 261);
        assert_eq!(key.shard(NonZeroU64::new(16).unwrap()), 5);
        assert_eq!(key.shard(NonZeroU64::MIN), 0);
    }
}

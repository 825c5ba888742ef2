//! The BIT frame: one parser, one checksum rule, one MAC rule and one routing key for every artefact.
//!
//! ```text
//! frame = magic(4) ctx(8) tlv... END payload crc16(2)
//! ```
//!
//! [`Frame::parse`] checks everything that can be checked without a key and hands out a zero-copy view
//! ([`IntactFrame`]: without the hashes, for small devices);
//! `Frame::verify` (feature `hmac`) turns it into an `AuthenticatedFrame`; [`FrameBuilder`] writes. The bytes
//! are stated in spec/frame.md.

mod build;
mod config;
mod context;
mod context_ref;
mod crc;
mod digest;
mod header;
mod intact;
#[cfg(feature = "alloc")]
mod json;
#[cfg(feature = "hmac")]
mod mac;
mod route;
mod tlv;
mod view;

pub(crate) use build::Part;
pub use build::{ALL_TLVS, FrameBuilder};
pub use config::{Config, Element, Flags, Kind};
#[cfg(feature = "alloc")]
pub use context::Context;
pub use context::ContextHash;
pub(crate) use context::check_same_but_dim;
pub use context_ref::ContextRef;
pub use crc::{Crc16, crc16};
pub use header::FrameHeader;
pub use intact::IntactFrame;
#[cfg(feature = "hmac")]
pub use mac::{AuthenticatedFrame, Key};
pub use route::RoutingKey;
pub use tlv::{Tlv, TlvType, Tlvs};
pub use view::{Frame, Frames};

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"BIT\x01";

pub(crate) use digest::sha256;
pub(crate) use intact::Detached;
#[cfg(any(test, feature = "alloc"))]
pub(crate) use tlv::{LengthRule, length_rule};
#[cfg(feature = "std")]
pub(crate) use view::check_digests;
#[cfg(test)]
pub(crate) use {
    config::{ConfigRaw, FlagsRaw},
    digest::HashRaw,
};
#[cfg(feature = "alloc")]
pub(crate) use {intact::DIGEST_FREE_SIZE, intact::payload_truncated, json::write_string};

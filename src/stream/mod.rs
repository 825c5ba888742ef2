//! Frames in a stream of bytes: found, checked, and found again after damage (spec/stream.md).
//!
//! A serial line loses bytes, doubles them, flips their bits and begins in the middle. [`FrameReader`] takes what comes, in whatever
//! pieces, in a buffer of fixed size, and yields every frame that passes, and every stretch that does not, with its reason.
//! What it yields never depends on how the stream was cut.
//!
//! ```
//! use bitwire::stream::{Event, FrameReader};
//! # use bitwire::frame::{Config, ContextHash, Element, FrameBuilder, Kind};
//! # let config = Config::new(Kind::BEACON, Element::I16, 1, 2, 1024);
//! # let builder = FrameBuilder::new(ContextHash([0; 8]), config, &[32, 0, 0xC0, 0xFF]);
//! # let mut buffer = [0; 128];
//! # let len = builder.encode_into(&mut buffer)?;
//! # let line: Vec<u8> = [&buffer[..len], b"noise", &buffer[..len - 5], &buffer[..len]].concat();
//!
//! let mut reader = FrameReader::<1024>::new();     // frames of up to 1,024 bytes
//! let (mut frames, mut skipped) = (0, 0);
//! for piece in line.chunks(7) {
//!     let mut piece = piece;
//!     while let Some(event) = reader.feed(&mut piece) {
//!         match event {
//!             Event::Frame { frame, .. } => frames += frame.payload().len(),
//!             Event::Skipped(stretch) => skipped += stretch.range.end - stretch.range.start,
//!         }
//!     }
//! }
//! assert_eq!((frames, skipped), (8, 5 + len as u64 - 5));
//! # Ok::<(), bitwire::Error>(())
//! ```
//!
//! - Raw streams are frames one after the other ([`Raw`]). After damage the next magic is searched for, from one byte after the last.
//! - In COBS (feature `cobs`) no byte of a frame is zero, and a zero byte ends it: the next frame
//!   starts after the next zero, whatever happened before.
#![cfg_attr(feature = "alloc", doc = "- [`Recover`] does the same to a capture that is in memory whole.")]

#[cfg(feature = "cobs")]
mod cobs;
#[cfg(any(feature = "embedded-io", feature = "embedded-io-async"))]
mod embedded;
mod event;
mod raw;
mod reader;
#[cfg(feature = "alloc")]
mod recover;

#[cfg(all(feature = "alloc", feature = "cobs"))]
pub use cobs::RecoverCobs;
#[cfg(feature = "cobs")]
pub use cobs::{Cobs, cobs_encode_into, cobs_encoded_len};
#[cfg(any(feature = "embedded-io", feature = "embedded-io-async"))]
pub use embedded::FrameSource;
#[cfg(all(feature = "embedded-io", feature = "cobs"))]
pub use embedded::write_cobs;
#[cfg(all(feature = "embedded-io-async", feature = "cobs"))]
pub use embedded::write_cobs_async;
pub use event::{Event, Skipped};
pub use raw::Raw;
pub use reader::FrameReader;
#[cfg(feature = "alloc")]
pub use recover::Recover;

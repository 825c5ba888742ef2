//! Compact, verifiable, zero-copy formats for the context of language models.
//!
//! One frame, "BIT", carries everything: magic, a 64-bit context hash, TLVs, a payload, a CRC-16, and where asked for a
//! SHA-256 digest and an HMAC. On it stands the **drift beacon**: the mean vector of a window of embeddings or logits
//! in int16, with the window's statistics and how far it has moved, signed and routed; the **token ledger**: exact
//! tokens by the million or billion, found again by position and proved by 32 bytes; **mirrors**: one master of KV
//! blocks, and many agents as the blocks in which they differ; **engrams**: KV states of llama.cpp, read where they are,
//! fingerprints of their keys, and an index in which the nearest earlier context is found; and **gists**: contexts compressed
//! into a few virtual tokens, carried and measured.
//!
//! - [`frame`]: parse, check, verify, build, route.
//! - [`beacon`]: read a beacon without an allocator; measure a window row by row and write one.
//! - [`ledger`]: chunks, indexes, proofs without an allocator; whole ledgers that survive crashes.
//! - [`mirror`]: masters, differences and their views without an allocator; a store of many agents.
//! - [`gist`]: compressed contexts, the attention masks that go with them, and what they keep.
//! - [`engram`]: states, certificates, whitenings and indexes read and searched without an allocator; fingerprints, and an
//!   index to be added to.
//! - [`stream`]: frames out of a stream of bytes, and out of a damaged one, in a buffer of fixed size.
#![cfg_attr(feature = "alloc", doc = "- [`inspect`]: explain bytes, field by field, past damage.")]
#![cfg_attr(
    feature = "arbitrary",
    doc = "- [`arbitrary`]: a fuzz kit for readers of these formats: valid frames, and frames in which one rule is broken."
)]
#![cfg_attr(
    feature = "std",
    doc = "- [`io`]: .npy arrays, .npz archives, safetensors, flat FAISS indexes, files written whole, keys."
)]
//!
//! ```
//! # #[cfg(feature = "hmac")]
//! # fn main() -> bitwire::Result<()> {
//! use bitwire::beacon::Beacon;
//! use bitwire::frame::{Frame, Key};
//! # let key = Key::new(b"0123456789abcdef")?;
//! # use bitwire::frame::{Config, Element, Kind};
//! # let config = Config::new(Kind::BEACON, Element::I16, 1, 2, 1024);
//! # let ctx = bitwire::frame::ContextHash([0; 8]);
//! # let builder = bitwire::frame::FrameBuilder::new(ctx, config, &[32, 0, 0xC0, 0xFF]).sign(&key);
//! # let mut buffer = [0; 256];
//! # let len = builder.encode_into(&mut buffer)?;
//! # let bytes = &buffer[..len];
//!
//! let frame = Frame::parse_exact(bytes)?;  // structure, CRC-16, context hash, digest
//! let frame = frame.verify(&key)?;         // who wrote it: an AuthenticatedFrame
//! let beacon = Beacon::from_frame(&frame)?;
//! let mut mean = [0.0; 2];
//! beacon.dequantise_row_into(0, &mut mean)?;
//! assert_eq!(mean, [0.5, -1.0]);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "hmac"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! Features add items; they never change what an item does.
//!
//! | feature | adds |
//! |---|---|
//! | (none) | `no_std`, no allocator: parse and check frames, also out of damaged streams, read and write beacons, read ledger chunks, mirrors, states, certificates, indexes and gists, attention masks, check proofs, take and apply differences, whiten, search, quantise, statistics over a caller's memory, write into a caller's buffer |
//! | `alloc` | owned contexts, windows, encoding into a `Vec`, `MasterMirror`, fingerprints, `OwnedIndex`, `inspect` |
//! | `std` (default) | files: ledgers, .npy, whole-file output; search by several threads, the semantic proof, table-driven CRC-16 |
//! | `hmac` (default) | keys, signing, `Frame::verify` |
//! | `simd` | kernels for the instruction sets found at run time (without `std`: those of the build); the same bits as without |
//! | `npz` | NumPy archives |
//! | `safetensors` | blocks from safetensors files, gists from and to them |
//! | `mmap` | ledgers, arrays and tensors as maps into memory |
//! | `linalg` | fingerprints by singular values, and the fit of a whitening |
//! | `niah` | needle in a haystack: samples, scores, the heat map |
//! | `ann` | approximate search in large indexes, with exact scores |
//! | `tinymind` | TinyMind's JSON ledgers, the evidence run and its report |
//! | `cobs` | streams in COBS |
//! | `arbitrary` | a fuzz kit for readers of these formats |
//! | `embedded-io`, `embedded-io-async` | streams from what implements the traits of those crates |
//! | `defmt` | `defmt::Format` for errors and for what headers say |
//! | `cli` | the `bitwire` binary |
//!
//! # What hostile input can do
//!
//! Nothing but be refused: every parser is free of panics, of quadratic loops and of allocations that the bytes at hand do
//! not justify; `unsafe` is denied but for the calls of a CRC and of a SHA-256 kernel, and the map of a file (`mmap`). Every refusal is an [`Error`] with a kind and an offset. The formats are
//! stated byte by byte in the documents of the repository's `spec/` folder, which a test holds the code to.
#![no_std]
#![deny(unsafe_code)]
// No panic is reachable from input bytes. Kernels that relax one of these say why beside it; modules that parse also
// deny unchecked arithmetic.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
mod arch;
pub mod beacon;
#[cfg(feature = "alloc")]
mod check;
pub mod engram;
mod error;
#[cfg(feature = "defmt")]
mod formats;
pub mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod gist;
#[cfg(feature = "alloc")]
pub mod inspect;
#[cfg(feature = "std")]
pub mod io;
pub mod ledger;
#[cfg(feature = "alloc")]
mod memory;
pub mod mirror;
#[cfg(any(all(test, feature = "alloc"), feature = "linalg", feature = "niah"))]
mod random;
#[cfg(test)]
mod spec_tables;
pub mod stream;
mod wire;

pub use error::{Error, ErrorKind, Result, Snippet};

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;

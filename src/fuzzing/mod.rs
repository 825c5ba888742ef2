//! What has to hold for any bytes at all: the bodies of the fuzz targets in fuzz/, which tests/fuzz.rs runs on mutated
//! inputs with a fixed seed as well.
//!
//! Behind the feature `fuzzing`, which is for these two only and no part of the stable interface. Nothing in the parsers
//! steps aside for a fuzzer: where a checksum stands in its way, `mend` writes into the input what the parser's error
//! says is missing, at the place the error names, and parses again. So every offset is tested by being used.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "an oracle speaks by panicking"
)]

mod beacon;
#[doc(hidden)]
pub mod blocks;
mod certificate;
mod context;
mod engram;
mod frame;
mod gist;
mod gist_files;
mod gist_mask;
mod inspect;
mod kit;
mod ledger_files;
mod ledger_frames;
mod mend;
mod mirror;
mod mirrors;
mod moments;
mod niah;
mod npy;
mod npz;
mod numbers;
mod proof;
mod python_tree;
mod recovery;
mod safetensors;
mod second_engram;
mod second_gist;
mod second_ledger;
mod second_mirror;
mod second_reader;
mod second_state;
mod second_stream;
mod state;
mod stream;
mod tinymind;

pub use beacon::{beacon, results};
pub use certificate::certificate;
pub use context::context;
pub use engram::{engram_index, whitening};
pub use frame::frame;
pub use gist::gist;
pub use gist_files::gist_files;
pub use gist_mask::gist_mask;
pub use inspect::inspect;
pub use kit::kit;
pub use ledger_files::ledger;
pub use ledger_frames::{chunk, index};
pub use mirror::{diff, mirror};
pub use mirrors::mirrors;
pub use moments::{moments, window};
pub use niah::niah;
pub use npy::npy;
pub use npz::npz;
pub use numbers::{crc16, mu16};
pub use proof::proof;
pub use recovery::recovery;
pub use safetensors::safetensors;
pub use state::state;
pub use stream::stream;
pub use tinymind::tinymind;

/// For benches/sha256.rs, which is the other user of this module.
pub fn sha256_many(messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) {
    crate::arch::sha256::sha256_many(messages, out);
}

/// What a target does with its input: nothing, or panic.
pub type Body = fn(&[u8]);

/// Every body with the name of its target.
pub const TARGETS: &[(&str, Body)] = &[
    ("beacon", beacon),
    ("certificate", certificate),
    ("chunk", chunk),
    ("context", context),
    ("crc16", crc16),
    ("diff", diff),
    ("engram_index", engram_index),
    ("frame", frame),
    ("gist", gist),
    ("gist_files", gist_files),
    ("gist_mask", gist_mask),
    ("index", index),
    ("inspect", inspect),
    ("kit", kit),
    ("ledger", ledger),
    ("mirror", mirror),
    ("mirrors", mirrors),
    ("moments", moments),
    ("mu16", mu16),
    ("niah", niah),
    ("npy", npy),
    ("npz", npz),
    ("proof", proof),
    ("recovery", recovery),
    ("results", results),
    ("safetensors", safetensors),
    ("state", state),
    ("stream", stream),
    ("tinymind", tinymind),
    ("whitening", whitening),
    ("window", window),
];

/// What holds for every error: its place lies within the input, and its text is one line that steers no terminal.
fn plausible(error: &crate::Error, len: usize) {
    assert!(error.offset() <= len as u64, "{error:?} in {len} bytes");
    printable(error);
}

fn printable(error: &impl core::fmt::Display) {
    struct Line;
    impl core::fmt::Write for Line {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            assert!(!has_control(text), "{text:?}");
            Ok(())
        }
    }
    core::fmt::Write::write_fmt(&mut Line, format_args!("{error}")).unwrap();
}

fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|byte| byte.is_ascii_control());
    }
    text.chars().any(char::is_control)
}

/// Whether it is the turn of something dear: for one in `of` inputs, always the same ones. What a body does for every input
/// decides how many inputs there are in an hour.
fn turn(data: &[u8], of: usize) -> bool {
    let end = data.iter().rev().take(16);
    end.fold(data.len(), |hash, byte| hash.wrapping_mul(31) ^ usize::from(*byte)).is_multiple_of(of)
}

/// Takes choices off the front of the input; zeros once it is used up.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.bytes(N);
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        usize::from(u16::from_le_bytes(self.array())) % bound
    }

    fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.array())
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn f32s(&mut self) -> alloc::vec::Vec<f32> {
        self.0.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn f64s(&mut self) -> alloc::vec::Vec<f64> {
        self.0.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    }
}

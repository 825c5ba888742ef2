//! Every truncation and every flipped bit of every vector, every small error under a CRC, every way to change a MAC.
//!
//! `cargo test` runs a sample, always the same one; all of it, 13 million harmed vectors and 11 million errors under a CRC, in some 7
//! minutes: `cargo test --release --all-features --test exhaustive -- --include-ignored`.
// Tests state expectations by panicking.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crc;
mod documents;
mod envelope;
mod frames;
mod ledgers;
mod macs;
mod streams;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

/// SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number under `end`, as evenly as 64 bits allow.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(end)) >> 64) as u64
    }
}

/// The cases of a file of spec/vectors.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("spec/vectors").join(file);
    let mut vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let Value::Array(cases) = vectors["cases"].take() else { panic!("{file}") };
    assert!(cases.len() > 100, "{file}: {}", cases.len());
    cases
}

/// The bytes of a member, if it has any.
pub(crate) fn bytes(case: &Value, member: &str) -> Option<Vec<u8>> {
    let text = case[member].as_str()?;
    assert!(text.len().is_multiple_of(2));
    Some((0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect())
}

/// The same bytes of several files and members, each once.
pub(crate) fn documents(sources: &[(&str, &[&str], &str)]) -> Vec<Vec<u8>> {
    let mut all = BTreeSet::new();
    for (file, views, member) in sources {
        let named = |case: &&Value| views.contains(&case["view"].as_str().unwrap());
        let before = all.len();
        all.extend(cases(file).iter().filter(named).filter_map(|case| bytes(case, member)));
        assert!(all.len() > before, "{file}: {views:?} has no {member}");
    }
    all.into_iter().collect()
}

/// What is done to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// One bit is flipped: bit 0 is the highest of byte 0.
    Flip(usize),
    /// This many bytes are left of it.
    Cut(usize),
}

/// One harm of this many, by a seeded choice.
pub(crate) struct Attack {
    rate: u64,
    random: Random,
    wait: u64,
    inputs: u64,
    started: Instant,
}

impl Attack {
    pub(crate) fn new(rate: u64) -> Self {
        let mut random = Random(20_260_222);
        let wait = random.below(rate);
        Self { rate, random, wait, inputs: 0, started: Instant::now() }
    }

    /// The harms of a document of `len` bytes that are in the sample: flips, then cuts.
    fn harms(&mut self, len: usize, mut done: impl FnMut(Harm)) {
        let all = 9 * len as u64;
        // Of a sample, a few of a long document: it takes as long as thousands of short ones.
        let rate = if self.rate > 1 && len > 1 << 13 { 200 * self.rate } else { self.rate };
        let mut i = self.wait;
        while i < all {
            let at = i as usize;
            done(if at < 8 * len { Harm::Flip(at) } else { Harm::Cut(at - 8 * len) });
            self.inputs += 1;
            // One on average, and never the same distance throughout.
            i += 1 + self.random.below(2 * rate - 1);
        }
        self.wait = i - all;
    }

    /// Shows `held` what is left of `document` after each harm.
    pub(crate) fn on(&mut self, document: &[u8], mut held: impl FnMut(Harm, &[u8])) {
        let mut flipped = document.to_vec();
        self.harms(document.len(), |harm| match harm {
            Harm::Flip(bit) => {
                let mask = 0x80 >> (bit % 8);
                flipped[bit / 8] ^= mask;
                held(harm, &flipped);
                flipped[bit / 8] ^= mask;
            }
            Harm::Cut(len) => held(harm, &document[..len]),
        });
    }

    /// Prints what was done.
    pub(crate) fn done(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        println!("{what}: {} inputs, 1 of {} harms, {seconds:.2} s", self.inputs, self.rate);
        assert!(self.inputs > 500, "{what}");
    }
}

/// The same test for a sample of the harms, and for all of them.
macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident / $whole:ident, 1 of $rate:literal, $body:expr;)+) => {
        $(
            $(#[$doc])*
            #[test]
            fn $name() {
                let mut attack = crate::Attack::new($rate);
                $body(&mut attack);
                attack.done(stringify!($name));
            }

            #[test]
            #[ignore = "all of them take minutes, built for release"]
            fn $whole() {
                let mut attack = crate::Attack::new(1);
                $body(&mut attack);
                attack.done(stringify!($whole));
            }
        )+
    };
}
pub(crate) use attacks;

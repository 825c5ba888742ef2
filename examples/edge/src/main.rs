//! A Cortex-M3 with 32 KiB of RAM that checks a ledger's chunk with its proof, reads a beacon and verifies a MAC, and
//! refuses what was altered. It says so line by line; its exit status is 0 if everything came out as expected.
//!
//! ```console
//! $ examples/edge/run.sh
//! ```
//!
//! run.sh uses Debian's compiler, which has the source of `core`. With a toolchain that has the target:
//!
//! ```console
//! $ cargo build --release --target thumbv7m-none-eabi
//! $ qemu-system-arm -cpu cortex-m3 -machine lm3s6965evb -nographic -semihosting-config enable=on,target=native \
//!       -kernel target/thumbv7m-none-eabi/release/firmware
//! ```
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::fmt::Debug;
use core::hint::black_box;

use bitwire::frame::crc16;
use bitwire::{ErrorKind, Result};
use bitwire_edge::{
    BEACON, CHUNK, FORGED, KEY, KNOWN, Known, PROOF, Reading, SIGNED, finish, read_beacon, sum_of_chunk,
    stack, verify,
};
use cortex_m_semihosting::hprintln;

/// What examples/edge/make.py makes of the same bytes; for SDS, what RESULTS_V1 says.
const SUM: u64 = 47650;
const READING: Reading =
    Reading { alert: true, sds: Some(1.301_897_489_817_024_6), largest: (141, 0.050_903_320_312_5) };
const PAYLOAD: usize = 768;

/// A copy with one bit changed.
fn altered<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; N] {
    let mut copy = *bytes;
    copy[at] ^= 1;
    copy
}

/// Whether all lines so far told what was expected.
struct Report(bool);

impl Report {
    fn accepted(&mut self, what: &str, as_expected: bool) {
        self.0 &= as_expected;
        hprintln!("{}: {}", what, if as_expected { "as expected" } else { "NOT AS EXPECTED" });
    }

    fn refused<T: Debug>(&mut self, what: &str, result: Result<T>, expected: fn(ErrorKind) -> bool) {
        match result {
            Err(error) if expected(error.kind()) => hprintln!("{}: refused: {}", what, error),
            other => {
                self.0 = false;
                hprintln!("{}: NOT AS EXPECTED: {:?}", what, other);
            }
        }
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut report = Report(true);
    // black_box: a compiler that sees the bytes leaves out the checks they pass.
    let (chunk, proof) = (black_box(CHUNK.as_slice()), black_box(PROOF.as_slice()));

    let (sum, chunk_stack) = stack::of(|| sum_of_chunk(&KNOWN, chunk, proof));
    hprintln!("chunk 1, its tokens' sum: {:?}", sum);
    report.accepted("  which Python made of them too", sum == Ok(SUM));
    let copy = altered(CHUNK, CHUNK.len() - 5);
    report
        .refused("altered chunk", sum_of_chunk(&KNOWN, &copy, proof), |e| matches!(e, ErrorKind::Crc { .. }));
    report.refused("forged chunk", sum_of_chunk(&KNOWN, FORGED, proof), |e| {
        matches!(e, ErrorKind::ProofRoot { .. })
    });
    let copy = altered(PROOF, PROOF.len() - 1);
    report.refused("altered proof", sum_of_chunk(&KNOWN, chunk, &copy), |e| {
        matches!(e, ErrorKind::ProofRoot { .. })
    });
    let other = Known { root: altered(&KNOWN.root, 31), chunks: KNOWN.chunks };
    report.refused("another root", sum_of_chunk(&other, chunk, proof), |e| {
        matches!(e, ErrorKind::ProofRoot { .. })
    });
    let other = Known { root: KNOWN.root, chunks: 4 };
    report.refused("another size", sum_of_chunk(&other, chunk, proof), |e| {
        matches!(e, ErrorKind::Argument { .. })
    });

    let (reading, beacon_stack) = stack::of(|| read_beacon(black_box(BEACON.as_slice())));
    if let Ok(Reading { alert, sds, largest: (component, value) }) = reading {
        hprintln!("beacon: alert: {}, SDS {:?}, largest component {}: {}", alert, sds, component, value);
    }
    report.accepted("  which its text and Python say too", reading == Ok(READING));

    let (payload, hmac_stack) = stack::of(|| verify(black_box(KEY), black_box(SIGNED.as_slice())));
    report.accepted("signed beacon, its HMAC", payload == Ok(PAYLOAD));
    report.refused("beacon without HMAC", verify(KEY, BEACON), |e| matches!(e, ErrorKind::HmacMissing));
    report.refused("another key", verify(&KEY[1..], SIGNED), |e| matches!(e, ErrorKind::Hmac));
    // By somebody who has no key, but can compute a CRC.
    let mut copy = altered(SIGNED, SIGNED.len() - 3);
    let crc = crc16(&copy[4..SIGNED.len() - 2]);
    copy[SIGNED.len() - 2..].copy_from_slice(&crc.to_be_bytes());
    report.refused("altered beacon", verify(KEY, &copy), |e| matches!(e, ErrorKind::Hmac));

    hprintln!(
        "stack in bytes: chunk and proof {}, beacon {}, HMAC {}; here {} of {} are in use",
        chunk_stack,
        beacon_stack,
        hmac_stack,
        stack::now(),
        stack::available(),
    );
    hprintln!("{}", if report.0 { "all as expected" } else { "NOT ALL AS EXPECTED" });
    finish(report.0)
}

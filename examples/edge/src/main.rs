//! A Cortex-M3 with 32 KiB of RAM at the end of a serial line. It reads beacons from a stream with damage in it, checks who
//! wrote each, compares its drift with a threshold, and answers where it belongs; finds a token in a ledger by an index, and
//! checks that a chunk is the ledger's; measures a window of its own, and sends its beacon. It says so line by line; its exit
//! status is 0 if everything came out as expected.
//!
//! ```console
//! $ examples/edge/run.sh
//! ```
//!
//! run.sh uses Debian's compiler, which has the source of `core`. With a toolchain that has the target:
//!
//! ```console
//! $ cargo build --release --features edge --target thumbv7m-none-eabi
//! ```
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use core::fmt::Debug;
use core::hint::black_box;
use core::num::NonZeroU64;

use bitwire::beacon::{Beacon, FixedWindow, StepChoice, WindowOptions};
use bitwire::frame::{ContextRef, Frame, Key};
use bitwire::ledger::Index;
use bitwire::stream::{Event, FrameSource};
use bitwire::{ErrorKind, Result};
use bitwire_edge::{CHUNK, FORGED, INDEX, KEY, KNOWN, Known, LEDGER, PROOF, finish, stack, sum_of_chunk};
use cortex_m_semihosting::hprintln;
use embedded_io::Write;

#[expect(unsafe_code, reason = "registers")]
mod uart;
use uart::Uart;

/// The longest frame that the device takes.
const LONGEST: usize = 4096;
/// A drift from which this device wants to be told, whatever the beacon's own threshold is.
const THRESHOLD: f64 = 1.0;
const SHARDS: NonZeroU64 = NonZeroU64::new(1000).unwrap();
/// What examples/edge/make.py makes of the same ledger.
const SUM: u64 = 47650;
const POSITION: u64 = 237;
const TOKEN: u32 = 659;
/// The device's own vectors: their components, and what they are.
const DIM: usize = 4;
const CONTEXT: &[u8] = br#"{"dim":4,"model_id":"lis3dh","pi_id":"raw","space_id":"pump 7"}"#;

/// Whether all lines so far told what was expected.
struct Report(bool);

impl Report {
    fn check(&mut self, as_expected: bool) {
        if !as_expected {
            self.0 = false;
            hprintln!("NOT AS EXPECTED");
        }
    }

    fn refused<T: Debug>(&mut self, what: &str, result: Result<T>, expected: fn(ErrorKind) -> bool) {
        match result {
            Err(error) => {
                hprintln!("{}: refused: {}", what, error);
                self.check(expected(error.kind()));
            }
            other => {
                hprintln!("{}: {:?}", what, other);
                self.check(false);
            }
        }
    }
}

/// What one frame of the line says, if it is from somebody with the key.
#[inline(never)]
fn read(start: u64, end: u64, frame: Frame<'_>, key: &Key) {
    let frame = match frame.verify(key) {
        Ok(frame) => frame,
        Err(error) => return hprintln!("{}..{}: frame, MAC refused: {}", start, end, error),
    };
    let beacon = match Beacon::from_frame(&frame) {
        Ok(beacon) => beacon,
        Err(error) => return hprintln!("{}..{}: frame, MAC ok, no beacon: {}", start, end, error),
    };
    let Some(sds) = beacon.results().and_then(|results| results.drift).map(|drift| drift.sds) else {
        return hprintln!("{}..{}: frame, MAC ok, no drift", start, end);
    };
    let over = if sds >= THRESHOLD { "over" } else { "below" };
    let alert = if beacon.alert() { "ALERT" } else { "quiet" };
    let key = frame.routing_key();
    hprintln!("{}..{}: frame, MAC ok, SDS {} is {} {}, {}", start, end, sds, over, THRESHOLD, alert);
    hprintln!("  key {}, shard {}", key, key.shard(SHARDS));
}

/// Reads the line until it is idle. Returns how many frames came, and how many stretches of damage.
#[inline(never)]
fn listen(line: Uart, key: &Key) -> (u32, u32) {
    let mut source = FrameSource::<Uart, LONGEST>::new(line);
    let (mut frames, mut skipped) = (0, 0);
    // A UART has no errors that this one tells; the stream ends where the line stays idle.
    while let Ok(Some(event)) = source.next_event() {
        match event {
            Event::Frame { range, frame } => {
                frames += 1;
                read(range.start, range.end, frame, key);
            }
            Event::Skipped(stretch) => {
                skipped += 1;
                hprintln!("{}..{}: skipped: {}", stretch.range.start, stretch.range.end, stretch.reason);
            }
        }
    }
    (frames, skipped)
}

/// The token at a position of a ledger.
fn token_at(index: &[u8], ledger: &[u8], position: u64) -> Result<(u64, u64, u32)> {
    let index = Index::parse_exact(index)?;
    let (offset, chunk) = index.find(ledger, position)?;
    let at = (position - chunk.start()) as usize;
    Ok((offset, chunk.id(), chunk.tokens().nth(at).unwrap_or_default()))
}

/// Measures a window of the device's own vectors, and sends its beacon.
#[inline(never)]
fn emit(line: &mut Uart, key: &Key) -> Result<usize> {
    let mut window = FixedWindow::<DIM>::new();
    let options = WindowOptions { sds_threshold: Some(100.0), t1: 6.4, ..WindowOptions::default() };
    window.start_in_halves(64, options)?;
    for i in 0..64 {
        window.push_i16(&[40 * (i % 3), -30 * (i % 5), 1024 + 9 * i, 215 + i])?;
    }
    let measured = window.finish()?;
    let mut buffer = [0; 512];
    let beacon = measured.to_beacon(ContextRef::parse(CONTEXT)?, StepChoice::Auto)?.sign(key);
    let len = beacon.encode_into(&mut buffer)?;
    let _ = line.write_all(&buffer[..len]);
    Ok(len)
}

/// A copy with one bit changed.
fn altered<const N: usize>(bytes: &[u8; N], at: usize) -> [u8; N] {
    let mut copy = *bytes;
    copy[at] ^= 1;
    copy
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut report = Report(true);
    let Ok(key) = Key::new(black_box(KEY)) else { finish(false) };

    let ((frames, skipped), line_stack) = stack::of(|| listen(Uart::enable(), &key));
    hprintln!("line: {} frames, {} stretches skipped", frames, skipped);
    report.check((frames, skipped) == (8, 9));

    // black_box: a compiler that sees the bytes leaves out the checks they pass.
    let (index, ledger) = (black_box(INDEX.as_slice()), black_box(LEDGER.as_slice()));
    let (found, find_stack) = stack::of(|| token_at(index, ledger, POSITION));
    if let Ok((offset, id, token)) = found {
        hprintln!("position {}: token {} in chunk {} at byte {}", POSITION, token, id, offset);
    }
    report.check(matches!(found, Ok((_, 2, TOKEN))));
    report.refused("position 300", token_at(index, ledger, 300), |e| matches!(e, ErrorKind::Unknown { .. }));
    report.refused("a ledger cut short", token_at(index, &ledger[..600], POSITION), |e| {
        matches!(e, ErrorKind::ForeignIndex { .. })
    });

    let (chunk, proof) = (black_box(CHUNK.as_slice()), black_box(PROOF.as_slice()));
    let (sum, chunk_stack) = stack::of(|| sum_of_chunk(&KNOWN, chunk, proof));
    if let Ok(sum) = sum {
        hprintln!("chunk 1 is the ledger's; its tokens' sum: {}", sum);
    }
    report.check(sum == Ok(SUM));
    let copy = altered(CHUNK, CHUNK.len() - 5);
    let refused = sum_of_chunk(&KNOWN, &copy, proof);
    report.refused("altered chunk", refused, |e| matches!(e, ErrorKind::Crc { .. }));
    let refused = sum_of_chunk(&KNOWN, FORGED, proof);
    report.refused("forged chunk", refused, |e| matches!(e, ErrorKind::ProofRoot { .. }));
    let copy = altered(PROOF, PROOF.len() - 1);
    let refused = sum_of_chunk(&KNOWN, chunk, &copy);
    report.refused("altered proof", refused, |e| matches!(e, ErrorKind::ProofRoot { .. }));
    let other = Known { root: altered(&KNOWN.root, 31), chunks: KNOWN.chunks };
    let refused = sum_of_chunk(&other, chunk, proof);
    report.refused("another root", refused, |e| matches!(e, ErrorKind::ProofRoot { .. }));

    let (sent, emit_stack) = stack::of(|| emit(&mut Uart::enable(), &key));
    match sent {
        Ok(len) => hprintln!("sent: {} bytes", len),
        Err(error) => hprintln!("not sent: {}", error),
    }
    report.check(sent.is_ok());

    hprintln!(
        "stack in bytes: line {} ({} of them the reader's), find {}, chunk and proof {}, window and beacon {}; {} there are",
        line_stack,
        size_of::<FrameSource<Uart, LONGEST>>(),
        find_stack,
        chunk_stack,
        emit_stack,
        stack::available(),
    );
    hprintln!("{}", if report.0 { "all as expected" } else { "NOT ALL AS EXPECTED" });
    finish(report.0)
}

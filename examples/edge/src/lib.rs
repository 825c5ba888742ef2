//! What the device does, what it does it with, and how it ends. Nothing here allocates.
#![no_std]
#![deny(unsafe_code)]

use core::panic::PanicInfo;

use bitwire::beacon::{Beacon, mu16};
#[cfg(feature = "hmac")]
use bitwire::frame::Key;
use bitwire::frame::{Frame, IntactFrame};
use bitwire::ledger::{Chunk, Claim, Digest, Proof};
use bitwire::{Error, ErrorKind, Result};
use cortex_m_semihosting::{debug, hio};

#[expect(unsafe_code, reason = "paints memory that no Rust value has")]
pub mod stack;

/// As they came over a wire: chunk 1 of a ledger of 3, and the proof for it.
pub static CHUNK: &[u8; 290] = include_bytes!("../../../tests/data/ledger/chunk1.bit");
pub static PROOF: &[u8; 88] = include_bytes!("../../../tests/data/ledger/chunk1.proof");
/// The whole ledger, and its index.
pub static LEDGER: &[u8; 870] = include_bytes!("../data/ledger.bit");
pub static INDEX: &[u8; 273] = include_bytes!("../data/index.bit");
/// A beacon, and the same with a MAC.
pub static BEACON: &[u8; 2659] = include_bytes!("../../../tests/data/beacon.bit");
pub static SIGNED: &[u8; 2695] = include_bytes!("../data/signed.bit");
/// A chunk in place of chunk 1 that has one other token, and is right in itself.
pub static FORGED: &[u8; 290] = include_bytes!("../data/forged.bit");

/// What the device was given once, by a way it trusts: the state of the ledger at some time.
pub struct Known {
    pub root: Digest,
    pub chunks: u64,
}

pub static KNOWN: Known = Known { root: *include_bytes!("../../../tests/data/ledger/root.bin"), chunks: 3 };
/// And the key of whoever writes its beacons.
pub static KEY: &[u8] = b"the key of the firmware example";

/// The sum of the chunk's tokens, if it is one of the ledger that is known.
///
/// # Errors
/// What is wrong with the chunk or its proof.
pub fn sum_of_chunk(known: &Known, chunk: &[u8], proof: &[u8]) -> Result<u64> {
    let chunk = Chunk::parse_exact(chunk)?;
    let proof = Proof::parse(proof)?;
    // A root proves no size: a proof for a tree of another size is not one for this ledger.
    if !matches!(proof.claim(), Claim::Inclusion { tree_size, .. } if tree_size == known.chunks) {
        return Err(Error::caller(ErrorKind::Argument { expected: "the proof has to be for this ledger" }));
    }
    proof.verify_chunk(&chunk, &known.root)?;
    Ok(chunk.tokens().map(u64::from).sum())
}

/// What a device may want to know of a beacon.
#[derive(Clone, Copy, PartialEq)]
pub struct Reading {
    pub alert: bool,
    pub sds: Option<f64>,
    /// The largest component of the mean, and where it is.
    pub largest: (usize, f32),
}

/// Checks a beacon's frame and reads it, component by component: not even one vector has to fit the memory.
///
/// # Errors
/// What is wrong with the beacon.
pub fn read_beacon(bytes: &[u8]) -> Result<Reading> {
    let frame = Frame::parse_exact(bytes)?;
    let beacon = Beacon::from_frame(&frame)?;
    let mut largest = (0, 0.0_f32);
    for (i, q) in beacon.row(0).into_iter().flatten().enumerate() {
        let x = mu16::dequantise(q, beacon.step()) as f32;
        if x.abs() > largest.1.abs() {
            largest = (i, x);
        }
    }
    let sds = beacon.results().and_then(|results| results.drift).map(|drift| drift.sds);
    Ok(Reading { alert: beacon.alert(), sds, largest })
}

/// Checks a frame as far as that needs no hash. Returns the length of its payload.
///
/// # Errors
/// What is wrong with the frame.
pub fn parse(bytes: &[u8]) -> Result<usize> {
    Ok(IntactFrame::parse(bytes)?.0.payload().len())
}

/// The same, and who wrote it.
///
/// # Errors
/// What is wrong with the frame or its MAC.
#[cfg(feature = "hmac")]
pub fn parse_and_verify(key: &[u8], bytes: &[u8]) -> Result<usize> {
    let frame = IntactFrame::parse(bytes)?.0;
    frame.check_mac(&Key::new(key)?)?;
    Ok(frame.payload().len())
}

/// Checks all there is to check of a frame, and who wrote it. Returns the length of its payload.
///
/// # Errors
/// What is wrong with the frame or its MAC.
#[cfg(feature = "hmac")]
pub fn verify(key: &[u8], bytes: &[u8]) -> Result<usize> {
    Ok(Frame::parse_exact(bytes)?.verify(&Key::new(key)?)?.payload().len())
}

/// Does one job, says how much stack it took, and ends QEMU.
pub fn measure(job: impl FnOnce() -> bool) -> ! {
    let (all_is_well, bytes) = stack::of(job);
    // No formatting machinery beside the job whose size is of interest.
    let (mut digits, mut rest) = (*b"     \n", bytes);
    for digit in digits.iter_mut().rev().skip(1) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let said = hio::hstdout().and_then(|mut out| out.write_all(&digits));
    finish(all_is_well && said.is_ok())
}

/// Ends QEMU, with status 0 if all is well and 1 if not.
pub fn finish(all_is_well: bool) -> ! {
    loop {
        debug::exit(if all_is_well { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    }
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    finish(false)
}

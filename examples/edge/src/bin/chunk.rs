//! One job alone, for the size of it: is the chunk the ledger's?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{CHUNK, KNOWN, PROOF, measure, sum_of_chunk};

#[cortex_m_rt::entry]
fn main() -> ! {
    // black_box: a compiler that sees the bytes leaves out the checks they pass.
    measure(|| {
        sum_of_chunk(black_box(&KNOWN), black_box(CHUNK.as_slice()), black_box(PROOF.as_slice())) == Ok(47650)
    })
}

//! One job alone, for the size of it: did the frame come through undamaged?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{SIGNED, measure, parse};

#[cortex_m_rt::entry]
fn main() -> ! {
    // black_box: a compiler that sees the bytes leaves out the checks they pass.
    measure(|| parse(black_box(SIGNED.as_slice())) == Ok(768))
}

//! One job alone, for the size of it: did the frame come through undamaged, and who wrote it?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{KEY, SIGNED, measure, parse_and_verify};

#[cortex_m_rt::entry]
fn main() -> ! {
    measure(|| parse_and_verify(black_box(KEY), black_box(SIGNED.as_slice())) == Ok(768))
}

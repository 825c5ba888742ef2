//! One job alone, for the size of it: all that there is to check of a frame, and who wrote it?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{KEY, SIGNED, measure, verify};

#[cortex_m_rt::entry]
fn main() -> ! {
    measure(|| verify(black_box(KEY), black_box(SIGNED.as_slice())) == Ok(768))
}

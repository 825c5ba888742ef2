//! No job at all: what the sizes of the others are to be compared with.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::finish;

#[cortex_m_rt::entry]
fn main() -> ! {
    finish(black_box(true))
}

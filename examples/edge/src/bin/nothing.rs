//! No job at all: what the sizes of the others are to be compared with.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::measure;

#[cortex_m_rt::entry]
fn main() -> ! {
    measure(|| black_box(true))
}

//! The third job alone, for the size of it: who wrote the frame?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{KEY, SIGNED, finish, verify};

#[cortex_m_rt::entry]
fn main() -> ! {
    finish(verify(black_box(KEY), black_box(SIGNED.as_slice())) == Ok(768))
}

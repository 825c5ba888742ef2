//! One job alone, for the size of it: what does the beacon say?
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use bitwire_edge::{BEACON, measure, read_beacon};

#[cortex_m_rt::entry]
fn main() -> ! {
    measure(|| {
        let reading = read_beacon(black_box(BEACON.as_slice()));
        matches!(reading, Ok(reading) if reading.alert && reading.largest.0 == 141)
    })
}

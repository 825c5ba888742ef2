//! bitwire for C: frames and beacons read, verified and routed in memory that the caller has.
//!
//! The types and functions are those of `include/bitwire.h`, which cbindgen makes of these sources: what is written
//! here for C is written in the words of C. How to build and link: README.md.
//!
//! This crate exists so that the library itself needs no `unsafe`. Every block of it here does one of three things: makes
//! a slice of a pointer and a length, writes a struct of the caller's, or reads back what this crate wrote there. No panic
//! is reachable from bytes or arguments; the library has none, and nothing here indexes, unwraps or computes unchecked.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::arithmetic_side_effects)]
// The names are C's.
#![allow(non_camel_case_types)]

#[cfg(any(feature = "std", test))]
extern crate std;

mod abi;
mod beacon;
mod error;
mod frame;
mod memory;
mod status;

pub use abi::*;
pub use beacon::*;
pub use error::*;
pub use frame::*;
pub use status::*;

/// A static library needs one. Nothing here panics; should that be wrong, the program stops where it is.
#[cfg(not(any(feature = "std", test)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The core that comes with a host's compiler was built for panics that unwind, and names what unwinding calls. Nothing calls it.
#[cfg(all(not(any(feature = "std", test)), panic = "abort", not(target_os = "none")))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

//! bitwire
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod arch;
pub mod beacon;
#[cfg(feature = "alloc")]
mod check;
mod error;
pub mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "std")]
pub mod io;
#[cfg(test)]
mod spec;
mod wire;

#[cfg(feature = "alloc")]
pub use check::check;
pub use error::{Error, ErrorKind, Result, Snippet};

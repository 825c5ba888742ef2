//! bitwire
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod arch;
pub mod beacon;
mod error;
pub mod frame;
#[cfg(feature = "alloc")]
pub mod inspect;
#[cfg(feature = "std")]
pub mod io;
mod wire;

pub use error::{Error, ErrorKind, Result};

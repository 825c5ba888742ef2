//! Beacons.

#[cfg(feature = "alloc")]
mod scl;

#[cfg(feature = "alloc")]
pub use scl::Scl;

//! Beacons.

pub mod mu16;

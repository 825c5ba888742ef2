//! Beacons.

pub mod stats;

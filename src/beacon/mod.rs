//! Beacons: the mean of a window of embeddings or logits in int16, with its statistics and drift.
//!
//! [`Beacon`] reads one without an allocator. [`FixedWindow`] measures rows as they come in memory of a fixed size, and
//! [`BeaconBuilder`] writes one into the caller's buffer; `Window` (feature `alloc`) does both for vectors of any length.
//! The bytes are stated in spec/beacon.md.

mod build;
mod calibration;
mod drift;
mod fixed;
mod measure;
pub mod mu16;
mod results;
#[cfg(feature = "alloc")]
mod scl;
pub mod stats;
mod view;
#[cfg(feature = "alloc")]
mod window;

pub use build::{BeaconBuilder, ContextOrHash, StepChoice};
pub use calibration::{Calibration, CalibrationBuilder};
pub use drift::{Drift, Reference, Weights};
pub use fixed::FixedWindow;
pub use measure::{MeasuredRef, WindowOptions};
pub use mu16::Step;
pub use results::{Results, ResultsText};
#[cfg(feature = "alloc")]
pub use scl::Scl;
pub use stats::Sigma;
pub use view::Beacon;
#[cfg(feature = "alloc")]
pub use window::{Against, Encoded, Measured, Window};

#[cfg(test)]
pub(crate) use calibration::CalibRaw;

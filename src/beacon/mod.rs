//! Beacons: the mean of a window of embeddings or logits in int16, with its statistics and drift.
//!
//! [`Beacon`] reads one without an allocator. `Window` (feature `alloc`) measures rows as they come and makes one.
//! The bytes are stated in spec/beacon.md.

mod calibration;
mod drift;
pub mod mu16;
mod results;
#[cfg(feature = "alloc")]
mod scl;
pub mod stats;
mod view;
#[cfg(feature = "alloc")]
mod window;

pub use calibration::{Calibration, CalibrationBuilder};
pub use drift::{Drift, Reference, Weights};
pub use mu16::Step;
pub use results::{Results, ResultsText};
#[cfg(feature = "alloc")]
pub use scl::Scl;
pub use stats::Sigma;
pub use view::Beacon;
#[cfg(feature = "alloc")]
pub use window::{Against, Encoded, Measured, StepChoice, Window, WindowOptions};

#[cfg(test)]
pub(crate) use calibration::CalibRaw;

//! Everything that can be checked of a frame besides its envelope.

use crate::beacon::Beacon;
use crate::error::Result;
use crate::frame::{Frame, Kind};

/// Checks what [`Frame::parse`] leaves to others: that the context is canonical and agrees with the frame, and the
/// typed view of the kinds that have one here. Kinds without one pass.
///
/// # Errors
/// Those of [`Frame::context`] and of the typed view, with offsets from the frame's start.
pub fn check(frame: &Frame<'_>) -> Result<()> {
    frame.context()?;
    match frame.kind() {
        Kind::BEACON => Beacon::from_frame(frame).map(|_| ()),
        _ => Ok(()),
    }
}

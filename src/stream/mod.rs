//! Frames in a stream of bytes: found, checked, and found again after damage.

//! The frame.

mod crc;

pub use crc::{Crc16, crc16};

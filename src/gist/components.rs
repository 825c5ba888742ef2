//! Components in one type as another.
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::blocks::Float;
use crate::arch::{half, mu16};
use crate::mirror::Scalar;

/// Components converted at a time.
const CHUNK: usize = 64;

/// f32 of as many stored components as both have room for.
pub(super) fn widen(scalar: Scalar, bytes: &[u8], out: &mut [f32]) {
    match scalar {
        Scalar::Mu16(step) => mu16::dequantise(bytes, step.get(), out),
        Scalar::F32 | Scalar::F16 | Scalar::Bf16 => {
            if let Some(float) = scalar.float() {
                half::widen(float, bytes, out);
            }
        }
    }
}

/// Stores the components of `from` as floats at the start of `to`.
pub(super) fn convert(from_scalar: Scalar, from: &[u8], float: Float, to: &mut [u8]) {
    if from_scalar.float() == Some(float) {
        if let Some(to) = to.get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        return;
    }
    let mut wide = [0.0; CHUNK];
    let from = from.chunks(CHUNK.saturating_mul(from_scalar.size()));
    for (from, to) in from.zip(to.chunks_mut(CHUNK.saturating_mul(float.size()))) {
        let count = from.len().checked_div(from_scalar.size()).unwrap_or(0);
        let wide = wide.get_mut(..count).unwrap_or_default();
        widen(from_scalar, from, wide);
        half::narrow(float, wide, to);
    }
}

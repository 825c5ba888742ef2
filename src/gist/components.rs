//! Components in one type as another.
#![deny(clippy::arithmetic_side_effects)]

use crate::arch::half;
use crate::beacon::mu16;
use crate::mirror::Scalar;

/// Components converted at a time.
const CHUNK: usize = 64;

/// f32 of as many stored components as both have room for.
pub(super) fn widen(scalar: Scalar, bytes: &[u8], out: &mut [f32]) {
    match scalar {
        Scalar::Mu16(step) => {
            for (to, from) in out.iter_mut().zip(bytes.as_chunks().0) {
                *to = mu16::dequantise(i16::from_le_bytes(*from), step) as f32;
            }
        }
        Scalar::F32 | Scalar::F16 | Scalar::Bf16 => {
            if let Some(float) = scalar.float() {
                half::widen(float, bytes, out);
            }
        }
    }
}

/// Stores the components of `from` at the start of `to`.
pub(super) fn convert(from_scalar: Scalar, from: &[u8], to_scalar: Scalar, to: &mut [u8]) {
    if from_scalar == to_scalar {
        if let Some(to) = to.get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        return;
    }
    let mut wide = [0.0; CHUNK];
    let from = from.chunks(CHUNK.saturating_mul(from_scalar.size()));
    for (from, to) in from.zip(to.chunks_mut(CHUNK.saturating_mul(to_scalar.size()))) {
        let count = from.len().checked_div(from_scalar.size()).unwrap_or(0);
        let wide = wide.get_mut(..count).unwrap_or_default();
        widen(from_scalar, from, wide);
        narrow(wide, to_scalar, to);
    }
}

/// Stores f32 as a float, rounded half to even.
pub(super) fn narrow(values: &[f32], scalar: Scalar, out: &mut [u8]) {
    match scalar {
        Scalar::F32 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = from.to_le_bytes();
            }
        }
        Scalar::F16 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = half::to_f16(*from).to_le_bytes();
            }
        }
        Scalar::Bf16 => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = half::to_bf16(*from).to_le_bytes();
            }
        }
        Scalar::Mu16(step) => {
            for (to, from) in out.as_chunks_mut().0.iter_mut().zip(values) {
                *to = mu16::quantise(*from, step).0.to_le_bytes();
            }
        }
    }
}

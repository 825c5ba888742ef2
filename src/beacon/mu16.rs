//! MU16 (temporary).
#![allow(missing_docs)]
use crate::error::{Error, ErrorKind, Result};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(core::num::NonZeroU32);
impl Step {
    pub fn new(d: u32) -> Result<Self> {
        core::num::NonZeroU32::new(d)
            .map(Self)
            .ok_or(Error::caller(ErrorKind::Argument { expected: "delta_q16 has to be at least 1" }))
    }
    pub const fn get(self) -> u32 {
        self.0.get()
    }
    pub fn as_f64(self) -> f64 {
        f64::from(self.get()) / 65536.0
    }
    pub fn auto(v: &[f32], _dim: usize) -> Result<Self> {
        let (mut lo, mut hi) = (1u64, u64::from(u32::MAX));
        while lo < hi {
            let m = (lo + hi) / 2;
            let s = Self::new(m as u32)?;
            if v.iter().any(|&x| quantise(x, s).1) { lo = m + 1 } else { hi = m }
        }
        Self::new(lo as u32)
    }
}
pub fn quantise(x: f32, s: Step) -> (i16, bool) {
    let q = libm::rint(f64::from(x) * 65536.0 / f64::from(s.get()));
    (q.clamp(-32768.0, 32767.0) as i16, !(-32768.0..=32767.0).contains(&q))
}
pub fn quantise_into(v: &[f32], dim: usize, s: Step, out: &mut [u8]) -> Result<u64> {
    let mut n = 0;
    for (i, (o, &x)) in out.as_chunks_mut::<2>().0.iter_mut().zip(v).enumerate() {
        if !x.is_finite() {
            return Err(Error::caller(ErrorKind::NonFinite {
                row: (i / dim) as u64,
                column: (i % dim) as u64,
            }));
        }
        let (q, sat) = quantise(x, s);
        *o = q.to_le_bytes();
        n += u64::from(sat);
    }
    Ok(n)
}
pub fn dequantise_into(p: &[u8], s: Step, out: &mut [f32]) -> Result<()> {
    for (o, b) in out.iter_mut().zip(p.as_chunks::<2>().0) {
        *o = (f64::from(i16::from_le_bytes(*b)) * s.as_f64()) as f32;
    }
    Ok(())
}

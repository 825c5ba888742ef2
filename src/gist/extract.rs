//! Taking a gist out of a full KV (spec/gist.md, "Extraction").
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;
use core::ops::Range;

use super::build::{GistBuilder, extent};
use super::components::widen;
use crate::arch::{half, mu16};
use crate::beacon::StepChoice;
use crate::beacon::mu16::Step;
use crate::engram::{KeyShape, KeySource};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::{reserve_exact, zeros};
use crate::mirror::Scalar;

/// How the rows of a gist are to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// 16-bit integers times one step for all rows.
    Mu16(StepChoice),
}

/// What storing cost: of the values that came in, as f32, against what a reader gets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StoreLoss {
    /// The largest error of a component; infinite if a finite one became so.
    pub max_error: f64,
    /// The root of the mean of the squared errors.
    pub rms_error: f64,
    /// The root of the mean of the squared components, to put the error beside.
    pub rms_value: f64,
    /// Components beyond the range of MU16, which became its end.
    pub saturated: u64,
    /// Components that are NaN or infinite, which count for nothing above.
    pub non_finite: u64,
}

/// The rows of a gist as they will be stored, and what storing them cost.
#[derive(Clone, Debug, PartialEq)]
pub struct GistPayload {
    shape: KeyShape,
    scalar: Scalar,
    bytes: Vec<u8>,
    loss: StoreLoss,
}

impl GistPayload {
    /// The rows of `positions` of a full KV.
    ///
    /// Of a state blob `keys` are `StreamKeys::new`, and `values` are `StreamKeys::values`. Memory for the gist alone; a step
    /// that is to be found takes a second pass over the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if keys and values are not alike; [`ErrorKind::PastEnd`] if `positions` are not all there;
    /// [`ErrorKind::Argument`] if there are none, or no layers or heads; [`ErrorKind::NonFinite`] with MU16 for a value that is
    /// NaN or infinite (row and column are those of the payload); [`ErrorKind::StepRange`]; [`ErrorKind::OutOfMemory`]; the
    /// sources' own.
    pub fn extract(
        keys: &impl KeySource,
        values: &impl KeySource,
        positions: Range<u32>,
        store: Store,
    ) -> Result<Self> {
        let (full, other) = (keys.shape(), values.shape());
        for (field, needed, found) in [
            ("layers of the values", full.layers, other.layers),
            ("KV heads of the values", full.heads, other.heads),
            ("tokens of the values", full.tokens, other.tokens),
            ("components of a row of values", full.head_dim, other.head_dim),
        ] {
            if needed != found {
                let (needed, found) = (u64::from(needed), u64::from(found));
                return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
            }
        }
        let shape = Self::shape_of(&positions, full)?;
        let each = |row: &mut [f32], take: &mut dyn FnMut(&[f32]) -> Result<()>| {
            for layer in 0..shape.layers {
                for head in 0..shape.heads {
                    for token in positions.clone() {
                        keys.key_into(layer, head, token, row)?;
                        take(row)?;
                    }
                }
                for head in 0..shape.heads {
                    for token in positions.clone() {
                        values.key_into(layer, head, token, row)?;
                        take(row)?;
                    }
                }
            }
            Ok(())
        };
        Self::store(shape, store, each)
    }

    /// The shape of the gist that is `positions` of a KV.
    pub(crate) fn shape_of(positions: &Range<u32>, full: KeyShape) -> Result<KeyShape> {
        if positions.is_empty() {
            return Err(Error::caller(ErrorKind::Argument { expected: "at least one position" }));
        }
        if positions.end > full.tokens {
            let (end, found) = (u64::from(full.tokens), u64::from(positions.end));
            return Err(Error::caller(ErrorKind::PastEnd { field: "the range of positions", end, found }));
        }
        Ok(KeyShape { tokens: positions.end.saturating_sub(positions.start), ..full })
    }

    /// Rows of `shape` that are stored as `scalar`, stored anew.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if `payload` has another length; as [`extract`](Self::extract).
    pub fn convert(shape: KeyShape, scalar: Scalar, payload: &[u8], store: Store) -> Result<Self> {
        let (_, needed) = extent(&shape, scalar)?;
        let found = payload.len() as u64;
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "bytes of the gist", needed, found }));
        }
        let same = matches!(
            (scalar, store),
            (Scalar::F32, Store::F32) | (Scalar::F16, Store::F16) | (Scalar::Bf16, Store::Bf16)
        );
        if same {
            return Self::copied(shape, scalar, payload);
        }
        let row_len = (shape.head_dim as usize).saturating_mul(scalar.size()).max(1);
        let each = |row: &mut [f32], take: &mut dyn FnMut(&[f32]) -> Result<()>| {
            payload.chunks_exact(row_len).try_for_each(|bytes| {
                widen(scalar, bytes, row);
                take(row)
            })
        };
        Self::store(shape, store, each)
    }

    /// Bit by bit, NaN too.
    fn copied(shape: KeyShape, scalar: Scalar, payload: &[u8]) -> Result<Self> {
        let mut bytes = Vec::new();
        reserve_exact(&mut bytes, payload.len())?;
        bytes.extend_from_slice(payload);
        let (mut wide, mut sums) = ([0.0; 64], Sums::default());
        for chunk in payload.chunks(wide.len().saturating_mul(scalar.size())) {
            let count = chunk.len().checked_div(scalar.size()).unwrap_or(0);
            let wide = wide.get_mut(..count).unwrap_or_default();
            widen(scalar, chunk, wide);
            wide.iter().for_each(|&x| sums.add(x, x));
        }
        Ok(Self { shape, scalar, bytes, loss: sums.loss(0) })
    }

    /// Stores the rows that `each` gives, in the order of the payload, one by one and every time it is called.
    fn store(
        shape: KeyShape,
        store: Store,
        each: impl Fn(&mut [f32], &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()>,
    ) -> Result<Self> {
        // Two bytes are the least a component takes: what cannot be is refused before a row is read.
        extent(&shape, Scalar::F16)?;
        let mut row = zeros(shape.head_dim as usize)?;
        let scalar = match store {
            Store::F32 => Scalar::F32,
            Store::F16 => Scalar::F16,
            Store::Bf16 => Scalar::Bf16,
            Store::Mu16(StepChoice::Fixed(step)) => Scalar::Mu16(step),
            Store::Mu16(StepChoice::Auto) => {
                let (mut min, mut max, mut at) = (0.0_f32, 0.0_f32, 0u64);
                each(&mut row, &mut |row| {
                    let first = || row.iter().position(|x| !x.is_finite()).unwrap_or(0);
                    let (low, high) = mu16::extremes(row).ok_or_else(|| non_finite(at, first()))?;
                    (min, max) = (min.min(low), max.max(high));
                    at = at.saturating_add(1);
                    Ok(())
                })?;
                Scalar::Mu16(Step::for_range(min, max)?)
            }
        };
        let (_, len) = extent(&shape, scalar)?;
        let max = isize::MAX as u64;
        let too_large = ErrorKind::TooLarge { field: "the gist", max, found: len };
        let len = usize::try_from(len).ok().filter(|_| len <= max).ok_or(Error::caller(too_large))?;
        let row_len = row.len().saturating_mul(scalar.size());
        let mut bytes = Vec::<u8>::new();
        let mut again = zeros(row.len())?;
        let (mut sums, mut saturated, mut at) = (Sums::default(), 0u64, 0u64);
        reserve_exact(&mut bytes, len)?;
        each(&mut row, &mut |row| {
            let start = bytes.len();
            bytes.resize(start.saturating_add(row_len), 0);
            let stored = bytes.get_mut(start..).unwrap_or_default();
            if let Scalar::Mu16(step) = scalar {
                let beyond =
                    mu16::quantise(row, step.get(), stored).map_err(|column| non_finite(at, column))?;
                saturated = saturated.saturating_add(beyond);
                at = at.saturating_add(1);
            } else if let Some(float) = scalar.float() {
                half::narrow(float, row, stored);
            }
            widen(scalar, stored, &mut again);
            row.iter().zip(&again).for_each(|(&x, &again)| sums.add(x, again));
            Ok(())
        })?;
        Ok(Self { shape, scalar, bytes, loss: sums.loss(saturated) })
    }

    /// Layers, KV heads, gist tokens, components of a row.
    #[must_use]
    pub const fn shape(&self) -> KeyShape {
        self.shape
    }

    /// What a component is stored as.
    #[must_use]
    pub const fn scalar(&self) -> Scalar {
        self.scalar
    }

    /// The rows, as a gist's payload has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What storing them cost.
    #[must_use]
    pub const fn loss(&self) -> &StoreLoss {
        &self.loss
    }

    /// The gist of these rows.
    ///
    /// # Errors
    /// None in truth: the shape was checked.
    pub fn builder(&self) -> Result<GistBuilder<'_>> {
        GistBuilder::new(self.shape, self.scalar, &self.bytes)
    }
}

/// What is wrong with a component of a row of the payload.
fn non_finite(row: u64, column: usize) -> Error {
    Error::caller(ErrorKind::NonFinite { row, column: column as u64 })
}

/// The sums behind a loss, in f64.
#[derive(Default)]
struct Sums {
    max_error: f64,
    squared_error: f64,
    squared_value: f64,
    finite: u64,
    non_finite: u64,
}

impl Sums {
    fn add(&mut self, x: f32, again: f32) {
        if !x.is_finite() {
            self.non_finite = self.non_finite.saturating_add(1);
            return;
        }
        let (x, again) = (f64::from(x), f64::from(again));
        let error = (x - again).abs();
        self.max_error = self.max_error.max(error);
        self.squared_error += error * error;
        self.squared_value += x * x;
        self.finite = self.finite.saturating_add(1);
    }

    fn loss(&self, saturated: u64) -> StoreLoss {
        let count = self.finite.max(1) as f64;
        StoreLoss {
            max_error: self.max_error,
            rms_error: libm::sqrt(self.squared_error / count),
            rms_value: libm::sqrt(self.squared_value / count),
            saturated,
            non_finite: self.non_finite,
        }
    }
}

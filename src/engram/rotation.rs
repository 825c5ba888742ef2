//! Rotations that keys are stored under, and their undoing (spec/engram.md, "Element types and rotations").
#![deny(clippy::arithmetic_side_effects)]

use super::keys::{KeyShape, KeySource};
pub use crate::arch::rotation::Angle;
use crate::arch::rotation::{self as arch, turned};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{check_index, check_len, size};

/// Which two components of a key RoPE turns together. `d` is the number of rotary dims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairs {
    /// `2i` and `2i + 1`: GGUF files of arch `llama` and its kin.
    Interleaved,
    /// `i` and `i + d / 2`: Hugging Face's models, and GGUF files of `qwen2`, `gemma3` and most others (NEOX).
    Halves,
}

/// Rotary position embedding: pair i of a key at position p is turned by
/// `p * scale * base^(-2i / dims) / divisors[i]` and made longer by `magnitude`.
///
/// Angles, their sines and cosines are computed in f64 and rounded to f32 once; the two products and the sum that turn
/// a component are operations of f32, each rounded by itself. The result is the same everywhere. Models compute angles
/// in f32: at positions of some thousands their rounding is about that of a key in f16.
///
/// M-RoPE, which turns its pairs by up to four positions, is RoPE for text, where they are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope<'a> {
    base: f64,
    pairs: Pairs,
    dims: u32,
    scale: f64,
    magnitude: f64,
    divisors: Option<&'a [f32]>,
}

impl<'a> Rope<'a> {
    /// RoPE of the first `dims` components of a key; those after them stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `base` is not finite and over 0, or `dims` is 0 or odd.
    pub fn new(base: f64, pairs: Pairs, dims: u32) -> Result<Self> {
        check(positive(base), "the base of RoPE is finite and over 0")?;
        check(dims > 0 && dims.is_multiple_of(2), "the rotary dims are even and not 0")?;
        Ok(Self { base, pairs, dims, scale: 1.0, magnitude: 1.0, divisors: None })
    }

    /// Multiplies every angle: 1 / s for a context stretched s-fold (linear scaling).
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `scale` is not finite and over 0.
    pub fn with_scale(self, scale: f64) -> Result<Self> {
        check(positive(scale), "the scale of RoPE is finite and over 0")?;
        Ok(Self { scale, ..self })
    }

    /// Multiplies the length of every turned key: YaRN's and LongRoPE's attention factor.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `magnitude` is not finite and over 0.
    pub fn with_magnitude(self, magnitude: f64) -> Result<Self> {
        check(positive(magnitude), "the magnitude of RoPE is finite and over 0")?;
        Ok(Self { magnitude, ..self })
    }

    /// Divides the angle of pair i by `divisors[i]`: llama.cpp's `rope_freqs.weight` (Llama 3), LongRoPE's factors; YaRN's mixed
    /// frequencies can be stated so.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if there are not `dims / 2`; [`ErrorKind::Argument`] if one is not finite and over 0.
    pub fn with_divisors(self, divisors: &'a [f32]) -> Result<Self> {
        let (needed, found) = (u64::from(self.dims / 2), divisors.len() as u64);
        if needed != found {
            let field = "the divisors of RoPE";
            return Err(Error::caller(ErrorKind::Shape { field, needed, found }));
        }
        let all = divisors.iter().all(|&divisor| positive(divisor.into()));
        check(all, "the divisors of RoPE are finite and over 0")?;
        Ok(Self { divisors: Some(divisors), ..self })
    }

    /// Which components are turned together.
    #[must_use]
    pub const fn pairs(&self) -> Pairs {
        self.pairs
    }

    /// Rotary dims.
    #[must_use]
    pub const fn dims(&self) -> u32 {
        self.dims
    }

    /// Angles at a position: `dims / 2`.
    #[must_use]
    pub const fn pair_count(&self) -> u32 {
        self.dims / 2
    }

    /// Writes the angles at each position, `[positions][dims / 2]`: a table for every head and layer of a text. One power
    /// for each pair, one sine and cosine for each angle.
    ///
    /// # Errors
    /// [`ErrorKind::Size`] if that is beyond 64 bits; [`ErrorKind::BufferTooSmall`] or [`ErrorKind::Shape`] if `table` has another length.
    pub fn angles_into(&self, positions: &[i32], table: &mut [Angle]) -> Result<()> {
        check_angles(positions, self, table.len())?;
        let pairs = to_usize(self.pair_count()).max(1);
        for i in 0..self.pair_count() {
            let frequency = self.frequency(i);
            for (row, position) in table.chunks_exact_mut(pairs).zip(positions) {
                if let Some(angle) = row.get_mut(to_usize(i)) {
                    *angle = turn(*position, frequency);
                }
            }
        }
        Ok(())
    }

    /// Turns a key as RoPE does at `position`.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] if `key` has fewer components than rotary dims.
    pub fn rotate(&self, key: &mut [f32], position: i32) -> Result<()> {
        self.each(key, position, false)
    }

    /// Turns a key that RoPE has turned at `position` back.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] if `key` has fewer components than rotary dims.
    pub fn unrotate(&self, key: &mut [f32], position: i32) -> Result<()> {
        self.each(key, position, true)
    }

    /// Turns a key by the angles of its position, a row of [`angles_into`](Self::angles_into). The same bits as
    /// [`rotate`](Self::rotate).
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] if `key` has fewer components than rotary dims; that, or [`ErrorKind::Shape`], if there are not `dims / 2` angles.
    pub fn rotate_by(&self, angles: &[Angle], key: &mut [f32]) -> Result<()> {
        self.all(angles, key, false)
    }

    /// Turns a key back by the angles of its position, a row of [`angles_into`](Self::angles_into). The same bits as
    /// [`unrotate`](Self::unrotate).
    ///
    /// # Errors
    /// As [`rotate_by`](Self::rotate_by).
    pub fn unrotate_by(&self, angles: &[Angle], key: &mut [f32]) -> Result<()> {
        self.all(angles, key, true)
    }

    /// Radians per position of pair i.
    fn frequency(&self, i: u32) -> f64 {
        let exponent = -2.0 * f64::from(i) / f64::from(self.dims);
        let divisor = self.divisors.and_then(|divisors| divisors.get(to_usize(i)).copied()).unwrap_or(1.0);
        self.scale * libm::pow(self.base, exponent) / f64::from(divisor)
    }

    /// What components are multiplied by beside cosine and sine: exactly 1, mostly.
    fn length(&self, back: bool) -> f32 {
        (if back { 1.0 / self.magnitude } else { self.magnitude }) as f32
    }

    fn each(&self, key: &mut [f32], position: i32, back: bool) -> Result<()> {
        let length = self.length(back);
        let sign = if back { -1.0 } else { 1.0 };
        let half = to_usize(self.dims / 2);
        let key = rotary(key, self.dims)?;
        for i in 0..self.dims / 2 {
            let Angle { cos, sin } = turn(position, self.frequency(i));
            let angle = Angle { cos, sin: sign * sin };
            let i = to_usize(i);
            let pair = match self.pairs {
                Pairs::Interleaved => [i.saturating_mul(2), i.saturating_mul(2).saturating_add(1)],
                Pairs::Halves => [i, i.saturating_add(half)],
            };
            if let Ok([a, b]) = key.get_disjoint_mut(pair) {
                (*a, *b) = turned(*a, *b, angle, length);
            }
        }
        Ok(())
    }

    fn all(&self, angles: &[Angle], key: &mut [f32], back: bool) -> Result<()> {
        check_len("the angles", self.pair_count().into(), angles.len() as u64)?;
        let key = rotary(key, self.dims)?;
        let len = key.len();
        self.turn_all(angles, key, len, back);
        Ok(())
    }

    /// Turns keys of `head_dim` components, which are at least the rotary dims; `angles` are `dims / 2`.
    fn turn_all(&self, angles: &[Angle], keys: &mut [f32], head_dim: usize, back: bool) {
        let turn = match self.pairs {
            Pairs::Interleaved => arch::turn_adjacent,
            Pairs::Halves => arch::turn_halves,
        };
        turn(keys, head_dim, angles, if back { -1.0 } else { 1.0 }, self.length(back));
    }
}

fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

fn check(holds: bool, expected: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::caller(ErrorKind::Argument { expected })) }
}

fn to_usize(x: u32) -> usize {
    usize::try_from(x).unwrap_or(usize::MAX)
}

/// Checks that there are the angles of all positions.
fn check_angles(positions: &[i32], rope: &Rope<'_>, found: usize) -> Result<()> {
    let factors = [positions.len() as u64, rope.pair_count().into()];
    let needed = size("the angles", 0, &factors).map_err(|error| Error::caller(error.kind()))?;
    check_len("the angles", needed, found as u64)
}

/// The components of a key that RoPE turns.
fn rotary(key: &mut [f32], dims: u32) -> Result<&mut [f32]> {
    let (needed, available) = (u64::from(dims), key.len() as u64);
    key.get_mut(..to_usize(dims)).ok_or(Error::caller(ErrorKind::BufferTooSmall { needed, available }))
}

fn turn(position: i32, frequency: f64) -> Angle {
    let (sin, cos) = libm::sincos(f64::from(position) * frequency);
    Angle { cos: cos as f32, sin: sin as f32 }
}

/// The block of the Hadamard rotation under which llama.cpp stores quantised V (its release 0.3.20 for Python, and later).
pub const VALUE_HADAMARD_BLOCK: u32 = 64;

/// The block of the Hadamard rotation under which llama.cpp stores quantised K of this head dim: the largest power of two
/// that divides it, if that is 64 or more. `None`: such K, and V, are not rotated.
#[must_use]
pub const fn key_hadamard_block(head_dim: u32) -> Option<u32> {
    // 0 has no lowest bit.
    let largest = head_dim & head_dim.wrapping_neg();
    if largest >= 64 { Some(largest) } else { None }
}

/// Multiplies each block of values by the orthonormal Hadamard matrix in Sylvester's order, which is its own inverse.
///
/// H(1) = (1), H(2n) = (H(n) H(n); H(n) -H(n)) / sqrt(2). In place, in f32, with log2 of `block` additions to a value
/// (steps of 1, 2, 4, ...) and one product, by 1 / sqrt(block).
///
/// # Errors
/// [`ErrorKind::Argument`] if `block` is no power of two, or `values` are no whole blocks.
pub fn hadamard(block: u32, values: &mut [f32]) -> Result<()> {
    check(block.is_power_of_two(), "a block of the Hadamard rotation is a power of two")?;
    let block_len = to_usize(block);
    check(values.len().is_multiple_of(block_len), "the values are whole blocks of the Hadamard rotation")?;
    let factor = (1.0 / libm::sqrt(f64::from(block))) as f32;
    arch::hadamard(values, block_len, factor);
    Ok(())
}

/// Keys with what was done to them undone: the Hadamard rotation first, then RoPE, as each was asked for.
///
/// Nothing in a state blob says that keys are rotated; whoever makes one of these does.
#[derive(Clone, Copy)]
pub struct Unrotated<'a, S> {
    source: S,
    block: Option<u32>,
    rope: Option<Turning<'a>>,
}

#[derive(Clone, Copy)]
struct Turning<'a> {
    rope: Rope<'a>,
    positions: &'a [i32],
    /// `[tokens][dims / 2]`
    angles: Option<&'a [Angle]>,
}

impl<'a, S: KeySource> Unrotated<'a, S> {
    /// The keys as they are, until something is to be undone.
    pub const fn new(source: S) -> Self {
        Self { source, block: None, rope: None }
    }

    /// Undoes the Hadamard rotation in blocks of `block` components of each key.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if `block` is no power of two, or does not divide the head dim.
    pub fn with_hadamard(self, block: u32) -> Result<Self> {
        check(block.is_power_of_two(), "a block of the Hadamard rotation is a power of two")?;
        let divides = self.source.shape().head_dim.is_multiple_of(block);
        check(divides, "the block of the Hadamard rotation divides the head dim")?;
        Ok(Self { block: Some(block), ..self })
    }

    /// Undoes RoPE, token i being at `positions[i]`. Angles are computed anew for every key; with
    /// [`with_angles`](Self::with_angles) they are not.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] if there are more rotary dims than components of a key; [`ErrorKind::Shape`] if there are not as many positions as
    /// tokens.
    pub fn with_rope(self, rope: Rope<'a>, positions: &'a [i32]) -> Result<Self> {
        let shape = self.source.shape();
        check(rope.dims <= shape.head_dim, "the rotary dims are at most the head dim")?;
        let (needed, found) = (u64::from(shape.tokens), positions.len() as u64);
        if needed != found {
            return Err(Error::caller(ErrorKind::Shape { field: "the positions", needed, found }));
        }
        Ok(Self { rope: Some(Turning { rope, positions, angles: None }), ..self })
    }

    /// The same, with angles from [`Rope::angles_into`], which writes those of all positions to `table`: the same
    /// bits, many times faster, since all layers and heads share them.
    ///
    /// # Errors
    /// As [`with_rope`](Self::with_rope) and [`Rope::angles_into`].
    pub fn with_angles(self, rope: Rope<'a>, positions: &'a [i32], table: &'a mut [Angle]) -> Result<Self> {
        let unrotated = self.with_rope(rope, positions)?;
        rope.angles_into(positions, table)?;
        Ok(Self { rope: Some(Turning { rope, positions, angles: Some(table) }), ..unrotated })
    }

    /// The keys as they are.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Undoes it for the heads of one token, which the source has given.
    fn undo(&self, token: u32, keys: &mut [f32]) -> Result<()> {
        if let Some(block) = self.block {
            // Blocks do not cross heads, since they divide the head dim.
            hadamard(block, keys)?;
        }
        let Some(Turning { rope, positions, angles }) = self.rope else { return Ok(()) };
        let head_dim = to_usize(self.source.shape().head_dim).max(1);
        let token = to_usize(token);
        let pairs = to_usize(rope.pair_count());
        let start = token.saturating_mul(pairs);
        let row = angles.and_then(|angles| angles.get(start..)).and_then(|rest| rest.get(..pairs));
        if let Some(row) = row {
            rope.turn_all(row, keys, head_dim, true);
        } else if let Some(position) = positions.get(token) {
            for key in keys.chunks_exact_mut(head_dim) {
                rope.unrotate(key, *position)?;
            }
        }
        Ok(())
    }
}

impl<S: KeySource> KeySource for Unrotated<'_, S> {
    fn shape(&self) -> KeyShape {
        self.source.shape()
    }

    fn key_into(&self, layer: u32, head: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_index("the token", token, self.shape().tokens)?;
        self.source.key_into(layer, head, token, out)?;
        self.undo(token, out)
    }

    fn token_into(&self, layer: u32, token: u32, out: &mut [f32]) -> Result<()> {
        check_index("the token", token, self.shape().tokens)?;
        self.source.token_into(layer, token, out)?;
        self.undo(token, out)
    }
}

impl<S: KeySource> core::fmt::Debug for Unrotated<'_, S> {
    /// `Unrotated(6 layers x 12 heads x 256 tokens x 32, Hadamard 64, RoPE base 10000)`: without positions and keys.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Unrotated({}", self.shape())?;
        if let Some(block) = self.block {
            write!(f, ", Hadamard {block}")?;
        }
        if let Some(turning) = self.rope {
            write!(f, ", RoPE base {}", turning.rope.base)?;
        }
        write!(f, ")")
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "small numbers")]
mod tests;

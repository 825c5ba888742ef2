//! Kernels of blocks: which blocks of two equally long byte strings differ, by how much, and what their difference is.
//!
//! All values are little-endian bytes of any alignment. A norm is the sum of the squares of d[i] = f64(a[i]) - f64(m[i]):
//! lane j of 16 adds the squares of i = j mod 16 in order, each difference, product and sum rounded by itself, and then
//! the lanes are added as a tree, j and j + 8, then + 4, + 2, + 1. So it has the same bits everywhere.
//!
//! Arithmetic on elements is in f32, rounded once more to narrower types. A NaN that comes out of it is the
//! positive quiet one without payload (7FC00000, 7E00, 7FC0), whatever went in: the payload that CPUs give differs.
//!
//! [`Lanes`] and [`Isa`] have the operations on 16 elements, and each kernel is written once over them, so that a level can only be
//! faster.
//! No closures around them: the compiler is free not to inline one, and then it has the instructions of the
//! baseline.

use super::half;
#[cfg(any(test, not(feature = "simd")))]
use super::lanes::Portable;
use super::lanes::{Bf16, F16, F32, LANES, Lanes, Load, at_level};
use core::marker::PhantomData;

/// Element types of blocks that are floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    /// Bytes of an element.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Blocks to a call: one bit each.
const BLOCKS: usize = 64;

/// What the kernels are made of besides.
trait Isa: Lanes {
    /// f64.
    type Doubles: Copy;
    fn narrow_f16(self, x: Self::Singles) -> [u16; LANES];
    fn narrow_bf16(self, x: Self::Singles) -> [u16; LANES];
    /// Every NaN as the one.
    fn canonical(self, x: Self::Singles) -> Self::Singles;
    fn sub(self, a: Self::Singles, b: Self::Singles) -> Self::Singles;
    /// The sum of the lanes, in any order.
    fn sum(self, x: Self::Singles) -> f32;
    /// Zeros.
    fn lanes(self) -> Self::Doubles;
    /// The lanes, and the square of a difference added to each.
    fn add_squares(self, lanes: Self::Doubles, m: Self::Singles, a: Self::Singles) -> Self::Doubles;
    /// The sum of the lanes: j and j + 8, then + 4, + 2, + 1.
    fn tree(self, lanes: Self::Doubles) -> f64;
}

/// A type of elements of `N` bytes.
trait Element<const N: usize>: Load<N> {
    /// Rounded half to even; every NaN as the one.
    fn store<I: Isa>(isa: I, x: I::Singles, bytes: &mut [[u8; N]; LANES]);
}

impl Element<4> for F32 {
    #[inline(always)]
    fn store<I: Isa>(isa: I, x: I::Singles, bytes: &mut [[u8; 4]; LANES]) {
        for (x, bytes) in isa.array(isa.canonical(x)).iter().zip(bytes) {
            *bytes = x.to_le_bytes();
        }
    }
}

impl Element<2> for F16 {
    #[inline(always)]
    fn store<I: Isa>(isa: I, x: I::Singles, bytes: &mut [[u8; 2]; LANES]) {
        to_le(isa.narrow_f16(x), bytes);
    }
}

impl Element<2> for Bf16 {
    #[inline(always)]
    fn store<I: Isa>(isa: I, x: I::Singles, bytes: &mut [[u8; 2]; LANES]) {
        to_le(isa.narrow_bf16(x), bytes);
    }
}

#[inline(always)]
fn to_le(half: [u16; LANES], bytes: &mut [[u8; 2]; LANES]) {
    for (half, bytes) in half.iter().zip(bytes) {
        *bytes = half.to_le_bytes();
    }
}

/// The expression once for each type of floats, as `E`.
macro_rules! by_float {
    ($float:expr, $E:ident => $body:expr) => {
        match $float {
            Float::F32 => {
                type $E = F32;
                $body
            }
            Float::F16 => {
                type $E = F16;
                $body
            }
            Float::Bf16 => {
                type $E = Bf16;
                $body
            }
        }
    };
}

/// Which of the up to 64 blocks of `block_len` bytes differ in their bits; bit i for block i.
pub(crate) fn unequal(master: &[u8], agent: &[u8], block_len: usize) -> u64 {
    struct Bits(usize);
    impl Judge for Bits {
        #[inline(always)]
        fn differ(&self, master: &[u8], agent: &[u8]) -> bool {
            // The C library's or the compiler's `memcmp`, which is at the speed of reading.
            master.get(..self.0) != agent.get(..self.0)
        }
    }
    select(master, agent, block_len, Bits(block_len))
}

/// Which of the up to 64 blocks differ by a squared norm that is not <= `limit`: over it, or NaN.
pub(crate) fn beyond(float: Float, master: &[u8], agent: &[u8], block_len: usize, limit: f64) -> u64 {
    by_float!(float, E => at_level!(isa => select(master, agent, block_len, Over::<_, _, E>::new(isa, block_len, limit))))
}

/// The squared norm of one block's difference.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn squared_norm(float: Float, master: &[u8], agent: &[u8]) -> f64 {
    by_float!(float, E => at_level!(isa => {
        let (master, agent) = common(master, agent, usize::MAX);
        let norm = norm::<_, E, _>(Shape::new(isa, master.len() / float.size()), master, agent);
        if norm.is_nan() { f64::NAN } else { norm }
    }))
}

/// Which of the up to 64 blocks of i16 differ by a squared norm, in steps, over `limit`.
pub(crate) fn beyond_i16(master: &[u8], agent: &[u8], block_len: usize, limit: u64) -> u64 {
    at_level!(_isa => select(master, agent, block_len, OverI16 { len: block_len, limit }))
}

/// The squared norm of the difference of one block of i16, in steps. Exact for up to 2^32 - 1 elements.
#[cfg(test)]
pub(crate) fn squared_norm_i16(master: &[u8], agent: &[u8]) -> u64 {
    at_level!(_isa => norm_i16(master, agent))
}

/// `out` = agent - master.
pub(crate) fn subtract(float: Float, agent: &[u8], master: &[u8], out: &mut [u8]) {
    by_float!(float, E => at_level!(isa => combine::<_, E, true>(isa, agent, master, out)));
}

/// `out` = master + difference.
pub(crate) fn add(float: Float, master: &[u8], difference: &[u8], out: &mut [u8]) {
    by_float!(float, E => at_level!(isa => combine::<_, E, false>(isa, master, difference, out)));
}

/// `out` = agent - master, not narrowed.
pub(crate) fn subtract_f32(float: Float, agent: &[u8], master: &[u8], out: &mut [f32]) {
    by_float!(float, E => at_level!(isa => differences::<_, E>(isa, agent, master, out)));
}

/// `out` = master + f32(q * delta / 65536); `q` is little-endian i16.
pub(crate) fn add_mu16(float: Float, master: &[u8], q: &[u8], delta_q16: u32, out: &mut [u8]) {
    by_float!(float, E => at_level!(isa => add_steps::<_, E>(isa, master, q, delta_q16, out)));
}

/// The largest |f64(a[i]) - f64(b[i])|; NaN if one is NaN. Elements of equal bits differ by 0, even NaN and infinity.
pub(crate) fn max_distance(float: Float, a: &[u8], b: &[u8]) -> f64 {
    by_float!(float, E => at_level!(isa => distance::<_, E>(isa, a, b)))
}

/// Whether no element is NaN or infinite.
pub(crate) fn all_finite(float: Float, bytes: &[u8]) -> bool {
    at_level!(_isa => match float {
        Float::F32 => largest_f32(bytes) < 0x7F80_0000,
        Float::F16 => largest_half(bytes) < 0x7C00,
        Float::Bf16 => largest_half(bytes) < 0x7F80,
    })
}

/// The inner product of two strings of little-endian i16. Exact for up to 2^32 elements.
pub(crate) fn dot_i16(a: &[u8], b: &[u8]) -> i64 {
    at_level!(_isa => dot(a, b))
}

/// What makes a block differ.
trait Judge {
    /// The blocks are at the start of these, and followed by the others.
    fn differ(&self, master: &[u8], agent: &[u8]) -> bool;
}

#[inline(always)]
fn select(master: &[u8], agent: &[u8], block_len: usize, judge: impl Judge) -> u64 {
    let (mut master, mut agent) = common(master, agent, usize::MAX);
    let mut set = 0;
    for i in 0..BLOCKS {
        let (Some(m), Some(a)) = (master.split_at_checked(block_len), agent.split_at_checked(block_len))
        else {
            break;
        };
        set |= u64::from(judge.differ(master, agent)) << i;
        (master, agent) = (m.1, a.1);
    }
    set
}

/// What a block of `count` elements consists of.
#[derive(Clone, Copy)]
struct Shape<I: Isa> {
    isa: I,
    /// Groups of [`LANES`].
    whole: usize,
    /// All ones in as many lanes as there are elements left.
    rest: Option<I::Singles>,
}

impl<I: Isa> Shape<I> {
    #[inline(always)]
    fn new(isa: I, count: usize) -> Self {
        let mut mask = [0.0; LANES];
        for lane in mask.iter_mut().take(count % LANES) {
            *lane = f32::from_bits(u32::MAX);
        }
        let rest = if count.is_multiple_of(LANES) { None } else { Some(isa.singles(mask)) };
        Self { isa, whole: count / LANES, rest }
    }

    /// The groups of the block at the start of `bytes`.
    #[inline(always)]
    fn groups<'a, const N: usize>(&self, bytes: &'a [u8]) -> &'a [[[u8; N]; LANES]] {
        bytes.as_chunks::<N>().0.as_chunks::<LANES>().0.get(..self.whole).unwrap_or_default()
    }

    /// The elements that are left, and zeros. What follows the block is read with them where possible: copies of any
    /// size, and loads of what has just been written in pieces, cost more than all the rest.
    #[inline(always)]
    fn rest<const N: usize, E: Element<N>>(&self, bytes: &[u8], mask: I::Singles) -> I::Singles {
        let elements = bytes.as_chunks::<N>().0.get(self.whole * LANES..).unwrap_or_default();
        let x = match elements.first_chunk::<LANES>() {
            Some(group) => E::load(self.isa, group),
            None => E::load(self.isa, &padded(elements)),
        };
        self.isa.and(x, mask)
    }
}

/// Fewer than [`LANES`] elements, filled up with zeros. In pieces of fixed sizes: a copy of any size is a call.
#[inline(always)]
fn padded<const N: usize>(rest: &[[u8; N]]) -> [[u8; N]; LANES] {
    let mut all = [[0; N]; LANES];
    let (from, to) = move_piece::<8, N>(rest, &mut all);
    let (from, to) = move_piece::<4, N>(from, to);
    let (from, to) = move_piece::<2, N>(from, to);
    move_piece::<1, N>(from, to);
    all
}

/// Copies `K` elements if there are as many; what is left.
#[inline(always)]
fn move_piece<'a, 'b, const K: usize, const N: usize>(
    from: &'a [[u8; N]],
    to: &'b mut [[u8; N]],
) -> (&'a [[u8; N]], &'b mut [[u8; N]]) {
    match (from.split_first_chunk::<K>(), to) {
        (Some((piece, from)), to) if to.len() >= K => {
            let (start, to) = to.split_at_mut(K);
            start.copy_from_slice(piece);
            (from, to)
        }
        (_, to) => (from, to),
    }
}

/// Whether the squared norm is not <= `limit`.
///
/// Most blocks are decided by T, the sum in f32, in any order. With R the exact sum of n squares, u = 2^-24 and
/// m = n / 16 + 16, T is within (1 +- g) (R +- n h), where g = m u / (1 - m u): a term meets one rounding in its difference, which
/// counts twice when squared, one in its product, and at most n / 16 + 9 in additions, all of terms that are not negative;
/// and a product may lose h = 2^-150 to underflow, which sums and differences cannot. The sum in f64, S, has the same
/// bound with 2^-53 for u and no underflow. So, for m u <= 1/16, T <= (limit - n h) (1 - 2 m u) implies S <= limit, and
/// T > (limit + n h) (1 + 2 m u) implies S > limit: 2 m u exceeds g by 0.9 m u > 2^-21, a hundred million times what
/// f64 adds, and h is taken as 2^-126. If something is NaN or infinite or overflows f32, then T is not finite (its terms are
/// not negative, so nothing cancels), and S decides.
struct Over<const N: usize, I: Isa, E> {
    shape: Shape<I>,
    limit: f64,
    /// T up to here is within the limit, and from here on beyond it.
    bounds: Option<(f64, f64)>,
    element: PhantomData<E>,
}

/// Elements from which on T is worth its while.
const ESTIMATE_FROM: usize = 48;

impl<const N: usize, I: Isa, E: Element<N>> Over<N, I, E> {
    #[inline(always)]
    fn new(isa: I, block_len: usize, limit: f64) -> Self {
        let count = block_len / N;
        let roundings = (count / LANES + 16) as f64;
        let bounds = if count >= ESTIMATE_FROM && roundings <= f64::from(1 << 20) {
            let relative = roundings * f64::from(f32::EPSILON);
            let absolute = count as f64 * f64::from(f32::MIN_POSITIVE);
            Some(((limit - absolute) * (1.0 - relative), (limit + absolute) * (1.0 + relative)))
        } else {
            None
        };
        Self { shape: Shape::new(isa, count), limit, bounds, element: PhantomData }
    }

    /// T.
    #[inline(always)]
    fn estimate(&self, master: &[u8], agent: &[u8]) -> f32 {
        let isa = self.shape.isa;
        let (m_pairs, m_odd) = self.shape.groups::<N>(master).as_chunks::<2>();
        let (a_pairs, a_odd) = self.shape.groups::<N>(agent).as_chunks::<2>();
        let mut sums = [isa.singles([0.0; LANES]); 2];
        for (m, a) in m_pairs.iter().zip(a_pairs) {
            for ((sum, m), a) in sums.iter_mut().zip(m).zip(a) {
                *sum = add_square(isa, *sum, E::load(isa, m), E::load(isa, a));
            }
        }
        let [mut even, odd] = sums;
        for (m, a) in m_odd.iter().zip(a_odd) {
            even = add_square(isa, even, E::load(isa, m), E::load(isa, a));
        }
        if let Some(mask) = self.shape.rest {
            let (m, a) = (self.shape.rest::<N, E>(master, mask), self.shape.rest::<N, E>(agent, mask));
            even = add_square(isa, even, m, a);
        }
        isa.sum(isa.add(even, odd))
    }
}

#[inline(always)]
fn add_square<I: Isa>(isa: I, sums: I::Singles, m: I::Singles, a: I::Singles) -> I::Singles {
    let d = isa.sub(a, m);
    isa.add(sums, isa.mul(d, d))
}

impl<const N: usize, I: Isa, E: Element<N>> Judge for Over<N, I, E> {
    #[inline(always)]
    fn differ(&self, master: &[u8], agent: &[u8]) -> bool {
        if let Some((within, beyond)) = self.bounds {
            let estimate = self.estimate(master, agent);
            if estimate.is_finite() {
                if f64::from(estimate) <= within {
                    return false;
                }
                if f64::from(estimate) > beyond {
                    return true;
                }
            }
        }
        // Not `>`: NaN is beyond.
        !matches!(norm::<N, E, I>(self.shape, master, agent), s if s <= self.limit)
    }
}

/// The squared norm of the blocks at the start of these, by its definition.
#[inline(always)]
fn norm<const N: usize, E: Element<N>, I: Isa>(shape: Shape<I>, master: &[u8], agent: &[u8]) -> f64 {
    let isa = shape.isa;
    let mut lanes = isa.lanes();
    for (m, a) in shape.groups::<N>(master).iter().zip(shape.groups::<N>(agent)) {
        lanes = isa.add_squares(lanes, E::load(isa, m), E::load(isa, a));
    }
    if let Some(mask) = shape.rest {
        // Zeros on both sides add +0 to sums that are not -0.
        let (m, a) = (shape.rest::<N, E>(master, mask), shape.rest::<N, E>(agent, mask));
        lanes = isa.add_squares(lanes, m, a);
    }
    isa.tree(lanes)
}

/// Whether the squared norm of i16 is over this limit.
struct OverI16 {
    len: usize,
    limit: u64,
}

impl Judge for OverI16 {
    #[inline(always)]
    fn differ(&self, master: &[u8], agent: &[u8]) -> bool {
        match (master.get(..self.len), agent.get(..self.len)) {
            (Some(master), Some(agent)) => norm_i16(master, agent) > self.limit,
            _ => false,
        }
    }
}

/// A plain loop: the compiler's vectors reach the speed of memory.
#[inline(always)]
fn norm_i16(master: &[u8], agent: &[u8]) -> u64 {
    let mut sum = 0u64;
    for (m, a) in master.as_chunks::<2>().0.iter().zip(agent.as_chunks::<2>().0) {
        let d = u32::from(i16::from_le_bytes(*a).abs_diff(i16::from_le_bytes(*m)));
        sum = sum.wrapping_add(u64::from(d.wrapping_mul(d)));
    }
    sum
}

/// The largest bits without the sign: those of infinity and NaN are over all others. A plain loop too.
#[inline(always)]
fn largest_f32(bytes: &[u8]) -> u32 {
    let bits = bytes.as_chunks::<4>().0.iter().map(|x| u32::from_le_bytes(*x) & 0x7FFF_FFFF);
    bits.fold(0, u32::max)
}

/// Likewise, for two-byte elements.
#[inline(always)]
fn largest_half(bytes: &[u8]) -> u16 {
    let bits = bytes.as_chunks::<2>().0.iter().map(|x| u16::from_le_bytes(*x) & 0x7FFF);
    bits.fold(0, u16::max)
}

/// Likewise.
#[inline(always)]
fn dot(a: &[u8], b: &[u8]) -> i64 {
    let mut sum = 0i64;
    for (a, b) in a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0) {
        let product = i32::from(i16::from_le_bytes(*a)).wrapping_mul(i32::from(i16::from_le_bytes(*b)));
        sum = sum.wrapping_add(i64::from(product));
    }
    sum
}

/// Cuts both to the length of the shortest.
#[inline(always)]
fn common<'a, T, U>(a: &'a [T], b: &'a [U], most: usize) -> (&'a [T], &'a [U]) {
    let len = a.len().min(b.len()).min(most);
    (a.get(..len).unwrap_or_default(), b.get(..len).unwrap_or_default())
}

/// `out` = a - b or a + b.
#[inline(always)]
fn combine<const N: usize, E: Element<N>, const SUBTRACT: bool>(
    isa: impl Isa,
    a: &[u8],
    b: &[u8],
    out: &mut [u8],
) {
    let out = out.as_chunks_mut::<N>().0;
    let (a, b) = common(a.as_chunks::<N>().0, b.as_chunks::<N>().0, out.len());
    let (out, out_rest) = out.get_mut(..a.len()).unwrap_or_default().as_chunks_mut::<LANES>();
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for ((a, b), out) in a.iter().zip(b).zip(out) {
        let (a, b) = (E::load(isa, a), E::load(isa, b));
        E::store(isa, if SUBTRACT { isa.sub(a, b) } else { isa.add(a, b) }, out);
    }
    if !a_rest.is_empty() {
        let (a, b) = (E::load(isa, &padded(a_rest)), E::load(isa, &padded(b_rest)));
        let mut all = [[0; N]; LANES];
        E::store(isa, if SUBTRACT { isa.sub(a, b) } else { isa.add(a, b) }, &mut all);
        for (to, from) in out_rest.iter_mut().zip(&all) {
            *to = *from;
        }
    }
}

#[inline(always)]
fn differences<const N: usize, E: Element<N>>(isa: impl Isa, agent: &[u8], master: &[u8], out: &mut [f32]) {
    let (agent, master) = common(agent.as_chunks::<N>().0, master.as_chunks::<N>().0, out.len());
    let (out, out_rest) = out.get_mut(..agent.len()).unwrap_or_default().as_chunks_mut::<LANES>();
    let ((agent, a_rest), (master, m_rest)) = (agent.as_chunks::<LANES>(), master.as_chunks::<LANES>());
    for ((a, m), out) in agent.iter().zip(master).zip(out) {
        *out = isa.array(isa.canonical(isa.sub(E::load(isa, a), E::load(isa, m))));
    }
    if !a_rest.is_empty() {
        let (a, m) = (E::load(isa, &padded(a_rest)), E::load(isa, &padded(m_rest)));
        for (to, from) in out_rest.iter_mut().zip(isa.array(isa.canonical(isa.sub(a, m)))) {
            *to = from;
        }
    }
}

#[inline(always)]
fn add_steps<const N: usize, E: Element<N>>(
    isa: impl Isa,
    master: &[u8],
    q: &[u8],
    delta: u32,
    out: &mut [u8],
) {
    let step = Step::new(delta);
    let out = out.as_chunks_mut::<N>().0;
    let (master, q) = common(master.as_chunks::<N>().0, q.as_chunks::<2>().0, out.len());
    let (out, out_rest) = out.get_mut(..master.len()).unwrap_or_default().as_chunks_mut::<LANES>();
    let ((master, m_rest), (q, q_rest)) = (master.as_chunks::<LANES>(), q.as_chunks::<LANES>());
    for ((m, q), out) in master.iter().zip(q).zip(out) {
        E::store(isa, isa.add(E::load(isa, m), isa.singles(step.times(q))), out);
    }
    if !m_rest.is_empty() {
        let (m, q) = (padded(m_rest), padded(q_rest));
        let mut all = [[0; N]; LANES];
        E::store(isa, isa.add(E::load(isa, &m), isa.singles(step.times(&q))), &mut all);
        for (to, from) in out_rest.iter_mut().zip(&all) {
            *to = *from;
        }
    }
}

/// delta / 65536, exactly.
struct Step {
    double: f64,
    /// The same, if f32 has it.
    single: Option<f32>,
}

impl Step {
    fn new(delta: u32) -> Self {
        let double = f64::from(delta) / 65536.0;
        let single = double as f32;
        Self { double, single: (f64::from(single) == double).then_some(single) }
    }

    /// f32(q * delta / 65536): the products are exact but for one rounding.
    #[inline(always)]
    fn times(&self, q: &[[u8; 2]; LANES]) -> [f32; LANES] {
        let mut x = [0.0; LANES];
        if let Some(step) = self.single {
            for (x, q) in x.iter_mut().zip(q) {
                *x = f32::from(i16::from_le_bytes(*q)) * step;
            }
        } else {
            for (x, q) in x.iter_mut().zip(q) {
                *x = (f64::from(i16::from_le_bytes(*q)) * self.double) as f32;
            }
        }
        x
    }
}

#[inline(always)]
fn distance<const N: usize, E: Element<N>>(isa: impl Isa, a: &[u8], b: &[u8]) -> f64 {
    let (a, b) = common(a.as_chunks::<N>().0, b.as_chunks::<N>().0, usize::MAX);
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut largest = [0; LANES];
    for (a, b) in a.iter().zip(b) {
        distances::<N, E>(isa, a, b, &mut largest);
    }
    distances::<N, E>(isa, &padded(a_rest), &padded(b_rest), &mut largest);
    let mut all = 0;
    for lane in largest {
        all = lane.max(all);
    }
    let all = f64::from_bits(all);
    if all.is_nan() { f64::NAN } else { all }
}

/// As integers, floats that are not negative are in order, and NaN is beyond infinity.
#[inline(always)]
fn distances<const N: usize, E: Element<N>>(
    isa: impl Isa,
    a_bytes: &[[u8; N]; LANES],
    b_bytes: &[[u8; N]; LANES],
    largest: &mut [u64; LANES],
) {
    let (a, b) = (isa.array(E::load(isa, a_bytes)), isa.array(E::load(isa, b_bytes)));
    let bytes = a_bytes.iter().zip(b_bytes);
    for ((lane, (a, b)), (a_bytes, b_bytes)) in largest.iter_mut().zip(a.iter().zip(&b)).zip(bytes) {
        let d = (f64::from(*a) - f64::from(*b)).abs().to_bits();
        *lane = (*lane).max(if a_bytes == b_bytes { 0 } else { d });
    }
}

#[cfg(any(test, not(feature = "simd")))]
impl Isa for Portable {
    type Doubles = [f64; LANES];

    #[inline(always)]
    fn narrow_f16(self, from: [f32; LANES]) -> [u16; LANES] {
        let mut to = [0; LANES];
        for (to, from) in to.iter_mut().zip(from) {
            *to = half::to_f16(from);
        }
        to
    }

    #[inline(always)]
    fn narrow_bf16(self, from: [f32; LANES]) -> [u16; LANES] {
        let mut to = [0; LANES];
        for (to, from) in to.iter_mut().zip(from) {
            *to = half::to_bf16(from);
        }
        to
    }

    #[inline(always)]
    fn canonical(self, mut x: [f32; LANES]) -> [f32; LANES] {
        for x in &mut x {
            *x = if x.is_nan() { f32::from_bits(half::NAN) } else { *x };
        }
        x
    }

    #[inline(always)]
    fn sub(self, mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        for (a, b) in a.iter_mut().zip(b) {
            *a -= b;
        }
        a
    }

    #[inline(always)]
    fn sum(self, x: [f32; LANES]) -> f32 {
        // Pairs of vectors, until one is left: what the compiler does not regroup by itself.
        let mut x = x;
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = x.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
            half /= 2;
        }
        x[0]
    }

    #[inline(always)]
    fn lanes(self) -> [f64; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_squares(self, mut lanes: [f64; LANES], m: [f32; LANES], a: [f32; LANES]) -> [f64; LANES] {
        for ((lane, m), a) in lanes.iter_mut().zip(m).zip(a) {
            let d = f64::from(a) - f64::from(m);
            *lane += d * d;
        }
        lanes
    }

    #[inline(always)]
    fn tree(self, mut lanes: [f64; LANES]) -> f64 {
        let mut half = LANES / 2;
        while half > 0 {
            let (low, high) = lanes.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(l, h)| *l += *h);
            half /= 2;
        }
        lanes[0]
    }
}

#[cfg(feature = "simd")]
mod simd {
    use super::{Isa, LANES, half};
    use crate::arch::lanes::simd::Native;
    use fearless_simd::{prelude::*, *};

    impl<S: Simd> Isa for Native<S> {
        type Doubles = (f64x8<S>, f64x8<S>);

        #[inline(always)]
        fn narrow_f16(self, x: f32x16<S>) -> [u16; LANES] {
            half::simd::to_f16(x).into()
        }

        #[inline(always)]
        fn narrow_bf16(self, x: f32x16<S>) -> [u16; LANES] {
            half::simd::to_bf16(x).into()
        }

        #[inline(always)]
        fn canonical(self, x: f32x16<S>) -> f32x16<S> {
            half::simd::canonical(x)
        }

        #[inline(always)]
        fn sub(self, a: f32x16<S>, b: f32x16<S>) -> f32x16<S> {
            a - b
        }

        #[inline(always)]
        fn sum(self, x: f32x16<S>) -> f32 {
            x.reduce_sum()
        }

        #[inline(always)]
        fn lanes(self) -> Self::Doubles {
            (f64x8::splat(self.0, 0.0), f64x8::splat(self.0, 0.0))
        }

        #[inline(always)]
        fn add_squares(self, (low, high): Self::Doubles, m: f32x16<S>, a: f32x16<S>) -> Self::Doubles {
            let ((m_low, m_high), (a_low, a_high)) = (m.widen(), a.widen());
            let (d_low, d_high) = (a_low - m_low, a_high - m_high);
            (low + d_low * d_low, high + d_high * d_high)
        }

        #[inline(always)]
        fn tree(self, (low, high): Self::Doubles) -> f64 {
            let (low, high) = (low + high).split();
            let (low, high) = (low + high).split();
            let [low, high]: [f64; 2] = (low + high).into();
            low + high
        }
    }
}

#[cfg(test)]
mod tests;

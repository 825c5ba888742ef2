//! Choices out of a fuzzer's bytes. None of them fails: where the bytes have run out, all that follows is zeros.

use alloc::vec::Vec;

use ::arbitrary::Unstructured;

/// Bytes that one value takes from the input at most; the rest of a longer one repeats them, changed.
const MOST: usize = 64;

/// Takes choices off an input.
#[derive(Debug)]
pub(super) struct Draw<'b, 'a>(&'b mut Unstructured<'a>);

impl<'b, 'a> Draw<'b, 'a> {
    pub(super) fn new(input: &'b mut Unstructured<'a>) -> Self {
        Self(input)
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(super) fn u16(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(super) fn u32(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(super) fn u64(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    pub(super) fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: u64) -> bool {
        // Not at the end of the input: what is rare stays rare there.
        self.below(n) == 1
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.between(0, bound.saturating_sub(1))
    }

    /// A number from `least` to `most`, which is not less.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.int_in_range(least..=most.max(least)).unwrap_or(least)
    }

    pub(super) fn u32_between(&mut self, least: u32, most: u32) -> u32 {
        self.0.int_in_range(least..=most.max(least)).unwrap_or(least)
    }

    pub(super) fn u8_between(&mut self, least: u8, most: u8) -> u8 {
        self.0.int_in_range(least..=most.max(least)).unwrap_or(least)
    }

    /// A place in something of `len` things.
    pub(super) fn place(&mut self, len: usize) -> usize {
        self.0.int_in_range(0..=len.saturating_sub(1)).unwrap_or(0)
    }

    pub(super) fn pick<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let at = self.place(others.len().saturating_add(1));
        at.checked_sub(1).and_then(|at| others.get(at)).copied().unwrap_or(first)
    }

    /// A number that is not `avoid`.
    pub(super) fn not_u8(&mut self, avoid: u8) -> u8 {
        self.not_zero(8).to_le_bytes()[0] ^ avoid
    }

    pub(super) fn not_u32(&mut self, avoid: u32) -> u32 {
        self.not_zero(32) as u32 ^ avoid
    }

    /// A number of `bits` bits that is not 0.
    pub(super) fn not_zero(&mut self, bits: u32) -> u64 {
        let most = u64::MAX >> 64_u32.saturating_sub(bits).min(63);
        match self.u64() & most {
            0 => 1 << self.below(u64::from(bits)),
            found => found,
        }
    }

    /// `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut start = [0; MOST];
        let drawn = start.get_mut(..len.min(MOST)).unwrap_or_default();
        // Fills with zeros what the input has no more bytes for.
        let _ = self.0.fill_buffer(drawn);
        let turns = (0..=u8::MAX).cycle().flat_map(|turn| [turn; MOST]);
        start.iter().cycle().zip(turns).map(|(byte, turn)| byte ^ turn).take(len).collect()
    }

    /// A finite number.
    pub(super) fn f32(&mut self) -> f32 {
        let found = f32::from_bits(self.u32());
        // Without the highest bit of its exponent nothing is NaN or infinite.
        if found.is_finite() { found } else { f32::from_bits(found.to_bits() & !(1 << 30)) }
    }

    pub(super) fn f64(&mut self) -> f64 {
        let found = f64::from_bits(self.u64());
        if found.is_finite() { found } else { f64::from_bits(found.to_bits() & !(1 << 62)) }
    }

    /// NaN or infinite.
    pub(super) fn no_f32(&mut self) -> f32 {
        self.pick(f32::NAN, &[f32::INFINITY, f32::NEG_INFINITY, -f32::NAN, f32::from_bits(0x7F80_0001)])
    }

    pub(super) fn no_f64(&mut self) -> f64 {
        self.pick(
            f64::NAN,
            &[f64::INFINITY, f64::NEG_INFINITY, -f64::NAN, f64::from_bits(0x7FF0_0000_0000_0001)],
        )
    }
}

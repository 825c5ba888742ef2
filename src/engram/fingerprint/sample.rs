//! Which rows are taken of many: the first draws of `torch.randperm` on the CPU.
//!
//! The generator is MT19937 (Matsumoto and Nishimura 1998), seeded as `init_genrand` does; the permutation is
//! `for i in 0..n - 1 { swap(r[i], r[i + next % (n - i)]) }`. What stands at place i stays there after step i, so the first
//! `take` places need only as many steps.
#![deny(clippy::arithmetic_side_effects)]

use alloc::vec::Vec;

use crate::error::Result;
pub(super) use crate::random::Mt19937;

impl Mt19937 {
    /// The first `take` places of a permutation of 0 to `n - 1`; the generator goes on where torch's would. Memory for `take`
    /// places whatever `n` is; time for `n` draws, of which all but `take` are thrown away.
    pub(super) fn permutation(&mut self, n: u32, take: u32) -> Result<Vec<u32>> {
        let picked = self.first_places(n, take)?;
        for _ in take.min(n)..n.saturating_sub(1) {
            self.next();
        }
        Ok(picked)
    }

    /// The same, but leaves the generator behind the last draw that was needed.
    pub(super) fn first_places(&mut self, n: u32, take: u32) -> Result<Vec<u32>> {
        let take = take.min(n);
        let mut front = crate::memory::zeros::<u32>(take as usize)?;
        for (i, place) in (0..take).zip(front.iter_mut()) {
            *place = i;
        }
        let mut moved = Moved::new(take)?;
        for i in 0..take {
            // The last place has nothing to be swapped with, and torch draws nothing for it.
            let left = n.wrapping_sub(i);
            let step = if left > 1 { self.next().checked_rem(left).unwrap_or(0) } else { 0 };
            let j = i.wrapping_add(step);
            let here = front.get(i as usize).copied().unwrap_or(i);
            let there = match front.get_mut(j as usize) {
                Some(there) => core::mem::replace(there, here),
                None => moved.replace(j, here),
            };
            if let Some(place) = front.get_mut(i as usize) {
                *place = there;
            }
        }
        Ok(front)
    }
}

/// Places behind the front whose value has been swapped: open addressing, never more than half full.
struct Moved {
    /// Place + 1 and its value; 0 is free.
    slots: Vec<(u64, u32)>,
    shift: u32,
}

impl Moved {
    fn new(most: u32) -> Result<Self> {
        let len = u64::from(most).saturating_mul(2).next_power_of_two().max(2);
        let slots = crate::memory::zeros(usize::try_from(len).unwrap_or(usize::MAX))?;
        Ok(Self { slots, shift: len.leading_zeros().saturating_add(1) })
    }

    /// Puts a value at the place, and returns the one that was there: at first the place itself.
    fn replace(&mut self, place: u32, value: u32) -> u32 {
        let key = u64::from(place).wrapping_add(1);
        let mask = self.slots.len().wrapping_sub(1);
        // Fibonacci hashing: the upper bits of a product with 2^64 over the golden ratio.
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift.min(63)) as usize;
        loop {
            let Some(slot) = self.slots.get_mut(at & mask) else { return place };
            if slot.0 == key {
                return core::mem::replace(&mut slot.1, value);
            }
            if slot.0 == 0 {
                *slot = (key, value);
                return place;
            }
            at = at.wrapping_add(1);
        }
    }
}

//! The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998), which torch and Python's `random` draw from.
#![deny(clippy::arithmetic_side_effects)]

const N: usize = 624;
const M: usize = 397;

/// The generator.
#[derive(Clone, Debug)]
pub(crate) struct Mt19937 {
    state: [u32; N],
    used: usize,
}

impl Mt19937 {
    /// Seeded as `init_genrand` does.
    pub(crate) fn new(seed: u32) -> Self {
        let mut state = [0; N];
        let mut last = seed;
        for (i, word) in (0u32..).zip(state.iter_mut()) {
            if i > 0 {
                last = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(i);
            }
            *word = last;
        }
        Self { state, used: N }
    }

    /// Seeded as `init_by_array` does. An empty key counts as one of a zero.
    #[cfg(feature = "niah")]
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Places are 1 to N - 1, and below the key's length.
    pub(crate) fn from_key(key: &[u32]) -> Self {
        let key = if key.is_empty() { &[0] } else { key };
        let mut twister = Self::new(19_650_218);
        let state = &mut twister.state;
        let mixed = |state: &[u32; N], i: usize, by: u32| {
            state[i] ^ (state[i - 1] ^ state[i - 1] >> 30).wrapping_mul(by)
        };
        let (mut i, mut j) = (1, 0);
        for _ in 0..N.max(key.len()) {
            // A key is at most usize::MAX / 4 long; its places past 2^32 would wrap in C too.
            state[i] = mixed(state, i, 1_664_525).wrapping_add(key[j]).wrapping_add(j as u32);
            (i, j) = (i + 1, (j + 1) % key.len());
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        for _ in 1..N {
            state[i] = mixed(state, i, 1_566_083_941).wrapping_sub(i as u32);
            i += 1;
            if i >= N {
                state[0] = state[N - 1];
                i = 1;
            }
        }
        state[0] = 0x8000_0000;
        twister
    }

    pub(crate) fn next(&mut self) -> u32 {
        if self.used >= N {
            self.refill();
            self.used = 0;
        }
        let mut y = self.state.get(self.used).copied().unwrap_or(0);
        self.used = self.used.saturating_add(1);
        y ^= y >> 11;
        y ^= y << 7 & 0x9D2C_5680;
        y ^= y << 15 & 0xEFC6_0000;
        y ^ y >> 18
    }

    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Every place is taken modulo N.
    fn refill(&mut self) {
        let state = &mut self.state;
        for i in 0..N {
            let y = state[i] & 0x8000_0000 | state[(i + 1) % N] & 0x7FFF_FFFF;
            let odd = (y & 1).wrapping_neg() & 0x9908_B0DF;
            state[i] = state[(i + M) % N] ^ y >> 1 ^ odd;
        }
    }
}

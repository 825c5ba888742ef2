//! SHA-256 (FIPS 180-4) of many messages at a time.
//!
//! One message is latency bound: each round waits for the one before. So independent messages go side by side, 16 in
//! the lanes of AVX-512 or up to 4 by turns on the SHA instructions. A lane whose message ends takes the next one;
//! so lengths need not be equal. The blocks themselves are read in place, but for the one across a message's two
//! parts and the padding, which are put together in the lane.

use crate::frame::sha256;

/// A good size of a batch: lanes are seldom without a message, and the arrays that a caller needs are some 4 KB.
pub(crate) const BATCH: usize =
    if cfg!(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64"))) { 64 } else { 1 };

/// Messages under way together at most.
#[cfg(any(test, all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64"))))]
const LANES: usize = 16;

/// SHA-256 of each message, which is its two parts one after the other; as many as there are places in `out`.
///
/// Any lengths are right; the fastest are many messages of about the same length, in batches of a multiple of 16.
/// Speed, Zen 5, messages of 15 KiB beside `sha2` one by one (1.85 GB/s): 3 times for 16 with AVX-512, 1.5 times
/// for 4 with the SHA instructions.
pub(crate) fn sha256_many(messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) {
    let messages = messages.get(..out.len()).unwrap_or(messages);
    #[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
    if messages.len() > 1 && x86::sha256_many(super::level(), messages, out) {
        return;
    }
    for (message, out) in messages.iter().zip(out) {
        *out = sha256(message);
    }
}

#[cfg(any(test, all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64"))))]
mod lanes {
    use super::LANES;

    pub(super) type State = [u32; 8];
    pub(super) type Block = [u8; 64];

    /// H(0) of FIPS 180-4, 5.3.3.
    const INITIAL: State = [
        0x6A09_E667,
        0xBB67_AE85,
        0x3C6E_F372,
        0xA54F_F53A,
        0x510E_527F,
        0x9B05_688C,
        0x1F83_D9AB,
        0x5BE0_CD19,
    ];

    /// A way to run lanes side by side.
    pub(super) trait Compress {
        /// How many of `active` lanes (1 to 16) to run next: from 1 to `active`.
        fn choose(&self, active: usize) -> usize;

        /// Takes the blocks of the first `count` lanes into their states. Those lanes have equally many blocks; `count`
        /// is what [`choose`](Self::choose) said.
        fn compress(&mut self, count: usize, states: &mut [State; LANES], blocks: &[&[Block]; LANES]);
    }

    /// A message under way.
    struct Lane<'a> {
        /// What is neither hashed nor copied to `own`.
        parts: [&'a [u8]; 2],
        /// Blocks that the message does not have in one piece.
        own: [Block; 2],
        /// Which of `own` come next; none where the next blocks are those of `parts[0]`.
        own_next: core::ops::Range<usize>,
        /// Whether the padding is in `own`, or behind.
        padded: bool,
        /// In bits, as the padding has it.
        len: u64,
        /// Which message it is.
        index: usize,
    }

    impl Lane<'_> {
        const IDLE: Self =
            Self { parts: [&[]; 2], own: [[0; 64]; 2], own_next: 0..0, padded: true, len: 0, index: 0 };
    }

    impl<'a> Lane<'a> {
        /// Blocks follow: no message is without padding.
        fn start(&mut self, index: usize, parts: [&'a [u8]; 2]) {
            let len =
                parts.iter().fold(0u64, |len, part| len.wrapping_add(part.len() as u64)).wrapping_mul(8);
            (self.parts, self.own_next, self.padded, self.len, self.index) = (parts, 0..0, false, len, index);
            self.prepare();
        }

        /// The next blocks, as many as there are in one piece.
        fn blocks(&self) -> &[Block] {
            if self.own_next.is_empty() {
                self.parts[0].as_chunks().0
            } else {
                self.own.get(self.own_next.clone()).unwrap_or_default()
            }
        }

        /// Goes past `count` of [`blocks`](Self::blocks); false where that was the message's end.
        fn advance(&mut self, count: usize) -> bool {
            if self.own_next.is_empty() {
                self.parts[0] = self.parts[0].get(count.saturating_mul(64)..).unwrap_or_default();
            } else {
                self.own_next.start = self.own_next.start.saturating_add(count);
            }
            self.prepare()
        }

        /// Puts together the next block if there is none in one piece; false after the last.
        fn prepare(&mut self) -> bool {
            if !self.own_next.is_empty() || self.parts[0].len() >= 64 {
                return true;
            }
            if self.padded {
                return false;
            }
            let [first, second] = self.parts;
            let (taken, rest) = second.split_at(second.len().min(64_usize.saturating_sub(first.len())));
            self.parts = [rest, &[]];

            let filled = first.len().saturating_add(taken.len());
            let [block, spare] = &mut self.own;
            for (to, from) in [(0..first.len(), first), (first.len()..filled, taken)] {
                if let Some(to) = block.get_mut(to) {
                    to.copy_from_slice(from);
                }
            }
            // What is free is padding: 1 bit, zeros, and the length in the last 8 bytes, of another block if they are
            // not free.
            let Some((first, zeros)) = block.get_mut(filled..).and_then(<[u8]>::split_first_mut) else {
                self.own_next = 0..1;
                return true;
            };
            *first = 0x80;
            zeros.fill(0);
            let last = if filled < 56 {
                block
            } else {
                *spare = [0; 64];
                spare
            };
            if let Some(end) = last.last_chunk_mut() {
                *end = self.len.to_be_bytes();
            }
            self.own_next = 0..if filled < 56 { 1 } else { 2 };
            self.padded = true;
            true
        }
    }

    /// Hashes all messages, `compress` doing the work.
    pub(super) fn drive(mut compress: impl Compress, messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) {
        let mut messages = messages.iter().enumerate();
        let mut lanes = [const { Lane::IDLE }; LANES];
        let mut states = [INITIAL; LANES];
        let mut active = 0;
        loop {
            // The first `active` lanes are those with a message.
            while let (Some(lane), Some(state)) = (lanes.get_mut(active), states.get_mut(active))
                && let Some((index, &parts)) = messages.next()
            {
                lane.start(index, parts);
                *state = INITIAL;
                active = active.saturating_add(1);
            }
            if active == 0 {
                return;
            }
            let chosen = compress.choose(active).clamp(1, active);
            let count = lanes.iter().take(chosen).map(|lane| lane.blocks().len()).min().unwrap_or_default();
            // Lanes without a message run along with the first one's blocks.
            let mut blocks = [lanes[0].blocks().get(..count).unwrap_or_default(); LANES];
            for (blocks, lane) in blocks.iter_mut().zip(&lanes).take(chosen) {
                *blocks = lane.blocks().get(..count).unwrap_or_default();
            }
            compress.compress(chosen, &mut states, &blocks);

            // From the last to the first, so that the lane swapped in for an ended one has been advanced, or was not
            // run.
            for i in (0..chosen).rev() {
                let (Some(lane), Some(state)) = (lanes.get_mut(i), states.get(i)) else { return };
                if !lane.advance(count) {
                    if let Some(out) = out.get_mut(lane.index) {
                        out.as_chunks_mut()
                            .0
                            .iter_mut()
                            .zip(state)
                            .for_each(|(to, word)| *to = word.to_be_bytes());
                    }
                    active = active.saturating_sub(1);
                    lanes.swap(i, active);
                    states.swap(i, active);
                }
            }
        }
    }
}

#[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
mod x86 {
    #[cfg(target_arch = "x86")]
    use core::arch::x86::*;
    #[cfg(target_arch = "x86_64")]
    use core::arch::x86_64::*;
    use fearless_simd::{
        Level, Simd, SimdBase as _, SimdInto as _, u8x16, u8x64, u32x4, u32x8,
        x86::{Avx512, Sse4_2},
    };

    use super::LANES;
    use super::lanes::{Block, Compress, State, drive};

    /// From so many active lanes on, the 16 lanes of AVX-512 are faster than the SHA instructions.
    const WIDE_FROM: usize = 9;

    /// How many of `active` lanes go by turns on the SHA instructions. Three together are slower than two and one.
    const fn turns(active: usize) -> usize {
        match active {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 4,
        }
    }

    /// False where `level` has no tier here.
    pub(super) fn sha256_many(level: Level, messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) -> bool {
        if let Some(avx512) = level.as_avx512() {
            drive(Wide { token: avx512, from: WIDE_FROM }, messages, out);
            return true;
        }
        // No level below AVX-512 includes the SHA instructions, so this tier asks for them itself.
        #[cfg(feature = "std")]
        if let Some(sse4_2) = level.as_sse4_2()
            && std::arch::is_x86_feature_detected!("sha")
        {
            drive(Narrow(sse4_2), messages, out);
            return true;
        }
        false
    }

    pub(super) struct Wide {
        pub(super) token: Avx512,
        /// [`WIDE_FROM`], or what a test wants.
        pub(super) from: usize,
    }

    impl Compress for Wide {
        fn choose(&self, active: usize) -> usize {
            if active >= self.from { active } else { turns(active) }
        }

        fn compress(&mut self, count: usize, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
            if count >= self.from {
                wide(self.token, states, blocks);
            } else {
                narrow_of_wide(self.token, count, states, blocks);
            }
        }
    }

    /// Whoever makes one has detected sha.
    #[cfg(feature = "std")]
    struct Narrow(Sse4_2);

    #[cfg(feature = "std")]
    impl Compress for Narrow {
        fn choose(&self, active: usize) -> usize {
            turns(active)
        }

        fn compress(&mut self, count: usize, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
            // SAFETY: `narrow` is safe but for the CPU features it is compiled for. The token proves fxsr, sse4.2,
            // cmpxchg16b and popcnt; sha was detected before the only place that makes a `Narrow`, `sha256_many`.
            #[allow(unsafe_code)]
            unsafe {
                narrow(self.0, count, states, blocks);
            }
        }
    }

    /// K of FIPS 180-4, 4.2.2, in the groups of 16 rounds.
    const K: [[u32; 16]; 4] = [
        [
            0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
            0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        ],
        [
            0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
            0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        ],
        [
            0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
            0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        ],
        [
            0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
            0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
        ],
    ];

    /// Row i, word j becomes row j, word i.
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::indexing_slicing, reason = "indices below 16 into arrays of 16")]
    fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
        let mut fours = rows;
        for g in [0, 4, 8, 12] {
            let (low01, high01) =
                (_mm512_unpacklo_epi32(rows[g], rows[g + 1]), _mm512_unpackhi_epi32(rows[g], rows[g + 1]));
            let (low23, high23) = (
                _mm512_unpacklo_epi32(rows[g + 2], rows[g + 3]),
                _mm512_unpackhi_epi32(rows[g + 2], rows[g + 3]),
            );
            // Quarter q of fours[g + c]: word 4q + c of rows g to g + 3.
            fours[g] = _mm512_unpacklo_epi64(low01, low23);
            fours[g + 1] = _mm512_unpackhi_epi64(low01, low23);
            fours[g + 2] = _mm512_unpacklo_epi64(high01, high23);
            fours[g + 3] = _mm512_unpackhi_epi64(high01, high23);
        }
        let mut out = fours;
        for c in 0..4 {
            let (a, b, c8, d) = (fours[c], fours[4 + c], fours[8 + c], fours[12 + c]);
            let (ab, cd) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0x44>(c8, d));
            out[c] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
            out[4 + c] = _mm512_shuffle_i32x4::<0xDD>(ab, cd);
            let (ab, cd) = (_mm512_shuffle_i32x4::<0xEE>(a, b), _mm512_shuffle_i32x4::<0xEE>(c8, d));
            out[8 + c] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
            out[12 + c] = _mm512_shuffle_i32x4::<0xDD>(ab, cd);
        }
        out
    }

    /// One round: the names of the state move on by one with each.
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:expr, $zero:ident) => {
            let ch = _mm512_ternarylogic_epi32::<0xCA>($e, $f, $g);
            let maj = _mm512_ternarylogic_epi32::<0xE8>($a, $b, $c);
            let s1 = _mm512_ternarylogic_epi32::<0x96>(
                _mm512_ror_epi32::<6>($e),
                _mm512_ror_epi32::<11>($e),
                _mm512_ror_epi32::<25>($e),
            );
            let s0 = _mm512_ternarylogic_epi32::<0x96>(
                _mm512_ror_epi32::<2>($a),
                _mm512_ror_epi32::<13>($a),
                _mm512_ror_epi32::<22>($a),
            );
            // Each round waits for e and a of the one before, so what is known earlier is added first. The xor with
            // a zero that the compiler does not know keeps it from adding that last: 20 % in speed.
            let t = _mm512_add_epi32($h, $kw);
            let t = _mm512_add_epi32(_mm512_xor_si512(t, $zero), ch);
            let t = _mm512_add_epi32(t, s1);
            $d = _mm512_add_epi32($d, t);
            $h = _mm512_add_epi32(_mm512_add_epi32(t, maj), s0);
        };
    }

    /// Rounds with the sums `kw(0)` to `kw(15)`, after which the names are back where they were.
    macro_rules! sixteen {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:ident, $zero:ident) => {
            round!($a $b $c $d $e $f $g $h, $kw(0), $zero);
            round!($h $a $b $c $d $e $f $g, $kw(1), $zero);
            round!($g $h $a $b $c $d $e $f, $kw(2), $zero);
            round!($f $g $h $a $b $c $d $e, $kw(3), $zero);
            round!($e $f $g $h $a $b $c $d, $kw(4), $zero);
            round!($d $e $f $g $h $a $b $c, $kw(5), $zero);
            round!($c $d $e $f $g $h $a $b, $kw(6), $zero);
            round!($b $c $d $e $f $g $h $a, $kw(7), $zero);
            round!($a $b $c $d $e $f $g $h, $kw(8), $zero);
            round!($h $a $b $c $d $e $f $g, $kw(9), $zero);
            round!($g $h $a $b $c $d $e $f, $kw(10), $zero);
            round!($f $g $h $a $b $c $d $e, $kw(11), $zero);
            round!($e $f $g $h $a $b $c $d, $kw(12), $zero);
            round!($d $e $f $g $h $a $b $c, $kw(13), $zero);
            round!($c $d $e $f $g $h $a $b, $kw(14), $zero);
            round!($b $c $d $e $f $g $h $a, $kw(15), $zero);
        };
    }

    fearless_simd::kernel!(
        /// 16 lanes.
        #[allow(clippy::indexing_slicing, reason = "indices below 16 into arrays of 16")]
        fn wide(token: Avx512, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
            let half = |state: &State| -> __m256i { u32x8::load_array_ref(token, state).into() };
            let raw = |block: &Block| -> __m512i { u8x64::load_array_ref(token, block).into() };
            let big_endian = _mm512_set4_epi32(0x0C0D0E0F, 0x08090A0B, 0x04050607, 0x00010203);

            let mut rows = [_mm512_setzero_si512(); 16];
            for (row, state) in rows.iter_mut().zip(states.iter()) {
                *row = _mm512_zextsi256_si512(half(state));
            }
            let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h, ..] = transpose(rows);

            let zero = _mm512_set1_epi32(core::hint::black_box(0));
            // W + K of a block, by groups of 16 rounds. A group's are made during the rounds of the group before.
            let mut sums = [[_mm512_setzero_si512(); 16]; 4];
            for i in 0..blocks[0].len() {
                for (row, blocks) in rows.iter_mut().zip(blocks) {
                    let Some(block) = blocks.get(i) else { return };
                    *row = _mm512_shuffle_epi8(raw(block), big_endian);
                }
                let mut w = transpose(rows);
                let before = [a, b, c, d, e, f, g, h];
                let plus = |w: __m512i, k: u32| _mm512_add_epi32(w, _mm512_set1_epi32(k as i32));
                for (kw, (w, k)) in sums[0].iter_mut().zip(w.iter().zip(&K[0])) {
                    *kw = plus(*w, *k);
                }
                for group in 0..3 {
                    let ([.., now], [next, ..]) = sums.split_at_mut(group + 1) else { return };
                    let k = &K[group + 1];
                    let mut expand = |i: usize| {
                        let (w1, w9, w14) = (w[(i + 1) % 16], w[(i + 9) % 16], w[(i + 14) % 16]);
                        let s0 = _mm512_ternarylogic_epi32::<0x96>(
                            _mm512_ror_epi32::<7>(w1),
                            _mm512_ror_epi32::<18>(w1),
                            _mm512_srli_epi32::<3>(w1),
                        );
                        let s1 = _mm512_ternarylogic_epi32::<0x96>(
                            _mm512_ror_epi32::<17>(w14),
                            _mm512_ror_epi32::<19>(w14),
                            _mm512_srli_epi32::<10>(w14),
                        );
                        w[i] = _mm512_add_epi32(_mm512_add_epi32(_mm512_add_epi32(w[i], w9), s0), s1);
                        next[i] = plus(w[i], k[i]);
                        now[i]
                    };
                    sixteen!(a b c d e f g h, expand, zero);
                }
                let last = |i: usize| sums[3][i];
                sixteen!(a b c d e f g h, last, zero);
                a = _mm512_add_epi32(a, before[0]);
                b = _mm512_add_epi32(b, before[1]);
                c = _mm512_add_epi32(c, before[2]);
                d = _mm512_add_epi32(d, before[3]);
                e = _mm512_add_epi32(e, before[4]);
                f = _mm512_add_epi32(f, before[5]);
                g = _mm512_add_epi32(g, before[6]);
                h = _mm512_add_epi32(h, before[7]);
            }

            let zero = _mm512_setzero_si512();
            let rows = transpose([a, b, c, d, e, f, g, h, zero, zero, zero, zero, zero, zero, zero, zero]);
            for (row, state) in rows.iter().zip(states) {
                let row: u32x8<Avx512> = _mm512_castsi512_si256(*row).simd_into(token);
                row.store_array(state);
            }
        }
    );

    fearless_simd::kernel!(
        fn narrow_of_wide(
            token: Avx512,
            count: usize,
            states: &mut [State; LANES],
            blocks: &[&[Block]; LANES],
        ) {
            if let Some(sse4_2) = token.level().as_sse4_2() {
                narrow(sse4_2, count, states, blocks);
            }
        }
    );

    /// The first `count` lanes, which is 1, 2 or 4.
    #[target_feature(enable = "fxsr,sse4.2,cmpxchg16b,popcnt,sha")]
    fn narrow(token: Sse4_2, count: usize, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
        match count {
            1 => by_turns::<1>(token, states, blocks),
            2 => by_turns::<2>(token, states, blocks),
            _ => by_turns::<4>(token, states, blocks),
        }
    }

    #[inline]
    #[target_feature(enable = "fxsr,sse4.2,cmpxchg16b,popcnt,sha")]
    #[allow(
        clippy::indexing_slicing,
        reason = "indices below N <= 16 into arrays of N and of 16, below 4 into arrays of 4"
    )]
    fn by_turns<const N: usize>(token: Sse4_2, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
        let big_endian = _mm_set_epi32(0x0C0D0E0F, 0x08090A0B, 0x04050607, 0x00010203);
        let raw = |bytes: &[u8; 16]| -> __m128i { u8x16::load_array_ref(token, bytes).into() };
        let zero = _mm_setzero_si128();
        let mut w = [[zero; 4]; N];

        // The instructions want the state as (a, b, e, f) and (c, d, g, h), a and c highest.
        let (mut abef, mut cdgh) = ([zero; N], [zero; N]);
        for i in 0..N {
            let [a, b, c, d, e, f, g, h] = states[i].map(|word| word as i32);
            (abef[i], cdgh[i]) = (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h));
        }
        for at in 0..blocks[0].len() {
            for i in 0..N {
                let Some(block) = blocks[i].get(at) else { return };
                for (w, bytes) in w[i].iter_mut().zip(block.as_chunks().0) {
                    *w = _mm_shuffle_epi8(raw(bytes), big_endian);
                }
            }
            let before = (abef, cdgh);
            for (group, k) in K.iter().enumerate() {
                for (q, k) in k.as_chunks().0.iter().enumerate() {
                    let k: __m128i = u32x4::load_array_ref(token, k).into();
                    for i in 0..N {
                        if group > 0 {
                            let [w1, w2, w3] = [1, 2, 3].map(|more| w[i][(q + more) % 4]);
                            let sum = _mm_add_epi32(
                                _mm_sha256msg1_epu32(w[i][q], w1),
                                _mm_alignr_epi8::<4>(w3, w2),
                            );
                            w[i][q] = _mm_sha256msg2_epu32(sum, w3);
                        }
                        let kw = _mm_add_epi32(w[i][q], k);
                        cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], kw);
                        abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], _mm_shuffle_epi32::<0x0E>(kw));
                    }
                }
            }
            for i in 0..N {
                abef[i] = _mm_add_epi32(abef[i], before.0[i]);
                cdgh[i] = _mm_add_epi32(cdgh[i], before.1[i]);
            }
        }
        for i in 0..N {
            let words = |v: __m128i| -> [u32; 4] {
                let v: u32x4<Sse4_2> = v.simd_into(token);
                v.into()
            };
            let ([f, e, b, a], [h, g, d, c]) = (words(abef[i]), words(cdgh[i]));
            states[i] = [a, b, c, d, e, f, g, h];
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::lanes::{Block, Compress, State, drive};
    use super::*;
    use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    /// The lanes by `sha2`, at most so many at a time.
    struct Plain(usize);

    impl Compress for Plain {
        fn choose(&self, active: usize) -> usize {
            active.min(self.0)
        }

        fn compress(&mut self, count: usize, states: &mut [State; LANES], blocks: &[&[Block]; LANES]) {
            for (state, blocks) in states.iter_mut().zip(blocks).take(count) {
                sha2::block_api::compress256(state, blocks);
            }
        }
    }

    type Tier = (String, Box<dyn Fn(&[[&[u8]; 2]], &mut [[u8; 32]])>);

    /// Every way this machine has.
    fn tiers() -> Vec<Tier> {
        let mut tiers: Vec<Tier> = vec![("sha256_many".into(), Box::new(sha256_many))];
        for most in [1, 3, LANES] {
            tiers.push((
                format!("{most} lanes by sha2"),
                Box::new(move |messages, out| drive(Plain(most), messages, out)),
            ));
        }
        #[cfg(all(feature = "simd", any(target_arch = "x86", target_arch = "x86_64")))]
        for level in crate::arch::levels() {
            tiers.push((
                format!("{level:?}"),
                Box::new(move |messages, out| {
                    if !x86::sha256_many(level, messages, out) {
                        one_by_one(messages, out);
                    }
                }),
            ));
            if let Some(token) = level.as_avx512() {
                for from in [1, LANES + 1] {
                    tiers.push((
                        format!("{level:?}, wide from {from}"),
                        Box::new(move |messages, out| drive(x86::Wide { token, from }, messages, out)),
                    ));
                }
            }
        }
        tiers
    }

    fn one_by_one(messages: &[[&[u8]; 2]], out: &mut [[u8; 32]]) {
        for ([first, second], out) in messages.iter().zip(out) {
            *out = Sha256::new().chain_update(first).chain_update(second).finalize().into();
        }
    }

    fn check(messages: &[[&[u8]; 2]]) {
        let mut expected = vec![[0; 32]; messages.len()];
        one_by_one(messages, &mut expected);
        for (name, tier) in tiers() {
            let mut out = vec![[0xAA; 32]; messages.len()];
            tier(messages, &mut out);
            for ((message, out), expected) in messages.iter().zip(&out).zip(&expected) {
                let lens = message.map(<[u8]>::len);
                assert_eq!(out, expected, "{name}: {lens:?} in a batch of {}", messages.len());
            }
        }
    }

    fn noise(len: usize, seed: u32) -> Vec<u8> {
        (0..len as u32).map(|i| ((i ^ seed).wrapping_mul(0x9E37_79B1) >> 24) as u8).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FIPS 180-4's examples and the million of NIST's, in one batch.
    #[test]
    fn published_vectors() {
        let a = vec![b'a'; 1_000_000];
        let vectors: [(&[u8], &str); 5] = [
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs\
                mnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            ),
            (&a, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
        ];
        for (name, tier) in tiers() {
            let messages =
                vectors.map(|(message, _)| <[&[u8]; 2]>::from(message.split_at(message.len() / 3)));
            let mut out = [[0; 32]; 5];
            tier(&messages, &mut out);
            for ((message, expected), out) in vectors.iter().zip(&out) {
                assert_eq!(hex(out), *expected, "{name}: {} bytes", message.len());
            }
        }
    }

    /// By Python: `sha256(b"".join(sha256(bytes((i*31+n)%251 for i in range(n))).digest() for n in range(300)))`.
    #[test]
    fn as_hashlib() {
        let data: Vec<Vec<u8>> =
            (0..300).map(|n| (0..n).map(|i| ((i * 31 + n) % 251) as u8).collect()).collect();
        let messages: Vec<[&[u8]; 2]> = data.iter().map(|bytes| [&bytes[..], &[]]).collect();
        for (name, tier) in tiers() {
            let mut out = vec![[0; 32]; messages.len()];
            tier(&messages, &mut out);
            let all: [u8; 32] = Sha256::digest(out.as_flattened()).into();
            let expected = "f2ae4b76e8a8e815daed84b38bfa5dd0ed539447d39cb34578d740c2f1f9bd26";
            assert_eq!(hex(&all), expected, "{name}");
        }
    }

    /// Every length up to some blocks, parted at and around every border of a block and of the padding.
    #[test]
    fn every_length_and_parting() {
        let data = noise(300, 1);
        let mut messages: Vec<[&[u8]; 2]> = vec![];
        for len in 0..=300 {
            let near = |at: usize| at % 64 <= 2 || at % 64 >= 54 || at + 2 >= len || at.is_multiple_of(17);
            messages.extend(
                (0..=len).filter(|&at| near(at)).map(|at| <[&[u8]; 2]>::from(data[..len].split_at(at))),
            );
        }
        check(&messages);
        // The same lengths beside each other only.
        for len in [0, 55, 56, 63, 64, 119, 120, 128, 300] {
            let messages: Vec<[&[u8]; 2]> = (0..=len).map(|at| data[..len].split_at(at).into()).collect();
            check(&messages);
        }
    }

    #[test]
    fn every_size_of_batch() {
        for count in 0..=40usize {
            let equal: Vec<Vec<u8>> = (0..count).map(|i| noise(700, i as u32)).collect();
            check(&equal.iter().map(|bytes| bytes.split_at(131).into()).collect::<Vec<_>>());
            let mixed: Vec<Vec<u8>> = (0..count).map(|i| noise(i * i * 37 % 1500, i as u32)).collect();
            check(
                &mixed
                    .iter()
                    .map(|bytes| bytes.split_at(bytes.len().min(7 * count)).into())
                    .collect::<Vec<_>>(),
            );
        }
    }

    /// No more is written than there is place for, and no more than there are messages.
    #[test]
    fn fewer_places_than_messages_and_more() {
        let data = noise(200, 3);
        let messages = [[&data[..], &data[..9]]; 20];
        let mut expected = [[0; 32]; 20];
        one_by_one(&messages, &mut expected);
        for count in [0, 1, 5, 16, 19, 20, 24] {
            let mut out = vec![[0xAA; 32]; count];
            sha256_many(&messages, &mut out);
            let hashed = count.min(20);
            assert_eq!(out[..hashed], expected[..hashed]);
            assert!(out[hashed..].iter().all(|out| *out == [0xAA; 32]));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_batch(
            batch in proptest::collection::vec((0usize..3000, 0usize..300, any::<u32>()), 0..60),
            equal in proptest::option::of(0usize..2000),
        ) {
            let data: Vec<(Vec<u8>, usize)> = batch
                .iter()
                .map(|&(len, at, seed)| (noise(equal.unwrap_or(len), seed), at.min(equal.unwrap_or(len))))
                .collect();
            check(&data.iter().map(|(bytes, at)| bytes.split_at(*at).into()).collect::<Vec<_>>());
        }
    }
}

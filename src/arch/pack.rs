//! Token ids packed into `bits` bits each, 1 to 32, and as plain u16 and u32.
//!
//! Bit-packed: token i occupies bits [i * bits, (i + 1) * bits) of the stream, least significant bit first; bit k of
//! the stream is bit k % 8 of byte k / 8. So 8 tokens are exactly `bits` bytes, and a group of 8 starts at a byte.
//!
//! The portable code defines the answer. With `simd`, three steps give 16 tokens: a byte shuffle brings each token's
//! bytes into a lane of its own, a shift by 0 to 7 per lane brings its first bit down, a mask cuts off its neighbours.
//! - `Narrow`, up to 25 bits: token and shift fit a lane of 32 bits.
//! - `Wide`, 26 to 31 bits: lanes of 64 bits, one vector for the even tokens and one for the odd ones.
//!
//! Both read a window of 64 bytes, of which 2 * `bits` count. Near the end of the input the window is a copy, filled
//! up with zeros. Packing does the same backwards where a shuffle reaches across 64 bytes (AVX-512).
//!
//! Speed, Zen 5, 8192 tokens of 15 bits, tokens per ns: unpacking 30 with AVX-512 (a copy of the u32: 21), half as
//! many with AVX2, 3.2 portable; packing 14, 2.8 and 2.2, the check of the tokens included. One token anywhere: 0.9 ns.
//!
//! Nothing here panics, and `bits` outside 1 to 32 or lengths that do not agree do no harm: what is
//! processed is the smaller, and the result says how much that was.

/// Tokens that end at a byte, whatever their width.
const GROUP: usize = 8;

/// The mask of one token; `None` outside 1 to 32 bits.
#[inline(always)]
fn mask(bits: u8) -> Option<u32> {
    // 32 - bits wraps outside the range, and shifts of 32 or more are refused.
    u32::MAX.checked_shr(32u32.wrapping_sub(u32::from(bits)))
}

/// Whole tokens in `bytes` bytes.
#[inline]
fn capacity(bytes: usize, bits: u8) -> usize {
    // A slice has at most isize::MAX bytes, so this fits u64; the quotient may exceed a 32-bit usize.
    let tokens = (bytes as u64).saturating_mul(8).checked_div(u64::from(bits)).unwrap_or(0);
    usize::try_from(tokens).unwrap_or(usize::MAX)
}

/// The bytes of `tokens` tokens, the last one filled up with spare bits. Saturates.
#[inline]
fn packed_len(tokens: usize, bits: u8) -> usize {
    usize::try_from((tokens as u128 * u128::from(bits)).div_ceil(8)).unwrap_or(usize::MAX)
}

/// Token `i`; `None` if it does not end within `packed`. Constant time: one load of 8 bytes.
///
/// Spare bits at the end read as tokens of their own if there is room for one: the caller knows how many there are.
#[inline]
pub(crate) fn get(packed: &[u8], bits: u8, i: usize) -> Option<u32> {
    let mask = mask(bits)?;
    let bit = (i as u64).checked_mul(u64::from(bits))?;
    let Some(last) = packed.len().checked_sub(8) else {
        return get_short(packed, bits, bit, mask);
    };
    // The 8 bytes from the token's first on, or the last 8 there are: a token ends within them or nowhere.
    let start = usize::try_from(bit / 8).unwrap_or(usize::MAX).min(last);
    let window = u64::from_le_bytes(*packed.get(start..)?.first_chunk()?);
    let shift = bit - 8 * start as u64;
    (shift <= 64 - u64::from(bits)).then(|| (window >> (shift & 63)) as u32 & mask)
}

/// [`get`] from fewer than 8 bytes.
#[cold]
fn get_short(packed: &[u8], bits: u8, bit: u64, mask: u32) -> Option<u32> {
    let mut window = [0; 8];
    window.iter_mut().zip(packed).for_each(|(to, from)| *to = *from);
    let end = bit.checked_add(u64::from(bits))?;
    (end <= 8 * packed.len() as u64).then(|| (u64::from_le_bytes(window) >> bit) as u32 & mask)
}

/// Decodes tokens `first`, `first + 1` and so on into `out`, and returns how many of them `packed` has.
///
/// Cost: up to 7 single tokens until `first` is a multiple of 8, then groups of 8 or 16.
pub(crate) fn unpack(packed: &[u8], bits: u8, first: usize, out: &mut [u32]) -> usize {
    #[cfg(all(feature = "simd", target_endian = "little"))]
    return unpack_by(|bytes, out| simd::unpack(super::level(), bytes, bits, out), packed, bits, first, out);
    #[cfg(not(all(feature = "simd", target_endian = "little")))]
    return unpack_by(|bytes, out| portable(bytes, bits, out), packed, bits, first, out);
}

/// Single tokens up to the first multiple of 8, and `groups` for all that follow.
#[inline(always)]
fn unpack_by(
    groups: impl Fn(&[u8], &mut [u32]),
    packed: &[u8],
    bits: u8,
    first: usize,
    out: &mut [u32],
) -> usize {
    if mask(bits).is_none() {
        return 0;
    }
    let count = capacity(packed.len(), bits).saturating_sub(first).min(out.len());
    let head = first.wrapping_neg() % GROUP;
    let Some((head, rest)) = out.get_mut(..count).map(|out| out.split_at_mut(head.min(count))) else {
        return 0;
    };
    // The range comes second, and is not asked for a number beyond the last: `first` may be the largest there is.
    for (out, i) in head.iter_mut().zip(first..) {
        *out = get(packed, bits, i).unwrap_or(0);
    }
    // Every token of `rest` is in `packed`, so the product is below its length; empty has none.
    let start = first.div_ceil(GROUP).saturating_mul(usize::from(bits));
    let bytes = packed.get(start..).unwrap_or_default();
    match bits {
        16 => widen_u16(bytes, rest),
        32 => copy_from_u32(bytes, rest),
        _ => groups(bytes, rest),
    }
    count
}

/// Decodes from the first bit of `bytes` on until one of the two ends.
#[inline(always)]
fn portable(bytes: &[u8], bits: u8, out: &mut [u32]) {
    // A group's last token starts before byte 28.
    const WINDOW: usize = 40;
    let Some(mask) = mask(bits) else { return };
    let width = usize::from(bits);
    let places: [(usize, u32); GROUP] =
        core::array::from_fn(|i| (i * width / 8 % 32, (i * width % 8) as u32));

    let (mut rest, mut done) = (bytes, 0);
    for out in out.as_chunks_mut::<GROUP>().0 {
        let (Some(window), Some(next)) = (rest.first_chunk::<WINDOW>(), rest.get(width..)) else { break };
        for (out, (byte, shift)) in out.iter_mut().zip(places) {
            let Some(eight) = window.get(byte..).and_then(|w| w.first_chunk()) else { break };
            *out = (u64::from_le_bytes(*eight) >> shift) as u32 & mask;
        }
        rest = next;
        done += GROUP;
    }
    for (i, out) in out.iter_mut().enumerate().skip(done) {
        *out = get(bytes, bits, i).unwrap_or(0);
    }
}

/// Packs `tokens` into `out`, or as many as it has room for, and returns the bytes written: spare bits are 0, bytes
/// beyond keep their value. Of a token that does not fit, the lower `bits` bits are taken; see [`union`].
pub(crate) fn pack(tokens: &[u32], bits: u8, out: &mut [u8]) -> usize {
    let tokens = tokens.get(..capacity(out.len(), bits)).unwrap_or(tokens);
    let len = packed_len(tokens.len(), bits);
    let Some(out) = out.get_mut(..len) else { return 0 };
    match bits {
        0 | 33.. => return 0,
        16 => narrow_u16(tokens, out),
        32 => copy_to_u32(tokens, out),
        _ => {
            #[cfg(feature = "simd")]
            simd::pack(super::level(), tokens, bits, out);
            #[cfg(not(feature = "simd"))]
            pack_groups(tokens, bits, out);
        }
    }
    len
}

/// Packs 1 to 31 bits, group by group: each is two halves of 4 tokens, and those are written as 16 bytes, of which the
/// next write replaces what is too much.
#[inline(always)]
fn pack_groups(tokens: &[u32], bits: u8, out: &mut [u8]) {
    let Some(mask) = mask(bits) else { return };
    let (width, half) = (u32::from(bits), usize::from(bits / 2));
    // Of an odd width the first half ends with half a byte. Of one bit, that is all it has: token by token, below.
    let odd = 4 * (width % 2);
    let four = |[a, b, c, d]: [u32; 4]| -> (u64, u64) {
        let two = |a: u32, b: u32| u64::from(a & mask) | u64::from(b & mask) << width;
        let (low, high) = (two(a, b), two(c, d));
        (low | high << (2 * width), high >> (64 - 2 * width))
    };
    let bytes = |low: u64, high: u64| (u128::from(low) | u128::from(high) << 64).to_le_bytes();

    let mut done = 0;
    if (2..32).contains(&bits) {
        let mut rest = &mut *out;
        for &[a, b, c, d, e, f, g, h] in tokens.as_chunks::<GROUP>().0 {
            if rest.len() < half + 16 {
                break;
            }
            let (low, high) = four([a, b, c, d]);
            if let Some(out) = rest.first_chunk_mut() {
                *out = bytes(low, high);
            }
            // The first half's last 4 bits; its last two tokens have at least as many.
            let last = u64::from(c & mask) | u64::from(d & mask) << width;
            let over = if odd == 0 { 0 } else { last >> (2 * width - 4) };
            let (low, high) = four([e, f, g, h]);
            let second = bytes(low << odd | over, high << odd | low >> 1 >> (63 - odd));
            if let Some(out) = rest.get_mut(half..).and_then(|out| out.first_chunk_mut()) {
                *out = second;
            }
            done += GROUP;
            let Some((_, next)) = rest.split_at_mut_checked(usize::from(bits)) else { break };
            rest = next;
        }
    }
    let rest = out.get_mut(packed_len(done, bits)..).unwrap_or_default();
    pack_singly(tokens.get(done..).unwrap_or_default(), bits, mask, rest);
}

/// Packs token by token.
fn pack_singly(tokens: &[u32], bits: u8, mask: u32, out: &mut [u8]) {
    let (mut pending, mut filled, mut out) = (0u64, 0, out.iter_mut());
    for token in tokens {
        pending |= u64::from(token & mask) << filled;
        filled += u32::from(bits);
        while filled >= 8 {
            if let Some(out) = out.next() {
                *out = pending as u8;
            }
            pending >>= 8;
            filled -= 8;
        }
    }
    if filled > 0
        && let Some(out) = out.next()
    {
        *out = pending as u8;
    }
}

/// Every bit that some token has, so as wide as the largest of them. A maximum would cost more: SSE2 has none.
pub(crate) fn union(tokens: &[u32]) -> u32 {
    #[cfg(feature = "simd")]
    return simd::union(super::level(), tokens);
    #[cfg(not(feature = "simd"))]
    return union_loop(tokens);
}

// Plain loops: the compiler's vectors are as fast as hand-written ones here, at every level.

#[inline(always)]
fn union_loop(tokens: &[u32]) -> u32 {
    tokens.iter().fold(0, |union, token| union | token)
}

#[inline(always)]
fn widen_loop(bytes: &[u8], out: &mut [u32]) {
    for (out, token) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = u32::from(u16::from_le_bytes(*token));
    }
}

#[inline(always)]
fn narrow_loop(tokens: &[u32], out: &mut [u8]) {
    for (out, token) in out.as_chunks_mut().0.iter_mut().zip(tokens) {
        *out = (*token as u16).to_le_bytes();
    }
}

/// Little-endian u16 to u32, until one of the two ends.
pub(crate) fn widen_u16(bytes: &[u8], out: &mut [u32]) {
    #[cfg(feature = "simd")]
    return simd::widen(super::level(), bytes, out);
    #[cfg(not(feature = "simd"))]
    return widen_loop(bytes, out);
}

/// The lower halves as little-endian u16, until one of the two ends.
pub(crate) fn narrow_u16(tokens: &[u32], out: &mut [u8]) {
    #[cfg(feature = "simd")]
    return simd::narrow(super::level(), tokens, out);
    #[cfg(not(feature = "simd"))]
    return narrow_loop(tokens, out);
}

/// Little-endian u32 to tokens, until one of the two ends: a copy on little-endian machines.
pub(crate) fn copy_from_u32(bytes: &[u8], out: &mut [u32]) {
    for (out, token) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = u32::from_le_bytes(*token);
    }
}

/// Tokens to little-endian u32, until one of the two ends: a copy on little-endian machines.
pub(crate) fn copy_to_u32(tokens: &[u32], out: &mut [u8]) {
    for (out, token) in out.as_chunks_mut().0.iter_mut().zip(tokens) {
        *out = token.to_le_bytes();
    }
}

#[cfg(feature = "simd")]
mod simd {
    use super::*;
    use fearless_simd::{Level, dispatch};

    pub(super) fn union(level: Level, tokens: &[u32]) -> u32 {
        dispatch!(level, _simd => union_loop(tokens))
    }

    pub(super) fn widen(level: Level, bytes: &[u8], out: &mut [u32]) {
        dispatch!(level, _simd => widen_loop(bytes, out))
    }

    pub(super) fn narrow(level: Level, tokens: &[u32], out: &mut [u8]) {
        dispatch!(level, _simd => narrow_loop(tokens, out))
    }

    /// One dispatch for each kernel: without optimisation, all of them in one function need megabytes of stack.
    pub(super) fn pack(level: Level, tokens: &[u32], bits: u8, out: &mut [u8]) {
        #[cfg(target_endian = "little")]
        if let Some(table) = encode::table(bits)
            && dispatch!(level, simd => shuffles_all(simd))
        {
            return encode::pack(level, tokens, bits, table, out);
        }
        pack_scalar(level, tokens, bits, out);
    }

    /// The portable code: BMI2's shifts, which come with AVX2, are what it gains.
    fn pack_scalar(level: Level, tokens: &[u32], bits: u8, out: &mut [u8]) {
        dispatch!(level, _simd => pack_groups(tokens, bits, out))
    }

    /// Whether a shuffle takes bytes from all of 64, in one instruction. Known at compile time.
    #[cfg(target_endian = "little")]
    #[inline(always)]
    fn shuffles_all<S: fearless_simd::Simd>(simd: S) -> bool {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        return simd.level().as_avx512().is_some();
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        return {
            let _ = simd;
            false
        };
    }

    #[cfg(target_endian = "little")]
    pub(super) use decode::unpack;

    /// 16 tokens at once. Those of a pair are joined in a lane of 64 bits and shifted to where in a byte they start;
    /// two shuffles, for the even and the odd lanes, then bring every byte to its place. A byte that two lanes share
    /// is the one's or the other's bits.
    #[cfg(target_endian = "little")]
    mod encode {
        use super::*;
        use fearless_simd::{Simd, prelude::*, u8x64, u32x16, u64x8};

        const STEP: usize = 16;
        const WINDOW: usize = 64;
        /// From here on a byte has no more than two lanes,
        const LEAST: usize = 4;
        /// and up to here byte 7 of a lane is 0 after shifts by up to 6.
        const MOST: usize = 25;

        /// For each byte of the result, where it comes from: the even lanes, the odd lanes. 7 is a byte that is 0.
        type Table = [[u8; WINDOW]; 2];

        #[allow(clippy::indexing_slicing, reason = "at compile time")]
        static TABLES: [Table; MOST - LEAST + 1] = {
            let (mut all, mut width) = ([[[7; WINDOW]; 2]; MOST - LEAST + 1], LEAST);
            while width <= MOST {
                let mut lane = 0;
                while lane < STEP / 2 {
                    let (start, end) = (2 * width * lane / 8, (2 * width * (lane + 1)).div_ceil(8));
                    let mut byte = start;
                    while byte < end {
                        all[width - LEAST][lane % 2][byte] = (8 * lane + byte - start) as u8;
                        byte += 1;
                    }
                    lane += 1;
                }
                width += 1;
            }
            all
        };

        /// `None` for other widths than 4 to 25.
        pub(super) fn table(bits: u8) -> Option<&'static Table> {
            TABLES.get(usize::from(bits).checked_sub(LEAST)?)
        }

        pub(super) fn pack(level: Level, tokens: &[u32], bits: u8, table: &Table, out: &mut [u8]) {
            dispatch!(level, simd => drive(simd, tokens, bits, table, out));
        }

        #[inline(always)]
        fn drive<S: Simd>(simd: S, tokens: &[u32], bits: u8, [even, odd]: &Table, out: &mut [u8]) {
            let (width, stride) = (u32::from(bits), 2 * usize::from(bits));
            let mask = u32x16::splat(simd, mask(bits).unwrap_or(0));
            let low = u64x8::splat(simd, u64::from(u32::MAX));
            let up = u64x8::from_fn(simd, |lane| 2 * u64::from(bits) * lane as u64 % 8);
            let (even, odd) = (u8x64::load_array_ref(simd, even), u8x64::load_array_ref(simd, odd));

            let (mut rest, mut done) = (&mut *out, 0);
            for tokens in tokens.as_chunks::<STEP>().0 {
                let Some(to) = rest.first_chunk_mut() else { break };
                let pairs: u64x8<S> = (u32x16::load_array_ref(simd, tokens) & mask).bitcast();
                let joined = (pairs & low) | ((pairs >> 32) << width);
                let bytes: u8x64<S> = (joined << up).bitcast();
                // What is beyond 2 * bits bytes is 0, and the next step's to write.
                (bytes.swizzle_dyn(even) | bytes.swizzle_dyn(odd)).store_array(to);
                done += STEP;
                let Some((_, next)) = rest.split_at_mut_checked(stride) else { break };
                rest = next;
            }
            let rest = out.get_mut(packed_len(done, bits)..).unwrap_or_default();
            pack_groups(tokens.get(done..).unwrap_or_default(), bits, rest);
        }
    }

    #[cfg(target_endian = "little")]
    mod decode {
        use super::*;
        use fearless_simd::{Simd, prelude::*, u8x16, u8x64, u32x16, u64x8};

        /// Tokens to a step.
        const STEP: usize = 16;
        /// Bytes a step looks at.
        const WINDOW: usize = 64;

        /// One dispatch for each kernel: without optimisation, all of them in one function need megabytes of stack.
        pub(in super::super) fn unpack(level: Level, bytes: &[u8], bits: u8, out: &mut [u32]) {
            match dispatch!(level, simd => offers(simd)) {
                Offers::Shifts64 if bits > 25 => wide(level, bytes, bits, out),
                Offers::Shuffle | Offers::Shifts64 if bits <= 25 => narrow(level, bytes, bits, out),
                _ => portable(bytes, bits, out),
            }
        }

        fn narrow(level: Level, bytes: &[u8], bits: u8, out: &mut [u32]) {
            dispatch!(level, simd => drive(Narrow::new(simd, bits), bytes, bits, out));
        }

        fn wide(level: Level, bytes: &[u8], bits: u8, out: &mut [u32]) {
            dispatch!(level, simd => drive(Wide::new(simd, bits), bytes, bits, out));
        }

        /// What a level does in one instruction.
        #[derive(Clone, Copy, PartialEq)]
        enum Offers {
            /// No byte shuffle: portable code is faster.
            Nothing,
            /// A byte shuffle within 16 bytes.
            Shuffle,
            /// That, and shifts by another number of bits in each lane.
            Shifts64,
        }

        /// Known at compile time.
        #[inline(always)]
        fn offers<S: Simd>(simd: S) -> Offers {
            let level = simd.level();
            #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
            let (shuffle, shifts) = (level.as_sse4_2().is_some(), level.as_avx2().is_some());
            #[cfg(target_arch = "aarch64")]
            let (shuffle, shifts) = (level.as_neon().is_some(), level.as_neon().is_some());
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            let (shuffle, shifts) = (level.as_wasm_simd128().is_some(), false);
            #[cfg(not(any(
                target_arch = "x86",
                target_arch = "x86_64",
                target_arch = "aarch64",
                all(target_arch = "wasm32", target_feature = "simd128")
            )))]
            let (shuffle, shifts) = {
                let _ = level;
                (false, false)
            };
            match (shuffle, shifts) {
                (true, true) => Offers::Shifts64,
                (true, false) => Offers::Shuffle,
                _ => Offers::Nothing,
            }
        }

        /// A way to decode the 16 tokens at the start of a window.
        trait Kernel<S: Simd> {
            fn step(&self, window: &[u8; WINDOW]) -> u32x16<S>;
        }

        #[inline(always)]
        fn drive<S: Simd>(kernel: impl Kernel<S>, bytes: &[u8], bits: u8, out: &mut [u32]) {
            let stride = 2 * usize::from(bits);
            let (mut rest, mut done) = (bytes, 0);
            for out in out.as_chunks_mut::<STEP>().0 {
                // Two checks that always go the same way cost less than a slice that depends on one.
                let (Some(window), Some(next)) = (rest.first_chunk(), rest.get(stride..)) else { break };
                kernel.step(window).store_array(out);
                rest = next;
                done += STEP;
            }
            // What is left lies in fewer than 64 bytes, or is fewer than 16 tokens: a copy followed by zeros.
            let mut copy = [0; 2 * WINDOW];
            copy.iter_mut().zip(rest.iter().take(WINDOW)).for_each(|(to, from)| *to = *from);
            let mut rest = copy.as_slice();
            for out in out.get_mut(done..).unwrap_or_default().chunks_mut(STEP) {
                let Some(window) = rest.first_chunk() else { break };
                let mut tokens = [0; STEP];
                kernel.step(window).store_array(&mut tokens);
                out.iter_mut().zip(tokens).for_each(|(to, token)| *to = token);
                rest = rest.get(stride..).unwrap_or_default();
            }
        }

        /// Where the bytes of 16 tokens are, in a whole window or in the four blocks of 16 bytes that start with the
        /// tokens 0, 4, 8 and 12.
        #[derive(Clone, Copy)]
        struct Blocks<S: Simd> {
            simd: S,
            width: u32,
            starts: [usize; 4],
        }

        impl<S: Simd> Blocks<S> {
            #[inline(always)]
            fn new(simd: S, bits: u8) -> Self {
                let width = usize::from(bits);
                let starts = [0, width / 2, width, width + width / 2];
                // The last is 46 at most, for 31 bits: the bound tells the compiler that no load needs a check.
                Self { simd, width: width as u32, starts: starts.map(|start| start.min(WINDOW - 16)) }
            }

            #[inline(always)]
            fn load(&self, window: &[u8; WINDOW]) -> u8x64<S> {
                let simd = self.simd;
                if shuffles_all(simd) {
                    return u8x64::load_array_ref(simd, window);
                }
                let [a, b, c, d] =
                    self.starts.map(|start| match window.get(start..).and_then(|w| w.first_chunk()) {
                        Some(block) => u8x16::load_array_ref(simd, block),
                        None => u8x16::splat(simd, 0),
                    });
                simd.combine_u8x32(simd.combine_u8x16(a, b), simd.combine_u8x16(c, d))
            }

            /// The first byte and the first bit in it of each of `tokens`; token i of these is in lane i.
            #[inline(always)]
            fn places(&self, tokens: [u32; STEP]) -> (u32x16<S>, u32x16<S>) {
                let simd = self.simd;
                let tokens: u32x16<S> = tokens.simd_into(simd);
                let bit = tokens * self.width;
                let mut byte = bit >> 3;
                if !shuffles_all(simd) {
                    byte -= ((tokens & !3) * self.width) >> 3;
                }
                (byte, bit & 7)
            }

            #[inline(always)]
            fn shuffle(&self, bytes: u8x64<S>, indices: u8x64<S>) -> u8x64<S> {
                if shuffles_all(self.simd) {
                    bytes.swizzle_dyn(indices)
                } else {
                    bytes.swizzle_dyn_within_blocks(indices)
                }
            }
        }

        /// Up to 25 bits.
        struct Narrow<S: Simd> {
            blocks: Blocks<S>,
            indices: u8x64<S>,
            /// Shifts to the right, or without those factors: 2^(7 - shift), to be followed by a shift by 7.
            down: u32x16<S>,
            mask: u32x16<S>,
        }

        impl<S: Simd> Narrow<S> {
            #[inline(always)]
            fn new(simd: S, bits: u8) -> Self {
                let blocks = Blocks::new(simd, bits);
                let (byte, bit) = blocks.places([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
                let down = if offers(simd) == Offers::Shifts64 {
                    bit
                } else {
                    u32x16::from_fn(simd, |i| 0x80u32 >> (i as u32 * u32::from(bits) % 8))
                };
                Self {
                    blocks,
                    indices: (byte * 0x0101_0101 + 0x0302_0100).bitcast(),
                    down,
                    mask: u32x16::splat(simd, mask(bits).unwrap_or(0)),
                }
            }
        }

        impl<S: Simd> Kernel<S> for Narrow<S> {
            #[inline(always)]
            fn step(&self, window: &[u8; WINDOW]) -> u32x16<S> {
                let lanes: u32x16<S> = self.blocks.shuffle(self.blocks.load(window), self.indices).bitcast();
                let down = if offers(self.blocks.simd) == Offers::Shifts64 {
                    lanes >> self.down
                } else {
                    (lanes * self.down) >> 7
                };
                down & self.mask
            }
        }

        /// 26 to 31 bits: an even token goes down to bit 0 of its lane, the odd one after it up to bit 32.
        struct Wide<S: Simd> {
            blocks: Blocks<S>,
            even: u8x64<S>,
            odd: u8x64<S>,
            down: u64x8<S>,
            up: u64x8<S>,
            mask: u32x16<S>,
            low: u32x16<S>,
        }

        impl<S: Simd> Wide<S> {
            #[inline(always)]
            fn new(simd: S, bits: u8) -> Self {
                let blocks = Blocks::new(simd, bits);
                // A lane of 64 bits is two of 32, with the bytes 0 to 3 and 4 to 7. A token has bytes 0 to 4; what the
                // others are does not matter, and their indices may be anything.
                let next = u32x16::from_fn(simd, |i| if i % 2 == 0 { 0x0302_0100 } else { 0x0706_0504 });
                let low = u32x16::from_fn(simd, |i| if i % 2 == 0 { u32::MAX } else { 0 });
                let (byte, bit) = blocks.places([0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14]);
                let even = (byte * 0x0101_0101 + next).bitcast();
                let down = (bit & low).bitcast();
                // The odd tokens have theirs as bytes 3 to 7, so that they go up by 1 to 8 bits. Byte 0 of an odd token
                // is byte 3 of the window at least.
                let (byte, bit) = blocks.places([1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15]);
                let odd = ((byte - 3) * 0x0101_0101 + next).bitcast();
                let up = ((u32x16::splat(simd, 8) - bit) & low).bitcast();
                let mask = u32x16::splat(simd, mask(bits).unwrap_or(0));
                Self { blocks, even, odd, down, up, mask, low }
            }
        }

        impl<S: Simd> Kernel<S> for Wide<S> {
            #[inline(always)]
            fn step(&self, window: &[u8; WINDOW]) -> u32x16<S> {
                let bytes = self.blocks.load(window);
                let even: u64x8<S> = self.blocks.shuffle(bytes, self.even).bitcast();
                let odd: u64x8<S> = self.blocks.shuffle(bytes, self.odd).bitcast();
                let even: u32x16<S> = (even >> self.down).bitcast();
                let odd: u32x16<S> = (odd << self.up).bitcast();
                ((even & self.low) | (odd & !self.low)) & self.mask
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::{boxed::Box, string::String, vec, vec::Vec};

    /// The stream by the definition, bit by bit.
    fn reference(tokens: &[u32], bits: u8) -> Vec<u8> {
        let bits = usize::from(bits);
        let mut bytes = vec![0; (tokens.len() * bits).div_ceil(8)];
        for k in 0..tokens.len() * bits {
            if tokens[k / bits] >> (k % bits) & 1 == 1 {
                bytes[k / 8] |= 1 << (k % 8);
            }
        }
        bytes
    }

    type Unpack = Box<dyn Fn(&[u8], u8, usize, &mut [u32]) -> usize>;
    type Pack = Box<dyn Fn(&[u32], u8, &mut [u8])>;

    /// Every decoder this machine can run.
    fn unpackers() -> Vec<(String, Unpack)> {
        let mut all: Vec<(String, Unpack)> = vec![("default".into(), Box::new(unpack))];
        all.push((
            "portable".into(),
            Box::new(|packed, bits, first, out| {
                unpack_by(|bytes, out| portable(bytes, bits, out), packed, bits, first, out)
            }),
        ));
        #[cfg(all(feature = "simd", target_endian = "little"))]
        for level in crate::arch::levels() {
            all.push((
                alloc::format!("{level:?}"),
                Box::new(move |packed, bits, first, out| {
                    unpack_by(|bytes, out| simd::unpack(level, bytes, bits, out), packed, bits, first, out)
                }),
            ));
        }
        all
    }

    /// Every encoder of 1 to 31 bits.
    fn packers() -> Vec<(String, Pack)> {
        let mut all: Vec<(String, Pack)> = vec![("portable".into(), Box::new(pack_groups))];
        #[cfg(feature = "simd")]
        for level in crate::arch::levels() {
            all.push((
                alloc::format!("{level:?}"),
                Box::new(move |tokens, bits, out| simd::pack(level, tokens, bits, out)),
            ));
        }
        all.push((
            "singly".into(),
            Box::new(|tokens, bits, out| pack_singly(tokens, bits, mask(bits).unwrap(), out)),
        ));
        all
    }

    /// A multiplicative generator is noise enough here, and the same on every run.
    fn noise(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed ^ (*seed >> 29)) >> 16
    }

    /// Tokens of `bits` bits: any, with the ends among them.
    fn tokens(count: usize, bits: u8, seed: &mut u64) -> Vec<u32> {
        let most = ((1u64 << bits) - 1) as u32;
        (0..count)
            .map(|_| match noise(seed) % 8 {
                0 => 0,
                1 => most,
                _ => noise(seed) as u32 & most,
            })
            .collect()
    }

    /// Lengths through the remainders of every group, step and window.
    fn lengths() -> impl Iterator<Item = usize> {
        (0..200).chain([255, 256, 257, 511, 512, 513, 600, 1000])
    }

    #[test]
    fn worked_by_hand() {
        // sum(t << (15 * i) for i, t in enumerate([1, 32767, 0, 19999, 12345])).to_bytes(10, "little")
        let bytes = [0x01, 0x80, 0xFF, 0x3F, 0x00, 0xE0, 0xC3, 0x99, 0x03, 0x03];
        let all = [1, 32767, 0, 19999, 12345];
        let mut out = [0xEE; 10];
        assert_eq!(pack(&all, 15, &mut out), 10);
        assert_eq!(out, bytes);
        let mut back = [0; 5];
        assert_eq!(unpack(&bytes, 15, 0, &mut back), 5);
        assert_eq!(back, all);
        // 16 bits: little-endian, and 4 bits: the lower half of a byte first.
        assert_eq!(get(&[0x34, 0x12, 0x78, 0x56], 16, 1), Some(0x5678));
        assert_eq!(get(&[0x21, 0x43], 4, 2), Some(3));
        // Bits 27 to 53 of 0123456789ABCDEF are (0x0123456789ABCDEF >> 27) % 2**27.
        assert_eq!(get(&0x0123_4567_89AB_CDEFu64.to_le_bytes(), 27, 1), Some(0x0468_ACF1));
    }

    #[test]
    fn every_width_and_length() {
        let mut seed = 1;
        for bits in 1..=32 {
            for len in lengths() {
                let tokens = tokens(len, bits, &mut seed);
                let expected = reference(&tokens, bits);
                let mut out = vec![0xA5; expected.len() + 3];
                assert_eq!(pack(&tokens, bits, &mut out), expected.len());
                assert_eq!(out[..expected.len()], expected, "{bits} bits, {len} tokens");
                assert_eq!(out[expected.len()..], [0xA5; 3]);
                if bits < 32 {
                    for (name, pack) in packers() {
                        let mut out = vec![0x5A; expected.len()];
                        pack(&tokens, bits, &mut out);
                        assert_eq!(out, expected, "{name}, {bits} bits, {len} tokens");
                    }
                }
                for (name, unpack) in unpackers() {
                    let mut back = vec![0xEEEE_EEEE; len];
                    assert_eq!(unpack(&expected, bits, 0, &mut back), len);
                    assert_eq!(back, tokens, "{name}, {bits} bits, {len} tokens");
                }
                for (i, token) in tokens.iter().enumerate() {
                    assert_eq!(get(&expected, bits, i), Some(*token), "{bits} bits, {i} of {len}");
                }
            }
        }
    }

    /// Any first token, any number of them, from any address, with ones on both sides.
    #[test]
    fn every_place() {
        let mut seed = 2;
        for bits in 1..=32 {
            let tokens = tokens(300, bits, &mut seed);
            let exact = reference(&tokens, bits);
            for shift in 0..4 {
                let mut around = vec![0xFF; exact.len() + 70];
                around[shift..][..exact.len()].copy_from_slice(&exact);
                for packed in [&around[shift..][..exact.len()], &around[shift..]] {
                    for (name, unpack) in unpackers() {
                        for first in (0..20).chain([63, 64, 65, 255, 280, 299, 300]) {
                            for count in [0, 1, 7, 15, 16, 17, 33, 100, 300 - first] {
                                let count = count.min(300 - first);
                                let mut back = vec![0; count];
                                assert_eq!(unpack(packed, bits, first, &mut back), count);
                                assert_eq!(back, tokens[first..][..count], "{name}, {bits} bits, {first}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// What is there is decoded, and nothing else is touched.
    #[test]
    fn past_the_end() {
        let mut seed = 3;
        for bits in 1..=32u8 {
            for bytes in 0..80 {
                let packed: Vec<u8> = (0..bytes).map(|_| noise(&mut seed) as u8).collect();
                let there = bytes * 8 / usize::from(bits);
                for (name, unpack) in unpackers() {
                    for first in [0, 1, 5, 8, 100, 640, 641, usize::MAX / 32, usize::MAX - 1, usize::MAX] {
                        let mut out = vec![0xEEEE_EEEE; 700];
                        let count = unpack(&packed, bits, first, &mut out);
                        assert_eq!(count, there.saturating_sub(first), "{name}, {bits} bits, {bytes} bytes");
                        assert!(out[count..].iter().all(|&token| token == 0xEEEE_EEEE));
                        for (i, token) in out[..count].iter().enumerate() {
                            assert_eq!(get(&packed, bits, first + i), Some(*token));
                        }
                    }
                }
                for i in [there, there + 1, there + 8, usize::MAX / 32, usize::MAX / 8, usize::MAX] {
                    assert_eq!(get(&packed, bits, i), None, "{bits} bits, {bytes} bytes, {i}");
                }
                // The first i with i * bits above 2^64, where there is one.
                let wraps = (u64::MAX / u64::from(bits)).saturating_add(1);
                assert_eq!(get(&packed, bits, usize::try_from(wraps).unwrap_or(usize::MAX)), None);

                let mut out = packed.clone();
                assert_eq!(pack(&[u32::MAX; 700], bits, &mut out), (there * usize::from(bits)).div_ceil(8));
                assert_eq!(
                    out[(there * usize::from(bits)).div_ceil(8)..],
                    packed[(there * usize::from(bits)).div_ceil(8)..]
                );
            }
        }
    }

    /// Bits above the width are cut off, so that the neighbours keep theirs.
    #[test]
    fn too_wide() {
        let mut seed = 4;
        for bits in 1..=32u8 {
            let wide: Vec<u32> = (0..150).map(|_| noise(&mut seed) as u32 | 0x8000_0000).collect();
            let cut: Vec<u32> = wide.iter().map(|t| (u64::from(*t) % (1u64 << bits)) as u32).collect();
            let expected = reference(&cut, bits);
            let mut out = vec![0; expected.len()];
            assert_eq!(pack(&wide, bits, &mut out), expected.len());
            assert_eq!(out, expected, "{bits} bits");
            if bits < 32 {
                for (name, pack) in packers() {
                    pack(&wide, bits, &mut out);
                    assert_eq!(out, expected, "{name}, {bits} bits");
                }
            }
        }
    }

    #[test]
    fn widths_that_are_none() {
        for bits in [0, 33, 34, 64, 65, 255] {
            assert_eq!(get(&[1; 100], bits, 0), None);
            let mut out = [7; 10];
            assert_eq!(unpack(&[1; 100], bits, 0, &mut out), 0);
            assert_eq!(out, [7; 10]);
            let mut out = [7; 100];
            assert_eq!(pack(&[1; 10], bits, &mut out), 0);
            assert_eq!(out, [7; 100]);
        }
    }

    #[test]
    fn bits_in_use() {
        assert_eq!(union(&[]), 0);
        assert_eq!(union(&[0; 40]), 0);
        assert_eq!(union(&[0b1001, 0b0011, 0x8000_0000]), 0x8000_000B);
        // One bit, in any place of any length.
        for len in 1..100 {
            for place in 0..len {
                let (mut tokens, bit) = (vec![0; len], 1 << (place % 32));
                tokens[place] = bit;
                assert_eq!(union(&tokens), bit);
                #[cfg(feature = "simd")]
                for level in crate::arch::levels() {
                    assert_eq!(simd::union(level, &tokens), bit, "{level:?}");
                }
            }
        }
    }

    #[test]
    fn raw_both_ways() {
        let mut seed = 6;
        for len in lengths() {
            for wide in [false, true] {
                let tokens: Vec<u32> =
                    (0..len).map(|_| noise(&mut seed) as u32 >> if wide { 0 } else { 16 }).collect();
                let bytes: Vec<u8> = if wide {
                    tokens
                        .iter()
                        .flat_map(|t| [*t as u8, (t >> 8) as u8, (t >> 16) as u8, (t >> 24) as u8])
                        .collect()
                } else {
                    tokens.iter().flat_map(|t| [(t % 256) as u8, (t / 256) as u8]).collect()
                };
                let mut out = vec![0xAA; bytes.len() + 1];
                let mut back = vec![9; len + 1];
                // One byte off: neither end is aligned.
                let shifted = [&[0xFF], bytes.as_slice()].concat();
                if wide {
                    copy_to_u32(&tokens, &mut out[1..]);
                    copy_from_u32(&shifted[1..], &mut back);
                } else {
                    narrow_u16(&tokens, &mut out[1..]);
                    widen_u16(&shifted[1..], &mut back);
                }
                assert_eq!(out[1..], bytes);
                assert_eq!(back[..len], tokens);
                assert_eq!(back[len], 9);
                #[cfg(feature = "simd")]
                for level in crate::arch::levels().filter(|_| !wide) {
                    out.fill(0);
                    back.fill(9);
                    simd::narrow(level, &tokens, &mut out[1..]);
                    simd::widen(level, &shifted[1..], &mut back);
                    assert_eq!(out[1..], bytes, "{level:?}");
                    assert_eq!(back[..len], tokens, "{level:?}");
                }
            }
        }
        // The upper half is cut off.
        let mut out = [0; 2];
        narrow_u16(&[0xABCD_1234], &mut out);
        assert_eq!(out, [0x34, 0x12]);
    }
}

//! The plain read that mirrors are compared with.

/// Reads every byte of both, and does nothing with them.
pub(crate) fn read_both(a: &[u8], b: &[u8]) -> u64 {
    let mut sums = [0u64; 16];
    for (a, b) in a.as_chunks::<128>().0.iter().zip(b.as_chunks::<128>().0) {
        let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
        for (sum, (a, b)) in sums.iter_mut().zip(words) {
            *sum |= u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        }
    }
    sums.iter().fold(0, |sum, x| sum | x)
}

//! Whitening of keys, and the fingerprints that stand on it (spec/engram.md, "Whitening").

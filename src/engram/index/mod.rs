//! Indexes of fingerprints (spec/engram.md, "Index").

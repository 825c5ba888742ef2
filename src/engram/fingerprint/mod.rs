//! Fingerprints with the meanings of ENGRAM (spec/engram.md, "Fingerprints").

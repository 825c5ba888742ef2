//! Rotations of keys that can be undone: RoPE, Hadamard.

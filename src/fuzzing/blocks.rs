//! For benches/blocks.rs: the kernels of blocks, which are private. Elements are `f32`, `f16` or `bf16` by name.

use crate::arch::blocks::{self, Float};

fn float(element: &str) -> Float {
    match element {
        "f32" => Float::F32,
        "f16" => Float::F16,
        "bf16" => Float::Bf16,
        _ => panic!("no element {element}"),
    }
}

/// Which of up to 64 blocks differ in their bits.
pub fn unequal(master: &[u8], agent: &[u8], block_len: usize) -> u64 {
    blocks::unequal(master, agent, block_len)
}

/// Which of up to 64 blocks differ by a squared norm over `limit`.
pub fn beyond(element: &str, master: &[u8], agent: &[u8], block_len: usize, limit: f64) -> u64 {
    blocks::beyond(float(element), master, agent, block_len, limit)
}

/// The squared norm of the difference.
pub fn squared_norm(element: &str, master: &[u8], agent: &[u8]) -> f64 {
    blocks::squared_norm(float(element), master, agent)
}

/// `beyond` for i16.
pub fn beyond_i16(master: &[u8], agent: &[u8], block_len: usize, limit: u64) -> u64 {
    blocks::beyond_i16(master, agent, block_len, limit)
}

/// agent - master.
pub fn subtract(element: &str, agent: &[u8], master: &[u8], out: &mut [u8]) {
    blocks::subtract(float(element), agent, master, out);
}

/// master + difference.
pub fn add(element: &str, master: &[u8], difference: &[u8], out: &mut [u8]) {
    blocks::add(float(element), master, difference, out);
}

/// master + the values of MU16.
pub fn add_mu16(element: &str, master: &[u8], q: &[u8], delta_q16: u32, out: &mut [u8]) {
    blocks::add_mu16(float(element), master, q, delta_q16, out);
}

/// The largest difference.
pub fn max_distance(element: &str, a: &[u8], b: &[u8]) -> f64 {
    blocks::max_distance(float(element), a, b)
}

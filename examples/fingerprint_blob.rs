//! Reads a KV state as llama.cpp wrote it, without copying it, and takes a fingerprint of its keys.
//!
//! `cargo run --example fingerprint_blob -- BLOB HEAD_DIM`
//!
//! The blob says neither how many heads its model has nor how long a key is: HEAD_DIM comes from the model.

use bitwire::engram::fingerprint::{LayerRange, l2_norm, mean_pool};
use bitwire::engram::state::{State, StreamKeys};
use bitwire::engram::{KeySource, key_hadamard_block};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(head_dim)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fingerprint_blob BLOB HEAD_DIM".into());
    };
    let head_dim: u32 = head_dim.parse()?;
    let bytes = std::fs::read(path)?;

    let state = State::parse(&bytes)?;
    println!("{}, layout {}, {} bytes", state.envelope().kind(), state.layout(), bytes.len());
    if state.may_be_rotated(head_dim) {
        println!("keys may be rotated (block {:?})", key_hadamard_block(head_dim));
    }
    for (i, cache) in state.caches().enumerate() {
        for stream in cache.streams().filter(|stream| stream.cell_count() > 0) {
            let keys = StreamKeys::new(&stream, head_dim)?;
            let mean = mean_pool(&keys, LayerRange::All)?;
            println!("cache {i}: {}, norm of the mean key {:.4}", keys.shape(), l2_norm(&mean));
        }
    }
    Ok(())
}

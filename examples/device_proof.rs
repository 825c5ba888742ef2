//! What a device does with a chunk that somebody hands it: it holds the 32 bytes of a root and a number of chunks, and
//! believes nothing else. No allocator, no std in what it calls.
//!
//! ```console
//! $ cargo run --no-default-features --example device_proof
//! ```

use bitwire::ledger::{Chunk, Claim, Digest, Proof};
use bitwire::{Error, ErrorKind};

/// What the device was given once, by a way it trusts: the state of the ledger at some time.
struct Known {
    root: Digest,
    chunks: u64,
}

/// As they came over a wire: chunk 1 of a ledger of 3, and the proof for it. Written by `bitwire ledger extract` and
/// `bitwire ledger prove`.
static CHUNK: &[u8] = include_bytes!("../tests/data/ledger/chunk1.bit");
static PROOF: &[u8] = include_bytes!("../tests/data/ledger/chunk1.proof");
static ROOT: &[u8] = include_bytes!("../tests/data/ledger/root.bin");

/// The sum of the chunk's tokens, if it is one of the ledger that is known.
fn sum(known: &Known, chunk: &[u8], proof: &[u8]) -> bitwire::Result<u64> {
    let chunk = Chunk::parse_exact(chunk)?;
    let proof = Proof::parse(proof)?;
    // A root proves no size: a proof for a tree of another size is not one for this ledger.
    if !matches!(proof.claim(), Claim::Inclusion { tree_size, .. } if tree_size == known.chunks) {
        return Err(Error::caller(ErrorKind::Argument { expected: "the proof has to be for this ledger" }));
    }
    proof.verify_chunk(&chunk, &known.root)?;
    Ok(chunk.tokens().map(u64::from).sum())
}

fn main() -> bitwire::Result<()> {
    let root = *ROOT.first_chunk().expect("32 bytes");
    let sum_of_chunk = sum(&Known { root, chunks: 3 }, CHUNK, PROOF)?;
    println!("chunk 1 is the ledger's; its tokens sum up to {sum_of_chunk}");

    let mut altered = CHUNK.to_vec();
    altered[CHUNK.len() - 5] ^= 1;
    println!("altered: {}", sum(&Known { root, chunks: 3 }, &altered, PROOF).unwrap_err());
    println!("another root: {}", sum(&Known { root: [0; 32], chunks: 3 }, CHUNK, PROOF).unwrap_err());
    Ok(())
}

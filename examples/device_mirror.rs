//! What a device does with an agent's mirror: it has the master in flash, and makes the agent's blocks one by one in a
//! buffer of one block. No allocator, no std in what it calls.
//!
//! ```console
//! $ cargo run --no-default-features --example device_mirror
//! ```

use bitwire::frame::Frame;
use bitwire::mirror::{Master, MirrorView};

/// 16 blocks of 8 bf16 with their context, and two agents of them. Written by `bitwire mirror master` and `bitwire mirror
/// diff`.
static MASTER: &[u8] = include_bytes!("../tests/data/mirror/master.bit");
static AGENT: &[u8] = include_bytes!("../tests/data/mirror/agent.bit");
static OTHERS: &[u8] = include_bytes!("../tests/data/mirror/of-another-master.bit");

/// The largest value of each block of the agent, which is never there as a whole.
fn largest(master: &Master<'_>, agent: &[u8], mut each: impl FnMut(u32, f32)) -> bitwire::Result<()> {
    let agent = MirrorView::parse_exact(agent)?;
    let mut block = [0; 16];
    for index in 0..agent.total_blocks() {
        agent.block_into(master, index, &mut block)?;
        let elements = block.as_chunks::<2>().0.iter();
        let values = elements.map(|&[low, high]| f32::from_le_bytes([0, 0, low, high]));
        each(index, values.fold(f32::NEG_INFINITY, f32::max));
    }
    Ok(())
}

fn main() -> bitwire::Result<()> {
    // The one hash: whatever is applied from here on is compared with it.
    let master = Master::from_frame(&Frame::parse_exact(MASTER)?)?;
    largest(&master, AGENT, |index, value| println!("block {index:2}: {value}"))?;
    let refused = largest(&master, OTHERS, |_, _| unreachable!("nothing is made of it"));
    println!("another's: {}", refused.expect_err("the master is another one"));
    Ok(())
}

//! Twelve agents that share a context: one master in full, each agent as the blocks in which it differs.
//!
//! ```console
//! $ cargo run --example mirror_agents
//! ```

use bitwire::frame::{Context, Frame};
use bitwire::mirror::{Blocks, DiffOptions, Master, MasterMirror, MirrorView, Placement, Scalar, Shape};

/// 200 blocks of 128 f32.
const ROWS: u32 = 200;
const DIM: u32 = 128;

fn main() -> bitwire::Result<()> {
    let shape = Shape::new(Scalar::F32, ROWS, DIM)?;
    let values = (0..ROWS * DIM).map(|i| (i as f32).sin());
    let master: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();

    let context = Context::new("agents", "llama-3-8b", "layer 0", DIM)?;
    let mut store = MasterMirror::with_context(DiffOptions::default(), context);
    store.register_master("planner", &Blocks::new(shape, &master)?)?;

    // Eleven agents that differ in two blocks each.
    let names: Vec<String> = (1..12).map(|i| format!("agent {i:2}")).collect();
    for (i, name) in names.iter().enumerate() {
        let mut agent = master.clone();
        for block in [7 * i, 7 * i + 100] {
            if let Some(bytes) = agent.get_mut(block * shape.block_len()..).and_then(|rest| rest.get_mut(..4))
            {
                bytes.copy_from_slice(&1.5f32.to_le_bytes());
            }
        }
        store.register_mirror(name, &Blocks::new(shape, &agent)?)?;
    }

    // A tool has answered: ten of the eleven read the same eight new blocks, which are kept once.
    let answer = vec![0x3C; 8 * shape.block_len()];
    let everyone: Vec<&str> = names.iter().skip(1).map(String::as_str).collect();
    store.collective_reuse_step(&Blocks::new(shape.with_rows(8)?, &answer)?, &everyone, Placement::AtEnd)?;

    for (name, agent) in store.agents() {
        println!("{name}: {} blocks, {} differ", agent.blocks, agent.difference_blocks);
    }
    let stats = store.stats();
    println!("{} agents with the master, which has {} blocks", stats.mirrors + 1, stats.master_blocks);
    println!("ratio in blocks {:.3}, in bytes {:.3}", stats.compression_ratio, stats.byte_ratio);
    println!("ratio in frames {:.3}", stats.frame_ratio.unwrap_or(f64::NAN));

    // One mirror goes to another machine, which has the master's frame.
    let master_frame =
        store.master().map(|master| master.to_frame()?.encode()).transpose()?.unwrap_or_default();
    let mirror_frame = store.mirror("agent  5")?.to_frame()?.encode()?;
    println!("the master's frame {} bytes, the mirror's {}", master_frame.len(), mirror_frame.len());

    let master = Master::from_frame(&Frame::parse_exact(&master_frame)?)?;
    let mut agent = vec![0; master.blocks().as_bytes().len()];
    MirrorView::parse_exact(&mirror_frame)?.apply(&master, &mut agent)?;
    assert!(agent == store.reconstruct("agent  5")?, "the agent came back bit by bit");
    Ok(())
}

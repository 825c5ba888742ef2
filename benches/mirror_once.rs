//! Measures a master and an agent (.npy, `<f4`, C order) for benches/mirror_numpy.py: `mirror_once MASTER AGENT TIMES` prints
//! one line of JSON, medians in microseconds. Without files (as under `cargo test --benches`) it does nothing.

#[path = "common/median.rs"]
mod median;
#[path = "common/read.rs"]
mod read;

use std::hint::black_box;

use bitwire::io::npy::NpyBlocks;
use bitwire::mirror::{BlockSource, Blocks, DiffOptions, Master, MasterMirror, Mode};
use median::median;
use read::read_both;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [master, agent, times] = arguments.as_slice() else { return };
    let times: usize = times.parse().expect("times");
    let files = [master, agent].map(|path| NpyBlocks::open(path, None).expect("a .npy array"));
    // Where the blocks start is the allocator's choice, as it is NumPy's.
    let [master, agent] =
        files.each_ref().map(|file| file.borrowed().expect("f32 in C order").as_bytes().to_vec());
    let shape = files[0].shape();
    drop(files);
    let [master, agent] = [&master, &agent].map(|bytes| Blocks::new(shape, bytes).expect("blocks"));

    let options = |mode| DiffOptions { mode, threshold: 1e-4 };
    let mut store = MasterMirror::new(options(Mode::Replace));
    store.register_master("master", &master).expect("master");
    let mut adding = MasterMirror::new(options(Mode::Add));
    adding.register_master("master", &master).expect("master");
    let mut exact = MasterMirror::new(DiffOptions::default());
    exact.register_master("master", &master).expect("master");

    let mut out = vec![1u8; shape.len()];
    let differing = store.register_mirror("agent", &agent).expect("agent").difference_blocks;
    let results = [
        (
            "read both",
            median(times, || {
                black_box(read_both(black_box(master.as_bytes()), black_box(agent.as_bytes())));
            }),
        ),
        (
            "register",
            median(times, || {
                store.register_mirror("agent", black_box(&agent)).expect("agent");
            }),
        ),
        (
            "register, add",
            median(times, || {
                adding.register_mirror("agent", black_box(&agent)).expect("agent");
            }),
        ),
        (
            "register, threshold 0",
            median(times, || {
                exact.register_mirror("agent", black_box(&agent)).expect("agent");
            }),
        ),
        ("copy", median(times, || black_box(&mut out).copy_from_slice(black_box(master.as_bytes())))),
        (
            "reconstruct into",
            median(times, || store.reconstruct_into("agent", black_box(&mut out)).expect("out")),
        ),
        (
            "reconstruct fresh",
            median(times, || {
                black_box(store.reconstruct("agent").expect("agent"));
            }),
        ),
        (
            "copy fresh",
            median(times, || {
                black_box(black_box(master.as_bytes()).to_vec());
            }),
        ),
        (
            "digest",
            median(times.min(200), || {
                black_box(Master::new(black_box(master), bitwire::frame::ContextHash([0; 8])));
            }),
        ),
    ];
    assert_eq!(out, agent.as_bytes());
    let members: Vec<String> = results.iter().map(|(name, us)| format!("\"{name}\": {us}")).collect();
    println!("{{\"differing\": {differing}, {}}}", members.join(", "));
}

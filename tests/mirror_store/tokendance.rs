//! What TokenDance made of the same arrays.

use super::*;
use serde_json::Value;

/// An array as NumPy writes it: the first dimension counts blocks.
struct Npy {
    shape: Shape,
    bytes: Vec<u8>,
}

impl Npy {
    fn read(path: &Value) -> Self {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let file = std::fs::read(folder.join(path.as_str().unwrap())).unwrap();
        let data = 10 + usize::from(u16::from_le_bytes([file[8], file[9]]));
        let header = std::str::from_utf8(&file[10..data]).unwrap();
        let scalar = match &header[header.find('<').unwrap() + 1..][..2] {
            "f4" => Scalar::F32,
            "f2" => Scalar::F16,
            other => panic!("{other}"),
        };
        let dims = &header[header.find('(').unwrap() + 1..header.find(')').unwrap()];
        let dims: Vec<u64> = dims.split(',').filter_map(|dim| dim.trim().parse().ok()).collect();
        Self { shape: Shape::from_dims(scalar, &dims).unwrap(), bytes: file[data..].to_vec() }
    }

    fn blocks(&self) -> Blocks<'_> {
        Blocks::new(self.shape, &self.bytes).unwrap()
    }
}

fn expected() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tokendance/expected.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn options(store: &Value) -> DiffOptions {
    DiffOptions { mode: Mode::Add, threshold: store["threshold"].as_f64().unwrap() }
}

fn assert_stats(store: &MasterMirror, expected: &Value) {
    let stats = store.stats();
    assert_eq!(stats.master_id, expected["master_id"]);
    assert_eq!(stats.master_blocks, expected["master_blocks"]);
    assert_eq!(stats.mirrors, expected["n_mirrors"]);
    assert_eq!(stats.difference_blocks, expected["diff_blocks_total"]);
    assert_eq!(stats.compression_ratio, expected["compression_ratio"]);
    assert_eq!(stats.threshold, expected["diff_threshold"]);
    assert_eq!(stats.own_blocks, 0);
}

/// Every array it wrote, bit by bit: NumPy subtracts and adds as `Mode::Add` does.
#[test]
fn the_same_blocks_values_and_agents() {
    let mut seen = 0;
    for (name, case) in expected()["stores"].as_object().unwrap() {
        // Their arrays were not kept; `threshold_edge` and `nan_inf` are below, made again. f64 is no element here.
        if ["threshold_edge", "nan_inf", "f32_master_f64_mirror"].contains(&name.as_str()) {
            continue;
        }
        seen += 1;
        let mut store = MasterMirror::new(options(case));
        let master = Npy::read(&case["master"]);
        store.register_master("m", &master.blocks()).unwrap();
        for (id, mirror) in case["mirrors"].as_object().unwrap() {
            if mirror["input"].is_null() {
                continue; // "newcomer" comes with the step
            }
            let input = Npy::read(&mirror["input"]);
            let stats = store.register_mirror(id, &input.blocks()).unwrap();
            assert_eq!(stats, store.agent(id).unwrap());
            assert_eq!(stats.difference_blocks, mirror["n_diff_blocks"], "{name} {id}");
            assert_eq!(stats.blocks, mirror["total_blocks"]);
            assert_eq!(stats.sparsity(), mirror["sparsity"]);
            let diff = store.mirror(id).unwrap();
            let (indices, values) = diff.payload().split_at(4 * stats.difference_blocks as usize);
            let indices: Vec<u32> =
                indices.chunks(4).map(|i| u32::from_le_bytes(i.try_into().unwrap())).collect();
            assert_eq!(Value::from(indices), mirror["block_indices"]);
            assert_eq!(values, Npy::read(&mirror["diff_values"]).bytes, "{name} {id}");
            if let (Some(max), Scalar::F32) = (mirror["max_abs_error"].as_f64(), input.shape.scalar()) {
                assert!(max <= stats.error_bound, "{name} {id}: {max} {}", stats.error_bound);
            }
        }
        assert_stats(&store, &case["stats_before"]);

        let step = &case["collective"];
        if !step.is_null() {
            let shared = Npy::read(&step["shared_blocks"]);
            let ids: Vec<&str> =
                step["agent_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
            let counts = store.collective_reuse_step(&shared.blocks(), &ids, END).unwrap();
            for (id, count) in ids.iter().zip(counts) {
                assert_eq!(count, step["returns"][id]);
            }
            for (id, blocks) in step["total_blocks_after"].as_object().unwrap() {
                assert_eq!(store.agent(id).unwrap().blocks, *blocks, "{name} {id}");
            }
            assert_stats(&store, &step["stats_after"]);
        }
        for (id, mirror) in case["mirrors"].as_object().unwrap() {
            let rec = Npy::read(&mirror["reconstructed"]).bytes;
            let ours = store.reconstruct(id).unwrap();
            // "same" of blocks_4d is left out of the step: TokenDance made it one block longer all the same.
            let len = if id == "same" && name == "blocks_4d" { ours.len() } else { rec.len() };
            assert_eq!(ours, rec[..len], "{name} {id}");
        }
    }
    assert_eq!(seen, 8);
}

/// Of the arrays not kept: a norm of exactly the threshold is left out, and over it is not.
#[test]
fn the_threshold_is_inclusive() {
    let case = &expected()["stores"]["threshold_edge"];
    let mut agent = vec![[0.0f32; 2]; 16];
    (agent[1], agent[3]) = ([0.5, 0.0], [0.0, -0.5]);
    (agent[2], agent[4]) = ([0.5f32.next_up(), 0.0], [0.5, 0.5]);
    let (master, agent) = (f32_bytes([0.0; 32]), f32_bytes(agent.into_iter().flatten()));
    let mut store = MasterMirror::new(options(case));
    store.register_master("m", &f32_blocks(&master, 2)).unwrap();
    store.register_mirror("a", &f32_blocks(&agent, 2)).unwrap();
    assert_stats(&store, &case["stats_before"]);
    assert_eq!(store.mirror("a").unwrap().payload()[..8], [2, 0, 0, 0, 4, 0, 0, 0]);
}

/// TokenDance dropped a block with a NaN in silence; here it is kept.
#[test]
fn nan_is_kept() {
    let case = &expected()["stores"]["nan_inf"];
    let mut agent = [1.0f32; 16];
    (agent[3], agent[5], agent[7]) = (f32::NAN, f32::INFINITY, 2.0);
    let (master, agent) = (ones(&[1.0; 16]), ones(&agent));
    let mut store = MasterMirror::new(options(case));
    store.register_master("m", &f32_blocks(&master, 1)).unwrap();
    let stats = store.register_mirror("b", &f32_blocks(&agent, 1)).unwrap();
    assert_eq!(case["mirrors"]["b"]["n_diff_blocks"], 2);
    assert_eq!(stats.difference_blocks, 3);
    assert_eq!(store.reconstruct("b").unwrap(), agent);
}

#[test]
fn ratios() {
    let expected = expected();
    let ratios = &expected["ratios_of_seed001"];
    let options = DiffOptions { mode: Mode::Add, threshold: 1e-4 };
    let mut store = MasterMirror::new(options);
    assert_eq!(store.compression_ratio(), ratios["empty store"]);
    assert_stats(&store, &ratios["empty stats"]);
    assert_eq!((store.byte_ratio(), store.frame_ratio()), (1.0, None));

    let master = f32_bytes((0..200 * 128).map(|i| i as f32));
    store.register_master("0", &f32_blocks(&master, 128)).unwrap();
    assert_eq!(store.compression_ratio(), ratios["master only"]);
    for id in 1..12 {
        store.register_mirror(&id.to_string(), &f32_blocks(&master, 128)).unwrap();
    }
    assert_eq!(store.compression_ratio(), ratios["12 agents, zero diff (200x128)"]);
    assert_eq!(store.byte_ratio(), 12.0);

    let master = f32_bytes((0..128 * 256).map(|i| i as f32));
    store.register_master("retriever", &f32_blocks(&master, 256)).unwrap();
    assert_eq!(store.agents().len(), 0); // another name
    for id in 1..5u8 {
        let mut agent = master.clone();
        for block in 0..4 {
            agent[(usize::from(id) * 17 + block * 5) * 1024 + 2] ^= 0x7F;
        }
        store.register_mirror(&id.to_string(), &f32_blocks(&agent, 256)).unwrap();
    }
    assert_eq!(store.compression_ratio(), ratios["5 agents, 4 of 128 blocks differ"]);
    assert_stats(&store, &ratios["stats_5_agents"]);
    // TokenDance's indices take 8 bytes, here they take 4.
    let bytes = &expected["bytes_vs_reported_ratio"]["5 agents, 4 of 128 blocks"];
    assert_eq!((655_360, 147_520 + 16 * 4), (5 * 128 * 1024, bytes["stored_bytes"].as_i64().unwrap()));
    assert_eq!(store.byte_ratio(), 655_360.0 / 147_520.0);
    // Frames, by hand: 12 + CONFIG 27 + FLAGS 7 + END 3 + CRC 2 are 51 bytes, and a digest of 36 where header and
    // payload behind the magic are over 4,093 (spec/frame.md); MIRROR_V1 takes 51, and CONTEXT_V1 53:
    // {"dim":256,"model_id":"","pi_id":"","space_id":""}
    let (whole, mirror) = (51 + 36 + 53 + 131_072, 51 + 36 + 51 + 53 + 4 * 1028);
    assert_eq!(store.frame_ratio(), Some(f64::from(5 * whole) / f64::from(whole + 4 * mirror)));

    let mut store = MasterMirror::new(options);
    store.register_master("m", &f32_blocks(&[], 4)).unwrap();
    assert_eq!((store.compression_ratio(), store.byte_ratio(), store.frame_ratio()), (1.0, 1.0, None));
    store.collective_reuse_step(&f32_blocks(&master[..64], 4), &["a", "b"], END).unwrap();
    assert_eq!(store.compression_ratio(), ratios["zero-block master, 2 mirrors by a step"]);
}

#[test]
fn lifecycle() {
    let lifecycle = &expected()["lifecycle"];
    let base = |rows: u32, add: f32| ones(&(0..rows).map(|i| i as f32 + add).collect::<Vec<_>>());
    let mut store = MasterMirror::new(DiffOptions { mode: Mode::Add, threshold: 1e-4 });
    let mut source = base(8, 0.0);
    store.register_master("a", &f32_blocks(&source, 1)).unwrap();
    source.fill(0);
    assert_eq!(lifecycle["register_master copies its input"], true);
    assert_eq!(store.reconstruct("a").unwrap(), base(8, 0.0));

    let mut b = base(8, 0.0);
    b[24..].copy_from_slice(&ones(&[60.0, 70.0]));
    store.register_mirror("b", &f32_blocks(&b, 1)).unwrap();
    store.register_mirror("skipped", &f32_blocks(&b, 1)).unwrap();
    // It returned 0 for the master even where nobody was named; here there is a number for each name.
    let counts = store.collective_reuse_step(&f32_blocks(&base(1, 8.0), 1), &[], END).unwrap();
    assert!(counts.is_empty());
    assert_eq!(store.shape_of("a").unwrap().rows(), 9);
    store.collective_reuse_step(&f32_blocks(&base(1, 9.0), 1), &["b", "new"], END).unwrap();
    // An agent left out stays as it is; TokenDance stated 8 blocks and made 10.
    assert_eq!(
        lifecycle["mirror left out of agent_ids: total_blocks"],
        store.agent("skipped").unwrap().blocks
    );
    assert_eq!(
        lifecycle["... and sparsity uses the stale total"],
        store.agent("skipped").unwrap().sparsity()
    );
    assert_eq!(store.reconstruct("skipped").unwrap(), b);
    // "b" has missed block 8.
    let segments = [Segment::Shared { start: 0, rows: 8 }, Segment::Shared { start: 9, rows: 1 }];
    assert_eq!(store.segments("b").unwrap(), segments);
    assert_eq!(store.reconstruct("b").unwrap(), [&b[..], &base(1, 9.0)].concat());
    assert_eq!(store.reconstruct("new").unwrap(), base(10, 0.0));
    assert_eq!(Value::from([6, 7]), lifecycle["collective step never re-derives diffs"]);
    assert_eq!(store.mirror("skipped").unwrap().payload()[..8], [6, 0, 0, 0, 7, 0, 0, 0]);

    // The master's name is no agent's; TokenDance took it, counted it, and returned the master.
    assert_eq!(lifecycle["register_mirror under the master's own id"]["accepted"], true);
    let refused = store.register_mirror("a", &f32_blocks(&base(10, 0.0), 1)).unwrap_err();
    assert_eq!(name(refused), "Argument");

    // The same name again: in TokenDance "b" changed with the master, and broke if that was shorter.
    let before = store.reconstruct("b").unwrap();
    store.register_master("a", &f32_blocks(&base(12, 0.5), 1)).unwrap();
    assert_eq!(store.reconstruct("b").unwrap(), before);
    assert_eq!(lifecycle["re-register SAME master id keeps mirrors"][0], "b");
    let refused = store.register_master("a", &f32_blocks(&base(4, 0.0), 1)).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Shape { needed: 10, found: 4, .. }), "{refused}");
    assert_eq!(store.reconstruct("b").unwrap(), before);
    assert_eq!(store.reconstruct("a").unwrap(), base(12, 0.5));

    store.register_master("c", &f32_blocks(&base(2, 0.0), 1)).unwrap();
    assert_eq!(
        lifecycle["register another master id clears mirrors"].as_array().unwrap().len(),
        store.agents().len()
    );
    assert_eq!(name(store.reconstruct("a").unwrap_err()), "UnknownAgent");
}

#[test]
fn errors() {
    let expected = expected();
    let errors = expected["errors"].as_object().unwrap();
    let blocks = ones(&[0.0; 52]);
    let mut store = MasterMirror::new(EXACT);
    let mut found = vec![
        ("reconstruct_without_master", store.reconstruct("a").unwrap_err()),
        ("mirror_first", store.register_mirror("a", &f32_blocks(&blocks, 4)).unwrap_err()),
        ("step_without_master", store.collective_reuse_step(&f32_blocks(&blocks, 4), &[], END).unwrap_err()),
        ("master_1d", Shape::from_dims(Scalar::F32, &[8]).unwrap_err()),
        ("step_1d", Shape::from_dims(Scalar::F32, &[4]).unwrap_err()),
    ];
    store.register_master("m", &f32_blocks(&blocks, 4)).unwrap();
    found.extend([
        ("shape", store.register_mirror("a", &f32_blocks(&blocks[..128], 4)).unwrap_err()),
        ("unknown", store.reconstruct("ghost").unwrap_err()),
        (
            "step_wrong_width",
            store.collective_reuse_step(&f32_blocks(&blocks[..20], 5), &["a"], END).unwrap_err(),
        ),
    ]);
    for (case, kind) in [
        ("mirror_first", "NoMaster"),
        ("reconstruct_without_master", "NoMaster"),
        ("step_without_master", "NoMaster"),
        ("master_1d", "BlockDims"),
        ("step_1d", "BlockDims"),
        ("shape", "MasterDiffers"),
        ("unknown", "UnknownAgent"),
        ("step_wrong_width", "MasterDiffers"),
    ] {
        assert!(errors.contains_key(case));
        let at = found.iter().position(|(name, _)| *name == case).unwrap();
        assert_eq!(name(found.swap_remove(at).1), kind, "{case}");
    }
    assert_eq!(errors.len(), 8);
    assert_eq!((store.agents().len(), store.shape_of("m").unwrap().rows()), (0, 13));
}

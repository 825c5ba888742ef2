//! The store of one master and many agents: beside TokenDance (tests/data/tokendance, written by its Python), and beside a
//! store that keeps every agent in full.
#![cfg(feature = "alloc")]
// Tests state expectations by panicking.

mod model;
mod tokendance;

use bitwire::beacon::mu16::Step;
use bitwire::frame::{Context, ContextHash, Frame};
use bitwire::mirror::{
    BlockSource, Blocks, DiffOptions, Master, MasterMirror, MirrorView, Mode, Placement, Scalar, Segment,
    Shape,
};
use bitwire::{Error, ErrorKind};
use sha2::{Digest, Sha256};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what a thread holds of memory, and what it has asked for.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count(asked: usize, change: isize) {
    let _ = HELD.try_with(|held| held.set(held.get() + change));
    let _ = ASKED.try_with(|sum| sum.set(sum.get() + asked));
}

// SAFETY: everything is left to `System`; `Cell`s of plain numbers are counted in, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EXACT: DiffOptions = DiffOptions { mode: Mode::Replace, threshold: 0.0 };
const END: Placement = Placement::AtEnd;

fn f32_bytes(values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

fn f32_values(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect()
}

fn f32_blocks(bytes: &[u8], dim: u32) -> Blocks<'_> {
    Blocks::new(Shape::new(Scalar::F32, bytes.len() as u32 / 4 / dim, dim).unwrap(), bytes).unwrap()
}

/// Blocks of one f32 each.
fn ones(values: &[f32]) -> Vec<u8> {
    f32_bytes(values.iter().copied())
}

fn name(error: Error) -> &'static str {
    error.kind().name()
}

/// The agent that the frame of `id` gives, made again on `master`.
fn through_frame(store: &MasterMirror, id: &str, master: &Master<'_>) -> Result<Vec<u8>, Error> {
    let diff = store.mirror(id)?;
    let frame = diff.to_frame()?.encode()?;
    let view = MirrorView::parse_exact(&frame).unwrap();
    let mut out = vec![0xAA; master.blocks().as_bytes().len()];
    view.apply(master, &mut out).map(|()| out)
}

#[test]
fn own_blocks_and_both_placements() {
    let mut store = MasterMirror::new(EXACT);
    store.register_master("m", &f32_blocks(&ones(&[1.0, 2.0]), 1)).unwrap();
    store.register_mirror("a", &f32_blocks(&ones(&[1.0, -2.0]), 1)).unwrap();
    store.register_mirror("b", &f32_blocks(&ones(&[1.0, 2.0]), 1)).unwrap();
    for id in ["a", "b"] {
        store.append_own(id, &f32_blocks(&ones(&[100.0]), 1)).unwrap();
        store.append_own(id, &f32_blocks(&ones(&[101.0]), 1)).unwrap();
    }
    let own = |rows| Segment::Own { rows };
    let shared = |start, rows| Segment::Shared { start, rows };
    assert_eq!(store.segments("a").unwrap(), [shared(0, 2), own(2)]);
    store.collective_reuse_step(&f32_blocks(&ones(&[3.0]), 1), &["a"], END).unwrap();
    store.collective_reuse_step(&f32_blocks(&ones(&[4.0]), 1), &["a", "a"], END).unwrap();
    assert_eq!(store.segments("a").unwrap(), [shared(0, 2), own(2), shared(2, 2)]);
    assert_eq!(store.reconstruct("a").unwrap(), ones(&[1.0, -2.0, 100.0, 101.0, 3.0, 4.0]));
    // "b" has missed 3 and 4.
    let before = Placement::BeforeOwn;
    store.collective_reuse_step(&f32_blocks(&ones(&[5.0]), 1), &["a", "b"], before).unwrap();
    store.collective_reuse_step(&f32_blocks(&ones(&[6.0]), 1), &["b"], before).unwrap();
    assert_eq!(store.segments("a").unwrap(), [shared(0, 2), own(2), shared(2, 3)]);
    assert_eq!(store.segments("b").unwrap(), [shared(0, 2), shared(4, 2), own(2)]);
    assert_eq!(store.reconstruct("b").unwrap(), ones(&[1.0, 2.0, 5.0, 6.0, 100.0, 101.0]));
    let stats = store.agent("a").unwrap();
    assert_eq!((stats.blocks, stats.difference_blocks, stats.own_blocks), (7, 1, 2));
    // Three agents of six blocks, held as 6 + 1 + 4; in bytes 4 * (6 + 7 + 6) over 4 * 6 + 8 + 16.
    assert_eq!(store.compression_ratio(), 18.0 / 11.0);
    assert_eq!(store.byte_ratio(), 76.0 / 48.0);
    assert_eq!(store.frame_ratio(), None);
    assert_eq!(name(store.mirror("a").unwrap_err()), "NotAligned");
    let mut out = [0; 28];
    store.reconstruct_into("a", &mut out).unwrap();
    assert_eq!(out[..], store.reconstruct("a").unwrap());
    assert_eq!(name(store.reconstruct_into("a", &mut out[1..]).unwrap_err()), "BufferTooSmall");
    assert_eq!(name(store.reconstruct_into("b", &mut out).unwrap_err()), "Shape");
    assert!(store.remove("a") && !store.remove("a") && !store.remove("m"));
    assert!(store.agents().map(|(id, _)| id).eq(["b"]));
}

/// A master that is to grow: agents without blocks are left out of steps like others, and steps may be empty.
#[test]
fn nothing_yet() {
    let mut store = MasterMirror::new(EXACT);
    let none = f32_blocks(&[], 1);
    store.register_master("m", &none).unwrap();
    store.register_mirror("a", &none).unwrap();
    assert_eq!(store.collective_reuse_step(&none, &["a", "b", "m"], END).unwrap(), [0, 0, 0]);
    assert_eq!(store.agents().len(), 2);
    assert_eq!((store.reconstruct("a").unwrap().len(), store.agent("a").unwrap().sparsity()), (0, 1.0));
    // SHA-256 of nothing (FIPS 180-4).
    assert_eq!(store.master().unwrap().digest()[..4], [0xE3, 0xB0, 0xC4, 0x42]);
    assert_eq!(name(store.mirror("a").unwrap_err()), "Argument");
    store.collective_reuse_step(&f32_blocks(&ones(&[1.0]), 1), &["b"], END).unwrap();
    store.collective_reuse_step(&none, &["a"], END).unwrap();
    store.append_own("a", &none).unwrap();
    assert_eq!(store.segments("a").unwrap(), []);
    store.collective_reuse_step(&f32_blocks(&ones(&[2.0]), 1), &["a", "b"], END).unwrap();
    assert_eq!(store.segments("a").unwrap(), [Segment::Shared { start: 1, rows: 1 }]);
    assert_eq!(store.segments("b").unwrap(), [Segment::Shared { start: 0, rows: 2 }]);
}

#[test]
fn contexts_go_into_the_frames() {
    let blocks = ones(&[1.0, 2.0, 3.0, 4.0]);
    let blocks = f32_blocks(&blocks, 2);
    let context = Context::new("space", "model", "pi", 2).unwrap();
    let json = context.as_str().as_bytes();
    let unnamed = Context::new("", "", "", 2).unwrap();
    for (mut store, ctx, carried) in [
        (MasterMirror::with_context(EXACT, context.clone()), context.hash(), Some(json)),
        (MasterMirror::with_ctx(EXACT, ContextHash([7; 8])), ContextHash([7; 8]), None),
        (MasterMirror::new(EXACT), unnamed.hash(), Some(unnamed.as_str().as_bytes())),
    ] {
        store.register_master("m", &blocks).unwrap();
        store.register_mirror("a", &blocks).unwrap();
        let master = store.master().unwrap().to_frame().unwrap().encode().unwrap();
        let mirror = store.mirror("a").unwrap().to_frame().unwrap().encode().unwrap();
        for frame in [&master, &mirror] {
            let frame = Frame::parse_exact(frame).unwrap();
            assert_eq!((frame.ctx(), frame.context_json()), (ctx, carried));
        }
        let frame = Frame::parse_exact(&master).unwrap();
        let read = Master::from_frame(&frame).unwrap();
        assert_eq!(through_frame(&store, "a", &read).unwrap(), blocks.as_bytes());
        // Each store takes its own mirror, and one of another context is refused.
        let view = MirrorView::parse_exact(&mirror).unwrap();
        store.insert_mirror("b", &view).unwrap();
        let mut other = MasterMirror::with_ctx(EXACT, ContextHash([8; 8]));
        other.register_master("m", &blocks).unwrap();
        assert_eq!(name(other.insert_mirror("b", &view).unwrap_err()), "ContextDiffers");
    }
    let mut store = MasterMirror::with_context(EXACT, Context::new("", "", "", 3).unwrap());
    let refused = store.register_master("m", &blocks).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Shape { needed: 2, found: 3, .. }));
    assert!(store.master().is_none());
}

/// A mirror of differences in MU16 comes into a store of another mode, stays as it is, and leaves as the same frame.
#[test]
fn a_mirror_keeps_its_mode_and_its_master() {
    let (m, g) = (ones(&[1.0, 2.0, 3.0]), ones(&[1.0, 2.3, 3.0]));
    let options = DiffOptions { mode: Mode::AddMu16(Step::new(1 << 14).unwrap()), threshold: 0.125 };
    let mut writer = MasterMirror::new(options);
    writer.register_master("m", &f32_blocks(&m, 1)).unwrap();
    let stats = writer.register_mirror("a", &f32_blocks(&g, 1)).unwrap();
    // 0.3 is 1.2 steps of a quarter; 2.3 comes back as 2.25, which is nearer than the threshold.
    assert_eq!((stats.difference_blocks, stats.saturated, stats.error_bound), (1, 0, 0.125));
    assert_eq!(writer.reconstruct("a").unwrap(), ones(&[1.0, 2.25, 3.0]));
    let frame = writer.mirror("a").unwrap().to_frame().unwrap().encode().unwrap();
    let view = MirrorView::parse_exact(&frame).unwrap();

    let mut reader = MasterMirror::new(EXACT);
    assert_eq!(name(reader.insert_mirror("a", &view).unwrap_err()), "NoMaster");
    reader.register_master("m", &f32_blocks(&m[..8], 1)).unwrap();
    assert_eq!(name(reader.insert_mirror("a", &view).unwrap_err()), "MasterDiffers");
    reader.collective_reuse_step(&f32_blocks(&m[8..], 1), &[], END).unwrap();
    reader.collective_reuse_step(&f32_blocks(&ones(&[4.0]), 1), &[], END).unwrap();
    assert_eq!(name(reader.insert_mirror("m", &view).unwrap_err()), "Argument");
    // Now the master has four blocks, and had three.
    let stats = reader.insert_mirror("a", &view).unwrap();
    assert_eq!((stats.blocks, stats.options), (3, options));
    assert!(stats.error_bound.is_nan());
    assert_eq!(reader.mirror("a").unwrap().to_frame().unwrap().encode().unwrap(), frame);
    assert_eq!(reader.reconstruct("a").unwrap(), ones(&[1.0, 2.25, 3.0]));
    reader.collective_reuse_step(&f32_blocks(&ones(&[5.0]), 1), &["a"], END).unwrap();
    assert_eq!(reader.reconstruct("a").unwrap(), ones(&[1.0, 2.25, 3.0, 5.0]));
    reader.collective_reuse_step(&f32_blocks(&ones(&[6.0]), 1), &["b"], END).unwrap();
    assert_eq!(reader.mirror("b").unwrap().difference_blocks(), 0);

    // The same length, other blocks.
    let mut other = MasterMirror::new(EXACT);
    other.register_master("m", &f32_blocks(&g, 1)).unwrap();
    let refused = other.insert_mirror("a", &view).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MasterDiffers { field: "the digest (SHA-256)" });
}

#[test]
fn refuses_what_cannot_be() {
    struct Huge(Shape);
    impl BlockSource for Huge {
        fn shape(&self) -> Shape {
            self.0
        }
        fn borrowed(&self) -> Option<Blocks<'_>> {
            None
        }
        fn copy_into(&self, _: &mut [u8]) -> bitwire::Result<()> {
            panic!("there is no room for so much");
        }
    }
    let m = ones(&[1.0, 2.0]);
    let mut store = MasterMirror::new(EXACT);
    store.register_master("m", &f32_blocks(&m, 1)).unwrap();
    store.register_mirror("a", &f32_blocks(&m, 1)).unwrap();
    if cfg!(target_pointer_width = "64") {
        let huge = Huge(Shape::new(Scalar::F32, u32::MAX - 3, 1 << 28).unwrap());
        let refused = MasterMirror::new(EXACT).register_master("m", &huge).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfMemory { needed: (u64::from(u32::MAX) - 3) << 30 });
    }
    let many = Huge(Shape::new(Scalar::F32, u32::MAX - 1, 1).unwrap());
    for refused in [store.collective_reuse_step(&many, &["a"], END).map(drop), store.append_own("a", &many)] {
        assert_eq!(name(refused.unwrap_err()), "TooLarge");
    }
    for threshold in [f64::NAN, -1.0, f64::INFINITY] {
        let mut store = MasterMirror::new(DiffOptions { threshold, ..EXACT });
        assert_eq!(name(store.register_master("m", &f32_blocks(&m, 1)).unwrap_err()), "Argument");
    }
    let mut add = MasterMirror::new(DiffOptions { mode: Mode::Add, threshold: 0.0 });
    let i16s = Shape::new(Scalar::Mu16(Step::new(1024).unwrap()), 2, 2).unwrap();
    assert_eq!(name(add.register_master("m", &Blocks::new(i16s, &m).unwrap()).unwrap_err()), "Argument");
    assert_eq!(name(store.mirror("m").unwrap_err()), "Argument");
    assert_eq!(name(store.rebase("a", &f32_blocks(&m, 1)).unwrap_err()), "Argument");
    assert_eq!(name(store.append_own("x", &f32_blocks(&m, 1)).unwrap_err()), "UnknownAgent");
    assert_eq!(name(store.append_own("m", &f32_blocks(&m, 1)).unwrap_err()), "Argument");
    assert_eq!(store.stats().master_blocks, 2);
    assert_eq!(store.reconstruct("a").unwrap(), m);
}

/// A source that says another shape from some call on, or lends blocks of another: refused or taken at its first word, and
/// what is there stays sound.
#[test]
fn a_source_that_contradicts_itself_does_no_harm() {
    struct Fickle<'a> {
        shapes: [Shape; 2],
        asked: Cell<usize>,
        honest: usize,
        lent: Option<Blocks<'a>>,
    }
    impl BlockSource for Fickle<'_> {
        fn shape(&self) -> Shape {
            self.asked.set(self.asked.get() + 1);
            self.shapes[usize::from(self.asked.get() > self.honest)]
        }
        fn borrowed(&self) -> Option<Blocks<'_>> {
            self.lent
        }
        fn copy_into(&self, out: &mut [u8]) -> bitwire::Result<()> {
            out.fill(0x3F);
            Ok(())
        }
    }
    type Op = fn(&mut MasterMirror, &Fickle<'_>) -> bitwire::Result<()>;
    let ops: [Op; 6] = [
        |store, source| store.register_master("m", source),
        |store, source| store.register_master("n", source),
        |store, source| store.rebase("n", source),
        |store, source| store.register_mirror("c", source).map(drop),
        |store, source| store.append_own("a", source),
        |store, source| store.collective_reuse_step(source, &["a", "c"], END).map(drop),
    ];
    let shape = |scalar, rows, dim| Shape::new(scalar, rows, dim).unwrap();
    let first = shape(Scalar::F32, 3, 2);
    let (m, a) = (ones(&[1.0; 6]), ones(&[1.0, 1.0, 2.0, 1.0, 1.0, 1.0]));
    let bytes = [0x40; 4096];
    for other in [
        shape(Scalar::F32, 5, 2),
        shape(Scalar::F32, 1, 2),
        shape(Scalar::F32, 0, 2),
        shape(Scalar::F32, 3, 7),
        shape(Scalar::F32, 6, 1),
        shape(Scalar::F16, 3, 2),
        shape(Scalar::Bf16, 3, 4),
    ] {
        let lent = [first, other].map(|shape| Some(Blocks::new(shape, &bytes[..shape.len()]).unwrap()));
        for (lent, (i, op)) in [None, lent[0], lent[1]]
            .into_iter()
            .flat_map(|lent| ops.iter().enumerate().map(move |op| (lent, op)))
        {
            for (mode, honest) in [Mode::Replace, Mode::Add, Mode::AddMu16(Step::new(9).unwrap())]
                .into_iter()
                .flat_map(|mode| (0..8).map(move |honest| (mode, honest)))
            {
                let mut store = MasterMirror::new(DiffOptions { mode, threshold: 0.0 });
                store.register_master("m", &f32_blocks(&m, 2)).unwrap();
                store.register_mirror("a", &f32_blocks(&a, 2)).unwrap();
                store.append_own("a", &f32_blocks(&m, 2)).unwrap();
                store.register_mirror("b", &f32_blocks(&a, 2)).unwrap();
                let before = ["a", "b"].map(|id| store.reconstruct(id).unwrap());
                let source = Fickle { shapes: [first, other], asked: Cell::new(0), honest, lent };
                let done = op(&mut store, &source);
                let what = format!("{i} {other:?} {lent:?} {honest} {mode:?} {done:?}");
                let master = store.master().expect(&what);
                assert_eq!(master.digest()[..], Sha256::digest(master.blocks().as_bytes())[..], "{what}");
                let ids: Vec<_> = store.agents().map(|(id, _)| id).collect();
                for id in ids.into_iter().chain(store.master_id()) {
                    assert_eq!(
                        store.reconstruct(id).unwrap().len(),
                        store.shape_of(id).unwrap().len(),
                        "{what}"
                    );
                }
                if done.is_err() {
                    assert_eq!(
                        (store.master_id(), master.blocks().as_bytes()),
                        (Some("m"), &m[..]),
                        "{what}"
                    );
                    assert_eq!(["a", "b"].map(|id| store.reconstruct(id).unwrap()), before, "{what}");
                }
            }
        }
    }
}

/// A source that panics, if the panic is caught: as an error, it leaves nothing behind.
#[test]
fn a_source_that_panics_changes_nothing() {
    struct Panics(Shape);
    impl BlockSource for Panics {
        fn shape(&self) -> Shape {
            self.0
        }
        fn borrowed(&self) -> Option<Blocks<'_>> {
            None
        }
        fn copy_into(&self, out: &mut [u8]) -> bitwire::Result<()> {
            out.fill(0xEE);
            std::panic::panic_any("half way through");
        }
    }
    type Op = fn(&mut MasterMirror, &Panics) -> bool;
    let ops: [Op; 3] = [
        |store, source| store.append_own("a", source).is_ok(),
        |store, source| store.collective_reuse_step(source, &["a", "b"], END).is_ok(),
        |store, source| store.rebase("n", source).is_ok(),
    ];
    for op in ops {
        let mut store = MasterMirror::new(EXACT);
        store.register_master("m", &f32_blocks(&ones(&[1.0, 2.0]), 1)).unwrap();
        store.register_mirror("a", &f32_blocks(&ones(&[1.0, 5.0]), 1)).unwrap();
        let source = Panics(Shape::new(Scalar::F32, 2, 1).unwrap());
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| op(&mut store, &source)));
        assert!(caught.is_err());
        store.append_own("a", &f32_blocks(&ones(&[7.0]), 1)).unwrap();
        store.collective_reuse_step(&f32_blocks(&ones(&[8.0]), 1), &["a"], END).unwrap();
        assert_eq!(store.reconstruct("a").unwrap(), ones(&[1.0, 5.0, 7.0, 8.0]));
        assert_eq!(store.reconstruct("m").unwrap(), ones(&[1.0, 2.0, 8.0]));
        let digest = *store.master().unwrap().digest();
        assert_eq!(digest[..], Sha256::digest(ones(&[1.0, 2.0, 8.0]))[..]);
    }
}

/// A difference that MU16 cannot hold comes up while the second of two agents is re-based: the first stays too.
#[test]
fn a_rebasing_that_fails_changes_nothing() {
    let mode = Mode::AddMu16(Step::new(1 << 16).unwrap());
    let mut store = MasterMirror::new(DiffOptions { mode, threshold: 0.0 });
    store.register_master("m", &f32_blocks(&ones(&[1.0, 2.0]), 1)).unwrap();
    store.register_mirror("a", &f32_blocks(&ones(&[1.0, 5.0]), 1)).unwrap();
    let digest = *store.master().unwrap().digest();
    let refused = store.rebase("n", &f32_blocks(&ones(&[f32::INFINITY, 3.0]), 1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NonFinite { row: 0, column: 0 });
    assert_eq!((store.master_id(), store.master().unwrap().digest()), (Some("m"), &digest));
    assert_eq!(store.reconstruct("a").unwrap(), ones(&[1.0, 5.0]));
    store.rebase("n", &f32_blocks(&ones(&[8.0, 3.0]), 1)).unwrap();
    assert_eq!((store.master_id(), store.agent("a").unwrap().difference_blocks), (Some("n"), 2));
    assert_eq!(store.reconstruct("a").unwrap(), ones(&[1.0, 5.0]));
}

/// An agent replaced a thousand times takes no more memory than once.
#[test]
fn replacing_frees() {
    let master = f32_bytes((0..64 * 32).map(|i| i as f32));
    let mut store = MasterMirror::new(EXACT);
    store.register_master("m", &f32_blocks(&master, 32)).unwrap();
    let mut agent = master.clone();
    let mut held = Vec::with_capacity(1000);
    for round in 0..1000usize {
        agent.copy_from_slice(&master);
        for block in 0..round % 64 {
            agent[block * 128] ^= 1;
        }
        store.register_mirror("a", &f32_blocks(&agent, 32)).unwrap();
        store.append_own("a", &f32_blocks(&agent[..128 * (1 + round % 7)], 32)).unwrap();
        if round % 448 == 447 {
            held.push(HELD.get());
        }
    }
    // 448 is a multiple of 64 and of 7: the same agent.
    assert_eq!(held.len(), 2);
    assert_eq!(held[0], held[1]);
    let before = HELD.get();
    store.remove("a");
    // 40 differences of 132 bytes at least.
    assert!(before - HELD.get() >= 39 * 132, "{}", before - HELD.get());
}

/// The master grows in place: a thousand steps move it a few times, and ask for little more memory than it has in the end.
#[test]
fn a_step_does_not_copy_the_master() {
    let block = f32_bytes((0..256).map(|i| i as f32));
    let mut store = MasterMirror::new(EXACT);
    store.register_master("m", &f32_blocks(&block, 256)).unwrap();
    let (mut moved, mut place) = (0, core::ptr::null());
    let asked = ASKED.get();
    for _ in 0..1000 {
        store.collective_reuse_step(&f32_blocks(&block, 256), &["a", "b"], END).unwrap();
        let now = store.master().unwrap().blocks().as_bytes().as_ptr();
        moved += u32::from(now != place);
        place = now;
    }
    let asked = ASKED.get() - asked;
    assert!(moved <= 12, "{moved}"); // 2^10 blocks
    // Doubling asks for 2 + 4 + ... + 1,024 blocks of 1 KiB; the rest are numbers and digests.
    assert!(asked < 2048 * 1024 + 400 * 1000, "{asked}");
    assert_eq!(store.reconstruct("b").unwrap(), block.repeat(1001));
}

/// A step asks for as much memory with a thousand differences to an agent as with none.
#[test]
fn a_step_leaves_differences_where_they_are() {
    let (master, other) = (ones(&[1.0; 1000]), ones(&[2.0; 1000]));
    let asked = |agent: &[u8]| {
        let mut store = MasterMirror::new(EXACT);
        store.register_master("m", &f32_blocks(&master, 1)).unwrap();
        store.register_mirror("a", &f32_blocks(agent, 1)).unwrap();
        let before = ASKED.get();
        let counts = store.collective_reuse_step(&f32_blocks(&master[..4], 1), &["a"], END).unwrap();
        (ASKED.get() - before, counts)
    };
    let (with, without) = (asked(&other), asked(&master));
    assert_eq!((with.1, without.1), (vec![1000], vec![0]));
    assert_eq!(with.0, without.0);
}

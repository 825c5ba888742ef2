//! Power cuts at every moment of a ledger's life.

use super::disk::{Model, Rng, SimDisk};
use super::run::{Drawn, Plan, Run, Truth};

/// A ledger that is made, and written in a few sessions with crashes of the process between.
pub(crate) fn life(seed: u64) -> Run {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    let disk = SimDisk::new();
    disk.record();
    let mut run = Run::new(disk, plan, Truth::default(), rng);
    let mut writer = run.create().unwrap();
    for session in 0..1 + run.rng.below(3) {
        if session > 0 {
            drop(writer);
            writer = run.open(Model::Journalled).unwrap();
        }
        let (steps, last) = (1 + run.rng.below(3), run.rng.coin());
        run.session(&mut writer, steps, last).unwrap();
    }
    drop(writer);
    run
}

fn lives(seeds: std::ops::Range<u64>, least_distinct: usize) {
    let mut drawn = Drawn { each: 16, ..Drawn::default() };
    for seed in seeds.clone() {
        let mut run = life(seed);
        drawn.crash(&mut run, 0, 2, seed);
    }
    println!(
        "seeds {seeds:?}: {} images, {} distinct, {} recovered, {} of them crashed again",
        drawn.images,
        drawn.distinct.len(),
        drawn.recoveries,
        drawn.crashed_recoveries
    );
    assert!(drawn.distinct.len() >= least_distinct, "only {} distinct images", drawn.distinct.len());
}

// Four tests, for as many cores: 100,000 distinct images together.

#[test]
fn lives_1() {
    lives(0..62, 28_000);
}

#[test]
fn lives_2() {
    lives(1000..1062, 21_000);
}

#[test]
fn lives_3() {
    lives(2000..2062, 25_500);
}

#[test]
fn lives_4() {
    lives(3000..3062, 25_500);
}

/// Chunks beyond the megabyte after which the writer hands them over, commit or not.
#[test]
fn chunks_that_are_handed_over_before_a_commit() {
    let mut drawn = Drawn { each: 1, ..Drawn::default() };
    for seed in 0..2 {
        let mut rng = Rng::new(seed);
        let plan = Plan::large(&mut rng);
        let disk = SimDisk::new();
        let mut run = Run::new(disk.clone(), plan, Truth::default(), rng);
        let mut writer = run.create().unwrap();
        disk.record();
        run.large_session(&mut writer, 700_000).unwrap();
        drop(writer);
        let syncs = disk.operation_names().iter().filter(|name| **name == "write").count();
        assert!(syncs > 4, "more than one write before the sync");
        drawn.crash(&mut run, 0, 0, seed);
    }
}

/// Nothing left to chance: all images of small histories.
#[test]
fn all_images() {
    let (mut images, mut moments, mut left_out) = (0, 0, 0);
    for seed in 0..6 {
        let mut run = life(seed);
        for (operations, disk) in run.disk.moments() {
            let Some(all) = disk.all_crash_images(3000) else {
                left_out += 1;
                continue;
            };
            moments += 1;
            let truth = run.truth_at(operations).clone();
            for image in all {
                images += 1;
                truth.check(&image, &run.plan, Model::Journalled, false);
                if run.rng.below(50) == 0 {
                    let rng = Rng::new(run.rng.next());
                    let mut recovery = Run::new(image, run.plan.clone(), truth.clone(), rng);
                    let mut writer = recovery.open(Model::Journalled).unwrap();
                    recovery.session(&mut writer, 1, true).unwrap();
                    recovery.truth().check_exactly(&recovery.disk, &recovery.plan);
                }
            }
        }
    }
    println!("{images} images of {moments} moments; {left_out} moments have more");
    assert!(images > 5_000 && moments > 4 * left_out);
}

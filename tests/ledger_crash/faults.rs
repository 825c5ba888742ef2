//! A fault at every operation of a ledger's life.

use super::disk::{Errno, Fault, Model, Rng, SimDisk, is_stopped};
use super::run::{Drawn, Plan, Run, Told, Truth};
use bitwire::ledger::{LedgerError, LedgerWriter};

const FAULTS: [Fault; 9] = [
    Fault::Error(Errno::Eio),
    Fault::Error(Errno::Enospc),
    Fault::Error(Errno::Eintr),
    Fault::Short { bytes: 0, then: Errno::Eio },
    Fault::Short { bytes: 5, then: Errno::Eio },
    Fault::Short { bytes: 200, then: Errno::Enospc },
    // A short write that goes on.
    Fault::Short { bytes: 1, then: Errno::Eintr },
    Fault::Short { bytes: 300, then: Errno::Eintr },
    Fault::Crash,
];

/// A life of two sessions: where it ended, with the writer if there was one.
fn live(run: &mut Run) -> (Result<(), LedgerError>, Option<LedgerWriter<SimDisk>>) {
    let mut writer = match run.create() {
        Ok(writer) => writer,
        Err(error) => return (Err(error), None),
    };
    if let Err(error) = run.session(&mut writer, 2, false) {
        return (Err(error), Some(writer));
    }
    drop(writer);
    writer = match run.open(Model::Journalled) {
        Ok(writer) => writer,
        Err(error) => return (Err(error), None),
    };
    (run.session(&mut writer, 3, true), Some(writer))
}

fn new_run(disk: SimDisk, seed: u64) -> Run {
    let mut rng = Rng::new(seed);
    let plan = Plan::new(&mut rng);
    Run::new(disk, plan, Truth::default(), rng)
}

/// Once poisoned, always.
fn is_poisoned(writer: &mut LedgerWriter<SimDisk>) -> bool {
    let poisoned = |result: Result<(), LedgerError>| matches!(result, Err(LedgerError::Poisoned));
    let all = [
        poisoned(writer.commit().map(drop)),
        poisoned(writer.extend_from_slice(&[1])),
        poisoned(writer.extend([1])),
        poisoned(writer.mark_passkey(0, 0)),
        poisoned(writer.mark_span("x", 0, 1)),
        poisoned(writer.commit().map(drop)),
    ];
    assert!(all.iter().all(|&same| same == all[0]), "{all:?}");
    all[0]
}

fn faults(seeds: std::ops::Range<u64>) {
    let (mut count, mut errors, mut benign) = (0, 0, 0);
    let mut drawn = Drawn { each: 3, ..Drawn::default() };
    for seed in seeds {
        let calm = SimDisk::new();
        live(&mut new_run(calm.clone(), seed)).0.unwrap();
        let names = calm.operation_names();
        for (number, name) in names.iter().enumerate() {
            for fault in FAULTS {
                count += 1;
                let disk = SimDisk::new();
                disk.record();
                disk.fail_at(number, fault);
                let mut run = new_run(disk.clone(), seed);
                let (result, writer) = live(&mut run);
                let context = format!("seed {seed}: {fault:?} at {number}\n{}", disk.log());

                let (reads, writes) = (*name == "read", *name == "write");
                let goes_on = match fault {
                    Fault::Error(Errno::Eintr) => reads || writes,
                    Fault::Short { bytes, then: Errno::Eintr } => bytes > 0 || !(reads || writes),
                    _ => false,
                };
                match &result {
                    Ok(()) => benign += 1,
                    Err(LedgerError::Io { error, .. }) => {
                        // The Short of another operation leaves it alone and hits the next, which may know no EINTR.
                        let hits_next = matches!(fault, Fault::Short { .. });
                        assert!(!goes_on || hits_next, "{error}: {context}");
                        assert_eq!(is_stopped(error), fault == Fault::Crash, "{error}: {context}");
                        errors += 1;
                    }
                    Err(other) => panic!("{other}: {context}"),
                }
                if matches!(fault, Fault::Error(Errno::Eio | Errno::Enospc) | Fault::Crash) {
                    assert!(result.is_err(), "{context}");
                }
                let failed = disk.failed_operation();
                if let Some(mut writer) = writer
                    && result.is_err()
                {
                    // What was not written because a read failed can still be.
                    let reading = failed.map_or(reads, |name| name == "read");
                    assert!(reading || is_poisoned(&mut writer), "{context}");
                }

                let told = Told { context: (seed, number, Model::Journalled, 9), disk: &disk };
                // The power goes at once, or later.
                let stopped = fault == Fault::Crash;
                drawn.crash(&mut run, number, 0, seed);
                if stopped {
                    continue;
                }
                // The system goes on, and shows what it may never write.
                let truth = run.truth().clone();
                truth.check(&disk, &run.plan, Model::Journalled, true);
                let from = disk.operations();
                let mut opened = run.open(Model::Journalled);
                if matches!((&opened, fault), (Err(LedgerError::Io { .. }), Fault::Short { .. })) {
                    // The error that was to follow came only now.
                    opened = run.open(Model::Journalled);
                }
                let mut writer = match opened {
                    Ok(writer) => writer,
                    Err(error) => panic!("{error}: {context}"),
                };
                run.session(&mut writer, 2, true).unwrap();
                run.truth().check_exactly(&disk, &run.plan);
                drop(writer);
                drawn.crash(&mut run, from, 0, seed);
                drop(told);
            }
        }
    }
    println!(
        "{count} faults, {errors} errors, {benign} benign; {} images, {} distinct, {} recovered",
        drawn.images,
        drawn.distinct.len(),
        drawn.recoveries
    );
    assert!(errors > count / 2 && benign > 0);
}

#[test]
fn faults_1() {
    faults(0..3);
}

#[test]
fn faults_2() {
    faults(10..13);
}

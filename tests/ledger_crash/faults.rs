//! A fault at every operation of a ledger's life.

use super::crashes::life;
use super::disk::{Errno, Fault, Model, PARTS, Rng, SimDisk, is_stopped};
use super::run::{Drawn, Plan, Run, Told, Truth};
use bitwire::ledger::storage::Part;
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

/// Where a life starts: with nothing, or with what a power cut left.
struct Start {
    files: Vec<(Part, Vec<u8>)>,
    plan: Plan,
    truth: Truth,
    seed: u64,
}

impl Start {
    fn new(seed: u64) -> Self {
        let plan = Plan::new(&mut Rng::new(seed));
        Self { files: Vec::new(), plan, truth: Truth::default(), seed }
    }

    /// One with a torn end.
    fn torn(seed: u64) -> Self {
        let mut run = life(seed);
        let moments = run.disk.moments();
        loop {
            let (operations, disk) = &moments[run.rng.below(moments.len())];
            let image = disk.crash_image(&mut run.rng, Model::Journalled);
            let content = |part| image.content(part);
            let (Some(ledger), Some(index)) = (content(Part::Ledger), content(Part::Index)) else { continue };
            if run.plan.read(ledger, Some(&index)).tail().is_none() {
                continue;
            }
            let files = PARTS.into_iter().filter_map(|part| Some((part, content(part)?))).collect();
            return Self { files, plan: run.plan.clone(), truth: run.truth_at(*operations).clone(), seed };
        }
    }

    fn run(&self) -> Run {
        let files: Vec<(Part, &[u8])> = self.files.iter().map(|(part, bytes)| (*part, &**bytes)).collect();
        let disk = SimDisk::holding(&files);
        Run::new(disk, self.plan.clone(), self.truth.clone(), Rng::new(self.seed))
    }
}

/// Two sessions: where they ended, with the writer if there was one.
fn live(run: &mut Run) -> (Result<(), LedgerError>, Option<LedgerWriter<SimDisk>>) {
    let mut writer = match run.open(Model::Journalled) {
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
    (run.session(&mut writer, 2, true), Some(writer))
}

/// Once poisoned, always.
fn is_poisoned(writer: &mut LedgerWriter<SimDisk>) -> bool {
    let poisoned = |result: Result<(), LedgerError>| matches!(result, Err(LedgerError::Poisoned));
    [
        poisoned(writer.commit().map(drop)),
        poisoned(writer.extend_from_slice(&[1])),
        poisoned(writer.extend([1])),
        poisoned(writer.mark_passkey(0, 0)),
        poisoned(writer.mark_span("x", 0, 1)),
        poisoned(writer.commit().map(drop)),
    ] == [true; 6]
}

fn faults(starts: impl Iterator<Item = Start>) {
    let (mut count, mut errors, mut benign) = (0, 0, 0);
    let mut drawn = Drawn { each: 1, ..Drawn::default() };
    for start in starts {
        let mut calm = start.run();
        live(&mut calm).0.unwrap();
        for (number, name) in calm.disk.operation_names().into_iter().enumerate() {
            for fault in FAULTS {
                let retried = name == "read" || name == "write";
                if matches!(fault, Fault::Short { .. }) && !retried {
                    continue;
                }
                count += 1;
                let mut run = start.run();
                let disk = run.disk.clone();
                disk.record();
                disk.fail_at(number, fault);
                let told = Told { context: (start.seed, number, Model::Journalled, 0), disk: &disk };
                let (result, writer) = live(&mut run);
                match &result {
                    Ok(()) => benign += 1,
                    Err(LedgerError::Io { error, .. }) => {
                        assert_eq!(is_stopped(error), fault == Fault::Crash, "{error}");
                        errors += 1;
                    }
                    Err(other) => panic!("{other}"),
                }
                match fault {
                    Fault::Error(Errno::Eintr) => assert_eq!(result.is_ok(), retried),
                    Fault::Short { bytes: 1, then: Errno::Eintr } => {
                        assert!(result.is_ok() || name == "read")
                    }
                    // Enough was read or written.
                    Fault::Short { bytes: 1.., .. } => {}
                    _ => assert!(result.is_err()),
                }
                if let Some(mut writer) = writer
                    && result.is_err()
                {
                    // A read that failed changes nothing.
                    let reading = disk.failed_operation().map_or(name == "read", |name| name == "read");
                    assert!(reading || is_poisoned(&mut writer));
                }

                // The power goes at once, or later.
                drawn.crash(&mut run, number, 0, start.seed);
                if fault == Fault::Crash {
                    continue;
                }
                // The system goes on, and shows what it may never write.
                run.truth().check(&disk, &run.plan, Model::Journalled, true);
                let from = disk.operations();
                let mut opened = run.open(Model::Journalled);
                if matches!((&opened, fault), (Err(LedgerError::Io { .. }), Fault::Short { .. })) {
                    // The error that was to follow came only now.
                    opened = run.open(Model::Journalled);
                }
                let mut writer = opened.unwrap();
                run.session(&mut writer, 1, true).unwrap();
                run.truth().check_exactly(&disk, &run.plan);
                drop(writer);
                drawn.crash(&mut run, from, 0, start.seed);
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
fn faults_from_nothing_on() {
    faults((0..3).map(Start::new));
}

#[test]
fn faults_after_a_power_cut() {
    faults((0..3).map(Start::torn));
}

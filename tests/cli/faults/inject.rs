//! Every call of the system that a verb makes fails once, or is its last: `strace` puts errors and kills into the real process.
//!
//! A clean run of each verb tells which calls it makes, from the start of `main` on. Then it is run again for each of them and each
//! fault. What is promised:
//!
//! - an error is status 2 with a message that names the file, or it does no harm and everything is as in the clean run;
//! - each name that was asked for has the old file or the new one, whole, and nothing else is left lying, unless it is its
//!   removal that failed;
//! - a ledger is a ledger, as `ledger verify` finds;
//! - an interrupted call (EINTR) is made again, where the system's documentation knows such interruptions;
//! - after a kill the same goes, but for temporary files, and the verb run again succeeds (or, where it overwrites nothing,
//!   says so).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;

use super::verbs::{CASES, Case, Kind, Snapshot, is_temporary, snapshot};
use crate::support::*;

/// Calls that have to do with memory, threads, signals and the process; they are left alone.
const OTHERS: &[&str] = &[
    "munmap",
    "brk",
    "mprotect",
    "mremap",
    "madvise",
    "futex",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "exit",
    "exit_group",
    "sched_getaffinity",
    "sched_yield",
    "clone",
    "clone3",
    "rseq",
    "set_robust_list",
    "gettid",
    "getpid",
    "execve",
    "arch_prctl",
    "set_tid_address",
    "prlimit64",
    "poll",
    "restart_syscall",
    "uname",
    "prctl",
    "getcwd",
    "tgkill",
    "clock_nanosleep",
    "clock_gettime",
    "getrandom",
    // A check of debug builds alone.
    "fcntl",
];

/// Calls that the system may interrupt, so that they have to be made again.
const INTERRUPTED: &[&str] =
    &["read", "pread64", "write", "pwrite64", "fsync", "openat", "ftruncate", "flock"];

/// Calls that a full disk refuses.
const FULL: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "openat",
    "ftruncate",
    "mkdir",
    "rename",
    "renameat",
    "renameat2",
    "linkat",
];

/// The calls after which nothing more is on its way: an error there is told, and the files are as they were to be.
const LATE: &[&str] = &["fsync", "openat", "close"];

#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// Which of its name, from 1.
    nth: usize,
    /// As `strace` shows it.
    text: String,
    /// That it closes a folder that was read: the standard library panics there, as such a close cannot fail.
    closes_listing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// This error once.
    Once(&'static str),
    /// This error, and again at each further call of the same name.
    From(&'static str),
    Kill,
}

impl Fault {
    const ALL: [Self; 6] = [
        Self::Once("EIO"),
        Self::Once("ENOSPC"),
        Self::Once("EINTR"),
        Self::From("EIO"),
        Self::From("ENOSPC"),
        Self::Kill,
    ];

    fn fits(self, call: &Call) -> bool {
        match self {
            Self::Once("ENOSPC") | Self::From("ENOSPC") => FULL.contains(&&*call.name),
            // Whether a file is closed then is not even agreed on.
            Self::Once("EINTR") | Self::From(_) => call.name != "close",
            _ => true,
        }
    }

    fn option(self, call: &Call) -> String {
        let Call { name, nth, .. } = call;
        match self {
            Self::Once(error) => format!("inject={name}:error={error}:when={nth}"),
            Self::From(error) => format!("inject={name}:error={error}:when={nth}+"),
            Self::Kill => format!("inject={name}:signal=KILL:when={nth}"),
        }
    }
}

fn strace(folder: &Folder, log: &Path, options: &[String], words: &[String]) -> std::process::Output {
    let mut command = folder.command("strace");
    command.args(["-f", "-qq", "-s", "200", "-o"]).arg(log);
    for option in options {
        command.args(["-e", option]);
    }
    command.arg(BITWIRE).args(words).stdin(Stdio::null()).output().unwrap()
}

/// Whether faults can be put into processes here.
fn can_inject() -> bool {
    let folder = Folder::new();
    let run = folder
        .command("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "inject=write:error=EIO:when=1", "sh", "-c", "echo x"])
        .output();
    match run {
        Ok(run) if run.stdout.is_empty() && !run.status.success() => true,
        other => {
            println!("SKIPPED: no faults can be put into processes here (apt-get install strace): {other:?}");
            false
        }
    }
}

/// The calls of a clean run from the start of `main` on: before it the standard library has set its signal stack.
fn calls(log: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let (mut counts, mut main, mut started) = (BTreeMap::<&str, usize>::new(), None, false);
    let mut listed = BTreeSet::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        // Counted by thread, and only the main one has files.
        if *main.get_or_insert(thread) != thread {
            continue;
        }
        let rest = rest.trim_start();
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry(name).or_default();
        *count += 1;
        started |= name == "sigaltstack";
        let of_memory = name == "mmap" && arguments.contains("MAP_ANONYMOUS");
        if !started || OTHERS.contains(&name) || of_memory {
            continue;
        }
        let first = arguments.split([',', ')']).next().unwrap_or_default();
        if name == "getdents64" {
            listed.insert(first);
        }
        let closes_listing = name == "close" && listed.remove(first);
        calls.push(Call { name: name.to_owned(), nth: *count, text: rest.to_owned(), closes_listing });
    }
    calls
}

/// A case, and its clean run.
struct Traced {
    case: &'static Case,
    words: Vec<String>,
    calls: Vec<Call>,
    before: Snapshot,
    after: Snapshot,
}

impl Traced {
    fn new(case: &'static Case) -> Self {
        let (folder, log) = (case.folder(), Folder::new());
        let (words, before) = (case.words(), snapshot(&folder.path("")));
        let run = strace(&folder, &log.path("log"), &[], &words);
        assert!(run.status.success(), "{}: {}", case.line, String::from_utf8_lossy(&run.stderr));
        let calls = calls(&String::from_utf8_lossy(&log.read("log")));
        Self { case, words, calls, before, after: snapshot(&folder.path("")) }
    }

    /// Every call with every fault that fits.
    fn faults(&self) -> impl Iterator<Item = (&Call, Fault)> {
        let all = self.calls.iter().flat_map(|call| Fault::ALL.map(|fault| (call, fault)));
        all.filter(|(call, fault)| fault.fits(call))
    }

    /// Runs the verb with a fault; what broke of what is promised, if anything.
    fn check(&self, call: &Call, fault: Fault) -> Result<(), String> {
        let folder = self.case.folder();
        let run = strace(&folder, Path::new("/dev/null"), &[fault.option(call)], &self.words);
        let now = snapshot(&folder.path(""));
        let (out, err) =
            (String::from_utf8_lossy(&run.stdout).into_owned(), String::from_utf8_lossy(&run.stderr));
        let judged = match fault {
            Fault::Kill => self.killed(&folder, run.status.code(), &now),
            _ => self.failed(call, fault, &folder, run.status.code(), &err, &now),
        };
        judged.map_err(|what| format!("{}: {fault:?} at {}: {what}\n{out}{err}", self.case.line, call.text))
    }

    /// What is there that has neither the old nor the new content.
    fn strays(&self, now: &Snapshot) -> Vec<String> {
        let same = |name: &String, then: &Snapshot| {
            now.get(name) == then.get(name)
                || self.case.varies(name) && now.contains_key(name) && then.contains_key(name)
        };
        let names: BTreeSet<&String> = now.keys().chain(self.before.keys()).collect();
        let strays = names.into_iter().filter(|name| !same(name, &self.before) && !same(name, &self.after));
        strays.cloned().collect()
    }

    fn is_new(&self, now: &Snapshot) -> bool {
        let names = |snapshot: &Snapshot| -> Vec<String> {
            snapshot.keys().filter(|name| !is_temporary(name)).cloned().collect()
        };
        names(now) == names(&self.after) && self.strays(now).iter().all(|name| is_temporary(name))
    }

    fn failed(
        &self,
        call: &Call,
        fault: Fault,
        folder: &Folder,
        status: Option<i32>,
        err: &str,
        now: &Snapshot,
    ) -> Result<(), String> {
        if call.closes_listing && status == Some(101) {
            return Ok(());
        }
        let mut strays = self.strays(now);
        // What cannot be removed stays.
        if call.name == "unlink" || matches!(fault, Fault::From(_)) && call.name != "write" {
            strays.retain(|name| !is_temporary(name));
        }
        // Folders are opened by the C library, which asks once.
        let interrupted = fault == Fault::Once("EINTR")
            && INTERRUPTED.contains(&&*call.name)
            && !call.text.contains("O_NONBLOCK|O_CLOEXEC|O_DIRECTORY");
        match status {
            Some(0) if !self.is_new(now) => Err(format!("status 0, and not all is there: {strays:?}")),
            Some(0) if !strays.is_empty() => Err(format!("left lying: {strays:?}")),
            Some(0) => Ok(()),
            Some(2) if interrupted => Err("not made again".to_owned()),
            Some(2) => {
                // Nor can a message be written then.
                let mute = matches!(fault, Fault::From(_)) && call.name == "write";
                let message = err.lines().rev().find_map(|line| line.strip_prefix("bitwire: "));
                let message = if mute { Some("standard output: ") } else { message }.ok_or("no message")?;
                let named = |name: &str| {
                    message.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', '/', '.', ' ']))
                };
                let name =
                    self.words.iter().chain(self.after.keys()).any(|name| named(name.trim_end_matches('/')));
                if !name && !named("standard output") && !named(".") && !message.starts_with("warning: ") {
                    return Err("no file is named".to_owned());
                }
                if message.contains("uncategorized") || message.contains("os error") {
                    return Err("not in words".to_owned());
                }
                self.judge_files(call, folder, now, strays)
            }
            other => Err(format!("status {other:?}")),
        }
    }

    /// The files after an error that was told.
    fn judge_files(
        &self,
        call: &Call,
        folder: &Folder,
        now: &Snapshot,
        mut strays: Vec<String>,
    ) -> Result<(), String> {
        match self.case.kind {
            Kind::Reads | Kind::Whole => {
                let changed = now.iter().any(|(name, bytes)| self.before.get(name) != Some(bytes));
                let late = LATE.contains(&&*call.name) || call.text.starts_with("write(1,");
                if changed && !late && call.name != "unlink" {
                    return Err("the new file is there".to_owned());
                }
            }
            Kind::NewLedger | Kind::Ledger => {
                let ledgers = strays.iter().filter(|name| !is_temporary(name)).cloned().collect::<Vec<_>>();
                is_ledger(folder, now)?;
                let new = self.case.kind == Kind::NewLedger;
                // What an abandoned writer could not remove.
                if new && !ledgers.is_empty() && call.name != "unlink" {
                    return Err(format!("left lying: {ledgers:?}"));
                }
                strays.retain(|name| is_temporary(name));
            }
            Kind::Folder => {
                is_ledger(folder, now)?;
                // The chunk that could not be written, without a manifest; the ledger of an evidence run without a report.
                strays
                    .retain(|name| is_temporary(name) || name.ends_with(".bit") && !name.contains("ledger"));
            }
        }
        if strays.is_empty() { Ok(()) } else { Err(format!("left lying: {strays:?}")) }
    }

    fn killed(&self, folder: &Folder, status: Option<i32>, now: &Snapshot) -> Result<(), String> {
        if status.is_some() {
            return Err(format!("not killed: {status:?}"));
        }
        let mut strays = self.strays(now);
        strays.retain(|name| !is_temporary(name));
        let again = |line: &str| {
            let run = folder.run(line.split(' '));
            if run.status == Some(0) { Ok(run) } else { Err(format!("then {line}: {run:?}")) }
        };
        match self.case.kind {
            Kind::Reads | Kind::Whole => {
                if !strays.is_empty() {
                    return Err(format!("neither old nor new: {strays:?}"));
                }
                if self.case.line.starts_with("engram index ") {
                    // The entries may be there, or gone, already.
                    again("verify few.bit").or_else(|error| {
                        if self.case.line.contains("build") { Ok(Run::nothing()) } else { Err(error) }
                    })?;
                    if now.get("few.bit") == self.after.get("few.bit") && now.contains_key("few.bit") {
                        return Ok(());
                    }
                }
                again(&self.words.join(" "))?;
                if !self.is_new(&snapshot(&folder.path(""))) {
                    return Err("run again, not all is there".to_owned());
                }
            }
            Kind::NewLedger | Kind::Ledger => {
                is_ledger(folder, now)?;
                strays.retain(|name| !name.contains(".ledger"));
                if !strays.is_empty() {
                    return Err(format!("neither old nor new: {strays:?}"));
                }
                let name = if self.case.line.contains("torn") {
                    "torn"
                } else if self.case.kind == Kind::Ledger {
                    "a"
                } else {
                    "out"
                };
                if now.contains_key(&format!("{name}.ledger")) {
                    again(&format!("ledger recover {name}.ledger"))?;
                    again(&format!("ledger verify {name}.ledger"))?;
                    if snapshot(&folder.path("")).keys().any(|name| name.ends_with(".idx.new")) {
                        return Err("the index begun is still there".to_owned());
                    }
                } else {
                    again(&self.words.join(" "))?;
                }
            }
            Kind::Folder => {
                is_ledger(folder, now)?;
                // Chunks of TinyMind's and the ledger of an evidence run are no more than begun until what comes last is there.
                let last = ["out/manifest.json", "out/compressed_context_report.json"];
                let done = last.iter().any(|last| now.contains_key(*last));
                strays.retain(|name| done || !(name.contains("chunk_") || name.contains("ledger.bit")));
                if !strays.is_empty() {
                    return Err(format!("neither old nor new: {strays:?}"));
                }
                // Nothing is overwritten, and what is missing can be had in another folder.
                again(
                    &self
                        .words
                        .iter()
                        .map(|word| if word == "out" { "other" } else { word })
                        .collect::<Vec<_>>()
                        .join(" "),
                )?;
            }
        }
        Ok(())
    }
}

/// Every ledger that is there verifies.
fn is_ledger(folder: &Folder, now: &Snapshot) -> Result<(), String> {
    for name in now.keys().filter(|name| name.ends_with(".ledger") || name.ends_with("ledger.bit")) {
        let run = folder.run(["ledger", "verify", name]);
        if run.status != Some(0) {
            return Err(format!("{name} does not verify: {run:?}"));
        }
    }
    Ok(())
}

/// Runs every `step`th fault, from `first` on, on as many threads as the machine has; the number that ran.
fn run(first: usize, step: usize) -> usize {
    let only = std::env::var("BITWIRE_FAULTS").unwrap_or_default();
    let traced: Vec<Traced> =
        CASES.iter().filter(|case| case.line.contains(&only)).map(Traced::new).collect();
    let faults: Vec<(&Traced, &Call, Fault)> = traced
        .iter()
        .flat_map(|traced| traced.faults().map(move |(call, fault)| (traced, call, fault)))
        .skip(first)
        .step_by(step)
        .collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = |part: usize| {
            let faults = &faults;
            scope.spawn(move || -> Vec<String> {
                let part = faults.iter().skip(part).step_by(threads);
                part.filter_map(|(traced, call, fault)| traced.check(call, *fault).err()).collect()
            })
        };
        let parts: Vec<_> = (0..threads).map(run).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    println!(
        "{} faults at {} calls",
        faults.len(),
        traced.iter().map(|traced| traced.calls.len()).sum::<usize>()
    );
    if let Ok(path) = std::env::var("BITWIRE_FAULTS_LOG") {
        fs::write(path, failures.join("\n")).unwrap();
    }
    assert!(
        failures.is_empty(),
        "{} of {} faults:\n{}",
        failures.len(),
        faults.len(),
        failures[..failures.len().min(20)].join("\n")
    );
    faults.len()
}

/// A part of the faults, spread over all verbs: every 61st. All of them:
/// `cargo test --all-features --test cli every_fault -- --ignored --nocapture` (some minutes).
#[test]
fn faults_are_told_and_leave_files_whole() {
    if can_inject() {
        assert!(run(7, 61) > 100);
    }
}

#[test]
#[ignore = "takes minutes: cargo test --all-features --test cli every_fault -- --ignored --nocapture"]
fn every_fault() {
    if can_inject() {
        run(0, 1);
    }
}

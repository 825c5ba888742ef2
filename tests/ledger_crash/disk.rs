//! A simulated disk under the ledger: it fails when told to, and shows what a power cut may leave.
//!
//! Every file is what programs see, what is surely on the disk, and the changes in between. A *crash image* is a fresh
//! disk that holds one of the states a power cut may leave, all of it durable:
//!
//! - **Content**: the durable bytes and any subset of the unsynced changes, in any order; a write counts as its pieces of
//!   one sector each, and one piece may be cut at any byte.
//! - **Length**: any the file had since the last sync, that which the surviving changes imply, or any in between.
//! - **Names**: creations, removals and renames since the last sync of the folder, up to any one of them. Syncing a
//!   new file therefore neither keeps nor loses its name.
//! - **Failed syncs**: what a failed sync covered stays doubtful for ever: reads show it, later syncs succeed without it,
//!   and an image has any subset of it.
//!
//! [`Model::Adversarial`] adds what no journalling file system should do: names as any subset, a rename that leaves both
//! names, and old content of other files where an image has a hole.
//!
//! All is deterministic: the same calls and the same seed give the same images.

use bitwire::ledger::Source;
use bitwire::ledger::storage::{Access, Part, Storage, StorageFile};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a disk writes whole or not at all, but for the one piece that is cut.
pub(crate) const SECTOR: u64 = 512;
/// Files are kept in memory: beyond this, writes fail as on a file system with that limit.
const LARGEST_FILE: u64 = 64 << 20;
pub(crate) const PARTS: [Part; 3] = [Part::Ledger, Part::Index, Part::NewIndex];

/// SplitMix64: small, and good enough to pick crash images.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0..n, n > 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    Eio,
    Enospc,
    Eintr,
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::Eio => io::Error::other("simulated EIO"),
            Errno::Enospc => io::ErrorKind::StorageFull.into(),
            Errno::Eintr => io::ErrorKind::Interrupted.into(),
        }
    }
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails and has no effect. A sync that fails leaves what it covered doubtful.
    Error(Errno),
    /// A read or write stops after `bytes` and says so; the operation after it fails. Others are left alone.
    Short { bytes: usize, then: Errno },
    /// The power goes while it runs: it may have had its effect, fully, in part or not, and nothing works any more.
    Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// A journalling file system: names as a prefix of what was done to them, holes read as zeros.
    Journalled,
    /// Names as any subset, renames that leave both names, holes that show old content.
    Adversarial,
}

#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the power is gone")
    }
}

impl std::error::Error for Stopped {}

/// Whether `error` is that of a disk without power, rather than one to be handled.
pub(crate) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

type Names = [Option<usize>; 3];

#[derive(Clone, Copy, Debug)]
enum NameChange {
    Set(Part, Option<usize>),
    /// The new index becomes the index.
    Rename(usize),
}

impl NameChange {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Set(part, inode) => names[part as usize] = inode,
            Self::Rename(inode) => {
                names[Part::Index as usize] = Some(inode);
                names[Part::NewIndex as usize] = None;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The next sync makes it durable.
    Dirty,
    /// A sync that covered it failed. It may be durable; no sync will try again.
    Doubtful,
    /// Durable, and kept only as something doubtful came before it.
    Synced,
}

#[derive(Clone, Default)]
struct Inode {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// From `durable` to `live`, in order.
    changes: Vec<(Change, Fate)>,
    locked_by: Option<u64>,
}

/// A change, or the piece of a write that lies in one sector.
#[derive(Clone, Copy, Debug)]
struct Piece {
    change: usize,
    from: usize,
    to: usize,
}

#[derive(Clone, Copy, Debug)]
struct Operation {
    name: &'static str,
    part: Option<Part>,
    at: u64,
    len: u64,
    fault: Option<Fault>,
}

#[derive(Clone)]
struct State {
    inodes: Vec<Inode>,
    /// As programs see them.
    names: Names,
    durable_names: Names,
    /// From `durable_names` to `names`, in order.
    name_changes: Vec<NameChange>,
    capacity: u64,
}

struct Shared {
    state: State,
    log: Vec<Operation>,
    plan: Vec<(usize, Fault)>,
    stopped: bool,
    recorded: Option<Vec<(usize, State)>>,
}

/// A handle on the disk; clones are the same disk.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Shared>>);

impl SimDisk {
    /// An empty disk.
    pub(crate) fn new() -> Self {
        Self::holding(&[])
    }

    /// A disk on which these files are durable.
    pub(crate) fn holding(files: &[(Part, &[u8])]) -> Self {
        let mut state = State {
            inodes: Vec::new(),
            names: [None; 3],
            durable_names: [None; 3],
            name_changes: Vec::new(),
            capacity: u64::MAX,
        };
        for (part, bytes) in files {
            state.put(*part, Arc::new(bytes.to_vec()));
        }
        Self::from_state(state)
    }

    fn from_state(state: State) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            state,
            log: Vec::new(),
            plan: Vec::new(),
            stopped: false,
            recorded: None,
        })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // -- what goes wrong

    /// Plans what happens to operation `number`, counted from 0 over the disk's life.
    pub(crate) fn fail_at(&self, number: usize, fault: Fault) {
        self.shared().plan.push((number, fault));
    }

    /// Cuts the power now: every later operation fails.
    pub(crate) fn crash(&self) {
        self.shared().stopped = true;
    }

    /// Limits the sum of the files' lengths: writes beyond it come out short, then fail with ENOSPC.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.shared().state.capacity = bytes;
    }

    // -- what happened

    /// How many operations there were.
    pub(crate) fn operations(&self) -> usize {
        self.shared().log.len()
    }

    /// The operations, one to a line, for messages.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for (number, op) in self.shared().log.iter().enumerate() {
            let _ = write!(text, "{number:4} {}", op.name);
            if let Some(part) = op.part {
                let _ = write!(text, " {part:?}");
            }
            if op.at != 0 || op.len != 0 {
                let _ = write!(text, " at {}, {} bytes", op.at, op.len);
            }
            if let Some(fault) = op.fault {
                let _ = write!(text, ": {fault:?}");
            }
            text.push('\n');
        }
        text
    }

    /// Names of the operations, for loops that want those of one sort.
    pub(crate) fn operation_names(&self) -> Vec<&'static str> {
        self.shared().log.iter().map(|op| op.name).collect()
    }

    /// The name of the first operation that returned a planned error.
    pub(crate) fn failed_operation(&self) -> Option<&'static str> {
        let shared = self.shared();
        let failed = shared.log.iter().find(|op| matches!(op.fault, Some(Fault::Error(_) | Fault::Crash)));
        failed.map(|op| op.name)
    }

    /// What programs see of a part.
    pub(crate) fn content(&self, part: Part) -> Option<Vec<u8>> {
        let shared = self.shared();
        shared.state.names[part as usize].map(|inode| shared.state.inodes[inode].live.to_vec())
    }

    /// A hash of what programs see, to count distinct images.
    pub(crate) fn fingerprint(&self) -> u64 {
        let shared = self.shared();
        let mut hasher = DefaultHasher::new();
        for inode in shared.state.names {
            inode.map(|inode| shared.state.inodes[inode].live.as_slice()).hash(&mut hasher);
        }
        hasher.finish()
    }

    // -- moments

    /// Keeps the state after every operation from here on, for [`moments`](Self::moments).
    pub(crate) fn record(&self) {
        let mut shared = self.shared();
        let now = (shared.log.len(), shared.state.clone());
        shared.recorded = Some(vec![now]);
    }

    /// The disk as it was when recording began and after every operation that changed it, with the number of operations
    /// done by then; to draw crash images or [`killed`](Self::killed) from. A crash *during* an operation leaves nothing
    /// that a crash just before or just after could not.
    pub(crate) fn moments(&self) -> Vec<(usize, SimDisk)> {
        let shared = self.shared();
        let recorded = shared.recorded.as_ref().expect("record() was called");
        recorded.iter().map(|(number, state)| (*number, Self::from_state(state.clone()))).collect()
    }

    /// The disk after the process was killed: all it wrote is seen, locks are gone, and what was not synced still is not.
    pub(crate) fn killed(&self) -> SimDisk {
        let mut state = self.shared().state.clone();
        for inode in &mut state.inodes {
            inode.locked_by = None;
        }
        Self::from_state(state)
    }

    /// How many pieces and changes of names a power cut at this instant decides about; with 0 there is one image.
    pub(crate) fn undecided(&self) -> usize {
        let state = &self.shared().state;
        let pieces = state.inodes.iter().map(|inode| inode.open_pieces(&inode.pieces()).len());
        pieces.sum::<usize>() + state.name_changes.len()
    }

    /// One of the disks a power cut may leave at this instant.
    pub(crate) fn crash_image(&self, rng: &mut Rng, model: Model) -> SimDisk {
        Self::from_state(self.shared().state.image(rng, model))
    }

    /// `count` of them, not all distinct.
    pub(crate) fn crash_images(&self, rng: &mut Rng, model: Model, count: usize) -> Vec<SimDisk> {
        let shared = self.shared();
        (0..count).map(|_| Self::from_state(shared.state.image(rng, model))).collect()
    }

    /// All distinct disks that a power cut may leave at this instant: every subset of the pieces with every length the
    /// file had, and every cut of the pieces in order at every byte. `None` if they are, or would take, more than
    /// `limit`. Names as in [`Model::Journalled`].
    pub(crate) fn all_crash_images(&self, limit: usize) -> Option<Vec<SimDisk>> {
        let shared = self.shared();
        let state = &shared.state;
        let mut images = Vec::new();
        let mut seen = HashSet::new();
        let contents = state.inodes.iter().map(|inode| inode.all_torn(limit)).collect::<Option<Vec<_>>>()?;
        let mut names = state.durable_names;
        for step in 0..=state.name_changes.len() {
            if let Some(change) = step.checked_sub(1) {
                state.name_changes[change].apply(&mut names);
            }
            let mut partial = vec![state.bare()];
            for part in PARTS {
                let Some(inode) = names[part as usize] else { continue };
                if partial.len().saturating_mul(contents[inode].len()) > limit {
                    return None;
                }
                let extended = partial.iter().flat_map(|image| {
                    contents[inode].iter().map(|content| {
                        let mut image = image.clone();
                        image.put(part, content.clone());
                        image
                    })
                });
                partial = extended.collect();
            }
            for state in partial {
                let image = Self::from_state(state);
                if seen.insert(image.fingerprint()) {
                    images.push(image);
                }
            }
            if images.len() > limit {
                return None;
            }
        }
        Some(images)
    }
}

impl Shared {
    /// Enters an operation into the log. `Some(fault)` if it is not to go its way; an error if it cannot even begin.
    fn begin(
        &mut self,
        name: &'static str,
        part: Option<Part>,
        at: u64,
        len: u64,
    ) -> io::Result<Option<Fault>> {
        if self.stopped {
            return Err(io::Error::other(Stopped));
        }
        let number = self.log.len();
        let fault = self.plan.iter().find(|(at, _)| *at == number).map(|(_, fault)| *fault);
        self.log.push(Operation { name, part, at, len, fault });
        if let Some(Fault::Short { then, .. }) = fault {
            self.plan.insert(0, (number + 1, Fault::Error(then)));
        }
        Ok(fault)
    }

    /// Ends an operation that changes something, `effect` being its effect.
    fn finish<T>(
        &mut self,
        fault: Option<Fault>,
        effect: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let result = match fault {
            Some(Fault::Error(errno)) => return Err(errno.into()),
            Some(Fault::Crash) => {
                // Unsynced like all that went before: an image has it, or a part of it, or not.
                let _ = effect(&mut self.state);
                return self.stop();
            }
            Some(Fault::Short { .. }) | None => effect(&mut self.state),
        };
        self.keep();
        result
    }

    fn keep(&mut self) {
        if let Some(recorded) = &mut self.recorded {
            recorded.push((self.log.len(), self.state.clone()));
        }
    }

    /// An operation that changes nothing: the error it has to return, if any.
    fn look(&mut self, name: &'static str, part: Part, at: u64, len: u64) -> io::Result<Option<Fault>> {
        let fault = self.begin(name, Some(part), at, len)?;
        match fault {
            Some(Fault::Error(errno)) => Err(errno.into()),
            Some(Fault::Crash) => self.stop(),
            other => Ok(other),
        }
    }

    fn stop<T>(&mut self) -> io::Result<T> {
        self.stopped = true;
        Err(io::Error::other(Stopped))
    }
}

impl State {
    /// A disk like this one, with nothing on it.
    fn bare(&self) -> Self {
        Self {
            inodes: Vec::with_capacity(PARTS.len()),
            names: [None; 3],
            durable_names: [None; 3],
            name_changes: Vec::new(),
            capacity: self.capacity,
        }
    }

    /// Makes `content` durable under the name of `part`.
    fn put(&mut self, part: Part, content: Arc<Vec<u8>>) {
        let inode = Some(self.inodes.len());
        self.inodes.push(Inode { live: content.clone(), durable: content, ..Inode::default() });
        self.names[part as usize] = inode;
        self.durable_names[part as usize] = inode;
    }

    fn link(&mut self, part: Part, other: Part) {
        self.names[part as usize] = self.names[other as usize];
        self.durable_names[part as usize] = self.durable_names[other as usize];
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn used(&self) -> u64 {
        self.names.iter().flatten().map(|&inode| self.inodes[inode].live.len() as u64).sum()
    }

    fn image(&self, rng: &mut Rng, model: Model) -> State {
        let mut names = self.durable_names;
        let whole = match rng.below(4) {
            0 => 0,
            1 => self.name_changes.len(),
            _ => rng.below(self.name_changes.len() + 1),
        };
        let any_subset = model == Model::Adversarial && rng.coin();
        for (number, change) in self.name_changes.iter().enumerate() {
            if any_subset {
                match (rng.below(4), change) {
                    (0 | 1, _) => {}
                    (2, NameChange::Rename(inode)) => names[Part::Index as usize] = Some(*inode),
                    _ => change.apply(&mut names),
                }
            } else if number < whole {
                change.apply(&mut names);
            }
        }
        let mut image = self.bare();
        for part in PARTS {
            let Some(inode) = names[part as usize] else { continue };
            // One file under two names has one content.
            let other = PARTS.iter().take(part as usize).find(|&&other| names[other as usize] == Some(inode));
            match other {
                Some(&other) => image.link(part, other),
                None => image.put(part, self.torn(inode, rng, model)),
            }
        }
        image
    }

    /// One of the contents a power cut may leave a file with.
    fn torn(&self, inode: usize, rng: &mut Rng, model: Model) -> Arc<Vec<u8>> {
        let inode = &self.inodes[inode];
        if inode.changes.is_empty() {
            return inode.durable.clone();
        }
        let pieces = inode.pieces();
        let n = pieces.len();
        let open: Vec<usize> = inode.open_pieces(&pieces);
        let mut keep = vec![true; n];
        let mut cut = None;
        if !open.is_empty() {
            let one = open[rng.below(open.len())];
            match rng.below(8) {
                // Nothing; everything.
                0 => open.iter().for_each(|&i| keep[i] = false),
                1 => {}
                // The changes in order, up to a byte.
                2 | 3 => {
                    open.iter().filter(|&&i| i > one).for_each(|&i| keep[i] = false);
                    cut = Some(one);
                }
                // All but one; one alone.
                4 => keep[one] = false,
                5 => {
                    open.iter().filter(|&&i| i != one).for_each(|&i| keep[i] = false);
                    cut = rng.coin().then_some(one);
                }
                // Few, half, most.
                _ => {
                    let of_4 = 1 + rng.below(3);
                    open.iter().for_each(|&i| keep[i] = rng.below(4) < of_4);
                    cut = rng.coin().then_some(one);
                }
            }
        }
        let mut steps: Vec<Piece> = (0..n)
            .filter(|&i| keep[i])
            .map(|i| (i, pieces[i]))
            .map(|(i, piece)| {
                let len = piece.to - piece.from;
                let to = if cut == Some(i) && len > 0 { piece.from + rng.below(len + 1) } else { piece.to };
                Piece { to, ..piece }
            })
            .collect();
        if open.len() == n && rng.below(4) == 0 {
            for i in (1..steps.len()).rev() {
                steps.swap(i, rng.below(i + 1));
            }
        }
        let lengths = inode.lengths();
        let (min, max) = (lengths.iter().min(), lengths.iter().max());
        let (min, max) = (min.copied().unwrap_or(0), max.copied().unwrap_or(0));
        let len = match rng.below(4) {
            0 => Some(lengths[rng.below(lengths.len())]),
            1 => Some(min + rng.below(max - min + 1)),
            _ => None,
        };
        let old = if model == Model::Adversarial && rng.coin() { self.old_content(rng) } else { None };
        Arc::new(inode.build(&steps, len, old.as_ref()))
    }

    /// What may shine through a hole: content of some file, from anywhere in it.
    fn old_content(&self, rng: &mut Rng) -> Option<Old> {
        let inode = &self.inodes[rng.below(self.inodes.len())];
        let bytes = if rng.coin() { inode.live.clone() } else { inode.durable.clone() };
        (!bytes.is_empty()).then(|| Old { shift: rng.below(bytes.len()), bytes })
    }
}

struct Old {
    bytes: Arc<Vec<u8>>,
    shift: usize,
}

impl Inode {
    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::with_capacity(self.changes.len());
        for (number, (change, _)) in self.changes.iter().enumerate() {
            match change {
                Change::SetLen(_) => pieces.push(Piece { change: number, from: 0, to: 0 }),
                Change::Write { offset, bytes } => {
                    let mut from = 0;
                    while from < bytes.len() {
                        let left_in_sector = (SECTOR - (offset + from as u64) % SECTOR) as usize;
                        let to = bytes.len().min(from + left_in_sector);
                        pieces.push(Piece { change: number, from, to });
                        from = to;
                    }
                }
            }
        }
        pieces
    }

    /// Which of the pieces are not surely durable.
    fn open_pieces(&self, pieces: &[Piece]) -> Vec<usize> {
        (0..pieces.len()).filter(|&i| self.changes[pieces[i].change].1 != Fate::Synced).collect()
    }

    /// The lengths the file had from its last sync on.
    fn lengths(&self) -> Vec<usize> {
        let mut len = self.durable.len();
        let mut lengths = vec![len];
        for (change, fate) in &self.changes {
            len = match change {
                Change::Write { offset, bytes } => len.max(*offset as usize + bytes.len()),
                Change::SetLen(len) => *len as usize,
            };
            if *fate == Fate::Synced {
                lengths.clear();
            }
            lengths.push(len);
        }
        lengths
    }

    /// The content after `steps`. Without a length, that which they imply, within what the file had.
    fn build(&self, steps: &[Piece], len: Option<usize>, old: Option<&Old>) -> Vec<u8> {
        let grow = |content: &mut Vec<u8>, to: usize| match old {
            None => content.resize(to, 0),
            Some(old) => {
                for at in content.len()..to {
                    content.push(old.bytes[(at + old.shift) % old.bytes.len()]);
                }
            }
        };
        let mut content = self.durable.to_vec();
        for step in steps {
            match &self.changes[step.change].0 {
                Change::SetLen(len) if (*len as usize) < content.len() => content.truncate(*len as usize),
                Change::SetLen(len) => content.resize(*len as usize, 0),
                Change::Write { offset, bytes } => {
                    let (start, end) = (*offset as usize + step.from, *offset as usize + step.to);
                    if content.len() < end {
                        grow(&mut content, end);
                    }
                    content[start..end].copy_from_slice(&bytes[step.from..step.to]);
                }
            }
        }
        let len = len.unwrap_or_else(|| {
            let lengths = self.lengths();
            let bounds = (lengths.iter().min(), lengths.iter().max());
            content.len().clamp(bounds.0.copied().unwrap_or(0), bounds.1.copied().unwrap_or(0))
        });
        content.truncate(len);
        grow(&mut content, len);
        content
    }

    /// All contents of [`SimDisk::all_crash_images`]; `None` if finding them takes more than `limit` steps.
    fn all_torn(&self, limit: usize) -> Option<Vec<Arc<Vec<u8>>>> {
        if self.changes.is_empty() {
            return Some(vec![self.durable.clone()]);
        }
        let pieces = self.pieces();
        let free: Vec<usize> = self.open_pieces(&pieces);
        let mut lengths = self.lengths();
        lengths.sort_unstable();
        lengths.dedup();
        let subsets = 1usize.checked_shl(u32::try_from(free.len()).ok()?)?;
        if subsets.checked_mul(lengths.len() + 1)? > limit {
            return None;
        }
        let mut found = HashSet::new();
        for subset in 0..subsets {
            let left_out =
                |i: &usize| free.iter().position(|f| f == i).is_some_and(|bit| subset >> bit & 1 == 0);
            let steps: Vec<Piece> = (0..pieces.len()).filter(|i| !left_out(i)).map(|i| pieces[i]).collect();
            found.insert(self.build(&steps, None, None));
            for &len in &lengths {
                found.insert(self.build(&steps, Some(len), None));
            }
        }
        for &last in &free {
            for to in pieces[last].from..pieces[last].to {
                let later = |i: &usize| *i > last && free.contains(i);
                let steps: Vec<Piece> = (0..pieces.len())
                    .filter(|i| !later(i))
                    .map(|i| if i == last { Piece { to, ..pieces[i] } } else { pieces[i] })
                    .collect();
                found.insert(self.build(&steps, None, None));
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable();
        Some(found.into_iter().map(Arc::new).collect())
    }

    fn change(&mut self, change: Change) {
        let live = Arc::make_mut(&mut self.live);
        match &change {
            Change::SetLen(len) => live.resize(*len as usize, 0),
            Change::Write { offset, bytes } => {
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                if live.len() < end {
                    live.resize(end, 0);
                }
                live[start..end].copy_from_slice(bytes);
            }
        }
        self.changes.push((change, Fate::Dirty));
    }

    fn synced(&mut self) {
        if self.changes.iter().any(|(_, fate)| *fate == Fate::Doubtful) {
            self.changes.iter_mut().filter(|c| c.1 == Fate::Dirty).for_each(|c| c.1 = Fate::Synced);
        } else {
            self.durable = self.live.clone();
            self.changes.clear();
        }
    }
}

impl Storage for SimDisk {
    type File = SimFile;

    fn path(&self, part: Part) -> &Path {
        Path::new(match part {
            Part::Ledger => "sim.ledger",
            Part::Index => "sim.ledger.idx",
            Part::NewIndex => "sim.ledger.idx.new",
        })
    }

    fn open(&self, part: Part, access: Access) -> io::Result<Option<SimFile>> {
        let mut shared = self.shared();
        let name = if access == Access::Read { "open" } else { "open to write" };
        shared.look(name, part, 0, 0)?;
        let inode = shared.state.names[part as usize];
        Ok(inode.map(|inode| self.file(part, inode, access)))
    }

    fn create(&self, part: Part) -> io::Result<SimFile> {
        let mut shared = self.shared();
        let fault = shared.begin("create", Some(part), 0, 0)?;
        let inode = shared.finish(fault, |state| {
            if state.names[part as usize].is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.inodes.push(Inode::default());
            let inode = state.inodes.len() - 1;
            state.rename(NameChange::Set(part, Some(inode)));
            Ok(inode)
        })?;
        Ok(self.file(part, inode, Access::ReadWrite))
    }

    fn remove(&self, part: Part) -> io::Result<()> {
        let mut shared = self.shared();
        let fault = shared.begin("remove", Some(part), 0, 0)?;
        shared.finish(fault, |state| {
            if state.names[part as usize].is_some() {
                state.rename(NameChange::Set(part, None));
            }
            Ok(())
        })
    }

    fn publish_index(&self) -> io::Result<()> {
        let mut shared = self.shared();
        let fault = shared.begin("publish index", None, 0, 0)?;
        shared.finish(fault, |state| {
            let inode = state.names[Part::NewIndex as usize].ok_or(io::ErrorKind::NotFound)?;
            state.rename(NameChange::Rename(inode));
            Ok(())
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut shared = self.shared();
        let fault = shared.begin("sync folder", None, 0, 0)?;
        if fault == Some(Fault::Crash) {
            return shared.stop();
        }
        // One that fails leaves the changes open: they may be durable or not, and a journal tries again.
        shared.finish(fault, |state| {
            state.durable_names = state.names;
            state.name_changes.clear();
            Ok(())
        })
    }
}

impl SimDisk {
    fn file(&self, part: Part, inode: usize, access: Access) -> SimFile {
        // One count for all disks: a disk's copy keeps its locks, and none of its handles.
        static HANDLES: AtomicU64 = AtomicU64::new(0);
        let handle = HANDLES.fetch_add(1, Ordering::Relaxed);
        SimFile { disk: self.clone(), part, inode, handle, access }
    }
}

/// An open file of a [`SimDisk`].
pub(crate) struct SimFile {
    disk: SimDisk,
    part: Part,
    inode: usize,
    handle: u64,
    access: Access,
}

impl SimFile {
    fn only_if_writable(&self) -> io::Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::Read => Err(io::Error::new(io::ErrorKind::PermissionDenied, "opened for reading only")),
        }
    }
}

impl Source for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut shared = self.disk.shared();
        shared.look("len", self.part, 0, 0)?;
        Ok(shared.state.inodes[self.inode].live.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.disk.shared();
        let fault = shared.look("read", self.part, offset, buf.len() as u64)?;
        let live = &shared.state.inodes[self.inode].live;
        let rest = usize::try_from(offset).ok().and_then(|offset| live.get(offset..)).unwrap_or(&[]);
        let mut count = rest.len().min(buf.len());
        if let Some(Fault::Short { bytes, .. }) = fault {
            count = count.min(bytes);
        }
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

impl StorageFile for SimFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut shared = self.disk.shared();
        let fault = shared.begin("write", Some(self.part), offset, bytes.len() as u64)?;
        self.only_if_writable()?;
        let (inode, mut count) = (self.inode, bytes.len());
        if let Some(Fault::Short { bytes, .. }) = fault {
            count = count.min(bytes);
        }
        shared.finish(fault, |state| {
            let len = state.inodes[inode].live.len() as u64;
            let end = len.saturating_add(state.capacity.saturating_sub(state.used())).min(LARGEST_FILE);
            let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            if count > 0 && room == 0 {
                let large = offset >= LARGEST_FILE;
                return Err(
                    if large { io::ErrorKind::FileTooLarge } else { io::ErrorKind::StorageFull }.into()
                );
            }
            let count = count.min(room);
            if count > 0 {
                state.inodes[inode].change(Change::Write { offset, bytes: bytes[..count].into() });
            }
            Ok(count)
        })
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut shared = self.disk.shared();
        let fault = shared.begin("set_len", Some(self.part), len, 0)?;
        self.only_if_writable()?;
        let inode = self.inode;
        shared.finish(fault, |state| {
            if len > LARGEST_FILE {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            state.inodes[inode].change(Change::SetLen(len));
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut shared = self.disk.shared();
        let fault = shared.begin("sync", Some(self.part), 0, 0)?;
        self.only_if_writable()?;
        let inode = self.inode;
        match fault {
            Some(Fault::Crash) => shared.stop(),
            Some(Fault::Error(errno)) => {
                let changes = &mut shared.state.inodes[inode].changes;
                changes.iter_mut().filter(|c| c.1 == Fate::Dirty).for_each(|c| c.1 = Fate::Doubtful);
                shared.keep();
                Err(errno.into())
            }
            other => shared.finish(other, |state| {
                state.inodes[inode].synced();
                Ok(())
            }),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        let mut shared = self.disk.shared();
        shared.look("try_lock", self.part, 0, 0)?;
        self.only_if_writable()?;
        let holder = &mut shared.state.inodes[self.inode].locked_by;
        Ok(*holder.get_or_insert(self.handle) == self.handle)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut shared = self.disk.shared();
        let holder = &mut shared.state.inodes[self.inode].locked_by;
        if *holder == Some(self.handle) {
            *holder = None;
        }
    }
}

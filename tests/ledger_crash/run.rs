//! A ledger's life on a simulated disk, with a plain vector of tokens beside it as the truth.
//!
//! What has to hold of every crash image, in both models of the disk:
//!
//! - all tokens, marks and the root of every commit that had returned are there, in place and unaltered;
//! - a token past them is the one that was handed in for its place; and the reader says from where on the end is torn;
//! - the ledger opens for reading and for writing, takes tokens, commits, and verifies;
//! - the ledger's name is missing only where `create` had not returned.
//!
//! In [`Model::Adversarial`] one thing less: a hole may show old content of the ledger itself, chunks that were cut off
//! as torn included. Past the last commit a token may then be one that was handed in for its place at an earlier time.

use super::disk::{Model, Rng, SimDisk};
use bitwire::ErrorKind;
use bitwire::ledger::storage::Part;
use bitwire::ledger::{
    Commit, Encoding, EncodingRule, IndexState, LedgerError, LedgerOptions, LedgerReader, LedgerWriter,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

type Writer = LedgerWriter<SimDisk>;

/// How a ledger is written.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) chunk_tokens: u32,
    stride: u32,
    encoding: EncodingRule,
    /// Bits that tokens have.
    bits: u32,
    #[cfg_attr(not(feature = "hmac"), allow(dead_code))]
    signed: bool,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let (bits, encoding) = match rng.below(5) {
            // Chunks of one size whatever the tokens: new ones fit where old ones were.
            0 => (16, EncodingRule::Exactly(Encoding::RawU16)),
            1 => (9, EncodingRule::Exactly(Encoding::Packed { bits: 9 })),
            2 => (32, EncodingRule::Raw),
            3 => (17, EncodingRule::Packed),
            _ => (1 + rng.below(32) as u32, EncodingRule::Auto),
        };
        let chunk_tokens = if rng.below(4) == 0 { 100 + rng.below(400) } else { 1 + rng.below(12) } as u32;
        let signed = rng.below(4) == 0 && cfg!(feature = "hmac");
        Self { chunk_tokens, stride: 1 + rng.below(4) as u32, encoding, bits, signed }
    }

    /// Chunks so large that the writer hands them over before a commit.
    pub(crate) fn large(rng: &mut Rng) -> Self {
        Self { chunk_tokens: 20_000, encoding: EncodingRule::Raw, bits: 32, ..Self::new(rng) }
    }

    fn options(&self) -> LedgerOptions {
        let options = LedgerOptions::new()
            .chunk_tokens(self.chunk_tokens)
            .anchor_stride(self.stride)
            .encoding(self.encoding);
        #[cfg(feature = "hmac")]
        if self.signed {
            return options.sign(bitwire::frame::Key::new(&[7; 32]).unwrap());
        }
        options
    }

    pub(crate) fn read(&self, ledger: Vec<u8>, index: Option<&[u8]>) -> LedgerReader<Vec<u8>> {
        #[cfg(feature = "hmac")]
        if self.signed {
            let key = bitwire::frame::Key::new(&[7; 32]).unwrap();
            return LedgerReader::new_signed(ledger, index, key).unwrap();
        }
        LedgerReader::new(ledger, index).unwrap()
    }
}

type Spans = BTreeMap<String, (u64, u64)>;

/// What there has to be at some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    created: bool,
    /// All tokens that were handed in, the committed ones first.
    stream: Arc<Vec<u32>>,
    /// The same of earlier times: what followed the committed tokens was lost.
    earlier: Arc<Vec<Arc<Vec<u32>>>>,
    commit: Option<Commit>,
    passkeys: Arc<BTreeSet<u64>>,
    spans: Arc<Spans>,
    /// Marks that were made, of which no commit is known.
    due_passkeys: Arc<BTreeSet<u64>>,
    due_spans: Arc<Spans>,
}

impl Truth {
    fn committed(&self) -> usize {
        self.commit.map_or(0, |commit| commit.tokens as usize)
    }

    /// Holds a disk to the truth; returns the tokens on it.
    pub(crate) fn check(&self, disk: &SimDisk, plan: &Plan, model: Model, verify: bool) -> Vec<u32> {
        let Some(ledger) = disk.content(Part::Ledger) else {
            assert!(!self.created, "the ledger is not there");
            return Vec::new();
        };
        let index = disk.content(Part::Index);
        assert!(index.is_some() || !self.created, "the index is not there");
        let (len, reader) = (ledger.len() as u64, plan.read(ledger, index.as_deref()));

        let tokens = reader.recall_range(0..reader.total_tokens()).unwrap();
        let committed = self.committed();
        assert!(tokens.len() >= committed, "{} of {committed} committed tokens", tokens.len());
        assert_eq!(tokens[..committed], self.stream[..committed], "committed tokens");
        for (i, token) in tokens.iter().enumerate().skip(committed) {
            let now = self.stream.get(i) == Some(token);
            let earlier = || self.earlier.iter().any(|stream| stream.get(i) == Some(token));
            assert!(now || (model == Model::Adversarial && earlier()), "token {i} was never handed in");
        }

        let found: BTreeMap<u64, u32> =
            reader.passkeys().unwrap().iter().map(|passkey| (passkey.position, passkey.token)).collect();
        for (position, token) in &found {
            assert_eq!(*token, tokens[*position as usize]);
            let made = self.passkeys.contains(position) || self.due_passkeys.contains(position);
            assert!(made || model == Model::Adversarial, "nobody marked {position}");
        }
        assert!(self.passkeys.iter().all(|position| found.contains_key(position)), "passkeys");
        let found: Spans = reader
            .spans()
            .unwrap()
            .iter()
            .map(|span| (span.name.to_string(), (span.start, span.len)))
            .collect();
        for (name, span) in &found {
            let made = self.spans.get(name).or_else(|| self.due_spans.get(name));
            assert!(made == Some(span) || (made.is_none() && model == Model::Adversarial), "{name}");
        }
        assert!(self.spans.keys().all(|name| found.contains_key(name)), "spans");

        if let Some(commit) = self.commit {
            assert!(reader.ledger_len() >= commit.ledger_len);
            if reader.chunk_count() == commit.chunks {
                assert_eq!(reader.claimed_root(), commit.root);
            } else {
                reader.prove_consistency(commit.chunks.max(1)).unwrap();
            }
        }
        match reader.tail() {
            None => assert_eq!(reader.ledger_len(), len),
            Some(tail) => {
                assert_eq!((tail.offset, tail.offset + tail.len), (reader.ledger_len(), len));
                assert!(tail.len > 0);
            }
        }
        if verify {
            let verified = reader.verify_on(1, |_| ()).unwrap();
            assert_eq!((verified.tokens, verified.root), (tokens.len() as u64, reader.claimed_root()));
        }
        tokens
    }

    /// After a commit that returned there is nothing else.
    pub(crate) fn check_exactly(&self, disk: &SimDisk, plan: &Plan) {
        let tokens = self.check(disk, plan, Model::Journalled, true);
        assert_eq!(tokens, *self.stream);
        let content = |part| disk.content(part).unwrap();
        let reader = plan.read(content(Part::Ledger), Some(&content(Part::Index)));
        assert_eq!((reader.index_state(), reader.tail()), (IndexState::Current, None));
        assert_eq!(Some(reader.claimed_root()), self.commit.map(|commit| commit.root));
        assert_eq!(reader.index(plan.stride).unwrap(), content(Part::Index));
    }
}

pub(crate) struct Run {
    pub(crate) disk: SimDisk,
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    /// From how many operations on.
    truths: Vec<(usize, Truth)>,
    names: usize,
}

impl Run {
    pub(crate) fn new(disk: SimDisk, plan: Plan, truth: Truth, rng: Rng) -> Self {
        let truths = vec![(disk.operations(), truth)];
        Self { disk, plan, rng, truths, names: 0 }
    }

    pub(crate) fn truth(&self) -> &Truth {
        &self.truths.last().unwrap().1
    }

    pub(crate) fn truth_at(&self, operations: usize) -> &Truth {
        &self.truths.iter().rev().find(|(from, _)| *from <= operations).unwrap().1
    }

    fn now(&mut self, change: impl FnOnce(&mut Truth)) {
        let mut truth = self.truth().clone();
        change(&mut truth);
        self.truths.push((self.disk.operations(), truth));
    }

    pub(crate) fn create(&mut self) -> Result<Writer, LedgerError> {
        let writer = LedgerWriter::create_in(self.disk.clone(), self.plan.options())?;
        self.now(|truth| truth.created = true);
        Ok(writer)
    }

    /// Opens what is there, or makes it if it is not and need not be.
    pub(crate) fn open(&mut self, model: Model) -> Result<Writer, LedgerError> {
        if self.disk.content(Part::Ledger).is_none() {
            assert!(!self.truth().created);
            return self.create();
        }
        let tokens = self.truth().check(&self.disk, &self.plan, model, false);
        let ledger = self.disk.content(Part::Ledger).unwrap();
        let index = self.disk.content(Part::Index);
        let tail = self.plan.read(ledger, index.as_deref()).tail().copied();
        let writer = LedgerWriter::open_in(self.disk.clone(), self.plan.options())?;
        assert_eq!(writer.total_tokens(), tokens.len() as u64);
        assert_eq!(writer.recovered(), tail.as_ref());
        self.now(|truth| {
            truth.created = true;
            if *truth.stream != tokens {
                let old = std::mem::replace(&mut truth.stream, Arc::new(tokens));
                Arc::make_mut(&mut truth.earlier).push(old);
            }
        });
        Ok(writer)
    }

    fn fresh(&mut self, count: usize) -> Vec<u32> {
        let bits = self.plan.bits;
        (0..count).map(|_| (self.rng.next() >> 32) as u32 >> (32 - bits)).collect()
    }

    /// Tokens, marks, commits. Ends with a commit if `last` says so.
    pub(crate) fn session(
        &mut self,
        writer: &mut Writer,
        steps: usize,
        last: bool,
    ) -> Result<(), LedgerError> {
        let mut passkeys = BTreeSet::new();
        let mut spans = Spans::new();
        for step in 0..steps {
            let before = self.truth().stream.len();
            let most = if self.plan.chunk_tokens > 50 { 2 } else { 4 } * self.plan.chunk_tokens as usize;
            let tokens_new = 1 + self.rng.below(most);
            let tokens = self.fresh(tokens_new);
            self.now(|truth| Arc::make_mut(&mut truth.stream).extend(&tokens));
            let to_come = self.rng.coin();
            if to_come {
                self.marks(writer, before, &mut passkeys, &mut spans)?;
            }
            match self.rng.coin() {
                true => writer.extend_from_slice(&tokens)?,
                false => writer.extend(tokens.iter().copied())?,
            }
            if !to_come {
                self.marks(writer, before, &mut passkeys, &mut spans)?;
            }
            if self.rng.coin() || (last && step + 1 == steps) {
                let commit = writer.commit()?;
                self.now(|truth| {
                    assert_eq!(commit.tokens, truth.stream.len() as u64);
                    truth.commit = Some(commit);
                    Arc::make_mut(&mut truth.passkeys).append(&mut passkeys);
                    Arc::make_mut(&mut truth.spans).append(&mut spans);
                });
            }
        }
        Ok(())
    }

    /// Many tokens and one commit.
    pub(crate) fn large_session(&mut self, writer: &mut Writer, count: usize) -> Result<(), LedgerError> {
        let tokens = self.fresh(count);
        self.now(|truth| Arc::make_mut(&mut truth.stream).extend(&tokens));
        writer.extend_from_slice(&tokens)?;
        let commit = writer.commit()?;
        self.now(|truth| truth.commit = Some(commit));
        Ok(())
    }

    /// A few marks. One of a token that is in a chunk already makes the writer hand its chunks over.
    fn marks(
        &mut self,
        writer: &mut Writer,
        before: usize,
        passkeys: &mut BTreeSet<u64>,
        spans: &mut Spans,
    ) -> Result<(), LedgerError> {
        let len = self.truth().stream.len();
        if self.rng.below(2) == 0 {
            let from = if self.rng.coin() { 0 } else { before };
            let position = (from + self.rng.below(len - from)) as u64;
            let token = self.truth().stream[position as usize];
            self.now(|truth| {
                Arc::make_mut(&mut truth.due_passkeys).insert(position);
            });
            match writer.mark_passkey(position, token) {
                Err(LedgerError::Refused(error)) if matches!(error.kind(), ErrorKind::Duplicate { .. }) => {}
                marked => {
                    marked?;
                    passkeys.insert(position);
                }
            }
        }
        if self.rng.below(3) == 0 {
            let start = self.rng.below(len);
            let span = (start as u64, 1 + self.rng.below(len - start) as u64);
            self.names += 1;
            // Names are never used again, not even in the recovery of an image.
            let name = format!("{}/{}/{}", self.names, before, self.rng.next() % 1000);
            if self.truth().due_spans.contains_key(&name) {
                return Ok(());
            }
            self.now(|truth| {
                Arc::make_mut(&mut truth.due_spans).insert(name.clone(), span);
            });
            writer.mark_span(&name, span.0, span.1)?;
            spans.insert(name, span);
        }
        Ok(())
    }
}

/// How images are drawn, and what was drawn.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// Crash images at each moment, for each model.
    pub(crate) each: usize,
    pub(crate) images: usize,
    pub(crate) distinct: HashSet<u64>,
    pub(crate) recoveries: usize,
    pub(crate) crashed_recoveries: usize,
}

impl Drawn {
    /// Draws crash images at every moment of a run from `from` on, and checks them; some of them by going on, and `depth` times
    /// by letting that crash too.
    pub(crate) fn crash(&mut self, run: &mut Run, from: usize, depth: usize, seed: u64) {
        for (operations, disk) in run.disk.moments() {
            if operations < from {
                continue;
            }
            let truth = run.truth_at(operations).clone();
            let mut of_this_moment = HashSet::new();
            // The process alone.
            let told = Told { context: (seed, operations, Model::Journalled, depth), disk: &run.disk };
            truth.check(&disk.killed(), &run.plan, Model::Journalled, false);
            drop(told);
            for model in [Model::Journalled, Model::Adversarial] {
                let count = match disk.undecided() {
                    0 => 1,
                    some => self.each * some.min(8),
                };
                let mut known = 0;
                for _ in 0..count {
                    // Few undecided bytes make few images.
                    if known > 5 {
                        break;
                    }
                    let image = disk.crash_image(&mut run.rng, model);
                    self.images += 1;
                    let fingerprint = image.fingerprint();
                    self.distinct.insert(fingerprint);
                    if !of_this_moment.insert(fingerprint) {
                        known += 1;
                        continue;
                    }
                    known = 0;
                    let context = (seed, operations, model, depth);
                    self.check(image, &truth, run, model, depth, context);
                }
            }
        }
    }

    fn check(
        &mut self,
        image: SimDisk,
        truth: &Truth,
        run: &mut Run,
        model: Model,
        depth: usize,
        context: (u64, usize, Model, usize),
    ) {
        let told = Told { context, disk: &run.disk };
        truth.check(&image, &run.plan, model, run.rng.below(8) == 0);
        if run.rng.below(8) == 0 {
            self.recoveries += 1;
            let again = depth > 0 && run.rng.below(8) == 0;
            if again {
                image.record();
            }
            let rng = Rng::new(run.rng.next());
            let mut recovery = Run::new(image, run.plan.clone(), truth.clone(), rng);
            let mut writer = recovery.open(model).unwrap();
            let steps = 1 + recovery.rng.below(2);
            recovery.session(&mut writer, steps, true).unwrap();
            recovery.truth().check_exactly(&recovery.disk, &recovery.plan);
            drop(writer);
            if again {
                self.crashed_recoveries += 1;
                let each = std::mem::replace(&mut self.each, 4);
                self.crash(&mut recovery, 0, depth - 1, context.0);
                self.each = each;
            }
        }
        drop(told);
    }
}

/// Says which image it was when a check fails.
pub(crate) struct Told<'a> {
    pub(crate) context: (u64, usize, Model, usize),
    pub(crate) disk: &'a SimDisk,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, operations, model, depth) = self.context;
            eprintln!("seed {seed}, {model:?}, depth {depth}, after {operations} of\n{}", self.disk.log());
        }
    }
}

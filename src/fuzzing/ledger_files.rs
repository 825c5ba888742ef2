//! A ledger that is written, cut, damaged and opened again, against a vector of tokens.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use std::io;
use std::path::Path;

use super::{Choices, turn};
use crate::error::ErrorKind;
use crate::frame::Key;
use crate::ledger::storage::{Access, Part, Storage, StorageFile};
use crate::ledger::{
    Commit, Encoding, EncodingRule, Index, LedgerError, LedgerOptions, LedgerReader, LedgerWriter, Source,
};

/// Files in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<[Option<Bytes>; 3]>>);

type Bytes = Rc<RefCell<Vec<u8>>>;

/// An open file.
#[derive(Debug)]
struct Open {
    bytes: Bytes,
}

const fn place(part: Part) -> usize {
    match part {
        Part::Ledger => 0,
        Part::Index => 1,
        Part::NewIndex => 2,
    }
}

impl Memory {
    fn get(&self, part: Part) -> Option<Vec<u8>> {
        self.0.borrow()[place(part)].as_ref().map(|bytes| bytes.borrow().clone())
    }

    fn set(&self, part: Part, bytes: Option<Vec<u8>>) {
        self.0.borrow_mut()[place(part)] = bytes.map(|bytes| Rc::new(RefCell::new(bytes)));
    }
}

impl Source for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.borrow().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Source::read_at(&*self.bytes.borrow(), buf, offset)
    }
}

impl StorageFile for Open {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut file, from) = (self.bytes.borrow_mut(), usize::try_from(offset).unwrap());
        let end = from + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[from..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.bytes.borrow_mut().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Storage for Memory {
    type File = Open;

    fn path(&self, _: Part) -> &Path {
        Path::new("memory")
    }

    fn open(&self, part: Part, _: Access) -> io::Result<Option<Open>> {
        let bytes = self.0.borrow()[place(part)].clone();
        Ok(bytes.map(|bytes| Open { bytes }))
    }

    fn create(&self, part: Part) -> io::Result<Open> {
        if self.0.borrow()[place(part)].is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.set(part, Some(Vec::new()));
        Ok(self.open(part, Access::ReadWrite)?.unwrap())
    }

    fn remove(&self, part: Part) -> io::Result<()> {
        self.set(part, None);
        Ok(())
    }

    fn publish_index(&self) -> io::Result<()> {
        let mut files = self.0.borrow_mut();
        let new = files[place(Part::NewIndex)].take().ok_or(io::ErrorKind::NotFound)?;
        files[place(Part::Index)] = Some(new);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What was put in, and how much of it was committed.
#[derive(Clone, Debug, Default)]
struct Model {
    tokens: Vec<u32>,
    committed: usize,
    committed_len: u64,
    /// All that were ever made, and those that were committed.
    passkeys: BTreeMap<u64, bool>,
    spans: BTreeMap<String, (u64, u64, bool)>,
}

struct Run {
    memory: Memory,
    options: LedgerOptions,
    key: Option<Key>,
    model: Model,
    writer: Option<LedgerWriter<Memory>>,
    /// An index from before.
    old_index: Option<Vec<u8>>,
    /// Tokens that are put in at once.
    most: usize,
    /// Whether each commit's index is made again from the ledger alone.
    is_made_again: bool,
}

/// [`LedgerWriter`] and [`LedgerReader`] through any sequence of operations: no committed token or mark is lost or altered, damage
/// before the committed length is refused, and what is there beyond it is what was put in, from its start.
pub fn ledger(data: &[u8]) {
    let mut choices = Choices(data);
    let how = choices.byte();
    let key = (how & 1 != 0).then(|| Key::new(b"0123456789abcdef").unwrap());
    let rule = [
        EncodingRule::Auto,
        EncodingRule::Packed,
        EncodingRule::Raw,
        EncodingRule::Exactly(Encoding::RawU16),
    ][usize::from(how >> 1 & 3)];
    // Long histories now and then, of long chunks: an operation takes as long as all the chunks there are.
    let is_long = turn(data, 64);
    let (operations, least, most) = if is_long { (24, 1, 100) } else { (6, 8, 16) };
    let mut options = LedgerOptions::new()
        .chunk_tokens(least + u32::from(choices.byte()) % if is_long { 40 } else { 8 })
        .anchor_stride(1 + u32::from(how >> 3))
        .encoding(rule);
    if let Some(key) = &key {
        options = options.sign(key.clone());
    }
    let is_made_again = turn(data, 8);
    let memory = Memory::default();
    let writer = LedgerWriter::create_in(memory.clone(), options.clone()).unwrap();
    let model = Model::default();
    let mut run =
        Run { memory, options, key, model, writer: Some(writer), old_index: None, most, is_made_again };
    for _ in 0..operations {
        if choices.0.is_empty() {
            break;
        }
        match choices.byte() % 10 {
            0..=2 => run.extend(&mut choices),
            3 => run.mark(&mut choices),
            4 => run.commit(),
            5 => run.reopen(),
            6 => run.cut(&mut choices),
            7 => run.flip(&mut choices),
            8 => run.change_index(&mut choices),
            _ => {
                let garbage = choices.bytes(20).to_vec();
                run.append(&garbage);
            }
        }
    }
    run.commit();
    run.reopen();
}

impl Run {
    fn reader(&self) -> Result<LedgerReader<Vec<u8>>, LedgerError> {
        self.reader_with(self.memory.get(Part::Index).as_deref())
    }

    fn reader_with(&self, index: Option<&[u8]>) -> Result<LedgerReader<Vec<u8>>, LedgerError> {
        let ledger = self.memory.get(Part::Ledger).unwrap();
        match &self.key {
            Some(key) => LedgerReader::new_signed(ledger, index, key.clone()),
            None => LedgerReader::new(ledger, index),
        }
    }

    fn extend(&mut self, choices: &mut Choices<'_>) {
        let (len, shift) = (choices.below(self.most), 8 + choices.byte() % 24);
        let seed = u32::from(choices.byte());
        let from = self.model.tokens.len() as u32;
        let tokens: Vec<u32> = (0..len as u32)
            .map(|i| (from + i).wrapping_mul(2_654_435_761).wrapping_add(seed) >> shift)
            .collect();
        let writer = self.writer.as_mut().unwrap();
        let put = if seed % 2 == 0 {
            writer.extend_from_slice(&tokens)
        } else {
            writer.extend(tokens.iter().copied())
        };
        self.model.tokens.extend(tokens);
        match put {
            Ok(()) => assert_eq!(writer.total_tokens(), self.model.tokens.len() as u64),
            Err(error) => {
                let LedgerError::Refused(error) = error else { panic!("{error:?}") };
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::PasskeyToken { .. } | ErrorKind::TokenWidth { .. }),
                    "{error}"
                );
                // In part in the ledger: which, the files say.
                self.reopen();
            }
        }
    }

    fn mark(&mut self, choices: &mut Choices<'_>) {
        let (total, writer) = (self.model.tokens.len(), self.writer.as_mut().unwrap());
        let position = choices.below(total + 4);
        let kind = choices.byte();
        let result = if kind & 1 == 0 {
            let token = self.model.tokens.get(position).copied().unwrap_or(u32::from(kind));
            let wrong = kind & 6 == 6 && position < total;
            let result = writer.mark_passkey(position as u64, token ^ u32::from(wrong));
            let again = self.model.passkeys.contains_key(&(position as u64));
            assert_eq!(result.is_ok(), !wrong && !again, "{result:?}");
            if result.is_ok() {
                self.model.passkeys.insert(position as u64, false);
            }
            result
        } else {
            let name = ["a", "b", "\u{e9}", "name", ""][usize::from(kind >> 1) % 5].to_string();
            let len = u64::from(kind >> 5);
            let result = writer.mark_span(&name, position as u64, len);
            let good = len > 0 && !name.is_empty() && !self.model.spans.contains_key(&name);
            assert_eq!(result.is_ok(), good, "{result:?}");
            if good {
                self.model.spans.insert(name, (position as u64, len, false));
            }
            result
        };
        if let Err(error) = result {
            assert!(matches!(error, LedgerError::Refused(_)), "{error:?}");
        }
    }

    fn commit(&mut self) {
        let before = self.memory.get(Part::Index);
        match self.writer.as_mut().unwrap().commit() {
            Ok(commit) => {
                self.old_index = before;
                self.committed(&commit);
            }
            Err(error) => {
                let LedgerError::Refused(error) = error else { panic!("{error:?}") };
                let kind = error.kind();
                // Marks without tokens, or tokens of a chunk that cannot be written.
                let known = matches!(
                    kind,
                    ErrorKind::PastEnd { .. }
                        | ErrorKind::Argument { .. }
                        | ErrorKind::PasskeyToken { .. }
                        | ErrorKind::TokenWidth { .. }
                );
                assert!(known, "{error}");
                // Without an effect, the writer goes on.
                if !matches!(kind, ErrorKind::PastEnd { .. } | ErrorKind::Argument { .. }) {
                    self.reopen();
                }
            }
        }
    }

    fn committed(&mut self, commit: &Commit) {
        let model = &mut self.model;
        model.committed = model.tokens.len();
        model.committed_len = commit.ledger_len;
        assert_eq!(commit.tokens, model.tokens.len() as u64);
        model.passkeys.values_mut().for_each(|committed| *committed = true);
        model.spans.values_mut().for_each(|span| span.2 = true);
        assert_eq!(self.memory.get(Part::Ledger).unwrap().len() as u64, commit.ledger_len);
        assert!(self.memory.get(Part::NewIndex).is_none());
        let reader = self.reader().unwrap();
        assert!(reader.tail().is_none());
        assert_eq!(reader.verify_on(1, |_| ()).unwrap().root, commit.root);
        assert_eq!(reader.chunk_count(), commit.chunks);
        let index = self.memory.get(Part::Index).unwrap();
        assert_eq!(index.len() as u64, commit.index_len);
        self.check(&reader);
        if !self.is_made_again {
            return;
        }
        // Made again from the ledger alone it is the same.
        let alone = self.reader_with(None).unwrap();
        let stride = Index::parse_exact(&index).unwrap().anchor_stride();
        if commit.chunks > 0 {
            assert_eq!(alone.index(stride).unwrap(), index);
        }
    }

    /// What a reader gives out is what was put in: all that was committed, and of the rest the beginning.
    fn check(&self, reader: &LedgerReader<Vec<u8>>) {
        let model = &self.model;
        let found = reader.recall_range(0..reader.total_tokens()).unwrap();
        assert!(found.len() >= model.committed, "committed tokens are lost");
        assert!(model.tokens.starts_with(&found), "tokens are altered");
        let marked = reader.passkeys().unwrap();
        for passkey in &marked {
            assert!(model.passkeys.contains_key(&passkey.position));
            assert_eq!(passkey.token, found[usize::try_from(passkey.position).unwrap()]);
        }
        for (position, _) in model.passkeys.iter().filter(|(_, committed)| **committed) {
            assert!(marked.iter().any(|passkey| passkey.position == *position), "a passkey is lost");
        }
        let spans = reader.spans().unwrap();
        for span in &spans {
            let (start, len, _) = model.spans[span.name];
            assert_eq!((span.start, span.len), (start, len));
        }
        for (name, _) in model.spans.iter().filter(|(_, span)| span.2) {
            assert!(spans.iter().any(|span| span.name == name), "a span is lost");
        }
    }

    /// The writer is dropped and another one opened.
    fn reopen(&mut self) {
        self.writer = None;
        let reader = self.reader().unwrap();
        self.check(&reader);
        let tail = reader.tail().copied();
        let writer = LedgerWriter::open_in(self.memory.clone(), self.options.clone()).unwrap();
        assert_eq!(writer.recovered(), tail.as_ref());
        assert_eq!(writer.total_tokens(), reader.total_tokens());
        let len = self.memory.get(Part::Ledger).unwrap().len() as u64;
        assert_eq!(len, reader.ledger_len(), "the torn tail is cut off");
        // From here on the ledger is what was found.
        self.model.tokens.truncate(usize::try_from(reader.total_tokens()).unwrap());
        let there: Vec<u64> = reader.passkeys().unwrap().iter().map(|passkey| passkey.position).collect();
        self.model.passkeys.retain(|position, _| there.contains(position));
        let there: Vec<String> = reader.spans().unwrap().iter().map(|span| span.name.to_string()).collect();
        self.model.spans.retain(|name, _| there.contains(name));
        self.writer = Some(writer);
    }

    /// The ledger is cut at any byte.
    fn cut(&mut self, choices: &mut Choices<'_>) {
        self.writer = None;
        let whole = self.memory.get(Part::Ledger).unwrap();
        let at = choices.below(whole.len() + 1);
        self.memory.set(Part::Ledger, Some(whole[..at].to_vec()));
        if (at as u64) < self.model.committed_len {
            // The index says that there was more.
            self.refused();
            self.memory.set(Part::Ledger, Some(whole));
        }
        self.reopen();
    }

    /// Neither reader nor writer takes the ledger, and the writer leaves it alone.
    fn refused(&self) {
        let before = (self.memory.get(Part::Ledger), self.memory.get(Part::Index));
        assert!(self.reader().is_err(), "a committed chunk is missing");
        assert!(LedgerWriter::open_in(self.memory.clone(), self.options.clone()).is_err());
        assert!(before == (self.memory.get(Part::Ledger), self.memory.get(Part::Index)));
    }

    /// A bit of the ledger or of its index is another.
    fn flip(&mut self, choices: &mut Choices<'_>) {
        self.writer = None;
        let part = if choices.byte() & 3 == 0 { Part::Index } else { Part::Ledger };
        let whole = self.memory.get(part).unwrap();
        if !whole.is_empty() {
            let (at, bit) = (choices.below(whole.len()), choices.byte() % 8);
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            self.memory.set(part, Some(bytes));
            if part == Part::Index {
                self.refused();
                self.memory.set(part, Some(whole));
            } else if (at as u64) < self.model.committed_len {
                self.damaged();
                self.memory.set(part, Some(whole));
            } else {
                self.foreign_end(whole);
            }
        }
        self.reopen();
    }

    /// Where the end is what no crash leaves, it is left alone; then there is `whole` again.
    fn foreign_end(&mut self, whole: Vec<u8>) {
        let Err(error) = self.reader() else { return };
        let LedgerError::Damaged { error, .. } = error else { panic!("{error}") };
        let kind = error.kind();
        let torn = matches!(
            kind,
            ErrorKind::Truncated { .. }
                | ErrorKind::Magic { .. }
                | ErrorKind::TlvOrder { .. }
                | ErrorKind::ConfigNotFirst { .. }
                | ErrorKind::TlvLength { .. }
                | ErrorKind::Crc { .. }
                | ErrorKind::Digest
        );
        assert!(!torn, "{error}");
        self.refused();
        self.memory.set(Part::Ledger, Some(whole));
    }

    /// A bit before the committed length is wrong: whoever looks finds it, and nobody gets a wrong token.
    fn damaged(&self) {
        let Ok(reader) = self.reader() else { return };
        assert!(reader.verify_on(1, |_| ()).is_err(), "damage is not found");
        for position in 0..reader.total_tokens() {
            if let Ok(token) = reader.recall(position) {
                assert_eq!(Some(&token), self.model.tokens.get(usize::try_from(position).unwrap()));
            }
        }
        for position in self.model.passkeys.keys() {
            if let Ok(passkey) = reader.passkey(*position) {
                assert_eq!(passkey.token, self.model.tokens[usize::try_from(*position).unwrap()]);
            }
        }
    }

    /// The index is dropped, or an older one is there again.
    fn change_index(&mut self, choices: &mut Choices<'_>) {
        self.writer = None;
        let kind = choices.byte() % 3;
        let old = if kind == 0 { self.old_index.clone() } else { None };
        if kind == 1 {
            // Another ledger's.
            let other = Memory::default();
            let mut writer = LedgerWriter::create_in(other.clone(), self.options.clone()).unwrap();
            writer.extend_from_slice(&[60_000; 3]).unwrap();
            writer.commit().unwrap();
            let own = self.memory.get(Part::Index);
            self.memory.set(Part::Index, other.get(Part::Index));
            if self.memory.get(Part::Ledger) != other.get(Part::Ledger) {
                self.refused();
            }
            self.memory.set(Part::Index, own);
        } else {
            self.memory.set(Part::Index, old.clone());
        }
        self.reopen();
        if kind != 1 {
            // Only what this index covers counts as committed from here on; where there was none, the writer has
            // published one of all it found.
            let index = self.memory.get(Part::Index).unwrap();
            let index = Index::parse_exact(&index).unwrap();
            let model = &mut self.model;
            model.committed_len = index.ledger_len();
            model.committed = usize::try_from(index.total_tokens()).unwrap();
            if old.is_none() {
                assert_eq!(model.committed, model.tokens.len());
            }
            for (position, committed) in &mut model.passkeys {
                *committed = index.passkey(*position).is_some();
            }
            for (name, span) in &mut model.spans {
                span.2 = index.span(name).is_some();
            }
        }
    }

    /// Bytes that no writer wrote stand at the end.
    fn append(&mut self, garbage: &[u8]) {
        self.writer = None;
        let whole = self.memory.get(Part::Ledger).unwrap();
        self.memory.set(Part::Ledger, Some([&whole, garbage].concat()));
        self.foreign_end(whole);
        self.reopen();
    }
}

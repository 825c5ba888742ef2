//! Whole ledgers on real files, against a plain vector of tokens as the model.
#![cfg(feature = "std")]

use bitwire::ErrorKind;
use bitwire::ledger::{
    Encoding, EncodingRule, IndexState, LedgerError, LedgerOptions, LedgerReader, LedgerWriter,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn tokens_come_back() {
    let folder = folder();
    let path = folder.path().join("a.ledger");
    let tokens: Vec<u32> = (0..10_000u32).map(|i| i.wrapping_mul(2_654_435_761) >> 17).collect();
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(300)).unwrap();
    writer.mark_passkey(17, tokens[17]).unwrap();
    writer.mark_span("first", 0, 16).unwrap();
    writer.extend_from_slice(&tokens[..7_000]).unwrap();
    writer.mark_passkey(3, tokens[3]).unwrap();
    writer.mark_span("second", 290, 20).unwrap();
    let commit = writer.commit().unwrap();
    assert_eq!((commit.tokens, commit.chunks), (7_000, 24));
    drop(writer);

    let mut writer = LedgerWriter::open(&path, LedgerOptions::new().chunk_tokens(300)).unwrap();
    assert!(writer.recovered().is_none());
    writer.extend(tokens[7_000..].iter().copied()).unwrap();
    writer.mark_passkey(9_999, tokens[9_999]).unwrap();
    let commit = writer.commit().unwrap();
    assert_eq!(commit.tokens, 10_000);

    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!((reader.index_state(), reader.tail()), (IndexState::Current, None));
    for (position, &token) in tokens.iter().enumerate() {
        assert_eq!(reader.recall(position as u64).unwrap(), token);
    }
    assert_eq!(reader.recall_range(250..9_000).unwrap(), tokens[250..9_000]);
    assert!(matches!(reader.recall(10_000), Err(LedgerError::Refused(_))));
    let passkeys: Vec<(u64, u32)> =
        reader.passkeys().unwrap().iter().map(|passkey| (passkey.position, passkey.token)).collect();
    assert_eq!(passkeys, [3, 17, 9_999].map(|p| (p as u64, tokens[p])));
    let span = reader.span("second").unwrap();
    assert_eq!((span.start, span.len), (290, 20));
    let verified = reader.verify(|_| ()).unwrap();
    assert_eq!((verified.tokens, verified.root), (10_000, commit.root));
    assert_eq!(reader.index(8).unwrap(), std::fs::read(folder.path().join("a.ledger.idx")).unwrap());
}

#[test]
fn mistakes_are_told() {
    let folder = folder();
    let path = folder.path().join("a.ledger");
    let refused = |result: Result<(), LedgerError>| match result.unwrap_err() {
        LedgerError::Refused(error) => error.kind(),
        other => panic!("{other}"),
    };
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(4)).unwrap();
    assert!(matches!(LedgerWriter::open(&path, LedgerOptions::new()), Err(LedgerError::Locked)));
    assert!(matches!(LedgerWriter::create(&path, LedgerOptions::new()), Err(LedgerError::Io { .. })));
    writer.extend_from_slice(&[1, 2, 3, 4, 5]).unwrap();
    let wrong = ErrorKind::PasskeyToken { position: 1, expected: 7, found: 2 };
    assert_eq!(refused(writer.mark_passkey(1, 7)), wrong);
    writer.mark_passkey(4, 5).unwrap();
    assert!(matches!(refused(writer.mark_passkey(4, 5)), ErrorKind::Duplicate { .. }));
    writer.mark_span("a", 5, 1).unwrap();
    assert!(matches!(refused(writer.commit().map(drop)), ErrorKind::PastEnd { end: 5, found: 6, .. }));
    writer.extend([6]).unwrap();
    writer.commit().unwrap();
    writer.mark_span("b", 0, 1).unwrap();
    assert!(matches!(refused(writer.commit().map(drop)), ErrorKind::Argument { .. }));
    drop(writer);
    let narrow = EncodingRule::Exactly(Encoding::Packed { bits: 3 });
    let mut writer = LedgerWriter::open(&path, LedgerOptions::new().encoding(narrow)).unwrap();
    writer.extend([8]).unwrap();
    assert_eq!(refused(writer.commit().map(drop)), ErrorKind::TokenWidth { index: 0, token: 8, bits: 3 });
}

/// A passkey that turns out to be another token is an error once; the writer can go on without it.
#[test]
fn a_wrong_passkey_is_dropped() {
    let folder = folder();
    let path = folder.path().join("a.ledger");
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(4)).unwrap();
    writer.mark_passkey(6, 9).unwrap();
    writer.mark_passkey(1, 2).unwrap();
    writer.extend_from_slice(&[1, 2, 3, 4, 5]).unwrap();
    let error = writer.extend_from_slice(&[6, 7, 8, 9]).unwrap_err();
    assert_eq!(error.to_string(), "the token at position 6 is 7, not 9");
    // Those before the error are there, those after it are not.
    assert_eq!(writer.total_tokens(), 8);
    writer.extend_from_slice(&[9]).unwrap();
    writer.commit().unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!(reader.recall_range(0..9).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(reader.passkeys().unwrap().len(), 1);
}

#[test]
fn the_empty_ledger_reads() {
    let folder = folder();
    let path = folder.path().join("a.ledger");
    LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
    let reader = LedgerReader::open(&path).unwrap();
    assert_eq!((reader.total_tokens(), reader.index_state()), (0, IndexState::Current));
    assert!(
        reader.recall(0).is_err()
            && reader.prove(0).is_err()
            && reader.recall_range(0..0).unwrap().is_empty()
    );
    assert_eq!(reader.verify(|_| ()).unwrap().chunks, 0);
    #[cfg(feature = "mmap")]
    assert_eq!(LedgerReader::map(&path).unwrap().total_tokens(), 0);
}

/// What a plain vector would do.
mod model {
    use std::collections::BTreeMap;

    use bitwire::ledger::{EncodingRule, LedgerError, LedgerOptions, LedgerReader, LedgerWriter};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Extend(Vec<u32>),
        Passkey(prop::sample::Index),
        Span(String, prop::sample::Index, u64),
        Commit,
        Reopen,
    }

    fn step() -> impl Strategy<Value = Step> {
        let tokens = prop_oneof![
            prop::collection::vec(0..32_000_u32, 0..70),
            prop::collection::vec(any::<u32>(), 0..20),
            prop::collection::vec(0..2_u32, 0..200),
        ];
        prop_oneof![
            4 => tokens.prop_map(Step::Extend),
            1 => any::<prop::sample::Index>().prop_map(Step::Passkey),
            1 => ("[a-cé]{1,3}", any::<prop::sample::Index>(), 1..20_u64).prop_map(|(n, i, l)| Step::Span(n, i, l)),
            1 => Just(Step::Commit),
            1 => Just(Step::Reopen),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_ledger_is_a_vector(
            steps in prop::collection::vec(step(), 1..30),
            chunk_tokens in 1..40_u32,
            stride in 1..5_u32,
            rule in 0..3,
        ) {
            let folder = super::folder();
            let path = folder.path().join("a.ledger");
            let rule = [EncodingRule::Auto, EncodingRule::Raw, EncodingRule::Packed][rule as usize];
            let options = || LedgerOptions::new().chunk_tokens(chunk_tokens).anchor_stride(stride).encoding(rule);
            let mut writer = LedgerWriter::create(&path, options()).unwrap();
            let mut tokens: Vec<u32> = Vec::new();
            let (mut passkeys, mut spans) = (BTreeMap::new(), BTreeMap::new());
            // What the last commit had: marks that no token came to carry are lost with a writer.
            let mut committed = (0, BTreeMap::new(), BTreeMap::new());
            let commit = |writer: &mut LedgerWriter| match writer.commit() {
                Ok(commit) => Some(commit),
                Err(LedgerError::Refused(_)) => None,
                Err(other) => panic!("{other}"),
            };
            for step in steps {
                match step {
                    Step::Extend(more) => {
                        writer.extend_from_slice(&more).unwrap();
                        tokens.extend(more);
                    }
                    Step::Passkey(i) if !tokens.is_empty() => {
                        let position = i.index(tokens.len());
                        let marked = writer.mark_passkey(position as u64, tokens[position]);
                        prop_assert_eq!(marked.is_err(), passkeys.contains_key(&(position as u64)));
                        passkeys.insert(position as u64, tokens[position]);
                    }
                    Step::Span(name, i, len) if !tokens.is_empty() => {
                        let start = i.index(tokens.len()) as u64;
                        let len = len.min(tokens.len() as u64 - start);
                        let marked = writer.mark_span(&name, start, len);
                        prop_assert_eq!(marked.is_err(), spans.contains_key(&name));
                        spans.entry(name).or_insert((start, len));
                    }
                    Step::Commit => {
                        if let Some(commit) = commit(&mut writer) {
                            prop_assert_eq!(commit.tokens, tokens.len() as u64);
                            committed = (tokens.len(), passkeys.clone(), spans.clone());
                        }
                    }
                    Step::Reopen => {
                        if commit(&mut writer).is_some() {
                            committed = (tokens.len(), passkeys.clone(), spans.clone());
                        }
                        drop(writer);
                        writer = LedgerWriter::open(&path, options()).unwrap();
                        prop_assert!(writer.recovered().is_none());
                        // Chunks that were handed to the system stay.
                        let there = writer.total_tokens() as usize;
                        prop_assert!(there >= committed.0);
                        tokens.truncate(there);
                        (passkeys, spans) = (committed.1.clone(), committed.2.clone());
                    }
                    _ => {}
                }
            }
            let reader = LedgerReader::open(&path).unwrap();
            let there = reader.total_tokens() as usize;
            prop_assert!(there >= committed.0 && there <= tokens.len());
            prop_assert_eq!(&reader.recall_range(0..there as u64).unwrap(), &tokens[..there]);
            for (&position, &token) in &committed.1 {
                prop_assert_eq!(reader.passkey(position).unwrap().token, token);
            }
            for (name, &(start, len)) in &committed.2 {
                let span = reader.span(name).unwrap();
                prop_assert_eq!((span.start, span.len), (start, len));
            }
            let verified = reader.verify_on(2, |_| ()).unwrap();
            prop_assert_eq!(verified.root, reader.claimed_root());
            if there == committed.0 {
                prop_assert_eq!(reader.index(stride).unwrap(), std::fs::read(folder.path().join("a.ledger.idx")).unwrap());
            }
        }
    }
}

/// Marks that come after the tokens need a chunk that is not written yet: the last one waits, also where it is full.
#[test]
fn a_full_last_chunk_waits_for_its_marks() {
    let folder = folder();
    for (name, by_slice) in [("a.ledger", true), ("b.ledger", false)] {
        let path = folder.path().join(name);
        let mut writer = LedgerWriter::create(&path, LedgerOptions::new().chunk_tokens(4)).unwrap();
        match by_slice {
            true => writer.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
            false => writer.extend(1..=8).unwrap(),
        }
        writer.mark_passkey(7, 8).unwrap();
        assert_eq!(writer.commit().unwrap().chunks, 2);
        assert_eq!(LedgerReader::open(&path).unwrap().passkey(7).unwrap().token, 8);
    }
}

/// A commit of nothing new is the last one, and publishes no index.
#[cfg(unix)]
#[test]
fn a_commit_of_nothing_writes_nothing() {
    use std::os::unix::fs::MetadataExt;
    let folder = folder();
    let path = folder.path().join("a.ledger");
    let mut writer = LedgerWriter::create(&path, LedgerOptions::new()).unwrap();
    writer.extend([1, 2, 3]).unwrap();
    let first = writer.commit().unwrap();
    // Open, so that its number is nobody else's.
    let index = std::fs::File::open(folder.path().join("a.ledger.idx")).unwrap();
    let number = || std::fs::metadata(folder.path().join("a.ledger.idx")).unwrap().ino();
    let before = number();
    assert_eq!(writer.commit().unwrap(), first);
    assert_eq!(number(), before);
    writer.extend([4]).unwrap();
    assert_eq!(writer.commit().unwrap().tokens, 4);
    assert_ne!(number(), before);
    drop(index);
}

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

//! Ledgers: the tables of spec/ledger.md, "Torn tails", say what each harm is.

use bitwire::frame::{Frame, Key};
use bitwire::ledger::{Chunk, LedgerError, LedgerReader};
use bitwire::{Error, ErrorKind};
use serde_json::Value;

use crate::envelope::{self, Fault};
use crate::{Attack, Harm, attacks, bytes, cases};

type Reader<'a> = LedgerReader<&'a [u8]>;

fn open<'a>(ledger: &'a [u8], index: Option<&[u8]>, key: Option<&Key>) -> Result<Reader<'a>, LedgerError> {
    let reader = match key {
        Some(key) => LedgerReader::new_signed(ledger, index, key.clone()),
        None => LedgerReader::new(ledger, index),
    }?;
    // Every chunk is checked, not only those beyond the index.
    reader.verify(|_| ())?;
    Ok(reader)
}

/// Where the chunks of a whole ledger start, and its end.
fn places(ledger: &[u8]) -> Vec<usize> {
    let mut places = vec![0];
    while let Some(at) = places.last().copied().filter(|at| *at < ledger.len()) {
        places.push(at + envelope::end(&ledger[at..]).unwrap());
    }
    places
}

#[derive(Debug, PartialEq)]
enum Fate {
    /// Whole up to there, and the rest is torn.
    Torn(usize),
    /// Chunk, and what is wrong with it, from the ledger's start.
    Damaged(u64, Fault),
    /// The ledger is shorter than its index says.
    Short,
    /// The index is not this ledger's: the contexts are compared before anything is damage.
    Foreign,
    /// By chance the CRC of something else is good.
    Lucky,
}

fn expected(harm: Harm, ledger: &[u8], harmed: &[u8], places: &[usize], committed: Option<usize>) -> Fate {
    let whole = |len: usize| *places.iter().rfind(|place| **place <= len).unwrap();
    let bit = match harm {
        Harm::Cut(len) if committed.is_some_and(|committed| len < committed) => return Fate::Short,
        Harm::Cut(len) => 8 * len,
        Harm::Flip(bit) => bit,
    };
    let start = whole(bit / 8);
    if start == harmed.len() {
        return Fate::Torn(start);
    }
    let chunk = places.iter().position(|place| *place == start).unwrap();
    let Err(mut fault) = envelope::end(&harmed[start..]) else { return Fate::Lucky };
    fault.offset += start as u64;
    let held_to_it = chunk == 0 && committed.is_some_and(|committed| committed > 0) && fault.kind == "Crc";
    // What has no digest is no chunk any more.
    if let (true, Some(before), Some(after)) = (held_to_it, identity(ledger), identity(harmed))
        && before != after
    {
        return Fate::Foreign;
    }
    let later_version = matches!(harmed[start..], [b'B', b'I', b'T', 2..=255, ..]);
    let follows = whole_chunk_follows(&harmed[start + 1..], &ledger[4..12], chunk as u64);
    let no_ledger = chunk == 0 && fault.kind == "Magic";
    let damaged = match committed {
        Some(committed) => start < committed,
        None => follows || later_version || no_ledger,
    };
    if damaged { Fate::Damaged(chunk as u64, fault) } else { Fate::Torn(start) }
}

/// What a chunk and the index have in common: ctx, CONTEXT_V1, and whether there is an HMAC_V1.
type Identity<'a> = (&'a [u8], Option<&'a [u8]>, bool);

/// That of the first chunk, if it has a digest.
fn identity(ledger: &[u8]) -> Option<Identity<'_>> {
    let (mut at, mut context, mut hmac, mut digest) = (12, None, false, false);
    while let Some(&[tlv, high, low]) = ledger.get(at..).and_then(<[u8]>::first_chunk) {
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        match tlv {
            0x80 => context = ledger.get(value.clone()),
            0xF0 => digest = true,
            0xF1 => hmac = true,
            0xFF => break,
            _ => {}
        }
        at = value.end;
    }
    digest.then_some((ledger.get(4..12)?, context, hmac))
}

/// Whether a chunk that may be the ledger's stands anywhere in `bytes`; before the first chunk, of any ctx.
fn whole_chunk_follows(bytes: &[u8], ctx: &[u8], expected: u64) -> bool {
    let starts = bytes.windows(4).enumerate().filter(|(_, four)| *four == b"BIT\x01");
    starts.map(|(at, _)| &bytes[at..]).any(|bytes| {
        Frame::parse(bytes)
            .and_then(|(frame, _)| Chunk::from_frame(&frame))
            .is_ok_and(|chunk| (expected == 0 || chunk.frame().ctx().0 == ctx) && chunk.id() >= expected)
    })
}

fn found(reader: Result<Reader<'_>, LedgerError>, len: usize) -> Fate {
    match reader {
        Ok(reader) => {
            let (whole, torn) = (reader.ledger_len(), reader.tail().map_or(0, |tail| tail.len));
            assert_eq!(whole + torn, len as u64);
            Fate::Torn(whole as usize)
        }
        Err(LedgerError::Damaged { chunk, error }) => Fate::Damaged(chunk, Fault::of(&error)),
        Err(LedgerError::Index(error)) if matches!(error.kind(), ErrorKind::LedgerCut { .. }) => Fate::Short,
        Err(LedgerError::Index(error)) => {
            let ErrorKind::ForeignIndex { field } = error.kind() else { panic!("{error}") };
            assert!(["the context", "the presence of HMAC_V1"].contains(&field), "{error}");
            Fate::Foreign
        }
        Err(error) => panic!("{error}"),
    }
}

struct Case {
    id: Value,
    ledger: Vec<u8>,
    index: Option<Vec<u8>>,
    key: Option<Key>,
    /// Nothing is wrong with the ledger, nor with its index.
    whole: bool,
}

fn all() -> Vec<Case> {
    let mut all = Vec::new();
    for case in cases("ledger.json") {
        let Ok(key) = bytes(&case, "key").map(|key| Key::new(&key)).transpose() else { continue };
        let fits = case["view"] == "ledger" || case["expect"]["torn"] == 0;
        let index = &case["expect"]["index"];
        all.push(Case {
            id: case["id"].clone(),
            ledger: bytes(&case, "hex").unwrap(),
            index: bytes(&case, "index_hex"),
            key,
            whole: case["verdict"] == "accept"
                && fits
                && ["current", "stale"]
                    .map(Value::from)
                    .iter()
                    .chain([&Value::Null])
                    .any(|state| state == index),
        });
    }
    assert!(all.iter().filter(|case| case.whole).count() >= 40);
    all
}

fn ledgers(attack: &mut Attack) {
    let mut fates = [0; 5];
    for Case { id, ledger, index, key, whole } in all() {
        if !whole {
            // What the harm meets is wrong already. It ends well, or with a place in it.
            attack.on(&ledger, |harm, harmed| match open(harmed, index.as_deref(), key.as_ref()) {
                Ok(reader) => {
                    let torn = reader.tail().map_or(0, |tail| tail.len);
                    assert_eq!(reader.ledger_len() + torn, harmed.len() as u64, "{id}: {harm:?}");
                }
                Err(LedgerError::Damaged { error, .. }) => {
                    assert!(error.offset() <= harmed.len() as u64, "{id}: {harm:?}: {error}");
                }
                Err(LedgerError::Index(_)) => assert!(index.is_some(), "{id}: {harm:?}"),
                Err(error) => panic!("{id}: {harm:?}: {error}"),
            });
            continue;
        }
        let places = places(&ledger);
        // ledger_len of LEDGER_INDEX_V1, which stands behind CONFIG_V1 and FLAGS_V1.
        let committed = index.as_ref().map(|index| {
            let at = index.windows(3).position(|three| three == [0x11, 0, 88]).unwrap() + 3 + 16;
            u64::from_be_bytes(index[at..at + 8].try_into().unwrap()) as usize
        });
        attack.on(&ledger, |harm, harmed| {
            let expected = expected(harm, &ledger, harmed, &places, committed);
            if expected == Fate::Lucky {
                fates[4] += 1;
                return;
            }
            let found = found(open(harmed, index.as_deref(), key.as_ref()), harmed.len());
            assert_eq!(found, expected, "{id}: {harm:?}");
            fates[match found {
                Fate::Torn(_) => 0,
                Fate::Damaged(..) => 1,
                Fate::Short => 2,
                _ => 3,
            }] += 1;
        });
    }
    let [torn, damaged, short, foreign, lucky] = fates;
    println!("{torn} torn, {damaged} damaged, {short} short, {foreign} foreign, {lucky} lucky");
    assert!(torn > 100 && damaged > 100 && short > 10 && foreign > 10 && lucky < 5);
}

/// No harm to an index passes, whatever the ledger.
fn indexes(attack: &mut Attack) {
    for Case { id, ledger, index, key, whole } in all() {
        let Some(index) = index.filter(|_| whole) else { continue };
        attack.on(&index, |harm, harmed| {
            let error: Error = match open(&ledger, Some(harmed), key.as_ref()) {
                Err(LedgerError::Index(error)) => error,
                Err(error) => panic!("{id}: {harm:?}: {error}"),
                Ok(_) => panic!("{id}: {harm:?} passes"),
            };
            match envelope::end(harmed) {
                Err(fault) => assert_eq!(Fault::of(&error), fault, "{id}: {harm:?}"),
                Ok(end) => assert!(end < harmed.len()),
            }
        });
    }
}

attacks! {
    every_ledger_harmed / every_ledger_harmed_in_every_way, 1 of 40, ledgers;
    every_index_of_a_ledger_harmed / every_index_of_a_ledger_harmed_in_every_way, 1 of 40, indexes;
}

//! Frames of every kind: a CRC or a digest covers everything but the magic, so no harm to an accepted one passes.

use bitwire::beacon::Beacon;
use bitwire::engram::{index, whitening::Whitening};
use bitwire::frame::Frame;
use bitwire::gist::GistView;
use bitwire::ledger::{Chunk, Index};
use bitwire::mirror::{Blocks, MirrorView};
use bitwire::{ErrorKind, Result, fuzzing};

use crate::envelope::{self, Fault};
use crate::{Attack, Harm, attacks, documents};

/// A reader, and where the vectors have what it reads: files, views, members.
type Sources = &'static [(&'static str, &'static [&'static str], &'static str)];

const FRAMES: Sources = &[("frame.json", &["frame", "verify"], "hex")];
const BEACONS: Sources = &[("beacon.json", &["beacon"], "hex")];
const CHUNKS: Sources = &[("chunk.json", &["chunk"], "hex")];
const INDEXES: Sources =
    &[("index.json", &["index"], "hex"), ("ledger.json", &["ledger+index"], "index_hex")];
const BLOCKS: Sources = &[("mirror.json", &["blocks"], "hex"), ("mirror.json", &["apply"], "master_hex")];
const MIRRORS: Sources = &[("mirror.json", &["mirror", "apply"], "hex")];
const ENGRAMS: Sources = &[("engram_index.json", &["engram-index"], "hex")];
const WHITENINGS: Sources = &[("whitening.json", &["whitening", "whiten"], "hex")];
const GISTS: Sources = &[("gist.json", &["gist", "model", "source"], "hex")];

/// Kinds of steps 1 to 6 that no later step gives as well.
const EARLY: [&str; 6] = ["Magic", "TlvOrder", "ConfigNotFirst", "CriticalTlv", "ReservedTlv", "Crc"];

/// What `read` says of harmed documents is what the envelope says. Nothing that comes of an accepted one is accepted;
/// what is left of one is truncated, and says how much it needs without asking for more than there was.
fn held(attack: &mut Attack, sources: Sources, read: impl Fn(&[u8]) -> Result<()>) {
    // Frames that the flip of a bit heals, and flips after which a shorter frame has a good CRC by chance.
    let (mut healed, mut lucky, mut accepted) = (0, 0, 0);
    let documents = documents(sources);
    for document in &documents {
        let verdict = read(document);
        accepted += usize::from(verdict.is_ok());
        attack.on(document, |harm, harmed| {
            let found = read(harmed);
            if let Err(error) = &found {
                assert!(error.offset() <= harmed.len() as u64, "{harm:?}: {error}");
            }
            match (envelope::end(harmed), &found) {
                (Err(fault), Err(error)) => assert_eq!(Fault::of(error), fault, "{harm:?}"),
                (Err(fault), Ok(())) => panic!("{harm:?}: accepted, though {fault:?}"),
                (Ok(end), Err(error)) => {
                    assert!(!EARLY.contains(&error.kind().name()), "{harm:?}: {error}");
                    assert!(verdict.is_err() || end < harmed.len(), "{harm:?}: {error}");
                    lucky += usize::from(verdict.is_ok());
                }
                (Ok(end), Ok(())) => {
                    assert_eq!(end, harmed.len());
                    let error = verdict.expect_err("a harmed frame is accepted");
                    let kinds = ["Crc", "Magic", "Truncated", "TrailingBytes"];
                    assert!(kinds.contains(&error.kind().name()), "{harm:?} heals {error}");
                    healed += 1;
                }
            }
            if let (Ok(()), Harm::Cut(len), Err(error)) = (verdict, harm, found) {
                let ErrorKind::Truncated { needed, available, .. } = error.kind() else { panic!("{error}") };
                assert!(available < needed && needed - available <= (document.len() - len) as u64, "{error}");
                assert_eq!(error.offset() + available, len as u64, "{error}");
            }
        });
    }
    assert!(accepted > 10 && documents.len() - accepted > 10, "{accepted} of {}", documents.len());
    println!("{} documents, {accepted} good; {healed} healed, {lucky} lucky", documents.len());
    // A bad CRC of a vector is that of one bit at times. By chance 1 in 65,536 of what is cut short by its lengths.
    assert!(healed <= documents.len() && lucky <= 5);
}

fn frames(attack: &mut Attack) {
    held(attack, FRAMES, |bytes| Frame::parse_exact(bytes).map(drop));
}

fn beacons(attack: &mut Attack) {
    held(attack, BEACONS, |bytes| {
        Frame::parse_exact(bytes).and_then(|frame| Beacon::from_frame(&frame)).map(drop)
    });
}

fn chunks(attack: &mut Attack) {
    held(attack, CHUNKS, |bytes| Chunk::parse_exact(bytes).map(drop));
}

fn indexes(attack: &mut Attack) {
    held(attack, INDEXES, |bytes| Index::parse_exact(bytes).map(drop));
}

fn blocks(attack: &mut Attack) {
    held(attack, BLOCKS, |bytes| {
        Frame::parse_exact(bytes).and_then(|frame| Blocks::from_frame(&frame)).map(drop)
    });
}

fn mirrors(attack: &mut Attack) {
    held(attack, MIRRORS, |bytes| MirrorView::parse_exact(bytes).map(drop));
}

fn engram_indexes(attack: &mut Attack) {
    held(attack, ENGRAMS, |bytes| index::Index::parse_exact(bytes).map(drop));
}

fn whitenings(attack: &mut Attack) {
    held(attack, WHITENINGS, |bytes| {
        Frame::parse_exact(bytes).and_then(|frame| Whitening::from_frame(&frame)).map(drop)
    });
}

fn gists(attack: &mut Attack) {
    held(attack, GISTS, |bytes| GistView::parse_exact(bytes).map(drop));
}

/// The same documents harmed by somebody who then makes CRC, digest and ctx good: the fuzz targets' bodies do that, and hold
/// the view to a second reader made from the documents. One harm of 8; tests/fuzz.rs runs the bodies each time.
#[test]
#[ignore = "takes minutes, built for release"]
fn every_view_harmed_and_mended() {
    let mut attack = Attack::new(8);
    let bodies: &[(&str, Sources, fuzzing::Body)] = &[
        ("beacon", BEACONS, fuzzing::beacon),
        ("chunk", CHUNKS, fuzzing::chunk),
        ("index", INDEXES, fuzzing::index),
        ("mirror", BLOCKS, fuzzing::mirror),
        ("mirror", MIRRORS, fuzzing::mirror),
        ("engram_index", ENGRAMS, fuzzing::engram_index),
        ("whitening", WHITENINGS, fuzzing::whitening),
        ("gist", GISTS, fuzzing::gist),
    ];
    for (name, sources, body) in bodies {
        for document in documents(sources) {
            attack.on(&document, |_, harmed| {
                if let Err(panic) = std::panic::catch_unwind(|| body(harmed)) {
                    // The input is what has to be known of a failure.
                    let hex: String = harmed.iter().map(|byte| format!("{byte:02x}")).collect();
                    eprintln!("{name} fails on {} bytes: {hex}", harmed.len());
                    std::panic::resume_unwind(panic);
                }
            });
        }
    }
    attack.done("every_view_harmed_and_mended");
}

attacks! {
    every_frame_harmed / every_frame_harmed_in_every_way, 1 of 10, frames;
    every_beacon_harmed / every_beacon_harmed_in_every_way, 1 of 10, beacons;
    every_chunk_harmed / every_chunk_harmed_in_every_way, 1 of 20, chunks;
    every_index_harmed / every_index_harmed_in_every_way, 1 of 20, indexes;
    every_master_harmed / every_master_harmed_in_every_way, 1 of 10, blocks;
    every_mirror_harmed / every_mirror_harmed_in_every_way, 1 of 10, mirrors;
    every_engram_index_harmed / every_engram_index_harmed_in_every_way, 1 of 10, engram_indexes;
    every_whitening_harmed / every_whitening_harmed_in_every_way, 1 of 10, whitenings;
    every_gist_harmed / every_gist_harmed_in_every_way, 1 of 20, gists;
}

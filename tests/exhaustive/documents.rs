//! Documents without a checksum: whatever is left of one is read as another reader reads it.

use bitwire::engram::certificate::Certificate;
use bitwire::engram::state::State;
use bitwire::frame::Context;
use bitwire::fuzzing;
use bitwire::ledger::{Claim, Digest, Proof, pack};
use sha2::{Digest as _, Sha256};

use crate::{Attack, Harm, attacks, bytes, cases, documents};

/// The fuzz targets' bodies hold these three to second readers: verdict, error kind, offset, and all that the views give.
fn certificates(attack: &mut Attack) {
    let views = ["certificate", "certificate-99", "certificate-107"];
    let mut accepted = 0;
    for document in documents(&[("certificate.json", &views, "hex")]) {
        attack.on(&document, |harm, harmed| {
            fuzzing::certificate(harmed);
            let found = Certificate::parse(harmed).is_ok();
            accepted += usize::from(found);
            // The length tells the layout, so that what is left of a whole one is whole if the extension alone, or with it
            // the fields of the longer header, are gone.
            if let (Harm::Cut(_), Ok(whole), Ok(left)) =
                (harm, Certificate::parse(&document), Certificate::parse(harmed))
            {
                let rank = |found: &Certificate<'_>| {
                    found.layout().header_len() + usize::from(found.has_extension())
                };
                assert!(rank(&left) < rank(&whole), "{harm:?}");
            }
        });
    }
    assert!(accepted > 100);
}

fn states(attack: &mut Attack) {
    let (mut accepted, mut refused) = (0, 0);
    for document in documents(&[("state.json", &["state"], "hex")]) {
        attack.on(&document, |_, harmed| {
            fuzzing::state(harmed);
            match State::parse(harmed) {
                Ok(_) => accepted += 1,
                Err(_) => refused += 1,
            }
        });
    }
    assert!(accepted > 100 && refused > 1000, "{accepted} {refused}");
}

fn contexts(attack: &mut Attack) {
    let mut accepted = 0;
    let sources = [("context.json", &["context"][..], "hex"), ("gist.json", &["model"], "context_hex")];
    for document in documents(&sources) {
        attack.on(&document, |harm, harmed| {
            fuzzing::context(harmed);
            let found = Context::parse(harmed).is_ok();
            accepted += usize::from(found);
            if let (Harm::Cut(_), true) = (harm, found) {
                assert!(Context::parse(&document).is_err());
            }
        });
    }
    // A letter of a name is another letter.
    assert!(accepted > 100);
}

fn sha(parts: &[&[u8]]) -> Digest {
    Sha256::digest(parts.concat()).into()
}

fn node(left: &Digest, right: &Digest) -> Digest {
    sha(&[&[1], left, right])
}

/// k of RFC 6962: the largest power of two below n.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// MTH(D[n]) from D[m]'s leaf and PATH(m, D[n]), of which it takes what it needs from the end.
fn included(m: u64, n: u64, leaf: &Digest, path: &mut &[Digest]) -> Option<Digest> {
    if n == 1 {
        return Some(*leaf);
    }
    let (last, rest) = path.split_last()?;
    *path = rest;
    let k = split(n);
    if m < k {
        Some(node(&included(m, k, leaf, path)?, last))
    } else {
        Some(node(last, &included(m - k, n - k, leaf, path)?))
    }
}

/// MTH(D[0:m]) and MTH(D[n]) from the former and SUBPROOF(m, D[n], whole).
fn grown(m: u64, n: u64, whole: bool, old: &Digest, path: &mut &[Digest]) -> Option<(Digest, Digest)> {
    if m == n && whole {
        return Some((*old, *old));
    }
    let (last, rest) = path.split_last()?;
    *path = rest;
    if m == n {
        return Some((*last, *last));
    }
    let k = split(n);
    if m <= k {
        let (first, all) = grown(m, k, whole, old, path)?;
        Some((first, node(&all, last)))
    } else {
        let (first, all) = grown(m - k, n - k, false, old, path)?;
        Some((node(last, &first), node(last, &all)))
    }
}

/// Whether a proof file proves what it is given for (spec/ledger.md, "Proof files"), by the recursions of RFC 6962.
fn proves(file: &[u8], own: &Digest, root: &Digest, inclusion: bool) -> bool {
    let Some(([b'B', b'I', b'P', 1, kind, count, 0, 0, numbers @ ..], path)) = file.split_first_chunk::<24>()
    else {
        return false;
    };
    let (path, []) = path.as_chunks::<32>() else { return false };
    let (a, b) = numbers.split_at(8);
    let [a, b] = [a, b].map(|number| u64::from_be_bytes(number.try_into().unwrap()));
    if usize::from(*count) != path.len() || *count > 64 || *kind != u8::from(!inclusion) {
        return false;
    }
    let mut rest = path;
    let found = if inclusion {
        a < b && included(a, b, &sha(&[&[0], own]), &mut rest) == Some(*root)
    } else {
        0 < a && a <= b && grown(a, b, true, own, &mut rest) == Some((*own, *root))
    };
    found && rest.is_empty()
}

fn proofs(attack: &mut Attack) {
    let (mut proven, mut good) = (0, 0);
    for case in cases("proof.json") {
        let file = bytes(&case, "hex").unwrap();
        let digest = |name| bytes(&case, name).map(|bytes| Digest::try_from(bytes).unwrap());
        let root = digest("root").unwrap();
        let inclusion = digest("digest");
        let own = inclusion.or_else(|| digest("old_root")).unwrap();
        let read = |file: &[u8]| {
            let proof = Proof::parse(file)?;
            match (proof.claim(), inclusion) {
                (Claim::Inclusion { .. }, Some(digest)) => proof.verify_inclusion(&digest, &root),
                (Claim::Consistency { .. }, None) => proof.verify_consistency(&own, &root),
                // A file of the other kind: what it is asked for, it does not say.
                (Claim::Inclusion { .. }, None) => proof.verify_consistency(&own, &root),
                (Claim::Consistency { .. }, Some(digest)) => proof.verify_inclusion(&digest, &root),
            }
        };
        let verdict = proves(&file, &own, &root, inclusion.is_some());
        assert_eq!(read(&file).is_ok(), verdict, "{}", case["id"]);
        good += usize::from(verdict);
        attack.on(&file, |harm, harmed| {
            let found = read(harmed);
            if let Err(error) = &found {
                assert!(error.offset() <= harmed.len() as u64, "{}: {harm:?}: {error}", case["id"]);
            }
            let expected = proves(harmed, &own, &root, inclusion.is_some());
            assert_eq!(found.is_ok(), expected, "{}: {harm:?}: {found:?}", case["id"]);
            proven += usize::from(expected);
            // A root proves no tree size: only a and b may change, and to those of a tree of the same shape there.
            if expected && verdict {
                assert!(
                    matches!(harm, Harm::Flip(bit) if (64..192).contains(&bit)),
                    "{}: {harm:?}",
                    case["id"]
                );
            }
        });
    }
    assert!(good > 100 && proven > 0, "{good} {proven}");
    println!("{proven} of them prove the same of a tree of another size");
}

/// Tokens packed: every bit is one of a token or spare.
fn packed(attack: &mut Attack) {
    for case in cases("pack.json").iter().filter(|case| case["view"] == "pack") {
        let document = bytes(case, "hex").unwrap();
        let bits = case["bits"].as_u64().unwrap() as usize;
        let count = case["tokens"].as_array().unwrap().len();
        attack.on(&document, |harm, harmed| {
            let mut tokens = vec![7; count];
            let found = pack::unpack_into(harmed, bits as u8, 0, &mut tokens);
            assert_eq!(found.is_ok(), matches!(harm, Harm::Flip(_)), "{}: {found:?}", case["id"]);
            if found.is_err() {
                assert!(tokens.iter().all(|token| *token == 7));
                return;
            }
            let bit = |k: usize| u32::from(harmed[k / 8] >> (k % 8) & 1);
            for (i, token) in tokens.iter().enumerate() {
                let expected = (0..bits).map(|k| bit(i * bits + k) << k).sum::<u32>();
                assert_eq!(*token, expected, "{}: token {i}", case["id"]);
                assert_eq!(pack::token_at(harmed, bits as u8, i as u64), Some(expected));
            }
            let spare = (count * bits..8 * harmed.len()).all(|k| bit(k) == 0);
            assert_eq!(pack::spare_bits_are_zero(harmed, count as u64, bits as u8), spare, "{}", case["id"]);
        });
    }
}

attacks! {
    every_certificate_harmed / every_certificate_harmed_in_every_way, 1 of 100, certificates;
    every_state_harmed / every_state_harmed_in_every_way, 1 of 400, states;
    every_context_harmed / every_context_harmed_in_every_way, 1 of 30, contexts;
    every_proof_harmed / every_proof_harmed_in_every_way, 1 of 40, proofs;
    every_packing_harmed / every_packing_harmed_in_every_way, 1 of 20, packed;
}

//! Proofs and the tree, against the recursions of RFC 6962.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::{Choices, plausible, second_ledger, turn};
use crate::error::ErrorKind;
use crate::ledger::{Claim, Digest, Proof, Tree, root};

fn sha(parts: &[&[u8]]) -> Digest {
    Sha256::digest(parts.concat()).into()
}

fn node(left: &Digest, right: &Digest) -> Digest {
    sha(&[&[1], left, right])
}

/// k of RFC 6962: the largest power of two below n.
fn split(n: u64) -> u64 {
    (0..64).map(|bit| 1 << bit).take_while(|power| *power < n).last().unwrap()
}

/// MTH(D[n]).
fn tree(digests: &[Digest]) -> Digest {
    match digests {
        [] => sha(&[]),
        [digest] => sha(&[&[0], digest]),
        _ => {
            let (left, right) = digests.split_at(usize::try_from(split(digests.len() as u64)).unwrap());
            node(&tree(left), &tree(right))
        }
    }
}

/// PATH(m, D[n]).
fn path(m: usize, digests: &[Digest]) -> Vec<Digest> {
    if digests.len() == 1 {
        return Vec::new();
    }
    let k = usize::try_from(split(digests.len() as u64)).unwrap();
    let (left, right) = digests.split_at(k);
    let (mut inner, other) =
        if m < k { (path(m, left), tree(right)) } else { (path(m - k, right), tree(left)) };
    inner.push(other);
    inner
}

/// SUBPROOF(m, D[n], b).
fn subproof(m: usize, digests: &[Digest], whole: bool) -> Vec<Digest> {
    if m == digests.len() {
        return if whole { Vec::new() } else { alloc::vec![tree(digests)] };
    }
    let k = usize::try_from(split(digests.len() as u64)).unwrap();
    let (left, right) = digests.split_at(k);
    let (mut inner, other) = if m <= k {
        (subproof(m, left, whole), tree(right))
    } else {
        (subproof(m - k, right, false), tree(left))
    };
    inner.push(other);
    inner
}

/// The root that a PATH for leaf m of n leads to: the recursion backwards.
fn climbed(m: u64, n: u64, leaf: Digest, path: &[Digest]) -> Digest {
    let Some((last, rest)) = path.split_last() else { return leaf };
    let k = split(n);
    if m < k {
        node(&climbed(m, k, leaf, rest), last)
    } else {
        node(last, &climbed(m - k, n - k, leaf, rest))
    }
}

/// The roots, old and new, that a PROOF leads to; `old` is the old root that the checker has.
fn both(m: u64, n: u64, old: &Digest, whole: bool, proof: &[Digest]) -> (Digest, Digest) {
    if m == n {
        let hash = if whole { *old } else { proof[0] };
        return (hash, hash);
    }
    let (last, rest) = proof.split_last().unwrap();
    let k = split(n);
    if m <= k {
        let (before, after) = both(m, k, old, whole, rest);
        (before, node(&after, last))
    } else {
        let (before, after) = both(m - k, n - k, old, false, rest);
        (node(last, &before), node(last, &after))
    }
}

/// [`Proof`]: any file gets the verdict of a second reader; an accepted one is written again to the byte, and holds for
/// the roots that the recursion gives and for no others. A proof of a small tree is the RFC's.
pub fn proof(data: &[u8]) {
    verdict(data);
    small(data);
}

fn verdict(data: &[u8]) {
    let parsed = Proof::parse(data);
    let expected = second_ledger::proof(data);
    let found = parsed.map(|_| data.len()).map_err(|error| (error.kind().name(), error.offset()));
    assert_eq!(found, expected);
    match parsed {
        Ok(proof) => {
            assert_eq!(proof.encode(), data);
            let mut out = alloc::vec![0; proof.encoded_len()];
            assert_eq!(proof.encode_into(&mut out), Ok(data.len()));
            assert!(proof.encode_into(&mut out[1..]).is_err());
            holds(&proof);
        }
        Err(error) => plausible(&error, data.len()),
    }
}

/// Verifies under the roots it leads to, and under no others.
fn holds(proof: &Proof<'_>) {
    let wrong = |digest: &Digest| {
        let mut other = *digest;
        other[31] ^= 1;
        other
    };
    let refused = |result: crate::Result<()>| {
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ProofRoot { .. }), "{error}");
    };
    let digest = [0x5A; 32];
    match proof.claim() {
        Claim::Inclusion { chunk_id, tree_size } => {
            let root = climbed(chunk_id, tree_size, sha(&[&[0], &digest]), proof.path());
            proof.verify_inclusion(&digest, &root).unwrap();
            refused(proof.verify_inclusion(&wrong(&digest), &root));
            refused(proof.verify_inclusion(&digest, &wrong(&root)));
            assert!(proof.verify_consistency(&digest, &root).is_err());
        }
        Claim::Consistency { old_size, new_size } => {
            let (old, new) = both(old_size, new_size, &digest, true, proof.path());
            proof.verify_consistency(&old, &new).unwrap();
            refused(proof.verify_consistency(&wrong(&old), &new));
            refused(proof.verify_consistency(&old, &wrong(&new)));
            if old_size != new_size {
                refused(proof.verify_consistency(&new, &old));
            }
            assert!(proof.verify_inclusion(&digest, &new).is_err());
        }
    }
}

fn small(data: &[u8]) {
    let mut choices = Choices(data);
    let count = choices.below(if turn(data, 8) { 40 } else { 10 });
    let digests: Vec<Digest> = (0..count).map(|_| choices.array()).collect();
    let mut built = Tree::new();
    digests.iter().for_each(|digest| built.push(digest));
    let expected = tree(&digests);
    assert_eq!((built.root(), root(&digests), built.len()), (expected, expected, count as u64));
    let mut space = [[0; 32]; Proof::MAX_PATH];
    let at = choices.below(count + 2);
    match Proof::inclusion(&digests, at as u64, &mut space) {
        Ok(proof) => {
            assert_eq!(proof.path(), path(at, &digests));
            proof.verify_inclusion(&digests[at], &expected).unwrap();
            tampered(&proof.encode(), &mut choices);
        }
        Err(error) => assert!(at >= count, "{error}"),
    }
    match Proof::consistency(&digests, at as u64, &mut space) {
        Ok(proof) => {
            assert_eq!(proof.path(), subproof(at, &digests, true));
            proof.verify_consistency(&tree(&digests[..at]), &expected).unwrap();
            tampered(&proof.encode(), &mut choices);
        }
        Err(error) => assert!(at == 0 || at > count, "{error}"),
    }
}

/// With some bytes changed it is refused, or leads to where the recursion leads.
fn tampered(file: &[u8], choices: &mut Choices<'_>) {
    let mut file = file.to_vec();
    for _ in 0..2 {
        let at = choices.below(file.len());
        file[at] ^= choices.byte();
        verdict(&file);
    }
}

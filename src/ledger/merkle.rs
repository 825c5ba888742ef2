//! The Merkle tree over a ledger's chunks, and proof files (spec/ledger.md, "Merkle tree" and "Proof file").
//!
//! ```text
//! off   0      4   5   6      8       16      24
//!      +------+---+---+------+-------+-------+--------------------+
//!      |magic |typ|cnt| rsvd | a u64 | b u64 | cnt hashes of 32   |
//!      +------+---+---+------+-------+-------+--------------------+
//! ```
#![deny(clippy::arithmetic_side_effects)]

use core::ops::Range;

use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{U16, U64};

use crate::error::{Error, ErrorKind, Result};
use crate::frame::sha256;
use crate::wire::{Reader, layout};

/// A SHA-256 hash: a chunk's digest (DIGEST_V1), a node of the tree, or its root.
pub type Digest = [u8; 32];

/// MTH({d}) of RFC 6962 section 2.1.
fn leaf(data: &[u8]) -> Digest {
    sha256(&[&[0], data])
}

/// The inner node over two subtrees.
fn node(left: &Digest, right: &Digest) -> Digest {
    sha256(&[&[1], left, right])
}

/// The largest power of two below `n`, where RFC 6962 parts a tree of `n` leaves. `None` for a leaf.
fn split(n: u64) -> Option<u64> {
    1u64.checked_shl(n.saturating_sub(1).checked_ilog2()?)
}

/// The Merkle tree of RFC 6962 (section 2.1, SHA-256) over the digests of a ledger's chunks, in chunk order, as they come.
///
/// It keeps the roots of the complete subtrees alone, at most 64: 2 KiB, whatever the number of chunks. One that is kept can be extended
/// when the ledger is, which gives the same root as building it anew.
///
/// ```
/// use bitwire::ledger::{Tree, root};
///
/// let digests = [[0x11; 32], [0x22; 32], [0x33; 32]];
/// let mut tree = Tree::new();
/// digests.iter().for_each(|digest| tree.push(digest));
/// assert_eq!(tree.root(), root(&digests));
/// ```
#[derive(Clone, Debug)]
pub struct Tree {
    /// The root of the complete subtree of 2^i leaves, at i, if bit i of `len` is set; else a leftover.
    subtrees: [Digest; 64],
    len: u64,
}

impl Tree {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { subtrees: [[0; 32]; 64], len: 0 }
    }

    /// Appends a chunk's digest. Cost: 2 hashes on average, 65 at most.
    ///
    /// A tree has at most 2^64 - 1 leaves: one that is full stays as it is.
    pub fn push(&mut self, digest: &Digest) {
        self.push_leaf(leaf(digest));
    }

    /// Appends a leaf, given by its hash.
    fn push_leaf(&mut self, leaf: Digest) {
        let Some(len) = self.len.checked_add(1) else { return };
        // As in binary addition, each complete subtree at the end merges with the new one of its size.
        let (mut hash, mut bits) = (leaf, self.len);
        for subtree in &mut self.subtrees {
            if bits & 1 == 0 {
                *subtree = hash;
                break;
            }
            hash = node(subtree, &hash);
            bits >>= 1;
        }
        self.len = len;
    }

    /// The number of leaves.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no leaves.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The root. Without leaves it is SHA-256 of nothing. Cost: up to 63 hashes, one for each complete subtree but the first.
    ///
    /// A root proves no size: a node of the tree is the root of a smaller one. Keep it together with [`len`](Self::len).
    #[must_use]
    pub fn root(&self) -> Digest {
        let (mut root, mut bits) = (None, self.len);
        for subtree in &self.subtrees {
            if bits & 1 == 1 {
                root = Some(root.map_or(*subtree, |right| node(subtree, &right)));
            }
            bits >>= 1;
        }
        root.unwrap_or_else(|| sha256(&[]))
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// The root of the tree over `digests`: [`Tree`] for all at once.
#[must_use]
pub fn root(digests: &[Digest]) -> Digest {
    let mut tree = Tree::new();
    digests.iter().for_each(|digest| tree.push(digest));
    tree.root()
}

layout! {
    /// What precedes the hashes in a proof file.
    pub(crate) struct ProofRaw {
        magic: [u8; 4],
        proof_type: u8,
        count: u8,
        reserved: U16,
        a: U64,
        b: U64,
    }
}

/// The first four bytes of a proof file.
const MAGIC: [u8; 4] = *b"BIP\x01";
const HEADER: usize = size_of::<ProofRaw>();

/// Offsets of the fields of [`ProofRaw`] in which an error can stand.
mod field {
    pub(super) const PROOF_TYPE: u64 = 4;
    pub(super) const COUNT: u64 = 5;
    pub(super) const RESERVED: u64 = 6;
    pub(super) const A: u64 = 8;
    pub(super) const B: u64 = 16;
}

/// What a [`Proof`] shows. Sizes are numbers of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A chunk is in a tree (type 0).
    Inclusion {
        /// The chunk's id, its place in the tree from 0; below `tree_size`.
        chunk_id: u64,
        /// The size of the tree.
        tree_size: u64,
    },
    /// A tree is the beginning of another (type 1): what was there is still there, unchanged and in the same order.
    Consistency {
        /// The size of the older tree; 1 or more.
        old_size: u64,
        /// The size of the newer tree; `old_size` or more.
        new_size: u64,
    },
}

impl Claim {
    /// The type, a and b of the file.
    const fn to_raw(self) -> (u8, u64, u64) {
        match self {
            Self::Inclusion { chunk_id, tree_size } => (0, chunk_id, tree_size),
            Self::Consistency { old_size, new_size } => (1, old_size, new_size),
        }
    }

    /// Refuses a chunk outside the tree, an empty old tree and a tree that shrinks, with the offset in the file.
    fn check(self) -> Result<(), (ErrorKind, u64)> {
        match self {
            Self::Inclusion { chunk_id, tree_size } if chunk_id >= tree_size => {
                Err((ErrorKind::ProofChunk { chunk_id, tree_size }, field::B))
            }
            Self::Consistency { old_size: 0, new_size } => {
                Err((ErrorKind::ProofSizes { old_size: 0, new_size }, field::A))
            }
            Self::Consistency { old_size, new_size } if old_size > new_size => {
                Err((ErrorKind::ProofSizes { old_size, new_size }, field::B))
            }
            _ => Ok(()),
        }
    }

    /// Which subtrees the path's hashes are the roots of, from the last to the first. For claims that pass `check`.
    const fn subtrees(self) -> Subtrees {
        match self {
            // No overflow: chunk_id is below tree_size.
            Self::Inclusion { chunk_id, tree_size } => {
                Subtrees { lo: 0, hi: tree_size, end: chunk_id.saturating_add(1), to_leaf: true }
            }
            Self::Consistency { old_size, new_size } => {
                Subtrees { lo: 0, hi: new_size, end: old_size, to_leaf: false }
            }
        }
    }
}

/// PATH(m, D[n]) and PROOF(m, D[n]) of RFC 9162 (2.1.3.1, 2.1.4.1) as ranges of leaves, walked from the root down and so
/// back to front: both go to where leaf `end - 1` is the last of a subtree, and take the other half at each turn.
#[derive(Clone, Debug)]
struct Subtrees {
    /// The subtree that is reached: lo < end <= hi.
    lo: u64,
    hi: u64,
    end: u64,
    /// Down to the leaf (inclusion), or to the first subtree that ends at `end` (consistency).
    to_leaf: bool,
}

impl Iterator for Subtrees {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { lo, hi, end, to_leaf } = *self;
        if !to_leaf && end == hi {
            // That subtree is part of the proof unless it is the old tree itself, whose root the checker has.
            // Setting lo to 0 ends the walk.
            self.lo = 0;
            return (lo != 0).then_some(lo..hi);
        }
        let mid = lo.saturating_add(split(hi.saturating_sub(lo))?);
        if end <= mid {
            self.hi = mid;
            Some(mid..hi)
        } else {
            self.lo = mid;
            Some(lo..mid)
        }
    }
}

/// A proof that a chunk is in a ledger, or that a ledger is the beginning of another: what it claims, and a path of
/// hashes through the tree (RFC 9162 section 2.1). A proof file holds one.
///
/// It is checked against a root that the caller got from elsewhere; the file has none. And a root proves no size of its tree, so the sizes of
/// the [`claim`](Self::claim) are the caller's to compare: keep the root and the number of chunks together.
///
/// ```
/// use bitwire::ledger::{Claim, Proof, root};
///
/// let digests = [[0x11; 32], [0x22; 32], [0x33; 32]];
/// let mut path = [[0; 32]; Proof::MAX_PATH];
/// let mut file = [0; 256];
/// let len = Proof::inclusion(&digests, 1, &mut path)?.encode_into(&mut file)?;
///
/// let proof = Proof::parse(&file[..len])?;
/// assert_eq!(proof.claim(), Claim::Inclusion { chunk_id: 1, tree_size: 3 });
/// proof.verify_inclusion(&digests[1], &root(&digests))?;
/// # Ok::<(), bitwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    claim: Claim,
    path: &'a [Digest],
}

impl<'a> Proof<'a> {
    /// The most hashes a proof file has. Enough for every chunk of every tree, and for consistency up to 2^63 chunks.
    pub const MAX_PATH: usize = 64;

    /// Reads a proof file, all of it. Whether it proves anything, [`verify_inclusion`](Self::verify_inclusion) and
    /// [`verify_consistency`](Self::verify_consistency) tell. Cost: a few instructions per hash of the path.
    ///
    /// # Errors
    /// The first breach in the order of spec/ledger.md, "Proof file": [`ErrorKind::Truncated`], [`ErrorKind::ProofMagic`],
    /// [`ErrorKind::Code`] for the type, [`ErrorKind::TooLarge`] for a count over 64, [`ErrorKind::Reserved`],
    /// [`ErrorKind::ProofChunk`] or [`ErrorKind::ProofSizes`], [`ErrorKind::Shape`] for a count other than the claim
    /// has, [`ErrorKind::TrailingBytes`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, 0);
        let magic = *reader.clone().take_array::<4>("the proof's magic")?;
        if magic != MAGIC {
            return Err(Error::new(ErrorKind::ProofMagic { found: magic }, 0));
        }
        let header = reader.take_array::<HEADER>("the proof's header")?;
        let header: ProofRaw = zerocopy::transmute!(*header);
        let (a, b) = (header.a.get(), header.b.get());
        let claim = match header.proof_type {
            0 => Claim::Inclusion { chunk_id: a, tree_size: b },
            1 => Claim::Consistency { old_size: a, new_size: b },
            found => {
                return Err(Error::new(ErrorKind::Code { field: "proof.type", found }, field::PROOF_TYPE));
            }
        };
        let (max, found) = (Self::MAX_PATH as u64, u64::from(header.count));
        if found > max {
            let kind = ErrorKind::TooLarge { field: "proof.count", max, found };
            return Err(Error::new(kind, field::COUNT));
        }
        if header.reserved.get() != 0 {
            return Err(Error::new(ErrorKind::Reserved { field: "proof.reserved" }, field::RESERVED));
        }
        claim.check().map_err(|(kind, at)| Error::new(kind, at))?;
        let needed = claim.subtrees().count() as u64;
        if found != needed {
            return Err(Error::new(ErrorKind::Shape { field: "proof.count", needed, found }, field::COUNT));
        }
        let path = reader.take("the proof's hashes", found.saturating_mul(32))?;
        if !reader.rest().is_empty() {
            let count = reader.rest().len() as u64;
            return Err(Error::new(ErrorKind::TrailingBytes { count }, reader.offset()));
        }
        Ok(Self { claim, path: path.as_chunks().0 })
    }

    /// Proves that chunk `chunk_id` is in the ledger whose chunks have `digests`, in order. The proof stands in
    /// `path`; [`MAX_PATH`](Self::MAX_PATH) hashes are always enough. Cost: 2 hashes for each digest.
    ///
    /// # Errors
    /// [`ErrorKind::ProofChunk`] if there is no such chunk; [`ErrorKind::BufferTooSmall`], counted in hashes.
    pub fn inclusion(digests: &[Digest], chunk_id: u64, path: &'a mut [Digest]) -> Result<Self> {
        let claim = Claim::Inclusion { chunk_id, tree_size: digests.len() as u64 };
        Self::build(claim, path, |range| root(slice(digests, range)))
    }

    /// Proves that the first `old_size` chunks of the ledger whose chunks have `digests`, in order, were the ledger before. The proof
    /// stands in `path`; [`MAX_PATH`](Self::MAX_PATH) hashes are always enough. Cost: up to 2 hashes for each digest.
    ///
    /// # Errors
    /// [`ErrorKind::ProofSizes`] if `old_size` is 0 or more than there are; [`ErrorKind::BufferTooSmall`], counted in hashes.
    pub fn consistency(digests: &[Digest], old_size: u64, path: &'a mut [Digest]) -> Result<Self> {
        let claim = Claim::Consistency { old_size, new_size: digests.len() as u64 };
        Self::build(claim, path, |range| root(slice(digests, range)))
    }

    /// Fills the path with the roots of the claim's subtrees.
    fn build(claim: Claim, path: &'a mut [Digest], root_of: impl Fn(Range<u64>) -> Digest) -> Result<Self> {
        claim.check().map_err(|(kind, _)| Error::caller(kind))?;
        let needed = claim.subtrees().count();
        let available = path.len() as u64;
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed: needed as u64, available });
        let path = path.get_mut(..needed).ok_or(too_small)?;
        path.iter_mut().rev().zip(claim.subtrees()).for_each(|(hash, range)| *hash = root_of(range));
        Ok(Self { claim, path })
    }

    /// What the proof shows, if it holds.
    #[must_use]
    pub const fn claim(&self) -> Claim {
        self.claim
    }

    /// The hashes, in the order of RFC 9162: from the leaves to the root.
    #[must_use]
    pub const fn path(&self) -> &'a [Digest] {
        self.path
    }

    /// Checks that a chunk with this digest is where the claim says, in a tree with this root (RFC 9162, 2.1.3.2). Cost: a hash
    /// for each of the path, and one.
    ///
    /// Nothing else is proven. That the chunk has the claim's `chunk_id` is for the caller to compare, and so is `tree_size`, since a root proves
    /// no size: some proofs hold for other sizes too.
    ///
    /// # Errors
    /// [`ErrorKind::ProofRoot`] if the path leads elsewhere, [`ErrorKind::Argument`] for a proof of consistency.
    pub fn verify_inclusion(&self, digest: &Digest, root: &Digest) -> Result<()> {
        self.verify_leaf(leaf(digest), root)
    }

    fn verify_leaf(&self, leaf: Digest, root: &Digest) -> Result<()> {
        let Claim::Inclusion { chunk_id, tree_size } = self.claim else {
            let expected = "a proof of inclusion is needed, this one is of consistency";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        };
        let mut hash = leaf;
        let arrived = climb(chunk_id, tree_size.saturating_sub(1), self.path, |side, sibling| match side {
            Side::Left => hash = node(sibling, &hash),
            Side::Right => hash = node(&hash, sibling),
        });
        led_to(arrived && hash == *root, "the root")
    }

    /// Checks that the tree with `root` begins with the tree with `old_root` (RFC 9162, 2.1.4.2): the ledger has grown, and nothing
    /// that was in it has changed. Cost: up to two hashes for each of the path.
    ///
    /// The claim's sizes are for the caller to compare with those kept along with the roots.
    ///
    /// # Errors
    /// [`ErrorKind::ProofRoot`] if the path leads elsewhere, [`ErrorKind::Argument`] for a proof of inclusion.
    pub fn verify_consistency(&self, old_root: &Digest, root: &Digest) -> Result<()> {
        let Claim::Consistency { old_size, new_size } = self.claim else {
            let expected = "a proof of consistency is needed, this one is of inclusion";
            return Err(Error::caller(ErrorKind::Argument { expected }));
        };
        if old_size == new_size {
            return led_to(self.path.is_empty() && old_root == root, "the root");
        }
        // A complete old tree is a node of the new one, and where the climb starts.
        let (start, path) = match self.path.split_first() {
            _ if old_size.is_power_of_two() => (old_root, self.path),
            Some((start, path)) => (start, path),
            None => return led_to(false, "the root"),
        };
        let (last, new_last) = (old_size.saturating_sub(1), new_size.saturating_sub(1));
        let up = last.trailing_ones();
        let (mut old, mut new) = (*start, *start);
        let arrived = climb(last.wrapping_shr(up), new_last.wrapping_shr(up), path, |side, sibling| {
            match side {
                Side::Left => {
                    old = node(sibling, &old);
                    new = node(sibling, &new);
                }
                // To the right of the old tree's last leaf: not in the old tree.
                Side::Right => new = node(&new, sibling),
            }
        });
        led_to(old == *old_root, "the old root")?;
        led_to(arrived && new == *root, "the root")
    }

    /// The length of the proof file in bytes, 2,072 at most.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        // Nothing saturates: the path has at most 64 hashes.
        self.path.len().saturating_mul(32).saturating_add(HEADER)
    }

    /// Writes the proof file to the start of `out` and returns its length.
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] with the length needed.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<usize> {
        let (len, available) = (self.encoded_len(), out.len() as u64);
        let too_small = Error::caller(ErrorKind::BufferTooSmall { needed: len as u64, available });
        let (header, hashes) =
            out.get_mut(..len).and_then(|out| out.split_first_chunk_mut::<HEADER>()).ok_or(too_small)?;
        let (proof_type, a, b) = self.claim.to_raw();
        // At most 64: `parse` sees to it, and no slice has the 2^63 digests from which on a path can be longer.
        let count = self.path.len() as u8;
        let raw = ProofRaw { magic: MAGIC, proof_type, count, reserved: U16::ZERO, a: a.into(), b: b.into() };
        header.copy_from_slice(raw.as_bytes());
        hashes.copy_from_slice(self.path.as_flattened());
        Ok(len)
    }

    /// The proof file, in a vector of its own.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn encode(&self) -> alloc::vec::Vec<u8> {
        let mut out = alloc::vec![0; self.encoded_len()];
        // It cannot fail: the vector has the length needed.
        let _ = self.encode_into(&mut out);
        out
    }
}

/// The digests of a range of chunks.
fn slice(digests: &[Digest], range: Range<u64>) -> &[Digest] {
    let bounds = (usize::try_from(range.start), usize::try_from(range.end));
    let (Ok(start), Ok(end)) = bounds else { return &[] };
    digests.get(start..end).unwrap_or_default()
}

/// Where the sibling of the node at which a climb has arrived stands.
enum Side {
    Left,
    Right,
}

/// Climbs from a node to the root along `path` (RFC 9162, 2.1.3.2 step 4 and 2.1.4.2 step 6), and says whether it arrived there. `at` is
/// the node's place on its level, `last` that of the level's last node.
fn climb(mut at: u64, mut last: u64, path: &[Digest], mut join: impl FnMut(Side, &Digest)) -> bool {
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            join(Side::Left, sibling);
            // The last node of a level, where it has no sibling, is that of the next level too. `at` is not 0 here.
            let up = at.trailing_zeros();
            (at, last) = (at.wrapping_shr(up), last.wrapping_shr(up));
        } else {
            join(Side::Right, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0
}

fn led_to(arrived: bool, place: &'static str) -> Result<()> {
    if arrived { Ok(()) } else { Err(Error::caller(ErrorKind::ProofRoot { place })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::string::ToString;
    use std::vec::Vec;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        assert!(rest.is_empty());
        pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn hash(text: &str) -> Digest {
        unhex(text).try_into().unwrap()
    }

    fn hashes(text: &[&str]) -> Vec<Digest> {
        text.iter().map(|text| hash(text)).collect()
    }

    /// The definitions of RFC 6962 section 2.1, word for word and recursive, over leaf hashes. Subtrees are remembered.
    struct Naive {
        leaves: Vec<Digest>,
        known: HashMap<(usize, usize), Digest>,
    }

    impl Naive {
        fn new(leaves: &[Digest]) -> Self {
            Self { leaves: leaves.to_vec(), known: HashMap::new() }
        }

        fn sha256(bytes: &[u8]) -> Digest {
            use sha2::Digest;
            sha2::Sha256::digest(bytes).into()
        }

        fn leaf(data: &[u8]) -> Digest {
            Self::sha256(&[&[0], data].concat())
        }

        /// "the largest power of two smaller than n"
        fn k(n: usize) -> usize {
            (0..).map(|log| 1 << log).take_while(|&k| k < n).last().unwrap()
        }

        /// MTH(D[lo:hi])
        fn mth(&mut self, lo: usize, hi: usize) -> Digest {
            match hi - lo {
                0 => Self::sha256(&[]),
                1 => self.leaves[lo],
                n => {
                    if let Some(known) = self.known.get(&(lo, hi)) {
                        return *known;
                    }
                    let k = Self::k(n);
                    let (left, right) = (self.mth(lo, lo + k), self.mth(lo + k, hi));
                    let hash = Self::sha256(&[&[1], &left[..], &right[..]].concat());
                    self.known.insert((lo, hi), hash);
                    hash
                }
            }
        }

        /// PATH(m, D[lo:hi])
        fn path(&mut self, m: usize, lo: usize, hi: usize) -> Vec<Digest> {
            let n = hi - lo;
            if n == 1 {
                return Vec::new();
            }
            let k = Self::k(n);
            let (mut path, last) = if m < k {
                (self.path(m, lo, lo + k), self.mth(lo + k, hi))
            } else {
                (self.path(m - k, lo + k, hi), self.mth(lo, lo + k))
            };
            path.push(last);
            path
        }

        /// SUBPROOF(m, D[lo:hi], b)
        fn subproof(&mut self, m: usize, lo: usize, hi: usize, b: bool) -> Vec<Digest> {
            let n = hi - lo;
            if m == n {
                return if b { Vec::new() } else { std::vec![self.mth(lo, hi)] };
            }
            let k = Self::k(n);
            let (mut path, last) = if m <= k {
                (self.subproof(m, lo, lo + k, b), self.mth(lo + k, hi))
            } else {
                (self.subproof(m - k, lo + k, hi, false), self.mth(lo, lo + k))
            };
            path.push(last);
            path
        }
    }

    /// Digests that all differ.
    fn digests(count: usize) -> Vec<Digest> {
        (0..count).map(|i| Naive::sha256(&i.to_le_bytes())).collect()
    }

    fn naive(digests: &[Digest]) -> Naive {
        Naive::new(&digests.iter().map(|digest| Naive::leaf(digest)).collect::<Vec<_>>())
    }

    #[test]
    fn timing_probe() {
        let all = digests(256);
        let t = std::time::Instant::now();
        for _ in 0..100 {
            std::hint::black_box(root(&all));
        }
        std::eprintln!("root of 256: {:?}", t.elapsed() / 100);
    }
}

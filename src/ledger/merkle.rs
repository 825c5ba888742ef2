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

/// The Merkle tree of RFC 6962 (section 2.1, SHA-256) over the digests of a ledger's chunks, in chunk order,
/// as they come.
///
/// It keeps the roots of the complete subtrees alone, at most 64: 2 KiB, whatever the number of chunks. One
/// that is kept can be extended when the ledger is, which gives the same root as building it anew.
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

    /// Appends a chunk's digest. Cost: 2 hashes on average, 64 at most.
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

    /// The root. Without leaves it is SHA-256 of nothing. Cost: up to 63 hashes, one for each complete
    /// subtree but the first.
    ///
    /// A root proves no size: inner nodes are roots of smaller trees. Keep it together with
    /// [`len`](Self::len).
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
    /// A tree is the beginning of another (type 1): what was there is still there, unchanged and in the same
    /// order.
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

    /// Refuses a chunk outside the tree, an empty old tree and a tree that shrinks, with the offset in the
    /// file.
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

    /// Which subtrees the path's hashes are the roots of, from the last to the first. For claims that pass
    /// `check`.
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

/// PATH(m, D[n]) and PROOF(m, D[n]) of RFC 9162 (2.1.3.1, 2.1.4.1) as ranges of leaves, walked from the root
/// down and so back to front: both go to where leaf `end - 1` is the last of a subtree, and take the other
/// half at each turn.
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

/// A proof that a chunk is in a ledger, or that a ledger is the beginning of another: what it claims, and a
/// path of hashes through the tree (RFC 9162 section 2.1). A proof file holds one.
///
/// It is checked against a root that the caller got from elsewhere; the file has none. And a root proves no
/// size of its tree, so the sizes of the [`claim`](Self::claim) are the caller's to compare: keep the root
/// and the number of chunks together.
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
    /// The most hashes a proof file has. Enough for every chunk of every tree, and for consistency up to 2^63
    /// chunks.
    pub const MAX_PATH: usize = 64;

    /// Reads a proof file, all of it. Whether it proves anything,
    /// [`verify_inclusion`](Self::verify_inclusion) and [`verify_consistency`](Self::verify_consistency)
    /// tell. Cost: a few instructions per hash of the path.
    ///
    /// # Errors
    /// The first breach in the order of spec/ledger.md, "Proof file": [`ErrorKind::Truncated`],
    /// [`ErrorKind::ProofMagic`], [`ErrorKind::Code`] for the type, [`ErrorKind::TooLarge`] for a count over
    /// 64, [`ErrorKind::Reserved`], [`ErrorKind::ProofChunk`] or [`ErrorKind::ProofSizes`],
    /// [`ErrorKind::Shape`] for a count other than the claim has, [`ErrorKind::TrailingBytes`].
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

    /// Proves that chunk `chunk_id` is in the ledger whose chunks have `digests`, in order. The proof stands
    /// in `path`; [`MAX_PATH`](Self::MAX_PATH) hashes are always enough. Cost: 2 hashes for each digest.
    ///
    /// # Errors
    /// [`ErrorKind::ProofChunk`] if there is no such chunk; [`ErrorKind::BufferTooSmall`], counted in hashes.
    pub fn inclusion(digests: &[Digest], chunk_id: u64, path: &'a mut [Digest]) -> Result<Self> {
        let claim = Claim::Inclusion { chunk_id, tree_size: digests.len() as u64 };
        Self::build(claim, path, |range| root(slice(digests, range)))
    }

    /// Proves that the first `old_size` chunks of the ledger whose chunks have `digests`, in order, were the
    /// ledger before. The proof stands in `path`; [`MAX_PATH`](Self::MAX_PATH) hashes are always enough.
    /// Cost: up to 2 hashes for each digest.
    ///
    /// # Errors
    /// [`ErrorKind::ProofSizes`] if `old_size` is 0 or more than there are; [`ErrorKind::BufferTooSmall`],
    /// counted in hashes.
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

    /// Checks that a chunk with this digest is where the claim says, in a tree with this root (RFC 9162,
    /// 2.1.3.2). Cost: a hash for each of the path, and one.
    ///
    /// Nothing else is proven. That the chunk has the claim's `chunk_id` is for the caller to compare, and so
    /// is `tree_size`, since a root proves no size: some proofs hold for other sizes too.
    ///
    /// # Errors
    /// [`ErrorKind::ProofRoot`] if the path leads elsewhere, [`ErrorKind::Argument`] for a proof of
    /// consistency.
    pub fn verify_inclusion(&self, digest: &Digest, root: &Digest) -> Result<()> {
        self.verify_leaf(leaf(digest), root)
    }

    /// Checks that `chunk`, whose frame was checked when it was parsed, is the one of the claim, and that it is in the
    /// ledger with this root: all of [`verify_inclusion`](Self::verify_inclusion) but the tree's size, which remains
    /// the caller's to compare.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the claim is of another chunk, and those of `verify_inclusion`.
    pub fn verify_chunk(&self, chunk: &super::Chunk<'_>, root: &Digest) -> Result<()> {
        if let Claim::Inclusion { chunk_id: found, .. } = self.claim
            && found != chunk.id()
        {
            let field = "the proof's chunk_id";
            return Err(Error::caller(ErrorKind::Shape { field, needed: chunk.id(), found }));
        }
        self.verify_inclusion(chunk.digest(), root)
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

    /// Checks that the tree with `root` begins with the tree with `old_root` (RFC 9162, 2.1.4.2): the ledger
    /// has grown, and nothing that was in it has changed. Cost: up to two hashes for each of the path.
    ///
    /// The claim's sizes are for the caller to compare with those kept along with the roots.
    ///
    /// # Errors
    /// [`ErrorKind::ProofRoot`] if the path leads elsewhere, [`ErrorKind::Argument`] for a proof of
    /// inclusion.
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
        // At most 64: `parse` sees to it, and no slice has the 2^63 digests from which on a path can be
        // longer.
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

/// Climbs from a node to the root along `path` (RFC 9162, 2.1.3.2 step 4 and 2.1.4.2 step 6), and says
/// whether it arrived there. `at` is the node's place on its level, `last` that of the level's last node.
fn climb(mut at: u64, mut last: u64, path: &[Digest], mut join: impl FnMut(Side, &Digest)) -> bool {
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            join(Side::Left, sibling);
            // The last node of a level, where it has no sibling, is that of the next level too. `at` is not 0
            // here.
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
#[allow(clippy::arithmetic_side_effects)]
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

    /// The definitions of RFC 6962 section 2.1, word for word and recursive, over leaf hashes. Subtrees are
    /// remembered.
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

    /// The proof file, by the writer that needs no allocator.
    fn encode(proof: &Proof<'_>) -> Vec<u8> {
        let mut out = std::vec![0xAA; proof.encoded_len() + 1];
        assert_eq!(proof.encode_into(&mut out).unwrap(), proof.encoded_len());
        assert_eq!(out.pop(), Some(0xAA));
        let short = proof.encoded_len() as u64;
        let refused = proof.encode_into(&mut std::vec![0; out.len() - 1]).unwrap_err();
        assert_eq!(refused, Error::caller(ErrorKind::BufferTooSmall { needed: short, available: short - 1 }));
        #[cfg(feature = "alloc")]
        assert_eq!(proof.encode(), out);
        out
    }

    /// A proof file by hand.
    fn file(proof_type: u8, count: u8, a: u64, b: u64, path: &[Digest]) -> Vec<u8> {
        let header =
            [&[0x42, 0x49, 0x50, 1, proof_type, count, 0, 0], &a.to_be_bytes()[..], &b.to_be_bytes()];
        [&header.concat()[..], path.as_flattened()].concat()
    }

    fn refusal(result: Result<()>) -> Option<&'static str> {
        match result.map_err(|error| error.kind()) {
            Ok(()) => None,
            Err(ErrorKind::ProofRoot { place }) => Some(place),
            Err(other) => panic!("{other}"),
        }
    }

    /// Whether a proof file, as it is, is accepted with these values.
    fn includes(file: &[u8], digest: &Digest, root: &Digest) -> bool {
        Proof::parse(file).is_ok_and(|proof| refusal(proof.verify_inclusion(digest, root)).is_none())
    }

    fn extends(file: &[u8], old: &Digest, root: &Digest) -> bool {
        Proof::parse(file).is_ok_and(|proof| refusal(proof.verify_consistency(old, root)).is_none())
    }

    // Vectors of the Certificate Transparency project (its merkle_test.py and C++ tests): leaves of any
    // length, their roots and proofs. Recomputed with Python's hashlib.

    const CT_LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const CT_ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn ct_root(range: Range<u64>) -> Digest {
        let mut tree = Tree::new();
        let leaves = &CT_LEAVES[range.start as usize..range.end as usize];
        leaves.iter().for_each(|data| tree.push_leaf(leaf(&unhex(data))));
        assert_eq!(tree.len(), range.end - range.start);
        tree.root()
    }

    #[test]
    fn published_hashes_and_roots() {
        let data = unhex("101112131415161718191a1b1c1d1e1f");
        assert_eq!(leaf(&data), hash("3bfb960453ebaebf33727da7a1f4db38acc051d381b6da20d6d4e88f0eabfd7a"));
        let left = hash("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let right = hash("202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
        let both = hash("1a378704c17da31e2d05b6d121c2bb2c7d76f6ee6fa8f983e596c2d034963c57");
        assert_eq!(node(&left, &right), both);
        for (size, root) in CT_ROOTS.iter().enumerate() {
            assert_eq!(ct_root(0..size as u64), hash(root), "{size}");
        }
        assert_eq!(root(&[]), hash(CT_ROOTS[0]));
    }

    #[test]
    fn published_paths() {
        let cases: [(u64, usize, &[&str]); 5] = [
            (0, 1, &[]),
            (
                0,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                5,
                8,
                &[
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
            (
                1,
                5,
                &[
                    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
        ];
        for (chunk_id, size, path) in cases {
            let mut buffer = [[0; 32]; Proof::MAX_PATH];
            let claim = Claim::Inclusion { chunk_id, tree_size: size as u64 };
            let proof = Proof::build(claim, &mut buffer, ct_root).unwrap();
            assert_eq!(proof.path(), hashes(path), "{chunk_id} of {size}");
            let data = unhex(CT_LEAVES[chunk_id as usize]);
            proof.verify_leaf(leaf(&data), &hash(CT_ROOTS[size])).unwrap();
        }

        let cases: [(u64, usize, &[&str]); 4] = [
            (1, 1, &[]),
            (
                1,
                8,
                &[
                    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
                ],
            ),
            (
                6,
                8,
                &[
                    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                ],
            ),
            (
                2,
                5,
                &[
                    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                ],
            ),
        ];
        for (old_size, size, path) in cases {
            let mut buffer = [[0; 32]; Proof::MAX_PATH];
            let claim = Claim::Consistency { old_size, new_size: size as u64 };
            let proof = Proof::build(claim, &mut buffer, ct_root).unwrap();
            assert_eq!(proof.path(), hashes(path), "{old_size} to {size}");
            proof.verify_consistency(&hash(CT_ROOTS[old_size as usize]), &hash(CT_ROOTS[size])).unwrap();
        }
    }

    /// A certificate in a log of 3,630,887 (merkle_test.py again).
    #[test]
    fn published_path_of_a_real_log() {
        let path = hashes(&[
            "1a208aeebcd1b39fe2de247ee8db9454e1e93a312d206b87f6ca9cc6ec6f1ddd",
            "0a1b78b383f580856f433c01a5741e160d451c185910027f6cc9f828687a40c4",
            "3d1745789bc63f2da15850de1c12a5bf46ed81e1cc90f086148b1662e79aab3d",
            "9095b61e14d8990acf390905621e62b1714fb8e399fbb71de5510e0aef45affe",
            "0a332b91b8fab564e6afd1dd452449e04619b18accc0ff9aa8393cd4928451f2",
            "2336f0181d264aed6d8f3a6507ca14a8d3b3c3a23791ac263e845d208c1ee330",
            "b4ce56e300590500360c146c6452edbede25d4ed83919278749ee5dbe178e048",
            "933f6ddc848ea562e4f9c5cfb5f176941301dad0c6fdb9d1fbbe34fac1be6966",
            "b95a6222958a86f74c030be27c44f57dbe313e5e7c7f4ffb98bcbd3a03bb52f2",
            "daeeb3ce5923defd0faeb8e0c210b753b85b809445d7d3d3cd537a9aabaa9c45",
            "7fadd0a13e9138a2aa6c3fdec4e2275af233b94812784f66bcca9aa8e989f2bc",
            "1864e6ba3e32878610546539734fb5eeae2529991f130c575c73a7e25a2a7c56",
            "12842d1202b1dc6828a17ab253c02e7ce9409b5192430feba44189f39cc02d66",
            "29af64b16fa3053c13d02ac63aa75b23aa468506e44c3a2315edc85d2dc22b11",
            "b527b99934a0bd9edd154e449b0502e2c499bba783f3bc3dfe23364b6b532009",
            "4584db8ae8e351ace08e01f306378a92bfd43611714814f3d834a2842d69faa8",
            "86a9a41573b0d6e4292f01e93243d6cc65b30f06606fc6fa57390e7e90ed580f",
            "a88b98fbe84d4c6aae8db9d1605dfac059d9f03fe0fcb0d5dff1295dacba09e6",
            "06326dc617a6d1f7021dc536026dbfd5fffc6f7c5531d48ef6ccd1ed1569f2a1",
            "f41fe8fdc3a2e4e8345e30216e7ebecffee26ff266eeced208a6c2a3cf08f960",
            "40cf5bde8abb76983f3e98ba97aa36240402975674e120f234b3448911090f8d",
            "b3222dc8658538079883d980d7fdc2bef9285344ea34338968f736b04aeb387a",
        ]);
        let leaf = hash("7a395c866d5ecdb0cccb623e011dbc392cd348d1d1d72776174e127a24b09c78");
        let root = hash("78316a05c9bcf14a3a4548f5b854a9adfcd46a4c034401b3ce7eb7ac2f1d0ecb");
        let bytes = file(0, 22, 848_049, 3_630_887, &path);
        let proof = Proof::parse(&bytes).unwrap();
        proof.verify_leaf(leaf, &root).unwrap();
        assert_eq!(refusal(proof.verify_inclusion(&leaf, &root)), Some("the root"));
        let neighbour = file(0, 22, 848_048, 3_630_887, &path);
        assert!(Proof::parse(&neighbour).unwrap().verify_leaf(leaf, &root).is_err());
    }

    #[test]
    fn tree_is_the_definition() {
        let all = digests(300);
        let mut naive = naive(&all);
        let mut tree = Tree::new();
        assert!(tree.is_empty());
        for size in 0..=300 {
            assert_eq!(tree.len(), size as u64);
            assert_eq!(tree.root(), naive.mth(0, size), "{size}");
            // A frontier that is kept goes on by itself.
            let mut kept = tree.clone();
            if let Some(next) = all.get(size) {
                tree.push(next);
                kept.push(&all[0]);
                assert_eq!(kept.len(), tree.len());
                assert_eq!(kept.root() == tree.root(), size == 0, "{size}");
            }
        }
        assert!(!tree.is_empty());
        assert_eq!(root(&all), naive.mth(0, 300));
    }

    #[test]
    fn full_tree() {
        let mut tree = Tree { subtrees: [[7; 32]; 64], len: u64::MAX - 1 };
        tree.push(&[1; 32]);
        assert_eq!((tree.len(), tree.subtrees[0]), (u64::MAX, Naive::leaf(&[1; 32])));
        let root = tree.root();
        tree.push(&[2; 32]);
        assert_eq!((tree.len(), tree.root()), (u64::MAX, root));
    }

    /// Roots of ranges of digests by our own code, each computed once.
    struct Roots<'a>(&'a [Digest], core::cell::RefCell<HashMap<Range<u64>, Digest>>);

    impl Roots<'_> {
        fn of(&self, range: Range<u64>) -> Digest {
            *self.1.borrow_mut().entry(range.clone()).or_insert_with(|| root(slice(self.0, range)))
        }
    }

    #[test]
    fn every_inclusion_to_256() {
        let all = digests(256);
        let (mut naive, roots) = (naive(&all), Roots(&all, Default::default()));
        for size in 1..=256 {
            let root = naive.mth(0, size);
            for id in 0..size {
                let mut buffer = [[0; 32]; 8];
                let claim = Claim::Inclusion { chunk_id: id as u64, tree_size: size as u64 };
                let proof = Proof::build(claim, &mut buffer, |range| roots.of(range)).unwrap();
                assert_eq!(proof.path(), naive.path(id, 0, size), "{id} of {size}");
                proof.verify_inclusion(&all[id], &root).unwrap();
                if size <= 40 {
                    assert_eq!(Proof::inclusion(&all[..size], id as u64, &mut [[0; 32]; 8]), Ok(proof));
                    let bytes = encode(&proof);
                    assert_eq!(
                        bytes,
                        file(0, proof.path().len() as u8, id as u64, size as u64, proof.path())
                    );
                    assert_eq!(Proof::parse(&bytes), Ok(proof));
                }
            }
        }
    }

    #[test]
    fn every_consistency_to_256() {
        let all = digests(256);
        let (mut naive, roots) = (naive(&all), Roots(&all, Default::default()));
        for size in 1..=256 {
            let root = naive.mth(0, size);
            for old in 1..=size {
                let mut buffer = [[0; 32]; 9];
                let claim = Claim::Consistency { old_size: old as u64, new_size: size as u64 };
                let proof = Proof::build(claim, &mut buffer, |range| roots.of(range)).unwrap();
                assert_eq!(proof.path(), naive.subproof(old, 0, size, true), "{old} to {size}");
                proof.verify_consistency(&naive.mth(0, old), &root).unwrap();
                if size <= 40 {
                    assert_eq!(Proof::consistency(&all[..size], old as u64, &mut [[0; 32]; 9]), Ok(proof));
                    let bytes = encode(&proof);
                    assert_eq!(
                        bytes,
                        file(1, proof.path().len() as u8, old as u64, size as u64, proof.path())
                    );
                    assert_eq!(Proof::parse(&bytes), Ok(proof));
                }
            }
        }
    }

    #[test]
    fn constructors_refuse() {
        let all = digests(5);
        let path = &mut [[0; 32]; Proof::MAX_PATH];
        let chunk = |chunk_id, tree_size| Error::caller(ErrorKind::ProofChunk { chunk_id, tree_size });
        assert_eq!(Proof::inclusion(&all, 5, path), Err(chunk(5, 5)));
        assert_eq!(Proof::inclusion(&all, u64::MAX, path), Err(chunk(u64::MAX, 5)));
        assert_eq!(Proof::inclusion(&[], 0, path), Err(chunk(0, 0)));
        let sizes = |old_size, new_size| Error::caller(ErrorKind::ProofSizes { old_size, new_size });
        assert_eq!(Proof::consistency(&all, 0, path), Err(sizes(0, 5)));
        assert_eq!(Proof::consistency(&all, 6, path), Err(sizes(6, 5)));
        assert_eq!(Proof::consistency(&[], 0, path), Err(sizes(0, 0)));
        let small = |needed, available| Error::caller(ErrorKind::BufferTooSmall { needed, available });
        assert_eq!(Proof::inclusion(&all, 0, &mut path[..2]), Err(small(3, 2)));
        assert_eq!(Proof::consistency(&all, 3, &mut []), Err(small(4, 0)));
    }

    /// Every single wrong bit in a hash of the path, in what is proven, and in a root.
    #[test]
    fn no_bit_may_differ() {
        let flip = |bytes: &[u8], bit: usize| {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        let flip_hash = |hash: &Digest, bit| Digest::try_from(flip(hash, bit)).unwrap();
        let all = digests(5);
        for size in 1..=5 {
            let root = root(&all[..size]);
            for id in 0..size {
                let file = encode(&Proof::inclusion(&all[..size], id as u64, &mut [[0; 32]; 3]).unwrap());
                assert!(includes(&file, &all[id], &root));
                for bit in HEADER * 8..file.len() * 8 {
                    assert!(!includes(&flip(&file, bit), &all[id], &root), "{id} of {size}, bit {bit}");
                }
                for bit in 0..256 {
                    assert!(!includes(&file, &flip_hash(&all[id], bit), &root), "{id} of {size}");
                    assert!(!includes(&file, &all[id], &flip_hash(&root, bit)), "{id} of {size}");
                }
            }
            for old in 1..=size {
                let old_root = super::root(&all[..old]);
                let file = encode(&Proof::consistency(&all[..size], old as u64, &mut [[0; 32]; 4]).unwrap());
                assert!(extends(&file, &old_root, &root));
                for bit in HEADER * 8..file.len() * 8 {
                    assert!(!extends(&flip(&file, bit), &old_root, &root), "{old} to {size}, bit {bit}");
                }
                for bit in 0..256 {
                    assert!(!extends(&file, &flip_hash(&old_root, bit), &root), "{old} to {size}");
                    assert!(!extends(&file, &old_root, &flip_hash(&root, bit)), "{old} to {size}");
                }
            }
        }
    }

    /// The turns of RFC 6962's PATH and SUBPROOF, and how SUBPROOF ends (its b): all that a claim's sizes say
    /// to a checker.
    fn turns(m: usize, n: usize, b: bool, to_leaf: bool) -> Vec<char> {
        if to_leaf && n == 1 {
            return Vec::new();
        }
        if !to_leaf && m == n {
            return std::vec![if b { 'T' } else { 'F' }];
        }
        let k = Naive::k(n);
        let (mut turns, last) = if (to_leaf && m < k) || (!to_leaf && m <= k) {
            (turns(m, k, b, to_leaf), 'R')
        } else {
            (turns(m - k, n - k, false, to_leaf), 'L')
        };
        turns.push(last);
        turns
    }

    /// Another chunk is always refused; another size if, and only if, it asks for other turns.
    #[test]
    fn other_chunks_and_sizes() {
        let all = digests(12);
        let mut tolerated = 0;
        for size in 1..=12 {
            let root = root(&all[..size]);
            for id in 0..size {
                let proof =
                    Proof::inclusion(&all[..size], id as u64, &mut [[0; 32]; 5]).map(|p| encode(&p)).unwrap();
                for (a, b) in (1..=16).flat_map(|b| (0..b).map(move |a| (a, b))) {
                    let mut file = proof.clone();
                    file[8..24]
                        .copy_from_slice(&[(a as u64).to_be_bytes(), (b as u64).to_be_bytes()].concat());
                    let same = turns(id, size, true, true) == turns(a, b, true, true);
                    assert_eq!(includes(&file, &all[id], &root), same, "{id} of {size} as {a} of {b}");
                    assert!(!same || b != size || a == id);
                    tolerated += usize::from(same && b != size);
                }
            }
            for old in 1..=size {
                let old_root = super::root(&all[..old]);
                let proof = Proof::consistency(&all[..size], old as u64, &mut [[0; 32]; 6])
                    .map(|p| encode(&p))
                    .unwrap();
                for (a, b) in (1..=16).flat_map(|b| (1..=b).map(move |a| (a, b))) {
                    let mut file = proof.clone();
                    file[8..24]
                        .copy_from_slice(&[(a as u64).to_be_bytes(), (b as u64).to_be_bytes()].concat());
                    let same = turns(old, size, true, false) == turns(a, b, true, false);
                    assert_eq!(extends(&file, &old_root, &root), same, "{old} to {size} as {a} to {b}");
                    assert!(!same || b != size || a == old);
                }
            }
        }
        assert!(tolerated > 0);
        // By hand: chunk 0 turns right three times in a tree of 5, 6, 7 or 8.
        let proof = Proof::inclusion(&all[..8], 0, &mut [[0; 32]; 3]).map(|p| encode(&p)).unwrap();
        for (size, holds) in [(4, false), (5, true), (6, true), (7, true), (8, true), (9, false)] {
            let mut file = proof.clone();
            file[23] = size;
            assert_eq!(includes(&file, &all[0], &root(&all[..8])), holds, "{size}");
        }
    }

    #[test]
    fn roots_of_other_sizes_and_other_digests() {
        let all = digests(12);
        let proof = Proof::inclusion(&all[..8], 3, &mut [[0; 32]; 3]).map(|p| encode(&p)).unwrap();
        let grown = Proof::consistency(&all[..8], 6, &mut [[0; 32]; 4]).map(|p| encode(&p)).unwrap();
        for size in 0..=12 {
            let other = root(&all[..size]);
            assert_eq!(includes(&proof, &all[3], &other), size == 8);
            assert_eq!(extends(&grown, &root(&all[..6]), &other), size == 8);
            assert_eq!(extends(&grown, &other, &root(&all[..8])), size == 6);
        }
        for (i, digest) in all.iter().enumerate() {
            assert_eq!(includes(&proof, digest, &root(&all[..8])), i == 3);
        }
    }

    #[test]
    fn swapped_hashes() {
        let all = digests(7);
        let swapped = |file: &[u8], i: usize, j: usize| {
            let mut file = file.to_vec();
            (0..32).for_each(|byte| file.swap(24 + 32 * i + byte, 24 + 32 * j + byte));
            file
        };
        let root = root(&all);
        let included = Proof::inclusion(&all, 2, &mut [[0; 32]; 3]).map(|p| encode(&p)).unwrap();
        let grown = Proof::consistency(&all, 3, &mut [[0; 32]; 4]).map(|p| encode(&p)).unwrap();
        assert_eq!((included.len(), grown.len()), (24 + 3 * 32, 24 + 4 * 32));
        for i in 0..4 {
            for j in i + 1..4 {
                assert!(j == 3 || !includes(&swapped(&included, i, j), &all[2], &root));
                assert!(!extends(&swapped(&grown, i, j), &super::root(&all[..3]), &root));
            }
        }
    }

    /// An inner node is 32 bytes too, and without the prefixes would pass for a digest in a smaller tree.
    #[test]
    fn a_node_is_no_leaf() {
        let all = digests(4);
        let mut naive = naive(&all);
        let (left, right) = (naive.mth(0, 2), naive.mth(2, 4));
        let file = file(0, 1, 0, 2, &[right]);
        assert!(!includes(&file, &left, &naive.mth(0, 4)));
        // Shown as the leaf hash that it is not, it would be: only the prefix keeps it out.
        Proof::parse(&file).unwrap().verify_leaf(left, &naive.mth(0, 4)).unwrap();
        // Nor is a leaf's hash, or 65 bytes of node input, a digest.
        assert!(!includes(&super::tests::file(0, 0, 0, 1, &[]), &left, &left));
    }

    #[test]
    fn consistency_of_equal_and_of_complete_trees() {
        let all = digests(8);
        let (six, eight) = (root(&all[..6]), root(&all));
        let same = file(1, 0, 6, 6, &[]);
        assert!(extends(&same, &six, &six));
        assert!(!extends(&same, &six, &eight) && !extends(&same, &eight, &six));
        // From a power of two the path starts with the old root itself, which is not in the file.
        let mut naive = naive(&all);
        let file = file(1, 1, 4, 8, &[naive.mth(4, 8)]);
        let proof = Proof::parse(&file).unwrap();
        proof.verify_consistency(&naive.mth(0, 4), &eight).unwrap();
        assert_eq!(refusal(proof.verify_consistency(&six, &eight)), Some("the root"));
        let mut buffer = [[0; 32]; 4];
        let proof = Proof::consistency(&all, 6, &mut buffer).unwrap();
        assert_eq!(refusal(proof.verify_consistency(&eight, &eight)), Some("the old root"));
        assert_eq!(refusal(proof.verify_consistency(&six, &six)), Some("the root"));
    }

    /// A proof that was parsed has the right count; the climb asks for it all the same, as RFC 9162 does.
    #[test]
    fn climbs_of_other_lengths() {
        for (at, last, right) in [(0, 0, 0), (0, 7, 3), (5, 7, 3), (2, 2, 1), (6, 6, 2)] {
            for count in 0..5 {
                assert_eq!(
                    climb(at, last, &[[0; 32]; 5][..count], |_, _| ()),
                    count == right,
                    "{at} {count}"
                );
            }
        }
    }

    #[test]
    fn proofs_of_the_other_type() {
        let all = digests(3);
        let root = root(&all);
        let mut path = [[0; 32]; 3];
        let error =
            Proof::inclusion(&all, 0, &mut path).unwrap().verify_consistency(&root, &root).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { .. }) && error.place().is_none());
        let error =
            Proof::consistency(&all, 2, &mut path).unwrap().verify_inclusion(&all[0], &root).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Argument { .. }) && error.place().is_none());
    }

    /// The order of checks of spec/ledger.md: each file breaks one rule, and most of those after it.
    #[test]
    fn parse_refuses() {
        let good = file(0, 3, 5, 8, &[[1; 32], [2; 32], [3; 32]]);
        assert!(Proof::parse(&good).is_ok());
        let with = |changes: &[(usize, u8)], len: usize| {
            let mut bytes = good.clone();
            bytes.resize(len, 0);
            changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
            bytes
        };
        let truncated = |field, needed, available| ErrorKind::Truncated { field, needed, available };
        let shape = |needed, found| ErrorKind::Shape { field: "proof.count", needed, found };
        let cases = [
            (with(&[], 0), truncated("the proof's magic", 4, 0), 0),
            (with(&[(2, 0x54)], 23), ErrorKind::ProofMagic { found: *b"BIT\x01" }, 0),
            (with(&[(4, 9)], 23), truncated("the proof's header", 24, 23), 0),
            (with(&[(4, 2), (5, 65), (7, 1)], 24), ErrorKind::Code { field: "proof.type", found: 2 }, 4),
            (
                with(&[(5, 65), (7, 1)], 24),
                ErrorKind::TooLarge { field: "proof.count", max: 64, found: 65 },
                5,
            ),
            (with(&[(7, 1), (23, 5)], 24), ErrorKind::Reserved { field: "proof.reserved" }, 6),
            (with(&[(6, 1), (23, 5)], 24), ErrorKind::Reserved { field: "proof.reserved" }, 6),
            (with(&[(5, 64), (23, 5)], 24), ErrorKind::ProofChunk { chunk_id: 5, tree_size: 5 }, 16),
            (with(&[(15, 0), (23, 0)], 24), ErrorKind::ProofChunk { chunk_id: 0, tree_size: 0 }, 16),
            (with(&[(4, 1), (15, 0), (23, 0)], 24), ErrorKind::ProofSizes { old_size: 0, new_size: 0 }, 8),
            (with(&[(4, 1), (23, 4)], 24), ErrorKind::ProofSizes { old_size: 5, new_size: 4 }, 16),
            (with(&[(5, 2)], 24), shape(3, 2), 5),
            (with(&[(5, 4)], 24 + 128), shape(3, 4), 5),
            // 5 to 8: SUBPROOF(5, D[8]) = d4, d5, 6-7, 0-3.
            (with(&[(4, 1)], 24 + 96), shape(4, 3), 5),
            (with(&[], 24 + 95), truncated("the proof's hashes", 96, 95), 24),
            (with(&[], 24 + 97), ErrorKind::TrailingBytes { count: 1 }, 24 + 96),
        ];
        for (bytes, kind, offset) in cases {
            assert_eq!(Proof::parse(&bytes), Err(Error::new(kind, offset)), "{bytes:02X?}");
        }
    }

    #[test]
    fn every_truncation_and_every_addition() {
        for (proof_type, a, b, count) in [(0, 0, 1, 0), (0, 5, 8, 3), (1, 5, 8, 4), (1, 8, 8, 0)] {
            let path = digests(count);
            let good = file(proof_type, count as u8, a, b, &path);
            assert_eq!(encode(&Proof::parse(&good).unwrap()), good);
            for len in 0..good.len() {
                let error = Proof::parse(&good[..len]).unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{len}: {error}");
                assert_eq!(error.offset(), if len < 24 { 0 } else { 24 });
            }
            for count in 1..=64 {
                let long = [&good[..], &std::vec![0; count]].concat();
                let trailing = ErrorKind::TrailingBytes { count: count as u64 };
                assert_eq!(Proof::parse(&long), Err(Error::new(trailing, good.len() as u64)));
            }
        }
    }

    /// Trees too large to build, with paths counted by hand.
    #[test]
    fn largest_trees() {
        let (top, half) = (u64::MAX, 1 << 63);
        for (proof_type, a, b, count) in [
            // Leaf 0 is 64 levels down as soon as there are more than 2^63; the last of 2^64 - 1 has one
            // complete subtree of each of 63 sizes to its left.
            (0, 0, top, 64),
            (0, 0, half + 1, 64),
            (0, 0, half, 63),
            (0, top - 1, top, 63),
            (0, half, half + 1, 1),
            (1, half, top, 1),
            (1, top, top, 0),
            (1, 1, top, 64),
            // The last leaf, the pair before it, and the 62 complete subtrees to the left of that.
            (1, top - 1, top, 64),
        ] {
            let good = file(proof_type, count, a, b, &std::vec![[9; 32]; usize::from(count)]);
            let proof = Proof::parse(&good).unwrap();
            assert_eq!(encode(&proof), good);
            match proof.claim() {
                Claim::Inclusion { .. } => {
                    assert!(refusal(proof.verify_inclusion(&[0; 32], &[1; 32])).is_some())
                }
                Claim::Consistency { .. } => {
                    assert!(refusal(proof.verify_consistency(&[0; 32], &[1; 32])).is_some());
                }
            }
        }
        let error = |bytes: Vec<u8>| Proof::parse(&bytes).unwrap_err();
        let chunk = ErrorKind::ProofChunk { chunk_id: top, tree_size: top };
        assert_eq!(error(file(0, 64, top, top, &[])), Error::new(chunk, 16));
        // From 3: 62 levels down to 4 leaves, then leaves 2, 3 and 0-1. A count of 65 is over what the format
        // has.
        let shape = ErrorKind::Shape { field: "proof.count", needed: 65, found: 64 };
        assert_eq!(error(file(1, 64, 3, top, &[[0; 32]; 64])), Error::new(shape, 5));
    }

    /// The worked example of spec/ledger.md, computed with Python's hashlib.
    #[test]
    fn worked_example() {
        let digests = [[0x11; 32], [0x22; 32], [0x33; 32]];
        let leaves = [
            "4635e1fa62a599a7880a8d14a56f720a1d40f6e5448ab5a5e39bedc8bd87fa8e",
            "bc6f27de60abf5319d16ff4c98fe3c42022c84f6a7a2b207c8df19b0ec3d8d58",
            "5e5caeafc27155c368b6f201107d6f8b270747ce636ac5174a56c6e12ef89ad1",
        ];
        for (digest, hash) in digests.iter().zip(hashes(&leaves)) {
            assert_eq!(root(&[*digest]), hash);
        }
        let two = hash("cc15b132263fd4fd2748c0e7cb9e1c4ad0afe70fcf9382ee644c4da8af0286a5");
        let three = hash("9bee4401962e94b921336a7910a5a9718836ffcbc545dde0a3f34d858beb5752");
        assert_eq!((root(&digests[..2]), root(&digests)), (two, three));

        let included = "42 49 50 01 00 02 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00 03
            46 35 E1 FA 62 A5 99 A7 88 0A 8D 14 A5 6F 72 0A 1D 40 F6 E5 44 8A B5 A5 E3 9B ED C8 BD 87 FA 8E
            5E 5C AE AF C2 71 55 C3 68 B6 F2 01 10 7D 6F 8B 27 07 47 CE 63 6A C5 17 4A 56 C6 E1 2E F8 9A D1";
        let mut path = [[0; 32]; 2];
        assert_eq!(encode(&Proof::inclusion(&digests, 1, &mut path).unwrap()), unhex(included));
        assert!(includes(&unhex(included), &digests[1], &three));
        let grown = "42 49 50 01 01 01 00 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00 03
            5E 5C AE AF C2 71 55 C3 68 B6 F2 01 10 7D 6F 8B 27 07 47 CE 63 6A C5 17 4A 56 C6 E1 2E F8 9A D1";
        assert_eq!(encode(&Proof::consistency(&digests, 2, &mut path).unwrap()), unhex(grown));
        assert!(extends(&unhex(grown), &two, &three));
    }

    #[test]
    fn layout() {
        let fields: &[(usize, usize, &str)] = &[
            (0, 4, "magic"),
            (4, 1, "proof_type"),
            (5, 1, "count"),
            (6, 2, "reserved"),
            (8, 8, "a"),
            (16, 8, "b"),
        ];
        assert_eq!(ProofRaw::FIELDS, fields);
        let offsets = [field::PROOF_TYPE, field::COUNT, field::RESERVED, field::A, field::B];
        assert!(offsets.iter().zip(&fields[1..]).all(|(&offset, field)| offset == field.0 as u64));
        assert_eq!((HEADER, Proof::MAX_PATH * 32 + HEADER), (24, 2072));
    }

    #[test]
    fn errors_speak() {
        let newer = Proof::parse(b"BIP\x02").unwrap_err();
        assert_eq!(newer.to_string(), "a proof file of version 2; known is version 1 (at byte 0)");
        let chunk = Proof::inclusion(&[[0; 32]], 1, &mut []).unwrap_err();
        assert_eq!(chunk.to_string(), "the proof is for chunk 1 of 1; chunks count from 0");
    }

    /// Files that are nearly right.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let number = prop_oneof![
            0u64..9,
            any::<u64>(),
            (0u64..9).prop_map(|n| u64::MAX - n),
            (0u32..64).prop_map(|n| 1 << n)
        ];
        (0u8..3, 0u8..67, number.clone(), number, -1i32..2, any::<u8>()).prop_map(
            |(proof_type, count, a, b, off, byte)| {
                // As often as not the count that the claim asks for, by the number of turns.
                let claim = match proof_type {
                    0 => Claim::Inclusion { chunk_id: a, tree_size: b },
                    _ => Claim::Consistency { old_size: a, new_size: b },
                };
                let right = claim.check().is_ok() && byte < 128;
                let count = if right { claim.subtrees().count() as u8 } else { count };
                let mut bytes = file(proof_type, count, a, b, &std::vec![[byte; 32]; usize::from(count)]);
                bytes.resize(
                    bytes.len().saturating_add_signed(if byte & 3 == 0 { off as isize } else { 0 }),
                    0,
                );
                bytes
            },
        )
    }

    fn parse_is_total_and_canonical(bytes: &[u8]) {
        match Proof::parse(bytes) {
            Ok(proof) => {
                assert_eq!(encode(&proof), bytes);
                let _ = proof.verify_inclusion(&[1; 32], &[2; 32]);
                let _ = proof.verify_consistency(&[1; 32], &[2; 32]);
            }
            Err(error) => assert!(error.place().is_some_and(|at| at <= bytes.len() as u64)),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse_is_total_and_canonical(&bytes);
            let with_magic = [&MAGIC[..], &bytes].concat();
            parse_is_total_and_canonical(&with_magic);
        }

        #[test]
        fn nearly_right_bytes(bytes in nearly()) {
            parse_is_total_and_canonical(&bytes);
        }
    }
}

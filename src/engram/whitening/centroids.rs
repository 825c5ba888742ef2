//! Groups of like vectors, by joining (spec/engram.md, "Whitened centroids").
//!
//! Each vector `y` starts as a group of its own with the sum `S = |y|^(1/2) y`: its direction with the weight
//! `|y|^(3/2)`. The two groups are joined that lose the least of the summed lengths, `|S_a| + |S_b| - |S_a + S_b|`.
//! That is the objective of spherical k-means (I. S. Dhillon, D. S. Modha, 2001) reached by Ward's joining (J. H. Ward,
//! 1963) instead of by a start that has to be guessed: on keys k-means with any start found less.

use alloc::vec::Vec;

use crate::engram::norm::squared_norm;
use crate::error::{Error, ErrorKind, Result};
use crate::memory::zeros;

/// The most groups that are kept at any time: it bounds the time and the memory of a text of any length.
pub(super) const GROUPS: usize = 256;

/// Partial sums of an inner product.
const LANES: usize = 8;

/// The inner product in f64: lane j of 8 adds the products of the columns j mod 8 in order, then the lanes are added
/// as a tree.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a * b;
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// The group that another one loses least with.
#[derive(Clone, Copy, Debug, Default)]
struct Partner {
    loss: f64,
    /// A later place; none if there is no group after this one.
    at: Option<usize>,
}

/// At most [`GROUPS`] groups, at places of which some are free.
#[derive(Debug)]
pub(super) struct Clusters {
    components: usize,
    /// Places there are.
    places: usize,
    taken: usize,
    /// The sum of each group.
    sums: Vec<f64>,
    /// The inner product of each two sums, `places` x `places`.
    products: Vec<f64>,
    /// |sum| of each group; below 0 at a free place.
    lengths: Vec<f64>,
    partners: Vec<Partner>,
}

impl Clusters {
    /// No groups yet, and room for those of `vectors` vectors.
    pub(super) fn new(components: usize, vectors: usize) -> Result<Self> {
        // One more than are kept: the one that has just come.
        let places = vectors.min(GROUPS + 1);
        let mut lengths = zeros(places)?;
        lengths.fill(-1.0);
        Ok(Self {
            components,
            places,
            taken: 0,
            sums: zeros(places.saturating_mul(components))?,
            products: zeros(places * places)?,
            lengths,
            partners: zeros(places)?,
        })
    }

    fn sum(&self, at: usize) -> &[f64] {
        let components = self.components.max(1);
        self.sums.chunks_exact(components).nth(at).unwrap_or_default()
    }

    fn product(&self, a: usize, b: usize) -> f64 {
        self.products.get(a * self.places + b).copied().unwrap_or(0.0)
    }

    fn set_product(&mut self, a: usize, b: usize, value: f64) {
        for at in [a * self.places + b, b * self.places + a] {
            if let Some(product) = self.products.get_mut(at) {
                *product = value;
            }
        }
    }

    /// |sum|, `None` at a free place.
    fn length(&self, at: usize) -> Option<f64> {
        self.lengths.get(at).copied().filter(|&length| length >= 0.0)
    }

    /// What joining two groups loses of the summed lengths.
    fn loss(&self, a: usize, b: usize) -> Option<f64> {
        let squares = (self.product(a, a) + self.product(b, b)) + 2.0 * self.product(a, b);
        Some((self.length(a)? + self.length(b)?) - libm::sqrt(squares.max(0.0)))
    }

    /// Adds a vector as a group of its own, at the first free place; a vector of zeros says nothing and is left out.
    pub(super) fn push(&mut self, y: &[f32]) {
        let norm = squared_norm(y);
        if norm == 0.0 {
            return;
        }
        if self.taken > GROUPS {
            self.join_best();
        }
        let Some(at) = self.lengths.iter().position(|&length| length < 0.0) else { return };
        let factor = libm::sqrt(libm::sqrt(norm));
        let components = self.components.max(1);
        if let Some(sum) = self.sums.chunks_exact_mut(components).nth(at) {
            for (sum, &x) in sum.iter_mut().zip(y) {
                *sum = factor * f64::from(x);
            }
        }
        for other in 0..self.places {
            if other == at || self.length(other).is_some() {
                self.set_product(at, other, dot(self.sum(at), self.sum(other)));
            }
        }
        self.taken += 1;
        self.changed(at);
    }

    /// The sum of the group at `at` is another: its length and all partners are brought up to date.
    fn changed(&mut self, at: usize) {
        let length = libm::sqrt(self.product(at, at).max(0.0));
        if let Some(entry) = self.lengths.get_mut(at) {
            *entry = length;
        }
        for group in 0..=at {
            let Some(partner) = self.partners.get(group).copied() else { continue };
            if self.length(group).is_none() {
                continue;
            }
            let new = if group == at || partner.at == Some(at) {
                self.best_partner(group)
            } else {
                match self.loss(group, at) {
                    Some(loss)
                        if partner.at.is_none_or(|other| {
                            loss < partner.loss || (loss == partner.loss && at < other)
                        }) =>
                    {
                        Partner { loss, at: Some(at) }
                    }
                    _ => continue,
                }
            };
            if let Some(entry) = self.partners.get_mut(group) {
                *entry = new;
            }
        }
    }

    fn best_partner(&self, group: usize) -> Partner {
        let mut best = Partner::default();
        for other in group + 1..self.places {
            if let Some(loss) = self.loss(group, other)
                && (best.at.is_none() || loss < best.loss)
            {
                best = Partner { loss, at: Some(other) };
            }
        }
        best
    }

    /// Joins the two groups that lose least; of equal ones those with the first place, then with the second. The joined
    /// group stands at the first, and the second becomes free.
    fn join_best(&mut self) {
        let mut best: Option<(usize, usize, f64)> = None;
        for (group, partner) in self.partners.iter().enumerate() {
            if let (Some(_), Some(other)) = (self.length(group), partner.at)
                && best.is_none_or(|(_, _, loss)| partner.loss < loss)
            {
                best = Some((group, other, partner.loss));
            }
        }
        let Some((a, b, _)) = best else { return };
        let components = self.components.max(1);
        let mut rows = self.sums.chunks_exact_mut(components);
        // b is after a.
        if let (Some(to), Some(from)) = (rows.nth(a), rows.nth(b - a - 1)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to += *from;
            }
        }
        let square = (self.product(a, a) + self.product(b, b)) + 2.0 * self.product(a, b);
        for other in 0..self.places {
            if self.length(other).is_some() && other != a {
                self.set_product(a, other, self.product(a, other) + self.product(b, other));
            }
        }
        self.set_product(a, a, square);
        if let Some(length) = self.lengths.get_mut(b) {
            *length = -1.0;
        }
        self.taken -= 1;
        // Those that had b have to look for another; `changed` sees to those that had a.
        for group in 0..b {
            if group != a
                && self.length(group).is_some()
                && self.partners.get(group).is_some_and(|p| p.at == Some(b))
            {
                let new = self.best_partner(group);
                if let Some(entry) = self.partners.get_mut(group) {
                    *entry = new;
                }
            }
        }
        self.changed(a);
    }

    /// Joins until at most `count` are left, and gives `count` unit vectors.
    pub(super) fn into_directions(mut self, count: usize) -> Result<Vec<f32>> {
        if count == 0 || count > GROUPS {
            return Err(Error::caller(ErrorKind::Argument { expected: "centroids: 1 to 256" }));
        }
        while self.taken > count {
            self.join_best();
        }
        let mut directions: Vec<f32> = zeros(count.saturating_mul(self.components))?;
        let components = self.components.max(1);
        let groups =
            self.sums.chunks_exact(components).zip(&self.lengths).filter(|&(_, &length)| length > 0.0);
        if groups.clone().next().is_none() {
            return Err(Error::caller(ErrorKind::Number { field: "the sum of the tokens' weights" }));
        }
        for (direction, (sum, length)) in directions.chunks_exact_mut(components).zip(groups.cycle()) {
            for (to, x) in direction.iter_mut().zip(sum) {
                *to = (x / length) as f32;
            }
        }
        Ok(directions)
    }
}

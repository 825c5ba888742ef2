//! The semantic proof: does a query find the right one of two contexts, and how long does that take?
//!
//! ENGRAM's experiment: contexts A and B are stored in an index under their fingerprints, a query that belongs to A is
//! fingerprinted and looked for. It passes if A is found, if A's score is ahead of B's by more than 0.05, and if the overhead
//! of retrieval (EGR: the query's fingerprint and the search) stays below 200 ms. One pair proves little: `1 of 1` is what a
//! coin gives half of the time.

use alloc::vec::Vec;
use std::time::{Duration, Instant};

use super::index::{Entry, IndexOptions, OwnedIndex, Query};
use crate::error::{Error, ErrorKind, Result};

/// What a proof has to reach. The default is ENGRAM's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// How far A's score has to be ahead, exclusive; 0.05.
    pub margin: f32,
    /// How long fingerprint of the query and search may take together, exclusive; 200 ms.
    pub egr: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { margin: 0.05, egr: Duration::from_millis(200) }
    }
}

/// What was found and measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SemanticProof {
    /// Score of the query against A.
    pub score_a: f32,
    /// Score of the query against B.
    pub score_b: f32,
    /// Time to make A's fingerprint.
    pub extract_a: Duration,
    /// Time to make B's fingerprint.
    pub extract_b: Duration,
    /// Time to put both into the index.
    pub store: Duration,
    /// Time to make the query's fingerprint.
    pub extract_query: Duration,
    /// Time to search.
    pub search: Duration,
}

impl SemanticProof {
    /// How far A's score is ahead of B's.
    #[must_use]
    pub fn margin(&self) -> f32 {
        self.score_a - self.score_b
    }

    /// Whether the search put A first. Equal scores do not count as found, though A was stored first.
    #[must_use]
    pub fn is_correct(&self) -> bool {
        self.score_a > self.score_b
    }

    /// The overhead of retrieval: fingerprint of the query, and search.
    #[must_use]
    pub fn egr(&self) -> Duration {
        self.extract_query.saturating_add(self.search)
    }

    /// Whether all that was asked for was reached.
    #[must_use]
    pub fn passes(&self, thresholds: &Thresholds) -> bool {
        self.is_correct() && self.margin() > thresholds.margin && self.egr() < thresholds.egr
    }
}

/// The vectors that a query consists of, and with [`Metric::MaxSim`](super::index::Metric::MaxSim) the weight of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryVectors {
    /// Components, vector by vector.
    pub vectors: Vec<f32>,
    /// Weights; `None` for metrics that have one vector.
    pub weights: Option<Vec<f32>>,
}

/// Runs the experiment: `a` and `b` make the vectors of an entry, `query` those of the query, in the form that `options` state.
///
/// # Errors
/// Those of the three, of [`OwnedIndex`] and of its search; [`ErrorKind::Argument`] if the search did not give two scores, which
/// is so if one of them is NaN.
pub fn semantic_proof(
    options: IndexOptions,
    a: impl FnOnce() -> Result<Vec<f32>>,
    b: impl FnOnce() -> Result<Vec<f32>>,
    query: impl FnOnce() -> Result<QueryVectors>,
) -> Result<SemanticProof> {
    let (extract_a, a) = timed(a)?;
    let (extract_b, b) = timed(b)?;
    let (store, index) = timed(|| {
        let mut index = OwnedIndex::new(options)?;
        for (cache_id, vectors) in [("A", &a), ("B", &b)] {
            let (task_description, model_id) = ("", "");
            let entry = Entry {
                cache_id,
                task_description,
                model_id,
                context_len: 0,
                created_at: 0,
                l2_norm: f32::NAN,
            };
            index.add(&entry, vectors)?;
        }
        Ok(index)
    })?;
    let (extract_query, query) = timed(query)?;
    let (search, hits) = timed(|| {
        let vectors = match &query.weights {
            Some(weights) => Query::weighted(&query.vectors, weights),
            None => Query::new(&query.vectors),
        };
        index.search()?.top_k(vectors, 2, |_| true)
    })?;
    let score = |entry| hits.iter().find(|hit| hit.entry == entry).map(|hit| hit.score);
    let (Some(score_a), Some(score_b)) = (score(0), score(1)) else {
        return Err(Error::caller(ErrorKind::Argument { expected: "scores are numbers" }));
    };
    Ok(SemanticProof { score_a, score_b, extract_a, extract_b, store, extract_query, search })
}

fn timed<T>(run: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let started = Instant::now();
    let made = run()?;
    Ok((started.elapsed(), made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engram::index::{Method, Metric, VectorType};

    fn options() -> IndexOptions {
        IndexOptions {
            vector_type: VectorType::F32,
            dim: 2,
            vectors_per_entry: 1,
            metric: Metric::Cosine,
            method: Method::MeanPool,
            whitening_prefix: None,
        }
    }

    fn prove(a: [f32; 2], b: [f32; 2], query: [f32; 2]) -> Result<SemanticProof> {
        let query = QueryVectors { vectors: query.to_vec(), weights: None };
        semantic_proof(options(), || Ok(a.to_vec()), || Ok(b.to_vec()), || Ok(query))
    }

    #[test]
    fn verdicts() {
        let patient = Thresholds { egr: Duration::from_secs(3600), ..Thresholds::default() };
        // Cosines 1 and 0.6.
        let proof = prove([2.0, 0.0], [3.0, 4.0], [1.0, 0.0]).unwrap();
        assert!((proof.margin() - 0.4).abs() < 1e-6 && proof.is_correct() && proof.passes(&patient));
        assert!(!proof.passes(&Thresholds { egr: Duration::ZERO, ..patient }));
        assert!(!proof.passes(&Thresholds { margin: 0.4001, ..patient }));
        // The wrong one, and no difference.
        assert!(!prove([3.0, 4.0], [2.0, 0.0], [1.0, 0.0]).unwrap().is_correct());
        let even = prove([3.0, 4.0], [3.0, 4.0], [1.0, 0.0]).unwrap();
        assert!(!even.is_correct() && !even.passes(&Thresholds { margin: -1.0, ..patient }));
        assert!(prove([3.0, 4.0], [1.0, 0.0], [f32::NAN, 0.0]).is_err());
    }
}

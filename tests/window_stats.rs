//! Window statistics of real embeddings, against NumPy (tests/data/embeddings/numpy_stats.py).
#![cfg(feature = "alloc")]
// A test says what it expects by panicking.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use bitwire::beacon::stats::{Moments, Sigma};
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/embeddings", name].iter().collect()
}

/// The numbers of a .npy file, and the number of columns. Only what these files need.
fn load(name: &str) -> (Vec<f64>, usize, bool) {
    let bytes = std::fs::read(path(name)).unwrap();
    let (header, data) = bytes.split_at(128);
    let header = std::str::from_utf8(&header[10..]).unwrap();
    let columns = header.split_once("'shape': (").unwrap().1.split([',', ')']).nth(1).unwrap();
    let columns = columns.trim().parse().unwrap();
    let single = header.contains("'<f4'");
    let values = if single {
        data.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x).into()).collect()
    } else {
        data.as_chunks::<8>().0.iter().map(|&x| f64::from_le_bytes(x)).collect()
    };
    (values, columns, single)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
fn close(ours: f64, numpy: f64, scale: f64, what: &str) {
    assert!((ours - numpy).abs() <= 1e-9 * scale, "{what}: {ours:e}, NumPy says {numpy:e}");
}

/// `floor`: below this correlation the error of a covariance is held against the deviations of its columns, not
/// against itself.
fn compare(name: &str, floor: f64) {
    let (matrix, dim, single) = load(&format!("{name}.npy"));
    let expected: Value =
        serde_json::from_str(&std::fs::read_to_string(path(&format!("{name}.json"))).unwrap()).unwrap();
    let mean = numbers(&expected["mean"]);
    let variances = numbers(&expected["variances"]);
    let trace = expected["trace"].as_f64().unwrap();
    for sigma in [Sigma::None, Sigma::Trace, Sigma::Diagonal, Sigma::Full] {
        let mut moments = Moments::new(dim, sigma).unwrap();
        for row in matrix.chunks(dim) {
            if single {
                moments.push_f32(&row.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap();
            } else {
                moments.push_f64(row).unwrap();
            }
        }
        let summary = moments.summary().unwrap();
        assert_eq!(summary.rows() as usize, matrix.len() / dim);
        close(summary.trace(), trace, trace, name);
        for (&ours, &numpy) in summary.mean().iter().zip(&mean) {
            close(ours, numpy, numpy.abs(), name);
        }
        assert_eq!(summary.diagonal().is_some(), matches!(sigma, Sigma::Diagonal | Sigma::Full));
        assert_eq!(summary.triangle().is_some(), sigma == Sigma::Full);
        for (ours, &numpy) in summary.diagonal().into_iter().flatten().zip(&variances) {
            close(ours, numpy, numpy, name);
        }
        if sigma != Sigma::Full {
            continue;
        }
        // The norm of the whole matrix from its upper triangle: every element counts.
        let triangle: Vec<f64> = summary.triangle().unwrap().collect();
        assert_eq!(triangle.len(), dim * (dim + 1) / 2);
        let diagonal: f64 = summary.diagonal().unwrap().map(|x| x * x).sum();
        let norm = (2.0 * triangle.iter().map(|x| x * x).sum::<f64>() - diagonal).sqrt();
        close(norm, expected["norm"].as_f64().unwrap(), norm, name);
        let rows: BTreeMap<String, Value> = serde_json::from_value(expected["covariance"].clone()).unwrap();
        for (i, row) in rows {
            let i: usize = i.parse().unwrap();
            for (j, numpy) in numbers(&row).into_iter().enumerate() {
                let scale = numpy.abs().max(floor * (variances[i] * variances[j]).sqrt());
                close(summary.covariance(i, j).unwrap(), numpy, scale, name);
            }
        }
    }
}

#[test]
fn window() {
    compare("window", 1e-4);
}

#[test]
fn questions() {
    compare("questions", 1e-4);
}

#[test]
fn baseline() {
    compare("baseline", 1e-4);
}

#[test]
fn far_from_zero() {
    // A million deviations from zero: six of sixteen digits are gone.
    compare("shifted", 1.0);
}

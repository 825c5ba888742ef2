//! Measures one .npy file (C order, `<f4`, two dimensions) for benches/window_stats.py:
//! `window_stats_once FILE ROUNDS [THREADS]` prints one line of JSON per round, in milliseconds, and the results to
//! compare. Without a file (as under `cargo test --benches`) it does nothing.
#![allow(clippy::expect_used, clippy::indexing_slicing)] // its input comes from the script

use std::time::Instant;

use bitwire::Result;
use bitwire::beacon::stats::{Moments, Sigma};

/// Rows per part when several threads measure: fixed, so that the results do not depend on their number.
const PART: usize = 4096;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [file, rounds, threads @ ..] = arguments.as_slice() else { return };
    let rounds: usize = rounds.parse().expect("rounds");
    let threads: usize = threads.first().map_or(1, |n| n.parse().expect("threads"));
    let bytes = std::fs::read(file).expect("file");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..header]).expect("header");
    let shape = text.split_once("'shape': (").expect("shape").1.split_once(')').expect("shape").0;
    let shape: Vec<usize> = shape.split(',').map(|n| n.trim().parse().expect("shape")).collect();
    let matrix: Vec<f32> =
        bytes[header..].chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
    assert_eq!(matrix.len(), shape[0] * shape[1]);
    drop(bytes);

    for _ in 0..rounds {
        let (diagonal_ms, _) = time(&matrix, shape[1], Sigma::Diagonal, threads);
        let (full_ms, mut full) = time(&matrix, shape[1], Sigma::Full, threads);
        let summary = full.summary().expect("finite");
        // A sample of the results, for comparison with NumPy's.
        println!(
            r#"{{"diagonal": {diagonal_ms}, "full": {full_ms}, "trace": {:e}, "mean0": {:e}, "cov01": {:e}}}"#,
            summary.trace(),
            summary.mean()[0],
            summary.covariance(0, 1).expect("two columns"),
        );
    }
}

fn time(matrix: &[f32], dim: usize, sigma: Sigma, threads: usize) -> (f64, Moments<Vec<f64>>) {
    let start = Instant::now();
    let mut moments = measure(matrix, dim, sigma, threads).expect("finite");
    moments.summary().expect("finite");
    (start.elapsed().as_secs_f64() * 1e3, moments)
}

fn measure(matrix: &[f32], dim: usize, sigma: Sigma, threads: usize) -> Result<Moments<Vec<f64>>> {
    let part = |rows: &[f32]| {
        let mut part = Moments::new(dim, sigma)?;
        part.push_rows_f32(rows)?;
        Ok(part)
    };
    if threads == 1 {
        return part(matrix);
    }
    let mut whole = Moments::new(dim, sigma)?;
    for wave in matrix.chunks(PART * dim * threads) {
        let parts: Vec<Result<_>> = std::thread::scope(|scope| {
            let started: Vec<_> =
                wave.chunks(PART * dim).map(|rows| scope.spawn(move || part(rows))).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        for part in parts {
            whole.merge(&part?)?;
        }
    }
    Ok(whole)
}

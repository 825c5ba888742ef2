//! Times that are to be compared.

use std::time::Instant;

/// The median time of some runs, in microseconds.
pub(crate) fn median(times: usize, mut run: impl FnMut()) -> f64 {
    let mut samples: Vec<f64> = (0..times)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

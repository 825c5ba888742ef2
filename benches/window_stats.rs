//! Window statistics of 384 columns (a sentence embedding) and of 128,256 (the logits of a language model), beside
//! a copy of the same rows. Against NumPy: benches/window_stats.py.
#![allow(missing_docs)] // criterion_group! makes an undocumented function
#![allow(clippy::unwrap_used)]

use bitwire::beacon::stats::{Moments, Sigma};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn noise(len: usize) -> Vec<f32> {
    let mut x = 1u32;
    let mut next = || {
        x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (x >> 8) as f32 / 1e7 - 0.8
    };
    (0..len).map(|_| next()).collect()
}

fn window_stats(criterion: &mut Criterion) {
    for (dim, rows) in [(384, 4096), (128_256, 16)] {
        let matrix = noise(dim * rows);
        let mut group = criterion.benchmark_group(format!("window_stats/{rows}x{dim}"));
        group.throughput(Throughput::Bytes(4 * matrix.len() as u64));
        let mut copy = matrix.clone();
        group.bench_function("copy", |bencher| {
            bencher.iter(|| copy.copy_from_slice(std::hint::black_box(&matrix)));
        });
        for sigma in [Sigma::Trace, Sigma::Diagonal, Sigma::Full] {
            if sigma == Sigma::Full && dim > 384 {
                continue;
            }
            group.bench_function(BenchmarkId::from_parameter(format!("{sigma:?}")), |bencher| {
                let mut moments = Moments::new(dim, sigma).unwrap();
                bencher.iter(|| {
                    moments.push_rows_f32(std::hint::black_box(&matrix)).unwrap();
                    moments.summary().unwrap().trace()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, window_stats);
criterion_main!(benches);

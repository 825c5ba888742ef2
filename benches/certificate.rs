//! Parsing of EIGENGRAM certificates, and widening their vectors.

use bitwire::engram::certificate::{Certificate, RawCertificate};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn certificate(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificate");
    for (name, file) in [
        ("16", &include_bytes!("../tests/data/engram/eigengram/r16_plain.eng")[..]),
        ("116", include_bytes!("../tests/data/engram/eigengram/r116_plain.eng")),
        ("116 + 2 x 2048", include_bytes!("../tests/data/engram/eigengram/r116_fourier2048_v2_2048.eng")),
        ("99-byte header", include_bytes!("../tests/data/engram/eigengram/spec_v10_r116.eng")),
    ] {
        group.bench_function(BenchmarkId::new("parse", name), |b| {
            b.iter(|| Certificate::parse(black_box(file)).map(|found| found.cache_id().len()));
        });
        let found = Certificate::parse(file).expect("a certificate");
        let mut vector = vec![0.0; found.vec_perdoc().len()];
        group.bench_function(BenchmarkId::new("parse and widen vec_perdoc", name), |b| {
            b.iter(|| {
                let found = Certificate::parse(black_box(file))?;
                found.vec_perdoc().copy_into(&mut vector)
            });
        });
    }
    let cut = &include_bytes!("../tests/data/engram/eigengram/r16_text_cut_mid_utf8.eng")[..];
    group.bench_function("parse raw, text of 320 bytes", |b| {
        b.iter(|| RawCertificate::parse(black_box(cut)).map(|raw| raw.task_description_prefix().0.len()));
    });
    group.finish();
}

criterion_group!(benches, certificate);
criterion_main!(benches);

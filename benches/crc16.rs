//! CRC-16 per frame and per byte, beside the table form of the `crc` crate in the same run.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn crc16(c: &mut Criterion) {
    let table = crc::Crc::<u16, crc::Table<16>>::new(&crc::CRC_16_IBM_3740);
    let mut group = c.benchmark_group("crc16");
    for len in [16, 64, 200, 1 << 10, 16 << 10, 1 << 20, 64 << 20] {
        let data: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        assert_eq!(bitwire::frame::crc16(&data), table.checksum(&data));
        group.throughput(Throughput::Bytes(len as u64));
        if len > 1 << 20 {
            group.sample_size(20);
        }
        group.bench_function(BenchmarkId::new("bitwire", len), |b| {
            b.iter(|| bitwire::frame::crc16(black_box(&data)));
        });
        group.bench_function(BenchmarkId::new("crc Table<16>", len), |b| {
            b.iter(|| table.checksum(black_box(&data)));
        });
    }
    group.finish();
}

criterion_group!(benches, crc16);
criterion_main!(benches);

//! A small beacon, parsed and verified, beside the hash it cannot do without:
//! `cargo bench --features simd --bench frame`.

use std::hint::black_box;

use bitwire::beacon::Beacon;
use bitwire::frame::{Config, Context, ContextHash, Element, Frame, FrameBuilder, Key, Kind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A signed beacon of exactly `len` bytes.
fn signed(len: usize, context: Option<&Context>) -> Vec<u8> {
    let key = Key::new(KEY).unwrap();
    let config = Config::new(Kind::BEACON, Element::I16, 1, 0, 1024);
    let build = |dim: usize, payload: &[u8]| {
        let ctx = context.map_or(ContextHash([0; 8]), Context::hash);
        let builder = FrameBuilder::new(ctx, Config { dim: dim as u32, ..config }, payload);
        let builder = match context {
            Some(context) => builder.context_json(context.as_str().as_bytes()).unwrap(),
            None => builder,
        };
        builder.sign(&key).encode().unwrap()
    };
    let dim = (len - build(0, &[]).len()) / 2;
    let frame = build(dim, &vec![7; dim * 2]);
    assert!(frame.len().abs_diff(len) < 2, "{}", frame.len());
    frame
}

fn small_beacon(c: &mut Criterion) {
    let mut group = c.benchmark_group("beacon of 200 bytes");
    let key = Key::new(KEY).unwrap();
    let bare_key = Hmac::<Sha256>::new_from_slice(KEY).unwrap();

    let frame = signed(200, None);
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function("parse and CRC", |b| b.iter(|| Frame::parse(black_box(&frame)).unwrap()));
    group.bench_function("parse, CRC, typed view", |b| {
        b.iter(|| Beacon::from_frame(&Frame::parse(black_box(&frame)).unwrap().0).unwrap())
    });
    group.bench_function("bare HMAC-SHA-256 of 200 bytes", |b| {
        b.iter(|| bare_key.clone().chain_update(black_box(&frame)).finalize())
    });
    group.bench_function("parse, CRC, HMAC", |b| {
        b.iter(|| Frame::parse(black_box(&frame)).unwrap().0.verify(&key).unwrap())
    });

    let context = Context::new("docs", "m", "en", 18).unwrap();
    let frame = signed(200, Some(&context));
    group.bench_function("with CONTEXT_V1: parse and CRC", |b| {
        b.iter(|| Frame::parse(black_box(&frame)).unwrap())
    });
    group.bench_function("with CONTEXT_V1: parse, CRC, HMAC", |b| {
        b.iter(|| Frame::parse(black_box(&frame)).unwrap().0.verify(&key).unwrap())
    });
    group.bench_function("route", |b| {
        let frame = Frame::parse(&frame).unwrap().0;
        b.iter(|| black_box(&frame).routing_key())
    });
    group.finish();
}

criterion_group!(benches, small_beacon);
criterion_main!(benches);

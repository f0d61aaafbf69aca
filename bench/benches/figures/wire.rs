//! The frames between guests: full chunks, their CRC, their digest, and a plain copy of as many bytes beside them.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use fades_wire::batch::{Batch, BatchBuilder, MAX_POINTS_PER_BATCH};
use fades_wire::digest::Meter;
use fades_wire::frame::{Decoder, Encoder, Kind};

fn full() -> BatchBuilder {
    let mut builder = BatchBuilder::new(0);
    for (time, value) in (0..i64::MAX).zip((0u32..).map(f64::from)).take(MAX_POINTS_PER_BATCH) {
        builder.push(time * 1_000_000_000, value);
    }
    builder
}

pub(crate) fn benches(c: &mut Criterion) {
    let mut body = Vec::new();
    full().write(&mut body);
    let mut framed = Vec::new();
    Encoder::data().frame(Kind::Chunk, 0, &body, &mut framed).unwrap();
    let bytes = u64::try_from(body.len()).unwrap();

    let mut group = c.benchmark_group("wire");
    group.throughput(Throughput::Bytes(bytes));
    let mut out = Vec::with_capacity(framed.len());
    group.bench_function("encode", |b| {
        let mut encoder = Encoder::data();
        b.iter(|| {
            out.clear();
            encoder.frame(Kind::Chunk, 0, black_box(&body), &mut out).unwrap();
        });
    });
    group.bench_function("decode", |b| {
        b.iter_batched_ref(
            Decoder::data,
            |decoder| {
                decoder.push(black_box(&framed));
                let frame = decoder.next().unwrap().unwrap();
                Batch::parse(frame.body).unwrap().len()
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("batch_write", |b| {
        let builder = full();
        b.iter_batched_ref(
            || builder.clone(),
            |builder| {
                out.clear();
                builder.write(&mut out);
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("batch_read", |b| {
        b.iter(|| Batch::parse(black_box(&body)).unwrap().values().sum::<f64>());
    });
    group.bench_function("digest", |b| {
        let mut meter = Meter::default();
        b.iter(|| meter.chunk(&Batch::parse(black_box(&body)).unwrap()));
    });
    group.bench_function("memcpy", |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&body));
        });
    });
    group.finish();
}

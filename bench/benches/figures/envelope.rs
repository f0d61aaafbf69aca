//! The envelope: what a signed wrapper of ordinary size costs at the door, good and bad.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fades_envelope::{Purpose, SigningKey, parse, sign};

/// A wrapper with four operations is about this long.
const PAYLOAD: usize = 1500;

pub(crate) fn benches(c: &mut Criterion) {
    let key = SigningKey::from_seed(&[7; 32]);
    let public = key.public();
    let good = sign(&key, Purpose::Task, &[b'x'; PAYLOAD]);
    // One bit of the payload: the shape stands, the signature does not.
    let mut forged = good.clone();
    let middle = good.len() / 2;
    forged[middle] ^= 1;
    let mut torn = good.clone();
    torn[0] ^= 1;
    assert!(parse(&good).unwrap().verify(&public, Purpose::Task).is_ok());
    assert!(parse(&forged).unwrap().verify(&public, Purpose::Task).is_err());
    assert!(parse(&torn).is_err());

    let mut group = c.benchmark_group("envelope");
    group.throughput(Throughput::Elements(1));
    group.bench_function("verify", |b| {
        b.iter(|| parse(black_box(&good)).unwrap().verify(&public, Purpose::Task).is_ok());
    });
    group.bench_function("forged", |b| {
        b.iter(|| parse(black_box(&forged)).unwrap().verify(&public, Purpose::Task).is_err());
    });
    group.bench_function("malformed", |b| b.iter(|| parse(black_box(&torn)).is_err()));
    group.bench_function("parse", |b| b.iter(|| parse(black_box(&good)).is_ok()));
    group.bench_function("sign", |b| b.iter(|| sign(&key, Purpose::Task, black_box(&[b'x'; PAYLOAD]))));
    group.finish();
}

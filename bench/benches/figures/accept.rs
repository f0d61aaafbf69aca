//! Tasks accepted over real HTTP, each on disk before its 202, beside what the disk itself can do.
//!
//! The daemon runs in this process with guests that never end, so that all that is measured is the way of a wrapper from
//! the socket to the store. Signing is done before the clock starts.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use crate::node::{BenchNode, Connection};

/// Services at once.
const CONCURRENT: usize = 32;
/// Bytes per write of the disk's own figure: one page, the least that a store writes.
const PAGE: [u8; 4096] = [7; 4096];
/// Pages that are written in turn.
const PAGES: usize = 4096;

pub(crate) fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("accept");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(4));

    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = File::create(folder.path().join("pages")).unwrap();
    // Pages that exist, as most of a store's do: a file that grows would cost the disk's journal as well.
    file.write_all_at(&vec![1; PAGE.len() * PAGES], 0).unwrap();
    file.sync_all().unwrap();
    let mut pages = (0..u64::MAX).map(|page| page % PAGES as u64 * PAGE.len() as u64);
    group.throughput(Throughput::Elements(1));
    group.bench_function("fdatasync", |b| {
        b.iter(|| {
            file.write_all_at(&PAGE, pages.next().unwrap()).unwrap();
            file.sync_data().unwrap();
        });
    });

    let node = BenchNode::start();
    let mut one = Connection::open(&node);
    group.bench_function("single", |b| b.iter_custom(|tasks| one.post_all(&node.wrappers(tasks))));

    let mut many: Vec<Connection> = (0..CONCURRENT).map(|_| Connection::open(&node)).collect();
    group.throughput(Throughput::Elements(CONCURRENT as u64));
    group.bench_function("concurrent_32", |b| {
        b.iter_custom(|tasks| {
            let wrappers: Vec<_> = many.iter().map(|_| node.wrappers(tasks)).collect();
            let start = Instant::now();
            thread::scope(|scope| {
                for (connection, wrappers) in many.iter_mut().zip(&wrappers) {
                    scope.spawn(|| connection.post_all(wrappers));
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

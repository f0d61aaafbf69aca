//! The switch: raw frames from a function's link to its broker's, beside the same bytes through a bare socket pair.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use fades_core::Role;
use fades_core::network::Network;
use fades_net::testpeer::segment;
use fades_net::{DATA_PORT, NetConfig, VirtualNetwork};

/// Written at once, as QEMU does with what its guest has sent meanwhile.
const BURST: usize = 128 << 10;

/// The time for `bursts` bursts to come out at the other end.
fn through(from: &mut UnixStream, to: &mut UnixStream, burst: &[u8], bursts: u64) -> Duration {
    let total = burst.len() as u64 * bursts;
    let mut buffer = vec![0; 1 << 20];
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| (0..bursts).for_each(|_| from.write_all(burst).unwrap()));
        let mut seen = 0;
        while seen < total {
            let count = to.read(&mut buffer).unwrap();
            assert!(count > 0, "the link has ended");
            seen += count as u64;
        }
    });
    start.elapsed()
}

pub(crate) fn benches(c: &mut Criterion) {
    let net = VirtualNetwork::start(NetConfig::default(), Arc::new(|_| ()), Arc::new(|_| ())).unwrap();
    let broker = net.attach(Role::Broker).unwrap();
    let function = net.attach(Role::Function).unwrap();
    let (mut from, mut to) = (UnixStream::from(function.link), UnixStream::from(broker.link));
    let (mut left, mut right) = UnixStream::pair().unwrap();

    let mut group = c.benchmark_group("switch");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    // An acknowledgement, a full frame at Ethernet's usual MTU, and one at ours.
    for (name, payload) in [("frames_64", 10), ("frames_1500", 1460), ("frames_9000", 8960)] {
        let frame = segment((function.address, 5000), (broker.address, DATA_PORT), &vec![7; payload]);
        let framed = [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat();
        let frames = BURST / framed.len() + 1;
        let burst = framed.repeat(frames);
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(name, |b| {
            b.iter_custom(|bursts| through(&mut from, &mut to, &burst, bursts));
        });
        if payload == 8960 {
            group.bench_function("socketpair_9000", |b| {
                b.iter_custom(|bursts| through(&mut left, &mut right, &burst, bursts));
            });
        }
    }
    group.finish();
    assert_eq!(net.counters().dropped_full, 0, "frames were dropped");
}

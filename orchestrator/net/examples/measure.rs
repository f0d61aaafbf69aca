//! Measures the virtual network on this machine: `cargo run --locked --release -p fades-net --features testpeer --example measure`.
//! Guests are threads of this process, so their work is in the figures too.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program for people, which may stop at any error"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fades_core::Role;
use fades_core::network::{NetEvent, Network, PortId, SourceEndpoint};
use fades_net::policy::{PortFacts, Table, classify};
use fades_net::testpeer::{TestPeer, segment};
use fades_net::{CONTROL_PORT, DATA_PORT, GATEWAY, NetConfig, VirtualNetwork};

const MB: f64 = 1e6;

fn network(config: NetConfig) -> VirtualNetwork {
    VirtualNetwork::start(config, Arc::new(|_| ()), Arc::new(|_| ())).unwrap()
}

fn classification() {
    let facts = |port, role, address, broker| PortFacts { port: PortId(port), role, address, broker };
    let (broker, function) = (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 3));
    let mut table = Table::new(9000);
    table.insert(facts(1, Role::Broker, broker, None));
    let from = facts(2, Role::Function, function, Some(PortId(1)));
    table.insert(from);
    let frame = segment((function, 5000), (broker, DATA_PORT), &[0; 8960]);
    let (start, rounds) = (Instant::now(), 5_000_000u32);
    for _ in 0..rounds {
        std::hint::black_box(classify(std::hint::black_box(&frame), &from, &table));
    }
    println!("classify: {:.1} ns per frame", start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds));
}

/// Raw frames from a function to its broker, no TCP: what the switch alone can do.
fn forwarding(payload: usize) {
    let net = network(NetConfig::default());
    let broker = net.attach(Role::Broker).unwrap();
    let function = net.attach(Role::Function).unwrap();
    let frame = segment((function.address, 5000), (broker.address, DATA_PORT), &vec![7; payload]);
    let framed = [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat();
    let batch = framed.repeat((128 << 10) / framed.len() + 1);
    let (mut from, mut to) = (UnixStream::from(function.link), UnixStream::from(broker.link));
    let total: usize = if payload < 1000 { 256 << 20 } else { 2 << 30 };
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let mut left = total;
        while left > 0 {
            from.write_all(&batch).unwrap();
            left = left.saturating_sub(batch.len());
        }
        from
    });
    let mut buffer = vec![0; 1 << 20];
    let mut seen = 0;
    while seen < total {
        seen += to.read(&mut buffer).unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(writer.join().unwrap());
    let dropped = net.counters().dropped_full;
    let bytes = seen as f64;
    println!(
        "forward, {:5}-byte frames: {:7.0} k frames/s, {:5.0} MB/s, {dropped} dropped",
        frame.len(),
        bytes / framed.len() as f64 / seconds / 1e3,
        bytes / seconds / MB
    );
}

fn timed(mut from: impl Read, total: usize) -> f64 {
    let mut buffer = vec![0; 256 << 10];
    let (start, mut seen) = (Instant::now(), 0);
    while seen < total {
        seen += from.read(&mut buffer).unwrap();
    }
    total as f64 / start.elapsed().as_secs_f64() / MB
}

fn stream(mtu: u16, buffer: usize) {
    let net = network(NetConfig { mtu, ..NetConfig::default() });
    let broker = TestPeer::start(net.attach(Role::Broker).unwrap()).unwrap();
    let function = TestPeer::start(net.attach(Role::Function).unwrap()).unwrap();
    broker.set_buffer(buffer);
    function.set_buffer(buffer);
    let listener = broker.listen(DATA_PORT).unwrap();
    let reader = function.connect(broker.address(), DATA_PORT).unwrap();
    let mut writer = listener.accept(Duration::from_secs(5)).unwrap();
    let total = 512 << 20;
    let rate = thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&vec![7; total]).unwrap());
        timed(reader, total)
    });
    println!("TCP broker to function, MTU {mtu:4}, {:4} KiB buffers: {rate:5.0} MB/s", buffer >> 10);
}

fn source(mtu: u16, buffer: usize) {
    let config = NetConfig { mtu, source_buffer: buffer, ..NetConfig::default() };
    let net = network(config);
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let endpoint = SourceEndpoint { host: "127.0.0.1".into(), port, allow_private: false };
    let source = net.register_source("s", endpoint).unwrap();
    let broker = TestPeer::start(net.attach(Role::Broker).unwrap()).unwrap();
    broker.set_buffer(buffer.max(64 << 10));
    let total = 512 << 20;
    let rate = thread::scope(|scope| {
        scope.spawn(move || host.accept().unwrap().0.write_all(&vec![7; total]).unwrap());
        timed(broker.connect(source.address, source.port).unwrap(), total)
    });
    println!("source to broker, MTU {mtu:4}, {:4} KiB buffers: {rate:5.0} MB/s", buffer >> 10);
}

fn control() {
    let (sender, events) = std::sync::mpsc::channel();
    let sink = Arc::new(move |event| drop(sender.send(event)));
    let net = VirtualNetwork::start(NetConfig::default(), sink, Arc::new(|_| ())).unwrap();
    let peer = TestPeer::start(net.attach(Role::Function).unwrap()).unwrap();
    let mut stream = peer.connect(GATEWAY, CONTROL_PORT).unwrap();
    let mut times: Vec<Duration> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            stream.write_all(&[1; 64]).unwrap();
            loop {
                if let NetEvent::ControlData(port, bytes) = events.recv().unwrap() {
                    net.consumed(port, bytes.len());
                    net.send_control(port, bytes).unwrap();
                    break;
                }
            }
            stream.read_exact(&mut [0; 64]).unwrap();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("control round trip: median {:?}, 99% {:?}", times[1000], times[1980]);
    let start = Instant::now();
    let peer = TestPeer::start(net.attach(Role::Function).unwrap()).unwrap();
    let _stream = peer.connect(GATEWAY, CONTROL_PORT).unwrap();
    println!("attach and connect to control: {:?}", start.elapsed());
}

fn main() {
    classification();
    for payload in [10, 1460, 8960] {
        forwarding(payload);
    }
    for (mtu, buffer) in [1500, 9000].into_iter().flat_map(|mtu| [64, 256, 1024].map(|kib| (mtu, kib << 10)))
    {
        stream(mtu, buffer);
        source(mtu, buffer);
    }
    control();
}

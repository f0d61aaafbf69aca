//! Frames between guests: what gets through whole, and what one guest can do to others.

mod common;

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use common::{SOON, digest, drain, eventually, pattern, pour, start};
use fades_core::Role;
use fades_core::network::Network;
use fades_net::{CONTROL_PORT, DATA_PORT, GATEWAY, LinkError, NetConfig, Reason, Report, mac_of};

const MIB: usize = 1 << 20;

#[test]
fn a_function_reads_from_its_broker_whole() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let function = net.peer(Role::Function);
    let mut stream = function.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    let sent = pattern(1, 32 * MIB);
    let expected = digest(&sent);
    thread::scope(|scope| {
        scope.spawn(|| pour(&mut served, &sent).unwrap());
        stream.write_all(b"open").unwrap();
        let got = drain(&mut stream).unwrap();
        assert_eq!(got.len(), 32 * MIB);
        assert_eq!(digest(&got), expected);
    });
    let mut asked = [0; 4];
    served.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"open");
    assert_eq!(net.net.counters().dropped_full, 0);
}

#[test]
fn four_functions_at_once() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let functions: Vec<_> = (0..4).map(|_| net.peer(Role::Function)).collect();
    thread::scope(|scope| {
        for (i, function) in functions.iter().enumerate() {
            let address = broker.address();
            scope.spawn(move || {
                let mut stream = function.connect(address, DATA_PORT).unwrap();
                let own = pattern(i as u64 + 10, 4 * MIB);
                pour(&mut stream, &own).unwrap();
                assert_eq!(digest(&drain(&mut stream).unwrap()), digest(&own), "function {i}");
            });
        }
        for _ in 0..4 {
            let mut served = listener.accept(SOON).unwrap();
            scope.spawn(move || {
                let all = drain(&mut served).unwrap();
                pour(&mut served, &all).unwrap();
                // The stream closes when it is dropped; what is queued still goes.
            });
        }
    });
}

#[test]
fn g8_functions_reach_neither_each_other_nor_the_host_nor_the_outside() {
    let net = start();
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = net.source("s", host.local_addr().unwrap());
    let broker = net.peer(Role::Broker);
    let _listening = broker.listen(22).unwrap();
    let two = net.peer(Role::Function);
    let _open = two.listen(DATA_PORT).unwrap();
    let _ = (two.frames(), broker.frames());
    let short = Duration::from_millis(100);
    for (address, port, reason) in [
        (two.address(), DATA_PORT, Reason::ArpTarget),
        (two.address(), 80, Reason::ArpTarget),
        (Ipv4Addr::new(10, 77, 9, 9), 80, Reason::ArpTarget),
        (broker.address(), 22, Reason::TcpPort),
        (GATEWAY, source, Reason::TcpPort),
        (GATEWAY, host.local_addr().unwrap().port(), Reason::TcpPort),
        (GATEWAY, DATA_PORT, Reason::TcpPort),
    ] {
        // A new one each time, as a guest's stack asks by ARP once per second only.
        let one = net.peer(Role::Function);
        assert!(one.connect_within(address, port, short).is_err(), "{address}:{port}");
        net.dropped(one.id(), reason, 1);
        assert_eq!(net.net.port_counters(one.id()).unwrap().forwarded(), 0);
    }
    let outside = Ipv4Addr::new(192, 168, 1, 1);
    assert!(two.connect_within(outside, 80, short).is_err(), "no route leads there");
    assert!(two.frames().is_empty(), "the other function has seen nothing, not even ARP");
    assert!(broker.frames().is_empty(), "nor has the broker");
    host.set_nonblocking(true).unwrap();
    assert!(host.accept().is_err(), "nor the host");
}

fn frame(from: Ipv4Addr, to: [u8; 6], kind: u16, body: &[u8]) -> Vec<u8> {
    [&to[..], &mac_of(from).0, &kind.to_be_bytes(), body].concat()
}

#[test]
fn g7_lies_and_storms_are_counted_and_harm_nobody() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let (good, bad) = (net.peer(Role::Function), net.peer(Role::Function));
    let mut stream = good.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    let _ = (good.frames(), broker.frames());
    thread::scope(|scope| {
        scope.spawn(|| pour(&mut served, &pattern(3, 8 * MIB)).unwrap());
        let reader = scope.spawn(|| drain(&mut stream).unwrap());
        // ARP for everybody, from everybody, as fast as it goes.
        let mut storm = vec![0, 1, 8, 0, 6, 4, 0, 1];
        storm.extend(mac_of(bad.address()).0);
        storm.extend(bad.address().octets());
        storm.extend([0; 6]);
        storm.extend(good.address().octets());
        let storm = frame(bad.address(), [255; 6], 0x0806, &storm);
        (0..20_000).for_each(|_| bad.send_frame(&storm));
        bad.send_frame(&frame(good.address(), [255; 6], 0x0806, &[0; 28]));
        bad.send_frame(&[]);
        bad.send_frame(&[1; 13]);
        bad.send_frame(&frame(bad.address(), [255; 6], 0x0800, &[0; 9001]));
        bad.send_frame(&frame(bad.address(), [255; 6], 0x86dd, &[0; 40]));
        bad.send_frame(&frame(bad.address(), [255; 6], 0x8100, &[0; 40]));
        bad.send_frame(&vec![0; 60_000]);
        let got = reader.join().unwrap();
        assert_eq!(digest(&got), digest(&pattern(3, 8 * MIB)));
    });
    for (reason, count) in [
        (Reason::ArpTarget, 20_000),
        (Reason::SourceMac, 1),
        (Reason::Runt, 2),
        (Reason::Giant, 2),
        (Reason::Ipv6, 1),
        (Reason::Vlan, 1),
    ] {
        net.dropped(bad.id(), reason, count);
    }
    let sums = net.net.counters();
    assert_eq!((sums.dropped_spoofed, sums.dropped_malformed, sums.dropped_policy), (1, 4, 20_002));
    let own = mac_of(bad.address()).0;
    let from_bad = |frames: Vec<Vec<u8>>| frames.iter().any(|f| f[6..12] == own);
    assert!(!from_bad(good.frames()) && !from_bad(broker.frames()));
}

#[test]
fn a_lying_length_closes_the_port_and_only_it() {
    let net = start();
    let (one, two) = (net.peer(Role::Function), net.peer(Role::Function));
    one.send_bytes(&u32::MAX.to_be_bytes());
    assert!(one.link_closed(SOON));
    let report = net.report();
    assert!(
        matches!(&report, Report::LinkLost { port, why: LinkError::Framing(_) } if *port == one.id()),
        "{report:?}"
    );
    two.connect(GATEWAY, CONTROL_PORT).unwrap();
}

#[test]
fn g10_a_slow_receiver_does_not_hold_up_others() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let (slow, fast) = (net.peer(Role::Function), net.peer(Role::Function));
    // Windows far beyond the queue, so that only the switch can hold the broker back.
    slow.set_buffer(16 * MIB);
    broker.set_buffer(16 * MIB);
    let listener = broker.listen(DATA_PORT).unwrap();
    let _stuck = slow.connect(broker.address(), DATA_PORT).unwrap();
    let mut to_slow = listener.accept(SOON).unwrap();
    let mut stream = fast.connect(broker.address(), DATA_PORT).unwrap();
    let mut to_fast = listener.accept(SOON).unwrap();
    slow.set_reading(false);
    let sent = pattern(5, 16 * MIB);
    let counters = net.net.port_counters(broker.id()).unwrap();
    to_slow.write_all(&vec![4; 15 * MIB]).unwrap();
    eventually(|| counters.pauses() > 0, || "the broker is not held back".into());
    thread::scope(|scope| {
        let start = Instant::now();
        scope.spawn(|| pour(&mut to_fast, &sent).unwrap());
        assert_eq!(digest(&drain(&mut stream).unwrap()), digest(&sent));
        let took = start.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?} for 16 MiB beside a stalled receiver");
    });
    assert!(counters.dropped(Reason::ReceiverStalled) > 0, "after one pause frames are dropped instead");
    to_slow.abort();
}

#[test]
fn a_receiver_that_wakes_up_gets_everything() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    let function = net.peer(Role::Function);
    let mut stream = function.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    let sent = pattern(6, 12 * MIB);
    thread::scope(|scope| {
        scope.spawn(|| pour(&mut served, &sent).unwrap());
        for _ in 0..3 {
            function.set_reading(false);
            thread::sleep(Duration::from_millis(80));
            function.set_reading(true);
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(digest(&drain(&mut stream).unwrap()), digest(&sent));
    });
}

#[test]
fn a_port_that_dies_in_mid_stream_harms_nobody() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    for round in 0..20u64 {
        let (dying, living) = (net.peer(Role::Function), net.peer(Role::Function));
        let mut doomed = dying.connect(broker.address(), DATA_PORT).unwrap();
        let mut to_doomed = listener.accept(SOON).unwrap();
        let mut stream = living.connect(broker.address(), DATA_PORT).unwrap();
        let mut to_living = listener.accept(SOON).unwrap();
        let sent = pattern(round, MIB);
        thread::scope(|scope| {
            scope.spawn(|| to_doomed.write_all(&pattern(9, MIB / 2)));
            scope.spawn(|| pour(&mut to_living, &sent).unwrap());
            let id = dying.id();
            let mut some = vec![0; 1 + usize::try_from(round).unwrap() * 9000];
            doomed.read_exact(&mut some).unwrap();
            drop(dying);
            assert_eq!(digest(&drain(&mut stream).unwrap()), digest(&sent));
            assert!(
                matches!(net.report(), Report::LinkLost { port, why: LinkError::Closed | LinkError::Io(_) } if port == id)
            );
            net.net.detach(id);
        });
        to_doomed.abort();
        let id = living.id();
        net.net.detach(id);
        assert!(living.link_closed(SOON), "detach closes the link");
    }
}

#[test]
fn functions_of_an_earlier_broker_do_not_reach_the_new_one_unless_told() {
    let net = start();
    let first = net.peer(Role::Broker);
    let function = net.peer(Role::Function);
    let old = first.address();
    net.net.detach(first.id());
    let second = net.peer(Role::Broker);
    let _listener = second.listen(DATA_PORT).unwrap();
    assert_ne!(second.address(), old, "a new broker has a new address");
    let short = Duration::from_millis(150);
    assert!(function.connect_within(second.address(), DATA_PORT, short).is_err());
    assert!(function.connect_within(old, DATA_PORT, short).is_err());
    net.net.assign(function.id(), second.id());
    function.connect(second.address(), DATA_PORT).unwrap();
    net.peer(Role::Function).connect(second.address(), DATA_PORT).unwrap();
}

#[test]
fn first_connections_do_not_wait_for_arp() {
    let net = start();
    let broker = net.peer(Role::Broker);
    let listener = broker.listen(DATA_PORT).unwrap();
    for _ in 0..12 {
        let function = net.peer(Role::Function);
        let start = Instant::now();
        let _control = function.connect(GATEWAY, CONTROL_PORT).unwrap();
        let _data = function.connect(broker.address(), DATA_PORT).unwrap();
        let _ = listener.accept(SOON).unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?} for two connections");
    }
}

#[test]
fn addresses_come_back_late_and_are_never_shared() {
    let net = start();
    let mut seen = std::collections::HashSet::new();
    let keep = net.net.attach(Role::Function).unwrap();
    for _ in 0..3000 {
        let port = net.net.attach(Role::Function).unwrap();
        assert!(seen.insert(port.address), "{} again", port.address);
        assert_ne!(port.address, keep.address);
        assert_eq!(port.mac, mac_of(port.address).0);
        net.net.detach(port.id);
    }
    assert!(net.net.port_counters(keep.id).is_some());
}

#[test]
fn an_idle_network_does_not_spin_and_stops_cleanly() {
    let net = start();
    let function = net.peer(Role::Function);
    let _stream = function.connect(GATEWAY, CONTROL_PORT).unwrap();
    thread::sleep(Duration::from_millis(100));
    let before = net.net.turns();
    thread::sleep(Duration::from_millis(500));
    let turns = net.net.turns() - before;
    assert!(turns <= 3, "{turns} turns in half a second of nothing");
    net.net.shutdown();
    assert!(function.link_closed(SOON));
    assert!(net.net.attach(Role::Function).is_err());
    net.net.shutdown();
}

#[test]
fn a_blocked_port_does_not_make_the_loop_spin() {
    let net = common::start_with(
        NetConfig { patience: Duration::from_millis(400), ..NetConfig::default() },
        fades_net::system_lookup(),
    );
    let broker = net.peer(Role::Broker);
    let function = net.peer(Role::Function);
    function.set_buffer(16 * MIB);
    broker.set_buffer(16 * MIB);
    let listener = broker.listen(DATA_PORT).unwrap();
    let _stream = function.connect(broker.address(), DATA_PORT).unwrap();
    let mut served = listener.accept(SOON).unwrap();
    function.set_reading(false);
    served.write_all(&pattern(1, 12 * MIB)).unwrap();
    let counters = net.net.port_counters(broker.id()).unwrap();
    eventually(|| counters.pauses() > 0, || "no pause".into());
    let before = net.net.turns();
    thread::sleep(Duration::from_millis(200));
    let turns = net.net.turns() - before;
    assert!(turns <= 20, "{turns} turns while a sender waits");
    served.abort();
}

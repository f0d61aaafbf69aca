//! The gateway: the control endpoint and the way to sources.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Net, SOON, digest, drain, eventually, pattern, pour, start, start_with};
use fades_core::Role;
use fades_core::network::{NetEvent, Network, NetworkError, PortId, SourceEndpoint};
use fades_net::testpeer::TestPeer;
use fades_net::{AddressKind, CONTROL_PORT, GATEWAY, NetConfig, Report, SourceError};

const MIB: usize = 1 << 20;

fn connected(net: &Net, peer: &TestPeer) -> fades_net::testpeer::PeerStream {
    let stream = peer.connect(GATEWAY, CONTROL_PORT).unwrap();
    assert_eq!(net.event(), NetEvent::ControlConnected(peer.id()));
    stream
}

/// Collects this many bytes of control data and says they are consumed.
fn collect(net: &Net, port: PortId, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        match net.event() {
            NetEvent::ControlData(from, bytes) if from == port => {
                net.net.consumed(port, bytes.len());
                all.extend(bytes);
            }
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn control_carries_bytes_both_ways_and_knows_the_port() {
    let net = start();
    let (broker, function) = (net.peer(Role::Broker), net.peer(Role::Function));
    for peer in [&broker, &function] {
        let mut stream = connected(&net, peer);
        let sent = pattern(peer.id().0, 3 * MIB);
        thread::scope(|scope| {
            scope.spawn(|| stream.write_all(&sent).unwrap());
            assert_eq!(collect(&net, peer.id(), sent.len()), sent);
        });
        let answer = pattern(7, MIB);
        net.net.send_control(peer.id(), answer.clone()).unwrap();
        let mut got = vec![0; MIB];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(digest(&got), digest(&answer));
        drop(stream);
        assert_eq!(net.event(), NetEvent::ControlClosed(peer.id()));
        assert!(matches!(net.net.send_control(peer.id(), vec![1]), Err(NetworkError::NotConnected(_))));
        connected(&net, peer).abort();
        assert_eq!(net.event(), NetEvent::ControlClosed(peer.id()), "RST");
    }
    assert_eq!(net.net.counters().control_connections, 4);
}

#[test]
fn one_living_connection_per_port() {
    let net = start();
    let peer = net.peer(Role::Function);
    let mut first = connected(&net, &peer);
    let error = peer.connect(GATEWAY, CONTROL_PORT).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    net.net.send_control(peer.id(), b"still here".to_vec()).unwrap();
    let mut got = [0; 10];
    first.read_exact(&mut got).unwrap();
    net.net.close_control(peer.id());
    assert_eq!(net.event(), NetEvent::ControlClosed(peer.id()));
    assert_eq!(first.read(&mut got).unwrap(), 0);
    let _second = connected(&net, &peer);
}

#[test]
fn what_is_queued_before_a_close_arrives() {
    let net = start();
    let peer = net.peer(Role::Function);
    let mut stream = connected(&net, &peer);
    net.net.send_control(peer.id(), vec![9; 100_000]).unwrap();
    net.net.close_control(peer.id());
    assert_eq!(drain(&mut stream).unwrap(), vec![9; 100_000]);
}

#[test]
fn a_daemon_that_does_not_consume_closes_the_window() {
    let net = start();
    let peer = net.peer(Role::Function);
    peer.set_buffer(64 << 10);
    let mut stream = connected(&net, &peer);
    stream.set_patience(Duration::from_millis(300));
    let flood = vec![1; 4 * MIB];
    assert_eq!(stream.write_all(&flood).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    let mut seen = 0;
    while let Ok(NetEvent::ControlData(_, bytes)) =
        net.events.lock().unwrap().recv_timeout(Duration::from_millis(100))
    {
        seen += bytes.len();
    }
    assert_eq!(seen, NetConfig::default().control_unread, "exactly the bound");
    net.net.consumed(peer.id(), seen);
    assert!(matches!(net.event(), NetEvent::ControlData(..)), "it goes on when consumed");
}

#[test]
fn g10_a_guest_that_does_not_read_control_is_congested_not_endless() {
    let net = start();
    let peer = net.peer(Role::Function);
    peer.set_buffer(16 << 10);
    let _stream = connected(&net, &peer);
    let mut accepted = 0;
    let refused = loop {
        match net.net.send_control(peer.id(), vec![0; 64 << 10]) {
            Ok(()) => accepted += 64 << 10,
            Err(error) => break error,
        }
        assert!(accepted < 8 * MIB);
    };
    assert!(matches!(refused, NetworkError::Congested { .. }), "{refused}");
    assert!(matches!(net.net.send_control(PortId(999), vec![]), Err(NetworkError::UnknownPort(_))));
}

#[test]
fn the_last_words_of_a_dying_guest_arrive() {
    let net = start();
    for round in 0..30 {
        let peer = net.peer(Role::Function);
        let id = peer.id();
        let mut stream = connected(&net, &peer);
        let words = pattern(round, 100 << 10);
        stream.write_all(&words).unwrap();
        eventually(
            || net.net.port_counters(id).unwrap().forwarded_bytes() >= 100 << 10,
            || "the words have not left the guest".into(),
        );
        drop(peer);
        assert_eq!(collect(&net, id, words.len()), words);
        assert_eq!(net.event(), NetEvent::ControlClosed(id));
        net.net.detach(id);
    }
    net.no_event(Duration::from_millis(20));
}

#[test]
fn floods_at_the_gateway_cost_their_neighbours_little() {
    let net = start();
    let sent = Arc::new(pattern(1, 8 * MIB));
    let served = Arc::clone(&sent);
    let port = net.source("pour", serve(move |mut stream| stream.write_all(&served).unwrap()));
    let (broker, bad) = (net.peer(Role::Broker), net.peer(Role::Function));
    let mut flood = Vec::new();
    for guest_port in 1..2000 {
        let (from, to) = ((bad.address(), guest_port), (GATEWAY, CONTROL_PORT));
        flood.push(fades_net::testpeer::syn(from, to));
        flood.push(fades_net::testpeer::segment(from, to, b"no such connection"));
    }
    // It reads none of the answers either.
    bad.set_reading(false);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let id = bad.id();
    let flooding = thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            flood.iter().for_each(|frame| bad.send_frame(frame));
            thread::sleep(Duration::from_millis(1));
        }
        bad
    });
    let begin = Instant::now();
    let got = broker.connect(GATEWAY, port).and_then(|mut stream| drain(&mut stream));
    let good = net.peer(Role::Function);
    let control = good.connect(GATEWAY, CONTROL_PORT);
    let took = begin.elapsed();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let _bad = flooding.join().unwrap();
    assert_eq!(digest(&got.unwrap()), digest(&sent));
    assert!(control.is_ok(), "{control:?}");
    assert!(took < Duration::from_secs(6), "{took:?} beside a flood");
    assert!(net.net.port_counters(id).unwrap().forwarded() > 2000);
}

#[test]
fn g10_half_open_connections_make_way() {
    let net = start();
    let peer = net.peer(Role::Function);
    // It never hears the answer to its SYN.
    peer.set_reading(false);
    let handshake = peer.connect_within(GATEWAY, CONTROL_PORT, Duration::from_millis(50));
    assert!(handshake.is_err());
    peer.set_reading(true);
    let _stream = connected(&net, &peer);
}

/// A server that answers each connection by a closure.
fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

#[test]
fn a_broker_reads_a_source_whole_and_both_ends_close_by_halves() {
    let net = start();
    let port = net.source(
        "echo",
        serve(|mut stream| {
            let all = drain(&mut stream).unwrap();
            stream.write_all(&all).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }),
    );
    let broker = net.peer(Role::Broker);
    let sent = pattern(1, 16 * MIB);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut stream = broker.connect(GATEWAY, port).unwrap();
                pour(&mut stream, &sent).unwrap();
                assert_eq!(digest(&drain(&mut stream).unwrap()), digest(&sent));
            });
        }
    });
    assert_eq!(net.net.counters().source_connections, 3);
}

#[test]
fn a_source_that_closes_first_is_read_to_its_end() {
    let net = start();
    let port = net.source("short", serve(|mut stream| stream.write_all(&pattern(2, MIB)).unwrap()));
    let broker = net.peer(Role::Broker);
    for _ in 0..5 {
        let mut stream = broker.connect(GATEWAY, port).unwrap();
        assert_eq!(drain(&mut stream).unwrap(), pattern(2, MIB));
        stream.shutdown_write();
    }
}

/// What a source that sends little at a time is left to gather comes though nothing else happens, its end included.
#[test]
fn a_source_that_sends_little_at_a_time_is_read_in_fewer_pieces_and_whole() {
    const PIECES: usize = 200;
    let net = start();
    let port = net.source(
        "drops",
        serve(|mut stream| {
            stream.set_nodelay(true).unwrap();
            for piece in pattern(3, PIECES * 100).chunks(100) {
                stream.write_all(piece).unwrap();
                // Shorter than what it may gather for.
                let until = Instant::now() + Duration::from_micros(20);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
            // Open until the other side has had all of it: its end is not what brings the rest.
            let _ = stream.read(&mut [0]);
        }),
    );
    let broker = net.peer(Role::Broker);
    let mut stream = broker.connect(GATEWAY, port).unwrap();
    let received = || net.net.port_counters(broker.id()).unwrap().received();
    let before = received();
    let mut all = vec![0; PIECES * 100];
    stream.read_exact(&mut all).unwrap();
    assert_eq!(all, pattern(3, PIECES * 100));
    let frames = received() - before;
    assert!(frames < PIECES as u64, "{frames} frames for {PIECES} pieces");
    stream.shutdown_write();
    assert!(drain(&mut stream).unwrap().is_empty());
}

#[test]
fn a_slow_broker_holds_the_source_back_and_memory_stays() {
    let net = start();
    let written = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let port = net.source(
        "endless",
        serve(move |mut stream| {
            let chunk = [7; 64 << 10];
            while let Ok(n) = stream.write(&chunk) {
                counted.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
            }
        }),
    );
    let broker = net.peer(Role::Broker);
    broker.set_buffer(64 << 10);
    let stream = broker.connect(GATEWAY, port).unwrap();
    thread::sleep(Duration::from_millis(400));
    let before = written.load(std::sync::atomic::Ordering::Relaxed);
    thread::sleep(Duration::from_millis(200));
    let after = written.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(before, after, "the source still writes though nobody reads");
    stream.abort();
}

#[test]
fn a_reset_by_the_source_is_a_reset_at_the_broker() {
    let net = start();
    // Closing with unread bytes makes the system send RST.
    let port = net.source(
        "reset",
        serve(|mut stream| {
            let mut one = [0; 1];
            stream.read_exact(&mut one).unwrap();
        }),
    );
    let broker = net.peer(Role::Broker);
    let mut stream = broker.connect(GATEWAY, port).unwrap();
    stream.write_all(&[1; 100_000]).unwrap();
    let error = drain(&mut stream).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn refused(net: &Net, broker: &TestPeer, port: u16) -> SourceError {
    let error = broker.connect(GATEWAY, port).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    match net.report() {
        Report::SourceFailed { port, why, .. } => {
            assert_eq!(port, broker.id());
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_dead_source_is_refused_with_words() {
    let net = start();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let port = net.source("gone", gone);
    let broker = net.peer(Role::Broker);
    let why = refused(&net, &broker, port);
    assert!(matches!(&why, SourceError::Connect { address, .. } if *address == gone), "{why:?}");
    assert_eq!(net.net.counters().source_failures, 1);
}

#[test]
fn a_source_that_fails_on_and_on_is_told_of_at_times() {
    let net = start();
    let port = net.source("gone", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let broker = net.peer(Role::Broker);
    for _ in 0..40 {
        assert!(broker.connect(GATEWAY, port).is_err());
    }
    eventually(|| net.net.counters().source_failures == 40, || format!("{:?}", net.net.counters()));
    let mut told = 0;
    while net.reports.lock().unwrap().try_recv().is_ok() {
        told += 1;
    }
    assert!((1..=20).contains(&told), "{told} of 40 failures were told");
}

#[test]
fn names_are_checked_when_they_are_resolved() {
    let host = serve(|mut stream| stream.write_all(b"hello").unwrap());
    let lookup = move |name: &str, port: u16| -> std::io::Result<Vec<SocketAddr>> {
        let address = match name {
            "rebinding.example" => "127.0.0.1",
            "metadata.example" => "169.254.169.254",
            "lan.example" => "192.168.7.7",
            "mapped.example" => "::ffff:127.0.0.1",
            "localhost" => return Ok(vec!["169.254.1.1:1".parse().unwrap(), host]),
            "empty.example" => return Ok(Vec::new()),
            _ => return Err(std::io::Error::other("no such name")),
        };
        Ok(vec![SocketAddr::new(address.parse().unwrap(), port)])
    };
    let net = start_with(NetConfig::default(), Arc::new(lookup));
    let broker = net.peer(Role::Broker);
    let named = |host: &str, allow_private| {
        let endpoint =
            SourceEndpoint { host: host.into(), port: host.len().try_into().unwrap(), allow_private };
        net.net.register_source(host, endpoint).unwrap().port
    };
    for (name, private, expected) in [
        ("rebinding.example", false, AddressKind::Loopback),
        ("rebinding.example", true, AddressKind::Loopback),
        ("metadata.example", true, AddressKind::LinkLocal),
        ("mapped.example", true, AddressKind::Loopback),
        ("lan.example", false, AddressKind::Private),
    ] {
        let why = refused(&net, &broker, named(name, private));
        assert!(matches!(&why, SourceError::AddressRefused { kind, .. } if *kind == expected), "{why}");
    }
    assert!(matches!(refused(&net, &broker, named("empty.example", true)), SourceError::NoAddress { .. }));
    assert!(matches!(refused(&net, &broker, named("other.example", true)), SourceError::Resolve { .. }));
    let mut stream = broker.connect(GATEWAY, named("localhost", false)).unwrap();
    assert_eq!(drain(&mut stream).unwrap(), b"hello", "the address that is allowed is used");
    // The daemon's own questions are judged alike.
    let leads = |host: &str, allow_private, address: &str| {
        let endpoint = SourceEndpoint { host: host.into(), port: 1, allow_private };
        net.net.leads(endpoint, address.parse().unwrap())
    };
    assert!(
        leads("localhost", false, "127.0.0.1").is_ok() && leads("lan.example", true, "192.168.7.7").is_ok()
    );
    let words = leads("lan.example", false, "192.168.7.7").unwrap_err().to_string();
    assert!(words.contains("192.168.7.7 is a private address"), "{words}");
    assert!(leads("rebinding.example", true, "127.0.0.1").is_err());
}

#[test]
fn a_resolver_that_hangs_costs_the_deadline_and_nobody_else() {
    let hang = |_: &str, _: u16| {
        thread::sleep(Duration::from_millis(1200));
        Err(std::io::Error::other("late"))
    };
    let config = NetConfig { connect_deadline: Duration::from_millis(200), ..NetConfig::default() };
    let net = start_with(config, Arc::new(hang));
    let quick = net.source("quick", serve(|mut stream| stream.write_all(b"hello").unwrap()));
    let endpoint = SourceEndpoint { host: "slow.example".into(), port: 1, allow_private: false };
    let slow = net.net.register_source("slow", endpoint).unwrap().port;
    let broker = net.peer(Role::Broker);
    let start = Instant::now();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| refused(&net, &broker, slow));
        let mut stream = broker.connect(GATEWAY, quick).unwrap();
        assert_eq!(drain(&mut stream).unwrap(), b"hello");
        assert!(start.elapsed() < Duration::from_millis(200), "the loop does not wait for names");
        assert!(matches!(waiting.join().unwrap(), SourceError::Deadline { .. }));
    });
}

#[test]
fn a_source_taken_away_ends_and_a_moved_one_leads_elsewhere() {
    let net = start();
    let hold = |word: &'static [u8]| {
        serve(move |mut stream| {
            stream.write_all(word).unwrap();
            let _ = drain(&mut stream);
        })
    };
    let port = net.source("s", hold(b"one"));
    let broker = net.peer(Role::Broker);
    let read = || {
        let mut stream = broker.connect(GATEWAY, port).unwrap();
        let mut word = [0; 3];
        stream.read_exact(&mut word).unwrap();
        (stream, word)
    };
    let (mut first, word) = read();
    assert_eq!(&word, b"one");
    assert_eq!(net.source("s", hold(b"two")), port, "the address stays");
    assert!(drain(&mut first).is_err(), "a connection to the old place is reset");
    let (mut second, word) = read();
    assert_eq!(&word, b"two");
    net.net.unregister_source("s");
    assert!(drain(&mut second).is_err());
    assert!(broker.connect_within(GATEWAY, port, Duration::from_millis(100)).is_err());
    assert_ne!(net.source("s", hold(b"six")), port, "a port is not used again at once");
}

#[test]
fn source_connections_are_bounded_and_come_back() {
    let net =
        start_with(NetConfig { source_connections: 3, ..NetConfig::default() }, fades_net::system_lookup());
    let port = net.source("hold", serve(|mut stream| drop(drain(&mut stream))));
    let broker = net.peer(Role::Broker);
    for round in 0..5 {
        let mut held = Vec::new();
        let deadline = Instant::now() + SOON;
        while held.len() < 3 {
            // The last round's connections take a moment to end.
            held.extend(broker.connect(GATEWAY, port));
            assert!(Instant::now() < deadline, "connections do not come back, round {round}");
        }
        // Attempts that came too soon were reported as well, and a source's reports are few a minute.
        if round == 0 {
            assert!(matches!(refused(&net, &broker, port), SourceError::TooMany { limit: 3 }));
        } else {
            assert!(broker.connect(GATEWAY, port).is_err(), "a fourth, round {round}");
        }
    }
}

#[test]
fn a_broker_that_dies_ends_its_source_connections() {
    let net = start();
    let (ended_in, ended) = std::sync::mpsc::channel();
    let port = net.source(
        "watch",
        serve(move |mut stream| {
            let _ = drain(&mut stream);
            ended_in.send(()).unwrap();
        }),
    );
    let broker = net.peer(Role::Broker);
    let _streams: Vec<_> = (0..4).map(|_| broker.connect(GATEWAY, port).unwrap()).collect();
    let id = broker.id();
    drop(broker);
    for _ in 0..4 {
        ended.recv_timeout(SOON).expect("the host side of a dead guest's connection closes");
    }
    net.net.detach(id);
}

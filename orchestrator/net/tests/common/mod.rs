//! What the tests share: a network with its events and reports at hand, and patterns to send.
#![expect(dead_code, unreachable_pub, reason = "each test file is a crate of its own and uses part of this")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fades_core::Role;
use fades_core::network::{NetEvent, Network, PortId, SourceEndpoint};
use fades_net::testpeer::TestPeer;
use fades_net::{NetConfig, Reason, Report, VirtualNetwork};
use sha2::{Digest, Sha256};

pub const SOON: Duration = Duration::from_secs(10);

pub struct Net {
    pub net: Arc<VirtualNetwork>,
    pub events: Mutex<Receiver<NetEvent>>,
    pub reports: Mutex<Receiver<Report>>,
}

pub fn start() -> Net {
    start_with(NetConfig::default(), fades_net::system_lookup())
}

pub fn start_with(config: NetConfig, lookup: fades_net::Lookup) -> Net {
    let (events_in, events) = channel();
    let (reports_in, reports) = channel();
    let net = VirtualNetwork::start_with(
        config,
        Arc::new(move |event| drop(events_in.send(event))),
        Arc::new(move |report| drop(reports_in.send(report))),
        lookup,
    )
    .unwrap();
    Net { net: Arc::new(net), events: Mutex::new(events), reports: Mutex::new(reports) }
}

impl Net {
    pub fn peer(&self, role: Role) -> TestPeer {
        TestPeer::start(self.net.attach(role).unwrap()).unwrap()
    }

    pub fn event(&self) -> NetEvent {
        self.events.lock().unwrap().recv_timeout(SOON).expect("an event within the time")
    }

    pub fn no_event(&self, within: Duration) {
        match self.events.lock().unwrap().recv_timeout(within) {
            Err(RecvTimeoutError::Timeout) => {}
            other => panic!("{other:?}"),
        }
    }

    pub fn report(&self) -> Report {
        self.reports.lock().unwrap().recv_timeout(SOON).expect("a report within the time")
    }

    pub fn source(&self, name: &str, address: SocketAddr) -> u16 {
        let endpoint =
            SourceEndpoint { host: address.ip().to_string(), port: address.port(), allow_private: false };
        self.net.register_source(name, endpoint).unwrap().port
    }

    /// Waits until a port has dropped this many frames for a reason; others may come in between.
    pub fn dropped(&self, port: PortId, reason: Reason, at_least: u64) {
        let counters = self.net.port_counters(port).unwrap();
        eventually(
            || counters.dropped(reason) >= at_least,
            || format!("{reason} on {port}: {:?}", counters.drops().collect::<Vec<_>>()),
        );
    }
}

pub fn eventually(done: impl Fn() -> bool, what: impl Fn() -> String) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "{}", what());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that differ everywhere, so that a swapped, lost or doubled piece shows.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads to the end.
pub fn drain(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all)?;
    Ok(all)
}

/// Writes all and ends the direction.
pub fn pour(to: &mut fades_net::testpeer::PeerStream, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.shutdown_write();
    Ok(())
}

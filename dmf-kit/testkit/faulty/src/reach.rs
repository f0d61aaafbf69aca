//! Tries to get out: connects to whatever it is told to, and listens for others that try the same.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

/// Where it listens for its neighbours.
const LISTEN: u16 = 9000;
/// One connection attempt needs little.
const STACK: usize = 64 << 10;

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reached {
    /// Addresses that took the connection.
    connected: Vec<SocketAddrV4>,
    /// Those that were refused in time, with the reason; the others gave no answer at all.
    refused: Vec<(SocketAddrV4, String)>,
    /// This guest's own address, as one of its connections showed it.
    own: Option<Ipv4Addr>,
    /// Whether it listened, and who connected to it.
    listened: bool,
    visitors: Vec<String>,
}

enum Seen {
    Connected(SocketAddrV4, Option<Ipv4Addr>),
    Refused(SocketAddrV4, String),
    Visitor(String),
}

/// Tries all of them at once and takes stock after this time.
pub(crate) fn try_all(addresses: &[SocketAddrV4], time: Duration) -> Reached {
    let until = Instant::now() + time;
    let (sender, seen) = mpsc::channel();
    let listened = listen(sender.clone());
    for address in addresses.iter().copied() {
        let sender = sender.clone();
        let attempt = Builder::new().stack_size(STACK).spawn(move || {
            // Who takes stock may be gone by then.
            let _ = sender.send(match TcpStream::connect(address) {
                Ok(stream) => Seen::Connected(address, own(&stream)),
                Err(error) => Seen::Refused(address, error.to_string()),
            });
        });
        assert!(attempt.is_ok(), "no thread for {address}");
    }
    let mut reached =
        Reached { connected: Vec::new(), refused: Vec::new(), own: None, listened, visitors: Vec::new() };
    while let Ok(seen) = seen.recv_timeout(until.saturating_duration_since(Instant::now())) {
        match seen {
            Seen::Connected(address, own) => {
                reached.connected.push(address);
                reached.own = reached.own.or(own);
            }
            Seen::Refused(address, why) => reached.refused.push((address, why)),
            Seen::Visitor(who) => reached.visitors.push(who),
        }
    }
    reached
}

fn own(stream: &TcpStream) -> Option<Ipv4Addr> {
    match stream.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) => Some(address),
        std::net::IpAddr::V6(_) => None,
    }
}

fn listen(sender: mpsc::Sender<Seen>) -> bool {
    let Ok(listener) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, LISTEN)) else { return false };
    let accept = Builder::new().stack_size(STACK).spawn(move || {
        while let Ok((_, who)) = listener.accept() {
            if sender.send(Seen::Visitor(who.to_string())).is_err() {
                return;
            }
        }
    });
    accept.is_ok()
}

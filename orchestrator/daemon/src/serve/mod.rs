//! The front door: connections in, requests to the router, answers out; bounded in time, number and memory.
//!
//! What axum's own `serve` lacks is here: a deadline for the head of a request and for idle connections, one for
//! answers that nobody reads, caps on connections in all and per address, and an ending in order. Bodies are read by
//! [`body`], with a cap and a deadline. HTTP/1.1 only: nothing here can be flooded with streams.
//!
//! To start reading: [`accept::serve`].

pub mod accept;
pub mod body;
mod io;
mod listen;
mod slots;

use std::net::IpAddr;
use std::time::Duration;

pub use listen::{ListenError, Listener};

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A process on this machine, over the local socket, with this user id.
    Local {
        /// As the kernel says.
        uid: u32,
    },
    /// Somebody over TCP.
    Remote(IpAddr),
}

impl Peer {
    /// The part of a remote address that one party holds: all of an IPv4 address, a /64 of IPv6. `None` when local.
    #[must_use]
    pub fn network(self) -> Option<IpAddr> {
        match self {
            Self::Local { .. } => None,
            Self::Remote(IpAddr::V6(six)) => match six.to_ipv4_mapped() {
                Some(four) => Some(four.into()),
                None => {
                    let prefix = u128::from(six) & !u128::from(u64::MAX);
                    Some(std::net::Ipv6Addr::from(prefix).into())
                }
            },
            Self::Remote(four) => Some(four),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local { uid } => write!(f, "local (uid {uid})"),
            Self::Remote(address) => write!(f, "{address}"),
        }
    }
}

/// Limits of the door.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// From the start of a request, or of idleness between two, to the end of its head.
    pub head: Duration,
    /// From then to the end of its body.
    pub body: Duration,
    /// How long an answer may stand still because nobody reads it.
    pub stalled: Duration,
    /// From asking connections to end to ending them.
    pub farewell: Duration,
    /// TCP connections open at once.
    pub connections: usize,
    /// Of these, from one address.
    pub connections_per_address: usize,
    /// Connections open at once on the local socket.
    pub local_connections: usize,
}

impl Default for Door {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            stalled: Duration::from_secs(20),
            farewell: Duration::from_secs(3),
            connections: 512,
            connections_per_address: 64,
            local_connections: 128,
        }
    }
}

//! The virtual network as the orchestrator sees it: ports, sources and the control endpoint.
//!
//! The network enforces who reaches whom: a function reaches the broker's data port and the control endpoint; the broker
//! reaches the control endpoint, its functions and the registered sources. A guest's identity on the control endpoint is
//! its port, so control messages need no secret.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use fades_wire::address::Control;

use crate::ids::Role;

/// One port of the switch. Given out by the network, never used twice in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u64);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port-{}", self.0)
    }
}

/// What [`Network::attach`] gives out for one guest.
#[derive(Debug)]
pub struct Port {
    /// Its name from now on.
    pub id: PortId,
    /// The guest's address; the only source address that passes.
    pub address: Ipv4Addr,
    /// The guest's hardware address; the only one that passes.
    pub mac: [u8; 6],
    /// Largest IP packet on the link, in bytes.
    pub mtu: u16,
    /// The guest's end of the link, for the backend.
    pub link: OwnedFd,
    /// How the guest reaches the orchestrator.
    pub control: Control,
}

/// Where a source really is, as seen from the host. Resolved and checked anew for every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the name may mean a private address (RFC 1918, RFC 4193): the operator says so, as a name that begins to
    /// point into the site's own network is how a resolver is turned against it. An address written out is always meant.
    pub allow_private: bool,
}

/// Where the broker finds a source: the gateway's address and a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceAddress {
    /// Address inside the virtual network.
    pub address: Ipv4Addr,
    /// TCP port.
    pub port: u16,
}

/// What happens on the control endpoint. Events of one port arrive in order: connected, data…, closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// The guest on this port has connected.
    ControlConnected(PortId),
    /// Bytes from the guest, as they came; framing is the receiver's.
    ControlData(PortId, Vec<u8>),
    /// The connection is gone, whoever closed it.
    ControlClosed(PortId),
}

/// Receives events; called on the network's thread, so it must not block.
pub type NetEventSink = Arc<dyn Fn(NetEvent) + Send + Sync>;

/// What passed and what did not, since start. Frames unless said otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkCounters {
    /// Forwarded between ports or to and from the gateway.
    pub forwarded: u64,
    /// Bytes of the forwarded frames.
    pub forwarded_bytes: u64,
    /// Dropped: hardware or IP address not the port's own.
    pub dropped_spoofed: u64,
    /// Dropped: not allowed between these ports.
    pub dropped_policy: u64,
    /// Dropped: could not be parsed, or of the wrong size.
    pub dropped_malformed: u64,
    /// Dropped: the receiver's queue was full.
    pub dropped_full: u64,
    /// Connections accepted on the control endpoint.
    pub control_connections: u64,
    /// Connections made to sources.
    pub source_connections: u64,
    /// Connections to sources that were refused or failed.
    pub source_failures: u64,
}

/// The virtual network, behind a handle that any thread may use.
pub trait Network: Send + Sync {
    /// Makes a port for a new guest and gives it an address that no other port has.
    ///
    /// # Errors
    /// When addresses have run out, the system refuses a socket pair, or the network has stopped.
    fn attach(&self, role: Role) -> Result<Port, NetworkError>;

    /// Takes a port away: its connections end, its address comes back. Unknown ports are ignored.
    fn detach(&self, port: PortId);

    /// Makes a source reachable for the broker, or moves it when the name is known already (the address stays).
    ///
    /// # Errors
    /// When gateway ports have run out, the endpoint makes no sense, or the network has stopped.
    fn register_source(&self, name: &str, endpoint: SourceEndpoint) -> Result<SourceAddress, NetworkError>;

    /// Makes a source unreachable; its connections end. Unknown names are ignored.
    fn unregister_source(&self, name: &str);

    /// Whether a connection to a source of this registration may go to this address: as it is judged for the broker.
    ///
    /// # Errors
    /// It may not, or the endpoint makes no sense.
    fn leads(&self, endpoint: SourceEndpoint, address: IpAddr) -> Result<(), NetworkError>;

    /// Queues bytes for the guest on this port. Does not block; order is kept.
    ///
    /// # Errors
    /// When the guest is not connected, or has more than its bound of unread bytes.
    fn send_control(&self, port: PortId, bytes: Vec<u8>) -> Result<(), NetworkError>;

    /// Closes the control connection of a port, after what was queued is sent where that is possible at once.
    fn close_control(&self, port: PortId);

    /// What passed and what did not.
    fn counters(&self) -> NetworkCounters;
}

/// Why the network refused.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// All addresses are given out.
    #[error("no free address for another guest")]
    NoAddress,
    /// All gateway ports are given out.
    #[error("no free gateway port for source {name:?}")]
    NoSourcePort {
        /// The source.
        name: String,
    },
    /// No such port (any more).
    #[error("{0} does not exist")]
    UnknownPort(PortId),
    /// The guest on this port is not connected to the control endpoint.
    #[error("{0} is not connected")]
    NotConnected(PortId),
    /// The guest does not read what it is sent.
    #[error("{port} has {queued} bytes unread, the bound is {bound}")]
    Congested {
        /// The port.
        port: PortId,
        /// Bytes waiting.
        queued: usize,
        /// Bytes allowed.
        bound: usize,
    },
    /// The endpoint makes no sense.
    #[error("source {name:?}: {reason}")]
    BadSource {
        /// The source.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The network's thread has ended.
    #[error("the virtual network has stopped")]
    Stopped,
    /// The operating system refused something.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

//! Where guests find the orchestrator and each other: in the virtual network, through memory that they share, or as domains of one
//! Xen host.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Where guests reach the orchestrator: this port on [`GATEWAY`].
pub const CONTROL_PORT: u16 = 7000;
/// Where functions reach the broker.
pub const DATA_PORT: u16 = 7001;
/// First of the gateway's ports behind which registered sources stand.
pub const FIRST_SOURCE_PORT: u16 = 20_000;
/// The virtual network.
pub const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 0);
/// Length of the network's prefix in bits.
pub const MASK_BITS: u8 = 16;
/// The gateway: the only station that is not a guest.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// An IPv4 address with a TCP port, as guests see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address on the virtual network.
    pub address: Ipv4Addr,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// The endpoint of this address and port.
    #[must_use]
    pub const fn new(address: Ipv4Addr, port: u16) -> Self {
        Self { address, port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// How a guest reaches the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// By TCP over the virtual network.
    Network(Endpoint),
    /// Through nodes of its own in XenStore (`fades_xen_store::mailbox`).
    Store,
    /// Through memory of its own that it shares with the orchestrator ([`crate::region`]).
    Region,
}

/// [`Control::Store`] in words.
const STORE: &str = "xenstore";
/// [`Control::Region`] in words.
const REGION: &str = "region";

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(endpoint) => endpoint.fmt(f),
            Self::Store => f.write_str(STORE),
            Self::Region => f.write_str(REGION),
        }
    }
}

impl FromStr for Control {
    type Err = core::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            STORE => return Ok(Self::Store),
            REGION => return Ok(Self::Region),
            _ => {}
        }
        text.parse::<SocketAddrV4>().map(|address| Self::Network(address.into()))
    }
}

/// A guest that shares memory with another one, by what both are known by. Numbers on the wire: domain 0, region 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Neighbour {
    /// The domain of this number on the same Xen host.
    Domain(u16),
    /// The function of this region ([`crate::region`]).
    Region {
        /// The region's number, from 1 on.
        number: u16,
        /// Whose turn it is in it.
        turn: u32,
    },
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(number) => write!(f, "domain {number}"),
            Self::Region { number, turn } => write!(f, "region {number} in its turn {turn}"),
        }
    }
}

/// Where a guest is, for another one that takes data from it or gives data to it. Numbers on the wire: network 0, near 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the virtual network, at its data port.
    Network(Endpoint),
    /// Where both share memory.
    Near(Neighbour),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(endpoint) => endpoint.fmt(f),
            Self::Near(neighbour) => neighbour.fmt(f),
        }
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(address: SocketAddrV4) -> Self {
        Self::new(*address.ip(), address.port())
    }
}

impl From<Endpoint> for SocketAddrV4 {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.address, endpoint.port)
    }
}

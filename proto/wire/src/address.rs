//! Addresses and ports of the virtual network.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
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

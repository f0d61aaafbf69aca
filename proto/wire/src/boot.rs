//! Boot parameters: everything that a guest learns before its first connection.
//!
//! | parameter | environment | why the guest needs it |
//! |---|---|---|
//! | role | `FADES_ROLE` | refuses to serve as something else |
//! | address, gateway, mask | kernel's `-ip -gateway -mask` | its own interface |
//! | MTU | `HERMIT_MTU` | its own interface |
//! | TCP buffer | `HERMIT_TCP_BUFFER` | throughput against memory |
//! | control endpoint | `FADES_CONTROL` | where to connect |
//! | seed | `HERMIT_SEED` | emulated machines have no entropy |
//! | time | `FADES_TIME` | there may be no clock |
//! | log level | `FADES_LOG` | what to report |
//!
//! Nothing else: no task, no source, no credential, no name of the node.

use crate::address::Endpoint;
use crate::ids::Role;
use alloc::string::String;
use core::net::Ipv4Addr;

/// What a guest learns at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootParameters {
    /// What it is for.
    pub role: Role,
    /// Its address.
    pub address: Ipv4Addr,
    /// The gateway's address.
    pub gateway: Ipv4Addr,
    /// Length of the network's prefix.
    pub mask_bits: u8,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Where the orchestrator listens.
    pub control: Endpoint,
    /// Random bytes from the host, for the guest's generator.
    pub seed: [u8; 32],
    /// The node's clock at boot, in microseconds since 1970, UTC.
    pub time_unix_us: u64,
    /// Log level: 0 nothing to 5 trace.
    pub log: u8,
    /// Bytes of each TCP send and receive buffer.
    pub tcp_buffer: u32,
}

/// Why an environment is not that of a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// A variable is not there.
    #[error("boot parameter {0} is missing")]
    Missing(&'static str),
    /// A variable has a value that means nothing.
    #[error("boot parameter {name} is {value:?}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
}

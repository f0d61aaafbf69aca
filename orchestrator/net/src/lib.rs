//! The virtual network: one thread in the daemon, no tap, no bridge, no privilege, no change to the host.
//!
//! ```text
//!  guest --QEMU -netdev stream--> port --> policy --> queue of another port        (switch)
//!                                            |-----> smoltcp at 10.77.0.1          (gateway)
//!                                                      |- :7000    control endpoint, events to the daemon
//!                                                      '- :20000+  splice with a host socket to a source
//! ```
//!
//! - [`policy`] decides on every frame and is pure; [`Reason`] names each way to be dropped, and is counted by port.
//! - The switch answers ARP itself; a hardware address follows from its IP address ([`mac_of`]).
//! - Nothing is unbounded: queues by bytes and by sender (see `queue`), control data by [`VirtualNetwork::consumed`]
//!   **which the owner of the event sink must call**, source connections by number and by their buffers.
//! - Links carry no virtio-net header. QEMU takes the checksum and segmentation offloads away from a device whose peer has
//!   none, so guests always compute checksums themselves and no device option is needed; the gateway verifies and computes all.
//!
//! To add a kind of traffic: a rule and a row of its table test in `policy`, a [`Reason`] if it can be refused in a new
//! way, and if the gateway ends it, a branch in `gateway::Gateway::packet`.

#![forbid(unsafe_code)]

mod address;
mod command;
mod config;
mod counters;
mod framing;
mod gateway;
mod network;
pub mod policy;
mod port;
mod queue;
mod report;
mod switch;
#[cfg(feature = "testpeer")]
pub mod testpeer;
mod worker;

pub use address::{CONTROL_PORT, DATA_PORT, FIRST_SOURCE_PORT, GATEWAY, MASK_BITS, mac_of};
pub use config::{NetConfig, SMALLEST_MTU};
pub use counters::{Class, PortCounters, Reason};
#[doc(hidden)] // for its fuzzer
pub use framing::FrameReader;
pub use framing::{LARGEST_CLAIM, LyingLength};
pub use gateway::{AddressKind, Lookup, SourceRule, system_lookup};
pub use network::VirtualNetwork;
pub use report::{LinkError, Report, ReportSink, SourceError};

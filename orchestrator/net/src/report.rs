//! What the daemon should know of and cannot see on the control endpoint.

use std::net::IpAddr;
use std::sync::Arc;

use fades_core::network::PortId;

/// Something that happened on the network, in words.
#[derive(Debug)]
pub enum Report {
    /// A guest's link is gone: its process ended, or it broke the framing.
    LinkLost {
        /// The port; it stays until it is detached.
        port: PortId,
        /// Why.
        why: LinkError,
    },
    /// A broker's connection to a source did not come about. The guest saw its connection refused. A dozen per source
    /// are told at once and per minute; all are counted.
    SourceFailed {
        /// The broker's port.
        port: PortId,
        /// The source.
        source: String,
        /// Why.
        why: SourceError,
        /// How many failures of this source were not told since the last one that was.
        kept_back: u64,
    },
    /// The network's thread ends because the event loop failed.
    Broken(std::io::Error),
}

/// Receives reports; called on the network's thread, so it must not block.
pub type ReportSink = Arc<dyn Fn(Report) + Send + Sync>;

/// Why a link is gone.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other side closed.
    #[error("the guest's side closed the link")]
    Closed,
    /// The framing was broken.
    #[error("the guest's side broke the framing")]
    Framing(#[from] crate::framing::LyingLength),
    /// The socket failed.
    #[error("the link failed")]
    Io(#[from] std::io::Error),
}

/// Why a source could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The name has no address.
    #[error("could not resolve {host:?}")]
    Resolve {
        /// As registered.
        host: String,
        /// The resolver's answer.
        #[source]
        source: std::io::Error,
    },
    /// The name has addresses, but none that its registration allows.
    #[error("{host:?} resolves to {address}, which is {kind}; this registration does not allow that")]
    AddressRefused {
        /// As registered.
        host: String,
        /// The first address refused.
        address: IpAddr,
        /// What kind of address it is.
        kind: crate::gateway::AddressKind,
    },
    /// The name has no address at all.
    #[error("{host:?} has no address")]
    NoAddress {
        /// As registered.
        host: String,
    },
    /// No address answered; the last error.
    #[error("could not connect to {address}")]
    Connect {
        /// The last address tried.
        address: std::net::SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The deadline passed.
    #[error("no connection to {host:?} within {} ms", .after.as_millis())]
    Deadline {
        /// As registered.
        host: String,
        /// The deadline.
        after: std::time::Duration,
    },
    /// Too many connections at once.
    #[error("all {limit} source connections are in use")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// It was unregistered meanwhile.
    #[error("the source was unregistered")]
    Unregistered,
}

//! What can go wrong with the network device.

use core::fmt;

use crate::grant::GrantError;
use crate::hypercall::HypercallError;
use crate::xenstore::StoreError;
use fades_ring::BadIndex;

/// What the back end did that it must not, or that it cannot be reached any more. The device is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetError {
    /// A ring has more responses than requests.
    Index(BadIndex),
    /// A response has an identifier that no request has.
    Id(u16),
    /// A received fragment would not lie inside its page.
    Bounds {
        /// Its first byte.
        offset: u16,
        /// Its length.
        size: u16,
    },
    /// A received extra segment has a type that does not exist, or there are too many of them.
    Extra(u8),
    /// The back end could not be notified.
    Notify(HypercallError),
}

impl From<BadIndex> for NetError {
    fn from(error: BadIndex) -> Self {
        Self::Index(error)
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(_) => formatter.write_str("the network back end broke a ring"),
            Self::Id(id) => {
                write!(formatter, "the network back end answered request {id}, which there is not")
            }
            Self::Bounds { offset, size } => {
                write!(formatter, "the network back end put {size} bytes at {offset} of a page")
            }
            Self::Extra(kind) => {
                write!(formatter, "the network back end sent an extra segment of type {kind}")
            }
            Self::Notify(_) => formatter.write_str("the network back end was not notified"),
        }
    }
}

impl core::error::Error for NetError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Index(cause) => Some(cause),
            Self::Notify(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Why a frame was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// There is no room now.
    Full,
    /// It is longer than this link can send.
    TooLong {
        /// Its length.
        len: usize,
        /// What can be sent.
        most: usize,
    },
    /// The device is stopped.
    Stopped(NetError),
}

impl From<NetError> for Unsent {
    fn from(error: NetError) -> Self {
        Self::Stopped(error)
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => formatter.write_str("no room for a frame"),
            Self::TooLong { len, most } => {
                write!(formatter, "frame of {len} bytes, at most {most} can be sent")
            }
            Self::Stopped(_) => formatter.write_str("the network device is stopped"),
        }
    }
}

impl core::error::Error for Unsent {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Stopped(cause) => Some(cause),
            _ => None,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The store failed at this node.
    Store(&'static str, StoreError),
    /// This node is missing, or what it says makes no sense.
    Node(&'static str),
    /// The back end lacks this feature, which is needed.
    Feature(&'static str),
    /// The back end went into this state (see `io/xenbus.h`), in which it does not connect.
    State(u32),
    /// The deadline passed while the back end was in this state.
    Deadline(u32),
    /// There are no pages left.
    Memory,
    /// A page could not be granted.
    Grant(GrantError),
    /// There is no port.
    Port(HypercallError),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(node, _) => write!(formatter, "the store failed at the network device's {node}"),
            Self::Node(node) => write!(formatter, "the network device's {node} is missing or malformed"),
            Self::Feature(name) => write!(formatter, "the network back end lacks {name}"),
            Self::State(state) => write!(formatter, "the network back end went into state {state}"),
            Self::Deadline(state) => write!(formatter, "the network back end stayed in state {state}"),
            Self::Memory => formatter.write_str("no pages for the network device"),
            Self::Grant(_) => formatter.write_str("no grant for the network device"),
            Self::Port(_) => formatter.write_str("no event channel for the network device"),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Store(_, cause) => Some(cause),
            Self::Grant(cause) => Some(cause),
            Self::Port(cause) => Some(cause),
            _ => None,
        }
    }
}

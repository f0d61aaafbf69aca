//! Why the store gave no answer.

use core::fmt;

use fades_xen_store::{ErrorName, ReplyError, TooLong};

use crate::hypercall::HypercallError;
use fades_ring::BadIndex;

/// Why a call failed.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The store refused, or its answer has not the form of one.
    Reply(ReplyError),
    /// The deadline passed.
    Deadline,
    /// A message does not fit the protocol. Ours was not sent; after the store's, the client is broken.
    TooLong(TooLong),
    /// The store's ring index is impossible. The client is broken.
    Index(BadIndex),
    /// The store could not be told. The client is broken.
    Notify(HypercallError),
    /// The store answered what was not asked. The client is broken.
    Unasked,
    /// Too many watch events that nobody read. The client is broken.
    Flood,
    /// The client broke earlier.
    Broken,
}

impl StoreError {
    /// The name with which the store refused, if that is what happened.
    pub const fn refusal(&self) -> Option<&ErrorName> {
        match self {
            Self::Reply(ReplyError::Refused(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether the node is not there.
    pub fn is_missing(&self) -> bool {
        self.refusal().is_some_and(|name| name.name() == "ENOENT")
    }

    /// Whether the node, or if it is not there the one above it, is not for this domain.
    pub fn is_forbidden(&self) -> bool {
        self.refusal().is_some_and(|name| name.name() == "EACCES")
    }
}

impl From<ReplyError> for StoreError {
    fn from(error: ReplyError) -> Self {
        Self::Reply(error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reply(_) => "the store did not do it",
            Self::Deadline => "the store did not answer in time",
            Self::TooLong(_) => "a message is too long for the store",
            Self::Index(_) => "the store's ring is broken",
            Self::Notify(_) => "the store was not told",
            Self::Unasked => "the store answered what was not asked",
            Self::Flood => "the store sent more watch events than are kept",
            Self::Broken => "the connection to the store broke earlier",
        })
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Reply(cause) => Some(cause),
            Self::TooLong(cause) => Some(cause),
            Self::Index(cause) => Some(cause),
            Self::Notify(cause) => Some(cause),
            Self::Deadline | Self::Unasked | Self::Flood | Self::Broken => None,
        }
    }
}

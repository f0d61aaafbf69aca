//! What can go wrong between us and XenStore.

use fades_xen_store::{ErrorName, PathError, ReplyError, TooLong};
use std::sync::Arc;
use std::time::Duration;

/// Why XenStore did not answer, or not with what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// There is nobody to talk to.
    #[error("XenStore is not there: neither {tried} takes a connection; is xenstored running in this dom0?")]
    NotThere {
        /// What was tried, in words.
        tried: String,
        /// What the last of them said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The connection broke, now or earlier; nothing more comes over it.
    #[error("connection to XenStore is over")]
    Over(#[source] Arc<Broken>),
    /// No answer in time. It may still have been done.
    #[error("XenStore did not answer in {} ms to: {what}", after.as_millis())]
    Slow {
        /// What was asked.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The store said no.
    #[error("XenStore refused with {name}: {what}")]
    Refused {
        /// What was asked.
        what: String,
        /// Its word for why.
        name: ErrorName,
    },
    /// The answer is not one to what was asked.
    #[error("XenStore's answer makes no sense to: {what}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        #[source]
        source: ReplyError,
    },
    /// What was to be asked does not fit in a message.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// What was to be asked has no path.
    #[error("path for XenStore is none")]
    Path(#[from] PathError),
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The store closed it.
    #[error("closed by the store")]
    Closed,
    /// The store closed it inside of a message.
    #[error("closed by the store in the middle of a message")]
    Truncated,
    /// What came is not the protocol.
    #[error("not the protocol")]
    Protocol(#[source] TooLong),
    /// Events came that make no sense.
    #[error("an event makes no sense")]
    Event(#[source] ReplyError),
    /// Reading or writing failed.
    #[error("reading or writing failed")]
    Io(#[source] std::io::Error),
    /// A message could be sent in part only, in the time there was.
    #[error("a message was sent in part only")]
    Stuck,
    /// The kernel's device did not answer in time, and takes nothing more before it does.
    #[error("the kernel's device left a request without an answer")]
    Unanswered,
}

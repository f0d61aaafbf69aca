//! Why a request did not get what it asked for.

use std::time::Duration;

use super::{NodeAddress, SignerError};
use crate::codes::{self, Code};
use crate::http::Problem;

/// Why a request did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection, or it broke before the answer was complete.
    #[error("node {node} cannot be reached: {what}")]
    Unreachable {
        /// The node.
        node: NodeAddress,
        /// What was under way: connecting, sending, reading.
        what: &'static str,
        /// Why it failed.
        source: SignerError,
    },
    /// No complete answer in time.
    #[error("node {node} did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// The node.
        node: NodeAddress,
        /// How long was waited.
        after: Duration,
    },
    /// The node says no, with its reason.
    #[error("{}: {}", problem.code, problem.detail)]
    Problem {
        /// The reason.
        problem: Box<Problem>,
    },
    /// The answer, or the request asked for, is not what the interface knows.
    #[error("node {node}: {what} is not of the interface")]
    Malformed {
        /// The node.
        node: NodeAddress,
        /// What it is.
        what: String,
        /// Why it cannot be read.
        source: Option<SignerError>,
    },
    /// The signer did not sign.
    #[error("request could not be signed")]
    Sign {
        /// Why.
        source: SignerError,
    },
}

impl ClientError {
    /// The reason's code.
    pub fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } => codes::NODE_UNREACHABLE,
            Self::TimedOut { .. } => codes::CLIENT_TIMED_OUT,
            Self::Problem { problem } => problem.code,
            Self::Malformed { .. } => codes::ANSWER_MALFORMED,
            Self::Sign { .. } => codes::KEY_FILE_UNREADABLE,
        }
    }

    /// Whether the same may go well a little later, without anything being changed.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Problem { problem } => matches!(problem.status, 429 | 503),
            Self::Malformed { .. } | Self::Sign { .. } => false,
        }
    }
}

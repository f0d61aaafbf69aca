//! A guest that sends points or takes them, by its role, with the frames, credits, counts and digests of every stream, and
//! without a source or a function: what is left is the transfer.
//!
//! `FADES_ROLE=drb` sends as many bytes as the order's budget says; `FADES_ROLE=dmf` takes them and reports like any function.

#![forbid(unsafe_code)]

mod send;
mod take;

use fades_guest::exit;
use fades_wire::exit::ExitCode;
use serde_json::Value;

/// What a run differs in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Both ends compute SHA-256 over all bytes besides, as stock does.
    pub(crate) sha: bool,
    /// The sender waits for a full segment while another is under way, as TCP does unless it is told otherwise.
    pub(crate) nagle: bool,
}

impl Manner {
    /// As a task's parameters, or a source's name, say.
    pub(crate) fn of(text: &str) -> Self {
        let parameters: Value = serde_json::from_str(text).unwrap_or_default();
        Self { sha: parameters["sha"] == true, nagle: parameters["nagle"] == true }
    }
}

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection.
    #[error("the connection broke")]
    Link(#[from] std::io::Error),
    /// What came is no frame, or none that belongs here.
    #[error("{0}")]
    Frame(String),
    /// The orchestrator.
    #[error("the control channel failed")]
    Control(#[from] fades_guest::control::ControlError),
}

impl From<fades_wire::frame::FrameError> for Failure {
    fn from(error: fades_wire::frame::FrameError) -> Self {
        Self::Frame(error.to_string())
    }
}

impl From<fades_wire::message::MessageError> for Failure {
    fn from(error: fades_wire::message::MessageError) -> Self {
        Self::Frame(error.to_string())
    }
}

fn main() {
    let sends = std::env::var("FADES_ROLE").is_ok_and(|role| role == "drb");
    let done = if sends { send::run() } else { take::run() };
    if let Err(failure) = done {
        exit::end(ExitCode::Failed, &exit::words(&failure));
    }
    exit::await_end();
}

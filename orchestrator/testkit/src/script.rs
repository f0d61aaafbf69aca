//! Who does what.

use std::time::Duration;

use fades_core::backend::ExitCause;
use fades_wire::data::StreamSummary;
use fades_wire::failure::Failure;
use fades_wire::ids::TaskKey;

/// What a broker does. All but the first three boot, greet and answer pings until the act begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAct {
    /// Serves every task, with this pause before each operation's end.
    Serves(Duration),
    /// The backend cannot start it.
    FailsToStart,
    /// Runs, but never connects.
    NeverReady,
    /// Ends in this way when it is told to retrieve.
    Dies(ExitCause),
    /// From its first retrieve on it neither answers nor acts, as a machine whose network is dead.
    FallsSilent,
    /// Tells that the source failed, for every operation.
    SourceFails(Failure),
    /// Sends bytes that are no frame when it is told to retrieve.
    BreaksProtocol,
}

/// What a function does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionAct {
    /// Gives this result.
    Reduces(String),
    /// Keeps a state of so many bytes, at least 8, between the periods of a persistent task: how many of them it has seen. The
    /// result tells it: `{"seen":1}`.
    Counts(usize),
    /// The backend cannot start it.
    FailsToStart,
    /// Runs, but never connects.
    NeverReady,
    /// Ends in this way when it is told to run.
    Dies(ExitCause),
    /// Starts and never ends.
    Loops,
    /// Sends parts of a result without end.
    ReturnsTooMuch,
    /// Claims to have read one point more than was sent.
    Lies,
    /// Sends bytes that are no frame when it is told to run.
    BreaksProtocol,
    /// Gives up with this reason.
    Fails(Failure),
}

/// The acts of all brokers and functions, in the order of their starts; the last of each is repeated for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    brokers: Vec<BrokerAct>,
    functions: Vec<FunctionAct>,
}

impl Default for Script {
    /// Everybody behaves; every result is `{"count":1}`.
    fn default() -> Self {
        Self {
            brokers: vec![BrokerAct::Serves(Duration::ZERO)],
            functions: vec![FunctionAct::Reduces(r#"{"count":1}"#.into())],
        }
    }
}

impl Script {
    /// With these brokers before one that behaves.
    #[must_use]
    pub fn brokers(mut self, acts: impl IntoIterator<Item = BrokerAct>) -> Self {
        self.brokers.splice(..0, acts);
        self
    }

    /// With these functions before those that behave.
    #[must_use]
    pub fn functions(mut self, acts: impl IntoIterator<Item = FunctionAct>) -> Self {
        self.functions.splice(..0, acts);
        self
    }

    pub(crate) fn broker(&self, start: usize) -> BrokerAct {
        self.brokers[start.min(self.brokers.len() - 1)].clone()
    }

    pub(crate) fn function(&self, start: usize) -> FunctionAct {
        self.functions[start.min(self.functions.len() - 1)].clone()
    }
}

/// What both ends of a scripted stream count: 100 points, and a digest that names the task.
#[must_use]
pub fn counted(task: TaskKey, operation: u16) -> StreamSummary {
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(&task.0);
    StreamSummary {
        operation,
        points: 100,
        bytes: 1600,
        chunks: 1,
        series: 1,
        first_ns: Some(1_000_000_000),
        last_ns: Some(2_000_000_000),
        digest,
    }
}

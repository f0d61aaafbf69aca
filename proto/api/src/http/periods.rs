//! Periods of a persistent task as a node shows them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::task::Name;

/// What became of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeriodState {
    /// Its function runs.
    Running,
    /// It gave a result.
    Done,
    /// It failed; the state of the last good one is kept.
    Failed,
    /// It could not begin when it was due, and the wrapper says not to catch up; or it was beyond what is caught up with.
    Missed,
}

impl PeriodState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }
}

/// How far a persistent task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodsView {
    /// Periods that gave a result.
    pub done: u64,
    /// Periods that failed.
    pub failed: u64,
    /// Periods that were missed.
    pub missed: u64,
    /// The period that runs or is begun anew, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// When the next one is due; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_due: Option<Timestamp>,
    /// The state that the next one gets; absent when the function has kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateView>,
}

/// What is told of a function's state. The state itself is the function's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateView {
    /// The period that kept it.
    pub period: u64,
    /// The function's version of its form.
    pub version: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Their SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// What an event tells of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodNews {
    /// Its number, counted from 0.
    pub number: u64,
    /// The last one that this is about, where it is about several that were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// What became of it.
    pub state: PeriodState,
}

/// Answer of `GET /v1/tasks/{id}/periods`: the newest that are kept first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodList {
    /// One page.
    pub periods: Vec<PeriodView>,
    /// Give it back as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One period that is over, or several that were missed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodView {
    /// Its number, counted from 0.
    pub number: u64,
    /// The last of those that were missed together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u64>,
    /// What became of it.
    pub state: PeriodState,
    /// When it was due.
    pub due: Timestamp,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Timestamp,
    /// Reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Which period a result is of. The receipt states the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodResult {
    /// Its number, counted from 0.
    pub number: u64,
    /// When it was due.
    pub due: Timestamp,
    /// What each operation asked for.
    pub windows: Vec<PeriodWindow>,
    /// SHA-256 of the state that it was given, 64 hexadecimal digits; absent when it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_before: Option<String>,
    /// SHA-256 of the state that it left; absent when the function keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_after: Option<String>,
}

/// What one operation asked for in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeriodWindow {
    /// The operation's id.
    pub id: Name,
    /// First instant, inclusive.
    pub from: Timestamp,
    /// Last instant, exclusive.
    pub to: Timestamp,
}

//! Tasks as a node shows them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::periods::{PeriodNews, PeriodsView};
use crate::codes::Code;
use crate::task::{ImageReference, Name, TaskId};

/// Where a task is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Stored durably.
    Accepted,
    /// Waits its turn.
    Queued,
    /// Its function boots.
    Starting,
    /// Data flows into its function.
    Streaming,
    /// All data is in; the function computes.
    Computing,
    /// Between two periods of a persistent task.
    Waiting,
    /// Ended: the result is stored.
    Succeeded,
    /// Ended: with a reason.
    Failed,
    /// Ended: on request.
    Cancelled,
    /// Ended: its time was over before it could run.
    Expired,
    /// Never began: the wrapper was refused.
    Refused,
}

impl TaskState {
    /// All states, in the order of a task's way.
    pub const ALL: [Self; 11] = [
        Self::Accepted,
        Self::Queued,
        Self::Starting,
        Self::Streaming,
        Self::Computing,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
        Self::Refused,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Streaming => "streaming",
            Self::Computing => "computing",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// Whether nothing follows.
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired | Self::Refused)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a task state: {0:?}")]
pub struct NotAState(pub String);

impl FromStr for TaskState {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| NotAState(text.to_owned()))
    }
}

/// Answer of `POST /v1/tasks` (202), the same for the same bytes sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    /// The task.
    pub task: TaskId,
    /// Its state now.
    pub state: TaskState,
    /// Path of the task, as in `Location`.
    pub location: String,
}

/// Answer of `GET /v1/tasks/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// The task.
    pub task: TaskId,
    /// Who asked for it.
    pub issuer: Name,
    /// Its state.
    pub state: TaskState,
    /// Reason of an end that is no success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// 0 to 9.
    pub priority: u8,
    /// Image of its function.
    pub image: ImageReference,
    /// Sources that it reads, in the order of its operations.
    pub sources: Vec<Name>,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// When its wrapper expires.
    pub expires_at: Timestamp,
    /// What was read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How far a persistent task is; absent for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods: Option<PeriodsView>,
}

/// What was read so far; approximate until the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Points, over all operations.
    pub points: u64,
    /// Bytes, over all operations.
    pub bytes: u64,
}

/// Answer of `GET /v1/tasks`: newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// One page.
    pub tasks: Vec<TaskView>,
    /// Give it back as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `data` of one server-sent event. Events of kind `state` are stored and numbered; those of kind `progress` are told while data
/// flows, are not stored, have no `id` line and carry the number of the last stored one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Grows by every event of the node; `Last-Event-ID` resumes behind it.
    pub id: u64,
    /// The task.
    pub task: TaskId,
    /// Its state from now on.
    pub state: TaskState,
    /// When.
    pub at: Timestamp,
    /// Reason of an end that is no success, or of a new attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The period that it is about, for a persistent task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodNews>,
    /// What was read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// Answer of `GET /v1/admin/tasks/{id}/console`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskConsole {
    /// The task.
    pub task: TaskId,
    /// When the guest had ended that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The end, at most 16 KiB, of what the last guest of this task wrote that wrote anything, in its own words. Absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
}

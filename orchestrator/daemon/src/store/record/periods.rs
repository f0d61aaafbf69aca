//! What is stored of persistent tasks.

use serde::{Deserialize, Serialize};

use super::OutcomeRecord;

/// How a state is stored: its bytes as the function gave them, and this beside them.
pub const STATE_FORMAT: u32 = 1;

/// How far a persistent task is, in its record. Times are microseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeriodsRecord {
    /// From one period to the next, in microseconds.
    pub every_us: u64,
    /// When period 0 was due.
    pub first_due_us: u64,
    /// Number of the last one.
    pub last: u64,
    /// Most bytes of its function's state that were allowed when it was accepted.
    pub state_limit: u64,
    /// The lowest number that is not over.
    pub next: u64,
    /// The one that has begun and is not over.
    #[serde(default)]
    pub running: Option<u64>,
    /// With a result.
    pub done: u64,
    /// Without one.
    pub failed: u64,
    /// Never begun.
    pub missed: u64,
    /// The latest with a result.
    #[serde(default)]
    pub last_done: Option<u64>,
    /// Rows of periods that are kept.
    pub kept: u64,
    /// What lies in the table of states.
    #[serde(default)]
    pub state: Option<StateRecord>,
}

/// What is known of a function's state beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// [`STATE_FORMAT`] of the program that stored it.
    pub format: u32,
    /// The function's version of its form.
    pub version: u32,
    /// Its bytes.
    pub bytes: u64,
    /// Hex SHA-256 of them.
    pub sha256: String,
    /// The image that made it, `name@sha256:<hex>`.
    pub image: String,
    /// The period that kept it.
    pub period: u64,
}

/// What became of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredPeriodState {
    /// It runs. In events only.
    Running,
    /// It gave a result.
    Done,
    /// It failed.
    Failed,
    /// It never began.
    Missed,
}

/// What an event tells of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodNewsRecord {
    /// Its number.
    pub number: u64,
    /// The last one of several.
    #[serde(default)]
    pub through: Option<u64>,
    /// What became of it.
    pub state: StoredPeriodState,
}

/// One period that is over, or several that were missed together; under the number of the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeriodRecord {
    /// What became of it.
    pub state: StoredPeriodState,
    /// The last one of several.
    #[serde(default)]
    pub through: Option<u64>,
    /// When its function was last started.
    #[serde(default)]
    pub started_us: Option<i64>,
    /// When it was over.
    pub ended_us: i64,
    /// Why it failed: a code of the catalogue.
    #[serde(default)]
    pub code: Option<String>,
    /// The same in words.
    #[serde(default)]
    pub detail: String,
    /// What each operation asked for, of one with a result.
    #[serde(default)]
    pub windows: Vec<WindowRecord>,
    /// Hex SHA-256 of the state that it was given.
    #[serde(default)]
    pub state_before: Option<String>,
    /// Hex SHA-256 of the state that it left.
    #[serde(default)]
    pub state_after: Option<String>,
    /// What it took and read, of one with a result.
    #[serde(default)]
    pub outcome: Option<OutcomeRecord>,
}

/// What one operation asked for in a period, ns of Unix time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The operation's id.
    pub id: String,
    /// First instant, inclusive.
    pub from_ns: i64,
    /// Last instant, exclusive.
    pub to_ns: i64,
}

impl PeriodsRecord {
    /// When a period is due.
    #[must_use]
    pub fn due_us(&self, period: u64) -> i64 {
        let due = self.first_due_us.saturating_add(period.saturating_mul(self.every_us));
        i64::try_from(due).unwrap_or(i64::MAX)
    }
}

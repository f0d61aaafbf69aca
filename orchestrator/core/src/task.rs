//! What a task is to the orchestrator, and the states it goes through.
//!
//! ```text
//!            ┌─────(broker died, daemon restarted, function dead before: attempts left)───┐
//!            v                     │                     │                    │
//! accepted ─> queued ──────────> starting ───────────> streaming ────────> computing ──> succeeded
//!    │         │                   │                     │                    │
//!    │         ├──> expired        │                     │                    │
//!    └─────────┴───────────────────┴─────────────────────┴────────────────────┴──> failed | cancelled
//!
//! of a persistent task, beside these:
//!
//!                   ┌──(a period is due)── waiting <──(its period is over, none is due)── accepted | queued | under way
//!                   v                         │
//!                queued                       └──(no period is left)──> succeeded | failed | expired | cancelled
//! ```
//!
//! *accepted*: stored, not yet seen by the scheduler · *queued*: waits for room and for the broker · *starting*: its
//! function boots · *streaming*: the broker retrieves for it · *computing*: the broker has sent everything · *waiting*: between
//! two periods of a persistent task, nothing runs · the rest are ends. A wrapper that is *refused* never becomes a task here; only its refusal is kept.
//!
//! A task goes back to *queued* only when the broker or the daemon died, a function that was started ahead of it had ended
//! before it said a word, or its function's time went by while the node waited for its disk: its own function's death fails it.

use std::fmt;

use crate::ids::TaskId;
use crate::periods::{PeriodsSoFar, Schedule};
use crate::terms::{Shape, Terms};

/// Where a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Stored with its answer given.
    Accepted,
    /// Waiting for room and for the broker.
    Queued,
    /// Its function is being booted.
    Starting,
    /// The broker retrieves, the function reads.
    Streaming,
    /// The broker has sent everything; the function is at work.
    Computing,
    /// Between two periods.
    Waiting,
    /// Ended with a result.
    Succeeded,
    /// Ended with a reason.
    Failed,
    /// Ended because someone asked for it.
    Cancelled,
    /// Ended because it was still waiting when its wrapper expired.
    Expired,
    /// Never began.
    Refused,
}

impl TaskState {
    /// Every state, in the order of a task's life.
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

    /// The word stored and shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
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

    /// The state of this word, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired | Self::Refused)
    }

    /// Whether a function runs (or boots) for the task.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Starting | Self::Streaming | Self::Computing)
    }

    /// Whether the drawing above has an arrow from `self` to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match next {
            Self::Accepted | Self::Refused => false,
            Self::Queued => matches!(self, Self::Accepted | Self::Waiting) || self.is_under_way(),
            Self::Starting => matches!(self, Self::Queued),
            Self::Streaming => matches!(self, Self::Starting),
            Self::Computing => matches!(self, Self::Streaming),
            Self::Waiting => matches!(self, Self::Accepted | Self::Queued) || self.is_under_way(),
            Self::Succeeded => matches!(self, Self::Computing | Self::Waiting),
            Self::Expired => matches!(self, Self::Accepted | Self::Queued | Self::Waiting),
            Self::Failed | Self::Cancelled => !self.is_final(),
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An image by the name people use and the digest that decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// For people.
    pub name: String,
    /// SHA-256 of the image's manifest.
    pub digest: [u8; 32],
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:", self.name)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One query of one source, admitted: the source's place in the virtual network is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationSpec {
    /// Its id inside the wrapper.
    pub id: String,
    /// The registered source's name.
    pub source: String,
    /// What the broker is told; `index` is its place in [`TaskSpec::operations`].
    pub order: fades_wire::control::Operation,
}

/// An admitted task: everything the engine needs, with every limit already checked against policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Its name.
    pub id: TaskId,
    /// Who signed it.
    pub issuer: String,
    /// 0 (last) to 9 (first).
    pub priority: u8,
    /// End of the wrapper's life, µs since 1970 UTC; a task still waiting then expires.
    pub expires_unix_us: u64,
    /// When it was received, µs since 1970 UTC.
    pub received_unix_us: u64,
    /// When it was received by this run's monotonic clock, µs; `None` for a task taken up from the store.
    pub received_mono_us: Option<u64>,
    /// How long checking took, µs.
    pub verify_us: u64,
    /// The function's image.
    pub image: ImageRef,
    /// Whether the function takes its operations side by side.
    pub together: bool,
    /// The function's memory.
    pub memory_mib: u32,
    /// Wall clock from the start of streaming to the result, ms.
    pub timeout_ms: u64,
    /// The function's parameters, a JSON document.
    pub parameters: String,
    /// What its result must keep to.
    pub terms: Terms,
    /// What its image says that results are; `None` where it does not say.
    pub shape: Option<Shape>,
    /// What to retrieve, in the wrapper's order; of a persistent task, in period 0.
    pub operations: Vec<OperationSpec>,
    /// When a persistent task's periods are due; `None` for any other.
    pub schedule: Option<Schedule>,
}

/// What the store knows of a task that an earlier daemon did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedState {
    /// Its last stored state.
    pub state: TaskState,
    /// How often its function was started so far; of a persistent task, in this period.
    pub attempts: u32,
    /// How far a persistent task is; as at its beginning for any other.
    pub periods: PeriodsSoFar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrows_are_those_of_the_drawing() {
        use TaskState::{
            Accepted, Cancelled, Computing, Expired, Failed, Queued, Refused, Starting, Streaming, Succeeded,
            Waiting,
        };
        let drawn = [
            (Accepted, vec![Queued, Waiting, Failed, Cancelled, Expired]),
            (Queued, vec![Starting, Waiting, Failed, Cancelled, Expired]),
            (Starting, vec![Queued, Streaming, Waiting, Failed, Cancelled]),
            (Streaming, vec![Queued, Computing, Waiting, Failed, Cancelled]),
            (Computing, vec![Queued, Waiting, Succeeded, Failed, Cancelled]),
            (Waiting, vec![Queued, Succeeded, Failed, Cancelled, Expired]),
            (Succeeded, vec![]),
            (Failed, vec![]),
            (Cancelled, vec![]),
            (Expired, vec![]),
            (Refused, vec![]),
        ];
        for (from, to) in drawn {
            for next in TaskState::ALL {
                assert_eq!(from.may_become(next), to.contains(&next), "{from} to {next}");
            }
            assert_eq!(from.is_final(), to.is_empty());
        }
    }

    #[test]
    fn words_lead_back_to_their_states() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::from_word(state.word()), Some(state));
        }
        assert_eq!(TaskState::from_word("done"), None);
    }
}

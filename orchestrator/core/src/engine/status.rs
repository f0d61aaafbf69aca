//! How the engine is, for `status` and for metrics.

use super::Engine;
use super::broker::BrokerStatus;
use crate::ids::{GuestId, Role, TaskId};
use crate::limits::{Limits, Usage};
use crate::task::TaskState;

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// The broker.
    pub broker: BrokerStatus,
    /// Every guest that is not known to be gone.
    pub guests: Vec<GuestStatus>,
    /// What they take.
    pub usage: Usage,
    /// What they may take.
    pub limits: Limits,
    /// Tasks waiting.
    pub waiting: usize,
    /// Tasks under way.
    pub under_way: usize,
    /// Persistent tasks between two periods.
    pub between: usize,
}

/// One guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestStatus {
    /// Its name.
    pub guest: GuestId,
    /// What it is for.
    pub role: Role,
    /// Its memory, MiB.
    pub memory_mib: u32,
    /// Its task.
    pub task: Option<TaskId>,
    /// Whether its end was asked for.
    pub stopping: bool,
}

/// One task that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name.
    pub task: TaskId,
    /// Where it is.
    pub state: TaskState,
    /// How often its function was started.
    pub attempts: u32,
    /// Its function, while it is under way.
    pub guest: Option<GuestId>,
}

impl Engine {
    /// The task of a guest that is not known to be gone.
    #[must_use]
    pub fn task_of(&self, guest: GuestId) -> Option<TaskId> {
        self.guests.get(guest)?.task
    }

    /// How everything is.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let guests = self.guests.iter().map(|(guest, live)| GuestStatus {
            guest,
            role: live.role,
            memory_mib: live.memory_mib,
            task: live.task,
            stopping: live.stopping,
        });
        EngineStatus {
            broker: self.broker.status(),
            guests: guests.collect(),
            usage: self.guests.usage(),
            limits: self.config.limits,
            waiting: self.queue.len(),
            under_way: self.running.len(),
            between: self.waiting.len(),
        }
    }

    /// Every task that has not ended.
    pub fn tasks(&self) -> impl Iterator<Item = TaskStatus> + '_ {
        self.tasks.iter().map(|(id, task)| TaskStatus {
            task: *id,
            state: task.state,
            attempts: task.attempts,
            guest: task.attempt.as_ref().map(|attempt| attempt.guest),
        })
    }
}

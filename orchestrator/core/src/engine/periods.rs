//! Persistent tasks: from one period to the next.
//!
//! ```text
//! waiting ──(due)──> queued ──> … (as any task, with a function of its own) ──> period over ──> waiting, or queued at once
//!    │                                                                             │
//!    └── the wrapper expired ──> the rest is missed ────────────────┬── none left ─┘
//!                                                                   └──> succeeded if any period gave a result
//! ```
//!
//! A period that fails is over: the next one gets the state of the last good one, and however many fail in a row, the task goes on
//! until its wrapper says. Which period runs is decided when its function is started, so that with `skip` it is the latest that is
//! due then; from then on it is that one, over all retries and restarts, until it is over.

use fades_api::codes;
use fades_wire::control::{MAX_STATE_PART, Memory, Recall as Part, StateHead, ToGuest};

use super::Engine;
use super::function::Recall;
use super::port::{Effect, Now, Outcome, PeriodEnd, Prepared};
use crate::fault::Fault;
use crate::ids::{GuestId, TaskId};
use crate::task::TaskState;

impl Engine {
    /// Puts a task in line; a persistent one whose next period is not due waits for that, and one without another ends.
    pub(super) fn line_up(&mut self, id: TaskId, why: &str, now: Now) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.since_us = now.mono_us;
        let Some(schedule) = task.spec.schedule else { return self.enqueue(id, why) };
        let next = task.periods.next;
        if task.periods.running.is_some() || schedule.pick(next, now.unix_us).is_some() {
            return self.enqueue(id, why);
        }
        if task.state != TaskState::Waiting {
            task.state = TaskState::Waiting;
            self.record(id, why);
        }
        if next > schedule.last {
            return self.periods_over(id);
        }
        self.wait_until(id, schedule.due_us(next));
    }

    fn wait_until(&mut self, id: TaskId, due_us: u64) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.due_us = Some(due_us);
            self.waiting.insert((due_us, id));
        }
    }

    /// Puts what has become due in line.
    pub(super) fn tick_periods(&mut self, now: Now) {
        while let Some((due_us, id)) =
            self.waiting.first().copied().filter(|(due_us, _)| *due_us <= now.unix_us)
        {
            self.waiting.remove(&(due_us, id));
            if let Some(task) = self.tasks.get_mut(&id) {
                task.due_us = None;
                self.line_up(id, "", now);
            }
        }
    }

    /// Decides which period a persistent task that is first in line begins; false when none is due any more, as after a clock
    /// was set back, and the task waits again.
    pub(super) fn begin_period(&mut self, id: TaskId, now: Now) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(schedule) = task.spec.schedule.filter(|_| task.periods.running.is_none()) else {
            return true;
        };
        let next = task.periods.next;
        let Some(period) = schedule.pick(next, now.unix_us) else {
            self.line_up(id, "the clock went back", now);
            return false;
        };
        if period > next {
            self.miss(id, period - 1);
        }
        if let Some(task) = self.tasks.get_mut(&id) {
            task.periods.running = Some(period);
        }
        true
    }

    /// The periods from the next one to `last` never ran.
    fn miss(&mut self, id: TaskId, last: u64) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let first = task.periods.next;
        task.periods.missed += last - first + 1;
        task.periods.next = last + 1;
        self.out.push(Effect::Missed { task: id, first, last });
    }

    /// The one place where periods end.
    pub(super) fn end_period(&mut self, id: TaskId, end: PeriodEnd, why: &str, now: Now) {
        if self.close_period(id, end, why) {
            self.line_up(id, "", now);
        }
    }

    /// Ends the period of a task that has begun one, and leaves the task waiting.
    fn close_period(&mut self, id: TaskId, end: PeriodEnd, why: &str) -> bool {
        self.arrivals += 1;
        let arrival = self.arrivals;
        let Some(task) = self.tasks.get_mut(&id) else { return false };
        let Some(period) = task.periods.running.take() else { return false };
        match end {
            PeriodEnd::Done(_) => task.periods.done += 1,
            PeriodEnd::Failed(_) => task.periods.failed += 1,
        }
        task.periods.next = period + 1;
        (task.state, task.attempts, task.anew) = (TaskState::Waiting, 0, false);
        // Behind everybody who came meanwhile: who catches up shall not keep others from their turn.
        task.arrival = arrival;
        let attempt = task.attempt.take();
        self.queue.remove(id);
        self.out.push(Effect::Period { task: id, period, end });
        if let Some(attempt) = attempt {
            self.leave(&attempt, why);
        }
        true
    }

    /// The wrapper of a persistent task has expired while a period waited its turn: what is due is missed, and no other begins.
    pub(super) fn expire_periods(&mut self, id: TaskId, now: Now) {
        let Some(task) = self.tasks.get(&id) else { return };
        let Some(schedule) = task.spec.schedule else { return };
        if let Some(period) = task.periods.running {
            let why = format!("period {period} was to be begun again when the wrapper expired");
            self.close_period(
                id,
                PeriodEnd::Failed(Fault::new(codes::TASK_EXPIRED, why)),
                "its task expired",
            );
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if task.state != TaskState::Waiting {
            task.state = TaskState::Waiting;
            self.record(id, "the wrapper expired");
        }
        let next = self.tasks.get(&id).map_or(0, |task| task.periods.next);
        if let Some(last) = schedule.latest_due(now.unix_us).filter(|last| *last >= next) {
            self.miss(id, last);
        }
        self.periods_over(id);
    }

    /// Ends a task with no period left: well if any gave a result, as failed if all that began failed. That none began can only
    /// be because it expired before.
    fn periods_over(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        let periods = task.periods;
        let outcome = match (periods.done, periods.failed) {
            (0, 0) => Outcome::Expired,
            (0, failed) => {
                let why =
                    format!("{failed} periods failed, {} were missed, none gave a result", periods.missed);
                Outcome::Failed(Fault::new(codes::PERIODS_WITHOUT_RESULT, why))
            }
            _ => Outcome::PeriodsOver,
        };
        self.finish(id, outcome, "its periods are over");
    }

    /// What a period needs is here; now its function can be told to run, if it is awake.
    pub(super) fn prepared(&mut self, guest: GuestId, prepared: Result<Prepared, Fault>, now: Now) {
        let Some(id) = self.running.get(&guest).copied() else { return };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(attempt) = task.attempt.as_mut() else { return };
        if !matches!(attempt.recall, Recall::Asked) {
            return;
        }
        let served = match prepared {
            Ok(Prepared { operations, .. }) if operations.len() != task.spec.operations.len() => {
                let why = format!(
                    "{} operations were planned anew as {}",
                    task.spec.operations.len(),
                    operations.len()
                );
                Err(Fault::new(codes::INTERNAL, why))
            }
            Ok(Prepared { state, operations }) => {
                attempt.recall = Recall::Here(state);
                task.spec.operations = operations;
                if attempt.hello_us.is_some() { self.serve(id, now) } else { Ok(()) }
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = served {
            self.fail(id, fault, now);
        }
    }
}

/// What a function is told of its memory, and the messages that bring it.
pub(super) fn recall(recall: &mut Recall, limit: u64) -> (Option<Memory>, Vec<ToGuest>) {
    let state = match std::mem::replace(recall, Recall::Nothing) {
        Recall::Nothing | Recall::Asked => return (None, Vec::new()),
        Recall::Here(state) => state,
    };
    let head =
        state.as_ref().map(|state| StateHead { version: state.version, len: state.bytes.len() as u64 });
    let bytes = state.map(|state| state.bytes).unwrap_or_default();
    let parts = bytes.chunks(MAX_STATE_PART).zip(0..);
    let parts = parts.map(|(part, index)| Part { index, bytes: part.to_vec() }.into()).collect();
    (Some(Memory { state: head, limit }), parts)
}

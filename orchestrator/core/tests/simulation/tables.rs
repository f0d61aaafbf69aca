//! What the store holds, and how each change is applied to it: as `orchestrator/daemon/src/store` does, without a file.

use std::collections::BTreeMap;
use std::rc::Rc;

use fades_api::task::Wrapper;
use fades_core::TaskId;
use fades_core::engine::{Outcome, PeriodEnd, Success};
use fades_core::periods::{FunctionState, PeriodsSoFar};
use fades_core::task::TaskState;

use crate::laws::{self, Held};
use crate::mutation::Mutation;

/// An id is remembered for this long after its wrapper has expired, µs.
pub(crate) const REMEMBER_US: i64 = fades_core::admit::SKEW_US;
/// How far a clock may lie behind the highest one seen, µs.
pub(crate) const TOLERANCE_US: i64 = 10_000_000;

/// A task as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) wrapper: Rc<Wrapper>,
    pub(crate) digest: u64,
    pub(crate) issuer: String,
    pub(crate) state: TaskState,
    pub(crate) attempts: u32,
    pub(crate) accepted_us: i64,
    /// When that was, by the world's time.
    pub(crate) begun_us: u64,
    pub(crate) expires_us: i64,
    pub(crate) code: Option<String>,
    pub(crate) result: Option<String>,
    /// Of a persistent task.
    pub(crate) periods: Option<Periods>,
    /// How often it was given a final state.
    pub(crate) ends: u32,
}

/// How far a persistent task is, and every row of it: first and last number, and how they ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Periods {
    pub(crate) so_far: PeriodsSoFar,
    pub(crate) rows: Vec<Row>,
    pub(crate) state: Option<FunctionState>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) end: RowEnd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowEnd {
    Missed,
    Failed(String),
    Done(String),
}

/// One change that the actor wants stored.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Record { task: TaskId, state: TaskState, attempts: u32, period: Option<u64> },
    Missed { task: TaskId, first: u64, last: u64 },
    Period { task: TaskId, period: u64, end: PeriodEnd },
    Finish { task: TaskId, outcome: Outcome },
}

/// How an acceptance went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    New,
    Known,
    Gone,
    Conflict,
    ClockBehind,
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) tasks: BTreeMap<TaskId, Record>,
    /// What an id stands for, and until when that is remembered.
    pub(crate) replay: BTreeMap<TaskId, (u64, i64)>,
    pub(crate) clock_high_us: i64,
}

impl Tables {
    pub(crate) fn open(&self) -> impl Iterator<Item = (&TaskId, &Record)> {
        self.tasks.iter().filter(|(_, record)| !record.state.is_final())
    }

    pub(crate) fn accept(
        &mut self,
        id: TaskId,
        record: Record,
        most_open: usize,
        bad: Option<Mutation>,
    ) -> Accepted {
        let stored = self.tasks.get(&id).map(|record| record.digest);
        if let Some(digest) = self.replay.get(&id).map(|(digest, _)| *digest).or(stored) {
            return match stored {
                _ if digest != record.digest => Accepted::Conflict,
                Some(_) => Accepted::Known,
                None => Accepted::Gone,
            };
        }
        let now_us = record.accepted_us;
        if now_us.saturating_add(TOLERANCE_US) < self.clock_high_us && bad != Some(Mutation::ClockUnjudged) {
            return Accepted::ClockBehind;
        }
        self.clock_high_us = self.clock_high_us.max(now_us);
        self.replay.retain(|_, (_, until_us)| *until_us >= now_us);
        if self.open().count() >= most_open {
            return Accepted::Full;
        }
        self.replay.insert(id, (record.digest, record.expires_us.saturating_add(REMEMBER_US)));
        self.tasks.insert(id, record);
        Accepted::New
    }

    /// Applies a change; the task that ended by it, and whose it is.
    pub(crate) fn apply(&mut self, change: &Change, bad: Option<Mutation>) -> Held<Option<(TaskId, String)>> {
        let (Change::Record { task, .. }
        | Change::Missed { task, .. }
        | Change::Period { task, .. }
        | Change::Finish { task, .. }) = change;
        let Some(record) = self.tasks.get_mut(task).filter(|record| !record.state.is_final()) else {
            return Ok(None);
        };
        match change {
            Change::Record { state, attempts, period, .. } => {
                laws::states_move_along_the_arrows(record.state, *state)?;
                record.state = *state;
                record.attempts = record.attempts.max(*attempts);
                if let Some(periods) = &mut record.periods {
                    record.attempts = *attempts;
                    periods.so_far.running = *period;
                }
            }
            Change::Missed { first, last, .. } => record.miss(*first, *last)?,
            Change::Period { period, end, .. } => record.end_period(*period, end, bad)?,
            Change::Finish { outcome, .. } => {
                laws::states_move_along_the_arrows(record.state, outcome.state())?;
                record.state = outcome.state();
                record.ends += 1;
                (record.code, record.result) = ending(outcome);
                return Ok(Some((*task, record.issuer.clone())));
            }
        }
        Ok(None)
    }
}

fn ending(outcome: &Outcome) -> (Option<String>, Option<String>) {
    match outcome {
        Outcome::Succeeded(Success { result, .. }) => (None, Some(result.clone())),
        Outcome::Failed(fault) => (Some(name(fault.code)), None),
        Outcome::PeriodsOver | Outcome::Cancelled | Outcome::Expired => (None, None),
    }
}

/// A code by its name, as it is stored and as reports show it.
pub(crate) fn name(code: fades_api::codes::Code) -> String {
    code.entry().map_or_else(|| code.to_string(), |entry| entry.name.to_owned())
}

impl Record {
    fn miss(&mut self, first: u64, last: u64) -> Held {
        let Some(periods) = self.periods.as_mut().filter(|periods| first >= periods.so_far.next) else {
            return Ok(());
        };
        let row = Row { first, last, end: RowEnd::Missed };
        laws::periods_in_order_each_once(&periods.rows, &row)?;
        periods.rows.push(row);
        periods.so_far.missed += last - first + 1;
        (periods.so_far.next, periods.so_far.running) = (last + 1, None);
        Ok(())
    }

    fn end_period(&mut self, number: u64, end: &PeriodEnd, bad: Option<Mutation>) -> Held {
        let Some(periods) = self.periods.as_mut().filter(|periods| number >= periods.so_far.next) else {
            return Ok(());
        };
        let end = match end {
            PeriodEnd::Done(success) => {
                let state = success.state.as_ref();
                laws::a_state_goes_on_from_the_last_one(&periods.rows, state, &success.result)?;
                if success.state.is_some() && bad != Some(Mutation::StateNotKept) {
                    periods.state.clone_from(&success.state);
                }
                periods.so_far.done += 1;
                RowEnd::Done(success.result.clone())
            }
            PeriodEnd::Failed(fault) => {
                periods.so_far.failed += 1;
                RowEnd::Failed(name(fault.code))
            }
        };
        let row = Row { first: number, last: number, end };
        laws::periods_in_order_each_once(&periods.rows, &row)?;
        periods.rows.push(row);
        (periods.so_far.next, periods.so_far.running) = (number + 1, None);
        (self.state, self.attempts) = (TaskState::Waiting, 0);
        Ok(())
    }
}

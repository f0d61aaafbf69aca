//! What is stored when a task or a period ends, and what is looked up when a period begins.

use fades_core::TaskId;
use fades_core::engine::{Outcome, PeriodEnd, Prepared, Success};
use fades_core::fault::Fault;
use fades_core::periods::FunctionState;
use ulid::Ulid;

use super::actor::{Actor, Parts, RuntimeError};
use super::prepare::prepare;
use super::receipt::seal;
use super::recover::stored_state;
use crate::store::record::StoredState;
use crate::store::{Finished, KeptState, PeriodEnded, StoreError, StoredResult};

impl Actor {
    pub(super) fn finished(&self, task: TaskId, outcome: Outcome) -> Result<Finished, RuntimeError> {
        let id = Ulid::from_bytes(task.0);
        let at_us = self.parts.clock.unix_us();
        let mut end = Finished {
            id,
            state: stored_state(outcome.state()),
            at_us,
            code: None,
            detail: String::new(),
            result: None,
        };
        match outcome {
            Outcome::PeriodsOver => {}
            Outcome::Succeeded(success) => match self.sealed(task, id, None, success, at_us)? {
                Ok(result) => {
                    self.count(&result);
                    end.result = Some(result);
                }
                Err(why) => {
                    end.state = StoredState::Failed;
                    end.code = Some(fades_api::codes::INTERNAL.to_string());
                    end.detail = why;
                }
            },
            Outcome::Failed(fault) => {
                end.code = Some(fault.code.to_string());
                end.detail = fault.message;
            }
            Outcome::Cancelled => end.code = Some(fades_api::codes::TASK_CANCELLED.to_string()),
            Outcome::Expired => end.code = Some(fades_api::codes::TASK_EXPIRED.to_string()),
        }
        Ok(end)
    }

    fn count(&self, result: &StoredResult) {
        let read = result.outcome.operations.iter();
        self.parts.metrics.points_read.add(read.clone().map(|op| op.points).sum());
        self.parts.metrics.bytes_read.add(read.map(|op| op.bytes).sum());
        self.parts.metrics.bytes_out.add(result.bytes.len() as u64);
    }

    pub(super) fn period_ended(
        &self,
        task: TaskId,
        number: u64,
        end: PeriodEnd,
    ) -> Result<PeriodEnded, RuntimeError> {
        let id = Ulid::from_bytes(task.0);
        let at_us = self.parts.clock.unix_us();
        let (code, detail) = (None, String::new());
        let windows = self.plans.get(&task).map(|plan| plan.windows(number)).unwrap_or_default();
        let mut ended = PeriodEnded { id, number, at_us, code, detail, windows, result: None, state: None };
        let fault = match end {
            PeriodEnd::Done(mut success) => {
                let state = success.state.take();
                let kept = state.as_ref();
                match self.sealed(task, id, Some((number, kept)), success, at_us)? {
                    Ok(result) => {
                        self.count(&result);
                        ended.result = Some(result);
                        ended.state =
                            state.map(|FunctionState { version, bytes }| KeptState { version, bytes });
                        return Ok(ended);
                    }
                    Err(why) => Fault::new(fades_api::codes::INTERNAL, why),
                }
            }
            PeriodEnd::Failed(fault) => fault,
        };
        (ended.code, ended.detail) = (Some(fault.code.to_string()), fault.message);
        Ok(ended)
    }

    /// What a period of a task needs, as things are now.
    pub(super) fn prepared(&self, id: Ulid) -> Result<Result<Prepared, Fault>, StoreError> {
        let Parts { store, trust, clock, facts, .. } = &self.parts;
        let prepared = prepare(store, &trust.get(), &facts(), clock.unix_us(), id)?;
        if let Err(fault) = &prepared {
            tracing::warn!(task = %id, code = %fault.code, why = fault.message, "a period cannot run");
        }
        Ok(prepared)
    }

    /// A result with its receipt; in words why there is none. Of a period its number and the state that it leaves.
    fn sealed(
        &self,
        task: TaskId,
        id: Ulid,
        period: Option<(u64, Option<&FunctionState>)>,
        success: Success,
        at_us: i64,
    ) -> Result<Result<StoredResult, String>, RuntimeError> {
        let record = self.parts.store.task(id)?;
        let (Some(record), Some(plan), Some(broker)) = (record, self.plans.get(&task), &self.broker) else {
            return Ok(Err("the task's record is gone".to_owned()));
        };
        let period = match period.map(|(number, kept)| plan.period(number, &record, kept)).transpose() {
            Ok(period) => period.flatten(),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let sealed = seal(&self.parts.signer, &id.to_string(), &record, plan, broker, period, success, at_us);
        Ok(sealed.map_err(|error| error.to_string()))
    }
}

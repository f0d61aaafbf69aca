//! What the actor does, held against the laws as it does it.

use fades_api::task::Wrapper;
use fades_core::TaskId;
use fades_core::admit::{self, Allowed, Received};
use fades_core::engine::{GuestOrder, Outcome, PeriodEnd, Prepared, Success};
use fades_core::fault::Fault;
use fades_core::limits::Patience;
use fades_core::periods::Schedule;
use fades_wire::control::Run;

use crate::laws;
use crate::outside::Outside;
use crate::tables::name;
use crate::weather::MINUTE;
use crate::wrappers::policy;

/// Starts of a broker within a minute at most: after pauses of a quarter of a second, a half, one, two and so on.
const BROKER_STARTS: usize = 9;

impl Outside {
    /// A guest is about to be started.
    pub(crate) fn begins(&mut self, order: &GuestOrder) {
        let Some(id) = order.task else {
            if order.role == fades_core::Role::Broker {
                self.broker_starts.push((self.run, self.now_us));
                let since_us = self.now_us.saturating_sub(MINUTE);
                // A daemon that starts again has forgotten how often its last one's broker died.
                let of_late = |(run, at_us): &&(u64, u64)| *run == self.run && *at_us > since_us;
                let starts = self.broker_starts.iter().filter(of_late).count();
                self.hold(laws::broker_is_not_started_for_ever(starts, BROKER_STARTS));
            }
            return;
        };
        self.hold(laws::begins_only_what_is_stored_as_starting(self.stored_state(id), id));
        self.counts(id);
    }

    /// A task is begun once more. What the store says of its period is what counts, as it is what a restart goes by.
    fn counts(&mut self, id: TaskId) {
        let Some(record) = self.disk.tables.tasks.get(&id) else { return };
        let period = record.periods.as_ref().map_or(0, |periods| periods.rows.len() as u64);
        let begun = self.begun.entry((id, period)).or_default();
        *begun += 1;
        let begun = *begun;
        self.hold(laws::begun_no_more_often_than_allowed(begun, Patience::default().max_attempts, id));
    }

    /// A function is told to run, by one whose task it is.
    pub(crate) fn serves(&mut self, machine: u64, run: &Run) {
        let Some(id) = self.machines.get(&machine).and_then(|machine| machine.task) else { return };
        self.keys.insert(run.task, id);
        self.hold(laws::works_only_for_what_is_stored_as_streaming(self.stored_state(id), id));
    }

    /// What a period of a task needs, as `orchestrator/daemon/src/runtime/prepare.rs` finds it.
    pub(crate) fn prepared(&self, id: TaskId) -> Result<Prepared, Fault> {
        let gone = || Fault::new(fades_api::codes::STORE_RECORD_MALFORMED, "the task's record is gone");
        let record = self.disk.tables.tasks.get(&id).ok_or_else(gone)?;
        let plan = policy().permits(&record.wrapper);
        let plan = plan.and_then(|()| {
            admit::plan(&record.wrapper, allowed(), &self.facts, received(record.accepted_us))
        });
        let spec = plan.map_err(|refusal| Fault::new(refusal.code, refusal.message))?;
        let state = record.periods.as_ref().and_then(|periods| periods.state.clone());
        Ok(Prepared { state, operations: spec.operations })
    }

    /// The actor is about to store an end.
    pub(crate) fn finishes(&mut self, id: TaskId, outcome: &Outcome) {
        let code = match outcome {
            Outcome::Failed(fault) => name(fault.code),
            other => other.state().word().to_owned(),
        };
        self.note(format_args!("finish {} {code}", self.short(id)));
        match outcome {
            Outcome::Succeeded(success) => self.gives(id, None, success),
            Outcome::Failed(fault) => self.fails(id, fault),
            Outcome::PeriodsOver | Outcome::Cancelled | Outcome::Expired => {}
        }
        self.count(code);
    }

    /// The actor is about to store the end of a period.
    pub(crate) fn ends(&mut self, id: TaskId, period: Option<u64>, end: &PeriodEnd) {
        let code = match end {
            PeriodEnd::Done(_) => "done".to_owned(),
            PeriodEnd::Failed(fault) => name(fault.code),
        };
        self.note(format_args!("period {} {period:?} {code}", self.short(id)));
        match end {
            PeriodEnd::Done(success) => self.gives(id, period, success),
            PeriodEnd::Failed(fault) => self.fails(id, fault),
        }
        self.count(format!("period {code}"));
    }

    fn gives(&mut self, id: TaskId, period: Option<u64>, success: &Success) {
        let Some(record) = self.disk.tables.tasks.get(&id) else { return };
        let shift_ns = period
            .map_or(0, |period| schedule(&record.wrapper).map_or(0, |schedule| schedule.shift_ns(period)));
        let from_ns = record.wrapper.drb.operations[0].range_ns().0 + shift_ns;
        let moved = self.machines.values().any(|machine| machine.task == Some(id) && machine.whole);
        self.hold(laws::a_result_is_its_tasks_own(&success.result, id, from_ns, moved));
    }

    fn fails(&mut self, id: TaskId, fault: &Fault) {
        let code = name(fault.code);
        // That all periods failed is said of the task; each had its own reason.
        let of_periods = code == "PERIODS_WITHOUT_RESULT";
        let expired = code == "TASK_EXPIRED" || code == "TASK_ABOVE_NODE";
        let bad = self.machines.values().any(|machine| machine.task == Some(id) && machine.bad);
        let gone = code == "SOURCE_UNKNOWN";
        let own = bad || of_periods || expired || gone || self.own.contains(&id);
        // That a broker fell silent is noticed some time after it did.
        let begun_us = self.disk.tables.tasks.get(&id).map_or(0, |record| record.begun_us);
        let since_us = begun_us.saturating_sub(MINUTE / 2);
        let shared = self.troubles.iter().filter(|at_us| **at_us >= since_us).count();
        let (shared, most) = (u32::try_from(shared).unwrap_or(u32::MAX), Patience::default().max_attempts);
        self.hold(laws::nobody_fails_for_anothers_fault(own, shared, most, id, &code));
    }
}

pub(crate) fn allowed() -> Allowed {
    Allowed::by(&policy())
}

pub(crate) fn received(unix_us: i64) -> Received {
    Received { unix_us: u64::try_from(unix_us).unwrap_or(0), mono_us: None, verify_us: 5 }
}

pub(crate) fn schedule(wrapper: &Wrapper) -> Option<Schedule> {
    Schedule::of(wrapper, policy().state_bytes).ok().flatten()
}

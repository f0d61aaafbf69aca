//! Tasks from acceptance to their end: waiting, starting, retrying, finishing.

use fades_api::codes::{self, Code};
use fades_wire::control::Abandon;
use fades_wire::ids::TaskKey;

use super::Engine;
use super::dormant::{Kind, Taken};
use super::function::{Attempt, Recall};
use super::guests::Wanted;
use super::port::{Effect, Now, Outcome, PeriodEnd, Success};
use super::verdict::{Agreed, Intake};
use crate::fault::Fault;
use crate::ids::{Role, TaskId};
use crate::periods::PeriodsSoFar;
use crate::task::{RecordedState, TaskSpec, TaskState};
use crate::timings::Timings;

/// A task that has not ended.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) spec: TaskSpec,
    pub(super) state: TaskState,
    pub(super) attempts: u32,
    /// Its place among tasks of equal priority and deadline; kept over retries, not over periods.
    pub(super) arrival: u64,
    /// When it began to wait, monotonic µs.
    pub(super) since_us: u64,
    /// How far a persistent task is.
    pub(super) periods: PeriodsSoFar,
    /// When its next period is due, while it is among those that wait for that.
    pub(super) due_us: Option<u64>,
    /// Its function was dead, and the broker was not: it gets one that is started for it, and the broker hears of it under another name.
    pub(super) anew: bool,
    /// Its function, while it is under way.
    pub(super) attempt: Option<Attempt>,
}

impl Engine {
    pub(super) fn accept(&mut self, spec: TaskSpec, now: Now) {
        let new = RecordedState { state: TaskState::Accepted, attempts: 0, periods: PeriodsSoFar::default() };
        self.admit(spec, new, now);
    }

    /// A task that an earlier daemon left: what ran then begins anew, as often as attempts are left.
    pub(super) fn recover(&mut self, spec: TaskSpec, recorded: RecordedState, now: Now) {
        let state = recorded.state;
        if state.is_final() || self.tasks.contains_key(&spec.id) {
            return;
        }
        let id = spec.id;
        self.admit(spec, recorded, now);
        if state.is_under_way() {
            self.retry(id, codes::NODE_RESTARTED, "the node ended while the task ran", now);
        }
    }

    fn admit(&mut self, spec: TaskSpec, recorded: RecordedState, now: Now) {
        let RecordedState { state, attempts, periods } = recorded;
        let id = spec.id;
        if self.tasks.contains_key(&id) {
            return;
        }
        self.arrivals += 1;
        let room = self.config.limits.function_mib(self.broker.memory_mib());
        let needed = spec.memory_mib;
        let (arrival, since_us) = (self.arrivals, now.mono_us);
        let (anew, due_us, attempt) = (false, None, None);
        let task = Task { spec, state, attempts, arrival, since_us, periods, due_us, anew, attempt };
        self.tasks.insert(id, task);
        if needed > room {
            let why = format!("the task needs {needed} MiB, this node has {room} MiB for a function");
            // The whole of a persistent task, too: no period of it would fit.
            self.finish(id, Outcome::Failed(Fault::new(codes::TASK_ABOVE_NODE, why)), "its task failed");
        } else if state.is_under_way() {
            // The caller decides: only it knows why nothing runs for it any more.
        } else if attempts >= self.config.patience.max_attempts {
            let why = format!("the task was begun {attempts} times, which is all that this node allows");
            self.fail(id, Fault::new(codes::RETRIES_EXHAUSTED, why), now);
        } else {
            self.line_up(id, "", now);
        }
    }

    /// Puts a task in line; recorded unless it is recorded so already.
    pub(super) fn enqueue(&mut self, id: TaskId, why: &str) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        self.queue.insert(id, task.spec.priority, task.spec.expires_unix_us, task.arrival);
        if task.state != TaskState::Queued {
            task.state = TaskState::Queued;
            self.record(id, why);
        }
    }

    pub(super) fn record(&mut self, id: TaskId, detail: &str) {
        if let Some(Task { state, attempts, periods, .. }) = self.tasks.get(&id) {
            let (state, attempts, period) = (*state, *attempts, periods.running);
            self.out.push(Effect::Record { task: id, state, attempts, period, detail: detail.to_owned() });
        }
    }

    /// A task whose function was started ahead of it, and was gone before its first word: back in line for a fresh one.
    pub(super) fn begin_anew(&mut self, id: TaskId, how: &str, now: Now) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.anew = true;
        let why = format!("its function, started ahead of it, was gone before its first word: {how}");
        self.retry(id, codes::GUEST_EXITED, &why, now);
    }

    /// A task whose function its backend has ended for its time, which went by while the store was waited for.
    pub(super) fn begin_after_stall(&mut self, id: TaskId, now: Now) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        // The broker lives on, and may still speak of this attempt.
        task.anew = true;
        let why = "its function's time was over while the node waited for its disk";
        self.retry(id, codes::GUEST_TIMED_OUT, why, now);
    }

    /// A task whose broker or daemon died under it, whose function was dead before, or whose time the node lost: back in line, or failed when it was begun
    /// often enough.
    fn retry(&mut self, id: TaskId, last: Code, why: &str, now: Now) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let most = self.config.patience.max_attempts;
        if task.attempts >= most {
            let why =
                format!("{why}; it was begun {} times, which is all that this node allows", task.attempts);
            return self.fail(id, Fault::new(last, why), now);
        }
        task.since_us = now.mono_us;
        let attempt = task.attempt.take();
        self.enqueue(id, why);
        if let Some(attempt) = attempt {
            self.leave(&attempt, why);
        }
    }

    /// Ends a task's function, and has the broker forget it.
    pub(super) fn leave(&mut self, attempt: &Attempt, why: &str) {
        self.running.remove(&attempt.guest);
        self.guests.stop(attempt.guest, why, &mut self.out);
        // After a success too: the function is ended before its farewell may have reached the broker, which would keep the
        // task's place until its deadline.
        if let (Some((broker, _)), Some(_)) = (self.broker.ready(), attempt.hello_us) {
            self.out.push(Effect::Send { guest: broker, message: Abandon { task: attempt.key }.into() });
        }
    }

    /// The broker is dead: every task under way goes back in line or fails.
    pub(super) fn broker_lost(&mut self, code: Code, why: &str, now: Now) {
        let patience = &self.config.patience;
        if !self.broker.lost(now, why, patience, &mut self.guests, &mut self.out) {
            return;
        }
        let under_way: Vec<TaskId> = self.running.values().copied().collect();
        let code = if code == codes::GUEST_SILENT { code } else { codes::BROKER_DIED };
        for id in under_way {
            self.retry(id, code, &format!("the broker {why}"), now);
        }
    }

    pub(super) fn tick_tasks(&mut self, now: Now) {
        while let Some(id) = self.queue.expired(now.unix_us) {
            match self.tasks.get(&id).is_some_and(|task| task.spec.schedule.is_some()) {
                true => self.expire_periods(id, now),
                false => self.finish(id, Outcome::Expired, "its task expired"),
            }
        }
        let under_way: Vec<TaskId> = self.running.values().copied().collect();
        for id in under_way {
            let attempt = self.tasks.get_mut(&id).and_then(|task| task.attempt.as_mut());
            let Some(attempt) = attempt else { continue };
            if let Err(fault) = attempt.tick(now, &self.config.patience, &mut self.out) {
                self.fail(id, fault, now);
            }
        }
    }

    /// Starts functions while the broker is ready and there is room. Whoever is first in line is never overtaken by a
    /// smaller task, so that a large one gets its turn.
    pub(super) fn schedule(&mut self, now: Now) {
        while self.broker.ready().is_some()
            && self.running.len() < self.config.limits.tasks as usize
            && let Some(id) = self.queue.first()
            && let Some(task) = self.tasks.get(&id)
        {
            let needed = task.spec.memory_mib;
            let waits = self.may_take(task) && self.dormant.has(task.kind());
            if !waits && !self.guests.usage().fits(needed, &self.config.limits) {
                return self.make_room(needed);
            }
            self.start(id, now);
        }
    }

    /// Whether a task may take a function that was started ahead. Not with its last attempt, which that one's death would cost.
    const fn may_take(&self, task: &Task) -> bool {
        !task.anew && task.attempts + 1 < self.config.patience.max_attempts
    }

    /// Ends functions without a task, as many as it takes that one with `needed` MiB fits when they are gone; none if all of
    /// them are not enough.
    fn make_room(&mut self, needed: u32) {
        let (mut usage, limits) = (self.guests.usage_to_be(), self.config.limits);
        self.dormant.memory_mib().for_each(|memory_mib| usage.sub(limits.cost_mib(memory_mib)));
        if !usage.fits(needed, &limits) {
            return;
        }
        while !self.guests.usage_to_be().fits(needed, &limits)
            && let Some(guest) = self.dormant.give_way()
        {
            self.guests.stop(guest, "a task needs its room", &mut self.out);
        }
    }

    /// Starts a function ahead of its task, when nobody waits for one that boots.
    pub(super) fn start_ahead(&mut self, now: Now) {
        let boots = |id: &TaskId| self.tasks.get(id).is_some_and(|task| task.state == TaskState::Starting);
        // A broker that is not there has its room kept.
        if self.broker.ready().is_none() || self.queue.first().is_some() || self.running.values().any(boots) {
            return;
        }
        let limits = &self.config.limits;
        let Some((image, memory_mib)) = self.dormant.wanted(limits, now) else { return };
        if !self.guests.usage().fits(memory_mib, limits) {
            return;
        }
        // Nobody knows when its task comes, so it has no time limit; its task's own does for it then.
        let wanted =
            Wanted { role: Role::Function, image: &image, memory_mib, task: None, time_limit_us: None };
        let guest = self.guests.order(&wanted, &mut self.out);
        self.dormant.ordered(guest, Kind::of(&image, memory_mib), now, &self.config.patience);
    }

    pub(super) fn forget_dormant(&mut self) {
        for guest in self.dormant.forget() {
            self.guests.stop(guest, "its image may be gone", &mut self.out);
        }
    }

    fn start(&mut self, id: TaskId, now: Now) {
        self.queue.remove(id);
        if !self.begin_period(id, now) {
            return;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        let (kind, may_take) = (task.kind(), self.may_take(task));
        let alike = |other: &TaskId| self.tasks.get(other).is_some_and(|task| task.kind() == kind);
        let at_once = 1 + u32::try_from(self.running.values().filter(|id| alike(id)).count()).unwrap_or(0);
        self.dormant.seen(&task.spec.image, task.spec.memory_mib, at_once, now);
        let taken = if may_take { self.dormant.take(kind) } else { None };
        // What the broker still says of the time before is about nobody then.
        let key = if task.is_renamed() { TaskKey(first_half((self.tickets)())) } else { id.into() };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.state = TaskState::Starting;
        task.attempts += 1;
        self.record(id, "");
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let patience = &self.config.patience;
        let spec = &task.spec;
        let names = spec.operations.iter().map(|operation| operation.id.clone()).collect();
        let schedule = spec.schedule;
        let intake =
            Intake::new(names, spec.terms, spec.shape.clone(), schedule.map(|schedule| schedule.state_limit));
        if let Some(Taken { guest, place, awake }) = taken {
            let mut attempt = Attempt::new(guest, key, intake, spec.timeout_ms, now, patience);
            attempt.place = place;
            if awake {
                attempt.awake(now, patience);
            }
            if schedule.is_some() {
                attempt.recall = Recall::Asked;
            }
            task.attempt = Some(attempt);
            self.guests.assign(guest, id);
            self.running.insert(guest, id);
            if schedule.is_some() {
                self.out.push(Effect::Prepare { task: id, guest });
            }
            if awake && let Err(fault) = self.serve(id, now) {
                self.fail(id, fault, now);
            }
            return;
        }
        let life_us = spec.timeout_ms.saturating_mul(1000).saturating_add(patience.boot_us);
        let wanted = Wanted {
            role: Role::Function,
            image: &spec.image,
            memory_mib: spec.memory_mib,
            task: Some(id),
            // Longer than the engine's own deadlines, so that it only strikes when those could not.
            time_limit_us: Some(life_us.saturating_add(patience.settle_us)),
        };
        let guest = self.guests.order(&wanted, &mut self.out);
        let mut attempt = Attempt::new(guest, key, intake, spec.timeout_ms, now, patience);
        if schedule.is_some() {
            attempt.recall = Recall::Asked;
            self.out.push(Effect::Prepare { task: id, guest });
        }
        task.attempt = Some(attempt);
        self.running.insert(guest, id);
    }

    /// Looks whether a task can move on, now that one end of its streams has said something.
    pub(super) fn settle(&mut self, id: TaskId, now: Now) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Some(attempt) = &task.attempt else { return };
        if task.state == TaskState::Streaming && attempt.intake.all_sent() {
            task.state = TaskState::Computing;
            self.record(id, "");
        }
        let verdict = self.tasks.get(&id).and_then(|task| task.attempt.as_ref()?.intake.verdict());
        match verdict {
            Some(Ok(agreed)) => self.succeed(id, agreed, now),
            Some(Err(fault)) => self.fail(id, fault, now),
            None => {}
        }
    }

    fn succeed(&mut self, id: TaskId, agreed: Agreed, now: Now) {
        let Some(timings) = self.tasks.get(&id).and_then(|task| timings(task, &agreed, now)) else { return };
        let Agreed { result, summaries, state, heap_peak, .. } = agreed;
        let (success, why) = (Success { result, summaries, timings, state, heap_peak }, "its work is done");
        match self.is_in_period(id) {
            true => self.end_period(id, PeriodEnd::Done(success), why, now),
            false => self.finish(id, Outcome::Succeeded(success), why),
        }
    }

    /// Ends a task with a reason; of a persistent one the period that has begun, and the next one has its turn.
    pub(super) fn fail(&mut self, id: TaskId, fault: Fault, now: Now) {
        let why = "its task failed";
        match self.is_in_period(id) {
            true => self.end_period(id, PeriodEnd::Failed(fault), why, now),
            false => self.finish(id, Outcome::Failed(fault), why),
        }
    }

    fn is_in_period(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|task| task.periods.running.is_some())
    }

    /// The one place where tasks end.
    pub(super) fn finish(&mut self, id: TaskId, outcome: Outcome, why: &str) {
        let Some(task) = self.tasks.remove(&id) else { return };
        self.queue.remove(id);
        if let Some(due_us) = task.due_us {
            self.waiting.remove(&(due_us, id));
        }
        self.out.push(Effect::Finish { task: id, outcome });
        if let Some(attempt) = task.attempt {
            self.leave(&attempt, why);
        }
    }
}

impl Task {
    pub(super) const fn kind(&self) -> Kind {
        Kind::of(&self.spec.image, self.spec.memory_mib)
    }

    /// Whether the broker knows its attempts by other names than its own: it may still speak of one before.
    pub(super) const fn is_renamed(&self) -> bool {
        self.anew || self.spec.schedule.is_some()
    }
}

/// Half of a ticket's randomness, which nobody else has or guesses.
fn first_half(random: [u8; 32]) -> [u8; 16] {
    std::array::from_fn(|index| random[index])
}

/// The stages of a task that has come to its end.
fn timings(task: &Task, agreed: &Agreed, now: Now) -> Option<Timings> {
    let attempt = task.attempt.as_ref()?;
    let since = |from_us: u64| now.mono_us.saturating_sub(from_us);
    Some(Timings {
        verify: task.spec.verify_us,
        queue: attempt.ordered_us.saturating_sub(task.since_us),
        boot: attempt.ready_us?.saturating_sub(attempt.ordered_us),
        retrieve: agreed.retrieve_us,
        transfer: agreed.transfer_us,
        compute: agreed.compute_us,
        return_: since(agreed.first_part_us),
        total: match task.spec.received_mono_us {
            _ if task.spec.schedule.is_some() => since(task.since_us),
            Some(received_us) => since(received_us),
            None => now.unix_us.saturating_sub(task.spec.received_unix_us),
        },
    })
}

//! What must hold for every effect, whatever happened before. Keeps its own books, independent of the engine's.

use std::collections::{BTreeMap, BTreeSet};

use fades_core::engine::{Effect, Outcome, PeriodEnd, Success};
use fades_core::limits::{Limits, Usage};
use fades_core::periods::PeriodsSoFar;
use fades_core::task::TaskState;
use fades_core::{GuestId, Role, TaskId};
use fades_wire::control::ToGuest;
use fades_wire::data::StreamSummary;
use fades_wire::ids::{TaskKey, Ticket};

/// A guest as the books have it.
#[derive(Debug)]
struct Kept {
    role: Role,
    memory_mib: u32,
    task: Option<TaskId>,
    run: bool,
    stopped: bool,
}

/// A task as the books have it.
#[derive(Debug)]
struct Entry {
    state: TaskState,
    attempts: u32,
    ends: u32,
    /// The lowest period that is not over, and the one that has begun.
    next: u64,
    running: Option<u64>,
}

/// The books.
#[derive(Debug)]
pub(crate) struct Laws {
    limits: Limits,
    most_attempts: u32,
    guests: BTreeMap<GuestId, Kept>,
    ever: BTreeSet<GuestId>,
    tasks: BTreeMap<TaskId, Entry>,
    tickets: BTreeSet<Ticket>,
    retrieved: BTreeMap<TaskKey, Ticket>,
    /// What each task's current attempt is called.
    keys: BTreeMap<TaskKey, TaskId>,
    /// What brokers and functions claimed for a task's current attempt.
    pub(crate) sent: BTreeMap<TaskId, Vec<StreamSummary>>,
    pub(crate) read: BTreeMap<TaskId, Vec<StreamSummary>>,
}

impl Laws {
    pub(crate) fn new(limits: Limits, most_attempts: u32) -> Self {
        Self {
            limits,
            most_attempts,
            guests: BTreeMap::new(),
            ever: BTreeSet::new(),
            tasks: BTreeMap::new(),
            tickets: BTreeSet::new(),
            retrieved: BTreeMap::new(),
            keys: BTreeMap::new(),
            sent: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    pub(crate) fn accepted(&mut self, task: TaskId, state: TaskState, attempts: u32) {
        self.tasks.insert(task, Entry { state, attempts, ends: 0, next: 0, running: None });
    }

    /// An earlier daemon got so far.
    pub(crate) fn recovered(&mut self, task: TaskId, periods: PeriodsSoFar) {
        let entry = self.tasks.get_mut(&task).expect("it is accepted before");
        (entry.next, entry.running) = (periods.next, periods.running);
    }

    /// The task whose current attempt is called so.
    pub(crate) fn task_of(&self, key: TaskKey) -> Option<TaskId> {
        self.keys.get(&key).copied()
    }

    /// A guest belongs to a task, whether it was started for it or ahead of it.
    pub(crate) fn belongs(&mut self, guest: GuestId, task: TaskId) {
        if let Some(kept) = self.guests.get_mut(&guest) {
            assert_eq!(*kept.task.get_or_insert(task), task, "{guest} changed its task");
        }
    }

    pub(crate) fn gone(&mut self, guest: GuestId) {
        self.guests.remove(&guest);
    }

    pub(crate) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        self.guests.values().for_each(|guest| usage.add(guest.memory_mib + self.limits.region_mib));
        usage
    }

    pub(crate) fn state(&self, task: TaskId) -> TaskState {
        self.tasks[&task].state
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.tasks.values().filter(|task| task.ends == 0).count()
    }

    /// Memory of functions that wait for a task.
    fn dormant_mib(&self) -> u32 {
        let waits = |guest: &&Kept| guest.role == Role::Function && guest.task.is_none() && !guest.stopped;
        self.guests.values().filter(waits).map(|guest| guest.memory_mib).sum()
    }

    /// After everything: each task ended once, and no function is left running but those that wait for a task.
    pub(crate) fn close(&self) {
        for (id, task) in &self.tasks {
            assert_eq!(task.ends, 1, "task {id} ended {} times", task.ends);
        }
        for (id, guest) in &self.guests {
            let waits = guest.task.is_none();
            assert!(
                guest.role == Role::Broker || guest.stopped || waits,
                "{id} was neither stopped nor ended"
            );
        }
    }

    /// One batch of effects, in order.
    pub(crate) fn watch(&mut self, now_us: u64, effects: &[Effect]) {
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Record { task, state, attempts, period, .. } => {
                    self.record(*task, *state, *attempts);
                    self.begins(*task, *state, *period);
                }
                Effect::Missed { task, first, last } => {
                    let entry = self.tasks.get_mut(task).expect("only accepted tasks miss periods");
                    assert_eq!((entry.ends, entry.running, entry.next), (0, None, *first), "{task}");
                    assert!(last >= first);
                    entry.next = last + 1;
                }
                Effect::Period { task, period, end } => self.period(*task, *period, end),
                Effect::Prepare { task, guest } => {
                    assert!(self.tasks[task].running.is_some(), "nothing to prepare for");
                    assert!(!self.guests.get(guest).is_some_and(|kept| kept.stopped || kept.run));
                }
                Effect::Finish { task, outcome } => self.finish(*task, outcome),
                Effect::Progress { task, .. } => {
                    assert_eq!(self.tasks[task].ends, 0, "progress of ended {task}")
                }
                Effect::StartGuest(order) => {
                    assert!(self.ever.insert(order.guest), "{} was named twice", order.guest);
                    let (role, memory_mib, task) = (order.role, order.memory_mib, order.task);
                    assert!(role == Role::Function || task.is_none());
                    if let Some(task) = task {
                        assert_eq!(
                            self.state(task),
                            TaskState::Starting,
                            "a function without a starting task"
                        );
                    }
                    self.guests
                        .insert(order.guest, Kept { role, memory_mib, task, run: false, stopped: false });
                    let usage = self.usage();
                    assert!(usage.guests <= self.limits.guests, "{usage:?}");
                    assert!(usage.memory_mib <= self.limits.memory_mib, "{usage:?}");
                    let brokers = self.guests.values().filter(|guest| guest.role == Role::Broker).count();
                    assert!(brokers <= 1, "two brokers");
                    assert!(self.dormant_mib() <= self.limits.dormant_mib, "{} MiB wait", self.dormant_mib());
                }
                Effect::Send { guest, message } => self.sends(*guest, message),
                Effect::StopGuest { guest, .. } => {
                    let kept = self.guests.get_mut(guest).expect("only a guest that is there is stopped");
                    assert!(!std::mem::replace(&mut kept.stopped, true), "{guest} was stopped twice");
                }
                Effect::WakeAt { mono_us } => {
                    assert_eq!(at + 1, effects.len(), "the wake comes last");
                    assert!(*mono_us > now_us, "a wake that is over would spin");
                }
            }
        }
        assert!(matches!(effects.last(), Some(Effect::WakeAt { .. })), "there is always a next look");
        let under_way = self.tasks.values().filter(|task| task.state.is_under_way()).count();
        assert!(under_way <= self.limits.tasks as usize, "{under_way} tasks under way");
    }

    fn record(&mut self, id: TaskId, state: TaskState, attempts: u32) {
        let task = self.tasks.get_mut(&id).expect("only accepted tasks are recorded");
        assert_eq!(task.ends, 0, "{id} was recorded after its end");
        assert!(!state.is_final());
        assert!(task.state.may_become(state), "{id} went from {} to {state}", task.state);
        let begins = u32::from(state == TaskState::Starting);
        assert_eq!(attempts, task.attempts + begins, "attempts count starts");
        if state == TaskState::Starting {
            self.sent.remove(&id);
            self.read.remove(&id);
            self.keys.retain(|_, of| *of != id);
        }
        assert!(attempts <= self.most_attempts);
        (task.state, task.attempts) = (state, attempts);
    }

    fn finish(&mut self, id: TaskId, outcome: &Outcome) {
        let task = self.tasks.get_mut(&id).expect("only accepted tasks end");
        task.ends += 1;
        assert_eq!(task.ends, 1, "{id} ended twice");
        assert!(task.state.may_become(outcome.state()), "{id} went from {} to {outcome:?}", task.state);
        task.state = outcome.state();
        match outcome {
            Outcome::Succeeded(success) => self.agrees(id, success),
            Outcome::Failed(fault) => assert!(fault.code.entry().is_some() && !fault.message.is_empty()),
            Outcome::Cancelled | Outcome::Expired | Outcome::PeriodsOver => {}
        }
    }

    fn agrees(&self, id: TaskId, success: &Success) {
        assert_eq!(self.sent.get(&id), self.read.get(&id), "a result without equal summaries");
        let mut published = success.summaries.clone();
        published.sort_by_key(|summary| summary.operation);
        assert_eq!(Some(&published), self.sent.get(&id));
    }

    /// A period has one number from its begin to its end, whatever happens between.
    fn begins(&mut self, id: TaskId, state: TaskState, period: Option<u64>) {
        let task = self.tasks.get_mut(&id).expect("only accepted tasks are recorded");
        match (state, period) {
            (TaskState::Starting, Some(period)) if task.running.is_none() => {
                assert_eq!(period, task.next, "{id} begins a period out of turn");
                task.running = Some(period);
            }
            (TaskState::Waiting, period) => assert_eq!(period, None),
            (_, period) => assert_eq!(period, task.running, "{id} is {state}"),
        }
    }

    fn period(&mut self, id: TaskId, period: u64, end: &PeriodEnd) {
        let task = self.tasks.get_mut(&id).expect("only accepted tasks have periods");
        assert_eq!((task.ends, task.running.take(), task.next), (0, Some(period), period), "{id}");
        assert!(task.state.may_become(TaskState::Waiting));
        (task.state, task.attempts, task.next) = (TaskState::Waiting, 0, period + 1);
        match end {
            PeriodEnd::Done(success) => self.agrees(id, success),
            PeriodEnd::Failed(fault) => assert!(fault.code.entry().is_some() && !fault.message.is_empty()),
        }
    }

    fn sends(&mut self, guest: GuestId, message: &ToGuest) {
        let kept = self.guests.get_mut(&guest).expect("only a guest that is there is spoken to");
        assert!(!kept.stopped, "{guest} is spoken to after its stop: {message:?}");
        match message {
            ToGuest::Retrieve(retrieve) => {
                assert_eq!(kept.role, Role::Broker);
                assert!(self.tickets.insert(retrieve.ticket), "a ticket was given out twice");
                self.retrieved.insert(retrieve.task, retrieve.ticket);
            }
            ToGuest::Run(run) => {
                assert_eq!(kept.role, Role::Function);
                assert!(!std::mem::replace(&mut kept.run, true), "a function runs one task only");
                // One that was started for its task may know it by another name.
                let task = *kept.task.get_or_insert(run.task.into());
                assert_eq!(self.tasks[&task].ends, 0);
                assert_eq!(self.keys.insert(run.task, task), None, "two tasks are called the same");
                assert_eq!(
                    self.retrieved.remove(&run.task),
                    Some(run.ticket),
                    "the broker hears of the ticket first"
                );
            }
            ToGuest::Recall(_) => assert!(kept.run, "what is recalled comes behind the order to run"),
            ToGuest::Abandon(_) => assert_eq!(kept.role, Role::Broker),
            ToGuest::Welcome(_) | ToGuest::Ping(_) | ToGuest::Shutdown(_) => {}
        }
    }
}

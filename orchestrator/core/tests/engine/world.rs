//! A world around the engine: clocks, guests that behave unless told otherwise, and the laws watching every effect.

use std::collections::BTreeMap;

use fades_core::backend::{ExitCause, GuestExit};
use fades_core::engine::{
    BrokerConfig, Config, Effect, Engine, GuestInput, Input, Now, Outcome, PeriodEnd, Prepared, Success,
};
use fades_core::fault::Fault;
use fades_core::limits::{Limits, Patience};
use fades_core::periods::{FunctionState, PeriodsSoFar};
use fades_core::task::{ImageRef, OperationSpec, RecordedState, TaskSpec, TaskState};
use fades_core::terms::Terms;
use fades_core::{GuestId, Role, TaskId};
use fades_wire::address::Endpoint;
use fades_wire::control::{FromGuest, Operation, SourceKind};

use crate::actors::{ADDRESS, Actor};
use crate::laws::Laws;

pub(crate) const SECOND: u64 = 1_000_000;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Now,
    pub(crate) wake_us: u64,
    pub(crate) laws: Laws,
    pub(crate) actors: BTreeMap<GuestId, Actor>,
    /// Guests that ended unasked: their last words may still come.
    pub(crate) ghosts: BTreeMap<GuestId, Actor>,
    pub(crate) outcomes: BTreeMap<TaskId, Outcome>,
    pub(crate) effects: Vec<Effect>,
    /// States as they are stored.
    pub(crate) kept: BTreeMap<TaskId, FunctionState>,
    /// What is said instead of the next states that are asked for.
    pub(crate) damage: Option<Fault>,
    /// Periods that ended, in order: the result, or the failure's code.
    pub(crate) periods: Vec<(TaskId, u64, Result<Success, String>)>,
    loads: Vec<(TaskId, GuestId)>,
    /// Operations of tasks as they are planned now.
    pub(crate) planned: BTreeMap<TaskId, Vec<OperationSpec>>,
}

pub(crate) fn task(number: u8) -> TaskId {
    TaskId([number; 16])
}

/// A task of `operations` operations that expires after an hour.
pub(crate) fn spec(number: u8, operations: u16) -> TaskSpec {
    let operation = |index| OperationSpec {
        id: format!("op{index}"),
        source: "edison".into(),
        order: Operation {
            index,
            source: SourceKind::InfluxDb1 { database: "lab".into(), retention: None, credentials: None },
            endpoint: Endpoint::new(ADDRESS, 20_000),
            measurement: "temperature".into(),
            field: "value".into(),
            tags: vec![],
            from_ns: 0,
            to_ns: 10,
            group_by: vec![],
            timeout_ms: 1000,
        },
    };
    TaskSpec {
        id: task(number),
        issuer: "tester".into(),
        priority: 5,
        expires_unix_us: 3600 * SECOND,
        received_unix_us: 0,
        received_mono_us: Some(0),
        verify_us: 11,
        image: ImageRef { name: "stats".into(), digest: [1; 32] },
        together: false,
        memory_mib: 64,
        timeout_ms: 20_000,
        parameters: "{}".into(),
        terms: Terms { bytes: 100, ..Terms::default() },
        shape: None,
        operations: (0..operations).map(operation).collect(),
        schedule: None,
    }
}

/// A broker of 128 MiB and room for three functions of ordinary size, of which two may run.
pub(crate) const LIMITS: Limits =
    Limits { guests: 4, memory_mib: 320, region_mib: 0, tasks: 2, waiting: 100, dormant_mib: 0 };

impl World {
    pub(crate) fn new() -> Self {
        Self::with(LIMITS)
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let patience = Patience::default();
        let broker =
            BrokerConfig { image: ImageRef { name: "drb".into(), digest: [2; 32] }, memory_mib: 128 };
        let config = Config { limits, patience, broker, budget_bytes: 1 << 20, window_bytes: 1 << 20 };
        let mut number = 0u64;
        let tickets = move || {
            number += 1;
            let mut ticket = [0; 32];
            ticket[..8].copy_from_slice(&number.to_le_bytes());
            ticket
        };
        Self {
            engine: Engine::new(config, Box::new(tickets)),
            now: Now { mono_us: 5, unix_us: 5 },
            wake_us: 0,
            laws: Laws::new(limits, patience.max_attempts),
            actors: BTreeMap::new(),
            ghosts: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            effects: Vec::new(),
            kept: BTreeMap::new(),
            damage: None,
            periods: Vec::new(),
            loads: Vec::new(),
            planned: BTreeMap::new(),
        }
    }

    /// Gives one input; its effects are judged, carried out and returned.
    pub(crate) fn give(&mut self, input: Input) -> Vec<Effect> {
        if let Input::Guest(guest, GuestInput::Exited(_) | GuestInput::StartFailed(_)) = &input {
            self.laws.gone(*guest);
            if let Some(actor) = self.actors.remove(guest).filter(|actor| !actor.stopped) {
                self.ghosts.insert(*guest, actor);
            }
        }
        if let Input::Guest(guest, GuestInput::Message(message)) = &input {
            self.note(*guest, message);
        }
        let effects = self.engine.handle(self.now, input);
        self.laws.watch(self.now.mono_us, &effects);
        for effect in &effects {
            self.carry_out(effect);
        }
        for status in self.engine.tasks() {
            if let Some(guest) = status.guest {
                self.laws.belongs(guest, status.task);
                self.actors.get_mut(&guest).map(|actor| actor.task.get_or_insert(status.task));
            }
        }
        let status = self.engine.status();
        assert_eq!(status.usage, self.laws.usage(), "the engine's books differ from ours");
        assert_eq!(status.guests.len(), status.usage.guests as usize);
        self.effects.extend(effects.iter().cloned());
        let mut effects = effects;
        for (task, guest) in std::mem::take(&mut self.loads) {
            let operations = self.planned.get(&task).cloned().unwrap_or_default();
            let prepared = match self.damage.take() {
                Some(fault) => Err(fault),
                None => Ok(Prepared { state: self.kept.get(&task).cloned(), operations }),
            };
            effects.extend(self.give(Input::Prepared(guest, prepared)));
        }
        effects
    }

    /// What both ends claim, for the law on summaries; only what comes from the task's present guests counts.
    fn note(&mut self, guest: GuestId, message: &FromGuest) {
        let ghost = || self.ghosts.get(&guest).filter(|ghost| ghost.role == Role::Function);
        let actor = self.actors.get(&guest).or_else(ghost);
        let Some(actor) = actor.filter(|actor| !actor.stopped) else { return };
        match (actor.role, message) {
            (Role::Broker, FromGuest::OperationEnded(ended)) => {
                let Some(task) = self.laws.task_of(ended.task) else { return };
                let sent = self.laws.sent.entry(task).or_default();
                sent.push(ended.summary);
                sent.sort_by_key(|summary| summary.operation);
            }
            (Role::Function, FromGuest::Finished(finished)) => {
                if let Some(task) = actor.task {
                    self.laws.read.insert(task, finished.summaries.clone());
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::StartGuest(order) => {
                self.actors.insert(order.guest, Actor::new(order));
            }
            Effect::Send { guest, message } => {
                if let Some(actor) = self.actors.get_mut(guest) {
                    actor.hear(message);
                }
            }
            Effect::StopGuest { guest, .. } => {
                if let Some(actor) = self.actors.get_mut(guest) {
                    actor.stopped = true;
                }
            }
            Effect::Finish { task, outcome } => {
                self.outcomes.insert(*task, outcome.clone());
            }
            Effect::WakeAt { mono_us } => self.wake_us = *mono_us,
            Effect::Period { task, period, end } => {
                let end = match end {
                    PeriodEnd::Done(success) => {
                        if let Some(state) = &success.state {
                            self.kept.insert(*task, state.clone());
                        }
                        Ok(success.clone())
                    }
                    PeriodEnd::Failed(fault) => {
                        Err(fault.code.entry().map_or("?", |entry| entry.name).to_owned())
                    }
                };
                self.periods.push((*task, *period, end));
            }
            Effect::Prepare { task, guest } => self.loads.push((*task, *guest)),
            Effect::Record { .. } | Effect::Missed { .. } | Effect::Progress { .. } => {}
        }
    }

    pub(crate) fn accept(&mut self, spec: TaskSpec) -> Vec<Effect> {
        self.laws.accepted(spec.id, TaskState::Accepted, 0);
        self.planned.insert(spec.id, spec.operations.clone());
        self.give(Input::Accepted(spec))
    }

    pub(crate) fn recover(&mut self, spec: TaskSpec, state: TaskState, attempts: u32) -> Vec<Effect> {
        if !state.is_final() {
            self.laws.accepted(spec.id, state, attempts);
        }
        let periods = PeriodsSoFar::default();
        self.give(Input::Recovered(spec, RecordedState { state, attempts, periods }))
    }

    /// The same of a persistent task, with what was stored of it.
    pub(crate) fn recover_persistent(&mut self, spec: TaskSpec, recorded: RecordedState) -> Vec<Effect> {
        self.laws.accepted(spec.id, recorded.state, recorded.attempts);
        self.planned.insert(spec.id, spec.operations.clone());
        self.laws.recovered(spec.id, recorded.periods);
        self.give(Input::Recovered(spec, recorded))
    }

    /// Lets time pass, then ticks.
    pub(crate) fn pass(&mut self, us: u64) -> Vec<Effect> {
        self.now.mono_us += us;
        self.now.unix_us += us;
        self.give(Input::Tick)
    }

    /// The next thing this guest has to say, if it has any; a stopped guest ends.
    pub(crate) fn step(&mut self, guest: GuestId) -> bool {
        let Some(actor) = self.actors.get_mut(&guest) else { return false };
        let stopped = actor.stopped;
        let input = if stopped { Some(exited(ExitCause::Killed)) } else { actor.next() };
        match input {
            Some(input) => {
                self.give(Input::Guest(guest, input));
                true
            }
            None => false,
        }
    }

    /// The next thing that a guest had said before it ended.
    pub(crate) fn step_ghost(&mut self, guest: GuestId) -> bool {
        match self.ghosts.get_mut(&guest).and_then(Actor::next) {
            Some(input) => {
                self.give(Input::Guest(guest, input));
                true
            }
            None => false,
        }
    }

    pub(crate) fn message(&mut self, guest: GuestId, message: impl Into<FromGuest>) -> Vec<Effect> {
        self.give(Input::Guest(guest, GuestInput::Message(message.into())))
    }

    pub(crate) fn exit(&mut self, guest: GuestId, cause: ExitCause) -> Vec<Effect> {
        self.give(Input::Guest(guest, exited(cause)))
    }

    /// Everybody does what they should until nobody has anything to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let guests: Vec<GuestId> = self.actors.keys().copied().collect();
            let mut moved = false;
            for guest in guests {
                moved |= self.step(guest);
            }
            if !moved {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Everybody behaves and time passes until every task has ended.
    pub(crate) fn finish(&mut self) {
        for _ in 0..2_000 {
            self.settle();
            if self.laws.unfinished() == 0 {
                self.laws.close();
                let status = self.engine.status();
                let left = |actor: &&Actor| actor.role == Role::Function && !actor.stopped;
                let left: Vec<_> = self.actors.values().filter(left).collect();
                assert!(left.iter().all(|actor| actor.task.is_none()), "functions are left: {left:?}");
                let guests = 1 + u32::try_from(left.len()).expect("few");
                assert!(
                    status.usage.guests <= guests && status.waiting == 0 && status.under_way == 0,
                    "{status:?}"
                );
                return;
            }
            let wait = self.wake_us.saturating_sub(self.now.mono_us).max(1);
            self.pass(wait);
        }
        panic!("{} tasks never end", self.laws.unfinished());
    }

    /// Starts the broker and lets it get ready; its guest.
    pub(crate) fn boot(&mut self) -> GuestId {
        self.give(Input::Tick);
        self.settle();
        self.engine.status().broker.guest.expect("the broker is up")
    }

    /// The function of a task.
    pub(crate) fn function(&self, number: u8) -> GuestId {
        let found = self.engine.tasks().find(|status| status.task == task(number));
        found.and_then(|status| status.guest).expect("the task has a function")
    }

    /// Everybody behaves and time passes until this task's function is ordered, and no further.
    pub(crate) fn settle_until_under_way(&mut self, number: u8) {
        for _ in 0..1_000 {
            if self.laws.state(task(number)) == TaskState::Starting {
                return;
            }
            let next = self.actors.iter().find(|(_, actor)| actor.role == Role::Broker || actor.stopped);
            if !next.map(|(guest, _)| *guest).is_some_and(|guest| self.step(guest)) {
                self.pass(self.wake_us.saturating_sub(self.now.mono_us).max(1));
            }
        }
        panic!("task {number} does not start");
    }

    /// Steps a guest until its task is in this state.
    pub(crate) fn until(&mut self, number: u8, state: TaskState, guest: GuestId) {
        while self.laws.state(task(number)) != state {
            assert!(self.step(guest), "{guest} has nothing more to say");
        }
    }

    /// Steps guests until this task has ended, and no further.
    pub(crate) fn until_finished(&mut self, number: u8) {
        while !self.outcomes.contains_key(&task(number)) {
            let guests: Vec<GuestId> = self.actors.keys().copied().collect();
            let moved = guests
                .into_iter()
                .any(|guest| !self.outcomes.contains_key(&task(number)) && self.step(guest));
            assert!(moved, "nobody has anything more to say");
        }
    }

    /// Steps guests until so many periods have ended, and no further.
    pub(crate) fn until_periods(&mut self, count: usize) {
        while self.periods.len() < count {
            let guests: Vec<GuestId> = self.actors.keys().copied().collect();
            let moved = guests.into_iter().any(|guest| self.periods.len() < count && self.step(guest));
            assert!(moved, "nobody has anything more to say");
        }
    }

    /// The code a task failed with, as text.
    pub(crate) fn failure(&self, number: u8) -> String {
        match self.outcomes.get(&task(number)) {
            Some(Outcome::Failed(fault)) => fault.code.entry().map_or("?", |entry| entry.name).to_owned(),
            other => panic!("task {number} did not fail: {other:?}"),
        }
    }
}

pub(crate) fn exited(cause: ExitCause) -> GuestInput {
    GuestInput::Exited(GuestExit { cause, console_tail: String::new() })
}

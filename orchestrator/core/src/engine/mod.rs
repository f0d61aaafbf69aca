//! The engine: supervises the broker, runs tasks, decides how they end.
//!
//! A value goes in ([`Input`], with the time), values come out ([`Effect`], in order). Invariants, each held by a test in
//! `tests/engine`: a task ends exactly once, and nothing is done for it afterwards but ending its guest and telling the broker;
//! a result is given only when both ends of its streams agree; guests never take more than the limits; every guest
//! ordered is stopped or ends by itself; states only move along the arrows in [`crate::task`].

mod broker;
mod dormant;
mod function;
mod guests;
mod periods;
mod port;
mod route;
mod status;
mod tasks;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

pub use broker::{BrokerConfig, BrokerStatus};
pub use port::{Effect, GuestInput, GuestOrder, Input, Now, Outcome, PeriodEnd, Prepared, Success};
pub use status::{EngineStatus, GuestStatus, TaskStatus};

use broker::Broker;
use dormant::Dormant;
use guests::Guests;
use tasks::Task;

use crate::ids::{GuestId, TaskId};
use crate::limits::{Limits, Patience};
use crate::queue::Queue;

/// Longest pause between two looks at the clocks, µs: a wall clock that was set is noticed within it.
const LONGEST_SLEEP_US: u64 = 30_000_000;

/// What the engine is told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the node can hold.
    pub limits: Limits,
    /// How long it waits for what.
    pub patience: Patience,
    /// The broker.
    pub broker: BrokerConfig,
    /// Memory that the broker may use per operation, bytes.
    pub budget_bytes: u64,
    /// Chunk bytes that a function may have outstanding, bytes.
    pub window_bytes: u64,
}

/// Gives 32 fresh random bytes at each call; the engine has no randomness of its own.
pub type TicketSource = Box<dyn FnMut() -> [u8; 32] + Send>;

/// Decides everything about tasks and guests. See the module's head.
pub struct Engine {
    config: Config,
    tickets: TicketSource,
    broker: Broker,
    guests: Guests,
    /// Tasks that have not ended.
    tasks: BTreeMap<TaskId, Task>,
    queue: Queue,
    /// Functions of tasks under way.
    running: BTreeMap<GuestId, TaskId>,
    dormant: Dormant,
    /// Persistent tasks between two periods, by when the next one is due.
    waiting: BTreeSet<(u64, TaskId)>,
    arrivals: u64,
    out: Vec<Effect>,
}

impl Engine {
    /// An engine that has done nothing yet; its first input starts the broker.
    #[must_use]
    pub fn new(config: Config, tickets: TicketSource) -> Self {
        let broker = Broker::new(config.broker.clone());
        Self {
            guests: Guests::new(config.limits),
            config,
            tickets,
            broker,
            tasks: BTreeMap::new(),
            queue: Queue::default(),
            running: BTreeMap::new(),
            dormant: Dormant::default(),
            waiting: BTreeSet::new(),
            arrivals: 0,
            out: Vec::new(),
        }
    }

    /// Takes in what happened and says what shall be done. The last effect is always a [`Effect::WakeAt`] after `now`.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        match input {
            Input::Accepted(spec) => self.accept(spec, now),
            Input::Recovered(spec, recorded) => self.recover(spec, recorded, now),
            Input::Prepared(guest, prepared) => self.prepared(guest, prepared, now),
            Input::Cancel(task) => self.finish(task, Outcome::Cancelled, "its task was cancelled"),
            Input::Guest(guest, input) => self.guest(guest, input, now),
            Input::ImagesChanged => self.forget_dormant(),
            Input::Stalled(us) => self.stalled(us),
            Input::Tick => {}
        }
        self.advance(now);
        let mono_us = self.wake_us(now);
        self.out.push(Effect::WakeAt { mono_us });
        std::mem::take(&mut self.out)
    }

    /// What was waited for gets the time back in which nobody could have been heard.
    fn stalled(&mut self, us: u64) {
        self.broker.stalled(us);
        self.dormant.stalled(us);
        self.tasks
            .values_mut()
            .filter_map(|task| task.attempt.as_mut())
            .for_each(|attempt| attempt.stalled(us));
    }

    /// What time alone brings about, and new starts where there is room.
    fn advance(&mut self, now: Now) {
        if let Err(why) = self.broker.tick(now, &self.config.patience, &mut self.guests, &mut self.out) {
            self.broker_lost(fades_api::codes::GUEST_SILENT, &why, now);
        }
        self.tick_periods(now);
        self.tick_tasks(now);
        for (guest, why) in self.dormant.tick(now) {
            self.guests.stop(guest, why, &mut self.out);
        }
        self.schedule(now);
        self.start_ahead(now);
    }

    /// When something is due at the latest.
    fn wake_us(&self, now: Now) -> u64 {
        let functions = self.running.values().filter_map(|task| self.tasks.get(task)?.attempt.as_ref());
        let due = self.waiting.first().map(|(due_us, _)| *due_us);
        let walls = self.queue.first_deadline().into_iter().chain(due);
        let expiry =
            walls.min().map(|unix_us| now.mono_us.saturating_add(unix_us.saturating_sub(now.unix_us)));
        let sleep = now.mono_us.saturating_add(LONGEST_SLEEP_US);
        functions
            .map(function::Attempt::due_us)
            .chain(self.broker.due_us())
            .chain(self.dormant.due_us(now))
            .chain(expiry)
            .fold(sleep, u64::min)
            .max(now.mono_us.saturating_add(1))
    }
}

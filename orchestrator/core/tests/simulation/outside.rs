//! All that is not the daemon: time, the disk, machines, and the books that the laws are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use fades_core::TaskId;
use fades_core::admit::NodeFacts;
use fades_core::limits::Limits;
use fades_core::task::TaskState;
use fades_wire::ids::TaskKey;

use crate::dice::Dice;
use crate::disk::Disk;
use crate::laws::{Broken, Held};
use crate::machines::Machine;
use crate::mutation::Mutation;
use crate::shell::Message;
use crate::steps::Step;
use crate::trace::Trace;
use crate::weather::{Blow, Weather};

/// When the world begins, by its true clock: 2027-01-15T08:00:00Z, µs.
pub(crate) const BEGIN_US: i64 = 1_800_000_000_000_000;

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A run of the daemon hears this.
    Inbox(u64, Message),
    /// A run of the daemon wanted to be woken.
    Wake(u64),
    /// A run of the daemon has waited for its store since then.
    Stall(u64, u64),
    /// A commit is whole.
    Written(u64),
    /// A machine comes to this.
    Machine(u64, Step),
    /// A service does this with one of its wrappers.
    Service(Act, usize),
    /// A large fault, and the end of one.
    Blow(Blow),
    Over(Blow),
    Start,
    /// The end of all faults.
    Calm,
    /// A look whether all is over.
    Look,
}

/// What a service does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Sends the wrapper, for the first time or again.
    Send,
    /// Sends another one under the same id.
    Forge,
    Cancel,
    /// Reads how the task is.
    Read,
}

pub(crate) struct Outside {
    pub(crate) now_us: u64,
    /// How far the wall clock is from the truth.
    pub(crate) off_us: i64,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) weather: Weather,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) disk: Disk,
    pub(crate) facts: NodeFacts,
    pub(crate) limits: Limits,
    /// What the next daemon is told of them.
    pub(crate) next_limits: Option<Blow>,
    pub(crate) heartbeat_us: u64,
    pub(crate) run: u64,
    events: BTreeMap<(u64, u64), Event>,
    numbered: u64,
    woken: Option<(u64, u64)>,
    pub(crate) calm: bool,
    pub(crate) broken: Option<Broken>,

    pub(crate) machines: BTreeMap<u64, Machine>,
    pub(crate) machines_ever: u64,
    /// Of which task each key is.
    pub(crate) keys: BTreeMap<TaskKey, TaskId>,

    // Books.
    pub(crate) accepted: BTreeSet<TaskId>,
    pub(crate) given: BTreeSet<([u8; 32], u16)>,
    pub(crate) told: BTreeMap<TaskId, (TaskState, Option<String>)>,
    /// Tasks that have a cause of their own to fail.
    pub(crate) own: BTreeSet<TaskId>,
    /// When broker or daemon died.
    pub(crate) troubles: Vec<u64>,
    /// How often each task was begun, in each of its periods.
    pub(crate) begun: BTreeMap<(TaskId, u64), u32>,
    /// By which run of the daemon, and when.
    pub(crate) broker_starts: Vec<(u64, u64)>,
    pub(crate) seen: BTreeMap<String, u64>,
}

impl Outside {
    pub(crate) fn new(mut dice: Dice, mutation: Option<Mutation>) -> Self {
        let weather = Weather::of(&mut dice);
        let tasks = u32::try_from(dice.between(1, 4)).expect("few");
        let region_mib = dice.pick(&[0, 4]);
        let limits = Limits {
            guests: tasks + 1 + u32::try_from(dice.between(0, 1)).expect("few"),
            memory_mib: dice.pick(&[320, 400, 512]),
            region_mib,
            tasks,
            waiting: 100,
            dormant_mib: dice.pick(&[0, 0, 64, 150]),
        };
        Self {
            now_us: 1,
            off_us: 0,
            trace: Trace::new(),
            disk: Disk::new(weather.write_us),
            weather,
            mutation,
            facts: crate::wrappers::facts(&limits),
            limits,
            next_limits: None,
            heartbeat_us: dice.pick(&[2_000_000, 3_000_000]),
            run: 0,
            dice,
            events: BTreeMap::new(),
            numbered: 0,
            woken: None,
            calm: false,
            broken: None,
            machines: BTreeMap::new(),
            machines_ever: 0,
            keys: BTreeMap::new(),
            accepted: BTreeSet::new(),
            given: BTreeSet::new(),
            told: BTreeMap::new(),
            own: BTreeSet::new(),
            troubles: Vec::new(),
            begun: BTreeMap::new(),
            broker_starts: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The wall clock, right or wrong.
    pub(crate) fn wall_us(&self) -> i64 {
        self.true_us().saturating_add(self.off_us)
    }

    pub(crate) fn true_us(&self) -> i64 {
        BEGIN_US + i64::try_from(self.now_us).expect("a short story")
    }

    pub(crate) fn note(&mut self, what: fmt::Arguments<'_>) {
        self.trace.note(self.now_us, what);
    }

    /// The first law that is broken is the one that counts.
    pub(crate) fn hold(&mut self, held: Held) {
        if let Err(broken) = held {
            self.broken.get_or_insert(broken);
        }
    }

    pub(crate) fn count(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// A task in few letters.
    pub(crate) fn short(&self, task: TaskId) -> String {
        format!("t{}", task.0[15])
    }

    pub(crate) fn at(&mut self, at_us: u64, event: Event) {
        self.numbered += 1;
        self.events.insert((at_us.max(self.now_us), self.numbered), event);
    }

    pub(crate) fn after(&mut self, us: u64, event: Event) {
        self.at(self.now_us + us, event);
    }

    /// The next event, at its time.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((at_us, _), event) = self.events.pop_first()?;
        self.now_us = at_us;
        Some(event)
    }

    pub(crate) fn wake(&mut self, run: u64, at_us: u64) {
        if self.woken.replace((run, at_us)) != Some((run, at_us)) {
            self.at(at_us, Event::Wake(run));
        }
    }

    pub(crate) fn begin_write(&mut self) {
        if let Some(commit) = self.disk.begin() {
            let least = self.disk.write_us / 2;
            let us = self.dice.between(least, self.disk.write_us);
            self.after(us, Event::Written(commit));
        }
    }

    /// How long a message takes.
    pub(crate) fn delay_us(&mut self) -> u64 {
        match !self.calm && self.dice.chance(self.weather.late) {
            true => self.dice.between(50_000, 3_000_000),
            false => self.dice.between(50, 5_000),
        }
    }

    pub(crate) fn happens(&mut self, permille: u64) -> bool {
        !self.calm && self.dice.chance(permille)
    }

    /// This task has a cause of its own to fail.
    pub(crate) fn blame(&mut self, task: Option<TaskId>) {
        self.own.extend(task);
    }
}

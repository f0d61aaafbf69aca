//! One run of the daemon: the actor around the engine, as `orchestrator/daemon/src/runtime/actor.rs` has it. It hears, has the engine decide, and
//! carries out effect by effect; what is to be stored is on disk before the next effect begins, and while it waits for that it does nothing else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fades_core::backend::GuestExit;
use fades_core::engine::{Config, Effect, Engine, GuestInput, Input, Now, Outcome};
use fades_core::fault::Fault;
use fades_core::task::TaskSpec;
use fades_core::{GuestId, TaskId};
use fades_wire::address::Place;
use fades_wire::control::{Ping, ToGuest};

use crate::dice::Dice;
use crate::disk::Job;
use crate::laws;
use crate::lines::Lines;
use crate::mutation::Mutation;
use crate::outside::{Event, Outside};
use crate::tables::{Change, Record};

/// Messages taken in before their effects are carried out.
const AT_ONCE: usize = 256;

/// Between two words to guests while the store is waited for, and the shortest wait that is taken off nobody's time.
const STALL_US: u64 = 1_000_000;

/// What the actor hears.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    Accepted(TaskSpec),
    Cancel(TaskId),
    ImagesChanged,
    Started(GuestId, Place),
    StartFailed(GuestId, Fault),
    Heard(GuestId, GuestInput),
    LinkLost(GuestId),
    Exited(GuestId, GuestExit),
}

/// A request that waits for its task to be stored.
pub(crate) struct Asked {
    pub(crate) wrapper: usize,
    pub(crate) spec: TaskSpec,
    pub(crate) issuer: String,
}

pub(crate) struct Shell {
    pub(crate) run: u64,
    pub(crate) engine: Engine,
    pub(crate) lines: Lines,
    /// Tasks that the engine was told of and that have not ended.
    pub(crate) plans: BTreeSet<TaskId>,
    cancelled: BTreeSet<TaskId>,
    /// Open tasks by issuer.
    pub(crate) seats: BTreeMap<String, u32>,
    /// The highest wall clock by which a task was accepted.
    pub(crate) clock_high_us: i64,
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) inbox: VecDeque<Message>,
    todo: VecDeque<Effect>,
    changes: Vec<Change>,
    heard: Vec<Input>,
    /// Since when it waits for its changes to be stored.
    pub(crate) storing: Option<u64>,
    stalled_us: u64,
    pub(crate) wake_us: Option<u64>,
    started_us: u64,
}

impl Shell {
    pub(crate) fn new(run: u64, config: Config, out: &Outside, mut dice: Dice) -> Self {
        Self {
            run,
            engine: Engine::new(config, Box::new(move || dice.bytes())),
            lines: Lines::default(),
            plans: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            seats: BTreeMap::new(),
            clock_high_us: out.disk.tables.clock_high_us,
            asked: BTreeMap::new(),
            inbox: VecDeque::new(),
            todo: VecDeque::new(),
            changes: Vec::new(),
            heard: Vec::new(),
            storing: None,
            stalled_us: 0,
            wake_us: None,
            started_us: out.now_us,
        }
    }

    /// Both clocks, as this run reads them.
    pub(crate) fn now(&self, out: &Outside) -> Now {
        let unix_us = u64::try_from(out.wall_us()).unwrap_or(0);
        Now { mono_us: out.now_us - self.started_us + 1, unix_us }
    }

    /// What this run's clock showed or will show then, in the world's time.
    pub(crate) const fn world_us(&self, mono_us: u64) -> u64 {
        mono_us + self.started_us - 1
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.storing.is_none() && self.inbox.is_empty() && self.asked.is_empty()
    }

    /// Gives back what an earlier run left, then begins.
    pub(crate) fn begin(&mut self, early: Vec<Input>, out: &mut Outside) {
        self.decide(early.into_iter().chain([Input::Tick]).collect(), out);
        self.turn(out);
    }

    /// Goes on until it has to wait.
    pub(crate) fn turn(&mut self, out: &mut Outside) {
        while self.storing.is_none() && out.broken.is_none() {
            if let Some(effect) = self.todo.pop_front() {
                self.carry_out(effect, out);
            } else if !self.changes.is_empty() {
                self.store(out);
            } else if !self.heard.is_empty() {
                let heard = std::mem::take(&mut self.heard);
                self.decide(heard, out);
            } else if !self.listen(out) {
                break;
            }
        }
        let wake =
            self.wake_us.filter(|_| self.storing.is_none() && out.mutation != Some(Mutation::WakeDropped));
        if let Some(at_us) =
            wake.into_iter().chain(self.lines.due_us().filter(|_| self.storing.is_none())).min()
        {
            out.wake(self.run, self.world_us(at_us));
        }
    }

    /// Takes in what has come; false if there is nothing, and nothing is due.
    fn listen(&mut self, out: &mut Outside) -> bool {
        let now_us = self.now(out).mono_us;
        let due = self.wake_us.into_iter().chain(self.lines.due_us()).any(|due_us| due_us <= now_us);
        if self.inbox.is_empty() && !due {
            return false;
        }
        let mut inputs = Vec::new();
        let cancelled: Vec<TaskId> =
            self.inbox.iter().take(AT_ONCE).filter_map(|message| self.cancels(message)).collect();
        let some = self.inbox.len().min(AT_ONCE);
        for message in self.inbox.drain(..some).collect::<Vec<_>>() {
            inputs.extend(self.hear(message, now_us, out));
        }
        inputs.extend(
            self.lines.overdue(now_us).into_iter().filter_map(|(guest, input)| told(guest, input, out)),
        );
        inputs.push(Input::Tick);
        self.decide(inputs, out);
        for id in cancelled {
            let goes_on = self.engine.tasks().any(|status| status.task == id);
            out.hold(laws::who_is_to_end_ends(goes_on, id));
        }
        true
    }

    fn cancels(&self, message: &Message) -> Option<TaskId> {
        match message {
            Message::Cancel(id) => Some(*id).filter(|id| self.plans.contains(id)),
            _ => None,
        }
    }

    fn hear(&mut self, message: Message, now_us: u64, out: &Outside) -> Vec<Input> {
        let (guest, heard) = match message {
            Message::Accepted(spec) => {
                let id = spec.id;
                self.plans.insert(id);
                let mut inputs = vec![Input::Accepted(spec)];
                inputs.extend(self.cancelled.remove(&id).then_some(Input::Cancel(id)));
                return inputs;
            }
            Message::Cancel(_) if out.mutation == Some(Mutation::CancelForgotten) => return Vec::new(),
            Message::Cancel(id) if self.plans.contains(&id) => return vec![Input::Cancel(id)],
            Message::Cancel(id) => {
                if out.disk.tables.open().any(|(open, _)| *open == id) {
                    self.cancelled.insert(id);
                }
                return Vec::new();
            }
            Message::ImagesChanged => return vec![Input::ImagesChanged],
            Message::Started(guest, place) => (guest, self.lines.started(guest, place)),
            Message::StartFailed(guest, fault) => {
                self.lines.start_failed(guest);
                (guest, vec![GuestInput::StartFailed(fault)])
            }
            Message::Heard(guest, input) => (guest, self.lines.hear(guest, input).into_iter().collect()),
            Message::LinkLost(guest) => (guest, self.lines.link_lost(guest).into_iter().collect()),
            Message::Exited(guest, exit) => {
                (guest, self.lines.exited(guest, exit, now_us).into_iter().collect())
            }
        };
        heard.into_iter().filter_map(|input| told(guest, input, out)).collect()
    }

    fn decide(&mut self, inputs: Vec<Input>, out: &mut Outside) {
        let stalled_us = std::mem::take(&mut self.stalled_us);
        let stalled = (stalled_us > 0).then_some(Input::Stalled(stalled_us));
        for input in stalled.into_iter().chain(inputs) {
            let now = self.now(out);
            let effects = self.engine.handle(now, input);
            out.assign(self.run, &self.engine);
            if let Some(Effect::WakeAt { mono_us }) = effects.last() {
                out.hold(laws::there_is_always_a_next_look(*mono_us, now.mono_us));
            }
            self.todo.extend(effects);
        }
    }

    fn carry_out(&mut self, effect: Effect, out: &mut Outside) {
        let change = match effect {
            Effect::Record { task, state, attempts, period, detail } => {
                out.note(format_args!("record {} {state} {attempts} {period:?} {detail}", out.short(task)));
                Change::Record { task, state, attempts, period }
            }
            Effect::Missed { task, first, last } => {
                out.note(format_args!("missed {} {first}..={last}", out.short(task)));
                Change::Missed { task, first, last }
            }
            Effect::WakeAt { mono_us } => return self.wake_us = Some(mono_us),
            Effect::Progress { .. } => return,
            // Whatever else there is waits for what is to be stored before it.
            other if !self.changes.is_empty() && waits(&other) => {
                self.todo.push_front(other);
                return self.store(out);
            }
            Effect::Period { task, period, end } => {
                out.ends(task, Some(period), &end);
                Change::Period { task, period, end }
            }
            Effect::Finish { task, outcome } => {
                let outcome = cut(outcome, out.mutation);
                out.finishes(task, &outcome);
                Change::Finish { task, outcome }
            }
            Effect::Prepare { task, guest } => {
                self.heard.push(Input::Prepared(guest, out.prepared(task)));
                return;
            }
            other => return self.act(other, out),
        };
        self.changes.push(change);
    }

    /// Effects on guests.
    fn act(&mut self, effect: Effect, out: &mut Outside) {
        match effect {
            Effect::StartGuest(order) => {
                let machine = out.start(self.run, &order);
                self.lines.expect(order.guest, machine);
            }
            Effect::Send { guest, message } => {
                if let Some(line) = self.lines.0.get_mut(&guest) {
                    line.welcomed |= matches!(message, ToGuest::Welcome(_));
                    out.send(line.machine, message);
                }
            }
            Effect::StopGuest { guest, why } => {
                if let Some(line) =
                    self.lines.0.get_mut(&guest).filter(|_| out.mutation != Some(Mutation::StopIgnored))
                {
                    line.stopped = true;
                    out.kill(line.machine, &why);
                }
            }
            _ => {}
        }
    }

    fn store(&mut self, out: &mut Outside) {
        let mut changes = std::mem::take(&mut self.changes);
        if out.mutation == Some(Mutation::EndUnstored) {
            let dropped =
                |change: &Change| matches!(change, Change::Finish { outcome: Outcome::Succeeded(_), .. });
            changes.retain(|change| !dropped(change));
        }
        out.disk.write(Job::Changes(changes));
        out.begin_write();
        if out.mutation != Some(Mutation::EffectsBeforeDurable) {
            self.storing = Some(out.now_us);
            out.after(STALL_US, Event::Stall(self.run, out.now_us));
        }
    }

    /// What is stored takes long: guests hear that the daemon is still there.
    pub(crate) fn stall(&mut self, since_us: u64, out: &mut Outside) {
        if self.storing != Some(since_us) || out.mutation == Some(Mutation::DeafWhileStoring) {
            return;
        }
        for line in self.lines.0.values().filter(|line| line.welcomed) {
            out.send(line.machine, Ping { nonce: 0 }.into());
        }
        out.after(STALL_US, Event::Stall(self.run, since_us));
    }

    /// The actor's changes are on disk; these tasks ended by them.
    pub(crate) fn stored(&mut self, ended: Vec<(TaskId, String)>, out: &Outside) {
        let waited_us = self.storing.take().map_or(0, |since_us| out.now_us - since_us);
        if waited_us >= STALL_US && out.mutation != Some(Mutation::DeafWhileStoring) {
            self.stalled_us += waited_us;
        }
        for (task, issuer) in ended {
            self.plans.remove(&task);
            if out.mutation != Some(Mutation::SeatForgotten) {
                self.free(&issuer);
            }
        }
    }

    pub(crate) fn free(&mut self, issuer: &str) {
        if let Some(taken) = self.seats.get_mut(issuer) {
            *taken -= 1;
            if *taken == 0 {
                self.seats.remove(issuer);
            }
        }
    }

    /// Seats that are taken, but for those of requests that wait.
    pub(crate) fn seats_of(open: impl Iterator<Item = Record>) -> BTreeMap<String, u32> {
        let mut seats = BTreeMap::new();
        open.for_each(|record| *seats.entry(record.issuer).or_default() += 1);
        seats
    }
}

/// An end without a result shares its transaction with what comes before it.
const fn waits(effect: &Effect) -> bool {
    !matches!(effect, Effect::Finish { outcome, .. } if !matches!(outcome, Outcome::Succeeded(_)))
}

fn told(guest: GuestId, input: GuestInput, out: &Outside) -> Option<Input> {
    let untold = out.mutation == Some(Mutation::ExitUntold) && matches!(input, GuestInput::Exited(_));
    (!untold).then_some(Input::Guest(guest, input))
}

fn cut(outcome: Outcome, mutation: Option<Mutation>) -> Outcome {
    match outcome {
        Outcome::Succeeded(mut success) if mutation == Some(Mutation::ResultCut) => {
            success.result = success.result.replace("true", "false");
            Outcome::Succeeded(success)
        }
        other => other,
    }
}

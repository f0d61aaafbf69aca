//! A whole world and its story: one event after another, until all is over or a law is broken.

use std::collections::BTreeMap;

use fades_core::engine::{BrokerConfig, Config};
use fades_core::limits::Patience;
use fades_core::task::{ImageRef, TaskState};
use fades_core::{Role, TaskId};

use crate::dice::Dice;
use crate::disk::Job;
use crate::door;
use crate::laws::{self, Broken};
use crate::mutation::Mutation;
use crate::outside::{Act, Event, Outside};
use crate::services::{self, Wish};
use crate::shell::{Message, Shell};
use crate::tables::Accepted;
use crate::weather::{MINUTE, SECOND};
use crate::wrappers::BROKER_MIB;

/// After the calm everything has ended within this time: the longest line of tasks that wait for each other, each with every attempt.
const PATIENCE_US: u64 = 90 * MINUTE;
/// Functions that were started ahead before the calm are fewer.
const LAST_TRIES: u32 = 8;
/// More events than any story has.
const MOST_EVENTS: u64 = 300_000;

pub(crate) struct World {
    pub(crate) out: Outside,
    pub(crate) shell: Option<Shell>,
    wishes: Vec<Wish>,
    requests: u64,
    /// The wrapper that is sent when all faults are over, and how many have ended.
    last: Option<usize>,
    tries: u32,
    pub(crate) events: u64,
}

/// How a story ended.
pub(crate) struct Ended {
    pub(crate) hash: u64,
    pub(crate) events: u64,
    pub(crate) tail: String,
    pub(crate) broken: Option<Broken>,
    pub(crate) seen: BTreeMap<String, u64>,
}

/// Tells the story of a seed.
pub(crate) fn tell(seed: u64, mutation: Option<Mutation>) -> Ended {
    let mut world = World::new(seed, mutation);
    world.live();
    let World { out, events, .. } = world;
    Ended { hash: out.trace.hash(), events, tail: out.trace.tail(), broken: out.broken, seen: out.seen }
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut out = Outside::new(Dice::new(seed), mutation);
        for at_us in services::plan(&mut out) {
            out.at(at_us, Event::Service(Act::Send, usize::MAX));
        }
        for (at_us, blow) in out.weather.blows.clone() {
            out.at(at_us, Event::Blow(blow));
        }
        let calm_us = out.weather.calm_us;
        out.at(0, Event::Start);
        out.at(calm_us, Event::Calm);
        Self { out, shell: None, wishes: Vec::new(), requests: 0, last: None, tries: 0, events: 0 }
    }

    fn live(&mut self) {
        while let Some(event) = self.out.next() {
            self.events += 1;
            if !self.happens(event) || self.out.broken.is_some() {
                break;
            }
            if self.events > MOST_EVENTS {
                self.out.hold(laws::nothing_is_left(vec!["the story does not end".into()]));
                break;
            }
        }
    }

    /// False when all is over.
    fn happens(&mut self, event: Event) -> bool {
        let out = &mut self.out;
        match event {
            Event::Inbox(run, message) => {
                if let Some(shell) = self.shell.as_mut().filter(|shell| shell.run == run) {
                    shell.inbox.push_back(message);
                    shell.turn(out);
                }
            }
            Event::Wake(run) => {
                if let Some(shell) = self.shell.as_mut().filter(|shell| shell.run == run) {
                    shell.turn(out);
                }
            }
            Event::Stall(run, since_us) => {
                if let Some(shell) = self.shell.as_mut().filter(|shell| shell.run == run) {
                    shell.stall(since_us, out);
                }
            }
            Event::Machine(id, step) => out.step(id, step),
            Event::Written(commit) => self.written(commit),
            Event::Service(act, number) => self.service(act, number),
            Event::Blow(blow) => self.blow(blow),
            Event::Over(blow) => self.over(blow),
            Event::Start => self.start(),
            Event::Calm => self.calm(),
            Event::Look => return self.look(),
        }
        true
    }

    pub(crate) fn config(&self) -> Config {
        let broker =
            BrokerConfig { image: ImageRef { name: "drb".into(), digest: [9; 32] }, memory_mib: BROKER_MIB };
        let patience = Patience { heartbeat_us: self.out.heartbeat_us, ..Patience::default() };
        Config { limits: self.out.limits, patience, broker, budget_bytes: 1 << 20, window_bytes: 1 << 20 }
    }

    /// A commit is whole: applied, then told.
    fn written(&mut self, commit: u64) {
        let Some(batch) = self.out.disk.done(commit) else { return };
        for job in batch {
            self.apply(job, true);
        }
        self.out.begin_write();
        if let Some(shell) = &mut self.shell {
            shell.turn(&mut self.out);
        }
    }

    pub(crate) fn apply(&mut self, job: Job, alive: bool) {
        let out = &mut self.out;
        match job {
            Job::Accept { request, id, record } => {
                let most = usize::try_from(out.facts.waiting_limit).unwrap_or(usize::MAX);
                let how = out.disk.tables.accept(id, *record, most, out.mutation);
                out.note(format_args!("stored {} {how:?}", out.short(id)));
                if how == Accepted::New {
                    let held = laws::accepted_at_most_once(&mut out.accepted, id);
                    out.hold(held);
                }
                let Some(shell) = self.shell.as_mut().filter(|_| alive) else { return };
                if let Some((number, answer)) = door::stored(shell, out, request, how) {
                    door::told(out, &mut self.wishes[number], number, &answer);
                }
            }
            Job::Changes(changes) => {
                let mut ended = Vec::new();
                for change in &changes {
                    match out.disk.tables.apply(change, out.mutation) {
                        Ok(one) => ended.extend(one),
                        Err(broken) => out.hold(Err(broken)),
                    }
                }
                if let Some(shell) = self.shell.as_mut().filter(|_| alive) {
                    shell.stored(ended, out);
                }
            }
        }
    }

    fn service(&mut self, act: Act, number: usize) {
        let out = &mut self.out;
        let number = if number == usize::MAX {
            let wish = services::wish(u8::try_from(self.wishes.len()).expect("few"), false, out);
            self.wishes.push(wish);
            services::follow(self.wishes.len() - 1, out);
            self.wishes.len() - 1
        } else {
            number
        };
        let Some(shell) = &mut self.shell else {
            if act == Act::Send {
                out.after(3 * SECOND, Event::Service(act, number));
            }
            return;
        };
        let id = self.wishes[number].id;
        match act {
            Act::Send | Act::Forge => {
                self.requests += 1;
                let wish = &self.wishes[number];
                let sent = match (&wish.forged, act) {
                    (Some((wrapper, digest)), Act::Forge) => {
                        Wish { id, wrapper: wrapper.clone(), digest: *digest, heard: None, forged: None }
                    }
                    _ => Wish {
                        id,
                        wrapper: wish.wrapper.clone(),
                        digest: wish.digest,
                        heard: None,
                        forged: None,
                    },
                };
                out.note(format_args!("{act:?} {}", out.short(id)));
                if let Some(answer) = door::submit(shell, out, &sent, number, self.requests) {
                    door::told(out, &mut self.wishes[number], number, &answer);
                }
            }
            Act::Cancel => {
                if out.disk.tables.open().any(|(open, _)| *open == id) {
                    out.note(format_args!("cancel {}", out.short(id)));
                    out.count("cancel");
                    out.after(0, Event::Inbox(shell.run, Message::Cancel(id)));
                }
            }
            Act::Read => services::look(id, out),
        }
    }

    /// Whether all is over; the last task of all is sent when everything else has ended.
    fn look(&mut self) -> bool {
        let open: Vec<TaskId> = self.out.disk.tables.open().map(|(id, _)| *id).collect();
        if self.out.now_us > self.out.weather.calm_us + PATIENCE_US {
            self.out.hold(laws::comes_to_its_end(open));
            return false;
        }
        self.out.after(10 * SECOND, Event::Look);
        let idle = self.shell.as_ref().is_some_and(Shell::is_idle) && self.out.disk.is_idle();
        if !open.is_empty() || !idle {
            return true;
        }
        let stored = |id: TaskId, out: &Outside| out.disk.tables.tasks.get(&id).map(|record| record.state);
        let last = self.last.and_then(|number| stored(self.wishes[number].id, &self.out));
        if last.is_some() {
            self.tries += 1;
        }
        match last {
            // One may have taken a function that went wrong in its sleep before the calm.
            Some(state) if state == TaskState::Succeeded || self.tries == LAST_TRIES => {
                self.out.hold(laws::recovers_without_a_hand(last));
                self.close();
                return false;
            }
            // Refused as long as the clock that was once too far ahead has not come.
            _ => {
                let number = u8::try_from(self.wishes.len()).expect("few");
                let wish = services::wish(number, true, &mut self.out);
                self.wishes.push(wish);
                self.last = Some(self.wishes.len() - 1);
                self.service(Act::Send, self.wishes.len() - 1);
            }
        }
        true
    }

    /// What must be so in the end.
    fn close(&mut self) {
        let out = &mut self.out;
        let held: Vec<_> =
            out.disk.tables.tasks.iter().map(|(id, record)| laws::ends_exactly_once(*id, record)).collect();
        held.into_iter().for_each(|held| out.hold(held));
        for (id, told) in &out.told.clone() {
            out.hold(laws::told_is_what_is_stored(told, out.disk.tables.tasks.get(id), *id));
        }
        let Some(shell) = &self.shell else { return };
        let open = Shell::seats_of(out.disk.tables.open().map(|(_, record)| record.clone()));
        out.hold(laws::seats_are_those_of_open_tasks(&shell.seats, &open));
        let status = shell.engine.status();
        let lines = u32::try_from(shell.lines.0.len()).expect("few");
        out.hold(laws::the_books_agree(status.usage.guests, lines));
        let mut left = Vec::new();
        for (id, machine) in
            out.machines.iter().filter(|(_, machine)| machine.up && !machine.ended && !machine.stopping)
        {
            let waits = machine.role == Role::Function && machine.task.is_none();
            if machine.role == Role::Function && !waits {
                left.push(format!("m{id} of {:?}", machine.task));
            }
        }
        if !shell.plans.is_empty() || status.waiting + status.under_way + status.between > 0 {
            left.push(format!("{:?} in the engine", shell.plans));
        }
        out.hold(laws::nothing_is_left(left));
    }
}

//! Guests as they really are: processes with memory and an address, that start, speak, hear, and end, and do not always do as they should.

use std::collections::BTreeMap;

use fades_api::codes;
use fades_core::backend::{ExitCause, GuestExit};
use fades_core::engine::{GuestInput, GuestOrder};
use fades_core::fault::Fault;
use fades_core::{GuestId, Role, TaskId};
use fades_wire::address::{Endpoint, Neighbour, Place};
use fades_wire::control::{Operation, Run};
use fades_wire::data::StreamSummary;
use fades_wire::ids::{TaskKey, Ticket};

use crate::laws;
use crate::mutation::Mutation;
use crate::outside::{Event, Outside};
use crate::shell::Message;
use crate::steps::Step;
use crate::weather::{MS, SECOND};

/// How a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    Good,
    NeverStarts,
    NeverSpeaks,
    /// Ends by itself, some time.
    Dies,
    /// Answers nothing any more, some time.
    FallsSilent,
    Leaves,
    Garbage,
    // Of functions.
    NeverFinishes,
    Slow,
    Twice,
    /// Tells a result of data that it has not read.
    Hasty,
    /// Tells other counts than those of what it read, or as a broker, sent.
    Miscounts,
    SpeaksForOthers,
    Fails,
    NotJson,
    TooMuch,
    KeepsUnasked,
}

const OF_FUNCTIONS: [Temper; 16] = [
    Temper::NeverSpeaks,
    Temper::Dies,
    Temper::Dies,
    Temper::FallsSilent,
    Temper::Leaves,
    Temper::Garbage,
    Temper::NeverFinishes,
    Temper::Slow,
    Temper::Twice,
    Temper::Hasty,
    Temper::Miscounts,
    Temper::SpeaksForOthers,
    Temper::Fails,
    Temper::NotJson,
    Temper::TooMuch,
    Temper::KeepsUnasked,
];
const OF_BROKERS: [Temper; 9] = [
    Temper::Dies,
    Temper::Dies,
    Temper::Dies,
    Temper::Leaves,
    Temper::Garbage,
    Temper::FallsSilent,
    Temper::NeverSpeaks,
    Temper::SpeaksForOthers,
    Temper::Miscounts,
];

/// What a broker does for one task.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) ticket: Ticket,
    pub(crate) operations: Vec<Operation>,
    pub(crate) function: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) run: u64,
    pub(crate) guest: GuestId,
    pub(crate) role: Role,
    memory_mib: u32,
    pub(crate) task: Option<TaskId>,
    pub(crate) place: Place,
    pub(crate) temper: Temper,
    /// It did not do as it should, so its task may fail.
    pub(crate) bad: bool,
    /// Its process exists.
    pub(crate) up: bool,
    pub(crate) ended: bool,
    pub(crate) stopping: bool,
    pub(crate) troubled: bool,
    pub(crate) silent: bool,
    time_limit_us: Option<u64>,
    pub(crate) heard_us: u64,
    pub(crate) watched: bool,
    /// When the last message from it, and to it, arrives.
    pub(crate) arrived_us: (u64, u64),
    pub(crate) order: Option<Run>,
    pub(crate) recalled: Vec<u8>,
    pub(crate) read: Vec<StreamSummary>,
    /// All of its data came, and it said so.
    pub(crate) whole: bool,
    pub(crate) serves: BTreeMap<TaskKey, Served>,
}

impl Outside {
    /// The actor has a guest started.
    pub(crate) fn start(&mut self, run: u64, order: &GuestOrder) -> u64 {
        self.begins(order);
        self.machines_ever += 1;
        let (id, role) = (self.machines_ever, order.role);
        let temper = self.temper(role);
        let place = self.place(role);
        self.note(format_args!("start m{id} {role} {} MiB {temper:?} at {place}", order.memory_mib));
        let machine = Machine {
            run,
            guest: order.guest,
            role,
            memory_mib: order.memory_mib + self.limits.region_mib,
            task: order.task,
            place,
            temper,
            bad: temper != Temper::Good,
            up: false,
            ended: false,
            stopping: false,
            troubled: false,
            silent: false,
            time_limit_us: order.time_limit_us,
            heard_us: 0,
            watched: false,
            arrived_us: (0, 0),
            order: None,
            recalled: Vec::new(),
            read: Vec::new(),
            whole: false,
            serves: BTreeMap::new(),
        };
        self.machines.insert(id, machine);
        let us = self.dice.between(5 * MS, 200 * MS);
        self.after(us, Event::Machine(id, Step::Up));
        id
    }

    fn temper(&mut self, role: Role) -> Temper {
        let (bad, of) = match role {
            Role::Function => (self.weather.bad_functions, &OF_FUNCTIONS[..]),
            Role::Broker => (self.weather.bad_brokers, &OF_BROKERS[..]),
        };
        if self.happens(self.weather.bad_starts) {
            Temper::NeverStarts
        } else if self.happens(bad) {
            self.dice.pick(of)
        } else {
            Temper::Good
        }
    }

    /// A free one of the node's places. Regions are few, so that they are used again soon.
    fn place(&mut self, role: Role) -> Place {
        let gone = |machine: &Machine| {
            machine.ended || machine.stopping && self.mutation == Some(Mutation::PlaceSharedEarly)
        };
        let taken: Vec<Place> =
            self.machines.values().filter(|machine| !gone(machine)).map(|machine| machine.place).collect();
        let near = self.limits.region_mib > 0 && role == Role::Function;
        let places = (1u16..).map(|number| match near {
            true => Place::Near(Neighbour::Region { number, turn: 0 }),
            false => Place::Network(Endpoint::new([10, 77, 0, number.to_le_bytes()[0]].into(), 7001)),
        });
        places.into_iter().find(|place| !taken.contains(place)).expect("there are more places than guests")
    }

    /// Its process exists, or never will.
    pub(crate) fn up(&mut self, id: u64) {
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| !machine.ended) else { return };
        let (run, guest, place, stopping, temper) =
            (machine.run, machine.guest, machine.place, machine.stopping, machine.temper);
        if temper == Temper::NeverStarts {
            machine.ended = true;
            let fault = Fault::new(codes::GUEST_START_FAILED, "no room for it");
            return self.arrive(id, Message::StartFailed(guest, fault));
        }
        machine.up = true;
        let limit = machine.time_limit_us;
        self.count_guests();
        let delay = self.delay_us();
        self.after(delay, Event::Inbox(run, Message::Started(guest, place)));
        if stopping {
            return self.after(MS, Event::Machine(id, Step::End(ExitCause::Killed)));
        }
        if let Some(limit) = limit {
            self.after(limit, Event::Machine(id, Step::End(ExitCause::Killed)));
        }
        let boot = self.dice.between(50 * MS, 3 * SECOND);
        let turn = self.dice.between(0, 15 * SECOND);
        match temper {
            Temper::NeverSpeaks => return,
            Temper::Dies => {
                let cause = self.cause();
                self.after(turn, Event::Machine(id, Step::End(cause)));
            }
            Temper::FallsSilent | Temper::Leaves | Temper::Garbage | Temper::SpeaksForOthers => {
                self.after(boot + turn, Event::Machine(id, Step::Misbehave));
            }
            _ => {}
        }
        self.after(boot, Event::Machine(id, Step::Hello));
    }

    fn count_guests(&mut self) {
        let living: Vec<_> =
            self.machines.iter().filter(|(_, machine)| machine.up && !machine.ended).collect();
        let guests = u32::try_from(living.len()).expect("few");
        let memory_mib = living.iter().map(|(_, machine)| machine.memory_mib).sum();
        let places: Vec<(u64, Place)> = living.iter().map(|(id, machine)| (**id, machine.place)).collect();
        self.hold(laws::guests_within_limits(guests, &self.limits.clone()));
        self.hold(laws::memory_within_limits(memory_mib, &self.limits.clone()));
        self.hold(laws::places_are_never_shared(&places));
    }

    fn cause(&mut self) -> ExitCause {
        match self.dice.between(0, 4) {
            0 => ExitCause::Code(0),
            1 => ExitCause::Code(3),
            2 => ExitCause::Panicked { message: "boom".into(), location: "lib.rs:1".into() },
            3 => ExitCause::OutOfMemory { requested: None, detail: String::new() },
            _ => ExitCause::Signal(11),
        }
    }

    /// Its end is asked for.
    pub(crate) fn kill(&mut self, id: u64, why: &str) {
        self.note(format_args!("stop m{id}: {why}"));
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.stopping = true;
        if machine.up {
            let us = self.dice.between(MS, 50 * MS);
            self.after(us, Event::Machine(id, Step::End(ExitCause::Killed)));
        }
    }

    /// Its process is gone.
    pub(crate) fn end(&mut self, id: u64, cause: ExitCause) {
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| !machine.ended) else { return };
        machine.ended = true;
        let (run, guest, role) = (machine.run, machine.guest, machine.role);
        let limit = cause == ExitCause::Killed && !machine.stopping;
        let good = !machine.bad;
        let serves = std::mem::take(&mut machine.serves);
        self.note(format_args!("end m{id}: {cause}{}", if limit { " by its time limit" } else { "" }));
        self.arrive(id, Message::Heard(guest, GuestInput::Disconnected));
        self.arrive(id, Message::LinkLost(guest));
        // The news of its end may overtake what it said last, by less than the shell waits for that.
        let (delay, ahead) = (self.delay_us(), self.dice.between(0, 200 * MS));
        let last_words_us = self.machines.get(&id).map_or(0, |machine| machine.arrived_us.0);
        let at_us = (self.now_us + delay).max(last_words_us.saturating_sub(ahead));
        let exit = GuestExit { cause, console_tail: String::new() };
        self.at(at_us, Event::Inbox(run, Message::Exited(guest, exit)));
        // Its daemon had waited for the disk for longer than its backend gives it: an attempt, as by the daemon's death.
        if limit && good {
            self.troubles.push(self.now_us);
        }
        if role == Role::Broker {
            self.trouble(id);
            for function in serves.into_values().filter_map(|served| served.function) {
                self.after(MS, Event::Machine(function, Step::Broke));
            }
        }
    }
}

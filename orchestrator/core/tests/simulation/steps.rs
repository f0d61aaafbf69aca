//! What machines come to: what every guest does, and how a broker works with sources, as they should and as they do.

use fades_core::Role;
use fades_core::backend::ExitCause;
use fades_core::engine::GuestInput;
use fades_wire::PROTOCOL;
use fades_wire::control::{
    Failed, FromGuest, Heartbeat, Hello, OperationEnded, OperationFailed, OperationTimes, Retrieve, ToGuest,
};
use fades_wire::data::StreamSummary;
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::{TaskKey, Ticket};

use crate::laws;
use crate::machines::{Served, Temper};
use crate::outside::{Event, Outside};
use crate::shell::Message;
use crate::weather::{MS, SECOND};

/// What a machine comes to.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Up,
    Hello,
    Hears(ToGuest),
    Watch,
    Misbehave,
    End(ExitCause),
    /// A function shows its ticket, since so long.
    Shows(u64),
    /// A function has an operation's data.
    Reads(StreamSummary),
    /// Its data will not come.
    Broke,
    Computed,
    /// A broker has an answer of a source, for who showed this ticket.
    Answer(TaskKey, Ticket, usize),
    /// A broker's time for an order is over.
    Late(TaskKey, Ticket),
}

impl Outside {
    pub(crate) fn step(&mut self, id: u64, step: Step) {
        match step {
            Step::Up => return self.up(id),
            Step::End(cause) => return self.end(id, cause),
            _ => {}
        }
        let Some(machine) = self.machines.get(&id).filter(|machine| machine.up && !machine.ended) else {
            return;
        };
        match step {
            Step::Hello => {
                let (role, guest) = (machine.role, machine.guest);
                self.arrive(id, Message::Heard(guest, GuestInput::Connected));
                self.say(id, Hello { protocol: PROTOCOL, role: role.into(), image: "test 1".into() });
            }
            Step::Hears(message) => self.hears(id, message),
            Step::Watch => self.watch(id, false),
            Step::Misbehave => self.misbehave(id),
            Step::Shows(since_us) => self.shows(id, since_us),
            Step::Reads(summary) => self.reads(id, summary),
            Step::Broke => self.say(id, failed(Code::ClosedEarly)),
            Step::Computed => self.computed(id),
            Step::Answer(key, ticket, at) => self.answer(id, key, ticket, at),
            Step::Late(key, ticket) => self.late(id, key, ticket),
            Step::Up | Step::End(_) => {}
        }
    }

    fn hears(&mut self, id: u64, message: ToGuest) {
        let now_us = self.now_us;
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.heard_us = now_us;
        match message {
            ToGuest::Welcome(_) => self.watch(id, true),
            ToGuest::Ping(ping) => self.say(id, Heartbeat { nonce: ping.nonce, heap_used: 1 }),
            ToGuest::Run(run) => {
                machine.order = Some(run);
                self.has_orders(id);
            }
            ToGuest::Recall(part) => {
                machine.recalled.extend(&part.bytes);
                self.has_orders(id);
            }
            ToGuest::Retrieve(retrieve) => self.retrieve(id, retrieve),
            ToGuest::Abandon(abandon) => drop(machine.serves.remove(&abandon.task)),
            ToGuest::Shutdown(_) => self.end(id, ExitCause::Code(0)),
        }
    }

    /// The broker asks the source of an operation.
    pub(crate) fn ask(&mut self, broker: u64, key: TaskKey, ticket: Ticket, at: usize) {
        let us = self.dice.between(5 * MS, 2 * SECOND);
        self.after(us, Event::Machine(broker, Step::Answer(key, ticket, at)));
    }

    fn retrieve(&mut self, id: u64, order: Retrieve) {
        let Retrieve { task, ticket, operations, deadline_us, .. } = order;
        self.after(deadline_us, Event::Machine(id, Step::Late(task, ticket)));
        if let Some(machine) = self.machines.get_mut(&id) {
            machine.serves.insert(task, Served { ticket, operations, function: None });
            if machine.silent {
                self.goes_wrong(id);
            }
        }
    }

    fn answer(&mut self, id: u64, key: TaskKey, ticket: Ticket, at: usize) {
        let bad = self.happens(self.weather.bad_sources);
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| !machine.silent) else { return };
        let Some(served) = machine.serves.get(&key).filter(|served| served.ticket == ticket) else { return };
        let Some(function) = served.function else { return };
        let (order, more) = (served.operations[at].clone(), at + 1 < served.operations.len());
        let miscounts = machine.temper == Temper::Miscounts && !self.calm;
        if bad {
            let code = self.dice.pick(&[
                Code::SourceStatus,
                Code::SourceMalformed,
                Code::SourceSilent,
                Code::SourceClosedEarly,
                Code::SourceUnreachable,
            ]);
            self.blame(self.keys.get(&key).copied());
            return self.gives_up(id, key, order.index, code);
        }
        let held = laws::data_is_given_once(&mut self.given, ticket.0, order.index);
        self.hold(held);
        let points = 1 + order.from_ns.unsigned_abs() % 977;
        let summary = StreamSummary {
            operation: order.index,
            points,
            bytes: points * 16,
            chunks: 1,
            series: 1,
            first_ns: Some(order.from_ns),
            last_ns: Some(order.to_ns - 1),
            digest: ticket.0,
        };
        let us = self.dice.between(MS, 100 * MS);
        self.after(us, Event::Machine(function, Step::Reads(summary)));
        let times = OperationTimes { retrieve_us: 5, ..OperationTimes::default() };
        let mut told = summary;
        if miscounts {
            self.blame(self.keys.get(&key).copied());
            told.chunks += 1;
        }
        let (operation, summary) = (order.index, told);
        self.say(id, OperationEnded { task: key, operation, summary, fewest: points, times });
        if more {
            self.ask(id, key, ticket, at + 1);
        } else if let Some(machine) = self.machines.get_mut(&id) {
            machine.serves.remove(&key);
        }
    }

    /// The broker gives a task up, and tells both sides.
    fn gives_up(&mut self, id: u64, key: TaskKey, operation: u16, code: Code) {
        let Some(served) = self.machines.get_mut(&id).and_then(|machine| machine.serves.remove(&key)) else {
            return;
        };
        if let Some(function) = served.function {
            self.after(MS, Event::Machine(function, Step::Broke));
        }
        self.say(id, OperationFailed { task: key, operation, failure: Failure::new(code, "so it is") });
    }

    /// A broker that still serves a task whose time is over. That its function had never come, or waits still, is somebody's fault.
    fn late(&mut self, id: u64, key: TaskKey, ticket: Ticket) {
        let Some(machine) = self.machines.get(&id) else { return };
        let serves = machine.serves.get(&key).is_some_and(|served| served.ticket == ticket);
        if serves && !machine.silent {
            self.gives_up(id, key, 0, Code::Deadline);
        }
    }

    fn misbehave(&mut self, id: u64) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let (guest, temper, role) = (machine.guest, machine.temper, machine.role);
        machine.silent |= temper == Temper::FallsSilent;
        self.note(format_args!("m{id} {temper:?}"));
        self.trouble(id);
        match temper {
            Temper::FallsSilent => self.goes_wrong(id),
            Temper::Leaves => self.arrive(id, Message::Heard(guest, GuestInput::Disconnected)),
            Temper::Garbage => {
                self.arrive(id, Message::Heard(guest, GuestInput::ProtocolError("bad crc".into())))
            }
            _ => {
                // Of somebody's task, who has done nothing: a function's word for it must not count.
                let keys: Vec<TaskKey> = self.keys.keys().copied().collect();
                if keys.is_empty() {
                    return;
                }
                let key = self.dice.pick(&keys);
                if role == Role::Broker {
                    self.goes_wrong(id);
                    self.blame(self.keys.get(&key).copied());
                }
                let message: FromGuest = match self.dice.between(0, 1) {
                    0 => OperationFailed {
                        task: key,
                        operation: 0,
                        failure: Failure::new(Code::SourceStatus, "no"),
                    }
                    .into(),
                    // Not what a lying function says: two that agree on a lie cannot be told from two that do not lie.
                    _ => {
                        let summary = StreamSummary { points: 2, ..summary_of_nothing() };
                        let times = OperationTimes::default();
                        OperationEnded { task: key, operation: 0, summary, fewest: 2, times }.into()
                    }
                };
                self.say(id, message);
            }
        }
    }
}

pub(crate) fn failed(code: Code) -> Failed {
    Failed(Failure::new(code, "so it is"))
}

pub(crate) const fn summary_of_nothing() -> StreamSummary {
    StreamSummary {
        operation: 0,
        points: 1,
        bytes: 16,
        chunks: 1,
        series: 1,
        first_ns: Some(0),
        last_ns: Some(0),
        digest: [0; 32],
    }
}

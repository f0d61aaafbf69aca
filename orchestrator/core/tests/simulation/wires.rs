//! What goes between guests and their daemon: in order, late at times, lost at times; and what is blamed on whom for it.

use fades_core::backend::ExitCause;
use fades_core::engine::{Engine, GuestInput};
use fades_core::task::TaskState;
use fades_core::{GuestId, Role, TaskId};
use fades_wire::control::{FromGuest, ToGuest};

use crate::laws;
use crate::mutation::Mutation;
use crate::outside::{Event, Outside};
use crate::shell::Message;
use crate::steps::Step;

impl Outside {
    /// A broker that is not as it should be dies, for all that it serves.
    pub(crate) fn trouble(&mut self, id: u64) {
        if let Some(machine) = self.machines.get_mut(&id)
            && machine.role == Role::Broker
            && machine.bad
            && !std::mem::replace(&mut machine.troubled, true)
        {
            self.troubles.push(self.now_us);
        }
    }

    /// Something of a machine reaches its daemon, behind what it said before.
    pub(crate) fn arrive(&mut self, id: u64, message: Message) {
        let delay = self.delay_us();
        let at_us = self.now_us + delay;
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.arrived_us.0 = machine.arrived_us.0.max(at_us);
        let (run, at_us) = (machine.run, machine.arrived_us.0);
        self.at(at_us, Event::Inbox(run, message));
    }

    /// A machine says something, which may get lost.
    pub(crate) fn say(&mut self, id: u64, message: impl Into<FromGuest>) {
        let message = message.into();
        let Some(machine) =
            self.machines.get(&id).filter(|machine| machine.up && !machine.ended && !machine.silent)
        else {
            return;
        };
        let (mut guest, run) = (machine.guest, machine.run);
        if self.happens(self.weather.lost) {
            self.note(format_args!("lost: m{id} says {:?}", message.kind()));
            return self.goes_wrong(id);
        }
        if self.mutation == Some(Mutation::Misheard) && self.dice.chance(30) {
            let others = self.machines.values().filter(|other| other.run == run && other.up && !other.ended);
            let others: Vec<GuestId> = others.map(|other| other.guest).collect();
            guest = self.dice.pick(&others);
        }
        self.note(format_args!("m{id} says {:?}", message.kind()));
        self.arrive(id, Message::Heard(guest, GuestInput::Message(message)));
    }

    /// A machine is told something, which may get lost.
    pub(crate) fn send(&mut self, id: u64, mut message: ToGuest) {
        if let (ToGuest::Retrieve(retrieve), Some(Mutation::WindowMoved)) = (&mut message, self.mutation) {
            retrieve.operations.iter_mut().for_each(|operation| operation.from_ns -= 1);
        }
        if let ToGuest::Run(run) = &message {
            self.serves(id, run);
        }
        let (delay, kind) = (self.delay_us(), message.kind());
        let at_us = self.now_us + delay;
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.arrived_us.1 = machine.arrived_us.1.max(at_us);
        let at_us = machine.arrived_us.1;
        if self.happens(self.weather.lost) {
            self.note(format_args!("lost: m{id} is told {kind:?}"));
            return self.goes_wrong(id);
        }
        self.at(at_us, Event::Machine(id, Step::Hears(message)));
    }

    /// A machine does not do as it should: its task may fail, or all that a broker serves.
    pub(crate) fn goes_wrong(&mut self, id: u64) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        machine.bad = true;
        if machine.role == Role::Broker {
            let run = machine.run;
            let served: Vec<_> = self
                .machines
                .values()
                .filter(|other| other.run == run && !other.ended)
                .filter_map(|other| other.task)
                .collect();
            self.own.extend(served);
        }
    }

    /// Who listens for how long nobody speaks gives up after fifteen heartbeats, as `images/guest/src/control` has it.
    pub(crate) fn watch(&mut self, id: u64, first: bool) {
        let patience = 15 * self.heartbeat_us;
        let now_us = self.now_us;
        let Some(machine) = self.machines.get_mut(&id).filter(|machine| !machine.ended) else { return };
        if first && std::mem::replace(&mut machine.watched, true) {
            return;
        }
        let until_us = machine.heard_us + patience;
        if until_us > now_us {
            return self.at(until_us, Event::Machine(id, Step::Watch));
        }
        self.note(format_args!("m{id} has heard nothing for too long"));
        self.end(id, ExitCause::Code(14));
    }

    /// Whose functions are whose now, as the engine has it.
    pub(crate) fn assign(&mut self, run: u64, engine: &Engine) {
        for status in engine.tasks() {
            let Some(guest) = status.guest else { continue };
            let Some(machine) =
                self.machines.values_mut().rev().find(|machine| machine.run == run && machine.guest == guest)
            else {
                continue;
            };
            let before = machine.task.replace(status.task);
            if before != Some(status.task) {
                self.hold(laws::a_function_serves_one_task(before, status.task, guest));
            }
        }
    }

    pub(crate) fn stored_state(&self, task: TaskId) -> Option<TaskState> {
        self.disk.tables.tasks.get(&task).map(|record| record.state)
    }
}

//! What functions do, as they should and as they do: show a ticket, read, tell a result.

use fades_core::Role;
use fades_core::backend::ExitCause;
use fades_wire::address::{Neighbour, Place};
use fades_wire::control::{Finished, Keep, ResultPart, Started, StateHead};
use fades_wire::data::StreamSummary;
use fades_wire::failure::Code;

use crate::machines::Temper;
use crate::outside::{Event, Outside};
use crate::steps::{Step, failed, summary_of_nothing};
use crate::weather::{MS, SECOND};

/// How long a ticket may take to become that of a task, as in `drb/src/broker/limits.rs`.
const TICKET_US: u64 = 5 * SECOND;

impl Outside {
    /// With its order and all of its state a function begins.
    pub(crate) fn has_orders(&mut self, id: u64) {
        let Some(machine) = self.machines.get(&id) else { return };
        let Some(run) = &machine.order else { return };
        let state = run.memory.and_then(|memory| memory.state).map_or(0, |head| head.len);
        if (machine.recalled.len() as u64) < state {
            return;
        }
        let temper = machine.temper;
        self.say(id, Started);
        match temper {
            Temper::Hasty => return self.after(300 * MS, Event::Machine(id, Step::Computed)),
            Temper::Fails => return self.say(id, failed(Code::Function)),
            Temper::Twice => self.say(id, Started),
            _ => {}
        }
        let us = self.dice.between(MS, 50 * MS);
        self.after(us, Event::Machine(id, Step::Shows(self.now_us)));
    }

    /// A function shows its ticket to the broker at the place that it was told.
    pub(crate) fn shows(&mut self, id: u64, since_us: u64) {
        let Some(run) = self.machines.get(&id).and_then(|machine| machine.order.clone()) else { return };
        let by_region = matches!(run.broker, Place::Near(Neighbour::Region { .. }));
        let brokers = self
            .machines
            .iter_mut()
            .filter(|(_, machine)| machine.role == Role::Broker && machine.up && !machine.ended);
        let broker = brokers.into_iter().find(|(_, machine)| by_region || machine.place == run.broker);
        let Some((broker_id, broker)) = broker else { return self.say(id, failed(Code::PeerSilent)) };
        let (broker_id, silent) = (*broker_id, broker.silent);
        match broker.serves.get_mut(&run.task).filter(|served| served.ticket == run.ticket) {
            Some(served) => {
                served.function = Some(id);
                if !silent {
                    self.ask(broker_id, run.task, run.ticket, 0);
                }
            }
            None if self.now_us < since_us + TICKET_US => {
                self.after(200 * MS, Event::Machine(id, Step::Shows(since_us)));
            }
            None => {
                self.goes_wrong(id);
                self.say(id, failed(Code::TicketUnknown));
            }
        }
    }

    pub(crate) fn reads(&mut self, id: u64, summary: StreamSummary) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let Some(run) = &machine.order else { return };
        machine.read.push(summary);
        machine.read.sort_by_key(|read| read.operation);
        if machine.read.len() < run.operations.len() || machine.temper == Temper::NeverFinishes {
            return;
        }
        let slow = machine.temper == Temper::Slow;
        let us = if slow { 70 * SECOND } else { self.dice.between(MS, 2 * SECOND) };
        self.after(us, Event::Machine(id, Step::Computed));
    }

    /// A function tells its result.
    pub(crate) fn computed(&mut self, id: u64) {
        let Some(machine) = self.machines.get_mut(&id) else { return };
        let Some(run) = machine.order.clone() else { return };
        let temper = machine.temper;
        let whole = machine.read.len() == run.operations.len();
        machine.whole = whole;
        let from = machine.read.first().and_then(|read| read.first_ns).unwrap_or(0);
        let me: serde_json::Value = serde_json::from_str(&run.parameters).unwrap_or_default();
        let mut result = format!(r#"{{"me":{},"from":{from},"whole":true}}"#, me["me"]);
        match temper {
            Temper::NotJson => result.push('}'),
            Temper::TooMuch => result = format!("[{}0]", "0,".repeat(400)),
            _ => {}
        }
        let mut summaries = machine.read.clone();
        if temper == Temper::Miscounts {
            summaries[0].points += 1;
        }
        if temper == Temper::Hasty {
            let number = u16::try_from(run.operations.len()).expect("few");
            summaries =
                (0..number).map(|operation| StreamSummary { operation, ..summary_of_nothing() }).collect();
        }
        let mut kept = machine.recalled.clone();
        kept.extend(from.to_le_bytes());
        let len = result.len() as u64;
        let (head, tail) = result.as_bytes().split_at(result.len() / 2);
        self.say(id, ResultPart { index: 0, last: false, bytes: head.into() });
        self.say(id, ResultPart { index: 1, last: true, bytes: tail.into() });
        let mut state = None;
        if run.memory.is_some() || temper == Temper::KeepsUnasked {
            state = Some(StateHead { version: 1, len: kept.len() as u64 });
            self.say(id, Keep { index: 0, bytes: kept });
        }
        let finished =
            Finished { summaries, transfer_us: 7, compute_us: 3, result_len: len, state, heap_peak: 1 };
        if temper == Temper::Twice {
            self.say(id, finished.clone());
        }
        self.say(id, finished);
        // Some end by themselves, others wait to be ended.
        if self.dice.chance(300) {
            let us = self.dice.between(MS, 2 * SECOND);
            self.after(us, Event::Machine(id, Step::End(ExitCause::Code(0))));
        }
    }
}

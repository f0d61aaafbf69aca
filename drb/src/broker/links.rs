//! What happens on connections, to sources and from functions.

use super::function::{Function, Said};
use super::{Action, Broker, Caller, FunctionId, Micros, SourceId};
use crate::broker::operation::Operation;
use crate::broker::task::{Serving, Task};
use fades_wire::address::Neighbour;
use fades_wire::control::MAX_OPERATIONS;
use fades_wire::data::ToBroker;
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::Ticket;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Connections to sources. What is said about one that was closed is ignored.
impl Broker {
    fn serving_of(&mut self, source: SourceId) -> Option<&mut Serving> {
        let (key, index) = self.sources.get(&source)?;
        self.tasks.get_mut(key)?.serving(*index)
    }

    fn operation_of(&mut self, source: SourceId) -> Option<&mut Operation> {
        self.serving_of(source).map(|serving| &mut serving.operation)
    }

    /// The connection stands.
    pub fn source_connected(&mut self, source: SourceId) {
        if let Some(operation) = self.operation_of(source) {
            operation.connected();
        }
    }

    /// What is to be sent on it now; empty if nothing.
    pub fn source_output(&mut self, source: SourceId) -> &[u8] {
        self.operation_of(source).map_or(&[], |operation| operation.request())
    }

    /// The first `count` bytes of [`Self::source_output`] were sent.
    pub fn source_sent(&mut self, source: SourceId, count: usize, now: Micros) {
        if let Some(operation) = self.operation_of(source) {
            operation.request_sent(count, now);
        }
    }

    /// Room to read into, never empty, or `None` while the source must wait.
    pub fn source_space(&mut self, source: SourceId) -> Option<&mut [u8]> {
        self.operation_of(source)?.space()
    }

    /// The first `count` bytes of [`Self::source_space`] were filled.
    pub fn source_received(&mut self, source: SourceId, count: usize, now: Micros) {
        if let Some(serving) = self.serving_of(source) {
            serving.blocked = false;
            serving.operation.received(count, now);
        }
    }

    /// It ended: in the orderly way, or with an error in words. [`Action::CloseSource`] will still be said.
    pub fn source_closed(&mut self, source: SourceId, words: Option<String>, now: Micros) {
        let Some((key, index)) = self.sources.get(&source).copied() else { return };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        if let Some(serving) = task.serving(index) {
            serving.blocked = false;
            if let Err(failure) = serving.operation.closed(words) {
                task.fail(index, &failure, now, &mut self.told);
            }
        }
        self.settle(key, now);
        self.admit(now);
    }
}

/// Connections from functions. What is said about one that was closed is ignored.
impl Broker {
    /// Somebody connected to the data port, or was met. With too many strangers there, whoever has most of them loses the
    /// oldest: one that floods the port is in its own way only, and guests that are gone make room for those that came. Who was
    /// met because a task awaits it is no stranger, though it has not shown its ticket: there are no more of these than tasks.
    pub fn function_connected(&mut self, from: impl Into<Caller>, now: Micros) -> FunctionId {
        let id = FunctionId(self.fresh_id());
        self.functions.insert(id, Function::new(from.into(), now));
        let mut shares: BTreeMap<Caller, usize> = BTreeMap::new();
        let strangers: Vec<(FunctionId, &Function)> = self
            .functions
            .iter()
            .filter(|(_, function)| function.task.is_none() && !self.awaits_caller(function.from))
            .map(|(id, function)| (*id, function))
            .collect();
        for (_, function) in &strangers {
            *shares.entry(function.from).or_default() += 1;
        }
        // Among equals, one that has shown a ticket stays: its order is on the way.
        let worst = |(id, function): &(FunctionId, &Function)| {
            (shares.get(&function.from).copied(), function.ticket.is_none(), Reverse(*id))
        };
        if strangers.len() > self.limits.strangers
            && let Some((oldest, _)) = strangers.into_iter().max_by_key(worst)
        {
            self.functions.remove(&oldest);
            self.actions.push_back(Action::CloseFunction(oldest));
        }
        id
    }

    /// Whether a task waits for this function.
    #[must_use]
    pub fn awaits(&self, near: Neighbour) -> bool {
        self.tasks.values().any(|task| task.near == Some(near) && task.function.is_none())
    }

    /// Whether it was met for a task that still waits for it.
    pub(super) fn awaits_caller(&self, from: Caller) -> bool {
        matches!(from, Caller::Near(near) if self.awaits(near))
    }

    /// A function was not met: what waits for it fails.
    pub fn function_unmet(&mut self, near: Neighbour, failure: &Failure, now: Micros) {
        let waits = |task: &&mut Task| task.near == Some(near) && task.function.is_none() && !task.is_over();
        let mut keys = Vec::new();
        for task in self.tasks.values_mut().filter(waits) {
            task.fail_all(failure, now, &mut self.told);
            keys.push(task.key);
        }
        for key in keys {
            self.settle(key, now);
        }
        self.admit(now);
    }

    /// Bytes came on it; a few KiB at once at most, as they are copied.
    pub fn function_received(&mut self, id: FunctionId, bytes: &[u8], now: Micros) {
        let Some(function) = self.functions.get_mut(&id) else { return };
        for said in function.hear(bytes) {
            match said {
                Said::Message { message: ToBroker::Open(open), .. } => self.open(id, open.ticket, now),
                Said::Message { stream, message: ToBroker::Credit(credit) } => {
                    self.credit(id, stream, credit.bytes, now)
                }
                Said::Wrong(failure) => self.wrong(id, &failure, now),
            }
        }
        self.admit(now);
    }

    fn open(&mut self, id: FunctionId, ticket: Ticket, now: Micros) {
        let Some(function) = self.functions.get_mut(&id).filter(|function| !function.deaf) else { return };
        if function.task.is_some() || function.ticket.is_some() {
            return self.wrong(id, &Failure::new(Code::Protocol, "the function shows a second ticket"), now);
        }
        function.ticket = Some(ticket);
        self.match_ticket(ticket, now);
    }

    /// Brings a task and the function that shows its ticket together, whichever came first.
    pub(super) fn match_ticket(&mut self, ticket: Ticket, now: Micros) {
        let task = self.tasks.values_mut().find(|task| task.ticket == ticket && task.function.is_none());
        // A function that was met has a name that it did not choose, and its task says which.
        let near = task.as_ref().and_then(|task| task.near);
        let is_its = |from: Caller| near.is_none_or(|near| from == Caller::Near(near));
        let function = self
            .functions
            .iter_mut()
            .find(|(_, function)| function.ticket == Some(ticket) && is_its(function.from));
        let (Some(task), Some((&id, function))) = (task, function) else { return };
        function.ticket = None;
        function.task = Some(task.key);
        task.function = Some(id);
        task.unblock();
        for (stream, bytes) in std::mem::take(&mut function.early) {
            self.credit(id, stream, bytes, now);
        }
    }

    fn credit(&mut self, id: FunctionId, stream: u32, bytes: u64, now: Micros) {
        let Some(function) = self.functions.get_mut(&id).filter(|function| !function.deaf) else { return };
        let granted = match function.task.and_then(|key| self.tasks.get_mut(&key)) {
            Some(task) => task.grant(stream, bytes),
            None if function.ticket.is_some() && function.early.len() < 2 * MAX_OPERATIONS => {
                function.early.push((stream, bytes));
                Ok(())
            }
            None => Err(Failure::new(Code::Protocol, "credit from a function without a task")),
        };
        if let Err(failure) = granted {
            self.wrong(id, &failure, now);
        }
    }

    /// The function broke the protocol: its task fails, and it is not listened to any more.
    fn wrong(&mut self, id: FunctionId, failure: &Failure, now: Micros) {
        let Some(function) = self.functions.get_mut(&id).filter(|function| !function.deaf) else { return };
        match function.task {
            Some(key) => {
                function.deaf = true;
                if let Some(task) = self.tasks.get_mut(&key).filter(|task| !task.is_over()) {
                    task.fail_all(failure, now, &mut self.told);
                }
                self.settle(key, now);
            }
            None => function.turn_away(failure.clone()),
        }
    }

    /// What is to be sent on it now; empty if nothing.
    #[must_use]
    pub fn function_output(&self, id: FunctionId) -> &[u8] {
        let Some(function) = self.functions.get(&id) else { return &[] };
        match function.task.and_then(|key| self.tasks.get(&key)) {
            Some(task) => task.output(),
            None => function.farewell(),
        }
    }

    /// The first `count` bytes of [`Self::function_output`] were sent.
    pub fn function_sent(&mut self, id: FunctionId, count: usize, now: Micros) {
        let Some(function) = self.functions.get_mut(&id) else { return };
        let Some(key) = function.task else {
            if function.farewell_sent(count) {
                self.functions.remove(&id);
                self.actions.push_back(Action::CloseFunction(id));
            }
            return;
        };
        if let Some(task) = self.tasks.get_mut(&key) {
            task.sent(count, now, &mut self.told);
            self.settle(key, now);
            self.admit(now);
        }
    }

    /// It ended; whatever was not sent yet never will be. The driver has closed it.
    pub fn function_closed(&mut self, id: FunctionId, now: Micros) {
        let Some(Function { task: Some(key), .. }) = self.functions.remove(&id) else { return };
        let Some(task) = self.tasks.get_mut(&key) else { return };
        task.function = None;
        if !task.is_over() {
            let failure = Failure::new(
                Code::ClosedEarly,
                "the function closed its connection before the end of its data",
            );
            task.fail_all(&failure, now, &mut self.told);
        }
        self.settle(key, now);
        self.tasks.remove(&key);
        self.admit(now);
    }
}

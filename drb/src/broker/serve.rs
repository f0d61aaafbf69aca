//! Tasks: how they come, get their turn, are worked for, and go.

use super::task::{Task, width};
use super::{Action, Broker, Caller, FunctionId, LINGER_US, Layout, Limits, Micros, QUANTUM, SourceId};
use fades_wire::address::Neighbour;
use fades_wire::control::{FromGuest, Log, OperationFailed, Retrieve};
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::TaskKey;

impl Broker {
    /// Takes a task. One that is known already under this name is abandoned first.
    pub fn retrieve(&mut self, order: Retrieve, now: Micros) {
        self.abandon(order.task, now);
        match self.refusal(&order) {
            Ok(layout) => {
                let arrival = self.fresh_id();
                let ticket = order.ticket;
                self.actions.extend(order.near.map(Action::Meet));
                self.tasks.insert(order.task, Task::new(order, layout, arrival, now));
                self.match_ticket(ticket, now);
                self.admit(now);
            }
            Err(failure) => {
                if order.operations.is_empty() {
                    self.tell(Log::new(2, format!("task {}: {failure}", order.task)).into());
                }
                for operation in &order.operations {
                    let (task, operation, failure) = (order.task, operation.index, failure.clone());
                    self.tell(OperationFailed { task, operation, failure }.into());
                }
            }
        }
    }

    /// Why a task cannot be served at all, or how its memory is divided.
    fn refusal(&self, order: &Retrieve) -> Result<Layout, Failure> {
        let Limits { tasks, memory_bytes, .. } = self.limits;
        if self.tasks.len() >= tasks {
            return Err(Failure::new(Code::Memory, format!("the broker serves {tasks} tasks already")));
        }
        if order.operations.is_empty() {
            return Err(Failure::new(Code::Unsupported, "a task without operations"));
        }
        if let Some((place, wrong)) =
            order.operations.iter().enumerate().find(|(place, at)| usize::from(at.index) != *place)
        {
            let words = format!("operation {} stands at place {place}", wrong.index);
            return Err(Failure::new(Code::Protocol, words));
        }
        if self.tasks.values().any(|task| task.ticket == order.ticket) {
            return Err(Failure::new(Code::Protocol, "another task has the same ticket"));
        }
        let (budget, least) = (order.budget_bytes, Layout::MIN_BUDGET);
        let layout = Layout::of(budget).ok_or_else(|| {
            let words = format!("a budget of {budget} bytes is below {least}, the least of an operation");
            Failure::new(Code::Memory, words)
        })?;
        let (width, memory) = (width(order), layout.memory());
        if memory.saturating_mul(width) > memory_bytes {
            let words = if width == 1 {
                format!("a budget of {budget} bytes is over the broker's memory of {memory_bytes}")
            } else {
                format!(
                    "{width} operations side by side take {memory} bytes each, and the broker has {memory_bytes}, \
                     enough for {}",
                    memory_bytes / memory
                )
            };
            return Err(Failure::new(Code::Memory, words));
        }
        Ok(layout)
    }

    /// Forgets a task, whatever was being done for it. Nothing is said about it any more.
    pub fn abandon(&mut self, key: TaskKey, now: Micros) {
        let Some(task) = self.tasks.remove(&key) else { return };
        self.actions.retain(|action| !matches!(action, Action::Tell(message) if is_about(message, key)));
        for source in task.sources() {
            self.close_source(source);
        }
        if let Some(function) = task.function {
            self.functions.remove(&function);
            self.actions.push_back(Action::CloseFunction(function));
        } else if let Some(near) = task.near {
            self.give_up(near);
        }
        self.admit(now);
    }

    /// Nobody waits for this function any more, nor for what it said.
    fn give_up(&mut self, near: Neighbour) {
        let strangers = self
            .functions
            .iter()
            .filter(|(_, function)| function.task.is_none() && function.from == Caller::Near(near));
        let strangers: Vec<FunctionId> = strangers.map(|(id, _)| *id).collect();
        for id in strangers {
            self.functions.remove(&id);
            self.actions.push_back(Action::CloseFunction(id));
        }
        // A meeting that was not even begun needs no end.
        let before = self.actions.len();
        self.actions.retain(|action| *action != Action::Meet(near));
        if self.actions.len() == before {
            self.actions.push_back(Action::GiveUp(near));
        }
    }

    /// Does some work for the task whose turn it is. Says whether there was any to do.
    pub fn work(&mut self, now: Micros) -> bool {
        if self.round.is_empty() {
            let mut runnable: Vec<&Task> = self.tasks.values().filter(|task| task.is_runnable()).collect();
            runnable.sort_by_key(|task| task.rank());
            self.round = runnable.into_iter().map(|task| task.key).collect();
        }
        let Some(key) = self.round.pop_front() else { return false };
        let Some(task) = self.tasks.get_mut(&key).filter(|task| task.is_runnable()) else { return true };
        let share = i64::try_from(QUANTUM).unwrap_or(i64::MAX).saturating_mul(task.weight.cast_signed());
        task.deficit = task.deficit.saturating_add(share);
        if let Ok(allowance @ 1..) = usize::try_from(task.deficit) {
            let used = task.work(allowance, now, &mut self.told);
            task.deficit = task.deficit.saturating_sub_unsigned(used as u64);
            if !task.is_runnable() {
                // What it did not need is not saved up for later.
                task.deficit = task.deficit.min(0);
            }
            self.settle(key, now);
            self.admit(now);
        }
        true
    }

    /// Notes what time it is: ends what has waited for too long. Gives the time at which to call again at the latest,
    /// if nothing happens before.
    pub fn tick(&mut self, now: Micros) -> Option<Micros> {
        let mut wake: Option<Micros> = None;
        let mut at = |time: Micros| wake = Some(wake.map_or(time, |wake| wake.min(time)));
        let keys: Vec<TaskKey> = self.tasks.keys().copied().collect();
        for key in keys {
            let Some(task) = self.tasks.get_mut(&key) else { continue };
            if let Some(over) = task.over_since() {
                let gone = task.deadline.max(over).saturating_add(LINGER_US);
                if now >= gone {
                    self.abandon(key, now);
                } else {
                    at(gone);
                }
                continue;
            }
            if now >= task.deadline {
                let failure = task.overdue();
                task.fail_all(&failure, now, &mut self.told);
            } else {
                at(task.deadline);
                let mut failed = None;
                for operation in task.operations() {
                    match operation.watch(now) {
                        Ok(due) => due.into_iter().for_each(&mut at),
                        Err(failure) => {
                            failed.get_or_insert((operation.index(), failure));
                        }
                    }
                }
                if let Some((index, failure)) = failed {
                    task.fail(index, &failure, now, &mut self.told);
                }
            }
            self.settle(key, now);
        }
        let limit = self.limits.ticket_us;
        let mut late = Vec::new();
        // One that a task awaits may take as long as that one's time: met through memory, it cannot come again.
        let awaited: Vec<FunctionId> = self
            .functions
            .iter()
            .filter(|(_, function)| function.ticket.is_none() && self.awaits_caller(function.from))
            .map(|(id, _)| *id)
            .collect();
        let strangers = self.functions.iter_mut();
        for (id, function) in
            strangers.filter(|(id, function)| function.task.is_none() && !awaited.contains(id))
        {
            let due = function.since.saturating_add(limit);
            if now < due {
                at(due);
            } else if function.ticket.is_some() {
                function.turn_away(Failure::new(Code::TicketUnknown, "no task waits under this ticket"));
                function.since = now;
                at(now.saturating_add(limit));
            } else {
                late.push(*id);
            }
        }
        for id in late {
            self.functions.remove(&id);
            self.actions.push_back(Action::CloseFunction(id));
        }
        self.admit(now);
        wake
    }

    /// Lets waiting tasks begin, in their order, while there is memory. None overtakes one that needs more.
    pub(super) fn admit(&mut self, now: Micros) {
        loop {
            let busy = self.tasks.values().filter(|task| task.served && !task.is_over());
            let taken: usize = busy.map(Task::most_memory).sum();
            let waiting = self.tasks.values_mut().filter(|task| !task.served && !task.is_over());
            let Some(next) = waiting.min_by_key(|task| task.rank()) else { return };
            if taken.saturating_add(next.most_memory()) > self.limits.memory_bytes {
                return;
            }
            next.serve();
            let key = next.key;
            self.settle(key, now);
        }
    }

    /// Carries out what follows from a change of a task: messages, the end of a connection, the next operation.
    pub(super) fn settle(&mut self, key: TaskKey, now: Micros) {
        loop {
            self.actions.extend(self.told.drain(..).map(Action::Tell));
            let Some(task) = self.tasks.get_mut(&key) else { return };
            if let Some(source) = task.idle_source() {
                self.close_source(source);
                continue;
            }
            let before = task.is_over();
            if let Some((index, endpoint)) = task.begin(now, &mut self.told) {
                self.next_id += 1;
                let source = SourceId(self.next_id);
                task.connects(index, source);
                self.sources.insert(source, (key, index));
                self.actions.push_back(Action::Connect { source, endpoint });
                continue;
            }
            if self.told.is_empty() && before == task.is_over() {
                return;
            }
        }
    }

    fn close_source(&mut self, source: SourceId) {
        self.sources.remove(&source);
        // A connection that was not even asked for yet needs no closing.
        let before = self.actions.len();
        self.actions
            .retain(|action| !matches!(action, Action::Connect { source: asked, .. } if *asked == source));
        if self.actions.len() == before {
            self.actions.push_back(Action::CloseSource(source));
        }
    }

    fn tell(&mut self, message: FromGuest) {
        self.actions.push_back(Action::Tell(message));
    }
}

/// Whether a message is about this task.
fn is_about(message: &FromGuest, key: TaskKey) -> bool {
    match message {
        FromGuest::OperationProgress(it) => it.task == key,
        FromGuest::OperationEnded(it) => it.task == key,
        FromGuest::OperationFailed(it) => it.task == key,
        _ => false,
    }
}

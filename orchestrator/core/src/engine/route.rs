//! What guests say, brought to whom it concerns. Distrusts every guest: a message that does not belong to its sender's
//! role or task is that guest's protocol error, and nobody else's.

use fades_api::codes;
use fades_wire::address::{Neighbour, Place};
use fades_wire::control::{FromGuest, Hello, OperationName, Retrieve, Run};
use fades_wire::ids::{TaskKey, Ticket};

use super::Engine;
use super::broker::welcome;
use super::function::{Recall, protocol};
use super::periods::recall;
use super::port::{Effect, GuestInput, Now};
use super::tasks::Task;
use crate::fault::Fault;
use crate::ids::{GuestId, TaskId};
use crate::task::{OperationSpec, TaskState};

/// Enough for the broker to notice the end of its time and for its words to arrive, on a busy machine.
const LAST_WORDS_US: u64 = 250_000;

impl Engine {
    pub(super) fn guest(&mut self, guest: GuestId, input: GuestInput, now: Now) {
        if matches!(input, GuestInput::Exited(_) | GuestInput::StartFailed(_)) {
            if self.guests.get(guest).is_none() {
                return;
            }
            self.guests.gone(guest);
            self.broker.buried(guest, now, &self.config.patience);
        }
        // Guests that were stopped belong to nobody any more, so what they say ends here. A function that is gone may
        // still be heard: its last words can come after the news of its end.
        if self.broker.is(guest) {
            self.broker_input(guest, input, now);
        } else if let Some(task) = self.running.get(&guest).copied() {
            self.function_input(task, input, now);
        } else if self.dormant.is(guest)
            && let Err(why) = self.dormant.input(guest, input, now)
        {
            self.guests.stop(guest, &why, &mut self.out);
        }
    }

    fn broker_input(&mut self, guest: GuestId, input: GuestInput, now: Now) {
        let result = match input {
            GuestInput::Started { place } => {
                self.broker.started(place, now, &self.config.patience);
                Ok(())
            }
            GuestInput::Connected => Ok(()),
            GuestInput::Message(message) => self.broker_message(guest, message, now),
            GuestInput::StartFailed(fault) => Err(format!("could not be started: {}", fault.message)),
            GuestInput::ProtocolError(why) => Err(format!("broke the protocol: {why}")),
            GuestInput::Disconnected => Err("closed its control connection".into()),
            GuestInput::Exited(exit) => Err(exit.words()),
        };
        if let Err(why) = result {
            self.broker_lost(codes::BROKER_DIED, &why, now);
        }
    }

    /// # Errors
    /// Why the broker cannot be trusted any longer.
    fn broker_message(&mut self, guest: GuestId, message: FromGuest, now: Now) -> Result<(), String> {
        let ready = self.broker.ready().is_some_and(|(ready, _)| ready == guest);
        match message {
            FromGuest::Hello(hello) => {
                return self.broker.hello(&hello, now, &self.config.patience, &mut self.out);
            }
            FromGuest::Log(_) => return Ok(()),
            FromGuest::Failed(failed) => return Err(format!("gave up: {}", failed.0)),
            _ if !ready => return Err("spoke before its hello".into()),
            FromGuest::Heartbeat(beat) => return self.broker.heartbeat(beat),
            FromGuest::OperationProgress(progress) => {
                if let Some((id, task)) = self.served(progress.task)?
                    && let Some(attempt) = &mut task.attempt
                    && let Some((points, bytes)) =
                        attempt.intake.progress(progress.operation, progress.points, progress.bytes)?
                {
                    self.out.push(Effect::Progress { task: id, points, bytes });
                }
            }
            FromGuest::OperationEnded(ended) => {
                if let Some((id, task)) = self.served(ended.task)?
                    && let Some(attempt) = &mut task.attempt
                {
                    attempt.intake.ended(ended)?;
                    let summary = ended.summary;
                    if let Some((points, bytes)) =
                        attempt.intake.progress(ended.operation, summary.points, summary.bytes)?
                    {
                        self.out.push(Effect::Progress { task: id, points, bytes });
                    }
                    self.settle(id, now);
                }
            }
            FromGuest::OperationFailed(failed) => {
                let patience = self.config.patience;
                if let Some((id, task)) = self.served(failed.task)? {
                    let Some(operation) = task.spec.operations.get(usize::from(failed.operation)) else {
                        return Err(format!(
                            "failed operation {} of task {id}, which has no such",
                            failed.operation
                        ));
                    };
                    let who = format!("operation {:?} on source {:?}", operation.id, operation.source);
                    let Some(attempt) = &mut task.attempt else { return Ok(()) };
                    if let Err(fault) = attempt.failed(&who, &failed.failure, false, now, &patience) {
                        self.fail(id, fault, now);
                    }
                }
            }
            FromGuest::Started(_)
            | FromGuest::Progress(_)
            | FromGuest::ResultPart(_)
            | FromGuest::Keep(_)
            | FromGuest::Finished(_) => return Err("sent a message that only a function may send".into()),
        }
        Ok(())
    }

    /// The task that the broker speaks of; `None` for one that has ended meanwhile.
    ///
    /// # Errors
    /// When the broker was never told of the task.
    fn served(&mut self, key: TaskKey) -> Result<Option<(TaskId, &mut Task)>, String> {
        let attempt = |id: &&TaskId| {
            let attempt = self.tasks.get(id).and_then(|task| task.attempt.as_ref());
            attempt.is_some_and(|attempt| attempt.key == key)
        };
        let id = match self.tasks.get(&TaskId::from(key)) {
            Some(task) if !task.is_renamed() => TaskId::from(key),
            // What is still said of an attempt that is over.
            Some(_) => return Ok(None),
            None => match self.running.values().find(attempt) {
                Some(id) => *id,
                None => return Ok(None),
            },
        };
        match self.tasks.get_mut(&id) {
            None => Ok(None),
            Some(task) if matches!(task.state, TaskState::Streaming | TaskState::Computing) => {
                Ok(Some((id, task)))
            }
            Some(task) => Err(format!("spoke of task {id}, which is {}", task.state)),
        }
    }

    fn function_input(&mut self, id: TaskId, input: GuestInput, now: Now) {
        let patience = self.config.patience;
        let Some(attempt) = self.tasks.get_mut(&id).and_then(|task| task.attempt.as_mut()) else { return };
        if attempt.is_untold() {
            match &input {
                GuestInput::Exited(exit) => return self.begin_anew(id, &exit.words(), now),
                GuestInput::Disconnected => return self.begin_anew(id, "closed its control connection", now),
                _ => {}
            }
        }
        if let GuestInput::Exited(exit) = &input
            && attempt.is_ended_by_stall(exit)
        {
            return self.begin_after_stall(id, now);
        }
        let result = match input {
            GuestInput::Started { place } => {
                attempt.place = Some(place);
                Ok(())
            }
            GuestInput::Connected => Ok(()),
            GuestInput::Message(FromGuest::Hello(hello)) => self.function_hello(id, &hello, now),
            GuestInput::Message(message) => attempt.message(message, now, &patience),
            GuestInput::ProtocolError(why) => Err(protocol(&format!("broke the protocol: {why}"))),
            GuestInput::StartFailed(Fault { code, message }) => {
                Err(Fault::new(code, format!("the function could not be started: {message}")))
            }
            GuestInput::Disconnected => attempt.disconnected(now, &patience),
            GuestInput::Exited(exit) => attempt.exited(&exit, now, &patience),
        };
        match result {
            Ok(()) => self.settle(id, now),
            Err(fault) => self.fail(id, fault, now),
        }
    }

    /// The function is up.
    fn function_hello(&mut self, id: TaskId, hello: &Hello, now: Now) -> Result<(), Fault> {
        let patience = self.config.patience;
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        let Some(attempt) = &mut task.attempt else { return Ok(()) };
        attempt.hello(hello, now, &patience)?;
        self.serve(id, now)
    }

    /// The task's function is awake: the broker is told what to retrieve, the function where to read it, under a fresh ticket.
    pub(super) fn serve(&mut self, id: TaskId, now: Now) -> Result<(), Fault> {
        let patience = self.config.patience;
        let Some(task) = self.tasks.get_mut(&id) else { return Ok(()) };
        let Some(attempt) = &mut task.attempt else { return Ok(()) };
        if matches!(attempt.recall, Recall::Asked) {
            return Ok(());
        }
        let (guest, place, key) = (attempt.guest, attempt.place, attempt.key);
        let Some((broker, broker_place)) = self.broker.ready() else {
            // Cannot be: a task under way goes back in line the moment its broker is lost.
            return Err(Fault::new(codes::BROKER_NOT_READY, "the broker is not ready"));
        };
        task.state = TaskState::Streaming;
        let schedule = task.spec.schedule;
        let (memory, recalled) =
            recall(&mut attempt.recall, schedule.map_or(0, |schedule| schedule.state_limit));
        let shift_ns = match (schedule, task.periods.running) {
            (Some(schedule), Some(period)) => schedule.shift_ns(period),
            _ => 0,
        };
        let order = |operation: &OperationSpec| {
            let mut order = operation.order.clone();
            order.from_ns = order.from_ns.saturating_add(shift_ns);
            order.to_ns = order.to_ns.saturating_add(shift_ns);
            order
        };
        let ticket = Ticket((self.tickets)());
        let spec = &task.spec;
        let retrieve = Retrieve {
            task: key,
            ticket,
            near: match place {
                Some(Place::Near(neighbour)) => Some(neighbour),
                Some(Place::Network(_)) | None => None,
            },
            together: spec.together,
            priority: spec.priority,
            deadline_us: broker_time_us(spec.timeout_ms),
            operations: spec.operations.iter().map(order).collect(),
            budget_bytes: self.config.budget_bytes,
        };
        let names = spec
            .operations
            .iter()
            .map(|operation| OperationName { index: operation.order.index, id: operation.id.clone().into() });
        let run = Run {
            task: key,
            ticket,
            // Who shares memory with the broker in a region of its own finds it there.
            broker: place
                .filter(|place| matches!(place, Place::Near(Neighbour::Region { .. })))
                .unwrap_or(broker_place),
            operations: names.collect(),
            parameters: spec.parameters.clone(),
            result_limit: spec.terms.bytes,
            window_bytes: self.config.window_bytes,
            memory,
        };
        self.record(id, "");
        // The broker first: the ticket should be known before it is shown.
        self.out.push(Effect::Send { guest, message: welcome(now, &patience).into() });
        self.out.push(Effect::Send { guest: broker, message: retrieve.into() });
        self.out.push(Effect::Send { guest, message: run.into() });
        self.out.extend(recalled.into_iter().map(|message| Effect::Send { guest, message }));
        Ok(())
    }
}

/// The broker's part of a task's time, µs. It ends a little before the task's own, so that the task fails in the words
/// of the broker, which knows whom it waited for.
fn broker_time_us(timeout_ms: u64) -> u64 {
    let whole = timeout_ms.saturating_mul(1000);
    whole - (whole / 10).min(LAST_WORDS_US)
}

//! One task: its operations one after another, its function's credit, and the frames on their way to it.
//!
//! ```text
//! waiting --memory free--> served --last operation reported--> over --function closed--> (forgotten)
//! ```
//! Each operation is reported once: as ended when the last byte of its stream went out, or as failed. The first failure
//! fails every later operation of the task, as a part of its answers is of no use.

use super::limits::Layout;
use super::operation::{Buffers, Operation, RESERVE, Step, put};
use super::outbox::Outbox;
use super::{FunctionId, Micros, SourceId};
use fades_wire::address::{Endpoint, Neighbour};
use fades_wire::control::{self, FromGuest, OperationEnded, OperationFailed, OperationProgress, Retrieve};
use fades_wire::data::{Abort, End};
use fades_wire::failure::{Code, Failure};
use fades_wire::flow::Sender;
use fades_wire::frame::Kind;
use fades_wire::ids::{TaskKey, Ticket};
use fades_wire::message::to_body;
use std::collections::VecDeque;

/// Time between two progress reports of a task.
const PROGRESS_US: Micros = 200_000;

/// An operation whose last frame is in the outbox but not all sent.
#[derive(Debug)]
struct Leaving {
    /// Position in the outbox behind its last frame.
    until: u64,
    ended: OperationEnded,
    first_chunk_to: Micros,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) key: TaskKey,
    pub(super) ticket: Ticket,
    /// The function, if it is met in memory that both share.
    pub(super) near: Option<Neighbour>,
    pub(super) weight: u64,
    pub(super) deadline: Micros,
    pub(super) arrival: u64,
    pub(super) layout: Layout,
    pub(super) served: bool,
    pub(super) blocked: bool,
    pub(super) deficit: i64,
    pub(super) function: Option<FunctionId>,
    /// The connection of the current operation, while it is open.
    pub(super) source: Option<SourceId>,
    received: Micros,
    time_left_ms: u64,
    pending: VecDeque<control::Operation>,
    current: Option<Operation>,
    leaving: VecDeque<Leaving>,
    credit: Vec<Sender>,
    outbox: Outbox,
    spare: Option<Buffers>,
    reported: Micros,
    reported_points: u64,
    over_since: Option<Micros>,
}

impl Task {
    pub(super) fn new(order: Retrieve, layout: Layout, arrival: u64, now: Micros) -> Self {
        Self {
            key: order.task,
            ticket: order.ticket,
            near: order.near,
            weight: u64::from(order.priority) + 1,
            deadline: now.saturating_add(order.deadline_us),
            arrival,
            layout,
            served: false,
            blocked: false,
            deficit: 0,
            function: None,
            source: None,
            received: now,
            time_left_ms: order.deadline_us / 1000,
            credit: vec![Sender::default(); order.operations.len()],
            pending: order.operations.into(),
            current: None,
            leaving: VecDeque::new(),
            outbox: Outbox::new(),
            spare: None,
            reported: now,
            reported_points: 0,
            over_since: None,
        }
    }

    /// Order in which tasks get their turn: priority, then deadline, then arrival.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        (core::cmp::Reverse(self.weight), self.deadline, self.arrival)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over_since.is_some()
    }

    pub(super) fn over_since(&self) -> Option<Micros> {
        self.over_since
    }

    /// Whether there may be something to do for it without waiting.
    pub(super) fn is_runnable(&self) -> bool {
        self.served && !self.blocked && self.current.is_some()
    }

    pub(super) fn operation(&mut self) -> Option<&mut Operation> {
        self.current.as_mut()
    }

    pub(super) fn output(&self) -> &[u8] {
        self.outbox.output()
    }

    /// Memory that it takes for data, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.outbox.memory()
            + self.spare.as_ref().map_or(0, Buffers::memory)
            + self.current.as_ref().map_or(0, Operation::memory)
    }

    /// Takes its memory and begins.
    pub(super) fn serve(&mut self) {
        self.served = true;
        self.outbox.open(self.layout.outbox);
        self.spare = Some(Buffers::new(&self.layout));
    }

    /// Begins the next operation, if it is time for one. Gives the source to connect to.
    pub(super) fn begin(&mut self, now: Micros, tell: &mut VecDeque<FromGuest>) -> Option<Endpoint> {
        if !self.served || self.current.is_some() || self.is_over() {
            return None;
        }
        let Some(spec) = self.pending.pop_front() else {
            self.settle(now);
            return None;
        };
        let (index, endpoint) = (spec.index, spec.endpoint);
        let buffers = self.spare.take().unwrap_or_else(|| Buffers::new(&self.layout));
        match Operation::new(spec, buffers, now) {
            Ok(operation) => {
                self.current = Some(operation);
                self.blocked = true;
                self.reported_points = 0;
                Some(endpoint)
            }
            Err((failure, buffers)) => {
                self.spare = Some(buffers);
                self.fail(index, &failure, now, tell);
                None
            }
        }
    }

    /// Does some work. Gives how many bytes of the source's answer it used.
    pub(super) fn work(&mut self, allowance: usize, now: Micros, tell: &mut VecDeque<FromGuest>) -> usize {
        let Some(operation) = &mut self.current else { return 0 };
        let index = operation.index();
        let Some(credit) = self.credit.get_mut(usize::from(index)) else { return 0 };
        match operation.step(allowance, now, credit, &mut self.outbox) {
            Ok(Step { used, done: true, .. }) => {
                if self.outbox.room() < RESERVE {
                    self.blocked = true;
                } else {
                    self.end(now, tell);
                }
                used
            }
            Ok(Step { used, blocked, .. }) => {
                self.blocked = blocked;
                self.report(now, tell);
                used
            }
            Err(failure) => {
                self.fail(index, &failure, now, tell);
                0
            }
        }
    }

    /// Puts the end of the current operation's stream into the outbox.
    fn end(&mut self, now: Micros, tell: &mut VecDeque<FromGuest>) {
        let Some(operation) = self.current.take() else { return };
        let index = operation.index();
        let summary = operation.meter().summary(index);
        let end = to_body(&End(summary)).map_err(|error| {
            Failure::new(Code::Protocol, format!("the end of a stream cannot be written: {error}"))
        });
        let written = end.and_then(|body| put(&mut self.outbox, Kind::End, index, |out| out.extend(body)));
        let times = operation.times(self.received, now);
        let first_chunk_to = now.saturating_sub(times.send_us);
        if operation.nulls() > 0 {
            let text = format!("operation {index}: {} rows without a value were left out", operation.nulls());
            tell.push_back(control::Log::new(3, text).into());
        }
        self.spare = Some(operation.into_buffers());
        match written {
            Ok(_) => {
                let ended = OperationEnded { task: self.key, operation: index, summary, times };
                self.leaving.push_back(Leaving { until: self.outbox.put_total(), ended, first_chunk_to });
            }
            Err(failure) => self.fail(index, &failure, now, tell),
        }
    }

    fn report(&mut self, now: Micros, tell: &mut VecDeque<FromGuest>) {
        let Some(operation) = &self.current else { return };
        let (points, bytes) = (operation.meter().points(), operation.meter().bytes());
        if points == self.reported_points || now.saturating_sub(self.reported) < PROGRESS_US {
            return;
        }
        (self.reported, self.reported_points) = (now, points);
        tell.push_back(
            OperationProgress { task: self.key, operation: operation.index(), points, bytes }.into(),
        );
    }

    /// Fails the operation of this index, and with it all that are not reported yet but those that are being sent.
    pub(super) fn fail(
        &mut self,
        index: u16,
        failure: &Failure,
        now: Micros,
        tell: &mut VecDeque<FromGuest>,
    ) {
        let abort = to_body(&Abort(failure.clone()));
        if let Ok(body) = abort {
            // A connection that takes no more frames is closed by the broker; nothing else is left to say on it.
            let _ = put(&mut self.outbox, Kind::Abort, index, |out| out.extend(body));
        }
        self.current = None;
        tell.push_back(OperationFailed { task: self.key, operation: index, failure: failure.clone() }.into());
        self.drop_pending(index, failure, tell);
        self.settle(now);
    }

    /// Fails whatever is not reported yet, those that are being sent included: nobody will receive them.
    pub(super) fn fail_all(&mut self, failure: &Failure, now: Micros, tell: &mut VecDeque<FromGuest>) {
        for Leaving { ended, .. } in core::mem::take(&mut self.leaving) {
            let failed =
                OperationFailed { task: self.key, operation: ended.operation, failure: failure.clone() };
            tell.push_back(failed.into());
        }
        let first = self
            .current
            .as_ref()
            .map(Operation::index)
            .or_else(|| self.pending.pop_front().map(|spec| spec.index));
        match first {
            Some(index) => self.fail(index, failure, now, tell),
            None => self.settle(now),
        }
    }

    fn drop_pending(&mut self, failed: u16, failure: &Failure, tell: &mut VecDeque<FromGuest>) {
        for spec in core::mem::take(&mut self.pending) {
            let words = format!("not asked, as operation {failed} failed: {}", failure.message);
            let failure = Failure::new(failure.code, words);
            tell.push_back(OperationFailed { task: self.key, operation: spec.index, failure }.into());
        }
    }

    /// Notes that the function's connection took `count` bytes.
    pub(super) fn sent(&mut self, count: usize, now: Micros, tell: &mut VecDeque<FromGuest>) {
        self.outbox.advance(count);
        self.blocked = false;
        while let Some(leaving) = self.leaving.front()
            && leaving.until <= self.outbox.sent_total()
        {
            let mut ended = leaving.ended;
            if ended.summary.chunks > 0 {
                ended.times.send_us = now.saturating_sub(leaving.first_chunk_to);
            }
            tell.push_back(ended.into());
            self.leaving.pop_front();
        }
        self.settle(now);
    }

    /// Takes credit from the function.
    pub(super) fn grant(&mut self, stream: u32, bytes: u64) -> Result<(), Failure> {
        let credit = usize::try_from(stream).ok().and_then(|index| self.credit.get_mut(index));
        let credit = credit.ok_or_else(|| {
            Failure::new(
                Code::Protocol,
                format!("the function grants credit on stream {stream}, which is none"),
            )
        })?;
        credit
            .grant(bytes)
            .map_err(|error| Failure::new(Code::Protocol, format!("the function's {error}")))?;
        self.blocked = false;
        Ok(())
    }

    /// What to say when the task's time is up.
    pub(super) fn overdue(&self) -> Failure {
        let whom = match (&self.current, self.function) {
            _ if !self.served => "for its turn at the broker",
            (Some(operation), Some(_)) => operation.waits_for(),
            (Some(operation), None) if !operation.has_points() => operation.waits_for(),
            (None, Some(_)) => "for the function to take points",
            (_, None) => "for its function to connect",
        };
        Failure::new(
            Code::Deadline,
            format!("the task's time of {} ms was up, waiting {whom}", self.time_left_ms),
        )
    }

    /// Notes the end once everything is reported, and gives the memory back once everything is sent.
    fn settle(&mut self, now: Micros) {
        if self.current.is_some() || !self.pending.is_empty() || !self.leaving.is_empty() {
            return;
        }
        if self.over_since.is_none() {
            self.over_since = Some(now);
            self.spare = None;
            self.outbox.shrink();
        }
    }
}

//! One task: its operations, its function's credit, and the frames on their way to it.
//!
//! ```text
//! waiting --memory free--> served --last operation reported--> over --function closed--> (forgotten)
//! ```
//! Operations are served one after another, or all side by side if the function takes them like that: then each has buffers of its
//! own, while the frames of all go through one outbox. One whose credit is used up holds its source back and nobody else.
//!
//! Each operation is reported once: as ended when the last byte of its stream went out, or as failed. The first failure
//! fails every other operation of the task that has not ended, as a part of its answers is of no use.

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

/// Time between two progress reports of an operation.
const PROGRESS_US: Micros = 200_000;

/// An operation whose last frame is in the outbox but not all sent.
#[derive(Debug)]
struct Leaving {
    /// Position in the outbox behind its last frame.
    until: u64,
    ended: OperationEnded,
    first_chunk_to: Micros,
}

/// An operation under way.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) operation: Operation,
    /// Its connection, while that is open.
    source: Option<SourceId>,
    /// Nothing can be done for it until something happens.
    pub(super) blocked: bool,
    reported: Micros,
    reported_points: u64,
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
    pub(super) deficit: i64,
    pub(super) function: Option<FunctionId>,
    received: Micros,
    time_left_ms: u64,
    /// How many operations are served at once.
    width: usize,
    pending: VecDeque<control::Operation>,
    /// In the order of their indices.
    current: Vec<Serving>,
    /// Which of them is worked for next: this one, or the next behind it.
    turn: u16,
    /// Connections of operations that are over.
    closing: Vec<SourceId>,
    leaving: VecDeque<Leaving>,
    credit: Vec<Sender>,
    outbox: Outbox,
    spare: Option<Buffers>,
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
            deficit: 0,
            function: None,
            received: now,
            time_left_ms: order.deadline_us / 1000,
            credit: vec![Sender::default(); order.operations.len()],
            width: width(&order),
            pending: order.operations.into(),
            current: Vec::new(),
            turn: 0,
            closing: Vec::new(),
            leaving: VecDeque::new(),
            outbox: Outbox::new(),
            spare: None,
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
        self.served && self.current.iter().any(|serving| !serving.blocked)
    }

    /// The operation of this index, if it is under way.
    pub(super) fn serving(&mut self, index: u16) -> Option<&mut Serving> {
        self.current.iter_mut().find(|serving| serving.operation.index() == index)
    }

    /// Operations under way.
    pub(super) fn operations(&mut self) -> impl Iterator<Item = &mut Operation> {
        self.current.iter_mut().map(|serving| &mut serving.operation)
    }

    /// Something has happened that any operation may have waited for.
    pub(super) fn unblock(&mut self) {
        self.current.iter_mut().for_each(|serving| serving.blocked = false);
    }

    pub(super) fn output(&self) -> &[u8] {
        self.outbox.output()
    }

    /// Memory that it takes for data, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.outbox.memory()
            + self.spare.as_ref().map_or(0, Buffers::memory)
            + self.current.iter().map(|serving| serving.operation.memory()).sum::<usize>()
    }

    /// Most memory that it takes while it is served, in bytes.
    pub(super) fn most_memory(&self) -> usize {
        self.layout.memory().saturating_mul(self.width)
    }

    /// Takes its memory and begins.
    pub(super) fn serve(&mut self) {
        self.served = true;
        self.outbox.open(self.layout.outbox);
    }

    /// Begins the next operation, if it is time for one. Gives its index and the source to connect to.
    pub(super) fn begin(&mut self, now: Micros, tell: &mut VecDeque<FromGuest>) -> Option<(u16, Endpoint)> {
        if !self.served || self.current.len() >= self.width || self.is_over() {
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
                let serving =
                    Serving { operation, source: None, blocked: true, reported: now, reported_points: 0 };
                self.current.push(serving);
                Some((index, endpoint))
            }
            Err((failure, buffers)) => {
                self.spare = Some(buffers);
                self.fail(index, &failure, now, tell);
                None
            }
        }
    }

    /// Names the connection of an operation that has begun.
    pub(super) fn connects(&mut self, index: u16, source: SourceId) {
        if let Some(serving) = self.serving(index) {
            serving.source = Some(source);
        }
    }

    /// A connection that no operation needs any more.
    pub(super) fn idle_source(&mut self) -> Option<SourceId> {
        let through = |serving: &&mut Serving| !serving.operation.needs_source();
        let mut idle = self.current.iter_mut().filter(through);
        self.closing.pop().or_else(|| idle.find_map(|serving| serving.source.take()))
    }

    /// Every connection that is open.
    pub(super) fn sources(&self) -> impl Iterator<Item = SourceId> {
        let current = self.current.iter().filter_map(|serving| serving.source);
        current.chain(self.closing.iter().copied())
    }

    /// Does some work, for one operation after the other. Gives how many bytes of the sources' answers it used.
    pub(super) fn work(&mut self, allowance: usize, now: Micros, tell: &mut VecDeque<FromGuest>) -> usize {
        let (mut used, mut next, mut waits) = (0, self.turn, None);
        for _ in 0..self.current.len() {
            if used >= allowance {
                break;
            }
            let behind = |serving: &Serving| !serving.blocked && serving.operation.index() >= next;
            let place = self.current.iter().position(behind);
            let Some(place) = place.or_else(|| self.current.iter().position(|serving| !serving.blocked))
            else {
                break;
            };
            let index = self.current[place].operation.index();
            let (count, crowded) = self.step(place, allowance - used, now, tell);
            used += count;
            next = index.saturating_add(1);
            // Who had no room for a chunk comes first when there is some, or others might always be faster.
            if crowded {
                waits.get_or_insert(index);
            }
        }
        self.turn = waits.unwrap_or(next);
        used
    }

    /// Gives how many bytes of the source's answer it used, and whether the outbox had no room for its chunk.
    fn step(
        &mut self,
        place: usize,
        allowance: usize,
        now: Micros,
        tell: &mut VecDeque<FromGuest>,
    ) -> (usize, bool) {
        let serving = &mut self.current[place];
        let index = serving.operation.index();
        let Some(credit) = self.credit.get_mut(usize::from(index)) else { return (0, false) };
        match serving.operation.step(allowance, now, credit, &mut self.outbox) {
            Ok(Step { used, done: true, .. }) => {
                if self.outbox.room() < RESERVE {
                    serving.blocked = true;
                } else {
                    self.end(place, now, tell);
                }
                (used, false)
            }
            Ok(Step { used, blocked, crowded, .. }) => {
                serving.blocked = blocked;
                serving.report(self.key, now, tell);
                (used, crowded)
            }
            Err(failure) => {
                self.fail(index, &failure, now, tell);
                (0, false)
            }
        }
    }

    /// Puts the end of an operation's stream into the outbox.
    fn end(&mut self, place: usize, now: Micros, tell: &mut VecDeque<FromGuest>) {
        let Serving { operation, source, .. } = self.current.remove(place);
        self.closing.extend(source);
        let index = operation.index();
        let (summary, fewest) = (operation.meter().summary(index), operation.meter().fewest());
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
        self.spare = (!self.pending.is_empty()).then(|| operation.into_buffers());
        match written {
            Ok(_) => {
                let ended = OperationEnded { task: self.key, operation: index, summary, fewest, times };
                self.leaving.push_back(Leaving { until: self.outbox.put_total(), ended, first_chunk_to });
            }
            Err(failure) => self.fail(index, &failure, now, tell),
        }
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
        tell.push_back(OperationFailed { task: self.key, operation: index, failure: failure.clone() }.into());
        self.drop_others(index, failure, tell);
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
            .first()
            .map(|serving| serving.operation.index())
            .or_else(|| self.pending.pop_front().map(|spec| spec.index));
        match first {
            Some(index) => self.fail(index, failure, now, tell),
            None => self.settle(now),
        }
    }

    /// Ends what is under way and what waits, as operation `failed` failed.
    fn drop_others(&mut self, failed: u16, failure: &Failure, tell: &mut VecDeque<FromGuest>) {
        let mut drop = |operation: u16, how: &str| {
            let words = format!("{how}, as operation {failed} failed: {}", failure.message);
            let failure = Failure::new(failure.code, words);
            tell.push_back(OperationFailed { task: self.key, operation, failure }.into());
        };
        for Serving { operation, source, .. } in self.current.drain(..) {
            self.closing.extend(source);
            if operation.index() != failed {
                drop(operation.index(), "broken off");
            }
        }
        for spec in self.pending.drain(..) {
            drop(spec.index, "not asked");
        }
    }

    /// Notes that the function's connection took `count` bytes.
    pub(super) fn sent(&mut self, count: usize, now: Micros, tell: &mut VecDeque<FromGuest>) {
        self.outbox.advance(count);
        self.unblock();
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
        if let Some(serving) = u16::try_from(stream).ok().and_then(|index| self.serving(index)) {
            serving.blocked = false;
        }
        Ok(())
    }

    /// What to say when the task's time is up.
    pub(super) fn overdue(&self) -> Failure {
        // Of several, the one that keeps the others waiting.
        let operations = || self.current.iter().map(|serving| &serving.operation);
        let operation = operations().find(|operation| operation.waits_for_source());
        let whom = match (operation.or_else(|| operations().next()), self.function) {
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
        if !self.current.is_empty() || !self.pending.is_empty() || !self.leaving.is_empty() {
            return;
        }
        if self.over_since.is_none() {
            self.over_since = Some(now);
            self.spare = None;
            self.outbox.shrink();
        }
    }
}

impl Serving {
    fn report(&mut self, task: TaskKey, now: Micros, tell: &mut VecDeque<FromGuest>) {
        let (points, bytes) = (self.operation.meter().points(), self.operation.meter().bytes());
        if points == self.reported_points || now.saturating_sub(self.reported) < PROGRESS_US {
            return;
        }
        (self.reported, self.reported_points) = (now, points);
        tell.push_back(OperationProgress { task, operation: self.operation.index(), points, bytes }.into());
    }
}

/// How many of a task's operations are served at once.
pub(super) fn width(order: &Retrieve) -> usize {
    if order.together { order.operations.len() } else { 1 }
}

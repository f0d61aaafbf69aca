//! Single stories of the broker: tickets, turns, times and words.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed; its numbers are small"
)]

mod support;

use fades_drb::broker::{Action, Broker, Caller, FunctionId, Layout, Limits, Micros, SourceId};
use fades_wire::address::Neighbour;
use fades_wire::control::{FromGuest, Retrieve};
use fades_wire::data::{Abort, Credit, Open, ToBroker};
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::{Decoder, Kind};
use fades_wire::message::from_body;
use std::net::{IpAddr, Ipv4Addr};
use support::function::Peer;
use support::{Dice, HEAD, TIMEOUT_MS, answer, data, documents, key, order, ticket};

const SECOND: Micros = 1_000_000;
const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 3));
const FLOODER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 4));

/// A broker with what it wants done.
struct Story {
    broker: Broker,
    connects: Vec<(SourceId, u16)>,
    closed: Vec<FunctionId>,
    meetings: Vec<Neighbour>,
    ends: Vec<(usize, u16, Result<u64, Failure>)>,
    progress: usize,
    logs: usize,
}

impl Story {
    fn new(limits: Limits) -> Self {
        let broker = Broker::new(limits);
        Self {
            broker,
            connects: vec![],
            closed: vec![],
            meetings: vec![],
            ends: vec![],
            progress: 0,
            logs: 0,
        }
    }

    fn told(&mut self) {
        while let Some(action) = self.broker.next_action() {
            match action {
                Action::Connect { source, endpoint } => self.connects.push((source, endpoint.port)),
                Action::CloseSource(source) => self.connects.retain(|(open, _)| *open != source),
                Action::CloseFunction(id) => self.closed.push(id),
                Action::Meet(near) => self.meetings.push(near),
                Action::GiveUp(near) => self.meetings.retain(|met| *met != near),
                Action::Tell(FromGuest::OperationEnded(it)) => {
                    let (points, series) = (it.summary.points, u64::from(it.summary.series));
                    assert!(it.fewest * series <= points && (it.fewest > 0) == (points > 0), "{it:?}");
                    self.ends.push((number(it.task.0), it.operation, Ok(points)));
                }
                Action::Tell(FromGuest::OperationFailed(it)) => {
                    self.ends.push((number(it.task.0), it.operation, Err(it.failure)));
                }
                Action::Tell(FromGuest::OperationProgress(_)) => self.progress += 1,
                Action::Tell(_) => self.logs += 1,
            }
        }
    }

    fn retrieve(&mut self, order: Retrieve) {
        self.broker.retrieve(order, 0);
        self.told();
    }

    /// Connects the newest source and takes its request.
    fn answering(&mut self, now: Micros) -> SourceId {
        let source = self.connects.last().unwrap().0;
        self.broker.source_connected(source);
        let length = self.broker.source_output(source).len();
        assert!(self.broker.source_output(source).starts_with(b"GET /query?db=db&"));
        self.broker.source_sent(source, length, now);
        source
    }

    fn give(&mut self, source: SourceId, mut bytes: &[u8], now: Micros) {
        while !bytes.is_empty() {
            let space = self.broker.source_space(source).expect("room for the answer");
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.broker.source_received(source, count, now);
            while self.broker.work(now) {}
        }
        self.told();
    }

    fn function(&mut self, task: usize, credit: u64) -> FunctionId {
        let id = self.broker.function_connected(SOMEBODY, 0);
        let mut bytes = Peer::new(1, 0).open(ticket(task));
        if credit > 0 {
            bytes = messages(&[
                ToBroker::Open(Open { ticket: ticket(task) }),
                ToBroker::Credit(Credit { bytes: credit }),
            ]);
        }
        self.broker.function_received(id, &bytes, 0);
        self.told();
        id
    }

    /// Takes all there is for a function.
    fn drain(&mut self, id: FunctionId) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.broker.function_output(id).is_empty() {
            let output = self.broker.function_output(id);
            let count = output.len();
            all.extend(output);
            self.broker.function_sent(id, count, 0);
        }
        self.told();
        all
    }

    /// Takes all there is for a function, from its first frame, and gives the abort in it, if there is one.
    fn abort(&mut self, id: FunctionId) -> Option<Code> {
        let mut decoder = Decoder::data();
        decoder.push(&self.drain(id));
        let mut code = None;
        while let Some(frame) = decoder.next().unwrap() {
            if frame.kind == Kind::Abort {
                code = Some(from_body::<Abort>(frame.body).unwrap().0.code);
            }
        }
        code
    }

    fn failure(&self, place: usize) -> &Failure {
        self.ends[place].2.as_ref().unwrap_err()
    }
}

fn number(key: [u8; 16]) -> usize {
    u128::from_be_bytes(key) as usize - 1
}

fn messages(list: &[ToBroker]) -> Vec<u8> {
    let (mut peer, mut out) = (Peer::new(1, 0), Vec::new());
    list.iter().for_each(|message| peer.say(0, message, &mut out));
    out
}

fn good(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let data = data(&mut dice, 2, 500);
    answer(&documents(&data, 100), &mut dice, 2048)
}

#[test]
fn a_ticket_admits_once() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 1, 1 << 20));
    let first = story.function(0, 0);
    let second = story.function(0, 0);
    story.broker.tick(6 * SECOND);
    assert_eq!(story.abort(second), Some(Code::TicketUnknown));
    assert_eq!(story.closed, [second]);
    assert_eq!(story.abort(first), None);
    // Once its task is over, the ticket is worth nothing.
    story.broker.function_closed(first, 0);
    story.told();
    assert_eq!(story.failure(0).code, Code::ClosedEarly);
    let third = story.function(0, 0);
    story.broker.tick(20 * SECOND);
    assert_eq!(story.abort(third), Some(Code::TicketUnknown));
}

#[test]
fn a_function_may_come_before_its_order() {
    let mut story = Story::new(Limits::default());
    let function = story.function(0, 1 << 30);
    story.retrieve(order(0, 1, 1 << 20));
    let source = story.answering(0);
    story.give(source, &good(1), 0);
    assert_eq!(story.abort(function), None);
    assert!(matches!(story.ends[..], [(0, 0, Ok(_))]));
}

#[test]
fn the_same_answer_makes_the_same_chunks_however_it_comes() {
    let mut dice = Dice::new(7);
    let data = data(&mut dice, 3, 4000);
    let body = documents(&data, 1000);
    let mut seen = Vec::new();
    for (piece, window) in [(usize::MAX, 1 << 30), (1009, 1 << 18), (50, 1 << 16)] {
        let mut story = Story::new(Limits::default());
        story.retrieve(order(0, 1, Layout::MIN_BUDGET));
        let (mut peer, id) = (Peer::new(1, window), story.broker.function_connected(SOMEBODY, 0));
        let opening = peer.open(ticket(0));
        story.broker.function_received(id, &opening, 0);
        let source = story.answering(0);
        let answer = answer(&body, &mut dice, 700);
        let mut rest = &answer[..];
        let mut pieces = 0;
        while story.ends.is_empty() {
            if let Some(space) = story.broker.source_space(source) {
                let count = space.len().min(rest.len()).min(piece);
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                story.broker.source_received(source, count, 0);
            }
            while story.broker.work(0) {}
            let bytes = story.drain(id);
            peer.hear(&bytes);
            pieces += usize::from(!bytes.is_empty());
            // The larger the window, the longer it lets the broker wait for credit.
            let grants = peer.grants((window < 1 << 30).then_some(&mut dice));
            story.broker.function_received(id, &grants, 0);
            story.told();
        }
        assert!(pieces > 3, "it went in {pieces} pieces");
        let summary = peer.streams[0].meter.summary(0);
        assert!(summary.chunks > 6, "{summary:?}");
        seen.push(summary);
    }
    assert!(seen.iter().all(|summary| *summary == seen[0]), "{seen:#?}");
    assert_eq!(seen[0].points, data.iter().map(|(_, points)| points.len() as u64).sum::<u64>());
}

#[test]
fn g10_strangers_are_few_and_do_not_stay() {
    let limits = Limits { strangers: 3, ..Limits::default() };
    let mut broker = Broker::new(limits);
    let quiet = broker.function_connected(SOMEBODY, 0);
    let flood: Vec<FunctionId> = (1..10).map(|now| broker.function_connected(FLOODER, now)).collect();
    let gone: Vec<Action> = std::iter::from_fn(|| broker.next_action()).collect();
    // The one that came first and has one place keeps it; the other loses its oldest, one by one.
    assert_eq!(gone, flood[..7].iter().map(|id| Action::CloseFunction(*id)).collect::<Vec<_>>());
    assert_eq!(broker.tick(limits.ticket_us - 1), Some(limits.ticket_us));
    assert_eq!(broker.next_action(), None);
    broker.tick(limits.ticket_us);
    assert_eq!(broker.next_action(), Some(Action::CloseFunction(quiet)));
}

#[test]
fn who_is_met_for_a_task_is_no_stranger() {
    let limits = Limits { strangers: 3, ..Limits::default() };
    let mut story = Story::new(limits);
    let near = |task| Neighbour::Region { number: 1 + task as u16, turn: 1 };
    let meet = |task| Retrieve { near: Some(near(task)), ..order(task, 1, 1 << 20) };
    // More of them in one round than there may be strangers, and one of those.
    (0..20).for_each(|task| story.retrieve(meet(task)));
    let quiet = story.broker.function_connected(SOMEBODY, 0);
    let met: Vec<FunctionId> =
        (0..20).map(|task| story.broker.function_connected(Caller::Near(near(task)), 0)).collect();
    story.told();
    assert_eq!(story.closed, [], "each has its task");
    // They may take their time to show their tickets; the stranger may not.
    story.broker.tick(limits.ticket_us);
    story.told();
    assert_eq!(story.closed, [quiet]);
    for (task, id) in met.iter().enumerate() {
        story.broker.function_received(*id, &Peer::new(1, 0).open(ticket(task)), limits.ticket_us);
        assert!(!story.broker.awaits(near(task)));
    }
    // One for which no task waits any more is a stranger again.
    let mut other = story.broker.function_connected(Caller::Near(near(0)), 0);
    for _ in 0..3 {
        other = story.broker.function_connected(Caller::Near(near(0)), 0);
    }
    story.told();
    assert!(story.closed.len() == 2 && !story.closed.contains(&other), "{:?}", story.closed);
}

#[test]
fn g9_what_a_function_must_not_say() {
    let open = ToBroker::Open(Open { ticket: ticket(0) });
    let credit = |bytes| ToBroker::Credit(Credit { bytes });
    let mut damaged = messages(&[open.clone(), credit(5)]);
    *damaged.last_mut().unwrap() ^= 1;
    let first = messages(std::slice::from_ref(&open));
    let twice = [first.clone(), first].concat();
    let mut elsewhere = messages(std::slice::from_ref(&open));
    let mut peer = Peer::new(1, 0);
    peer.say(3, &credit(5), &mut elsewhere);
    for (bytes, code) in [
        (messages(&[open.clone(), open.clone()]), Code::Protocol),
        (messages(&[open, credit(u64::MAX), credit(1)]), Code::Protocol),
        (elsewhere, Code::Protocol),
        (twice, Code::Sequence),
        (damaged, Code::Crc),
    ] {
        let mut story = Story::new(Limits::default());
        story.retrieve(order(0, 2, 1 << 20));
        let id = story.broker.function_connected(SOMEBODY, 0);
        story.broker.function_received(id, &bytes, 0);
        story.told();
        assert_eq!((story.failure(0).code, story.failure(1).code), (code, code), "{:?}", story.failure(0));
        assert!(story.connects.is_empty(), "its source is closed");
        assert_eq!(story.abort(id), Some(code));
        // Nothing that it says later changes that.
        story.broker.function_received(id, &bytes, 0);
        story.told();
        assert_eq!(story.ends.len(), 2);
    }
}

#[test]
fn silence_has_words_for_each_stage() {
    let timeout = Micros::from(TIMEOUT_MS) * 1000;
    let stages: [(usize, Code, &str); 4] = [
        (0, Code::SourceUnreachable, "no connection to the source within 2000 ms"),
        (1, Code::SourceSilent, "did not take the request for 2000 ms"),
        (2, Code::SourceSilent, "did not answer within 2000 ms"),
        (3, Code::SourceSilent, "fell silent for 2000 ms, after 0 points"),
    ];
    for (stage, code, words) in stages {
        let mut story = Story::new(Limits::default());
        story.retrieve(order(0, 1, 1 << 20));
        let source = story.connects[0].0;
        match stage {
            0 => {}
            1 => story.broker.source_connected(source),
            _ => drop(story.answering(0)),
        }
        if stage == 3 {
            story.give(source, HEAD, 0);
        }
        assert_eq!(story.broker.tick(0), Some(timeout));
        story.broker.tick(timeout - 1);
        story.told();
        assert!(story.ends.is_empty());
        story.broker.tick(timeout);
        story.told();
        let failure = story.failure(0);
        assert!(failure.code == code && failure.message.contains(words), "{failure}");
    }
}

#[test]
fn a_source_that_must_wait_is_not_silent() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 1, Layout::MIN_BUDGET));
    let source = story.answering(0);
    let mut dice = Dice::new(3);
    let all = vec![("r".to_owned(), (0..20_000).map(|at| (at, 1.0)).collect())];
    let bytes = answer(&documents(&all, 5000), &mut dice, 2048);
    let mut at = 0;
    while let Some(space) = story.broker.source_space(source) {
        let count = space.len().min(bytes.len() - at);
        space[..count].copy_from_slice(&bytes[at..at + count]);
        at += count;
        story.broker.source_received(source, count, 0);
        while story.broker.work(0) {}
    }
    assert!(at < bytes.len() / 2, "without a function, only the budget is fetched");
    story.broker.tick(30 * SECOND);
    story.told();
    assert!(story.ends.is_empty());
    story.broker.tick(60 * SECOND);
    story.told();
    let failure = story.failure(0);
    assert_eq!(failure.code, Code::Deadline);
    assert_eq!(failure.message, "the task's time of 60000 ms was up, waiting for its function to connect");
}

#[test]
fn orders_that_cannot_be_served() {
    let limits = Limits { tasks: 1, memory_bytes: 1_000_000, ..Limits::default() };
    let mut wrong_place = order(0, 2, 1 << 20);
    wrong_place.operations.swap(0, 1);
    for (order, code, count) in [
        (order(0, 2, 1000), Code::Memory, 2),
        (order(0, 1, 2 << 20), Code::Memory, 1),
        (wrong_place, Code::Protocol, 2),
    ] {
        let mut story = Story::new(limits);
        story.retrieve(order);
        assert_eq!(story.ends.len(), count);
        assert!((0..count).all(|place| story.failure(place).code == code));
        assert_eq!((story.broker.task_count(), story.connects.len()), (0, 0));
    }
    let mut story = Story::new(limits);
    story.retrieve(order(0, 0, 1 << 20));
    assert_eq!((story.logs, story.broker.task_count()), (1, 0));
    story.retrieve(order(0, 1, 500_000));
    story.retrieve(order(1, 1, 500_000));
    assert_eq!((story.ends[0].0, story.failure(0).code), (1, Code::Memory));
}

fn side_by_side(task: usize, operations: usize, budget_bytes: u64) -> Retrieve {
    Retrieve { together: true, ..order(task, operations, budget_bytes) }
}

#[test]
fn operations_side_by_side_are_asked_at_once_and_end_in_any_order() {
    let mut story = Story::new(Limits::default());
    story.retrieve(side_by_side(0, 3, 1 << 20));
    let ports: Vec<u16> = story.connects.iter().map(|(_, port)| *port).collect();
    assert_eq!(ports, [0, 1, 2]);
    // Who comes last is not begun before its turn where they go one after another.
    story.retrieve(order(1, 3, 1 << 20));
    assert_eq!(story.connects.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [0, 1, 2, 64]);
    story.broker.abandon(key(1), 0);
    story.told();
    let id = story.broker.function_connected(SOMEBODY, 0);
    let mut peer = Peer::new(3, 1 << 30);
    let mut bytes = peer.open(ticket(0));
    bytes.extend(peer.grants(None));
    story.broker.function_received(id, &bytes, 0);
    for expected in [2, 1, 0] {
        let source = story.answering(0);
        story.give(source, &good(u64::from(expected)), 0);
        story.drain(id);
        assert!(matches!(story.ends.last(), Some((0, at, Ok(_))) if *at == expected), "{:?}", story.ends);
        // Its connection is closed with it, and what it took is given back.
        assert_eq!(story.connects.len(), usize::from(expected));
    }
    assert_eq!((story.ends.len(), story.broker.memory_of(key(0))), (3, 0));
}

#[test]
fn side_by_side_the_one_that_keeps_the_others_waiting_is_named() {
    let mut story = Story::new(Limits::default());
    story.retrieve(side_by_side(0, 2, 1 << 20));
    let id = story.function(0, 1);
    // The second's answer is there and has no credit; the first has not answered.
    let second = story.answering(0);
    let bytes = good(1);
    let space = story.broker.source_space(second).unwrap();
    space[..bytes.len()].copy_from_slice(&bytes);
    story.broker.source_received(second, bytes.len(), 0);
    while story.broker.work(0) {}
    story.broker.tick(60 * SECOND);
    story.told();
    let words = "the task's time of 60000 ms was up, waiting for a connection to the source";
    assert_eq!(story.failure(0).message, words);
    assert_eq!(story.failure(1).message, format!("broken off, as operation 0 failed: {words}"));
    assert_eq!(story.abort(id), Some(Code::Deadline));
    assert_eq!((story.ends.len(), story.connects.len()), (2, 0));
}

#[test]
fn operations_side_by_side_take_their_memory_each_or_are_refused() {
    let budget = 1 << 20;
    let each = Layout::of(budget).unwrap().memory();
    let mut story = Story::new(Limits { memory_bytes: 2 * each, ..Limits::default() });
    story.retrieve(side_by_side(0, 3, budget));
    let words = format!(
        "3 operations side by side take {each} bytes each, and the broker has {}, enough for 2",
        2 * each
    );
    assert_eq!((story.failure(2).code, story.failure(2).message.as_str()), (Code::Memory, words.as_str()));
    // Two fit, and then nothing else does.
    story.retrieve(side_by_side(1, 2, budget));
    story.retrieve(order(2, 1, budget));
    assert_eq!(story.connects.len(), 2);
    assert!(story.broker.memory_of(key(1)) > each);
    story.broker.abandon(key(1), 0);
    story.told();
    assert_eq!(story.connects.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [128]);
}

#[test]
fn the_same_order_again_begins_anew() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 1, 1 << 20));
    let source = story.answering(0);
    story.retrieve(order(0, 1, 1 << 20));
    assert_eq!((story.connects.len(), story.ends.len()), (1, 0));
    assert_ne!(story.connects[0].0, source);
}

#[test]
fn turns_go_by_priority_then_deadline_then_arrival() {
    let mut story = Story::new(Limits { memory_bytes: 1_500_000, ..Limits::default() });
    for (task, priority, deadline_s) in [(0, 0, 60), (1, 5, 60), (2, 5, 60), (3, 5, 50), (4, 9, 60)] {
        let mut order = order(task, 1, 1 << 20);
        order.priority = priority;
        order.deadline_us = deadline_s * SECOND;
        story.retrieve(order);
    }
    let mut turns = Vec::new();
    while let Some((source, port)) = story.connects.last().copied() {
        turns.push(port / 64);
        assert_eq!(story.connects.len(), 1, "memory for one at a time");
        story.broker.source_closed(source, Some("gone".into()), 0);
        story.told();
    }
    assert_eq!(turns, [0, 4, 3, 1, 2]);
}

#[test]
fn the_first_failure_is_the_task_s() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 3, 1 << 20));
    let function = story.function(0, 1 << 30);
    let source = story.answering(0);
    story.give(source, &good(7), 0);
    let source = story.answering(0);
    story.give(source, b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\n\r\n", 0);
    assert_eq!(story.abort(function), Some(Code::SourceStatus));
    assert!(story.connects.is_empty(), "the third is not asked");
    let mut ends = std::mem::take(&mut story.ends);
    ends.sort_by_key(|end| end.1);
    assert!(ends[0].2.is_ok());
    let words: Vec<_> = ends[1..].iter().map(|end| end.2.as_ref().unwrap_err().message.as_str()).collect();
    assert_eq!(words[0], "the source answered with status 302: redirections are not followed");
    assert!(words[1].starts_with("not asked, as operation 1 failed: the source answered"), "{}", words[1]);
}

#[test]
fn progress_is_told_five_times_a_second() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 1, 1 << 20));
    let function = story.function(0, 1 << 40);
    let source = story.answering(0);
    let mut dice = Dice::new(3);
    let all = vec![("r".to_owned(), (0..400_000).map(|at| (at, 1.0)).collect())];
    let bytes = answer(&documents(&all, 10_000), &mut dice, 2048);
    let pieces = bytes.chunks(10_000);
    let count = pieces.len();
    for (place, piece) in pieces.enumerate() {
        story.give(source, piece, (2 * SECOND * place as Micros) / count as Micros);
        story.drain(function);
    }
    assert!((8..=10).contains(&story.progress), "{} reports in two seconds", story.progress);
    assert!(matches!(story.ends[..], [(0, 0, Ok(400_000))]));
}

#[test]
fn a_function_in_a_domain_is_met_there() {
    let mut story = Story::new(Limits::default());
    let meet = |task| Retrieve { near: Some(Neighbour::Domain(7 + task as u16)), ..order(task, 1, 1 << 20) };
    story.retrieve(meet(0));
    story.retrieve(meet(1));
    story.retrieve(order(2, 1, 1 << 20));
    assert_eq!(story.meetings, [7, 8].map(Neighbour::Domain), "who comes to the data port is not met");
    assert_eq!(
        [7, 8, 9].map(Neighbour::Domain).map(|domain| story.broker.awaits(domain)),
        [true, true, false]
    );
    let other = story.broker.function_connected(Caller::Near(Neighbour::Domain(9)), 0);
    story.broker.function_received(other, &Peer::new(1, 0).open(ticket(0)), 0);
    let function = story.broker.function_connected(Caller::Near(Neighbour::Domain(7)), 0);
    story.broker.function_received(function, &Peer::new(1, 0).open(ticket(0)), 0);
    assert!(!story.broker.awaits(Neighbour::Domain(7)) && story.broker.awaits(Neighbour::Domain(8)));
    // A meeting that failed is no news for a task whose function is there, nor for tasks of others.
    for domain in [7, 8, 9].map(Neighbour::Domain) {
        story.broker.function_unmet(domain, &Failure::new(Code::PeerSilent, "did not come"), 0);
    }
    story.told();
    assert_eq!((story.ends.len(), story.ends[0].0), (1, 1));
    assert_eq!((story.failure(0).code, &*story.failure(0).message), (Code::PeerSilent, "did not come"));
    story.broker.abandon(key(0), 0);
    story.told();
    assert_eq!(story.closed, [function], "another domain's ticket is nobody else's");
}

#[test]
fn who_is_not_waited_for_is_not_met() {
    let mut story = Story::new(Limits::default());
    let meet = |task| Retrieve { near: Some(Neighbour::Domain(7 + task as u16)), ..order(task, 1, 1 << 20) };
    story.retrieve(meet(0));
    story.retrieve(meet(1));
    // One that was met and has not said whose it is.
    let stranger = story.broker.function_connected(Caller::Near(Neighbour::Domain(8)), 0);
    for task in [0, 1] {
        story.broker.abandon(key(task), 0);
    }
    story.told();
    assert_eq!((&story.meetings[..], &story.closed[..]), (&[][..], &[stranger][..]));
    // Given up before it was begun.
    story.broker.retrieve(meet(2), 0);
    story.broker.abandon(key(2), 0);
    assert!(
        !std::iter::from_fn(|| story.broker.next_action())
            .any(|action| matches!(action, Action::Meet(_) | Action::GiveUp(_)))
    );
}

#[test]
fn nothing_follows_abandonment() {
    let mut story = Story::new(Limits::default());
    story.retrieve(order(0, 2, 1 << 20));
    let function = story.function(0, 1 << 30);
    let source = story.answering(0);
    story.broker.abandon(key(0), 0);
    // What was under way arrives all the same.
    story.broker.source_received(source, 1, 0);
    story.broker.source_closed(source, None, 0);
    story.broker.function_received(function, &messages(&[ToBroker::Credit(Credit { bytes: 1 })]), 0);
    story.broker.function_closed(function, 0);
    assert_eq!(story.broker.tick(100 * SECOND), None);
    story.told();
    assert!(story.ends.is_empty() && story.connects.is_empty() && story.closed == [function]);
    assert!(story.broker.function_output(function).is_empty());
}

/// However many chunks it has taken when it dies: its own operation fails, its source and its memory come back, and a neighbour
/// is served to the end.
#[test]
fn g11_a_function_may_die_at_any_chunk() {
    // A chunk holds points of one series.
    let mut dice = Dice::new(11);
    let many = documents(&data(&mut dice, 12, 60), 100);
    let answers = [answer(&many, &mut dice, 512), good(12)];
    let small = |task| order(task, 1, Layout::MIN_BUDGET);
    // So little more of the answer each time makes one more chunk at most; the function takes all there are, and dies.
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at <= answers[0].len() {
        let mut story = Story::new(Limits::default());
        story.retrieve(small(0));
        let dying = story.function(0, 1 << 30);
        let source = story.answering(0);
        story.retrieve(small(1));
        let neighbour = story.function(1, 1 << 30);
        let other = story.answering(0);
        story.give(source, &answers[0][..at], 0);
        chunks.push(kinds(&story.drain(dying)).filter(|kind| *kind == Kind::Chunk).count());
        let is_over = !story.ends.is_empty();

        story.broker.function_closed(dying, 0);
        story.told();
        assert!(story.connects.iter().all(|(open, _)| *open != source), "its source is closed");
        if !is_over {
            assert_eq!((story.ends[0].0, story.failure(0).code), (0, Code::ClosedEarly), "{at}");
        }
        assert_eq!(story.broker.memory_of(key(0)), 0, "{at}");
        story.give(other, &answers[1], 0);
        story.drain(neighbour);
        story.broker.source_closed(other, None, 0);
        story.told();
        assert!(
            story.ends.len() == 2 && story.ends[1].0 == 1 && story.ends[1].2.is_ok(),
            "{at}: {:?}",
            story.ends
        );
        at += 40;
    }
    chunks.dedup();
    // Before the first, behind the last, and at each between them.
    assert!(chunks.len() > 5, "{chunks:?}");
    assert_eq!(chunks, (0..=*chunks.last().unwrap()).collect::<Vec<_>>());
}

fn kinds(bytes: &[u8]) -> impl Iterator<Item = Kind> {
    let mut decoder = Decoder::data();
    decoder.push(bytes);
    std::iter::from_fn(move || decoder.next().unwrap().map(|frame| frame.kind))
}

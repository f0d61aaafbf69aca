//! Thousands of random interleavings of several tasks, sources and functions, with faults.
//!
//! Held in each: an operation's memory stays in its budget, no more is in flight than granted, every operation ends
//! exactly once, what arrives equals what the source had, and nothing is said about an abandoned task.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed; its numbers are small"
)]

mod support;

use fades_drb::broker::{Action, Broker, FunctionId, Layout, Limits, Micros, SourceId};
use fades_wire::batch::{BATCH_HEADER_LEN, POINT_LEN};
use fades_wire::control::FromGuest;
use fades_wire::failure::Code;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use support::function::Peer;
use support::{Data, Dice, answer, data, documents, key, order, ticket};

/// What goes wrong with one operation's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Refused,
    NoAnswer,
    Cut,
    Silent,
    Status,
    Denied,
    Error,
    Damaged,
    Type,
    LateEnd,
}

const FAULTS: [Fault; 10] = [
    Fault::Refused,
    Fault::NoAnswer,
    Fault::Cut,
    Fault::Silent,
    Fault::Status,
    Fault::Denied,
    Fault::Error,
    Fault::Damaged,
    Fault::Type,
    Fault::LateEnd,
];

impl Fault {
    fn code(self) -> Option<Code> {
        Some(match self {
            Self::None => return None,
            Self::Refused | Self::NoAnswer => Code::SourceUnreachable,
            Self::Cut => Code::SourceClosedEarly,
            Self::Silent | Self::LateEnd => Code::SourceSilent,
            Self::Status | Self::Error => Code::SourceStatus,
            Self::Denied => Code::SourceDenied,
            Self::Damaged => Code::SourceMalformed,
            Self::Type => Code::SourceType,
        })
    }

    /// The bytes that the source says, and whether it closes behind them.
    fn script(self, data: &Data, dice: &mut Dice) -> (Vec<u8>, bool) {
        let rows = 1 + dice.below(300);
        let body = documents(data, rows);
        let good = answer(&body, dice, 3000);
        let middle = support::HEAD.len() + 4 + dice.below(good.len() - support::HEAD.len() - 8);
        match self {
            Self::None => (good, true),
            Self::Refused | Self::NoAnswer => (vec![], true),
            Self::Cut => (good[..middle].to_vec(), true),
            Self::Silent => (good[..middle].to_vec(), false),
            Self::LateEnd => (good[..good.len() - 3].to_vec(), false),
            Self::Status => (b"HTTP/1.1 503 Busy\r\nContent-Length: 8\r\n\r\ntry late".to_vec(), false),
            Self::Denied => {
                (b"HTTP/1.1 401 No\r\nX-Influxdb-Error: who?\r\nContent-Length: 0\r\n\r\n".to_vec(), false)
            }
            Self::Error => (answer(b"\x81\xa5error\xa4gone", dice, 9), true),
            Self::Damaged => (answer(&[&body[..body.len() / 2], &[0xc1; 9000]].concat(), dice, 500), true),
            Self::Type => {
                let mut body = body;
                let row = body.windows(2).rposition(|pair| pair == [0x92, 0xd3]).unwrap();
                body.truncate(row + 10);
                body.extend(b"\xa3abc");
                (answer(&body, dice, 500), true)
            }
        }
    }
}

struct Source {
    connected: bool,
    script: Vec<u8>,
    at: usize,
    closes: bool,
    refuses: bool,
    closed: bool,
}

struct Plan {
    faults: Vec<Fault>,
    data: Vec<Data>,
    outcomes: Vec<Option<Result<(), Code>>>,
    ordered: bool,
    abandoned: bool,
    /// Its function closes before the end, or its task is abandoned.
    rude: Option<bool>,
    peer: Peer,
    function: Option<FunctionId>,
    gone: bool,
    budget: u64,
    together: bool,
}

impl Plan {
    fn new(dice: &mut Dice) -> Self {
        let operations = 1 + dice.below(3);
        let together = dice.one_in(2);
        let fault =
            |dice: &mut Dice| if dice.one_in(6) { FAULTS[dice.below(FAULTS.len())] } else { Fault::None };
        let budget = Layout::MIN_BUDGET + dice.below(40 * 1024) as u64;
        let faults: Vec<Fault> = (0..operations).map(|_| fault(dice)).collect();
        let mut peer = Peer::new(
            operations,
            // A third grants everything at once, so that only the outbox holds the source back. The others have room for
            // one chunk and something.
            if dice.one_in(3) { 1 << 40 } else { longest_chunk(budget) + dice.below(60_000) as u64 },
        );
        // Of streams that come side by side half keep in step.
        peer.in_step = together && dice.one_in(2);
        Self {
            data: faults.iter().map(|fault| some_data(dice, *fault)).collect(),
            faults,
            outcomes: vec![None; operations],
            ordered: false,
            abandoned: false,
            rude: dice.one_in(5).then(|| dice.one_in(2)),
            peer,
            function: None,
            gone: false,
            budget,
            together,
        }
    }

    /// Most memory that it may take.
    fn memory(&self) -> u64 {
        self.budget * if self.together { self.faults.len() as u64 } else { 1 }
    }

    fn is_over(&self) -> bool {
        self.abandoned || (self.gone && self.outcomes.iter().all(Option::is_some))
    }

    /// The same of operations side by side: which fault comes first is left open, but one of them is what ended the task, and
    /// what ended before that is whole.
    fn check_together(&self) {
        let ends: Vec<_> = self.peer.streams.iter().map(|stream| &stream.end).collect();
        let aborted: Vec<usize> = (0..ends.len()).filter(|at| matches!(ends[*at], Some(Err(_)))).collect();
        let faulty = self.faults.iter().any(|fault| *fault != Fault::None);
        assert_eq!(aborted.len(), usize::from(faulty), "one failure is told: {ends:?}");
        let code = aborted.first().map(|bad| self.faults[*bad].code().expect("what was told did go wrong"));
        for (index, outcome) in self.outcomes.iter().enumerate() {
            let stream = &self.peer.streams[index];
            if *outcome == Some(Ok(())) {
                assert!(self.faults[index] == Fault::None && matches!(stream.end, Some(Ok(_))));
                assert_eq!(stream.data, self.data[index], "what arrived is what the source had");
            } else {
                assert_eq!(*outcome, Some(Err(code.expect("nothing else went wrong"))), "operation {index}");
            }
        }
    }

    /// What must have become of a task that was left alone.
    fn check(&self) {
        if self.rude.is_some() {
            return;
        }
        if self.together {
            return self.check_together();
        }
        let bad = self.faults.iter().position(|fault| *fault != Fault::None).unwrap_or(self.faults.len());
        for (index, outcome) in self.outcomes.iter().enumerate() {
            let stream = &self.peer.streams[index];
            if index < bad {
                assert_eq!(*outcome, Some(Ok(())));
                assert!(matches!(stream.end, Some(Ok(_))));
                assert_eq!(stream.data, self.data[index], "what arrived is what the source had");
            } else {
                let code = self.faults[bad].code().unwrap();
                assert_eq!(*outcome, Some(Err(code)), "operation {index}, fault {:?}", self.faults[bad]);
                let told = stream.end.as_ref().map(|end| end.as_ref().unwrap_err().code);
                assert_eq!(told, (index == bad).then_some(code));
            }
        }
    }
}

/// Data of up to four series, of which some may be missing, or, where nothing goes wrong, all.
fn some_data(dice: &mut Dice, fault: Fault) -> Data {
    let mut all = data(dice, 4, 1500);
    let least = usize::from(fault != Fault::None);
    while all.len() > least && dice.one_in(3) {
        all.remove(dice.below(all.len()));
    }
    all
}

struct World {
    broker: Broker,
    dice: Dice,
    now: Micros,
    plans: Vec<Plan>,
    sources: BTreeMap<SourceId, Source>,
}

impl World {
    fn new(seed: u64, tasks: usize) -> Self {
        let mut dice = Dice::new(seed);
        let limits = Limits { memory_bytes: 200 * 1024 * (1 + dice.below(6)), ..Limits::default() };
        let plans: Vec<Plan> = (0..tasks).map(|_| Plan::new(&mut dice)).collect();
        let most = plans.iter().map(Plan::memory).max().unwrap_or(0) as usize;
        let limits = Limits { memory_bytes: limits.memory_bytes.max(most), ..limits };
        Self { broker: Broker::new(limits), dice, now: 1, plans, sources: BTreeMap::new() }
    }

    /// Lets things happen until every task is over.
    fn run(&mut self) {
        let mut idle = 0;
        for _ in 0..2_000_000 {
            let moved = self.step();
            self.actions();
            self.check();
            if self.plans.iter().all(Plan::is_over) {
                return;
            }
            idle = if moved { 0 } else { idle + 1 };
            if idle > 800 {
                // Nobody has anything to do: time passes until the broker has.
                let wake = self.broker.tick(self.now).expect("something is still expected");
                self.now = self.now.max(wake);
                self.broker.tick(self.now);
                self.actions();
                idle = 0;
            }
        }
        panic!("some task never ends");
    }

    fn step(&mut self) -> bool {
        self.now += self.dice.below(50) as Micros;
        let task = self.dice.below(self.plans.len());
        match self.dice.below(8) {
            0..=2 => self.source_step(),
            3..=4 => self.function_step(task),
            5 => self.broker.work(self.now),
            6 => {
                self.broker.tick(self.now);
                false
            }
            _ if !self.plans[task].ordered => {
                self.plans[task].ordered = true;
                let plan = &self.plans[task];
                let mut order = order(task, plan.faults.len(), plan.budget);
                order.priority = self.dice.below(10) as u8;
                order.together = plan.together;
                self.broker.retrieve(order, self.now);
                true
            }
            _ => {
                let plan = &mut self.plans[task];
                let abandon = plan.rude == Some(true) && !plan.is_over() && self.dice.one_in(50);
                if abandon {
                    plan.abandoned = true;
                    self.broker.abandon(key(task), self.now);
                    if let Some(id) = plan.function {
                        assert!(
                            self.broker.function_output(id).is_empty(),
                            "nothing is sent for an abandoned task"
                        );
                    }
                }
                abandon
            }
        }
    }

    fn source_step(&mut self) -> bool {
        let place = self.dice.below(self.sources.len());
        let Some((&id, source)) = self.sources.iter_mut().nth(place) else { return false };
        if source.closed {
            return false;
        }
        if !source.connected {
            source.connected = true;
            source.closed = source.refuses;
            if source.refuses {
                self.broker.source_closed(id, Some("connection refused".into()), self.now);
            } else {
                self.broker.source_connected(id);
            }
            return true;
        }
        let request = self.broker.source_output(id).len();
        if request > 0 {
            let count = 1 + self.dice.below(request);
            self.broker.source_sent(id, count, self.now);
            return true;
        }
        if source.at == source.script.len() {
            source.closed = source.closes;
            if source.closes {
                self.broker.source_closed(id, None, self.now);
            }
            return source.closes;
        }
        let Some(space) = self.broker.source_space(id) else { return false };
        let most = if self.dice.one_in(3) { 30 } else { 20_000 };
        let count = (1 + self.dice.below(most)).min(space.len()).min(source.script.len() - source.at);
        space[..count].copy_from_slice(&source.script[source.at..source.at + count]);
        source.at += count;
        self.broker.source_received(id, count, self.now);
        true
    }

    fn function_step(&mut self, task: usize) -> bool {
        let plan = &mut self.plans[task];
        if plan.abandoned || plan.gone || (!plan.ordered && !self.dice.one_in(40)) {
            return false;
        }
        let Some(id) = plan.function else {
            if !self.dice.one_in(20) {
                return true;
            }
            let id = self.broker.function_connected(IpAddr::V4(Ipv4Addr::LOCALHOST), self.now);
            plan.function = Some(id);
            let bytes = plan.peer.open(ticket(task));
            self.broker.function_received(id, &bytes, self.now);
            return true;
        };
        let leaves = plan.rude == Some(false) && self.dice.one_in(100);
        let ends = plan.peer.streams.iter().map(|stream| &stream.end);
        let served = ends.clone().all(Option::is_some) || ends.flatten().any(Result::is_err);
        if leaves || (served && plan.outcomes.iter().all(Option::is_some)) {
            self.broker.function_closed(id, self.now);
            plan.gone = true;
            return true;
        }
        let grants = plan.peer.grants(Some(&mut self.dice));
        let (first, second) = grants.split_at(self.dice.below(grants.len() + 1));
        self.broker.function_received(id, first, self.now);
        self.broker.function_received(id, second, self.now);
        let output = self.broker.function_output(id);
        let count = output.len().min(1 + self.dice.below(60_000));
        plan.peer.hear(&output[..count]);
        self.broker.function_sent(id, count, self.now);
        count > 0 || !grants.is_empty()
    }

    fn actions(&mut self) {
        while let Some(action) = self.broker.next_action() {
            match action {
                Action::Connect { source, endpoint } => {
                    let (task, operation) =
                        (usize::from(endpoint.port / 64), usize::from(endpoint.port % 64));
                    let plan = &self.plans[task];
                    assert!(!plan.abandoned, "nothing is asked for an abandoned task");
                    let fault = plan.faults[operation];
                    let (script, closes) = fault.script(&plan.data[operation], &mut self.dice);
                    let refuses = fault == Fault::Refused;
                    let source_now =
                        Source { connected: false, script, at: 0, closes, refuses, closed: false };
                    self.sources.insert(source, source_now);
                }
                Action::Meet(near) | Action::GiveUp(near) => panic!("no order named {near}"),
                Action::CloseSource(source) => {
                    assert!(self.sources.remove(&source).is_some(), "a source is closed once");
                }
                Action::CloseFunction(id) => {
                    let plan = self.plans.iter_mut().find(|plan| plan.function == Some(id)).unwrap();
                    assert!(plan.abandoned, "only abandonment closes a function that behaves");
                }
                Action::Tell(message) => self.told(&message),
            }
        }
    }

    fn told(&mut self, message: &FromGuest) {
        let (task, operation, outcome) = match message {
            FromGuest::OperationProgress(it) => (it.task, it.operation, None),
            FromGuest::OperationEnded(it) => (it.task, it.operation, Some(Ok(()))),
            FromGuest::OperationFailed(it) => (it.task, it.operation, Some(Err(it.failure.code))),
            other => panic!("the broker says {other:?}"),
        };
        let plan = &mut self.plans[u128::from_be_bytes(task.0) as usize - 1];
        assert!(!plan.abandoned, "nothing is said about an abandoned task");
        let place = &mut plan.outcomes[usize::from(operation)];
        assert_eq!(*place, None, "an operation ends once");
        *place = outcome;
    }

    fn check(&self) {
        for (task, plan) in self.plans.iter().enumerate() {
            let memory = self.broker.memory_of(key(task)) as u64;
            assert!(memory <= plan.memory(), "task {task} takes {memory} bytes of {}", plan.memory());
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn b4_every_operation_ends_once_and_right(seed: u64, tasks in 1_usize..6) {
        let mut world = World::new(seed, tasks);
        world.run();
        world.plans.iter().for_each(Plan::check);
        // Abandoned and finished tasks leave nothing behind.
        assert_eq!(world.broker.task_count(), 0);
        assert!(world.sources.is_empty());
    }
}

fn longest_chunk(budget: u64) -> u64 {
    (BATCH_HEADER_LEN + Layout::of(budget).unwrap().points * POINT_LEN) as u64
}

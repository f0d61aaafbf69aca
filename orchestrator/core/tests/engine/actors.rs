//! Guests as they should behave: what each would say next.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;

use fades_core::engine::{GuestInput, GuestOrder};
use fades_core::{Role, TaskId};
use fades_wire::PROTOCOL;
use fades_wire::address::{Endpoint, Place};
use fades_wire::control::{
    Finished, FromGuest, Heartbeat, Hello, Keep, OperationEnded, OperationTimes, ResultPart, Started,
    StateHead, ToGuest,
};
use fades_wire::data::StreamSummary;

pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// Where every guest of these tests is.
pub(crate) const fn place() -> Place {
    Place::Network(Endpoint::new(ADDRESS, 7001))
}

/// What both ends count for an operation when nothing goes wrong.
pub(crate) fn truth(task: TaskId, operation: u16) -> StreamSummary {
    let points = 10 + u64::from(operation);
    StreamSummary {
        operation,
        points,
        bytes: points * 16,
        chunks: 1,
        series: 1,
        first_ns: Some(0),
        last_ns: Some(9),
        digest: [task.0[15]; 32],
    }
}

pub(crate) const RESULT: &[u8] = br#"{"mean":1.5}"#;

/// A guest and how far it is.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    pub(crate) task: Option<TaskId>,
    pub(crate) stopped: bool,
    steps: u32,
    pings: VecDeque<u64>,
    /// Its task as it was told of it, and that one's operations.
    run: Option<(TaskId, usize)>,
    retrieves: BTreeMap<TaskId, VecDeque<u16>>,
    /// What it was given to go on from, if it may keep anything.
    memory: Option<Vec<u8>>,
    /// First instants of the operations that it was last told to retrieve.
    pub(crate) windows: Vec<(i64, i64)>,
}

impl Actor {
    pub(crate) fn new(order: &GuestOrder) -> Self {
        Self {
            role: order.role,
            task: order.task,
            stopped: false,
            steps: 0,
            pings: VecDeque::new(),
            run: None,
            retrieves: BTreeMap::new(),
            memory: None,
            windows: Vec::new(),
        }
    }

    pub(crate) fn hear(&mut self, message: &ToGuest) {
        match message {
            ToGuest::Ping(ping) => self.pings.push_back(ping.nonce),
            ToGuest::Run(run) => {
                self.run = Some((run.task.into(), run.operations.len()));
                self.task.get_or_insert(run.task.into());
                self.memory = run.memory.map(|_| Vec::new());
            }
            ToGuest::Recall(part) => {
                self.memory.as_mut().expect("a memory was told of").extend(&part.bytes);
            }
            ToGuest::Retrieve(retrieve) => {
                let operations = retrieve.operations.iter().map(|operation| operation.index).collect();
                let windows = retrieve.operations.iter();
                self.windows = windows.map(|operation| (operation.from_ns, operation.to_ns)).collect();
                self.retrieves.insert(retrieve.task.into(), operations);
            }
            ToGuest::Abandon(abandon) => {
                self.retrieves.remove(&abandon.task.into());
            }
            ToGuest::Welcome(_) | ToGuest::Shutdown(_) => {}
        }
    }

    fn kept(&self) -> Vec<u8> {
        let mut kept = self.memory.clone().unwrap_or_default();
        kept.push(7);
        kept
    }

    pub(crate) fn hello(&self) -> FromGuest {
        Hello { protocol: PROTOCOL, role: self.role.into(), image: "test 1".into() }.into()
    }

    /// What comes next from this guest, if anything.
    pub(crate) fn next(&mut self) -> Option<GuestInput> {
        let opening = match self.steps {
            0 => Some(GuestInput::Started { place: place() }),
            1 => Some(GuestInput::Connected),
            2 => Some(GuestInput::Message(self.hello())),
            _ => None,
        };
        if opening.is_some() {
            self.steps += 1;
            return opening;
        }
        if let Some(nonce) = self.pings.pop_front() {
            return Some(GuestInput::Message(Heartbeat { nonce, heap_used: 1 }.into()));
        }
        let message = match self.role {
            Role::Broker => self.end_operation(),
            Role::Function => self.work(),
        };
        message.map(GuestInput::Message)
    }

    fn end_operation(&mut self) -> Option<FromGuest> {
        let (task, operation) = self
            .retrieves
            .iter_mut()
            .find_map(|(task, operations)| Some((*task, operations.pop_front()?)))?;
        let times = OperationTimes { retrieve_us: 5, ..OperationTimes::default() };
        let summary = truth(task, operation);
        let fewest = summary.points;
        Some(OperationEnded { task: task.into(), operation, summary, fewest, times }.into())
    }

    fn work(&mut self) -> Option<FromGuest> {
        let (task, operations) = self.run?;
        self.steps += 1;
        let (head, tail) = RESULT.split_at(4);
        match self.steps - 4 {
            0 => Some(Started.into()),
            1 => Some(ResultPart { index: 0, last: false, bytes: head.into() }.into()),
            2 => Some(ResultPart { index: 1, last: true, bytes: tail.into() }.into()),
            // A period's function keeps what it was given and one byte more.
            3 if self.memory.is_some() => Some(Keep { index: 0, bytes: self.kept() }.into()),
            4 if self.memory.is_some() => {
                let state = Some(StateHead { version: 1, len: self.kept().len() as u64 });
                Some(Finished { state, ..finished(task, operations) }.into())
            }
            3 => Some(finished(task, operations).into()),
            _ => None,
        }
    }
}

/// What a function says that it had on its heap.
pub(crate) const HEAP_PEAK: u64 = 4711;

/// A function's honest last word.
pub(crate) fn finished(task: TaskId, operations: usize) -> Finished {
    let operations = u16::try_from(operations).expect("few operations");
    Finished {
        summaries: (0..operations).map(|operation| truth(task, operation)).collect(),
        transfer_us: 7,
        compute_us: 3,
        result_len: RESULT.len() as u64,
        state: None,
        heap_peak: HEAP_PEAK,
    }
}

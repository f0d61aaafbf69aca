//! The broker as a state machine: no sockets, no clock, no threads. Whoever drives it owns the connections.
//!
//! ```text
//!               retrieve, abandon                       function_*
//! orchestrator ------------------->  +--------+  <--------------------- functions
//!              <-------------------  | Broker |  ---------------------> (chunks)
//!                 Action::Tell       +--------+     function_output
//!                                      |    ^
//!                     Action::Connect  v    |  source_*
//!                                     sources
//! ```
//! A round of the driver: hand over what the sockets have ([`Broker::source_space`] lends the room to read into and is
//! `None` while a source must wait), call [`Broker::work`] some times, send what there is to send, carry out the
//! [`Action`]s in their order, call [`Broker::tick`].
//!
//! **Fairness.** Work is shared by surplus round robin: in each round every task with something to do may use
//! [`QUANTUM`] bytes of its source's answer per weight, which is its priority + 1; what it used over that is taken off
//! its next rounds. Within a round, and for the memory that lets a task begin, the order is priority, then deadline,
//! then arrival. So a task of priority 9 goes ten times as fast as one of priority 0, and none ever stops.
//!
//! **Memory.** An operation takes its [`Layout`] and no more, however long the answer; tasks begin while
//! [`Limits::memory_bytes`] lasts. Operations of one task run one after another, the next being fetched while the last
//! frames of the one before are on their way; or side by side, if the order says so, and then the task takes the layout once for
//! each of them. Its function gives credit to each stream: where it gives none, that source waits and the others go on.

mod function;
mod limits;
mod links;
mod operation;
mod outbox;
mod reason;
mod serve;
mod task;

pub use limits::{Layout, Limits};

use fades_wire::address::{Endpoint, Neighbour};
use fades_wire::control::FromGuest;
use fades_wire::ids::TaskKey;
use function::Function;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use task::Task;

/// Microseconds on a clock that never goes back.
pub type Micros = u64;

/// Bytes of a source's answer that a task may use per round and weight. Ten of them fit a usual read buffer, so that no
/// task runs out of input within its share; a few KiB are dear enough for the bookkeeping not to be felt.
pub const QUANTUM: usize = 4 * 1024;

/// How long a task that is over is kept beyond its time, so that its function can read the end.
const LINGER_US: Micros = 10_000_000;

/// A connection to a source. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// A function's connection. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionId(pub u64);

/// Who connected. A guest cannot choose what it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// The guest of this address in the virtual network.
    Address(IpAddr),
    /// The one that shares memory with us.
    Near(Neighbour),
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection, and say what came of it.
    Connect {
        /// The connection's name from now on.
        source: SourceId,
        /// Where to.
        endpoint: Endpoint,
    },
    /// Meet a function in memory that both share, and say what came of it.
    Meet(Neighbour),
    /// Meet it no more, if it was not met yet.
    GiveUp(Neighbour),
    /// Close a connection to a source; it is not to be spoken of again.
    CloseSource(SourceId),
    /// Close a function's connection; it is not to be spoken of again.
    CloseFunction(FunctionId),
    /// Tell the orchestrator.
    Tell(FromGuest),
}

/// See the module.
#[derive(Debug)]
pub struct Broker {
    limits: Limits,
    tasks: BTreeMap<TaskKey, Task>,
    functions: BTreeMap<FunctionId, Function>,
    /// Whose connection it is: the task, and the operation's index.
    sources: BTreeMap<SourceId, (TaskKey, u16)>,
    /// Tasks that still have their turn in this round.
    round: VecDeque<TaskKey>,
    actions: VecDeque<Action>,
    /// Messages of the task that is being dealt with, until they become actions.
    told: VecDeque<FromGuest>,
    next_id: u64,
}

impl Broker {
    /// A broker without tasks.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tasks: BTreeMap::new(),
            functions: BTreeMap::new(),
            sources: BTreeMap::new(),
            round: VecDeque::new(),
            actions: VecDeque::new(),
            told: VecDeque::new(),
            next_id: 0,
        }
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Memory that a task takes for data, in bytes; 0 if it is not known.
    #[must_use]
    pub fn memory_of(&self, task: TaskKey) -> usize {
        self.tasks.get(&task).map_or(0, Task::memory)
    }

    /// Tasks that are known.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

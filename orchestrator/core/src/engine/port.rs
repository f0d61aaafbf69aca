//! What goes into the engine and what comes out of it.

use fades_wire::address::Place;
use fades_wire::control::{FromGuest, ToGuest};
use fades_wire::data::StreamSummary;

use crate::backend::GuestExit;
use crate::fault::Fault;
use crate::ids::{GuestId, Role, TaskId};
use crate::periods::FunctionState;
use crate::task::{ImageRef, OperationSpec, RecordedState, TaskSpec, TaskState};
use crate::timings::Timings;

/// The two clocks, read once per input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, µs since any fixed instant of this run; never goes back.
    pub mono_us: u64,
    /// The wall clock, µs since 1970 UTC; may jump.
    pub unix_us: u64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A task was admitted and is stored as `accepted`.
    Accepted(TaskSpec),
    /// A task that an earlier daemon accepted and did not end, from the store. Given before the first tick.
    Recovered(TaskSpec, RecordedState),
    /// The answer to [`Effect::Prepare`]: what a period needs, or why it cannot run.
    Prepared(GuestId, Result<Prepared, Fault>),
    /// Someone entitled to it wants the task ended. Unknown and ended tasks are ignored.
    Cancel(TaskId),
    /// Something happened to a guest. Unknown and ended guests are ignored.
    Guest(GuestId, GuestInput),
    /// What images there are, or who is trusted to sign them, has changed: what was started ahead of its task may be what
    /// nobody wants any more.
    ImagesChanged,
    /// For so many µs up to now nobody was heard and nothing was begun, as the shell waited for its store; what came
    /// meanwhile follows. No guest's time runs in it. Given before anything else that is heard after it.
    Stalled(u64),
    /// Time has passed; due at [`Effect::WakeAt`], harmless at any other time.
    Tick,
}

/// What happened to a guest.
#[derive(Debug, Clone, PartialEq)]
pub enum GuestInput {
    /// The backend has started it.
    Started {
        /// Where other guests find it.
        place: Place,
    },
    /// It could not be attached or started; it does not exist and never will.
    StartFailed(Fault),
    /// It has connected to the control endpoint.
    Connected,
    /// It sent this, decoded.
    Message(FromGuest),
    /// It sent something that is not a message.
    ProtocolError(String),
    /// Its control connection is gone.
    Disconnected,
    /// It has ended. Exactly once per guest that started. What it said before, and the end of its connection, may
    /// still follow.
    Exited(GuestExit),
}

/// Which guest to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestOrder {
    /// Its name from now on.
    pub guest: GuestId,
    /// What it is for.
    pub role: Role,
    /// What to boot.
    pub image: ImageRef,
    /// Its memory.
    pub memory_mib: u32,
    /// A function's task; `None` for the broker.
    pub task: Option<TaskId>,
    /// Its life at most, µs; `None` without bound. For the backend's own second line of defence.
    pub time_limit_us: Option<u64>,
}

/// What shall be done, in the order given. What `Record` and `Finish` say is on disk before the next effect is begun.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Store that a task is now in this (not final) state, then tell it.
    Record {
        /// The task.
        task: TaskId,
        /// Its new state.
        state: TaskState,
        /// How often its function was started so far; of a persistent task, in this period.
        attempts: u32,
        /// The period that has begun and is not over, of a persistent task.
        period: Option<u64>,
        /// Why, in words; empty when the state says it all.
        detail: String,
    },
    /// Store that these periods of a task were missed, then tell it. In the order of numbers, each number once.
    Missed {
        /// The task.
        task: TaskId,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// Store, in one transaction, how a period of a task ended, with its result and its function's state, and that the task
    /// is `waiting`; then tell it. In the order of numbers, each number once.
    Period {
        /// The task.
        task: TaskId,
        /// Its number.
        period: u64,
        /// How it ended.
        end: PeriodEnd,
    },
    /// Find out whether a period of this task may run as things are now, what its operations are on this node, and what its function
    /// has kept, when all before is stored; answered by [`Input::Prepared`].
    Prepare {
        /// The task.
        task: TaskId,
        /// The function that waits for it.
        guest: GuestId,
    },
    /// Tell whoever watches how far a task is; not stored.
    Progress {
        /// The task.
        task: TaskId,
        /// Points sent by the broker so far.
        points: u64,
        /// Column bytes sent by the broker so far.
        bytes: u64,
    },
    /// Attach a port and start a guest on it; answered by `Started` or `StartFailed`.
    StartGuest(GuestOrder),
    /// Send a message on the guest's control connection.
    Send {
        /// To whom.
        guest: GuestId,
        /// What.
        message: ToGuest,
    },
    /// End the guest; `Exited` (or `StartFailed`, when it was not started yet) still comes.
    StopGuest {
        /// Which.
        guest: GuestId,
        /// Why, in words for the log.
        why: String,
    },
    /// Store the task's end, then tell it. Exactly once per task, and nothing about it afterwards.
    Finish {
        /// The task.
        task: TaskId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Give an [`Input::Tick`] at this monotonic time, if nothing else comes before; replaces earlier ones.
    WakeAt {
        /// µs, of [`Now::mono_us`].
        mono_us: u64,
    },
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With a result that both sides of the stream agree on.
    Succeeded(Success),
    /// All periods of a persistent task are over, and at least one gave a result.
    PeriodsOver,
    /// With a reason.
    Failed(Fault),
    /// On request.
    Cancelled,
    /// Still waiting when its wrapper expired.
    Expired,
}

impl Outcome {
    /// The state this end is stored as.
    #[must_use]
    pub const fn state(&self) -> TaskState {
        match self {
            Self::Succeeded(_) | Self::PeriodsOver => TaskState::Succeeded,
            Self::Failed(_) => TaskState::Failed,
            Self::Cancelled => TaskState::Cancelled,
            Self::Expired => TaskState::Expired,
        }
    }
}

/// What a period needs that is not known before: its task may be months old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What the function has kept, if anything yet.
    pub state: Option<FunctionState>,
    /// The task's operations, in the wrapper's order, with the sources as they are reached now.
    pub operations: Vec<OperationSpec>,
}

/// How a period ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeriodEnd {
    /// With a result that both sides of the stream agree on.
    Done(Success),
    /// With a reason; the state that was kept before stays.
    Failed(Fault),
}

/// A result and what it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    /// A JSON document.
    pub result: String,
    /// Per operation, in the wrapper's order, what was read: as the broker and the function both counted it.
    pub summaries: Vec<StreamSummary>,
    /// How long what took.
    pub timings: Timings,
    /// What the function wants kept, of a period of a persistent task.
    pub state: Option<FunctionState>,
    /// Most bytes on the function's heap at once, by its own word; 0 if not measured.
    pub heap_peak: u64,
}

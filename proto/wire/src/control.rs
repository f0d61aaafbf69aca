//! Control messages: each guest's one connection to the orchestrator, all on stream 0.
//!
//! The guest's identity is its port on the virtual switch, so no message carries a secret to prove it.
//!
//! ```text
//! guest                                   orchestrator
//!   Hello            ------------------>
//!                    <------------------  Welcome
//!   Heartbeat        <-----------------   Ping          (any time, answered at once)
//! broker:            <------------------  Retrieve      (per task)
//!   OperationProgress, then per operation OperationEnded or OperationFailed
//! function:          <------------------  Run, then Recall* where it has a state  (once)
//!   Started, Progress*, then ResultPart* Keep* Finished, or Failed
//! any:
//!   Log              ------------------>
//!   Failed           ------------------>                (panic; the last message)
//!                    <------------------  Shutdown
//! ```

use crate::address::{Endpoint, Neighbour, Place};
use crate::cap;
use crate::data::StreamSummary;
use crate::failure::{Failure, clip};
use crate::frame::Kind;
use crate::ids::{Role, TaskKey, Ticket};
use crate::message::{MessageError, from_body, to_body};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Operations per task: keeps per-stream state in a 64 MiB function small, and is ample for sensor classes.
pub const MAX_OPERATIONS: usize = 64;
/// Longest name (operation, measurement, field, tag, database, user) in bytes.
pub const MAX_NAME: usize = 256;
/// Tags per operation or series.
pub const MAX_TAGS: usize = 32;
/// Values that one tag may be selected by.
pub const MAX_TAG_VALUES: usize = 256;
/// Longest JSON text of a function's parameters, in bytes; a wrapper is at most 64 KiB.
pub const MAX_PARAMETERS: usize = 64 * 1024;
/// Longest [`ResultPart::bytes`].
pub const MAX_RESULT_PART: usize = 64 * 1024;
/// Longest [`Recall::bytes`] and [`Keep::bytes`].
pub const MAX_STATE_PART: usize = 64 * 1024;
/// Most bytes of the state that a function keeps between periods: four parts, so that it is over the slowest control channel
/// within a fraction of a second, and ample for a baseline of some thousand groups. Policy may only be tighter.
pub const MAX_STATE: u64 = 4 * MAX_STATE_PART as u64;
/// Longest [`Log::text`] in bytes.
pub const MAX_LOG: usize = 1024;

/// First message of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of these messages, [`crate::PROTOCOL`].
    pub protocol: u16,
    /// What the guest believes to be.
    pub role: Role,
    /// Name and version of its image, for people: `stats 0.1.0`.
    #[serde(with = "cap::Text::<MAX_NAME>")]
    pub image: String,
}

/// Answer to [`Ping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The ping's number.
    pub nonce: u64,
    /// Bytes allocated on the guest's heap, 0 if not measured.
    pub heap_used: u64,
}

/// A broker's operation under way; at most about five per second and operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationProgress {
    /// The task.
    pub task: TaskKey,
    /// The operation's index.
    pub operation: u16,
    /// Points sent so far.
    pub points: u64,
    /// Column bytes sent so far.
    pub bytes: u64,
}

/// Times of an operation, in microseconds, on the broker's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationTimes {
    /// `Retrieve` received → query sent.
    pub waited_us: u64,
    /// Query sent → first byte of the answer.
    pub first_byte_us: u64,
    /// Query sent → last point at the broker.
    pub retrieve_us: u64,
    /// First → last chunk sent.
    pub send_us: u64,
}

/// A broker's operation that was sent in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationEnded {
    /// The task.
    pub task: TaskKey,
    /// The operation's index.
    pub operation: u16,
    /// What was sent.
    pub summary: StreamSummary,
    /// Points of the series that had fewest; 0 where there was none.
    pub fewest: u64,
    /// How long it took.
    pub times: OperationTimes,
}

/// A broker's operation that failed; its stream was ended with an abort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationFailed {
    /// The task.
    pub task: TaskKey,
    /// The operation's index.
    pub operation: u16,
    /// Why.
    pub failure: Failure,
}

/// The function has its parameters and the broker's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started;

/// A function under way; at most about five per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Points reduced so far.
    pub points: u64,
}

/// A piece of the function's result. Pieces come in order, from index 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPart {
    /// Position of the piece.
    pub index: u32,
    /// Whether it is the last one.
    pub last: bool,
    /// The piece itself: UTF-8 JSON when put together.
    #[serde(with = "cap::Bytes::<MAX_RESULT_PART>")]
    pub bytes: Vec<u8>,
}

/// The function is done; after its last [`ResultPart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// What was received, per operation, as the function itself counted and digested it.
    #[serde(with = "cap::List::<MAX_OPERATIONS>")]
    pub summaries: Vec<StreamSummary>,
    /// First → last chunk into the function, in microseconds.
    pub transfer_us: u64,
    /// Time spent inside the function's own code, in microseconds.
    pub compute_us: u64,
    /// Bytes of the result, all parts together.
    pub result_len: u64,
    /// The state to be kept for the next period, if the function keeps one.
    pub state: Option<StateHead>,
    /// Most bytes that were on the guest's heap at once, 0 if not measured. The function's own word: no verdict rests on it.
    pub heap_peak: u64,
}

/// What a state says of itself beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHead {
    /// The function's own version of its form.
    pub version: u32,
    /// Its bytes, all parts together; at most [`MAX_STATE`].
    pub len: u64,
}

/// A piece of the state that a function wants kept. Pieces come in order, from index 0, after the result's. Of a state without
/// bytes there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Position of the piece.
    pub index: u32,
    /// The piece itself.
    #[serde(with = "cap::Bytes::<MAX_STATE_PART>")]
    pub bytes: Vec<u8>,
}

/// A line for the node's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// 1 error, 2 warning, 3 information, 4 debug, 5 trace.
    pub level: u8,
    /// The line.
    #[serde(with = "cap::Text::<MAX_LOG>")]
    pub text: String,
}

impl Log {
    /// A line, cut at the cap.
    #[must_use]
    pub fn new(level: u8, text: impl Into<String>) -> Self {
        let mut text = text.into();
        clip(&mut text, MAX_LOG);
        Self { level, text }
    }
}

/// Answer to [`Hello`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Time between pings, in milliseconds; a guest that hears nothing for several of them gives up.
    pub heartbeat_ms: u32,
    /// The node's clock, in microseconds since 1970, UTC.
    pub time_unix_us: u64,
}

/// Asks for a [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Comes back in the answer.
    pub nonce: u64,
}

/// Tells a broker to retrieve a task's data and keep it ready under a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieve {
    /// The task.
    pub task: TaskKey,
    /// What the function will show when it connects.
    pub ticket: Ticket,
    /// The function, where it shares memory with the broker and is met there; `None` if it connects to the data port.
    pub near: Option<Neighbour>,
    /// Whether its function takes its operations side by side, so that they are served like that: each then has its own part of
    /// the broker's memory, and the broker refuses what has no room. Otherwise they come one after another.
    pub together: bool,
    /// 0 lowest to 9 highest.
    pub priority: u8,
    /// Time left for the whole task, in microseconds from the receipt of this message.
    pub deadline_us: u64,
    /// What to retrieve. Index and place in the list are the same.
    #[serde(with = "cap::List::<MAX_OPERATIONS>")]
    pub operations: Vec<Operation>,
    /// Memory that the broker may use per operation, in bytes.
    pub budget_bytes: u64,
}

/// One query of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Place in the task, and number of its stream.
    pub index: u16,
    /// How to speak to the source.
    pub source: SourceKind,
    /// Where it stands: a port of the gateway.
    pub endpoint: Endpoint,
    /// What was measured.
    #[serde(with = "cap::Text::<MAX_NAME>")]
    pub measurement: String,
    /// Which field of it.
    #[serde(with = "cap::Text::<MAX_NAME>")]
    pub field: String,
    /// Selection: every tag must have one of its values.
    #[serde(with = "cap::List::<MAX_TAGS>")]
    pub tags: Vec<TagSelection>,
    /// First instant, in nanoseconds since 1970, UTC; included.
    pub from_ns: i64,
    /// Last instant; excluded.
    pub to_ns: i64,
    /// Tags by which points are told apart into series.
    #[serde(with = "cap::List::<MAX_TAGS>")]
    pub group_by: Vec<Name>,
    /// Longest silence of the source, in milliseconds.
    pub timeout_ms: u32,
}

/// A name of at most [`MAX_NAME`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(#[serde(with = "cap::Text::<MAX_NAME>")] pub String);

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self(name)
    }
}

/// A tag and the values it may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSelection {
    /// The tag.
    pub tag: Name,
    /// Its values; one of them must match.
    #[serde(with = "cap::List::<MAX_TAG_VALUES>")]
    pub values: Vec<Name>,
}

/// How to speak to a source. Numbers on the wire: InfluxDB 1.x 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// InfluxDB 1.x over HTTP.
    InfluxDb1 {
        /// Database to query.
        database: Name,
        /// Retention policy, if not the default one.
        retention: Option<Name>,
        /// Who to be there.
        credentials: Option<Credentials>,
    },
}

/// User and password at a source.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The user.
    pub user: Name,
    /// The password.
    pub password: Name,
}

impl core::fmt::Debug for Credentials {
    /// Shows the user, never the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Tells a broker that a task is over, whatever it was doing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandon {
    /// The task.
    pub task: TaskKey,
}

/// Tells a function what to do; once in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The task.
    pub task: TaskKey,
    /// What to show at the broker.
    pub ticket: Ticket,
    /// Where the broker is.
    pub broker: Place,
    /// The streams to expect, in the order of their indices.
    #[serde(with = "cap::List::<MAX_OPERATIONS>")]
    pub operations: Vec<OperationName>,
    /// The function's parameters: a JSON object.
    #[serde(with = "cap::Text::<MAX_PARAMETERS>")]
    pub parameters: String,
    /// Most bytes that the result may have.
    pub result_limit: u64,
    /// Chunk bytes that the function may have outstanding, all streams together.
    pub window_bytes: u64,
    /// For a period of a persistent task: what is known of its state.
    pub memory: Option<Memory>,
}

/// What a function that runs again and again may keep, and what it has kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The state of the last period that gave one; its bytes follow as [`Recall`]s.
    pub state: Option<StateHead>,
    /// Most bytes that the next state may have.
    pub limit: u64,
}

/// A piece of the state that a function had kept, right after [`Run`]. Pieces come in order, from index 0, until all of
/// [`StateHead::len`] is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recall {
    /// Position of the piece.
    pub index: u32,
    /// The piece itself.
    #[serde(with = "cap::Bytes::<MAX_STATE_PART>")]
    pub bytes: Vec<u8>,
}

/// Index and name of an operation, as the wrapper calls it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationName {
    /// Number of its stream.
    pub index: u16,
    /// Its id in the wrapper.
    pub id: Name,
}

/// Tells a guest to end with exit code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown;

/// Writes an enum of messages: one variant, one [`Kind`], one body type of the same name.
macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $(
                #[doc = concat!("See [`", stringify!($variant), "`].")]
                $variant($variant),
            )*
        }

        impl $name {
            /// Number of this message.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)* }
            }

            /// Body of this message's frame.
            ///
            /// # Errors
            /// [`MessageError::Encode`] if something in it is over its cap.
            pub fn to_body(&self) -> Result<Vec<u8>, MessageError> {
                match self { $(Self::$variant(message) => to_body(message),)* }
            }

            /// The message of a frame of this kind and body.
            ///
            /// # Errors
            /// The kind belongs elsewhere or is unknown, or the body is not strictly a message of that kind.
            pub fn from_frame(kind: Kind, body: &[u8]) -> Result<Self, MessageError> {
                match kind {
                    $(Kind::$variant => from_body(body).map(Self::$variant),)*
                    other => Err(MessageError::UnexpectedKind(other.into())),
                }
            }
        }

        $(impl From<$variant> for $name {
            fn from(message: $variant) -> Self {
                Self::$variant(message)
            }
        })*
    };
}
pub(crate) use messages;

messages! {
    /// What a guest tells the orchestrator.
    FromGuest {
        Hello, Heartbeat, Log, OperationProgress, OperationEnded, OperationFailed,
        Started, Progress, ResultPart, Keep, Finished, Failed,
    }
}

messages! {
    /// What the orchestrator tells a guest.
    ToGuest { Welcome, Ping, Shutdown, Retrieve, Abandon, Run, Recall }
}

/// The guest failed, with its reason; nothing comes after it. A broker sends it for a panic only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed(pub Failure);

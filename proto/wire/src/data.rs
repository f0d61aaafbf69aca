//! Data messages: a function's connection to the broker's data port.
//!
//! ```text
//! function                              broker
//!   Open (stream 0)  ---------------->
//!   Credit (stream = operation) ----->
//!                    <----------------  Series, Chunk*, ... then End or Abort (stream = operation)
//!   Credit*          ---------------->
//! ```
//! A series is described once, before its first chunk. Chunk bodies count against credit, other frames do
//! not: their number is bounded by [`MAX_SERIES`].

use crate::batch::Batch;
use crate::cap;
use crate::control::{MAX_NAME, MAX_TAGS, Name, messages};
use crate::failure::Failure;
use crate::frame::Kind;
use crate::ids::Ticket;
use crate::message::{MessageError, from_body, to_body};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Series per operation: a function keeps state for each, in 64 MiB.
pub const MAX_SERIES: u32 = 65_536;

/// First message of a function: asks for the streams of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The secret from [`crate::control::Run`].
    pub ticket: Ticket,
}

/// Allows the broker to send more chunk bytes on this stream. A function keeps at least
/// [`MAX_BATCH_LEN`](crate::batch::MAX_BATCH_LEN) granted while it wants more: chunks are never cut to fit a smaller rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// Bytes of chunk bodies, on top of what was granted before.
    pub bytes: u64,
}

/// Describes a series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Number in chunks; counted from 0 on each stream, without gaps.
    pub id: u32,
    /// Tags of the operation's `group_by`, with the values that make this series.
    #[serde(with = "cap::List::<MAX_TAGS>")]
    pub tags: Vec<Tag>,
    /// What was measured.
    #[serde(with = "cap::Text::<MAX_NAME>")]
    pub measurement: String,
    /// Which field of it.
    #[serde(with = "cap::Text::<MAX_NAME>")]
    pub field: String,
}

/// A tag and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// Its key.
    pub key: Name,
    /// Its value; empty if points of the series lack it.
    pub value: Name,
}

/// What was sent on a stream; sender and receiver each count it, and both must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSummary {
    /// The operation's index.
    pub operation: u16,
    /// Points in all chunks.
    pub points: u64,
    /// Column bytes in all chunks: 16 per point.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Series.
    pub series: u32,
    /// Earliest time, if there is a point.
    pub first_ns: Option<i64>,
    /// Latest time, if there is a point.
    pub last_ns: Option<i64>,
    /// [`crate::digest::StreamDigest`] of the stream.
    pub digest: [u8; 32],
}

/// The stream is whole: its counts and digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End(pub StreamSummary);

/// The stream ends here and is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abort(pub Failure);

messages! {
    /// What a function tells the broker.
    ToBroker { Open, Credit }
}

/// What the broker tells a function.
#[derive(Clone, Debug, PartialEq)]
pub enum FromBroker<'a> {
    /// A new series.
    Series(Series),
    /// Points of one series, viewed in the frame's body.
    Chunk(Batch<'a>),
    /// The stream is whole.
    End(End),
    /// The stream failed.
    Abort(Abort),
}

impl<'a> FromBroker<'a> {
    /// The message of a frame of this kind and body.
    ///
    /// # Errors
    /// The kind belongs elsewhere or is unknown, or the body is not strictly a message of that kind.
    pub fn from_frame(kind: Kind, body: &'a [u8]) -> Result<Self, MessageError> {
        match kind {
            Kind::Series => from_body(body).map(Self::Series),
            Kind::Chunk => Ok(Self::Chunk(Batch::parse(body)?)),
            Kind::End => from_body(body).map(Self::End),
            Kind::Abort => from_body(body).map(Self::Abort),
            other => Err(MessageError::UnexpectedKind(other.into())),
        }
    }
}

//! What a task gave.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskState;
use super::periods::PeriodResult;
use crate::task::{Name, TaskId};

/// Answer of `GET /v1/tasks/{id}/result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultDocument {
    /// The task.
    pub task: TaskId,
    /// The period that gave it, for a persistent task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodResult>,
    /// Always `succeeded`: no other end has a result.
    pub state: TaskState,
    /// The aggregate, as the function wrote it, for reading. The receipt covers [`result_bytes`](Self::result_bytes).
    pub result: Value,
    /// The exact bytes that the function wrote, base64url without padding: what the receipt's digest is over.
    pub result_bytes: String,
    /// The receipt's envelope, base64url without padding.
    pub receipt: String,
    /// Stages of the task. They overlap, so they need not add up to the total.
    pub timings_us: TimingsUs,
    /// What was read, per operation.
    pub operations: Vec<OperationResult>,
    /// Bytes read from the sources at the edge.
    pub bytes_read: u64,
    /// Bytes that leave the edge: the result's.
    pub bytes_sent: u64,
    /// Most bytes that the function had on its heap at once, by its own word; absent where nobody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap_peak_bytes: Option<u64>,
}

/// Monotonic times, microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimingsUs {
    /// Envelope received to verified.
    pub verify: u64,
    /// Accepted to begun.
    pub queue: u64,
    /// Function asked for to function ready.
    pub boot: u64,
    /// First query to last point at the broker.
    pub retrieve: u64,
    /// First to last chunk into the function.
    pub transfer: u64,
    /// Inside the function.
    pub compute: u64,
    /// Function's end to result stored.
    #[serde(rename = "return")]
    pub returned: u64,
    /// POST received to result stored.
    pub total: u64,
}

/// What one operation read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationResult {
    /// The operation's id.
    pub id: Name,
    /// Points read.
    pub points: u64,
    /// Bytes of columns handed to the function.
    pub bytes: u64,
    /// Series read.
    pub series: u32,
    /// Chunks handed to the function.
    pub chunks: u64,
    /// Timestamp of the first point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Timestamp of the last point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Digest of the stream, 64 hexadecimal digits.
    pub digest: String,
}

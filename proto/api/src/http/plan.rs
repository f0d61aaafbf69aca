//! What a wrapper would do, told before it does.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::task::{ImageReference, Label, Name};

/// Answer of `POST /v1/admin/plans`. Nothing was stored and nothing ran; the sources were asked for counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskPlan {
    /// Whose wrapper it is.
    pub issuer: Name,
    /// Image of its function.
    pub image: ImageReference,
    /// Whether the node would take it now.
    pub verdict: Verdict,
    /// What each operation would read, in the wrapper's order.
    pub operations: Vec<PlannedOperation>,
    /// All operations together, as far as they could be counted.
    pub read: PlannedRead,
    /// Of a persistent task, how many periods it has; everything else here is about the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods: Option<u64>,
    /// The memory of its function.
    pub memory: PlannedMemory,
    /// What it would take; absent where the node has run no task yet, or an operation could not be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedTime>,
}

/// What the node would say to a wrapper, its signature aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Whether it would be taken.
    pub accepted: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What one operation would read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedOperation {
    /// The operation's id.
    pub id: Name,
    /// Where it reads.
    pub source: Name,
    /// The measurement.
    pub measurement: Label,
    /// The field.
    pub field: Label,
    /// First instant.
    pub from: Timestamp,
    /// End of the range, not itself part of it.
    pub to: Timestamp,
    /// What the source counted; absent where it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<PlannedRead>,
    /// Why it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// How much would be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRead {
    /// Series.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Bytes of columns handed to the function.
    pub bytes: u64,
    /// Chunks handed to the function, at their full size.
    pub chunks: u64,
}

/// Memory of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedMemory {
    /// What the wrapper asks for, MiB.
    pub asked_mib: u32,
    /// Least that its image boots in, MiB; absent where the node has no such image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_mib: Option<u32>,
    /// Most that this node has for a function, MiB.
    pub node_mib: u32,
    /// Most bytes that this image had on its heap in tasks that this node remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap_peak_bytes: Option<u64>,
}

/// What a task would take if it need not wait: by a line through what earlier ones took on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectedTime {
    /// Function asked for to function ready, µs.
    pub boot_us: u64,
    /// Both together with the rest, µs.
    pub total_us: u64,
    /// Earlier tasks that this rests on.
    pub tasks: u32,
    /// Whether they were of the same image; otherwise this node has run none of it, and they are of others.
    pub same_image: bool,
}

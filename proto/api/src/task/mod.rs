//! The task wrapper, schema `fades.task.v1`: what a service signs and a node runs.
//!
//! A [`Wrapper`] exists only if it was read by the strict reader ([`Wrapper::from_json`]) or completed from a
//! [`TaskDraft`], so whoever holds one knows that its names, numbers and times keep to the schema. What an issuer may ask for
//! is not decided here: that is policy, in the node.
//!
//! To add a key: the field here, its line in `parse.rs`, its row in `tests.rs`; a key that older nodes would refuse needs
//! a new schema version.

mod draft;
mod error;
mod name;
mod parse;
mod periods;

pub use draft::{Completion, TaskDraft};
pub use error::TaskError;
pub use name::{ImageReference, Label, Name, NodeEpoch, Refused, TaskId};
pub(crate) use name::{hex, quoted};
pub use periods::Periods;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::json;

/// The `schema` of the documents that this module reads and writes.
pub const SCHEMA: &str = "fades.task.v1";
/// Content type in the envelope (COSE label 3).
pub const CONTENT_TYPE: &str = "application/vnd.fades.task.v1+json";

/// Caps of the schema, each with its reason. Policy may only be tighter.
pub mod limits {
    /// Bytes of a document; the same as the cap on an envelope.
    pub const DOCUMENT_BYTES: usize = 64 * 1024;
    /// Operations of one task: each is a stream of its own at the broker.
    pub const OPERATIONS: usize = 64;
    /// Tags that one operation filters by.
    pub const TAGS: usize = 32;
    /// Values of one tag: they become one condition each in the query.
    pub const TAG_VALUES: usize = 256;
    /// Tags that one operation groups by.
    pub const GROUPS: usize = 16;
    /// Sinks of one task.
    pub const SINKS: usize = 8;
    /// Highest priority.
    pub const PRIORITY_MAX: u8 = 9;
    /// Least memory of a function, MiB: below it no image boots.
    pub const MEMORY_MIB_MIN: u32 = 16;
    /// Most memory of a function, MiB: 64 GiB, beyond any edge machine.
    pub const MEMORY_MIB_MAX: u32 = 64 * 1024;
    /// Longest timeout of a task, ms: a day.
    pub const TIMEOUT_MS_MAX: u32 = 24 * 60 * 60 * 1000;
    /// Shortest period of a persistent function, ms: each is a guest of its own and a transaction.
    pub const EVERY_MS_MIN: u64 = 1000;
    /// Longest period of a persistent function, ms: 31 days.
    pub const EVERY_MS_MAX: u64 = 31 * 24 * 60 * 60 * 1000;
    /// Periods of one persistent task: a year of one in half a minute.
    pub const PERIODS_MAX: u64 = 1_000_000;
    /// Longest life of a wrapper, seconds: 366 days. Nodes remember used ids that long, so policy is usually far tighter.
    pub const LIFE_SECONDS_MAX: i64 = 366 * 24 * 60 * 60;
    /// Bytes of `dmf.parameters` in canonical form: they travel in one control message.
    pub const PARAMETERS_BYTES: usize = 16 * 1024;
}

/// A task wrapper that keeps to the schema.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Wrapper {
    /// Always [`SCHEMA`].
    schema: SchemaTag,
    /// Who asks whom, when, how urgently.
    pub credentials: Credentials,
    /// What data to retrieve.
    pub drb: DrbMetadata,
    /// What to do with the data.
    pub dmf: DmfMetadata,
    /// Where the result goes besides the node's own store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultMetadata>,
}

/// Writes the schema's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("const" = "fades.task.v1"))]
struct SchemaTag;

impl Serialize for SchemaTag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SCHEMA)
    }
}

/// First part of a wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Credentials {
    /// Id that the issuer chose; runs at most once.
    pub task_id: TaskId,
    /// Who signs.
    pub issuer: Name,
    /// The node that it is meant for.
    pub audience: Name,
    /// The node's epoch when it was signed.
    pub node_epoch: NodeEpoch,
    /// 0 (whenever) to 9 (first).
    #[schemars(range(max = limits::PRIORITY_MAX))]
    pub priority: u8,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// From when on it is worthless.
    pub expires_at: Timestamp,
}

/// Second part of a wrapper: what the broker retrieves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DrbMetadata {
    /// 1 to [`limits::OPERATIONS`] operations with distinct ids.
    #[schemars(length(min = 1, max = limits::OPERATIONS))]
    pub operations: Vec<Operation>,
}

/// One query of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Operation {
    /// Name of the operation inside the task.
    pub id: Name,
    /// Registered source.
    pub source: Name,
    /// Measurement in the source.
    pub measurement: Label,
    /// Field of the measurement.
    pub field: Label,
    /// Only points whose tag has one of the values, for every tag named here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(default)]
    pub tags: BTreeMap<Label, Vec<Label>>,
    /// First instant, inclusive. Within what i64 nanoseconds hold.
    pub from: Timestamp,
    /// Last instant, exclusive. Within what i64 nanoseconds hold.
    pub to: Timestamp,
    /// Tags that separate series; empty for one series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub group_by: Vec<Label>,
}

impl Operation {
    /// `from` and `to` in nanoseconds since 1970, UTC. The reader has checked that both fit.
    pub fn range_ns(&self) -> (i64, i64) {
        let ns = |at: Timestamp| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
        (ns(self.from), ns(self.to))
    }
}

/// Third part of a wrapper: the function.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DmfMetadata {
    /// Image of the function.
    pub image: ImageReference,
    /// The function's own parameters; their keys are the image's business.
    #[serde(serialize_with = "json::serialize_object_sorted")]
    #[schemars(default)]
    pub parameters: serde_json::Map<String, Value>,
    /// What it may use.
    pub resources: Resources,
    /// How long it lives.
    pub lifetime: Lifetime,
}

impl DmfMetadata {
    /// The parameters as canonical JSON text, for the function.
    pub fn parameters_json(&self) -> String {
        json::object_to_string_sorted(&self.parameters)
    }
}

/// What a function may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Resources {
    /// Memory of the guest, MiB.
    #[schemars(range(min = limits::MEMORY_MIB_MIN, max = limits::MEMORY_MIB_MAX))]
    pub memory_mib: u32,
    /// Time from its start to its end, ms.
    #[schemars(range(min = 1, max = limits::TIMEOUT_MS_MAX))]
    pub timeout_ms: u32,
}

/// How long a function lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// For this one task.
    Ephemeral,
    /// Until a time, with a result every so often. `from` and `to` of each operation are those of period 0; period k reads
    /// k times `every_ms` later, and is due at the latest `to`, as much later.
    Persistent {
        /// From one period to the next, ms.
        #[schemars(range(min = limits::EVERY_MS_MIN, max = limits::EVERY_MS_MAX))]
        every_ms: u64,
        /// Periods that are due later do not run.
        until: Timestamp,
        /// What becomes of periods that could not begin when they were due.
        #[serde(skip_serializing_if = "Missed::is_skip")]
        #[schemars(default)]
        missed: Missed,
    },
}

/// What becomes of periods that could not begin when they were due: the node was down, or submitted to too late, or the period
/// before still ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// The latest one that is due runs, the others are missed.
    #[default]
    Skip,
    /// All run, in order.
    CatchUp,
}

impl Missed {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    const fn is_skip(&self) -> bool {
        matches!(self, Self::Skip)
    }
}

/// Optional part of a wrapper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ResultMetadata {
    /// Registered sinks, distinct.
    #[schemars(length(min = 1, max = limits::SINKS))]
    pub sinks: Vec<Name>,
}

impl Wrapper {
    /// Puts the parts together, checking nothing; for callers inside this crate, which have.
    fn from_parts(
        credentials: Credentials,
        drb: DrbMetadata,
        dmf: DmfMetadata,
        result: Option<ResultMetadata>,
    ) -> Self {
        Self { schema: SchemaTag, credentials, drb, dmf, result }
    }

    /// Reads a wrapper strictly from JSON bytes.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TaskError> {
        parse::wrapper(&json::read_document(bytes)?)
    }

    /// Reads a complete wrapper from TOML with the same keys.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_toml(text: &str) -> Result<Self, TaskError> {
        parse::wrapper(&json::read_toml(text)?)
    }

    /// Canonical JSON: keys in the order of the schema, parameters sorted, no spaces. Equal wrappers give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_bytes(self)
    }
}

#[cfg(test)]
mod tests;

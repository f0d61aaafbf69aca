//! The stored types: what lies on disk, apart from what is told over HTTP and from what the engine thinks in.
//!
//! New fields need `#[serde(default)]`, so that what was stored before still reads. Names are never reused.

mod periods;

use fades_core::admit::Allowed;
use fades_core::terms::Terms;
use serde::{Deserialize, Serialize};

pub use periods::{
    PeriodNewsRecord, PeriodRecord, PeriodsRecord, STATE_FORMAT, StateRecord, StoredPeriodState, WindowRecord,
};

/// Where a task stands. The words are those of the design and never change their spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredState {
    /// Stored, not yet looked at by the engine.
    Accepted,
    /// Waiting for room.
    Queued,
    /// Its function boots.
    Starting,
    /// The broker reads.
    Streaming,
    /// All is read, the function finishes.
    Computing,
    /// Between two periods.
    Waiting,
    /// Ended with a result.
    Succeeded,
    /// Ended with a reason.
    Failed,
    /// Ended by who may.
    Cancelled,
    /// Ended by its own expiry.
    Expired,
}

impl StoredState {
    /// Whether nothing can follow.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired)
    }

    /// The word for people and for the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Streaming => "streaming",
            Self::Computing => "computing",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Accepted,
            Self::Queued,
            Self::Starting,
            Self::Streaming,
            Self::Computing,
            Self::Waiting,
            Self::Succeeded,
            Self::Failed,
            Self::Cancelled,
            Self::Expired,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
    }
}

/// One task. Times are microseconds of Unix time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Whose task it is.
    pub issuer: String,
    /// Hex of the key that signed it.
    pub key_id: String,
    /// Hex SHA-256 of the signed payload: what makes a resubmission the same.
    pub payload_digest: String,
    /// The node's epoch when it was accepted.
    pub epoch: String,
    /// The image asked for, `name@sha256:<hex>`.
    pub image: String,
    /// The sources of its operations, in their order.
    pub sources: Vec<String>,
    /// Largest result that was allowed when it was accepted, in bytes.
    pub result_limit: u64,
    /// What else it must keep to. Tasks that were accepted before this was noted have no such bounds.
    #[serde(default, skip_serializing_if = "TermsRecord::is_none")]
    pub terms: TermsRecord,
    /// 0 to 9.
    pub priority: u8,
    /// Where it stands.
    pub state: StoredState,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was stored.
    pub accepted_us: i64,
    /// When the state last changed.
    pub changed_us: i64,
    /// When its function was last started.
    #[serde(default)]
    pub started_us: Option<i64>,
    /// When it ended.
    #[serde(default)]
    pub ended_us: Option<i64>,
    /// When the wrapper expires.
    pub expires_us: i64,
    /// How long verification took, in microseconds.
    pub verify_us: u64,
    /// Why it failed: a code of the catalogue.
    #[serde(default)]
    pub code: Option<String>,
    /// A sentence on where it stands.
    #[serde(default)]
    pub detail: String,
    /// How far a persistent task is; none for any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods: Option<PeriodsRecord>,
}

impl TaskRecord {
    /// What it may leave behind.
    #[must_use]
    pub fn allowed(&self) -> Allowed {
        let TermsRecord { fields, per_mille, group_points, group_series } = self.terms;
        let result = Terms { bytes: self.result_limit, fields, per_mille, group_points, group_series };
        Allowed { result, state_bytes: self.periods.as_ref().map_or(0, |periods| periods.state_limit) }
    }
}

/// [`Terms`] of a result, but for its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are described where they are held against a result")]
#[serde(default)]
pub struct TermsRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_mille: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_points: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_series: Option<u32>,
}

impl TermsRecord {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Terms> for TermsRecord {
    fn from(terms: Terms) -> Self {
        let Terms { bytes: _, fields, per_mille, group_points, group_series } = terms;
        Self { fields, per_mille, group_points, group_series }
    }
}

/// One change that was stored and may be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The task's ULID.
    pub task: String,
    /// Whose task it is, so that a stream can be narrowed without a look-up.
    pub issuer: String,
    /// The state it entered.
    pub state: StoredState,
    /// Why, where there is a reason.
    #[serde(default)]
    pub code: Option<String>,
    /// A sentence.
    #[serde(default)]
    pub detail: String,
    /// The period that it is about, of a persistent task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodNewsRecord>,
    /// When, in microseconds of Unix time.
    pub at_us: i64,
}

/// One refusal at the door.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// When, in microseconds of Unix time.
    pub at_us: i64,
    /// The code of the catalogue.
    pub code: String,
    /// Who connected: an address or `local`.
    pub peer: String,
    /// The key id the envelope claims, if it got that far. A claim, not a fact.
    #[serde(default)]
    pub key_id: Option<String>,
    /// The task id, if it got that far.
    #[serde(default)]
    pub task: Option<String>,
    /// What was found.
    pub detail: String,
}

/// A key of an issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Hex of the raw public key.
    pub public_key: String,
    /// When it was admitted.
    pub added_us: i64,
    /// Not valid before this.
    #[serde(default)]
    pub not_before_us: Option<i64>,
    /// Not valid from this on.
    #[serde(default)]
    pub not_after_us: Option<i64>,
    /// Withdrawn at this time. Kept, so that it cannot be enrolled again by accident.
    #[serde(default)]
    pub revoked_us: Option<i64>,
}

/// Who may sign tasks, with which keys and for what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// The keys by the hex of their ids.
    pub keys: std::collections::BTreeMap<String, KeyRecord>,
    /// What the issuer may ask for, as the API spells it.
    pub policy: serde_json::Value,
    /// When the issuer was first added.
    pub added_us: i64,
}

/// A registered data source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its settings, as the API spells them; credentials included, which is why the store is 0600.
    pub settings: serde_json::Value,
    /// When it was added.
    pub added_us: i64,
}

/// A key whose images this node boots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignerRecord {
    /// A name for people.
    pub name: String,
    /// Hex of the raw public key.
    pub public_key: String,
    /// When it was pinned.
    pub added_us: i64,
}

/// What a guest wrote on its console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleRecord {
    /// When the guest had ended.
    pub at_us: i64,
    /// The end of it.
    pub text: String,
}

/// An image in the images folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its name, the part before `@`.
    pub name: String,
    /// Its version, for people.
    pub version: String,
    /// `drb` or `dmf`.
    pub role: String,
    /// The processor it is for. Images that were added before this was noted are for x86-64.
    #[serde(default = "x86_64")]
    pub architecture: String,
    /// Smallest memory it boots in, in MiB.
    pub minimum_memory_mib: u32,
    /// Bytes of the file.
    pub size: u64,
    /// Hex id of the key that signed it.
    pub signer: String,
    /// When it was added.
    pub added_us: i64,
    /// JSON Schema of its parameters, as its manifest has it.
    #[serde(default)]
    pub parameters: Option<serde_json::Value>,
    /// JSON Schema of its result.
    #[serde(default)]
    pub result: Option<serde_json::Value>,
    /// Whether its operations are to come side by side.
    #[serde(default)]
    pub together: bool,
}

fn x86_64() -> String {
    "x86_64".to_owned()
}

/// What a task that succeeded took and read. The receipt says the same, signed; this is for showing it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// Stages by name, in microseconds.
    pub timings_us: std::collections::BTreeMap<String, u64>,
    /// Per operation, in the wrapper's order.
    pub operations: Vec<ReadRecord>,
    /// Most bytes on the function's heap at once; 0 where that was not measured.
    #[serde(default)]
    pub heap_peak_bytes: u64,
}

/// What one operation read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadRecord {
    /// The operation's id.
    pub id: String,
    /// Points read.
    pub points: u64,
    /// Column bytes handed to the function.
    pub bytes: u64,
    /// Series read.
    pub series: u32,
    /// Chunks handed to the function.
    pub chunks: u64,
    /// First point, ns of Unix time.
    pub first_ns: Option<i64>,
    /// Last point, ns of Unix time.
    pub last_ns: Option<i64>,
    /// Hex digest of the stream.
    pub digest: String,
}

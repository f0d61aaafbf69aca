//! What the operator tells a node over its local socket: whom it trusts, and with what. Served there only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::task::{Label, Name, TaskId};

/// What an issuer may ask for. What is not named is not allowed; a new policy allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyDocument {
    /// Sources by name, with what may be read of each.
    pub sources: BTreeMap<Name, SourcePolicy>,
    /// Images: `name` for every image of that name, `name:1.2.0+` for that version and later ones, `name@sha256:<hex>` for
    /// one. The highest version named with `+` is the least of this name, whatever else names it.
    pub images: Vec<String>,
    /// Most memory of a function, MiB.
    pub memory_mib: u32,
    /// Longest timeout, ms.
    pub timeout_ms: u32,
    /// Highest priority.
    pub priority: u8,
    /// Largest result, bytes.
    pub result_bytes: u64,
    /// Most fields of a result: members of objects and elements of arrays, at every depth; absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_fields: Option<u32>,
    /// Leak budget: most bytes of a result for 1,000 bytes that were read for it; absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_per_mille: Option<u32>,
    /// Fewest points of every series that is read, as the broker counts them; with fewer no result leaves. Absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_points: Option<u64>,
    /// Fewest series of every operation, as the broker counts them; with fewer no result leaves. Absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_series: Option<u32>,
    /// Most operations of a task.
    pub operations: u32,
    /// Longest range of times of an operation, seconds; absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_s: Option<u64>,
    /// Longest life of a wrapper, seconds.
    pub life_s: u64,
    /// Most tasks waiting and running.
    pub tasks: u32,
    /// Tasks per minute in the long run.
    pub per_minute: u32,
    /// Tasks at once after a pause.
    pub burst: u32,
    /// Most periods of a persistent task; 0 allows none such.
    pub periods: u32,
    /// Most bytes of the state that a function of its may keep between periods, at most 262144; 0 allows none.
    pub state_bytes: u64,
    /// Other issuers whose tasks it may read. Its own it may read always.
    pub reads: Vec<Name>,
}

/// What may be read of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePolicy {
    /// Measurements with the fields allowed of each; an empty list allows every field.
    #[serde(default)]
    pub measurements: BTreeMap<Label, Vec<Label>>,
    /// Every measurement and field, whatever is listed.
    #[serde(default)]
    pub everything: bool,
}

/// Body of `PUT /v1/admin/issuers/{name}`: adds what it brings, leaves the rest as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerUpdate {
    /// Proof of possession of a key to add: an envelope, base64url without padding. Its name must be the issuer's.
    pub proof: Option<String>,
    /// The added key is not valid before this.
    pub not_before: Option<Timestamp>,
    /// The added key is not valid from this on.
    pub not_after: Option<Timestamp>,
    /// Replaces the whole policy.
    pub policy: Option<PolicyDocument>,
}

/// Answer of `GET /v1/admin/issuers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerList {
    /// By name.
    pub issuers: Vec<IssuerView>,
}

/// An issuer as the node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuerView {
    /// Its name.
    pub name: Name,
    /// Its keys.
    pub keys: Vec<KeyView>,
    /// What it may ask for.
    pub policy: PolicyDocument,
}

/// A key of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// 64 hexadecimal digits.
    pub key_id: String,
    /// The raw public key, 64 hexadecimal digits.
    pub public_key: String,
    /// `valid`, `revoked`, `expired` or `not yet valid`.
    pub state: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Not valid before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Not valid from this on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
}

/// Body of `PUT /v1/admin/sources/{name}`, and what `GET /v1/admin/sources` shows without the password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum SourceDocument {
    /// InfluxDB 1.x over HTTP.
    #[serde(rename = "influxdb1")]
    InfluxDb1 {
        /// Name or address, resolved by the node at every connection.
        host: String,
        /// TCP port.
        port: u16,
        /// Whether the name may mean a private address; an address written out is always meant.
        #[serde(default)]
        allow_private: bool,
        /// Its database.
        database: String,
        /// Its retention policy, where not the default one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retention: Option<String>,
        /// User name, where it wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Password; never shown again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
    },
}

/// Answer of `GET /v1/admin/sources`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceList {
    /// By name.
    pub sources: BTreeMap<Name, SourceDocument>,
}

/// Answer of `POST /v1/admin/sources/{name}/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceTest {
    /// Whether it answered as a source of its kind does, and has what was registered.
    pub ok: bool,
    /// What went wrong; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What it answered, or what went wrong.
    pub detail: String,
    /// How long the answer took, µs.
    pub took_us: u64,
}

/// Body of `PUT /v1/admin/signers/{key_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignerDocument {
    /// For people.
    pub name: Name,
    /// The raw public key, 64 hexadecimal digits.
    pub public_key: String,
}

/// Answer of `GET /v1/admin/signers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignerList {
    /// By key id.
    pub signers: BTreeMap<String, SignerDocument>,
}

/// Answer of `GET /v1/admin/refusals`: newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalList {
    /// Kept at a bounded rate and number.
    pub refusals: Vec<RefusalView>,
}

/// One refusal at the door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusalView {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub code: Code,
    /// The same in words.
    pub detail: String,
    /// Who connected.
    pub peer: String,
    /// The key id that was claimed, if it got that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The task id, if it got that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

/// Answer of `POST /v1/admin/epoch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EpochRenewed {
    /// What wrappers must carry from now on.
    pub epoch: crate::task::NodeEpoch,
}

//! The images of a node as its operator sees them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::{ImageReference, Name, TaskId};

/// Answer of `GET /v1/admin/images`: by name, newest version first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageList {
    /// Every image.
    pub images: Vec<ImageView>,
}

/// An image with who may use it and what does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageView {
    /// How a wrapper names it.
    pub reference: ImageReference,
    /// Its version.
    pub version: String,
    /// `drb` or `dmf`.
    pub role: String,
    /// The processor it is for.
    pub architecture: String,
    /// Whether that is the node's own, and not one that it translates.
    pub native: bool,
    /// Size of the file, bytes.
    pub size: u64,
    /// Least memory, MiB.
    pub minimum_memory_mib: u32,
    /// The key that signed it, 64 hexadecimal digits.
    pub signer: String,
    /// What the operator calls that key; none when it is trusted no longer, and the image does not boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer_name: Option<Name>,
    /// When it was added.
    pub added_at: Timestamp,
    /// When a task last started on it; none when none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// Whether the broker runs from it, or will when the node starts again.
    pub broker: bool,
    /// Tasks that name it and have not ended.
    #[serde(default)]
    pub tasks: Vec<TaskId>,
    /// Issuers whose policies allow it.
    #[serde(default)]
    pub issuers: Vec<Name>,
    /// What issuers' policies name as the least version of this name.
    #[serde(default)]
    pub floors: Vec<ImageFloor>,
}

/// A least version of an image's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageFloor {
    /// Whose policy names it.
    pub issuer: Name,
    /// The version.
    pub version: String,
}

/// Body of `POST /v1/admin/images/gc`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GarbageRequest {
    /// Tell what would go, and leave it.
    pub dry_run: bool,
    /// Keep only so many of the newest versions that policies allow by name; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// Answer of `POST /v1/admin/images/gc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GarbageReport {
    /// Whether they are there still.
    pub dry_run: bool,
    /// What went, or would go.
    pub removed: Vec<RemovedImage>,
    /// Bytes of their files.
    pub bytes: u64,
    /// Images that stay.
    pub kept: u64,
}

/// An image that went, or would go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedImage {
    /// Which one.
    pub reference: ImageReference,
    /// Its version.
    pub version: String,
    /// Size of the file, bytes.
    pub size: u64,
    /// Why it is not needed.
    pub why: String,
}

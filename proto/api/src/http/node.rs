//! What a node says of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::task::{ImageReference, Name, NodeEpoch};

/// Answer of `GET /v1/node`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// The node's id: the `audience` of what is signed for it.
    pub node: Name,
    /// Key id of the node's key, 64 hexadecimal digits; receipts carry it.
    pub key_id: String,
    /// The node's public key, 64 hexadecimal digits.
    pub public_key: String,
    /// The node's epoch: goes into every wrapper.
    pub epoch: NodeEpoch,
    /// Version of the daemon.
    pub version: String,
    /// The node's clock.
    pub time: Timestamp,
    /// When the daemon was started.
    pub started_at: Timestamp,
    /// Where it listens for services, `address:port` as the system gave it; none with the local socket only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// What runs guests.
    pub backend: BackendInfo,
    /// The broker.
    pub broker: BrokerInfo,
    /// What the node allows at most.
    pub limits: NodeLimits,
    /// What is taken of it now.
    pub usage: NodeUsage,
    /// Images on the node.
    pub images: Vec<ImageInfo>,
    /// Registered sources.
    pub sources: Vec<SourceInfo>,
    /// Defences by name, on or off; [`defence_words`] says what each does.
    pub defences: BTreeMap<String, bool>,
    /// Why those defences are off that are.
    #[serde(default)]
    pub lacks: BTreeMap<String, String>,
    /// What the operator should look at, in words; empty when all is well.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What a defence of [`NodeInfo::defences`] does, in a few words; `None` for one of another version.
#[must_use]
pub fn defence_words(name: &str) -> Option<&'static str> {
    Some(match name {
        "strict-signatures" => "believes nothing before its signature is verified strictly",
        "replay-store" => "runs no wrapper twice",
        "signed-images" => "boots images of trusted signers only",
        "sealed-images" => "boots images from memory that cannot change after the check",
        "switch-policy" => "lets guests reach only whom their tasks need",
        "source-gateway" => "lets the broker reach registered sources only",
        "monitor-limits" => "bounds QEMU's memory, files and processor time, and takes its privileges",
        "monitor-seccomp" => "keeps QEMU from system calls that it does not need",
        "monitor-dies-with-daemon" => "ends guests with the daemon, however that ends",
        "monitor-landlock" => "keeps QEMU from the host's files",
        "monitor-own-user" => "runs each QEMU as a user of its own without rights",
        "monitor-own-network" => "keeps QEMU from the host's networks",
        _ => return None,
    })
}

/// What runs guests, and why it and not another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendInfo {
    /// `qemu-tcg`, `qemu-kvm`, `xen`.
    pub kind: String,
    /// Why it was chosen.
    pub reason: String,
    /// What the choice costs, in words.
    pub cost: String,
}

/// The broker as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokerInfo {
    /// `starting`, `ready`, `restarting`, `failed`, `absent`.
    pub state: String,
    /// Its image, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageReference>,
    /// How often it was started again since the daemon began.
    pub restarts: u32,
    /// Why it last ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a node allows at most, over all issuers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLimits {
    /// Tasks that run at once.
    pub running: u32,
    /// Tasks that wait.
    pub queued: u32,
    /// Guests at once, the broker included.
    pub guests: u32,
    /// Memory of all guests, MiB.
    pub memory_mib: u64,
    /// Bytes of an envelope.
    pub envelope_bytes: u64,
    /// Bytes of a result.
    pub result_bytes: u64,
    /// Longest life of a wrapper, seconds.
    pub wrapper_life_s: u64,
}

/// What is taken of the limits now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeUsage {
    /// Tasks that run.
    pub running: u32,
    /// Tasks that wait.
    pub queued: u32,
    /// Guests, the broker included.
    pub guests: u32,
    /// Memory of all guests, MiB.
    pub memory_mib: u64,
}

/// An image on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ImageInfo {
    /// How a wrapper names it.
    pub reference: ImageReference,
    /// Its version.
    pub version: String,
    /// `drb` or `dmf`.
    pub role: String,
    /// Size of the file, bytes.
    pub size: u64,
    /// Least memory, MiB.
    pub minimum_memory_mib: u32,
    /// Whether it is for the node's own processor, and not one that it translates.
    pub native: bool,
    /// When it was added.
    pub added_at: Timestamp,
}

/// A registered source; where it is and its credentials are not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceInfo {
    /// How an operation names it.
    pub name: Name,
    /// `influxdb1`.
    pub kind: String,
}

//! Drafts: what people write, with the keys left out that the tool fills in.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::name::{ImageReference, Name, NodeEpoch, TaskId};
use super::{TaskError, Wrapper, parse};
use crate::{codes, json};

/// A task as people write it: the keys of `fades.task.v1`, where `schema`, everything in `credentials`, the digest in `dmf.image`,
/// `dmf.resources` (64 MiB, 30 s) and `dmf.lifetime` (ephemeral) may be absent. Whatever is written is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDraft {
    root: Map<String, Value>,
}

/// What the tool knows and the draft need not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// A fresh id.
    pub task_id: TaskId,
    /// Issuer for whom the key signs.
    pub issuer: Name,
    /// The node's id.
    pub audience: Name,
    /// The node's epoch.
    pub node_epoch: NodeEpoch,
    /// Used where the draft names no priority.
    pub priority: u8,
    /// Now.
    pub issued_at: Timestamp,
    /// When the wrapper is to expire.
    pub expires_at: Timestamp,
    /// The image of the draft's name with its digest, where the draft names no digest.
    pub image: Option<ImageReference>,
}

impl TaskDraft {
    /// Memory where a draft says nothing, MiB.
    pub const MEMORY_MIB: u32 = 64;
    /// Time where a draft says nothing, ms.
    pub const TIMEOUT_MS: u32 = 30_000;

    /// Reads a draft from TOML and checks all that it says.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_toml(text: &str) -> Result<Self, TaskError> {
        Self::from_value(json::read_toml(text)?)
    }

    /// Reads a draft from JSON and checks all that it says.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TaskError> {
        Self::from_value(json::read_document(bytes)?)
    }

    pub(super) fn from_value(value: Value) -> Result<Self, TaskError> {
        let Value::Object(root) = value else {
            return Err(TaskError::new(codes::TYPE_WRONG, "", "the document is not an object"));
        };
        let draft = Self { root };
        // so that mistakes are told before any node is asked
        draft.on_trial()?;
        Ok(draft)
    }

    /// `dmf.image` as written: with its digest, or a bare name to be resolved.
    pub fn image(&self) -> &str {
        self.at("dmf", "image").and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether `dmf.image` lacks its digest, so that [`Completion::image`] is needed.
    pub fn needs_image_digest(&self) -> bool {
        !self.image().contains('@')
    }

    /// `dmf.lifetime.persistent.until`, if the draft has one.
    pub fn persistent_until(&self) -> Option<Timestamp> {
        self.at("dmf", "lifetime")?.get("persistent")?.get("until")?.as_str()?.parse().ok()
    }

    /// The text of `credentials.KEY`, if the draft says it.
    pub fn credential(&self, key: &str) -> Option<&str> {
        self.at("credentials", key).and_then(Value::as_str)
    }

    pub(super) const fn root(&self) -> &Map<String, Value> {
        &self.root
    }

    /// The question alone: without credentials, and without its image's digest. Whoever runs it has an image and an issuer of its own.
    #[must_use]
    pub fn question(mut self) -> Self {
        self.root.remove("credentials");
        if let Some(Value::String(image)) = self.root.get_mut("dmf").and_then(|dmf| dmf.get_mut("image"))
            && let Some(name) = image.find('@')
        {
            image.truncate(name);
        }
        self
    }

    /// As JSON, which reads as the same draft.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_bytes(&self.root)
    }

    fn at(&self, part: &str, key: &str) -> Option<&Value> {
        self.root.get(part)?.get(key)
    }

    /// Fills in what is absent and reads the whole as a wrapper.
    ///
    /// # Errors
    /// [`DRAFT_INCOMPLETE`](codes::DRAFT_INCOMPLETE) if the image's digest is needed and not given; else as
    /// [`Wrapper::from_json`].
    pub fn complete(&self, with: &Completion) -> Result<Wrapper, TaskError> {
        let mut root = self.root.clone();
        root.entry("schema").or_insert_with(|| super::SCHEMA.into());
        let credentials = root.entry("credentials").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(credentials) = credentials {
            let mut fill = |key: &str, value: Value| {
                credentials.entry(key).or_insert(value);
            };
            fill("task_id", with.task_id.to_string().into());
            fill("issuer", with.issuer.as_str().into());
            fill("audience", with.audience.as_str().into());
            fill("node_epoch", with.node_epoch.to_string().into());
            fill("priority", with.priority.into());
            fill("issued_at", with.issued_at.to_string().into());
            fill("expires_at", with.expires_at.to_string().into());
        }
        if let Some(Value::Object(dmf)) = root.get_mut("dmf") {
            self.complete_image(dmf, with)?;
            dmf.entry("lifetime").or_insert_with(|| "ephemeral".into());
            if let Value::Object(resources) =
                dmf.entry("resources").or_insert_with(|| Value::Object(Map::new()))
            {
                resources.entry("memory_mib").or_insert_with(|| Self::MEMORY_MIB.into());
                resources.entry("timeout_ms").or_insert_with(|| Self::TIMEOUT_MS.into());
            }
        }
        parse::wrapper(&Value::Object(root))
    }

    fn complete_image(&self, dmf: &mut Map<String, Value>, with: &Completion) -> Result<(), TaskError> {
        let Some(Value::String(written)) = dmf.get_mut("image") else { return Ok(()) };
        if written.contains('@') {
            return Ok(());
        }
        match &with.image {
            Some(image) if image.name.as_str() == written => *written = image.to_string(),
            Some(image) => {
                let message =
                    format!("the draft names image {written:?}, but {} was found for it", image.name);
                return Err(TaskError::new(codes::DRAFT_INCOMPLETE, "dmf.image", message));
            }
            None => {
                let message = format!("image {written:?} has no digest, and none was found for it");
                return Err(TaskError::new(codes::DRAFT_INCOMPLETE, "dmf.image", message).with_hint(
                    "write NAME@sha256:DIGEST, or name an image that the node has (`fades image ls`)",
                ));
            }
        }
        Ok(())
    }

    /// The wrapper with placeholders where the draft says nothing: for what runs without node, issuer and image.
    ///
    /// # Errors
    /// As [`Wrapper::from_json`].
    pub fn on_trial(&self) -> Result<Wrapper, TaskError> {
        let placeholder = |text: &str| {
            text.parse::<Name>().map_err(|refused| TaskError::new(refused.code, "dmf.image", refused.message))
        };
        let image = match self.image() {
            written if !written.is_empty() && !written.contains('@') => {
                Some(ImageReference { name: placeholder(written)?, digest: [0; 32] })
            }
            _ => None,
        };
        let time = |key: &str| self.credential(key).and_then(|text| text.parse::<Timestamp>().ok());
        // the one that is absent lies a second from the one that is written, as far as times go
        let from =
            |at: Timestamp, seconds| at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at);
        let (issued_at, expires_at) = match (time("issued_at"), time("expires_at")) {
            (None, Some(expires)) => (from(expires, -1), expires),
            (issued, _) => {
                let issued = issued.unwrap_or(Timestamp::UNIX_EPOCH);
                (issued, from(issued, 1))
            }
        };
        let completion = Completion {
            task_id: TaskId::from_bytes([0; 16]),
            issuer: placeholder("issuer")?,
            audience: placeholder("node")?,
            node_epoch: NodeEpoch([0; 16]),
            priority: 0,
            issued_at,
            expires_at,
            image,
        };
        self.complete(&completion)
    }
}

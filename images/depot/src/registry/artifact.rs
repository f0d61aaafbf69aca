//! What an image is in a registry: tags, the manifest, and its one layer.

use std::collections::BTreeMap;

use fades_envelope::Digest;
use fades_pack::{Architecture, MAX_IMAGE, Version};
use serde::{Deserialize, Serialize};

use crate::index::Entry;

/// Type of the artifact and of its one layer.
pub const ARTIFACT_TYPE: &str = "application/vnd.fades.image.v1";
/// Type of the manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The configuration of what has none.
pub(super) const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Annotations of the manifest.
const NAME: &str = "fades.image.name";
const VERSION: &str = "fades.image.version";
const ARCHITECTURE: &str = "fades.image.architecture";
pub(super) const DIGEST: &str = "fades.image.digest";
/// What other clients call the file.
const TITLE: &str = "org.opencontainers.image.title";

/// A manifest, as far as one of ours goes. Others' keys are passed over.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u8,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("cannot be read: {error}"))
    }

    /// Digest and size of the one layer of an artifact of ours.
    ///
    /// # Errors
    /// It is none of ours, or too large, in words.
    pub fn layer(&self) -> Result<(Digest, usize), String> {
        let layer = match self.layers.as_slice() {
            [layer] if layer.media_type == ARTIFACT_TYPE => layer,
            _ => return Err(format!("is not an image of Fades ({ARTIFACT_TYPE})")),
        };
        let size = usize::try_from(layer.size).ok().filter(|size| *size <= MAX_IMAGE);
        let too_large = || format!("has {} bytes, at most {MAX_IMAGE} are read", layer.size);
        match (layer.digest(), size) {
            (Some(digest), Some(size)) => Ok((digest, size)),
            (_, None) => Err(too_large()),
            (None, _) => Err("has a layer without a digest of SHA-256".to_owned()),
        }
    }
}

/// What a manifest says of a blob.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    /// As it was written: whoever makes a path of it reads it with [`Descriptor::digest`].
    digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

impl Descriptor {
    fn of(media_type: &str, bytes: &[u8], annotations: Option<BTreeMap<String, String>>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", Digest::of(bytes)),
            size: bytes.len() as u64,
            annotations,
        }
    }

    /// The digest, if it is one that we know.
    fn digest(&self) -> Option<Digest> {
        self.digest.strip_prefix("sha256:")?.parse().ok()
    }
}

pub(super) fn tag_of(version: Version, architecture: Architecture) -> String {
    format!("{version}-{architecture}")
}

/// The artifact's manifest: the same image gives the same bytes.
pub(super) fn manifest(image: &[u8], entry: &Entry) -> Manifest {
    let file = format!("{}-{}-{}.img", entry.name.as_str(), entry.version, entry.architecture);
    let notes = [
        (NAME, entry.name.as_str().to_owned()),
        (VERSION, entry.version.to_string()),
        (ARCHITECTURE, entry.architecture.to_string()),
        (DIGEST, entry.digest.to_string()),
    ];
    let title = BTreeMap::from([(TITLE.to_owned(), file)]);
    Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_TYPE.to_owned()),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config: Descriptor::of(EMPTY.0, EMPTY.1, None),
        layers: vec![Descriptor::of(ARTIFACT_TYPE, image, Some(title))],
        annotations: Some(notes.map(|(key, value)| (key.to_owned(), value)).into()),
    }
}

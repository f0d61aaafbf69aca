//! Everything about an image file that a person may want to see, without booting it.

use crate::{
    ImageError, Manifest,
    image::{PackedImage, open},
    sections::{Section, build_id, sections},
};
use fades_envelope::{Digest, KeyId, PublicKey};
use serde::Serialize;

/// What `fades image inspect` prints. Serialisable as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `name@sha256:<hex>`, as a wrapper names it.
    pub reference: String,
    /// SHA-256 of the manifest.
    pub digest: Digest,
    /// SHA-256 of the whole file.
    pub file_sha256: Digest,
    /// Length of the whole file, in bytes.
    pub file_size: u64,
    /// The key that is said to have signed.
    pub key_id: KeyId,
    /// Whether the signature was checked.
    pub signature: Signature,
    /// What the signer says.
    pub manifest: Manifest,
    /// The application's build id, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    /// The loader's sections, largest first.
    pub loader_sections: Vec<Section>,
    /// The application's sections, largest first.
    pub application_sections: Vec<Section>,
}

/// Whether an image's signature was checked. A wrong one is an error, not one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// Checked with a key that was given, and good.
    Verified,
    /// No key was given: parts and digests are consistent, who signed is not known.
    NotChecked,
}

/// Inspects an image file. `key_of` looks up the key for an id; where it knows none, the file is shown unverified.
pub fn inspect(
    bytes: &[u8],
    key_of: impl FnOnce(KeyId) -> Option<PublicKey>,
) -> Result<Inspection, ImageError> {
    let packed: PackedImage<'_> = open(bytes)?;
    let (contents, signature) = match key_of(packed.key_id()) {
        Some(key) => (packed.verify(&key)?.into_contents(), Signature::Verified),
        None => (packed.unverified_contents()?, Signature::NotChecked),
    };
    Ok(Inspection {
        reference: format!("{}@sha256:{}", contents.manifest.name, contents.digest),
        digest: contents.digest,
        file_sha256: Digest::of(bytes),
        file_size: bytes.len() as u64,
        key_id: packed.key_id(),
        signature,
        build_id: build_id(contents.application),
        // Both were read as ELF files on opening; a section table that cannot be read shows as empty.
        loader_sections: sections(contents.loader).unwrap_or_default(),
        application_sections: sections(contents.application).unwrap_or_default(),
        manifest: contents.manifest,
    })
}

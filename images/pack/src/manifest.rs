//! The manifest: what an image says of itself, and the signature binds.

use crate::{error::ManifestError, name::ImageName, version::Version};
use fades_envelope::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// `schema` of the manifests of this version.
pub const SCHEMA: &str = "fades.image.v1";

/// Least memory that a manifest may ask for, in MiB: below it no kernel of ours starts.
pub const LEAST_MEMORY_MIB: u32 = 8;
/// Most memory that a manifest may ask for, in MiB (64 GiB: beyond any edge node, and far from overflowing as bytes).
pub const MOST_MEMORY_MIB: u32 = 64 * 1024;

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The Data Resource Broker.
    Drb,
    /// A Data Manipulation Function.
    Dmf,
}

/// The processor an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// `x86_64`
    X86_64,
    /// `aarch64`
    Aarch64,
}

/// The two parts, in the order in which they lie in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartName {
    /// The boot loader, an ELF with the PVH note.
    Loader,
    /// Kernel and program, an ELF that the loader loads.
    Application,
}

/// One part of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which one.
    pub name: PartName,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// What the author's code says of a function, as its program on the host describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// JSON Schema (2020-12) of the wrapper's `dmf.parameters`. A node refuses a wrapper that does not fit.
    pub parameters: Value,
    /// JSON Schema of the result.
    pub result: Value,
    /// Whether its operations are to come side by side.
    pub together: bool,
}

/// What the signer says about an image. Written as JSON in one form: keys in this order, no white space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the image, for instance `stats`.
    pub name: ImageName,
    /// Its version.
    pub version: Version,
    /// What it is for.
    pub role: Role,
    /// Where it runs.
    pub architecture: Architecture,
    /// Least memory that it starts with, in MiB.
    pub minimum_memory_mib: u32,
    /// Loader, then application.
    pub parts: [Part; 2],
    /// SHA-256 over both parts, one after the other.
    pub digest: Digest,
    /// Length of both parts together, in bytes.
    pub size: u64,
    /// What the function in it takes and gives; a broker has none, and neither has a function that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<Function>,
}

impl Manifest {
    /// The payload to sign.
    pub fn to_payload(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a manifest strictly: known keys, each once, values in range, and the one written form.
    pub fn parse(payload: &[u8]) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = serde_json::from_slice(payload)?;
        if manifest.schema != SCHEMA {
            return Err(ManifestError::Schema(manifest.schema));
        }
        if !(LEAST_MEMORY_MIB..=MOST_MEMORY_MIB).contains(&manifest.minimum_memory_mib) {
            return Err(ManifestError::Memory(manifest.minimum_memory_mib));
        }
        if manifest.parts[0].name != PartName::Loader || manifest.parts[1].name != PartName::Application {
            return Err(ManifestError::Parts);
        }
        let sum = manifest.parts[0].size.checked_add(manifest.parts[1].size);
        if sum != Some(manifest.size) {
            return Err(ManifestError::Size { said: manifest.size });
        }
        if manifest.to_payload()? != payload {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Drb => "drb",
            Role::Dmf => "dmf",
        })
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Aarch64 => "aarch64",
        })
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PartName::Loader => "loader",
            PartName::Application => "application",
        })
    }
}

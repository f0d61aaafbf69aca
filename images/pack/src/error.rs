//! Why an image or its manifest is refused. Each variant is one stable reason with its code.

use crate::{Architecture, PartName, Role, Version};
use fades_api::codes::{self, Code};
use fades_envelope::{Digest, EnvelopeError};

/// Why signed bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest: syntax, unknown or doubled keys, a value of another type.
    #[error("the manifest cannot be read")]
    Json(#[from] serde_json::Error),
    /// Another schema.
    #[error("the manifest has schema {0:?}, expected \"fades.image.v1\"")]
    Schema(String),
    /// Memory out of range, in MiB.
    #[error("minimum_memory_mib is {0}, possible is {least} to {most}", least = crate::manifest::LEAST_MEMORY_MIB, most = crate::manifest::MOST_MEMORY_MIB)]
    Memory(u32),
    /// The parts are not loader and application, in this order.
    #[error("the parts are not loader and application, in this order")]
    Parts,
    /// The size is not the sum of the parts' sizes.
    #[error("the size {said} is not the sum of the parts")]
    Size {
        /// What the manifest says, in bytes.
        said: u64,
    },
    /// Readable, and not in the one written form.
    #[error("the manifest is not in its one written form")]
    NotCanonical,
}

/// Why bytes are not an image that may boot here.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Larger than any image may be; nothing was read.
    #[error("the image has {size} bytes, at most {} are read", crate::MAX_IMAGE)]
    TooLarge {
        /// Size given, in bytes.
        size: u64,
    },
    /// The file ends before what it announces.
    #[error("the image ends at byte {size}, its {what} reaches to byte {end}")]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        size: u64,
    },
    /// The file does not begin as an image does.
    #[error("not an image file: it does not begin with \"FADESIMG\"")]
    Magic,
    /// A later or unknown format.
    #[error("image format {0} is not known, this program reads format 1")]
    Format(u32),
    /// Bytes after the last part.
    #[error("{count} bytes follow the end of the image")]
    Trailing {
        /// How many.
        count: u64,
    },
    /// The signed manifest is not an envelope, or not signed by the key given.
    #[error("the image's manifest is not properly signed")]
    Envelope(#[from] EnvelopeError),
    /// What is signed is not a manifest.
    #[error("the image's manifest is not acceptable")]
    Manifest(#[from] ManifestError),
    /// A part is not what the manifest says.
    #[error("the {part} has digest {found}, its manifest says {said}")]
    PartDigest {
        /// Which part.
        part: PartName,
        /// In the manifest.
        said: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// Both parts together are not what the manifest says.
    #[error("the parts have digest {found}, the manifest says {said}")]
    Digest {
        /// In the manifest.
        said: Digest,
        /// Of the bytes.
        found: Digest,
    },
    /// A part is not an ELF for the architecture of the manifest, or, where a loader is a flat image, not that.
    #[error("the {part} is not an ELF for {architecture}: {found}")]
    Elf {
        /// Which part.
        part: PartName,
        /// In the manifest.
        architecture: Architecture,
        /// What it is.
        found: String,
    },
    /// A genuine image, and not the one that is wanted.
    #[error(transparent)]
    NotWanted(#[from] NotWanted),
}

impl ImageError {
    /// The code of the catalogue.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => codes::IMAGE_TOO_LARGE,
            Self::Truncated { .. } => codes::IMAGE_TRUNCATED,
            Self::Magic => codes::IMAGE_NOT_ONE,
            Self::Format(_) => codes::IMAGE_FORMAT_VERSION,
            Self::Trailing { .. } => codes::IMAGE_TRAILING_BYTES,
            Self::Envelope(_) => codes::IMAGE_SIGNATURE_INVALID,
            Self::Manifest(_) => codes::IMAGE_MANIFEST_MALFORMED,
            Self::PartDigest { .. } | Self::Digest { .. } => codes::IMAGE_DIGEST_WRONG,
            Self::Elf { .. } => codes::IMAGE_ELF_REFUSED,
            Self::NotWanted(why) => why.code(),
        }
    }
}

/// Why a genuine image is not the one that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWanted {
    /// Another image.
    #[error("the image is {found}, wanted is sha256:{wanted}")]
    Digest {
        /// The digest asked for.
        wanted: Digest,
        /// `name@sha256:…` of the image.
        found: String,
    },
    /// Right digest, other name.
    #[error("the image is called {found:?}, wanted is {wanted:?}")]
    Name {
        /// The name asked for.
        wanted: String,
        /// The name in the manifest.
        found: String,
    },
    /// A broker where a function belongs, or the reverse.
    #[error("the image is a {found}, wanted is a {wanted}")]
    Role {
        /// The role asked for.
        wanted: Role,
        /// The role in the manifest.
        found: Role,
    },
    /// For another processor.
    #[error("the image is for {found}, this node is {wanted}")]
    Architecture {
        /// Of the node.
        wanted: Architecture,
        /// In the manifest.
        found: Architecture,
    },
    /// Older than what the node still boots.
    #[error("the image has version {found}, {floor} is the least that is taken")]
    BelowFloor {
        /// The node's floor.
        floor: Version,
        /// In the manifest.
        found: Version,
    },
}

impl NotWanted {
    /// The code of the catalogue.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Architecture { .. } => codes::IMAGE_ARCHITECTURE_WRONG,
            Self::Role { .. } => codes::IMAGE_ROLE_WRONG,
            Self::BelowFloor { .. } => codes::IMAGE_BELOW_FLOOR,
            Self::Digest { .. } | Self::Name { .. } => codes::IMAGE_NOT_THE_ONE,
        }
    }
}

/// Why an image could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The description or the parts would be refused on opening.
    #[error("this would not be an acceptable image")]
    Refused(#[from] ImageError),
    /// The manifest could not be written.
    #[error("the manifest could not be written")]
    Json(#[from] serde_json::Error),
}

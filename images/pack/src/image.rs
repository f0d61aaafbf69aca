//! The image file, from bytes to something that may boot.
//!
//! ```text
//! 0    "FADESIMG"
//! 8    u32 LE   format, 1
//! 12   u32 LE   length of the envelope
//! 16   envelope (purpose image) around the manifest
//!      loader, application: lengths in the manifest; nothing after them
//! ```
//!
//! [`open`] reads the outer shape, [`PackedImage::verify`] checks the signature, then reads the manifest, then checks
//! the parts; [`Image::admit`] compares with what is wanted. Only an [`Image`] gives out its parts.

use crate::{Architecture, ImageError, Manifest, NotWanted, PartName, Reference, Role, Version, sections};
use fades_envelope::{Digest, KeyId, PublicKey, Purpose, Unverified};

/// Largest image file, in bytes. Ours stay under 3 MiB; the cap leaves room for functions of others, and bounds what
/// reading a file into memory costs.
pub const MAX_IMAGE: usize = 8 * 1024 * 1024;

/// First bytes of every image file.
pub const MAGIC: &[u8; 8] = b"FADESIMG";
/// Format of the image files of this version.
pub const FORMAT: u32 = 1;
/// Length of what stands before the envelope, in bytes.
pub const HEADER_LEN: usize = 16;

/// An image file of the right outer shape. Nothing in it is to be believed yet.
#[derive(Clone, Copy, Debug)]
pub struct PackedImage<'a> {
    envelope: Unverified<'a>,
    parts: &'a [u8],
}

/// Reads the outer shape of an image file: size cap, header, envelope. No cryptography, and no copy.
pub fn open(bytes: &[u8]) -> Result<PackedImage<'_>, ImageError> {
    let size = bytes.len() as u64;
    if bytes.len() > MAX_IMAGE {
        return Err(ImageError::TooLarge { size });
    }
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(ImageError::Truncated {
        what: "header",
        end: HEADER_LEN as u64,
        size,
    })?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !header.starts_with(MAGIC) {
        return Err(ImageError::Magic);
    }
    if word(8) != FORMAT {
        return Err(ImageError::Format(word(8)));
    }
    let length = word(12);
    let end = HEADER_LEN as u64 + u64::from(length);
    let (envelope, parts) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(ImageError::Truncated { what: "envelope", end, size })?;
    Ok(PackedImage { envelope: fades_envelope::parse(envelope)?, parts })
}

impl<'a> PackedImage<'a> {
    /// The key that is said to have signed, for looking it up.
    pub fn key_id(&self) -> KeyId {
        self.envelope.key_id()
    }

    /// Checks the signature, reads the manifest, and checks both parts against it.
    pub fn verify(self, key: &PublicKey) -> Result<Image<'a>, ImageError> {
        let verified = self.envelope.verify(key, Purpose::Image)?;
        Contents::check(verified.payload(), self.parts).map(|contents| Image { contents, key_id: key.id() })
    }

    /// What the file holds, believed or not: for showing it to a person.
    pub(crate) fn unverified_contents(&self) -> Result<Contents<'a>, ImageError> {
        Contents::check(self.envelope.unverified_payload(), self.parts)
    }
}

/// A manifest and the parts that it describes.
#[derive(Clone, Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) manifest: Manifest,
    pub(crate) digest: Digest,
    pub(crate) loader: &'a [u8],
    pub(crate) application: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Reads `payload` as a manifest, cuts `parts` as it says, and checks sizes, digests and architecture.
    pub(crate) fn check(payload: &[u8], parts: &'a [u8]) -> Result<Contents<'a>, ImageError> {
        let manifest = Manifest::parse(payload)?;
        let size = parts.len() as u64;
        if manifest.size > size {
            return Err(ImageError::Truncated { what: "parts", end: manifest.size, size });
        }
        if manifest.size < size {
            return Err(ImageError::Trailing { count: size - manifest.size });
        }
        let (loader, application) = usize::try_from(manifest.parts[0].size)
            .ok()
            .and_then(|loader| parts.split_at_checked(loader))
            .ok_or(ImageError::Truncated { what: "loader", end: manifest.parts[0].size, size })?;
        for (part, bytes) in manifest.parts.iter().zip([loader, application]) {
            let found = Digest::of(bytes);
            if found != part.sha256 {
                return Err(ImageError::PartDigest { part: part.name, said: part.sha256, found });
            }
        }
        let found = Digest::of(parts);
        if found != manifest.digest {
            return Err(ImageError::Digest { said: manifest.digest, found });
        }
        sections::check_machine(PartName::Loader, loader, manifest.architecture)?;
        sections::check_machine(PartName::Application, application, manifest.architecture)?;
        Ok(Contents { manifest, digest: Digest::of(payload), loader, application })
    }
}

/// A genuine image: signed by the key it was checked with, its parts as the manifest says.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    contents: Contents<'a>,
    key_id: KeyId,
}

/// What is wanted of an image before it boots. `None` means any.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is to be used as.
    pub role: Role,
    /// The node's processor.
    pub architecture: Architecture,
    /// The image that a wrapper names.
    pub reference: Option<Reference>,
    /// The oldest version of this name that the node still boots.
    pub floor: Option<Version>,
}

impl<'a> Image<'a> {
    /// What the signer says.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// SHA-256 of the manifest's signed bytes: the image's digest.
    pub fn digest(&self) -> Digest {
        self.contents.digest
    }

    /// `name@sha256:<hex>`.
    pub fn reference(&self) -> Reference {
        Reference { name: self.contents.manifest.name.clone(), digest: self.contents.digest }
    }

    /// The key that signed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The loader, to be handed over by content (a sealed memory file), never by name.
    pub fn loader(&self) -> &'a [u8] {
        self.contents.loader
    }

    /// The application, to be handed over like the loader.
    pub fn application(&self) -> &'a [u8] {
        self.contents.application
    }

    /// What was checked, for showing it.
    pub(crate) fn into_contents(self) -> Contents<'a> {
        self.contents
    }

    /// Compares with what is wanted: the exact image first, then what it is, then how old.
    pub fn admit(&self, wanted: &Wanted) -> Result<(), NotWanted> {
        let manifest = self.manifest();
        if let Some(reference) = &wanted.reference {
            if reference.digest != self.digest() {
                return Err(NotWanted::Digest {
                    wanted: reference.digest,
                    found: self.reference().to_string(),
                });
            }
            if reference.name != manifest.name {
                let (wanted, found) = (reference.name.to_string(), manifest.name.to_string());
                return Err(NotWanted::Name { wanted, found });
            }
        }
        if manifest.role != wanted.role {
            return Err(NotWanted::Role { wanted: wanted.role, found: manifest.role });
        }
        if manifest.architecture != wanted.architecture {
            return Err(NotWanted::Architecture {
                wanted: wanted.architecture,
                found: manifest.architecture,
            });
        }
        match wanted.floor {
            Some(floor) if manifest.version < floor => {
                Err(NotWanted::BelowFloor { floor, found: manifest.version })
            }
            _ => Ok(()),
        }
    }
}

//! Making an image file.

use crate::{
    Architecture, ImageError, ImageName, Manifest, PackError, Part, PartName, Role, Version,
    image::{Contents, FORMAT, HEADER_LEN, MAGIC, MAX_IMAGE},
    manifest::{Function, SCHEMA},
};
use fades_envelope::{Digest, Purpose, SigningKey};

/// What the packer says about an image; the rest of the manifest follows from the parts.
#[derive(Clone, Debug)]
pub struct Description {
    /// Name of the image.
    pub name: ImageName,
    /// Its version.
    pub version: Version,
    /// What it is for.
    pub role: Role,
    /// Where it runs.
    pub architecture: Architecture,
    /// Least memory that it starts with, in MiB.
    pub minimum_memory_mib: u32,
    /// What the function in it takes and gives.
    pub function: Option<Function>,
}

/// Makes an image file and signs its manifest. What [`crate::open`] and `verify` would refuse is refused here.
///
/// The same parts, description and key give the same bytes.
pub fn pack(
    description: &Description,
    loader: &[u8],
    application: &[u8],
    key: &SigningKey,
) -> Result<Vec<u8>, PackError> {
    let part = |name, bytes: &[u8]| Part { name, sha256: Digest::of(bytes), size: bytes.len() as u64 };
    let manifest = Manifest {
        schema: SCHEMA.into(),
        name: description.name.clone(),
        version: description.version,
        role: description.role,
        architecture: description.architecture,
        minimum_memory_mib: description.minimum_memory_mib,
        parts: [part(PartName::Loader, loader), part(PartName::Application, application)],
        digest: Digest::of_parts(&[loader, application]),
        size: loader.len() as u64 + application.len() as u64,
        function: description.function.clone(),
    };
    let payload = manifest.to_payload()?;
    let envelope = fades_envelope::sign(key, Purpose::Image, &payload);
    let size = HEADER_LEN + envelope.len() + loader.len() + application.len();
    if size > MAX_IMAGE {
        return Err(ImageError::TooLarge { size: size as u64 }.into());
    }
    let length = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(size);
    out.extend(MAGIC);
    out.extend(FORMAT.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(&envelope);
    let parts = out.len();
    out.extend(loader);
    out.extend(application);
    Contents::check(&payload, &out[parts..])?;
    Ok(out)
}

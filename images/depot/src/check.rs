//! What makes an image file believed: a signature by a key that is known, and being the one that is wanted.

use std::collections::BTreeMap;

use fades_envelope::{KeyId, PublicKey};
use fades_pack::{Architecture, Image, ImageError, Wanted, open};

use crate::index::Entry;
use crate::{DepotError, Selector};

/// Keys whose images are taken.
#[derive(Clone, Debug, Default)]
pub struct Keys(BTreeMap<KeyId, PublicKey>);

impl FromIterator<PublicKey> for Keys {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key)).collect())
    }
}

/// A genuine image file: signed by a known key, whole, its parts as its manifest says. Made by [`check`] alone.
#[derive(Clone, Debug)]
pub struct Checked {
    bytes: Vec<u8>,
    entry: Entry,
}

/// Checks an image file with the keys that are known.
///
/// # Errors
/// When it is no image, of nobody known, or was changed.
pub fn check(bytes: Vec<u8>, keys: &Keys) -> Result<Checked, DepotError> {
    examine(bytes, keys, |_| Ok(()))
}

/// The same for an image that was asked for: who keeps it may have given another.
pub(crate) fn check_wanted(
    bytes: Vec<u8>,
    keys: &Keys,
    wanted: Option<&Selector>,
    architecture: Architecture,
) -> Result<Checked, DepotError> {
    examine(bytes, keys, |image| {
        let (mut reference, mut floor) = (None, None);
        match wanted {
            Some(Selector::Digest(exact)) => reference = Some(exact.clone()),
            Some(Selector::AtLeast(_, least)) => floor = Some(*least),
            _ => {}
        }
        let manifest = image.manifest();
        image
            .admit(&Wanted { role: manifest.role, architecture, reference, floor })
            .map_err(ImageError::from)?;
        let (name, version) = (manifest.name.as_str(), manifest.version);
        match wanted {
            Some(wanted) if !wanted.matches(name, version, image.digest()) => {
                Err(DepotError::Another { wanted: wanted.to_string(), found: format!("{name}:{version}") })
            }
            _ => Ok(()),
        }
    })
}

fn examine(
    bytes: Vec<u8>,
    keys: &Keys,
    is_wanted: impl FnOnce(&Image<'_>) -> Result<(), DepotError>,
) -> Result<Checked, DepotError> {
    let packed = open(&bytes)?;
    let signer = packed.key_id();
    let key = keys.0.get(&signer).ok_or(DepotError::Signer(signer))?;
    let image = packed.verify(key)?;
    is_wanted(&image)?;
    let entry = Entry::new(image.manifest(), image.digest(), bytes.len(), signer);
    Ok(Checked { bytes, entry })
}

impl Checked {
    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file, to keep.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What it is.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }
}

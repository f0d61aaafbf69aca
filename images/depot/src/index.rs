//! The index of a folder: which name, version and architecture is which file. It is not signed and not believed: it only
//! says where to look.

use fades_envelope::{Digest, KeyId};
use fades_pack::{Architecture, ImageError, ImageName, Manifest, Role, Version};
use serde::{Deserialize, Serialize};

use crate::{DepotError, Selector};

/// Name of the file, in the folder's root.
pub const FILE: &str = "fades-images.json";
/// `schema` of the indexes of this version.
pub const SCHEMA: &str = "fades.images.v1";
/// Largest index that is read, bytes: some ten thousand images.
pub const MAX_INDEX: usize = 4 * 1024 * 1024;

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// [`SCHEMA`].
    pub schema: String,
    /// By name and architecture, newest version first.
    pub images: Vec<Entry>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: ImageName,
    /// Its version.
    pub version: Version,
    /// What it is for.
    pub role: Role,
    /// Where it runs.
    pub architecture: Architecture,
    /// SHA-256 of its manifest.
    pub digest: Digest,
    /// Size of the file, bytes.
    pub size: u64,
    /// The key that signed it.
    pub signer: KeyId,
}

impl Entry {
    pub(crate) fn new(manifest: &Manifest, digest: Digest, size: usize, signer: KeyId) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version,
            role: manifest.role,
            architecture: manifest.architecture,
            digest,
            size: size as u64,
            signer,
        }
    }

    /// What an image file says of itself. It is whole and its parts fit its manifest; who signed it is not looked at, as
    /// whoever fetches it must.
    ///
    /// # Errors
    /// When it is no image.
    pub fn of(bytes: &[u8]) -> Result<Self, ImageError> {
        let image = fades_pack::inspect(bytes, |_| None)?;
        Ok(Self::new(&image.manifest, image.digest, bytes.len(), image.key_id))
    }

    /// Name, version and architecture, for people.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}:{} for {}", self.name.as_str(), self.version, self.architecture)
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { schema: SCHEMA.to_owned(), images: Vec::new() }
    }
}

impl Index {
    /// Reads an index of the place.
    ///
    /// # Errors
    /// When it is none, or of another schema.
    pub fn read(bytes: &[u8], place: &str) -> Result<Self, DepotError> {
        let refuse = |what: String| DepotError::Answer { place: place.to_owned(), what };
        let index: Self = serde_json::from_slice(bytes)
            .map_err(|error| refuse(format!("its {FILE} cannot be read: {error}")))?;
        if index.schema != SCHEMA {
            return Err(refuse(format!("its {FILE} has schema {:?}, expected {SCHEMA:?}", index.schema)));
        }
        Ok(index)
    }

    /// The file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The image that is wanted: of several the newest version. Without a selector the only name there is.
    pub(crate) fn choose(
        &self,
        wanted: Option<&Selector>,
        architecture: Architecture,
        place: &str,
    ) -> Result<&Entry, DepotError> {
        let fitting = |entry: &&Entry| {
            entry.architecture == architecture
                && wanted
                    .is_none_or(|wanted| wanted.matches(entry.name.as_str(), entry.version, entry.digest))
        };
        let names: std::collections::BTreeSet<&str> =
            self.images.iter().map(|entry| entry.name.as_str()).collect();
        let names = names.into_iter().collect::<Vec<_>>();
        if wanted.is_none() && names.len() > 1 {
            return Err(DepotError::Several { place: place.to_owned(), has: names.join(", ") });
        }
        self.images.iter().filter(fitting).max_by_key(|entry| entry.version).ok_or_else(|| {
            let what = wanted.map_or_else(|| "image".to_owned(), Selector::to_string);
            let same =
                self.images.iter().filter(|entry| wanted.is_some_and(|wanted| entry.name == *wanted.name()));
            let mut has: Vec<String> = same.map(Entry::words).collect();
            if has.is_empty() {
                has = names.into_iter().map(str::to_owned).collect();
            }
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            DepotError::NotThere {
                place: place.to_owned(),
                wanted: format!("{what} for {architecture}"),
                has: Some(has),
            }
        })
    }

    /// Adds an image; says whether that changes anything. One name, version and architecture is one image.
    pub(crate) fn add(&mut self, entry: &Entry, place: &str) -> Result<bool, DepotError> {
        let same = |other: &&mut Entry| {
            (&other.name, other.version, other.architecture)
                == (&entry.name, entry.version, entry.architecture)
        };
        match self.images.iter_mut().find(same) {
            Some(other) if other.digest != entry.digest => {
                Err(DepotError::Taken { place: place.to_owned(), image: entry.words(), digest: other.digest })
            }
            Some(other) if other == entry => Ok(false),
            Some(other) => {
                *other = entry.clone();
                Ok(true)
            }
            None => {
                self.images.push(entry.clone());
                let word = |entry: &Entry| entry.architecture.to_string();
                self.images
                    .sort_by_key(|entry| (entry.name.clone(), word(entry), std::cmp::Reverse(entry.version)));
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, version: &str, architecture: Architecture, number: u8) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            version: version.parse().unwrap(),
            role: Role::Dmf,
            architecture,
            digest: Digest([number; 32]),
            size: 1,
            signer: KeyId([0; 32]),
        }
    }

    fn index() -> Index {
        let mut index = Index::default();
        for (name, version, architecture, number) in [
            ("stats", "1.2.0", Architecture::X86_64, 1),
            ("stats", "1.10.0", Architecture::X86_64, 2),
            ("stats", "2.0.0", Architecture::Aarch64, 3),
            ("drb", "1.0.0", Architecture::X86_64, 4),
        ] {
            assert!(index.add(&entry(name, version, architecture, number), "here").unwrap());
        }
        index
    }

    #[test]
    fn the_file_is_pinned() {
        let mut index = Index::default();
        index.add(&entry("stats", "1.2.0", Architecture::X86_64, 1), "here").unwrap();
        let (digest, signer) = ("01".repeat(32), "00".repeat(32));
        let text = format!(
            "{{\n  \"schema\": \"fades.images.v1\",\n  \"images\": [\n    {{\n      \"name\": \"stats\",\n      \
             \"version\": \"1.2.0\",\n      \"role\": \"dmf\",\n      \"architecture\": \"x86_64\",\n      \
             \"digest\": \"{digest}\",\n      \"size\": 1,\n      \"signer\": \"{signer}\"\n    }}\n  ]\n}}\n"
        );
        assert_eq!(String::from_utf8(index.write()).unwrap(), text);
        assert_eq!(Index::read(text.as_bytes(), "here").unwrap(), index);
        for other in
            [text.replace("images.v1", "images.v2"), text.replace("stats", "St/../ats"), text[1..].to_owned()]
        {
            assert!(
                matches!(Index::read(other.as_bytes(), "here"), Err(DepotError::Answer { .. })),
                "{other}"
            );
        }
    }

    #[test]
    fn the_newest_that_fits_is_chosen() {
        let index = index();
        let chosen = |text: &str, architecture| {
            let wanted: Selector = text.parse().unwrap();
            index.choose(Some(&wanted), architecture, "here").map(|entry| entry.digest.0[0])
        };
        assert_eq!(chosen("stats", Architecture::X86_64).unwrap(), 2);
        assert_eq!(chosen("stats", Architecture::Aarch64).unwrap(), 3);
        assert_eq!(chosen("stats:1.2.0", Architecture::X86_64).unwrap(), 1);
        assert_eq!(chosen("stats:1.5.0+", Architecture::X86_64).unwrap(), 2);
        let exact = format!("stats@sha256:{}", Digest([1; 32]));
        assert_eq!(chosen(&exact, Architecture::X86_64).unwrap(), 1);
        for none in ["stats:2.0.0", "stats:2.0.0+", "window", "drb:1.0.1"] {
            let error = chosen(none, Architecture::X86_64).unwrap_err();
            assert!(matches!(error, DepotError::NotThere { .. }), "{none}: {error}");
        }
        let said = chosen("stats:3.0.0", Architecture::X86_64).unwrap_err().to_string();
        assert!(said.contains("stats:1.10.0 for x86_64") && !said.contains("drb"), "{said}");
        assert!(matches!(index.choose(None, Architecture::X86_64, "here"), Err(DepotError::Several { .. })));
    }

    #[test]
    fn one_name_and_version_is_one_image() {
        let mut index = index();
        let before = index.clone();
        assert!(!index.add(&entry("stats", "1.2.0", Architecture::X86_64, 1), "here").unwrap());
        let other = index.add(&entry("stats", "1.2.0", Architecture::X86_64, 9), "here");
        assert!(matches!(other, Err(DepotError::Taken { digest: Digest([1, ..]), .. })), "{other:?}");
        assert_eq!(index, before);
        // signed anew by somebody else: the same image, another file
        let signed = Entry { signer: KeyId([1; 32]), ..entry("stats", "1.2.0", Architecture::X86_64, 1) };
        assert!(index.add(&signed, "here").unwrap());
        assert_eq!(index.images.len(), before.images.len());
    }
}

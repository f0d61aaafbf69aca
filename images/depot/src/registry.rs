//! A repository of an OCI registry. An image file is one layer of an artifact, so that registries keep it as they keep
//! others: manifest `application/vnd.oci.image.manifest.v1+json` with `artifactType` [`ARTIFACT_TYPE`], the empty
//! configuration, and annotations for whoever looks at it there.
//!
//! Tags: `VERSION-ARCHITECTURE`, or the one that was typed; and `sha256-DIGEST` of the image's own digest, by which
//! `NAME@sha256:DIGEST` is found.

mod artifact;
mod challenge;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use fades_envelope::Digest;
use fades_pack::{Architecture, Version};
use serde::Deserialize;

use crate::index::Entry;
use crate::place::Repository;
use crate::{DepotError, Options, Selector};

pub use artifact::{ARTIFACT_TYPE, Manifest};
use artifact::{DIGEST, EMPTY, MANIFEST_TYPE, manifest, tag_of};
pub use challenge::token_from;
use session::{Scope, Session};

/// Largest manifest that is read, bytes.
const MAX_MANIFEST: usize = 64 * 1024;
/// Tags asked for at once, most bytes of an answer, and how often.
const TAGS: (usize, usize, usize) = (1000, 4 * 1024 * 1024, 20);

pub(crate) async fn fetch(
    repository: &Repository,
    wanted: Option<&Selector>,
    architecture: Architecture,
    options: &Options,
) -> Result<Vec<u8>, DepotError> {
    let session = Session::open(repository, options, Scope::Pull).await?;
    let tag = match (&repository.tag, wanted) {
        (Some(tag), _) => tag.clone(),
        (None, Some(Selector::Digest(exact))) => format!("sha256-{}", exact.digest),
        (None, Some(Selector::Version(_, version))) => tag_of(*version, architecture),
        (None, _) => session.newest(wanted, architecture).await?,
    };
    let not_there =
        |wanted: String| DepotError::NotThere { place: repository.to_string(), wanted, has: None };
    let manifest = session.manifest(&tag).await?.ok_or_else(|| {
        not_there(wanted.map_or_else(|| format!("tag {tag}"), |wanted| format!("{wanted} (tag {tag})")))
    })?;
    let (digest, size) = session.layer(&tag, &manifest)?;
    let path = format!("blobs/sha256:{digest}");
    let bytes = session.get(&path, None, size).await?.ok_or_else(|| not_there(path.clone()))?;
    if Digest::of(&bytes) == digest {
        Ok(bytes)
    } else {
        Err(DepotError::Changed { place: repository.to_string(), what: path })
    }
}

pub(crate) async fn push(
    repository: &Repository,
    image: &[u8],
    entry: &Entry,
    options: &Options,
) -> Result<String, DepotError> {
    let session = Session::open(repository, options, Scope::Push).await?;
    let tag = repository.tag.clone().unwrap_or_else(|| tag_of(entry.version, entry.architecture));
    // A tag that was typed may be moved; one that says a version means one image.
    if repository.tag.is_none() {
        session.refuse_other(&tag, entry).await?;
    }
    for bytes in [EMPTY.1, image] {
        session.put_blob(Digest::of(bytes), bytes.to_vec()).await?;
    }
    let manifest = serde_json::to_vec(&manifest(image, entry)).unwrap_or_default();
    for tag in [format!("sha256-{}", entry.digest), tag.clone()] {
        session.put_manifest(&tag, MANIFEST_TYPE, manifest.clone()).await?;
    }
    Ok(Repository { tag: Some(tag), ..repository.clone() }.to_string())
}

impl Session<'_> {
    /// The manifest of a tag; none where there is no such tag.
    async fn manifest(&self, tag: &str) -> Result<Option<Manifest>, DepotError> {
        let path = format!("manifests/{tag}");
        let Some(bytes) = self.get(&path, Some(MANIFEST_TYPE), MAX_MANIFEST).await? else { return Ok(None) };
        Manifest::read(&bytes).map(Some).map_err(|why| self.answer(format!("the manifest of {tag} {why}")))
    }

    /// Digest and size of the one layer of an artifact of ours.
    fn layer(&self, tag: &str, manifest: &Manifest) -> Result<(Digest, usize), DepotError> {
        manifest.layer().map_err(|why| self.answer(format!("{tag} {why}")))
    }

    /// The newest version for a processor, by the tags that there are.
    async fn newest(
        &self,
        wanted: Option<&Selector>,
        architecture: Architecture,
    ) -> Result<String, DepotError> {
        let mut found: BTreeSet<Version> = BTreeSet::new();
        let (mut last, suffix) = (String::new(), format!("-{architecture}"));
        for _ in 0..TAGS.2 {
            let tags = self.tags(&last).await?;
            found.extend(tags.iter().filter_map(|tag| tag.strip_suffix(&suffix)?.parse::<Version>().ok()));
            // Some registries give fewer than they are asked for, and some all of them every time.
            match tags.last() {
                Some(tag) if *tag != last => last.clone_from(tag),
                _ => break,
            }
        }
        let fits = |version: &&Version| match wanted {
            Some(Selector::AtLeast(_, floor)) => *version >= floor,
            _ => true,
        };
        let newest = found.iter().rev().find(fits).map(|version| tag_of(*version, architecture));
        newest.ok_or_else(|| {
            let what = wanted.map_or_else(|| "image".to_owned(), Selector::to_string);
            let words: Vec<String> = found.iter().map(Version::to_string).collect();
            DepotError::NotThere {
                place: self.repository.to_string(),
                wanted: format!("{what} for {architecture}"),
                has: (!words.is_empty()).then(|| words.join(", ")),
            }
        })
    }

    /// Tags behind this one; none where there is no such repository.
    async fn tags(&self, last: &str) -> Result<Vec<String>, DepotError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let (count, most, _) = TAGS;
        // It was the registry's, and stands in an address now.
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !last.bytes().all(is_tag) {
            return Err(self.answer("a tag of it is none".to_owned()));
        }
        let from = if last.is_empty() { String::new() } else { format!("&last={last}") };
        let Some(bytes) = self.get(&format!("tags/list?n={count}{from}"), None, most).await? else {
            return Ok(Vec::new());
        };
        let page: Page = serde_json::from_slice(&bytes)
            .map_err(|error| self.answer(format!("its tags cannot be read: {error}")))?;
        Ok(page.tags.unwrap_or_default())
    }

    /// Refuses to put another image in the place of one of the same version.
    async fn refuse_other(&self, tag: &str, entry: &Entry) -> Result<(), DepotError> {
        let Some(there) = self.manifest(tag).await? else { return Ok(()) };
        self.layer(tag, &there)?;
        let said = there.annotations.as_ref().and_then(|notes| notes.get(DIGEST));
        match said.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(digest) if digest == entry.digest => Ok(()),
            Some(digest) => {
                Err(DepotError::Taken { place: self.repository.to_string(), image: entry.words(), digest })
            }
            None => Err(self.answer(format!("{tag} has no annotation {DIGEST}"))),
        }
    }
}

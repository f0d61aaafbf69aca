//! A repository of an OCI registry. An image file is one layer of an artifact, so that registries keep it as they keep
//! others: manifest `application/vnd.oci.image.manifest.v1+json` with `artifactType` [`ARTIFACT_TYPE`], the empty
//! configuration, and annotations for whoever looks at it there.
//!
//! Tags: `VERSION-ARCHITECTURE`, or the one that was typed; and `sha256-DIGEST` of the image's own digest, by which
//! `NAME@sha256:DIGEST` is found.

mod artifact;
mod session;

use fades_pack::Architecture;
use oci_client::RegistryOperation;
use oci_client::manifest::OciManifest;

use crate::index::Entry;
use crate::place::Repository;
use crate::{DepotError, Options, Selector};

pub use artifact::ARTIFACT_TYPE;
use artifact::{Bounded, EMPTY, manifest, tag_of};
use session::Session;

pub(crate) async fn fetch(
    repository: &Repository,
    wanted: Option<&Selector>,
    architecture: Architecture,
    options: &Options,
) -> Result<Vec<u8>, DepotError> {
    let session = Session::new(repository, options);
    let tag = match (&repository.tag, wanted) {
        (Some(tag), _) => tag.clone(),
        (None, Some(Selector::Digest(exact))) => format!("sha256-{}", exact.digest),
        (None, Some(Selector::Version(_, version))) => tag_of(*version, architecture),
        (None, _) => session.newest(wanted, architecture).await?,
    };
    let not_there = || DepotError::NotThere {
        place: repository.to_string(),
        wanted: wanted.map_or_else(|| format!("tag {tag}"), |wanted| format!("{wanted} (tag {tag})")),
        has: None,
    };
    let manifest = session.manifest(&tag).await?.ok_or_else(not_there)?;
    let mut bytes = Bounded(Vec::new());
    for layer in &manifest.layers {
        let pulled = session.client.pull_blob(&session.at(&tag), layer, &mut bytes).await;
        pulled.map_err(|error| session.failed(&layer.digest, error))?;
    }
    Ok(bytes.0)
}

pub(crate) async fn push(
    repository: &Repository,
    image: &[u8],
    entry: &Entry,
    options: &Options,
) -> Result<String, DepotError> {
    let session = Session::new(repository, options);
    let tag = repository.tag.clone().unwrap_or_else(|| tag_of(entry.version, entry.architecture));
    let denied = |error| session.failed("push", error);
    session.client.auth(&session.at(&tag), &session.auth, RegistryOperation::Push).await.map_err(denied)?;
    // A tag that was typed may be moved; one that says a version means one image.
    if repository.tag.is_none() {
        session.refuse_other(&tag, entry).await?;
    }
    let manifest = manifest(image, entry);
    let blobs = [(&manifest.config, EMPTY.1.to_vec()), (&manifest.layers[0], image.to_vec())];
    for (descriptor, bytes) in blobs {
        let pushed = session.client.push_blob(&session.at(&tag), bytes, &descriptor.digest).await;
        pushed.map_err(|error| session.failed(&descriptor.digest, error))?;
    }
    let manifest = OciManifest::Image(manifest);
    for tag in [format!("sha256-{}", entry.digest), tag.clone()] {
        let pushed = session.client.push_manifest(&session.at(&tag), &manifest).await;
        pushed.map_err(|error| session.failed(&tag, error))?;
    }
    Ok(Repository { tag: Some(tag), ..repository.clone() }.to_string())
}

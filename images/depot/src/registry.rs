//! A repository of an OCI registry. An image file is one layer of an artifact, so that registries keep it as they keep
//! others: manifest `application/vnd.oci.image.manifest.v1+json` with `artifactType` [`ARTIFACT_TYPE`], the empty
//! configuration, and annotations for whoever looks at it there.
//!
//! Tags: `VERSION-ARCHITECTURE`, or the one that was typed; and `sha256-DIGEST` of the image's own digest, by which
//! `NAME@sha256:DIGEST` is found.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fades_envelope::Digest;
use fades_pack::{Architecture, MAX_IMAGE, Version};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use tokio::io::AsyncWrite;

use crate::http::{CONNECT, SILENCE, choose_tls};
use crate::index::Entry;
use crate::place::Repository;
use crate::{DepotError, Options, Selector};

/// Type of the artifact and of its one layer.
pub const ARTIFACT_TYPE: &str = "application/vnd.fades.image.v1";
/// The configuration of what has none.
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Largest manifest that is read, bytes.
const MAX_MANIFEST: usize = 64 * 1024;
/// Tags asked for at once, and how often.
const TAGS: (usize, usize) = (1000, 20);

/// Annotations of the manifest.
const NAME: &str = "fades.image.name";
const VERSION: &str = "fades.image.version";
const ARCHITECTURE: &str = "fades.image.architecture";
const DIGEST: &str = "fades.image.digest";
/// What other clients call the file.
const TITLE: &str = "org.opencontainers.image.title";

/// Who to be at a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password or token.
    pub password: Secret,
}

/// Not to be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A connection to a registry.
struct Session<'a> {
    client: Client,
    repository: &'a Repository,
    auth: RegistryAuth,
}

impl<'a> Session<'a> {
    fn new(repository: &'a Repository, options: &Options) -> Self {
        choose_tls();
        let is_plain = options.insecure || repository.is_local();
        let config = ClientConfig {
            protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("fades/", env!("CARGO_PKG_VERSION")),
            // an index of several images is none of ours
            platform_resolver: None,
            // No proxy of the environment leads back to this machine. The client has no word for that: a proxy of our own,
            // which is not used for this host, takes the place of those.
            http_proxy: repository.is_local().then(|| "http://127.0.0.1:9".to_owned()),
            no_proxy: repository.is_local().then(|| repository.host().to_owned()),
            ..ClientConfig::default()
        };
        let auth = options.login.as_ref().map_or(RegistryAuth::Anonymous, |login| {
            RegistryAuth::Basic(login.user.clone(), login.password.0.clone())
        });
        Self { client: Client::new(config), repository, auth }
    }

    fn at(&self, tag: &str) -> Reference {
        let Repository { registry, name, .. } = self.repository;
        Reference::with_tag(registry.clone(), name.clone(), tag.to_owned())
    }

    fn failed(&self, what: &str, error: OciDistributionError) -> DepotError {
        failure(&self.repository.to_string(), what, error)
    }

    /// The manifest of a tag, if it is one of ours; none where there is no such tag.
    async fn manifest(&self, tag: &str) -> Result<Option<OciImageManifest>, DepotError> {
        let accepted = [OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE];
        let pulled = self.client.pull_manifest_raw(&self.at(tag), &self.auth, &accepted).await;
        let bytes = match pulled.map_err(|error| self.failed(tag, error)) {
            Ok((bytes, _)) => bytes,
            Err(DepotError::NotThere { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let refuse = |what: String| DepotError::Answer { place: self.repository.to_string(), what };
        if bytes.len() > MAX_MANIFEST {
            return Err(refuse(format!("the manifest of {tag} has {} bytes", bytes.len())));
        }
        let manifest: OciImageManifest = serde_json::from_slice(&bytes)
            .map_err(|error| refuse(format!("the manifest of {tag} cannot be read: {error}")))?;
        let layer = match manifest.layers.as_slice() {
            [layer] if layer.media_type == ARTIFACT_TYPE => layer,
            _ => return Err(refuse(format!("{tag} is not an image of Fades ({ARTIFACT_TYPE})"))),
        };
        if usize::try_from(layer.size).is_ok_and(|size| size <= MAX_IMAGE) {
            Ok(Some(manifest))
        } else {
            Err(refuse(format!("{tag} has {} bytes, at most {MAX_IMAGE} are read", layer.size)))
        }
    }

    /// The newest version for a processor, by the tags that there are.
    async fn newest(
        &self,
        wanted: Option<&Selector>,
        architecture: Architecture,
    ) -> Result<String, DepotError> {
        let (most, times) = TAGS;
        let mut found: Vec<Version> = Vec::new();
        let mut last: Option<String> = None;
        for _ in 0..times {
            let page =
                self.client.list_tags(&self.at("latest"), &self.auth, Some(most), last.as_deref()).await;
            let tags = page.map_err(|error| self.failed("tags", error))?.tags;
            let suffix = format!("-{architecture}");
            found.extend(tags.iter().filter_map(|tag| tag.strip_suffix(&suffix)?.parse::<Version>().ok()));
            // some registries end a list by repeating its last page
            if tags.len() < most || tags.last() == last.as_ref() {
                break;
            }
            last = tags.last().cloned();
        }
        let fits = |version: &&Version| match wanted {
            Some(Selector::AtLeast(_, floor)) => *version >= floor,
            _ => true,
        };
        let newest = found.iter().filter(fits).max().map(|version| tag_of(*version, architecture));
        newest.ok_or_else(|| {
            let what = wanted.map_or_else(|| "image".to_owned(), Selector::to_string);
            let mut words: Vec<String> = found.iter().map(Version::to_string).collect();
            words.sort();
            DepotError::NotThere {
                place: self.repository.to_string(),
                wanted: format!("{what} for {architecture}"),
                has: (!words.is_empty()).then(|| words.join(", ")),
            }
        })
    }
}

fn tag_of(version: Version, architecture: Architecture) -> String {
    format!("{version}-{architecture}")
}

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

impl Session<'_> {
    /// Refuses to put another image in the place of one of the same version.
    async fn refuse_other(&self, tag: &str, entry: &Entry) -> Result<(), DepotError> {
        let Some(there) = self.manifest(tag).await? else { return Ok(()) };
        let said = there.annotations.as_ref().and_then(|notes| notes.get(DIGEST));
        match said.and_then(|digest| digest.parse::<Digest>().ok()) {
            Some(digest) if digest == entry.digest => Ok(()),
            Some(digest) => {
                Err(DepotError::Taken { place: self.repository.to_string(), image: entry.words(), digest })
            }
            None => {
                let what = format!("{tag} has no annotation {DIGEST}");
                Err(DepotError::Answer { place: self.repository.to_string(), what })
            }
        }
    }
}

/// The artifact's manifest: the same image gives the same bytes.
fn manifest(image: &[u8], entry: &Entry) -> OciImageManifest {
    let descriptor = |media_type: &str, bytes: &[u8]| OciDescriptor {
        media_type: media_type.to_owned(),
        digest: format!("sha256:{}", Digest::of(bytes)),
        size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    let file = format!("{}-{}-{}.img", entry.name.as_str(), entry.version, entry.architecture);
    let notes = [
        (NAME, entry.name.as_str().to_owned()),
        (VERSION, entry.version.to_string()),
        (ARCHITECTURE, entry.architecture.to_string()),
        (DIGEST, entry.digest.to_string()),
    ];
    OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
        artifact_type: Some(ARTIFACT_TYPE.to_owned()),
        config: descriptor(EMPTY.0, EMPTY.1),
        layers: vec![OciDescriptor {
            annotations: Some(BTreeMap::from([(TITLE.to_owned(), file)])),
            ..descriptor(ARTIFACT_TYPE, image)
        }],
        annotations: Some(notes.map(|(key, value)| (key.to_owned(), value)).into()),
        ..OciImageManifest::default()
    }
}

/// What a failure of the registry's client means.
fn failure(place: &str, what: &str, error: OciDistributionError) -> DepotError {
    let place = place.to_owned();
    let not_there = |place: String| DepotError::NotThere { place, wanted: what.to_owned(), has: None };
    match error {
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => not_there(place),
        OciDistributionError::RegistryError { ref envelope, .. } => {
            let is = |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
            if is(&[
                OciErrorCode::ManifestUnknown,
                OciErrorCode::NameUnknown,
                OciErrorCode::BlobUnknown,
                OciErrorCode::NotFound,
            ]) {
                not_there(place)
            } else if is(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) {
                DepotError::Denied { place }
            } else {
                DepotError::Answer { place, what: error.to_string() }
            }
        }
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            DepotError::Denied { place }
        }
        OciDistributionError::DigestError(_) => DepotError::Changed { place, what: what.to_owned() },
        OciDistributionError::RequestError(error) => {
            DepotError::Unreachable { place, source: error.without_url().into() }
        }
        other => DepotError::Answer { place, what: other.to_string() },
    }
}

/// Takes what a registry sends, and no more than an image may have: its manifest's word for the size is not believed.
struct Bounded(Vec<u8>);

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.0.len() + bytes.len() > MAX_IMAGE {
            return Poll::Ready(Err(io::Error::other(format!("more than {MAX_IMAGE} bytes came"))));
        }
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

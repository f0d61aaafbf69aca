//! A connection to a repository: its manifests and tags, and what its failures mean.

use std::collections::BTreeSet;

use fades_envelope::Digest;
use fades_pack::{Architecture, MAX_IMAGE, Version};
use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;

use super::artifact::{ARTIFACT_TYPE, DIGEST, tag_of};
use crate::http::{CONNECT, SILENCE, choose_tls};
use crate::index::Entry;
use crate::place::Repository;
use crate::{DepotError, Options, Selector};

/// Largest manifest that is read, bytes.
const MAX_MANIFEST: usize = 64 * 1024;
/// Tags asked for at once, and how often.
const TAGS: (usize, usize) = (1000, 20);

/// A connection to a registry.
pub(super) struct Session<'a> {
    pub(super) client: Client,
    repository: &'a Repository,
    pub(super) auth: RegistryAuth,
}

impl<'a> Session<'a> {
    pub(super) fn new(repository: &'a Repository, options: &Options) -> Self {
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

    pub(super) fn at(&self, tag: &str) -> Reference {
        let Repository { registry, name, .. } = self.repository;
        Reference::with_tag(registry.clone(), name.clone(), tag.to_owned())
    }

    pub(super) fn failed(&self, what: &str, error: OciDistributionError) -> DepotError {
        failure(&self.repository.to_string(), what, error)
    }

    /// The manifest of a tag, if it is one of ours; none where there is no such tag.
    pub(super) async fn manifest(&self, tag: &str) -> Result<Option<OciImageManifest>, DepotError> {
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
    pub(super) async fn newest(
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
            // Some registries give fewer than they are asked for, and some all of them every time.
            if tags.is_empty() || tags.last() == last.as_ref() {
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
            let found: BTreeSet<Version> = found.iter().copied().collect();
            let words: Vec<String> = found.iter().map(Version::to_string).collect();
            DepotError::NotThere {
                place: self.repository.to_string(),
                wanted: format!("{what} for {architecture}"),
                has: (!words.is_empty()).then(|| words.join(", ")),
            }
        })
    }

    /// Refuses to put another image in the place of one of the same version.
    pub(super) async fn refuse_other(&self, tag: &str, entry: &Entry) -> Result<(), DepotError> {
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

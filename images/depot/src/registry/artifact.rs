//! What an image is in a registry: tags, the manifest, and its one layer.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use fades_envelope::Digest;
use fades_pack::{Architecture, MAX_IMAGE, Version};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};
use tokio::io::AsyncWrite;

use crate::index::Entry;

/// Type of the artifact and of its one layer.
pub const ARTIFACT_TYPE: &str = "application/vnd.fades.image.v1";
/// The configuration of what has none.
pub(super) const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// Annotations of the manifest.
const NAME: &str = "fades.image.name";
const VERSION: &str = "fades.image.version";
const ARCHITECTURE: &str = "fades.image.architecture";
pub(super) const DIGEST: &str = "fades.image.digest";
/// What other clients call the file.
const TITLE: &str = "org.opencontainers.image.title";

pub(super) fn tag_of(version: Version, architecture: Architecture) -> String {
    format!("{version}-{architecture}")
}

/// The artifact's manifest: the same image gives the same bytes.
pub(super) fn manifest(image: &[u8], entry: &Entry) -> OciImageManifest {
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

/// Takes what a registry sends, and no more than an image may have: its manifest's word for the size is not believed.
pub(super) struct Bounded(pub(super) Vec<u8>);

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

//! The images that a node has: which one is meant, its file, and whose keys are trusted there.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use fades_api::client::Client;
use fades_api::codes;
use fades_api::http::{ImageList, ImageView, SignerDocument, SignerList};
use fades_pack::{ImageName, Version};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::short_digest;

/// Which image of a node: `NAME`, `NAME:VERSION`, or `NAME@sha256:` and at least [`SHORTEST`] digits of its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    name: String,
    version: Option<Version>,
    digest: Option<String>,
}

/// Digits that are enough to name a digest, if no other begins so.
const SHORTEST: usize = 8;

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let refuse = |why: String| {
            let forms = "NAME, NAME:VERSION or NAME@sha256:DIGEST";
            format!("{text:?} is neither a file nor an image of a node ({forms}): {why}")
        };
        let name = |name: &str| name.parse::<ImageName>().map_err(|error| refuse(error.to_string()));
        let (name, version, digest) = if let Some((head, digest)) = text.split_once('@') {
            let digits = digest.strip_prefix("sha256:").unwrap_or_default();
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if !is_hex || !(SHORTEST..=64).contains(&digits.len()) {
                return Err(refuse(format!("a digest is sha256: and {SHORTEST} to 64 digits")));
            }
            (name(head)?, None, Some(digits.to_owned()))
        } else if let Some((head, version)) = text.split_once(':') {
            (name(head)?, Some(version.parse().map_err(|error| refuse(format!("{error}")))?), None)
        } else {
            (name(text)?, None, None)
        };
        Ok(Self { name: name.as_str().to_owned(), version, digest })
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.version.map_or(Ok(()), |version| write!(f, ":{version}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@sha256:{digest}"))
    }
}

impl Which {
    fn is(&self, image: &ImageView) -> bool {
        image.reference.name.as_str() == self.name
            && self.version.is_none_or(|version| image.version == version.to_string())
            && self.digest.as_ref().is_none_or(|digits| image.reference.digest_hex().starts_with(digits))
    }
}

/// Name and the beginning of the digest.
pub(super) fn short(image: &ImageView) -> String {
    format!("{}@sha256:{}", image.reference.name, short_digest(&image.reference.digest_hex()))
}

/// What the operator asks a node about its images.
pub(super) struct OnNode {
    client: Client,
}

impl OnNode {
    pub(super) fn new(context: &Context) -> Result<Self> {
        Ok(Self { client: context.operator()? })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Every image: by name, newest first.
    pub(super) async fn images(&self) -> Result<Vec<ImageView>> {
        let list: ImageList = self.client.call("GET", "/v1/admin/images", None::<&()>).await?;
        Ok(list.images)
    }

    async fn fitting(&self, which: &Which) -> Result<Vec<ImageView>> {
        let fitting: Vec<ImageView> =
            self.images().await?.into_iter().filter(|image| which.is(image)).collect();
        if fitting.is_empty() {
            return Err(Failure::new(codes::IMAGE_UNKNOWN, format!("no image {which} on this node")));
        }
        Ok(fitting)
    }

    /// The image that is meant; of several one for the node's own processor before others, then the newest version, then
    /// the build that was added last, as for tasks. A digest that is cut short must mean one.
    pub(super) async fn newest(&self, which: &Which) -> Result<ImageView> {
        if which.digest.is_some() {
            return self.only(which).await;
        }
        let mut fitting = self.fitting(which).await?;
        own_first(&mut fitting);
        Ok(fitting.swap_remove(0))
    }

    /// The image that is meant, where there is no other.
    pub(super) async fn only(&self, which: &Which) -> Result<ImageView> {
        let mut fitting = self.fitting(which).await?;
        if fitting.len() > 1 {
            let words = fitting.iter().map(|image| format!("{} ({})", short(image), image.version));
            let several = words.collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(format!("{which} means several images: {several}"))
                .hint("Name a version or a digest."));
        }
        Ok(fitting.swap_remove(0))
    }

    /// The file of an image, as it was added.
    pub(super) async fn file(&self, image: &ImageView) -> Result<Vec<u8>> {
        let path = format!("/v1/admin/images/{}", image.reference.digest_hex());
        Ok(self.client.bytes(&path).await?.to_vec())
    }

    /// The keys that the node trusts for images, by their ids.
    pub(super) async fn signers(&self) -> Result<BTreeMap<String, SignerDocument>> {
        let list: SignerList = self.client.call("GET", "/v1/admin/signers", None::<&()>).await?;
        Ok(list.signers)
    }
}

/// Images for the node's own processor come first; else as the node lists them, newest first.
fn own_first(images: &mut [ImageView]) {
    images.sort_by_key(|image| !image.native);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_for_the_nodes_processor_come_first() {
        let image = |version: &str, native: bool| -> ImageView {
            serde_json::from_value(serde_json::json!({
                "reference": format!("stats@sha256:{}", "0".repeat(64)), "version": version, "role": "dmf",
                "architecture": "x86_64", "native": native, "size": 1, "minimum_memory_mib": 16,
                "signer": "ab".repeat(32), "added_at": "2026-01-01T00:00:00Z", "broker": false,
            }))
            .unwrap()
        };
        let mut images = [image("2.0.0", false), image("1.2.0", true), image("1.0.0", true)];
        own_first(&mut images);
        let versions = images.each_ref().map(|image| image.version.as_str());
        assert_eq!(versions, ["1.2.0", "1.0.0", "2.0.0"]);
    }

    #[test]
    fn images_are_named_in_three_ways() {
        let digits = "0123456789abcdef".repeat(4);
        let exact = format!("stats@sha256:{digits}");
        for text in ["stats", "stats:1.2.3", "stats@sha256:01234567", &exact] {
            assert_eq!(text.parse::<Which>().unwrap().to_string(), text);
        }
        let longer = format!("{exact}0");
        for text in [
            "",
            "stats:",
            "stats:1.2",
            "stats@",
            "stats@sha256:0123456",
            "stats@sha256:0123456X",
            &longer,
            "a/b",
        ] {
            assert!(text.parse::<Which>().is_err(), "{text:?}");
        }
    }
}

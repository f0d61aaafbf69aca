//! Depots: places where image files are kept to be fetched, and files that hold several images.
//!
//! A [`Place`] is a folder, an HTTP server that serves or takes the same files, or a repository of an OCI registry. [`push`]
//! puts an image there, [`pull`] fetches one. Nothing that a place says is believed: an image leaves [`pull`] only if a key
//! that the caller knows has signed it and it is the one that was asked for ([`Selector`]). [`bundle`] writes and reads one
//! file of several images.
//!
//! A folder:
//!
//! ```text
//! fades-images.json         what there is: index::Index
//! images/DIGEST.img         image files by the digest of their manifests
//! ```
//!
//! To add a kind of place: a variant of [`Place`] with its scheme, a file beside `folder.rs`, an arm in [`push`] and [`pull`].

#![forbid(unsafe_code)]

pub mod bundle;
mod check;
mod error;
mod folder;
mod http;
pub mod index;
mod place;
mod registry;
mod select;

pub use check::{Checked, Keys, check};
pub use error::DepotError;
pub use place::{Place, PlaceError};
pub use registry::ARTIFACT_TYPE;
#[doc(hidden)] // for their fuzzer
pub use registry::{Manifest, token_from};
pub use select::{Selector, SelectorError};

use fades_pack::Architecture;
use index::Entry;

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

/// How places are spoken to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Speak plain HTTP to other machines as well; to this one it is always spoken where the address says so.
    pub insecure: bool,
    /// Who to be at a registry that asks.
    pub login: Option<Login>,
}

/// Puts an image file into a place, and says where it lies there.
///
/// # Errors
/// When it is no image, or the place cannot be reached, does not take it, or has another image of this name, version and architecture.
pub async fn push(place: &Place, image: &[u8], options: &Options) -> Result<String, DepotError> {
    place.refuse_plain(options)?;
    let entry = Entry::of(image)?;
    match place {
        Place::Folder(path) => folder::push(path, image, &entry),
        Place::Http(base) => http::push(base, image, &entry).await,
        Place::Registry(repository) => registry::push(repository, image, &entry, options).await,
    }
}

/// Fetches an image from a place and checks it: signed by one of `keys`, and the one that is wanted. Without a selector, a
/// repository's tag or a folder's only image says which.
///
/// # Errors
/// When it is not there, cannot be fetched, or is not what it should be.
pub async fn pull(
    place: &Place,
    wanted: Option<&Selector>,
    architecture: Architecture,
    keys: &Keys,
    options: &Options,
) -> Result<Checked, DepotError> {
    place.refuse_plain(options)?;
    let bytes = match place {
        Place::Folder(path) => folder::fetch(path, wanted, architecture)?,
        Place::Http(base) => http::fetch(base, wanted, architecture).await?,
        Place::Registry(repository) => registry::fetch(repository, wanted, architecture, options).await?,
    };
    check::check_wanted(bytes, keys, wanted, architecture)
}

/// Where images lie in a folder, from its root.
const IMAGES: &str = "images";

/// What an image's file is called.
fn file_of(entry: &Entry) -> String {
    format!("{}.img", entry.digest)
}

/// Where an image lies in a folder, from its root.
fn path_of(entry: &Entry) -> String {
    format!("{IMAGES}/{}", file_of(entry))
}

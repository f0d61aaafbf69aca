//! Why an image was not put into a place, or not fetched from it. Each variant is one stable reason; the command line gives
//! each its code.

use std::path::PathBuf;

use fades_envelope::{Digest, KeyId};
use fades_pack::ImageError;

/// What is below a failure.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why an image was not put into a place, or not fetched from it.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The place has no such image.
    #[error("{place} has no {wanted}{}", has.as_ref().map(|has| format!("; it has {has}")).unwrap_or_default())]
    NotThere {
        /// Where it was looked for.
        place: String,
        /// What.
        wanted: String,
        /// What is there instead, where that is known.
        has: Option<String>,
    },
    /// Several images are there, and nobody says which is wanted.
    #[error("{place} has several images: name one of {has}")]
    Several {
        /// The place.
        place: String,
        /// Their names.
        has: String,
    },
    /// No connection, or it broke.
    #[error("{place} cannot be reached")]
    Unreachable {
        /// The place.
        place: String,
        /// Why.
        source: Cause,
    },
    /// The place wants to know who asks, or does not let it.
    #[error("{place} does not allow it")]
    Denied {
        /// The place.
        place: String,
    },
    /// The place answers what no place of images answers.
    #[error("{place}: {what}")]
    Answer {
        /// The place.
        place: String,
        /// What it answers.
        what: String,
    },
    /// Plain HTTP to another machine.
    #[error("{place} would be spoken to over plain HTTP, and is not on this machine")]
    Plain {
        /// The place.
        place: String,
    },
    /// A password over plain HTTP to another machine.
    #[error("{place} would be told a password over plain HTTP, and is not on this machine")]
    PlainPassword {
        /// The place.
        place: String,
    },
    /// The place has another image of this name, version and architecture.
    #[error("{place} has another {image}, with digest {digest}")]
    Taken {
        /// The place.
        place: String,
        /// Name, version and architecture.
        image: String,
        /// The one that is there.
        digest: Digest,
    },
    /// What came is not what the place said that it was.
    #[error("{place} gave bytes of another digest than it says: {what}")]
    Changed {
        /// The place.
        place: String,
        /// Which.
        what: String,
    },
    /// A genuine image, and not the one that was asked for.
    #[error("asked for {wanted}, got {found}")]
    Another {
        /// What was asked for.
        wanted: String,
        /// What came.
        found: String,
    },
    /// Signed by somebody who is not known.
    #[error("the image is signed by key {0}, which is not among those that are trusted")]
    Signer(KeyId),
    /// Not an image, or changed.
    #[error("the image is refused")]
    Image(#[from] ImageError),
    /// A file of images that is none.
    #[error("not a file of exported images: {0}")]
    Bundle(String),
    /// The system said no.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

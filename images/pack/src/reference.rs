//! `name@sha256:<hex>`: how a wrapper names an image. The digest is that of the manifest, which binds everything.

use crate::name::{ImageName, NameError};
use fades_envelope::{Digest, HexError};
use std::{fmt, str::FromStr};

/// A name with the digest of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Name in the manifest.
    pub name: ImageName,
    /// SHA-256 of the manifest's signed bytes.
    pub digest: Digest,
}

/// Text that is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No `@sha256:` in it.
    #[error("image reference {0:?} is not NAME@sha256:DIGEST")]
    Form(String),
    /// The part before it is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The part after it is not a digest.
    #[error("the digest of an image reference is not acceptable")]
    Digest(#[from] HexError),
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = text
            .split_once("@sha256:")
            .ok_or_else(|| ReferenceError::Form(text.chars().take(160).collect()))?;
        Ok(Reference { name: name.parse()?, digest: digest.parse()? })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:{}", self.name, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_reads_back_and_others_are_refused() {
        let text = format!("stats@sha256:{}", Digest::of(b""));
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        let form = |text: &str| text.parse::<Reference>().unwrap_err();
        assert!(matches!(form("stats"), ReferenceError::Form(_)));
        assert!(matches!(form("stats@sha512:00"), ReferenceError::Form(_)));
        assert!(matches!(form(&text[5..]), ReferenceError::Name(_)));
        assert!(matches!(form(&text[..text.len() - 1]), ReferenceError::Digest(HexError::Length(63))));
    }
}

//! Which image is wanted, as people type it.

use std::fmt;
use std::str::FromStr;

use fades_envelope::Digest;
use fades_pack::{ImageName, Reference, Version};

/// Which image is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// `NAME`: the newest version there is.
    Newest(ImageName),
    /// `NAME:VERSION+`: the newest version there is, if it is not older than this one.
    AtLeast(ImageName, Version),
    /// `NAME:VERSION`: this one.
    Version(ImageName, Version),
    /// `NAME@sha256:DIGEST`: this very image.
    Digest(Reference),
}

/// Text that is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither NAME, NAME:VERSION, NAME:VERSION+ nor NAME@sha256:DIGEST: {why}")]
pub struct SelectorError {
    text: String,
    why: String,
}

impl Selector {
    /// The name that it must have.
    #[must_use]
    pub fn name(&self) -> &ImageName {
        match self {
            Self::Newest(name) | Self::AtLeast(name, _) | Self::Version(name, _) => name,
            Self::Digest(reference) => &reference.name,
        }
    }

    /// Whether an image of this name, version and digest is one of those that are meant.
    #[must_use]
    pub fn matches(&self, name: &str, version: Version, digest: Digest) -> bool {
        name == self.name().as_str()
            && match self {
                Self::Newest(_) => true,
                Self::AtLeast(_, floor) => version >= *floor,
                Self::Version(_, wanted) => version == *wanted,
                Self::Digest(reference) => digest == reference.digest,
            }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let refuse = |why: &dyn fmt::Display| SelectorError {
            text: text.chars().take(160).collect(),
            why: why.to_string(),
        };
        if text.contains('@') {
            return text.parse().map(Self::Digest).map_err(|error| refuse(&error));
        }
        let Some((name, version)) = text.split_once(':') else {
            return text.parse().map(Self::Newest).map_err(|error| refuse(&error));
        };
        let name = name.parse().map_err(|error| refuse(&error))?;
        let number = |text: &str| text.parse().map_err(|error| refuse(&error));
        Ok(match version.strip_suffix('+') {
            Some(floor) => Self::AtLeast(name, number(floor)?),
            None => Self::Version(name, number(version)?),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(name) => write!(f, "{}", name.as_str()),
            Self::AtLeast(name, floor) => write!(f, "{}:{floor}+", name.as_str()),
            Self::Version(name, version) => write!(f, "{}:{version}", name.as_str()),
            Self::Digest(reference) => write!(f, "{reference}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_back_and_choose() {
        let digest = Digest::of(b"");
        let exact = format!("stats@sha256:{digest}");
        let chosen = |text: &str, name: &str, version: &str| {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.to_string(), text);
            selector.matches(name, version.parse().unwrap(), digest)
        };
        for text in ["stats", "stats:1.2.0", "stats:1.2.0+", "stats:1.0.0+", &exact] {
            assert!(chosen(text, "stats", "1.2.0"), "{text}");
            assert!(!chosen(text, "window", "1.2.0"), "{text}");
        }
        assert!(!chosen("stats:1.2.0+", "stats", "1.1.9") && chosen("stats:1.2.0+", "stats", "1.10.0"));
        assert!(!chosen("stats:1.2.0", "stats", "1.2.1"));
        let other = format!("stats@sha256:{}", Digest::of(b"x"));
        assert!(!chosen(&other, "stats", "1.2.0"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "Stats",
            "a/b",
            "stats:",
            "stats:1",
            "stats:+",
            "stats:1.0.0++",
            "stats@1.0.0",
            "stats@sha256:00",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }
}

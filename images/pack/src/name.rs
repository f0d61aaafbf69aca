//! Names of images: they become file names, arguments and parts of references, so they are kept plain.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 63;

/// A name of lower-case letters, digits and inner dashes, beginning with a letter; at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// Text that is not a name of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("image name {0:?} is not of lower-case letters, digits and inner dashes, at most {MAX_NAME}")]
pub struct NameError(String);

impl ImageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let first = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if first && text.len() <= MAX_NAME && text.bytes().all(plain) && !text.ends_with('-') {
            Ok(ImageName(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ImageName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> String {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "stats", "stats-2", &"a".repeat(MAX_NAME)] {
            assert_eq!(good.parse::<ImageName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(MAX_NAME + 1);
        for bad in ["", "-a", "a-", "2a", "A", "a/b", "../a", "a\0", "a\n", "a,b", "a@b", "ä", &long] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad:?}");
        }
    }
}

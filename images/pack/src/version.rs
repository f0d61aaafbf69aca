//! Versions of images, compared to tell an older one from the floor of a node.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// `MAJOR.MINOR.PATCH`, ordered by these numbers. No pre-releases: a node's floor must be a plain comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

/// Text that is not three numbers without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version {0:?} is not MAJOR.MINOR.PATCH")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let refuse = || VersionError(text.chars().take(40).collect());
        let mut numbers = text.split('.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let minimal = part == "0" || !part.starts_with('0');
            part.parse::<u32>().ok().filter(|_| digits && minimal).ok_or_else(refuse)
        });
        let mut next = || numbers.next().ok_or_else(refuse)?;
        let version = Version { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() { Err(refuse()) } else { Ok(version) }
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let sorted = ["0.0.9", "0.1.0", "0.9.9", "0.10.0", "1.0.0", "1.0.4294967295"];
        let parsed: Vec<Version> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(parsed.is_sorted_by(|a, b| a < b));
        assert_eq!(parsed.iter().map(Version::to_string).collect::<Vec<_>>(), sorted);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in
            ["", "1", "1.2", "1.2.3.4", "1.2.", "01.2.3", "1.+2.3", "1.2.3-rc", "1.2.4294967296", " 1.2.3"]
        {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }
}

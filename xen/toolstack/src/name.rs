//! Names of domains: a node's own are found again by them after it died.

use std::fmt;

/// What the names of all our domains begin with.
const OURS: &str = "fades-";
/// Longest name: as much as `xl list` gives a column.
const NAME_MAX: usize = 40;

/// A domain's name: 1 to 40 of `a-z`, `0-9` and dashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// Checks a name.
    ///
    /// # Errors
    /// It is empty, too long, or has other characters.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // A leading dash would be an option of xl.
        if (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(known) && !name.starts_with('-') {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError { name: name.to_owned() })
        }
    }

    /// `fades-<instance>-<guest>-<run>`: the domain of a guest of one node, as one run of its daemon names it, whose
    /// number (its process id, say) is written in hexadecimal. `instance` has no dashes, so that no instance's names are
    /// part of another's.
    ///
    /// A node counts its guests from 1 in each run, and what a dead run had begun may build its domain later: with the
    /// run in it, that one's name is nobody else's. An instance of 12 and a run of 6 characters leave a guest 14.
    ///
    /// # Errors
    /// Together they are no name, or there is a dash in `instance`.
    pub fn of_guest(instance: &str, guest: &str, run: u32) -> Result<Self, NameError> {
        let name = format!("{}{guest}-{run:x}", prefix(instance));
        if instance.is_empty() || instance.contains('-') || guest.is_empty() {
            return Err(NameError { name });
        }
        Self::new(&name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The domains of `instance` among those of a host.
pub fn of_instance<'a>(
    instance: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = DomainName> {
    let prefix = prefix(instance);
    names
        .into_iter()
        .filter(move |name| name.strip_prefix(&prefix).is_some_and(|guest| !guest.is_empty()))
        .filter_map(|name| DomainName::new(name).ok())
}

fn prefix(instance: &str) -> String {
    format!("{OURS}{instance}-")
}

/// Not a domain's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not 1 to 40 lower-case letters, digits and dashes")]
pub struct NameError {
    /// What was given.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "fades-0f-dmf-7", "0", &"x".repeat(40)] {
            assert_eq!(DomainName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a b", "a.b", "a\n", "ä", "a,b", "a=b", "a'b", "a/b", &"x".repeat(41)] {
            assert!(DomainName::new(bad).is_err(), "{bad:?}");
        }
        assert!(DomainName::of_guest("0-f", "dmf", 1).is_err());
        assert!(DomainName::of_guest("", "dmf", 1).is_err() && DomainName::of_guest("0f", "", 1).is_err());
    }

    #[test]
    fn a_guest_has_another_name_in_another_run() {
        let name = |run| DomainName::of_guest("0f", "dmf-7", run).unwrap().to_string();
        assert_eq!((name(1).as_str(), name(0x2a).as_str()), ("fades-0f-dmf-7-1", "fades-0f-dmf-7-2a"));
        assert_eq!(of_instance("0f", [name(1).as_str(), name(0x2a).as_str()]).count(), 2);
        // A daemon's instance, Linux's largest process id, and more guests than a run starts.
        assert!(DomainName::of_guest("0123456789ab", "dmf-999999999", 4_194_304).is_ok());
    }

    #[test]
    fn an_instance_finds_its_own_and_nobody_elses() {
        let names = [
            "Domain-0",
            "fades-0f-dmf-7",
            "fades-0f-",
            "fades-0f",
            "fades-0f1-dmf-7",
            "fades-0f-drb",
            "xfades-0f-a",
            "fades-0f-DMF",
        ];
        let ours: Vec<String> = of_instance("0f", names).map(|name| name.to_string()).collect();
        assert_eq!(ours, ["fades-0f-dmf-7", "fades-0f-drb"]);
        assert_eq!(of_instance("", names).count(), 0);
    }
}

//! Which images a node may let go: what nobody may ask for, nothing runs from, and no newer one stands in for.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use fades_pack::Version;

use crate::policy::Policy;

/// An image that a node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its manifest's name.
    pub name: String,
    /// The processor it is for: builds for two are two lines of versions.
    pub architecture: String,
    /// Its manifest's version.
    pub version: Version,
    /// When it was added, µs: of two builds of one version the later one is the newer.
    pub added_us: i64,
    /// Its digest.
    pub digest: [u8; 32],
}

/// Why an image may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// No policy of an issuer with a key names it.
    NobodyMay,
    /// It is named, and older than every such policy's floor.
    BelowFloor,
    /// It may be asked for, and so many newer ones are kept.
    NewerKept(u32),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyMay => f.write_str("no policy allows it"),
            Self::BelowFloor => f.write_str("it is below the floor of whoever may run its name"),
            Self::NewerKept(1) => f.write_str("a newer one is kept"),
            Self::NewerKept(newer) => write!(f, "{newer} newer ones are kept"),
        }
    }
}

/// The images that may go, with the reasons.
///
/// What stays: what is `used` (by tasks that have not ended, by the broker); the newest of each name and architecture; what
/// a policy allows. With `keep`, of what policies allow by name only so many of the newest stay, and what is exactly at a
/// floor; what a policy names by its digest stays always.
#[must_use]
pub fn garbage<'a>(
    images: &'a [Candidate],
    policies: &[&Policy],
    used: &BTreeSet<[u8; 32]>,
    keep: Option<u32>,
) -> Vec<(&'a Candidate, Why)> {
    let mut sorted: Vec<&Candidate> = images.iter().collect();
    sorted.sort_by_key(|image| (&image.name, &image.architecture, Reverse((image.version, image.added_us))));
    let lines =
        sorted.chunk_by(|a, b| (&a.name, &a.architecture) == (&b.name, &b.architecture)).flat_map(|line| {
            line.iter().zip(0u32..).filter_map(|(image, newer)| {
                let why = judge(image, newer, policies, keep)?;
                (!used.contains(&image.digest)).then_some((*image, why))
            })
        });
    lines.collect()
}

/// Why an image that so many newer ones of its line precede may go.
fn judge(image: &Candidate, newer: u32, policies: &[&Policy], keep: Option<u32>) -> Option<Why> {
    let Candidate { name, digest, version, .. } = image;
    if newer == 0 {
        return None;
    }
    let allowing: Vec<_> =
        policies.iter().filter(|policy| policy.allows_image(name, digest, *version)).collect();
    if allowing.is_empty() {
        let named = policies.iter().any(|policy| policy.floor(name).is_some_and(|floor| *version < floor));
        return Some(if named { Why::BelowFloor } else { Why::NobodyMay });
    }
    let needed = |policy: &&&Policy| policy.pins_image(name, digest) || policy.floor(name) == Some(*version);
    let enough = keep.is_some_and(|keep| newer >= keep.max(1));
    (enough && !allowing.iter().any(needed)).then_some(Why::NewerKept(newer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ImageRule;

    fn image(name: &str, version: &str, number: u8) -> Candidate {
        Candidate {
            name: name.into(),
            architecture: "x86_64".into(),
            version: version.parse().unwrap(),
            added_us: number.into(),
            digest: [number; 32],
        }
    }

    fn policy(rules: &[(&str, Option<u8>, Option<&str>)]) -> Policy {
        let images = rules.iter().map(|(name, digest, floor)| ImageRule {
            name: (*name).into(),
            digest: digest.map(|number| [number; 32]),
            floor: floor.map(|text| text.parse().unwrap()),
        });
        Policy { images: images.collect(), ..Policy::default() }
    }

    fn gone(images: &[Candidate], policies: &[Policy], used: &[u8], keep: Option<u32>) -> Vec<(u8, Why)> {
        let policies: Vec<&Policy> = policies.iter().collect();
        let used = used.iter().map(|number| [*number; 32]).collect();
        let mut gone: Vec<_> = garbage(images, &policies, &used, keep)
            .into_iter()
            .map(|(image, why)| (image.digest[0], why))
            .collect();
        gone.sort_by_key(|(number, _)| *number);
        gone
    }

    /// Four versions of one name, added out of order, one of them twice.
    fn line() -> Vec<Candidate> {
        vec![
            image("stats", "1.0.0", 1),
            image("stats", "1.10.0", 2),
            image("stats", "1.2.0", 3),
            image("stats", "1.3.0", 4),
            image("stats", "1.3.0", 5),
        ]
    }

    #[test]
    fn what_nobody_may_run_goes_but_for_the_newest() {
        let all = [1, 3, 4, 5].map(|number| (number, Why::NobodyMay));
        assert_eq!(gone(&line(), &[], &[], None), all);
        assert_eq!(gone(&line(), &[policy(&[("window", None, None)])], &[], None), all);
        assert_eq!(gone(&line(), &[policy(&[("stats", None, None)])], &[], None), []);
        // one build is named: the others go
        let pinned = policy(&[("stats", Some(3), None)]);
        assert_eq!(gone(&line(), &[pinned], &[], None), [1, 4, 5].map(|number| (number, Why::NobodyMay)));
        // builds for another processor are another line
        let other = Candidate { architecture: "aarch64".into(), ..image("stats", "0.1.0", 6) };
        assert_eq!(gone(&[line(), vec![other]].concat(), &[], &[], None), all);
    }

    #[test]
    fn what_is_below_every_floor_goes() {
        let floor = policy(&[("stats", None, None), ("stats", None, Some("1.3.0"))]);
        let below = [1, 3].map(|number| (number, Why::BelowFloor));
        assert_eq!(gone(&line(), std::slice::from_ref(&floor), &[], None), below);
        // another issuer has no floor
        assert_eq!(gone(&line(), &[floor, policy(&[("stats", None, None)])], &[], None), []);
    }

    #[test]
    fn what_is_used_stays() {
        assert_eq!(gone(&line(), &[], &[1, 4], None), [3, 5].map(|number| (number, Why::NobodyMay)));
    }

    #[test]
    fn so_many_of_the_newest_stay_and_what_is_named_exactly() {
        let free = policy(&[("stats", None, None)]);
        let of = |pairs: &[(u8, u32)]| -> Vec<(u8, Why)> {
            pairs.iter().map(|(number, newer)| (*number, Why::NewerKept(*newer))).collect()
        };
        let rest = of(&[(1, 4), (3, 3), (4, 2)]);
        assert_eq!(gone(&line(), std::slice::from_ref(&free), &[], Some(2)), rest);
        // none is one: the newest stays
        for keep in [0, 1] {
            assert_eq!(gone(&line(), std::slice::from_ref(&free), &[], Some(keep)).len(), 4);
        }
        assert_eq!(gone(&line(), std::slice::from_ref(&free), &[], Some(5)), []);
        let pinned = policy(&[("stats", Some(1), None)]);
        assert_eq!(gone(&line(), &[free, pinned], &[], Some(2)), of(&[(3, 3), (4, 2)]));
        let floor = policy(&[("stats", None, Some("1.2.0"))]);
        let expected = vec![(1, Why::BelowFloor), (4, Why::NewerKept(2)), (5, Why::NewerKept(1))];
        assert_eq!(gone(&line(), &[floor], &[], Some(1)), expected);
    }
}

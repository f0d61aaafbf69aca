//! Releases of QEMU with a known hole through which a guest of ours could reach its monitor: `holes.json`, which is data, so that
//! whoever hears of one adds it there and nowhere else.
//!
//! A distribution may mend an older release without another number. Its operator says so with `mended` below `[backend]`.

use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{Accelerator, command};

/// The list, as it was when this was built.
const LIST: &str = include_str!("holes.json");

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hole {
    /// Its name.
    id: String,
    /// Where.
    lies_in: String,
    /// With this accelerator only.
    accelerator: Option<String>,
    /// With this option of a device only.
    option: Option<String>,
    /// In each branch (the first two numbers) the first release without it. Every branch above the last is without it, and every
    /// other has it.
    mended: Vec<String>,
}

/// A release, `7.2.22`.
type Release = [u32; 3];

impl Hole {
    /// Whether guests of ours reach it in this release.
    fn is_in(&self, release: Release, accelerator: Accelerator) -> bool {
        let word = match accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        };
        let reached = self.accelerator.as_deref().is_none_or(|only| only == word)
            && self.option.as_deref().is_none_or(|option| command::NETWORK_DEVICE.contains(option));
        let mended = || self.mended.iter().filter_map(|text| numbers(text));
        let branch = mended().find(|first| first[..2] == release[..2]);
        let first = branch.or_else(|| mended().max()).unwrap_or([u32::MAX; 3]);
        reached && release < first
    }
}

/// Looks whether the QEMU at `program` has a hole that is not among those that its operator knows to be mended in it.
///
/// # Errors
/// Which, in words.
pub(crate) fn look(program: &str, accelerator: Accelerator, mended: &[String]) -> Result<(), String> {
    // What cannot be asked is not started either, and the probe says why.
    let Ok(output) = Command::new(program).arg("--version").stdin(Stdio::null()).output() else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let Some(release) = release(&text) else { return Ok(()) };
    let holes: Vec<Hole> =
        serde_json::from_str(LIST).map_err(|error| format!("the list of holes: {error}"))?;
    let found = holes.iter().filter(|hole| hole.is_in(release, accelerator) && !mended.contains(&hole.id));
    let words: Vec<String> = found.map(|hole| format!("{} (in {})", hole.id, hole.lies_in)).collect();
    if words.is_empty() {
        return Ok(());
    }
    let [major, minor, patch] = release;
    Err(format!("{program} is QEMU {major}.{minor}.{patch}, which has {}", words.join(", ")))
}

/// Out of `QEMU emulator version 7.2.22 (...)`.
fn release(text: &str) -> Option<Release> {
    numbers(text.lines().next()?.split("version ").nth(1)?.split(' ').next()?)
}

fn numbers(text: &str) -> Option<Release> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    let release = [parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?];
    parts.next().is_none().then_some(release)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn holes() -> Vec<Hole> {
        serde_json::from_str(LIST).unwrap()
    }

    #[test]
    fn the_list_is_sound() {
        for hole in holes() {
            assert!(hole.id.starts_with("CVE-") && !hole.lies_in.is_empty(), "{hole:?}");
            assert!(
                hole.accelerator.as_deref().is_none_or(|word| ["kvm", "tcg"].contains(&word)),
                "{hole:?}"
            );
            let releases: Option<Vec<Release>> = hole.mended.iter().map(|text| numbers(text)).collect();
            let releases = releases.unwrap_or_else(|| panic!("{hole:?}"));
            assert!(!releases.is_empty() && releases.is_sorted(), "{hole:?}");
        }
    }

    #[test]
    fn branches_are_mended_one_by_one() {
        let hole = Hole {
            id: "CVE-0-0".into(),
            lies_in: "a test".into(),
            accelerator: None,
            option: None,
            mended: vec!["7.2.9".into(), "8.1.5".into(), "8.2.1".into()],
        };
        for (release, has) in [
            ([6, 2, 0], true),
            ([7, 2, 8], true),
            ([7, 2, 9], false),
            ([7, 2, 22], false),
            ([8, 0, 5], true),
            ([8, 1, 4], true),
            ([8, 1, 5], false),
            ([8, 2, 0], true),
            ([8, 2, 1], false),
            ([9, 0, 0], false),
            ([10, 0, 2], false),
        ] {
            assert_eq!(hole.is_in(release, Accelerator::Kvm), has, "{release:?}");
        }
        let translated = Hole { accelerator: Some("tcg".into()), ..hole };
        assert!(
            !translated.is_in([6, 2, 0], Accelerator::Kvm) && translated.is_in([6, 2, 0], Accelerator::Tcg)
        );
        let not_offered = Hole { accelerator: None, option: Some("hash=on".into()), ..translated };
        assert!(!not_offered.is_in([6, 2, 0], Accelerator::Kvm));
    }

    #[test]
    fn a_release_with_a_hole_is_refused_unless_its_operator_knows_better() {
        assert_eq!(look(super::super::PROGRAM, Accelerator::Tcg, &[]), Ok(()), "this machine's");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("qemu");
        let says = |version: &str| {
            std::fs::write(&program, format!("#!/bin/sh\necho 'QEMU emulator version {version}'\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
            let mended = |ids: &[&str]| {
                let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
                look(program.to_str().unwrap(), Accelerator::Tcg, &ids)
            };
            (mended(&[]), mended(&["CVE-2022-35414"]), mended(&["CVE-2022-35414", "CVE-2021-3748"]))
        };
        let (none, one, both) = says("6.1.0 (Debian 1:6.1+dfsg-8)");
        let none = none.unwrap_err();
        assert!(
            none.contains("QEMU 6.1.0, which has CVE-2021-3748 (in what") && none.contains("35414"),
            "{none}"
        );
        assert!(one.is_err_and(|words| !words.contains("35414")));
        assert_eq!(both, Ok(()));
        assert_eq!(says("7.2.22 (Debian)").0, Ok(()));
        // A release that says nothing of itself is the probe's to judge.
        assert_eq!(says("unknown").0, Ok(()));
    }
}

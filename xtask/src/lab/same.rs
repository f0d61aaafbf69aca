//! Whether a lab's results are those of this machine: the same question asked of the same readings by the same images, on
//! QEMU's TCG, byte for byte.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fades_envelope::Digest;

use crate::stage::{check as succeeds, target};
use crate::testbed::node::{BACKEND, EXPECT_BACKEND};

/// Compares what a lab left in `found` with what the same test program leaves here.
///
/// # Errors
/// The test fails here; the lab left nothing; a file is missing on one side or differs, with the first difference.
pub(super) fn check(program: &Path, filters: &[&str], found: &Path) -> Result<()> {
    let expected = expected(program, filters)?;
    let (names, theirs) = (names(&expected)?, names(found)?);
    if names != theirs || names.is_empty() {
        bail!("here there are the results {names:?}, in the lab {theirs:?}");
    }
    for name in &names {
        let (here, there) = (read(&expected.join(name))?, read(&found.join(name))?);
        if let Some(difference) = difference(&here, &there) {
            bail!("{name} differs {difference}; both are kept: {}, {}", expected.display(), found.display());
        }
    }
    eprintln!("   the same, byte for byte, as on qemu-tcg here: {}", names.join(", "));
    Ok(())
}

/// The folder with the results of a run here. It is kept for as long as the programs and images are the same.
fn expected(program: &Path, filters: &[&str]) -> Result<PathBuf> {
    let folder = target().join("lab/results").join(digest(program)?);
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let mut command = Command::new(program);
    command.args(filters).current_dir(crate::stage::root().join("xtask"));
    // On a machine with KVM, too: what is compared are the two ways to run guests.
    command.env(BACKEND, "qemu-tcg").env_remove(EXPECT_BACKEND);
    command.env("FADES_RESULTS", &partial).env("FADES_BUILT", "1");
    succeeds(&mut command)?;
    fs::rename(&partial, &folder).with_context(|| format!("put {} in its place", folder.display()))?;
    Ok(folder)
}

/// Of everything that makes results: the test program, the daemon, its command, the images.
fn digest(program: &Path) -> Result<String> {
    let debug = target().join("debug");
    let mut files = vec![program.to_owned(), debug.join("fadesd"), debug.join("fades")];
    let images = target().join("images");
    files.extend(names(&images)?.iter().filter(|name| name.ends_with(".img")).map(|name| images.join(name)));
    let digests =
        files.iter().map(|file| Ok(Digest::of(&read(file)?).to_string())).collect::<Result<String>>()?;
    Ok(Digest::of(digests.as_bytes()).to_string())
}

/// Where two files differ first, and how, in words; nothing if they do not.
fn difference(here: &[u8], there: &[u8]) -> Option<String> {
    const SHOWN: usize = 60;
    if here == there {
        return None;
    }
    let at =
        here.iter().zip(there).position(|(one, other)| one != other).unwrap_or(here.len().min(there.len()));
    let excerpt = |bytes: &[u8]| {
        let start = at.saturating_sub(SHOWN / 2);
        String::from_utf8_lossy(&bytes[start..bytes.len().min(start + SHOWN)]).into_owned()
    };
    Some(format!("at byte {at}: {:?} here, {:?} in the lab", excerpt(here), excerpt(there)))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(difference(b"abc", b"abc"), None);
        let words = difference(b"{\"sum\":1.5}", b"{\"sum\":1.25}").unwrap();
        assert_eq!(words, r#"at byte 9: "{\"sum\":1.5}" here, "{\"sum\":1.25}" in the lab"#);
        assert!(difference(b"ab", b"abc").unwrap().starts_with("at byte 2"));
        assert!(difference(b"", b"a").is_some());
    }
}

//! What belongs to this checkout.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stage::root;

/// Files that git knows here, or would take up, by their path from the root; those that fit one of `patterns`, or all. So nothing that was
/// built, and no key.
pub(crate) fn files(patterns: &[&str]) -> Result<Vec<String>> {
    listed(&["--cached", "--others", "--exclude-standard"], patterns)
}

/// Those that are part of it already.
pub(crate) fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    listed(&["--cached"], patterns)
}

fn listed(which: &[&str], patterns: &[&str]) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // A checkout may be somebody else's, as in CI; names of files are all that is asked of it.
    git.args(["-c", "safe.directory=*", "ls-files", "-z"]).args(which).arg("--").args(patterns);
    let listed = git.current_dir(root()).output().context("start git")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).context("a file's name is not UTF-8")?;
    // One may have been removed since it was listed.
    let there = |name: &&str| !name.is_empty() && root().join(name).is_file();
    Ok(names.split('\0').filter(there).map(str::to_owned).collect())
}

//! cargo-deny, and how it is asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::stage::root;
use crate::tool::Tool;

const CARGO_DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", first: "2 minutes" };

/// What can be held without asking anybody.
pub(super) const PACKAGES: &[&str] = &["licenses", "bans", "sources"];

/// What takes RustSec's database.
pub(super) const ADVISORIES: &[&str] = &["advisories"];

/// One file has the rules for all workspaces, and no workspace has a use for each of its exceptions.
const UNUSED: [&str; 4] =
    ["unmatched-skip", "unmatched-skip-root", "unnecessary-skip", "license-exception-not-encountered"];

/// Its program, built if it is not there.
///
/// # Errors
/// It could not be built.
pub(super) fn program() -> Result<PathBuf> {
    CARGO_DENY.program()
}

/// Holds the workspace of `manifest` to `deny.toml`.
///
/// # Errors
/// It does not hold; which package breaks which rule is on standard error.
pub(super) fn check(program: &Path, manifest: &Path, checks: &[&str]) -> Result<()> {
    let mut command = asked(program, manifest);
    if checks == ADVISORIES {
        // As they were fetched, not once more for each workspace.
        command.arg("--offline");
    }
    command.arg("check");
    for lint in UNUSED {
        command.args(["--allow", lint]);
    }
    let status = command.args(checks).status().with_context(|| format!("start {}", program.display()))?;
    if !status.success() {
        bail!("{} of {}: cargo-deny ended with {status}", checks.join(", "), manifest.display());
    }
    Ok(())
}

/// Fetches RustSec's database.
///
/// # Errors
/// It cannot be had, with git's own reason.
pub(super) fn fetch_advisories(program: &Path) -> Result<()> {
    let mut fetch = asked(program, &root().join("Cargo.toml"));
    // Neither a question nor a network that says nothing may hold anybody up.
    fetch.args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    fetch.env("GIT_HTTP_LOW_SPEED_LIMIT", "1000").env("GIT_HTTP_LOW_SPEED_TIME", "20");
    let output = fetch.output().with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let reason = said.lines().rfind(|line| line.starts_with("fatal")).or(said.lines().next());
        bail!("{}", reason.unwrap_or("cargo-deny did not say why").to_owned());
    }
    Ok(())
}

fn asked(program: &Path, manifest: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--config").arg(root().join("deny.toml")).arg("--manifest-path").arg(manifest);
    command.args(["--workspace", "--locked", "--log-level", "warn"]);
    command
}

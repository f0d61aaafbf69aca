//! What must hold before a push: format, lints, layers, what comes from others, documents.

use anyhow::Result;

use crate::stage::{cargo, check, stage};
use crate::{layers, setup, supply};

/// Runs all of it, in the order of what is quickest to mend.
///
/// # Errors
/// The first that does not hold.
pub fn run() -> Result<()> {
    stage("setup", setup::run)?;
    stage("fmt", || check(&mut cargo(&["fmt", "--all", "--check"])))?;
    stage("clippy", || {
        check(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    stage("layers", layers::check)?;
    supply::run()?;
    stage("docs", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
        check(command.env("RUSTDOCFLAGS", "--deny warnings"))
    })
}

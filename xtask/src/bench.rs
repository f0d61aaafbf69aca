//! The benches.

use anyhow::Result;

use crate::stage::{cargo, check, stage};
use crate::{images, setup};

/// Builds what the benches drive, in release, and runs them. `options` go to criterion.
///
/// # Errors
/// The first stage that fails.
pub fn run(options: &[&str]) -> Result<()> {
    stage("setup", setup::run)?;
    stage("images", || images::build(&images::tested()))?;
    stage("programs", || {
        check(&mut cargo(&["build", "--release", "--package", "fades-daemon", "--package", "fades-cli"]))
    })?;
    stage("benches", || {
        let mut arguments = vec!["bench", "--package", "fades-bench", "--"];
        arguments.extend(options);
        check(&mut cargo(&arguments))
    })
}

//! Every test, in one command.

use anyhow::Result;

use crate::stage::{building, cargo, check, stage};
use crate::{images, setup};

/// Sets up, builds the images and the programs, runs every test. `options` go to the test programs as they are.
///
/// # Errors
/// The first stage that fails.
pub fn run(options: &[&str]) -> Result<()> {
    build()?;
    stage("host tests", || {
        let mut arguments = vec!["test", "--workspace", "--exclude", "xtask", "--all-features"];
        arguments.extend(options);
        check(&mut cargo(&arguments))
    })?;
    // One test program after another: each starts nodes, guests and an InfluxDB of its own, and two cores are soon full.
    stage("the whole line", || {
        let mut arguments = vec!["test", "--package", "xtask"];
        arguments.extend(options);
        check(&mut cargo(&arguments))
    })?;
    eprintln!("== skipped: whole tasks on the QEMU accelerator that this machine does not choose");
    Ok(())
}

/// Sets up and builds what the whole line's tests drive: images, and programs, which they start as processes.
///
/// # Errors
/// The first stage that fails.
pub(crate) fn build() -> Result<()> {
    stage("setup", setup::run)?;
    building("images", "2 minutes", images::build)?;
    stage("images of tests", images::build_for_tests)?;
    building("programs", "a minute", || {
        check(&mut cargo(&["build", "--package", "fades-daemon", "--package", "fades-cli"]))
    })
}

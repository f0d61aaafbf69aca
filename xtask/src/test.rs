//! Every test, in one command.

use anyhow::Result;

use crate::stage::{cargo, check, stage};
use crate::{images, setup};

/// Sets up, builds the images and the programs, runs every test. `options` go to the test programs as they are.
///
/// # Errors
/// The first stage that fails.
pub fn run(options: &[&str]) -> Result<()> {
    stage("setup", setup::run)?;
    stage("images", || images::build(&images::tested()))?;
    stage("probes", images::build_probes)?;
    // The whole line's tests drive the programs as processes, so they have to be there.
    stage("programs", || {
        check(&mut cargo(&["build", "--package", "fades-daemon", "--package", "fades-cli"]))
    })?;
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
    eprintln!(
        "== skipped: whole tasks on Xen, and on the QEMU accelerator that this machine does not choose"
    );
    Ok(())
}

//! Every test, in one command.

use anyhow::Result;
use fades_image_build::Architecture;

use crate::stage::{building, cargo, check, stage};
use crate::{docs, fuzz, images, lab, setup, supply};

/// Set to anything, it leaves out the labs.
const NO_LAB: &str = "FADES_NO_LAB";

/// Sets up, builds the images and the programs, runs every test: here, and in both labs. `options` go to the
/// test programs as they are.
///
/// # Errors
/// The first stage that fails.
pub fn run(options: &[&str]) -> Result<()> {
    build()?;
    supply::kernel()?;
    docs::run_built()?;
    stage("host tests", || {
        let mut arguments = vec!["test", "--workspace", "--exclude", "xtask", "--all-features"];
        arguments.extend(options);
        check(&mut cargo(&arguments))
    })?;
    building("fuzz", "three minutes", || fuzz::run(&fuzz::Options::quick()))?;
    // One test program after another: each starts nodes, guests and an InfluxDB of its own, and two cores are soon full.
    stage("the whole line", || {
        let mut arguments = vec!["test", "--package", "xtask"];
        arguments.extend(options);
        check(&mut cargo(&arguments))
    })?;
    if let Some(why) = no_lab(options) {
        eprintln!("== skipped: labs, so no task ran on a backend that this machine does not choose: {why}");
        return Ok(());
    }
    in_lab(lab::Lab::Kvm)?;
    in_lab(lab::Lab::Xen)
}

/// The tests of a lab. If its machine fails it is started once more, aloud; if a test fails there, that is the answer.
fn in_lab(lab: lab::Lab) -> Result<()> {
    let options = lab::Options::tests(lab);
    match lab::run_built(&options) {
        Err(error) if error.is::<lab::StoodStill>() => {
            eprintln!("== once more, as nothing was answered: {error:#}");
            lab::run_built(&options)
        }
        ended => ended,
    }
}

/// Why the lab is left out, if it is.
fn no_lab(options: &[&str]) -> Option<String> {
    if std::env::var_os(NO_LAB).is_some() {
        Some(format!("{NO_LAB} is set"))
    } else if !options.is_empty() {
        Some("options chose among the tests".to_owned())
    } else {
        lab::missing().map(|program| format!("{program} is missing; a lab is made of Debian's packages"))
    }
}

/// Sets up and builds what the whole line's tests drive: images, and programs, which they start as processes.
///
/// # Errors
/// The first stage that fails.
pub(crate) fn build() -> Result<()> {
    stage("setup", setup::run)?;
    building("images", "2 minutes", || images::build(Architecture::X86_64))?;
    stage("images of tests", images::build_for_tests)?;
    building("programs", "a minute", || {
        check(&mut cargo(&["build", "--package", "fades-daemon", "--package", "fades-cli"]))
    })
}

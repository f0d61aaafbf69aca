//! `cargo xtask lab`: the same images and programs on hardware virtualisation that this machine need not have.
//!
//! ```text
//! packages (Debian's kernel, busybox) --+      a QEMU of our own, built of Debian's source
//! QEMU, influxd and their libraries ----+--> one cpio archive --> QEMU, emulating a processor with SVM
//! programs, images, test programs ------+                              |  console, exit code, target/lab/NAME/out
//! ```
//! Inside, everything lies where it lies here, so that the tests are the same programs. Times in a lab say nothing of real
//! processors: only ratios within one run do.

mod archive;
mod emulator;
pub(crate) mod linux;
mod machine;
mod options;
mod packages;
mod same;
mod suite;
mod tree;
mod xen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use options::Options;

use crate::bench::figures;
use crate::stage::{building, check, root, stage, target};
use crate::testbed::node::EXPECT_BACKEND;
use crate::{setup, test};

/// Longest run of a lab, if no other limit is given. The whole of a lab's tests takes three to five minutes here; a busy machine may
/// take twice that, and what hangs is to end all the same.
const LIMIT: Duration = Duration::from_secs(720);

/// A lab's machine did not do what any machine does. The emulation of virtualisation that labs run on is no processor: now
/// and then Linux in it stands still or dies. What ran in the lab has not failed; it has not been answered.
#[derive(Debug, thiserror::Error)]
#[error("the lab's machine failed: {0}; its console is above")]
pub(crate) struct StoodStill(String);

/// Which lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lab {
    /// Linux with KVM on an emulated AMD processor.
    Kvm,
    /// Xen on an emulated AMD processor, with Linux as its dom0.
    Xen,
}

impl Lab {
    /// The lab of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Kvm, Self::Xen].into_iter().find(|lab| lab.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Xen => "xen",
        }
    }

    /// The backend that a node must choose there by itself.
    const fn backend(self) -> &'static str {
        match self {
            Self::Kvm => "qemu-kvm",
            Self::Xen => "xen",
        }
    }

    fn folder(self) -> PathBuf {
        target().join("lab").join(self.name())
    }
}

/// What is run inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// All tests of a lab.
    Tests,
    /// A command line of busybox' shell.
    Command(String),
    /// A console.
    Shell,
}

/// Builds the lab, boots it, runs in it, and brings back what came of it.
///
/// # Errors
/// Something could not be built or fetched; the lab did not end in time; what ran in it failed; its results are not those
/// of a run on QEMU's TCG here.
pub fn run(options: &Options) -> Result<()> {
    test::build()?;
    run_built(options)
}

/// Programs beside those of `setup` that a lab is built with; the first that is missing here.
pub(crate) fn missing() -> Option<&'static str> {
    let needed = ["apt-get", "apt-cache", "dpkg-deb", "ldd", "strip"];
    needed.into_iter().find(|name| setup::program(name).is_none())
}

/// The same, where everything but the lab is built already.
///
/// # Errors
/// As of [`run`].
pub(crate) fn run_built(options: &Options) -> Result<()> {
    let (lab, run) = (options.lab, &options.run);
    let tests = building("tests", "a minute", || suite::build(lab))?;
    let emulator = emulator::make()?;
    let kernel = stage("packages", packages::fetch)?;
    let xen = (lab == Lab::Xen).then(|| stage("Xen's packages", xen::fetch)).transpose()?;
    if matches!(run, Run::Tests) {
        let mut here = tests.iter().filter(|test| test.needs_around()).peekable();
        if here.peek().is_some() {
            stage("replays here", || here.try_for_each(run_here))?;
        }
    }
    let folder = lab.folder();
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    let archive = folder.join("root.cpio");
    let linux = if options.linux { building("Linux guest", "a minute", linux::build)? } else { Vec::new() };
    let shipped = if run.measures() { figures::programs()? } else { Vec::new() };
    let content = tree::Content {
        packages: &kernel,
        xen: xen.as_ref(),
        tests: &tests,
        linux: &linux,
        shipped: &shipped,
    };
    stage("root", || tree::write(&archive, &content, &script(lab, run, &tests)))?;
    let console = matches!(run, Run::Shell);
    let limit = match run {
        Run::Shell => options.limit,
        Run::Tests | Run::Command(_) => Some(options.limit.unwrap_or(LIMIT)),
    };
    stage(&format!("lab {}", lab.name()), || {
        let hypervisor = xen.as_ref().map(|xen| &*xen.hypervisor);
        let kernel = &kernel.image;
        let around = run.sees_around(&tests);
        let (emulator, archive, out) = (&emulator, &*archive, &*out);
        machine::boot(&machine::Boot { emulator, hypervisor, kernel, archive, out, around, console, limit })
    })?;
    match fs::read_to_string(out.join("exit")).map(|code| code.trim().to_owned()) {
        // Whoever typed has seen what became of it.
        _ if console => Ok(()),
        Ok(code) if code == "0" && matches!(run, Run::Tests) => {
            stage("results", || same::check(&tests[0].program, tests[0].filters, &out.join("results")))
        }
        Ok(code) if code == "0" => Ok(()),
        Ok(code) => bail!("what ran in the lab ended with {code}; its files are in {}", out.display()),
        Err(_) => Err(StoodStill("it ended before what ran in it did".to_owned()).into()),
    }
}

impl Run {
    /// Whether what is run may find what the lab lacks on the machine around it.
    fn sees_around(&self, tests: &[suite::Built]) -> bool {
        match self {
            Self::Tests => tests.iter().any(suite::Built::needs_around),
            Self::Command(command) => command.contains("/around "),
            Self::Shell => false,
        }
    }

    /// Whether it takes the programs as they are shipped, and the plain process beside them.
    fn measures(&self) -> bool {
        matches!(self, Self::Command(command) if command.contains("xtask figures"))
    }
}

/// What init runs: ends with the code of the first failure.
fn script(lab: Lab, run: &Run, tests: &[suite::Built]) -> String {
    let mut script = format!(
        "export FADES_BUILT=1 FADES_LAB=1 {EXPECT_BACKEND}={} FADES_RESULTS=/out/results\ncd {}\n",
        lab.backend(),
        root().display()
    );
    match run {
        Run::Shell => script.push_str("setsid cttyhack sh -i\n"),
        Run::Command(command) => script.push_str(&format!("{command}\n")),
        Run::Tests => {
            for test in tests {
                let (name, program) = (test.name, inside(&test.program).display().to_string());
                let start = if test.needs_around() { around() } else { String::new() };
                let (filters, least) = (test.filters.join(" "), test.filters.len().max(1));
                // A filter that fits nothing any more is no success.
                script.push_str(&format!(
                    "echo '== {name}'\n\
                     [ \"$({program} --list {filters} | grep -c ': test$')\" -ge {least} ] || \
                     {{ echo 'lab: {name} has not all of: {filters}'; exit 99; }}\n\
                     {start}{program} --test-threads 1 {filters} || exit $?\n"
                ));
            }
        }
    }
    script
}

/// A test program that leaves here what it takes in a lab.
fn run_here(test: &suite::Built) -> Result<()> {
    check(Command::new(&test.program).env("FADES_BUILT", "1").current_dir(root().join("xtask")))
}

/// What a command in a lab starts with to find what the lab lacks on this machine, in the places where it is here.
fn around() -> String {
    // What would have cargo build anew if it were another.
    let is_meant = |name: &str| {
        ["PATH", "HOME"].contains(&name)
            || ["CARGO", "RUST", "SSL_"].iter().any(|start| name.starts_with(start))
    };
    let words = std::env::vars_os().filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        is_meant(&name).then(|| format!("{name}='{}' ", value.replace('\'', r"'\''")))
    });
    format!("/around env {}", words.collect::<String>())
}

/// Where a test program lies in the lab.
fn inside(path: &Path) -> PathBuf {
    Path::new("/tests").join(path.file_name().unwrap_or_default())
}

//! `xtask figures`: on one machine, in one run, how long a function takes to be ready and where a task's time goes: on every
//! backend that is here, as a unikernel and as a Linux guest that the same monitor boots.
//!
//! Daemon, broker, network and source are the same for all of them. A backend without a guest of either kind (QEMU's
//! translator inside an emulated machine takes longer for Linux than the node waits) has the reason in its place.

pub(super) mod linux;
mod record;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::linux::Linux;
use self::report::{Figures, Report};
use super::task::{Data, POINTS_PER_MIB, Task};
use crate::images::{self, Images};
use crate::setup;
use crate::stage::{building, cargo, check, stage, target};
use crate::testbed::node::{EXPECT_BACKEND, Node, Programs};

/// Points of the tasks of which only the boot counts.
const FEW: u64 = 4096;
/// Said of every figure that an emulated processor made.
pub(crate) const EMULATED: &str = "emulated processor: ratios only";

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tasks of which only the boot counts.
    boots: usize,
    /// Tasks of which every stage counts.
    tasks: usize,
    /// Their points, MiB.
    mib: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { boots: 5, tasks: 3, mib: 16 }
    }
}

impl Options {
    /// Reads `[--boots N] [--tasks N] [--mib N]`.
    ///
    /// # Errors
    /// Another option, or no number above 0.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let number = words.next().and_then(|word| word.parse::<u16>().ok()).filter(|number| *number > 0);
            let number = number.with_context(|| format!("{word} takes a number above 0"))?;
            match *word {
                "--boots" => options.boots = number.into(),
                "--tasks" => options.tasks = number.into(),
                "--mib" => options.mib = number.into(),
                other => bail!("figures has no option {other}; it has --boots, --tasks and --mib"),
            }
        }
        Ok(options)
    }
}

/// What a function runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unikernel,
    /// On Xen: the same by TCP, which is what a Linux guest there is to be compared with.
    ByNetwork,
    Linux,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Unikernel => "unikernel",
            Self::ByNetwork => "unikernel by TCP",
            Self::Linux => "linux",
        }
    }

    /// Of the guest. A Linux guest's is the least in which this kernel came up with the function, in steps of 32.
    const fn memory_mib(self) -> u32 {
        match self {
            Self::Unikernel | Self::ByNetwork => 64,
            Self::Linux => linux::MEMORY_MIB,
        }
    }
}

/// Writes what was measured last, here and in the labs, to `bench/labs.toml`.
///
/// # Errors
/// Nothing was measured, or the file could not be written.
pub fn record() -> Result<()> {
    record::record()
}

/// Measures, prints a table, and leaves the figures as JSON: in a lab in what it brings out, else below `target/bench`.
///
/// # Errors
/// The testbed does not start, or the unikernel does not do its task on the first backend: then there is nothing to compare with.
pub fn run(options: &Options) -> Result<()> {
    if !in_a_lab() {
        build()?;
    }
    let images = Images::built()?;
    let folder = target().join("bench/figures");
    let mut data = Data::start(&folder.join("influx"))?;
    stage("points", || data.load(options.mib * POINTS_PER_MIB))?;
    let mut report = Report::new(options);
    for backend in backends() {
        let kinds = [Kind::Unikernel, Kind::ByNetwork, Kind::Linux];
        for kind in kinds {
            let name = format!("{} on {backend}", kind.name());
            let measured = stage(&name, || measure(options, &backend, kind, &folder, &images, &data));
            report.add(&backend, kind, measured.map_err(|error| error.root_cause().to_string()));
            // What was measured is kept, whatever becomes of the rest.
            report.write(&out()?)?;
        }
    }
    drop(data);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    report.print();
    report.first()
}

/// What is in a lab already.
fn build() -> Result<()> {
    stage("setup", setup::run)?;
    building("images", "2 minutes", images::build)?;
    let programs = ["build", "--package", "fades-daemon", "--package", "fades-cli"];
    building("programs", "2 minutes", || check(&mut cargo(&programs)))?;
    building("Linux guest", "a minute", crate::lab::linux::build)?;
    Ok(())
}

/// What a lab is for, if this is one, and QEMU's translator, which is everywhere.
fn backends() -> Vec<String> {
    let lab = in_a_lab().then(|| std::env::var(EXPECT_BACKEND).ok()).flatten();
    let translator = "qemu-tcg".to_owned();
    lab.filter(|backend| *backend != translator).into_iter().chain([translator]).collect()
}

pub(super) fn in_a_lab() -> bool {
    std::env::var_os("FADES_LAB").is_some()
}

/// Where figures are left.
pub(super) fn out() -> Result<PathBuf> {
    if in_a_lab() {
        return Ok(PathBuf::from("/out"));
    }
    let folder = target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

fn measure(
    options: &Options,
    backend: &str,
    kind: Kind,
    folder: &Path,
    images: &Images,
    data: &Data,
) -> Result<Figures> {
    let mut node = Node::make(Programs::of("debug"), &folder.join("node"))?;
    node.set("kind", &format!("{backend:?}"))?;
    // What is compared is started for its task.
    node.set("dormant_memory_mib", "0")?;
    if kind != Kind::Unikernel {
        node.set("network_only", "true")?;
    }
    let linux = match kind {
        Kind::Unikernel | Kind::ByNetwork => None,
        Kind::Linux => Some(Linux::instead_of_functions(&node, backend)?),
    };
    node.run()?;
    let (found, why) = node.backend()?;
    if found != backend {
        bail!("the node runs its guests on {found} ({why}) instead of {backend}");
    }
    node.register(images, &data.influx)?;
    node.wait_until_ready()?;
    let run = |points: u64| Task { points, memory_mib: kind.memory_mib() }.run(&node);
    let run_all = |count: usize, points: u64| (0..count).map(|_| run(points)).collect::<Result<Vec<Value>>>();
    let all = || {
        // The first makes what later ones find: caches of files, of the source, of the broker.
        run(FEW)?;
        let boots = run_all(options.boots, FEW)?;
        Ok(Figures { boots, tasks: run_all(options.tasks, options.mib * POINTS_PER_MIB)? })
    };
    let figures = all().inspect_err(|_: &anyhow::Error| eprintln!("the node logged:\n{}", node.log()));
    drop(node);
    drop(linux);
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strict() {
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        let options = Options::parse(&["--tasks", "1", "--mib", "2", "--boots", "3"]).unwrap();
        assert_eq!(options, Options { boots: 3, tasks: 1, mib: 2 });
        for wrong in [&["--tasks"][..], &["--tasks", "0"], &["--tasks", "x"], &["--task", "1"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! The test programs that run in a lab when no command is given.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::Lab;
use crate::stage::cargo;

/// A test program, and what of it is run; all of it without a filter.
type Part = (&'static str, &'static [&'static str]);

/// The whole line, misbehaving functions, functions that try to reach what they must not, several at once, guests that are
/// killed. The first is asked for its results as well.
const EVERYWHERE: [Part; 5] = [
    ("line", &["every_question"]),
    ("faults", &["each_fault"]),
    ("isolation", &[]),
    ("load", &["twenty_tasks"]),
    ("durability", &["broker_is_killed_while_it_streams", "a_function_killed"]),
];
/// Functions that go on from a snapshot, which only QEMU makes. Not with another monitor: a lab has the one.
const ON_KVM: Part = ("snapshot", &["go_on", "goes_on"]);
/// The parts of the drivers, without a node.
const ON_XEN: Part = ("xen", &[]);

/// An author's crate, as it was built here, with `fades dmf test`. It asks cargo, which a lab does not have.
const REPLAYS: Part = ("replays", &[]);

/// A test program that is built.
pub(super) struct Built {
    pub(super) name: &'static str,
    pub(super) filters: &'static [&'static str],
    /// Where it is.
    pub(super) program: PathBuf,
}

impl Built {
    /// Whether it needs what only the machine around the lab has, which its run here has left there.
    pub(super) fn needs_around(&self) -> bool {
        self.name == REPLAYS.0
    }
}

/// Builds the test programs of a lab.
pub(super) fn build(lab: Lab) -> Result<Vec<Built>> {
    let own = if lab == Lab::Xen { ON_XEN } else { ON_KVM };
    let parts: Vec<Part> = EVERYWHERE.into_iter().chain([own, REPLAYS]).collect();
    let mut arguments =
        vec!["test", "--package", "xtask", "--no-run", "--message-format=json-render-diagnostics"];
    for (name, _) in &parts {
        arguments.extend(["--test", name]);
    }
    let output = cargo(&arguments).stderr(std::process::Stdio::inherit()).output().context("start cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let lines: Vec<serde_json::Value> = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    let built = |(name, filters): Part| {
        let artifact =
            lines.iter().find(|line| line["target"]["name"] == name && line["executable"].is_string());
        let program = artifact.and_then(|line| line["executable"].as_str());
        let program =
            program.with_context(|| format!("cargo does not say where the test program `{name}` is"))?;
        Ok(Built { name, filters, program: PathBuf::from(program) })
    };
    parts.into_iter().map(built).collect()
}

//! The function's program on this machine.

use std::path::Path;
use std::process::{Command, Stdio};

use fades_api::codes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::Project;
use crate::failure::{Failure, Result};

/// What the program prints for `run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostRun {
    /// The result.
    pub(super) result: Value,
    /// What was read.
    pub(super) read: Read,
    /// Microseconds in the function's own code.
    pub(super) compute_us: u64,
}

/// What was read, all operations together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(super) series: u64,
    pub(super) points: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
}

/// Runs a task on the points of a file, behind the broker's own logic. What the compiler says goes to stderr.
pub(super) fn run(project: &Project, task: &Path, data: &Path) -> Result<HostRun> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(project.author.folder()).args([
        "run",
        "--quiet",
        "--package",
        project.author.name(),
        "--",
        "run",
    ]);
    let output = cargo
        .args([task, data])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::system("cargo could not be started", &error))?;
    if !output.status.success() {
        let message =
            format!("{} gave no result on this machine; what it said is above", project.author.name());
        return Err(Failure::new(codes::FUNCTION_FAILED_HERE, message));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Failure::system("the function's answer", &error))
}

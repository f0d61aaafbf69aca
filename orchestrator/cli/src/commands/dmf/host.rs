//! The function's program on this machine.

use std::io::Write;
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

/// Runs a task on the points of a file, behind the broker's own logic. What the compiler says goes to stderr, and so does what the
/// function prints.
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
    let (said, answer) = match output.status.success() {
        true => parted(&output.stdout),
        false => (output.stdout.as_slice(), &[][..]),
    };
    // Nobody is left to tell when stderr is gone.
    let _gone = std::io::stderr().lock().write_all(said);
    if !output.status.success() {
        let message =
            format!("{} gave no result on this machine; what it said is above", project.author.name());
        return Err(Failure::new(codes::FUNCTION_FAILED_HERE, message));
    }
    serde_json::from_slice(answer).map_err(|error| Failure::system("the function's answer", &error))
}

/// What the function printed, and the program's own answer: the last line, which it begins anew.
fn parted(stdout: &[u8]) -> (&[u8], &[u8]) {
    let text = stdout.trim_ascii_end();
    let (said, answer) = text.split_at(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    let said = match said {
        // The program's own line end, as the function left no line open.
        [b'\n'] | [.., b'\n', b'\n'] => &said[..said.len() - 1],
        _ => said,
    };
    (said, answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_the_last_line_whatever_was_printed_before() {
        for (stdout, said, answer) in [
            ("\n{}\n", "", "{}"),
            ("{}\n", "", "{}"),
            ("seen\n\n{}\n", "seen\n", "{}"),
            ("open\n{}\n", "open\n", "{}"),
            ("{\"a\": 1}\n[\n\n{}\n", "{\"a\": 1}\n[\n", "{}"),
            ("\u{fffd}\n{}", "\u{fffd}\n", "{}"),
            ("", "", ""),
        ] {
            assert_eq!(parted(stdout.as_bytes()), (said.as_bytes(), answer.as_bytes()), "{stdout:?}");
        }
    }
}

//! The function's program on this machine.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fades_api::codes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::Project;
use super::trial::Answer;
use crate::failure::{Failure, Result};
use crate::output::Output;

/// What the program prints for `run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HostRun {
    /// The result; of several periods that of the last one.
    pub(super) result: Value,
    /// What was read.
    pub(super) read: Read,
    /// Microseconds in the function's own code.
    pub(super) compute_us: u64,
    /// Of a task that recurs, its periods from 0 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) periods: Vec<Self>,
}

impl HostRun {
    /// One, or one of each period.
    pub(super) fn answers(&self) -> Vec<Answer> {
        let answer = |run: &Self| Answer { result: run.result.clone(), points: run.read.points };
        match self.periods.as_slice() {
            [] => vec![answer(self)],
            periods => periods.iter().map(answer).collect(),
        }
    }

    /// Where the unikernel's answers are others; `None` when they are equal.
    pub(super) fn differs(&self, there: &[Answer]) -> Option<String> {
        let here = self.answers();
        if here.len() != there.len() {
            return Some(format!("{} results here, {} there", here.len(), there.len()));
        }
        let at = here.iter().zip(there).position(|(here, there)| here != there)?;
        Some(if here.len() > 1 { format!("in period {at}") } else { "in its one result".to_owned() })
    }
}

/// What was read, all operations together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Read {
    pub(super) series: u64,
    pub(super) points: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
}

/// Runs a task, at most so many periods of it, on the points of a file, behind the broker's own logic. What the compiler says goes to
/// stderr, and so does what the function prints; where programs read along, what is said of a failure is part of it instead.
pub(super) fn run(
    output: Output,
    project: &Project,
    task: &Path,
    data: &Path,
    periods: u64,
) -> Result<HostRun> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(project.author.folder()).args([
        "run",
        "--quiet",
        "--package",
        project.author.name(),
        "--",
        "run",
    ]);
    let ran = cargo
        .args([task, data])
        .arg(periods.to_string())
        .stdin(Stdio::null())
        .stderr(if output.is_json() { Stdio::piped() } else { Stdio::inherit() })
        .output()
        .map_err(|error| Failure::system("cargo could not be started", &error))?;
    let failed = !ran.status.success();
    if failed && output.is_json() {
        let said = [ran.stdout, ran.stderr].concat();
        let message = format!("{} gave no result on this machine: {}", project.author.name(), last(&said));
        return Err(Failure::new(codes::FUNCTION_FAILED_HERE, message));
    }
    let (said, answer) = if failed { (ran.stdout.as_slice(), &[][..]) } else { parted(&ran.stdout) };
    // Nobody is left to tell when stderr is gone.
    let _gone = std::io::stderr().lock().write_all(&[&ran.stderr, said].concat());
    if failed {
        let message =
            format!("{} gave no result on this machine; what it said is above", project.author.name());
        return Err(Failure::new(codes::FUNCTION_FAILED_HERE, message));
    }
    serde_json::from_slice(answer).map_err(|error| Failure::system("the function's answer", &error))
}

/// The last of what was said, which is where the reason stands.
fn last(said: &[u8]) -> String {
    const LAST: usize = 4096;
    let said = said.trim_ascii();
    String::from_utf8_lossy(&said[said.len().saturating_sub(LAST)..]).into_owned()
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

    fn run(results: &[u64]) -> HostRun {
        let one = |result: u64| HostRun {
            result: result.into(),
            read: Read { series: 1, points: result, bytes: 16 * result, chunks: 1 },
            compute_us: 1,
            periods: Vec::new(),
        };
        match results {
            [only] => one(*only),
            _ => HostRun {
                periods: results.iter().copied().map(one).collect(),
                ..one(results[results.len() - 1])
            },
        }
    }

    #[test]
    fn every_period_is_compared() {
        let there = |results: &[u64]| run(results).answers();
        assert_eq!(run(&[7]).differs(&there(&[7])), None);
        assert_eq!(run(&[1, 2, 3]).differs(&there(&[1, 2, 3])), None);
        // The last one alone would not show it.
        assert_eq!(run(&[1, 2, 3]).differs(&there(&[1, 4, 3])).unwrap(), "in period 1");
        assert_eq!(run(&[1, 2]).differs(&there(&[2])).unwrap(), "2 results here, 1 there");
        let mut fewer = there(&[7]);
        fewer[0].points = 6;
        assert_eq!(run(&[7]).differs(&fewer).unwrap(), "in its one result");
    }

    #[test]
    fn what_the_program_prints_is_read() {
        let one = r#"{"result":1,"read":{"series":1,"points":2,"bytes":32,"chunks":1},"compute_us":3"#;
        let run: HostRun = serde_json::from_str(&format!("{one}}}")).unwrap();
        assert_eq!((run.answers().len(), run.periods.len()), (1, 0));
        let run: HostRun = serde_json::from_str(&format!("{one},\"periods\":[{one}}},{one}}}]}}")).unwrap();
        assert_eq!(run.answers().len(), 2);
    }
}

//! What can be done about what is missing: shown first, done if that is wanted.

use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use fades_api::codes;
use serde::Serialize;

use super::Finding;
use crate::failure::{Failure, Result};
use crate::output::Output;

/// What mends one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mend {
    /// Debian packages.
    Packages(Vec<&'static str>),
    /// A command of its own.
    Run(Vec<String>),
}

/// The commands that mend all of it, in the order in which they are to run; packages come together in one.
pub(super) fn commands(findings: &[Finding], root: bool) -> Vec<Vec<String>> {
    let (mut packages, mut commands) = (Vec::new(), Vec::new());
    for mend in findings.iter().filter_map(|finding| finding.mend.as_ref()) {
        match mend {
            Mend::Packages(names) => packages.extend(names.iter().copied().filter(|name| !name.is_empty())),
            Mend::Run(words) => commands.push(words.clone()),
        }
    }
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        let apt = |words: Vec<&str>| -> Vec<String> {
            let sudo = (!root).then_some("sudo");
            sudo.into_iter().chain(["apt-get"]).chain(words).map(str::to_owned).collect()
        };
        let install = ["install", "-y", "--no-install-recommends"].into_iter().chain(packages);
        // A machine that is new knows no packages, and lists of yesterday name what is not there any more.
        commands.splice(..0, [apt(vec!["update"]), apt(install.collect())]);
    }
    commands
}

/// Shows what would be run, and runs it if `yes` or if whoever is at the terminal wants it. Says whether it ran.
pub(super) fn offer(output: Output, commands: &[Vec<String>], yes: bool) -> Result<bool> {
    if commands.is_empty() {
        return Ok(false);
    }
    output.note("this would mend what can be mended from here:");
    for command in commands {
        output.note(&format!("  {}", command.join(" ")));
    }
    let asks = !output.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !(yes || asks && agreed()) {
        if !asks {
            output.note("`fades doctor --mend` runs it");
        }
        return Ok(false);
    }
    for command in commands {
        run(command)?;
    }
    Ok(true)
}

fn agreed() -> bool {
    let mut stderr = std::io::stderr().lock();
    let asked = write!(stderr, "run it? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.is_ok()
        && std::io::stdin().lock().read_line(&mut answer).is_ok()
        && ["y", "yes"].contains(&answer.trim())
}

/// What a command says goes to stderr: stdout is for the findings.
fn run(command: &[String]) -> Result<()> {
    let shown = command.join(" ");
    let Some((program, words)) = command.split_first() else { return Ok(()) };
    let status = Command::new(program)
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::io::stderr())
        .stdin(Stdio::inherit())
        .status()
        .map_err(|error| Failure::system(&shown, &error))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(codes::SETUP_FAILED, format!("`{shown}` ended with {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_together_and_first() {
        let finding = |mend| Finding { mend: Some(mend), ..Finding::ok("a", "b") };
        let chmod = vec!["chmod".to_owned(), "700".to_owned(), "n".to_owned()];
        let findings = [
            finding(Mend::Run(chmod.clone())),
            finding(Mend::Packages(vec!["lld", "patch"])),
            finding(Mend::Packages(vec!["lld"])),
            Finding::ok("c", "d"),
        ];
        let told = commands(&findings, false);
        assert_eq!(told[0].join(" "), "sudo apt-get update");
        assert_eq!(told[1].join(" "), "sudo apt-get install -y --no-install-recommends lld patch");
        assert_eq!(told[2..], [chmod]);
        assert_eq!(commands(&findings, true)[0][0], "apt-get");
        assert!(commands(&[Finding::ok("c", "d")], true).is_empty());
    }

    #[test]
    fn what_fails_is_told_and_nothing_runs_unasked() {
        let output = Output::new(crate::context::Format::Json);
        let fails = vec![vec!["false".to_owned()]];
        assert_eq!(offer(output, &fails, false), Ok(false));
        assert_eq!(offer(output, &fails, true).unwrap_err().code, Some(codes::SETUP_FAILED));
        assert_eq!(offer(output, &[vec!["true".to_owned()]], true), Ok(true));
        assert_eq!(offer(output, &[], true), Ok(false));
    }
}

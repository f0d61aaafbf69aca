//! Stages of a run, each with its time, so that a slow one is seen.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs a stage and tells its name and time on standard error.
///
/// # Errors
/// The stage's own, with its name.
pub fn stage<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("== {name}");
    let started = Instant::now();
    let done = work().with_context(|| format!("stage {name}"))?;
    eprintln!("== {name}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}

/// The same of a build; says first how long it may take, as cargo only says what it does.
///
/// # Errors
/// The stage's own, with its name.
pub fn building<T>(name: &str, first: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("== {name}: builds what is not there yet; all of it takes about {first} on two cores");
    stage(name, work)
}

/// Commands of cargo that look at no lock file.
const UNLOCKED: [&str; 1] = ["fmt"];

/// A cargo command in the workspace's root, with the host's own toolchain, and with the packages that the lock file names or not at all.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    let (first, others) = arguments.split_at(1.min(arguments.len()));
    command.args(first);
    if !first.iter().any(|word| UNLOCKED.contains(word)) {
        command.arg("--locked");
    }
    command.args(others);
    command
}

/// Runs a command and fails if it does.
///
/// # Errors
/// It could not be started, or ended with another status than 0.
pub fn check(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("{} {} ended with {status}", command.get_program().display(), words.join(" "));
    }
    Ok(())
}

/// The workspace's root.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// The workspace's `target` folder; everything that is built or written goes below it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

//! Nothing of ours builds with other packages than the lock file names.

use anyhow::{Result, ensure};

use super::read;
use crate::known;
use crate::stage::root;

/// Commands of cargo that look at a lock file.
const COMMANDS: [&str; 9] =
    ["bench", "build", "clippy", "doc", "install", "metadata", "run", "rustc", "test"];

/// Where a program of ours starts cargo. [`crate::stage::cargo`] says `--locked` for all of xtask; an author's crate has a lock file of its
/// own, which is the author's.
const STARTS_CARGO: [&str; 5] = [
    "images/build/src/author.rs",
    "images/build/src/toolchain.rs",
    "orchestrator/cli/src/commands/dmf/host.rs",
    "orchestrator/cli/src/commands/dmf/test.rs",
    "xtask/src/stage.rs",
];

/// Every line that tells somebody to run cargo with options says `--locked`, and so does every call by which we run it.
///
/// # Errors
/// Some do not; the error names all of them.
pub fn every_build_is_locked() -> Result<()> {
    let mut without = Vec::new();
    for file in known::files(&["*.md", "*.rs", "*.sh", "*.py", "*.toml", ".ci/*"])? {
        let text = read(&root().join(&file))?;
        for (number, line) in (1..).zip(text.lines()) {
            if is_unlocked(line) {
                without.push(format!("{file}:{number}"));
            }
        }
        // Asked of a toolchain, not started by its name.
        if text.contains("toolchain.cargo()") && !text.contains("\"--locked\"") {
            without.push(format!("{file}, which calls a toolchain's cargo"));
        }
        let starts = text.contains("Command::new(\"cargo\")") || text.contains("var_os(\"CARGO\")");
        if starts && file != "xtask/src/layers/locked.rs" && !STARTS_CARGO.contains(&file.as_str()) {
            without.push(format!("{file}, which starts cargo: that is for stage::cargo"));
        }
    }
    ensure!(without.is_empty(), "no --locked: {}", without.join(", "));
    Ok(())
}

/// Whether a line calls cargo with options, `--locked` not among them. The bare words are prose, or what an author says of a crate of his own.
fn is_unlocked(line: &str) -> bool {
    let calls = line.match_indices("cargo ").any(|(at, word)| {
        let mut words = line[at + word.len()..].split_whitespace();
        words.next().is_some_and(|command| COMMANDS.contains(&command))
            && words.next().is_some_and(|option| option.starts_with('-'))
    });
    let is_alias = line.starts_with("xtask = \"run ");
    (calls || is_alias) && !line.contains("--locked")
}

#[cfg(test)]
mod tests {
    use super::is_unlocked;

    #[test]
    fn calls_with_options_are_told_from_prose() {
        // In pieces, as this file is looked at as well.
        for (command, options, is) in [
            ("build", "--release -p fades-cli", true),
            ("build", "--locked --release", false),
            ("test", "of a crate", false),
            ("test", "", false),
            ("xtask", "bench --check", false),
            ("fmt", "--all", false),
        ] {
            assert_eq!(is_unlocked(&format!("    cargo {command} {options}")), is, "{command} {options}");
        }
        assert!(is_unlocked(&format!("{} = \"run --package xtask --\"", "xtask")));
    }
}

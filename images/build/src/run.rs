//! Running other programs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::BuildError;

/// How much of what a failed program said is kept.
const TAIL: usize = 6000;

/// Runs `command` and returns what it wrote to its standard output. What it writes to standard error is shown at once if
/// `verbose`, and kept for the error otherwise.
pub(crate) fn output(what: &str, command: &mut Command, verbose: bool) -> Result<Vec<u8>, BuildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(if verbose { Stdio::inherit() } else { Stdio::piped() });
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| BuildError::Run { program, source })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let tail = said.char_indices().rev().nth(TAIL).map_or(0, |(at, _)| at);
    let output_tail = said.get(tail..).unwrap_or_default().to_owned();
    Err(BuildError::Failed { what: what.to_owned(), status: output.status.to_string(), output: output_tail })
}

/// Where `name` lies, by the search path.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// [`find`], or an error that names the package.
pub(crate) fn need(program: &'static str, package: &'static str) -> Result<PathBuf, BuildError> {
    find(program).ok_or(BuildError::NoProgram { program, package })
}

/// The flag by which what is built says `to` where a source lay in `from`.
pub(crate) fn remapped(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Has cargo give these flags to the compiler; unlike in `RUSTFLAGS`, spaces may be in them.
pub(crate) fn set_flags(cargo: &mut Command, flags: &[OsString]) {
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join(OsStr::new("\u{1f}")));
}

/// Takes away what an outer cargo or rustup has put into the environment: it is meant for another toolchain.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if belongs_to_outer_cargo(&name) {
            command.env_remove(name);
        }
    }
}

fn belongs_to_outer_cargo(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    // Where crates are kept, and how they are fetched, is the user's to say.
    let kept = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_SOURCE_"];
    let taken =
        ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "MAKEFLAGS"];
    taken.iter().any(|prefix| name.starts_with(prefix)) && !kept.iter().any(|prefix| name.starts_with(prefix))
}

/// Where cargo keeps the crates it has fetched.
pub(crate) fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")))
        .unwrap_or_else(|| PathBuf::from(".cargo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_cargo_is_cleaned_away_and_the_users_settings_are_not() {
        for name in [
            "CARGO",
            "CARGO_MANIFEST_DIR",
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "LD_LIBRARY_PATH",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(belongs_to_outer_cargo(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "PATH", "HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_PROXY", "RUSTUP_HOME"] {
            assert!(!belongs_to_outer_cargo(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn what_failed_is_told_with_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo reason >&2; exit 3"]);
        let error = output("a test", &mut command, false).unwrap_err().to_string();
        assert!(
            error.contains("a test failed") && error.contains("reason") && error.contains('3'),
            "{error}"
        );
    }
}

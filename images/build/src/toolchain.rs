//! Finding a Rust toolchain that has the sources of its standard library.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::BuildError;
use crate::run;

/// The kernel's attributes on naked functions, and the standard library's support of Hermit, need this.
const MINIMUM: (u32, u32) = (1, 88);
const MINIMUM_TEXT: &str = "1.88";

/// Where a toolchain comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Managed by rustup, under this name.
    Rustup(String),
    /// Debian's packages, in /usr/bin.
    Debian,
}

/// A compiler and its cargo, called by their own paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// The `cargo` program.
    pub cargo: PathBuf,
    /// The `rustc` program.
    pub rustc: PathBuf,
    /// The linker, a `ld.lld`.
    pub linker: PathBuf,
    /// What `rustc -vV` says, all of it: part of every cache key.
    pub version: String,
    /// Where the library's sources lie.
    pub library: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
}

impl Toolchain {
    /// The first that will do: rustup's stable, other toolchains of rustup in the order of their names (so dated stable
    /// versions before nightly), then Debian's.
    ///
    /// # Errors
    /// [`BuildError::NoToolchain`] or [`BuildError::NoProgram`], which say what to install.
    pub fn find() -> Result<Self, BuildError> {
        let mut found = candidates()
            .into_iter()
            .find_map(|(origin, bin, library)| Self::examine(origin, &bin, library))
            .ok_or(BuildError::NoToolchain { minimum: MINIMUM_TEXT })?;
        found.linker = run::need("ld.lld", "lld")?;
        Ok(found)
    }

    fn examine(origin: Origin, bin: &Path, library: PathBuf) -> Option<Self> {
        let (cargo, rustc) = (bin.join("cargo"), bin.join("rustc"));
        if !library.join("std/Cargo.toml").is_file() || !cargo.is_file() {
            return None;
        }
        let mut command = Command::new(&rustc);
        command.arg("-vV");
        run::clean(&mut command);
        let version = String::from_utf8(run::output("rustc -vV", &mut command, false).ok()?).ok()?;
        (release(&version)? >= MINIMUM).then(|| Self {
            cargo,
            rustc,
            linker: PathBuf::new(),
            version,
            library,
            origin,
        })
    }

    /// Cargo with this toolchain's compiler, in an environment of its own. `bootstrap` because building the standard library
    /// is an unstable feature of stable toolchains.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        run::clean(&mut command);
        command.env("RUSTC", &self.rustc).env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

/// Origin, folder of the programs, folder of the library's sources.
fn candidates() -> Vec<(Origin, PathBuf, PathBuf)> {
    let sources = |prefix: &Path| prefix.join("lib/rustlib/src/rust/library");
    let mut all = Vec::new();
    for (name, folder) in rustup_toolchains() {
        all.push((Origin::Rustup(name), folder.join("bin"), sources(&folder)));
    }
    all.push((Origin::Debian, PathBuf::from("/usr/bin"), sources(Path::new("/usr"))));
    all
}

fn rustup_toolchains() -> Vec<(String, PathBuf)> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup")));
    let entries = home.and_then(|home| std::fs::read_dir(home.join("toolchains")).ok());
    let mut all: Vec<(String, PathBuf)> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    all.sort_by_key(|(name, _)| (!name.starts_with("stable"), name.clone()));
    all
}

/// Major and minor version out of `rustc -vV`.
fn release(version: &str) -> Option<(u32, u32)> {
    let release = version.lines().find_map(|line| line.strip_prefix("release: "))?;
    let mut parts = release.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(release("rustc 1.96.0 (x)\nrelease: 1.96.0\nhost: y"), Some((1, 96)));
        assert_eq!(release("release: 1.97.0-nightly"), Some((1, 97)));
        assert_eq!(release("nothing"), None);
    }

    #[test]
    fn a_toolchain_without_sources_will_not_do() {
        let none = Path::new("/nonexistent");
        assert_eq!(Toolchain::examine(Origin::Debian, none, none.join("library")), None);
    }
}

//! Tools that are run and never linked, built from the registry below `target/tools`, each under its version.

use std::path::PathBuf;

use anyhow::Result;

use crate::stage::{building, cargo, check, target};

/// A program that `cargo install` builds.
pub(crate) struct Tool {
    /// Crate and program.
    pub(crate) name: &'static str,
    /// The one version that is used, whatever is newer.
    pub(crate) version: &'static str,
    /// How long building it takes the first time.
    pub(crate) first: &'static str,
}

impl Tool {
    /// Its program, built if it is not there.
    ///
    /// # Errors
    /// It could not be built.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        let root = target().join("tools").join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        building(self.name, self.first, || {
            let version = format!("={}", self.version);
            let mut install = cargo(&["install", self.name, "--quiet", "--version", &version]);
            // It reads some dozen files: building it fast matters more than that it is fast. No feature that a tool has beside.
            install.arg("--no-default-features").arg("--root").arg(&root);
            install.arg("--target-dir").arg(root.join("build"));
            for (key, value) in
                [("OPT_LEVEL", "0"), ("DEBUG", "false"), ("LTO", "off"), ("CODEGEN_UNITS", "256")]
            {
                install.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
            }
            check(&mut install)?;
            // A hundred times the program, and never looked at again.
            Ok(std::fs::remove_dir_all(root.join("build"))?)
        })?;
        Ok(program)
    }
}

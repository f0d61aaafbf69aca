//! mdBook: a tool, not a dependency. It is MPL, and nothing of it becomes part of anything of ours.

use std::path::PathBuf;

use anyhow::Result;

use crate::stage::{building, cargo, check, target};

/// The version that the book is written for.
const VERSION: &str = "0.5.2";

/// Its program, built if it is not there.
///
/// # Errors
/// It could not be built.
pub(super) fn mdbook() -> Result<PathBuf> {
    let root = target().join("tools").join(format!("mdbook-{VERSION}"));
    let program = root.join("bin/mdbook");
    if program.is_file() {
        return Ok(program);
    }
    building("mdbook", "2 minutes", || {
        let version = format!("={VERSION}");
        let mut install = cargo(&["install", "mdbook", "--locked", "--quiet", "--version", &version]);
        // It reads some dozen files: building it fast matters more than that it is fast. No server, no watching.
        install
            .arg("--no-default-features")
            .arg("--root")
            .arg(&root)
            .arg("--target-dir")
            .arg(root.join("build"));
        check(
            install.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "false"),
        )?;
        // A hundred times the program, and never looked at again.
        Ok(std::fs::remove_dir_all(root.join("build"))?)
    })?;
    Ok(program)
}

//! mdBook: a tool, not a dependency. It is MPL, and nothing of it becomes part of anything of ours.

use std::path::PathBuf;

use anyhow::Result;

use crate::tool::Tool;

/// The version that the book is written for; without its server and without watching.
const MDBOOK: Tool = Tool { name: "mdbook", version: "0.5.2", first: "2 minutes" };

/// Its program, built if it is not there.
///
/// # Errors
/// It could not be built.
pub(super) fn mdbook() -> Result<PathBuf> {
    MDBOOK.program()
}

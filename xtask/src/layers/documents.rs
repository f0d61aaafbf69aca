//! Files that the documents name.

use anyhow::{Result, ensure};

use super::read;
use crate::stage::root;

/// Documents for people, below the workspace's root.
const DOCUMENTS: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

/// Every Rust file in backquotes is there, by its path from the workspace's root.
///
/// # Errors
/// Some are not; the error names all of a document, each with its line.
pub fn documents_name_files_that_exist() -> Result<()> {
    for document in DOCUMENTS {
        let text = read(&root().join(document))?;
        ensure!(files(&text).len() > 3, "{document} names {} files only", files(&text).len());
        let missing: Vec<String> = files(&text)
            .into_iter()
            .filter(|(_, file)| !root().join(file).is_file())
            .map(|(line, file)| format!("{document}:{line} {file}"))
            .collect();
        ensure!(missing.is_empty(), "not there, by their path from the root: {}", missing.join(", "));
    }
    Ok(())
}

/// Words in backquotes that end in `.rs`, each with its line, counted from 1. A fence of three backquotes opens and ends a
/// word as well, so a block of code is one.
fn files(text: &str) -> Vec<(usize, &str)> {
    let mut line = 1;
    let mut found = Vec::new();
    for (piece, is_quoted) in text.split('`').zip([false, true].into_iter().cycle()) {
        if is_quoted && piece.ends_with(".rs") {
            found.push((line, piece));
        }
        line += piece.matches('\n').count();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::files;

    #[test]
    fn words_in_backquotes_that_end_so_are_files() {
        let text =
            "One `a/b.rs`, `c.rs`; not.rs, `d.md`, `over\ntwo` `e.rs`\n\n```toml\n[x.rs]\n```\n`f.rs` `g`\n";
        assert_eq!(files(text), [(1, "a/b.rs"), (1, "c.rs"), (2, "e.rs"), (7, "f.rs")]);
        assert_eq!(files("no file"), []);
    }
}

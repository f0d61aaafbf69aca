//! `cargo xtask docs`: the book of `docs/`, with the chapters that the programs say of themselves, built and its links checked.
//!
//! ```text
//! docs/ --------------+
//! README.md ----------+--> target/book-src --mdbook--> target/book --links--> every one leads somewhere
//! bench/figures ------+
//! fades, fades-api ---+    reference/{commands,http,codes}.md
//! ```
//! The reference is made at each build, so it cannot be stale.

pub mod chapter;
mod codes;
mod http;
mod links;
mod markdown;
mod tool;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::stage::{cargo, check, root, stage, target};
use crate::testbed::node::Programs;

/// Where the book is built.
pub fn folder() -> PathBuf {
    target().join("book")
}

/// Builds `fades` and the book, and checks its links.
///
/// # Errors
/// A build failed, or a link leads nowhere.
pub fn run() -> Result<()> {
    // Both, as tests build them: the features of what they share are then the same, and nothing is built twice.
    stage("programs", || {
        check(&mut cargo(&["build", "--package", "fades-daemon", "--package", "fades-cli"]))
    })?;
    run_built()
}

/// The same with the `fades` that is there.
///
/// # Errors
/// As there.
pub(crate) fn run_built() -> Result<()> {
    let mdbook = tool::mdbook()?;
    stage("book", || {
        let source = stage_sources(&target().join("book-src"))?;
        let book = folder();
        check(Command::new(mdbook).arg("build").arg(&source).arg("--dest-dir").arg(&book))?;
        let found = links::check(&book)?;
        eprintln!("   {}: {found}", book.join("index.html").display());
        Ok(())
    })
}

/// Lays the sources out below `to`; the folder that mdbook is given.
fn stage_sources(to: &Path) -> Result<PathBuf> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("clear {}", to.display()))?;
    }
    let docs = to.join("docs");
    copy(&root().join("docs"), &docs, &|_| true)?;
    // Chapters include parts of it by its path from here.
    fs::copy(root().join("README.md"), to.join("README.md")).context("copy README.md")?;
    // Where README's link to the page of figures leads from a chapter.
    let pictures = |name: &str| name.ends_with(".svg") || name.ends_with(".html");
    copy(&root().join("bench/figures"), &docs.join("src/bench/figures"), &pictures)?;
    let reference = docs.join("src/reference");
    fs::create_dir_all(&reference).with_context(|| format!("make {}", reference.display()))?;
    for (name, text) in [("commands", commands()?), ("http", http::page()), ("codes", codes::page()?)] {
        fs::write(reference.join(name).with_extension("md"), text).context("write the reference")?;
    }
    Ok(docs)
}

/// What `fades` says of its commands.
fn commands() -> Result<String> {
    let fades = Programs::of("debug").path("fades");
    let said = Command::new(&fades).args(["generate", "reference"]).output();
    let said = said.with_context(|| format!("start {}", fades.display()))?;
    ensure!(said.status.success(), "fades generate reference: {}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8(said.stdout)?)
}

/// Copies a folder; of its own files those whose names are wanted.
pub(crate) fn copy(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str() else { continue };
        if path.is_dir() {
            if wanted(&format!("{name}/")) {
                copy(&path, &to.join(name), wanted)?;
            }
        } else if wanted(name) {
            fs::copy(&path, to.join(name)).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

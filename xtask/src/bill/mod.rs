//! Bills of materials: of which crates a program or an image is made, as CycloneDX, the same bytes each time.
//!
//! ```text
//! cargo tree: our lock file ------ the program, or the guest and the loader --+
//! cargo tree: the kernel's lock -- the patched kernel ------------------------+--> NAME.cdx.json
//! Cargo.lock: checksums ------------------------------------------------------+
//! ```
//! What is linked is `required`; what only built it, such as derives and build scripts, is `excluded`. Rust's own library is one line, with
//! the compiler's version: what it is made of is the toolchain's lock file's to say.

mod cyclonedx;
mod graph;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fades_image_build::{Architecture, KERNEL_FEATURES, Toolchain};

use self::cyclonedx::{Bill, Part};
use self::graph::{Asked, Graph};
use crate::images::RECIPES;
use crate::stage::root;
use crate::supply;

/// Programs that are shipped, and the packages that they are of. Built by one command, so they share what features ask for.
const PROGRAMS: [(&str, &str); 2] = [("fades", "fades-cli"), ("fadesd", "fades-daemon")];
/// What they are shipped for.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// In every image, beside the guest and the kernel.
const LOADER: &str = "fades-loader";

/// Writes the bill of each program and of each image for x86-64 into `folder`; their files.
///
/// # Errors
/// Cargo does not say what they are made of, the kernel is not built and cannot be, or a file cannot be written.
pub fn write(folder: &Path) -> Result<Vec<PathBuf>> {
    let kernel = kernel(&supply::kernel_manifest(Architecture::X86_64)?, Architecture::X86_64)?;
    let mut bills = programs()?;
    for recipe in RECIPES {
        bills.push(image(recipe.name, recipe.package, &kernel, Architecture::X86_64)?);
    }
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let file = |bill: &Bill| {
        let file = folder.join(format!("{}.cdx.json", bill.name));
        std::fs::write(&file, bill.text()?).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    };
    bills.iter().map(file).collect()
}

/// Those of the programs.
fn programs() -> Result<Vec<Bill>> {
    let packages = PROGRAMS.map(|(_, package)| package);
    let graph = Graph::of(&ours(&packages, HOST))?;
    let compiler = rustc(&mut std::process::Command::new("rustc"))?;
    let bill = |(name, package): (&str, &str)| {
        Ok(Bill { name: name.to_owned(), parts: vec![graph.part(package)?], compiler: compiler.clone() })
    };
    PROGRAMS.into_iter().map(bill).collect()
}

/// That of an image: guest, loader and kernel.
fn image(name: &str, package: &str, kernel: &Part, architecture: Architecture) -> Result<Bill> {
    let guest = Graph::of(&ours(&[package], architecture.guest_target()))?.part(package)?;
    let loader = Graph::of(&ours(&[LOADER], architecture.bare_target()))?.part(LOADER)?;
    let compiler = Toolchain::find()?.version;
    Ok(Bill {
        name: name.to_owned(),
        parts: vec![guest, loader, kernel.clone()],
        compiler: release(&compiler)?,
    })
}

/// The patched kernel.
fn kernel(manifest: &Path, architecture: Architecture) -> Result<Part> {
    ensure!(manifest.is_file(), "{} is not there", manifest.display());
    let (target, features) = (architecture.bare_target(), Some(KERNEL_FEATURES));
    let asked = Asked { manifest: manifest.to_owned(), packages: vec!["hermit-kernel"], target, features };
    Graph::of(&asked)?.part("hermit-kernel")
}

/// Packages of this workspace, for this target.
fn ours<'a>(packages: &[&'a str], target: &'a str) -> Asked<'a> {
    Asked { manifest: root().join("Cargo.toml"), packages: packages.to_vec(), target, features: None }
}

/// The version of this compiler.
fn rustc(command: &mut std::process::Command) -> Result<String> {
    let said = command.arg("-vV").current_dir(root()).output().context("start rustc")?;
    ensure!(said.status.success(), "rustc -vV: {}", String::from_utf8_lossy(&said.stderr));
    release(&String::from_utf8(said.stdout)?)
}

/// The line `release` of what `rustc -vV` says.
fn release(said: &str) -> Result<String> {
    let line = said.lines().find_map(|line| line.strip_prefix("release: "));
    line.map(str::to_owned).with_context(|| format!("rustc does not say its release: {said}"))
}

#[cfg(test)]
mod tests;

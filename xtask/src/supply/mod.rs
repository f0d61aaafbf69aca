//! `cargo xtask supply`: what comes from others. Every lock file that git knows here is held to `deny.toml` by cargo-deny: licences, where
//! packages come from, which are there twice; and RustSec's advisories, where they can be had.
//!
//! cargo-deny is a tool, built below `target/tools` without its own client of git: it asks `git`, so nothing of TLS is built for it.

mod deny;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use fades_image_build::{Architecture, Builder};

use crate::known;
use crate::stage::{root, stage, target};

/// Every check of every lock file.
///
/// # Errors
/// The first that does not hold.
pub fn run() -> Result<()> {
    let program = deny::program()?;
    stage("supply", || {
        let manifests = manifests()?;
        for manifest in &manifests {
            deny::check(&program, manifest, deny::PACKAGES)?;
        }
        eprintln!("   licences, sources and duplicates of {} lock files hold", manifests.len());
        match deny::fetch_advisories(&program) {
            Ok(()) => {
                manifests.iter().try_for_each(|manifest| deny::check(&program, manifest, deny::ADVISORIES))
            }
            Err(why) => {
                eprintln!(
                    "== skipped: advisories, so nobody asked whether a package has a known fault: {why:#}"
                );
                Ok(())
            }
        }
    })
}

/// The same of the kernel as it was built: that has the lock file of its makers, changed by our patches.
///
/// # Errors
/// It does not hold, or the kernel is not built and cannot be.
pub fn kernel() -> Result<()> {
    let program = deny::program()?;
    stage("supply of the kernel", || {
        deny::check(&program, &kernel_manifest(Architecture::X86_64)?, deny::PACKAGES)
    })
}

/// The manifest of the patched kernel that images for this architecture are linked with, or of the checkout that is built instead.
pub(crate) fn kernel_manifest(architecture: Architecture) -> Result<PathBuf> {
    if let Some(checkout) = std::env::var_os("HERMIT_KERNEL_DIR") {
        return Ok(PathBuf::from(checkout).join("Cargo.toml"));
    }
    let library = Builder::new(&root(), &target()).architecture(architecture).kernel()?;
    Ok(library.with_file_name("source").join("Cargo.toml"))
}

/// The manifest beside every lock file that is part of this: what a fuzzer leaves behind is none.
fn manifests() -> Result<Vec<PathBuf>> {
    let locks = known::tracked(&["Cargo.lock", "*/Cargo.lock"])?;
    let manifests: Vec<PathBuf> = locks.iter().map(|lock| root().join(lock).with_extension("toml")).collect();
    // The workspace's, the kernel's, and two of a bench.
    ensure!(manifests.len() >= 4, "git knows of {} lock files only", manifests.len());
    Ok(manifests)
}
